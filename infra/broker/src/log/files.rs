//! Open segment files, a bounded number of them: the one unused the longest is closed first.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::limits::OPEN_FILES_MAX;
use crate::sync::lock;

/// The cache.
#[derive(Debug, Default)]
pub struct Files {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    clock: u64,
    by_path: HashMap<PathBuf, (u64, Arc<File>)>,
    by_use: BTreeMap<u64, PathBuf>,
}

impl Files {
    /// An existing file.
    pub fn get(&self, path: &Path) -> io::Result<Arc<File>> {
        self.find_or(path, || OpenOptions::new().read(true).write(true).open(path))
    }

    /// A file that is created, with its folder, when it does not exist.
    pub fn create(&self, path: &Path) -> io::Result<Arc<File>> {
        self.find_or(path, || {
            let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
            match (open(), path.parent()) {
                (Err(e), Some(folder)) if e.kind() == io::ErrorKind::NotFound => {
                    std::fs::create_dir_all(folder)?;
                    open()
                }
                (answer, _) => answer,
            }
        })
    }

    /// Closes a file that is about to be removed.
    pub fn forget(&self, path: &Path) {
        let mut open = lock(&self.open);
        if let Some((used, _)) = open.by_path.remove(path) {
            open.by_use.remove(&used);
        }
    }

    /// Closes the files of a folder that is about to be removed.
    pub fn forget_under(&self, folder: &Path) {
        let mut open = lock(&self.open);
        let gone: Vec<_> = open.by_path.keys().filter(|p| p.starts_with(folder)).cloned().collect();
        for path in gone {
            if let Some((used, _)) = open.by_path.remove(&path) {
                open.by_use.remove(&used);
            }
        }
    }

    /// Files open now.
    pub fn len(&self) -> usize {
        lock(&self.open).by_path.len()
    }

    fn find_or(&self, path: &Path, open_it: impl FnOnce() -> io::Result<File>) -> io::Result<Arc<File>> {
        let mut open = lock(&self.open);
        open.clock += 1;
        let now = open.clock;
        if let Some((used, file)) = open.by_path.get_mut(path) {
            let (before, file) = (std::mem::replace(used, now), file.clone());
            open.by_use.remove(&before);
            open.by_use.insert(now, path.to_owned());
            return Ok(file);
        }
        let file = Arc::new(open_it()?);
        if open.by_path.len() >= OPEN_FILES_MAX {
            if let Some((_, oldest)) = open.by_use.pop_first() {
                open.by_path.remove(&oldest);
            }
        }
        open.by_path.insert(path.to_owned(), (now, file.clone()));
        open.by_use.insert(now, path.to_owned());
        Ok(file)
    }
}
