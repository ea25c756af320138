//! The live stream: one ring of recent events for all clients, and cursors that resume.
//!
//! The ring is the only buffer. A client is a place in it; a client that falls off its end is told to read the lists
//! again (`resync`) and let go, so slow clients never grow memory.
//!
//! A cursor is the id of each event: the positions of the last event that the client has of every partition, this event's
//! own first, as `topic/partition/offset` joined by commas. With one partition it is just that event's position. A
//! partition that a cursor does not name has not been seen at all and is sent from its beginning.
//!
//! Knows nothing of HTTP.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use schemas::Position;
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::limits::{CURSOR_BYTES_MAX, RING_BYTES_MAX, RING_EVENTS_MAX};
use crate::view::Ranges;

/// A topic and a partition of it.
pub type TopicPartition = (String, i32);

/// One event of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamItem {
    /// Where it is.
    pub position: Position,
    /// The event as one line of CloudEvents JSON, with its position in `kafkatopic`, `kafkapartition`, `kafkaoffset`.
    pub json: Arc<str>,
}

impl StreamItem {
    /// The events of rows in bronze form, whether they come from the bus or from the lake. Rows that lack an envelope
    /// are left out.
    pub fn from_bronze(rows: &RecordBatch) -> Vec<StreamItem> {
        let text = |name: &str| rows.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<StringArray>());
        let micros =
            |name: &str| rows.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<TimestampMicrosecondArray>());
        let partition = rows.column_by_name("partition").and_then(|column| column.as_any().downcast_ref::<Int32Array>());
        let offset = rows.column_by_name("offset").and_then(|column| column.as_any().downcast_ref::<Int64Array>());
        let (Some(topic), Some(partition), Some(offset)) = (text("topic"), partition, offset) else { return Vec::new() };
        let texts: Vec<(&str, Option<&StringArray>)> = [
            ("id", "ce_id"),
            ("source", "ce_source"),
            ("type", "ce_type"),
            ("subject", "ce_subject"),
            ("correlationid", "correlation_id"),
            ("causationid", "causation_id"),
            ("partitionkey", "key"),
        ]
        .into_iter()
        .map(|(attribute, column)| (attribute, text(column)))
        .collect();
        let times = [("time", micros("ce_time")), ("recordedtime", micros("recorded_time"))];
        let (extensions, data) = (text("extensions"), text("data"));
        let value = |column: Option<&StringArray>, row: usize| {
            column.filter(|column| column.is_valid(row)).map(|column| column.value(row).to_owned())
        };
        let mut items = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            let mut event = Map::new();
            event.insert("specversion".to_owned(), Value::from("1.0"));
            if let Some(Ok(Value::Object(members))) = value(extensions, row).map(|text| serde_json::from_str(&text)) {
                event.extend(members);
            }
            for (attribute, column) in &texts {
                if let Some(text) = value(*column, row) {
                    event.insert((*attribute).to_owned(), Value::from(text));
                }
            }
            for (attribute, column) in &times {
                if let Some(us) = column.filter(|column| column.is_valid(row)).map(|column| column.value(row)) {
                    event.insert((*attribute).to_owned(), schemas::time::format_us(us).map_or(Value::Null, Value::from));
                }
            }
            if !event.contains_key("type") {
                continue;
            }
            let position = Position::new(topic.value(row), partition.value(row), offset.value(row));
            event.insert("kafkatopic".to_owned(), Value::from(position.topic.as_str()));
            event.insert("kafkapartition".to_owned(), Value::from(position.partition));
            event.insert("kafkaoffset".to_owned(), Value::from(position.offset));
            if let Some(text) = value(data, row) {
                event.insert("datacontenttype".to_owned(), Value::from("application/json"));
                event.insert("data".to_owned(), serde_json::from_str(&text).unwrap_or(Value::String(text)));
            }
            items.push(StreamItem { position, json: Arc::from(Value::Object(event).to_string()) });
        }
        items
    }

    fn bytes(&self) -> usize {
        self.json.len() + 128
    }
}

/// Which topics a client asks for: names, or beginnings that end in `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFilter(Vec<String>);

