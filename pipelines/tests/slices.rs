//! A job in slices gives what the whole job gives, whatever the log and however it is cut.

use std::collections::BTreeMap;

use crate::common::{Log, Memory, Record, TOPIC, at, config};
use pipelines::{Job, Push, Runner, Splitter, Spread};
use proptest::prelude::*;

const TABLES: &str = "CREATE TABLE a (k TEXT, g TEXT, v DOUBLE, ts TIMESTAMP METADATA FROM 'ce_time', WATERMARK FOR ts AS ts - INTERVAL '20 seconds')
WITH (connector = 'kafka', topic = 'raw.sensor', 'event.type' = 'a');
CREATE TABLE b (k TEXT, g TEXT, v DOUBLE, ts TIMESTAMP METADATA FROM 'ce_time', WATERMARK FOR ts AS ts - INTERVAL '20 seconds')
WITH (connector = 'kafka', topic = 'raw.sensor', 'event.type' = 'b');
CREATE TABLE out WITH (connector = 'delta', path = 'gold.test');
";

/// Jobs and the keys that they are sliced by.
const JOBS: [(&str, &[&str]); 9] = [
    ("INSERT INTO out SELECT tumble(INTERVAL '10 seconds')['start'] AS s, k, count(*) AS n, sum(v) AS total FROM a WHERE v > -5 GROUP BY tumble(INTERVAL '10 seconds'), k", &["k"]),
    ("INSERT INTO out SELECT w, k, g, n FROM (SELECT hop(INTERVAL '10 seconds', INTERVAL '30 seconds') AS w, k, g, count(*) AS n FROM a GROUP BY 1, 2, 3)", &["g", "k"]),
    ("INSERT INTO out SELECT w['start'] AS s, k, n FROM (SELECT session(INTERVAL '7 seconds') AS w, k, count(*) AS n FROM a GROUP BY 1, k)", &["k"]),
    ("INSERT INTO out SELECT a.k, a.v AS av, b.v AS bv FROM a, b WHERE a.k = b.k AND b.ts > a.ts - INTERVAL '5 seconds' AND b.ts <= a.ts + INTERVAL '12 seconds'", &["k"]),
    ("INSERT INTO out SELECT a.k, a.v AS av, b.v AS bv FROM a LEFT JOIN b ON a.k = b.k AND b.ts > a.ts - INTERVAL '5 seconds' AND b.ts <= a.ts + INTERVAL '12 seconds'", &["k"]),
    // The second aggregate and the rank see one key only.
    ("INSERT INTO out SELECT w, g, max(n) AS most FROM (SELECT tumble(INTERVAL '10 seconds') AS w, k, g, count(*) AS n FROM a GROUP BY 1, 2, 3) GROUP BY w, g", &["g"]),
    (
        "INSERT INTO out SELECT w, g, k, n FROM (SELECT *, row_number() OVER (PARTITION BY w, g ORDER BY n DESC, k) AS place FROM
         (SELECT tumble(INTERVAL '30 seconds') AS w, g, k, count(*) AS n FROM a GROUP BY 1, 2, 3)) WHERE place <= 2",
        &["g"],
    ),
    (
        "INSERT INTO out SELECT x.w, x.k, x.n AS an, y.n AS bn FROM (SELECT tumble(INTERVAL '30 seconds') AS w, k, count(*) AS n FROM a GROUP BY 1, 2) x
         LEFT JOIN (SELECT tumble(INTERVAL '30 seconds') AS w, k, count(DISTINCT v) AS n FROM b GROUP BY 1, 2) y ON x.w = y.w AND x.k = y.k",
        &["k"],
    ),
    ("INSERT INTO out SELECT DISTINCT tumble(INTERVAL '30 seconds') AS w, k, g FROM a", &["g", "k"]),
];

