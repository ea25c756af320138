//! The audit: who changed or asked what, from where, why, and how it ended, as a chain of entries that nobody can alter unseen.
//!
//! An entry is stored as its *canonical form*: JSON without spaces, the names in the order of the alphabet, absent values
//! left out. Its `hash` is the SHA-256 of the same form without `hash`; as `prev` is the hash of the entry before, each
//! hash stands for everything up to there. [`Checker`] finds what was changed, taken out, put in or moved; what was cut
//! off at the end shows against a [`Head`] that was kept elsewhere. Anybody can check the same with a dozen lines of any
//! language.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// CloudEvents type of an entry.
pub const ENTRY_TYPE: &str = "io.citybrain.audit.entry.v1";

/// What stands for the hash before the first entry of a chain.
pub const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is about to be tried: written before a change. The entry that says how it ended names this one in `asked`.
    Asked,
    /// It was done.
    Done,
    /// It was not allowed, or made no sense: nothing was changed.
    Refused,
    /// Something of ours failed; what was changed is not known.
    Failed,
}

impl Outcome {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Asked => "asked",
            Outcome::Done => "done",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        }
    }
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What was asked for: `command.close`, `device.revoke`, or the name of the operation in the description of the doors.
    pub action: String,
    /// Who: a person's id, `token`, `local`, `device:<id>`, or `unknown`.
    pub actor: String,
    /// The number of the entry that announced it.
    pub asked: Option<u64>,
    /// Counts, permission, and what else is worth knowing.
    pub details: BTreeMap<String, String>,
    /// Through which door: `http`, `open311`, `sensorthings`, `terminal`, `file`.
    pub door: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Where the log has what was changed.
    pub position: Option<String>,
    /// Why, in the words of who asked.
    pub reason: Option<String>,
    /// The address that it came from.
    pub remote: Option<String>,
    /// The status of the answer, where there is one.
    pub status: Option<u16>,
    /// What it was about.
    pub subject: Option<String>,
    /// When, by the clock of who wrote it down.
    pub time: DateTime<Utc>,
    /// Why it was refused or failed.
    pub why: Option<String>,
}

impl Note {
    /// A note of something that was done; whoever knows more fills it in.
    pub fn new(actor: impl Into<String>, door: impl Into<String>, action: impl Into<String>, time: DateTime<Utc>) -> Note {
        Note {
            action: action.into(),
            actor: actor.into(),
            asked: None,
            details: BTreeMap::new(),
            door: door.into(),
            outcome: Outcome::Done,
            position: None,
            reason: None,
            remote: None,
            status: None,
            subject: None,
            time,
            why: None,
        }
    }
}

/// A note in its place in a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The chain: each process that writes the audit has its own.
    pub chain: String,
    /// Its number in the chain: without gaps, from 0.
    pub seq: u64,
    /// The hash of the entry before, hexadecimal.
    pub prev: String,
    /// What it says.
    pub note: Note,
    /// Its own hash, hexadecimal.
    pub hash: String,
}

