//! What is refused: why, where it came from, and how it is kept in `dlq`.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use schemas::{Event, EventError};
use serde::Serialize;
use serde_json::{Value, json};

use crate::encoding::NotUtf8;
use crate::limits::{KEPT_BYTES_MAX, KEPT_HEADER_BYTES_MAX, KEPT_HEADERS_MAX};

/// The CloudEvents source of what the doors themselves say.
pub const DOOR_SOURCE: &str = "urn:citybrain:door";

/// Why something was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// A stable name for programs.
    pub code: &'static str,
    /// What is wrong, in English.
    pub reason: String,
    /// What is wrong, in Chinese.
    pub reason_zh: String,
    /// Where it is wrong: a JSON pointer into the event; empty for the whole.
    pub pointer: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: &'static str, pointer: impl Into<String>, en: impl Into<String>, zh: impl Into<String>) -> Refusal {
        Refusal { code, reason: en.into(), reason_zh: zh.into(), pointer: pointer.into() }
    }

    /// From what the envelope's decoder says. `original` tells which encoding wrong bytes look like.
    pub fn of_event_error(error: &EventError, original: &[u8]) -> Refusal {
        if let EventError::NotUtf8 { what, .. } = error
            && let Err(wrong) = crate::encoding::utf8(original)
        {
            return Refusal::not_utf8(what, &wrong);
        }
        let code = error.code();
        let pointer = error.attribute().map_or_else(String::new, |name| format!("/{name}"));
        let zh = match code {
            "attribute_missing" => "缺少必需的属性",
            "attribute_invalid" => "属性的值不允许",
            "attribute_repeated" => "属性重复",
            "attribute_name" => "属性名不合规",
            "content_type" => "内容类型无法读取",
            "too_large" => "超过允许的大小",
            "not_utf8" => "不是 UTF-8 编码",
            "not_json" => "不是合法的 JSON",
            "no_data" => "事件没有数据",
            "two_data" => "data 与 data_base64 只能有一个",
            _ => "事件无法读取",
        };
        Refusal::new(code, pointer, error.to_string(), format!("{zh}：{error}"))
    }

    /// For bytes that are no UTF-8.
    pub fn not_utf8(what: &str, wrong: &NotUtf8) -> Refusal {
        Refusal::new("not_utf8", "", format!("{what} {}", wrong.en()), format!("正文{}", wrong.zh()))
    }
}

/// Where something came from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The door, as in `http` or `import:houston`.
    pub door: Arc<str>,
    /// The place in the request or file.
    pub place: Place,
    /// The content type of [`Origin::original`].
    pub content_type: Arc<str>,
    /// Headers that came with it.
    pub headers: Arc<Vec<(String, String)>>,
    /// The bytes as they came; the event itself when `None`.
    pub original: Option<Bytes>,
    /// How many bytes there were, when `original` has only the beginning.
    pub original_bytes: Option<u64>,
}

/// A place in a request (index, line) or in a file (file, row, column).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Place in a batch, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// Line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// File name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<Arc<str>>,
    /// Row, from 1; the header is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// Column name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
}

/// One thing that came to a door: an event, or what could not be read as one.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The event, or why there is none.
    pub event: Result<Event, Refusal>,
    /// Where it came from.
    pub origin: Origin,
}

impl Incoming {
    /// Bytes that it holds, roughly.
    pub fn bytes(&self) -> usize {
        let original = self.origin.original.as_ref().map_or(0, Bytes::len);
        let data = self.event.as_ref().map_or(0, |event| event.data.as_ref().map_or(0, Bytes::len) + 256);
        original.max(data)
    }
}

