//! Whether something new and something known explain one another: by the event chain, in space, and in time.

use chrono::TimeDelta;
use graph::{Chain, Graph, Reach, When};

use super::{Incident, Node, Relation, Sighting, Tie};
use crate::limits;

/// A tie that was found, and how good it is: the better one wins.
pub(super) struct Found {
    pub(super) tie: Tie,
    pub(super) weight: u32,
}

/// What came of asking.
pub(super) enum Answer {
    /// They belong together.
    Tied(Found),
    /// The graph knows a way between them, but place or time say no.
    Rejected(String),
    /// Nothing is known that joins them.
    Strangers,
}

/// Asks every node of an incident; the best answer counts.
pub(super) fn ask(graph: &Graph, when: When, incident: &Incident, new: &Sighting) -> Answer {
    let mut best: Option<Found> = None;
    let mut rejected = None;
    for node in &incident.nodes {
        match ask_node(graph, when, incident, node, new) {
            Answer::Tied(found) if best.as_ref().is_none_or(|best| found.weight > best.weight) => best = Some(found),
            Answer::Rejected(reason) if rejected.is_none() => rejected = Some(reason),
            Answer::Tied(_) | Answer::Rejected(_) | Answer::Strangers => {}
        }
    }
    match (best, rejected) {
        (Some(found), _) => Answer::Tied(found),
        (None, Some(reason)) => Answer::Rejected(reason),
        (None, None) => Answer::Strangers,
    }
}

fn ask_node(graph: &Graph, when: When, incident: &Incident, node: &Node, new: &Sighting) -> Answer {
    let (known, event) = match (&node.event, &new.event) {
        (Some(known), Some(event)) => (known.as_str(), event.as_str()),
        // Of what the event chain does not know only the place can say that it is one.
        (None, None) if node.scenario == new.scenario && node.spread.metres(&new.spread).is_some() => {
            return goes_on(node, new, Reach::Metres(limits::SAME_MATTER_M), &new.scenario);
        }
        _ => return Answer::Strangers,
    };
    if known == event {
        let extent = graph.event(event).map_or(Reach::District, |event| event.extent);
        return goes_on(node, new, extent, event);
    }
    let mut rejected = None;
    // What is all over the city does not come from something of another kind in one place.
    let may_come = !new.spread.city || node.spread.city;
    if let Some(chain) = graph.known_link(known, event, when).filter(|_| may_come) {
        match comes_of(incident, node, new, &chain) {
            Ok(found) => return Answer::Tied(found),
            Err(reason) => rejected = Some(reason),
        }
    }
    let may_explain = !node.spread.city || new.spread.city;
    if let Some(chain) = graph.known_link(event, known, when).filter(|_| may_explain) {
        match explains(incident, node, new, &chain) {
            Ok(found) => return Answer::Tied(found),
            Err(reason) => rejected = rejected.or(Some(reason)),
        }
    }
    if !new.everyday && let Some(found) = shares_cause(graph, when, node, new, known, event) {
        return Answer::Tied(found);
    }
    rejected.map_or(Answer::Strangers, Answer::Rejected)
}

fn goes_on(node: &Node, new: &Sighting, extent: Reach, what: &str) -> Answer {
    if new.everyday && !node.spread.city && node.spread.metres(&new.spread).is_none() {
        return Answer::Strangers;
    }
    let place = match node.spread.near(&new.spread, extent) {
        Ok(place) => place,
        Err(reason) => return Answer::Rejected(format!("{what} of another place: {reason}")),
    };
    if new.at - node.last > limits::INCIDENT_JOIN || node.first - new.at > limits::INCIDENT_JOIN {
        return Answer::Rejected(format!("{what} of another time: {} before", span(new.at - node.last)));
    }
    // Of two that go on, the fresher and nearer one: it halves with each hour, and a kilometre is a tenth.
    let hours = (new.at - node.last).num_hours().clamp(0, 8);
    let far = node.spread.metres(&new.spread).map_or(50, |metres| (metres / 10).min(100));
    Answer::Tied(Found {
        tie: Tie { to: node.id, relation: Relation::GoesOn, permille: 1000, chain: None, reason: format!("{what} goes on, {place}") },
        weight: (1100 >> hours) - far.min(1000 >> hours),
    })
}

/// The new one follows from the known one.
fn comes_of(incident: &Incident, node: &Node, new: &Sighting, chain: &Chain) -> Result<Found, String> {
    let way = format!("{} ({}‰)", chain.path(), chain.permille);
    let place = node.spread.near(&new.spread, chain.reach).map_err(|reason| format!("{way}: {reason}"))?;
    let [least, _, most] = chain.lag_minutes.map(|minutes| TimeDelta::minutes(i64::from(minutes)));
    // The cause may have been there before anybody saw it.
    let from = node.first + (least - limits::EARLY).min(TimeDelta::zero());
    if new.at < from || new.at > node.last + most + limits::LATE {
        return Err(format!("{way}: {} after it, and that takes {} to {}", span(new.at - node.first), span(least), span(most)));
    }
    likely_enough(incident, node, new, chain).map_err(|reason| format!("{way}: {reason}"))?;
    let tie = Tie {
        to: node.id,
        relation: Relation::ComesOf,
        permille: chain.permille,
        chain: Some(chain.path()),
        reason: format!("{way}, {place}, {} after it", span((new.at - node.first).max(TimeDelta::zero()))),
    };
    Ok(Found { tie, weight: weight(chain, node, new) })
}

