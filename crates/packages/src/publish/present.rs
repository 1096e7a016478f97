//! What a repository holds now, as its own signed metadata says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use base::Digest;
use base::file::{self, FileError};
use formats::Version;

use super::indexes::{self, Contents, Stanzas};
use super::layout::{self, Layout};
use super::pool::Package;
use super::{LIFE, PublishError, ShownPackage};
use crate::deb::unpack_xz;
use crate::index::Index;
use crate::keys::Keys;
use crate::tuf::{self, Meta, Target, Targets, TufError};

/// The state of a repository; empty where nothing was published yet.
#[derive(Default)]
pub(super) struct Present {
    /// The number of the last publication.
    pub(super) version: u64,
    /// When it was made, seconds since 1970.
    pub(super) published: u64,
    /// Until when it may be used.
    pub(super) valid_until: u64,
    pub(super) stanzas: Stanzas,
    pub(super) contents: Contents,
    /// The targets of the packages, by file name.
    pub(super) debs: BTreeMap<String, Target>,
    /// Earlier publications and the last one, by number.
    pub(super) editions: BTreeMap<u64, Past>,
    /// Every target of all of these.
    targets: BTreeMap<String, BTreeSet<Target>>,
}

/// A publication whose metadata is still there.
pub(super) struct Past {
    /// Until when it may be used, seconds since 1970.
    pub(super) valid_until: u64,
    /// The digests of its indexes.
    pub(super) indexes: BTreeSet<Digest>,
}

/// Reads the files of a suite and checks them.
struct Reader<'a> {
    layout: &'a Layout,
    keys: &'a Keys,
}

