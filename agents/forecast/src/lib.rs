//! Forecasts with intervals: volumes by day and hour, levels by minute, and how earlier forecasts came true.
//!
//! Values in, forecasts out. Knows nothing of files, clocks or Kafka.

pub mod book;
pub mod calendar;
pub mod chance;
pub mod counts;
pub mod step;

pub use book::{Book, Event, Forecast, Options, Score};
pub use counts::{Counts, Outlook};
pub use step::Step;
