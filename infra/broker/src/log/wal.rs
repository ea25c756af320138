//! The write-ahead files: what makes an append durable before its segment is synced.
//!
//! Appends to many partitions are written one after another into one file that was allocated beforehand, so that one
//! `fdatasync` without a change of metadata makes them all durable. The segments are written at the same time but
//! synced later, in the background; then the file is used again. At a start, entries that a segment lacks are
//! appended to it.
//!
//! Entry: magic, CRC32C of the rest of the entry head, sequence number of the file, topic id, partition, length,
//! first offset; then the batch, which carries its own checksum.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::batch::{self, BatchHeader};
use crate::log::checkpoint::sync_folder;
use crate::producer_state::take;

const MAGIC: u32 = 0x4342_5741;
/// Bytes before each batch.
pub const ENTRY_HEAD_BYTES: usize = 48;

/// One append in a write-ahead file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which topic.
    pub topic_id: u128,
    /// Which of its partitions.
    pub partition: i32,
    /// The numbered batch.
    pub batch: Bytes,
}

impl Entry {
    /// Bytes in the file.
    pub fn size(&self) -> u64 {
        (ENTRY_HEAD_BYTES + self.batch.len()) as u64
    }

    fn head(&self, sequence: u64) -> [u8; ENTRY_HEAD_BYTES] {
        let mut head = [0; ENTRY_HEAD_BYTES];
        head[0..4].copy_from_slice(&MAGIC.to_be_bytes());
        head[8..16].copy_from_slice(&sequence.to_be_bytes());
        head[16..32].copy_from_slice(&self.topic_id.to_be_bytes());
        head[32..36].copy_from_slice(&self.partition.to_be_bytes());
        head[36..40].copy_from_slice(&(self.batch.len() as u32).to_be_bytes());
        head[40..48].copy_from_slice(&self.batch[..8]);
        let crc = crc32c::crc32c(&head[8..]);
        head[4..8].copy_from_slice(&crc.to_be_bytes());
        head
    }
}

/// A write-ahead file that is being written.
#[derive(Debug)]
pub struct WalFile {
    path: PathBuf,
    file: Arc<File>,
    sequence: u64,
    position: u64,
    capacity: u64,
}

impl WalFile {
    /// Allocates a new file of zeros.
    pub fn create(dir: &Path, number: u32, capacity: u64) -> io::Result<(PathBuf, Arc<File>)> {
        let path = dir.join(format!("{number:02}.wal"));
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        let zeros = vec![0; 1024 * 1024];
        let mut left = capacity;
        while left > 0 {
            let n = left.min(zeros.len() as u64) as usize;
            if let Err(e) = file.write_all(&zeros[..n]) {
                // Half a file is of no use and takes the space that is short.
                let _ = std::fs::remove_file(&path);
                return Err(e);
            }
            left -= n as u64;
        }
        file.sync_all()?;
        sync_folder(dir)?;
        Ok((path, Arc::new(file)))
    }

    /// Begins to write an allocated file from its start. Old entries carry other sequence numbers.
    pub fn begin(path: PathBuf, file: Arc<File>, sequence: u64) -> io::Result<Self> {
        let capacity = file.metadata()?.len();
        Ok(Self { path, file, sequence, position: 0, capacity })
    }

    /// Whether so many bytes fit.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.position + bytes <= self.capacity
    }

    /// Writes entries in one go; not yet durable.
    pub fn write(&mut self, entries: &[Entry]) -> io::Result<()> {
        assert!(self.has_room(entries.iter().map(Entry::size).sum()), "a write-ahead file is changed before it is full");
        let heads: Vec<_> = entries.iter().map(|e| e.head(self.sequence)).collect();
        let mut slices = Vec::with_capacity(2 * entries.len());
        for (head, entry) in heads.iter().zip(entries) {
            slices.push(IoSlice::new(head));
            slices.push(IoSlice::new(&entry.batch));
        }
        let mut file: &File = &self.file;
        file.seek(SeekFrom::Start(self.position))?;
        for some in slices.chunks_mut(1024) {
            write_all_vectored(&mut file, some)?;
        }
        self.position += entries.iter().map(Entry::size).sum::<u64>();
        Ok(())
    }

    /// The file, for syncing.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Path and file, when it is full.
    pub fn into_parts(self) -> (PathBuf, Arc<File>) {
        (self.path, self.file)
    }
}

fn write_all_vectored(file: &mut &File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => IoSlice::advance_slices(&mut slices, n),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The write-ahead files of a folder with their sequence numbers, oldest first. Files never written have 0.
pub fn list(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for item in std::fs::read_dir(dir)? {
        let path = item?.path();
        if path.extension().is_some_and(|e| e == "wal") {
            let mut head = [0; ENTRY_HEAD_BYTES];
            let sequence = match File::open(&path)?.read_exact_at(&mut head, 0) {
                Ok(()) => parse_head(&head).map_or(0, |h| h.sequence),
                Err(_) => 0,
            };
            files.push((sequence, path));
        }
    }
    files.sort();
    Ok(files)
}

struct Head {
    sequence: u64,
    topic_id: u128,
    partition: i32,
    length: usize,
    base_offset: i64,
}

fn parse_head(bytes: &[u8]) -> Option<Head> {
    let mut b = bytes;
    let magic = u32::from_be_bytes(take(&mut b)?);
    let crc = u32::from_be_bytes(take(&mut b)?);
    if magic != MAGIC || crc != crc32c::crc32c(b.get(..ENTRY_HEAD_BYTES - 8)?) {
        return None;
    }
    Some(Head {
        sequence: u64::from_be_bytes(take(&mut b)?),
        topic_id: u128::from_be_bytes(take(&mut b)?),
        partition: i32::from_be_bytes(take(&mut b)?),
        length: u32::from_be_bytes(take(&mut b)?) as usize,
        base_offset: i64::from_be_bytes(take(&mut b)?),
    })
}

/// Reads the entries of a file up to the first that is not whole.
pub fn replay(path: &Path, mut each: impl FnMut(Entry) -> io::Result<()>) -> io::Result<u64> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let (mut position, mut sequence, mut count) = (0, None, 0);
    let mut head = [0; ENTRY_HEAD_BYTES];
    while position + ENTRY_HEAD_BYTES as u64 <= size {
        file.read_exact_at(&mut head, position)?;
        let Some(h) = parse_head(&head) else { break };
        let first = *sequence.get_or_insert(h.sequence);
        let end = position + (ENTRY_HEAD_BYTES + h.length) as u64;
        if h.sequence != first || end > size {
            break;
        }
        let mut bytes = vec![0; h.length];
        file.read_exact_at(&mut bytes, position + ENTRY_HEAD_BYTES as u64)?;
        let whole = BatchHeader::parse(&bytes)
            .is_some_and(|b| b.size == h.length && b.base_offset == h.base_offset && batch::is_intact(&bytes, &b));
        if !whole {
            break;
        }
        each(Entry { topic_id: h.topic_id, partition: h.partition, batch: bytes.into() })?;
        count += 1;
        position = end;
    }
    Ok(count)
}
