#![no_main]
//! An archive is read to its end or refused; no member is longer than the file.

use std::io::Read;

use formats::ar::Reader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = Reader::new(bytes) else { return };
    while let Ok(Some(header)) = reader.next_member() {
        let mut content = Vec::new();
        if reader.content().read_to_end(&mut content).is_err() {
            return;
        }
        assert_eq!(content.len() as u64, header.size);
    }
});
