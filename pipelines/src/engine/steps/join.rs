//! Joins of two streams on equal keys and a bounded distance in time.
//!
//! Each side keeps its rows in slices of time, each with an index from keys to rows. New rows of one side look for partners
//! among the rows of the other that their distance allows; a slice goes when no row to come can reach it.
//!
//! In an outer join a row is *due* when the watermark has passed its own time and the last one that a partner may have. It is
//! then looked at once more, and given alone when it has no partner. So nothing has to be kept about who has met whom, but
//! the rows that it may have met are kept until then.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array, new_null_array};
use arrow::compute::{concat_batches, interleave, take_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::row::{RowConverter, SortField};
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::PhysicalExpr;

use crate::engine::feeds::Names;
use crate::engine::ids;
use crate::engine::stage::StagePlan;
use crate::engine::steps::collect::{named, named_schema};
use crate::engine::steps::windows::load;
use crate::engine::steps::{Epoch, Given, external};
use crate::engine::store::{ChunkId, Store, Tag};
use crate::functions::window_start;
use crate::limits::{JOIN_CHUNKS_MAX, JOIN_SLICES};
use crate::sql::flow::IntervalJoin;

/// Joins two streams.
#[derive(Debug)]
pub(crate) struct JoinStep {
    pub(crate) stages: [StagePlan; 2],
    sides: [Side; 2],
    /// Least and greatest time of a partner minus that of the row, seen from each side.
    distance: [(i64, i64); 2],
    /// How long after its time a row of each side is due, when it is given alone if it has no partner.
    due: [Option<i64>; 2],
    /// What a pair of an outer join must fulfil besides, and the columns that it is asked of.
    also: Option<(Arc<dyn PhysicalExpr>, SchemaRef)>,
}

/// The rows of one side.
#[derive(Debug)]
struct Side {
    tag: u32,
    /// 0 is left, 1 is right.
    side: i64,
    /// The side's columns, then names and times.
    schema: SchemaRef,
    keys: Vec<usize>,
    converter: RowConverter,
    slice_us: i64,
    slices: BTreeMap<i64, Slice>,
}

/// The rows of one side within a slice of time.
#[derive(Debug, Default)]
struct Slice {
    chunks: Vec<ChunkId>,
    rows: usize,
    index: HashMap<Box<[u8]>, Vec<Place>>,
}

/// Where a row is: its chunk within the slice, the row within that, and its time.
#[derive(Debug, Clone, Copy)]
struct Place {
    chunk: u32,
    row: u32,
    time: i64,
}

/// A row that was added just now.
#[derive(Debug)]
struct Placed {
    key: Box<[u8]>,
    time: i64,
    chunk: ChunkId,
    row: u32,
}

/// Rows by chunk and place in it.
#[derive(Debug, Default)]
struct Picked {
    chunks: Vec<ChunkId>,
    at: HashMap<ChunkId, usize>,
    rows: Vec<(usize, usize)>,
}

impl Picked {
    fn push(&mut self, chunk: ChunkId, row: u32) {
        let next = self.chunks.len();
        let at = *self.at.entry(chunk).or_insert(next);
        if at == next {
            self.chunks.push(chunk);
        }
        self.rows.push((at, row as usize));
    }

    /// The columns of the rows that were picked.
    fn columns(&self, store: &mut Store, count: usize) -> Result<Vec<ArrayRef>> {
        let batches = load(&self.chunks, store)?;
        let column = |index: usize| {
            let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(index).as_ref()).collect();
            Ok(interleave(&parts, &self.rows)?)
        };
        (0..count).map(column).collect()
    }
}

impl JoinStep {
    pub(crate) fn new(tag: u32, stages: [StagePlan; 2], join: &IntervalJoin, session: &SessionState) -> Result<JoinStep> {
        let (least, greatest) = join.distance_us;
        let slice_us = (greatest.saturating_sub(least) / JOIN_SLICES).max(1_000);
        let left = Side::new(tag, 0, &stages[0], join.keys.iter().map(|key| key.0).collect(), slice_us)?;
        let right = Side::new(tag, 1, &stages[1], join.keys.iter().map(|key| key.1).collect(), slice_us)?;
        let also = join.also.clone().map(|also| pair_condition(also, [&left, &right], session)).transpose()?;
        let distance = [(least, greatest), (greatest.saturating_neg(), least.saturating_neg())];
        let due = [0, 1].map(|side: usize| join.alone[side].then_some(distance[side].1.max(0)));
        Ok(JoinStep { stages, sides: [left, right], distance, due, also })
    }

