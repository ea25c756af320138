//! Nexmark events as JSON, written straight into a buffer that is used again.
//!
//! Two shapes: the event alone, for a topic on which its CloudEvents type says what it is, and a row of one table with the
//! columns `person`, `auction` and `bid`, of which one is there and the others are null.

use chrono::{DateTime, SecondsFormat};

use super::generator::{Auction, Bid, Event, Person};
use super::text;

/// Writes events. Keeps the last second's text, since many events share it.
#[derive(Debug, Default)]
pub struct JsonWriter {
    clock: Clock,
}

impl JsonWriter {
    /// Writes the event alone.
    pub fn event(&mut self, out: &mut Vec<u8>, event: &Event) {
        match event {
            Event::Person(person) => self.person(out, person),
            Event::Auction(auction) => self.auction(out, auction),
            Event::Bid(bid) => self.bid(out, bid),
        }
    }

    /// Writes the event as a row of one table.
    pub fn row(&mut self, out: &mut Vec<u8>, event: &Event) {
        let (before, after): (&[u8], &[u8]) = match event {
            Event::Person(_) => (b"{\"person\":", b",\"auction\":null,\"bid\":null}"),
            Event::Auction(_) => (b"{\"person\":null,\"auction\":", b",\"bid\":null}"),
            Event::Bid(_) => (b"{\"person\":null,\"auction\":null,\"bid\":", b"}"),
        };
        out.extend_from_slice(before);
        self.event(out, event);
        out.extend_from_slice(after);
    }

    fn person(&mut self, out: &mut Vec<u8>, person: &Person) {
        integer(out, b"{\"id\":", person.id);
        quoted(out, b",\"name\":\"", |out| text::person_name(out, person));
        quoted(out, b",\"email_address\":\"", |out| text::person_email(out, person));
        quoted(out, b",\"credit_card\":\"", |out| text::person_credit_card(out, person));
        quoted(out, b",\"city\":\"", |out| text::person_city(out, person));
        quoted(out, b",\"state\":\"", |out| text::person_state(out, person));
        quoted(out, b",\"datetime\":\"", |out| self.clock.time(out, person.time_ms));
        end(out, person.seed, person.extra);
    }

    fn auction(&mut self, out: &mut Vec<u8>, auction: &Auction) {
        integer(out, b"{\"id\":", auction.id);
        quoted(out, b",\"item_name\":\"", |out| text::auction_item(out, auction));
        quoted(out, b",\"description\":\"", |out| text::auction_description(out, auction));
        integer(out, b",\"initial_bid\":", auction.initial_bid);
        integer(out, b",\"reserve\":", auction.reserve);
        quoted(out, b",\"datetime\":\"", |out| self.clock.time(out, auction.time_ms));
        quoted(out, b",\"expires\":\"", |out| self.clock.time(out, auction.expires_ms));
        integer(out, b",\"seller\":", auction.seller);
        integer(out, b",\"category\":", auction.category);
        end(out, auction.seed, auction.extra);
    }

    fn bid(&mut self, out: &mut Vec<u8>, bid: &Bid) {
        integer(out, b"{\"auction\":", bid.auction);
        integer(out, b",\"bidder\":", bid.bidder);
        integer(out, b",\"price\":", bid.price);
        quoted(out, b",\"channel\":\"", |out| text::bid_channel(out, bid));
        quoted(out, b",\"url\":\"", |out| text::bid_url(out, bid));
        quoted(out, b",\"datetime\":\"", |out| self.clock.time(out, bid.time_ms));
        end(out, bid.seed, bid.extra);
    }
}

fn integer(out: &mut Vec<u8>, before: &[u8], value: u64) {
    out.extend_from_slice(before);
    text::number(out, value);
}

/// A text between quotes. None of the texts has a character that JSON would escape.
fn quoted(out: &mut Vec<u8>, before: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(before);
    write(out);
    out.push(b'"');
}

fn end(out: &mut Vec<u8>, seed: u64, extra: usize) {
    if extra > 0 {
        quoted(out, b",\"extra\":\"", |out| text::extra(out, seed, extra));
    }
    out.push(b'}');
}

