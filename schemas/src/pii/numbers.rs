//! Personal data of digits alone: telephones, identity numbers, bank cards, in the groups that people write them in.

use super::context::{Word, follows, is_near, is_of_a_thing, stands_alone};
use super::signs::{digit, digits, is_alphanumeric, is_separator, is_x, narrow};
use super::{Candidate, PiiKind, PiiSpan, candidate};

/// Most separators between two groups of digits: `138 - 1234 - 5678`.
pub(super) const SEPARATORS_MAX: usize = 3;

/// Fewer digits than these are nothing personal.
const DIGITS_MIN: usize = 7;

/// Digits standing together, perhaps with the X that ends an identity number.
#[derive(Clone, Copy)]
pub(super) struct Group {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Group {
    fn len(&self) -> usize {
        self.end - self.start
    }
}

/// The groups that begin at `at` and are joined by separators.
pub(super) fn groups(chars: &[char], at: usize) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut at = at;
    loop {
        let start = at;
        while at < chars.len() && digit(chars[at]).is_some() {
            at += 1;
        }
        // The X stands where an identity number has its last place: behind 17 digits, or 3 of its last group.
        let x = matches!(at - start, 3 | 17) && at < chars.len() && is_x(chars[at]) && !chars.get(at + 1).copied().is_some_and(is_alphanumeric);
        at += usize::from(x);
        groups.push(Group { start, end: at });
        let gap = chars[at..].iter().take(SEPARATORS_MAX + 1).take_while(|c| is_between(**c)).count();
        let goes_on = !x && (1..=SEPARATORS_MAX).contains(&gap) && chars.get(at + gap).is_some_and(|c| digit(*c).is_some());
        if !goes_on {
            return groups;
        }
        at += gap;
    }
}

fn is_between(c: char) -> bool {
    is_separator(c) || matches!(c, '(' | ')' | '（' | '）' | '/')
}

/// The ways people group these numbers, longest first where one begins like another.
const ID_CARD_SHAPES: [&[usize]; 6] = [&[18], &[6, 8, 4], &[6, 4, 4, 4], &[4, 4, 4, 4, 2], &[14, 4], &[6, 12]];
const ID_CARD_OLD_SHAPES: [&[usize]; 2] = [&[15], &[6, 6, 3]];
const PHONE_SHAPES: [&[usize]; 9] = [&[11], &[3, 4, 4], &[3, 8], &[7, 4], &[3, 3, 5], &[4, 4, 3], &[3, 4, 2, 2], &[3, 2, 2, 2, 2], &[1; 11]];
const LANDLINE_SHAPES: [&[usize]; 5] = [&[8], &[7], &[4, 4], &[3, 4], &[4, 3]];
const CARD_SHAPES: [&[usize]; 19] = [
    &[4, 4, 4, 4, 3],
    &[4, 4, 4, 4, 2],
    &[4, 4, 4, 4, 1],
    &[4, 4, 4, 4],
    &[4, 4, 4, 3],
    &[4, 6, 5],
    &[4, 6, 4],
    &[6, 13],
    &[6, 10],
    &[8, 11],
    &[8, 8],
    &[4, 12],
    &[13],
    &[14],
    &[15],
    &[16],
    &[17],
    &[18],
    &[19],
];

/// Codes of countries and places, and how many digits may follow; of others nine to twelve may.
const COUNTRIES: [(&str, &[usize]); 14] = [
    ("86", &[11, 10, 9]),
    ("852", &[8]),
    ("853", &[8]),
    ("886", &[9, 8]),
    ("1", &[10]),
    ("44", &[10]),
    ("65", &[8]),
    ("81", &[10, 9]),
    ("82", &[10, 9]),
    ("61", &[9]),
    ("49", &[11, 10]),
    ("33", &[9]),
    ("7", &[10]),
    ("91", &[10]),
];
const COUNTRY_ELSE: (&str, &[usize]) = ("", &[12, 11, 10]);

