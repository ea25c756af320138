//! What a category or a unit is, in a few words: what somebody is told who has to choose among them.

use crate::element::{Element, Name};
use crate::{Graph, Kind};

/// Words or categories that are told.
const TOLD_MAX: usize = 6;

impl Graph {
    /// The categories that a text may be of, for somebody who has to choose: those that are named first, those whose words the text
    /// has, and `other`; where all of these are one, nothing is known of it, and it may be any. A category may come twice.
    pub fn may_be<'a>(&'a self, text: &str, named: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let mut labels: Vec<&str> = named.into_iter().chain(self.categories_in(text).into_keys()).collect();
        if labels.windows(2).all(|pair| pair[0] == pair[1]) {
            labels.extend(self.categories().map(|category| category.id.as_str()));
        } else {
            labels.push("other");
        }
        labels
    }

    /// A category: its name and words that mean it, in both languages.
    pub fn category_told(&self, id: &str) -> Option<Name> {
        let category = self.category(id)?;
        let words = |latin: bool| category.words.iter().filter(move |word| word.is_ascii() == latin).map(String::as_str);
        Some(Name { zh: told(&category.name.zh, words(false), "、"), en: told(&category.name.en, words(true), ", ") })
    }

    /// A unit: its name and the categories that it owes, in both languages.
    pub fn unit_told(&self, id: &str) -> Option<Name> {
        let unit = self.unit(id)?;
        let owes: Vec<&Name> = self
            .of_kind(Kind::Duty)
            .filter_map(|element| if let Element::Duty(duty) = element { Some(duty) } else { None })
            .filter(|duty| duty.unit == id)
            .filter_map(|duty| Some(&self.category(&duty.category)?.name))
            .collect();
        Some(Name { zh: told(&unit.name.zh, owes.iter().map(|name| name.zh.as_str()), "、"), en: told(&unit.name.en, owes.iter().map(|name| name.en.as_str()), ", ") })
    }
}

fn told<'a>(name: &str, more: impl Iterator<Item = &'a str>, between: &str) -> String {
    let mut said: Vec<&str> = Vec::new();
    for word in more {
        if said.len() < TOLD_MAX && !said.contains(&word) {
            said.push(word);
        }
    }
    if said.is_empty() { name.to_owned() } else { format!("{name}: {}", said.join(between)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_to_choose_is_told_what_it_is() {
        let graph = Graph::builtin();
        let noise = graph.category_told("noise").expect("a category");
        assert!(noise.zh.contains('、') && noise.zh.contains("噪") && noise.en.contains(", ") && noise.en.is_ascii(), "{noise:?}");
        let roads = graph.unit_told("roads").expect("a unit");
        assert!(roads.en.split(": ").nth(1).is_some_and(|owes| owes.matches(", ").count() >= 2), "{roads:?}");
        assert_eq!((graph.category_told("no such"), graph.unit_told("no such")), (None, None));
        for category in graph.categories() {
            assert!(graph.category_told(&category.id).is_some_and(|told| told.zh.chars().count() < 80));
        }
    }
}
