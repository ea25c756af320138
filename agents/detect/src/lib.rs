//! Anomalies in series, one value at a time: a score between 0 and 1 for each value, from what came before it.
//!
//! Values in, scores out. Knows nothing of files, clocks or Kafka, and nothing of the series that comes next.

pub mod balance;
#[cfg(test)]
mod balance_made;
