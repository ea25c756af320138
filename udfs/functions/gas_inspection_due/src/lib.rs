use arroyo_udf_plugin::udf;

/// When the next inspection of a gas installation is due: six calendar months after the last one, at the same time of day
/// by Beijing's clock (UTC+8). Where the month has no such day, its last one: 31 August gives 28 or 29 February.
///
/// SQL: gas_inspection_due(last_inspection TIMESTAMP) RETURNS TIMESTAMP
#[udf]
fn gas_inspection_due(last_inspection: i64) -> Option<i64> {
    due(last_inspection)
}

const MONTHS: i64 = 6;
const DAY_NS: i64 = 86_400_000_000_000;
const BEIJING_NS: i64 = 8 * 3_600_000_000_000;

/// Nanoseconds since 1970 in, nanoseconds out; `None` beyond what they can count.
fn due(last_ns: i64) -> Option<i64> {
    let local = last_ns.checked_add(BEIJING_NS)?;
    let (year, month, day) = date(local.div_euclid(DAY_NS));
    let months = year * 12 + (month - 1) + MONTHS;
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
    let days = days(year, month, day.min(length(year, month)));
    days.checked_mul(DAY_NS)?.checked_add(local.rem_euclid(DAY_NS))?.checked_sub(BEIJING_NS)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn length(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date. Years are counted from March, so that the leap day is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

/// The date (year, month, day) of a number of days since 1970-01-01.
fn date(number: i64) -> (i64, i64, i64) {
    let mut year = 1970 + number.div_euclid(366);
    while days(year + 1, 1, 1) <= number {
        year += 1;
    }
    let mut month = 12;
    while days(year, month, 1) > number {
        month -= 1;
    }
    (year, month, number - days(year, month, 1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A time of day in Beijing as nanoseconds.
    fn at(year: i64, month: i64, day: i64, hour: i64) -> i64 {
        days(year, month, day) * DAY_NS + hour * 3_600_000_000_000 - BEIJING_NS
    }

    #[track_caller]
    fn check(last: (i64, i64, i64), expected: (i64, i64, i64)) {
        for hour in [0, 9, 23] {
            assert_eq!(due(at(last.0, last.1, last.2, hour)), Some(at(expected.0, expected.1, expected.2, hour)));
        }
    }

    #[test]
    fn six_months_to_the_day() {
        check((2025, 3, 15), (2025, 9, 15));
        check((2025, 7, 1), (2026, 1, 1));
        check((2025, 12, 31), (2026, 6, 30));
        check((2024, 2, 29), (2024, 8, 29));
        check((1969, 12, 5), (1970, 6, 5));
    }

    #[test]
    fn month_ends_and_leap_years() {
        check((2025, 8, 31), (2026, 2, 28));
        check((2023, 8, 31), (2024, 2, 29));
        check((2023, 8, 29), (2024, 2, 29));
        check((2024, 8, 29), (2025, 2, 28));
        check((1999, 8, 31), (2000, 2, 29));
        check((2099, 8, 31), (2100, 2, 28));
        check((2025, 3, 31), (2025, 9, 30));
        check((2025, 10, 31), (2026, 4, 30));
    }

    #[test]
    fn the_date_is_beijings() {
        // 2025-08-30T20:00Z is 31 August in Beijing: due on 28 February there, which is still the 27th in UTC.
        let last = days(2025, 8, 30) * DAY_NS + 20 * 3_600_000_000_000;
        assert_eq!(due(last), Some(days(2026, 2, 27) * DAY_NS + 20 * 3_600_000_000_000));
    }

    #[test]
    fn every_day_of_four_centuries_is_its_own_date() {
        for number in days(1800, 1, 1)..days(2201, 1, 1) {
            let (year, month, day) = date(number);
            assert_eq!(days(year, month, day), number);
            assert!((1..=length(year, month)).contains(&day));
        }
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(days(2000, 3, 1), 11_017);
    }

    #[test]
    fn times_that_cannot_be_counted() {
        assert_eq!(due(i64::MAX), None);
        assert!(due(i64::MIN).is_some());
    }
}
