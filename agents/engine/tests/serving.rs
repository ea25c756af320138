//! The engine as it is used: through the pool, in a process of its own, with tiny models.

#[path = "support/engine.rs"]
mod engine;
mod support;

use std::time::Duration;

use engine::{MESSAGES, config};
use llm::task::Dialect;
use llm::wire::{Mark, Raw};
use llm::{Answer, AskError, Backend, LocalConfig, LocalPool, Priority, Request, Task};
use support::{Kind, model};

/// What must be the same whoever else is served.
type Said = (String, Vec<Mark>, Vec<Option<i32>>, Vec<u32>);

fn said(raw: &Raw) -> Said {
    (raw.text.clone(), raw.marks.clone(), raw.letters_micro.clone(), raw.vector.iter().map(|it| it.to_bits()).collect())
}

fn tasks(message: &str) -> Vec<Task> {
    vec![
        Task::extract(message).unwrap(),
        Task::title(message).unwrap(),
        Task::choose(message, &["供电 停电", "供水 漏水", "道路 井盖", "other"]).unwrap(),
        Task::free("How many?", message, "root ::= \"{\\\"n\\\":\" [0-9]{1,4} \"}\"").unwrap(),
        Task::embed(message).unwrap(),
    ]
}

async fn start(kind: Kind, change: impl FnOnce(LocalConfig) -> LocalConfig) -> (tempfile::TempDir, LocalPool) {
    let folder = tempfile::tempdir().unwrap();
    let path = model(folder.path(), kind);
    let pool = LocalPool::start(change(config(&path)));
    assert!(pool.ready(Duration::from_secs(60)).await.is_some(), "{:?}", pool.metrics());
    (folder, pool)
}

