#![no_main]
//! Relations are read or refused; what is read survives printing.

use formats::relation::Relations;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(relations) = Relations::parse(text) {
        assert_eq!(Relations::parse(&relations.to_string()), Ok(relations));
    }
});
