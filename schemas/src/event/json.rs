//! The JSON form of an event: one document with the attributes and `data` or `data_base64`.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Event, EventError, EventRef, Parts, is_json, too_large};
use crate::limits::{BATCH_BYTES_MAX, STRUCTURED_BYTES_MAX};

/// The content type of one structured event.
pub const CONTENT_TYPE: &str = "application/cloudevents+json; charset=UTF-8";

/// The content type of a batch.
pub const BATCH_CONTENT_TYPE: &str = "application/cloudevents-batch+json; charset=UTF-8";

impl Event {
    /// Reads one structured event.
    pub fn from_json(text: &[u8]) -> Result<Event, EventError> {
        read(text).map(EventRef::into_owned)
    }

    /// Reads a batch, a JSON array of events. One bad event does not spoil the others: each error carries the place
    /// in the array, counted from 0. When the array itself cannot be read there is one error with place 0.
    pub fn batch_from_json(text: &[u8]) -> Vec<Result<Event, (usize, EventError)>> {
        match split_batch(text) {
            Err(error) => vec![Err((0, error))],
            Ok(events) => events
                .into_iter()
                .enumerate()
                .map(|(index, event)| Event::from_json(event.get().as_bytes()).map_err(|error| (index, error)))
                .collect(),
        }
    }

    /// The event as one JSON document, attributes in a fixed order. JSON data stays as it is, other text becomes a
    /// string, and anything else `data_base64`.
    pub fn to_json(&self) -> String {
        let mut text = String::from(r#"{"specversion":"1.0""#);
        for (name, value) in self.attributes() {
            text.push_str(",\"");
            text.push_str(name);
            text.push_str("\":");
            push_json_string(&mut text, &value);
        }
        if let Some(data) = &self.data {
            push_data(&mut text, data, self.data_content_type.as_deref());
        }
        text.push('}');
        text
    }
}

/// Whether a content type says "a CloudEvent is inside", in whatever format.
pub(super) fn is_cloudevents(content_type: &str) -> bool {
    const PREFIX: &[u8] = b"application/cloudevents";
    let bytes = content_type.trim_start().as_bytes();
    bytes.len() >= PREFIX.len() && bytes[..PREFIX.len()].eq_ignore_ascii_case(PREFIX)
}

/// Whether a content type says "a batch of CloudEvents is inside".
pub(super) fn is_batch(content_type: &str) -> bool {
    content_type.trim_start().to_ascii_lowercase().starts_with("application/cloudevents-batch")
}

/// Refuses batches, formats other than JSON, and encodings other than UTF-8.
pub(super) fn require_json_event(content_type: &str) -> Result<(), EventError> {
    let refuse = |problem| EventError::ContentType { content_type: super::quote(content_type), problem };
    if is_batch(content_type) {
        return Err(refuse("this is a batch, and one event is expected"));
    }
    let lower = content_type.to_ascii_lowercase();
    let mut parts = lower.split(';').map(str::trim);
    if !matches!(parts.next(), Some("application/cloudevents" | "application/cloudevents+json")) {
        return Err(refuse("of the structured formats only application/cloudevents+json is understood"));
    }
    let charset = parts.find_map(|part| part.strip_prefix("charset=").map(|name| name.trim_matches('"')));
    match charset {
        None | Some("utf-8" | "utf8" | "us-ascii") => Ok(()),
        Some(_) => Err(refuse("JSON events are UTF-8")),
    }
}

/// Splits a batch into its events without reading them.
fn split_batch(text: &[u8]) -> Result<Vec<&RawValue>, EventError> {
    if text.len() > BATCH_BYTES_MAX {
        return Err(too_large("the batch", text.len(), "bytes", BATCH_BYTES_MAX));
    }
    let text = check_utf8("the batch", text)?;
    serde_json::from_str(text).map_err(|error| EventError::not_json("the batch", &error))
}

/// Bytes as text, without a byte order mark.
pub(super) fn check_utf8<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a str, EventError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => Err(EventError::NotUtf8 { what: what.to_owned(), at: error.valid_up_to() }),
    }
}