impl Reader<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.layout.suite().join(name)
    }

    fn damaged<T>(&self, name: &str, result: Result<T, TufError>) -> Result<T, PublishError> {
        result.map_err(|source| PublishError::Damaged { path: self.path(name), source })
    }

    fn file(&self, name: &str) -> Result<Vec<u8>, PublishError> {
        Ok(file::read(&self.path(name))?)
    }

    /// The metadata in the file `name`, which `role` has signed, and the bytes of the file.
    fn metadata<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
        role: &'static str,
    ) -> Result<(T, Vec<u8>), PublishError> {
        let bytes = self.file(name)?;
        let read = tuf::read(&bytes, role, self.keys.roots());
        Ok((self.damaged(name, read)?, bytes))
    }

    /// What `meta` names as `name`, read from the file with its version in it.
    fn next<T: serde::de::DeserializeOwned>(
        &self,
        meta: &Meta,
        name: &str,
        role: &'static str,
    ) -> Result<(T, Vec<u8>), PublishError> {
        let named = meta.meta.get(name).ok_or(TufError::Other);
        let named = self.damaged(name, named)?;
        let path = format!("tuf/{}.{name}", named.version);
        let (metadata, bytes) = self.metadata(&path, role)?;
        self.damaged(&path, named.check(&bytes))?;
        Ok((metadata, bytes))
    }

    /// The index `name`, as `targets` says that it is.
    fn index(&self, targets: &Targets, name: &str) -> Result<Vec<u8>, PublishError> {
        let path = layout::index_path(name);
        let bytes = self.file(&path)?;
        let target = targets.targets.get(&self.layout.index_target(&path));
        let right = target.is_some_and(|target| *target == Target::of(&bytes));
        self.damaged(&path, if right { Ok(bytes) } else { Err(TufError::Other) })
    }

    /// All publications whose targets are still there; what cannot be read counts as gone.
    fn editions(&self) -> Result<BTreeMap<u64, Targets>, PublishError> {
        let folder = self.path("tuf");
        let mut editions = BTreeMap::new();
        for entry in folder.read_dir().map_err(FileError::at("read", &folder))? {
            let entry = entry.map_err(FileError::at("read", &folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let number = name.strip_suffix(".targets.json").and_then(|n| n.parse().ok());
            let Some(number) = number else { continue };
            if let Ok((targets, _)) = self.metadata::<Targets>(&format!("tuf/{name}"), "targets") {
                editions.insert(number, targets);
            }
        }
        Ok(editions)
    }
}

impl Present {
    /// Reads the suite of `layout`, which one of the roots in `keys` must vouch for.
    pub(super) fn load(layout: &Layout, keys: &Keys) -> Result<Self, PublishError> {
        if !layout.suite().is_dir() {
            return Ok(Self::default());
        }
        let reader = Reader { layout, keys };
        let (timestamp, _) = reader.metadata::<Meta>("tuf/timestamp.json", "timestamp")?;
        let (snapshot, _) = reader.next::<Meta>(&timestamp, "snapshot.json", "snapshot")?;
        let (targets, _) = reader.next::<Targets>(&snapshot, "targets.json", "targets")?;
        let packages = reader.index(&targets, "Packages")?;
        let packed = reader.index(&targets, "Contents-amd64.xz")?;
        let mut text = String::new();
        let path = reader.path(&layout::index_path("Contents-amd64.xz"));
        unpack_xz(&packed[..])
            .and_then(|mut reader| reader.read_to_string(&mut text))
            .map_err(FileError::at("unpack", path))?;
        let valid_until = timestamp.head.expires();
        let mut present = Self {
            version: timestamp.head.version,
            published: valid_until.saturating_sub(LIFE),
            valid_until,
            stanzas: stanzas(&reader.path(&layout::index_path("Packages")), &packages)?,
            contents: indexes::read_contents(&text),
            debs: targets.targets.into_iter().filter(|(name, _)| is_deb(name)).collect(),
            ..Self::default()
        };
        for (number, targets) in reader.editions()? {
            present.remember(number, &targets);
        }
        Ok(present)
    }

    fn remember(&mut self, number: u64, past: &Targets) {
        let indexes = past.targets.iter().filter(|(name, _)| !is_deb(name));
        let indexes = indexes.map(|(_, target)| target.hashes.sha256).collect();
        let valid_until = past.head.expires();
        self.editions.insert(number, Past { valid_until, indexes });
        for (name, target) in &past.targets {
            self.targets.entry(name.clone()).or_default().insert(*target);
        }
    }

    /// Every target of every publication that is kept, by name.
    pub(super) fn targets(&self) -> &BTreeMap<String, BTreeSet<Target>> {
        &self.targets
    }

    /// Those of `packages` that are not there yet, and those that are.
    ///
    /// # Errors
    ///
    /// [`PublishError`] if one is there with other content, or two claim one name.
    pub(super) fn admit(
        &self,
        packages: Vec<Package>,
    ) -> Result<(Vec<Package>, Vec<Package>), PublishError> {
        let mut versions: BTreeMap<String, Version> = BTreeMap::new();
        // By what indexes tell apart: `1.0` and `1.00` are one version to them.
        let mut spellings: BTreeMap<(String, Version, String), String> = BTreeMap::new();
        for place in self.stanzas.keys() {
            let (name, version, architecture) = place;
            let file = layout::deb_name(name, version.as_str(), architecture);
            versions.insert(file, version.clone());
            spellings.insert(place.clone(), version.to_string());
        }
        let mut seen = self.debs.clone();
        let (mut added, mut known) = (Vec::new(), Vec::new());
        for package in packages {
            let version = package.control.version();
            let first = versions.entry(package.file.clone()).or_insert_with(|| version.clone());
            if first.as_str() != version.as_str() {
                let (first, second) = (first.to_string(), version.to_string());
                let (file, package) = (package.file, package.control.name().to_string());
                return Err(PublishError::OneName { package, file, first, second });
            }
            let control = &package.control;
            let architecture = control.architecture().to_owned();
            let place = (control.name().to_string(), version.clone(), architecture);
            let spelled = spellings.entry(place).or_insert_with(|| version.to_string());
            if spelled != version.as_str() {
                let (first, second) = (spelled.clone(), version.to_string());
                let (file, package) = (package.file, control.name().to_string());
                return Err(PublishError::OneName { package, file, first, second });
            }
            match seen.insert(package.file.clone(), package.target) {
                Some(target) if target != package.target => {
                    return Err(PublishError::OtherContent { file: package.file });
                }
                Some(_) => known.push(package),
                None => added.push(package),
            }
        }
        added.sort_by_key(|package| package.file.clone());
        Ok((added, known))
    }

    /// The packages, for people.
    pub(super) fn shown(&self) -> Vec<ShownPackage> {
        let shown = |((name, version, _), text): (&(String, Version, String), &String)| {
            let field = |field: &str| {
                let mut lines = text.lines();
                lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(": ")).unwrap_or("")
            };
            ShownPackage {
                name: name.clone(),
                version: version.to_string(),
                path: field("Filename").to_owned(),
                size: field("Size").parse().unwrap_or(0),
            }
        };
        self.stanzas.iter().map(shown).collect()
    }
}

fn is_deb(name: &str) -> bool {
    name.ends_with(".deb")
}

/// The stanzas of the `Packages` file at `path`.
fn stanzas(path: &Path, bytes: &[u8]) -> Result<Stanzas, PublishError> {
    let malformed = |reason: String| PublishError::Damaged {
        path: path.to_owned(),
        source: TufError::Malformed(reason),
    };
    let text = String::from_utf8_lossy(bytes).into_owned();
    let index = Index::parse("the repository", text).map_err(|it| malformed(it.to_string()))?;
    let mut stanzas = Stanzas::new();
    for stanza in index.stanzas() {
        let version = stanza.version().map_err(|error| malformed(error.to_string()))?;
        let place =
            (stanza.name().to_owned(), version.to_version(), stanza.architecture().to_owned());
        stanzas.insert(place, format!("{}\n", stanza.text().trim_end()));
    }
    Ok(stanzas)
}
