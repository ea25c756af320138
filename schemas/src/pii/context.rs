//! What stands around a number: words that say what it is, and what it certainly is not.
//!
//! Words count where they touch the number, but for signs and fillers between (`电话是：`, `phone number is `), or where
//! they are near.

use super::signs::{digit, is_alphanumeric, is_separator, narrow};

/// Most characters around a number that are looked at to see what it is a part of, so that no text takes long.
pub(super) const CONTEXT_CHARS_MAX: usize = 64;
/// Most characters before a number in which a word about it stands.
const WORDS_CHARS_MAX: usize = 24;

const FILLERS: [&str; 15] = ["number", "numbers", "num", "no", "is", "was", "code", "line", "at", "号码", "号", "是", "为", "我", "the"];

const PHONES: [&str; 33] = [
    "电话", "手机", "座机", "固话", "传真", "联系", "回电", "来电", "致电", "拨打", "请打", "微信", "打给", "call", "phone", "tel", "cell", "mobile", "text", "reach", "dial", "fax", "whatsapp",
    "contact", "home line", "office line", "my number", "local number", "her number", "his number", "'s number", "ring", "sms",
];
const IDENTITIES: [&str; 20] = [
    "身份", "身分", "证件", "公民号码", "旧证", "户口", "户籍", "本人", "父亲", "母亲", "儿子", "女儿", "丈夫", "妻子", "男", "女", "identity", "id card", "id no", "hkid",
];
const SOCIAL_SECURITY: [&str; 3] = ["ssn", "social security", "soc sec"];
const PASSPORTS: [&str; 10] = ["护照", "通行证", "回乡证", "台胞证", "返乡证", "passport", "travel permit", "travel document", "home return permit", "旅行证"];
const PLATES: [&str; 6] = ["plate", "plates", "license tag", "tag", "registration", "车牌"];
const FORCES: [&str; 8] = ["军牌", "军车", "部队", "武警", "车牌", "牌照", "号牌", "plate"];
const CARDS: [&str; 12] = ["银行卡", "卡号", "储蓄卡", "信用卡", "借记卡", "工资卡", "debit card", "credit card", "card", "bank account", "银行账号", "银行账户"];

/// Names of numbers that belong to things.
const THINGS: [&str; 43] = [
    "单号", "编号", "杆号", "表号", "学号", "批号", "批次", "型号", "序列号", "流水号", "代码", "编码", "条码", "票号", "发票", "合同号", "订单", "运单", "快递", "宗地号", "注册码", "imei", "isbn", "order",
    "ticket", "request", "serial", "invoice", "tracking", "permit", "account", "case", "meter", "parcel", "sr", "sn", "ups", "usps", "fedex", "pole", "hydrant", "epoch", "读数",
];
/// Words before quantities, and units behind them.
const QUANTITIES: [&str; 14] = ["流量", "读数", "投资", "金额", "资金", "资本", "合计", "累计", "共", "总额", "flow", "reads", "total", "amount"];
const UNITS: [&str; 22] = ["元", "升", "吨", "立方", "度", "千瓦", "米", "平方", "公里", "万", "亿", "毫", "块", "kwh", "kw", "kg", "ml", "gal", "m3", "m³", "liter", "litre"];

/// What a word before a number says that it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Phone,
    Identity,
    SocialSecurity,
    Passport,
    Plate,
    Force,
    Card,
}

fn words(word: Word) -> &'static [&'static str] {
    match word {
        Word::Phone => &PHONES,
        Word::Identity => &IDENTITIES,
        Word::SocialSecurity => &SOCIAL_SECURITY,
        Word::Passport => &PASSPORTS,
        Word::Plate => &PLATES,
        Word::Force => &FORCES,
        Word::Card => &CARDS,
    }
}

/// Does such a word touch the number that begins at `start`?
pub(super) fn follows(chars: &[char], start: usize, word: Word) -> bool {
    ends_with(&stripped(chars, start), words(word))
}

