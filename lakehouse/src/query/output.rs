//! A result as a table for people, as CSV, JSON lines or Parquet.

use std::io::Write;

use arrow::array::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::error::LakeError;

/// Rows that are shown as a table; more belong in a file.
const TABLE_ROWS_MAX: usize = 10_000;

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Aligned text.
    Table,
    /// CSV with a header.
    Csv,
    /// One JSON object a line; nulls are written.
    Json,
    /// Parquet.
    Parquet,
}

/// Writes a result. Streams, but for tables, which need their widths.
///
/// # Errors
/// When the query fails on the way, or the output cannot be written.
pub async fn write_stream(mut stream: SendableRecordBatchStream, format: Format, out: &mut (dyn Write + Send)) -> Result<(), LakeError> {
    let schema = stream.schema();
    match format {
        Format::Table => {
            let mut batches = vec![RecordBatch::new_empty(schema)];
            let mut rows = 0;
            while rows < TABLE_ROWS_MAX
                && let Some(batch) = stream.next().await
            {
                let batch = batch?;
                rows += batch.num_rows();
                batches.push(batch);
            }
            writeln!(out, "{}", arrow::util::pretty::pretty_format_batches(&batches)?)?;
            if rows >= TABLE_ROWS_MAX {
                writeln!(out, "… {rows}+ rows: use --format csv, json or parquet for all / 仅显示前 {rows} 行")?;
            }
        }
        Format::Csv => {
            let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(&mut *out);
            writer.write(&RecordBatch::new_empty(schema))?;
            while let Some(batch) = stream.next().await {
                writer.write(&batch?)?;
            }
        }
        Format::Json => {
            let mut writer = arrow::json::WriterBuilder::new().with_explicit_nulls(true).build::<_, arrow::json::writer::LineDelimited>(&mut *out);
            while let Some(batch) = stream.next().await {
                writer.write(&batch?)?;
            }
            writer.finish()?;
        }
        Format::Parquet => {
            let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?)).build();
            let mut writer = ArrowWriter::try_new(&mut *out, schema, Some(properties))?;
            while let Some(batch) = stream.next().await {
                writer.write(&batch?)?;
            }
            writer.close()?;
        }
    }
    out.flush()?;
    Ok(())
}
