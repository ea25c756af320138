//! Words of all tables, found in one pass over a text, and what stands before them: a "no", an "if".

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use crate::normal::{Normal, is_han, normalise};

/// A word of a table where it stands; offsets count normal characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hit<T> {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) tag: T,
}

/// Words, each with what it means.
#[derive(Debug)]
pub(crate) struct Lexicon<T> {
    automaton: AhoCorasick,
    words: Vec<(T, Bounds)>,
}

/// Where a Latin word must begin and end with the word: `tree` is not in `street`.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    begins: bool,
    ends: bool,
}

/// Collects words before they are built into one automaton.
#[derive(Debug, Default)]
pub(crate) struct Words<T> {
    words: Vec<(String, T, bool)>,
}

impl<T: Copy + Ord> Words<T> {
    pub(crate) fn new() -> Self {
        Self { words: Vec::new() }
    }

    /// Whole words.
    pub(crate) fn whole(&mut self, words: &str, tag: T) {
        self.words.extend(words.split('|').map(|word| (normalise(word), tag, true)));
    }

    /// One whole word, whatever signs it has.
    pub(crate) fn one(&mut self, word: &str, tag: T) {
        self.words.push((normalise(word), tag, true));
    }

    /// Beginnings of words: `flood` is in `flooding`.
    pub(crate) fn beginning(&mut self, word: &str, tag: T) {
        self.words.push((normalise(word), tag, false));
    }

    pub(crate) fn build(mut self) -> Lexicon<T> {
        self.words.retain(|(word, _, _)| !word.is_empty());
        let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(self.words.iter().map(|(word, _, _)| word)).expect("a table of words is small");
        let words = self.words.iter().map(|(word, tag, whole)| {
            let latin = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() && !is_han(c));
            (*tag, Bounds { begins: latin(word.chars().next()), ends: *whole && latin(word.chars().next_back()) })
        });
        Lexicon { words: words.collect(), automaton }
    }
}

impl<T: Copy + Ord> Lexicon<T> {
    /// All words of a text, by where they begin, longer ones first.
    pub(crate) fn find(&self, normal: &Normal, hits: &mut Vec<Hit<T>>) {
        hits.clear();
        let text = normal.text.as_bytes();
        let latin = |at: usize| text.get(at).is_some_and(u8::is_ascii_alphanumeric);
        for found in self.automaton.find_overlapping_iter(&normal.text) {
            let (tag, bounds) = self.words[found.pattern().as_usize()];
            let inside = (bounds.begins && found.start() > 0 && latin(found.start() - 1)) || (bounds.ends && latin(found.end()));
            if !inside {
                hits.push(Hit { start: normal.char_at(found.start()), end: normal.char_at(found.end()), tag });
            }
        }
        hits.sort_unstable_by(|a, b| a.start.cmp(&b.start).then(b.end.cmp(&a.end)).then(a.tag.cmp(&b.tag)));
    }
}

/// How a word is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It is so.
    Real,
    /// It is not so: 没有人受伤, no one is hurt.
    Denied,
    /// It is feared, or might come to be so: 担心会塌, could collapse.
    Feared,
    /// It is only named: 如果着火, 火灾隐患, a fire drill.
    Supposed,
}

const ZH_NO: [&str; 21] = [
    "没有", "没", "并无", "无", "未", "并未", "尚未", "从未", "不是", "并非", "不会", "不再", "不存在", "别", "勿", "不要", "不用", "暂无", "并没", "不", "从不",
];
/// What may stand between a "no" and its word.
const ZH_FILL: [&str; 30] = [
    "任何人", "任何", "人员", "人", "有人", "出现", "发生", "造成", "导致", "引发", "引起", "什么", "再", "明显", "大", "有", "感到", "觉得", "发现", "产生", "想", "打算", "要", "需要", "必要", "是", "来", "被", "再次", "能",
];
/// A "no" that forbids or wishes away denies nothing: 千万别爆炸.
const ZH_WISH: [&str; 4] = ["别", "勿", "不要", "不会"];
const ZH_FEAR: [&str; 20] = [
    "担心", "害怕", "生怕", "怕", "恐怕", "可能", "会不会", "万一", "迟早", "将会", "随时会", "随时", "早晚", "会引发", "会造成", "会导致", "怀疑", "眼看", "估计", "好像",
];
const ZH_IF: [&str; 22] = [
    "如果", "要是", "假如", "容易", "极易", "以免", "避免", "防止", "预防", "一旦", "若", "倘若", "难免", "潜在", "足以", "防范", "应对", "演练", "演习", "关于", "谨防", "杜绝",
];
const ZH_ASKS: [&str; 7] = ["是不是", "会不会", "有没有", "要不要", "能不能", "无不", "不得不"];
/// What stands behind a word that names a danger only.
const ZH_DANGER: [&str; 8] = ["隐患", "的风险", "风险", "的危险", "的可能", "演练", "演习", "的隐患"];

