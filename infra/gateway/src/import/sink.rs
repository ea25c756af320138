//! Where an import puts its events: the door of this process, or the door of the one that runs on this home.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, sleep, timeout};

use crate::door::Door;
use crate::limits::IMPORT_REFUSED_LISTED_MAX;
use crate::refusal::{Incoming, Place, Refusal};
use crate::steps::{Steps, Tally};

/// Why events cannot be handed over.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct SinkError(pub String);

/// Where an import puts its events.
pub trait Sink: Send {
    /// Takes events, in order; waits when too many are under way. May return before they are durable.
    fn put(&mut self, events: Vec<Incoming>) -> BoxFuture<'_, Result<(), SinkError>>;

    /// Sends what has been taken, without waiting for the end.
    fn flush(&mut self) -> BoxFuture<'_, Result<(), SinkError>>;

    /// Waits until everything is durable.
    fn finish(&mut self) -> BoxFuture<'_, Result<(), SinkError>>;

    /// What became of them so far.
    fn tally(&self) -> &Tally;
}

/// The door of this process.
pub struct DoorSink(Steps);

impl DoorSink {
    /// A sink into `door`. It has patience without end: an import waits for the bus.
    pub fn new(door: Arc<Door>) -> DoorSink {
        DoorSink(Steps::new(door, None, IMPORT_REFUSED_LISTED_MAX))
    }
}

impl Sink for DoorSink {
    fn put(&mut self, events: Vec<Incoming>) -> BoxFuture<'_, Result<(), SinkError>> {
        async move {
            for incoming in events {
                self.0.push(incoming).await.map_err(|error| SinkError(error.to_string()))?;
            }
            Ok(())
        }
        .boxed()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        self.0.flush().map(|done| done.map_err(|error| SinkError(error.to_string()))).boxed()
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        self.0.finish().map(|done| done.map_err(|error| SinkError(error.to_string()))).boxed()
    }

    fn tally(&self) -> &Tally {
        &self.0.tally
    }
}

/// Tries that a busy door is given, with growing pauses: about five minutes.
const TRIES_MAX: u32 = 60;

/// How long one answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// Largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The door of another process, over HTTP: JSON lines for events, `/v1/refused` for rows that are none.
pub struct HttpSink {
    address: String,
    token: Option<String>,
    tally: Tally,
}

impl HttpSink {
    /// A sink into the door at `address` (`host:port`).
    pub fn new(address: impl Into<String>, token: Option<String>) -> HttpSink {
        HttpSink { address: address.into(), token, tally: Tally::default() }
    }

    /// Sends events in runs of one kind, so that their order stays.
    async fn send(&mut self, events: Vec<Incoming>) -> Result<(), SinkError> {
        let mut lines = String::new();
        let mut places: Vec<Place> = Vec::new();
        for incoming in events {
            match incoming.event {
                Ok(event) => {
                    lines.push_str(&event.to_json());
                    lines.push('\n');
                    places.push(incoming.origin.place);
                }
                Err(refusal) => {
                    let original = incoming.origin.original.as_deref().unwrap_or_default();
                    let row = json!({
                        "door": incoming.origin.door.as_ref(),
                        "code": refusal.code,
                        "reason": refusal.reason,
                        "reason_zh": refusal.reason_zh,
                        "pointer": refusal.pointer,
                        "file": incoming.origin.place.file,
                        "row": incoming.origin.place.row,
                        "column": incoming.origin.place.column,
                        "original": BASE64.encode(&original[..original.len().min(crate::limits::KEPT_BYTES_MAX)]),
                    });
                    self.post("/v1/refused", "application/json", row.to_string().as_bytes()).await?;
                    self.tally.add(incoming.origin.place, crate::door::Outcome::Refused(refusal), IMPORT_REFUSED_LISTED_MAX);
                }
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        let answer = self.post("/v1/events", "application/x-ndjson", lines.as_bytes()).await?;
        self.tally.accepted += answer["accepted"].as_u64().unwrap_or(0);
        self.tally.duplicate += answer["duplicate"].as_u64().unwrap_or(0);
        self.tally.refused += answer["refused_count"].as_u64().unwrap_or(0);
        for refused in answer["refused"].as_array().into_iter().flatten() {
            let line = refused["line"].as_u64().unwrap_or(1) as usize;
            let text = |name: &str| refused[name].as_str().unwrap_or_default().to_owned();
            if self.tally.listed.len() < IMPORT_REFUSED_LISTED_MAX {
                let place = places.get(line - 1).cloned().unwrap_or_default();
                self.tally.listed.push((place, Refusal::new("refused", text("pointer"), text("reason"), text("reason_zh"))));
            }
        }
        Ok(())
    }

    /// Posts until it is taken. What an earlier try got through comes back as a duplicate and is counted as accepted.
    async fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Value, SinkError> {
        let mut through = 0;
        let mut last = String::new();
        for attempt in 0..TRIES_MAX {
            match timeout(ANSWER_TIME_MAX, self.exchange(path, content_type, body)).await {
                Ok(Ok((202 | 422, mut answer))) => {
                    let number = |name: &str| answer[name].as_u64().unwrap_or(0);
                    let (accepted, duplicate) = (number("accepted"), number("duplicate"));
                    let moved = duplicate.min(through);
                    answer["accepted"] = json!(accepted + moved);
                    answer["duplicate"] = json!(duplicate - moved);
                    return Ok(answer);
                }
                Ok(Ok((503, answer))) => {
                    through += answer["accepted"].as_u64().unwrap_or(0);
                    last = answer["detail"].as_str().unwrap_or("busy").to_owned();
                }
                // A single refused event is answered with the status of its problem; it has the counts too.
                Ok(Ok((_, answer))) if answer["refused_count"].as_u64() == Some(1) => return Ok(answer),
                Ok(Ok((status, answer))) => {
                    return Err(SinkError(format!("{} answered {status}: {}", self.address, answer["detail"].as_str().unwrap_or_default())));
                }
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => last = "no answer".to_owned(),
            }
            sleep(Duration::from_millis(200 * u64::from(attempt + 1)).min(Duration::from_secs(10))).await;
        }
        Err(SinkError(format!("{} did not take the events: {last}", self.address)))
    }

    async fn exchange(&self, path: &str, content_type: &str, body: &[u8]) -> std::io::Result<(u16, Value)> {
        let mut socket = TcpStream::connect(&self.address).await?;
        let token = self.token.as_ref().map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n{token}connection: close\r\n\r\n",
            self.address,
            body.len()
        );
        socket.write_all(head.as_bytes()).await?;
        socket.write_all(body).await?;
        let mut answer = Vec::new();
        socket.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        parse_answer(&answer).ok_or_else(|| std::io::Error::other("the answer is not HTTP with a JSON body"))
    }
}

/// Status and JSON of a whole answer whose length was declared, as ours always is.
fn parse_answer(answer: &[u8]) -> Option<(u16, Value)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = &answer[end + 4..];
    Some((status, if body.is_empty() { Value::Null } else { serde_json::from_slice(body).ok()? }))
}

impl Sink for HttpSink {
    fn put(&mut self, events: Vec<Incoming>) -> BoxFuture<'_, Result<(), SinkError>> {
        self.send(events).boxed()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        futures::future::ready(Ok(())).boxed()
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        futures::future::ready(Ok(())).boxed()
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }
}
