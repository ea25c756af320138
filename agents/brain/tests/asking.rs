//! What the brain asks the agents, and what of an answer decides.

mod city;

use brain::{ASK_PERMILLE, Brain, Effect};
use city::{City, at, decisions, transitions};
use schemas::agent::{AgentAnswer, AgentRequest, Choice, Elements};
use schemas::journal::*;
use schemas::understood::{Task, Understood};

/// Nothing in it is a word of the graph.
const STRANGE: &str = "楼上每晚跳绳到半夜，孩子没法睡";

fn asking(permille: &str) -> City {
    let mut city = City::new();
    city.hears(at("2026-07-15T09:00"), "settings", Body::ConfigChanged { key: ASK_PERMILLE.to_owned(), value: permille.to_owned() });
    city
}

fn message(number: u32, text: &str) -> Body {
    Body::Hotline(HotlineMessage { message_id: format!("m{number}"), text: text.to_owned(), ..HotlineMessage::default() })
}

/// A message that was read, and in which nothing was found.
fn hears(city: &mut City, time: &str, body: Body) -> Vec<Effect> {
    city.understands(at(time), "hotline", body, Some(Understood::default()))
}

fn asked(effects: &[Effect]) -> Option<&AgentRequest> {
    effects.iter().find_map(|effect| if let Effect::Ask(request) = effect { Some(request) } else { None })
}

fn answer(request: &AgentRequest, task: Task, label: &str, permille: u32) -> AgentAnswer {
    let choice = Choice { task, label: label.to_owned(), permille, runners_up: Vec::new() };
    AgentAnswer {
        request: request.id.clone(),
        case: request.case.clone(),
        choices: vec![choice],
        elements: Some(Elements { people: Some("孩子".to_owned()), ..Elements::default() }),
        model: "box".to_owned(),
        digest: "0f1e".to_owned(),
        prompt: "aa".to_owned(),
        sampler: "greedy".to_owned(),
        tokens: 100,
        latency_ms: 50,
        failed: None,
    }
}

/// A city that has asked about the strange message, and the question.
fn strange() -> (City, AgentRequest) {
    let mut city = asking("1000");
    let effects = hears(&mut city, "2026-07-15T10:00", message(1, STRANGE));
    let request = asked(&effects).expect("a question").clone();
    (city, request)
}

#[test]
fn nobody_is_asked_without_the_setting_or_without_a_doubt() {
    assert_eq!(asked(&hears(&mut City::new(), "2026-07-15T10:00", message(1, STRANGE))), None);
    let mut city = asking("1000");
    for (number, text) in [(1, "下穿通道积水，车过不去"), (2, "你好"), (3, "")] {
        assert_eq!(asked(&hears(&mut city, "2026-07-15T10:00", message(number, text))), None, "{text}");
    }
    assert_eq!(asked(&city.hears(at("2026-07-15T10:00"), "hotline", message(6, STRANGE))), None, "nobody has read it");
    let injected = Some(Understood { injection: true, ..Understood::default() });
    assert_eq!(asked(&city.understands(at("2026-07-15T10:00"), "hotline", message(4, STRANGE), injected)), None, "no model reads orders to machines");
    let chosen = HotlineMessage { message_id: "m5".into(), text: STRANGE.into(), category: Some("flooding".into()), ..HotlineMessage::default() };
    assert_eq!(asked(&hears(&mut city, "2026-07-15T10:00", Body::Hotline(chosen))), None, "somebody chose it");
    let (_, request) = strange();
    let category = &request.questions[0];
    assert_eq!((category.task, category.stands.as_str()), (Task::Category, "other"));
    assert!(category.options.len() > 8 && category.options.iter().any(|offer| offer.label == "noise" && offer.zh.contains("噪")), "nothing is known of it: it may be any");
    let doubtful = hears(&mut asking("1000"), "2026-07-15T10:00", message(1, "路灯不亮，噪音扰民"));
    let options: Vec<&str> = asked(&doubtful).expect("words of two categories").questions[0].options.iter().map(|offer| offer.label.as_str()).collect();
    assert!(options.len() <= 4 && options.contains(&"noise") && options.contains(&"street_light") && options.contains(&"other"), "{options:?}");
}

