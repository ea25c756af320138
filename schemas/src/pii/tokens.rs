//! Personal data with letters in it: plates, e-mail addresses, passports, Hong Kong's identity cards; and mobile numbers
//! that are read out.

use super::context::{Word, follows, is_a_word, is_near, is_of_a_thing};
use super::signs::{digit, is_alphanumeric, is_letter, is_spoken_digit, narrow};
use super::{Candidate, PiiKind, PiiSpan, candidate};

const ENDINGS: &str = "挂学警港澳领";
/// Most characters of the two sides of an address.
const EMAIL_SIDE_MAX: usize = 64;
/// Most signs between the parts of a plate.
const PLATE_GAP_MAX: usize = 2;
/// Names of files end like addresses do: `logo@2x.png`.
const FILE_ENDINGS: [&str; 12] = ["png", "jpg", "jpeg", "gif", "svg", "webp", "pdf", "txt", "js", "css", "mp4", "doc"];

/// What a plate of China begins with.
pub(super) fn is_province(c: char) -> bool {
    matches!(
        c,
        '京' | '津' | '沪' | '渝' | '冀' | '豫' | '云' | '辽' | '黑' | '湘' | '皖' | '鲁' | '新' | '苏' | '浙' | '赣' | '鄂' | '桂' | '甘' | '晋' | '蒙' | '陕' | '吉' | '闽' | '贵' | '粤' | '青' | '藏' | '川' | '宁' | '琼' | '使' | '领' | '军'
    )
}

/// A plate that begins at `at`, by any issuer.
pub(super) fn plate(chars: &[char], at: usize) -> Option<Candidate> {
    if is_province(chars[at]) {
        return province_plate(chars, at);
    }
    if at > 0 && is_alphanumeric(chars[at - 1]) {
        return None;
    }
    forces_plate(chars, at)
}

/// `粤B12345`, `粤B·D12345`, `粤Z1234港`, `使224578`.
fn province_plate(chars: &[char], at: usize) -> Option<Candidate> {
    if matches!(chars[at], '使' | '领') {
        let end = at + 1 + chars[at + 1..].iter().take(8).take_while(|c| digit(**c).is_some()).count();
        if end == at + 7 && !chars.get(end).copied().is_some_and(is_alphanumeric) {
            return Some(plate_of(at..end, (at..end).collect()));
        }
    }
    let letter = at + 1 + chars.get(at + 1..)?.iter().take(1).take_while(|c| matches!(c, ' ' | '\u{3000}')).count();
    if !is_letter(*chars.get(letter)?) {
        return None;
    }
    let start = letter + 1 + chars[letter + 1..].iter().take(PLATE_GAP_MAX).take_while(|c| is_plate_gap(**c)).count();
    let mut end = start + chars[start..].iter().take(7).take_while(|c| is_alphanumeric(**c)).count();
    let length = end - start;
    let ending = chars.get(end).is_some_and(|c| ENDINGS.contains(*c));
    if !(matches!(length, 5 | 6) || (length == 4 && ending)) || !chars[start..end].iter().any(|c| digit(*c).is_some()) {
        return None;
    }
    let places = [at, letter].into_iter().chain(start..end).collect();
    end += usize::from(ending);
    Some(plate_of(at..end, places))
}

fn is_plate_gap(c: char) -> bool {
    matches!(c, '·' | '•' | '・' | '.' | '-' | '－' | ' ' | '\u{3000}')
}

/// Armed police, `WJ粤12345`; the army, `VA12345`, after a word that says so; and foreign plates after such a word.
fn forces_plate(chars: &[char], at: usize) -> Option<Candidate> {
    let upper = |at: usize| chars.get(at).map(|c| narrow(*c).to_ascii_uppercase());
    if upper(at) == Some('W') && upper(at + 1) == Some('J') {
        let province = chars.get(at + 2).is_some_and(|c| is_province(*c));
        let start = at + 2 + usize::from(province);
        let start = start + chars.get(start..)?.iter().take(1).take_while(|c| is_plate_gap(**c)).count();
        let end = start + chars[start..].iter().take(7).take_while(|c| is_alphanumeric(**c)).count();
        if province && matches!(end - start, 4..=6) && chars[start..end].iter().any(|c| digit(*c).is_some()) {
            return Some(plate_of(at..end, [at, at + 1, at + 2].into_iter().chain(start..end).collect()));
        }
    }
    // One or two parts, `KDH-4821`, `8FTR204`: five to eight capital letters and figures, both there.
    let (letters, figures) = capitals_and_figures(chars, at);
    let end = at + letters + figures;
    if letters + figures == 0 || letters + figures > 8 {
        return None;
    }
    if letters == 2 && figures == 5 && chars[at + 1].is_ascii_uppercase() && is_a_word(chars, at, end) && is_near(chars, at, end, Word::Force) {
        return Some(plate_of(at..end, (at..end).collect()));
    }
    let second = end + usize::from(matches!(chars.get(end), Some('-' | ' ')));
    let (more_letters, more_figures) = if second > end { capitals_and_figures(chars, second) } else { (0, 0) };
    [(more_letters, more_figures), (0, 0)].into_iter().find_map(|(more_letters, more_figures)| {
        let (letters, figures) = (letters + more_letters, figures + more_figures);
        let behind = second + more_letters + more_figures;
        let end = if more_letters + more_figures > 0 { behind } else { end };
        let fits = letters >= 1 && figures >= 2 && (5..=8).contains(&(letters + figures)) && is_a_word(chars, at, end) && follows(chars, at, Word::Plate);
        fits.then(|| plate_of(at..end, (at..end).filter(|place| is_alphanumeric(chars[*place])).collect()))
    })
}

