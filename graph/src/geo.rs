//! Distances and outlines on integers, so that two machines never disagree about who is near.

use std::collections::BTreeMap;

use petgraph::stable_graph::NodeIndex;
use schemas::alert::Point;
use schemas::signal::MicroDeg;

/// Side of an index cell, in microdegrees: about a kilometre.
const CELL: i32 = 10_000;

/// Metres between two points: exact to a few parts in a thousand over a city, which is all that a radius needs.
pub fn metres(a: Point, b: Point) -> u32 {
    let north = i64::from(a.lat.0) - i64::from(b.lat.0);
    let mut east = (i64::from(a.lon.0) - i64::from(b.lon.0)).abs();
    if east > 180_000_000 {
        east = 360_000_000 - east;
    }
    let middle = (i64::from(a.lat.0) + i64::from(b.lat.0)) / 2;
    let east = east * cosine_millionths(middle) / 1_000_000;
    // A microdegree of latitude is 111.32 mm.
    let square = north * north + east * east;
    ((square as u64).isqrt() * 11_132 / 100_000) as u32
}

/// The cosine of an angle in microdegrees, in millionths: Bhaskara's formula, off by less than two thousandths.
fn cosine_millionths(angle: i64) -> i64 {
    // In thousandths of a degree, so that squares fit.
    let angle = angle.abs().min(90_000_000) / 1000;
    let square = angle * angle;
    let quarter = 180_000_i64 * 180_000;
    (quarter - 4 * square) * 1_000_000 / (quarter + square)
}

/// Whether a point lies within an outline (the even-odd rule; the edge belongs to it or not, always the same).
pub(crate) fn inside(point: Point, outline: &[Point]) -> bool {
    let (x, y) = (i64::from(point.lon.0), i64::from(point.lat.0));
    let mut inside = false;
    let mut previous = outline.last().copied();
    for corner in outline {
        if let Some(before) = previous {
            let (x1, y1) = (i64::from(before.lon.0), i64::from(before.lat.0));
            let (x2, y2) = (i64::from(corner.lon.0), i64::from(corner.lat.0));
            // Does the ray to the east cross this side?
            if (y1 > y) != (y2 > y) {
                let cross = (x2 - x1) * (y - y1) - (x - x1) * (y2 - y1);
                if (cross > 0) == (y2 > y1) {
                    inside = !inside;
                }
            }
        }
        previous = Some(*corner);
    }
    inside
}

/// A rectangle, south-west and north-east.
pub(crate) type Bounds = (Point, Point);

/// The rectangle around a circle.
pub(crate) fn around(middle: Point, radius_m: u32) -> Bounds {
    let north = i64::from(radius_m) * 100_000 / 11_132 + 1;
    // Towards the poles a circle spans all longitudes; a hundredth keeps the division sane.
    let east = north * 1_000_000 / cosine_millionths(i64::from(middle.lat.0)).max(10_000);
    let at = |lat: i64, lon: i64| Point {
        lat: MicroDeg(lat.clamp(-90_000_000, 90_000_000) as i32),
        lon: MicroDeg(lon.clamp(-180_000_000, 180_000_000) as i32),
    };
    let (lat, lon) = (i64::from(middle.lat.0), i64::from(middle.lon.0));
    (at(lat - north, lon - east), at(lat + north, lon + east))
}

/// The rectangle around some points.
pub(crate) fn bounds(points: &[Point]) -> Option<Bounds> {
    let first = *points.first()?;
    let grow = |(low, high): Bounds, point: &Point| {
        let low = Point { lat: low.lat.min(point.lat), lon: low.lon.min(point.lon) };
        (low, Point { lat: high.lat.max(point.lat), lon: high.lon.max(point.lon) })
    };
    Some(points.iter().fold((first, first), grow))
}

/// Twice the area of an outline in square microdegrees: enough to say which of two is smaller.
pub(crate) fn size(outline: &[Point]) -> u64 {
    let mut previous = outline.last().copied();
    let mut sum: i128 = 0;
    for corner in outline {
        if let Some(before) = previous {
            sum += i128::from(before.lon.0) * i128::from(corner.lat.0) - i128::from(corner.lon.0) * i128::from(before.lat.0);
        }
        previous = Some(*corner);
    }
    u64::try_from(sum.unsigned_abs()).unwrap_or(u64::MAX)
}

