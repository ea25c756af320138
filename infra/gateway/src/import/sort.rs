//! Events in time order with bounded memory: sorted runs on disk, merged at the end.
//!
//! Knows nothing of mappings or doors. A run is a zstd stream of `key, length, bytes` in a nameless temporary file, so a
//! killed import leaves nothing behind.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::limits::{SORT_BYTES_MAX, SORT_RUNS_MAX};

/// Where an event belongs: by time, then by file, row and its place among the row's events. Unique, so the order is too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Event time in microseconds; `i64::MAX` for none.
    pub time_us: i64,
    /// The file, by its place on the command line.
    pub file: u32,
    /// The row, from 1.
    pub row: u64,
    /// The event's place among those of its row.
    pub kind: u32,
}

/// Collects and sorts.
pub struct Sorter {
    dir: PathBuf,
    limit_bytes: usize,
    held_bytes: usize,
    held: Vec<(Key, Vec<u8>)>,
    runs: Vec<File>,
}

impl Sorter {
    /// A sorter that spills to nameless files in `dir`.
    pub fn new(dir: &Path) -> Sorter {
        Sorter::with_limit(dir, SORT_BYTES_MAX)
    }

    /// The same, with another limit on memory.
    pub fn with_limit(dir: &Path, limit_bytes: usize) -> Sorter {
        Sorter { dir: dir.to_owned(), limit_bytes, held_bytes: 0, held: Vec::new(), runs: Vec::new() }
    }

    /// Takes one event.
    pub fn push(&mut self, key: Key, bytes: Vec<u8>) -> io::Result<()> {
        self.held_bytes += bytes.len() + size_of::<(Key, Vec<u8>)>();
        self.held.push((key, bytes));
        if self.held_bytes >= self.limit_bytes { self.spill() } else { Ok(()) }
    }

    /// Gives everything back in order. `emit` answers whether to go on.
    pub fn finish(mut self, emit: &mut dyn FnMut(Key, Vec<u8>) -> io::Result<bool>) -> io::Result<()> {
        self.held.sort_unstable_by_key(|(key, _)| *key);
        if self.runs.is_empty() {
            for (key, bytes) in self.held {
                if !emit(key, bytes)? {
                    break;
                }
            }
            return Ok(());
        }
        self.spill()?;
        merge(self.runs, emit)
    }

    fn spill(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.held.sort_unstable_by_key(|(key, _)| *key);
        let mut run = RunWriter::create(&self.dir)?;
        for (key, bytes) in self.held.drain(..) {
            run.write(key, &bytes)?;
        }
        self.held_bytes = 0;
        self.runs.push(run.finish()?);
        if self.runs.len() >= SORT_RUNS_MAX {
            let mut merged = RunWriter::create(&self.dir)?;
            merge(std::mem::take(&mut self.runs), &mut |key, bytes| merged.write(key, &bytes).map(|()| true))?;
            self.runs.push(merged.finish()?);
        }
        Ok(())
    }
}

struct RunWriter(zstd::Encoder<'static, BufWriter<File>>);

impl RunWriter {
    fn create(dir: &Path) -> io::Result<RunWriter> {
        let file = tempfile::tempfile_in(dir)?;
        Ok(RunWriter(zstd::Encoder::new(BufWriter::new(file), 1)?))
    }

    fn write(&mut self, key: Key, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(&key.time_us.to_le_bytes())?;
        self.0.write_all(&key.file.to_le_bytes())?;
        self.0.write_all(&key.row.to_le_bytes())?;
        self.0.write_all(&key.kind.to_le_bytes())?;
        self.0.write_all(&(bytes.len() as u64).to_le_bytes())?;
        self.0.write_all(bytes)
    }

    fn finish(self) -> io::Result<File> {
        let mut file = self.0.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }
}

struct RunReader(zstd::Decoder<'static, BufReader<File>>);

impl RunReader {
    fn next(&mut self) -> io::Result<Option<(Key, Vec<u8>)>> {
        let mut head = [0_u8; 32];
        if self.0.read(&mut head[..1])? == 0 {
            return Ok(None);
        }
        self.0.read_exact(&mut head[1..])?;
        let word = |from: usize| u64::from_le_bytes(std::array::from_fn(|at| head[from + at]));
        let half = |from: usize| u32::from_le_bytes(std::array::from_fn(|at| head[from + at]));
        let key = Key { time_us: word(0) as i64, file: half(8), row: word(12), kind: half(20) };
        let mut bytes = vec![0; word(24) as usize];
        self.0.read_exact(&mut bytes)?;
        Ok(Some((key, bytes)))
    }
}

fn merge(runs: Vec<File>, emit: &mut dyn FnMut(Key, Vec<u8>) -> io::Result<bool>) -> io::Result<()> {
    let mut readers = Vec::new();
    let mut heap = BinaryHeap::new();
    for (at, file) in runs.into_iter().enumerate() {
        let mut reader = RunReader(zstd::Decoder::new(file)?);
        if let Some((key, bytes)) = reader.next()? {
            heap.push(Reverse((key, at, bytes)));
        }
        readers.push(reader);
    }
    while let Some(Reverse((key, at, bytes))) = heap.pop() {
        if let Some((next, next_bytes)) = readers[at].next()? {
            assert!(next > key, "a run is sorted");
            heap.push(Reverse((next, at, next_bytes)));
        }
        if !emit(key, bytes)? {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn comes_out_in_order_whatever_the_memory(times in prop::collection::vec(-50_i64..50, 0..300), limit in 1_usize..20_000) {
            let dir = tempfile::tempdir().unwrap();
            let mut sorter = Sorter::with_limit(dir.path(), limit);
            let mut expected = Vec::new();
            for (row, time_us) in times.into_iter().enumerate() {
                let key = Key { time_us, file: 0, row: row as u64, kind: 3 };
                expected.push(key);
                sorter.push(key, row.to_string().into_bytes()).unwrap();
            }
            expected.sort();
            let mut seen = Vec::new();
            sorter.finish(&mut |key, bytes| {
                assert_eq!(bytes, key.row.to_string().into_bytes());
                seen.push(key);
                Ok(true)
            }).unwrap();
            prop_assert_eq!(seen, expected);
        }
    }
}
