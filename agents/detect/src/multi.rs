//! Several series read at once: one score for each row, and the column that drove it.
//!
//! Five questions are asked of a row: does a column look strange by itself ([`Detector`]); does a column stand where the
//! others, and all of them one row before, do not put it, at once or over some rows; do many columns stand off a little together; is a column stuck ([`Health`]). The relations between columns are one
//! inverse covariance matrix that is kept up to date row by row (recursive least squares of each column on all others
//! at once, with forgetting: Haykin, Adaptive Filter Theory, chapter 13). Each answer is ranked among those of earlier rows, which
//! makes it a conformal p-value, with a power law beyond the largest ([`Extremes`]); the least of them, times their number, gives the
//! score. How far columns go astray is made comparable by what each of them seldom exceeds. No option needs to be set for
//! a series. Knows nothing of what columns mean.

use crate::detector::{Detector, Kind, Options};
use crate::extremes::Extremes;
use crate::health::Health;

/// What is said of one row.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RowScore {
    /// From 0 to 1: `1 / (1 + 1000 p)`, where p is the share of rows that are as strange. 0.5 is once in a
    /// thousand rows. Beyond the strangest rows so far, p is extrapolated. 0 while learning.
    pub anomaly: f64,
    /// The column that drove it; `None` where nothing can be said.
    pub driver: Option<usize>,
}

/// Rows that are learnt from before any is called strange.
const WARMUP_ROWS: u64 = 200;
/// Up to so many columns, the row before is looked at too; the work grows with the square.
const COLUMNS_WITH_BEFORE: usize = 32;
/// More columns are each looked at alone.
const COLUMNS_RELATED_MAX: usize = 512;
/// So many rows are remembered by relations.
const MEMORY_ROWS: f64 = 4_000.0;
/// A cell teaches as if it lay this many deviations off at most.
const CLIP: f64 = 4.0;
/// What a residual seldom exceeds is once in a hundred rows: up by a factor when it does, down by its 99th root when not.
const SELDOM_UP: f64 = 1.05;
const SELDOM_DOWN: f64 = 0.999_507_3;
/// A column is called stuck where it is so many times as rare as it must be for one sensor, times the number of columns.
const SURE: usize = 10;
/// A relation that stays broken for some seven rows is one row's question of its own.
const LASTING_RATE: f64 = 0.15;
const SLOTS: usize = 48;

/// The detector of several columns. Its size grows with the square of their number and not with the rows.
#[derive(Debug, Clone)]
pub struct Multi {
    columns: Vec<Column>,
    relations: Option<Relations>,
    rows: u64,
    /// Ranks of the strangest single column, the strangest relation, the mean of all, and the relation that is strangest over some rows.
    ranks: [Extremes; 4],
}

#[derive(Debug, Clone)]
struct Column {
    detector: Detector,
    seen: f64,
    mean: f64,
    slots: [f64; SLOTS],
    slots_seen: [f32; SLOTS],
    spread: f64,
    residual_spread: f64,
    /// How many spreads a residual stood off over the last rows.
    lasting: f64,
    seldom: Seldom,
    seldom_lasting: Seldom,
    health: Health,
}

/// What a magnitude exceeds once in a hundred rows.
#[derive(Debug, Clone)]
struct Seldom {
    level: f64,
}

impl Seldom {
    fn learn(&mut self, magnitude: f64) {
        self.level = (self.level * if magnitude > self.level { SELDOM_UP } else { SELDOM_DOWN }).clamp(1.0, 1e6);
    }
}

impl Multi {
    /// A detector of so many columns that has seen nothing.
    pub fn new(columns: usize) -> Multi {
        let size = if columns <= COLUMNS_WITH_BEFORE { 2 * columns } else { columns };
        Multi {
            columns: vec![Column::new(); columns],
            relations: ((2..=COLUMNS_RELATED_MAX).contains(&columns)).then(|| Relations::new(size, columns)),
            rows: 0,
            ranks: Default::default(),
        }
    }

