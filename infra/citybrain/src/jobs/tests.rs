//! Jobs at work on a broker of their own: one that stands still holds up nobody, and gives nothing twice when it goes on.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Schema;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker::{Broker, BrokerConfig};
use bus::{Bus, BusConfig, Filter, Outgoing, Tap, TapConfig, TopicSpec};
use chrono::{DateTime, Utc};
use lakehouse::{Lake, TableName};
use pipelines::{EpochOutput, FailedRecord, Job};
use schemas::Event;
use serde_json::json;
use tokio::sync::watch;

use super::figures::Desk;
use super::record;
use super::side::{SideTables, SideWriters};
use super::work::{Goal, Tools, Work};
use crate::home::Home;
use crate::lake::integer;
use crate::progress::{Positions, Progress};
use crate::refused::RefusedLog;

const TYPE: &str = "io.citybrain.sensor.observation.v1";

/// A broker with one topic of two partitions, a home, and a job that writes each reading to a table.
struct World {
    home: Home,
    bus: Bus,
    lake: Lake,
    broker: Broker,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let mut config = BrokerConfig::new(home.dir("broker"));
        config.listen = "127.0.0.1:0".parse().unwrap();
        let broker = Broker::start(config).await.unwrap();
        let bus = Bus::connect(BusConfig::new(broker.addr().to_string())).await.unwrap();
        bus.ensure_topics(&[TopicSpec::new("raw.sensor", 2)]).await.unwrap();
        let lake = Lake::open(&home.dir("lake")).await.unwrap();
        World { home, bus, lake, broker, _dir: dir }
    }

    fn tools(&self, shared: Option<Arc<Tap>>) -> Tools {
        Tools { source: self.bus.clone(), shared, sink: self.bus.clone(), lake: self.lake.clone(), side: SideWriters::start(&self.lake), commit_every: Duration::ZERO }
    }

    /// Readings of two stations for these seconds.
    async fn feed(&self, seconds: std::ops::Range<i64>) {
        let producer = self.bus.producer().unwrap();
        let records: Vec<_> = seconds
            .flat_map(|second| ["a", "b"].map(|station| (second, station)))
            .map(|(second, station)| {
                let mut event = Event::new(format!("{station}-{second}"), "test".to_owned(), TYPE.to_owned());
                event.time = DateTime::<Utc>::from_timestamp(1_784_332_800 + second, 0);
                event.partition_key = Some(station.to_owned());
                event.with_json(&json!({ "station": station, "result": second })).to_kafka()
            })
            .collect();
        let outgoing: Vec<_> = records.iter().map(|record| Outgoing { topic: "raw.sensor", record, timestamp_ms: None }).collect();
        for sent in producer.send_all(&outgoing).await.unwrap() {
            sent.unwrap();
        }
    }

    async fn goal(&self) -> Goal {
        let ends = self.bus.ends(&Filter::topics(["raw.sensor"])).await.unwrap();
        Goal { ends: ends.into_iter().filter(|(_, end)| *end > 0).collect(), close: false, refusals_max: 1 }
    }

    /// Rows of the job's table, and how many of them are different.
    async fn count(&self) -> (i64, i64) {
        let rows = crate::lake::rows(&self.lake, "SELECT count(*) AS n, count(DISTINCT station || result) AS d FROM gold.each").await.unwrap();
        (integer(&rows[0], "n"), integer(&rows[0], "d"))
    }

    async fn end(self) {
        drop((self.bus, self.lake));
        self.broker.shutdown().await;
    }
}

