//! The memory of corrections: what people said about matters like this one, newest first.
//!
//! A matter is like another by its type and place, by its type alone, or by its words. A correction at the same type and
//! place decides at once; one of the same type elsewhere is a doubt, several are a rule. Later corrections outweigh earlier
//! ones. Knows nothing of models.

use std::collections::BTreeMap;

use crate::dice::mix;

/// What is known of a matter when its unit is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// What was said; of several texts the first is the title.
    pub texts: &'a [&'a str],
    /// The type that somebody chose from a list, `""` where nobody did.
    pub kind: &'a str,
    /// Where it is, each as a name: district, street, address.
    pub places: &'a [&'a str],
    /// Local time, µs since 1970-01-01 00:00 of the wall clock.
    pub time_us: Option<i64>,
}

/// In what a matter is like those that were corrected, the closest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// In what was said.
    Words,
    /// In type and place.
    TypeAndPlace,
    /// In its type alone.
    Type,
}

/// What corrections say about a matter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recalled<'a> {
    /// The unit that they name most weightily.
    pub unit: &'a str,
    /// How much they weigh, 0..1.
    pub strength: f32,
    /// How many alike matters were corrected to that unit.
    pub corrections: usize,
    /// How many to others.
    pub against: usize,
    /// The closest likeness.
    pub likeness: Likeness,
}

/// Corrections, in the order in which they were made.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    units: Vec<String>,
    lessons: Vec<Lesson>,
    /// Hash of type, of type and place, or of a piece of text, to lessons.
    by_key: BTreeMap<u64, Vec<u32>>,
}

#[derive(Debug, Clone)]
struct Lesson {
    unit: u32,
    kind: u64,
    /// The smallest hashes of its pieces of text, sorted.
    pieces: Vec<u64>,
}

/// Corrections that are kept: the oldest are part of a training long before.
const LESSONS_MAX: usize = 100_000;
/// Alike matters that are asked, the newest.
const RECALLED_MAX: usize = 64;
/// Hashes of a text that are kept: their overlap is that of the texts within about a tenth (Broder 1997).
const PIECES_MAX: usize = 48;
const PIECE_CHARS: usize = 3;
const TEXT_CHARS_MAX: usize = 2_048;
/// Least overlap of two texts that say the same.
const OVERLAP_MIN: f32 = 0.5;
/// Weight of a correction: one at the place outweighs any model, one elsewhere a doubtful model only.
const PLACE_WEIGHT: f32 = 4.0;
const TYPE_WEIGHT: f32 = 0.4;
/// Weight of the doubt that a correction was meant for its own matter alone.
const DOUBT: f32 = 0.5;

