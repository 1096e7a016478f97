//! Which maintainer scripts somebody has read: their digests, in `os/packages/reviewed.toml`.
//!
//! A recipe says what replaces a script; this file says which text of the script that was. A new
//! version of the package whose script reads otherwise is not reviewed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base::Digest;
use base::file::{self, FileError};
use formats::PackageName;

use super::folder::{RecipeError, read_toml};
use super::words::ScriptKey;

/// Stands at the top of the file.
const HEADER: &str = "\
# Maintainer scripts as they were when somebody read them and wrote what replaces them below [scripts] of a recipe.
# Written by `forge review --accept`.

";

/// debhelper writes its own version behind this; the code that follows is what counts.
const GENERATED: &[u8] = b"# Automatically added by ";

/// The digests of all scripts that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reviewed(BTreeMap<ScriptKey, Digest>);

impl Reviewed {
    /// Where it lies below the folder of all recipes.
    pub(crate) fn path(folder: &Path) -> PathBuf {
        folder.join("reviewed.toml")
    }

    /// Reads the file below `folder`; where there is none, nothing was reviewed.
    ///
    /// # Errors
    ///
    /// [`RecipeError`] naming the file.
    pub(super) fn load(folder: &Path) -> Result<Self, RecipeError> {
        let path = Self::path(folder);
        if !path.exists() {
            return Ok(Self::default());
        }
        read_toml(&path, &file::read_text(&path)?).map(Self)
    }

    /// Writes the file below `folder`.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub(crate) fn save(&self, folder: &Path) -> Result<(), FileError> {
        file::replace(&Self::path(folder), (HEADER.to_owned() + &self.lines()).as_bytes())
    }

    /// Whether the script was read in just this version.
    pub(crate) fn holds(&self, key: &ScriptKey, digest: Digest) -> bool {
        self.0.get(key) == Some(&digest)
    }

    /// Whether the script was read in any version.
    pub(crate) fn knows(&self, key: &ScriptKey) -> bool {
        self.0.contains_key(key)
    }

    /// Notes that the script was read.
    pub(crate) fn accept(&mut self, key: ScriptKey, digest: Digest) {
        self.0.insert(key, digest);
    }

    /// Forgets the scripts that `keep` does not want.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&ScriptKey) -> bool) {
        self.0.retain(|key, _| keep(key));
    }

    /// What concerns `packages`.
    pub(super) fn of(&self, packages: &[PackageName]) -> Self {
        let concerned =
            |key: &ScriptKey| key.package.as_ref().is_some_and(|p| packages.contains(p));
        let all = self.0.iter().filter(|(key, _)| concerned(key));
        Self(all.map(|(key, digest)| (key.clone(), *digest)).collect())
    }

    /// One line a script, as in the file.
    pub(super) fn lines(&self) -> String {
        self.0.iter().map(|(key, digest)| format!("\"{key}\" = \"{digest}\"\n")).collect()
    }
}

/// Stands for what a script does: its text without the versions that debhelper writes into it.
pub(crate) fn script_digest(text: &[u8]) -> Digest {
    let counts = |line: &&[u8]| !line.starts_with(GENERATED);
    let lines: Vec<_> = text.split(|byte| *byte == b'\n').filter(counts).collect();
    Digest::of(&lines.join(&b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_debhelper_is_no_change_of_a_script() {
        let one = script_digest(b"#!/bin/sh\n# Automatically added by dh_x/13.1\nrm a\n");
        let other = script_digest(b"#!/bin/sh\n# Automatically added by dh_x/13.2\nrm a\n");
        assert_eq!(one, other);
        assert_ne!(one, script_digest(b"#!/bin/sh\n# Automatically added by dh_x/13.1\nrm b\n"));
        assert_ne!(one, script_digest(b"#!/bin/sh\n# Added by dh_x/13.1\nrm a\n"));
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let mut reviewed = Reviewed::load(dir.path()).unwrap();
        let key = ScriptKey::try_from("libc6/postinst".to_owned()).unwrap();
        reviewed.accept(key.clone(), Digest::of(b"x"));
        reviewed.save(dir.path()).unwrap();
        let loaded = Reviewed::load(dir.path()).unwrap();
        assert_eq!(loaded, reviewed);
        assert!(loaded.holds(&key, Digest::of(b"x")) && !loaded.holds(&key, Digest::of(b"y")));
    }
}
