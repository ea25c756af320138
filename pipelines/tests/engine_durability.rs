//! Crashes, damage and change: what a state directory survives, and what it says when it does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{Log, Memory, Record, builtin, config, job, push, reading, run, run_to_end};
use pipelines::{Job, RunError, Runner, RunnerConfig, Step};
use proptest::prelude::*;

fn two_partitions(seconds: i64) -> Log {
    let records = |shift: i64| -> Vec<Record> {
        let level = |second: i64| if (second / 60) % 2 == 0 { 0.5 + (second % 3) as f64 / 10.0 } else { 0.01 };
        (0..seconds).map(|second| reading(second + shift, &format!("s{shift}-{}", second % 5), "water_level", "m", level(second))).collect()
    };
    Log([(0, records(0)), (3, records(20))].into())
}

/// Runs to the end, crashing at the nth time that a step is reached, as often as `crashes` says.
async fn run_with_crashes(job: &Job, log: &Log, at: Step, every: usize) -> Memory {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = Memory::default();
    let reached = Arc::new(AtomicUsize::new(0));
    loop {
        let counter = Arc::clone(&reached);
        let hook = move |step: Step| step == at && (counter.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(every);
        let config = RunnerConfig { hook: Some(Arc::new(hook)), ..config(2) };
        let mut runner = Runner::open(job.clone(), folder.path(), config).await.unwrap();
        match run_to_end(&mut runner, log, 37, &mut sink).await {
            Ok(()) => return sink,
            Err(RunError::Interrupted(step)) => assert_eq!(step, at),
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_crash_at_any_step_changes_nothing() {
    let log = two_partitions(400);
    // Each station of the second partition with the one of the first that spoke before it; most have none.
    let outer = job(
        "INSERT INTO out SELECT a.station, a.result, b.station AS before, b.result AS was FROM readings a
         FULL JOIN (SELECT *, replace(station, 's0', 's20') AS other FROM readings) b
         ON a.station = b.other AND b.station <> a.station AND b.ts BETWEEN a.ts - INTERVAL '7 seconds' AND a.ts - INTERVAL '2 seconds' AND a.result > b.result",
    );
    for (name, job) in [("sensor_1m", builtin("sensor_1m")), ("thresholds", builtin("thresholds")), ("outer join", outer)] {
        let undisturbed = run(job.clone(), &log, 37, config(2)).await;
        assert!(undisturbed.rows().len() > 5);
        for step in Step::ALL {
            let crashed = run_with_crashes(&job, &log, step, 3).await;
            assert_eq!(crashed.rows(), undisturbed.rows(), "{name} {step:?}");
            assert_eq!(crashed.late(), undisturbed.late(), "{name} {step:?}");
            assert_eq!(crashed.repeated > 0, step == Step::OutputTaken, "{name} {step:?}: the sink sees an epoch again");
        }
    }
}

#[tokio::test]
async fn a_planned_epoch_keeps_its_ranges_when_more_has_come() {
    let log = two_partitions(400);
    let folder = tempfile::tempdir().unwrap();
    let mut sink = Memory::default();
    let crash = RunnerConfig { hook: Some(Arc::new(|step| step == Step::OutputTaken)), ..config(1) };
    let mut runner = Runner::open(builtin("sensor_1m"), folder.path(), crash).await.unwrap();
    push(&mut runner, log.chunk(0, 0, 100));
    push(&mut runner, log.chunk(3, 0, 70));
    assert!(matches!(runner.poll(crate::common::at(500), &mut sink).await, Err(RunError::Interrupted(Step::OutputTaken))));
    drop(runner);
    let mut runner = Runner::open(builtin("sensor_1m"), folder.path(), config(3)).await.unwrap();
    push(&mut runner, log.chunk(0, 0, 400));
    assert!(runner.poll(crate::common::at(900), &mut sink).await.unwrap().waiting, "partition 3 is missing");
    push(&mut runner, log.chunk(3, 0, 400));
    let progress = runner.poll(crate::common::at(900), &mut sink).await.unwrap();
    assert_eq!((progress.epochs, progress.rows_in, sink.repeated), (2, 800, 1));
    let ends: Vec<i64> = sink.epochs[&1].positions.values().copied().collect();
    assert_eq!(ends, [100, 70]);
}

#[tokio::test]
async fn merged_state_gives_what_unmerged_state_gives() {
    let record = |n: i64| reading(n % 60, &format!("s{}", n % 3_000), "level", "m", ((n * 37) % 1_000) as f64);
    let log = Log::one((0..24_000).map(record).collect());
    let insert = "INSERT INTO out SELECT station, count(*) AS n, count(DISTINCT milli(result)) AS values, sum(milli(result)) AS total,
        min(result) AS low, max(result) AS high, position_at_max(milli(result), origin) AS high_at, count(*) FILTER (WHERE result > 500) AS above
        FROM readings GROUP BY tumble(ts, INTERVAL '1 hour'), station";
    let whole = run(crate::common::job(insert), &log, 24_000, config(1)).await;
    let merged = run(crate::common::job(insert), &log, 3_000, config(3)).await;
    assert_eq!(whole.json().len(), 3_000);
    assert_eq!(merged.json(), whole.json());
    assert_eq!(whole.json()[0]["n"], 8);
}

const EDITED: &str = "rule,scenario,property,unit,side,red,orange,yellow,blue,clear\nother,urban_flooding,level,m,above,,,,0.1,0.05\n";

fn thresholds(csv: &str) -> Job {
    let builtin = pipelines::builtin_jobs().iter().find(|job| job.name == "thresholds").unwrap();
    Job::parse("thresholds", builtin.sql, &[("thresholds", csv)]).unwrap()
}

#[tokio::test]
async fn an_epoch_that_was_planned_is_finished_by_the_job_that_planned_it() {
    let log = Log::one((0..10).map(|minute| reading(minute * 60, "s", "level", "m", 1.0)).collect());
    let folder = tempfile::tempdir().unwrap();
    let mut sink = Memory::default();
    let crash = RunnerConfig { hook: Some(Arc::new(|step| step == Step::OutputTaken)), ..config(1) };
    let mut runner = Runner::open(builtin("thresholds"), folder.path(), crash).await.unwrap();
    push(&mut runner, log.chunk(0, 0, 5));
    runner.poll(crate::common::at(900), &mut sink).await.unwrap_err();
    drop(runner);
    let mut runner = Runner::open(thresholds(EDITED), folder.path(), config(1)).await.unwrap();
    assert!(matches!(runner.push(log.chunk(0, 0, 10)).unwrap(), pipelines::Push::Full(rest) if rest.first_offset == 5));
    runner.poll(crate::common::at(900), &mut sink).await.unwrap();
    assert_eq!(sink.repeated, 1);
    assert!(sink.json().is_empty(), "the job as it was has no rule for this");
    run_to_end(&mut runner, &log, 10, &mut sink).await.unwrap();
    assert_eq!(sink.json().len(), 1);
    assert_eq!(sink.json()[0]["rule"], "other");
}

#[tokio::test]
async fn open_windows_are_not_carried_into_another_shape() {
    let folder = tempfile::tempdir().unwrap();
    let minute = "INSERT INTO out SELECT count(*) AS n FROM readings GROUP BY tumble(ts, INTERVAL '1 minute')";
    let mut runner = Runner::open(crate::common::job(minute), folder.path(), config(1)).await.unwrap();
    push(&mut runner, Log::one(vec![reading(0, "a", "level", "m", 1.0)]).chunk(0, 0, 1));
    runner.poll(crate::common::at(9), &mut Memory::default()).await.unwrap();
    let busy = Runner::open(crate::common::job(minute), folder.path(), config(1)).await.unwrap_err();
    assert!(matches!(busy, RunError::Busy { .. }), "{busy}");
    drop(runner);
    let hour = minute.replace("1 minute", "1 hour");
    let error = Runner::open(crate::common::job(&hour), folder.path(), config(1)).await.unwrap_err();
    assert!(error.to_string().contains("the window was tumble 1 min, it is tumble 1 h now"), "{error}");
    let keys = minute.replace("')", "'), station").replace("count(*)", "count(*)");
    assert!(matches!(Runner::open(crate::common::job(&keys), folder.path(), config(1)).await, Err(RunError::OtherShape { .. })));
    let outside = minute.replace("count(*) AS n", "count(*) + 1 AS n");
    drop(Runner::open(crate::common::job(&outside), folder.path(), config(1)).await.unwrap());
    Runner::reset("test", folder.path()).unwrap();
    let runner = Runner::open(crate::common::job(&hour), folder.path(), config(1)).await.unwrap();
    assert_eq!((runner.epoch(), runner.positions().len()), (0, 0));
}

#[tokio::test]
async fn damage_is_named_and_a_torn_plan_is_no_damage() {
    let log = two_partitions(300);
    let folder = tempfile::tempdir().unwrap();
    let mut runner = Runner::open(builtin("sensor_1m"), folder.path(), config(1)).await.unwrap();
    push(&mut runner, log.chunk(0, 0, 200));
    runner.poll(crate::common::at(400), &mut Memory::default()).await.unwrap();
    drop(runner);
    let path = folder.path().join("000000000001.segment");
    let whole = std::fs::read(&path).unwrap();
    // What a crash leaves behind the last commit.
    std::fs::write(&path, [whole.as_slice(), &[9, 0, 0, 0, 1, 2]].concat()).unwrap();
    assert_eq!(Runner::open(builtin("sensor_1m"), folder.path(), config(1)).await.unwrap().epoch(), 1);
    for at in [0, 20, whole.len() / 2] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        std::fs::write(&path, &bytes).unwrap();
        let error = Runner::open(builtin("sensor_1m"), folder.path(), config(1)).await.unwrap_err();
        assert!(matches!(error, RunError::Damaged { .. }), "byte {at}: {error}");
    }
}

/// Readings of three partitions that are out of order by less than the watermark waits.
fn any_log() -> impl Strategy<Value = Log> {
    let record = (0i64..29, 0usize..4, 0usize..2, -50i32..50);
    let partition = proptest::collection::vec(record, 0..120);
    proptest::collection::vec(partition, 3).prop_map(|partitions| {
        let to_record = |(index, (jitter, station, property, value)): (usize, (i64, usize, usize, i32))| {
            let (property, unit) = [("water_level", "m"), ("gas", "%LEL")][property];
            reading(index as i64 * 9 + jitter, &format!("s{station}"), property, unit, f64::from(value) / 40.0)
        };
        Log((0..).zip(partitions.into_iter().map(|records| records.into_iter().enumerate().map(to_record).collect())).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cuts_and_lanes_do_not_matter(log in any_log(), step in 1usize..50, lanes in 1usize..6, batch_rows in 1usize..200, epoch_rows_max in 1usize..90) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            for name in ["sensor_1m", "thresholds"] {
                let whole = run(builtin(name), &log, 10_000, config(1)).await;
                let cut = RunnerConfig { lanes, batch_rows, epoch_rows_max, ..config(1) };
                let pieces = run(builtin(name), &log, step, cut).await;
                assert_eq!(pieces.late().len(), 0, "nothing is late");
                assert_eq!(pieces.rows(), whole.rows());
                assert_eq!(pieces.json(), whole.json(), "and rows come in the same order");
                assert!(log.len() == 0 || name == "thresholds" || !whole.rows().is_empty());
            }
        });
    }
}

/// Keeps each id once, as the brain does with signals.
#[derive(Default)]
struct ById(std::collections::BTreeMap<String, String>);

impl pipelines::Sink for ById {
    async fn take(&mut self, output: &pipelines::EpochOutput) -> Result<(), pipelines::BoxError> {
        for (row, id) in output.ids.iter().enumerate() {
            let text = serde_json::to_string(&pipelines::row_to_json(&output.rows, row))?;
            let known = self.0.insert(id.clone(), text.clone());
            assert!(known.is_none_or(|known| known == text), "{id} is said again, and as it was");
        }
        Ok(())
    }
}

#[tokio::test]
async fn an_alarm_comes_through_every_crash_under_its_one_id() {
    let value = |second: i64| if second % 7 == 0 { 0.9 } else { 0.1 };
    let log = Log::one((0..300).map(|second| reading(second, "d02-level-01", "water_level", "m", value(second))).collect());
    for step in Step::ALL {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = ById::default();
        let reached = Arc::new(AtomicUsize::new(0));
        let mut now = 1_000;
        'runs: loop {
            let counter = Arc::clone(&reached);
            let hook = move |at: Step| at == step && (counter.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(5);
            let mut runner = Runner::open(builtin("alarms"), folder.path(), RunnerConfig { hook: Some(Arc::new(hook)), ..config(2) }).await.unwrap();
            let from = runner.positions().values().next().map_or(0, |next| *next as usize);
            for at in (from..300).step_by(10) {
                push(&mut runner, log.chunk(0, at, (at + 10).min(300)));
                now += 1;
                match runner.poll(crate::common::at(now), &mut sink).await {
                    Ok(_) => {}
                    Err(RunError::Interrupted(_)) => continue 'runs,
                    Err(other) => panic!("{other}"),
                }
            }
            runner.save().unwrap();
            break;
        }
        assert_eq!(sink.0.len(), 43, "{step:?}: every seventh of 300 readings is beyond red");
        let reopened = Runner::open(builtin("alarms"), folder.path(), config(1)).await.unwrap();
        assert_eq!(reopened.positions().values().copied().collect::<Vec<_>>(), [300], "a process that ends in order says nothing twice");
    }
}
