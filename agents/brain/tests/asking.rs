//! What the brain asks the agents, and what of an answer decides.

mod city;

use brain::{ASK_PERMILLE, BRIEFS, Brain, Effect};
use city::{City, at, decisions, transitions};
use schemas::agent::{AgentAnswer, AgentRequest, Brief, Choice, Citation, Draft, Elements};
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
        ..AgentAnswer::default()
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

/// Asks what a citizen may ask, and nothing that a category is in doubt about.
fn inquiry(briefs: &str, permille: &str) -> (City, Option<AgentRequest>) {
    let mut city = asking(permille);
    city.hears(at("2026-07-15T09:00"), "settings", Body::ConfigChanged { key: BRIEFS.to_owned(), value: briefs.to_owned() });
    let understood = Understood { intent: Some("inquiry".to_owned()), ..Understood::default() };
    let effects = city.understands(at("2026-07-15T10:00"), "hotline", message(1, "请问路灯不亮几天能修好"), Some(understood));
    let request = asked(&effects).cloned();
    (city, request)
}

fn cited(request: &AgentRequest, by: &str) -> AgentAnswer {
    let section = "proc-street-light#limits".to_owned();
    let citation = Citation { section: section.clone(), zh: "路灯".to_owned(), en: "Lights".to_owned(), words: "单灯故障3个工作日内修复；".to_owned(), covered_permille: 640 };
    let draft = Draft { kind: "reply".to_owned(), text: format!("单灯故障3个工作日内修复。[{section}]"), cites: vec![section], by: by.to_owned() };
    AgentAnswer { request: request.id.clone(), case: request.case.clone(), citations: vec![citation], draft: Some(draft), ..AgentAnswer::default() }
}

#[test]
fn documents_are_looked_up_for_questions_and_doubts_when_the_setting_says_so() {
    assert_eq!(inquiry("off", "0").1, None);
    assert_eq!(inquiry("nonsense", "0").1, None);
    let (city, request) = inquiry("cited", "0");
    let request = request.expect("a question of a citizen");
    assert!(matches!(&request.brief, Some(Brief::Reply { written: false, .. })));
    assert_eq!((request.questions.len(), request.elements, city.brain.asked()), (0, false, [0, 0, 0]), "no model is asked");
    let (city, request) = inquiry("written", "1000");
    assert!(matches!(request.expect("asked").brief, Some(Brief::Reply { written: true, .. })));
    assert_eq!(city.brain.asked(), [1, 0, 0], "what a model writes is counted");
    let mut city = asking("1000");
    city.hears(at("2026-07-15T09:00"), "settings", Body::ConfigChanged { key: BRIEFS.to_owned(), value: "cited".to_owned() });
    let both = asked(&hears(&mut city, "2026-07-15T10:00", message(1, STRANGE))).expect("a doubt").clone();
    assert!(both.brief.is_some() && both.questions.len() == 1 && both.elements);
    let mut city = asking("0");
    city.hears(at("2026-07-15T09:00"), "settings", Body::ConfigChanged { key: BRIEFS.to_owned(), value: "cited".to_owned() });
    assert_eq!(asked(&hears(&mut city, "2026-07-15T10:00", message(1, "垃圾没人收，路口堆满了"))), None, "no question and no doubt");
}

#[test]
fn a_draft_with_its_citation_is_for_a_person_to_use_and_moves_nothing() {
    for (by, tier) in [("rules", "rules"), ("some", "llm")] {
        let (mut city, request) = inquiry("cited", "0");
        let request = request.expect("asked");
        let before = city.case(&request.case).clone();
        let effects = city.hears(at("2026-07-15T10:01"), "agents", Body::Answer(cited(&request, by)));
        let decision = decisions(&effects)[0];
        assert_eq!((decision.kind.as_str(), decision.tier.as_str(), decision.confidence_permille, decision.citations.len()), ("draft", tier, 640, 1));
        assert_eq!((decision.draft.as_ref().map(|draft| draft.cites.len()), decision.request.as_ref()), (Some(1), Some(&request.id)));
        assert!(effects.len() == 1 && *city.case(&request.case) == before, "nothing else follows");
    }
}

#[test]
fn what_cites_nothing_is_no_draft() {
    for uncited in [Vec::new(), vec!["law-gas#a1".to_owned()]] {
        let (mut city, request) = inquiry("cited", "0");
        let request = request.expect("asked");
        let mut answer = cited(&request, "some");
        answer.draft.as_mut().expect("one").cites = uncited;
        let effects = city.hears(at("2026-07-15T10:01"), "agents", Body::Answer(answer));
        let decision = decisions(&effects)[0];
        assert_eq!((decision.kind.as_str(), decision.tier.as_str(), &decision.draft), ("draft", "person", &None));
        assert!(decision.reason.contains("without a citation"), "{}", decision.reason);
    }
    let (mut city, request) = inquiry("cited", "0");
    let request = request.expect("asked");
    let nothing = AgentAnswer { request: request.id.clone(), case: request.case.clone(), lacking: vec!["no document".to_owned()], ..AgentAnswer::default() };
    let effects = city.hears(at("2026-07-15T10:01"), "agents", Body::Answer(nothing));
    assert_eq!((decisions(&effects)[0].tier.as_str(), decisions(&effects)[0].outcome.as_str()), ("person", "no document says anything to it"));
}

#[test]
fn an_answer_to_a_doubt_makes_both_decisions_and_a_late_one_still_brings_its_draft() {
    let mut city = asking("1000");
    city.hears(at("2026-07-15T09:00"), "settings", Body::ConfigChanged { key: BRIEFS.to_owned(), value: "cited".to_owned() });
    let request = asked(&hears(&mut city, "2026-07-15T10:00", message(1, STRANGE))).expect("a doubt").clone();
    let both = AgentAnswer { citations: cited(&request, "rules").citations, draft: cited(&request, "rules").draft, ..answer(&request, Task::Category, "noise", 900) };
    let mut late = City { brain: Brain::restore(city.brain.graph().clone(), brain::Config::default(), &city.brain.snapshot()).expect("its own"), told: city.told.clone() };
    let effects = city.hears(at("2026-07-15T10:01"), "agents", Body::Answer(both.clone()));
    let kinds: Vec<&str> = decisions(&effects).iter().map(|decision| decision.kind.as_str()).collect();
    assert_eq!((kinds.as_slice(), city.case(&request.case).category.as_str()), (["draft", "triage"].as_slice(), "noise"));
    late.command(Action::Assign, &request.case, |command| command.unit = Some("drainage".to_owned()));
    let effects = late.hears(at("2026-07-15T10:05"), "agents", Body::Answer(both));
    let kinds: Vec<&str> = decisions(&effects).iter().map(|decision| decision.kind.as_str()).collect();
    assert_eq!((kinds, late.case(&request.case).unit.as_deref()), (vec!["draft"], Some("drainage")));
}
