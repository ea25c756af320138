//! Any record is refused or read; what is read goes through Kafka unchanged.
#![no_main]
use libfuzzer_sys::fuzz_target;
use schemas::Event;

// Headers: each line is `name=value`; behind the first empty line is the record's value.
fuzz_target!(|bytes: &[u8]| {
    let split = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap_or(bytes.len());
    let value = bytes.get(split + 2..);
    let headers = bytes[..split].split(|byte| *byte == b'\n').filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b'=').unwrap_or(line.len());
        Some((std::str::from_utf8(&line[..at]).ok()?, line.get(at + 1..)))
    });
    if let Ok(event) = Event::from_kafka(value, headers, value) {
        let record = event.to_kafka();
        let again = Event::from_kafka(record.key.as_deref(), record.header_refs(), record.value.as_deref());
        assert_eq!(again, Ok(event));
    }
});
