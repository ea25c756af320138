//! The files of this city's graph: those of `<home>/graph`, else the ones that ship.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use graph::{CITY_FILES, Files, Graph, Pack};

use crate::home::Home;

/// The city's files, read and checked each by itself.
pub struct CityFiles {
    files: Files,
    /// Whether they are those that ship: then a city that begins has the packs that ship, too.
    shipped: bool,
}

impl CityFiles {
    /// Reads the files of a home: `<home>/graph/*.yaml`, or `<home>/city.yaml` alone; without them those that ship.
    ///
    /// # Errors
    /// When a file cannot be read, or what is wrong in them, line by line.
    pub fn of(home: &Home) -> Result<CityFiles> {
        let texts = texts(&own_files(home)?)?;
        let shipped = texts.is_empty();
        let files = if shipped { Files::read(&CITY_FILES) } else { Files::read(&texts) };
        Ok(CityFiles { files: files.context("the graph's files are wrong")?, shipped })
    }

    /// The graph that a brain should have whose graph is `live`: what the files say, with the packs that are installed.
    ///
    /// # Errors
    /// What is wrong with the files, or what of an installed pack does not fit them.
    pub fn graph(&self, live: &Graph) -> Result<Graph> {
        let mut graph = self.files.graph().context("the graph's files are wrong")?;
        if live.is_empty() && self.shipped {
            for pack in Pack::builtin() {
                pack.install(&mut graph).with_context(|| format!("the pack {} does not fit the city's files", pack.id))?;
            }
            return Ok(graph);
        }
        let packs = live.entries().filter(|entry| entry.pack.is_some()).cloned();
        let entries: Vec<_> = graph.entries().cloned().chain(packs).collect();
        Graph::of(entries).context("an installed pack does not fit the city's files")
    }
}

fn own_files(home: &Home) -> Result<Vec<PathBuf>> {
    let alone = home.dir("city.yaml");
    if alone.exists() {
        return Ok(vec![alone]);
    }
    let folder = home.dir("graph");
    if folder.is_dir() { yaml_files(&folder) } else { Ok(Vec::new()) }
}

/// The files of these paths, as (name, text).
pub fn texts(paths: &[PathBuf]) -> Result<Vec<(String, String)>> {
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
        Ok((path.display().to_string(), text))
    };
    paths.iter().map(read).collect()
}

/// The YAML files of a folder, in the order of their names.
pub fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
    paths.sort();
    Ok(paths)
}
