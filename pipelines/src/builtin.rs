//! The jobs that ship with the engine.

use crate::error::SqlError;
use crate::job::Job;

/// The text of a job and of the lookup files that it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltinJob {
    /// Its name: that of its file.
    pub name: &'static str,
    /// Its SQL.
    pub sql: &'static str,
    /// Its lookup files: path as written in the SQL, and text.
    pub lookups: &'static [(&'static str, &'static str)],
    /// Whether it waits until an operator starts it. The brain needs the others; these cost what they cost only where somebody
    /// wants what they give.
    pub waits: bool,
}

impl BuiltinJob {
    /// The job itself.
    pub fn parse(&self) -> Result<Job, SqlError> {
        Job::parse(self.name, self.sql, self.lookups)
    }
}

/// A job and the lookup files that it reads, each beside it in `jobs/`.
macro_rules! job {
    ($waits:ident, $name:literal $(, $lookup:literal)*) => {
        BuiltinJob {
            waits: $waits,
            name: $name,
            sql: include_str!(concat!("../jobs/", $name, ".sql")),
            lookups: &[$(($lookup, include_str!(concat!("../jobs/", $lookup)))),*],
        }
    };
}

const RUNS: bool = false;
const WAITS: bool = true;

/// All of them, as in `pipelines/jobs/`.
pub fn builtin_jobs() -> &'static [BuiltinJob] {
    &[
        job!(RUNS, "alarms", "thresholds.csv"),
        job!(WAITS, "deadline_risk"),
        job!(WAITS, "district_15m"),
        job!(WAITS, "district_1m"),
        job!(WAITS, "flat_line", "devices.csv"),
        job!(WAITS, "gas_overdue"),
        job!(WAITS, "hotspots"),
        job!(WAITS, "no_signal", "devices.csv"),
        job!(WAITS, "observations", "properties.csv"),
        job!(WAITS, "precursors", "precursors.csv"),
        job!(WAITS, "quality", "properties.csv"),
        job!(WAITS, "repeat_callers"),
        job!(WAITS, "sensor_15m"),
        job!(RUNS, "sensor_1m"),
        job!(WAITS, "surge", "hotline_baseline.csv", "hotline_districts.csv"),
        job!(RUNS, "thresholds", "thresholds.csv"),
        job!(WAITS, "weighing_anomalies", "garbage_stations.csv", "garbage_weekdays.csv", "garbage_calendar.csv", "garbage_rain.csv"),
    ]
}
