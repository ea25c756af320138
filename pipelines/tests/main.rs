//! The tests of the engine and of the jobs of the city, one program: what each file is about stands at its top. `cargo test -p pipelines NAME` runs those whose path has the name.

mod against_batch;
mod arroyo_dialect;
mod arroyo_export;
mod city_jobs;
mod city_weighings;
mod common;
mod dialect;
mod engine;
mod engine_durability;
mod flows;
mod slices;
mod udf;
