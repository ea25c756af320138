//! `chaos`: kills a built citybrain again and again, and proves that nothing was lost, doubled or decided otherwise.
//!
//! `cargo run -p replay-tests --bin chaos -- --binary target/debug/citybrain --kills 200 --rows 40000`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use replay_tests::chaos::{self, Outcome, Plan};

const USAGE: &str = "chaos --binary PATH [--kills N] [--rows N] [--seed N] [--dir DIR] [--keep]

  --binary PATH  the built citybrain
  --kills N      how often it is killed (200)
  --rows N       work orders to import; each is two events (40000)
  --seed N       fixes the rows and the plan of the kills (from the clock)
  --dir DIR      work in this folder (a new one in the temporary folder)
  --keep         leave the folder there";

struct Args {
    plan: Plan,
    keep: bool,
}

fn main() -> ExitCode {
    let args = match parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(problem) => {
            eprintln!("chaos: {problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let Args { plan, keep } = args;
    eprintln!("seed {}, {} kills, {} rows, in {}", plan.seed, plan.kills, plan.rows, plan.dir.display());
    let result = std::fs::create_dir_all(&plan.dir)
        .map_err(|error| format!("could not create {}: {error}", plan.dir.display()))
        .and_then(|()| chaos::run(&plan, &mut |line| eprintln!("{line}")));
    match result {
        Ok(outcome) => {
            print_outcome(&plan, &outcome);
            if outcome.holds() && !keep {
                let _ = std::fs::remove_dir_all(&plan.dir);
            } else {
                println!("the folder stays: {}", plan.dir.display());
            }
            ExitCode::from(u8::from(!outcome.holds()))
        }
        Err(problem) => {
            println!("seed {}: {problem}\nthe folder stays: {}", plan.seed, plan.dir.display());
            ExitCode::from(1)
        }
    }
}

fn parse(args: impl Iterator<Item = String>) -> Result<Args, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut plan = Plan { binary: PathBuf::new(), kills: 200, rows: 40_000, seed: now, dir: PathBuf::new() };
    let mut keep = false;
    let mut args = args;
    while let Some(name) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{name} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text:?} is no number"));
        match name.as_str() {
            "--binary" => plan.binary = PathBuf::from(value()?),
            "--kills" => plan.kills = number(value()?)?,
            "--rows" => plan.rows = number(value()?)?,
            "--seed" => plan.seed = number(value()?)?,
            "--dir" => plan.dir = PathBuf::from(value()?),
            "--keep" => keep = true,
            other => return Err(format!("{other:?} is not known")),
        }
    }
    if plan.binary.as_os_str().is_empty() {
        return Err("--binary is missing".to_owned());
    }
    plan.binary = std::fs::canonicalize(&plan.binary).map_err(|error| format!("{}: {error}", plan.binary.display()))?;
    if plan.dir.as_os_str().is_empty() {
        plan.dir = std::env::temp_dir().join(format!("citybrain-chaos-{}-{}", plan.seed, std::process::id()));
    }
    Ok(Args { plan, keep })
}

fn print_outcome(plan: &Plan, outcome: &Outcome) {
    for check in &outcome.checks {
        match &check.problem {
            None => println!("ok      {}", check.what),
            Some(problem) => println!("FAILED  {}: {problem}", check.what),
        }
    }
    println!(
        "seed {}: {} kills of imports, {} of the service; {} rows in {} imports, {} messages; {:.0} s",
        plan.seed, outcome.import_kills, outcome.service_kills, outcome.rows, outcome.imports, outcome.messages, outcome.took.as_secs_f64()
    );
    println!("{}", if outcome.holds() { "nothing lost, nothing doubled, nothing decided otherwise" } else { "IT DOES NOT HOLD" });
}
