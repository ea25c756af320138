//! What analysts see: the lake without originals, and with personal data masked.
//!
//! Tables that keep what came as it came are not there at all. In the others a column that an event type marks as
//! personal shows only whether it has a value, under whatever name of that kind it went on to another table; what people
//! and jobs write freely goes once more through the mask of the doors. A query cannot get behind it: it is laid over each
//! table where the query finds it, before any of its own expressions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::prelude::{Expr, SessionContext, ident, lit, when};
use schemas::{ColumnKind, Registry, pii};

use crate::store::TableName;

/// What stands for a value that may not be seen.
const MASKED: &str = "[masked]";

/// Schemas that analysts see.
const SCHEMAS: [&str; 3] = ["silver", "gold", "ops"];

/// Tables in them that keep what came as it came, or who asked for what.
const HIDDEN: [(&str, &str); 6] = [("gold", "label"), ("silver", "dlq"), ("ops", "dlq"), ("ops", "late_event"), ("silver", "audit"), ("silver", "journal_record")];

/// Columns that lead to a person although their event type does not mark them: tokens of callers, households, documents
/// that hold what other columns hold.
const ALSO_PERSONAL: [&str; 7] = ["caller", "household", "body", "element", "contact", "phone", "original"];

/// Marked columns whose name means something harmless in other tables.
const ONLY_WHERE_MARKED: [&str; 3] = ["reason", "name", "words"];

/// Columns of `silver` that people or rules write freely.
const FREE: [&str; 3] = ["reason", "headline", "warning"];

/// What may not be seen.
#[derive(Debug, Clone, Default)]
pub struct Mask {
    everywhere: BTreeSet<String>,
    marked: BTreeMap<String, BTreeSet<String>>,
}

/// How a column is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Plain,
    Screened,
    Hidden,
}

impl Mask {
    /// What the event types mark as personal.
    pub fn of(registry: &Registry) -> Mask {
        let mut mask = Mask { everywhere: ALSO_PERSONAL.map(str::to_owned).into(), ..Mask::default() };
        for def in registry.types() {
            for column in def.columns.iter().filter(|column| column.pii) {
                if !ONLY_WHERE_MARKED.contains(&column.name.as_str()) {
                    mask.everywhere.insert(column.name.clone());
                }
                mask.marked.entry(def.table.clone()).or_default().insert(column.name.clone());
            }
            // What is free in its form can hold anything of a message.
            if def.topic.starts_with("raw.") {
                let json = def.columns.iter().filter(|column| column.kind == ColumnKind::Json).map(|column| column.name.clone());
                mask.marked.entry(def.table.clone()).or_default().extend(json);
            }
        }
        mask
    }

    /// Whether a schema is there.
    pub(super) fn shows_schema(&self, schema: &str) -> bool {
        SCHEMAS.contains(&schema)
    }

    /// Whether a table is there.
    pub(super) fn shows(&self, schema: &str, table: &str) -> bool {
        self.shows_schema(schema) && !HIDDEN.contains(&(schema, table))
    }

    fn shown(&self, table: &TableName, column: &str, kind: &DataType) -> Shown {
        let column = column.to_ascii_lowercase();
        let is_text = matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let is_marked = table.schema == "silver" && self.marked.get(&table.name).is_some_and(|columns| columns.contains(&column));
        match is_text {
            _ if is_marked || self.everywhere.contains(&column) => Shown::Hidden,
            true if table.schema != "silver" || FREE.contains(&column.as_str()) => Shown::Screened,
            // Lists and structures could hold texts.
            false if kind.is_nested() => Shown::Hidden,
            true | false => Shown::Plain,
        }
    }

    /// Lays the mask over a table.
    pub(super) fn over(&self, table: &TableName, provider: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let schema = provider.schema();
        let shown = |(name, kind): (&String, &DataType)| -> Result<Expr, DataFusionError> {
            Ok(match self.shown(table, name, kind) {
                Shown::Plain => ident(name),
                Shown::Screened => screen().call(vec![ident(name)]).alias(name),
                Shown::Hidden if matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
                    when(ident(name).is_null(), lit(ScalarValue::Utf8(None))).otherwise(lit(MASKED))?.alias(name)
                }
                Shown::Hidden => lit(ScalarValue::try_from(kind)?).alias(name),
            })
        };
        let columns: Vec<Expr> = schema.fields().iter().map(|field| shown((field.name(), field.data_type()))).collect::<Result<_, _>>()?;
        Ok(SessionContext::new().read_table(provider)?.select(columns)?.into_view())
    }
}

/// The mask of the doors, as a function.
fn screen() -> ScalarUDF {
    let call = |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let texts = arrays[0].as_any().downcast_ref::<StringArray>().ok_or_else(|| DataFusionError::Execution("screened wants text".to_owned()))?;
        let masked: StringArray = texts.iter().map(|text| text.map(|text| pii::mask(text).0)).collect();
        Ok(ColumnarValue::Array(Arc::new(masked)))
    };
    create_udf("screened", vec![DataType::Utf8], DataType::Utf8, Volatility::Immutable, Arc::new(call))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_event_types_mark_is_hidden_wherever_it_went() {
        let mask = Mask::of(&Registry::builtin());
        let shown = |schema: &str, table: &str, column: &str| mask.shown(&TableName::new(schema, table), column, &DataType::Utf8);
        assert_eq!(shown("silver", "hotline_message", "text"), Shown::Hidden);
        assert_eq!(shown("gold", "hot_spots", "TEXT"), Shown::Hidden);
        assert_eq!(shown("silver", "hotline_message", "caller"), Shown::Hidden);
        assert_eq!(shown("silver", "device_change", "reason"), Shown::Hidden);
        assert_eq!(shown("silver", "case_transition", "reason"), Shown::Screened);
        assert_eq!(shown("gold", "anything", "words"), Shown::Screened);
        assert_eq!(shown("silver", "hot_issue_member", "words"), Shown::Hidden);
        assert_eq!(shown("silver", "case_transition", "district"), Shown::Plain);
        assert_eq!(mask.shown(&TableName::new("gold", "x"), "n", &DataType::Int64), Shown::Plain);
        for (schema, table) in [("bronze", "raw_hotline"), ("silver", "dlq"), ("ops", "late_event"), ("silver", "audit"), ("mine", "t")] {
            assert!(!mask.shows(schema, table), "{schema}.{table}");
        }
        assert!(mask.shows("silver", "case") && mask.shows("gold", "district_1m"));
    }
}
