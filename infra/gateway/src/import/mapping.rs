//! Mapping files: how a row of somebody's file becomes events. Pure: text in, a compiled mapping out.
//!
//! A mapping is a small TOML file:
//!
//! ```toml
//! name = "houston"
//! title = { zh = "…", en = "…" }                # what people read
//! source = "urn:citybrain:source:houston-311"   # CloudEvents source; a template
//! timezone = "America/Chicago"                  # of times that carry none
//! time_format = ["%m/%d/%Y %I:%M:%S %p"]        # tried after RFC 3339; the usual layouts when left out
//! order = "event_time"                          # or "file": the file's own order
//! null = ["", "Unknown"]                        # what means "nothing"
//! encoding = "gbk"                              # of CSV text, when it is not UTF-8
//!
//! [[event]]                                     # one for each event that a row gives
//! type = "workorder.created"
//! id = ["{CASE NUMBER}:created", "{@digest}:{@row}"]   # the first whose parts are all there
//! subject = "{CASE NUMBER}"
//! time = "SR CREATE DATE"                       # a column, or { column, format, timezone, optional }
//! when = { column = "DATE CLOSED", present = true }    # or in = [..], not_in = [..]; a list means all of them
//!
//! [event.data]
//! request_id = "CASE NUMBER"                    # text of a column
//! lat = { column = "LATITUDE", as = "float", optional = true }
//! category = { columns = ["一级标签", "一级分类"] }      # the first that is there and not null
//! text = { column = "text", template = "{title}\n{body}" }
//! status = { const = "open" }
//! ```
//!
//! `as` is one of `text` (default), `int`, `float`, `bool`, `time`, `json`; `map = { "1" = "high" }` replaces values and
//! `scale = 0.3048` multiplies numbers. Templates know `{@row}` (1 for the first), `{@file}`, `{@stem}` (the file's name
//! without its endings) and `{@digest}` (of the file's uncompressed content). `melt` makes one event of each listed
//! column, whose value is `{ melt = true }` and whose other keys are `{@key}` in templates.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::cell::{Cell, DEFAULT_TIME_FORMATS, shown};

const BUILTIN: &[(&str, &str)] = &[
    ("air-beijing", include_str!("../../mappings/air-beijing.toml")),
    ("baltimore", include_str!("../../mappings/baltimore.toml")),
    ("hotline", include_str!("../../mappings/hotline.toml")),
    ("houston", include_str!("../../mappings/houston.toml")),
    ("nyc", include_str!("../../mappings/nyc.toml")),
    ("taipei", include_str!("../../mappings/taipei.toml")),
];

const DEFAULT_NULLS: &[&str] = &["", "NaN", "nan", "null", "NULL", "None"];

/// The order in which events leave a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As the rows stand.
    File,
    /// By event time over all files; events without a time come last.
    EventTime,
}

/// Why a mapping cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// The text is no mapping.
    #[error("mapping {name}: {reason}")]
    Invalid {
        /// Its name or path.
        name: String,
        /// What is wrong, and where.
        reason: String,
    },
    /// There is no mapping of that name.
    #[error("there is no mapping named {name}; built in are {}; a path to a .toml file works too", builtin_names().join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// A user's mapping file cannot be read.
    #[error("could not read the mapping file {path}")]
    Read {
        /// Its path.
        path: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file lacks a column that the mapping needs.
    #[error("the file has no column {column:?}, which mapping {name} needs for {field}; it has: {has}")]
    MissingColumn {
        /// The mapping.
        name: String,
        /// The column.
        column: String,
        /// What it is for.
        field: String,
        /// The file's columns.
        has: String,
    },
}

/// The names of the mappings that ship with the product.
pub fn builtin_names() -> Vec<&'static str> {
    BUILTIN.iter().map(|(name, _)| *name).collect()
}

/// A compiled mapping.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// Its name.
    pub name: String,
    /// What people read, in Chinese.
    pub title_zh: String,
    /// What people read, in English.
    pub title_en: String,
    /// The order of events.
    pub order: Order,
    /// The encoding of text files, when not UTF-8.
    pub encoding: Option<&'static encoding_rs::Encoding>,
    /// The delimiter of CSV files.
    pub delimiter: u8,
    source: Template,
    nulls: Vec<String>,
    columns: Vec<String>,
    rules: Vec<Rule>,
    digest_used: bool,
}

