//! Records of one partition as Arrow rows: decoded once, shared by all readers.
//!
//! The columns are those of every bronze table. A record that is no CloudEvent keeps its row, with nothing in the
//! envelope's columns, and its original bytes and the reason stand in [`Chunk::rejected`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, Int32Array, Int64Array, StringArray, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use schemas::event::{EventRef, is_json};

/// Consecutive records of one partition.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// Their topic.
    pub topic: Arc<str>,
    /// Their partition.
    pub partition: i32,
    /// The first one's offset.
    pub first_offset: i64,
    /// The offset after the last one's: where to go on.
    pub next_offset: i64,
    /// Where the partition ended when that was last heard (about once a second); never below `next_offset`.
    pub high_watermark: i64,
    /// The rows, see [`bronze_schema`].
    pub rows: RecordBatch,
    /// Those among them that are no CloudEvents.
    pub rejected: Vec<Rejected>,
}

/// A record that is no CloudEvent, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its headers, up to the first one whose name is not text.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// Its value.
    pub value: Option<Bytes>,
    /// What is wrong with it.
    pub reason: String,
}

impl Chunk {
    /// The same without the records before `offset`, or `None` when nothing is left.
    pub fn from_offset(self: &Arc<Self>, offset: i64) -> Option<Arc<Chunk>> {
        if offset <= self.first_offset {
            return Some(Arc::clone(self));
        }
        if offset >= self.next_offset {
            return None;
        }
        let offsets = self.rows.column(OFFSET_COLUMN).as_any().downcast_ref::<Int64Array>()?;
        let first = offsets.values().partition_point(|at| *at < offset);
        if first == offsets.len() {
            return None;
        }
        Some(Arc::new(Chunk {
            topic: Arc::clone(&self.topic),
            first_offset: offsets.value(first),
            rows: self.rows.slice(first, self.rows.num_rows() - first),
            rejected: self.rejected.iter().filter(|rejected| rejected.offset >= offset).cloned().collect(),
            ..**self
        }))
    }
}

/// Where the offsets are among the columns.
const OFFSET_COLUMN: usize = 2;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let time = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true);
    Arc::new(Schema::new(vec![
        Field::new("topic", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        time("kafka_time"),
        text("key"),
        text("ce_id"),
        text("ce_source"),
        text("ce_type"),
        text("ce_subject"),
        time("ce_time"),
        time("recorded_time"),
        text("correlation_id"),
        text("causation_id"),
        text("extensions"),
        text("data"),
    ]))
});

/// The columns of a chunk's rows and of every bronze table.
pub fn bronze_schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// One record as it came, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a, H> {
    /// Its offset.
    pub offset: i64,
    /// When it was created or appended.
    pub timestamp_ms: Option<i64>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its headers. The iterator may panic over a name that is not text: such a record is refused like any other.
    pub headers: H,
    /// Its value.
    pub value: Option<&'a [u8]>,
}

/// Builds a chunk record by record.
#[derive(Debug)]
pub struct ChunkBuilder {
    topic: Arc<str>,
    partition: i32,
    offsets: Vec<i64>,
    bytes: usize,
    kafka_time: TimestampMicrosecondBuilder,
    key: StringBuilder,
    id: StringBuilder,
    source: StringBuilder,
    event_type: StringBuilder,
    subject: StringBuilder,
    time: TimestampMicrosecondBuilder,
    recorded_time: TimestampMicrosecondBuilder,
    correlation_id: StringBuilder,
    causation_id: StringBuilder,
    extensions: StringBuilder,
    data: StringBuilder,
    rejected: Vec<Rejected>,
    scratch: Vec<u8>,
}

