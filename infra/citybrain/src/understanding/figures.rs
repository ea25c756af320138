//! How the models are doing since the process started: what they see and answer against what they were trained on, how often
//! they agree with the model that acts, and how often people agreed with them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use learn::drift::{self, Histograms, INDEX_GRAVE};
use learn::{Card, Input, Model, Prediction};
use schemas::understood::{Opinion, Role, Task};
use serde_json::{Value, json};

/// Answers of one window; shown are the one that runs and the one before.
const WINDOW_ANSWERS: u64 = 5_000;
/// Answers below which histograms say nothing about drift.
const DRIFT_ANSWERS_MIN: u64 = 200;
/// Cases whose opinions are remembered until people have their say, the latest: some weeks of a large city.
const CASES_REMEMBERED: usize = 50_000;

/// How often two said the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Agreement {
    compared: u64,
    agreed: u64,
}

impl Agreement {
    fn count(&mut self, agree: bool) {
        self.compared += 1;
        self.agreed += u64::from(agree);
    }

    fn json(self) -> Value {
        json!({ "compared": self.compared, "agreed": self.agreed })
    }
}

/// One model.
struct Watched {
    task: Task,
    role: Role,
    name: String,
    digest: String,
    model: Arc<Model>,
    before: Histograms,
    now: Histograms,
    answers: u64,
    accepted: u64,
    /// With the model that acts; for a shadow.
    active: Agreement,
    /// With what people corrected and confirmed.
    people: Agreement,
}

/// What one model thought of a case.
struct Thought {
    task: Task,
    digest: String,
    label: String,
}

/// The figures of all models that are asked.
#[derive(Default)]
pub struct Figures {
    models: Vec<Watched>,
    problems: Vec<String>,
    panics: u64,
    cases: BTreeMap<u64, Vec<Thought>>,
    order: VecDeque<u64>,
}

