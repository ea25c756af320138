//! How incidents form, grow together, fall apart and are graded; early alerts that come true or do not.

mod common;

use brain::{Effect, IncidentChange, Relation};
use chrono::TimeDelta;
use common::{City, found, with_times};
use schemas::agent::{AgentAnswer, Brief, Citation};
use schemas::alert::{AlertState, Verdict};
use schemas::journal::{Action, AlertOrder, Body, EventRef, HotlineMessage};
use schemas::signal::{MicroDeg, Signal, SignalKind, SignalState};

use SignalState::{Cleared, Raised};

/// A gauge on the map. A thousandth of a degree of latitude is 111 m.
fn gauge(scenario: &str, property: &str, station: &str, district: &str, at: (f64, f64), level: u8) -> Signal {
    Signal {
        property: Some(property.to_owned()),
        lat: MicroDeg::from_degrees(at.0),
        lon: MicroDeg::from_degrees(at.1),
        ..found(scenario, station, district, level, Raised)
    }
}

fn call(city: &mut City, text: &str, district: &str, at: (f64, f64)) {
    let seq = city.brain.next_seq();
    let event = EventRef { source: "hotline".to_owned(), id: seq.to_string(), time: Some(city.clock) };
    let message = HotlineMessage {
        message_id: seq.to_string(),
        text: text.to_owned(),
        district: Some(district.to_owned()),
        lat: MicroDeg::from_degrees(at.0),
        lon: MicroDeg::from_degrees(at.1),
        ..HotlineMessage::default()
    };
    city.hear(event, Body::Hotline(message));
}

/// The changes of incidents since this was asked last.
fn changes(city: &mut City) -> Vec<IncidentChange> {
    std::mem::take(&mut city.effects).into_iter().filter_map(|effect| if let Effect::Incident(it) = effect { Some(it) } else { None }).collect()
}

fn brief(changes: &[IncidentChange]) -> Vec<(&str, Option<&str>, Option<Relation>)> {
    changes.iter().map(|it| (it.change.as_str(), it.event.as_deref(), it.relation)).collect()
}

const BURST: (f64, f64) = (30.588, 114.322);
/// 440 m north of it.
const NEAR: (f64, f64) = (30.592, 114.322);
/// 9 km south of it.
const FAR: (f64, f64) = (30.505, 114.322);

#[test]
fn what_a_burst_leads_to_joins_it_where_and_when_the_chain_says_so() {
    let mut city = City::with(with_times("water_main_burst", "{}"));
    city.signal(gauge("water_main_burst", "pressure", "p1", "d03", BURST, 2));
    let opened = changes(&mut city);
    assert_eq!(brief(&opened), [("opened", Some("main_burst"), None), ("joined", Some("main_burst"), Some(Relation::Evidence))], "the alert, and the case that it opens");
    let expected: Vec<&str> = opened[0].expected.iter().map(|it| it.event.as_str()).collect();
    assert!(expected.contains(&"water_outage") && expected.contains(&"ponding"), "{expected:?}");
    city.pass(20 * 60);
    call(&mut city, "民主路路面大量积水", "d03", NEAR);
    let joined = changes(&mut city);
    assert_eq!(brief(&joined), [("joined", Some("ponding"), Some(Relation::ComesOf))], "{joined:?}");
    assert_eq!((joined[0].permille, joined[0].because.as_deref()), (Some(500), Some("main_burst → ponding")));
    assert!(!joined[0].expected.iter().any(|it| it.event == "ponding"), "what has come is expected no more");
    city.pass(60);
    call(&mut city, "路面大量积水", "d07", FAR);
    assert_eq!(brief(&changes(&mut city)), [], "beyond 800 m it is another matter, and one call alone is none");
    assert_eq!(city.brain.incidents().count(), 1);
}

