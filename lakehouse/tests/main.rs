//! The tests of the lake, one program: what each file is about stands at its top. `cargo test -p lakehouse NAME` runs those whose path has the name.

mod exactly_once;
mod labels;
mod masked;
