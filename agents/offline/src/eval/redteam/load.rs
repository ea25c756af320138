//! Load: bursts, floods, engines that never end, die or say nothing. The pool, its waiting line and its limits are the real
//! ones; the endpoint behind them is a small server on this machine's own address that does what a case wants.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use guard::gate::{Agent, Gate, Session, Verdict, Why};
use llm::remote::{Endpoint, Hold};
use llm::{AskError, Backend, Message, Priority, RemoteConfig, RemotePool, Request, Task, TaskError};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::desk::{Desk, Wish};
use super::moment;
use super::owasp::Case;

/// What the server does with a question.
#[derive(Debug, Clone, Copy)]
enum Mood {
    /// Answers after so many milliseconds.
    After(u64),
    /// Writes one byte every so many milliseconds, for ever.
    Endless(u64),
    /// Says nothing.
    Silent,
    /// Says that it is broken.
    Broken,
    /// Hangs up on the first so many, then answers.
    Dies(usize),
}

/// What the server has seen.
#[derive(Debug, Default)]
struct Seen {
    /// The numbers of the messages, in the order in which they were begun.
    begun: Mutex<Vec<String>>,
    asked: AtomicUsize,
    /// Questions that it works on.
    open: AtomicUsize,
}

impl Seen {
    fn begun(&self) -> Vec<String> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Server {
    url: String,
    seen: Arc<Seen>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(mood: Mood) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("could not listen on this machine's own address")?;
        let url = format!("http://{}", listener.local_addr()?);
        let seen = Arc::new(Seen::default());
        let kept = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = kept.clone();
                tokio::spawn(async move {
                    let _ = serve(stream, mood, &seen).await;
                });
            }
        });
        Ok(Self { url, seen, task })
    }

    fn pool(&self, patience_ms: u64) -> Result<RemotePool> {
        let endpoint = Endpoint { url: self.url.clone(), model: "m".to_owned(), key_env: None, hold: Hold::Words };
        // It answers about its health whatever its mood: what is tested are the limits of a question.
        RemotePool::start(RemoteConfig { endpoints: vec![endpoint], patience_ms, ..RemoteConfig::default() }).context("could not start a pool")
    }
}

/// Takes one off when it goes.
struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve(mut stream: TcpStream, mood: Mood, seen: &Seen) -> std::io::Result<()> {
    let mut kept = Vec::new();
    loop {
        let Some((head, body)) = request(&mut stream, &mut kept).await? else { return Ok(()) };
        if head.starts_with("GET") {
            respond(&mut stream, "200 OK", "{}").await?;
            continue;
        }
        let number = seen.asked.fetch_add(1, Ordering::Relaxed);
        let marked = body.split("编号").nth(1).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect()).unwrap_or_default();
        seen.begun.lock().unwrap_or_else(PoisonError::into_inner).push(marked);
        seen.open.fetch_add(1, Ordering::Relaxed);
        let _open = Open(&seen.open);
        match mood {
            Mood::Dies(first) if number < first => return Ok(()),
            Mood::Broken => {
                respond(&mut stream, "500 Internal Server Error", "{}").await?;
                continue;
            }
            Mood::Silent => {
                // Until the other side hangs up.
                let _ = stream.read(&mut [0; 1]).await?;
                return Ok(());
            }
            Mood::Endless(ms) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                let mut byte = [0; 1];
                loop {
                    tokio::select! {
                        _ = stream.read(&mut byte) => return Ok(()),
                        () = tokio::time::sleep(Duration::from_millis(ms)) => stream.write_all(b"1\r\n \r\n").await?,
                    }
                }
            }
            Mood::After(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Mood::Dies(_) => {}
        }
        let answer = json!({ "choices": [{ "message": { "role": "assistant", "content": "路灯不亮" }, "finish_reason": "stop" }], "usage": { "prompt_tokens": 10, "completion_tokens": 4 } });
        respond(&mut stream, "200 OK", &answer.to_string()).await?;
    }
}

/// Head and body of the next request; none at the end.
async fn request(stream: &mut TcpStream, kept: &mut Vec<u8>) -> std::io::Result<Option<(String, String)>> {
    let mut buffer = [0; 4_096];
    loop {
        if let Some(end) = kept.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&kept[..end]).into_owned();
            let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").and_then(|length| length.trim().parse::<usize>().ok())).unwrap_or(0);
            if kept.len() >= end + 4 + length {
                let body = String::from_utf8_lossy(&kept[end + 4..end + 4 + length]).into_owned();
                kept.drain(..end + 4 + length);
                return Ok(Some((head, body)));
            }
        }
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(None);
        }
        kept.extend_from_slice(&buffer[..count]);
    }
}

async fn respond(stream: &mut TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await
}

fn title(number: usize, level: u64) -> Result<Request> {
    let priority = Priority::ALL[(level.clamp(1, 4) - 1) as usize];
    Ok(Request::new(Task::title(&format!("建设路路灯不亮 编号{number}"))?, priority).within(Duration::from_secs(30)))
}

