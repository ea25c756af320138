//! The working calendar: office hours, holidays and make-up days, and the moments that deadlines of working time end.
//!
//! Working *hours* run while the office is open. Working *days* are counted from the day after the one on which they
//! begin, and end when the office closes on the last of them (中华人民共和国民法典, articles 201 and 203). A day that the
//! calendar does not cover follows its weekday.
//!
//! It knows nothing of the rest of the graph: dates and offsets in, moments out.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};
use serde::{Deserialize, Serialize};

/// Days that one question may look at: the longest deadline is [`WORK_DAYS_MAX`] working days, and an office that opens
/// once a week needs seven days for each of them. A calendar of nothing but holidays ends here too.
const DAYS_LOOKED_AT_MAX: usize = 366 * 8;

/// The longest deadline in elapsed or working hours: what takes longer than a year is no case but a project.
pub const HOURS_MAX: u32 = 366 * 24;

/// The longest deadline in working days, for the same reason.
pub const WORK_DAYS_MAX: u32 = 366;

/// Holidays and make-up days of one calendar: twenty years of them.
const DAYS_LISTED_MAX: usize = 366 * 20;

/// How long something may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "DeadlineEntry", into = "DeadlineEntry")]
pub enum Deadline {
    /// Hours of the clock, nights and holidays included.
    Hours(u32),
    /// 工作时: hours while the office is open.
    WorkHours(u32),
    /// 工作日: working days after the first.
    WorkDays(u32),
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeadlineEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hours: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    work_hours: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    work_days: Option<u32>,
}

impl TryFrom<DeadlineEntry> for Deadline {
    type Error = String;

    fn try_from(entry: DeadlineEntry) -> Result<Self, String> {
        let deadline = match entry {
            DeadlineEntry { hours: Some(hours), work_hours: None, work_days: None } => Deadline::Hours(hours),
            DeadlineEntry { hours: None, work_hours: Some(hours), work_days: None } => Deadline::WorkHours(hours),
            DeadlineEntry { hours: None, work_hours: None, work_days: Some(days) } => Deadline::WorkDays(days),
            _ => return Err("a deadline is one of `hours`, `work_hours` and `work_days`".to_owned()),
        };
        deadline.problem().map_or(Ok(deadline), Err)
    }
}

impl From<Deadline> for DeadlineEntry {
    fn from(deadline: Deadline) -> Self {
        match deadline {
            Deadline::Hours(hours) => Self { hours: Some(hours), ..Self::default() },
            Deadline::WorkHours(hours) => Self { work_hours: Some(hours), ..Self::default() },
            Deadline::WorkDays(days) => Self { work_days: Some(days), ..Self::default() },
        }
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deadline::Hours(n) => write!(f, "{n} h"),
            Deadline::WorkHours(n) => write!(f, "{n} working h"),
            Deadline::WorkDays(n) => write!(f, "{n} working days"),
        }
    }
}

impl Deadline {
    /// What is wrong with it, if anything is: nothing takes no time, and nothing takes more than a year.
    pub fn problem(self) -> Option<String> {
        let (n, max) = match self {
            Deadline::Hours(n) | Deadline::WorkHours(n) => (n, HOURS_MAX),
            Deadline::WorkDays(n) => (n, WORK_DAYS_MAX),
        };
        (n == 0 || n > max).then(|| format!("a deadline of {self} is not within a year"))
    }

    /// Whether it runs in working time.
    pub fn is_working(self) -> bool {
        !matches!(self, Deadline::Hours(_))
    }
}

/// A time during which the office is open, in seconds since midnight: `09:00-12:00` in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Span {
    from: u32,
    to: u32,
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no time such as 09:00-12:00, within 00:00-24:00");
        let (from, to) = text.split_once('-').ok_or_else(wrong)?;
        let (from, to) = (clock(from).ok_or_else(wrong)?, clock(to).ok_or_else(wrong)?);
        if from < to { Ok(Self { from, to }) } else { Err(wrong()) }
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        let clock = |second: u32| format!("{:02}:{:02}", second / 3600, second / 60 % 60);
        format!("{}-{}", clock(span.from), clock(span.to))
    }
}

fn clock(text: &str) -> Option<u32> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |text: &str| (text.len() == 2).then(|| text.parse::<u32>().ok())?;
    let second = digits(hour)? * 3600 + digits(minute).filter(|minute| *minute < 60)? * 60;
    (second <= 24 * 3600).then_some(second)
}

/// Days in a row, named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Holiday {
    from: NaiveDate,
    to: NaiveDate,
    name: String,
}

/// 调休: a day on which people work although its weekday is free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MakeUpDay {
    date: NaiveDate,
    name: String,
}

/// The days for which somebody has looked up the holidays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Covers {
    from: NaiveDate,
    to: NaiveDate,
}

