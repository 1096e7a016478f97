//! The source tree: out of Debian's archive, with our patches, and which options it knows.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base::child;
use base::file::{self, FileError};

use super::{BuildError, Recipe, Site};
use crate::kernel::config;

/// Unpacks the source's tree into the site, patches it, and makes the empty folder for objects.
pub(super) fn unpack(site: &Site<'_>, recipe: &Recipe) -> Result<(), BuildError> {
    file::create_dir_all(&site.source())?;
    file::create_dir_all(&site.out())?;
    let archive = &recipe.source.archive;
    let words = ["-C", "/build/source", "--strip-components=1", "-xJf", "/build/source.tar.xz"];
    child::run(site.tar(archive).args(words))
        .map_err(|source| BuildError::Unpack { archive: archive.clone(), source })?;
    for patch in &recipe.patches {
        // A hunk that fits only by guessing might land elsewhere.
        let words = ["-d", "/build/source", "-p1", "--fuzz=0", "-i", "/build/change.patch"];
        child::run(site.patch(&patch.path).args(words))
            .map_err(|source| BuildError::Patch { patch: patch.path.clone(), source })?;
    }
    Ok(())
}

/// The options that the Kconfig files of the tree at `root` declare, those of all processors.
pub(super) fn declared(root: &Path) -> Result<BTreeSet<String>, FileError> {
    let mut options = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for (path, is_folder) in list(&folder).map_err(FileError::at("list", &folder))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if is_folder {
                folders.push(path);
            } else if name.starts_with("Kconfig") {
                let bytes = file::read(&path)?;
                options.extend(config::declared(&String::from_utf8_lossy(&bytes)));
            }
        }
    }
    Ok(options)
}

/// What lies in `folder`, and whether it is a folder itself; symbolic links are left out.
fn list(folder: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if !kind.is_symlink() {
            entries.push((entry.path(), kind.is_dir()));
        }
    }
    Ok(entries)
}