/// Writes times as RFC 3339 to the millisecond.
#[derive(Debug, Default)]
pub struct Clock {
    second: u64,
    text: String,
}

impl Clock {
    /// Writes a time, ms since 1970.
    pub fn time(&mut self, out: &mut Vec<u8>, time_ms: u64) {
        let (second, ms) = (time_ms / 1_000, time_ms % 1_000);
        if second != self.second || self.text.is_empty() {
            let time = DateTime::from_timestamp(second as i64, 0).unwrap_or_default();
            let text = time.to_rfc3339_opts(SecondsFormat::Secs, true);
            self.text = text.trim_end_matches('Z').to_owned();
            self.second = second;
        }
        out.extend_from_slice(self.text.as_bytes());
        out.extend([b'.', b'0' + (ms / 100) as u8, b'0' + (ms / 10 % 10) as u8, b'0' + (ms % 10) as u8, b'Z']);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::generator::Nexmark;
    use super::*;

    fn written(extra: bool, count: u64) -> Vec<(Event, Value, Value)> {
        let stream = Nexmark { seed: 3, rate: 10_000, extra };
        let mut writer = JsonWriter::default();
        let mut json = |event: &Event, row: bool| {
            let mut out = Vec::new();
            if row { writer.row(&mut out, event) } else { writer.event(&mut out, event) }
            serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(&out)))
        };
        (0..count).map(|number| stream.event(number)).map(|event| (event, json(&event, false), json(&event, true))).collect()
    }

    #[test]
    fn what_is_written_reads_back() {
        for (event, alone, row) in written(false, 5_000) {
            let (kind, key, id, time_ms) = match event {
                Event::Person(person) => ("person", "id", person.id, person.time_ms),
                Event::Auction(auction) => {
                    assert_eq!(time_of(&alone, "expires"), auction.expires_ms);
                    ("auction", "id", auction.id, auction.time_ms)
                }
                Event::Bid(bid) => {
                    assert_eq!(alone["price"].as_u64(), Some(bid.price));
                    ("bid", "auction", bid.auction, bid.time_ms)
                }
            };
            assert_eq!(alone[key].as_u64(), Some(id));
            assert_eq!(time_of(&alone, "datetime"), time_ms);
            assert_eq!(row[kind], alone);
            assert_eq!(row.as_object().map(|row| row.values().filter(|value| value.is_null()).count()), Some(2));
        }
    }

    #[test]
    fn extra_text_brings_events_to_their_sizes() {
        let sizes = |kind: &str, values: &[Value]| {
            let all: Vec<usize> = values.iter().filter(|value| value.get(kind).is_some()).map(|value| value.to_string().len()).collect();
            all.iter().sum::<usize>() / all.len().max(1)
        };
        let with: Vec<Value> = written(true, 5_000).into_iter().map(|(_, alone, _)| alone).collect();
        let without: Vec<Value> = written(false, 5_000).into_iter().map(|(_, alone, _)| alone).collect();
        for (kind, more) in [("city", 110), ("category", 310), ("bidder", 40)] {
            let grown = sizes(kind, &with) - sizes(kind, &without);
            assert!((more..more + 20).contains(&grown), "{kind} grew by {grown}");
        }
    }

    #[test]
    fn a_clock_goes_on_and_back() {
        let mut clock = Clock::default();
        let mut write = |ms| {
            let mut out = Vec::new();
            clock.time(&mut out, ms);
            String::from_utf8(out).unwrap_or_default()
        };
        assert_eq!(write(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(write(1_767_225_661_007), "2026-01-01T00:01:01.007Z");
        assert_eq!(write(1_767_225_660_999), "2026-01-01T00:01:00.999Z");
    }

    fn time_of(value: &Value, field: &str) -> u64 {
        let text = value[field].as_str().unwrap_or_default();
        DateTime::parse_from_rfc3339(text).unwrap_or_default().timestamp_millis() as u64
    }
}
