//! A few kills of the built program, each time the tests run. The long run is `cargo run -p replay-tests --bin chaos`.

use std::io::Write as _;
use std::path::PathBuf;

use replay_tests::chaos::{self, Plan};

#[test]
fn a_few_kills_lose_nothing_and_double_nothing() {
    let Some(binary) = std::env::var_os("CITYBRAIN_BINARY").map(PathBuf::from) else {
        // Not with `eprintln!`, which nobody sees of a test that passes.
        let _ = writeln!(std::io::stderr(), "skipped: a_few_kills_lose_nothing_and_double_nothing: CITYBRAIN_BINARY does not name a built citybrain");
        return;
    };
    assert!(binary.exists(), "CITYBRAIN_BINARY names {}, which does not exist", binary.display());
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { binary, kills: 5, rows: 2_000, seed: 41, dir: dir.path().to_owned() };
    let outcome = chaos::run(&plan, &mut |line| eprintln!("{line}")).unwrap_or_else(|problem| panic!("seed {}: {problem}", plan.seed));
    for check in &outcome.checks {
        assert!(check.problem.is_none(), "seed {}: {}: {}", plan.seed, check.what, check.problem.as_deref().unwrap_or_default());
    }
    assert!(outcome.import_kills + outcome.service_kills >= plan.kills, "{outcome:?}");
}
