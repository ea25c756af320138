//! Tables on disk: created, widened, appended to exactly once.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::transaction::CommitProperties;
use deltalake::kernel::{StructType, Transaction};
use deltalake::parquet::basic::{Compression, ZstdLevel};
use deltalake::parquet::file::properties::WriterProperties;
use deltalake::parquet::schema::types::ColumnPath;
use deltalake::protocol::SaveMode;
use deltalake::writer::{DeltaWriter, RecordBatchWriter, WriteMode};
use deltalake::{DeltaTable, DeltaTableBuilder};
use tokio::sync::Mutex;
use tracing::debug;
use url::Url;

use crate::error::LakeError;

/// Version of the lake's folder layout.
const FORMAT: u32 = 1;
/// Commits after which a checkpoint of the log is written.
const CHECKPOINT_COMMITS: u64 = 50;
/// Times that a commit is tried against concurrent upkeep.
const COMMIT_TRIES: usize = 15;

/// A table's name: `schema.name` in SQL, `<lake>/<schema>/<name>` on disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// bronze, silver, gold, ops, or `replay_<run>`; empty outside of a lake.
    pub schema: String,
    /// The table.
    pub name: String,
}

impl TableName {
    /// A name from its parts.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> TableName {
        TableName { schema: schema.into(), name: name.into() }
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.schema.as_str() {
            "" => write!(f, "{}", self.name),
            schema => write!(f, "{schema}.{}", self.name),
        }
    }
}

/// A position that moves with a commit: Delta's `txn` action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Txn {
    /// Whose position, such as `raw.sensor/3`.
    pub app_id: String,
    /// How far, such as the next offset. Grows with every commit.
    pub version: i64,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Append {
    /// The rows are in the table as of this version.
    Committed {
        /// The table's version.
        version: u64,
    },
    /// The table had the rows already: its positions are not before these.
    AlreadyApplied,
}

/// An open table: its handle, and the positions that are known to stand in it.
struct Open {
    table: DeltaTable,
    positions: HashMap<String, Option<i64>>,
    /// A commit was begun and nobody knows how it ended: the table is read anew before the next one.
    doubtful: bool,
}

/// The folder of tables. Cheap to clone; one process appends, any number reads.
#[derive(Clone)]
pub struct Lake {
    root: Arc<PathBuf>,
    open: Arc<Mutex<HashMap<TableName, Arc<Mutex<Open>>>>>,
}

impl Lake {
    /// Opens or creates the lake at `root`.
    ///
    /// # Errors
    /// When the folder cannot be made, or belongs to a newer program.
    pub async fn open(root: &Path) -> Result<Lake, LakeError> {
        let folder = |what, path: &Path| {
            let path = path.display().to_string();
            move |source| LakeError::Folder { what, path, source }
        };
        std::fs::create_dir_all(root).map_err(folder("create", root))?;
        let root = std::fs::canonicalize(root).map_err(folder("find", root))?;
        let marker = root.join("format");
        match std::fs::read_to_string(&marker) {
            Ok(text) => {
                let found = text.trim().parse().unwrap_or(u32::MAX);
                if found > FORMAT {
                    return Err(LakeError::Newer { path: root.display().to_string(), found, known: FORMAT });
                }
            }
            Err(_) => std::fs::write(&marker, format!("{FORMAT}\n")).map_err(folder("write", &marker))?,
        }
        Ok(Lake { root: Arc::new(root), open: Arc::default() })
    }

    /// A folder that is no lake of ours: `TableName::new("", name)` is the Delta table `<folder>/name`. The folder is made
    /// when it is not there, and nothing but tables is put into it.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub async fn outside(folder: &Path) -> Result<Lake, LakeError> {
        let failed = |what| {
            let path = folder.display().to_string();
            move |source| LakeError::Folder { what, path, source }
        };
        // The parent of a bare name is the empty path, which means the current folder.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        std::fs::create_dir_all(folder).map_err(failed("create"))?;
        let root = std::fs::canonicalize(folder).map_err(failed("find"))?;
        Ok(Lake { root: Arc::new(root), open: Arc::default() })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a table is, whether or not it exists.
    pub fn path(&self, table: &TableName) -> PathBuf {
        self.root.join(&table.schema).join(&table.name)
    }

    /// Whether a table exists.
    pub fn exists(&self, table: &TableName) -> bool {
        self.path(table).join("_delta_log").is_dir()
    }