impl ChunkBuilder {
    /// A builder with room for about `rows` rows.
    pub fn new(topic: Arc<str>, partition: i32, rows: usize) -> ChunkBuilder {
        let text = |bytes_each: usize| StringBuilder::with_capacity(rows, rows * bytes_each);
        let time = || TimestampMicrosecondBuilder::with_capacity(rows);
        ChunkBuilder {
            topic,
            partition,
            offsets: Vec::with_capacity(rows),
            bytes: 0,
            kafka_time: time(),
            key: text(16),
            id: text(32),
            source: text(24),
            event_type: text(40),
            subject: text(16),
            time: time(),
            recorded_time: time(),
            correlation_id: text(0),
            causation_id: text(0),
            extensions: text(0),
            data: text(128),
            rejected: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// About the bytes so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a record in. Whatever is in it, it gets its row.
    pub fn push<'a, H>(&mut self, raw: Raw<'a, H>)
    where
        H: Iterator<Item = (&'a str, Option<&'a [u8]>)> + Clone,
    {
        if let Some(last) = self.offsets.last() {
            assert!(*last < raw.offset, "offsets of a partition ascend");
        }
        let size = raw.value.map_or(0, <[u8]>::len) + raw.key.map_or(0, <[u8]>::len);
        self.bytes += size + 256;
        self.offsets.push(raw.offset);
        self.kafka_time.append_option(raw.timestamp_ms.map(|ms| ms.saturating_mul(1000)));
        match raw.key.map(String::from_utf8_lossy) {
            Some(key) => self.key.append_value(key),
            None => self.key.append_null(),
        }
        let headers = raw.headers.clone();
        // A header's name that is not text makes rdkafka panic. It must not end the thread that reads for everybody.
        let read = catch_unwind(AssertUnwindSafe(|| EventRef::from_kafka(raw.key, headers, raw.value)));
        let outcome = match read {
            Ok(Ok(event)) => self.push_event(&event, raw.key),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("a header has a name that is not UTF-8".to_owned()),
        };
        if let Err(reason) = outcome {
            self.push_no_event(raw.value);
            self.rejected.push(rejected(raw, reason));
        }
    }

    fn push_event(&mut self, event: &EventRef<'_>, key: Option<&[u8]>) -> Result<(), String> {
        let json = event.data_content_type.as_deref().is_none_or(is_json);
        let mut binary = false;
        match event.data.as_deref().map(std::str::from_utf8) {
            None => self.data.append_null(),
            Some(Ok(text)) => self.data.append_value(text),
            Some(Err(error)) if json => {
                let at = error.valid_up_to();
                return Err(format!("the data is not UTF-8 from byte {at} on (GBK and other encodings must be converted before sending)"));
            }
            Some(Err(_)) => {
                self.data.append_value(STANDARD.encode(event.data.as_deref().unwrap_or_default()));
                binary = true;
            }
        }
        self.id.append_value(&event.id);
        self.source.append_value(&event.source);
        self.event_type.append_value(&event.event_type);
        self.subject.append_option(event.subject.as_deref());
        self.time.append_option(event.time_us);
        self.recorded_time.append_option(event.recorded_time_us);
        self.correlation_id.append_option(event.correlation_id.as_deref());
        self.causation_id.append_option(event.causation_id.as_deref());
        self.push_extensions(event, key, binary);
        Ok(())
    }

    /// The attributes that have no column of their own, as one JSON object with sorted names.
    fn push_extensions(&mut self, event: &EventRef<'_>, key: Option<&[u8]>, binary: bool) {
        let content_type = event.data_content_type.as_deref().filter(|content_type| *content_type != "application/json");
        let partition_key = event.partition_key.as_deref().filter(|text| key != Some(text.as_bytes()));
        let own = [
            ("datacontenttype", content_type),
            ("dataencoding", binary.then_some("base64")),
            ("dataclassification", event.data_classification.as_deref()),
            ("dataschema", event.data_schema.as_deref()),
            ("partitionkey", partition_key),
        ];
        let own = own.into_iter().filter_map(|(name, value)| Some((name, value?)));
        if event.extensions.is_empty() && own.clone().next().is_none() {
            self.extensions.append_null();
            return;
        }
        let mut all: Vec<(&str, &str)> = event.extensions.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
        all.extend(own);
        all.sort_unstable();
        self.scratch.clear();
        for (index, (name, value)) in all.into_iter().enumerate() {
            self.scratch.push(if index == 0 { b'{' } else { b',' });
            push_json(&mut self.scratch, name);
            self.scratch.push(b':');
            push_json(&mut self.scratch, value);
        }
        self.scratch.push(b'}');
        self.extensions.append_option(std::str::from_utf8(&self.scratch).ok());
    }

    fn push_no_event(&mut self, value: Option<&[u8]>) {
        self.data.append_option(value.and_then(|value| std::str::from_utf8(value).ok()));
        for column in [
            &mut self.id,
            &mut self.source,
            &mut self.event_type,
            &mut self.subject,
            &mut self.correlation_id,
            &mut self.causation_id,
            &mut self.extensions,
        ] {
            column.append_null();
        }
        self.time.append_null();
        self.recorded_time.append_null();
    }

    /// The chunk, or `None` when nothing was taken in.
    pub fn finish(mut self, high_watermark: i64) -> Option<Chunk> {
        let (first_offset, last_offset) = (*self.offsets.first()?, *self.offsets.last()?);
        let rows = self.offsets.len();
        let time = |mut builder: TimestampMicrosecondBuilder| -> ArrayRef { Arc::new(builder.finish().with_timezone("UTC")) };
        let text = |mut builder: StringBuilder| -> ArrayRef { Arc::new(builder.finish()) };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(self.topic.as_ref(), rows))),
            Arc::new(Int32Array::from_value(self.partition, rows)),
            Arc::new(Int64Array::from(std::mem::take(&mut self.offsets))),
            time(self.kafka_time),
            text(self.key),
            text(self.id),
            text(self.source),
            text(self.event_type),
            text(self.subject),
            time(self.time),
            time(self.recorded_time),
            text(self.correlation_id),
            text(self.causation_id),
            text(self.extensions),
            text(self.data),
        ];
        let rows = RecordBatch::try_new(bronze_schema(), columns).expect("all columns have one value for each record");
        let next_offset = last_offset + 1;
        Some(Chunk {
            topic: self.topic,
            partition: self.partition,
            first_offset,
            next_offset,
            high_watermark: high_watermark.max(next_offset),
            rows,
            rejected: self.rejected,
        })
    }
}

