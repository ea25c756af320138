//! `eval intents`: what the reader of messages makes of 300 of them, written and labelled by hand: what the sender wants,
//! how urgent it is, whether people are in danger, and when it happened.
//!
//! The messages (`intents.tsv`) were written and labelled before the rules were looked at. Every second one is `held`: the
//! errors of the others (`dev`) alone were looked at to make the rules better. One hand wrote both halves and the rules'
//! words, so `held` flatters too. Where the folder of data is there, real messages are asked as well: those whose title
//! begins with a word of intent (投诉, 咨询), which is taken for the label while the title is hidden. Such labels are rough,
//! but nobody wrote those messages for this. Beside each figure stands what the commonest answer, or a plain vote of a few
//! words, would have reached.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use chrono::{NaiveDate, NaiveDateTime};
use graph::Graph;
use serde::Serialize;
use text::{Intent, Reader, is_han};

use crate::Context;
use crate::table::Rows;

const MESSAGES: &str = include_str!("intents.tsv");
/// Share of intents that should be right.
const AIM: f64 = 0.9;

/// The small vote beside it: the first of these words that a message has, by where it stands, says the intent.
const WORDS: [(Intent, &[&str]); 7] = [
    (Intent::Help, &["求助", "帮", "坏", "修", "help", "broken", "fix", "please send"]),
    (Intent::Complaint, &["投诉", "态度", "扰民", "吵", "complain", "rude", "noise", "refuse"]),
    (Intent::Report, &["举报", "违法", "违章", "非法", "report", "illegal", "scam"]),
    (Intent::Inquiry, &["咨询", "请问", "怎么", "吗", "how", "what", "where", "when"]),
    (Intent::Suggestion, &["建议", "希望", "应该", "suggest", "should", "consider"]),
    (Intent::Praise, &["表扬", "感谢", "点赞", "thank", "great", "kudos"]),
    (Intent::Emergency, &["救命", "着火", "爆炸", "快来", "fire", "ambulance", "emergency"]),
];
/// The same for danger to people.
const DANGERS: [&str; 20] = ["着火", "爆炸", "受伤", "中毒", "触电", "被困", "救命", "救护车", "煤气", "塌", "刀", "fire", "hurt", "explosion", "ambulance", "gas", "trapped", "knife", "collapsed", "bleeding"];

/// Real messages, and what the first word of a title says.
const REAL: [&str; 2] = ["hotline_messages/unlabelled.csv.gz", "hotline_messages/replies.csv.gz"];
const TITLES: [(&str, Intent); 8] = [
    ("求助", Intent::Help), ("请求", Intent::Help), ("投诉", Intent::Complaint), ("举报", Intent::Report), ("咨询", Intent::Inquiry), ("建议", Intent::Suggestion), ("表扬", Intent::Praise), ("感谢", Intent::Praise),
];

/// One message with its labels.
#[derive(Debug, Clone)]
struct Message {
    held: bool,
    intent: Intent,
    urgency: u8,
    risk: bool,
    when: When,
    text: &'static str,
}

/// The time that a message tells.
#[derive(Debug, Clone, PartialEq, Eq)]
enum When {
    /// None.
    Never,
    /// Something that recurs, lasts or lies ahead: what to say of it is not judged.
    Open,
    /// From and to, as far as they are exact: `2026-01-06T20` is any minute of that hour.
    At(&'static str, &'static str),
}

impl When {
    fn holds(&self, at: NaiveDateTime) -> bool {
        let When::At(from, to) = self else { return false };
        let at = at.format("%Y-%m-%dT%H:%M").to_string();
        at.as_str() >= *from && at.get(..to.len()).is_some_and(|at| at <= *to)
    }
}

/// What was made of a message.
#[derive(Debug, Clone)]
struct Answer {
    intent: Intent,
    urgency: u8,
    risk: bool,
    at: Option<NaiveDateTime>,
}

#[derive(Debug, Clone, Default, Serialize)]
struct Figures {
    rows: String,
    messages: usize,
    intent: f64,
    intent_words: f64,
    intent_commonest: f64,
    urgency: f64,
    urgency_within_one: f64,
    urgency_commonest: f64,
    risk_recall: f64,
    /// Of those that are urgent at once.
    risk_recall_at_once: f64,
    risk_precision: f64,
    risk_recall_words: f64,
    risk_precision_words: f64,
    /// Messages that tell a time, and the share of those whose time is right.
    times: usize,
    times_right: f64,
    /// The share that taking the moment of writing for it would have right.
    times_now: f64,
    /// Messages that tell none, and the share of those for which a time was told.
    timeless: usize,
    times_invented: f64,
}

