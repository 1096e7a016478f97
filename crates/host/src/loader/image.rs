//! A unified kernel image in its package.

use std::path::Path;

use base::file::FileError;
use base::{Digest, Explain, Failure};
use formats::loader;
use formats::manifest::Kernel;
use formats::pe::Pe;
use packages::deb::{Deb, DebError, Limits};

/// A package brings no kernel that can be used.
#[derive(Debug, thiserror::Error)]
#[error("the package {package} {what}")]
pub(crate) struct BadImage {
    package: String,
    what: &'static str,
}

impl Explain for BadImage {}

/// A unified kernel image, and what a manifest says of it.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) kernel: Kernel,
    pub(crate) bytes: Vec<u8>,
}

impl Image {
    /// That of the package at `path`, whose bytes have this digest: they are read once more, and what starts the host is of
    /// no other ones.
    ///
    /// # Errors
    ///
    /// [`BadImage`], [`DebError`].
    pub(crate) fn of_package(path: &Path, digest: Digest) -> Result<Self, Failure> {
        let changed = |_| BadImage {
            package: path.display().to_string(),
            what: "is not what was fetched any more",
        };
        let deb = Deb::open_verified(path, digest)?.map_err(changed)?;
        let name = deb.control().name().clone();
        let bad = |what| BadImage { package: name.to_string(), what };
        let mut found = None;
        deb.visit::<DebError>(Limits::default(), |entry, content| {
            if let Some(release) = loader::packaged_release(&entry.path) {
                let mut bytes = Vec::new();
                content.read_to_end(&mut bytes).map_err(FileError::at("read", path))?;
                found = Some((release.to_owned(), bytes));
            }
            Ok(())
        })?;
        let (release, bytes) = found.ok_or_else(|| bad("has no unified kernel image"))?;
        let version = deb.control().source().1.to_owned();
        let uki = Digest::of(&bytes);
        Ok(Self { kernel: Kernel { release, version, package: name.clone(), uki }, bytes })
    }
}

/// The version by which the loader sorts an image, empty where it has none; `None` where it would not list it.
///
/// Source: systemd-boot 257: `IMAGE_VERSION` of the os-release file in it.
pub(super) fn version(uki: &[u8]) -> Option<String> {
    let pe = Pe::parse(uki).ok()?;
    let text = std::str::from_utf8(pe.section(".osrel")?.content(uki)).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("IMAGE_VERSION="));
    Some(value.unwrap_or_default().trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_was_swapped_since_it_was_unpacked_gives_no_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kernel");
        std::fs::write(&path, "other bytes").unwrap();
        let error = Image::of_package(&path, Digest::of(b"what was unpacked")).unwrap_err();
        assert!(error.to_string().ends_with("is not what was fetched any more"), "{error}");
    }
}
