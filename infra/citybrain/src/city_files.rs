//! The files of this city's graph: those of `<home>/graph`, else the ones that ship.
//!
//! They are taken in when a brain starts: what has changed in them since the last start is done to the live graph, and what
//! people changed while it ran stays. What was taken in last is in `<home>/brain/files.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use graph::{CITY_FILES, Change, Element, Entry, Files, Graph, Key, Pack};

use crate::home::{Home, write_atomically};

/// The city's files, read and checked each by itself.
pub struct CityFiles {
    files: Files,
    /// Whether they are those that ship: then a city that begins has the packs that ship, too.
    shipped: bool,
    /// Where it is remembered what was taken in.
    taken: PathBuf,
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
        Ok(CityFiles { files: files.context("the graph's files are wrong")?, shipped, taken: home.dir("brain").join("files.json") })
    }

    /// The graph that a brain should have whose graph is `live`: with what has changed in the files since they were taken in.
    ///
    /// # Errors
    /// What is wrong with the files, or what of them does not fit the live graph.
    pub fn graph(&self, live: &Graph) -> Result<Graph> {
        let mut graph = self.files.graph().context("the graph's files are wrong")?;
        if live.is_empty() {
            let packs = if self.shipped { Pack::builtin() } else { Vec::new() };
            for pack in packs {
                pack.install(&mut graph).with_context(|| format!("the pack {} does not fit the city's files", pack.id))?;
            }
            return Ok(graph);
        }
        let mut wanted = live.clone();
        if let Err(refused) = wanted.amend(news(&self.before(live)?, &graph, live)) {
            let told = refused.iter().map(|error| match self.files.stands(&error.key) {
                Some((file, line)) => format!("{file}:{line}: {}", error.problem),
                None => format!("{} was taken out of the files: {}", error.key, error.problem),
            });
            bail!("the city's files do not fit what was changed since they were read last:\n{}", told.collect::<Vec<_>>().join("\n"));
        }
        Ok(wanted)
    }

    /// What the files said when they were taken in; what is the city's own, when nobody remembers.
    fn before(&self, live: &Graph) -> Result<BTreeMap<Key, Element>> {
        let elements: Vec<Element> = match std::fs::read(&self.taken) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged: remove it, and the files hold as they are", self.taken.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                live.entries().filter(|entry| entry.pack.is_none()).map(|entry| entry.element.clone()).collect()
            }
            Err(error) => return Err(error).with_context(|| format!("could not read {}", self.taken.display())),
        };
        Ok(elements.into_iter().map(|element| (element.key(), element)).collect())
    }

    /// Notes that the files have been taken in.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remember(&self) -> Result<()> {
        let graph = self.files.graph().context("the graph's files are wrong")?;
        let bytes = serde_json::to_vec(&graph.entries().map(|entry| &entry.element).collect::<Vec<_>>())?;
        if std::fs::read(&self.taken).is_ok_and(|known| known == bytes) {
            return Ok(());
        }
        write_atomically(&self.taken, &bytes)
    }
}

/// What is new in the files, as changes of the live graph. What a pack brought is the pack's.
fn news(before: &BTreeMap<Key, Element>, files: &Graph, live: &Graph) -> Vec<Change> {
    let owner: BTreeMap<Key, Option<&String>> = live.entries().map(|entry| (entry.element.key(), entry.pack.as_ref())).collect();
    let put = files.entries().filter(|entry| before.get(&entry.element.key()) != Some(&entry.element));
    let put = put.filter(|entry| owner.get(&entry.element.key()).is_none_or(Option::is_none));
    let put = put.map(|entry| Change::Put(Box::new(Entry::clone(entry))));
    let gone = before.keys().filter(|key| files.get(key).is_none() && owner.get(*key).is_some_and(Option::is_none));
    put.chain(gone.cloned().map(Change::Remove)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    const CITY: &str = "city: { zh: 小城, en: Town, default_unit: hall }
units:
  - { id: hall, level: city, name: { zh: 市府, en: Town hall } }
categories:
  - { id: other, name: { zh: 其他, en: Other }, major: 综合, urgency: 4, deadline_hours: 72 }
";
    const LAMPS: &str = "  - { id: lamps, level: city, name: { zh: 灯, en: Lamps } }\n";

    fn with(units: &str) -> String {
        CITY.replace("categories:", &format!("{units}categories:"))
    }

    #[test]
    fn files_and_people_change_the_same_graph() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let start = |text: &str, live: &Graph| -> Result<Graph> {
            std::fs::write(home.dir("city.yaml"), text).unwrap();
            let files = CityFiles::of(&home)?;
            let graph = files.graph(live)?;
            files.remember()?;
            Ok(graph)
        };
        let mut live = start(CITY, &Graph::new()).unwrap();
        let began = live.version();
        let person = Files::read(&[("person.yaml", &format!("units:\n{}", LAMPS.replace("lamps", "trees")))]).unwrap();
        live.amend(person.changes(None)).unwrap();
        assert_eq!(start(CITY, &live).unwrap(), live, "what people changed outlives a start");
        live = start(&with(LAMPS), &live).unwrap();
        assert!(live.unit("lamps").is_some() && live.unit("trees").is_some(), "and what is new in the files is done");
        live = start(CITY, &live).unwrap();
        assert!(live.unit("lamps").is_none() && live.unit("trees").is_some());
        live.amend(vec![Change::Remove("unit/trees".parse().unwrap())]).unwrap();
        assert_eq!(live.version(), began);

        // What somebody needs who was named while the brain ran cannot go with the files.
        live = start(&with(LAMPS), &live).unwrap();
        let person = Files::read(&[("person.yaml", "duties:\n  - { category: other, unit: lamps }\n")]).unwrap();
        live.amend(person.changes(None)).unwrap();
        let told = format!("{:#}", start(CITY, &live).unwrap_err());
        assert!(told.contains("unit/lamps was taken out of the files: 1 element(s) speak of it"), "{told}");
    }
}
