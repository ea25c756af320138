//! How fast it is: `cargo test --release store::tests::bench -- --ignored --nocapture`.

use std::time::Instant;

use super::*;

const CHUNKS: i64 = 1536;
const ROWS: usize = 40_000;

fn report(what: &str, bytes: u64, since: Instant) {
    let seconds = since.elapsed().as_secs_f64();
    eprintln!("{what:<44} {seconds:>7.3} s {:>8.0} MB/s", bytes as f64 / 1e6 / seconds);
}

#[test]
#[ignore = "it writes 1 GB and says how fast"]
fn speed() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = StoreLimits { memory_bytes: 64 << 20, ..StoreLimits::default() };
    let mut store = Store::open(folder.path(), "jam", limits).expect("an empty store").store;
    let rows: Vec<RecordBatch> = (0..8).map(|seed| batch(2, seed, ROWS)).collect();
    let start = Instant::now();
    for key in 0..CHUNKS {
        store.put(Tag { step: 0, key }, rows[key as usize % 8].clone()).expect("there is room");
        if key % 32 == 31 {
            store.commit(&key.to_le_bytes()).expect("there is room");
        }
    }
    let live = store.live_bytes();
    report(&format!("put and commit of {} MB", live / 1_000_000), live, start);
    drop(store);

    let start = Instant::now();
    let Opened { mut store, chunks, .. } = Store::open(folder.path(), "jam", limits).expect("it was committed");
    report("open", live, start);

    let start = Instant::now();
    for (id, _, _) in &chunks {
        store.get(*id).expect("it is there");
    }
    report("get of all, most of them spilled", live, start);

    let start = Instant::now();
    for epoch in 0..200u64 {
        store.write_plan(&epoch.to_le_bytes()).expect("there is room");
        store.commit(&epoch.to_le_bytes()).expect("there is room");
    }
    eprintln!("plan and commit of a header: {:.0} us", start.elapsed().as_secs_f64() * 1e6 / 200.0);
    let start = Instant::now();
    (0..1_000_000).for_each(|_| store.commit(&199u64.to_le_bytes()).expect("there is nothing to do"));
    eprintln!("commit of nothing: {:.3} us", start.elapsed().as_secs_f64());

    let (start, mut written, mut longest) = (Instant::now(), 0, 0f64);
    for epoch in 0..100usize {
        for (nth, (id, tag, _)) in chunks.iter().skip(epoch).step_by(101).take(10).enumerate() {
            store.drop(*id);
            store.put(*tag, rows[nth % 8].clone()).expect("there is room");
        }
        let before = store.log.appended_bytes;
        let commit = Instant::now();
        store.commit(&epoch.to_le_bytes()).expect("there is room");
        longest = longest.max(commit.elapsed().as_secs_f64());
        written += store.log.appended_bytes - before;
    }
    report(&format!("1,000 chunks replaced, longest commit {:.0} ms", longest * 1e3), written, start);
    eprintln!("files {:.2} times what is live", store.disk_bytes() as f64 / store.live_bytes() as f64);
}
