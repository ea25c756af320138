//! What misbehaves fails its rows and nothing else; what is not as its manifest says is not opened.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use common::{built, copy, fixtures, functions, query, session, short, value, worker};
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};
use proptest::prelude::*;
use udf_host::{Failure, Limits, Udfs};

fn scalar(udfs: &Udfs, name: &str) -> Arc<ScalarUDF> {
    udfs.scalars().into_iter().find(|it| it.name() == name).unwrap()
}

/// Calls `how` with the numbers of its rows as values and, from 1,000 on, as the engine's row numbers.
fn call(udfs: &Udfs, name: &str, how: &[&str]) -> Vec<Option<i64>> {
    let rows = how.len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(how.to_vec())),
        Arc::new(Int64Array::from_iter_values(0..rows as i64)),
        Arc::new(UInt64Array::from_iter_values((0..rows as u64).map(|row| row + 1_000))),
    ];
    let fields = columns.iter().map(|it| Arc::new(Field::new("x", it.data_type().clone(), true))).collect();
    let args = ScalarFunctionArgs {
        args: columns.into_iter().map(ColumnarValue::Array).collect(),
        arg_fields: fields,
        number_rows: rows,
        return_field: Arc::new(Field::new("r", DataType::Int64, true)),
        config_options: Arc::new(ConfigOptions::default()),
    };
    let values = scalar(udfs, name).invoke_with_args(args).unwrap().to_array(rows).unwrap();
    values.as_primitive::<Int64Type>().iter().collect()
}

/// Most rows are good; the bad ones stand at these places. Returns what was told of each.
fn check(name: &str, limits: Limits, bad: &[(usize, &str)]) -> Vec<String> {
    let udfs = fixtures(limits);
    let mut how = vec!["fine"; 50];
    bad.iter().for_each(|(row, word)| how[*row] = word);
    let values = call(&udfs, name, &how);
    for (row, value) in values.iter().enumerate() {
        let expected = (!bad.iter().any(|it| it.0 == row)).then_some(row as i64 * 2);
        assert_eq!(*value, expected, "row {row}");
    }
    let failures = udfs.take_failures();
    let rows: Vec<Option<u64>> = failures.iter().map(|it| it.row).collect();
    assert_eq!(rows, bad.iter().map(|it| Some(it.0 as u64 + 1_000)).collect::<Vec<_>>());
    assert!(failures.iter().all(|it| it.function == name));
    assert_eq!(udfs.take_failures(), [], "they are told once");
    // The set is as good as before.
    assert_eq!(call(&udfs, name, &["fine", "fine"]), [Some(0), Some(2)]);
    failures.into_iter().map(|it| it.reason).collect()
}

#[test]
fn a_panic_fails_its_row_and_says_why() {
    let reasons = check("misbehaves", Limits::default(), &[(0, "panic"), (7, "panic"), (49, "panic")]);
    assert_eq!(reasons, ["asked to panic with Some(0)", "asked to panic with Some(7)", "asked to panic with Some(49)"]);
}

#[test]
fn an_abort_fails_its_row() {
    let reasons = check("misbehaves", Limits::default(), &[(3, "abort"), (40, "abort")]);
    assert!(reasons.iter().all(|it| it.contains("its process ended (signal: 6")), "{reasons:?}");
}

#[test]
fn an_exit_fails_its_row() {
    let reasons = check("misbehaves", Limits::default(), &[(49, "exit")]);
    assert!(reasons[0].contains("its process ended (exit status: 0)"), "{reasons:?}");
}

#[test]
fn an_endless_recursion_fails_its_row() {
    let reasons = check("misbehaves", Limits::default(), &[(5, "overflow")]);
    assert!(reasons[0].contains("its process ended (signal"), "{reasons:?}");
}

#[test]
fn a_hang_and_a_loop_fail_their_rows() {
    let reasons = check("misbehaves", short(), &[(2, "hang"), (30, "spin")]);
    assert_eq!(reasons, ["it took longer than 700ms", "it took longer than 700ms"]);
}

#[test]
#[cfg(target_os = "linux")]
fn greed_fails_its_row() {
    let patience = Duration::from_secs(50);
    let limits = Limits { worker_bytes_max: 128 << 20, batch_timeout: patience, row_timeout: patience, total_timeout: patience * 3, ..Limits::default() };
    let reasons = check("misbehaves", limits, &[(9, "gobble")]);
    assert_eq!(reasons, ["it took more than 128 MiB of memory"]);
}

