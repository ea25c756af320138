//! What other systems' facts about a request do to its case: work begins, it is closed, or it is not done after all.

use chrono::TimeDelta;
use schemas::case::CaseState;
use schemas::journal::{WorkOrderClosed, WorkOrderUpdated};

use super::quality::{Answer, says};
use super::{RULES, case_id};
use crate::state::{State, Turn, quote};

impl State {
    /// Something was done about a request: its case goes to 处置, or comes back when the reporter is not content.
    pub(crate) fn request_updated(&mut self, turn: &mut Turn<'_>, key: &str, order: &WorkOrderUpdated) {
        let Some((own, root)) = self.case_of_request(turn, key, &order.request_id) else { return };
        let said = order.note.as_deref().or(order.status.as_deref()).unwrap_or("the unit works on it");
        let reason = self.about_request(own, root, said);
        let words = &turn.graph.case_rules().quality.unsatisfied_words;
        if [&order.note, &order.status].into_iter().flatten().any(|text| says(words, text).is_some()) {
            return self.not_done(turn, root, &reason);
        }
        let case = self.cases.remove(&root).expect("just found");
        let way = way_to_work(case.state);
        self.walk(turn, root, case, way, RULES, &reason);
    }

    /// A request was closed: the case that has its matter is closed with it, unless it was closed as a duplicate only.
    pub(crate) fn request_closed(&mut self, turn: &mut Turn<'_>, source: &str, key: &str, order: &WorkOrderClosed) {
        let Some((own, root)) = self.case_of_request(turn, key, &order.request_id) else { return };
        let said = order.resolution.as_deref().or(order.status.as_deref()).unwrap_or("the unit reports it done");
        let reason = self.about_request(own, root, said);
        let words = &turn.graph.case_rules().quality.duplicate_words;
        let duplicate = [&order.resolution, &order.status].into_iter().flatten().find_map(|text| says(words, text));
        if let Some(word) = duplicate.filter(|_| own != root) {
            return turn.decide("noted", &case_id(own), "rules", "closed as a duplicate", format!("`{word}`: {} has its matter and goes on", case_id(root)));
        }
        let way = way_to_close(self.cases[&root].state);
        if way.is_empty() {
            self.counts.duplicates += 1;
            return;
        }
        let after = turn.event_time - self.cases[&own].handling.reported;
        self.judge_answer(turn, own, &Answer { source, text: order.resolution.as_deref().unwrap_or_default(), after: after.max(TimeDelta::zero()) });
        let case = self.cases.remove(&root).expect("just found");
        self.walk(turn, root, case, way, RULES, &reason);
    }

    /// The reporter says, or a new report shows, that a matter is not done: its case is worked on again.
    pub(crate) fn not_done(&mut self, turn: &mut Turn<'_>, seq: u64, reason: &str) {
        let case = self.cases.remove(&seq).expect("the caller found the case");
        let way: &[CaseState] = match case.state {
            CaseState::Closed => &[CaseState::Reopened, CaseState::Assigned],
            CaseState::Verifying => &[CaseState::Rework],
            _ => {
                turn.decide("noted", &case.id, "rules", "not content", format!("it is {} already: {reason}", case.state.name()));
                &[]
            }
        };
        self.walk(turn, seq, case, way, RULES, reason);
    }

    /// The case of a request and the one that has its matter now. Says so when there is none.
    fn case_of_request(&mut self, turn: &mut Turn<'_>, key: &str, request: &str) -> Option<(u64, u64)> {
        let found = self.requests.get(key).map(|own| (*own, self.root(*own)));
        let problem = match found {
            Some((own, Some(root))) => return Some((own, root)),
            Some((_, None)) => "the case that took its matter over has left live state",
            None => "no case in live state has this number: never reported, or long over",
        };
        turn.decide("noted", &quote(request), "rules", "unknown request", problem.to_owned());
        None
    }

    fn about_request(&self, own: u64, root: u64, said: &str) -> String {
        match own == root {
            true => quote(said),
            false => format!("request {} of the same matter: {}", quote(&self.cases[&own].request), quote(said)),
        }
    }
}

/// The steps from `state` to 结案; none when the case is over already.
pub(crate) fn way_to_close(state: CaseState) -> &'static [CaseState] {
    use CaseState::{Accepted, Assigned, Closed, Processing, Verifying};
    match state {
        CaseState::Reported => &[Accepted, Assigned, Processing, Verifying, Closed],
        CaseState::Accepted | CaseState::Returned | CaseState::Reopened => &[Assigned, Processing, Verifying, Closed],
        CaseState::Assigned => &[Processing, Verifying, Closed],
        CaseState::Processing | CaseState::Rework | CaseState::Extended | CaseState::Suspended => &[Verifying, Closed],
        CaseState::Verifying => &[Closed],
        CaseState::Closed | CaseState::Voided => &[],
    }
}

/// The steps from `state` to 处置; none when the case is there, beyond it, or over.
fn way_to_work(state: CaseState) -> &'static [CaseState] {
    use CaseState::{Accepted, Assigned, Processing};
    match state {
        CaseState::Reported => &[Accepted, Assigned, Processing],
        CaseState::Accepted | CaseState::Returned | CaseState::Reopened => &[Assigned, Processing],
        CaseState::Assigned | CaseState::Extended | CaseState::Suspended => &[Processing],
        CaseState::Processing | CaseState::Rework | CaseState::Verifying | CaseState::Closed | CaseState::Voided => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_legal_and_leads_there() {
        for start in CaseState::ALL {
            for (way, end) in [(way_to_close(start), CaseState::Closed), (way_to_work(start), CaseState::Processing)] {
                let mut at = start;
                for to in way {
                    assert!(at.may_become(*to), "{at:?} to {to:?}");
                    at = *to;
                }
                assert!(way.is_empty() || at == end);
            }
        }
    }
}
