//! 300 questions about duties and 100 about chains, with answers that a plain reading of the files gives: loops over the
//! YAML, without any graph. `tests/questions/*.csv` hold them; who changes the shipped files answers them anew.

use chrono::NaiveDate;
use graph::{Graph, Here, When};

#[test]
fn who_owes_what() {
    let graph = Graph::builtin();
    let mut asked = 0;
    for row in include_str!("questions/duty.csv").lines().skip(1) {
        let [category, place, month, hour, unit, alternatives, superiors] = row.split(',').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let day = NaiveDate::from_ymd_opt(2026, month.parse().unwrap(), 15).unwrap();
        let here = if place.is_empty() { Here::default() } else { Here::at(place) };
        let owed = graph.who_owes(category, here, When { day, hour: hour.parse().unwrap() });
        assert_eq!((owed.unit.as_str(), owed.alternatives.join(" ").as_str(), owed.superiors.join(" ").as_str()), (unit, alternatives, superiors), "{row}");
        asked += 1;
    }
    assert_eq!(asked, 300);
}

#[test]
fn what_follows_and_what_explains() {
    let graph = Graph::builtin();
    let mut asked = 0;
    for row in include_str!("questions/chain.csv").lines().skip(1) {
        let [question, event, rank, path, permille, lag] = row.split(',').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let rank: usize = rank.parse().unwrap();
        let chains = match question {
            "follows" => graph.what_follows(event, Here::default(), None, rank),
            _ => graph.what_explains(event, None, rank),
        };
        let told = chains.get(rank - 1).map(|chain| {
            let [earliest, likeliest, latest] = chain.lag_minutes;
            (chain.path().replace(" → ", " > "), chain.permille.to_string(), format!("{earliest}-{likeliest}-{latest}"))
        });
        let expected = (!path.is_empty()).then(|| (path.to_owned(), permille.to_owned(), lag.to_owned()));
        assert_eq!(told, expected, "{row}");
        asked += 1;
    }
    assert_eq!(asked, 100);
}
