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
}

impl BuiltinJob {
    /// The job itself.
    pub fn parse(&self) -> Result<Job, SqlError> {
        Job::parse(self.name, self.sql, self.lookups)
    }
}

/// A job and the lookup files that it reads, each beside it in `jobs/`.
macro_rules! job {
    ($name:literal $(, $lookup:literal)*) => {
        BuiltinJob {
            name: $name,
            sql: include_str!(concat!("../jobs/", $name, ".sql")),
            lookups: &[$(($lookup, include_str!(concat!("../jobs/", $lookup)))),*],
        }
    };
}

/// All of them, as in `pipelines/jobs/`.
pub fn builtin_jobs() -> &'static [BuiltinJob] {
    &[
        job!("alarms", "thresholds.csv"),
        job!("deadline_risk"),
        job!("district_15m"),
        job!("district_1m"),
        job!("flat_line", "devices.csv"),
        job!("gas_overdue"),
        job!("hotspots"),
        job!("no_signal", "devices.csv"),
        job!("observations", "properties.csv"),
        job!("precursors", "precursors.csv"),
        job!("quality", "properties.csv"),
        job!("repeat_callers"),
        job!("sensor_15m"),
        job!("sensor_1m"),
        job!("surge", "hotline_baseline.csv", "hotline_districts.csv"),
        job!("thresholds", "thresholds.csv"),
        job!("trends", "thresholds.csv"),
        job!("weighing_anomalies", "garbage_stations.csv", "garbage_weekdays.csv", "garbage_calendar.csv", "garbage_rain.csv"),
    ]
}
