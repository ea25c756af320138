//! The graph as tables, for whoever joins streams with it.

use serde::{Deserialize, Serialize};

use crate::element::{Element, Kind, Side};
use crate::{Deadline, Duty, Graph, Threshold};

/// Names of the tables that [`Graph::view`] gives.
pub const VIEWS: [&str; 7] = ["assets", "categories", "chains", "duties", "places", "thresholds", "units"];

/// A table of the graph: its columns, and its rows in an order that follows from what they say. No value means none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The columns.
    pub columns: Vec<String>,
    /// The rows, with a value for each column.
    pub rows: Vec<Vec<Option<String>>>,
}

type Row = Vec<Option<String>>;

impl View {
    /// As CSV with a header line. Everything is quoted, so that no line looks like a comment; no value is an empty one.
    pub fn to_csv(&self) -> String {
        let line = |values: &mut dyn Iterator<Item = &str>| {
            let quoted: Vec<String> = values.map(|value| format!("\"{}\"", value.replace('"', "\"\""))).collect();
            quoted.join(",") + "\n"
        };
        let mut text = line(&mut self.columns.iter().map(String::as_str));
        self.rows.iter().for_each(|row| text.push_str(&line(&mut row.iter().map(|value| value.as_deref().unwrap_or_default()))));
        text
    }
}

impl Graph {
    /// One of the [`VIEWS`].
    ///
    /// | view | a row is |
    /// |---|---|
    /// | `units` | a unit, its names, its level (`city`, `district`, `street`) and its superior |
    /// | `categories` | a category of matters: names, 大类, scenario, urgency (1 to 4), time until it is owed in `hours`, `work_hours` or `work_days` |
    /// | `duties` | that a unit owes a category: where (a place, or everywhere), from which hour of the day and month to which |
    /// | `chains` | that one event can lead to another: how likely (thousandths), after how many minutes, and how far away |
    /// | `places` | a place, what it is, its names, the place that it lies in, and its middle |
    /// | `assets` | an asset, what it is, its names, the place that it stands in, and where |
    /// | `thresholds` | from which values on a measured property is a signal: `red` (Ⅰ) to `blue` (Ⅳ), and `clear` |
    pub fn view(&self, name: &str) -> Option<View> {
        let (columns, kind, row): (Vec<&'static str>, Kind, fn(&Graph, &Element) -> Option<Row>) = match name {
            "units" => (vec!["unit", "name_zh", "name_en", "level", "superior"], Kind::Unit, unit),
            "categories" => (vec!["category", "name_zh", "name_en", "major", "scenario", "urgency", "deadline", "deadline_unit"], Kind::Category, category),
            "duties" => (vec!["category", "unit", "district", "from_hour", "to_hour", "from_month", "to_month"], Kind::Duty, duty),
            "chains" => (vec!["event", "leads_to", "permille", "lag_minutes_min", "lag_minutes_max", "reach"], Kind::Leads, chain),
            "places" => (vec!["place", "kind", "name_zh", "name_en", "lies_in", "lat", "lon"], Kind::Place, place),
            "assets" => (vec!["asset", "kind", "name_zh", "name_en", "stands_in", "lat", "lon"], Kind::Asset, asset),
            "thresholds" => {
                (vec!["rule", "scenario", "property", "unit", "side", "red", "orange", "yellow", "blue", "clear"], Kind::Threshold, threshold)
            }
            _ => return None,
        };
        let mut rows: Vec<Row> = self.of_kind(kind).filter_map(|element| row(self, element)).collect();
        rows.sort();
        Some(View { columns: columns.into_iter().map(str::to_owned).collect(), rows })
    }
}

fn some(texts: impl IntoIterator<Item = impl ToString>) -> Row {
    texts.into_iter().map(|text| Some(text.to_string())).collect()
}

fn unit(_: &Graph, element: &Element) -> Option<Row> {
    let Element::Unit(it) = element else { return None };
    let mut row = some([&it.id, &it.name.zh, &it.name.en, it.level.name()]);
    row.push(it.parent.clone());
    Some(row)
}

