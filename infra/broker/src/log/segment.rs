//! One segment: a file of record batches, and a sparse index that can always be rebuilt from it.
//!
//! `<first offset>.log` holds the batches as they are sent to consumers. A segment written by compaction carries its
//! generation and where it ends in its name (`<first offset>.<generation>-<end>.log`), so that a reader never mixes up
//! old and new places, and a start knows which segments it replaces.
//! `….index` is written when a segment is closed: largest timestamp, then places.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::batch::{self, BatchHeader, HEADER_BYTES};
use crate::limits::INDEX_INTERVAL_BYTES;
use crate::producer_state::take;

const INDEX_MAGIC: u32 = 0x4342_4958;

/// Which segment, as its file name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// Offset at which it begins.
    pub base: i64,
    /// How often compaction has rewritten it.
    pub generation: u32,
    /// For a rewritten one: the offset after the segments it replaces. Otherwise 0.
    pub end: i64,
}

impl SegmentId {
    /// Its data file.
    pub fn log_path(&self, dir: &Path) -> PathBuf {
        match self.generation {
            0 => dir.join(format!("{:020}.log", self.base)),
            g => dir.join(format!("{:020}.{g}-{:020}.log", self.base, self.end)),
        }
    }

    /// Its index file.
    pub fn index_path(&self, dir: &Path) -> PathBuf {
        self.log_path(dir).with_extension("index")
    }

    /// The segment of a data file's name.
    pub fn from_log_name(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".log")?;
        let (base, generation, end) = match stem.split_once('.') {
            Some((base, rewritten)) => {
                let (generation, end) = rewritten.split_once('-')?;
                (base, generation.parse().ok()?, end.parse().ok()?)
            }
            None => (stem, 0, 0),
        };
        (base.len() == 20).then(|| base.parse().ok().map(|base| Self { base, generation, end })).flatten()
    }
}

/// A place in a segment: the batch at `position` begins at `offset`; all batches before it are not newer than `time_before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// First offset of the batch.
    pub offset: i64,
    /// Where it begins in the file.
    pub position: u64,
    /// Largest timestamp of the batches before it in this segment.
    pub time_before: i64,
}

/// A segment as the partition knows it.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Which.
    pub id: SegmentId,
    /// Valid bytes.
    pub size: u64,
    /// Largest timestamp, or -1.
    pub max_timestamp: i64,
    /// Sparse index; none when it was not read yet.
    pub places: Option<Vec<Place>>,
}

impl Segment {
    /// An empty one.
    pub fn new(base: i64) -> Self {
        Self { id: SegmentId { base, generation: 0, end: 0 }, size: 0, max_timestamp: -1, places: Some(Vec::new()) }
    }

    /// Notes a batch written at the end.
    pub fn grow(&mut self, header: &BatchHeader) {
        if let Some(places) = &mut self.places {
            let due = places.last().map_or(0, |p| p.position + INDEX_INTERVAL_BYTES);
            if self.size >= due {
                places.push(Place { offset: header.base_offset, position: self.size, time_before: self.max_timestamp });
            }
        }
        self.size += header.size as u64;
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
    }

    /// Where to begin looking for an offset.
    pub fn position_before(&self, offset: i64) -> u64 {
        let places = self.places.as_deref().unwrap_or_default();
        let after = places.partition_point(|p| p.offset <= offset);
        after.checked_sub(1).map_or(0, |i| places[i].position)
    }

    /// Where to begin looking for the first batch that reaches a timestamp.
    pub fn position_before_time(&self, timestamp: i64) -> u64 {
        let places = self.places.as_deref().unwrap_or_default();
        let after = places.partition_point(|p| p.time_before < timestamp);
        after.checked_sub(1).map_or(0, |i| places[i].position)
    }
}

/// The index of a closed segment as bytes.
pub fn encode_index(segment: &Segment) -> Vec<u8> {
    let places = segment.places.as_deref().unwrap_or_default();
    let mut body = Vec::with_capacity(24 * places.len());
    for p in places {
        body.extend_from_slice(&p.offset.to_be_bytes());
        body.extend_from_slice(&p.position.to_be_bytes());
        body.extend_from_slice(&p.time_before.to_be_bytes());
    }
    let mut out = Vec::with_capacity(32 + body.len());
    out.extend_from_slice(&INDEX_MAGIC.to_be_bytes());
    out.extend_from_slice(&segment.size.to_be_bytes());
    out.extend_from_slice(&segment.max_timestamp.to_be_bytes());
    out.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
    let head_crc = crc32c::crc32c(&out);
    out.extend_from_slice(&head_crc.to_be_bytes());
    out.extend_from_slice(&body);
    out
}

/// What an index file's head tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexHead {
    /// Size of the segment it describes.
    pub size: u64,
    /// Its largest timestamp.
    pub max_timestamp: i64,
    body_crc: u32,
}

const INDEX_HEAD_BYTES: usize = 28;

/// Reads only the head of an index.
pub fn read_index_head(path: &Path) -> Option<IndexHead> {
    let mut head = [0; INDEX_HEAD_BYTES];
    File::open(path).ok()?.read_exact_at(&mut head, 0).ok()?;
    decode_index_head(&head)
}

