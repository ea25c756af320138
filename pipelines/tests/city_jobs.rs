//! The jobs of the city, each over a small log whose rows were worked out by hand (`tests/city/<job>.txt`).

use std::collections::BTreeMap;
use std::fmt::Write;

use chrono::{DateTime, Duration, FixedOffset, Months, NaiveDate, TimeZone, Utc};
use crate::common::golden::{Golden, shipped};
use pipelines::{Target, builtin_jobs};
use proptest::prelude::*;
use schemas::signal::Signal;
use schemas::topics::{SCENARIOS, SIGNAL};

/// The rows of a job are those of its golden file, however the log is cut.
async fn check(name: &str) {
    let golden = Golden::load(name);
    for (step, lanes) in [(1_000, 1), (5, 2), (1, 1)] {
        let given = golden.given(step, lanes).await;
        assert_eq!(given.join("\n"), golden.expected.join("\n"), "{name}, {step} events at a time on {lanes} lanes (left: given)");
    }
}

macro_rules! golden_days {
    ($($name:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            check(stringify!($name)).await;
        })*

        /// The jobs that have a golden day.
        const GOLDEN: &[&str] = &[$(stringify!($name)),*];
    };
}

golden_days!(
    alarms, deadline_risk, district_15m, district_1m, flat_line, gas_overdue, hotspots, levels, no_signal, observations, precursors, quality,
    repeat_callers, sensor_15m, sensor_1m, surge, thresholds, trends, weighing_anomalies,
);

#[test]
fn each_job_has_a_golden_day_and_says_why_it_is_there() {
    assert_eq!(builtin_jobs().iter().map(|job| job.name).collect::<Vec<_>>(), GOLDEN);
    for builtin in builtin_jobs() {
        let job = crate::common::builtin(builtin.name);
        assert_eq!(job.digest(), shipped(builtin.name).digest(), "{}: what is built in is what stands in its file", builtin.name);
        let description = job.description();
        assert!(description.contains("so that"), "{} says what it is for: {description}", builtin.name);
        assert!(description.ends_with('.'), "{description}");
        for (path, text) in builtin.lookups {
            assert!(text.starts_with("# "), "{path} says what it is");
            assert!(text.contains("replace"), "{path} says who fills it");
            assert!(job.lookup_files().iter().any(|file| file.0 == *path), "{} reads {path}", builtin.name);
        }
    }
}

/// The brain refuses what it cannot read, and notes signals of scenarios that it does not know as refused.
#[test]
fn the_brain_understands_every_signal() {
    let to_the_brain: Vec<&str> = GOLDEN.iter().copied().filter(|name| matches!(shipped(name).target(), Target::Kafka { topic, .. } if topic == SIGNAL)).collect();
    assert_eq!(to_the_brain, ["alarms", "no_signal", "precursors", "thresholds", "trends"]);
    for name in to_the_brain {
        let rows = Golden::load(name).expected;
        assert!(!rows.is_empty(), "{name} has a golden day with signals");
        for row in rows {
            let signal: Signal = serde_json::from_str(&row).unwrap_or_else(|error| panic!("{name}: {error}: {row}"));
            assert!(SCENARIOS.contains(&signal.scenario.as_str()), "{row}");
            assert!((1..=4).contains(&signal.level), "{row}");
        }
    }
}

/// 30 August, ten o'clock, is due on 28 February at ten; 31 August, nine o'clock, on the same day at nine.
#[tokio::test]
async fn a_half_year_that_begins_later_may_end_sooner() {
    let text = r#"
@ 2026-08-30T00:00:00+08:00
10:00:00 gas.inspection {"household":"first"}
@ 2026-08-31T00:00:00+08:00
09:00:00 gas.inspection {"household":"second"}
@ 2027-02-28T00:00:00+08:00
10:30:00 gas.inspection {"household":"third"}
10:31:00 gas.inspection {"household":"fourth"}
11:30:00 gas.inspection {"household":"fifth"}
---- so far
{"household":"first","overdue_from":"2027-02-28T02:00:00Z","last_inspection":"2026-08-30T02:00:00Z"}
{"household":"second","overdue_from":"2027-02-28T01:00:00Z","last_inspection":"2026-08-31T01:00:00Z"}
"#;
    let golden = Golden::parse("gas_overdue", text).expect("the text above");
    for step in [1, 2, 3, 100] {
        assert_eq!(golden.given(step, 1).await, golden.expected, "{step} inspections at a time");
    }
}

/// The time zone of the city.
fn city() -> FixedOffset {
    FixedOffset::east_opt(8 * 3600).expect("eight hours are an offset")
}

/// Times of four years, half of them in the last days of a month.
fn any_time() -> impl Strategy<Value = DateTime<FixedOffset>> {
    let first = NaiveDate::from_ymd_opt(2023, 1, 1).expect("a date");
    let any_day = (0u64..1_400).prop_map(move |days| first + chrono::Days::new(days));
    let month_end = (1u32..48, 1u64..4).prop_map(move |(months, back)| first + Months::new(months) - chrono::Days::new(back));
    let second = prop_oneof![0i64..86_400, Just(0), Just(86_399)];
    (prop_oneof![any_day, month_end], second).prop_map(|(day, second)| {
        let midnight = day.and_hms_opt(0, 0, 0).expect("a day begins");
        city().from_local_datetime(&midnight).single().expect("the city has no summer time") + Duration::seconds(second)
    })
}

/// The golden text of some inspections: one overdue row for each half year that passed without another one.
fn overdue_days(mut inspections: Vec<(u8, DateTime<FixedOffset>)>) -> String {
    inspections.sort_by_key(|(_, time)| *time);
    let mut text = String::new();
    let mut by_household = BTreeMap::<u8, Vec<DateTime<FixedOffset>>>::new();
    for (household, time) in &inspections {
        writeln!(text, "@ {}\n00:00:00 gas.inspection {{\"household\":\"h{household}\"}}", time.to_rfc3339()).expect("text grows");
        by_household.entry(*household).or_default().push(*time);
    }
    text.push_str("----\n");
    let utc = |time: DateTime<FixedOffset>| time.with_timezone(&Utc).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    for (household, times) in by_household {
        for (nth, last) in times.iter().enumerate() {
            let due = *last + Months::new(6);
            if times.get(nth + 1).is_none_or(|next| *next >= due) {
                writeln!(text, r#"{{"household":"h{household}","overdue_from":"{}","last_inspection":"{}"}}"#, utc(due), utc(*last)).expect("text grows");
            }
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn each_half_year_without_an_inspection_is_one_overdue_row(
        inspections in proptest::collection::vec((0u8..3, any_time()), 1..24), step in 1usize..30, lanes in 1usize..3,
    ) {
        let golden = Golden::parse("gas_overdue", &overdue_days(inspections)).map_err(TestCaseError::fail)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        prop_assert_eq!(runtime.block_on(golden.given(step, lanes)), golden.expected);
    }
}