    pub(crate) fn restore(&mut self, chunks: Vec<(ChunkId, Tag, usize)>, store: &mut Store) -> Result<()> {
        for (id, tag, _) in chunks {
            let rows = store.get(id).map_err(external)?;
            self.sides[(tag.key & 1) as usize].remember(tag.key >> 1, id, &rows)?;
        }
        Ok(())
    }

    pub(crate) fn state_rows(&self) -> usize {
        self.sides.iter().flat_map(|side| side.slices.values()).map(|slice| slice.rows).sum()
    }

    pub(crate) async fn work(&mut self, epoch: &mut Epoch<'_>) -> Result<Vec<Given>> {
        let mut new: Vec<Vec<Placed>> = Vec::with_capacity(2);
        for ((stage, side), due) in self.stages.iter().zip(&mut self.sides).zip(self.due) {
            let rows = stage.rows(epoch.session, epoch.feeds).await?;
            let rows = named(&rows, epoch, &side.schema)?;
            new.push(side.add(&rows, epoch.before, due.is_some(), epoch.store)?);
        }
        // New rows of the right meet all of the left, new ones of the left the old ones of the right: each pair once.
        let mut pairs = [Picked::default(), Picked::default()];
        for row in &new[1] {
            self.sides[0].partners(row, self.distance[1], |partner, at| {
                pairs[0].push(partner, at);
                pairs[1].push(row.chunk, row.row);
            });
        }
        let known: HashSet<ChunkId> = new[1].iter().map(|row| row.chunk).collect();
        for row in &new[0] {
            self.sides[1].partners(row, self.distance[0], |partner, at| {
                if !known.contains(&partner) {
                    pairs[0].push(row.chunk, row.row);
                    pairs[1].push(partner, at);
                }
            });
        }
        let pairs = self.fulfilled(pairs, epoch.store)?;
        let mut given = self.joined(&pairs, epoch)?;
        for side in 0..2 {
            given.extend(self.alone(side, epoch)?);
        }
        for side in 0..2 {
            let keep = self.keep(side);
            self.sides[side].expire(keep, epoch.after, epoch.store);
        }
        Ok(given)
    }

    /// How long after its time a row is needed: for partners to come, until it is due, and until those that it met are due.
    fn keep(&self, side: usize) -> i64 {
        let (_, greatest) = self.distance[side];
        let partners_due = self.due[1 - side].map(|due| greatest.saturating_add(due));
        [Some(greatest), self.due[side], partners_due].into_iter().flatten().max().expect("there is one at least")
    }

    /// The pairs that fulfil the condition of an outer join.
    fn fulfilled(&self, pairs: [Picked; 2], store: &mut Store) -> Result<[Picked; 2]> {
        let Some((also, schema)) = &self.also else { return Ok(pairs) };
        if pairs[0].rows.is_empty() {
            return Ok(pairs);
        }
        let mut columns = pairs[0].columns(store, self.sides[0].columns())?;
        columns.extend(pairs[1].columns(store, self.sides[1].columns())?);
        let rows = RecordBatch::try_new(Arc::clone(schema), columns)?;
        let is_true = also.evaluate(&rows)?.into_array(rows.num_rows())?;
        let is_true = is_true.as_boolean();
        let kept = |mut picked: Picked| {
            let mut row = 0..;
            picked.rows.retain(|_| row.next().is_some_and(|row| is_true.is_valid(row) && is_true.value(row)));
            picked
        };
        Ok(pairs.map(kept))
    }

