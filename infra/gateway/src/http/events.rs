//! `POST /v1/events`: CloudEvents in binary, structured and batch mode, and JSON lines.

use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use schemas::Event;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::trail::Noted;
use super::{Gateway, Problem};
use crate::devices::Sender;
use crate::door::DoorError;
use crate::encoding;
use crate::limits::{BODY_PAUSE_MAX, KEPT_BYTES_MAX, LINE_BYTES_MAX, REFUSED_LISTED_MAX};
use crate::refusal::{Incoming, Origin, Place, Refusal};
use crate::steps::{Steps, Tally};

/// Bytes of a body beyond the limit that are read away, so that the sender hears the answer instead of a broken pipe.
const DRAINED_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// How a request carries its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Binary,
    Structured,
    Batch,
    Lines,
}

pub(super) async fn post_events(State(gateway): State<Arc<Gateway>>, headers: HeaderMap, body: Body) -> Response {
    let request = match Request::of(&gateway, &headers) {
        Ok(request) => request,
        Err(problem) => return problem.into_response(),
    };
    let stream = body.into_data_stream();
    let result = match request.mode {
        Mode::Lines => lines(&gateway, &request, stream).await,
        Mode::Binary | Mode::Structured | Mode::Batch => whole(&gateway, &request, &headers, stream).await,
    };
    result.unwrap_or_else(IntoResponse::into_response)
}

/// A row that an import in another process could not make an event of: kept like every other refusal.
#[derive(serde::Deserialize)]
pub(super) struct RefusedRow {
    door: String,
    code: String,
    reason: String,
    reason_zh: String,
    pointer: String,
    file: Option<String>,
    row: Option<u64>,
    column: Option<String>,
    original: String,
}

pub(super) async fn post_refused(State(gateway): State<Arc<Gateway>>, body: Bytes) -> Result<Response, Problem> {
    let wrong = |why: String| Problem::bad_request(format!("this is no refused row: {why}"), format!("这不是被拒收的行：{why}"));
    let row: RefusedRow = serde_json::from_slice(&body).map_err(|error| wrong(error.to_string()))?;
    let original = BASE64.decode(&row.original).map_err(|error| wrong(error.to_string()))?;
    let code = if row.code == "file_broken" { "file_broken" } else { "wrong_row" };
    let refusal = Refusal::new(code, row.pointer, row.reason, row.reason_zh);
    let place = Place { file: row.file.map(Arc::from), row: row.row, column: row.column, ..Place::default() };
    let origin = Origin {
        door: Arc::from(row.door),
        place,
        content_type: Arc::from("text/plain"),
        original: Some(Bytes::from(original)),
        ..Origin::default()
    };
    gateway.door.submit(vec![Incoming { event: Err(refusal), origin }], Some(gateway.config.patience)).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(json!({ "accepted": 0, "duplicate": 0, "refused_count": 1 }))).into_response())
}

/// The headers that are kept with what is refused: all but secrets.
pub(super) fn kept_headers(headers: &HeaderMap) -> Arc<Vec<(String, String)>> {
    let kept = headers
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "authorization" | "cookie" | "proxy-authorization"))
        .take(crate::limits::KEPT_HEADERS_MAX)
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    Arc::new(kept)
}

struct Request {
    mode: Mode,
    content_type: Arc<str>,
    kept_headers: Arc<Vec<(String, String)>>,
    sender: Sender,
}

