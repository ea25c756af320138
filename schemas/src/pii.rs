//! Masking of numbers that identify people: mobile phone, identity card, vehicle plate, bank card.
//!
//! A masked text keeps its shape (`138****5678`) and masking it again changes nothing. Digits may be full width, and phone
//! and card numbers may be broken by spaces or hyphens. Identity cards are known by their checksum (GB 11643: ISO 7064
//! MOD 11-2), bank cards by theirs (Luhn, ISO/IEC 7812).

use std::borrow::Cow;

/// What kind of number was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PiiKind {
    /// 手机号: 1, 3-9, nine digits.
    Phone,
    /// 身份证号: 18 digits, the last may be X.
    IdCard,
    /// 车牌号: a province's character, a letter, five or six letters and digits.
    Plate,
    /// 银行卡号: 13 to 19 digits.
    BankCard,
}

/// A number that was found, in characters (not bytes) of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PiiSpan {
    /// What it is.
    pub kind: PiiKind,
    /// First character.
    pub start: usize,
    /// Character after the last.
    pub end: usize,
}

const PROVINCES: &str = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼";
const ID_WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const ID_CHECKS: &[u8; 11] = b"10X98765432";

/// Masks every number of a person in `text`. Borrows the text when there is none.
pub fn mask(text: &str) -> (Cow<'_, str>, Vec<PiiSpan>) {
    if !may_hold(text) {
        return (Cow::Borrowed(text), Vec::new());
    }
    let chars: Vec<char> = text.chars().collect();
    let spans = find(&chars);
    if spans.is_empty() {
        return (Cow::Borrowed(text), spans);
    }
    let mut masked = chars;
    for span in &spans {
        let wanted: Vec<usize> = (span.start..span.end).filter(|index| is_kept_shape(masked[*index])).collect();
        let (head, tail) = match span.kind {
            PiiKind::Phone => (3, 4),
            PiiKind::IdCard => (3, 2),
            PiiKind::Plate => (2, 1),
            PiiKind::BankCard => (4, 4),
        };
        for index in &wanted[head..wanted.len() - tail] {
            masked[*index] = '*';
        }
    }
    (Cow::Owned(masked.into_iter().collect()), spans)
}

/// Whether there can be anything to mask: eleven digits in all, or a province's character. Most texts end here.
fn may_hold(text: &str) -> bool {
    let mut digits = 0;
    for c in text.chars() {
        if digit(c).is_some() {
            digits += 1;
            if digits >= 11 {
                return true;
            }
        } else if c as u32 > 0x4e00 && PROVINCES.contains(c) {
            return true;
        }
    }
    false
}

fn is_kept_shape(c: char) -> bool {
    !is_separator(c)
}

fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '-' | '－' | '\u{3000}' | '·' | '•')
}

fn digit(c: char) -> Option<u32> {
    match c {
        '0'..='9' => Some(c as u32 - '0' as u32),
        '０'..='９' => Some(c as u32 - '０' as u32),
        _ => None,
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || digit(c).is_some()
}

fn find(chars: &[char]) -> Vec<PiiSpan> {
    let mut spans = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let found = if PROVINCES.contains(chars[at]) { plate(chars, at) } else { None }.or_else(|| {
            let starts = digit(chars[at]).is_some() && (at == 0 || !(is_word(chars[at - 1]) || chars[at - 1] == '.' || chars[at - 1] == '*'));
            if starts { number(chars, at) } else { None }
        });
        match found {
            Some(span) => {
                at = span.end;
                spans.push(span);
            }
            None => at += 1,
        }
    }
    spans
}

