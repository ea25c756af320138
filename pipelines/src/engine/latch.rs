//! Lets only changes of a condition through: raised once, cleared once, and again when its level changes.
//!
//! Hysteresis is the query's: it says `raised` above one threshold, `cleared` below another, and null between them.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::exec_err;
use datafusion::error::Result;

use crate::sql::tables::Latch;

/// The rows to let through. `raised` remembers which conditions are raised, and at which level.
pub(crate) fn changes(latch: &Latch, raised: &mut BTreeMap<String, String>, rows: &RecordBatch) -> Result<BooleanArray> {
    let options = FormatOptions::default().with_null("\u{0}");
    let column = |name: &String| -> &ArrayRef { rows.column_by_name(name).expect("the columns of a latch are checked when a job is read") };
    let text = |name: &String| ArrayFormatter::try_new(column(name).as_ref(), &options);
    let keys = latch.key.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let level = latch.level.as_ref().map(text).transpose()?;
    let state = text(&latch.state)?;
    let mut keep = Vec::with_capacity(rows.num_rows());
    for row in 0..rows.num_rows() {
        let key: Vec<String> = keys.iter().map(|key| key.value(row).to_string()).collect();
        let key = key.join("\u{1f}");
        keep.push(match state.value(row).to_string().as_str() {
            "\u{0}" => false,
            "cleared" => raised.remove(&key).is_some(),
            "raised" => {
                let level = level.as_ref().map(|level| level.value(row).to_string()).unwrap_or_default();
                raised.insert(key, level.clone()).is_none_or(|before| before != level)
            }
            other => return exec_err!("column {} says '{other}': a latch knows 'raised', 'cleared' and null", latch.state),
        });
    }
    Ok(BooleanArray::from(keep))
}
