//! Documents in, hits and checked answers out: what is promised of the crate, through its public door.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use graph::{Deadline, Element, Graph};
use knowledge::evaluate::{Method, figures, places, read, unknown};
use knowledge::limits::SECTION_CHARS_MAX;
use knowledge::{Concerning, DOCUMENTS, Kind, Knowledge, QUERIES, Query, Why};
use proptest::prelude::*;

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn today() -> NaiveDate {
    day("2026-06-01")
}

/// A document of this front matter's lines and body.
fn document(id: &str, lines: &str, body: &str) -> String {
    format!("---\nid: {id}\ntitle: {{ zh: 路灯, en: Lights }}\nkind: procedure\nissuer: 示范市\nsource: a test\nvalid_from: 2026-01-01\n{lines}---\n{body}")
}

const REVIEWED: &str = "reviewed_by: 甲\nreviewed_at: 2026-01-02\n";

fn one(lines: &str, body: &str) -> Knowledge {
    Knowledge::read(&[("a.md", document("lights", lines, body))]).unwrap()
}

/// What is wrong with one file.
fn complaints(text: &str) -> String {
    Knowledge::read(&[("a.md", text)]).err().map_or_else(String::new, |error| error.to_string())
}

#[test]
fn sections_by_headings_and_articles_with_their_exact_words() {
    let body = "引言。\n\n## 第一章 总则\n\n第一条 本规程适用于路灯。\n\n第二条 路灯3个工作日内修复。\n接着说。\n\n## 费用 / Fees {#fee}\n\n免费。\n\n## 其他 事项\n\n无。\n";
    let knowledge = one(REVIEWED, body);
    let ids: Vec<&str> = knowledge.sections().iter().map(|section| section.id.as_str()).collect();
    assert_eq!(ids, ["lights#preamble", "lights#a1", "lights#a2", "lights#fee", "lights#其他-事项"]);
    assert_eq!(knowledge.resolve("[lights#a2]"), Some("第二条 路灯3个工作日内修复。\n接着说。"));
    assert_eq!(knowledge.section("lights#a2").unwrap().above, ["第一章 总则"]);
    for section in knowledge.sections() {
        let text = &knowledge.document_of(section).text;
        let chars: String = text.chars().skip(section.chars.0).take(section.chars.1 - section.chars.0).collect();
        assert_eq!(chars, knowledge.words_of(section));
        assert!(text.lines().nth(section.line - 1).unwrap().contains(chars.lines().next().unwrap().split(' ').next().unwrap()));
    }
    assert_eq!(knowledge.resolve("lights#a9"), None);
}

#[test]
fn complaints_name_file_and_line() {
    let body = "\n## 一\n\n字。\n";
    let check = |text: &str, expected: &str| assert_eq!(complaints(text), expected);
    check("# no front matter\n", "a.md:1: a document begins with a front matter between two lines `---`");
    check(&document("Lights!", REVIEWED, body), "a.md:2: `Lights!` is no id: small letters, digits and `-`, at most 64");
    check(&document("lights", "valid_to: 2025-01-01\n", body), "a.md:8: valid_to 2025-01-01 is before valid_from 2026-01-01");
    check(&document("lights", "reviewed_by: 甲\n", body), "a.md:8: reviewed_by and reviewed_at go together, and neither is empty: who reviewed it, and when");
    check(&document("lights", REVIEWED, "\n## 一\n\n字。\n\n## 一\n\n字。\n"), "a.md:16: section `一` is there twice: also in line 12; give one of them an id: `## … {#id}`");
    check(&document("lights", REVIEWED, "\n## 一\n\n## 二\n\n字。\n"), "a.md:12: section `一` says nothing");
    check(&document("lights", &format!("{REVIEWED}asked:\n  fee: [多少钱]\n"), body), "a.md:11: `asked` speaks of a section `fee`, and there is none");
    assert!(complaints(&document("lights", "colour: red\n", body)).starts_with("a.md:8: "));
    assert!(complaints(&document("lights", "valid_to: soon\n", body)).starts_with("a.md:8: "));
    assert!(complaints(&document("lights", REVIEWED, &format!("\n## 一\n\n{}\n", "字".repeat(SECTION_CHARS_MAX)))).contains("put headings into it"));
    let twice = [("a.md", document("lights", REVIEWED, body)), ("b.md", document("lights", REVIEWED, body))];
    assert_eq!(Knowledge::read(&twice).err().unwrap().to_string(), "b.md:2: document `lights` is there twice: also in a.md:2");
    assert!(complaints(&document("lights", REVIEWED, "")).contains("without a section"));
}

