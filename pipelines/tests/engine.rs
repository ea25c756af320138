//! The engine from outside: chunks in, epochs out.

use std::collections::BTreeMap;

use crate::common::{Log, Memory, Record, builtin, config, job, push, reading, run, run_to_end};
use pipelines::{Job, Push, RunError, Runner, RunnerConfig};
use schemas::signal::{Signal, SignalState};

#[tokio::test]
async fn minutes_of_a_station() {
    let log = Log::one(vec![
        reading(0, "d02-rain-01", "rainfall", "mm/h", 12.5),
        reading(59, "d02-rain-01", "rainfall", "mm/h", 13.0),
        reading(60, "d02-rain-01", "rainfall", "mm/h", 14.0),
    ]);
    let sink = run(builtin("sensor_1m"), &log, 100, config(2)).await;
    let rows = sink.rows();
    let ids: Vec<&str> = rows.keys().map(String::as_str).collect();
    assert_eq!(ids, [
        "sensor_1m/2026-07-18T00:00:00Z/d02-rain-01/rainfall/mm%2Fh",
        "sensor_1m/2026-07-18T00:01:00Z/d02-rain-01/rainfall/mm%2Fh"
    ]);
    let first: serde_json::Value = sink.json()[0].clone();
    let expected = serde_json::json!({
        "window_start": "2026-07-18T00:00:00Z", "window_end": "2026-07-18T00:01:00Z", "station": "d02-rain-01",
        "property": "rainfall", "unit": "mm/h", "district": "滨江区", "lat": 30.575, "lon": 114.268,
        "readings": 2, "min_milli": 12_500, "max_milli": 13_000, "avg_milli": 12_750,
        "first": {"topic": "raw.sensor", "partition": 0, "offset": 0},
        "last": {"topic": "raw.sensor", "partition": 0, "offset": 1},
    });
    assert_eq!(first, expected);
    assert_eq!(sink.epochs[&1].rows.num_rows(), 0, "nothing closes before the watermark has passed it");
}

#[tokio::test]
async fn what_is_no_reading_hurts_nobody() {
    let mut records = vec![reading(0, "a", "level", "m", 1.0)];
    for data in ["", "{", "[1]", "null", r#"{"station":7,"result":"x"}"#, r#"{"station":"a","property":"level","unit":"m","result":null}"#] {
        records.push(Record { second: Some(1), kind: crate::common::OBSERVATION, data: data.to_owned() });
    }
    records.push(Record { kind: "io.citybrain.other.v1", ..reading(2, "a", "level", "m", 99.0) });
    records.push(reading(3, "a", "level", "m", f64::MAX));
    let sink = run(builtin("sensor_1m"), &Log::one(records), 3, config(2)).await;
    let rows = sink.json();
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["readings"], &rows[0]["max_milli"]), (&1.into(), &1_000.into()));
    assert!(sink.late().is_empty());
}

#[tokio::test]
async fn rows_in_windows_and_late_rows_are_all_rows() {
    let mut records: Vec<Record> = (0..600).map(|second| reading(second, "a", "level", "m", 1.0)).collect();
    records.push(reading(30, "a", "level", "m", 2.0));
    records.push(Record { second: None, ..reading(0, "a", "level", "m", 2.0) });
    records.push(reading(10 * 86_400, "a", "level", "m", 2.0));
    records.push(Record { second: Some(-crate::common::START_S - 5), ..reading(0, "a", "level", "m", 2.0) });
    records.push(reading(599, "a", "level", "m", 2.0));
    let all = records.len();
    let job = job("INSERT INTO out SELECT count(*) AS rows FROM readings GROUP BY tumble(ts, INTERVAL '1 minute')");
    let sink = run(job, &Log::one(records), 300, config(1)).await;
    let in_windows: u64 = sink.json().iter().map(|row| row["rows"].as_u64().expect("a count")).sum();
    let late = sink.late();
    assert_eq!(in_windows as usize + late.len(), all);
    let reasons: Vec<&str> = late.iter().map(|row| row["reason"].as_str().expect("a reason")).collect();
    assert_eq!(reasons, [
        "its window was closed",
        "it has no event time",
        "its event time lies in the future",
        "its event time is before 1970"
    ]);
    assert_eq!(late[0]["offset"], 600);
    assert_eq!(late[0]["watermark"], "2026-07-18T00:08:59Z");
}