impl Request {
    fn of(gateway: &Gateway, headers: &HeaderMap) -> Result<Request, Problem> {
        let content_type = headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let unsupported = |en: String, zh: String| {
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", ("The content type is not understood", "内容类型不支持"), en, zh)
        };
        if let Some(coding) = headers.get(header::CONTENT_ENCODING).filter(|value| value.as_bytes() != b"identity") {
            let coding: String = String::from_utf8_lossy(coding.as_bytes()).chars().take(40).collect();
            return Err(unsupported(
                format!("content-encoding {coding:?} is not understood; send the body as it is"),
                format!("不支持 content-encoding {coding:?}；请直接发送"),
            ));
        }
        let lower = content_type.clone().unwrap_or_default().to_ascii_lowercase();
        let mut parts = lower.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let binary = headers.keys().any(|name| name.as_str().starts_with("ce-"));
        let mode = match media {
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines"
            | "application/jsonlines" | "application/json-lines" => Mode::Lines,
            _ if media.starts_with("application/cloudevents-batch") => Mode::Batch,
            _ if media.starts_with("application/cloudevents") => Mode::Structured,
            _ if binary => Mode::Binary,
            // What people send who have not read about content types; what it is shows.
            "application/json" => Mode::Structured,
            _ => {
                let shown: String = media.chars().take(80).collect();
                return Err(unsupported(
                    format!("content type {shown:?} is not understood; use application/cloudevents+json, application/cloudevents-batch+json, application/x-ndjson, or headers ce-id, ce-source, ce-type, ce-specversion"),
                    format!("内容类型 {shown:?} 不支持；请使用 application/cloudevents+json、application/cloudevents-batch+json、application/x-ndjson，或携带 ce-id、ce-source、ce-type、ce-specversion 请求头"),
                ));
            }
        };
        Ok(Request { mode, content_type: Arc::from(content_type.unwrap_or_default()), kept_headers: kept_headers(headers), sender: gateway.sender(headers) })
    }

    fn origin(&self, place: Place, content_type: &str, original: Bytes) -> Origin {
        Origin {
            door: Arc::from("http"),
            place,
            content_type: if content_type.is_empty() { Arc::clone(&self.content_type) } else { Arc::from(content_type) },
            headers: Arc::clone(&self.kept_headers),
            original: Some(original),
            original_bytes: None,
        }
    }

    /// The charset, when it is one that JSON is not in.
    fn wrong_charset(&self) -> Option<Refusal> {
        let lower = self.content_type.to_ascii_lowercase();
        let charset = lower.split(';').find_map(|part| part.trim().strip_prefix("charset="))?.trim_matches('"').to_owned();
        (!matches!(charset.as_str(), "utf-8" | "utf8" | "us-ascii")).then(|| {
            Refusal::new(
                "content_type",
                "",
                format!("charset {charset} is not taken; JSON is UTF-8, convert before sending"),
                format!("不接收 {charset} 编码；JSON 须为 UTF-8，请转换后发送"),
            )
        })
    }
}

/// Reads the body whole, then takes in what it holds.
async fn whole(gateway: &Gateway, request: &Request, headers: &HeaderMap, stream: BodyDataStream) -> Result<Response, Problem> {
    let body = match read_whole(stream, gateway.config.body_bytes_max).await? {
        Whole::Body(body) => body,
        Whole::TooLarge { beginning, bytes } => {
            let limit = gateway.config.body_bytes_max;
            let refusal = Refusal::new(
                "too_large",
                "",
                format!("the body has {bytes} bytes or more, and at most {limit} are taken"),
                format!("请求体达到或超过 {bytes} 字节，最多接收 {limit} 字节"),
            );
            let mut origin = request.origin(Place::default(), "", beginning);
            origin.original_bytes = Some(bytes);
            let incoming = Incoming { event: Err(refusal), origin };
            gateway.door.submit(vec![incoming], Some(gateway.config.patience)).await?;
            return Err(Problem::too_large(limit as u64));
        }
    };
    let single = |event: Result<Event, Refusal>, content_type: &str| Incoming {
        event,
        origin: request.origin(Place::default(), content_type, body.clone()),
    };
    let read = |error: &schemas::EventError| Refusal::of_event_error(error, &body);
    let mode = match (request.mode, body.trim_ascii_start().first()) {
        (Mode::Structured, Some(b'[')) if request.content_type.starts_with("application/json") => Mode::Batch,
        (mode, _) => mode,
    };
    let incoming = match mode {
        Mode::Batch => match request.wrong_charset().map_or_else(|| split_batch(request, &body), Err) {
            Ok(events) => events,
            Err(refusal) => vec![single(Err(refusal), "")],
        },
        Mode::Structured => {
            let event = match request.wrong_charset() {
                Some(refusal) => Err(refusal),
                None => Event::from_json(&body).map_err(|error| read(&error)),
            };
            vec![single(event, "application/cloudevents+json")]
        }
        Mode::Binary | Mode::Lines => {
            let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
            vec![single(Event::from_http(pairs, body.clone()).map_err(|error| read(&error)), "")]
        }
    };
    let one = mode != Mode::Batch;
    let registry = gateway.door.types().now();
    let admit = |incoming| gateway.config.devices.admit(&registry, &request.sender, gateway.locked(), incoming);
    let mut steps = Steps::new(Arc::clone(&gateway.door), Some(gateway.config.patience), REFUSED_LISTED_MAX);
    let taken = async {
        for incoming in incoming {
            steps.push(admit(incoming)).await?;
        }
        steps.finish().await
    };
    let taken = tokio::time::timeout(gateway.config.patience, taken).await.unwrap_or(Err(DoorError::Busy));
    answer(&steps.tally, taken.map_err(Problem::from), one)
}

