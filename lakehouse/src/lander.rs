//! Landing: what the bus carries becomes rows of bronze and silver, each exactly once.
//!
//! Silver is committed before bronze, and the position to read from again is bronze's: whatever stands in silver beyond it
//! is recognised by silver's own positions and passed over, whatever does not is made again. Each table moves its positions
//! in the commit that holds the rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use futures::{FutureExt, StreamExt};
use schemas::Registry;

use crate::error::LakeError;
use crate::silver::{Bronze, RejectedRow, schema_of, typed};
use crate::store::{Lake, TableName, Txn};

/// Tables that are committed at the same time: a commit mostly waits for the disk, and holds its rows in memory meanwhile.
const TABLES_TOGETHER: usize = 4;

/// When a commit is due before its time.
#[derive(Debug, Clone)]
pub struct LanderConfig {
    /// Rows that wait.
    pub rows_max: usize,
    /// Bytes that wait; the bound of the lander's memory, apart from the writing itself.
    pub bytes_max: usize,
    /// Topics that have no silver table.
    pub bronze_only: Vec<String>,
}

impl Default for LanderConfig {
    fn default() -> LanderConfig {
        LanderConfig { rows_max: 500_000, bytes_max: 256 * 1024 * 1024, bronze_only: Vec::new() }
    }
}

/// What a flush did.
#[derive(Debug, Default)]
pub struct Landed {
    /// Rows of bronze.
    pub rows: usize,
}

#[derive(Default)]
struct Waiting {
    batches: Vec<RecordBatch>,
    positions: BTreeMap<(String, i32), i64>,
}

/// Lands batches.
pub struct Lander {
    lake: Lake,
    registry: Arc<Registry>,
    config: LanderConfig,
    bronze: BTreeMap<TableName, Waiting>,
    silver: BTreeMap<TableName, Waiting>,
    rejected: Vec<RejectedRow>,
    rows: usize,
    bytes: usize,
    landed: BTreeMap<(String, i32), i64>,
}

/// The bronze table of a topic.
fn bronze_table(topic: &str) -> TableName {
    TableName::new("bronze", topic.replace(['.', '-'], "_"))
}

fn app_id(topic: &str, partition: i32) -> String {
    format!("{topic}/{partition}")
}

impl Lander {
    /// A lander into `lake`.
    pub fn new(lake: Lake, registry: Arc<Registry>, config: LanderConfig) -> Lander {
        Lander {
            lake,
            registry,
            config,
            bronze: BTreeMap::new(),
            silver: BTreeMap::new(),
            rejected: Vec::new(),
            rows: 0,
            bytes: 0,
            landed: BTreeMap::new(),
        }
    }

    /// Replaces the event types, when a new one was added.
    pub fn set_registry(&mut self, registry: Arc<Registry>) {
        self.registry = registry;
    }

    /// Creates the tables of all event types and of these topics that are not there yet, so that they can be asked before
    /// their first event.
    ///
    /// # Errors
    /// When a table cannot be created.
    pub async fn create_tables(&self, bronze: SchemaRef, topics: impl IntoIterator<Item = &str>) -> Result<(), LakeError> {
        for topic in topics {
            self.lake.create(&bronze_table(topic), bronze.clone()).await?;
            if self.config.bronze_only.iter().any(|only| only == topic) {
                continue;
            }
            for def in self.registry.types().filter(|def| def.is_on(topic)) {
                self.lake.create(&TableName::new("silver", def.table.as_str()), schema_of(def)).await?;
            }
        }
        Ok(())
    }

