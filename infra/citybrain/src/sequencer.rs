//! The sequencer: gives each thing the brain decides on its number, and lets effects out after the journal has it.
//!
//! A round takes what waits in the [`Intake`], inserts the timers that are due, and gives each record its number; the
//! [`Core`] applies it to the brain in memory and extends the digest chain. The records are appended to `city.journal`
//! with the chain digest after each; when the journal has acknowledged them, their effects are produced. What was applied
//! and not stored never had an effect: on failure the process starts again from snapshot and journal
//! (docs/decisions/0001-apply-append-act.md).

mod core;
mod recovery;
mod snapshot;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use bus::{Bus, Outgoing, Producer, ProducerConfig, TapReader};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info};

pub use self::core::{Core, Sequenced, Settings, journal_event};
pub use self::recovery::stored_chain;
pub use self::snapshot::SnapshotStore;
use crate::city_files::CityFiles;
use crate::parts::asked_to_stop;
use crate::intake::{Arrival, Intake};
use crate::progress::Progress;
use crate::rows::Rows;
use schemas::KafkaRecord;
use crate::understanding::{Figures, Understanding, lock};
use schemas::journal::{Action, Body, GraphChanged, JournalRecord};
use schemas::position::Position;
use schemas::understood::Task;

/// Records of one append; more would only make the round longer.
const ROUND_RECORDS_MAX: usize = 2_048;
/// How far behind the wall clock the newest event may be for the wall clock to fire timers, µs. Further behind, the
/// events are history and only they move the city's time.
const LIVE_WITHIN_US: i64 = 10 * 60 * 1_000_000;
/// What a snapshot may cost for each record since the last one, in bytes: a large state is written less often.
const SNAPSHOT_BYTES_PER_RECORD: u64 = 1_024;
/// How often the wall clock is looked at for timers.
const TIMER_PERIOD: Duration = Duration::from_millis(500);
/// Commands that may wait.
const COMMANDS_MAX: usize = 256;

/// What a person asked for, and who waits for the position it got.
pub struct CommandRequest {
    /// The command as the journal keeps it.
    pub body: Body,
    /// The version of the graph on which it rests; with another one it is not done.
    pub expects: Option<String>,
    /// Answered when the journal has it, or when it is not done: its position, and why it was refused, if it was.
    pub answer: oneshot::Sender<Result<Recorded, NotDone>>,
}

/// The position of a command in the journal, and why the brain refused it, if it did.
pub type Recorded = (Position, Option<String>);

/// Why the journal does not have what a person asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotDone {
    /// The graph has another version meanwhile: this one.
    GraphMoved(String),
    /// The sequencer has stopped.
    Stopped,
}

impl std::fmt::Display for NotDone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NotDone::GraphMoved(version) => write!(f, "the graph has changed meanwhile: its version is {version}"),
            NotDone::Stopped => write!(f, "the sequencer stopped before the journal had the command"),
        }
    }
}

/// The handle that the rest of the process holds.
#[derive(Clone)]
pub struct SequencerHandle {
    /// The decision plane as it stands. Lock it briefly.
    pub core: Arc<Mutex<Core>>,
    /// How the models are doing. Lock it briefly.
    pub models: Arc<Mutex<Figures>>,
    commands: mpsc::Sender<CommandRequest>,
}

impl SequencerHandle {
    /// Puts a person's command into the journal; gives its position, and why the brain refused it, if it did.
    pub async fn command(&self, body: Body) -> Result<Recorded, NotDone> {
        self.ask(body, None).await
    }

    /// The same for a change that was checked against the graph of a version; with another one it is not done.
    pub async fn change_graph(&self, changed: GraphChanged, version: String) -> Result<Recorded, NotDone> {
        self.ask(Body::GraphChanged(changed), Some(version)).await
    }

    async fn ask(&self, body: Body, expects: Option<String>) -> Result<Recorded, NotDone> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(CommandRequest { body, expects, answer }).await.map_err(|_| NotDone::Stopped)?;
        answered.await.map_err(|_| NotDone::Stopped)?
    }
}

/// Drives a [`Core`]: reads arrivals, appends to the journal, lets effects out.
pub struct Sequencer {
    core: Arc<Mutex<Core>>,
    journal: Producer,
    effects: Producer,
    snapshots: SnapshotStore,
    snapshot_every: u64,
    /// Bytes of the last snapshot.
    snapshot_bytes: u64,
    commands: mpsc::Receiver<CommandRequest>,
    progress: Progress,
    understanding: Understanding,
    models: Arc<Mutex<Figures>>,
}

