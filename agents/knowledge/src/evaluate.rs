//! How well questions find their sections, beside two baselines over the same words in the same run.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use text::Normal;

use crate::index::around;
use crate::search::Query;
use crate::{Knowledge, terms};

/// A question with the sections that answer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Its id.
    pub id: String,
    /// `zh` or `en`.
    pub lang: String,
    /// Whether it was held back while the ranking was made.
    pub held: bool,
    /// The question or message.
    pub text: String,
    /// Ids of the sections that answer it, any of which is right.
    pub relevant: Vec<String>,
}

/// A way to rank sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// How many different words of the question the section has.
    Overlap,
    /// BM25 over pairs of characters, and words of other scripts.
    Bigrams,
    /// [`Knowledge::search`] without aliases.
    Plain,
    /// [`Knowledge::search`] with aliases.
    Search,
}

impl Method {
    /// All, baselines first.
    pub const ALL: [Self; 4] = [Self::Overlap, Self::Bigrams, Self::Plain, Self::Search];
}

/// What a way of ranking is worth on questions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// The way.
    pub method: Method,
    /// Which questions: `all`, `zh`, `en`, `open` (seen while the ranking was made), `held` (not seen).
    pub of: &'static str,
    /// How many.
    pub questions: usize,
    /// Share with a right section first.
    pub first: f64,
    /// Share with a right section among the first three.
    pub among_three: f64,
    /// Mean of one over the place of the first right section, among the first ten.
    pub mrr: f64,
}

/// A question that no section answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unanswered {
    /// Its id.
    pub id: String,
    /// `zh` or `en`.
    pub lang: String,
    /// Whether it was held back while the limit was chosen.
    pub held: bool,
    /// The question or message.
    pub text: String,
}

/// What drafts are worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drafts {
    /// Which questions: `all`, `zh`, `en`, `open`, `held`.
    pub of: &'static str,
    /// Whether a draft is always made, of the first hit: the baseline.
    pub always: bool,
    /// Questions that documents answer, and those that none does.
    pub questions: (usize, usize),
    /// Share of the former for which a draft is made.
    pub drafted: f64,
    /// Share of these drafts that cite a right section.
    pub right: f64,
    /// Share of the latter for which none is made.
    pub refused: f64,
}

/// Which questions are told of: all, those of each language, those that were there while something was chosen, those held back.
type Group = (&'static str, fn(&str, bool) -> bool);
const GROUPS: [Group; 5] =
    [("all", |_, _| true), ("zh", |lang, _| lang == "zh"), ("en", |lang, _| lang == "en"), ("open", |_, held| !held), ("held", |_, held| held)];

/// Drafts for questions with an answer and without one, and how many drafts the check of citations refuses: none, for their
/// sentences stand in what they cite.
pub fn drafts(knowledge: &Knowledge, questions: &[Asked], unanswered: &[Unanswered], today: NaiveDate, aliases: &[Vec<String>]) -> (Vec<Drafts>, usize) {
    let mut refused = 0;
    // Language, held back, and what a draft cites: ours, the baseline's.
    let mut cites = |text: &str, lang: &str| -> [Vec<String>; 2] {
        let hits = knowledge.search(&Query { aliases, limit: 5, ..Query::of(text, today) });
        let draft = knowledge.reply(&hits, lang == "zh").map(|draft| knowledge.check_answer(&draft, &hits, today));
        refused += usize::from(matches!(draft, Some(Err(_))));
        [draft.and_then(Result::ok).map_or_else(Vec::new, |answer| answer.citations), hits.first().map(|hit| hit.section.clone()).into_iter().collect()]
    };
    let with: Vec<_> = questions.iter().map(|asked| (asked.lang.as_str(), asked.held, &asked.relevant, cites(&asked.text, &asked.lang))).collect();
    let without: Vec<_> = unanswered.iter().map(|asked| (asked.lang.as_str(), asked.held, cites(&asked.text, &asked.lang))).collect();
    let mut figures = Vec::new();
    for (of, is_in) in GROUPS {
        for always in [true, false] {
            let with: Vec<_> = with.iter().filter(|it| is_in(it.0, it.1)).collect();
            let without: Vec<_> = without.iter().filter(|it| is_in(it.0, it.1)).collect();
            let drafted = with.iter().filter(|it| !it.3[usize::from(always)].is_empty()).count();
            let right = with.iter().filter(|it| it.3[usize::from(always)].iter().any(|id| it.2.contains(id))).count();
            let refused = without.iter().filter(|it| it.2[usize::from(always)].is_empty()).count();
            let share = |part: usize, of: usize| part as f64 / of.max(1) as f64;
            figures.push(Drafts { of, always, questions: (with.len(), without.len()), drafted: share(drafted, with.len()), right: share(right, drafted), refused: share(refused, without.len()) });
        }
    }
    (figures, refused)
}

/// Questions without an answer from JSON lines.
///
/// # Errors
/// The line that is none, with its number.
pub fn read_unanswered(lines: &str) -> Result<Vec<Unanswered>, String> {
    rows(lines)
}

/// Questions from JSON lines.
///
/// # Errors
/// The line that is none, with its number.
pub fn read(lines: &str) -> Result<Vec<Asked>, String> {
    rows(lines)
}

fn rows<T: serde::de::DeserializeOwned>(lines: &str) -> Result<Vec<T>, String> {
    let lines = lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(number, line)| serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))).collect()
}

