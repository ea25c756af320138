//! The engine in a process of its own, and who looks after it.
//!
//! An abort inside of llama.cpp, a kill, a hang or a broken file end the process and never us: it is started again, after a
//! pause that doubles, and what it was working on is asked once more. One task owns the process and the waiting line; nobody
//! waits longer than they said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use crate::answer::{Invented, check};
use crate::backend::{AskError, Backend, Card, Reply, Request};
use crate::limits;
use crate::metrics::{Metrics, Recorder};
use crate::queue::{Place, Push, Queue};
use crate::wire::{self, Ask, FromEngine, Raw, Ready, ToEngine};

/// How an engine is run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalConfig {
    /// The engine's program.
    pub engine: PathBuf,
    /// The model's file.
    pub model: PathBuf,
    /// Threads of the engine. More than the machine has cores makes it slower.
    pub threads: u32,
    /// Requests that are worked on at once.
    pub sequences: u32,
    /// Tokens of prompt and answer together, for each request.
    pub context: u32,
    /// Type of the cache of keys and values.
    pub cache: Cache,
    /// Requests that may wait.
    pub waiting_max: usize,
    /// Milliseconds without a sign of life after which the engine is killed.
    pub silent_ms_max: u64,
    /// Milliseconds that loading may take.
    pub load_ms_max: u64,
    /// Milliseconds before the engine is started again; doubled each time that it did not answer anything in between.
    pub pause_ms: u64,
    /// The longest of these pauses.
    pub pause_ms_max: u64,
}

/// Type of the cache of keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cache {
    /// Half precision.
    F16,
    /// Eight bits: half the memory, slightly other answers.
    Q8_0,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self {
            engine: PathBuf::from("citybrain-engine"),
            model: PathBuf::new(),
            threads: 1,
            sequences: 8,
            context: 2_048,
            cache: Cache::F16,
            waiting_max: 256,
            silent_ms_max: 5_000,
            load_ms_max: 60_000,
            pause_ms: 200,
            pause_ms_max: 30_000,
        }
    }
}

impl LocalConfig {
    /// The defaults for a model, with the engine that lies beside a program of ours.
    pub fn beside(program: &Path, model: &Path) -> Self {
        Self { engine: program.with_file_name("citybrain-engine"), model: model.to_owned(), ..Self::default() }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.engine);
        let cache = match self.cache {
            Cache::F16 => "f16",
            Cache::Q8_0 => "q8_0",
        };
        command
            .arg("--model")
            .arg(&self.model)
            .args(["--threads", &self.threads.to_string()])
            .args(["--sequences", &self.sequences.to_string()])
            .args(["--context", &self.context.to_string()])
            .args(["--cache", cache])
            // Nothing of ours is inherited: no keys, and no debugger when it aborts.
            .env_clear()
            .env("GGML_NO_BACKTRACE", "1")
            // Threads that wait for one another give their cores up soon: others need them too.
            .env("GOMP_SPINCOUNT", "10000")
            .envs(std::env::var_os("LD_LIBRARY_PATH").map(|it| ("LD_LIBRARY_PATH", it)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

/// What the owner tells the one who asked.
struct Flown {
    raw: Raw,
    card: Card,
    prompt_digest: String,
    tries: u32,
    waited: Duration,
}

struct Job {
    request: Request,
    asked: Instant,
    deadline: Instant,
    tries: u32,
    answer: oneshot::Sender<Result<Flown, AskError>>,
}

/// An engine and its waiting line.
#[derive(Debug)]
pub struct LocalPool {
    jobs: mpsc::Sender<Job>,
    card: watch::Receiver<Option<Card>>,
    recorder: Arc<Recorder>,
    gone: Arc<Notify>,
    owner: JoinHandle<()>,
}

impl LocalPool {
    /// Starts an engine. Returns at once; must be called inside of a tokio runtime.
    pub fn start(config: LocalConfig) -> Self {
        // Room for a burst on its way to the line, where it is decided who waits.
        let (jobs, inbox) = mpsc::channel(config.waiting_max + BURST);
        let (card_out, card) = watch::channel(None);
        let recorder = Arc::new(Recorder::default());
        let gone = Arc::new(Notify::new());
        let owner = Owner {
            queue: Queue::new(config.waiting_max.max(1)),
            config,
            inbox,
            flying: BTreeMap::new(),
            life: Life::Down { until: Instant::now(), reason: String::new(), hopeless: false },
            failures: 0,
            started: 0,
            next_id: 1,
            recorder: recorder.clone(),
            card: card_out,
            gone: gone.clone(),
        };
        Self { jobs, card, recorder, gone, owner: tokio::spawn(owner.run()) }
    }

    /// Waits until a model is there. None when none came in time.
    pub async fn ready(&self, within: Duration) -> Option<Card> {
        let mut card = self.card.clone();
        let there = timeout(within, card.wait_for(Option::is_some)).await;
        there.ok()?.ok()?.clone()
    }
}

impl Drop for LocalPool {
    fn drop(&mut self) {
        // The process goes with its owner: `kill_on_drop`.
        self.owner.abort();
    }
}

/// Tells the owner that somebody has stopped waiting.
struct Leaving<'a> {
    pool: &'a LocalPool,
    answered: bool,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.pool.recorder.update(|it| it.cancelled += 1);
            self.pool.gone.notify_one();
        }
    }
}

