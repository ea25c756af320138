//! kill -9 at random moments, and the proof that nothing was lost, doubled or decided otherwise.
//!
//! Two acts on one home. *Imports*: generated work orders are imported file by file; each import is killed again and
//! again until it gets through. Then the home is compared with one where nothing was killed. *Service*: `citybrain run`
//! takes hotline messages over HTTP, is killed in the middle, and the sender repeats what was not acknowledged, as senders
//! do. Then every event must be in bronze exactly once, decided exactly once, and the replay must prove the chain.
//!
//! Kills come from a seed; when they strike depends on the machine as well, so a seed repeats the plan, not the run.

mod act;
mod brain;
mod http;
mod input;
mod verdict;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use brain::Brain;
pub use input::Dice;
pub use verdict::Check;

/// What to do to which program.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The built `citybrain`.
    pub binary: PathBuf,
    /// How many kills.
    pub kills: u64,
    /// Rows to import in all; each gives two events. More are made when the kills are not used up.
    pub rows: u64,
    /// Fixes the rows and the plan of the kills.
    pub seed: u64,
    /// An empty folder to work in.
    pub dir: PathBuf,
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Kills of an import.
    pub import_kills: u64,
    /// Kills of the service.
    pub service_kills: u64,
    /// Imports that got through.
    pub imports: u64,
    /// Rows imported.
    pub rows: u64,
    /// Messages that the service acknowledged.
    pub messages: u64,
    /// What was checked.
    pub checks: Vec<Check>,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// Whether every check held.
    pub fn holds(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.problem.is_none())
    }
}

/// Carries a plan out. `say` is told what happens.
///
/// # Errors
/// When the program cannot be started, or ends by itself with an error; the message holds what it said.
pub fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> Result<Outcome, String> {
    let started = Instant::now();
    let mut outcome = Outcome::default();
    let brain = Brain::create(&plan.binary, &plan.dir.join("disturbed"))?;
    let files = act::imports(plan, &brain, &mut outcome, say)?;
    say("the same files where nothing is killed");
    let calm = Brain::create(&plan.binary, &plan.dir.join("undisturbed"))?;
    for file in &files {
        calm.import(file)?;
    }
    outcome.checks.extend(verdict::same_decisions(&brain, &calm)?);
    let messages = act::service(plan, &brain, &files, &mut outcome, say)?;
    outcome.messages = messages.len() as u64;
    outcome.checks.extend(verdict::exactly_once(&brain, &files, &messages)?);
    outcome.took = started.elapsed();
    Ok(outcome)
}
