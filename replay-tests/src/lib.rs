//! replay-tests.