/// The canonical form; the names in the order of the alphabet.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    action: String,
    actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked: Option<u64>,
    chain: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    details: BTreeMap<String, String>,
    door: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<String>,
    prev: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remote: Option<String>,
    seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    time: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Entry {
    /// Puts a note behind a head.
    pub fn after(head: &Head, note: Note) -> Entry {
        let mut entry = Entry { chain: head.chain.clone(), seq: head.next, prev: head.hash.clone(), note, hash: String::new() };
        entry.hash = sha256(entry.line(None).as_bytes());
        entry
    }

    fn line(&self, hash: Option<String>) -> String {
        let Note { action, actor, asked, details, door, outcome, position, reason, remote, status, subject, time, why } = self.note.clone();
        let (chain, prev, seq) = (self.chain.clone(), self.prev.clone(), self.seq);
        let line = Line { action, actor, asked, chain, details, door, hash, outcome, position, prev, reason, remote, seq, status, subject, time, why };
        serde_json::to_string(&line).expect("an entry is text and integers")
    }

    /// The line that is stored: the canonical form, with the hash.
    pub fn to_json(&self) -> String {
        self.line(Some(self.hash.clone()))
    }

    /// Reads a stored line. Says nothing of whether its hash is right: [`Checker`] does.
    ///
    /// # Errors
    /// What is wrong with a line that is no entry.
    pub fn from_json(text: &str) -> Result<Entry, serde_json::Error> {
        let Line { action, actor, asked, chain, details, door, hash, outcome, position, prev, reason, remote, seq, status, subject, time, why } =
            serde_json::from_str(text)?;
        let note = Note { action, actor, asked, details, door, outcome, position, reason, remote, status, subject, time, why };
        Ok(Entry { chain, seq, prev, note, hash: hash.unwrap_or_default() })
    }

    /// The head of the chain that ends with this entry.
    pub fn head(&self) -> Head {
        Head { chain: self.chain.clone(), next: self.seq + 1, hash: self.hash.clone() }
    }
}

/// The end of a chain: what is to be kept elsewhere, so that nobody can cut entries off unseen.
///
/// As text it is `chain/number of entries/hash`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// The chain.
    pub chain: String,
    /// The number that the next entry gets: how many there are.
    pub next: u64,
    /// The hash of the last entry, hexadecimal.
    pub hash: String,
}

impl Head {
    /// The head of a chain without entries.
    pub fn of_new(chain: impl Into<String>) -> Head {
        Head { chain: chain.into(), next: 0, hash: BEGINNING.to_owned() }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.chain, self.next, self.hash)
    }
}

/// Why a text is no head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the head of an audit chain, such as 3f0c.../1204/9b1d...: chain/number of entries/hash")]
pub struct HeadError(String);

impl FromStr for Head {
    type Err = HeadError;