/// Jobs that need all keys in one place, and a word of the reason.
const WHOLE: [(&str, &str); 4] = [
    ("INSERT INTO out SELECT tumble(INTERVAL '10 seconds') AS w, count(*) AS n FROM a GROUP BY 1", "no key"),
    (
        "INSERT INTO out SELECT w, k, row_number() OVER (PARTITION BY w ORDER BY n DESC, k) AS place FROM
         (SELECT tumble(INTERVAL '30 seconds') AS w, k, count(*) AS n FROM a GROUP BY 1, 2)",
        "ranks over all keys",
    ),
    (
        "INSERT INTO out SELECT x.w, x.k AS one, y.k AS other FROM (SELECT tumble(INTERVAL '30 seconds') AS w, k, count(*) AS n FROM a GROUP BY 1, 2) x
         JOIN (SELECT tumble(INTERVAL '30 seconds') AS w, k, count(*) AS n FROM b GROUP BY 1, 2) y ON x.w = y.w AND x.n = y.n",
        "joins windows of different keys",
    ),
    ("INSERT INTO out SELECT w, max(n) AS most FROM (SELECT tumble(INTERVAL '10 seconds') AS w, k, count(*) AS n FROM a GROUP BY 1, 2) GROUP BY w", "puts all keys together"),
];

fn job(insert: &str) -> Job {
    Job::parse("test", &format!("{TABLES}{insert}"), &[]).unwrap_or_else(|error| panic!("{error}"))
}

