//! Source packages: what a suite's `Sources` says about them, and what their `.dsc` files say.
//!
//! The archive's signature covers `Sources`, which names the digest of every file. Beside that, a
//! developer has signed the `.dsc`, which names them again: [`check_dsc`] wants both to agree.
//!
//! Source: <https://wiki.debian.org/DebianRepository/Format>, "Sources Indices"; dsc(5).

use std::collections::BTreeSet;

use base::{Digest, Explain};
use formats::relation::{BadRelation, Relation, Relations};
use formats::version::BadVersion;
use formats::{PackageName, Version, deb822};
use memchr::memmem;
use serde::{Deserialize, Serialize};

use crate::index::stays_below;

/// The `Sources` of one suite, kept as text and searched when asked.
pub struct SourceIndex {
    suite: String,
    text: String,
}

/// A source package, as it is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its version.
    pub version: Version,
    /// The suite that it was found in.
    pub suite: String,
    /// The format of the source package (`3.0 (quilt)`).
    pub format: String,
    /// The binary packages of a lock that are built from it.
    pub packages: BTreeSet<PackageName>,
    /// Its files; one of them ends in `.dsc`.
    pub files: Vec<SourceFile>,
}

/// A file of a source package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Its path below the archive's root.
    pub filename: String,
    /// Bytes.
    pub size: u64,
    /// What its bytes must be.
    pub sha256: Digest,
}

/// What a suite says about a source package.
#[derive(Clone, Debug)]
pub struct Found {
    /// How to fetch it; which packages are wanted of it is not said here.
    pub source: Source,
    /// `Build-Depends` and `Build-Depends-Arch`.
    pub needs: String,
}

/// A source package cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It is no paragraph of fields.
    #[error("what is said about the source package {name} is malformed")]
    Malformed {
        /// The source package.
        name: String,
        /// What is wrong.
        source: deb822::Malformed,
    },
    /// A field lacks or cannot be read.
    #[error("the source package {name}: `{value}` cannot be its {field}")]
    Field {
        /// The source package.
        name: String,
        /// The field.
        field: &'static str,
        /// What stands there.
        value: String,
    },
    /// It is another version than asked for.
    #[error("the source package {name}: its version is malformed")]
    Version {
        /// The source package.
        name: String,
        /// What is wrong.
        source: BadVersion,
    },
    /// The signed `.dsc` names other files than the archive.
    #[error("{dsc} names {file} with another size or digest than the archive does, or not at all")]
    Disagree {
        /// The `.dsc` file.
        dsc: String,
        /// The file that differs.
        file: String,
    },
    /// The signed `.dsc` is of another package.
    #[error("{dsc} is of {found}, not of {expected}")]
    Other {
        /// The `.dsc` file.
        dsc: String,
        /// What it is of.
        found: String,
        /// What was asked for.
        expected: String,
    },
}

impl Explain for SourceError {
    fn hint(&self) -> Option<String> {
        Some("do not build it: report it to whoever runs this archive".into())
    }
}

impl Source {
    /// The file that a developer signed.
    pub fn dsc(&self) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.is_dsc())
    }

    /// A `.dsc` that says what the archive says, for a source package whose own cannot be had.
    pub fn stand_in(&self, name: &PackageName) -> String {
        let Self { version, format, .. } = self;
        let mut text = format!("Format: {format}\nSource: {name}\nVersion: {version}\n");
        text += "Checksums-Sha256:\n";
        for file in self.files.iter().filter(|file| !file.is_dsc()) {
            text += &format!(" {} {} {}\n", file.sha256, file.size, file.name());
        }
        text
    }
}

impl SourceFile {
    /// Whether it is the one that a developer signed.
    pub fn is_dsc(&self) -> bool {
        self.filename.ends_with(".dsc")
    }

    /// Its name without folders.
    pub fn name(&self) -> &str {
        self.filename.rsplit('/').next().unwrap_or_default()
    }
}

impl SourceIndex {
    /// An index of the text of a suite's `Sources`.
    pub fn new(suite: impl Into<String>, text: String) -> Self {
        Self { suite: suite.into(), text }
    }

    /// What it says about one version of a source package; `None` if nothing.
    ///
    /// # Errors
    ///
    /// [`SourceError`] if what it says cannot be used.
    pub fn find(&self, name: &str, version: &str) -> Result<Option<Found>, SourceError> {
        for stanza in self.stanzas(name) {
            let paragraph = deb822::single(stanza)
                .map_err(|source| SourceError::Malformed { name: name.to_owned(), source })?;
            if paragraph.get("Version") == Some(version) {
                return self.found(name, &paragraph).map(Some);
            }
        }
        Ok(None)
    }

