//! `GET /v1/stream`: the live stream as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::trail::Caller;
use super::{Gateway, Problem};
use crate::hub::{Cursor, Next, StreamHub, StreamItem, TopicFilter};
use crate::limits::{STREAM_KEEP_ALIVE, STREAM_REPLAY_MAX, STREAM_REPLAY_PAGE};
use crate::people::{Scope, Subject};
use crate::view::{Ranges, Replay};

/// Events taken from the ring at a time.
const TAKEN_AT_ONCE: usize = 64;

/// Times that a returning client may be overtaken by the ring while it catches up.
const OVERTAKEN_MAX: u32 = 16;

pub(super) async fn stream(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Query(parameters): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let parameter = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let topics = parameter("topics").unwrap_or("alert.*,city.case");
    let filter = TopicFilter::parse(topics).map_err(|wrong| {
        Problem::bad_request(
            format!("{wrong:?} is no topic; write topics=alert.*,city.case"),
            format!("{wrong:?} 不是主题名；写法如 topics=alert.*,city.case"),
        )
    })?;
    if filter.is_empty() {
        return Err(Problem::bad_request("topics names none; write topics=alert.*,city.case", "topics 为空；写法如 topics=alert.*,city.case"));
    }
    let header = headers.get(HeaderName::from_static("last-event-id")).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let last_id = header.as_deref().or_else(|| parameter("last_event_id")).filter(|text| !text.trim().is_empty());
    let cursor = match last_id {
        None => None,
        // Everything there is: who has seen no partition gets each from its beginning.
        Some("earliest") => Some(Cursor::default()),
        Some(text) => Some(Cursor::parse(text).map_err(|wrong| {
            Problem::bad_request(
                format!("Last-Event-ID is not the id of an event of this stream: {wrong}"),
                format!("Last-Event-ID 不是本事件流给出的 id：{wrong}"),
            )
        })?),
    };
    let room = Arc::clone(&gateway.stream_room).try_acquire_owned().map_err(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "streams",
            ("Too many streams", "连接过多"),
            format!("{} streams are open, which is the limit", gateway.config.stream_clients_max),
            format!("已有 {} 个事件流连接，达到上限", gateway.config.stream_clients_max),
        )
        .retry_after(10)
    })?;
    let client = Client::new(gateway, filter, caller.actor.sees(), cursor, room);
    let events = stream::unfold(client, |mut client| async move {
        let event = client.next().await?;
        Some((Ok::<_, Infallible>(event), client))
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(STREAM_KEEP_ALIVE)).into_response();
    // Proxies that gather a response before passing it on would hold every event back.
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    Ok(response)
}

/// One open stream.
struct Client {
    gateway: Arc<Gateway>,
    filter: TopicFilter,
    /// Where the client may read; nothing for everywhere.
    within: Option<Vec<Scope>>,
    /// What has been taken from the ring or the lake.
    cursor: Cursor,
    /// What has been sent: the cursor that ids are made of.
    sent: Cursor,
    seen: u64,
    ready: VecDeque<StreamItem>,
    fetching: Option<Ranges>,
    overtaken: u32,
    /// Has caught up once; from then on falling behind is being slow.
    live: bool,
    greeting: bool,
    ending: bool,
    published: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    _room: OwnedSemaphorePermit,
}

impl Client {
    fn new(gateway: Arc<Gateway>, filter: TopicFilter, within: Option<Vec<Scope>>, cursor: Option<Cursor>, room: OwnedSemaphorePermit) -> Client {
        let published = gateway.hub.watch();
        let stopping = gateway.stopping.subscribe();
        let greeting = cursor.is_none();
        let cursor = cursor.unwrap_or_else(|| gateway.hub.cursor_now(&filter));
        Client {
            gateway,
            filter,
            within,
            sent: cursor.clone(),
            cursor,
            seen: 0,
            ready: VecDeque::new(),
            fetching: None,
            overtaken: 0,
            live: false,
            greeting,
            ending: false,
            published,
            stopping,
            _room: room,
        }
    }

