/*
[dependencies]
h3o = "0.9"
*/
use arroyo_udf_plugin::udf;

/// The H3 cell of a place as text, such as `8831aa5093fffff`; NULL where the place or the resolution (0..=15) is none.
#[udf]
fn h3_cell(lat: f64, lon: f64, resolution: i32) -> Option<String> {
    cell(lat, lon, resolution).map(|cell| cell.to_string())
}

fn cell(lat: f64, lon: f64, resolution: i32) -> Option<h3o::CellIndex> {
    let on_earth = (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon);
    let resolution = h3o::Resolution::try_from(u8::try_from(resolution).ok()?).ok()?;
    let place = on_earth.then(|| h3o::LatLng::new(lat, lon).ok()).flatten()?;
    Some(place.to_cell(resolution))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_place() {
        // The worked example of H3's own documentation.
        assert_eq!(h3_cell(37.3615593, -122.0553238, 5).as_deref(), Some("85283473fffffff"));
    }

    #[test]
    fn a_cell_holds_its_place_and_lies_in_its_parent() {
        let fine = cell(30.5928, 114.3055, 9).unwrap();
        assert_eq!(fine.parent(h3o::Resolution::Seven), cell(30.5928, 114.3055, 7));
        let centre = h3o::LatLng::from(fine);
        assert_eq!(cell(centre.lat(), centre.lng(), 9), Some(fine));
    }

    #[test]
    fn what_is_no_place_has_no_cell() {
        for (lat, lon, resolution) in [(91.0, 0.0, 5), (0.0, 181.0, 5), (f64::NAN, 0.0, 5), (0.0, f64::INFINITY, 5), (0.0, 0.0, 16), (0.0, 0.0, -1)] {
            assert_eq!(h3_cell(lat, lon, resolution), None);
        }
    }
}
