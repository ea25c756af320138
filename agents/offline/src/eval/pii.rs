//! `eval pii`: personal data found in 1,000 generated and 200 hand-made sentences, beside a set of plain regular
//! expressions as scripts that de-identify commonly have them.
//!
//! Something is found when the spans cover each of its letters and digits; a span that touches nothing personal is false.
//! The hand-made sentences are in two halves: the rules were improved with one (`dev`) and with another seed, and are
//! judged by the other (`held`) and by this seed. Names, addresses, account names and spoken English are not sought.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use regex::Regex;
use schemas::pii::{self, PiiKind, PiiSpan};
use serde::Serialize;

use super::pii_generate::sentences;
use crate::Context;

/// The seed of the figures that are published; the rules were improved with another one.
pub const SEED: u64 = 2026;
/// So many sentences are generated.
const GENERATED: usize = 1000;
/// What is aimed at, over all sentences.
const RECALL_AIM: f64 = 0.995;
const PRECISION_AIM: f64 = 0.97;
/// Everything together, beside the kinds.
const ALL: &str = "all";

const HAND_MADE: &str = include_str!("pii_strings.tsv");

/// A sentence, and where personal data truly stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// As it was written.
    pub text: String,
    /// What is personal; offsets count characters.
    pub truth: Vec<PiiSpan>,
}

impl Sentence {
    /// Reads a sentence with what is personal in braces, `{phone:138 1234 5678}`; fails on a brace that is no mark.
    pub fn marked(marked: &str) -> Result<Self> {
        let (mut text, mut truth, mut rest) = (String::new(), Vec::new(), marked);
        while let Some((before, after)) = rest.split_once('{') {
            let mark = after.split_once('}').and_then(|(mark, after)| Some((mark.split_once(':')?, after)));
            let Some(((kind, value), after)) = mark else { anyhow::bail!("a mark must read {{kind:value}}: {marked}") };
            let kind: PiiKind = serde_json::from_value(kind.into()).map_err(|error| anyhow::anyhow!("{error} in {marked}"))?;
            text.push_str(before);
            let start = text.chars().count();
            text.push_str(value);
            truth.push(PiiSpan { kind, start, end: text.chars().count() });
            rest = after;
        }
        text.push_str(rest);
        Ok(Self { text, truth })
    }
}

/// The hand-made sentences of one half, `dev` or `held`.
pub fn hand_made(part: &str) -> Result<Vec<Sentence>> {
    let lines = HAND_MADE.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.filter_map(|line| line.split_once('\t')).filter(|(of, _)| *of == part).map(|(_, marked)| Sentence::marked(marked)).collect()
}

/// Sentences made from a seed.
pub fn generated(seed: u64, count: usize) -> Result<Vec<Sentence>> {
    sentences(seed, count).iter().map(|marked| Sentence::marked(marked)).collect()
}

/// How much of one kind was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Sentences that hold it.
    pub sentences: usize,
    /// How often it is there.
    pub there: usize,
    /// How often all of it was found.
    pub found: usize,
    /// Spans said to be of this kind.
    pub said: usize,
    /// Of these, spans that touch something personal.
    pub right: usize,
}

impl Count {
    /// The share that was found; 1 where there was nothing.
    pub fn recall(&self) -> f64 {
        share(self.found, self.there)
    }

