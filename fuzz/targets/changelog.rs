#![no_main]
//! What a changelog fixes survives the field of a control file, and no other field comes with it.

use libfuzzer_sys::fuzz_target;
use packages::control::Control;
use packages::fixes::{FIELD, Fixes};

fuzz_target!(|text: &str| {
    let fixes = Fixes::of_changelog(text);
    let mut control = Control::parse("Package: a\nVersion: 1\nArchitecture: all\n").unwrap();
    control.set(FIELD, &fixes.to_string());
    let read = Control::parse(&control.to_string()).unwrap();
    assert_eq!(read.fields().count(), 3 + usize::from(!fixes.is_empty()));
    assert_eq!(Fixes::of_control(&read).unwrap(), fixes);
});
