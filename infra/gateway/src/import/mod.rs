//! File import: real files in, through small mapping files.
//!
//! A thread reads rows and makes events of them ([`read`], [`mapping`]), sorts them by event time when the mapping asks
//! for it ([`sort`]), and hands them over in batches; the rest gives them to a [`Sink`] and waits until all is durable.
//! Ids come from the rows' own keys, or from the file's digest and the row number, so that importing twice doubles
//! nothing.

pub mod cell;
pub mod mapping;
pub mod pace;
mod produce;
pub mod read;
pub mod sink;
pub mod sort;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tokio::sync::{mpsc, watch};

use crate::ports::Types;
use crate::refusal::{Incoming, Place, Refusal};
use mapping::Mapping;
use pace::Pace;
use produce::{Counters, Producer};
use sink::{Sink, SinkError};

/// Batches that wait between the reading thread and the sink.
const BATCHES_WAITING_MAX: usize = 8;

/// How long a cancelled import waits for what is already on its way.
const CANCEL_GRACE: Duration = Duration::from_secs(10);

/// Says "stop" to an import, from anywhere, once.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<watch::Sender<bool>>);

impl Default for Cancel {
    fn default() -> Cancel {
        Cancel(Arc::new(watch::Sender::new(false)))
    }
}

impl Cancel {
    /// Stops it.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was stopped.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when it is stopped.
    pub async fn cancelled(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|stopped| *stopped).await;
    }
}

/// How to import.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Event time runs at most this many times faster than it happened.
    pub speed: Option<f64>,
    /// Draw progress bars, if standard error is a terminal.
    pub progress: bool,
    /// Words on the bars in Chinese.
    pub chinese: bool,
    /// Where sorted runs are put.
    pub work_dir: PathBuf,
    /// Rows of each file, at most; for trying a mapping out.
    pub rows_max: Option<u64>,
    /// Stops it.
    pub cancel: Cancel,
}

impl Default for ImportOptions {
    fn default() -> ImportOptions {
        ImportOptions {
            speed: None,
            progress: false,
            chinese: false,
            work_dir: std::env::temp_dir(),
            rows_max: None,
            cancel: Cancel::default(),
        }
    }
}

