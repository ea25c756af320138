//! Which jobs there are: those that ship, and the files of `<home>/jobs.d`, looked at again and again.
//!
//! ```text
//! jobs.d/NAME.sql          a job; one of the name of a job that ships takes its place
//! jobs.d/NAME.off          the job is stopped until this file goes
//! jobs.d/NAME.reset        a wish: drop the state and begin anew; gone when it is done
//! jobs.d/NAME.drop-state   a wish: this version (its digest is inside) may drop the open windows of the one before
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use pipelines::{BuiltinJob, Job, builtin_jobs};

use crate::home::{Home, write_atomically};

/// How often rows that a job looks up in tables or in the graph are read again. Other rows make another version of the job.
const LOOK_UP_EVERY: Duration = Duration::from_secs(300);

/// A job as the files say it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The job, or what is wrong with its file.
    pub job: Result<Job, String>,
    /// Whether a file of jobs.d says so; else it ships.
    pub from_file: bool,
    /// Counts the changes of its files as far as they were seen.
    pub edition: u64,
    /// Whether it is to stand still.
    pub off: bool,
    /// Whether its state is to be dropped.
    pub reset: bool,
    /// The digest of the version that may drop the windows of the one before.
    pub may_drop: Option<String>,
}

/// The jobs by name. Files are read again only when they have changed.
pub struct Catalog {
    root: PathBuf,
    dir: PathBuf,
    parsed: BTreeMap<String, Parsed>,
    editions: u64,
}

/// When a file was written, and how long it is.
type Stamp = (PathBuf, Option<SystemTime>, u64);

struct Parsed {
    stamps: Vec<Stamp>,
    /// When rows that it looks up in tables or in the graph were read; nothing, when there are none.
    looked_up: Option<Instant>,
    edition: u64,
    from_file: bool,
    job: Result<Job, String>,
}

impl Catalog {
    /// The jobs of a home, of which none was looked at yet.
    pub fn new(home: &Home) -> Catalog {
        Catalog { root: home.root().to_owned(), dir: home.dir("jobs.d"), parsed: BTreeMap::new(), editions: 0 }
    }

    /// What there is now.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn look(&mut self) -> Result<BTreeMap<String, Entry>> {
        let (sql, others) = self.files()?;
        let mut seen = BTreeMap::new();
        for builtin in builtin_jobs().iter().filter(|builtin| !sql.contains_key(builtin.name)) {
            seen.insert(builtin.name.to_owned(), self.builtin(builtin));
        }
        for (name, path) in &sql {
            seen.insert(name.clone(), self.file(path, &others));
        }
        let entries = seen.iter().map(|(name, parsed)| (name.clone(), self.entry(name, parsed))).collect();
        self.parsed = seen;
        Ok(entries)
    }

    /// The edition of a job's files that was seen last.
    pub fn edition(&self, name: &str) -> u64 {
        self.parsed.get(name).map_or(0, |parsed| parsed.edition)
    }

    /// Whether a job ships, and no file has taken its place.
    pub fn ships(&self, name: &str) -> bool {
        self.parsed.get(name).is_some_and(|parsed| !parsed.from_file)
    }

    /// The job files by name, and the stamps of what lies beside them.
    fn files(&self) -> Result<(BTreeMap<String, PathBuf>, Vec<Stamp>)> {
        let (mut sql, mut others) = (BTreeMap::new(), Vec::new());
        let entries = std::fs::read_dir(&self.dir).with_context(|| format!("could not list {}", self.dir.display()))?;
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let (Some(stem), extension) = (path.file_stem().and_then(|stem| stem.to_str()), path.extension().and_then(|end| end.to_str())) else { continue };
            match extension {
                Some("sql") => {
                    sql.insert(stem.to_owned(), path.clone());
                }
                Some("off" | "reset" | "drop-state" | "tmp") => {}
                Some(_) | None => others.push(stamp(&path)),
            }
        }
        others.sort();
        Ok((sql, others))
    }

    fn builtin(&mut self, builtin: &BuiltinJob) -> Parsed {
        match self.parsed.remove(builtin.name) {
            Some(parsed) if !parsed.from_file => parsed,
            Some(_) | None => Parsed { stamps: Vec::new(), looked_up: None, edition: self.next(), from_file: false, job: builtin.parse().map_err(|error| error.to_string()) },
        }
    }

    fn file(&mut self, path: &Path, others: &[Stamp]) -> Parsed {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let known = self.parsed.remove(&name).filter(|parsed| parsed.from_file);
        // A lookup file may lie in a folder below.
        let lookups = known.iter().filter_map(|parsed| parsed.job.as_ref().ok()).flat_map(Job::lookup_files);
        let deeper: Vec<PathBuf> = lookups.filter(|(path, _)| path.contains('/')).map(|(path, _)| self.dir.join(path)).collect();
        let stamps = |deeper: &[PathBuf]| -> Vec<Stamp> { [stamp(path)].into_iter().chain(others.iter().cloned()).chain(deeper.iter().map(|path| stamp(path))).collect() };
        let now = stamps(&deeper);
        let due = |parsed: &Parsed| parsed.looked_up.is_some_and(|at| at.elapsed() >= LOOK_UP_EVERY);
        match known {
            Some(parsed) if parsed.stamps == now && !due(&parsed) => parsed,
            known => {
                let job = super::load(path, &self.root).map_err(|error| format!("{error:#}"));
                let looked_up = super::given::looks_up(path).then(Instant::now);
                if let Some(known) = known.filter(|known| known.stamps == now && same(&known.job, &job)) {
                    return Parsed { looked_up, ..known };
                }
                let below = job.iter().flat_map(Job::lookup_files).filter(|(path, _)| path.contains('/')).map(|(path, _)| self.dir.join(path)).collect::<Vec<_>>();
                Parsed { stamps: stamps(&below), looked_up, edition: self.next(), from_file: true, job }
            }
        }
    }

    fn next(&mut self) -> u64 {
        self.editions += 1;
        self.editions
    }

    fn entry(&self, name: &str, parsed: &Parsed) -> Entry {
        let wish = |end: &str| self.dir.join(format!("{name}.{end}"));
        Entry {
            job: parsed.job.clone(),
            from_file: parsed.from_file,
            edition: parsed.edition,
            off: wish("off").exists(),
            reset: wish("reset").exists(),
            may_drop: std::fs::read_to_string(wish("drop-state")).ok().map(|digest| digest.trim().to_owned()),
        }
    }
}

