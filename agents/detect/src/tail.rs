//! How rare a magnitude is among all that came before it, from counts in logarithmic buckets.

/// Buckets to a doubling, as bits of the mantissa.
const PER_OCTAVE_BITS: u32 = 3;
/// Doublings that are told apart.
const OCTAVES: usize = 64;
const BUCKETS: usize = OCTAVES << PER_OCTAVE_BITS;
/// The exponent of the smallest magnitude that has a bucket of its own, relative to the first one that is not 0.
const SMALLEST: i32 = -32;
/// So many magnitudes are remembered at most; then each counts half.
pub const MEMORY_VALUES: u32 = 1 << 16;

/// Counts of magnitudes; 2 KiB, whatever it is given.
#[derive(Debug, Clone)]
pub struct Tail {
    /// A Fenwick tree of the counts, the largest magnitudes first.
    counts: Box<[u32; BUCKETS + 1]>,
    total: u32,
    max: f64,
    unit: f64,
}

impl Default for Tail {
    fn default() -> Tail {
        Tail { counts: Box::new([0; BUCKETS + 1]), total: 0, max: 0.0, unit: 0.0 }
    }
}

impl Tail {
    fn bucket(&self, magnitude: f64) -> usize {
        if self.unit == 0.0 {
            return 0;
        }
        let bits = (magnitude / self.unit).abs().to_bits() >> (52 - PER_OCTAVE_BITS);
        let zero = u64::from((1023 + SMALLEST).unsigned_abs()) << PER_OCTAVE_BITS;
        bits.saturating_sub(zero).min(BUCKETS as u64 - 1) as usize
    }

    /// How many of those seen are as large as this or larger, to a twelfth of its size.
    pub fn at_least(&self, magnitude: f64) -> u32 {
        let mut at = BUCKETS - self.bucket(magnitude);
        let mut count = 0;
        while at > 0 {
            count += self.counts[at];
            at &= at - 1;
        }
        count
    }

    /// The share of what was seen that is as large as this or larger, never 0: `(count + 1) / (total + 1)`, which is the
    /// conformal p-value.
    pub fn share_at_least(&self, magnitude: f64) -> f64 {
        (f64::from(self.at_least(magnitude)) + 1.0) / (f64::from(self.total) + 1.0)
    }

    /// How strange a magnitude is, in nats: 0 the first time that the largest so far is reached, `-ln(k + 1)` when k were
    /// as large, and above 0 by the logarithm of how much it surpasses the largest, at most 3. `None` for 0, and while
    /// nothing but 0 was seen.
    pub fn strangeness(&self, magnitude: f64) -> Option<f64> {
        let magnitude = magnitude.abs();
        if magnitude == 0.0 || self.unit == 0.0 {
            return None;
        }
        let count = self.at_least(magnitude);
        if count == 0 && self.max > 0.0 {
            return Some((magnitude / self.max).ln().clamp(0.0, 3.0));
        }
        Some(-(f64::from(count) + 1.0).ln())
    }

    /// Takes a magnitude in.
    pub fn add(&mut self, magnitude: f64) {
        let magnitude = if magnitude.is_finite() { magnitude.abs() } else { 0.0 };
        if self.unit == 0.0 {
            self.unit = magnitude;
        }
        self.count(self.bucket(magnitude), 1);
        self.max = self.max.max(magnitude);
        if self.total >= MEMORY_VALUES {
            self.forget_half();
        }
    }

    fn count(&mut self, bucket: usize, times: u32) {
        let mut at = BUCKETS - bucket;
        while at <= BUCKETS {
            self.counts[at] += times;
            at += at & at.wrapping_neg();
        }
        self.total += times;
    }

    /// Halves all counts; what was seen once is forgotten, the largest too.
    fn forget_half(&mut self) {
        let up_to = |at: usize| {
            let (mut at, mut count) = (at, 0);
            while at > 0 {
                count += self.counts[at];
                at &= at - 1;
            }
            count
        };
        let counts: Vec<u32> = (0..BUCKETS).map(|bucket| up_to(BUCKETS - bucket) - up_to(BUCKETS - bucket - 1)).collect();
        let unit = self.unit;
        *self = Tail { unit, ..Tail::default() };
        for (bucket, count) in counts.into_iter().enumerate() {
            if count >= 2 {
                self.count(bucket, count / 2);
                // The upper edge of the bucket: 8 steps to a doubling, each of the same width.
                let (octave, step) = (bucket >> PER_OCTAVE_BITS, bucket & ((1 << PER_OCTAVE_BITS) - 1));
                self.max = unit * 2.0_f64.powi(octave as i32 + SMALLEST) * (1.0 + (step + 1) as f64 / f64::from(1 << PER_OCTAVE_BITS));
            }
        }
    }

    /// How many magnitudes are remembered.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// The largest magnitude that is remembered; 0 before the first.
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
    fn strangeness_counts_those_as_strange_and_rewards_what_surpasses_all() {
        let mut tail = Tail::default();
        assert_eq!(tail.strangeness(5.0), None);
        for _ in 0..9 {
            tail.add(1.0);
        }
        assert_eq!(tail.strangeness(0.0), None);
        assert_eq!(tail.strangeness(1.0), Some(-(10.0_f64).ln()));
        assert_eq!(tail.strangeness(2.0), Some(2.0_f64.ln()));
        assert_eq!(tail.strangeness(1e30), Some(3.0));
    }

    #[test]
    fn the_unit_of_the_series_does_not_matter() {
        for unit in [1e-12, 1.0, 1e15] {
            let mut tail = Tail::default();
            (1..=50).for_each(|value| tail.add(f64::from(value) * unit));
            assert_eq!(tail.at_least(60.0 * unit), 0, "{unit}");
            assert!((24..=30).contains(&tail.at_least(25.0 * unit)), "{unit} {}", tail.at_least(25.0 * unit));
        }
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut tail = Tail::default();
        tail.add(1.0);
        tail.add(1000.0);
        for _ in 0..MEMORY_VALUES {
            tail.add(1.0);
        }
        assert!(tail.total() <= MEMORY_VALUES);
        assert_eq!(tail.at_least(900.0), 0);
        assert!(tail.max() < 2.0, "{}", tail.max());
    }

    #[test]
    fn any_magnitude_has_a_bucket() {
        let mut tail = Tail::default();
        for magnitude in [0.0, -0.0, f64::NAN, f64::MIN_POSITIVE, f64::INFINITY, f64::MAX, 1e-300, -5.0] {
            tail.add(magnitude);
            assert!(tail.share_at_least(magnitude) > 0.0);
            assert!(tail.strangeness(magnitude).is_none_or(|strangeness| strangeness.is_finite()), "{magnitude}");
        }
    }
}
