//! Endpoints that speak OpenAI's protocol, such as llama-server: several of them, asked as if they were one.
//!
//! A request goes to the endpoint with the least to do. When that fails, is found dead or is merely slow, another is asked,
//! and the first good answer counts: no request is lost with an endpoint. Answers are checked like an engine's; a span that
//! is not in the message is left out, for nobody holds these models.

mod gate;
mod speech;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use reqwest::{Client, Method, StatusCode};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use self::gate::Gate;
use self::speech::Speech;
use crate::answer::{Answer, AnswerError, Invented, check};
use crate::backend::{AskError, Backend, Card, Reply, Request};
use crate::limits::REMOTE_ANSWER_BYTES_MAX;
use crate::metrics::{EndpointMetrics, Metrics, Recorder};
use crate::task::Dialect;
use crate::wire::Raw;

/// Several endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemoteConfig {
    /// The endpoints. All of them should serve the same model.
    pub endpoints: Vec<Endpoint>,
    /// Requests that one endpoint works on at once.
    pub sequences: u32,
    /// Requests that may wait.
    pub waiting_max: usize,
    /// Milliseconds after which a second endpoint is asked as well.
    pub slow_ms: u64,
    /// Milliseconds between two looks at an endpoint's health, and the longest that a look or a connection may take.
    pub health_ms: u64,
    /// Milliseconds for which a request is tried again while all endpoints fail.
    pub patience_ms: u64,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// What comes before `/v1/chat/completions`, such as `http://10.0.0.5:8080`.
    pub url: String,
    /// The model's name there.
    pub model: String,
    /// The environment variable that holds the key, when one is needed. The key itself is in no file and in no log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_env: Option<String>,
    /// How answers are held to their form there.
    #[serde(default)]
    pub hold: Hold,
}

/// How an endpoint holds answers to their form. They are checked in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// It takes a grammar in GBNF: llama-server.
    #[default]
    Grammar,
    /// It knows nothing of it: the words of the prompt alone.
    Words,
}

impl Default for RemoteConfig {
    fn default() -> Self {
        Self { endpoints: Vec::new(), sequences: 4, waiting_max: 256, slow_ms: 2_000, health_ms: 1_000, patience_ms: 5_000 }
    }
}

/// Why a pool cannot be made.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// There is nobody to ask.
    #[error("no endpoints: name at least one")]
    None,
    /// An address is none.
    #[error("{0} is no address of an endpoint: write it like http://10.0.0.5:8080")]
    Url(String),
    /// A key is missing.
    #[error("the environment variable {0} is not set: it should hold the endpoint's key")]
    Key(String),
    /// No client could be made.
    #[error("could not make an HTTP client")]
    Client(#[source] reqwest::Error),
}

/// An endpoint and what is known of it.
struct Peer {
    endpoint: Endpoint,
    key: Option<String>,
    client: Client,
    health: watch::Sender<Health>,
    flying: AtomicU64,
    asked: AtomicU64,
    failed: AtomicU64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Health {
    Up,
    Down(String),
}

/// Why one endpoint did not answer.
#[derive(Debug, Clone)]
enum Failure {
    /// It may answer later, or another may.
    Broken(String),
    /// It will not take this.
    Refused(String),
    /// It answered something wrong.
    Wrong(AnswerError),
}

/// Endpoints asked as one.
pub struct RemotePool {
    peers: Vec<Arc<Peer>>,
    gate: Gate,
    recorder: Recorder,
    slow: Duration,
    patience: Duration,
    watchers: Vec<JoinHandle<()>>,
}

impl RemotePool {
    /// Makes a pool; must be called inside of a tokio runtime. Endpoints count as up until they are found down.
    pub fn start(config: RemoteConfig) -> Result<Self, RemoteError> {
        if config.endpoints.is_empty() {
            return Err(RemoteError::None);
        }
        let health = Duration::from_millis(config.health_ms.max(10));
        let places = config.endpoints.len() * config.sequences.max(1) as usize;
        let mut peers = Vec::new();
        for mut endpoint in config.endpoints {
            endpoint.url = endpoint.url.trim_end_matches('/').trim_end_matches("/v1").to_owned();
            let is_address = reqwest::Url::parse(&endpoint.url).is_ok_and(|it| matches!(it.scheme(), "http" | "https") && it.has_host());
            if !is_address {
                return Err(RemoteError::Url(endpoint.url));
            }
            let key = match &endpoint.key_env {
                None => None,
                Some(name) => Some(std::env::var(name).map_err(|_| RemoteError::Key(name.clone()))?),
            };
            let client = Client::builder().connect_timeout(health).redirect(reqwest::redirect::Policy::none());
            let client = client.build().map_err(RemoteError::Client)?;
            let zero = AtomicU64::default;
            let health = watch::channel(Health::Up).0;
            peers.push(Arc::new(Peer { endpoint, key, client, health, flying: zero(), asked: zero(), failed: zero() }));
        }
        let watchers = peers.iter().map(|it| tokio::spawn(watch_over(it.clone(), health))).collect();
        let gate = Gate::new(places, config.waiting_max.max(1));
        let slow = Duration::from_millis(config.slow_ms);
        let patience = Duration::from_millis(config.patience_ms);
        Ok(Self { peers, gate, recorder: Recorder::default(), slow, patience, watchers })
    }

