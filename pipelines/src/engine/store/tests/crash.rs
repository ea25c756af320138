//! Crashes, full disks and damage, at every byte of small runs.

use proptest::prelude::*;

use super::model::files;
use super::*;

/// Takes the steps until one fails. Without an owner the store could not even be opened.
pub(super) fn run(folder: &Path, limits: StoreLimits, tape: &Tape, ops: &[Op]) -> (Option<Owner>, Result<(), StoreError>) {
    let mut owner = match Owner::new(folder, limits, tape) {
        Ok(owner) => owner,
        Err(error) => return (None, Err(error)),
    };
    let done = ops.iter().try_for_each(|op| owner.step(op, folder, limits, tape));
    (Some(owner), done)
}

/// The store refuses more work, and the folder holds what was durable or what the failed step would have made so.
pub(super) fn check_after_failure(folder: &Path, limits: StoreLimits, owner: Option<Owner>) {
    let (durable, next) = match owner {
        Some(mut owner) => {
            assert!(owner.is_opening || matches!(owner.store.commit(b"more"), Err(StoreError::Stopped { .. })));
            (owner.durable, owner.next)
        }
        None => (Content::default(), None),
    };
    let found = Content::in_folder(folder, limits).expect("a crash is no damage");
    assert!(found == durable || Some(&found) == next.as_ref(), "{found:?}\nis neither\n{durable:?}\nnor\n{next:?}");
    assert_eq!(Content::in_folder(folder, limits).expect("opening changes nothing"), found);
}

/// Takes away, or fills with zeros, a part of what the last segment has beyond what was made durable.
pub(super) fn lose_power(folder: &Path, synced: u64, lost: prop::sample::Index, zeros: bool) {
    let Some((path, mut bytes)) = files(folder).pop() else { return };
    let synced = usize::try_from(synced).expect("small").min(bytes.len());
    let kept = synced + lost.index(bytes.len() - synced + 1);
    match zeros {
        true => bytes[kept..].fill(0),
        false => bytes.truncate(kept),
    }
    std::fs::write(path, bytes).expect("a segment can be written");
}

fn put(step: u32, key: i64, rows: usize) -> Op {
    Op::Put { step, key, rows }
}

/// A run in which chunks are spilled, dropped, moved and left over, and segments begun and removed.
fn everything() -> Vec<Op> {
    let mut ops = vec![put(0, 1, 9), put(1, 2, 9), Op::Plan(1), Op::Commit(1), Op::Commit(1), put(0, 7, 30), Op::Plan(2), Op::Reopen];
    for round in 0..2u8 {
        ops.extend([put(0, 4, 30), put(1, round.into(), 9), Op::Plan(round), Op::Get(1), Op::Drop(1), Op::Commit(round), Op::Drop(2)]);
    }
    ops.extend([Op::Plan(7), Op::Reopen, Op::Commit(9), Op::Drop(1), Op::Commit(3)]);
    ops
}

#[test]
fn the_disk_is_full_at_any_byte() {
    let (ops, limits) = (everything(), StoreLimits { segment_bytes: 1000, memory_bytes: 300, ..TINY });
    let folder = tempfile::tempdir().expect("a folder");
    let tape = Tape::endless();
    let (owner, done) = run(folder.path(), limits, &tape, &ops);
    done.expect("nothing fails here");
    let kept = owner.map(|owner| owner.durable.chunks.into_keys().next()).expect("it was opened");
    assert!(kept == Some(ChunkId(0)), "the first chunk lives to the end");
    assert!(files(folder.path())[0].0 != super::super::log::path_of(folder.path(), 1), "and was moved, its segment removed");
    for at in 0..tape.used() {
        let folder = tempfile::tempdir().expect("a folder");
        let (owner, done) = run(folder.path(), limits, &Tape::of(at), &ops);
        assert!(done.is_err(), "the disk is full at {at}");
        check_after_failure(folder.path(), limits, owner);
    }
}

/// A run without garbage, and what counts from which byte of its last segment on.
fn recorded(folder: &Path, limits: StoreLimits) -> (Vec<(u64, Content)>, Owner) {
    let (tape, mark) = (Tape::endless(), super::super::frame::HEAD as u64);
    let mut owner = Owner::new(folder, limits, &tape).expect("an empty store");
    let mut whole = vec![(0, Content::default())];
    let epochs = (0..5u8).flat_map(|n| [put(n.into(), 1, 5), Op::Plan(n + 1), put(1, 2, 5), Op::Get(0), Op::Commit(n + 1)]);
    for op in epochs.chain([Op::Drop(3), Op::Commit(9), Op::Plan(8)]) {
        let last = owner.store.log.last();
        owner.step(&op, folder, limits, &tape).expect("nothing fails here");
        if owner.store.log.last() != last {
            whole = vec![(0, whole.pop().expect("there is one from the beginning on").1)];
        }
        if matches!(op, Op::Plan(_) | Op::Commit(_)) {
            let end = owner.store.log.segments[&owner.store.log.last()].bytes - mark;
            whole.push((end, owner.durable.clone()));
        }
    }
    (whole, owner)
}

