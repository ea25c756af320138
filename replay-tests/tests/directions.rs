//! Holds the layout together: who may know whom, and a few rules that a reader relies on.
//!
//! Reads `Cargo.toml` of every member, `Cargo.lock` and the sources; builds nothing. A failure names the file and what
//! to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// Our crates, and which of our crates each may use.
const MAY_USE: [(&str, &[&str]); 23] = [
    ("schemas", &[]),
    ("graph", &["schemas"]),
    ("brain", &["schemas", "graph"]),
    ("rehearsal", &["schemas", "graph", "brain"]),
    ("text", &["schemas", "graph"]),
    ("guard", &["schemas", "graph", "text"]),
    ("learn", &["text"]),
    ("hotspots", &["text"]),
    ("detect", &[]),
    ("forecast", &[]),
    ("knowledge", &["text"]),
    ("offline", &["schemas", "graph", "text", "learn", "hotspots", "detect", "forecast", "knowledge", "llm", "guard", "brain"]),
    ("llm", &[]),
    ("citybrain-engine", &["llm"]),
    ("lakehouse", &["schemas"]),
    ("pipelines", &["schemas", "lakehouse", "udf-host"]),
    ("udf-host", &[]),
    ("bus", &["schemas"]),
    ("broker", &[]),
    ("gateway", &["schemas", "bus"]),
    ("webhooks", &["schemas"]),
    ("citybrain", &["schemas", "graph", "brain", "rehearsal", "text", "guard", "learn", "hotspots", "detect", "forecast", "knowledge", "offline", "llm", "lakehouse", "pipelines", "udf-host", "bus", "broker", "gateway", "webhooks"]),
    ("replay-tests", &["schemas", "graph", "brain"]),
];

/// Our crates that only the tests of a crate may use as well.
const TESTS_MAY_USE: [(&str, &[&str]); 4] = [("bus", &["broker"]), ("gateway", &["broker"]), ("pipelines", &["graph"]), ("knowledge", &["graph"])];

/// What a crate must not pull in, even through others.
const MUST_NOT_PULL_IN: [(&str, &[&str]); 20] = [
    ("schemas", PURE),
    ("graph", PURE),
    ("brain", PURE),
    ("rehearsal", PURE),
    ("text", PURE),
    ("guard", PURE),
    ("learn", PURE),
    ("hotspots", PURE),
    ("detect", PURE),
    ("forecast", PURE),
    ("knowledge", PURE),
    ("offline", &["rdkafka", "rdkafka-sys", "datafusion", "deltalake", "llama-cpp-2"]),
    ("replay-tests", PURE),
    ("llm", &["rdkafka", "rdkafka-sys", "datafusion", "deltalake", "llama-cpp-2"]),
    ("citybrain-engine", &["rdkafka", "rdkafka-sys", "datafusion", "deltalake"]),
    // An abort of llama.cpp cannot be caught: it lives in the engine's process.
    ("citybrain", &["llama-cpp-2"]),
    ("lakehouse", &["rdkafka", "rdkafka-sys", "axum", "llama-cpp-2"]),
    ("pipelines", &["rdkafka", "rdkafka-sys", "axum", "llama-cpp-2"]),
    ("udf-host", &["rdkafka", "rdkafka-sys", "axum", "llama-cpp-2", "deltalake"]),
    ("webhooks", &["rdkafka", "rdkafka-sys", "axum", "datafusion", "deltalake", "llama-cpp-2"]),
];

/// No I/O, async, Kafka, DataFusion or language model.
const PURE: &[&str] = &[
    "tokio", "rdkafka", "rdkafka-sys", "kafka-protocol", "fjall", "axum", "hyper", "reqwest", "arrow", "parquet", "datafusion", "deltalake",
    "llama-cpp-2", "llama-cpp-sys-2",
];

/// What code of a pure crate must not say outside its tests.
const PURE_NEVER_SAYS: [(&str, &str); 10] = [
    ("std::fs", "files belong to the shell: take the text as an argument"),
    ("std::net", "the network belongs to the shell"),
    ("std::thread", "one thread applies; concurrency lives in the shell"),
    ("std::process", "processes belong to the shell"),
    ("std::env", "settings are passed in"),
    ("SystemTime", "time comes from the record"),
    ("Instant::now", "time comes from the record"),
    ("Utc::now", "time comes from the record"),
    ("Local::now", "time comes from the record"),
    ("HashMap", "its order is chance: use BTreeMap"),
];

/// Longest source file. What is longer holds more than one idea.
const LINES_MAX: usize = 1_500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace").to_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("could not read {}: {error}", path.display()))
}

