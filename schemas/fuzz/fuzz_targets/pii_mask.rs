//! Masking keeps the length, and the spans lie inside the text.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (masked, spans) = schemas::pii::mask(text);
    let length = text.chars().count();
    assert_eq!(masked.chars().count(), length);
    assert!(spans.iter().all(|span| span.start < span.end && span.end <= length));
});