/// Office hours of each weekday. A weekday that is not named is free.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Week {
    mon: Vec<Span>,
    tue: Vec<Span>,
    wed: Vec<Span>,
    thu: Vec<Span>,
    fri: Vec<Span>,
    sat: Vec<Span>,
    sun: Vec<Span>,
}

impl Week {
    fn days(&self) -> [&Vec<Span>; 7] {
        [&self.mon, &self.tue, &self.wed, &self.thu, &self.fri, &self.sat, &self.sun]
    }
}

/// The calendar as people write it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalendarFile {
    hours: Week,
    /// Office hours of a make-up day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    make_up_hours: Vec<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    covers: Option<Covers>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    holidays: Vec<Holiday>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    make_up_days: Vec<MakeUpDay>,
}

/// Something that is wrong with a calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalendarProblem {
    /// A word of the entry in question, as it stands in the file; empty when the whole is meant.
    pub word: String,
    /// What is wrong.
    pub problem: String,
}

/// When the office is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CalendarFile", into = "CalendarFile")]
pub struct Calendar {
    file: CalendarFile,
    /// Days that do not follow their weekday: `true` for a make-up day, `false` for a holiday.
    days: BTreeMap<NaiveDate, bool>,
}

impl Default for Calendar {
    /// The plain week of most offices: Monday to Friday, 09:00 to 17:00, and no holidays.
    fn default() -> Self {
        let day = || vec![Span { from: 9 * 3600, to: 17 * 3600 }];
        let hours = Week { mon: day(), tue: day(), wed: day(), thu: day(), fri: day(), ..Week::default() };
        Self { file: CalendarFile { hours, ..CalendarFile::default() }, days: BTreeMap::new() }
    }
}

impl TryFrom<CalendarFile> for Calendar {
    type Error = String;

    fn try_from(file: CalendarFile) -> Result<Self, String> {
        let problems = |problems: Vec<CalendarProblem>| problems.into_iter().map(|it| it.problem).collect::<Vec<_>>().join("; ");
        Self::new(file).map_err(problems)
    }
}

impl From<Calendar> for CalendarFile {
    fn from(calendar: Calendar) -> Self {
        calendar.file
    }
}

impl Calendar {
    /// The calendar of a file.
    ///
    /// # Errors
    /// Everything that is wrong in it.
    pub fn new(file: CalendarFile) -> Result<Self, Vec<CalendarProblem>> {
        let mut problems = Vec::new();
        let mut complain = |word: String, problem: String| problems.push(CalendarProblem { word, problem });
        if file.hours.days().iter().all(|spans| spans.is_empty()) {
            complain("hours".to_owned(), "the office is never open: give at least one weekday its hours".to_owned());
        }
        for spans in file.hours.days().into_iter().chain([&file.make_up_hours]) {
            for pair in spans.windows(2).filter(|pair| pair[1].from < pair[0].to) {
                let (word, before) = (String::from(pair[1]), String::from(pair[0]));
                complain(word.clone(), format!("{word} begins before {before} has ended"));
            }
        }
        if !file.make_up_days.is_empty() && file.make_up_hours.is_empty() {
            complain("make_up_days".to_owned(), "make-up days need `make_up_hours`".to_owned());
        }
        if let Some(covers) = file.covers.filter(|covers| covers.from > covers.to) {
            complain("covers".to_owned(), format!("the calendar covers nothing: {} is after {}", covers.from, covers.to));
        }
        let mut days = BTreeMap::new();
        for holiday in &file.holidays {
            if holiday.from > holiday.to || (holiday.to - holiday.from).num_days() > 366 {
                complain(holiday.from.to_string(), format!("{}: {} to {} is not 1 to 366 days", holiday.name, holiday.from, holiday.to));
                continue;
            }
            for date in holiday.from.iter_days().take_while(|date| *date <= holiday.to) {
                if days.insert(date, false).is_some() {
                    complain(holiday.from.to_string(), format!("{}: {date} is a holiday twice", holiday.name));
                }
            }
        }
        for day in &file.make_up_days {
            if let Some(known) = days.insert(day.date, true) {
                let other = if known { "a make-up day twice" } else { "a holiday too" };
                complain(day.date.to_string(), format!("{}: {} is {other}", day.name, day.date));
            }
        }
        for date in days.keys().filter(|date| file.covers.is_some_and(|covers| !(covers.from..=covers.to).contains(*date))) {
            complain(date.to_string(), format!("{date} is outside the days that the calendar covers"));
        }
        if days.len() > DAYS_LISTED_MAX {
            complain(String::new(), format!("{} holidays and make-up days; at most {DAYS_LISTED_MAX} are allowed", days.len()));
        }
        if problems.is_empty() { Ok(Self { file, days }) } else { Err(problems) }
    }

