//! `citybrain job run FILE --shared`: one job in several processes.
//!
//! ```text
//! partition of a source --[split]--> job.<name>.<life>.slices --[slice: engine, state, sink]-->
//! ```
//!
//! All processes are members of one consumer group over the job's topics and its topic of slices. Whoever owns a partition
//! of a source cuts its rows into slices by the keys of the job's windows ([`split`]); whoever owns a slice works it as a
//! job of its own ([`slices`], [`super::work`]): with the state of that slice in the home that all share, and with epochs
//! of its own in the sink. A job without state needs no slices: each partition is worked by itself.
//!
//! Nothing is lost or doubled when a process dies: a slice is read on from where its state is, its state is held by one
//! process at a time, and rows that are sent again are known by their offsets, which they keep on their way.

mod slices;
mod split;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use bus::{Bus, Change, Filter, HandOver, Member, Producer, Tap, TapConfig, TopicSpec};
use lakehouse::Lake;
use pipelines::{Job, RunError, Splitter, Spread};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tracing::{info, warn};

pub use self::slices::Slices;
use self::split::Split;
use super::figures::Desk;
use super::io::{self, Source};
use super::manager::{can_help, wait_after};
use super::record::Record;
use super::side::SideWriters;
use super::work::{Part, Tools, Work};
use super::control;
use crate::cli::{Ended, Invocation, JobRunArgs};
use crate::home::Home;
use crate::lang::t;
use crate::parts::asked_to_stop;
use crate::progress::{Positions, Progress};

/// Who is silent for so long is taken for dead, and others go on with its partitions.
const SESSION: Duration = Duration::from_secs(10);
/// How long a part that is asked to stop may take, before its work is broken off. The next owner begins where its state is.
const STOP_WITHIN: Duration = Duration::from_secs(15);
/// How often a part looks whether another process has let go of its state.
const STATE_AGAIN: Duration = Duration::from_millis(300);

/// What all parts of the job work with.
struct Shop {
    home: Home,
    /// The job's file, or its name. Each part reads it anew: functions of others belong to one part.
    file: PathBuf,
    name: String,
    from_latest: BTreeSet<String>,
    keys: String,
    /// The topic of slices and how many there are; none, when each partition is worked by itself.
    slices: Option<(String, u32)>,
    tools: Tools,
    tap: Arc<Tap>,
    producer: Producer,
    member: Arc<Member>,
}

/// A part at work.
struct Running {
    stop: watch::Sender<bool>,
    work: JoinHandle<Result<()>>,
}

/// The command.
pub async fn run(context: &Invocation, home: &Home, job: Job, args: &JobRunArgs) -> Result<Ended> {
    let began = Instant::now();
    let name = job.name().to_owned();
    if home.running().is_some() && control::reports(home).await?.iter().any(|report| report.name == name && report.state == "running") {
        bail!(control::runs_in_the_brain(&name));
    }
    let life = Record::read(home, &name)?.life;
    let tools = tools(context, home, &job).await?;
    let slices = slices_of(&job, &tools.source, life, args.slices).await?;
    let group = format!("citybrain.job.{name}.{life}");
    let topics: Vec<&str> = job.topics().iter().map(String::as_str).chain(slices.as_ref().map(|(topic, _)| topic.as_str())).collect();
    let (member, mut changes) = Member::join(&tools.source, &group, &topics, SESSION)?;
    let shop = Arc::new(Shop {
        home: home.clone(),
        file: args.file.clone(),
        name: name.clone(),
        from_latest: job.sources().iter().filter(|source| source.from_latest).flat_map(|source| source.topics.to_vec()).collect(),
        keys: match job.spread() {
            Spread::Keys(keys) => keys.join(", "),
            Spread::Rows | Spread::One(_) => String::new(),
        },
        slices,
        tap: Arc::new(Tap::start(tools.source.clone(), TapConfig::default())?),
        producer: tools.source.producer()?,
        tools,
        member: Arc::new(member),
    });
    eprintln!("{name}: {} {group}; {}", t("共享组", "shared in the group"), shop.how());
    let (desk, mut parts) = (Desks::default(), BTreeMap::new());
    let mut looked = tokio::time::interval(STATE_AGAIN);
    let stopping = crate::run::asked_to_stop();
    tokio::pin!(stopping);
    let ended = loop {
        tokio::select! {
            asked = &mut stopping => break asked.map_err(anyhow::Error::from),
            change = changes.recv() => match change {
                Some(Change::Gained(places)) => shop.begin(places, &mut parts, &desk),
                Some(Change::Lost(over)) => hand_over(over, &mut parts).await,
                None => break Err(anyhow!("the member of {group} ended")),
            },
            _ = looked.tick() => if let Some(error) = failed(&mut parts).await { break Err(error) },
        }
    };
    drop(changes);
    let all = std::mem::take(&mut parts);
    stop_all(all).await;
    Arc::into_inner(shop).context("a part of the job still runs")?.leave().await;
    ended?;
    desk.print(context, &name, began);
    Ok(Ended::Done)
}

