//! Documents that somebody offers to the knowledge base, and answers that claim to rest on them.

use anyhow::{Context as _, Result, bail, ensure};
use chrono::NaiveDate;
use guard::claims;
use guard::gate::{Agent, Call, Gate, Session, Verdict};
use knowledge::{Hit, Knowledge, Query};
use llm::Task;
use llm::task::Dialect;
use serde_json::{Value, json};

use super::desk::{self, Desk};
use super::owasp::{Case, Judged, written_out};

/// From here on a search has found what was asked about, in thousandths of its words.
const COVERED_PERMILLE_MIN: u32 = 300;

/// A document in the format of the knowledge base, with what of it that format has a place for.
fn markdown(document: &Value, section: &str) -> String {
    let of = |key: &str| document.get(key).and_then(Value::as_str).map(written_out);
    let quoted = |text: &str| json!(text).to_string();
    let title = of("title").unwrap_or_default();
    let mut head = vec![format!("id: {}", of("id").unwrap_or_default()), format!("title: {{ zh: {0}, en: {0} }}", quoted(&title)), "kind: law".to_owned()];
    if let Some(source) = of("source") {
        head.extend([format!("issuer: {}", quoted(&source)), format!("source: {}", quoted(&source))]);
    }
    let from = of("valid_from");
    head.extend(from.iter().map(|from| format!("valid_from: {from}")));
    head.extend(of("valid_to").map(|to| format!("valid_to: {to}")));
    if let (Some(by), Some("approved")) = (of("reviewed_by"), of("state").as_deref()) {
        head.extend([format!("reviewed_by: {}", quoted(&by)), format!("reviewed_at: {}", from.unwrap_or_default())]);
    }
    format!("---\n{}\n---\n\n## 正文 {{#{section}}}\n\n{}\n", head.join("\n"), of("text").unwrap_or_default())
}

/// Carries out a case with a document.
pub fn check(desk: &Desk, case: &Case) -> Result<()> {
    let document = &case.given["document"];
    let id = document["id"].as_str().unwrap_or_default();
    let text = markdown(document, "s1");
    let mut files = vec![("offered.md".to_owned(), text)];
    if document.get("existing").is_some() {
        let mut other = document.clone();
        other["text"] = "先来的一份。".into();
        files.push(("existing.md".to_owned(), markdown(&other, "s1")));
    }
    let body = document["text"].as_str().map(written_out).unwrap_or_default();
    let suspicious = desk.filter.document(&body);
    let read = Knowledge::read(&files);
    let on: NaiveDate = case.text("on").unwrap_or_default().parse().context("no day")?;
    let question = written_out(case.text("question").unwrap_or_default());
    if case.expected == "refused" {
        let held = read.as_ref().is_ok_and(|knowledge| knowledge.concerns(on).iter().any(|concern| concern.document == id && concern.what.holds_back()));
        ensure!(read.is_err() || held || !suspicious.is_empty(), "it is taken{}", if document["licence"].is_null() { ": no part yet, documents have no licence" } else { "" });
        return Ok(());
    }
    let knowledge = read.map_err(|error| anyhow::anyhow!("it cannot be read: {error}"))?;
    let hits = knowledge.search(&Query::of(&question, on));
    let hit = hits.iter().find(|hit| hit.section.starts_with(&format!("{id}#")));
    let words = hit.and_then(|hit| knowledge.resolve(&hit.section)).unwrap_or_default();
    match case.expected.as_str() {
        "accepted" => {
            let hit = hit.context("it is not found")?;
            ensure!(suspicious.is_empty(), "{suspicious:?}");
            let said = format!("{} [{}]", first_sentence(&body), hit.section);
            knowledge.check_answer(&said, &hits, on).map_err(|error| anyhow::anyhow!("an answer that rests on it is refused: {error}"))?;
        }
        "not_cited" => ensure!(
            hit.is_none(),
            "it is found{}",
            if document.get("tenant").is_some() { ": no part yet that keeps cities apart" } else if document["state"] == "retired" { ": no part yet, documents have no state" } else { "" }
        ),
        "as_text" => {
            let free = Task::free("按条款回答。Answer by the sections.", if words.is_empty() { "无" } else { words }, "root ::= \"yes\" | \"no\"")?;
            let plain = Task::free("按条款回答。Answer by the sections.", "条款", "root ::= \"yes\" | \"no\"")?;
            ensure!(desk::controls(&free.prompt(Dialect::Native)) == desk::controls(&plain.prompt(Dialect::Native)), "the prompt has other control tokens");
            ensure!(case.text("question").is_none_or(|question| question.contains("AND")) || hit.is_some(), "it is not found");
        }
        "escaped" | "masked" => {
            let mut refused = Vec::new();
            let shown = desk.passes(words.trim(), "", &mut refused);
            ensure!(hit.is_none() || !shown, "it is shown as it stands");
        }
        "citation_missing" => {
            let covered = hits.first().map_or(0, |hit| hit.covered_permille);
            ensure!(covered < COVERED_PERMILLE_MIN, "{covered} thousandths of the question are found");
            ensure!(knowledge.check_answer("由热力公司负责。", &hits, on).is_err(), "an answer without a citation goes on");
        }
        "cut" => {
            let (verdict, _) = Gate::new(&desk.graph).call(&mut Session::new(Agent::Triage, None, &[]), "search_knowledge", &json!({ "query": question }), 0);
            let Verdict::Run { call: Call::SearchKnowledge { query }, limited: Some(_) } = verdict else { bail!("it is not cut: {verdict:?}") };
            ensure!(query.len() < question.len() && !knowledge.search(&Query::of(&query, on)).is_empty(), "what is left finds nothing");
        }
        other => bail!("no part yet for {other}"),
    }
    Ok(())
}

