//! The words of a text as the index knows them: Chinese ones by the dictionary, English ones by their stems.
//!
//! Documents and queries go the same way: one spelling (`text::Normal`), then runs of one script. Of a long Chinese word the
//! shorter words in it are given as well. A query is words and nothing else: no sign in it means anything.

use std::sync::OnceLock;

use frostem::{Algorithm, Stemmer};
use jieba_rs::TokenizeMode;
use text::{Normal, is_han};

use crate::limits::WORD_CHARS_MAX;

/// A word and where it stands in the normal text, counted in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Words that every sentence has.
const STOP_ZH: &str = "的|了|吗|呢|吧|啊|呀|我|你|您|他|她|它|我们|你们|他们|是|在|有|和|与|及|就|都|也|还|又|很|太|把|被|给|对|从|到|这|那|这个|那个|这里|那里|这边|那边|一个|一下|请|请问|谢谢|你好|您好|麻烦|想|要|能|会|可以|什么|怎么|怎样|如何|吗|哪|哪些|啥|咋|着|过|地|得|之|其|或|并|为|于|以|由|等|应|应当|个|人|上|下|里|不|没|没有|好|说|去|来|让|问|请教|咨询|现在|已经|因为|所以|但是|如果|知道|需要|应该|可不可以|能不能|是不是|有没有|要不要|不要|谁|往|事|到底|时候|什么时候|才能|最|多|一";
const STOP_EN: &str = "a|an|the|is|are|was|were|be|been|am|i|me|my|we|our|us|you|your|he|she|it|its|they|them|their|this|that|these|those|there|here|to|of|in|on|at|for|from|by|with|and|or|but|if|do|does|did|have|has|had|can|could|will|would|should|shall|may|must|not|no|so|as|please|hello|hi|thanks|thank|what|how|when|where|who|which|why|just|very|about|into|out|up|get|got|need|want|anyone|someone|somebody|s|t|m|re|ve|ll|don|im";

fn is_stop(word: &str) -> bool {
    static STOP: OnceLock<Vec<&'static str>> = OnceLock::new();
    let stop = STOP.get_or_init(|| {
        let mut words: Vec<&str> = STOP_ZH.split('|').chain(STOP_EN.split('|')).collect();
        words.sort_unstable();
        words
    });
    stop.binary_search(&word).is_ok()
}

fn stem(word: &str) -> String {
    static STEMMER: OnceLock<Stemmer> = OnceLock::new();
    let stemmer = STEMMER.get_or_init(|| Stemmer::new(Algorithm::English));
    if word.bytes().all(|byte| byte.is_ascii_lowercase()) { stemmer.stem(word).into_owned() } else { word.to_owned() }
}

/// The script that a character is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    Han,
    Other,
}

fn script(c: char) -> Option<Script> {
    if is_han(c) {
        Some(Script::Han)
    } else {
        c.is_alphanumeric().then_some(Script::Other)
    }
}

/// The words of a text, from left to right, those that say nothing left out.
pub(crate) fn words(normal: &Normal) -> Vec<Word> {
    let mut words = Vec::new();
    runs(normal, |of, start, end| match of {
        Script::Han => {
            for token in text::words::dictionary().tokenize(normal.slice(start, end), TokenizeMode::Search, false) {
                push(&mut words, token.word.to_owned(), start + token.start, start + token.end);
            }
        }
        Script::Other => {
            let end = end.min(start + WORD_CHARS_MAX);
            let word = normal.slice(start, end);
            if !is_stop(word) {
                push(&mut words, stem(word), start, end);
            }
        }
    });
    words
}

/// The pairs of neighbouring Chinese characters: they find words that the dictionary lacks or cuts otherwise.
pub(crate) fn pairs(normal: &Normal) -> Vec<Word> {
    let mut pairs = Vec::new();
    runs(normal, |of, start, end| {
        if of == Script::Han {
            pairs.extend((start..end.saturating_sub(1)).map(|at| Word { text: normal.slice(at, at + 2).to_owned(), start: at, end: at + 2 }));
        }
    });
    pairs
}

fn push(words: &mut Vec<Word>, text: String, start: usize, end: usize) {
    if !is_stop(&text) {
        words.push(Word { text, start, end });
    }
}

fn runs(normal: &Normal, mut each: impl FnMut(Script, usize, usize)) {
    let chars = &normal.chars;
    let mut start = 0;
    while start < chars.len() {
        let Some(of) = script(chars[start]) else {
            start += 1;
            continue;
        };
        let length = chars[start..].iter().position(|c| script(*c) != Some(of)).unwrap_or(chars.len() - start);
        each(of, start, start + length);
        start += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = words(&Normal::of(text)).into_iter().map(|word| word.text).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn chinese_english_and_both() {
        check("請問路燈壞了怎麼報修？", &["路灯", "坏", "报修"]);
        check("Street Lights are broken, please repair them", &["street", "light", "broken", "repair"]);
        check("办理ＥＴＣ要多久 how long", &["办理", "etc", "多久", "long"]);
        check("😀 <script> +title:\"x\" AND (路灯)^2", &["script", "titl", "x", "路灯", "2"]);
        check("", &[]);
    }

    #[test]
    fn places_are_those_of_the_normal_text() {
        let normal = Normal::of("身份证  补办 ID card");
        for word in words(&normal) {
            assert!(normal.slice(word.start, word.end).starts_with(word.text.chars().next().unwrap()), "{word:?}");
        }
        assert_eq!(pairs(&normal).iter().map(|pair| pair.text.as_str()).collect::<Vec<_>>(), ["身份", "份证", "补办"]);
    }

    #[test]
    fn a_word_without_end_is_cut() {
        let found = words(&Normal::of(&"a".repeat(100_000)));
        assert_eq!((found.len(), found[0].end), (1, WORD_CHARS_MAX));
    }
}
