//! Times and dates as events write them.

use chrono::DateTime;

/// Microseconds since 1970 of `2026-07-18T08:00:00.5+08:00`, with any offset, a `T` or a space; UTC when there is no offset.
/// Parts of a microsecond are cut off.
pub(super) fn time_us(text: &str) -> Option<i64> {
    // Leap seconds and whatever else the plain form does not cover.
    plain_time(text.as_bytes()).or_else(|| DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros()))
}

/// Microseconds since 1970 of milliseconds since 1970.
pub(super) fn time_of_ms(ms: i64) -> Option<i64> {
    ms.checked_mul(1_000)
}

/// Days since 1970 of `2026-07-18`.
pub(super) fn date(text: &str) -> Option<i32> {
    let (days, rest) = days(text.as_bytes())?;
    rest.is_empty().then_some(days)
}

fn plain_time(text: &[u8]) -> Option<i64> {
    let (days, rest) = days(text)?;
    let ([b'T' | b't' | b' ', h1, h2, b':', m1, m2, b':', s1, s2], rest) = rest.split_first_chunk::<9>()? else { return None };
    let (hour, minute, second) = (two(*h1, *h2, 23)?, two(*m1, *m2, 59)?, two(*s1, *s2, 59)?);
    let (fraction_us, rest) = fraction_us(rest)?;
    let seconds = i64::from(days) * 86_400 + i64::from(hour * 3_600 + minute * 60 + second) - offset_seconds(rest)?;
    Some(seconds * 1_000_000 + fraction_us)
}

fn days(text: &[u8]) -> Option<(i32, &[u8])> {
    let ([y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2], rest) = text.split_first_chunk::<10>()? else { return None };
    let year = two(*y1, *y2, 99)? * 100 + two(*y3, *y4, 99)?;
    let (month, day) = (two(*m1, *m2, 12)?, two(*d1, *d2, 31)?);
    // Days before the month in a common year.
    const BEFORE: [i32; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let first = *BEFORE.get(usize::try_from(month - 1).ok()?)?;
    let length = BEFORE[month as usize] - first + i32::from(leap && month == 2);
    if day < 1 || day > length {
        return None;
    }
    // The year 0 is a leap year, so counting begins with the leap days of the years 0 to year - 1.
    let leaps = if year == 0 { 0 } else { 1 + (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 };
    const UNTIL_1970: i32 = 719_528;
    Some((year * 365 + leaps + first + i32::from(leap && month > 2) + day - 1 - UNTIL_1970, rest))
}

fn two(tens: u8, ones: u8, most: i32) -> Option<i32> {
    let value = (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| i32::from(tens - b'0') * 10 + i32::from(ones - b'0'))?;
    (value <= most).then_some(value)
}

fn fraction_us(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', rest)) = text.split_first() else { return Some((0, text)) };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let us = (0..6).fold(0, |us, place| us * 10 + rest[..digits].get(place).map_or(0, |digit| i64::from(digit - b'0')));
    Some((us, &rest[digits..]))
}

fn offset_seconds(text: &[u8]) -> Option<i64> {
    match text {
        [] | [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let seconds = i64::from(two(*h1, *h2, 23)? * 3_600 + two(*m1, *m2, 59)? * 60);
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}
