//! The content filter: a list of words and patterns that people read, over what comes in and what goes out.
//!
//! What is found on the way in goes to people or is masked; nothing is ever dropped. What is found on the way out is refused:
//! a listed term, markup, an address of the net, a cell that a spreadsheet would run, characters that nobody sees, personal
//! data, a piece of the prompt. Words are found by one automaton, patterns by `regex`, which takes linear time whatever the text
//! is. A text is searched as it stands and as it is seen ([`text::seen`]).

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use regex::{Regex, RegexSet};
use schemas::pii::{self, PiiSpan};
use serde::{Deserialize, Serialize};
use text::seen::{Seen, is_unseen};

use crate::limits::{IN_CHARS_MAX, OUT_CHARS_MAX, PROMPT_CHARS, PROMPT_LINE_CHARS_MIN};

/// A text is stuffed when its pieces of so many characters come so many times on average, and it has so many characters.
const STUFFED_PIECE: usize = 4;
/// See [`STUFFED_PIECE`].
const STUFFED_TIMES: usize = 5;
/// See [`STUFFED_PIECE`].
const STUFFED_CHARS_MIN: usize = 100;

/// The list that ships with the program.
pub const TERMS: &str = include_str!("../terms.yaml");

/// What masked stretches become.
pub const MASK: char = '▇';

/// Where a term counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// What citizens write.
    In,
    /// What a model wrote.
    Out,
    /// Both.
    Both,
}

/// What follows when a term is found on the way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// No model is asked, and people see it first.
    People,
    /// The stretch is masked and the rest goes on.
    Mask,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Word,
    Regex,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Term {
    id: String,
    group: String,
    #[allow(dead_code, reason = "for those who read the list")]
    lang: String,
    kind: Kind,
    pattern: String,
    direction: Direction,
    action: Action,
    reason: String,
    /// An example that it finds, and one that it leaves: the evaluation's list has them.
    #[serde(default)]
    #[allow(dead_code, reason = "for tests of the list")]
    finds: Option<String>,
    #[serde(default)]
    #[allow(dead_code, reason = "for tests of the list")]
    leaves: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    terms: Vec<Term>,
}

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It is no such file.
    #[error("the list of terms cannot be read: {0}")]
    Unreadable(String),
    /// Something is wrong with an entry.
    #[error("term `{id}` of the list: {problem}")]
    Term {
        /// The entry.
        id: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

/// Something that the filter found on the way in; offsets count characters of the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The id of the term.
    pub term: String,
    /// Its first character.
    pub start: usize,
    /// Behind its last character.
    pub end: usize,
    /// What follows.
    pub action: Action,
}

/// What becomes of a text on the way in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbound {
    /// The text for models, traces and topics: personal data and secrets are masked. The original is filed all the same.
    pub text: String,
    /// Whether people see it before any model does.
    pub to_people: bool,
    /// What was found, from left to right.
    pub found: Vec<Found>,
    /// Personal data that were masked.
    pub pii: Vec<PiiSpan>,
    /// The version of the list.
    pub version: u32,
}

/// What is about to go out.
#[derive(Debug, Clone, Copy)]
pub struct Outbound<'a> {
    /// What a model wrote.
    pub text: &'a str,
    /// What it wrote it from: the message and, for a choice, the options. A piece of it is no piece of the prompt.
    pub given: &'a str,
    /// Our own words in the prompt.
    pub prompt: &'a [&'a str],
    /// Whether line breaks belong into it: a draft has paragraphs, a title has none.
    pub lines: bool,
}

/// Why something does not go out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// A term of the list.
    #[error("it has the listed term {0}")]
    Term(String),
    /// Markup that a browser or a renderer would take.
    #[error("it has markup")]
    Markup,
    /// An address of the net: nobody has checked where it leads.
    #[error("it has an address of the net")]
    Address,
    /// A cell that a spreadsheet would run.
    #[error("it begins like a formula")]
    Formula,
    /// Control characters, and such as are not seen.
    #[error("it has characters that are not seen")]
    Hidden,
    /// Personal data.
    #[error("it has personal data")]
    Personal,
    /// A piece of our own words in the prompt, also read backwards.
    #[error("it has a piece of the prompt")]
    Prompt,
    /// The same words again and again, so that every search finds it.
    #[error("it repeats the same words again and again")]
    Stuffed,
    /// More than anybody reads.
    #[error("it has more than {OUT_CHARS_MAX} characters")]
    Long,
}