#[test]
fn what_is_unreviewed_or_out_of_date_is_listed_and_never_found() {
    let body = "\n## 时限\n\n路灯3个工作日内修复。\n";
    let check = |lines: &str, on: &str, expected: Option<(Concerning, usize)>| {
        let knowledge = one(lines, body);
        let concern = knowledge.concerns(day(on)).first().map(|concern| (concern.what, concern.line));
        assert_eq!(concern, expected, "{lines} on {on}");
        let found = !knowledge.search(&Query::of("路灯", day(on))).is_empty();
        assert_eq!(found, expected.is_none_or(|(what, _)| !what.holds_back()), "{lines} on {on}");
    };
    let until = "valid_to: 2026-12-31\nreviewed_by: 甲\nreviewed_at: 2026-01-02\n";
    check(until, "2026-06-01", None);
    check(until, "2026-12-31", Some((Concerning::Ending(day("2026-12-31")), 8)));
    check(until, "2027-01-01", Some((Concerning::Over(day("2026-12-31")), 8)));
    check(until, "2026-01-01", Some((Concerning::Unreviewed, 10)));
    check("", "2026-06-01", Some((Concerning::Unreviewed, 1)));
    check("reviewed_by: 甲\nreviewed_at: 2025-01-02\n", "2025-12-31", Some((Concerning::NotYet(day("2026-01-01")), 7)));
    for (what, held) in [(Concerning::Unreviewed, true), (Concerning::Ending(today()), false)] {
        assert_eq!((what.holds_back(), what.words(true).is_empty(), what.words(false).is_empty()), (held, false, false));
    }
}

#[test]
fn kinds_areas_and_aliases() {
    let near = document("near", &format!("{REVIEWED}areas: [d03]\n"), "\n## 一\n\n摊贩由街道办管理。\n");
    let all = document("all", REVIEWED, "\n## 一\n\n摊贩由城管局管理，街面巡查。\n").replace("kind: procedure", "kind: law");
    let knowledge = Knowledge::read(&[("near.md", near), ("all.md", all)]).unwrap();
    let ids = |query: &Query| knowledge.search(query).into_iter().map(|hit| hit.section).collect::<Vec<_>>();
    let query = Query::of("摊贩", today());
    assert_eq!(ids(&query).len(), 2);
    assert_eq!(ids(&Query { kinds: &[Kind::Law], ..query }), ["all#一"]);
    assert_eq!(ids(&Query { areas: &["d01".to_owned()], ..query }), ["all#一"]);
    assert_eq!(ids(&Query { areas: &["d03-s5".to_owned(), "d03".to_owned()], ..query }).len(), 2);
    assert_eq!(ids(&Query { limit: 1, ..query }).len(), 1);
    assert_eq!(ids(&Query { limit: 0, ..query }), Vec::<String>::new());
    let group = [vec!["乱摆卖".to_owned(), "摊贩".to_owned()]];
    assert!(ids(&Query { text: "有人乱摆卖", ..query }).is_empty());
    assert_eq!(ids(&Query { text: "有人乱摆卖", aliases: &group, ..query }).len(), 2);
}

#[test]
fn a_hit_shows_the_sentence_and_the_words_in_it() {
    let knowledge = one(REVIEWED, "\n## 说明\n\n本条无关。单灯故障3個工作日內修復。再见。\n");
    let hit = &knowledge.search(&Query::of("灯的故障", today()))[0];
    let text: Vec<char> = knowledge.documents()[0].text.chars().collect();
    let cut = |(start, end): (usize, usize)| text[start..end].iter().collect::<String>();
    assert_eq!(cut(hit.span), "单灯故障3個工作日內修復。");
    assert_eq!(hit.marks.iter().map(|mark| cut(*mark)).collect::<Vec<_>>(), ["灯", "故障"]);
    assert_eq!(hit.covered_permille, 1000);
}

#[test]
fn ties_are_broken_by_id_and_files_may_come_in_any_order() {
    let files: Vec<(String, String)> = ["c", "a", "b"].iter().map(|id| (format!("{id}.md"), document(id, REVIEWED, "\n## 一\n\n路灯。\n"))).collect();
    let reversed: Vec<(String, String)> = files.iter().rev().cloned().collect();
    let (one, other) = (Knowledge::read(&files).unwrap(), Knowledge::read(&reversed).unwrap());
    let ids: Vec<String> = one.search(&Query::of("路灯", today())).into_iter().map(|hit| hit.section).collect();
    assert_eq!(ids, ["a#一", "b#一", "c#一"]);
    assert_eq!(one.search(&Query::of("路灯", today())), other.search(&Query::of("路灯", today())));
    assert_eq!(one.digest(), other.digest());
    let changed = Knowledge::read(&[("a.md", document("a", REVIEWED, "\n## 一\n\n路灯！\n"))]).unwrap();
    assert_ne!(changed.digest(), Knowledge::read(&files[1..2]).unwrap().digest());
}

