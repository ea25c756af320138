use std::collections::BTreeMap;
use std::sync::OnceLock;

use arroyo_udf_plugin::udf;

/// The distance in metres from a place to the nearest asset of a kind (`pump`, `hydrant`, `shelter`, ...). The assets stand
/// in `assets.csv` (`kind,name,lat,lon`) in the folder that the environment variable UDF_DATA names. NULL where there is no
/// asset of that kind or the place is none.
///
/// Data: assets.csv
#[udf(timeout = "5s", allowed_in_flight = 64)]
async fn distance_to_asset(lat: f64, lon: f64, kind: &str) -> Option<f64> {
    static ASSETS: OnceLock<Assets> = OnceLock::new();
    nearest_m(ASSETS.get_or_init(read), lat, lon, kind)
}

/// Latitude and longitude of the assets of each kind.
type Assets = BTreeMap<String, Vec<(f64, f64)>>;

fn read() -> Assets {
    let folder = std::env::var("UDF_DATA").unwrap_or_else(|_| ".".into());
    let path = std::path::Path::new(&folder).join("assets.csv");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("could not read {}: {error}", path.display()));
    parse(&text).unwrap_or_else(|line| panic!("line {line} of {} is not kind,name,lat,lon", path.display()))
}

/// The assets, or the number of the line that is none. `#` begins a comment; the first line is the header.
fn parse(text: &str) -> Result<Assets, usize> {
    let mut assets = Assets::new();
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    for (number, line) in lines.skip(1) {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let degrees = |field: &str, most: f64| field.parse::<f64>().ok().filter(|it| it.abs() <= most);
        match fields[..] {
            [kind, _, lat, lon] => {
                let place = degrees(lat, 90.0).zip(degrees(lon, 180.0)).ok_or(number + 1)?;
                assets.entry(kind.to_owned()).or_default().push(place);
            }
            _ => return Err(number + 1),
        }
    }
    Ok(assets)
}

fn nearest_m(assets: &Assets, lat: f64, lon: f64, kind: &str) -> Option<f64> {
    let on_earth = (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon);
    let distances = assets.get(kind).filter(|_| on_earth)?.iter().map(|place| haversine_m(lat, lon, place.0, place.1));
    distances.min_by(f64::total_cmp)
}

const EARTH_M: f64 = 6_371_008.8;

fn haversine_m(lat1: f64, lon1: f64, lat2: f64, lon2: f64) -> f64 {
    let half_sine = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
    let h = half_sine(lat2 - lat1) + lat1.to_radians().cos() * lat2.to_radians().cos() * half_sine(lon2 - lon1);
    2.0 * EARTH_M * h.min(1.0).sqrt().asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_of_its_kind() {
        let assets = parse(include_str!("../assets.csv")).unwrap();
        let near = nearest_m(&assets, 30.60, 114.30, "pump").unwrap();
        for (_, places) in assets.iter().filter(|(kind, _)| *kind == "pump") {
            assert!(places.iter().all(|place| haversine_m(30.60, 114.30, place.0, place.1) >= near));
        }
        assert_eq!(nearest_m(&assets, 30.60, 114.30, "unicorn"), None);
        assert_eq!(nearest_m(&assets, 91.0, 114.30, "pump"), None);
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        assert_eq!(parse("kind,name,lat,lon\n# comment\npump,a,1,2\npump,b,91,2"), Err(4));
        assert_eq!(parse("kind,name,lat,lon\npump,a,1"), Err(2));
        assert!(parse("").unwrap().is_empty());
    }
}
