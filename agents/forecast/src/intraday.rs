//! Whether a day becomes a surge, from the counts of its first hours.
//!
//! Which share of a day's counts has usually come by an hour is learnt. The day's own rate is a gamma variable around the expected
//! one; what came so far bends it, and what is still to come is negative binomial.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;

/// Days after which a day's hours weigh half.
const DAYS: f64 = 120.0;
/// A day's rate is taken to vary by at least a sixth around the expected one: surges are days unlike others.
const SHAPE_MAX: f64 = 40.0;

/// The hours of the days of a group of keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intraday {
    hours: [f64; 24],
}

impl Default for Intraday {
    fn default() -> Intraday {
        Intraday { hours: [1.0; 24] }
    }
}

impl Intraday {
    /// Learns the hours of a day that is over; all of a surge weigh no more than `usual` counts.
    pub fn learn(&mut self, hours: &[f64; 24], usual: f64) {
        let total: f64 = hours.iter().filter(|count| count.is_finite()).sum();
        let weight = if total > usual.max(1.0) { usual.max(1.0) / total } else { 1.0 };
        let keep = 0.5f64.powf(1.0 / DAYS);
        for (known, count) in self.hours.iter_mut().zip(hours) {
            *known = *known * keep + if count.is_finite() { count.max(0.0) * weight } else { 0.0 };
        }
    }

    /// Which share of a day's counts has usually come by a minute of the day.
    pub fn share(&self, minute: u32) -> f64 {
        let at = f64::from(minute.min(1440)) / 60.0;
        let total: f64 = self.hours.iter().sum();
        let come: f64 = self.hours.iter().enumerate().map(|(hour, count)| count * (at - hour as f64).clamp(0.0, 1.0)).sum();
        if total > 0.0 { come / total } else { at / 24.0 }
    }

    /// The chance that a day of which `mean` is expected with a variance of `dispersion` means ends with `limit` or more, when
    /// `count` came by a minute of it.
    pub fn chance(&self, mean: f64, dispersion: f64, count: f64, minute: u32, limit: f64) -> f64 {
        if count >= limit {
            return 1.0;
        }
        let (mean, come) = (mean.clamp(1e-3, 1e9), self.share(minute));
        let shape = (mean / (dispersion - 1.0).max(1e-3)).min(SHAPE_MAX);
        let rate = (shape + count.max(0.0)) / (shape + mean * come);
        let left = mean * (1.0 - come);
        let chance = Chance::new(left * rate, 1.0 + left / (shape + mean * come));
        1.0 - chance.at_most((limit - count).ceil() - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_morning_of_many_reports_is_a_surge_before_noon() {
        let mut day = [0.0; 24];
        day[8..20].fill(5.0);
        let mut intraday = Intraday::default();
        (0..30).for_each(|_| intraday.learn(&day, 100.0));
        assert!((intraday.share(14 * 60) - 0.5).abs() < 0.02);
        assert!(intraday.chance(60.0, 1.5, 10.0, 600, 100.0) < 0.01, "as usual");
        assert!(intraday.chance(60.0, 1.5, 40.0, 600, 100.0) > 0.8, "four times the usual by ten");
        assert_eq!(intraday.chance(60.0, 1.5, 100.0, 600, 100.0), 1.0);
        assert!(intraday.chance(f64::NAN, f64::NAN, f64::NAN, 9_999, 5.0).is_finite());
    }
}