impl TopicFilter {
    /// Reads a comma-separated list.
    pub fn parse(text: &str) -> Result<TopicFilter, String> {
        let mut patterns = Vec::new();
        for pattern in text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()) {
            let name = pattern.strip_suffix('*').unwrap_or(pattern);
            let allowed = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
            if !allowed || pattern.len() > 249 || patterns.len() >= 100 {
                return Err(pattern.chars().take(80).collect());
            }
            patterns.push(pattern.to_owned());
        }
        Ok(TopicFilter(patterns))
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a topic is asked for.
    pub fn matches(&self, topic: &str) -> bool {
        self.0.iter().any(|pattern| pattern.strip_suffix('*').map_or(pattern == topic, |start| topic.starts_with(start)))
    }
}

/// The next offset that a client wants, of each partition that it has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor(BTreeMap<TopicPartition, i64>);

impl Cursor {
    /// Reads an event id.
    pub fn parse(text: &str) -> Result<Cursor, String> {
        if text.len() > CURSOR_BYTES_MAX {
            return Err("the cursor is too long".to_owned());
        }
        let mut next = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let position: Position = part.parse().map_err(|error| format!("{error}"))?;
            let entry = next.entry((position.topic, position.partition)).or_insert(0);
            *entry = position.offset.saturating_add(1).max(*entry);
        }
        Ok(Cursor(next))
    }

    /// The id to give out with an event of `first`; any order without one.
    pub fn text(&self, first: Option<&TopicPartition>) -> String {
        let mut parts = Vec::new();
        let entry = |(topic, partition): &TopicPartition, next: i64| format!("{topic}/{partition}/{}", next - 1);
        if let Some(first) = first
            && let Some(next) = self.0.get(first)
        {
            parts.push(entry(first, *next));
        }
        parts.extend(self.0.iter().filter(|(at, next)| Some(*at) != first && **next > 0).map(|(at, next)| entry(at, *next)));
        parts.join(",")
    }

    fn wants(&self, position: &Position) -> bool {
        self.next(&(position.topic.clone(), position.partition)) <= position.offset
    }

    fn next(&self, at: &TopicPartition) -> i64 {
        self.0.get(at).copied().unwrap_or(0)
    }

    fn pass(&mut self, position: &Position) {
        self.0.insert((position.topic.clone(), position.partition), position.offset + 1);
    }
}

/// What a client gets next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Events, in the order of the ring; none means: wait.
    Events(Vec<StreamItem>),
    /// It lacks events that the ring no longer holds: these have to be fetched first.
    Missing(Ranges),
}

/// The hub.
#[derive(Debug)]
pub struct StreamHub {
    ring: Mutex<Ring>,
    /// Counts the events published, so that clients wake.
    published: watch::Sender<u64>,
    events_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Ring {
    items: VecDeque<StreamItem>,
    bytes: usize,
    /// The number of the first item of `items`, counted since the start.
    first: u64,
    /// The offset from which on the ring holds all events, of each partition.
    held_from: BTreeMap<TopicPartition, i64>,
    /// The next offset to come, of each partition.
    next: BTreeMap<TopicPartition, i64>,
}

impl StreamHub {
    /// A hub whose reader starts at `start` (next offsets). Everything before is fetched by
    /// [`crate::view::CityView::replay_from`], so `start` may not be beyond what that can answer.
    pub fn new(start: BTreeMap<TopicPartition, i64>) -> Arc<StreamHub> {
        StreamHub::with_limits(start, RING_EVENTS_MAX, RING_BYTES_MAX)
    }

    /// The same with other limits.
    pub fn with_limits(start: BTreeMap<TopicPartition, i64>, events_max: usize, bytes_max: usize) -> Arc<StreamHub> {
        let ring = Ring { held_from: start.clone(), next: start, ..Ring::default() };
        Arc::new(StreamHub { ring: Mutex::new(ring), published: watch::Sender::new(0), events_max, bytes_max })
    }

