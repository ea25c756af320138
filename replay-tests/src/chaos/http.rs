//! As much HTTP as a sender of events needs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer: its status and its body.
pub struct Answer {
    /// Such as 202.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Posts a body. `None` when no whole answer came: the other side is gone, and nobody knows what it did.
pub fn post(to: SocketAddr, path: &str, content_type: &str, body: &str) -> Option<Answer> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    talk(to, &[head.as_bytes(), body.as_bytes()])
}

/// Gets a page.
pub fn get(to: SocketAddr, path: &str) -> Option<Answer> {
    talk(to, &[format!("GET {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n\r\n").as_bytes()])
}

fn talk(to: SocketAddr, parts: &[&[u8]]) -> Option<Answer> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    for part in parts {
        stream.write_all(part).ok()?;
    }
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    read(&bytes)
}

fn read(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(|it| it.trim().to_owned()));
    // A body that was cut off is no answer.
    let whole = length.and_then(|length| length.parse::<usize>().ok()).is_none_or(|length| body.len() >= length);
    whole.then(|| Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_answer_is_none() {
        assert!(read(b"HTTP/1.1 202 Acc").is_none());
        assert!(read(b"HTTP/1.1 202 Accepted\r\ncontent-length: 9\r\n\r\n{\"a\"").is_none());
        let answer = read(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (202, "{}"));
    }
}
