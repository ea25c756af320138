//! The reading thread: rows of all files become batches of events, in the mapping's order.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use schemas::Event;
use tokio::sync::mpsc;

use super::mapping::{MappedEvent, Mapping, Order, RowProblem};
use super::read::{Input, ReadError, RowResult, digest};
use super::sort::{Key, Sorter};
use super::{Cancel, ImportError, ImportOptions};
use crate::limits::{STEP_BYTES_MAX, STEP_EVENTS_MAX};
use crate::ports::Types;
use crate::refusal::{Incoming, Origin, Place, Refusal};

/// How far the reading is; shared with the progress bar and the report.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) bytes_total: u64,
    pub(super) consumed: Arc<AtomicU64>,
    pub(super) rows: AtomicU64,
    pub(super) events: AtomicU64,
    pub(super) sorted: AtomicU64,
}

/// What the reading thread works on.
pub(super) struct Producer {
    mapping: Arc<Mapping>,
    /// The full name of each type that the mapping names.
    types: Vec<(String, String)>,
    files: Vec<PathBuf>,
    options: ImportOptions,
    counters: Arc<Counters>,
    out: Out,
}

/// Gathers events into batches for the other side.
struct Out {
    batches: mpsc::Sender<Vec<Incoming>>,
    batch: Vec<Incoming>,
    batch_bytes: usize,
    cancel: Cancel,
}

impl Producer {
    pub(super) fn new(
        mapping: &Arc<Mapping>,
        types: &Types,
        files: &[PathBuf],
        options: &ImportOptions,
        batches: mpsc::Sender<Vec<Incoming>>,
    ) -> Result<Producer, ImportError> {
        let registry = types.now();
        let mut names = Vec::new();
        for wanted in mapping.event_types() {
            let def = registry.types().find(|def| def.name == wanted || def.event_type == wanted).ok_or_else(|| {
                ImportError::UnknownType { mapping: mapping.name.clone(), event_type: wanted.to_owned() }
            })?;
            names.push((wanted.to_owned(), def.event_type.clone()));
        }
        let bytes_total = files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|meta| meta.len()).sum();
        Ok(Producer {
            mapping: Arc::clone(mapping),
            types: names,
            files: files.to_vec(),
            options: options.clone(),
            counters: Arc::new(Counters { bytes_total, ..Counters::default() }),
            out: Out { batches, batch: Vec::new(), batch_bytes: 0, cancel: options.cancel.clone() },
        })
    }

    pub(super) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Reads everything; ends early when the other side is gone or the import is cancelled.
    pub(super) fn run(mut self) -> Result<(), ImportError> {
        let dir = self.options.work_dir.clone();
        let sorting = |source| ImportError::Sort { dir: dir.display().to_string(), source };
        let mut sorter = (self.mapping.order == Order::EventTime).then(|| Sorter::new(&dir));
        let files = std::mem::take(&mut self.files);
        for (number, path) in files.iter().enumerate() {
            match self.read_file(number as u32, path, sorter.as_mut()) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return Ok(()),
                Err(Failure::Sort(source)) => return Err(sorting(source)),
                Err(Failure::Read(error)) => return Err(error.into()),
            }
        }
        if let Some(sorter) = sorter {
            let names: Vec<Arc<str>> = files.iter().map(|path| file_name(path)).collect();
            let door: Arc<str> = Arc::from(format!("import:{}", self.mapping.name));
            let mut emit = |key: Key, bytes: Vec<u8>| {
                self.counters.sorted.fetch_add(1, Ordering::Relaxed);
                let place = Place { file: names.get(key.file as usize).cloned(), row: Some(key.row), ..Place::default() };
                let event = Event::from_json(&bytes).map_err(|error| Refusal::of_event_error(&error, &bytes));
                let incoming = Incoming { event, origin: Origin { door: Arc::clone(&door), place, ..Origin::default() } };
                Ok(self.out.push(incoming).is_continue())
            };
            sorter.finish(&mut emit).map_err(sorting)?;
        }
        let _ = self.out.flush();
        Ok(())
    }

    fn read_file(&mut self, number: u32, path: &PathBuf, mut sorter: Option<&mut Sorter>) -> Result<ControlFlow<()>, Failure> {
        let mapping = Arc::clone(&self.mapping);
        let file = file_name(path);
        let digest = if mapping.uses_digest() {
            digest(path, &mapping, &Arc::default()).map_err(Failure::Read)?
        } else {
            String::new()
        };
        let consumed_before = self.counters.consumed.load(Ordering::Relaxed);
        let input = Input { path, digest, consumed: Arc::default() };
        let consumed = Arc::clone(&input.consumed);
        let rows_max = self.options.rows_max.unwrap_or(u64::MAX);
        let door: Arc<str> = Arc::from(format!("import:{}", mapping.name));
        let mut failed = None;
        let mut emit = |row: RowResult<'_>| {
            if row.row > rows_max {
                return ControlFlow::Break(());
            }
            self.counters.rows.fetch_add(1, Ordering::Relaxed);
            self.counters.consumed.store(consumed_before + consumed.load(Ordering::Relaxed), Ordering::Relaxed);
            let (row_number, original) = (row.row, row.original);
            for (kind, result) in row.results.drain(..).enumerate() {
                self.counters.events.fetch_add(1, Ordering::Relaxed);
                let place = |column: Option<String>| Place { file: Some(Arc::clone(&file)), row: Some(row_number), column, ..Place::default() };
                let origin = |column: Option<String>| Origin { door: Arc::clone(&door), place: place(column), ..Origin::default() };
                let incoming = match result.map(|mapped| self.event(mapped)) {
                    Ok(Ok(event)) => match &mut sorter {
                        None => Incoming { event: Ok(event), origin: origin(None) },
                        Some(sorter) => {
                            let time_us = event.time.map_or(i64::MAX, |time| time.timestamp_micros());
                            let key = Key { time_us, file: number, row: row_number, kind: kind as u32 };
                            if let Err(error) = sorter.push(key, event.to_json().into_bytes()) {
                                failed = Some(error);
                                return ControlFlow::Break(());
                            }
                            continue;
                        }
                    },
                    Ok(Err(refusal)) => refused(refusal, origin(None), original),
                    Err(problem) => refused(of_row(&problem), origin(problem.column.clone()), original),
                };
                if self.out.push(incoming).is_break() {
                    return ControlFlow::Break(());
                }
            }
            if self.out.cancel.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let read = input.read(&mapping, &mut emit);
        if let Some(error) = failed {
            return Err(Failure::Sort(error));
        }
        match read {
            Ok(ControlFlow::Break(())) if self.out.stopped() => Ok(ControlFlow::Break(())),
            // The wanted number of rows was read.
            Ok(_) => Ok(ControlFlow::Continue(())),
            // What was read of it stays: a file that was cut off in transfer is told like a wrong row, and the next follows.
            Err(ReadError::Broken { row, reason, .. }) => {
                let refusal = Refusal::new(
                    "file_broken",
                    "",
                    format!("the file cannot be read beyond row {row}: {reason}"),
                    format!("文件在第 {row} 行之后无法读取：{reason}"),
                );
                let place = Place { file: Some(file), row: Some(row + 1), ..Place::default() };
                let origin = Origin { door, place, content_type: Arc::from("text/plain"), ..Origin::default() };
                Ok(self.out.push(Incoming { event: Err(refusal), origin }))
            }
            Err(error) => Err(Failure::Read(error)),
        }
    }

    fn event(&self, mapped: MappedEvent) -> Result<Event, Refusal> {
        let full = self.types.iter().find(|(name, _)| *name == mapped.event_type);
        let event_type = full.map_or(mapped.event_type.clone(), |(_, full)| full.clone());
        let mut event = Event::new(mapped.id, mapped.source, event_type).with_json(&mapped.data);
        event.subject = mapped.subject;
        event.time = mapped.time;
        event.check().map_err(|error| Refusal::of_event_error(&error, &[]))?;
        Ok(event)
    }
}