fn decode_index_head(head: &[u8]) -> Option<IndexHead> {
    let mut rest = head;
    let magic = u32::from_be_bytes(take(&mut rest)?);
    let size = u64::from_be_bytes(take(&mut rest)?);
    let max_timestamp = i64::from_be_bytes(take(&mut rest)?);
    let body_crc = u32::from_be_bytes(take(&mut rest)?);
    let head_crc = u32::from_be_bytes(take(&mut rest)?);
    let good = magic == INDEX_MAGIC && head_crc == crc32c::crc32c(&head[..INDEX_HEAD_BYTES - 4]);
    good.then_some(IndexHead { size, max_timestamp, body_crc })
}

/// Reads a whole index; none when it is damaged.
pub fn decode_index(bytes: &[u8]) -> Option<(IndexHead, Vec<Place>)> {
    let (head, mut body) = bytes.split_at_checked(INDEX_HEAD_BYTES)?;
    let head = decode_index_head(head)?;
    if crc32c::crc32c(body) != head.body_crc {
        return None;
    }
    let mut places = Vec::with_capacity(body.len() / 24);
    while !body.is_empty() {
        places.push(Place {
            offset: i64::from_be_bytes(take(&mut body)?),
            position: u64::from_be_bytes(take(&mut body)?),
            time_before: i64::from_be_bytes(take(&mut body)?),
        });
    }
    Some((head, places))
}

/// Walks over the batches of a file from a position on, up to the first that is not whole. With `verify` the checksum
/// is part of being whole. Answers where it stopped.
pub fn scan(
    file: &File,
    from: u64,
    to: u64,
    verify: bool,
    mut each: impl FnMut(u64, &BatchHeader, &[u8]) -> Walk,
) -> io::Result<u64> {
    const CHUNK: usize = 1024 * 1024;
    let mut position = from;
    let mut buffer = Vec::new();
    let mut buffer_at = from;
    while position < to {
        let fill = |buffer: &mut Vec<u8>, at: u64, want: usize| -> io::Result<()> {
            let want = want.min(usize::try_from(to - at).unwrap_or(usize::MAX));
            buffer.resize(want, 0);
            file.read_exact_at(buffer, at)
        };
        let have = |buffer: &Vec<u8>, buffer_at: u64| buffer.len() - (position - buffer_at) as usize;
        if have(&buffer, buffer_at) < HEADER_BYTES {
            fill(&mut buffer, position, CHUNK)?;
            buffer_at = position;
        }
        let Some(header) = BatchHeader::parse(&buffer[(position - buffer_at) as usize..]) else { break };
        if header.size as u64 > to - position {
            break;
        }
        if verify && have(&buffer, buffer_at) < header.size {
            fill(&mut buffer, position, header.size.max(CHUNK))?;
            buffer_at = position;
        }
        let bytes = &buffer[(position - buffer_at) as usize..];
        let bytes = &bytes[..bytes.len().min(header.size)];
        if verify && !batch::is_intact(bytes, &header) {
            break;
        }
        if each(position, &header, bytes) == Walk::Stop {
            break;
        }
        position += header.size as u64;
        if position > buffer_at + buffer.len() as u64 {
            buffer.clear();
            buffer_at = position;
        }
    }
    Ok(position)
}

/// Walks over the headers only, reading 64 bytes or so for each large batch instead of all of it.
pub fn scan_headers(file: &File, from: u64, to: u64, mut each: impl FnMut(u64, &BatchHeader) -> Walk) -> io::Result<()> {
    const CHUNK: usize = 16 * 1024;
    let mut buffer = Vec::new();
    let mut buffer_at = from;
    let mut position = from;
    while position + HEADER_BYTES as u64 <= to {
        if position + HEADER_BYTES as u64 > buffer_at + buffer.len() as u64 {
            buffer.resize(CHUNK.min((to - position) as usize), 0);
            file.read_exact_at(&mut buffer, position)?;
            buffer_at = position;
        }
        let Some(header) = BatchHeader::parse(&buffer[(position - buffer_at) as usize..]) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("no record batch at {position} of a segment")));
        };
        if header.size as u64 > to - position || each(position, &header) == Walk::Stop {
            return Ok(());
        }
        position += header.size as u64;
    }
    Ok(())
}

/// Whether a walk goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// To the next batch.
    On,
    /// Not beyond this one.
    Stop,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for id in [SegmentId { base: 0, generation: 0, end: 0 }, SegmentId { base: 12_345, generation: 3, end: 20_000 }] {
            let path = id.log_path(Path::new("/x"));
            let name = path.file_name().and_then(|n| n.to_str()).unwrap();
            assert_eq!(SegmentId::from_log_name(name), Some(id));
        }
        assert_eq!(SegmentId::from_log_name("checkpoint"), None);
        assert_eq!(SegmentId::from_log_name("1.log"), None);
    }

    #[test]
    fn an_index_reads_back_and_damage_is_noticed() {
        let mut s = Segment::new(5);
        s.size = 99;
        s.max_timestamp = 7;
        s.places = Some(vec![Place { offset: 5, position: 0, time_before: -1 }, Place { offset: 9, position: 40, time_before: 3 }]);
        let bytes = encode_index(&s);
        let (head, places) = decode_index(&bytes).unwrap();
        assert_eq!((head.size, head.max_timestamp, Some(places)), (99, 7, s.places.clone()));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert_eq!(decode_index(&bad), None, "byte {at}");
        }
        assert_eq!(s.position_before(8), 0);
        assert_eq!(s.position_before(9), 40);
        assert_eq!(s.position_before_time(3), 0);
        assert_eq!(s.position_before_time(4), 40);
    }
}
