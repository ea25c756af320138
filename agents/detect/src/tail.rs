//! How rare a magnitude is among all that came before it, from counts in logarithmic buckets.

/// Buckets to a doubling.
const PER_OCTAVE_BITS: u32 = 3;
/// Doublings that are told apart: magnitudes from 2^-24 to 2^40.
const OCTAVES: usize = 64;
const BUCKETS: usize = OCTAVES << PER_OCTAVE_BITS;
/// The exponent of the smallest magnitude that has a bucket of its own.
const SMALLEST: i32 = -24;

/// Counts of magnitudes; 2 KiB, whatever it is given.
#[derive(Debug, Clone)]
pub struct Tail {
    /// A Fenwick tree of the counts, the largest magnitudes first.
    counts: Box<[f32; BUCKETS + 1]>,
    total: f64,
    max: f64,
}

impl Default for Tail {
    fn default() -> Tail {
        Tail { counts: Box::new([0.0; BUCKETS + 1]), total: 0.0, max: 0.0 }
    }
}

fn bucket(magnitude: f64) -> usize {
    let bits = magnitude.abs().to_bits() >> (52 - PER_OCTAVE_BITS);
    let zero = u64::from((1023 + SMALLEST).unsigned_abs()) << PER_OCTAVE_BITS;
    bits.saturating_sub(zero).min(BUCKETS as u64 - 1) as usize
}

impl Tail {
    /// The share of what was seen that is as large as this or larger, never 0: `(count + 1) / (total + 1)`, which is the
    /// conformal p-value. A value that is not finite counts as the largest.
    pub fn share_at_least(&self, magnitude: f64) -> f64 {
        let mut at = BUCKETS - bucket(magnitude);
        let mut count = 0.0_f64;
        while at > 0 {
            count += f64::from(self.counts[at]);
            at &= at - 1;
        }
        (count + 1.0) / (self.total + 1.0)
    }

    /// Takes a magnitude in.
    pub fn add(&mut self, magnitude: f64) {
        let mut at = BUCKETS - bucket(magnitude);
        while at <= BUCKETS {
            self.counts[at] += 1.0;
            at += at & at.wrapping_neg();
        }
        self.total += 1.0;
        if magnitude.is_finite() {
            self.max = self.max.max(magnitude.abs());
        }
    }

    /// How many magnitudes were taken in.
    pub fn total(&self) -> f64 {
        self.total
    }

    /// The largest finite magnitude so far; 0 before the first.
    pub fn max(&self) -> f64 {
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks() {
        let mut tail = Tail::default();
        assert_eq!(tail.share_at_least(1.0), 1.0);
        for value in 1..=99 {
            tail.add(f64::from(value));
        }
        assert_eq!(tail.share_at_least(1000.0), 0.01);
        assert_eq!(tail.share_at_least(0.0), 1.0);
        let half = tail.share_at_least(48.0);
        assert!((0.5..0.56).contains(&half), "{half}");
        assert_eq!(tail.max(), 99.0);
    }

    #[test]
    fn any_magnitude_has_a_bucket() {
        let mut tail = Tail::default();
        for magnitude in [0.0, -0.0, f64::NAN, f64::INFINITY, f64::MAX, f64::MIN_POSITIVE, 1e-300, -5.0] {
            tail.add(magnitude);
            assert!(tail.share_at_least(magnitude) > 0.0);
        }
    }
}
