//! `packages.lock`: which file of the archive each package was, so that a build next year can
//! start from the same bytes.
//!
//! One line a package, sorted, so that a change is one line in a diff:
//! ```toml
//! adduser = { version = "3.152", suite = "trixie", size = 191476, sha256 = "…", filename = "pool/…" }
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use base::file::{self, FileError};
use base::{Digest, Explain};
use formats::{PackageName, Version};
use serde::{Deserialize, Serialize};

use crate::index::{Download, IndexError, Stanza, stays_below};
use crate::source::{Source, SourceFile};

/// The packages of a build, each with the file of the archive that it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// When each suite was made, in seconds since 1970.
    pub releases: BTreeMap<String, u64>,
    /// What starts kernels, if that was ever chosen.
    pub boot: Option<Boot>,
    /// The packages.
    pub packages: BTreeMap<PackageName, Locked>,
    /// The source packages of which some are built anew.
    #[serde(default)]
    pub sources: BTreeMap<PackageName, Source>,
    /// What was chosen for each purpose, by its name.
    #[serde(default)]
    pub sets: BTreeMap<String, Set>,
}

/// What of Debian starts kernels: parts of it lie in packages of our own, whose versions rise with this number.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// Rises by one with each choice of other parts.
    pub revision: u32,
    /// Stands for the parts.
    pub parts: Digest,
}

/// The packages that were chosen for one purpose.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// Stands for what was asked for: another request needs another choice.
    pub request: Digest,
    /// The names of the packages.
    pub packages: BTreeSet<PackageName>,
}

/// One package of a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Its version.
    pub version: Version,
    /// The suite that it was taken from (`trixie-security`).
    pub suite: String,
    /// The length of its `.deb` in bytes.
    pub size: u64,
    /// The digest of its `.deb`.
    pub sha256: Digest,
    /// The path of its `.deb` below the archive's root.
    pub filename: String,
}

/// A lock cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is malformed; the cause says where.
    #[error("cannot read the lock {}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Malformed,
    },
}

/// What is wrong with the text of a lock.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It is not TOML, or not what a lock holds.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// The path of a package leaves the archive.
    #[error("`{0}` is no path below an archive's root")]
    Filename(String),
    /// A set names a package that the lock does not hold.
    #[error("the set {set} has the package {package}, which is not locked")]
    Unlocked {
        /// The set.
        set: String,
        /// The package.
        package: PackageName,
    },
}

impl Explain for LockError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Malformed { .. } => Some("take the lock from version control again".into()),
        }
    }
}

/// What differs between two locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The package.
    pub name: PackageName,
    /// Its version before; `None` if it is new.
    pub before: Option<Version>,
    /// Its version now; `None` if it is gone.
    pub now: Option<Version>,
}

impl Boot {
    /// What follows on `before` with these parts.
    pub fn after(before: Option<&Self>, parts: Digest) -> Self {
        match before {
            Some(before) if before.parts == parts => before.clone(),
            _ => Self { revision: before.map_or(1, |before| before.revision + 1), parts },
        }
    }
}

impl Locked {
    /// Writes down a package of an index.
    ///
    /// # Errors
    ///
    /// [`IndexError`] if the index does not say how to fetch it.
    pub fn of(stanza: Stanza<'_>) -> Result<Self, IndexError> {
        let Download { filename, size, digest } = stanza.download()?;
        let version = stanza.version()?.to_version();
        let suite = stanza.suite().to_owned();
        Ok(Self { version, suite, size, sha256: digest, filename })
    }
}

