//! The event types: one JSON Schema file each, from which topic, table and typed columns follow.
//!
//! A new event type is one file and no code. A new version may only add: [`check_compatible`] says what it breaks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::limits::{COLUMNS_MAX, PROBLEMS_MAX, QUOTED_CHARS_MAX, SCHEMA_FILE_BYTES_MAX};
use crate::position::topic_problem;

macro_rules! builtin {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../types/", $name)))),*]
    };
}

const BUILTIN: [(&str, &str); 34] = builtin!(
    "agent.answer.v1.json",
    "agent.request.v1.json",
    "alert.transition.v1.json",
    "audit.entry.v1.json",
    "case.transition.v1.json",
    "city.signal.v1.json",
    "context.entity.v1.json",
    "context.weather.v1.json",
    "deadline.forecast.v1.json",
    "deadline.score.v1.json",
    "decision.v1.json",
    "device.change.v1.json",
    "dispatch.v1.json",
    "dlq.v1.json",
    "forecast.made.v1.json",
    "forecast.scored.v1.json",
    "garbage.weighing.v1.json",
    "gas.inspection.v1.json",
    "graph.change.v1.json",
    "hotissue.change.v1.json",
    "hotissue.member.v1.json",
    "hotline.message.v1.json",
    "incident.transition.v1.json",
    "journal.record.v1.json",
    "level.forecast.v1.json",
    "level.minute.v1.json",
    "level.score.v1.json",
    "notification.receipt.v1.json",
    "notification.v1.json",
    "sensor.entity.v1.json",
    "sensor.observation.v1.json",
    "workorder.closed.v1.json",
    "workorder.created.v1.json",
    "workorder.updated.v1.json",
);

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text.
    Text,
    /// A 64-bit integer.
    Int,
    /// A 64-bit float.
    Float,
    /// True or false.
    Bool,
    /// A time, to the microsecond, UTC.
    Timestamp,
    /// Anything else, as JSON text.
    Json,
}

/// A typed column of an event type's silver table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name in SQL.
    pub name: String,
    /// Where the value is in the data, as a JSON pointer.
    pub path: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// Whether it may be absent or null.
    pub nullable: bool,
    /// Whether it may hold numbers of people, and is masked.
    pub pii: bool,
    /// What it means, in Chinese.
    pub comment_zh: String,
    /// What it means, in English.
    pub comment_en: String,
}

/// An event type.
pub struct TypeDef {
    /// Short name, such as `sensor.observation`.
    pub name: String,
    /// CloudEvents `type`, such as `io.citybrain.sensor.observation.v1`.
    pub event_type: String,
    /// The version in the type's name.
    pub version: u32,
    /// The topic it travels on; `alert.*` stands for all topics that begin so.
    pub topic: String,
    /// The field of the data that is the partition key; empty for none.
    pub key: String,
    /// Its table in `silver`.
    pub table: String,
    /// What it is, in Chinese.
    pub title_zh: String,
    /// What it is, in English.
    pub title_en: String,
    /// The columns of its table.
    pub columns: Vec<Column>,
    /// Examples; each fits the schema.
    pub samples: Vec<Value>,
    /// The JSON Schema of the data.
    pub schema: Value,
    validator: jsonschema::Validator,
}

impl fmt::Debug for TypeDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypeDef").field("event_type", &self.event_type).field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// Why data does not fit its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, as a JSON pointer.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// What a new version would break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incompatibility {
    /// Where in the data, as a JSON pointer.
    pub path: String,
    /// What would break.
    pub reason: String,
}

