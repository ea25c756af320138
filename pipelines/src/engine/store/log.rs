//! The segments of a store: files of frames that are only ever appended to, the last one, and removed, the first ones.
//!
//! The first frame of a segment has the number of the segment; its payload is the version of the format (4 bytes), the
//! number of the first segment that counts (8 bytes), the bytes of the segment before (8 bytes), and the name of the job.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use arrow::buffer::{Buffer, MutableBuffer};

use super::disk::Disk;
use super::frame::{self, Kind};
use super::{ChunkId, StoreError};

/// The version of the format.
pub(super) const VERSION: u32 = 1;

/// Bytes that are gathered before they go to the operating system.
const BUFFER_BYTES: usize = 1 << 20;

/// Where a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
    /// Of the whole frame.
    pub(super) bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Segment {
    pub(super) bytes: u64,
    /// Chunks that are live and lie here.
    pub(super) chunks: BTreeSet<ChunkId>,
    /// Schemas that have a frame here, and where.
    pub(super) schemas: BTreeMap<u32, u64>,
}

#[derive(Debug)]
pub(super) struct Log {
    pub(super) disk: Box<dyn Disk>,
    pub(super) folder: PathBuf,
    pub(super) job: String,
    /// Every segment by its number; the last one is appended to.
    pub(super) segments: BTreeMap<u64, Segment>,
    /// The last segment.
    file: File,
    /// Bytes that the last segment has, and that are still to be appended to it.
    buffer: Vec<u8>,
    segment_bytes: u64,
    /// Frames that were appended since the store was opened.
    pub(super) appended_bytes: u64,
}

impl Log {
    /// A log that goes on in `file`, the last of `segments`.
    pub(super) fn new(disk: Box<dyn Disk>, place: (&Path, &str), segments: BTreeMap<u64, Segment>, file: File, segment_bytes: u64) -> Log {
        let (folder, job) = (place.0.to_owned(), place.1.to_owned());
        Log { disk, folder, job, segments, file, buffer: Vec::new(), segment_bytes, appended_bytes: 0 }
    }

    /// The number of the segment that is appended to.
    pub(super) fn last(&self) -> u64 {
        *self.segments.last_key_value().expect("there is a segment from the beginning on").0
    }

    pub(super) fn first(&self) -> u64 {
        *self.segments.first_key_value().expect("there is a segment from the beginning on").0
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum()
    }

    pub(super) fn segment(&mut self, number: u64) -> &mut Segment {
        self.segments.get_mut(&number).expect("a segment is known for as long as something lies in it")
    }

    /// Appends a frame to the last segment, whatever its size. It may stay in memory until [`Log::flush`].
    pub(super) fn append(
        &mut self,
        what: (Kind, u64),
        fill: impl FnOnce(&mut Vec<u8>) -> Result<(), StoreError>,
    ) -> Result<Place, StoreError> {
        let number = self.last();
        let (offset, start) = (self.segments[&number].bytes, self.buffer.len());
        frame::write(&mut self.buffer, (number, offset - start as u64), what, fill)?;
        let bytes = (self.buffer.len() - start) as u64;
        self.segment(number).bytes += bytes;
        self.appended_bytes += bytes;
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(Place { segment: number, offset, bytes })
    }

    /// Appends a frame whose payload is there.
    pub(super) fn append_payload(&mut self, what: (Kind, u64), parts: &[&[u8]]) -> Result<Place, StoreError> {
        self.append(what, |buffer| {
            parts.iter().for_each(|part| buffer.extend_from_slice(part));
            Ok(())
        })
    }

