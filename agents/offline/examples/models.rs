//! The commands of the small models alone: `cargo run -p offline --example models -- triage --in FILE --out FILE`.

fn main() {}
