//! The life of an alert, and who is told of it, step by step.

mod common;

use brain::effect_event;
use chrono::TimeDelta;
use common::{City, begin, found, order, silent};
use schemas::alert::{AlertState, Headline, Status, Verdict, WarningStage};
use schemas::cap::CapAlert;
use schemas::journal::{Action, AlertOrder, Body, ContextFact, Mode};
use schemas::notification::{Audience, Outcome, PublicNotice, Suppression};
use schemas::signal::{Signal, SignalState};

use Outcome::{Acknowledged, Escalated, Published, Repeated, Resolved, Sent, Suppressed};
use SignalState::{Cleared, Raised, Unknown};

const FLOOD: &str = "urban_flooding";

fn flood(station: &str, level: u8, state: SignalState) -> Signal {
    found(FLOOD, station, "d02", level, state)
}

/// The shipped graph, with other times for floods.
fn with_times(times: &str) -> City {
    City::with(common::with_times(FLOOD, times))
}

#[test]
fn urgent_alerts_wait_five_seconds_for_company_and_others_thirty() {
    for (level, wait) in [(1, 5), (2, 5), (3, 30), (4, 30)] {
        let mut city = City::new();
        city.signal(flood("s1", level, Raised));
        city.pass(wait - 1);
        assert_eq!(city.told(), [], "level {level}");
        city.pass(1);
        assert_eq!(city.told(), [(Sent, "drainage".to_owned(), 1)], "level {level}");
    }
}

#[test]
fn what_belongs_together_is_told_together() {
    let mut city = City::new();
    city.signal(flood("s1", 3, Raised));
    city.pass(10);
    city.signal(flood("s2", 3, Raised));
    city.pass(20);
    assert_eq!(city.told(), [(Suppressed, "drainage".to_owned(), 1), (Sent, "drainage".to_owned(), 2)], "the second waits for the first");
    city.signal(flood("s3", 4, Raised));
    city.pass(299);
    let told = city.notifications();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(matches!(&told[0].suppressed, Some(Suppression::Grouped(group)) if *group == told[0].group));
    city.pass(1);
    let told = city.notifications();
    assert_eq!(told.iter().map(|it| (it.outcome, it.alerts.len(), it.alerts[0].originator.as_str())).collect::<Vec<_>>(), [(Sent, 3, "s3")], "what is new comes first");
    city.signal(flood("s4", 1, Raised));
    city.pass(5);
    assert_eq!(city.told().last().map(|it| it.0), Some(Sent), "danger does not wait for the interval");
}

#[test]
fn what_nobody_acknowledges_is_repeated_and_what_is_over_is_told_once() {
    let mut city = City::new();
    city.signal(flood("s1", 4, Raised));
    city.pass(30);
    city.notifications();
    city.pass(4 * 3600);
    let told: Vec<Outcome> = city.told().into_iter().map(|it| it.0).collect();
    assert_eq!(told, [Escalated, Escalated, Repeated]);
    let id = city.alert();
    city.command(Action::Acknowledge, &id, "王", AlertOrder::default());
    city.pass(5 * 3600);
    assert_eq!(city.told(), [(Acknowledged, "drainage".to_owned(), 1)], "acknowledged, it is quiet");
    city.signal(flood("s1", 4, Cleared));
    city.pass(3600);
    assert_eq!(city.told().into_iter().map(|it| it.0).collect::<Vec<_>>(), [Resolved]);
    assert_eq!(city.brain.groups().count(), 0);
}

#[test]
fn what_is_over_before_anybody_was_told_is_told_to_nobody() {
    let mut city = City::new();
    city.signal(flood("s1", 4, Raised));
    let id = city.alert();
    city.command(Action::Close, &id, "王", AlertOrder::default());
    city.pass(60);
    let told = city.notifications();
    assert_eq!(told.iter().map(|it| it.suppressed.clone()).collect::<Vec<_>>().last(), Some(&Some(Suppression::Over)));
    assert!(told.iter().all(|it| !it.is_told()));
}

