//! Packages on their way into the pool.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use base::digest::Hasher;
use base::file::{self, FileError, Staged};

use super::layout::{self, ARCHITECTURE, Layout};
use super::{PublishError, fields};
use crate::control::Control;
use crate::deb::{Deb, Kind, Limits};
use crate::index::stays_below;
use crate::tuf::{Hashes, Target};

/// A package that is to be published.
pub(super) struct Package {
    from: PathBuf,
    pub(super) control: Control,
    /// The name of its file.
    pub(super) file: String,
    /// The path below the repository.
    pub(super) path: String,
    pub(super) target: Target,
    /// The paths of its files, without a slash before them.
    pub(super) contents: BTreeSet<String>,
}

impl Package {
    /// Reads the package at `from`, all of it.
    pub(super) fn read(from: &Path) -> Result<Self, PublishError> {
        let deb = Deb::open(from)?;
        let control = deb.control().clone();
        let package = || from.display().to_string();
        fields::check(from, &control)?;
        let architecture = control.architecture().to_owned();
        if ![ARCHITECTURE, "all"].contains(&architecture.as_str()) {
            return Err(PublishError::Architecture { package: package(), architecture });
        }
        let name = control.name().as_str();
        let file = layout::deb_name(name, control.version().as_str(), &architecture);
        let path = layout::pool_path(&control, &file);
        if !stays_below(&path) || control.source().0.contains('/') {
            return Err(PublishError::Name { package: package(), name: path });
        }
        let mut contents = BTreeSet::new();
        deb.visit(Limits::default(), |entry, _| {
            if entry.kind != Kind::Directory {
                contents.insert(entry.path.clone());
            }
            Ok::<_, PublishError>(())
        })?;
        if let Some(name) = contents.iter().find(|path| path.contains('\n')) {
            return Err(PublishError::Name { package: package(), name: name.clone() });
        }
        let target = measure(from).map_err(FileError::at("read", from))?;
        Ok(Self { from: from.to_owned(), control, file, path, target, contents })
    }
}

fn measure(path: &Path) -> io::Result<Target> {
    let mut hasher = Hasher::default();
    let length = io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(Target { length, hashes: Hashes { sha256: hasher.finish() } })
}

/// Whether the package that lies in the pool is what it was when it was placed.
pub(super) fn is_whole(layout: &Layout, package: &Package) -> bool {
    measure(&layout.root().join(&package.path)).is_ok_and(|found| found == package.target)
}

/// Copies the package to its place and makes its link.
pub(super) fn place(layout: &Layout, package: &Package) -> Result<(), PublishError> {
    let path = layout.root().join(&package.path);
    let mut staged = Staged::create(&path)?;
    let mut hasher = Hasher::default();
    let mut from = File::open(&package.from).map_err(FileError::at("read", &package.from))?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = from.read(&mut buffer).map_err(FileError::at("read", &package.from))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        staged.write_all(&buffer[..count]).map_err(FileError::at("write", &path))?;
    }
    if hasher.finish() != package.target.hashes.sha256 {
        let changed = io::Error::other("it changed while it was read");
        return Err(FileError::at("read", &package.from)(changed).into());
    }
    staged.commit()?;
    link(layout, &package.file, &package.target, &package.path)
}

/// Makes the link by which TUF's clients find the target `name`, which is at `path` below the
/// repository.
pub(super) fn link(
    layout: &Layout,
    name: &str,
    target: &Target,
    path: &str,
) -> Result<(), PublishError> {
    let link = layout.targets().join(layout::consistent(name, target.hashes.sha256));
    file::create_dir_all(&layout.targets())?;
    match symlink(Path::new("..").join(path), &link) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => Ok(made.map_err(FileError::at("create", link))?),
    }
}

/// Removes packages and links that are not among `targets`.
pub(super) fn remove_unlisted(
    layout: &Layout,
    targets: &BTreeMap<String, BTreeSet<Target>>,
) -> Result<(), PublishError> {
    let links: BTreeSet<_> = targets
        .iter()
        .flat_map(|(name, all)| {
            all.iter().map(move |target| layout::consistent(name, target.hashes.sha256))
        })
        .collect();
    remove_files(&layout.targets(), &|name| links.contains(name))?;
    remove_files(&layout.pool(), &|name| targets.contains_key(name))?;
    Ok(())
}

/// Removes the files below `folder` whose names `keep` does not want, and folders that are then empty.
fn remove_files(folder: &Path, keep: &dyn Fn(&str) -> bool) -> Result<(), FileError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(FileError::at("read", folder))?,
    };
    for entry in entries {
        let entry = entry.map_err(FileError::at("read", folder))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(FileError::at("read", &path))?;
        if kind.is_dir() {
            remove_files(&path, keep)?;
            // It stays where it is not empty, which is no error.
            let _ = fs::remove_dir(&path);
        } else if !keep(&entry.file_name().to_string_lossy()) {
            fs::remove_file(&path).map_err(FileError::at("remove", &path))?;
        }
    }
    Ok(())
}
