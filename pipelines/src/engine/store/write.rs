//! Chunks on their way to the end of the log.

use super::frame::Kind;
use super::log::Place;
use super::{ChunkId, Entry, Store, StoreError};

impl Store {
    /// Writes a chunk that is in memory only.
    pub(super) fn write(&mut self, id: ChunkId) -> Result<(), StoreError> {
        let Entry { tag, schema, .. } = self.chunks[&id];
        self.begin_chunk(schema)?;
        let Store { log, codecs, cache, .. } = self;
        let codec = codecs.get_mut(&schema).expect("a schema has a codec from the beginning on");
        let rows = cache.peek(id).expect("what is not on disk is in memory");
        let job = log.job.clone();
        let place = log.append((Kind::Chunk, id.0), |buffer| {
            codec.write(buffer, tag, schema, rows).map_err(|source| StoreError::Rows { job, step: tag.step, source })
        })?;
        self.unwritten.remove(&id);
        self.lies_at(id, place);
        Ok(())
    }

    /// Prepares the last segment for a chunk of this schema.
    pub(super) fn begin_chunk(&mut self, schema: u32) -> Result<(), StoreError> {
        self.log.roll()?;
        let last = self.log.last();
        if self.log.segment(last).schemas.contains_key(&schema) {
            return Ok(());
        }
        let (codec, job) = (&self.codecs[&schema], self.log.job.clone());
        let place = self.log.append((Kind::Schema, u64::from(schema)), |buffer| {
            codec.write_schema(buffer).map_err(|source| StoreError::Rows { job, step: 0, source })
        })?;
        self.log.segment(last).schemas.insert(schema, place.offset);
        Ok(())
    }

    /// Notes where a chunk has been written to.
    pub(super) fn lies_at(&mut self, id: ChunkId, place: Place) {
        let entry = self.chunks.get_mut(&id).expect("only live chunks are written");
        if let Some(before) = entry.place.replace(place) {
            self.log.segment(before.segment).chunks.remove(&id);
        }
        self.live_bytes = self.live_bytes - entry.bytes + place.bytes;
        entry.bytes = place.bytes;
        self.log.segment(place.segment).chunks.insert(id);
    }
}
