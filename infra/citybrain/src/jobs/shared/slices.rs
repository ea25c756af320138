//! What one slice of a job reads: the rows that were sent to it, as if it read the sources themselves.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::RecordBatch;
use bus::{Chunk, Member};
use tracing::debug;

use super::wire;
use crate::jobs::io::Source;
use crate::jobs::work::Piece;
use crate::progress::Positions;

/// The source of a slice.
pub struct Slices {
    source: Source,
    member: Arc<Member>,
    /// The topic of slices, and the partition of this one.
    place: (String, i32),
    keys: String,
    /// The next offset of each partition of the sources.
    seen: Positions,
    /// Records that were read: the next offset after each, and what must be done before it is done with.
    passed: VecDeque<(i64, (String, i32), i64)>,
    /// The next offset of the slice that was committed last.
    committed: i64,
}

impl Slices {
    /// Reads a slice from `next` on. `seen` is what its state knows of the sources.
    pub fn new(source: Source, member: Arc<Member>, place: (String, i32), keys: String, seen: Positions, next: i64) -> Slices {
        Slices { source, member, place, keys, seen, passed: VecDeque::new(), committed: next }
    }

    /// The next records; nothing when the tap was stopped.
    pub async fn recv(&mut self) -> Option<Arc<Chunk>> {
        self.source.recv().await
    }

    /// More records if they are there.
    pub fn try_recv(&mut self) -> Option<Arc<Chunk>> {
        self.source.try_recv()
    }

    /// What records bring that the slice has not seen.
    ///
    /// # Errors
    /// When something is missing, or was sliced in another way.
    pub fn pieces(&mut self, chunk: &Chunk) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        for record in &chunk.rejected {
            let at = || format!("record {} of {}/{}", record.offset, self.place.0, self.place.1);
            let (cover, rows) = wire::read(record).with_context(at)?;
            if cover.keys != self.keys {
                bail!("{}: rows were sliced by {}, this version slices by {}: stop all processes that share the job, then `citybrain job reset`", at(), cover.keys, self.keys);
            }
            let place = (cover.topic.clone(), cover.partition);
            let seen = self.seen.get(&place).copied();
            if seen.is_some_and(|seen| seen < cover.from) {
                bail!(
                    "{}: rows of {}/{} from {} to {} never came: the topic of slices lost them; stop all processes that share the job, then `citybrain job reset`",
                    at(), cover.topic, cover.partition, seen.unwrap_or_default(), cover.from
                );
            }
            self.passed.push_back((record.offset + 1, place.clone(), cover.next));
            if seen.is_none_or(|seen| seen < cover.next || (cover.rests && seen == cover.next)) {
                self.seen.insert(place, cover.next);
                let rows = rows.unwrap_or_else(|| RecordBatch::new_empty(pipelines::bronze_schema()));
                let chunk = pipelines::Chunk { topic: cover.topic.into(), partition: cover.partition, first_offset: cover.from, next_offset: cover.next, rows };
                pieces.push(Piece { chunk, reached_us: cover.reached_us, rests: cover.rests });
            }
        }
        Ok(pieces)
    }

    /// Commits how far the slice is done with, when the state is `done`.
    pub async fn done(&mut self, done: &Positions) {
        let covered = |place: &(String, i32), next: i64| done.get(place).is_some_and(|done| *done >= next);
        let mut next = self.committed;
        while let Some((after, _, _)) = self.passed.pop_front_if(|(_, place, needs)| covered(place, *needs)) {
            next = after;
        }
        if next > self.committed {
            self.committed = next;
            if let Err(error) = self.member.commit(Positions::from([(self.place.clone(), next)])).await {
                debug!(%error, "a position was not committed");
            }
        }
    }

    /// Records that wait.
    pub async fn behind(&self) -> i64 {
        let ends = self.source.ends().await;
        let read = self.passed.back().map_or(self.committed, |(next, _, _)| *next);
        ends.values().map(|end| (end - read).max(0)).sum()
    }

    /// Ends the reader.
    pub async fn close(self) {
        self.source.close().await;
    }
}