/// The `dlq` event that keeps what was refused.
///
/// Its id is made of what was refused and why, so that refusing the same again, as a repeated import does, keeps it once.
pub fn keep(incoming: &Incoming, refusal: &Refusal, dlq_type: &str, now: DateTime<Utc>) -> Event {
    let origin = &incoming.origin;
    let event = incoming.event.as_ref().ok();
    let (original, content_type) = match (&origin.original, event) {
        (Some(original), _) => (original.clone(), origin.content_type.as_ref()),
        (None, Some(event)) => (Bytes::from(event.to_json()), "application/cloudevents+json"),
        (None, None) => (Bytes::new(), origin.content_type.as_ref()),
    };
    let bytes_total = origin.original_bytes.unwrap_or(original.len() as u64);
    let kept = original.slice(..original.len().min(KEPT_BYTES_MAX));
    let mut hasher = blake3::Hasher::new();
    let place = serde_json::to_string(&origin.place).expect("a place is plain data");
    for part in [origin.door.as_bytes(), refusal.code.as_bytes(), refusal.pointer.as_bytes(), place.as_bytes(), &kept] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.update(&bytes_total.to_le_bytes());
    for (name, value) in origin.headers.iter().filter(|(name, _)| name.starts_with("ce-")) {
        hasher.update(name.as_bytes());
        hasher.update(value.as_bytes());
    }
    let id = &hasher.finalize().to_hex()[..32];
    let mut data = json!({
        "reason": refusal.reason,
        "reason_zh": refusal.reason_zh,
        "code": refusal.code,
        "pointer": refusal.pointer,
        "door": origin.door.as_ref(),
        "place": origin.place,
        "content_type": content_type,
        "headers": kept_headers(&origin.headers),
        "original": BASE64.encode(&kept),
        "original_bytes": bytes_total,
        "cut": (kept.len() as u64) < bytes_total,
    });
    if let Some(event) = event {
        data["event_id"] = Value::from(event.id.as_str());
        data["event_source"] = Value::from(event.source.as_str());
        data["event_type"] = Value::from(event.event_type.as_str());
    }
    let mut dlq = Event::new(id, DOOR_SOURCE, dlq_type).with_json(&data);
    dlq.time = Some(now);
    dlq.recorded_time = Some(now);
    dlq.partition_key = Some(origin.door.to_string());
    // The original may hold what the masking would have removed.
    dlq.data_classification = Some("restricted".to_owned());
    dlq
}

fn kept_headers(headers: &[(String, String)]) -> Vec<(String, String)> {
    let cut = |value: &str| value.chars().take(KEPT_HEADER_BYTES_MAX / 4).collect::<String>();
    headers.iter().take(KEPT_HEADERS_MAX).map(|(name, value)| (cut(name), cut(value))).collect()
}

/// Reads the data of a `dlq` event back into what came to the door, for another try after repair.
pub fn reopen(data: &Value) -> Result<Incoming, String> {
    if data["cut"].as_bool() == Some(true) {
        return Err("only the beginning of the original was kept; it has to be sent again / 原文只保留了开头，需要重新发送".to_owned());
    }
    let text = data["original"].as_str().ok_or("the record has no original")?;
    let original = Bytes::from(BASE64.decode(text).map_err(|error| format!("the original is no base64: {error}"))?);
    let headers: Vec<(String, String)> =
        data.get("headers").map(|list| serde_json::from_value(list.clone())).transpose().map_err(|error| error.to_string())?.unwrap_or_default();
    let content_type = data["content_type"].as_str().unwrap_or("application/cloudevents+json");
    let event = if content_type.starts_with("application/cloudevents") || content_type.contains("ndjson") {
        Event::from_json(&original)
    } else if headers.iter().any(|(name, _)| name.starts_with("ce-")) {
        Event::from_http(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())), original.clone())
    } else {
        let door = data["door"].as_str().unwrap_or_default();
        return Err(match door.starts_with("import") {
            true => format!("the original ({content_type}) is a row of a file: repair the file or the mapping and import it again / 原文是文件中的一行，请修复文件或映射后重新导入"),
            false => format!("the original ({content_type}) came to the door {door} and is no event: repair it and send it there again / 原文经入口 {door} 送达且不是事件，请修正后重新发送"),
        });
    };
    let event = event.map_err(|error| Refusal::of_event_error(&error, &original));
    let origin = Origin {
        door: Arc::from("retry"),
        content_type: Arc::from(content_type),
        headers: Arc::new(headers),
        original: Some(original),
        ..Origin::default()
    };
    Ok(Incoming { event, origin })
}
