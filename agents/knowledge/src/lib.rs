//! The knowledge base of a city: reviewed documents, found by words, cited by section, and valid from one day to another.
//!
//! Documents are texts in Markdown with a front matter ([`Document`]), cut into sections by their headings and articles.
//! [`Knowledge::search`] ranks sections by BM25 over words (Chinese ones by jieba, English ones by their stems) in an index
//! that is built in memory; [`Knowledge::check_answer`] refuses a drafted answer whose sentences are not held by what they cite.
//! The same documents, query and day give the same answer: [`Knowledge::digest`] names the first of the three.
//!
//! Text in, values out. It knows nothing of files, clocks, models or the log, and it decides nothing: documents are written
//! and reviewed by people.

mod asking;
mod builtin;
mod citation;
mod document;
mod draft;
pub mod evaluate;
mod index;
pub mod limits;
mod quantity;
mod search;
mod section;
mod terms;

use std::collections::BTreeMap;

use chrono::NaiveDate;

pub use builtin::{DOCUMENTS, QUERIES, UNANSWERED};
pub use citation::{Answer, Refused, Sentence, Why};
pub use document::{Document, Kind, KnowledgeError, Title};
pub use search::{Hit, Query};
pub use section::Section;

/// Changes when the same documents and query would be ranked differently, so that a digest names the ranking as well.
const RANKING: &str = "knowledge ranking 1";

/// Documents, cut into sections and indexed.
pub struct Knowledge {
    // Invariant: documents are in the order of their ids, sections in the order of their documents and places, and the
    // number of a section is its number in the index.
    documents: Vec<Document>,
    sections: Vec<Section>,
    by_id: BTreeMap<String, usize>,
    index: index::Index,
    digest: String,
}

/// What keeps a document from being cited, or soon will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern {
    /// Its file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The document.
    pub document: String,
    /// What it is.
    pub what: Concerning,
}

/// What is the matter with a document on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concerning {
    /// Nobody has reviewed it, or not yet on that day. It is not cited.
    Unreviewed,
    /// It is valid from a later day. It is not cited.
    NotYet(NaiveDate),
    /// Its last day is over. It is not cited.
    Over(NaiveDate),
    /// Its last day is within 30 days.
    Ending(NaiveDate),
}

/// Days before the end of a document's validity in which [`Knowledge::concerns`] speaks of it.
const ENDING_DAYS: i64 = 30;

impl Concerning {
    /// Whether the document is not cited for it.
    pub fn holds_back(self) -> bool {
        match self {
            Self::Unreviewed | Self::NotYet(_) | Self::Over(_) => true,
            Self::Ending(_) => false,
        }
    }

    /// It in words.
    pub fn words(self, zh: bool) -> String {
        match (self, zh) {
            (Self::Unreviewed, true) => "未经审核，不予引用；请填写 reviewed_by 与 reviewed_at".to_owned(),
            (Self::Unreviewed, false) => "not reviewed, so it is not cited: fill in reviewed_by and reviewed_at".to_owned(),
            (Self::NotYet(day), true) => format!("自 {day} 起有效，目前不予引用"),
            (Self::NotYet(day), false) => format!("valid from {day}, so it is not cited yet"),
            (Self::Over(day), true) => format!("有效期已于 {day} 届满，不予引用；请修订或重新审核"),
            (Self::Over(day), false) => format!("valid until {day} only, so it is not cited: revise or renew it"),
            (Self::Ending(day), true) => format!("有效期将于 {day} 届满"),
            (Self::Ending(day), false) => format!("valid until {day} only"),
        }
    }
}

impl Knowledge {
    /// Reads documents, given as (name of the file, text), and builds the index.
    ///
    /// # Errors
    /// All that is wrong with the documents, each with its file and line: a front matter that is missing or that cannot be
    /// read, ids that are none or are there twice, days that cannot be, sections that are empty or too long, too much of all.
    pub fn read<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Result<Self, KnowledgeError> {
        let (documents, sections) = document::read_all(files)?;
        let by_id = sections.iter().enumerate().map(|(number, section)| (section.id.clone(), number)).collect();
        let index = index::Index::of(&documents, &sections);
        let digest = digest(&documents);
        Ok(Self { documents, sections, by_id, index, digest })
    }

    /// The starter set that ships with the program: documents of the demonstration city, which no authority has issued.
    pub fn builtin() -> Self {
        Self::read(DOCUMENTS).expect("the shipped documents are checked by the tests")
    }

    /// Names the documents, every character of them, and the way in which they are ranked: 64 hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The documents, in the order of their ids.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// The sections, in the order of their documents and places.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// A section by its id: `document#section`.
    pub fn section(&self, id: &str) -> Option<&Section> {
        self.by_id.get(id).map(|number| &self.sections[*number])
    }

    /// The document that a section is of.
    pub fn document_of(&self, section: &Section) -> &Document {
        &self.documents[section.document]
    }

    /// The exact words of a section.
    pub fn words_of(&self, section: &Section) -> &str {
        &self.document_of(section).text[section.bytes.0..section.bytes.1]
    }

    /// The exact words of a citation: `document#section`, with or without its brackets. None when nothing is called so.
    pub fn resolve(&self, citation: &str) -> Option<&str> {
        let id = citation.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(citation);
        self.section(id).map(|section| self.words_of(section))
    }

    /// What keeps documents from being cited on a day of the city, or soon will, in the order of files and lines.
    pub fn concerns(&self, today: NaiveDate) -> Vec<Concern> {
        let mut concerns: Vec<Concern> = self
            .documents
            .iter()
            .filter_map(|document| {
                let what = document.concerning(today)?;
                Some(Concern { file: document.file.clone(), line: document.line_of(what), document: document.id.clone(), what })
            })
            .collect();
        concerns.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        concerns
    }
}

impl Document {
    /// Whether it may be cited on a day of the city: reviewed by then, and valid.
    pub fn is_citable(&self, today: NaiveDate) -> bool {
        self.concerning(today).is_none_or(|what| !what.holds_back())
    }

    /// What keeps it from being cited on a day, or soon will.
    pub fn concerning(&self, today: NaiveDate) -> Option<Concerning> {
        if self.reviewed.as_ref().is_none_or(|(_, day)| *day > today) {
            return Some(Concerning::Unreviewed);
        }
        if self.valid_from > today {
            return Some(Concerning::NotYet(self.valid_from));
        }
        let last = self.valid_to?;
        if last < today {
            return Some(Concerning::Over(last));
        }
        (last.signed_duration_since(today).num_days() < ENDING_DAYS).then_some(Concerning::Ending(last))
    }
}

/// In the order of ids, each with its length, so that no two sets of documents have one digest.
fn digest(documents: &[Document]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(RANKING.as_bytes());
    for document in documents {
        hasher.update(&(document.text.len() as u64).to_le_bytes());
        hasher.update(document.text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