fn parse(path: &Path) -> Table {
    read(path).parse().unwrap_or_else(|error| panic!("{} is no TOML: {error}", path.display()))
}

/// A member of the workspace.
struct Member {
    name: String,
    folder: PathBuf,
    manifest: Table,
}

impl Member {
    /// What it depends on to be built.
    fn dependencies(&self) -> BTreeSet<String> {
        self.collect(&["dependencies", "build-dependencies"])
    }

    /// What its tests depend on besides.
    fn test_dependencies(&self) -> BTreeSet<String> {
        self.collect(&["dev-dependencies"])
    }

    fn collect(&self, sections: &[&str]) -> BTreeSet<String> {
        let targets = self.manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
        let tables = std::iter::once(&self.manifest).chain(targets.filter_map(Value::as_table));
        let mut names = BTreeSet::new();
        for table in tables {
            for section in sections {
                for (name, value) in table.get(*section).and_then(Value::as_table).into_iter().flatten() {
                    let renamed = value.get("package").and_then(Value::as_str);
                    names.insert(renamed.unwrap_or(name).to_owned());
                }
            }
        }
        names
    }
}

fn allowed(table: &[(&str, &'static [&'static str])], name: &str) -> &'static [&'static str] {
    table.iter().find(|(crate_name, _)| *crate_name == name).map_or(&[], |(_, may_use)| may_use)
}

fn members() -> Vec<Member> {
    let root = root();
    let workspace = parse(&root.join("Cargo.toml"));
    let folders = workspace["workspace"]["members"].as_array().expect("the workspace lists its members");
    let member = |folder: &Value| {
        let folder = root.join(folder.as_str().expect("a member is a path"));
        let manifest = parse(&folder.join("Cargo.toml"));
        let name = manifest["package"]["name"].as_str().expect("a package has a name").to_owned();
        Member { name, folder, manifest }
    };
    folders.iter().map(member).collect()
}

/// Every package of the lock file with what it depends on. Versions are left out: a name is enough to forbid it.
fn locked() -> BTreeMap<String, BTreeSet<String>> {
    let lock = parse(&root().join("Cargo.lock"));
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in lock["package"].as_array().expect("a lock file lists packages") {
        let name = package["name"].as_str().expect("a package has a name").to_owned();
        let uses = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
        let uses = uses.filter_map(Value::as_str).filter_map(|it| it.split(' ').next()).map(str::to_owned);
        packages.entry(name).or_default().extend(uses);
    }
    packages
}

/// The way from a package to each one that it pulls in, itself included.
fn ways(packages: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeMap<String, Vec<String>> {
    let mut ways = BTreeMap::from([(from.to_owned(), vec![from.to_owned()])]);
    let mut open = vec![from.to_owned()];
    while let Some(name) = open.pop() {
        for used in packages.get(&name).into_iter().flatten() {
            if !ways.contains_key(used) {
                let mut way = ways[&name].clone();
                way.push(used.clone());
                ways.insert(used.clone(), way);
                open.push(used.clone());
            }
        }
    }
    ways
}

fn report(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn every_member_has_its_direction() {
    let known: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    let members = members();
    let mut problems = Vec::new();
    for member in &members {
        if !known.contains(member.name.as_str()) {
            problems.push(format!("{} has no place yet: say in MAY_USE which of our crates it may use", member.name));
        }
    }
    let names: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    for missing in known.difference(&names) {
        problems.push(format!("{missing} is in MAY_USE but no member of the workspace"));
    }
    report(problems);
}

#[test]
fn crates_know_only_those_they_may() {
    let ours: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    let mut problems = Vec::new();
    for member in members() {
        let may_use = allowed(&MAY_USE, &member.name);
        let tests_may_use = allowed(&TESTS_MAY_USE, &member.name);
        let manifest = member.folder.join("Cargo.toml");
        let manifest = shown(&manifest);
        for used in member.dependencies().iter().filter(|used| ours.contains(used.as_str()) && !may_use.contains(&used.as_str())) {
            problems.push(format!("{} must not know {used}: take it out of {manifest}", member.name));
        }
        for used in member.test_dependencies().iter().filter(|used| ours.contains(used.as_str())) {
            if !may_use.contains(&used.as_str()) && !tests_may_use.contains(&used.as_str()) {
                problems.push(format!("tests of {} must not know {used}: take it out of {manifest}", member.name));
            }
        }
    }
    report(problems);
}

#[test]
fn nothing_heavy_is_pulled_in_where_it_must_not_be() {
    let packages = locked();
    let members = members();
    let mut problems = Vec::new();
    for (name, forbidden) in MUST_NOT_PULL_IN {
        let member = members.iter().find(|member| member.name == name).expect("the crate is a member");
        let direct: BTreeSet<String> = member.dependencies().union(&member.test_dependencies()).cloned().collect();
        let ways = ways(&packages, name);
        assert!(ways.len() > 1 || direct.is_empty(), "Cargo.lock does not know what {name} depends on");
        for package in forbidden {
            if direct.contains(*package) {
                problems.push(format!("{name} must not depend on {package}"));
            } else if let Some(way) = ways.get(*package) {
                problems.push(format!("{name} must not pull in {package}, and does: {}", way.join(" -> ")));
            }
        }
    }
    report(problems);
}

/// Source files and texts of the repository, without what is built or hidden.
fn files(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("could not list {}: {error}", folder.display()));
    for entry in entries {
        let path = entry.unwrap_or_else(|error| panic!("could not list {}: {error}", folder.display())).path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && !matches!(name.as_str(), "target" | "node_modules" | "shared") && !path.is_symlink() {
                files(&path, extensions, found);
            }
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|it| extension == *it)) {
            found.push(path);
        }
    }
}

