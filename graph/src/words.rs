//! The rules tier of triage: which words mean which category, and which mean danger to life.

use std::collections::BTreeMap;

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
    /// Sorts a request type of another system, which was chosen from a list; `None` when its words say nothing.
    pub fn sort_request_type(&self, request_type: &str) -> Option<Sorted> {
        let chosen = beginning(request_type).to_lowercase();
        if self.categories.contains_key(&chosen) && chosen != "other" {
            return Some(Sorted { category: chosen.clone(), confidence_permille: 990, word: Some(chosen) });
        }
        let (word, category, _) = self.words.categories.iter().find(|(word, _, _)| chosen.contains(word.as_str()))?;
        let confidence_permille = if *word == chosen { 980 } else { 900 };
        Some(Sorted { category: category.clone(), confidence_permille, word: Some(word.clone()) })
    }

    /// Sorts free text. What no word decides is `other`.
    pub fn sort_text(&self, text: &str) -> Sorted {
        let text = beginning(text).to_lowercase();
        let mut found = self.words.categories.iter().filter(|(word, _, _)| text.contains(word.as_str()));
        let Some((word, category, _)) = found.next() else {
            return Sorted { category: "other".to_owned(), confidence_permille: 300, word: None };
        };
        // Words of other categories in the same text make the choice doubtful.
        let rivals = found.filter(|(_, other, _)| other != category).take(4).count() as u32;
        Sorted { category: category.clone(), confidence_permille: 800 - 100 * rivals, word: Some(word.clone()) }
    }

    /// Every category that a text has a word of, in the order of their ids, with the word: the longest that it has.
    pub fn categories_in(&self, text: &str) -> BTreeMap<&str, &str> {
        let text = beginning(text).to_lowercase();
        let mut found = BTreeMap::new();
        for (word, category, _) in self.words.categories.iter().filter(|(word, _, _)| text.contains(word.as_str())) {
            found.entry(category.as_str()).or_insert(word.as_str());
        }
        found
    }

    /// The word in a text that means danger to life.
    pub fn risk_word(&self, text: &str) -> Option<&str> {
        let text = beginning(text).to_lowercase();
        self.words.risk.iter().find(|word| text.contains(word.as_str())).map(String::as_str)
    }
}

fn beginning(text: &str) -> &str {
    let mut end = text.len().min(limits::TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
