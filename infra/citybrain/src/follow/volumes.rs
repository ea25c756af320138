//! Forecasts of how many cases there will be, by category and district, a day and a week ahead; and what became of them.
//!
//! Reads the steps of cases ([`topics::CASE`]): a case counts when it is opened, on the day of the city on which that happened.
//! The times of all steps say when a day is over. Then its forecasts are scored, and new ones are made ([`forecast::Book`]).

use forecast::{Book, Options, Score, Step, book};
use schemas::topics;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Fold, Said, rounded, time};
use crate::rows::Row;

/// Days ahead.
const LEADS: [usize; 2] = [1, 7];
/// A series of which less than this is expected in a day has no forecast.
const MEAN_MIN: f64 = 0.5;
const MADE: &str = "io.citybrain.forecast.made.v1";
const SCORED: &str = "io.citybrain.forecast.scored.v1";
/// Characters of a category or district that are kept: whoever sends longer ones makes no series of its own of each.
const NAME_CHARS_MAX: usize = 64;
/// Stands in a series for a category or district that is not known.
const UNKNOWN: &str = "-";

/// The fold.
#[derive(Serialize, Deserialize)]
pub struct Volumes {
    book: Book,
}

/// What counts of a step of a case.
#[derive(Deserialize)]
struct CaseStep {
    #[serde(default)]
    change: Option<String>,
    #[serde(default)]
    category: Option<String>,
    #[serde(default)]
    district: Option<String>,
}

impl Fold for Volumes {
    const NAME: &'static str = "volumes";
    const READS: &'static str = topics::CASE;
    const WRITES: &'static str = topics::FORECAST;

    fn begin(utc_offset_minutes: i32) -> Volumes {
        let offset_us = i64::from(utc_offset_minutes) * 60_000_000;
        Volumes { book: Book::new(Options { step: Step::Day, leads: LEADS.to_vec(), offset_us, mean_min: MEAN_MIN, ..Options::default() }) }
    }

    fn take(&mut self, row: &Row<'_>, said: &mut Vec<Said>) {
        let (Some(time_us), Some(data)) = (row.time_us, row.data) else { return };
        let Ok(step) = serde_json::from_str::<CaseStep>(data) else { return };
        // A case that is opened after midnight ends the day before it is counted.
        said.extend(self.book.advance(time_us).into_iter().map(|event| match event {
            book::Event::Forecast(forecast) => made(&forecast),
            book::Event::Score(score) => scored(&score),
        }));
        if step.change.as_deref() == Some("opened") {
            let known = |name: Option<String>| name.filter(|name| !name.is_empty()).map_or_else(|| UNKNOWN.to_owned(), |name| name.chars().take(NAME_CHARS_MAX).collect());
            self.book.observe(&format!("{}/{}", known(step.category), known(step.district)), time_us);
        }
    }
}

/// The id of a forecast: what it is about says which one it is.
fn id(forecast: &forecast::Forecast) -> String {
    format!("forecast-{}-{}-{}", forecast.series, time(forecast.for_time).timestamp(), lead(forecast))
}

/// Days from the end of what was known to the end of the day that is foretold.
fn lead(forecast: &forecast::Forecast) -> i64 {
    (forecast.for_time - forecast.made_at) / forecast::step::DAY_US + 1
}

/// What a forecast and its score have in common.
fn told(forecast: &forecast::Forecast) -> Value {
    let (category, district) = forecast.series.split_once('/').unwrap_or((&forecast.series, UNKNOWN));
    let known = |name: &str| (name != UNKNOWN).then(|| name.to_owned());
    json!({
        "series": forecast.series, "category": known(category), "district": known(district), "made_at": time(forecast.made_at),
        "for_time": time(forecast.for_time), "lead_days": lead(forecast), "yhat": rounded(forecast.yhat), "mean": rounded(forecast.mean),
        "lo": rounded(forecast.lo), "hi": rounded(forecast.hi), "level": forecast.level, "model": forecast.model,
    })
}

