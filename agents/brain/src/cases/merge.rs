//! One matter, one case: reports of the same kind, place and time are merged (并案), whichever channel they came through,
//! and can be taken apart again (拆案).
//!
//! A report that is merged keeps its case, number, deadline and history; the case is voided as a duplicate of the one that
//! has the matter. Candidates come from an index by category and grid cell, address or station; how many are looked at is
//! bounded.

use chrono::TimeDelta;
use graph::case_rules::SameMatter;
use schemas::case::{CaseChange, CaseState, VoidGround};

use super::place::{Spot, cell, cells_around, hash, metres};
use super::{Said, case_id, case_seq, dispatch, emit};
use crate::limits;
use crate::state::{Case, State, Turn};

/// A case that has the matter of a report.
pub(crate) struct Same {
    pub(crate) seq: u64,
    /// Why it is the same matter.
    pub(crate) reason: String,
}

/// The key of the index for one kind of place.
fn key(case: &Case, kind: &[u8], what: &[u8]) -> u64 {
    hash(&[&case.timeline.to_le_bytes(), case.category.as_bytes(), kind, what])
}

fn cell_key(case: &Case, (row, column): (i64, i64)) -> u64 {
    key(case, b"cell", &[row.to_le_bytes(), column.to_le_bytes()].concat())
}

/// The keys under which other reports of the matter may be found, besides grid cells.
fn named_keys(case: &Case) -> Vec<u64> {
    let spot = &case.handling.spot;
    let named = |kind: &[u8], what: Option<u64>| what.map(|what| key(case, kind, &what.to_le_bytes()));
    [named(b"address", spot.address), named(b"station", spot.station)].into_iter().flatten().collect()
}

impl State {
    /// Makes a case findable for reports of the same matter.
    pub(crate) fn index(&mut self, turn: &Turn<'_>, seq: u64, case: &mut Case) {
        let radius_m = turn.graph.case_rules().merge.of(&case.category).radius_m;
        if radius_m == 0 {
            return;
        }
        let mut keys = named_keys(case);
        keys.extend(case.handling.spot.point.map(|point| cell_key(case, cell(point, radius_m))));
        for key in &keys {
            let there = self.matters.entry(*key).or_default();
            there.push_back(seq);
            if there.len() > limits::MATTERS_MAX {
                there.pop_front();
            }
        }
        case.handling.keys = keys;
    }

    /// Takes a case out of the index.
    pub(crate) fn unindex(&mut self, seq: u64, case: &mut Case) {
        for key in std::mem::take(&mut case.handling.keys) {
            if let Some(there) = self.matters.get_mut(&key) {
                there.retain(|known| *known != seq);
                if there.is_empty() {
                    self.matters.remove(&key);
                }
            }
        }
    }

    /// The matter of a case is found at another place from now on.
    fn move_to(&mut self, turn: &Turn<'_>, seq: u64, case: &mut Case, spot: Spot) {
        if case.handling.spot != spot {
            self.unindex(seq, case);
            case.handling.spot = spot;
            if case.state != CaseState::Voided {
                self.index(turn, seq, case);
            }
        }
    }

    /// The case that has the matter of a new report, with the reason: one that is open before one that is closed, the
    /// nearest, and of these the earliest.
    pub(crate) fn same_matter(&self, turn: &Turn<'_>, new: &Case) -> Option<Same> {
        let rule = turn.graph.case_rules().merge.of(&new.category);
        if rule.radius_m == 0 {
            return None;
        }
        let mut keys = named_keys(new);
        keys.extend(new.handling.spot.point.into_iter().flat_map(|point| cells_around(point, rule.radius_m)).map(|cell| cell_key(new, cell)));
        let mut seqs: Vec<u64> = keys.iter().filter_map(|key| self.matters.get(key)).flatten().copied().collect();
        seqs.sort_unstable();
        seqs.dedup();
        let fits = |seq: &u64| {
            let case = self.cases.get(seq)?;
            let (metres, place) = same_place(new, case, rule.radius_m)?;
            let time = same_time(turn, new, case, rule)?;
            Some(((case.state.is_final(), metres, *seq), format!("{} {place}, {time}", new.category)))
        };
        let (rank, reason) = seqs.iter().filter_map(fits).min_by_key(|(rank, _)| *rank)?;
        Some(Same { seq: rank.2, reason })
    }

