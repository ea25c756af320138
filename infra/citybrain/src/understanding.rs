//! What is asked about a message before it gets its number: the models of the home, and the reader.
//!
//! The answer goes into the journal beside the message ([`schemas::understood`]), so that nobody who replays has to ask
//! again. It costs a fraction of a millisecond; a panic inside is caught and means that nothing was understood. Models come
//! from `<home>/models` and are looked for again every few seconds: one that was promoted acts without a restart, and one
//! that cannot be read is told of and is not there.
//!
//! The model that is called like its task (`category`, `unit`) acts. The shadow of that name, and whatever other models of
//! the home have that task, are asked too, and never act.

mod figures;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{NaiveDateTime, TimeDelta};
use graph::Graph;
use guard::Filter;
use learn::{Input, Model, Prediction, Scratch};
use offline::store::{Columns, Store};
use schemas::journal::{Body, WorkOrder};
use schemas::signal::MicroDeg;
use schemas::understood::{Mention, Opinion, Role, RunnerUp, Task, Understood};
use text::{Reader, SpanKind};
use tracing::{info, warn};

pub use self::figures::Figures;

/// How often the home's models and the graph are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Models that are asked for one task; each costs a fraction of a millisecond.
const ASKED_MAX: usize = 4;
/// Labels that are told behind the likeliest.
const RUNNERS_UP: usize = 2;
/// Words that are kept of those that made a message urgent.
const WORDS_MAX: usize = 8;

/// A model that is asked.
struct Asked {
    name: String,
    digest: String,
    task: Task,
    role: Role,
    columns: Columns,
    model: Arc<Model>,
}

/// Which model has which place: what is compared to find out whether something changed.
type Wanted = (Task, Role, String, String);

/// Whoever is asked about messages.
pub struct Understanding {
    store: Store,
    utc_offset: TimeDelta,
    reader: Option<Reader>,
    filter: Filter,
    /// Whether messages are read where no small model is asked, too.
    reads: bool,
    graph_version: String,
    asked: Vec<Asked>,
    /// What the home wanted when it was looked at last, and what was wrong with it.
    wanted: (Vec<Wanted>, Vec<String>),
    looked: Option<Instant>,
    scratch: Scratch,
    figures: Arc<Mutex<Figures>>,
}

/// What a message or an order says of itself.
struct Message<'a> {
    text: &'a str,
    category: &'a str,
    places: [&'a str; 2],
    time_us: Option<i64>,
}

impl Understanding {
    /// The models of a home, not yet looked at.
    pub fn of(home: &Path, utc_offset_minutes: i32) -> Understanding {
        Understanding {
            store: Store::open(home),
            utc_offset: TimeDelta::minutes(utc_offset_minutes.into()),
            reader: None,
            filter: Filter::builtin(),
            reads: false,
            graph_version: String::new(),
            asked: Vec::new(),
            wanted: Default::default(),
            looked: None,
            scratch: Scratch::default(),
            figures: Arc::default(),
        }
    }

    /// The same, and messages are read in any case when `reads`: a language model is asked about nothing that nobody has read for
    /// orders to machines.
    pub fn reading(self, reads: bool) -> Understanding {
        Understanding { reads, ..self }
    }

    /// How the models are doing, for whoever shows it.
    pub fn figures(&self) -> Arc<Mutex<Figures>> {
        self.figures.clone()
    }

