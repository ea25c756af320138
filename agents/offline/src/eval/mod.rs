//! Evaluations: each prints its baseline beside its figure.

pub mod messages;
