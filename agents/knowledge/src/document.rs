//! A document: what its front matter says, and how files of them are read and checked. Every complaint has a file and a line.

use std::collections::BTreeMap;
use std::fmt;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use crate::limits::{BYTES_MAX, DOCUMENT_BYTES_MAX, ID_CHARS_MAX, SECTIONS_MAX};
use crate::section::{self, Section};
use crate::Concerning;

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// 法律法规: a law, or a pointer to one.
    Law,
    /// 处置规程: how a matter is handled, and within what time.
    Procedure,
    /// 应急预案: who does what in an emergency.
    Plan,
    /// 办事指南: how citizens get something done.
    Service,
    /// 案例: what was done about a matter once.
    Case,
    /// 常见问题: questions and answers.
    Faq,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Law, Self::Procedure, Self::Plan, Self::Service, Self::Case, Self::Faq];

    /// The word for it in files and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Law => "law",
            Self::Procedure => "procedure",
            Self::Plan => "plan",
            Self::Service => "service",
            Self::Case => "case",
            Self::Faq => "faq",
        }
    }

    /// The kind of this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// A title in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Title {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

/// A document as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its id: small letters, digits and `-`.
    pub id: String,
    /// Its title.
    pub title: Title,
    /// What it is.
    pub kind: Kind,
    /// Who issued it.
    pub issuer: String,
    /// Its number with the issuer (文号); may be empty.
    pub number: String,
    /// Where its words come from.
    pub source: String,
    /// Its first day, in the city's time.
    pub valid_from: NaiveDate,
    /// Its last day; none: until it is replaced.
    pub valid_to: Option<NaiveDate>,
    /// Who reviewed it, and on what day.
    pub reviewed: Option<(String, NaiveDate)>,
    /// Matters, for people who look through it.
    pub tags: Vec<String>,
    /// How citizens call its matter.
    pub aliases: Vec<String>,
    /// For the section of an id, how citizens ask for it (相似问).
    pub asked: BTreeMap<String, Vec<String>>,
    /// Ids of the graph's categories that it is about.
    pub categories: Vec<String>,
    /// Ids of the graph's places where it holds; none: everywhere.
    pub areas: Vec<String>,
    /// Its file.
    pub file: String,
    /// The whole text, front matter and all: what offsets are counted in.
    pub text: String,
    lines: Lines,
}

/// Where in the file things stand that may be complained about later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lines {
    id: usize,
    valid_from: usize,
    valid_to: usize,
    review: usize,
}

impl Document {
    /// The line that a concern is about.
    pub(crate) fn line_of(&self, what: Concerning) -> usize {
        match what {
            Concerning::Unreviewed => self.lines.review,
            Concerning::NotYet(_) => self.lines.valid_from,
            Concerning::Over(_) | Concerning::Ending(_) => self.lines.valid_to,
        }
    }
}

/// What is wrong with documents, line by line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct KnowledgeError {
    /// Each problem: the file, the line (from 1; 0 when the whole file is meant), and what is wrong there.
    pub problems: Vec<(String, usize, String)>,
}

