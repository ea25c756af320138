//! lakehouse.
