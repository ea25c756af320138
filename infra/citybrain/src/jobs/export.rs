//! `citybrain job export --arroyo`: a job for an Arroyo cluster, in files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use pipelines::{ArroyoExport, ArroyoNote, ArroyoPlace, export_arroyo};

use super::control;
use crate::cli::{Ended, Invocation, JobExportArgs};
use crate::home::{Home, write_atomically};
use crate::lang::{Lang, lang, t};

/// Writes the files and says what is different there.
pub fn run(context: &Invocation, args: &JobExportArgs) -> Result<Ended> {
    let home = context.home()?;
    let job = control::find(&home, &args.job)?;
    let place = ArroyoPlace { bootstrap_servers: bootstrap_servers(context, &home, args), lake: args.lake.clone() };
    let export = export_arroyo(&job, &place)?;
    let files = write(&export, job.name(), args)?;
    for note in &export.notes {
        eprintln!("{}: {}", t("注意", "note"), told(note));
    }
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&serde_json::json!({"job": job.name(), "files": files}))?);
        return Ok(Ended::Done);
    }
    for file in files {
        println!("{}", file.display());
    }
    Ok(Ended::Done)
}

fn bootstrap_servers(context: &Invocation, home: &Home, args: &JobExportArgs) -> String {
    let given = args.bootstrap_servers.clone().or_else(|| context.global.kafka.clone());
    given.or_else(|| home.running().map(|running| running.kafka)).unwrap_or_else(|| context.config.kafka_listen.to_string())
}

/// The files, in the order in which they are needed.
fn write(export: &ArroyoExport, name: &str, args: &JobExportArgs) -> Result<Vec<PathBuf>> {
    let mut files: Vec<(PathBuf, String)> = export.functions.iter().map(|(function, source)| (function_path(args, name, function), source.clone())).collect();
    for function in &export.udfs {
        files.push((function_path(args, name, function), source_of(&args.udfs, function)?));
    }
    files.extend(export.relays.iter().map(|(relay, sql)| (args.out.join(format!("{name}.relays")).join(format!("{relay}.sql")), sql.clone())));
    files.push((args.out.join(format!("{name}.sql")), export.sql.clone()));
    for (path, text) in &files {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))?;
        write_atomically(path, text.as_bytes())?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

fn function_path(args: &JobExportArgs, name: &str, function: &str) -> PathBuf {
    args.out.join(format!("{name}.udfs")).join(format!("{function}.rs"))
}

/// The source of a function as one file, which is what Arroyo takes.
fn source_of(folder: &Path, function: &str) -> Result<String> {
    let path = folder.join(function).join("src/lib.rs");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("could not read {}, the source of function {function}: name the folder of the sources with --udfs", path.display()))?;
    one_file(&text).with_context(|| format!("{} is not one file that Arroyo can take", path.display()))
}

/// A function's source without its tests, which may need files beside it.
fn one_file(text: &str) -> Result<String> {
    let source = text.split("#[cfg(test)]").next().unwrap_or_default().trim_end();
    if !source.contains("arroyo_udf_plugin::udf") {
        bail!("it does not say `use arroyo_udf_plugin::udf;`");
    }
    let modules = source.lines().map(str::trim).any(|line| line.starts_with("mod ") && line.ends_with(';'));
    if modules || source.contains("include_str!") || source.contains("include_bytes!") {
        bail!("it is made of several files: put everything into src/lib.rs");
    }
    Ok(format!("{source}\n"))
}

fn told(note: &ArroyoNote) -> String {
    if lang() == Lang::En {
        return note.text();
    }
    match note {
        ArroyoNote::RelayIn { job, from, to } => format!("Arroyo 不读取消息头：大脑中须运行作业 {job}，把 {from} 以普通 JSON 转送到 {to}；它没有状态"),
        ArroyoNote::RelayOut { job, from, to } => format!("Arroyo 不写消息头：大脑中须运行作业 {job}，把 {from} 的结果作为事件写入 {to}"),
        ArroyoNote::BadRecords(table) => format!("{table} 中字段类型不符的记录会被整条丢弃；在大脑中该字段为 NULL"),
        ArroyoNote::Late => "迟到的行会被丢弃；大脑会把它们记入表中".to_owned(),
        ArroyoNote::Rounding => "DOUBLE 的和与均值逐步舍入，末位可能每次不同".to_owned(),
        ArroyoNote::Evidence => "位置为 NULL 时 evidence() 给出 NULL，而不是空列表".to_owned(),
        ArroyoNote::NullsInAggregate(function) => format!("{function}：Arroyo 对每个参数单独去掉 NULL；可能有 NULL 时请先过滤，如 WHERE x IS NOT NULL"),
        ArroyoNote::FunctionData(function) => format!("{function} 读取文件：请放到每个 worker 上，并用 UDF_DATA 指明目录"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_that_ships_is_one_file() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../udfs/functions");
        let mut seen = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let source = source_of(&folder, &name).unwrap_or_else(|error| panic!("{error:#}"));
            assert!(source.contains("#[udf") && !source.contains("mod tests"), "{source}");
            seen += 1;
        }
        assert!(seen >= 10, "{seen}");
        assert!(source_of(&folder, "h3_cell").unwrap().starts_with("/*\n[dependencies]\n"));
    }

    #[test]
    fn what_arroyo_cannot_take_as_one_file() {
        let said = |text: &str| one_file(text).unwrap_err().to_string();
        assert!(said("fn f() {}").contains("use arroyo_udf_plugin::udf"));
        assert!(said("use arroyo_udf_plugin::udf;\nmod other;\n").contains("src/lib.rs"));
        assert!(said("use arroyo_udf_plugin::udf;\nconst A: &str = include_str!(\"a\");\n").contains("src/lib.rs"));
    }

    #[test]
    fn files_lie_where_they_are_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let export = ArroyoExport {
            sql: "-- the job\n".to_owned(),
            relays: vec![("busy_in_readings".to_owned(), "-- a relay\n".to_owned())],
            udfs: vec!["cap_severity".to_owned()],
            functions: vec![("milli".to_owned(), "// milli\n".to_owned())],
            notes: Vec::new(),
        };
        let udfs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../udfs/functions");
        let args = JobExportArgs { job: "busy".into(), arroyo: true, out: dir.path().join("out"), bootstrap_servers: None, lake: None, udfs };
        let files = write(&export, "busy", &args).unwrap();
        let names: Vec<_> = files.iter().map(|file| file.strip_prefix(dir.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["out/busy.udfs/milli.rs", "out/busy.udfs/cap_severity.rs", "out/busy.relays/busy_in_readings.sql", "out/busy.sql"]);
        for file in &files {
            assert!(!std::fs::read_to_string(file).unwrap().is_empty());
        }
        let elsewhere = JobExportArgs { udfs: dir.path().to_owned(), ..args };
        let said = format!("{:#}", write(&export, "busy", &elsewhere).unwrap_err());
        assert!(said.contains("--udfs"), "{said}");
    }
}