/// Intents of real messages, by the first word of their titles.
#[derive(Debug, Serialize)]
struct Real {
    messages: usize,
    intent: f64,
    intent_words: f64,
    intent_commonest: f64,
}

#[derive(Debug, Serialize)]
struct Document {
    clock: String,
    aim_intent: f64,
    figures: Vec<Figures>,
    /// None where the folder of data is not there.
    real: Option<Real>,
    intents: [&'static str; 7],
    /// Rows are what it is, columns what was said; all messages.
    confusion: [[usize; 7]; 7],
    /// The same of urgency 1 to 4.
    confusion_urgency: [[usize; 4]; 4],
}

/// The moment at which all messages were written: a Wednesday.
fn clock() -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2026, 1, 7).and_then(|day| day.and_hms_opt(15, 0, 0)).unwrap_or_default()
}

/// Measures and prints.
///
/// # Errors
/// A label that cannot be read.
pub fn run(context: &Context) -> Result<()> {
    let messages = messages()?;
    let reader = Reader::new(&Graph::builtin());
    let answers: Vec<Answer> = messages.iter().map(|message| answer(&reader, message.text)).collect();
    let mut document = document(&messages, &answers);
    document.real = real(context, &reader)?;
    if context.json {
        println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        print(context, &document);
    }
    Ok(())
}

fn messages() -> Result<Vec<Message>> {
    MESSAGES.lines().skip(1).enumerate().map(|(at, line)| message(line).with_context(|| format!("line {} of the messages", at + 2))).collect()
}

fn message(line: &'static str) -> Result<Message> {
    let cells: Vec<&str> = line.splitn(7, '\t').collect();
    let [part, intent, urgency, risk, said, at, text] = cells[..] else { bail!("seven cells are needed") };
    let when = match at {
        "-" => When::Never,
        "?" => When::Open,
        _ => at.split_once('/').map_or(When::At(at, at), |(from, to)| When::At(from, to)),
    };
    if matches!(when, When::At(..)) && !text.contains(said) {
        bail!("{said} is not in the text");
    }
    Ok(Message {
        held: match part {
            "held" => true,
            "dev" => false,
            _ => bail!("{part} is no part"),
        },
        intent: *Intent::ALL.iter().find(|known| known.id() == intent).with_context(|| format!("{intent} is no intent"))?,
        urgency: urgency.parse::<u8>().ok().filter(|urgency| (1..=4).contains(urgency)).with_context(|| format!("{urgency} is no urgency"))?,
        risk: match risk {
            "yes" => true,
            "no" => false,
            _ => bail!("{risk} is neither yes nor no"),
        },
        when,
        text,
    })
}

fn answer(reader: &Reader, text: &str) -> Answer {
    let reading = reader.read(text, Some(clock()));
    Answer { intent: reading.wanted.intent, urgency: reading.urgency, risk: reading.risk_to_life, at: reading.moment.map(|moment| moment.at) }
}

fn document(messages: &[Message], answers: &[Answer]) -> Document {
    let rows: Vec<(&Message, &Answer)> = messages.iter().zip(answers).collect();
    let chinese = |message: &Message| message.text.chars().any(is_han);
    let parts: [(&str, &dyn Fn(&Message) -> bool); 7] = [
        ("all", &|_| true),
        ("dev", &|it| !it.held),
        ("held", &|it| it.held),
        ("Chinese", &chinese),
        ("English", &|it| !chinese(it)),
        ("held, Chinese", &|it| it.held && chinese(it)),
        ("held, English", &|it| it.held && !chinese(it)),
    ];
    let figures = parts.iter().map(|(name, takes)| of(name, &rows.iter().copied().filter(|(message, _)| takes(message)).collect::<Vec<_>>())).collect();
    let (mut confusion, mut confusion_urgency) = ([[0; 7]; 7], [[0; 4]; 4]);
    for (message, answer) in &rows {
        confusion[message.intent as usize][answer.intent as usize] += 1;
        confusion_urgency[usize::from(message.urgency - 1)][usize::from(answer.urgency.clamp(1, 4) - 1)] += 1;
    }
    Document { clock: clock().to_string(), aim_intent: AIM, figures, real: None, intents: Intent::ALL.map(Intent::id), confusion, confusion_urgency }
}

