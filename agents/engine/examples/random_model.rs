//! Writes a model of 15.7 million random weights, to measure the engine with: it writes nonsense at the speed of a real one.
//!
//!     cargo run -p citybrain-engine --example random_model -- random.gguf

use std::process::ExitCode;

#[path = "../tests/support/mod.rs"]
mod support;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("name the file to write: random_model random.gguf");
        return ExitCode::FAILURE;
    };
    match std::fs::write(&path, support::bytes_of(support::Kind::Native, support::SMALL)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("could not write {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}
