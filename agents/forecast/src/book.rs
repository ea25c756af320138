//! Forecasts of volumes while the counts come in, and what became of them.
//!
//! Events are counted by key and day (or hour, or week). When a step is over, the open forecasts of it are scored and new ones are
//! made. The book goes by the times it is given, never by a clock, and its whole state can be stored.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::counts::Counts;
use crate::step::Step;

/// What the method is called in forecasts.
pub const MODEL: &str = "volumes-1";

/// Steps ahead of the current one of which events are taken; what lies further ahead has a wrong clock.
const AHEAD_MAX: i64 = 2;
/// Steps without any event that are counted as zeros; a longer silence is unknown.
const SILENCE_MAX: i64 = 400;

/// How a book works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// The step that counts are summed over.
    pub step: Step,
    /// Distances ahead, in steps, that are foretold at the end of each step.
    pub leads: Vec<usize>,
    /// How often the interval shall hold.
    pub level: f64,
    /// The local clock's distance from UTC, microseconds; days end by it.
    pub offset_us: i64,
    /// A key of which less than this is expected has no forecast.
    pub mean_min: f64,
    /// Keys that are kept; events of further ones are counted in [`Book::refused`] only.
    pub keys_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { step: Step::Day, leads: vec![1, 7], level: 0.9, offset_us: 0, mean_min: 0.05, keys_max: 5_000 }
    }
}

/// What is foretold of a series for a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// The key.
    pub series: String,
    /// End of the last step that was known, microseconds since 1970 UTC.
    pub made_at: i64,
    /// Beginning of the step foretold, likewise.
    pub for_time: i64,
    /// The median: as many days are above as below.
    pub yhat: f64,
    /// The expected value; the one to sum over keys.
    pub mean: f64,
    /// Lower end of the interval.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
    /// How often the interval shall hold.
    pub level: f64,
    /// By which method.
    pub model: String,
}

/// What became of a forecast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The forecast.
    pub forecast: Forecast,
    /// What came.
    pub actual: f64,
    /// What came less `yhat`.
    pub error: f64,
    /// Whether it lies in the interval.
    pub inside: bool,
}

/// What a book tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A new forecast.
    Forecast(Forecast),
    /// An earlier one, judged.
    Score(Score),
}

/// The state; see the top of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Book {
    options: Options,
    keys: BTreeMap<String, usize>,
    names: Vec<String>,
    pools: BTreeMap<String, usize>,
    counts: Counts,
    /// Counts by step and key of steps that are not over.
    running: BTreeMap<i64, BTreeMap<usize, u64>>,
    /// Open forecasts in the order of their making, by lead; no more than keys times leads of steps.
    open: Vec<VecDeque<(usize, Forecast)>>,
    /// The step of the latest time that [`Book::advance`] was given.
    now: Option<i64>,
    late: u64,
    refused: u64,
}

impl Book {
    /// An empty book. Keys whose text before the first `/` is equal (category/district) learn from each other.
    pub fn new(options: Options) -> Book {
        let mut options = options;
        options.leads.retain(|lead| (1..=1_000).contains(lead));
        options.leads.sort_unstable();
        options.leads.dedup();
        options.level = if options.level.is_finite() { options.level.clamp(0.01, 0.9999) } else { 0.9 };
        let counts = Counts::new(options.step, &options.leads);
        let open = vec![VecDeque::new(); options.leads.len()];
        Book { options, keys: BTreeMap::new(), names: Vec::new(), pools: BTreeMap::new(), counts, running: BTreeMap::new(), open, now: None, late: 0, refused: 0 }
    }

    fn step_of(&self, time_us: i64) -> i64 {
        self.options.step.of(time_us.saturating_add(self.options.offset_us))
    }

    fn start_of(&self, step: i64) -> i64 {
        self.options.step.start(step).saturating_sub(self.options.offset_us)
    }

    /// Counts an event of a key. One of a step that is over, or far ahead of all others, is told by [`Book::late`].
    pub fn observe(&mut self, key: &str, time_us: i64) {
        let step = self.step_of(time_us);
        let first = self.running.first_key_value().map(|(step, _)| *step);
        let over = self.counts.last().is_some_and(|last| step <= last);
        let current = self.now.max(first);
        if over || current.is_some_and(|current| step > current.saturating_add(AHEAD_MAX)) {
            self.late += 1;
            return;
        }
        let number = match self.keys.get(key) {
            Some(number) => *number,
            None if self.keys.len() >= self.options.keys_max => {
                self.refused += 1;
                return;
            }
            None => self.enter(key),
        };
        *self.running.entry(step).or_default().entry(number).or_default() += 1;
    }

    fn enter(&mut self, key: &str) -> usize {
        let pool = key.split('/').next().unwrap_or_default();
        let pool = match self.pools.get(pool) {
            Some(pool) => *pool,
            None => {
                let number = self.counts.pool();
                self.pools.insert(pool.to_owned(), number);
                number
            }
        };
        let number = self.counts.key(pool);
        self.keys.insert(key.to_owned(), number);
        self.names.push(key.to_owned());
        number
    }

    /// Events of steps that were over when they came, or far ahead.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Events of keys beyond the limit.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Forecasts that wait for their step.
    pub fn open(&self) -> usize {
        self.open.iter().map(VecDeque::len).sum()
    }

