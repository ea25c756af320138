//! What must hold for cases whatever people, systems and clocks do: no illegal state, every refusal recorded, the live view
//! equal to the fold of the transitions, and a snapshot in the middle that changes nothing.
//!
//! `CITYBRAIN_CASE_SEQUENCES=100000 cargo test -p brain --test case_laws` is the long run.

mod city;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use brain::{Brain, Case, Config, Effect};
use chrono::{DateTime, TimeDelta, Utc};
use graph::Graph;
use proptest::prelude::*;
use schemas::case::{CaseChange, CaseState, CaseTransition, VoidGround};
use schemas::journal::*;
use schemas::position::Position;
use schemas::signal::{MicroDeg, Signal, SignalKind, SignalState};

/// Sequences of a usual run: some seconds.
const SEQUENCES: u32 = 2000;

static GRAPH: LazyLock<Graph> = LazyLock::new(Graph::builtin);

fn sequences() -> u32 {
    let told = std::env::var("CITYBRAIN_CASE_SEQUENCES").ok();
    told.map_or(SEQUENCES, |text| text.parse().expect("CITYBRAIN_CASE_SEQUENCES is a number"))
}

const ACTIONS: [Action; 21] = [
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
];

#[derive(Debug, Clone)]
enum Wish {
    Report { number: u8, category: u8, place: u8, call: bool, about: Option<u8> },
    Update { number: u8, unsatisfied: bool },
    Close { number: u8, answer: u8 },
    Station { place: u8, level: u8 },
    Command { action: Action, nth: u8, other: u8, unit: u8, category: u8, hours: u16, ground: u8 },
    Timer,
}

fn wish() -> impl Strategy<Value = Wish> {
    let report = (0u8..12, 0u8..5, 0u8..4, any::<bool>(), proptest::option::weighted(0.2, 0u8..12));
    let command = (prop::sample::select(ACTIONS.to_vec()), 0u8..6, 0u8..6, 0u8..4, 0u8..6, 0u16..200, 0u8..5);
    prop_oneof![
        6 => report.prop_map(|(number, category, place, call, about)| Wish::Report { number, category, place, call, about }),
        2 => (0u8..12, any::<bool>()).prop_map(|(number, unsatisfied)| Wish::Update { number, unsatisfied }),
        2 => (0u8..12, 0u8..4).prop_map(|(number, answer)| Wish::Close { number, answer }),
        1 => (0u8..4, 1u8..5).prop_map(|(place, level)| Wish::Station { place, level }),
        14 => command.prop_map(|(action, nth, other, unit, category, hours, ground)| Wish::Command { action, nth, other, unit, category, hours, ground }),
        5 => Just(Wish::Timer),
    ]
}

/// Minutes that pass before each wish: mostly few, now and then days.
fn pause() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0u32..60, 3 => 60u32..1500, 1 => 1500u32..15_000]
}

fn point(place: u8) -> (Option<MicroDeg>, Option<MicroDeg>) {
    (Some(MicroDeg(30_500_000 + i32::from(place) * 700)), Some(MicroDeg(114_300_000)))
}

