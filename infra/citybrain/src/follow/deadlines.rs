//! Which cases will be late: a probability when a case gets its first deadline, and what became of it.
//!
//! Reads the steps of cases ([`topics::CASE`]). A case is late when the brain says so (`overdue`), and in time when it is closed
//! before; one that is voided or merged into another is neither. Learnt anew now and then from the cases of this city
//! ([`learn::deadlines`]); until enough of them have ended a case is as likely late as those of its category before it.

use std::collections::BTreeMap;

use learn::deadlines::{Deadlines, Order};
use schemas::case::{CaseChange, CaseState, CaseTransition};
use schemas::topics;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Fold, Said, rounded};
use crate::rows::Row;

const FORECAST: &str = "io.citybrain.deadline.forecast.v1";
const SCORE: &str = "io.citybrain.deadline.score.v1";
/// Characters of a name that are kept: whoever sends longer ones makes no group of its own of each.
const NAME_CHARS_MAX: usize = 64;
/// Forecasts that wait for their case's end; the oldest goes when there is one more.
const WAITING_MAX: usize = 200_000;

/// The fold.
#[derive(Serialize, Deserialize)]
pub struct Late {
    deadlines: Deadlines,
    /// What was said of the open cases.
    told: BTreeMap<String, Value>,
}

impl Fold for Late {
    const NAME: &'static str = "deadlines";
    const READS: &'static str = topics::CASE;
    const WRITES: &'static str = topics::FORECAST;

    fn begin(_: i32) -> Late {
        Late { deadlines: Deadlines::new(), told: BTreeMap::new() }
    }

    fn take(&mut self, row: &Row<'_>, said: &mut Vec<Said>) {
        let Some(Ok(step)) = row.data.map(serde_json::from_str::<CaseTransition>) else { return };
        let at_us = step.at.timestamp_micros();
        match (step.change, step.to) {
            (CaseChange::Overdue, _) => {
                if self.deadlines.overdue(&step.case, at_us) {
                    self.score(&step, true, said);
                }
            }
            (_, CaseState::Closed) => {
                if self.deadlines.closed(&step.case, at_us) {
                    self.score(&step, false, said);
                }
            }
            (_, CaseState::Voided) => {
                self.deadlines.withdrawn(&step.case);
                self.told.remove(&step.case);
            }
            // A case that was reopened had its forecast.
            _ if step.reopened == 0 && !step.overdue && !self.deadlines.knows(&step.case) => self.tell(&step, said),
            _ => {}
        }
    }
}

impl Late {
    fn tell(&mut self, step: &CaseTransition, said: &mut Vec<Said>) {
        let Some(due) = step.due else { return };
        let part = |name: &str| name.chars().take(NAME_CHARS_MAX).collect::<String>();
        let district = step.district.as_deref().unwrap_or_default();
        let groups = [
            part(&step.category),
            format!("{}/{}", part(&step.category), part(district)),
            format!("{}/{}", part(&step.category), part(step.unit.as_deref().unwrap_or_default())),
        ];
        let facts = [f32::from(step.urgency), f32::from(u8::from(step.risk_to_life)), f32::from(u8::from(step.channel == "work_order"))];
        let order = Order { id: &step.case, at_us: step.at.timestamp_micros(), due_us: due.timestamp_micros(), groups: &groups, facts: &facts };
        let chances = self.deadlines.opened(&order);
        let data = json!({
            "case": step.case, "category": step.category, "district": step.district, "unit": step.unit, "made_at": step.at, "due": due,
            "late": rounded(chances.late), "usual": rounded(chances.usual), "learnt_from": self.deadlines.learnt_from(), "model": "deadlines-1",
        });
        self.told.insert(step.case.clone(), data.clone());
        if self.told.len() > WAITING_MAX {
            self.told.pop_first();
        }
        said.push(Said { event_type: FORECAST, id: id(&step.case), key: step.case.clone(), at: step.at, data });
    }

