//! Evaluations: each prints its baseline beside its figure.

pub mod levels;
pub mod volumes;
pub mod messages;