fn category(graph: &Graph, element: &Element) -> Option<Row> {
    let Element::Category(it) = element else { return None };
    let mut row = some([&it.id, &it.name.zh, &it.name.en, &it.major]);
    row.push(graph.scenario_of_category(&it.id).map(str::to_owned));
    let (deadline, unit) = match it.deadline {
        Deadline::Hours(n) => (n, "hours"),
        Deadline::WorkHours(n) => (n, "work_hours"),
        Deadline::WorkDays(n) => (n, "work_days"),
    };
    row.extend(some([it.urgency.to_string(), deadline.to_string(), unit.to_owned()]));
    Some(row)
}

fn duty(_: &Graph, element: &Element) -> Option<Row> {
    let Element::Duty(Duty { unit, category, place, hours, months, valid: _ }) = element else { return None };
    let ends = |span: &Option<(u8, u8)>| [span.map(|(from, _)| from.to_string()), span.map(|(_, to)| to.to_string())];
    Some([Some(category.clone()), Some(unit.clone()), place.clone()].into_iter().chain(ends(hours)).chain(ends(months)).collect())
}

fn chain(_: &Graph, element: &Element) -> Option<Row> {
    let Element::Leads(it) = element else { return None };
    let [earliest, _, latest] = it.lag_minutes;
    Some(some([it.cause.clone(), it.effect.clone(), it.permille.to_string(), earliest.to_string(), latest.to_string(), it.reach.to_string()]))
}

fn place(_: &Graph, element: &Element) -> Option<Row> {
    let Element::Place(it) = element else { return None };
    Some(placed(&it.id, &it.kind, it.name.as_ref(), it.parent.as_ref(), it.at))
}

fn asset(_: &Graph, element: &Element) -> Option<Row> {
    let Element::Asset(it) = element else { return None };
    Some(placed(&it.id, &it.kind, it.name.as_ref(), it.place.as_ref(), it.at))
}

fn placed(id: &str, kind: &str, name: Option<&crate::Name>, lies_in: Option<&String>, at: Option<schemas::alert::Point>) -> Row {
    let mut row = some([id, kind]);
    row.extend([name.map(|name| name.zh.clone()), name.map(|name| name.en.clone()), lies_in.cloned()]);
    row.extend([at.map(|at| at.lat.degrees().to_string()), at.map(|at| at.lon.degrees().to_string())]);
    row
}

fn threshold(_: &Graph, element: &Element) -> Option<Row> {
    let Element::Threshold(Threshold { id, scenario, property, unit, side, red, orange, yellow, blue, clear }) = element else { return None };
    let side = match side {
        Side::Above => "above",
        Side::Below => "below",
    };
    let mut row = some([id, scenario, property, unit, side]);
    row.extend([red, orange, yellow, blue, clear].map(Clone::clone));
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_say_what_the_graph_says() {
        let graph = Graph::builtin();
        for name in VIEWS {
            let view = graph.view(name).unwrap();
            assert!(!view.rows.is_empty() && view.rows.iter().all(|row| row.len() == view.columns.len()), "{name}");
        }
        assert_eq!(graph.view("units").unwrap().rows.len(), graph.units().count());
        assert_eq!(graph.view("categories").unwrap().rows.len(), graph.categories().count());
        // Whoever owes a matter at noon stands among the duties.
        let duties = graph.view("duties").unwrap().rows;
        for category in graph.categories() {
            let noon = crate::When { day: chrono::NaiveDate::from_ymd_opt(2026, 1, 5).unwrap(), hour: 12 };
            let owed = graph.who_owes(&category.id, crate::Here::default(), noon).unit;
            let stands = duties.iter().any(|row| row[0].as_ref() == Some(&category.id) && row[1].as_ref() == Some(&owed));
            let somebody = duties.iter().any(|row| row[0].as_ref() == Some(&category.id) && row[2].is_none());
            assert!(stands || !somebody, "{} is owed by {owed}", category.id);
        }
        assert_eq!(graph.view("roads"), None);
    }

    #[test]
    fn a_view_as_csv() {
        let row = vec![Some("#1".to_owned()), None, Some("a \"b\", c".to_owned())];
        let view = View { columns: ["unit", "superior", "name"].map(str::to_owned).to_vec(), rows: vec![row] };
        assert_eq!(view.to_csv(), "\"unit\",\"superior\",\"name\"\n\"#1\",\"\",\"a \"\"b\"\", c\"\n");
    }
}
