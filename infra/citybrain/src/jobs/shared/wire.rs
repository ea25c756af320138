//! Records of a job's topic of slices: rows of one partition of its sources that belong to one slice, and how far that
//! partition was read.
//!
//! Each record covers a range of offsets, whether or not a row of it belongs to the slice. So whoever reads a slice knows
//! what it has seen of each partition, drops what comes again, and notices what is missing.

use std::io::Cursor;

use anyhow::{Context, Result, bail};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bus::Rejected;
use bytes::Bytes;
use schemas::event::KafkaRecord;
use serde::{Deserialize, Serialize};

/// The header that says what a record covers.
const HEADER: &str = "citybrain-slice";
/// Largest value of a record, in bytes: what brokers take by default, less room for the header.
const VALUE_BYTES: usize = 900_000;

/// What a record covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cover {
    /// Topic of the source.
    pub topic: String,
    /// Partition of it.
    pub partition: i32,
    /// First offset.
    pub from: i64,
    /// One past the last offset.
    pub next: i64,
    /// How far event time has come, µs, less the delay of the watermark; of the last record of a range.
    pub reached_us: Option<i64>,
    /// Whether nothing has come from the partition for so long that the watermark need not wait for it.
    pub rests: bool,
    /// By what rows are sliced.
    pub keys: String,
}

/// The records for one slice of a range.
///
/// # Errors
/// When rows cannot be written as Arrow.
pub fn records(cover: &Cover, rows: &[RecordBatch]) -> Result<Vec<KafkaRecord>> {
    let rows = match rows.iter().find(|rows| rows.num_rows() > 0) {
        Some(first) => concat_batches(&first.schema(), rows)?,
        None => return Ok(vec![record(cover, None)?]),
    };
    let mut records = Vec::new();
    pieces(cover.clone(), &rows, &mut records)?;
    Ok(records)
}

/// Cuts rows in two until each piece fits. A single row that does not fit is sent as it is: its topic took it before.
fn pieces(cover: Cover, rows: &RecordBatch, records: &mut Vec<KafkaRecord>) -> Result<()> {
    let value = ipc(rows)?;
    if value.len() <= VALUE_BYTES || rows.num_rows() == 1 {
        records.push(record(&cover, Some(value.into()))?);
        return Ok(());
    }
    let middle = rows.num_rows() / 2;
    let offsets = rows.column_by_name("offset").context("rows without offsets")?.as_primitive::<Int64Type>();
    let at = offsets.value(middle);
    pieces(Cover { next: at, reached_us: None, ..cover.clone() }, &rows.slice(0, middle), records)?;
    pieces(Cover { from: at, ..cover }, &rows.slice(middle, rows.num_rows() - middle), records)
}

fn record(cover: &Cover, value: Option<Bytes>) -> Result<KafkaRecord> {
    let header = (HEADER.to_owned(), Some(serde_json::to_vec(cover)?.into()));
    Ok(KafkaRecord { key: None, headers: vec![header], value })
}

fn ipc(rows: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = StreamWriter::try_new(Vec::new(), &rows.schema())?;
    writer.write(rows)?;
    Ok(writer.into_inner()?)
}

/// What a record says: what it covers, and its rows when it has some.
///
/// # Errors
/// When it is no record of a slice.
pub fn read(record: &Rejected) -> Result<(Cover, Option<RecordBatch>)> {
    let header = record.headers.iter().find(|(name, _)| name == HEADER).and_then(|(_, value)| value.as_ref());
    let cover: Cover = serde_json::from_slice(header.context("a record that nobody of this job wrote")?)?;
    let Some(value) = record.value.as_ref().filter(|value| !value.is_empty()) else { return Ok((cover, None)) };
    let mut batches = StreamReader::try_new(Cursor::new(value.clone()), None)?;
    match (batches.next(), batches.next()) {
        (Some(rows), None) => Ok((cover, Some(rows?))),
        _ => bail!("a record of a slice has one batch of rows"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn rows(count: i64, width: usize) -> RecordBatch {
        let offsets: ArrayRef = Arc::new(Int64Array::from_iter_values((0..count).map(|row| 10 + 2 * row)));
        let text: ArrayRef = Arc::new(StringArray::from_iter_values((0..count).map(|row| row.to_string().repeat(width))));
        RecordBatch::try_from_iter([("offset", offsets), ("data", text)]).unwrap()
    }

    fn again(record: &KafkaRecord) -> (Cover, Option<RecordBatch>) {
        let rejected = Rejected { offset: 0, key: None, headers: record.headers.clone(), value: record.value.clone(), reason: String::new() };
        read(&rejected).unwrap()
    }

    #[test]
    fn ranges_meet_and_rows_come_back() {
        let cover = Cover { topic: "raw.sensor".into(), partition: 3, from: 7, next: 900, reached_us: Some(5), rests: false, keys: "station".into() };
        for (count, width, is_cut) in [(0, 1, false), (5, 1, false), (400, 3_000, true)] {
            let all = rows(count, width);
            let third = all.num_rows() / 3;
            let halves = [all.slice(0, third), all.slice(third, all.num_rows() - third)];
            let read: Vec<_> = records(&cover, &halves).unwrap().iter().map(again).collect();
            let last = read.len() - 1;
            assert_eq!(last > 0, is_cut);
            let ends: Vec<(i64, i64)> = read.iter().map(|(cover, _)| (cover.from, cover.next)).collect();
            assert!(ends[0].0 == 7 && ends[last].1 == 900 && ends.windows(2).all(|pair| pair[0].1 == pair[1].0), "{ends:?}");
            assert!(read.iter().rev().skip(1).all(|(cover, _)| cover.reached_us.is_none()) && read[last].0.reached_us == Some(5));
            let given: Vec<RecordBatch> = read.into_iter().filter_map(|(_, rows)| rows).collect();
            assert_eq!(concat_batches(&all.schema(), &given).unwrap(), all);
        }
    }
}
