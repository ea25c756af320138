//! How many messages hold a term, learnt as they come: what is rare says more.

use serde::{Deserialize, Serialize};

use crate::limits::FREQUENCY_SLOTS;

/// Messages that are taken to have come before the first: they keep the first few hundred from looking all alike or all rare.
const MESSAGES_BEFORE: u64 = 300;
/// Counts are halved when so many messages have come, so that the words of this year weigh more than those of ten years ago.
const MESSAGES_MAX: u64 = 4_000_000;

/// Counters by term; two terms may share one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Sparse", into = "Sparse")]
pub(crate) struct Frequency {
    messages: u64,
    counts: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
struct Sparse {
    messages: u64,
    counts: Vec<(u32, u32)>,
}

impl From<Sparse> for Frequency {
    fn from(sparse: Sparse) -> Frequency {
        let mut frequency = Frequency { messages: sparse.messages, ..Frequency::default() };
        for (slot, count) in sparse.counts {
            frequency.counts[slot as usize % FREQUENCY_SLOTS] = count;
        }
        frequency
    }
}

impl From<Frequency> for Sparse {
    fn from(frequency: Frequency) -> Sparse {
        let counts = frequency.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(slot, count)| (slot as u32, *count)).collect();
        Sparse { messages: frequency.messages, counts }
    }
}

impl Default for Frequency {
    fn default() -> Frequency {
        Frequency { messages: 0, counts: vec![0; FREQUENCY_SLOTS] }
    }
}

impl Frequency {
    /// Counts a message that holds these terms, each once.
    pub fn count(&mut self, terms: impl Iterator<Item = u32>) {
        self.messages += 1;
        for term in terms {
            let slot = &mut self.counts[term as usize % FREQUENCY_SLOTS];
            *slot = slot.saturating_add(1);
        }
        if self.messages >= MESSAGES_MAX {
            self.messages /= 2;
            self.counts.iter_mut().for_each(|count| *count /= 2);
        }
    }

    /// The share of messages that hold a term, with what is taken to have come before.
    pub fn share(&self, term: u32) -> f64 {
        (f64::from(self.counts[term as usize % FREQUENCY_SLOTS]) + 1.0) / (self.messages + MESSAGES_BEFORE) as f64
    }

    /// Inverse document frequency: minus the logarithm of the share.
    pub fn rarity(&self, term: u32) -> f64 {
        (-self.share(term).ln()).max(0.0)
    }
}