fn grant(brain: &Brain, wish: &Wish, time: DateTime<Utc>) -> JournalRecord {
    let seq = brain.next_seq();
    let categories = ["Flooding", "路燈故障", "燃气", "停车", "nonsense"];
    let mut source = "orders";
    let body = match wish {
        Wish::Report { number, category, place, call: false, .. } => {
            let (lat, lon) = point(*place);
            let category = Some(categories[usize::from(*category)].to_owned());
            Body::WorkOrder(WorkOrder::Created(WorkOrderCreated { request_id: format!("w{number}"), category, lat, lon, ..WorkOrderCreated::default() }))
        }
        Wish::Report { number, category, place, call: true, about } => {
            source = "hotline";
            let text = ["道路积水", "路灯不亮", "闻到燃气", "违停", "请尽快处理"][usize::from(*category)].to_owned();
            let (address, about) = (Some(format!("中山路{place}号")), about.map(|about| format!("w{about}")));
            Body::Hotline(HotlineMessage { message_id: format!("m{number}"), text, address, about, ..HotlineMessage::default() })
        }
        Wish::Update { number, unsatisfied } => {
            let note = Some(if *unsatisfied { "市民不满意" } else { "到场" }.to_owned());
            Body::WorkOrder(WorkOrder::Updated(WorkOrderUpdated { request_id: format!("w{number}"), note, ..WorkOrderUpdated::default() }))
        }
        Wish::Close { number, answer } => {
            let resolution = [None, Some("已处理"), Some("已更换路灯灯泡"), Some("重复")][usize::from(*answer)].map(str::to_owned);
            Body::WorkOrder(WorkOrder::Closed(WorkOrderClosed { request_id: format!("w{number}"), status: None, resolution }))
        }
        Wish::Station { place, level } => {
            source = "jobs";
            let (lat, lon) = point(*place);
            Body::Signal(Signal {
                signal: SignalKind::Threshold,
                scenario: "urban_flooding".to_owned(),
                rule: "high".to_owned(),
                level: *level,
                state: if *level == 4 { SignalState::Cleared } else { SignalState::Raised },
                property: Some("level".to_owned()),
                station: Some(format!("s{place}")),
                district: None,
                value_milli: None,
                threshold_milli: None,
                unit: None,
                window_start: None,
                window_end: None,
                expected: None,
                lat,
                lon,
                pending_s: None,
                status: schemas::alert::Status::Actual,
                evidence: Vec::new(),
            })
        }
        Wish::Command { action, nth, other, unit, category, hours, ground } => {
            let case = |nth: u8| brain.cases().nth(nth.into()).map(|case| case.id.clone());
            source = "people";
            Body::Command(Command {
                command_id: seq.to_string(),
                action: *action,
                target: case(*nth).unwrap_or_else(|| "case-000000000000".to_owned()),
                actor: "somebody".to_owned(),
                reason: "because".to_owned(),
                unit: [None, Some("drainage"), Some("police"), Some("nobody")][usize::from(*unit)].map(str::to_owned),
                category: [None, Some("noise"), Some("flooding"), Some("gas"), Some("parking"), Some("dream")][usize::from(*category)].map(str::to_owned),
                due: (*hours > 0).then(|| brain.now().unwrap_or_default() + TimeDelta::hours((*hours).into())),
                other: case(*other),
                ground: [None, Some(VoidGround::NotAccepted), Some(VoidGround::Duplicate), Some(VoidGround::Withdrawn), Some(VoidGround::Mistaken)][usize::from(*ground)],
                alerting: schemas::journal::AlertOrder::default(),
            })
        }
        Wish::Timer => match brain.next_timer() {
            Some((due, timer)) => Body::TimerFired(TimerFired { timer: timer.to_owned(), due }),
            None => Body::Context(ContextFact::default()),
        },
    };
    let born_here = matches!(body, Body::Command(_) | Body::TimerFired(_));
    let event = (!born_here).then(|| EventRef { source: source.to_owned(), id: seq.to_string(), time: Some(time) });
    JournalRecord { seq, log_time: DateTime::UNIX_EPOCH, source: event.is_some().then(|| Position::new("raw", 0, seq as i64)), event, body, understood: None }
}

/// The cases as their transitions tell of them.
#[derive(Default)]
struct Fold(BTreeMap<String, CaseTransition>);

