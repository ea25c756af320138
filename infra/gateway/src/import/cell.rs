//! One value of one row, and its conversion into what an event wants. Pure: no files, no clock.
//!
//! Conversions refuse rather than guess: `"12abc"` is not the number 12, and `31 February` is not a day. What they
//! forgive is listed beside each, because published files need it.

use std::borrow::Cow;

use chrono::{DateTime, Duration, LocalResult, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

/// A value as a file gives it, before any conversion.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    /// Nothing there, or one of the mapping's null tokens.
    Null,
    /// Text.
    Text(Cow<'a, str>),
    /// A whole number.
    Int(i64),
    /// A finite number; `NaN` is [`Cell::Null`].
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A time without a zone: the mapping's zone applies.
    Local(NaiveDateTime),
    /// A time with a zone.
    Instant(DateTime<Utc>),
    /// A nested JSON value.
    Json(serde_json::Value),
}

/// The layouts tried when a mapping names none. RFC 3339 comes first and is always tried.
pub const DEFAULT_TIME_FORMATS: &[&str] =
    &["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y-%m-%d"];

/// Longest piece of a value that a message repeats: enough to find it, too little to publish a citizen's words.
const SHOWN_CHARS: usize = 24;

impl Cell<'_> {
    /// Whether there is nothing here.
    pub fn is_null(&self) -> bool {
        matches!(self, Cell::Null)
    }

    /// As text; `None` when null. Whole floats lose their `.0`, since a column of keys with gaps is often stored as
    /// floats, and times are written in ISO 8601.
    pub fn to_text(&self) -> Option<String> {
        match self {
            Cell::Null => None,
            Cell::Text(text) => Some(text.trim().to_owned()),
            Cell::Int(value) => Some(value.to_string()),
            Cell::Float(value) => Some(value.to_string()),
            Cell::Bool(value) => Some(value.to_string()),
            Cell::Local(value) => Some(value.format("%Y-%m-%dT%H:%M:%S%.f").to_string()),
            Cell::Instant(value) => Some(value.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)),
            Cell::Json(serde_json::Value::String(text)) => Some(text.clone()),
            Cell::Json(value) => Some(value.to_string()),
        }
    }

    /// As a whole number; accepts `21205.0`, refuses `21205.5`.
    pub fn to_int(&self) -> Result<Option<i64>, String> {
        let whole = |value: f64| {
            // 2^53: beyond it a float no longer names one whole number.
            if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 {
                Ok(Some(value as i64))
            } else {
                Err(format!("{value} is not a whole number"))
            }
        };
        match self {
            Cell::Null => Ok(None),
            Cell::Int(value) => Ok(Some(*value)),
            Cell::Float(value) => whole(*value),
            Cell::Bool(value) => Ok(Some(i64::from(*value))),
            Cell::Text(text) => {
                let text = text.trim();
                match text.parse::<i64>() {
                    Ok(value) => Ok(Some(value)),
                    Err(_) => match parse_float(text) {
                        Some(value) => whole(value),
                        None => Err(format!("{} is not a whole number", shown(text))),
                    },
                }
            }
            Cell::Local(_) | Cell::Instant(_) | Cell::Json(_) => Err("this is not a whole number".to_owned()),
        }
    }

    /// As a finite number.
    pub fn to_float(&self) -> Result<Option<f64>, String> {
        match self {
            Cell::Null => Ok(None),
            Cell::Int(value) => Ok(Some(*value as f64)),
            Cell::Float(value) => Ok(Some(*value)),
            Cell::Text(text) => {
                parse_float(text.trim()).map(Some).ok_or_else(|| format!("{} is not a number", shown(text.trim())))
            }
            Cell::Bool(_) | Cell::Local(_) | Cell::Instant(_) | Cell::Json(_) => Err("this is not a number".to_owned()),
        }
    }

    /// As a truth value: true/false, yes/no, y/n, t/f, 1/0, 是/否.
    pub fn to_bool(&self) -> Result<Option<bool>, String> {
        match self {
            Cell::Null => Ok(None),
            Cell::Bool(value) => Ok(Some(*value)),
            Cell::Int(0) => Ok(Some(false)),
            Cell::Int(1) => Ok(Some(true)),
            Cell::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "y" | "t" | "1" | "是" => Ok(Some(true)),
                "false" | "no" | "n" | "f" | "0" | "否" => Ok(Some(false)),
                other => Err(format!("{} is neither true nor false", shown(other))),
            },
            Cell::Int(_) | Cell::Float(_) | Cell::Local(_) | Cell::Instant(_) | Cell::Json(_) => {
                Err("this is neither true nor false".to_owned())
            }
        }
    }

    /// As a moment. Text is read as RFC 3339 first, then by `formats` in the zone `zone`.
    pub fn to_time(&self, formats: &[String], zone: Tz) -> Result<Option<DateTime<Utc>>, String> {
        match self {
            Cell::Null => Ok(None),
            Cell::Instant(time) => Ok(Some(*time)),
            Cell::Local(local) => instant(*local, zone).map(Some),
            Cell::Text(text) => parse_time(text.trim(), formats, zone).map(Some),
            Cell::Json(serde_json::Value::String(text)) => parse_time(text.trim(), formats, zone).map(Some),
            Cell::Int(_) | Cell::Float(_) | Cell::Bool(_) | Cell::Json(_) => {
                Err("this is a number, not a time; name a text column, or a time format".to_owned())
            }
        }
    }
}

/// A value for a message: its beginning only, in quotes.
pub fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_CHARS).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().count() > SHOWN_CHARS {
        short.push('…');
    }
    format!("\"{short}\"")
}

