//! The machine of `title`: one short line in which every number is one of the message's.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{ByteSet, Constraint};
use crate::limits::{TITLE_CHARS_MAX, TITLE_UNITS_MAX};
use crate::task::Message;

/// The machine.
#[derive(Debug, Clone)]
pub struct TitleWords {
    numbers: Arc<BTreeSet<String>>,
    /// Bytes of a character that is not complete.
    partial: Vec<u8>,
    chars: usize,
    visible: bool,
    units: usize,
    last: Kind,
    /// The number that is being written.
    number: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Space,
    Mark,
    Latin,
    Digit,
    Other,
}

fn kind(c: char) -> Kind {
    match c {
        ' ' => Kind::Space,
        '0'..='9' | '０'..='９' => Kind::Digit,
        'a'..='z' | 'A'..='Z' | '\'' => Kind::Latin,
        c if c.is_ascii() => Kind::Mark,
        _ => Kind::Other,
    }
}

/// What a character adds to a title's length. A word's letters are counted with its first.
fn cost(last: Kind, kind: Kind) -> usize {
    match kind {
        Kind::Space | Kind::Mark => 0,
        Kind::Latin | Kind::Digit if last == kind => 0,
        Kind::Latin | Kind::Digit => 2,
        Kind::Other => 1,
    }
}

/// The length of a title: a Chinese character is 1, a Latin word or a number is 2, ASCII punctuation is nothing.
pub fn units(title: &str) -> usize {
    let mut last = Kind::Space;
    title.chars().fold(0, |sum, c| {
        let added = cost(last, kind(c));
        last = kind(c);
        sum + added
    })
}

/// Every run of digits of a text, full-width ones as ASCII.
pub fn numbers(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut number = String::new();
    for c in text.chars().chain([' ']) {
        match digit(c) {
            Some(digit) => number.push(digit),
            None if number.is_empty() => {}
            None => {
                found.insert(std::mem::take(&mut number));
            }
        }
    }
    found
}

/// A digit as ASCII.
fn digit(c: char) -> Option<char> {
    match c {
        '0'..='9' => Some(c),
        '０'..='９' => char::from_u32(c as u32 - '０' as u32 + '0' as u32),
        _ => None,
    }
}

impl TitleWords {
    /// The machine at the beginning of a title of this message.
    pub fn of(message: &Message) -> Self {
        let numbers = Arc::new(numbers(message.as_str()));
        Self { numbers, partial: Vec::new(), chars: 0, visible: false, units: 0, last: Kind::Space, number: String::new() }
    }

    /// Whether the number that is being written is one of the message's.
    fn number_is_whole(&self) -> bool {
        self.number.is_empty() || self.numbers.contains(&self.number)
    }

    /// Whether a number of the message begins like this.
    fn begins_a_number(&self, number: &str) -> bool {
        self.numbers.range(number.to_owned()..).next().is_some_and(|it| it.starts_with(number))
    }

    fn put(&mut self, c: char) -> bool {
        let kind = kind(c);
        let units = self.units + cost(self.last, kind);
        // No title begins with a space, has two in a row or holds what is not seen.
        // Nor does one that is full go on with marks.
        let idle = c.is_control()
            || (c.is_whitespace() && c != ' ')
            || (kind == Kind::Space && self.last == Kind::Space)
            || (matches!(kind, Kind::Space | Kind::Mark) && self.units == TITLE_UNITS_MAX);
        if idle || units > TITLE_UNITS_MAX || self.chars == TITLE_CHARS_MAX {
            return false;
        }
        match digit(c) {
            Some(digit) => {
                self.number.push(digit);
                if !self.begins_a_number(&self.number) {
                    return false;
                }
            }
            None if self.number_is_whole() => self.number.clear(),
            None => return false,
        }
        self.units = units;
        self.chars += 1;
        self.visible |= !matches!(kind, Kind::Space | Kind::Mark);
        self.last = kind;
        true
    }

    fn read(&mut self, byte: u8) -> bool {
        self.partial.push(byte);
        match std::str::from_utf8(&self.partial) {
            Ok(text) => {
                let c = text.chars().next().expect("at least one byte was read");
                self.partial.clear();
                self.put(c)
            }
            // A beginning is taken only where any character that goes on from it may be.
            Err(error) => {
                let room = self.units < TITLE_UNITS_MAX && self.chars < TITLE_CHARS_MAX;
                error.error_len().is_none() && room && (self.number_is_whole() || self.partial[0] == 0xEF)
            }
        }
    }
}

impl Constraint for TitleWords {
    fn next(&self) -> ByteSet {
        let mut set = ByteSet::EMPTY;
        (0..=255).filter(|it| self.allows(&[*it])).for_each(|it| set.insert(it));
        set
    }

    fn may_end(&self) -> bool {
        self.partial.is_empty() && self.visible && self.number_is_whole()
    }

    fn allows(&self, bytes: &[u8]) -> bool {
        self.clone().take(bytes)
    }

    fn take(&mut self, bytes: &[u8]) -> bool {
        let before = self.clone();
        let taken = bytes.iter().all(|it| self.read(*it));
        if !taken {
            *self = before;
        }
        taken
    }

    fn forced(&self) -> &[u8] {
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(message: &str, title: &str) -> bool {
        let mut machine = TitleWords::of(&Message::clean(message).unwrap());
        machine.take(title.as_bytes()) && machine.may_end()
    }

    #[test]
    fn a_title_has_24_characters_or_12_words() {
        assert!(accepts("灯", &"灯".repeat(24)));
        assert!(!accepts("灯", &"灯".repeat(25)));
        assert!(accepts("x", "one two three four five six seven eight nine ten eleven twelve"));
        assert!(!accepts("x", "one two three four five six seven eight nine ten eleven twelve more"));
        assert_eq!(units("中山路12号 LED灯"), 3 + 2 + 1 + 2 + 1);
    }

    #[test]
    fn numbers_are_the_messages() {
        assert!(accepts("中山路１２号 3 楼", "中山路12号漏水"));
        assert!(accepts("中山路12号", "12"));
        for title in ["中山路1号漏水", "中山路122号", "2号", "中山路1"] {
            assert!(!accepts("中山路12号", title), "{title}");
        }
    }

    #[test]
    fn a_title_is_one_line_that_says_something() {
        assert!(!accepts("灯", &("灯".repeat(24) + ".")));
        for title in ["", " ", "a\nb", " a", "a  b", "...", "a\u{7f}", "\u{85}a", "\u{3000}灯"] {
            assert!(!accepts("a", title), "{title:?}");
        }
    }

    #[test]
    fn a_character_is_whole() {
        let mut machine = TitleWords::of(&Message::clean("灯").unwrap());
        assert!(machine.take("灯".as_bytes()) && machine.may_end());
        assert!(machine.take(&"亮".as_bytes()[..2]) && !machine.may_end());
        assert!(!machine.allows(b"a"));
        assert!(machine.take(&"亮".as_bytes()[2..]) && machine.may_end());
    }
}
