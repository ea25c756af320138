//! A stretch of the audit as a file that anybody can check: entries as they are stored, between what they follow from and
//! what they end in.

use std::io::{BufRead, Write};

use anyhow::{Context, Result, bail};
use schemas::audit::{Checker, Entry, Head, Verdict};
use serde_json::{Value, json};

/// The name of the form.
const FORM: &str = "citybrain.audit/1";

/// Writes a bundle line by line.
pub struct Bundle<W> {
    out: W,
    digest: Digest,
    checker: Checker,
    entries: u64,
}

impl<W: Write> Bundle<W> {
    /// Begins one: behind these heads, as the line says.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn begin(out: W, after: &[Head], about: Value) -> Result<Bundle<W>> {
        let after_text: Vec<String> = after.iter().map(Head::to_string).collect();
        let checker = after.iter().cloned().fold(Checker::new([]), Checker::begin_after);
        let mut bundle = Bundle { out, digest: Digest::default(), checker, entries: 0 };
        bundle.line(&json!({ "bundle": FORM, "after": after_text, "about": about }).to_string())?;
        Ok(bundle)
    }

    fn line(&mut self, line: &str) -> Result<()> {
        self.digest.take(line);
        writeln!(self.out, "{line}").context("could not write the bundle")
    }

    /// Adds an entry as it is stored.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&mut self, entry: &str) -> Result<()> {
        self.entries += 1;
        self.checker.take(entry);
        self.line(entry)
    }

    /// Ends it; gives what the check of its entries found.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn end(mut self) -> Result<Verdict> {
        let verdict = std::mem::take(&mut self.checker).finish();
        let heads: Vec<String> = verdict.heads.iter().map(Head::to_string).collect();
        let last = json!({ "entries": self.entries, "heads": heads, "sha256": self.digest.hex() });
        writeln!(self.out, "{last}").and_then(|()| self.out.flush()).context("could not write the bundle")?;
        Ok(verdict)
    }
}

/// Checks a bundle by itself, and against heads that were kept elsewhere.
///
/// # Errors
/// When it cannot be read, or is no bundle.
pub fn check(mut input: impl BufRead, kept: Vec<Head>) -> Result<(Verdict, Vec<String>)> {
    let mut wrong = Vec::new();
    let mut line = String::new();
    let mut next = |line: &mut String| -> Result<bool> {
        line.clear();
        let read = input.read_line(line).context("could not read the bundle: is it text?")?;
        if line.ends_with('\n') {
            line.pop();
        }
        Ok(read > 0)
    };
    next(&mut line)?;
    let first: Value = serde_json::from_str(&line).context("the first line is no JSON")?;
    if first["bundle"] != FORM {
        bail!("this is no {FORM} bundle");
    }
    let mut digest = Digest::default();
    digest.take(&line);
    let mut checker = Checker::new(kept);
    for head in first["after"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        checker = checker.begin_after(head.parse()?);
    }
    let mut entries = 0_u64;
    let mut last: Option<Value> = None;
    while next(&mut line)? {
        if last.is_some() {
            wrong.push("there is something behind the end".to_owned());
            break;
        }
        if Entry::from_json(&line).is_err() {
            let read: Option<Value> = serde_json::from_str(&line).ok();
            if let Some(end) = read.filter(|end| end["sha256"].is_string()) {
                last = Some(end);
                continue;
            }
        }
        entries += 1;
        digest.take(&line);
        checker.take(&line);
    }
    let verdict = checker.finish();
    let heads: Vec<String> = verdict.heads.iter().map(Head::to_string).collect();
    match last {
        None => wrong.push("its end is missing".to_owned()),
        Some(last) => {
            if last["entries"] != entries || last["heads"] != json!(heads) {
                wrong.push("its end speaks of other entries".to_owned());
            }
            if last["sha256"] != digest.hex() {
                wrong.push("it does not have its digest".to_owned());
            }
        }
    }
    Ok((verdict, wrong))
}

/// The digest of the lines so far: the SHA-256 of the digest before, a line feed, and the line.
#[derive(Default)]
struct Digest(String);

impl Digest {
    fn take(&mut self, line: &str) {
        self.0 = schemas::audit::sha256(format!("{}\n{line}", self.0).as_bytes());
    }

    fn hex(&self) -> &str {
        &self.0
    }
}