/// What a mapping knows of a row besides its columns.
#[derive(Debug, Clone, Copy)]
pub struct RowPlace<'a> {
    /// The file's name.
    pub file: &'a str,
    /// The digest of its content; empty when the mapping does not use it.
    pub digest: &'a str,
    /// The row, from 1.
    pub row: u64,
}

/// One event that a row gave.
#[derive(Debug, Clone, PartialEq)]
pub struct MappedEvent {
    /// The short type name, as in `workorder.created`.
    pub event_type: String,
    /// CloudEvents id.
    pub id: String,
    /// CloudEvents source.
    pub source: String,
    /// CloudEvents subject.
    pub subject: Option<String>,
    /// Event time.
    pub time: Option<DateTime<Utc>>,
    /// The data.
    pub data: Value,
}

/// Why a row gave no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowProblem {
    /// The column that is wrong, when one is.
    pub column: Option<String>,
    /// What is wrong with it.
    pub reason: String,
    /// Where it would have gone, as a JSON pointer into the event.
    pub pointer: String,
}

impl Mapping {
    /// A built-in mapping by name, or a user's by path.
    pub fn load(name_or_path: &str) -> Result<Mapping, MappingError> {
        if let Some((name, text)) = BUILTIN.iter().find(|(name, _)| *name == name_or_path) {
            return Mapping::parse(name, text);
        }
        if !name_or_path.ends_with(".toml") && !name_or_path.contains(['/', '\\']) {
            return Err(MappingError::Unknown { name: name_or_path.to_owned() });
        }
        let text = std::fs::read_to_string(name_or_path)
            .map_err(|source| MappingError::Read { path: name_or_path.to_owned(), source })?;
        Mapping::parse(name_or_path, &text)
    }

    /// Compiles the text of a mapping.
    pub fn parse(name: &str, text: &str) -> Result<Mapping, MappingError> {
        let invalid = |reason: String| MappingError::Invalid { name: name.to_owned(), reason };
        let file: MappingFile = toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
        Compiler::default().compile(file).map_err(invalid)
    }

    /// Whether ids or sources use the digest of the file, which costs a pass over it.
    pub fn uses_digest(&self) -> bool {
        self.digest_used
    }

    /// The columns that the mapping may read, each once. [`Mapping::apply`] asks a row by their positions here.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The event types that rows give, as the mapping names them.
    pub fn event_types(&self) -> Vec<&str> {
        self.rules.iter().map(|rule| rule.event_type.as_str()).collect()
    }

    /// Checks that a file has the columns that are needed, and says which of [`Mapping::columns`] it has.
    pub fn bind(&self, has: &[String]) -> Result<Vec<bool>, MappingError> {
        let present: Vec<bool> = self.columns.iter().map(|column| has.contains(column)).collect();
        let missing = |columns: &[usize]| columns.iter().copied().find(|column| !present[*column]);
        let fail = |column: usize, field: String| MappingError::MissingColumn {
            name: self.name.clone(),
            column: self.columns[column].clone(),
            field,
            has: has.iter().take(60).cloned().collect::<Vec<_>>().join(", "),
        };
        for rule in &self.rules {
            let name = &rule.event_type;
            let ids: Vec<_> = rule.id.iter().map(|id| missing(&id.columns())).collect();
            if let Some(Some(column)) = ids.iter().find(|_| ids.iter().all(Option::is_some)) {
                return Err(fail(*column, format!("the id of {name}")));
            }
            for when in &rule.when {
                if !present[when.column] {
                    return Err(fail(when.column, format!("the condition of {name}")));
                }
            }
            let fields = rule.data.iter().map(|(field, spec)| (format!("{name} {field}"), spec));
            for (field, spec) in std::iter::once((format!("the time of {name}"), &rule.time)).chain(fields) {
                if let Some(column) = spec.unmet(&present) {
                    return Err(fail(column, field));
                }
            }
            if let Some(melt) = rule.melt.iter().find(|melt| !present[melt.column]) {
                return Err(fail(melt.column, format!("an observation of {name}")));
            }
        }
        Ok(present)
    }

