//! Which language a text is in.

use serde::{Deserialize, Serialize};

use crate::normal::{Normal, is_han};

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Chinese.
    Zh,
    /// English.
    En,
    /// Both.
    Mixed,
    /// Neither, or no words at all.
    Other,
}

/// The commonest words of English: a sentence has some of them.
const ENGLISH: [&str; 40] = [
    "the", "is", "a", "to", "of", "and", "in", "on", "at", "for", "my", "it", "this", "there", "are", "was", "has", "have", "not", "no", "with", "please", "i", "we", "by", "from", "near", "been", "out", "that", "an", "be", "our", "they", "street", "road",
    "water", "what", "how", "you",
];
/// Those of languages that share its letters.
const NOT_ENGLISH: [&str; 24] = ["el", "la", "los", "las", "que", "y", "en", "le", "les", "et", "une", "est", "der", "die", "und", "das", "ist", "nicht", "il", "di", "che", "para", "por", "dans"];

/// The language of a text, by its characters and its commonest words.
pub fn language(normal: &Normal) -> Language {
    let (mut han, mut foreign) = (0usize, 0usize);
    for c in &normal.chars {
        if is_han(*c) {
            han += 1;
        } else if c.is_alphabetic() && !c.is_ascii() {
            foreign += 1;
        }
    }
    let (mut words, mut english, mut other, mut letters) = (0usize, 0usize, 0usize, 0usize);
    for word in normal.text.split(|c: char| !(c.is_ascii_alphabetic() || c == '\'')).filter(|word| word.len() > 1 || *word == "a" || *word == "i").take(400) {
        words += 1;
        letters += word.len();
        english += usize::from(ENGLISH.contains(&word));
        other += usize::from(NOT_ENGLISH.contains(&word));
    }
    if han + words == 0 || foreign > han + letters || (words >= 4 && han == 0 && other > english) {
        return Language::Other;
    }
    // A Chinese sentence may name a road or a brand in Latin letters, an English one a place in Chinese.
    if han >= 3 * words {
        Language::Zh
    } else if words > 2 * han {
        Language::En
    } else {
        Language::Mixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages() {
        for (text, expected) in [
            ("中山大道路灯不亮", Language::Zh),
            ("中山大道 LED 路灯不亮，请派人维修", Language::Zh),
            ("The street light is out", Language::En),
            ("pothole", Language::En),
            ("Street light 不亮 please fix 中山路", Language::Mixed),
            ("", Language::Other),
            ("12345 !!!", Language::Other),
            ("La calle está inundada y los coches no pasan", Language::Other),
            ("도로가 침수되었습니다", Language::Other),
            ("На улице нет света", Language::Other),
        ] {
            assert_eq!(language(&Normal::of(text)), expected, "{text}");
        }
    }
}
