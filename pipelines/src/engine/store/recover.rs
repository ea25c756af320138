//! Opening: what the segments of a folder say, and where a crash has left something that does not count.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::codec::{self, Codec};
use super::commit::Commit;
use super::disk::Disk;
use super::frame::{self, Frame, Kind};
use super::log::{self, Log, Place, Segment, VERSION};
use super::{ChunkId, Entry, StoreError, StoreLimits};

/// What the frames up to the last commit, and the plan after it, add up to.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) log: Log,
    pub(super) codecs: BTreeMap<u32, Codec>,
    pub(super) chunks: BTreeMap<ChunkId, Entry>,
    pub(super) header: Option<Vec<u8>>,
    pub(super) plan: Option<Vec<u8>>,
    /// The number of the last commit.
    pub(super) commit: u64,
    /// Chunks that lie before the plan and were never committed; the next commit has to drop them.
    pub(super) left_over: Vec<ChunkId>,
    /// A number greater than that of any chunk.
    pub(super) next: u64,
}

/// Reads a folder, and removes what a crash has left in it behind the last commit or plan.
pub(super) fn recover(folder: &Path, job: &str, limits: StoreLimits, disk: Box<dyn Disk>) -> Result<Found, StoreError> {
    let numbers = log::numbers_in(folder)?;
    let mut scan = Scan::new(folder, job);
    let mut bytes = Vec::new();
    for number in &numbers {
        read_into(&mut bytes, &log::path_of(folder, *number))?;
        scan.segment(*number, &bytes, numbers.last() == Some(number))?;
    }
    let expected = scan.first..=numbers.last().copied().unwrap_or(0);
    if let Some(missing) = expected.into_iter().find(|number| !numbers.contains(number)) {
        return Err(scan.damaged(missing, 0, "the file is missing"));
    }
    scan.into_found(limits, disk)
}

fn read_into(bytes: &mut Vec<u8>, path: &Path) -> Result<(), StoreError> {
    bytes.clear();
    let read = File::open(path).and_then(|mut file| file.read_to_end(bytes));
    read.map(|_| ()).map_err(StoreError::io("read", path))
}

struct Scan {
    folder: PathBuf,
    job: String,
    segments: BTreeMap<u64, Segment>,
    codecs: BTreeMap<u32, Codec>,
    chunks: BTreeMap<ChunkId, Entry>,
    /// Chunks that no commit has followed yet.
    staged: BTreeMap<ChunkId, Entry>,
    header: Option<Vec<u8>>,
    plan: Option<Vec<u8>>,
    commit: u64,
    next: u64,
    /// The first segment that counts.
    first: u64,
    /// Where the last commit or plan ends, or the mark behind it.
    end: Option<(u64, u64)>,
    /// Chunks that were staged when the plan came.
    left_over: Vec<ChunkId>,
}

impl Scan {
    fn new(folder: &Path, job: &str) -> Scan {
        let (folder, job) = (folder.to_owned(), job.to_owned());
        let (segments, codecs, chunks, staged) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (header, plan, end, left_over) = (None, None, None, Vec::new());
        Scan { folder, job, segments, codecs, chunks, staged, header, plan, commit: 0, next: 0, first: 1, end, left_over }
    }

    fn damaged(&self, segment: u64, offset: u64, what: impl Into<String>) -> StoreError {
        let path = log::path_of(&self.folder, segment);
        StoreError::Damaged { job: self.job.clone(), path, offset, what: what.into() }
    }

    fn segment(&mut self, number: u64, bytes: &[u8], is_last: bool) -> Result<(), StoreError> {
        self.segments.insert(number, Segment { bytes: bytes.len() as u64, ..Segment::default() });
        let mut offset = 0;
        // A segment has a frame at least, so an empty file is torn too.
        while offset < bytes.len() || offset == 0 {
            match frame::read(&bytes[offset..], number, offset as u64) {
                Ok(frame) => {
                    self.frame(Place { segment: number, offset: offset as u64, bytes: frame.length() as u64 }, frame)?;
                    offset += frame.length();
                }
                // Of the last segment, what is behind the last mark may never have reached the disk. All else was durable:
                // a segment is made so before the next one begins, and a mark is written when everything before it is.
                Err(_) if is_last && !frame::has_mark(&bytes[offset..], number, offset as u64) => break,
                Err(what) => return Err(self.damaged(number, offset as u64, what)),
            }
        }
        Ok(())
    }

    fn frame(&mut self, place: Place, frame: Frame<'_>) -> Result<(), StoreError> {
        let wrong = |what: &str| self.damaged(place.segment, place.offset, what);
        if (place.offset == 0) != (frame.kind == Kind::Segment) {
            return Err(wrong("a segment begins with its own frame, and has no other of that kind"));
        }
        match frame.kind {
            Kind::Segment => self.begin(place, frame),
            Kind::Schema => self.schema(place, frame),
            Kind::Chunk => {
                let (tag, schema, rows) = codec::read_prefix(frame.payload).ok_or_else(|| wrong("a chunk without its head"))?;
                let id = ChunkId(frame.number);
                self.next = self.next.max(frame.number + 1);
                self.staged.insert(id, Entry { tag, rows: rows as usize, schema, place: Some(place), bytes: place.bytes });
                Ok(())
            }
            Kind::Plan => {
                self.plan = Some(frame.payload.to_vec());
                self.left_over = self.staged.keys().copied().collect();
                self.end_at(place);
                Ok(())
            }
            Kind::Commit => self.commit(place, frame),
            Kind::Mark => {
                self.end_at(place);
                Ok(())
            }
        }
    }

