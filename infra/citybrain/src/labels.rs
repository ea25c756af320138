//! `citybrain labels`: what people say of cases, as rows to train small models on and to judge them by.
//!
//! The rows are those of `gold.label`. A correction among them is a step of a case by a person that gives it another category or another
//! unit; [`guard::labels`] rules on each, beside all others: who may teach, what waits for a second person, what never counts. Only
//! what was taken goes on, and what people confirmed. A fifth of the cases, by the digest of their ids, is never trained
//! on and judges what was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use gateway::people::Staff;
use graph::Graph;
use guard::labels::{self, Correction, Ruling};
use schemas::pii;
use serde::Serialize;
use serde_json::json;
use text::Reader;

use crate::city_graph::CityGraph;
use crate::cli::{Ended, Invocation, LabelsArgs};
use crate::lake::{self, Row};
use crate::lang::t;
use crate::people;

/// Of so many cases one is held out.
const HELD_OUT_EVERY: u8 = 5;
/// Steps by the brain itself begin so.
const BRAIN: &str = "citybrain";
/// How the rules name a person of the staff.
const STAFF: &str = "op:";
/// The role of a person where no people are named: the doors then let in whoever has the machine.
const ROLE_OF_ALL: &str = "operator";

/// A row to learn from, or to be judged by.
#[derive(Debug, Serialize)]
struct Label {
    case: String,
    text: String,
    label: String,
    /// `corrected` or `confirmed`.
    how: String,
    who: String,
    at: String,
}

/// The command.
pub async fn run(context: &Invocation, args: LabelsArgs) -> Result<Ended> {
    let home = context.home()?;
    let lake = lake::open(&home).await?;
    if !lake::has_table(&lake, "silver", "case_transition").await? {
        bail!("the lake of {} has no cases yet, so nobody has corrected any", home.root().display());
    }
    let graph = CityGraph::files(&home).unless("").context("the city's files cannot be read: citybrain graph check says what is wrong")?;
    let staff = people::staff(context, &home)?;
    let by_people = format!("SELECT \"case\" FROM silver.case_transition WHERE NOT starts_with(actor, '{BRAIN}')");
    let steps = lake::rows(&lake, &format!("SELECT \"case\", change, actor, category, unit, reason, at, risk_to_life FROM silver.case_transition WHERE \"case\" IN ({by_people}) ORDER BY id")).await?;
    let field = args.task.field();
    let mut rows = lake::rows(&lake, &format!("SELECT \"case\", text, label, how, who, CAST(at AS VARCHAR) AS at FROM gold.label WHERE task = '{field}' ORDER BY \"case\"")).await?;
    for row in &mut rows {
        pii::mask_json(row.entry("text").or_insert_with(Default::default));
    }
    let city = City::of(&graph, &staff, &steps, &rows);
    let corrections = corrections(&steps, field, |actor| role(&staff, actor));
    let rulings = labels::rule(&corrections, &city, &Reader::new(&graph), Utc::now().naive_utc());
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for ruling in &rulings {
        *told.entry(name(ruling)?).or_default() += 1;
    }
    let taken: BTreeSet<(&str, &str, &str)> =
        corrections.iter().zip(&rulings).filter(|(_, ruling)| matches!(ruling, Ruling::Taken | Ruling::Once)).map(|(it, _)| (it.case.as_str(), it.actor.trim_start_matches(STAFF), it.to.as_str())).collect();
    let of = |row: &Row| {
        let value = |column: &str| said(row, column).map(str::to_owned);
        Some(Label { case: value("case")?, text: value("text")?, label: value("label")?, how: value("how")?, who: value("who")?, at: value("at").unwrap_or_default() })
    };
    let mut confirmed = 0;
    let goes_on = |label: &Label| match label.how.as_str() {
        "corrected" => taken.contains(&(label.case.as_str(), label.who.as_str(), label.label.as_str())),
        _ => labels::ROLES.contains(&role(&staff, &label.who)) && !offline::eval::is_evaluation(&label.text),
    };
    let all = rows.iter().filter_map(of).filter(goes_on).inspect(|label| confirmed += usize::from(label.how != "corrected"));
    let (held, taught): (Vec<Label>, Vec<Label>) = all.partition(|label| blake3::hash(label.case.as_bytes()).as_bytes()[0] % HELD_OUT_EVERY == 0);
    write(&args.out, &taught)?;
    if let Some(path) = &args.held_out {
        write(path, &held)?;
    }
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&json!({ "corrections": corrections.len(), "rulings": told, "confirmed": confirmed, "to_train": taught.len(), "held_out": held.len() }))?);
    } else {
        println!(
            "{} {}, {} {}; {} {}, {} {}",
            corrections.len(), t("次更正", "corrections"), confirmed, t("件经人确认", "confirmed by people"), taught.len(), t("条可用于训练", "rows to train on"), held.len(), t("条留作评估", "held out to judge by")
        );
        told.iter().for_each(|(ruling, count)| println!("  {count:>6}  {ruling}"));
    }
    Ok(Ended::Done)
}

/// A ruling in words, such as `quarantined: too_fast`.
fn name(ruling: &Ruling) -> Result<String> {
    let value = serde_json::to_value(ruling)?;
    let part = |key: &str| value[key].as_str();
    Ok([part("ruling"), part("why")].into_iter().flatten().collect::<Vec<_>>().join(": "))
}

fn write(path: &Path, rows: &[Label]) -> Result<()> {
    let mut out = csv::Writer::from_path(path).with_context(|| format!("could not create {}", path.display()))?;
    if rows.is_empty() {
        out.write_record(["case", "text", "label", "how", "who", "at"])?;
    }
    for row in rows {
        out.serialize(row)?;
    }
    out.flush().with_context(|| format!("could not write {}", path.display()))
}

