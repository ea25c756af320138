//! Ids of output rows, made from what a row stands for: the same however the input was cut into epochs.

use arrow::array::{Array, ArrayRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, SecondsFormat};
use datafusion::error::Result;

use crate::limits::ID_BYTES_MAX;

/// The ids of windows: the job, the start of the window and the keys.
pub(crate) fn of_windows(job: &str, starts: &[i64], keys: &[ArrayRef]) -> Result<Vec<String>> {
    let options = FormatOptions::default();
    let formatters = keys.iter().map(|key| ArrayFormatter::try_new(key.as_ref(), &options)).collect::<Result<Vec<_>, _>>()?;
    let id = |(row, start): (usize, &i64)| {
        let mut id = format!("{job}/{}", moment(*start));
        for (key, formatter) in keys.iter().zip(&formatters) {
            id.push('/');
            match key.is_null(row) {
                true => id.push('-'),
                false => push_escaped(&mut id, &formatter.value(row).to_string()),
            }
        }
        bounded(job, id)
    };
    Ok(starts.iter().enumerate().map(id).collect())
}

/// The id of what one record gave.
pub(crate) fn of_record(job: &str, topic: &str, partition: i32, offset: i64) -> String {
    bounded(job, format!("{job}/{topic}/{partition}/{offset}"))
}

/// The id of the nth row that one window or record gave.
pub(crate) fn nth(job: &str, id: &str, n: usize) -> String {
    match n {
        0 => id.to_owned(),
        n => bounded(job, format!("{id}#{n}")),
    }
}

fn moment(time_us: i64) -> String {
    DateTime::from_timestamp_micros(time_us).map_or_else(|| time_us.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

/// Keeps apart what would read alike: a separator inside of a key, and a dash from a key that is null.
fn push_escaped(id: &mut String, key: &str) {
    for (at, letter) in key.chars().enumerate() {
        match letter {
            '%' => id.push_str("%25"),
            '/' => id.push_str("%2F"),
            '#' => id.push_str("%23"),
            '-' if at == 0 && key.len() == 1 => id.push_str("%2D"),
            letter if letter.is_control() => id.push_str(&format!("%{:02X}", u32::from(letter))),
            letter => id.push(letter),
        }
    }
}

fn bounded(job: &str, id: String) -> String {
    match id.len() <= ID_BYTES_MAX {
        true => id,
        false => format!("{job}/{}", blake3::hash(id.as_bytes()).to_hex()),
    }
}