impl Memory {
    /// Remembers that a matter belongs to a unit. One without type and text teaches nothing.
    pub fn learn(&mut self, facts: &Facts, unit: &str) {
        let unit = unit.trim();
        let (kind, pieces) = (kind_of(facts), pieces(facts.texts));
        if unit.is_empty() || kind == 0 && pieces.is_empty() || self.lessons.len() >= LESSONS_MAX {
            return;
        }
        let number = self.units.iter().position(|known| known == unit).unwrap_or_else(|| {
            self.units.push(unit.to_owned());
            self.units.len() - 1
        });
        let lesson = self.lessons.len() as u32;
        let mut keys: Vec<u64> = places(kind, facts).chain(pieces.iter().copied()).chain((kind != 0).then_some(kind)).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            self.by_key.entry(key).or_default().push(lesson);
        }
        self.lessons.push(Lesson { unit: number as u32, kind, pieces });
    }

    /// How many corrections it has.
    pub fn len(&self) -> usize {
        self.lessons.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.lessons.is_empty()
    }

    /// What corrections of alike matters say about this one.
    pub fn recall(&self, facts: &Facts) -> Option<Recalled<'_>> {
        if self.lessons.is_empty() {
            return None;
        }
        let (kind, pieces) = (kind_of(facts), pieces(facts.texts));
        let mut alike: BTreeMap<std::cmp::Reverse<u32>, (f32, Likeness)> = BTreeMap::new();
        let mut put = |lesson: u32, weight: f32, likeness: Likeness| {
            let known = alike.entry(std::cmp::Reverse(lesson)).or_insert((weight, likeness));
            if weight > known.0 {
                *known = (weight, likeness);
            }
        };
        if kind != 0 {
            self.newest(kind).for_each(|lesson| put(lesson, TYPE_WEIGHT, Likeness::Type));
            places(kind, facts).flat_map(|key| self.newest(key)).for_each(|lesson| put(lesson, PLACE_WEIGHT, Likeness::TypeAndPlace));
        }
        for lesson in pieces.iter().flat_map(|piece| self.newest(*piece)) {
            let known = &self.lessons[lesson as usize];
            let overlap = if known.kind == kind || known.kind == 0 || kind == 0 { overlap(&pieces, &known.pieces) } else { 0.0 };
            if overlap >= OVERLAP_MIN {
                put(lesson, PLACE_WEIGHT * overlap, Likeness::Words);
            }
        }
        let alike: Vec<(u32, f32, Likeness)> =
            alike.into_iter().take(RECALLED_MAX).map(|(lesson, (weight, likeness))| (self.lessons[lesson.0 as usize].unit, weight, likeness)).collect();
        let mut votes: BTreeMap<u32, (f32, usize, Likeness)> = BTreeMap::new();
        for (at, (unit, weight, likeness)) in alike.iter().enumerate() {
            let contradicted = alike[..at].iter().filter(|(newer, other, _)| newer != unit && other >= weight).count() as i32;
            let vote = votes.entry(*unit).or_insert((0.0, 0, *likeness));
            *vote = (vote.0 + weight * 0.5_f32.powi(contradicted), vote.1 + 1, vote.2.min(*likeness));
        }
        let (unit, (weight, corrections, likeness)) = votes.iter().max_by(|a, b| a.1.0.total_cmp(&b.1.0).then_with(|| b.0.cmp(a.0))).map(|(unit, vote)| (*unit, *vote))?;
        let total: f32 = votes.values().map(|vote| vote.0).sum();
        Some(Recalled { unit: &self.units[unit as usize], strength: weight / (total + DOUBT), corrections, against: alike.len() - corrections, likeness })
    }

    fn newest(&self, key: u64) -> impl Iterator<Item = u32> + '_ {
        self.by_key.get(&key).into_iter().flat_map(|lessons| lessons.iter().rev().take(RECALLED_MAX).copied())
    }
}

/// A hash of the type; 0 where there is none.
fn kind_of(facts: &Facts) -> u64 {
    if facts.kind.trim().is_empty() { 0 } else { hash(1, facts.kind).max(1) }
}

/// Hashes of the type with each place; with none where no place is known.
fn places<'a>(kind: u64, facts: &'a Facts) -> impl Iterator<Item = u64> + 'a {
    let nowhere = facts.places.iter().all(|place| place.trim().is_empty());
    let known = facts.places.iter().enumerate().filter(|(_, place)| !place.trim().is_empty());
    let keys = known.map(move |(at, place)| mix(kind ^ hash(2 + at as u64, place))).chain(nowhere.then(|| mix(kind ^ 0x706c_6163_6500)));
    keys.filter(move |_| kind != 0)
}

fn hash(seed: u64, text: &str) -> u64 {
    let mut hash = mix(seed);
    for c in text.trim().chars().take(TEXT_CHARS_MAX).flat_map(char::to_lowercase) {
        hash = mix(hash ^ u64::from(u32::from(c)));
    }
    hash
}