fn push_json(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("text can always be written to memory");
}

fn rejected<'a, H>(raw: Raw<'a, H>, reason: String) -> Rejected
where
    H: Iterator<Item = (&'a str, Option<&'a [u8]>)>,
{
    let mut headers = Vec::new();
    let mut left = raw.headers;
    while let Ok(Some((name, value))) = catch_unwind(AssertUnwindSafe(|| left.next())) {
        headers.push((name.to_owned(), value.map(Bytes::copy_from_slice)));
    }
    Rejected {
        offset: raw.offset,
        key: raw.key.map(Bytes::copy_from_slice),
        headers,
        value: raw.value.map(Bytes::copy_from_slice),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use schemas::event::{Event, KafkaRecord};

    fn push(builder: &mut ChunkBuilder, offset: i64, record: &KafkaRecord) {
        let headers = record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder.push(Raw { offset, timestamp_ms: Some(1_500_000_000_000 + offset), key, headers, value });
    }

    fn event(id: &str, data: &str) -> Event {
        let mut event = Event::new(id, "/gauges/1", "io.citybrain.sensor.observation.v1");
        event.data = Some(Bytes::copy_from_slice(data.as_bytes()));
        event.partition_key = Some("rain-1".to_owned());
        event
    }

    fn build(records: &[KafkaRecord]) -> Chunk {
        let mut builder = ChunkBuilder::new(Arc::from("raw.sensor"), 3, 4);
        for (offset, record) in (10..).zip(records) {
            push(&mut builder, offset, record);
        }
        builder.finish(0).expect("records were taken in")
    }

    fn text<'a>(chunk: &'a Chunk, column: &str) -> Vec<Option<&'a str>> {
        chunk.rows.column_by_name(column).unwrap().as_string::<i32>().iter().collect()
    }

    #[test]
    fn events_become_rows() {
        let mut second = event("b", r#"{"result":2}"#);
        second.extensions.insert("zone".to_owned(), "老城\"区".to_owned());
        second.data_schema = Some("/types/x".to_owned());
        let chunk = build(&[event("a", r#"{"result":1}"#).to_kafka(), second.to_kafka()]);
        assert_eq!(chunk.rows.schema(), bronze_schema());
        assert_eq!(text(&chunk, "ce_id"), [Some("a"), Some("b")]);
        assert_eq!(text(&chunk, "key"), [Some("rain-1"), Some("rain-1")]);
        assert_eq!(text(&chunk, "data"), [Some(r#"{"result":1}"#), Some(r#"{"result":2}"#)]);
        assert_eq!(text(&chunk, "extensions"), [None, Some(r#"{"dataschema":"/types/x","zone":"老城\"区"}"#)]);
        assert_eq!((chunk.first_offset, chunk.next_offset, chunk.high_watermark), (10, 12, 12));
        assert!(chunk.rejected.is_empty());
    }

    #[test]
    fn what_is_no_event_keeps_its_row_and_its_bytes() {
        let plain = KafkaRecord { key: None, headers: Vec::new(), value: Some(Bytes::from_static("雨".as_bytes())) };
        let mut gbk = event("g", "").to_kafka();
        gbk.value = Some(Bytes::from_static(&[b'{', 0xd3, 0xea, b'}']));
        let chunk = build(&[event("a", "{}").to_kafka(), plain, gbk.clone(), KafkaRecord::default()]);
        assert_eq!(text(&chunk, "ce_id"), [Some("a"), None, None, None]);
        assert_eq!(text(&chunk, "data"), [Some("{}"), Some("雨"), None, None]);
        let reasons: Vec<(i64, &str)> = chunk.rejected.iter().map(|rejected| (rejected.offset, rejected.reason.as_str())).collect();
        assert_eq!(reasons.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [11, 12, 13]);
        assert!(reasons[0].1.contains("specversion"), "{reasons:?}");
        assert!(reasons[1].1.contains("not UTF-8 from byte 1"), "{reasons:?}");
        assert_eq!(chunk.rejected[1].value, gbk.value);
        assert_eq!(chunk.rejected[1].headers, gbk.headers);
    }

    #[test]
    fn binary_data_is_kept_as_base64() {
        let mut photo = event("p", "");
        photo.data_content_type = Some("image/jpeg".to_owned());
        photo.data = Some(Bytes::from_static(&[0xff, 0xd8, 0xff]));
        let chunk = build(&[photo.to_kafka()]);
        assert_eq!(text(&chunk, "data"), [Some("/9j/")]);
        assert_eq!(text(&chunk, "extensions"), [Some(r#"{"datacontenttype":"image/jpeg","dataencoding":"base64"}"#)]);
        assert!(chunk.rejected.is_empty());
    }

    #[test]
    fn a_header_that_panics_refuses_its_record_only() {
        #[derive(Clone)]
        struct Hostile(u8);
        impl Iterator for Hostile {
            type Item = (&'static str, Option<&'static [u8]>);
            fn next(&mut self) -> Option<Self::Item> {
                self.0 += 1;
                assert!(self.0 < 2, "not UTF-8");
                Some(("ce_id", Some(b"x")))
            }
        }
        let mut builder = ChunkBuilder::new(Arc::from("t"), 0, 4);
        builder.push(Raw { offset: 0, timestamp_ms: None, key: None, headers: Hostile(0), value: Some(b"{}") });
        push(&mut builder, 1, &event("a", "{}").to_kafka());
        let chunk = builder.finish(9).unwrap();
        assert_eq!(text(&chunk, "ce_id"), [None, Some("a")]);
        assert_eq!(chunk.rejected[0].headers, [("ce_id".to_owned(), Some(Bytes::from_static(b"x")))]);
        assert_eq!(chunk.high_watermark, 9);
    }

    #[test]
    fn a_reader_skips_what_it_has() {
        let plain = KafkaRecord::default();
        let chunk = Arc::new(build(&[plain.clone(), event("a", "{}").to_kafka(), plain]));
        assert!(Arc::ptr_eq(&chunk, &chunk.from_offset(10).unwrap()));
        let rest = chunk.from_offset(11).unwrap();
        assert_eq!((rest.first_offset, rest.next_offset, rest.rows.num_rows(), rest.rejected.len()), (11, 13, 2, 1));
        assert!(chunk.from_offset(13).is_none());
    }
}
