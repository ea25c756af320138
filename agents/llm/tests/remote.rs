//! Remote endpoints as they are: slow, broken, gone, lying. The peer is a small server that speaks OpenAI's protocol.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use llm::remote::{Endpoint, Hold};
use llm::{Answer, AskError, Backend, Priority, RemoteConfig, RemotePool, Request, Task};
use serde_json::{Value, json};

/// What a server does with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mood {
    Well,
    Slow,
    /// Answers nothing, not even about its health.
    Hangs,
    Breaks,
    Refuses,
    Lies,
    Babbles,
}

struct Server {
    url: String,
    mood: Arc<Mutex<Mood>>,
    asked: Arc<AtomicU64>,
    seen: Arc<Mutex<Vec<(Option<String>, Value)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(mood: Mood) -> Self {
        let mood = Arc::new(Mutex::new(mood));
        let asked = Arc::new(AtomicU64::new(0));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (in_chat, in_health, count, kept) = (mood.clone(), mood.clone(), asked.clone(), seen.clone());
        let chat = move |headers: HeaderMap, body: Bytes| {
            let (mood, count, kept) = (in_chat.clone(), count.clone(), kept.clone());
            async move {
                count.fetch_add(1, Ordering::Relaxed);
                let body: Value = serde_json::from_slice(&body).unwrap();
                let key = headers.get("authorization").map(|it| it.to_str().unwrap().to_owned());
                kept.lock().unwrap().push((key, body.clone()));
                let mood = *mood.lock().unwrap();
                answer(mood, &body).await
            }
        };
        let health = move || {
            let mood = *in_health.lock().unwrap();
            async move {
                if mood == Mood::Hangs {
                    std::future::pending::<()>().await;
                }
                if mood == Mood::Breaks { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
            }
        };
        let router = Router::new().route("/v1/chat/completions", post(chat)).route("/health", get(health));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, mood, asked, seen, task }
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint { url: self.url.clone(), model: "m".into(), key_env: None, hold: Hold::Grammar }
    }
}

async fn answer(mood: Mood, body: &Value) -> (StatusCode, String) {
    match mood {
        Mood::Well => {}
        Mood::Slow => tokio::time::sleep(Duration::from_secs(30)).await,
        Mood::Hangs => std::future::pending().await,
        Mood::Breaks => return (StatusCode::INTERNAL_SERVER_ERROR, "no".into()),
        Mood::Refuses => return (StatusCode::UNAUTHORIZED, "no".into()),
        Mood::Babbles => return (StatusCode::OK, "<html>".into()),
        Mood::Lies => return (StatusCode::OK, completion("西湖小区 99 栋着火", None).to_string()),
    }
    let content = if body.get("top_logprobs").is_some() { "B" } else { "东湖小区漏水" };
    let told = json!([{
        "token": content, "logprob": -0.25,
        "top_logprobs": [{ "token": "B", "logprob": -0.25 }, { "token": "A", "logprob": -2.0 }],
    }]);
    (StatusCode::OK, completion(content, Some(told)).to_string())
}

fn completion(content: &str, told: Option<Value>) -> Value {
    json!({
        "choices": [{ "message": { "role": "assistant", "content": content }, "finish_reason": "stop", "logprobs": { "content": told } }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 5 },
    })
}

fn config(servers: &[&Server]) -> RemoteConfig {
    RemoteConfig { endpoints: servers.iter().map(|it| it.endpoint()).collect(), health_ms: 100, slow_ms: 300, ..RemoteConfig::default() }
}

fn title() -> Request {
    Request::new(Task::title("东湖小区 3 栋漏水").unwrap(), Priority::Two)
}

#[tokio::test]
async fn titles_and_choices_come_back_checked() {
    let server = Server::start(Mood::Well).await;
    let pool = RemotePool::start(config(&[&server])).unwrap();
    let reply = pool.ask(title()).await.unwrap();
    assert_eq!(reply.answer, Answer::Title("东湖小区漏水".into()));
    assert_eq!((reply.raw.tokens_in, reply.raw.tokens_out, reply.tries), (10, 5, 1));
    assert_eq!(reply.card.digest, format!("remote:{}", server.url));
    let choice = Task::choose("x", &["a", "b", "c"]).unwrap();
    let Answer::Choose(choice) = pool.ask(Request::new(choice, Priority::One)).await.unwrap().answer else { panic!("a choice") };
    assert_eq!((choice.index, choice.shares_ppm[2]), (1, 0));
    assert!(choice.shares_ppm[1] > 850_000 && choice.mass_ppm > 910_000, "{choice:?}");
    let seen = server.seen.lock().unwrap();
    let (key, body) = &seen[1];
    assert_eq!((key, &body["grammar"], &body["temperature"]), (&None, &json!("root ::= [A-C]"), &json!(0)));
}

