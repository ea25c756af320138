//! Keeps the jobs of a running brain as the files say: starts, upgrades and stops them while everything else goes on.
//!
//! Each job works in a task of its own. One that fails stops alone, says why, and is tried again where that can help;
//! one whose new version is wrong or cannot go on from the state goes on in its old version.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bus::{Bus, Filter, Tap};
use lakehouse::Lake;
use pipelines::{Job, RunError};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::catalog::{Catalog, Entry, Wish};
use super::decide::{Action, Held, State, Wanted, decide};
use super::figures::{Desk, Figures};
use super::io;
use super::record::{self, Record};
use super::show;
use super::side::SideWriters;
use super::work::{Handle, Tools, Work};
use crate::city_graph::CityGraph;
use crate::cli::Invocation;
use crate::home::Home;
use crate::parts::{Parts, State as PartState, asked_to_stop};
use crate::progress::Progress;
use crate::refused::RefusedLog;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Time until the first repetition of what failed; each further one takes twice as long.
const RETRY_FIRST: Duration = Duration::from_secs(2);
/// Longest time between two tries.
const RETRY_LAST: Duration = Duration::from_secs(60);
/// What worked for so long begins again with short times.
const WORKED_WELL: Duration = Duration::from_secs(300);

/// What is told about a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// The first sentence of its description.
    pub description: String,
    /// `running`, `stopped` or `failed`.
    pub state: String,
    /// What people should know: why it failed, or what is wrong with its new version.
    pub note: Option<String>,
    /// When it is tried again, if it failed and that can help.
    pub retries: bool,
    /// Whether a file of the home says it; else it ships.
    pub from_file: bool,
    /// The pack that it comes with.
    #[serde(default)]
    pub pack: Option<String>,
    /// Digest of the version that runs or ran.
    pub version: Option<String>,
    /// The edition of its files that was looked at last, and what came of it.
    pub asked: Option<String>,
    /// Where its rows go.
    pub target: String,
    /// How it runs, for people.
    pub plan: String,
    /// Failures since the process began.
    pub failures: u64,
    /// Its figures.
    pub figures: Figures,
}

/// The jobs of this process, as everybody may see them. Cheap to clone.
#[derive(Clone, Default)]
pub struct Jobs {
    shared: Arc<Mutex<BTreeMap<String, Seen>>>,
}

struct Seen {
    report: Report,
    desk: Desk,
    running: Option<Reading>,
}

/// A running job to wait for.
#[derive(Clone)]
pub struct Reading {
    /// Its handle.
    pub handle: Handle,
    /// What it reads on the home's bus.
    pub filter: Filter,
    /// Whether it writes what the brain reads.
    pub feeds_brain: bool,
}

impl Jobs {
    /// All reports, by name.
    pub fn reports(&self) -> Vec<Report> {
        let all = self.lock();
        all.values().map(|seen| Report { figures: seen.desk.read(), ..seen.report.clone() }).collect()
    }

    /// The running jobs that read the home's bus and write to the brain, or those that write elsewhere.
    pub fn readings(&self, feed_brain: bool) -> Vec<Reading> {
        self.lock().values().filter_map(|seen| seen.running.clone()).filter(|reading| reading.feeds_brain == feed_brain).collect()
    }

