//! The model in the box, as it ships: its tokens are those that it was trained with, and it answers.

#[path = "support/engine.rs"]
mod engine;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use engine::{MESSAGES, config};
use llm::{Answer, AskError, Backend, LocalPool, Priority, Request, Task};

fn in_the_box(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../box").join(name)
}

#[test]
fn a_text_has_the_tokens_of_the_training() {
    let cases = std::fs::read_to_string(in_the_box("tests/tokenizer_cases.jsonl")).unwrap();
    let cases: Vec<serde_json::Value> = cases.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(cases.len() >= 200);
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("lines");
    std::fs::write(&lines, cases.iter().map(|case| format!("{}\n", case["text"])).collect::<String>()).unwrap();
    let told = Command::new(env!("CARGO_BIN_EXE_citybrain-engine")).arg("--model").arg(in_the_box("citybrain-box.gguf")).arg("--ids").arg(&lines).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told = String::from_utf8(told.stdout).unwrap();
    let ids: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(ids.len(), cases.len());
    for (case, ids) in cases.iter().zip(&ids) {
        assert_eq!(&case["ids"], ids, "{}", case["text"]);
    }
}

#[tokio::test]
async fn it_finds_what_a_message_is_about() {
    let pool = LocalPool::start(config(&in_the_box("citybrain-box.gguf")));
    assert!(pool.ready(Duration::from_secs(60)).await.is_some());
    let mut found = 0;
    for message in MESSAGES {
        match pool.ask(Request::new(Task::extract(message).unwrap(), Priority::Three)).await {
            Ok(reply) => {
                let Answer::Extract(elements) = reply.answer else { panic!("another kind of answer") };
                found += usize::from(elements.place.span.is_some() || elements.thing.span.is_some() || elements.address.span.is_some());
            }
            Err(AskError::Answer(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(found * 2 >= MESSAGES.len(), "{found} of {}", MESSAGES.len());
}

#[tokio::test]
async fn it_chooses_by_what_words_are_about_wherever_an_option_stands() {
    let pool = LocalPool::start(config(&in_the_box("citybrain-box.gguf")));
    assert!(pool.ready(Duration::from_secs(60)).await.is_some());
    let rows = std::fs::read_to_string(in_the_box("tests/handwritten.jsonl")).unwrap();
    let (mut right, mut count) = (0, 0);
    for row in rows.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
        let Some(options) = row["options"].as_array() else { continue };
        let options: Vec<&str> = options.iter().map(|option| option.as_str().unwrap()).collect();
        let (text, answer) = (row["text"].as_str().unwrap(), row["answer"].as_u64().unwrap() as usize);
        let Answer::Choose(choice) = pool.ask(Request::new(Task::choose(text, &options).unwrap(), Priority::Three)).await.unwrap().answer else { panic!("another kind of answer") };
        let turned: Vec<&str> = options.iter().rev().copied().collect();
        let Answer::Choose(again) = pool.ask(Request::new(Task::choose(text, &turned).unwrap(), Priority::Three)).await.unwrap().answer else { panic!("another kind of answer") };
        let back: Vec<u32> = again.shares_ppm.into_iter().rev().collect();
        assert!(choice.shares_ppm.iter().zip(&back).all(|(one, other)| one.abs_diff(*other) <= 2), "{text}: {:?} {back:?}", choice.shares_ppm);
        count += 1;
        right += usize::from(choice.index == answer);
    }
    // By chance it would be three in ten, by characters in common seven.
    assert!(count >= 30 && right * 5 >= count * 4, "{right} of {count}");
}
