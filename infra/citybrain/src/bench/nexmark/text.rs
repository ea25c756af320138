//! The text in Nexmark events, from their seeds, as ASCII at the end of a buffer that the caller keeps.

use super::generator::{Auction, Bid, Chance, Person};

/// Channels that half of the bids come from.
pub const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];

const FIRST_NAMES: [&str; 11] = ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] = ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const CITIES: [&str; 10] = ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
/// Letters, a few of them twice so that five bits choose one.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyzaeinot";

/// Each text of an event has chance of its own, so that it is the same whichever others are written.
fn chance(seed: u64, which: u64) -> Chance {
    Chance::new(seed, which)
}

fn choose(out: &mut Vec<u8>, from: &[&str], chance: &mut Chance) {
    out.extend_from_slice(from[chance.below(from.len() as u64) as usize].as_bytes());
}

/// Letters without sense.
pub fn letters(out: &mut Vec<u8>, count: usize, chance: &mut Chance) {
    let mut left = count;
    while left > 0 {
        let bits = chance.next();
        let now = left.min(12);
        let block: [u8; 12] = std::array::from_fn(|nth| LETTERS[(bits >> (5 * nth)) as usize & 31]);
        out.extend_from_slice(&block[..now]);
        left -= now;
    }
}

/// First and last name.
pub fn person_name(out: &mut Vec<u8>, person: &Person) {
    let mut chance = chance(person.seed, 0);
    choose(out, &FIRST_NAMES, &mut chance);
    out.push(b' ');
    choose(out, &LAST_NAMES, &mut chance);
}

/// An address that nobody has.
pub fn person_email(out: &mut Vec<u8>, person: &Person) {
    let mut chance = chance(person.seed, 1);
    letters(out, 7, &mut chance);
    out.push(b'@');
    letters(out, 5, &mut chance);
    out.extend_from_slice(b".com");
}

/// Four times four digits.
pub fn person_credit_card(out: &mut Vec<u8>, person: &Person) {
    let mut chance = chance(person.seed, 2);
    for group in 0..4 {
        if group > 0 {
            out.push(b' ');
        }
        let digits = chance.below(10_000);
        out.extend([1_000, 100, 10, 1].map(|place| b'0' + (digits / place % 10) as u8));
    }
}

/// The city.
pub fn person_city(out: &mut Vec<u8>, person: &Person) {
    choose(out, &CITIES, &mut chance(person.seed, 3));
}

/// The state, in two letters.
pub fn person_state(out: &mut Vec<u8>, person: &Person) {
    choose(out, &STATES, &mut chance(person.seed, 4));
}

/// What is for sale.
pub fn auction_item(out: &mut Vec<u8>, auction: &Auction) {
    letters(out, 20, &mut chance(auction.seed, 0));
}

/// More about it.
pub fn auction_description(out: &mut Vec<u8>, auction: &Auction) {
    letters(out, 100, &mut chance(auction.seed, 1));
}

/// The channel's name.
pub fn bid_channel(out: &mut Vec<u8>, bid: &Bid) {
    match HOT_CHANNELS.get(bid.channel as usize) {
        Some(hot) => out.extend_from_slice(hot.as_bytes()),
        None => {
            out.extend_from_slice(b"channel-");
            number(out, bid.channel - HOT_CHANNELS.len() as u64);
        }
    }
}

/// Where the bid was made: always the same for a channel. Nine in ten of those that are not hot name their channel in it.
pub fn bid_url(out: &mut Vec<u8>, bid: &Bid) {
    let mut chance = chance(bid.channel, 0x75_726c);
    out.extend_from_slice(b"https://www.nexmark.com/");
    for _ in 0..3 {
        letters(out, 5, &mut chance);
        out.push(b'/');
    }
    out.extend_from_slice(b"item.htm?query=1");
    if bid.channel >= HOT_CHANNELS.len() as u64 && chance.below(10) > 0 {
        out.extend_from_slice(b"&channel_id=");
        number(out, u64::from((bid.channel as u32).reverse_bits() >> 1));
    }
}

/// The text that fills up.
pub fn extra(out: &mut Vec<u8>, seed: u64, count: usize) {
    letters(out, count, &mut chance(seed, 9));
}

/// A number in decimal digits.
pub fn number(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut left = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
