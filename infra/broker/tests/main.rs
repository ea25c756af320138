//! The tests of the broker over the wire, one program: what each file is about stands at its top. `cargo test -p broker NAME` runs those whose path has the name.

mod common;
mod durability;
mod frames;
mod groups;
mod produce_fetch;
mod retention;
mod topics;