/// Ids that questions name and no section has.
pub fn unknown(knowledge: &Knowledge, questions: &[Asked]) -> Vec<(String, String)> {
    let pairs = questions.iter().flat_map(|asked| asked.relevant.iter().map(|id| (asked.id.clone(), id.clone())));
    pairs.filter(|(_, id)| knowledge.section(id).is_none()).collect()
}

/// The place of the first right section from 1, for each question and each way; none when it is not among the first ten.
pub fn places(knowledge: &Knowledge, questions: &[Asked], today: NaiveDate, aliases: &[Vec<String>]) -> BTreeMap<Method, Vec<Option<usize>>> {
    let baselines = Baselines::of(knowledge);
    let mut places: BTreeMap<Method, Vec<Option<usize>>> = BTreeMap::new();
    for asked in questions {
        let query = Query::of(&asked.text, today);
        let ids = |query: &Query| knowledge.search(query).into_iter().map(|hit| hit.section).collect::<Vec<_>>();
        let named = |numbers: Vec<usize>| numbers.into_iter().map(|number| knowledge.sections()[number].id.clone()).collect();
        for method in Method::ALL {
            let found: Vec<String> = match method {
                Method::Overlap => named(baselines.overlap(&asked.text)),
                Method::Bigrams => named(baselines.bigrams(&asked.text)),
                Method::Plain => ids(&query),
                Method::Search => ids(&Query { aliases, ..query }),
            };
            places.entry(method).or_default().push(found.iter().position(|id| asked.relevant.contains(id)).map(|at| at + 1));
        }
    }
    places
}

/// What each way is worth, on all questions, on those of each language, on those that were seen while the ranking was made,
/// and on those that were held back.
pub fn figures(questions: &[Asked], places: &BTreeMap<Method, Vec<Option<usize>>>) -> Vec<Figures> {
    let mut figures = Vec::new();
    for (of, is_in) in GROUPS {
        for (method, places) in places {
            let places: Vec<Option<usize>> = questions.iter().zip(places).filter(|(asked, _)| is_in(&asked.lang, asked.held)).map(|(_, place)| *place).collect();
            let share = |most: usize| places.iter().filter(|place| place.is_some_and(|at| at <= most)).count() as f64 / places.len().max(1) as f64;
            let mrr = places.iter().map(|place| place.map_or(0.0, |at| 1.0 / at as f64)).sum::<f64>() / places.len().max(1) as f64;
            figures.push(Figures { method: *method, of, questions: places.len(), first: share(1), among_three: share(3), mrr });
        }
    }
    figures
}

/// Sections as bags of words and of pairs.
struct Baselines {
    words: Vec<BTreeSet<String>>,
    pairs: Vec<(BTreeMap<String, u32>, u32)>,
    with_pair: BTreeMap<String, u32>,
}

impl Baselines {
    fn of(knowledge: &Knowledge) -> Self {
        let (mut words, mut pairs, mut with_pair) = (Vec::new(), Vec::new(), BTreeMap::new());
        for section in knowledge.sections() {
            let all = format!("{}\n{}", around(knowledge.document_of(section), section), knowledge.words_of(section));
            let normal = Normal::of(&all);
            words.push(terms::words(&normal).into_iter().map(|word| word.text).collect());
            let bag = bag(&normal);
            for pair in bag.keys() {
                *with_pair.entry(pair.clone()).or_insert(0) += 1;
            }
            let length = bag.values().sum();
            pairs.push((bag, length));
        }
        Self { words, pairs, with_pair }
    }

    fn overlap(&self, text: &str) -> Vec<usize> {
        let asked: BTreeSet<String> = terms::words(&Normal::of(text)).into_iter().map(|word| word.text).collect();
        ranked(self.words.iter().map(|words| asked.intersection(words).count() as f64))
    }

    fn bigrams(&self, text: &str) -> Vec<usize> {
        const K1: f64 = 1.2;
        const B: f64 = 0.75;
        let asked = bag(&Normal::of(text));
        let count = self.pairs.len() as f64;
        let mean = self.pairs.iter().map(|(_, length)| f64::from(*length)).sum::<f64>() / count.max(1.0);
        ranked(self.pairs.iter().map(|(bag, length)| {
            let of_pair = |pair: &String| {
                let (here, with) = (f64::from(*bag.get(pair)?), f64::from(*self.with_pair.get(pair)?));
                let rarity = (1.0 + (count - with + 0.5) / (with + 0.5)).ln();
                Some(rarity * here * (K1 + 1.0) / (here + K1 * (1.0 - B + B * f64::from(*length) / mean)))
            };
            asked.keys().filter_map(of_pair).sum()
        }))
    }
}

/// Pairs of Chinese characters and words of other scripts, each with how often it stands there.
fn bag(normal: &Normal) -> BTreeMap<String, u32> {
    let mut bag = BTreeMap::new();
    let others = terms::words(normal).into_iter().filter(|word| !word.text.chars().any(text::is_han));
    for word in terms::pairs(normal).into_iter().chain(others) {
        *bag.entry(word.text).or_insert(0) += 1;
    }
    bag
}

/// The ten best, ties by number; what scores nothing is not found.
fn ranked(scores: impl Iterator<Item = f64>) -> Vec<usize> {
    let mut scored: Vec<(f64, usize)> = scores.enumerate().filter(|(_, score)| *score > 0.0).map(|(number, score)| (score, number)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.into_iter().take(10).map(|(_, number)| number).collect()
}
