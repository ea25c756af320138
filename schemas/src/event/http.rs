//! The HTTP binding: binary (`ce-*` headers, the body is the data) and structured (one JSON document); batches are
//! read by [`Event::batch_from_json`].

use std::borrow::Cow;

use bytes::Bytes;

use super::{Event, EventError, EventRef, Parts, too_large};
use crate::limits::HEADERS_MAX;

/// How a request carries its event or events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Attributes in headers, data in the body.
    Binary,
    /// One JSON document.
    Structured,
    /// A JSON array of such documents.
    Batch,
}

/// The mode that a request's content type asks for.
pub fn mode(content_type: Option<&str>) -> Mode {
    match content_type {
        Some(content_type) if super::json::is_batch(content_type) => Mode::Batch,
        Some(content_type) if super::json::is_cloudevents(content_type) => Mode::Structured,
        _ => Mode::Binary,
    }
}

impl Event {
    /// Reads a request in binary or structured mode. Header names in any case. An empty body is no data.
    pub fn from_http<'a>(
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
        body: Bytes,
    ) -> Result<Event, EventError> {
        let mut parts = Parts::default();
        let mut content_type = None;
        let mut problem = None;
        for (index, (name, value)) in headers.enumerate() {
            if index >= HEADERS_MAX {
                return Err(too_large("the request", index + 1, "headers or more", HEADERS_MAX));
            }
            if name.eq_ignore_ascii_case("content-type") {
                content_type = Some(header_text(name, value)?);
            } else if name.len() >= 3 && name.as_bytes()[..3].eq_ignore_ascii_case(b"ce-") {
                // Kept, not returned: in structured mode the body speaks, whatever the headers say.
                problem = problem.or(attribute(&mut parts, &name[3..], value).err());
            }
        }
        match mode(content_type.as_deref()) {
            Mode::Structured => {
                super::json::require_json_event(content_type.as_deref().unwrap_or_default())?;
                return Event::from_json(&body);
            }
            Mode::Batch => {
                return Err(EventError::ContentType {
                    content_type: super::quote(content_type.as_deref().unwrap_or_default()),
                    problem: "this is a batch, and one event is expected",
                });
            }
            Mode::Binary => {}
        }
        if let Some(problem) = problem {
            return Err(problem);
        }
        if let Some(content_type) = content_type {
            parts.set("datacontenttype", content_type)?;
        }
        super::check_body(Some(&body))?;
        let mut event = parts.finish(None).map(EventRef::into_owned)?;
        event.data = (!body.is_empty()).then_some(body);
        Ok(event)
    }

    /// The event in binary mode: headers (values percent-encoded where HTTP needs it) and body.
    pub fn to_http(&self) -> (Vec<(String, String)>, Bytes) {
        let mut headers = vec![("ce-specversion".to_owned(), "1.0".to_owned())];
        for (name, value) in self.attributes() {
            headers.push(match name {
                "datacontenttype" => ("content-type".to_owned(), value.into_owned()),
                _ => (format!("ce-{name}"), percent_encode(&value)),
            });
        }
        (headers, self.data.clone().unwrap_or_default())
    }
}

fn attribute(parts: &mut Parts<'_>, name: &str, value: &[u8]) -> Result<(), EventError> {
    let name = name.to_ascii_lowercase();
    if name == "datacontenttype" {
        return Err(EventError::Name {
            name: super::quote(&format!("ce-{name}")),
            problem: "the data's media type goes into the header `content-type`",
        });
    }
    let value = header_text(&format!("ce-{name}"), value)?;
    let decoded = percent_decode(unquote(&value).as_ref());
    let value = String::from_utf8(decoded).map_err(|error| not_utf8(&name, error.utf8_error().valid_up_to()))?;
    parts.set(&name, Cow::Owned(value))
}

fn header_text<'a>(name: &str, value: &[u8]) -> Result<Cow<'a, str>, EventError> {
    match std::str::from_utf8(value) {
        Ok(value) => Ok(Cow::Owned(value.trim().to_owned())),
        Err(error) => Err(not_utf8(name, error.valid_up_to())),
    }
}

fn not_utf8(name: &str, at: usize) -> EventError {
    let name: String = name.chars().take(80).collect();
    EventError::NotUtf8 { what: format!("header `{name}`"), at }
}

/// Removes the quotes and backslashes of a quoted string, if it is one.
fn unquote(value: &str) -> Cow<'_, str> {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(value);
    };
    let mut text = String::with_capacity(inner.len());
    let mut escaped = false;
    for c in inner.chars() {
        if c == '\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            text.push(c);
        }
    }
    Cow::Owned(text)
}

/// `%E4%B8%AD` to bytes; a percent sign without two digits stays one, as the binding asks of tolerant readers.
fn percent_decode(value: &str) -> Vec<u8> {
    let bytes = value.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, _, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// Space, double quote, percent and everything beyond printable ASCII are encoded.
fn percent_encode(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'"' | b'%' => text.push_str(&format!("%{byte:02X}")),
            0x21..=0x7e => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
