//! A search: words in, sections out, with what in them speaks for them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use text::Normal;

use crate::asking;
use crate::document::Kind;
use crate::index::{Part, Wanted};
use crate::limits::{ALIAS_ADDED_MAX, ALIAS_GROUPS_MAX, ALIAS_WORDS_MAX, HITS_MAX, QUERY_CHARS_MAX, QUERY_WORDS_MAX, SAME_ADDED_MAX};
use crate::terms;
use crate::{Knowledge, Section};

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The question or message, as it came. It is words and nothing else: no sign in it is syntax.
    pub text: &'a str,
    /// The city's day. What is not valid then, or was not reviewed by then, is not found.
    pub today: NaiveDate,
    /// Kinds of documents; none: all.
    pub kinds: &'a [Kind],
    /// The place and all that it lies in (`d03-s5`, `d03`): documents of other places are not found. Empty: any place.
    pub areas: &'a [String],
    /// Groups of words that mean one matter, such as the words of a category of the graph. When the text has a word of a
    /// group, the others are looked for as well, with less weight.
    pub aliases: &'a [Vec<String>],
    /// Hits at most.
    pub limit: usize,
}

impl<'a> Query<'a> {
    /// A search for a text on a day among all documents, ten hits, without aliases.
    pub fn of(text: &'a str, today: NaiveDate) -> Self {
        Self { text, today, kinds: &[], areas: &[], aliases: &[], limit: 10 }
    }
}

/// A section that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// Its id, which is how it is cited: `document#section`.
    pub section: String,
    /// BM25 over all parts, in thousandths; comparable within one search only.
    pub score_permille: u32,
    /// How much of what the query says stands in the section, its headings and titles, rare words counting more:
    /// thousandths. Comparable between searches.
    pub covered_permille: u32,
    /// The sentence of the section that fits best, in characters of the document's text.
    pub span: (usize, usize),
    /// Where words of the query stand in that sentence, in characters of the document's text.
    pub marks: Vec<(usize, usize)>,
}

/// Weights of a word by where it stands, chosen on the questions that are not held back.
const TITLE: f32 = 1.8;
const HEADING: f32 = 1.2;
const PHRASE: f32 = 2.0;
const BODY: f32 = 1.0;
const PAIRS: f32 = 0.5;
/// Weight of a heading that the question asks for.
const ASKED: f32 = 1.5;
/// Weight of another word for what the query says, in titles, phrases and words.
const SAME: f32 = 0.35;
/// Weight of a word that an alias of the caller added.
const ALIAS: f32 = 0.2;

/// A word of a query, how rare it is, and whether the query itself has it.
struct Sought {
    word: String,
    rarity: f32,
}

impl Knowledge {
    /// The sections that fit best, the best first, ties in the order of ids. The same documents (see [`Knowledge::digest`]),
    /// query and day give the same hits.
    pub fn search(&self, query: &Query) -> Vec<Hit> {
        let mut normal = Normal::default();
        normal.read(query.text, QUERY_CHARS_MAX);
        let sought = self.sought(&normal);
        let pairs: BTreeSet<String> = terms::pairs(&normal).into_iter().map(|pair| pair.text).take(4 * QUERY_WORDS_MAX).collect();
        let asked = asking::asked(&normal);
        let same = added(&normal, asking::same(), &sought, SAME_ADDED_MAX);
        let added = added(&normal, query.aliases, &sought, ALIAS_ADDED_MAX);
        let mut wanted = Vec::new();
        for sought in &sought {
            for (part, weight) in [(Part::Title, TITLE), (Part::Heading, HEADING), (Part::Asked, PHRASE), (Part::Body, BODY)] {
                wanted.push(Wanted { word: &sought.word, part, weight });
            }
        }
        wanted.extend(pairs.iter().map(|word| Wanted { word, part: Part::Pairs, weight: PAIRS }));
        wanted.extend(asked.iter().map(|word| Wanted { word, part: Part::Heading, weight: ASKED }));
        for (words, weight) in [(&same, SAME), (&added, ALIAS)] {
            for word in words {
                wanted.extend([Part::Title, Part::Asked, Part::Body].map(|part| Wanted { word, part, weight }));
            }
        }
        let allowed = self.documents().iter().map(|document| {
            let kind = query.kinds.is_empty() || query.kinds.contains(&document.kind);
            let area = document.areas.is_empty() || query.areas.is_empty() || document.areas.iter().any(|area| query.areas.contains(area));
            kind && area && document.is_citable(query.today)
        });
        let best = self.index.best(&wanted, allowed.collect(), query.limit.min(HITS_MAX));
        best.into_iter().map(|(score_permille, number)| self.hit(number, score_permille, &sought)).collect()
    }