/// Whether another look at the same file found the same.
fn same(before: &Result<Job, String>, now: &Result<Job, String>) -> bool {
    match (before, now) {
        (Ok(before), Ok(now)) => before.digest() == now.digest(),
        (Err(before), Err(now)) => before == now,
        _ => false,
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok();
    let modified = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
    (path.to_owned(), modified, metadata.map_or(0, |metadata| metadata.len()))
}

/// A wish about a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Stand still.
    Off,
    /// Drop the state and begin anew.
    Reset,
    /// Let the version with this digest drop what it cannot go on from.
    DropState,
}

impl Wish {
    fn path(self, home: &Home, job: &str) -> PathBuf {
        let end = match self {
            Wish::Off => "off",
            Wish::Reset => "reset",
            Wish::DropState => "drop-state",
        };
        home.dir("jobs.d").join(format!("{job}.{end}"))
    }

    /// Writes the wish down; it holds across restarts.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn make(self, home: &Home, job: &str, text: &str) -> Result<()> {
        write_atomically(&self.path(home, job), text.as_bytes())
    }

    /// Takes the wish back, or notes that it was fulfilled. Answers whether there was one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn clear(self, home: &Home, job: &str) -> Result<bool> {
        let path = self.path(home, job);
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).with_context(|| format!("could not remove {}", path.display())),
        }
    }

    /// Whether somebody wishes it.
    pub fn is_there(self, home: &Home, job: &str) -> bool {
        self.path(home, job).exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: &str = "CREATE TABLE r (station TEXT, ts TIMESTAMP METADATA FROM 'ce_time', WATERMARK FOR ts AS ts)
        WITH (connector = 'kafka', topic = 'raw.sensor', 'event.type' = 'a.b');
        CREATE TABLE n WITH (connector = 'delta', path = 'gold.n');
        INSERT INTO n SELECT station, count(*) AS n FROM r GROUP BY tumble(ts, INTERVAL '1 minute'), station";

    #[test]
    fn a_file_takes_the_place_of_a_job_that_ships_and_gives_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let mut catalog = Catalog::new(&home);
        let shipped = catalog.look().unwrap();
        assert_eq!(shipped.len(), builtin_jobs().len());
        assert!(shipped.values().all(|entry| entry.job.is_ok() && !entry.off), "all that ship run");
        let path = home.dir("jobs.d").join("alarms.sql");
        std::fs::write(&path, COUNT).unwrap();
        let replaced = catalog.look().unwrap();
        assert!(replaced["alarms"].from_file && replaced["alarms"].edition != shipped["alarms"].edition);
        assert_eq!(replaced["alarms"].job.as_ref().unwrap().name(), "alarms");
        assert_eq!(catalog.look().unwrap()["alarms"].edition, replaced["alarms"].edition, "nothing has changed");
        std::fs::remove_file(&path).unwrap();
        let back = catalog.look().unwrap();
        assert_eq!(back["alarms"].job.as_ref().unwrap().digest(), shipped["alarms"].job.as_ref().unwrap().digest());
    }

    #[test]
    fn a_lookup_file_that_comes_later_mends_the_job() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let folder = home.dir("jobs.d");
        let (tables, insert) = COUNT.split_once("INSERT INTO n").unwrap();
        let sql = format!(
            "{tables} CREATE TABLE p (station TEXT, street TEXT) WITH (connector = 'filesystem', path = 'p.csv', format = 'csv');
             INSERT INTO n SELECT p.street, w.n FROM ({insert}) w JOIN p ON w.station = p.station"
        );
        std::fs::write(folder.join("n.sql"), sql).unwrap();
        let mut catalog = Catalog::new(&home);
        let wrong = catalog.look().unwrap()["n"].job.clone().unwrap_err();
        assert!(wrong.contains("p.csv"), "{wrong}");
        std::fs::write(folder.join("p.csv"), "station,street\na,b\n").unwrap();
        assert_eq!(catalog.look().unwrap()["n"].job.as_ref().map(Job::name), Ok("n"));
    }

    #[test]
    fn wishes_are_files() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let mut catalog = Catalog::new(&home);
        Wish::Off.make(&home, "alarms", "").unwrap();
        Wish::DropState.make(&home, "alarms", "abc\n").unwrap();
        let entry = &catalog.look().unwrap()["alarms"];
        assert!(entry.off && !entry.reset && entry.may_drop.as_deref() == Some("abc"));
        assert!(Wish::Off.clear(&home, "alarms").unwrap() && !Wish::Off.clear(&home, "alarms").unwrap());
        assert!(!catalog.look().unwrap()["alarms"].off);
    }
}