fn copied(files: &[(std::path::PathBuf, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, bytes) in files {
        std::fs::write(folder.path().join(path.file_name().expect("a file")), bytes).expect("a file can be written");
    }
    folder
}

#[test]
fn a_segment_cut_anywhere_has_the_last_whole_commit() {
    for limits in [WIDE, StoreLimits { segment_bytes: 5000, ..WIDE }] {
        let folder = tempfile::tempdir().expect("a folder");
        let (whole, _owner) = recorded(folder.path(), limits);
        let mut files = files(folder.path());
        let all = files.last().expect("there is a segment").1.clone();
        assert!(whole.len() > 3 && (limits == WIDE) == (files.len() == 1), "the run is of the kind that it should be");
        for cut in (0..=all.len()).rev() {
            files.last_mut().expect("there is a segment").1.truncate(cut);
            let expected = &whole.iter().rev().find(|(end, _)| *end <= cut as u64).expect("the first one is always whole").1;
            let found = Content::in_folder(copied(&files).path(), limits).expect("a cut is no damage");
            assert!(found == *expected, "cut at {cut}: {found:?} is not {expected:?}");
        }
    }
}

fn assert_damaged(files: &[(std::path::PathBuf, Vec<u8>)], at: &str) {
    match Content::in_folder(copied(files).path(), WIDE) {
        Err(error @ StoreError::Damaged { .. }) => {
            let text = error.to_string();
            assert!(text.contains("citybrain job reset jam") && text.contains(".segment") && text.contains("at byte"), "{text}");
        }
        other => panic!("{at}: damage was taken for {other:?}"),
    }
}

#[test]
fn an_earlier_segment_that_is_cut_or_missing_is_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    recorded(folder.path(), StoreLimits { segment_bytes: 2500, ..WIDE });
    check_earlier_segments(folder.path());
    // A plan that ends a segment, and then nothing that counts.
    let folder = tempfile::tempdir().expect("a folder");
    let limits = StoreLimits { segment_bytes: 800, memory_bytes: 0, ..WIDE };
    let ops = [put(0, 1, 9), Op::Commit(1), Op::Plan(200), put(0, 1, 9)];
    let (owner, done) = run(folder.path(), limits, &Tape::endless(), &ops);
    done.and_then(|()| owner.expect("it was opened").store.log.flush()).expect("nothing fails here");
    check_earlier_segments(folder.path());
}

fn check_earlier_segments(folder: &Path) {
    let files = files(folder);
    assert!(files.len() > 1);
    for of in 0..files.len() - 1 {
        let mut without = files.clone();
        without.remove(of);
        assert_damaged(&without, "missing");
        for cut in 0..files[of].1.len() {
            let mut cut_short = files.clone();
            cut_short[of].1.truncate(cut);
            assert_damaged(&cut_short, "cut");
        }
    }
}

/// Whatever bit is flipped: it is an error, or it is behind the last mark and nothing durable is lost.
#[test]
fn a_flipped_bit_never_loses_a_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = StoreLimits { segment_bytes: 5000, ..WIDE };
    let (_, mut owner) = recorded(folder.path(), limits);
    let marked = owner.store.log.segments[&owner.store.log.last()].bytes as usize;
    owner.store.limits.memory_bytes = 0;
    owner.step(&put(1, 1, 10), folder.path(), limits, &Tape::endless()).expect("nothing fails here");
    owner.store.log.flush().expect("nothing fails here");
    let files = files(folder.path());
    let last = files.len() - 1;
    assert!(last > 0 && files[last].1.len() > marked, "a chunk was spilled into the last segment");
    for of in 0..files.len() {
        for byte in 0..files[of].1.len() {
            let mut flipped = files.clone();
            flipped[of].1[byte] ^= 1 << (byte % 8);
            if of < last || byte < marked - super::super::frame::HEAD {
                assert_damaged(&flipped, &format!("segment {of}, byte {byte}"));
            } else {
                let found = Content::in_folder(copied(&flipped).path(), WIDE).expect("nothing durable is damaged");
                assert_eq!(found, owner.durable, "byte {byte}");
            }
        }
    }
}

/// Chunks that were spilled before a plan lie before it for good; they must not come to life with the next commit.
#[test]
fn what_was_spilled_before_a_plan_does_not_come_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let tape = Tape::endless();
    let limits = StoreLimits { memory_bytes: 0, ..WIDE };
    let ops = [put(0, 1, 9), Op::Commit(1), put(1, 1, 9), Op::Plan(1), Op::Reopen, put(1, 1, 8), Op::Plan(2), Op::Reopen, Op::Commit(2), Op::Reopen];
    let (owner, done) = run(folder.path(), limits, &tape, &ops);
    done.expect("nothing fails here");
    assert_eq!(owner.expect("it was opened").durable.chunks.len(), 1);
}

#[test]
fn a_store_of_another_job_is_refused_and_a_cleared_one_is_empty() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::open(folder.path(), "jam", WIDE).expect("an empty store").store;
    store.put(Tag { step: 1, key: 1 }, batch(1, 1, 1)).expect("there is room");
    store.commit(b"here").expect("there is room");
    let error = Store::open(folder.path(), "flood", WIDE).expect_err("it is another job's");
    assert!(error.to_string().contains("it is of job jam"), "{error}");
    super::super::clear(folder.path()).expect("it can be removed");
    super::super::clear(&folder.path().join("none")).expect("nothing can be removed");
    assert_eq!(Content::in_folder(folder.path(), WIDE).expect("an empty store"), Content::default());
}