    /// The stanzas about `name`, in the order of the text.
    fn stanzas<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let line = format!("Package: {name}\n");
        let starts: Vec<_> = memmem::find_iter(self.text.as_bytes(), line.as_bytes())
            .filter(|&at| at == 0 || self.text.as_bytes()[at - 1] == b'\n')
            .collect();
        starts.into_iter().map(|at| {
            let start = self.text[..at].rfind("\n\n").map_or(0, |end| end + 2);
            let end = self.text[at..].find("\n\n").map_or(self.text.len(), |end| at + end);
            &self.text[start..end]
        })
    }

    fn found(&self, name: &str, stanza: &deb822::Paragraph<'_>) -> Result<Found, SourceError> {
        let bad = |field, value: &str| SourceError::Field {
            name: name.to_owned(),
            field,
            value: value.chars().take(100).collect(),
        };
        let version = stanza.get("Version").unwrap_or_default();
        let directory = stanza.get("Directory").ok_or_else(|| bad("Directory", ""))?;
        let listed = stanza.get("Checksums-Sha256").unwrap_or_default();
        let mut files = Vec::new();
        for line in checksums(listed) {
            let (sha256, size, file) = line.ok_or_else(|| bad("Checksums-Sha256", listed))?;
            let filename = format!("{directory}/{file}");
            if file.contains('/') || !stays_below(&filename) {
                return Err(bad("Checksums-Sha256", &filename));
            }
            files.push(SourceFile { filename, size, sha256 });
        }
        files.sort();
        let source = Source {
            version: version
                .parse()
                .map_err(|source| SourceError::Version { name: name.to_owned(), source })?,
            suite: self.suite.clone(),
            format: stanza.get("Format").unwrap_or("1.0").to_owned(),
            packages: BTreeSet::new(),
            files,
        };
        if source.dsc().is_none() {
            return Err(bad("Checksums-Sha256", listed));
        }
        let needs = ["Build-Depends", "Build-Depends-Arch"].map(|field| stanza.get(field));
        let needs = needs.into_iter().flatten().collect::<Vec<_>>().join(", ");
        Ok(Found { source, needs })
    }
}

/// The lines of a `Checksums-Sha256` field: digest, bytes and name; `None` for what is no such line.
fn checksums(field: &str) -> impl Iterator<Item = Option<(Digest, u64, &str)>> {
    field.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
        let mut words = line.split_ascii_whitespace();
        let digest = words.next()?.parse().ok()?;
        let size = words.next()?.parse().ok()?;
        let name = words.next()?;
        words.next().is_none().then_some((digest, size, name))
    })
}

/// Checks that the signed text of a `.dsc` file is of the source package `name` and names just the
/// files that the archive names.
///
/// # Errors
///
/// [`SourceError`] says what differs.
pub fn check_dsc(name: &PackageName, source: &Source, text: &str) -> Result<(), SourceError> {
    let dsc = source.dsc().map(SourceFile::name).unwrap_or_default().to_owned();
    let paragraph = deb822::single(text)
        .map_err(|source| SourceError::Malformed { name: name.to_string(), source })?;
    let said = |field| paragraph.get(field).unwrap_or_default();
    let found = format!("{} {}", said("Source"), said("Version"));
    let expected = format!("{name} {}", source.version);
    if found != expected {
        return Err(SourceError::Other { dsc, found, expected });
    }
    let listed = said("Checksums-Sha256");
    let signed: Option<BTreeSet<_>> = checksums(listed).collect();
    let signed = signed.ok_or_else(|| SourceError::Field {
        name: name.to_string(),
        field: "Checksums-Sha256",
        value: listed.chars().take(100).collect(),
    })?;
    let archive: BTreeSet<_> = source
        .files
        .iter()
        .filter(|file| !file.is_dsc())
        .map(|file| (file.sha256, file.size, file.name()))
        .collect();
    match signed.symmetric_difference(&archive).next() {
        None => Ok(()),
        Some((_, _, file)) => Err(SourceError::Disagree { dsc, file: (*file).to_owned() }),
    }
}

/// What of `needs` (`Build-Depends`) holds for a build on amd64 with these build profiles, as
/// relations for [`crate::resolve::Request::install`].
///
/// # Errors
///
/// [`BadRelation`] if the field breaks the grammar.
///
/// Source: Debian Policy, section 7.1; <https://wiki.debian.org/BuildProfileSpec>.
pub fn build_needs(needs: &str, profiles: &[String]) -> Result<Vec<String>, BadRelation> {
    let mut relations = Relations::parse(needs)?;
    for group in &mut relations.groups {
        group.alternatives.retain(|relation| holds(relation, profiles));
        for relation in &mut group.alternatives {
            (relation.architectures, relation.profiles) = (None, None);
        }
    }
    let groups = relations.groups.iter().filter(|group| !group.alternatives.is_empty());
    Ok(groups.map(ToString::to_string).collect())
}

fn holds(relation: &Relation<'_>, profiles: &[String]) -> bool {
    let architectures = relation.architectures.is_none_or(|list| {
        let is_here = |word: &str| matches!(word, "amd64" | "any" | "linux-any" | "any-amd64");
        let mut words = list.split_ascii_whitespace().peekable();
        match words.peek() {
            Some(first) if first.starts_with('!') => !words.any(|word| is_here(&word[1..])),
            _ => words.any(is_here),
        }
    });
    // `<a b> <c>`: (a and b) or c.
    let active = relation.profiles.is_none_or(|formula| {
        formula.trim_matches(['<', '>']).split('>').any(|list| {
            let words = list.trim_start().trim_start_matches('<').split_ascii_whitespace();
            words.into_iter().all(|word| match word.strip_prefix('!') {
                Some(not) => !profiles.iter().any(|profile| profile == not),
                None => profiles.iter().any(|profile| profile == word),
            })
        })
    });
    architectures && active
}

#[cfg(test)]
mod tests;