pub(super) enum Whole {
    Body(Bytes),
    TooLarge { beginning: Bytes, bytes: u64 },
}

pub(super) async fn read_whole(mut stream: BodyDataStream, limit: usize) -> Result<Whole, Problem> {
    let mut body = BytesMut::new();
    let mut bytes = 0_u64;
    while let Some(piece) = next_piece(&mut stream).await? {
        bytes += piece.len() as u64;
        if bytes <= limit as u64 {
            body.extend_from_slice(&piece);
        } else {
            body.truncate(KEPT_BYTES_MAX);
            if bytes > DRAINED_BYTES_MAX {
                break;
            }
        }
    }
    let body = body.freeze();
    Ok(if bytes > limit as u64 { Whole::TooLarge { beginning: body, bytes } } else { Whole::Body(body) })
}

async fn next_piece(stream: &mut BodyDataStream) -> Result<Option<Bytes>, Problem> {
    match tokio::time::timeout(BODY_PAUSE_MAX, stream.next()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(piece))) => Ok(Some(piece)),
        Ok(Some(Err(error))) => Err(Problem::bad_request(
            format!("the body ended before its end: {error}"),
            "请求体没有发送完整".to_owned(),
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body-timeout",
            ("The body stopped coming", "请求体中断"),
            "nothing of the body came for a while",
            "长时间没有收到请求体的数据",
        )),
    }
}

fn split_batch(request: &Request, body: &Bytes) -> Result<Vec<Incoming>, Refusal> {
    let text = encoding::utf8(body).map_err(|wrong| Refusal::not_utf8("the batch", &wrong))?;
    let events: Vec<&RawValue> = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
        Refusal::new(
            "not_json",
            "",
            format!("the batch is no JSON array of events: line {} column {}", error.line(), error.column()),
            format!("批量正文不是事件的 JSON 数组：第 {} 行第 {} 列", error.line(), error.column()),
        )
    })?;
    let mut incoming = Vec::with_capacity(events.len());
    for (index, event) in events.into_iter().enumerate() {
        let original = body.slice_ref(event.get().as_bytes());
        let place = Place { index: Some(index as u64), ..Place::default() };
        incoming.push(Incoming {
            event: Event::from_json(&original).map_err(|error| Refusal::of_event_error(&error, &original)),
            origin: request.origin(place, "application/cloudevents+json", original),
        });
    }
    Ok(incoming)
}

