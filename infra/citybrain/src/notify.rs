//! Webhooks of the configuration: readers of `city.notification`, one for each receiver, with a receipt for each delivery.
//!
//! A receiver has a tap of its own, so that one that hangs holds up nobody else. It is sent one notification after another,
//! in the order of the log. Its receipt is an event on `city.receipt`; after the receipt its position moves on, in
//! `<home>/webhooks/<name>.json`. So a restart loses nothing, and repeats nothing that has a receipt; what a crash left
//! without one is sent again under the same idempotency key. A delivery that was given up becomes a signal, and so an alert.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use bus::{Bus, Chunk, Filter, Producer, Tap, TapConfig};
use chrono::{DateTime, Utc};
use schemas::event::Event;
use schemas::notification::{Notification, Receipt};
use schemas::position::Position;
use schemas::topics;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;
use tracing::{info, warn};
use webhooks::Webhook;

use crate::home::write_atomically;
use crate::lang::t;
use crate::parts::{Parts, State, asked_to_stop};
use crate::progress::Progress;
use crate::rows::Rows;
use crate::scan::scan;

/// Most receivers: each has a consumer and a connection of its own.
pub const RECEIVERS_MAX: usize = 32;
/// CloudEvents source of receipts.
const SOURCE: &str = "citybrain/webhooks";
/// CloudEvents types that are read and written.
const NOTIFICATION_TYPE: &str = "io.citybrain.notification.v1";
const RECEIPT_TYPE: &str = "io.citybrain.notification.receipt.v1";
const SIGNAL_TYPE: &str = "io.citybrain.city.signal.v1";

/// What is remembered of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// The next offset of `city.notification` that it has not been sent.
    next: i64,
    /// An offset of `city.receipt` before which it has no receipt for what comes from there on.
    receipts: i64,
    /// Whether the last delivery was given up.
    failing: bool,
}

/// The receivers that cannot be reached now.
pub type Failing = Arc<Mutex<BTreeSet<String>>>;

/// Sends to one receiver.
pub struct Sender {
    webhook: Webhook,
    bus: Bus,
    producer: Producer,
    file: PathBuf,
    kept: Kept,
    /// Notifications not behind the position that have a receipt.
    done: BTreeSet<String>,
    parts: Arc<Parts>,
    failing: Failing,
    progress: Progress,
}

