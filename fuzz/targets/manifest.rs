#![no_main]
//! A manifest is read or refused; what is read survives writing.

use formats::manifest::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &[u8]| {
    if let Ok(manifest) = Manifest::parse(json) {
        let again = Manifest::parse(manifest.to_json().as_bytes()).expect("what was written");
        assert_eq!(again, manifest);
    }
});
