//! One function inside a worker: values in, values out, and which rows failed.

use std::cell::RefCell;
use std::io::Write;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array, new_empty_array, new_null_array};
use arrow::compute::{concat, interleave, take};
use arrow::datatypes::UInt64Type;
use async_ffi::FfiFuture;

use crate::manifest::{Argument, Kind, Manifest, digest};
use crate::plugin::{AsyncPlugin, Drained, Runtime, SyncPlugin};
use crate::types::{from_plugin, lost, to_plugin, without};

/// On standard error before a row is called by itself: what was said so far does not belong to it.
pub(crate) const ROW_BEGINS: &str = "\u{1d}";
/// On standard error behind a row that panicked: what was said since it began is why.
pub(crate) const ROW_FAILED: &str = "\u{1e}";

/// A loaded function.
pub(crate) struct Function {
    manifest: Manifest,
    plugin: Plugin,
}

enum Plugin {
    Sync(SyncPlugin),
    Async(&'static AsyncPlugin, RefCell<Option<Runtime<'static>>>),
}

/// The values of a batch.
pub(crate) struct Answer {
    pub values: ArrayRef,
    /// Rows without a value, and why; without a reason it stands on standard error.
    pub failed: Vec<(usize, Option<String>)>,
    /// Rows that were not finished.
    pub missing: Vec<usize>,
}

impl Function {
    pub(crate) fn load(folder: &Path, manifest: &Manifest) -> Result<Self, String> {
        for (file, wanted) in manifest.files() {
            let found = digest(&folder.join(file)).map_err(|error| format!("could not read {file}: {error}"))?;
            if found != wanted {
                return Err(format!("{file} changed after it was opened: open the functions again"));
            }
        }
        let path = folder.join(&manifest.library);
        let plugin = match manifest.kind {
            Kind::Scalar | Kind::Aggregate => Plugin::Sync(SyncPlugin::load(&path)?),
            Kind::Async => Plugin::Async(Box::leak(Box::new(AsyncPlugin::load(&path)?)), RefCell::new(None)),
        };
        Ok(Self { manifest: manifest.clone(), plugin })
    }

    /// Whether it takes and gives what its manifest says, as far as that shows without calling it on real values: a
    /// scalar function is given no rows, an aggregate one zero. (What it then says of the zero is its own affair.)
    pub(crate) fn probe(&self) -> Result<(), String> {
        let Plugin::Sync(plugin) = &self.plugin else { return Ok(()) };
        let one = |it: &Argument| arrow::compute::cast(&arrow::array::Int32Array::from(vec![0]), &it.passed_as.arrow());
        let none = |it: &Argument| Ok(new_empty_array(&it.passed_as.arrow()));
        let arguments: Result<Vec<ArrayRef>, arrow::error::ArrowError> = match self.manifest.kind {
            Kind::Scalar | Kind::Async => self.manifest.arguments.iter().map(none).collect(),
            Kind::Aggregate => self.manifest.arguments.iter().map(one).collect(),
        };
        say(ROW_BEGINS);
        match plugin.run(&arguments.map_err(|error| error.to_string())?)? {
            Some(values) => self.check(&values, None),
            None => {
                say(ROW_FAILED);
                Err(String::new())
            }
        }
    }

    /// Calls it for every row of a batch; of an aggregate, a row is a group.
    pub(crate) fn call(&self, batch: &RecordBatch, timeout: Duration) -> Result<Answer, String> {
        let lists = self.manifest.kind == Kind::Aggregate;
        let (arguments, unfit) = if lists { self.lists(batch)? } else { self.columns(batch)? };
        let mut answer = match &self.plugin {
            Plugin::Sync(plugin) => Bisection { function: self, plugin, arguments: &arguments, offsets: offsets(batch, lists) }.run(batch.num_rows())?,
            Plugin::Async(plugin, runtime) => {
                let calls = Calls { function: self, plugin, arguments: &arguments, timeout };
                calls.run(&mut runtime.borrow_mut(), batch.num_rows())?
            }
        };
        let given = std::mem::replace(&mut answer.values, new_null_array(&self.manifest.returns.sql.arrow(), 0));
        answer.values = from_plugin(&given, self.manifest.returns.sql).map_err(|error| error.to_string())?;
        let too_large = lost(&given, &answer.values).into_iter().map(|row| (row, "its result does not fit its type".to_owned()));
        answer.refuse(too_large.chain(unfit).collect())?;
        Ok(answer)
    }

