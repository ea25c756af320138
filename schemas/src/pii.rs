//! Personal data in free text, found and masked: telephones, identity numbers, passports, plates, bank cards, e-mail.
//!
//! Masking keeps the shape of the text (`138****5678`, `138-****-5678`) and its length in characters, is idempotent,
//! and leaves ordinary numbers and times alone: a number counts only when it stands by itself, is grouped as people group
//! such numbers, passes its checksum where it has one, and is not named as the number of a thing (工单号, 流量, 元). What
//! has no shape of its own counts after a word that says what it is (护照, plate, call).
//!
//! A fixed line counts whoever's it is, since nothing in the number says so; lines for the public do not: 12345, 110,
//! 95588, 400 and toll-free numbers. Names, addresses, account names and network addresses are not sought: they have no
//! shape. The kinds follow GB/T 35273, annex A, and what stands in North American requests.

mod context;
mod numbers;
mod signs;
#[cfg(test)]
mod tests;
mod tokens;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use numbers::SEPARATORS_MAX;
use signs::{digit, is_alphanumeric, is_spoken_digit};

/// What kind of personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PiiKind {
    /// A mainland mobile number, `1[3-9]` and nine digits, also read out; ten digits of North America; any number with a
    /// plus and the code of a country.
    Phone,
    /// An identity number of 18 places with its MOD 11-2 check digit, or of 15; Hong Kong's; a social security number.
    IdCard,
    /// A vehicle's plate: province character, letter, five or six places; police, army, consulates; a foreign one after a
    /// word that says so.
    Plate,
    /// A bank card of 13 to 19 digits that passes Luhn's check and begins like one.
    BankCard,
    /// A fixed line with its area code, or with a word before it that says so.
    Landline,
    /// An e-mail address.
    Email,
    /// A passport or a permit to travel to Hong Kong, Macau or the mainland, after a word that says so.
    Passport,
}

/// Where personal data stood; offsets count Unicode characters, `end` is behind the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PiiSpan {
    /// What it was.
    pub kind: PiiKind,
    /// Its first character.
    pub start: usize,
    /// Behind its last character.
    pub end: usize,
}

/// Masks personal data. Without any, the text comes back borrowed.
///
/// ```
/// let (masked, spans) = schemas::pii::mask("请回电138 1234 5678，谢谢");
/// assert_eq!(masked, "请回电138 **** 5678，谢谢");
/// assert_eq!((spans[0].start, spans[0].end), (3, 16));
/// ```
pub fn mask(text: &str) -> (Cow<'_, str>, Vec<PiiSpan>) {
    if !worth_a_look(text) {
        return (Cow::Borrowed(text), Vec::new());
    }
    let mut chars: Vec<char> = text.chars().collect();
    let mut spans = Vec::new();
    // What masking leaves standing could join what follows it into a new number, so it is asked again until nothing is
    // found: after the first round, except in texts made for it.
    for _ in 0..ROUNDS_MAX {
        // Addresses go first: their names may look like telephones.
        let known = spans.len();
        for search in [emails, find] {
            let found = search(&chars);
            for candidate in &found {
                candidate.cover(&mut chars);
            }
            spans.extend(found.iter().map(|candidate| candidate.span));
        }
        if spans.len() == known {
            break;
        }
    }
    if spans.is_empty() {
        return (Cow::Borrowed(text), spans);
    }
    spans.sort_by_key(|span| (span.start, span.end));
    (Cow::Owned(chars.into_iter().collect()), spans)
}

/// Masks every string inside a JSON value, in place; returns how many spans were masked. Names of members stay.
pub fn mask_json(value: &mut serde_json::Value) -> usize {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => {
            let (masked, spans) = mask(text);
            if let Cow::Owned(masked) = masked {
                *text = masked;
            }
            spans.len()
        }
        Value::Array(values) => values.iter_mut().map(mask_json).sum(),
        Value::Object(members) => members.values_mut().map(mask_json).sum(),
    }
}