/// Carries out a case of load.
pub fn check(desk: &Desk, case: &Case) -> Result<()> {
    let number = |key: &str| case.given.get(key).and_then(serde_json::Value::as_i64).unwrap_or(0);
    match case.text("kind") {
        Some("burst") => desk.wait(burst(case, number("requests") as usize, number("level") as u64)),
        Some("mixed") => {
            let then = &case.given["then"];
            let (count, level) = (then["requests"].as_u64().unwrap_or(1) as usize, then["level"].as_u64().unwrap_or(1));
            desk.wait(mixed(case, number("requests") as usize, number("level") as u64, count, level))
        }
        Some("long") => long(desk, case, number("chars") as usize),
        Some("slow_engine") => desk.wait(stopped(if number("tokens") == 0 { Mood::Silent } else { Mood::Endless(number("token_ms").clamp(1, 200) as u64) })),
        Some("cancel") => desk.wait(cancelled(number("after_ms") as u64)),
        Some("expired") => desk.wait(expired()),
        Some("budget") => budget(number("used_tokens") as u32 * (guard::limits::TOKENS_MAX / number("budget_tokens").max(1) as u32)),
        Some("retry") => desk.wait(retried()),
        Some("tool_loop") => tool_loop(desk, number("calls")),
        Some("grammar") => match Task::free("x", "y", case.text("gbnf").unwrap_or_default()) {
            Err(TaskError::Grammar(_)) => Ok(()),
            other => Err(anyhow::anyhow!("it compiles: {:?}", other.map(|task| task.name()))),
        },
        Some("engine_killed") => desk.wait(killed(number("requests") as usize, number("level") as u64)),
        Some("engine_error") => desk.wait(error_says_nothing(desk, case.text("message").unwrap_or_default())),
        other => anyhow::bail!("no part yet for {other:?}"),
    }
}

async fn burst(case: &Case, requests: usize, level: u64) -> Result<()> {
    let server = Server::start(Mood::After(1)).await?;
    let pool = server.pool(1_000)?;
    let asked = (0..requests).map(|number| Ok(pool.ask(title(number, level)?))).collect::<Result<Vec<_>>>()?;
    let others = case.expect.get("others_served").is_some();
    let (answers, other) = futures::join!(join_all(asked), async {
        // Once the flood is in the line.
        tokio::time::sleep(Duration::from_millis(10)).await;
        if others { Some(pool.ask(title(999_999, level).ok()?).await) } else { None }
    });
    let busy = answers.iter().filter(|answer| matches!(answer, Err(AskError::Busy { .. }))).count();
    let served = answers.iter().filter(|answer| answer.is_ok()).count();
    ensure!(busy + served == requests, "{} of {requests} are neither served nor told", requests - busy - served);
    match case.expected.as_str() {
        "busy" => ensure!(busy > 0 && served > 0, "busy {busy}, served {served}"),
        _ => ensure!(busy == 0, "{busy} of {requests} were turned away"),
    }
    ensure!(!others || matches!(other, Some(Ok(_))), "another caller is turned away with the flood: no part yet that counts callers");
    Ok(())
}

async fn mixed(case: &Case, first: usize, first_level: u64, then: usize, then_level: u64) -> Result<()> {
    let server = Server::start(Mood::After(2)).await?;
    let pool = Arc::new(server.pool(1_000)?);
    let spawn = |number: usize, level: u64| -> Result<_> {
        let (pool, request) = (pool.clone(), title(number, level)?);
        Ok(tokio::spawn(async move { pool.ask(request).await }))
    };
    let mut asks = (0..first).map(|number| spawn(number, first_level)).collect::<Result<Vec<_>>>()?;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let before = server.seen.begun().len();
    let late = (0..then).map(|number| spawn(100_000 + number, then_level)).collect::<Result<Vec<_>>>()?;
    let mut served = 0;
    for ask in late {
        ensure!(ask.await?.is_ok(), "one of level {then_level} is not served");
        served += 1;
    }
    let begun = server.seen.begun();
    for ask in asks.drain(..) {
        match ask.await? {
            Ok(_) => served += 1,
            Err(AskError::Busy { .. }) if case.expected != "served" => {}
            Err(error) => anyhow::bail!("one that waited: {error}"),
        }
    }
    if case.expected == "served" {
        ensure!(served == first + then, "{served} of {} are served", first + then);
        return Ok(());
    }
    // Those that were with the engine already, and what it takes up while the urgent ones come in.
    let last = begun.iter().rposition(|number| number.len() == 6).context("none of the urgent ones was begun")?;
    let overtaken = begun[before.min(last)..last].iter().filter(|number| number.len() < 6).count();
    ensure!(overtaken <= 8, "{overtaken} less urgent ones were begun before");
    Ok(())
}

