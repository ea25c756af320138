//! A worker from outside: started, asked, and stopped when its time is over.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::call::{ROW_BEGINS, ROW_FAILED};
use crate::error::UdfError;
use crate::frame::{self, Hello, Reply, Request};
use crate::limits::{Limits, REASON_CHARS_MAX};
use crate::manifest::Manifest;

/// The program that runs [`crate::worker::main`], with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// A running worker. Dropping it ends it.
pub(crate) struct Worker {
    child: Child,
    socket: UnixStream,
    said: Arc<Said>,
    bytes_max: u64,
}

/// Why a worker gave no answer.
pub(crate) enum Died {
    /// It ended by itself; the text says how.
    Ended(String),
    /// Its time was over.
    TooLate,
    /// It took too much memory.
    TooLarge,
}

/// How often a waiting reader looks at the clock and at the worker's memory.
const TICK: Duration = Duration::from_millis(20);
/// How long we wait for a reason that was already written when the answer came.
const REASON_WAIT: Duration = Duration::from_millis(500);

impl Worker {
    pub(crate) fn start(command: &WorkerCommand, folder: &Path, manifests: &[Manifest], limits: &Limits) -> Result<Self, UdfError> {
        let failed = |error: io::Error| UdfError::Worker { program: command.program.display().to_string(), reason: error.to_string() };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let (output, input) = io::pipe().map_err(failed)?;
        let child = Command::new(&command.program)
            .args(&command.args)
            // The environment of the city brain holds secrets, which are no business of a function.
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| ["PATH", "LANG", "TZ", "HOME", "TMPDIR"].iter().any(|it| name == it)))
            .env("UDF_DATA", folder)
            .current_dir(folder)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(input.try_clone().map_err(failed)?)
            .stderr(input)
            .spawn()
            .map_err(failed)?;
        let said = Arc::new(Said::default());
        let listener = said.clone();
        let mut worker = Self { child, socket: ours, said, bytes_max: limits.worker_bytes_max };
        std::thread::Builder::new().name("udf-output".into()).spawn(move || listener.listen(output)).map_err(failed)?;
        worker.socket.set_read_timeout(Some(TICK)).map_err(failed)?;
        worker.socket.set_write_timeout(Some(limits.batch_timeout)).map_err(failed)?;
        let hello = Hello { folder: folder.to_owned(), manifests: manifests.to_vec() };
        frame::write(&mut worker.socket, &hello, &[]).map_err(failed)?;
        Ok(worker)
    }

    pub(crate) fn ask(&mut self, request: &Request, body: &[u8]) -> Result<(), Died> {
        frame::write(&mut self.socket, request, body).map_err(|error| self.why(&error))
    }

    /// The next frame of the answer.
    pub(crate) fn hear(&mut self, deadline: Instant) -> Result<(Reply, Vec<u8>), Died> {
        let watched = self.child.id();
        let mut patient = Patient { socket: &self.socket, deadline, process: watched, bytes_max: self.bytes_max, too_large: false };
        let heard = frame::read(&mut patient);
        let too_large = patient.too_large;
        heard.map_err(|error| if too_large { Died::TooLarge } else { self.why(&error) })
    }

    /// What a row that panicked said.
    pub(crate) fn reason(&self) -> String {
        self.said.next_reason().filter(|it| !it.is_empty()).unwrap_or_else(|| "it panicked".into())
    }

    fn why(&mut self, error: &io::Error) -> Died {
        if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
            return Died::TooLate;
        }
        // The socket is closed or in disorder: the process is ending, or shall.
        if error.kind() == io::ErrorKind::InvalidData {
            let _ = self.child.kill();
        }
        let status = self.wait();
        let last = self.said.last_words();
        Died::Ended(if last.is_empty() { status } else { format!("{status}: {last}") })
    }

    fn wait(&mut self) -> String {
        let since = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return format!("its process ended ({status})"),
                Ok(None) if since.elapsed() < REASON_WAIT => std::thread::sleep(Duration::from_millis(1)),
                Ok(None) | Err(_) => return "its process closed the connection".into(),
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill, and only its status to take.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until the deadline, looking up in between.
struct Patient<'a> {
    socket: &'a UnixStream,
    deadline: Instant,
    process: u32,
    bytes_max: u64,
    too_large: bool,
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.socket.read(buffer) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    self.too_large = resident_bytes(self.process).is_some_and(|bytes| bytes > self.bytes_max);
                    if self.too_large || Instant::now() >= self.deadline {
                        return Err(error);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

/// What a process holds in memory; `None` where the system does not tell in `/proc`.
fn resident_bytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1_024)
}