/// What the job works with. Its Kafka must be one that other processes reach, too.
async fn tools(context: &Invocation, home: &Home, job: &Job) -> Result<Tools> {
    let servers = io::servers(job)?;
    let own = context.global.kafka.clone().or_else(|| home.running().map(|running| running.kafka));
    let connect = async |servers: Option<String>| match servers.or_else(|| own.clone()) {
        Some(servers) => crate::service::connect(context, &servers).await,
        None => bail!("a shared job needs a Kafka that all of its processes reach: write bootstrap_servers into its tables, or name one with --kafka"),
    };
    let source = connect(servers.source).await?;
    let sink = if io::writes_topic(job) { connect(servers.sink).await? } else { source.clone() };
    let lake = Lake::open(&home.dir("lake")).await.context("could not open the lake")?;
    let commit_every = Duration::from_millis(context.config.lake_commit_interval_ms);
    Ok(Tools { source, shared: None, sink, side: SideWriters::start(&lake), lake, commit_every })
}

/// The topic of a job's slices, made when it is not there, and how many it has.
async fn slices_of(job: &Job, bus: &Bus, life: u64, wanted: u32) -> Result<Option<(String, u32)>> {
    io::watermarks(job, bus).await?;
    let wanted = match job.spread() {
        Spread::Rows => return Ok(None),
        Spread::Keys(_) => wanted,
        Spread::One(_) => 1,
    };
    let topic = format!("job.{}.{life}.slices", job.name());
    bus.ensure_topics(&[TopicSpec::new(&topic, i32::try_from(wanted)?)]).await.with_context(|| format!("could not make the topic {topic}"))?;
    let there = bus.watermarks(&topic).await?.len();
    Ok(Some((topic, u32::try_from(there)?)))
}

impl Shop {
    /// How the job is shared, in words.
    fn how(&self) -> String {
        match &self.slices {
            None => t("各分区独立处理", "each partition by itself").to_owned(),
            Some((_, 1)) => t("状态由一个进程处理，切分由全体完成", "one process has its state, all of them prepare its rows").to_owned(),
            Some((_, of)) => format!("{of} {} {}", t("个分片，按", "slices by"), self.keys),
        }
    }

    /// Sets parts to work.
    fn begin(self: &Arc<Self>, places: Vec<(String, i32)>, parts: &mut BTreeMap<(String, i32), Running>, desks: &Desks) {
        info!(job = self.name, ?places, "takes parts over");
        for place in places {
            let (stop, stopped) = watch::channel(false);
            let work = tokio::spawn(Arc::clone(self).part(place.clone(), desks.desk(&place), stopped));
            parts.insert(place, Running { stop, work });
        }
    }

