//! Which jobs there are: those that ship, those of installed packs, and the files of `<home>/jobs.d`, looked at again and again.
//!
//! ```text
//! jobs.d/NAME.sql          a job; one of the name of another job takes its place
//! jobs.d/NAME.off          the job is stopped until this file goes
//! jobs.d/NAME.reset        a wish: drop the state and begin anew; gone when it is done
//! jobs.d/NAME.drop-state   a wish: this version (its digest is inside) may drop the open windows of the one before
//! packs/PACK/jobs/NAME.sql a job that runs while the graph has the pack
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use pipelines::{BuiltinJob, Job, builtin_jobs};

use super::given::{self, LooksUp};
use crate::city_graph::CityGraph;
use crate::home::{Home, write_atomically};
use crate::packs;

/// How often rows that a job looks up in tables are read again. Other rows make another version of the job. What it looks up
/// in the graph is read again when the graph has changed.
const LOOK_UP_EVERY: Duration = Duration::from_secs(300);

/// A job as the files say it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The job, or what is wrong with its file.
    pub job: Result<Job, String>,
    /// Whether a file of the home says so; else it ships.
    pub from_file: bool,
    /// The pack that it comes with.
    pub pack: Option<String>,
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
    home: Home,
    dir: PathBuf,
    graph: CityGraph,
    /// The graph's version at the last look, and the packs that it had.
    version: String,
    packs: Vec<String>,
    parsed: BTreeMap<String, Parsed>,
    editions: u64,
}

/// When a file was written, and how long it is.
type Stamp = (PathBuf, Option<SystemTime>, u64);

struct Parsed {
    stamps: Vec<Stamp>,
    looks_up: LooksUp,
    /// When rows that it looks up in tables were read.
    read: Instant,
    /// The version of the graph in which it looked things up.
    version: String,
    edition: u64,
    from_file: bool,
    pack: Option<String>,
    job: Result<Job, String>,
}

impl Parsed {
    /// Whether what it looks up may be different by now.
    fn is_due(&self, version: &str) -> bool {
        (self.looks_up.tables && self.read.elapsed() >= LOOK_UP_EVERY) || (self.looks_up.graph && self.version != version)
    }
}

/// A folder's job files by name, and the stamps of what lies beside them.
struct Folder {
    pack: Option<String>,
    sql: BTreeMap<String, PathBuf>,
    others: Vec<Stamp>,
}

impl Folder {
    fn list(dir: &Path, pack: Option<String>) -> Result<Folder> {
        let (mut sql, mut others) = (BTreeMap::new(), Vec::new());
        let entries = std::fs::read_dir(dir).with_context(|| format!("could not list {}", dir.display()))?;
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
        Ok(Folder { pack, sql, others })
    }
}

impl Catalog {
    /// The jobs of a home, of which none was looked at yet; the graph is that of the brain that runs on it, or of its files.
    pub fn new(home: &Home) -> Catalog {
        Catalog::over(home, CityGraph::of(home))
    }

    /// The same over this graph.
    pub fn over(home: &Home, graph: CityGraph) -> Catalog {
        Catalog { home: home.clone(), dir: home.dir("jobs.d"), graph, version: String::new(), packs: Vec::new(), parsed: BTreeMap::new(), editions: 0 }
    }