    /// The arguments as the plugin takes them, and the rows whose values do not fit.
    fn columns(&self, batch: &RecordBatch) -> Result<(Vec<ArrayRef>, Vec<(usize, String)>), String> {
        let (mut columns, mut unfit) = (Vec::new(), Vec::new());
        for (argument, values) in self.arguments(batch)? {
            let converted = to_plugin(values, argument.passed_as).map_err(|error| error.to_string())?;
            unfit.extend(lost(values, &converted).into_iter().map(|row| (row, does_not_fit(argument))));
            columns.push(converted);
        }
        Ok((columns, unfit))
    }

    /// The values of all groups, one group behind the other, and the groups with values that do not fit.
    fn lists(&self, batch: &RecordBatch) -> Result<(Vec<ArrayRef>, Vec<(usize, String)>), String> {
        let (mut columns, mut unfit) = (Vec::new(), Vec::new());
        for (argument, lists) in self.arguments(batch)? {
            let lists = lists.as_list_opt::<i32>().ok_or("an aggregate's argument is no list")?;
            let converted = to_plugin(lists.values(), argument.passed_as).map_err(|error| error.to_string())?;
            let group = |value: usize| lists.value_offsets().partition_point(|offset| *offset as usize <= value) - 1;
            let groups = lost(lists.values(), &converted).into_iter().map(group);
            unfit.extend(groups.map(|row| (row, does_not_fit(argument))));
            columns.push(converted);
        }
        Ok((columns, unfit))
    }

    fn arguments<'a>(&'a self, batch: &'a RecordBatch) -> Result<impl Iterator<Item = (&'a Argument, &'a ArrayRef)>, String> {
        let (wanted, given) = (self.manifest.arguments.len(), batch.num_columns());
        (wanted == given).then(|| self.manifest.arguments.iter().zip(batch.columns())).ok_or(format!("{wanted} arguments are wanted, not {given}"))
    }

    /// Whether values are of the declared type, and as many as wanted.
    fn check(&self, values: &ArrayRef, rows: Option<usize>) -> Result<(), String> {
        let wanted = self.manifest.returns.passed_as.arrow();
        if *values.data_type() != wanted {
            return Err(format!("it gives {}, but its manifest says {wanted}: write the manifest with udfs/build.sh", values.data_type()));
        }
        match rows {
            Some(rows) if rows != values.len() => Err(format!("it gave {} values for {rows} rows", values.len())),
            _ => Ok(()),
        }
    }
}

impl Answer {
    /// Takes the values of rows back, and says why.
    fn refuse(&mut self, rows: Vec<(usize, String)>) -> Result<(), String> {
        if rows.is_empty() {
            return Ok(());
        }
        self.values = without(&self.values, rows.iter().map(|(row, _)| *row)).map_err(|error| error.to_string())?;
        self.failed.extend(rows.into_iter().map(|(row, reason)| (row, Some(reason))));
        // A row that panicked as well keeps that reason: it stands on standard error, which must stay in step.
        self.failed.sort_by_key(|(row, _)| *row);
        self.failed.dedup_by_key(|(row, _)| *row);
        Ok(())
    }
}

fn does_not_fit(argument: &Argument) -> String {
    format!("the value of {} does not fit {:?}", argument.name, argument.passed_as)
}

/// Where the values of each group begin, of an aggregate's first argument; the others agree.
fn offsets(batch: &RecordBatch, lists: bool) -> Option<Vec<usize>> {
    let list = batch.columns().first().filter(|_| lists)?.as_list_opt::<i32>()?;
    Some(list.value_offsets().iter().map(|offset| *offset as usize).collect())
}

/// Says a mark on standard error, where panics are told too.
fn say(mark: &str) {
    // Without standard error a reason is lost, and nothing else.
    let _ = std::io::stderr().write_all(format!("\n{mark}\n").as_bytes());
}

/// Calls a function that answers at once; halves what panics until the rows are known.
struct Bisection<'a> {
    function: &'a Function,
    plugin: &'a SyncPlugin,
    arguments: &'a [ArrayRef],
    /// Of an aggregate: where each group begins and the last one ends.
    offsets: Option<Vec<usize>>,
}

