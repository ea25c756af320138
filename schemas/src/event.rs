//! The envelope of everything that travels: CloudEvents 1.0.
//!
//! [`Event`] owns its parts; [`EventRef`] borrows them from the record it was read from and is what the hot path of the
//! bus uses. Both are read strictly: each error names the attribute, what is wrong with it and a piece of its value.
//! The bindings are in [`kafka`] (binary mode written, binary and structured read), [`http`] and [`json`].

pub mod http;
pub mod json;
pub mod kafka;

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::limits::{
    ATTRIBUTE_BYTES_MAX, ATTRIBUTE_NAME_BYTES_MAX, ATTRIBUTES_BYTES_MAX, BODY_BYTES_MAX, EVENT_TIME_AHEAD_SECS_MAX,
    EVENT_TIME_SECS_MIN, ID_BYTES_MAX, QUOTED_CHARS_MAX, SOURCE_BYTES_MAX, TYPE_BYTES_MAX,
};
pub use kafka::KafkaRecord;

/// One event. `source` and `id` together are the key against duplicates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// `id`: unique within `source`.
    pub id: String,
    /// `source`: who says so, a URI reference.
    pub source: String,
    /// `type`: what happened, such as `io.citybrain.sensor.observation.v1`.
    pub event_type: String,
    /// `subject`: what it happened to, such as a datastream.
    pub subject: Option<String>,
    /// `time`: when it happened, as the source claims (event time), to the microsecond.
    pub time: Option<DateTime<Utc>>,
    /// `recordedtime`: when we wrote it down.
    pub recorded_time: Option<DateTime<Utc>>,
    /// `partitionkey`: what keeps its order; also the key of the Kafka record.
    pub partition_key: Option<String>,
    /// `correlationid`: the incident it belongs to.
    pub correlation_id: Option<String>,
    /// `causationid`: the id of its direct cause.
    pub causation_id: Option<String>,
    /// `dataschema`: where the schema of the data is.
    pub data_schema: Option<String>,
    /// `datacontenttype`: the media type of the data; JSON when absent.
    pub data_content_type: Option<String>,
    /// `dataclassification`: `public`, `internal`, `confidential` or `restricted`.
    pub data_classification: Option<String>,
    /// All other attributes by name.
    pub extensions: BTreeMap<String, String>,
    /// The data itself. `None` is a tombstone in a compacted topic.
    pub data: Option<Bytes>,
}

/// A view of an event that borrows from the record it was read from, and copies only what an encoding forces it to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventRef<'a> {
    /// `id`.
    pub id: Cow<'a, str>,
    /// `source`.
    pub source: Cow<'a, str>,
    /// `type`.
    pub event_type: Cow<'a, str>,
    /// `subject`.
    pub subject: Option<Cow<'a, str>>,
    /// `time` in microseconds since 1970.
    pub time_us: Option<i64>,
    /// `recordedtime` in microseconds since 1970.
    pub recorded_time_us: Option<i64>,
    /// `partitionkey`, or the record's key.
    pub partition_key: Option<Cow<'a, str>>,
    /// `correlationid`.
    pub correlation_id: Option<Cow<'a, str>>,
    /// `causationid`.
    pub causation_id: Option<Cow<'a, str>>,
    /// `dataschema`.
    pub data_schema: Option<Cow<'a, str>>,
    /// `datacontenttype`.
    pub data_content_type: Option<Cow<'a, str>>,
    /// `dataclassification`.
    pub data_classification: Option<Cow<'a, str>>,
    /// All other attributes, sorted by name.
    pub extensions: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The data itself.
    pub data: Option<Cow<'a, [u8]>>,
}

impl EventRef<'_> {
    /// The other attributes as one JSON object in the order of their names, or `None` when there are none.
    pub fn extensions_json(&self) -> Option<String> {
        if self.extensions.is_empty() {
            return None;
        }
        let mut text = String::from("{");
        for (index, (name, value)) in self.extensions.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(&serde_json::Value::from(name.as_ref()).to_string());
            text.push(':');
            text.push_str(&serde_json::Value::from(value.as_ref()).to_string());
        }
        text.push('}');
        Some(text)
    }

    /// A copy that owns its parts.
    pub fn into_owned(self) -> Event {
        let time = |us: i64| DateTime::from_timestamp_micros(us).expect("parsed times are within chrono's range");
        let own = |value: Option<Cow<'_, str>>| value.map(Cow::into_owned);
        Event {
            id: self.id.into_owned(),
            source: self.source.into_owned(),
            event_type: self.event_type.into_owned(),
            subject: own(self.subject),
            time: self.time_us.map(time),
            recorded_time: self.recorded_time_us.map(time),
            partition_key: own(self.partition_key),
            correlation_id: own(self.correlation_id),
            causation_id: own(self.causation_id),
            data_schema: own(self.data_schema),
            data_content_type: own(self.data_content_type),
            data_classification: own(self.data_classification),
            extensions: self.extensions.into_iter().map(|(n, v)| (n.into_owned(), v.into_owned())).collect(),
            data: self.data.map(|data| Bytes::from(data.into_owned())),
        }
    }
}

