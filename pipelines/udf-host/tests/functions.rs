//! The functions that ship, called from SQL on real cases.

mod common;

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use common::{functions, query, session, value};

#[track_caller]
fn close(text: &str, expected: f64, tolerance: f64) {
    let number: f64 = text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"));
    assert!((number - expected).abs() <= tolerance, "{number} is not {expected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_function_has_its_manifest() {
    let udfs = functions();
    let names: Vec<&str> = udfs.manifests().iter().map(|it| it.name.as_str()).collect();
    let expected = ["anomaly_score", "cap_severity", "cusum", "distance_m", "distance_to_asset", "gas_inspection_due", "geofence", "h3_cell", "pii_mask", "robust_z", "seasonal_residual", "text_normalise"];
    assert_eq!(names, expected);
    assert_eq!((udfs.scalars().len(), udfs.aggregates().len()), (8, 4));
    assert!(udfs.manifests().iter().all(|it| !it.description.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn scalars_on_real_cases() {
    let udfs = functions();
    let session = session(&udfs);
    let cases = [
        ("h3_cell(37.3615593, -122.0553238, 5)", "85283473fffffff"),
        ("h3_cell(91, 0, 5)", ""),
        ("geofence(30.5, 114.3, 'POLYGON ((114 30, 115 30, 115 31, 114 31, 114 30))')", "true"),
        ("geofence(29.5, 114.3, 'POLYGON ((114 30, 115 30, 115 31, 114 31, 114 30))')", "false"),
        ("geofence(30.5, 114.3, 'nonsense')", ""),
        ("pii_mask('请回电138 1234 5678，车牌鄂A12345，身份证11010519491231002X')", "请回电138 **** 5678，车牌鄂A****5，身份证110*************2X"),
        ("cap_severity(1) || ' ' || cap_severity(4) || ' ' || cap_severity(9)", "Extreme Minor Unknown"),
        ("text_normalise('  救命！！！ＡＢＣ　１２３。。 ')", "救命!abc 123."),
        ("gas_inspection_due(TIMESTAMP '2025-08-31T01:30:00Z')", "2026-02-28T01:30:00Z"),
        ("gas_inspection_due(TIMESTAMP '2023-08-31T01:30:00Z')", "2024-02-29T01:30:00Z"),
        ("gas_inspection_due(TIMESTAMP '2025-03-15T00:00:00Z')", "2025-09-15T00:00:00Z"),
        ("distance_m(0, 0, 91, 0)", ""),
        ("distance_to_asset(30.6012, 114.2830, 'pump')", "0.0"),
        ("distance_to_asset(30.6012, 114.2830, 'unicorn')", ""),
    ];
    for (expression, expected) in cases {
        assert_eq!(value(&session, expression).await, expected, "{expression}");
    }
    close(&value(&session, "distance_m(30.5928, 114.3055, 39.9042, 116.4074)").await, 1_052_000.0, 5_000.0);
    assert_eq!(udfs.take_failures(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn null_gives_null_without_a_call() {
    let udfs = functions();
    let session = session(&udfs);
    for expression in ["pii_mask(NULL)", "h3_cell(30.0, NULL, 5)", "gas_inspection_due(NULL)", "distance_to_asset(30.0, 114.0, NULL)", "geofence(NULL, NULL, NULL)"] {
        assert_eq!(value(&session, expression).await, "", "{expression}");
    }
    let mixed = query(&session, "SELECT cap_severity(column1) AS word FROM (VALUES (1), (NULL), (3))").await;
    let words: Vec<Option<&str>> = mixed[0].column(0).as_string::<i32>().iter().collect();
    assert_eq!(words, [Some("Extreme"), None, Some("Moderate")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_are_refused_with_what_is_taken() {
    let session = session(&functions());
    for (sql, told) in [
        ("SELECT cap_severity('red')", "cap_severity takes INT as level, not Utf8"),
        ("SELECT cap_severity()", "cap_severity"),
        ("SELECT h3_cell(30.0, 114.0, 5, 7)", "h3_cell takes 3 arguments, not 4: h3_cell(lat DOUBLE, lon DOUBLE, resolution INT) returns TEXT"),
        ("SELECT gas_inspection_due('2025-08-31')", "gas_inspection_due takes TIMESTAMP as last_inspection"),
    ] {
        let error = match session.sql(sql).await {
            Err(error) => error.to_string(),
            Ok(frame) => frame.collect().await.unwrap_err().to_string(),
        };
        assert!(error.contains(told), "{sql}: {error}");
    }
}

const READINGS: &str = "(VALUES (1, 10.0), (2, 11.0), (3, 9.0), (4, 10.0), (5, 11.0), (6, 13.0), (7, 14.0), (8, 13.0), (9, 14.0), (10, 13.0)) AS t(minute, value)";

#[tokio::test(flavor = "multi_thread")]
async fn aggregates_on_real_cases() {
    let session = session(&functions());
    let one = |expression: &str| format!("(SELECT {expression} FROM (SELECT to_timestamp(minute * 60) AS ts, value FROM {READINGS}))");
    // Median 12, absolute deviations 2 1 3 2 1 1 2 1 2 1: their median is 1.5.
    close(&value(&session, &one("robust_z(ts, value)")).await, 1.0 / (1.4826 * 1.5), 1e-9);
    // Baseline 10 11 9 10 11: median 10, deviations 0 1 1 0 1. Each of 3 4 3 4 3 over 1.4826, less a half.
    close(&value(&session, &one("cusum(ts, value)")).await, 17.0 / 1.4826 - 2.5, 1e-9);
    let days = "(SELECT seasonal_residual(ts, value) FROM (SELECT to_timestamp(column1 * 86400) AS ts, column2 AS value FROM (VALUES (0, 10.0), (1, 12.0), (2, 11.0), (3, 20.0))))";
    assert_eq!(value(&session, days).await, "9.0");
    assert_eq!(value(&session, "(SELECT cusum(ts, v) FROM (SELECT to_timestamp(0) AS ts, 1.0 AS v) WHERE false)").await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregate_leaves_rows_with_null_out_and_keeps_groups_apart() {
    let session = session(&functions());
    let sql = format!(
        "SELECT g, robust_z(ts, v) AS z FROM (
            SELECT 'a' AS g, to_timestamp(minute) AS ts, value AS v FROM {READINGS}
            UNION ALL SELECT 'a', to_timestamp(99), NULL
            UNION ALL SELECT 'a', NULL, 99.0
            UNION ALL SELECT 'b', to_timestamp(minute), value * 2 FROM {READINGS}
            UNION ALL SELECT 'c', to_timestamp(1), 1.0
         ) GROUP BY g ORDER BY g"
    );
    let batches = query(&session, &sql).await;
    let z: Vec<Option<f64>> = batches.iter().flat_map(|it| it.column(1).as_primitive::<Float64Type>().iter().collect::<Vec<_>>()).collect();
    assert_eq!(z.len(), 3);
    assert!((z[0].unwrap() - 1.0 / (1.4826 * 1.5)).abs() < 1e-9, "{z:?}");
    assert!((z[0].unwrap() - z[1].unwrap()).abs() < 1e-9, "doubling changes nothing");
    assert_eq!(z[2], None);
}
