//! The health of one sensor, from its own stream: silence that is clearly longer than its cadence, and a value that stays
//! longer than this sensor ever plausibly repeats itself.
//!
//! Cadence and resolution are learnt: the cadence is the median of the last steps of time, the resolution a low quantile of how
//! far a value moved. How long values stay is counted as hazards, the chance that a run of a length ends with the next
//! value (the life table of Berkson and Gage 1950): for this very value, for values of its size, for all, each leaning on the next where it
//! has seen little, so that a floor, a dry month and coarse steps are known by having been there. Knows nothing of units, of what is
//! measured, or of other sensors.

use crate::detector::{Kind, Score};

/// How rare a fault must be to be worth an alarm, the score 0.5: once in a thousand runs of values.
const ALARM_RARITY: f64 = 1e-3;
/// Values that are learnt from before a value is called stuck, and before silence is noticed.
const WARMUP_VALUES: u64 = 100;
const WARMUP_STEPS: u64 = 24;
/// Fewer equal values are never stuck.
const STUCK_VALUES_MIN: u32 = 4;
/// Silence is clearly longer than the cadence from so many times the step that 19 of 20 steps keep.
const SILENT_STEPS: f64 = 3.5;
const STEPS_KEPT: f64 = 0.95;
/// A value stays while it moves by less than this quantile of the moves, zeros left out.
const RESOLUTION_QUANTILE: f64 = 0.02;
/// So many values in a row that lie behind the newest mean that the clock was set back.
const BEHIND_MAX: u8 = 8;
/// What is known of longer experience counts as so many steps of one's own: of shorter runs for all runs, of all for those of a size, of
/// those of a size for those of a value.
const PRIOR_STEPS_ALL: f32 = 4.0;
const PRIOR_STEPS: f32 = 16.0;
/// Where no run was so long yet, it ends with this share of the chance of shorter ones: calm goes on.
const DECLINE: f32 = 0.75;
/// How likely the next value is another, while nothing is known.
const HAZARD_FIRST: f32 = 0.5;
/// Classes of lengths: 1, 2, 3, then two to a doubling; the last is without end.
const CLASSES: usize = 32;
/// Sizes of values that are told apart, as powers of two, modulo; zero has one of its own.
const SIZES: usize = 16;
/// Values that often stay and are known by themselves.
const HOMES: usize = 16;
/// So many values are remembered at most; then each counts half.
const MEMORY_VALUES: u32 = 1 << 16;

/// Watches one sensor. Its size (about 12 KiB) does not depend on how long the stream is.
#[derive(Debug, Clone)]
pub struct Health {
    seen: u64,
    cadence: Cadence,
    moves: Spectrum,
    last: f64,
    run: Run,
    all: Lives,
    sizes: Vec<Lives>,
    homes: Vec<Home>,
    remembered: u32,
}

impl Default for Health {
    fn default() -> Health {
        Health {
            seen: 0,
            cadence: Cadence::default(),
            moves: Spectrum::default(),
            last: 0.0,
            run: Run::default(),
            all: Lives::default(),
            sizes: vec![Lives::default(); SIZES + 1],
            homes: Vec::with_capacity(HOMES),
            remembered: 0,
        }
    }
}

/// What is wrong with a sensor, if anything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// How rare it is among what this sensor does: the share of its runs that stay as long, and for silence what falls with the
    /// third power of its length.
    pub rarity: f64,
    /// [`Kind::Stuck`], [`Kind::Silent`], or [`Kind::Usual`].
    pub kind: Kind,
    /// How rare it was one value before, where the same fault goes on; else 1.
    pub before: f64,
}

impl Fault {
    const NONE: Fault = Fault { rarity: 1.0, kind: Kind::Usual, before: 1.0 };

