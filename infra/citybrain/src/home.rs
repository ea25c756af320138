//! The home: the one folder that holds everything a brain keeps, and who may write to it.
//!
//! ```text
//! <home>/home.json       layout version, written once
//! <home>/lock            held by the process that writes
//! <home>/run.json        where the running process can be reached
//! <home>/broker/         the embedded broker's log
//! <home>/lake/           Delta tables, <schema>/<table>
//! <home>/brain/          snapshots of the decision plane
//! <home>/jobs/           each job's epoch log and state in a folder, and beside it what is remembered of the job
//! <home>/dedup/          index of event ids seen
//! <home>/schemas/        event types of this city: one JSON file each
//! <home>/people.yaml    people, their roles, and the digests of their tokens
//! <home>/audit/          the audit's chain: its name, and its heads of every hour
//! <home>/open311.toml what Open311 asks of each kind of request, when it is not what ships
//! <home>/jobs.d/         streaming SQL of this city, beside the jobs that ship
//! <home>/packs/          packs of this city that do not ship, as they were installed
//! <home>/webhooks/       how far each receiver of notifications has been told
//! ```

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// Version of the folder's layout. A home with a higher one belongs to a newer citybrain.
const LAYOUT_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Layout {
    version: u32,
    created_by: String,
}

/// How the process that runs on a home can be reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    /// Process id.
    pub pid: u32,
    /// Kafka bootstrap servers.
    pub kafka: String,
    /// Base URL of the HTTP door, when one is open.
    pub http: Option<String>,
    /// Bearer token that the HTTP door asks for, when it asks for one.
    pub token: Option<String>,
}

/// A home on disk.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
}

/// Held while this process is the one that writes to a home.
pub struct HomeLock {
    _file: File,
    run_file: PathBuf,
}

impl Drop for HomeLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.run_file);
    }
}

impl Home {
    /// Opens or creates the home at `root`.
    ///
    /// # Errors
    /// When the folder cannot be made, or belongs to a newer citybrain.
    pub fn open(root: &Path) -> Result<Home> {
        for part in ["", "broker", "brain", "jobs", "dedup", "schemas", "jobs.d", "lake"] {
            let dir = root.join(part);
            std::fs::create_dir_all(&dir)
                .with_context(|| format!("could not create {}: choose another folder with --home", dir.display()))?;
        }
        let marker = root.join("home.json");
        if marker.exists() {
            let text = std::fs::read_to_string(&marker).with_context(|| format!("could not read {}", marker.display()))?;
            let layout: Layout = serde_json::from_str(&text)
                .with_context(|| format!("{} is damaged: restore the home from a backup", marker.display()))?;
            if layout.version > LAYOUT_VERSION {
                bail!(
                    "the home {} has layout {} and was made by citybrain {}; this citybrain knows layouts up to {}: \
                     run the newer citybrain, or choose another folder with --home",
                    root.display(), layout.version, layout.created_by, LAYOUT_VERSION
                );
            }
        } else {
            let layout = Layout { version: LAYOUT_VERSION, created_by: env!("CARGO_PKG_VERSION").to_string() };
            write_atomically(&marker, serde_json::to_string_pretty(&layout)?.as_bytes())?;
        }
        Ok(Home { root: root.to_path_buf() })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A part of the home.
    pub fn dir(&self, part: &str) -> PathBuf {
        self.root.join(part)
    }

    /// Takes the right to write.
    ///
    /// # Errors
    /// When another process holds it; the message names the process.
    pub fn lock(&self) -> Result<HomeLock> {
        let path = self.root.join("lock");
        let file = File::options()
            .create(true).truncate(false).read(true).write(true).open(&path)
            .with_context(|| format!("could not open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(HomeLock { _file: file, run_file: self.root.join("run.json") }),
            Err(TryLockError::WouldBlock) => {
                let who = self.read_running().map(|running| format!(" (process {})", running.pid)).unwrap_or_default();
                bail!(
                    "the home {} is in use by another citybrain{who}: stop that one, talk to it (import and sql work \
                     while it runs), or choose another folder with --home",
                    self.root.display()
                )
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("could not lock {}", path.display())),
        }
    }

    /// Says where this process can be reached. Removed again when `lock` is dropped.
    pub fn announce(&self, _lock: &HomeLock, running: &Running) -> Result<()> {
        // A token is in it.
        write_for_owner(&self.root.join("run.json"), serde_json::to_string_pretty(running)?.as_bytes())
    }

    /// The process that runs on this home, when one does.
    pub fn running(&self) -> Option<Running> {
        let file = File::options().read(true).write(true).open(self.root.join("lock")).ok()?;
        match file.try_lock() {
            Ok(()) => None,
            Err(_) => self.read_running(),
        }
    }

    fn read_running(&self) -> Option<Running> {
        serde_json::from_str(&std::fs::read_to_string(self.root.join("run.json")).ok()?).ok()
    }
}

/// Writes a file so that a crash leaves the old content or the new, never a part.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_parts_atomically(path, &[bytes])
}

/// The same for what only the owner of the home may read.
pub fn write_for_owner(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    let temporary = path.with_extension("tmp");
    let write = || -> std::io::Result<()> {
        let _ = std::fs::remove_file(&temporary);
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().with_context(|| format!("could not write {}", path.display()))
}

/// The same for content that lies in several pieces.
pub fn write_parts_atomically(path: &Path, parts: &[&[u8]]) -> Result<()> {
    use std::io::Write;
    let temporary = path.with_extension("tmp");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        if let Some(parent) = path.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    };
    write().with_context(|| format!("could not write {}: is the disk full?", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_home_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("home.json"), r#"{"version": 99, "created_by": "9.9.9"}"#).unwrap();
        let message = Home::open(dir.path()).unwrap_err().to_string();
        assert!(message.contains("9.9.9") && message.contains("--home"), "{message}");
    }

    #[test]
    fn a_home_has_one_writer() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let lock = home.lock().unwrap();
        home.announce(&lock, &Running { pid: 7, kafka: "k".into(), http: None, token: None }).unwrap();
        let message = home.lock().err().unwrap().to_string();
        assert!(message.contains("process 7") && message.contains("--home"), "{message}");
        assert_eq!(home.running().unwrap().pid, 7);
        drop(lock);
        assert!(home.running().is_none());
        home.lock().unwrap();
    }
}
