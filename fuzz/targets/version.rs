#![no_main]
//! Versions compare without panic, one way round as the other.

use formats::VersionRef;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (one, other) = text.split_once('\n').unwrap_or((text, ""));
    let (Ok(one), Ok(other)) = (VersionRef::parse(one), VersionRef::parse(other)) else { return };
    assert_eq!(one.cmp(&other), other.cmp(&one).reverse());
    let ours = one.to_version().with_preon(1);
    assert!(ours.borrowed() > one.without_preon());
    assert_eq!(ours.to_string().parse(), Ok(ours));
});
