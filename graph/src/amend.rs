//! Changes that people ask for: in any order, all of them or none, and only what makes a difference.

use std::collections::BTreeSet;

use crate::element::{Key, Kind};
use crate::{Change, ChangeError, Entry, Graph, change};

impl Graph {
    /// Carries out changes that come in any order, and gives those that made a difference, in an order in which each is
    /// allowed. An element that is put without a pack stays with the pack that brought it, or is the city's own.
    ///
    /// # Errors
    /// Every change that is refused; the graph is as before.
    pub fn amend(&mut self, asked: Vec<Change>) -> Result<Vec<Change>, Vec<ChangeError>> {
        let (mut refused, mut puts, mut removed, mut named) = (Vec::new(), Vec::new(), Vec::new(), BTreeSet::new());
        for change in asked {
            let key = change.key();
            if !named.insert(key.clone()) {
                refused.push(ChangeError { key, problem: "it is changed twice".to_owned() });
                continue;
            }
            match change {
                Change::Put(entry) => match self.owned(*entry) {
                    Ok(entry) if self.entries.get(&key).is_some_and(|stored| *stored.entry == entry) => {}
                    Ok(entry) => puts.push(entry),
                    Err(error) => refused.push(error),
                },
                Change::Remove(key) => match self.entries.get(&key) {
                    Some(_) if is_needed(&key) => refused.push(ChangeError { key, problem: "a city cannot do without it".to_owned() }),
                    Some(stored) => removed.push(Entry::clone(&stored.entry)),
                    None => refused.push(ChangeError { key, problem: "there is no such element".to_owned() }),
                },
            }
        }
        let puts = change::in_building_order(puts).into_iter().map(|entry| Change::Put(Box::new(entry)));
        let removed = change::in_building_order(removed).into_iter().rev().map(|entry| Change::Remove(entry.element.key()));
        let (mut made, mut undo) = (Vec::new(), Vec::new());
        for change in puts.chain(removed) {
            match self.apply(change.clone()) {
                Ok(back) => {
                    made.push(change);
                    undo.push(back);
                }
                Err(error) => refused.push(error),
            }
        }
        if refused.is_empty() {
            return Ok(made);
        }
        undo.reverse();
        self.apply_all(undo).expect("what was just done can be taken back");
        Err(refused)
    }

    /// An entry with the pack that it belongs to.
    fn owned(&self, mut entry: Entry) -> Result<Entry, ChangeError> {
        let key = entry.element.key();
        let Some(stored) = self.entries.get(&key) else { return Ok(entry) };
        let owner = &stored.entry.pack;
        match (&entry.pack, owner) {
            (None, owner) => entry.pack.clone_from(owner),
            (Some(pack), Some(owner)) if pack == owner => {}
            (Some(pack), owner) => {
                let whose = owner.as_ref().map_or("the city's own".to_owned(), |owner| format!("of pack `{owner}`"));
                return Err(ChangeError { key, problem: format!("pack `{pack}` brings what is there already and is {whose}") });
            }
        }
        Ok(entry)
    }
}

/// What [`crate::Files::graph`] asks of a city's files holds for the live graph, too.
fn is_needed(key: &Key) -> bool {
    *key == Key::new(Kind::City, "city") || *key == Key::new(Kind::Category, "other")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Element, Files};

    fn changes(yaml: &str) -> Vec<Change> {
        Files::read(&[("file.yaml", yaml)]).unwrap_or_else(|error| panic!("{error}")).changes(None)
    }

    fn key(text: &str) -> Key {
        text.parse().unwrap()
    }

    const THRESHOLD: &str = "thresholds:\n  - { id: underpass_water, scenario: urban_flooding, property: water_level, unit: m, side: above, red: 0.5, clear: 0.1 }\n";

    #[test]
    fn an_element_of_a_pack_stays_with_it_and_goes_with_it() {
        let mut graph = Graph::builtin();
        let shipped = graph.version();
        let before = {
            let mut without = graph.clone();
            without.remove_pack("urban_flooding").unwrap();
            without.version()
        };
        let made = graph.amend(changes(THRESHOLD)).unwrap();
        assert_eq!(made.len(), 1);
        assert!(graph.version() != shipped && graph.packs().contains_key("urban_flooding"));
        let Some(Element::Threshold(it)) = graph.get(&key("threshold/underpass_water")) else { panic!("it is there") };
        assert_eq!(it.red.as_deref(), Some("0.5"));
        assert_eq!(graph.amend(changes(THRESHOLD)).unwrap(), [], "the same again makes no difference");
        graph.remove_pack("urban_flooding").unwrap();
        assert_eq!(graph.version(), before);
    }

    #[test]
    fn the_order_does_not_matter() {
        let units = "units:\n  - { id: lamps, level: city, name: { zh: 灯, en: Lamps } }\n  - { id: lamps-west, level: district, name: { zh: 灯西, en: Lamps west }, parent: lamps }\n";
        let mut graph = Graph::builtin();
        let before = graph.version();
        let mut puts = changes(units);
        puts.reverse();
        graph.amend(puts).unwrap();
        let removed = ["unit/lamps", "unit/lamps-west"].map(|text| Change::Remove(key(text)));
        let made = graph.amend(removed.to_vec()).unwrap();
        assert_eq!(made[0].key(), key("unit/lamps-west"), "who reports goes before whom");
        assert_eq!(graph.version(), before);
    }

    #[test]
    fn all_that_is_wrong_is_told_and_nothing_has_changed() {
        let mut graph = Graph::builtin();
        let before = graph.clone();
        let mut asked = changes(&THRESHOLD.replace("scenario: urban_flooding", "scenario: nowhere"));
        asked.extend(["category/other", "unit/nobody", "scenario/urban_flooding"].map(|text| Change::Remove(key(text))));
        asked.push(Change::Remove(key("unit/nobody")));
        let told: Vec<String> = graph.amend(asked).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(told[..3], [
            "category/other: a city cannot do without it",
            "unit/nobody: there is no such element",
            "unit/nobody: it is changed twice",
        ]);
        assert_eq!(told[3], "threshold/underpass_water: no scenario is called `nowhere`");
        assert!(told[4].starts_with("scenario/urban_flooding: 2 element(s) speak of it"), "{}", told[4]);
        assert_eq!(graph, before);
    }

    #[test]
    fn a_pack_takes_nothing_from_others() {
        let mut graph = Graph::builtin();
        let stolen = |pack: &str| changes(THRESHOLD).into_iter().map(|change| match change {
            Change::Put(entry) => Change::Put(Box::new(Entry { pack: Some(pack.to_owned()), ..*entry })),
            Change::Remove(key) => Change::Remove(key),
        }).collect::<Vec<_>>();
        let told = graph.amend(stolen("bridge")).unwrap_err()[0].to_string();
        assert_eq!(told, "threshold/underpass_water: pack `bridge` brings what is there already and is of pack `urban_flooding`");
        assert_eq!(graph.amend(stolen("urban_flooding")).unwrap().len(), 1, "a pack may bring another version of its own");
    }
}