fn made(forecast: &forecast::Forecast) -> Said {
    Said { event_type: MADE, id: id(forecast), key: forecast.series.clone(), at: time(forecast.made_at), data: told(forecast) }
}

fn scored(score: &Score) -> Said {
    let forecast = &score.forecast;
    let made = id(forecast);
    let id = format!("{made}-scored");
    let mut data = told(forecast);
    data["forecast"] = json!(made);
    (data["actual"], data["error"], data["inside"]) = (json!(score.actual), json!(rounded(score.error)), json!(score.inside));
    let over = time(forecast.for_time + forecast::step::DAY_US);
    Said { event_type: SCORED, id, key: forecast.series.clone(), at: over, data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, TimeDelta, Utc};
    use std::collections::BTreeSet;

    const NOISE: &str = r#"{"id":"1-0","case":"case-1","to":"reported","change":"opened","category":"noise","district":"d01"}"#;

    fn opened(volumes: &mut Volumes, days: std::ops::Range<i64>, said: &mut Vec<Said>) {
        // Midnight in the city.
        let begin: DateTime<Utc> = "2026-01-04T16:00:00Z".parse().expect("a time");
        for day in days {
            for hour in [1, 5, 20] {
                let at = begin + TimeDelta::days(day) + TimeDelta::hours(hour);
                let row = Row { offset: 0, id: None, source: None, event_type: None, time_us: Some(at.timestamp_micros()), extensions: None, data: Some(NOISE) };
                volumes.take(&row, said);
            }
        }
    }

    #[test]
    fn each_forecast_is_scored_once_under_its_own_name() {
        let (mut volumes, mut said) = (Volumes::begin(480), Vec::new());
        opened(&mut volumes, 0..40, &mut said);
        let ids: BTreeSet<&str> = said.iter().map(|said| said.id.as_str()).collect();
        assert_eq!(ids.len(), said.len(), "no id twice");
        let scores: Vec<&Said> = said.iter().filter(|said| said.event_type == SCORED).collect();
        assert!(scores.len() > 60 && scores.iter().all(|score| ids.contains(score.data["forecast"].as_str().expect("a name"))));
        let last = scores.last().expect("a score");
        assert_eq!((&last.data["actual"], &last.data["category"], &last.data["district"]), (&json!(3.0), &json!("noise"), &json!("d01")));
        assert!(last.data["inside"] == true && last.data["yhat"] == 3.0, "{}", last.data);
        let made = said.iter().find(|said| said.event_type == MADE && said.data["lead_days"] == 7).expect("a forecast");
        assert_eq!(made.data["for_time"].as_str().map(|time| &time[10..]), Some("T16:00:00Z"), "days begin by the city's clock");
        assert_eq!(made.at + TimeDelta::days(6), made.data["for_time"].as_str().and_then(|time| time.parse::<DateTime<Utc>>().ok()).expect("a time"));
    }

    #[test]
    fn what_was_stored_goes_on_as_if_nothing_had_been() {
        let (mut whole, mut expected) = (Volumes::begin(480), Vec::new());
        opened(&mut whole, 0..30, &mut expected);
        let (mut part, mut said) = (Volumes::begin(480), Vec::new());
        opened(&mut part, 0..17, &mut said);
        let mut part: Volumes = serde_json::from_str(&serde_json::to_string(&part).expect("plain values")).expect("it reads");
        opened(&mut part, 17..30, &mut said);
        assert_eq!(said, expected);
    }

    #[test]
    fn what_is_no_step_says_nothing() {
        let (mut volumes, mut said) = (Volumes::begin(480), Vec::new());
        for data in [None, Some(""), Some("[]"), Some("{}"), Some(r#"{"change":7}"#)] {
            for time_us in [None, Some(i64::MIN), Some(0), Some(i64::MAX)] {
                volumes.take(&Row { offset: 0, id: None, source: None, event_type: None, time_us, extensions: None, data }, &mut said);
            }
        }
        assert!(said.is_empty());
    }
}