    /// Hands everything to the operating system.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        let path = path_of(&self.folder, self.last());
        self.disk.append(&mut self.file, &self.buffer).map_err(StoreError::io("append to", path))?;
        self.buffer.clear();
        self.buffer.shrink_to(2 * BUFFER_BYTES);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.flush()?;
        let path = path_of(&self.folder, self.last());
        self.disk.sync(&self.file).map_err(StoreError::io("make durable", path))
    }

    /// Makes everything durable, and leaves a mark that says so.
    pub(super) fn seal(&mut self, commit: u64) -> Result<(), StoreError> {
        self.sync()?;
        self.append_payload((Kind::Mark, commit), &[])?;
        self.flush()
    }

    /// Begins a new segment if the last one is full. Only then is the last one durable to its end.
    pub(super) fn roll(&mut self) -> Result<(), StoreError> {
        let number = self.last();
        if self.segments[&number].bytes < self.segment_bytes {
            return Ok(());
        }
        self.sync()?;
        self.file = create(&mut *self.disk, &self.folder, number + 1)?;
        self.segments.insert(number + 1, Segment::default());
        self.append_segment_frame(number + 1)
    }

    fn append_segment_frame(&mut self, number: u64) -> Result<(), StoreError> {
        let first = self.first();
        let bytes_before = self.segments.get(&(number - 1)).map_or(0, |before| before.bytes);
        let job = self.job.clone();
        self.append_payload(
            (Kind::Segment, number),
            &[&VERSION.to_le_bytes(), &first.to_le_bytes(), &bytes_before.to_le_bytes(), job.as_bytes()],
        )?;
        Ok(())
    }

    /// Begins the first segment of all.
    pub(super) fn begin(mut disk: Box<dyn Disk>, place: (&Path, &str), segment_bytes: u64) -> Result<Log, StoreError> {
        let file = create(&mut *disk, place.0, 1)?;
        let mut log = Log::new(disk, place, BTreeMap::from([(1, Segment::default())]), file, segment_bytes);
        log.append_segment_frame(1)?;
        Ok(log)
    }

    /// Removes the segments before `first`, the first ones first, so that what stays is never without its beginning.
    pub(super) fn remove_before(&mut self, first: u64) -> Result<(), StoreError> {
        if self.first() >= first {
            return Ok(());
        }
        while self.first() < first {
            let path = path_of(&self.folder, self.first());
            self.disk.remove(&path).map_err(StoreError::io("remove", path))?;
            self.segments.pop_first();
        }
        self.disk.sync_folder(&self.folder).map_err(StoreError::io("make durable", &self.folder))
    }

    /// Reads a whole frame back, aligned so that Arrow can use the message of a chunk where it lies.
    pub(super) fn read(&mut self, place: Place) -> Result<Buffer, StoreError> {
        let last = self.last();
        if place.segment == last && place.offset + place.bytes > self.segments[&last].bytes - self.buffer.len() as u64 {
            self.flush()?;
        }
        let path = path_of(&self.folder, place.segment);
        let mut bytes = MutableBuffer::from_len_zeroed(place.bytes as usize);
        let mut file = File::open(&path).map_err(StoreError::io("open", &path))?;
        let read = file.seek(SeekFrom::Start(place.offset)).and_then(|_| file.read_exact(&mut bytes));
        read.map_err(StoreError::io("read", &path))?;
        match frame::read(&bytes, place.segment, place.offset) {
            Ok(_) => Ok(bytes.into()),
            Err(what) => Err(self.damaged(place, what)),
        }
    }

    pub(super) fn damaged(&self, place: Place, what: impl Into<String>) -> StoreError {
        let path = path_of(&self.folder, place.segment);
        StoreError::Damaged { job: self.job.clone(), path, offset: place.offset, what: what.into() }
    }
}

fn create(disk: &mut dyn Disk, folder: &Path, number: u64) -> Result<File, StoreError> {
    let path = path_of(folder, number);
    let file = disk.create(&path).map_err(StoreError::io("create", path))?;
    disk.sync_folder(folder).map_err(StoreError::io("make durable", folder))?;
    Ok(file)
}

/// The path of a segment.
pub(super) fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:012}.segment"))
}

/// The numbers of the segments in a folder.
pub(super) fn numbers_in(folder: &Path) -> Result<BTreeSet<u64>, StoreError> {
    let mut numbers = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
        let name = entry.map_err(StoreError::io("list", folder))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".segment")).and_then(|number| number.parse::<u64>().ok());
        numbers.extend(number);
    }
    Ok(numbers)
}