enum Failure {
    Read(ReadError),
    Sort(std::io::Error),
}

impl Out {
    fn push(&mut self, incoming: Incoming) -> ControlFlow<()> {
        self.batch_bytes += incoming.bytes();
        self.batch.push(incoming);
        if self.batch.len() >= STEP_EVENTS_MAX || self.batch_bytes >= STEP_BYTES_MAX {
            return self.flush();
        }
        ControlFlow::Continue(())
    }

    fn flush(&mut self) -> ControlFlow<()> {
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if !batch.is_empty() && self.batches.blocking_send(batch).is_err() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn stopped(&self) -> bool {
        self.cancel.is_cancelled() || self.batches.is_closed()
    }
}

fn refused(refusal: Refusal, mut origin: Origin, original: &dyn Fn() -> Bytes) -> Incoming {
    origin.original = Some(original());
    origin.content_type = Arc::from("text/plain");
    Incoming { event: Err(refusal), origin }
}

fn of_row(problem: &RowProblem) -> Refusal {
    let column = problem.column.as_ref().map_or_else(String::new, |column| format!("column {column:?}: "));
    let column_zh = problem.column.as_ref().map_or_else(String::new, |column| format!("列 {column:?}："));
    let (reason, pointer) = (&problem.reason, problem.pointer.clone());
    Refusal::new("wrong_row", pointer, format!("{column}{reason}"), format!("{column_zh}{reason}"))
}

fn file_name(path: &std::path::Path) -> Arc<str> {
    Arc::from(path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned()))
}