/// Three partitions, each out of order by less than the watermark waits.
fn any_log() -> impl Strategy<Value = Log> {
    let record = (prop_oneof![Just("a"), Just("b"), Just("c")], 0..20_i64, 0..5_u8, 0..3_u8, -9..9_i64, 0..15_i64);
    let partition = proptest::collection::vec(record, 0..60).prop_map(|records| {
        let mut base = 0;
        let record = |(kind, jitter, key, group, value, pause): (&'static str, i64, u8, u8, i64, i64)| {
            base += pause;
            Record { second: Some(base + jitter), kind, data: format!(r#"{{"k":"k{key}","g":"g{group}","v":{value}.5}}"#) }
        };
        records.into_iter().map(record).collect::<Vec<_>>()
    });
    proptest::collection::vec(partition, 3).prop_map(|partitions| Log((0..).zip(partitions).collect()))
}

/// What a run gave while the log went on, and in all. Rows by id.
#[derive(Debug, PartialEq)]
struct Given {
    open: BTreeMap<String, String>,
    all: BTreeMap<String, String>,
}

/// The whole job over a log.
async fn whole(insert: &str, log: &Log, step: usize) -> Given {
    let folder = tempfile::tempdir().unwrap();
    let mut runner = Runner::open(job(insert), folder.path(), config(2)).await.unwrap();
    log.0.keys().for_each(|partition| runner.assign(TOPIC, *partition));
    let mut sink = Memory::default();
    for (partition, from, to) in pieces(log, step) {
        crate::common::push(&mut runner, log.chunk(partition, from, to));
        runner.poll(at(86_400), &mut sink).await.unwrap();
    }
    let open = sink.rows();
    runner.close_all(at(86_400), &mut sink).await.unwrap();
    Given { open, all: sink.rows() }
}

/// The same in slices. Each worker dies once, and is told again what it knows.
async fn sliced(insert: &str, log: &Log, step: usize, of: u32) -> Given {
    let splitter = Splitter::new(job(insert), of).unwrap();
    let mut given = Given { open: BTreeMap::new(), all: BTreeMap::new() };
    for slice in 0..of {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = Memory::default();
        let pieces = pieces(log, step);
        let opened = || async { Runner::open(job(insert).slice(slice, of), folder.path(), config(1)).await.unwrap() };
        let mut runner = opened().await;
        let again = pieces.len() / 2;
        for (number, (partition, from, to)) in pieces[..again].iter().chain(&pieces).enumerate() {
            if number == again {
                drop(runner);
                runner = opened().await;
            }
            log.0.keys().for_each(|partition| runner.assign(TOPIC, *partition));
            let chunk = log.chunk(*partition, *from, *to);
            let mut split = splitter.split(chunk.clone(), at(86_400)).await.unwrap();
            let rows = split.parts.swap_remove(slice as usize);
            let part = pipelines::Chunk { rows, ..chunk };
            assert!(matches!(runner.push_part(part, split.reached_us).unwrap(), Push::Taken));
            runner.poll(at(86_400), &mut sink).await.unwrap();
        }
        let open = sink.rows();
        runner.close_all(at(86_400), &mut sink).await.unwrap();
        assert_eq!(sink.late(), Vec::<serde_json::Value>::new());
        for (all, more) in [(&mut given.open, open), (&mut given.all, sink.rows())] {
            for (id, row) in more {
                assert!(all.insert(id, row).is_none(), "a window is in one slice");
            }
        }
    }
    given
}

/// A log in the order in which it is read.
fn pieces(log: &Log, step: usize) -> Vec<(i32, usize, usize)> {
    let longest = log.0.values().map(Vec::len).max().unwrap_or(0);
    let rounds = (0..longest).step_by(step).flat_map(|from| log.0.iter().map(move |(partition, records)| (*partition, from, (from + step).min(records.len()))));
    rounds.filter(|(_, from, to)| from < to).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn slices_together_are_the_whole(log in any_log(), which in 0..JOBS.len(), step in 1_usize..40, of in 1_u32..4) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (whole, sliced) = runtime.block_on(async { (whole(JOBS[which].0, &log, step).await, sliced(JOBS[which].0, &log, step, of).await) });
        prop_assert_eq!(whole, sliced);
    }
}

#[test]
fn keys_are_found_where_all_steps_agree() {
    for (insert, keys) in JOBS {
        assert_eq!(job(insert).spread(), Spread::Keys(keys.iter().map(|key| (*key).to_owned()).collect()), "{insert}");
    }
    for (insert, reason) in WHOLE {
        let spread = job(insert).spread();
        assert!(matches!(&spread, Spread::One(why) if why.contains(reason)), "{insert}: {spread:?}");
    }
    assert_eq!(job("INSERT INTO out SELECT k, v FROM a WHERE v > 1").spread(), Spread::Rows);
}

#[test]
fn the_jobs_of_the_city_spread() {
    let spread = |name: &str| crate::common::builtin(name).spread();
    let keys = |names: &[&str]| Spread::Keys(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(spread("alarms"), Spread::Rows);
    assert_eq!(spread("gas_overdue"), keys(&["household"]));
    assert_eq!(spread("district_1m"), keys(&["district", "property", "unit"]));
    assert_eq!(spread("hotspots"), keys(&["category", "district", "place"]));
    assert_eq!(spread("surge"), keys(&["category", "district"]));
    assert!(matches!(spread("thresholds"), Spread::Keys(names) if names.len() == 1), "by what its latch tells apart");
    assert!(matches!(spread("no_signal"), Spread::One(_)), "it counts what was heard in all");
}

#[tokio::test]
async fn one_slice_notes_what_no_window_can_count() {
    let insert = JOBS[0].0;
    let record = |second| Record { second, kind: "a", data: r#"{"k":"k","v":1.0}"#.to_owned() };
    let log = Log::one(vec![record(None), record(Some(1)), record(Some(1_000_000)), record(Some(2))]);
    let splitter = Splitter::new(job(insert), 3).unwrap();
    let mut late = Vec::new();
    for slice in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let mut runner = Runner::open(job(insert).slice(slice, 3), folder.path(), config(1)).await.unwrap();
        let (chunk, mut sink) = (log.chunk(0, 0, 4), Memory::default());
        let mut split = splitter.split(chunk.clone(), at(3)).await.unwrap();
        assert_eq!(split.reached_us, Some((crate::common::START_S + 2 - 20) * 1_000_000), "what lies in the future moves nothing");
        let part = pipelines::Chunk { rows: split.parts.swap_remove(slice as usize), ..chunk };
        runner.push_part(part, split.reached_us).unwrap();
        runner.close_all(at(3), &mut sink).await.unwrap();
        late.extend(sink.late().iter().map(|row| (row["offset"].as_i64().unwrap(), row["reason"].as_str().unwrap().to_owned())));
    }
    late.sort();
    assert_eq!(late, [(0, "it has no event time".to_owned()), (2, "its event time lies in the future".to_owned())]);
}
