//! The running brain: starts the parts in their order, wires them together, waits for them, stops them.
//!
//! Order of the start: the home's lock, the broker, the bus and its topics, the lake, the index against duplicates and
//! landing (which folds it), the decision plane, the jobs, the stream, and last the doors, when everything behind them is
//! ready. The stop goes the other way round.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use broker::{Broker, BrokerConfig, Sasl};
use bus::{Bus, BusConfig, DedupConfig, DedupIndex, Filter, Tap, TapConfig, Window};
use gateway::mqtt::{Mqtt, MqttListener};
use gateway::open311::Forms;
use gateway::{AuditLog as _, Door, DoorConfig, Gateway, GatewayConfig, Listener, People, StreamHub, Types};
use lakehouse::{Lake, Lander, LanderConfig};
use schemas::Registry;
use schemas::audit::Note;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};
use webhooks::{Patience, Webhook};

use crate::audit::AuditHandle;
use crate::city_files::CityFiles;
use crate::city_graph::{self, CityGraph};
use crate::cli::{Invocation, Part};
use crate::agents::{self, Agents, Nobody};
use crate::follow::{Fold, Follower, Late, Levels, Matters, Volumes};
use crate::home::{Home, HomeLock, Running};
use crate::jobs::{self, Jobs, Manager, Shop};
use crate::landing::{self, Landing};
use crate::notify::{Failing, Sender};
use crate::parts::{Parts, State, asked_to_stop};
use crate::ports::{BusLog, Seen};
use crate::progress::{Positions, Progress};
use crate::refused::RefusedLog;
use crate::sequencer::{Sequencer, Settings, SnapshotStore};
use crate::things;
use crate::topics;
use crate::types_dir::TypesDir;
use crate::understanding::Understanding;
use crate::view::View;

/// How often new event types are looked for.
const TYPES_EVERY: Duration = Duration::from_secs(2);
/// How often lags are looked at for `/metrics`.
const OBSERVE_EVERY: Duration = Duration::from_secs(1);
/// How often a wait looks again.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long one wait for progress may take before it says what it waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The parts.
    pub parts: BTreeSet<Part>,
    /// Where the embedded broker listens.
    pub kafka_listen: SocketAddr,
    /// Where the HTTP door listens; none keeps it shut.
    pub http_listen: Option<SocketAddr>,
    /// Whether receivers are notified of alerts. What only shows, measures or imports pages nobody.
    pub notify: bool,
    /// Where the MQTT door listens, when the HTTP door does; none keeps it shut.
    pub mqtt_listen: Option<String>,
}

impl Options {
    /// Everything but HTTP, on a free port: what `import` and the benchmarks need.
    pub fn quiet() -> Options {
        Options {
            parts: BTreeSet::from([Part::Jobs, Part::Brain, Part::Lake]),
            kafka_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            http_listen: None,
            notify: false,
            mqtt_listen: None,
        }
    }
}

/// A reader of the bus and what it reads, to wait for.
struct Reading {
    progress: Progress,
    filter: Filter,
    /// The job that it is, if it is one: a job may stop alone.
    job: Option<jobs::Reading>,
}

impl Reading {
    fn of_job(job: jobs::Reading) -> Reading {
        Reading { progress: job.handle.progress.clone(), filter: job.filter.clone(), job: Some(job) }
    }

    /// Whether nobody will read on.
    fn has_stopped(&self) -> bool {
        self.job.as_ref().is_some_and(|job| !job.handle.is_alive())
    }
}