#[test]
fn what_was_considered_and_rejected_is_told() {
    let mut city = City::with(with_times("water_main_burst", "{}"));
    city.signal(gauge("water_main_burst", "pressure", "p1", "d03", BURST, 2));
    let burst = city.brain.incidents().next().expect("one").id.clone();
    city.pass(20 * 60);
    changes(&mut city);
    city.signal(gauge("urban_flooding", "water_level", "w1", "d07", FAR, 3));
    let opened = changes(&mut city);
    assert_eq!(opened[0].change, "opened");
    assert_eq!(opened[0].considered.len(), 1);
    assert_eq!(opened[0].considered[0].incident, burst);
    assert!(opened[0].considered[0].reason.contains("main_burst → ponding") && opened[0].considered[0].reason.contains("m away, and it reaches 800 m"), "{opened:?}");
}

#[test]
fn a_border_between_districts_parts_nothing() {
    let mut city = City::new();
    city.signal(gauge("urban_flooding", "water_level", "w1", "d01", (30.6000, 114.3000), 3));
    city.pass(600);
    city.signal(gauge("urban_flooding", "water_level", "w2", "d02", (30.6030, 114.3000), 3));
    assert_eq!(city.brain.incidents().count(), 1);
    let incident = city.brain.incidents().next().expect("one");
    assert_eq!(incident.districts.iter().map(String::as_str).collect::<Vec<_>>(), ["d01", "d02"]);
}

#[test]
fn a_cause_that_is_seen_later_joins_what_came_of_it() {
    let mut city = City::new();
    // Water on two roads, 2.2 km apart: two matters, as far as anybody knows.
    city.signal(gauge("urban_flooding", "water_level", "w1", "d02", (30.5700, 114.2600), 3));
    city.pass(300);
    city.signal(gauge("urban_flooding", "water_level", "w2", "d02", (30.5900, 114.2600), 3));
    assert_eq!(city.brain.incidents().count(), 2);
    city.pass(300);
    changes(&mut city);
    city.signal(gauge("urban_flooding", "rainfall", "r1", "d02", (30.5800, 114.2650), 3));
    let told = changes(&mut city);
    assert_eq!(city.brain.incidents().count(), 1, "the rain explains both: {told:?}");
    let merged = told.iter().find(|it| it.change == "merged").expect("merged");
    assert!(told.iter().any(|it| it.change == "closed" && it.other.as_deref() == Some(merged.incident.as_str())));
    assert!(city.brain.alerts().all(|alert| alert.incident.as_deref() == Some(merged.incident.as_str())));
}

#[test]
fn without_its_cause_an_incident_falls_apart() {
    let mut city = City::new();
    city.signal(gauge("urban_flooding", "rainfall", "r1", "d02", (30.5800, 114.2650), 3));
    let rain = city.alert();
    city.pass(1200);
    city.signal(gauge("urban_flooding", "water_level", "w1", "d02", (30.5700, 114.2600), 3));
    city.pass(300);
    city.signal(gauge("urban_flooding", "water_level", "w2", "d02", (30.5900, 114.2600), 3));
    assert_eq!(city.brain.incidents().count(), 1);
    changes(&mut city);
    city.command(Action::Judge, &rain, "duty", AlertOrder { verdict: Some(Verdict::False), ..AlertOrder::default() });
    let told = changes(&mut city);
    assert_eq!(told.iter().map(|it| it.change.as_str()).collect::<Vec<_>>(), ["left", "split"], "{told:?}");
    assert_eq!(city.brain.incidents().count(), 2);
    assert_eq!(city.brain.alert(&rain).expect("there").incident, None);
    let incidents: std::collections::BTreeSet<_> = city.brain.alerts().filter_map(|alert| alert.incident.clone()).collect();
    assert_eq!(incidents.len(), 2);
}

#[test]
fn rules_of_the_scenario_grade_it() {
    let mut city = City::new();
    city.signal(gauge("urban_flooding", "water_level", "w1", "d02", (30.5700, 114.2600), 3));
    changes(&mut city);
    city.pass(1800);
    call(&mut city, "下穿通道被淹，有人被困车里", "d02", (30.5705, 114.2605));
    let told = changes(&mut city);
    let graded = told.iter().find(|it| it.change == "graded").expect("graded");
    assert_eq!((graded.level, graded.reason.as_str()), (2, "urban_flooding: somebody's life is at risk"));
}