/// Everything personal among groups that are joined, from left to right.
pub(super) fn numbers(chars: &[char], groups: &[Group], found: &mut Vec<Candidate>) {
    let mut first = 0;
    let mut left: usize = groups.iter().map(Group::len).sum();
    // Most numbers are short, and then little is asked.
    while left >= DIGITS_MIN {
        let row = Row { chars, groups, first };
        let of_length = |length: usize| left >= length;
        let matched = row
            .international()
            .or_else(|| if of_length(18) { ID_CARD_SHAPES.iter().find_map(|shape| row.id_card(shape)) } else { None })
            .or_else(|| if of_length(11) { row.phone_in_any_shape().or_else(|| row.phone_with_prefix()) } else { None })
            .or_else(|| row.north_american())
            .or_else(|| row.landline())
            .or_else(|| row.social_security())
            .or_else(|| if of_length(13) { CARD_SHAPES.iter().find_map(|shape| row.bank_card(shape)) } else { None })
            .or_else(|| if of_length(15) { ID_CARD_OLD_SHAPES.iter().find_map(|shape| row.id_card_old(shape)) } else { None });
        let used = matched.as_ref().map_or(1, |(_, used)| *used);
        found.extend(matched.map(|(candidate, _)| candidate));
        left -= groups[first..first + used].iter().map(Group::len).sum::<usize>();
        first += used;
    }
}

type Matched = Option<(Candidate, usize)>;

/// Groups, seen from one of them.
struct Row<'a> {
    chars: &'a [char],
    groups: &'a [Group],
    first: usize,
}

