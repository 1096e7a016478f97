//! One publication: all that is exchanged as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use base::Digest;
use base::file::{self, FileError};
use base::progress::{Progress, Unit};

use super::indexes::{self, Contents, Stanzas};
use super::layout::{self, Layout};
use super::pool::{self, Package};
use super::present::Present;
use super::{KEPT, LIFE, PublishError};
use crate::keys::Keys;
use crate::tuf::{self, Files, Target};

/// What is to be published.
pub(super) struct Edition<'a> {
    layout: &'a Layout,
    now: u64,
    version: u64,
    stanzas: Stanzas,
    contents: Contents,
    debs: BTreeMap<String, Target>,
    /// The numbers of earlier publications whose files stay.
    kept: BTreeSet<u64>,
    /// The digests of their indexes.
    kept_indexes: BTreeSet<Digest>,
}

/// An index: its path below the suite's folder and its bytes.
struct IndexFile {
    path: String,
    bytes: Vec<u8>,
}

impl<'a> Edition<'a> {
    /// What is there, and `added`.
    pub(super) fn new(
        layout: &'a Layout,
        present: &Present,
        added: Vec<Package>,
        now: u64,
    ) -> Self {
        let mut edition = Self {
            layout,
            now,
            version: present.version + 1,
            stanzas: present.stanzas.clone(),
            contents: present.contents.clone(),
            debs: present.debs.clone(),
            kept: BTreeSet::new(),
            kept_indexes: BTreeSet::new(),
        };
        for (number, past) in &present.editions {
            if number + KEPT >= edition.version || past.valid_until >= now {
                edition.kept.insert(*number);
                edition.kept_indexes.extend(&past.indexes);
            }
        }
        for package in added {
            edition.add(package);
        }
        edition
    }

    fn add(&mut self, package: Package) {
        self.stanzas.insert(indexes::place(&package), indexes::stanza(&package));
        let qualified = indexes::qualified(&package);
        for path in package.contents {
            self.contents.entry(path).or_default().insert(qualified.clone());
        }
        self.debs.insert(package.file, package.target);
    }

    /// How many packages it holds.
    pub(super) fn packages(&self) -> usize {
        self.debs.len()
    }

    /// Writes it beside the present one and exchanges the two.
    pub(super) fn write(&self, keys: &Keys, progress: &dyn Progress) -> Result<(), PublishError> {
        let task = progress.begin("writing indexes", None, Unit::Nothing);
        let (files, listed) = self.index_files().map_err(FileError::at("pack", "the indexes"))?;
        let mut targets = self.debs.clone();
        for file in &files {
            let (name, target) = (self.layout.index_target(&file.path), Target::of(&file.bytes));
            let by_hash = layout::by_hash(&file.path, target.hashes.sha256);
            let path = format!("dists/{}/{by_hash}", self.layout.suite_name());
            pool::link(self.layout, &name, &target, &path)?;
            targets.insert(name, target);
        }
        let edition = tuf::Edition { version: self.version, expires: self.now + LIFE };
        let metadata = Files::new(targets, edition, keys.signers(self.now)?);
        let release = indexes::release(self.layout.suite_name(), self.now, &listed);
        let signed = keys.clear_sign(&release, self.now)?;
        task.advance(1);
        file::replace_folder(&self.layout.suite(), |folder| {
            for file in &files {
                write_index(folder, file)?;
                task.advance(1);
            }
            self.keep_old(folder)?;
            write(folder, "InRelease", &signed)?;
            self.write_metadata(folder, &metadata, keys)?;
            task.advance(1);
            Ok(())
        })
    }

    /// The indexes as files, and what the release says about them.
    fn index_files(&self) -> io::Result<(Vec<IndexFile>, BTreeMap<String, Target>)> {
        let packages = indexes::packages(&self.stanzas);
        let contents = indexes::contents(&self.contents);
        let file = |name: &str, bytes| IndexFile { path: layout::index_path(name), bytes };
        let files = vec![
            file("Packages.xz", indexes::xz(&packages)?),
            file("Packages.zst", indexes::zstd(&packages)?),
            file("Packages", packages.into_bytes()),
            file("Contents-amd64.xz", indexes::xz(&contents)?),
        ];
        let listed = files.iter().map(|file| (file.path.clone(), Target::of(&file.bytes)));
        // Not a file, but what tools check after they have unpacked the packed one.
        let unpacked = (layout::index_path("Contents-amd64"), Target::of(contents.as_bytes()));
        let listed = listed.chain([unpacked]).collect();
        Ok((files, listed))
    }

    /// Brings along what earlier publications need.
    fn keep_old(&self, folder: &Path) -> Result<(), PublishError> {
        let old = self.layout.suite();
        for index in ["Packages", "Contents-amd64.xz"] {
            let path = layout::index_path(index);
            for digest in &self.kept_indexes {
                let path = layout::by_hash(&path, *digest);
                link_if_there(&old.join(&path), &folder.join(&path))?;
            }
        }
        for number in &self.kept {
            for name in ["targets", "snapshot"] {
                let path = format!("tuf/{number}.{name}.json");
                link_if_there(&old.join(&path), &folder.join(&path))?;
            }
        }
        Ok(())
    }

    fn write_metadata(
        &self,
        folder: &Path,
        metadata: &Files,
        keys: &Keys,
    ) -> Result<(), PublishError> {
        for (name, bytes) in keys.root_files() {
            write(folder, &format!("tuf/{name}"), bytes)?;
        }
        let version = self.version;
        write(folder, &format!("tuf/{version}.targets.json"), &metadata.targets)?;
        write(folder, &format!("tuf/{version}.snapshot.json"), &metadata.snapshot)?;
        write(folder, "tuf/timestamp.json", &metadata.timestamp)
    }
}

/// Writes an index by its digest and by its name.
fn write_index(folder: &Path, file: &IndexFile) -> Result<(), PublishError> {
    let by_hash = layout::by_hash(&file.path, Digest::of(&file.bytes));
    write(folder, &by_hash, &file.bytes)?;
    link_if_there(&folder.join(by_hash), &folder.join(&file.path))
}

/// Writes a file in a folder that nobody sees yet.
fn write(folder: &Path, path: &str, bytes: &[u8]) -> Result<(), PublishError> {
    let path = folder.join(path);
    file::create_dir_all(path.parent().unwrap_or(folder))?;
    Ok(fs::write(&path, bytes).map_err(FileError::at("write", path))?)
}

/// Gives a file another name, unless it has that name already or is not there.
fn link_if_there(from: &Path, to: &Path) -> Result<(), PublishError> {
    if !from.is_file() || to.exists() {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        file::create_dir_all(folder)?;
    }
    Ok(fs::hard_link(from, to).map_err(FileError::at("create", to))?)
}