/// Why a schema file was refused.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{file}: {problem}")]
pub struct RegistryError {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub problem: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypeFile {
    r#type: String,
    version: u32,
    topic: String,
    #[serde(default)]
    key: String,
    table: String,
    #[serde(default)]
    title: BTreeMap<String, String>,
    schema: Value,
    #[serde(default)]
    samples: Vec<Value>,
}

impl TypeDef {
    /// Reads a schema file and checks it: its own form, its schema, and that its samples fit.
    ///
    /// # Errors
    /// Names the file and what is wrong in it.
    pub fn parse(file: &str, text: &str) -> Result<TypeDef, RegistryError> {
        let refuse = |problem: String| RegistryError { file: file.to_owned(), problem };
        if text.len() > SCHEMA_FILE_BYTES_MAX {
            return Err(refuse(format!("it has {} bytes; at most {SCHEMA_FILE_BYTES_MAX} are read", text.len())));
        }
        let read: TypeFile = serde_json::from_str(text).map_err(|error| refuse(format!("no schema file: {error}")))?;
        let suffix = format!(".v{}", read.version);
        let Some(stem) = read.r#type.strip_suffix(&suffix) else {
            return Err(refuse(format!("type {:?} has to end in {suffix:?}, its version", read.r#type)));
        };
        let topic = read.topic.strip_suffix('*').unwrap_or(&read.topic);
        if let Some(problem) = topic_problem(topic) {
            return Err(refuse(format!("topic {:?} {problem}", read.topic)));
        }
        let sql_name = |name: &str| !name.is_empty() && name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !sql_name(&read.table) {
            return Err(refuse(format!("table {:?}: names of tables have a-z, 0-9 and _", read.table)));
        }
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&read.schema)
            .map_err(|error| refuse(format!("schema: {error} at {}", error.instance_path())))?;
        let mut columns = Vec::new();
        columns_of(&read.schema, "", "", false, &mut columns).map_err(refuse)?;
        if columns.len() > COLUMNS_MAX {
            return Err(refuse(format!("{} columns; at most {COLUMNS_MAX} are taken", columns.len())));
        }
        let title = |lang: &str| read.title.get(lang).cloned().unwrap_or_else(|| stem.to_owned());
        let def = TypeDef {
            name: stem.strip_prefix("io.citybrain.").unwrap_or(stem).to_owned(),
            version: read.version,
            topic: read.topic.clone(),
            key: read.key.clone(),
            table: read.table.clone(),
            title_zh: title("zh"),
            title_en: title("en"),
            columns,
            samples: read.samples,
            schema: read.schema,
            validator,
            event_type: read.r#type,
        };
        for (index, sample) in def.samples.iter().enumerate() {
            if let Err(problems) = def.validate(sample) {
                return Err(refuse(format!("sample {index} does not fit: {} at {:?}", problems[0].message, problems[0].path)));
            }
        }
        Ok(def)
    }

    /// Checks data against the type. Gives at most [`PROBLEMS_MAX`] problems.
    pub fn validate(&self, data: &Value) -> Result<(), Vec<Problem>> {
        if self.validator.is_valid(data) {
            return Ok(());
        }
        let problems: Vec<_> = self
            .validator
            .iter_errors(data)
            .take(PROBLEMS_MAX)
            .map(|error| {
                // The message repeats the value, and goes to logs and to whoever sent it.
                let message: String = error.to_string().chars().take(QUOTED_CHARS_MAX * 4).collect();
                let message = crate::pii::mask(&message).0.into_owned();
                Problem { path: error.instance_path().to_string(), message }
            })
            .collect();
        Err(problems)
    }

    /// Whether events of this type may stand on a topic.
    pub fn is_on(&self, topic: &str) -> bool {
        match self.topic.strip_suffix('*') {
            Some(start) => topic.starts_with(start),
            None => topic == self.topic,
        }
    }
}

fn columns_of(schema: &Value, pointer: &str, prefix: &str, nullable_parent: bool, columns: &mut Vec<Column>) -> Result<(), String> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Ok(()) };
    let required: Vec<&str> = schema.get("required").and_then(Value::as_array).map(|all| all.iter().filter_map(Value::as_str).collect()).unwrap_or_default();
    for (field, property) in properties {
        let path = format!("{pointer}/{}", field.replace('~', "~0").replace('/', "~1"));
        let name = format!("{prefix}{field}");
        let (kind, null) = kind_of(property);
        let nullable = nullable_parent || null || !required.contains(&field.as_str());
        let nested = property.get("properties").is_some_and(|inner| inner.as_object().is_some_and(|inner| !inner.is_empty()));
        if nested && kind == ColumnKind::Json {
            columns_of(property, &path, &format!("{name}_"), nullable, columns)?;
            continue;
        }
        if columns.iter().any(|column| column.name == name) {
            return Err(format!("two fields make the column {name:?}"));
        }
        let text = |key: &str| property.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        columns.push(Column {
            path,
            kind,
            nullable,
            pii: property.get("x-pii").and_then(Value::as_bool).unwrap_or(false),
            comment_zh: text("x-comment-zh"),
            comment_en: text("description"),
            name,
        });
    }
    Ok(())
}