    /// The events of one row. `cell` gives the value of a column by its position in [`Mapping::columns`]; a column that
    /// the file lacks is [`Cell::Null`]. An error of `cell` (a value that cannot be read at all) refuses what needs it.
    pub fn apply<'r>(
        &self,
        place: RowPlace<'_>,
        cell: &dyn Fn(usize) -> Result<Cell<'r>, String>,
        out: &mut Vec<Result<MappedEvent, RowProblem>>,
    ) {
        let row = RowView { mapping: self, place, cell, melt: None };
        for rule in &self.rules {
            match rule.when.iter().try_fold(true, |all, when| Ok(all && when.holds(&row)?)) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(problem) => {
                    out.push(Err(problem));
                    continue;
                }
            }
            if rule.melt.is_empty() {
                out.push(self.event(rule, &row));
            }
            for melt in &rule.melt {
                let melted = RowView { melt: Some(melt), ..row };
                match melted.value(melt.column, "/data") {
                    Ok(value) if value.is_null() => {}
                    Ok(_) => out.push(self.event(rule, &melted)),
                    Err(problem) => out.push(Err(problem)),
                }
            }
        }
    }

    fn event(&self, rule: &Rule, row: &RowView<'_, '_>) -> Result<MappedEvent, RowProblem> {
        let mut id = None;
        for template in &rule.id {
            id = row.render(template, true, "/id")?;
            if id.is_some() {
                break;
            }
        }
        let id = id.ok_or_else(|| RowProblem {
            column: rule.id[0].columns().first().map(|column| self.columns[*column].clone()),
            reason: "the key column is empty, so the event would have no id".to_owned(),
            pointer: "/id".to_owned(),
        })?;
        let time = match row.field(&rule.time, "/time")? {
            Some(Value::String(text)) => DateTime::parse_from_rfc3339(&text).ok().map(|time| time.with_timezone(&Utc)),
            Some(_) | None => None,
        };
        if time.is_none() && !rule.time.optional {
            return Err(RowProblem {
                column: rule.time.columns.first().map(|column| self.columns[*column].clone()),
                reason: "the time is empty".to_owned(),
                pointer: "/time".to_owned(),
            });
        }
        let mut data = Map::new();
        for (name, spec) in &rule.data {
            if let Some(value) = row.field(spec, &format!("/data/{name}"))? {
                data.insert(name.clone(), value);
            }
        }
        let subject = match &rule.subject {
            Some(template) => row.render(template, true, "/subject")?,
            None => None,
        };
        let source = row.render(&self.source, false, "/source")?.unwrap_or_default();
        Ok(MappedEvent { event_type: rule.event_type.clone(), id, source, subject, time, data: Value::Object(data) })
    }
}

// ---- one row, seen through the mapping ----

#[derive(Clone, Copy)]
struct RowView<'m, 'r> {
    mapping: &'m Mapping,
    place: RowPlace<'m>,
    cell: &'m dyn Fn(usize) -> Result<Cell<'r>, String>,
    melt: Option<&'m Melt>,
}