/// A list, ready to search with.
#[derive(Debug)]
pub struct Filter {
    version: u32,
    terms: Vec<Term>,
    words: AhoCorasick,
    /// For each word of the automaton its term.
    word_terms: Vec<usize>,
    /// All patterns at once: most texts have none of them.
    any: RegexSet,
    patterns: Vec<(usize, Regex)>,
    markup: Regex,
    address: Regex,
}

impl Filter {
    /// The list that ships with the program.
    pub fn builtin() -> Self {
        Self::read(TERMS).expect("the shipped list is checked by the tests")
    }

    /// Reads a list in the format of `agents/guard/terms.yaml`.
    ///
    /// # Errors
    /// A file that is none, an id that is there twice, a pattern that does not compile, is too large or fits nothing.
    pub fn read(yaml: &str) -> Result<Self, ListError> {
        let File { version, terms } = serde_saphyr::from_str(yaml).map_err(|error| ListError::Unreadable(error.to_string()))?;
        let wrong = |term: &Term, problem: String| ListError::Term { id: term.id.clone(), problem };
        let mut ids = BTreeSet::new();
        let (mut words, mut word_terms, mut patterns) = (Vec::new(), Vec::new(), Vec::new());
        for (at, term) in terms.iter().enumerate() {
            if term.id.is_empty() || !ids.insert(term.id.as_str()) {
                return Err(wrong(term, "an id is needed, and each only once".to_owned()));
            }
            if !matches!(term.group.as_str(), "violence" | "code" | "secrets") || term.reason.is_empty() {
                return Err(wrong(term, "its group is violence, code or secrets, and it says its reason".to_owned()));
            }
            match term.kind {
                Kind::Word if term.pattern.trim().is_empty() => return Err(wrong(term, "an empty word is found everywhere".to_owned())),
                Kind::Word => {
                    words.push(Seen::of(&term.pattern, IN_CHARS_MAX).text);
                    word_terms.push(at);
                }
                Kind::Regex => {
                    let pattern = Regex::new(&latin_borders(&term.pattern)).map_err(|error| wrong(term, error.to_string()))?;
                    if pattern.is_match("") {
                        return Err(wrong(term, "it fits every text".to_owned()));
                    }
                    patterns.push((at, pattern));
                }
            }
        }
        let unreadable = |error: &dyn std::fmt::Display| ListError::Unreadable(error.to_string());
        let words = AhoCorasick::builder().ascii_case_insensitive(true).build(words).map_err(|error| unreadable(&error))?;
        let any = RegexSet::new(patterns.iter().map(|(_, pattern)| pattern.as_str())).map_err(|error| unreadable(&error))?;
        let markup = Regex::new(r"(?s)<\s*[A-Za-z!/?][^<>]{0,400}>|<!--|!?\[[^\[\]\n]{0,200}\]\([^()\s]{1,400}\)|```").expect("it compiles");
        let address = Regex::new(&latin_borders(r"(?i)\b(https?|ftp|file|data|mailto)\s*:\s*/?/?[^\s]|\bwww\.[a-z0-9]|(?:^|[\s(（：:，,])//[a-z0-9]")).expect("it compiles");
        Ok(Self { version, terms, words, word_terms, any, patterns, markup, address })
    }

    /// The version of the list.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// How many terms it has.
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    /// Whether it stops nothing.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The way in. Nothing is lost: what goes to people is filed as everything else.
    ///
    /// ```
    /// let inbound = guard::Filter::builtin().inward("路灯不亮，密码是abc12345，电话13812345678");
    /// assert_eq!(inbound.text, "路灯不亮，▇▇▇▇▇▇▇▇▇▇▇，电话138****5678");
    /// assert!(!inbound.to_people);
    /// ```
    pub fn inward(&self, text: &str) -> Inbound {
        let found = self.search(text, Direction::In);
        let mut chars: Vec<char> = text.chars().collect();
        for hit in found.iter().filter(|hit| hit.action == Action::Mask) {
            chars[hit.start..hit.end].fill(MASK);
        }
        let masked: String = chars.into_iter().collect();
        let (masked, pii) = pii::mask(&masked);
        let to_people = found.iter().any(|hit| hit.action == Action::People);
        Inbound { text: masked.into_owned(), to_people, found, pii, version: self.version }
    }