fn kind_of(property: &Value) -> (ColumnKind, bool) {
    let types: Vec<&str> = match property.get("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let null = types.is_empty() || types.contains(&"null");
    let kinds: Vec<&str> = types.into_iter().filter(|kind| *kind != "null").collect();
    let kind = match kinds[..] {
        ["string"] if property.get("format").and_then(Value::as_str) == Some("date-time") => ColumnKind::Timestamp,
        ["string"] => ColumnKind::Text,
        ["integer"] => ColumnKind::Int,
        ["number"] | ["integer", "number"] | ["number", "integer"] => ColumnKind::Float,
        ["boolean"] => ColumnKind::Bool,
        _ => ColumnKind::Json,
    };
    (kind, null)
}

/// All event types in force.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    types: BTreeMap<String, Arc<TypeDef>>,
}

impl Registry {
    /// The types that ship.
    pub fn builtin() -> Registry {
        Registry::from_files(BUILTIN).expect("the types that ship are right: a test says so")
    }

    /// Types from schema files, given as name and text.
    ///
    /// # Errors
    /// As [`Registry::with_files`].
    pub fn from_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Registry, RegistryError> {
        Registry::default().with_files(files)
    }

    /// These types and those of further files.
    ///
    /// # Errors
    /// When a file is wrong, gives a type that is there with other content, breaks an earlier version, or takes a table
    /// that another type has.
    pub fn with_files<'a>(&self, files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Registry, RegistryError> {
        let mut all = self.clone();
        let mut added = Vec::new();
        for (file, text) in files {
            added.push((file, TypeDef::parse(file, text)?));
        }
        added.sort_by(|(_, left), (_, right)| (&left.name, left.version).cmp(&(&right.name, right.version)));
        for (file, def) in added {
            let refuse = |problem: String| RegistryError { file: file.to_owned(), problem };
            if let Some(there) = all.types.get(&def.event_type) {
                if there.schema != def.schema || there.topic != def.topic || there.table != def.table {
                    return Err(refuse(format!("{} is there already with other content: give the change a new version", def.event_type)));
                }
                continue;
            }
            if let Some(before) = all.versions(&def.name).into_iter().rfind(|before| before.version < def.version) {
                if let Err(broken) = check_compatible(before, &def) {
                    let first = &broken[0];
                    return Err(refuse(format!("breaks {} at {:?}: {}", before.event_type, first.path, first.reason)));
                }
            } else if let Some(other) = all.types.values().find(|other| other.table == def.table) {
                return Err(refuse(format!("table {:?} belongs to {}", def.table, other.event_type)));
            }
            all.types.insert(def.event_type.clone(), Arc::new(def));
        }
        Ok(all)
    }

    /// A type by its CloudEvents `type`, or the newest version by its short name.
    pub fn get(&self, name: &str) -> Option<&TypeDef> {
        self.types.get(name).map(Arc::as_ref).or_else(|| self.versions(name).pop())
    }

    /// All types.
    pub fn types(&self) -> impl Iterator<Item = &TypeDef> {
        self.types.values().map(Arc::as_ref)
    }

    /// The types that may stand on a topic.
    pub fn for_topic<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a TypeDef> {
        self.types().filter(move |def| def.is_on(topic))
    }

    /// All versions of a type, oldest first.
    fn versions(&self, name: &str) -> Vec<&TypeDef> {
        let mut versions: Vec<_> = self.types().filter(|def| def.name == name).collect();
        versions.sort_by_key(|def| def.version);
        versions
    }
}

