//! Reads an answer and checks it: keys, spans, letters, lengths, numbers. What does not pass is an error with its name.
//!
//! Nothing is believed because it was constrained: an endpoint may ignore a grammar, and an engine may be wrong. Knows
//! nothing of where an answer came from.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::grammar::{KEYS, numbers, units};
use crate::limits::{SPAN_CHARS_MAX, TITLE_CHARS_MAX, TITLE_UNITS_MAX};
use crate::task::{Message, Task};
use crate::wire::{End, Mark, Raw};

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum AnswerError {
    /// It was cut off by a limit.
    #[error("the answer was cut off by the limit on {0}")]
    CutOff(String),
    /// It is not the JSON object that was asked for.
    #[error("the answer is not the object that was asked for: {0}")]
    Shape(String),
    /// A span is not in the message.
    #[error("{key} is not in the message")]
    Invented {
        /// The key.
        key: String,
    },
    /// A span is too long.
    #[error("{key} has more than {SPAN_CHARS_MAX} characters")]
    LongSpan {
        /// The key.
        key: String,
    },
    /// A title is empty or has several lines.
    #[error("the title is not one line of text")]
    NoTitle,
    /// A title is too long.
    #[error("the title has {0} units; at most {TITLE_UNITS_MAX} are allowed")]
    LongTitle(usize),
    /// A title has a number that the message has not.
    #[error("the title says {0}, which is not in the message")]
    Number(String),
    /// No letter of an option.
    #[error("the answer is no letter of an option")]
    Letter,
    /// The letters have no probabilities, so nobody can say how sure the choice is.
    #[error("the answer has no log-probabilities of the letters: ask an endpoint that tells them")]
    NoShares,
    /// The answer is not in the caller's language.
    #[error("the answer does not follow the grammar")]
    Grammar,
    /// A vector is empty, or has a number that is none.
    #[error("the vector is empty or not finite")]
    Vector,
}

/// A checked answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", content = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// Of `Task::Extract`.
    Extract(Extracted),
    /// Of `Task::Title`.
    Title(String),
    /// Of `Task::Choose`.
    Choose(Choice),
    /// Of `Task::Embed`.
    Embed(Vec<f32>),
    /// Of `Task::Free`.
    Free(String),
}

/// Spans of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Extracted {
    /// The postal address: road, number, building, unit.
    pub address: Value,
    /// The most specific named place.
    pub place: Value,
    /// Words for when it happened, or since when.
    pub time: Value,
    /// Who is hurt, in danger or affected.
    pub people: Value,
    /// The facility or object that it is about.
    pub thing: Value,
    /// What the sender asks to be done.
    pub wish: Value,
    /// Keys whose value was left out because it is not in the message. Only where the caller allows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invented: Vec<String>,
}

/// The value of a key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Value {
    /// The span; none when the message does not say.
    pub span: Option<Span>,
    /// Log-probability of the value (also of none) in millionths of a nat, where the model tells.
    pub logprob_micro: Option<i32>,
}

/// A piece of the cleaned message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its text.
    pub text: String,
    /// Its first place in the cleaned message, in bytes.
    pub at: usize,
}

/// A choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The option, from 0.
    pub index: usize,
    /// The share of each option among the options, in millionths.
    pub shares_ppm: Vec<u32>,
    /// How much of the model's whole belief lies on the options, in millionths. Low: it wanted to say something else.
    pub mass_ppm: u32,
}

/// What happens to a span that is not in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invented {
    /// The answer is refused: it came from an engine that holds spans to the message.
    Refuse,
    /// The value is left out and its key is listed: it came from a model that nobody holds.
    LeaveOut,
}

