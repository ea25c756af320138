//! Numbers that a text says, with their units, in both languages: 24小时, 三个工作日, within 5 working days, 22:00, 30%.
//!
//! What is compared is meaning: 两小时 and "two hours" are one quantity. A numeral that counts nothing (一致, 统一) is none.

use std::collections::BTreeSet;

use text::Normal;

/// A number and what it counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    /// The number, in thousandths; minutes of the day for a time of the clock.
    pub milli: i64,
    /// The unit, by one word for all its spellings; none where none is said or known.
    pub unit: Option<&'static str>,
}

impl Quantity {
    /// Whether another one may say the same: the number is equal, and so is the unit where both have one.
    pub fn agrees(&self, other: &Self) -> bool {
        self.milli == other.milli && (self.unit == other.unit || self.unit.is_none() || other.unit.is_none())
    }
}

/// Units: the word for all, and its spellings, longer ones before their beginnings.
const UNITS: [(&str, &[&str]); 31] = [
    ("working hour", &["个工作小时", "工作小时", "个工时", "working hours", "working hour", "office hours", "business hours"]),
    ("working day", &["个工作日", "工作日", "working days", "working day", "business days", "business day"]),
    ("hour", &["个小时", "小时", "个钟头", "钟头", "hours", "hour", "hrs", "h"]),
    ("minute", &["分钟", "minutes", "minute", "min"]),
    ("second", &["秒钟", "秒", "seconds", "second"]),
    ("month", &["个月", "月份", "月", "months", "month"]),
    ("week", &["个星期", "星期", "个礼拜", "礼拜", "周", "weeks", "week"]),
    ("year", &["周岁", "岁", "年", "years", "year"]),
    ("day", &["个自然日", "自然日", "日内", "日", "天", "号", "calendar days", "days", "day"]),
    ("yuan", &["元钱", "元", "块钱", "yuan", "rmb"]),
    ("km", &["公里", "千米", "kilometres", "kilometers", "km"]),
    ("square metre", &["平方米", "平米", "square metres", "square meters", "m²", "m2"]),
    ("cm", &["厘米", "公分", "centimetres", "centimeters", "cm"]),
    ("mm", &["毫米", "millimetres", "millimeters", "mm"]),
    ("metre", &["米", "metres", "meters", "metre", "meter", "m"]),
    ("percent", &["%", "percent", "per cent"]),
    ("degree", &["摄氏度", "度", "degrees", "℃", "°c"]),
    ("decibel", &["分贝", "decibels", "db"]),
    ("people", &["个人", "人", "名", "位", "people", "persons", "person"]),
    ("time", &["次", "趟", "times"]),
    ("fold", &["倍", "fold"]),
    ("level", &["级", "grade"]),
    ("article", &["条", "article"]),
    ("part", &["款", "项", "paragraph"]),
    ("copy", &["份", "张", "copies", "photos"]),
    ("inch", &["寸", "inch", "inches"]),
    ("kg", &["公斤", "千克", "kg"]),
    ("ton", &["吨", "tons", "tonnes"]),
    ("o'clock", &["点钟", "点", "时", "o'clock", "am", "pm"]),
    ("unit", &["台", "辆", "艘", "支", "组", "处", "trucks", "boats", "crews"]),
    ("storey", &["层", "楼", "floors", "storeys"]),
];

/// What 一 stands before without counting: 一次性, 一人一档, 一位市民, 一张.
const WEAK: [&str; 10] = ["people", "time", "part", "copy", "article", "unit", "level", "storey", "o'clock", "inch"];

const WORDS_EN: [(&str, i64); 28] = [
    ("one", 1), ("two", 2), ("three", 3), ("four", 4), ("five", 5), ("six", 6), ("seven", 7), ("eight", 8), ("nine", 9), ("ten", 10),
    ("eleven", 11), ("twelve", 12), ("thirteen", 13), ("fourteen", 14), ("fifteen", 15), ("sixteen", 16), ("seventeen", 17), ("eighteen", 18), ("nineteen", 19), ("twenty", 20),
    ("thirty", 30), ("forty", 40), ("fifty", 50), ("sixty", 60), ("seventy", 70), ("eighty", 80), ("ninety", 90), ("hundred", 100),
];