/// What a worker said on standard output and standard error.
#[derive(Default)]
struct Said {
    state: Mutex<Words>,
    news: Condvar,
}

#[derive(Default)]
struct Words {
    /// Since the last mark, cut to what a reason may hold.
    current: String,
    /// Of rows that panicked, oldest first.
    reasons: VecDeque<String>,
    /// Whether no more is to come: the process ended, or a reason that was due did not come.
    ended: bool,
}

/// The longest line of a worker that is read at once, and the most text that is kept.
const WORDS_BYTES_MAX: usize = 4_096;
/// The most reasons that are kept until somebody takes them: as many as rows in a batch.
const REASONS_MAX: usize = 65_536;

impl Said {
    fn state(&self) -> MutexGuard<'_, Words> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, output: io::PipeReader) {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        loop {
            line.clear();
            match output.by_ref().take(WORDS_BYTES_MAX as u64).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => self.state().hear(&String::from_utf8_lossy(&line)),
            }
            self.news.notify_all();
        }
        self.state().ended = true;
        self.news.notify_all();
    }

    fn next_reason(&self) -> Option<String> {
        let waiting = |words: &mut Words| words.reasons.is_empty() && !words.ended;
        let waited = self.news.wait_timeout_while(self.state(), REASON_WAIT, waiting);
        let mut words = waited.unwrap_or_else(PoisonError::into_inner).0;
        let reason = words.reasons.pop_front();
        words.ended |= reason.is_none();
        reason
    }

    /// What was said last, of a process that has ended.
    fn last_words(&self) -> String {
        let waited = self.news.wait_timeout_while(self.state(), REASON_WAIT, |words| !words.ended);
        told(&waited.unwrap_or_else(PoisonError::into_inner).0.current)
    }
}

impl Words {
    fn hear(&mut self, line: &str) {
        match line.trim_end_matches('\n') {
            ROW_BEGINS => self.current.clear(),
            ROW_FAILED if self.reasons.len() < REASONS_MAX => {
                self.reasons.push_back(told(&self.current));
                self.current.clear();
            }
            _ => {
                self.current.push_str(line);
                if self.current.len() > WORDS_BYTES_MAX {
                    let from = self.current.len() - WORDS_BYTES_MAX / 2;
                    self.current.drain(..self.current.ceil_char_boundary(from));
                }
            }
        }
    }
}

/// The message of a panic without its place in the source and the advice behind it, cut to a reason's length.
fn told(text: &str) -> String {
    let noise = |line: &&str| !(line.is_empty() || line.contains(" panicked at ") || line.starts_with("note: run with") || line.starts_with("stack backtrace:"));
    let said: Vec<&str> = text.lines().map(str::trim).filter(noise).collect();
    let said: String = said.join(" ").chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_panic() {
        let text = "\nthread 'main' (77) panicked at src/lib.rs:9:20:\nno such pump\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        assert_eq!(told(text), "no such pump");
        assert_eq!(told(&"水".repeat(1_000)).chars().count(), REASON_CHARS_MAX);
    }

    #[test]
    fn what_was_said_before_a_row_is_not_its_reason() {
        let mut words = Words::default();
        for line in ["of another row\n", "\u{1d}\n", "mine\n", "\u{1e}\n", "later\n"] {
            words.hear(line);
        }
        assert_eq!(words.reasons, ["mine"]);
        words.hear(&"long ".repeat(10_000));
        assert!(words.current.len() <= WORDS_BYTES_MAX);
    }
}
