//! The levels of the next two hours, gauge by gauge, and what became of what was foretold.
//!
//! Reads the minutes of the job `levels` ([`topics::LEVEL`]): the level of a gauge and the rain of its district. While the water
//! moves a gauge is foretold every five minutes, and in calm water once an hour ([`forecast::Level`]).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, Utc};
use forecast::Level;
use schemas::topics;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Fold, Said, rounded, time};
use crate::rows::Row;

const FORECAST: &str = "io.citybrain.level.forecast.v1";
const SCORE: &str = "io.citybrain.level.score.v1";
const MINUTE_US: i64 = 60_000_000;
/// Minutes ahead that are told.
const LEADS: [usize; 4] = [15, 30, 60, 120];
/// How often the interval shall hold.
const INTERVAL: f64 = 0.9;
/// Minutes between two forecasts of water that moves, and of calm water.
const EVERY: [i64; 2] = [5, 60];
/// A gauge that was not watched so long is not foretold.
const WATCHED_MIN: u32 = 180;
/// A gauge that was silent longer begins anew.
const SILENCE_MAX: i64 = 180;
/// Gauges that are foretold, the first ones that speak: each takes some 100 kB.
const GAUGES_MAX: usize = 500;

/// The fold.
#[derive(Serialize, Deserialize)]
pub struct Levels {
    gauges: BTreeMap<String, Gauge>,
}

#[derive(Serialize, Deserialize)]
struct Gauge {
    level: Level,
    /// The minute that was taken last, counted from 1970.
    minute: i64,
    /// Forecasts that are not over, in the order in which they are.
    told: VecDeque<Told>,
}

/// A forecast whose minute has not come: the minute, and what was said.
#[derive(Serialize, Deserialize)]
struct Told {
    minute: i64,
    said: Value,
}

/// A minute of a gauge.
#[derive(Deserialize)]
struct Minute {
    station: String,
    #[serde(default)]
    district: Option<String>,
    minute: DateTime<Utc>,
    level_m: f64,
    #[serde(default)]
    rain_mm: Option<f64>,
}

impl Fold for Levels {
    const NAME: &'static str = "levels";
    const READS: &'static str = topics::LEVEL;
    const WRITES: &'static str = topics::FORECAST;
    /// Many gauges make a large state, and a minute is folded again in no time.
    const KEEP_EVERY: Duration = Duration::from_secs(600);

    fn begin(_: i32) -> Levels {
        Levels { gauges: BTreeMap::new() }
    }

    fn take(&mut self, row: &Row<'_>, said: &mut Vec<Said>) {
        let Some(Ok(minute)) = row.data.map(serde_json::from_str::<Minute>) else { return };
        if !self.gauges.contains_key(&minute.station) && self.gauges.len() >= GAUGES_MAX {
            return;
        }
        let now = minute.minute.timestamp_micros().div_euclid(MINUTE_US);
        let gauge = self.gauges.entry(minute.station.clone()).or_insert_with(|| Gauge::new(now - 1));
        if now - gauge.minute > SILENCE_MAX {
            gauge.forget(said);
            *gauge = Gauge::new(now - 1);
        }
        // A minute that came twice, or late, changes nothing.
        for silent in gauge.minute + 1..now {
            gauge.level.observe(f64::NAN, f64::NAN);
            gauge.score(silent, None, said);
        }
        if now > gauge.minute {
            gauge.minute = now;
            gauge.level.observe(minute.level_m, minute.rain_mm.unwrap_or(f64::NAN));
            gauge.score(now, Some(minute.level_m), said);
            gauge.tell(&minute, said);
        }
    }
}

impl Gauge {
    fn new(minute: i64) -> Gauge {
        Gauge { level: Level::new(INTERVAL), minute, told: VecDeque::new() }
    }

    fn tell(&mut self, minute: &Minute, said: &mut Vec<Said>) {
        let every = EVERY[usize::from(!self.level.moving())];
        if self.level.minutes() < WATCHED_MIN || self.minute % every != 0 {
            return;
        }
        let made_at = end_of(self.minute);
        for lead in LEADS {
            let Some(outlook) = self.level.outlook(lead) else { continue };
            let for_minute = self.minute + lead as i64;
            let data = json!({
                "station": minute.station, "district": minute.district, "made_at": made_at, "for_time": end_of(for_minute), "lead_min": lead,
                "level_m": rounded(self.level.level()), "yhat": rounded(outlook.median), "lo": rounded(outlook.lo), "hi": rounded(outlook.hi),
                "level": INTERVAL, "model": "levels-1",
            });
            let id = format!("level-{}-{}-{lead}", minute.station, made_at.timestamp());
            let mut told = data.clone();
            told["forecast"] = json!(id);
            let at = self.told.partition_point(|told| told.minute <= for_minute);
            self.told.insert(at, Told { minute: for_minute, said: told });
            said.push(Said { event_type: FORECAST, id, key: minute.station.clone(), at: made_at, data });
        }
    }

