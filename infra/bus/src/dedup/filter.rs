//! A Bloom filter in memory for each generation of the index: most events are new, and it says so without a look at the
//! store, which is most of the index's cost.
//!
//! Blocked, so that a question touches one cache line (Putze, Sanders, Singler: Cache-, Hash- and Space-Efficient Bloom
//! Filters, 2007). Keys are digests already, so their own bits choose block and bits. At 12 bits for each key and 6 bits
//! set, about one new key in 200 is looked for in vain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Key;

const BITS_PER_KEY: u64 = 12;
const WORDS_PER_BLOCK: usize = 8;
const BITS_SET: u32 = 6;

/// The filter of one generation.
#[derive(Debug)]
pub struct Filter {
    words: Box<[AtomicU64]>,
    /// Whether every key of the generation is in it; before that it excludes nothing.
    complete: AtomicBool,
}

impl Filter {
    /// An empty filter for so many keys; more of them only make it vaguer.
    pub fn new(keys: u64, complete: bool) -> Arc<Filter> {
        let blocks = (keys.max(1) * BITS_PER_KEY).div_ceil(WORDS_PER_BLOCK as u64 * 64);
        let words = (0..blocks as usize * WORDS_PER_BLOCK).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Filter { words, complete: AtomicBool::new(complete) })
    }

    /// Takes a key in.
    pub fn insert(&self, key: &Key) {
        for (word, bit) in self.places(key) {
            self.words[word].fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether the key may be in the generation. False is certain.
    pub fn may_hold(&self, key: &Key) -> bool {
        !self.complete.load(Ordering::Acquire) || self.places(key).all(|(word, bit)| self.words[word].load(Ordering::Relaxed) & bit != 0)
    }

    /// Says that every key is in it now.
    pub fn set_complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    fn places(&self, key: &Key) -> impl Iterator<Item = (usize, u64)> + use<> {
        let half = |from: usize| u64::from_le_bytes(key[from..from + 8].try_into().expect("eight bytes"));
        let blocks = (self.words.len() / WORDS_PER_BLOCK) as u128;
        let first = ((u128::from(half(0)) * blocks) >> 64) as usize * WORDS_PER_BLOCK;
        let bits = half(8);
        // Nine bits for each: three choose the word, six the bit in it.
        (0..BITS_SET).map(move |n| {
            let choice = bits >> (n * 9);
            (first + (choice & 7) as usize, 1 << ((choice >> 3) & 63))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> Key {
        blake3::hash(&number.to_le_bytes()).as_bytes()[..16].try_into().unwrap()
    }

    #[test]
    fn what_is_in_it_is_found_and_most_of_the_rest_is_excluded() {
        let filter = Filter::new(20_000, true);
        (0..20_000).for_each(|number| filter.insert(&key(number)));
        assert!((0..20_000).all(|number| filter.may_hold(&key(number))));
        let vain = (20_000..120_000).filter(|number| filter.may_hold(&key(*number))).count();
        assert!(vain < 2_000, "{vain} of 100,000 were not excluded");
    }

    #[test]
    fn an_incomplete_one_excludes_nothing() {
        let filter = Filter::new(10, false);
        assert!(filter.may_hold(&key(1)));
        filter.set_complete();
        assert!(!filter.may_hold(&key(1)));
    }
}
