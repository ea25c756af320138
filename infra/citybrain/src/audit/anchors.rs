//! The heads of the audit that this home keeps beside the log.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use schemas::audit::Head;
use serde::{Deserialize, Serialize};

/// A head, when it was the end, and where the log has its entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// When it was written down.
    pub time: DateTime<Utc>,
    /// The head, as text.
    pub head: String,
    /// The offset of the last entry.
    pub offset: i64,
}

/// The folder of the audit in a home.
pub struct Anchors {
    folder: PathBuf,
}

impl Anchors {
    /// Those of a folder.
    pub fn of(folder: PathBuf) -> Anchors {
        Anchors { folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("anchors.jsonl")
    }

    /// The chain that this home writes, if it has one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn chain(&self) -> Result<Option<String>> {
        let read = read_if_there(&self.folder.join("chain"))?;
        Ok(read.map(|text| text.trim().to_owned()).filter(|chain| !chain.is_empty()))
    }

    /// Begins a new chain.
    ///
    /// # Errors
    /// When its name cannot be written down.
    pub fn begin(&self) -> Result<String> {
        std::fs::create_dir_all(&self.folder).with_context(|| format!("could not create {}", self.folder.display()))?;
        let chain: String = rand::random::<[u8; 8]>().iter().map(|byte| format!("{byte:02x}")).collect();
        crate::home::write_atomically(&self.folder.join("chain"), chain.as_bytes())?;
        Ok(chain)
    }

    /// All anchors, oldest first. A last line that a crash cut off is passed over.
    ///
    /// # Errors
    /// When the file cannot be read, or has been damaged.
    pub fn all(&self) -> Result<Vec<(Anchor, Head)>> {
        let text = read_if_there(&self.file())?.unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let read = |line: &str| -> Result<(Anchor, Head)> {
            let anchor: Anchor = serde_json::from_str(line)?;
            let head = anchor.head.parse::<Head>()?;
            Ok((anchor, head))
        };
        whole.lines().map(|line| read(line).with_context(|| format!("{} has been damaged: {line:?}", self.file().display()))).collect()
    }

    /// Writes one down, for good.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&self, head: &Head, offset: i64) -> Result<()> {
        let line = serde_json::to_string(&Anchor { time: Utc::now(), head: head.to_string(), offset }).expect("an anchor is text and a number");
        let write = || -> std::io::Result<()> {
            let cut_off = read_if_there(&self.file()).ok().flatten().is_some_and(|text| !text.is_empty() && !text.ends_with('\n'));
            let mut file = std::fs::File::options().create(true).append(true).open(self.file())?;
            file.write_all(format!("{}{line}\n", if cut_off { "\n" } else { "" }).as_bytes())?;
            file.sync_all()
        };
        write().with_context(|| format!("could not write {}", self.file().display()))
    }
}

fn read_if_there(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
    }
}
