//! A draft in the documents' own words: what a person may send who has looked at it.
//!
//! Each of its sentences stands in the section that it cites. Whether that section answers what was asked is decided by how
//! much of the question it covers and by nothing else; what is too thin is not drafted.

use text::is_han;

use crate::citation::pieces;
use crate::limits::{DRAFT_COVERED_PERMILLE_MIN, DRAFT_NEAR_PERMILLE, DRAFT_SECTIONS_MAX, PASSAGE_CHARS_MAX};
use crate::search::Hit;
use crate::{Knowledge, Section};

impl Knowledge {
    /// What a section says, in 中文 or in English, where it has both: without its heading, at most
    /// [`PASSAGE_CHARS_MAX`] characters, whole sentences.
    pub fn passage(&self, section: &Section, zh: bool) -> String {
        let words = self.words_of(section);
        let lines = words.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (han, latin): (Vec<&str>, Vec<&str>) = lines.map(|line| line.trim_start_matches(['>', ' '])).partition(|line| line.chars().any(is_han));
        let wanted = match (zh, han.is_empty(), latin.is_empty()) {
            (true, false, _) | (false, _, true) => han,
            _ => latin,
        };
        let chars: Vec<char> = wanted.join(if zh { "" } else { " " }).chars().collect();
        let end = pieces(&chars).into_iter().map(|(_, end)| end).take_while(|end| *end <= PASSAGE_CHARS_MAX).last();
        chars[..end.unwrap_or(chars.len().min(PASSAGE_CHARS_MAX))].iter().collect()
    }

    /// The sentence of a hit that fits best, word for word.
    pub fn sentence(&self, hit: &Hit) -> Option<String> {
        let document = self.document_of(self.section(&hit.section)?);
        Some(document.text.chars().skip(hit.span.0).take(hit.span.1 - hit.span.0).collect())
    }

    /// The hits that say enough to what was asked to answer it: the first, when it covers enough of it, and those that come near it.
    pub fn telling<'h>(&self, hits: &'h [Hit]) -> Vec<&'h Hit> {
        let Some(first) = hits.first().filter(|first| first.covered_permille >= DRAFT_COVERED_PERMILLE_MIN) else { return Vec::new() };
        let is_near = |hit: &&Hit| u64::from(hit.score_permille) * 1000 >= u64::from(first.score_permille) * u64::from(DRAFT_NEAR_PERMILLE);
        hits.iter().take(DRAFT_SECTIONS_MAX).take_while(is_near).collect()
    }

    /// An answer made of what the hits say ([`Knowledge::telling`]), one line for each section, a citation behind each sentence; none
    /// when they do not say enough.
    pub fn reply(&self, hits: &[Hit], zh: bool) -> Option<String> {
        let mut lines = Vec::new();
        for section in self.telling(hits).iter().filter_map(|hit| self.section(&hit.section)) {
            let title = &self.document_of(section).title;
            let said = cited(&self.passage(section, zh), &section.id);
            lines.push(if zh { format!("根据《{}》，{said}", title.zh) } else { format!("From \u{201c}{}\u{201d}: {said}", title.en) });
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// A text with a citation behind each of its sentences.
fn cited(text: &str, section: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let sentences = pieces(&chars).into_iter().map(|(start, end)| format!("{}[{section}]", chars[start..end].iter().collect::<String>()));
    sentences.collect::<Vec<_>>().join(if text.chars().any(is_han) { "" } else { " " })
}