impl Lock {
    /// Parses the text of a lock.
    ///
    /// # Errors
    ///
    /// [`Malformed`] names the line.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let lock: Self = toml::from_str(text)?;
        let packages = lock.packages.values().map(|locked| &locked.filename);
        let sources = lock.sources.values().flat_map(|source| &source.files);
        let mut filenames = packages.chain(sources.map(|file| &file.filename));
        if let Some(bad) = filenames.find(|name| !stays_below(name)) {
            return Err(Malformed::Filename(bad.clone()));
        }
        for (name, set) in &lock.sets {
            if let Some(package) = set.packages.iter().find(|p| !lock.packages.contains_key(*p)) {
                return Err(Malformed::Unlocked { set: name.clone(), package: package.clone() });
            }
        }
        Ok(lock)
    }

    /// Reads the lock at `path`.
    ///
    /// # Errors
    ///
    /// [`LockError`] names the file.
    pub fn load(path: &Path) -> Result<Self, LockError> {
        let text = file::read_text(path)?;
        Self::parse(&text).map_err(|source| LockError::Malformed { path: path.to_owned(), source })
    }

    /// Writes the lock to `path`, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming the path.
    pub fn save(&self, path: &Path) -> Result<(), FileError> {
        file::replace(path, self.to_string().as_bytes())
    }

    /// The time of everything that is built from these packages, in seconds since 1970: when the
    /// newest of their suites was made. It is the `SOURCE_DATE_EPOCH`.
    pub fn epoch(&self) -> u64 {
        self.releases.values().copied().max().unwrap_or(0)
    }

    /// What changed from `before` to this lock, by name.
    pub fn changes_since(&self, before: &Self) -> Vec<Change> {
        let names = self.packages.keys().chain(before.packages.keys());
        let names: BTreeSet<_> = names.collect();
        let version = |lock: &Self, name| lock.packages.get(name).map(|l| l.version.clone());
        names
            .into_iter()
            .filter(|name| self.packages.get(*name) != before.packages.get(*name))
            .map(|name| Change {
                name: name.clone(),
                before: version(before, name),
                now: version(self, name),
            })
            .collect()
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Written by `forge update`; a build takes exactly these files.\n")?;
        writeln!(f, "[releases] # seconds since 1970")?;
        for (suite, date) in &self.releases {
            writeln!(f, "{} = {date}", Quoted(suite))?;
        }
        if let Some(Boot { revision, parts }) = &self.boot {
            writeln!(f, "\n[boot] # what lies in unified kernel images beside the kernel")?;
            writeln!(f, "revision = {revision}\nparts = \"{parts}\"")?;
        }
        writeln!(f, "\n[packages]")?;
        for (name, locked) in &self.packages {
            let Locked { version, suite, size, sha256, filename } = locked;
            write!(f, "{} = {{ ", Quoted(name.as_str()))?;
            write!(f, "version = {}, ", Quoted(version.as_str()))?;
            write!(f, "suite = {}, size = {size}, sha256 = \"{sha256}\", ", Quoted(suite))?;
            writeln!(f, "filename = {} }}", Quoted(filename))?;
        }
        for (name, source) in &self.sources {
            let Source { version, suite, format, packages, files } = source;
            writeln!(f, "\n[sources.{}]", Quoted(name.as_str()))?;
            writeln!(f, "version = {}", Quoted(version.as_str()))?;
            writeln!(f, "suite = {}", Quoted(suite))?;
            writeln!(f, "format = {}", Quoted(format))?;
            let packages: Vec<_> =
                packages.iter().map(|name| Quoted(name.as_str()).to_string()).collect();
            writeln!(f, "packages = [{}]\nfiles = [", packages.join(", "))?;
            for SourceFile { filename, size, sha256 } in files {
                let filename = Quoted(filename);
                writeln!(
                    f,
                    "    {{ size = {size}, sha256 = \"{sha256}\", filename = {filename} }},"
                )?;
            }
            writeln!(f, "]")?;
        }
        for (name, set) in &self.sets {
            writeln!(f, "\n[sets.{}]\nrequest = \"{}\"", Quoted(name), set.request)?;
            writeln!(f, "packages = [")?;
            for package in &set.packages {
                writeln!(f, "    {},", Quoted(package.as_str()))?;
            }
            writeln!(f, "]")?;
        }
        Ok(())
    }
}