#[async_trait]
impl Backend for LocalPool {
    async fn ask(&self, request: Request) -> Result<Reply, AskError> {
        let task = request.task.clone();
        let asked = Instant::now();
        self.recorder.update(|it| it.asked += 1);
        let flown = self.fly(request, asked).await;
        let result = flown.and_then(|flown| {
            let answer = check(&task, &flown.raw, Invented::Refuse)?;
            Ok(Reply {
                answer,
                raw: flown.raw,
                card: flown.card,
                prompt_digest: flown.prompt_digest,
                tries: flown.tries,
                waited_us: flown.waited.as_micros() as u64,
                total_us: asked.elapsed().as_micros() as u64,
            })
        });
        self.recorder.ended(task.name(), &result);
        result
    }

    fn card(&self) -> Option<Card> {
        self.card.borrow().clone()
    }

    fn metrics(&self) -> Metrics {
        self.recorder.snapshot()
    }
}

impl LocalPool {
    async fn fly(&self, request: Request, asked: Instant) -> Result<Flown, AskError> {
        let within = request.within;
        let (answer, answered) = oneshot::channel();
        let job = Job { request, asked, deadline: asked + within, tries: 0, answer };
        let mut leaving = Leaving { pool: self, answered: false };
        let result = match self.jobs.try_send(job) {
            Err(mpsc::error::TrySendError::Full(_)) => Err(AskError::Busy { waiting: self.jobs.max_capacity() }),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(AskError::Absent("the pool has been closed".to_owned())),
            // The owner answers in time; should it not, nobody is kept.
            Ok(()) => match timeout(within + Duration::from_millis(500), answered).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(AskError::Absent("the pool has been closed".to_owned())),
                Err(_) => Err(AskError::Deadline(within)),
            },
        };
        leaving.answered = true;
        result
    }
}

/// The process and its pipes.
struct Process {
    child: Child,
    frames: mpsc::Receiver<Result<FromEngine, String>>,
    orders: mpsc::Sender<Vec<u8>>,
    words: Arc<Mutex<String>>,
}

enum Life {
    Starting { process: Process, since: Instant },
    Up { process: Process, ready: Ready, card: Card, seen: Instant },
    Down { until: Instant, reason: String, hopeless: bool },
}

struct Flying {
    place: Place,
    job: Job,
    prompt_digest: String,
    waited: Duration,
}