    /// The offset from which a partition has to be read.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn position(&mut self, topic: &str, partition: i32) -> Result<i64, LakeError> {
        let key = (topic.to_owned(), partition);
        if let Some(position) = self.landed.get(&key) {
            return Ok(*position);
        }
        let position = self.lake.position(&bronze_table(topic), &app_id(topic, partition)).await?.unwrap_or(0);
        self.landed.insert(key, position);
        Ok(position)
    }

    /// The next offsets that are safe in the lake.
    pub fn positions(&self) -> BTreeMap<(String, i32), i64> {
        self.landed.clone()
    }

    /// Takes rows in the bronze schema, of one partition and in the order of their offsets. `firsts` says of each row
    /// whether its event stands there for the first time; without it none is a repeat. Repeats stay out of silver.
    ///
    /// # Errors
    /// When the rows have another form, or a table's positions cannot be read.
    pub async fn push(&mut self, rows: RecordBatch, topic: &str, partition: i32, next_offset: i64, firsts: Option<&BooleanArray>) -> Result<(), LakeError> {
        let from = self.position(topic, partition).await?;
        let waiting_to = self.bronze.get(&bronze_table(topic)).and_then(|waiting| waiting.positions.get(&(topic.to_owned(), partition)));
        let from = waiting_to.copied().unwrap_or(from).max(from);
        let skip = Bronze::of(&rows)?.offset.values().partition_point(|offset| *offset < from);
        if skip == rows.num_rows() {
            return Ok(());
        }
        let left = rows.num_rows() - skip;
        let (rows, firsts) = (rows.slice(skip, left), firsts.map(|firsts| firsts.slice(skip, left)));
        self.push_silver(&rows, topic, partition, next_offset, firsts.as_ref()).await?;
        self.rows += rows.num_rows();
        self.bytes += rows.get_array_memory_size();
        let waiting = self.bronze.entry(bronze_table(topic)).or_default();
        waiting.batches.push(rows);
        waiting.positions.insert((topic.to_owned(), partition), next_offset);
        Ok(())
    }

    async fn push_silver(&mut self, rows: &RecordBatch, topic: &str, partition: i32, next_offset: i64, firsts: Option<&BooleanArray>) -> Result<(), LakeError> {
        let bronze = Bronze::of(rows)?;
        if self.config.bronze_only.iter().any(|only| only == topic) {
            return Ok(());
        }
        let mut by_type: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for row in 0..rows.num_rows() {
            if bronze.ce_type.is_null(row) || bronze.ce_id.is_null(row) || bronze.ce_source.is_null(row) {
                continue;
            }
            if firsts.is_none_or(|firsts| firsts.value(row)) {
                by_type.entry(bronze.ce_type.value(row)).or_default().push(row);
            }
        }
        let registry = self.registry.clone();
        for (event_type, mut wanted) in by_type {
            let Some(def) = registry.get(event_type).filter(|def| def.is_on(topic)) else { continue };
            let table = TableName::new("silver", def.table.as_str());
            let there = self.lake.position(&table, &app_id(topic, partition)).await?.unwrap_or(0);
            wanted.retain(|row| bronze.offset.value(*row) >= there);
            if wanted.is_empty() {
                continue;
            }
            let (typed, rejected) = typed(def, topic, partition, &bronze, &wanted)?;
            self.rejected.extend(rejected);
            if typed.num_rows() > 0 {
                self.bytes += typed.get_array_memory_size();
                let waiting = self.silver.entry(table).or_default();
                waiting.batches.push(typed);
                waiting.positions.insert((topic.to_owned(), partition), next_offset);
            }
        }
        Ok(())
    }

    /// Rows that do not fit their type and have not been taken yet: they will be in bronze, not in silver. Taken and kept
    /// before a flush, none of them is lost to a crash.
    pub fn take_rejected(&mut self) -> Vec<RejectedRow> {
        std::mem::take(&mut self.rejected)
    }

    /// Whether enough waits for a commit.
    pub fn is_due(&self) -> bool {
        self.rows >= self.config.rows_max || self.bytes >= self.config.bytes_max
    }

    /// Commits what waits. After an error it can be called again and goes on where it stopped.
    ///
    /// # Errors
    /// When a table cannot be written; see [`LakeError::is_transient`].
    pub async fn flush(&mut self) -> Result<Landed, LakeError> {
        if self.bronze.is_empty() {
            return Ok(Landed::default());
        }
        commit(&self.lake, &mut self.silver).await?;
        let moved: Vec<_> = self.bronze.values().flat_map(|waiting| waiting.positions.clone()).collect();
        commit(&self.lake, &mut self.bronze).await?;
        self.landed.extend(moved);
        self.bytes = 0;
        Ok(Landed { rows: std::mem::take(&mut self.rows) })
    }
}

/// Commits some tables at a time; what is committed no longer waits.
async fn commit(lake: &Lake, tables: &mut BTreeMap<TableName, Waiting>) -> Result<(), LakeError> {
    let commits: Vec<_> = tables.iter().map(|(table, waiting)| async move { (table.clone(), commit_one(lake, table, waiting).await) }.boxed()).collect();
    let ended: Vec<_> = futures::stream::iter(commits).buffer_unordered(TABLES_TOGETHER).collect().await;
    let mut first_error = None;
    for (table, result) in ended {
        match result {
            Ok(()) => _ = tables.remove(&table),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    first_error.map_or(Ok(()), Err)
}

async fn commit_one(lake: &Lake, table: &TableName, waiting: &Waiting) -> Result<(), LakeError> {
    let txns: Vec<Txn> = waiting.positions.iter().map(|((topic, partition), next)| Txn { app_id: app_id(topic, *partition), version: *next }).collect();
    let schema = waiting.batches[0].schema();
    let merged = if waiting.batches.iter().all(|batch| batch.schema() == schema) {
        vec![arrow::compute::concat_batches(&schema, &waiting.batches)?]
    } else {
        waiting.batches.clone()
    };
    lake.append(table, merged, &txns).await?;
    Ok(())
}