/// How many capital letters and figures stand together from `at` on; counted to nine.
fn capitals_and_figures(chars: &[char], at: usize) -> (usize, usize) {
    let mut counts = (0, 0);
    for c in chars[at..].iter().take(9) {
        match c {
            'A'..='Z' => counts.0 += 1,
            '0'..='9' => counts.1 += 1,
            _ => break,
        }
    }
    counts
}

fn plate_of(span: std::ops::Range<usize>, places: Vec<usize>) -> Candidate {
    Candidate { span: PiiSpan { kind: PiiKind::Plate, start: span.start, end: span.end }, places, keep: (2, 1) }
}

/// The address around the sign at `at`. The part before the sign is masked but for its first character.
pub(super) fn email(chars: &[char], at: usize) -> Option<Candidate> {
    let local = |c: &&char| is_alphanumeric(**c) || matches!(narrow(**c), '.' | '_' | '%' | '+' | '-' | '\'');
    let mut start = at - chars[..at].iter().rev().take(EMAIL_SIDE_MAX).take_while(local).count();
    while start < at && !is_alphanumeric(chars[start]) {
        start += 1;
    }
    let host = |c: &&char| is_alphanumeric(**c) || matches!(narrow(**c), '.' | '-');
    let mut end = at + 1 + chars[at + 1..].iter().take(EMAIL_SIDE_MAX).take_while(host).count();
    while end > at + 1 && !is_alphanumeric(chars[end - 1]) {
        end -= 1;
    }
    let host: String = chars[at + 1..end].iter().map(|c| narrow(*c).to_ascii_lowercase()).collect();
    let (name, top) = host.rsplit_once('.')?;
    let named = !name.is_empty() && !name.starts_with(['.', '-']) && top.len() >= 2 && top.bytes().all(|byte| byte.is_ascii_alphabetic());
    if start == at || !named || FILE_ENDINGS.contains(&top) {
        return None;
    }
    let keep = usize::from(at - start > 1);
    Some(Candidate { span: PiiSpan { kind: PiiKind::Email, start, end }, places: (start..at).collect(), keep: (keep, 0) })
}

/// A passport or a travel permit after a word that says so: eight to eleven letters and figures, five figures at least.
pub(super) fn passport(chars: &[char], at: usize) -> Option<Candidate> {
    let end = at + chars[at..].iter().take(12).take_while(|c| is_alphanumeric(**c)).count();
    let figures = || chars[at..end].iter().filter(|c| digit(**c).is_some()).count();
    let fits = matches!(end - at, 8..=11) && figures() >= 5 && is_a_word(chars, at, end);
    (fits && follows(chars, at, Word::Passport)).then(|| candidate(PiiKind::Passport, (at..end).collect(), (1, 2)))
}

/// An identity card of Hong Kong, `A123456(7)`: by its check digit, or after a word that says so.
pub(super) fn hong_kong(chars: &[char], at: usize) -> Option<Candidate> {
    let letters = chars[at..].iter().take(3).take_while(|c| is_letter(**c)).count();
    let open = at + letters + 6;
    let figures = chars.get(at + letters..open)?.iter().map(|c| digit(*c)).collect::<Option<Vec<u32>>>()?;
    let check = chars.get(open + 1).map(|c| narrow(*c).to_ascii_uppercase())?;
    let closed = chars.get(open).is_some_and(|c| narrow(*c) == '(') && chars.get(open + 2).is_some_and(|c| narrow(*c) == ')');
    if !matches!(letters, 1 | 2) || !closed || !(check.is_ascii_digit() || check == 'A') || (at > 0 && is_alphanumeric(chars[at - 1])) {
        return None;
    }
    let value = |c: char| u32::from(narrow(c).to_ascii_uppercase()) - u32::from('A') + 10;
    // A card of one letter counts a space before it, which is worth 36.
    let (first, second) = if letters == 1 { (36, value(chars[at])) } else { (value(chars[at]), value(chars[at + 1])) };
    let sum: u32 = first * 9 + second * 8 + figures.iter().zip([7, 6, 5, 4, 3, 2]).map(|(figure, weight)| figure * weight).sum::<u32>();
    let right = (sum + check.to_digit(16)?) % 11 == 0;
    if !right && !is_near(chars, at, open + 3, Word::Identity) {
        return None;
    }
    let places: Vec<usize> = (at..open).chain([open + 1]).collect();
    Some(Candidate { span: PiiSpan { kind: PiiKind::IdCard, start: at, end: open + 3 }, places, keep: (1, 0) })
}

/// A mobile number that is read out, 幺三八…: eleven figures, no more.
pub(super) fn spoken(chars: &[char], at: usize) -> Option<Candidate> {
    let count = chars[at..].iter().take(12).take_while(|c| is_spoken_digit(**c)).count();
    let begins = matches!(chars[at], '一' | '幺') && chars.get(at + 1).is_some_and(|c| matches!(c, '三' | '四' | '五' | '六' | '七' | '八' | '九'));
    let more = chars.get(at + count).is_some_and(|c| matches!(c, '*' | '十' | '百' | '千' | '万' | '亿'));
    let rest = at > 0 && (is_spoken_digit(chars[at - 1]) || chars[at - 1] == '*');
    (count == 11 && begins && !more && !rest && !is_of_a_thing(chars, at, at + count)).then(|| candidate(PiiKind::Phone, (at..at + count).collect(), (3, 4)))
}