    /// Ends all steps that are over at a time: scores of their forecasts and new forecasts, in the order of steps and keys.
    pub fn advance(&mut self, now_us: i64) -> Vec<Event> {
        let mut events = Vec::new();
        let current = self.step_of(now_us);
        self.now = self.now.max(Some(current));
        loop {
            let first = self.running.first_key_value().map(|(step, _)| *step);
            let Some(mut next) = self.counts.last().map(|last| last.saturating_add(1)).or(first) else { break };
            if next >= current {
                break;
            }
            // After a long silence only the end of it is looked at; what was between is unknown.
            let until = first.unwrap_or(current).min(current);
            if until.saturating_sub(next) > SILENCE_MAX {
                next = until;
                self.open.iter_mut().for_each(VecDeque::clear);
                if next >= current {
                    break;
                }
            }
            self.close(next, &mut events);
        }
        events
    }

    fn close(&mut self, step: i64, events: &mut Vec<Event>) {
        let counted = self.running.remove(&step).unwrap_or_default();
        let mut values = vec![0.0; self.names.len()];
        for (key, count) in counted {
            values[key] = count as f64;
        }
        let start = self.start_of(step);
        for open in &mut self.open {
            while open.front().is_some_and(|(_, forecast)| forecast.for_time <= start) {
                let Some((key, forecast)) = open.pop_front() else { break };
                if forecast.for_time == start {
                    let actual = values[key];
                    let inside = (forecast.lo..=forecast.hi).contains(&actual);
                    events.push(Event::Score(Score { error: actual - forecast.yhat, actual, inside, forecast }));
                }
            }
        }
        self.counts.observe(step, &values);
        let made_at = self.start_of(step.saturating_add(1));
        for at in 0..self.options.leads.len() {
            let lead = self.options.leads[at];
            let for_time = self.start_of(step.saturating_add(lead as i64));
            for (key, name) in self.names.iter().enumerate() {
                let Some(outlook) = self.counts.outlook(key, lead, self.options.level).filter(|outlook| outlook.mean >= self.options.mean_min) else { continue };
                let forecast = Forecast {
                    series: name.clone(),
                    made_at,
                    for_time,
                    yhat: outlook.median,
                    mean: outlook.mean,
                    lo: outlook.lo,
                    hi: outlook.hi,
                    level: self.options.level,
                    model: MODEL.to_owned(),
                };
                self.open[at].push_back((key, forecast.clone()));
                events.push(Event::Forecast(forecast));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::{DAY_US, HOUR_US};

    const FIRST: i64 = 19_000 * DAY_US;

    fn week(book: &mut Book, days: std::ops::Range<i64>) -> Vec<Event> {
        let mut events = Vec::new();
        for day in days {
            for event in 0..5 + 10 * i64::from(day % 7 == 0) {
                book.observe("noise/north", FIRST + day * DAY_US + event * HOUR_US);
            }
            events.extend(book.advance(FIRST + (day + 1) * DAY_US));
        }
        events
    }

    fn scores(events: &[Event]) -> Vec<&Score> {
        events.iter().filter_map(|event| if let Event::Score(score) = event { Some(score) } else { None }).collect()
    }

    #[test]
    fn each_forecast_is_scored_when_its_day_is_over() {
        let mut book = Book::new(Options::default());
        let events = week(&mut book, 0..200);
        let made = events.iter().filter(|event| matches!(event, Event::Forecast(_))).count();
        assert_eq!(made, 400);
        assert_eq!(scores(&events).len() + book.open(), made);
        assert_eq!(book.open(), 1 + 7);
        let last = scores(&events).into_iter().rev().take(28);
        let wrong: f64 = last.map(|score| score.error.abs()).sum();
        assert!(wrong <= 14.0, "a week that repeats itself is learnt: {wrong}");
        assert!(scores(&events).iter().all(|score| score.forecast.made_at < score.forecast.for_time + DAY_US));
    }

    #[test]
    fn a_book_goes_on_from_its_state() {
        let (mut one, mut other) = (Book::new(Options::default()), Book::new(Options::default()));
        week(&mut one, 0..60);
        week(&mut other, 0..60);
        assert_eq!(one, other);
        let mut restored = one.clone();
        assert_eq!(week(&mut one, 60..90), week(&mut restored, 60..90));
    }

    #[test]
    fn days_end_by_the_local_clock() {
        let mut book = Book::new(Options { offset_us: 8 * HOUR_US, mean_min: 0.0, ..Options::default() });
        book.observe("a", FIRST + 15 * HOUR_US);
        assert!(book.advance(FIRST + 15 * HOUR_US).is_empty());
        let events = book.advance(FIRST + 16 * HOUR_US);
        assert!(matches!(&events[0], Event::Forecast(forecast) if forecast.made_at == FIRST + 16 * HOUR_US && forecast.for_time == forecast.made_at));
    }

    #[test]
    fn late_far_and_too_many_are_counted_and_forgotten() {
        let mut book = Book::new(Options { keys_max: 1, ..Options::default() });
        week(&mut book, 0..3);
        book.observe("noise/north", FIRST);
        book.observe("noise/north", i64::MAX);
        book.observe("another", FIRST + 4 * DAY_US);
        assert_eq!((book.late(), book.refused()), (2, 1));
        assert!(book.advance(i64::MIN).is_empty());
    }

    #[test]
    fn a_long_silence_is_unknown_and_costs_nothing() {
        let mut book = Book::new(Options::default());
        week(&mut book, 0..30);
        assert!(book.advance(FIRST + 100_000 * DAY_US).is_empty());
        assert_eq!(book.open(), 0);
        assert!(scores(&week(&mut book, 100_000..100_010)).len() > 10, "and then it goes on");
    }
}
