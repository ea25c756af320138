//! Numbers that a text says, in figures and in Chinese numerals, as one value each.

/// The numbers of a text in thousandths, in the order in which they stand: 17, 3.5, 四十, 两.
pub(crate) fn numbers(text: &str) -> Vec<i64> {
    let chars: Vec<char> = text::normalise(text).chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let (value, length) = figures(&chars[at..]).or_else(|| numerals(&chars[at..])).map_or((None, 1), |(value, length)| (Some(value), length));
        found.extend(value);
        at += length;
    }
    found
}

fn figures(chars: &[char]) -> Option<(i64, usize)> {
    let digits = |from: usize| chars[from.min(chars.len())..].iter().take_while(|c| c.is_ascii_digit()).count();
    let whole = digits(0);
    if whole == 0 {
        return None;
    }
    let read = |range: std::ops::Range<usize>| chars[range].iter().fold(0i64, |value, c| value.saturating_mul(10).saturating_add(i64::from(c.to_digit(10).unwrap_or(0))));
    let mut value = read(0..whole).saturating_mul(1000);
    let mut length = whole;
    if chars.get(whole) == Some(&'.') && digits(whole + 1) > 0 {
        let behind = digits(whole + 1);
        let scale = 10i64.pow(3 - behind.min(3) as u32);
        value = value.saturating_add(read(whole + 1..whole + 1 + behind.min(3)) * scale);
        length = whole + 1 + behind;
    }
    Some((value, length))
}

/// A numeral counts from two characters on, or one that a word for counting follows: 统一 and 一直 are no numbers.
fn numerals(chars: &[char]) -> Option<(i64, usize)> {
    const COUNTED: &str = "个人名位件起次小分天月年日周处台辆条栋层米元万户支组点成%度";
    let digit = |c: char| "零一二三四五六七八九".chars().position(|it| it == c).map(|it| it as i64).or((c == '两').then_some(2));
    let unit = |c: char| match c {
        '十' => Some(10),
        '百' => Some(100),
        '千' => Some(1000),
        _ => None,
    };
    let length = chars.iter().take(9).take_while(|c| digit(**c).is_some() || unit(**c).is_some()).count();
    if length == 0 || (length == 1 && !chars.get(1).is_some_and(|c| COUNTED.contains(*c))) {
        return None;
    }
    let (mut all, mut open) = (0i64, None);
    let mut plain = true;
    for c in &chars[..length] {
        if let Some(value) = digit(*c) {
            open = if plain { Some(open.unwrap_or(0) * 10 + value) } else { Some(value) };
        } else if let Some(value) = unit(*c) {
            plain = false;
            all += open.take().unwrap_or(1) * value;
        }
    }
    Some(((all + open.unwrap_or(0)) * 1000, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_numerals_are_one_value() {
        for (text, expected) in [
            ("17件，占24%", vec![17_000, 24_000]),
            ("四十分钟", vec![40_000]),
            ("一百零五人", vec![105_000]),
            ("二〇二六年", vec![2_026_000]),
            ("两小时3.5公里", vec![2_000, 3_500]),
            ("三人，十二处", vec![3_000, 12_000]),
            ("统一、一直、万一", vec![]),
            ("１２３", vec![123_000]),
            ("no number", vec![]),
        ] {
            assert_eq!(numbers(text), expected, "{text}");
        }
    }
}