struct Owner {
    config: LocalConfig,
    inbox: mpsc::Receiver<Job>,
    queue: Queue<Job>,
    flying: BTreeMap<u64, Flying>,
    life: Life,
    /// Ends of the process since its last answer.
    failures: u32,
    started: u64,
    next_id: u64,
    recorder: Arc<Recorder>,
    card: watch::Sender<Option<Card>>,
    gone: Arc<Notify>,
}

/// Requests that may be on their way to the line at once.
const BURST: usize = 1_024;
/// How often limits are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Ends in a row after which nobody is left waiting for the engine.
const HOPELESS: u32 = 3;
/// How often one request is tried.
const TRIES_MAX: u32 = 2;

impl Owner {
    async fn run(mut self) {
        let mut look = Instant::now();
        loop {
            tokio::select! {
                job = self.inbox.recv() => match job {
                    Some(job) => self.enter(job),
                    None => return,
                },
                frame = next_frame(&mut self.life) => self.on_frame(frame).await,
                () = self.gone.notified() => self.let_go(),
                () = sleep_until(look) => {
                    look = Instant::now() + LOOK;
                    self.on_look().await;
                }
            }
            self.send();
            self.publish();
        }
    }

    fn enter(&mut self, job: Job) {
        if let Life::Down { reason, hopeless: true, .. } = &self.life {
            let reason = reason.clone();
            let _ = job.answer.send(Err(AskError::Absent(reason)));
            return;
        }
        let waiting = self.queue.len();
        match self.queue.push(job.request.priority, job) {
            Push::Waits(_) => {}
            Push::Displaced(_, job) | Push::Full(job) => {
                let _ = job.answer.send(Err(AskError::Busy { waiting }));
            }
        }
    }

    async fn on_frame(&mut self, frame: Option<Result<FromEngine, String>>) {
        if let Life::Up { seen, .. } = &mut self.life {
            *seen = Instant::now();
        }
        match frame {
            None => self.end("it ended", false).await,
            Some(Err(reason)) => self.end(&reason, false).await,
            Some(Ok(FromEngine::Fatal { reason })) => self.end(&reason, true).await,
            Some(Ok(FromEngine::Ready(ready))) => self.on_ready(ready),
            Some(Ok(FromEngine::Beat(stats))) => self.recorder.update(|it| it.engine = Some(stats)),
            Some(Ok(FromEngine::Answer { id, raw })) => {
                self.failures = 0;
                let Life::Up { card, .. } = &self.life else { return };
                if let Some(Flying { job, prompt_digest, waited, .. }) = self.flying.remove(&id) {
                    let _ = job.answer.send(Ok(Flown { raw, card: card.clone(), prompt_digest, tries: job.tries, waited }));
                }
            }
            Some(Ok(FromEngine::Failed { id, reason })) => {
                if let Some(flying) = self.flying.remove(&id) {
                    let _ = flying.job.answer.send(Err(AskError::Refused(reason)));
                }
            }
        }
    }

    fn on_ready(&mut self, ready: Ready) {
        let down = Life::Down { until: Instant::now(), reason: String::new(), hopeless: false };
        self.life = match std::mem::replace(&mut self.life, down) {
            Life::Starting { process, .. } => {
                info!(model = ready.model, digest = ready.model_digest, sequences = ready.sequences, "engine is up");
                let card = Card {
                    model: ready.model.clone(),
                    digest: ready.model_digest.clone(),
                    dialect: ready.dialect,
                    sampler: ready.sampler.clone(),
                    build: ready.build.clone(),
                };
                self.card.send_replace(Some(card.clone()));
                Life::Up { process, ready, card, seen: Instant::now() }
            }
            other => other,
        };
    }

