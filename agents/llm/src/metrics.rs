//! What has been asked, what came of it, and how long it took.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::backend::{AskError, Reply};
use crate::wire::Stats;

/// A picture of the numbers. Counters only grow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// In a word: `starting`, `up` or `down`.
    pub state: String,
    /// Why it is down.
    pub reason: Option<String>,
    /// Requests.
    pub asked: u64,
    /// Requests with a checked answer.
    pub answered: u64,
    /// Requests without one, by the name of their error.
    pub failed: BTreeMap<String, u64>,
    /// Requests whose caller went away.
    pub cancelled: u64,
    /// Requests that were asked again after a crash, a hang or a failing endpoint.
    pub asked_again: u64,
    /// Times that the engine was started after its first start.
    pub restarts: u64,
    /// Requests that wait, by priority.
    pub waiting: [u64; 4],
    /// Requests that a model works on.
    pub active: u64,
    /// Tokens of prompts.
    pub tokens_in: u64,
    /// Tokens of answers.
    pub tokens_out: u64,
    /// From call to answer, by task.
    pub latency: BTreeMap<String, Latency>,
    /// The engine's own numbers since its last start.
    pub engine: Option<Stats>,
    /// Endpoints, where there are any.
    pub endpoints: Vec<EndpointMetrics>,
}

/// Quantiles in microseconds. They are at most 9 % too high.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Answers.
    pub count: u64,
    /// Half of the answers took no longer.
    pub p50_us: u64,
    /// 95 of 100.
    pub p95_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// The slowest.
    pub max_us: u64,
}

/// One endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointMetrics {
    /// Its address.
    pub url: String,
    /// Whether it is asked.
    pub up: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Requests sent to it.
    pub asked: u64,
    /// Of these, without a usable answer.
    pub failed: u64,
}

/// A histogram with eight steps for each doubling.
#[derive(Debug, Clone, Default)]
struct Histogram {
    counts: BTreeMap<u32, u64>,
    count: u64,
    max_us: u64,
}

const STEPS: f64 = 8.0;

impl Histogram {
    fn add(&mut self, us: u64) {
        let step = (us.max(1) as f64).log2() * STEPS;
        *self.counts.entry(step.ceil() as u32).or_default() += 1;
        self.count += 1;
        self.max_us = self.max_us.max(us);
    }

    fn quantile(&self, share: f64) -> u64 {
        let rank = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (step, count) in &self.counts {
            seen += count;
            if seen >= rank {
                return ((f64::from(*step) / STEPS).exp2().round() as u64).min(self.max_us);
            }
        }
        self.max_us
    }

    fn latency(&self) -> Latency {
        Latency {
            count: self.count,
            p50_us: self.quantile(0.50),
            p95_us: self.quantile(0.95),
            p99_us: self.quantile(0.99),
            max_us: self.max_us,
        }
    }
}

/// Collects numbers from several tasks.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    metrics: Metrics,
    latency: BTreeMap<&'static str, Histogram>,
}

impl Recorder {
    /// Changes the numbers.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Metrics)) {
        change(&mut self.0.lock().expect("no holder of this lock panics").metrics);
    }

    /// Notes the end of a request.
    pub(crate) fn ended(&self, task: &'static str, result: &Result<Reply, AskError>) {
        let mut inner = self.0.lock().expect("no holder of this lock panics");
        match result {
            Ok(reply) => {
                inner.metrics.answered += 1;
                inner.metrics.tokens_in += u64::from(reply.raw.tokens_in);
                inner.metrics.tokens_out += u64::from(reply.raw.tokens_out);
                inner.latency.entry(task).or_default().add(reply.total_us);
            }
            Err(error) => *inner.metrics.failed.entry(error.name().to_owned()).or_default() += 1,
        }
    }

    /// The numbers now.
    pub(crate) fn snapshot(&self) -> Metrics {
        let inner = self.0.lock().expect("no holder of this lock panics");
        let mut metrics = inner.metrics.clone();
        metrics.latency = inner.latency.iter().map(|(task, it)| ((*task).to_owned(), it.latency())).collect();
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_close_and_never_too_low() {
        let mut histogram = Histogram::default();
        (1..=1_000).for_each(|it| histogram.add(it * 100));
        let latency = histogram.latency();
        for (told, truth) in [(latency.p50_us, 50_000), (latency.p95_us, 95_000), (latency.p99_us, 99_000)] {
            assert!(told >= truth && told <= truth + truth / 11, "{told} for {truth}");
        }
        assert_eq!((latency.count, latency.max_us), (1_000, 100_000));
        assert_eq!(Histogram::default().latency(), Latency::default());
    }
}