/// All quantities of a text, each once.
pub fn quantities(said: &str) -> BTreeSet<Quantity> {
    let normal = Normal::of(said);
    let chars = &normal.chars;
    let mut found = BTreeSet::new();
    let mut at = 0;
    while at < chars.len() {
        let next = digits(chars, at, &mut found).or_else(|| numerals(chars, at, &mut found)).or_else(|| english(chars, at, &mut found)).or_else(|| roman(chars, at, &mut found));
        at = next.unwrap_or(at + 1);
    }
    found
}

/// A whole number in figures or in Chinese numerals; none when it is anything else.
pub(crate) fn whole(said: &str) -> Option<u64> {
    let chars: Vec<char> = text::normalise(said).chars().collect();
    if chars.is_empty() || chars.len() > 12 {
        return None;
    }
    if chars.iter().all(char::is_ascii_digit) {
        return chars.iter().collect::<String>().parse().ok();
    }
    chars.iter().all(|c| numeral(*c).is_some() && *c != '半').then(|| value(&chars)).flatten().and_then(|milli| u64::try_from(milli / 1000).ok())
}

/// 1,200 and 3.5 and 22:00, with what multiplies them (3万) and their unit.
fn digits(chars: &[char], start: usize, found: &mut BTreeSet<Quantity>) -> Option<usize> {
    let is_digit = |at: usize| chars.get(at).is_some_and(char::is_ascii_digit);
    if !is_digit(start) {
        return None;
    }
    let mut at = start;
    let mut whole: i64 = 0;
    while is_digit(at) || (chars.get(at) == Some(&',') && (1..=3).all(|step| is_digit(at + step)) && !is_digit(at + 4)) {
        if let Some(digit) = chars[at].to_digit(10) {
            whole = whole.saturating_mul(10).saturating_add(i64::from(digit));
        }
        at += 1;
    }
    if chars.get(at) == Some(&':') && is_digit(at + 1) && is_digit(at + 2) && !is_digit(at + 3) && whole < 25 {
        let minute = i64::from(chars[at + 1].to_digit(10).unwrap_or(0) * 10 + chars[at + 2].to_digit(10).unwrap_or(0));
        found.insert(Quantity { milli: whole * 60 + minute, unit: Some("clock") });
        return Some(at + 3);
    }
    let mut milli = whole.saturating_mul(1000);
    if chars.get(at) == Some(&'.') && is_digit(at + 1) {
        at += 1;
        let mut place = 100;
        while is_digit(at) {
            milli = milli.saturating_add(i64::from(chars[at].to_digit(10).unwrap_or(0)) * place);
            place /= 10;
            at += 1;
        }
    }
    while let Some(times) = chars.get(at).and_then(|c| multiplier(*c)) {
        milli = milli.saturating_mul(times);
        at += 1;
    }
    let (unit, end) = unit(chars, at);
    found.insert(Quantity { milli, unit });
    Some(end)
}

fn multiplier(c: char) -> Option<i64> {
    match c {
        '百' => Some(100),
        '千' => Some(1_000),
        '万' => Some(10_000),
        '亿' => Some(100_000_000),
        _ => None,
    }
}

fn numeral(c: char) -> Option<i64> {
    match c {
        '零' => Some(0),
        '一' => Some(1),
        '二' | '两' => Some(2),
        '三' => Some(3),
        '四' => Some(4),
        '五' => Some(5),
        '六' => Some(6),
        '七' => Some(7),
        '八' => Some(8),
        '九' => Some(9),
        '十' | '百' | '千' | '万' | '亿' | '半' => Some(-1),
        _ => None,
    }
}

