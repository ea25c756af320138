//! What a title, a report or an answer says beyond what it was made from: numbers, places, dangers, whole clauses.
//!
//! A model may leave out and put in other words; it may not add. What words mean is more than this can tell: it finds a place,
//! a number or a danger that nobody spoke of, and clauses of which hardly a character stands in the source.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use text::{Reader, SpanKind, is_han};

use crate::numbers::numbers;

/// What is wrong with what was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// A number that the source does not have.
    #[error("it says {0}, which it was not told")]
    Number(String),
    /// A place that the source does not name.
    #[error("it names {0}, which it was not told of")]
    Place(String),
    /// Danger to people, where the source tells of none, denies it or only fears it.
    #[error("it tells of a danger that nobody reported")]
    Danger,
    /// A clause that has hardly anything of the source.
    #[error("it says what it was not told: {0}")]
    Clause(String),
    /// The name or the door of somebody who wrote in.
    #[error("it names who reported")]
    Person,
    /// A denial that the source does not have.
    #[error("it denies what its source says")]
    Denial,
}

/// A title is held by its message: places and dangers are the message's, and half of its characters stand there.
pub fn title(reader: &Reader, title: &str, message: &str) -> Vec<Claim> {
    let (said, told) = (reader.read(title, None), reader.read(message, None));
    let mut claims = places(&said, title, message);
    if said.risk_to_life && !told.risk_to_life {
        claims.push(Claim::Danger);
    }
    claims.extend(invented_numbers(title, &numbers(message)));
    if shared_permille(title, message) < TITLE_SHARED_PERMILLE_MIN {
        claims.push(Claim::Clause(title.to_owned()));
    }
    claims
}

/// Of a title so many characters (of English, words) stand in its message. The rest are its writer's own words.
const TITLE_SHARED_PERMILLE_MIN: u32 = 500;
/// Of each clause of an answer so many stand in its source.
const CLAUSE_SHARED_PERMILLE_MIN: u32 = 400;

/// A report or a forecast says no number but those of its facts (a share in thousandths may be told in hundredths), and names
/// no place but those of its order.
pub fn report(reader: &Reader, said: &str, order: &str, facts: &serde_json::Value) -> Vec<Claim> {
    let mut known = numbers(order);
    let mut given = Vec::new();
    collect(None, facts, &mut known, &mut given);
    let mut claims = invented_numbers(said, &known);
    claims.extend(places(&reader.read(said, None), said, &format!("{order}\n{}", given.join("\n"))));
    claims
}

/// A draft for somebody else does not tell who wrote in: no name and no door that the message gives.
pub fn draft(reader: &Reader, draft: &str, message: &str) -> Vec<Claim> {
    const CALLED: [&str; 9] = ["女士", "先生", "小姐", "大爷", "大妈", "阿姨", "师傅", "奶奶", "爷爷"];
    let chars: Vec<char> = message.chars().collect();
    let plain = text::normalise(draft);
    let mut told: Vec<String> = Vec::new();
    for span in reader.read(message, None).spans {
        let words: String = chars[span.start..span.end].iter().collect();
        let door = span.kind == SpanKind::Where && words.chars().any(char::is_numeric);
        if span.kind == SpanKind::Who || door {
            told.push(text::normalise(&words));
        }
    }
    let normal = text::normalise(message);
    for (at, _) in CALLED.iter().flat_map(|called| normal.match_indices(called)) {
        // The family name and how the person is called.
        told.extend(normal[..at].chars().next_back().filter(|c| is_han(*c)).map(|family| format!("{family}{}", &normal[at..at + 6])));
    }
    if told.iter().any(|told| told.chars().count() > 2 && plain.contains(told.as_str())) { vec![Claim::Person] } else { Vec::new() }
}

/// An answer is held by the sections that it cites: no clause without words of them, no denial that they do not have. Numbers
/// and citations are checked by the knowledge base.
pub fn answer(said: &str, source: &str) -> Vec<Claim> {
    let mut claims = Vec::new();
    for clause in said.split(['，', ',', '。', '；', ';', '！', '？', '!', '?', '\n']).map(str::trim).filter(|clause| clause.chars().any(char::is_alphanumeric)) {
        if shared_permille(clause, source) < CLAUSE_SHARED_PERMILLE_MIN {
            claims.push(Claim::Clause(clause.to_owned()));
        }
    }
    if denials(said) > denials(source) {
        claims.push(Claim::Denial);
    }
    claims
}

fn places(said: &text::Reading, text: &str, source: &str) -> Vec<Claim> {
    let chars: Vec<char> = text.chars().collect();
    let source = text::normalise(source);
    let mut claims = Vec::new();
    for span in said.spans.iter().filter(|span| span.kind == SpanKind::Where) {
        let name: String = chars[span.start..span.end].iter().collect();
        let plain = text::normalise(&name);
        // A place may be put together from two that were told: each piece of it must have been.
        let told = source.contains(&plain) || plain.split([' ', ',', '-']).filter(|word| !word.is_empty()).all(|word| source.contains(word));
        if !told {
            claims.push(Claim::Place(name));
        }
    }
    claims
}

fn invented_numbers(said: &str, known: &[i64]) -> Vec<Claim> {
    let shown = |milli: i64| if milli % 1000 == 0 { (milli / 1000).to_string() } else { format!("{}.{:03}", milli / 1000, milli % 1000) };
    numbers(said).into_iter().filter(|number| !known.contains(number)).map(|number| Claim::Number(shown(number))).collect()
}