    fn from_str(text: &str) -> Result<Head, HeadError> {
        let refuse = || HeadError(text.chars().take(200).collect());
        let mut parts = text.trim().split('/');
        let (Some(chain), Some(next), Some(hash), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else { return Err(refuse()) };
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if chain.is_empty() || !is_hash {
            return Err(refuse());
        }
        Ok(Head { chain: chain.to_owned(), next: next.parse().map_err(|_| refuse())?, hash: hash.to_owned() })
    }
}

/// What is wrong in an audit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A line is no entry.
    #[error("line {line} is no entry: {problem}")]
    Unreadable {
        /// Its place, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// An entry was altered.
    #[error("entry {seq} of chain {chain} was altered: its content does not have its hash")]
    Altered {
        /// The chain.
        chain: String,
        /// Its number.
        seq: u64,
    },
    /// An entry is not where it belongs.
    #[error("chain {chain} goes from entry {expected} on with entry {found}: entries were taken out, put in or moved")]
    Jump {
        /// The chain.
        chain: String,
        /// The number that should come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// An entry does not follow from the one before.
    #[error("entry {seq} of chain {chain} does not follow from the one before: one of them was replaced")]
    Link {
        /// The chain.
        chain: String,
        /// Its number.
        seq: u64,
    },
    /// A head that was kept elsewhere is not there.
    #[error("chain {chain} had {next} entries and the hash {hash} once; now it has {now}: its end was cut off or replaced")]
    Cut {
        /// The chain.
        chain: String,
        /// Entries that it had.
        next: u64,
        /// The hash of the last of them.
        hash: String,
        /// Entries that it has now.
        now: u64,
    },
}

/// Checks entries in the order of the log, of one chain or of several.
#[derive(Debug, Default)]
pub struct Checker {
    line: u64,
    heads: BTreeMap<String, Head>,
    /// Where each chain began to be looked at.
    begun: BTreeMap<String, u64>,
    /// Heads that were kept elsewhere and have not been passed yet, and those that have.
    kept: BTreeSet<Head>,
    entries: u64,
    flaws: Vec<Flaw>,
}

/// Flaws that are kept; behind the first few the rest tells nothing new.
const FLAWS_MAX: usize = 100;

impl Checker {
    /// A checker that begins at the beginning, and expects these heads on its way.
    pub fn new(kept: impl IntoIterator<Item = Head>) -> Checker {
        Checker { kept: kept.into_iter().collect(), ..Checker::default() }
    }

    /// The same for a stretch that begins behind `head`.
    pub fn begin_after(mut self, head: Head) -> Checker {
        self.begun.insert(head.chain.clone(), head.next);
        self.heads.insert(head.chain.clone(), head);
        self
    }

    /// Takes the next line.
    pub fn take(&mut self, line: &str) {
        self.line += 1;
        let entry = match Entry::from_json(line) {
            Ok(entry) => entry,
            Err(error) => return self.found(Flaw::Unreadable { line: self.line, problem: error.to_string() }),
        };
        let chain = entry.chain.clone();
        // The line itself is compared as well: another spelling of the same content is an alteration, too.
        if sha256(entry.line(None).as_bytes()) != entry.hash || entry.to_json() != line {
            self.found(Flaw::Altered { chain: chain.clone(), seq: entry.seq });
        }
        let before = self.heads.entry(chain.clone()).or_insert_with(|| Head::of_new(chain.clone())).clone();
        if entry.seq != before.next {
            self.found(Flaw::Jump { chain: chain.clone(), expected: before.next, found: entry.seq });
        } else if entry.prev != before.hash {
            self.found(Flaw::Link { chain: chain.clone(), seq: entry.seq });
        }
        let head = entry.head();
        self.kept.remove(&head);
        self.heads.insert(chain, head);
        self.entries += 1;
    }

    fn found(&mut self, flaw: Flaw) {
        if self.flaws.len() < FLAWS_MAX {
            self.flaws.push(flaw);
        }
    }

    /// What was found.
    pub fn finish(mut self) -> Verdict {
        for head in std::mem::take(&mut self.kept) {
            let now = self.heads.get(&head.chain).map_or(0, |head| head.next);
            // A head from before the stretch that was looked at says nothing about it.
            let begun = self.begun.get(&head.chain).copied().unwrap_or(0);
            if head.next > begun {
                self.found(Flaw::Cut { chain: head.chain, next: head.next, hash: head.hash, now });
            }
        }
        Verdict { entries: self.entries, heads: self.heads.into_values().collect(), flaws: self.flaws }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Entries that were read.
    pub entries: u64,
    /// The end of each chain.
    pub heads: Vec<Head>,
    /// What is wrong, the first hundred.
    pub flaws: Vec<Flaw>,
}

/// The SHA-256 of some bytes, hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn note(number: usize) -> Note {
        let time = DateTime::from_timestamp_micros(1_700_000_000_000_000 + number as i64 * 1_500_123).expect("a time");
        Note {
            subject: Some(format!("case-{number:012}")),
            reason: (number % 2 == 0).then(|| "路面 \"积水\"\n\u{1}".to_owned()),
            details: BTreeMap::from([("accepted".to_owned(), number.to_string())]),
            outcome: [Outcome::Done, Outcome::Refused, Outcome::Asked][number % 3],
            ..Note::new("wang", "http", "command.close", time)
        }
    }

    fn chain(name: &str, length: usize) -> Vec<Entry> {
        let mut head = Head::of_new(name);
        (0..length)
            .map(|number| {
                let entry = Entry::after(&head, note(number));
                head = entry.head();
                entry
            })
            .collect()
    }

    fn check<'a>(lines: impl IntoIterator<Item = &'a String>, kept: &[Head]) -> Verdict {
        let mut checker = Checker::new(kept.iter().cloned());
        lines.into_iter().for_each(|line| checker.take(line));
        checker.finish()
    }

    fn lines(entries: &[Entry]) -> Vec<String> {
        entries.iter().map(Entry::to_json).collect()
    }

