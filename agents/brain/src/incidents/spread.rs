//! Where something is, and how far it is from something else.

use std::collections::BTreeSet;

use graph::{Graph, Here, Reach};
use schemas::alert::Point;
use serde::{Deserialize, Serialize};

use crate::alerts::Finding;
use crate::limits;

/// Where something is, as far as anybody said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// The districts, as the graph calls them; as they were called when it does not know them.
    pub districts: BTreeSet<String>,
    /// South-west and north-east corner of all points.
    pub bounds: Option<(Point, Point)>,
    /// Whether it is all over the city.
    pub city: bool,
}

impl Spread {
    pub(crate) fn at(graph: &Graph, district: Option<&str>, point: Option<Point>) -> Self {
        let districts = graph.district(Here { place: district, point }).into_iter().collect();
        Self { districts, bounds: point.map(|point| (point, point)), city: false }
    }

    /// Where a finding is.
    pub(crate) fn of_finding(graph: &Graph, finding: &Finding) -> Self {
        match &finding.district {
            Some(district) => Self { bounds: finding.area.bounds, ..Self::at(graph, Some(district), None) },
            None => Self { city: true, bounds: finding.area.bounds, ..Self::default() },
        }
    }

    pub(crate) fn take_in(&mut self, other: &Spread) {
        self.districts.extend(other.districts.iter().cloned());
        self.city |= other.city;
        for point in other.bounds.into_iter().flat_map(|(low, high)| [low, high]) {
            let (low, high) = self.bounds.get_or_insert((point, point));
            *low = Point { lat: low.lat.min(point.lat), lon: low.lon.min(point.lon) };
            *high = Point { lat: high.lat.max(point.lat), lon: high.lon.max(point.lon) };
        }
    }

    /// Whether another is near enough, in words; or why not.
    pub(crate) fn near(&self, other: &Spread, reach: Reach) -> Result<String, String> {
        if self.city || other.city {
            return Ok("all over the city".to_owned());
        }
        let shared = self.districts.intersection(&other.districts).next();
        let metres = self.bounds.zip(other.bounds).map(|(one, other)| between(one, other));
        match (reach, metres, shared) {
            (Reach::City, Some(metres), _) => Ok(format!("{metres} m away")),
            (Reach::City, None, _) => Ok("in the same city".to_owned()),
            (Reach::Metres(limit), Some(metres), _) if metres <= limit.saturating_add(limits::PLACE_BLUR_M) => Ok(format!("{metres} m away")),
            (Reach::Metres(limit), Some(metres), _) => Err(format!("{metres} m away, and it reaches {limit} m")),
            (Reach::Metres(_), None, Some(district)) => Ok(format!("both in {district}, nobody says where exactly")),
            (Reach::District, _, Some(district)) => Ok(format!("in {district}")),
            (Reach::District, Some(metres), None) if metres <= limits::NEXT_DOOR_M => Ok(format!("{metres} m away, over the border of the district")),
            (Reach::Metres(_) | Reach::District, _, None) => match (self.districts.first(), other.districts.first()) {
                (Some(one), Some(other)) => Err(format!("in {one} and not in {other}")),
                _ => Err("nobody says where".to_owned()),
            },
        }
    }

    /// The distance where both are known, for choosing the nearer one.
    pub(crate) fn metres(&self, other: &Spread) -> Option<u32> {
        self.bounds.zip(other.bounds).filter(|_| !self.city && !other.city).map(|(one, other)| between(one, other))
    }
}

/// Metres between two rectangles: none when they overlap.
fn between((low, high): (Point, Point), (other_low, other_high): (Point, Point)) -> u32 {
    // The point of each that is nearest to the other, one axis after the other.
    let (lat, other_lat) = nearest((low.lat, high.lat), (other_low.lat, other_high.lat));
    let (lon, other_lon) = nearest((low.lon, high.lon), (other_low.lon, other_high.lon));
    graph::metres(Point { lat, lon }, Point { lat: other_lat, lon: other_lon })
}

fn nearest<T: Ord + Copy>((low, high): (T, T), (other_low, other_high): (T, T)) -> (T, T) {
    if high < other_low {
        (high, other_low)
    } else if other_high < low {
        (low, other_high)
    } else {
        let both = low.max(other_low);
        (both, both)
    }
}

#[cfg(test)]
mod tests {
    use schemas::signal::MicroDeg;

    use super::*;

    fn spread(district: &str, points: &[(i32, i32)]) -> Spread {
        let mut spread = Spread { districts: BTreeSet::from([district.to_owned()]), ..Spread::default() };
        for (lat, lon) in points {
            let point = Point { lat: MicroDeg(*lat), lon: MicroDeg(*lon) };
            spread.take_in(&Spread { bounds: Some((point, point)), ..Spread::default() });
        }
        spread
    }

    #[test]
    fn borders_of_districts_do_not_part_what_is_beside_one_another() {
        let (one, other) = (spread("d01", &[(30_600_000, 114_300_000)]), spread("d02", &[(30_605_000, 114_300_000)]));
        assert!(one.near(&other, Reach::Metres(600)).is_ok(), "556 m away");
        assert!(one.near(&other, Reach::District).is_ok(), "next door");
        assert!(one.near(&other, Reach::Metres(300)).is_err());
        let far = spread("d02", &[(30_700_000, 114_300_000)]);
        assert!(one.near(&far, Reach::District).is_err());
        assert!(one.near(&far, Reach::City).is_ok());
        let unknown = spread("d01", &[]);
        assert!(one.near(&unknown, Reach::Metres(100)).is_ok(), "same district, no point");
        assert!(far.near(&unknown, Reach::Metres(100)).is_err());
    }

    #[test]
    fn a_point_within_a_rectangle_is_no_way_off() {
        let wide = spread("d01", &[(30_600_000, 114_300_000), (30_700_000, 114_400_000)]);
        let inside = spread("d02", &[(30_650_000, 114_350_000)]);
        assert_eq!(wide.metres(&inside), Some(0));
        let north = spread("d02", &[(30_710_000, 114_350_000)]);
        assert!(wide.metres(&north).unwrap().abs_diff(1113) < 5);
    }
}
