//! Aggregates of sessions: rows of a key that follow each other within a gap.
//!
//! The rows of an epoch become sessions among themselves first, and partial aggregates of those. An index in memory says
//! for each key which sessions are open; where two of them touch they are one from then on, and its partial aggregates are
//! put together when it closes.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::row::{Row, RowConverter, Rows, SortField};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::Result;
use datafusion::execution::session_state::SessionState;

use crate::chunk::timestamp_type;
use crate::engine::stage::StagePlan;
use crate::engine::steps::windows::{Aggregate, with_starts};
use crate::engine::steps::{Epoch, Given, external, not_too_late};
use crate::engine::store::{ChunkId, Store, Tag};
use crate::sql::flow::{Gap, Window, Windows};

/// Stands for the values of a key: a digest, so that millions of keys take little memory.
type Key = u128;

fn key_of(row: Row<'_>) -> Key {
    let digest = blake3::hash(row.data());
    u128::from_le_bytes(*digest.as_bytes().first_chunk().expect("a digest has 32 bytes"))
}

/// A session: the times of its first and its last row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: i64,
    last: i64,
}

/// The sessions of one key that are open, and when one of them may close at the earliest.
#[derive(Debug)]
struct Open {
    spans: Spans,
    due: i64,
}

/// Nearly every key has one session at a time.
#[derive(Debug)]
enum Spans {
    One(Span),
    Many(Vec<Span>),
}

impl Spans {
    fn of(mut spans: Vec<Span>) -> Option<Spans> {
        match spans.len() {
            0 => None,
            1 => spans.pop().map(Spans::One),
            _ => Some(Spans::Many(spans)),
        }
    }

    fn all(&self) -> &[Span] {
        match self {
            Spans::One(span) => std::slice::from_ref(span),
            Spans::Many(spans) => spans,
        }
    }
}

/// A windowed aggregate over sessions.
#[derive(Debug)]
pub(crate) struct SessionStep {
    tag: u32,
    gap: Gap,
    pub(crate) stage: StagePlan,
    pub(crate) aggregate: Aggregate,
    window_at: usize,
    prefix: String,
    converter: RowConverter,
    /// The partial aggregates' columns after the time of the last row that they saw.
    chunk_schema: SchemaRef,
    chunks: Vec<Chunk>,
    open: HashMap<Key, Open>,
    /// Keys by the time at which they are due; a key that has become due at another time is passed over.
    closing: BTreeMap<i64, Vec<Key>>,
}

/// Partial aggregates of several sessions.
#[derive(Debug)]
struct Chunk {
    id: ChunkId,
    rows: usize,
    /// No session of these rows closes before.
    not_before: i64,
}

impl SessionStep {
    pub(crate) fn new(tag: u32, stage: StagePlan, windows: &Windows, gap: Gap, prefix: String, session: &SessionState) -> Result<SessionStep> {
        let aggregate = Aggregate::new(windows, stage.logical().schema(), session)?;
        let keys = aggregate.keys.expr().len();
        let mut sort: Vec<SortField> = aggregate.state_schema.fields()[1..keys].iter().map(|field| SortField::new(field.data_type().clone())).collect();
        if sort.is_empty() {
            // Without keys all rows have the same one.
            sort.push(SortField::new(DataType::Boolean));
        }
        let mut fields = vec![Arc::new(Field::new("last", timestamp_type(), true))];
        fields.extend(aggregate.state_schema.fields().iter().cloned());
        Ok(SessionStep {
            tag,
            gap,
            stage,
            aggregate,
            window_at: windows.window_at,
            prefix,
            converter: RowConverter::new(sort)?,
            chunk_schema: Arc::new(Schema::new(fields)),
            chunks: Vec::new(),
            open: HashMap::new(),
            closing: BTreeMap::new(),
        })
    }

    pub(crate) fn restore(&mut self, chunks: Vec<(ChunkId, Tag, usize)>, store: &mut Store) -> Result<()> {
        for (id, _, _) in chunks {
            let chunk = store.get(id).map_err(external)?;
            let partial = self.partial_of(&chunk)?;
            let lasts = chunk.column(0).as_primitive::<TimestampMicrosecondType>();
            let starts = partial.column(0).as_primitive::<TimestampMicrosecondType>();
            let keys = self.keys_of(&partial)?;
            for row in 0..chunk.num_rows() {
                self.see(key_of(keys.row(row)), Span { start: starts.value(row), last: lasts.value(row) });
            }
            self.remember(id, lasts);
        }
        Ok(())
    }

