//! The chunks that are in memory, and which of them go first when there is too little of it.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;

use super::ChunkId;

#[derive(Debug, Default)]
pub(super) struct Cache {
    held: BTreeMap<ChunkId, Held>,
    /// Those that were used since the last commit, by their key.
    hot: BTreeSet<(i64, ChunkId)>,
    /// The others.
    cold: BTreeSet<(i64, ChunkId)>,
    bytes: usize,
}

#[derive(Debug)]
struct Held {
    key: i64,
    rows: RecordBatch,
    bytes: usize,
}

impl Cache {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn insert(&mut self, id: ChunkId, key: i64, rows: RecordBatch, bytes: usize) {
        self.hot.insert((key, id));
        self.bytes += bytes;
        let before = self.held.insert(id, Held { key, rows, bytes });
        assert!(before.is_none(), "a chunk comes into memory once");
    }

    /// The rows of a chunk, which counts as used by that.
    pub(super) fn get(&mut self, id: ChunkId) -> Option<&RecordBatch> {
        let held = self.held.get(&id)?;
        if self.cold.remove(&(held.key, id)) {
            self.hot.insert((held.key, id));
        }
        Some(&held.rows)
    }

    /// The rows of a chunk, without that it counts as used.
    pub(super) fn peek(&self, id: ChunkId) -> Option<&RecordBatch> {
        self.held.get(&id).map(|held| &held.rows)
    }

    pub(super) fn remove(&mut self, id: ChunkId) {
        if let Some(held) = self.held.remove(&id) {
            self.bytes -= held.bytes;
            self.hot.remove(&(held.key, id));
            self.cold.remove(&(held.key, id));
        }
    }

    /// The chunk to give up first. Windows close in the order of their keys, so the largest key is needed last.
    pub(super) fn coldest(&self) -> Option<ChunkId> {
        self.cold.last().or_else(|| self.hot.last()).map(|(_, id)| *id)
    }

    /// Lets every chunk count as unused.
    pub(super) fn settle(&mut self) {
        self.cold.extend(std::mem::take(&mut self.hot));
    }
}
