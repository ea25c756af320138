//! Replay tests: recorded cases, twin runs and kill -9 runs that hold the two promises, exactly once and bit for bit.
//!
//! [`cases`] replays recorded journals through the pure brain and compares digests; [`chaos`] kills a built program and
//! compares what is left with an undisturbed run. Builds without Kafka, DataFusion and language models: whatever it
//! needs from the program it asks for on the command line, as people do.

pub mod cases;
pub mod chaos;