    #[test]
    fn a_chain_is_whole_and_reads_back() {
        let entries = chain("a", 20);
        let verdict = check(&lines(&entries), &[entries[7].head(), entries[19].head()]);
        assert_eq!((verdict.entries, verdict.flaws.as_slice(), verdict.heads[0].next), (20, &[][..], 20));
        for entry in &entries {
            assert_eq!(Entry::from_json(&entry.to_json()).unwrap(), *entry);
            assert_eq!(entry.head().to_string().parse(), Ok(entry.head()));
        }
    }

    #[test]
    fn the_canonical_form_is_sorted_json() {
        let entry = &chain("a", 3)[2];
        let value: BTreeMap<String, serde_json::Value> = serde_json::from_str(&entry.to_json()).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), entry.to_json());
        let mut bare = value;
        bare.remove("hash");
        assert_eq!(sha256(serde_json::to_string(&bare).unwrap().as_bytes()), entry.hash);
    }

    #[test]
    fn several_chains_share_a_log() {
        let (a, b) = (lines(&chain("a", 5)), lines(&chain("b", 4)));
        let mixed = [&a[0], &b[0], &b[1], &a[1], &a[2], &b[2], &a[3], &b[3], &a[4]];
        assert_eq!(check(mixed, &[]).flaws, []);
        assert!(!check([&a[0], &b[0], &a[2], &b[1]], &[]).flaws.is_empty());
    }

    #[test]
    fn what_is_cut_off_shows_against_a_head() {
        let entries = chain("a", 10);
        let stored = lines(&entries[..8]);
        assert_eq!(check(&stored, &[]).flaws, [], "the entries alone do not tell");
        let kept = entries[9].head();
        assert_eq!(check(&stored, std::slice::from_ref(&kept)).flaws, [Flaw::Cut { chain: "a".into(), next: 10, hash: kept.hash.clone(), now: 8 }]);
        let rewritten: Vec<Entry> = {
            let mut head = entries[7].head();
            (0..4).map(|number| { let entry = Entry::after(&head, note(number)); head = entry.head(); entry }).collect()
        };
        let all: Vec<String> = stored.iter().cloned().chain(lines(&rewritten)).collect();
        assert_eq!(check(&all, &[kept]).flaws.len(), 1, "nor may an end be rewritten");
    }

    #[test]
    fn a_stretch_is_checked_by_itself() {
        let entries = chain("a", 10);
        let mut checker = Checker::new([entries[2].head(), entries[6].head()]).begin_after(entries[3].head());
        lines(&entries[4..]).iter().for_each(|line| checker.take(line));
        assert_eq!(checker.finish().flaws, []);
    }

    proptest! {
        #[test]
        fn any_flip_of_any_byte_is_found(at in 0usize..12, byte in 0usize..200, flip in 1u8..=255) {
            let mut stored = lines(&chain("a", 12));
            let mut bytes = stored[at].clone().into_bytes();
            let place = byte % bytes.len();
            bytes[place] ^= flip;
            // Bytes that are no text do not come as far as a line.
            prop_assume!(std::str::from_utf8(&bytes).is_ok());
            stored[at] = String::from_utf8(bytes).unwrap();
            prop_assert!(!check(&stored, &[chain("a", 12)[11].head()]).flaws.is_empty());
        }

        #[test]
        fn what_is_taken_out_put_in_or_moved_is_found(from in 0usize..12, to in 0usize..12, how in 0u8..3) {
            let (mut stored, head) = (lines(&chain("a", 12)), chain("a", 12)[11].head());
            match how {
                0 => drop(stored.remove(from)),
                1 => { let line = stored[from].clone(); stored.insert(to, line); }
                _ => { prop_assume!(from != to); let line = stored.remove(from); stored.insert(to, line); }
            }
            prop_assert!(!check(&stored, &[head]).flaws.is_empty());
        }
    }
}
