#![no_main]
//! A program is read or refused; sections that are added are found again.

use formats::pe::{Addition, Pe, append};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let Ok(pe) = Pe::parse(file) else { return };
    for section in &pe.sections {
        section.content(file);
    }
    let addition = Addition { name: ".added", content: b"content" };
    if let Ok(new) = append(file, &[addition]) {
        let again = Pe::parse(&new).expect("what was written");
        let section = again.section(".added").expect("what was added");
        assert_eq!(section.content(&new), addition.content);
    }
});