impl Sequencer {
    /// Restores the core from snapshot and journal, produces the effects that a crash kept from going out, and gives the
    /// sequencer, ready to run.
    ///
    /// # Errors
    /// When the bus cannot be reached, or the journal and this program disagree about a digest.
    pub async fn open(
        bus: &Bus,
        snapshots: SnapshotStore,
        files: &CityFiles,
        snapshot_every: u64,
        settings: Settings,
        progress: Progress,
        understanding: Understanding,
    ) -> Result<(Sequencer, SequencerHandle)> {
        let recovered = recovery::recover(bus, &snapshots).await?;
        let journal = bus.producer_with(&ProducerConfig::prompt()).context("could not make the journal's producer")?;
        let effects = bus.producer_with(&ProducerConfig::prompt()).context("could not make the producer of effects")?;
        let missing = recovered.missing_effects.len();
        for (topic, event) in &recovered.missing_effects {
            effects.send(topic, &event.to_kafka(), None).await.with_context(|| format!("could not produce an effect to {topic}"))?;
        }
        info!(seq = recovered.core.next_seq(), effects = missing, "decision plane restored");
        let mut round = Vec::new();
        let mut core = recovered.core;
        let now_us = chrono::Utc::now().timestamp_micros();
        let reason = if core.next_seq() == 0 { "the city begins" } else { "the city's files have changed" };
        let wanted = files.graph(core.brain().graph())?;
        core.change_graph(&wanted, reason, now_us, &mut round);
        core.configure(settings, now_us, &mut round);
        let core = Arc::new(Mutex::new(core));
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        let handle = SequencerHandle { core: core.clone(), models: understanding.figures(), commands: sender };
        let mut sequencer = Sequencer { core, journal, effects, snapshots, snapshot_every, snapshot_bytes: 0, commands, progress, models: handle.models.clone(), understanding };
        sequencer.append(&round).await?;
        files.remember()?;
        // Before the first message is read, so that what was stopped and started again understands the same.
        sequencer.look();
        Ok((sequencer, handle))
    }

    /// Positions from which the inputs have to be read.
    pub fn positions(&self) -> BTreeMap<(String, i32), i64> {
        self.core.lock().expect("the core is never poisoned").positions().clone()
    }

    /// Runs until `stop` says so. Returns early only on an error that a restart has to repair.
    pub async fn run(mut self, mut reader: TapReader, mut stop: watch::Receiver<bool>) -> Result<()> {
        let mut intake = Intake::default();
        let mut timers = tokio::time::interval(TIMER_PERIOD);
        timers.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut since_snapshot = 0;
        loop {
            let mut asked = Vec::new();
            tokio::select! {
                biased;
                () = asked_to_stop(&mut stop) => break,
                Some(request) = self.commands.recv() => asked.push(request),
                chunk = reader.recv() => match chunk {
                    Some(chunk) => {
                        self.take_in(&mut intake, &chunk)?;
                        while !intake.is_full() && let Some(chunk) = reader.try_recv() {
                            self.take_in(&mut intake, &chunk)?;
                        }
                    }
                    None => break,
                },
                _ = timers.tick() => self.look(),
            }
            loop {
                let appended = self.round(&mut intake, std::mem::take(&mut asked)).await?;
                since_snapshot += appended;
                if intake.is_empty() {
                    break;
                }
            }
            if since_snapshot >= self.snapshot_every && since_snapshot * SNAPSHOT_BYTES_PER_RECORD >= self.snapshot_bytes {
                since_snapshot = 0;
                self.snapshot()?;
            }
        }
        self.snapshot()
    }

    /// Takes in models that were promoted or rolled back, and the graph as it is now.
    fn look(&mut self) {
        let core = self.core.clone();
        self.understanding.look(|known| {
            let core = core.lock().expect("the core is never poisoned");
            let graph = core.brain().graph();
            (graph.version() != known).then(|| graph.clone())
        });
    }

    fn take_in(&mut self, intake: &mut Intake, chunk: &bus::Chunk) -> Result<()> {
        for row in Rows::of(&chunk.rows)?.iter() {
            let (Some(id), Some(source), Some(event_type), Some(data)) = (row.id, row.source, row.event_type, row.data) else { continue };
            // Outside the core's lock: others read there.
            let understood = self.understanding.understand(event_type, data, row.time_us);
            intake.push(Arrival {
                position: Position { topic: chunk.topic.to_string(), partition: chunk.partition, offset: row.offset },
                time_us: row.time_us,
                event_type: event_type.to_string(),
                source: source.to_string(),
                id: id.to_string(),
                data: data.to_string(),
                understood,
            });
        }
        Ok(())
    }