impl Sender {
    /// Finds out where a receiver stands. One that is new begins at the end: the past is nobody's news.
    ///
    /// # Errors
    /// When the bus or the file of the position cannot be read.
    pub async fn open(webhook: Webhook, bus: &Bus, folder: &Path, parts: Arc<Parts>, failing: Failing) -> Result<Sender> {
        std::fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))?;
        let file = folder.join(format!("{}.json", webhook.name()));
        let kept = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged: remove it to begin at the end of the topic", file.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Kept { next: end(bus, topics::NOTIFICATION).await?, receipts: end(bus, topics::RECEIPT).await?, failing: false }
            }
            Err(error) => return Err(error).with_context(|| format!("could not read {}", file.display())),
        };
        let done = receipts(bus, webhook.name(), kept.receipts).await?;
        let producer = bus.producer().context("could not make the producer of receipts")?;
        let progress = Progress::new(&format!("webhook-{}", webhook.name()));
        parts.track(&progress);
        let sender = Sender { webhook, bus: bus.clone(), producer, file, kept, done, parts, failing, progress };
        sender.keep()?;
        Ok(sender)
    }

    /// Sends until `stop` says so.
    ///
    /// # Errors
    /// When the bus takes no receipt, or a position cannot be written.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<()> {
        let tap = Tap::start(self.bus.clone(), TapConfig::default())?;
        let start = [((topics::NOTIFICATION.to_owned(), 0), self.kept.next)].into();
        let mut reader = tap.reader("webhook", Filter::topics([topics::NOTIFICATION]), start)?;
        info!(receiver = self.webhook.name(), next = self.kept.next, "webhook begins");
        loop {
            // What is under way when the stop comes has no receipt, and is sent again under its key.
            let went_on = tokio::select! {
                biased;
                () = asked_to_stop(&mut stop) => break,
                went_on = async {
                    match reader.recv().await {
                        Some(chunk) => self.take(&chunk).await.map(|()| true),
                        None => Ok(false),
                    }
                } => went_on?,
            };
            if !went_on {
                break;
            }
        }
        tap.stop().await;
        Ok(())
    }

    async fn take(&mut self, chunk: &Chunk) -> Result<()> {
        for row in Rows::of(&chunk.rows)?.iter() {
            if row.offset >= self.kept.next && row.event_type == Some(NOTIFICATION_TYPE) {
                self.one(row.data.unwrap_or_default()).await?;
                self.kept.next = row.offset + 1;
                self.keep()?;
            }
        }
        self.kept.next = self.kept.next.max(chunk.next_offset);
        self.keep()
    }

    async fn one(&mut self, data: &str) -> Result<()> {
        let Ok(notification) = serde_json::from_str::<Notification>(data) else { return Ok(()) };
        let Some(message) = self.webhook.message(&notification, Utc::now()).filter(|_| !self.done.remove(&notification.id)) else { return Ok(()) };
        let receipt = self.webhook.deliver(&message).await;
        if !receipt.delivered {
            warn!(receiver = self.webhook.name(), notification = notification.id, attempts = receipt.attempts, error = receipt.error.as_deref(), "a webhook was given up");
        }
        if receipt.delivered == self.kept.failing {
            self.signal(&receipt, notification.at).await?;
            self.kept.failing = !receipt.delivered;
        }
        let mut event = Event::new(receipt.id.clone(), SOURCE, RECEIPT_TYPE);
        (event.subject, event.partition_key, event.time) = (Some(receipt.receiver.clone()), Some(receipt.group.clone()), Some(receipt.at));
        event.causation_id = Some(receipt.notification.clone());
        let position = self.send(topics::RECEIPT, event, serde_json::to_vec(&receipt)?).await?;
        self.kept.receipts = position.offset + 1;
        Ok(())
    }

    /// A receiver cannot be reached, or can again: a finding like any other. It happens at the time of what was to be told,
    /// so that an import of other years stays in them.
    async fn signal(&self, receipt: &Receipt, at: DateTime<Utc>) -> Result<()> {
        let station = format!("webhook-{}", receipt.receiver);
        let data = json!({
            "signal": "threshold", "scenario": topics::OPERATIONS, "rule": "webhook_delivery", "level": 3,
            "state": if receipt.delivered { "cleared" } else { "raised" }, "property": "delivery", "station": station,
        });
        let mut event = Event::new(format!("{}-{}", receipt.id, receipt.delivered), SOURCE, SIGNAL_TYPE);
        (event.partition_key, event.time) = (Some(station), Some(at));
        event.causation_id = Some(receipt.notification.clone());
        self.send(topics::SIGNAL, event, data.to_string().into_bytes()).await?;
        Ok(())
    }

    async fn send(&self, topic: &str, mut event: Event, data: Vec<u8>) -> Result<Position> {
        event.recorded_time = Some(Utc::now());
        event.data_content_type = Some("application/json".to_owned());
        event.data_classification = Some("internal".to_owned());
        event.data = Some(data.into());
        self.producer.send(topic, &event.to_kafka(), None).await.with_context(|| format!("could not produce to {topic}"))
    }

    /// Says how far it is and how it goes, to people and for the next start.
    fn keep(&self) -> Result<()> {
        let mut failing = self.failing.lock().expect("nobody panics while holding it");
        match self.kept.failing {
            true => failing.insert(self.webhook.name().to_owned()),
            false => failing.remove(self.webhook.name()),
        };
        let names = failing.iter().cloned().collect::<Vec<_>>().join(", ");
        let state = if failing.is_empty() { State::Ready } else { State::Warning(format!("{} {names}", t("无法送达：", "not reached:"))) };
        self.parts.set("webhooks", state);
        drop(failing);
        self.progress.advance(topics::NOTIFICATION, 0, self.kept.next);
        write_atomically(&self.file, &serde_json::to_vec(&self.kept)?)
    }
}

/// Where a topic of one partition ends.
async fn end(bus: &Bus, topic: &str) -> Result<i64> {
    let ends = bus.watermarks(topic).await.with_context(|| format!("could not read the end of {topic}"))?;
    Ok(ends.get(&0).map_or(0, |(_, high)| *high))
}

/// The notifications that a receiver has a receipt for, by the receipts from a position on.
async fn receipts(bus: &Bus, receiver: &str, from: i64) -> Result<BTreeSet<String>> {
    let mut done = BTreeSet::new();
    scan(bus, topics::RECEIPT, from, |chunk| {
        for row in Rows::of(&chunk.rows)?.iter().filter(|row| row.event_type == Some(RECEIPT_TYPE)) {
            let receipt = serde_json::from_str::<Receipt>(row.data.unwrap_or_default());
            done.extend(receipt.ok().filter(|receipt| receipt.receiver == receiver).map(|receipt| receipt.notification));
        }
        Ok(true)
    })
    .await
    .context("could not read city.receipt")?;
    Ok(done)
}
