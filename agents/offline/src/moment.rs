//! Local times as files write them.

use chrono::{NaiveDate, NaiveDateTime};

const DATE_TIMES: [&str; 8] = [
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y/%m/%d %H:%M:%S%.f",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M",
    "%Y-%m-%dT%H:%M",
];
const DATES: [&str; 3] = ["%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y"];

/// A moment of the wall clock, µs since 1970-01-01 00:00; `None` for what is none. An offset from UTC at the end is left
/// out, because a habit of the hour is one of the clock on the wall.
pub fn local_us(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(time.naive_local().and_utc().timestamp_micros());
    }
    let text = text.trim_end_matches('Z');
    let time = DATE_TIMES.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let time = time.or_else(|| DATES.iter().find_map(|format| NaiveDate::parse_from_str(text, format).ok()).and_then(|day| day.and_hms_opt(0, 0, 0)));
    time.map(|time| time.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::local_us;

    #[test]
    fn times_of_several_hands() {
        let noon = Some(1_388_577_600_000_000);
        for text in ["2014-01-01 12:00:00", "2014-01-01T12:00:00Z", "2014-01-01T12:00:00+08:00", "1/1/2014 12:00:00", "01/01/2014 12:00:00 PM", " 2014/1/1 12:00 "] {
            assert_eq!(local_us(text), noon, "{text}");
        }
        assert_eq!(local_us("2014/1/1"), Some(1_388_534_400_000_000));
        for text in ["", "yesterday", "\0", "2014-13-40", "99999999999999"] {
            assert_eq!(local_us(text), None, "{text:?}");
        }
    }
}
