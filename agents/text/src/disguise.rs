//! What a text says when its disguise is taken off: codes that are read as text, letters that were torn apart, turned round,
//! moved in the alphabet or replaced by others that look alike.
//!
//! Readings and decoded stretches only; whether they speak to a machine is looked for elsewhere.

use crate::limits::{READ_CHARS_MAX, SLOW_CHARS_MAX};
use crate::normal::is_han;
use crate::seen::Seen;

/// A stretch that holds readable text in a code; offsets count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Characters of Base64 that are no word, number or name of a file.
const BASE64_CHARS_MIN: usize = 24;
/// Bytes of text that a code must hold: a shorter one is a number by chance.
const BYTES_MIN: usize = 5;
/// Letters that stand alone before they are a word that was torn apart.
const TORN_MIN: usize = 6;
/// Words with digits for letters before they are a spelling.
const LEET_MIN: usize = 2;
/// Words of dots and dashes.
const MORSE_MIN: usize = 8;

/// Stretches that hold readable text in Base64, hexadecimal, per cent, `\u`, binary or Morse.
pub(crate) fn decoded(original: &str) -> Vec<Code> {
    let chars: Vec<char> = original.chars().take(READ_CHARS_MAX).collect();
    let mut codes = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let found = [per_cent, escaped, binary, morse, base64, hexadecimal].into_iter().find_map(|code| code(&chars, at));
        match found {
            Some(end) => {
                codes.push(Code { start: at, end });
                at = end;
            }
            None => at += 1,
        }
    }
    codes
}

/// Other ways to read a text, each only where there is something to take off.
pub(crate) fn readings(original: &str) -> Vec<String> {
    let short: String = original.chars().take(SLOW_CHARS_MAX).collect();
    let mut readings = Vec::new();
    let seen = Seen::of(&short, SLOW_CHARS_MAX).text;
    if seen != short {
        readings.push(seen.clone());
    }
    if let Some(joined) = joined(&seen) {
        readings.push(joined);
    }
    if let Some(plain) = leet(&seen) {
        readings.push(plain);
    }
    readings.push(seen.chars().rev().collect());
    if seen.chars().filter(char::is_ascii_alphabetic).count() >= 20 {
        readings.push(seen.chars().map(rot13).collect());
    }
    readings
}

fn rot13(c: char) -> char {
    let turn = |first: u8| char::from(first + (c as u8 - first + 13) % 26);
    match c {
        'a'..='z' => turn(b'a'),
        'A'..='Z' => turn(b'A'),
        _ => c,
    }
}

/// Single characters with the same sign between them, put together again; runs of another kind of gap part words.
fn joined(text: &str) -> Option<String> {
    let chars: Vec<char> = text.chars().collect();
    let is_gap = |c: char| c == ' ' || matches!(c, '.' | '-' | '_' | '/' | '|' | '*' | '·' | '\u{3000}' | ',' | '~' | '+');
    let alone = |at: usize| chars.get(at).is_some_and(|c| c.is_alphanumeric()) && chars.get(at + 1).is_none_or(|next| !next.is_alphanumeric()) && (at == 0 || !chars[at - 1].is_alphanumeric());
    let (mut out, mut torn, mut at) = (String::new(), 0, 0);
    while at < chars.len() {
        if !alone(at) {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        // The run that begins here.
        let gap = chars.get(at + 1).copied().filter(|c| is_gap(*c));
        let mut letters = vec![chars[at]];
        let mut end = at + 1;
        if let Some(gap) = gap {
            while chars.get(end) == Some(&gap) && alone(end + 1) {
                letters.push(chars[end + 1]);
                end += 2;
            }
        }
        // Words of a torn sentence are parted by a blank.
        torn += if letters.len() >= 3 { letters.len() } else { 0 };
        out.extend(&letters);
        at = end;
    }
    (torn >= TORN_MIN).then_some(out)
}

/// Words with digits and signs in place of letters.
fn leet(text: &str) -> Option<String> {
    let plain = |c: char| match c {
        '0' => 'o',
        '1' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        _ => c,
    };
    let mut replaced = 0;
    let words: Vec<String> = text
        .split(' ')
        .map(|word| {
            let letters = word.chars().filter(char::is_ascii_alphabetic).count();
            let others = word.chars().filter(|c| plain(*c) != *c).count();
            if letters >= 1 && others >= 1 && letters + others >= 3 && word.is_ascii() {
                replaced += 1;
                // 1 is i at the beginning and between letters, l elsewhere: both are tried by the one that makes more words here.
                return word.chars().map(plain).collect::<String>().replace("ii", "ll").replace("rui", "rul");
            }
            word.to_owned()
        })
        .collect();
    (replaced >= LEET_MIN).then(|| words.join(" "))
}

/// Whether bytes are text that somebody could read: letters of words, or Chinese characters.
fn reads(bytes: &[u8]) -> bool {
    // The last character may have been cut.
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.valid_up_to() + 4 > bytes.len() => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        Err(_) => return false,
    };
    let (mut letters, mut han, mut other) = (0, 0, 0);
    for c in text.chars() {
        if is_han(c) {
            han += 1;
        } else if c.is_ascii_alphabetic() || c == ' ' {
            letters += 1;
        } else if !(c.is_ascii_digit() || c.is_ascii_punctuation() || "，。、：；！？“”（）".contains(c)) {
            other += 1;
        }
    }
    text.len() >= BYTES_MIN && other == 0 && (han >= 2 || letters * 10 >= text.chars().count() * 8)
}

