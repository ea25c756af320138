//! What models and a reader say of a message, and what of it decides: rules first, one active model after them, shadows never.

mod city;

use brain::{Brain, Chain, Config, Decision, Effect};
use chrono::DateTime;
use city::{City, at, decisions};
use graph::Graph;
use schemas::journal::*;
use schemas::understood::{Opinion, Role, RunnerUp, Task, Understood};

fn opinion(task: Task, label: &str, accepted: bool) -> Opinion {
    let runners_up = vec![RunnerUp { label: "garbage".into(), permille: 20 }, RunnerUp { label: "street_order".into(), permille: 10 }];
    let (model, digest) = (format!("{}-model", task.name()), "0f1e".to_owned());
    Opinion { task, model, digest, role: Role::Active, label: label.into(), permille: 960, accepted, familiar_permille: 900, runners_up }
}

fn understood(opinions: Vec<Opinion>) -> Option<Understood> {
    Some(Understood { chars: 8, opinions, intent: Some("complaint".into()), ..Understood::default() })
}

fn message(text: &str) -> HotlineMessage {
    HotlineMessage { message_id: "m".into(), text: text.into(), address: Some("中山路88号".into()), ..HotlineMessage::default() }
}

/// The triage of a message, and what else came of it.
fn triage(message: HotlineMessage, understood: Option<Understood>) -> (Decision, Vec<Effect>) {
    let effects = City::new().understands(at("2026-07-15T10:00"), "hotline", Body::Hotline(message), understood);
    let triage = decisions(&effects).into_iter().find(|decision| decision.kind == "triage").expect("a triage").clone();
    (triage, effects)
}

/// Tier, category and unit.
fn decided(text: &str, understood: Option<Understood>) -> [String; 3] {
    let (triage, _) = triage(message(text), understood);
    [triage.tier, triage.category.expect("a category"), triage.unit.expect("a unit")]
}

/// Nothing in it is a word of the graph.
const STRANGE: &str = "楼上每晚跳绳到半夜，孩子没法睡";

#[test]
fn without_opinions_everything_is_as_it_was() {
    for text in [STRANGE, "下穿通道积水", "路灯不亮，噪音扰民"] {
        let (silent, effects) = triage(message(text), None);
        let (read, same) = triage(message(text), Some(Understood { chars: 3, ..Understood::default() }));
        assert_eq!(silent, read);
        assert_eq!(effects, same);
        assert_eq!((silent.models, silent.candidates, silent.opinions), (vec![], vec![], vec![]));
    }
}

#[test]
fn a_model_speaks_where_the_words_say_nothing() {
    assert_eq!(decided(STRANGE, None), ["rules", "other", "duty-office"]);
    let (triage, effects) = triage(message(STRANGE), understood(vec![opinion(Task::Category, "noise", true)]));
    assert_eq!((triage.tier.as_str(), triage.category.as_deref(), triage.confidence_permille), ("small", Some("noise"), 960));
    assert_eq!(triage.unit.as_deref(), Some("environment"), "whose duty it is says the graph");
    assert_eq!(triage.models, ["category-model@0f1e"]);
    assert!(triage.reason.contains("model category-model says noise (960 ‰)"), "{}", triage.reason);
    assert_eq!(triage.intent.as_deref(), Some("complaint"));
    let candidates: Vec<_> = triage.candidates.iter().map(|it| (it.task, it.by.as_str(), it.label.as_str(), it.permille)).collect();
    let by = "category-model";
    let category = [("rules", "other", 300), (by, "noise", 960), (by, "garbage", 20), (by, "street_order", 10)];
    let expected = category.map(|(by, label, permille)| (Task::Category, by, label, permille)).into_iter().chain([(Task::Unit, "rules", "environment", 1000)]);
    assert_eq!(candidates, expected.collect::<Vec<_>>());
    let accepted = city::transitions(&effects).into_iter().find(|it| it.reason.starts_with("sorted")).expect("it is accepted");
    assert_eq!(accepted.reason, "sorted by a model");
}

