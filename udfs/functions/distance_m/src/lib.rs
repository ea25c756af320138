use arroyo_udf_plugin::udf;

/// The distance of two places over the earth's surface in metres (a sphere of 6,371,008.8 m radius: right within 0.5 %).
/// NULL where one of them is no place.
#[udf]
fn distance_m(lat1: f64, lon1: f64, lat2: f64, lon2: f64) -> Option<f64> {
    let place = |lat: f64, lon: f64| (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon);
    (place(lat1, lon1) && place(lat2, lon2)).then(|| haversine_m(lat1, lon1, lat2, lon2))
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
    fn known_distances() {
        // A degree of a great circle, half way round, and Wuhan to Beijing: about 1,050 km.
        let degree = EARTH_M * 1f64.to_radians();
        assert!((distance_m(0.0, 0.0, 0.0, 1.0).unwrap() - degree).abs() < 1e-6);
        assert!((distance_m(0.0, 0.0, 0.0, 180.0).unwrap() - 180.0 * degree).abs() < 1e-3);
        let wuhan_beijing = distance_m(30.5928, 114.3055, 39.9042, 116.4074).unwrap();
        assert!((1_045_000.0..1_060_000.0).contains(&wuhan_beijing), "{wuhan_beijing}");
    }

    #[test]
    fn a_distance_is_symmetric_and_zero_to_itself() {
        assert_eq!(distance_m(30.0, 114.0, 30.0, 114.0), Some(0.0));
        assert_eq!(distance_m(30.0, 114.0, 31.0, 115.0), distance_m(31.0, 115.0, 30.0, 114.0));
    }

    #[test]
    fn what_is_no_place_has_no_distance() {
        assert_eq!(distance_m(91.0, 0.0, 0.0, 0.0), None);
        assert_eq!(distance_m(0.0, 0.0, 0.0, f64::NAN), None);
    }
}
