//! The engine as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    citybrain_engine::run_from(std::env::args_os())
}