    /// Takes in rows in bronze form of one partition: those of the offsets from `first` up to, not including, `next`.
    pub fn publish_rows(&self, at: TopicPartition, first: i64, next: i64, rows: &RecordBatch) {
        self.publish_items(at, first, next, StreamItem::from_bronze(rows));
    }

    /// Takes in events of one partition: those of the offsets from `first` up to, not including, `next`.
    pub fn publish_items(&self, at: TopicPartition, first: i64, next: i64, items: Vec<StreamItem>) {
        {
            let mut ring = self.ring();
            ring.held_from.entry(at.clone()).or_insert(first);
            ring.next.insert(at, next);
            for item in items {
                ring.bytes += item.bytes();
                ring.items.push_back(item);
            }
            while ring.items.len() > self.events_max || ring.bytes > self.bytes_max {
                let Some(gone) = ring.items.pop_front() else { break };
                ring.bytes -= gone.bytes();
                ring.first += 1;
                ring.held_from.insert((gone.position.topic, gone.position.partition), gone.position.offset + 1);
            }
        }
        self.published.send_modify(|count| *count += 1);
    }

    /// Wakes when something was published.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// The cursor of a client that begins now.
    pub fn cursor_now(&self, filter: &TopicFilter) -> Cursor {
        let ring = self.ring();
        Cursor(ring.next.iter().filter(|((topic, _), _)| filter.matches(topic)).map(|(at, next)| (at.clone(), *next)).collect())
    }

    /// What a client at `cursor`, which has looked at the ring up to `seen` (0 at first), gets next. Moves both.
    pub fn next(&self, filter: &TopicFilter, cursor: &mut Cursor, seen: &mut u64, limit: usize) -> Next {
        let ring = self.ring();
        if *seen < ring.first || *seen == 0 {
            let missing: Ranges = ring
                .held_from
                .iter()
                .filter(|((topic, _), _)| filter.matches(topic))
                .map(|(at, held_from)| (at.clone(), cursor.next(at)..*held_from))
                .filter(|(_, range)| !range.is_empty())
                .collect();
            if !missing.is_empty() {
                return Next::Missing(missing);
            }
            *seen = ring.first;
        }
        let from = (*seen - ring.first) as usize;
        let mut events = Vec::new();
        for item in ring.items.iter().skip(from) {
            if events.len() == limit {
                break;
            }
            *seen += 1;
            if filter.matches(&item.position.topic) && cursor.wants(&item.position) {
                cursor.pass(&item.position);
                events.push(item.clone());
            }
        }
        Next::Events(events)
    }

    /// Moves a cursor over events that were fetched from elsewhere, up to the end of the asked ranges.
    pub fn fetched(cursor: &mut Cursor, ranges: &Ranges) {
        for (at, range) in ranges {
            let next = cursor.next(at).max(range.end);
            cursor.0.insert(at.clone(), next);
        }
    }