#[test]
fn signs_of_several_kinds_are_an_early_alert_and_it_is_known_how_early() {
    let mut city = City::new();
    city.signal(gauge("gas_explosion", "gas", "g1", "d04", (30.5310, 114.3600), 4));
    for _ in 0..3 {
        city.pass(60);
        call(&mut city, "楼道里有燃气味", "d04", (30.5312, 114.3602));
        assert!(!city.brain.alerts().any(|alert| alert.hazard == "weak_signals"));
    }
    city.pass(60);
    call(&mut city, "闻到煤气味很重", "d04", (30.5311, 114.3601));
    let early = city.brain.alerts().find(|alert| alert.hazard == "weak_signals").expect("an early alert").clone();
    assert_eq!((early.level, early.state), (3, AlertState::Active));
    city.pass(30 * 60);
    city.changes();
    city.signal(gauge("gas_explosion", "gas", "g2", "d04", (30.5315, 114.3600), 1));
    let over = city.changes().into_iter().find(|it| it.alert == early.id).expect("it is over");
    assert_eq!((over.change.as_str(), over.lead_s), ("came_true", Some(30 * 60)));
}

#[test]
fn calls_alone_and_one_sensor_alone_are_no_weak_signs() {
    let mut city = City::new();
    for _ in 0..5 {
        call(&mut city, "路面积水", "d02", (30.5700, 114.2600));
        city.pass(60);
    }
    assert!(!city.brain.alerts().any(|alert| alert.hazard == "weak_signals"));
    let mut city = City::new();
    for _ in 0..5 {
        city.signal(gauge("urban_flooding", "water_level", "w1", "d02", (30.5700, 114.2600), 4));
        city.pass(60);
    }
    assert!(!city.brain.alerts().any(|alert| alert.hazard == "weak_signals"));
}

/// One reading of a detector in the gas scenario, which waits three minutes for confirmation.
fn reading(station: &str, second: i64, level: u8, state: SignalState, city: &City) -> Signal {
    let at = Some(city.clock + TimeDelta::seconds(second));
    Signal { state, window_start: at, window_end: at, ..gauge("gas_explosion", "gas", station, "d04", (30.5310, 114.3600), level) }
}

#[test]
fn one_wild_reading_is_no_alert_and_a_second_one_is() {
    let mut city = City::new();
    let wild = reading("g1", 0, 1, Raised, &city);
    city.signal(wild.clone());
    // Another job speaks of the same minute, and so of the same reading.
    city.signal(Signal { window_start: Some(city.clock - TimeDelta::seconds(20)), ..wild });
    assert_eq!(city.brain.alerts().count(), 0, "nothing is known yet");
    city.pass(120);
    let gone = reading("g1", 0, 4, Cleared, &city);
    city.signal(gone);
    city.pass(600);
    assert_eq!(city.brain.alerts().count(), 0, "it was taken back");

    let first = reading("g1", 0, 1, Raised, &city);
    city.signal(first);
    city.pass(60);
    let second = reading("g1", 0, 1, Raised, &city);
    city.signal(second);
    assert_eq!(city.brain.alerts().map(|alert| alert.level).collect::<Vec<_>>(), [1], "found again");
}

#[test]
fn a_neighbour_or_silence_bears_a_finding_out() {
    let mut city = City::new();
    let one = reading("g1", 0, 2, Raised, &city);
    city.signal(one);
    city.pass(30);
    let other = reading("g2", 0, 3, Raised, &city);
    city.signal(other);
    city.pass(1);
    assert_eq!(city.brain.alerts().map(|alert| alert.originator.as_str()).collect::<Vec<_>>(), ["g2", "g1"]);
    assert_eq!(city.brain.cases().count(), 2, "and somebody has to look at each");

    let mut city = City::new();
    let one = reading("g1", 0, 1, Raised, &city);
    city.signal(one);
    city.pass(179);
    assert_eq!(city.brain.alerts().count(), 0);
    city.pass(1);
    assert_eq!(city.brain.alerts().count(), 1, "what nobody takes back is believed");
}

