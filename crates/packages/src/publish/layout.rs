//! Where things lie in a repository.

use std::path::{Path, PathBuf};

use base::Digest;

use crate::control::Control;

/// The component of all packages, and the architecture of all indexes.
pub(super) const COMPONENT: &str = "main";
pub(super) const ARCHITECTURE: &str = "amd64";

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

    pub(super) fn lock(&self) -> PathBuf {
        self.root.join(".lock")
    }

    pub(super) fn keyring(&self) -> PathBuf {
        self.root.join("preon-archive-keyring.gpg")
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