#[tokio::test]
async fn a_row_may_belong_to_a_window_before_1970_boundaries_and_month_ends() {
    let log = Log::one(vec![reading(-1, "a", "level", "m", 1.0), reading(0, "a", "level", "m", 1.0)]);
    let job = job("INSERT INTO out SELECT tumble(ts, INTERVAL '1 day')['start'] AS day, count(*) AS n FROM readings GROUP BY tumble(ts, INTERVAL '1 day')");
    let days: Vec<String> = run(job, &log, 9, config(1)).await.json().iter().map(|row| row["day"].to_string()).collect();
    assert_eq!(days, ["\"2026-07-17T00:00:00Z\"", "\"2026-07-18T00:00:00Z\""]);
}

#[tokio::test]
async fn records_pass_one_by_one_without_a_window() {
    let log = Log::one(vec![reading(0, "a", "level", "m", 1.0), reading(1, "b", "level", "m", 5.0), reading(2, "c", "level", "m", 6.0)]);
    let job = job("INSERT INTO out SELECT station, milli(result) AS value FROM readings WHERE result > 2");
    let sink = run(job, &log, 2, config(3)).await;
    let ids: Vec<String> = sink.rows().into_keys().collect();
    assert_eq!(ids, ["test/raw.sensor/0/1", "test/raw.sensor/0/2"]);
    assert_eq!(sink.json()[0], serde_json::json!({"station": "b", "value": 5_000}));
}

#[tokio::test]
async fn a_lookup_that_matches_twice_gives_two_rows_with_two_ids() {
    let sql = "CREATE TABLE r (station TEXT, ts TIMESTAMP METADATA FROM 'ce_time') WITH (connector='kafka', topic='raw.sensor', 'event.type'='io.citybrain.sensor.observation.v1');
        CREATE TABLE units (station TEXT, unit_id TEXT) WITH (connector='filesystem', path='u.csv');
        CREATE TABLE out WITH (connector='delta', path='gold.test');
        INSERT INTO out SELECT r.station, u.unit_id FROM r LEFT JOIN units u ON r.station = u.station";
    let job = Job::parse("test", sql, &[("u.csv", "station,unit_id\na,second\na,first\n")]).unwrap();
    let log = Log::one(vec![reading(0, "a", "level", "m", 1.0), reading(1, "b", "level", "m", 1.0)]);
    let rows = run(job, &log, 2, config(2)).await.rows();
    let rows: Vec<String> = rows.iter().map(|(id, row)| format!("{id} {}", row.split_once(") ").unwrap().1)).collect();
    assert_eq!(rows, [
        r#"test/raw.sensor/0/0 {"station":"a","unit_id":"first"}"#,
        r##"test/raw.sensor/0/0#1 {"station":"a","unit_id":"second"}"##,
        r#"test/raw.sensor/0/1 {"station":"b"}"#
    ]);
}

#[tokio::test]
async fn division_by_zero_and_failed_casts_are_null() {
    let log = Log::one(vec![reading(0, "a", "level", "m", 1.0)]);
    let job = job("INSERT INTO out SELECT 1 / (n - n) AS q, 7 % coalesce(n, 0) AS m, cast(station AS BIGINT) AS c, station FROM readings");
    assert_eq!(run(job, &log, 1, config(1)).await.json(), [serde_json::json!({"station": "a"})]);
}

/// One station whose value takes these steps, one minute each.
async fn signals(property: &str, unit: &str, values: &[f64], step: usize) -> Vec<Signal> {
    let log = Log::one((0..).zip(values).map(|(minute, value)| reading(minute * 60, "d02-level-01", property, unit, *value)).collect());
    let rows = run(builtin("thresholds"), &log, step, config(2)).await.json();
    rows.into_iter().map(|row| serde_json::from_value(row).expect("a row is a signal")).collect()
}

fn told(signals: &[Signal]) -> Vec<(SignalState, u8, i64)> {
    signals.iter().map(|signal| (signal.state, signal.level, signal.value_milli.unwrap())).collect()
}

#[tokio::test]
async fn a_flood_is_raised_once_made_graver_and_cleared_once() {
    let values = [0.01, 0.2, 0.16, 0.12, 0.14, 0.16, 0.45, 0.45, 0.7, 0.12, 0.09, 0.01, 0.12];
    for step in [1, 4, 100] {
        let signals = signals("water_level", "m", &values, step).await;
        use SignalState::{Cleared, Raised};
        assert_eq!(told(&signals), [(Raised, 4, 200), (Raised, 2, 450), (Raised, 1, 700), (Cleared, 4, 90)]);
        let first = &signals[0];
        assert_eq!((first.scenario.as_str(), first.rule.as_str()), ("urban_flooding", "underpass_water"));
        assert_eq!((first.threshold_milli, first.unit.as_deref(), first.district.as_deref()), (Some(150), Some("m"), Some("滨江区")));
        assert_eq!(first.evidence.len(), 1);
        assert_eq!((first.evidence[0].topic.as_str(), first.evidence[0].offset), ("raw.sensor", 1));
        assert_eq!(first.window_start, Some(crate::common::at(60)));
        assert_eq!(first.lat.map(|lat| lat.0), Some(30_575_000));
    }
}