    /// The endpoint with the least to do that is not in `tried`; one that is up, when there is one.
    fn next(&self, tried: &BTreeSet<usize>) -> Option<usize> {
        let left = (0..self.peers.len()).filter(|it| !tried.contains(it));
        left.min_by_key(|it| (!self.peers[*it].is_up(), self.peers[*it].flying.load(Ordering::Relaxed), *it))
    }

    async fn race(&self, request: &Request, deadline: Instant) -> Result<(Raw, Answer, usize, u32), AskError> {
        let started = Instant::now();
        let mut tried = BTreeSet::new();
        let mut tries = 0_u32;
        let mut attempts: FuturesUnordered<BoxFuture<'_, (usize, Result<(Raw, Answer), Failure>)>> = FuturesUnordered::new();
        let mut last = Failure::Broken("nobody was asked".to_owned());
        let mut pause = Duration::from_millis(100);
        let mut slow_at = started;
        loop {
            // Somebody new is asked when nobody is, and when all who are take their time.
            if attempts.is_empty() || Instant::now() >= slow_at {
                if let Some(peer) = self.next(&tried) {
                    tried.insert(peer);
                    tries += 1;
                    attempts.push(Box::pin(async move { (peer, self.peers[peer].ask(request, deadline).await) }));
                    slow_at = Instant::now() + self.slow;
                }
            }
            if attempts.is_empty() {
                // All have failed. What was refused or wrong everywhere stays so; what is broken may come back.
                match &last {
                    Failure::Refused(reason) => return Err(AskError::Refused(reason.clone())),
                    Failure::Wrong(error) => return Err(AskError::Answer(error.clone())),
                    Failure::Broken(reason) if started.elapsed() + pause > self.patience => return Err(AskError::Absent(reason.clone())),
                    Failure::Broken(_) => {}
                }
                if Instant::now() + pause >= deadline {
                    return Err(AskError::Deadline(request.within));
                }
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
                tried.clear();
                slow_at = Instant::now();
                continue;
            }
            let more_to_ask = tried.len() < self.peers.len();
            tokio::select! {
                Some((peer, result)) = attempts.next() => match result {
                    Ok((raw, answer)) => return Ok((raw, answer, peer, tries)),
                    Err(failure) => {
                        self.peers[peer].failed.fetch_add(1, Ordering::Relaxed);
                        // A wrong answer says more than a connection that failed afterwards.
                        if !matches!((&last, &failure), (Failure::Wrong(_), Failure::Broken(_))) {
                            last = failure;
                        }
                        self.recorder.update(|it| it.asked_again += 1);
                        slow_at = Instant::now();
                    }
                },
                () = sleep_until(slow_at), if more_to_ask => {}
                () = sleep_until(deadline) => return Err(AskError::Deadline(request.within)),
            }
        }
    }
}

impl Drop for RemotePool {
    fn drop(&mut self) {
        self.watchers.iter().for_each(JoinHandle::abort);
    }
}

/// Counts a request whose caller went away.
struct Leaving<'a> {
    recorder: &'a Recorder,
    answered: bool,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let answered = self.answered;
        self.recorder.update(|it| {
            it.active -= 1;
            it.cancelled += u64::from(!answered);
        });
    }
}

#[async_trait]
impl Backend for RemotePool {
    async fn ask(&self, request: Request) -> Result<Reply, AskError> {
        let asked = Instant::now();
        let deadline = asked + request.within;
        self.recorder.update(|it| {
            it.asked += 1;
            it.active += 1;
        });
        let mut leaving = Leaving { recorder: &self.recorder, answered: false };
        let result = async {
            let _place = self.gate.enter(request.priority, deadline, request.within).await?;
            let waited_us = asked.elapsed().as_micros() as u64;
            if Instant::now() >= deadline {
                return Err(AskError::Deadline(request.within));
            }
            let (raw, answer, peer, tries) = self.race(&request, deadline).await?;
            let total_us = asked.elapsed().as_micros() as u64;
            let prompt_digest = request.task.prompt(Dialect::Chat).digest();
            Ok(Reply { answer, raw, card: self.peers[peer].card(), prompt_digest, tries, waited_us, total_us })
        }
        .await;
        leaving.answered = true;
        self.recorder.ended(request.task.name(), &result);
        result
    }

    fn card(&self) -> Option<Card> {
        self.peers.iter().find(|it| it.is_up()).map(|it| it.card())
    }

    fn metrics(&self) -> Metrics {
        let mut metrics = self.recorder.snapshot();
        let up = self.peers.iter().any(|it| it.is_up());
        metrics.state = if up { "up" } else { "down" }.to_owned();
        metrics.waiting = self.gate.waiting();
        metrics.endpoints = self.peers.iter().map(|it| it.metrics()).collect();
        metrics
    }
}

