//! Rows a second of a user-defined function through its worker, beside functions of DataFusion in this process.
//!
//! `cargo run -p udf-host --example udf_throughput -- <folder of functions> <program that is a worker> [its arguments]`

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use udf_host::{Limits, Udfs, WorkerCommand};

const BATCHES: usize = 64;
const ROWS: usize = 8_192;
const ROUNDS: usize = 5;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(folder), Some(program)) = (args.next(), args.next()) else {
        return Err("say the folder of the functions and the program of the worker".into());
    };
    let udfs = Udfs::open(&PathBuf::from(folder), WorkerCommand { program: program.into(), args: args.collect() }, Limits::default())?;
    let session = session(&udfs)?;
    println!("{BATCHES} batches of {ROWS} rows, one partition, the best of {ROUNDS} rounds");
    for expression in [
        "abs(x)", "upper(s)", "distance_m(30.0, 114.0, 30.0 + x, 114.0 + x)", "cap_severity(CAST(x * 4 AS INT))", "text_normalise(s)", "pii_mask(s)",
        "h3_cell(30.0 + x, 114.0 + x, 9)", "geofence(30.0 + x, 114.0 + x, 'POLYGON ((114 30, 115 30, 115 31, 114 31, 114 30))')",
    ] {
        let time = best(&session, &format!("SELECT count({expression}) FROM readings")).await?;
        let rows = BATCHES * ROWS;
        println!("{:>12.0} rows/s  {:>8.2} ms a batch  {expression}", rows as f64 / time.as_secs_f64(), time.as_secs_f64() * 1e3 / BATCHES as f64);
    }
    Ok(())
}

async fn best(session: &SessionContext, sql: &str) -> Result<Duration, Box<dyn Error>> {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        session.sql(sql).await?.collect().await?;
        best = best.min(start.elapsed());
    }
    Ok(best)
}

/// One table: `x` from 0 to 1, and `s`, a caller's sentence.
fn session(udfs: &Udfs) -> Result<SessionContext, Box<dyn Error>> {
    let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Float64, false), Field::new("s", DataType::Utf8, false)]));
    let batch = |batch: usize| {
        let x = Float64Array::from_iter_values((0..ROWS).map(|row| (row * BATCHES + batch) as f64 / (ROWS * BATCHES) as f64));
        let s = StringArray::from_iter_values((0..ROWS).map(|row| format!("中山大道{row}号积水！！请回电 138{row:08}")));
        RecordBatch::try_new(schema.clone(), vec![Arc::new(x), Arc::new(s)])
    };
    let batches = (0..BATCHES).map(batch).collect::<Result<Vec<_>, _>>()?;
    let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    session.register_table("readings", Arc::new(MemTable::try_new(schema, vec![batches])?))?;
    udfs.scalars().iter().for_each(|it| session.register_udf(it.as_ref().clone()));
    Ok(session)
}
