#![no_main]
//! An index is read or refused; each of its packages answers every question or says why not.

use libfuzzer_sys::fuzz_target;
use packages::index::Index;
use packages::resolve::{Pins, Request, Universe, Without, solve};

fuzz_target!(|text: &str| {
    read(text);
    // As it is, hardly any input has what every package needs.
    read(&format!("Package: a\nVersion: 1\nArchitecture: all\n{text}"));
});

fn read(text: &str) {
    let Ok(index) = Index::parse("trixie", text.to_owned()) else { return };
    let mut names = Vec::new();
    for stanza in index.stanzas() {
        let name = stanza.package_name().expect("a name that was checked");
        assert_eq!(name.as_str(), stanza.name());
        let (source, _) = stanza.source();
        assert!(source.len() <= text.len() && stanza.summary().lines().count() <= 1);
        let _ = (stanza.version(), stanza.provides(), stanza.installed_bytes());
        if let Ok(download) = stanza.download() {
            assert!(!download.filename.split('/').any(|part| part == ".."));
        }
        names.push(name.to_string());
    }
    // Whatever stands in the relations: they are met, or it is explained why not.
    let Ok(universe) = Universe::new([&index], &Pins::default()) else { return };
    names.truncate(4);
    let request =
        Request { install: names, without: Without::default(), only: None, recommends: true };
    if let Err(error) = solve(&universe, &request) {
        assert!(!error.to_string().is_empty());
    }
}
