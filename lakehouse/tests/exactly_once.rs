//! What the lake promises: rows once, positions with them, readable as of any commit.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use lakehouse::{Append, AsOf, Lake, Lander, LanderConfig, TableName, Txn};
use schemas::Registry;

/// Observations in the bronze schema, offsets from `first`.
fn observations(first: i64, data: &[&str]) -> RecordBatch {
    let rows = data.len();
    let ids: Vec<String> = (0..rows).map(|row| format!("e-{}", first + row as i64)).collect();
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![Some(value.to_owned()); rows])) };
    let none = || -> ArrayRef { Arc::new(StringArray::from(vec![None::<String>; rows])) };
    let time = || -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![1_752_800_400_000_000; rows]).with_timezone("UTC")) };
    RecordBatch::try_from_iter_with_nullable([
        ("topic", text("raw.sensor"), true),
        ("partition", Arc::new(Int32Array::from(vec![0; rows])) as ArrayRef, true),
        ("offset", Arc::new(Int64Array::from_iter_values(first..first + rows as i64)) as ArrayRef, true),
        ("kafka_time", time(), true),
        ("key", none(), true),
        ("ce_id", Arc::new(StringArray::from(ids)) as ArrayRef, true),
        ("ce_source", text("test"), true),
        ("ce_type", text("io.citybrain.sensor.observation.v1"), true),
        ("ce_subject", none(), true),
        ("ce_time", time(), true),
        ("recorded_time", time(), true),
        ("correlation_id", none(), true),
        ("causation_id", none(), true),
        ("extensions", none(), true),
        ("data", Arc::new(StringArray::from(data.to_vec())) as ArrayRef, true),
    ])
    .unwrap()
}

async fn one(lake: &Lake, query: &str, as_of: Option<AsOf>) -> String {
    let batches = lake.query(query, as_of).await.unwrap();
    arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string().lines().nth(3).unwrap_or("nothing").trim_matches(['|', ' ']).to_owned()
}

fn lander(lake: &Lake) -> Lander {
    Lander::new(lake.clone(), Arc::new(Registry::builtin()), LanderConfig::default())
}

#[tokio::test]
async fn a_repeated_append_is_swallowed_by_the_table() {
    let dir = tempfile::tempdir().unwrap();
    let table = TableName::new("bronze", "raw_sensor");
    let txn = |version| [Txn { app_id: "raw.sensor/0".into(), version }];
    let rows = || vec![observations(0, &["{}", "{}"])];
    let lake = Lake::open(dir.path()).await.unwrap();
    assert!(matches!(lake.append(&table, rows(), &txn(2)).await.unwrap(), Append::Committed { .. }));
    assert_eq!(lake.append(&table, rows(), &txn(2)).await.unwrap(), Append::AlreadyApplied);
    let again = Lake::open(dir.path()).await.unwrap();
    assert_eq!(again.append(&table, rows(), &txn(2)).await.unwrap(), Append::AlreadyApplied);
    assert_eq!(again.position(&table, "raw.sensor/0").await.unwrap(), Some(2));
    assert_eq!(one(&again, "SELECT count(*) FROM bronze.raw_sensor", None).await, "2");
}

#[tokio::test]
async fn a_refused_commit_can_be_tried_again_and_stands_once() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path()).await.unwrap();
    let table = TableName::new("bronze", "raw_sensor");
    let txn = |version| [Txn { app_id: "raw.sensor/0".into(), version }];
    lake.append(&table, vec![observations(0, &["{}"])], &txn(1)).await.unwrap();
    // A folder stands where the next commit goes.
    let next = lake.path(&table).join("_delta_log/00000000000000000002.json");
    std::fs::create_dir(&next).unwrap();
    let refused = lake.append(&table, vec![observations(1, &["{}"])], &txn(2)).await.unwrap_err();
    assert!(refused.is_transient(), "{refused}");
    std::fs::remove_dir(&next).unwrap();
    assert!(matches!(lake.append(&table, vec![observations(1, &["{}"])], &txn(2)).await.unwrap(), Append::Committed { .. }));
    assert_eq!(lake.append(&table, vec![observations(1, &["{}"])], &txn(2)).await.unwrap(), Append::AlreadyApplied);
    assert_eq!(one(&lake, "SELECT string_agg(CAST(\"offset\" AS VARCHAR), ' ' ORDER BY \"offset\") FROM bronze.raw_sensor", None).await, "0 1");
}