/// Takes in line by line while the body comes.
async fn lines(gateway: &Gateway, request: &Request, mut stream: BodyDataStream) -> Result<Response, Problem> {
    if let Some(refusal) = request.wrong_charset() {
        return Err(Problem::refused(&refusal));
    }
    let mut steps = Steps::new(Arc::clone(&gateway.door), Some(gateway.config.patience), REFUSED_LISTED_MAX);
    let taken = read_lines(gateway, request, &mut stream, &mut steps).await;
    // What was taken in before something went wrong is counted, so that the sender knows where to go on.
    let finished = tokio::time::timeout(gateway.config.patience, steps.finish()).await.unwrap_or(Err(DoorError::Busy));
    answer(&steps.tally, taken.and(finished.map_err(Problem::from)), false)
}

async fn read_lines(gateway: &Gateway, request: &Request, stream: &mut BodyDataStream, steps: &mut Steps) -> Result<(), Problem> {
    let mut lines = Lines::default();
    let mut bytes = 0_u64;
    loop {
        let piece = next_piece(stream).await?;
        bytes += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        if bytes > gateway.config.stream_bytes_max {
            return Err(Problem::too_large(gateway.config.stream_bytes_max));
        }
        let last = piece.is_none();
        lines.feed(piece);
        while let Some(line) = lines.next(last) {
            if !line.text.is_empty() {
                let registry = gateway.door.types().now();
                let line = gateway.config.devices.admit(&registry, &request.sender, gateway.locked(), read_line(request, line));
                steps.push(line).await?;
            }
        }
        if last {
            return Ok(());
        }
        // What a slow sender sent is taken in while it goes on sending.
        if lines.buffer.is_empty() {
            steps.flush_if_idle().await?;
        }
    }
}

fn read_line(request: &Request, line: Line) -> Incoming {
    let place = Place { line: Some(line.number), ..Place::default() };
    let mut origin = request.origin(place, "application/cloudevents+json", line.text.clone());
    if let Some(bytes) = line.cut_from {
        origin.original_bytes = Some(bytes);
        let refusal = Refusal::new(
            "too_large",
            "",
            format!("the line has {bytes} bytes, and at most {LINE_BYTES_MAX} are taken"),
            format!("该行有 {bytes} 字节，最多 {LINE_BYTES_MAX} 字节"),
        );
        return Incoming { event: Err(refusal), origin };
    }
    let event = match encoding::utf8(&line.text) {
        Err(wrong) => Err(Refusal::not_utf8("the line", &wrong)),
        Ok(_) => Event::from_json(&line.text).map_err(|error| Refusal::of_event_error(&error, &line.text)),
    };
    Incoming { event, origin }
}

/// Cuts pieces of a body into lines.
#[derive(Default)]
struct Lines {
    buffer: BytesMut,
    /// How far the buffer has been searched.
    searched: usize,
    number: u64,
    /// Set while the rest of an overlong line is thrown away: its beginning, and its length so far.
    overlong: Option<(Bytes, u64)>,
}

struct Line {
    number: u64,
    text: Bytes,
    /// The whole length, when `text` is only the beginning.
    cut_from: Option<u64>,
}

impl Lines {
    fn feed(&mut self, piece: Option<Bytes>) {
        if let Some(piece) = piece {
            self.buffer.extend_from_slice(&piece);
        }
    }

    /// The next whole line; with `last`, what is left is one too.
    fn next(&mut self, last: bool) -> Option<Line> {
        let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n').map(|at| self.searched + at);
        match end {
            Some(end) => {
                self.searched = 0;
                let whole = self.buffer.split_to(end + 1).freeze();
                Some(self.line(whole))
            }
            None if last && (!self.buffer.is_empty() || self.overlong.is_some()) => {
                self.searched = 0;
                let whole = self.buffer.split().freeze();
                Some(self.line(whole))
            }
            None => {
                self.searched = self.buffer.len();
                if self.buffer.len() > LINE_BYTES_MAX || self.overlong.is_some() {
                    let more = self.buffer.split().freeze();
                    self.searched = 0;
                    let (_, bytes) = self.overlong.get_or_insert_with(|| (Bytes::copy_from_slice(&more[..KEPT_BYTES_MAX]), 0));
                    *bytes += more.len() as u64;
                }
                None
            }
        }
    }

