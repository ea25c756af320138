//! A text as an eye, or a model, takes it: one spelling for searching, with the way back to where each character stood.
//!
//! Unlike [`crate::Normal`] it keeps capitals, repeated signs and line breaks, so that patterns of code still match. Full-width
//! letters and signs become half-width, letters of other scripts that look like Latin ones become these, traditional characters
//! simplified; what cannot be seen goes, and letters that are written with invisible ones come out. Finds nothing, means nothing.

use crate::normal::{is_han, simplified};

/// A text as it is seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The text.
    pub text: String,
    /// The first byte of each of its characters and the number of the character of the original that it came from.
    origin: Vec<(u32, u32)>,
    original_chars: usize,
}

impl Seen {
    /// Reads the first `chars_max` characters of a text.
    ///
    /// ```
    /// let seen = text::seen::Seen::of("ｒｍ \u{200b}-rf sуstеm", 100);
    /// assert_eq!(seen.text, "rm -rf system");
    /// assert_eq!(seen.original(3, 6), (4, 7));
    /// ```
    pub fn of(text: &str, chars_max: usize) -> Self {
        let mut seen = Self { text: String::with_capacity(text.len()), origin: Vec::with_capacity(text.len() / 2), original_chars: 0 };
        for (at, c) in text.chars().take(chars_max).enumerate() {
            seen.original_chars = at + 1;
            let Some(c) = shown(c) else { continue };
            seen.origin.push((seen.text.len() as u32, at as u32));
            seen.text.push(c);
        }
        seen
    }

    /// The characters of the original that the bytes `start..end` came from.
    pub fn original(&self, start: usize, end: usize) -> (usize, usize) {
        let number = |byte: usize| self.origin.partition_point(|(first, _)| (*first as usize) <= byte).saturating_sub(1);
        let from = self.origin.get(number(start)).map_or(0, |(_, at)| *at as usize);
        let to = if end > start { self.origin.get(number(end - 1)).map_or(self.original_chars, |(_, at)| *at as usize + 1) } else { from };
        (from, to.max(from))
    }
}

/// The character that one sees; none for what is not seen.
fn shown(c: char) -> Option<char> {
    if c.is_ascii() {
        return (!c.is_control() || c.is_whitespace()).then_some(c);
    }
    if is_han(c) {
        return Some(simplified(c));
    }
    match c {
        // The plain letters are written twice in Unicode, and the second time nobody sees them.
        '\u{e0020}'..='\u{e007e}' => char::from_u32(u32::from(c) - 0xe0000),
        '\u{ff01}' | '\u{ff0c}' | '\u{ff1a}' | '\u{ff1b}' | '\u{ff1f}' | '\u{ff08}' | '\u{ff09}' => Some(c),
        '\u{ff02}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0),
        '\u{3000}' | '\u{a0}' => Some(' '),
        _ if is_unseen(c) => None,
        _ => Some(look_alike(c).unwrap_or(c)),
    }
}

/// Characters that are not seen, but steer or hide what is.
pub fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e01ef}')
        || (c.is_control() && !c.is_whitespace())
}

/// The Latin letter that a letter of another script looks like.
pub fn look_alike(c: char) -> Option<char> {
    const ALIKE: [(&str, &str); 3] = [
        // Cyrillic
        ("аеорсухіјѕһԁԛԝмктвнАВЕКМНОРСТУХІЈЅԚԜвгп", "aeopcyxijshdqwmktbhABEKMHOPCTYXIJSQWBrn"),
        // Greek
        ("αορνικτυχγΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "aopviktuxyABEZHIKMNOPTYX"),
        // Letters of mathematics that are no range of their own, and Latin ones with a tail.
        ("ɑɡıℓℎ", "agilh"),
    ];
    if let Some(letter) = ALIKE.iter().find_map(|(others, latin)| others.chars().position(|other| other == c).and_then(|at| latin.chars().nth(at))) {
        return Some(letter);
    }
    // Bold, italic, script, sans and the like: thirteen alphabets of capitals and small letters in a row.
    let code = u32::from(c);
    match code {
        0x1d400..=0x1d6a3 => {
            let letter = ((code - 0x1d400) % 52) as u8;
            Some(char::from(if letter < 26 { b'A' + letter } else { b'a' + letter - 26 }))
        }
        0x24b6..=0x24cf => Some(char::from(b'A' + (code - 0x24b6) as u8)),
        0x24d0..=0x24e9 => Some(char::from(b'a' + (code - 0x24d0) as u8)),
        0x1f130..=0x1f149 => Some(char::from(b'A' + (code - 0x1f130) as u8)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_looks_like_a_letter_is_one() {
        for (text, seen) in [
            ("ＳＥＬＥＣＴ＊", "SELECT*"),
            ("рrоmрt", "prompt"),
            ("𝐢𝐠𝐧𝐨𝐫𝐞 ⓐⓛⓛ", "ignore all"),
            ("m\u{200b}a\u{200b}r\u{ad}k", "mark"),
            ("\u{e0069}\u{e0067}\u{e006e}", "ign"),
            ("忽\u{202e}略！！", "忽略！！"),
            ("--{{a}}\n", "--{{a}}\n"),
            ("街道辦", "街道办"),
        ] {
            assert_eq!(Seen::of(text, 100).text, seen);
        }
        assert_eq!(Seen::of("abcdef", 3).text, "abc");
    }

    proptest! {
        #[test]
        fn the_way_back_lies_inside(text in any::<String>(), from in 0usize..40, length in 0usize..40) {
            let seen = Seen::of(&text, 10_000);
            let (start, end) = seen.original(from.min(seen.text.len()), (from + length).min(seen.text.len()));
            prop_assert!(start <= end && end <= text.chars().count());
        }
    }
}
