//! A bounded number of workers, and which rows of a batch fail.
//!
//! A batch goes to a worker whole. Panics come back as rows. If the worker ends or takes too long, the batch is tried again
//! row by row in a new one: the row after the last answer is the one that fails, and the rest goes on behind it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::interleave;

use crate::call::rows;
use crate::error::UdfError;
use crate::frame::{self, Mode, Reply, Request};
use crate::limits::Limits;
use crate::manifest::{Kind, Manifest};
use crate::process::{Died, Worker, WorkerCommand};

/// Workers that are lent to one caller at a time.
pub(crate) struct Pool {
    command: WorkerCommand,
    folder: PathBuf,
    manifests: Vec<Manifest>,
    limits: Limits,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Worker>,
    lent: usize,
}

/// The values of a batch, with the rows that failed and why, in order.
pub(crate) struct Called {
    pub values: ArrayRef,
    pub failed: Vec<(usize, String)>,
}

/// A worker's answers come a little after its own time limit.
const GRACE: Duration = Duration::from_millis(500);

impl Pool {
    pub(crate) fn new(command: WorkerCommand, folder: PathBuf, manifests: Vec<Manifest>, limits: Limits) -> Self {
        Self { command, folder, manifests, limits, state: Mutex::default(), freed: Condvar::new() }
    }

    pub(crate) fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Calls a function for every row of a batch.
    pub(crate) fn call(&self, manifest: &Manifest, batch: &RecordBatch) -> Result<Called, UdfError> {
        let mut attempt = Attempt::new(self, manifest, batch);
        let most = self.limits.batch_rows_max.max(1);
        for start in (0..batch.num_rows()).step_by(most) {
            attempt.part(start, most.min(batch.num_rows() - start))?;
        }
        attempt.called()
    }

    /// Loads a function and sees whether it is what its manifest says.
    pub(crate) fn probe(&self, manifest: &Manifest) -> Result<(), UdfError> {
        let unusable = |reason: String| UdfError::Function { function: manifest.name.clone(), reason };
        let mut lent = self.lend()?;
        let mut panicked = false;
        let request = Request { function: manifest.name.clone(), mode: Mode::Probe, timeout_ms: millis(self.limits.batch_timeout) };
        let deadline = Instant::now() + self.limits.batch_timeout;
        lent.ask(&request, &[]).map_err(|died| unusable(format!("when it was loaded, {}", self.tell(died, self.limits.batch_timeout))))?;
        loop {
            let heard = lent.hear(deadline);
            let (reply, _) = heard.map_err(|died| unusable(format!("when it was loaded, {}", self.tell(died, self.limits.batch_timeout))))?;
            match reply {
                Reply::Loaded => {}
                Reply::Values { .. } => panicked = true,
                Reply::Unusable { reason } => return Err(unusable(reason)),
                Reply::Done { .. } => break,
            }
        }
        let reason = panicked.then(|| lent.reason());
        self.give_back(lent);
        match reason {
            // An aggregate may well refuse a single zero; arrow's own words tell that the types are wrong.
            Some(reason) if manifest.kind == Kind::Scalar || reason.contains("expected data type") || reason.contains("expects DataType") => {
                Err(unusable(format!("it does not take the types of its manifest ({reason}): write the manifest with udfs/build.sh")))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lend(&self) -> Result<Lent<'_>, UdfError> {
        let full = |state: &mut State| state.idle.is_empty() && state.lent >= self.limits.workers_max.max(1);
        let mut state = self.freed.wait_while(self.state(), full).unwrap_or_else(PoisonError::into_inner);
        let idle = state.idle.pop();
        state.lent += 1;
        drop(state);
        // Made before the worker, so that a worker that cannot start leaves its place.
        let mut lent = Lent { pool: self, worker: None };
        lent.worker = Some(match idle {
            Some(worker) => worker,
            None => Worker::start(&self.command, &self.folder, &self.manifests, &self.limits)?,
        });
        Ok(lent)
    }

    fn give_back(&self, mut lent: Lent<'_>) {
        self.state().idle.extend(lent.worker.take());
    }

    fn tell(&self, died: Died, timeout: Duration) -> String {
        match died {
            Died::Ended(how) => how,
            Died::TooLate => format!("it took longer than {timeout:?}"),
            Died::TooLarge => format!("it took more than {} MiB of memory", self.limits.worker_bytes_max >> 20),
        }
    }
}

/// A worker in use. Dropped without being given back, it is ended.
struct Lent<'a> {
    pool: &'a Pool,
    worker: Option<Worker>,
}

impl std::ops::Deref for Lent<'_> {
    type Target = Worker;
    fn deref(&self) -> &Worker {
        self.worker.as_ref().expect("a lent worker is there until it is given back")
    }
}

