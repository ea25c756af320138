//! What the tests share: the functions of `udfs/`, built once, and a session that knows them.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use udf_host::{Limits, Udfs, WorkerCommand};

pub fn worker() -> WorkerCommand {
    WorkerCommand { program: env!("CARGO_BIN_EXE_udf-worker").into(), args: Vec::new() }
}

/// The workspace of the functions.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../udfs").canonicalize().expect("udfs/ lies in the repository")
}

/// Where it is built: `CITYBRAIN_UDF_TARGET`, or `udfs/target`.
pub fn target() -> PathBuf {
    std::env::var_os("CITYBRAIN_UDF_TARGET").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// The folders of the functions that ship and of those that misbehave, built by `udfs/build.sh`.
pub fn built() -> &'static (PathBuf, PathBuf) {
    static BUILT: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    BUILT.get_or_init(|| {
        // Each test program has its own, so that none takes away what another has mapped.
        let program = std::env::current_exe().expect("a test knows its program");
        let out = target().join("tests").join(program.file_stem().expect("a program has a name"));
        let (functions, fixtures) = (out.join("functions"), out.join("fixtures"));
        build(&workspace(), &functions, "functions");
        build(&workspace(), &fixtures, "fixtures");
        (functions, fixtures)
    })
}

/// Builds all functions in one folder of the workspace.
fn build(workspace: &Path, out: &Path, folder: &str) {
    let entries = std::fs::read_dir(workspace.join(folder)).expect("the folder can be listed");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name().to_string_lossy().into_owned();
    let mut names: Vec<String> = entries.map(|entry| format!("{folder}/{}", name(entry))).collect();
    names.sort();
    build_some(workspace, out, &names.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Runs a workspace's `build.sh` for some of its functions.
pub fn build_some(workspace: &Path, out: &Path, functions: &[&str]) {
    let mut command = Command::new("sh");
    command.arg(workspace.join("build.sh")).arg(out).args(functions);
    // What cargo tells a test about the workspace it belongs to is not meant for another one.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_") && name != "CARGO_HOME") {
        command.env_remove(name);
    }
    let output = command.env_remove("RUSTFLAGS").env("CARGO_TARGET_DIR", target()).output().expect("sh runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Limits that make what hangs end soon, and leave a busy machine enough.
pub fn short() -> Limits {
    Limits { batch_timeout: Duration::from_secs(2), row_timeout: Duration::from_millis(700), ..Limits::default() }
}

pub fn functions() -> Udfs {
    Udfs::open(&built().0, worker(), Limits::default()).unwrap()
}

pub fn fixtures(limits: Limits) -> Udfs {
    Udfs::open(&built().1, worker(), limits).unwrap()
}

pub fn session(udfs: &Udfs) -> SessionContext {
    let session = SessionContext::new();
    udfs.scalars().iter().for_each(|it| session.register_udf(it.as_ref().clone()));
    udfs.aggregates().iter().for_each(|it| session.register_udaf(it.as_ref().clone()));
    session
}

pub async fn query(session: &SessionContext, sql: &str) -> Vec<RecordBatch> {
    session.sql(sql).await.unwrap().collect().await.unwrap()
}

/// The one value of a query, as text.
pub async fn value(session: &SessionContext, expression: &str) -> String {
    let batches = query(session, &format!("SELECT {expression} AS value")).await;
    let text = pretty_format_batches(&batches).unwrap().to_string();
    text.lines().nth(3).expect("a row").trim_matches('|').trim().to_owned()
}

/// A copy of a folder's files, to spoil.
pub fn copy(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}
