#![no_main]
//! What is on a boot loader's partition is understood or left alone; what we write we read again.

use formats::loader::{self, EntryName};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(name) = EntryName::parse(text) {
        assert_eq!(EntryName::parse(&name.to_string()).expect("what was written"), name);
        let _ = loader::digits(&name.id);
        let _ = loader::flavour(&name.id);
    }
    let _ = loader::packaged_release(text);
    let (one, other) = text.split_once(' ').unwrap_or_default();
    assert_eq!(
        loader::compare_versions(one, other),
        loader::compare_versions(other, one).reverse()
    );
    assert!(
        loader::matches("*", one)
            && (one.contains(['*', '?', '[', '\\']) || loader::matches(one, one))
    );
    let _ = loader::matches(one, other);
    let config = loader::with_default(text, "preon-*_x_*.efi");
    assert_eq!(loader::default_entry(&config), Some("preon-*_x_*.efi"));
    assert_eq!(loader::with_default(&config, "preon-*_x_*.efi"), config);
    assert_eq!(config.len() % 512, 0);
});
