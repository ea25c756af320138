//! Random steps, on limits so small that everything happens; and the bounds that the store promises.

use proptest::prelude::*;

use super::*;

pub(super) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0u32..4, -5i64..5, 0usize..40).prop_map(|(step, key, rows)| Op::Put { step, key, rows }),
        4 => (0usize..100).prop_map(Op::Drop),
        3 => (0usize..100).prop_map(Op::Get),
        1 => any::<u8>().prop_map(Op::Plan),
        2 => any::<u8>().prop_map(Op::Commit),
        1 => Just(Op::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_store_is_what_its_model_is(ops in proptest::collection::vec(op(), 1..120)) {
        let folder = tempfile::tempdir().expect("a folder");
        let tape = Tape::endless();
        let mut owner = Owner::new(folder.path(), TINY, &tape).expect("an empty folder is an empty store");
        for op in &ops {
            owner.step(op, folder.path(), TINY, &tape).expect("nothing fails here");
            prop_assert!(owner.store.memory_bytes() <= TINY.memory_bytes);
            let on_disk: u64 = files(folder.path()).iter().map(|(_, bytes)| bytes.len() as u64).sum();
            prop_assert!(on_disk <= owner.store.disk_bytes());
        }
        owner.step(&Op::Reopen, folder.path(), TINY, &tape).expect("nothing fails here");
    }

    /// Any step of the disk fails; afterwards the store is where it was before the owner's step, or where it would be after.
    #[test]
    fn a_failure_loses_nothing_durable(
        ops in proptest::collection::vec(op(), 1..60), at in any::<prop::sample::Index>(), lost in any::<prop::sample::Index>(), zeros: bool,
    ) {
        let all = {
            let folder = tempfile::tempdir().expect("a folder");
            let tape = Tape::endless();
            crash::run(folder.path(), TINY, &tape, &ops).1.expect("nothing fails here");
            tape.used()
        };
        let folder = tempfile::tempdir().expect("a folder");
        let tape = Tape::of(at.index(all as usize) as u64);
        let (owner, done) = crash::run(folder.path(), TINY, &tape, &ops);
        prop_assert!(done.is_err(), "the disk is full before the end");
        crash::lose_power(folder.path(), tape.synced(), lost, zeros);
        crash::check_after_failure(folder.path(), TINY, owner);
    }
}

/// The segments of a folder by their path.
pub(super) fn files(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let numbers = super::super::log::numbers_in(folder).expect("the folder can be listed");
    let paths = numbers.into_iter().map(|number| super::super::log::path_of(folder, number));
    paths.map(|path| (path.clone(), std::fs::read(path).expect("a segment can be read"))).collect()
}

/// Puts and drops by a fixed sequence of numbers that looks random.
fn churn(owner: &mut Store, live: &mut Vec<ChunkId>, seed: &mut u64, puts: usize, keep: usize) {
    for _ in 0..puts {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        live.push(owner.put(Tag { step: 0, key: (*seed >> 60) as i64 }, batch(2, 7, 60)).expect("there is room"));
        while live.len() > keep {
            owner.drop(live.swap_remove((*seed >> 33) as usize % live.len()));
        }
    }
}

#[test]
fn files_stay_in_proportion_to_what_lives() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = StoreLimits { segment_bytes: 20_000, memory_bytes: 50_000, ..TINY };
    let opened = Store::open_on(folder.path(), "jam", limits, Box::new(Tape::endless())).expect("an empty store");
    let (mut store, mut live, mut seed) = (opened.store, Vec::new(), 1);
    let mut moved_ever = false;
    for epoch in 0..600 {
        churn(&mut store, &mut live, &mut seed, epoch % 7, 200);
        store.commit(&[epoch as u8; 10]).expect("there is room");
        let allowed = store.live_bytes() * 5 / 2 + 2 * limits.segment_bytes;
        assert!(store.disk_bytes() <= allowed, "epoch {epoch}: {} bytes, {allowed} allowed", store.disk_bytes());
        moved_ever |= files(folder.path())[0].0 != super::super::log::path_of(folder.path(), 1);
    }
    assert!(moved_ever, "garbage was removed");
    live.drain(..).for_each(|id| store.drop(id));
    store.commit(b"nothing").expect("there is room");
    assert!(store.disk_bytes() <= 2 * limits.segment_bytes, "{} bytes for nothing", store.disk_bytes());
}