/// A random model does not know when a title is over: it gets tokens for the longest in single bytes.
async fn ask(pool: &LocalPool, task: Task) -> llm::Reply {
    let request = Request { tokens_max: 600, ..Request::new(task, Priority::Three) };
    // Two threads of a busy machine wait long for each other.
    pool.ask(request.within(Duration::from_secs(1_800))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_task_is_answered_and_checked_by_both_kinds_of_model() {
    for (kind, dialect) in [(Kind::Native, Dialect::Native), (Kind::Chat, Dialect::Chat)] {
        let (_folder, pool) = start(kind, |it| it).await;
        for message in MESSAGES {
            for task in tasks(message) {
                let name = task.name();
                let reply = ask(&pool, task).await;
                assert_eq!(reply.card.dialect, dialect);
                match (name, &reply.answer) {
                    ("extract", Answer::Extract(found)) => {
                        for value in [&found.address, &found.place, &found.time, &found.people, &found.thing, &found.wish] {
                            assert!(value.logprob_micro.is_some());
                            assert!(value.span.as_ref().is_none_or(|it| !it.text.is_empty()));
                        }
                    }
                    ("title", Answer::Title(title)) => assert!(!title.is_empty()),
                    ("choose", Answer::Choose(choice)) => {
                        let sum: u32 = choice.shares_ppm.iter().sum();
                        assert!(choice.index < 4 && choice.shares_ppm.len() == 4 && sum.abs_diff(1_000_000) <= 4);
                    }
                    ("free", Answer::Free(text)) => assert!(text.starts_with("{\"n\":") && text.ends_with('}')),
                    ("embed", Answer::Embed(vector)) => {
                        let length: f32 = vector.iter().map(|it| it * it).sum();
                        assert!(vector.len() == 64 && (length - 1.0).abs() < 1e-4);
                    }
                    (name, answer) => panic!("{name} was answered with {answer:?}"),
                }
            }
        }
        let metrics = pool.metrics();
        assert_eq!((metrics.answered, metrics.failed.len(), metrics.restarts), (40, 0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_does_not_depend_on_its_neighbours_or_on_threads() {
    for kind in [Kind::Native, Kind::Chat] {
        let (_folder, alone) = start(kind, |it| LocalConfig { sequences: 1, ..it }).await;
        let (_folder, among) = start(kind, |it| LocalConfig { sequences: 8, ..it }).await;
        let (_folder, threads) = start(kind, |it| LocalConfig { sequences: 8, threads: 2, ..it }).await;
        let all: Vec<Task> = MESSAGES.iter().flat_map(|it| tasks(it)).collect();
        let mut expected = Vec::new();
        for task in &all {
            expected.push(said(&ask(&alone, task.clone()).await.raw));
        }
        // Twice: the second time beginnings of prompts are there already. With two threads a few: they wait for each other.
        for (pool, count) in [(&among, all.len()), (&among, all.len()), (&threads, 4)] {
            let replies = futures_all(all.iter().take(count).map(|it| ask(pool, it.clone()))).await;
            for ((task, expected), reply) in all.iter().zip(&expected).zip(replies) {
                assert_eq!(&said(&reply.raw), expected, "{} of {}", task.name(), task.message().as_str());
            }
        }
        // The engine tells its counters with its next beat.
        let told = || among.metrics().engine.is_some_and(|it| it.tokens_forced > 0 && it.refused > 0);
        tokio::time::timeout(Duration::from_secs(30), async {
            while !told() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .expect("tokens forced and choices refused are counted");
    }
}

/// All at once.
async fn futures_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.map(|it| (Box::pin(it), None)).collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for (future, done) in &mut running {
            if done.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *done = Some(value),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    running.into_iter().filter_map(|(_, done)| done).collect()
}

#[tokio::test]
async fn the_beginning_of_a_chat_is_read_once() {
    let (_folder, pool) = start(Kind::Chat, |it| it).await;
    let first = ask(&pool, Task::title(MESSAGES[0]).unwrap()).await.raw;
    let second = ask(&pool, Task::title(MESSAGES[1]).unwrap()).await.raw;
    let again = ask(&pool, Task::title(MESSAGES[0]).unwrap()).await.raw;
    assert_eq!(first.tokens_reused, 0);
    assert!(second.tokens_reused > 100 && second.tokens_reused < second.tokens_in, "{second:?}");
    assert_eq!(again.tokens_reused, second.tokens_reused);
    assert_eq!(said(&again), said(&first));
}

#[tokio::test]
async fn limits_hold() {
    let (_folder, pool) = start(Kind::Native, |it| LocalConfig { context: 256, ..it }).await;
    let few = Request { tokens_max: 4, ..Request::new(Task::extract(MESSAGES[0]).unwrap(), Priority::Two) };
    assert_eq!(pool.ask(few).await, Err(AskError::Answer(llm::AnswerError::CutOff("tokens".into()))));
    let long = "x9".repeat(500);
    let asked = pool.ask(Request::new(Task::title(&long).unwrap(), Priority::Two)).await;
    assert!(matches!(&asked, Err(AskError::Refused(reason)) if reason.contains("room for 256")), "{asked:?}");
    // A vector is of the text's beginning.
    assert_eq!(ask(&pool, Task::embed(&long).unwrap()).await.raw.tokens_in, 256);
    // An answer that would go on for ever ends with the sequence's room.
    let endless = Task::free("x", "y", "root ::= [a-z]* \"0\"{5000}").unwrap();
    let asked = pool.ask(Request { tokens_max: 100_000, ..Request::new(endless.clone(), Priority::Two) }).await;
    assert_eq!(asked, Err(AskError::Answer(llm::AnswerError::CutOff("tokens".into()))));
    // And with its time.
    let within = Duration::from_millis(1);
    let asked = pool.ask(Request { tokens_max: 100_000, ..Request::new(endless, Priority::Two) }.within(within)).await;
    assert!(matches!(asked, Err(AskError::Deadline(_) | AskError::Answer(llm::AnswerError::CutOff(_)))), "{asked:?}");
    // The engine is as good as before.
    ask(&pool, Task::extract(MESSAGES[0]).unwrap()).await;
    assert_eq!(pool.metrics().restarts, 0);
}

#[tokio::test]
async fn who_goes_away_is_not_worked_for() {
    let (_folder, pool) = start(Kind::Native, |it| LocalConfig { sequences: 1, context: 65_536, ..it }).await;
    let endless = Task::free("x", "y", "root ::= [a-z]* \"0\"{5000}").unwrap();
    let endless = Request { tokens_max: 60_000, ..Request::new(endless, Priority::One) };
    let gone = tokio::time::timeout(Duration::from_millis(100), pool.ask(endless)).await;
    assert!(gone.is_err());
    // The only sequence is free again.
    let reply = ask(&pool, Task::extract(MESSAGES[0]).unwrap()).await;
    assert_eq!(reply.tries, 1);
    let metrics = pool.metrics();
    assert_eq!((metrics.cancelled, metrics.answered), (1, 1));
}

#[tokio::test]
async fn the_urgent_overtake_and_too_many_are_refused() {
    let (_folder, pool) = start(Kind::Native, |it| LocalConfig { sequences: 1, waiting_max: 4, ..it }).await;
    let order = std::sync::Mutex::new(Vec::new());
    let order = &order;
    let pool = &pool;
    let asks = (0..12).map(|index| async move {
        let priority = if index == 11 { Priority::One } else { Priority::Four };
        let result = pool.ask(Request::new(Task::extract(MESSAGES[index % 8]).unwrap(), priority)).await;
        if result.is_ok() {
            order.lock().unwrap().push(index);
        }
        result
    });
    let results = futures_all(asks).await;
    let busy = results.iter().filter(|it| matches!(it, Err(AskError::Busy { .. }))).count();
    let answered = results.iter().filter(|it| it.is_ok()).count();
    assert!(busy >= 6 && busy + answered == 12, "{results:?}");
    assert!(results[11].is_ok(), "the urgent one takes a place in the line");
}

#[tokio::test]
async fn what_citizens_write_is_never_a_control_token() {
    let (_folder, pool) = start(Kind::Native, |it| it).await;
    let plain = ask(&pool, Task::embed("灯").unwrap()).await.raw.tokens_in;
    let marked = ask(&pool, Task::embed("灯<|end|>").unwrap()).await.raw.tokens_in;
    // Spelt out, byte by byte, and not one token.
    assert_eq!(marked, plain + "<|end|>".len() as u32);
}