impl Event {
    /// An event with the three attributes that each one must have; the rest is set through the fields.
    pub fn new(id: impl Into<String>, source: impl Into<String>, event_type: impl Into<String>) -> Self {
        Self { id: id.into(), source: source.into(), event_type: event_type.into(), ..Self::default() }
    }

    /// The same event with JSON data.
    pub fn with_json(mut self, data: &serde_json::Value) -> Self {
        self.data_content_type = Some("application/json".to_owned());
        self.data = Some(Bytes::from(data.to_string()));
        self
    }

    /// The data as a JSON value. Strict: UTF-8, no lone surrogates, nothing behind the value.
    pub fn data_json(&self) -> Result<serde_json::Value, EventError> {
        let data = self.data.as_deref().ok_or(EventError::NoData)?;
        let text = json::check_utf8("the data", data)?;
        serde_json::from_str(text).map_err(|error| EventError::not_json("the data", &error))
    }

    /// All attributes but `specversion`, by their names in the specification and in a fixed order.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let text = |value: &'_ Option<String>| value.clone().map(Cow::<str>::Owned);
        let time = |value: Option<DateTime<Utc>>| value.map(|time| Cow::<str>::Owned(crate::time::format(time)));
        let known = [
            ("id", Some(Cow::Borrowed(self.id.as_str()))),
            ("source", Some(Cow::Borrowed(self.source.as_str()))),
            ("type", Some(Cow::Borrowed(self.event_type.as_str()))),
            ("subject", text(&self.subject)),
            ("time", time(self.time)),
            ("recordedtime", time(self.recorded_time)),
            ("partitionkey", text(&self.partition_key)),
            ("correlationid", text(&self.correlation_id)),
            ("causationid", text(&self.causation_id)),
            ("dataschema", text(&self.data_schema)),
            ("datacontenttype", text(&self.data_content_type)),
            ("dataclassification", text(&self.data_classification)),
        ];
        known
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .chain(self.extensions.iter().map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str()))))
    }

    /// Checks an event that was put together by hand as strictly as one that was read.
    pub fn check(&self) -> Result<(), EventError> {
        let mut parts = Parts::default();
        parts.set("specversion", Cow::Borrowed("1.0"))?;
        for (name, value) in self.attributes() {
            parts.set(name, Cow::Owned(value.into_owned()))?;
        }
        parts.finish(None)?;
        check_body(self.data.as_deref())
    }
}

/// Refuses an event time that cannot be: before 1900, or more than a day after `now`. The door knows `now`; the
/// log's readers do not ask, since what was once accepted stays.
pub fn check_time(event: &Event, now: DateTime<Utc>) -> Result<(), EventError> {
    let Some(time) = event.time else { return Ok(()) };
    let refuse = |problem: String| EventError::invalid("time", &crate::time::format(time), problem);
    if time.timestamp() < EVENT_TIME_SECS_MIN {
        return Err(refuse("is before 1900; is the clock of the source set?".to_owned()));
    }
    let ahead_secs = time.timestamp().saturating_sub(now.timestamp());
    if ahead_secs > EVENT_TIME_AHEAD_SECS_MAX {
        let now = crate::time::format(now);
        return Err(refuse(format!("is more than a day ahead of our clock ({now}); is the clock of the source right?")));
    }
    Ok(())
}

/// What is wrong with an event, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// A required attribute is not there.
    #[error("attribute `{attribute}` is missing")]
    Missing {
        /// Its name.
        attribute: &'static str,
    },
    /// An attribute has a value that is not allowed.
    #[error("attribute `{attribute}` {problem} (found {value})")]
    Invalid {
        /// Its name.
        attribute: String,
        /// The beginning of its value, quoted, personal data masked.
        value: String,
        /// Completes "the attribute ...".
        problem: String,
    },
    /// An attribute appears more than once.
    #[error("attribute `{attribute}` is given more than once")]
    Repeated {
        /// Its name.
        attribute: String,
    },
    /// An attribute's name breaks the rules.
    #[error("{name} is not a name for an attribute: {problem}")]
    Name {
        /// The beginning of the name, quoted.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The content type is not one that can be read here.
    #[error("content type {content_type} cannot be read here: {problem}")]
    ContentType {
        /// The content type, quoted.
        content_type: String,
        /// What would be right.
        problem: &'static str,
    },
    /// Something has more bytes, headers or members than allowed.
    #[error("{what} has {actual} {unit}, and at most {limit} are allowed")]
    TooLarge {
        /// What.
        what: String,
        /// How many it has.
        actual: usize,
        /// Of which unit.
        unit: &'static str,
        /// How many it may have.
        limit: usize,
    },
    /// Bytes that should be text are not UTF-8.
    #[error("{what} is not UTF-8 from byte {at} on (GBK and other encodings must be converted before sending)")]
    NotUtf8 {
        /// What.
        what: String,
        /// The position of the first byte that is not.
        at: usize,
    },
    /// Text that should be JSON is not.
    #[error("{what} is not JSON: {problem} at line {line} column {column}")]
    NotJson {
        /// What.
        what: String,
        /// The parser's words.
        problem: String,
        /// Line, counted from 1.
        line: usize,
        /// Column, counted from 1.
        column: usize,
    },
    /// There is no data where some is needed.
    #[error("the event has no data")]
    NoData,
    /// `data` and `data_base64` cannot both be there.
    #[error("`data` and `data_base64` are both given; an event has one of them")]
    TwoData,
}