/// Reads and checks what a model said.
pub fn check(task: &Task, raw: &Raw, invented: Invented) -> Result<Answer, AnswerError> {
    match raw.end {
        End::Complete => {}
        End::Tokens => return Err(AnswerError::CutOff("tokens".to_owned())),
        End::Time => return Err(AnswerError::CutOff("time".to_owned())),
    }
    match task {
        Task::Extract(message) => extracted(message, raw, invented).map(Answer::Extract),
        Task::Title(message) => title(message, &raw.text).map(Answer::Title),
        Task::Choose { options, .. } => choice(options.len(), raw).map(Answer::Choose),
        Task::Embed(_) => {
            let good = !raw.vector.is_empty() && raw.vector.iter().all(|it| it.is_finite());
            good.then(|| Answer::Embed(raw.vector.clone())).ok_or(AnswerError::Vector)
        }
        Task::Free { grammar, .. } => {
            grammar.matches(&raw.text).then(|| Answer::Free(raw.text.clone())).ok_or(AnswerError::Grammar)
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    address: Given,
    place: Given,
    time: Given,
    people: Given,
    thing: Given,
    wish: Given,
}

/// Null or a string, but there.
#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Text(String),
    Null(()),
}

fn extracted(message: &Message, raw: &Raw, invented: Invented) -> Result<Extracted, AnswerError> {
    let record: Record = serde_json::from_str(raw.text.trim()).map_err(|error| AnswerError::Shape(error.to_string()))?;
    let given = [record.address, record.place, record.time, record.people, record.thing, record.wish];
    let mut left_out = Vec::new();
    let mut values = Vec::with_capacity(KEYS.len());
    for (key, given) in KEYS.into_iter().zip(given) {
        let span = match given {
            Given::Null(()) => None,
            Given::Text(text) => match span(message, key, text.trim()) {
                Ok(span) => span,
                Err(_) if invented == Invented::LeaveOut => {
                    left_out.push(key.to_owned());
                    None
                }
                Err(error) => return Err(error),
            },
        };
        values.push(Value { span, logprob_micro: logprob(raw, key) });
    }
    let mut values = values.into_iter();
    let mut next = || values.next().expect("one value for each key");
    Ok(Extracted { address: next(), place: next(), time: next(), people: next(), thing: next(), wish: next(), invented: left_out })
}

fn span(message: &Message, key: &str, text: &str) -> Result<Option<Span>, AnswerError> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.chars().count() > SPAN_CHARS_MAX {
        return Err(AnswerError::LongSpan { key: key.to_owned() });
    }
    let whole = message.as_str();
    let over_cut = |at: usize| message.cut().is_some_and(|cut| at < cut && cut < at + text.len());
    let at = whole.match_indices(text).map(|(at, _)| at).find(|at| !over_cut(*at));
    let at = at.ok_or_else(|| AnswerError::Invented { key: key.to_owned() })?;
    Ok(Some(Span { text: text.to_owned(), at }))
}

/// Sum over the tokens of a key's value. Values hold no `"`, so a key is found by its quotes.
fn logprob(raw: &Raw, key: &str) -> Option<i32> {
    if raw.marks.is_empty() {
        return None;
    }
    let from = raw.text.find(&format!("\"{key}\":"))? + key.len() + 3;
    let rest = &raw.text[from..];
    let to = from + match rest.strip_prefix('"') {
        Some(inner) => inner.find('"')? + 2,
        None => rest.find([',', '}'])?,
    };
    Some(sum_over(&raw.marks, from, to))
}

fn sum_over(marks: &[Mark], from: usize, to: usize) -> i32 {
    let mut at = 0;
    let mut sum = 0_i32;
    for mark in marks {
        let end = at + usize::from(mark.bytes);
        if at < to && end > from {
            sum = sum.saturating_add(mark.logprob_micro);
        }
        at = end;
    }
    sum
}