#[test]
fn printing_disturbs_nothing() {
    let udfs = fixtures(Limits::default());
    assert_eq!(call(&udfs, "misbehaves", &["print", "fine", "panic", "print"]), [Some(0), Some(2), None, Some(3)]);
    assert_eq!(udfs.take_failures().len(), 1);
}

#[test]
fn an_async_function_fails_the_same_way() {
    let reasons = check("misbehaves_async", short(), &[(1, "panic"), (20, "abort")]);
    assert_eq!(reasons[0], "asked to panic with 1");
    assert!(reasons[1].contains("its process ended"), "{reasons:?}");
    let reasons = check("misbehaves_async", short(), &[(4, "hang"), (41, "spin")]);
    assert!(reasons.iter().all(|it| it.contains("it took longer than 700ms")), "{reasons:?}");
}

#[test]
fn when_too_many_rows_stop_it_the_rest_is_not_tried() {
    let udfs = fixtures(Limits { restarts_max: 3, ..Limits::default() });
    let values = call(&udfs, "misbehaves", &["abort"; 20]);
    assert_eq!(values, [None; 20]);
    let failures = udfs.take_failures();
    assert_eq!(failures.len(), 20);
    assert!(failures[19].reason.starts_with("not tried"), "{:?}", failures[19]);
}

#[test]
fn all_rows_may_panic() {
    let udfs = fixtures(Limits { failures_max: 100, ..Limits::default() });
    assert_eq!(call(&udfs, "misbehaves", &["panic"; 300]), [None; 300]);
    let failures = udfs.take_failures();
    assert_eq!(failures.len(), 100);
    assert!(failures[99].reason.ends_with("(and 200 more failures)"), "{:?}", failures[99]);
}