fn length(chars: &[char], at: usize, fits: impl Fn(char) -> bool) -> usize {
    chars[at..].iter().take(2_048).take_while(|c| fits(**c)).count()
}

/// Whether a stretch begins here and is not the middle of another word.
fn starts(chars: &[char], at: usize, fits: impl Fn(char) -> bool) -> bool {
    at == 0 || !fits(chars[at - 1])
}

fn base64(chars: &[char], at: usize) -> Option<usize> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_');
    if !starts(chars, at, fits) {
        return None;
    }
    let count = length(chars, at, fits);
    let end = at + count + length(chars, at + count, |c| c == '=').min(2);
    if count < BASE64_CHARS_MIN {
        return None;
    }
    let value = |c: char| match c {
        'A'..='Z' => Some(u32::from(c) - 65),
        'a'..='z' => Some(u32::from(c) - 71),
        '0'..='9' => Some(u32::from(c) + 4),
        '+' | '-' => Some(62),
        '/' | '_' => Some(63),
        _ => None,
    };
    let mut bytes = Vec::with_capacity(count);
    for group in chars[at..at + count].chunks(4) {
        let word = group.iter().filter_map(|c| value(*c)).fold(0, |word, value| (word << 6) | value) << (6 * (4 - group.len()));
        bytes.extend_from_slice(&word.to_be_bytes()[1..group.len().max(1)]);
    }
    // Words in a row make no text by chance, but a long word does when it is read as a code: text has a blank or is Chinese.
    let has_words = bytes.contains(&b' ') || bytes.iter().any(|byte| *byte >= 0x80);
    (has_words && reads(&bytes)).then_some(end)
}

