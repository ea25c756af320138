//! The events of the Nexmark benchmark: people, the auctions they open, the bids on them. Pure: an event follows from the
//! seed and its number alone, so that any part of the stream can be made again, in any order and on any thread.
//!
//! After the specification as Beam and Flink generate it: of each 50 events 1 is a person, 3 are auctions and 46 bids; one
//! auction, seller and bidder in a hundred is hot and has most of the business; auctions last as long as about a hundred
//! of them are open. Events are values without text; their text is written when it is asked for, from a seed.

use super::text;

/// Persons, auctions and bids among the events of one epoch of the generator.
const PERSONS: u64 = 1;
const AUCTIONS: u64 = 3;
const EPOCH: u64 = 50;
/// The first id of each kind.
const FIRST_PERSON: u64 = 1_000;
const FIRST_AUCTION: u64 = 1_000;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;
/// Ids may be named that many before they exist.
const LEAD: u64 = 10;
/// Persons that still act, and auctions that are open.
const ACTIVE_PERSONS: u64 = 1_000;
const OPEN_AUCTIONS: u64 = 100;
/// One id in so many is hot.
const HOT_EVERY: u64 = 100;
/// All but one in so many choose a hot auction, seller, bidder or channel.
const HOT_AUCTION: u64 = 2;
const HOT_SELLER: u64 = 4;
const HOT_BIDDER: u64 = 4;
const HOT_CHANNEL: u64 = 2;
/// Channels beside the hot ones.
const CHANNELS: u64 = 10_000;
/// Largest price: prices are spread evenly over the powers of ten below it.
const PRICE_DECADES: f64 = 6.0;
/// Event time of the first event, ms since 1970: 2026-01-01T00:00:00Z.
const START_MS: u64 = 1_767_225_600_000;

/// A stream of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nexmark {
    /// What all chance follows from.
    pub seed: u64,
    /// Events for each second of event time.
    pub rate: u64,
    /// Whether events carry a text that brings them to the sizes of the specification (200, 500 and 100 bytes).
    pub extra: bool,
}

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Somebody new.
    Person(Person),
    /// Something is for sale.
    Auction(Auction),
    /// Somebody offers a price.
    Bid(Bid),
}

/// A person. Texts: [`text::person_name`] and the others, from `seed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person {
    pub id: u64,
    pub time_ms: u64,
    pub seed: u64,
    /// Length of the text that fills up.
    pub extra: usize,
}

/// An auction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auction {
    pub id: u64,
    pub initial_bid: u64,
    pub reserve: u64,
    pub time_ms: u64,
    pub expires_ms: u64,
    pub seller: u64,
    pub category: u64,
    pub seed: u64,
    pub extra: usize,
}

/// A bid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bid {
    pub auction: u64,
    pub bidder: u64,
    pub price: u64,
    /// One of [`text::HOT_CHANNELS`], or `4 + n` for the channel of number n.
    pub channel: u64,
    pub time_ms: u64,
    pub seed: u64,
    pub extra: usize,
}

impl Nexmark {
    /// The event of a number, counted from 0.
    pub fn event(&self, number: u64) -> Event {
        let mut chance = Chance::new(self.seed, number);
        let time_ms = self.time_ms(number);
        match number % EPOCH {
            offset if offset < PERSONS => Event::Person(self.person(number, time_ms, &mut chance)),
            offset if offset < PERSONS + AUCTIONS => Event::Auction(self.auction(number, time_ms, &mut chance)),
            _ => Event::Bid(self.bid(number, time_ms, &mut chance)),
        }
    }

    /// Event time of an event, ms since 1970: never decreasing with the number.
    pub fn time_ms(&self, number: u64) -> u64 {
        START_MS + number * 1_000 / self.rate
    }

    fn person(&self, number: u64, time_ms: u64, chance: &mut Chance) -> Person {
        Person { id: FIRST_PERSON + last_person(number), time_ms, seed: chance.next(), extra: self.fill(110, chance) }
    }

    fn auction(&self, number: u64, time_ms: u64, chance: &mut Chance) -> Auction {
        let last = last_person(number);
        let seller = if chance.below(HOT_SELLER) > 0 { last / HOT_EVERY * HOT_EVERY } else { some_person(last, chance) };
        let initial_bid = price(chance);
        Auction {
            id: FIRST_AUCTION + last_auction(number),
            initial_bid,
            reserve: initial_bid + price(chance),
            time_ms,
            expires_ms: time_ms + self.length_ms(number, chance),
            seller: FIRST_PERSON + seller,
            category: FIRST_CATEGORY + chance.below(CATEGORIES),
            seed: chance.next(),
            extra: self.fill(310, chance),
        }
    }

    fn bid(&self, number: u64, time_ms: u64, chance: &mut Chance) -> Bid {
        let (auction, person) = (last_auction(number), last_person(number));
        let hot_auction = chance.below(HOT_AUCTION) > 0;
        let auction = if hot_auction { auction / HOT_EVERY * HOT_EVERY } else { some_auction(auction, chance) };
        let hot_bidder = chance.below(HOT_BIDDER) > 0;
        let bidder = if hot_bidder { person / HOT_EVERY * HOT_EVERY + 1 } else { some_person(person, chance) };
        let hot_channel = chance.below(HOT_CHANNEL) > 0;
        let hot_channels = text::HOT_CHANNELS.len() as u64;
        Bid {
            auction: FIRST_AUCTION + auction,
            bidder: FIRST_PERSON + bidder,
            price: price(chance),
            channel: if hot_channel { chance.below(hot_channels) } else { hot_channels + chance.below(CHANNELS) },
            time_ms,
            seed: chance.next(),
            extra: self.fill(40, chance),
        }
    }

