//! Files in: made-up ones, broken ones, and the first rows of the real ones.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common::{Running, dlq, door};
use gateway::memory::MemoryLog;
use gateway::{Cancel, DoorSink, HttpSink, ImportOptions, ImportReport, Importer, Mapping, Types};
use schemas::{Event, Registry};

fn types() -> Arc<Types> {
    Arc::new(Types::new(Arc::new(Registry::builtin())))
}

async fn import(door: &Arc<gateway::Door>, mapping: &str, files: &[PathBuf], options: ImportOptions) -> ImportReport {
    let mapping = Mapping::load(mapping).unwrap();
    Importer::new(mapping, types(), DoorSink::new(Arc::clone(door)), options).run(files).await.unwrap()
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn events(log: &MemoryLog, topic: &str) -> Vec<Event> {
    log.records(topic)
        .iter()
        .map(|record| Event::from_kafka(record.key.as_deref(), record.header_refs(), record.value.as_deref()).unwrap())
        .collect()
}

const BALTIMORE: &str = "ServiceRequestNum,SRType,CreatedDate,CloseDate,SRStatus,Latitude\n\
    2,Rat,2014-05-01 00:00:00,2014-05-03 00:00:00,Closed,39.3\n\
    1,\"Tree, fallen\",2014-04-30 00:00:00,2014-05-02 00:00:00,Closed,\n\
    3,Rat,not a time,,Open,39.3\n\
    4,Rat\n\
    5,Rat,2014-05-04 00:00:00,,Open,far north\n";

#[tokio::test]
async fn rows_become_events_in_time_order_and_wrong_ones_are_kept() {
    let (dir, log) = (tempfile::tempdir().unwrap(), MemoryLog::new());
    let door = door(&log);
    let file = write(dir.path(), "b.csv", BALTIMORE.as_bytes());
    let report = import(&door, "baltimore", std::slice::from_ref(&file), ImportOptions::default()).await;
    assert_eq!((report.read, report.events, report.accepted, report.duplicate, report.refused), (5, 7, 4, 0, 3));
    let ids: Vec<String> = events(&log, "raw.workorder").into_iter().map(|event| event.id).collect();
    assert_eq!(ids, ["1:created", "2:created", "1:closed", "2:closed"]);
    let kept = dlq(&log);
    let seen: Vec<String> = kept.iter().map(|row| format!("{} {}", row["place"], row["reason"].as_str().unwrap())).collect();
    assert_eq!(seen.len(), 3);
    assert!(seen[0].contains("\"row\":3") && seen[0].contains("CreatedDate"), "{seen:?}");
    assert!(seen[1].contains("\"row\":4") && seen[1].contains("2 fields"), "{seen:?}");
    assert!(seen[2].contains("\"row\":5") && seen[2].contains("Latitude"), "{seen:?}");
    // Again, packed: nothing is doubled, nor kept twice.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(BALTIMORE.as_bytes()).unwrap();
    let packed = write(&dir.path().join("."), "b.csv.gz", &gzip.finish().unwrap());
    let report = import(&door, "baltimore", &[packed], ImportOptions::default()).await;
    assert_eq!((report.accepted, report.duplicate, report.refused), (0, 4, 3));
    let zstd = write(dir.path(), "b.csv.zst", &zstd::encode_all(BALTIMORE.as_bytes(), 1).unwrap());
    assert_eq!(import(&door, "baltimore", &[zstd], ImportOptions::default()).await.duplicate, 4);
    assert_eq!(log.counts()["raw.workorder"], 4);
}

#[tokio::test]
async fn the_same_rows_as_json_lines() {
    let (dir, log) = (tempfile::tempdir().unwrap(), MemoryLog::new());
    let lines = "{\"ServiceRequestNum\": 7, \"SRType\": \"Rat\", \"CreatedDate\": \"2014-05-01T00:00:00-04:00\", \"SRStatus\": \"Open\", \"CloseDate\": null, \"Latitude\": 39.3}\n\
        not json\n\n{\"SRType\": 1}\n";
    let file = write(dir.path(), "b.jsonl", lines.as_bytes());
    let report = import(&door(&log), "baltimore", &[file], ImportOptions::default()).await;
    assert_eq!((report.read, report.accepted, report.refused), (3, 1, 2));
    let event = &events(&log, "raw.workorder")[0];
    assert_eq!((event.id.as_str(), event.time.unwrap().timestamp()), ("7:created", 1_398_916_800));
}

#[tokio::test]
async fn broken_files_say_where_and_the_rest_goes_in() {
    let (dir, log) = (tempfile::tempdir().unwrap(), MemoryLog::new());
    let door = door(&log);
    let mut rows = String::from("ServiceRequestNum,SRType,CreatedDate,CloseDate,SRStatus\n");
    for at in 0..20_000 {
        rows.push_str(&format!("{at},Rat {},2014-05-01 00:00:{:02},,Open\n", at * 7919 % 10_007, at % 60));
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(rows.as_bytes()).unwrap();
    let whole = gzip.finish().unwrap();
    let cut = write(dir.path(), "cut.csv.gz", &whole[..whole.len() / 2]);
    let good = write(dir.path(), "good.csv", b"ServiceRequestNum,SRType,CreatedDate,CloseDate,SRStatus\nz,Rat,2014-05-01 00:00:00,,Open\n");
    let report = import(&door, "baltimore", &[cut, good], ImportOptions::default()).await;
    assert!(report.accepted > 1_000 && report.accepted < 20_000, "{report:?}");
    assert_eq!(report.refused, 1);
    assert!(report.refused_listed[0].refusal.reason.contains("cannot be read beyond row"), "{report:?}");
    let (gbk, _, _) = encoding_rs::GBK.encode("留言编号,留言用户,留言主题,留言时间,留言详情\n1,a,路灯,2019/1/1 0:00:00,不亮\n");
    let gbk = write(dir.path(), "gbk.csv", &gbk);
    let run = |file: PathBuf, mapping: Mapping| {
        let importer = Importer::new(mapping, types(), DoorSink::new(Arc::clone(&door)), ImportOptions::default());
        async move { importer.run(&[file]).await }
    };
    let error = run(gbk.clone(), Mapping::load("hotline").unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("GBK"), "{error}");
    let text = "name='g'\nsource='urn:g'\norder='file'\nencoding='gbk'\n[[event]]\ntype='hotline.message'\nid='{留言编号}'\ntime={column='留言时间',format='%Y/%m/%d %H:%M:%S',timezone='Asia/Shanghai'}\n[event.data]\nmessage_id='留言编号'\ntext='留言详情'\n";
    assert_eq!(run(gbk, Mapping::parse("g", text).unwrap()).await.unwrap().accepted, 1);
    for (name, bytes, part) in [
        ("x.parquet", &b"PAR1 this is no parquet"[..], "beyond row 0"),
        ("x.xlsx", b"PK", "only .csv"),
        ("wrong.csv", b"a,b\n1,2\n", "no column"),
    ] {
        let file = write(dir.path(), name, bytes);
        let told = match run(file, Mapping::load("taipei").unwrap()).await {
            Ok(report) => report.refused_listed[0].refusal.reason.clone(),
            Err(error) => format!("{error}: {}", std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default()),
        };
        assert!(told.contains(part), "{name}: {told}");
    }
    assert!(run(dir.path().join("none.csv"), Mapping::load("nyc").unwrap()).await.is_err());
    let mut quote = b"ServiceRequestNum,SRType,CreatedDate,CloseDate,SRStatus\n1,\"Rat,2014-05-01 00:00:00,,Open\n".to_vec();
    quote.extend(std::iter::repeat_n(b"2,Rat,2014-05-01 00:00:00,,Open\n", 800_000).flatten());
    let quote = write(dir.path(), "quote.csv", &quote);
    let report = run(quote, Mapping::load("baltimore").unwrap()).await.unwrap();
    assert!(report.refused_listed[0].refusal.reason.contains("quote"), "{report:?}");
}

#[tokio::test]
async fn a_running_brain_takes_imports_over_http() {
    let running = Running::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "b.csv", BALTIMORE.as_bytes());
    for expected in [(4, 0, 3), (0, 4, 3)] {
        let sink = HttpSink::new(running.address.clone(), None);
        let report =
            Importer::new(Mapping::load("baltimore").unwrap(), types(), sink, ImportOptions::default()).run(std::slice::from_ref(&file)).await.unwrap();
        assert_eq!((report.accepted, report.duplicate, report.refused), expected);
    }
    assert_eq!((running.log.counts()["raw.workorder"], running.log.counts()["dlq"]), (4, 3));
    running.stop().await;
}

#[tokio::test]
async fn an_import_stops_when_told_even_if_the_bus_does_not_answer() {
    let (dir, log) = (tempfile::tempdir().unwrap(), MemoryLog::new());
    let mut rows = String::from("item,district,road,ts\n");
    for at in 0..50_000 {
        rows.push_str(&format!("路面積淹水,大安區,road {at},2015-07-01 00:00:00\n"));
    }
    let file = write(dir.path(), "t.csv", rows.as_bytes());
    log.set_held(true);
    let cancel = Cancel::default();
    let options = ImportOptions { cancel: cancel.clone(), ..ImportOptions::default() };
    let sink = DoorSink::new(door(&log));
    let importing = tokio::spawn(async move { Importer::new(Mapping::load("taipei").unwrap(), types(), sink, options).run(&[file]).await });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    cancel.cancel();
    log.set_held(false);
    let report = importing.await.unwrap().unwrap();
    assert!(report.cancelled && report.accepted < 50_000, "{report:?}");
}

#[tokio::test]
async fn event_time_sets_the_pace() {
    let (dir, log) = (tempfile::tempdir().unwrap(), MemoryLog::new());
    let file = write(dir.path(), "b.csv", BALTIMORE.as_bytes());
    let options = ImportOptions { speed: Some(1e7), ..ImportOptions::default() };
    assert_eq!(import(&door(&log), "baltimore", &[file], options).await.accepted, 4);
}

/// Where the real files are, if they are anywhere.
fn data() -> Option<PathBuf> {
    let named = std::env::var_os("CITYBRAIN_DATA").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let found = named.into_iter().chain([beside]).find(|path| path.is_dir());
    if found.is_none() {
        eprintln!("skipped: neither CITYBRAIN_DATA nor ../shared/data is there");
    }
    found
}

#[tokio::test]
async fn the_first_rows_of_the_real_files() {
    let Some(data) = data() else { return };
    let cases: [(&str, &str, &str, u64); 8] = [
        ("houston", "work_orders/houston311_2011_2017.parquet", "raw.workorder", 4_000),
        ("baltimore", "work_orders/baltimore311_7000.csv.gz", "raw.workorder", 3_900),
        ("nyc", "work_orders/nyc311_2013-12-25.csv.gz", "raw.workorder", 3_800),
        ("taipei", "dispatch_cases/taipei1999_2015_2024.parquet", "raw.workorder", 2_000),
        ("hotline", "hotline_messages/labelled_raw.csv.gz", "raw.hotline", 2_000),
        ("hotline", "hotline_messages/unlabelled.csv.gz", "raw.hotline", 2_000),
        ("hotline", "hotline_messages/hotspot_stream_2019.csv.gz", "raw.hotline", 2_000),
        ("air-beijing", "sensors/air_beijing/prsa_12stations_2013_2017.parquet", "raw.sensor", 20_000),
    ];
    for (mapping, file, topic, least) in cases {
        let path = data.join(file);
        if !path.is_file() {
            eprintln!("skipped: {file} is not there");
            continue;
        }
        let log = MemoryLog::new();
        let door = door(&log);
        let options = ImportOptions { rows_max: Some(2_000), ..ImportOptions::default() };
        let report = import(&door, mapping, std::slice::from_ref(&path), options.clone()).await;
        let refused: Vec<_> = report.refused_listed.iter().take(3).map(|row| (&row.place, &row.refusal.reason)).collect();
        assert_eq!(report.refused, 0, "{file}: {refused:?}");
        assert_eq!(report.read, 2_000, "{file}");
        assert!(report.accepted >= least, "{file}: {} events", report.accepted);
        let events = events(&log, topic);
        assert_eq!(events.len() as u64, report.accepted);
        let times: Vec<_> = events.iter().map(|event| event.time.unwrap_or(chrono::DateTime::<chrono::Utc>::MAX_UTC)).collect();
        assert!(times.is_sorted(), "{file}: in time order");
        let again = import(&door, mapping, std::slice::from_ref(&path), options).await;
        assert_eq!((again.accepted, again.duplicate), (0, report.accepted), "{file}: nothing is doubled");
    }
}
