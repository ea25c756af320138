//! Every topic into the lake: chunks of the tap to bronze and silver, positions with the data.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bus::{Chunk, DedupIndex, TapReader};
use lakehouse::{Lake, Lander};
use schemas::Registry;
use tokio::sync::watch;
use tracing::warn;

use crate::parts::asked_to_stop;
use crate::progress::{Positions, Progress};
use crate::refused::RefusedLog;
use crate::topics;

/// How long a landing that failed waits before it tries again; the disk may have room by then.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What landing needs beside the lander and its reader.
pub struct Landing {
    /// Turns chunks into rows of tables.
    pub lander: Lander,
    /// The index against duplicates; folded here, before the rows are landed that depend on it.
    pub seen: DedupIndex,
    /// Keeps what is found to be wrong.
    pub refused: RefusedLog,
    /// How far the tables are.
    pub progress: Progress,
    /// How far the index is.
    pub folded: Progress,
    /// Longest time between two commits.
    pub interval: Duration,
    /// Event types, when they change.
    pub types: watch::Receiver<Arc<Registry>>,
}

impl Landing {
    /// Lands chunks until `stop` says so, then flushes.
    ///
    /// # Errors
    /// What trying again cannot repair.
    pub async fn run(mut self, mut reader: TapReader, mut stop: watch::Receiver<bool>) -> Result<()> {
        let mut tick = tokio::time::interval(self.interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = asked_to_stop(&mut stop) => break,
                Ok(()) = self.types.changed() => {
                    let registry = self.types.borrow_and_update().clone();
                    self.lander.set_registry(registry);
                }
                _ = tick.tick() => self.flush().await?,
                chunk = reader.recv() => {
                    let Some(chunk) = chunk else { break };
                    self.take(&chunk).await?;
                    if self.lander.is_due() {
                        self.flush().await?;
                    }
                }
            }
        }
        self.flush().await
    }

    async fn take(&mut self, chunk: &Chunk) -> Result<()> {
        let mut firsts = None;
        if topics::is_raw(&chunk.topic) {
            firsts = Some(self.seen.observe(chunk).context("could not fold into the index against duplicates")?);
            self.folded.advance(&chunk.topic, chunk.partition, chunk.next_offset);
        }
        for rejected in &chunk.rejected {
            self.refused.not_an_event(chunk, rejected).await?;
        }
        self.lander.push(chunk.rows.clone(), &chunk.topic, chunk.partition, chunk.next_offset, firsts.as_ref()).await.context("could not land")
    }

    /// Commits what waits. A lake that cannot be written is tried again for ever: the tap holds the chunks back meanwhile.
    async fn flush(&mut self) -> Result<()> {
        for row in self.lander.take_rejected() {
            self.refused.not_of_its_type(&row).await?;
        }
        // Which position is the first of an event must be known for good before a row rests on it.
        self.seen.sync().context("could not write the index against duplicates")?;
        loop {
            match self.lander.flush().await {
                Ok(_) => {
                    self.progress.set(self.lander.positions());
                    return Ok(());
                }
                Err(error) if error.is_transient() => {
                    warn!(%error, "could not write the lake; is the disk full? trying again");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
                Err(error) => return Err(error).context("could not write the lake"),
            }
        }
    }
}

/// Where landing has to begin to read: the tables' positions, or the index's where that is behind.
///
/// # Errors
/// When a table cannot be read.
pub async fn positions(lander: &mut Lander, seen: &DedupIndex, partitions: &BTreeMap<String, i32>) -> Result<Positions> {
    let folded = seen.positions();
    let mut start = Positions::new();
    for (topic, count) in partitions {
        for partition in 0..*count {
            let landed = lander.position(topic, partition).await.with_context(|| format!("could not read how far {topic} is in the lake"))?;
            let key = (topic.clone(), partition);
            let from = if topics::is_raw(topic) { landed.min(folded.get(&key).copied().unwrap_or(0)) } else { landed };
            start.insert(key, from);
        }
    }
    Ok(start)
}

/// Upkeep of all tables, and a note of how fresh they are, again and again.
pub async fn keep_in_shape(lake: Lake, every: Duration, mut stop: watch::Receiver<bool>) -> Result<()> {
    loop {
        tokio::select! {
            biased;
            () = asked_to_stop(&mut stop) => return Ok(()),
            _ = tokio::time::sleep(every) => {
                if let Err(error) = lake.maintain().await {
                    warn!(%error, "upkeep of the lake failed; it is tried again later");
                }
                if let Err(error) = lake.note_freshness(chrono::Utc::now()).await {
                    warn!(%error, "could not note how fresh the tables are; it is tried again later");
                }
            }
        }
    }
}