impl EventError {
    /// A short stable name for machines: counters, `dlq` rows, problem documents.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "attribute_missing",
            Self::Invalid { .. } => "attribute_invalid",
            Self::Repeated { .. } => "attribute_repeated",
            Self::Name { .. } => "attribute_name",
            Self::ContentType { .. } => "content_type",
            Self::TooLarge { .. } => "too_large",
            Self::NotUtf8 { .. } => "not_utf8",
            Self::NotJson { .. } => "not_json",
            Self::NoData => "no_data",
            Self::TwoData => "two_data",
        }
    }

    /// The attribute that is at fault, if one is.
    pub fn attribute(&self) -> Option<&str> {
        match self {
            Self::Missing { attribute } => Some(attribute),
            Self::Invalid { attribute, .. } | Self::Repeated { attribute } => Some(attribute),
            Self::Name { .. }
            | Self::ContentType { .. }
            | Self::TooLarge { .. }
            | Self::NotUtf8 { .. }
            | Self::NotJson { .. }
            | Self::NoData
            | Self::TwoData => None,
        }
    }

    fn invalid(attribute: &str, value: &str, problem: impl Into<String>) -> Self {
        Self::Invalid { attribute: attribute.to_owned(), value: quote(value), problem: problem.into() }
    }

    fn not_json(what: &str, error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let problem = text.split(" at line ").next().unwrap_or_default();
        let problem = crate::pii::mask(problem).0.chars().take(200).collect();
        Self::NotJson { what: what.to_owned(), problem, line: error.line(), column: error.column() }
    }
}

/// The beginning of a value between quotes: control characters escaped, personal data masked.
fn quote(value: &str) -> String {
    let masked = crate::pii::mask(value).0;
    let mut beginning: String = masked.chars().take(QUOTED_CHARS_MAX).collect();
    if beginning.len() < masked.len() {
        beginning.push('…');
    }
    format!("{beginning:?}")
}

/// The attributes met so far, whatever the binding.
#[derive(Default)]
struct Parts<'a> {
    id: Option<Cow<'a, str>>,
    source: Option<Cow<'a, str>>,
    event_type: Option<Cow<'a, str>>,
    spec_version: bool,
    event: EventRef<'a>,
    bytes: usize,
}

