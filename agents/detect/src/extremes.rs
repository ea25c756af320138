//! How rare a magnitude is, beyond the largest that was seen, too: ranks, and a power law through the largest.
//!
//! A rank alone is never below one in as many as were seen. Above the threshold that the `k` largest pass, the tail is taken as a power law
//! whose index is their mean logarithm above it (Hill 1975; Weissman 1978): the law with the heaviest tail that fits, so that
//! what falls faster, as noise does, is called rarer than it is by too little rather than by too much.

use crate::tail::{MEMORY_VALUES, Tail};

/// So many of the largest are kept at most, and this share of all when there are few.
const KEPT: usize = 64;
const KEPT_SHARE: u32 = 10;
/// Fewer say nothing of the law.
const KEPT_MIN: usize = 10;
/// The least index: what is beyond by a twentieth is never called rarer than e times.
const INDEX_MIN: f64 = 0.05;

/// Ranks of magnitudes and the largest of them; 3 KiB, whatever it is given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extremes {
    all: Tail,
    /// The largest, falling.
    largest: Vec<f64>,
    seen: u32,
}

impl Extremes {
    /// The share of what was seen, and would be seen, that is as large as this or larger.
    pub(crate) fn share(&self, magnitude: f64) -> f64 {
        if magnitude <= 0.0 {
            return 1.0;
        }
        let kept = KEPT.min((self.seen / KEPT_SHARE) as usize).min(self.largest.len());
        if kept < KEPT_MIN || magnitude <= self.largest[kept - 1] || self.largest[kept - 1] <= 0.0 {
            return self.all.share_at_least(magnitude);
        }
        let threshold = self.largest[kept - 1];
        let index = self.largest[..kept - 1].iter().map(|it| (it / threshold).ln()).sum::<f64>() / (kept - 1) as f64;
        kept as f64 / f64::from(self.seen + 1) * (magnitude / threshold).powf(-1.0 / index.max(INDEX_MIN))
    }

    /// Takes a magnitude in.
    pub(crate) fn add(&mut self, magnitude: f64) {
        let magnitude = if magnitude.is_finite() { magnitude.abs() } else { 0.0 };
        self.all.add(magnitude);
        self.seen += 1;
        let place = self.largest.partition_point(|it| *it >= magnitude);
        if place < KEPT {
            self.largest.insert(place, magnitude);
            self.largest.truncate(KEPT);
        }
        if self.seen >= MEMORY_VALUES {
            // Every second of the largest stays, as of all.
            self.seen /= 2;
            let mut at = 0;
            self.largest.retain(|_| {
                at += 1;
                at % 2 == 0
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance_made::Noise;

    #[test]
    fn shares_hold_beyond_what_was_seen() {
        let (mut extremes, mut noise) = (Extremes::default(), Noise(3));
        // Pareto of index 0.5: a share of x^-2 is above x.
        (0..2_000).for_each(|_| extremes.add(noise.uniform().max(1e-12).powf(-0.5)));
        for (magnitude, share) in [(2.0, 0.25), (10.0, 0.01), (100.0, 1e-4), (1_000.0, 1e-6)] {
            let said = extremes.share(magnitude);
            assert!((said / share).ln().abs() < 1.4, "{magnitude}: {said}, {share}");
        }
        assert_eq!((extremes.share(0.0), extremes.share(-1.0)), (1.0, 1.0));
    }

    #[test]
    fn a_light_tail_is_not_called_rarer_than_it_is() {
        let (mut extremes, mut noise) = (Extremes::default(), Noise(4));
        (0..5_000).for_each(|_| extremes.add(noise.normal()));
        // Of absolute values of a normal variable 6.3e-5 are above 4.
        assert!(extremes.share(4.0) > 6e-5, "{}", extremes.share(4.0));
    }

    #[test]
    fn anything_is_taken_and_the_memory_is_bounded() {
        let mut extremes = Extremes::default();
        for at in 0..200_000_u32 {
            extremes.add([f64::NAN, f64::INFINITY, -3.0, 0.0, f64::MAX, 1e-300][at as usize % 6]);
            assert!((0.0..=1.0).contains(&extremes.share(f64::from(at))));
        }
        assert!(extremes.largest.len() <= KEPT && extremes.seen < MEMORY_VALUES);
    }
}