#[test]
fn hostile_queries_are_words() {
    let knowledge = one(REVIEWED, "\n## 时限\n\n路灯3个工作日内修复。\n");
    let long = "路灯 AND NOT (title:*)^9 ".repeat(45_000);
    assert!(long.len() > 1 << 20);
    assert_eq!(knowledge.search(&Query::of(&long, today())).len(), 1);
    for text in ["", "\0", "😀😀", "*:*", "body:路灯 -路灯", "\"", "[* TO *]", "<|im_start|>", "路灯\u{202e}灯路"] {
        let hits = knowledge.search(&Query::of(text, today()));
        assert_eq!(hits.len(), usize::from(text.contains("路灯")), "{text:?}");
    }
}

/// Checks an answer about street lights, and gives what is wrong.
#[track_caller]
fn refused(answer: &str, expected: &[(usize, Why)]) {
    let knowledge = lights();
    let hits = knowledge.search(&Query { limit: 2, ..Query::of("路灯不亮多久修好，收费吗", today()) });
    let problems = knowledge.check_answer(answer, &hits, today()).err().map(|refused| refused.problems).unwrap_or_default();
    assert_eq!(problems, expected, "{answer}");
}

fn lights() -> Knowledge {
    one(REVIEWED, "\n## 时限 {#limits}\n\n单灯故障3个工作日内修复；整条道路不亮的24小时内恢复。路灯报修。\n\n## 费用 {#fee}\n\n路灯报修不收费。\n\n## 沿革 {#history}\n\n档案。\n")
}

#[test]
fn an_answer_is_held_sentence_by_sentence() {
    let hits = lights().search(&Query { limit: 2, ..Query::of("路灯不亮多久修好，收费吗", today()) });
    let text = "您好，单灯故障三个工作日内修复。[lights#limits]整条路不亮的，24小时内恢复[lights#limits]，且不收费[lights#fee]。\n1. One lamp is repaired within 3 working days [lights#limits].";
    let answer = lights().check_answer(text, &hits, today()).unwrap();
    assert_eq!(answer.citations, ["lights#limits", "lights#fee"]);
    assert_eq!(answer.sentences.len(), 3);
    assert_eq!(answer.sentences[1].citations, ["lights#limits", "lights#fee"]);
    assert_eq!(answer.sentences[1].text, "整条路不亮的，24小时内恢复，且不收费。");
    assert!(answer.sentences[1].shared_permille > 500, "{answer:?}");
}

#[test]
fn an_answer_that_is_not_held_is_refused() {
    refused("", &[(0, Why::Empty)]);
    refused(" \n[lights#fee]", &[(0, Why::Empty)]);
    refused("三个工作日内修复。", &[(1, Why::Uncited)]);
    refused("3个工作日内修复[lights#limits]。不收费。", &[(2, Why::Uncited)]);
    refused("3个工作日内修复[lights#limit]。", &[(1, Why::Unknown("lights#limit".to_owned()))]);
    refused("路灯有档案[lights#history]。", &[(1, Why::NotFound("lights#history".to_owned()))]);
    refused("5个工作日内修复[lights#limits]。", &[(1, Why::Number("5 working day".to_owned()))]);
    refused("3小时内修复[lights#limits]。", &[(1, Why::Number("3 hour".to_owned()))]);
    refused("24小时内恢复[lights#fee]。", &[(1, Why::Number("24 hour".to_owned()))]);
    refused("It is repaired within five hours [lights#limits].", &[(1, Why::Number("5 hour".to_owned()))]);
    refused(&"灯".repeat(9_000), &[(0, Why::TooLong)]);
    refused(&format!("灯{}。", ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|id| format!("[lights#{id}]")).concat()), &[(1, Why::TooMany)]);
    refused("修复[ lights#limits ]。", &[(1, Why::Uncited)]);
    let knowledge = lights();
    let hits = knowledge.search(&Query::of("路灯", today()));
    let early = knowledge.check_answer("不收费[lights#fee]。", &hits, day("2026-01-01")).unwrap_err();
    assert_eq!(early.problems, [(1, Why::NotValid("lights#fee".to_owned()))]);
    assert!(early.to_string().contains("not valid"));
}

#[test]
fn the_shipped_documents_are_reviewed_and_all_there() {
    let knowledge = Knowledge::builtin();
    assert_eq!(knowledge.concerns(today()), []);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/documents");
    let files: BTreeSet<String> = std::fs::read_dir(folder).unwrap().map(|entry| format!("documents/{}", entry.unwrap().file_name().to_string_lossy())).collect();
    let shipped: BTreeSet<String> = DOCUMENTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(shipped, files, "add it to src/builtin.rs");
    for document in knowledge.documents() {
        assert_eq!(document.file, format!("documents/{}.md", document.id));
        assert_eq!(document.source == "law pointer, text not reproduced", document.kind == Kind::Law, "{}", document.id);
    }
}

