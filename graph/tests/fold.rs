//! The laws of change: the graph is the fold of its changes, each can be taken back, and the way leaves no trace.

use chrono::NaiveDate;
use graph::{Category, Change, Duty, Element, Entry, Graph, Here, Key, Kind, Level, Name, Pack, Place, Unit, Valid, When};
use proptest::prelude::*;

fn name(id: &str) -> Name {
    Name { zh: id.to_owned(), en: id.to_owned() }
}

/// Some element of a small world: three places, four units, two categories, and duties between them.
fn element() -> impl Strategy<Value = Element> {
    let place = (0..3_u8, proptest::option::of(0..3_u8)).prop_map(|(id, parent)| {
        let (id, parent) = (format!("p{id}"), parent.map(|parent| format!("p{parent}")));
        Element::Place(Place { id, kind: "street".to_owned(), name: None, parent, aliases: Vec::new(), at: None, radius_m: None, outline: Vec::new() })
    });
    let unit = (0..4_u8, proptest::option::of(0..4_u8), any::<bool>(), proptest::option::of(0..3_u8)).prop_map(|(id, parent, city, place)| {
        let id = format!("u{id}");
        let level = if city { Level::City } else { Level::Street };
        let (parent, place) = (parent.map(|parent| format!("u{parent}")), place.map(|place| format!("p{place}")));
        Element::Unit(Unit { name: name(&id), id, level, parent, place, contacts: Vec::new(), valid: Valid::default() })
    });
    let category = (0..2_u8, 1..5_u8).prop_map(|(id, urgency)| {
        let id = format!("c{id}");
        let words = vec![format!("word{urgency}")];
        Element::Category(Category { name: name(&id), id, major: "m".to_owned(), urgency, deadline: graph::Deadline::Hours(5), words })
    });
    let duty = (0..2_u8, 0..4_u8, proptest::option::of(0..3_u8), any::<bool>(), any::<bool>()).prop_map(|(category, unit, place, night, summer)| {
        Element::Duty(Duty {
            unit: format!("u{unit}"),
            category: format!("c{category}"),
            place: place.map(|place| format!("p{place}")),
            hours: night.then_some((22, 6)),
            months: summer.then_some((5, 9)),
            valid: Valid::default(),
        })
    });
    prop_oneof![1 => place, 2 => unit, 1 => category, 4 => duty]
}

fn change() -> impl Strategy<Value = Change> {
    let put = element().prop_map(|element| Change::Put(Box::new(Entry { pack: None, element })));
    let remove = element().prop_map(|element| Change::Remove(element.key()));
    prop_oneof![3 => put, 1 => remove]
}