    /// The fault as a score. A fault that was told with the value before stays below 0.5: one fault, one alarm. `times` asks for one that is so
    /// many times as rare, as where so many sensors are looked at together.
    pub fn score(&self, times: usize) -> Score {
        let asked = ALARM_RARITY / times.max(1) as f64;
        let anomaly = 1.0 / (1.0 + self.rarity / asked);
        let why = if self.rarity <= asked { self.kind } else { Kind::Usual };
        Score { anomaly: if self.before <= asked { 0.5 * anomaly.min(0.999) } else { anomaly }, why }
    }
}

impl Health {
    /// Looks at the next value, then learns from it. `time_us` is its time in microseconds since 1970. A value that is not finite is
    /// none: it changes nothing, and when it lasts it is silence.
    pub fn look(&mut self, time_us: i64, value: f64) -> Fault {
        if !value.is_finite() {
            return Fault::NONE;
        }
        let silent = self.cadence.step(time_us);
        let stuck = self.stays(value);
        // A run that was told and goes on does not hide that the sensor was silent.
        let hidden = stuck.rarity <= silent.rarity && stuck.before > ALARM_RARITY;
        if silent.kind == Kind::Silent && !hidden { silent } else { stuck }
    }

    fn stays(&mut self, value: f64) -> Fault {
        self.seen += 1;
        if self.seen == 1 {
            self.last = value;
            self.begin(value);
            return Fault::NONE;
        }
        let moved = (value - self.last).abs();
        self.last = value;
        if moved > 0.0 {
            self.moves.add(moved);
        }
        let (low, high) = (self.run.low.min(value), self.run.high.max(value));
        if high > low && high - low >= self.moves.quantile(RESOLUTION_QUANTILE) {
            self.end();
            self.begin(value);
            return Fault::NONE;
        }
        (self.run.low, self.run.high) = (low, high);
        let before = self.run.survival;
        self.run.survival *= f64::from(1.0 - self.run.hazard);
        self.run.length = self.run.length.saturating_add(1);
        if class(self.run.length) != class(self.run.length - 1) {
            self.enter();
        }
        if self.seen <= WARMUP_VALUES || self.run.length < STUCK_VALUES_MIN {
            return Fault::NONE;
        }
        if self.run.survival <= ALARM_RARITY && self.run.told_at.is_none() {
            self.run.told_at = Some(self.run.length);
        }
        // Where too short a run was as rare already, it is told now.
        let before = if self.run.told_before { before } else { 1.0 };
        self.run.told_before = true;
        Fault { rarity: self.run.survival, kind: Kind::Stuck, before }
    }

    fn begin(&mut self, value: f64) {
        let home = self.homes.iter().position(|home| home.value == value);
        self.run = Run { value, low: value, high: value, length: 1, size: size(value), home, survival: 1.0, hazard_of_all: HAZARD_FIRST / DECLINE, ..Run::default() };
        // Zero is what a dead sensor says: how seldom this one says it counts, too.
        if value == 0.0 {
            self.run.survival = f64::from((self.sizes[SIZES].steps[0] + 1.0) / (self.all.steps[0] + 1.0)).min(1.0);
        }
        self.enter();
    }

    /// A run enters a class of lengths: how likely it ends at each step there.
    fn enter(&mut self) {
        let class = class(self.run.length);
        let of_all = self.all.hazard(class, DECLINE * self.run.hazard_of_all, PRIOR_STEPS_ALL);
        // Values of a size that never stayed so long do not learn from a floor that values of another size stay at.
        let of_size = self.sizes[self.run.size].hazard(class, of_all.max(DECLINE * self.run.hazard_of_size), PRIOR_STEPS);
        self.run.hazard = self.run.home.map_or(of_size, |home| self.homes[home].lives.hazard(class, of_size, PRIOR_STEPS));
        (self.run.hazard_of_all, self.run.hazard_of_size) = (of_all, of_size);
    }

