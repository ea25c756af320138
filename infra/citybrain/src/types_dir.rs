//! Event types of this city: JSON Schema files in `<home>/schemas/`, taken in while the brain runs.
//!
//! A file that was taken in is also kept under `<home>/schemas/in-force/`, so that a breaking change is recognised after a
//! restart too. A file that is refused changes nothing: the types in force stay, and the reason is told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use schemas::Registry;

use crate::home::write_atomically;

const IN_FORCE: &str = "in-force";

/// The folder of a city's event types.
pub struct TypesDir {
    dir: PathBuf,
    registry: Arc<Registry>,
    /// The files as they were read last.
    seen: BTreeMap<String, String>,
}

impl TypesDir {
    /// The types that ship, those in force, and those of the folder.
    ///
    /// # Errors
    /// When the folder cannot be read, or a type in force cannot: it was taken in before, so this is damage.
    pub fn open(dir: &Path) -> Result<TypesDir> {
        let in_force = read_files(&dir.join(IN_FORCE))?;
        let registry = Registry::builtin()
            .with_files(in_force.iter().map(|(name, text)| (name.as_str(), text.as_str())))
            .with_context(|| format!("an event type in force cannot be read; look into {}", dir.join(IN_FORCE).display()))?;
        Ok(TypesDir { dir: dir.to_path_buf(), registry: Arc::new(registry), seen: BTreeMap::new() })
    }

    /// The types in force.
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.clone()
    }

    /// Looks at the folder. `None` when nothing changed since the last look.
    ///
    /// # Errors
    /// Why a file is refused; the types in force stay, and it is told once for each change of the folder.
    pub fn look(&mut self) -> Result<Option<Arc<Registry>>> {
        let files = read_files(&self.dir)?;
        if files == self.seen {
            return Ok(None);
        }
        self.seen = files;
        let mut taken = None;
        let mut refused = Vec::new();
        for (name, text) in &self.seen {
            match take(&self.registry, name, text) {
                Ok(None) => {}
                Ok(Some(registry)) => {
                    let dir = self.dir.join(IN_FORCE);
                    std::fs::create_dir_all(&dir).with_context(|| format!("could not create {}", dir.display()))?;
                    write_atomically(&dir.join(name), text.as_bytes())?;
                    self.registry = Arc::new(registry);
                    taken = Some(self.registry.clone());
                }
                Err(reason) => refused.push(reason),
            }
        }
        match (taken, refused.is_empty()) {
            (taken, true) => Ok(taken),
            (None, false) => anyhow::bail!(refused.join("; ")),
            (Some(registry), false) => {
                tracing::warn!(reason = refused.join("; "), "an event type was refused");
                Ok(Some(registry))
            }
        }
    }
}

/// The types with one more file; `None` when it is there already.
fn take(registry: &Registry, name: &str, text: &str) -> Result<Option<Registry>, String> {
    let with = registry.with_files([(name, text)]).map_err(|error| error.to_string())?;
    if with.types().count() == registry.types().count() {
        return Ok(None);
    }
    let mut added = with.types().filter(|def| registry.get(&def.event_type).is_none());
    if let Some(def) = added.find(|def| !def.topic.starts_with("raw.")) {
        return Err(format!("{name}: topic {:?} must begin with raw.: the others are written by the brain itself", def.topic));
    }
    drop(added);
    Ok(Some(with))
}

fn read_files(dir: &Path) -> Result<BTreeMap<String, String>> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(BTreeMap::new()) };
    let mut files = BTreeMap::new();
    for entry in entries {
        let path = entry.with_context(|| format!("could not list {}", dir.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.insert(name, text);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parking(version: u32, schema: &str) -> String {
        format!(r#"{{"type":"io.example.parking.v{version}","version":{version},"topic":"raw.parking","table":"parking","schema":{schema}}}"#)
    }

    const SCHEMA: &str = r#"{"type":"object","properties":{"garage":{"type":"string"},"free":{"type":"integer"}},"required":["garage"]}"#;

    #[test]
    fn a_file_is_an_event_type_and_a_breaking_change_is_refused_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut types = TypesDir::open(dir.path()).unwrap();
        assert!(types.look().unwrap().is_none());
        std::fs::write(dir.path().join("parking.json"), parking(1, SCHEMA)).unwrap();
        assert!(types.look().unwrap().unwrap().get("io.example.parking.v1").is_some());
        assert!(types.look().unwrap().is_none(), "nothing changed");

        let broken = SCHEMA.replace("integer", "string");
        std::fs::write(dir.path().join("parking.json"), parking(1, &broken)).unwrap();
        let mut again = TypesDir::open(dir.path()).unwrap();
        let reason = again.look().unwrap_err().to_string();
        assert!(reason.contains("new version"), "{reason}");
        std::fs::write(dir.path().join("parking.json"), parking(2, &broken)).unwrap();
        let reason = again.look().unwrap_err().to_string();
        assert!(reason.contains("/free"), "{reason}");
        assert!(again.registry().get("io.example.parking.v1").is_some());
    }

    #[test]
    fn a_type_may_not_take_the_brains_own_topics() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x.json"), parking(1, SCHEMA).replace("raw.parking", "city.journal2")).unwrap();
        let reason = TypesDir::open(dir.path()).unwrap().look().unwrap_err().to_string();
        assert!(reason.contains("raw."), "{reason}");
    }
}
