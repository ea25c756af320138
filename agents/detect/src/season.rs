//! What is usual at a time of the day or of the week, learnt as the series goes.

const DAY_S: i64 = 86_400;
const WEEK_S: i64 = 7 * DAY_S;
/// A season is trusted where what it leaves unexplained is less than this share of the mean distance from the mean.
const UNEXPLAINED_MAX: f64 = 0.4;
/// The least weight of a new value in the mean unexplained rest.
const REST_RATE: f64 = 0.002;

fn bin<const N: usize>(time_us: i64, period_s: i64) -> usize {
    let second = time_us.div_euclid(1_000_000).rem_euclid(period_s);
    (second * N as i64 / period_s) as usize
}

/// How much a season leaves unexplained.
#[derive(Debug, Clone, Default)]
struct Rest {
    mean: f64,
    values: u64,
}

impl Rest {
    fn add(&mut self, rest: f64) {
        self.values += 1;
        self.mean += (1.0 / self.values as f64).max(REST_RATE) * (rest.abs() - self.mean);
    }
}

/// The usual value of each quarter of an hour of the day.
#[derive(Debug, Clone)]
pub(crate) struct Day {
    usual: [f64; 96],
    seen: [u32; 96],
    rest: Rest,
}

impl Default for Day {
    fn default() -> Day {
        Day { usual: [0.0; 96], seen: [0; 96], rest: Rest::default() }
    }
}

impl Day {
    /// What the value has beyond the usual of this quarter of an hour, `None` the first time; then learns it.
    pub(crate) fn residual(&mut self, time_us: i64, value: f64) -> Option<f64> {
        let bin = bin::<96>(time_us, DAY_S);
        let residual = (self.seen[bin] > 0).then(|| value - self.usual[bin]);
        if let Some(residual) = residual {
            self.rest.add(residual);
        }
        self.seen[bin] = self.seen[bin].saturating_add(1);
        self.usual[bin] += (1.0 / f64::from(self.seen[bin])).max(0.05) * (value - self.usual[bin]);
        residual
    }

    /// Whether the time of day explains most of how the series moves, `spread` being its mean distance from its mean.
    pub(crate) fn explains(&self, spread: f64) -> bool {
        self.rest.mean < UNEXPLAINED_MAX * spread
    }
}

/// The usual value of each hour of the week.
#[derive(Debug, Clone)]
pub(crate) struct Week {
    usual: [f64; 168],
    weeks: [u32; 168],
    hour: usize,
    hour_mean: f64,
    hour_values: u32,
    rest: Rest,
}

impl Default for Week {
    fn default() -> Week {
        Week { usual: [0.0; 168], weeks: [0; 168], hour: 0, hour_mean: 0.0, hour_values: 0, rest: Rest::default() }
    }
}

impl Week {
    /// What the value has beyond the usual of this hour of the week, `None` in the first two weeks.
    pub(crate) fn residual(&mut self, time_us: i64, value: f64) -> Option<f64> {
        let hour = bin::<168>(time_us, WEEK_S);
        if hour != self.hour {
            self.learn_hour();
            (self.hour, self.hour_mean, self.hour_values) = (hour, 0.0, 0);
        }
        self.hour_values = self.hour_values.saturating_add(1);
        self.hour_mean += (value - self.hour_mean) / f64::from(self.hour_values);
        let residual = (self.weeks[hour] >= 2).then(|| value - self.usual[hour]);
        if let Some(residual) = residual {
            self.rest.add(residual);
        }
        residual
    }

    fn learn_hour(&mut self) {
        if self.hour_values > 0 {
            let weeks = &mut self.weeks[self.hour];
            *weeks = weeks.saturating_add(1);
            self.usual[self.hour] += (1.0 / f64::from(*weeks)).max(0.3) * (self.hour_mean - self.usual[self.hour]);
        }
    }

    /// Whether enough was compared with it, and the hour of the week explains most of how the series moves.
    pub(crate) fn explains(&self, spread: f64) -> bool {
        self.rest.values >= 200 && self.rest.mean < UNEXPLAINED_MAX * spread
    }
}
