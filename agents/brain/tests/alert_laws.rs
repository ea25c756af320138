//! What must hold of alerts and notifications whatever comes, in whatever order: `CITYBRAIN_SEQUENCES=100000` tries more.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use brain::{Brain, Config, Effect, Silence};
use chrono::TimeDelta;
use common::{City, found, order, silent};
use graph::Graph;
use proptest::prelude::*;
use schemas::alert::{AlertState, AlertTransition, Status, Verdict};
use schemas::cap::CapAlert;
use schemas::journal::{Action, AlertOrder, Mode};
use schemas::notification::{Audience, Notification, Outcome, PublicNotice, Told};
use schemas::signal::{Signal, SignalState};
use std::sync::LazyLock;

static GRAPH: LazyLock<Graph> = LazyLock::new(|| {
    // A scenario whose conditions have to hold, so that every way of raising is walked.
    common::with_times("bridge", r#"{ "pending_s": 30, "clear_after_s": 20, "flap": { "count": 2, "window_s": 900 } }"#)
});

/// How many sequences are tried.
fn sequences() -> u32 {
    std::env::var("CITYBRAIN_SEQUENCES").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000)
}

/// Something that happens.
#[derive(Debug, Clone)]
enum Step {
    Pass(i64),
    Signal { scenario: u8, station: u8, district: u8, level: u8, state: u8, kind: u8 },
    Command { action: u8, nth: u8, actor: bool, hours: u8, label: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let seconds = prop_oneof![4 => 0..60i64, 3 => 60..1_200i64, 1 => 1_200..100_000i64];
    prop_oneof![
        3 => seconds.prop_map(Step::Pass),
        5 => (0..3u8, 0..3u8, 0..2u8, 1..5u8, 0..4u8, 0..8u8)
            .prop_map(|(scenario, station, district, level, state, kind)| Step::Signal { scenario, station, district, level, state, kind }),
        3 => (0..15u8, 0..4u8, any::<bool>(), 1..6u8, 0..4u8).prop_map(|(action, nth, actor, hours, label)| Step::Command { action, nth, actor, hours, label }),
    ]
}

const SCENARIOS: [&str; 3] = ["urban_flooding", "power_lighting", "bridge"];

fn signal(step: &Step) -> Option<Signal> {
    let Step::Signal { scenario, station, district, level, state, kind } = step else { return None };
    let state = [SignalState::Raised, SignalState::Raised, SignalState::Cleared, SignalState::Unknown][usize::from(*state)];
    let (station, district) = (format!("s{station}"), format!("d0{district}"));
    let signal = found(SCENARIOS[usize::from(*scenario)], &station, &district, *level, state);
    Some(match kind {
        0 => silent(&signal.scenario, &station, &district, state),
        1 => Signal { status: Status::Test, ..signal },
        2 => Signal { pending_s: Some(10), ..signal },
        _ => signal,
    })
}

fn command(city: &mut City, step: &Step) {
    let Step::Command { action, nth, actor, hours, label } = step else { return };
    let actor = if *actor { "王" } else { "李" };
    let nth = usize::from(*nth);
    let until = city.brain.now().unwrap_or(city.clock) + TimeDelta::hours(i64::from(*hours));
    let labels: &[(&str, &str)] = [&[("scenario", "urban_flooding")][..], &[("district", "d01")], &[("originator", "s1")], &[("level", "1"), ("district", "d00")]][usize::from(*label)];
    let alert = city.brain.alerts().nth(nth).map(|alert| alert.id.clone()).unwrap_or_default();
    let silence = city.brain.silences().nth(nth).map(|silence| silence.id.clone()).unwrap_or_default();
    let exercise = city.brain.exercises().next().map(|exercise| exercise.id.clone()).unwrap_or_default();
    let verdict = AlertOrder { verdict: Some([Verdict::Real, Verdict::False, Verdict::Drill, Verdict::Duplicate][usize::from(*label)]), ..AlertOrder::default() };
    let mode = if *hours > 3 { Mode::Emergency } else { Mode::Everyday };
    let (action, target, order) = match action {
        0 | 1 => (Action::Acknowledge, alert, AlertOrder::default()),
        2 => (Action::Close, alert, verdict),
        3 => (Action::Comment, alert, AlertOrder::default()),
        4 => (Action::Judge, alert, verdict),
        5 => (Action::Assign, alert, AlertOrder { owner: Some(actor.into()), ..AlertOrder::default() }),
        6 | 7 => (Action::Silence, String::new(), order(labels, until)),
        8 => (Action::Unsilence, silence, AlertOrder::default()),
        9 => (Action::StartExercise, String::new(), order(labels, until)),
        10 => (Action::StopExercise, exercise, AlertOrder::default()),
        11 => (Action::Mode, "city".into(), AlertOrder { mode: Some(mode), ..AlertOrder::default() }),
        12 => (Action::DraftWarning, alert, AlertOrder::default()),
        13 => (Action::ApproveWarning, alert, AlertOrder::default()),
        _ => (if *hours > 3 { Action::CancelWarning } else { Action::PublishWarning }, alert, AlertOrder::default()),
    };
    city.command(action, &target, actor, order);
}

/// What everybody outside knows: the fold of what was told.
#[derive(Default)]
struct Outside {
    /// The latest transition of each alert.
    alerts: BTreeMap<String, AlertTransition>,
    /// The alert of each key that is not over.
    open: BTreeMap<String, String>,
    /// Who was told of which alert last as what.
    told: BTreeMap<String, (AlertState, u8)>,
    ids: BTreeSet<String>,
}

impl Outside {
    fn take(&mut self, effects: &[Effect], silences: &[Silence]) {
        for effect in effects {
            match effect {
                Effect::Alert(it) => self.alert(it),
                Effect::Notification(it) => self.notification(it, silences),
                _ => {}
            }
        }
    }