impl<'r> RowView<'_, 'r> {
    fn value(&self, column: usize, pointer: &str) -> Result<Cell<'r>, RowProblem> {
        let cell = (self.cell)(column).map_err(|reason| self.problem(Some(column), reason, pointer))?;
        Ok(match cell {
            Cell::Text(text) if self.mapping.nulls.iter().any(|null| null == text.trim()) => Cell::Null,
            Cell::Float(value) if !value.is_finite() => Cell::Null,
            Cell::Json(Value::Null) => Cell::Null,
            other => other,
        })
    }

    fn problem(&self, column: Option<usize>, reason: String, pointer: &str) -> RowProblem {
        let column = column.map(|column| self.mapping.columns[column].clone());
        RowProblem { column, reason, pointer: pointer.to_owned() }
    }

    /// `whole`: every part must be there. Otherwise one part is enough.
    fn render(&self, template: &Template, whole: bool, pointer: &str) -> Result<Option<String>, RowProblem> {
        let mut text = String::new();
        let (mut there, mut asked) = (0_usize, 0_usize);
        for part in &template.0 {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Column(column) => {
                    asked += 1;
                    if let Some(value) = self.value(*column, pointer)?.to_text() {
                        there += 1;
                        text.push_str(&value);
                    } else if whole {
                        return Ok(None);
                    }
                }
                Part::Row => text.push_str(&self.place.row.to_string()),
                Part::File => text.push_str(self.place.file),
                Part::Stem => text.push_str(stem(self.place.file)),
                Part::Digest => text.push_str(self.place.digest),
                Part::Encoded(inner) => {
                    let inner = Template(vec![inner.as_ref().clone()]);
                    text.push_str(&uri_encoded(&self.render(&inner, false, pointer)?.unwrap_or_default()));
                }
                Part::Melt(key) => text.push_str(self.melt.and_then(|melt| melt.keys.get(key)).map_or("", String::as_str)),
            }
        }
        Ok(if asked > 0 && there == 0 { None } else { Some(text) })
    }

    fn field(&self, spec: &Spec, pointer: &str) -> Result<Option<Value>, RowProblem> {
        let melted = self.melt.filter(|_| spec.melt).map(|melt| melt.column);
        for column in melted.iter().chain(&spec.columns) {
            let cell = self.value(*column, pointer)?;
            if !cell.is_null() {
                return spec.convert(&cell).map_err(|reason| self.problem(Some(*column), reason, pointer));
            }
        }
        if let Some(template) = &spec.template
            && let Some(text) = self.render(template, false, pointer)?
        {
            return spec.convert(&Cell::Text(text.into())).map_err(|reason| self.problem(None, reason, pointer));
        }
        Ok(spec.constant.clone())
    }
}

fn uri_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A file's name without its endings: `a/b/labelled_raw.csv.gz` is `labelled_raw`.
pub fn stem(file: &str) -> &str {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    name.split('.').next().unwrap_or(name)
}

// ---- compiled form ----

#[derive(Debug, Clone)]
struct Rule {
    event_type: String,
    id: Vec<Template>,
    subject: Option<Template>,
    time: Spec,
    when: Vec<When>,
    melt: Vec<Melt>,
    data: Vec<(String, Spec)>,
}

#[derive(Debug, Clone)]
struct Melt {
    column: usize,
    keys: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
struct When {
    column: usize,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Present(bool),
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl When {
    fn holds(&self, row: &RowView<'_, '_>) -> Result<bool, RowProblem> {
        let text = row.value(self.column, "")?.to_text();
        Ok(match &self.test {
            Test::Present(wanted) => text.is_some() == *wanted,
            Test::In(list) => text.is_some_and(|text| list.contains(&text)),
            Test::NotIn(list) => !text.is_some_and(|text| list.contains(&text)),
        })
    }
}

#[derive(Debug, Clone, Default)]
struct Template(Vec<Part>);

#[derive(Debug, Clone)]
enum Part {
    Literal(String),
    Column(usize),
    Row,
    File,
    Stem,
    Digest,
    Melt(String),
    Encoded(Box<Part>),
}

impl Template {
    fn columns(&self) -> Vec<usize> {
        self.0.iter().filter_map(|part| if let Part::Column(column) = part { Some(*column) } else { None }).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Text,
    Int,
    Float,
    Bool,
    Time,
    Json,
}

#[derive(Debug, Clone, Default)]
struct Spec {
    columns: Vec<usize>,
    template: Option<Template>,
    constant: Option<Value>,
    melt: bool,
    kind: Kind,
    formats: Vec<String>,
    zone: Tz,
    map: BTreeMap<String, String>,
    scale: Option<f64>,
    optional: bool,
}

impl Spec {
    /// The column that is missing, when nothing else can fill this field.
    fn unmet(&self, present: &[bool]) -> Option<usize> {
        if self.optional || self.melt || self.constant.is_some() || self.columns.iter().any(|column| present[*column]) {
            return None;
        }
        let template = self.template.as_ref().map(Template::columns);
        match template {
            Some(columns) => columns.into_iter().find(|column| !present[*column]),
            None => self.columns.first().copied(),
        }
    }

