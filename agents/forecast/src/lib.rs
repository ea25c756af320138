//! Forecasts with intervals: volumes by day and hour, levels by minute, and how earlier forecasts came true.
//!
//! Values in, forecasts out. Knows nothing of files, clocks or Kafka.
//!
//! Begin with [`Book`], which counts events, foretells and scores; [`Counts`] is its method for volumes and [`Intraday`] looks at a
//! day that is not over. [`Values`] is for series that are no counts, [`Level`] for water by the minute. [`Skill`] judges them all.

pub mod book;
pub mod calendar;
pub mod chance;
pub mod conformal;
pub mod counts;
pub mod intraday;
pub mod level;
pub mod skill;
pub mod step;
pub mod values;

pub use book::{Book, Event, Forecast, Options, Score};
pub use counts::{Counts, Outlook};
pub use intraday::Intraday;
pub use level::Level;
pub use skill::Skill;
pub use step::Step;
pub use values::Values;
