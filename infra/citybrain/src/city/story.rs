//! What is planted in the day, and when a watchful brain should have noticed.
//!
//! All times are seconds after midnight in the city.

use chrono::{DateTime, Utc};

use super::clock;
use super::geography::district;

const fn at(hour: i64, minute: i64) -> i64 {
    hour * 3600 + minute * 60
}

/// The main bursts.
pub const BURST_S: i64 = at(9, 20);
/// Where.
pub const BURST_DISTRICT: &str = "d03";
/// On which street of the district (index into its streets).
pub const BURST_STREET: usize = 1;
/// The crew closes the valves.
pub const BURST_VALVES_CLOSED_S: i64 = at(10, 50);
/// The first caller who sees the road sink.
pub const BURST_ROAD_SINKS_S: i64 = at(10, 36);
/// Water is back.
pub const BURST_REPAIRED_S: i64 = at(15, 30);

/// The storm reaches the first district.
pub const STORM_S: i64 = at(14, 0);
/// The last rain leaves the first district.
pub const STORM_ENDS_S: i64 = at(17, 40);
/// The first underpass fills.
pub const FLOOD_S: i64 = at(14, 30);

/// Gas begins to gather.
pub const GAS_BEGINS_S: i64 = at(18, 33);
/// The alarm.
pub const GAS_ALARM_S: i64 = at(18, 40);
/// Where.
pub const GAS_DISTRICT: &str = "d04";
/// Which of the district's detectors.
pub const GAS_DETECTOR: usize = 0;
/// The valve is closed and the windows are open.
pub const GAS_AIRED_S: i64 = at(18, 58);

/// The station that falls silent: its district, kind and number are in its id.
pub const DEAD_STATION: &str = "d06-level-03";
/// When it falls silent.
pub const DEAD_FROM_S: i64 = at(11, 5);
/// The station whose clock is wrong.
pub const SLOW_CLOCK_STATION: &str = "d08-rain-02";
/// How far its clock is behind.
pub const SLOW_CLOCK_S: i64 = 47 * 60;

/// One planted story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planted {
    /// The scenario whose alert should rise: the alert goes to `alert.<scenario>`.
    pub scenario: &'static str,
    /// The districts where it may rise, as events name them. The first one is where the story begins.
    pub districts: Vec<&'static str>,
    /// What happens, in Chinese.
    pub zh: &'static str,
    /// What happens, in English.
    pub en: &'static str,
    /// When it begins.
    pub start: DateTime<Utc>,
    /// When an alert should be up at the latest.
    pub alert_by: DateTime<Utc>,
    /// Whether the brain has to find it for the demo to be right. The others depend on what the rules of today know.
    pub required: bool,
}

/// A station that has something wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The station.
    pub station: String,
    /// Its datastream.
    pub datastream: String,
    /// Its district.
    pub district: &'static str,
    /// From when on.
    pub from: DateTime<Utc>,
    /// How far its clock is behind, in seconds; nothing when it is silent instead.
    pub behind_s: Option<i64>,
}

/// What is planted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// The stories, by their start.
    pub planted: Vec<Planted>,
    /// The station that falls silent.
    pub dead: Fault,
    /// The station whose clock is behind: its readings are late.
    pub slow_clock: Fault,
    /// Events that repeat an earlier one (same source and id).
    pub duplicates: u64,
    /// Events that no door should let in.
    pub refused: u64,
}

/// The stories of the day.
pub fn planted() -> Vec<Planted> {
    vec![
        Planted {
            scenario: "water_main_burst",
            districts: vec![district(BURST_DISTRICT).zh],
            zh: "供水主管爆裂：压力骤降、流量突增，停水与路面冒水来电",
            en: "a water main bursts: pressure drops, flow jumps, calls about dry taps and water coming up through the road",
            start: clock::at(BURST_S),
            alert_by: clock::at(BURST_S + 20 * 60),
            required: true,
        },
        Planted {
            scenario: "road_collapse",
            districts: vec![district(BURST_DISTRICT).zh],
            zh: "爆管后路面出现沉降和空洞险情",
            en: "the road above the burst begins to sink",
            start: clock::at(BURST_ROAD_SINKS_S),
            alert_by: clock::at(BURST_ROAD_SINKS_S + 60 * 60),
            required: false,
        },
        Planted {
            scenario: "urban_flooding",
            districts: vec![district("d02").zh, district("d05").zh],
            zh: "暴雨致下穿通道积水内涝，低洼片区集中来电",
            en: "a storm floods underpasses, and calls pour in from the low districts",
            start: clock::at(FLOOD_S),
            alert_by: clock::at(FLOOD_S + 45 * 60),
            required: true,
        },
        Planted {
            scenario: "gas_explosion",
            districts: vec![district(GAS_DISTRICT).zh],
            zh: "餐饮场所燃气浓度超限报警",
            en: "gas gathers in a canteen's kitchen and passes the alarm threshold",
            start: clock::at(GAS_BEGINS_S),
            alert_by: clock::at(GAS_ALARM_S + 10 * 60),
            required: true,
        },
    ]
}