    /// The case of a request's number, whatever system gave it, if the number is one system's only.
    pub(crate) fn by_number(&self, number: &str) -> Option<u64> {
        let prefix = format!("{number}#");
        let mut found = self.requests.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        let (_, seq) = found.next()?;
        found.next().is_none().then_some(*seq)
    }

    /// The case that has the matter of `seq` after all merges; nothing when it has left state.
    pub(crate) fn root(&self, seq: u64) -> Option<u64> {
        let mut at = seq;
        for _ in 0..limits::MERGE_STEPS_MAX {
            match self.cases.get(&at)?.merged_into.as_deref() {
                Some(into) => at = case_seq(into)?,
                None => return Some(at),
            }
        }
        None
    }

    /// Why a case may not take in others, if it may not.
    pub(crate) fn cannot_take_in(&self, into: u64) -> Option<String> {
        let Some(case) = self.cases.get(&into) else { return Some("there is no such other case in live state".to_owned()) };
        match case.state {
            state if state.is_final() => Some(format!("{} is over: {}", case.id, state.zh())),
            _ if case.merged.len() >= limits::MERGED_MAX => Some(format!("{} holds {} cases already", case.id, limits::MERGED_MAX)),
            _ => None,
        }
    }

    /// Merges a case that is not among the others at the moment into one that is. It would stand at `stood` without it.
    pub(crate) fn merge(&mut self, turn: &mut Turn<'_>, seq: u64, case: &mut Case, stood: CaseState, into: u64, actor: &str, reason: &str) {
        let mut first = self.cases.remove(&into).expect("the caller found the case that takes it in");
        assert!(case.state.may_become(CaseState::Voided) && !first.state.is_final(), "{} may be merged into {}", case.id, first.id);
        let from = case.state;
        self.unindex(seq, case);
        self.wake_case(turn, case, None);
        case.state = CaseState::Voided;
        case.moved = turn.at;
        case.asked_due = None;
        case.proposed_unit = None;
        case.merged_into = Some(first.id.clone());
        case.handling.stood = Some(stood);
        let why = format!("{} ({}) has the matter: {reason}", first.id, first.channel);
        let said = Said { actor, reason: &why, change: CaseChange::Merged, other: Some(&first.id), ground: Some(VoidGround::Duplicate) };
        emit(turn, case, Some(from), &said);

        first.merged.insert(case.id.clone());
        let spot = first.handling.spot.or(&case.handling.spot);
        self.move_to(turn, into, &mut first, spot);
        first.handling.last_report = first.handling.last_report.max(case.handling.last_report);
        let was_urgent = first.urgency == 1;
        first.urgency = first.urgency.min(case.urgency);
        first.risk_to_life |= case.risk_to_life;
        if first.urgency == 1 && !was_urgent && !first.state.is_at_work() {
            first.proposed_unit.clone_from(&first.unit);
            let danger = if case.risk_to_life { "danger to life" } else { "urgent" };
            dispatch(turn, &first, "urgent_case", true, first.unit.clone(), &format!("{danger}, says {} ({}), the same matter", case.id, case.channel));
        }
        let why = format!("{} ({}) is the same matter: {reason}", case.id, case.channel);
        let said = Said { actor, reason: &why, change: CaseChange::Merged, other: Some(&case.id), ground: None };
        emit(turn, &first, Some(first.state), &said);
        self.counts.merged += 1;
        self.cases.insert(into, first);
    }

    /// Takes a merged case out again: it stands where it stood, with its own number, deadline and history.
    ///
    /// # Errors
    /// When it is not merged.
    pub(crate) fn unmerge(&mut self, turn: &mut Turn<'_>, seq: u64, actor: &str, reason: &str) -> Result<(), String> {
        let mut case = self.cases.remove(&seq).expect("the caller found the case");
        let Some(into) = case.merged_into.take() else {
            self.cases.insert(seq, case);
            return Err("the case is not merged with another".to_owned());
        };
        case.state = CaseState::Reopened;
        case.moved = turn.at;
        let said = Said { actor, reason, change: CaseChange::Unmerged, other: Some(&into), ground: None };
        emit(turn, &case, Some(CaseState::Voided), &said);
        self.index(turn, seq, &mut case);
        if case.remaining_s.is_none() {
            self.start_clock(turn, &mut case);
        }
        let way = way_back(case.handling.stood.take().unwrap_or(CaseState::Assigned));
        self.walk(turn, seq, case, way, actor, reason);

        let mut above = case_seq(&into);
        for step in 0..limits::MERGE_STEPS_MAX {
            let Some((at, mut first)) = above.and_then(|at| Some((at, self.cases.remove(&at)?))) else { break };
            let changed = match step {
                0 => first.merged.remove(&case_id(seq)),
                _ => false,
            };
            // Whoever took that one in took over what it knew.
            if self.sum_up(turn, at, &mut first) || changed {
                let said = Said { actor, reason, change: CaseChange::Unmerged, other: Some(&case_id(seq)), ground: None };
                emit(turn, &first, Some(first.state), &said);
            }
            above = first.merged_into.as_deref().and_then(case_seq);
            self.cases.insert(at, first);
        }
        Ok(())
    }

