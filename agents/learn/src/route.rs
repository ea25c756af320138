//! Who owes a matter: the answer of a model, what corrections say about it, and the reasons of both.
//!
//! The model is trained on what units were given before ([`crate::train`]); between two trainings a [`Memory`] of people's
//! corrections speaks louder than it. Where the two disagree and neither prevails, a person decides. Knows nothing of the
//! duty graph, of files or of who is right.

use crate::route_memory::{Facts, Memory, Recalled};
use crate::{Input, Model, Reason, Scratch};

/// Names of the fields of places, the first the most telling.
const PLACES: [&str; 8] = ["place", "place2", "place3", "place4", "place5", "place6", "place7", "place8"];
/// Name of the field of the type.
const TYPE: &str = "type";
/// Least confidence of a unit that corrections put first.
const RECALLED_CONFIDENCE_MIN: f32 = 0.6;

/// What is known of a matter, as a model is asked: trained and asked in the same way, whatever door it came through.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    texts: Vec<&'a str>,
    fields: Vec<(&'a str, &'a str)>,
    time_us: Option<i64>,
}

impl<'a> Asked<'a> {
    /// Puts the facts under the names that a training gives them.
    pub fn of(facts: &Facts<'a>) -> Self {
        let texts = facts.texts.to_vec();
        let places = PLACES.iter().zip(facts.places).map(|(name, value)| (*name, *value));
        Self { texts, fields: std::iter::once((TYPE, facts.kind)).chain(places).collect(), time_us: facts.time_us }
    }

    /// What the model is given.
    pub fn input(&self) -> Input<'_> {
        Input { texts: &self.texts, fields: &self.fields, time_us: self.time_us }
    }
}

/// Which unit, how surely, and what corrections had to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<'a> {
    /// Units with their probabilities, the likeliest first.
    pub ranked: Vec<(&'a str, f32)>,
    /// Whether the first may be acted upon; else a person looks.
    pub accepted: bool,
    /// What corrections of alike matters say, where there are any.
    pub recalled: Option<Recalled<'a>>,
}

/// Ranks the units for a matter: the model's probabilities, moved by the corrections of alike matters.
pub fn decide<'a>(model: &'a Model, memory: &'a Memory, facts: &Facts, scratch: &mut Scratch) -> Decision<'a> {
    let asked = Asked::of(facts);
    let told = model.predict(&asked.input(), scratch);
    let Some(recalled) = memory.recall(facts) else {
        return Decision { ranked: told.ranked, accepted: told.accepted, recalled: None };
    };
    let mut ranked = told.ranked;
    let agrees = ranked.first().is_some_and(|first| first.0 == recalled.unit);
    if !ranked.iter().any(|(unit, _)| *unit == recalled.unit) {
        ranked.push((recalled.unit, 0.0));
    }
    for (unit, probability) in &mut ranked {
        *probability *= 1.0 - recalled.strength;
        if *unit == recalled.unit {
            *probability += recalled.strength;
        }
    }
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    let first = ranked[0];
    let prevails = first.0 == recalled.unit && first.1 >= RECALLED_CONFIDENCE_MIN;
    Decision { accepted: if agrees { told.accepted || prevails } else { prevails }, ranked, recalled: Some(recalled) }
}

/// What of the matter spoke for a unit in the model, the strongest first.
pub fn reasons(model: &Model, facts: &Facts, unit: &str, most: usize, scratch: &mut Scratch) -> Vec<Reason> {
    model.explain(&Asked::of(facts).input(), unit, most, scratch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Example, Options, train};

    /// Lamps go to `lights` in both districts, pumps to `water`.
    fn model() -> Model {
        let rows: Vec<(&str, &str, &str)> =
            (0..60).map(|at| [("Lamp out", "north", "lights"), ("Lamp out", "south", "lights"), ("Pump broken", "north", "water"), ("Pump broken", "south", "water")][at % 4]).collect();
        let places: Vec<[&str; 1]> = rows.iter().map(|row| [row.1]).collect();
        let asked: Vec<Asked> = rows.iter().zip(&places).map(|(row, places)| Asked::of(&Facts { kind: row.0, places, ..Facts::default() })).collect();
        let examples: Vec<Example> = asked.iter().zip(&rows).map(|(asked, row)| Example { input: asked.input(), label: row.2 }).collect();
        train(&examples, &Options { task: "unit".to_owned(), ..Options::default() }, &mut |_| {}).unwrap().0
    }

    #[test]
    fn a_new_type_is_known_by_its_words() {
        let (model, memory) = (model(), Memory::default());
        let decision = decide(&model, &memory, &Facts { kind: "Lamp flickers", ..Facts::default() }, &mut Scratch::default());
        assert_eq!(decision.ranked[0].0, "lights");
    }

    #[test]
    fn a_correction_outvotes_the_model_at_once_where_it_was_made_and_is_asked_about_elsewhere() {
        let (model, mut memory) = (model(), Memory::default());
        let mut scratch = Scratch::default();
        let north = Facts { kind: "Lamp out", places: &["north"], ..Facts::default() };
        let south = Facts { kind: "Lamp out", places: &["south"], ..Facts::default() };
        assert_eq!(decide(&model, &memory, &north, &mut scratch).ranked[0].0, "lights");
        memory.learn(&north, "new yard");
        let decision = decide(&model, &memory, &north, &mut scratch);
        assert!(decision.ranked[0].0 == "new yard" && decision.accepted, "{decision:?}");
        let decision = decide(&model, &memory, &south, &mut scratch);
        assert!(decision.ranked[0].0 == "lights" && !decision.accepted, "{decision:?}");
        assert!((decision.ranked.iter().map(|(_, probability)| probability).sum::<f32>() - 1.0).abs() < 1e-3);
        memory.learn(&Facts { kind: "Lamp out", places: &["east"], ..Facts::default() }, "new yard");
        memory.learn(&Facts { kind: "Lamp out", places: &["west"], ..Facts::default() }, "new yard");
        assert_eq!(decide(&model, &memory, &south, &mut scratch).ranked[0].0, "new yard");
        assert_eq!(decide(&model, &memory, &Facts { kind: "Pump broken", places: &["north"], ..Facts::default() }, &mut scratch).ranked[0].0, "water");
    }

    #[test]
    fn reasons_name_what_was_seen() {
        let model = model();
        let reasons = reasons(&model, &Facts { kind: "Lamp out", places: &["north"], ..Facts::default() }, "lights", 5, &mut Scratch::default());
        assert!(reasons.iter().any(|reason| reason.what.contains("Lamp out") || reason.what.contains("lamp")), "{reasons:?}");
    }
}