fn trend(expected_s: i64, city: &City, state: SignalState) -> Signal {
    let expected = Some(city.clock + TimeDelta::seconds(expected_s));
    Signal { signal: SignalKind::Trend, expected, state, ..gauge("urban_flooding", "water_level", "w1", "d02", (30.57, 114.26), 2) }
}

#[test]
fn a_forecast_has_its_onset_in_the_future_and_its_lead_is_measured() {
    let mut city = City::new();
    let signal = trend(40 * 60, &city, Raised);
    city.signal(signal);
    let forecast = city.changes().into_iter().find(|it| it.hazard == "water_level_forecast").expect("a forecast");
    assert_eq!((forecast.change.as_str(), forecast.onset), ("raised", city.clock + TimeDelta::minutes(40)));
    let cap = forecast.cap.expect("a message");
    assert!(cap.contains("<urgency>Expected</urgency>") && cap.contains("<certainty>Likely</certainty>") && cap.contains("<onset>"), "{cap}");
    city.pass(20 * 60);
    // Milder than foretold: not yet.
    city.signal(gauge("urban_flooding", "water_level", "w1", "d02", (30.57, 114.26), 3));
    assert!(!city.changes().iter().any(|it| it.change == "came_true"));
    city.pass(15 * 60);
    city.signal(gauge("urban_flooding", "water_level", "w1", "d02", (30.57, 114.26), 2));
    let over = city.changes().into_iter().find(|it| it.change == "came_true").expect("it came true");
    assert_eq!((over.hazard.as_str(), over.lead_s), ("water_level_forecast", Some(35 * 60)));
}

#[test]
fn a_forecast_that_does_not_come_true_ends_by_itself() {
    let mut city = City::new();
    let signal = trend(40 * 60, &city, Raised);
    city.signal(signal);
    city.changes();
    city.pass(70 * 60 - 1);
    assert_eq!(city.changes().iter().filter(|it| it.state == AlertState::Cleared).count(), 0);
    city.pass(1);
    let over = city.changes();
    assert_eq!(over.iter().map(|it| it.change.as_str()).collect::<Vec<_>>(), ["did_not_come"]);
    let signal = trend(-60, &city, Raised);
    city.signal(signal);
    assert_eq!(city.refused(), ["a trend needs `expected`, a moment in the future"]);
    let signal = trend(60, &city, Cleared);
    city.signal(signal);
}

/// The plans that were proposed, approved or turned down since this was asked last, and who was sent by them.
fn planned(city: &mut City) -> (Vec<brain::Decision>, Vec<brain::Dispatch>) {
    let (mut plans, mut sent) = (Vec::new(), Vec::new());
    for effect in std::mem::take(&mut city.effects) {
        match effect {
            Effect::Decision(it) if it.kind == "plan" => plans.push(it),
            Effect::Dispatch(it) if it.kind == "plan" => sent.push(it),
            _ => {}
        }
    }
    (plans, sent)
}