    /// All tables of a schema.
    pub fn tables(&self, schema: &str) -> Vec<TableName> {
        let mut tables: Vec<_> = names(&self.root.join(schema))
            .into_iter()
            .map(|name| TableName::new(schema, name))
            .filter(|table| self.exists(table))
            .collect();
        tables.sort();
        tables
    }

    /// All schemas that have a folder.
    pub fn schemas(&self) -> Vec<String> {
        let mut schemas = names(&self.root);
        schemas.sort();
        schemas
    }

    pub(crate) fn url(&self, table: &TableName) -> Url {
        Url::from_directory_path(self.path(table)).expect("the root is an absolute path")
    }

    /// Creates a table with these columns unless it is there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn create(&self, table: &TableName, schema: SchemaRef) -> Result<(), LakeError> {
        if !self.exists(table) {
            self.open_or_create(table, schema).await?;
        }
        Ok(())
    }

    /// Appends rows and moves positions in one commit. The table is created with the schema of the rows when it does not
    /// exist, and widened by columns that it does not have. With no rows only the positions move.
    ///
    /// # Errors
    /// When the rows do not fit the table or cannot be written. Nothing of them is visible then.
    pub async fn append(&self, table: &TableName, batches: Vec<RecordBatch>, txns: &[Txn]) -> Result<Append, LakeError> {
        let failed = |what: &'static str| {
            let table = table.to_string();
            move |source: deltalake::DeltaTableError| LakeError::Table { what, table, source: Box::new(source) }
        };
        let open = match batches.first() {
            Some(batch) => self.open_or_create(table, batch.schema()).await?,
            None if self.exists(table) => self.opened(table).await?,
            None => return Ok(Append::AlreadyApplied),
        };
        let mut open = open.lock().await;
        open.resolve().await.map_err(failed("write"))?;
        let mut news = txns.is_empty();
        for txn in txns {
            news |= open.position(&txn.app_id).await.map_err(failed("read"))?.is_none_or(|there| txn.version > there);
        }
        if !news {
            return Ok(Append::AlreadyApplied);
        }
        let properties = CommitProperties::default()
            .with_max_retries(COMMIT_TRIES)
            .with_application_transactions(txns.iter().map(|txn| Transaction::new(&txn.app_id, txn.version)).collect());
        let mut writer = RecordBatchWriter::for_table(&open.table)
            .map_err(failed("write"))?
            .with_writer_properties(writer_properties())
            .with_commit_properties(properties);
        for batch in batches {
            writer.write_with_mode(batch, WriteMode::MergeSchema).await.map_err(failed("write"))?;
        }
        open.doubtful = true;
        let version = writer.flush_and_commit(&mut open.table).await.map_err(failed("write"))?;
        open.doubtful = false;
        for txn in txns {
            open.positions.insert(txn.app_id.clone(), Some(txn.version));
        }
        open.fold(version as u64).await;
        Ok(Append::Committed { version: version as u64 })
    }

    /// The position that stands in a table for an app id; `None` when there is none.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn position(&self, table: &TableName, app_id: &str) -> Result<Option<i64>, LakeError> {
        if !self.exists(table) {
            return Ok(None);
        }
        let open = self.opened(table).await?;
        let mut open = open.lock().await;
        let position = async {
            open.resolve().await?;
            open.position(app_id).await
        };
        position.await.map_err(|source| LakeError::Table { what: "read", table: table.to_string(), source: Box::new(source) })
    }

    /// The positions of several app ids.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn positions<'a>(&self, table: &TableName, app_ids: impl IntoIterator<Item = &'a str>) -> Result<BTreeMap<String, i64>, LakeError> {
        let mut positions = BTreeMap::new();
        for app_id in app_ids {
            if let Some(position) = self.position(table, app_id).await? {
                positions.insert(app_id.to_owned(), position);
            }
        }
        Ok(positions)
    }

    /// Takes in what other processes have committed to a table, so that their positions are known here.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn refresh(&self, table: &TableName) -> Result<(), LakeError> {
        if !self.exists(table) {
            return Ok(());
        }
        let open = self.opened(table).await?;
        let mut open = open.lock().await;
        open.positions.clear();
        open.table.update_state().await.map_err(|source| LakeError::Table { what: "read", table: table.to_string(), source: Box::new(source) })
    }

    /// Runs `work` on the table's handle while no append goes on in this process.
    pub(crate) async fn with_table<T, F>(&self, table: &TableName, work: F) -> Result<T, LakeError>
    where
        F: AsyncFnOnce(&mut DeltaTable) -> Result<T, deltalake::DeltaTableError>,
    {
        let open = self.opened(table).await?;
        let mut open = open.lock().await;
        work(&mut open.table).await.map_err(|source| LakeError::Table { what: "maintain", table: table.to_string(), source: Box::new(source) })
    }

    async fn opened(&self, table: &TableName) -> Result<Arc<Mutex<Open>>, LakeError> {
        let mut open = self.open.lock().await;
        if let Some(there) = open.get(table) {
            return Ok(there.clone());
        }
        let load = async { DeltaTableBuilder::from_url(self.url(table))?.load().await };
        let handle = load.await.map_err(|source| LakeError::Table { what: "open", table: table.to_string(), source: Box::new(source) })?;
        let opened = Arc::new(Mutex::new(Open { table: handle, positions: HashMap::new(), doubtful: false }));
        open.insert(table.clone(), opened.clone());
        Ok(opened)
    }

    async fn open_or_create(&self, table: &TableName, schema: SchemaRef) -> Result<Arc<Mutex<Open>>, LakeError> {
        if !self.exists(table) {
            let create = async {
                let path = self.path(table);
                std::fs::create_dir_all(&path).map_err(|error| deltalake::DeltaTableError::Generic(format!("{}: {error}", path.display())))?;
                let columns: StructType = schema.as_ref().try_into_kernel()?;
                let builder = DeltaTable::try_from_url(self.url(table)).await?.create();
                builder
                    .with_table_name(table.to_string())
                    .with_comment(schema.metadata().get("comment").cloned().unwrap_or_default())
                    .with_columns(columns.fields().cloned())
                    .with_save_mode(SaveMode::Ignore)
                    .with_configuration([
                        ("delta.checkpointInterval".to_owned(), Some(CHECKPOINT_COMMITS.to_string())),
                        ("delta.dataSkippingStatsColumns".to_owned(), None),
                    ])
                    .await
            };
            create.await.map_err(|source| LakeError::Table { what: "write", table: table.to_string(), source: Box::new(source) })?;
        }
        self.opened(table).await
    }
}

