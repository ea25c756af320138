//! Evaluations: each prints its baseline beside its figure.

pub mod levels;
pub mod volumes;
pub mod messages;
//! Evaluations: each prints what it measures beside a baseline measured in the same run.

mod bodies;
pub mod breach;
pub mod units;
//! Evaluations on real data, each with its baseline beside it.

pub mod leaks;
//! Evaluations: each prints what it measures beside a baseline measured in the same run.

pub mod hotspots;
pub mod hotspots_planted;
//! Evaluations: each prints what it measures beside a baseline measured in the same run.

pub mod nab;
pub mod nab_score;
