//! What a producer calls record batches is split into whole batches, or refused; of what is taken the records are read or
//! not, but never beyond its end.
#![no_main]
use broker::{batch, records};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(batches) = batch::split(Bytes::copy_from_slice(bytes), 1 << 20) else { return };
    for (header, bytes) in batches {
        assert!(batch::is_intact(&bytes, &header), "a batch is taken only when its checksum is right");
        let _ = records::read(&bytes);
        let _ = records::first_at_time(&bytes, 0, 0);
    }
});