    /// Looks at every limit on time.
    async fn on_look(&mut self) {
        let now = Instant::now();
        let late = self.queue.take_if(|job| job.deadline <= now);
        let late_ids: Vec<u64> = self.flying.iter().filter(|(_, it)| it.job.deadline <= now).map(|(id, _)| *id).collect();
        for job in late {
            let within = job.request.within;
            let _ = job.answer.send(Err(AskError::Deadline(within)));
        }
        for id in late_ids {
            if let Some(flying) = self.flying.remove(&id) {
                let within = flying.job.request.within;
                let _ = flying.job.answer.send(Err(AskError::Deadline(within)));
                self.order(&ToEngine::Cancel { id });
            }
        }
        match &self.life {
            Life::Starting { since, .. } if now > *since + Duration::from_millis(self.config.load_ms_max) => {
                self.end(&format!("it was not ready within {} ms", self.config.load_ms_max), false).await;
            }
            Life::Up { seen, .. } if now > *seen + Duration::from_millis(self.config.silent_ms_max) => {
                self.end(&format!("it gave no sign of life for {} ms", self.config.silent_ms_max), false).await;
            }
            Life::Down { until, .. } if now >= *until => self.begin().await,
            Life::Starting { .. } | Life::Up { .. } | Life::Down { .. } => {}
        }
    }

    /// Forgets requests that nobody waits for.
    fn let_go(&mut self) {
        self.queue.take_if(|job| job.answer.is_closed());
        let left: Vec<u64> = self.flying.iter().filter(|(_, it)| it.job.answer.is_closed()).map(|(id, _)| *id).collect();
        for id in left {
            self.flying.remove(&id);
            self.order(&ToEngine::Cancel { id });
        }
    }

    /// Gives the engine as much as it can work on, and keeps its last place for what is urgent.
    fn send(&mut self) {
        loop {
            let Life::Up { ready, .. } = &self.life else { return };
            let places = ready.sequences as usize;
            let dialect = ready.dialect;
            if self.flying.len() >= places {
                return;
            }
            let last_place = places > 1 && self.flying.len() + 1 == places;
            let Some((place, mut job)) = self.queue.pop(last_place) else { return };
            let now = Instant::now();
            if job.answer.is_closed() {
                continue;
            }
            if job.deadline <= now {
                let within = job.request.within;
                let _ = job.answer.send(Err(AskError::Deadline(within)));
                continue;
            }
            let prompt = job.request.task.prompt(dialect);
            let prompt_digest = prompt.digest();
            let id = self.next_id;
            self.next_id += 1;
            job.tries += 1;
            let ask = ToEngine::Ask(Ask {
                id,
                prompt,
                rule: job.request.task.rule(),
                tokens_max: job.request.tokens_max,
                time_ms_max: (job.deadline - now).as_millis() as u64,
            });
            let waited = now - job.asked;
            self.flying.insert(id, Flying { place, job, prompt_digest, waited });
            if !self.order(&ask) {
                return;
            }
        }
    }

    /// Writes to the engine. An engine that does not read is found silent soon.
    fn order(&mut self, order: &ToEngine) -> bool {
        let Life::Up { process, .. } = &self.life else { return false };
        match wire::encode(order) {
            Ok(bytes) => process.orders.try_send(bytes).is_ok(),
            Err(error) => {
                warn!(%error, "could not write to the engine");
                false
            }
        }
    }

    async fn begin(&mut self) {
        self.recorder.update(|it| it.engine = None);
        if self.started > 0 {
            self.recorder.update(|it| it.restarts += 1);
        }
        self.started += 1;
        let orders_max = self.config.sequences as usize * 4 + 64;
        match self.config.command().spawn() {
            Ok(child) => self.life = Life::Starting { process: attend(child, orders_max), since: Instant::now() },
            Err(error) => self.end(&format!("could not start {}: {error}", self.config.engine.display()), true).await,
        }
    }