    /// The share of what was said that is right; 1 where nothing was said.
    pub fn precision(&self) -> f64 {
        share(self.right, self.said)
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// Judges a finder; kind, or `all`, to its count.
pub fn judge(sentences: &[Sentence], find: impl Fn(&str) -> Vec<PiiSpan>) -> BTreeMap<&'static str, Count> {
    let mut counts: BTreeMap<&'static str, Count> = BTreeMap::new();
    for Sentence { text, truth } in sentences {
        let said = find(text);
        let chars: Vec<char> = text.chars().collect();
        let mut seen: Vec<&str> = Vec::new();
        for span in truth {
            let found = is_found(&chars, span, &said);
            for kind in [name(span.kind), ALL] {
                let count = counts.entry(kind).or_default();
                count.there += 1;
                count.found += usize::from(found);
                count.sentences += usize::from(!seen.contains(&kind));
                seen.push(kind);
            }
        }
        for span in &said {
            let right = truth.iter().any(|truth| span.start < truth.end && truth.start < span.end);
            for kind in [name(span.kind), ALL] {
                let count = counts.entry(kind).or_default();
                count.said += 1;
                count.right += usize::from(right);
            }
        }
    }
    counts
}

/// Are all letters and digits covered? Chinese characters count where they are part of it: in plates and in numbers that
/// are read out.
pub fn is_found(chars: &[char], truth: &PiiSpan, said: &[PiiSpan]) -> bool {
    let within = &chars[truth.start..truth.end];
    let han_counts = truth.kind == PiiKind::Plate || !within.iter().any(|c| c.is_numeric() && !is_han(*c));
    let covered = |at: usize| said.iter().any(|span| (span.start..span.end).contains(&at));
    (truth.start..truth.end).all(|at| covered(at) || !chars[at].is_alphanumeric() || (is_han(chars[at]) && !han_counts))
}

fn is_han(c: char) -> bool {
    ('\u{3007}'..='\u{9FFF}').contains(&c)
}

fn name(kind: PiiKind) -> &'static str {
    match kind {
        PiiKind::Phone => "phone",
        PiiKind::Landline => "landline",
        PiiKind::IdCard => "id_card",
        PiiKind::Passport => "passport",
        PiiKind::Plate => "plate",
        PiiKind::BankCard => "bank_card",
        PiiKind::Email => "email",
    }
}

/// Regular expressions as scripts have them; an earlier one takes what a later one would find too.
pub struct Plain(Vec<(PiiKind, Regex)>);

impl Plain {
    /// Compiles them.
    pub fn new() -> Result<Self> {
        let all = [
            (PiiKind::Email, r"[\w.+-]+@[\w-]+\.[\w.-]+"),
            (PiiKind::IdCard, r"\d{17}[\dXx]"),
            (PiiKind::BankCard, r"\d{16,19}"),
            (PiiKind::Phone, r"1[3-9]\d{9}"),
            (PiiKind::Plate, r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使领][A-Z][A-HJ-NP-Z0-9]{4,5}[A-HJ-NP-Z0-9挂学警港澳]"),
        ];
        Ok(Self(all.into_iter().map(|(kind, pattern)| Ok((kind, Regex::new(pattern)?))).collect::<Result<_>>()?))
    }

    /// What they find.
    pub fn find(&self, text: &str) -> Vec<PiiSpan> {
        let mut spans: Vec<PiiSpan> = Vec::new();
        for (kind, pattern) in &self.0 {
            for hit in pattern.find_iter(text) {
                let span = PiiSpan { kind: *kind, start: text[..hit.start()].chars().count(), end: text[..hit.end()].chars().count() };
                if spans.iter().all(|other| span.end <= other.start || other.end <= span.start) {
                    spans.push(span);
                }
            }
        }
        spans
    }
}

/// Runs the evaluation and prints it.
pub fn run(context: &Context) -> Result<()> {
    run_seeded(context, SEED)
}

#[derive(Serialize)]
struct Row {
    set: &'static str,
    kind: &'static str,
    sentences: usize,
    spans: usize,
    recall: f64,
    precision: f64,
    baseline_recall: f64,
    baseline_precision: f64,
}

/// Runs it on sentences of another seed.
pub fn run_seeded(context: &Context, seed: u64) -> Result<()> {
    let plain = Plain::new()?;
    let sets = [("generated", generated(seed, GENERATED)?), ("hand-made dev", hand_made("dev")?), ("hand-made held", hand_made("held")?)];
    ensure!(sets.iter().all(|(_, sentences)| !sentences.is_empty()), "there are no sentences to judge by");
    let mut rows = Vec::new();
    for (set, sentences) in &sets {
        rows.extend(compare(set, sentences, &plain));
    }
    let everything: Vec<Sentence> = sets.into_iter().flat_map(|(_, sentences)| sentences).collect();
    let overall: Vec<Row> = compare("together", &everything, &plain);
    let reached = overall.iter().filter(|row| row.kind == ALL).all(|row| row.recall >= RECALL_AIM && row.precision >= PRECISION_AIM);
    rows.extend(overall.into_iter().filter(|row| row.kind == ALL));
    if context.json {
        println!("{}", serde_json::json!({ "seed": seed, "rows": rows, "aim": { "recall": RECALL_AIM, "precision": PRECISION_AIM }, "reached": reached }));
        return Ok(());
    }
    print(context, &rows);
    println!("{} {seed}; {} {RECALL_AIM}, {PRECISION_AIM}: {}", context.t("随机种子", "seed"), context.t("目标（召回率、精确率，合计）", "aims (recall, precision, together)"), if reached { context.t("达到", "reached") } else { context.t("未达到", "not reached") });
    Ok(())
}