#[tokio::test]
async fn a_burst_and_a_gas_alarm_are_raised_and_ordinary_life_is_not() {
    use SignalState::{Cleared, Raised};
    let burst = signals("pressure", "MPa", &[0.31, 0.294, 0.2, 0.065, 0.2, 0.3], 2).await;
    assert_eq!(told(&burst), [(Raised, 3, 200), (Raised, 1, 65), (Raised, 3, 200), (Cleared, 4, 300)]);
    assert_eq!(burst[0].scenario, "water_main_burst");
    let gas = signals("gas", "%LEL", &[1.6, 3.1, 14.0, 28.0, 64.0, 9.0], 2).await;
    assert_eq!(told(&gas), [(Raised, 2, 28_000), (Raised, 1, 64_000), (Cleared, 4, 9_000)]);
    assert_eq!(gas[0].scenario, "gas_explosion");
    for (property, unit, values) in [
        ("water_level", "m", [0.0, 0.015, 0.1]),
        ("pressure", "MPa", [0.294, 0.35, 0.3]),
        ("flow", "m³/h", [87.0, 223.0, 150.0]),
        ("gas", "%LEL", [0.1, 3.1, 1.6]),
        ("pressure", "hPa", [1013.0, 990.0, 0.1]),
        ("rainfall", "mm/h", [0.0, 25.0, 3.0]),
    ] {
        assert!(signals(property, unit, &values, 2).await.is_empty(), "{property} in {unit}");
    }
}

#[tokio::test]
async fn a_sink_that_refuses_is_asked_again() {
    let log = Log::one((0..300).map(|second| reading(second, "a", "level", "m", 1.0)).collect());
    let folder = tempfile::tempdir().unwrap();
    let mut runner = Runner::open(builtin("sensor_1m"), folder.path(), config(1)).await.unwrap();
    let mut sink = Memory { refusals: 2, ..Memory::default() };
    push(&mut runner, log.chunk(0, 0, 300));
    for _ in 0..2 {
        let error = runner.poll(crate::common::at(400), &mut sink).await.unwrap_err();
        assert_eq!(error.to_string(), "job sensor_1m: the sink did not take epoch 1; it will be offered again");
    }
    assert_eq!(runner.poll(crate::common::at(400), &mut sink).await.unwrap().epochs, 1);
    assert_eq!(sink.json().len(), 2);
}

#[tokio::test]
async fn a_partition_that_was_announced_is_waited_for_until_it_is_idle() {
    let log = Log(BTreeMap::from([(0, (0..600).map(|second| reading(second, "a", "level", "m", 1.0)).collect()), (1, vec![reading(590, "b", "level", "m", 1.0)])]));
    let folder = tempfile::tempdir().unwrap();
    let mut runner = Runner::open(builtin("sensor_1m"), folder.path(), config(1)).await.unwrap();
    let mut sink = Memory::default();
    runner.assign(crate::common::TOPIC, 1);
    push(&mut runner, log.chunk(0, 0, 600));
    runner.poll(crate::common::at(600), &mut sink).await.unwrap();
    assert_eq!((runner.watermark(), runner.open_windows()), (None, 10));
    // A pause of the process is not silence of the partition.
    runner.poll(crate::common::at(6_000), &mut sink).await.unwrap();
    assert_eq!(runner.watermark(), None);
    for second in 0..4 {
        runner.poll(crate::common::at(6_000 + second * 10), &mut sink).await.unwrap();
    }
    assert_eq!((runner.watermark(), runner.open_windows()), (Some(crate::common::at(479)), 3), "both are idle, so the later one counts");
    push(&mut runner, log.chunk(1, 0, 1));
    runner.poll(crate::common::at(6_100), &mut sink).await.unwrap();
    assert_eq!(sink.late().len(), 0);
}