/// A running brain.
pub struct Service {
    /// The bus.
    pub bus: Bus,
    /// The lake.
    pub lake: Lake,
    /// The way in.
    pub door: Arc<Door>,
    /// The event types in force.
    pub types: Arc<Types>,
    /// The audit.
    pub audit: AuditHandle,
    /// The jobs of this process.
    pub jobs: Jobs,
    /// Where HTTP is.
    pub http: Option<SocketAddr>,
    /// Where MQTT is.
    pub mqtt: Option<SocketAddr>,
    /// Where Kafka is.
    pub kafka: String,
    /// What decides.
    deciding: Vec<Reading>,
    /// What follows what was decided.
    following: Vec<Reading>,
    /// What lands.
    landing: Vec<Reading>,
    tap: Arc<Tap>,
    stop: watch::Sender<bool>,
    stop_doors: watch::Sender<bool>,
    tasks: Vec<(&'static str, JoinHandle<Result<()>>)>,
    doors: Vec<JoinHandle<()>>,
    failed: watch::Receiver<Option<String>>,
    broker: Option<Arc<Broker>>,
    _lock: HomeLock,
}

/// Connects to a Kafka with the options of the configuration.
pub async fn connect(context: &Invocation, servers: &str) -> Result<Bus> {
    let mut config = BusConfig::new(servers);
    if context.global.kafka.is_none() && !context.config.kafka_user.is_empty() {
        for (key, value) in [("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "PLAIN")] {
            config = config.with_option(key, value);
        }
        config = config.with_option("sasl.username", &context.config.kafka_user).with_option("sasl.password", &context.config.kafka_password);
    }
    for (key, value) in &context.config.kafka_options {
        config = config.with_option(key, value);
    }
    Ok(Bus::connect(config).await?)
}

/// Starts the embedded broker of a home.
///
/// # Errors
/// When it cannot listen, or its log cannot be opened.
pub async fn start_broker(context: &Invocation, home: &Home, listen: SocketAddr) -> Result<Broker> {
    let mut config = BrokerConfig::new(home.dir("broker"));
    config.listen = listen;
    if !context.config.kafka_user.is_empty() {
        config.sasl = Some(Sasl { users: BTreeMap::from([(context.config.kafka_user.clone(), context.config.kafka_password.clone())]) });
    }
    Broker::start(config).await.context("could not start the embedded broker")
}

/// Where a client on this machine reaches a listener: `0.0.0.0` listens everywhere, and is no address to call.
pub fn reachable(addr: SocketAddr) -> String {
    if addr.ip().is_unspecified() { format!("127.0.0.1:{}", addr.port()) } else { addr.to_string() }
}

/// The city's secret under which callers' numbers become tokens; made once for each home.
fn caller_secret(home: &Home) -> Result<[u8; 32]> {
    let path = home.dir("caller.secret");
    if !path.exists() {
        crate::home::write_atomically(&path, &rand::random::<[u8; 32]>())?;
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .with_context(|| format!("could not protect {}", path.display()))?;
    }
    let bytes = std::fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
    bytes.as_slice().try_into().ok().with_context(|| format!("{} is damaged: it has {} bytes, not 32", path.display(), bytes.len()))
}

impl Service {
    /// Starts the parts.
    ///
    /// # Errors
    /// What keeps a part from starting, and what to do about it.
    pub async fn start(context: &Invocation, home: &Home, options: &Options, parts: Arc<Parts>) -> Result<Service> {
        let lock = home.lock()?;
        let runs = |part: Part| options.parts.contains(&part);
        let broker = match &context.global.kafka {
            Some(_) => None,
            None => Some(Arc::new(start_broker(context, home, options.kafka_listen).await?)),
        };
        let kafka = context.global.kafka.clone().unwrap_or_else(|| broker.as_ref().map(|broker| reachable(broker.addr())).unwrap_or_default());
        let bus = connect(context, &kafka).await?;
        let mut types_dir = TypesDir::open(&home.dir("schemas"))?;
        look_for_types(&mut types_dir, &parts);
        let registry = types_dir.registry();
        bus.ensure_topics(&topics::specs(&registry, context.config.sensor_partitions)).await?;
        let types = Arc::new(Types::new(registry.clone()));
        let (types_sender, types_receiver) = watch::channel(registry.clone());
        let lake = Lake::open(&home.dir("lake")).await?;
        let seen = DedupIndex::open(home.dir("dedup"), DedupConfig { window: Window::Events(context.config.dedup_window_ids), ..DedupConfig::default() })?;
        let tap = Arc::new(Tap::start(bus.clone(), TapConfig::default())?);
        let (stop, stopped) = watch::channel(false);
        let (stop_doors, doors_stopped) = watch::channel(false);
        let (fail, failed) = watch::channel(None);
        let supervise = Supervisor { parts: parts.clone(), fail: Arc::new(fail) };
        let mut tasks = Vec::new();

        let mut landing = Vec::new();
        let folded = Progress::new("index");
        if runs(Part::Lake) {
            let config = LanderConfig { rows_max: context.config.lake_commit_rows, bronze_only: vec![schemas::topics::JOURNAL.to_owned()], ..LanderConfig::default() };
            let mut lander = Lander::new(lake.clone(), registry.clone(), config);
            let known = bus.topics().await?.into_iter().filter(|(topic, _)| topics::ours().matches(topic)).collect();
            lander.create_tables(bus::bronze_schema(), BTreeMap::keys(&known).map(String::as_str)).await?;
            let start = landing::positions(&mut lander, &seen, &known).await?;
            let progress = Progress::new("lake");
            progress.set(lander.positions());
            folded.set(seen.positions());
            parts.track(&progress);
            let reader = tap.reader("lake", topics::ours(), start)?;
            let land = Landing {
                lander,
                seen: seen.clone(),
                refused: RefusedLog::new(bus.producer()?),
                progress: progress.clone(),
                folded: folded.clone(),
                interval: Duration::from_millis(context.config.lake_commit_interval_ms),
                types: types_receiver,
            };
            parts.set("lake", State::Starting("reading what was written before".to_owned()));
            tasks.push(supervise.run("lake", land.run(reader, stopped.clone())));
            let upkeep = Duration::from_secs(context.config.lake_upkeep_interval_s.max(1));
            tasks.push(supervise.run("upkeep", landing::keep_in_shape(lake.clone(), upkeep, stopped.clone())));
            landing.push(Reading { progress, filter: topics::ours(), job: None });
        } else {
            folded.set(seen.positions());
            let reader = tap.reader("index", Filter::prefixes(["raw."]), seen.positions())?;
            tasks.push(supervise.run("index", fold(seen.clone(), reader, folded.clone(), stopped.clone())));
        }
        // The doors open when the index knows all that was written before: else a repeat would not be recognised.
        let raw = Reading { progress: folded, filter: Filter::prefixes(["raw."]), job: None };
        caught_up(&bus, &raw, &failed).await?;
        if runs(Part::Lake) {
            parts.set("lake", State::Ready);
        }

        let mut deciding = Vec::new();
        let mut sequencer = None;
        if runs(Part::Brain) {
            parts.set("brain", State::Starting("reading snapshot and journal".to_owned()));
            let progress = Progress::new("brain");
            let files = CityFiles::of(home)?;
            // Nobody answers what is imported or measured.
            let answers = options.notify || runs(Part::Agents);
            let asks = if answers { context.config.llm.asks() } else { 0 };
            let briefs = if answers { context.config.briefs() } else { "off" };
            let understanding = Understanding::of(home.root(), brain::Config::default().utc_offset_minutes).reading(asks > 0);
            let settings = Settings { ask_permille: asks, plans_earned: context.config.plans_earned, briefs };
            let snapshots = SnapshotStore::new(&home.dir("brain"));
            let (driver, handle) = Sequencer::open(&bus, snapshots, &files, context.config.snapshot_every_records, settings, progress.clone(), understanding).await?;
            progress.set(driver.positions());
            parts.track(&progress);
            let filter = Filter::topics(topics::INPUTS);
            let reader = tap.reader("brain", filter.clone(), driver.positions())?;
            tasks.push(supervise.run("brain", driver.run(reader, stopped.clone())));
            deciding.push(Reading { progress, filter, job: None });
            sequencer = Some(handle);
            parts.set("brain", State::Ready);
        }
        let graph = match sequencer.clone() {
            Some(sequencer) => Some(CityGraph::Live(sequencer)),
            None if runs(Part::Agents) || runs(Part::Jobs) => {
                let (graph, changes) = city_graph::told(&bus, &tap).await?;
                tasks.push(supervise.run("graph", city_graph::follow(graph.clone(), changes, stopped.clone())));
                Some(CityGraph::Told(graph))
            }
            None => None,
        };
        let mut following = Vec::new();
        let mut language = None;
        if let Some(graph) = graph.clone().filter(|_| runs(Part::Agents)) {
            let folder = home.dir("agents");
            language = agents::backend(&context.config.llm, home.root())?;
            if language.is_some() || context.config.documents {
                let backend = language.clone().unwrap_or_else(|| Arc::new(Nobody));
                let agents = Agents::open(&bus, home.root(), &folder, backend, graph, &parts).await?;
                let (reader, progress) = (agents.reader(&tap)?, agents.progress());
                tasks.push(supervise.run("agents", agents.run(reader, stopped.clone())));
                following.push(Reading { progress, filter: Filter::topics([schemas::topics::REQUEST]), job: None });
            }
            following.push(follow::<Volumes>(&bus, &tap, &folder, &supervise, &mut tasks, &stopped).await?);
            following.push(follow::<Late>(&bus, &tap, &folder, &supervise, &mut tasks, &stopped).await?);
            following.push(follow::<Levels>(&bus, &tap, &folder, &supervise, &mut tasks, &stopped).await?);
            following.push(follow::<Matters>(&bus, &tap, &folder, &supervise, &mut tasks, &stopped).await?);
            parts.set("agents", State::Ready);
        }
        let mut jobs = Jobs::default();
        if let Some(graph) = graph.filter(|_| runs(Part::Jobs)) {
            let refused = RefusedLog::new(bus.producer()?);
            let (home, bus, tap) = (home.clone(), bus.clone(), tap.clone());
            let shop = Shop { context: context.clone(), home, bus, tap, lake: lake.clone(), refused, parts: parts.clone(), graph };
            let mut manager = Manager::new(shop);
            jobs = manager.jobs();
            manager.look().await;
            tasks.push(supervise.run("jobs", manager.run(stopped.clone())));
        }
        let door = Door::new(
            Arc::new(BusLog(bus.producer()?)),
            Arc::new(Seen(seen)),
            types.clone(),
            DoorConfig { caller_secret: caller_secret(home)?, ..DoorConfig::default() },
        );
        let watching = watch_types(types_dir, types.clone(), types_sender, bus.clone(), context.config.sensor_partitions, parts.clone());
        tasks.push(supervise.until("types", watching, stopped.clone()));
        tasks.push(supervise.until("metrics", observe(parts.clone(), tap.clone(), broker.clone()), stopped.clone()));

        let (audit, writer) = crate::audit::writer(bus.clone(), home);
        tasks.push(supervise.run("audit", writer.run(stopped.clone())));
        let token = Some(context.config.http_token.clone()).filter(|token| !token.is_empty());
        // Whoever can read the files of this home has its doors, too, but decides nothing about cases without a name.
        let local_token = rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mut doors = Vec::new();
        let (mut http, mut mqtt) = (None, None);
        if let Some(listen) = options.http_listen {
            let start = bus.ends(&topics::decided()).await?;
            let hub = StreamHub::new(start.clone());
            let reader = tap.reader("stream", topics::decided(), start)?;
            tasks.push(supervise.run("stream", feed(hub.clone(), reader, stopped.clone())));
            let changes = things::reader(&bus, &tap).await?;
            let devices = Arc::new(things::devices(&bus, context.config.devices).await?);
            let known = Arc::new(things::things(&bus).await?);
            tasks.push(supervise.run("things", things::follow(devices.clone(), known.clone(), changes, stopped.clone())));
            tasks.push(supervise.until("latest", things::remember(lake.clone(), known.clone()), stopped.clone()));
            let people = Arc::new(People::open(crate::people::file(context, home))?);
            tasks.push(supervise.until("people", watch_people(people.clone(), audit.clone(), parts.clone()), stopped.clone()));
            let mqtt_door = Mqtt::new(door.clone(), known.clone(), devices.clone());
            if let Some(listen) = &options.mqtt_listen {
                let listener = MqttListener::bind(listen, &devices).await?;
                mqtt = Some(listener.addr());
                let mut asked = doors_stopped.clone();
                doors.push(tokio::spawn(listener.serve(mqtt_door.clone(), async move { asked_to_stop(&mut asked).await })));
            }
            let listener = Listener::bind(&listen.to_string(), token.is_some() || !people.now().is_empty()).await?;
            http = Some(listener.addr());
            let config = GatewayConfig {
                token: token.clone(),
                local_token: Some(local_token.clone()),
                exposed: !listener.addr().ip().is_loopback(),
                people,
                audit: Some(Arc::new(audit.clone())),
                devices,
                device_log: Some(Arc::new(BusLog(bus.producer()?))),
                things: known,
                mqtt: mqtt.is_some().then_some(mqtt_door),
                forms: Arc::new(forms(home)?),
                ..GatewayConfig::default()
            };
            let view = View { sequencer, language, lake: lake.clone(), bus: bus.clone(), parts: parts.clone(), jobs: jobs.clone(), types: types.clone() };
            let gateway = Gateway::new(door.clone(), hub, Arc::new(view), config);
            let mut asked = doors_stopped;
            doors.push(tokio::spawn(listener.serve(gateway, async move { asked_to_stop(&mut asked).await })));
            parts.set("doors", State::Ready);
        }
        let url = http.map(|addr| format!("http://{}", reachable(addr)));
        if options.notify {
            let failing = Failing::default();
            for receiver in &context.config.webhooks {
                let webhook = Webhook::new(receiver.clone(), url.as_deref().unwrap_or_default(), Patience::default())?;
                let sender = Sender::open(webhook, &bus, &home.dir("webhooks"), parts.clone(), failing.clone()).await?;
                tasks.push(supervise.run("webhooks", sender.run(stopped.clone())));
            }
        }
        home.announce(&lock, &Running { pid: std::process::id(), kafka: kafka.clone(), http: url, token: Some(token.unwrap_or(local_token)) })?;
        info!(kafka, http = http.map(|addr| addr.to_string()), "running");
        Ok(Service { bus, lake, door, types, audit, jobs, http, mqtt, kafka, deciding, following, landing, tap, stop, stop_doors, tasks, doors, failed, broker, _lock: lock })
    }

    /// Waits until everything that is on the bus now has been worked off and has landed, and what came of it too.
    ///
    /// # Errors
    /// When a part fails meanwhile.
    pub async fn settle(&self) -> Result<()> {
        let mut before = Positions::new();
        loop {
            self.settle_decisions().await?;
            for reading in &self.following {
                caught_up(&self.bus, reading, &self.failed).await?;
            }
            for job in self.jobs.readings(false) {
                caught_up(&self.bus, &Reading::of_job(job), &self.failed).await?;
            }
            for reading in &self.landing {
                caught_up(&self.bus, reading, &self.failed).await?;
            }
            let ends = self.bus.ends(&topics::ours()).await?;
            if ends == before {
                return Ok(());
            }
            before = ends;
        }
    }

    /// Waits until everything that is on the bus now has been decided on: jobs that find signals, then the brain.
    ///
    /// # Errors
    /// When a part fails meanwhile.
    pub async fn settle_decisions(&self) -> Result<()> {
        for job in self.jobs.readings(true) {
            caught_up(&self.bus, &Reading::of_job(job), &self.failed).await?;
        }
        for reading in &self.deciding {
            caught_up(&self.bus, reading, &self.failed).await?;
        }
        Ok(())
    }

    /// Everybody who reads the bus: how far, what, and whether it is a job.
    pub fn readers(&self) -> Vec<(Progress, Filter, bool)> {
        let jobs = [true, false].into_iter().flat_map(|feed_brain| self.jobs.readings(feed_brain)).map(Reading::of_job);
        let parts = self.deciding.iter().chain(&self.following).chain(&self.landing).map(|reading| (reading.progress.clone(), reading.filter.clone(), false));
        jobs.map(|reading| (reading.progress, reading.filter, true)).chain(parts).collect()
    }

    /// Comes back when a part has failed, with the reason.
    pub async fn failure(&self) -> String {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "all parts have ended".to_owned(),
        }
    }

    /// Stops: doors first, then the parts, which finish what they hold; then the bus.
    ///
    /// # Errors
    /// What a part reports that could not finish.
    pub async fn stop(mut self) -> Result<()> {
        self.stop_doors.send_replace(true);
        for door in self.doors.drain(..) {
            // A panic has been reported by the runtime.
            let _ = door.await;
        }
        self.stop.send_replace(true);
        let mut first_error = None;
        for (part, task) in self.tasks.drain(..) {
            match task.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => first_error = first_error.or(Some(error.context(format!("{part} did not end well")))),
                Err(error) => warn!(part, %error, "a part was cut off"),
            }
        }
        self.tap.stop().await;
        let Service { broker, bus, door, tap, .. } = self;
        // Whoever speaks to the broker goes before it, so that nobody complains that it is gone.
        drop((bus, door, tap));
        if let Some(broker) = broker.and_then(Arc::into_inner) {
            broker.shutdown().await;
        }
        first_error.map_or(Ok(()), Err)
    }
}