/// Which nodes lie where: a grid of cells about a kilometre wide.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cells(BTreeMap<(i32, i32), Vec<NodeIndex>>);

impl Cells {
    /// How many cells a rectangle covers.
    pub(crate) fn count((low, high): Bounds) -> u64 {
        let span = |from: i32, to: i32| (i64::from(to.div_euclid(CELL)) - i64::from(from.div_euclid(CELL)) + 1).unsigned_abs();
        span(low.lat.0, high.lat.0) * span(low.lon.0, high.lon.0)
    }

    fn keys((low, high): Bounds) -> impl Iterator<Item = (i32, i32)> {
        let lons = low.lon.0.div_euclid(CELL)..=high.lon.0.div_euclid(CELL);
        (low.lat.0.div_euclid(CELL)..=high.lat.0.div_euclid(CELL)).flat_map(move |lat| lons.clone().map(move |lon| (lat, lon)))
    }

    pub(crate) fn insert(&mut self, bounds: Bounds, node: NodeIndex) {
        for key in Self::keys(bounds) {
            self.0.entry(key).or_default().push(node);
        }
    }

    pub(crate) fn remove(&mut self, bounds: Bounds, node: NodeIndex) {
        for key in Self::keys(bounds) {
            let Some(nodes) = self.0.get_mut(&key) else { continue };
            nodes.retain(|known| *known != node);
            if nodes.is_empty() {
                self.0.remove(&key);
            }
        }
    }

    /// The nodes whose cells a rectangle touches; one may come several times.
    pub(crate) fn within(&self, bounds: Bounds) -> impl Iterator<Item = NodeIndex> + '_ {
        // Row by row: a range of the map holds the cells of one row.
        let (low, high) = (bounds.0.lon.0.div_euclid(CELL), bounds.1.lon.0.div_euclid(CELL));
        let rows = bounds.0.lat.0.div_euclid(CELL)..=bounds.1.lat.0.div_euclid(CELL);
        rows.flat_map(move |row| self.0.range((row, low)..=(row, high))).flat_map(|(_, nodes)| nodes.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lat: i32, lon: i32) -> Point {
        Point { lat: MicroDeg(lat), lon: MicroDeg(lon) }
    }

    #[test]
    fn a_degree_is_111_kilometres_and_shrinks_towards_the_poles() {
        assert_eq!(metres(at(30_000_000, 120_000_000), at(31_000_000, 120_000_000)), 111_320);
        for (lat, expected) in [(0, 111_320), (30, 96_406), (45, 78_715), (60, 55_660)] {
            let measured = metres(at(lat * 1_000_000, 120_000_000), at(lat * 1_000_000, 121_000_000));
            assert!(measured.abs_diff(expected) <= expected / 300, "{lat}: {measured} for {expected}");
        }
        assert_eq!(metres(at(0, 179_999_000), at(0, -179_999_000)), metres(at(0, 0), at(0, 2000)), "over the date line");
        assert_eq!(metres(at(-90_000_000, -180_000_000), at(90_000_000, 180_000_000)), 20_037_600);
    }

    #[test]
    fn a_corner_cut_out_of_a_square_is_outside() {
        let outline = [at(0, 0), at(0, 100), at(100, 100), at(100, 50), at(50, 50), at(50, 0)];
        for (point, expected) in [(at(10, 10), true), (at(75, 75), true), (at(75, 25), false), (at(-1, 10), false), (at(10, 101), false)] {
            assert_eq!(inside(point, &outline), expected, "{point:?}");
        }
        assert_eq!(size(&outline), 2 * 7500);
        assert!(!inside(at(0, 0), &[]));
    }

    #[test]
    fn what_is_put_in_is_found_and_what_is_taken_out_is_not() {
        let mut cells = Cells::default();
        let circle = around(at(30_000_000, 120_000_000), 3000);
        cells.insert(circle, NodeIndex::new(7));
        let near = around(at(30_020_000, 120_010_000), 100);
        assert!(cells.within(near).any(|node| node == NodeIndex::new(7)));
        assert_eq!(cells.within(around(at(31_000_000, 120_000_000), 100)).count(), 0);
        cells.remove(circle, NodeIndex::new(7));
        assert_eq!(cells.0.len(), 0);
    }
}
