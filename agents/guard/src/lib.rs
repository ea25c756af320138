//! What stands between citizens' words, language models and the city's doing: a content filter, a gate for tools, checks of
//! what a model says, and which corrections may teach one.
//!
//! [`filter`] stops or masks what comes in and goes out by a list that people read; [`claims`] finds what a title, report or
//! answer says beyond what it was made from; [`form`] applies both to what a model wrote into a form; [`gate`] lets an agent call a handful of typed tools within limits; [`labels`]
//! rules on corrections. Values in, values out: it knows nothing of files, clocks, threads, models, or of how a tool works.

pub mod claims;
pub mod filter;
pub mod form;
pub mod gate;
pub mod labels;
pub mod limits;
mod numbers;
pub mod sql;

pub use filter::{Filter, Inbound, Outbound};
pub use gate::{Agent, Gate, Session};