/// Who owes it, by reading all entries one by one.
fn plainly(graph: &Graph, category: &str, place: Option<&str>, when: When) -> Option<String> {
    let mut outward = Vec::new();
    let mut at = place.filter(|place| graph.place(place).is_some()).map(str::to_owned);
    while let Some(place) = at {
        at = graph.place(&place).and_then(|place| place.parent.clone());
        outward.push(Some(place));
    }
    outward.push(None);
    let (night, summer) = (when.hour >= 22 || when.hour < 6, (5..=9).contains(&chrono::Datelike::month(&when.day)));
    let mut owing = Vec::new();
    for entry in graph.entries() {
        let Element::Duty(duty) = &entry.element else { continue };
        let Some(distance) = outward.iter().position(|place| *place == duty.place) else { continue };
        if duty.category == category && (duty.hours.is_none() || night) && (duty.months.is_none() || summer) {
            let level = graph.unit(&duty.unit).unwrap().level;
            owing.push((distance, duty.hours.is_none(), duty.months.is_none(), std::cmp::Reverse(level), duty.unit.clone()));
        }
    }
    owing.into_iter().min().map(|(.., unit)| unit)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_graph_is_what_it_holds_and_every_change_can_be_taken_back(changes in prop::collection::vec(change(), 1..60)) {
        let mut graph = Graph::new();
        let mut kept = Vec::new();
        let mut undo = Vec::new();
        for change in changes {
            let before = graph.clone();
            match graph.apply(change.clone()) {
                Ok(back) => {
                    let mut taken_back = graph.clone();
                    taken_back.apply(back.clone()).unwrap();
                    prop_assert_eq!(&taken_back, &before);
                    prop_assert_eq!(taken_back.version(), before.version());
                    undo.push(back);
                    kept.push(change);
                }
                Err(_) => prop_assert_eq!(&graph, &before, "what was refused has changed nothing"),
            }
        }
        let mut folded = Graph::new();
        folded.apply_all(kept).unwrap();
        let rebuilt = Graph::of(graph.entries().cloned()).unwrap();
        for other in [&folded, &rebuilt] {
            prop_assert_eq!(&graph, other);
            prop_assert_eq!(graph.version(), other.version());
            for view in graph::VIEWS {
                prop_assert_eq!(graph.view(view), other.view(view));
            }
        }
        for (category, place, hour, month) in [("c0", None, 12, 7), ("c0", Some("p1"), 23, 7), ("c1", Some("p2"), 3, 1), ("c1", Some("p0"), 12, 6)] {
            let when = When { day: NaiveDate::from_ymd_opt(2026, month, 5).unwrap(), hour };
            let here = place.map_or_else(Here::default, Here::at);
            let owed = graph.who_owes(category, here, when);
            prop_assert_eq!(&owed, &rebuilt.who_owes(category, here, when));
            prop_assert_eq!(owed.unit, plainly(&graph, category, place, when).unwrap_or_default());
        }
        prop_assert_eq!(graph.sort_text("word2 word3"), rebuilt.sort_text("word2 word3"));
        for back in undo.into_iter().rev() {
            graph.apply(back).unwrap();
        }
        prop_assert_eq!(graph, Graph::new());
    }

    #[test]
    fn the_difference_of_two_graphs_leads_from_one_to_the_other(first in prop::collection::vec(change(), 0..40), second in prop::collection::vec(change(), 0..40)) {
        let of = |changes: Vec<Change>| {
            let mut graph = Graph::new();
            for change in changes {
                let _ = graph.apply(change);
            }
            graph
        };
        let (mut first, second) = (of(first), of(second));
        let difference = first.diff(&second);
        // Two superiors that change places, say, cannot do it one after the other: all or nothing is right for those.
        if first.apply_all(difference).is_ok() {
            prop_assert_eq!(&first, &second);
            prop_assert!(first.diff(&second).is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn packs_come_and_go_in_any_order(order in Just((0..9).collect::<Vec<usize>>()).prop_shuffle(), gone in prop::collection::vec(0..9_usize, 0..9)) {
        let packs = Pack::builtin();
        let mut graph = graph::Files::read(&graph::CITY_FILES).unwrap().graph().unwrap();
        let bare = graph.clone();
        for index in order {
            let before = graph.clone();
            packs[index].install(&mut graph).unwrap();
            let with = graph.clone();
            graph.remove_pack(&packs[index].id).unwrap();
            prop_assert_eq!(&graph, &before);
            packs[index].install(&mut graph).unwrap();
            prop_assert_eq!(&graph, &with);
        }
        prop_assert_eq!(&graph, &Graph::builtin());
        for index in gone {
            let _ = graph.remove_pack(&packs[index].id);
        }
        let left: Vec<String> = graph.packs().keys().map(|id| (*id).to_owned()).collect();
        for id in left {
            graph.remove_pack(&id).unwrap();
        }
        prop_assert_eq!(graph.version(), bare.version());
        prop_assert_eq!(graph, bare);
    }
}

#[test]
fn what_others_speak_of_stays() {
    let mut graph = Graph::builtin();
    let before = graph.clone();
    let error = graph.apply(Change::Remove(Key::new(Kind::Unit, "drainage"))).unwrap_err().to_string();
    assert!(error.contains("unit/drainage:") && error.contains("speak of it, such as unit/bay-drainage"), "{error}");
    let plan = Key::new(Kind::Plan, "plan-bridge");
    let error = graph.apply_all([Change::Remove(Key::new(Kind::Asset, "first-bridge")), Change::Remove(plan)]).unwrap_err().to_string();
    assert!(error.contains("scenario/bridge"), "{error}");
    assert_eq!(graph, before, "all or nothing");
    let error = Pack::builtin()[0].install(&mut graph).unwrap_err().to_string();
    assert_eq!(error, "pack `bridge` is installed; remove it first");
    let circle = Change::Put(Box::new(Entry {
        pack: None,
        element: Element::Unit(Unit { parent: Some("drainage".to_owned()), ..graph.unit("command").unwrap().clone() }),
    }));
    let error = graph.apply(circle).unwrap_err().to_string();
    assert!(error.contains("go in a circle"), "{error}");
}
