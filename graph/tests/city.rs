//! The shipped files, asked as a duty officer would ask them.

use chrono::NaiveDate;
use graph::{CITY_FILES, Change, Files, Graph, Here, Key, Kind, Level, Reach, When};
use schemas::alert::Point;
use schemas::signal::MicroDeg;

#[test]
fn real_request_types_find_their_category() {
    let graph = Graph::builtin();
    for (request_type, category) in [
        ("Flooding", "flooding"),
        ("Pothole", "road_damage"),
        ("BGE-StLight(s) Out", "street_light"),
        ("TRM-StLight Damaged/Knocked Down/Rusted", "street_light"),
        ("WW-Water Leak (Exterior)", "water_main"),
        ("WW-Storm Flooded Street", "flooding"),
        ("WW-Sewer Water In Basement", "flooding"),
        ("SW-Dirty Alley", "garbage"),
        ("TRS-Parking Complaint", "parking"),
        ("TRS-Abandoned Vehicle", "parking"),
        ("TRM-Pothole Repair", "road_damage"),
        ("TRT-Traffic Signal Repairs", "traffic"),
        ("FOR-Down Tree", "tree"),
        ("HEATING", "heating"),
        ("Blocked Driveway", "parking"),
        ("Noise - Street/Sidewalk", "noise"),
        ("Street Condition", "road_damage"),
        ("Street Light Condition", "street_light"),
        ("Water System", "water_main"),
        ("路燈故障或設施損壞", "street_light"),
        ("市區道路坑洞處理", "road_damage"),
        ("用戶無水、漏水報修", "water_main"),
        ("路面積淹水", "flooding"),
        ("橋梁、隧道、車(人)行地下道及涵洞積淹水", "flooding"),
        ("場所與設施噪音舉發", "noise"),
        ("大型廢棄物清運聯繫", "garbage"),
        ("道路掏空", "collapse"),
        ("路樹處理", "tree"),
        ("交通號誌異常", "traffic"),
        ("供水管网漏损", "water_main"),
        ("占道经营", "street_order"),
        ("井盖破损", "sewer"),
        ("道路坑洼", "road_damage"),
        ("ECC-Vehicle Look Up", "other"),
    ] {
        let sorted = graph.sort_request_type(request_type);
        assert_eq!(sorted.map_or("other".to_owned(), |sorted| sorted.category), category, "{request_type}");
    }
}

#[test]
fn messages_are_sorted_by_their_words_and_danger_is_seen() {
    let graph = Graph::builtin();
    for (text, category, risk) in [
        ("解放路下穿通道积水很深，有车被困", "flooding", Some("被困")),
        ("楼道里闻到燃气味道，很浓", "gas", Some("闻到燃气")),
        ("小区门口路灯不亮好几天了", "street_light", None),
        ("Cars are trapped, the underpass is flooded", "flooding", Some("trapped")),
        ("隔壁工地半夜施工噪音扰民", "noise", None),
        ("请问社保怎么办理", "other", None),
        ("Nobody answers on Main Street", "other", None),
        ("Two trees fell onto Main Street", "tree", None),
        ("小区里tree倒了", "tree", None),
    ] {
        assert_eq!((graph.sort_text(text).category.as_str(), graph.risk_word(text)), (category, risk), "{text}");
    }
}

fn on(month: u32, hour: u8) -> When {
    When { day: NaiveDate::from_ymd_opt(2026, month, 5).unwrap(), hour }
}

