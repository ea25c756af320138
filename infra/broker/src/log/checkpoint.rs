//! What a partition writes down now and then, so that a start reads only what came after.

use std::io::{self, Write};
use std::path::Path;

use crate::log::segment::SegmentId;
use crate::producer_state::{ProducerTable, take};

const MAGIC: u32 = 0x4342_4350;
const FILE: &str = "checkpoint";

/// The state of a partition at a moment at which everything before it was on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// First offset that consumers may read.
    pub log_start: i64,
    /// The segment that was written to.
    pub segment: SegmentId,
    /// Its size.
    pub position: u64,
    /// The next offset.
    pub end: i64,
    /// The producers.
    pub producers: ProducerTable,
}

impl Checkpoint {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC.to_be_bytes());
        out.extend_from_slice(&self.log_start.to_be_bytes());
        out.extend_from_slice(&self.segment.base.to_be_bytes());
        out.extend_from_slice(&self.segment.generation.to_be_bytes());
        out.extend_from_slice(&self.segment.end.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
        out.extend_from_slice(&self.end.to_be_bytes());
        self.producers.encode(&mut out);
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(body) != u32::from_be_bytes(*crc) {
            return None;
        }
        let mut b = body;
        if u32::from_be_bytes(take(&mut b)?) != MAGIC {
            return None;
        }
        Some(Self {
            log_start: i64::from_be_bytes(take(&mut b)?),
            segment: SegmentId {
                base: i64::from_be_bytes(take(&mut b)?),
                generation: u32::from_be_bytes(take(&mut b)?),
                end: i64::from_be_bytes(take(&mut b)?),
            },
            position: u64::from_be_bytes(take(&mut b)?),
            end: i64::from_be_bytes(take(&mut b)?),
            producers: ProducerTable::decode(&mut b)?,
        })
    }

    /// Replaces the checkpoint of a partition.
    pub fn write(&self, dir: &Path, durable: bool) -> io::Result<()> {
        replace_file(&dir.join(FILE), &self.encode(), durable)
    }

    /// The checkpoint of a partition; none when there is none or it is damaged, and then everything is read.
    pub fn read(dir: &Path) -> Option<Self> {
        Self::decode(&std::fs::read(dir.join(FILE)).ok()?)
    }
}

/// Writes a file so that after a crash there is either the old or the new one. Without `durable` a power cut may bring
/// back the old one, or none: for files with a checksum that can be rebuilt.
pub fn replace_file(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(bytes)?;
    if durable {
        file.sync_data()?;
    }
    std::fs::rename(&new, path)?;
    match (durable, path.parent()) {
        (true, Some(folder)) => sync_folder(folder),
        (_, _) => Ok(()),
    }
}

/// Makes the names in a folder durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_and_notices_damage() {
        let c = Checkpoint {
            log_start: 3,
            segment: SegmentId { base: 5, generation: 1, end: 9 },
            position: 99,
            end: 12,
            producers: ProducerTable::default(),
        };
        let bytes = c.encode();
        assert_eq!(Checkpoint::decode(&bytes), Some(c));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 4;
            assert_eq!(Checkpoint::decode(&bad), None);
        }
    }
}