impl std::ops::DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut Worker {
        self.worker.as_mut().expect("a lent worker is there until it is given back")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        drop(self.worker.take());
        self.pool.state().lent -= 1;
        self.pool.freed.notify_one();
    }
}

/// One batch on its way through.
struct Attempt<'a> {
    pool: &'a Pool,
    manifest: &'a Manifest,
    batch: &'a RecordBatch,
    /// Answers, each the values of several rows; the first is a NULL.
    pieces: Vec<ArrayRef>,
    /// For each row, the piece and the place in it that hold its value.
    places: Vec<(usize, usize)>,
    failed: Vec<(usize, String)>,
    restarts: usize,
    deadline: Instant,
}

impl<'a> Attempt<'a> {
    fn new(pool: &'a Pool, manifest: &'a Manifest, batch: &'a RecordBatch) -> Self {
        Self {
            pool,
            manifest,
            batch,
            pieces: vec![new_null_array(&manifest.returns.sql.arrow(), 1)],
            places: vec![(0, 0); batch.num_rows()],
            failed: Vec::new(),
            restarts: 0,
            deadline: Instant::now() + pool.limits.total_timeout,
        }
    }

    fn called(mut self) -> Result<Called, UdfError> {
        self.failed.sort_by_key(|(row, _)| *row);
        let whole = |(row, place): (usize, &(usize, usize))| *place == (1, row);
        if self.pieces.len() == 2 && self.pieces[1].len() == self.places.len() && self.places.iter().enumerate().all(whole) {
            return Ok(Called { values: self.pieces.swap_remove(1), failed: self.failed });
        }
        if self.places.is_empty() {
            return Ok(Called { values: self.pieces[0].slice(0, 0), failed: self.failed });
        }
        let pieces: Vec<&dyn Array> = self.pieces.iter().map(|piece| piece.as_ref()).collect();
        let values = interleave(&pieces, &self.places).map_err(|error| self.unusable(error.to_string()))?;
        Ok(Called { values, failed: self.failed })
    }

    /// Some rows whole, and what is left of them row by row.
    fn part(&mut self, start: usize, length: usize) -> Result<(), UdfError> {
        let numbers: Vec<usize> = (start..start + length).collect();
        let mut left = self.whole(&numbers)?;
        while !left.is_empty() {
            if self.restarts > self.pool.limits.restarts_max || Instant::now() >= self.deadline {
                let reason = "not tried: too many rows before it in the same batch had stopped the function";
                self.failed.extend(left.drain(..).map(|row| (row, reason.to_owned())));
            } else {
                self.one_by_one(&mut left)?;
            }
        }
        Ok(())
    }

    /// Asks for rows at once; the rows that must be tried one by one.
    fn whole(&mut self, numbers: &[usize]) -> Result<VecDeque<usize>, UdfError> {
        let timeout = self.pool.limits.batch_timeout;
        let batch = self.batch.slice(numbers[0], numbers.len());
        let mut worker = self.pool.lend()?;
        if self.ask(&mut worker, Mode::Whole, &batch, timeout)?.is_err() {
            self.restarts += 1;
            return Ok(numbers.iter().copied().collect());
        }
        let mut left = Vec::new();
        loop {
            match worker.hear(self.until(timeout)) {
                Err(_) => {
                    self.restarts += 1;
                    return Ok(numbers.iter().copied().collect());
                }
                Ok((Reply::Unusable { reason }, _)) => return Err(self.unusable(reason)),
                Ok((Reply::Loaded, _)) => {}
                Ok((Reply::Done { spent }, _)) => {
                    if !spent {
                        self.pool.give_back(worker);
                    }
                    return Ok(left.into());
                }
                Ok((Reply::Values { failed, missing }, body)) => {
                    left = missing.iter().filter_map(|row| numbers.get(*row).copied()).collect();
                    self.take(&worker, numbers, body, failed.into_iter().filter(|(row, _)| !missing.contains(row)).collect())?;
                }
            }
        }
    }