    /// Moves a cursor over one event that was fetched from elsewhere.
    pub fn pass(cursor: &mut Cursor, position: &Position) {
        cursor.pass(position);
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(topic: &str, partition: i32, offset: i64) -> StreamItem {
        StreamItem { position: Position::new(topic, partition, offset), json: Arc::from("{}") }
    }

    fn put(hub: &StreamHub, topic: &str, partition: i32, offsets: std::ops::Range<i64>) {
        let items = offsets.clone().map(|offset| item(topic, partition, offset)).collect();
        hub.publish_items((topic.to_owned(), partition), offsets.start, offsets.end, items);
    }

    fn take(hub: &StreamHub, filter: &TopicFilter, cursor: &mut Cursor, seen: &mut u64) -> Vec<String> {
        match hub.next(filter, cursor, seen, 100) {
            Next::Events(events) => events.iter().map(|event| event.position.to_string()).collect(),
            Next::Missing(ranges) => vec![format!("missing {ranges:?}")],
        }
    }

    #[test]
    fn a_client_gets_what_it_asked_for_once_and_resumes_from_its_last_id() {
        let hub = StreamHub::new(BTreeMap::new());
        let filter = TopicFilter::parse("alert.*,city.case").unwrap();
        let (mut cursor, mut seen) = (hub.cursor_now(&filter), 0);
        put(&hub, "alert.flood", 0, 0..2);
        put(&hub, "raw.sensor", 0, 0..2);
        put(&hub, "city.case", 1, 0..1);
        assert_eq!(take(&hub, &filter, &mut cursor, &mut seen), ["alert.flood/0/0", "alert.flood/0/1", "city.case/1/0"]);
        let id = cursor.text(Some(&("city.case".to_owned(), 1)));
        assert_eq!(id, "city.case/1/0,alert.flood/0/1");
        put(&hub, "alert.flood", 0, 2..3);
        put(&hub, "alert.gas", 0, 0..1);
        let (mut back, mut seen) = (Cursor::parse(&id).unwrap(), 0);
        assert_eq!(take(&hub, &filter, &mut back, &mut seen), ["alert.flood/0/2", "alert.gas/0/0"]);
        assert!(take(&hub, &filter, &mut back, &mut seen).is_empty());
    }

    #[test]
    fn a_client_that_begins_now_gets_nothing_old() {
        let hub = StreamHub::new(BTreeMap::from([(("alert.flood".to_owned(), 0), 7)]));
        let filter = TopicFilter::parse("alert.*").unwrap();
        put(&hub, "alert.flood", 0, 7..9);
        let (mut cursor, mut seen) = (hub.cursor_now(&filter), 0);
        assert_eq!(cursor.text(None), "alert.flood/0/8");
        assert!(take(&hub, &filter, &mut cursor, &mut seen).is_empty());
        put(&hub, "alert.flood", 0, 9..10);
        assert_eq!(take(&hub, &filter, &mut cursor, &mut seen), ["alert.flood/0/9"]);
    }

    #[test]
    fn what_the_ring_no_longer_holds_is_named_exactly() {
        let hub = StreamHub::with_limits(BTreeMap::from([(("alert.flood".to_owned(), 0), 5)]), 3, usize::MAX);
        let filter = TopicFilter::parse("alert.*").unwrap();
        put(&hub, "alert.flood", 0, 5..7);
        let (mut cursor, mut seen) = (Cursor::parse("alert.flood/0/1").unwrap(), 0);
        let Next::Missing(ranges) = hub.next(&filter, &mut cursor, &mut seen, 10) else { panic!("the ring begins at 5") };
        assert_eq!(ranges, Ranges::from([(("alert.flood".to_owned(), 0), 2..5)]));
        StreamHub::fetched(&mut cursor, &ranges);
        assert_eq!(take(&hub, &filter, &mut cursor, &mut seen), ["alert.flood/0/5", "alert.flood/0/6"]);
        put(&hub, "alert.flood", 0, 7..12);
        let Next::Missing(ranges) = hub.next(&filter, &mut cursor, &mut seen, 10) else { panic!("7 and 8 are gone") };
        assert_eq!(ranges, Ranges::from([(("alert.flood".to_owned(), 0), 7..9)]));
    }

    #[test]
    fn memory_is_bounded_by_events_and_by_bytes() {
        let hub = StreamHub::with_limits(BTreeMap::new(), 1_000_000, 10_000);
        for start in 0..100 {
            put(&hub, "raw.sensor", 0, start * 10..start * 10 + 10);
        }
        let ring = hub.ring();
        assert!(ring.bytes <= 10_000 && ring.items.len() < 100);
        assert_eq!(ring.held_from[&("raw.sensor".to_owned(), 0)], 1000 - ring.items.len() as i64);
    }

    #[test]
    fn hostile_cursors_and_topics_are_refused() {
        for text in ["alert.x", "a/b/c", "x/0/-5", &"a/0/1,".repeat(10_000)] {
            assert!(Cursor::parse(text).is_err(), "{}", &text[..text.len().min(40)]);
        }
        assert_eq!(Cursor::parse("a/0/9223372036854775807").unwrap().next(&("a".to_owned(), 0)), i64::MAX);
        for text in ["a b", "../x", "a\nb", "alert.*x*"] {
            assert!(TopicFilter::parse(text).is_err(), "{text}");
        }
    }
}
