//! What people read over HTTP: live state from the brain in memory, history from the lake, the past of a stream from the bus.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bus::Bus;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use gateway::hub::StreamItem;
use gateway::open311::{Found, Search, Service};
use gateway::view::{Commanded, FeedEntry, Health, Ranges, Replay, SqlAnswer, SqlRequest};
use gateway::{CityView, Kind, ListQuery, Page, Types, ViewError};
use lakehouse::{AsOf, Lake, Mask};
use schemas::journal::{Body, Command};
use serde::Serialize;
use serde_json::{Value, json};

use crate::agents;
use crate::graph_door;
use crate::jobs::Jobs;
use crate::lang::t;
use crate::lake::{self, quoted, text};
use crate::parts::Parts;
use crate::scan::scan_ranges;
use crate::sequencer::SequencerHandle;
use crate::understanding::lock;

/// The view of a running brain.
pub struct View {
    /// The decision plane, when it runs in this process.
    pub sequencer: Option<SequencerHandle>,
    /// The language model, when agents ask one in this process.
    pub language: Option<Arc<dyn llm::Backend>>,
    /// The lake.
    pub lake: Lake,
    /// The bus.
    pub bus: Bus,
    /// The parts of this process.
    pub parts: Arc<Parts>,
    /// The jobs of this process.
    pub jobs: Jobs,
    /// The event types in force: they say what is personal.
    pub types: Arc<Types>,
}

impl View {
    fn sequencer(&self) -> Result<&SequencerHandle, ViewError> {
        self.sequencer.as_ref().ok_or_else(|| ViewError::Unavailable {
            en: "the brain does not run in this process".to_owned(),
            zh: "本进程没有运行决策核心".to_owned(),
        })
    }

    /// What is in live state, each by its id.
    fn live(&self, kind: Kind, query: &ListQuery) -> Result<Page, ViewError> {
        let core = self.sequencer()?.core.lock().expect("the core is never poisoned");
        let brain = core.brain();
        Ok(match kind {
            Kind::Alert => query.page(brain.alerts().map(|alert| (alert.id.as_str(), move || item(alert)))),
            Kind::Case => query.page(brain.cases().map(|case| (case.id.as_str(), move || item(case)))),
            Kind::Incident => query.page(brain.incidents().map(|incident| (incident.id.as_str(), move || item(incident)))),
        })
    }

    fn live_one(&self, kind: Kind, id: &str) -> Option<Value> {
        let core = self.sequencer.as_ref()?.core.lock().expect("the core is never poisoned");
        let brain = core.brain();
        match kind {
            Kind::Alert => brain.alert(id).map(item),
            Kind::Case => brain.case(id).map(item),
            Kind::Incident => brain.incidents().find(|incident| incident.id == id).map(item),
        }
    }

    /// The latest row of something that has left live state.
    async fn past_one(&self, kind: Kind, id: &str) -> Result<Option<Value>, ViewError> {
        let condition = match kind {
            Kind::Alert => format!("silver.alert_transition WHERE alert = {0} OR alert_key = {0}", quoted(id)),
            Kind::Case => format!("silver.case_transition WHERE \"case\" = {}", quoted(id)),
            Kind::Incident => format!("silver.incident_transition WHERE incident = {}", quoted(id)),
        };
        let rows = lake::rows(&self.lake, &format!("SELECT * FROM {condition} ORDER BY id DESC LIMIT 1")).await.map_err(failed)?;
        Ok(rows.into_iter().next().map(Value::Object))
    }
}

/// What the brain holds, without what is its own business.
fn item<T: Serialize>(value: &T) -> Value {
    let mut value = serde_json::to_value(value).expect("state has only text, integers and finite angles");
    if let Some(fields) = value.as_object_mut() {
        for own in ["pending", "lower", "found", "clears", "cap_refs", "cancelled", "timeline", "key", "place", "leaves", "handling"] {
            fields.remove(own);
        }
        for (name, from) in [("updated", "changed"), ("updated", "moved"), ("updated", "last")] {
            if let Some(time) = fields.get(from).cloned() {
                fields.insert(name.to_owned(), time);
            }
        }
    }
    value
}

fn failed(error: impl std::fmt::Display) -> ViewError {
    ViewError::Failed(format!("{error:#}"))
}

fn wrong(error: impl std::fmt::Display) -> ViewError {
    ViewError::Wrong { en: error.to_string(), zh: format!("查询无法执行：{error}") }
}

impl CityView for View {
    fn list<'a>(&'a self, kind: Kind, query: &'a ListQuery) -> BoxFuture<'a, Result<Page, ViewError>> {
        let page = self.live(kind, query);
        async move { page }.boxed()
    }