/// Reads one structured event, borrowing what needs no unescaping.
pub(super) fn read(bytes: &[u8]) -> Result<EventRef<'_>, EventError> {
    const WHAT: &str = "the event";
    if bytes.len() > STRUCTURED_BYTES_MAX {
        return Err(too_large(WHAT, bytes.len(), "bytes", STRUCTURED_BYTES_MAX));
    }
    let text = check_utf8(WHAT, bytes)?;
    let members: Members<'_> = serde_json::from_str(text).map_err(|error| EventError::not_json(WHAT, &error))?;
    let mut parts = Parts::default();
    let mut data = None;
    let mut data_base64 = None;
    for (name, value) in members.0 {
        let slot = match name.as_ref() {
            "data" => &mut data,
            "data_base64" => &mut data_base64,
            _ => {
                // A null attribute is an absent one.
                if value.get() != "null" {
                    let value = attribute_value(&name, value)?;
                    parts.set(&name, value)?;
                }
                continue;
            }
        };
        if slot.replace(value).is_some() {
            return Err(EventError::Repeated { attribute: name.into_owned() });
        }
    }
    let data = match (data, data_base64.filter(|value| value.get() != "null")) {
        (Some(_), Some(_)) => return Err(EventError::TwoData),
        (None, None) => None,
        (None, Some(value)) => Some(Cow::Owned(decode_base64(value)?)),
        (Some(value), None) => Some(read_data(value, parts.event.data_content_type.as_deref())?),
    };
    parts.finish(data)
}

/// An attribute of JSON: strings as they are, integers and booleans in their canonical spelling.
fn attribute_value<'a>(name: &str, value: &'a RawValue) -> Result<Cow<'a, str>, EventError> {
    let raw = value.get();
    let own = matches!(
        name,
        "id" | "source" | "type" | "specversion" | "subject" | "time" | "recordedtime" | "partitionkey"
            | "correlationid" | "causationid" | "dataschema" | "datacontenttype" | "dataclassification"
    );
    match raw.as_bytes().first() {
        Some(b'"') => text(&format!("attribute `{}`", name.chars().take(64).collect::<String>()), value),
        Some(b't' | b'f') if !own => Ok(Cow::Borrowed(raw)),
        Some(b'-' | b'0'..=b'9') if !own => match raw.parse::<i32>() {
            Ok(number) => Ok(Cow::Owned(number.to_string())),
            Err(_) => Err(EventError::invalid(name, raw, "is a number but not a 32-bit integer; write it as a string")),
        },
        _ if own => Err(EventError::invalid(name, raw, "must be a string")),
        _ => Err(EventError::invalid(name, raw, "must be a string, an integer or a boolean")),
    }
}

fn text<'a>(what: &str, value: &'a RawValue) -> Result<Cow<'a, str>, EventError> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let text: Text<'a> = serde_json::from_str(value.get()).map_err(|error| EventError::not_json(what, &error))?;
    Ok(text.0)
}

fn decode_base64(value: &RawValue) -> Result<Vec<u8>, EventError> {
    if !value.get().starts_with('"') {
        return Err(EventError::invalid("data_base64", value.get(), "must be a string"));
    }
    let text = text("`data_base64`", value)?;
    BASE64.decode(text.as_bytes()).map_err(|error| {
        EventError::invalid("data_base64", &text, format!("is not base64 with padding: {error}"))
    })
}

/// JSON data is kept as it was written; a string under another content type is the text itself.
fn read_data<'a>(value: &'a RawValue, content_type: Option<&str>) -> Result<Cow<'a, [u8]>, EventError> {
    let json = content_type.is_none_or(is_json);
    if json || !value.get().starts_with('"') {
        check_surrogates(value)?;
        return Ok(Cow::Borrowed(value.get().as_bytes()));
    }
    Ok(match text("the data", value)? {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

/// Raw JSON may hide half a surrogate pair (`"\ud83d"`), which no Unicode text can hold. Only texts that have an
/// escape in that range are parsed for it.
fn check_surrogates(value: &RawValue) -> Result<(), EventError> {
    let suspicious = value.get().as_bytes().windows(4).any(|w| matches!(w, [b'\\', b'u', b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F']));
    if suspicious {
        serde_json::from_str::<serde_json::Value>(value.get()).map_err(|error| EventError::not_json("the data", &error))?;
    }
    Ok(())
}

fn push_data(text: &mut String, data: &[u8], content_type: Option<&str>) {
    let json = content_type.is_none_or(is_json);
    let utf8 = std::str::from_utf8(data).ok();
    // Values that can be read back whole: raw JSON is checked, since a reader could make nothing of the document else.
    let raw = utf8.filter(|data| json && serde_json::from_str::<serde_json::Value>(data).is_ok());
    match (raw, utf8) {
        (Some(raw), _) => {
            text.push_str(",\"data\":");
            text.push_str(raw);
        }
        (None, Some(utf8)) if !json => {
            text.push_str(",\"data\":");
            push_json_string(text, utf8);
        }
        _ => {
            text.push_str(",\"data_base64\":\"");
            BASE64.encode_string(data, text);
            text.push('"');
        }
    }
}

fn push_json_string(text: &mut String, value: &str) {
    text.push_str(&serde_json::to_string(value).expect("a string is always JSON"));
}

/// The members of a JSON object in order, repeated names and all.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'de>, M::Error> {
                #[derive(Deserialize)]
                struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
                let mut members = Vec::with_capacity(12);
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
