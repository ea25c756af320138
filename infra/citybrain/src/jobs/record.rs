//! What is remembered of a job beside its state: which version ran last, where it began, and in which life it is.
//!
//! The engine counts epochs from 1, and tables know the epochs that they have. So when a job's state is dropped, its
//! next life gets a name of its own in the tables: else they would take its first epochs for repetitions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use pipelines::{Job, Runner, RunnerConfig};
use serde::{Deserialize, Serialize};

use super::load::with_functions;
use crate::home::{Home, write_atomically};
use crate::progress::Positions;

/// The record of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// How often its state was dropped.
    pub life: u64,
    /// Where this life began, by `topic/partition`: for partitions of which the state knows nothing yet.
    pub begin: BTreeMap<String, i64>,
    /// The version that ran last.
    pub last: Option<Version>,
}

/// A job as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its SQL.
    pub sql: String,
    /// Its lookup files: path as written, and text.
    pub files: Vec<(String, String)>,
}

impl Record {
    /// The record of a job; an empty one when it never ran.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(home: &Home, job: &str) -> Result<Record> {
        let path = path(home, job);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged: remove it, and the job begins as its file says", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Record::default()),
            Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
        }
    }

    /// Writes it down.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, home: &Home, job: &str) -> Result<()> {
        write_atomically(&path(home, job), &serde_json::to_vec_pretty(self)?)
    }

    /// Under which name the tables count the epochs of this life.
    pub fn app_id(&self, job: &str) -> String {
        match self.life {
            0 => format!("job/{job}"),
            life => format!("job/{job}/{life}"),
        }
    }

    /// The version that ran last, when it still can.
    pub fn last_job(&self, home: &Home, name: &str) -> Option<Job> {
        let version = self.last.as_ref()?;
        let files: Vec<(&str, &str)> = version.files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        with_functions(home.root(), |udfs| Ok(Job::parse_with(name, &version.sql, &files, udfs)?)).ok()
    }

    /// Where to read on: as the state says, else where this life began.
    pub fn start(&self, known: Positions) -> Positions {
        let begun = self.begin.iter().filter_map(|(place, next)| Some((place_of(place)?, *next)));
        let mut start: Positions = begun.collect();
        start.extend(known);
        start
    }
}

/// Notes that this version runs now.
///
/// # Errors
/// When the record cannot be read or written.
pub fn ran(home: &Home, job: &Job) -> Result<Record> {
    let mut record = Record::read(home, job.name())?;
    let version = Version { sql: job.sql().to_owned(), files: job.lookup_files().to_vec() };
    if record.last.as_ref() != Some(&version) {
        record.last = Some(version);
        record.write(home, job.name())?;
    }
    Ok(record)
}

/// Drops the state of a job that does not run. Its next life begins at `begin`.
///
/// # Errors
/// When the state is in use or cannot be removed.
pub fn drop_state(home: &Home, job: &str, begin: &Positions) -> Result<()> {
    let mut record = Record::read(home, job)?;
    record.life += 1;
    record.begin = by_text(begin);
    // In this order: a crash in between leaves the old epochs under the new name, which harms nobody.
    record.write(home, job)?;
    let parts = parts_dir(home, job);
    for state in folders(&parts).iter().flat_map(|life| folders(life)) {
        Runner::reset(job, &state)?;
    }
    match std::fs::remove_dir_all(&parts) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("could not remove {}", parts.display())),
    }
    Ok(Runner::reset(job, &state_dir(home, job))?)
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect()
}

/// Drops the open windows, and whatever else it keeps, of a job that does not run: its next version reads on where this one, `old`, was.
///
/// # Errors
/// When the state cannot be read, is in use or cannot be removed.
pub async fn drop_windows(home: &Home, old: &Job) -> Result<()> {
    let reached = reached(home, old).await?;
    drop_state(home, old.name(), &reached)
}

/// Where a job that does not run is, as its version `job` reads the state.
///
/// # Errors
/// When the state cannot be read, or is in use.
pub async fn reached(home: &Home, job: &Job) -> Result<Positions> {
    let runner = Runner::open(job.clone(), &state_dir(home, job.name()), RunnerConfig::default()).await?;
    Ok(Record::read(home, job.name())?.start(runner.positions()))
}

/// Where a job's state is.
pub fn state_dir(home: &Home, job: &str) -> PathBuf {
    home.dir("jobs").join(job)
}

/// Where the states of a job are that several processes share, part by part, by its life.
pub fn parts_dir(home: &Home, job: &str) -> PathBuf {
    home.dir("jobs").join(format!("{job}.parts"))
}

/// Positions by `topic/partition`.
pub fn by_text(positions: &Positions) -> BTreeMap<String, i64> {
    positions.iter().map(|((topic, partition), next)| (format!("{topic}/{partition}"), *next)).collect()
}

fn place_of(text: &str) -> Option<(String, i32)> {
    let (topic, partition) = text.rsplit_once('/')?;
    Some((topic.to_owned(), partition.parse().ok()?))
}

fn path(home: &Home, job: &str) -> PathBuf {
    Path::new(&home.dir("jobs")).join(format!("{job}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_state_begins_another_life_where_it_was_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let place = |partition| ("raw.sensor".to_owned(), partition);
        assert_eq!(Record::read(&home, "busy").unwrap().app_id("busy"), "job/busy");
        drop_state(&home, "busy", &Positions::from([(place(0), 7), (place(1), 9)])).unwrap();
        let record = Record::read(&home, "busy").unwrap();
        assert_eq!(record.app_id("busy"), "job/busy/1");
        let start = record.start(Positions::from([(place(1), 12)]));
        assert_eq!(start, Positions::from([(place(0), 7), (place(1), 12)]), "what the state knows goes before where the life began");
    }

    #[test]
    fn the_version_that_ran_last_can_run_again() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let job = pipelines::builtin_jobs().iter().find(|job| job.name == "sensor_1m").unwrap().parse().unwrap();
        ran(&home, &job).unwrap();
        let again = Record::read(&home, job.name()).unwrap().last_job(&home, job.name()).unwrap();
        assert_eq!(again.digest(), job.digest());
    }
}
