//! The rules tier of triage: which words mean which category and which event, and which mean danger to life.

use std::collections::BTreeMap;

use crate::element::EventType;
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

/// What words mean, in lower case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Words {
    /// (word, category), longest first, then by word and category.
    categories: Vec<(String, String)>,
    /// (word, as it was written)
    risk: Vec<(String, String)>,
    /// Category to the events that it tells of, each with its words.
    events: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

impl Words {
    /// These are the words of a category from now on.
    pub(crate) fn set_category(&mut self, category: &str, words: &[String]) {
        self.categories.retain(|(_, known)| known != category);
        self.categories.extend(lower(words).map(|(word, _)| (word, category.to_owned())));
        // A Chinese character says as much as several letters, so length is counted in bytes.
        self.categories.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        self.categories.dedup();
    }

    /// These are the words of danger from now on.
    pub(crate) fn set_risk(&mut self, words: &[String]) {
        self.risk = lower(words).collect();
    }

    /// An event was put, or taken out.
    pub(crate) fn tell_event(&mut self, event: &EventType, put: bool) {
        for category in &event.categories {
            let events = self.events.entry(category.clone()).or_default();
            if put {
                events.insert(event.id.clone(), lower(&event.words).map(|(word, _)| word).collect());
            } else {
                events.remove(&event.id);
            }
            if events.is_empty() {
                self.events.remove(category);
            }
        }
    }
}

fn lower(words: &[String]) -> impl Iterator<Item = (String, String)> + '_ {
    words.iter().filter(|word| !word.is_empty()).map(|word| (word.to_lowercase(), word.clone()))
}

impl Graph {
    /// Sorts a request type of another system, which was chosen from a list; `None` when its words say nothing.
    pub fn sort_request_type(&self, request_type: &str) -> Option<Sorted> {
        let chosen = beginning(request_type).to_lowercase();
        if chosen != "other" && self.category(&chosen).is_some() {
            return Some(Sorted { category: chosen.clone(), confidence_permille: 990, word: Some(chosen) });
        }
        let (word, category) = self.words.categories.iter().find(|(word, _)| has(&chosen, word))?;
        let confidence_permille = if *word == chosen { 980 } else { 900 };
        Some(Sorted { category: category.clone(), confidence_permille, word: Some(word.clone()) })
    }

    /// Sorts free text. What no word decides is `other`.
    pub fn sort_text(&self, text: &str) -> Sorted {
        let text = beginning(text).to_lowercase();
        let mut found = self.words.categories.iter().filter(|(word, _)| has(&text, word));
        let Some((word, category)) = found.next() else {
            return Sorted { category: "other".to_owned(), confidence_permille: 300, word: None };
        };
        // Words of other categories in the same text make the choice doubtful.
        let rivals = found.filter(|(_, other)| other != category).take(4).count() as u32;
        Sorted { category: category.clone(), confidence_permille: 800 - 100 * rivals, word: Some(word.clone()) }
    }

    /// Every category that a text has a word of, in the order of their ids, with the word: the longest that it has.
    pub fn categories_in(&self, text: &str) -> BTreeMap<&str, &str> {
        let text = beginning(text).to_lowercase();
        let mut found = BTreeMap::new();
        for (word, category) in self.words.categories.iter().filter(|(word, _)| has(&text, word)) {
            found.entry(category.as_str()).or_insert(word.as_str());
        }
        found
    }

    /// The event that a report of `category` tells of: the one whose words the text has, the longest word first; else the
    /// first event of the scenario among those that the category tells of; else the first of them by id that needs no word.
    pub fn event_of_report(&self, category: &str, text: &str) -> Option<&str> {
        let told = self.words.events.get(category)?;
        let text = beginning(text).to_lowercase();
        let spoken = told.iter().flat_map(|(event, words)| words.iter().map(move |word| (word, event)));
        let longest = spoken.filter(|(word, _)| has(&text, word)).max_by(|a, b| a.0.len().cmp(&b.0.len()).then_with(|| b.1.cmp(a.1)));
        if let Some((_, event)) = longest {
            return Some(event);
        }
        let scenario = self.scenario_of_category(category).and_then(|id| self.scenario(id));
        let usual = scenario.into_iter().flat_map(|scenario| &scenario.events).find(|id| told.contains_key(*id));
        usual.or_else(|| told.iter().find(|(_, words)| words.is_empty()).map(|(event, _)| event)).map(String::as_str)
    }

    /// The event that a measured property shows for a scenario: one of the scenario's own, else any that names the property,
    /// else the scenario's first.
    pub fn event_of_signal(&self, scenario: &str, property: &str) -> Option<&str> {
        let events = &self.scenario(scenario)?.events;
        let shows = |event: &EventType| event.properties.iter().any(|known| known == property);
        let own = events.iter().find(|id| self.event(id).is_some_and(shows)).map(String::as_str);
        own.or_else(|| self.events().find(|event| shows(event)).map(|event| event.id.as_str())).or_else(|| events.first().map(String::as_str))
    }

    /// The word in a text that means danger to life.
    pub fn risk_word(&self, text: &str) -> Option<&str> {
        let text = beginning(text).to_lowercase();
        self.words.risk.iter().find(|(word, _)| has(&text, word)).map(|(_, word)| word.as_str())
    }
}

/// Whether a text has a word, both in lower case. A Latin word begins where a word of the text begins: no tree stands in a
/// street; how the word goes on is open (`trees`, `flooded`).
fn has(text: &str, word: &str) -> bool {
    if !word.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return text.contains(word);
    }
    text.match_indices(word).any(|(at, _)| !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric()))
}

fn beginning(text: &str) -> &str {
    let mut end = text.len().min(limits::TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