/// Whether the slow search could find anything: nine digits with nothing but separators between, an address, any digit
/// beside characters beyond ASCII (plates and full-width digits are such), or beside a word after which less is enough.
fn worth_a_look(text: &str) -> bool {
    let (mut run, mut gap, mut digits, mut beyond_ascii) = (0usize, 0usize, false, false);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' => {
                (run, gap, digits) = (run + 1, 0, true);
                if run >= 9 {
                    return true;
                }
            }
            // An identity card of Hong Kong: six digits and one in brackets.
            b'(' if run == 6 && gap == 0 => return true,
            b' ' | b'-' | b'.' | b'(' | b')' | b'/' if gap < SEPARATORS_MAX => gap += 1,
            b'@' => return true,
            0x80.. => {
                beyond_ascii = true;
                // Full-width digits and signs are EF BC and EF BD.
                digits |= byte == 0xef;
                run = 0;
            }
            _ => run = 0,
        }
        if digits && beyond_ascii {
            return true;
        }
    }
    (digits && has_word(text.as_bytes())) || (beyond_ascii && has_spoken_number(text))
}

/// Has an ASCII text one of the words after which few digits are personal?
fn has_word(text: &[u8]) -> bool {
    const WORDS: [&[u8]; 15] =
        [b"call", b"cell", b"contact", b"dial", b"fax", b"local number", b"mobile", b"passport", b"permit", b"phone", b"plate", b"reach", b"registration", b"tag", b"tel"];
    const MORE: [&[u8]; 8] = [b"text", b"travel", b"line", b"my number", b"her number", b"his number", b"'s number", b"ring"];
    text.iter().enumerate().any(|(at, byte)| {
        let first = byte.to_ascii_lowercase();
        matches!(first, b'c' | b'd' | b'f' | b'l' | b'm' | b'p' | b'r' | b't' | b'h' | b'\'')
            && WORDS.iter().chain(&MORE).any(|word| word[0] == first && text[at..].get(..word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word)))
    })
}

fn has_spoken_number(text: &str) -> bool {
    let mut run = 0;
    text.chars().any(|c| {
        run = if is_spoken_digit(c) { run + 1 } else { 0 };
        run == 11
    })
}

/// Most rounds of one text, so that nobody can make a text that takes long.
const ROUNDS_MAX: usize = 8;

struct Candidate {
    span: PiiSpan,
    /// The places of its digits and letters, in order.
    places: Vec<usize>,
    /// How many places stay readable at the beginning and at the end.
    keep: (usize, usize),
}

impl Candidate {
    fn cover(&self, chars: &mut [char]) {
        let last = self.places.len() - self.keep.1;
        for &place in &self.places[self.keep.0..last] {
            chars[place] = '*';
        }
    }
}

fn candidate(kind: PiiKind, places: Vec<usize>, keep: (usize, usize)) -> Candidate {
    let span = PiiSpan { kind, start: places[0], end: places[places.len() - 1] + 1 };
    Candidate { span, places, keep }
}

/// All addresses from left to right.
fn emails(chars: &[char]) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for (at, c) in chars.iter().enumerate() {
        if matches!(c, '@' | '＠') {
            let behind = found.last().map_or(0, |candidate| candidate.span.end);
            found.extend(tokens::email(chars, at).filter(|candidate| candidate.span.start >= behind));
        }
    }
    found
}

/// All other candidates from left to right, none overlapping.
fn find(chars: &[char]) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if let Some(token) = token(chars, at) {
            at = token.span.end;
            found.push(token);
        } else if digit(chars[at]).is_some() && (at == 0 || digit(chars[at - 1]).is_none()) {
            let groups = numbers::groups(chars, at);
            numbers::numbers(chars, &groups, &mut found);
            at = groups.last().map_or(at + 1, |group| group.end);
        } else {
            at += 1;
        }
    }
    found
}

/// What begins at `at` and is not of digits alone.
fn token(chars: &[char], at: usize) -> Option<Candidate> {
    let c = chars[at];
    if is_alphanumeric(c) {
        // A letter or a digit begins something only where a word begins.
        if at > 0 && is_alphanumeric(chars[at - 1]) {
            return None;
        }
        return tokens::plate(chars, at).or_else(|| tokens::passport(chars, at)).or_else(|| tokens::hong_kong(chars, at));
    }
    match c {
        '一' | '幺' => tokens::spoken(chars, at),
        _ if tokens::is_province(c) => tokens::plate(chars, at),
        _ => None,
    }
}
