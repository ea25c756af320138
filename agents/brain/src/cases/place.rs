//! Places as merging sees them: addresses without their wording, points on a grid, distances in metres. Integers only, so
//! that every machine finds the same neighbours.

use schemas::signal::MicroDeg;
use serde::{Deserialize, Serialize};

/// Where a matter is. Names are hashes, so that a hundred thousand of them are small.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spot {
    /// The point.
    pub(crate) point: Option<Place>,
    /// Street and number, or the name of premises.
    pub(crate) address: Option<u64>,
    /// The street alone, and whether it is written in Chinese: names in two scripts say nothing about one another.
    pub(crate) street: Option<(bool, u64)>,
    /// The station that measures.
    pub(crate) station: Option<u64>,
}

/// A point: latitude and longitude.
pub(crate) type Place = (MicroDeg, MicroDeg);

/// A point whose both angles are whole hundredths of a degree tells a town, not a house: somebody rounded it, or had none.
const ROUNDED_MICRODEG: i32 = 10_000;
/// Millionths of a degree of latitude in a metre, rounded up: a cell is never smaller than the radius.
const MICRODEG_PER_M: i64 = 9;
/// Centimetres in a thousand millionths of a degree of latitude.
const CM_PER_MILLIDEG: i64 = 11_132;
/// The thinnest parallel that is told apart, in thousandths of the equator: 89.4 degrees.
const PARALLEL_PERMILLE_MIN: i64 = 10;

/// The point of a report, if it is exact enough to say what is beside it.
pub(crate) fn exact(lat: Option<MicroDeg>, lon: Option<MicroDeg>) -> Option<Place> {
    lat.zip(lon).filter(|(lat, lon)| lat.0 % ROUNDED_MICRODEG != 0 || lon.0 % ROUNDED_MICRODEG != 0)
}