impl Open {
    /// Reads the table anew after a commit that failed or was broken off: it may stand in the table all the same.
    async fn resolve(&mut self) -> Result<(), deltalake::DeltaTableError> {
        if self.doubtful {
            self.table = self.read_anew().await?;
            self.positions.clear();
            self.doubtful = false;
        }
        Ok(())
    }

    /// A handle remembers each commit since it was opened, and goes over all of them after the next one. Right after a
    /// checkpoint the table is read anew, which leaves one piece of them.
    async fn fold(&mut self, version: u64) {
        if (version + 1).is_multiple_of(CHECKPOINT_COMMITS) {
            match self.read_anew().await {
                Ok(table) => self.table = table,
                // The rows are in the table, and the handle is as good as before.
                Err(error) => debug!(%error, "could not read a table anew"),
            }
        }
    }

    async fn read_anew(&self) -> Result<DeltaTable, deltalake::DeltaTableError> {
        DeltaTableBuilder::from_url(self.table.table_url().clone())?.load().await
    }

    async fn position(&mut self, app_id: &str) -> Result<Option<i64>, deltalake::DeltaTableError> {
        if let Some(position) = self.positions.get(app_id) {
            return Ok(*position);
        }
        let log_store = self.table.log_store();
        let position = self.table.snapshot()?.snapshot().transaction_version(log_store.as_ref(), app_id).await?;
        self.positions.insert(app_id.to_owned(), position);
        Ok(position)
    }
}

/// Columns whose values are nearly all different: a dictionary of them only costs.
const UNIQUE: [&str; 3] = ["data", "ce_id", "offset"];

fn writer_properties() -> WriterProperties {
    UNIQUE
        .iter()
        .fold(WriterProperties::builder(), |builder, column| builder.set_column_dictionary_enabled(ColumnPath::from(*column), false))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).expect("1 is a level of zstd")))
        .set_statistics_truncate_length(Some(32))
        .build()
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            entry.file_type().ok()?.is_dir().then(|| entry.file_name().into_string().ok()).flatten()
        })
        .collect()
}
