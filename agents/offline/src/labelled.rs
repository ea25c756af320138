//! Rows of files as what a model learns from: texts, fields, time and label by the names of columns.

use std::path::Path;

use anyhow::{Result, ensure};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use learn::{Example, Input};

use crate::store::Columns;
use crate::table::{Rows, Where};

/// A row that owns its cells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labelled {
    /// The texts, the title first.
    pub texts: Vec<String>,
    /// Names and values of the fields.
    pub fields: Vec<(String, String)>,
    /// Local time, µs.
    pub time_us: Option<i64>,
    /// The label; empty where it is not known.
    pub label: String,
}

/// Rows that were read, and how many were left out.
#[derive(Debug, Clone, Default)]
pub struct Read {
    /// Those that can be learnt from.
    pub rows: Vec<Labelled>,
    /// Rows that could not be read.
    pub unreadable: usize,
    /// Rows without a label.
    pub unlabelled: usize,
}

/// Reads the rows of a file that fulfil all conditions; without a `label` column all rows are unlabelled and kept.
pub fn read(path: &Path, columns: &Columns, conditions: &[Where], into: &mut Read) -> Result<()> {
    ensure!(!columns.text.is_empty() || columns.kind.is_some() || !columns.place.is_empty() || !columns.field.is_empty(), "name the columns to learn from: --text COL[,COL], --type, --place or --field");
    let mut wanted: Vec<&str> = columns.text.iter().map(String::as_str).collect();
    let mut names: Vec<String> = Vec::new();
    for (at, column) in columns.kind.iter().chain(&columns.place).chain(&columns.field).enumerate() {
        let of_place = at.checked_sub(usize::from(columns.kind.is_some()));
        names.push(match of_place {
            None => "type".to_owned(),
            Some(0) if !columns.place.is_empty() => "place".to_owned(),
            Some(place) if place < columns.place.len() => format!("place{}", place + 1),
            _ => column.clone(),
        });
        wanted.push(column);
    }
    let time = columns.time.as_deref().inspect(|column| wanted.push(column)).map(|_| wanted.len() - 1);
    let label = columns.label.as_deref().inspect(|column| wanted.push(column)).map(|_| wanted.len() - 1);
    let first_condition = wanted.len();
    wanted.extend(conditions.iter().map(|condition| condition.column.as_str()));
    for row in Rows::open(path, &wanted)? {
        let row = row?;
        if row.problem.is_some() {
            into.unreadable += 1;
            continue;
        }
        if !conditions.iter().zip(&row.cells[first_condition..]).all(|(condition, cell)| condition.holds(cell)) {
            continue;
        }
        let right = label.map_or("", |at| row.cells[at].trim());
        if label.is_some() && right.is_empty() {
            into.unlabelled += 1;
            continue;
        }
        let texts = columns.text.len();
        into.rows.push(Labelled {
            texts: row.cells[..texts].to_vec(),
            fields: names.iter().cloned().zip(row.cells[texts..].iter().cloned()).collect(),
            time_us: time.and_then(|at| wall_time_us(&row.cells[at])),
            label: right.to_owned(),
        });
    }
    Ok(())
}

/// Calls `then` with the rows as the trainer and a model want them.
pub fn with_examples<T>(rows: &[Labelled], then: impl FnOnce(&[Example]) -> T) -> T {
    let texts: Vec<Vec<&str>> = rows.iter().map(|row| row.texts.iter().map(String::as_str).collect()).collect();
    let fields: Vec<Vec<(&str, &str)>> = rows.iter().map(|row| row.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()).collect();
    let example = |((row, texts), fields)| -> Example {
        let (row, texts, fields): (&Labelled, &Vec<&str>, &Vec<(&str, &str)>) = (row, texts, fields);
        Example { input: Input { texts, fields, time_us: row.time_us }, label: &row.label }
    };
    let examples: Vec<Example> = rows.iter().zip(&texts).zip(&fields).map(example).collect();
    then(&examples)
}

const TIMES: [&str; 6] = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M"];
const DATES: [&str; 3] = ["%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y"];

/// The time on the wall as it is written, whatever its zone, µs since 1970.
pub fn wall_time_us(text: &str) -> Option<i64> {
    let text = text.trim();
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.naive_local()).ok();
    let time = time.or_else(|| TIMES.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok()));
    let time = time.or_else(|| DATES.iter().find_map(|format| NaiveDate::parse_from_str(text, format).ok()?.and_hms_opt(0, 0, 0)));
    time.map(|time| time.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_on_the_wall() {
        let noon = wall_time_us("2020-01-06 12:00:00").unwrap();
        for same in ["2020/1/6 12:00:00", "2020-01-06T12:00:00+08:00", "01/06/2020 12:00:00 PM"] {
            assert_eq!(wall_time_us(same), Some(noon), "{same}");
        }
        assert_eq!(wall_time_us("soon"), None);
    }
}
