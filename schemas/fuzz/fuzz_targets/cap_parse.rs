//! Any text is refused or read; what is read can be written.
#![no_main]
use libfuzzer_sys::fuzz_target;
use schemas::cap::CapAlert;

fuzz_target!(|text: &str| {
    if let Ok(alert) = CapAlert::parse(text) {
        let written = alert.to_xml().expect("what passed the check is written");
        CapAlert::parse(&written).expect("what is written is read");
    }
});
