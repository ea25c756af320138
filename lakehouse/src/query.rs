//! SQL over the lake: every table that is on disk, views on top, read-only and bounded.

mod functions;
mod mask;
mod output;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use deltalake::DeltaTableBuilder;

pub use self::mask::Mask;
pub use self::output::{Format, write_stream};
use crate::error::LakeError;
use crate::store::{Lake, TableName};

/// Memory that one query may use before it spills or is refused, bytes.
const MEMORY_BYTES: usize = 2 * 1024 * 1024 * 1024;
/// Time that [`Lake::query`] may take.
const QUERY_TIME_MAX: Duration = Duration::from_secs(600);
const CATALOG: &str = "city";

/// The lake as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// At a time.
    Time(DateTime<Utc>),
    /// Each table at this version, or at its newest when it has fewer.
    Version(u64),
}

impl FromStr for AsOf {
    type Err = LakeError;

    fn from_str(text: &str) -> Result<AsOf, LakeError> {
        if let Ok(version) = text.parse() {
            return Ok(AsOf::Version(version));
        }
        DateTime::parse_from_rfc3339(text)
            .map(|time| AsOf::Time(time.with_timezone(&Utc)))
            .map_err(|error| LakeError::Refused(format!("{text:?} is neither a version nor a time such as 2017-08-26T12:00:00Z: {error}")))
    }
}

/// A view of the lake: what it is called, the tables it needs (of `silver`, unless they say otherwise), its query.
struct View {
    schema: &'static str,
    name: &'static str,
    needs: &'static [&'static str],
    query: &'static str,
}

const VIEWS: &[View] = &[
    View {
        schema: "silver",
        name: "case",
        needs: &["case_transition"],
        query: "SELECT * EXCEPT (nth) FROM (SELECT *, row_number() OVER (PARTITION BY \"case\" ORDER BY id DESC, \"offset\") AS nth FROM silver.case_transition) WHERE nth = 1",
    },
    View {
        schema: "silver",
        name: "alert",
        needs: &["alert_transition"],
        query: "SELECT * EXCEPT (nth) FROM (SELECT *, row_number() OVER (PARTITION BY alert_key ORDER BY id DESC, \"offset\") AS nth FROM silver.alert_transition) WHERE nth = 1",
    },
    View {
        schema: "silver",
        name: "incident",
        needs: &["incident_transition"],
        query: "SELECT * EXCEPT (nth) FROM (SELECT *, row_number() OVER (PARTITION BY incident ORDER BY id DESC, \"offset\") AS nth FROM silver.incident_transition) WHERE nth = 1",
    },
    View {
        schema: "silver",
        name: "hot_issue",
        needs: &["hot_issue_change"],
        query: "SELECT * EXCEPT (nth) FROM (SELECT *, row_number() OVER (PARTITION BY issue ORDER BY \"offset\" DESC) AS nth FROM silver.hot_issue_change) WHERE nth = 1",
    },
    // What people corrected and confirmed by commands, and nothing else: a step of a case whose record in the journal is a
    // command that came through the doors. The text is that of the record that opened the case, which its name tells.
    View {
        schema: "gold",
        name: "label",
        needs: &["case_transition", "bronze.city_journal"],
        query: r#"
WITH command AS (
    SELECT "offset" AS seq, json_get_str(data, '/body/command/action') AS action
    FROM bronze.city_journal
    WHERE data LIKE '{"seq":%,"log_time":"%","event":{"source":"citybrain/commands","id":"%"},"body":{"command":{%'
), step AS (
    SELECT it.id, it."case", it.change, it."to", it.category, it.unit, it.actor, it.at, command.action
    FROM silver.case_transition it JOIN command ON CAST(split_part(it.id, '-', 1) AS BIGINT) = command.seq
), label AS (
    SELECT id, "case", 'category' AS task, category AS label, 'corrected' AS how, actor, at FROM step
    WHERE action = 'recategorise' AND change = 'recategorised'
    UNION ALL
    SELECT id, "case", 'unit' AS task, unit AS label, CASE WHEN action IN ('assign', 'transfer') THEN 'corrected' ELSE 'confirmed' END AS how, actor, at FROM step
    WHERE change = 'moved' AND unit IS NOT NULL
        AND ((action IN ('assign', 'transfer') AND "to" = 'assigned') OR (action IN ('approve', 'dispatch') AND "to" = 'processing'))
), latest AS (
    SELECT *, row_number() OVER (PARTITION BY "case", task ORDER BY id DESC) AS nth FROM label
), said AS (
    SELECT latest."case", latest.task, latest.label, latest.how, latest.actor AS who, latest.at,
        coalesce(json_get_str(opened.data, '/body/hotline/text'), json_get_str(opened.data, '/body/work_order/created/description')) AS text
    FROM latest JOIN bronze.city_journal opened ON opened."offset" = CAST(substr(latest."case", 6) AS BIGINT)
    WHERE latest.nth = 1
)
SELECT text, task, label, how, who, at, "case" FROM said WHERE text IS NOT NULL AND text <> ''"#,
    },
    View { schema: "ops", name: "dlq", needs: &["dlq"], query: "SELECT * FROM silver.dlq" },
];

