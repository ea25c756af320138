//! `GET /v1/alerts.atom`: alerts as an Atom feed that links to their CAP documents.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use chrono::SecondsFormat;

use super::trail::Caller;
use super::views::seen;
use super::{Gateway, Problem};
use crate::view::Kind;

const ENTRIES_MAX: usize = 100;

pub(super) async fn atom(State(gateway): State<Arc<Gateway>>, Extension(caller): Extension<Caller>, headers: HeaderMap) -> Result<Response, Problem> {
    let mut entries = Vec::new();
    for entry in gateway.view.feed(ENTRIES_MAX).await? {
        if seen(&gateway, &caller, Kind::Alert, &entry.id).await.is_ok() {
            entries.push(entry);
        }
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let base = escape(&format!("http://{host}"));
    let updated = entries.iter().map(|entry| entry.updated).max().unwrap_or_default();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\">\n");
    text.push_str("<id>urn:citybrain:alerts</id>\n<title>城市预警 / City alerts</title>\n<author><name>citybrain</name></author>\n");
    text.push_str(&format!("<updated>{}</updated>\n", updated.to_rfc3339_opts(SecondsFormat::Secs, true)));
    text.push_str(&format!("<link rel=\"self\" type=\"application/atom+xml\" href=\"{base}/v1/alerts.atom\"/>\n"));
    for entry in entries {
        let id = path_encoded(&entry.id);
        text.push_str(&format!(
            "<entry>\n<id>urn:citybrain:alert:{id}</id>\n<title>{} / {}</title>\n<published>{}</published>\n<updated>{}</updated>\n<link rel=\"alternate\" type=\"application/cap+xml\" href=\"{base}/v1/alerts/{id}.cap\"/>\n</entry>\n",
            escape(&entry.title_zh),
            escape(&entry.title_en),
            entry.published.to_rfc3339_opts(SecondsFormat::Secs, true),
            entry.updated.to_rfc3339_opts(SecondsFormat::Secs, true),
        ));
    }
    text.push_str("</feed>\n");
    Ok(([(header::CONTENT_TYPE, "application/atom+xml; charset=utf-8")], text).into_response())
}

/// Text for XML. Characters that XML 1.0 does not have at all are replaced.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push(character),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

fn path_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_texts_stay_text() {
        assert_eq!(escape("<b a=\"1\">&\u{1}"), "&lt;b a=&quot;1&quot;&gt;&amp;\u{fffd}");
        assert_eq!(path_encoded("a/b 内"), "a%2Fb%20%E5%86%85");
    }
}
