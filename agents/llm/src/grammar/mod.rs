//! What an answer may look like, byte by byte: the engine asks a constraint about every token before it takes it.
//!
//! The built-in tasks have small machines of their own; a caller's grammar in GBNF is compiled into one. The same machine
//! says afterwards whether an answer is right, so nothing is believed because somebody claims to have constrained it.
//! Knows nothing of tokens or models.

mod bytes;
mod extract;
mod gbnf;
mod title;

use serde::{Deserialize, Serialize};

pub use bytes::ByteSet;
pub use extract::{KEYS, Spans};
pub use gbnf::{Gbnf, GrammarError, Walk};
pub use title::{TitleWords, numbers, units};

use crate::task::{Message, letter};

/// A machine that has read part of an answer.
pub trait Constraint: Send {
    /// The bytes of which one may follow. Empty when nothing may follow.
    fn next(&self) -> ByteSet;
    /// Whether the answer may end here.
    fn may_end(&self) -> bool;
    /// Whether all of `bytes` may follow, in this order.
    fn allows(&self, bytes: &[u8]) -> bool;
    /// Reads `bytes`, which must be allowed. False, and nothing read, when they are not.
    fn take(&mut self, bytes: &[u8]) -> bool;
    /// What must follow, when there is only one way. May be shorter than it could be.
    fn forced(&self) -> &[u8];
}

/// What an answer must look like; it travels to the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Rule {
    /// The six keys, each with null or a span of the message.
    Extract {
        /// Where the spans come from.
        message: Message,
    },
    /// One short line whose numbers are the message's.
    Title {
        /// Where the numbers come from.
        message: Message,
    },
    /// One of the letters A, B, ...
    Choose {
        /// How many letters.
        options: u8,
    },
    /// A caller's grammar.
    Gbnf {
        /// Its text.
        text: String,
    },
    /// Any text. Only for measuring: no task has it.
    Any,
    /// No text, a vector.
    Embed,
}

impl Rule {
    /// The machine at the beginning of an answer. None when there is nothing to hold: any text, a letter that is scored and
    /// never written, a vector. Errors when a grammar does not compile.
    pub fn machine(&self) -> Result<Option<Box<dyn Constraint>>, GrammarError> {
        Ok(match self {
            Self::Extract { message } => Some(Box::new(Spans::of(message))),
            Self::Title { message } => Some(Box::new(TitleWords::of(message))),
            Self::Gbnf { text } => Some(Box::new(Gbnf::compile(text)?.walk())),
            Self::Choose { .. } | Self::Any | Self::Embed => None,
        })
    }

    /// A grammar for endpoints that take one. It is looser than the machine (a span may be any string), hence answers are
    /// checked afterwards.
    pub fn gbnf(&self) -> Option<String> {
        match self {
            Self::Extract { .. } => Some(extract::loose_gbnf()),
            Self::Title { .. } => Some("root ::= [^\\x00-\\x1f\\x7f]{1,96}".to_owned()),
            Self::Choose { options } => Some(format!("root ::= [A-{}]", letter(usize::from(*options).max(1) - 1))),
            Self::Gbnf { text } => Some(text.clone()),
            Self::Any | Self::Embed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loose_grammars_compile_and_take_right_answers() {
        let message = Message::clean("中山路 8 号路灯不亮").unwrap();
        let answer = r#"{"address":"中山路 8 号","place":null,"time":null,"people":null,"thing":"路灯","wish":null}"#;
        let cases = [
            (Rule::Extract { message: message.clone() }, answer),
            (Rule::Title { message }, "中山路路灯不亮"),
            (Rule::Choose { options: 3 }, "C"),
        ];
        for (rule, answer) in cases {
            let grammar = Gbnf::compile(&rule.gbnf().unwrap()).unwrap();
            assert!(grammar.matches(answer), "{answer}");
        }
        let three = Gbnf::compile(&Rule::Choose { options: 3 }.gbnf().unwrap()).unwrap();
        assert!(!three.matches("D"));
    }
}
