//! File import: real files in, through small mapping files.

pub mod cell;
pub mod mapping;
pub mod read;
pub mod sort;
