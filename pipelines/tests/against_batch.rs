//! Laws: whatever the log, a job gives what a plain computation over all of it gives, however the log is cut.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{Log, Record, config, run};
use pipelines::Job;
use proptest::prelude::*;
use serde_json::Value;

/// How far rows are out of order at most; the watermark waits as long.
const JITTER_S: i64 = 20;

const TABLES: &str = "CREATE TABLE a (k TEXT, v DOUBLE, ts TIMESTAMP METADATA FROM 'ce_time', WATERMARK FOR ts AS ts - INTERVAL '20 seconds')
WITH (connector = 'kafka', topic = 'raw.sensor', 'event.type' = 'a');
CREATE TABLE b (k TEXT, v DOUBLE, ts TIMESTAMP METADATA FROM 'ce_time', WATERMARK FOR ts AS ts - INTERVAL '20 seconds')
WITH (connector = 'kafka', topic = 'raw.sensor', 'event.type' = 'b');
CREATE TABLE out WITH (connector = 'delta', path = 'gold.test');
";

/// A row as the reference computes with it.
#[derive(Debug, Clone)]
struct Row {
    kind: &'static str,
    second: i64,
    key: String,
    value: i64,
}

/// Rows of three partitions, each out of order by less than the watermark waits.
fn any_rows() -> impl Strategy<Value = Vec<Vec<Row>>> {
    let row = (prop_oneof![Just("a"), Just("b")], 0..JITTER_S, 0usize..3, -9i64..9, 0i64..15);
    let partition = proptest::collection::vec(row, 0..60);
    proptest::collection::vec(partition, 3).prop_map(|partitions| {
        partitions
            .into_iter()
            .map(|rows| {
                let mut base = 0;
                let mut all = Vec::new();
                for (kind, jitter, key, value, pause) in rows {
                    base += pause;
                    all.push(Row { kind, second: base + jitter, key: format!("k{key}"), value });
                }
                all
            })
            .collect()
    })
}