    /// Works a part until it is asked to stop, again and again while that can help.
    async fn part(self: Arc<Self>, place: (String, i32), desk: Desk, mut stop: watch::Receiver<bool>) -> Result<()> {
        let mut tries = 0;
        loop {
            let worked = tokio::select! {
                worked = self.work(&place, &desk, stop.clone()) => worked,
                // Work that has begun ends by itself in order; this is for one that waits to begin.
                () = async { asked_to_stop(&mut stop.clone()).await; tokio::time::sleep(STOP_WITHIN).await } => return Ok(()),
            };
            let Err(error) = worked else { return Ok(()) };
            let wait = match error.downcast_ref::<RunError>() {
                Some(RunError::Busy { .. }) => STATE_AGAIN,
                _ if can_help(&error) => {
                    warn!(job = self.name, topic = place.0, partition = place.1, error = format!("{error:#}"), "a part of a job failed; trying again");
                    tries += 1;
                    wait_after(tries)
                }
                _ => return Err(error.context(format!("job {}: {}/{}", self.name, place.0, place.1))),
            };
            tokio::select! {
                () = asked_to_stop(&mut stop) => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn work(&self, place: &(String, i32), desk: &Desk, stop: watch::Receiver<bool>) -> Result<()> {
        let job = control::find(&self.home, &self.file)?;
        match &self.slices {
            None => {
                let part = Part::Partition { place: place.clone(), tap: Arc::clone(&self.tap), begin: self.committed(place).await? };
                self.open(job, part, desk, stop).await
            }
            Some((topic, of)) if place.0 == *topic => {
                let (slice, of) = (u32::try_from(place.1)?, *of);
                let next = self.committed(place).await?;
                let (bus, tap, member) = (self.tools.source.clone(), Arc::clone(&self.tap), Arc::clone(&self.member));
                let (name, place, keys) = (self.name.clone(), place.clone(), self.keys.clone());
                let source = move |seen| {
                    let source = Source::of_partition(&bus, &tap, &name, &place.0, place.1, Positions::from([(place.clone(), next)]))?;
                    Ok(Slices::new(source, member, place, keys, seen, next))
                };
                let part = Part::Slice { name: format!("slice-{slice}-of-{of}"), source: Box::new(source) };
                self.open(job.slice(slice, of), part, desk, stop).await
            }
            Some((topic, of)) => {
                let at = self.committed(place).await?;
                let start = Positions::from([(place.clone(), at)]);
                let split = Split {
                    splitter: Splitter::new(job, *of)?,
                    source: Source::of_partition(&self.tools.source, &self.tap, &self.name, &place.0, place.1, start)?,
                    member: Arc::clone(&self.member),
                    producer: self.producer.clone(),
                    topic: topic.clone(),
                    of: *of,
                    place: place.clone(),
                    at,
                    keys: self.keys.clone(),
                };
                split.run(stop).await
            }
        }
    }

    async fn open(&self, job: Job, part: Part, desk: &Desk, stop: watch::Receiver<bool>) -> Result<()> {
        let progress = Progress::new(&format!("job {}", self.name));
        let (_handle, work) = Work::open_part(job, &self.home, &self.tools, desk.clone(), progress, None, part).await?;
        work.run(stop).await
    }

    /// The next offset of a partition as the group knows it. A stream that begins at its end has that end written down
    /// first, so that nothing after it is missed, whatever comes.
    async fn committed(&self, place: &(String, i32)) -> Result<i64> {
        let known = self.member.committed(std::slice::from_ref(place)).await?;
        if let Some(next) = known.get(place) {
            return Ok(*next);
        }
        if !self.from_latest.contains(&place.0) {
            return Ok(0);
        }
        let ends = self.tools.source.ends(&Filter::partition(&place.0, place.1)).await?;
        let end = ends.get(place).copied().unwrap_or(0);
        self.member.commit(Positions::from([(place.clone(), end)])).await?;
        Ok(end)
    }

    async fn leave(self) {
        self.tap.stop().await;
        if let Some(member) = Arc::into_inner(self.member) {
            member.leave().await;
        }
    }
}

/// Ends the work on partitions that go to others; dropping `over` lets them go.
async fn hand_over(over: HandOver, parts: &mut BTreeMap<(String, i32), Running>) {
    info!(places = ?over.partitions, "hands parts over");
    stop_all(over.partitions.iter().filter_map(|place| Some((place.clone(), parts.remove(place)?))).collect()).await;
    drop(over);
}

/// Ends parts, all at once. What one says at its end is logged: what it had done is safe.
async fn stop_all(parts: BTreeMap<(String, i32), Running>) {
    parts.values().for_each(|part| _ = part.stop.send_replace(true));
    let mut ends = JoinSet::new();
    for (place, part) in parts {
        ends.spawn(async move { (place, part.work.await) });
    }
    while let Some(ended) = ends.join_next().await {
        match ended {
            Ok((_, Ok(Ok(())))) => {}
            Ok((place, Ok(Err(error)))) => warn!(?place, error = format!("{error:#}"), "a part of a job did not end well"),
            Ok((place, Err(error))) => warn!(?place, %error, "a part of a job was cut off"),
            Err(error) => warn!(%error, "a part of a job was cut off"),
        }
    }
}

/// Why a part ended by itself, if one did.
async fn failed(parts: &mut BTreeMap<(String, i32), Running>) -> Option<anyhow::Error> {
    let place = parts.iter().find(|(_, part)| part.work.is_finished()).map(|(place, _)| place.clone())?;
    match parts.remove(&place)?.work.await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(error) => Some(anyhow!("{}/{}: it panicked: {error}", place.0, place.1)),
    }
}

/// The figures of all parts that this process has worked.
#[derive(Default)]
struct Desks(std::sync::Mutex<BTreeMap<(String, i32), Desk>>);

impl Desks {
    fn desk(&self, place: &(String, i32)) -> Desk {
        let mut desks = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        desks.entry(place.clone()).or_default().clone()
    }

    fn print(&self, context: &Invocation, name: &str, began: Instant) {
        let desks = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let figures: Vec<_> = desks.values().map(Desk::read).collect();
        let sum = |of: fn(&super::figures::Figures) -> u64| figures.iter().map(of).sum::<u64>();
        let (rows_in, rows_out, late, epochs) = (sum(|f| f.rows_in), sum(|f| f.rows_out), sum(|f| f.late), sum(|f| f.epochs));
        let seconds = began.elapsed().as_secs_f64();
        if context.global.json {
            println!("{}", serde_json::json!({"job": name, "rows_in": rows_in, "rows_out": rows_out, "late": late, "epochs": epochs, "seconds": seconds}));
            return;
        }
        println!(
            "{name}: {} {rows_in}  {} {rows_out}  {} {late}  {} {epochs}  ({seconds:.1} s)",
            t("读取", "read"),
            t("输出", "written"),
            t("迟到", "late"),
            t("轮次", "epochs")
        );
    }
}