    /// Takes rows from the front of `left` until all are answered or one stops the worker.
    fn one_by_one(&mut self, left: &mut VecDeque<usize>) -> Result<(), UdfError> {
        let timeout = self.pool.limits.row_timeout;
        let batch = rows(self.batch, left.make_contiguous()).map_err(|error| self.unusable(error.to_string()))?;
        let mut worker = self.pool.lend()?;
        let asked = self.ask(&mut worker, Mode::Rows, &batch, timeout)?;
        // Starting the process and loading the function is not the first row's fault.
        let loaded = asked.and_then(|()| worker.hear(self.until(self.pool.limits.batch_timeout)));
        match loaded {
            Ok((Reply::Loaded, _)) => {}
            Ok((Reply::Unusable { reason }, _)) => return Err(self.unusable(reason)),
            Ok(_) | Err(_) => {
                self.restarts += 1;
                return Ok(());
            }
        }
        let died = loop {
            match worker.hear(self.until(timeout)) {
                Err(how) => break how,
                Ok((Reply::Loaded, _)) => {}
                Ok((Reply::Unusable { reason }, _)) => return Err(self.unusable(reason)),
                Ok((Reply::Done { spent }, _)) => {
                    if !spent {
                        self.pool.give_back(worker);
                    }
                    return Ok(());
                }
                Ok((Reply::Values { failed, missing }, body)) => {
                    let row = left.pop_front().ok_or_else(|| self.unusable("it answers more rows than it was asked for".into()))?;
                    self.take(&worker, &[row], body, failed)?;
                    // Each of these has cost as much time as a row that stops the worker.
                    self.restarts += missing.len();
                    if self.restarts > self.pool.limits.restarts_max || Instant::now() >= self.deadline {
                        return Ok(());
                    }
                }
            }
        };
        self.restarts += 1;
        if let Some(row) = left.pop_front() {
            self.failed.push((row, self.pool.tell(died, timeout)));
        }
        Ok(())
    }

    /// Keeps the values of rows, and why some have none.
    fn take(&mut self, worker: &Worker, numbers: &[usize], body: Vec<u8>, failed: Vec<(usize, Option<String>)>) -> Result<(), UdfError> {
        let values = frame::decode(body).map_err(|error| self.unusable(format!("its values cannot be read: {error}")))?;
        let [values] = values.columns() else { return Err(self.unusable("it gives no column of values".into())) };
        if values.len() != numbers.len() || *values.data_type() != self.manifest.returns.sql.arrow() {
            return Err(self.unusable(format!("it gives {} values of {} for {} rows", values.len(), values.data_type(), numbers.len())));
        }
        for (place, row) in numbers.iter().enumerate() {
            self.places[*row] = (self.pieces.len(), place);
        }
        self.pieces.push(values.clone());
        for (row, reason) in failed {
            let reason = reason.unwrap_or_else(|| worker.reason());
            self.failed.extend(numbers.get(row).map(|row| (*row, reason)));
        }
        Ok(())
    }

    fn ask(&self, worker: &mut Worker, mode: Mode, batch: &RecordBatch, timeout: Duration) -> Result<Result<(), Died>, UdfError> {
        let body = frame::encode(batch).map_err(|error| self.unusable(format!("its arguments cannot be sent: {error}")))?;
        let request = Request { function: self.manifest.name.clone(), mode, timeout_ms: millis(timeout) };
        Ok(worker.ask(&request, &body))
    }

    fn until(&self, timeout: Duration) -> Instant {
        // An async function is waited for by the worker, which then tells what was finished.
        let grace = if self.manifest.kind == Kind::Async { GRACE } else { Duration::ZERO };
        Instant::now() + timeout + grace
    }

    fn unusable(&self, reason: String) -> UdfError {
        UdfError::Function { function: self.manifest.name.clone(), reason }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