fn log_of(rows: &[Vec<Row>]) -> Log {
    let record = |row: &Row| Record { second: Some(row.second), kind: row.kind, data: format!(r#"{{"k":"{}","v":{}.5}}"#, row.key, row.value) };
    Log((0..).zip(rows.iter().map(|rows| rows.iter().map(record).collect())).collect())
}

/// What a job gives, as text, sorted, and that nothing was late.
fn given(sql: &str, rows: &[Vec<Row>], step: usize, lanes: usize) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let job = Job::parse("test", &format!("{TABLES}{sql}"), &[]).unwrap_or_else(|error| panic!("{error}"));
    let sink = runtime.block_on(run(job, &log_of(rows), step, config(lanes)));
    assert_eq!(sink.late(), Vec::<Value>::new());
    let mut given: Vec<String> = sink.json().iter().map(Value::to_string).collect();
    given.sort();
    given
}

fn time(second: i64) -> String {
    crate::common::at(second).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

fn sorted(rows: impl Iterator<Item = Value>) -> Vec<String> {
    let mut rows: Vec<String> = rows.map(|row| row.to_string()).collect();
    rows.sort();
    rows
}

fn all(rows: &[Vec<Row>]) -> impl Iterator<Item = &Row> {
    rows.iter().flatten()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn hops(rows in any_rows(), step in 1usize..70, lanes in 1usize..4) {
        let sql = "INSERT INTO out SELECT hop(INTERVAL '10 seconds', INTERVAL '25 seconds')['start'] AS s, k, count(*) AS n, sum(v) AS total, min(v) AS low
                   FROM a GROUP BY hop(INTERVAL '10 seconds', INTERVAL '25 seconds'), k";
        let mut windows = BTreeMap::<(i64, String), (i64, f64, f64)>::new();
        for row in all(&rows).filter(|row| row.kind == "a") {
            let value = row.value as f64 + if row.value < 0 { -0.5 } else { 0.5 };
            for start in (-30..=row.second).filter(|start| start % 10 == 0 && start + 25 > row.second) {
                let window = windows.entry((start, row.key.clone())).or_insert((0, 0.0, f64::INFINITY));
                *window = (window.0 + 1, window.1 + value, window.2.min(value));
            }
        }
        let expected = sorted(windows.into_iter().map(|((start, key), (n, total, low))| serde_json::json!({"k": key, "low": low, "n": n, "s": time(start), "total": total})));
        prop_assert_eq!(given(sql, &rows, step, lanes), expected);
    }

    #[test]
    fn sessions(rows in any_rows(), step in 1usize..70, lanes in 1usize..4) {
        let sql = "INSERT INTO out SELECT w['start'] AS s, w['end'] AS e, k, n FROM (SELECT session(INTERVAL '7 seconds') AS w, k, count(*) AS n FROM a GROUP BY 1, k)";
        let mut by_key = BTreeMap::<String, Vec<i64>>::new();
        all(&rows).filter(|row| row.kind == "a").for_each(|row| by_key.entry(row.key.clone()).or_default().push(row.second));
        let mut expected = Vec::new();
        for (key, mut seconds) in by_key {
            seconds.sort_unstable();
            for session in seconds.chunk_by(|before, after| after - before < 7) {
                let (first, last) = (session[0], session[session.len() - 1]);
                expected.push(serde_json::json!({"e": time(last + 7), "k": key, "n": session.len(), "s": time(first)}));
            }
        }
        prop_assert_eq!(given(sql, &rows, step, lanes), sorted(expected.into_iter()));
    }

    #[test]
    fn interval_joins(rows in any_rows(), step in 1usize..70, lanes in 1usize..4) {
        let sql = "INSERT INTO out SELECT a.k, a.v AS av, b.v AS bv, a.ts AS at, b.ts AS bt FROM a, b
                   WHERE a.k = b.k AND b.ts > a.ts - INTERVAL '5 seconds' AND b.ts <= a.ts + INTERVAL '12 seconds' AND a.v < b.v";
        let half = |row: &Row| row.value as f64 + if row.value < 0 { -0.5 } else { 0.5 };
        let mut expected = Vec::new();
        for one in all(&rows).filter(|row| row.kind == "a") {
            for other in all(&rows).filter(|row| row.kind == "b" && row.key == one.key) {
                if (-4..=12).contains(&(other.second - one.second)) && half(one) < half(other) {
                    expected.push(serde_json::json!({"at": time(one.second), "av": half(one), "bt": time(other.second), "bv": half(other), "k": one.key}));
                }
            }
        }
        prop_assert_eq!(given(sql, &rows, step, lanes), sorted(expected.into_iter()));
    }

    #[test]
    fn outer_interval_joins(rows in any_rows(), step in 1usize..70, lanes in 1usize..4, (least, greatest) in (-12i64..8, 0i64..15), kind in 0usize..3) {
        let greatest = least + greatest;
        let kind = ["LEFT", "RIGHT", "FULL"][kind];
        // A row of the least values has no key: it meets nobody, and is given all the same.
        let sql = format!(
            "INSERT INTO out SELECT a.k AS ak, a.v AS av, a.ts AS at, b.k AS bk, b.v AS bv, b.ts AS bt
             FROM (SELECT *, CASE WHEN v > -8 THEN k END AS key FROM a) a {kind} JOIN (SELECT *, CASE WHEN v > -8 THEN k END AS key FROM b) b
             ON a.key = b.key AND b.ts >= a.ts + INTERVAL '{least} seconds' AND b.ts <= a.ts + INTERVAL '{greatest} seconds' AND a.v < b.v"
        );
        let half = |row: &Row| row.value as f64 + if row.value < 0 { -0.5 } else { 0.5 };
        let meet = |one: &Row, other: &Row| {
            one.key == other.key && one.value > -8 && other.value > -8 && (least..=greatest).contains(&(other.second - one.second)) && half(one) < half(other)
        };
        let told = |one: Option<&Row>, other: Option<&Row>| {
            let mut told = serde_json::Map::new();
            for (row, [key, value, at]) in [(one, ["ak", "av", "at"]), (other, ["bk", "bv", "bt"])] {
                if let Some(row) = row {
                    told.insert(key.to_owned(), row.key.clone().into());
                    told.insert(value.to_owned(), half(row).into());
                    told.insert(at.to_owned(), time(row.second).into());
                }
            }
            Value::Object(told)
        };
        let (left, right): (Vec<&Row>, Vec<&Row>) = all(&rows).partition(|row| row.kind == "a");
        let mut expected = Vec::new();
        for one in &left {
            expected.extend(right.iter().filter(|other| meet(one, other)).map(|other| told(Some(one), Some(other))));
        }
        if kind != "RIGHT" {
            expected.extend(left.iter().filter(|one| !right.iter().any(|other| meet(one, other))).map(|one| told(Some(one), None)));
        }
        if kind != "LEFT" {
            expected.extend(right.iter().filter(|other| !left.iter().any(|one| meet(one, other))).map(|other| told(None, Some(other))));
        }
        prop_assert_eq!(given(&sql, &rows, step, lanes), sorted(expected.into_iter()));
    }

    #[test]
    fn windows_over_a_left_interval_join(rows in any_rows(), step in 1usize..70, lanes in 1usize..4) {
        // A row that nobody met belongs to the window in which its interval ended.
        let sql = "INSERT INTO out SELECT tumble(INTERVAL '10 seconds')['start'] AS s, count(*) AS n, count(b.v) AS met FROM a LEFT JOIN b
                   ON a.k = b.k AND b.ts BETWEEN a.ts - INTERVAL '3 seconds' AND a.ts + INTERVAL '8 seconds' GROUP BY tumble(INTERVAL '10 seconds')";
        let mut windows = BTreeMap::<i64, (i64, i64)>::new();
        for one in all(&rows).filter(|row| row.kind == "a") {
            let partners: Vec<i64> =
                all(&rows).filter(|row| row.kind == "b" && row.key == one.key && (-3..=8).contains(&(row.second - one.second))).map(|row| row.second).collect();
            for second in &partners {
                let window = windows.entry(one.second.max(*second).div_euclid(10) * 10).or_default();
                *window = (window.0 + 1, window.1 + 1);
            }
            if partners.is_empty() {
                windows.entry((one.second + 8).div_euclid(10) * 10).or_default().0 += 1;
            }
        }
        let expected = sorted(windows.into_iter().map(|(start, (n, met))| serde_json::json!({"met": met, "n": n, "s": time(start)})));
        prop_assert_eq!(given(sql, &rows, step, lanes), expected);
    }

    #[test]
    fn joins_and_ranks_in_windows(rows in any_rows(), step in 1usize..70, lanes in 1usize..4) {
        let sql = "INSERT INTO out SELECT x.w['start'] AS s, x.k, x.n AS an, y.n AS bn, row_number() OVER (PARTITION BY x.w ORDER BY x.n DESC, x.k) AS place FROM
                   (SELECT tumble(INTERVAL '30 seconds') AS w, k, count(*) AS n FROM a GROUP BY 1, 2) x
                   JOIN (SELECT tumble(INTERVAL '30 seconds') AS w, k, count(DISTINCT v) AS n FROM b GROUP BY 1, 2) y ON x.w = y.w AND x.k = y.k";
        let mut windows = BTreeMap::<i64, BTreeMap<String, (i64, BTreeSet<i64>)>>::new();
        for row in all(&rows) {
            let window = windows.entry(row.second.div_euclid(30) * 30).or_default().entry(row.key.clone()).or_default();
            match row.kind {
                "a" => window.0 += 1,
                _ => drop(window.1.insert(row.value)),
            }
        }
        let mut expected = Vec::new();
        for (start, keys) in windows {
            let mut both: Vec<_> = keys.into_iter().filter(|(_, (n, values))| *n > 0 && !values.is_empty()).collect();
            both.sort_by_key(|(key, (n, _))| (-n, key.clone()));
            for (place, (key, (n, values))) in both.into_iter().enumerate() {
                expected.push(serde_json::json!({"an": n, "bn": values.len(), "k": key, "place": place + 1, "s": time(start)}));
            }
        }
        prop_assert_eq!(given(sql, &rows, step, lanes), sorted(expected.into_iter()));
    }
}