    fn convert(&self, cell: &Cell<'_>) -> Result<Option<Value>, String> {
        let replaced = match cell.to_text().filter(|_| !self.map.is_empty()).and_then(|text| self.map.get(&text)) {
            Some(text) => Cell::Text(text.clone().into()),
            None => cell.clone(),
        };
        Ok(match self.kind {
            Kind::Text => replaced.to_text().map(Value::String),
            Kind::Int => match self.scale {
                None => replaced.to_int()?.map(Value::from),
                Some(scale) => replaced.to_float()?.map(|value| Value::from((value * scale).round() as i64)),
            },
            Kind::Float => match replaced.to_float()?.map(|value| value * self.scale.unwrap_or(1.0)) {
                None => None,
                Some(value) => Some(Value::Number(Number::from_f64(value).ok_or("the scaled value is not finite")?)),
            },
            Kind::Bool => replaced.to_bool()?.map(Value::Bool),
            Kind::Time => replaced
                .to_time(&self.formats, self.zone)?
                .map(|time| Value::String(time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))),
            Kind::Json => match replaced {
                Cell::Json(value) => Some(value),
                other => match other.to_text() {
                    None => None,
                    Some(text) => {
                        Some(serde_json::from_str(&text).map_err(|error| format!("{} is not JSON: {error}", shown(&text)))?)
                    }
                },
            },
        })
    }
}

// ---- compilation ----

#[derive(Default)]
struct Compiler {
    columns: Vec<String>,
    digest_used: bool,
}

impl Compiler {
    fn compile(mut self, file: MappingFile) -> Result<Mapping, String> {
        let zone = match &file.timezone {
            None => Tz::UTC,
            Some(name) => zone(name)?,
        };
        let formats = match file.time_format {
            None => DEFAULT_TIME_FORMATS.iter().map(|text| (*text).to_owned()).collect(),
            Some(list) => list.0,
        };
        let encoding = match &file.encoding {
            None => None,
            Some(label) => Some(
                encoding_rs::Encoding::for_label(label.as_bytes()).ok_or_else(|| format!("encoding {label:?} is not known"))?,
            ),
        };
        let delimiter = match file.delimiter.as_deref() {
            None => b',',
            Some(text) if text.len() == 1 => text.as_bytes()[0],
            Some(text) => return Err(format!("delimiter {text:?} is not one ASCII character")),
        };
        let mut source = self.template(&file.source, &[])?;
        for part in &mut source.0 {
            // A source is a URI reference, and people name files as they like.
            if matches!(part, Part::File | Part::Stem) {
                *part = Part::Encoded(Box::new(part.clone()));
            }
        }
        if !source.columns().is_empty() {
            return Err("source may not use columns; it names where the file comes from".to_owned());
        }
        if file.event.is_empty() {
            return Err("there is no [[event]]: a row would give nothing".to_owned());
        }
        let mut rules = Vec::new();
        for event in file.event {
            rules.push(self.rule(event, &formats, zone)?);
        }
        Ok(Mapping {
            title_zh: file.title.as_ref().map_or_else(|| file.name.clone(), |title| title.zh.clone()),
            title_en: file.title.as_ref().map_or_else(|| file.name.clone(), |title| title.en.clone()),
            name: file.name,
            order: file.order,
            encoding,
            delimiter,
            source,
            nulls: file.null.unwrap_or_else(|| DEFAULT_NULLS.iter().map(|text| (*text).to_owned()).collect()),
            columns: self.columns,
            rules,
            digest_used: self.digest_used,
        })
    }