    /// Tells all running jobs that nothing more will come, and waits until their windows are closed.
    ///
    /// # Errors
    /// When one of them has stopped, or one that is wanted does not run.
    pub async fn end_of_source(&self) -> Result<()> {
        if let Some(failed) = self.reports().into_iter().find(|report| report.state == "failed") {
            return Err(anyhow!("job {} failed: {}", failed.name, failed.note.unwrap_or_default()));
        }
        for reading in [self.readings(true), self.readings(false)].concat() {
            reading.handle.end_of_source().await?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Seen>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What jobs work with in this process.
pub struct Shop {
    /// Options and configuration.
    pub context: Invocation,
    /// The home.
    pub home: Home,
    /// Its bus.
    pub bus: Bus,
    /// The tap that all share.
    pub tap: Arc<Tap>,
    /// The lake.
    pub lake: Lake,
    /// Keeps records for which a function fails.
    pub refused: RefusedLog,
    /// The parts of the process.
    pub parts: Arc<Parts>,
    /// Where jobs look the graph up.
    pub graph: CityGraph,
}

/// Starts, upgrades and stops jobs.
pub struct Manager {
    shop: Shop,
    side: SideWriters,
    catalog: Catalog,
    jobs: BTreeMap<String, Known>,
    seen: Jobs,
    /// The first look: jobs that ship may share the tap then, as nothing flows yet.
    first: bool,
}

#[derive(Default)]
struct Known {
    held: Held,
    task: Option<Task>,
    desk: Desk,
    progress: Option<Progress>,
    note: Option<String>,
    failures: u64,
    tries: u32,
    job: Option<Job>,
    plan: String,
    asked: Option<String>,
}

struct Task {
    handle: Handle,
    stop: watch::Sender<bool>,
    work: JoinHandle<Result<()>>,
    began: Instant,
    reads_home: bool,
}

impl Manager {
    /// A manager that has not looked yet.
    pub fn new(shop: Shop) -> Manager {
        let catalog = Catalog::over(&shop.home, shop.graph.clone());
        let side = SideWriters::start(&shop.lake).with_dlq(shop.refused.clone());
        Manager { shop, side, catalog, jobs: BTreeMap::new(), seen: Jobs::default(), first: true }
    }

    /// What others see of the jobs.
    pub fn jobs(&self) -> Jobs {
        self.seen.clone()
    }

    /// Looks every second, until it is asked to stop; then it stops all jobs.
    ///
    /// # Errors
    /// When a job could not save its state at the end.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<()> {
        loop {
            tokio::select! {
                () = asked_to_stop(&mut stop) => break,
                () = tokio::time::sleep(LOOK_EVERY) => self.look().await,
            }
        }
        self.stop_all().await
    }

    async fn stop_all(&mut self) -> Result<()> {
        let tasks: Vec<_> = self.jobs.iter_mut().filter_map(|(name, known)| Some((name.clone(), known.task.take()?))).collect();
        tasks.iter().for_each(|(_, task)| _ = task.stop.send_replace(true));
        let mut first_error = None;
        for (name, task) in tasks {
            let ended = task.work.await.unwrap_or_else(|error| Err(anyhow!("it was cut off: {error}")));
            if let Err(error) = ended {
                first_error = first_error.or(Some(error.context(format!("job {name} did not end well"))));
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Compares files and jobs, and does what is to be done.
    pub async fn look(&mut self) {
        self.gather().await;
        let entries = match self.catalog.look() {
            Ok(entries) => entries,
            Err(error) => {
                warn!(error = format!("{error:#}"), "could not look for jobs");
                return;
            }
        };
        let wanted = entries.iter().map(|(name, entry)| (name.clone(), wanted(entry))).collect();
        let held = self.jobs.iter().map(|(name, known)| (name.clone(), known.held.clone())).collect();
        for (name, action) in decide(&wanted, &held, Instant::now()) {
            info!(job = name, ?action, "a job changes");
            self.act(&name, action, entries.get(&name)).await;
        }
        self.first = false;
        self.tell(&entries);
    }

    /// Takes in which jobs have ended by themselves.
    async fn gather(&mut self) {
        let ended: Vec<String> = self.jobs.iter().filter(|(_, known)| known.task.as_ref().is_some_and(|task| task.work.is_finished())).map(|(name, _)| name.clone()).collect();
        for name in ended {
            let Some(known) = self.jobs.get_mut(&name) else { continue };
            let Some(task) = known.task.take() else { continue };
            if task.began.elapsed() >= WORKED_WELL {
                known.tries = 0;
            }
            let edition = self.catalog.edition(&name);
            match task.work.await {
                Ok(Ok(())) => known.held.state = State::Stopped,
                Ok(Err(error)) => known.fail(&name, edition, &error),
                Err(error) => known.fail(&name, edition, &anyhow!(RunError::Stopped { job: name.clone() }).context(format!("it panicked: {error}"))),
            }
        }
    }

    async fn act(&mut self, name: &str, action: Action, entry: Option<&Entry>) {
        let edition = entry.map_or(0, |entry| entry.edition);
        let job = entry.and_then(|entry| entry.job.as_ref().ok());
        match (action, job) {
            (Action::Start, Some(job)) => self.start(name, job.clone(), edition).await,
            (Action::StartLast, _) => self.start_last(name, edition).await,
            (Action::Upgrade { may_drop }, Some(job)) => self.upgrade(name, job.clone(), edition, may_drop).await,
            (Action::Stop, _) => self.stop(name).await,
            (Action::Reset, _) => self.reset(name, edition).await,
            (Action::Start | Action::Upgrade { .. }, None) => {}
        }
    }

    /// Starts a job. One whose state comes from another version goes on in that one.
    async fn start(&mut self, name: &str, job: Job, edition: u64) {
        let version = job.digest();
        let Err(error) = self.open(name, job).await else {
            self.known(name).runs(&version);
            return;
        };
        let last = Record::read(&self.shop.home, name).ok().and_then(|record| record.last_job(&self.shop.home, name)).filter(|last| last.digest() != version);
        if let (true, Some(last)) = (for_want_of_leave(&error), last) {
            let digest = last.digest();
            if self.open(name, last).await.is_ok() {
                let known = self.known(name);
                known.runs(&digest);
                known.refuse(edition, &error);
                return;
            }
        }
        self.known(name).fail(name, edition, &error);
    }

    /// Starts the version that ran last, when there is one: the file is wrong.
    async fn start_last(&mut self, name: &str, edition: u64) {
        let last = Record::read(&self.shop.home, name).ok().and_then(|record| record.last_job(&self.shop.home, name));
        let known = self.known(name);
        known.held.state = State::Failed { edition, retry: None };
        if let Some(last) = last {
            self.start(name, last, edition).await;
        }
    }

    /// Lets another version take over: the one that runs finishes its epoch and saves.
    async fn upgrade(&mut self, name: &str, job: Job, edition: u64, may_drop: bool) {
        let old = self.known(name).job.clone();
        self.halt(name).await;
        let version = job.digest();
        let opened = match (self.open(name, job.clone()).await, &old) {
            (Err(error), Some(old)) if may_drop && for_want_of_leave(&error) => match record::drop_windows(&self.shop.home, old).await {
                Ok(()) => self.open(name, job).await,
                Err(error) => Err(error),
            },
            (opened, _) => opened,
        };
        if may_drop && let Err(error) = Wish::DropState.clear(&self.shop.home, name) {
            warn!(job = name, error = format!("{error:#}"), "could not note that the state was dropped");
        }
        match (opened, old) {
            (Ok(()), _) => self.known(name).runs(&version),
            (Err(error), Some(old)) => {
                let digest = old.digest();
                match self.open(name, old).await {
                    Ok(()) => {
                        let known = self.known(name);
                        known.runs(&digest);
                        known.refuse(edition, &error);
                    }
                    Err(error) => self.known(name).fail(name, edition, &error),
                }
            }
            (Err(error), None) => self.known(name).fail(name, edition, &error),
        }
    }

    async fn stop(&mut self, name: &str) {
        self.halt(name).await;
        let known = self.known(name);
        known.held = Held { state: State::Stopped, refused: None };
        known.note = None;
    }

    async fn reset(&mut self, name: &str, edition: u64) {
        self.halt(name).await;
        let dropped = record::drop_state(&self.shop.home, name, &BTreeMap::new()).and_then(|()| Wish::Reset.clear(&self.shop.home, name));
        let known = self.known(name);
        match dropped {
            Ok(_) => {
                known.desk.write(|figures| *figures = Figures::default());
                known.held = Held { state: State::Stopped, refused: None };
                known.note = None;
            }
            Err(error) => known.fail(name, edition, &error),
        }
    }

    /// Ends a job's task. What it says at the end is logged: what it had done is safe.
    async fn halt(&mut self, name: &str) {
        let Some(task) = self.known(name).task.take() else { return };
        task.stop.send_replace(true);
        match task.work.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(job = name, error = format!("{error:#}"), "a job did not end well"),
            Err(error) => warn!(job = name, %error, "a job was cut off"),
        }
    }

    /// Opens a job and sets it to work.
    async fn open(&mut self, name: &str, job: Job) -> Result<()> {
        let tools = self.tools(&job).await?;
        let reads_home = io::reads_home(&job);
        let plan = job.explain();
        // Whoever looks at the job looks at all of its versions.
        let (desk, progress) = (self.known(name).desk.clone(), self.progress(name));
        let (handle, work) = Work::open(job.clone(), &self.shop.home, &tools, desk, progress, None).await?;
        let known = self.known(name);
        let (stop, stopped) = watch::channel(false);
        let task = Task { handle, stop, work: tokio::spawn(work.run(stopped)), began: Instant::now(), reads_home };
        known.task = Some(task);
        known.plan = plan;
        known.job = Some(job);
        Ok(())
    }

    async fn tools(&self, job: &Job) -> Result<Tools> {
        let servers = io::servers(job)?;
        let bus = async |servers: &Option<String>| match servers {
            Some(servers) => io::connect(&self.shop.context, servers).await.with_context(|| format!("job {}", job.name())),
            None => Ok(self.shop.bus.clone()),
        };
        let ships = self.catalog.ships(job.name());
        Ok(Tools {
            source: bus(&servers.source).await?,
            shared: (self.first && ships && servers.source.is_none()).then(|| self.shop.tap.clone()),
            sink: bus(&servers.sink).await?,
            lake: self.shop.lake.clone(),
            side: self.side.clone(),
            commit_every: Duration::from_millis(self.shop.context.config.lake_commit_interval_ms),
        })
    }

    fn progress(&mut self, name: &str) -> Progress {
        let known = self.jobs.entry(name.to_owned()).or_default();
        let made = || {
            let progress = Progress::new(&format!("job {name}"));
            self.shop.parts.track(&progress);
            progress
        };
        known.progress.get_or_insert_with(made).clone()
    }

    fn known(&mut self, name: &str) -> &mut Known {
        self.jobs.entry(name.to_owned()).or_default()
    }

    /// Writes down what others see.
    fn tell(&mut self, entries: &BTreeMap<String, Entry>) {
        // A job without a file that does not run is gone; its state stays.
        self.jobs.retain(|name, known| entries.contains_key(name) || known.task.is_some());
        for (name, entry) in entries {
            let known = self.known(name);
            known.asked = entry.job.as_ref().ok().map(Job::digest);
            match (&entry.job, &known.held.state) {
                (Err(error), _) => known.note = Some(error.clone()),
                (Ok(_), State::Running { version }) if known.asked.as_ref() == Some(version) => {
                    known.held.refused = None;
                    known.note = None;
                }
                (Ok(_), _) => {}
            }
        }
        let seen = self.jobs.iter().map(|(name, known)| (name.clone(), known.seen(name, entries.get(name)))).collect();
        *self.seen.lock() = seen;
        let troubles: Vec<String> = self.seen.reports().into_iter().filter_map(|report| Some(format!("{}: {}", report.name, report.note?))).collect();
        let state = if troubles.is_empty() { PartState::Ready } else { PartState::Warning(troubles.join("; ")) };
        self.shop.parts.set("jobs", state);
    }
}

impl Known {
    fn runs(&mut self, version: &str) {
        self.held = Held { state: State::Running { version: version.to_owned() }, refused: None };
        self.note = None;
    }

    fn refuse(&mut self, edition: u64, error: &anyhow::Error) {
        self.held.refused = Some((edition, for_want_of_leave(error)));
        self.note = Some(format!("the version before runs on; the new one cannot: {error:#}"));
    }

    fn fail(&mut self, name: &str, edition: u64, error: &anyhow::Error) {
        let retry = can_help(error).then(|| Instant::now() + wait_after(self.tries));
        self.tries = (self.tries + 1).min(8);
        self.failures += 1;
        warn!(job = name, error = format!("{error:#}"), again = retry.is_some(), "a job failed");
        self.held = Held { state: State::Failed { edition, retry }, refused: None };
        self.note = Some(format!("{error:#}"));
    }

    fn seen(&self, name: &str, entry: Option<&Entry>) -> Seen {
        let wished = entry.and_then(|entry| entry.job.as_ref().ok());
        let job = self.job.as_ref().or(wished);
        let (state, retries) = match &self.held.state {
            State::Running { .. } => ("running", false),
            State::New | State::Stopped => ("stopped", false),
            State::Failed { retry, .. } => ("failed", retry.is_some()),
        };
        let refusal = self.task.as_ref().and_then(|task| task.handle.refusal());
        let report = Report {
            name: name.to_owned(),
            description: job.map(show::first_sentence).unwrap_or_default(),
            state: state.to_owned(),
            note: self.note.clone().or(refusal),
            retries,
            from_file: entry.is_some_and(|entry| entry.from_file),
            pack: entry.and_then(|entry| entry.pack.clone()),
            version: self.job.as_ref().map(Job::digest),
            asked: self.asked.clone(),
            target: job.map(io::target_name).unwrap_or_default(),
            plan: match self.plan.is_empty() {
                true => job.map(Job::explain).unwrap_or_default(),
                false => self.plan.clone(),
            },
            failures: self.failures,
            figures: Figures::default(),
        };
        let reading = |task: &Task| {
            let job = self.job.as_ref()?;
            let filter = Filter::topics(job.topics().to_vec());
            task.reads_home.then(|| Reading { handle: task.handle.clone(), filter, feeds_brain: io::feeds_brain(job) })
        };
        Seen { report, desk: self.desk.clone(), running: self.task.as_ref().and_then(reading) }
    }
}

fn wanted(entry: &Entry) -> Wanted {
    Wanted {
        version: entry.job.as_ref().ok().map(Job::digest),
        edition: entry.edition,
        off: entry.off,
        reset: entry.reset,
        may_drop: entry.may_drop.clone(),
    }
}

/// How long to wait after so many tries in a row.
pub fn wait_after(tries: u32) -> Duration {
    (RETRY_FIRST * 2_u32.saturating_pow(tries)).min(RETRY_LAST)
}

/// Whether a version could not take over only because it cannot go on from the state.
fn for_want_of_leave(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<RunError>(), Some(RunError::OtherShape { .. }))
}

/// Whether another try can help: not when the same rows would fail in the same way, nor when somebody has to mend a file.
pub fn can_help(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<RunError>() {
        Some(RunError::Io { .. } | RunError::Store { .. } | RunError::Busy { .. } | RunError::Sink { .. }) => true,
        Some(_) => false,
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_time_can_mend_is_tried_again() {
        let job = || "busy".to_owned();
        let io = RunError::Io { what: "write", path: "state".into(), source: std::io::Error::other("full") };
        assert!(can_help(&anyhow!(io)) && can_help(&anyhow!("no Kafka")));
        assert!(can_help(&anyhow!(RunError::Busy { job: job(), path: "state".into() })));
        let shape = anyhow!(RunError::OtherShape { job: job(), what: "the window".into() });
        assert!(!can_help(&shape) && for_want_of_leave(&shape));
        let large = anyhow!(RunError::StateTooLarge { job: job(), bytes: 2, limit: 1 }).context("job busy");
        assert!(!can_help(&large) && !for_want_of_leave(&large), "a reason stays one behind words of context");
    }

    #[test]
    fn a_job_that_fails_again_and_again_is_tried_less_and_less() {
        let waits: Vec<u64> = (0..8).map(|tries| wait_after(tries).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60]);
        let mut known = Known::default();
        known.fail("busy", 1, &anyhow!("no Kafka"));
        assert!(matches!(known.held.state, State::Failed { edition: 1, retry: Some(_) }) && known.tries == 1);
        known.fail("busy", 2, &anyhow!(RunError::Stopped { job: "busy".to_owned() }));
        assert!(matches!(known.held.state, State::Failed { edition: 2, retry: None }), "what would fail again is not tried again");
    }
}