    /// Terms for which people see a text before any model does, each once, in the order in which they are found.
    pub fn stops(&self, text: &str) -> Vec<String> {
        let mut terms: Vec<String> = Vec::new();
        for hit in self.search(text, Direction::In).into_iter().filter(|hit| hit.action == Action::People) {
            if !terms.contains(&hit.term) {
                terms.push(hit.term);
            }
        }
        terms
    }

    /// The way out: everything that is wrong with it; nothing when it may go on.
    pub fn outward(&self, out: &Outbound<'_>) -> Vec<Refusal> {
        if out.text.chars().nth(OUT_CHARS_MAX).is_some() {
            return vec![Refusal::Long];
        }
        let mut refusals: Vec<Refusal> = Vec::new();
        for hit in self.search(out.text, Direction::Out) {
            let refusal = Refusal::Term(hit.term);
            if !refusals.contains(&refusal) {
                refusals.push(refusal);
            }
        }
        let seen = Seen::of(out.text, OUT_CHARS_MAX);
        let mut add = |yes: bool, refusal: Refusal| refusals.extend(yes.then_some(refusal));
        add(self.markup.is_match(&seen.text), Refusal::Markup);
        add(self.address.is_match(&seen.text), Refusal::Address);
        add(seen.text.trim_start().starts_with(['=', '+', '@', '-', '\t']) && !out.lines, Refusal::Formula);
        add(out.text.chars().any(|c| is_unseen(c) || (matches!(c, '\n' | '\r') && !out.lines)), Refusal::Hidden);
        add(!pii::mask(out.text).1.is_empty(), Refusal::Personal);
        add(repeats(out.text, out.prompt, out.given), Refusal::Prompt);
        refusals
    }

    /// A document before it is indexed: what would hide in it from its reviewer, or bring it up in every search. People review
    /// documents; this tells them what they cannot see. Orders and markup in it stay text, and are stopped on the way out.
    pub fn document(&self, text: &str) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        let mut add = |yes: bool, refusal: Refusal| refusals.extend(yes.then_some(refusal));
        add(text.chars().any(is_unseen), Refusal::Hidden);
        let bare: Vec<char> = text.chars().filter(|c| c.is_alphanumeric()).collect();
        let pieces: BTreeSet<&[char]> = bare.windows(STUFFED_PIECE).collect();
        add(bare.len() >= STUFFED_CHARS_MIN && pieces.len() * STUFFED_TIMES < bare.len(), Refusal::Stuffed);
        refusals
    }

    /// What of the list is in a text, from left to right, of those that overlap each.
    fn search(&self, text: &str, way: Direction) -> Vec<Found> {
        let counts = |term: &Term| term.direction == Direction::Both || term.direction == way;
        let mut found: Vec<Found> = Vec::new();
        let seen = Seen::of(text, IN_CHARS_MAX);
        let mut push = |term: &Term, place: (usize, usize)| {
            let hit = Found { term: term.id.clone(), start: place.0, end: place.1, action: term.action };
            if !found.contains(&hit) {
                found.push(hit);
            }
        };
        for hit in self.words.find_overlapping_iter(&seen.text) {
            let term = &self.terms[self.word_terms[hit.pattern().as_usize()]];
            if counts(term) {
                push(term, seen.original(hit.start(), hit.end()));
            }
        }
        for at in self.any.matches(&seen.text) {
            let (term, pattern) = &self.patterns[at];
            for hit in pattern.find_iter(&seen.text).filter(|_| counts(&self.terms[*term])) {
                push(&self.terms[*term], seen.original(hit.start(), hit.end()));
            }
        }
        if seen.text != text {
            let raw: &str = text.char_indices().nth(IN_CHARS_MAX).map_or(text, |(end, _)| &text[..end]);
            for at in self.any.matches(raw) {
                let (term, pattern) = &self.patterns[at];
                for hit in pattern.find_iter(raw).filter(|_| counts(&self.terms[*term])) {
                    let start = raw[..hit.start()].chars().count();
                    push(&self.terms[*term], (start, start + hit.as_str().chars().count()));
                }
            }
        }
        found.sort_by(|a, b| (a.start, a.end, &a.term).cmp(&(b.start, b.end, &b.term)));
        found
    }
}