/// Why an import did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] read::ReadError),
    /// The mapping makes events of a type that is not registered.
    #[error("mapping {mapping} makes events of type {event_type:?}, which is not registered")]
    UnknownType {
        /// The mapping.
        mapping: String,
        /// The type.
        event_type: String,
    },
    /// Sorted runs cannot be written or read.
    #[error("could not sort by event time in {dir}")]
    Sort {
        /// Where.
        dir: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The events cannot be handed over.
    #[error("could not hand the events over; import again when it works, nothing is doubled")]
    Sink(#[from] SinkError),
    /// The reading thread broke.
    #[error("the reader of the files broke: {0}")]
    Broken(String),
    /// The speed is none.
    #[error("speed {0} is not above 0")]
    Speed(f64),
}

/// What an import did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ImportReport {
    /// The mapping.
    pub mapping: String,
    /// Rows read.
    pub read: u64,
    /// Events that the rows gave; a row may give several, or none.
    pub events: u64,
    /// Events that the bus took.
    pub accepted: u64,
    /// Events that the bus had already.
    pub duplicate: u64,
    /// Rows and events that were refused; all are in `dlq`.
    pub refused: u64,
    /// The first of them.
    pub refused_listed: Vec<RefusedRow>,
    /// Whether it was stopped before the end.
    pub cancelled: bool,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// One refused row.
#[derive(Debug, Clone, Serialize)]
pub struct RefusedRow {
    /// File, row and column.
    #[serde(flatten)]
    pub place: Place,
    /// Why.
    #[serde(flatten)]
    pub refusal: Refusal,
}

/// An import.
pub struct Importer<S> {
    mapping: Arc<Mapping>,
    types: Arc<Types>,
    sink: S,
    options: ImportOptions,
}

impl<S: Sink> Importer<S> {
    /// An import through `mapping` into `sink`.
    pub fn new(mapping: Mapping, types: Arc<Types>, sink: S, options: ImportOptions) -> Importer<S> {
        Importer { mapping: Arc::new(mapping), types, sink, options }
    }

    /// Imports the files, in their order or by event time over all of them, and waits until everything is durable.
    pub async fn run(mut self, files: &[PathBuf]) -> Result<ImportReport, ImportError> {
        let started = Instant::now();
        let pace = self.options.speed.map(Pace::new).transpose()?;
        let (batches, receiver) = mpsc::channel(BATCHES_WAITING_MAX);
        let producer = Producer::new(&self.mapping, &self.types, files, &self.options, batches)?;
        let counters = producer.counters();
        let reading = tokio::task::spawn_blocking(move || producer.run());
        let bar = self.bar(&counters);
        let handed_over = self.hand_over(receiver, pace, &counters, &bar).await;
        let read = reading.await.map_err(|error| ImportError::Broken(error.to_string()))?;
        bar.finish_and_clear();
        handed_over?;
        read?;
        let tally = self.sink.tally();
        Ok(ImportReport {
            mapping: self.mapping.name.clone(),
            read: counters.rows.load(Ordering::Relaxed),
            events: counters.events.load(Ordering::Relaxed),
            accepted: tally.accepted,
            duplicate: tally.duplicate,
            refused: tally.refused,
            refused_listed: tally
                .listed
                .iter()
                .map(|(place, refusal)| RefusedRow { place: place.clone(), refusal: refusal.clone() })
                .collect(),
            cancelled: self.options.cancel.is_cancelled(),
            elapsed_ms: started.elapsed().as_millis() as u64,
        })
    }

    async fn hand_over(
        &mut self,
        mut batches: mpsc::Receiver<Vec<Incoming>>,
        mut pace: Option<Pace>,
        counters: &Counters,
        bar: &ProgressBar,
    ) -> Result<(), ImportError> {
        let cancel = self.options.cancel.clone();
        loop {
            let batch = tokio::select! {
                () = cancel.cancelled() => break,
                batch = batches.recv() => batch,
            };
            let Some(batch) = batch else { break };
            let put = async {
                match &mut pace {
                    None => self.sink.put(batch).await,
                    Some(pace) => pace.put(batch, &mut self.sink).await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => break,
                done = put => done?,
            }
            self.draw(bar, counters);
        }
        // Dropped before the wait, so that the reading thread stops too.
        drop(batches);
        if cancel.is_cancelled() {
            return match tokio::time::timeout(CANCEL_GRACE, self.sink.finish()).await {
                Ok(finished) => Ok(finished?),
                Err(_) => Err(ImportError::Sink(SinkError("stopped while the bus did not answer".to_owned()))),
            };
        }
        Ok(self.sink.finish().await?)
    }

    fn bar(&self, counters: &Counters) -> ProgressBar {
        let target = if self.options.progress { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(counters.bytes_total.max(1)), target);
        let style = ProgressStyle::with_template("{prefix} [{bar:32}] {percent:>3}% {eta:>4} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_prefix(if self.options.chinese { self.mapping.title_zh.clone() } else { self.mapping.title_en.clone() });
        bar
    }

    fn draw(&self, bar: &ProgressBar, counters: &Counters) {
        if bar.is_hidden() {
            return;
        }
        let tally = self.sink.tally();
        let (rows, sorted) = (counters.rows.load(Ordering::Relaxed), counters.sorted.load(Ordering::Relaxed));
        bar.set_position(counters.consumed.load(Ordering::Relaxed).min(counters.bytes_total));
        bar.set_message(match (self.options.chinese, sorted) {
            (true, 0) => format!("读取 {rows} 行，接收 {}，重复 {}，拒收 {}", tally.accepted, tally.duplicate, tally.refused),
            (true, _) => format!("已按时间排序 {sorted}，接收 {}，重复 {}，拒收 {}", tally.accepted, tally.duplicate, tally.refused),
            (false, 0) => format!("{rows} rows, {} accepted, {} duplicate, {} refused", tally.accepted, tally.duplicate, tally.refused),
            (false, _) => format!("{sorted} sorted, {} accepted, {} duplicate, {} refused", tally.accepted, tally.duplicate, tally.refused),
        });
    }
}