#[test]
fn a_plan_names_units_of_three_levels_and_waits_for_people() {
    let mut city = City::new();
    city.signal(gauge("urban_flooding", "water_level", "w1", "d03", BURST, 4));
    assert_eq!(planned(&mut city).0, [], "what is only watched needs no plan");
    city.pass(60);
    city.signal(gauge("urban_flooding", "water_level", "w1", "d03", BURST, 2));
    let incident = city.brain.incidents().next().expect("one").id.clone();
    let (plans, sent) = planned(&mut city);
    let response = plans[0].response.clone().expect("a plan");
    assert_eq!((plans.len(), sent.len(), plans[0].tier.as_str(), plans[0].subject.as_str()), (1, 0, "rules", incident.as_str()));
    let tasks: Vec<(graph::Level, &str, bool)> = response.tasks.iter().map(|it| (it.level, it.unit.as_str(), it.stands_in)).collect();
    use graph::Level::{City as Whole, District, Street};
    assert_eq!(tasks, [(Whole, "traffic-police", false), (Whole, "water-affairs", false), (District, "central-urban", false), (Street, "drum-tower-office", false)]);
    assert!(response.tasks.iter().all(|it| city.brain.graph().unit(&it.unit).is_some() && it.due > plans[0].at));
    let kinds: Vec<&str> = response.resources.iter().map(|it| it.kind.as_str()).collect();
    assert!(kinds.contains(&"pump_truck") && kinds.contains(&"boat") && response.lacking.is_empty(), "{kinds:?}");
    assert_eq!(response.basis.len(), 2);
    let outlook = response.outlook.expect("something may follow");
    assert!(outlook.zh.contains('%') && outlook.en.starts_with("May follow: "), "{outlook:?}");

    city.command(Action::ApprovePlan, &incident, "王指挥", AlertOrder::default());
    let (plans, sent) = planned(&mut city);
    assert_eq!((plans[0].tier.as_str(), plans[0].outcome.as_str()), ("person", "plan-urban-flooding approved"));
    let units: Vec<&str> = sent.iter().map(|it| it.unit.as_str()).collect();
    assert_eq!(units, ["traffic-police", "water-affairs", "central-urban", "drum-tower-office"]);
    assert!(sent.iter().all(|it| !it.proposed && it.task.is_some() && it.due.is_some() && it.incident.as_ref() == Some(&incident)));

    // It becomes worse: a plan again, and nobody is sent twice for the same.
    city.pass(60);
    city.signal(gauge("urban_flooding", "water_level", "w1", "d03", BURST, 1));
    assert_eq!(planned(&mut city).0.len(), 1);
    city.command(Action::ApprovePlan, &incident, "王指挥", AlertOrder::default());
    assert_eq!(planned(&mut city).1, []);
    city.command(Action::ApprovePlan, &incident, "王指挥", AlertOrder::default());
    let refused = |effect: &Effect| matches!(effect, Effect::Decision(it) if it.kind == "refused" && it.reason.contains("no plan of it waits"));
    assert!(city.effects.iter().any(refused), "there is nothing left to approve");
}

#[test]
fn where_the_graph_knows_no_unit_of_a_level_the_next_one_above_stands_in() {
    let mut city = City::new();
    city.signal(gauge("urban_flooding", "water_level", "w1", "d06", FAR, 3));
    let (plans, _) = planned(&mut city);
    let response = plans[0].response.clone().expect("a plan");
    let stands_in: Vec<(&str, bool)> = response.tasks.iter().map(|it| (it.unit.as_str(), it.stands_in)).collect();
    assert!(stands_in.iter().any(|it| it.1), "{stands_in:?}");
    assert!(response.tasks.iter().all(|it| city.brain.graph().unit(&it.unit).is_some()), "every unit is one of the graph");
    assert!(!stands_in.iter().any(|it| it.0 == "water-affairs"), "that task is for level Ⅱ and graver");
}