    /// Takes in what has changed in the home and in the graph, when the last look was long enough ago. `graph` gives the
    /// live graph if its version is another one than this.
    pub fn look(&mut self, graph: impl FnOnce(&str) -> Option<Graph>) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        let (wanted, mut problems) = wanted(&self.store);
        let (asked, more) = load(&self.store, &wanted, &self.asked);
        problems.extend(more);
        if (&wanted, &problems) != (&self.wanted.0, &self.wanted.1) {
            for asked in &asked {
                info!(task = asked.task.name(), model = asked.name, digest = asked.digest, role = asked.role.name(), "a model is asked");
            }
            for problem in &problems {
                warn!(problem, "a model cannot be used");
            }
            lock(&self.figures).take_in(asked.iter().map(|it| (it.task, it.role, it.name.as_str(), it.digest.as_str(), &it.model)), problems.clone());
            self.asked = asked;
            self.wanted = (wanted, problems);
        }
        if self.is_needed()
            && let Some(graph) = graph(&self.graph_version)
        {
            self.reader = Some(Reader::new(&graph));
            self.graph_version = graph.version();
        }
    }

    /// What is understood of a message or an order with a text; nothing of anything else.
    pub fn understand(&mut self, event_type: &str, data: &str, time_us: Option<i64>) -> Option<Understood> {
        if !self.is_needed() || (!event_type.contains("hotline.message") && !event_type.contains("workorder.created")) {
            return None;
        }
        let body = Body::from_event(event_type, None, data.as_bytes());
        let message = message_of(&body, time_us.map(|us| us.saturating_add(self.utc_offset.num_microseconds().unwrap_or(0))))?;
        match catch_unwind(AssertUnwindSafe(|| self.ask(&message))) {
            Ok(understood) => Some(understood),
            Err(_) => {
                // What it was at may be half done.
                self.scratch = Scratch::default();
                lock(&self.figures).panicked();
                warn!("reading a message failed inside; it is decided on without");
                None
            }
        }
    }

    /// Where no model is asked, everything stays as the rules alone have it.
    fn is_needed(&self) -> bool {
        self.reads || !self.asked.is_empty()
    }

    fn ask(&mut self, message: &Message<'_>) -> Understood {
        let mut understood = match &self.reader {
            Some(reader) => read(reader, message, self.utc_offset),
            None => Understood::default(),
        };
        understood.stopped = self.filter.stops(message.text);
        understood.chars = u32::try_from(message.text.chars().count()).unwrap_or(u32::MAX);
        for asked in &self.asked {
            let texts = texts(&asked.columns, message.text);
            let fields = fields(&asked.columns, message);
            let input = Input { texts: &texts, fields: &fields, time_us: message.time_us.filter(|_| asked.columns.time.is_some()) };
            let prediction = asked.model.predict(&input, &mut self.scratch);
            lock(&self.figures).observe(&asked.name, &asked.digest, asked.model.card(), &input, &prediction);
            understood.opinions.extend(opinion(asked, &prediction));
        }
        lock(&self.figures).compare(&understood.opinions);
        understood
    }
}

/// Which models the home wants to be asked, the active ones before their shadows, and what is wrong.
fn wanted(store: &Store) -> (Vec<Wanted>, Vec<String>) {
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut problems = Vec::new();
    let names = store.names().unwrap_or_else(|error| {
        problems.push(format!("{error:#}"));
        Vec::new()
    });
    for name in names {
        let found = store.state(&name).and_then(|state| Ok((state, store.stored(&name)?)));
        let (state, stored) = match found {
            Ok(found) => found,
            Err(error) => {
                problems.push(format!("{name}: {error:#}"));
                continue;
            }
        };
        for (digest, is_active) in state.active.into_iter().map(|digest| (digest, true)).chain(state.shadow.into_iter().map(|digest| (digest, false))) {
            let card = stored.iter().find(|stored| stored.digest == digest);
            let Some(task) = card.and_then(|stored| Task::ALL.into_iter().find(|task| task.name() == stored.card.task)) else { continue };
            let role = if is_active && name == task.name() { Role::Active } else { Role::Shadow };
            wanted.push((task, role, name.clone(), digest));
        }
    }
    wanted.sort();
    let mut count = BTreeMap::new();
    wanted.retain(|(task, ..)| {
        let count = count.entry(*task).or_insert(0);
        *count += 1;
        *count <= ASKED_MAX
    });
    (wanted, problems)
}

/// Loads what is not there yet. What cannot be loaded is told of, and not asked.
fn load(store: &Store, wanted: &[Wanted], known: &[Asked]) -> (Vec<Asked>, Vec<String>) {
    let mut asked = Vec::new();
    let mut problems = Vec::new();
    for (task, role, name, digest) in wanted {
        let loaded = match known.iter().find(|known| known.digest == *digest && known.name == *name) {
            Some(known) => Ok((known.model.clone(), known.columns.clone())),
            None => store.load(name, digest).and_then(|model| Ok((Arc::new(model), store.find(name, digest)?.columns))),
        };
        match loaded {
            Ok((model, columns)) => asked.push(Asked { name: name.clone(), digest: digest.clone(), task: *task, role: *role, columns, model }),
            Err(error) => problems.push(format!("{name}: {error:#}")),
        }
    }
    (asked, problems)
}

