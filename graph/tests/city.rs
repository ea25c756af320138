//! The shipped file, asked as a duty officer would ask it.

use graph::{CITY_YAML, Graph};

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
    ] {
        assert_eq!((graph.sort_text(text).category.as_str(), graph.risk_word(text)), (category, risk), "{text}");
    }
}

#[test]
fn the_narrowest_duty_wins_and_says_why() {
    let graph = Graph::builtin();
    let owed = graph.who_owes("flooding", Some("d02"), 9);
    assert_eq!(owed.unit, "lake-drainage");
    assert_eq!(owed.alternatives, ["drainage"]);
    assert_eq!(
        owed.path,
        ["category flooding", "owed by lake-drainage (d02)", "reports to drainage", "reports to water-affairs", "reports to command"]
    );
    assert_eq!(graph.who_owes("flooding", Some("C"), 9).unit, "drainage");
    assert_eq!(graph.who_owes("noise", None, 23).unit, "police");
    assert_eq!(graph.who_owes("noise", None, 5).unit, "police");
    assert_eq!(graph.who_owes("noise", None, 6).unit, "environment");
    assert_eq!(graph.who_owes("no such thing", None, 6).unit, "duty-office");
}

#[test]
fn every_category_and_scenario_has_a_unit() {
    let graph = Graph::builtin();
    for category in graph.categories() {
        let owed = graph.who_owes(&category.id, None, 12);
        assert!(graph.unit(&owed.unit).is_some(), "{}", category.id);
        assert!(!owed.path[1].starts_with("nobody"), "{}: {:?}", category.id, owed.path);
    }
    assert_eq!(graph.scenarios().count(), 9);
}

#[test]
fn rain_leads_to_traffic_stopping() {
    let graph = Graph::builtin();
    let chains = graph.what_follows("heavy_rain", 3);
    let first: Vec<_> = chains[0].steps.iter().map(|step| step.event.as_str()).collect();
    assert_eq!((first.as_slice(), chains[0].permille, chains[0].lag_minutes), (["ponding"].as_slice(), 600, (10, 120)));
    let second: Vec<_> = chains[1].steps.iter().map(|step| step.event.as_str()).collect();
    assert_eq!((second.as_slice(), chains[1].permille), (["ponding", "traffic_stop"].as_slice(), 240));
    assert_eq!(graph.what_follows("no such event", 3), []);

    let link = graph.explains("water_main_burst", "road_collapse").expect("a burst washes the ground away");
    assert_eq!(link.path, ["main_burst", "road_collapse"]);
    assert_eq!(graph.explains("garbage", "forest_fire"), None);
}

#[test]
fn a_mistake_is_named_with_its_line() {
    for (from, to, expected) in [
        ("default_unit: duty-office", "default_unit: nobody", "city.yaml:8: no unit is called `nobody`"),
        ("{ unit: heat, category: heating }", "{ unit: heat, category: heatin }", "no category is called `heatin`"),
        ("{ unit: heat, category: heating }", "{ unit: heet, category: heating }", "no unit is called `heet`"),
        ("parent: housing, name: { zh: 市热力公司", "parent: hosing, name: { zh: 市热力公司", "no unit is called `hosing`"),
        ("event: underpass_flooded, permille: 300", "event: underpass_flooded, permille: 3000", "is not 1 to 1000"),
        ("hazard: rain", "hazzard: rain", "unknown field `hazzard`"),
        ("hours: [22, 6]", "hours: [25, 6]", "hours go from"),
        ("{ id: command, level: city,", "{ id: command, level: city, parent: police,", "go in a circle"),
    ] {
        assert!(CITY_YAML.contains(from), "{from}");
        let text = CITY_YAML.replacen(from, to, 1);
        let error = Graph::parse(&text).expect_err(expected).to_string();
        let line = text.lines().position(|line| line.contains(to)).unwrap() + 1;
        assert!(error.contains(expected), "{error}");
        // YAML's own complaints point at the entry, which may begin some lines above.
        let pointed: usize = error.lines().next().unwrap().split(':').nth(1).unwrap().parse().unwrap();
        assert!(pointed > 0 && pointed <= line + 20, "{error} but the mistake is in line {line}");
    }
}

#[test]
fn the_version_is_the_text() {
    let graph = Graph::builtin();
    let changed = Graph::parse(&CITY_YAML.replace("permille: 600", "permille: 601")).unwrap();
    assert_ne!(graph.version(), changed.version());
    assert_eq!(graph.version(), Graph::builtin().version());
}
