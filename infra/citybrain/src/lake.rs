//! Asking the lake from within the program: rows as JSON objects.

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use lakehouse::Lake;
use serde_json::{Map, Value};

use crate::home::Home;

/// A row by column name.
pub type Row = Map<String, Value>;

/// The lake of a home.
pub async fn open(home: &Home) -> Result<Lake> {
    Lake::open(&home.dir("lake")).await.context("could not open the lake")
}

/// All rows of a query, each a JSON object. For small results.
///
/// # Errors
/// When the query is wrong or fails.
pub async fn rows(lake: &Lake, query: &str) -> Result<Vec<Row>> {
    let batches = lake.query(query, None).await.with_context(|| format!("could not run: {query}"))?;
    json_rows(&batches)
}

/// Batches as JSON objects; nulls stay as nulls.
pub fn json_rows(batches: &[RecordBatch]) -> Result<Vec<Row>> {
    let mut writer = arrow::json::writer::WriterBuilder::new().with_explicit_nulls(true).build::<_, arrow::json::writer::JsonArray>(Vec::new());
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    let bytes = writer.into_inner();
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    Ok(serde_json::from_slice(&bytes)?)
}

/// Whether a table exists.
pub async fn has_table(lake: &Lake, schema: &str, table: &str) -> Result<bool> {
    let query = format!(
        "SELECT 1 AS one FROM information_schema.tables WHERE table_schema = {} AND table_name = {}",
        quoted(schema),
        quoted(table)
    );
    Ok(!rows(lake, &query).await?.is_empty())
}

/// The name of a topic's table, as landing gives it.
pub fn table_of(topic: &str) -> String {
    topic.replace(['.', '-'], "_")
}

/// A string as an SQL literal.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A column as text, empty when it is absent or null.
pub fn text<'a>(row: &'a Row, column: &str) -> &'a str {
    row.get(column).and_then(Value::as_str).unwrap_or_default()
}

/// A column as an integer, 0 when it is absent or null.
pub fn integer(row: &Row, column: &str) -> i64 {
    row.get(column).and_then(Value::as_i64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_literal_cannot_end_early() {
        assert_eq!(super::quoted("a' OR '1"), "'a'' OR ''1'");
    }
}