    /// A run has ended. Of one that was told it is learnt that it came so far: each alarm makes the next of its kind a little later, and a
    /// sensor that was stuck for days does not teach that this is usual.
    fn end(&mut self) {
        let Run { value, length, size, home, told_at, .. } = self.run;
        let (lived, ended) = (told_at.unwrap_or(length), told_at.is_none());
        self.all.learn(lived, ended);
        self.sizes[size].learn(lived, ended);
        let home = home.or_else(|| (length >= 3).then(|| self.home(value)));
        if let Some(home) = home {
            self.homes[home].lives.learn(lived, ended);
            self.homes[home].stayed = self.homes[home].stayed.saturating_add(lived - 1);
        }
        self.remembered = self.remembered.saturating_add(length);
        if self.remembered >= MEMORY_VALUES {
            self.remembered /= 2;
            self.all.forget_half();
            self.sizes.iter_mut().for_each(Lives::forget_half);
            self.homes.iter_mut().for_each(|home| {
                home.lives.forget_half();
                home.stayed /= 2;
            });
        }
    }

    /// A place for a value that stays, in place of the one that stayed least.
    fn home(&mut self, value: f64) -> usize {
        let home = Home { value, lives: Lives::default(), stayed: 0 };
        if self.homes.len() < HOMES {
            self.homes.push(home);
            return self.homes.len() - 1;
        }
        let least = self.homes.iter().enumerate().min_by_key(|(at, home)| (home.stayed, *at)).map_or(0, |(at, _)| at);
        self.homes[least] = home;
        least
    }
}

/// Values that stay: from the first of them on.
#[derive(Debug, Clone, Default)]
struct Run {
    value: f64,
    low: f64,
    high: f64,
    length: u32,
    size: usize,
    home: Option<usize>,
    hazard: f32,
    hazard_of_all: f32,
    hazard_of_size: f32,
    /// The share of such runs that come so far.
    survival: f64,
    /// At which length it became worth an alarm.
    told_at: Option<u32>,
    /// Whether anything was said of it yet.
    told_before: bool,
}

/// The class of a length.
fn class(length: u32) -> usize {
    let length = length.max(1);
    if length < 4 {
        return length as usize - 1;
    }
    let octave = length.ilog2();
    let half = (length >> (octave - 1)) & 1;
    (2 * octave as usize + half as usize - 1).min(CLASSES - 1)
}

/// The least length of a class.
fn least(class: usize) -> u32 {
    if class < 3 {
        return class as u32 + 1;
    }
    let (octave, half) = (class.div_ceil(2), (class + 1) % 2);
    (1 << octave) + if half == 1 { 1 << (octave - 1) } else { 0 }
}

/// The size of a value: its power of two, modulo, so that no unit is asked for.
fn size(value: f64) -> usize {
    if value == 0.0 { SIZES } else { (value.abs().to_bits() >> 52) as usize % SIZES }
}

/// How long runs lived: for each class of lengths the steps that were taken in it, and how many of them were the last.
#[derive(Debug, Clone, Default)]
struct Lives {
    steps: [f32; CLASSES],
    ends: [f32; CLASSES],
}

impl Lives {
    fn hazard(&self, class: usize, otherwise: f32, prior_steps: f32) -> f32 {
        (self.ends[class] + prior_steps * otherwise) / (self.steps[class] + prior_steps)
    }

    fn learn(&mut self, length: u32, ended: bool) {
        let last = class(length);
        for class in 0..last {
            self.steps[class] += (least(class + 1) - least(class)) as f32;
        }
        self.steps[last] += (length - least(last)) as f32 + if ended { 1.0 } else { 0.0 };
        self.ends[last] += if ended { 1.0 } else { 0.0 };
    }

    fn forget_half(&mut self) {
        self.steps.iter_mut().chain(&mut self.ends).for_each(|count| *count /= 2.0);
    }
}

/// A value that often stays.
#[derive(Debug, Clone)]
struct Home {
    value: f64,
    lives: Lives,
    stayed: u32,
}

