//! `citybrain demo`: a generated city, or Houston's real flood, through everything, and a summary that people can read.

mod summary;

use std::io::IsTerminal;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::import::mapping::Mapping;
use gateway::import::pace::Pace;
use gateway::import::sink::SinkError;
use gateway::refusal::{Incoming, Origin};
use gateway::steps::Tally;
use gateway::{DoorSink, ImportOptions, Importer, Sink};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::city::City;
use crate::cli::{Invocation, DemoArgs, Ended, Part};
use crate::home::Home;
use crate::lang::t;
use crate::parts::Parts;
use crate::service::{Options, Service};

/// The city's time that is fed before the brain is waited for: so that an accelerated day is decided as a slow one would be.
const SLICE: TimeDelta = TimeDelta::minutes(5);
/// Events of one step.
const STEP_EVENTS: usize = 256;

/// The command.
pub async fn run(context: &Invocation, args: DemoArgs) -> Result<Ended> {
    if args.real.as_deref().is_some_and(|name| name != "harvey") {
        bail!("there is one real day: --real harvey");
    }
    let real = args.real.is_some().then(harvey_file).transpose()?;
    let root = demo_root(context, args.keep)?;
    let home = Home::open(&root)?;
    let options = Options {
        parts: [Part::Doors, Part::Jobs, Part::Brain, Part::Agents, Part::Lake].into(),
        kafka_listen: free_or_any(context.config.kafka_listen),
        http_listen: Some(free_or_any(context.config.http_listen)),
        notify: false,
        mqtt_listen: None,
    };
    let began = Instant::now();
    let service = Service::start(context, &home, &options, Parts::new()).await?;
    say(context, &format!("{}  Kafka {}  HTTP {}", t("大脑已启动", "the brain is up"), service.kafka, service.http.map(|addr| format!("http://{addr}")).unwrap_or_default()));
    let fed = tokio::select! {
        fed = feed(context, &args, &service, real) => fed,
        _ = crate::run::asked_to_stop() => {
            service.stop().await?;
            bail!("{}", t("已中止", "stopped"));
        }
    };
    let feeding = began.elapsed();
    let gathered = match fed {
        Ok(tally) => {
            service.jobs.end_of_source().await?;
            service.settle().await?;
            summary::gather(&service, &home, &args, tally, feeding, began).await
        }
        Err(error) => Err(error),
    };
    service.stop().await?;
    let summary = gathered?;
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        summary.print();
    }
    Ok(if summary.is_right() { Ended::Done } else { Ended::Differs })
}

/// The demo's own home: emptied at the start, unless it is to be kept, which makes it one of its own.
fn demo_root(context: &Invocation, keep: bool) -> Result<PathBuf> {
    if keep {
        return Ok(context.global.home.join(format!("demo-{}", Utc::now().format("%Y%m%d-%H%M%S"))));
    }
    let root = context.global.home.join("demo");
    if root.exists() {
        // Whoever runs on it is told so, rather than robbed.
        drop(Home::open(&root)?.lock()?);
        std::fs::remove_dir_all(&root).with_context(|| format!("could not empty {}", root.display()))?;
    }
    Ok(root)
}

/// The address, or any free port when it is taken: a demo should not fail because the brain runs.
fn free_or_any(wanted: SocketAddr) -> SocketAddr {
    match TcpListener::bind(wanted) {
        Ok(_) => wanted,
        Err(_) => SocketAddr::new(wanted.ip(), 0),
    }
}

fn say(context: &Invocation, text: &str) {
    if !context.global.quiet {
        eprintln!("{text}");
    }
}

async fn feed(context: &Invocation, args: &DemoArgs, service: &Service, real: Option<PathBuf>) -> Result<Tally> {
    let pace = args.speed.map(Pace::new).transpose()?;
    match real {
        Some(file) => {
            let sink = Watched::new(service, pace, Some(harvey_days()));
            let mapping = Mapping::load("houston")?;
            let options = ImportOptions {
                progress: !context.global.quiet && std::io::stderr().is_terminal(),
                chinese: crate::lang::lang() == crate::lang::Lang::Zh,
                work_dir: std::env::temp_dir(),
                ..ImportOptions::default()
            };
            let report = Importer::new(mapping, service.types.clone(), sink, options).run(&[file]).await?;
            Ok(Tally { accepted: report.accepted, duplicate: report.duplicate, refused: report.refused, ..Tally::default() })
        }
        None => {
            let city = City::new(args.seed);
            let mut sink = Watched::new(service, pace, None);
            let bar = bar(context, (city.ends() - city.begins()).num_minutes() as u64);
            let mut step = Vec::with_capacity(STEP_EVENTS);
            for event in city.day() {
                if let Some(time) = event.time.filter(|time| *time < city.ends()) {
                    bar.set_position((time - city.begins()).num_minutes().max(0) as u64);
                    bar.set_message(time.with_timezone(&city_zone()).format("%H:%M").to_string());
                }
                let origin = Origin { door: "demo".into(), ..Origin::default() };
                step.push(Incoming { event: Ok(event), origin });
                if step.len() == STEP_EVENTS {
                    sink.put(std::mem::take(&mut step)).await?;
                }
            }
            sink.put(step).await?;
            sink.finish().await?;
            bar.finish_and_clear();
            Ok(sink.tally().clone())
        }
    }
}