/// A pattern whose borders of words (`\b`) are those of Latin words: Chinese writes none, and the fast automaton of `regex` gives up
/// on texts of other letters where it has to look for the borders of theirs.
fn latin_borders(pattern: &str) -> String {
    let mut latin = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match (c, (c == '\\').then(|| chars.next()).flatten()) {
            (_, Some('b')) => latin.push_str(r"(?-u:\b)"),
            (_, Some(escaped)) => latin.extend([c, escaped]),
            (_, None) => latin.push(c),
        }
    }
    latin
}

/// Whether a text has a piece of a prompt that is not in what was given, forwards or backwards.
pub fn repeats(said: &str, prompts: &[&str], given: &str) -> bool {
    let lines: Vec<Vec<char>> = prompts.iter().flat_map(|prompt| prompt.lines()).map(bare).filter(|line| line.len() >= PROMPT_LINE_CHARS_MIN).collect();
    let forwards = bare(said);
    let backwards: Vec<char> = forwards.iter().rev().copied().collect();
    let given = bare(given);
    let length = |line: &Vec<char>| PROMPT_CHARS.min(line.len());
    let lengths: BTreeSet<usize> = lines.iter().map(length).collect();
    lengths.into_iter().any(|each| {
        let mut pieces: BTreeSet<&[char]> = lines.iter().filter(|line| length(line) == each).flat_map(|line| line.windows(each)).collect();
        for window in given.windows(each) {
            pieces.remove(window);
        }
        [&forwards, &backwards].iter().any(|said| said.windows(each).any(|window| pieces.contains(window)))
    })
}