#[tokio::test]
async fn a_request_moves_on_from_whatever_is_wrong() {
    for mood in [Mood::Slow, Mood::Hangs, Mood::Breaks, Mood::Refuses, Mood::Lies, Mood::Babbles] {
        let (bad, good) = (Server::start(mood).await, Server::start(Mood::Well).await);
        let pool = RemotePool::start(config(&[&bad, &good])).unwrap();
        // The slow would take thirty seconds, and who hangs for ever.
        let request = title().within(Duration::from_secs(5));
        let reply = pool.ask(request).await.unwrap_or_else(|error| panic!("{mood:?}: {error}"));
        assert_eq!((reply.answer, bad.asked() > 0), (Answer::Title("东湖小区漏水".into()), true), "{mood:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_dies_with_requests_in_it_loses_none() {
    let (dying, good) = (Server::start(Mood::Slow).await, Server::start(Mood::Well).await);
    // Nobody is asked twice for being slow: only the death moves them.
    let pool = Arc::new(RemotePool::start(RemoteConfig { slow_ms: 60_000, ..config(&[&dying, &good]) }).unwrap());
    let asks: Vec<_> = (0..20)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.ask(title()).await })
        })
        .collect();
    while dying.asked() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    *dying.mood.lock().unwrap() = Mood::Hangs;
    for ask in asks {
        assert!(ask.await.unwrap().is_ok());
    }
    let metrics = pool.metrics();
    assert_eq!((metrics.answered, metrics.failed.len()), (20, 0));
    let of = |url: &str| metrics.endpoints.iter().find(|it| it.url == url).unwrap().clone();
    assert!(!of(&dying.url).up && of(&good.url).up, "{metrics:?}");
}

#[tokio::test]
async fn an_endpoint_that_recovers_is_asked_again() {
    let server = Server::start(Mood::Breaks).await;
    let pool = Arc::new(RemotePool::start(config(&[&server])).unwrap());
    let ask = tokio::spawn({
        let pool = pool.clone();
        async move { pool.ask(title()).await }
    });
    while server.asked() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    *server.mood.lock().unwrap() = Mood::Well;
    let reply = ask.await.unwrap().unwrap();
    assert!(reply.tries >= 3);
    // Its health is looked at ten times a second here.
    for _ in 0..600 {
        if pool.card().is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it is not up again: {:?}", pool.metrics());
}

#[tokio::test]
async fn when_all_fail_it_is_told_why() {
    let short = |config: RemoteConfig| RemoteConfig { patience_ms: 300, ..config };
    let server = Server::start(Mood::Refuses).await;
    let pool = RemotePool::start(short(config(&[&server]))).unwrap();
    assert!(matches!(pool.ask(title()).await, Err(AskError::Refused(reason)) if reason.contains("401")));
    let server = Server::start(Mood::Lies).await;
    let pool = RemotePool::start(short(config(&[&server]))).unwrap();
    assert!(matches!(pool.ask(title()).await, Err(AskError::Answer(llm::AnswerError::Number(number))) if number == "99"));
    let server = Server::start(Mood::Breaks).await;
    let pool = RemotePool::start(RemoteConfig { patience_ms: 3_000, ..config(&[&server]) }).unwrap();
    let told = pool.ask(title()).await;
    assert!(matches!(&told, Err(AskError::Absent(reason)) if reason.contains("500")), "{told:?}");
    let server = Server::start(Mood::Hangs).await;
    let pool = RemotePool::start(RemoteConfig { health_ms: 60_000, ..config(&[&server]) }).unwrap();
    let within = Duration::from_millis(200);
    assert_eq!(pool.ask(title().within(within)).await, Err(AskError::Deadline(within)));
    assert_eq!(pool.metrics().failed["deadline"], 1);
}

#[tokio::test]
async fn a_key_comes_from_the_environment_and_is_told_nobody() {
    let server = Server::start(Mood::Well).await;
    let with = |name: &str| {
        let endpoint = Endpoint { key_env: Some(name.into()), ..server.endpoint() };
        RemotePool::start(RemoteConfig { endpoints: vec![endpoint], ..config(&[]) })
    };
    let missing = with("CITYBRAIN_TEST_NO_SUCH_KEY").err().unwrap().to_string();
    assert!(missing.contains("CITYBRAIN_TEST_NO_SUCH_KEY"));
    // A variable that every test run has.
    let path = std::env::var("PATH").unwrap();
    let pool = with("PATH").unwrap();
    let reply = pool.ask(title()).await.unwrap();
    assert_eq!(server.seen.lock().unwrap()[0].0, Some(format!("Bearer {path}")));
    let told = format!("{reply:?} {:?}", pool.metrics());
    assert!(!told.contains(&path));
}

#[tokio::test]
async fn what_is_no_address_is_refused_at_the_start() {
    for url in ["", "10.0.0.5:8080", "file:///etc/passwd", "http://"] {
        let endpoint = Endpoint { url: url.into(), model: "m".into(), key_env: None, hold: Hold::Words };
        assert!(RemotePool::start(RemoteConfig { endpoints: vec![endpoint], ..RemoteConfig::default() }).is_err(), "{url}");
    }
    assert!(RemotePool::start(RemoteConfig::default()).is_err());
}