    async fn next(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.greeting) {
            // Says at once that the stream is open, and gives an id to come back with, before the first event.
            let id = self.sent.text(None);
            let greeting = Event::default().comment("citybrain");
            return Some(if id.is_empty() { greeting } else { greeting.id(id) });
        }
        loop {
            if let Some(item) = self.ready.pop_front() {
                StreamHub::pass(&mut self.sent, &item.position);
                if !self.may_see(&item) {
                    continue;
                }
                let at = (item.position.topic.clone(), item.position.partition);
                return Some(Event::default().id(self.sent.text(Some(&at))).data(item.json.as_ref()));
            }
            if self.ending || *self.stopping.borrow() {
                return None;
            }
            if let Some(ranges) = self.fetching.take() {
                if let Some(event) = self.fetch(ranges).await {
                    return Some(event);
                }
                continue;
            }
            match self.gateway.hub.next(&self.filter, &mut self.cursor, &mut self.seen, TAKEN_AT_ONCE) {
                Next::Events(events) if events.is_empty() => {
                    self.live = true;
                    tokio::select! {
                        changed = self.published.changed() => changed.ok()?,
                        _ = self.stopping.changed() => return None,
                    }
                }
                Next::Events(events) => self.ready.extend(events),
                Next::Missing(_) if self.live => {
                    self.ending = true;
                    return Some(self.resync("slow"));
                }
                Next::Missing(ranges) => {
                    self.overtaken += 1;
                    let missing = ranges.values().fold(0_i64, |sum, range| sum.saturating_add(range.end.saturating_sub(range.start)));
                    if missing > STREAM_REPLAY_MAX || self.overtaken > OVERTAKEN_MAX {
                        return Some(self.resync("too_old"));
                    }
                    self.fetching = Some(ranges);
                }
            }
        }
    }

    /// Whether an event is about something that the client may see. One that does not say what it is about is not.
    fn may_see(&self, item: &StreamItem) -> bool {
        let Some(scopes) = &self.within else { return true };
        let data = serde_json::from_str::<Value>(&item.json).map(|mut event| event["data"].take()).unwrap_or_default();
        let subject = Subject::of(&data);
        scopes.iter().any(|scope| scope.touches(&subject))
    }

    /// Fetches some of what the ring no longer holds.
    async fn fetch(&mut self, mut ranges: Ranges) -> Option<Event> {
        let fetched = self.gateway.view.replay_from(&ranges, STREAM_REPLAY_PAGE).await;
        let items = match fetched {
            Ok(Replay::Events(items)) => items,
            Ok(Replay::TooOld) => return Some(self.resync("too_old")),
            Err(error) => {
                tracing::warn!(%error, "past events of the stream could not be read");
                return Some(self.resync("unavailable"));
            }
        };
        let whole = items.len() < STREAM_REPLAY_PAGE;
        for item in items {
            let Some(range) = ranges.get_mut(&(item.position.topic.clone(), item.position.partition)) else { continue };
            if range.contains(&item.position.offset) {
                range.start = item.position.offset + 1;
                StreamHub::pass(&mut self.cursor, &item.position);
                self.ready.push_back(item);
            }
        }
        if whole {
            StreamHub::fetched(&mut self.cursor, &ranges);
        } else {
            ranges.retain(|_, range| !range.is_empty());
            self.fetching = Some(ranges);
        }
        None
    }

    /// Tells the client to read the lists again, and goes on from now.
    fn resync(&mut self, reason: &str) -> Event {
        self.cursor = self.gateway.hub.cursor_now(&self.filter);
        self.sent = self.cursor.clone();
        self.seen = 0;
        self.ready.clear();
        self.fetching = None;
        let id = self.sent.text(None);
        let data = json!({
            "reason": reason,
            "cursor": id,
            "detail": "events between your last one and this point are not sent again; read /v1/alerts and /v1/cases, then go on",
            "detail_zh": "从上次到此处之间的事件不再补发；请重新读取 /v1/alerts 与 /v1/cases 后继续",
        });
        let event = Event::default().event("resync").data(data.to_string());
        if id.is_empty() { event } else { event.id(id) }
    }
}
