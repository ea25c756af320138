//! What must hold whatever arrives.

use brain::{Brain, Chain, Config, Effect, effect_event};
use chrono::{DateTime, Utc};
use graph::{Graph, Pack};
use proptest::prelude::*;
use schemas::Registry;
use schemas::agent::{AgentAnswer, Choice};
use schemas::alert::{AlertState, Status};
use schemas::case::{CaseChange, CaseState};
use schemas::journal::*;
use schemas::position::Position;
use schemas::signal::{MicroDeg, Signal, SignalKind, SignalState};
use schemas::understood::{Opinion, Role, RunnerUp, Task, Understood};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

static GRAPH: LazyLock<Graph> = LazyLock::new(Graph::builtin);
static PACKS: LazyLock<Vec<Pack>> = LazyLock::new(Pack::builtin);
static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::builtin);

/// Few values, so that records meet each other.
fn small(prefix: &'static str, count: u32) -> impl Strategy<Value = String> {
    (0..count).prop_map(move |n| format!("{prefix}{n}"))
}

fn option(strategy: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = Option<String>> {
    proptest::option::of(strategy)
}

fn degrees() -> impl Strategy<Value = Option<MicroDeg>> {
    proptest::option::of((-180_000_000i32..=180_000_000).prop_map(MicroDeg))
}

/// Mostly the same days, now and then any moment that a clock can show.
fn moment() -> impl Strategy<Value = DateTime<Utc>> {
    let near = 1_503_700_000_000_000i64..1_504_000_000_000_000;
    let any = -8_000_000_000_000_000_000i64..8_000_000_000_000_000_000;
    prop_oneof![8 => near, 1 => any].prop_map(|us| DateTime::from_timestamp_micros(us).unwrap_or_default())
}

fn category() -> impl Strategy<Value = Option<String>> {
    let known = prop::sample::select(vec!["Flooding", "路燈故障", "燃气", "道路塌陷", "Pothole", "HEATING", "nonsense"]);
    proptest::option::of(prop_oneof![4 => known.prop_map(str::to_owned), 1 => "\\PC{0,12}"])
}

fn signal() -> impl Strategy<Value = Body> {
    let scenario = prop::sample::select(vec!["urban_flooding", "gas_explosion", "water_main_burst", "road_collapse", "unknown"]);
    let state = prop::sample::select(vec![SignalState::Raised, SignalState::Cleared, SignalState::Unknown]);
    let kind = prop::sample::select(vec![SignalKind::Threshold, SignalKind::Surge, SignalKind::NoSignal]);
    let what = (scenario, state, kind, 0u8..6, option(small("s", 3)), option(small("d", 3)));
    (what, any::<Option<i64>>(), degrees(), degrees(), proptest::option::of(moment())).prop_map(|((scenario, state, signal, level, station, district), value_milli, lat, lon, start)| {
        Body::Signal(Signal {
            signal,
            scenario: scenario.to_owned(),
            rule: "rule".to_owned(),
            level,
            state,
            property: Some("water_level".to_owned()),
            station,
            district,
            value_milli,
            threshold_milli: Some(300),
            unit: Some("m".to_owned()),
            window_start: start,
            window_end: None,
            expected: None,
            lat,
            lon,
            pending_s: None,
            status: Status::Actual,
            evidence: vec![Position::new("raw.sensor", 0, i64::from(level))],
        })
    })
}

fn hotline() -> impl Strategy<Value = Body> {
    let text = prop_oneof![
        Just("下穿通道积水，有人被困".to_owned()),
        Just("gas leak".to_owned()),
        "\\PC{0,40}",
    ];
    (small("m", 12), text, option(small("d", 3)), option(small("a", 3)), category(), degrees(), degrees()).prop_map(|(message_id, text, district, address, category, lat, lon)| {
        Body::Hotline(HotlineMessage { message_id, text, district, address, category, lat, lon, ..HotlineMessage::default() })
    })
}

fn work_order() -> impl Strategy<Value = Body> {
    let created = (small("w", 30), category(), option(small("d", 4)), option(small("a", 3)), proptest::option::of(moment())).prop_map(|(request_id, category, district, address, due)| {
        WorkOrder::Created(WorkOrderCreated { request_id, category, district, address, due, ..WorkOrderCreated::default() })
    });
    let updated = small("w", 30).prop_map(|request_id| WorkOrder::Updated(WorkOrderUpdated { request_id, ..WorkOrderUpdated::default() }));
    let closed = small("w", 30).prop_map(|request_id| WorkOrder::Closed(WorkOrderClosed { request_id, ..WorkOrderClosed::default() }));
    prop_oneof![4 => created, 1 => updated, 1 => closed].prop_map(Body::WorkOrder)
}

const ACTIONS: [Action; 32] = [
    Action::Acknowledge,
    Action::Close,
    Action::Assign,
    Action::Dispatch,
    Action::Verify,
    Action::Return,
    Action::Rework,
    Action::Extend,
    Action::Suspend,
    Action::Void,
    Action::Reopen,
    Action::Transfer,
    Action::RequestExtension,
    Action::ApproveExtension,
    Action::RejectExtension,
    Action::Resume,
    Action::Merge,
    Action::Unmerge,
    Action::Recategorise,
    Action::Approve,
    Action::Reject,
    Action::Comment,
    Action::Judge,
    Action::Silence,
    Action::Unsilence,
    Action::StartExercise,
    Action::StopExercise,
    Action::Mode,
    Action::DraftWarning,
    Action::ApproveWarning,
    Action::PublishWarning,
    Action::CancelWarning,
];

/// A body, or the wish for a command on the n-th thing in state, for the first timer, or for a pack to come or to go.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a few hundred of them live at a time")]
enum Wish {
    Body(Body),
    Read(Body, Understood),
    Command { action: Action, nth: usize, alert: bool, unit: Option<String>, due: Option<DateTime<Utc>> },
    /// To the n-th question that waits, or to one that nobody asked.
    Answer { nth: usize, choices: Vec<Choice> },
    Timer,
    Pack(&'static str),
}

fn wish() -> impl Strategy<Value = Wish> {
    let unit = proptest::option::of(prop::sample::select(vec!["drainage", "roads", "nobody"]).prop_map(str::to_owned));
    let command = (prop::sample::select(ACTIONS.to_vec()), 0usize..8, any::<bool>(), unit, proptest::option::of(moment()))
        .prop_map(|(action, nth, alert, unit, due)| Wish::Command { action, nth, alert, unit, due });
    let setting = (prop::sample::select(vec!["graph", "utc_offset_minutes", "x"]), "\\PC{0,8}");
    let rare = prop_oneof![
        setting.prop_map(|(key, value)| Body::ConfigChanged { key: key.to_owned(), value }),
        (0u32..3).prop_map(|version| Body::VersionBarrier { version }),
        "\\PC{0,20}".prop_map(|reason| Body::Malformed(Malformed { event_type: "x".to_owned(), reason })),
        (small("case-00000000000", 9), moment(), prop::sample::select(vec!["remind", "due", "escalate", "dream"]))
            .prop_map(|(case, due, what)| Body::TimerFired(TimerFired { timer: format!("{case}/{what}"), due })),
        Just(Body::Context(ContextFact::default())),
    ];
    prop_oneof![
        1 => Just(Wish::Body(Body::ConfigChanged { key: brain::ASK_PERMILLE.to_owned(), value: "1000".to_owned() })),
        2 => (0usize..4, prop::collection::vec(choice(), 0..3)).prop_map(|(nth, choices)| Wish::Answer { nth, choices }),
        6 => work_order().prop_map(Wish::Body),
        2 => hotline().prop_map(Wish::Body),
        2 => (hotline(), understood()).prop_map(|(body, understood)| Wish::Read(body, understood)),
        4 => signal().prop_map(Wish::Body),
        5 => command,
        3 => Just(Wish::Timer),
        1 => prop::sample::select(vec!["urban_flooding", "gas_explosion", "road_collapse"]).prop_map(Wish::Pack),
        1 => rare.prop_map(Wish::Body),
    ]
}

/// What a model or a reader may have said: of categories and units that there are and that there are not.
fn understood() -> impl Strategy<Value = Understood> {
    let label = prop::sample::select(vec!["flooding", "noise", "other", "gas", "drainage", "nobody", ""]);
    let opinion = (any::<bool>(), any::<bool>(), label, any::<u32>(), any::<bool>(), small("m", 3)).prop_map(|(category, active, label, permille, accepted, model)| Opinion {
        task: if category { Task::Category } else { Task::Unit },
        model,
        digest: "d".to_owned(),
        role: if active { Role::Active } else { Role::Shadow },
        label: label.to_owned(),
        permille,
        accepted,
        familiar_permille: 1000,
        runners_up: vec![RunnerUp { label: "garbage".to_owned(), permille: 10 }],
    });
    let words = prop::collection::vec("\\PC{0,8}", 0..12);
    (prop::collection::vec(opinion, 0..12), any::<bool>(), words, any::<bool>(), proptest::option::of(any::<u8>())).prop_map(
        |(opinions, risk_to_life, words, injection, urgency)| Understood { opinions, risk_to_life, words, injection, urgency, ..Understood::default() },
    )
}

/// What an agent may choose: what was offered, and what was not.
fn choice() -> impl Strategy<Value = Choice> {
    let label = prop::sample::select(vec!["flooding", "noise", "other", "garbage", "drainage", "duty-office", ""]);
    (any::<bool>(), label, 0u32..1_200).prop_map(|(category, label, permille)| Choice {
        task: if category { Task::Category } else { Task::Unit },
        label: label.to_owned(),
        permille,
        runners_up: vec![RunnerUp { label: "garbage".to_owned(), permille: 10 }],
    })
}

/// What comes, and when it says that it happened, if it does.
fn wishes(count: usize) -> impl Strategy<Value = Vec<(Wish, Option<DateTime<Utc>>)>> {
    prop::collection::vec((wish(), proptest::option::weighted(0.9, moment())), 1..count)
}

/// The record that a wish becomes in front of this brain.
fn grant(brain: &Brain, wish: &Wish, time: Option<DateTime<Utc>>) -> JournalRecord {
    let seq = brain.next_seq();
    let understood = if let Wish::Read(_, understood) = wish { Some(understood.clone()) } else { None };
    let (body, event) = match wish {
        Wish::Body(body) | Wish::Read(body, _) => (body.clone(), true),
        Wish::Answer { nth, choices } => {
            let (request, case) = brain.awaited().nth(*nth).map_or(("nothing", "case-000000000001".to_owned()), |it| it);
            (Body::Answer(AgentAnswer { request: request.to_owned(), case, choices: choices.clone(), ..AgentAnswer::default() }), true)
        }
        Wish::Timer => match brain.next_timer() {
            Some((due, timer)) => (Body::TimerFired(TimerFired { timer: timer.to_owned(), due }), false),
            None => (Body::Context(ContextFact::default()), true),
        },
        Wish::Pack(id) => {
            let mut graph = brain.graph().clone();
            let pack = PACKS.iter().find(|pack| pack.id == *id).expect("it ships");
            let changes = graph.remove_pack(id).or_else(|_| pack.install(&mut graph)).unwrap_or_default();
            let changes = changes.iter().map(|change| serde_json::to_string(change).expect("plain values")).collect();
            (Body::GraphChanged(GraphChanged { actor: "somebody".to_owned(), reason: "because".to_owned(), changes }), false)
        }
        Wish::Command { action, nth, alert, unit, due } => {
            let target = if *alert {
                brain.alerts().nth(*nth).map(|alert| alert.alert_key.clone())
            } else {
                brain.cases().nth(*nth).map(|case| case.id.clone())
            };
            let command = Command {
                command_id: seq.to_string(),
                action: *action,
                target: target.unwrap_or_default(),
                actor: "somebody".to_owned(),
                reason: "because".to_owned(),
                unit: unit.clone(),
                category: None,
                due: *due,
                other: None,
                ground: None,
                alerting: AlertOrder::default(),
            };
            (Body::Command(command), true)
        }
    };
    let source = event.then(|| Position::new("raw", 0, seq as i64));
    let event = event.then(|| EventRef { source: format!("source{}", seq % 2), id: seq.to_string(), time });
    JournalRecord { seq, log_time: DateTime::UNIX_EPOCH, source, event, body, understood }
}

/// The cases and alerts as the effects tell of them: the fold that everybody outside can do.
#[derive(Default)]
struct Fold {
    cases: BTreeMap<String, CaseState>,
    alerts: BTreeMap<String, (String, AlertState, u8, bool)>,
    ids: BTreeSet<String>,
}

impl Fold {
    fn take(&mut self, record: &JournalRecord, effects: &[Effect]) {
        for effect in effects {
            if let Some((topic, event)) = effect_event(effect, record) {
                assert!(self.ids.insert(event.id.clone()), "{} twice", event.id);
                assert!(schemas::position::topic_problem(&topic).is_none(), "{topic}");
                assert!(event.causation_id.is_some() && event.time.is_some());
                let data = serde_json::from_slice(event.data.as_deref().expect("data")).expect("JSON");
                let fits = REGISTRY.get(&event.event_type).expect("every event of the brain has a type").validate(&data);
                assert!(fits.is_ok(), "{fits:?} in {data}");
            }
            match effect {
                Effect::Case(case) => {
                    let known = self.cases.insert(case.case.clone(), case.to);
                    assert_eq!(known, case.from, "{} comes from where it was", case.case);
                    let stays = case.change != CaseChange::Moved && case.from == Some(case.to);
                    assert!(stays || case.from.map_or(case.to == CaseState::Reported, |from| from.may_become(case.to)));
                }
                Effect::Alert(alert) => {
                    let was = self.alerts.insert(alert.alert_key.clone(), (alert.alert.clone(), alert.state, alert.level, alert.acknowledged));
                    let over = was.as_ref().is_none_or(|(_, state, ..)| *state == AlertState::Cleared);
                    assert_eq!(over, alert.change == "raised", "one active alert for each key: {alert:?}");
                    assert!(alert.onset <= alert.at || alert.hazard.ends_with("_forecast"), "{alert:?}");
                    let ended = was.as_ref().is_some_and(|(id, state, ..)| *state == AlertState::Cleared && *id == alert.alert);
                    let cap = alert.cap.as_deref().map(schemas::cap::CapAlert::parse);
                    assert!(cap.map_or(ended, |cap| cap.is_ok() && !ended), "each change until the end is a valid CAP message");
                }
                Effect::Ask(_) | Effect::Incident(_) | Effect::Dispatch(_) | Effect::Notification(_) | Effect::Decision(_) | Effect::Graph(_) | Effect::WakeAt(_) => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Nothing panics, states are legal, the live view is the fold of the effects, and a brain that is stored and
    /// restored anywhere goes on as if nothing had happened.
    #[test]
    fn a_brain_is_the_fold_of_its_records(wishes in wishes(120), stop in 0usize..120) {
        let mut brain = Brain::new(GRAPH.clone(), Config::default());
        let (mut chain, mut fold, mut twin) = (Chain::default(), Fold::default(), None::<(Brain, Chain)>);
        for (index, (wish, time)) in wishes.iter().enumerate() {
            let record = grant(&brain, wish, *time);
            prop_assert_eq!(&JournalRecord::from_json(&record.to_json()).expect("a record reads back"), &record);
            if index == stop {
                let restored = Brain::restore(brain.graph().clone(), Config::default(), &brain.snapshot()).expect("a snapshot restores");
                prop_assert_eq!(restored.snapshot(), brain.snapshot());
                twin = Some((restored, chain));
            }
            let mut effects = Vec::new();
            brain.apply(&record, &mut effects);
            chain.push(&record, &effects);
            fold.take(&record, &effects);
            if let Some((twin, twin_chain)) = &mut twin {
                let mut again = Vec::new();
                twin.apply(&record, &mut again);
                twin_chain.push(&record, &again);
                prop_assert_eq!(&*twin_chain, &chain);
            }
            let mut repeated = Vec::new();
            let before = brain.snapshot();
            brain.apply(&record, &mut repeated);
            prop_assert!(repeated.is_empty() && before == brain.snapshot(), "a repeated record changes nothing");
        }
        for case in brain.cases() {
            prop_assert_eq!(fold.cases.get(&case.id), Some(&case.state));
        }
        for alert in brain.alerts().filter(|alert| alert.state != AlertState::Cleared) {
            let told = (alert.id.clone(), alert.state, alert.level, alert.acknowledged);
            prop_assert_eq!(fold.alerts.get(&alert.alert_key), Some(&told));
        }
        let active: BTreeSet<_> = brain.alerts().filter(|alert| alert.state != AlertState::Cleared).map(|alert| &alert.alert_key).collect();
        prop_assert_eq!(active.len(), brain.alerts().filter(|alert| alert.state != AlertState::Cleared).count());
    }

    /// When a record was written down is no input: the wall clock reaches neither effects nor state nor chain.
    #[test]
    fn the_wall_clock_decides_nothing(wishes in wishes(80), log_times in prop::collection::vec(moment(), 80)) {
        let mut brain = Brain::new(GRAPH.clone(), Config::default());
        let mut twin = brain.clone();
        let (mut chain, mut twin_chain) = (Chain::default(), Chain::default());
        for ((wish, time), log_time) in wishes.iter().zip(log_times) {
            let record = grant(&brain, wish, *time);
            let written_otherwise = JournalRecord { log_time, ..record.clone() };
            let (mut effects, mut twin_effects) = (Vec::new(), Vec::new());
            brain.apply(&record, &mut effects);
            twin.apply(&written_otherwise, &mut twin_effects);
            chain.push(&record, &effects);
            twin_chain.push(&written_otherwise, &twin_effects);
            prop_assert_eq!(effects, twin_effects);
            prop_assert_eq!(brain.snapshot(), twin.snapshot());
            prop_assert_eq!(chain.hex(), twin_chain.hex());
        }
    }

    /// Reading the journal never panics either.
    #[test]
    fn any_text_is_a_record_or_an_error(text in "\\PC{0,200}") {
        let _ = JournalRecord::from_json(&text);
        let _ = Body::from_event("io.citybrain.hotline.message.v1", None, text.as_bytes());
    }
}

#[test]
fn missing_data_never_clears() {
    let mut brain = Brain::new(GRAPH.clone(), Config::default());
    let mut effects = Vec::new();
    for (index, (kind, state)) in [
        (SignalKind::Threshold, SignalState::Raised),
        (SignalKind::Threshold, SignalState::Cleared),
        (SignalKind::NoSignal, SignalState::Raised),
        (SignalKind::Threshold, SignalState::Unknown),
    ]
    .into_iter()
    .enumerate()
    {
        let text = format!(
            r#"{{"signal":{},"scenario":"urban_flooding","rule":"depth","level":2,"state":{},"station":"b1","property":"depth"}}"#,
            serde_json::to_string(&kind).unwrap(),
            serde_json::to_string(&state).unwrap()
        );
        let time = DateTime::from_timestamp(1_700_000_000 + index as i64 * 60, 0).unwrap();
        let record = JournalRecord {
            seq: index as u64,
            log_time: time,
            source: None,
            event: Some(EventRef { source: "jobs".to_owned(), id: index.to_string(), time: Some(time) }),
            body: Body::from_event("io.citybrain.city.signal.v1", None, text.as_bytes()),
            understood: None,
        };
        brain.apply(&record, &mut effects);
    }
    assert_eq!(brain.alerts().next().map(|alert| alert.state), Some(AlertState::Unknown));
    assert!(brain.pending().all(|(_, timer)| !timer.ends_with("/clear")), "the clearing that was under way has stopped");
}

/// A graph comes into being by changes on the log: each is told with who made it, a record is all or nothing, and what was
/// told makes the same graph again.
#[test]
fn the_graph_is_the_fold_of_what_was_told() {
    let mut brain = Brain::new(Graph::new(), Config::default());
    let put: Vec<String> = Graph::new().diff(&GRAPH).iter().map(|change| serde_json::to_string(change).unwrap()).collect();
    let (first, rest) = put.split_at(put.len() / 2);
    let refused = vec![r#"{"remove":"unit/heat"}"#.to_owned(), r#"{"remove":"unit/drainage"}"#.to_owned()];
    let mut told = Vec::new();
    let mut counted = Vec::new();
    for (seq, changes) in [first.to_vec(), rest.to_vec(), refused, vec!["no change".to_owned()], vec![r#"{"remove":"asset/first-bridge"}"#.to_owned()]].into_iter().enumerate() {
        let body = Body::GraphChanged(GraphChanged { actor: "王工".to_owned(), reason: "because".to_owned(), changes });
        let mut effects = Vec::new();
        brain.apply(&JournalRecord { seq: seq as u64, log_time: DateTime::UNIX_EPOCH, source: None, event: None, body, understood: None }, &mut effects);
        let refusals = effects.iter().filter(|effect| matches!(effect, Effect::Decision(it) if it.kind == "refused" && it.outcome == "not changed"));
        counted.push((refusals.count(), effects.len()));
        told.extend(effects.into_iter().filter_map(|effect| if let Effect::Graph(it) = effect { Some(it) } else { None }));
    }
    assert_eq!(counted, [(0, first.len()), (0, rest.len()), (1, 1), (1, 1), (0, 1)]);
    assert!(told.iter().all(|change| change.actor == "王工"));
    let mut folded = Graph::new();
    folded.apply_all(told.iter().map(|change| change.change().unwrap())).unwrap();
    assert_eq!(&folded, brain.graph());
    assert_eq!(told.last().unwrap().graph_version, brain.graph().version());
    assert_eq!(brain.graph().len() + 1, GRAPH.len());
}

/// An event whose time was not believed happens where its stream stands, and does not move it.
#[test]
fn a_broken_clock_takes_nobody_with_it() {
    let mut brain = Brain::new(GRAPH.clone(), Config::default());
    let now: DateTime<Utc> = "2026-07-18T08:00:00Z".parse().unwrap();
    for (n, time) in [Some(now), None].into_iter().enumerate() {
        let order = WorkOrderCreated { request_id: n.to_string(), category: Some("Pothole".to_owned()), ..WorkOrderCreated::default() };
        let event = EventRef { source: "orders".to_owned(), id: n.to_string(), time };
        let log_time = "2031-01-01T00:00:00Z".parse().unwrap();
        let body = Body::WorkOrder(WorkOrder::Created(order));
        brain.apply(&JournalRecord { seq: n as u64, log_time, source: None, event: Some(event), body, understood: None }, &mut Vec::new());
    }
    assert_eq!(brain.now(), Some(now));
    assert_eq!(brain.cases().map(|case| case.opened).collect::<Vec<_>>(), [now, now]);
}

/// Two imports of other years and the living city do not disturb one another: each has its own time.
#[test]
fn old_years_do_not_disturb_today() {
    let day = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let today = day("2026-07-18T08:00:00Z");
    let report = |source: &str, n: i64, time: DateTime<Utc>| JournalRecord {
        seq: 0,
        log_time: today,
        source: Some(Position::new("raw.workorder", 0, n)),
        event: Some(EventRef { source: source.to_owned(), id: n.to_string(), time: Some(time) }),
        body: Body::WorkOrder(WorkOrder::Created(WorkOrderCreated {
            request_id: n.to_string(),
            category: Some("Flooding".to_owned()),
            district: Some(format!("d{}", n % 4)),
            ..WorkOrderCreated::default()
        })),
        understood: None,
    };
    let mut brain = Brain::new(GRAPH.clone(), Config::default());
    let mut raised = Vec::new();
    for n in 0..20i64 {
        for (source, begin) in [("live", today), ("old", day("2011-01-01T00:00:00Z")), ("older", day("2009-01-01T00:00:00Z"))] {
            let mut record = report(source, n, begin + chrono::TimeDelta::minutes(n));
            record.seq = brain.next_seq();
            let mut effects = Vec::new();
            brain.apply(&record, &mut effects);
            raised.extend(effects.into_iter().filter_map(|effect| match effect {
                Effect::Alert(alert) if alert.change == "raised" => Some((n, alert.at.to_rfc3339())),
                _ => None,
            }));
        }
    }
    let at = |n: i64, time: &str| (n, time.to_owned());
    assert_eq!(raised, [at(13, "2026-07-18T08:13:00+00:00"), at(13, "2011-01-01T00:13:00+00:00"), at(13, "2009-01-01T00:13:00+00:00")]);
}

/// The shape of a real flood night, made up: quiet years, then a morning wave and a night wave of reports.
#[test]
fn a_surge_rises_with_the_first_wave_and_worsens_with_the_second() {
    let mut brain = Brain::new(GRAPH.clone(), Config { utc_offset_minutes: 0 });
    let day = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let storm = day("2017-08-26T00:00:00Z");
    // One report every 37 hours for two years, and now and then five in an hour, as rain has it.
    let mut times: Vec<DateTime<Utc>> = Vec::new();
    for n in 0..473i64 {
        let time = day("2015-08-24T00:00:00Z") + chrono::TimeDelta::hours(37 * n);
        let showers = if n % 40 == 0 { 5 } else { 1 };
        times.extend((0..showers).map(|minute| time + chrono::TimeDelta::minutes(10 * minute)));
    }
    // Reports in each hour of the day of the storm.
    for (hour, count) in [(6, 1), (7, 6), (8, 10), (9, 9), (10, 7), (11, 5), (12, 6), (13, 2), (20, 7), (21, 34), (22, 58), (23, 53)] {
        times.extend((0..count).map(|n| storm + chrono::TimeDelta::seconds(3600 * hour + 3600 * n / count)));
    }
    let mut changes = Vec::new();
    for (n, time) in times.into_iter().enumerate() {
        let order = WorkOrderCreated {
            request_id: n.to_string(),
            category: Some("Flooding".to_owned()),
            district: Some(format!("{}", n % 5)),
            channel: Some("Voice In".to_owned()),
            ..WorkOrderCreated::default()
        };
        let mut effects = Vec::new();
        let mut apply = |brain: &mut Brain, source, event, body| {
            let record = JournalRecord { seq: brain.next_seq(), log_time: day("2026-01-01T00:00:00Z"), source, event, body, understood: None };
            brain.apply(&record, &mut effects);
        };
        while let Some((due, timer)) = brain.next_timer().filter(|(due, _)| *due <= time) {
            let body = Body::TimerFired(TimerFired { timer: timer.to_owned(), due });
            apply(&mut brain, None, None, body);
        }
        let event = EventRef { source: "city".to_owned(), id: n.to_string(), time: Some(time) };
        let source = Position::new("raw.workorder", 0, n as i64);
        apply(&mut brain, Some(source), Some(event), Body::WorkOrder(WorkOrder::Created(order)));
        changes.extend(effects.into_iter().filter_map(|effect| match effect {
            Effect::Alert(alert) => Some((alert.change, alert.level, alert.at.format("%m-%d %H").to_string())),
            _ => None,
        }));
    }
    let change = |what: &str, level: u8, at: &str| (what.to_owned(), level, at.to_owned());
    assert_eq!(changes, [change("raised", 3, "08-26 08"), change("upgraded", 2, "08-26 21"), change("upgraded", 1, "08-26 22")]);
}

/// What the city's own crews enter in one go is work, not a surge.
#[test]
fn staff_entries_raise_nothing() {
    let mut brain = Brain::new(GRAPH.clone(), Config::default());
    for n in 0..500 {
        let order = WorkOrderCreated {
            request_id: n.to_string(),
            category: Some("Flooding".to_owned()),
            district: Some(format!("{}", n % 5)),
            channel: Some("WAP".to_owned()),
            ..WorkOrderCreated::default()
        };
        let time = DateTime::from_timestamp(1_435_000_000 + n * 5, 0).unwrap();
        let event = EventRef { source: "crews".to_owned(), id: n.to_string(), time: Some(time) };
        let record = JournalRecord { seq: n as u64, log_time: time, source: None, event: Some(event), body: Body::WorkOrder(WorkOrder::Created(order)), understood: None };
        brain.apply(&record, &mut Vec::new());
    }
    assert_eq!((brain.cases().count(), brain.alerts().count()), (500, 0));
}
