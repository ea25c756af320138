//! Cases found by machines: what a station measures may need somebody on the spot, and then somebody owes it.

use graph::{Category, Reach, Sorted};
use schemas::signal::{Signal, SignalKind};

use super::{Intake, MACHINE};
use crate::limits;
use crate::state::{State, Turn};

/// The key of the case that an alert opens.
pub(crate) fn machine_key(alert: &str) -> String {
    format!("{alert}#{MACHINE}")
}

impl State {
    /// Opens a case for a station's alert, once for each, when its level asks for somebody on the spot. The category is the
    /// most urgent one of the alert's scenario.
    pub(crate) fn machine_case(&mut self, turn: &mut Turn<'_>, signal: &Signal, alert_key: &str) {
        let Some(station) = signal.station.as_deref().filter(|_| signal.signal == SignalKind::Threshold) else { return };
        let Some(alert) = self.active.get(alert_key).and_then(|id| self.alerts.get(id)) else { return };
        let key = machine_key(&alert.id);
        if alert.level > limits::MACHINE_LEVEL_MAX || self.requests.contains_key(&key) {
            return;
        }
        // What is all over the city needs nobody at the gauge that measured it.
        let event = turn.graph.event_of_signal(&alert.scenario, &alert.hazard).and_then(|event| turn.graph.event(event));
        if event.is_some_and(|event| event.extent == Reach::City) {
            return;
        }
        let of_scenario = |category: &&Category| turn.graph.scenario_of_category(&category.id) == Some(&alert.scenario);
        let Some(category) = turn.graph.categories().filter(of_scenario).min_by_key(|category| category.urgency) else { return };
        let (request, urgency) = (alert.id.clone(), alert.level);
        let found = format!("{} of {} at level {urgency} needs somebody at {station}", alert.scenario, alert.id);
        let intake = Intake {
            key,
            request: &request,
            channel: MACHINE,
            own: false,
            sorted: Sorted { category: category.id.clone(), confidence_permille: 900, word: None },
            found,
            typed: true,
            chosen: false,
            text: "",
            ruled: None,
            understood: None,
            risk_word: None,
            urgency: Some(urgency),
            district: signal.district.as_deref(),
            address: None,
            station: Some(station),
            lat: signal.lat.filter(|lat| lat.is_latitude()),
            lon: signal.lon,
            due: None,
            about: None,
        };
        self.report(turn, intake);
    }
}