fn pieces(texts: &[&str]) -> Vec<u64> {
    let chars: Vec<char> = texts.iter().flat_map(|text| text.chars()).filter(|c| c.is_alphanumeric()).take(TEXT_CHARS_MAX).flat_map(char::to_lowercase).collect();
    let mut pieces: Vec<u64> = chars.windows(PIECE_CHARS).map(|piece| piece.iter().fold(7, |hash, c| mix(hash ^ u64::from(u32::from(*c))))).collect();
    pieces.sort_unstable();
    pieces.dedup();
    pieces.truncate(PIECES_MAX);
    pieces
}

/// The share of pieces that two texts have in common, of those up to the smaller of their largest hashes.
fn overlap(one: &[u64], other: &[u64]) -> f32 {
    let (Some(a), Some(b)) = (one.last(), other.last()) else { return 0.0 };
    // A short text keeps all its pieces, so only a full sketch limits what can be compared.
    let limit = match (one.len() == PIECES_MAX, other.len() == PIECES_MAX) {
        (true, true) => *a.min(b),
        (true, false) => *a,
        (false, true) => *b,
        (false, false) => u64::MAX,
    };
    let mine = one.iter().take_while(|piece| **piece <= limit).count();
    let theirs = other.iter().take_while(|piece| **piece <= limit).count();
    let both = one[..mine].iter().filter(|piece| other.binary_search(piece).is_ok()).count();
    both as f32 / (mine + theirs - both).max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<'a>(texts: &'a [&'a str]) -> Facts<'a> {
        Facts { texts, ..Facts::default() }
    }

    #[test]
    fn nothing_is_recalled_of_nothing() {
        let mut memory = Memory::default();
        assert_eq!(memory.recall(&Facts::default()), None);
        memory.learn(&Facts::default(), "water");
        memory.learn(&said(&["\0", "", "!!"]), "water");
        memory.learn(&said(&["路灯不亮了"]), " ");
        assert!(memory.is_empty());
    }

    #[test]
    fn words_recall_what_was_said_before() {
        let mut memory = Memory::default();
        memory.learn(&said(&["人民路3号门口的路灯不亮了，晚上很黑"]), "lights");
        let recalled = memory.recall(&said(&["人民路3号门口的路灯不亮了，晚上很黑！请处理"])).unwrap();
        assert_eq!((recalled.unit, recalled.likeness), ("lights", Likeness::Words));
        assert_eq!(memory.recall(&said(&["垃圾没有人清运，味道很大"])), None);
        let other_type = Facts { kind: "noise", texts: &["人民路3号门口的路灯不亮了，晚上很黑"], ..Facts::default() };
        assert!(memory.recall(&other_type).is_some());
        memory.learn(&Facts { kind: "lamp", texts: &["小区水管爆裂，水流到马路上"], ..Facts::default() }, "water");
        assert_eq!(memory.recall(&Facts { kind: "noise", texts: &["小区水管爆裂，水流到马路上"], ..Facts::default() }), None);
    }

    #[test]
    fn the_later_correction_outweighs_the_earlier() {
        let mut memory = Memory::default();
        let facts = Facts { kind: "lamp", places: &["north"], ..Facts::default() };
        memory.learn(&facts, "old");
        memory.learn(&facts, "old");
        memory.learn(&facts, "new");
        assert_eq!(memory.recall(&facts).unwrap().unit, "old");
        memory.learn(&facts, "new");
        let recalled = memory.recall(&facts).unwrap();
        assert_eq!((recalled.unit, recalled.corrections, recalled.against), ("new", 2, 2));
        assert!(recalled.strength > 0.5 && recalled.strength < 1.0);
    }

    #[test]
    fn a_long_text_is_compared_by_a_sketch_of_it() {
        let long: String = (0..900).map(|at| char::from_u32(0x4e00 + at * 7 % 3_001).unwrap()).collect();
        let longer = format!("{long}请尽快处理");
        let mut memory = Memory::default();
        memory.learn(&said(&[&long]), "roads");
        assert_eq!(memory.recall(&said(&[&longer])).unwrap().unit, "roads");
    }
}
