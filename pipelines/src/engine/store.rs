//! Shim until the log-structured store is in.
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use crate::chunk::slice_bytes;
use crate::engine::frame::{self, Frame};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChunkId(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tag {
    pub(crate) step: u32,
    pub(crate) key: i64,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct StoreError(pub(crate) String);

#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    next: u64,
    chunks: BTreeMap<ChunkId, (Tag, RecordBatch)>,
}

pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) header: Option<Vec<u8>>,
    pub(crate) plan: Option<Vec<u8>>,
    pub(crate) chunks: Vec<(ChunkId, Tag, usize)>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct StoreLimits {
    pub(crate) memory_bytes: usize,
    pub(crate) disk_bytes: u64,
}

impl Store {
    pub(crate) fn open(folder: &Path, _job: &str, _limits: StoreLimits) -> Result<Opened, StoreError> {
        let err = |e: &dyn std::fmt::Display| StoreError(e.to_string());
        let mut store = Store { folder: folder.to_owned(), next: 0, chunks: BTreeMap::new() };
        let mut header = None;
        if let Ok(bytes) = std::fs::read(folder.join("state")) {
            let Frame::Whole(head, mut rest) = frame::read(&bytes) else { return Err(StoreError("damaged".into())) };
            header = Some(head.to_vec());
            while let Frame::Whole(payload, after) = frame::read(rest) {
                let step = u32::from_le_bytes(payload[..4].try_into().unwrap());
                let key = i64::from_le_bytes(payload[4..12].try_into().unwrap());
                for rows in StreamReader::try_new(Cursor::new(&payload[12..]), None).map_err(|e| err(&e))? {
                    store.put(Tag { step, key }, rows.map_err(|e| err(&e))?)?;
                }
                rest = after;
            }
        }
        let plan = std::fs::read(folder.join("plan")).ok().and_then(|bytes| match frame::read(&bytes) {
            Frame::Whole(plan, _) => Some(plan.to_vec()),
            _ => None,
        });
        let chunks = store.chunks();
        Ok(Opened { store, header, plan, chunks })
    }
    pub(crate) fn chunks(&self) -> Vec<(ChunkId, Tag, usize)> {
        self.chunks.iter().map(|(id, (tag, rows))| (*id, *tag, rows.num_rows())).collect()
    }
    pub(crate) fn put(&mut self, tag: Tag, rows: RecordBatch) -> Result<ChunkId, StoreError> {
        self.next += 1;
        self.chunks.insert(ChunkId(self.next), (tag, rows));
        Ok(ChunkId(self.next))
    }
    pub(crate) fn get(&self, id: ChunkId) -> Result<RecordBatch, StoreError> {
        Ok(self.chunks[&id].1.clone())
    }
    pub(crate) fn drop(&mut self, id: ChunkId) {
        self.chunks.remove(&id);
    }
    pub(crate) fn write_plan(&mut self, plan: &[u8]) -> Result<(), StoreError> {
        frame::replace(&self.folder.join("plan"), &frame::write(plan)).map_err(|e| StoreError(e.to_string()))
    }
    pub(crate) fn commit(&mut self, header: &[u8]) -> Result<(), StoreError> {
        let mut bytes = frame::write(header);
        for (tag, rows) in self.chunks.values() {
            let mut payload = tag.step.to_le_bytes().to_vec();
            payload.extend(tag.key.to_le_bytes());
            let mut writer = StreamWriter::try_new(payload, &rows.schema()).map_err(|e| StoreError(e.to_string()))?;
            writer.write(rows).and_then(|()| writer.finish()).map_err(|e| StoreError(e.to_string()))?;
            bytes.extend(frame::write(&writer.into_inner().map_err(|e| StoreError(e.to_string()))?));
        }
        frame::replace(&self.folder.join("state"), &bytes).map_err(|e| StoreError(e.to_string()))
    }
    pub(crate) fn memory_bytes(&self) -> usize {
        self.chunks.values().map(|(_, rows)| slice_bytes(rows)).sum()
    }
    pub(crate) fn live_bytes(&self) -> u64 {
        self.memory_bytes() as u64
    }
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.memory_bytes() as u64
    }
    pub(crate) fn clear(folder: &Path) -> std::io::Result<()> {
        for name in ["state", "plan"] {
            match std::fs::remove_file(folder.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}
