//! The chance of counts: the negative binomial by mean and dispersion, and what measured chances make of it.

use serde::{Deserialize, Serialize};

/// From this mean on the normal distribution stands in.
const NORMAL_FROM: f64 = 200.0;
/// Below this dispersion counts are Poisson.
const POISSON_BELOW: f64 = 1.01;

/// Counts of a mean whose variance is `dispersion` times the mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chance {
    mean: f64,
    dispersion: f64,
}

impl Chance {
    /// A mean of 0 or more and a dispersion of 1 or more; what is not so is taken as the nearest that is.
    pub fn new(mean: f64, dispersion: f64) -> Chance {
        let mean = if mean.is_finite() { mean.clamp(0.0, 1e12) } else { 0.0 };
        Chance { mean, dispersion: if dispersion.is_finite() { dispersion.clamp(1.0, 1e6) } else { 1.0 } }
    }

    /// Walks the chances of 0, 1, 2, ... cumulated until `enough` says so or all is walked.
    fn walk(&self, mut enough: impl FnMut(u64, f64) -> bool) {
        let poisson = self.dispersion < POISSON_BELOW;
        let r = self.mean / (self.dispersion - 1.0);
        let mut chance = if poisson { (-self.mean).exp() } else { self.dispersion.powf(-r) };
        let odds = 1.0 - 1.0 / self.dispersion;
        let mut sum = 0.0;
        let last = (self.mean + 40.0 * (self.mean * self.dispersion).sqrt() + 40.0 * self.dispersion) as u64;
        for count in 0..=last.min(200_000) {
            sum += chance;
            if enough(count, sum) {
                return;
            }
            let next = count as f64 + 1.0;
            chance *= if poisson { self.mean / next } else { (count as f64 + r) / next * odds };
        }
    }

    fn deviation(&self) -> f64 {
        (self.mean * self.dispersion).sqrt().max(1e-9)
    }

    /// The chance of at most `count`; below zero, 0.
    pub fn at_most(&self, count: f64) -> f64 {
        if count < 0.0 || count.is_nan() {
            return 0.0;
        }
        if self.mean >= NORMAL_FROM {
            return normal((count.floor() + 0.5 - self.mean) / self.deviation());
        }
        let mut found = 1.0;
        self.walk(|at, sum| {
            found = sum;
            at as f64 >= count.floor()
        });
        found.min(1.0)
    }

    /// The least count whose chance of at most it is `share` or more.
    pub fn quantile(&self, share: f64) -> f64 {
        let share = if share.is_nan() { 0.5 } else { share.clamp(1e-9, 1.0 - 1e-9) };
        if self.mean >= NORMAL_FROM {
            return (self.mean + self.deviation() * normal_quantile(share) - 0.5).ceil().max(0.0);
        }
        let mut found = 0;
        self.walk(|at, sum| {
            found = at;
            sum >= share
        });
        found as f64
    }
}

/// The standard normal's chance of at most `z`; error below 1e-7 (Abramowitz and Stegun 26.2.17).
pub fn normal(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let tail = t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let tail = tail * (-z * z / 2.0).exp() * 0.398_942_280_401;
    if z >= 0.0 { 1.0 - tail } else { tail }
}

/// The `z` below which a share of the standard normal lies; error below 5e-4 (Abramowitz and Stegun 26.2.23).
pub fn normal_quantile(share: f64) -> f64 {
    let tail = share.min(1.0 - share).max(1e-12);
    let t = (-2.0 * tail.ln()).sqrt();
    let z = t - (2.515_517 + t * (0.802_853 + t * 0.010_328)) / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)));
    if share < 0.5 { -z } else { z }
}

const BINS: usize = 20;

/// How often counts fell where in the distribution that was foretold: flat when the distribution is right.
///
/// A count of a discrete distribution fills the stretch between the chances of less than it and of at most it
/// (Czado, Gneiting, Held 2009).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    bins: [f64; BINS],
    seen: f64,
}