    /// What there is now.
    ///
    /// # Errors
    /// When a folder or the graph cannot be read.
    pub fn look(&mut self) -> Result<BTreeMap<String, Entry>> {
        let version = self.graph.version()?;
        if self.version != version {
            self.packs = self.graph.packs()?;
            self.version = version;
        }
        let folders = self.folders()?;
        let mut seen = BTreeMap::new();
        for folder in &folders {
            for (name, path) in &folder.sql {
                if !seen.contains_key(name) {
                    let parsed = self.file(path, folder);
                    seen.insert(name.clone(), parsed);
                }
            }
        }
        let brings = |pack: &str| self.packs.iter().any(|it| it == pack) && folders.iter().all(|folder| folder.pack.as_deref() != Some(pack));
        let ship: Vec<&BuiltinJob> = builtin_jobs().iter().filter(|job| job.pack.is_none_or(brings) && !seen.contains_key(job.name)).collect();
        for builtin in ship {
            let parsed = self.builtin(builtin);
            seen.insert(builtin.name.to_owned(), parsed);
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

    /// The folders with job files, in the order in which they count.
    fn folders(&self) -> Result<Vec<Folder>> {
        let mut folders = vec![Folder::list(&self.dir, None)?];
        for pack in &self.packs {
            let folder = packs::folder_in(&self.home, pack);
            if folder.is_dir() {
                let jobs = folder.join("jobs");
                let none = || Folder { pack: Some(pack.clone()), sql: BTreeMap::new(), others: Vec::new() };
                folders.push(if jobs.is_dir() { Folder::list(&jobs, Some(pack.clone()))? } else { none() });
            }
        }
        Ok(folders)
    }

    fn builtin(&mut self, builtin: &BuiltinJob) -> Parsed {
        match self.parsed.remove(builtin.name).filter(|parsed| !parsed.from_file) {
            Some(parsed) if !parsed.is_due(&self.version) => parsed,
            known => {
                let job = given::builtin(builtin, self.home.root(), &self.graph).map_err(|error| format!("{error:#}"));
                let (read, version) = (Instant::now(), self.version.clone());
                if let Some(known) = known.filter(|known| same(&known.job, &job)) {
                    return Parsed { read, version, ..known };
                }
                let (looks_up, pack) = (given::looks_up(builtin.sql), builtin.pack.map(str::to_owned));
                Parsed { stamps: Vec::new(), looks_up, read, version, edition: self.next(), from_file: false, pack, job }
            }
        }
    }

    fn file(&mut self, path: &Path, folder: &Folder) -> Parsed {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let known = self.parsed.remove(&name).filter(|parsed| parsed.from_file);
        // A lookup file may lie in a folder below.
        let dir = path.parent().unwrap_or(&self.dir).to_owned();
        let below = |job: &Result<Job, String>| -> Vec<PathBuf> {
            let files = job.iter().flat_map(Job::lookup_files);
            files.filter(|(path, _)| path.contains('/')).map(|(path, _)| dir.join(path)).collect()
        };
        let stamps = |deeper: &[PathBuf]| -> Vec<Stamp> { [stamp(path)].into_iter().chain(folder.others.iter().cloned()).chain(deeper.iter().map(|path| stamp(path))).collect() };
        let now = stamps(&known.as_ref().map(|known| below(&known.job)).unwrap_or_default());
        match known {
            Some(parsed) if parsed.stamps == now && !parsed.is_due(&self.version) => parsed,
            known => {
                let job = super::load::load_over(path, self.home.root(), &self.graph).map_err(|error| format!("{error:#}"));
                let looks_up = given::looks_up(&std::fs::read_to_string(path).unwrap_or_default());
                let (read, version) = (Instant::now(), self.version.clone());
                if let Some(known) = known.filter(|known| known.stamps == now && same(&known.job, &job)) {
                    return Parsed { looks_up, read, version, ..known };
                }
                Parsed { stamps: stamps(&below(&job)), looks_up, read, version, edition: self.next(), from_file: true, pack: folder.pack.clone(), job }
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
            pack: parsed.pack.clone(),
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
    use std::sync::{Arc, Mutex};

    use graph::{Graph, Pack};

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
    fn jobs_follow_the_graph() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let graph = Arc::new(Mutex::new(Graph::builtin()));
        let mut catalog = Catalog::over(&home, CityGraph::Told(graph.clone()));
        let digest = |jobs: &BTreeMap<String, Entry>, name: &str| jobs[name].job.as_ref().unwrap().digest();
        let began = catalog.look().unwrap();
        assert_eq!(began["gas_overdue"].pack.as_deref(), Some("gas_explosion"));

        graph.lock().unwrap().remove_pack("gas_explosion").unwrap();
        let without = catalog.look().unwrap();
        assert!(!without.contains_key("gas_overdue"), "its pack is gone");
        assert_ne!(digest(&without, "alarms"), digest(&began, "alarms"), "so are its thresholds");
        assert_eq!(without["precursors"].edition, began["precursors"].edition, "what looks nothing up there is as it was");
        let pack = Pack::builtin().into_iter().find(|pack| pack.id == "gas_explosion").unwrap();
        pack.install(&mut graph.lock().unwrap()).unwrap();
        let back = catalog.look().unwrap();
        assert_eq!((digest(&back, "alarms"), digest(&back, "gas_overdue")), (digest(&began, "alarms"), digest(&began, "gas_overdue")));

        // A pack of the city's own brings its own jobs, and no others.
        let jobs = home.dir("packs").join("gas_explosion").join("jobs");
        std::fs::create_dir_all(&jobs).unwrap();
        std::fs::write(jobs.join("gas_count.sql"), COUNT).unwrap();
        let own = catalog.look().unwrap();
        assert!(own["gas_count"].from_file && own["gas_count"].pack.as_deref() == Some("gas_explosion") && !own.contains_key("gas_overdue"));
        graph.lock().unwrap().remove_pack("gas_explosion").unwrap();
        assert!(!catalog.look().unwrap().contains_key("gas_count"), "a folder without its elements does nothing");
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