/// Checks that readers and writers of the old version can live with the new one.
///
/// # Errors
/// Everything that would break.
pub fn check_compatible(old: &TypeDef, new: &TypeDef) -> Result<(), Vec<Incompatibility>> {
    let mut broken = Vec::new();
    let mut breaks = |path: &str, reason: String| broken.push(Incompatibility { path: path.to_owned(), reason });
    if old.topic != new.topic {
        breaks("", format!("the topic changes from {} to {}", old.topic, new.topic));
    }
    if old.key != new.key {
        breaks("", format!("the partition key changes from {:?} to {:?}, and with it the order of events", old.key, new.key));
    }
    if old.table != new.table {
        breaks("", format!("the table changes from {} to {}", old.table, new.table));
    }
    for before in &old.columns {
        match new.columns.iter().find(|column| column.path == before.path) {
            None => breaks(&before.path, "the field is gone".to_owned()),
            Some(now) => {
                if now.kind != before.kind {
                    breaks(&before.path, format!("its type changes from {:?} to {:?}", before.kind, now.kind));
                }
                if before.nullable && !now.nullable {
                    breaks(&before.path, "it may no longer be absent or null".to_owned());
                }
                if before.pii && !now.pii {
                    breaks(&before.path, "it would no longer be masked".to_owned());
                }
                if let Some(gone) = narrowed(&old.schema, &new.schema, &before.path) {
                    breaks(&before.path, format!("the value {gone} is no longer allowed"));
                }
            }
        }
    }
    for now in &new.columns {
        if !now.nullable && !old.columns.iter().any(|column| column.path == now.path) {
            breaks(&now.path, "a new field has to be optional".to_owned());
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(broken) }
}

/// A value of the old enumeration that the new one has not.
fn narrowed(old: &Value, new: &Value, path: &str) -> Option<Value> {
    let listed = |schema: &Value| -> Option<Vec<Value>> {
        let mut at = schema;
        for step in path.split('/').skip(1) {
            at = at.get("properties")?.get(step.replace("~1", "/").replace("~0", "~"))?;
        }
        at.get("enum")?.as_array().cloned()
    };
    let now = listed(new)?;
    match listed(old) {
        Some(before) => before.into_iter().find(|value| !now.contains(value)),
        None => Some(Value::from("(any other)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn file(version: u32, properties: Value, required: Value) -> String {
        json!({"type": format!("org.example.tree.v{version}"), "version": version, "topic": "raw.tree", "key": "tree", "table": "tree",
               "schema": {"type": "object", "properties": properties, "required": required}})
        .to_string()
    }

    fn tree(version: u32, properties: Value, required: Value) -> TypeDef {
        TypeDef::parse("tree.json", &file(version, properties, required)).unwrap()
    }

    fn broken(old: TypeDef, new: TypeDef) -> Vec<String> {
        match check_compatible(&old, &new) {
            Ok(()) => Vec::new(),
            Err(broken) => broken.into_iter().map(|one| format!("{} {}", one.path, one.reason)).collect(),
        }
    }

    #[test]
    fn the_types_that_ship_are_right_and_every_column_is_explained() {
        let registry = Registry::builtin();
        assert_eq!(registry.types().count(), BUILTIN.len());
        for def in registry.types() {
            assert!(!def.samples.is_empty(), "{} has a sample", def.name);
            for column in &def.columns {
                assert!(!column.comment_zh.is_empty() && !column.comment_en.is_empty(), "{} {} is explained", def.name, column.name);
            }
        }
        assert_eq!(registry.get("sensor.observation").unwrap().event_type, "io.citybrain.sensor.observation.v1");
        assert_eq!(registry.for_topic("alert.crowd").map(|def| def.name.as_str()).collect::<Vec<_>>(), ["alert.transition"]);
        let alert = registry.get("alert.transition").unwrap();
        assert_eq!(alert.columns.iter().find(|column| column.name == "headline_zh").unwrap().path, "/headline/zh");
    }

    #[test]
    fn data_that_does_not_fit_says_where() {
        let registry = Registry::builtin();
        let def = registry.get("sensor.observation").unwrap();
        def.validate(&json!({"datastream": "d", "result": 1, "more": true})).unwrap();
        let problems = def.validate(&json!({"datastream": "d", "result": "wet"})).unwrap_err();
        assert_eq!(problems[0].path, "/result");
        let message = &def.validate(&json!({"datastream": "d", "result": "13812345678"})).unwrap_err()[0].message;
        assert!(message.contains("138****5678"), "{message}");
        let problems = registry.get("workorder.created").unwrap().validate(&json!({"request_id": "r", "due": "soon"})).unwrap_err();
        assert_eq!(problems[0].path, "/due");
    }

    #[test]
    fn a_version_that_only_adds_is_fine() {
        let old = tree(1, json!({"tree": {"type": "string"}}), json!(["tree"]));
        let new = tree(2, json!({"tree": {"type": "string"}, "height": {"type": "number"}}), json!(["tree"]));
        assert_eq!(broken(old, new), Vec::<String>::new());
    }

    #[test]
    fn what_breaks_is_named() {
        let old = || tree(1, json!({"tree": {"type": "string"}, "kind": {"type": "string", "enum": ["oak", "elm"]}}), json!(["tree"]));
        let new = |properties, required| tree(2, properties, required);
        assert_eq!(broken(old(), new(json!({"tree": {"type": "string"}}), json!(["tree"]))), ["/kind the field is gone"]);
        assert_eq!(
            broken(old(), new(json!({"tree": {"type": "integer"}, "kind": {"type": "string"}}), json!(["tree"]))),
            ["/tree its type changes from Text to Int"]
        );
        assert_eq!(
            broken(old(), new(json!({"tree": {"type": "string"}, "kind": {"type": "string", "enum": ["oak"]}}), json!(["tree", "kind"]))),
            ["/kind it may no longer be absent or null", "/kind the value \"elm\" is no longer allowed"]
        );
        assert_eq!(
            broken(old(), new(json!({"tree": {"type": "string"}, "kind": {"type": "string"}, "age": {"type": "integer"}}), json!(["tree", "age"]))),
            ["/age a new field has to be optional"]
        );
    }

    #[test]
    fn a_city_adds_a_type_with_one_file_and_cannot_change_it_quietly() {
        let registry = Registry::builtin();
        let first = file(1, json!({"tree": {"type": "string"}}), json!(["tree"]));
        let grown = registry.with_files([("tree.json", first.as_str())]).unwrap();
        assert_eq!(grown.get("org.example.tree").unwrap().table, "tree");
        let changed = file(1, json!({"tree": {"type": "integer"}}), json!(["tree"]));
        let message = grown.with_files([("tree.json", changed.as_str())]).unwrap_err().to_string();
        assert!(message.contains("tree.json") && message.contains("new version"), "{message}");
        let breaking = file(2, json!({"tree": {"type": "integer"}}), json!(["tree"]));
        let message = grown.with_files([("tree2.json", breaking.as_str())]).unwrap_err().to_string();
        assert!(message.contains("breaks org.example.tree.v1") && message.contains("/tree"), "{message}");
    }

    #[test]
    fn wrong_files_say_what_is_wrong() {
        let wrong = |text: &str| TypeDef::parse("x.json", text).unwrap_err().to_string();
        assert!(wrong("{").contains("x.json: no schema file"));
        let good = file(1, json!({"tree": {"type": "string"}}), json!(["tree"]));
        assert!(wrong(&good.replace("raw.tree", "raw tree")).contains("topic"));
        assert!(wrong(&good.replace("\"type\":\"string\"", "\"type\":\"sting\"")).contains("schema"));
        assert!(wrong(&good.replace("tree.v1", "tree.v7")).contains("version"));
    }
}