#[test]
fn the_budget_holds() {
    let mut city = asking("300");
    let questions = (0..200).filter(|number| asked(&hears(&mut city, "2026-07-15T10:00", message(*number, STRANGE))).is_some()).count();
    // Repeats of the same matter are merged, and not asked about: the budget is of reports that become cases of their own.
    assert!(questions <= 60, "{questions}");
    let [asked, answered, decided] = city.brain.asked();
    assert_eq!((asked as usize, answered, decided), (questions, 0, 0));
}

#[test]
fn a_sure_answer_decides() {
    let (mut city, request) = strange();
    let before = city.case(&request.case).clone();
    let effects = city.hears(at("2026-07-15T10:01"), "agents", Body::Answer(answer(&request, Task::Category, "noise", 900)));
    let triage = decisions(&effects)[0].clone();
    assert_eq!((triage.kind.as_str(), triage.tier.as_str(), triage.category.as_deref(), triage.unit.as_deref()), ("triage", "llm", Some("noise"), Some("environment")));
    assert_eq!((triage.confidence_permille, triage.models.as_slice(), triage.request.as_ref()), (900, ["box@0f1e".to_owned()].as_slice(), Some(&request.id)));
    assert_eq!((triage.latency_ms, triage.tokens, triage.elements.and_then(|it| it.people)), (Some(50), Some(100), Some("孩子".to_owned())));
    let case = city.case(&request.case);
    assert_eq!((case.category.as_str(), case.unit.as_deref()), ("noise", Some("environment")));
    assert!(case.urgency <= before.urgency);
    assert_eq!(transitions(&effects)[0].actor, "citybrain (box)");
    // It is answered once.
    let again = city.hears(at("2026-07-15T10:02"), "agents", Body::Answer(answer(&request, Task::Category, "garbage", 900)));
    assert_eq!((decisions(&again)[0].kind.as_str(), city.case(&request.case).category.as_str()), ("noted", "noise"));
}

#[test]
fn who_is_unsure_or_answers_something_else_decides_nothing() {
    for (label, permille) in [("noise", 699), ("no_such_category", 1000), ("", 1000)] {
        let (mut city, request) = strange();
        let effects = city.hears(at("2026-07-15T10:01"), "agents", Body::Answer(answer(&request, Task::Category, label, permille)));
        let triage = decisions(&effects)[0];
        assert_eq!((triage.tier.as_str(), triage.category.as_deref()), ("person", Some("other")), "{label}");
        assert!(transitions(&effects).is_empty());
    }
    let (mut city, request) = strange();
    let failed = AgentAnswer { choices: Vec::new(), failed: Some("timeout".to_owned()), ..answer(&request, Task::Category, "noise", 1000) };
    let effects = city.hears(at("2026-07-15T10:01"), "agents", Body::Answer(failed));
    assert!(decisions(&effects)[0].reason.contains("timeout") && decisions(&effects)[0].tier == "person");
}

#[test]
fn an_answer_comes_too_late_when_a_person_was_there() {
    let (mut city, request) = strange();
    city.command(Action::Assign, &request.case, |command| command.unit = Some("drainage".to_owned()));
    let effects = city.hears(at("2026-07-15T10:05"), "agents", Body::Answer(answer(&request, Task::Category, "noise", 1000)));
    assert_eq!((decisions(&effects)[0].kind.as_str(), city.case(&request.case).unit.as_deref()), ("noted", Some("drainage")));
}

#[test]
fn danger_is_never_made_less() {
    let mut city = asking("1000");
    let effects = hears(&mut city, "2026-07-15T10:00", message(1, "有人被困，路灯不亮，噪音扰民，垃圾没人管"));
    let Some(request) = asked(&effects).cloned() else { panic!("words of several categories") };
    assert_eq!(city.case(&request.case).urgency, 1);
    city.hears(at("2026-07-15T10:01"), "agents", Body::Answer(answer(&request, Task::Category, "noise", 1000)));
    let case = city.case(&request.case);
    assert_eq!((case.urgency, case.risk_to_life, case.proposed_unit.as_deref()), (1, true, case.unit.as_deref()));
}

#[test]
fn what_waits_is_in_the_snapshot() {
    let (city, request) = strange();
    let restored = Brain::restore(city.brain.graph().clone(), brain::Config::default(), &city.brain.snapshot()).expect("its own snapshot");
    assert_eq!(restored.awaited().map(|(request, case)| (request.to_owned(), case)).collect::<Vec<_>>(), [(request.id, request.case)]);
    assert_eq!(restored.ask_permille(), 1000);
}