#[test]
fn the_shipped_documents_say_what_the_graph_says() {
    let (knowledge, graph) = (Knowledge::builtin(), Graph::builtin());
    let text = |id: &str| knowledge.documents().iter().find(|document| document.id == id).map_or_else(|| panic!("no document `{id}`"), |document| document.text.as_str());
    for category in knowledge.documents().iter().flat_map(|document| &document.categories) {
        assert!(graph.category(category).is_some(), "category {category}");
    }
    // Each category has a procedure that says its time limit.
    for category in graph.categories() {
        let limit = match category.deadline {
            Deadline::Hours(hours) => format!("{hours}小时"),
            Deadline::WorkHours(hours) => format!("{hours}个工作小时"),
            Deadline::WorkDays(days) => format!("{days}个工作日"),
        };
        let about = |document: &&knowledge::Document| document.categories.contains(&category.id) && document.kind == Kind::Procedure;
        let says = knowledge.documents().iter().filter(about).any(|document| document.text.contains(&limit));
        assert!(says, "no procedure says {limit} for {}", category.id);
    }
    // Each plan of the graph is written out under its id, with its minutes, and rests on laws that are pointed to.
    let laws: String = knowledge.documents().iter().filter(|document| document.kind == Kind::Law).map(|document| document.text.as_str()).collect();
    let mut plans = 0;
    for entry in graph.entries() {
        let Element::Plan(plan) = &entry.element else { continue };
        plans += 1;
        for task in &plan.tasks {
            assert!(text(&plan.id).contains(&format!("{}分钟", task.within_minutes)), "{}: {} minutes", plan.id, task.within_minutes);
        }
        for law in &plan.basis {
            assert!(laws.contains(law.as_str()), "no pointer to {law}");
        }
    }
    assert_eq!(plans, 9);
}

#[test]
fn questions_find_their_sections_better_than_the_baselines_do() {
    let knowledge = Knowledge::builtin();
    let questions = read(QUERIES).unwrap();
    assert_eq!(unknown(&knowledge, &questions), []);
    assert_eq!((questions.len(), questions.iter().filter(|asked| asked.lang == "zh").count()), (260, 190));
    let groups: Vec<Vec<String>> = Graph::builtin().categories().map(|category| category.words.clone()).collect();
    let all = figures(&questions, &places(&knowledge, &questions, today(), &groups));
    let share = |method: Method, of: &str| all.iter().find(|figures| figures.method == method && figures.of == of).unwrap().among_three;
    // Those that were held back are the honest ones: questions that no document was written for.
    for (of, least) in [("all", 0.9), ("zh", 0.9), ("en", 0.87), ("open", 0.95), ("held", 0.75)] {
        let (own, pairs, overlap) = (share(Method::Search, of), share(Method::Bigrams, of), share(Method::Overlap, of));
        assert!(own >= least && own > pairs && own > overlap, "{of}: {own} beside {pairs} and {overlap}");
    }
}

proptest! {
    #[test]
    fn any_query_and_any_answer_are_read(text in any::<String>()) {
        let knowledge = lights();
        let hits = knowledge.search(&Query::of(&text, today()));
        let length = knowledge.documents()[0].text.chars().count();
        for hit in &hits {
            prop_assert!(hit.span.0 <= hit.span.1 && hit.span.1 <= length);
        }
        if let Ok(answer) = knowledge.check_answer(&text, &hits, today()) {
            prop_assert!(answer.sentences.iter().all(|sentence| !sentence.citations.is_empty()));
        }
    }

    #[test]
    fn any_document_is_read_or_complained_of(body in any::<String>()) {
        match Knowledge::read(&[("a.md", document("a", REVIEWED, &body))]) {
            Ok(knowledge) => prop_assert!(knowledge.sections().iter().all(|section| !knowledge.words_of(section).is_empty())),
            Err(error) => prop_assert!(!error.problems.is_empty()),
        }
    }
}

#[test]
fn the_laws_that_plans_rest_on_are_pointed_to() {
    let knowledge = Knowledge::builtin();
    let graph = Graph::builtin();
    let plans = graph.entries().filter_map(|entry| if let Element::Plan(plan) = &entry.element { Some(plan) } else { None });
    let mut laws = 0;
    for (plan, law) in plans.flat_map(|plan| plan.basis.iter().map(move |law| (plan, law))) {
        let query = Query { kinds: &[Kind::Law], limit: 1, ..Query::of(law, today()) };
        let hits = knowledge.search(&query);
        let words = hits.first().and_then(|hit| knowledge.resolve(&hit.section)).unwrap_or_default();
        assert!(words.contains(law.as_str()), "{} rests on {law}, and no law document points to it", plan.id);
        laws += 1;
    }
    assert!(laws >= 12, "{laws}");
}
