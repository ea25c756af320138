//! The one writer of the audit: puts each note behind the last entry that the log has, and answers when the log has it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use bus::{Bus, Producer, ProducerConfig};
use chrono::Utc;
use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::AuditLog;
use gateway::ports::LogError;
use schemas::audit::{ENTRY_TYPE, Entry, Head, Note};
use schemas::{Event, topics};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info};

use super::anchors::Anchors;
use crate::home::Home;
use crate::parts::asked_to_stop;
use crate::rows::Rows;
use crate::scan::scan;
use crate::sequencer::send;

/// Notes that may wait; who comes later waits until there is room.
const NOTES_MAX: usize = 1_024;
/// Entries of one append: those who wait together are written together.
const TOGETHER_MAX: usize = 256;
/// How often the head is written down beside the log.
const ANCHOR_EVERY: Duration = Duration::from_secs(3_600);
/// How long what a writer had on its way when it was cut off may take to arrive: it is in the broker's hands already, or
/// lost with the connection.
const ARRIVAL: Duration = Duration::from_secs(1);
/// CloudEvents source of an entry.
const SOURCE: &str = "citybrain/audit";

struct Waiting {
    note: Note,
    answer: oneshot::Sender<u64>,
}

/// What the rest of the process holds.
#[derive(Clone)]
pub struct AuditHandle {
    notes: mpsc::Sender<Waiting>,
    head: Arc<Mutex<Option<Head>>>,
}

impl AuditLog for AuditHandle {
    fn append(&self, note: Note) -> BoxFuture<'static, Result<u64, LogError>> {
        let notes = self.notes.clone();
        async move {
            let (answer, answered) = oneshot::channel();
            let stopped = || LogError("the audit's writer has stopped".to_owned());
            notes.send(Waiting { note, answer }).await.map_err(|_| stopped())?;
            answered.await.map_err(|_| stopped())
        }
        .boxed()
    }

    fn head(&self) -> Option<Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Writes the audit of a home. It is idle until the first note comes, and looks for the end of the log then.
pub struct Writer {
    bus: Bus,
    anchors: Anchors,
    notes: mpsc::Receiver<Waiting>,
    head: Arc<Mutex<Option<Head>>>,
}

/// A writer and its handle.
pub fn writer(bus: Bus, home: &Home) -> (AuditHandle, Writer) {
    let (sender, notes) = mpsc::channel(NOTES_MAX);
    let head = Arc::new(Mutex::new(None));
    (AuditHandle { notes: sender, head: head.clone() }, Writer { bus, anchors: Anchors::of(home.dir("audit")), notes, head })
}

/// The end of the chain, and what is written with.
struct Chain {
    producer: Producer,
    head: Head,
    offset: i64,
    anchored: u64,
}