/// 三个工作日, 二十四小时, 百分之三十, 半年. A single one counts only before a unit.
fn numerals(chars: &[char], start: usize, found: &mut BTreeSet<Quantity>) -> Option<usize> {
    if chars[start..].starts_with(&['百', '分', '之']) {
        let from = start + 3;
        let end = from + chars[from..].iter().take_while(|c| numeral(**c).is_some()).count();
        let milli = value(&chars[from..end])?;
        found.insert(Quantity { milli, unit: Some("percent") });
        return Some(end);
    }
    let length = chars[start..].iter().take(12).take_while(|c| numeral(**c).is_some()).count();
    if length == 0 {
        return None;
    }
    let end = start + length;
    let Some(milli) = value(&chars[start..end]) else { return Some(end) };
    let (unit, behind) = unit(chars, end);
    let counts = match unit {
        Some(unit) => !(chars[start..end] == ['一'] && WEAK.contains(&unit)) || chars.get(start.wrapping_sub(1)) == Some(&'第'),
        // 二十四 is a number whatever follows; 万一 and 千万 are none.
        None => length >= 2 && chars[start..end].contains(&'十') && numeral(chars[start]) != Some(-1) || length >= 3,
    };
    if counts {
        found.insert(Quantity { milli, unit });
    }
    Some(if counts { behind } else { end })
}

/// The value of Chinese numerals in thousandths; none for what is no number (万一).
fn value(chars: &[char]) -> Option<i64> {
    if chars.is_empty() {
        return None;
    }
    if chars == ['半'] {
        return Some(500);
    }
    let halved = chars.len() > 1 && chars.ends_with(&['半']);
    let chars = if halved { &chars[..chars.len() - 1] } else { chars };
    // 二零二六: figures in a row.
    if chars.len() > 1 && chars.iter().all(|c| numeral(*c).is_some_and(|digit| digit >= 0)) {
        return Some(chars.iter().fold(0i64, |sum, c| sum.saturating_mul(10).saturating_add(numeral(*c).unwrap_or(0))).saturating_mul(1000));
    }
    let (mut total, mut part, mut digit) = (0i64, 0i64, None::<i64>);
    for c in chars {
        match c {
            '半' => return None,
            '十' => part += digit.take().unwrap_or(1) * 10,
            '百' => part += digit.take()? * 100,
            '千' => part += digit.take()? * 1000,
            '万' | '亿' => {
                part += digit.take().unwrap_or(0);
                if part == 0 && total == 0 {
                    return None;
                }
                let times = if *c == '万' { 10_000 } else { 100_000_000 };
                total = total.saturating_add(part).saturating_mul(times);
                part = 0;
            }
            _ => digit = numeral(*c),
        }
    }
    Some(total.saturating_add(part).saturating_add(digit.unwrap_or(0)).saturating_mul(1000) + i64::from(halved) * 500)
}

/// "two hours", "twenty-four hours": before a unit only.
fn english(chars: &[char], start: usize, found: &mut BTreeSet<Quantity>) -> Option<usize> {
    if !chars[start].is_ascii_lowercase() {
        return None;
    }
    let length = |at: usize| chars[at..].iter().take_while(|c| c.is_ascii_lowercase()).count();
    let word = |at: usize| chars[at..at + length(at)].iter().collect::<String>();
    let number = |at: usize| WORDS_EN.iter().find(|(name, _)| *name == word(at)).map(|(_, value)| *value);
    let mut end = start + length(start);
    let Some(mut sum) = number(start) else { return Some(end) };
    if chars.get(end) == Some(&'-') && end + 1 < chars.len() && sum >= 20 && number(end + 1).is_some_and(|ones| ones < 10) {
        sum += number(end + 1).unwrap_or(0);
        end += 1 + length(end + 1);
    }
    let (unit, behind) = unit(chars, end);
    if unit.is_none_or(|unit| sum == 1 && WEAK.contains(&unit)) {
        return Some(end);
    }
    found.insert(Quantity { milli: sum * 1000, unit });
    Some(behind)
}

/// Ⅰ级 to Ⅳ级, in the small letters of one spelling.
fn roman(chars: &[char], start: usize, found: &mut BTreeSet<Quantity>) -> Option<usize> {
    let number = u32::from(chars[start]).checked_sub(u32::from('ⅰ')).filter(|number| *number < 12)?;
    found.insert(Quantity { milli: i64::from(number + 1) * 1000, unit: Some("level") });
    Some(start + 1 + usize::from(chars.get(start + 1) == Some(&'级')))
}

