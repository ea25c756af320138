//! The rules tier of triage: which words mean which category, and which mean danger to life.

use crate::{Graph, limits};

/// What the words of a text say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sorted {
    /// The category.
    pub category: String,
    /// How sure the rule is, in thousandths.
    pub confidence_permille: u32,
    /// The word that decided, unless none was found.
    pub word: Option<String>,
    /// The word that means danger to life, if there is one.
    pub risk_word: Option<String>,
}

/// The words of all categories, lower case, longest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Words {
    /// (word, category, order of the category in the file)
    categories: Vec<(String, String, usize)>,
    risk: Vec<String>,
    added: usize,
}

impl Words {
    pub(crate) fn new(risk: Vec<String>) -> Self {
        let risk = risk.iter().map(|word| word.to_lowercase()).collect();
        Self { categories: Vec::new(), risk, added: 0 }
    }

    pub(crate) fn add(&mut self, category: &str, words: &[String]) {
        self.added += 1;
        for word in words.iter().filter(|word| !word.is_empty()) {
            self.categories.push((word.to_lowercase(), category.to_owned(), self.added));
        }
        // A Chinese character says as much as several letters, so length is counted in bytes.
        self.categories.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then(a.2.cmp(&b.2)).then(a.0.cmp(&b.0)));
    }
}

impl Graph {
    /// Sorts a text by its words. `structured` is the request type of another system, which is chosen from a list and so
    /// worth more than a word in a sentence; `text` is free.
    pub fn sort(&self, structured: Option<&str>, text: &str) -> Sorted {
        let text = beginning(text).to_lowercase();
        let chosen = structured.map(|structured| beginning(structured).to_lowercase());
        let risk_word = self.words.risk.iter().find(|word| text.contains(word.as_str())).cloned();
        let found = chosen.as_deref().and_then(|chosen| self.sort_chosen(chosen)).or_else(|| self.sort_free(&text));
        let (category, confidence_permille, word) = found.unwrap_or_else(|| ("other".to_owned(), 300, None));
        Sorted { category, confidence_permille, word, risk_word }
    }

    fn sort_chosen(&self, chosen: &str) -> Option<(String, u32, Option<String>)> {
        if self.categories.contains_key(chosen) && chosen != "other" {
            return Some((chosen.to_owned(), 990, Some(chosen.to_owned())));
        }
        let (word, category, _) = self.words.categories.iter().find(|(word, _, _)| chosen.contains(word.as_str()))?;
        let confidence = if word == chosen { 980 } else { 900 };
        Some((category.clone(), confidence, Some(word.clone())))
    }

    fn sort_free(&self, text: &str) -> Option<(String, u32, Option<String>)> {
        let mut found = self.words.categories.iter().filter(|(word, _, _)| text.contains(word.as_str()));
        let (word, category, _) = found.next()?;
        // Words of other categories in the same text make the choice doubtful.
        let rivals = found.filter(|(_, other, _)| other != category).take(4).count() as u32;
        Some((category.clone(), 800 - 100 * rivals, Some(word.clone())))
    }
}

fn beginning(text: &str) -> &str {
    let mut end = text.len().min(limits::TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
