//! Whether a drafted answer is held by what it cites, sentence by sentence.
//!
//! A sentence is held when it cites a section that was found for it, that is valid and reviewed on that day, and in which
//! every number of the sentence stands with its unit. That the words mean what the section means is more than this can
//! tell: a person reads the section, which the citation leads to.

use std::collections::BTreeSet;
use std::fmt;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use text::Normal;

use crate::limits::{ANSWER_CHARS_MAX, CITATIONS_MAX, ID_CHARS_MAX};
use crate::quantity::{Quantity, quantities};
use crate::search::Hit;
use crate::terms;
use crate::Knowledge;

/// An answer every sentence of which is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Its sentences.
    pub sentences: Vec<Sentence>,
    /// The sections that it cites, each once, in the order in which they come.
    pub citations: Vec<String>,
}

/// A sentence of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentence {
    /// Its words, without citations.
    pub text: String,
    /// The sections that it cites.
    pub citations: Vec<String>,
    /// How many of its words stand in these sections, thousandths: what is low deserves a person's look.
    pub shared_permille: u32,
}

/// Why an answer is refused: each sentence that is not held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub struct Refused {
    /// The number of the sentence from 1 (0: the whole answer), and what is wrong with it.
    pub problems: Vec<(usize, Why)>,
}

/// What is wrong with a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The answer says nothing.
    Empty,
    /// The answer is longer than can be checked.
    TooLong,
    /// It cites nothing.
    Uncited,
    /// It cites more than anybody looks up.
    TooMany,
    /// No section is called so.
    Unknown(String),
    /// The section exists, and was not among those that were found.
    NotFound(String),
    /// The section's document is not valid or not reviewed on that day.
    NotValid(String),
    /// A number that none of the cited sections says.
    Number(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the answer says nothing"),
            Self::TooLong => write!(f, "the answer is longer than {ANSWER_CHARS_MAX} characters"),
            Self::Uncited => write!(f, "it cites nothing: put [document#section] behind it"),
            Self::TooMany => write!(f, "it cites more than {CITATIONS_MAX} sections"),
            Self::Unknown(id) => write!(f, "no section is called `{id}`"),
            Self::NotFound(id) => write!(f, "`{id}` is not among the sections that were found"),
            Self::NotValid(id) => write!(f, "`{id}` is not valid or not reviewed on that day"),
            Self::Number(number) => write!(f, "no section that it cites says {number}"),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (sentence, why)) in self.problems.iter().enumerate() {
            let end = if index + 1 < self.problems.len() { "\n" } else { "" };
            write!(f, "sentence {sentence}: {why}{end}")?;
        }
        Ok(())
    }
}

impl Knowledge {
    /// Checks a drafted answer against the hits that it was written from, on a day of the city.
    ///
    /// # Errors
    /// [`Refused`] names every sentence that is not held: without a citation, with one that does not exist, was not found or
    /// is not valid on that day, or with a number that its sections do not say.
    pub fn check_answer(&self, text: &str, hits: &[Hit], today: NaiveDate) -> Result<Answer, Refused> {
        if text.chars().nth(ANSWER_CHARS_MAX).is_some() {
            return Err(Refused { problems: vec![(0, Why::TooLong)] });
        }
        let mut problems = Vec::new();
        let mut answer = Answer { sentences: Vec::new(), citations: Vec::new() };
        for (number, (said, cited)) in sentences(text).into_iter().enumerate() {
            let number = number + 1;
            if cited.is_empty() {
                problems.push((number, Why::Uncited));
                continue;
            }
            if cited.len() > CITATIONS_MAX {
                problems.push((number, Why::TooMany));
                continue;
            }
            let wrong: Vec<Why> = cited.iter().filter_map(|id| self.wrong(id, hits, today)).collect();
            if !wrong.is_empty() {
                problems.extend(wrong.into_iter().map(|why| (number, why)));
                continue;
            }
            let held = self.said_by(&cited);
            let missing = quantities(&said).into_iter().filter(|quantity| !held.iter().any(|other| quantity.agrees(other)));
            let before = problems.len();
            problems.extend(missing.map(|quantity| (number, Why::Number(shown(&quantity)))));
            if problems.len() == before {
                let shared_permille = self.shared_permille(&said, &cited);
                answer.citations.extend(cited.iter().filter(|id| !answer.citations.contains(id)).cloned().collect::<Vec<_>>());
                answer.sentences.push(Sentence { text: said, citations: cited, shared_permille });
            }
        }
        if problems.is_empty() && answer.sentences.is_empty() {
            problems.push((0, Why::Empty));
        }
        if problems.is_empty() { Ok(answer) } else { Err(Refused { problems }) }
    }

    fn wrong(&self, id: &str, hits: &[Hit], today: NaiveDate) -> Option<Why> {
        let Some(section) = self.section(id) else { return Some(Why::Unknown(id.to_owned())) };
        if !hits.iter().any(|hit| hit.section == id) {
            return Some(Why::NotFound(id.to_owned()));
        }
        (!self.document_of(section).is_citable(today)).then(|| Why::NotValid(id.to_owned()))
    }

