//! Errors as RFC 9457 problem documents, in Chinese and English.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::trail::{Noted, Why};
use crate::door::DoorError;
use crate::refusal::Refusal;
use crate::view::ViewError;

/// A problem document on its way out.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: (&'static str, &'static str),
    detail: (String, String),
    retry_after_s: Option<u32>,
    members: Map<String, Value>,
    noted: Option<Box<Noted>>,
}

impl Problem {
    /// A problem of a kind: its name in the `type` URI and its title (en, zh), then what happened here (en, zh).
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        title: (&'static str, &'static str),
        en: impl Into<String>,
        zh: impl Into<String>,
    ) -> Problem {
        Problem { status, kind, title, detail: (en.into(), zh.into()), retry_after_s: None, members: Map::new(), noted: None }
    }

    /// The same with one more member.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// The same, asking to come back after some seconds.
    pub fn retry_after(mut self, seconds: u32) -> Problem {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The same with what the audit keeps of the call.
    pub(super) fn noting(mut self, noted: Noted) -> Problem {
        self.noted = Some(Box::new(noted));
        self
    }

    /// The status that it is sent with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What happened, in English and Chinese, for doors that say it in a form of their own.
    pub fn said(&self) -> (String, String) {
        self.detail.clone()
    }

    /// A request that cannot be understood.
    pub fn bad_request(en: impl Into<String>, zh: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad-request", ("The request is wrong", "请求有误"), en, zh)
    }

    /// Nothing of that name.
    pub fn not_found(what: &str) -> Problem {
        let shown: String = what.chars().take(120).collect();
        Problem::new(
            StatusCode::NOT_FOUND,
            "not-found",
            ("Not found", "未找到"),
            format!("there is no {shown}"),
            format!("没有 {shown}"),
        )
    }

    /// A body beyond the limit.
    pub fn too_large(limit_bytes: u64) -> Problem {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            ("The body is too large", "请求体过大"),
            format!("at most {limit_bytes} bytes are taken here; send many events as JSON lines (application/x-ndjson), which stream"),
            format!("这里最多接收 {limit_bytes} 字节；大量事件请用 JSON 行（application/x-ndjson）流式发送"),
        )
        .with("limit_bytes", limit_bytes)
    }

    /// Why a single event was refused.
    pub fn refused(refusal: &Refusal) -> Problem {
        let (status, kind, title) = match refusal.code {
            "too_large" => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", ("The body is too large", "请求体过大")),
            "content_type" => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", ("The content type is not understood", "内容类型不支持"))
            }
            "unknown_type" | "invalid_data" | "reserved_type" | "nul" | "no_data" => {
                (StatusCode::UNPROCESSABLE_ENTITY, "refused", ("The event was refused", "事件被拒收"))
            }
            "device_unknown" | "device_key" => (StatusCode::UNAUTHORIZED, "device", ("Not a registered device", "不是已登记的设备")),
            "device_revoked" => (StatusCode::FORBIDDEN, "device", ("The device was revoked", "设备已被吊销")),
            _ => (StatusCode::BAD_REQUEST, "unreadable", ("The event cannot be read", "事件无法读取")),
        };
        Problem::new(status, kind, title, refusal.reason.clone(), refusal.reason_zh.clone())
            .with("code", refusal.code)
            .with("pointer", refusal.pointer.clone())
    }
}

impl From<DoorError> for Problem {
    fn from(error: DoorError) -> Problem {
        let (kind, title, seconds) = match error {
            DoorError::Busy => ("busy", ("Too busy", "系统繁忙"), 1),
            DoorError::Bus(_) => ("bus-down", ("The bus is not available", "消息总线不可用"), 5),
        };
        tracing::warn!(%error, "a request heard 503");
        let zh = match error {
            DoorError::Busy => "正在写入总线的事件过多，请稍后重试；已写入的事件重发时会被识别为重复",
            DoorError::Bus(_) => "总线没有接收这些事件，请稍后重试；已写入的事件重发时会被识别为重复",
        };
        let en = "not everything reached the bus; send it again after a while, what did get through will be recognised as a duplicate";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, title, en, zh).retry_after(seconds)
    }
}

impl From<ViewError> for Problem {
    fn from(error: ViewError) -> Problem {
        match error {
            ViewError::Wrong { en, zh } => Problem::bad_request(en, zh),
            ViewError::Conflict { en, zh, version } => {
                Problem::new(StatusCode::CONFLICT, "conflict", ("It has changed meanwhile", "已被变更"), en, zh).with("version", version)
            }
            ViewError::Refused { en, zh, problems } => {
                let problems: Vec<Value> = problems.into_iter().map(|(key, problem)| serde_json::json!({ "key": key, "problem": problem })).collect();
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", ("It cannot be done", "无法执行"), en, zh).with("problems", problems)
            }
            ViewError::Unavailable { en, zh } => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", ("Not available", "暂不可用"), en, zh).retry_after(5)
            }
            ViewError::Timeout => Problem::new(
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                ("It took too long", "超时"),
                "the answer took too long; ask for less, for example with a time filter",
                "应答超时；请缩小范围，例如增加时间条件",
            ),
            ViewError::Failed(cause) => {
                tracing::error!(%cause, "a request failed");
                Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "failed",
                    ("Something of ours failed", "内部错误"),
                    "something of ours failed; the log says what",
                    "内部错误，原因见日志",
                )
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = self.members;
        body.insert("type".to_owned(), Value::from(format!("urn:citybrain:problem:{}", self.kind)));
        body.insert("status".to_owned(), Value::from(self.status.as_u16()));
        body.insert("title".to_owned(), Value::from(self.title.0));
        body.insert("title_zh".to_owned(), Value::from(self.title.1));
        let why = Why(self.detail.0.clone());
        body.insert("detail".to_owned(), Value::from(self.detail.0));
        body.insert("detail_zh".to_owned(), Value::from(self.detail.1));
        let mut response = (self.status, Value::Object(body).to_string()).into_response();
        response.extensions_mut().insert(why);
        if let Some(noted) = self.noted {
            response.extensions_mut().insert(*noted);
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
