//! Reads one partition of a job's sources and sends its rows on, slice by slice.
//!
//! After a crash it goes on from the position that the group has committed, and sends some rows again in the same order:
//! every reader of a slice knows what it has seen and drops them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use arrow::array::RecordBatch;
use bus::{Chunk, Member, Producer};
use futures::future::try_join_all;
use pipelines::{RunnerConfig, Splitter};
use tokio::sync::watch;
use tracing::debug;

use super::wire::{self, Cover};
use crate::jobs::io::{self, Source};
use crate::parts::asked_to_stop;
use crate::progress::Positions;

/// How long rows wait for company: each sending is a record for every slice.
const LINGER: Duration = Duration::from_millis(50);
/// Rows that are sent together at most.
const ROWS_TOGETHER: usize = 65_536;
/// How often positions are committed: what was sent since is sent again after a crash.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// The work on one partition.
pub struct Split {
    /// Cuts its rows.
    pub splitter: Splitter,
    /// Reads it.
    pub source: Source,
    /// Holds its position.
    pub member: Arc<Member>,
    /// Writes slices.
    pub producer: Producer,
    /// The topic of slices, with a partition for each.
    pub topic: String,
    /// How many there are.
    pub of: u32,
    /// The partition: its topic and number.
    pub place: (String, i32),
    /// Where it was read up to.
    pub at: i64,
    /// By what rows are sliced.
    pub keys: String,
}

/// What waits to be sent.
struct Waiting {
    from: i64,
    next: i64,
    reached_us: Option<i64>,
    parts: Vec<Vec<RecordBatch>>,
    rows: usize,
    since: Instant,
}

impl Split {
    /// Works until it is asked to stop.
    ///
    /// # Errors
    /// When rows cannot be cut or sent.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<()> {
        let worked = self.work(&mut stop).await;
        self.source.close().await;
        worked
    }

    async fn work(&mut self, stop: &mut watch::Receiver<bool>) -> Result<()> {
        let mut waiting: Option<Waiting> = None;
        let mut sent: Option<i64> = None;
        let mut committed = Instant::now();
        let mut heard = Instant::now();
        let rests_after = RunnerConfig::default().idle_after;
        loop {
            let due = waiting.as_ref().map(|waiting| waiting.since + LINGER);
            let idle = if sent.is_some() { committed + COMMIT_EVERY } else { heard + rests_after };
            let stopped = tokio::select! {
                biased;
                () = asked_to_stop(stop) => true,
                () = tokio::time::sleep_until(due.unwrap_or(idle).into()) => false,
                chunk = self.source.recv() => match chunk {
                    Some(chunk) => {
                        heard = Instant::now();
                        self.take(&chunk, &mut waiting).await?;
                        false
                    }
                    None => true,
                },
            };
            let full = waiting.as_ref().is_some_and(|waiting| stopped || waiting.rows >= ROWS_TOGETHER || waiting.since.elapsed() >= LINGER);
            if full && let Some(waiting) = waiting.take() {
                sent = Some(waiting.next);
                self.send(waiting).await?;
            }
            if !stopped && heard.elapsed() >= rests_after && waiting.is_none() {
                heard = Instant::now();
                self.say_that_it_rests().await?;
            }
            if stopped || committed.elapsed() >= COMMIT_EVERY {
                committed = Instant::now();
                if let Some(next) = sent.take() {
                    self.commit(next).await;
                }
            }
            if stopped {
                return Ok(());
            }
        }
    }

    async fn take(&mut self, chunk: &Chunk, waiting: &mut Option<Waiting>) -> Result<()> {
        let Some(chunk) = io::chunk(chunk, None) else { return Ok(()) };
        let (from, next, rows) = (chunk.first_offset, chunk.next_offset, chunk.rows.num_rows());
        let split = self.splitter.split(chunk, chrono::Utc::now()).await?;
        let waiting = waiting.get_or_insert_with(|| Waiting {
            from,
            next,
            reached_us: None,
            parts: vec![Vec::new(); split.parts.len()],
            rows: 0,
            since: Instant::now(),
        });
        waiting.next = next;
        self.at = next;
        waiting.reached_us = waiting.reached_us.max(split.reached_us);
        waiting.rows += rows;
        for (part, rows) in waiting.parts.iter_mut().zip(split.parts) {
            part.push(rows);
        }
        Ok(())
    }

    /// Sends to each slice what is for it. All of them hear how far the partition was read.
    async fn send(&self, waiting: Waiting) -> Result<()> {
        let cover = Cover { reached_us: waiting.reached_us, ..self.cover(waiting.from, waiting.next) };
        let mut records = Vec::with_capacity(waiting.parts.len());
        for (slice, rows) in (0_i32..).zip(&waiting.parts) {
            records.extend(wire::records(&cover, rows)?.into_iter().map(|record| (slice, record)));
        }
        try_join_all(records.iter().map(|(slice, record)| self.producer.send_to(&self.topic, *slice, record))).await?;
        Ok(())
    }

    /// Tells all slices that nothing has come for a while. It is told again and again: a slice forgets it when it moves to
    /// another process.
    async fn say_that_it_rests(&self) -> Result<()> {
        if !self.source.is_reachable().await {
            return Ok(());
        }
        let cover = Cover { rests: true, ..self.cover(self.at, self.at) };
        let mut records = Vec::new();
        for slice in 0..i32::try_from(self.of)? {
            records.extend(wire::records(&cover, &[])?.into_iter().map(|record| (slice, record)));
        }
        try_join_all(records.iter().map(|(slice, record)| self.producer.send_to(&self.topic, *slice, record))).await?;
        Ok(())
    }

    fn cover(&self, from: i64, next: i64) -> Cover {
        Cover { topic: self.place.0.clone(), partition: self.place.1, from, next, reached_us: None, rests: false, keys: self.keys.clone() }
    }

    /// A position that is not committed costs a repetition, nothing more.
    async fn commit(&self, next: i64) {
        let positions = Positions::from([(self.place.clone(), next)]);
        if let Err(error) = self.member.commit(positions).await {
            debug!(%error, "a position was not committed");
        }
    }
}
