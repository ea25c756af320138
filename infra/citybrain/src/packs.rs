//! Packs as folders: what one kind of danger brings along.
//!
//! ```text
//! pack.yaml      what it is: id, name, what it is for
//! graph.yaml     its part of the graph: scenario, chains, thresholds, resources, plan
//! jobs/*.sql     streaming jobs that run while it is installed, with the files that they look up beside them
//! script.yaml    cases for evaluation, read by whoever evaluates
//! ```
//!
//! A pack that does not ship is copied to `<home>/packs/<id>` when it is installed. Whether it *is* installed only the graph
//! says: a folder without its elements does nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use graph::{BUILTIN_PACKS, Pack};
use pipelines::{BuiltinJob, builtin_jobs};

use crate::home::Home;

/// Begins the name of a folder that is being copied; no id begins so.
const UNDER_WAY: &str = "~";

/// A pack with what lies beside its part of the graph.
pub struct PackFolder {
    /// What the graph takes in.
    pub pack: Pack,
    /// Its folder; a pack that ships has none.
    pub folder: Option<PathBuf>,
    /// Names of its jobs.
    pub jobs: Vec<String>,
    /// Whether it has cases for evaluation.
    pub has_script: bool,
}

impl PackFolder {
    /// Reads a pack's folder.
    ///
    /// # Errors
    /// When a file cannot be read, or what is wrong in it, with its line.
    pub fn read(folder: &Path) -> Result<PackFolder> {
        let text = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("could not read {}: a pack has pack.yaml and graph.yaml", path.display()))
        };
        let pack = Pack::read(&folder.display().to_string(), &text("pack.yaml")?, &text("graph.yaml")?)?;
        let jobs = job_files(&folder.join("jobs"))?.iter().filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
        Ok(PackFolder { pack, jobs, has_script: folder.join("script.yaml").is_file(), folder: Some(folder.to_owned()) })
    }

    /// The packs that ship.
    pub fn builtin() -> Vec<PackFolder> {
        let of = |(pack, texts): (Pack, &graph::BuiltinPack)| PackFolder {
            jobs: jobs_that_ship_with(&pack.id).map(|job| job.name.to_owned()).collect(),
            has_script: texts.script.is_some(),
            folder: None,
            pack,
        };
        Pack::builtin().into_iter().zip(&BUILTIN_PACKS).map(of).collect()
    }

    /// A pack by the name of one that ships, or by its folder.
    ///
    /// # Errors
    /// When there is none, or something is wrong with it.
    pub fn find(name: &str) -> Result<PackFolder> {
        if let Some(pack) = PackFolder::builtin().into_iter().find(|it| it.pack.id == name) {
            return Ok(pack);
        }
        match Path::new(name) {
            folder if folder.is_dir() => PackFolder::read(folder),
            _ => bail!("there is neither a folder {name} nor a pack of that name; those that ship are {}", BUILTIN_PACKS.map(|pack| pack.id).join(", ")),
        }
    }

    /// Puts its folder into the home, so that the brain finds its jobs. A pack that ships needs none.
    ///
    /// # Errors
    /// When a file cannot be copied.
    pub fn keep(&self, home: &Home) -> Result<()> {
        let target = folder_in(home, &self.pack.id);
        match &self.folder {
            Some(folder) if same(folder, &target) => Ok(()),
            Some(folder) => {
                let temporary = home.dir("packs").join(format!("{UNDER_WAY}{}", self.pack.id));
                forget(&temporary)?;
                copy(folder, &temporary)?;
                forget(&target)?;
                std::fs::rename(&temporary, &target).with_context(|| format!("could not put the pack to {}", target.display()))
            }
            None => forget(&target),
        }
    }

    /// Takes out of the home what [`PackFolder::keep`] put there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn leave(&self, home: &Home) -> Result<()> {
        let target = folder_in(home, &self.pack.id);
        match &self.folder {
            Some(folder) if !same(folder, &target) => forget(&target),
            Some(_) | None => Ok(()),
        }
    }
}

/// The packs whose folders are in the home.
///
/// # Errors
/// What is wrong with one of them.
pub fn kept(home: &Home) -> Result<Vec<PackFolder>> {
    let Ok(entries) = std::fs::read_dir(home.dir("packs")) else { return Ok(Vec::new()) };
    let done = |path: &PathBuf| path.is_dir() && !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNDER_WAY));
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(done).collect();
    folders.sort();
    folders.iter().map(|folder| PackFolder::read(folder)).collect()
}

/// Where the folder of a pack is kept.
pub fn folder_in(home: &Home, id: &str) -> PathBuf {
    home.dir("packs").join(id)
}

/// Removes a pack's folder, if it is there.
///
/// # Errors
/// When the disk refuses.
pub fn forget(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).with_context(|| format!("could not remove {}", folder.display())),
        _ => Ok(()),
    }
}

/// The jobs that ship with a pack.
pub fn jobs_that_ship_with(id: &str) -> impl Iterator<Item = &'static BuiltinJob> {
    builtin_jobs().iter().filter(move |job| job.pack == Some(id))
}

/// The job files of a folder, in the order of their names.
///
/// # Errors
/// When the folder is there and cannot be read.
pub fn job_files(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    Ok(paths)
}

fn same(one: &Path, other: &Path) -> bool {
    one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("could not create {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("could not list {}", from.display()))? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            std::fs::copy(&path, &target).with_context(|| format!("could not copy {} to {}", path.display(), target.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pack_that_ships_is_its_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../graph/packs");
        for shipped in PackFolder::builtin() {
            let read = PackFolder::read(&folder.join(&shipped.pack.id)).unwrap();
            assert_eq!((&read.pack.id, &read.jobs, read.has_script), (&shipped.pack.id, &shipped.jobs, shipped.has_script));
            assert_eq!(read.pack.changes(), shipped.pack.changes());
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), BUILTIN_PACKS.len());
    }

    #[test]
    fn a_pack_is_kept_as_it_is_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../graph/packs/garbage");
        let pack = PackFolder::find(source.to_str().unwrap()).unwrap();
        pack.keep(&home).unwrap();
        pack.keep(&home).unwrap();
        let kept_here = kept(&home).unwrap();
        assert_eq!(kept_here.iter().map(|it| (it.pack.id.as_str(), it.jobs.join(","))).collect::<Vec<_>>(), [("garbage", "weighing_anomalies".to_owned())]);
        assert!(folder_in(&home, "garbage").join("jobs/garbage_stations.csv").is_file());
        PackFolder::find("garbage").unwrap().keep(&home).unwrap();
        assert!(kept(&home).unwrap().is_empty(), "a pack that ships takes the place of a folder");
        assert!(PackFolder::find("snow").is_err_and(|error| error.to_string().contains("urban_flooding")));
    }
}