impl Default for Measured {
    fn default() -> Measured {
        Measured { bins: [0.0; BINS], seen: 0.0 }
    }
}

impl Measured {
    /// Counts one outcome; older ones lose the share `forget`.
    pub fn add(&mut self, below: f64, at_most: f64, forget: f64) {
        for bin in &mut self.bins {
            *bin *= 1.0 - forget;
        }
        self.seen = self.seen * (1.0 - forget) + 1.0;
        let (from, to) = (below * BINS as f64, at_most.max(below) * BINS as f64);
        let width = to - from;
        for (at, bin) in self.bins.iter_mut().enumerate() {
            let inside = to.min(at as f64 + 1.0) - from.max(at as f64);
            if width < 1e-9 {
                *bin += f64::from(u8::from(from.min(BINS as f64 - 1e-6) as usize == at));
            } else if inside > 0.0 {
                *bin += inside / width;
            }
        }
    }

    /// Which share of the foretold distribution holds `share` of what came: this record, helped by `prior`, which weighs as
    /// many outcomes as `weight`, and by a flat one.
    pub fn share(&self, share: f64, prior: &Measured, weight: f64) -> f64 {
        const FLAT: f64 = 20.0;
        let from_prior = prior.seen.min(weight) / prior.seen.max(1e-9);
        let bin = |at: usize| self.bins[at] + prior.bins[at] * from_prior + FLAT / BINS as f64;
        let total: f64 = (0..BINS).map(bin).sum();
        let mut sum = 0.0;
        for at in 0..BINS {
            let height = bin(at) / total;
            if sum + height >= share {
                return (at as f64 + (share - sum) / height) / BINS as f64;
            }
            sum += height;
        }
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_chances_agree() {
        for mean in [0.0, 0.03, 0.7, 4.0, 60.0, 199.0, 900.0] {
            for dispersion in [1.0, 1.4, 3.0, 12.0] {
                let chance = Chance::new(mean, dispersion);
                for share in [0.01, 0.1, 0.5, 0.9, 0.99] {
                    let count = chance.quantile(share);
                    assert!(chance.at_most(count) >= share - 1e-3, "{mean} {dispersion} {share} {count}");
                    assert!(count == 0.0 || chance.at_most(count - 1.0) < share + 1e-3, "{mean} {dispersion} {share} {count}");
                }
            }
        }
    }

    #[test]
    fn known_values() {
        // Poisson of mean 2: 1 - e^-2 * (1 + 2 + 2) = 0.3233 above 2.
        assert!((Chance::new(2.0, 1.0).at_most(2.0) - 0.676_676).abs() < 1e-5);
        // Negative binomial of mean 2, variance 4: r = 2, p = 1/2; at most 1: 1/4 + 1/4.
        assert!((Chance::new(2.0, 2.0).at_most(1.0) - 0.5).abs() < 1e-9);
        assert!((normal(1.959_964) - 0.975).abs() < 1e-5);
        assert!((normal_quantile(0.95) - 1.644_854).abs() < 5e-4);
    }

    #[test]
    fn nonsense_is_no_panic() {
        for value in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            let chance = Chance::new(value, value);
            assert!(chance.quantile(value).is_finite());
            assert!((0.0..=1.0).contains(&chance.at_most(value)));
        }
    }

    #[test]
    fn measured_chances_widen_what_was_too_narrow() {
        let mut measured = Measured::default();
        for at in 0..200 {
            let edge = if at % 2 == 0 { 0.01 } else { 0.99 };
            measured.add(edge, edge, 0.0);
        }
        let none = Measured::default();
        assert!(measured.share(0.1, &none, 50.0) < 0.02);
        assert!(measured.share(0.9, &none, 50.0) > 0.98);
        assert!((none.share(0.3, &none, 50.0) - 0.3).abs() < 1e-9);
    }
}