    pub(crate) fn state_rows(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.rows).sum()
    }

    pub(crate) fn open_windows(&self) -> usize {
        self.open.values().map(|open| open.spans.all().len()).sum()
    }

    pub(crate) async fn work(&mut self, epoch: &mut Epoch<'_>) -> Result<Vec<Given>> {
        let rows = self.stage.rows(epoch.session, epoch.feeds).await?;
        let rows = not_too_late(rows, 0, Window::Session { gap: self.gap }, epoch.before)?;
        if rows.num_rows() > 0 {
            self.add(rows, epoch).await?;
        }
        self.close(epoch).await
    }

    /// The keys of rows in the columns of partial aggregates.
    fn keys_of(&self, partial: &RecordBatch) -> Result<Rows> {
        self.key_rows(&partial.columns()[1..self.aggregate.keys.expr().len()], partial.num_rows())
    }

    fn key_rows(&self, columns: &[ArrayRef], rows: usize) -> Result<Rows> {
        match columns {
            [] => Ok(self.converter.convert_columns(&[Arc::new(BooleanArray::from(vec![true; rows])) as ArrayRef])?),
            columns => Ok(self.converter.convert_columns(columns)?),
        }
    }

    fn partial_of(&self, chunk: &RecordBatch) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(Arc::clone(&self.aggregate.state_schema), chunk.columns()[1..].to_vec())?)
    }

    /// Adds the rows of an epoch.
    async fn add(&mut self, rows: RecordBatch, epoch: &mut Epoch<'_>) -> Result<()> {
        let key_columns = self.aggregate.keys.expr()[1..].iter();
        let key_columns = key_columns.map(|(key, _)| key.evaluate(&rows)?.into_array(rows.num_rows())).collect::<Result<Vec<_>>>()?;
        let keys = self.key_rows(&key_columns, rows.num_rows())?;
        let times = rows.column(0).as_primitive::<TimestampMicrosecondType>();
        let mut order: Vec<usize> = (0..rows.num_rows()).collect();
        order.sort_unstable_by(|a, b| keys.row(*a).cmp(&keys.row(*b)).then(times.value(*a).cmp(&times.value(*b))));
        // The start of the session that each row is in among the rows of this epoch.
        let mut starts = vec![0; rows.num_rows()];
        let mut spans = HashMap::<(Key, i64), i64>::new();
        let mut at = 0;
        while at < order.len() {
            let key = keys.row(order[at]);
            let start = times.value(order[at]);
            let mut last = start;
            while at < order.len() && keys.row(order[at]) == key && times.value(order[at]) < self.gap.after(last) {
                last = times.value(order[at]);
                starts[order[at]] = start;
                at += 1;
            }
            spans.insert((key_of(key), start), last);
        }
        let starts = TimestampMicrosecondArray::from(starts).with_timezone("UTC");
        let rows = with_starts(&rows, Arc::new(starts))?;
        let schema = rows.schema();
        let source = MemorySourceConfig::try_new_exec(&[vec![rows]], schema, None)?;
        let partial = self.aggregate.partial(source, epoch.session).await?;
        let partial = concat_batches(&self.aggregate.state_schema, &partial)?;
        let keys = self.keys_of(&partial)?;
        let starts = partial.column(0).as_primitive::<TimestampMicrosecondType>();
        let lasts: TimestampMicrosecondArray =
            (0..partial.num_rows()).map(|row| spans.get(&(key_of(keys.row(row)), starts.value(row))).copied()).collect();
        for ((key, start), last) in spans {
            self.see(key, Span { start, last });
        }
        self.keep(partial, lasts, epoch.store)
    }

    /// Puts partial aggregates into the store.
    fn keep(&mut self, partial: RecordBatch, lasts: TimestampMicrosecondArray, store: &mut Store) -> Result<()> {
        let lasts = lasts.with_timezone("UTC");
        let mut columns: Vec<ArrayRef> = vec![Arc::new(lasts.clone())];
        columns.extend_from_slice(partial.columns());
        let rows = RecordBatch::try_new(Arc::clone(&self.chunk_schema), columns)?;
        let id = store.put(Tag { step: self.tag, key: 0 }, rows).map_err(external)?;
        self.remember(id, &lasts);
        Ok(())
    }

    fn remember(&mut self, id: ChunkId, lasts: &TimestampMicrosecondArray) {
        // Of the dues, not of the last times: the half year of 31 August may end before that of 30 August.
        let not_before = lasts.values().iter().map(|last| self.gap.after(*last)).min().unwrap_or_default();
        self.chunks.push(Chunk { id, rows: lasts.len(), not_before });
    }

    /// Notes a session, which may touch sessions that are known.
    fn see(&mut self, key: Key, span: Span) {
        let gap = self.gap;
        let due = gap.after(span.last);
        match self.open.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(Open { spans: Spans::One(span), due });
                self.closing.entry(due).or_default().push(key);
            }
            Entry::Occupied(mut entry) => {
                let open = entry.get_mut();
                let spans = joined(open.spans.all(), span, gap);
                open.spans = Spans::of(spans).expect("there is at least the new one");
                if due < open.due {
                    open.due = due;
                    self.closing.entry(due).or_default().push(key);
                }
            }
        }
    }

    async fn close(&mut self, epoch: &mut Epoch<'_>) -> Result<Vec<Given>> {
        let Some(after) = epoch.after else { return Ok(Vec::new()) };
        let closed = self.take_closed(after);
        if closed.is_empty() {
            return Ok(Vec::new());
        }
        let mut batches = Vec::new();
        for chunk in std::mem::take(&mut self.chunks) {
            match chunk.not_before <= after {
                true => batches.extend(self.take_from(chunk, &closed, epoch.store)?),
                false => self.chunks.push(chunk),
            }
        }
        let rows = self.aggregate.finish(batches, epoch.session).await?;
        let keys = self.keys_of(&rows)?;
        let starts = rows.column(0).as_primitive::<TimestampMicrosecondType>();
        let last = |row: usize| {
            let spans = &closed[&key_of(keys.row(row))];
            spans.iter().find(|span| span.start == starts.value(row)).expect("a result is of a session that closes").last
        };
        let ends = (0..rows.num_rows()).map(|row| self.gap.after(last(row))).collect();
        Ok(vec![self.aggregate.given(&rows, self.window_at, &self.prefix, ends)])
    }

    /// Takes the sessions out that the watermark has passed.
    fn take_closed(&mut self, after: i64) -> HashMap<Key, Vec<Span>> {
        let later = self.closing.split_off(&after.saturating_add(1));
        let due: BTreeSet<Key> = std::mem::replace(&mut self.closing, later).into_values().flatten().collect();
        let mut closed = HashMap::<Key, Vec<Span>>::new();
        for key in due {
            let Some(open) = self.open.get_mut(&key) else { continue };
            let (done, left): (Vec<Span>, Vec<Span>) = open.spans.all().iter().partition(|span| self.gap.after(span.last) <= after);
            match left.iter().map(|span| self.gap.after(span.last)).min() {
                Some(next) => {
                    if next != open.due {
                        open.due = next;
                        self.closing.entry(next).or_default().push(key);
                    }
                    open.spans = Spans::of(left).expect("there is one that is due next");
                }
                None => drop(self.open.remove(&key)),
            }
            if !done.is_empty() {
                closed.insert(key, done);
            }
        }
        closed
    }

    /// The rows of a chunk whose sessions close, with the start of their session; the others are kept.
    fn take_from(&mut self, chunk: Chunk, closed: &HashMap<Key, Vec<Span>>, store: &mut Store) -> Result<Option<RecordBatch>> {
        let rows = store.get(chunk.id).map_err(external)?;
        let partial = self.partial_of(&rows)?;
        let keys = self.keys_of(&partial)?;
        let starts = partial.column(0).as_primitive::<TimestampMicrosecondType>();
        let (mut take, mut new_starts, mut keep, mut lasts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in 0..partial.num_rows() {
            let (key, start) = (key_of(keys.row(row)), starts.value(row));
            let holds = |spans: &[Span]| spans.iter().find(|span| span.start <= start && start <= span.last).copied();
            match closed.get(&key).and_then(|spans| holds(spans)) {
                Some(span) => {
                    take.push(row as u32);
                    new_starts.push(span.start);
                }
                None => {
                    let span = self.open.get(&key).and_then(|open| holds(open.spans.all())).expect("a row that is kept is in a session that is open");
                    keep.push(row as u32);
                    lasts.push(span.last);
                }
            }
        }
        if take.is_empty() && !keep.is_empty() {
            // Its sessions went on meanwhile.
            let not_before = lasts.iter().map(|last| self.gap.after(*last)).min().unwrap_or_default();
            self.chunks.push(Chunk { not_before, ..chunk });
            return Ok(None);
        }
        store.drop(chunk.id);
        if !keep.is_empty() {
            let kept = take_record_batch(&partial, &UInt32Array::from(keep))?;
            self.keep(kept, TimestampMicrosecondArray::from(lasts), store)?;
        }
        let taken = take_record_batch(&partial, &UInt32Array::from(take))?;
        let starts = TimestampMicrosecondArray::from(new_starts).with_timezone("UTC");
        Ok(Some(with_starts(&taken, Arc::new(starts))?))
    }
}

/// Sessions of one key with one more, which may join several of them.
fn joined(known: &[Span], mut span: Span, gap: Gap) -> Vec<Span> {
    let mut spans = Vec::with_capacity(known.len() + 1);
    for other in known {
        match span.start < gap.after(other.last) && other.start < gap.after(span.last) {
            true => span = Span { start: span.start.min(other.start), last: span.last.max(other.last) },
            false => spans.push(*other),
        }
    }
    spans.push(span);
    spans
}
