//! Any frame is either of the form of its API and version, or it is refused; nothing is allocated for what it announces.
#![no_main]
use broker::api::OFFERS;
use broker::shape;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

// The first two bytes choose the API and the version.
fuzz_target!(|bytes: &[u8]| {
    let [choice, version, rest @ ..] = bytes else { return };
    let offer = &OFFERS[*choice as usize % OFFERS.len()];
    let version = offer.min + i16::from(*version) % (offer.max - offer.min + 1);
    let mut body = Bytes::copy_from_slice(rest);
    if shape::check_header(&mut body, offer.key.request_header_version(version)).is_ok() {
        let _ = shape::check(offer.key, version, &body);
    }
});
