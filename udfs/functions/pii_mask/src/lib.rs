use arroyo_udf_plugin::udf;

/// Text with personal data masked, its length kept: mainland mobile numbers (`138****5678`), identity numbers of 18 places,
/// vehicles' plates and bank cards, by the rules with which the city brain's door masks messages. A number counts only when
/// it stands by itself, is grouped as people group such numbers, and passes its check digit where it has one.
#[udf]
fn pii_mask(text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    // What a mask leaves standing could join what follows it into a new number, so it is asked again.
    for _ in 0..ROUNDS_MAX {
        let hidden = hidden(&chars);
        if hidden.is_empty() {
            break;
        }
        hidden.into_iter().for_each(|place| chars[place] = '*');
    }
    chars.into_iter().collect()
}

/// Most rounds of one text, so that nobody can make a text that takes long.
const ROUNDS_MAX: usize = 8;

/// The places to be masked.
fn hidden(chars: &[char]) -> Vec<usize> {
    let (mut hidden, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        at = plate(chars, at, &mut hidden).or_else(|| numbers(chars, at, &mut hidden)).unwrap_or(at + 1);
    }
    hidden
}

/// A shape: the lengths of a number's groups of digits, and what it may be.
type Shape = (&'static [usize], fn(&[u32]) -> Option<Keep>);

/// How many places stay readable at the beginning and at the end.
type Keep = (usize, usize);

/// Longest first where one begins like another. The digit behind 9 is the X of an identity number.
const SHAPES: [Shape; 20] = [
    (&[18], id_card_or_bank_card),
    (&[6, 8, 4], id_card),
    (&[6, 4, 4, 4], id_card),
    (&[11], phone),
    (&[3, 4, 4], phone),
    (&[3, 8], phone),
    (&[12], phone_with_prefix),
    (&[13], phone_with_prefix),
    (&[15], phone_with_prefix),
    (&[4, 4, 4, 4, 3], bank_card),
    (&[4, 4, 4, 4, 2], bank_card),
    (&[4, 4, 4, 4, 1], bank_card),
    (&[4, 4, 4, 4], bank_card),
    (&[4, 6, 5], bank_card),
    (&[4, 6, 4], bank_card),
    (&[6, 13], bank_card),
    (&[14], bank_card),
    (&[16], bank_card),
    (&[17], bank_card),
    (&[19], bank_card),
];

/// Hides what is found in the digits that begin at `at`; the place behind them, if digits begin there.
fn numbers(chars: &[char], at: usize, hidden: &mut Vec<usize>) -> Option<usize> {
    if at > 0 && digit(chars[at - 1]).is_some() {
        return None;
    }
    let groups = groups(chars, at)?;
    let mut first = 0;
    while first < groups.len() {
        let found = SHAPES.iter().find_map(|shape| Some((places(chars, &groups[first..], shape)?, shape.0.len())));
        let Some(((places, keep), used)) = found else {
            first += 1;
            continue;
        };
        hidden.extend(&places[keep.0..places.len() - keep.1]);
        first += used;
    }
    groups.last().map(|group| group.1)
}

/// The places of the digits of the first groups, and which of them stay, if they have this shape and stand alone.
fn places(chars: &[char], groups: &[(usize, usize)], shape: &Shape) -> Option<(Vec<usize>, Keep)> {
    let taken = groups.get(..shape.0.len())?;
    let fits = taken.iter().zip(shape.0).all(|(group, length)| group.1 - group.0 == *length);
    let gaps: Vec<&[char]> = taken.windows(2).map(|pair| &chars[pair[0].1..pair[1].0]).collect();
    let alike = gaps.windows(2).all(|pair| pair[0] == pair[1]) && !(gaps.len() == 1 && gaps[0].contains(&'.'));
    if !fits || !alike || !stands_alone(chars, taken[0].0, taken[taken.len() - 1].1) {
        return None;
    }
    let places: Vec<usize> = taken.iter().flat_map(|group| group.0..group.1).collect();
    let digits: Vec<u32> = places.iter().map(|place| digit(chars[*place]).unwrap_or(10)).collect();
    let keep = shape.1(&digits)?;
    Some((places, keep))
}

/// Groups of digits from `at` on that are joined by one to three separators.
fn groups(chars: &[char], at: usize) -> Option<Vec<(usize, usize)>> {
    let (mut groups, mut start) = (Vec::new(), at);
    loop {
        let mut end = start + chars[start..].iter().take_while(|c| digit(**c).is_some()).count();
        let is_x = |at: usize| matches!(chars.get(at), Some('x' | 'X' | 'ｘ' | 'Ｘ'));
        let x = matches!(end - start, 3 | 17) && is_x(end) && !chars.get(end + 1).is_some_and(|c| is_letter(*c) || digit(*c).is_some());
        end += usize::from(x);
        if end == start {
            return None;
        }
        groups.push((start, end));
        let gap = chars[end..].iter().take_while(|c| is_separator(**c)).count();
        if x || !(1..=3).contains(&gap) || !chars.get(end + gap).is_some_and(|c| digit(*c).is_some()) {
            return Some(groups);
        }
        start = end + gap;
    }
}

/// Not the rest of a masked number, no part of a decimal number, and not inside an id of hex digits.
fn stands_alone(chars: &[char], start: usize, end: usize) -> bool {
    const NEAR: usize = 64;
    let (before, after) = (&chars[start.saturating_sub(NEAR)..start], &chars[end..chars.len().min(end + NEAR)]);
    let masked = |c: Option<&char>| c == Some(&'*');
    let is_digit = |c: Option<&char>| c.is_some_and(|c| digit(*c).is_some());
    let point_before = before.last() == Some(&'.') && is_digit(before.iter().rev().nth(1));
    let point_after = after.first() == Some(&'.') && is_digit(after.get(1));
    let word = |c: &&char| c.is_ascii_alphanumeric();
    let word_start = start - before.iter().rev().take_while(word).count();
    let word_end = end + after.iter().take_while(word).count();
    let longer = word_end - word_start > end - start && word_end - word_start >= 12;
    let in_hex = longer && chars[word_start..word_end].iter().all(char::is_ascii_hexdigit);
    !masked(before.iter().rev().find(|c| !is_separator(**c)))
        && !masked(after.iter().find(|c| !is_separator(**c)))
        && !point_before
        && !point_after
        && !in_hex
}

fn phone(digits: &[u32]) -> Option<Keep> {
    (digits[0] == 1 && digits[1] >= 3 && digits.iter().all(|it| *it < 10)).then_some((3, 4))
}

/// `+8613812345678`, `008613812345678`, `013812345678`: the prefix stays readable. Thirteen digits may be a bank card too.
fn phone_with_prefix(digits: &[u32]) -> Option<Keep> {
    let prefix = digits.len() - 11;
    let known = matches!(digits[..prefix], [0] | [8, 6] | [0, 0, 8, 6]);
    let number = known.then(|| phone(&digits[prefix..])).flatten();
    number.map(|keep| (prefix + keep.0, keep.1)).or_else(|| bank_card(digits))
}

/// The check digit of GB 11643: MOD 11-2.
fn id_card(digits: &[u32]) -> Option<Keep> {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(digit, weight)| digit * weight).sum();
    let right = digits[0] != 0 && digits[..17].iter().all(|it| *it < 10) && (12 - sum % 11) % 11 == digits[17];
    right.then_some((3, 2))
}