    /// Scores what was foretold for a minute in which the gauge said `actual`, or nothing.
    fn score(&mut self, minute: i64, actual: Option<f64>, said: &mut Vec<Said>) {
        while self.told.front().is_some_and(|told| told.minute <= minute)
            && let Some(told) = self.told.pop_front()
        {
            said.push(score(told, actual));
        }
    }

    /// The gauge is silent for too long: nobody will know what became of it.
    fn forget(&mut self, said: &mut Vec<Said>) {
        said.extend(self.told.drain(..).map(|told| score(told, None)));
    }
}

/// The end of a minute.
fn end_of(minute: i64) -> DateTime<Utc> {
    time((minute + 1) * MINUTE_US)
}

fn score(told: Told, actual: Option<f64>) -> Said {
    let Told { minute, said: mut data } = told;
    let number = |name: &str| data[name].as_f64().unwrap_or_default();
    let error = actual.map(|actual| rounded(actual - number("yhat")));
    let inside = actual.map(|actual| (number("lo")..=number("hi")).contains(&actual));
    (data["actual"], data["error"], data["inside"]) = (json!(actual.map(rounded)), json!(error), json!(inside));
    let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
    let (id, key) = (format!("{}-scored", text("forecast")), text("station"));
    Said { event_type: SCORE, id, key, at: end_of(minute), data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Two gauges: one drains after rain every six hours, one lies still in the dry.
    fn flow(levels: &mut Levels, minutes: std::ops::Range<i64>, said: &mut Vec<Said>) {
        for minute in minutes {
            let since = minute % 360;
            let (rain, level) = if since < 30 { (1.0, since as f64 * 0.02) } else { (0.0, 0.6 * (-(since - 30) as f64 / 60.0).exp()) };
            let at = time((29_700_000 + minute) * MINUTE_US);
            for (station, level, rain) in [("moving", level, rain), ("still", 0.2, 0.0)] {
                let data = json!({"station": station, "district": "d01", "minute": at, "level_m": level, "rain_mm": rain}).to_string();
                levels.take(&Row { offset: 0, id: None, source: None, event_type: None, time_us: None, extensions: None, data: Some(&data) }, said);
            }
        }
    }

    #[test]
    fn each_forecast_is_scored_once_when_its_minute_is_there() {
        let (mut levels, mut said) = (Levels::begin(480), Vec::new());
        flow(&mut levels, 0..4_000, &mut said);
        let ids: BTreeSet<&str> = said.iter().map(|said| said.id.as_str()).collect();
        assert_eq!(ids.len(), said.len(), "no id twice");
        let of = |station: &str, kind: &str| said.iter().filter(|said| said.key == station && said.event_type == kind).collect::<Vec<_>>();
        let scores = of("moving", SCORE);
        assert!(scores.len() > 1_000 && of("still", SCORE).len() < scores.len());
        for score in &scores {
            assert!(ids.contains(score.data["forecast"].as_str().expect("a name")));
            assert_eq!(json!(score.at), score.data["for_time"]);
        }
        let later = scores.iter().filter(|score| score.data["lead_min"] == 30).skip(scores.len() / 8);
        let (mut error, mut unchanged) = (0.0, 0.0);
        for score in later {
            let number = |name: &str| score.data[name].as_f64().expect("a number");
            error += number("error").abs();
            unchanged += (number("actual") - number("level_m")).abs();
        }
        assert!(error < unchanged, "better than saying that it stays as it is: {error} {unchanged}");
    }

    #[test]
    fn what_was_stored_goes_on_as_if_nothing_had_been() {
        let (mut whole, mut expected) = (Levels::begin(480), Vec::new());
        flow(&mut whole, 0..900, &mut expected);
        let (mut part, mut said) = (Levels::begin(480), Vec::new());
        flow(&mut part, 0..500, &mut said);
        let mut part: Levels = serde_json::from_str(&serde_json::to_string(&part).expect("plain values")).expect("it reads");
        // What came before comes again: nothing is said of it.
        flow(&mut part, 450..900, &mut said);
        assert_eq!(said, expected);
    }

    #[test]
    fn silence_is_told_and_nonsense_is_not() {
        let (mut levels, mut said) = (Levels::begin(480), Vec::new());
        flow(&mut levels, 0..400, &mut said);
        let open = said.iter().filter(|said| said.event_type == FORECAST).count() - said.iter().filter(|said| said.event_type == SCORE).count();
        assert!(open > 4);
        let mut after = Vec::new();
        flow(&mut levels, 2_000..2_001, &mut after);
        assert_eq!(after.len(), open);
        assert!(after.iter().all(|said| said.event_type == SCORE && said.data["actual"].is_null() && said.data["inside"].is_null()));
        let mut nothing = Vec::new();
        for data in ["", "{}", r#"{"station":"a","minute":"x","level_m":1}"#, r#"{"station":"far","minute":"+262142-01-01T00:00:00Z","level_m":1}"#] {
            levels.take(&Row { offset: 0, id: None, source: None, event_type: None, time_us: None, extensions: None, data: Some(data) }, &mut nothing);
        }
        assert!(nothing.is_empty());
    }
}
