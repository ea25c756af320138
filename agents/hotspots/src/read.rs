//! What of a message is compared: its terms, its places, and the words that a person would be shown for them.

use std::collections::BTreeMap;

use crate::common::{FORMULAS, is_english_filler};
use crate::concepts::{WORD_CHARS_MAX, concept_at, word_at};
use crate::limits::{MESSAGE_TERMS_MAX, TEXT_CHARS_MAX, TITLE_CHARS_MAX};
use crate::places::{Mention, Place, is_han, mentions};

/// A term: two neighbouring Chinese characters, an English word, or a concept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Term {
    /// Its number, a hash.
    pub id: u32,
    /// How much it counts within the message: more in the title, more for a concept.
    pub weight: u32,
    /// How it is written.
    pub shown: String,
}

/// A message as it is compared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    /// Sorted by number, each once.
    pub terms: Vec<Term>,
    /// Each once, in the order of the text.
    pub places: Vec<Place>,
    /// The normalised text that was looked at.
    pub text: String,
    /// Sorted numbers of all pairs of characters of the text, those of places too.
    pub pairs: Vec<u32>,
}

const WEIGHT_BODY: u32 = 2;
const WEIGHT_TITLE: u32 = 5;
const WEIGHT_CONCEPT: u32 = 8;

/// FNV-1a, 32 bits.
pub(crate) fn hash(kind: u8, text: &str) -> u32 {
    let mut hash: u32 = 0x811c_9dc5;
    for byte in std::iter::once(kind).chain(text.bytes()) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    // The low bits of FNV are weak, and they choose the counter.
    hash ^= hash >> 15;
    hash = hash.wrapping_mul(0x2c1b_3c6d);
    hash ^= hash >> 12;
    // Concepts are known by their highest bit.
    if kind == b'c' { hash | CONCEPT } else { hash & !CONCEPT }
}

const CONCEPT: u32 = 1 << 31;

/// Whether a term is a concept.
pub(crate) fn is_concept(term: u32) -> bool {
    term & CONCEPT != 0
}

/// Full width becomes half width, letters small, controls and line ends spaces.
fn normal(text: &str, max: usize) -> Vec<char> {
    let plain = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c).to_ascii_lowercase(),
        '\u{3000}' => ' ',
        c if c.is_control() || c.is_whitespace() => ' ',
        c => c.to_lowercase().next().unwrap_or(c),
    };
    // A dot within a name is left out: 伊景园·滨河苑, 伊景园.滨河苑.
    let mut chars: Vec<char> = text.chars().take(max).map(plain).collect();
    let joins = |before: Option<char>, c: char, after: Option<char>| matches!(c, '·' | '•' | '.') && before.is_some_and(is_han) && after.is_some_and(is_han);
    chars = (0..chars.len()).filter(|&i| !joins(i.checked_sub(1).map(|i| chars[i]), chars[i], chars.get(i + 1).copied())).map(|i| chars[i]).collect();
    chars
}

/// Reads a message. `title` may be empty.
pub(crate) fn read(title: &str, text: &str, place: &str) -> Reading {
    let mut terms: BTreeMap<u32, (u32, u32, String)> = BTreeMap::new();
    let mut reading = Reading::default();
    for (part, weight, max) in [(place, 0, TITLE_CHARS_MAX), (title, WEIGHT_TITLE, TITLE_CHARS_MAX), (text, WEIGHT_BODY, TEXT_CHARS_MAX)] {
        let chars = normal(part, max);
        let found = mentions(&chars);
        if weight > 0 {
            part_terms(&chars, &found, &mut |kind, shown: String, times| {
                let entry = terms.entry(hash(kind, &shown)).or_insert_with(|| (0, 0, shown));
                entry.0 = entry.0.max(weight * times);
                entry.1 += 1;
            });
        }
        reading.pairs.extend(chars.windows(2).filter(|pair| pair.iter().all(|c| is_han(*c))).map(|pair| hash(b'2', &pair.iter().collect::<String>())));
        for Mention { place, .. } in found {
            if !reading.places.contains(&place) {
                reading.places.push(place);
            }
        }
        reading.text.extend(chars);
        reading.text.push('\n');
    }
    reading.pairs.sort_unstable();
    reading.pairs.dedup();
    reading.terms = terms.into_iter().map(|(id, (weight, count, shown))| Term { id, weight: weight + (count.min(4) - 1), shown }).collect();
    reading
}

/// The places that a text names, each once.
pub fn places(text: &str) -> Vec<Place> {
    read("", text, "").places
}

/// Keeps the terms that say most, by what `rarity` gives for each number.
pub(crate) fn keep_rarest(reading: &mut Reading, rarity: impl Fn(u32) -> f64) {
    if reading.terms.len() > MESSAGE_TERMS_MAX {
        let value = |term: &Term| f64::from(term.weight).sqrt() * rarity(term.id);
        reading.terms.sort_by(|a, b| value(b).total_cmp(&value(a)).then(a.id.cmp(&b.id)));
        reading.terms.truncate(MESSAGE_TERMS_MAX);
        reading.terms.sort_by_key(|term| term.id);
    }
}

fn formula_at(chars: &[char], at: usize) -> Option<usize> {
    static BY_FIRST: std::sync::LazyLock<BTreeMap<char, Vec<&'static str>>> = std::sync::LazyLock::new(|| {
        let mut table: BTreeMap<char, Vec<&str>> = BTreeMap::new();
        for word in FORMULAS {
            table.entry(word.chars().next().unwrap_or(' ')).or_default().push(word);
        }
        table
    });
    BY_FIRST.get(&chars[at])?.iter().filter_map(|word| word_at(chars, at, word)).max()
}

fn part_terms(chars: &[char], places: &[Mention], add: &mut impl FnMut(u8, String, u32)) {
    let mut skip = vec![false; chars.len()];
    for mention in places {
        skip[mention.start..mention.end].fill(true);
    }
    let mut at = 0;
    while at < chars.len() {
        if let Some((length, name)) = concept_at(chars, at).filter(|_| !skip[at]) {
            add(b'c', name.to_owned(), WEIGHT_CONCEPT / WEIGHT_BODY);
            at += length;
        } else if let Some(length) = formula_at(chars, at).filter(|_| !skip[at]) {
            let end = (at + length).min(skip.len());
            skip[at..end].fill(true);
            at += length;
        } else {
            at += 1;
        }
    }
    for (i, pair) in chars.windows(2).enumerate() {
        if !skip[i] && !skip[i + 1] && is_han(pair[0]) && is_han(pair[1]) {
            add(b'2', pair.iter().collect(), 1);
        }
    }
    let mut at = 0;
    while at < chars.len() {
        let end = (at..chars.len()).find(|i| !(chars[*i].is_alphanumeric() && !is_han(chars[*i]))).unwrap_or(chars.len());
        if end > at && !skip[at] && end - at <= WORD_CHARS_MAX * 2 {
            let word: String = chars[at..end].iter().collect();
            if end - at >= 2 && !is_english_filler(&word) {
                add(b'w', stem(&word).to_owned(), 2);
            }
        }
        at = end.max(at + 1);
    }
}

/// The word without the endings of English number and time.
fn stem(word: &str) -> &str {
    let whole = word.len() > 4 && word.is_ascii();
    let ending = ["ing", "ed", "es", "s"].into_iter().find(|ending| whole && word.ends_with(ending) && word.len() - ending.len() >= 3);
    ending.map_or(word, |ending| &word[..word.len() - ending.len()])
}