fn parse_float(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

fn parse_time(text: &str, formats: &[String], zone: Tz) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.with_timezone(&Utc));
    }
    for format in formats {
        if let Ok(local) = NaiveDateTime::parse_from_str(text, format) {
            return instant(local, zone);
        }
        if let Ok(date) = NaiveDate::parse_from_str(text, format) {
            return instant(date.and_time(chrono::NaiveTime::MIN), zone);
        }
    }
    Err(format!("{} is not a time in any of the layouts {formats:?}", shown(text)))
}

/// The moment that a local time names in a zone.
///
/// An hour that happens twice (clocks go back) is the first of the two. An hour that never happened (clocks go
/// forward) is read with the offset that held before it, which is what a clock that was not set forward shows.
fn instant(local: NaiveDateTime, zone: Tz) -> Result<DateTime<Utc>, String> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(time) => Ok(time.with_timezone(&Utc)),
        LocalResult::Ambiguous(first, _) => Ok(first.with_timezone(&Utc)),
        LocalResult::None => {
            // No zone moves its clock forward by more than a day (Samoa skipped one).
            for hours in [1_i64, 2, 3, 24, 25] {
                let Some(earlier) = local.checked_sub_signed(Duration::hours(hours)) else { break };
                if let LocalResult::Single(time) | LocalResult::Ambiguous(time, _) = zone.from_local_datetime(&earlier) {
                    return Ok(time.with_timezone(&Utc) + Duration::hours(hours));
                }
            }
            Err(format!("{local} does not exist in {zone}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn formats(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    fn time(text: &str, zone: Tz, list: &[&str]) -> Result<String, String> {
        Cell::Text(text.into())
            .to_time(&formats(list), zone)
            .map(|time| time.map_or_else(String::new, |time| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)))
    }

    #[test]
    fn local_times_become_moments() {
        let houston = chrono_tz::America::Chicago;
        assert_eq!(time("2017-08-26 06:00:00", houston, DEFAULT_TIME_FORMATS).unwrap(), "2017-08-26T11:00:00Z");
        assert_eq!(time("2017-01-26 06:00:00", houston, DEFAULT_TIME_FORMATS).unwrap(), "2017-01-26T12:00:00Z");
        let nyc = chrono_tz::America::New_York;
        assert_eq!(time("12/25/2013 11:59:08 PM", nyc, &["%m/%d/%Y %I:%M:%S %p"]).unwrap(), "2013-12-26T04:59:08Z");
        let shanghai = chrono_tz::Asia::Shanghai;
        assert_eq!(time("2020/1/6 9:32:09", shanghai, &["%Y/%m/%d %H:%M:%S"]).unwrap(), "2020-01-06T01:32:09Z");
    }

    #[test]
    fn the_hour_that_does_not_exist_and_the_hour_that_happens_twice() {
        let houston = chrono_tz::America::Chicago;
        assert_eq!(time("2017-03-12 02:30:00", houston, DEFAULT_TIME_FORMATS).unwrap(), "2017-03-12T08:30:00Z");
        assert_eq!(time("2017-11-05 01:30:00", houston, DEFAULT_TIME_FORMATS).unwrap(), "2017-11-05T06:30:00Z");
    }

    #[test]
    fn numbers_are_refused_rather_than_guessed() {
        assert_eq!(Cell::Text("21205.0".into()).to_int().unwrap(), Some(21205));
        assert!(Cell::Text("21205.5".into()).to_int().is_err());
        assert!(Cell::Text("12abc".into()).to_float().is_err());
        assert!(Cell::Text("inf".into()).to_float().is_err());
        assert!(Cell::Text("1e999".into()).to_float().is_err());
        assert!(time("2017-02-31 00:00:00", chrono_tz::UTC, DEFAULT_TIME_FORMATS).is_err());
    }

    #[test]
    fn a_message_never_repeats_a_long_text() {
        let message = Cell::Text("我家住在某小区三栋二单元，电话一三八零零，请尽快派人来处理积水问题，谢谢".into()).to_float().unwrap_err();
        assert!(message.chars().count() < 60, "{message}");
    }

    proptest! {
        #[test]
        fn whole_numbers_survive(value in any::<i64>()) {
            prop_assert_eq!(Cell::Text(value.to_string().into()).to_int().unwrap(), Some(value));
            prop_assert_eq!(Cell::Int(value).to_text().unwrap(), value.to_string());
        }

        #[test]
        fn finite_numbers_survive(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
            prop_assert_eq!(Cell::Text(value.to_string().into()).to_float().unwrap(), Some(value));
        }

        #[test]
        fn any_text_is_answered(text in "\\PC*", zone in prop::sample::select(vec![chrono_tz::UTC, chrono_tz::America::Chicago, chrono_tz::Asia::Taipei])) {
            let cell = Cell::Text(text.into());
            let list = formats(DEFAULT_TIME_FORMATS);
            // None of these may panic, whatever the text.
            let _ = (cell.to_text(), cell.to_int(), cell.to_float(), cell.to_bool(), cell.to_time(&list, zone));
        }

        #[test]
        fn local_times_come_back(seconds in -2_000_000_000_i64..4_000_000_000, zone in prop::sample::select(vec![chrono_tz::UTC, chrono_tz::America::Chicago, chrono_tz::America::New_York, chrono_tz::Asia::Taipei, chrono_tz::Asia::Shanghai])) {
            let moment = DateTime::from_timestamp(seconds, 0).unwrap();
            let local = moment.with_timezone(&zone).naive_local();
            let back = Cell::Local(local).to_time(&[], zone).unwrap().unwrap();
            // The only loss is the hour that happens twice: the first is taken.
            let lost = moment - back;
            prop_assert!(lost.is_zero() || lost == Duration::hours(1), "{moment} came back as {back}");
        }
    }
}
