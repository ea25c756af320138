//! The machine of `extract`: fixed keys, and values that are null or a span of this message.
//!
//! While a value is read, the machine keeps every place of the message where the value could end so far. A message has at
//! most 1,200 characters, so that is a short list that shrinks with every byte, and there is nothing to compile.

use std::sync::Arc;

use super::{ByteSet, Constraint};
use crate::limits::SPAN_CHARS_MAX;
use crate::task::Message;

/// The keys, in order.
pub const KEYS: [&str; 6] = ["address", "place", "time", "people", "thing", "wish"];

/// What stands before each value, and after the last.
const BEFORE: [&[u8]; 7] =
    [b"{\"address\":", b",\"place\":", b",\"time\":", b",\"people\":", b",\"thing\":", b",\"wish\":", b"}"];

const NULL: &[u8] = b"null";

/// A message, indexed by the first byte of each character.
#[derive(Debug)]
struct Source {
    bytes: Vec<u8>,
    /// Where a span must not run over.
    cut: Option<u32>,
    /// Beginnings of the characters that are no space, by their first byte.
    starts: Vec<Vec<u32>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    /// So many bytes into what stands before a value.
    Fixed(usize),
    /// Before a value.
    Value,
    /// So many bytes into null.
    Null(usize),
    /// Inside a string.
    Inside {
        /// Where the next byte would be read.
        places: Vec<u32>,
        /// Characters so far.
        chars: usize,
    },
    /// After the closing brace.
    Done,
}

/// The machine.
#[derive(Debug, Clone)]
pub struct Spans {
    source: Arc<Source>,
    field: usize,
    at: At,
}

impl Spans {
    /// The machine at the beginning of an answer about this message.
    pub fn of(message: &Message) -> Self {
        let text = message.as_str();
        let mut starts = vec![Vec::new(); 256];
        for (index, c) in text.char_indices().filter(|(_, it)| !it.is_whitespace()) {
            let mut buffer = [0; 4];
            let first = c.encode_utf8(&mut buffer).as_bytes()[0];
            starts[usize::from(first)].push(index as u32);
        }
        let cut = message.cut().map(|it| it as u32);
        Self { source: Arc::new(Source { bytes: text.as_bytes().to_vec(), cut, starts }), field: 0, at: At::Fixed(0) }
    }

    fn read(&mut self, byte: u8) -> bool {
        let next = match &mut self.at {
            At::Fixed(offset) => {
                let fixed = BEFORE[self.field];
                if fixed[*offset] != byte {
                    return false;
                }
                let offset = *offset + 1;
                if offset < fixed.len() {
                    At::Fixed(offset)
                } else if self.field < KEYS.len() {
                    At::Value
                } else {
                    At::Done
                }
            }
            At::Value => match byte {
                b'n' => At::Null(1),
                b'"' => At::Inside { places: Vec::new(), chars: 0 },
                _ => return false,
            },
            At::Null(offset) => {
                if NULL[*offset] != byte {
                    return false;
                }
                match *offset + 1 {
                    4 => self.after_value(),
                    offset => At::Null(offset),
                }
            }
            At::Inside { places, chars } if *chars == 0 => {
                let places: Vec<u32> = self.source.starts[usize::from(byte)].iter().map(|it| it + 1).collect();
                if places.is_empty() {
                    return false;
                }
                let _ = chars;
                At::Inside { places, chars: 1 }
            }
            At::Inside { places, chars } => {
                if byte == b'"' {
                    if !self.source.at_boundary(places) {
                        return false;
                    }
                    self.after_value()
                } else {
                    let begins = is_first(byte);
                    if begins && *chars == SPAN_CHARS_MAX {
                        return false;
                    }
                    *chars += usize::from(begins);
                    let source = &self.source;
                    places.retain_mut(|place| {
                        let goes_on = source.byte_at(*place) == Some(byte);
                        *place += 1;
                        goes_on
                    });
                    return !places.is_empty();
                }
            }
            At::Done => return false,
        };
        self.at = next;
        true
    }

    fn after_value(&mut self) -> At {
        self.field += 1;
        At::Fixed(0)
    }
}

impl Source {
    /// The byte that a span would go on with.
    fn byte_at(&self, place: u32) -> Option<u8> {
        if self.cut == Some(place) { None } else { self.bytes.get(place as usize).copied() }
    }

    /// Whether a span that ends here ends with a whole character. All places are equally far into theirs.
    fn at_boundary(&self, places: &[u32]) -> bool {
        places.first().is_some_and(|it| self.bytes.get(*it as usize).is_none_or(|byte| is_first(*byte)))
    }
}

/// Whether a byte begins a character.
fn is_first(byte: u8) -> bool {
    byte & 0xC0 != 0x80
}

