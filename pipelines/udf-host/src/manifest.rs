//! What is written beside a shared object: its name, types, nullability and digests.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::UdfError;
use crate::limits::{ARGUMENTS_MAX, MANIFEST_BYTES_MAX, MANIFESTS_MAX};
use crate::types::{PassedAs, SqlType};

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A value for each row.
    Scalar,
    /// A value for each row, after waiting for something.
    Async,
    /// A value for each group of rows; every argument is a list.
    Aggregate,
}

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// What SQL gives; of an aggregate, the type of one value.
    #[serde(rename = "type")]
    pub sql: SqlType,
    /// What the plugin takes.
    pub passed_as: PassedAs,
    /// Whether the function is called with NULL. Otherwise NULL gives NULL without a call; an aggregate leaves the row out.
    pub nullable: bool,
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Returns {
    /// What SQL receives.
    #[serde(rename = "type")]
    pub sql: SqlType,
    /// What the plugin gives.
    pub passed_as: PassedAs,
    /// Whether the function itself may answer NULL. A row that fails is NULL in any case.
    pub nullable: bool,
}

/// A file that a function reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    /// Its name in the folder.
    pub file: String,
    /// BLAKE3 in hex.
    pub digest: String,
}

/// One function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its name in SQL.
    pub name: String,
    /// How it is called.
    pub kind: Kind,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// The shared object, a file of the same folder.
    pub library: String,
    /// BLAKE3 of the shared object in hex.
    pub digest: String,
    /// The arguments in order, at least one.
    pub arguments: Vec<Argument>,
    /// The result.
    pub returns: Returns,
    /// Files that it reads, in the same folder.
    #[serde(default)]
    pub data: Vec<DataFile>,
    /// How many calls an async function may have in flight.
    #[serde(default = "in_flight")]
    pub in_flight: u32,
}

fn in_flight() -> u32 {
    100
}

impl Manifest {
    /// What results depend on, as a digest in hex: the code, the data and how they are called.
    pub(crate) fn identity(&self) -> String {
        let same = Manifest { description: String::new(), ..self.clone() };
        blake3::hash(&serde_json::to_vec(&same).expect("a manifest is plain JSON")).to_hex().to_string()
    }

    /// What is wrong with it, judged by itself.
    fn problem(&self) -> Option<String> {
        let plain = |name: &str| !name.is_empty() && name.len() <= 64 && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let in_folder = |file: &str| Path::new(file).file_name().is_some_and(|name| name == file);
        if !plain(&self.name) {
            return Some(format!("{:?} is no name for a function: use a-z, 0-9 and _", self.name));
        }
        if self.arguments.is_empty() || self.arguments.len() > ARGUMENTS_MAX {
            return Some(format!("a function has 1 to {ARGUMENTS_MAX} arguments, not {}", self.arguments.len()));
        }
        if self.in_flight == 0 {
            return Some("in_flight must be at least 1".into());
        }
        if let Some(file) = self.files().map(|(file, _)| file).find(|file| !in_folder(file)) {
            return Some(format!("{file:?} must be the name of a file in the same folder"));
        }
        if let Some(argument) = self.arguments.iter().find(|it| !it.sql.crosses_as(it.passed_as)) {
            return Some(format!("{:?} of argument {} cannot cross as {:?}", argument.sql, argument.name, argument.passed_as));
        }
        if self.kind == Kind::Aggregate && self.arguments.iter().any(|it| matches!(it.passed_as, PassedAs::Text | PassedAs::Bytes)) {
            return Some("arroyo-udf-plugin 0.2 takes lists of numbers only: an aggregate has no TEXT or BINARY argument".into());
        }
        let returns = &self.returns;
        (!returns.sql.crosses_as(returns.passed_as)).then(|| format!("a result {:?} cannot be a {:?}", returns.passed_as, returns.sql))
    }

    /// The files that must stand beside the manifest, with their digests; the shared object first.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let data = self.data.iter().map(|data| (data.file.as_str(), data.digest.as_str()));
        std::iter::once((self.library.as_str(), self.digest.as_str())).chain(data)
    }
}

/// Reads the manifests of a folder, in the order of their functions' names, and checks the digests of their files.
pub(crate) fn read_folder(folder: &Path) -> Result<Vec<Manifest>, UdfError> {
    let cannot = |source| UdfError::Read { path: folder.to_owned(), source };
    let mut manifests: Vec<(PathBuf, Manifest)> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".udf.json")) {
            let manifest = read(&path)?;
            manifests.push((path, manifest));
        }
    }
    manifests.sort_by(|a, b| a.1.name.cmp(&b.1.name).then_with(|| a.0.cmp(&b.0)));
    if manifests.len() > MANIFESTS_MAX {
        let reason = format!("holds {} manifests, more than {MANIFESTS_MAX}", manifests.len());
        return Err(UdfError::Manifest { path: folder.to_owned(), reason });
    }
    if let Some([first, second]) = manifests.array_windows().find(|[first, second]| first.1.name == second.1.name) {
        let reason = format!("{} names the function {} too: remove one of them", first.0.display(), first.1.name);
        return Err(UdfError::Manifest { path: second.0.clone(), reason });
    }
    for (path, manifest) in &manifests {
        verify(path, folder, manifest)?;
    }
    Ok(manifests.into_iter().map(|(_, manifest)| manifest).collect())
}

fn read(path: &Path) -> Result<Manifest, UdfError> {
    let cannot = |source| UdfError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(MANIFEST_BYTES_MAX).read_to_string(&mut text).map_err(cannot)?;
    let wrong = |reason: String| UdfError::Manifest { path: path.to_owned(), reason };
    let manifest: Manifest =
        serde_json::from_str(&text).map_err(|error| wrong(format!("is no manifest: {error}; write it with udfs/build.sh")))?;
    match manifest.problem() {
        Some(problem) => Err(wrong(problem)),
        None => Ok(manifest),
    }
}

fn verify(path: &Path, folder: &Path, manifest: &Manifest) -> Result<(), UdfError> {
    for (file, wanted) in manifest.files() {
        let file = folder.join(file);
        let found = digest(&file).map_err(|source| UdfError::Read { path: file.clone(), source })?;
        if found != wanted {
            return Err(UdfError::Digest { path: file, manifest: path.to_owned(), wanted: wanted.to_owned(), found });
        }
    }
    Ok(())
}

/// BLAKE3 of a file in hex.
pub(crate) fn digest(file: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(file)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}
