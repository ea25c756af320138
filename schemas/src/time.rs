//! RFC 3339 times to microseconds since 1970, and back.
//!
//! Times are kept to the microsecond, like in every table; finer digits are cut, never rounded, so that a time does not
//! move into the next second. A leap second (`:60`) is the first second of the next minute.

use chrono::{DateTime, SecondsFormat, Utc};

/// Reads an RFC 3339 time. The error completes the sentence "the time ...".
///
/// This is the hot one of the decoder: no allocation, no table, one pass.
///
/// ```
/// assert_eq!(schemas::time::parse_us("1970-01-01T08:00:00.5+08:00"), Ok(500_000));
/// assert_eq!(schemas::time::parse_us("2017-08-26T07:00:00"), Err("has no zone (`Z` or `+08:00`) at its end"));
/// ```
pub fn parse_us(text: &str) -> Result<i64, &'static str> {
    const SHAPE: &str = "is not of the form 2026-11-24T08:00:00Z";
    let bytes = text.as_bytes();
    if bytes.len() < 19 {
        return Err(SHAPE);
    }
    let separators = bytes[4] == b'-' && bytes[7] == b'-' && bytes[13] == b':' && bytes[16] == b':';
    if !separators || !matches!(bytes[10], b'T' | b't' | b' ') {
        return Err(SHAPE);
    }
    let year = digits2(bytes, 0).zip(digits2(bytes, 2)).map(|(century, rest)| century * 100 + rest).ok_or(SHAPE)?;
    let month = digits2(bytes, 5).ok_or(SHAPE)?;
    let day = digits2(bytes, 8).ok_or(SHAPE)?;
    let hour = digits2(bytes, 11).ok_or(SHAPE)?;
    let minute = digits2(bytes, 14).ok_or(SHAPE)?;
    let second = digits2(bytes, 17).ok_or(SHAPE)?;
    if !(1..=12).contains(&month) {
        return Err("names a month that does not exist");
    }
    if day == 0 || day > days_in_month(year, month) {
        return Err("names a day that does not exist");
    }
    if hour > 23 || minute > 59 || second > 60 {
        return Err("names an hour, minute or second that does not exist");
    }
    let (fraction_us, rest) = fraction(&bytes[19..])?;
    let offset_secs = offset(rest)?;
    let secs = days_from_civil(year, month, day) * 86_400 + i64::from(hour * 3600 + minute * 60 + second) - offset_secs;
    Ok(secs * 1_000_000 + fraction_us)
}

/// Writes microseconds as RFC 3339 in UTC, with as many digits as needed (none, three or six).
pub fn format_us(us: i64) -> Option<String> {
    DateTime::from_timestamp_micros(us).map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

/// Writes a time as RFC 3339 in UTC, cut to the microsecond.
pub fn format(time: DateTime<Utc>) -> String {
    let cut = DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time);
    cut.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn digits2(bytes: &[u8], at: usize) -> Option<u32> {
    let (tens, ones) = (bytes[at].wrapping_sub(b'0'), bytes[at + 1].wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// The microseconds after the point, if there is one, and what follows them.
fn fraction(bytes: &[u8]) -> Result<(i64, &[u8]), &'static str> {
    if bytes.first() != Some(&b'.') {
        return Ok((0, bytes));
    }
    let count = bytes[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return Err("has a point but no digits after it");
    }
    let mut us = 0;
    for place in 0..6 {
        let digit = if place < count { bytes[1 + place] - b'0' } else { 0 };
        us = us * 10 + i64::from(digit);
    }
    Ok((us, &bytes[1 + count..]))
}

fn offset(bytes: &[u8]) -> Result<i64, &'static str> {
    const SHAPE: &str = "has a zone that is neither `Z` nor like `+08:00`";
    match bytes {
        [] => Err("has no zone (`Z` or `+08:00`) at its end"),
        [b'Z' | b'z'] => Ok(0),
        [sign @ (b'+' | b'-'), rest @ ..] if rest.len() == 5 && rest[2] == b':' => {
            let hours = digits2(rest, 0).ok_or(SHAPE)?;
            let minutes = digits2(rest, 3).ok_or(SHAPE)?;
            if hours > 23 || minutes > 59 {
                return Err(SHAPE);
            }
            let secs = i64::from(hours * 3600 + minutes * 60);
            Ok(if *sign == b'-' { -secs } else { secs })
        }
        _ => Err(SHAPE),
    }
}

fn days_in_month(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, by the usual shift of the year to March.
fn days_from_civil(year: u32, month: u32, day: u32) -> i64 {
    let (year, month) = if month > 2 { (i64::from(year), month - 3) } else { (i64::from(year) - 1, month + 9) };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = i64::from((153 * month + 2) / 5 + day - 1);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chrono_us(text: &str) -> Option<i64> {
        DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
    }

    #[test]
    fn agrees_with_chrono_on_the_corners() {
        for text in [
            "1970-01-01T00:00:00Z",
            "1969-12-31T23:59:59.999999Z",
            "0000-01-01T00:00:00Z",
            "0001-03-01T00:00:00+23:59",
            "9999-12-31T23:59:59.999999999-23:59",
            "2000-02-29t12:00:00z",
            "1900-02-28 12:00:00-00:00",
            "2016-12-31T23:59:60Z",
            "2016-12-31T23:59:60.25Z",
            "2026-11-24T08:00:00.1+08:00",
            "2026-11-24T08:00:00.1234567890123+08:00",
        ] {
            assert_eq!(parse_us(text).ok(), chrono_us(text), "{text}");
            assert!(parse_us(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, problem) in [
            ("", "is not of the form"),
            ("2026-11-24", "is not of the form"),
            ("20261124T080000Z", "is not of the form"),
            ("2026-11-24T08:00:00", "has no zone"),
            ("2026-11-24T08:00:00+0800", "has a zone that"),
            ("2026-11-24T08:00:00 UTC", "has a zone that"),
            ("2026-11-24T08:00:00.Z", "has a point"),
            ("2026-13-24T08:00:00Z", "a month that"),
            ("2026-02-29T08:00:00Z", "a day that"),
            ("1900-02-29T08:00:00Z", "a day that"),
            ("2026-02-00T08:00:00Z", "a day that"),
            ("2026-02-20T24:00:00Z", "an hour"),
            ("2026-02-20T23:00:00+24:00", "has a zone that"),
            ("２０２６-02-20T23:00:00Z", "is not of the form"),
        ] {
            let found = parse_us(text).expect_err(text);
            assert!(found.contains(problem), "{text}: {found}");
            assert_eq!(chrono_us(text), None, "{text}: chrono reads it");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_chrono(
            year in 0u32..10_000, month in 0u32..14, day in 0u32..33, hour in 0u32..25, minute in 0u32..61, second in 0u32..62,
            fraction in "(\\.[0-9]{1,12})?", zone in "(Z|[+-][0-2][0-9]:[0-6][0-9])",
        ) {
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}");
            prop_assert_eq!(parse_us(&text).ok(), chrono_us(&text), "{}", text);
        }

        #[test]
        fn reads_what_it_writes(us in -62_135_596_800_000_000i64..253_402_300_799_999_999) {
            prop_assert_eq!(parse_us(&format_us(us).unwrap()), Ok(us));
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = parse_us(&text);
        }
    }
}
