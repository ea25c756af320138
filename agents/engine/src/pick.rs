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
    let highest = highest_of(logits);
    // Nearly always the highest may be said, and the others need not be looked at one by one.
    let best = logits.iter().position(|it| *it == highest).filter(|it| may_be(*it)).or_else(|| {
        let rising = |best: Option<usize>, token: usize| if best.is_none_or(|it| logits[token] > logits[it]) && may_be(token) { Some(token) } else { best };
        (0..logits.len()).fold(None, rising)
    });
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

/// Numbers that the compiler works on at once.
const LANES: usize = 8;

fn highest_of(logits: &[f32]) -> f32 {
    let (chunks, rest) = logits.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, logit) in lanes.iter_mut().zip(chunk) {
            *lane = lane.max(*logit);
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Natural logarithm of the sum of all exponentials, with the highest taken out. A number that is none counts as nothing.
fn log_sum(logits: &[f32], highest: f32) -> f64 {
    let (chunks, rest) = logits.as_chunks::<LANES>();
    let mut lanes = [0_f64; LANES];
    for chunk in chunks {
        for (lane, logit) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(exp(logit - highest));
        }
    }
    (lanes.iter().sum::<f64>() + rest.iter().map(|it| f64::from(exp(it - highest))).sum::<f64>()).ln()
}

/// The exponential of a number up to 0, within two ten-millionths of its value: the series of degree six within half of ln 2, times a power of two (Cody and Waite, 1980).
/// Without a branch, so that several are done at once: with the library's function a sum over a vocabulary takes an eighth of a small model's step.
fn exp(x: f32) -> f32 {
    /// Added and taken away, it leaves the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.max(-87.0);
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let f = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let series = 1.0 + f * (1.0 + f * (1.0 / 2.0 + f * (1.0 / 6.0 + f * (1.0 / 24.0 + f * (1.0 / 120.0 + f * (1.0 / 720.0))))));
    series * f32::from_bits(((n as i32 + 127) << 23) as u32)
}

/// Log-probabilities of letters among all tokens, in millionths of a nat. None when the numbers are none.
pub fn letters(logits: &[f32], words: &Words, options: usize) -> Option<Vec<i32>> {
    let highest = highest_of(logits);
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
    fn sums_are_exact_to_the_millionth() {
        for x in (0..=870).map(|it| it as f32 * -0.1) {
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() <= 3e-7 * exact, "{x}");
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37 && exp(f32::NAN) < 1e-37);
        for size in [1_usize, 7, 8, 9, 8_192] {
            let logits: Vec<f32> = (0..size).map(|it| ((it * 7_919) % 1_000) as f32 * 0.02 - 3.0).collect();
            let highest = highest_of(&logits);
            assert_eq!(highest, logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let exact = logits.iter().map(|it| f64::from(it - highest).exp()).sum::<f64>().ln();
            assert!((log_sum(&logits, highest) - exact).abs() < 5e-7, "{size}: {} {exact}", log_sum(&logits, highest));
        }
    }

    #[test]
    fn letters_have_their_share_of_all_tokens() {
        let found = letters(&[0.0, 0.0, 0.0, 0.0, 0.0], &words(), 2).unwrap();
        assert_eq!(found, [micro(0.2f64.ln()); 2]);
    }
}
