//! How good forecasts were, beside the seasonal naive one.

use serde::{Deserialize, Serialize};

use crate::counts::Outlook;

/// Sums over judged forecasts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Skill {
    /// How many were judged.
    pub forecasts: u64,
    /// Sum of what came.
    pub actual: f64,
    absolute: f64,
    absolute_naive: f64,
    square: f64,
    square_naive: f64,
    inside: u64,
    width: f64,
    pinball: f64,
}

impl Skill {
    /// Judges one forecast whose interval should hold with `level`; `naive` is what came a season before.
    pub fn add(&mut self, outlook: &Outlook, level: f64, naive: f64, actual: f64) {
        self.forecasts += 1;
        self.actual += actual;
        self.absolute += (actual - outlook.median).abs();
        self.absolute_naive += (actual - naive).abs();
        self.square += (actual - outlook.mean).powi(2);
        self.square_naive += (actual - naive).powi(2);
        self.inside += u64::from((outlook.lo..=outlook.hi).contains(&actual));
        self.width += outlook.hi - outlook.lo;
        let tail = (1.0 - level) / 2.0;
        let pinball = |quantile: f64, share: f64| if actual >= quantile { share * (actual - quantile) } else { (1.0 - share) * (quantile - actual) };
        self.pinball += (pinball(outlook.lo, tail) + pinball(outlook.median, 0.5) + pinball(outlook.hi, 1.0 - tail)) / 3.0;
    }

    /// Adds the sums of another.
    pub fn join(&mut self, other: &Skill) {
        self.forecasts += other.forecasts;
        self.actual += other.actual;
        self.absolute += other.absolute;
        self.absolute_naive += other.absolute_naive;
        self.square += other.square;
        self.square_naive += other.square_naive;
        self.inside += other.inside;
        self.width += other.width;
        self.pinball += other.pinball;
    }

    fn mean(&self, sum: f64) -> f64 {
        sum / self.forecasts.max(1) as f64
    }

    /// 1 - MAE / MAE of the naive forecast; `None` where the naive one never erred.
    pub fn skill(&self) -> Option<f64> {
        (self.absolute_naive > 0.0).then(|| 1.0 - self.absolute / self.absolute_naive)
    }

    /// The same by root mean square, of the expected values.
    pub fn skill_square(&self) -> Option<f64> {
        (self.square_naive > 0.0).then(|| 1.0 - (self.square / self.square_naive).sqrt())
    }

    /// Mean absolute error, of the medians.
    pub fn mae(&self) -> f64 {
        self.mean(self.absolute)
    }

    /// Mean absolute error of the naive forecast.
    pub fn mae_naive(&self) -> f64 {
        self.mean(self.absolute_naive)
    }

    /// Share of what came that lay in its interval.
    pub fn coverage(&self) -> f64 {
        self.mean(self.inside as f64)
    }

    /// Mean width of the intervals.
    pub fn width(&self) -> f64 {
        self.mean(self.width)
    }

    /// Mean pinball loss over lower end, median and upper end.
    pub fn pinball(&self) -> f64 {
        self.mean(self.pinball)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_by_hand() {
        let mut skill = Skill::default();
        let outlook = Outlook { median: 2.0, mean: 2.5, lo: 1.0, hi: 4.0 };
        skill.add(&outlook, 0.8, 5.0, 3.0);
        skill.add(&outlook, 0.8, 5.0, 5.0);
        assert_eq!((skill.mae(), skill.mae_naive(), skill.skill()), (2.0, 1.0, Some(-1.0)));
        assert_eq!((skill.coverage(), skill.width()), (0.5, 3.0));
        // At 3: 0.1*2, 0.5*1, 0.1*1; at 5: 0.1*4, 0.5*3, 0.9*1.
        assert!((skill.pinball() - (0.8 + 2.8) / 6.0).abs() < 1e-12);
        assert_eq!(Skill::default().skill(), None);
    }
}
