//! What a model sees of an input: n-grams of characters, words, fields, pairs of fields and the calendar, each a hash.
//!
//! Texts that were cut into words before are read as if they had not been: blanks between Chinese characters do not count.

use crate::Input;
use crate::dice::mix;
use crate::limits::{FIELDS_MAX, TEXT_CHARS_MAX, TEXTS_MAX};

/// Kinds of features; each is scaled by itself, so that a long text does not drown a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Block {
    Chars,
    Words,
    Title,
    Fields,
    Crossings,
    Calendar,
}

pub(crate) const BLOCKS: usize = 6;

impl Block {
    /// Whether it comes from a text: such features are weighted by how rare they are, and tell how familiar a text is.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Block::Chars | Block::Words | Block::Title)
    }
}

/// Longest n-gram of characters that holds a Chinese one, and of Latin ones alone.
const GRAM_MAX: usize = 2;
const LATIN_GRAM_MIN: usize = 3;
const LATIN_GRAM_MAX: usize = 5;
/// The first characters of a single text, where its matter stands, are seen once more as a title.
const LEAD_CHARS: usize = 24;
const TITLE_CHARS_MAX: usize = 64;
/// Characters of a field's value of which the parts are seen: a name or a type, no text.
const PARTS_CHARS_MAX: usize = 128;

const SEEDS: [u64; BLOCKS] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7344,
    0xa409_3822_299f_31d0,
    0x082e_fa98_ec4e_6c89,
    0x4528_21e6_38d0_1377,
    0xbe54_66cf_34e9_0c6c,
];

/// Takes features as they are found; `name` says one in words and is called only by whoever wants to know.
pub(crate) trait Sink {
    fn feature(&mut self, block: Block, hash: u64, name: impl FnOnce() -> String);
}

/// Memory of the reading, kept between inputs.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    chars: Vec<char>,
    line: String,
    fields: Vec<(u64, usize)>,
}

impl Reader {
    pub(crate) fn read(&mut self, input: &Input, sink: &mut impl Sink) {
        let texts = &input.texts[..input.texts.len().min(TEXTS_MAX)];
        for (at, text) in texts.iter().enumerate() {
            self.clean(text);
            self.grams(Block::Chars, self.chars.len(), sink);
            self.words(sink);
            if at == 0 {
                let title = if texts.len() > 1 { TITLE_CHARS_MAX } else { LEAD_CHARS };
                self.grams(Block::Title, self.chars.len().min(title), sink);
            }
        }
        self.fields(input.fields, sink);
        if let Some(time_us) = input.time_us {
            calendar(time_us, sink);
        }
    }

    /// Characters as they are compared: half width, lower case, one break for anything that is no letter or digit.
    fn clean(&mut self, text: &str) {
        self.chars.clear();
        let mut gap = false;
        for c in text.chars().take(TEXT_CHARS_MAX) {
            let c = fold(c);
            if c.is_alphanumeric() {
                // A blank between Latin words parts them; one beside a Chinese character says nothing.
                if gap && self.chars.last().is_some_and(|last| latin(*last) && latin(c)) {
                    self.chars.push(BREAK);
                }
                self.chars.push(c);
                gap = false;
            } else if c.is_whitespace() || c.is_control() {
                gap = true;
            } else if self.chars.last().is_some_and(|last| *last != BREAK) {
                self.chars.push(BREAK);
            }
        }
    }

    fn grams(&self, block: Block, chars: usize, sink: &mut impl Sink) {
        let chars = &self.chars[..chars];
        for start in 0..chars.len() {
            let mut hash = SEEDS[block as usize];
            let mut only_latin = true;
            for (n, c) in chars[start..].iter().take(LATIN_GRAM_MAX).enumerate() {
                if *c == BREAK {
                    break;
                }
                hash = step(hash, *c);
                only_latin &= latin(*c);
                let wanted = if only_latin { n + 1 >= LATIN_GRAM_MIN } else { n < GRAM_MAX };
                if wanted {
                    sink.feature(block, mix(hash), || shown(&chars[start..=start + n]));
                }
            }
        }
    }

    /// Words of a dictionary and Latin words, and pairs of neighbouring Latin ones.
    fn words(&mut self, sink: &mut impl Sink) {
        self.line.clear();
        self.line.extend(self.chars.iter().map(|c| if *c == BREAK { ' ' } else { *c }));
        let mut before: Option<(u64, usize)> = None;
        let words = if self.chars.iter().all(|c| *c == BREAK || latin(*c)) { latin_words(&self.line) } else { text::words::cut(&self.line) };
        for word in words {
            let chars = &self.chars[word.start..word.end];
            if chars.contains(&BREAK) {
                continue;
            }
            let hash = mix(chars.iter().fold(SEEDS[Block::Words as usize], |hash, c| step(hash, *c)));
            sink.feature(Block::Words, hash, || word.text.to_owned());
            let is_latin = chars.iter().all(|c| latin(*c));
            if let (Some((first, start)), true) = (before, is_latin) {
                sink.feature(Block::Words, mix(first.rotate_left(17) ^ hash), || shown(&self.chars[start..word.end]));
            }
            before = is_latin.then_some((hash, word.start));
        }
    }