/// Does such a word stand near it, before or behind?
pub(super) fn is_near(chars: &[char], start: usize, end: usize, word: Word) -> bool {
    let (before, behind) = (before(chars, start), behind(chars, end));
    words(word).iter().any(|word| has_word(&before, word) || has_word(&behind, word))
}

/// Is it named as the number of a thing, or a quantity?
pub(super) fn is_of_a_thing(chars: &[char], start: usize, end: usize) -> bool {
    let text = stripped(chars, start);
    if ends_with(&text, &THINGS) || ends_with(&text, &QUANTITIES) {
        return true;
    }
    let behind = behind(chars, end);
    let behind = behind.trim_start();
    UNITS.iter().any(|unit| behind.starts_with(unit) && !(unit.is_ascii() && behind[unit.len()..].starts_with(|c: char| c.is_ascii_alphabetic() && c != 's' && c != 'l')))
}

/// The text before, in lower case and half width, without signs and fillers at its end.
fn stripped(chars: &[char], start: usize) -> String {
    let mut text = before(chars, start);
    loop {
        let length = text.len();
        let kept = text.trim_end_matches(|c: char| is_separator(c) || matches!(c, ':' | '：' | '#' | '(' | '（' | '"' | '“' | '=' | '+' | ','));
        text.truncate(kept.len());
        for filler in FILLERS {
            // A word that begins a sentence's number stays: `单号` is a word of its own.
            let named = || ends_with(&text, &THINGS) || ends_with(&text, &PHONES);
            if ends_with(&text, &[filler]) && !named() {
                text.truncate(text.len() - filler.len());
            }
        }
        if text.len() == length {
            return text;
        }
    }
}

fn before(chars: &[char], start: usize) -> String {
    chars[start.saturating_sub(WORDS_CHARS_MAX)..start].iter().map(|c| narrow(*c).to_ascii_lowercase()).collect()
}

fn behind(chars: &[char], end: usize) -> String {
    chars[end..].iter().take(WORDS_CHARS_MAX / 2).map(|c| narrow(*c).to_ascii_lowercase()).collect()
}

/// A Latin word counts where a word begins: `cell`, not `excellent`.
fn ends_with(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.ends_with(word) && begins_a_word(text, text.len() - word.len(), word))
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| begins_a_word(text, at, word))
}

fn begins_a_word(text: &str, at: usize, word: &str) -> bool {
    !word.starts_with(|c: char| c.is_ascii_alphabetic()) || !text[..at].ends_with(|c: char| c.is_ascii_alphabetic())
}

/// Not the rest of a masked number, not a part of a decimal number, and not inside a digest or an id of hex digits.
pub(super) fn stands_alone(chars: &[char], start: usize, end: usize) -> bool {
    let context_before = || chars[..start].iter().rev().take(CONTEXT_CHARS_MAX);
    let context_after = || chars[end..].iter().take(CONTEXT_CHARS_MAX);
    let before = context_before().find(|c| !is_separator(**c));
    let after = context_after().find(|c| !is_separator(**c));
    if before == Some(&'*') || after == Some(&'*') {
        return false;
    }
    let is_digit_at = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(|c| digit(*c).is_some());
    let point_before = start > 0 && chars[start - 1] == '.' && is_digit_at(start.checked_sub(2));
    let point_after = chars.get(end) == Some(&'.') && is_digit_at(Some(end + 1));
    if point_before || point_after {
        return false;
    }
    let word = |c: &&char| c.is_ascii_alphanumeric();
    let token_start = start - context_before().take_while(word).count();
    let token_end = end + context_after().take_while(word).count();
    let token = &chars[token_start..token_end];
    let hex = token.len() > end - start && token.len() >= 12 && token.iter().all(char::is_ascii_hexdigit);
    // `1Z999AA13812345678`: the end of a number with letters in it.
    let tail = chars[token_start..start].iter().any(char::is_ascii_digit);
    !hex && !tail
}

/// Neither a letter nor a digit before and behind.
pub(super) fn is_a_word(chars: &[char], start: usize, end: usize) -> bool {
    let sign = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(|c| is_alphanumeric(*c) || *c == '*');
    !sign(start.checked_sub(1)) && !sign(Some(end))
}