impl Writer {
    /// Writes until `stop` says so and nobody waits any more.
    ///
    /// # Errors
    /// When the log does not take an entry: what it has is not known then, and a new start looks for its end.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<()> {
        let mut chain: Option<Chain> = None;
        let mut hourly = tokio::time::interval(ANCHOR_EVERY);
        loop {
            let first = tokio::select! {
                biased;
                waiting = self.notes.recv() => waiting,
                () = asked_to_stop(&mut stop) => None,
                _ = hourly.tick() => {
                    if let Some(chain) = &mut chain {
                        self.anchor(chain)?;
                    }
                    continue;
                }
            };
            let Some(first) = first else { break };
            let mut together = vec![first];
            while together.len() < TOGETHER_MAX && let Ok(waiting) = self.notes.try_recv() {
                together.push(waiting);
            }
            let open = match &mut chain {
                Some(open) => open,
                None => chain.insert(self.open().await?),
            };
            self.append(open, together).await?;
        }
        match &mut chain {
            Some(chain) => self.anchor(chain),
            None => Ok(()),
        }
    }

    async fn append(&self, chain: &mut Chain, together: Vec<Waiting>) -> Result<()> {
        let mut head = chain.head.clone();
        let mut records = Vec::new();
        let mut answers = Vec::new();
        for Waiting { note, answer } in together {
            let entry = Entry::after(&head, note);
            head = entry.head();
            records.push((topics::AUDIT, event(&entry).to_kafka()));
            answers.push((entry.seq, answer));
        }
        let positions = send(&chain.producer, &records).await.context("could not append to the audit: the process has to start again")?;
        chain.offset = positions.last().map_or(chain.offset, |position| position.offset);
        chain.head = head.clone();
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = Some(head);
        for (seq, answer) in answers {
            // Who asked may have gone.
            let _ = answer.send(seq);
        }
        Ok(())
    }

    fn anchor(&self, chain: &mut Chain) -> Result<()> {
        if chain.head.next > chain.anchored {
            self.anchors.add(&chain.head, chain.offset)?;
            chain.anchored = chain.head.next;
        }
        Ok(())
    }

    /// Finds the end of this home's chain in the log, from its last anchor on. When the log does not hold what the anchor
    /// says, somebody changed it: that is told, and a chain of its own begins, so that the city is not blind meanwhile.
    async fn open(&self) -> Result<Chain> {
        let producer = self.bus.producer_with(&ProducerConfig::prompt()).context("could not make the audit's producer")?;
        let known = self.anchors.chain()?;
        let anchor = match &known {
            Some(chain) => self.anchors.all()?.into_iter().rev().find(|(_, head)| head.chain == *chain),
            None => None,
        };
        if let Some(chain) = known {
            let from = anchor.as_ref().map_or(0, |(anchor, _)| anchor.offset.max(0));
            let kept = anchor.as_ref().map(|(_, head)| head);
            let (mut found, whole) = self.last_of(&chain, from, kept).await?;
            // A writer that stopped in order wrote its head down. One that was cut off may have had entries on their way
            // that arrive only now; whoever writes before them would make a fork.
            while whole && found.as_ref().map(|(head, _)| head) != kept {
                tokio::time::sleep(ARRIVAL).await;
                let again = self.last_of(&chain, from, kept).await?.0;
                if again == found {
                    break;
                }
                found = again;
            }
            if whole {
                let (head, offset) = found.unwrap_or_else(|| (Head::of_new(&chain), -1));
                info!(chain, entries = head.next, "audit goes on");
                *self.head.lock().unwrap_or_else(PoisonError::into_inner) = Some(head.clone());
                return Ok(Chain { producer, anchored: anchor.map_or(0, |(_, head)| head.next), head, offset });
            }
            error!(chain, "the audit on the log is not the one that this home wrote; `citybrain audit verify` says where; a new chain begins");
        }
        self.begin(producer, anchor.map(|(_, head)| head)).await
    }

    /// Begins a chain; its first entry names the one that it replaces.
    async fn begin(&self, producer: Producer, replaced: Option<Head>) -> Result<Chain> {
        let chain = self.anchors.begin()?;
        let mut note = Note::new("citybrain", "file", "audit.begin", Utc::now());
        if let Some(replaced) = replaced {
            note.why = Some("the log does not hold the chain that this home wrote before".to_owned());
            note.details.insert("replaced".to_owned(), replaced.to_string());
        }
        let mut begun = Chain { producer, head: Head::of_new(chain), offset: -1, anchored: 0 };
        let (answer, _) = oneshot::channel();
        self.append(&mut begun, vec![Waiting { note, answer }]).await?;
        Ok(begun)
    }

    /// The last entry of a chain in the log, and whether the log has the entry that an anchor names.
    async fn last_of(&self, chain: &str, from: i64, anchor: Option<&Head>) -> Result<(Option<(Head, i64)>, bool)> {
        let mut last = None;
        let mut whole = anchor.is_none();
        scan(&self.bus, topics::AUDIT, from, |chunk| {
            for row in Rows::of(&chunk.rows)?.iter() {
                let Some(entry) = row.data.and_then(|data| Entry::from_json(data).ok()).filter(|entry| entry.chain == chain) else { continue };
                let head = entry.head();
                whole |= Some(&head) == anchor;
                last = Some((head, row.offset));
            }
            Ok(true)
        })
        .await
        .context("could not read the audit")?;
        Ok((last, whole))
    }
}

fn event(entry: &Entry) -> Event {
    let mut event = Event::new(format!("{}-{:012}", entry.chain, entry.seq), SOURCE, ENTRY_TYPE);
    event.time = Some(entry.note.time);
    event.recorded_time = Some(Utc::now());
    event.partition_key = Some(entry.chain.clone());
    event.data_content_type = Some("application/json".to_owned());
    event.data = Some(entry.to_json().into());
    event
}