fn long(desk: &Desk, case: &Case, chars: usize) -> Result<()> {
    let unit = case.text("unit").unwrap_or_default();
    let text: String = unit.chars().cycle().take(if unit.is_empty() { 0 } else { chars }).collect();
    let outcome = desk.handle(&text, moment("2026-06-11T10:00")?, None, &Wish::Unsure, true)?;
    ensure!(outcome.case.unit.is_some(), "nobody has it");
    if case.expected == "cut" {
        let message = Message::clean(&text)?;
        ensure!(message.cut().is_some() && message.as_str().chars().count() <= llm::limits::MESSAGE_CHARS_MAX, "it is not cut");
        let read = outcome.reading.spans.iter().map(|span| span.end).max().unwrap_or(0);
        ensure!(read <= text::limits::READ_CHARS_MAX, "it is read to its end");
    }
    Ok(())
}

async fn stopped(mood: Mood) -> Result<()> {
    let server = Server::start(mood).await?;
    let pool = server.pool(1_000)?;
    let within = Duration::from_millis(400);
    let answer = pool.ask(title(1, 3)?.within(within)).await;
    ensure!(matches!(answer, Err(AskError::Deadline(_) | AskError::Absent(_))), "{:?}", answer.map(|reply| reply.answer));
    ended(&server).await
}

/// Whether the server was left alone.
async fn ended(server: &Server) -> Result<()> {
    for _ in 0..40 {
        if server.seen.open.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    anyhow::bail!("the engine goes on")
}

async fn cancelled(after_ms: u64) -> Result<()> {
    let server = Server::start(Mood::Endless(5)).await?;
    let pool = server.pool(1_000)?;
    let answer = tokio::time::timeout(Duration::from_millis(after_ms.max(100)), pool.ask(title(1, 3)?)).await;
    ensure!(answer.is_err(), "it was answered");
    ended(&server).await?;
    ensure!(pool.metrics().cancelled == 1, "{} were counted", pool.metrics().cancelled);
    Ok(())
}

async fn expired() -> Result<()> {
    let server = Server::start(Mood::After(1)).await?;
    let pool = server.pool(1_000)?;
    let answer = pool.ask(title(1, 3)?.within(Duration::ZERO)).await;
    ensure!(matches!(answer, Err(AskError::Deadline(_))), "{:?}", answer.map(|reply| reply.answer));
    ensure!(server.seen.asked.load(Ordering::Relaxed) == 0, "it was begun");
    Ok(())
}

fn budget(used: u32) -> Result<()> {
    let mut session = Session::new(Agent::Triage, None, &[]);
    ensure!(session.may_ask(0).is_ok(), "nothing is spent yet");
    session.tokens(used);
    ensure!(matches!(session.may_ask(0), Err(Why::Budget(_))), "it may ask on");
    Ok(())
}

async fn retried() -> Result<()> {
    let server = Server::start(Mood::Broken).await?;
    let pool = server.pool(800)?;
    let answer = pool.ask(title(1, 3)?).await;
    let tries = server.seen.asked.load(Ordering::Relaxed);
    ensure!(matches!(answer, Err(AskError::Absent(_))) && (1..=20).contains(&tries), "{tries} tries");
    Ok(())
}

fn tool_loop(desk: &Desk, calls: i64) -> Result<()> {
    let gate = Gate::new(&desk.graph);
    let mut session = Session::new(Agent::Triage, None, &[]);
    let mut run = 0;
    let mut last = None;
    for number in 0..calls {
        let (verdict, _) = gate.call(&mut session, "search_knowledge", &json!({ "query": format!("燃气 {number}") }), 0);
        run += usize::from(matches!(verdict, Verdict::Run { .. }));
        last = Some(verdict);
    }
    ensure!(run > 0 && run <= guard::limits::CALLS_MAX as usize, "{run} of {calls} ran");
    ensure!(matches!(last, Some(Verdict::Refused(why)) if why.is_limit()), "it does not say why");
    Ok(())
}

async fn killed(requests: usize, level: u64) -> Result<()> {
    let server = Server::start(Mood::Dies(requests)).await?;
    let pool = server.pool(10_000)?;
    let asked = (0..requests).map(|number| Ok(pool.ask(title(number, level)?))).collect::<Result<Vec<_>>>()?;
    let answers = join_all(asked).await;
    let lost = answers.iter().filter(|answer| answer.is_err()).count();
    ensure!(lost == 0, "{lost} of {requests} are lost");
    let begun: BTreeSet<String> = server.seen.begun().into_iter().collect();
    ensure!(begun.len() == requests, "{} were asked", begun.len());
    Ok(())
}

async fn error_says_nothing(desk: &Desk, message: &str) -> Result<()> {
    let server = Server::start(Mood::Broken).await?;
    let pool = server.pool(300)?;
    let request = Request::new(Task::title(message)?, Priority::Three).within(Duration::from_secs(5));
    let Err(error) = pool.ask(request).await else { anyhow::bail!("it was answered") };
    let said = format!("{error} {error:?}");
    ensure!(!guard::filter::repeats(&said, &desk.own_words(), "") && !said.contains(message), "the error tells the prompt");
    Ok(())
}
