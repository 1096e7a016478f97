//! Where things lie in a repository.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base::Digest;
use base::file::FileError;

use super::PublishError;
use crate::control::Control;
use crate::keys::Keys;

/// The component of all packages, and the architecture of all indexes.
pub(super) const COMPONENT: &str = "main";
pub(super) const ARCHITECTURE: &str = "amd64";

/// The OpenPGP certificates.
const KEYRING: &str = "preon-archive-keyring.gpg";
/// There while the first publication is being made.
const FIRST: &str = ".first";

/// The paths of a repository with one suite.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: PathBuf,
    suite: String,
}

impl Layout {
    pub(super) fn new(root: &Path, suite: &str) -> Self {
        Self { root: root.to_owned(), suite: suite.to_owned() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn suite_name(&self) -> &str {
        &self.suite
    }

    /// Refuses a folder that holds other things than a repository with this suite, and one with `keys` in it.
    ///
    /// # Errors
    ///
    /// [`PublishError::NoRepository`], [`PublishError::KeysInside`], or a folder that cannot be read.
    pub(super) fn expect_ours(&self, keys: &Keys) -> Result<(), PublishError> {
        let real = |path: &Path| path.canonicalize();
        if let (Ok(root), Ok(keys)) = (real(&self.root), real(keys.folder()))
            && keys.starts_with(&root)
        {
            return Err(PublishError::KeysInside(keys));
        }
        if self.suite().is_dir() {
            return Ok(());
        }
        let entries = match self.root.read_dir() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(FileError::at("read", &self.root))?,
        };
        for entry in entries {
            let entry = entry.map_err(FileError::at("read", &self.root))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !self.is_begun(&name) {
                let (folder, suite) = (self.root.clone(), self.suite.clone());
                return Err(PublishError::NoRepository { folder, name, suite });
            }
        }
        Ok(())
    }

    /// Whether a first publication that was interrupted may have left something of this name.
    fn is_begun(&self, name: &str) -> bool {
        let ours = [".lock", KEYRING, FIRST].iter().any(|file| {
            let rest = name.strip_prefix('.').unwrap_or(name);
            name == *file || rest.starts_with(file) && rest.ends_with(".part")
        });
        ours || self.begun().exists() && ["pool", "targets", "dists"].contains(&name)
    }

    /// Notes that the first publication is whole.
    pub(super) fn end_first(&self) -> Result<(), FileError> {
        match std::fs::remove_file(self.begun()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(FileError::at("remove", self.begun())(error))
            }
            _ => Ok(()),
        }
    }

    /// The file that is there from the beginning of the first publication to its end.
    pub(super) fn begun(&self) -> PathBuf {
        self.root.join(FIRST)
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.root.join(".lock")
    }

    pub(super) fn keyring(&self) -> PathBuf {
        self.root.join(KEYRING)
    }

    pub(super) fn pool(&self) -> PathBuf {
        self.root.join("pool")
    }

    pub(super) fn targets(&self) -> PathBuf {
        self.root.join("targets")
    }

    pub(super) fn dists(&self) -> PathBuf {
        self.root.join("dists")
    }

    /// The folder that is exchanged as a whole.
    pub(super) fn suite(&self) -> PathBuf {
        self.dists().join(&self.suite)
    }

    /// The target that is the index at `path` below the suite's folder. Target names have no folders: clients
    /// do not agree on where the digest goes in a name that has.
    pub(super) fn index_target(&self, path: &str) -> String {
        format!("{}_{}", self.suite, path.replace('/', "_"))
    }
}

/// The path of an index below the suite's folder.
pub(super) fn index_path(name: &str) -> String {
    match name.starts_with("Contents") {
        true => format!("{COMPONENT}/{name}"),
        false => format!("{COMPONENT}/binary-{ARCHITECTURE}/{name}"),
    }
}

/// The path below the suite's folder at which the index at `path` is found by its digest.
pub(super) fn by_hash(path: &str, digest: Digest) -> String {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/by-hash/SHA256/{digest}")
}

/// The name of the link to a target with its digest.
///
/// Source: The Update Framework Specification, section 6.2.
pub(super) fn consistent(name: &str, digest: Digest) -> String {
    format!("{digest}.{name}")
}

/// The name of a package's file: the epoch is not in it.
pub(super) fn deb_name(name: &str, version: &str, architecture: &str) -> String {
    let bare = version.split_once(':').map_or(version, |(_, rest)| rest);
    format!("{name}_{bare}_{architecture}.deb")
}

/// The path of a package's file below the repository, by its source package as in Debian's pool.
pub(super) fn pool_path(control: &Control, file: &str) -> String {
    let (source, _) = control.source();
    let letters = if source.starts_with("lib") { 4 } else { 1 };
    let prefix: String = source.chars().take(letters).collect();
    format!("pool/{COMPONENT}/{prefix}/{source}/{file}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_lie_by_their_source_as_in_debians_pool() {
        #[rustfmt::skip]
        let cases = [
            ("Package: bash\nVersion: 5.2-1+0preon1\n",                      "pool/main/b/bash/bash_5.2-1+0preon1_amd64.deb"),
            ("Package: libssl3t64\nSource: openssl (3.5-1)\nVersion: 3.5-1\n", "pool/main/o/openssl/libssl3t64_3.5-1_amd64.deb"),
            ("Package: libedit2\nSource: libedit\nVersion: 3.1-1\n",         "pool/main/libe/libedit/libedit2_3.1-1_amd64.deb"),
            ("Package: dbus\nVersion: 1:1.16-1\n",                           "pool/main/d/dbus/dbus_1.16-1_amd64.deb"),
        ];
        for (text, path) in cases {
            let control = Control::parse(&format!("{text}Architecture: amd64\n")).unwrap();
            let file = deb_name(control.name().as_str(), control.version().as_str(), "amd64");
            assert_eq!(pool_path(&control, &file), path);
        }
    }
}