/// How many of the last steps of time the cadence is the median of.
const STEPS: usize = 16;

/// How often the sensor speaks.
#[derive(Debug, Clone, Default)]
struct Cadence {
    newest_us: Option<i64>,
    behind: u8,
    steps: [f64; STEPS],
    seen: u64,
    median: f64,
    spectrum: Spectrum,
    /// The step before and how rare it was, where it was silence.
    silence: Option<(f64, f64)>,
}

impl Cadence {
    /// A value came at this time. Times that do not go on teach nothing; when they stay behind, the clock was set back.
    fn step(&mut self, time_us: i64) -> Fault {
        let Some(newest_us) = self.newest_us else {
            self.newest_us = Some(time_us);
            return Fault::NONE;
        };
        if time_us <= newest_us {
            self.behind += u8::from(time_us < newest_us);
            if self.behind >= BEHIND_MAX {
                (self.newest_us, self.behind) = (Some(time_us), 0);
            }
            return Fault::NONE;
        }
        (self.newest_us, self.behind) = (Some(time_us), 0);
        let step = time_us as f64 - newest_us as f64;
        let kept = self.median.max(self.spectrum.quantile(STEPS_KEPT));
        let share = step / (SILENT_STEPS * kept.max(f64::MIN_POSITIVE));
        let (known, last) = (self.seen >= WARMUP_STEPS, self.silence.take());
        self.learn(step);
        if !known || share < 1.0 {
            return Fault::NONE;
        }
        let rarity = ALARM_RARITY / share.powi(3);
        self.silence = Some((step, rarity));
        // One silence after another of the same length is a new cadence, which is learnt.
        let before = last.filter(|last| step < 2.0 * last.0).map_or(1.0, |last| last.1);
        Fault { rarity, kind: Kind::Silent, before }
    }

    fn learn(&mut self, step: f64) {
        self.steps[(self.seen % STEPS as u64) as usize] = step;
        self.seen += 1;
        self.spectrum.add(step);
        // A step like the median leaves it where it is.
        if self.seen <= STEPS as u64 || (step - self.median).abs() > 0.05 * self.median {
            let mut sorted = self.steps;
            let filled = &mut sorted[..self.seen.min(STEPS as u64) as usize];
            filled.sort_unstable_by(f64::total_cmp);
            self.median = filled[(filled.len() - 1) / 2];
        }
    }
}

/// Buckets of a spectrum: four to a doubling, 32 doublings around the first magnitude.
const BUCKETS: usize = 128;
/// So many magnitudes are remembered by a spectrum; then each counts half.
const SPECTRUM_MEMORY: u32 = 4_096;
/// A quantile is looked up anew after so many magnitudes, or a part of them all when there are few.
const LOOK_UP_EVERY: u32 = 32;

/// Counts of magnitudes, for one quantile.
#[derive(Debug, Clone)]
struct Spectrum {
    counts: [u32; BUCKETS],
    total: u32,
    first: i64,
    fresh: u32,
    known: f64,
}

impl Default for Spectrum {
    fn default() -> Spectrum {
        Spectrum { counts: [0; BUCKETS], total: 0, first: 0, fresh: 0, known: 0.0 }
    }
}