    /// The rows of a side that are due and have no partner, with nothing beside them.
    fn alone(&self, side: usize, epoch: &mut Epoch<'_>) -> Result<Option<Given>> {
        let (Some(due), Some(after)) = (self.due[side], epoch.after) else { return Ok(None) };
        let rows = self.sides[side].between(epoch.before.map(|before| before.saturating_sub(due)), after.saturating_sub(due));
        let mut pairs = [Picked::default(), Picked::default()];
        for row in &rows {
            self.sides[1 - side].partners(row, self.distance[side], |partner, at| {
                pairs[side].push(row.chunk, row.row);
                pairs[1 - side].push(partner, at);
            });
        }
        let met = self.fulfilled(pairs, epoch.store)?;
        let met: HashSet<(ChunkId, usize)> = met[side].rows.iter().map(|(chunk, row)| (met[side].chunks[*chunk], *row)).collect();
        let mut alone = Picked::default();
        rows.iter().filter(|row| !met.contains(&(row.chunk, row.row as usize))).for_each(|row| alone.push(row.chunk, row.row));
        if alone.rows.is_empty() {
            return Ok(None);
        }
        let mut columns = alone.columns(epoch.store, self.sides[side].schema.fields().len())?;
        let (times, names) = (columns.pop().expect("times come last"), columns.pop().expect("names come before them"));
        let names: StringArray = names.as_string::<i32>().iter().map(|name| Some(ids::of_alone(epoch.job, name?, side == 0))).collect();
        let times: TimestampMicrosecondArray = times.as_primitive::<TimestampMicrosecondType>().unary(|time| time.saturating_add(due));
        let other = &self.sides[1 - side];
        let nothing = other.schema.fields()[..other.columns()].iter().map(|field| new_null_array(field.data_type(), names.len()));
        let columns = match side {
            0 => columns.into_iter().chain(nothing).collect(),
            _ => nothing.chain(columns).collect(),
        };
        Ok(Some(Given { columns, times: times.with_timezone("UTC"), names: Names::Text(names) }))
    }

    /// The rows of the pairs, side by side.
    fn joined(&self, pairs: &[Picked; 2], epoch: &mut Epoch<'_>) -> Result<Vec<Given>> {
        if pairs[0].rows.is_empty() {
            return Ok(Vec::new());
        }
        let [left, right] = [0, 1].map(|side: usize| pairs[side].columns(&mut *epoch.store, self.sides[side].schema.fields().len()));
        let (mut left, mut right) = (left?, right?);
        let hidden = |columns: &mut Vec<ArrayRef>| (columns.pop().expect("times come last"), columns.pop().expect("names come before them"));
        let ((left_times, left_names), (right_times, right_names)) = (hidden(&mut left), hidden(&mut right));
        let of = |times: &ArrayRef| times.as_primitive::<TimestampMicrosecondType>().clone();
        let times: TimestampMicrosecondArray = of(&left_times).values().iter().zip(of(&right_times).values()).map(|(left, right)| Some(*left.max(right))).collect();
        let names = left_names.as_string::<i32>().iter().zip(right_names.as_string::<i32>());
        let names: StringArray = names.map(|(left, right)| Some(ids::of_pair(epoch.job, left?, right?))).collect();
        left.extend(right);
        Ok(vec![Given { columns: left, times: times.with_timezone("UTC"), names: Names::Text(names) }])
    }
}

impl Side {
    fn new(tag: u32, side: i64, stage: &StagePlan, keys: Vec<usize>, slice_us: i64) -> Result<Side> {
        let schema = named_schema(stage);
        let sort = keys.iter().map(|key| SortField::new(schema.field(*key).data_type().clone())).collect();
        Ok(Side { tag, side, schema, keys, converter: RowConverter::new(sort)?, slice_us, slices: BTreeMap::new() })
    }

    /// How many columns its rows have, without names and times.
    fn columns(&self) -> usize {
        self.schema.fields().len() - 2
    }

    /// Adds rows that are in time, and says where they are. What has no key meets nobody, and is kept for an outer join only.
    fn add(&mut self, rows: &RecordBatch, before: Option<i64>, without_key: bool, store: &mut Store) -> Result<Vec<Placed>> {
        let times = rows.column(rows.num_columns() - 1).as_primitive::<TimestampMicrosecondType>();
        let mut by_slice = BTreeMap::<i64, Vec<u32>>::new();
        for (row, time) in times.values().iter().enumerate() {
            let in_time = before.is_none_or(|before| *time >= before);
            if in_time && (without_key || self.has_key(rows, row)) {
                by_slice.entry(window_start(*time, self.slice_us)).or_default().push(row as u32);
            }
        }
        let mut placed = Vec::new();
        for (slice, indices) in by_slice {
            self.put_together(slice, store)?;
            let part = take_record_batch(rows, &UInt32Array::from(indices))?;
            let id = self.put(slice, part.clone(), store)?;
            placed.extend(self.remember(slice, id, &part)?);
        }
        Ok(placed)
    }

    fn has_key(&self, rows: &RecordBatch, row: usize) -> bool {
        self.keys.iter().all(|key| rows.column(*key).is_valid(row))
    }

    fn put(&self, slice: i64, rows: RecordBatch, store: &mut Store) -> Result<ChunkId> {
        store.put(Tag { step: self.tag, key: slice << 1 | self.side }, rows).map_err(external)
    }

