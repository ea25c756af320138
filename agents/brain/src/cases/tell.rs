//! How a case's changes are told: one transition for each, and dispatches to units, with what they rest on.

use schemas::case::{CaseChange, CaseState, CaseTransition, VoidGround};
use schemas::position::Position;

use super::RULES;
use crate::effect::{Dispatch, Effect};
use crate::state::{Case, Turn};

/// How a transition is told.
pub(crate) struct Said<'a> {
    pub(crate) actor: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) change: CaseChange,
    pub(crate) other: Option<&'a str>,
    pub(crate) ground: Option<VoidGround>,
}

impl<'a> Said<'a> {
    /// A change by rule.
    pub(crate) fn rules(change: CaseChange, reason: &'a str) -> Self {
        Self { actor: RULES, reason, change, other: None, ground: None }
    }

    /// A move by somebody.
    pub(crate) fn by(actor: &'a str, reason: &'a str) -> Self {
        Self { actor, reason, change: CaseChange::Moved, other: None, ground: None }
    }
}

/// The evidence of a case, and the record that is at work.
fn evidence(turn: &Turn<'_>, case: &Case) -> Vec<Position> {
    let mut evidence = case.evidence.clone();
    if let Some(source) = turn.source.filter(|source| !evidence.contains(source)) {
        evidence.push(source.clone());
    }
    evidence
}

/// Says how a case stands now.
pub(crate) fn emit(turn: &mut Turn<'_>, case: &Case, from: Option<CaseState>, said: &Said<'_>) {
    let transition = CaseTransition {
        id: turn.next_id(),
        case: case.id.clone(),
        request: case.request.clone(),
        from,
        to: case.state,
        change: said.change,
        other: said.other.map(str::to_owned),
        ground: said.ground,
        actor: said.actor.to_owned(),
        reason: said.reason.to_owned(),
        at: turn.at,
        category: case.category.clone(),
        scenario: case.scenario.clone(),
        urgency: case.urgency,
        risk_to_life: case.risk_to_life,
        channel: case.channel.clone(),
        district: case.district.clone(),
        address: case.address.clone(),
        lat: case.lat,
        lon: case.lon,
        unit: case.unit.clone(),
        due: case.due,
        overdue: case.overdue,
        remaining_s: case.remaining_s,
        asked_due: case.asked_due,
        proposed_unit: case.proposed_unit.clone(),
        merged_into: case.merged_into.clone(),
        reopened: case.reopened,
        incident: case.incident.clone(),
        evidence: evidence(turn, case),
    };
    turn.effects.push(Effect::Case(transition));
}

/// Asks a unit to act on a case.
pub(crate) fn dispatch(turn: &mut Turn<'_>, case: &Case, kind: &str, proposed: bool, unit: Option<String>, reason: &str) {
    let Some(unit) = unit else { return };
    let dispatch = Dispatch {
        id: turn.next_id(),
        kind: kind.to_owned(),
        unit,
        case: Some(case.id.clone()),
        alert_key: None,
        incident: case.incident.clone(),
        scenario: case.scenario.clone(),
        level: case.urgency,
        plan: case.scenario.as_deref().and_then(|id| turn.graph.scenario(id)).map(|scenario| scenario.plan.clone()),
        task: None,
        due: None,
        reason: reason.to_owned(),
        proposed,
        at: turn.at,
        evidence: evidence(turn, case),
    };
    turn.effects.push(Effect::Dispatch(dispatch));
}