fn title(message: &Message, text: &str) -> Result<String, AnswerError> {
    let title = text.trim().trim_matches(['"', '“', '”', '「', '」']).trim();
    if title.is_empty() || title.chars().any(char::is_control) {
        return Err(AnswerError::NoTitle);
    }
    let length = units(title);
    if length > TITLE_UNITS_MAX || title.chars().count() > TITLE_CHARS_MAX {
        return Err(AnswerError::LongTitle(length));
    }
    let said = numbers(message.as_str());
    match numbers(title).into_iter().find(|it| !said.contains(it)) {
        Some(number) => Err(AnswerError::Number(number)),
        None => Ok(title.to_owned()),
    }
}

fn choice(options: usize, raw: &Raw) -> Result<Choice, AnswerError> {
    let mut said = raw.text.trim().chars();
    let letter = said.next().filter(|_| said.next().is_none()).ok_or(AnswerError::Letter)?;
    let said = (letter as usize).checked_sub('A' as usize).filter(|it| *it < options).ok_or(AnswerError::Letter)?;
    if raw.letters_micro.len() != options || raw.letters_micro.iter().all(Option::is_none) {
        return Err(AnswerError::NoShares);
    }
    let weights: Vec<f64> = raw.letters_micro.iter().map(|it| it.map_or(0.0, |micro| (f64::from(micro) * 1e-6).exp())).collect();
    let best = raw.letters_micro.iter().max().copied().flatten().unwrap_or(0);
    // Relative to the best: all of them may be too small for a number.
    let relative: Vec<f64> =
        raw.letters_micro.iter().map(|it| it.map_or(0.0, |micro| (f64::from(micro - best) * 1e-6).exp())).collect();
    let sum: f64 = relative.iter().sum();
    let shares_ppm: Vec<u32> = relative.iter().map(|it| (it / sum * 1e6).round() as u32).collect();
    // What was said must be what is likeliest; another letter means that text and numbers are of two answers.
    if raw.letters_micro[said] != Some(best) {
        return Err(AnswerError::Letter);
    }
    Ok(Choice { index: said, shares_ppm, mass_ppm: (weights.iter().sum::<f64>().min(1.0) * 1e6).round() as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn raw(text: &str) -> Raw {
        Raw {
            text: text.to_owned(),
            marks: Vec::new(),
            letters_micro: Vec::new(),
            vector: Vec::new(),
            end: End::Complete,
            tokens_in: 0,
            tokens_reused: 0,
            tokens_out: 0,
            first_us: 0,
            total_us: 0,
        }
    }

    fn record(place: &str) -> Raw {
        raw(&format!(r#"{{"address":null,"place":{place},"time":null,"people":null,"thing":null,"wish":null}}"#))
    }

    fn task() -> Task {
        Task::extract("东湖小区 3 栋漏水").unwrap()
    }

    #[test]
    fn spans_are_found_in_the_message() {
        let Answer::Extract(found) = check(&task(), &record("\"东湖小区\""), Invented::Refuse).unwrap() else { panic!("spans") };
        assert_eq!(found.place.span, Some(Span { text: "东湖小区".into(), at: 0 }));
        assert_eq!(found.address.span, None);
        let invented = check(&task(), &record("\"西湖小区\""), Invented::Refuse);
        assert_eq!(invented, Err(AnswerError::Invented { key: "place".into() }));
        let Answer::Extract(found) = check(&task(), &record("\"西湖小区\""), Invented::LeaveOut).unwrap() else { panic!("spans") };
        assert_eq!((found.place.span, found.invented), (None, vec!["place".to_owned()]));
    }

    #[test]
    fn another_shape_is_refused() {
        for text in ["", "{}", "[]", "null", &record("7").text, &record("null").text.replace("wish", "wash"), &(record("null").text + "x")] {
            assert!(matches!(check(&task(), &raw(text), Invented::LeaveOut), Err(AnswerError::Shape(_))), "{text}");
        }
        let twice = record("null").text.replace("\"time\"", "\"place\"");
        assert!(matches!(check(&task(), &raw(&twice), Invented::LeaveOut), Err(AnswerError::Shape(_))));
        let missing = record("null").text.replace("\"time\":null,", "");
        assert!(matches!(check(&task(), &raw(&missing), Invented::LeaveOut), Err(AnswerError::Shape(_))));
        let cut = Raw { end: End::Tokens, ..record("null") };
        assert_eq!(check(&task(), &cut, Invented::Refuse), Err(AnswerError::CutOff("tokens".into())));
    }

    #[test]
    fn a_value_is_as_sure_as_its_tokens() {
        let mut answer = record("\"东湖小区\"");
        let from = answer.text.find("\"东").unwrap();
        let pieces = [(from, -1), (4, -10), (9, -100), (1, -1_000), (1, -5)];
        answer.marks = pieces.iter().map(|(bytes, it)| Mark { bytes: *bytes as u16, logprob_micro: *it }).collect();
        let Answer::Extract(found) = check(&task(), &answer, Invented::Refuse).unwrap() else { panic!("spans") };
        assert_eq!(found.place.logprob_micro, Some(-1_110));
        assert_eq!(found.address.logprob_micro, Some(-1));
    }

    #[test]
    fn titles_are_short_and_say_no_new_number() {
        let task = Task::title("东湖小区 3 栋漏水").unwrap();
        let said = |text: &str| check(&task, &raw(text), Invented::Refuse);
        assert_eq!(said(" 东湖小区3栋漏水\n"), Ok(Answer::Title("东湖小区3栋漏水".into())));
        assert_eq!(said("东湖小区4栋漏水"), Err(AnswerError::Number("4".into())));
        assert_eq!(said(&"水".repeat(25)), Err(AnswerError::LongTitle(25)));
        assert_eq!(said("a\nb"), Err(AnswerError::NoTitle));
        assert_eq!(said(" "), Err(AnswerError::NoTitle));
    }

    #[test]
    fn shares_of_a_choice_sum_to_one() {
        let task = Task::choose("x", &["a", "b", "c"]).unwrap();
        let half = crate::wire::micro(0.5f64.ln());
        let quarter = crate::wire::micro(0.25f64.ln());
        let said = |text: &str, letters_micro: Vec<Option<i32>>| check(&task, &Raw { letters_micro, ..raw(text) }, Invented::Refuse);
        let right = said("B", vec![Some(quarter), Some(half), None]);
        assert_eq!(right, Ok(Answer::Choose(Choice { index: 1, shares_ppm: vec![333_333, 666_667, 0], mass_ppm: 750_000 })));
        let tiny = said("A", vec![Some(-1_500_000_000), Some(-1_600_000_000), None]);
        assert_eq!(tiny, Ok(Answer::Choose(Choice { index: 0, shares_ppm: vec![1_000_000, 0, 0], mass_ppm: 0 })));
        assert_eq!(said("A", vec![Some(quarter), Some(half), None]), Err(AnswerError::Letter));
        assert_eq!(said("D", vec![Some(half); 3]), Err(AnswerError::Letter));
        assert_eq!(said("AB", vec![Some(half); 3]), Err(AnswerError::Letter));
        assert_eq!(said("A", vec![]), Err(AnswerError::NoShares));
    }

    #[test]
    fn a_free_answer_follows_its_grammar() {
        let task = Task::free("Yes or no?", "x", "root ::= \"yes\" | \"no\"").unwrap();
        assert_eq!(check(&task, &raw("no"), Invented::Refuse), Ok(Answer::Free("no".into())));
        assert_eq!(check(&task, &raw("nope"), Invented::Refuse), Err(AnswerError::Grammar));
    }

    #[test]
    fn a_vector_is_finite() {
        let task = Task::embed("x").unwrap();
        let said = |vector: Vec<f32>| check(&task, &Raw { vector, ..raw("") }, Invented::Refuse);
        assert_eq!(said(vec![0.5, -1.0]), Ok(Answer::Embed(vec![0.5, -1.0])));
        assert_eq!(said(vec![]), Err(AnswerError::Vector));
        assert_eq!(said(vec![f32::NAN]), Err(AnswerError::Vector));
    }
}
