//! User-defined functions in a job: they compute, and a row for which one fails is left out and noted; nothing else is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::common::{Log, Record, at, config, run};
use pipelines::{Job, Udfs};
use serde_json::json;
use udf_host::{Limits, WorkerCommand};

/// The functions of `udfs/<folder>`, built by its script, in workers that end what hangs.
fn functions(folder: &str, names: &[&str]) -> Udfs {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../udfs").canonicalize().expect("udfs/ lies in the repository");
    let target = std::env::var_os("CITYBRAIN_UDF_TARGET").map_or_else(|| workspace.join("target"), PathBuf::from);
    let out = target.join("tests/pipelines").join(folder);
    let mut command = Command::new("sh");
    command.arg(workspace.join("build.sh")).arg(&out).args(names.iter().map(|name| format!("{folder}/{name}")));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_") && name != "CARGO_HOME") {
        command.env_remove(name);
    }
    let output = command.env("CARGO_TARGET_DIR", &target).output().expect("sh runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Beside the folder of this program, where `cargo build --workspace --bins` and `cargo test --workspace` put it.
    let program = std::env::current_exe().expect("a test knows its program").with_file_name("../udf-worker");
    let limits = Limits { batch_timeout: Duration::from_secs(2), row_timeout: Duration::from_millis(700), ..Limits::default() };
    Udfs::open(&out, WorkerCommand { program, args: Vec::new() }, limits).unwrap_or_else(|error| panic!("{error}"))
}

const TABLES: &str = "CREATE TABLE calls (how TEXT, n BIGINT, ts TIMESTAMP METADATA FROM 'ce_time', WATERMARK FOR ts AS ts - INTERVAL '5 seconds')
WITH (connector = 'kafka', topic = 'raw.sensor', 'event.type' = 'call');
CREATE TABLE out WITH (connector = 'delta', path = 'gold.test');
";

fn call(second: i64, how: &str) -> Record {
    Record { second: Some(second), kind: "call", data: format!(r#"{{"how":"{how}","n":{second}}}"#) }
}

#[test]
fn a_row_that_fails_is_left_out_and_noted() {
    let udfs = functions("fixtures", &["misbehaves"]);
    let log = Log::one(vec![call(0, "fine"), call(1, "panic"), call(2, "fine"), call(3, "abort"), call(4, "hang"), call(5, "fine")]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for (insert, expected) in [
        ("INSERT INTO out SELECT n, misbehaves(how, n) AS twice FROM calls", json!([{"n": 0, "twice": 0}, {"n": 2, "twice": 4}, {"n": 5, "twice": 10}])),
        (
            "INSERT INTO out SELECT count(*) AS rows, sum(misbehaves(how, n)) AS total FROM calls GROUP BY tumble(INTERVAL '1 minute')",
            json!([{"rows": 3, "total": 14}]),
        ),
    ] {
        let job = Job::parse_with("test", &format!("{TABLES}{insert}"), &[], &udfs).unwrap_or_else(|error| panic!("{error}"));
        let sink = runtime.block_on(run(job, &log, 10, config(2)));
        assert_eq!(json!(sink.json()), expected);
        let late = sink.late();
        let offsets: Vec<i64> = late.iter().map(|row| row["offset"].as_i64().unwrap()).collect();
        assert_eq!(offsets, [1, 3, 4]);
        let failed: Vec<_> = sink.epochs.values().flat_map(|epoch| &epoch.failed).collect();
        assert_eq!(failed.iter().map(|record| record.offset).collect::<Vec<_>>(), [1, 3, 4]);
        assert!(failed[0].data.as_ref().is_some_and(|data| data.contains("panic")), "it is kept as it came: {:?}", failed[0]);
        let reason = late[0]["reason"].as_str().unwrap();
        assert!(reason.starts_with("function misbehaves failed: ") && reason.contains("asked to panic"), "{reason}");
    }
}

#[test]
fn functions_that_ship_work_in_a_job() {
    let udfs = functions("functions", &["cap_severity", "text_normalise"]);
    let insert = "INSERT INTO out SELECT cap_severity(CAST(n AS INT)) AS severity, text_normalise(how) AS text FROM calls WHERE n > 0";
    let job = Job::parse_with("test", &format!("{TABLES}{insert}"), &[], &udfs).unwrap_or_else(|error| panic!("{error}"));
    let without = Job::parse("test", &format!("{TABLES}{insert}"), &[]).unwrap_err().to_string();
    assert!(without.contains("cap_severity"), "{without}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let sink = runtime.block_on(run(job, &Log::one(vec![call(1, "ＡＢＣ　１２３！！！"), call(3, "x")]), 10, config(1)));
    let rows = sink.json();
    assert_eq!((&rows[0]["severity"], &rows[1]["severity"]), (&json!("Extreme"), &json!("Moderate")));
    assert!(rows[0]["text"].as_str().unwrap().starts_with("abc 123"), "{rows:?}");
}

/// The job of the city that asks the detector: a device that leaves its habit is in the table, one that keeps it is not.
#[test]
fn the_job_of_anomalies_finds_what_leaves_its_habit() {
    let udfs = functions("functions", &["anomaly_score"]);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../udfs/jobs/sensor_anomaly.sql");
    let sql = std::fs::read_to_string(&file).expect("the job's file");
    let job = Job::parse_with("sensor_anomaly", &sql, &[], &udfs).unwrap_or_else(|error| panic!("{error}"));
    let reading = |second: i64, datastream: &str, result: f64| Record {
        second: Some(second),
        kind: "io.citybrain.sensor.observation.v1",
        data: json!({"datastream": datastream, "result": result, "unit": "m", "property": "level", "station": datastream}).to_string(),
    };
    // Two and a half days of a reading every five minutes, a day and a half of them before the log's start; `a` jumps at
    // hour 50, `b` does not, `c` has only a day.
    const BEGIN_S: i64 = -36 * 3_600;
    const JUMP: i64 = 600;
    let mut records = Vec::new();
    for number in 0..720i64 {
        let second = BEGIN_S + number * 300;
        let usual = 2.0 + 0.1 * f64::from(u8::try_from(number * 7 % 13).expect("small"));
        records.push(reading(second, "a", usual + if number >= JUMP { 3.0 } else { 0.0 }));
        records.push(reading(second + 1, "b", usual));
        if number < 288 {
            records.push(reading(second + 2, "c", if number > 200 { 9.0 } else { usual }));
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let rows = runtime.block_on(run(job, &Log::one(records), 200, config(2))).json();
    let found: std::collections::BTreeSet<&str> = rows.iter().map(|row| row["datastream"].as_str().unwrap()).collect();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a"], "{rows:?}");
    let (score, end) = (rows[0]["score"].as_f64().unwrap(), rows[0]["window_end"].as_str().unwrap());
    assert!((0.5..=1.0).contains(&score) && rows[0]["quarters"].as_i64().unwrap() > 100, "{}", rows[0]);
    let late = end.parse::<chrono::DateTime<chrono::Utc>>().unwrap() - at(BEGIN_S + JUMP * 300);
    assert!((1..=30).contains(&late.num_minutes()), "in the quarter that follows the jump, or the next one: {end}");
}