/// Numbers and words of facts.
fn collect(key: Option<&str>, value: &serde_json::Value, known: &mut Vec<i64>, words: &mut Vec<String>) {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => {
            let number = number.as_f64().map_or(0, |number| (number * 1000.0).round() as i64);
            // A share in thousandths is told in hundredths.
            known.push(if key.is_some_and(|key| key.ends_with("permille")) { number / 10 } else { number });
        }
        Value::String(text) => {
            known.extend(numbers(text));
            words.push(text.clone());
        }
        Value::Array(values) => values.iter().for_each(|value| collect(key, value, known, words)),
        Value::Object(members) => members.iter().for_each(|(key, value)| collect(Some(key), value, known, words)),
    }
}

/// How many of the characters (of English, words) of one text stand in another, thousandths.
fn shared_permille(said: &str, source: &str) -> u32 {
    let (said, source) = (pieces(said), pieces(source));
    let there: BTreeSet<&String> = source.iter().collect();
    if said.is_empty() {
        return 1000;
    }
    (1000 * said.iter().filter(|piece| there.contains(piece)).count() / said.len()) as u32
}

fn pieces(text: &str) -> Vec<String> {
    const EMPTY: [&str; 16] = ["a", "an", "the", "of", "on", "in", "at", "and", "is", "to", "for", "by", "with", "的", "了", "和"];
    let mut pieces = Vec::new();
    let mut word = String::new();
    for c in text::normalise(text).chars().chain([' ']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            // Without the endings of many and of past: lamps, lamp.
            let stem = if word.len() > 4 { word.trim_end_matches('s').trim_end_matches("ed").trim_end_matches("ing").to_owned() } else { word.clone() };
            pieces.push(stem);
            word.clear();
        }
        if is_han(c) {
            pieces.push(c.to_string());
        }
    }
    pieces.retain(|piece| !EMPTY.contains(&piece.as_str()));
    pieces
}

fn denials(text: &str) -> usize {
    const NO: [&str; 16] = ["无须", "无需", "不必", "不得", "不用", "不能", "不会", "不应", "没有", "未", "禁止", "need not", "must not", "cannot", " not ", " no "];
    let text = format!(" {} ", text::normalise(text));
    NO.iter().map(|no| text.matches(no).count()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reader() -> &'static Reader {
        static READER: std::sync::LazyLock<Reader> = std::sync::LazyLock::new(|| Reader::new(&graph::Graph::builtin()));
        &READER
    }

    #[test]
    fn a_title_adds_nothing() {
        let of = |said: &str, message: &str| title(reader(), said, message);
        assert_eq!(of("中山大道路灯不亮", "中山大道88号的路灯三天不亮了，请修"), []);
        assert_eq!(of("Lamps out on Hubin Road", "The lamp on Hubin Road is out again"), []);
        assert!(of("民主路路灯不亮", "友谊路路灯不亮").iter().any(|claim| matches!(claim, Claim::Place(_))));
        assert!(of("友谊路路灯不亮致五人死亡", "友谊路路灯不亮").contains(&Claim::Danger));
        assert!(of("友谊路路灯不亮致五人死亡", "友谊路路灯不亮").contains(&Claim::Number("5".to_owned())));
        assert!(of("友谊路起火", "友谊路没有起火，是熏腊肉").contains(&Claim::Danger), "it was denied");
        assert!(of("热线助手须抽取地址", "路灯不亮").iter().any(|claim| matches!(claim, Claim::Clause(_))));
    }

    #[test]
    fn a_draft_does_not_tell_who_wrote_in() {
        let message = "请别把我告诉店家。我是光芒路9号302的李女士，楼下烧烤油烟太大。";
        assert_eq!(draft(reader(), "贵店被李女士投诉，请整改。", message), [Claim::Person]);
        assert_eq!(draft(reader(), "光芒路9号有人投诉贵店。", message), [Claim::Person]);
        assert_eq!(draft(reader(), "贵店油烟扰民，请整改。", message), []);
    }

    #[test]
    fn a_report_has_no_number_of_its_own() {
        let facts = json!({ "cases": 17, "open": 4, "share_percent": 24, "permille": 600, "day": "2026-06-01" });
        let of = |said: &str| report(reader(), said, "西城区今日工单情况", &facts);
        assert_eq!(of("西城区今日十七件，未结4件，占24%，概率60%，2026年6月1日"), []);
        for (said, claim) in [("西城区今日17件，未结9件", Claim::Number("9".to_owned())), ("概率600", Claim::Number("600".to_owned())), ("滨江区今日17件", Claim::Place("滨江区".to_owned()))] {
            assert_eq!(of(said), [claim], "{said}");
        }
    }

    #[test]
    fn an_answer_adds_no_clause_and_no_denial() {
        let source = "室温低于十八度的，供热单位应当在四小时内上门测温。";
        assert_eq!(answer("供热单位应当在四小时内上门测温。", source), []);
        assert_eq!(answer("供热单位无须上门测温。", source), [Claim::Denial]);
        assert!(matches!(answer("四小时内上门测温，并赔偿全年费用。", source).as_slice(), [Claim::Clause(clause)] if clause.contains("赔偿")));
    }
}
