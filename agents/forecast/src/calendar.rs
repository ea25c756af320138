//! Days that are unlike others: weekdays, fixed holidays, and those of the lunar calendar, which drift from year to year.
//!
//! Nothing here says what such a day does to a series: that is learnt from the series itself.

use chrono::{Datelike, NaiveDate};

/// First day of the lunar year, Dragon Boat (5th day of the 5th month) and Mid-Autumn (15th of the 8th), as month × 100 + day,
/// for the years 2010 to 2040: the Hong Kong Observatory's conversion tables of the Gregorian and the lunar calendar.
const LUNAR: [[u16; 3]; 31] = [
    [214, 616, 922], [203, 606, 912], [123, 623, 930], [210, 612, 919], [131, 602, 908], [219, 620, 927], [208, 609, 915], [128, 530, 1004],
    [216, 618, 924], [205, 607, 913], [125, 625, 1001], [212, 614, 921], [201, 603, 910], [122, 622, 929], [210, 610, 917], [129, 531, 1006],
    [217, 619, 925], [206, 609, 915], [126, 528, 1003], [213, 616, 922], [203, 605, 912], [123, 624, 1001], [211, 612, 919], [131, 601, 908],
    [219, 620, 927], [208, 610, 916], [128, 530, 1004], [215, 618, 924], [204, 607, 913], [124, 527, 1002], [212, 614, 920],
];
const LUNAR_FIRST_YEAR: i32 = 2010;

/// Days before and after the lunar new year that are kept apart from ordinary ones.
const NEW_YEAR_BEFORE: i64 = 30;
const NEW_YEAR_AFTER: i64 = 20;
/// Days around the other lunar holidays.
const AROUND: i64 = 2;

/// Fixed holidays of the calendars of mainland China and Taiwan, month × 100 + day.
const FIXED: [u32; 14] = [101, 102, 227, 228, 404, 405, 501, 502, 1001, 1002, 1003, 1010, 1224, 1225];

/// How many slots [`slot`] knows.
pub const SLOTS: usize = (NEW_YEAR_BEFORE + NEW_YEAR_AFTER + 1) as usize + 4 * (2 * AROUND + 1) as usize + 2 * FIXED.len();

/// Days since 1970-01-01 as a date; out of chrono's range, that day itself.
pub fn date(day: i64) -> NaiveDate {
    const FIRST: i64 = 719_163;
    day.checked_add(FIRST).and_then(|days| i32::try_from(days).ok()).and_then(NaiveDate::from_num_days_from_ce_opt).unwrap_or_default()
}

/// The weekday, 0 Monday.
pub fn weekday(day: i64) -> usize {
    ((day.rem_euclid(7) + 3) % 7) as usize
}

fn lunar(year: i32, which: usize) -> Option<NaiveDate> {
    let code = LUNAR.get(usize::try_from(year - LUNAR_FIRST_YEAR).ok()?)?[which];
    NaiveDate::from_ymd_opt(year, u32::from(code / 100), u32::from(code % 100))
}

/// The lunar new year of a year; `None` outside 2010-2040.
pub fn lunar_new_year(year: i32) -> Option<NaiveDate> {
    lunar(year, 0)
}

/// The slot of a day that is unlike others: days around the lunar new year by their distance to it, holidays by name and by
/// whether they fall on a weekend. `None` for an ordinary day.
pub fn slot(day: i64) -> Option<usize> {
    let date = date(day);
    let weekend = usize::from(weekday(day) >= 5);
    let distance = |which| lunar(date.year(), which).map(|holiday| (date - holiday).num_days());
    if let Some(days) = distance(0).filter(|days| (-NEW_YEAR_BEFORE..=NEW_YEAR_AFTER).contains(days)) {
        return Some((days + NEW_YEAR_BEFORE) as usize);
    }
    let mut first = (NEW_YEAR_BEFORE + NEW_YEAR_AFTER + 1) as usize;
    for which in [1, 2] {
        if let Some(days) = distance(which).filter(|days| days.abs() <= AROUND) {
            return Some(first + 2 * (days + AROUND) as usize + weekend);
        }
        first += 2 * (2 * AROUND + 1) as usize;
    }
    let code = date.month() * 100 + date.day();
    FIXED.iter().position(|fixed| *fixed == code).map(|at| first + 2 * at + weekend)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> i64 {
        (text.parse::<NaiveDate>().unwrap() - NaiveDate::default()).num_days()
    }

    #[test]
    fn the_lunar_new_year_drifts_and_keeps_its_slot() {
        assert_eq!(slot(day("2024-02-10")), slot(day("2023-01-22")));
        assert_eq!(slot(day("2024-02-09")), slot(day("2025-01-28")));
        assert_ne!(slot(day("2024-02-10")), slot(day("2025-02-10")));
        assert_eq!(lunar_new_year(2009), None);
    }

    #[test]
    fn lunar_dates_are_new_moons_apart() {
        // Twelve or thirteen lunar months of 29.53 days lie between two new years; three or four and ten days between the other two holidays.
        for year in 2010..2040 {
            let days = (lunar_new_year(year + 1).unwrap() - lunar_new_year(year).unwrap()).num_days();
            assert!((353..=355).contains(&days) || (383..=385).contains(&days), "{year}: {days}");
            let months = (lunar(year, 2).unwrap() - lunar(year, 1).unwrap()).num_days();
            assert!((98..=99).contains(&months) || (127..=128).contains(&months), "{year}: {months}");
        }
    }

    #[test]
    fn every_day_has_a_slot_within_bounds_or_none() {
        let used = (0..40_000).filter_map(slot).max().unwrap();
        assert!(used < SLOTS);
        assert_eq!(slot(day("2024-07-16")), None);
        assert_ne!(slot(day("2022-10-10")), slot(day("2021-10-10")), "Monday and Sunday");
        assert_eq!(weekday(day("2024-07-15")), 0);
        for extreme in [i64::MIN + 3, -1, i64::MAX - 3] {
            slot(extreme);
            date(extreme);
        }
    }
}
