//! `citybrain job run FILE` without a brain: one job alone in this process, for ever or until it has caught up.
//!
//! It reads the Kafka that its file names, else `--kafka`, else that of the brain which runs on this home, else the log of
//! the embedded broker. State and positions stay in the home, so the next run goes on from there.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use broker::Broker;
use bus::Bus;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lakehouse::Lake;
use pipelines::{Job, RunError};
use serde::Serialize;
use tokio::sync::watch;

use super::control;
use super::figures::{Desk, Figures};
use super::io::{self, Servers};
use super::record::{self, Record};
use super::side::SideWriters;
use super::work::{Goal, Handle, Tools, Work};
use crate::cli::{Ended, Invocation, JobRunArgs};
use crate::home::{Home, HomeLock};
use crate::lang::t;
use crate::progress::{Positions, Progress};

/// How often a sink may refuse in a row before the run gives up.
const REFUSALS_MAX: u32 = 5;

/// What a run did.
#[derive(Debug, Serialize)]
struct Done {
    job: String,
    rows_in: u64,
    rows_out: u64,
    late: u64,
    epochs: u64,
    /// Windows that stay open for the next run.
    open_windows: u64,
    /// Next offset of each `topic/partition`.
    positions: BTreeMap<String, i64>,
    seconds: f64,
}

/// What the run stands on.
struct Ground {
    tools: Tools,
    broker: Option<Broker>,
    _lock: Option<HomeLock>,
}

/// The command.
pub async fn run(context: &Invocation, home: &Home, job: Job, args: &JobRunArgs) -> Result<Ended> {
    let began = Instant::now();
    let name = job.name().to_owned();
    let ground = Ground::find(context, home, &job, args.until_caught_up).await?;
    let worked = work(context, home, job, args, &ground.tools).await;
    ground.leave().await;
    let figures = worked.map_err(|error| told(error, home, &name))?;
    print(context, &Done {
        job: name,
        rows_in: figures.rows_in,
        rows_out: figures.rows_out,
        late: figures.late,
        epochs: figures.epochs,
        open_windows: figures.open_windows,
        positions: figures.positions,
        seconds: began.elapsed().as_secs_f64(),
    })?;
    Ok(Ended::Done)
}

async fn work(context: &Invocation, home: &Home, job: Job, args: &JobRunArgs, tools: &Tools) -> Result<Figures> {
    let goal = match args.until_caught_up {
        true => Some(goal(home, &job, &tools.source, args.close).await?),
        false => None,
    };
    let ends = goal.as_ref().map(|goal| goal.ends.clone());
    let (handle, work) = open(home, job, tools, goal, args.drop_state).await?;
    let (stop, stopped) = watch::channel(false);
    let bar = bar(context, ends.as_ref(), &handle);
    let mut task = tokio::spawn(work.run(stopped));
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    let ended = loop {
        tokio::select! {
            ended = &mut task => break ended,
            asked = crate::run::asked_to_stop(), if !*stop.borrow() => {
                asked?;
                stop.send_replace(true);
            }
            _ = tick.tick() => show(&bar, ends.as_ref(), &handle),
        }
    };
    bar.finish_and_clear();
    ended.context("the job was cut off")??;
    Ok(handle.desk.read())
}

async fn open(home: &Home, job: Job, tools: &Tools, goal: Option<Goal>, drop_state: bool) -> Result<(Handle, Work)> {
    let progress = || Progress::new(&format!("job {}", job.name()));
    let opened = Work::open(job.clone(), home, tools, Desk::default(), progress(), goal.clone()).await;
    match opened {
        Err(error) if drop_state && matches!(error.downcast_ref(), Some(RunError::OtherShape { .. })) => {
            let old = Record::read(home, job.name())?.last_job(home, job.name()).context("the version that made the state is not known: citybrain job reset")?;
            record::drop_windows(home, &old).await?;
            Work::open(job.clone(), home, tools, Desk::default(), progress(), goal).await
        }
        opened => opened,
    }
}

/// Up to where each partition with news is read.
async fn goal(home: &Home, job: &Job, bus: &Bus, close: bool) -> Result<Goal> {
    let known = known(home, job).await?;
    let watermarks = io::watermarks(job, bus).await?;
    let news = |(place, (low, high)): ((String, i32), (i64, i64))| {
        let from = known.get(&place).copied().unwrap_or(0).max(low);
        (from < high).then_some((place, high))
    };
    Ok(Goal { ends: watermarks.into_iter().filter_map(news).collect(), close, refusals_max: REFUSALS_MAX })
}