#[test]
fn what_somebody_chose_and_what_words_say_for_sure_stands() {
    let noise = || understood(vec![opinion(Task::Category, "noise", true)]);
    assert_eq!(decided("下穿通道积水", noise())[..2], ["rules", "flooding"]);
    let chosen = HotlineMessage { category: Some("flooding".into()), ..message(STRANGE) };
    let (triage, _) = triage(chosen, noise());
    assert_eq!((triage.tier.as_str(), triage.category.as_deref()), ("rules", Some("flooding")));
    assert!(triage.candidates.iter().any(|it| it.label == "noise" && it.by == "category-model"), "the model that disagrees is seen");
    // Words of two categories are in doubt.
    assert_eq!(decided("路灯不亮，噪音扰民", noise())[..2], ["small", "noise"]);
}

#[test]
fn who_abstains_or_says_what_nobody_knows_decides_nothing() {
    for (label, accepted) in [("noise", false), ("no_such_category", true), ("", true)] {
        assert_eq!(decided(STRANGE, understood(vec![opinion(Task::Category, label, accepted)])), ["rules", "other", "duty-office"], "{label}");
    }
    for (label, accepted) in [("drainage", false), ("no-such-unit", true)] {
        assert_eq!(decided(STRANGE, understood(vec![opinion(Task::Unit, label, accepted)])), ["rules", "other", "duty-office"], "{label}");
    }
    let injected = Understood { injection: true, ..understood(vec![opinion(Task::Category, "noise", true), opinion(Task::Unit, "drainage", true)]).expect("some") };
    let (seen, _) = triage(message(STRANGE), Some(injected));
    assert_eq!((seen.tier.as_str(), seen.category.as_deref(), seen.injection), ("person", Some("other"), Some(true)));
    assert_eq!(seen.opinions.len(), 2, "what was thought is kept");
    let stopped = Understood { stopped: vec!["threat-kill-zh".to_owned()], ..understood(vec![opinion(Task::Category, "noise", true)]).expect("some") };
    let (seen, _) = triage(message(STRANGE), Some(stopped));
    assert_eq!((seen.tier.as_str(), seen.category.as_deref(), seen.injection, seen.stopped.len()), ("person", Some("other"), None, 1));
}

#[test]
fn a_unit_is_named_only_where_the_graph_knows_none() {
    let unit = |label| opinion(Task::Unit, label, true);
    let (named, effects) = triage(message(STRANGE), understood(vec![unit("drainage")]));
    assert_eq!((named.tier.as_str(), named.category.as_deref(), named.unit.as_deref()), ("small", Some("other"), Some("drainage")));
    assert_eq!((named.models.as_slice(), named.confidence_permille), (["unit-model@0f1e".to_owned()].as_slice(), 300), "no surer than its weakest part");
    assert!(named.candidates.iter().any(|it| (it.task, it.label.as_str(), it.permille) == (Task::Unit, "duty-office", 0)));
    let given = city::transitions(&effects).into_iter().rfind(|it| it.unit.is_some()).expect("it is assigned");
    assert_eq!((given.unit.as_deref(), given.reason.as_str()), (Some("drainage"), "model unit-model says drainage (960 ‰)"));
    // With a duty in the graph it is no more than a proposal.
    let (owed, _) = triage(message("下穿通道积水"), understood(vec![unit("traffic-police")]));
    assert_eq!((owed.tier.as_str(), owed.unit.as_deref()), ("rules", Some("drainage")));
    assert!(owed.candidates.iter().any(|it| it.label == "traffic-police" && it.by == "unit-model"));
}

#[test]
fn shadows_are_recorded_and_never_act() {
    let shadow = |task, label| Opinion { role: Role::Shadow, ..opinion(task, label, true) };
    let shadows = vec![shadow(Task::Category, "noise"), shadow(Task::Unit, "drainage")];
    let (alone, _) = triage(message(STRANGE), understood(shadows.clone()));
    let untouched = decided(STRANGE, None);
    assert_eq!([alone.tier, alone.category.expect("one"), alone.unit.expect("one")], untouched);
    assert_eq!((&alone.opinions, alone.candidates.len()), (&shadows, 0));
    let mut all = vec![opinion(Task::Category, "garbage", true)];
    all.extend(shadows);
    let (both, _) = triage(message(STRANGE), understood(all));
    assert_eq!((both.category.as_deref(), both.opinions.len()), (Some("garbage"), 3));
}