fn id_card_or_bank_card(digits: &[u32]) -> Option<Keep> {
    id_card(digits).or_else(|| bank_card(digits))
}

/// Luhn's check, and a beginning with which cards are issued.
fn bank_card(digits: &[u32]) -> Option<Keep> {
    let begins = digits[0] * 10 + digits[1];
    let issued = match digits.len() {
        13 => digits[0] == 4,
        14 => matches!(begins, 30 | 36 | 38 | 39),
        15 => matches!(begins, 34 | 37),
        16..=19 => matches!(begins, 22..=27 | 35 | 40..=69 | 90..=99),
        _ => false,
    };
    let doubled = |(index, digit): (usize, &u32)| match (index % 2, *digit) {
        (0, digit) => digit,
        (_, digit) if digit > 4 => digit * 2 - 9,
        (_, digit) => digit * 2,
    };
    let luhn = digits.iter().rev().enumerate().map(doubled).sum::<u32>() % 10 == 0;
    (issued && luhn && digits.iter().all(|it| *it < 10)).then_some((4, 4))
}

/// Hides a plate that begins at `at`; the place behind it.
fn plate(chars: &[char], at: usize, hidden: &mut Vec<usize>) -> Option<usize> {
    const PROVINCES: &str = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使领";
    const ENDINGS: &str = "挂学警港澳";
    if !PROVINCES.contains(chars[at]) || !chars.get(at + 1).is_some_and(|c| is_letter(*c)) {
        return None;
    }
    let start = at + 2 + usize::from(matches!(chars.get(at + 2), Some('·' | '•' | '・' | '.' | '-' | ' ')));
    let length = chars.iter().skip(start).take_while(|c| is_letter(**c) || digit(**c).is_some()).count();
    let end = start + length;
    let ending = chars.get(end).is_some_and(|c| ENDINGS.contains(*c));
    let fits = matches!(length, 5 | 6) || (length == 4 && ending);
    if !fits || !chars[start..end].iter().any(|c| digit(*c).is_some()) {
        return None;
    }
    hidden.extend(start..end - 1);
    Some(end + usize::from(ending))
}