    /// One round: number and apply, append, act. Gives the number of records appended.
    async fn round(&mut self, intake: &mut Intake, asked: Vec<CommandRequest>) -> Result<u64> {
        let now_us = chrono::Utc::now().timestamp_micros();
        let (round, answers) = {
            let mut core = self.core.lock().expect("the core is never poisoned");
            let mut round = Vec::new();
            let mut answers = Vec::new();
            for request in asked {
                let version = request.expects.as_ref().map(|_| core.brain().graph().version());
                if let Some(version) = version.filter(|version| request.expects.as_ref() != Some(version)) {
                    let _ = request.answer.send(Err(NotDone::GraphMoved(version)));
                    continue;
                }
                core.apply_command(request.body, now_us, &mut round);
                answers.push((round.len() - 1, request.answer));
            }
            while round.len() < ROUND_RECORDS_MAX && let Some(arrival) = intake.pop() {
                let opinions = arrival.understood.as_ref().map(|understood| understood.opinions.clone()).unwrap_or_default();
                let before = round.len();
                core.apply_arrival(arrival, now_us, &mut round);
                // A repeat gets no number; timers that were due got theirs first.
                if let Some(sequenced) = round.last().filter(|_| round.len() > before && !opinions.is_empty()) {
                    lock(&self.models).numbered(sequenced.seq, &opinions);
                }
            }
            if intake.is_empty() && now_us - core.city_time_us() < LIVE_WITHIN_US {
                core.fire_timers_until(now_us, now_us, &mut round);
            }
            (round, answers)
        };
        let positions = self.append(&round).await?;
        for (index, answer) in answers {
            let refused = refusal(&round[index]);
            if refused.is_none()
                && let Some((seq, task, label)) = said_by_a_person(&round[index])
            {
                lock(&self.models).person_said(seq, task, &label);
            }
            let _ = answer.send(Ok((positions[index].clone(), refused)));
        }
        self.progress.set(self.positions());
        Ok(round.len() as u64)
    }

    /// Appends the records to the journal; when it has them all, their effects go out. Gives the records' positions.
    async fn append(&self, round: &[Sequenced]) -> Result<Vec<Position>> {
        let records: Vec<_> = round.iter().map(|sequenced| (schemas::topics::JOURNAL, journal_event(sequenced).to_kafka())).collect();
        let positions = send(&self.journal, &records).await.context("could not append to city.journal: the process has to start again")?;
        let effects: Vec<_> = round.iter().flat_map(|sequenced| &sequenced.effects).map(|(topic, event)| (topic.as_str(), event.to_kafka())).collect();
        send(&self.effects, &effects).await.context("could not produce an effect: the process has to start again")?;
        if !round.is_empty() {
            debug!(records = round.len(), effects = effects.len(), "appended a round");
        }
        Ok(positions)
    }

    fn snapshot(&mut self) -> Result<()> {
        let (next_seq, [line, state]) = {
            let core = self.core.lock().expect("the core is never poisoned");
            (core.next_seq(), core.snapshot())
        };
        self.snapshot_bytes = (line.len() + state.len()) as u64;
        self.snapshots.write(next_seq, &[&line, &state])
    }
}

/// Why the brain refused a command, if it did: it says so in a decision of its record.
fn refusal(sequenced: &Sequenced) -> Option<String> {
    let decisions = sequenced.effects.iter().filter(|(topic, _)| topic == schemas::topics::DECISION);
    let mut read = decisions.filter_map(|(_, event)| event.data_json().ok());
    read.find(|decision| decision["kind"] == "refused").map(|decision| decision["reason"].as_str().unwrap_or_default().to_owned())
}

/// What a person corrected or confirmed of a case: the record that opened it, what it is about, and what is right. The same
/// steps are the rows of `gold.label`.
fn said_by_a_person(sequenced: &Sequenced) -> Option<(u64, Task, String)> {
    let record = JournalRecord::from_json(&sequenced.json).ok()?;
    let Body::Command(command) = &record.body else { return None };
    let (task, change, to) = match command.action {
        Action::Recategorise => (Task::Category, "recategorised", "assigned"),
        Action::Assign | Action::Transfer => (Task::Unit, "moved", "assigned"),
        Action::Approve | Action::Dispatch => (Task::Unit, "moved", "processing"),
        _ => return None,
    };
    let steps = sequenced.effects.iter().filter(|(topic, _)| topic == schemas::topics::CASE).filter_map(|(_, event)| event.data_json().ok());
    let step = steps.into_iter().find(|step| step["change"] == change && step["to"] == to)?;
    let seq = command.target.strip_prefix("case-")?.parse().ok()?;
    Some((seq, task, step[task.name()].as_str()?.to_owned()))
}

/// Sends records in their order; gives their positions when the bus has them all.
pub async fn send(producer: &Producer, records: &[(&str, KafkaRecord)]) -> Result<Vec<Position>> {
    let outgoing: Vec<_> = records.iter().map(|(topic, record)| Outgoing { topic, record, timestamp_ms: None }).collect();
    let sent = producer.send_all(&outgoing).await?;
    Ok(sent.into_iter().collect::<Result<_, _>>()?)
}
