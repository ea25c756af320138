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

/// All of them, as in `pipelines/jobs/`.
pub fn builtin_jobs() -> &'static [BuiltinJob] {
    const THRESHOLDS: &[(&str, &str)] = &[("thresholds.csv", include_str!("../jobs/thresholds.csv"))];
    &[
        BuiltinJob { name: "alarms", sql: include_str!("../jobs/alarms.sql"), lookups: THRESHOLDS },
        BuiltinJob { name: "sensor_1m", sql: include_str!("../jobs/sensor_1m.sql"), lookups: &[] },
        BuiltinJob { name: "thresholds", sql: include_str!("../jobs/thresholds.sql"), lookups: THRESHOLDS },
    ]
}
