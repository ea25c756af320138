//! Words of Chinese text: one dictionary for all who cut.
//!
//! The dictionary is built once, at the first use (some 100 ms), and shared from then on. Knows nothing of what words mean.

use std::sync::OnceLock;

use jieba_rs::Jieba;

/// The shared dictionary.
pub fn dictionary() -> &'static Jieba {
    static DICTIONARY: OnceLock<Jieba> = OnceLock::new();
    DICTIONARY.get_or_init(Jieba::new)
}

/// A word and where it stands; offsets count Unicode characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word<'a> {
    /// The word.
    pub text: &'a str,
    /// Its first character.
    pub start: usize,
    /// Behind its last character.
    pub end: usize,
}

/// The words of a text from left to right, signs and blanks among them. Put together they are the text.
pub fn cut(text: &str) -> Vec<Word<'_>> {
    // Without the hidden Markov model: it guesses at words that no dictionary has, differently from version to version, and
    // takes most of the time.
    dictionary().cut(text, false).into_iter().map(|token| Word { text: token.word, start: token.start, end: token.end }).collect()
}

/// Whether the dictionary has this word.
pub fn is_word(word: &str) -> bool {
    dictionary().has_word(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_with_their_places() {
        let words: Vec<String> = cut("城市管理人员来电,Main St").iter().map(|word| word.text.to_owned()).collect();
        assert_eq!(words[..4], ["城市", "管理人员", "来电", ","]);
        assert!(is_word("积水") && !is_word("积水路灯"));
    }

    proptest! {
        #[test]
        fn together_they_are_the_text(text in any::<String>()) {
            let chars: Vec<char> = text.chars().collect();
            let mut at = 0;
            for word in cut(&text) {
                prop_assert_eq!(word.start, at);
                prop_assert_eq!(word.text, chars[word.start..word.end].iter().collect::<String>());
                at = word.end;
            }
            prop_assert_eq!(at, chars.len());
        }
    }
}
