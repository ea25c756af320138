//! The storm: how hard it rains in a district at a second of the day, and how the water rises under its bridges.

use super::geography::District;
use super::story::{STORM_ENDS_S, STORM_S};

/// A stretch of rain: it comes, stays and goes along straight lines. Minutes after the storm's start; µm per hour at its height.
struct Pulse {
    begins: i64,
    full: i64,
    fades: i64,
    ends: i64,
    um_per_h: i64,
}

/// The front, the long rain behind it, and the second cell.
const PULSES: [Pulse; 3] = [
    Pulse { begins: 0, full: 22, fades: 64, ends: 105, um_per_h: 84_000 },
    Pulse { begins: 80, full: 110, fades: 180, ends: 220, um_per_h: 14_000 },
    Pulse { begins: 122, full: 134, fades: 158, ends: 190, um_per_h: 56_000 },
];

/// Rain intensity in a district, µm per hour, at a second of the day.
pub fn rain_um_per_h(district: &District, second: i64) -> i64 {
    let since = second - STORM_S - district.storm_delay_min * 60;
    if since < 0 || second > STORM_ENDS_S + district.storm_delay_min * 60 {
        return 0;
    }
    let all: i64 = PULSES.iter().map(|pulse| pulse.at(since)).sum();
    all * district.storm_share / 1000
}

impl Pulse {
    fn at(&self, since_s: i64) -> i64 {
        let (begins, full, fades, ends) = (self.begins * 60, self.full * 60, self.fades * 60, self.ends * 60);
        if since_s < begins || since_s >= ends {
            0
        } else if since_s < full {
            self.um_per_h * (since_s - begins) / (full - begins)
        } else if since_s < fades {
            self.um_per_h
        } else {
            self.um_per_h * (ends - since_s) / (ends - fades)
        }
    }
}

/// An underpass that fills from its catchment and is emptied by its pumps.
#[derive(Clone, Debug)]
pub struct Underpass {
    /// How far the catchment's rain is behind, in seconds.
    pub lag_s: i64,
    /// Area of the catchment over the area of the underpass.
    pub gather: i64,
    /// Rain that the pumps keep up with, µm per hour.
    pub pumped_um_per_h: i64,
    /// Water that stands in it, µm.
    pub level_um: i64,
}

impl Underpass {
    /// The `number`th underpass of a district (from 0; the first ones are the deepest).
    pub fn new(district: &District, number: usize) -> Underpass {
        let number = number as i64;
        let pumped_um_per_h = if district.low { 40_000 + number * 11_000 } else { 76_000 + number * 6_000 };
        Underpass { lag_s: (7 + 3 * number) * 60, gather: 22 - 2 * number.min(5), pumped_um_per_h, level_um: 0 }
    }

    /// Lets `seconds` pass up to `second`.
    pub fn pass(&mut self, district: &District, second: i64, seconds: i64) {
        let rain = rain_um_per_h(district, second - self.lag_s);
        let net_um_per_h = (rain - self.pumped_um_per_h) * self.gather;
        self.level_um = (self.level_um + net_um_per_h * seconds / 3600).clamp(0, LEVEL_UM_MAX);
    }
}

/// Deeper than this the water runs off over the road's rim.
const LEVEL_UM_MAX: i64 = 1_450_000;

#[cfg(test)]
mod tests {
    use super::super::geography::{DISTRICTS, district};
    use super::*;

    #[test]
    fn it_is_dry_before_the_storm_and_after_it() {
        for district in &DISTRICTS {
            assert_eq!(rain_um_per_h(district, STORM_S - 1), 0);
            assert_eq!(rain_um_per_h(district, STORM_ENDS_S + 3600), 0);
        }
        assert!(rain_um_per_h(district("d02"), STORM_S + 45 * 60) > 80_000, "a cloudburst");
    }

    #[test]
    fn low_underpasses_flood_and_others_do_not() {
        let highest = |district: &District, number| {
            let mut underpass = Underpass::new(district, number);
            let levels = (0..1440).map(|minute| {
                underpass.pass(district, minute * 60, 60);
                underpass.level_um / 1000
            });
            levels.max().unwrap_or_default()
        };
        assert!(highest(district("d02"), 0) > 600, "{} mm", highest(district("d02"), 0));
        assert!(highest(district("d05"), 0) > 500, "{} mm", highest(district("d05"), 0));
        for id in ["d03", "d04", "d06", "d07", "d08"] {
            assert!(highest(district(id), 0) < 100, "{id}: {} mm", highest(district(id), 0));
        }
    }
}