impl Bisection<'_> {
    fn run(&self, rows: usize) -> Result<Answer, String> {
        let (mut pieces, mut failed) = (Vec::new(), Vec::new());
        match &self.offsets {
            None => self.halve(0, rows, &mut pieces, &mut failed)?,
            Some(offsets) => {
                for (row, group) in offsets.array_windows::<2>().enumerate() {
                    let piece = self.one(group[0], group[1] - group[0], 1)?;
                    failed.extend(piece.is_none().then_some((row, None)));
                    pieces.push(piece.unwrap_or_else(|| self.null()));
                }
            }
        }
        Ok(Answer { values: self.joined(&pieces)?, failed, missing: Vec::new() })
    }

    fn halve(&self, start: usize, length: usize, pieces: &mut Vec<ArrayRef>, failed: &mut Vec<(usize, Option<String>)>) -> Result<(), String> {
        let piece = if length == 1 { self.one(start, 1, 1)? } else { self.call(start, length, length)? };
        match piece {
            Some(piece) => pieces.push(piece),
            None if length <= 1 => {
                failed.extend((length == 1).then_some((start, None)));
                pieces.extend((length == 1).then(|| self.null()));
            }
            None => {
                self.halve(start, length / 2, pieces, failed)?;
                self.halve(start + length / 2, length - length / 2, pieces, failed)?;
            }
        }
        Ok(())
    }

    /// One row or group by itself, with marks around what it says.
    fn one(&self, start: usize, length: usize, values: usize) -> Result<Option<ArrayRef>, String> {
        say(ROW_BEGINS);
        let piece = self.call(start, length, values)?;
        if piece.is_none() {
            say(ROW_FAILED);
        }
        Ok(piece)
    }

    fn call(&self, start: usize, length: usize, values: usize) -> Result<Option<ArrayRef>, String> {
        let arguments: Vec<ArrayRef> = self.arguments.iter().map(|column| column.slice(start, length)).collect();
        let piece = self.plugin.run(&arguments)?;
        piece.iter().try_for_each(|piece| self.function.check(piece, Some(values)))?;
        Ok(piece)
    }

    fn null(&self) -> ArrayRef {
        new_null_array(&self.function.manifest.returns.passed_as.arrow(), 1)
    }

    fn joined(&self, pieces: &[ArrayRef]) -> Result<ArrayRef, String> {
        match pieces {
            [] => Ok(new_empty_array(&self.function.manifest.returns.passed_as.arrow())),
            [piece] => Ok(piece.clone()),
            pieces => concat(&pieces.iter().map(|piece| piece.as_ref()).collect::<Vec<_>>()).map_err(|error| error.to_string()),
        }
    }
}

/// The number of a call that is made only to see whether the runtime still takes any.
const SIGN_OF_LIFE: u64 = u64::MAX;
/// How long nothing comes before a sign of life is asked for.
const QUIET: Duration = Duration::from_millis(200);
/// The shortest and the longest pause between two looks.
const PAUSE: (Duration, Duration) = (Duration::from_micros(20), Duration::from_millis(2));

/// Calls a function that is waited for.
struct Calls<'a> {
    function: &'a Function,
    plugin: &'static AsyncPlugin,
    arguments: &'a [ArrayRef],
    timeout: Duration,
}

/// How waiting ended: with all calls finished, or why not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    TooLate,
    Broken,
}

impl Calls<'_> {
    fn run(&self, runtime: &mut Option<Runtime<'static>>, rows: usize) -> Result<Answer, String> {
        let in_flight = self.function.manifest.in_flight;
        // The plugin's own limit breaks off everything, so it is far behind ours.
        let plugin_timeout_us = u64::try_from((self.timeout * 100).as_micros()).unwrap_or(u64::MAX);
        if rows == 1 {
            say(ROW_BEGINS);
        }
        let used = runtime.get_or_insert_with(|| self.plugin.start(plugin_timeout_us, in_flight));
        let wanted: Vec<usize> = (0..rows).filter(|row| !self.is_answered_by_null(*row)).collect();
        let mut waiting = Waiting { calls: self, runtime: used, places: vec![None; rows], pieces: Vec::new(), done: 0 };
        let end = waiting.wait(&wanted)?;
        let values = waiting.values()?;
        let missing: Vec<usize> = wanted.into_iter().filter(|row| waiting.places[*row].is_none()).collect();
        if end != End::Whole {
            *runtime = None;
        }
        let too_late = || Some(format!("it took longer than {:?}", self.timeout));
        let (failed, missing) = match (rows, end, &missing[..]) {
            (1, End::Broken, [0]) => {
                say(ROW_FAILED);
                (vec![(0, None)], Vec::new())
            }
            (1, End::TooLate, [0]) => (vec![(0, too_late())], missing),
            _ => (Vec::new(), missing),
        };
        Ok(Answer { values, failed, missing })
    }

    /// Arroyo's rule: NULL for what takes no NULL is NULL without a call.
    fn is_answered_by_null(&self, row: usize) -> bool {
        self.function.manifest.arguments.iter().zip(self.arguments).any(|(argument, values)| !argument.nullable && values.is_null(row))
    }
}

