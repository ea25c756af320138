//! Evaluations: each prints what it measures beside a baseline measured in the same run.

pub mod hotspots;
pub mod hotspots_planted;