impl Figures {
    /// These are asked from now on; what was counted of one that stays is kept.
    pub(super) fn take_in<'a>(&mut self, asked: impl Iterator<Item = (Task, Role, &'a str, &'a str, &'a Arc<Model>)>, problems: Vec<String>) {
        let mut known = std::mem::take(&mut self.models);
        let watch = |(task, role, name, digest, model): (Task, Role, &str, &str, &Arc<Model>)| match known.iter().position(|it| it.name == name && it.digest == digest) {
            Some(at) => Watched { role, ..known.swap_remove(at) },
            None => Watched::new(task, role, name, digest, model),
        };
        self.models = asked.map(watch).collect();
        self.problems = problems;
    }

    pub(super) fn panicked(&mut self) {
        self.panics += 1;
    }

    /// Counts an answer.
    pub(super) fn observe(&mut self, name: &str, digest: &str, card: &Card, input: &Input<'_>, prediction: &Prediction<'_>) {
        let Some(watched) = self.models.iter_mut().find(|it| it.name == name && it.digest == digest) else { return };
        if watched.now.answers() >= WINDOW_ANSWERS {
            watched.before = std::mem::replace(&mut watched.now, Histograms::new(card.labels.len()));
        }
        watched.now.observe(card, input, prediction);
        watched.answers += 1;
        watched.accepted += u64::from(prediction.accepted);
    }

    /// Compares the shadows with the models that act.
    pub(super) fn compare(&mut self, opinions: &[Opinion]) {
        let active = |task: Task| opinions.iter().find(|opinion| opinion.task == task && opinion.role == Role::Active);
        for shadow in opinions.iter().filter(|opinion| opinion.role == Role::Shadow) {
            let watched = self.models.iter_mut().find(|it| it.name == shadow.model && it.digest == shadow.digest);
            if let (Some(watched), Some(active)) = (watched, active(shadow.task)) {
                watched.active.count(active.label == shadow.label);
            }
        }
    }

    /// Remembers what was thought of the report that became record `seq`, which names its case.
    pub fn numbered(&mut self, seq: u64, opinions: &[Opinion]) {
        let thought = |it: &Opinion| Thought { task: it.task, digest: it.digest.clone(), label: it.label.clone() };
        self.cases.insert(seq, opinions.iter().map(thought).collect());
        self.order.push_back(seq);
        if self.order.len() > CASES_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.cases.remove(&oldest);
        }
    }

    /// A person said what is right for the case that record `seq` opened.
    pub fn person_said(&mut self, seq: u64, task: Task, label: &str) {
        for thought in self.cases.get(&seq).into_iter().flatten().filter(|thought| thought.task == task) {
            if let Some(watched) = self.models.iter_mut().find(|it| it.digest == thought.digest) {
                watched.people.count(thought.label == label);
            }
        }
    }

    /// As JSON: `items`, `problems`, `panics`.
    pub fn report(&self) -> Value {
        json!({ "items": self.models.iter().map(Watched::report).collect::<Vec<_>>(), "problems": self.problems, "panics": self.panics })
    }

    /// As Prometheus text.
    pub fn metrics(&self) -> String {
        let of = |more: &str, value: &dyn Fn(&Watched) -> u64| -> Vec<(String, String)> {
            self.models.iter().map(|it| (it.labels(more), value(it).to_string())).collect()
        };
        let told = |compared: &dyn Fn(&Watched) -> Agreement| {
            let mut samples = of(",agreed=\"true\"", &|it| compared(it).agreed);
            samples.extend(of(",agreed=\"false\"", &|it| compared(it).compared - compared(it).agreed));
            samples
        };
        let drift = |it: &Watched| -> Vec<(String, String)> {
            it.drift().iter().map(|drift| (it.labels(&format!(",what=\"{}\"", drift.what)), format!("{:.4}", drift.index))).collect()
        };
        let single = |value: String| vec![(String::new(), value)];
        let families = [
            ("answers_total", "counter", "Answers of a model.", of("", &|it| it.answers)),
            ("accepted_total", "counter", "Answers of which it was sure.", of("", &|it| it.accepted)),
            ("active_total", "counter", "Answers of a shadow, by whether the model that acts gave the same.", told(&|it| it.active)),
            ("people_total", "counter", "Corrections and confirmations by people, by whether the model had said the same.", told(&|it| it.people)),
            (
                "drift",
                "gauge",
                "Population stability index of the latest messages against the training: above 0.25 they are others.",
                self.models.iter().flat_map(drift).collect(),
            ),
            ("problems", "gauge", "Models of the home that cannot be used.", single(self.problems.len().to_string())),
            ("panics_total", "counter", "Messages on which reading failed inside.", single(self.panics.to_string())),
        ];
        let mut text = String::new();
        for (name, kind, help, samples) in families {
            text.push_str(&format!("# HELP citybrain_model_{name} {help}\n# TYPE citybrain_model_{name} {kind}\n"));
            for (labels, value) in samples {
                text.push_str(&format!("citybrain_model_{name}{labels} {value}\n"));
            }
        }
        text
    }
}

impl Watched {
    fn new(task: Task, role: Role, name: &str, digest: &str, model: &Arc<Model>) -> Watched {
        let empty = Histograms::new(model.card().labels.len());
        Watched {
            task,
            role,
            name: name.to_owned(),
            digest: digest.to_owned(),
            model: model.clone(),
            before: empty.clone(),
            now: empty,
            answers: 0,
            accepted: 0,
            active: Agreement::default(),
            people: Agreement::default(),
        }
    }

    fn labels(&self, more: &str) -> String {
        let (name, digest) = (self.name.replace(['"', '\\', '\n'], "_"), self.digest.get(..12).unwrap_or(&self.digest));
        format!("{{task=\"{}\",role=\"{}\",model=\"{name}\",digest=\"{digest}\"{more}}}", self.task.name(), self.role.name())
    }

    /// What was seen and answered lately.
    fn lately(&self) -> Histograms {
        let add = |a: &[u32], b: &[u32]| a.iter().zip(b).map(|(a, b)| a.saturating_add(*b)).collect();
        let (before, now) = (&self.before, &self.now);
        Histograms {
            confidence: add(&before.confidence, &now.confidence),
            labels: add(&before.labels, &now.labels),
            text_chars: add(&before.text_chars, &now.text_chars),
            familiarity: add(&before.familiarity, &now.familiarity),
        }
    }

