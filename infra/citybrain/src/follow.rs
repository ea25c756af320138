//! What follows the decided stream and has something to say about it: forecasts, hot issues.
//!
//! A follower folds one topic of one partition and writes what comes of it to a topic of those who follow. Its state lies in
//! `<home>/agents/<name>.json` together with the offset it stands for, written now and then and at the end. After a crash it
//! folds again from there; what it had said since is found by its source and id and is not said twice. Without the file it folds
//! the log from its beginning: nothing is in the state that the log does not have.

mod deadlines;
mod levels;
mod matters;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use bus::{Bus, Filter, Producer, Tap, TapReader};
use chrono::{DateTime, Utc};
use schemas::event::Event;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;
use tracing::info;

pub use self::deadlines::Late;
pub use self::levels::Levels;
pub use self::matters::Matters;
pub use self::volumes::Volumes;
use crate::home::write_atomically;
use crate::parts::{Parts, asked_to_stop};
use crate::progress::Progress;
use crate::rows::{Row, Rows};
use crate::scan::scan;
use crate::sequencer::send;

/// Events that are sent together.
const SEND_MAX: usize = 1_000;

/// A fold over one topic.
pub trait Fold: Serialize + DeserializeOwned + Send + 'static {
    /// What it is called: its reader, its file, the last part of its events' source.
    const NAME: &'static str;
    /// The topic that it reads: one of one partition, so that the order is that of the log.
    const READS: &'static str;
    /// The topic that it writes; what others write there has another source.
    const WRITES: &'static str;
    /// How often the state is written, when it has changed: what a crash costs is folding so much again.
    const KEEP_EVERY: Duration = Duration::from_secs(60);

    /// The state before the first record. Days end by the city's clock, so many minutes ahead of UTC.
    fn begin(utc_offset_minutes: i32) -> Self;

    /// Takes a record, and adds what is to be said. Ids follow from the records alone.
    fn take(&mut self, row: &Row<'_>, said: &mut Vec<Said>);
}

/// Something that a follower says.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// CloudEvents `type`.
    pub event_type: &'static str,
    /// The id of the event; it is put into its data, too.
    pub id: String,
    /// The partition key.
    pub key: String,
    /// When it happened, by the city's time.
    pub at: DateTime<Utc>,
    /// What is said.
    pub data: Value,
}

/// What lies on disk.
#[derive(Serialize, Deserialize)]
struct Kept<F> {
    /// The next offset of the topic that is read.
    next: i64,
    /// The offset of the topic that is written, before which everything is older than the state.
    written: i64,
    state: F,
}

/// Runs a fold.
pub struct Follower<F> {
    kept: Kept<F>,
    producer: Producer,
    file: PathBuf,
    /// Ids of what was said after the state was written.
    said: BTreeSet<String>,
    progress: Progress,
}

impl<F: Fold> Follower<F> {
    /// Finds out where the follower stands.
    ///
    /// # Errors
    /// When its file is damaged, or the bus cannot be read.
    pub async fn open(bus: &Bus, folder: &Path, utc_offset_minutes: i32, parts: &Parts) -> Result<Follower<F>> {
        std::fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))?;
        let file = folder.join(format!("{}.json", F::NAME));
        let kept: Kept<F> = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{} cannot be read: remove it, and it is made again from the log", file.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Kept { next: 0, written: 0, state: F::begin(utc_offset_minutes) },
            Err(error) => return Err(error).with_context(|| format!("could not read {}", file.display())),
        };
        let (mut said, source) = (BTreeSet::new(), source::<F>());
        scan(bus, F::WRITES, kept.written, |chunk| {
            let own = Rows::of(&chunk.rows)?;
            let own = own.iter().filter(|row| row.offset >= kept.written && row.source == Some(source.as_str()));
            said.extend(own.filter_map(|row| row.id.map(str::to_owned)));
            Ok(true)
        })
        .await
        .with_context(|| format!("could not read {}", F::WRITES))?;
        let producer = bus.producer().with_context(|| format!("could not make the producer of {}", F::WRITES))?;
        let progress = Progress::new(F::NAME);
        progress.set(BTreeMap::from([((F::READS.to_owned(), 0), kept.next)]));
        parts.track(&progress);
        info!(follower = F::NAME, next = kept.next, known = said.len(), "a follower begins");
        Ok(Follower { kept, producer, file, said, progress })
    }

    /// The reader that [`Follower::run`] wants.
    ///
    /// # Errors
    /// When the tap was stopped.
    pub fn reader(&self, tap: &Tap) -> Result<TapReader> {
        let start = BTreeMap::from([((F::READS.to_owned(), 0), self.kept.next)]);
        Ok(tap.reader(F::NAME, Filter::topics([F::READS]), start)?)
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Follows until `stop` says so.
    ///
    /// # Errors
    /// When the bus takes no event, or the state cannot be written; then it is begun again from the state on disk.
    pub async fn run(mut self, mut reader: TapReader, mut stop: watch::Receiver<bool>) -> Result<()> {
        let mut due = tokio::time::interval(F::KEEP_EVERY);
        let mut changed = false;
        loop {
            tokio::select! {
                biased;
                () = asked_to_stop(&mut stop) => break,
                _ = due.tick() => {
                    if std::mem::take(&mut changed) {
                        self.keep()?;
                    }
                }
                chunk = reader.recv() => {
                    let Some(chunk) = chunk else { break };
                    self.take(&chunk.rows).await?;
                    self.kept.next = self.kept.next.max(chunk.next_offset);
                    self.progress.advance(F::READS, 0, self.kept.next);
                    changed = true;
                }
            }
        }
        self.keep()
    }

    async fn take(&mut self, rows: &arrow::array::RecordBatch) -> Result<()> {
        let mut said = Vec::new();
        let next = self.kept.next;
        for row in Rows::of(rows)?.iter().filter(|row| row.offset >= next) {
            self.kept.state.take(&row, &mut said);
            if said.len() >= SEND_MAX {
                self.say(&mut said).await?;
            }
        }
        self.say(&mut said).await
    }

    async fn say(&mut self, said: &mut Vec<Said>) -> Result<()> {
        let now = Utc::now();
        let new = said.drain(..).filter(|said| !self.said.remove(&said.id));
        let records: Vec<_> = new.map(|said| (F::WRITES, event::<F>(said, now).to_kafka())).collect();
        if let Some(last) = send(&self.producer, &records).await.with_context(|| format!("could not produce to {}", F::WRITES))?.last() {
            self.kept.written = last.offset + 1;
        }
        Ok(())
    }

    fn keep(&self) -> Result<()> {
        write_atomically(&self.file, &serde_json::to_vec(&self.kept)?)
    }
}

/// The source of its events.
fn source<F: Fold>() -> String {
    format!("citybrain/agents/{}", F::NAME)
}

fn event<F: Fold>(mut said: Said, now: DateTime<Utc>) -> Event {
    said.data["id"] = Value::from(said.id.as_str());
    let mut event = Event::new(said.id, source::<F>(), said.event_type);
    (event.partition_key, event.time, event.recorded_time) = (Some(said.key), Some(said.at), Some(now));
    event.data_content_type = Some("application/json".to_owned());
    event.data_classification = Some("internal".to_owned());
    event.data = Some(said.data.to_string().into_bytes().into());
    event
}

/// Thousandths are what is told of a measure.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// A moment of a fold as a time.
fn time(us: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(us).unwrap_or_default()
}