    fn begin(&mut self, place: Place, frame: Frame<'_>) -> Result<(), StoreError> {
        let wrong = |what: String| self.damaged(place.segment, place.offset, what);
        let (version, rest) = frame.payload.split_first_chunk::<4>().ok_or_else(|| wrong("no version".to_owned()))?;
        let (first, rest) = rest.split_first_chunk::<8>().ok_or_else(|| wrong("no first segment".to_owned()))?;
        let (bytes_before, job) = rest.split_first_chunk::<8>().ok_or_else(|| wrong("no length".to_owned()))?;
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(wrong(format!("it is of format {version}, this version of citybrain reads format {VERSION}")));
        }
        if job != self.job.as_bytes() {
            return Err(wrong(format!("it is of job {}", String::from_utf8_lossy(job))));
        }
        self.first = self.first.max(u64::from_le_bytes(*first));
        let before = place.segment.checked_sub(1).and_then(|before| Some((before, self.segments.get(&before)?.bytes)));
        match before {
            Some((before, bytes)) if bytes != u64::from_le_bytes(*bytes_before) => {
                Err(self.damaged(before, bytes, "the file does not end where it ended when the next one began"))
            }
            _ => Ok(()),
        }
    }

    fn schema(&mut self, place: Place, frame: Frame<'_>) -> Result<(), StoreError> {
        let wrong = |what: String| self.damaged(place.segment, place.offset, what);
        let number = u32::try_from(frame.number).map_err(|_| wrong("a schema of no number".to_owned()))?;
        let codec = Codec::from_payload(frame.payload).map_err(|error| wrong(error.to_string()))?;
        self.codecs.insert(number, codec);
        let segment = self.segments.get_mut(&place.segment).expect("a segment is noted before its frames");
        segment.schemas.insert(number, place.offset);
        Ok(())
    }

    fn commit(&mut self, place: Place, frame: Frame<'_>) -> Result<(), StoreError> {
        let wrong = |scan: &Scan, what: &str| Err(scan.damaged(place.segment, place.offset, what));
        if self.commit != 0 && frame.number != self.commit + 1 {
            return wrong(self, "a commit is missing before this one");
        }
        let Some(commit) = Commit::read(frame.payload) else { return wrong(self, "a commit without its head") };
        self.chunks.extend(std::mem::take(&mut self.staged));
        for id in &commit.dropped {
            self.chunks.remove(id);
        }
        // An earlier commit may count chunks of segments that are gone, which a later one has moved or dropped.
        let sees_all = self.segments.first_key_value().is_some_and(|(number, _)| *number <= commit.first);
        if sees_all && self.chunks.len() as u64 != commit.live {
            return wrong(self, "the commit counts other chunks than lie before it");
        }
        self.next = self.next.max(commit.next);
        self.first = self.first.max(commit.first);
        (self.header, self.plan, self.commit) = (Some(commit.header.to_vec()), None, frame.number);
        self.left_over.clear();
        self.end_at(place);
        Ok(())
    }

    fn end_at(&mut self, place: Place) {
        self.end = Some((place.segment, place.offset + place.bytes));
    }

    fn into_found(mut self, limits: StoreLimits, mut disk: Box<dyn Disk>) -> Result<Found, StoreError> {
        let (end_segment, end_offset) = self.end.unwrap_or((0, 0));
        self.lay_down()?;
        self.remove(&mut *disk, end_segment)?;
        let log = match self.segments.get_mut(&end_segment) {
            None => Log::begin(disk, (&self.folder, &self.job), limits.segment_bytes)?,
            Some(segment) => {
                let path = log::path_of(&self.folder, end_segment);
                let file = OpenOptions::new().append(true).open(&path).map_err(StoreError::io("open", &path))?;
                // Even where nothing is cut off: what a process wrote and did not live to make durable is taken for durable now.
                disk.shorten(&file, end_offset).map_err(StoreError::io("shorten", &path))?;
                segment.bytes = end_offset;
                segment.schemas.retain(|_, offset| *offset < end_offset);
                let segments = std::mem::take(&mut self.segments);
                Log::new(disk, (&self.folder, &self.job), segments, file, limits.segment_bytes)
            }
        };
        let Scan { codecs, chunks, header, plan, commit, left_over, next, .. } = self;
        Ok(Found { log, codecs, chunks, header, plan, commit, left_over, next })
    }

    /// Removes the segments behind the end, the last one first, and those before the first one that counts.
    fn remove(&mut self, disk: &mut dyn Disk, end: u64) -> Result<(), StoreError> {
        let behind = self.segments.keys().rev().copied().filter(|number| *number > end);
        let before = self.segments.keys().copied().filter(|number| *number < self.first);
        for number in behind.chain(before).collect::<Vec<_>>() {
            let path = log::path_of(&self.folder, number);
            disk.remove(&path).map_err(StoreError::io("remove", path))?;
            disk.sync_folder(&self.folder).map_err(StoreError::io("make durable", &self.folder))?;
            self.segments.remove(&number);
        }
        Ok(())
    }

    /// Notes for each segment which live chunks lie in it.
    fn lay_down(&mut self) -> Result<(), StoreError> {
        for (id, entry) in &self.chunks {
            let place = entry.place.expect("a chunk that was read has a place");
            let segment = self.segments.get_mut(&place.segment).expect("what was read lies in a segment");
            if place.segment < self.first || !segment.schemas.contains_key(&entry.schema) {
                return Err(self.damaged(place.segment, place.offset, "a chunk lies without its schema or where none should live"));
            }
            segment.chunks.insert(*id);
        }
        Ok(())
    }
}
