//! Digits, letters and what stands between them, in half and in full width.

pub(super) fn digit(c: char) -> Option<u32> {
    match c {
        '0'..='9' => Some(u32::from(c) - u32::from('0')),
        '０'..='９' => Some(u32::from(c) - u32::from('０')),
        _ => None,
    }
}

pub(super) fn digits(chars: &[char], places: &[usize]) -> Option<Vec<u32>> {
    places.iter().map(|place| digit(chars[*place])).collect()
}

pub(super) fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || ('Ａ'..='Ｚ').contains(&c) || ('ａ'..='ｚ').contains(&c)
}

pub(super) fn is_alphanumeric(c: char) -> bool {
    is_letter(c) || digit(c).is_some()
}

pub(super) fn is_x(c: char) -> bool {
    matches!(c, 'x' | 'X' | 'ｘ' | 'Ｘ')
}

pub(super) fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{3000}' | '-' | '－' | '‐' | '‑' | '–' | '—' | '.' | '·' | '•')
}

/// The half width of a character that has one.
pub(super) fn narrow(c: char) -> char {
    match c {
        '！'..='～' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
        '\u{3000}' => ' ',
        _ => c,
    }
}

/// A digit as it is read out: 幺三八.
pub(super) fn is_spoken_digit(c: char) -> bool {
    matches!(c, '零' | '〇' | '○' | '一' | '幺' | '二' | '两' | '三' | '四' | '五' | '六' | '七' | '八' | '九')
}
