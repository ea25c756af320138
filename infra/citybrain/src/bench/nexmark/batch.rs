//! Nexmark events as tables in memory, for the batch queries that streaming results are compared with.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringBuilder, TimestampMicrosecondArray};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;

use super::generator::{Auction, Bid, Event, Nexmark, Person};
use super::text;

/// Events of one batch.
const EVENTS_TOGETHER: u64 = 131_072;

/// A session with the tables `persons`, `auctions` and `bids`.
///
/// # Errors
/// When DataFusion refuses a table.
pub fn tables(stream: Nexmark, events: u64) -> Result<SessionContext> {
    let (mut persons, mut auctions, mut bids) = (Vec::new(), Vec::new(), Vec::new());
    for first in (0..events.max(1)).step_by(EVENTS_TOGETHER as usize) {
        let mut some = Kinds::default();
        (first..(first + EVENTS_TOGETHER).min(events)).for_each(|number| some.take(stream.event(number)));
        persons.push(person_rows(&some.persons)?);
        auctions.push(auction_rows(&some.auctions)?);
        bids.push(bid_rows(&some.bids)?);
    }
    let context = SessionContext::new();
    for (name, batches) in [("persons", persons), ("auctions", auctions), ("bids", bids)] {
        context.register_table(name, Arc::new(MemTable::try_new(batches[0].schema(), vec![batches])?))?;
    }
    Ok(context)
}

#[derive(Default)]
struct Kinds {
    persons: Vec<Person>,
    auctions: Vec<Auction>,
    bids: Vec<Bid>,
}

impl Kinds {
    fn take(&mut self, event: Event) {
        match event {
            Event::Person(person) => self.persons.push(person),
            Event::Auction(auction) => self.auctions.push(auction),
            Event::Bid(bid) => self.bids.push(bid),
        }
    }
}

fn integers<T>(of: &[T], value: impl Fn(&T) -> u64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(of.iter().map(|one| value(one) as i64)))
}

fn times<T>(of: &[T], value_ms: impl Fn(&T) -> u64) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(of.iter().map(|one| value_ms(one) as i64 * 1_000)).with_timezone("UTC"))
}

fn texts<T>(of: &[T], write: impl Fn(&mut Vec<u8>, &T)) -> ArrayRef {
    let mut builder = StringBuilder::with_capacity(of.len(), of.len() * 16);
    let mut scratch = Vec::new();
    for one in of {
        scratch.clear();
        write(&mut scratch, one);
        builder.append_value(String::from_utf8_lossy(&scratch));
    }
    Arc::new(builder.finish())
}

fn person_rows(persons: &[Person]) -> Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter([
        ("id", integers(persons, |person| person.id)),
        ("name", texts(persons, text::person_name)),
        ("email_address", texts(persons, text::person_email)),
        ("credit_card", texts(persons, text::person_credit_card)),
        ("city", texts(persons, text::person_city)),
        ("state", texts(persons, text::person_state)),
        ("datetime", times(persons, |person| person.time_ms)),
    ])?)
}

fn auction_rows(auctions: &[Auction]) -> Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter([
        ("id", integers(auctions, |auction| auction.id)),
        ("item_name", texts(auctions, text::auction_item)),
        ("description", texts(auctions, text::auction_description)),
        ("initial_bid", integers(auctions, |auction| auction.initial_bid)),
        ("reserve", integers(auctions, |auction| auction.reserve)),
        ("datetime", times(auctions, |auction| auction.time_ms)),
        ("expires", times(auctions, |auction| auction.expires_ms)),
        ("seller", integers(auctions, |auction| auction.seller)),
        ("category", integers(auctions, |auction| auction.category)),
    ])?)
}

fn bid_rows(bids: &[Bid]) -> Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter([
        ("auction", integers(bids, |bid| bid.auction)),
        ("bidder", integers(bids, |bid| bid.bidder)),
        ("price", integers(bids, |bid| bid.price)),
        ("channel", texts(bids, text::bid_channel)),
        ("url", texts(bids, text::bid_url)),
        ("datetime", times(bids, |bid| bid.time_ms)),
    ])?)
}