impl Row<'_> {
    /// The groups from here on, if their lengths are those of `shape`.
    fn taken(&self, shape: &[usize]) -> Option<&[Group]> {
        if self.groups.get(self.first)?.len() != shape[0] {
            return None;
        }
        let taken = self.groups.get(self.first..self.first + shape.len())?;
        taken.iter().zip(shape).all(|(group, length)| group.len() == *length).then_some(taken)
    }

    /// Their places, if they stand by themselves and one kind of separator stands between all of them.
    fn shaped(&self, shape: &[usize]) -> Option<Vec<usize>> {
        let taken = self.taken(shape)?;
        if !stands_alone(self.chars, taken[0].start, taken[taken.len() - 1].end) {
            return None;
        }
        // A single point would make a decimal number of it.
        let alike = |c: char| if c == '.' || c == '/' { c } else if matches!(c, ' ' | '\u{a0}' | '\u{3000}') { ' ' } else { '-' };
        let gap = |pair: &[Group]| self.chars[pair[0].end..pair[1].start].iter().map(|c| alike(*c)).collect::<String>();
        if let Some(one) = taken.windows(2).next().map(gap) {
            if taken.windows(2).skip(1).any(|pair| gap(pair) != one) || (taken.len() == 2 && one.contains(['.', '/'])) {
                return None;
            }
        }
        // Eleven digits one by one are a number that somebody spelled out; more of them are a list.
        let single = |index: Option<usize>| index.and_then(|index| self.groups.get(index)).is_some_and(|group| group.len() == 1);
        if shape[0] == 1 && (single(self.first.checked_sub(1)) || single(Some(self.first + shape.len()))) {
            return None;
        }
        Some(places(taken))
    }

    /// Is one more group joined before, or behind `count` groups, by more than spaces?
    fn is_chained(&self, count: usize) -> bool {
        let tight = |pair: &[Group]| self.chars[pair[0].end..pair[1].start].iter().any(|c| matches!(narrow(*c), '-' | '.' | '/' | '–'));
        let before = self.first > 0 && tight(&self.groups[self.first - 1..=self.first]);
        let last = self.first + count - 1;
        before || (last + 1 < self.groups.len() && tight(&self.groups[last..=last + 1]))
    }

    fn of_a_thing(&self, places: &[usize]) -> bool {
        is_of_a_thing(self.chars, places[0], places[places.len() - 1] + 1)
    }

    /// `+86 755 2688 4410`, `+85264732918`: whatever follows a plus and a code that is known, as long as it should be.
    fn international(&self) -> Matched {
        let start = self.groups[self.first].start;
        let plus = start.checked_sub(1)?;
        if narrow(self.chars[plus]) != '+' || (plus > 0 && (is_alphanumeric(self.chars[plus - 1]) || self.chars[plus - 1] == '*')) {
            return None;
        }
        let most = self.groups[self.first..].iter().take(7);
        let all: Vec<usize> = most.clone().flat_map(|group| group.start..group.end).take(20).collect();
        let said: String = all.iter().filter_map(|place| digit(self.chars[*place])).filter_map(|digit| char::from_digit(digit, 10)).collect();
        let (code, lengths) = COUNTRIES.into_iter().find(|(code, _)| said.starts_with(code)).unwrap_or(COUNTRY_ELSE);
        if said.starts_with('0') {
            return None;
        }
        let mut ends = Vec::new();
        let mut end = 0;
        for group in most {
            end += group.len();
            ends.push(end);
        }
        let (used, end) = lengths.iter().find_map(|length| ends.iter().position(|end| *end == code.len() + length).map(|at| (at + 1, ends[at])))?;
        let places = all.get(code.len()..end)?.to_vec();
        let body = digits(self.chars, &places)?;
        if !stands_alone(self.chars, start, places[places.len() - 1] + 1) {
            return None;
        }
        let kind = if code == "86" && !is_phone(&body) { PiiKind::Landline } else { PiiKind::Phone };
        let span = PiiSpan { kind, start: plus, end: places[places.len() - 1] + 1 };
        let keep = if body.len() > 8 { (3, 4) } else { (0, 4) };
        Some((Candidate { span, places, keep }, used))
    }

    fn id_card(&self, shape: &[usize]) -> Matched {
        const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
        let places = self.shaped(shape)?;
        let body = digits(self.chars, &places[..17])?;
        let last = if is_x(self.chars[places[17]]) { 10 } else { digit(self.chars[places[17]])? };
        let sum: u32 = body.iter().zip(WEIGHTS).map(|(digit, weight)| digit * weight).sum();
        // The map 10X98765432 in words: what is missing to 12, modulo 11.
        let right = body[0] != 0 && (12 - sum % 11) % 11 == last;
        let plausible = is_region(&body) && is_day(number(&body[6..10]), &body[10..14]);
        // With a slip in it, it says who it is all the same; then the words around it must say what it is.
        let slip = || plausible && is_near(self.chars, places[0], places[17] + 1, Word::Identity);
        let fits = if right { plausible || !self.of_a_thing(&places) } else { slip() };
        fits.then(|| (candidate(PiiKind::IdCard, places, (3, 2)), shape.len()))
    }

    /// Of fifteen places, as issued until 1999: no check digit, the year in two places.
    fn id_card_old(&self, shape: &[usize]) -> Matched {
        let places = self.shaped(shape)?;
        let body = digits(self.chars, &places)?;
        let fits = is_region(&body) && is_day(1900 + number(&body[6..8]), &body[8..12]) && !self.of_a_thing(&places);
        fits.then(|| (candidate(PiiKind::IdCard, places, (3, 2)), shape.len()))
    }

    fn phone_in_any_shape(&self) -> Matched {
        // A code of the country in a group of its own belongs to the number.
        let code = self.groups[self.first];
        let said = |digits: &[u32]| code.len() == digits.len() && (code.start..code.end).zip(digits).all(|(place, said)| digit(self.chars[place]) == Some(*said));
        if (said(&[8, 6]) || said(&[0, 0, 8, 6])) && self.first + 1 < self.groups.len() {
            let row = Row { first: self.first + 1, ..*self };
            if let Some((mut candidate, used)) = PHONE_SHAPES.iter().find_map(|shape| row.phone(shape)) {
                candidate.span.start = code.start;
                return Some((candidate, used + 1));
            }
        }
        PHONE_SHAPES.iter().find_map(|shape| self.phone(shape))
    }

    fn phone(&self, shape: &[usize]) -> Matched {
        let places = self.shaped(shape)?;
        let fits = is_phone(&digits(self.chars, &places)?) && !self.of_a_thing(&places);
        fits.then(|| (candidate(PiiKind::Phone, places, (3, 4)), shape.len()))
    }

    /// `8613812345678`, `008613812345678` and `013812345678`: the prefix stays readable.
    fn phone_with_prefix(&self) -> Matched {
        let group = self.groups[self.first];
        let prefix = match group.len() {
            12 => 1,
            13 => 2,
            15 => 4,
            _ => return None,
        };
        let mut places = self.shaped(&[group.len()])?;
        let digits = digits(self.chars, &places)?;
        let known = matches!(digits[..prefix], [0] | [8, 6] | [0, 0, 8, 6]);
        if !known || !is_phone(&digits[prefix..]) || self.of_a_thing(&places) {
            return None;
        }
        let span = PiiSpan { kind: PiiKind::Phone, start: places[0], end: group.end };
        Some((Candidate { span, places: places.split_off(prefix), keep: (3, 4) }, 1))
    }

    /// Ten digits as North America writes them, `(713) 555-0142`; with spaces only, or none, beside a word that says so.
    fn north_american(&self) -> Matched {
        const SHAPES: [&[usize]; 4] = [&[1, 3, 3, 4], &[3, 3, 4], &[10], &[3, 7]];
        let (shape, taken) = SHAPES.into_iter().find_map(|shape| Some((shape, self.taken(shape)?)))?;
        let mut places = places(taken);
        let all = digits(self.chars, &places)?;
        let lead = all.len() - 10;
        let body = &all[lead..];
        // Lines that the called one pays for, and China's 400, belong to nobody in particular.
        let public = matches!(number(&body[..3]), 400 | 800 | 822 | 833 | 844 | 855 | 866 | 877 | 888 | 900);
        let issued = |three: &[u32]| three[0] >= 2 && three[1..] != [1, 1];
        if (lead == 1 && all[0] != 1) || public || !issued(&body[..3]) || !issued(&body[3..6]) || self.is_chained(shape.len()) {
            return None;
        }
        let end = places[places.len() - 1] + 1;
        let signs = taken.windows(2).any(|pair| self.chars[pair[0].end..pair[1].start].iter().any(|c| !matches!(c, ' ' | '\u{a0}' | '\u{3000}')));
        let said = || is_near(self.chars, places[0], end, Word::Phone);
        if !stands_alone(self.chars, places[0], end) || self.of_a_thing(&places) || !((signs && taken.len() > 2) || said()) {
            return None;
        }
        let span = PiiSpan { kind: PiiKind::Phone, start: places[0], end };
        Some((Candidate { span, places: places.split_off(lead), keep: (3, 4) }, shape.len()))
    }

    /// `0755-2345 6789`; in one piece, or without the area, after a word that says so.
    fn landline(&self) -> Matched {
        let group = self.groups[self.first];
        if !matches!(group.len(), 3 | 4 | 7 | 8 | 10..=12) {
            return None;
        }
        let all = digits(self.chars, &places(&[group]))?;
        let area = area(&all);
        if area == all.len() {
            let behind = Row { first: self.first + 1, ..*self };
            let (shape, taken) = LANDLINE_SHAPES.iter().find_map(|shape| Some((shape, behind.taken(shape)?)))?;
            let local = digits(self.chars, &places(taken))?;
            // Ten digits of Shanghai or Beijing would be one too few.
            let fits = local[0] >= 2 && (area == 4 || local.len() == 8) && !behind.is_chained_behind(shape.len());
            return self.landline_of(group.start, area, taken, fits).map(|candidate| (candidate, shape.len() + 1));
        }
        if area > 0 && matches!(all.len() - area, 7 | 8) {
            let fits = all[area] >= 2 && (area == 4 || all.len() == 11) && is_near(self.chars, group.start, group.end, Word::Phone);
            return self.landline_of(group.start, area, &[], fits).map(|candidate| (candidate, 1));
        }
        let (shape, taken) = LANDLINE_SHAPES.iter().find_map(|shape| Some((shape, self.taken(shape)?)))?;
        let local = digits(self.chars, &places(taken))?;
        let date = local.len() == 8 && is_day(number(&local[..4]), &local[4..]);
        let fits = local[0] >= 2 && !date && !self.is_chained(shape.len()) && follows(self.chars, group.start, Word::Phone);
        self.landline_of(group.start, 0, &taken[1..], fits).map(|candidate| (candidate, shape.len()))
    }

    /// `more` is what follows the first group.
    fn landline_of(&self, start: usize, area: usize, more: &[Group], fits: bool) -> Option<Candidate> {
        let places: Vec<usize> = places(&[self.groups[self.first]]).into_iter().chain(places(more)).collect();
        let end = places[places.len() - 1] + 1;
        let alone = fits && stands_alone(self.chars, start, end) && !self.of_a_thing(&places);
        alone.then(|| candidate(PiiKind::Landline, places, (area, 4)))
    }

    fn is_chained_behind(&self, count: usize) -> bool {
        Row { first: 0, groups: &self.groups[self.first..], chars: self.chars }.is_chained(count)
    }

    /// A social security number of the United States.
    fn social_security(&self) -> Matched {
        const SHAPES: [&[usize]; 2] = [&[3, 2, 4], &[9]];
        let (shape, places) = SHAPES.into_iter().find_map(|shape| Some((shape, self.shaped(shape)?)))?;
        let body = digits(self.chars, &places)?;
        let issued = !matches!(number(&body[..3]), 0 | 666 | 900..) && number(&body[3..5]) > 0 && number(&body[5..]) > 0;
        let hyphens = shape.len() == 3 && matches!(narrow(self.chars[places[3] - 1]), '-' | '–') && !self.is_chained(3) && !self.of_a_thing(&places);
        let said = || is_near(self.chars, places[0], places[8] + 1, Word::SocialSecurity);
        (issued && (hyphens || said())).then(|| (candidate(PiiKind::IdCard, places, (0, 4)), shape.len()))
    }

    fn bank_card(&self, shape: &[usize]) -> Matched {
        let places = self.shaped(shape)?;
        let digits = digits(self.chars, &places)?;
        if !issued(&digits) {
            return None;
        }
        let named = || follows(self.chars, places[0], Word::Card);
        let fits = if luhn(&digits) { !self.of_a_thing(&places) || named() } else { digits.len() >= 16 && named() };
        fits.then(|| (candidate(PiiKind::BankCard, places, (4, 4)), shape.len()))
    }
}

