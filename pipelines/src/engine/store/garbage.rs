//! Room for new segments: the live chunks of the first ones are moved behind all others.

use super::frame::{HEAD, Kind};
use super::{ChunkId, Store, StoreError};

/// What a commit may move for each byte that was written since the last one. At one the files could grow to three times
/// what is live, when all garbage lies behind it all; at two it is two and a half times.
const MOVED_PER_WRITTEN: u64 = 2;

impl Store {
    /// Moves chunks as far as it pays, and gives the first segment that still holds something.
    pub(super) fn collect(&mut self) -> Result<u64, StoreError> {
        let mut budget = self.limits.move_bytes.max(MOVED_PER_WRITTEN * self.written_since_commit());
        loop {
            let first = self.first_in_use();
            let Some(id) = self.chunk_to_move(first) else { return Ok(first) };
            // At least one chunk goes, however large, so that the end is reached.
            let bytes = self.move_behind(id)?;
            budget = budget.saturating_sub(bytes);
            if budget == 0 {
                return Ok(self.first_in_use());
            }
        }
    }

    /// The first segment that holds live chunks, or else the last of all.
    fn first_in_use(&self) -> u64 {
        let in_use = self.log.segments.iter().find(|(_, segment)| !segment.chunks.is_empty());
        in_use.map_or(self.log.last(), |(number, _)| *number)
    }

    /// A chunk of the first segment, if there is too much garbage.
    fn chunk_to_move(&self, first: u64) -> Option<ChunkId> {
        let kept: u64 = self.log.segments.range(first..).map(|(_, segment)| segment.bytes).sum();
        let is_too_much = kept > 2 * self.live_bytes + self.limits.segment_bytes;
        let segment = &self.log.segments[&first];
        (is_too_much && first < self.log.last()).then(|| segment.chunks.first().copied())?
    }

    /// Writes a chunk again at the end of the log, byte for byte. What lies where it was is garbage after the next commit.
    fn move_behind(&mut self, id: ChunkId) -> Result<u64, StoreError> {
        let entry = self.chunks[&id];
        let place = entry.place.expect("a chunk that a segment holds has a place");
        let frame = self.log.read(place)?;
        self.begin_chunk(entry.schema)?;
        let place = self.log.append_payload((Kind::Chunk, id.0), &[&frame[HEAD..]])?;
        self.lies_at(id, place);
        Ok(place.bytes)
    }
}
