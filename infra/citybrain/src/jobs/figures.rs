//! The numbers of a running job, for `job list`, `job explain`, `/v1/jobs` and `/metrics`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How long a rate looks back, at least.
const RATE_OVER: Duration = Duration::from_secs(5);

/// One step of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its name in the plan.
    pub id: String,
    /// What it does.
    pub label: String,
    /// Rows that went in.
    pub rows_in: u64,
    /// Rows that came out.
    pub rows_out: u64,
    /// Rows a second that go in now.
    pub rows_per_second: f64,
    /// Time that it has worked, ms.
    pub busy_ms: u64,
    /// Rows that it keeps.
    pub state_rows: u64,
    /// Windows, or pieces of windows, that are open in it.
    pub open_windows: u64,
}

impl Step {
    /// The share of the rows that came out, per mille; nothing before the first row.
    pub fn selectivity_per_mille(&self) -> Option<u64> {
        (self.rows_in > 0).then(|| self.rows_out.saturating_mul(1000) / self.rows_in)
    }
}

/// What a job has done since its process began, and how far it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The last epoch that is done.
    pub epoch: u64,
    /// Epochs done by this process.
    pub epochs: u64,
    /// Rows read.
    pub rows_in: u64,
    /// Rows given.
    pub rows_out: u64,
    /// Rows that came too late.
    pub late: u64,
    /// Time spent in epochs, ms.
    pub busy_ms: u64,
    /// How far event time has come.
    pub watermark: Option<DateTime<Utc>>,
    /// Windows that are open.
    pub open_windows: u64,
    /// Rows that wait for an epoch.
    pub buffered_rows: u64,
    /// Bytes of its state.
    pub state_bytes: u64,
    /// Bytes of its state that are in memory.
    pub state_memory_bytes: u64,
    /// Bytes of its state's files.
    pub state_disk_bytes: u64,
    /// Records that it has not worked off.
    pub lag_records: i64,
    /// Age of the last record that it has worked off, s; 0 when nothing waits.
    pub lag_seconds: f64,
    /// Rows a second that it reads now.
    pub rows_per_second: f64,
    /// Next offset of each `topic/partition`.
    pub positions: BTreeMap<String, i64>,
    /// What happens inside.
    pub steps: Vec<Step>,
}

/// Figures that a job writes and others read.
#[derive(Clone, Default)]
pub struct Desk {
    shared: Arc<Mutex<(Figures, Meter)>>,
}

/// Rows by the clock.
#[derive(Default)]
struct Meter {
    samples: Vec<(Instant, u64, Vec<u64>)>,
}

impl Desk {
    /// What stands there now.
    pub fn read(&self) -> Figures {
        self.lock().0.clone()
    }

    /// Writes.
    pub fn write(&self, change: impl FnOnce(&mut Figures)) {
        change(&mut self.lock().0);
    }

    /// Sets the steps, and the rates as of `now`.
    pub fn meter(&self, now: Instant, mut steps: Vec<Step>) {
        let (figures, meter) = &mut *self.lock();
        let rows: Vec<u64> = steps.iter().map(|step| step.rows_in).collect();
        if let Some((seconds, total, each)) = meter.before(now) {
            let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
            figures.rows_per_second = rate(figures.rows_in, total);
            for (step, before) in steps.iter_mut().zip(each) {
                step.rows_per_second = rate(step.rows_in, before);
            }
        }
        meter.samples.push((now, figures.rows_in, rows));
        figures.steps = steps;
    }

    fn lock(&self) -> MutexGuard<'_, (Figures, Meter)> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter {
    /// The youngest sample that is old enough, else the oldest there is; what is older than that is forgotten.
    fn before(&mut self, now: Instant) -> Option<(f64, u64, Vec<u64>)> {
        let old_enough = self.samples.iter().rposition(|(at, _, _)| now.duration_since(*at) >= RATE_OVER).unwrap_or(0);
        self.samples.drain(..old_enough);
        let (at, total, each) = self.samples.first()?;
        let seconds = now.duration_since(*at).as_secs_f64();
        (seconds > 0.0).then(|| (seconds, *total, each.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_follows_the_last_seconds() {
        let (desk, began) = (Desk::default(), Instant::now());
        let steps = |rows_in| vec![Step { id: "source".into(), rows_in, rows_out: rows_in / 4, ..Step::default() }];
        for second in 0..=20_u64 {
            // Ten seconds of 100 rows each, then silence.
            let rows = 100 * second.min(10);
            desk.write(|figures| figures.rows_in = rows);
            desk.meter(began + Duration::from_secs(second), steps(rows));
            let rate = desk.read().rows_per_second;
            match second {
                1..=10 => assert_eq!(rate, 100.0, "in second {second}"),
                15.. => assert_eq!(rate, 0.0, "in second {second}"),
                _ => {}
            }
        }
        let figures = desk.read();
        assert_eq!(figures.steps[0].rows_per_second, 0.0);
        assert_eq!(figures.steps[0].selectivity_per_mille(), Some(250));
        assert_eq!(Step::default().selectivity_per_mille(), None);
    }
}