#[test]
fn a_plan_is_held_by_documents_and_keeps_what_it_cites() {
    let mut city = City::new();
    let event = EventRef { source: "settings".to_owned(), id: "s".to_owned(), time: None };
    city.hear(event.clone(), Body::ConfigChanged { key: brain::BRIEFS.to_owned(), value: "cited".to_owned() });
    city.signal(gauge("urban_flooding", "water_level", "w1", "d03", BURST, 2));
    let incident = city.brain.incidents().last().expect("one").id.clone();
    let request = city.effects.iter().find_map(|effect| if let Effect::Ask(request) = effect { Some(request.clone()) } else { None }).expect("asked");
    let Some(Brief::Plan { plan, tasks, basis, .. }) = &request.brief else { panic!("about a plan: {request:?}") };
    assert_eq!((request.case.as_str(), request.text.as_str(), plan.as_str()), (incident.as_str(), "", "plan-urban-flooding"));
    assert!(!basis.is_empty() && tasks.iter().all(|task| task.minutes > 0) && ["city", "district", "street"].iter().all(|level| tasks.iter().any(|task| task.level == *level)), "{tasks:?}");
    planned(&mut city);
    let citation = Citation { section: "plan-urban-flooding#tasks".to_owned(), zh: "预案".to_owned(), en: "Plan".to_owned(), words: "字".to_owned(), covered_permille: 900 };
    let answer = AgentAnswer { request: request.id.clone(), case: incident.clone(), citations: vec![citation], lacking: vec!["no document holds some law".to_owned()], ..AgentAnswer::default() };
    city.hear(event.clone(), Body::Answer(answer.clone()));
    let (plans, sent) = planned(&mut city);
    assert_eq!((plans.len(), sent.len(), plans[0].tier.as_str()), (1, 0, "person"), "no draft of its orders");
    assert!(plans[0].outcome.ends_with("rests on plan-urban-flooding#tasks") && plans[0].reason.contains("some law"), "{:?}", plans[0]);
    city.command(Action::ApprovePlan, &incident, "王指挥", AlertOrder::default());
    let (plans, _) = planned(&mut city);
    assert_eq!(plans[0].response.as_ref().expect("the plan").cites, ["plan-urban-flooding#tasks"]);
    // It is answered once.
    city.hear(event, Body::Answer(answer));
    assert!(matches!(&city.effects[..], [Effect::Decision(noted)] if noted.kind == "noted"), "{:?}", city.effects);
}

#[test]
fn plans_that_people_approved_often_enough_need_nobody() {
    let mut city = City::with(with_times("gas_explosion", "{}"));
    let event = EventRef { source: "settings".to_owned(), id: "s".to_owned(), time: None };
    city.hear(event, Body::ConfigChanged { key: brain::PLANS_EARNED.to_owned(), value: "2".to_owned() });
    // Four places, each beyond the reach of the others.
    for round in 0..4 {
        let at = (30.3 + 0.1 * f64::from(round), 114.1 + 0.1 * f64::from(round));
        city.signal(gauge("gas_explosion", "gas", &format!("g{round}"), ["d01", "d02", "d03", "d04"][round as usize], at, if round == 3 { 1 } else { 3 }));
        let incident = city.brain.incidents().last().expect("one").id.clone();
        let (plans, sent) = planned(&mut city);
        match round {
            0 | 1 => {
                assert_eq!((plans.len(), sent.len()), (1, 0), "{round}");
                city.command(Action::ApprovePlan, &incident, "王指挥", AlertOrder::default());
                planned(&mut city);
            }
            2 => {
                assert_eq!((plans.len(), plans[1].tier.as_str()), (2, "rules"));
                assert!(plans[1].reason.contains("the last 2 plans") && !sent.is_empty());
            }
            _ => assert_eq!((plans.len(), sent.len()), (1, 0), "the gravest are for people"),
        }
        city.pass(60);
    }
}

#[test]
fn incidents_that_are_over_teach_what_follows() {
    let mut city = City::with(with_times("water_main_burst", "{}"));
    let burst = |city: &mut City, round: u32| -> brain::Expected {
        city.signal(gauge("water_main_burst", "pressure", &format!("p{round}"), "d03", BURST, 2));
        let opened = changes(city).into_iter().find(|it| it.change == "opened").expect("an incident");
        opened.expected.into_iter().find(|it| it.event == "ponding").expect("it may follow")
    };
    let first = burst(&mut city, 0);
    assert_eq!((first.permille, first.seen), (500, 0), "as the graph has it");
    let mut last = first;
    for round in 1..=20 {
        // Nothing comes of it, and two days later it is over.
        city.signal(Signal { state: Cleared, ..gauge("water_main_burst", "pressure", &format!("p{}", round - 1), "d03", BURST, 2) });
        city.pass(4 * 24 * 3600);
        last = burst(&mut city, round);
    }
    assert!(last.seen >= 15 && (230..=300).contains(&last.permille), "{last:?}");
}