/// A TOML string; none of what a lock holds needs escapes, but a lock is not the place to trust that.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        toml::Value::String(self.0.to_owned()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(packages: &[(&str, &str)]) -> Lock {
        let releases = [("trixie".to_owned(), 7), ("trixie-security".to_owned(), 9)].into();
        let locked = |(name, version): &(&str, &str)| {
            let locked = Locked {
                version: version.parse().unwrap(),
                suite: "trixie".into(),
                size: 12,
                sha256: Digest::of(name.as_bytes()),
                filename: format!("pool/main/{name}_{version}.deb"),
            };
            (name.parse().unwrap(), locked)
        };
        let packages: BTreeMap<_, _> = packages.iter().map(locked).collect();
        let names: BTreeSet<_> = packages.keys().cloned().collect();
        let source = Source {
            version: "7-1".parse().unwrap(),
            suite: "trixie".into(),
            format: "3.0 (quilt)".into(),
            packages: names.clone(),
            files: vec![SourceFile {
                filename: "pool/s/s_7-1.dsc".into(),
                size: 5,
                sha256: Digest::of(b"dsc"),
            }],
        };
        let set = Set { request: Digest::of(b"x"), packages: names };
        let (sources, sets) = ([("s".parse().unwrap(), source)].into(), [("t".to_owned(), set)]);
        let boot = Some(Boot { revision: 3, parts: Digest::of(b"parts") });
        Lock { releases, boot, packages, sources, sets: sets.into() }
    }

    #[test]
    fn a_lock_has_one_sorted_line_a_package_and_reads_back() {
        let lock = lock(&[("libc6", "2.41-12"), ("docker.io", "26.1+1"), ("g++", "1:14~rc")]);
        let text = lock.to_string();
        let lines: Vec<_> = text.lines().filter(|line| line.contains("sha256")).collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[3].contains("filename = \"pool/s/s_7-1.dsc\""), "{text}");
        assert!(lines[0].starts_with("\"docker.io\" = { version = \"26.1+1\", suite = "), "{text}");
        assert_eq!(Lock::parse(&text).unwrap(), lock);
        assert_eq!(lock.epoch(), 9);
    }

    #[test]
    fn the_number_of_what_starts_kernels_rises_with_each_other_choice() {
        let [one, other] = [Digest::of(b"one"), Digest::of(b"other")];
        let mut boot = None;
        let revisions = [one, one, other, one].map(|parts| {
            let next = Boot::after(boot.as_ref(), parts);
            boot = Some(next.clone());
            assert_eq!(next.parts, parts);
            next.revision
        });
        assert_eq!(revisions, [1, 1, 2, 3]);
    }

    #[test]
    fn changes_name_what_came_went_and_moved() {
        let before = lock(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let now = lock(&[("a", "1"), ("b", "2"), ("d", "1")]);
        let changes: Vec<_> = now
            .changes_since(&before)
            .into_iter()
            .map(|Change { name, before, now }| format!("{name} {before:?} {now:?}"))
            .collect();
        assert_eq!(changes, ["b Some(1) Some(2)", "c Some(1) None", "d None Some(1)"]);
    }

    #[test]
    fn what_a_lock_does_not_hold_is_refused() {
        let text = lock(&[("a", "1")]).to_string();
        #[rustfmt::skip]
        let cases = [
            ("suite =",         "sweet =",          "unknown field `sweet`"),
            ("\"1\"",           "\"?\"",            "is not a Debian version"),
            ("pool/main",       "../main",          "is no path below an archive's root"),
            ("pool/s/s",        "pool//s",          "is no path below an archive's root"),
            ("[packages]",      "[extra]",          "unknown field `extra`"),
            ("    \"a\",",       "    \"b\",",       "has the package b, which is not locked"),
        ];
        for (from, to, message) in cases {
            let bad = text.replace(from, to);
            assert_ne!(bad, text);
            let error = Lock::parse(&bad).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