    fn alert(&mut self, it: &AlertTransition) {
        let open = self.open.get(&it.alert_key) == Some(&it.alert);
        match it.change.as_str() {
            "raised" => assert_eq!(self.open.insert(it.alert_key.clone(), it.alert.clone()), None, "one active alert for each key: {it:?}"),
            "cleared" | "closed" | "came_true" | "did_not_come" => assert_eq!(self.open.remove(&it.alert_key).as_ref(), Some(&it.alert), "only what is there ends: {it:?}"),
            "commented" | "judged" | "warning_cancelled" | "warning_expired" => {}
            _ => assert!(open, "what is over does not change: {it:?}"),
        }
        assert_eq!(it.state == AlertState::Cleared, !self.open.values().any(|open| *open == it.alert), "{it:?}");
        let before = self.alerts.insert(it.alert.clone(), it.clone());
        let ended = before.as_ref().is_some_and(|before| before.state == AlertState::Cleared);
        assert_eq!(it.cap.is_none(), ended, "each change until the end has its CAP message: {it:?}");
        if let Some(before) = before {
            assert_eq!((&before.alert_key, before.status, before.onset), (&it.alert_key, it.status, it.onset), "these never change");
            assert!(before.at <= it.at || ended, "{before:?} {it:?}");
            assert!(!(before.acknowledged && !it.acknowledged) || it.change == "upgraded", "only a worse danger takes an acknowledgement back");
        }
        let caps = [it.cap.as_deref(), it.warning.as_ref().and_then(|warning| warning.cap.as_deref())];
        for (index, cap) in caps.into_iter().enumerate() {
            let Some(cap) = cap.map(|cap| CapAlert::parse(cap).expect("valid CAP")) else { continue };
            assert_eq!(cap.scope == "Public", index == 1);
            assert!(it.status.is_actual() || (cap.status == it.status.cap() && index == 0), "an exercise is one in CAP too, and never public: {it:?}");
        }
    }