    /// When something that begins at `from` and may take `deadline` is due, in a city `utc_offset_minutes` from UTC.
    /// What would end beyond the calendar of people ends at its end.
    pub fn due(&self, from: DateTime<Utc>, deadline: Deadline, utc_offset_minutes: i32) -> DateTime<Utc> {
        match deadline {
            Deadline::Hours(hours) => from.checked_add_signed(TimeDelta::hours(i64::from(hours))).unwrap_or(DateTime::<Utc>::MAX_UTC),
            Deadline::WorkHours(hours) => self.after(from, TimeDelta::hours(i64::from(hours)), utc_offset_minutes),
            Deadline::WorkDays(days) => self.close_of(from, days, utc_offset_minutes),
        }
    }

    /// The moment at which `work` of working time has passed since `from`.
    pub fn after(&self, from: DateTime<Utc>, work: TimeDelta, utc_offset_minutes: i32) -> DateTime<Utc> {
        let mut left = work.num_seconds();
        if left <= 0 {
            return from;
        }
        let begin = local(from, utc_offset_minutes);
        let (mut date, mut second) = (begin.date(), begin.num_seconds_from_midnight());
        for _ in 0..DAYS_LOOKED_AT_MAX {
            for span in self.spans(date) {
                let open = span.from.max(second);
                let there = i64::from(span.to.saturating_sub(open));
                if left <= there {
                    return utc(date, open + left as u32, utc_offset_minutes);
                }
                left -= there;
            }
            let Some(next) = date.succ_opt() else { break };
            (date, second) = (next, 0);
        }
        utc(date, 0, utc_offset_minutes)
    }

    /// When the office closes on the `days`-th working day after the day of `from`.
    fn close_of(&self, from: DateTime<Utc>, days: u32, utc_offset_minutes: i32) -> DateTime<Utc> {
        let mut date = local(from, utc_offset_minutes).date();
        let mut left = days;
        for _ in 0..DAYS_LOOKED_AT_MAX {
            let Some(next) = date.succ_opt() else { break };
            date = next;
            let Some(last) = self.spans(date).last() else { continue };
            if left <= 1 {
                return utc(date, last.to, utc_offset_minutes);
            }
            left -= 1;
        }
        utc(date, 0, utc_offset_minutes)
    }

    /// Working time between two moments; none when the second is not later. What lies beyond eight years is not counted.
    pub fn worked(&self, from: DateTime<Utc>, to: DateTime<Utc>, utc_offset_minutes: i32) -> TimeDelta {
        let (from, to) = (local(from, utc_offset_minutes), local(to, utc_offset_minutes));
        let mut seconds = 0;
        for date in from.date().iter_days().take(DAYS_LOOKED_AT_MAX).take_while(|date| *date <= to.date()) {
            let begin = if date == from.date() { from.num_seconds_from_midnight() } else { 0 };
            let end = if date == to.date() { to.num_seconds_from_midnight() } else { 24 * 3600 };
            let open = |span: &Span| i64::from(span.to.min(end).saturating_sub(span.from.max(begin)));
            seconds += self.spans(date).iter().map(open).sum::<i64>();
        }
        TimeDelta::seconds(seconds)
    }

    /// [`Calendar::worked`] in whole minutes.
    pub fn worked_minutes(&self, from: DateTime<Utc>, to: DateTime<Utc>, utc_offset_minutes: i32) -> i64 {
        self.worked(from, to, utc_offset_minutes).num_minutes()
    }

    /// What to say when a time span reaches days whose holidays nobody has looked up; nothing when all are covered.
    pub fn uncovered(&self, from: DateTime<Utc>, to: DateTime<Utc>, utc_offset_minutes: i32) -> Option<String> {
        let Some(covers) = self.file.covers else { return Some("the calendar has no holidays: each day follows its weekday".to_owned()) };
        let (from, to) = (local(from, utc_offset_minutes).date(), local(to, utc_offset_minutes).date());
        let inside = covers.from <= from && to <= covers.to;
        (!inside).then(|| format!("the calendar covers {} to {}: other days follow their weekday", covers.from, covers.to))
    }

    fn spans(&self, date: NaiveDate) -> &[Span] {
        match self.days.get(&date) {
            Some(true) => &self.file.make_up_hours,
            Some(false) => &[],
            None => self.file.hours.days()[date.weekday().num_days_from_monday() as usize],
        }
    }
}

/// The city's own clock.
fn local(at: DateTime<Utc>, utc_offset_minutes: i32) -> NaiveDateTime {
    let at = at.naive_utc();
    at.checked_add_signed(TimeDelta::minutes(i64::from(utc_offset_minutes))).unwrap_or(at)
}

fn utc(date: NaiveDate, second: u32, utc_offset_minutes: i32) -> DateTime<Utc> {
    let midnight = date.and_time(NaiveTime::MIN);
    let shift = TimeDelta::seconds(i64::from(second)) - TimeDelta::minutes(i64::from(utc_offset_minutes));
    midnight.checked_add_signed(shift).map_or(DateTime::<Utc>::MAX_UTC, |at| at.and_utc())
}
