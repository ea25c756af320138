//! Which hashes are features: a bit for each bucket, and the rank of a bucket as the number of its feature.

/// Buckets of hashes; two features in one bucket are taken for the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) bits: u32,
    pub(crate) words: Vec<u64>,
    ranks: Vec<u32>,
}

pub(crate) const BITS_MIN: u32 = 6;
pub(crate) const BITS_MAX: u32 = 26;

impl Index {
    /// From the bits of the buckets; `None` unless there are 2^bits of them.
    pub(crate) fn new(bits: u32, words: Vec<u64>) -> Option<Index> {
        if !(BITS_MIN..=BITS_MAX).contains(&bits) || words.len() != 1 << (bits - 6) {
            return None;
        }
        let mut ranks = Vec::with_capacity(words.len());
        let mut rank = 0u32;
        for word in &words {
            ranks.push(rank);
            rank += word.count_ones();
        }
        Some(Index { bits, words, ranks })
    }

    /// The bucket of a hash.
    pub(crate) fn bucket(bits: u32, hash: u64) -> u32 {
        (hash >> (64 - bits)) as u32
    }

    /// The number of the feature of a hash.
    pub(crate) fn get(&self, hash: u64) -> Option<u32> {
        self.rank(Index::bucket(self.bits, hash))
    }

    pub(crate) fn rank(&self, bucket: u32) -> Option<u32> {
        let word = self.words.get((bucket >> 6) as usize)?;
        let bit = 1u64 << (bucket & 63);
        (word & bit != 0).then(|| self.ranks[(bucket >> 6) as usize] + (word & (bit - 1)).count_ones())
    }

    pub(crate) fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }
}