    /// How long an auction lasts: up to twice the time in which as many as are open at once are begun.
    fn length_ms(&self, number: u64, chance: &mut Chance) -> u64 {
        let horizon = OPEN_AUCTIONS * EPOCH / AUCTIONS;
        1 + chance.below((2 * (self.time_ms(number + horizon) - self.time_ms(number))).max(1))
    }

    /// The length of the text that fills up: within a fifth of what is wanted.
    fn fill(&self, wanted: u64, chance: &mut Chance) -> usize {
        match self.extra {
            true => (wanted * 4 / 5 + chance.below(wanted * 2 / 5 + 1)) as usize,
            false => 0,
        }
    }
}

/// The number of the last person up to an event.
fn last_person(number: u64) -> u64 {
    number / EPOCH * PERSONS + (number % EPOCH).min(PERSONS - 1)
}

/// The number of the last auction up to an event. Before the first auction it is the first one's, which is soon to come.
fn last_auction(number: u64) -> u64 {
    let begun = (number % EPOCH + 1).saturating_sub(PERSONS).min(AUCTIONS);
    (number / EPOCH * AUCTIONS + begun).saturating_sub(1)
}

fn some_person(last: u64, chance: &mut Chance) -> u64 {
    let known = last + 1;
    let active = known.min(ACTIVE_PERSONS);
    known - active + chance.below(active + LEAD)
}

fn some_auction(last: u64, chance: &mut Chance) -> u64 {
    let first = last.saturating_sub(OPEN_AUCTIONS);
    first + chance.below(last - first + 1 + LEAD)
}

fn price(chance: &mut Chance) -> u64 {
    (10f64.powf(chance.unit() * PRICE_DECADES) * 100.0).round() as u64
}

/// Chance that follows from the seed and the number of an event (SplitMix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The chance of one event.
    pub fn new(seed: u64, number: u64) -> Chance {
        let mut chance = Chance(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95));
        // Neighbouring numbers are far apart after one step.
        Chance(chance.next())
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// A number from 0 up to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const STREAM: Nexmark = Nexmark { seed: 7, rate: 10_000, extra: false };

    fn events(count: u64) -> impl Iterator<Item = Event> {
        (0..count).map(|number| STREAM.event(number))
    }

    #[test]
    fn kinds_come_in_their_proportions_and_ids_without_gaps() {
        let (mut persons, mut auctions, mut bids) = (0, 0, 0);
        for event in events(50_000) {
            match event {
                Event::Person(person) => {
                    assert_eq!(person.id, FIRST_PERSON + persons);
                    persons += 1;
                }
                Event::Auction(auction) => {
                    assert_eq!(auction.id, FIRST_AUCTION + auctions);
                    assert!(auction.expires_ms > auction.time_ms && auction.reserve > auction.initial_bid);
                    assert!((FIRST_CATEGORY..FIRST_CATEGORY + CATEGORIES).contains(&auction.category));
                    auctions += 1;
                }
                Event::Bid(_) => bids += 1,
            }
        }
        assert_eq!((persons, auctions, bids), (1_000, 3_000, 46_000));
    }

    #[test]
    fn who_is_named_is_recent_or_hot() {
        for (number, event) in (0..).zip(events(200_000)) {
            let (person, auction) = (FIRST_PERSON + last_person(number), FIRST_AUCTION + last_auction(number));
            let acts = |id: u64| id + ACTIVE_PERSONS + HOT_EVERY >= person && id <= person + LEAD + 1;
            match event {
                Event::Person(_) => {}
                Event::Auction(auction) => assert!(acts(auction.seller), "{auction:?} after person {person}"),
                Event::Bid(bid) => {
                    assert!(acts(bid.bidder), "{bid:?} after person {person}");
                    assert!(bid.auction + OPEN_AUCTIONS + HOT_EVERY >= auction && bid.auction <= auction + LEAD + 1, "{bid:?} after auction {auction}");
                }
            }
        }
    }

    #[test]
    fn hot_auctions_have_half_of_the_bids() {
        let mut hot = BTreeMap::<bool, u64>::new();
        for event in events(500_000) {
            if let Event::Bid(bid) = event {
                *hot.entry((bid.auction - FIRST_AUCTION).is_multiple_of(HOT_EVERY)).or_default() += 1;
            }
        }
        let share = hot[&true] as f64 / (hot[&true] + hot[&false]) as f64;
        assert!((0.49..0.53).contains(&share), "{share}");
    }

    #[test]
    fn events_follow_from_seed_and_number() {
        let backwards: Vec<Event> = (0..5_000).rev().map(|number| STREAM.event(number)).collect();
        assert!(events(5_000).eq(backwards.into_iter().rev()));
        let other = Nexmark { seed: 8, ..STREAM };
        let same = (0..5_000).filter(|number| STREAM.event(*number) == other.event(*number)).count();
        assert_eq!(same, 0, "another seed gives other events");
    }
}