#[test]
fn nobody_answers_and_the_superiors_are_told_until_somebody_does() {
    let mut city = City::new();
    city.signal(flood("s1", 1, Raised));
    city.pass(5);
    city.pass(300);
    city.pass(300);
    assert_eq!(city.told(), [(Sent, "drainage".into(), 1), (Escalated, "water-affairs".into(), 1), (Escalated, "command".into(), 1)]);
    city.pass(3600);
    assert_eq!(city.told(), [], "there is nobody above");

    let mut city = City::new();
    city.signal(flood("s1", 1, Raised));
    city.pass(304);
    let id = city.alert();
    city.command(Action::Acknowledge, &id, "王", AlertOrder::default());
    city.pass(3600);
    assert_eq!(city.told(), [(Sent, "drainage".into(), 1), (Acknowledged, "drainage".into(), 1)], "an acknowledgement ends it");
    city.signal(flood("s2", 1, Raised));
    city.pass(310);
    assert_eq!(city.told().last().map(|it| it.clone()), Some((Escalated, "water-affairs".into(), 1)), "for what is new it begins again");
}

/// Acknowledgement and end are ordered by the log: one that comes after the end opens nothing again.
#[test]
fn an_acknowledgement_after_the_end_is_refused() {
    let mut city = City::new();
    city.signal(flood("s1", 1, Raised));
    let id = city.alert();
    city.signal(flood("s1", 1, Cleared));
    city.pass(301);
    city.effects.clear();
    city.command(Action::Acknowledge, &id, "王", AlertOrder::default());
    assert!(city.refused().concat().contains("the alert is over"));
    assert_eq!(city.brain.alert(&id).map(|alert| (alert.state, alert.acknowledged)), Some((AlertState::Cleared, false)));
}

#[test]
fn a_power_failure_explains_silent_stations_and_their_silence_is_told_when_it_is_over() {
    let mut city = City::new();
    city.signal(Signal { pending_s: Some(0), ..found("power_lighting", "p1", "d02", 2, Raised) });
    city.signal(silent(FLOOD, "s1", "d02", Raised));
    city.signal(silent(FLOOD, "s9", "d03", Raised));
    city.pass(60);
    let told = city.notifications();
    let kept: Vec<_> = told.iter().filter_map(|it| Some((it.suppressed.clone()?, it.alerts[0].originator.clone(), it.reason.clone()))).collect();
    let power = city.brain.alerts().find(|alert| alert.scenario == "power_lighting").expect("the power failure").alert_key.clone();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!((&kept[0].0, kept[0].1.as_str()), (&Suppression::Inhibited(power), "s1"));
    assert!(kept[0].2.starts_with("power failure explains silent stations"), "{}", kept[0].2);
    assert_eq!(told.iter().filter(|it| it.is_told()).map(|it| it.alerts[0].originator.as_str()).collect::<Vec<_>>(), ["p1", "s9"]);
    city.signal(found("power_lighting", "p1", "d02", 2, Cleared));
    city.pass(600);
    let told = city.notifications();
    assert!(told.iter().any(|it| it.outcome == Sent && it.alerts[0].originator == "s1"), "still silent, and now nothing explains it: {told:?}");
    city.signal(silent(FLOOD, "s1", "d02", Cleared));
    assert_eq!(city.changes().iter().map(|it| (it.change.as_str(), it.hazard.as_str())).collect::<Vec<_>>(), [("cleared", "no_signal")], "it speaks again");
}

#[test]
fn a_flood_explains_the_reports_of_its_incident_but_no_worse_ones() {
    let reports = |name: &str, level| Signal { property: Some("reports".to_owned()), ..flood(name, level, Raised) };
    let mut city = City::new();
    city.signal(flood("gauge", 2, Raised));
    city.signal(reports("few", 3));
    city.signal(reports("many", 1));
    city.signal(flood("other gauge", 4, Raised));
    city.pass(60);
    let told = city.notifications();
    let sent: Vec<_> = told.iter().filter(|it| it.is_told()).flat_map(|it| it.alerts.iter().map(|alert| alert.originator.clone())).collect();
    assert_eq!(sent, ["gauge", "many", "other gauge"], "another gauge measures another place");
    let kept: Vec<_> = told.iter().filter(|it| matches!(it.suppressed, Some(Suppression::Inhibited(_)))).map(|it| it.alerts[0].originator.as_str()).collect();
    assert_eq!(kept, ["few"]);
}

