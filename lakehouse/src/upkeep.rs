//! Upkeep: many small files become few large ones, and what nobody can read any more is removed.

use std::num::NonZeroU64;

use deltalake::DeltaTable;
use deltalake::operations::optimize::OptimizeType;
use tracing::{debug, info};

use crate::error::LakeError;
use crate::store::Lake;

/// A table with fewer files is left alone.
const FILES_MIN: usize = 16;
/// Size that compaction aims at, bytes.
const TARGET_BYTES: u64 = 128 * 1024 * 1024;

impl Lake {
    /// One round over all tables: compaction where there are many small files, then vacuum. Files that a query of the
    /// last week or `--as-of` within it may read are kept (Delta's default retention of 7 days).
    ///
    /// # Errors
    /// The first table that failed; the round ends there and the next one tries again.
    pub async fn maintain(&self) -> Result<(), LakeError> {
        for schema in self.schemas() {
            for table in self.tables(&schema) {
                let compacted = self
                    .with_table(&table, async |handle: &mut DeltaTable| {
                        handle.update_state().await?;
                        let files = handle.get_file_uris()?.count();
                        if files < FILES_MIN {
                            return Ok(None);
                        }
                        let (compacted, metrics) = handle
                            .clone()
                            .optimize()
                            .with_type(OptimizeType::Compact)
                            .with_target_size(NonZeroU64::new(TARGET_BYTES).expect("a constant above zero"))
                            .with_max_concurrent_tasks(1)
                            .await?;
                        let (vacuumed, _) = compacted.vacuum().await?;
                        *handle = vacuumed;
                        Ok(Some((metrics.num_files_removed, metrics.num_files_added)))
                    })
                    .await?;
                match compacted {
                    Some((before, after)) => info!(%table, before, after, "compacted"),
                    None => debug!(%table, "nothing to compact"),
                }
            }
        }
        Ok(())
    }
}