    fn rule(&mut self, event: EventFile, formats: &[String], zone: Tz) -> Result<Rule, String> {
        let within = |reason: String| format!("event {}: {reason}", event.event_type);
        let mut melts = Vec::new();
        let mut keys: Vec<String> = Vec::new();
        for mut entry in event.melt {
            let column = entry.remove("column").ok_or_else(|| within("a melt entry has no column".to_owned()))?;
            keys.extend(entry.keys().filter(|key| !keys.contains(key)).cloned().collect::<Vec<_>>());
            melts.push(Melt { column: self.column(&column), keys: entry });
        }
        let mut id = Vec::new();
        for text in &event.id.0 {
            id.push(self.template(text, &keys).map_err(within)?);
        }
        if id.is_empty() {
            return Err(within("there is no id".to_owned()));
        }
        let subject = match &event.subject {
            None => None,
            Some(text) => Some(self.template(text, &keys).map_err(within)?),
        };
        let mut when = Vec::new();
        for condition in event.when.0 {
            let test = match (condition.present, condition.one_of, condition.not_in) {
                (Some(present), None, None) => Test::Present(present),
                (None, Some(list), None) => Test::In(list),
                (None, None, Some(list)) => Test::NotIn(list),
                _ => return Err(within("`when` wants one of present, in, not_in".to_owned())),
            };
            when.push(When { column: self.column(&condition.column), test });
        }
        let mut time = self.spec(event.time, &keys, formats, zone).map_err(within)?;
        time.kind = Kind::Time;
        let mut data = Vec::new();
        for (name, spec) in event.data {
            let spec = self.spec(spec, &keys, formats, zone).map_err(|reason| within(format!("{name}: {reason}")))?;
            if spec.melt && melts.is_empty() {
                return Err(within(format!("{name}: melt = true, but the event melts no columns")));
            }
            data.push((name, spec));
        }
        Ok(Rule { event_type: event.event_type, id, subject, time, when, melt: melts, data })
    }

    fn spec(&mut self, field: Field, keys: &[String], formats: &[String], default_zone: Tz) -> Result<Spec, String> {
        let file = field.0;
        let named = file.column.into_iter().chain(file.columns.into_iter().flatten());
        let columns: Vec<usize> = named.map(|column| self.column(&column)).collect();
        let template = match &file.template {
            None => None,
            Some(text) => Some(self.template(text, keys)?),
        };
        let constant = match file.constant {
            None => None,
            Some(value) => Some(serde_json::to_value(value).map_err(|error| error.to_string())?),
        };
        if columns.is_empty() && template.is_none() && constant.is_none() && !file.melt {
            return Err("the field names no column, columns, template, const or melt".to_owned());
        }
        Ok(Spec {
            columns,
            template,
            constant,
            melt: file.melt,
            kind: file.kind,
            formats: file.format.map_or_else(|| formats.to_vec(), |list| list.0),
            zone: file.timezone.as_deref().map_or(Ok(default_zone), zone)?,
            map: file.map,
            scale: file.scale,
            optional: file.optional,
        })
    }

    fn column(&mut self, name: &str) -> usize {
        if let Some(position) = self.columns.iter().position(|column| column == name) {
            return position;
        }
        self.columns.push(name.to_owned());
        self.columns.len() - 1
    }

    fn template(&mut self, text: &str, keys: &[String]) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            if open > 0 {
                parts.push(Part::Literal(rest[..open].to_owned()));
            }
            let close = rest[open..].find('}').ok_or_else(|| format!("template {text:?}: a {{ is not closed"))? + open;
            let name = &rest[open + 1..close];
            parts.push(match name {
                "@row" => Part::Row,
                "@file" => Part::File,
                "@stem" => Part::Stem,
                "@digest" => {
                    self.digest_used = true;
                    Part::Digest
                }
                _ => match name.strip_prefix('@') {
                    Some(key) if keys.iter().any(|known| known == key) => Part::Melt(key.to_owned()),
                    Some(_) => {
                        return Err(format!(
                            "template {text:?}: {{{name}}} is not known; there are {{@row}}, {{@file}}, {{@stem}}, {{@digest}} and the keys of melt"
                        ));
                    }
                    None => Part::Column(self.column(name)),
                },
            });
            rest = &rest[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Template(parts))
    }
}

fn zone(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| format!("time zone {name:?} is not known; write it as in America/Chicago"))
}