/// FNV-1a over parts, each ended by a byte that no text has.
pub(crate) fn hash(parts: &[&[u8]]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        for byte in part.iter().chain([&0xff]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

/// The length of a parallel in thousandths of the equator: Bhaskara's cosine, at most 2 ‰ wrong.
fn parallel_permille(lat: i64) -> i64 {
    let square = i128::from(lat.clamp(-90_000_000, 90_000_000)).pow(2);
    let full = 32_400_000_000_000_000_i128;
    let permille = (full - 4 * square) * 1000 / (full + square);
    (permille as i64).max(PARALLEL_PERMILLE_MIN)
}

/// The distance between two points of a city, in metres.
pub(crate) fn metres(a: Place, b: Place) -> u64 {
    let (lat, other) = (i64::from(a.0.0), i64::from(b.0.0));
    let north = i128::from((lat - other) * CM_PER_MILLIDEG / 1000);
    let east = i128::from((i64::from(a.1.0) - i64::from(b.1.0)) * CM_PER_MILLIDEG / 1000 * parallel_permille((lat + other) / 2) / 1000);
    (north.pow(2) + east.pow(2)).isqrt() as u64 / 100
}

/// The grid cell of a point in the row that is `rows` further north, and the columns beside it.
fn column(point: Place, radius_m: u32, rows: i64) -> (i64, i64) {
    let height = i64::from(radius_m) * MICRODEG_PER_M + 1;
    let row = i64::from(point.0.0).div_euclid(height) + rows;
    // Rows nearer to the pole have shorter parallels: the neighbour's is taken, so that a column is wide enough for both.
    let poleward = ((row - 1) * height).abs().max(((row + 2) * height).abs());
    let width = height * 1000 / parallel_permille(poleward) + 1;
    (row, i64::from(point.1.0).div_euclid(width))
}

/// The cell of a point.
pub(crate) fn cell(point: Place, radius_m: u32) -> (i64, i64) {
    column(point, radius_m, 0)
}

/// The nine cells in which everything within the radius of a point is.
pub(crate) fn cells_around(point: Place, radius_m: u32) -> Vec<(i64, i64)> {
    let rows = (-1..=1).map(|rows| column(point, radius_m, rows));
    rows.flat_map(|(row, column)| (-1..=1).map(move |beside| (row, column + beside))).collect()
}

impl Spot {
    /// What an address says, whichever way it is worded: `本市中山路８８号附近` is `中山路88号`, `88 Main St.` is `88 main street`.
    pub(crate) fn of_address(address: &str) -> Self {
        let address: String = address.chars().take(200).map(plain).flat_map(char::to_lowercase).collect();
        let is_chinese = address.chars().any(is_han);
        let (street, rest) = if is_chinese { chinese(&address) } else { english(&address) };
        Self {
            point: None,
            address: rest.map(|rest| hash(&[street.as_bytes(), rest.as_bytes()])),
            street: (!street.is_empty()).then(|| (is_chinese, hash(&[street.as_bytes()]))),
            station: None,
        }
    }

    /// Where the reports of a matter are together: what one does not say the next one may.
    pub(crate) fn or(self, next: &Spot) -> Self {
        let street_of = if self.address.is_some() { &self } else { next };
        Self {
            point: self.point.or(next.point),
            address: self.address.or(next.address),
            street: street_of.street.or(self.street),
            station: self.station.or(next.station),
        }
    }
}

pub(crate) fn is_han(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}

/// Full-width letters and digits as plain ones, and the traditional characters of addresses as simplified ones.
fn plain(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '號' => '号',
        '區' => '区',
        '縣' => '县',
        '門' => '门',
        '對' => '对',
        '橋' => '桥',
        '園' => '园',
        '學' => '学',
        other => other,
    }
}

/// Words around an address that do not change where it is.
const AROUND: [&str; 13] = ["附近", "门口", "旁边", "对面", "门前", "楼下", "一带", "周边", "路边", "左右", "大概", "位于", "旁"];
const ROADS: [&str; 7] = ["大道", "大街", "胡同", "路", "街", "巷", "弄"];
/// What premises end with: a place without a number.
const PREMISES: [&str; 19] = [
    "小区", "社区", "花园", "家园", "公寓", "大厦", "广场", "商城", "市场", "公园", "小学", "中学", "大学", "学校", "医院", "车站", "地铁站", "通道", "隧道",
];

/// Street, and what tells one place on it from another; nothing when the address is only a street.
fn chinese(address: &str) -> (String, Option<String>) {
    let mut text: String = address.chars().filter(|c| c.is_alphanumeric()).collect();
    for word in AROUND {
        text = text.replace(word, "");
    }
    let text = without_regions(&text);
    let road = ROADS.iter().filter_map(|road| text.find(road).map(|at| at + road.len())).min().unwrap_or(0);
    let (street, rest) = text.split_at(road);
    if let Some(number) = house_number(rest) {
        return (street.to_owned(), Some(number));
    }
    let premises = PREMISES.iter().filter_map(|end| rest.find(end).map(|at| &rest[..at + end.len()])).min_by_key(|name| name.len());
    (street.to_owned(), premises.filter(|name| name.chars().count() >= 4).map(str::to_owned))
}

/// `88` of `88号院3栋`, `3巷12` of `3巷12号`: the premises, not the door in them. A number without `号` counts at the end only.
fn house_number(rest: &str) -> Option<String> {
    let mut from = 0;
    while let Some(begin) = rest[from..].find(|c: char| c.is_ascii_digit()).map(|at| from + at) {
        let end = rest[begin..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |at| begin + at);
        if rest[end..].starts_with('号') || end == rest.len() {
            // A lane between street and number is part of the place; a whole sentence is not.
            return (rest[..begin].chars().count() <= 6).then(|| rest[..end].to_owned());
        }
        from = end;
    }
    None
}

/// Without province, city, county and district in front.
fn without_regions(text: &str) -> &str {
    let mut rest = text;
    for _ in 0..4 {
        let chars: Vec<(usize, char)> = rest.char_indices().collect();
        let end = chars.iter().enumerate().take(8).skip(1).find(|(index, (_, c))| {
            let before = chars[index - 1].1;
            let after = chars.get(index + 1).map(|(_, c)| *c);
            match c {
                '省' | '县' => true,
                '市' => !matches!(after, Some('场' | '政' | '民' | '府')),
                '区' => !matches!(before, '小' | '社' | '园' | '校' | '景' | '厂' | '库' | '新'),
                _ => false,
            }
        });
        match end.and_then(|(index, _)| chars.get(index + 1)) {
            Some((at, _)) => rest = &rest[*at..],
            None => break,
        }
    }
    rest
}

/// Street and number of a Latin address.
fn english(address: &str) -> (String, Option<String>) {
    let words = address.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let (mut street, mut number, mut ended) = (Vec::new(), None, false);
    for word in words {
        let word = long_form(word);
        match word {
            "no" | "number" | "near" | "opposite" | "outside" | "front" | "of" | "in" | "the" | "at" | "by" | "next" | "to" | "behind" => {}
            _ if word.starts_with(|c: char| c.is_ascii_digit()) && number.is_none() && (street.is_empty() || ended) => number = Some(word.to_owned()),
            _ if !ended => {
                ended = is_street_type(word) && !street.is_empty();
                street.push(word);
            }
            _ => {}
        }
    }
    let street = street.join(" ");
    let number = number.filter(|_| !street.is_empty());
    (street, number)
}

fn long_form(word: &str) -> &str {
    match word {
        "st" | "str" => "street",
        "rd" => "road",
        "ave" | "av" => "avenue",
        "blvd" => "boulevard",
        "ln" => "lane",
        "dr" => "drive",
        "ct" => "court",
        "pl" => "place",
        "hwy" => "highway",
        "pkwy" => "parkway",
        "n" => "north",
        "s" => "south",
        "e" => "east",
        "w" => "west",
        other => other,
    }
}

fn is_street_type(word: &str) -> bool {
    matches!(
        word,
        "street" | "road" | "avenue" | "boulevard" | "lane" | "drive" | "court" | "place" | "highway" | "parkway" | "way" | "terrace" | "square"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lat: i32, lon: i32) -> Place {
        (MicroDeg(lat), MicroDeg(lon))
    }

    #[test]
    fn wordings_of_one_address_are_one_place() {
        for (address, others) in [
            ("中山路88号", ["本市中山路８８号附近", "城关区中山路 88 号门口", "中山路88號", "江城市城关区中山路88号3栋"].as_slice()),
            ("88 Main Street", &["88 MAIN ST.", "No. 88, Main St, Springfield TX 77002", "near 88 main street", "Main Street 88"]),
            ("丽发新城小区", &["丽发新城小区门口", "城关区丽发新城小区附近"]),
            ("学院路3巷12号", &["学院路3巷12号旁边"]),
        ] {
            let spot = Spot::of_address(address);
            assert!(spot.address.is_some(), "{address}");
            for other in others {
                assert_eq!(Spot::of_address(other), spot, "{other}");
            }
        }
    }

    #[test]
    fn other_places_are_other_places() {
        for (one, other) in [("中山路88号", "中山路8号"), ("中山路88号", "中山一路88号"), ("88 Main St", "88 Main Rd"), ("88 Main St", "89 Main St"), ("学院路3巷12号", "学院路4巷12号")] {
            assert_ne!(Spot::of_address(one).address, Spot::of_address(other).address, "{one} {other}");
        }
        for street in ["中山路", "中山路附近", "Main Street", "附近", "", "市场"] {
            assert_eq!(Spot::of_address(street).address, None, "{street} is no place");
        }
    }

    #[test]
    fn distances_are_those_of_the_map() {
        // A thousandth of a degree: 111 m north; east 96 m in Wuhan (30.6 degrees), 56 m in Oslo (59.9 degrees).
        for (a, b, expected) in [
            (at(30_600_000, 114_300_000), at(30_601_000, 114_300_000), 111),
            (at(30_600_000, 114_300_000), at(30_600_000, 114_301_000), 96),
            (at(59_900_000, 10_700_000), at(59_900_000, 10_701_000), 56),
            (at(-33_900_000, 18_400_000), at(-33_900_000, 18_401_000), 92),
        ] {
            assert!(metres(a, b).abs_diff(expected) <= 1, "{} is not {expected}", metres(a, b));
        }
        assert!(metres(at(-90_000_000, -180_000_000), at(90_000_000, 180_000_000)) > 20_000_000, "no distance is too long to be told");
    }

    #[test]
    fn whatever_is_within_the_radius_is_in_the_nine_cells() {
        for lat in [-89_000_000, -60_123_456, -1, 0, 30_588_123, 59_913_777, 85_000_000] {
            for radius in [30_u32, 150, 2000] {
                for step in 0..400 {
                    // Around the point, a little inside and a little outside the radius.
                    let (north, east) = ([-1, 0, 1, 2][step % 4], [-2, -1, 0, 1, 2][step / 4 % 5]);
                    let base = at(lat + (step as i32) * 37, 114_300_000 + (step as i32) * 91);
                    let reach = i64::from(radius) * 8983 / 1000 / 2;
                    let other = at((i64::from(base.0.0) + north * reach) as i32, (i64::from(base.1.0) + east * reach * 1000 / parallel_permille(lat.into())) as i32);
                    if metres(base, other) <= u64::from(radius) {
                        assert!(cells_around(base, radius).contains(&cell(other, radius)), "{base:?} {other:?} {radius}");
                    }
                }
            }
        }
    }
}