#[test]
fn a_silence_keeps_quiet_until_it_ends_and_says_who_wanted_it() {
    let mut city = City::new();
    city.signal(found("garbage", "w", "d09", 4, Raised));
    city.pass(3600);
    city.notifications();
    city.command(Action::Silence, "", "李", order(&[("scenario", FLOOD), ("district", "d02")], begin() + TimeDelta::hours(3)));
    let id = city.brain.silences().next().expect("a silence").id.clone();
    city.signal(flood("s1", 1, Raised));
    city.signal(found(FLOOD, "s2", "d03", 1, Raised));
    city.pass(1800);
    let told = city.notifications();
    let kept: Vec<_> = told.iter().filter(|it| it.suppressed == Some(Suppression::Silence(id.clone()))).collect();
    assert_eq!(kept.len(), 1, "told once that it is silent");
    assert!(kept[0].reason.contains("silenced by 李") && kept[0].reason.contains("district=d02"), "{}", kept[0].reason);
    assert!(told.iter().filter(|it| it.is_told()).all(|it| it.alerts.iter().all(|alert| alert.originator != "s1")), "neither told nor escalated");
    city.pass(2 * 3600);
    assert_eq!(city.brain.silences().count(), 0);
    let told = city.notifications();
    assert!(told.iter().any(|it| it.outcome == Sent && it.alerts[0].originator == "s1"), "it is still there");
    assert!(told.iter().any(|it| it.outcome == Escalated && it.alerts.iter().any(|alert| alert.originator == "s1")));
}

#[test]
fn a_silence_is_refused_without_end_or_with_labels_that_do_not_exist_and_ends_by_command() {
    let mut city = City::new();
    city.signal(flood("s1", 1, Raised));
    let end = begin() + TimeDelta::hours(1);
    for (wrong, told) in [
        (order(&[], end), "conditions"),
        (order(&[("colour", "red")], end), "no label `colour`"),
        (order(&[("level", "1")], begin()), "ends after it has begun"),
        (order(&[("level", "1")], begin() + TimeDelta::days(400)), "within 90 days"),
        (AlertOrder { ends: None, ..order(&[("level", "1")], end) }, "needs its end"),
    ] {
        city.effects.clear();
        city.command(Action::Silence, "", "李", wrong);
        let refused = city.refused().concat();
        assert!(refused.contains(told), "{refused}");
    }
    city.command(Action::Silence, "", "李", order(&[("level", "1")], end));
    let id = city.brain.silences().next().expect("a silence").id.clone();
    city.pass(10);
    assert!(city.notifications().iter().all(|it| !it.is_told()));
    city.command(Action::Unsilence, &id, "李", AlertOrder::default());
    city.pass(1);
    assert_eq!(city.told(), [(Sent, "drainage".to_owned(), 1)]);
    assert_eq!(city.brain.silences().count(), 0);
    assert!(city.brain.pending().all(|(_, name)| !name.starts_with("silence")), "no timer is left");
}

#[test]
fn what_comes_and_goes_stays_one_alert_and_is_told_seldom() {
    let mut city = City::new();
    let mut alerts = 0;
    let mut told = Vec::new();
    let mut changes = Vec::new();
    for _ in 0..12 {
        city.signal(flood("s1", 3, Raised));
        city.pass(60);
        city.signal(flood("s1", 3, Cleared));
        city.pass(360);
        let effects = city.effects.clone();
        changes.extend(city.changes().into_iter().map(|it| it.change));
        city.effects = effects;
        told.extend(city.notifications());
    }
    alerts += city.brain.counts().alerts;
    assert!(changes.contains(&"flapping".to_owned()), "{changes:?}");
    let flapped = changes.iter().position(|change| change == "flapping").expect("it flaps");
    assert!(!changes[flapped..].iter().any(|change| change == "raised" || change == "cleared"), "from then on it is one alert: {changes:?}");
    assert!(alerts <= 4, "{alerts}");
    let alert = city.brain.alerts().find(|alert| alert.state == AlertState::Active).expect("it goes on");
    assert!(alert.flap_score.is_some_and(|score| score >= 3));
    city.pass(3600);
    assert_eq!(city.changes().last().map(|it| (it.change.clone(), it.flap_score.is_some(), it.reason.clone())), Some(("cleared".into(), true, "measured as gone for 30 min".into())));
}