/// Letters and digits alone, small and in one spelling.
fn bare(text: &str) -> Vec<char> {
    text::normalise(text).chars().filter(|c| c.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The evaluation's list: the same terms with examples.
    const EXAMPLES: &str = include_str!("../../evaluation/redteam/blocked_terms.yaml");

    fn filter() -> &'static Filter {
        static FILTER: std::sync::LazyLock<Filter> = std::sync::LazyLock::new(Filter::builtin);
        &FILTER
    }

    fn out(text: &str) -> Vec<Refusal> {
        filter().outward(&Outbound { text, given: "", prompt: &[], lines: false })
    }

    #[test]
    fn every_term_finds_its_example_and_leaves_the_other() {
        let examples: File = serde_saphyr::from_str(EXAMPLES).unwrap();
        assert_eq!(examples.version, filter().version());
        assert_eq!(examples.terms.len(), filter().len());
        for (term, ours) in examples.terms.iter().zip(&filter().terms) {
            assert_eq!((&term.id, &term.pattern, term.direction, term.action), (&ours.id, &ours.pattern, ours.direction, ours.action), "one list, two places");
            let way = if term.direction == Direction::Out { Direction::Out } else { Direction::In };
            let has = |text: &str| filter().search(text, way).iter().any(|hit| hit.term == term.id);
            let (finds, leaves) = (term.finds.as_deref().unwrap(), term.leaves.as_deref().unwrap());
            assert!(has(finds), "{} does not find {finds}", term.id);
            assert!(!has(leaves), "{} finds {leaves}", term.id);
            if term.direction == Direction::Out {
                assert!(!filter().search(finds, Direction::In).iter().any(|hit| hit.term == term.id), "{}: on the way out alone", term.id);
            }
            let torn: String = finds.chars().flat_map(|c| [c, '\u{200b}']).collect();
            assert!(has(&torn), "{}: not torn apart by what is not seen", term.id);
        }
    }

    #[test]
    fn words_have_latin_borders() {
        assert_eq!(latin_borders(r"\b(a|\\b)\s*"), r"(?-u:\b)(a|\\b)\s*");
        assert!(filter().inward("请看rm -rf /，谢谢").to_people);
    }

    #[test]
    fn lists_that_are_wrong_are_refused() {
        let list = |term: &str| Filter::read(&format!("version: 1\nterms:\n  - {{ {term}, lang: any, direction: both, action: people, reason: r }}\n"));
        let of = |id: &str, kind: &str, pattern: &str| list(&format!("id: {id}, group: code, kind: {kind}, pattern: '{pattern}'"));
        assert!(of("a", "word", "Abc").is_ok_and(|filter| filter.inward("ａｂｃ").to_people && !filter.inward("ab").to_people));
        for (id, kind, pattern) in [("a", "regex", "("), ("a", "regex", "x*"), ("a", "word", " "), ("\"\"", "word", "x"), ("a", "other", "x")] {
            assert!(of(id, kind, pattern).is_err(), "{id} {kind} {pattern}");
        }
        assert!(list("id: a, group: other, kind: word, pattern: x").is_err());
        assert!(Filter::read("terms: []").is_err());
    }

    #[test]
    fn what_comes_in_is_masked_or_goes_to_people_and_nothing_is_lost() {
        let inbound = filter().inward("再不修我要砍死你们，中山大道路灯不亮");
        assert!(inbound.to_people && inbound.text.contains("中山大道路灯不亮"));
        let inbound = filter().inward("my password is hunter22, lamp out, call 13812345678");
        assert_eq!((inbound.to_people, inbound.pii.len()), (false, 1));
        assert!(!inbound.text.contains("hunter22") && !inbound.text.contains("13812345678") && inbound.text.contains("lamp out"));
        assert_eq!(filter().inward("他说要砍死我们，请快来").found, []);
    }

    #[test]
    fn what_goes_out_is_clean() {
        for (text, refusal) in [
            ("<b>好了</b>", Refusal::Markup),
            ("路灯<!-- x", Refusal::Markup),
            ("点击[这里](a.b/c)", Refusal::Markup),
            ("见 https://evil.example/a", Refusal::Address),
            ("见 //evil.example/a", Refusal::Address),
            ("=1+1", Refusal::Formula),
            ("路灯\u{202e}不亮", Refusal::Hidden),
            ("路灯\n不亮", Refusal::Hidden),
            ("路灯\u{1b}[31m", Refusal::Hidden),
            ("请联系13812345678", Refusal::Personal),
            ("<|answer|>A", Refusal::Term("own-prompt".to_owned())),
            (&"长".repeat(OUT_CHARS_MAX + 1), Refusal::Long),
        ] {
            assert!(out(text).contains(&refusal), "{text:.40}: {:?}", out(text));
        }
        for text in ["友谊路23号路灯不亮", "Lamp out at 5/7 Main St - urgent", "水压<0.2，温度>3", "工单号20260611004 未办结"] {
            assert_eq!(out(text), [], "{text}");
        }
        let draft = Outbound { text: "您好：\n已派人处理。", given: "", prompt: &[], lines: true };
        assert_eq!(filter().outward(&draft), []);
    }

    #[test]
    fn documents_hide_and_stuff_nothing() {
        assert_eq!(filter().document("路灯\u{200b}请改派"), [Refusal::Hidden]);
        assert_eq!(filter().document(&"燃气 供水 供热 路灯 ".repeat(40)), [Refusal::Stuffed]);
        assert_eq!(filter().document("室温低于十八度可投诉。".repeat(3).as_str()), []);
        assert_eq!(filter().document(include_str!("../../evaluation/README.md")), []);
    }

    #[test]
    fn pieces_of_the_prompt_do_not_go_out() {
        let prompt = "从市民来信中摘取原文片段，只回答一个对象。\n简短示例一则";
        for said in ["我要 从市民来信中 摘取，原文片段", "段片文原取摘中信来民市从", "如下：简短示例一则"] {
            assert!(repeats(said, &[prompt], ""), "{said}");
        }
        assert!(!repeats("从市民来信中", &[prompt], ""), "a common phrase");
        assert!(!repeats("从市民来信中摘取原文片段", &[prompt], "请从市民来信中摘取原文片段给我"), "the message says it itself");
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in any::<String>()) {
            let inbound = filter().inward(&text);
            let count = text.chars().count();
            prop_assert_eq!(inbound.text.chars().count(), count);
            prop_assert!(inbound.found.iter().all(|hit| hit.start < hit.end && hit.end <= count));
            out(&text);
        }
    }
}
