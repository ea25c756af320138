//! What a column of a plan is, as far as time is concerned: a window, one of its ends, or the event time itself.

use datafusion::common::{Column, JoinType, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::sql::flow::{Feed, From, Window};
use crate::sql::tables::Tables;

/// What a column stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A window of a feed, whole or one of its ends.
    Window(Window, Part),
    /// The event time of a source.
    Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Start,
    End,
}

/// Follows expressions down to the feeds.
pub(crate) struct Origins<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) feeds: &'a [Feed],
}

impl Origins<'_> {
    /// The origin of an expression over the columns of a plan.
    pub(crate) fn of(&self, plan: &LogicalPlan, expr: &Expr) -> Option<Origin> {
        match expr {
            Expr::Alias(alias) => self.of(plan, &alias.expr),
            Expr::Column(column) => self.of_column(plan, column),
            Expr::ScalarFunction(call) if call.func.name() == "get_field" => {
                let Some(Origin::Window(window, Part::Whole)) = self.of(plan, call.args.first()?) else { return None };
                let Expr::Literal(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)), _) = call.args.get(1)? else { return None };
                match name.as_str() {
                    "start" => Some(Origin::Window(window, Part::Start)),
                    "end" => Some(Origin::Window(window, Part::End)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn of_column(&self, plan: &LogicalPlan, column: &Column) -> Option<Origin> {
        let index = plan.schema().index_of_column(column).ok()?;
        self.of_index(plan, index)
    }

    fn of_index(&self, plan: &LogicalPlan, index: usize) -> Option<Origin> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let feed = self.feeds.iter().find(|feed| feed.name == scan.table_name.table())?;
                match feed.from {
                    From::Step(_) => {
                        let window = feed.window?;
                        (feed.window_at == Some(index)).then_some(Origin::Window(window, Part::Whole))
                    }
                    From::Source(source) => {
                        let watermark = self.tables.sources[source].watermark.as_ref()?;
                        (*feed.schema.field(index).name() == watermark.column).then_some(Origin::Time)
                    }
                }
            }
            LogicalPlan::Projection(projection) => self.of(&projection.input, projection.expr.get(index)?),
            LogicalPlan::SubqueryAlias(alias) => self.of_index(&alias.input, index),
            LogicalPlan::Filter(filter) => self.of_index(&filter.input, index),
            LogicalPlan::Window(window) => {
                (index < window.input.schema().fields().len()).then(|| self.of_index(&window.input, index)).flatten()
            }
            LogicalPlan::Aggregate(aggregate) => self.of(&aggregate.input, aggregate.group_expr.get(index)?),
            LogicalPlan::Unnest(unnest) => self.of_index(&unnest.input, *unnest.dependency_indices.get(index)?),
            LogicalPlan::Join(join) => {
                let left = join.left.schema().fields().len();
                let wide = join.schema.fields().len() == left + join.right.schema().fields().len();
                // A side that an outer join fills up with nulls has no windows.
                let (of_left, of_right) = match join.join_type {
                    JoinType::Inner => (true, wide),
                    JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => (true, false),
                    JoinType::Right => (false, wide),
                    _ => (false, false),
                };
                match index < left {
                    true => of_left.then(|| self.of_index(&join.left, index)).flatten(),
                    false => of_right.then(|| self.of_index(&join.right, index - left)).flatten(),
                }
            }
            LogicalPlan::Union(union) => {
                let mut origins = union.inputs.iter().map(|input| self.of_index(input, index));
                let first = origins.next()??;
                origins.all(|other| other == Some(first)).then_some(first)
            }
            _ => None,
        }
    }
}