/// Whether something was finished since the last look.
enum News {
    Some,
    None,
    /// Nothing will come any more.
    End,
}

struct Waiting<'a> {
    calls: &'a Calls<'a>,
    runtime: &'a Runtime<'static>,
    /// For each row, the piece and the place in it that hold its value.
    places: Vec<Option<(usize, usize)>>,
    pieces: Vec<ArrayRef>,
    done: usize,
}

impl Waiting<'_> {
    fn wait(&mut self, rows: &[usize]) -> Result<End, String> {
        let deadline = Instant::now() + self.calls.timeout;
        let mut left = rows.iter();
        let mut sending: Option<FfiFuture<bool>> = None;
        let (mut last_news, mut pause) = (Instant::now(), PAUSE.0);
        while self.done < rows.len() {
            if sending.is_none() {
                sending = left.next().map(|row| self.send(*row as u64, *row)).transpose()?;
            }
            match poll(&mut sending) {
                Some(false) => return Ok(End::Broken),
                Some(true) => pause = PAUSE.0,
                None => {}
            }
            match self.drain()? {
                News::End => return Ok(End::Broken),
                News::Some => (last_news, pause) = (Instant::now(), PAUSE.0),
                News::None if Instant::now() >= deadline => return Ok(End::TooLate),
                News::None if sending.is_none() && left.len() > 0 => {}
                News::None => {
                    if sending.is_none() && last_news.elapsed() > QUIET {
                        let waiting = rows.iter().find(|row| self.places[**row].is_none());
                        sending = waiting.map(|row| self.send(SIGN_OF_LIFE, *row)).transpose()?;
                        last_news = Instant::now();
                    }
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
        Ok(End::Whole)
    }

    fn send(&self, number: u64, row: usize) -> Result<FfiFuture<bool>, String> {
        let arguments: Vec<ArrayRef> = self.calls.arguments.iter().map(|column| column.slice(row, 1)).collect();
        self.runtime.send(number, &arguments)
    }

    /// Takes what is finished.
    fn drain(&mut self) -> Result<News, String> {
        match self.runtime.drain()? {
            Drained::Nothing => Ok(News::None),
            Drained::Broken => Ok(News::End),
            Drained::Some(numbers, values) => {
                self.calls.function.check(&values, Some(numbers.len()))?;
                let numbers = numbers.as_primitive_opt::<UInt64Type>().ok_or("it gave no numbers of calls")?;
                for (place, number) in numbers.values().iter().enumerate() {
                    let row = usize::try_from(*number).ok().and_then(|row| self.places.get_mut(row));
                    if let Some(row @ None) = row {
                        *row = Some((self.pieces.len(), place));
                        self.done += 1;
                    }
                }
                self.pieces.push(values);
                Ok(News::Some)
            }
        }
    }

    /// All values in the order of the rows, NULL where there is none.
    fn values(&self) -> Result<ArrayRef, String> {
        let null = new_null_array(&self.calls.function.manifest.returns.passed_as.arrow(), 1);
        let pieces: Vec<&dyn Array> = std::iter::once(&null).chain(&self.pieces).map(|piece| piece.as_ref()).collect();
        let places: Vec<(usize, usize)> = self.places.iter().map(|place| place.map_or((0, 0), |(piece, place)| (piece + 1, place))).collect();
        if places.is_empty() {
            return Ok(null.slice(0, 0));
        }
        interleave(&pieces, &places).map_err(|error| error.to_string())
    }
}

/// Looks once at a future; what it said, after which it is gone.
fn poll(future: &mut Option<FfiFuture<bool>>) -> Option<bool> {
    let pending = future.as_mut()?;
    match Future::poll(Pin::new(pending), &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(said) => {
            *future = None;
            Some(said)
        }
        Poll::Pending => None,
    }
}

/// The rows of a batch with these numbers.
pub(crate) fn rows(batch: &RecordBatch, numbers: &[usize]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let numbers = UInt64Array::from_iter_values(numbers.iter().map(|number| *number as u64));
    let columns = batch.columns().iter().map(|column| take(column, &numbers, None)).collect::<Result<Vec<ArrayRef>, _>>()?;
    RecordBatch::try_new(batch.schema(), columns)
}
