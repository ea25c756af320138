//! The Kafka binding: binary mode written, binary and structured mode read.
//!
//! Binary mode: the value is the data, `content-type` its media type, and each other attribute a header `ce_<name>`.
//! Structured mode: the content type begins with `application/cloudevents`, and the value is one JSON document.

use std::borrow::Cow;

use bytes::Bytes;

use super::{Event, EventError, EventRef, Parts, too_large};
use crate::limits::HEADERS_MAX;

/// What a Kafka record is made of, before it has a topic and a place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KafkaRecord {
    /// What decides the partition.
    pub key: Option<Bytes>,
    /// Headers in order.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
}

impl KafkaRecord {
    /// The headers as [`Event::from_kafka`] takes them.
    pub fn header_refs(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }
}

impl Event {
    /// The event as a record in binary mode. Its key is the `partitionkey`.
    pub fn to_kafka(&self) -> KafkaRecord {
        let mut headers = Vec::with_capacity(10 + self.extensions.len());
        headers.push(("ce_specversion".to_owned(), Some(Bytes::from_static(b"1.0"))));
        for (name, value) in self.attributes() {
            let header = match name {
                "datacontenttype" => "content-type".to_owned(),
                _ => ["ce_", name].concat(),
            };
            headers.push((header, Some(Bytes::from(value.into_owned()))));
        }
        let key = self.partition_key.as_ref().map(|key| Bytes::copy_from_slice(key.as_bytes()));
        KafkaRecord { key, headers, value: self.data.clone() }
    }

    /// Reads a record in binary or structured mode.
    pub fn from_kafka<'a>(
        key: Option<&'a [u8]>,
        headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
        value: Option<&'a [u8]>,
    ) -> Result<Event, EventError> {
        EventRef::from_kafka(key, headers, value).map(EventRef::into_owned)
    }
}

impl<'a> EventRef<'a> {
    /// Reads a record in binary or structured mode without copying: in binary mode nothing is allocated but the
    /// list of extensions, if there are any.
    pub fn from_kafka(
        key: Option<&'a [u8]>,
        headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
        value: Option<&'a [u8]>,
    ) -> Result<EventRef<'a>, EventError> {
        let mut parts = Parts::default();
        let mut structured = None;
        let mut problem = None;
        for (index, (name, value)) in headers.enumerate() {
            if index >= HEADERS_MAX {
                return Err(too_large("the record", index + 1, "headers or more", HEADERS_MAX));
            }
            // Kept, not returned: in structured mode the value speaks, whatever the headers say.
            let outcome = header(&mut parts, &mut structured, name, value);
            problem = problem.or(outcome.err());
        }
        let mut event = if let Some(content_type) = structured {
            from_structured(content_type, value)?
        } else if let Some(problem) = problem {
            return Err(problem);
        } else {
            parts.finish(value.map(Cow::Borrowed))?
        };
        if event.partition_key.is_none() {
            event.partition_key = key.and_then(usable_key).map(Cow::Borrowed);
        }
        Ok(event)
    }
}

fn header<'a>(
    parts: &mut Parts<'a>,
    structured: &mut Option<&'a str>,
    name: &'a str,
    value: Option<&'a [u8]>,
) -> Result<(), EventError> {
    let attribute = match name.strip_prefix("ce_") {
        Some("datacontenttype") => {
            return Err(EventError::Name {
                name: super::quote(name),
                problem: "the data's media type goes into the header `content-type`",
            });
        }
        Some(attribute) => attribute,
        None if name.eq_ignore_ascii_case("content-type") => "datacontenttype",
        // Other headers belong to others: tracing, compression, routing.
        None => return Ok(()),
    };
    let Some(value) = value else {
        super::check_name(attribute)?;
        return Err(EventError::invalid(attribute, "", "is a header without a value"));
    };
    let value = std::str::from_utf8(value).map_err(|error| {
        let name: String = name.chars().take(80).collect();
        EventError::NotUtf8 { what: format!("header `{name}`"), at: error.valid_up_to() }
    })?;
    if attribute == "datacontenttype" && super::json::is_cloudevents(value) {
        *structured = Some(value);
        return Ok(());
    }
    match attribute {
        // The one borrow that `set` cannot make by itself: the names of extensions outlive the call here.
        "specversion" | "id" | "source" | "type" | "subject" | "time" => parts.set(attribute, Cow::Borrowed(value)),
        _ => {
            let before = parts.event.extensions.len();
            parts.set(attribute, Cow::Borrowed(value))?;
            if let Some((name, _)) = parts.event.extensions.get_mut(before) {
                *name = Cow::Borrowed(attribute);
            }
            Ok(())
        }
    }
}

fn from_structured<'a>(content_type: &str, value: Option<&'a [u8]>) -> Result<EventRef<'a>, EventError> {
    super::json::require_json_event(content_type)?;
    match value {
        Some(value) => super::json::read(value),
        None => Err(EventError::NoData),
    }
}

/// A record's key stands in for `partitionkey` when it is text that could be one.
fn usable_key(key: &[u8]) -> Option<&str> {
    let key = std::str::from_utf8(key).ok()?;
    let usable = !key.is_empty()
        && key.len() <= crate::limits::ATTRIBUTE_BYTES_MAX
        && super::check_characters("partitionkey", key).is_ok();
    usable.then_some(key)
}