/// The unit at this place, and behind it.
fn unit(chars: &[char], start: usize) -> (Option<&'static str>, usize) {
    let at = start + usize::from(matches!(chars.get(start), Some(' ' | '-')));
    let mut best: (Option<&'static str>, usize) = (None, 0);
    for (name, spellings) in UNITS {
        for spelling in spellings {
            let length = spelling.chars().count();
            let here = length > best.1 && chars.get(at..at + length).is_some_and(|there| there.iter().copied().eq(spelling.chars()));
            // `m` is not in `meeting`.
            let whole = !spelling.ends_with(|c: char| c.is_ascii_alphabetic()) || !chars.get(at + length).is_some_and(char::is_ascii_alphanumeric);
            if here && whole {
                best = (Some(name), length);
            }
        }
    }
    if best.0.is_some() { (best.0, at + best.1) } else { (None, start) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: &[(i64, Option<&str>)]) {
        let found: Vec<(i64, Option<&str>)> = quantities(text).into_iter().map(|it| (it.milli, it.unit)).collect();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn numbers_with_units() {
        check("24小时内到场，5个工作日办结", &[(24_000, Some("hour")), (5_000, Some("working day"))]);
        check("within twenty-four hours, or 5 working days", &[(24_000, Some("hour")), (5_000, Some("working day"))]);
        check("二十四小时、三个工作日、十四个工作小时", &[(24_000, Some("hour")), (3_000, Some("working day")), (14_000, Some("working hour"))]);
        check("晚上22:00至次日6:00", &[(1_320, Some("clock")), (360, Some("clock"))]);
        check("收费１，２００元，百分之三十，3.5%", &[(1_200_000, Some("yuan")), (30_000, Some("percent")), (3_500, Some("percent"))]);
        check("半年、一年半", &[(500, Some("year")), (1_000, Some("year"))]);
        check("第十二条第三款", &[(12_000, Some("article")), (3_000, Some("part"))]);
        check("Ⅰ级响应，II", &[(1_000, Some("level"))]);
        check("3万元", &[(30_000_000, Some("yuan"))]);
        check("拨打12345", &[(12_345_000, None)]);
        check("一个工作日", &[(1_000, Some("working day"))]);
    }

    #[test]
    fn words_that_count_nothing() {
        check("一致、统一、一次性告知、打一个电话、万一、千万别、十分、一旦、一人一档、三轮车", &[]);
        check("someone told one person once", &[]);
    }

    #[test]
    fn units_must_agree_where_both_say_one() {
        let (hours, minutes, bare) = (quantities("24小时"), quantities("24分钟"), quantities("24"));
        let agree = |a: &BTreeSet<Quantity>, b: &BTreeSet<Quantity>| a.iter().all(|one| b.iter().any(|other| one.agrees(other)));
        assert!(!agree(&hours, &minutes) && agree(&hours, &bare) && agree(&bare, &minutes));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            let _ = quantities(&text);
        }

        #[test]
        fn figures_and_numerals_are_one(number in 1i64..100_000) {
            let numerals = spoken(number);
            prop_assert_eq!(whole(&numerals), Some(number as u64), "{}", numerals);
            prop_assert_eq!(quantities(&format!("{numerals}元")), quantities(&format!("{number}元")));
        }
    }

    /// A number in Chinese, as people write it.
    fn spoken(number: i64) -> String {
        let digit = |at: i64| ["零", "一", "二", "三", "四", "五", "六", "七", "八", "九"][at as usize];
        if number >= 10_000 {
            let rest = number % 10_000;
            let zero = if rest > 0 && rest < 1_000 { "零" } else { "" };
            return format!("{}万{zero}{}", spoken(number / 10_000), if rest > 0 { spoken(rest) } else { String::new() });
        }
        let mut said = String::new();
        for (power, name) in [(1_000, "千"), (100, "百"), (10, "十"), (1, "")] {
            let at = number / power % 10;
            if at > 0 {
                said.push_str(digit(at));
                said.push_str(name);
            } else if !said.is_empty() && number % power > 0 && !said.ends_with('零') {
                said.push('零');
            }
        }
        said
    }
}