    /// Ends the process, asks again what it was working on, and plans its next start.
    async fn end(&mut self, reason: &str, fatal: bool) {
        let down = Life::Down { until: Instant::now(), reason: String::new(), hopeless: false };
        let mut reason = reason.to_owned();
        if let Life::Starting { mut process, .. } | Life::Up { mut process, .. } = std::mem::replace(&mut self.life, down) {
            let _ = process.child.start_kill();
            if let Ok(Ok(status)) = timeout(Duration::from_secs(1), process.child.wait()).await {
                if !fatal {
                    reason = format!("{reason} ({status})");
                }
            }
            let words = process.words.lock().expect("no holder of this lock panics").trim().to_owned();
            if !words.is_empty() && !fatal {
                reason = format!("{reason}: {words}");
            }
        }
        self.failures += 1;
        let pause = self.config.pause_ms.saturating_mul(1 << (self.failures - 1).min(16)).min(self.config.pause_ms_max);
        let hopeless = fatal || self.failures >= HOPELESS;
        warn!(reason, pause_ms = pause, failures = self.failures, "engine is down");
        self.card.send_replace(None);
        self.life = Life::Down { until: Instant::now() + Duration::from_millis(pause), reason: reason.clone(), hopeless };
        for (_, flying) in std::mem::take(&mut self.flying) {
            let Flying { place, job, .. } = flying;
            if job.tries >= TRIES_MAX {
                let _ = job.answer.send(Err(AskError::Died { tries: job.tries, reason: reason.clone() }));
            } else {
                self.recorder.update(|it| it.asked_again += 1);
                self.queue.put_back(place, job);
            }
        }
        if hopeless {
            for job in self.queue.take_if(|_| true) {
                let _ = job.answer.send(Err(AskError::Absent(reason.clone())));
            }
        }
    }

    fn publish(&self) {
        let (state, reason) = match &self.life {
            Life::Starting { .. } => ("starting", None),
            Life::Up { .. } => ("up", None),
            Life::Down { reason, .. } => ("down", Some(reason.clone()).filter(|it| !it.is_empty())),
        };
        let waiting = self.queue.lengths();
        let active = self.flying.len() as u64;
        self.recorder.update(|it| {
            if it.state != state {
                it.state = state.to_owned();
            }
            it.reason = reason;
            it.waiting = waiting;
            it.active = active;
        });
    }
}

async fn next_frame(life: &mut Life) -> Option<Result<FromEngine, String>> {
    match life {
        Life::Starting { process, .. } | Life::Up { process, .. } => process.frames.recv().await,
        Life::Down { .. } => std::future::pending().await,
    }
}

