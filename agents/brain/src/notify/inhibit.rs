//! Inhibition: an alert that explains others keeps them from being told, by rules of the graph.

use graph::alerting::Inhibition;
use schemas::alert::AlertState;
use schemas::matcher::Matcher;

use super::{fits, label};
use crate::state::{Alert, State, Turn};

/// For each rule the alerts that explain others now.
pub(super) struct Sources<'a> {
    rules: Vec<(&'a Inhibition, Vec<Matcher>, Vec<&'a Alert>)>,
}

impl<'a> Sources<'a> {
    pub(super) fn of(turn: &Turn<'a>, state: &'a State) -> Self {
        let active = || state.active.values().filter_map(|id| state.alerts.get(id)).filter(|alert| alert.state == AlertState::Active);
        let rules = turn.graph.alerting().inhibit.iter().map(|rule| {
            let (source, target): (Vec<Matcher>, Vec<Matcher>) = (rule.source.matchers().collect(), rule.target.matchers().collect());
            let sources = active().filter(|alert| fits(alert, &source)).collect();
            (rule, target, sources)
        });
        Self { rules: rules.collect() }
    }

    /// The key of the alert that explains this one, and the name of the rule.
    pub(super) fn explaining(&self, alert: &Alert) -> Option<(String, String)> {
        self.rules.iter().find_map(|(rule, target, sources)| {
            let source = fits(alert, target).then(|| sources.iter().find(|source| explains(rule, target, source, alert)))??;
            Some((source.alert_key.clone(), rule.name.clone()))
        })
    }
}

fn explains(rule: &Inhibition, target: &[Matcher], source: &Alert, alert: &Alert) -> bool {
    let same = |name: &String| label(source, name).is_some_and(|value| Some(value) == label(alert, name));
    // Two alerts that could explain each other do not: else nobody would be told of either.
    let mutual = !rule.less_severe && fits(source, target);
    source.id != alert.id
        && source.status == alert.status
        && source.timeline == alert.timeline
        && !mutual
        && (!rule.less_severe || source.level < alert.level)
        && rule.equal.iter().all(same)
}
