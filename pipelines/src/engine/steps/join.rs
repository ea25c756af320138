//! Joins of two streams on equal keys and a bounded distance in time.
//!
//! Each side keeps its rows in slices of time, each with an index from keys to rows. New rows of one side look for partners
//! among the rows of the other that their distance allows; a slice goes when no row to come can reach it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{concat_batches, interleave, take_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::row::{RowConverter, SortField};
use datafusion::error::Result;

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
    pub(crate) fn new(tag: u32, stages: [StagePlan; 2], join: &IntervalJoin) -> Result<JoinStep> {
        let (least, greatest) = join.distance_us;
        let slice_us = (greatest.saturating_sub(least) / JOIN_SLICES).max(1_000);
        let left = Side::new(tag, 0, &stages[0], join.keys.iter().map(|key| key.0).collect(), slice_us)?;
        let right = Side::new(tag, 1, &stages[1], join.keys.iter().map(|key| key.1).collect(), slice_us)?;
        Ok(JoinStep { stages, sides: [left, right], distance: [(least, greatest), (greatest.saturating_neg(), least.saturating_neg())] })
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
        for (stage, side) in self.stages.iter().zip(&mut self.sides) {
            let rows = stage.rows(epoch.session, epoch.feeds).await?;
            let rows = named(&rows, epoch, &side.schema)?;
            new.push(side.add(&rows, epoch.before, epoch.store)?);
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
        let given = self.joined(&pairs, epoch)?;
        for (side, (_, greatest)) in self.sides.iter_mut().zip(self.distance) {
            side.expire(greatest, epoch.after, epoch.store);
        }
        Ok(given)
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

    /// Adds rows that are in time and have keys, and says where they are.
    fn add(&mut self, rows: &RecordBatch, before: Option<i64>, store: &mut Store) -> Result<Vec<Placed>> {
        let times = rows.column(rows.num_columns() - 1).as_primitive::<TimestampMicrosecondType>();
        let mut by_slice = BTreeMap::<i64, Vec<u32>>::new();
        for (row, time) in times.values().iter().enumerate() {
            let in_time = before.is_none_or(|before| *time >= before);
            if in_time && self.keys.iter().all(|key| rows.column(*key).is_valid(row)) {
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
        let slice = self.slices.entry(slice).or_default();
        let chunk = slice.chunks.len() as u32;
        slice.chunks.push(id);
        slice.rows += rows.num_rows();
        let mut placed = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            let (key, time) = (Box::<[u8]>::from(keys.row(row).data()), times.value(row));
            slice.index.entry(key.clone()).or_default().push(Place { chunk, row: row as u32, time });
            placed.push(Placed { key, time, chunk: id, row: row as u32 });
        }
        Ok(placed)
    }

    /// The rows of this side that a row of the other meets.
    fn partners(&self, row: &Placed, (least, greatest): (i64, i64), mut found: impl FnMut(ChunkId, u32)) {
        let (from, to) = (row.time.saturating_add(least), row.time.saturating_add(greatest));
        for slice in self.slices.range(window_start(from, self.slice_us)..=to).map(|(_, slice)| slice) {
            let Some(places) = slice.index.get(&row.key) else { continue };
            for place in places.iter().filter(|place| from <= place.time && place.time <= to) {
                found(slice.chunks[place.chunk as usize], place.row);
            }
        }
    }

    /// Drops the slices that no row to come can reach.
    fn expire(&mut self, greatest: i64, after: Option<i64>, store: &mut Store) {
        let Some(after) = after else { return };
        let slice_us = self.slice_us;
        self.slices.retain(|start, slice| {
            let needed = start.saturating_add(slice_us - 1).saturating_add(greatest) >= after;
            if !needed {
                slice.chunks.iter().for_each(|id| store.drop(*id));
            }
            needed
        });
    }
}