impl Spectrum {
    fn add(&mut self, magnitude: f64) {
        // Two bits of the mantissa beside the exponent.
        let bits = (magnitude.abs().to_bits() >> 50) as i64;
        if self.total == 0 {
            self.first = bits;
        }
        let bucket = (bits - self.first + BUCKETS as i64 / 2).clamp(0, BUCKETS as i64 - 1);
        self.counts[bucket as usize] += 1;
        self.total += 1;
        self.fresh += 1;
        if self.total >= SPECTRUM_MEMORY {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
    }

    /// The magnitude below which this share lies, rounded down to the edge of its bucket; 0 before the first. Always asked for the same
    /// share.
    fn quantile(&mut self, share: f64) -> f64 {
        if self.fresh > LOOK_UP_EVERY.min(self.total / 8) {
            self.fresh = 0;
            let wanted = (share * f64::from(self.total)) as u32;
            let mut below = 0;
            let bucket = self.counts.iter().position(|count| {
                below += count;
                below > wanted
            });
            let bits = self.first + bucket.unwrap_or(0) as i64 - BUCKETS as i64 / 2;
            self.known = f64::from_bits((bits.max(0) as u64) << 50);
        }
        self.known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance_made::Noise;
    use proptest::prelude::*;

    const HOUR_US: i64 = 3_600_000_000;

    fn watch(values: impl IntoIterator<Item = f64>) -> Vec<Score> {
        let mut health = Health::default();
        values.into_iter().enumerate().map(|(at, value)| health.look(at as i64 * HOUR_US, value).score(1)).collect()
    }

    fn alarms(scores: &[Score]) -> Vec<(usize, Kind)> {
        scores.iter().enumerate().filter(|(_, score)| score.anomaly >= 0.5).map(|(at, score)| (at, score.why)).collect()
    }

    /// Whole numbers that move, of a sensor that works.
    fn working(count: usize, seed: u64) -> Vec<f64> {
        let mut noise = Noise(seed);
        (0..count).map(|_| (40.0 + 8.0 * noise.normal()).round()).collect()
    }

    #[test]
    fn classes_of_lengths_meet() {
        for length in 1..5_000 {
            let class = class(length);
            assert!(least(class) <= length && length < least(class + 1), "{length} {class}");
        }
        assert_eq!(class(u32::MAX), CLASSES - 1);
    }

    #[test]
    fn a_sensor_that_works_is_not_reported() {
        let found = alarms(&watch(working(20_000, 1)));
        assert!(found.len() <= 20, "once in a thousand runs at most: {found:?}");
    }

    #[test]
    fn a_value_that_stays_is_told_once_and_named_while_it_stays() {
        let mut values = working(2_000, 2);
        values[1_500..1_548].fill(37.0);
        values[1_548] = 50.0;
        let scores = watch(values);
        let found = alarms(&scores[1_490..1_560]);
        assert!(matches!(found[..], [(at, Kind::Stuck)] if (13..20).contains(&at)), "{found:?}");
        assert!(scores[1_525..1_548].iter().all(|score| score.why == Kind::Stuck && score.anomaly < 0.5));
        assert!(scores[1_548].why == Kind::Usual);
    }

    #[test]
    fn a_jitter_below_the_resolution_hides_nothing() {
        let mut values = working(2_000, 3);
        let mut noise = Noise(9);
        values[1_500..1_548].iter_mut().for_each(|value| *value = 37.0 + 0.6 * (noise.uniform() - 0.5));
        assert!(alarms(&watch(values)[1_500..1_520]).iter().any(|it| it.1 == Kind::Stuck));
    }

    #[test]
    fn what_repeats_by_nature_is_known_after_a_while() {
        // Sun: nothing at night, and in full light the most that the sensor can say.
        let mut noise = Noise(4);
        let day: Vec<f64> = (0..24 * 200).map(|hour| match hour % 24 {
            8..11 | 14..18 => (300.0 + 60.0 * noise.normal()).round(),
            11..14 => 999.0,
            _ => 0.0,
        }).collect();
        let found = alarms(&watch(day.clone()));
        assert!(found.iter().all(|it| it.0 < 24 * 30), "{found:?}");
        // And the same sensor, stuck at a value of the day.
        let mut stuck = day;
        stuck[24 * 150 + 9..24 * 150 + 16].fill(287.0);
        assert!(alarms(&watch(stuck)[24 * 150..24 * 151]).iter().any(|it| it.1 == Kind::Stuck));
    }

    #[test]
    fn a_constant_is_told_at_most_once() {
        assert!(alarms(&watch(std::iter::repeat_n(7.0, 5_000))).len() <= 1);
    }

    #[test]
    fn the_first_value_after_silence_says_so_whether_rows_are_missing_or_empty() {
        let values = working(400, 5);
        let mut health = Health::default();
        let rows = (0..400).filter(|at| !(300..303).contains(at)).map(|at| (at, health.look(at as i64 * HOUR_US, values[at]).score(1)));
        let missing: Vec<(usize, Kind)> = rows.filter(|row| row.1.anomaly >= 0.5 && row.1.why == Kind::Silent).map(|row| (row.0, row.1.why)).collect();
        assert_eq!(missing, [(303, Kind::Silent)]);
        let empty = watch(values.iter().enumerate().map(|(at, value)| if (300..303).contains(&at) { f64::NAN } else { *value }));
        assert_eq!(alarms(&empty).into_iter().filter(|it| it.1 == Kind::Silent).collect::<Vec<_>>(), [(303, Kind::Silent)]);
    }

    #[test]
    fn a_cadence_that_changes_is_told_once_and_learnt() {
        let values = working(400, 6);
        let mut health = Health::default();
        let time = |at: i64| if at < 200 { at * HOUR_US } else { (200 + (at - 200) * 6) * HOUR_US };
        let silent = (0..400).filter(|at| health.look(time(*at), values[*at as usize]).score(1).why == Kind::Silent).count();
        assert!((1..=STEPS).contains(&silent), "{silent}");
        let told = (0..400).filter(|at| *at > 220 && health.look(time(*at) + 10_000 * HOUR_US, values[*at as usize]).score(1).why == Kind::Silent).count();
        assert!(told <= 1, "{told}");
    }

    #[test]
    fn a_sensor_that_speaks_by_chance_is_seldom_silent() {
        let (mut health, mut noise, mut time) = (Health::default(), Noise(7), 0);
        let mut told = 0;
        for value in working(20_000, 8) {
            time += (-(noise.uniform().max(1e-12)).ln() * 60e6) as i64;
            told += usize::from(health.look(time, value).score(1).why == Kind::Silent);
        }
        assert!(told <= 40, "{told} of 20,000 steps");
    }

    #[test]
    fn one_wrong_clock_does_not_make_silence() {
        let values = working(600, 10);
        let mut health = Health::default();
        for (at, value) in values.iter().enumerate() {
            let time = match at {
                300 => 0,
                400 | 401 => at as i64 * HOUR_US - 30 * HOUR_US,
                _ => at as i64 * HOUR_US,
            };
            assert!(health.look(time, *value).score(1).why != Kind::Silent, "{at}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_taken(rows in proptest::collection::vec((any::<i64>(), prop_oneof![any::<f64>(), Just(f64::NAN), Just(0.0), Just(5.0), Just(f64::INFINITY)]), 0..600)) {
            let (mut one, mut two) = (Health::default(), Health::default());
            for (time, value) in rows {
                let fault = one.look(time, value);
                prop_assert_eq!(fault, two.look(time, value));
                prop_assert!((0.0..=1.0).contains(&fault.rarity) && (0.0..=1.0).contains(&fault.score(3).anomaly), "{fault:?}");
            }
        }

        #[test]
        fn the_memory_does_not_grow(seed in 0_u64..4) {
            let (mut health, mut noise) = (Health::default(), Noise(seed));
            let mut value = 0.0;
            for at in 0..100_000 {
                // Each value stays for some rows, so that each would be worth a home.
                if at % 4 == 0 {
                    value = noise.uniform() * 2.0_f64.powi((noise.uniform() * 40.0) as i32);
                }
                health.look(at * HOUR_US, value);
            }
            prop_assert!(health.homes.len() <= HOMES && health.sizes.len() == SIZES + 1 && health.remembered < MEMORY_VALUES);
        }
    }
}
