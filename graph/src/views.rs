//! The graph as tables, for whoever joins streams with it.

use petgraph::visit::{EdgeRef, IntoEdgeReferences};

use crate::{Deadline, Edge, Graph, Level, Node};

/// Names of the tables that [`Graph::view`] gives.
pub const VIEWS: [&str; 4] = ["categories", "chains", "duties", "units"];

/// A table of the graph: its columns, and its rows in an order that follows from what they say. No value means none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The columns.
    pub columns: Vec<&'static str>,
    /// The rows, with a value for each column.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Graph {
    /// One of the [`VIEWS`].
    ///
    /// | view | a row is |
    /// |---|---|
    /// | `units` | a unit, its names, its level (`city`, `district`, `street`) and its superior |
    /// | `categories` | a category of matters: names, 大类, scenario, urgency (1 to 4), time until it is owed in `hours`, `work_hours` or `work_days` |
    /// | `duties` | that a unit owes a category: everywhere or in a district, always or from one hour of the day to another |
    /// | `chains` | that one event can lead to another: how likely (thousandths), and after how many minutes |
    pub fn view(&self, name: &str) -> Option<View> {
        let (columns, mut rows) = match name {
            "units" => (vec!["unit", "name_zh", "name_en", "level", "superior"], self.unit_rows()),
            "categories" => (vec!["category", "name_zh", "name_en", "major", "scenario", "urgency", "deadline", "deadline_unit"], self.category_rows()),
            "duties" => (vec!["category", "unit", "district", "from_hour", "to_hour"], self.duty_rows()),
            "chains" => (vec!["event", "leads_to", "permille", "lag_minutes_min", "lag_minutes_max"], self.chain_rows()),
            _ => return None,
        };
        rows.sort();
        Some(View { columns, rows })
    }

    fn unit_rows(&self) -> Vec<Vec<Option<String>>> {
        let row = |unit: &crate::Unit| {
            let level = match unit.level {
                Level::City => "city",
                Level::District => "district",
                Level::Street => "street",
            };
            let (zh, en) = (unit.name.zh.clone(), unit.name.en.clone());
            vec![Some(unit.id.clone()), Some(zh), Some(en), Some(level.to_owned()), self.superiors(&unit.id).first().cloned()]
        };
        self.units().map(row).collect()
    }

    fn category_rows(&self) -> Vec<Vec<Option<String>>> {
        let row = |category: &crate::Category| {
            let (zh, en) = (category.name.zh.clone(), category.name.en.clone());
            let (deadline, unit) = match category.deadline {
                Deadline::Hours(n) => (n, "hours"),
                Deadline::WorkHours(n) => (n, "work_hours"),
                Deadline::WorkDays(n) => (n, "work_days"),
            };
            let numbers = [category.urgency.to_string(), deadline.to_string(), unit.to_owned()];
            let texts = [category.id.clone(), zh, en, category.major.clone()];
            texts.into_iter().map(Some).chain([category.scenario.clone()]).chain(numbers.into_iter().map(Some)).collect()
        };
        self.categories().map(row).collect()
    }

    fn duty_rows(&self) -> Vec<Vec<Option<String>>> {
        let rows = (&self.graph).edge_references().filter_map(|edge| match (edge.weight(), &self.graph[edge.source()], &self.graph[edge.target()]) {
            (Edge::OwedBy { district, hours }, Node::Category(category), Node::Unit(unit)) => {
                let hour = |of: fn((u8, u8)) -> u8| hours.map(|hours| of(hours).to_string());
                Some(vec![Some(category.id.clone()), Some(unit.id.clone()), district.clone(), hour(|hours| hours.0), hour(|hours| hours.1)])
            }
            _ => None,
        });
        rows.collect()
    }

    fn chain_rows(&self) -> Vec<Vec<Option<String>>> {
        let rows = (&self.graph).edge_references().filter_map(|edge| match (edge.weight(), &self.graph[edge.source()], &self.graph[edge.target()]) {
            (Edge::LeadsTo { permille, lag_minutes }, Node::Event(cause), Node::Event(effect)) => {
                let numbers = [*permille, lag_minutes.0, lag_minutes.1].map(|number| Some(number.to_string()));
                Some([cause.id.clone(), effect.id.clone()].into_iter().map(Some).chain(numbers).collect())
            }
            _ => None,
        });
        rows.collect()
    }
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
            let owed = graph.who_owes(&category.id, None, 12).unit;
            let stands = duties.iter().any(|row| row[0].as_ref() == Some(&category.id) && row[1].as_ref() == Some(&owed));
            let somebody = duties.iter().any(|row| row[0].as_ref() == Some(&category.id) && row[2].is_none());
            assert!(stands || !somebody, "{} is owed by {owed}", category.id);
        }
        assert_eq!(graph.view("roads"), None);
    }
}
