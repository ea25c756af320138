//! What may follow in an incident: the chains from each of its events, as likely and as soon as the graph says and earlier
//! incidents have shown ([`super::learn`]), and less likely the longer nothing has come of them.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::{Incident, here, when};
use crate::effect::Expected;
use crate::limits;
use crate::state::{State, Turn};

impl State {
    /// Looks again at what may follow; gives whether that has changed.
    pub(super) fn expect_next(&self, turn: &Turn<'_>, incident: &mut Incident) -> bool {
        let when = when(turn, self.utc_offset_minutes);
        let mut likeliest: BTreeMap<String, Expected> = BTreeMap::new();
        for node in &incident.nodes {
            let Some(event) = node.event.as_deref() else { continue };
            if node.early && !incident.has_happened(event) {
                let soon = Expected {
                    event: event.to_owned(),
                    permille: limits::FORETOLD_PERMILLE,
                    from: node.first,
                    until: node.last + limits::INCIDENT_JOIN,
                    district: node.spread.districts.first().filter(|_| !node.spread.city).cloned(),
                    reach: turn.graph.event(event).map_or(graph::Reach::District, |event| event.extent).to_string(),
                    seen: 0,
                };
                likeliest.insert(event.to_owned(), soon);
            }
            for chain in turn.graph.what_follows(event, here(&node.spread), Some(when), limits::FOLLOWING_MAX) {
                let effect = chain.effect();
                if incident.has_happened(effect) {
                    continue;
                }
                // What is only foretold has not begun: what it leads to comes that much later, and is that much less likely.
                let (begun, sure) = if node.early { (turn.at, limits::FORETOLD_PERMILLE) } else { (node.onset, 1000) };
                let since = (turn.at - begun).num_minutes().max(0);
                let learnt = self.lessons.of(&chain);
                let permille = still_to_come(learnt.permille * sure / 1000, learnt.lag_minutes, since as u64);
                let lag = |minutes: u32| TimeDelta::minutes(i64::from(minutes));
                let next = Expected {
                    event: effect.to_owned(),
                    permille,
                    from: begun + lag(learnt.lag_minutes[0]),
                    until: begun.max(node.last) + lag(learnt.lag_minutes[2]),
                    district: node.spread.districts.first().filter(|_| !node.spread.city).cloned(),
                    reach: chain.reach.to_string(),
                    seen: learnt.seen,
                };
                if permille > 0 && next.until >= turn.at && likeliest.get(effect).is_none_or(|known| known.permille < permille) {
                    likeliest.insert(effect.to_owned(), next);
                }
            }
        }
        let mut expected: Vec<Expected> = likeliest.into_values().collect();
        expected.sort_by(|a, b| b.permille.cmp(&a.permille).then_with(|| a.event.cmp(&b.event)));
        expected.truncate(limits::EXPECTED_MAX);
        let changed = incident.expected != expected;
        incident.expected = expected;
        changed
    }
}

/// The probability that something still comes when nothing has come of it for `since` minutes, in thousandths: of what
/// was likely before, the share of the triangular distribution of its lag that is yet to come (Bayes).
fn still_to_come(permille: u32, [least, likely, most]: [u32; 3], since: u64) -> u32 {
    let (least, likely, most) = (u64::from(least), u64::from(likely), u64::from(most));
    let left = match since {
        since if since <= least => 1000,
        since if since >= most => 0,
        since if since < likely => 1000 - (since - least).pow(2) * 1000 / ((most - least) * (likely - least)),
        since => (most - since).pow(2) * 1000 / ((most - least) * (most - likely)),
    };
    let prior = u64::from(permille);
    let to_come = prior * left;
    // Zero over zero: what was certain and has not come in all its time does not come.
    let all = (1000 - prior) * 1000 + to_come;
    if all == 0 { 0 } else { (to_come * 1000 / all) as u32 }
}

#[cfg(test)]
mod tests {
    use super::still_to_come;

    #[test]
    fn what_has_not_come_becomes_less_likely() {
        let lag = [10, 40, 120];
        assert_eq!(still_to_come(600, lag, 0), 600);
        assert_eq!(still_to_come(600, lag, 10), 600);
        assert_eq!(still_to_come(600, lag, 120), 0);
        let over: Vec<u32> = (0..13).map(|ten| still_to_come(600, lag, ten * 10)).collect();
        assert!(over.windows(2).all(|pair| pair[0] >= pair[1]), "{over:?}");
        // Half of the way down the far side: (120-80)² / (110·80) of it is left, 18 %; 0.6·0.18 / (0.4 + 0.6·0.18).
        assert_eq!(still_to_come(600, lag, 80), 213);
        assert_eq!(still_to_come(1000, [0, 10, 20], 20), 0);
        assert_eq!(still_to_come(300, [5, 5, 5], 5), 300);
    }
}