#[tokio::test]
async fn many_commits_through_one_handle_stand_once_each() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path()).await.unwrap();
    let table = TableName::new("bronze", "raw_sensor");
    let append = async |offset: i64| lake.append(&table, vec![observations(offset, &["{}"])], &[Txn { app_id: "raw.sensor/0".into(), version: offset + 1 }]).await.unwrap();
    for offset in 0..110 {
        append(offset).await;
        assert_eq!(append(offset).await, Append::AlreadyApplied, "{offset}");
    }
    assert!(lake.path(&table).join("_delta_log/_last_checkpoint").exists(), "the handle was read anew after a checkpoint");
    assert_eq!(one(&lake, "SELECT count(*) || '/' || count(DISTINCT \"offset\") FROM bronze.raw_sensor", None).await, "110/110");
    assert_eq!(Lake::open(dir.path()).await.unwrap().position(&table, "raw.sensor/0").await.unwrap(), Some(110));
}

#[tokio::test]
async fn what_is_pushed_again_after_a_restart_lands_once() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path()).await.unwrap();
    let good = r#"{"datastream": "d", "result": 1.5}"#;
    let mut first = lander(&lake);
    first.push(observations(0, &[good, good, r#"{"result": "wet"}"#]), "raw.sensor", 0, 3, None).await.unwrap();
    let rejected = first.take_rejected();
    assert_eq!((first.flush().await.unwrap().rows, rejected.len()), (3, 1));
    assert_eq!(rejected[0].offset, 2);

    let lake = Lake::open(dir.path()).await.unwrap();
    let mut second = lander(&lake);
    assert_eq!(second.position("raw.sensor", 0).await.unwrap(), 3);
    second.push(observations(1, &[good, good, good]), "raw.sensor", 0, 4, None).await.unwrap();
    second.flush().await.unwrap();
    assert_eq!(one(&lake, "SELECT count(*) || '/' || count(DISTINCT \"offset\") FROM bronze.raw_sensor", None).await, "4/4");
    assert_eq!(one(&lake, "SELECT count(*) || '/' || sum(result) FROM silver.sensor_observation", None).await, "3/4.5");
}

#[tokio::test]
async fn a_repeat_is_in_bronze_and_not_in_silver() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path()).await.unwrap();
    let good = r#"{"datastream": "d", "result": 1.5}"#;
    let mut lander = lander(&lake);
    let firsts = BooleanArray::from(vec![true, false, true]);
    lander.push(observations(0, &[good, good, good]), "raw.sensor", 0, 3, Some(&firsts)).await.unwrap();
    // What stands before the position is passed over, with what is said of it.
    lander.push(observations(1, &[good, good, good]), "raw.sensor", 0, 4, Some(&BooleanArray::from(vec![false, true, false]))).await.unwrap();
    lander.flush().await.unwrap();
    assert_eq!(one(&lake, "SELECT count(*) FROM bronze.raw_sensor", None).await, "4");
    assert_eq!(one(&lake, "SELECT string_agg(CAST(\"offset\" AS VARCHAR), ' ' ORDER BY \"offset\") FROM silver.sensor_observation", None).await, "0 2");
}

