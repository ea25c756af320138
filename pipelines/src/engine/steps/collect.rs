//! Rows that wait until their window is complete, as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{concat_batches, take, take_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimestampMicrosecondType};
use datafusion::error::Result;

use crate::chunk::timestamp_type;
use crate::engine::feeds::Names;
use crate::engine::stage::{StagePlan, order_by};
use crate::engine::steps::windows::{closing, load};
use crate::engine::steps::{Epoch, Given, external, hidden, not_too_late};
use crate::engine::store::{ChunkId, Store, Tag};
use crate::functions::{window_start, windows_of};
use crate::sql::flow::Window;

/// Keeps rows until their window closes.
#[derive(Debug)]
pub(crate) struct CollectStep {
    tag: u32,
    window: Window,
    pub(crate) stage: StagePlan,
    /// The rows' columns, then their name and time.
    chunk_schema: SchemaRef,
    panes: BTreeMap<i64, Vec<(ChunkId, usize)>>,
}

impl CollectStep {
    pub(crate) fn new(tag: u32, stage: StagePlan, window: Window) -> CollectStep {
        CollectStep { tag, window, chunk_schema: named_schema(&stage), stage, panes: BTreeMap::new() }
    }

    pub(crate) fn restore(&mut self, chunks: Vec<(ChunkId, Tag, usize)>) {
        for (id, tag, rows) in chunks {
            self.panes.entry(tag.key).or_default().push((id, rows));
        }
    }

    pub(crate) fn state_rows(&self) -> usize {
        self.panes.values().flatten().map(|(_, rows)| rows).sum()
    }

    pub(crate) fn open_windows(&self) -> usize {
        self.panes.len()
    }

    pub(crate) async fn work(&mut self, epoch: &mut Epoch<'_>) -> Result<Vec<Given>> {
        let rows = self.stage.rows(epoch.session, epoch.feeds).await?;
        let rows = not_too_late(rows.clone(), rows.num_columns() - 1, self.window, epoch.before)?;
        if rows.num_rows() > 0 {
            self.add(&rows, epoch)?;
        }
        self.close(epoch)
    }

    fn add(&mut self, rows: &RecordBatch, epoch: &mut Epoch<'_>) -> Result<()> {
        let rows = named(rows, epoch, &self.chunk_schema)?;
        let times = rows.column(rows.num_columns() - 1).as_primitive::<TimestampMicrosecondType>();
        let mut by_pane = BTreeMap::<i64, Vec<u32>>::new();
        for (row, time) in times.values().iter().enumerate() {
            by_pane.entry(window_start(*time, self.window.pane())).or_default().push(row as u32);
        }
        for (pane, indices) in by_pane {
            let part = take_record_batch(&rows, &UInt32Array::from(indices))?;
            let count = part.num_rows();
            let id = epoch.store.put(Tag { step: self.tag, key: pane }, part).map_err(external)?;
            self.panes.entry(pane).or_default().push((id, count));
        }
        Ok(())
    }

    fn close(&mut self, epoch: &mut Epoch<'_>) -> Result<Vec<Given>> {
        let Some(after) = epoch.after else { return Ok(Vec::new()) };
        let starts = closing(self.panes.keys(), self.window, epoch.before, after);
        let given = starts.into_iter().map(|start| self.of_window(start, &mut *epoch.store)).collect::<Result<Vec<_>>>()?;
        self.forget(after, epoch.store);
        Ok(given)
    }

    /// The rows of a window, ordered by time and name.
    fn of_window(&self, start: i64, store: &mut Store) -> Result<Given> {
        let end = self.window.end(start);
        let mut batches = Vec::new();
        for chunks in self.panes.range(start..end).map(|(_, chunks)| chunks) {
            let ids: Vec<ChunkId> = chunks.iter().map(|(id, _)| *id).collect();
            batches.extend(load(&ids, store)?);
        }
        let rows = concat_batches(&self.chunk_schema, &batches)?;
        let count = rows.num_columns() - 2;
        let order = order_by(&[Arc::clone(rows.column(count + 1)), Arc::clone(rows.column(count))])?;
        let mut columns = rows.columns()[..count].iter().map(|column| take(column, &order, None)).collect::<Result<Vec<ArrayRef>, _>>()?;
        let (starts, ends) = (vec![start; order.len()], vec![end; order.len()]);
        columns.push(windows_of(&starts, &ends));
        let names = take(rows.column(count), &order, None)?;
        let names = match self.window {
            Window::Hop { .. } => names.as_string::<i32>().iter().map(|name| Some(format!("{}@{start}", name?))).collect::<StringArray>(),
            _ => names.as_string::<i32>().clone(),
        };
        Ok(Given { columns, times: TimestampMicrosecondArray::from(ends).with_timezone("UTC"), names: Names::Text(names) })
    }

    fn forget(&mut self, after: i64, store: &mut Store) {
        let window = self.window;
        self.panes.retain(|start, chunks| {
            let needed = window.ends(*start).1 > after;
            if !needed {
                chunks.iter().for_each(|(id, _)| store.drop(*id));
            }
            needed
        });
    }
}

/// The columns of a stage's rows, then their names and times.
pub(crate) fn named_schema(stage: &StagePlan) -> SchemaRef {
    let schema = stage.schema();
    let columns = &schema.fields()[..schema.fields().len() - 2];
    let column = |(index, field): (usize, &FieldRef)| Field::new(format!("c{index}"), field.data_type().clone(), true);
    let hidden = [Field::new("name", DataType::Utf8, true), Field::new("time", timestamp_type(), true)];
    Arc::new(Schema::new(columns.iter().enumerate().map(column).chain(hidden).collect::<Vec<_>>()))
}

/// Rows of a stage with their names instead of their numbers.
pub(crate) fn named(rows: &RecordBatch, epoch: &Epoch<'_>, schema: &SchemaRef) -> Result<RecordBatch> {
    let (numbers, times) = hidden(rows);
    let names = epoch.feeds.names(epoch.job, numbers.values())?;
    let mut columns = rows.columns()[..rows.num_columns() - 2].to_vec();
    columns.push(Arc::new(StringArray::from(names)));
    columns.push(Arc::new(times.clone()));
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