/// Runs the parts and tells when one ends with an error.
struct Supervisor {
    parts: Arc<Parts>,
    fail: Arc<watch::Sender<Option<String>>>,
}

impl Supervisor {
    fn run(&self, part: &'static str, work: impl Future<Output = Result<()>> + Send + 'static) -> (&'static str, JoinHandle<Result<()>>) {
        let (parts, fail) = (self.parts.clone(), self.fail.clone());
        let task = tokio::spawn(async move {
            let ended = work.await;
            if let Err(error) = &ended {
                parts.set(part, State::Failed(format!("{error:#}")));
                fail.send_if_modified(|reason| {
                    let first = reason.is_none();
                    reason.get_or_insert_with(|| format!("{part}: {error:#}"));
                    first
                });
            }
            ended
        });
        (part, task)
    }

    /// Runs something that has no end of its own.
    fn until(&self, part: &'static str, work: impl Future<Output = Result<()>> + Send + 'static, mut stop: watch::Receiver<bool>) -> (&'static str, JoinHandle<Result<()>>) {
        self.run(part, async move {
            tokio::select! {
                () = asked_to_stop(&mut stop) => Ok(()),
                ended = work => ended,
            }
        })
    }
}

/// Starts a follower.
async fn follow<F: Fold>(
    bus: &Bus,
    tap: &Tap,
    folder: &Path,
    supervise: &Supervisor,
    tasks: &mut Vec<(&'static str, JoinHandle<Result<()>>)>,
    stop: &watch::Receiver<bool>,
) -> Result<Reading> {
    let follower = Follower::<F>::open(bus, folder, brain::Config::default().utc_offset_minutes, &supervise.parts).await?;
    let (reader, progress) = (follower.reader(tap)?, follower.progress());
    tasks.push(supervise.run("agents", follower.run(reader, stop.clone())));
    Ok(Reading { progress, filter: Filter::topics([F::READS]), job: None })
}

/// Waits until a reader has read everything that was on the bus when it was looked at last, or until it or a part fails.
async fn caught_up(bus: &Bus, reading: &Reading, failed: &watch::Receiver<Option<String>>) -> Result<()> {
    let mut told = tokio::time::Instant::now();
    loop {
        let ends = bus.ends(&reading.filter).await?;
        let lag = reading.progress.lag(&ends);
        if lag == 0 || reading.has_stopped() {
            return Ok(());
        }
        if let Some(reason) = failed.borrow().as_ref() {
            bail!("{reason}");
        }
        if told.elapsed() > PATIENCE {
            info!(part = reading.progress.name(), lag, "still catching up");
            told = tokio::time::Instant::now();
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What Open311 asks of each kind of request: `<home>/open311.toml`, or what ships.
fn forms(home: &Home) -> Result<Forms> {
    let path = home.dir("open311.toml");
    match std::fs::read_to_string(&path) {
        Ok(text) => Forms::parse(&text).map_err(anyhow::Error::msg).with_context(|| format!("the questions in {} are wrong", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Forms::default()),
        Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
    }
}

fn look_for_types(types: &mut TypesDir, parts: &Parts) -> Option<Arc<Registry>> {
    match types.look() {
        Ok(Some(registry)) => {
            parts.set("types", State::Ready);
            Some(registry)
        }
        Ok(None) => None,
        Err(error) => {
            warn!(error = format!("{error:#}"), "an event type was refused");
            parts.set("types", State::Warning(format!("{error:#}")));
            None
        }
    }
}

async fn watch_types(mut dir: TypesDir, types: Arc<Types>, tell: watch::Sender<Arc<Registry>>, bus: Bus, sensor_partitions: i32, parts: Arc<Parts>) -> Result<()> {
    loop {
        tokio::time::sleep(TYPES_EVERY).await;
        let Some(registry) = look_for_types(&mut dir, &parts) else { continue };
        bus.ensure_topics(&topics::specs(&registry, sensor_partitions)).await?;
        tell.send_replace(registry.clone());
        types.replace(registry);
        info!("took in new event types");
    }
}

/// Takes in what is changed in the file of people by hand, and says so in the audit. A file that is wrong changes nothing.
async fn watch_people(people: Arc<People>, audit: AuditHandle, parts: Arc<Parts>) -> Result<()> {
    loop {
        tokio::time::sleep(TYPES_EVERY).await;
        match people.look() {
            Ok(false) => {}
            Ok(true) => {
                let staff = people.now();
                let mut note = Note::new("files", "file", "people.file", chrono::Utc::now());
                note.details.insert("people".to_owned(), staff.people().count().to_string());
                audit.append(note).await.map_err(|error| anyhow!("the audit did not take a change of the people: {error}"))?;
                parts.set("people", State::Ready);
                info!("took in the changed file of people");
            }
            Err(error) => {
                warn!(%error, "the file of people was refused");
                parts.set("people", State::Warning(error.to_string()));
            }
        }
    }
}

async fn observe(parts: Arc<Parts>, tap: Arc<Tap>, broker: Option<Arc<Broker>>) -> Result<()> {
    loop {
        parts.observe(&tap, broker.as_ref().map(|broker| broker.stats())).await;
        tokio::time::sleep(OBSERVE_EVERY).await;
    }
}

/// Folds what comes from outside into the index, in a process that lands nothing.
async fn fold(seen: DedupIndex, mut reader: bus::TapReader, progress: Progress, mut stop: watch::Receiver<bool>) -> Result<()> {
    loop {
        tokio::select! {
            () = asked_to_stop(&mut stop) => return Ok(()),
            chunk = reader.recv() => {
                let Some(chunk) = chunk else { return Ok(()) };
                seen.observe(&chunk)?;
                progress.advance(&chunk.topic, chunk.partition, chunk.next_offset);
            }
        }
    }
}

/// Feeds the live stream.
async fn feed(hub: Arc<StreamHub>, mut reader: bus::TapReader, mut stop: watch::Receiver<bool>) -> Result<()> {
    loop {
        tokio::select! {
            () = asked_to_stop(&mut stop) => return Ok(()),
            chunk = reader.recv() => {
                let Some(chunk) = chunk else { return Ok(()) };
                hub.publish_rows((chunk.topic.to_string(), chunk.partition), chunk.first_offset, chunk.next_offset, &chunk.rows);
            }
        }
    }
}