fn city_zone() -> chrono::FixedOffset {
    chrono::FixedOffset::east_opt(8 * 3600).expect("eight hours are within a day")
}

fn bar(context: &Invocation, minutes: u64) -> ProgressBar {
    let visible = !context.global.quiet && std::io::stderr().is_terminal();
    let bar = ProgressBar::with_draw_target(Some(minutes), if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() });
    let style = ProgressStyle::with_template("{prefix} [{bar:40}] {msg} {eta:>4}").unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(t("城市的一天", "a day of the city"));
    bar
}

fn harvey_file() -> Result<PathBuf> {
    let path = crate::eval::data_file("work_orders/houston311_2011_2017.parquet");
    path.with_context(|| {
        t(
            "找不到休斯敦数据 work_orders/houston311_2011_2017.parquet：请用 CITYBRAIN_DATA 指明数据目录，或不带 --real 运行",
            "Houston's file work_orders/houston311_2011_2017.parquet is not here: name the data folder in CITYBRAIN_DATA, or run the demo without --real",
        )
    })
}

/// 24 August to 15 September 2017 in Houston.
fn harvey_days() -> (DateTime<Utc>, DateTime<Utc>) {
    let at = |text: &str| DateTime::parse_from_rfc3339(text).expect("a constant time").with_timezone(&Utc);
    (at("2017-08-24T00:00:00-05:00"), at("2017-09-16T00:00:00-05:00"))
}

/// A door that stops after each slice of the city's time until the jobs and the brain have caught up.
struct Watched<'a> {
    service: &'a Service,
    door: DoorSink,
    pace: Option<Pace>,
    days: Option<(DateTime<Utc>, DateTime<Utc>)>,
    until: Option<DateTime<Utc>>,
}

impl<'a> Watched<'a> {
    fn new(service: &'a Service, pace: Option<Pace>, days: Option<(DateTime<Utc>, DateTime<Utc>)>) -> Watched<'a> {
        Watched { service, door: DoorSink::new(service.door.clone()), pace, days, until: None }
    }

    async fn hand_over(&mut self, events: Vec<Incoming>) -> Result<(), SinkError> {
        match &mut self.pace {
            Some(pace) => pace.put(events, &mut self.door).await,
            None => self.door.put(events).await,
        }
    }

    async fn catch_up(&mut self) -> Result<(), SinkError> {
        self.door.finish().await?;
        self.service.settle_decisions().await.map_err(|error| SinkError(format!("{error:#}")))
    }
}

impl Sink for Watched<'_> {
    fn put(&mut self, events: Vec<Incoming>) -> BoxFuture<'_, Result<(), SinkError>> {
        async move {
            let mut together = Vec::with_capacity(events.len());
            for incoming in events {
                let time = incoming.event.as_ref().ok().and_then(|event| event.time);
                if let (Some((from, to)), Some(time)) = (self.days, time)
                    && !(from..to).contains(&time)
                {
                    continue;
                }
                // An event of another age (a broken clock) is no sign that time has passed.
                let near = |until: DateTime<Utc>| time.filter(|time| *time > until && *time - until < TimeDelta::days(30));
                let later = match (self.until, time) {
                    (Some(until), _) => near(until),
                    (None, time) => time,
                };
                if let Some(time) = later {
                    self.until = Some(time + SLICE);
                    self.hand_over(std::mem::take(&mut together)).await?;
                    self.catch_up().await?;
                }
                together.push(incoming);
            }
            self.hand_over(together).await
        }
        .boxed()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        self.door.flush()
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        self.catch_up().boxed()
    }

    fn tally(&self) -> &Tally {
        self.door.tally()
    }
}

/// Seconds, for the summary.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}