const EN_NO: [&str; 13] = ["no", "not", "nobody", "never", "none", "without", "isn't", "wasn't", "aren't", "weren't", "hasn't", "haven't", "neither"];
const EN_FILL: [&str; 33] = [
    "one", "is", "was", "are", "were", "been", "be", "being", "any", "people", "seems", "seem", "got", "get", "gets", "the", "a", "an", "sign", "signs", "of", "reports", "has", "have", "anybody", "anyone", "to", "yet", "really",
    "actually", "person", "injury", "trace",
];
const EN_FEAR: [&str; 15] = ["might", "could", "may", "afraid", "worried", "worry", "fear", "scared", "eventually", "likely", "will", "can", "going", "gonna", "suspect"];
const EN_IF: [&str; 13] = ["if", "prevent", "avoid", "risk", "before", "case", "would", "potential", "possible", "until", "hazard", "drill", "about"];

/// How a word is meant, by what stands before and behind it in its clause.
pub(crate) fn mood(normal: &Normal, start: usize, end: usize) -> Mood {
    let chars = &normal.chars;
    let is_end = |c: &char| matches!(c, '.' | ',' | '!' | '?' | ';' | ':' | '\n');
    let clause = chars[..start].iter().rev().take(24).position(is_end).map_or(start.saturating_sub(24), |back| start - back);
    let before = normal.slice(clause, start).trim_end();
    if chars.get(start).is_some_and(|c| is_han(*c)) { chinese(before, normal.slice(end, (end + 4).min(chars.len()))) } else { english(before, normal.slice(end, (end + 8).min(chars.len()))) }
}

fn chinese(before: &str, behind: &str) -> Mood {
    let asks = ["吧", "了吧", "吗", "了吗", "?"].iter().any(|ask| behind.starts_with(ask));
    let mut rest = before;
    loop {
        // A question denies nothing, and who cannot help saying it says it.
        if ZH_ASKS.iter().any(|asks| rest.ends_with(asks)) {
            break;
        }
        if ZH_NO.iter().any(|no| rest.ends_with(no)) {
            let wish = ZH_WISH.iter().any(|wish| rest.ends_with(wish)) && (asks || !rest.ends_with("不会"));
            return if asks || wish { Mood::Feared } else { Mood::Denied };
        }
        match ZH_FILL.iter().filter_map(|fill| rest.strip_suffix(fill)).min_by_key(|rest| rest.len()) {
            Some(shorter) => rest = shorter,
            None => break,
        }
    }
    if ZH_IF.iter().any(|word| before.contains(word)) || ZH_DANGER.iter().any(|word| behind.starts_with(word)) {
        return Mood::Supposed;
    }
    if ZH_FEAR.iter().any(|word| before.contains(word)) { Mood::Feared } else { Mood::Real }
}

fn english(before: &str, behind: &str) -> Mood {
    let mut near = true;
    let mut feared = false;
    let mut last = "";
    for word in before.rsplit(' ').take(6) {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '\'');
        if near && (EN_NO.contains(&word) || word.ends_with("n't")) {
            return Mood::Denied;
        }
        // About to explode is nearly so.
        feared |= EN_FEAR.contains(&word) || word == "about" && last == "to";
        if EN_IF.contains(&word) && !feared {
            return Mood::Supposed;
        }
        near &= EN_FILL.contains(&word) || word.is_empty();
        last = word;
    }
    if [" hazard", " risk", " drill"].iter().any(|word| behind.starts_with(word)) {
        return Mood::Supposed;
    }
    if feared { Mood::Feared } else { Mood::Real }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, word: &str, expected: Mood) {
        let normal = Normal::of(text);
        let byte = normal.text.find(word).unwrap();
        assert_eq!(mood(&normal, normal.char_at(byte), normal.char_at(byte + word.len())), expected, "{text}");
    }

    #[test]
    fn what_is_denied_and_what_is_feared() {
        check("车辆相撞，没有人受伤", "受伤", Mood::Denied);
        check("未造成人员受伤", "受伤", Mood::Denied);
        check("有人受伤", "受伤", Mood::Real);
        check("没人管，两位老人被困", "被困", Mood::Real);
        check("大家担心墙会倒塌", "倒塌", Mood::Feared);
        check("存在火灾隐患", "火灾", Mood::Supposed);
        check("如果着火怎么跑", "着火", Mood::Supposed);
        check("煤气味很大,怕爆炸", "爆炸", Mood::Feared);
        check("会不会爆炸", "爆炸", Mood::Feared);
        check("不会爆炸吧?", "爆炸", Mood::Feared);
        check("千万别爆炸了", "爆炸", Mood::Feared);
        check("没有发生爆炸", "爆炸", Mood::Denied);
        check("it is about to explode", "explode", Mood::Feared);
        check("a fire drill", "fire", Mood::Supposed);
        check("是不是着火了", "着火", Mood::Real);
        check("No one is hurt", "hurt", Mood::Denied);
        check("There isn't any gas leak here", "gas leak", Mood::Denied);
        check("A man is hurt", "hurt", Mood::Real);
        check("The wall might collapse", "collapse", Mood::Feared);
    }

    #[test]
    fn latin_words_are_whole() {
        let mut words = Words::new();
        words.whole("tree|灯", 1u8);
        words.beginning("flood", 2);
        let lexicon = words.build();
        let mut hits = Vec::new();
        lexicon.find(&Normal::of("Street flooding, a Tree, 路灯"), &mut hits);
        assert_eq!(hits.iter().map(|hit| (hit.start, hit.end, hit.tag)).collect::<Vec<_>>(), [(7, 12, 2), (19, 23, 1), (26, 27, 1)]);
    }
}
