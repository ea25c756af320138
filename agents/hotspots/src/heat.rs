//! How hot a matter is: how many callers of late, against how many there usually are.
//!
//! Two sums of callers fade by half in [`FAST_DAYS`] and [`SLOW_DAYS`] (exponential moving averages). What the slow sum
//! lets expect in the fast one is usual; heat is the fast sum times how far it is above the usual. A nuisance that has
//! been reported every week for years is warm; the same number of callers from nothing is hot.

use crate::matter::Matter;

/// Days in which the recent callers count half.
pub const FAST_DAYS: f64 = 14.0;
/// Days in which the long-run callers count half.
pub const SLOW_DAYS: f64 = 180.0;
const DAY_US: f64 = 86_400e6;
const MICRO: f64 = 1e6;

impl Matter {
    /// Lets both sums fade up to a time; time that goes back fades nothing.
    pub(crate) fn fade(&mut self, now_us: i64) {
        let (fast, slow) = self.faded(now_us);
        self.fast_micro = (fast * MICRO) as u64;
        self.slow_micro = (slow * MICRO) as u64;
        self.faded_us = self.faded_us.max(now_us);
    }

    fn faded(&self, now_us: i64) -> (f64, f64) {
        let days = now_us.saturating_sub(self.faded_us).max(0) as f64 / DAY_US;
        let fades = |micro: u64, half: f64| micro as f64 / MICRO * (-days / half).exp2();
        (fades(self.fast_micro, FAST_DAYS), fades(self.slow_micro, SLOW_DAYS))
    }

    /// Counts one more caller, or the joining of another matter's.
    pub(crate) fn warm(&mut self, fast_micro: u64, slow_micro: u64) {
        self.fast_micro = self.fast_micro.saturating_add(fast_micro);
        self.slow_micro = self.slow_micro.saturating_add(slow_micro);
    }

    /// Its heat at a time: callers of late × log2(1 + callers of late / (1 + usual)), plus log2(1 + likes).
    pub fn heat(&self, now_us: i64) -> f64 {
        let (fast, slow) = self.faded(now_us);
        // A steady stream of callers gives sums in the proportion of the two half-lives; the newest callers are in both.
        let usual = (slow - fast).max(0.0) * FAST_DAYS / (SLOW_DAYS - FAST_DAYS);
        fast * (1.0 + fast / (1.0 + usual)).log2() + (1.0 + self.likes as f64).log2() * fast.min(1.0)
    }

    /// Its highest heat so far.
    pub fn peak_heat(&self) -> f64 {
        self.peak_heat_milli as f64 / 1000.0
    }

    pub(crate) fn note_peak(&mut self, now_us: i64) {
        self.peak_heat_milli = self.peak_heat_milli.max((self.heat(now_us) * 1000.0) as u64);
    }
}