fn job() -> Job {
    let sql = format!(
        "CREATE TABLE r (station TEXT, result DOUBLE) WITH (connector = 'kafka', topic = 'raw.sensor', 'event.type' = '{TYPE}');
         CREATE TABLE each WITH (connector = 'delta', path = 'gold.each');
         INSERT INTO each SELECT station, result FROM r"
    );
    Job::parse("each", &sql, &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn progress() -> Progress {
    Progress::new("job each")
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not come in half a minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_sink_leaves_the_shared_tap_and_loses_and_doubles_nothing() {
    let world = World::new().await;
    world.feed(0..50).await;
    let tap = Arc::new(Tap::start(world.bus.clone(), TapConfig::default()).unwrap());
    let (handle, work) = Work::open(job(), &world.home, &world.tools(Some(tap.clone())), Desk::default(), progress(), None).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(work.run(stopped));
    until("the first rows", async || handle.desk.read().rows_out == 100).await;

    // The table's log is gone for a while, as on a disk that is.
    let log = world.lake.path(&TableName::new("gold", "each")).join("_delta_log");
    let aside = log.with_extension("aside");
    std::fs::rename(&log, &aside).unwrap();
    std::fs::write(&log, "no folder").unwrap();
    world.feed(50..80).await;
    until("a refusal", async || handle.refusal().is_some()).await;
    until("the tap without the job", async || tap.lags().await.is_empty()).await;
    assert!(handle.is_alive(), "a sink that refuses does not end its job");
    world.feed(80..90).await;

    std::fs::remove_file(&log).unwrap();
    std::fs::rename(&aside, &log).unwrap();
    until("the rest", async || handle.refusal().is_none() && world.count().await == (180, 180)).await;
    stop.send_replace(true);
    task.await.unwrap().unwrap();
    assert!(!handle.is_alive());
    tap.stop().await;
    drop(tap);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_a_goal_ends_there_and_the_next_goes_on() {
    let world = World::new().await;
    world.feed(0..50).await;
    for (feed, expected) in [(50..50, 100), (50..70, 140), (70..70, 140)] {
        world.feed(feed).await;
        let mut goal = world.goal().await;
        let known = record::Record::read(&world.home, "each").unwrap().start(Positions::new());
        assert!(known.is_empty(), "where it is stands in its state");
        goal.ends.retain(|_, end| *end > 0);
        let (handle, work) = Work::open(job(), &world.home, &world.tools(None), Desk::default(), progress(), Some(goal.clone())).await.unwrap();
        // What comes after the start is for the next run.
        let (_stop, stopped) = watch::channel(false);
        work.run(stopped).await.unwrap();
        let figures = handle.desk.read();
        assert_eq!(figures.positions, record::by_text(&goal.ends));
        assert_eq!(world.count().await, (expected, expected));
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_state_counts_its_epochs_anew_and_the_table_takes_them() {
    let world = World::new().await;
    world.feed(0..10).await;
    let run = async || {
        let (_stop, stopped) = watch::channel(false);
        let goal = Some(world.goal().await);
        let (_, work) = Work::open(job(), &world.home, &world.tools(None), Desk::default(), progress(), goal).await.unwrap();
        work.run(stopped).await.unwrap();
    };
    run().await;
    // Windows are dropped, positions are kept: nothing is read again.
    record::drop_windows(&world.home, &job()).await.unwrap();
    run().await;
    assert_eq!(world.count().await, (20, 20));
    world.feed(10..20).await;
    run().await;
    assert_eq!(world.count().await, (40, 40));
    // Everything is dropped: all is read and written again.
    record::drop_state(&world.home, "each", &Positions::new()).unwrap();
    run().await;
    assert_eq!(world.count().await, (80, 40));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_for_which_a_function_fails_is_in_dlq_with_its_bytes() {
    let world = World::new().await;
    world.bus.ensure_topics(&[TopicSpec::new("dlq", 1)]).await.unwrap();
    let writers = SideWriters::start(&world.lake).with_dlq(RefusedLog::new(world.bus.producer().unwrap()));
    let side = SideTables::open(&writers, "each", "job/each", world.home.dir("state"), Positions::new()).await.unwrap();
    let record = FailedRecord { topic: "raw.sensor".into(), partition: 1, offset: 7, data: Some("{\"station\":\"a\"}".into()), reason: "function f failed: it panicked".into() };
    let output = EpochOutput {
        job: "each".into(),
        epoch: 1,
        positions: Positions::new(),
        rows: RecordBatch::new_empty(Arc::new(Schema::empty())),
        ids: Vec::new(),
        times: Vec::new(),
        late: RecordBatch::new_empty(pipelines::late_schema()),
        failed: vec![record],
        watermark: None,
    };
    // An epoch that is offered again keeps it under the same id.
    side.keep_failed(&output).await.unwrap();
    side.keep_failed(&output).await.unwrap();
    let tap = Tap::start(world.bus.clone(), TapConfig::default()).unwrap();
    let mut reader = tap.reader("test", Filter::topics(["dlq"]), Positions::new()).unwrap();
    let mut kept = Vec::new();
    while kept.len() < 2 {
        let chunk = reader.recv().await.unwrap();
        let text = |name: &str, row: usize| chunk.rows.column_by_name(name).unwrap().as_string::<i32>().value(row).to_owned();
        kept.extend((0..chunk.rows.num_rows()).map(|row| (text("ce_id", row), text("data", row))));
    }
    assert_eq!(kept[0].0, kept[1].0);
    let data: serde_json::Value = serde_json::from_str(&kept[0].1).unwrap();
    assert_eq!(data["code"], "function-failed");
    assert!(data["reason"].as_str().unwrap().contains("raw.sensor/1/7: job each: function f failed"), "{data}");
    assert_eq!(STANDARD.decode(data["original"].as_str().unwrap()).unwrap(), b"{\"station\":\"a\"}");
    tap.stop().await;
    drop((tap, side, writers));
    world.end().await;
}
