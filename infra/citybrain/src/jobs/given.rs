//! What a job looks up elsewhere than in a file beside it: rows of a Delta table, or of a view of the graph.
//!
//! They are read when the job's file is, and become part of what the job is, as a file beside it would: two runs over the
//! same rows are the same job. Rows are in the order of their columns, so that a table that was only compacted is the same.
//! The graph is that of the running brain, as it is now; without one that of the city's files.

use std::path::Path;

use anyhow::{Context, Result, bail};
use arrow::array::RecordBatch;
use arrow::csv::{QuoteStyle, WriterBuilder};
use lakehouse::{Lake, TableName};
use pipelines::{BuiltinJob, Job, LookupFrom, LookupRequest};

use crate::city_graph::CityGraph;

/// Where a job looks things up, beside files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LooksUp {
    /// In tables.
    pub tables: bool,
    /// In the graph.
    pub graph: bool,
}

/// Where a job with this text looks things up. What is wrong with the text is told by who reads it.
pub fn looks_up(sql: &str) -> LooksUp {
    let requests = Job::lookup_requests("job", sql).unwrap_or_default();
    let any = |from: LookupFrom| requests.iter().any(|request| request.from == from);
    LooksUp { tables: any(LookupFrom::Delta), graph: any(LookupFrom::Graph) }
}

/// The rows that the job of this name and text asks for, as (path as written, CSV); `root` is the home's folder.
///
/// # Errors
/// When a table or a view is not there, or lacks a column.
pub fn rows(name: &str, sql: &str, root: &Path, graph: &CityGraph) -> Result<Vec<(String, String)>> {
    let requests = Job::lookup_requests(name, sql).unwrap_or_default();
    let read = |request: LookupRequest| {
        let text = match request.from {
            LookupFrom::Delta => of_table(&request, root),
            LookupFrom::Graph => graph.table(&request.path),
            LookupFrom::File => bail!("it is a file"),
        };
        Ok((request.path.clone(), text.with_context(|| format!("{name}.sql: cannot look up {}", request.path))?))
    };
    requests.into_iter().map(read).collect()
}

/// A job that ships, with what it looks up.
///
/// # Errors
/// As [`rows`].
pub fn builtin(builtin: &BuiltinJob, root: &Path, graph: &CityGraph) -> Result<Job> {
    Ok(builtin.parse_with(&rows(builtin.name, builtin.sql, root, graph)?)?)
}

fn of_table(request: &LookupRequest, root: &Path) -> Result<String> {
    let (request, lake) = (request.clone(), root.join("lake"));
    // Files of jobs are read in and out of async code; the lake is read by a thread of its own in both.
    let read = move || -> Result<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (lake, table) = match request.path.contains('/') {
                true => super::io::outside(&request.path).await?,
                false => {
                    let (schema, name) = request.path.split_once('.').context("a table is written as schema.table, or as a folder")?;
                    (Lake::open(&lake).await?, TableName::new(schema, name))
                }
            };
            if !lake.is_queryable(&table) {
                bail!("there is no such table yet: it is made when its first rows come; a CSV beside the job works without it");
            }
            csv(&lake.ordered(&table, &request.columns).await?)
        })
    };
    std::thread::spawn(read).join().map_err(|_| anyhow::anyhow!("reading it panicked"))?
}

fn csv(rows: &[RecordBatch]) -> Result<String> {
    // A line of a lookup that begins with # is a comment, so everything is quoted.
    let mut writer = WriterBuilder::new().with_header(true).with_quote_style(QuoteStyle::Always).build(Vec::new());
    rows.iter().try_for_each(|rows| writer.write(rows))?;
    Ok(String::from_utf8(writer.into_inner())?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;
    use crate::home::Home;

    const JOB: &str = "CREATE TABLE calls (category TEXT, district TEXT, ts TIMESTAMP METADATA FROM 'ce_time', WATERMARK FOR ts AS ts)
        WITH (connector = 'kafka', topic = 'raw.hotline', 'event.type' = 'a.b');
        CREATE TABLE people (district TEXT, people BIGINT) WITH (connector = 'delta', type = 'lookup', path = 'silver.people');
        CREATE TABLE categories (category TEXT, name_zh TEXT, urgency INT) WITH (connector = 'graph', type = 'lookup', path = 'categories');
        CREATE TABLE out WITH (connector = 'delta', path = 'gold.out');
        INSERT INTO out SELECT c.district, p.people, g.name_zh FROM calls c JOIN people p ON c.district = p.district
        JOIN categories g ON c.category = g.category WHERE g.urgency <= 2";

    #[tokio::test]
    async fn rows_of_a_table_and_of_the_graph() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let path = dir.path().join("urgent.sql");
        std::fs::write(&path, JOB).unwrap();
        let message = format!("{:#}", crate::jobs::load(&path, home.root()).unwrap_err());
        assert!(message.contains("urgent.sql: cannot look up silver.people: there is no such table yet"), "{message}");

        let lake = Lake::open(&home.dir("lake")).await.unwrap();
        let rows = |districts: [&str; 2]| {
            let people: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None]));
            RecordBatch::try_from_iter_with_nullable([("people", people, true), ("district", Arc::new(StringArray::from(districts.to_vec())) as ArrayRef, true)]).unwrap()
        };
        let table = TableName::new("silver", "people");
        lake.append(&table, vec![rows(["d02", "#1"])], &[]).await.unwrap();
        let job = crate::jobs::load(&path, home.root()).unwrap();
        let text = |job: &Job, path: &str| job.lookup_files().iter().find(|(name, _)| name == path).unwrap().1.clone();
        assert_eq!(text(&job, "silver.people"), "\"district\",\"people\"\n\"#1\",\"\"\n\"d02\",\"7\"\n");
        assert!(text(&job, "categories").lines().count() > 5);
        assert!(job.explain().contains("silver.people, 2 rows"), "{}", job.explain());

        let again = crate::jobs::load(&path, home.root()).unwrap();
        assert_eq!(again.digest(), job.digest());
        lake.append(&table, vec![rows(["d03", "d04"])], &[]).await.unwrap();
        assert_ne!(crate::jobs::load(&path, home.root()).unwrap().digest(), job.digest(), "another table makes another job");

        std::fs::write(&path, JOB.replace("path = 'categories'", "path = 'roads'")).unwrap();
        let message = format!("{:#}", crate::jobs::load(&path, home.root()).unwrap_err());
        assert!(message.contains("its views are assets, categories, chains"), "{message}");
        assert_eq!(looks_up(JOB), LooksUp { tables: true, graph: true });
    }
}
