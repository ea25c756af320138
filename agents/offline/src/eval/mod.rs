//! Evaluations on real data, each with its baseline beside it.

pub mod leaks;
