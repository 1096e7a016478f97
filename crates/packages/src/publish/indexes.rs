//! The text of a repository's indexes: `Packages`, `Contents`, `Release`.
//!
//! Source: <https://wiki.debian.org/DebianRepository/Format>.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use formats::Version;
use jiff::Timestamp;
use liblzma::write::XzEncoder;

use super::LIFE;
use super::layout::{ARCHITECTURE, COMPONENT};
use super::pool::Package;
use crate::tuf::Target;

/// How hard zstd and xz try: indexes are made once and fetched often.
const ZSTD_LEVEL: i32 = 19;
const XZ_LEVEL: u32 = 9;

/// What orders packages in an index: name, version, architecture.
pub(super) type Place = (String, Version, String);

/// The stanzas of `Packages`.
pub(super) type Stanzas = BTreeMap<Place, String>;

/// Which packages have a file, by path; packages with their section before them.
pub(super) type Contents = BTreeMap<String, BTreeSet<String>>;

/// Where a package comes in an index.
pub(super) fn place(package: &Package) -> Place {
    let control = &package.control;
    let name = control.name().to_string();
    (name, control.version().clone(), control.architecture().to_owned())
}

/// What an index says of a package.
pub(super) fn stanza(package: &Package) -> String {
    let Package { control, path, target, .. } = package;
    let digest = target.hashes.sha256;
    format!("{control}Filename: {path}\nSize: {}\nSHA256: {digest}\n", target.length)
}

/// The whole of `Packages`.
pub(super) fn packages(stanzas: &Stanzas) -> String {
    stanzas.values().map(String::as_str).collect::<Vec<_>>().join("\n")
}

/// How `Contents` names a package: `section/name`.
pub(super) fn qualified(package: &Package) -> String {
    let section = package.control.get("Section").unwrap_or("misc");
    let bad = |character: char| character.is_whitespace() || character == ',';
    format!("{}/{}", section.replace(bad, "-"), package.control.name())
}

/// The whole of `Contents`.
pub(super) fn contents(contents: &Contents) -> String {
    let mut text = String::new();
    for (path, packages) in contents {
        let packages: Vec<_> = packages.iter().map(String::as_str).collect();
        text += &format!("{path} {}\n", packages.join(","));
    }
    text
}

/// Reads what [`contents`] wrote.
pub(super) fn read_contents(text: &str) -> Contents {
    let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
    let words = |packages: &str| packages.split(',').map(str::to_owned).collect();
    lines.map(|(path, packages)| (path.to_owned(), words(packages))).collect()
}

/// The text of `Release` for the indexes `listed` by path below the suite's folder.
pub(super) fn release(suite: &str, now: u64, listed: &BTreeMap<String, Target>) -> String {
    let mut text = format!(
        "Origin: Preon OS\nLabel: Preon OS\nSuite: {suite}\nCodename: {suite}\nDate: {}\n\
         Valid-Until: {}\nAcquire-By-Hash: yes\nNotAutomatic: yes\nArchitectures: {ARCHITECTURE}\n\
         Components: {COMPONENT}\nDescription: Curated packages of Preon OS\nSHA256:\n",
        date(now),
        date(now + LIFE),
    );
    for (path, target) in listed {
        text += &format!(" {} {:>10} {path}\n", target.hashes.sha256, target.length);
    }
    text
}

/// The form that `Release` wants: `Sat, 21 Nov 2026 09:15:44 UTC`.
fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|time| Timestamp::from_second(time).ok());
    time.unwrap_or(Timestamp::MAX).strftime("%a, %d %b %Y %H:%M:%S UTC").to_string()
}

pub(super) fn xz(text: &str) -> io::Result<Vec<u8>> {
    let mut encoder = XzEncoder::new(Vec::new(), XZ_LEVEL);
    encoder.write_all(text.as_bytes())?;
    encoder.finish()
}

pub(super) fn zstd(text: &str) -> io::Result<Vec<u8>> {
    zstd::encode_all(text.as_bytes(), ZSTD_LEVEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_survive_writing_and_reading() {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let before: Contents = [
            ("usr/bin/a".to_owned(), words(&["admin/a", "misc/b"])),
            ("usr/share/a file".to_owned(), words(&["misc/b"])),
        ]
        .into();
        let text = contents(&before);
        assert_eq!(text, "usr/bin/a admin/a,misc/b\nusr/share/a file misc/b\n");
        assert_eq!(read_contents(&text), before);
    }

    #[test]
    fn our_own_reader_takes_a_release_that_we_write() {
        let listed = [("main/binary-amd64/Packages".to_owned(), Target::of(b"abc"))];
        let text = release("preon-trixie", 1_795_222_383, &listed.into());
        let release = crate::release::parse(&text).unwrap();
        assert_eq!((release.date, release.by_hash), (1_795_222_383, true));
        assert_eq!(release.valid_until, Some(1_795_222_383 + LIFE));
        assert_eq!(release.files["main/binary-amd64/Packages"].size, 3);
    }
}
