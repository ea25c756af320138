//! Ids of output rows, made from what a row stands for: the same however the input was cut into epochs.

use chrono::{DateTime, SecondsFormat};

use crate::limits::ID_BYTES_MAX;

/// The id of a window: the job, the start of the window and the keys. The prefix tells the windows of one step of a job from
/// those of another.
pub(crate) fn of_window(job: &str, prefix: &str, start: i64, keys: impl Iterator<Item = Option<String>>) -> String {
    let mut id = format!("{job}/{prefix}{}", moment(start));
    for key in keys {
        id.push('/');
        match key {
            None => id.push('-'),
            Some(key) => push_escaped(&mut id, &key),
        }
    }
    bounded(job, id)
}

/// The id of what one record gave.
pub(crate) fn of_record(job: &str, topic: &str, partition: i32, offset: i64) -> String {
    bounded(job, format!("{job}/{topic}/{partition}/{offset}"))
}

/// The id of what two rows gave together.
pub(crate) fn of_pair(job: &str, left: &str, right: &str) -> String {
    let right = right.strip_prefix(job).and_then(|rest| rest.strip_prefix('/')).unwrap_or(right);
    bounded(job, format!("{left}&{right}"))
}

/// The id of what a row of one side of a join gave that met nobody on the other.
pub(crate) fn of_alone(job: &str, name: &str, is_left: bool) -> String {
    match is_left {
        true => of_pair(job, name, "-"),
        false => of_pair(job, &format!("{job}/-"), name),
    }
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