    fn score(&mut self, step: &CaseTransition, came: bool, said: &mut Vec<Said>) {
        let Some(mut data) = self.told.remove(&step.case) else { return };
        let squared = |chance: &Value| rounded((f64::from(u8::from(came)) - chance.as_f64().unwrap_or_default()).powi(2));
        let (brier, usual) = (squared(&data["late"]), squared(&data["usual"]));
        let forecast = id(&step.case);
        let name = format!("{forecast}-scored");
        (data["forecast"], data["came"], data["brier"], data["brier_usual"]) = (json!(forecast), json!(came), json!(brier), json!(usual));
        said.push(Said { event_type: SCORE, id: name, key: step.case.clone(), at: step.at, data });
    }
}

/// The id of the one forecast of a case.
fn id(case: &str) -> String {
    format!("deadline-{case}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, TimeDelta, Utc};

    fn step(case: &str, change: &str, to: &str, hour: i64, due: Option<i64>) -> String {
        let begin: DateTime<Utc> = "2026-01-05T00:00:00Z".parse().expect("a time");
        let at = begin + TimeDelta::hours(hour);
        let due = due.map(|hour| begin + TimeDelta::hours(hour));
        json!({
            "id": "1", "case": case, "request": "r", "to": to, "change": change, "actor": "a", "reason": "b", "at": at, "category": "noise", "urgency": 4,
            "risk_to_life": false, "channel": "hotline", "district": "d01", "due": due, "overdue": false, "evidence": [],
        })
        .to_string()
    }

    fn take(late: &mut Late, data: &str) -> Vec<Said> {
        let mut said = Vec::new();
        late.take(&Row { offset: 0, id: None, source: None, event_type: None, time_us: None, extensions: None, data: Some(data) }, &mut said);
        said
    }

    #[test]
    fn a_case_is_foretold_once_and_scored_once() {
        let mut late = Late::begin(480);
        assert!(take(&mut late, &step("case-1", "opened", "reported", 0, None)).is_empty(), "without a deadline nothing can be late");
        let said = take(&mut late, &step("case-1", "moved", "accepted", 1, Some(9)));
        assert_eq!((said.len(), said[0].id.as_str(), said[0].event_type), (1, "deadline-case-1", FORECAST));
        assert!(take(&mut late, &step("case-1", "moved", "assigned", 2, Some(9))).is_empty());
        let said = take(&mut late, &step("case-1", "overdue", "assigned", 9, Some(9)));
        assert_eq!((said[0].id.as_str(), &said[0].data["came"], &said[0].data["forecast"]), ("deadline-case-1-scored", &json!(true), &json!("deadline-case-1")));
        assert!(take(&mut late, &step("case-1", "moved", "closed", 12, None)).is_empty());
        take(&mut late, &step("case-2", "opened", "accepted", 13, Some(20)));
        let said = take(&mut late, &step("case-2", "moved", "closed", 14, None));
        assert_eq!(said[0].data["came"], json!(false));
        let usual = said[0].data["usual"].as_f64().expect("a number");
        assert!((said[0].data["brier_usual"].as_f64().expect("a number") - usual * usual).abs() < 1e-3 && usual > 0.3, "the one before was late: {usual}");
    }

    #[test]
    fn who_was_voided_was_neither_late_nor_in_time() {
        let mut late = Late::begin(480);
        take(&mut late, &step("case-1", "opened", "accepted", 0, Some(9)));
        assert!(take(&mut late, &step("case-1", "merged", "voided", 1, None)).is_empty());
        assert!(take(&mut late, &step("case-1", "overdue", "voided", 9, None)).is_empty());
        for data in ["", "[]", "{}", r#"{"change":7}"#] {
            assert!(take(&mut late, data).is_empty());
        }
        let stored: Late = serde_json::from_str(&serde_json::to_string(&late).expect("plain values")).expect("it reads");
        assert!(stored.told.is_empty() && !stored.deadlines.knows("case-1"));
    }
}
