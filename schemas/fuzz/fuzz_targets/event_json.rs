//! Any document is refused or read; what is read goes through JSON unchanged.
#![no_main]
use libfuzzer_sys::fuzz_target;
use schemas::Event;

fuzz_target!(|bytes: &[u8]| {
    let _ = Event::batch_from_json(bytes);
    if let Ok(event) = Event::from_json(bytes) {
        assert_eq!(Event::from_json(event.to_json().as_bytes()), Ok(event));
    }
});