    /// Scores the next row, then learns from it. `time_us` is its time in microseconds since 1970, of which the hour of the
    /// day and the day of the week are taken. A cell that is not finite is not read; columns beyond the row's end are such.
    pub fn score(&mut self, time_us: i64, row: &[f64]) -> RowScore {
        let (slot, count) = (slot(time_us), self.columns.len());
        let mut off = vec![f64::NAN; self.columns.len()];
        let (mut alone, mut stuck) = (Strangest::default(), Strangest::default());
        for (at, column) in self.columns.iter_mut().enumerate() {
            // Larger values are no measurements, and their squares no numbers.
            let value = row.get(at).copied().filter(|value| value.abs() < 1e100).unwrap_or(f64::NAN);
            let anomaly = column.detector.score(time_us, value).anomaly;
            // As odds, which have no upper bound.
            alone.offer(at, anomaly / (1.0 - anomaly).max(1e-9));
            let fault = column.health.look(time_us, value);
            let fault = fault.score(SURE * count);
            // Once told, a column that stays stuck does not hide the others.
            if fault.why == Kind::Stuck && fault.anomaly >= 0.5 {
                stuck.offer(at, fault.anomaly);
            }
            off[at] = column.standardise(slot, value);
        }
        if off.iter().all(|it| it.is_nan()) {
            return RowScore::default();
        }
        let (mut related, mut lasting, mut all) = (Strangest::default(), Strangest::default(), 0.0);
        if let Some(relations) = &mut self.relations {
            let residuals = relations.residuals(&off);
            let mut counted = 0.0_f64;
            for (at, (column, residual)) in self.columns.iter_mut().zip(residuals).enumerate().filter(|(_, (_, it))| it.is_finite()) {
                let strange = residual.abs() / column.residual_spread.max(1e-9);
                related.offer(at, strange / column.seldom.level);
                column.seldom.learn(strange);
                column.lasting += LASTING_RATE * (strange.min(4.0 * CLIP) - column.lasting);
                lasting.offer(at, column.lasting / column.seldom_lasting.level);
                column.seldom_lasting.learn(column.lasting);
                all += strange.min(2.0 * CLIP);
                counted += 1.0;
                column.residual_spread += (residual.abs().min(CLIP * column.residual_spread.max(0.05)) - column.residual_spread) * rate(column.seen, 0.001);
            }
            all /= counted.max(1.0);
        }
        self.rows += 1;
        let strange = [alone.value, related.value, all, lasting.value];
        let shares = [0, 1, 2, 3].map(|at| self.ranks[at].share(strange[at]));
        // What is learnt before relations are known says nothing of their rank.
        if self.rows > WARMUP_ROWS / 2 {
            self.ranks.iter_mut().zip(strange).for_each(|(rank, strange)| rank.add(strange));
        }
        if self.rows <= WARMUP_ROWS {
            return RowScore::default();
        }
        let share = shares.into_iter().fold(1.0, f64::min);
        let driver = if shares[0] <= share { alone.at } else if shares[3] <= share { lasting.at } else { related.at };
        let asked = if self.relations.is_some() { 4.0 } else { 1.0 };
        let anomaly = 1.0 / (1.0 + 1_000.0 * (asked * share).min(1.0));
        if stuck.value > anomaly { RowScore { anomaly: stuck.value, driver: stuck.at } } else { RowScore { anomaly, driver } }
    }
}

#[derive(Default)]
struct Strangest {
    at: Option<usize>,
    value: f64,
}

impl Strangest {
    fn offer(&mut self, at: usize, value: f64) {
        if value > self.value {
            (self.at, self.value) = (Some(at), value);
        }
    }
}

/// The hour of the day, on working days and on the two days of the weekend.
fn slot(time_us: i64) -> usize {
    let hour = time_us.div_euclid(3_600_000_000);
    // 1970 began on a Thursday.
    let weekend = (hour.div_euclid(24) + 3).rem_euclid(7) >= 5;
    hour.rem_euclid(24) as usize + if weekend { 24 } else { 0 }
}

fn rate(seen: f64, least: f64) -> f64 {
    (1.0 / (seen + 1.0)).max(least)
}

impl Column {
    fn new() -> Column {
        let detector = Detector::new(Options::default());
        Column { detector, seen: 0.0, mean: 0.0, slots: [0.0; SLOTS], slots_seen: [0.0; SLOTS], spread: 0.0, residual_spread: 1.0, lasting: 1.0, seldom: Seldom { level: 4.0 }, seldom_lasting: Seldom { level: 2.0 }, health: Health::default() }
    }

    /// How far the value stands from what is usual at this hour, in deviations; then learns from it.
    fn standardise(&mut self, slot: usize, value: f64) -> f64 {
        if value.is_nan() {
            return f64::NAN;
        }
        if self.seen == 0.0 {
            self.mean = value;
        }
        let seen = f64::from(self.slots_seen[slot]);
        let usual = self.mean + self.slots[slot] * seen / (seen + 12.0);
        let off = value - usual;
        let known = self.spread.max(1e-9 * (1.0 + self.mean.abs()));
        let taught = if self.seen > 50.0 { off.clamp(-CLIP * known, CLIP * known) } else { off };
        self.seen += 1.0;
        self.spread += (off.abs().min(2.0 * CLIP * known.max(off.abs() / self.seen)) - self.spread) * rate(self.seen, 0.0005);
        self.slots_seen[slot] = (self.slots_seen[slot] + 1.0).min(1e6);
        self.slots[slot] += (usual + taught - self.mean - self.slots[slot]) * rate(seen, 0.01);
        self.mean += taught * rate(self.seen, 0.0005);
        (off / known).clamp(-1e6, 1e6)
    }
}

/// The inverse covariance matrix of all columns, and of the row before where they are few.
#[derive(Debug, Clone)]
struct Relations {
    size: usize,
    columns: usize,
    inverse: Vec<f64>,
    before: Vec<f64>,
    leak: usize,
}

impl Relations {
    fn new(size: usize, columns: usize) -> Relations {
        let mut relations = Relations { size, columns, inverse: Vec::new(), before: vec![0.0; columns], leak: 0 };
        relations.forget();
        relations
    }