fn hexadecimal(chars: &[char], at: usize) -> Option<usize> {
    if !starts(chars, at, |c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let from = if chars[at..].starts_with(&['0', 'x']) { at + 2 } else { at };
    let count = length(chars, from, |c| c.is_ascii_hexdigit());
    if count < 16 || !count.is_multiple_of(2) {
        return None;
    }
    let bytes: Vec<u8> = chars[from..from + count].chunks(2).filter_map(|pair| Some((pair[0].to_digit(16)? * 16 + pair[1].to_digit(16)?) as u8)).collect();
    // Digits alone are a number.
    let is_number = chars[from..from + count].iter().all(char::is_ascii_digit);
    (!is_number && reads(&bytes)).then_some(from + count)
}

fn per_cent(chars: &[char], at: usize) -> Option<usize> {
    if chars[at] != '%' {
        return None;
    }
    let mut bytes = Vec::new();
    let mut end = at;
    while chars.get(end) == Some(&'%') {
        let (Some(high), Some(low)) = (chars.get(end + 1).and_then(|c| c.to_digit(16)), chars.get(end + 2).and_then(|c| c.to_digit(16))) else { break };
        bytes.push((high * 16 + low) as u8);
        end += 3;
    }
    // An address of the net has its words in this code.
    let word: String = chars[..at].iter().rev().take_while(|c| !c.is_whitespace() && !is_han(**c)).collect::<Vec<_>>().into_iter().rev().collect();
    (bytes.len() >= 9 && !word.contains("://") && reads(&bytes)).then_some(end)
}

fn escaped(chars: &[char], at: usize) -> Option<usize> {
    let mut text = String::new();
    let mut end = at;
    while chars[end..].starts_with(&['\\', 'u']) {
        let code = chars.get(end + 2..end + 6)?.iter().map(|c| c.to_digit(16)).try_fold(0, |code, digit| Some(code * 16 + digit?));
        text.push(code.and_then(char::from_u32)?);
        end += 6;
    }
    (text.chars().count() >= 4 && reads(text.as_bytes())).then_some(end)
}

fn binary(chars: &[char], at: usize) -> Option<usize> {
    let octet = |from: usize| {
        let bits = chars.get(from..from + 8)?;
        let ends = chars.get(from + 8).is_none_or(|c| !c.is_ascii_digit());
        (ends && bits.iter().all(|c| matches!(c, '0' | '1'))).then(|| bits.iter().fold(0u8, |byte, c| byte << 1 | u8::from(*c == '1')))
    };
    if !matches!(chars[at], '0' | '1') || !starts(chars, at, |c| c.is_ascii_digit()) {
        return None;
    }
    let (mut bytes, mut end, mut next) = (Vec::new(), at, at);
    while let Some(byte) = octet(next) {
        bytes.push(byte);
        end = next + 8;
        next = end + length(chars, end, |c| c == ' ').min(1);
    }
    (bytes.len() >= BYTES_MIN && reads(&bytes)).then_some(end)
}

fn morse(chars: &[char], at: usize) -> Option<usize> {
    let fits = |c: char| matches!(c, '.' | '-' | '/' | ' ');
    if !matches!(chars[at], '.' | '-') || !starts(chars, at, |c| matches!(c, '.' | '-')) {
        return None;
    }
    let count = length(chars, at, fits);
    let text: String = chars[at..at + count].iter().collect();
    let groups: Vec<&str> = text.split([' ', '/']).filter(|group| !group.is_empty()).collect();
    let mixed = groups.iter().filter(|group| group.len() <= 5).count() == groups.len() && text.contains('.') && text.contains('-');
    (mixed && groups.len() >= MORSE_MIN).then_some(at + count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn codes_are_read_and_numbers_are_left() {
        for text in ["6Lev54Gv5LiN5Lqu77yM6K+35bC95b+r5rS+5Lq6", "cGxlYXNlIGNvbWUgc29vbiBhbmQgZml4IGl0", "e8b7afe781afe4b88de4baae", "0x706c65617365206669782069742e", "%E8%B7%AF%E7%81%AF%E4%B8%8D%E4%BA%AE", "\\u8def\\u706f\\u4e0d\\u4eae", "-.-. --- -- . / ... --- --- -."] {
            assert_eq!(decoded(&format!("路灯 {text} 完")).first().map(|code| code.start), Some(3), "{text}");
        }
        for text in ["20260611123456789012", "6F2B9C1D7E8A4B3C9D0E1F2A3B4C5D6E7F", "internationalization-of-everything-here", "......------", "---------- 100%%%", "路灯不亮", "10000000 00000001", "https://a.example/%E8%B7%AF%E7%81%AF%E4%B8%8D%E4%BA%AE"] {
            assert_eq!(decoded(text), [], "{text}");
        }
    }

    #[test]
    fn disguises_come_off() {
        let has = |text: &str, plain: &str| assert!(readings(text).iter().any(|reading| reading.contains(plain)), "{text}: {:?}", readings(text));
        has("p.l.e.a.s.e", "please");
        has("路 灯 不 亮 了 啊", "路灯不亮了啊");
        has("f1x th3 l4mp n0w", "fix the lamp now");
        has("了亮不灯路", "路灯不亮了");
        has("cyrnfr svk gur ynzc gbqnl", "please fix the lamp today");
        assert_eq!(readings("路灯不亮"), ["亮不灯路"]);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in prop_oneof![any::<String>(), "[%\\\\u0-9a-fA-F.\\- ]{0,80}"]) {
            let count = text.chars().count();
            prop_assert!(decoded(&text).iter().all(|code| code.start < code.end && code.end <= count));
            readings(&text);
        }
    }
}