fn sources(extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root(), extensions, &mut found);
    found.sort();
    assert!(found.len() > 10, "the repository's files are found");
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[test]
fn no_file_is_too_long_to_read() {
    let mut problems = Vec::new();
    for path in sources(&["rs", "py", "sh"]) {
        let lines = read(&path).lines().count();
        if lines > LINES_MAX {
            problems.push(format!("{} has {lines} lines, more than {LINES_MAX}: cut it where it changes its subject", shown(&path)));
        }
    }
    report(problems);
}

#[test]
fn every_crate_says_what_it_is() {
    let mut problems = Vec::new();
    for member in members() {
        for entry in ["src/lib.rs", "src/main.rs"] {
            let path = member.folder.join(entry);
            if !path.exists() {
                continue;
            }
            let text = read(&path);
            let first = text.lines().next().unwrap_or_default();
            let words = first.trim_start_matches("//!").split_whitespace().count();
            if !first.starts_with("//! ") || words < 4 {
                problems.push(format!("{} begins with {first:?}: begin with `//! ` and a sentence that says what the crate is", shown(&path)));
            }
        }
    }
    report(problems);
}

#[test]
fn pure_crates_do_not_touch_the_world() {
    let mut problems = Vec::new();
    for member in members().iter().filter(|member| matches!(member.name.as_str(), "schemas" | "graph" | "brain" | "rehearsal" | "guard")) {
        let mut found = Vec::new();
        files(&member.folder.join("src"), &["rs"], &mut found);
        for path in found.iter().filter(|path| !is_test(path)) {
            let text = read(path);
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
                for (word, why) in PURE_NEVER_SAYS.iter().filter(|(word, _)| line.contains(word)) {
                    problems.push(format!("{}:{} says {word}: {why}", shown(path), number + 1));
                }
            }
        }
    }
    report(problems);
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs" | "benches" | "examples")))
}

#[test]
fn no_path_of_one_machine_is_written_down() {
    // Put together here, so that this file does not find itself.
    let machine = [["/wo", "rk/"], ["/ho", "me/"], ["/ro", "ot/"], ["/Us", "ers/"], ["C:\\", "Users"]].map(|parts| parts.concat());
    let mut problems = Vec::new();
    for path in sources(&["rs", "md", "toml", "sh", "py", "sql", "yaml", "yml", "json", "jsonl", "csv"]) {
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_else(|error| panic!("could not read {}: {error}", path.display()))).into_owned();
        for (number, line) in text.lines().enumerate() {
            for place in machine.iter().filter(|place| begins_a_path(line, place)) {
                problems.push(format!("{}:{} names {place}, a place on one machine", shown(&path), number + 1));
            }
        }
    }
    report(problems);
}

/// Whether the place stands at the beginning of a path, and not in the middle of one such as `lake/home/x`.
fn begins_a_path(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '}' | '>' | ')' | '.' | '_' | '-' | '$' | '/' | '~' | '*')))
    })
}

#[test]
fn the_checks_themselves_see_what_they_look_for() {
    let packages = BTreeMap::from([
        ("a".to_owned(), BTreeSet::from(["b".to_owned()])),
        ("b".to_owned(), BTreeSet::from(["c".to_owned()])),
    ]);
    assert_eq!(ways(&packages, "a")["c"], ["a", "b", "c"]);
    let place = ["/ho", "me/"].concat();
    assert!(begins_a_path(&format!("see {place}somebody"), &place));
    assert!(!begins_a_path(&format!("<dir>{place}lake"), &place));
}