    /// Begins again with columns that have nothing to do with each other.
    fn forget(&mut self) {
        self.inverse = vec![0.0; self.size * self.size];
        (0..self.size).for_each(|at| self.inverse[at * self.size + at] = 1.0 / 20.0);
    }

    /// What is left of each column when the others are known; `NaN` where nothing was read. Then learns from the row.
    fn residuals(&mut self, off: &[f64]) -> Vec<f64> {
        let known: Vec<f64> = off.iter().map(|it| if it.is_nan() { 0.0 } else { it.clamp(-1.5 * CLIP, 1.5 * CLIP) }).collect();
        let mut row = known.clone();
        if self.size > self.columns {
            row.extend(&self.before);
        }
        let product = self.times(&row);
        let left = |at: usize| {
            // A cell beyond the clip is beyond by as much when the others are known.
            let beyond = off[at] - known[at];
            product[at] / self.inverse[at * self.size + at] + beyond
        };
        let residuals = (0..self.columns).map(|at| if off[at].is_nan() { f64::NAN } else { left(at) }).collect();
        self.update(&row, &product, 1.0 - 1.0 / MEMORY_ROWS);
        // Forgetting takes away what keeps columns apart that are always equal: one direction a row gets it back.
        let mut unit = vec![0.0; self.size];
        self.leak = (self.leak + 1) % self.size;
        unit[self.leak] = (20.0 * self.size as f64 / MEMORY_ROWS).sqrt();
        let product = self.times(&unit);
        self.update(&unit, &product, 1.0);
        self.before = known;
        residuals
    }

    fn times(&self, row: &[f64]) -> Vec<f64> {
        self.inverse.chunks_exact(self.size).map(|line| line.iter().zip(row).map(|(a, b)| a * b).sum()).collect()
    }

    /// Sherman and Morrison's formula for one row more.
    fn update(&mut self, row: &[f64], product: &[f64], keep: f64) {
        let scale = keep + row.iter().zip(product).map(|(a, b)| a * b).sum::<f64>();
        for (line, left) in self.inverse.chunks_exact_mut(self.size).zip(product) {
            let by = left / scale;
            line.iter_mut().zip(product).for_each(|(it, right)| *it = (*it - by * right) / keep);
        }
        let sound = scale > 0.0 && (0..self.size).all(|at| self.inverse[at * self.size + at] > 1e-12);
        if !sound {
            self.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance_made::Noise;

    const MINUTE_US: i64 = 60_000_000;

    #[test]
    fn a_column_that_leaves_the_others_is_named() {
        let (mut multi, mut noise) = (Multi::new(3), Noise(5));
        let mut highest = 0.0_f64;
        for at in 0..3_000 {
            let common = 10.0 * noise.normal();
            // Each value stays within its own range; only the relation breaks.
            let second = if at == 2_900 { -common - 12.0 * common.signum() } else { 2.0 * common + 0.5 * noise.normal() };
            let score = multi.score(at * 5 * MINUTE_US, &[common + 0.5 * noise.normal(), second, noise.normal()]);
            if at == 2_900 {
                assert!(score.anomaly > 0.4 && score.anomaly > highest, "{score:?} {highest}");
                assert!(matches!(score.driver, Some(0 | 1)), "{score:?}");
            } else if at > 1_000 {
                highest = if at < 2_900 { highest.max(score.anomaly.min(0.5)) } else { highest };
            }
        }
    }

    #[test]
    fn scores_are_as_rare_as_they_say() {
        let (mut multi, mut noise) = (Multi::new(4), Noise(9));
        let alarms = (0..20_000).filter(|at| multi.score(at * 5 * MINUTE_US, &[noise.normal(), noise.normal(), noise.normal(), noise.normal()]).anomaly >= 0.5).count();
        assert!(alarms <= 40, "{alarms} of 20,000 rows at one in a thousand");
    }

    #[test]
    fn a_stuck_column_among_many_is_named_once() {
        let (mut multi, mut noise) = (Multi::new(40), Noise(11));
        let mut told = Vec::new();
        for at in 0..1_500 {
            let mut row: Vec<f64> = (0..40).map(|_| (20.0 * noise.normal()).round()).collect();
            if at >= 1_200 {
                row[17] = 12.0;
            }
            let score = multi.score(at * 5 * MINUTE_US, &row);
            if score.anomaly >= 0.5 && score.driver == Some(17) {
                told.push(at);
            }
        }
        assert!(matches!(told[..], [1_203..=1_215]), "{told:?}");
    }

    #[test]
    fn any_rows_are_taken() {
        for columns in [0, 1, 2, 40] {
            let mut multi = Multi::new(columns);
            let odd = [f64::NAN, f64::INFINITY, f64::MIN, f64::MAX, 0.0, 1e-320, 7.0, 7.0];
            for at in 0..2_000_usize {
                let row: Vec<f64> = (0..at % 45).map(|column| odd[(at * 3 + column) % 8]).collect();
                let time = if at % 7 == 0 { i64::MIN } else { i64::MAX - at as i64 };
                let score = multi.score(time, &row);
                assert!((0.0..=1.0).contains(&score.anomaly) && score.driver.is_none_or(|driver| driver < columns));
            }
        }
    }
}
