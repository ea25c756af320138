//! Snapshots of the decision plane on disk: written atomically, checked by digest, the last few kept.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tracing::warn;

use crate::home::write_parts_atomically;

/// Snapshots that are kept; an older one serves when the newest is damaged.
const KEPT: usize = 3;
const DIGEST_BYTES: usize = 32;

/// A folder of snapshots.
#[derive(Clone)]
pub struct SnapshotStore {
    dir: PathBuf,
}

impl SnapshotStore {
    /// The store in `dir`, which must exist.
    pub fn new(dir: &Path) -> SnapshotStore {
        SnapshotStore { dir: dir.to_path_buf() }
    }

    /// Writes a snapshot taken before record `next_seq`, given in parts.
    pub fn write(&self, next_seq: u64, parts: &[&[u8]]) -> Result<()> {
        let mut hasher = blake3::Hasher::new();
        parts.iter().for_each(|part| {
            hasher.update(part);
        });
        let digest = hasher.finalize();
        let all: Vec<&[u8]> = std::iter::once(&digest.as_bytes()[..]).chain(parts.iter().copied()).collect();
        write_parts_atomically(&self.dir.join(format!("{next_seq:020}.snapshot")), &all)?;
        let mut all = self.list()?;
        while all.len() > KEPT {
            let oldest = all.remove(0);
            std::fs::remove_file(&oldest).with_context(|| format!("could not remove {}", oldest.display()))?;
        }
        Ok(())
    }

    /// The snapshots that can be read, newest first.
    pub fn read_newest_first(&self) -> Result<impl Iterator<Item = Vec<u8>> + use<>> {
        let mut all = self.list()?;
        all.reverse();
        Ok(all.into_iter().filter_map(|path| match std::fs::read(&path) {
            Ok(file) if file.len() > DIGEST_BYTES && blake3::hash(&file[DIGEST_BYTES..]).as_bytes()[..] == file[..DIGEST_BYTES] => {
                Some(file[DIGEST_BYTES..].to_vec())
            }
            Ok(_) => {
                warn!(path = %path.display(), "the snapshot is damaged and is passed over");
                None
            }
            Err(error) => {
                warn!(path = %path.display(), %error, "the snapshot cannot be read and is passed over");
                None
            }
        }))
    }

    fn list(&self) -> Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(&self.dir).with_context(|| format!("could not list {}", self.dir.display()))?;
        let mut paths: Vec<_> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "snapshot"))
            .collect();
        paths.sort();
        Ok(paths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_snapshot_gives_way_to_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let store = SnapshotStore::new(dir.path());
        for seq in 1..=5u64 {
            store.write(seq, &[b"state ", seq.to_string().as_bytes()]).unwrap();
        }
        std::fs::write(dir.path().join(format!("{:020}.snapshot", 5)), b"torn").unwrap();
        let read: Vec<_> = store.read_newest_first().unwrap().collect();
        assert_eq!(read, [b"state 4".to_vec(), b"state 3".to_vec()]);
    }
}
