//! Near-duplicates: how much of two texts is the same.
//!
//! A text is the set of the runs of three of its letters, digits and characters in one spelling, without signs and blanks.
//! Two texts are as alike as their sets (Jaccard). A signature of 128 bits tells in nanoseconds who may be alike
//! (SimHash: Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002). Knows nothing of meaning.

use crate::limits::SLOW_CHARS_MAX;
use crate::normal::Normal;

/// Characters of a shingle.
const SHINGLE_CHARS: usize = 3;

/// The runs of characters of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shingles {
    /// Their hashes, in order, each once.
    hashes: Vec<u64>,
    signature: u128,
}

impl Shingles {
    /// Those of a text, of its first [`SLOW_CHARS_MAX`] characters.
    pub fn of(text: &str) -> Shingles {
        let mut normal = Normal::default();
        normal.read(text, SLOW_CHARS_MAX);
        Shingles::of_normal(&normal)
    }

    /// Those of a text that is in one spelling already.
    pub fn of_normal(normal: &Normal) -> Shingles {
        let letters: Vec<char> = normal.chars.iter().copied().filter(|c| c.is_alphanumeric()).collect();
        let mut hashes: Vec<u64> = if letters.len() < SHINGLE_CHARS {
            letters.iter().map(|c| mix(u64::from(*c))).collect()
        } else {
            letters.windows(SHINGLE_CHARS).map(|run| mix(run.iter().fold(0u64, |hash, c| (hash << 21) | u64::from(*c)))).collect()
        };
        hashes.sort_unstable();
        hashes.dedup();
        let signature = signature(&hashes);
        Shingles { hashes, signature }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether the text says nothing.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Their hashes, in order, each once.
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// The signature: texts that are alike differ in few bits.
    pub fn signature(&self) -> u128 {
        self.signature
    }

    /// In how many of 128 bits the signatures differ.
    pub fn distance(&self, other: &Shingles) -> u32 {
        (self.signature ^ other.signature).count_ones()
    }

    /// The share of the shingles of both that both have, 0 to 1 (Jaccard); 0 when both say nothing.
    pub fn similarity(&self, other: &Shingles) -> f64 {
        let common = self.common(other);
        let all = self.hashes.len() + other.hashes.len() - common;
        if all == 0 { 0.0 } else { common as f64 / all as f64 }
    }

    /// The share of the shingles of the shorter text that the longer one has, 0 to 1: a title and its message.
    pub fn containment(&self, other: &Shingles) -> f64 {
        let least = self.hashes.len().min(other.hashes.len());
        if least == 0 { 0.0 } else { self.common(other) as f64 / least as f64 }
    }

    fn common(&self, other: &Shingles) -> usize {
        let (mut a, mut b) = (self.hashes.iter().peekable(), other.hashes.iter().peekable());
        let mut common = 0;
        while let (Some(one), Some(two)) = (a.peek(), b.peek()) {
            match one.cmp(two) {
                std::cmp::Ordering::Less => drop(a.next()),
                std::cmp::Ordering::Greater => drop(b.next()),
                std::cmp::Ordering::Equal => {
                    common += 1;
                    (a.next(), b.next());
                }
            }
        }
        common
    }
}

/// How alike two texts are, 0 to 1.
pub fn similarity(one: &str, other: &str) -> f64 {
    Shingles::of(one).similarity(&Shingles::of(other))
}

/// SplitMix64's finaliser: each bit of the result hangs on each bit that goes in.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn signature(hashes: &[u64]) -> u128 {
    let mut votes = [0i32; 128];
    for hash in hashes {
        for (half, word) in [*hash, mix(*hash)].into_iter().enumerate() {
            for (bit, vote) in votes[half * 64..half * 64 + 64].iter_mut().enumerate() {
                *vote += ((word >> bit) & 1) as i32 * 2 - 1;
            }
        }
    }
    votes.iter().enumerate().fold(0, |signature, (bit, vote)| signature | (u128::from(*vote > 0) << bit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_matter_in_other_spelling_is_alike() {
        let one = Shingles::of("中山大道８８號路燈不亮，請派人來修！");
        assert_eq!(one.similarity(&Shingles::of("中山大道88号 路灯不亮 请派人来修")), 1.0);
        let near = Shingles::of("中山大道88号路灯不亮，请尽快派人来修");
        let far = Shingles::of("幸福小区垃圾三天没有清运了，味道很大");
        assert!(one.similarity(&near) > 0.6 && one.similarity(&far) < 0.05);
        assert!(one.distance(&near) < one.distance(&far));
        assert!(one.containment(&Shingles::of("路灯不亮")) == 1.0);
    }

    #[test]
    fn nothing_is_like_nothing() {
        assert_eq!(similarity("", ""), 0.0);
        assert_eq!(similarity("！！", "路灯"), 0.0);
        assert_eq!(similarity("灯", "灯"), 1.0);
    }

    proptest! {
        #[test]
        fn alike_both_ways_and_to_itself(one in any::<String>(), other in any::<String>()) {
            let (one, other) = (Shingles::of(&one), Shingles::of(&other));
            prop_assert_eq!(one.similarity(&other), other.similarity(&one));
            prop_assert!((0.0..=1.0).contains(&one.similarity(&other)));
            prop_assert!(one.is_empty() || one.similarity(&one) == 1.0);
        }
    }
}
