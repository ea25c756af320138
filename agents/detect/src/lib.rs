//! Anomalies in series, one value at a time: a score between 0 and 1 for each value, from what came before it.
//!
//! Values in, scores out. Knows nothing of files, clocks or Kafka, and nothing of the series that comes next.
//!
//! Begin with [`Detector::score`]: it looks at a value in several ways ([`Kind`]), asks for each how often the series was as
//! strange before ([`Tail`]), and answers for the rarest. No option needs to be set for a single series.

pub mod balance;
#[cfg(test)]
mod balance_made;
pub mod balance_network;
mod detector;
mod extremes;
mod health;
pub mod multi;
mod season;
mod tail;
mod window;

pub use detector::{Detector, Kind, Options, Score};
pub use health::{Fault, Health};
pub use tail::{MEMORY_VALUES, Tail};