    fn notification(&mut self, it: &Notification, silences: &[Silence]) {
        assert!(self.ids.insert(it.id.clone()), "{} twice", it.id);
        assert!(it.audience == Audience::Staff || it.status.is_actual(), "no exercise reaches the public: {it:?}");
        assert_eq!(PublicNotice::of(it).is_some(), it.audience == Audience::Public);
        assert_eq!(it.suppressed.is_some(), it.outcome == Outcome::Suppressed);
        assert!(!it.alerts.is_empty());
        for alert in &it.alerts {
            let known = &self.alerts[&alert.alert];
            assert_eq!((alert.state, alert.level, alert.acknowledged, it.status), (known.state, known.level, known.acknowledged, known.status), "told as it is");
        }
        let scheduled = matches!(it.outcome, Outcome::Sent | Outcome::Repeated | Outcome::Resolved | Outcome::Escalated) && !it.reason.contains("warning of the public");
        if !scheduled {
            return;
        }
        for alert in &it.alerts {
            let known = &self.alerts[&alert.alert];
            let fits = |silence: &&Silence| silence.starts <= it.at && it.at < silence.ends && silence.matchers.iter().all(|matcher| matcher.holds(label(alert, known, &matcher.name).as_deref()));
            assert_eq!(silences.iter().find(fits), None, "what is silenced is not told: {it:?}");
        }
        let news = |alert: &Told| self.told.get(&alert.alert) != Some(&(alert.state, alert.level));
        match it.outcome {
            Outcome::Escalated => assert!(it.alerts.iter().all(|alert| !alert.acknowledged && alert.state != AlertState::Cleared), "{it:?}"),
            Outcome::Repeated => assert!(it.alerts.iter().any(|alert| !alert.acknowledged && alert.state != AlertState::Cleared), "{it:?}"),
            _ => assert!(it.alerts.iter().any(news), "nothing is sent twice: {it:?}"),
        }
        if it.outcome != Outcome::Escalated {
            self.told.extend(it.alerts.iter().map(|alert| (alert.alert.clone(), (alert.state, alert.level))));
        }
    }
}

fn label(alert: &Told, known: &AlertTransition, name: &str) -> Option<String> {
    match name {
        "scenario" => Some(alert.scenario.clone()),
        "originator" => Some(alert.originator.clone()),
        "level" => Some(alert.level.to_string()),
        // These stations always name their district, which is the place's name.
        "district" => Some(known.area.name.clone()),
        _ => None,
    }
}

/// Does a step.
fn walk(city: &mut City, step: &Step) {
    match step {
        Step::Pass(seconds) => city.pass(*seconds),
        Step::Signal { .. } => city.signal(signal(step).expect("a signal")),
        Step::Command { .. } => command(city, step),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: sequences(), max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn alerts_and_notifications_keep_their_laws(steps in prop::collection::vec(step(), 1..60), stop in 0usize..60) {
        let mut city = City::with(GRAPH.clone());
        let mut outside = Outside::default();
        let mut twin: Option<City> = None;
        for (index, step) in steps.iter().enumerate() {
            if index == stop {
                let brain = Brain::restore(GRAPH.clone(), Config::default(), &city.brain.snapshot()).expect("a snapshot restores");
                prop_assert_eq!(brain.snapshot(), city.brain.snapshot());
                twin = Some(City { brain, clock: city.clock, effects: Vec::new() });
            }
            // A silence that ends on the way is one that held before.
            let silences: Vec<Silence> = city.brain.silences().cloned().collect();
            walk(&mut city, step);
            let effects = std::mem::take(&mut city.effects);
            outside.take(&effects, &silences);
            if let Some(twin) = &mut twin {
                walk(twin, step);
                prop_assert_eq!(&std::mem::take(&mut twin.effects), &effects, "a restart adds nothing and loses nothing");
            }
        }
        for alert in city.brain.alerts() {
            let told = &outside.alerts[&alert.id];
            prop_assert_eq!(
                (alert.state, alert.status, alert.level, alert.acknowledged, &alert.owner, alert.verdict, &alert.unit),
                (told.state, told.status, told.level, told.acknowledged, &told.owner, told.verdict, &told.unit)
            );
        }
        let open: BTreeSet<String> = city.brain.alerts().filter(|alert| alert.state != AlertState::Cleared).map(|alert| alert.id.clone()).collect();
        prop_assert_eq!(&open, &outside.open.values().cloned().collect::<BTreeSet<_>>());
        let grouped: Vec<&String> = city.brain.groups().flat_map(|group| group.members.keys()).collect();
        prop_assert!(open.iter().all(|id| grouped.contains(&id)), "whatever is there is in its group");
        // What nobody can ever answer is no timer.
        prop_assert!(city.brain.pending().count() <= 4 * city.brain.alerts().count() + 2 * city.brain.groups().count() + city.brain.silences().count() + city.brain.exercises().count() + 9);
    }

    /// Triggers for one key at the same moment, in any order and as often as they like: exactly one alert.
    #[test]
    fn concurrent_triggers_are_one_alert(levels in prop::collection::vec(1..5u8, 1..20), rotate in 0usize..20, apart_ms in prop::collection::vec(0..3i64, 20)) {
        let mut city = City::new();
        let mut levels = levels;
        let by = rotate % levels.len();
        levels.rotate_left(by);
        for (level, apart) in levels.iter().zip(&apart_ms) {
            city.clock += TimeDelta::milliseconds(*apart);
            city.signal(found("urban_flooding", "s1", "d01", *level, SignalState::Raised));
        }
        prop_assert_eq!(city.brain.alerts().count(), 1);
        prop_assert_eq!(city.brain.alerts().next().map(|alert| alert.state), Some(AlertState::Active));
        prop_assert_eq!(city.brain.counts().alerts, 1);
    }
}