#[test]
fn four_threads_at_once() {
    let udfs = fixtures(Limits { workers_max: 2, ..Limits::default() });
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let udfs = udfs.clone();
            scope.spawn(move || {
                for round in 0..20 {
                    let how: Vec<&str> = (0..64).map(|row| if row == thread * 7 + round { "panic" } else { "fine" }).collect();
                    let values = call(&udfs, "misbehaves", &how);
                    for (row, value) in values.into_iter().enumerate() {
                        assert_eq!(value, (row != thread * 7 + round).then_some(row as i64 * 2));
                    }
                }
            });
        }
    });
    assert_eq!(udfs.take_failures().len(), 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_crosses_and_null_reaches_an_option() {
    let udfs = fixtures(Limits::default());
    let session = session(&udfs);
    let all = "echoes('水', 7, 8, 1.5, true, TIMESTAMP '1970-01-01T00:00:01Z', arrow_cast('ab', 'Binary'))";
    assert_eq!(value(&session, all).await, r#"Some("水") Some(7) Some(8) Some(1.5) Some(1) Some(1000000000) Some([97, 98])"#);
    assert_eq!(value(&session, "echoes(NULL, NULL, NULL, NULL, NULL, NULL, NULL)").await, "None None None None None None None");
    assert_eq!(udfs.take_failures(), []);
    assert_eq!(value(&session, "echoes('', 5000000000, 0, 0.0, false, NULL, NULL)").await, "");
    let failures = udfs.take_failures();
    assert_eq!(failures, [Failure { function: "echoes".into(), row: None, reason: "the value of b does not fit INT".into() }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_panics_or_hangs_fails_by_itself() {
    let udfs = fixtures(short());
    let session = session(&udfs);
    let sql = "SELECT g, misbehaves_all(k, v) FROM (VALUES ('a', 1, 1.0), ('b', 1, -1.0), ('c', 1, 2.0), ('d', 1, 2e6), ('e', NULL, 3.0)) AS t(g, k, v) GROUP BY g ORDER BY g";
    let batches = query(&session, sql).await;
    let values: Vec<Option<f64>> = batches.iter().flat_map(|it| it.column(1).as_primitive::<Float64Type>().iter().collect::<Vec<_>>()).collect();
    assert_eq!(values, [Some(2.0), None, Some(3.0), None, Some(2.0)]);
    let mut reasons: Vec<String> = udfs.take_failures().into_iter().map(|it| it.reason).collect();
    reasons.sort();
    assert_eq!(reasons, ["asked to panic over 1 values", "it took longer than 700ms"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_has_a_bound() {
    let session = session(&fixtures(Limits { group_values_max: 10, ..Limits::default() }));
    let error = session.sql("SELECT misbehaves_all(value, value) FROM generate_series(1, 11)").await.unwrap().collect().await.unwrap_err();
    assert!(error.to_string().contains("misbehaves_all holds more than 10 values of one group"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn an_aggregate_does_not_depend_on_arrival_or_partitions(
        rows in proptest::collection::vec((proptest::option::of(-3i64..3), 0u32..5), 1..40),
        seed in any::<u64>(),
        partitions in 1usize..4,
    ) {
        static SHARED: std::sync::OnceLock<Udfs> = std::sync::OnceLock::new();
        let udfs = SHARED.get_or_init(|| fixtures(Limits::default()));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let run = |rows: &[(Option<i64>, u32)], partitions: usize| {
            let values: Vec<String> = rows.iter().map(|(key, value)| format!("({}, {value}.5)", key.map_or("CAST(NULL AS BIGINT)".into(), |key| key.to_string()))).collect();
            let config = datafusion::prelude::SessionConfig::new().with_target_partitions(partitions).with_batch_size(3);
            let session = datafusion::prelude::SessionContext::new_with_config(config);
            udfs.aggregates().iter().for_each(|it| session.register_udaf(it.as_ref().clone()));
            let sql = format!("SELECT misbehaves_all(k, v) FROM (SELECT * FROM (VALUES {}) AS t(k, v)) GROUP BY k % 1 ORDER BY 1", values.join(", "));
            runtime.block_on(async { query(&session, &sql).await }).iter().map(|it| format!("{:?}", it.column(0))).collect::<String>()
        };
        let mut shuffled = rows.clone();
        let mut state = seed | 1;
        for index in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(index, (state >> 33) as usize % (index + 1));
        }
        prop_assert_eq!(run(&rows, 1), run(&shuffled, partitions));
    }
}

fn refused(folder: &Path) -> String {
    Udfs::open(folder, worker(), Limits::default()).unwrap_err().to_string()
}

/// Changes a manifest of a copy of the functions that ship, and says why that is refused.
fn refused_with(name: &str, from: &str, to: &str) -> String {
    let folder = copy(&built().0);
    let path = folder.path().join(format!("{name}.udf.json"));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&path, text.replace(from, to)).unwrap();
    refused(folder.path())
}

#[test]
fn a_changed_shared_object_is_refused() {
    let folder = copy(&built().0);
    let library = folder.path().join(format!("cusum{}", std::env::consts::DLL_SUFFIX));
    let mut bytes = std::fs::read(&library).unwrap();
    bytes.push(0);
    std::fs::write(&library, bytes).unwrap();
    let told = refused(folder.path());
    assert!(told.contains("cusum") && told.contains("build both again with udfs/build.sh"), "{told}");
}

#[test]
fn changed_data_is_refused_and_changes_the_digest() {
    let folder = copy(&built().0);
    let name = ["distance_to_asset".to_owned()];
    let before = Udfs::open(folder.path(), worker(), Limits::default()).unwrap().digest(&name);
    std::fs::write(folder.path().join("assets.csv"), "kind,name,lat,lon\n").unwrap();
    let told = refused(folder.path());
    assert!(told.contains("assets.csv"), "{told}");
    let digest = blake3::hash(b"kind,name,lat,lon\n").to_hex().to_string();
    let path = folder.path().join("distance_to_asset.udf.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    manifest["data"][0]["digest"] = digest.into();
    std::fs::write(&path, manifest.to_string()).unwrap();
    assert_ne!(Udfs::open(folder.path(), worker(), Limits::default()).unwrap().digest(&name), before);
}

#[test]
fn a_manifest_that_lies_is_refused() {
    let told = refused_with("cap_severity", r#""passed_as": "i32""#, r#""passed_as": "text""#);
    assert!(told.contains("cannot cross as"), "{told}");
    let told = refused_with("cap_severity", "\"passed_as\": \"i32\",\n      \"type\": \"INT\"", "\"passed_as\": \"i64\",\n      \"type\": \"BIGINT\"");
    assert!(told.contains("cap_severity") && told.contains("does not take the types of its manifest"), "{told}");
    let told = refused_with("cap_severity", "\"passed_as\": \"text\",\n    \"type\": \"TEXT\"", "\"passed_as\": \"f64\",\n    \"type\": \"DOUBLE\"");
    assert!(told.contains("it gives Utf8, but its manifest says Float64"), "{told}");
    let told = refused_with("cusum", "\"passed_as\": \"f64\",\n      \"type\": \"DOUBLE\"", "\"passed_as\": \"i64\",\n      \"type\": \"BIGINT\"");
    assert!(told.contains("cusum") && told.contains("does not take the types of its manifest"), "{told}");
    let told = refused_with("cusum", r#""kind": "aggregate""#, r#""kind": "async""#);
    assert!(told.contains("has no symbol __start"), "{told}");
    let told = refused_with("distance_to_asset", r#""kind": "async""#, r#""kind": "scalar""#);
    assert!(told.contains("has no symbol __run"), "{told}");
}

#[test]
fn what_is_no_manifest_is_refused() {
    let told = refused_with("cap_severity", "{", "[");
    assert!(told.contains("cap_severity.udf.json: is no manifest"), "{told}");
    let told = refused_with("cap_severity", r#""library": ""#, r#""library": "../"#);
    assert!(told.contains("must be the name of a file in the same folder"), "{told}");
    let told = refused_with("cap_severity", r#""name": "cap_severity""#, r#""name": "cusum""#);
    assert!(told.contains("names the function cusum too"), "{told}");
    let told = refused_with("cap_severity", r#""name": "cap_severity""#, r#""name": "Cap""#);
    assert!(told.contains("is no name for a function"), "{told}");
    assert!(refused(Path::new("nowhere")).contains("could not read nowhere"));
}

/// Makes a manifest fit a library with these bytes.
fn refused_library(bytes: &[u8]) -> String {
    let folder = copy(&built().0);
    let path = folder.path().join("cusum.udf.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    manifest["digest"] = blake3::hash(bytes).to_hex().to_string().into();
    std::fs::write(folder.path().join(manifest["library"].as_str().unwrap()), bytes).unwrap();
    std::fs::write(&path, manifest.to_string()).unwrap();
    refused(folder.path())
}

#[test]
fn what_is_no_shared_object_is_refused() {
    let told = refused_library(b"not at all");
    assert!(told.contains("is no shared object for this machine"), "{told}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_shared_object_without_the_symbols_is_refused() {
    // Any other shared object of this machine will do: the C library that this very process has mapped.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let library = maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.contains("libc.so") || path.contains("ld-linux")).unwrap();
    let told = refused_library(&std::fs::read(library).unwrap());
    assert!(told.contains("has no symbol __run"), "{told}");
}

#[test]
fn a_worker_that_is_none_is_told() {
    let nobody = udf_host::WorkerCommand { program: "/nonexistent/worker".into(), args: Vec::new() };
    let told = Udfs::open(&built().0, nobody, Limits::default()).unwrap_err().to_string();
    assert!(told.contains("could not start /nonexistent/worker"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn opened_again_after_a_change() {
    let folder = copy(&built().0);
    let before = Udfs::open(folder.path(), worker(), Limits::default()).unwrap();
    assert_eq!(value(&session(&before), "cap_severity(1)").await, "Extreme");
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if !path.file_name().unwrap().to_string_lossy().starts_with("text_normalise") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let after = Udfs::open(folder.path(), worker(), Limits::default()).unwrap();
    assert_eq!(after.manifests().len(), 1);
    assert_eq!(value(&session(&after), "text_normalise('ＡＢＣ')").await, "abc");
    assert_eq!(value(&session(&before), "cap_severity(1)").await, "Extreme", "what is mapped stays mapped");
}

#[test]
fn digests_know_names_and_not_their_order() {
    let udfs = functions();
    let digest = |names: &[&str]| udfs.digest(&names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
    assert_eq!(digest(&["cusum", "h3_cell"]), digest(&["h3_cell", "cusum", "cusum"]));
    assert_ne!(digest(&["cusum"]), digest(&["h3_cell"]));
    assert_ne!(digest(&["cusum"]), Udfs::none().digest(&["cusum".into()]));
    assert!(Udfs::none().scalars().is_empty() && Udfs::none().aggregates().is_empty() && Udfs::none().manifests().is_empty());
    assert_eq!(Udfs::none().take_failures(), []);
}