fn digit(c: char) -> Option<u32> {
    match c {
        '0'..='9' => Some(u32::from(c) - u32::from('0')),
        '０'..='９' => Some(u32::from(c) - u32::from('０')),
        _ => None,
    }
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || ('Ａ'..='Ｚ').contains(&c) || ('ａ'..='ｚ').contains(&c)
}

fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{3000}' | '-' | '－' | '‐' | '‑' | '–' | '—' | '.' | '·')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(pii_mask(text), expected);
        assert_eq!(pii_mask(expected), expected, "masking twice is masking once");
    }

    #[test]
    fn phones() {
        check("电话13812345678。", "电话138****5678。");
        check("138 1234 5678", "138 **** 5678");
        check("A3f138 1234 5678", "A3f138 **** 5678");
        check("+86-138-1234-5678", "+86-138-****-5678");
        check("+8613812345678", "+86138****5678");
        check("拨打013812345678", "拨打0138****5678");
        check("１３８１２３４５６７８", "１３８****５６７８");
        check("tel:13812345678x", "tel:138****5678x");
        check("13812345678,13912345678", "138****5678,139****5678");
        check("工号1024-13812345678-3", "工号1024-138****5678-3");
    }

    #[test]
    fn identity_numbers() {
        check("身份证11010519491231002X。", "身份证110*************2X。");
        check("110105 19491231 002X", "110*** ******** **2X");
        check("110105194912310021", "110105194912310021");
    }

    #[test]
    fn bank_cards() {
        check("4111 1111 1111 1111", "4111 **** **** 1111");
        check("4111111111111111", "4111********1111");
        check("4111111111111112", "4111111111111112");
        check("513812345678", "513812345678");
        check("11010519491231002X６", "11010519491231002X６");
    }

    #[test]
    fn plates() {
        check("车牌鄂A12345停在", "车牌鄂A****5停在");
        check("京A·12345", "京A·****5");
        check("粤BD12345", "粤B*****5");
        check("粤Z1234港", "粤Z***4港");
        check("川a12345", "川a****5");
    }

    #[test]
    fn ordinary_numbers_stay() {
        for text in [
            "", "2025-07-18T14:00:00.123456+08:00", "1764000000006", "工单20250718000123", "0571-87654321", "value 0.13812345678",
            "138.12345678", "30.13812345678,114.15912345678", "AB13812345678", "3f13812345678a9c", "新A股5只", "138123456789",
        ] {
            check(text, text);
        }
    }
}
