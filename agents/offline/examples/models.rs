//! The commands of the small models alone: `cargo run -p offline --example models -- triage --in FILE --out FILE`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use offline::{Context, bench, detect, eval, forecast, hotspots, knowledge, model, route, triage};

#[derive(Parser)]
struct Cli {
    /// The home: models lie in its folder `models`
    #[arg(long, global = true, default_value = ".citybrain")]
    home: PathBuf,
    /// Machine-readable output
    #[arg(long, global = true)]
    json: bool,
    /// 中文
    #[arg(long, global = true)]
    zh: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Model(model::Args),
    Triage(triage::Args),
    Route(route::Args),
    Detect(detect::Args),
    Forecast(forecast::Forecast),
    Hotspots(hotspots::Args),
    /// The knowledge base
    Know(knowledge::Args),
    Eval {
        name: String,
        /// pii: another seed
        #[arg(long)]
        seed: Option<u64>,
    },
    Bench { name: String },
}

fn main() -> ExitCode {
    let Cli { home, json, zh, command } = Cli::parse();
    let data = std::env::var_os("CITYBRAIN_DATA").map_or_else(|| "../shared/data".into(), PathBuf::from);
    let context = Context { home, data: Some(data), json, quiet: false, zh };
    let named = |all: &[offline::Named], name: &str| match all.iter().find(|(known, ..)| *known == name) {
        Some((.., run)) => run(&context),
        None => Err(anyhow::anyhow!("there is no {name}; there are: {}", all.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", "))),
    };
    let done = match command {
        Command::Model(args) => args.run(&context),
        Command::Triage(args) => args.run(&context),
        Command::Route(args) => args.run(&context),
        Command::Detect(args) => args.run(&context),
        Command::Forecast(args) => args.run(&context),
        Command::Hotspots(args) => args.run(&context),
        Command::Know(args) => args.run(&context),
        Command::Eval { name, seed: Some(seed) } if name == "pii" => eval::pii::run_seeded(&context, seed),
        Command::Eval { name, .. } => named(&eval::ALL, &name),
        Command::Bench { name } => named(&bench::ALL, &name),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