fn of(name: &str, rows: &[(&Message, &Answer)]) -> Figures {
    let share = |right: usize, of: usize| if of == 0 { 0.0 } else { right as f64 / of as f64 };
    let count = |is: &dyn Fn(&Message, &Answer) -> bool| rows.iter().filter(|(message, answer)| is(message, answer)).count();
    let all = rows.len();
    let commonest = Intent::ALL.iter().map(|intent| count(&|message, _| message.intent == *intent)).max().unwrap_or(0);
    let commonest_urgency = (1..=4).map(|urgency| count(&|message, _| message.urgency == urgency)).max().unwrap_or(0);
    let risks = count(&|message, _| message.risk);
    let at_once = count(&|message, _| message.risk && message.urgency == 1);
    let times = count(&|message, _| matches!(message.when, When::At(..)));
    let timeless = count(&|message, _| message.when == When::Never);
    Figures {
        rows: name.to_owned(),
        messages: all,
        intent: share(count(&|message, answer| message.intent == answer.intent), all),
        intent_words: share(count(&|message, _| message.intent == vote(message.text)), all),
        intent_commonest: share(commonest, all),
        urgency: share(count(&|message, answer| message.urgency == answer.urgency), all),
        urgency_within_one: share(count(&|message, answer| message.urgency.abs_diff(answer.urgency) <= 1), all),
        urgency_commonest: share(commonest_urgency, all),
        risk_recall: share(count(&|message, answer| message.risk && answer.risk), risks),
        risk_recall_at_once: share(count(&|message, answer| message.risk && message.urgency == 1 && answer.risk), at_once),
        risk_precision: share(count(&|message, answer| message.risk && answer.risk), count(&|_, answer| answer.risk)),
        risk_recall_words: share(count(&|message, _| message.risk && names_danger(message.text)), risks),
        risk_precision_words: share(count(&|message, _| message.risk && names_danger(message.text)), count(&|message, _| names_danger(message.text))),
        times,
        times_right: share(count(&|message, answer| answer.at.is_some_and(|at| message.when.holds(at))), times),
        times_now: share(count(&|message, _| message.when.holds(clock())), times),
        timeless,
        times_invented: share(count(&|message, answer| message.when == When::Never && answer.at.is_some()), timeless),
    }
}

fn real(context: &Context, reader: &Reader) -> Result<Option<Real>> {
    let mut texts: BTreeSet<(String, Intent)> = BTreeSet::new();
    for file in REAL {
        let Ok(path) = context.data_file(file) else { return Ok(None) };
        for row in Rows::open(&path, &["留言主题", "留言详情"])? {
            let row = row?;
            let [title, text] = &row.cells[..] else { continue };
            if let Some((_, intent)) = TITLES.iter().find(|(word, _)| title.trim().starts_with(word))
                && !text.trim().is_empty()
            {
                texts.insert((text.clone(), *intent));
            }
        }
    }
    let right = |of: &dyn Fn(&str) -> Intent| texts.iter().filter(|(text, intent)| of(text) == *intent).count() as f64 / texts.len().max(1) as f64;
    let commonest = Intent::ALL.iter().map(|intent| right(&|_| *intent)).fold(0.0, f64::max);
    let intent = right(&|text| reader.read(text, Some(clock())).wanted.intent);
    Ok(Some(Real { messages: texts.len(), intent, intent_words: right(&vote), intent_commonest: commonest }))
}

/// The intent of the first word of the small list; help, where there is none.
fn vote(text: &str) -> Intent {
    let text = text.to_lowercase();
    let found = WORDS.iter().flat_map(|(intent, words)| words.iter().filter_map(|word| Some((text.find(word)?, *intent))));
    found.min_by_key(|(at, _)| *at).map_or(Intent::Help, |(_, intent)| intent)
}

fn names_danger(text: &str) -> bool {
    let text = text.to_lowercase();
    DANGERS.iter().any(|word| text.contains(word))
}