/// A run of digits from `start`, with single separators between them, and where it ends.
fn number(chars: &[char], start: usize) -> Option<PiiSpan> {
    let mut digits = Vec::new();
    let mut end = start;
    let mut tight = 0;
    while end < chars.len() && digits.len() <= 19 {
        if let Some(value) = digit(chars[end]) {
            digits.push((value, end));
            end += 1;
            if tight + 1 == digits.len() && digits.len() == end - start {
                tight += 1;
            }
        } else if is_separator(chars[end]) && end + 1 < chars.len() && digit(chars[end + 1]).is_some() {
            end += 1;
        } else {
            break;
        }
    }
    let span = |kind, count: usize| PiiSpan { kind, start, end: digits[count - 1].1 + 1 };
    let values: Vec<u32> = digits.iter().map(|(value, _)| *value).collect();
    let after = |count: usize| digits.get(count - 1).and_then(|(_, index)| chars.get(index + 1)).copied();
    let ends_at = |count: usize| values.len() >= count && after(count).is_none_or(|c| !is_word(c) && c != '*');

    if values.len() >= 17 {
        let x = matches!(after(17), Some('X' | 'x' | 'Ｘ' | 'ｘ'));
        let check = ID_CHECKS[values[..17].iter().zip(ID_WEIGHTS).map(|(value, weight)| value * weight).sum::<u32>() as usize % 11];
        if x && check == b'X' && after(17).is_some() {
            let last = digits[16].1 + 1;
            if chars.get(last + 1).is_none_or(|c| !is_word(*c)) {
                return Some(PiiSpan { kind: PiiKind::IdCard, start, end: last + 1 });
            }
        }
        if ends_at(18) && values.len() == 18 && u32::from(check.wrapping_sub(b'0')) == values[17] && check != b'X' {
            return Some(span(PiiKind::IdCard, 18));
        }
    }
    if (13..=19).contains(&values.len()) && ends_at(values.len()) && luhn(&values) && values.iter().any(|value| *value != 0) {
        return Some(span(PiiKind::BankCard, values.len()));
    }
    // +86 or 0086 may stand before a phone number.
    let prefix = match values[..] {
        [0, 0, 8, 6, 1, ..] if values.len() == 15 => 4,
        [8, 6, 1, ..] if values.len() == 13 => 2,
        _ => 0,
    };
    let is_phone = values.len() == prefix + 11 && values[prefix] == 1 && (3..=9).contains(&values[prefix + 1]) && ends_at(values.len());
    is_phone.then(|| PiiSpan { kind: PiiKind::Phone, start: digits[prefix].1, end: digits[prefix + 10].1 + 1 })
}

fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| match (index % 2, digit * 2) {
            (0, _) => *digit,
            (_, double) if double > 9 => double - 9,
            (_, double) => double,
        })
        .sum();
    sum % 10 == 0
}

fn plate(chars: &[char], start: usize) -> Option<PiiSpan> {
    let mut at = start + 1;
    if !chars.get(at)?.is_ascii_uppercase() {
        return None;
    }
    at += 1;
    if is_separator(*chars.get(at)?) {
        at += 1;
    }
    let tail: Vec<char> = chars[at..].iter().copied().take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit()).take(7).collect();
    let plain = matches!(tail.len(), 5 | 6) && tail.iter().filter(|c| c.is_ascii_digit()).count() >= 2;
    plain.then_some(PiiSpan { kind: PiiKind::Plate, start, end: at + tail.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(mask(text).0, expected);
    }

    /// An identity card number with a right checksum, for tests only.
    fn id_card(first: &str) -> String {
        let digits: Vec<u32> = first.chars().map(|c| c.to_digit(10).unwrap()).collect();
        let check = ID_CHECKS[digits.iter().zip(ID_WEIGHTS).map(|(value, weight)| value * weight).sum::<u32>() as usize % 11];
        format!("{first}{}", check as char)
    }

    #[test]
    fn numbers_of_people_keep_their_shape_only() {
        check("电话13812345678。", "电话138****5678。");
        check("138 1234 5678", "138 **** 5678");
        check("+86-138-1234-5678", "+86-138-****-5678");
        check("１３８１２３４５６７８", "１３８****５６７８");
        check("车牌鄂A12345停在", "车牌鄂A****5停在");
        check("卡号 6222 0200 0000 0000 003", "卡号 6222 0200 0000 0000 003");
        check("4111 1111 1111 1111", "4111 **** **** 1111");
        let id = id_card("11010519491231002");
        check(&format!("身份证{id}"), &format!("身份证{}*************{}", &id[..3], &id[16..]));
    }

    #[test]
    fn ordinary_numbers_stay() {
        for text in ["2025-07-18 14:00:00", "2025071814000012", "工单20250718000123", "0571-87654321", "12345", "长江路138号", "value 0.13812345678", "AB13812345678"] {
            check(text, text);
        }
    }

    #[test]
    fn spans_count_characters() {
        let (_, spans) = mask("打 13812345678");
        assert_eq!(spans, [PiiSpan { kind: PiiKind::Phone, start: 2, end: 13 }]);
    }

    proptest! {
        #[test]
        fn masking_twice_is_masking_once(text in "[0-9 \\-电话京鄂AX*]{0,40}") {
            let once = mask(&text).0.into_owned();
            let twice = mask(&once).0.into_owned();
            prop_assert_eq!(once, twice);
        }

        #[test]
        fn no_phone_comes_through(before in "[^0-9０-９A-Za-z.*\\- ]{0,5}", number in "1[3-9][0-9]{9}", after in "[^0-9０-９A-Za-z*\\- ]{0,5}") {
            let masked = mask(&format!("{before}{number}{after}")).0.into_owned();
            prop_assert!(!masked.contains(&number));
        }

        #[test]
        fn any_text_is_taken(text in any::<String>()) {
            mask(&text);
        }
    }
}
