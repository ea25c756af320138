//! The tests of the doors, one program: what each file is about stands at its top. `cargo test -p gateway NAME` runs those whose path has the name.

mod common;
mod http_events;
mod http_reading;
mod import_files;
mod mqtt;
mod open311;
mod openapi;
mod people;
mod sensorthings;