/// One chunk lives for ever, and all others come and go: the segment of the first one goes too.
#[test]
fn a_chunk_that_stays_holds_no_garbage() {
    let folder = tempfile::tempdir().expect("a folder");
    let tape = Tape::endless();
    let mut owner = Owner::new(folder.path(), TINY, &tape).expect("an empty store");
    owner.step(&Op::Put { step: 1, key: 0, rows: 30 }, folder.path(), TINY, &tape).expect("there is room");
    for round in 0..100 {
        for op in [Op::Put { step: 0, key: 1, rows: 30 }, Op::Commit(round), Op::Drop(1), Op::Commit(round + 1)] {
            owner.step(&op, folder.path(), TINY, &tape).expect("there is room");
        }
        assert!(owner.store.disk_bytes() <= owner.store.live_bytes() * 5 / 2 + 2 * TINY.segment_bytes);
    }
    owner.step(&Op::Reopen, folder.path(), TINY, &tape).expect("nothing is damaged");
}

#[test]
fn a_commit_of_nothing_new_writes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let tape = Tape::endless();
    let mut owner = Owner::new(folder.path(), TINY, &tape).expect("an empty store");
    owner.step(&Op::Put { step: 1, key: 0, rows: 9 }, folder.path(), TINY, &tape).expect("there is room");
    owner.store.commit(b"here").expect("there is room");
    let used = tape.used();
    owner.store.commit(b"here").expect("there is nothing to do");
    let gone = owner.store.put(Tag { step: 1, key: 1 }, batch(1, 1, 1)).expect("there is room");
    owner.store.drop(gone);
    owner.store.commit(b"here").expect("there is nothing to do");
    assert_eq!(tape.used(), used);
    owner.store.commit(b"there").expect("there is room");
    assert!(tape.used() > used);
}

#[test]
fn too_much_is_refused_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = StoreLimits { live_bytes: 10_000, ..WIDE };
    let mut store = Store::open(folder.path(), "jam", limits).expect("an empty store").store;
    let tag = Tag { step: 0, key: 0 };
    let first = store.put(tag, batch(0, 1, 1000)).expect("there is room for 8 kB");
    let error = store.put(tag, batch(0, 1, 1000)).expect_err("there is no room for 16 kB");
    assert!(matches!(error, StoreError::TooLarge { bytes: 16_000, limit: 10_000, .. }), "{error}");
    store.commit(b"one").expect("what was there before can be kept");
    store.drop(first);
    store.put(tag, batch(0, 1, 1000)).expect("there is room again");
    store.commit(b"other").expect("there is room");
}

/// Memory keeps what closes first: the smallest keys, and before them what was used since the last commit.
#[test]
fn the_largest_keys_leave_memory_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = StoreLimits { memory_bytes: 4 * 800, ..WIDE };
    let mut store = Store::open(folder.path(), "jam", limits).expect("an empty store").store;
    let put = |store: &mut Store, key| store.put(Tag { step: 0, key }, batch(0, key, 100)).expect("there is room");
    let chunks: Vec<ChunkId> = (0..8).map(|key| put(&mut store, key)).collect();
    let held = |store: &Store| (0..8).filter(|key| store.cache.peek(chunks[*key]).is_some()).collect::<Vec<_>>();
    assert_eq!(held(&store), [0, 1, 2, 3]);
    store.commit(b"").expect("there is room");
    store.get(chunks[3]).expect("it is in memory");
    put(&mut store, 9);
    assert_eq!(held(&store), [0, 1, 3]);
}
