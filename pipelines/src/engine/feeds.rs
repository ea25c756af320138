//! The rows of one epoch: those of the sources and those that steps give, each with its number and what it is called.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::Result;

use crate::engine::ids;

/// The tables that an epoch fills.
#[derive(Debug)]
pub(crate) struct Feeds {
    rows: Vec<Vec<RecordBatch>>,
    schemas: Vec<SchemaRef>,
    /// The first number of a run of rows, and what they are called.
    names: Vec<(u64, Names)>,
    next: u64,
}

/// What rows are called: made into ids when a row reaches the sink.
#[derive(Debug, Clone)]
pub(crate) enum Names {
    /// Records of a topic.
    Records { topic: ArrayRef, partition: ArrayRef, offset: ArrayRef },
    /// Windows by their start and keys; the prefix tells steps apart.
    Windows { prefix: String, starts: Vec<i64>, keys: Vec<ArrayRef> },
    /// Ready made.
    Text(StringArray),
}

impl Feeds {
    pub(crate) fn new(schemas: Vec<SchemaRef>) -> Feeds {
        Feeds { rows: vec![Vec::new(); schemas.len()], schemas, names: Vec::new(), next: 0 }
    }

    /// Adds rows to a feed: its columns without the hidden ones, the time of each row, and what they are called.
    pub(crate) fn add(&mut self, feed: usize, mut columns: Vec<ArrayRef>, times: TimestampMicrosecondArray, names: Names) -> Result<()> {
        let rows = times.len() as u64;
        if rows == 0 {
            return Ok(());
        }
        columns.push(Arc::new(UInt64Array::from_iter_values(self.next..self.next + rows)));
        columns.push(Arc::new(times));
        self.names.push((self.next, names));
        self.next += rows;
        self.rows[feed].push(RecordBatch::try_new(Arc::clone(&self.schemas[feed]), columns)?);
        Ok(())
    }

    pub(crate) fn has_rows(&self, feed: usize) -> bool {
        !self.rows[feed].is_empty()
    }

    /// Rows of a feed.
    pub(crate) fn count(&self, feed: usize) -> usize {
        self.rows[feed].iter().map(RecordBatch::num_rows).sum()
    }

    /// The rows of a feed, each batch in a lane of its own.
    pub(crate) fn lanes(&self, feed: usize) -> Vec<Vec<RecordBatch>> {
        match self.rows[feed].is_empty() {
            true => vec![vec![]],
            false => self.rows[feed].iter().map(|rows| vec![rows.clone()]).collect(),
        }
    }

    /// The record that a row is, as topic, partition and offset, if it is one.
    pub(crate) fn record(&self, number: u64) -> Option<(String, i32, i64)> {
        let at = self.names.partition_point(|(first, _)| *first <= number).checked_sub(1)?;
        let (first, Names::Records { topic, partition, offset }) = &self.names[at] else { return None };
        let (topic, partition, offset) = record_at(topic, partition, offset, (number - first) as usize);
        Some((topic.to_owned(), partition, offset))
    }

    /// The offset of the record that a row is, if it is one.
    pub(crate) fn offset(&self, number: u64) -> Option<i64> {
        let at = self.names.partition_point(|(first, _)| *first <= number).checked_sub(1)?;
        let (first, Names::Records { offset, .. }) = &self.names[at] else { return None };
        Some(offset.as_primitive::<Int64Type>().value((number - first) as usize))
    }

    /// What some rows are called, by their numbers.
    pub(crate) fn names(&self, job: &str, numbers: &[u64]) -> Result<Vec<String>> {
        let options = FormatOptions::default();
        let namers = self.names.iter().map(|(first, names)| Ok((*first, Namer::new(names, &options)?))).collect::<Result<Vec<_>>>()?;
        let name = |number: &u64| {
            let at = namers.partition_point(|(first, _)| first <= number).checked_sub(1).expect("every row was numbered from zero on");
            let (first, namer) = &namers[at];
            namer.name(job, (number - first) as usize)
        };
        Ok(numbers.iter().map(name).collect())
    }
}

fn record_at<'a>(topic: &'a ArrayRef, partition: &ArrayRef, offset: &ArrayRef, row: usize) -> (&'a str, i32, i64) {
    let (partition, offset) = (partition.as_primitive::<Int32Type>(), offset.as_primitive::<Int64Type>());
    (topic.as_string::<i32>().value(row), partition.value(row), offset.value(row))
}

struct Namer<'a> {
    names: &'a Names,
    keys: Vec<ArrayFormatter<'a>>,
}

impl<'a> Namer<'a> {
    fn new(names: &'a Names, options: &'a FormatOptions<'a>) -> Result<Namer<'a>> {
        let keys = match names {
            Names::Windows { keys, .. } => keys.iter().map(|key| ArrayFormatter::try_new(key.as_ref(), options)).collect::<std::result::Result<Vec<_>, _>>()?,
            Names::Records { .. } | Names::Text(_) => Vec::new(),
        };
        Ok(Namer { names, keys })
    }

    fn name(&self, job: &str, row: usize) -> String {
        match self.names {
            Names::Records { topic, partition, offset } => {
                let (topic, partition, offset) = record_at(topic, partition, offset, row);
                ids::of_record(job, topic, partition, offset)
            }
            Names::Windows { prefix, starts, keys } => {
                let keys = keys.iter().zip(&self.keys).map(|(key, formatter)| (!key.is_null(row)).then(|| formatter.value(row).to_string()));
                ids::of_window(job, prefix, starts[row], keys)
            }
            Names::Text(text) => text.value(row).to_owned(),
        }
    }
}