fn said<'a>(row: &'a Row, column: &str) -> Option<&'a str> {
    row.get(column).and_then(|value| value.as_str())
}

/// The role of an actor that lets them correct, else any that they have; none for who is not among the people.
fn role<'a>(staff: &'a Staff, actor: &str) -> &'a str {
    if staff.is_empty() {
        return ROLE_OF_ALL;
    }
    let roles = || staff.person(actor).into_iter().flat_map(|person| &person.grants).map(|grant| grant.role.as_str());
    roles().find(|role| labels::ROLES.contains(role)).or_else(|| roles().next()).unwrap_or_default()
}

/// Steps by people that gave a case another value of a field, in the order in which they were made.
fn corrections<'a>(steps: &[Row], field: &str, role: impl Fn(&str) -> &'a str) -> Vec<Correction> {
    let mut stands: BTreeMap<&str, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for step in steps {
        let (Some(case), Some(actor), Some(value)) = (said(step, "case"), said(step, "actor"), said(step, field)) else { continue };
        let Some(was) = stands.insert(case, value) else { continue };
        // With another category comes another unit: that is one correction, of the category.
        let is_other = field != "category" && said(step, "change") == Some("recategorised");
        if was == value || is_other || actor.starts_with(BRAIN) {
            continue;
        }
        let at = said(step, "at").and_then(|at| at.parse::<DateTime<Utc>>().ok().map(|at| at.naive_utc()).or_else(|| at.parse().ok())).unwrap_or_default();
        found.push(Correction {
            case: case.to_owned(),
            actor: format!("{STAFF}{actor}"),
            role: role(actor).to_owned(),
            field: field.to_owned(),
            from: was.to_owned(),
            to: value.to_owned(),
            at,
            reason: said(step, "reason").unwrap_or_default().to_owned(),
        });
    }
    found
}

/// What the rules ask of the city.
struct City<'a> {
    graph: &'a Graph,
    staff: &'a Staff,
    /// Cases with what was said in them.
    texts: BTreeMap<String, String>,
    cases: BTreeSet<String>,
    danger: BTreeSet<String>,
}

impl<'a> City<'a> {
    fn of(graph: &'a Graph, staff: &'a Staff, steps: &[Row], rows: &[Row]) -> City<'a> {
        let texts = rows.iter().filter_map(|row| Some((said(row, "case")?.to_owned(), said(row, "text")?.to_owned()))).collect();
        let (mut cases, mut danger) = (BTreeSet::new(), BTreeSet::new());
        for step in steps {
            let Some(case) = said(step, "case") else { continue };
            cases.insert(case.to_owned());
            if step.get("risk_to_life").and_then(serde_json::Value::as_bool) == Some(true) {
                danger.insert(case.to_owned());
            }
        }
        City { graph, staff, texts, cases, danger }
    }
}

impl labels::World for City<'_> {
    fn has(&self, field: &str, value: &str) -> bool {
        match field {
            "category" => self.graph.category(value).is_some(),
            "unit" => self.graph.unit(value).is_some(),
            _ => false,
        }
    }

    fn has_case(&self, case: &str) -> bool {
        self.cases.contains(case)
    }

    fn text(&self, case: &str) -> Option<&str> {
        self.texts.get(case).map(String::as_str)
    }

    fn is_danger(&self, case: &str) -> bool {
        self.danger.contains(case)
    }

    fn is_revoked(&self, actor: &str) -> bool {
        !self.staff.is_empty() && self.staff.person(actor.trim_start_matches(STAFF)).is_none()
    }

    fn is_evaluation(&self, text: &str) -> bool {
        offline::eval::is_evaluation(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(case: &str, actor: &str, change: &str, category: &str, unit: &str) -> Row {
        let row = json!({"case": case, "change": change, "actor": actor, "category": category, "unit": unit, "reason": "as seen", "at": "2026-05-26T14:17:00Z", "risk_to_life": false});
        row.as_object().expect("an object").clone()
    }

    #[test]
    fn only_people_correct_and_another_category_is_one_correction() {
        let steps = [
            step("c-1", "citybrain", "opened", "other", "duty-office"),
            step("c-1", "citybrain (box)", "recategorised", "noise", "urban-management"),
            step("c-1", "li", "recategorised", "gas", "gas"),
            step("c-1", "li", "moved", "gas", "emergency"),
            step("c-2", "citybrain", "opened", "garbage", "sanitation"),
            step("c-2", "li", "moved", "garbage", "sanitation"),
        ];
        let of = |field: &str| corrections(&steps, field, |_| "operator").into_iter().map(|it| (it.case, it.from, it.to)).collect::<Vec<_>>();
        assert_eq!(of("category"), [("c-1".to_owned(), "noise".to_owned(), "gas".to_owned())]);
        assert_eq!(of("unit"), [("c-1".to_owned(), "gas".to_owned(), "emergency".to_owned())]);
    }

    #[test]
    fn who_is_not_among_the_people_has_no_role() {
        let nobody = Staff::parse("").expect("roles that ship");
        assert_eq!(role(&nobody, "anybody"), ROLE_OF_ALL);
        let hash = "0".repeat(64);
        let one = Staff::parse(&format!("people:\n  - id: wang\n    name: {{zh: 王, en: Wang}}\n    token: \"{hash}\"\n    grants: [{{role: analyst}}, {{role: operator}}]\n")).expect("people");
        assert_eq!((role(&one, "wang"), role(&one, "li")), ("operator", ""));
    }
}