fn places(groups: &[Group]) -> Vec<usize> {
    groups.iter().flat_map(|group| group.start..group.end).collect()
}

fn number(digits: &[u32]) -> u32 {
    digits.iter().fold(0, |number, digit| number * 10 + digit)
}

/// How many digits are the code of an area of China: 010, 02x, 0xxx; 0 when there is none.
fn area(digits: &[u32]) -> usize {
    match digits {
        [0, 1, 0, ..] | [0, 2, _, ..] => 3,
        [0, 3..=9, _, _, ..] => 4,
        _ => 0,
    }
}

fn is_phone(digits: &[u32]) -> bool {
    digits.len() == 11 && digits[0] == 1 && digits[1] >= 3
}

/// Does an identity number begin with a province?
fn is_region(digits: &[u32]) -> bool {
    matches!(digits[0] * 10 + digits[1], 11..=15 | 21..=23 | 31..=37 | 41..=46 | 50..=54 | 61..=65 | 71 | 81..=83)
}

/// A day that somebody now alive may be born on.
fn is_day(year: u32, month_and_day: &[u32]) -> bool {
    let (month, day) = (number(&month_and_day[..2]), number(&month_and_day[2..]));
    (1900..2100).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day)
}

/// Whether a card with these digits could have been issued. Luhn alone passes every tenth number, times in milliseconds
/// and microseconds among them; those begin with 1.
fn issued(digits: &[u32]) -> bool {
    let begins = digits[0] * 10 + digits[1];
    match digits.len() {
        13 => digits[0] == 4,
        14 => matches!(begins, 30 | 36 | 38 | 39),
        15 => matches!(begins, 34 | 37),
        16..=19 => matches!(begins, 22..=27 | 35 | 40..=49 | 50..=69 | 90..=99),
        _ => false,
    }
}

fn luhn(digits: &[u32]) -> bool {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let weigh = |(index, digit): (usize, &u32)| if index % 2 == 1 { doubled(*digit) } else { *digit };
    digits.iter().rev().enumerate().map(weigh).sum::<u32>() % 10 == 0
}