    /// The quantities of sections, and of the titles and numbers of their documents.
    fn said_by(&self, cited: &[String]) -> BTreeSet<Quantity> {
        let mut held = BTreeSet::new();
        for section in cited.iter().filter_map(|id| self.section(id)) {
            let document = self.document_of(section);
            held.extend(quantities(self.words_of(section)));
            held.extend(quantities(&format!("{} {} {}", document.title.zh, document.title.en, document.number)));
        }
        held
    }

    fn shared_permille(&self, said: &str, cited: &[String]) -> u32 {
        let mut there: BTreeSet<String> = BTreeSet::new();
        for section in cited.iter().filter_map(|id| self.section(id)) {
            let around = format!("{}\n{}", crate::index::around(self.document_of(section), section), self.words_of(section));
            there.extend(terms::words(&Normal::of(&around)).into_iter().map(|word| word.text));
        }
        let words: BTreeSet<String> = terms::words(&Normal::of(said)).into_iter().map(|word| word.text).collect();
        let shared = words.iter().filter(|word| there.contains(*word)).count();
        (1000 * shared / words.len().max(1)) as u32
    }
}

fn shown(quantity: &Quantity) -> String {
    if quantity.unit == Some("clock") {
        let minutes = quantity.milli;
        return format!("{}:{:02}", minutes / 60, minutes % 60);
    }
    let number = if quantity.milli % 1000 == 0 { (quantity.milli / 1000).to_string() } else { format!("{}", quantity.milli as f64 / 1000.0) };
    quantity.unit.map_or(number.clone(), |unit| format!("{number} {unit}"))
}

/// The sentences of an answer without their citations, and what each cites, within it or directly behind it.
fn sentences(text: &str) -> Vec<(String, Vec<String>)> {
    let chars: Vec<char> = text.chars().collect();
    let mut sentences: Vec<(String, Vec<String>)> = Vec::new();
    for line in chars.split(|c| matches!(c, '\n' | '\r')) {
        let mut open = false;
        for (start, end) in pieces(line) {
            let (said, cited, leading) = without_citations(&line[start..end]);
            if let (true, Some((_, of_last))) = (open, sentences.last_mut()) {
                // Citations behind the full stop belong to the sentence before it.
                of_last.extend(cited[..leading].iter().cloned());
            }
            let own = if open { &cited[leading..] } else { &cited[..] };
            // A citation of nothing is nothing.
            if said.chars().any(char::is_alphanumeric) {
                sentences.push((said.trim().to_owned(), own.to_vec()));
                open = true;
            }
        }
    }
    for (_, cited) in &mut sentences {
        let mut seen = BTreeSet::new();
        cited.retain(|id| seen.insert(id.clone()));
    }
    sentences
}

/// The text without citations, the citations, and how many of them stand before the first word.
fn without_citations(chars: &[char]) -> (String, Vec<String>, usize) {
    let (mut said, mut cited, mut leading) = (String::new(), Vec::new(), 0);
    let mut at = list_mark(chars);
    while at < chars.len() {
        if chars[at] == '['
            && let Some(length) = chars[at + 1..].iter().take(2 * ID_CHARS_MAX + 2).position(|c| *c == ']')
            && is_citation(&chars[at + 1..at + 1 + length])
        {
            cited.push(chars[at + 1..at + 1 + length].iter().collect());
            if !said.chars().any(char::is_alphanumeric) {
                leading = cited.len();
            }
            at += length + 2;
            continue;
        }
        said.push(chars[at]);
        at += 1;
    }
    (said, cited, leading)
}

/// How many characters at the beginning of a line number it as one of a list: `1. `, `2、`, `- `.
fn list_mark(chars: &[char]) -> usize {
    let blanks = chars.iter().take_while(|c| c.is_whitespace()).count();
    let digits = chars[blanks..].iter().take(3).take_while(|c| c.is_ascii_digit()).count();
    match chars.get(blanks + digits) {
        Some('.' | ')' | '、' | '）') if digits > 0 && !chars.get(blanks + digits + 1).is_some_and(char::is_ascii_digit) => blanks + digits + 1,
        _ => 0,
    }
}

fn is_citation(inner: &[char]) -> bool {
    let fits = |c: &char| c.is_alphanumeric() || *c == '-';
    let Some(sign) = inner.iter().position(|c| *c == '#') else { return false };
    let (document, section) = (&inner[..sign], &inner[sign + 1..]);
    !document.is_empty() && !section.is_empty() && document.iter().all(fits) && section.iter().all(fits)
}

/// Start and end of each sentence, with its sign, in characters: at 。！？ and at the end of a line; a full stop ends one before a blank.
pub(crate) fn pieces(chars: &[char]) -> Vec<(usize, usize)> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for at in 0..chars.len() {
        let ends = match chars[at] {
            '。' | '！' | '？' | '!' | '?' | '\n' => true,
            '.' => chars.get(at + 1).is_none_or(|next| next.is_whitespace() || *next == '[') && at > list_mark(&chars[start..]) + start,
            _ => false,
        };
        if ends || at + 1 == chars.len() {
            let from = start + chars[start..at].iter().take_while(|c| c.is_whitespace()).count();
            let to = if chars[at] == '\n' { at } else { at + 1 };
            if chars[from..to].iter().any(|c| !c.is_whitespace()) {
                pieces.push((from, to));
            }
            start = at + 1;
        }
    }
    pieces
}