impl View {
    fn is_there(&self, lake: &Lake) -> bool {
        let needed = |table: &&str| {
            let (schema, table) = table.split_once('.').unwrap_or(("silver", table));
            lake.exists(&TableName::new(schema, table))
        };
        self.needs.iter().all(needed)
    }
}

impl Lake {
    /// Answers a query that only reads, row by row as they come.
    ///
    /// # Errors
    /// When the query is wrong, wants to change something, or needs more memory than it may use.
    pub async fn sql(&self, query: &str, as_of: Option<AsOf>) -> Result<SendableRecordBatchStream, LakeError> {
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let frame = context(self, as_of, None)?.sql_with_options(query, options).await?;
        Ok(frame.execute_stream().await?)
    }

    /// The same for who may see no personal data.
    ///
    /// # Errors
    /// As [`Lake::sql`]; tables that are hidden are not there.
    pub async fn sql_masked(&self, query: &str, as_of: Option<AsOf>, mask: Arc<Mask>) -> Result<SendableRecordBatchStream, LakeError> {
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let frame = context(self, as_of, Some(mask))?.sql_with_options(query, options).await?;
        Ok(frame.execute_stream().await?)
    }

    /// Whether a query finds a table or view of that name.
    pub fn is_queryable(&self, table: &TableName) -> bool {
        self.exists(table) || VIEWS.iter().any(|view| view.schema == table.schema && view.name == table.name && view.is_there(self))
    }

    /// These columns of a table or view, ordered by them, for small ones.
    ///
    /// # Errors
    /// When it lacks a column, or cannot be read.
    pub async fn ordered(&self, table: &TableName, columns: &[String]) -> Result<Vec<RecordBatch>, LakeError> {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let columns = columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
        match table.schema.as_str() {
            // A folder that is no lake.
            "" => {
                let context = context(self, None, None)?;
                let external = |source: deltalake::DeltaTableError| LakeError::Table { what: "open", table: table.to_string(), source: Box::new(source) };
                let loaded = DeltaTableBuilder::from_url(self.url(table)).map_err(external)?.load().await.map_err(external)?;
                context.register_table("given", loaded.table_provider().await?)?;
                Ok(context.sql(&format!("SELECT {columns} FROM given ORDER BY {columns}")).await?.collect().await?)
            }
            schema => self.query(&format!("SELECT {columns} FROM {}.{} ORDER BY {columns}", quoted(schema), quoted(&table.name)), None).await,
        }
    }

    /// All rows of a query, for small results.
    ///
    /// # Errors
    /// As [`Lake::sql`], and when it takes longer than ten minutes.
    pub async fn query(&self, query: &str, as_of: Option<AsOf>) -> Result<Vec<RecordBatch>, LakeError> {
        let collect = async { Ok(datafusion::physical_plan::common::collect(self.sql(query, as_of).await?).await?) };
        tokio::time::timeout(QUERY_TIME_MAX, collect).await.map_err(|_| LakeError::Refused("the query took longer than ten minutes".to_owned()))?
    }
}