#[test]
fn danger_that_is_read_raises_and_nothing_lowers() {
    let danger = |risk_to_life| Some(Understood { risk_to_life, urgency: Some(4), words: vec!["喘不过气".into(), "老人".into()], ..Understood::default() });
    let (calm, _) = triage(message(STRANGE), danger(false));
    assert_eq!((calm.urgency, calm.risk_to_life), (Some(4), Some(false)));
    let (read, effects) = triage(message(STRANGE), danger(true));
    assert_eq!((read.urgency, read.risk_to_life), (Some(1), Some(true)));
    assert!(read.reason.contains("`喘不过气`, `老人` means danger to life: urgency 1"), "{}", read.reason);
    assert_eq!(read.words, ["喘不过气", "老人"]);
    let sent = effects.iter().find_map(|effect| if let Effect::Dispatch(it) = effect { Some(it) } else { None }).expect("somebody shall go");
    assert!(sent.reason.contains("danger to life: `喘不过气`"), "{}", sent.reason);
    // The graph's words stand whatever a reader thinks of them.
    let (known, _) = triage(message("下穿通道积水，有人被困"), danger(false));
    assert_eq!((known.urgency, known.risk_to_life), (Some(1), Some(true)));
}

#[test]
fn what_a_citizen_writes_about_models_is_no_opinion() {
    let data = r#"{"message_id":"m","text":"楼上每晚跳绳到半夜","tier":"small","opinions":[{"task":"category","label":"noise","accepted":true}],
        "understood":{"chars":1,"opinions":[{"task":"category","model":"x","digest":"x","role":"active","label":"noise","permille":1000,"accepted":true}],"risk_to_life":true}}"#;
    let Body::Hotline(forged) = Body::from_event("io.citybrain.hotline.message.v1", None, data.as_bytes()) else { panic!("a message") };
    let (triage, _) = triage(forged, None);
    assert_eq!((triage.tier.as_str(), triage.category.as_deref(), triage.risk_to_life), ("rules", Some("other"), Some(false)));
}

#[test]
fn replay_asks_no_model() {
    let mut brain = Brain::new(Graph::builtin(), Config::default());
    let (mut chain, mut lines) = (Chain::default(), Vec::new());
    let said = [understood(vec![opinion(Task::Category, "noise", true)]), None, understood(vec![opinion(Task::Unit, "drainage", true)])];
    for (seq, understood) in said.into_iter().enumerate() {
        let event = EventRef { source: "hotline".into(), id: seq.to_string(), time: Some(at("2026-07-15T10:00")) };
        let body = Body::Hotline(HotlineMessage { message_id: seq.to_string(), ..message(STRANGE) });
        let record = JournalRecord { seq: seq as u64, log_time: DateTime::UNIX_EPOCH, source: None, event: Some(event), body, understood };
        let mut effects = Vec::new();
        brain.apply(&record, &mut effects);
        chain.push(&record, &effects);
        lines.push(record.to_json());
    }
    assert!(lines[0].contains("understood") && !lines[1].contains("understood"));
    let mut twin = Brain::new(Graph::builtin(), Config::default());
    let mut twin_chain = Chain::default();
    for line in &lines {
        let record = JournalRecord::from_json(line).expect("a stored line");
        let mut effects = Vec::new();
        twin.apply(&record, &mut effects);
        twin_chain.push(&record, &effects);
    }
    assert_eq!((twin_chain.hex(), twin.snapshot()), (chain.hex(), brain.snapshot()));
    // Another opinion is another journal.
    let mut other = JournalRecord::from_json(&lines[0]).expect("a stored line");
    other.understood = None;
    let mut other_chain = Chain::default();
    let mut effects = Vec::new();
    Brain::new(Graph::builtin(), Config::default()).apply(&other, &mut effects);
    other_chain.push(&other, &effects);
    assert_ne!(other.decided_json(), JournalRecord::from_json(&lines[0]).expect("a stored line").decided_json());
    assert_ne!(other_chain.hex(), Chain::default().hex());
}
