//! The parts of a process: which there are, how they are, and how far they have come.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bus::Tap;
use tokio::sync::watch;

use crate::progress::Progress;

/// How a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not yet working.
    Starting(String),
    /// Working.
    Ready,
    /// Working, with something that people should know.
    Warning(String),
    /// Not working any more.
    Failed(String),
}

/// All parts.
#[derive(Default)]
pub struct Parts {
    states: Mutex<BTreeMap<&'static str, State>>,
    progress: Mutex<Vec<Progress>>,
    lags: Mutex<BTreeMap<String, i64>>,
    broker: Mutex<Option<broker::Stats>>,
    /// Restarts after a failure.
    pub restarts: AtomicU64,
}

impl Parts {
    /// No parts yet.
    pub fn new() -> Arc<Parts> {
        Arc::new(Parts::default())
    }

    /// Says how a part is.
    pub fn set(&self, part: &'static str, state: State) {
        lock(&self.states).insert(part, state);
    }

    /// Adds a reader whose progress is shown, in place of an earlier one of the same name.
    pub fn track(&self, progress: &Progress) {
        let mut all = lock(&self.progress);
        all.retain(|known| known.name() != progress.name());
        all.push(progress.clone());
    }

    /// Takes in how the bus is doing.
    pub async fn observe(&self, tap: &Tap, broker: Option<broker::Stats>) {
        let mut lags = BTreeMap::new();
        for lag in tap.lags().await {
            *lags.entry(lag.reader.to_string()).or_insert(0) += lag.records();
        }
        *lock(&self.lags) = lags;
        *lock(&self.broker) = broker;
    }

    /// Each part: name, whether it is ready, and a few words.
    pub fn health(&self) -> Vec<(String, bool, String)> {
        let lags = lock(&self.lags).clone();
        lock(&self.states)
            .iter()
            .map(|(part, state)| {
                let (ready, detail) = match state {
                    State::Starting(why) => (false, why.clone()),
                    State::Ready => (true, lags.get(*part).map_or_else(|| "ok".to_owned(), |lag| format!("lag {lag}"))),
                    State::Warning(why) => (true, why.clone()),
                    State::Failed(why) => (false, why.clone()),
                };
                ((*part).to_owned(), ready, detail)
            })
            .collect()
    }

    /// Prometheus text.
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: Vec<(String, i64)>| {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
            for (labels, value) in samples {
                text.push_str(&format!("{name}{labels} {value}\n"));
            }
        };
        let ready = self.health().into_iter().map(|(part, ready, _)| (format!("{{part=\"{part}\"}}"), i64::from(ready))).collect();
        family("citybrain_part_ready", "gauge", "Whether a part is ready.", ready);
        let lags = lock(&self.lags).iter().map(|(reader, lag)| (format!("{{reader=\"{reader}\"}}"), *lag)).collect();
        family("citybrain_reader_lag_records", "gauge", "Records that a reader of the bus has not taken.", lags);
        let positions = lock(&self.progress)
            .iter()
            .flat_map(|progress| {
                let name = progress.name().to_owned();
                progress.get().into_iter().map(move |((topic, partition), next)| (format!("{{part=\"{name}\",topic=\"{topic}\",partition=\"{partition}\"}}"), next))
            })
            .collect();
        family("citybrain_position", "gauge", "Next offset that a part has not worked off.", positions);
        if let Some(stats) = *lock(&self.broker) {
            for (name, kind, help, value) in [
                ("connections", "gauge", "Connections open now.", stats.connections),
                ("requests_total", "counter", "Requests.", stats.requests),
                ("malformed_total", "counter", "Frames that could not be understood.", stats.malformed),
                ("partitions", "gauge", "Partitions.", stats.partitions),
                ("appends_total", "counter", "Record batches appended and acknowledged.", stats.appends),
                ("append_bytes_total", "counter", "Bytes of them.", stats.append_bytes),
                ("fetch_bytes_total", "counter", "Bytes sent to consumers.", stats.fetch_bytes),
                ("syncs_total", "counter", "Syncs of the write-ahead file.", stats.syncs),
                ("sync_microseconds_total", "counter", "Time spent in them.", stats.sync_us),
                ("storage_errors_total", "counter", "Appends that the disk refused.", stats.storage_errors),
            ] {
                family(&format!("citybrain_broker_{name}"), kind, help, vec![(String::new(), value as i64)]);
            }
        }
        text
    }

    /// Counts a restart.
    pub fn restarted(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }
}

/// Comes back when the parts are asked to stop, or when whoever asks is gone.
pub async fn asked_to_stop(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopped| *stopped).await;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_warns_is_ready_and_one_that_failed_is_not() {
        let parts = Parts::new();
        parts.set("lake", State::Ready);
        parts.set("types", State::Warning("a file was refused".into()));
        parts.set("brain", State::Failed("gone".into()));
        let ready: Vec<_> = parts.health().into_iter().map(|(part, ready, _)| (part, ready)).collect();
        assert_eq!(ready, [("brain".to_owned(), false), ("lake".to_owned(), true), ("types".to_owned(), true)]);
        assert!(parts.metrics().contains("citybrain_part_ready{part=\"brain\"} 0"));
    }
}