fn context(lake: &Lake, as_of: Option<AsOf>, mask: Option<Arc<Mask>>) -> Result<SessionContext, LakeError> {
    let config = SessionConfig::new()
        .with_information_schema(true)
        .with_default_catalog_and_schema(CATALOG, "silver")
        .with_create_default_catalog_and_schema(false);
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(MEMORY_BYTES))).build_arc()?;
    let context = SessionContext::new_with_config_rt(config, runtime);
    context.register_catalog(CATALOG, Arc::new(Catalog { lake: lake.clone(), as_of, mask }));
    functions::register(&context);
    Ok(context)
}

struct Catalog {
    lake: Lake,
    as_of: Option<AsOf>,
    mask: Option<Arc<Mask>>,
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog").field("lake", &self.lake.root()).finish_non_exhaustive()
    }
}

impl CatalogProvider for Catalog {
    fn schema_names(&self) -> Vec<String> {
        let mut names = self.lake.schemas();
        names.extend(["bronze", "silver", "gold", "ops"].map(str::to_owned));
        names.sort();
        names.dedup();
        names.retain(|name| self.mask.as_ref().is_none_or(|mask| mask.shows_schema(name)));
        names
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        self.schema_names()
            .contains(&name.to_owned())
            .then(|| Arc::new(LakeSchema { lake: self.lake.clone(), name: name.to_owned(), as_of: self.as_of, mask: self.mask.clone() }) as Arc<dyn SchemaProvider>)
    }
}

struct LakeSchema {
    lake: Lake,
    name: String,
    as_of: Option<AsOf>,
    mask: Option<Arc<Mask>>,
}

impl std::fmt::Debug for LakeSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LakeSchema").field("name", &self.name).finish_non_exhaustive()
    }
}

impl LakeSchema {
    fn views(&self) -> impl Iterator<Item = &'static View> {
        VIEWS.iter().filter(|view| view.schema == self.name && view.is_there(&self.lake))
    }

    /// Whether a table of that name can be there. A name is no path: one that leads elsewhere leads nowhere.
    fn shows(&self, table: &str) -> bool {
        let is_path = table.contains(['/', '\\']) || matches!(table, "" | "." | "..");
        !is_path && self.mask.as_ref().is_none_or(|mask| mask.shows(&self.name, table))
    }
}

#[async_trait]
impl SchemaProvider for LakeSchema {
    fn table_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.lake.tables(&self.name).into_iter().map(|table| table.name).collect();
        names.extend(self.views().map(|view| view.name.to_owned()));
        names.retain(|name| self.shows(name));
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if !self.shows(name) {
            return Ok(None);
        }
        if let Some(view) = self.views().find(|view| view.name == name) {
            let context = context(&self.lake, self.as_of, self.mask.clone()).map_err(|error| DataFusionError::External(Box::new(error)))?;
            return Ok(Some(context.sql(view.query).await?.into_view()));
        }
        let table = TableName::new(self.name.as_str(), name);
        if !self.lake.exists(&table) {
            return Ok(None);
        }
        let external = |error: deltalake::DeltaTableError| DataFusionError::External(Box::new(error));
        let builder = DeltaTableBuilder::from_url(self.lake.url(&table)).map_err(external)?;
        let loaded = match self.as_of {
            None => builder.load().await.map_err(external)?,
            Some(AsOf::Time(time)) => builder.with_timestamp(time).load().await.map_err(external)?,
            Some(AsOf::Version(version)) => {
                let mut loaded = builder.load().await.map_err(external)?;
                let newest = loaded.version().map_or(0, |version| version as u64);
                if version < newest {
                    loaded.load_version(version as _).await.map_err(external)?;
                }
                loaded
            }
        };
        let provider: Arc<dyn TableProvider> = loaded.table_provider().await?;
        match &self.mask {
            Some(mask) => mask.over(&table, provider).map(Some),
            None => Ok(Some(provider)),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.shows(name) && self.lake.is_queryable(&TableName::new(self.name.as_str(), name))
    }
}