// ---- the file as written ----

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MappingFile {
    name: String,
    title: Option<Title>,
    source: String,
    timezone: Option<String>,
    time_format: Option<OneOrMany<String>>,
    order: Order,
    null: Option<Vec<String>>,
    encoding: Option<String>,
    delimiter: Option<String>,
    #[serde(default)]
    event: Vec<EventFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Title {
    zh: String,
    en: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventFile {
    #[serde(rename = "type")]
    event_type: String,
    id: OneOrMany<String>,
    subject: Option<String>,
    time: Field,
    #[serde(default)]
    when: OneOrMany<WhenFile>,
    #[serde(default)]
    melt: Vec<BTreeMap<String, String>>,
    data: BTreeMap<String, Field>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhenFile {
    column: String,
    present: Option<bool>,
    #[serde(rename = "in")]
    one_of: Option<Vec<String>>,
    not_in: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct FieldFile {
    column: Option<String>,
    columns: Option<Vec<String>>,
    template: Option<String>,
    #[serde(rename = "const")]
    constant: Option<toml::Value>,
    #[serde(default)]
    melt: bool,
    #[serde(default, rename = "as")]
    kind: Kind,
    format: Option<OneOrMany<String>>,
    timezone: Option<String>,
    #[serde(default)]
    map: BTreeMap<String, String>,
    scale: Option<f64>,
    #[serde(default)]
    optional: bool,
}

/// A column's name, or a table that says more.
struct Field(FieldFile);

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldVisitor;
        impl<'de> Visitor<'de> for FieldVisitor {
            type Value = Field;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column's name, or a table such as { column = \"…\", as = \"float\" }")
            }
            fn visit_str<E: de::Error>(self, column: &str) -> Result<Field, E> {
                Ok(Field(FieldFile { column: Some(column.to_owned()), ..FieldFile::default() }))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Field, A::Error> {
                FieldFile::deserialize(de::value::MapAccessDeserializer::new(map)).map(Field)
            }
        }
        deserializer.deserialize_any(FieldVisitor)
    }
}

/// One value, or a list of them.
struct OneOrMany<T>(Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        OneOrMany(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
            type Value = OneOrMany<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one value or a list of them")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(de::value::StrDeserializer::new(text)).map(|value| OneOrMany(vec![value]))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(de::value::MapAccessDeserializer::new(map)).map(|value| OneOrMany(vec![value]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(OneOrMany(values))
            }
        }
        deserializer.deserialize_any(ListVisitor(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(mapping: &Mapping, columns: &[&str], values: &[&str]) -> Vec<Result<MappedEvent, RowProblem>> {
        let names: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        mapping.bind(&names).expect("the columns fit");
        let mut out = Vec::new();
        let cell = |column: usize| {
            let name = &mapping.columns()[column];
            Ok(names.iter().position(|n| n == name).map_or(Cell::Null, |at| Cell::Text(values[at].into())))
        };
        mapping.apply(RowPlace { file: "dir/some.csv.gz", digest: "d1", row: 7 }, &cell, &mut out);
        out
    }

    #[test]
    fn every_shipped_mapping_compiles() {
        for name in builtin_names() {
            let mapping = Mapping::load(name).unwrap();
            assert_eq!(mapping.name, name);
            assert!(!mapping.title_zh.is_empty() && !mapping.title_en.is_empty());
        }
    }

    #[test]
    fn a_closed_work_order_gives_two_events_and_an_open_one_gives_one() {
        let mapping = Mapping::load("baltimore").unwrap();
        let columns = ["ServiceRequestNum", "SRType", "CreatedDate", "CloseDate", "SRStatus", "Latitude"];
        let events = rows(&mapping, &columns, &["14-1", "Rat", "2014-04-30 00:51:33", "2014-04-30 01:19:57", "Closed", "39.3"]);
        let seen: Vec<_> = events
            .iter()
            .map(|event| event.as_ref().unwrap())
            .map(|event| format!("{} {} {} {}", event.event_type, event.id, event.time.unwrap().to_rfc3339(), event.data))
            .collect();
        assert_eq!(
            seen,
            [
                r#"workorder.created 14-1:created 2014-04-30T04:51:33+00:00 {"category":"Rat","lat":39.3,"request_id":"14-1","status":"open"}"#,
                r#"workorder.closed 14-1:closed 2014-04-30T05:19:57+00:00 {"request_id":"14-1","resolution":"Closed","status":"closed"}"#,
            ]
        );
        assert_eq!(rows(&mapping, &columns, &["14-1", "Rat", "2014-04-30 00:51:33", "", "Open", ""]).len(), 1);
    }

    #[test]
    fn a_wrong_value_names_its_column() {
        let mapping = Mapping::load("baltimore").unwrap();
        let columns = ["ServiceRequestNum", "SRType", "CreatedDate", "CloseDate", "SRStatus", "Latitude"];
        let events = rows(&mapping, &columns, &["14-1", "Rat", "30.4.2014", "2014-04-30 01:19:57", "Closed", "north"]);
        let problem = events[0].as_ref().unwrap_err();
        assert_eq!((problem.column.as_deref(), problem.pointer.as_str()), (Some("CreatedDate"), "/time"));
        assert!(events[1].is_ok(), "the closing does not need what is wrong");
        let events = rows(&mapping, &columns, &["14-1", "Rat", "2014-04-30 00:51:33", "", "Open", "north"]);
        assert_eq!(events[0].as_ref().unwrap_err().pointer, "/data/lat");
        let events = rows(&mapping, &columns, &["", "Rat", "2014-04-30 00:51:33", "", "Open", ""]);
        assert_eq!(events[0].as_ref().unwrap_err().column.as_deref(), Some("ServiceRequestNum"));
    }

    #[test]
    fn messages_are_read_from_files_with_different_columns() {
        let mapping = Mapping::load("hotline").unwrap();
        let labelled = rows(&mapping, &["留言编号", "留言时间", "text", "一级标签"], &["", "", "路灯不亮", "城乡建设"]);
        let event = labelled[0].as_ref().unwrap();
        assert_eq!((event.id.as_str(), event.time, event.source.as_str()), ("d1:7", None, "urn:citybrain:source:hotline:some"));
        assert_eq!(event.data["category"], "城乡建设");
        assert_eq!(event.data["message_id"], "d1:7");
        let stream = rows(
            &mapping,
            &["留言编号", "留言用户", "留言主题", "留言时间", "留言详情"],
            &["188006", "A1", "路灯", "2019/2/28 11:25:05", "不亮"],
        );
        let event = stream[0].as_ref().unwrap();
        assert_eq!((event.id.as_str(), event.data["text"].as_str().unwrap()), ("188006", "路灯\n不亮"));
    }

    #[test]
    fn value_columns_melt_into_observations_and_gaps_give_none() {
        let mapping = Mapping::load("air-beijing").unwrap();
        let columns = ["ts", "station", "PM2.5", "PM10", "SO2", "NO2", "CO", "O3", "TEMP", "PRES", "DEWP", "RAIN", "WSPM"];
        let values = ["2013-03-01 00:00:00", "Dongsi", "9.0", "NaN", "", "", "", "", "-0.5", "", "", "", ""];
        let events = rows(&mapping, &columns, &values);
        let seen: Vec<_> = events.iter().map(|event| event.as_ref().unwrap()).map(|e| format!("{} {}", e.id, e.data)).collect();
        assert_eq!(
            seen,
            [
                r#"Dongsi:pm25:2013-03-01 00:00:00 {"datastream":"Dongsi/pm25","property":"pm25","result":9.0,"station":"Dongsi","unit":"µg/m³"}"#,
                r#"Dongsi:temperature:2013-03-01 00:00:00 {"datastream":"Dongsi/temperature","property":"temperature","result":-0.5,"station":"Dongsi","unit":"°C"}"#,
            ]
        );
    }

    #[test]
    fn a_missing_column_is_named_before_the_first_row() {
        let mapping = Mapping::load("taipei").unwrap();
        let error = mapping.bind(&["ts".to_owned(), "kind".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("\"item\"") && error.contains("ts, kind"), "{error}");
    }

    #[test]
    fn mistakes_in_a_mapping_say_where() {
        let check = |text: &str, part: &str| {
            let error = Mapping::parse("x.toml", text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        let head = "name='x'\nsource='urn:x'\norder='file'\n";
        check("name='x'", "missing field");
        check(head, "no [[event]]");
        check(&format!("{head}colour='red'"), "colour");
        check(&format!("{head}timezone='Mars'\n[[event]]\ntype='a'\nid='b'\ntime='t'\n[event.data]\n"), "Mars");
        check(&format!("{head}[[event]]\ntype='a'\nid='{{b'\ntime='t'\n[event.data]\n"), "not closed");
        check(&format!("{head}[[event]]\ntype='a'\nid='{{@nothing}}'\ntime='t'\n[event.data]\n"), "@nothing");
        check(&format!("{head}[[event]]\ntype='a'\nid='b'\ntime='t'\n[event.data]\nx={{as='float'}}"), "names no column");
    }
}