/// The new one is what the known one came of, though it was seen later: a call can be faster than a sensor.
fn explains(incident: &Incident, node: &Node, new: &Sighting, chain: &Chain) -> Result<Found, String> {
    let way = format!("{} ({}‰)", chain.path(), chain.permille);
    let place = node.spread.near(&new.spread, chain.reach).map_err(|reason| format!("{way}: {reason}"))?;
    if new.at - node.last > limits::EXPLAINED_LATE || node.first - new.at > TimeDelta::minutes(i64::from(chain.lag_minutes[2])) + limits::LATE {
        return Err(format!("{way}: {} too late to be its cause", span(new.at - node.last)));
    }
    likely_enough(incident, node, new, chain).map_err(|reason| format!("{way}: {reason}"))?;
    let tie = Tie {
        to: node.id,
        relation: Relation::Explains,
        permille: chain.permille,
        chain: Some(chain.path()),
        reason: format!("{way} explains it, {place}"),
    };
    Ok(Found { tie, weight: weight(chain, node, new) * 9 / 10 })
}

/// Something that nobody has seen, in this neighbourhood, would explain both.
fn shares_cause(graph: &Graph, when: When, node: &Node, new: &Sighting, known: &str, event: &str) -> Option<Found> {
    let (mut best, mut best_permille) = (None, limits::SHARED_PERMILLE_MIN);
    for cause in graph.causes_of(known) {
        // What is all over the city explains anything: it would have been seen.
        if graph.event(cause).is_none_or(|cause| cause.extent == Reach::City) || cause == event {
            continue;
        }
        let Some((first, second)) = graph.known_link(cause, known, when).zip(graph.known_link(cause, event, when)) else { continue };
        let permille = first.permille * second.permille / 1000;
        let reach = match (first.reach, second.reach) {
            (Reach::Metres(one), Reach::Metres(other)) => Reach::Metres(one.saturating_add(other)),
            (Reach::City, _) | (_, Reach::City) => continue,
            (Reach::District, _) | (_, Reach::District) => Reach::District,
        };
        let later = new.at - node.first;
        let from = TimeDelta::minutes(i64::from(second.lag_minutes[0]) - i64::from(first.lag_minutes[2])) - limits::EARLY;
        let until = TimeDelta::minutes(i64::from(second.lag_minutes[2]) - i64::from(first.lag_minutes[0])) + limits::EARLY;
        let Ok(place) = node.spread.near(&new.spread, reach) else { continue };
        if permille < best_permille || later < from || later > until {
            continue;
        }
        best_permille = permille;
        let tie = Tie {
            to: node.id,
            relation: Relation::SharesCause,
            permille,
            chain: Some(format!("{} | {}", first.path(), second.path())),
            reason: format!("{cause} would explain both {known} and {event} ({permille}‰), {place}"),
        };
        best = Some(Found { tie, weight: permille / 2 });
    }
    best
}

/// What is rare and follows beside its cause, in one step, is believed. Otherwise a chain is judged from what the incident
/// began with, and not step by step: else likely steps would add up to unlikely ways.
fn likely_enough(incident: &Incident, node: &Node, new: &Sighting, chain: &Chain) -> Result<(), String> {
    let beside = matches!(chain.reach, Reach::Metres(_)) && node.spread.metres(&new.spread).is_some();
    if new.everyday && chain.permille < limits::EVERYDAY_PERMILLE_MIN {
        return Err(format!("an everyday matter, and less likely than {}‰", limits::EVERYDAY_PERMILLE_MIN));
    }
    if beside && chain.steps.len() == 1 {
        return Ok(());
    }
    if chain.permille < limits::TIE_PERMILLE_MIN {
        return Err(format!("less likely than {}‰", limits::TIE_PERMILLE_MIN));
    }
    let from_first = incident.likely(node.id) * chain.permille / 1000;
    if from_first < limits::CHAIN_PERMILLE_MIN {
        return Err(format!("{from_first}‰ from what it began with"));
    }
    Ok(())
}

/// What is likely weighs, and so does what is near: a cause round the corner is a better one than a cause somewhere.
fn weight(chain: &Chain, node: &Node, new: &Sighting) -> u32 {
    let nearness = match chain.reach {
        _ if node.spread.city || new.spread.city => 60,
        Reach::Metres(_) => 150,
        Reach::District => 100,
        Reach::City => 60,
    };
    chain.permille * nearness / 100
}

pub(super) fn span(time: TimeDelta) -> String {
    match time.num_minutes() {
        minutes if minutes.abs() < 120 => format!("{minutes} min"),
        minutes => format!("{} h", minutes / 60),
    }
}
