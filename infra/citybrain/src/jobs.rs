//! The streaming SQL jobs of this process, and `citybrain job`.
//!
//! [`catalog`] says which jobs there are, [`decide`] what is to be done about them, [`manager`] does it while the brain
//! runs. [`work`] is one job at work: from its source through the engine (the crate `pipelines`) to its sink; [`io`] and
//! [`sinks`] are its two ends, [`side`] the tables that all jobs share, which [`group`] writes, [`figures`] its numbers,
//! [`record`] what is remembered of it beside its state. [`load`] reads its file, with what [`given`] finds in tables and in
//! the graph. [`standalone`] runs one job without a brain, [`shared`] one job in several processes, [`dry`] over what has
//! been, [`control`] changes which jobs run, [`show`] tells about them, and [`export`] writes one for another engine.

mod catalog;
mod control;
mod decide;
mod dry;
mod export;
mod figures;
mod given;
mod group;
mod io;
mod load;
mod manager;
mod record;
mod shared;
mod show;
mod side;
mod sinks;
mod standalone;
#[cfg(test)]
mod tests;
mod work;

use anyhow::Result;
use pipelines::Job;

pub use self::catalog::Catalog;
pub use self::control::follow_pack;
pub use self::figures::Desk;
pub use self::load::{WORKER, load};
pub use self::manager::{Jobs, Manager, Reading, Report, Shop};
pub use self::show::metrics;
pub use self::side::SideWriters;
pub use self::work::{Tools, Work};
use crate::cli::{Ended, Invocation, JobAction, JobRunArgs};

/// `citybrain job`.
pub async fn command(context: &Invocation, action: JobAction) -> Result<Ended> {
    match action {
        JobAction::Validate { file } => {
            let job = load::load(&file, context.home()?.root())?;
            println!("{}: ok", job.name());
            Ok(Ended::Done)
        }
        JobAction::Explain { job } => {
            let home = context.home()?;
            let reports = control::reports(&home).await?;
            let by_name = reports.iter().find(|report| Some(report.name.as_str()) == job.to_str() && !job.is_file());
            match by_name {
                Some(report) => show::explain(context, report)?,
                None => explain_file(context, &control::find(&home, &job)?, &reports)?,
            }
            Ok(Ended::Done)
        }
        JobAction::List => {
            show::list(context, &control::reports(&context.home()?).await?)?;
            Ok(Ended::Done)
        }
        JobAction::Run(args) => run(context, args).await,
        JobAction::Export(args) => export::run(context, &args),
        JobAction::Stop { name } => control::stand(context, &name, true).await,
        JobAction::Start { name } => control::stand(context, &name, false).await,
        JobAction::Reset { name, yes } => control::reset(context, &name, yes).await,
    }
}

/// A file: as it runs, when it does in this version, else its plan.
fn explain_file(context: &Invocation, job: &Job, reports: &[manager::Report]) -> Result<()> {
    let digest = job.digest();
    match reports.iter().find(|report| report.name == job.name() && report.version.as_ref() == Some(&digest)) {
        Some(report) => show::explain(context, report),
        None => {
            println!("{}", job.explain().trim_end());
            Ok(())
        }
    }
}

/// `citybrain job run`: over history, alone, or in the brain that runs on this home.
async fn run(context: &Invocation, args: JobRunArgs) -> Result<Ended> {
    let home = context.home()?;
    let job = control::find(&home, &args.file)?;
    match home.running() {
        _ if args.dry => dry::run(context, &home, job, &args).await,
        _ if args.shared => shared::run(context, &home, job, &args).await,
        Some(running) if !args.until_caught_up => control::deploy(context, &home, &running, &job, &args).await,
        Some(_) | None => standalone::run(context, &home, job, &args).await,
    }
}
