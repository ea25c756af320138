//! What analysts see: no table of originals, and nothing personal in the others, whatever they ask.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;
use lakehouse::{Lake, Mask, TableName};
use schemas::Registry;

const NUMBER: &str = "13912345678";

async fn lake(dir: &std::path::Path) -> Lake {
    let lake = Lake::open(dir).await.unwrap();
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![Some(value), None])) };
    let rows = |columns: Vec<(&str, ArrayRef)>| {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().chain([("n", numbers)]).map(|(name, column)| (name, column, true))).unwrap()
    };
    let said = format!("我是张三丰，电话 {NUMBER}");
    for (schema, table, columns) in [
        ("bronze", "raw_hotline", vec![("data", text(&said))]),
        ("silver", "hotline_message", vec![("text", text(&said)), ("caller", text(NUMBER)), ("district", text("d01"))]),
        ("silver", "case_transition", vec![("id", text("1")), ("case", text("c-1")), ("offset", text("0")), ("address", text(&said)), ("reason", text(&format!("call {NUMBER}")))]),
        ("silver", "dlq", vec![("original", text(&said))]),
        ("gold", "hot_spots", vec![("text", text(&said)), ("words", text(&format!("积水 {NUMBER}")))]),
        ("mine", "notes", vec![("note", text(&said))]),
    ] {
        lake.append(&TableName::new(schema, table), vec![rows(columns)], &[]).await.unwrap();
    }
    lake
}

async fn ask(lake: &Lake, query: &str) -> Result<String, String> {
    let mask = Arc::new(Mask::of(&Registry::builtin()));
    let stream = lake.sql_masked(query, None, mask).await.map_err(|error| error.to_string())?;
    let batches: Vec<RecordBatch> = stream.try_collect().await.map_err(|error| error.to_string())?;
    Ok(pretty_format_batches(&batches).unwrap().to_string())
}

#[tokio::test]
async fn what_is_personal_is_masked_and_the_rest_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let lake = lake(dir.path()).await;
    let shown = ask(&lake, "SELECT district, text, caller, n FROM silver.hotline_message ORDER BY n").await.unwrap();
    assert!(shown.contains("| d01      | [masked] | [masked] | 1 |") && shown.contains("|          |          |          | 2 |"), "{shown}");
    let case = ask(&lake, "SELECT \"case\", address, reason FROM silver.case WHERE \"case\" IS NOT NULL").await.unwrap();
    assert!(case.contains("c-1") && case.contains("[masked]") && case.contains("call") && !case.contains(NUMBER), "{case}");
    let gold = ask(&lake, "SELECT words FROM gold.hot_spots WHERE words LIKE '积水%'").await.unwrap();
    assert!(gold.contains("积水") && !gold.contains(NUMBER), "{gold}");
    let tables = ask(&lake, "SELECT table_schema, table_name FROM information_schema.tables").await.unwrap();
    assert!(tables.contains("hotline_message") && !tables.contains("raw_hotline") && !tables.contains("dlq") && !tables.contains("notes"), "{tables}");
}

#[tokio::test]
async fn no_expression_sees_behind_the_mask() {
    let dir = tempfile::tempdir().unwrap();
    let lake = lake(dir.path()).await;
    let elsewhere = format!("SELECT * FROM '{}'", dir.path().join("bronze/raw_hotline").display());
    assert!(ask(&lake, &elsewhere).await.is_err() && lake.query(&elsewhere, None).await.is_err(), "a path is no name, for nobody");
    for query in ["SELECT * FROM silver.\"../bronze/raw_hotline\"", "SELECT data FROM bronze.raw_hotline", "SELECT * FROM silver.dlq", "SELECT * FROM ops.dlq", "SELECT * FROM mine.notes", "SELECT * FROM city.bronze.raw_hotline"] {
        assert!(ask(&lake, query).await.is_err(), "{query}");
    }
    for query in [
        "SELECT * FROM silver.hotline_message",
        "SELECT concat(text, caller), reverse(text), substr(text, 1, 300) FROM hotline_message",
        "SELECT max(text), array_agg(caller), string_agg(text, ',') FROM hotline_message",
        "WITH x AS (SELECT text AS t FROM hotline_message) SELECT t FROM x UNION ALL SELECT caller FROM hotline_message",
        "SELECT CAST(caller AS BIGINT) FROM hotline_message WHERE caller IS NOT NULL",
        "SELECT a.text FROM hotline_message a JOIN gold.hot_spots b ON a.text = b.text",
        "EXPLAIN ANALYZE SELECT * FROM hotline_message WHERE text LIKE '%丰%'",
        "SELECT * FROM gold.hot_spots",
        "SELECT * FROM silver.case",
    ] {
        let answer = ask(&lake, query).await.unwrap_or_else(|error| error);
        assert!(!answer.contains(NUMBER) && !answer.contains("张三丰") && !answer.contains("87654321931"), "{query}: {answer}");
    }
    let found = ask(&lake, &format!("SELECT count(*) AS found FROM hotline_message WHERE caller = '{NUMBER}' OR text LIKE '%{NUMBER}%'")).await.unwrap();
    assert!(found.contains("| 0     |"), "{found}");
}