    fn get<'a>(&'a self, kind: Kind, id: &'a str) -> BoxFuture<'a, Result<Option<Value>, ViewError>> {
        async move {
            match self.live_one(kind, id) {
                Some(found) => Ok(Some(found)),
                None => self.past_one(kind, id).await,
            }
        }
        .boxed()
    }

    fn why<'a>(&'a self, kind: Kind, id: &'a str) -> BoxFuture<'a, Result<Option<Value>, ViewError>> {
        async move {
            if self.get(kind, id).await?.is_none() {
                return Ok(None);
            }
            let why = crate::why::why(&self.lake, id).await.map_err(failed)?;
            serde_json::to_value(why).map(Some).map_err(failed)
        }
        .boxed()
    }

    fn cap<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<String>, ViewError>> {
        async move {
            let query = format!(
                "SELECT cap FROM silver.alert_transition WHERE (alert = {0} OR alert_key = {0} OR id = {0}) AND cap IS NOT NULL ORDER BY id DESC LIMIT 1",
                quoted(id)
            );
            let rows = lake::rows(&self.lake, &query).await.map_err(failed)?;
            Ok(rows.first().map(|row| text(row, "cap").to_owned()))
        }
        .boxed()
    }

    fn feed(&self, limit: usize) -> BoxFuture<'_, Result<Vec<FeedEntry>, ViewError>> {
        let entries = self.sequencer().map(|sequencer| {
            let core = sequencer.core.lock().expect("the core is never poisoned");
            let mut alerts: Vec<_> = core.brain().alerts().collect();
            alerts.sort_by(|left, right| (right.changed, &right.id).cmp(&(left.changed, &left.id)));
            let entry = |alert: &&brain::Alert| FeedEntry {
                id: alert.id.clone(),
                title_zh: alert.headline.zh.clone(),
                title_en: alert.headline.en.clone(),
                updated: alert.changed,
                published: alert.onset,
            };
            alerts.iter().take(limit).map(entry).collect()
        });
        async move { entries }.boxed()
    }

    fn command(&self, command: Value) -> BoxFuture<'_, Result<Commanded, ViewError>> {
        async move {
            let command: Command = serde_json::from_value(command).map_err(|error| ViewError::Wrong {
                en: format!("the command is not {{\"command_id\", \"action\", \"target\", \"actor\", \"reason\", ...}}: {error}"),
                zh: format!("命令应含 command_id、action、target、actor、reason：{error}"),
            })?;
            let (position, refused) = self.sequencer()?.command(Body::Command(command)).await.map_err(failed)?;
            Ok(Commanded { position, refused })
        }
        .boxed()
    }

    fn graph(&self) -> Result<Value, ViewError> {
        let core = self.sequencer()?.core.lock().expect("the core is never poisoned");
        Ok(graph_door::summary(core.brain().graph()))
    }

    fn graph_table(&self, name: &str) -> Result<Option<Value>, ViewError> {
        let core = self.sequencer()?.core.lock().expect("the core is never poisoned");
        Ok(graph_door::table(core.brain().graph(), name))
    }

    fn change_graph(&self, asked: Value) -> BoxFuture<'_, Result<Value, ViewError>> {
        async move { graph_door::change(self.sequencer()?, asked).await }.boxed()
    }

    fn sql(&self, request: SqlRequest) -> BoxFuture<'_, Result<SqlAnswer, ViewError>> {
        async move {
            let as_of = request.as_of.as_deref().map(str::parse::<AsOf>).transpose().map_err(wrong)?;
            let stream = match request.masked {
                true => self.lake.sql_masked(&request.query, as_of, Arc::new(Mask::of(&self.types.now()))).await,
                false => self.lake.sql(&request.query, as_of).await,
            };
            let stream = stream.map_err(wrong)?;
            let schema = stream.schema();
            Ok(SqlAnswer { schema, batches: stream.map(|batch| batch.map_err(wrong)).boxed() })
        }
        .boxed()
    }

    fn replay_from<'a>(&'a self, ranges: &'a Ranges, limit: usize) -> BoxFuture<'a, Result<Replay, ViewError>> {
        async move {
            let mut items: Vec<StreamItem> = Vec::new();
            let whole = scan_ranges(&self.bus, ranges, |chunk| {
                items.extend(StreamItem::from_bronze(&chunk.rows));
                items.len() < limit
            })
            .await
            .map_err(failed)?;
            if !whole {
                return Ok(Replay::TooOld);
            }
            items.retain(|item| ranges.get(&(item.position.topic.clone(), item.position.partition)).is_some_and(|range| range.contains(&item.position.offset)));
            items.truncate(limit);
            Ok(Replay::Events(items))
        }
        .boxed()
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        let mut parts = self.parts.health();
        if let Some(sequencer) = &self.sequencer {
            let core = sequencer.core.lock().expect("the core is never poisoned");
            let exercises = core.brain().exercises().count();
            parts.push(("mode".to_owned(), true, format!("{}; {exercises} {}", core.brain().mode().name(), t("场演练", "exercise(s)"))));
        }
        async move { Health { parts } }.boxed()
    }

    fn models(&self) -> Value {
        let nothing = || json!({ "items": [], "problems": [], "panics": 0 });
        let mut models = self.sequencer.as_ref().map_or_else(nothing, |sequencer| lock(&sequencer.models).report());
        if let Some(language) = &self.language {
            models["language"] = json!({ "card": language.card(), "metrics": language.metrics() });
        }
        if let Some(sequencer) = &self.sequencer {
            let core = sequencer.core.lock().expect("the core is never poisoned");
            let [asked, answered, decided] = core.brain().asked();
            models["asking"] = json!({ "permille": core.brain().ask_permille(), "asked": asked, "answered": answered, "decided": decided, "waiting": core.brain().awaited().count() });
        }
        models
    }

    fn alerting(&self) -> Result<Value, ViewError> {
        let core = self.sequencer()?.core.lock().expect("the core is never poisoned");
        let brain = core.brain();
        Ok(json!({
            "mode": brain.mode(),
            "exercises": brain.exercises().map(item).collect::<Vec<_>>(),
            "silences": brain.silences().map(item).collect::<Vec<_>>(),
            "groups": brain.groups().map(item).collect::<Vec<_>>(),
            "load": brain.alarm_load(),
        }))
    }

    fn services(&self) -> Result<Vec<Service>, ViewError> {
        let core = self.sequencer()?.core.lock().expect("the core is never poisoned");
        Ok(crate::requests::services(core.brain().graph()))
    }

    fn requests<'a>(&'a self, search: &'a Search) -> BoxFuture<'a, Result<Found, ViewError>> {
        let core = || Ok(self.sequencer()?.core.lock().expect("the core is never poisoned"));
        let live = core().map(|core| crate::requests::live(core.brain(), search));
        async move {
            let mut found = live?;
            if !search.live {
                crate::requests::complete(&self.lake, search, &mut found).await.map_err(failed)?;
            }
            crate::requests::name(core()?.brain().graph(), &mut found);
            Ok(found)
        }
        .boxed()
    }

    fn jobs(&self) -> Value {
        serde_json::to_value(self.jobs.reports()).expect("a report is text and finite numbers")
    }

    fn metrics(&self) -> String {
        let mut text = self.parts.metrics();
        text.push_str(&crate::jobs::metrics(&self.jobs.reports()));
        if let Some(sequencer) = &self.sequencer {
            text.push_str(&lock(&sequencer.models).metrics());
            let core = sequencer.core.lock().expect("the core is never poisoned");
            let counts = core.brain().counts();
            for (name, help, value) in [
                ("records", "Records applied by the brain.", counts.records),
                ("cases", "Cases opened.", counts.cases),
                ("alerts", "Alerts raised.", counts.alerts),
                ("notifications", "Notifications that told somebody.", counts.notifications),
                ("suppressed", "Notifications that something kept from being sent.", counts.suppressed),
                ("incidents", "Incidents begun.", counts.incidents),
                ("malformed", "Records that could not be understood.", counts.malformed),
                ("duplicates", "Requests and messages that were there already.", counts.duplicates),
            ] {
                text.push_str(&format!("# HELP citybrain_brain_{name}_total {help}\n# TYPE citybrain_brain_{name}_total counter\ncitybrain_brain_{name}_total {value}\n"));
            }
            text.push_str("# HELP citybrain_unit_notifications_total Notifications that a unit was sent.\n# TYPE citybrain_unit_notifications_total counter\n");
            for (unit, count) in core.brain().alarm_load() {
                text.push_str(&format!("citybrain_unit_notifications_total{{unit=\"{unit}\"}} {count}\n"));
            }
        }
        if let Some(language) = &self.language {
            text.push_str(&agents::metrics(&language.metrics()));
        }
        let restarts = self.parts.restarts.load(Ordering::Relaxed);
        text.push_str(&format!("# HELP citybrain_restarts_total Restarts of the parts after a failure.\n# TYPE citybrain_restarts_total counter\ncitybrain_restarts_total {restarts}\n"));
        text
    }
}