impl fmt::Display for KnowledgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (file, line, problem)) in self.problems.iter().enumerate() {
            let end = if index + 1 < self.problems.len() { "\n" } else { "" };
            write!(f, "{file}:{line}: {problem}{end}")?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FrontMatter {
    id: Spanned<String>,
    title: Spanned<Title>,
    kind: Kind,
    issuer: Spanned<String>,
    #[serde(default)]
    number: String,
    source: Spanned<String>,
    valid_from: Spanned<NaiveDate>,
    #[serde(default)]
    valid_to: Option<Spanned<NaiveDate>>,
    #[serde(default)]
    reviewed_by: Option<Spanned<String>>,
    #[serde(default)]
    reviewed_at: Option<Spanned<NaiveDate>>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    asked: BTreeMap<String, Spanned<Vec<String>>>,
    #[serde(default)]
    categories: Vec<String>,
    #[serde(default)]
    areas: Vec<String>,
}

type Problems = Vec<(String, usize, String)>;

/// Reads all, and puts documents in the order of their ids, sections in the order of their documents.
pub(crate) fn read_all<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Result<(Vec<Document>, Vec<Section>), KnowledgeError> {
    let mut wrong: Problems = Vec::new();
    let mut read: BTreeMap<String, (Document, Vec<Section>)> = BTreeMap::new();
    let (mut bytes, mut count) = (0usize, 0usize);
    for (name, text) in files {
        let (name, text) = (name.as_ref(), text.as_ref());
        bytes += text.len();
        if bytes > BYTES_MAX {
            wrong.push((name.to_owned(), 0, format!("all documents together have more than {BYTES_MAX} bytes: take some away")));
            break;
        }
        let Some((document, sections)) = read_one(name, text, &mut wrong) else { continue };
        if let Some((other, _)) = read.get(&document.id) {
            wrong.push((name.to_owned(), document.lines.id, format!("document `{}` is there twice: also in {}:{}", document.id, other.file, other.lines.id)));
            continue;
        }
        count += sections.len();
        read.insert(document.id.clone(), (document, sections));
    }
    if count > SECTIONS_MAX {
        wrong.push((files.last().map_or_else(String::new, |(name, _)| name.as_ref().to_owned()), 0, format!("all documents together have {count} sections; at most {SECTIONS_MAX} are kept")));
    }
    if !wrong.is_empty() {
        wrong.sort();
        return Err(KnowledgeError { problems: wrong });
    }
    let (mut documents, mut all) = (Vec::with_capacity(read.len()), Vec::with_capacity(count));
    for (number, (document, sections)) in read.into_values().enumerate() {
        documents.push(document);
        all.extend(sections.into_iter().map(|section| Section { document: number, ..section }));
    }
    Ok((documents, all))
}

fn read_one(file: &str, text: &str, wrong: &mut Problems) -> Option<(Document, Vec<Section>)> {
    let before = wrong.len();
    let mut complain = |line: usize, problem: String| wrong.push((file.to_owned(), line, problem));
    if text.len() > DOCUMENT_BYTES_MAX {
        complain(0, format!("{} bytes: a document has at most {DOCUMENT_BYTES_MAX}; cut it into its parts", text.len()));
        return None;
    }
    let Some((matter, body)) = front_matter(text) else {
        complain(1, "a document begins with a front matter between two lines `---`".to_owned());
        return None;
    };
    // An empty line stands for the first `---`, so that the reader's lines are the file's.
    let front = match serde_saphyr::from_str::<FrontMatter>(&format!("\n{matter}")) {
        Ok(front) => front,
        Err(error) => {
            let line = error.location().map_or(1, |location| location.line() as usize);
            complain(line, plain(&error));
            return None;
        }
    };
    if !is_id(&front.id.value) {
        complain(line_of(&front.id), format!("`{}` is no id: small letters, digits and `-`, at most {ID_CHARS_MAX}", front.id.value));
    }
    for (line, value, name) in [
        (line_of(&front.title), &front.title.value.zh, "title.zh"),
        (line_of(&front.title), &front.title.value.en, "title.en"),
        (line_of(&front.issuer), &front.issuer.value, "issuer"),
        (line_of(&front.source), &front.source.value, "source"),
    ] {
        if value.trim().is_empty() {
            complain(line, format!("`{name}` is empty"));
        }
    }
    if let Some(last) = &front.valid_to
        && last.value < front.valid_from.value
    {
        complain(line_of(last), format!("valid_to {} is before valid_from {}", last.value, front.valid_from.value));
    }
    let reviewed = match (&front.reviewed_by, &front.reviewed_at) {
        (Some(by), Some(at)) if !by.value.trim().is_empty() => Some((by.value.clone(), at.value)),
        (None, None) => None,
        (Some(one), _) => {
            complain(line_of(one), "reviewed_by and reviewed_at go together, and neither is empty: who reviewed it, and when".to_owned());
            None
        }
        (None, Some(one)) => {
            complain(line_of(one), "reviewed_at without reviewed_by: who reviewed it?".to_owned());
            None
        }
    };
    let lines = Lines {
        id: line_of(&front.id),
        valid_from: line_of(&front.valid_from),
        valid_to: front.valid_to.as_ref().map_or_else(|| line_of(&front.valid_from), line_of),
        review: front.reviewed_at.as_ref().map_or(1, line_of),
    };
    let sections = section::cut(&front.id.value, text, body, &mut complain);
    for (section, phrases) in &front.asked {
        if !sections.iter().any(|it| it.name() == section) {
            complain(line_of(phrases), format!("`asked` speaks of a section `{section}`, and there is none"));
        }
    }
    if wrong.len() > before {
        return None;
    }
    let document = Document {
        id: front.id.value,
        title: front.title.value,
        kind: front.kind,
        issuer: front.issuer.value,
        number: front.number,
        source: front.source.value,
        valid_from: front.valid_from.value,
        valid_to: front.valid_to.map(|day| day.value),
        reviewed,
        tags: front.tags,
        aliases: front.aliases,
        asked: front.asked.into_iter().map(|(section, phrases)| (section, phrases.value)).collect(),
        categories: front.categories,
        areas: front.areas,
        file: file.to_owned(),
        text: text.to_owned(),
        lines,
    };
    Some((document, sections))
}

/// The front matter, and the byte at which the body begins.
fn front_matter(text: &str) -> Option<(&str, usize)> {
    let begin = usize::from(text.starts_with('\u{feff}')) * '\u{feff}'.len_utf8();
    let mut at = begin;
    let mut first = None;
    for line in text[begin..].split_inclusive('\n') {
        let end = at + line.len();
        if line.trim_end() == "---" {
            match first {
                None if at == begin => first = Some(end),
                None => return None,
                Some(start) => return Some((&text[start..at], end)),
            }
        } else if first.is_none() {
            return None;
        }
        at = end;
    }
    None
}

fn is_id(id: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    id.len() <= ID_CHARS_MAX && id.chars().all(fits) && id.starts_with(|c: char| c.is_ascii_lowercase())
}

fn line_of<T>(spanned: &Spanned<T>) -> usize {
    spanned.referenced.line() as usize
}

/// The complaint in one line, without the excerpt of the file that the library draws under it.
fn plain(error: &serde_saphyr::Error) -> String {
    error.without_snippet().to_string().lines().next().unwrap_or_default().to_owned()
}