impl Peer {
    fn is_up(&self) -> bool {
        *self.health.borrow() == Health::Up
    }

    fn card(&self) -> Card {
        let Endpoint { url, model, .. } = &self.endpoint;
        Card {
            model: model.clone(),
            digest: format!("remote:{url}"),
            dialect: Dialect::Chat,
            sampler: "temperature 0 at the endpoint".to_owned(),
            build: "unknown".to_owned(),
        }
    }

    fn metrics(&self) -> EndpointMetrics {
        let reason = match &*self.health.borrow() {
            Health::Up => None,
            Health::Down(reason) => Some(reason.clone()),
        };
        EndpointMetrics {
            url: self.endpoint.url.clone(),
            up: reason.is_none(),
            reason,
            asked: self.asked.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    async fn ask(&self, request: &Request, deadline: Instant) -> Result<(Raw, Answer), Failure> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.flying.fetch_add(1, Ordering::Relaxed);
        let _landing = Landing(&self.flying);
        let mut health = self.health.subscribe();
        let was_up = *health.borrow_and_update() == Health::Up;
        tokio::select! {
            answered = self.call(request, deadline) => answered,
            // Found down while it was asked: nobody waits for its time limit.
            down = async { health.wait_for(|it| *it != Health::Up).await.map(|it| it.clone()) }, if was_up => match down {
                Ok(Health::Down(reason)) => Err(Failure::Broken(reason)),
                Ok(Health::Up) | Err(_) => Err(Failure::Broken("the pool has been closed".to_owned())),
            },
        }
    }

    async fn call(&self, request: &Request, deadline: Instant) -> Result<(Raw, Answer), Failure> {
        let started = Instant::now();
        let speech = Speech::of(&request.task, &self.endpoint, request.tokens_max);
        let (status, body) = self.http(Method::POST, speech.path(), Some(speech.body()), deadline - started).await?;
        if status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) {
            return Err(Failure::Broken(format!("{} answered {status}", self.endpoint.url)));
        }
        if !status.is_success() {
            // Its words may repeat the prompt: the number has to do.
            return Err(Failure::Refused(format!("{} answered {status}: look at its model, key and limits", self.endpoint.url)));
        }
        let took_us = started.elapsed().as_micros() as u64;
        let raw = speech.read(&body, took_us).map_err(|error| Failure::Wrong(AnswerError::Shape(error)))?;
        let answer = check(&request.task, &raw, Invented::LeaveOut).map_err(Failure::Wrong)?;
        Ok((raw, answer))
    }

    async fn http(&self, method: Method, path: &str, body: Option<Vec<u8>>, within: Duration) -> Result<(StatusCode, Vec<u8>), Failure> {
        let url = format!("{}{path}", self.endpoint.url);
        let mut request = self.client.request(method, &url).timeout(within);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let broken = |error: reqwest::Error| Failure::Broken(format!("{url}: {}", chain(&error.without_url())));
        let mut response = request.send().await.map_err(broken)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if bytes.len() + chunk.len() > REMOTE_ANSWER_BYTES_MAX {
                return Err(Failure::Broken(format!("{url} answered more than {REMOTE_ANSWER_BYTES_MAX} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((status, bytes))
    }

    async fn look(&self, within: Duration) -> Health {
        let look = async {
            let (status, _) = self.http(Method::GET, "/health", None, within).await?;
            // Not every endpoint has it.
            if matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
                return Ok(self.http(Method::GET, "/v1/models", None, within).await?.0);
            }
            Ok(status)
        };
        match timeout(within, look).await {
            Ok(Ok(status)) if status.is_server_error() => Health::Down(format!("{} says {status}", self.endpoint.url)),
            Ok(Ok(_)) => Health::Up,
            Ok(Err(Failure::Broken(reason) | Failure::Refused(reason))) => Health::Down(reason),
            Ok(Err(Failure::Wrong(error))) => Health::Down(error.to_string()),
            Err(_) => Health::Down(format!("{} does not tell its health within {within:?}", self.endpoint.url)),
        }
    }
}

/// Takes one off when it goes.
struct Landing<'a>(&'a AtomicU64);

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Looks at an endpoint's health again and again. Two bad looks in a row make it down, one good look up.
async fn watch_over(peer: Arc<Peer>, every: Duration) {
    let mut bad = 0;
    loop {
        let seen = peer.look(every).await;
        match &seen {
            Health::Up => bad = 0,
            Health::Down(_) => bad += 1,
        }
        let was_up = peer.is_up();
        match &seen {
            Health::Up if !was_up => info!(url = peer.endpoint.url, "endpoint is up"),
            Health::Down(reason) if was_up && bad >= 2 => warn!(url = peer.endpoint.url, reason, "endpoint is down"),
            Health::Up | Health::Down(_) => {}
        }
        if bad == 0 || bad >= 2 {
            peer.health.send_if_modified(|it| {
                let changed = *it != seen;
                *it = seen;
                changed
            });
        }
        sleep(every).await;
    }
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
