//! The store against a model of it: what is written is read, whatever happens in between.

mod bench;
mod crash;
mod model;
mod rows;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

use super::disk::Disk;
use super::{ChunkId, Opened, Store, StoreError, StoreLimits, Tag};

/// Limits so small that a few rows roll segments, fill memory and leave garbage.
const TINY: StoreLimits = StoreLimits { memory_bytes: 1500, live_bytes: 1 << 20, segment_bytes: 3000, move_bytes: 1200 };

/// Limits that nothing here reaches.
const WIDE: StoreLimits = StoreLimits { memory_bytes: 1 << 30, live_bytes: 1 << 40, segment_bytes: 1 << 30, move_bytes: 1 << 20 };

/// A disk that fails for good after so many bytes, each other step counting as one. Nothing waits for hardware.
#[derive(Debug, Clone)]
struct Tape(Arc<Mutex<Reel>>);

#[derive(Debug)]
struct Reel {
    left: u64,
    used: u64,
    /// Bytes of the last segment that are durable.
    synced: u64,
    /// Whether it has others.
    is_dirty: bool,
}

impl Tape {
    fn endless() -> Tape {
        Tape::of(u64::MAX)
    }

    fn of(left: u64) -> Tape {
        Tape(Arc::new(Mutex::new(Reel { left, used: 0, synced: 0, is_dirty: false })))
    }

    fn reel(&self) -> MutexGuard<'_, Reel> {
        self.0.lock().expect("no test panics with it")
    }

    fn used(&self) -> u64 {
        self.reel().used
    }

    fn synced(&self) -> u64 {
        self.reel().synced
    }

    /// Takes up to so much and says how much there was.
    fn take(&self, units: u64) -> u64 {
        let mut reel = self.reel();
        let taken = units.min(reel.left);
        reel.left -= taken;
        reel.used += taken;
        taken
    }

    fn step(&self) -> io::Result<()> {
        if self.take(1) == 1 { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }
}

impl Disk for Tape {
    fn create(&mut self, path: &Path) -> io::Result<File> {
        self.step()?;
        let mut reel = self.reel();
        assert!(!reel.is_dirty, "a segment is durable to its end before the next one begins");
        reel.synced = 0;
        File::options().create_new(true).append(true).open(path)
    }

    fn append(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let taken = self.take(bytes.len() as u64) as usize;
        self.reel().is_dirty |= taken > 0;
        file.write_all(&bytes[..taken])?;
        if taken == bytes.len() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        self.step()?;
        let mut reel = self.reel();
        (reel.synced, reel.is_dirty) = (file.metadata()?.len(), false);
        Ok(())
    }

    fn shorten(&mut self, file: &File, bytes: u64) -> io::Result<()> {
        self.step()?;
        let mut reel = self.reel();
        (reel.synced, reel.is_dirty) = (bytes, false);
        file.set_len(bytes)
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.step()?;
        // What stays is a segment that was made durable when the next one began.
        let mut reel = self.reel();
        (reel.synced, reel.is_dirty) = (u64::MAX, false);
        std::fs::remove_file(path)
    }

    fn sync_folder(&mut self, _: &Path) -> io::Result<()> {
        self.step()
    }
}

/// What a store holds, as far as its owner can tell.
#[derive(Debug, Clone, Default, PartialEq)]
struct Content {
    header: Option<Vec<u8>>,
    plan: Option<Vec<u8>>,
    chunks: BTreeMap<ChunkId, (Tag, RecordBatch)>,
}

impl Content {
    fn of(opened: Opened) -> Result<(Store, Content), StoreError> {
        let Opened { mut store, header, plan, chunks } = opened;
        let mut content = Content { header, plan, chunks: BTreeMap::new() };
        for (id, tag, rows) in chunks {
            let batch = store.get(id)?;
            assert_eq!(batch.num_rows(), rows, "opening counts the rows of chunk {id:?}");
            content.chunks.insert(id, (tag, batch));
        }
        Ok((store, content))
    }

    fn in_folder(folder: &Path, limits: StoreLimits) -> Result<Content, StoreError> {
        let opened = Store::open_on(folder, "jam", limits, Box::new(Tape::endless()))?;
        Content::of(opened).map(|(_, content)| content)
    }
}

/// A step of an owner. Chunks are chosen by their order, as far as there are any.
#[derive(Debug, Clone)]
enum Op {
    Put { step: u32, key: i64, rows: usize },
    Drop(usize),
    Get(usize),
    Plan(u8),
    Commit(u8),
    /// The process ends and another one goes on.
    Reopen,
}

/// A store, what it holds now, and what it would hold after a crash.
struct Owner {
    store: Store,
    now: Content,
    durable: Content,
    /// What the step at hand makes durable, if it comes through.
    next: Option<Content>,
    /// Whether the step at hand opens another store in the place of this one.
    is_opening: bool,
    made: i64,
}

impl Owner {
    fn new(folder: &Path, limits: StoreLimits, tape: &Tape) -> Result<Owner, StoreError> {
        let (store, durable) = Content::of(Store::open_on(folder, "jam", limits, Box::new(tape.clone()))?)?;
        Ok(Owner { store, now: durable.clone(), durable, next: None, is_opening: false, made: 0 })
    }

    fn nth(&self, nth: usize) -> Option<ChunkId> {
        self.now.chunks.keys().nth(nth % self.now.chunks.len().max(1)).copied()
    }

    fn step(&mut self, op: &Op, folder: &Path, limits: StoreLimits, tape: &Tape) -> Result<(), StoreError> {
        match *op {
            Op::Put { step, key, rows } => {
                self.made += 1;
                let (tag, batch) = (Tag { step, key }, batch(step, self.made, rows));
                let id = self.store.put(tag, batch.clone())?;
                let before = self.now.chunks.insert(id, (tag, batch));
                assert!(before.is_none(), "a name is given once");
            }
            Op::Drop(nth) => {
                if let Some(id) = self.nth(nth) {
                    self.store.drop(id);
                    self.now.chunks.remove(&id);
                }
            }
            Op::Get(nth) => {
                if let Some(id) = self.nth(nth) {
                    assert_eq!(self.store.get(id)?, self.now.chunks[&id].1);
                }
            }
            Op::Plan(plan) => {
                let plan = vec![plan; plan.into()];
                self.next = Some(Content { plan: Some(plan.clone()), ..self.durable.clone() });
                self.store.write_plan(&plan)?;
                self.arrive();
            }
            Op::Commit(header) => {
                let header = vec![header; header.into()];
                self.next = Some(Content { header: Some(header.clone()), plan: None, ..self.now.clone() });
                self.store.commit(&header)?;
                self.arrive();
            }
            Op::Reopen => {
                self.is_opening = true;
                let (store, content) = Content::of(Store::open_on(folder, "jam", limits, Box::new(tape.clone()))?)?;
                assert_eq!(content, self.durable);
                (self.store, self.now, self.is_opening) = (store, content, false);
            }
        }
        Ok(())
    }

    fn arrive(&mut self) {
        self.durable = self.next.take().expect("a step that makes something durable says what");
    }
}

/// Rows of a schema that depends on the step.
fn batch(step: u32, seed: i64, rows: usize) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows as i64).map(|row| seed * 1000 + row)));
    let texts: ArrayRef = Arc::new(StringArray::from_iter((0..rows).map(|row| (row % 3 != 1).then(|| format!("{seed}-{row}")))));
    let columns = match step % 3 {
        0 => vec![("number", numbers)],
        1 => vec![("text", texts)],
        _ => vec![("number", numbers), ("text", texts)],
    };
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).expect("columns of one length")
}