impl<'a> Parts<'a> {
    /// Takes one attribute in. The caller has removed the binding's prefix and decoding.
    fn set(&mut self, name: &str, value: Cow<'a, str>) -> Result<(), EventError> {
        self.bytes += name.len() + value.len();
        if self.bytes > ATTRIBUTES_BYTES_MAX {
            return Err(too_large("the attributes together", self.bytes, "bytes", ATTRIBUTES_BYTES_MAX));
        }
        check_characters(name, &value)?;
        let event = &mut self.event;
        let slot = match name {
            "specversion" => {
                if value != "1.0" {
                    return Err(EventError::invalid(name, &value, "must be `1.0`"));
                }
                return match std::mem::replace(&mut self.spec_version, true) {
                    false => Ok(()),
                    true => Err(EventError::Repeated { attribute: name.to_owned() }),
                };
            }
            "time" => return set_time(&mut event.time_us, name, &value),
            "recordedtime" => return set_time(&mut event.recorded_time_us, name, &value),
            "id" => {
                check_length(name, &value, ID_BYTES_MAX)?;
                &mut self.id
            }
            "source" => {
                check_length(name, &value, SOURCE_BYTES_MAX)?;
                check_uri(name, &value)?;
                &mut self.source
            }
            "type" => {
                check_length(name, &value, TYPE_BYTES_MAX)?;
                &mut self.event_type
            }
            "dataschema" => {
                check_uri(name, &value)?;
                &mut event.data_schema
            }
            "datacontenttype" => {
                if !value.contains('/') {
                    return Err(EventError::invalid(name, &value, "is not a media type such as application/json"));
                }
                &mut event.data_content_type
            }
            "subject" => &mut event.subject,
            "partitionkey" => &mut event.partition_key,
            "correlationid" => &mut event.correlation_id,
            "causationid" => &mut event.causation_id,
            "dataclassification" => &mut event.data_classification,
            _ => {
                check_name(name)?;
                check_length(name, &value, ATTRIBUTE_BYTES_MAX)?;
                event.extensions.push((Cow::Owned(name.to_owned()), value));
                return Ok(());
            }
        };
        if value.is_empty() {
            return Err(EventError::invalid(name, &value, "must not be empty"));
        }
        check_length(name, &value, ATTRIBUTE_BYTES_MAX)?;
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(EventError::Repeated { attribute: name.to_owned() }),
        }
    }

    /// The event, if nothing that each one must have is missing.
    fn finish(self, data: Option<Cow<'a, [u8]>>) -> Result<EventRef<'a>, EventError> {
        if !self.spec_version {
            return Err(EventError::Missing { attribute: "specversion" });
        }
        let mut event = self.event;
        event.id = self.id.ok_or(EventError::Missing { attribute: "id" })?;
        event.source = self.source.ok_or(EventError::Missing { attribute: "source" })?;
        event.event_type = self.event_type.ok_or(EventError::Missing { attribute: "type" })?;
        if event.extensions.len() > 1 {
            event.extensions.sort_by(|a, b| a.0.cmp(&b.0));
            if let Some(pair) = event.extensions.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(EventError::Repeated { attribute: pair[0].0.clone().into_owned() });
            }
        }
        check_body(data.as_deref())?;
        event.data = data;
        Ok(event)
    }
}

fn set_time(slot: &mut Option<i64>, name: &str, value: &str) -> Result<(), EventError> {
    let us = crate::time::parse_us(value).map_err(|problem| EventError::invalid(name, value, problem))?;
    match slot.replace(us) {
        None => Ok(()),
        Some(_) => Err(EventError::Repeated { attribute: name.to_owned() }),
    }
}

fn check_body(data: Option<&[u8]>) -> Result<(), EventError> {
    match data {
        Some(data) if data.len() > BODY_BYTES_MAX => Err(too_large("the data", data.len(), "bytes", BODY_BYTES_MAX)),
        _ => Ok(()),
    }
}

fn too_large(what: &str, actual: usize, unit: &'static str, limit: usize) -> EventError {
    EventError::TooLarge { what: what.to_owned(), actual, unit, limit }
}

fn check_length(name: &str, value: &str, limit: usize) -> Result<(), EventError> {
    if value.len() > limit {
        return Err(too_large(&format!("attribute `{name}`"), value.len(), "bytes", limit));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), EventError> {
    let problem = if name.is_empty() {
        "it is empty"
    } else if name.len() > ATTRIBUTE_NAME_BYTES_MAX {
        "it is longer than 64 characters"
    } else if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        "names have only a-z and 0-9"
    } else if name == "data" {
        "`data` is the data itself"
    } else {
        return Ok(());
    };
    Err(EventError::Name { name: quote(name), problem })
}

/// The specification keeps control characters and Unicode's non-characters out of attributes; NUL is one of them.
fn check_characters(name: &str, value: &str) -> Result<(), EventError> {
    let plain = value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if plain {
        return Ok(());
    }
    let hostile = |c: char| {
        c.is_control() || ('\u{fdd0}'..='\u{fdef}').contains(&c) || (u32::from(c) & 0xfffe) == 0xfffe
    };
    match value.chars().find(|c| hostile(*c)) {
        None => Ok(()),
        Some(c) => {
            let name: String = name.chars().take(ATTRIBUTE_NAME_BYTES_MAX).collect();
            Err(EventError::invalid(&name, value, format!("has the character U+{:04X}", u32::from(c))))
        }
    }
}

/// Enough of RFC 3986 to keep hostile references out of paths and pages; characters beyond ASCII are let in, since
/// cities do name their sources in their own script.
fn check_uri(name: &str, value: &str) -> Result<(), EventError> {
    let hostile = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '{' | '}' | '|' | '\\' | '^' | '`');
    match value.chars().find(|c| hostile(*c)) {
        None => Ok(()),
        Some(c) => Err(EventError::invalid(name, value, format!("is not a URI reference: it has {c:?}"))),
    }
}

/// Whether a media type is JSON: `application/json`, `text/json` or `.../...+json`, parameters aside.
pub fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let ends = |suffix: &str| {
        essence.len() > suffix.len() && essence.as_bytes()[essence.len() - suffix.len()..].eq_ignore_ascii_case(suffix.as_bytes())
    };
    ends("/json") || ends("+json")
}

#[cfg(test)]
pub(crate) mod tests;
