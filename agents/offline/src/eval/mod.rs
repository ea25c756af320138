//! Evaluations: each prints what it measures beside a baseline measured in the same run.

mod bodies;
pub mod breach;
pub mod units;