    /// The words of a query, the rarest first, each once.
    fn sought(&self, normal: &Normal) -> Vec<Sought> {
        let words: BTreeSet<String> = terms::words(normal).into_iter().map(|word| word.text).collect();
        let mut sought: Vec<Sought> = words.into_iter().map(|word| Sought { rarity: self.rarity(&word), word }).collect();
        sought.sort_by(|a, b| b.rarity.total_cmp(&a.rarity).then_with(|| a.word.cmp(&b.word)));
        sought.truncate(QUERY_WORDS_MAX);
        sought
    }

    /// How much a word tells: the logarithm of how few sections have it.
    fn rarity(&self, word: &str) -> f32 {
        let (body, all) = self.index.frequency(Part::Body, word);
        let (title, _) = self.index.frequency(Part::Title, word);
        let with = body.max(title) as f32;
        (1.0 + (all as f32 - with + 0.5) / (with + 0.5)).ln()
    }

    fn hit(&self, number: usize, score_permille: u32, sought: &[Sought]) -> Hit {
        let section = &self.sections()[number];
        let document = self.document_of(section);
        let around = Normal::of(&crate::index::around(document, section));
        let mut there: BTreeSet<String> = terms::words(&around).into_iter().map(|word| word.text).collect();
        let rarity: BTreeMap<&str, f32> = sought.iter().map(|sought| (sought.word.as_str(), sought.rarity)).collect();
        let (span, marks) = self.best_sentence(section, &rarity, &mut there);
        let all: f32 = rarity.values().sum();
        let had: f32 = rarity.iter().filter(|(word, _)| there.contains(**word)).map(|(_, rarity)| rarity).sum();
        let covered_permille = if all > 0.0 { (1000.0 * had / all).round() as u32 } else { 0 };
        Hit { section: section.id.clone(), score_permille, covered_permille, span, marks }
    }

    /// The sentence with the rarest words of the query, and where they stand; adds the section's words to `there`.
    fn best_sentence(&self, section: &Section, rarity: &BTreeMap<&str, f32>, there: &mut BTreeSet<String>) -> ((usize, usize), Vec<(usize, usize)>) {
        let chars: Vec<char> = self.words_of(section).chars().collect();
        let normal = Normal::of(self.words_of(section));
        let words = terms::words(&normal);
        let mut best: Option<(f32, (usize, usize))> = None;
        let mut marks: Vec<(usize, usize)> = Vec::new();
        for word in &words {
            if rarity.contains_key(word.text.as_str()) {
                marks.push(normal.original(word.start, word.end));
            }
        }
        there.extend(words.iter().map(|word| word.text.clone()));
        // A heading says what the section is about, and not the answer.
        let is_heading = |piece: &(usize, usize)| chars[piece.0..piece.1].iter().find(|c| !c.is_whitespace()) == Some(&'#');
        for sentence in crate::citation::pieces(&chars).into_iter().filter(|piece| !is_heading(piece)) {
            let mut said: BTreeSet<&str> = BTreeSet::new();
            for word in &words {
                let (start, end) = normal.original(word.start, word.end);
                if start >= sentence.0 && end <= sentence.1 {
                    said.extend(rarity.get_key_value(word.text.as_str()).map(|(word, _)| *word));
                }
            }
            let weight: f32 = said.iter().map(|word| rarity[word]).sum();
            if best.is_none_or(|(other, _)| weight > other) {
                best = Some((weight, sentence));
            }
        }
        let (_, span) = best.unwrap_or((0.0, (0, chars.len())));
        marks.retain(|(start, end)| *start >= span.0 && *end <= span.1);
        marks.sort_unstable();
        marks.dedup();
        let from = section.chars.0;
        ((span.0 + from, span.1 + from), marks.into_iter().map(|(start, end)| (start + from, end + from)).collect())
    }
}

/// The words that groups add, each once, those of the query left out.
fn added(normal: &Normal, aliases: &[Vec<String>], sought: &[Sought], most: usize) -> Vec<String> {
    let mut added: Vec<String> = Vec::new();
    for group in aliases.iter().take(ALIAS_GROUPS_MAX) {
        let group = &group[..group.len().min(ALIAS_WORDS_MAX)];
        if !group.iter().any(|word| asking::stands(normal, &text::normalise(word)) && !word.is_empty()) {
            continue;
        }
        for word in group.iter().flat_map(|word| terms::words(&Normal::of(word))) {
            if added.len() < most && !added.contains(&word.text) && !sought.iter().any(|sought| sought.word == word.text) {
                added.push(word.text);
            }
        }
    }
    added
}
