//! Chooses the next token: the likeliest that the constraint allows.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use llm::grammar::Constraint;
use llm::wire::micro;

use crate::model::Words;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// A token.
    Token {
        /// Which.
        token: usize,
        /// Its log-probability among all tokens, in millionths of a nat.
        logprob_micro: i32,
        /// Whether the constraint refused the likeliest.
        refused: bool,
    },
    /// The answer ends.
    End,
    /// No token is allowed.
    Stuck,
    /// The model's numbers are none.
    NotFinite,
}

/// A logit with its token; equal logits are ordered by token, so that a choice never depends on chance.
#[derive(PartialEq)]
struct Candidate(f32, Reverse<usize>);

impl Eq for Candidate {}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0).then(self.1.cmp(&other.1))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Chooses. `may_end` is false only while measuring.
pub fn pick(logits: &[f32], words: &Words, machine: Option<&dyn Constraint>, may_end: bool) -> Pick {
    let may_be = |token: usize| if words.ends[token] { may_end } else { !words.pieces[token].is_empty() };
    let mut best: Option<usize> = None;
    let mut highest = f32::NEG_INFINITY;
    for (token, logit) in logits.iter().enumerate() {
        // The logit first: few are higher than all before them, and words are looked up for those alone.
        highest = highest.max(*logit);
        if best.is_none_or(|it| *logit > logits[it]) && may_be(token) {
            best = Some(token);
        }
    }
    let Some(best) = best.filter(|it| highest.is_finite() && logits[*it].is_finite()) else { return Pick::NotFinite };
    let chosen = |token: usize, refused: bool| Pick::Token {
        token,
        logprob_micro: micro(f64::from(logits[token] - highest) - log_sum(logits, highest)),
        refused,
    };
    let Some(machine) = machine else {
        return if words.ends[best] { Pick::End } else { chosen(best, false) };
    };
    let end_allowed = machine.may_end() && may_end;
    let allowed = |token: usize| if words.ends[token] { end_allowed } else { machine.allows(&words.pieces[token]) };
    if allowed(best) {
        return if words.ends[best] { Pick::End } else { chosen(best, false) };
    }
    let next = machine.next();
    let first_fits = |token: usize| {
        if words.ends[token] { end_allowed } else { words.pieces[token].first().is_some_and(|it| next.has(*it)) }
    };
    let fitting = (0..logits.len()).filter(|it| first_fits(*it) && logits[*it].is_finite());
    let mut candidates: BinaryHeap<Candidate> = fitting.map(|it| Candidate(logits[it], Reverse(it))).collect::<Vec<_>>().into();
    while let Some(Candidate(_, Reverse(token))) = candidates.pop() {
        if allowed(token) {
            return if words.ends[token] { Pick::End } else { chosen(token, true) };
        }
    }
    Pick::Stuck
}

/// What lies so far below the highest adds nothing that is seen in a millionth, for any vocabulary.
const FAR: f32 = -32.0;

/// Natural logarithm of the sum of all exponentials, with the highest taken out.
fn log_sum(logits: &[f32], highest: f32) -> f64 {
    logits.iter().map(|it| it - highest).filter(|it| *it > FAR).map(|it| f64::from(it.exp())).sum::<f64>().ln()
}

/// Log-probabilities of letters among all tokens, in millionths of a nat. None when the numbers are none.
pub fn letters(logits: &[f32], words: &Words, options: usize) -> Option<Vec<i32>> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if !highest.is_finite() {
        return None;
    }
    let sum = log_sum(logits, highest);
    let of = |tokens: &Vec<usize>| tokens.iter().map(|it| f64::from(logits[*it] - highest).exp()).sum::<f64>().ln() - sum;
    Some(words.letters.iter().take(options).map(|it| micro(of(it))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use llm::grammar::Gbnf;

    fn words() -> Words {
        let pieces: Vec<Vec<u8>> = ["A", "B", "AB", "", "x"].iter().map(|it| it.as_bytes().to_vec()).collect();
        Words { ends: vec![false, false, false, true, false], letters: vec![vec![0], vec![1]], pieces }
    }

    fn token(pick: Pick) -> Option<(usize, bool)> {
        match pick {
            Pick::Token { token, refused, .. } => Some((token, refused)),
            Pick::End | Pick::Stuck | Pick::NotFinite => None,
        }
    }

    #[test]
    fn the_likeliest_that_is_allowed() {
        let grammar = Gbnf::compile("root ::= \"AB\"").unwrap();
        let mut walk = grammar.walk();
        let logits = [1.0, 9.0, 2.0, 5.0, 7.0];
        assert_eq!(token(pick(&logits, &words(), None, true)), Some((1, false)));
        assert_eq!(token(pick(&logits, &words(), Some(&walk), true)), Some((2, true)));
        assert!(walk.take(b"A"));
        assert_eq!(token(pick(&logits, &words(), Some(&walk), true)), Some((1, false)));
        assert!(walk.take(b"B"));
        assert_eq!(pick(&logits, &words(), Some(&walk), true), Pick::End);
        assert_eq!(pick(&logits, &words(), Some(&walk), false), Pick::Stuck);
    }

    #[test]
    fn equal_logits_are_ordered_by_token() {
        let grammar = Gbnf::compile("root ::= [AB]").unwrap();
        assert_eq!(token(pick(&[3.0, 3.0, 3.0, 9.0, 9.0], &words(), Some(&grammar.walk()), true)), Some((0, true)));
    }

    #[test]
    fn numbers_that_are_none_are_told() {
        assert_eq!(pick(&[f32::NAN; 5], &words(), None, true), Pick::NotFinite);
        assert_eq!(pick(&[f32::NEG_INFINITY; 5], &words(), None, true), Pick::NotFinite);
        assert_eq!(letters(&[f32::NAN; 5], &words(), 2), None);
    }

    #[test]
    fn letters_have_their_share_of_all_tokens() {
        let found = letters(&[0.0, 0.0, 0.0, 0.0, 0.0], &words(), 2).unwrap();
        assert_eq!(found, [micro(0.2f64.ln()); 2]);
    }
}