    /// How far that is from the training; nothing before there is enough of it.
    fn drift(&self) -> Vec<drift::Drift> {
        let lately = self.lately();
        if lately.answers() < DRIFT_ANSWERS_MIN {
            return Vec::new();
        }
        drift::compare(&self.model.card().reference, &lately)
    }

    fn report(&self) -> Value {
        let card = self.model.card();
        let (lately, drift) = (self.lately(), self.drift());
        let labels: BTreeMap<&str, u32> = card.labels.iter().map(String::as_str).zip(lately.labels.iter().copied()).filter(|(_, count)| *count > 0).collect();
        json!({
            "task": self.task.name(),
            "role": self.role.name(),
            "name": self.name,
            "digest": self.digest,
            "rows": card.rows,
            "answers": self.answers,
            "accepted": self.accepted,
            "confidence": lately.confidence,
            "labels": labels,
            "text_chars": lately.text_chars,
            "familiarity": lately.familiarity,
            "drift": drift.iter().map(|it| json!({ "what": it.what, "index": it.index })).collect::<Vec<_>>(),
            "drifted": drift.iter().any(|it| it.index > INDEX_GRAVE),
            "agreement": self.active.json(),
            "people": self.people.json(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use learn::{Example, Options, Scratch, train};

    fn model() -> Arc<Model> {
        let rows: Vec<[&str; 1]> = ["路灯不亮", "路灯坏了", "井盖丢失", "井盖破损"].iter().map(|text| [*text]).collect();
        let labels = ["lights", "lights", "roads", "roads"];
        let examples: Vec<Example<'_>> =
            rows.iter().zip(labels).map(|(texts, label)| Example { input: Input { texts, fields: &[], time_us: None }, label }).collect();
        Arc::new(train(&examples, &Options::default(), &mut |_| {}).expect("it learns").0)
    }

    fn opinion(role: Role, name: &str, digest: &str, label: &str) -> Opinion {
        let (task, model, digest, label) = (Task::Category, name.to_owned(), digest.to_owned(), label.to_owned());
        Opinion { task, model, digest, role, label, permille: 900, accepted: true, familiar_permille: 1000, runners_up: Vec::new() }
    }

    #[test]
    fn answers_shadows_and_people_are_counted() {
        let model = model();
        let mut figures = Figures::default();
        let both = [(Task::Category, Role::Active, "category", "a", &model), (Task::Category, Role::Shadow, "other", "b", &model)];
        figures.take_in(both.into_iter(), vec!["x: damaged".to_owned()]);
        let mut scratch = Scratch::default();
        let texts = ["门口路灯不亮"];
        let input = Input { texts: &texts, fields: &[], time_us: None };
        for _ in 0..3 {
            figures.observe("category", "a", model.card(), &input, &model.predict(&input, &mut scratch));
        }
        figures.compare(&[opinion(Role::Active, "category", "a", "lights"), opinion(Role::Shadow, "other", "b", "lights")]);
        let thoughts = [opinion(Role::Active, "category", "a", "lights"), opinion(Role::Shadow, "other", "b", "roads")];
        figures.compare(&thoughts);
        figures.numbered(7, &thoughts);
        figures.person_said(7, Task::Category, "roads");
        figures.person_said(8, Task::Category, "roads");
        let report = figures.report();
        let of = |index: usize, field: &str| report["items"][index][field].clone();
        assert_eq!((of(0, "answers"), of(0, "people"), of(1, "people")), (json!(3), json!({"compared": 1, "agreed": 0}), json!({"compared": 1, "agreed": 1})));
        assert_eq!((of(1, "agreement"), report["problems"][0].clone()), (json!({"compared": 2, "agreed": 1}), json!("x: damaged")));
        assert_eq!(of(0, "drift"), json!([]), "three answers are no population");
        let metrics = figures.metrics();
        assert!(metrics.contains("citybrain_model_answers_total{task=\"category\",role=\"active\",model=\"category\",digest=\"a\"} 3"), "{metrics}");
        // One that stays keeps its counts when its role changes.
        figures.take_in([(Task::Category, Role::Shadow, "category", "a", &model)].into_iter(), Vec::new());
        assert_eq!(figures.report()["items"][0]["answers"], json!(3));
    }
}