fn compare(set: &'static str, sentences: &[Sentence], plain: &Plain) -> Vec<Row> {
    let ours = judge(sentences, |text| pii::mask(text).1);
    let baseline = judge(sentences, |text| plain.find(text));
    let kinds: BTreeMap<&'static str, ()> = ours.keys().chain(baseline.keys()).map(|kind| (*kind, ())).collect();
    let row = |kind: &'static str| {
        let of = |counts: &BTreeMap<&'static str, Count>| counts.get(kind).copied().unwrap_or_default();
        let (ours, plain) = (of(&ours), of(&baseline));
        Row { set, kind, sentences: ours.sentences, spans: ours.there, recall: ours.recall(), precision: ours.precision(), baseline_recall: plain.recall(), baseline_precision: plain.precision() }
    };
    kinds.into_keys().map(row).collect()
}

fn print(context: &Context, rows: &[Row]) {
    let t = |zh, en| context.t(zh, en);
    println!("{:<16}{:<11}{:>10}{:>7}{:>9}{:>11}   {}", t("集合", "set"), t("类别", "kind"), t("句数", "sentences"), t("处数", "spans"), t("召回率", "recall"), t("精确率", "precision"), t("基线（正则）：召回率 精确率", "baseline (regular expressions): recall, precision"));
    for row in rows {
        println!("{:<16}{:<11}{:>10}{:>7}{:>9.4}{:>11.4}{:>14.4}{:>9.4}", row.set, row.kind, row.sentences, row.spans, row.recall, row.precision, row.baseline_recall, row.baseline_precision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(kind: PiiKind, start: usize, end: usize) -> PiiSpan {
        PiiSpan { kind, start, end }
    }

    #[test]
    fn a_marked_sentence_is_read() {
        let read = Sentence::marked("请打{phone:138 1234 5678}。").expect("a mark");
        assert_eq!(read, Sentence { text: "请打138 1234 5678。".to_owned(), truth: vec![span(PiiKind::Phone, 2, 15)] });
        assert!(Sentence::marked("{phone 138}").is_err());
        assert!(Sentence::marked("{shoe:42}").is_err());
    }

    #[test]
    fn two_hundred_sentences_in_two_halves() {
        let (dev, held) = (hand_made("dev").expect("read"), hand_made("held").expect("read"));
        assert_eq!((dev.len(), held.len()), (100, 100));
        assert!(dev.iter().all(|sentence| !held.contains(sentence)));
    }

    #[test]
    fn what_is_half_covered_is_not_found_and_what_touches_nothing_is_false() {
        let sentences = [Sentence::marked("电话{phone:138 1234 5678}，单号20240101").expect("a mark")];
        let counted = |spans: Vec<PiiSpan>| judge(&sentences, |_| spans.clone())[ALL];
        assert_eq!(counted(vec![span(PiiKind::Phone, 2, 15)]), Count { sentences: 1, there: 1, found: 1, said: 1, right: 1 });
        assert_eq!(counted(vec![span(PiiKind::Phone, 2, 14)]).found, 0);
        assert_eq!(counted(vec![span(PiiKind::Phone, 2, 5), span(PiiKind::Phone, 6, 15)]).found, 1);
        let wrong = counted(vec![span(PiiKind::Phone, 18, 26)]);
        assert_eq!((wrong.recall(), wrong.precision()), (0.0, 0.0));
    }

    #[test]
    fn the_baseline_finds_plain_numbers_only() {
        let plain = Plain::new().expect("patterns");
        assert_eq!(plain.find("电话13812345678"), [span(PiiKind::Phone, 2, 13)]);
        assert!(plain.find("138 1234 5678").is_empty());
    }
}