fn first_sentence(text: &str) -> String {
    text.split_inclusive('。').next().unwrap_or_default().to_owned()
}

/// An answer that cites: the check of the knowledge base, then what must be true of every clause.
pub fn answer(case: &Case) -> Result<Judged> {
    let on = NaiveDate::from_ymd_opt(2026, 6, 1).context("a day")?;
    let mut files = Vec::new();
    let mut sections = Vec::new();
    for source in case.given["sources"].as_array().into_iter().flatten() {
        let id = source["id"].as_str().unwrap_or_default();
        let (document, section) = id.split_once('#').context("a source is document#section")?;
        let all = json!({ "id": document, "title": "条例", "source": "示范市", "state": "approved", "reviewed_by": "op:reviewer", "valid_from": "2020-01-01", "text": source["text"] });
        files.push((format!("{document}.md"), markdown(&all, section)));
        sections.push(id.to_owned());
    }
    let knowledge = Knowledge::read(&files).map_err(|error| anyhow::anyhow!("the sources cannot be read: {error}"))?;
    let hits: Vec<Hit> = sections.iter().map(|section| Hit { section: section.clone(), score_permille: 1_000, covered_permille: 1_000, span: (0, 0), marks: Vec::new() }).collect();
    let said = case.text("output").unwrap_or_default();
    let checked = match knowledge.check_answer(said, &hits, on) {
        Ok(checked) => checked,
        Err(refused) => return Ok(Judged::Refused(refused.to_string())),
    };
    for sentence in &checked.sentences {
        let source: String = sentence.citations.iter().filter_map(|id| knowledge.resolve(id)).collect();
        if let Some(claim) = claims::answer(&sentence.text, &source).first() {
            return Ok(Judged::Refused(claim.to_string()));
        }
    }
    Ok(Judged::Taken(checked.sentences.into_iter().map(|sentence| sentence.text).collect()))
}

/// Whether a search of the shipped documents finds no piece of a prompt.
pub fn hides_prompts(desk: &Desk, query: &str) -> Result<()> {
    let knowledge = Knowledge::builtin();
    let on = NaiveDate::from_ymd_opt(2026, 6, 1).context("a day")?;
    for hit in knowledge.search(&Query::of(query, on)) {
        let words = knowledge.resolve(&hit.section).unwrap_or_default();
        ensure!(!guard::filter::repeats(words, &desk.own_words(), ""), "{} has a piece of the prompt", hit.section);
    }
    Ok(())
}