#[tokio::test]
async fn a_crash_between_silver_and_bronze_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let good = r#"{"datastream": "d", "result": 1.5}"#;
    let lake = Lake::open(dir.path()).await.unwrap();
    let mut first = lander(&lake);
    first.push(observations(0, &[good]), "raw.sensor", 0, 1, None).await.unwrap();
    first.flush().await.unwrap();
    // Bronze cannot be written: a file stands where its log is.
    first.push(observations(1, &[good]), "raw.sensor", 0, 2, None).await.unwrap();
    let log = dir.path().join("bronze/raw_sensor/_delta_log");
    let aside = dir.path().join("aside");
    std::fs::rename(&log, &aside).unwrap();
    std::fs::write(&log, "").unwrap();
    assert!(first.flush().await.is_err());
    std::fs::remove_file(&log).unwrap();
    std::fs::rename(&aside, &log).unwrap();

    let lake = Lake::open(dir.path()).await.unwrap();
    let mut second = lander(&lake);
    let from = second.position("raw.sensor", 0).await.unwrap();
    assert_eq!(from, 1, "bronze has not moved");
    second.push(observations(1, &[good]), "raw.sensor", 0, 2, None).await.unwrap();
    second.flush().await.unwrap();
    for table in ["bronze.raw_sensor", "silver.sensor_observation"] {
        assert_eq!(one(&lake, &format!("SELECT count(*) FROM {table}"), None).await, "2", "{table}");
    }
}

#[tokio::test]
async fn a_table_widens_and_the_past_stays() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path()).await.unwrap();
    let table = TableName::new("gold", "trees");
    let tree = |name: &'static str| ("tree", Arc::new(StringArray::from(vec![name])) as ArrayRef, true);
    let narrow = RecordBatch::try_from_iter_with_nullable([tree("oak")]).unwrap();
    let wide = RecordBatch::try_from_iter_with_nullable([tree("elm"), ("height", Arc::new(Int64Array::from(vec![7])) as ArrayRef, true)]).unwrap();
    lake.append(&table, vec![narrow], &[]).await.unwrap();
    let Append::Committed { version } = lake.append(&table, vec![wide], &[]).await.unwrap() else { panic!("rows without positions are always news") };
    assert_eq!(one(&lake, "SELECT count(*) || ' ' || sum(height) FROM gold.trees", None).await, "2 7");
    assert_eq!(one(&lake, "SELECT count(*) FROM gold.trees", Some(AsOf::Version(version - 1))).await, "1");
}

#[tokio::test]
async fn queries_only_read() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path()).await.unwrap();
    lake.append(&TableName::new("bronze", "raw_sensor"), vec![observations(0, &["{}"])], &[]).await.unwrap();
    for query in ["DROP TABLE bronze.raw_sensor", "CREATE TABLE x AS SELECT 1", "DELETE FROM bronze.raw_sensor", "COPY bronze.raw_sensor TO '/tmp/x.csv'", "SET datafusion.execution.batch_size = 1"] {
        assert!(lake.sql(query, None).await.is_err(), "{query}");
    }
    assert_eq!(one(&lake, "SELECT json_get_int(data, 'x') IS NULL FROM bronze.raw_sensor", None).await, "true");
    assert_eq!(one(&lake, "SELECT count(*) FROM information_schema.columns WHERE table_name = 'raw_sensor'", None).await, "15");
}

#[tokio::test]
async fn compaction_keeps_every_row() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path()).await.unwrap();
    let mut lander = lander(&lake);
    for offset in 0..20 {
        lander.push(observations(offset, &[r#"{"datastream": "d", "result": 1}"#]), "raw.sensor", 0, offset + 1, None).await.unwrap();
        lander.flush().await.unwrap();
    }
    lake.maintain().await.unwrap();
    assert_eq!(one(&lake, "SELECT count(*) || ' ' || sum(\"offset\") FROM bronze.raw_sensor", None).await, "20 190");
    lander.push(observations(20, &["{}"]), "raw.sensor", 0, 21, None).await.unwrap();
    lander.flush().await.unwrap();
    assert_eq!(one(&Lake::open(dir.path()).await.unwrap(), "SELECT count(*) FROM bronze.raw_sensor", None).await, "21");
}
