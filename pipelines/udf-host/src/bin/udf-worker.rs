//! A worker by itself, for tests and examples. The product has it as a hidden subcommand.

fn main() -> std::process::ExitCode {
    udf_host::worker::main()
}
