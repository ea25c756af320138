//! Entries of a model registry: what somebody has said of a model, held against its file before it is loaded.
//!
//! A file says of itself whatever its maker wrote into it. An entry is written by who operates the city: name, digest,
//! licence, quantisation, context. Where both differ, the model is not loaded. Digests are taken anew, never from beside the file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::Digest;
use thiserror::Error;

use crate::registry::{self, ModelFile, RegistryError};

/// What a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A file in the folder of models.
    #[default]
    File,
    /// An endpoint that serves one.
    Endpoint,
}

/// What somebody has said of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name: small letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What it is.
    #[serde(default)]
    pub kind: Kind,
    /// SHA-256 of its file in hexadecimal, as its publisher tells it. Endpoints have none.
    #[serde(default)]
    pub sha256: String,
    /// The type of most of its weights, such as `q8_0`.
    pub quantisation: String,
    /// Its licence.
    #[serde(default)]
    pub licence: String,
    /// Tokens that it is run with.
    pub context: u64,
    /// Where it came from: `registry`, a file, or an endpoint's address.
    pub source: String,
    /// The name under which an endpoint serves it.
    #[serde(default)]
    pub model: String,
}

/// Why a model is not taken.
#[derive(Debug, Error)]
pub enum EntryError {
    /// Its name is none.
    #[error("`{0}` is no name of a model: use small letters, digits, `-`, `_` and `.`")]
    Name(String),
    /// Two entries have one name.
    #[error("`{0}` is registered twice")]
    Twice(String),
    /// There is no digest, or it is none.
    #[error("`{0}` has no SHA-256 of 64 hexadecimal digits: take it from where the model was published")]
    NoDigest(String),
    /// The file is another one.
    #[error("`{name}` should have the SHA-256 {expected} and has {found}: it was changed, cut or mistaken; copy it again")]
    Digest {
        /// The entry.
        name: String,
        /// What the entry says.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// Nobody says under which licence it may be used.
    #[error("`{0}` has no licence: find out under which it may be used")]
    Licence(String),
    /// It does not come from here.
    #[error("`{name}` comes from {place}: models are loaded from files only, fetch it yourself and register the file")]
    Source {
        /// The entry.
        name: String,
        /// What it says.
        place: String,
    },
    /// The entry and the file differ.
    #[error("`{name}` should have {what} {expected} and has {found}")]
    Differs {
        /// The entry.
        name: String,
        /// What differs.
        what: &'static str,
        /// What the entry says.
        expected: String,
        /// What the file says.
        found: String,
    },
    /// The file is no model.
    #[error(transparent)]
    File(#[from] RegistryError),
}

impl Entry {
    /// Whether the entry itself is sound.
    ///
    /// # Errors
    /// A name, digest, licence, source or context that is none.
    pub fn sound(&self) -> Result<(), EntryError> {
        let name = || self.name.chars().take(60).collect::<String>();
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
        let is_name = !self.name.is_empty() && self.name.len() <= 64 && self.name.bytes().all(fits) && !self.name.starts_with('.') && !self.name.contains("..");
        if !is_name {
            return Err(EntryError::Name(name()));
        }
        if self.licence.trim().is_empty() {
            return Err(EntryError::Licence(name()));
        }
        let is_address = self.source.contains("://");
        match self.kind {
            Kind::File if is_address => return Err(EntryError::Source { name: name(), place: self.source.chars().take(120).collect() }),
            Kind::Endpoint if !is_address => return Err(EntryError::Source { name: name(), place: "no address".to_owned() }),
            Kind::File if self.sha256.len() != 64 || !self.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) => return Err(EntryError::NoDigest(name())),
            Kind::File | Kind::Endpoint => {}
        }
        if self.context == 0 {
            return Err(EntryError::Differs { name: name(), what: "a context of", expected: "at least 1".to_owned(), found: "0".to_owned() });
        }
        Ok(())
    }

    /// The model of a file, when it is the one that the entry speaks of.
    ///
    /// # Errors
    /// As [`Entry::sound`]; when the file's digest, quantisation or context is another one, or it is no model.
    pub fn admit(&self, path: &Path) -> Result<ModelFile, EntryError> {
        self.sound()?;
        let found = sha256(path).map_err(|source| RegistryError::Read { path: path.to_owned(), source })?;
        if !found.eq_ignore_ascii_case(&self.sha256) {
            return Err(EntryError::Digest { name: self.name.clone(), expected: self.sha256.to_ascii_lowercase(), found });
        }
        let model = registry::read(path)?;
        let differs = |what, expected: String, found: String| EntryError::Differs { name: self.name.clone(), what, expected, found };
        if !model.quantisation.eq_ignore_ascii_case(&self.quantisation) {
            return Err(differs("the quantisation", self.quantisation.clone(), model.quantisation));
        }
        if self.context > model.context {
            return Err(differs("a context of at most", model.context.to_string(), self.context.to_string()));
        }
        Ok(model)
    }

    /// Whether an endpoint serves the model that the entry speaks of.
    ///
    /// # Errors
    /// As [`Entry::sound`]; when it names another one.
    pub fn admit_served(&self, served: &str) -> Result<(), EntryError> {
        self.sound()?;
        let same = !self.model.is_empty() && served == self.model;
        let found = || served.chars().take(60).collect();
        same.then_some(()).ok_or_else(|| EntryError::Differs { name: self.name.clone(), what: "the model", expected: self.model.clone(), found: found() })
    }
}

/// Whether all entries are sound and no two have one name.
///
/// # Errors
/// The first that is wrong.
pub fn sound(entries: &[Entry]) -> Result<(), EntryError> {
    let mut names = std::collections::BTreeSet::new();
    for entry in entries {
        entry.sound()?;
        if !names.insert(&entry.name) {
            return Err(EntryError::Twice(entry.name.clone()));
        }
    }
    Ok(())
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hasher.update(&buffer[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            name: "small-1.0".to_owned(),
            kind: Kind::File,
            sha256: "0".repeat(64),
            quantisation: "q8_0".to_owned(),
            licence: "Apache-2.0".to_owned(),
            context: 64,
            source: "registry".to_owned(),
            model: String::new(),
        }
    }

    #[test]
    fn entries_that_say_too_little_are_refused() {
        assert!(entry().sound().is_ok());
        for name in ["", "../a", "a/b", "Ａ", "triаge", "a b", ".a", &"a".repeat(65)] {
            assert!(matches!(Entry { name: name.to_owned(), ..entry() }.sound(), Err(EntryError::Name(_))), "{name}");
        }
        for sha256 in ["", "abc123", &"z".repeat(64)] {
            assert!(matches!(Entry { sha256: sha256.to_owned(), ..entry() }.sound(), Err(EntryError::NoDigest(_))), "{sha256}");
        }
        assert!(matches!(Entry { licence: " ".to_owned(), ..entry() }.sound(), Err(EntryError::Licence(_))));
        assert!(matches!(Entry { source: "http://evil.example/m.gguf".to_owned(), ..entry() }.sound(), Err(EntryError::Source { .. })));
        assert!(Entry { context: 0, ..entry() }.sound().is_err());
        assert!(matches!(super::sound(&[entry(), entry()]), Err(EntryError::Twice(_))));
        assert!(super::sound(&[entry(), Entry { name: "other".to_owned(), ..entry() }]).is_ok());
    }

    #[test]
    fn a_file_is_the_one_that_was_registered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        std::fs::write(&path, "MZ no model").unwrap();
        assert!(matches!(entry().admit(&path), Err(EntryError::Digest { .. })));
        let registered = Entry { sha256: sha256(&path).unwrap().to_uppercase(), ..entry() };
        assert!(matches!(registered.admit(&path), Err(EntryError::File(RegistryError::Damaged { .. }))));
        // What lies beside the file is not believed.
        let digests = registry::digests(&path).unwrap();
        std::fs::write(&path, "MZ no Model").unwrap();
        assert_eq!(digests.sha256, registered.sha256.to_lowercase());
        assert!(matches!(registered.admit(&path), Err(EntryError::Digest { .. })));
        assert!(matches!(registered.admit(&folder.path().join("none")), Err(EntryError::File(RegistryError::Read { .. }))));
    }

    #[test]
    fn an_endpoint_serves_what_it_should() {
        let endpoint = Entry { kind: Kind::Endpoint, sha256: String::new(), source: "http://10.0.0.5:8080".to_owned(), model: "m-1".to_owned(), ..entry() };
        assert!(endpoint.admit_served("m-1").is_ok());
        assert!(matches!(endpoint.admit_served("m-2"), Err(EntryError::Differs { .. })));
        assert!(Entry { model: String::new(), ..endpoint.clone() }.admit_served("").is_err());
        assert!(matches!(Entry { source: "registry".to_owned(), ..endpoint }.sound(), Err(EntryError::Source { .. })));
    }
}