    fn fields(&mut self, fields: &[(&str, &str)], sink: &mut impl Sink) {
        self.fields.clear();
        for (at, (name, value)) in fields.iter().take(FIELDS_MAX).enumerate() {
            let mut hash = SEEDS[Block::Fields as usize];
            for c in name.chars().take(TEXT_CHARS_MAX).chain(['=']) {
                hash = step(hash, c);
            }
            let mut empty = true;
            for c in value.trim().chars().take(TEXT_CHARS_MAX) {
                hash = step(hash, fold(c));
                empty = false;
            }
            if !empty {
                let hash = mix(hash);
                sink.feature(Block::Fields, hash, || format!("{name}={}", value.trim()));
                self.fields.push((hash, at));
                parts(name, value, sink);
            }
        }
        for (place, (first, at)) in self.fields.iter().enumerate() {
            for (second, other) in &self.fields[place + 1..] {
                let hash = mix(first.rotate_left(23) ^ second);
                let shown = |at: usize| format!("{}={}", fields[at].0, fields[at].1.trim());
                sink.feature(Block::Crossings, hash, || format!("{} & {}", shown(*at), shown(*other)));
            }
        }
    }
}

/// The words of a field's value, and pairs of its Chinese characters: a value that was never seen is known by its parts.
fn parts(name: &str, value: &str, sink: &mut impl Sink) {
    let mut seed = SEEDS[Block::Words as usize];
    for c in name.chars().take(TEXT_CHARS_MAX).chain(['~']) {
        seed = step(seed, c);
    }
    let mut word = (seed, 0);
    let mut before: Option<(usize, char)> = None;
    for (at, c) in value.char_indices().take(PARTS_CHARS_MAX).chain([(value.len(), BREAK)]) {
        let c = fold(c);
        if latin(c) {
            word = (step(word.0, c), if word.0 == seed { at } else { word.1 });
        } else if word.0 != seed {
            sink.feature(Block::Words, mix(word.0), || format!("{name}~{}", value.get(word.1..at).unwrap_or_default()));
            word.0 = seed;
        }
        let chinese = c.is_alphanumeric() && !latin(c);
        if let Some((start, first)) = before.filter(|_| chinese) {
            sink.feature(Block::Words, mix(step(step(seed, first), c)), || format!("{name}~{}", value.get(start..at + c.len_utf8()).unwrap_or_default()));
        }
        before = chinese.then_some((at, c));
    }
}

const BREAK: char = '\0';

fn shown(chars: &[char]) -> String {
    chars.iter().map(|c| if *c == BREAK { ' ' } else { *c }).collect()
}

/// Words of a line without Chinese characters: what stands between blanks.
fn latin_words(line: &str) -> Vec<text::words::Word<'_>> {
    let mut words = Vec::new();
    let mut start = 0;
    for piece in line.split(' ') {
        let chars = piece.chars().count();
        if chars > 0 {
            words.push(text::words::Word { text: piece, start, end: start + chars });
        }
        start += chars + 1;
    }
    words
}

fn latin(c: char) -> bool {
    c.is_ascii_alphanumeric() || ('\u{c0}'..='\u{24f}').contains(&c)
}

fn fold(c: char) -> char {
    match c {
        '\u{3000}' => ' ',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c).to_ascii_lowercase(),
        'A'..='Z' => c.to_ascii_lowercase(),
        c if c.is_ascii() => c,
        c => c.to_lowercase().next().unwrap_or(c),
    }
}

fn step(hash: u64, c: char) -> u64 {
    (hash.rotate_left(5) ^ u64::from(c as u32)).wrapping_mul(0x517c_c1b7_2722_0a95)
}

fn calendar(time_us: i64, sink: &mut impl Sink) {
    let hours = time_us.div_euclid(3_600_000_000);
    let days = hours.div_euclid(24);
    let hour = hours.rem_euclid(24);
    // The first of January 1970 was a Thursday.
    let weekday = (days + 3).rem_euclid(7);
    let month = chrono::DateTime::from_timestamp_micros(time_us).map_or(0, |time| i64::from(chrono::Datelike::month(&time)));
    let weekend = i64::from(weekday >= 5);
    for (kind, value, name) in [(1, hour, "hour"), (2, weekday, "weekday"), (3, month, "month"), (4, hour / 4 + 8 * weekend, "part of the day and weekend")] {
        let hash = mix(SEEDS[Block::Calendar as usize] ^ ((kind << 32) + value) as u64);
        sink.feature(Block::Calendar, hash, || format!("{name} {value}"));
    }
}
