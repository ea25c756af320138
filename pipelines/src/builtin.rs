//! The jobs that ship with the engine.

use crate::error::SqlError;
use crate::job::Job;

/// The text of a job and of the lookup files that it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltinJob {
    /// Its name: that of its file.
    pub name: &'static str,
    /// The pack of the graph that it comes with; it runs while that is installed. Without one it runs in every city.
    pub pack: Option<&'static str>,
    /// Its SQL.
    pub sql: &'static str,
    /// Its lookup files: path as written in the SQL, and text.
    pub lookups: &'static [(&'static str, &'static str)],
}

impl BuiltinJob {
    /// The job itself, when all that it looks up are files.
    ///
    /// # Errors
    /// When it looks up something else, too.
    pub fn parse(&self) -> Result<Job, SqlError> {
        self.parse_with(&[])
    }

    /// The job with the rows that it asks for in [`Job::lookup_requests`], as (path as written, CSV).
    ///
    /// # Errors
    /// When something that it looks up is not among them, or lacks a column.
    pub fn parse_with(&self, given: &[(String, String)]) -> Result<Job, SqlError> {
        let given = given.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        let lookups: Vec<(&str, &str)> = self.lookups.iter().copied().chain(given).collect();
        Job::parse(self.name, self.sql, &lookups)
    }
}

/// A job and the lookup files that it reads, each beside it in `jobs/`, or in the folder of its pack.
macro_rules! job {
    (in $pack:literal, $name:literal $(, $lookup:literal)*) => {
        job!(@ Some($pack), concat!("../../graph/packs/", $pack, "/jobs/"), $name $(, $lookup)*)
    };
    ($name:literal $(, $lookup:literal)*) => {
        job!(@ None, "../jobs/", $name $(, $lookup)*)
    };
    (@ $pack:expr, $folder:expr, $name:literal $(, $lookup:literal)*) => {
        BuiltinJob {
            name: $name,
            pack: $pack,
            sql: include_str!(concat!($folder, $name, ".sql")),
            lookups: &[$(($lookup, include_str!(concat!($folder, $lookup)))),*],
        }
    };
}

/// All of them, as in `pipelines/jobs/` and in `graph/packs/*/jobs/`.
pub fn builtin_jobs() -> &'static [BuiltinJob] {
    &[
        job!("alarms"),
        job!("deadline_risk"),
        job!("district_15m"),
        job!("district_1m"),
        job!("flat_line", "devices.csv"),
        job!(in "gas_explosion", "gas_overdue"),
        job!("hotspots"),
        job!("levels"),
        job!("no_signal", "devices.csv"),
        job!("observations", "properties.csv"),
        job!(in "urban_flooding", "precursors", "precursors.csv"),
        job!("quality", "properties.csv"),
        job!("repeat_callers"),
        job!("sensor_15m"),
        job!("sensor_1m"),
        job!("surge", "hotline_baseline.csv", "hotline_districts.csv"),
        job!("thresholds"),
        job!("trends"),
        job!(in "garbage", "weighing_anomalies", "garbage_stations.csv", "garbage_weekdays.csv", "garbage_calendar.csv", "garbage_rain.csv"),
    ]
}