/// Where the job was, as far as its state can be read; it is opened properly later, and complains then.
async fn known(home: &Home, job: &Job) -> Result<Positions> {
    let last = Record::read(home, job.name())?.last_job(home, job.name());
    Ok(record::reached(home, last.as_ref().unwrap_or(job)).await.unwrap_or_default())
}

impl Ground {
    async fn find(context: &Invocation, home: &Home, job: &Job, until_caught_up: bool) -> Result<Ground> {
        let servers = io::servers(job)?;
        let writes_topic = io::writes_topic(job);
        let needs_home = servers.source.is_none() || (writes_topic && servers.sink.is_none());
        let (mut broker, mut lock) = (None, None);
        let own = match (needs_home, context.global.kafka.clone().or_else(|| home.running().map(|running| running.kafka))) {
            (false, _) => None,
            (true, Some(servers)) => Some(crate::service::connect(context, &servers).await?),
            (true, None) => {
                lock = Some(home.lock()?);
                let listen = if until_caught_up { std::net::SocketAddr::from(([127, 0, 0, 1], 0)) } else { context.config.kafka_listen };
                let started = crate::service::start_broker(context, home, listen).await?;
                let bus = crate::service::connect(context, &crate::service::reachable(started.addr())).await?;
                broker = Some(started);
                Some(bus)
            }
        };
        let Servers { source, sink } = servers;
        let source = bus(context, source, own.as_ref()).await?;
        let sink = match writes_topic {
            true => bus(context, sink, own.as_ref()).await?,
            false => source.clone(),
        };
        let lake = Lake::open(&home.dir("lake")).await.context("could not open the lake")?;
        let commit_every = Duration::from_millis(context.config.lake_commit_interval_ms);
        Ok(Ground { tools: Tools { source, shared: None, sink, side: SideWriters::start(&lake), lake, commit_every }, broker, _lock: lock })
    }

    /// Whoever speaks to the broker goes before it.
    async fn leave(self) {
        drop(self.tools);
        if let Some(broker) = self.broker {
            broker.shutdown().await;
        }
    }
}

async fn bus(context: &Invocation, servers: Option<String>, own: Option<&Bus>) -> Result<Bus> {
    match (servers, own) {
        (Some(servers), _) => io::connect(context, &servers).await,
        (None, Some(own)) => Ok(own.clone()),
        (None, None) => bail!("the job names no bootstrap_servers: name a Kafka with --kafka"),
    }
}

/// The error with what to do, where this side knows more.
fn told(error: anyhow::Error, home: &Home, name: &str) -> anyhow::Error {
    match error.downcast_ref() {
        Some(RunError::Busy { .. }) if home.running().is_some() => {
            error.context(control::runs_in_the_brain(name))
        }
        Some(RunError::OtherShape { .. }) => error.context("nothing was done; --drop-state drops the open windows and goes on from the same positions"),
        _ => error,
    }
}

fn bar(context: &Invocation, ends: Option<&Positions>, handle: &Handle) -> ProgressBar {
    let visible = !context.global.quiet && std::io::stderr().is_terminal();
    let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let length = ends.map(|ends| handle.progress.lag(ends).max(0) as u64);
    let bar = ProgressBar::with_draw_target(length, target);
    let template = if ends.is_some() { "{prefix} [{bar:30}] {pos}/{len} {msg} {eta:>4}" } else { "{prefix} {msg}" };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(handle.progress.name().to_owned());
    bar
}

fn show(bar: &ProgressBar, ends: Option<&Positions>, handle: &Handle) {
    if let (Some(ends), Some(length)) = (ends, bar.length()) {
        bar.set_position(length.saturating_sub(handle.progress.lag(ends).max(0) as u64));
    }
    let figures = handle.desk.read();
    let refusal = handle.refusal().map(|refusal| format!("  {refusal}")).unwrap_or_default();
    bar.set_message(format!(
        "{} {} {} {} {} {}{refusal}",
        t("进", "in"), figures.rows_in, t("出", "out"), figures.rows_out, t("积压", "lag"), figures.lag_records
    ));
}

fn print(context: &Invocation, done: &Done) -> Result<()> {
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(done)?);
        return Ok(());
    }
    println!(
        "{}: {} {}  {} {}  {} {}  {} {}  ({:.1} s)",
        done.job,
        t("读取", "read"), done.rows_in,
        t("输出", "written"), done.rows_out,
        t("迟到", "late"), done.late,
        t("轮次", "epochs"), done.epochs,
        done.seconds
    );
    if done.open_windows > 0 {
        eprintln!("{} {}", done.open_windows, t("个窗口仍打开，下次继续；--close 会关闭它们", "windows stay open for the next run; --close closes them"));
    }
    Ok(())
}