    fn line(&mut self, whole: Bytes) -> Line {
        self.number += 1;
        let number = self.number;
        match self.overlong.take() {
            Some((beginning, bytes)) => Line { number, text: beginning, cut_from: Some(bytes + whole.len() as u64) },
            None if whole.len() > LINE_BYTES_MAX + 1 => {
                Line { number, cut_from: Some(whole.len() as u64), text: whole.slice(..KEPT_BYTES_MAX) }
            }
            None => Line { number, text: whole.slice_ref(whole.trim_ascii()), cut_from: None },
        }
    }
}

/// 202 with the counts; a problem with the same counts when nothing got through.
fn answer(tally: &Tally, taken: Result<(), Problem>, one: bool) -> Result<Response, Problem> {
    let refused: Vec<Value> = tally.listed.iter().map(|(place, refusal)| listed(place, refusal)).collect();
    let with_counts = |problem: Problem| {
        problem
            .with("accepted", tally.accepted)
            .with("duplicate", tally.duplicate)
            .with("refused", refused.clone())
            .with("refused_count", tally.refused)
    };
    let mut noted = Noted::default();
    for (name, count) in [("accepted", tally.accepted), ("duplicate", tally.duplicate), ("refused", tally.refused)] {
        noted.details.insert(name.to_owned(), count.to_string());
    }
    noted.position = tally.last_position.clone();
    taken.map_err(|problem| with_counts(problem).noting(noted.clone()))?;
    if let Some((_, refusal)) = tally.listed.first()
        && tally.accepted + tally.duplicate == 0
    {
        let problem = if one || tally.refused == 1 {
            Problem::refused(refusal)
        } else {
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "refused",
                ("All events were refused", "全部事件被拒收"),
                format!("all {} events were refused; the first: {}", tally.refused, refusal.reason),
                format!("{} 条事件全部被拒收；第一条：{}", tally.refused, refusal.reason_zh),
            )
        };
        return Err(with_counts(problem).noting(noted));
    }
    let mut body = json!({
        "accepted": tally.accepted,
        "duplicate": tally.duplicate,
        "refused": refused,
        "refused_count": tally.refused,
    });
    if let (true, Some(position)) = (one, &tally.last_position) {
        body["position"] = json!(position);
    }
    Ok(noted.on((StatusCode::ACCEPTED, axum::Json(body)).into_response()))
}

fn listed(place: &Place, refusal: &Refusal) -> Value {
    let mut entry = serde_json::to_value(refusal).expect("a refusal is plain data");
    if let (Value::Object(entry), Ok(Value::Object(place))) = (&mut entry, serde_json::to_value(place)) {
        entry.extend(place);
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<(u64, usize, Option<u64>)> {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for piece in pieces.iter().map(|piece| Some(Bytes::copy_from_slice(piece))).chain([None]) {
            let last = piece.is_none();
            lines.feed(piece);
            while let Some(line) = lines.next(last) {
                seen.push((line.number, line.text.len(), line.cut_from));
            }
        }
        seen
    }

    #[test]
    fn lines_are_cut_wherever_the_pieces_end() {
        assert_eq!(cut(&[b"{\"a\"", b":1}\r\n\n{}", b"", b"\n", b"x"]), [(1, 7, None), (2, 0, None), (3, 2, None), (4, 1, None)]);
        assert_eq!(cut(&[]), []);
    }

    #[test]
    fn an_overlong_line_is_cut_and_the_next_one_is_read() {
        let long = vec![b'x'; LINE_BYTES_MAX + 10];
        let seen = cut(&[&long, &long, b"\n{}\n"]);
        assert_eq!(seen, [(1, KEPT_BYTES_MAX, Some(2 * long.len() as u64 + 1)), (2, 2, None)]);
        let mut one = long.clone();
        one.extend_from_slice(b"\n{}");
        assert_eq!(cut(&[&one]), [(1, KEPT_BYTES_MAX, Some(long.len() as u64 + 1)), (2, 2, None)]);
    }
}