    /// Urgency, danger and place of a matter from its own report and those that were merged with it; whether people see
    /// a difference.
    fn sum_up(&mut self, turn: &Turn<'_>, seq: u64, case: &mut Case) -> bool {
        let was = (case.urgency, case.risk_to_life);
        let mut spot = case.handling.own_spot;
        (case.urgency, case.risk_to_life) = (case.handling.urgency, case.handling.risk_to_life);
        for other in case.merged.iter().filter_map(|id| self.cases.get(&case_seq(id)?)) {
            case.urgency = case.urgency.min(other.urgency);
            case.risk_to_life |= other.risk_to_life;
            spot = spot.or(&other.handling.spot);
        }
        self.move_to(turn, seq, case, spot);
        was != (case.urgency, case.risk_to_life)
    }
}

/// The steps from 重开 back to where a merged case stood.
fn way_back(stood: CaseState) -> &'static [CaseState] {
    use CaseState::{Accepted, Assigned, Processing, Reopened, Suspended};
    match stood {
        CaseState::Reported | Accepted | CaseState::Returned => &[Accepted],
        Assigned | CaseState::Extended => &[Assigned],
        Processing | CaseState::Rework | CaseState::Verifying => &[Assigned, Processing],
        Suspended => &[Suspended],
        Reopened | CaseState::Closed | CaseState::Voided => &[],
    }
}

/// How far apart two reports are and in which words, if they are at one place.
fn same_place(new: &Case, case: &Case, radius_m: u32) -> Option<(u64, String)> {
    // The index holds hashes: the category is looked at itself.
    if new.category != case.category || new.timeline != case.timeline {
        return None;
    }
    if new.district.is_some() && case.district.is_some() && new.district != case.district {
        return None;
    }
    let (spot, other) = (&new.handling.spot, &case.handling.spot);
    let distance = spot.point.zip(other.point).map(|(a, b)| metres(a, b));
    let both = |a: Option<u64>, b: Option<u64>| a.is_some() && a == b;
    if both(spot.station, other.station) {
        return Some((0, "at the same station".to_owned()));
    }
    // Streets of one name lie in many towns: points that are far apart say that it is not this one.
    if both(spot.address, other.address) && distance.is_none_or(|metres| metres <= 5 * u64::from(radius_m)) {
        return Some((0, "at the same address".to_owned()));
    }
    let metres = distance?;
    // Some systems give every address of a district one point: what is written is believed before it.
    let streets_differ = spot.street.zip(other.street).is_some_and(|(one, other)| one.0 == other.0 && one.1 != other.1);
    (metres <= u64::from(radius_m) && !streets_differ).then(|| (metres, format!("{metres} m away")))
}

/// Whether a case still takes in a report of its matter, in words.
fn same_time(turn: &Turn<'_>, new: &Case, case: &Case, rule: SameMatter) -> Option<String> {
    // What the city's own staff writes down one after another are different things.
    if (new.handling.own && case.handling.own) || case.merged.len() >= limits::MERGED_MAX {
        return None;
    }
    match case.state {
        CaseState::Voided => None,
        CaseState::Closed => {
            let days = turn.graph.case_rules().reopen_days;
            let again = rule.reopens && new.handling.reported > case.moved && turn.at - case.moved <= TimeDelta::days(days.into());
            again.then(|| format!("{} h after {} was closed", (turn.at - case.moved).num_hours(), case.id))
        }
        _ => {
            let apart = (new.handling.reported - case.handling.last_report).abs();
            (apart <= TimeDelta::hours(rule.hours.into())).then(|| format!("{} min apart", apart.num_minutes()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_back_is_legal_and_leads_there() {
        for stood in CaseState::ALL.into_iter().filter(|state| state.may_become(CaseState::Voided)) {
            let way = way_back(stood);
            let mut at = CaseState::Reopened;
            for to in way {
                assert!(at.may_become(*to), "{at:?} to {to:?}");
                at = *to;
            }
        }
    }
}
