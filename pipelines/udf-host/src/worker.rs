//! A worker from inside: a process that maps shared objects and calls them, and may die of it.
//!
//! Standard input is a socket, on which it is asked and answers; standard output and standard error are for what functions
//! print and for the reasons of panics. It ends when the socket does, or the process that started it.

use std::collections::BTreeMap;
use std::io::{BufReader, BufWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use arrow::array::RecordBatch;

use crate::call::{Answer, Function};
use crate::frame::{self, Hello, Mode, Reply, Request};
use crate::manifest::Manifest;

/// Serves until nobody asks any more. The product calls it for a hidden subcommand, tests from a small program.
pub fn main() -> ExitCode {
    end_with_the_parent();
    let socket = std::io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    match socket.and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("a worker for user-defined functions is started by the city brain, not by hand: {error}");
            ExitCode::FAILURE
        }
    }
}

/// How often a worker looks whether its parent still lives.
const LOOK: Duration = Duration::from_millis(500);

/// A call that hangs would outlive the process that waits for it.
fn end_with_the_parent() {
    let parent = std::os::unix::process::parent_id();
    std::thread::spawn(move || {
        while std::os::unix::process::parent_id() == parent {
            std::thread::sleep(LOOK);
        }
        std::process::exit(1);
    });
}

fn serve(socket: UnixStream) -> std::io::Result<()> {
    let mut from = BufReader::with_capacity(1 << 16, socket.try_clone()?);
    let mut to = BufWriter::with_capacity(1 << 16, socket);
    let (hello, _): (Hello, Vec<u8>) = frame::read(&mut from)?;
    let mut functions = Functions::new(hello);
    loop {
        let (request, body): (Request, Vec<u8>) = frame::read(&mut from)?;
        answer(&mut functions, &request, body, &mut to)?;
        to.flush()?;
    }
}

/// Loaded when they are first asked for.
struct Functions {
    folder: PathBuf,
    manifests: BTreeMap<String, Manifest>,
    loaded: BTreeMap<String, Function>,
}

impl Functions {
    fn new(hello: Hello) -> Self {
        let manifests = hello.manifests.into_iter().map(|it| (it.name.clone(), it)).collect();
        Self { folder: hello.folder, manifests, loaded: BTreeMap::new() }
    }

    fn get(&mut self, name: &str) -> Result<&Function, String> {
        if !self.loaded.contains_key(name) {
            let manifest = self.manifests.get(name).ok_or("it is in no manifest")?;
            self.loaded.insert(name.to_owned(), Function::load(&self.folder, manifest)?);
        }
        Ok(&self.loaded[name])
    }
}

fn answer(functions: &mut Functions, request: &Request, body: Vec<u8>, to: &mut impl Write) -> std::io::Result<()> {
    let timeout = Duration::from_millis(request.timeout_ms);
    let told = match (functions.get(&request.function), request.mode) {
        (Err(reason), _) => Err(reason),
        (Ok(function), Mode::Probe) => match function.probe() {
            Err(reason) if reason.is_empty() => {
                frame::write(to, &Reply::Values { failed: vec![(0, None)], missing: Vec::new() }, &[]).map(|()| Ok(false))?
            }
            probed => probed.map(|()| false),
        },
        (Ok(function), Mode::Whole) => match frame::decode(body).map_err(|error| error.to_string()) {
            Err(reason) => Err(reason),
            Ok(batch) => match function.call(&batch, timeout) {
                Err(reason) => Err(reason),
                Ok(answer) => values(&answer, to).map(|()| Ok(!answer.missing.is_empty()))?,
            },
        },
        (Ok(function), Mode::Rows) => match frame::decode(body).map_err(|error| error.to_string()) {
            Err(reason) => Err(reason),
            Ok(batch) => rows(function, &batch, timeout, to)?,
        },
    };
    match told {
        Ok(spent) => frame::write(to, &Reply::Done { spent }, &[]),
        Err(reason) => frame::write(to, &Reply::Unusable { reason }, &[]),
    }
}

/// One row after the other, each told before the next begins.
fn rows(function: &Function, batch: &RecordBatch, timeout: Duration, to: &mut impl Write) -> std::io::Result<Result<bool, String>> {
    frame::write(to, &Reply::Loaded, &[])?;
    to.flush()?;
    let mut spent = false;
    for row in 0..batch.num_rows() {
        match function.call(&batch.slice(row, 1), timeout) {
            Err(reason) => return Ok(Err(reason)),
            Ok(answer) => {
                values(&answer, to)?;
                to.flush()?;
                spent |= !answer.missing.is_empty();
            }
        }
    }
    Ok(Ok(spent))
}

fn values(answer: &Answer, to: &mut impl Write) -> std::io::Result<()> {
    let batch = frame::batch(vec![answer.values.clone()]).and_then(|batch| frame::encode(&batch));
    let body = batch.map_err(|error| std::io::Error::other(error.to_string()))?;
    frame::write(to, &Reply::Values { failed: answer.failed.clone(), missing: answer.missing.clone() }, &body)
}