#[tokio::test]
async fn one_backlog_does_not_keep_the_other_partitions_out() {
    let records = |count: i64| (0..count).map(|second| reading(second, "a", "level", "m", 1.0)).collect::<Vec<_>>();
    let log = Log(BTreeMap::from([(0, records(400)), (1, records(50))]));
    let folder = tempfile::tempdir().unwrap();
    let small = RunnerConfig { buffer_rows_max: 200, epoch_rows_max: 64, ..config(1) };
    let mut runner = Runner::open(builtin("sensor_1m"), folder.path(), small).await.unwrap();
    push(&mut runner, log.chunk(0, 0, 200));
    let Push::Full(again) = runner.push(log.chunk(0, 200, 400)).unwrap() else { panic!("the buffer is full") };
    push(&mut runner, log.chunk(1, 0, 50));
    let mut sink = Memory::default();
    let progress = runner.poll(crate::common::at(500), &mut sink).await.unwrap();
    assert_eq!((progress.rows_in, progress.epochs), (250, 4));
    push(&mut runner, again);
    assert_eq!(runner.poll(crate::common::at(500), &mut sink).await.unwrap().rows_in, 200);
    assert_eq!(runner.positions().values().copied().collect::<Vec<_>>(), [400, 50]);
}

#[tokio::test]
async fn what_is_known_is_passed_over_and_foreign_topics_are_refused() {
    let log = Log::one((0..10).map(|second| reading(second, "a", "level", "m", 1.0)).collect());
    let folder = tempfile::tempdir().unwrap();
    let mut runner = Runner::open(builtin("sensor_1m"), folder.path(), config(1)).await.unwrap();
    let mut sink = Memory::default();
    push(&mut runner, log.chunk(0, 0, 6));
    push(&mut runner, log.chunk(0, 2, 8));
    assert_eq!(runner.buffered_rows(), 8);
    runner.poll(crate::common::at(10), &mut sink).await.unwrap();
    push(&mut runner, log.chunk(0, 0, 10));
    assert_eq!(runner.buffered_rows(), 2);
    let mut foreign = log.chunk(0, 0, 1);
    foreign.topic = "raw.hotline".into();
    assert!(matches!(runner.push(foreign), Err(RunError::Rows { .. })));
}

#[tokio::test]
async fn a_poll_may_move_between_threads() {
    fn can_be_sent<T: Send>(future: T) -> T {
        future
    }
    let folder = tempfile::tempdir().unwrap();
    let mut runner = Runner::open(builtin("thresholds"), folder.path(), config(1)).await.unwrap();
    let progress = can_be_sent(runner.poll(crate::common::at(0), &mut Memory::default())).await.unwrap();
    assert_eq!(progress, pipelines::Progress::default(), "without rows there is no epoch");
}

#[tokio::test]
async fn a_latch_that_is_told_nonsense_stops() {
    let sql = "CREATE TABLE r (station TEXT, ts TIMESTAMP METADATA FROM 'ce_time', WATERMARK FOR ts AS ts)
            WITH (connector='kafka', topic='raw.sensor', 'event.type'='io.citybrain.sensor.observation.v1');
        CREATE TABLE out WITH (connector='kafka', topic='t', 'event.type'='e', 'latch.key'='station', 'latch.state'='state');
        INSERT INTO out SELECT station, 'Raised' AS state FROM r GROUP BY tumble(ts, INTERVAL '1 second'), station";
    let folder = tempfile::tempdir().unwrap();
    let mut runner = Runner::open(Job::parse("test", sql, &[]).unwrap(), folder.path(), config(1)).await.unwrap();
    let log = Log::one(vec![reading(0, "a", "level", "m", 1.0)]);
    let error = run_to_end(&mut runner, &log, 1, &mut Memory::default()).await.unwrap_err();
    let cause = std::error::Error::source(&error).expect("an engine's error has a cause").to_string();
    assert!(cause.contains("column state says 'Raised': a latch knows 'raised', 'cleared' and null"), "{cause}");
}

#[tokio::test]
async fn state_has_a_budget() {
    let log = Log::one((0..200).map(|second| reading(second, &format!("station-{second}"), "level", "m", 1.0)).collect());
    let folder = tempfile::tempdir().unwrap();
    let small = RunnerConfig { state_bytes_max: 2_000, ..config(1) };
    let mut runner = Runner::open(builtin("sensor_1m"), folder.path(), small).await.unwrap();
    let error = run_to_end(&mut runner, &log, 200, &mut Memory::default()).await.unwrap_err();
    assert!(matches!(error, RunError::StateTooLarge { limit: 2_000, .. }), "{error}");
    assert!(matches!(runner.poll(crate::common::at(0), &mut Memory::default()).await, Err(RunError::Stopped { .. })));
}