impl Constraint for Spans {
    fn next(&self) -> ByteSet {
        let mut set = ByteSet::EMPTY;
        match &self.at {
            At::Fixed(offset) => set.insert(BEFORE[self.field][*offset]),
            At::Value => {
                set.insert(b'n');
                set.insert(b'"');
            }
            At::Null(offset) => set.insert(NULL[*offset]),
            At::Inside { chars: 0, .. } => {
                let bytes = (0..=255_u8).filter(|it| !self.source.starts[usize::from(*it)].is_empty());
                bytes.for_each(|it| set.insert(it));
            }
            At::Inside { places, chars } => {
                let full = *chars == SPAN_CHARS_MAX;
                let bytes = places.iter().filter_map(|it| self.source.byte_at(*it));
                bytes.filter(|it| !(full && is_first(*it))).for_each(|it| set.insert(it));
                if self.source.at_boundary(places) {
                    set.insert(b'"');
                }
            }
            At::Done => {}
        }
        set
    }

    fn may_end(&self) -> bool {
        self.at == At::Done
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
        match &self.at {
            At::Fixed(offset) => &BEFORE[self.field][*offset..],
            At::Null(offset) => &NULL[*offset..],
            At::Value | At::Inside { .. } | At::Done => &[],
        }
    }
}

/// The same keys with any short string.
pub(super) fn loose_gbnf() -> String {
    let mut root = String::from("root ::= ");
    for (index, key) in KEYS.iter().enumerate() {
        let before = if index == 0 { "{" } else { "," };
        root.push_str(&format!("\"{before}\\\"{key}\\\":\" v "));
    }
    root.push_str("\"}\"\n");
    root.push_str(&format!("v ::= \"null\" | \"\\\"\" [^\"\\\\\\x00-\\x1f]{{1,{SPAN_CHARS_MAX}}} \"\\\"\"\n"));
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(raw: &str) -> Spans {
        Spans::of(&Message::clean(raw).unwrap())
    }

    fn answer(value: &str) -> String {
        format!(r#"{{"address":{value},"place":null,"time":null,"people":null,"thing":null,"wish":null}}"#)
    }

    fn accepts(machine: &Spans, answer: &str) -> bool {
        let mut machine = machine.clone();
        machine.take(answer.as_bytes()) && machine.may_end()
    }

    #[test]
    fn spans_of_the_message_are_taken_and_nothing_else() {
        let machine = machine("人民路 12 号门口路灯坏了，人民路很黑");
        for span in ["null", "\"人民路 12 号\"", "\"人民路很黑\"", "\"黑\"", "\"，\"", "\"1\""] {
            assert!(accepts(&machine, &answer(span)), "{span}");
        }
        for span in ["\"\"", "\"人民路13\"", "\" 12\"", "\"黑人\"", "人民路", "nul", "\"人民路"] {
            assert!(!accepts(&machine, &answer(span)), "{span}");
        }
        assert!(!accepts(&machine, &answer("null").replace("place", "plane")));
        assert!(!accepts(&machine, &(answer("null") + " ")));
    }

    #[test]
    fn a_character_is_whole_or_absent() {
        let mut machine = machine("灯亮");
        assert!(machine.take(b"{\"address\":\"\xE7\x81"));
        assert!(!machine.allows(b"\""));
        assert!(machine.allows(b"\xAF\""));
    }

    #[test]
    fn what_may_follow_is_what_is_allowed() {
        let text = answer("\"人民路 12 号\"");
        let mut machine = machine("人民路 12 号，人民路 13 号");
        for byte in text.bytes() {
            let next = machine.next();
            for candidate in 0..=255 {
                assert_eq!(next.has(candidate), machine.allows(&[candidate]), "{candidate} after {:?}", machine.at);
            }
            assert!(next.has(byte));
            assert!(machine.take(&[byte]));
        }
        assert!(machine.next().is_empty() && machine.may_end());
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let mut machine = machine("灯");
        assert!(machine.take(b"{\"address\":\""));
        let before = machine.at.clone();
        assert!(!machine.take("灯x".as_bytes()));
        assert_eq!(machine.at, before);
    }

    #[test]
    fn no_span_runs_over_the_cut_or_gets_too_long() {
        let raw: String = (0..1_400).map(|it| char::from_u32(0x4E00 + it).unwrap()).collect();
        let message = Message::clean(&raw).unwrap();
        let machine = Spans::of(&message);
        let chars: Vec<char> = message.as_str().chars().collect();
        let span = |from: usize, to: usize| format!("\"{}\"", chars[from..to].iter().collect::<String>());
        assert!(accepts(&machine, &answer(&span(890, 900))));
        assert!(accepts(&machine, &answer(&span(900, 910))));
        assert!(!accepts(&machine, &answer(&span(890, 901))));
        assert!(accepts(&machine, &answer(&span(0, SPAN_CHARS_MAX))));
        assert!(!accepts(&machine, &answer(&span(0, SPAN_CHARS_MAX + 1))));
    }

    #[test]
    fn keys_are_forced() {
        let mut machine = machine("灯");
        assert_eq!(machine.forced(), b"{\"address\":");
        assert!(machine.take(b"{\"address\":n"));
        assert_eq!(machine.forced(), b"ull");
        assert!(machine.take(b"ull,"));
        assert_eq!(machine.forced(), b"\"place\":");
    }
}