#[test]
fn the_narrowest_duty_wins_and_says_why() {
    let graph = Graph::builtin();
    let owed = graph.who_owes("flooding", Here::at("d02"), on(7, 9));
    assert_eq!(owed.unit, "lake-drainage");
    assert_eq!(owed.alternatives, ["drainage"]);
    assert_eq!(
        owed.path,
        ["category flooding", "owed by lake-drainage (d02)", "reports to drainage", "reports to water-affairs", "reports to command"]
    );
    let unit = |category: &str, place: &str, when: When| graph.who_owes(category, Here::at(place), when).unit;
    assert_eq!(unit("flooding", "滨江区", on(7, 9)), "lake-drainage", "by its name");
    assert_eq!(unit("flooding", "湖滨路", on(7, 9)), "lake-drainage", "a street of the district");
    assert_eq!(unit("flooding", "C", on(7, 9)), "drainage", "a place that the graph does not know");
    assert_eq!(unit("noise", "", on(7, 23)), "police");
    assert_eq!(unit("noise", "", on(7, 5)), "police");
    assert_eq!(unit("noise", "", on(7, 6)), "environment");
    assert_eq!(unit("heating", "", on(1, 6)), "heat");
    assert_eq!(unit("heating", "", on(7, 6)), "housing");
    assert_eq!(unit("street_order", "鼓楼东街", on(7, 9)), "drum-tower-office");
    assert_eq!(unit("street_order", "鼓楼东街", on(7, 20)), "central-urban", "the street office goes home");
    assert_eq!(unit("no such thing", "", on(7, 6)), "duty-office");
    let point = Point { lat: MicroDeg(30_575_000), lon: MicroDeg(114_268_000) };
    assert_eq!(graph.who_owes("flooding", Here::point(point), on(7, 9)).unit, "lake-drainage", "by its coordinates");
}

#[test]
fn every_category_and_scenario_has_a_unit_a_plan_and_a_pack() {
    let graph = Graph::builtin();
    for category in graph.categories() {
        let owed = graph.who_owes(&category.id, Here::default(), on(7, 12));
        assert!(graph.unit(&owed.unit).is_some(), "{}", category.id);
        assert!(!owed.path[1].starts_with("nobody"), "{}: {:?}", category.id, owed.path);
    }
    assert_eq!(graph.scenarios().count(), 9);
    assert_eq!(graph.packs().len(), 9);
    for scenario in graph.scenarios() {
        let plan = graph.plan(&scenario.plan).unwrap();
        for level in [Level::City, Level::District, Level::Street] {
            assert!(plan.tasks.iter().any(|task| task.level == level), "{} has no task for {level:?}", plan.id);
        }
        assert!(graph.view("thresholds").unwrap().rows.iter().any(|row| row[1].as_ref() == Some(&scenario.id)), "{}", scenario.id);
    }
}

#[test]
fn rain_leads_to_traffic_stopping() {
    let graph = Graph::builtin();
    let chains = graph.what_follows("heavy_rain", Here::default(), None, 3);
    assert_eq!((chains[0].path().as_str(), chains[0].permille, chains[0].lag_minutes), ("heavy_rain → ponding", 600, [10, 40, 120]));
    assert_eq!((chains[1].path().as_str(), chains[1].permille), ("heavy_rain → ponding → traffic_stop", 240));
    assert_eq!(chains[1].reach, Reach::District);
    assert_eq!(graph.what_follows("no such event", Here::default(), None, 3), []);

    let link = graph.link("main_burst", "road_collapse", None).expect("a burst washes the ground away");
    assert_eq!((link.path().as_str(), link.permille, link.reach), ("main_burst → road_collapse", 150, Reach::Metres(500)));
    assert_eq!(graph.link("waste_pile", "wildfire", None), None);
    let causes: Vec<_> = graph.what_explains("ponding", None, 3).into_iter().map(|chain| (chain.cause, chain.permille)).collect();
    assert_eq!(causes, [("heavy_rain".to_owned(), 600), ("main_burst".to_owned(), 500), ("pump_stop".to_owned(), 500)]);
}

#[test]
fn what_needs_an_asset_does_not_happen_where_there_is_none() {
    let mut graph = Graph::builtin();
    let fire = |graph: &Graph, place: &str| graph.what_follows("fire_weather", Here::at(place), None, 9).iter().any(|chain| chain.effect() == "wildfire");
    assert!(fire(&graph, "d08") && !fire(&graph, "d03"), "the forest is in d08");
    assert!(fire(&graph, "nowhere"), "of a place that the graph does not know nothing is ruled out");
    graph.apply(Change::Remove(Key::new(Kind::Asset, "yunling-forest"))).unwrap();
    assert!(!fire(&graph, "d08"));
}