fn message_of(body: &Body, time_us: Option<i64>) -> Option<Message<'_>> {
    let (text, category, district, address) = match body {
        Body::Hotline(message) => (Some(&message.text), &message.category, &message.district, &message.address),
        Body::WorkOrder(WorkOrder::Created(order)) => (order.description.as_ref(), &order.category, &order.district, &order.address),
        _ => return None,
    };
    let text = text.map(String::as_str).filter(|text| !text.trim().is_empty())?;
    Some(Message { text, category: category.as_deref().unwrap_or_default(), places: [district.as_deref().unwrap_or_default(), address.as_deref().unwrap_or_default()], time_us })
}

/// A model that knows titles gets an empty one: a message has none.
fn texts<'a>(columns: &Columns, text: &'a str) -> Vec<&'a str> {
    if columns.text.len() > 1 { vec!["", text] } else { vec![text] }
}

/// The other columns that a model was trained on, by the names that training gave them.
fn fields<'a>(columns: &Columns, message: &Message<'a>) -> Vec<(&'a str, &'a str)> {
    let kind = columns.kind.iter().map(|_| ("type", message.category));
    kind.chain(columns.place.iter().zip(["place", "place2"]).zip(message.places).map(|((_, name), place)| (name, place))).collect()
}

fn opinion(asked: &Asked, prediction: &Prediction<'_>) -> Option<Opinion> {
    let (label, confidence) = prediction.ranked.first()?;
    let runners_up = prediction.ranked.iter().skip(1).take(RUNNERS_UP);
    Some(Opinion {
        task: asked.task,
        model: asked.name.clone(),
        digest: asked.digest.clone(),
        role: asked.role,
        label: (*label).to_owned(),
        permille: permille(*confidence),
        accepted: prediction.accepted,
        familiar_permille: permille(prediction.familiarity),
        runners_up: runners_up.map(|(label, share)| RunnerUp { label: (*label).to_owned(), permille: permille(*share) }).collect(),
    })
}

/// Thousandths of a share; what is no number is none.
fn permille(share: f32) -> u32 {
    (share.clamp(0.0, 1.0) * 1000.0).round() as u32
}

fn read(reader: &Reader, message: &Message<'_>, utc_offset: TimeDelta) -> Understood {
    let local = message.time_us.and_then(|us| chrono::DateTime::from_timestamp_micros(us)).map(|time| time.naive_utc());
    let reading = reader.read(message.text, local);
    let chars: Vec<char> = message.text.chars().take(text::limits::READ_CHARS_MAX).collect();
    let mut words: Vec<String> = Vec::new();
    for span in reading.spans.iter().filter(|span| matches!(span.kind, SpanKind::Risk | SpanKind::Urgency)) {
        let word: String = chars.get(span.start..span.end.min(chars.len())).unwrap_or_default().iter().collect();
        if words.len() < WORDS_MAX && !word.is_empty() && !words.contains(&word) {
            words.push(word);
        }
    }
    Understood {
        chars: 0,
        opinions: Vec::new(),
        intent: Some(reading.wanted.intent.id().to_owned()),
        urgency: Some(reading.urgency),
        risk_to_life: reading.risk_to_life,
        words,
        event_time: reading.moment.and_then(|moment: text::moment::Moment| utc(moment.at, utc_offset)),
        place: reading.place.map(|place| Mention {
            text: place.text,
            start: place.start as u32,
            end: place.end as u32,
            node: place.node,
            lat: place.lat.and_then(MicroDeg::from_degrees),
            lon: place.lon.and_then(MicroDeg::from_degrees),
        }),
        injection: reading.injection,
        stopped: Vec::new(),
    }
}

fn utc(local: NaiveDateTime, utc_offset: TimeDelta) -> Option<chrono::DateTime<chrono::Utc>> {
    local.checked_sub_signed(utc_offset).map(|time| time.and_utc())
}

/// The figures, also after a panic while they were held: they are only counts.
pub fn lock(figures: &Mutex<Figures>) -> MutexGuard<'_, Figures> {
    figures.lock().unwrap_or_else(PoisonError::into_inner)
}
