//! Packs: what one kind of danger brings along, to be installed and removed as a whole.
//!
//! A pack is a folder: `pack.yaml` says what it is, `graph.yaml` is its part of the graph (scenario, chains, thresholds,
//! resources, plan), and beside them may lie jobs (`jobs/*.sql`, which the shell runs while the pack is installed) and cases
//! for evaluation (`script.yaml`). Installing refuses what is there already, and removing takes out exactly what came: the
//! graph is then equal to the one before.

use serde::{Deserialize, Serialize};

use crate::element::{Key, Name};
use crate::{Change, ChangeError, Files, Graph, GraphError};

/// What a pack says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    id: String,
    name: Name,
    about: Name,
}

/// A pack, read and checked by itself.
#[derive(Debug, Clone)]
pub struct Pack {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: Name,
    /// What it is for, in a sentence.
    pub about: Name,
    files: Files,
}

/// Why a pack was not installed or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// It is installed already.
    #[error("pack `{0}` is installed; remove it first")]
    Installed(String),
    /// It is not installed.
    #[error("pack `{0}` is not installed")]
    NotInstalled(String),
    /// It brings what is there.
    #[error("pack `{pack}` brings what is there already: {}", keys.iter().map(Key::to_string).collect::<Vec<_>>().join(", "))]
    There {
        /// The pack.
        pack: String,
        /// What both have.
        keys: Vec<Key>,
    },
    /// It does not fit the graph.
    #[error("{0}")]
    Wrong(#[from] GraphError),
    /// Something else speaks of what it brought.
    #[error("could not remove pack `{pack}`")]
    Held {
        /// The pack.
        pack: String,
        /// What holds it.
        #[source]
        source: ChangeError,
    },
}

/// The texts of a pack that ships with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltinPack {
    /// Its id: the name of its folder.
    pub id: &'static str,
    /// `pack.yaml`.
    pub manifest: &'static str,
    /// `graph.yaml`.
    pub graph: &'static str,
    /// `script.yaml`: its cases for evaluation, which are read by whoever evaluates.
    pub script: Option<&'static str>,
    /// Where that lies.
    pub script_file: &'static str,
}

macro_rules! pack {
    ($id:literal) => {
        BuiltinPack {
            id: $id,
            manifest: include_str!(concat!("../packs/", $id, "/pack.yaml")),
            graph: include_str!(concat!("../packs/", $id, "/graph.yaml")),
            script: Some(include_str!(concat!("../packs/", $id, "/script.yaml"))),
            script_file: concat!("packs/", $id, "/script.yaml"),
        }
    };
}

/// The packs that ship with the program, in the order of their ids.
pub const BUILTIN_PACKS: [BuiltinPack; 9] = [
    pack!("bridge"),
    pack!("crowd"),
    pack!("forest_fire"),
    pack!("garbage"),
    pack!("gas_explosion"),
    pack!("power_lighting"),
    pack!("road_collapse"),
    pack!("urban_flooding"),
    pack!("water_main_burst"),
];

impl Pack {
    /// Reads a pack from the texts of its `pack.yaml` and `graph.yaml`.
    ///
    /// # Errors
    /// What is wrong in either file, with its line.
    pub fn read(folder: &str, manifest: &str, graph: &str) -> Result<Self, GraphError> {
        let manifest_file = format!("{folder}/pack.yaml");
        let wrong = |line: usize, problem: String| GraphError { problems: vec![(manifest_file.clone(), line, problem)] };
        let Manifest { id, name, about } = serde_saphyr::from_str(manifest)
            .map_err(|error| wrong(error.location().map_or(0, |location| location.line() as usize), crate::files::plain(&error)))?;
        if !crate::check::is_id(&id) {
            return Err(wrong(1, format!("`{id}` is no id")));
        }
        let files = Files::read(&[(format!("{folder}/graph.yaml"), graph)])?;
        Ok(Self { id, name, about, files })
    }

    /// The packs that ship with the program, in the order of their ids.
    pub fn builtin() -> Vec<Self> {
        let read = |pack: BuiltinPack| Self::read(pack.id, pack.manifest, pack.graph).expect("the shipped packs are checked by the tests");
        BUILTIN_PACKS.into_iter().map(read).collect()
    }

    /// The changes that put it into a graph without it, in an order in which each is allowed.
    pub fn changes(&self) -> Vec<Change> {
        self.files.changes(Some(&self.id))
    }

    /// Where one of its elements stands: its file and line.
    pub fn stands(&self, key: &Key) -> Option<(&str, usize)> {
        self.files.stands(key)
    }

    /// How many elements it brings.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether it brings nothing.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Puts the pack into the graph; gives the changes that did it, in their order.
    ///
    /// # Errors
    /// When it is there, brings what is there, or speaks of what is not; the graph is as before.
    pub fn install(&self, graph: &mut Graph) -> Result<Vec<Change>, PackError> {
        if graph.has_pack(&self.id) {
            return Err(PackError::Installed(self.id.clone()));
        }
        let changes = self.changes();
        let there: Vec<Key> = changes.iter().map(Change::key).filter(|key| graph.get(key).is_some()).collect();
        if !there.is_empty() {
            return Err(PackError::There { pack: self.id.clone(), keys: there });
        }
        let (undo, wrong) = self.files.put_into(graph, Some(&self.id));
        if wrong.is_empty() {
            return Ok(changes);
        }
        graph.apply_all(undo).expect("what was just put can be taken out");
        Err(PackError::Wrong(GraphError { problems: wrong }))
    }
}

impl Graph {
    /// The packs that are installed, with the number of elements of each.
    pub fn packs(&self) -> std::collections::BTreeMap<&str, usize> {
        let mut packs = std::collections::BTreeMap::new();
        for pack in self.entries().filter_map(|entry| entry.pack.as_deref()) {
            *packs.entry(pack).or_default() += 1;
        }
        packs
    }

    fn has_pack(&self, id: &str) -> bool {
        self.entries().any(|entry| entry.pack.as_deref() == Some(id))
    }

    /// Takes a pack out; gives the changes that did it, in their order.
    ///
    /// # Errors
    /// When it is not there, or something of the city's own or of another pack speaks of what it brought; the graph is as
    /// before.
    pub fn remove_pack(&mut self, id: &str) -> Result<Vec<Change>, PackError> {
        let mine = self.entries().filter(|entry| entry.pack.as_deref() == Some(id)).cloned();
        let mut keys: Vec<Key> = crate::change::in_building_order(mine).iter().map(|entry| entry.element.key()).collect();
        if keys.is_empty() {
            return Err(PackError::NotInstalled(id.to_owned()));
        }
        keys.reverse();
        let changes: Vec<Change> = keys.into_iter().map(Change::Remove).collect();
        self.apply_all(changes.clone()).map_err(|source| PackError::Held { pack: id.to_owned(), source })?;
        Ok(changes)
    }
}