#[test]
fn a_flapping_alert_that_changes_is_held_back_with_its_score() {
    let mut city = with_times(r#"{ "flap": { "count": 2 } }"#);
    for _ in 0..3 {
        city.signal(flood("s1", 4, Raised));
        city.pass(40);
        city.signal(flood("s1", 4, Cleared));
        city.pass(10);
    }
    city.notifications();
    for level in [3, 2, 1] {
        city.signal(flood("s1", level, Raised));
        city.pass(60);
    }
    let told = city.notifications();
    assert!(told.iter().any(|it| matches!(it.suppressed, Some(Suppression::Flapping(score)) if score >= 2)), "{told:?}");
    assert!(told.iter().all(|it| it.outcome != Sent), "not before the interval is over");
    city.pass(1800);
    assert!(city.notifications().iter().any(|it| it.outcome == Sent && it.level == 1), "then what it has become");
}

#[test]
fn a_condition_has_to_hold_where_its_signal_asks_for_it() {
    let asks = |state| Signal { pending_s: Some(60), ..flood("s1", 2, state) };
    let mut city = City::new();
    city.signal(asks(Raised));
    city.pass(59);
    assert_eq!(city.brain.alerts().count(), 0);
    city.signal(asks(Cleared));
    city.pass(600);
    assert_eq!(city.brain.alerts().count(), 0, "it did not hold");
    city.signal(asks(Raised));
    city.pass(30);
    city.signal(asks(Raised));
    city.pass(30);
    let alert = city.brain.alerts().next().expect("it has held").clone();
    assert_eq!(alert.onset, city.clock - TimeDelta::seconds(60), "since it was first found");
    assert_eq!(city.changes().len(), 1);
    city.signal(Signal { pending_s: Some(60), ..flood("s2", 2, Raised) });
    city.signal(Signal { pending_s: Some(60), ..flood("s2", 2, Unknown) });
    city.pass(600);
    assert_eq!(city.brain.alerts().count(), 1, "what is not measured does not hold");
}

#[test]
fn an_alert_keeps_firing_and_clears_as_its_scenario_asks() {
    let mut city = with_times(r#"{ "pending_s": 20, "clear_after_s": 60, "keep_firing_s": 600 }"#);
    city.signal(flood("s1", 2, Raised));
    city.pass(20);
    let id = city.alert();
    city.signal(flood("s1", 2, Cleared));
    city.pass(579);
    assert_eq!(city.brain.alert(&id).map(|alert| alert.state), Some(AlertState::Active));
    city.pass(21);
    assert_eq!(city.brain.alert(&id).map(|alert| alert.state), Some(AlertState::Cleared));
}

#[test]
fn an_alert_of_which_nothing_is_heard_for_a_day_is_unknown_and_never_cleared() {
    let mut city = City::new();
    city.signal(flood("s1", 2, Raised));
    city.pass(12 * 3600);
    city.signal(flood("s1", 2, Raised));
    city.effects.clear();
    city.pass(12 * 3600);
    assert_eq!(city.changes().iter().map(|it| it.change.as_str()).collect::<Vec<_>>(), ["renewed"], "its message ended");
    city.pass(24 * 3600);
    let changes = city.changes();
    assert_eq!(changes.iter().map(|it| (it.change.as_str(), it.state)).collect::<Vec<_>>(), [("unknown", AlertState::Unknown)]);
    city.pass(3 * 365 * 24 * 3600);
    assert_eq!(city.told().into_iter().map(|it| it.0).collect::<Vec<_>>(), [Sent, Escalated, Escalated], "told as unknown, up to the top, and never again");
    assert_eq!(city.brain.pending().count(), 0);
    city.signal(flood("s1", 2, Raised));
    assert_eq!(city.changes().last().map(|it| it.change.clone()), Some("restored".to_owned()));
    assert!(city.brain.pending().any(|(_, timer)| timer.ends_with("/life")), "heard of again, it has its day");
}

#[test]
fn people_hand_on_remark_and_judge() {
    let mut city = City::new();
    city.signal(flood("s1", 2, Raised));
    let id = city.alert();
    city.effects.clear();
    city.command(Action::Comment, &id, "王", AlertOrder::default());
    city.command(Action::Assign, &id, "王", AlertOrder { owner: Some("李".into()), ..AlertOrder::default() });
    city.command(Action::Judge, &id, "王", AlertOrder { verdict: Some(Verdict::Real), ..AlertOrder::default() });
    city.command(Action::Close, &id, "王", AlertOrder { verdict: Some(Verdict::False), ..AlertOrder::default() });
    city.command(Action::Judge, &id, "李", AlertOrder { verdict: Some(Verdict::Duplicate), ..AlertOrder::default() });
    let told: Vec<_> = city.changes().into_iter().map(|it| (it.change, it.owner, it.verdict, it.cap.is_some())).collect();
    let change = |change: &str, owner: Option<&str>, verdict, cap| (change.to_owned(), owner.map(str::to_owned), verdict, cap);
    assert_eq!(told, [
        change("commented", None, None, true),
        change("assigned", Some("李"), None, true),
        change("judged", Some("李"), Some(Verdict::Real), true),
        change("closed", Some("李"), Some(Verdict::False), true),
        change("judged", Some("李"), Some(Verdict::Duplicate), false),
    ], "the Cancel was the last CAP message");
    let alert = city.brain.alert(&id).expect("it is kept for a while");
    assert_eq!((alert.state, alert.comments, alert.verdict), (AlertState::Cleared, 1, Some(Verdict::Duplicate)));
}

#[test]
fn an_exercise_meets_neither_the_real_thing_nor_the_public() {
    let mut city = City::new();
    city.signal(flood("real", 2, Raised));
    city.command(Action::StartExercise, "", "陈", order(&[("scenario", FLOOD), ("district", "d02")], begin() + TimeDelta::hours(2)));
    let exercise = city.brain.exercises().next().expect("an exercise").id.clone();
    city.effects.clear();
    city.signal(flood("real", 1, Raised));
    city.signal(flood("drill", 1, Raised));
    city.signal(found(FLOOD, "elsewhere", "d03", 2, Raised));
    city.signal(Signal { status: Status::Test, ..flood("bench", 1, Raised) });
    city.pass(10);
    let record = city.record(None, Body::Context(ContextFact::default()));
    for effect in &city.effects {
        if let brain::Effect::Alert(it) = effect {
            let topic = effect_event(effect, &record).expect("an event").0;
            let cap = CapAlert::parse(it.cap.as_deref().expect("a message")).expect("valid");
            let status = match it.originator.as_str() {
                "drill" => Status::Exercise,
                "bench" => Status::Test,
                _ => Status::Actual,
            };
            assert_eq!((it.status, cap.status.as_str()), (status, status.cap()), "{}", it.originator);
            assert_eq!(topic, if status == Status::Actual { "alert.urban_flooding" } else { "alert.exercise" });
            assert_eq!(it.incident.is_some(), status == Status::Actual, "an exercise is part of no incident");
            assert_eq!(it.headline.en.starts_with('['), status != Status::Actual);
        }
        if let brain::Effect::Dispatch(it) = effect {
            assert_eq!(it.kind == "exercise", it.reason.starts_with('['), "{}", it.reason);
        }
    }
    let told = city.notifications();
    for it in told.iter().filter(|it| it.is_told()) {
        let real = it.alerts.iter().all(|alert| matches!(alert.originator.as_str(), "real" | "elsewhere"));
        assert_eq!(it.status.is_actual(), real, "exercise and the real thing are told apart");
    }
    let drill = city.brain.alerts().find(|alert| alert.originator == "drill").expect("the drill").id.clone();
    for action in [Action::DraftWarning, Action::ApproveWarning, Action::PublishWarning] {
        city.command(action, &drill, "陈", AlertOrder::default());
    }
    let refused = city.refused();
    assert!(refused.len() == 3 && refused[0].contains("an exercise never reaches the public"), "{refused:?}");
    city.command(Action::StopExercise, &exercise, "陈", AlertOrder::default());
    let closed = city.changes();
    assert_eq!(closed.iter().map(|it| (it.originator.as_str(), it.change.as_str(), it.reason.as_str())).collect::<Vec<_>>(), [("drill", "closed", "the exercise is over")]);
    city.signal(flood("drill", 1, Raised));
    assert_eq!(city.changes().last().map(|it| it.status), Some(Status::Actual), "afterwards it is meant");
}

#[test]
fn an_exercise_names_what_it_is_about_and_ends_by_itself() {
    let mut city = City::new();
    city.signal(flood("s0", 4, Raised));
    city.effects.clear();
    city.command(Action::StartExercise, "", "陈", order(&[("level", "1")], begin() + TimeDelta::hours(2)));
    city.command(Action::StartExercise, "", "陈", order(&[("district", "d02")], begin() + TimeDelta::days(3)));
    let refused = city.refused();
    assert!(refused[0].contains("the whole city never only practises") && refused[1].contains("within 24 hours"), "{refused:?}");
    city.command(Action::StartExercise, "", "陈", order(&[("district", "d02")], begin() + TimeDelta::hours(2)));
    city.signal(flood("drill", 1, Raised));
    city.pass(2 * 3600);
    assert_eq!(city.brain.exercises().count(), 0);
    assert_eq!(city.brain.alerts().find(|alert| alert.originator == "drill").map(|alert| alert.state), Some(AlertState::Cleared));
}

/// Draft, approval by somebody else, publication; an Update, never an edit; a Cancel.
#[test]
fn the_public_is_warned_by_people_only() {
    let mut city = City::new();
    city.signal(flood("s1", 1, Raised));
    let id = city.alert();
    city.pass(10);
    assert!(city.notifications().iter().all(|it| PublicNotice::of(it).is_none()), "nothing goes to the public by itself");
    let text = |zh: &str| AlertOrder { text: Some(Headline { zh: zh.into(), en: "Water in the underpass".into() }), ..AlertOrder::default() };
    let steps: [(Action, &str, AlertOrder, Option<&str>); 12] = [
        (Action::PublishWarning, "王", AlertOrder::default(), Some("no approved draft")),
        (Action::DraftWarning, "王", text(""), Some("in both languages")),
        (Action::DraftWarning, "王", text("请勿进入下穿通道"), None),
        (Action::PublishWarning, "王", AlertOrder::default(), Some("no approved draft")),
        (Action::ApproveWarning, "王", AlertOrder::default(), Some("ask somebody else")),
        (Action::ApproveWarning, "李", AlertOrder::default(), None),
        (Action::PublishWarning, "王", AlertOrder::default(), None),
        (Action::PublishWarning, "王", AlertOrder::default(), Some("no approved draft")),
        (Action::DraftWarning, "王", text("水位上涨"), None),
        (Action::ApproveWarning, "李", AlertOrder::default(), None),
        (Action::PublishWarning, "王", AlertOrder::default(), None),
        (Action::CancelWarning, "王", AlertOrder::default(), None),
    ];
    let mut messages = Vec::new();
    let mut public = 0;
    for (action, actor, alerting, refused) in steps {
        city.command(action, &id, actor, alerting);
        let effects = city.effects.clone();
        let told = city.refused().concat();
        assert!(refused.map_or(told.is_empty(), |reason| told.contains(reason)), "{action:?}: {told}");
        for effect in effects {
            match effect {
                brain::Effect::Alert(it) => {
                    let warning = it.warning.expect("the change is about the warning");
                    let cap = CapAlert::parse(warning.cap.as_deref().expect("a message")).expect("valid");
                    messages.push((warning.stage, cap.status, cap.msg_type, cap.scope, cap.references.len()));
                }
                brain::Effect::Notification(it) if it.audience == Audience::Public => {
                    let notice = PublicNotice::of(&it).expect("a published warning that is meant");
                    let cap = CapAlert::parse(notice.get().cap.as_deref().expect("the message")).expect("valid");
                    assert_eq!((it.outcome, cap.scope.as_str(), cap.status.as_str()), (Published, "Public", "Actual"));
                    public += 1;
                }
                _ => {}
            }
        }
    }
    let message = |stage, status: &str, msg_type: &str, references| (stage, status.to_owned(), msg_type.to_owned(), "Public".to_owned(), references);
    assert_eq!(messages, [
        message(WarningStage::Drafted, "Draft", "Alert", 0),
        message(WarningStage::Approved, "Draft", "Alert", 0),
        message(WarningStage::Published, "Actual", "Alert", 0),
        message(WarningStage::Drafted, "Draft", "Update", 1),
        message(WarningStage::Approved, "Draft", "Update", 1),
        message(WarningStage::Published, "Actual", "Update", 1),
        message(WarningStage::Cancelled, "Actual", "Cancel", 2),
    ]);
    assert_eq!(public, 3);
}

#[test]
fn a_warning_that_nobody_renews_ends_after_a_day_and_its_unit_is_reminded() {
    let mut city = City::new();
    city.signal(flood("s1", 1, Raised));
    let id = city.alert();
    for (action, actor) in [(Action::DraftWarning, "王"), (Action::ApproveWarning, "李"), (Action::PublishWarning, "王"), (Action::Acknowledge, "王")] {
        city.command(action, &id, actor, AlertOrder::default());
    }
    city.pass(10);
    city.effects.clear();
    city.pass(23 * 3600);
    let told = city.notifications();
    assert!(told.iter().any(|it| it.outcome == Repeated && it.reason.contains("ends in 1 h")), "{told:?}");
    city.pass(3600);
    let changes: Vec<_> = city.changes().into_iter().filter_map(|it| Some((it.change, it.warning?.stage))).collect();
    assert_eq!(changes, [("warning_expired".to_owned(), WarningStage::Expired)]);
    assert_eq!(city.brain.alert(&id).and_then(|alert| alert.warning.as_ref()?.expires), None);
}

#[test]
fn an_emergency_halves_the_waits() {
    let mut city = City::new();
    city.signal(found("garbage", "w", "d09", 4, Raised));
    city.pass(60);
    city.effects.clear();
    city.command(Action::Mode, "city", "陈", AlertOrder { mode: Some(Mode::Emergency), ..AlertOrder::default() });
    assert_eq!(city.brain.mode(), Mode::Emergency);
    city.signal(flood("s1", 3, Raised));
    city.pass(15);
    assert_eq!(city.told(), [(Sent, "drainage".to_owned(), 1)]);
    city.pass(900);
    assert_eq!(city.told(), [(Escalated, "water-affairs".to_owned(), 1)]);
    city.command(Action::Mode, "city", "陈", AlertOrder { mode: Some(Mode::Emergency), ..AlertOrder::default() });
    assert!(city.refused().concat().contains("emergency mode"));
}

/// When thousands fall silent it is the network: the alerts of silent stations are bounded, what each measured is unknown.
#[test]
fn many_silent_stations_are_not_many_alerts() {
    let mut city = City::new();
    for n in 0..1000 {
        city.signal(silent(FLOOD, &format!("s{n}"), "d02", Raised));
    }
    assert_eq!(city.brain.alerts().count(), 256);
    city.pass(60);
    let told = city.notifications();
    assert_eq!(told.iter().filter(|it| it.is_told()).map(|it| (it.alerts.len(), it.truncated)).collect::<Vec<_>>(), [(64, 192)]);
    assert_eq!(city.brain.alarm_load().values().sum::<u64>(), 1, "one notification");
}

/// The brain's own troubles are alerts whatever the graph says.
#[test]
fn a_receiver_that_cannot_be_reached_is_an_alert() {
    let mut city = City::new();
    city.signal(Signal { district: None, ..found("operations", "webhook-duty", "", 3, Raised) });
    let alert = city.brain.alerts().next().expect("an alert").clone();
    assert_eq!((alert.unit.as_deref(), alert.incident, alert.headline.zh.contains("系统运行")), (Some("duty-office"), None, true));
}