fn print(context: &Context, document: &Document) {
    println!("{} {}", context.t("手写标注的留言，写于", "messages written and labelled by hand, all as of"), document.clock);
    println!("{}", context.t("诉求意图（目标 0.900）、紧急程度：正确率；旁为关键词投票与最常见者", "intent (aim 0.900) and urgency: share that is right, beside a vote of words and the commonest"));
    println!("{:14} {:>8} {:>7} {:>7} {:>9} {:>8} {:>10} {:>9}", "rows", "messages", "intent", "words", "commonest", "urgency", "within one", "commonest");
    for row in &document.figures {
        println!(
            "{:14} {:>8} {:>7.3} {:>7.3} {:>9.3} {:>8.3} {:>10.3} {:>9.3}",
            row.rows, row.messages, row.intent, row.intent_words, row.intent_commonest, row.urgency, row.urgency_within_one, row.urgency_commonest
        );
    }
    match &document.real {
        Some(real) => println!("{:14} {:>8} {:>7.3} {:>7.3} {:>9.3}", "real, by title", real.messages, real.intent, real.intent_words, real.intent_commonest),
        None => println!("{}", context.t("未找到真实留言：请用 CITYBRAIN_DATA 指明数据目录", "no real messages: name the data folder in CITYBRAIN_DATA")),
    }
    println!("{}", context.t("危及人身：查全、其中一级的查全、查准，旁为关键词；发生时间：正确率，旁为一律取写信时刻；无时间却给出的比例", "danger to people: recall, that of urgency 1, and precision, beside a list of words; event times that are right, beside the moment of writing; times told where there is none"));
    println!("{:14} {:>7} {:>7} {:>9} {:>7} {:>9} {:>6} {:>7} {:>7} {:>9}", "rows", "recall", "at once", "precision", "words", "precision", "times", "right", "now", "invented");
    for row in &document.figures {
        println!(
            "{:14} {:>7.3} {:>7.3} {:>9.3} {:>7.3} {:>9.3} {:>6} {:>7.3} {:>7.3} {:>9.3}",
            row.rows, row.risk_recall, row.risk_recall_at_once, row.risk_precision, row.risk_recall_words, row.risk_precision_words, row.times, row.times_right, row.times_now, row.times_invented
        );
    }
    println!("{}", context.t("混淆矩阵（行：标注，列：判定）", "confusion (rows: the label, columns: what was said)"));
    println!("{:12}{}", "", document.intents.map(|intent| format!("{intent:>11}")).concat());
    for (intent, row) in document.intents.iter().zip(&document.confusion) {
        println!("{intent:12}{}", row.map(|count| format!("{count:>11}")).concat());
    }
    println!("{:12}{}", context.t("紧急程度", "urgency"), [1, 2, 3, 4].map(|urgency| format!("{urgency:>11}")).concat());
    for (urgency, row) in (1..=4).zip(&document.confusion_urgency) {
        println!("{urgency:<12}{}", row.map(|count| format!("{count:>11}")).concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_are_labelled_and_balanced() {
        let messages = messages().unwrap();
        assert_eq!(messages.len(), 300);
        for intent in Intent::ALL {
            let of = |held: bool| messages.iter().filter(|message| message.intent == intent && message.held == held).count();
            assert!(of(true) >= 15 && of(true).abs_diff(of(false)) <= 2, "{}: {} held, {} not", intent.id(), of(true), of(false));
        }
        assert!(messages.iter().filter(|message| matches!(message.when, When::At(..))).count() >= 60);
        let mut texts: Vec<&str> = messages.iter().map(|message| message.text).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), 300, "each message stands once");
    }

    #[test]
    fn figures_of_known_answers() {
        let one = |intent, urgency, risk, when| Message { held: false, intent, urgency, risk, when, text: "路灯坏了" };
        let messages = [one(Intent::Help, 3, false, When::Never), one(Intent::Emergency, 1, true, When::At("2026-01-06T20", "2026-01-06T20")), one(Intent::Praise, 4, false, When::Open)];
        let at = |text: &str| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").ok();
        let answers = [
            Answer { intent: Intent::Help, urgency: 1, risk: true, at: at("2026-01-07T15:00") },
            Answer { intent: Intent::Help, urgency: 2, risk: true, at: at("2026-01-06T20:40") },
            Answer { intent: Intent::Praise, urgency: 4, risk: false, at: None },
        ];
        let figures = of("all", &messages.iter().zip(&answers).collect::<Vec<_>>());
        assert_eq!((figures.messages, figures.times, figures.timeless), (3, 1, 1));
        assert!((figures.intent - 2.0 / 3.0).abs() < 1e-9 && (figures.intent_words - 1.0 / 3.0).abs() < 1e-9);
        assert!((figures.urgency - 1.0 / 3.0).abs() < 1e-9 && (figures.urgency_within_one - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!((figures.risk_recall, figures.risk_precision, figures.times_right, figures.times_invented), (1.0, 0.5, 1.0, 1.0));
    }

    #[test]
    fn how_exact_a_time_must_be() {
        let at = |text: &str| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").unwrap();
        let holds = |from, to, moment: &str| When::At(from, to).holds(at(moment));
        assert!(holds("2026-01-06", "2026-01-06", "2026-01-06T23:59") && !holds("2026-01-06", "2026-01-06", "2026-01-07T00:00"));
        assert!(holds("2025-12-29", "2026-01-04", "2026-01-04T12:00") && !holds("2025-12-29", "2026-01-04", "2025-12-28T12:00"));
        assert!(holds("2026-01-06T17", "2026-01-07T05", "2026-01-07T05:30") && !holds("2026-01-06T17", "2026-01-07T05", "2026-01-07T06:00"));
        assert!(!When::Never.holds(at("2026-01-06T20:00")) && !When::Open.holds(at("2026-01-06T20:00")));
    }
}
