//! What goes wrong with an engine: kills, hangs, broken files. Nothing is lost, nobody waits for ever, and it comes back.

#[path = "support/engine.rs"]
mod engine;
mod support;

use std::time::Duration;

use engine::{MESSAGES, config, process, signal};
use llm::{AskError, Backend, LocalConfig, LocalPool, Priority, Request, Task};
use support::{Kind, bytes, model};

const SOON: Duration = Duration::from_secs(60);

fn task(index: usize) -> Task {
    Task::extract(MESSAGES[index % MESSAGES.len()]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_killed_again_and_again_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = model(folder.path(), Kind::Native);
    let pool = std::sync::Arc::new(LocalPool::start(config(&path)));
    assert!(pool.ready(SOON).await.is_some());
    let asks: Vec<_> = (0..120)
        .map(|index| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.ask(Request::new(task(index), Priority::Three)).await })
        })
        .collect();
    for kill in 1..=3 {
        // In the middle of its work: something has been answered, and something is being worked on.
        let answered = pool.metrics().answered;
        while pool.metrics().answered < answered + 10 || pool.metrics().active == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(signal(&path, "KILL"));
        while pool.metrics().restarts < kill {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let mut answered = 0;
    for ask in asks {
        match ask.await.unwrap() {
            Ok(reply) => {
                assert!((1..=2).contains(&reply.tries));
                answered += 1;
            }
            // In the engine twice when it was killed.
            Err(AskError::Died { tries: 2, .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(answered >= 104, "{answered} of 120");
    assert!(pool.ready(SOON).await.is_some());
    let metrics = pool.metrics();
    assert_eq!((metrics.restarts, metrics.asked), (3, 120), "{metrics:?}");
}

#[tokio::test]
async fn a_hang_is_found_and_its_request_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = model(folder.path(), Kind::Native);
    let pool = LocalPool::start(LocalConfig { silent_ms_max: 1_500, ..config(&path) });
    assert!(pool.ready(SOON).await.is_some());
    assert!(signal(&path, "STOP"));
    let reply = pool.ask(Request::new(task(0), Priority::One)).await.unwrap();
    assert_eq!(reply.tries, 2);
    let metrics = pool.metrics();
    assert_eq!((metrics.restarts, metrics.asked_again), (1, 1));
}

#[tokio::test]
async fn a_request_that_kills_twice_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = model(folder.path(), Kind::Native);
    let pool = std::sync::Arc::new(LocalPool::start(LocalConfig { context: 65_536, ..config(&path) }));
    assert!(pool.ready(SOON).await.is_some());
    let endless = Task::free("x", "y", "root ::= [a-z]* \"0\"{5000}").unwrap();
    let request = Request { tokens_max: 60_000, ..Request::new(endless, Priority::One) };
    let asked = tokio::spawn({
        let pool = pool.clone();
        async move { pool.ask(request).await }
    });
    for kill in 1..=2 {
        while pool.metrics().active == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(signal(&path, "KILL"));
        while pool.metrics().restarts < kill {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let asked = asked.await.unwrap();
    assert!(matches!(&asked, Err(AskError::Died { tries: 2, reason }) if reason.contains("signal: 9")), "{asked:?}");
    assert!(pool.ask(Request::new(task(0), Priority::One)).await.is_ok(), "others are served");
}

#[tokio::test]
async fn a_broken_file_is_told_and_its_repair_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let whole = bytes(Kind::Native);
    let broken: [&[u8]; 4] = [b"", b"GGUF and then nothing", &whole[..whole.len() / 2], &whole[..whole.len() - 100]];
    for content in broken {
        std::fs::write(&path, content).unwrap();
        let pool = LocalPool::start(config(&path));
        let asked = pool.ask(Request::new(task(0), Priority::One)).await;
        assert!(matches!(&asked, Err(AskError::Absent(reason)) if reason.contains("model.gguf")), "{asked:?}");
        // From now on nobody waits for it.
        let asked = pool.ask(Request::new(task(0), Priority::One)).await;
        assert!(matches!(&asked, Err(AskError::Absent(_))), "{asked:?}");
    }
    let pool = LocalPool::start(config(&path));
    assert!(pool.ask(Request::new(task(0), Priority::One)).await.is_err());
    std::fs::write(&path, &whole).unwrap();
    assert!(pool.ready(SOON).await.is_some(), "{:?}", pool.metrics());
    assert!(pool.ask(Request::new(task(0), Priority::One)).await.is_ok());
}

#[tokio::test]
async fn a_missing_model_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let pool = LocalPool::start(config(&folder.path().join("none.gguf")));
    let asked = pool.ask(Request::new(task(0), Priority::One)).await;
    assert!(matches!(&asked, Err(AskError::Absent(reason)) if reason.contains("there is no model at")), "{asked:?}");
}

#[tokio::test]
async fn the_engine_goes_with_its_supervisor() {
    let folder = tempfile::tempdir().unwrap();
    let path = model(folder.path(), Kind::Native);
    let pool = LocalPool::start(config(&path));
    assert!(pool.ready(SOON).await.is_some());
    assert!(process(&path).is_some());
    drop(pool);
    for _ in 0..600 {
        if process(&path).is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the engine is still there");
}