    /// Makes one chunk of many small ones.
    fn put_together(&mut self, slice: i64, store: &mut Store) -> Result<()> {
        let Some(old) = self.slices.get_mut(&slice).filter(|slice| slice.chunks.len() >= JOIN_CHUNKS_MAX) else { return Ok(()) };
        let old = std::mem::take(old);
        let rows = concat_batches(&self.schema, &load(&old.chunks, store)?)?;
        old.chunks.iter().for_each(|id| store.drop(*id));
        let id = self.put(slice, rows.clone(), store)?;
        self.remember(slice, id, &rows)?;
        Ok(())
    }

    /// Notes where the rows of a chunk are.
    fn remember(&mut self, slice: i64, id: ChunkId, rows: &RecordBatch) -> Result<Vec<Placed>> {
        let columns: Vec<ArrayRef> = self.keys.iter().map(|key| Arc::clone(rows.column(*key))).collect();
        let keys = self.converter.convert_columns(&columns)?;
        let times = rows.column(rows.num_columns() - 1).as_primitive::<TimestampMicrosecondType>();
        // An empty key stands for none.
        let key = |row: usize| if self.has_key(rows, row) { Box::from(keys.row(row).data()) } else { Box::default() };
        let row_keys: Vec<Box<[u8]>> = (0..rows.num_rows()).map(key).collect();
        let slice = self.slices.entry(slice).or_default();
        let chunk = slice.chunks.len() as u32;
        slice.chunks.push(id);
        slice.rows += rows.num_rows();
        let mut placed = Vec::with_capacity(rows.num_rows());
        for (row, key) in row_keys.into_iter().enumerate() {
            let time = times.value(row);
            slice.index.entry(key.clone()).or_default().push(Place { chunk, row: row as u32, time });
            placed.push(Placed { key, time, chunk: id, row: row as u32 });
        }
        Ok(placed)
    }

    /// The rows of this side that a row of the other meets.
    fn partners(&self, row: &Placed, (least, greatest): (i64, i64), mut found: impl FnMut(ChunkId, u32)) {
        if row.key.is_empty() {
            return;
        }
        let (from, to) = (row.time.saturating_add(least), row.time.saturating_add(greatest));
        for slice in self.slices.range(window_start(from, self.slice_us)..=to).map(|(_, slice)| slice) {
            let Some(places) = slice.index.get(&row.key) else { continue };
            for place in places.iter().filter(|place| from <= place.time && place.time <= to) {
                found(slice.chunks[place.chunk as usize], place.row);
            }
        }
    }

    /// The rows from one time on and before another, in the order in which they are kept.
    fn between(&self, from: Option<i64>, before: i64) -> Vec<Placed> {
        let first = from.map_or(i64::MIN, |from| window_start(from, self.slice_us));
        let mut found = Vec::new();
        for slice in self.slices.range(first..before.max(first)).map(|(_, slice)| slice) {
            let begin = found.len();
            for (key, places) in &slice.index {
                let in_range = |place: &&Place| from.is_none_or(|from| from <= place.time) && place.time < before;
                let row = |place: &Place| (place.chunk, Placed { key: key.clone(), time: place.time, chunk: slice.chunks[place.chunk as usize], row: place.row });
                found.extend(places.iter().filter(in_range).map(row));
            }
            found[begin..].sort_unstable_by_key(|(chunk, placed)| (*chunk, placed.row));
        }
        found.into_iter().map(|(_, placed)| placed).collect()
    }

    /// Drops the slices whose rows are not needed any more.
    fn expire(&mut self, keep: i64, after: Option<i64>, store: &mut Store) {
        let Some(after) = after else { return };
        let slice_us = self.slice_us;
        self.slices.retain(|start, slice| {
            let needed = start.saturating_add(slice_us - 1).saturating_add(keep) >= after;
            if !needed {
                slice.chunks.iter().for_each(|id| store.drop(*id));
            }
            needed
        });
    }
}

/// The condition of an outer join over the columns of both sides.
fn pair_condition(condition: Expr, sides: [&Side; 2], session: &SessionState) -> Result<(Arc<dyn PhysicalExpr>, SchemaRef)> {
    let types = sides.into_iter().flat_map(|side| &side.schema.fields()[..side.columns()]);
    let fields = types.enumerate().map(|(index, field)| Field::new(format!("c{index}"), field.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let condition = session.create_physical_expr(condition, &DFSchema::try_from(Arc::clone(&schema))?)?;
    Ok((condition, schema))
}