impl Fold {
    fn take(&mut self, record: &JournalRecord, effects: &[Effect]) -> Result<(), TestCaseError> {
        let moved = effects.iter().filter(|effect| matches!(effect, Effect::Case(_))).count();
        let refused = effects.iter().any(|effect| matches!(effect, Effect::Decision(it) if it.kind == "refused"));
        if let Body::Command(_) = record.body {
            prop_assert_eq!(refused, moved == 0, "a command moves something, or is refused and that is recorded: {:?}", effects);
        }
        for effect in effects {
            let Effect::Case(it) = effect else { continue };
            let known = self.0.get(&it.case).map(|known| known.to);
            prop_assert_eq!(known, it.from, "{} comes from where it was", it.case);
            let legal = match (it.from, it.change) {
                (None, change) => change == CaseChange::Opened && it.to == CaseState::Reported,
                (Some(from), CaseChange::Moved | CaseChange::Recategorised) => from.may_become(it.to),
                (Some(from), CaseChange::Merged | CaseChange::Unmerged) => from == it.to || from.may_become(it.to),
                (Some(from), _) => from == it.to,
            };
            prop_assert!(legal, "{:?}", it);
            prop_assert!(!it.actor.is_empty() && !it.reason.is_empty() && (it.actor != "citybrain" || !it.evidence.is_empty() || it.change == CaseChange::Overdue));
            prop_assert!(it.merged_into.is_none() || it.to == CaseState::Voided);
            prop_assert!(it.merged_into.is_some() || it.ground != Some(VoidGround::Duplicate), "a duplicate names the case that it is one of");
            self.0.insert(it.case.clone(), it.clone());
        }
        Ok(())
    }

    fn equals(&self, case: &Case) -> Result<(), TestCaseError> {
        let told = &self.0[&case.id];
        prop_assert_eq!(
            (told.to, &told.category, told.urgency, told.risk_to_life, &told.unit, told.due, told.overdue),
            (case.state, &case.category, case.urgency, case.risk_to_life, &case.unit, case.due, case.overdue)
        );
        prop_assert_eq!(
            (told.remaining_s, told.asked_due, &told.proposed_unit, &told.merged_into, told.reopened),
            (case.remaining_s, case.asked_due, &case.proposed_unit, &case.merged_into, case.reopened)
        );
        Ok(())
    }
}

/// What a merge must leave behind.
fn check_merges(brain: &Brain) -> Result<(), TestCaseError> {
    for case in brain.cases() {
        if let Some(into) = &case.merged_into {
            // The case that had the matter may have left live state before.
            prop_assert!(case.state == CaseState::Voided && brain.case(into).is_none_or(|first| first.merged.contains(&case.id)));
        }
        for id in &case.merged {
            prop_assert!(brain.case(id).is_some_and(|other| other.merged_into.as_ref() == Some(&case.id)), "{} holds {id}", case.id);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: sequences(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_commands_breaks_the_law(wishes in prop::collection::vec((wish(), pause()), 1..60), stop in 0usize..60) {
        let mut brain = Brain::new(GRAPH.clone(), Config::default());
        let mut time = city::at("2026-09-28T08:00");
        let (mut fold, mut twin) = (Fold::default(), None::<Brain>);
        for (index, (wish, pause)) in wishes.iter().enumerate() {
            time += city::minutes((*pause).into());
            let record = grant(&brain, wish, time);
            if index == stop {
                twin = Some(Brain::restore(GRAPH.clone(), Config::default(), &brain.snapshot()).expect("a snapshot restores"));
            }
            let mut effects = Vec::new();
            brain.apply(&record, &mut effects);
            fold.take(&record, &effects)?;
            if let Some(twin) = &mut twin {
                let mut again = Vec::new();
                twin.apply(&record, &mut again);
                prop_assert_eq!(&again, &effects, "a restored brain goes on as if nothing had happened");
            }
        }
        if let Some(twin) = twin {
            prop_assert_eq!(twin.snapshot(), brain.snapshot());
        }
        for case in brain.cases() {
            fold.equals(case)?;
        }
        check_merges(&brain)?;
        // Whoever is open and has a deadline that has not passed is waited for; nobody else has a timer.
        let timers: Vec<&str> = brain.pending().map(|(_, name)| name).filter(|name| name.starts_with("case-")).collect();
        for case in brain.cases() {
            let of_case = timers.iter().filter(|name| name.starts_with(&format!("{}/", case.id))).count();
            let waits = !case.state.is_final() && case.due.is_some() && !case.overdue;
            prop_assert!(if waits { of_case == 1 } else { of_case <= usize::from(case.overdue) }, "{of_case} timers of {case:?}");
        }
    }
}
