//! What people read, as the doors ask for it. The binary answers; the doors know nothing of tables or of the brain.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use schemas::Position;
use serde_json::Value;

use crate::hub::StreamItem;
use crate::open311::{Found, Search, Service};
use crate::query::{ListQuery, Page};

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Alerts.
    Alert,
    /// Cases.
    Case,
    /// Incidents.
    Incident,
}

impl Kind {
    /// The word in paths.
    pub fn path(self) -> &'static str {
        match self {
            Kind::Alert => "alerts",
            Kind::Case => "cases",
            Kind::Incident => "incidents",
        }
    }
}

/// Why a question has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ViewError {
    /// The question is wrong.
    #[error("{en}")]
    Wrong {
        /// What is wrong, in English.
        en: String,
        /// What is wrong, in Chinese.
        zh: String,
    },
    /// It has changed since whoever asks looked at it.
    #[error("{en}")]
    Conflict {
        /// What has changed, in English.
        en: String,
        /// What has changed, in Chinese.
        zh: String,
        /// Its version now.
        version: String,
    },
    /// It is understood and cannot be done.
    #[error("{en}")]
    Refused {
        /// Why, in English.
        en: String,
        /// Why, in Chinese.
        zh: String,
        /// What is wrong with each part: its key, and the problem.
        problems: Vec<(String, String)>,
    },
    /// This part does not run here, or not yet.
    #[error("{en}")]
    Unavailable {
        /// What is missing, in English.
        en: String,
        /// What is missing, in Chinese.
        zh: String,
    },
    /// It took too long.
    #[error("the answer took too long")]
    Timeout,
    /// Something of ours failed; the text is for the log, not for the asker.
    #[error("{0}")]
    Failed(String),
}

/// One SQL query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlRequest {
    /// One statement that reads.
    pub query: String,
    /// A time or a version.
    pub as_of: Option<String>,
    /// Whether who asks may see no personal data.
    pub masked: bool,
}

/// A command that has its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commanded {
    /// The place.
    pub position: Position,
    /// Why it was not carried out, if the law of cases and alerts does not allow it.
    pub refused: Option<String>,
}

/// The answer to a query.
pub struct SqlAnswer {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub batches: BoxStream<'static, Result<RecordBatch, ViewError>>,
}

/// A past alert for the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEntry {
    /// The alert's id.
    pub id: String,
    /// Headline, in Chinese.
    pub title_zh: String,
    /// Headline, in English.
    pub title_en: String,
    /// Last change.
    pub updated: DateTime<Utc>,
    /// First raised.
    pub published: DateTime<Utc>,
}

/// Whether the parts are ready.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Each part: name, whether it is ready, and a few words.
    pub parts: Vec<(String, bool, String)>,
}

/// The answer to a returning stream client.
#[derive(Debug, Clone)]
pub enum Replay {
    /// Events within the asked ranges, of each partition in order and without gaps; fewer than asked means: all.
    Events(Vec<StreamItem>),
    /// Some of it is no longer held.
    TooOld,
}

/// Offsets still to be sent, of each topic and partition: from the start up to, not including, the end.
pub type Ranges = BTreeMap<(String, i32), Range<i64>>;

fn no_requests() -> ViewError {
    ViewError::Unavailable { en: "requests are not known in this process".to_owned(), zh: "本进程不掌握诉求".to_owned() }
}

fn no_graph() -> ViewError {
    ViewError::Unavailable { en: "the graph is not known in this process".to_owned(), zh: "本进程不掌握图谱".to_owned() }
}

/// What the binary answers. All functions may be called at the same time.
pub trait CityView: Send + Sync + 'static {
    /// A page. `query.after` is the key that [`Page::next`] gave; use [`ListQuery::page`] over items sorted by key.
    fn list<'a>(&'a self, kind: Kind, query: &'a ListQuery) -> BoxFuture<'a, Result<Page, ViewError>>;

    /// One of them.
    fn get<'a>(&'a self, kind: Kind, id: &'a str) -> BoxFuture<'a, Result<Option<Value>, ViewError>>;

    /// Its way back to log positions, and forward.
    fn why<'a>(&'a self, kind: Kind, id: &'a str) -> BoxFuture<'a, Result<Option<Value>, ViewError>>;

    /// An alert's CAP 1.2 document.
    fn cap<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<String>, ViewError>>;

    /// The latest alerts for the feed, newest first, at most `limit`.
    fn feed(&self, limit: usize) -> BoxFuture<'_, Result<Vec<FeedEntry>, ViewError>>;

    /// Takes a person's command; answers once it is durable.
    fn command(&self, command: Value) -> BoxFuture<'_, Result<Commanded, ViewError>>;

    /// The live graph in a few words, as a JSON object.
    fn graph(&self) -> Result<Value, ViewError> {
        Err(no_graph())
    }

    /// A table of the live graph, as a JSON object; nothing when it has none of that name.
    fn graph_table(&self, _name: &str) -> Result<Option<Value>, ViewError> {
        Err(no_graph())
    }

    /// Takes a person's change of the graph; answers with what changed once it is durable.
    fn change_graph(&self, _asked: Value) -> BoxFuture<'_, Result<Value, ViewError>> {
        Box::pin(async { Err(no_graph()) })
    }

    /// Runs a query that only reads.
    fn sql(&self, request: SqlRequest) -> BoxFuture<'_, Result<SqlAnswer, ViewError>>;

    /// Past events for a returning stream client, at most `limit`.
    fn replay_from<'a>(&'a self, ranges: &'a Ranges, limit: usize) -> BoxFuture<'a, Result<Replay, ViewError>>;

    /// Whether the parts are ready.
    fn health(&self) -> BoxFuture<'_, Health>;

    /// The kinds of matters that people can report.
    fn services(&self) -> Result<Vec<Service>, ViewError> {
        Err(no_requests())
    }

    /// Reported matters, the newest first.
    fn requests<'a>(&'a self, _search: &'a Search) -> BoxFuture<'a, Result<Found, ViewError>> {
        Box::pin(async { Err(no_requests()) })
    }

    /// The streaming jobs of this process, as a list of JSON objects.
    fn jobs(&self) -> Value {
        Value::Array(Vec::new())
    }

    /// The small models that are asked about messages, with their figures: a JSON object with `items`, `problems` and `panics`.
    fn models(&self) -> Value {
        serde_json::json!({ "items": [], "problems": [], "panics": 0 })
    }

    /// What goes on around the alerts: mode, exercises, silences, groups and how often each unit was told, as a JSON object.
    fn alerting(&self) -> Result<Value, ViewError> {
        Ok(Value::Object(serde_json::Map::new()))
    }

    /// Metrics of everything but the doors, as Prometheus text without `# EOF`.
    fn metrics(&self) -> String;
}
