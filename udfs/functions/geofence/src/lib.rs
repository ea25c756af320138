use std::cell::RefCell;

use arroyo_udf_plugin::udf;

/// Whether a place lies in a fence, its border included. The fence is WKT in degrees, longitude first:
/// `POLYGON ((114.2 30.5, 114.4 30.5, 114.4 30.7, 114.2 30.5))`, with holes, or a `MULTIPOLYGON`. NULL where the fence
/// cannot be read. Edges are straight in degrees, which is right for fences of a city's size.
///
/// SQL: geofence(lat DOUBLE, lon DOUBLE, fence TEXT) RETURNS BOOLEAN
#[udf]
fn geofence(lat: f64, lon: f64, fence: &str) -> Option<i32> {
    LAST.with(|last| {
        let mut last = last.borrow_mut();
        if last.0 != fence {
            *last = (fence.to_owned(), parse(fence));
        }
        last.1.as_ref().map(|polygons| i32::from(inside(polygons, (lon, lat))))
    })
}

type Point = (f64, f64);
/// The outline first, then the holes.
type Polygon = Vec<Vec<Point>>;

thread_local! {
    /// The fence that was read last: a query mostly asks for one.
    static LAST: RefCell<(String, Option<Vec<Polygon>>)> = const { RefCell::new((String::new(), None)) };
}

fn inside(polygons: &[Polygon], point: Point) -> bool {
    polygons.iter().any(|polygon| {
        let (outline, holes) = polygon.split_first().expect("a polygon has an outline");
        let in_hole = |hole: &Vec<Point>| !on_border(hole, point) && in_ring(hole, point);
        (on_border(outline, point) || in_ring(outline, point)) && !holes.iter().any(in_hole)
    })
}

/// Counts the edges that a ray to the east crosses.
fn in_ring(ring: &[Point], (x, y): Point) -> bool {
    let crosses = |edge: &&[Point]| {
        let ((x1, y1), (x2, y2)) = (edge[0], edge[1]);
        (y1 > y) != (y2 > y) && x < (x2 - x1) * (y - y1) / (y2 - y1) + x1
    };
    ring.windows(2).filter(crosses).count() % 2 == 1
}

fn on_border(ring: &[Point], (x, y): Point) -> bool {
    ring.windows(2).any(|edge| {
        let ((x1, y1), (x2, y2)) = (edge[0], edge[1]);
        let straight = (x2 - x1) * (y - y1) == (y2 - y1) * (x - x1);
        straight && x >= x1.min(x2) && x <= x1.max(x2) && y >= y1.min(y2) && y <= y1.max(y2)
    })
}

/// Reads WKT; `None` where it is none.
fn parse(wkt: &str) -> Option<Vec<Polygon>> {
    let wkt = wkt.trim();
    let (word, rest) = wkt.split_at(wkt.find('(')?);
    let polygons = match word.trim().to_ascii_uppercase().as_str() {
        "POLYGON" => vec![rest],
        "MULTIPOLYGON" => parts(rest)?,
        _ => return None,
    };
    let polygon = |text: &str| parts(text)?.into_iter().map(ring).collect::<Option<Polygon>>();
    polygons.into_iter().map(polygon).collect()
}

/// What stands between the brackets, cut at the commas of this level; never empty.
fn parts(text: &str) -> Option<Vec<&str>> {
    let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    let (mut parts, mut depth, mut start) = (Vec::new(), 0i32, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        if depth < 0 {
            return None;
        }
    }
    parts.push(&inner[start..]);
    (depth == 0).then_some(parts)
}

fn ring(text: &str) -> Option<Vec<Point>> {
    let point = |text: &str| {
        let mut numbers = text.split_whitespace().map(|number| number.parse::<f64>().ok().filter(|it| it.is_finite()));
        let point = (numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some(point)
    };
    let points = parts(text)?.into_iter().map(point).collect::<Option<Vec<Point>>>()?;
    (points.len() >= 4 && points.first() == points.last()).then_some(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: &str = "POLYGON ((114 30, 115 30, 115 31, 114 31, 114 30), (114.4 30.4, 114.6 30.4, 114.6 30.6, 114.4 30.6, 114.4 30.4))";

    #[test]
    fn inside_outside_border_and_hole() {
        assert_eq!(geofence(30.2, 114.2, SQUARE), Some(1));
        assert_eq!(geofence(29.9, 114.2, SQUARE), Some(0));
        assert_eq!(geofence(30.0, 114.5, SQUARE), Some(1), "the border belongs to the fence");
        assert_eq!(geofence(31.0, 115.0, SQUARE), Some(1), "a corner too");
        assert_eq!(geofence(30.5, 114.5, SQUARE), Some(0), "a hole does not");
        assert_eq!(geofence(30.4, 114.5, SQUARE), Some(1), "its border does");
        assert_eq!(geofence(f64::NAN, 114.5, SQUARE), Some(0));
    }

    #[test]
    fn several_polygons() {
        let two = "multipolygon(((0 0,1 0,1 1,0 0)),((5 5,6 5,6 6,5 5)))";
        assert_eq!(geofence(5.2, 5.6, two), Some(1));
        assert_eq!(geofence(3.0, 3.0, two), Some(0));
    }

    #[test]
    fn a_fence_that_cannot_be_read() {
        for wkt in ["", "POINT (1 2)", "POLYGON", "POLYGON ()", "POLYGON ((1 2, 3 4))", "POLYGON ((0 0, 1 0, 1 1, 0 1))", "POLYGON ((0 0, 1 x, 1 1, 0 0))", "POLYGON ((0 0, 1 0, 1 1, 0 0)", "POLYGON (0 0), (1 1)"] {
            assert_eq!(geofence(0.0, 0.0, wkt), None, "{wkt}");
        }
    }
}