/// Reads and writes a process's pipes, each in a task of its own, so that nothing it does holds us up.
fn attend(mut child: Child, orders_max: usize) -> Process {
    let stdin = child.stdin.take();
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    let (orders, mut orders_in) = mpsc::channel::<Vec<u8>>(orders_max);
    let (frames_out, frames) = mpsc::channel(64);
    let words = Arc::new(Mutex::new(String::new()));
    tokio::spawn(async move {
        let Some(mut stdin) = stdin else { return };
        while let Some(bytes) = orders_in.recv().await {
            if stdin.write_all(&bytes).await.is_err() || stdin.flush().await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        let Some(stdout) = stdout else { return };
        let mut stdout = BufReader::new(stdout);
        loop {
            let frame = match read_frame(&mut stdout).await {
                Ok(Some(frame)) => Ok(frame),
                Ok(None) => return,
                Err(error) => Err(error.to_string()),
            };
            let broken = frame.is_err();
            if frames_out.send(frame).await.is_err() || broken {
                return;
            }
        }
    });
    let kept = words.clone();
    tokio::spawn(async move {
        let Some(mut stderr) = stderr else { return };
        let mut buffer = [0; 1024];
        while let Ok(read) = stderr.read(&mut buffer).await {
            if read == 0 {
                return;
            }
            let text = String::from_utf8_lossy(&buffer[..read]);
            debug!(text = %text.trim_end(), "engine says");
            keep_last(&mut kept.lock().expect("no holder of this lock panics"), &text);
        }
    });
    Process { child, frames, orders, words }
}

async fn read_frame(from: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<Option<FromEngine>> {
    let mut head = [0; 4];
    if let Err(error) = from.read_exact(&mut head).await {
        return if error.kind() == std::io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
    }
    let mut body = vec![0; wire::length(head)?];
    from.read_exact(&mut body).await?;
    wire::decode(&body).map(Some)
}

/// Appends, and drops the beginning of what is too long.
fn keep_last(kept: &mut String, text: &str) {
    kept.push_str(text);
    let mut from = kept.len().saturating_sub(limits::LAST_WORDS_BYTES);
    while !kept.is_char_boundary(from) {
        from += 1;
    }
    kept.drain(..from);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Priority;
    use crate::task::Task;

    #[test]
    fn last_words_are_the_last() {
        let mut kept = String::new();
        (0..3_000).for_each(|_| keep_last(&mut kept, "啊"));
        keep_last(&mut kept, "abort");
        assert!(kept.len() <= limits::LAST_WORDS_BYTES && kept.ends_with("啊abort"));
    }

    #[tokio::test]
    async fn without_an_engine_everybody_is_told_at_once() {
        let config = LocalConfig { engine: "/nonexistent/citybrain-engine".into(), ..LocalConfig::default() };
        let pool = LocalPool::start(config);
        for _ in 0..2 {
            let asked = pool.ask(Request::new(Task::title("路灯坏了").unwrap(), Priority::Four)).await;
            assert!(matches!(&asked, Err(AskError::Absent(reason)) if reason.contains("/nonexistent/citybrain-engine")), "{asked:?}");
        }
        assert_eq!((pool.metrics().asked, pool.metrics().failed["absent"]), (2, 2));
        assert_eq!(pool.card(), None);
    }

    #[tokio::test]
    async fn what_speaks_no_frames_is_ended() {
        // It echoes its own arguments, which is no frame.
        let config = LocalConfig { engine: "/bin/echo".into(), pause_ms: 1, ..LocalConfig::default() };
        let pool = LocalPool::start(config);
        let asked = pool.ask(Request::new(Task::title("路灯坏了").unwrap(), Priority::Four)).await;
        assert!(matches!(&asked, Err(AskError::Absent(reason)) if reason.contains("no frame")), "{asked:?}");
        assert!(pool.metrics().restarts >= 2);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn nobody_waits_longer_than_they_said() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let engine = folder.path().join("engine");
        std::fs::write(&engine, "#!/bin/sh\nexec sleep 60\n").unwrap();
        std::fs::set_permissions(&engine, std::fs::Permissions::from_mode(0o755)).unwrap();
        let pool = LocalPool::start(LocalConfig { engine, waiting_max: 2, ..LocalConfig::default() });
        let task = Task::title("路灯坏了").unwrap();
        let within = Duration::from_millis(300);
        let ask = |priority| pool.ask(Request::new(task.clone(), priority).within(within));
        let (a, b, c, d) = tokio::join!(ask(Priority::Three), ask(Priority::Four), ask(Priority::Four), ask(Priority::One));
        assert_eq!(a, Err(AskError::Deadline(within)));
        // The line has two places: the last comer waits for nothing, and the most urgent takes the place of the least.
        let refused = [&b, &c].iter().filter(|it| matches!(it, Err(AskError::Busy { .. }))).count();
        assert_eq!((refused, &d), (2, &Err(AskError::Deadline(within))), "{b:?} {c:?}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn loading_takes_no_longer_than_allowed() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let engine = folder.path().join("engine");
        std::fs::write(&engine, "#!/bin/sh\nexec sleep 60\n").unwrap();
        std::fs::set_permissions(&engine, std::fs::Permissions::from_mode(0o755)).unwrap();
        let pool = LocalPool::start(LocalConfig { engine, load_ms_max: 100, pause_ms: 1, ..LocalConfig::default() });
        let asked = pool.ask(Request::new(Task::title("路灯坏了").unwrap(), Priority::Four)).await;
        assert!(matches!(&asked, Err(AskError::Absent(reason)) if reason.contains("not ready within 100 ms")), "{asked:?}");
    }
}
