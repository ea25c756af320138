//! The working calendar, asked as somebody with a deadline would ask it.

use chrono::{DateTime, TimeDelta, Utc};
use graph::{CITY_FILES, Calendar, Deadline, Files, Graph};

const BEIJING: i32 = 480;

/// A moment in the city, as people write it.
fn at(text: &str) -> DateTime<Utc> {
    format!("{text}:00+08:00").parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn shipped() -> Calendar {
    Graph::builtin().calendar().clone()
}

#[track_caller]
fn check(from: &str, deadline: Deadline, due: &str) {
    let found = shipped().due(at(from), deadline, BEIJING);
    assert_eq!(found, at(due), "{deadline} from {from}: {}", found + TimeDelta::minutes(BEIJING.into()));
}

#[test]
fn elapsed_hours_know_no_holidays() {
    check("2026-02-14T20:00", Deadline::Hours(24), "2026-02-15T20:00");
    check("2026-12-31T23:59", Deadline::Hours(1), "2027-01-01T00:59");
}

#[test]
fn working_hours_run_while_the_office_is_open() {
    for (from, hours, due) in [
        // A Wednesday in July: morning 9 to 12, afternoon 13 to 17.
        ("2026-07-15T09:00", 1, "2026-07-15T10:00"),
        ("2026-07-15T10:30", 4, "2026-07-15T15:30"),
        ("2026-07-15T12:30", 1, "2026-07-15T14:00"),
        ("2026-07-15T09:00", 3, "2026-07-15T12:00"),
        ("2026-07-15T09:00", 7, "2026-07-15T17:00"),
        ("2026-07-15T09:00", 8, "2026-07-16T10:00"),
        // Outside hours: before, after, at the last minute, at the very end.
        ("2026-07-15T03:00", 1, "2026-07-15T10:00"),
        ("2026-07-15T17:00", 1, "2026-07-16T10:00"),
        ("2026-07-15T16:59", 1, "2026-07-16T09:59"),
        ("2026-07-15T23:59", 1, "2026-07-16T10:00"),
        // A Friday evening waits for Monday; a month ends on the way.
        ("2026-07-31T16:00", 4, "2026-08-03T12:00"),
        // The Spring Festival: Saturday the 14th is worked, then nine days are free.
        ("2026-02-14T16:00", 2, "2026-02-24T10:00"),
        ("2026-02-18T11:00", 7, "2026-02-24T17:00"),
        // Sunday 20 September is worked; the National Day takes seven days.
        ("2026-09-19T10:00", 7, "2026-09-20T17:00"),
        ("2026-09-30T16:59", 1, "2026-10-08T09:59"),
    ] {
        check(from, Deadline::WorkHours(hours), due);
    }
}

#[test]
fn working_days_begin_on_the_day_after_and_end_when_the_office_closes() {
    for (from, days, due) in [
        ("2026-07-15T09:00", 1, "2026-07-16T17:00"),
        ("2026-07-15T00:00", 1, "2026-07-16T17:00"),
        ("2026-07-15T23:59", 1, "2026-07-16T17:00"),
        ("2026-07-17T10:00", 1, "2026-07-20T17:00"),
        ("2026-07-18T10:00", 1, "2026-07-20T17:00"),
        ("2026-07-15T09:00", 4, "2026-07-21T17:00"),
        ("2026-01-30T09:00", 1, "2026-02-02T17:00"),
        // Make-up days count, holidays do not.
        ("2026-02-13T09:00", 2, "2026-02-24T17:00"),
        ("2026-02-27T09:00", 1, "2026-02-28T17:00"),
        ("2026-09-30T09:00", 3, "2026-10-10T17:00"),
        ("2026-12-31T09:00", 1, "2027-01-01T17:00"),
    ] {
        check(from, Deadline::WorkDays(days), due);
    }
}

#[test]
fn what_was_worked_is_what_is_left() {
    let calendar = shipped();
    let worked = |from: &str, to: &str| calendar.worked_minutes(at(from), at(to), BEIJING);
    assert_eq!(worked("2026-07-15T09:00", "2026-07-15T17:00"), 7 * 60);
    assert_eq!(worked("2026-07-15T11:30", "2026-07-15T13:15"), 45);
    assert_eq!(worked("2026-07-15T17:00", "2026-07-16T09:00"), 0);
    assert_eq!(worked("2026-07-16T09:00", "2026-07-15T09:00"), 0, "no time goes backwards");
    assert_eq!(worked("2026-02-14T16:00", "2026-02-24T10:00"), 120);
    // Stopping and going on again loses nothing, wherever the stop is.
    let (from, hours) = (at("2026-09-18T15:20"), 20);
    let due = calendar.due(from, Deadline::WorkHours(hours), BEIJING);
    for minutes in (0..20 * 24 * 60).step_by(37) {
        let stop = from + TimeDelta::minutes(minutes);
        let left = calendar.worked(stop, due, BEIJING);
        assert_eq!(calendar.worked(from, stop.min(due), BEIJING) + left, TimeDelta::hours(hours.into()));
        if left > TimeDelta::zero() {
            assert_eq!(calendar.after(stop, left, BEIJING), due, "stopped at {stop}");
        }
    }
}

#[test]
fn every_due_is_later_and_later_deadlines_are_due_later() {
    let calendar = shipped();
    for begin in (0..400 * 24 * 60).step_by(613) {
        let from = at("2025-12-20T00:00") + TimeDelta::minutes(begin);
        for make in [Deadline::Hours as fn(u32) -> Deadline, Deadline::WorkHours, Deadline::WorkDays] {
            let dues: Vec<_> = [1, 2, 5, 40].map(|n| calendar.due(from, make(n), BEIJING)).into();
            assert!(from < dues[0] && dues.is_sorted_by(|a, b| a < b), "{from}: {dues:?}");
        }
    }
}

#[test]
fn the_far_future_is_bounded() {
    let calendar = shipped();
    let end_of_time = DateTime::<Utc>::MAX_UTC;
    for deadline in [Deadline::Hours(8784), Deadline::WorkHours(8784), Deadline::WorkDays(366)] {
        assert!(calendar.due(end_of_time - TimeDelta::days(2), deadline, BEIJING) <= end_of_time);
        assert!(calendar.due(DateTime::<Utc>::MIN_UTC, deadline, -840) >= DateTime::<Utc>::MIN_UTC);
        assert!(calendar.due(at("2026-07-15T09:00"), deadline, BEIJING) < at("2032-01-01T00:00"));
    }
    let weekly: Calendar = serde_saphyr::from_str("hours: { wed: [09:00-09:01] }").expect("one minute a week");
    assert!(weekly.due(at("2026-07-15T09:00"), Deadline::WorkHours(8784), BEIJING) < at("2035-01-01T00:00"));
    assert_eq!(weekly.due(at("2026-07-15T09:00"), Deadline::WorkDays(366), BEIJING), at("2033-07-20T09:01"));
    assert!(weekly.worked_minutes(DateTime::<Utc>::MIN_UTC, end_of_time, BEIJING) < 10_000);
}

#[test]
fn a_day_that_nobody_looked_up_is_said_once() {
    let calendar = shipped();
    assert_eq!(calendar.uncovered(at("2026-01-01T00:00"), at("2026-12-31T23:00"), BEIJING), None);
    let said = calendar.uncovered(at("2026-12-31T09:00"), at("2027-01-04T17:00"), BEIJING).expect("2027 is not covered");
    assert_eq!(said, "the calendar covers 2026-01-01 to 2026-12-31: other days follow their weekday");
    assert!(Calendar::default().uncovered(at("2026-07-15T00:00"), at("2026-07-15T00:00"), BEIJING).is_some());
}

#[test]
fn a_deadline_is_one_thing_within_a_year() {
    for (text, expected) in [
        ("{ work_hours: 4 }", Ok(Deadline::WorkHours(4))),
        ("{ work_days: 366 }", Ok(Deadline::WorkDays(366))),
        ("{ hours: 1 }", Ok(Deadline::Hours(1))),
        ("{ work_hours: 0 }", Err("0 working h is not within a year")),
        ("{ hours: 8785 }", Err("8785 h is not within a year")),
        ("{ work_days: 367 }", Err("367 working days is not within a year")),
        ("{ hours: 1, work_days: 1 }", Err("one of `hours`")),
        ("{ minutes: 5 }", Err("unknown field `minutes`")),
    ] {
        match (serde_saphyr::from_str::<Deadline>(text), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
        }
    }
}

#[test]
fn a_calendar_is_stored_and_read_back() {
    let calendar = shipped();
    let text = serde_json::to_string(&calendar).expect("a calendar is text");
    assert_eq!(serde_json::from_str::<Calendar>(&text).expect("it reads back"), calendar);
}

#[test]
fn a_mistake_is_named_with_its_line() {
    for (from, to, expected) in [
        ("from: 2026-05-01, to: 2026-05-05", "from: 2026-05-05, to: 2026-05-01", "is not 1 to 366 days"),
        ("from: 2026-05-01, to: 2026-05-05", "from: 2026-05-01, to: 2026-06-19", "2026-06-19 is a holiday twice"),
        ("date: 2026-05-09", "date: 2026-05-02", "2026-05-02 is a holiday too"),
        ("date: 2026-05-09", "date: 2026-02-30", "input is out of range"),
        ("date: 2026-05-09", "date: 2027-05-09", "outside the days"),
        ("mon: [09:00-12:00, 13:00-17:00]", "mon: [09:00-12:00, 11:00-17:30]", "11:00-17:30 begins before 09:00-12:00 has ended"),
        ("mon: [09:00-12:00, 13:00-17:00]", "mon: [09:00-25:00]", "`09:00-25:00` is no time"),
        ("mon: [09:00-12:00, 13:00-17:00]", "mon: [09:00]", "`09:00` is no time"),
        ("make_up_hours: [09:00-12:00, 13:00-17:00]", "make_up_hours: []", "need `make_up_hours`"),
        ("deadline: { work_days: 2 }", "deadline: { work_days: 0 }", "is not within a year"),
        ("remind_percent: 75", "remind_percent: 100", "remind_percent 100 is not 1 to 99"),
        ("reopen_days: 7", "reopen_days: 31", "reopen_days 31 are more than 30"),
        ("parking: { radius_m: 40,", "parking: { radius_m: 4000,", "4000 m and 4 h are more than"),
        ("parking: { radius_m: 40,", "parkin: { radius_m: 40,", "no category is called `parkin`"),
    ] {
        let (error, line) = refusal(from, to);
        assert!(error.contains(expected), "{expected}: {error}");
        // An entry of several lines is named by its first, as are the rules for cases, and what is missing by what needs it.
        let pointed: usize = error.lines().next().unwrap().split(':').nth(1).unwrap().parse().unwrap();
        let section = error.starts_with("cases.yaml");
        assert!(pointed > 0 && (section || pointed.abs_diff(line) <= 20), "{error} but the mistake is in line {line}");
    }
    let (both, _) = refusal("    deadline_hours: 4\n", "    deadline_hours: 4\n    deadline: { hours: 4 }\n");
    assert!(both.contains("needs either"), "{both}");
}

/// What is said of the shipped files with one mistake in them, and the line of the mistake.
fn refusal(from: &str, to: &str) -> (String, usize) {
    let mut line = 0;
    let files = CITY_FILES.map(|(name, text)| {
        if let Some(at) = text.find(from).filter(|_| line == 0) {
            line = text[..at].lines().count().max(1);
            return (name, text.replacen(from, to, 1));
        }
        (name, text.to_owned())
    });
    assert!(line > 0, "{from}");
    let error = Files::read(&files).and_then(|files| files.graph().map(|_| ())).expect_err(to);
    (error.to_string(), line)
}