#[test]
fn what_is_downstream_and_who_is_near() {
    let graph = Graph::builtin();
    let down = graph.what_depends_on("grid-station", on(7, 9)).unwrap();
    assert!(down.assets.contains(&("pump-d02".to_owned(), 2)) && down.places.contains(&"d02".to_owned()), "{down:?}");
    assert_eq!(graph.what_depends_on("no such asset", on(7, 9)), None);
    let place = Point { lat: MicroDeg(30_575_000), lon: MicroDeg(114_268_000) };
    let near = graph.what_reaches(place, &["pump_truck".to_owned()], 60, on(7, 9), 5);
    let near: Vec<_> = near.iter().map(|it| (it.resource.as_str(), it.minutes)).collect();
    assert_eq!(near, [("pump-truck-west", 2), ("pump-truck-east", 37)]);
    let path = graph.path(&Key::new(Kind::Event, "pump_stop"), &Key::new(Kind::Unit, "drainage")).unwrap();
    let path: Vec<_> = path.iter().map(|step| format!("{} {} {}", step.from, step.by, step.to)).collect();
    assert_eq!(path, ["event/pump_stop leads to event/ponding", "event/ponding is told as category/flooding", "category/flooding is owed by unit/drainage"]);
}

#[test]
fn a_mistake_is_named_with_its_line() {
    for (file, from, to, expected) in [
        ("city.yaml", "default_unit: duty-office", "default_unit: nobody", "no unit is called `nobody`"),
        ("units.yaml", "{ unit: housing, category: heating }", "{ unit: housing, category: heatin }", "no category is called `heatin`"),
        ("units.yaml", "{ unit: housing, category: heating }", "{ unit: hausing, category: heating }", "no unit is called `hausing`"),
        ("units.yaml", "parent: housing, name: { zh: 市热力公司", "parent: hosing, name: { zh: 市热力公司", "no unit is called `hosing`"),
        ("units.yaml", "hours: [22, 6]", "hours: [25, 6]", "hours go from"),
        ("units.yaml", "months: [11, 3] }", "months: [0, 3] }", "months go from 1 to 12"),
        ("units.yaml", "{ id: gas, level: city,", "{ id: gas, level: town,", "unknown variant"),
        ("events.yaml", "hazard: rain", "hazzard: rain", "unknown field `hazzard`"),
        ("events.yaml", "- id: ponding", "- id: heavy_rain", "is there twice: also in events.yaml"),
        ("places.yaml", "in: d01, name: { zh: 沿江大道", "in: d99, name: { zh: 沿江大道", "no place is called `d99`"),
        ("places.yaml", "at: [30.612, 114.305]", "at: [114.305, 30.612]", "is no latitude"),
        ("places.yaml", "feeds: [pump-d01", "feeds: [pomp-d01", "no asset is called `pomp-d01`"),
        ("places.yaml", "id: d01-s1, kind", "id: d01 s1, kind", "is no id"),
    ] {
        let mut line = 0;
        let files = CITY_FILES.map(|(name, text)| {
            if name != file {
                return (name, text.to_owned());
            }
            assert!(text.contains(from), "{from}");
            line = text.lines().position(|line| line.contains(from)).unwrap() + 1;
            (name, text.replacen(from, to, 1))
        });
        let error = Files::read(&files).and_then(|files| files.graph().map(|_| ())).expect_err(expected);
        let told = error.problems.iter().find(|(_, _, problem)| problem.contains(expected)).unwrap_or_else(|| panic!("{expected}: {error}"));
        // An entry of several lines is named by its first, so some lines above is fine.
        assert!(told.0 == file && told.1 <= line && told.1 + 6 >= line, "{error} but the mistake is in line {line}");
    }
}
