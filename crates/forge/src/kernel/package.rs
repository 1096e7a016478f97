//! A built kernel as a package: what scanners list, what a layer holds of it, what is published.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base::digest::Hasher;
use base::file::{self, FileError};
use base::{Digest, Explain};
use formats::Version;
use packages::control::{BadControl, Control};
use packages::deb::{Entry, Kind, Writer};
use packages::fixes::{self, Fixes};

use super::{Built, Flavour};

/// Rises when the same kernel would make another package.
const METHOD: &[u8] = b"kernel package 3";

/// How hard zstd tries; the package only passes through the cache on its way into a layer.
const COMPRESSION_LEVEL: i32 = 3;

/// Why no package could be made of a kernel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    /// A file of the kernel.
    #[error(transparent)]
    File(#[from] FileError),
    /// The modules, or the package in memory.
    #[error("cannot pack {}", path.display())]
    Pack {
        /// What was being packed.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The version is none that a package can have.
    #[error("cannot describe the package")]
    Control(#[from] BadControl),
}

impl Explain for PackageError {}

/// What Debian says of the kernel's source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Papers {
    /// The flaws that its versions fix.
    pub(crate) fixes: Fixes,
    /// The copyright file.
    pub(crate) copyright: Vec<u8>,
}

/// The name of the package of `flavour`.
pub(crate) fn name(flavour: Flavour) -> String {
    format!("preon-kernel-{flavour}")
}

/// What the package of a kernel follows from: the kernel's own bytes, not what it was built from, for no
/// two builds of `full` are the same.
///
/// # Errors
///
/// [`FileError`] if the cache was tampered with.
pub(crate) fn key(built: &Built) -> Result<Digest, FileError> {
    let mut hasher = Hasher::default();
    hasher.field(METHOD).field(built.kernel.digests()?.as_bytes());
    hasher.field(built.version.to_string().as_bytes());
    Ok(hasher.finish())
}

/// The package of a kernel: below `/usr/lib/modules/RELEASE` its configuration and its modules; and Debian's
/// copyright file. The image itself comes inside the unified kernel image ([`crate::uki`]).
///
/// # Errors
///
/// [`PackageError`].
pub(crate) fn write(built: &Built, papers: &Papers) -> Result<Vec<u8>, PackageError> {
    let Built { kernel, flavour, version, .. } = built;
    let home = format!("usr/lib/modules/{}", kernel.release()?);
    let path = kernel.config();
    let mut package = Package::new().map_err(at(&path))?;
    for folder in ["usr", "usr/lib", "usr/lib/modules", &home] {
        package.folder(folder).map_err(at(&path))?;
    }
    let bytes = file::read(&path)?;
    let config = entry(format!("{home}/config"), Kind::File, bytes.len() as u64);
    package.add(&config, &mut bytes.as_slice()).map_err(at(&path))?;
    if let Some(modules) = kernel.modules() {
        package.modules(&modules, &home).map_err(at(&modules))?;
    }
    package.copyright(&name(*flavour), &papers.copyright).map_err(at(&path))?;
    let mut control = control(*flavour, version, package.bytes)?;
    control.set(fixes::FIELD, &papers.fixes.to_string());
    package.writer.finish(&control).map_err(at(&path))
}

fn at(path: &Path) -> impl Fn(io::Error) -> PackageError {
    move |source| PackageError::Pack { path: path.to_owned(), source }
}

/// The fields by which scanners find Debian's advisories: the source package and its version.
fn control(flavour: Flavour, version: &Version, bytes: u64) -> Result<Control, BadControl> {
    let depends = match flavour {
        Flavour::Hardened | Flavour::Unhardened => "",
        Flavour::Full => "Depends: kmod\n",
    };
    Control::parse(&format!(
        "Package: {}\nSource: linux ({})\nVersion: {version}\nArchitecture: amd64\n\
         Maintainer: Preon OS\nInstalled-Size: {}\n{depends}Provides: preon-kernel\nSection: kernel\n\
         Description: Linux for container hosts, {flavour}\n",
        name(flavour),
        version.borrowed().without_preon(),
        bytes.div_ceil(1024),
    ))
}

/// A package in the making.
struct Package {
    writer: Writer,
    /// What its files take unpacked.
    bytes: u64,
}

impl Package {
    fn new() -> io::Result<Self> {
        Ok(Self { writer: Writer::new(COMPRESSION_LEVEL, 0)?, bytes: 0 })
    }

    fn add(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        self.bytes += entry.size;
        self.writer.add(entry, content)
    }

    fn folder(&mut self, path: &str) -> io::Result<()> {
        self.add(&entry(path.to_owned(), Kind::Directory, 0), &mut io::empty())
    }

    /// Adds the copyright file of the package `name`.
    fn copyright(&mut self, name: &str, text: &[u8]) -> io::Result<()> {
        let home = format!("usr/share/doc/{name}");
        for folder in ["usr/share", "usr/share/doc", &home] {
            self.folder(folder)?;
        }
        let entry = entry(format!("{home}/copyright"), Kind::File, text.len() as u64);
        self.add(&entry, &mut &*text)
    }

    /// Adds what lies below `lib/modules/RELEASE` in the archive at `path`, at `home`.
    fn modules(&mut self, path: &Path, home: &str) -> io::Result<()> {
        let mut archive = tar::Archive::new(File::open(path)?);
        for found in archive.entries()? {
            let mut found = found?;
            let place = format!("usr/{}", found.path()?.display());
            let place = place.trim_end_matches('/').to_owned();
            if !place.strip_prefix(home).is_some_and(|below| below.starts_with('/')) {
                continue; // the folders above, which are there
            }
            if found.header().entry_type().is_dir() {
                self.folder(&place)?;
            } else {
                let entry = entry(place, Kind::File, found.size());
                self.add(&entry, &mut found)?;
            }
        }
        Ok(())
    }
}

fn entry(path: String, kind: Kind, size: u64) -> Entry {
    let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
    Entry { path, kind, mode, uid: 0, gid: 0, mtime: 0, xattrs: Vec::new(), size }
}

#[cfg(test)]
mod tests {
    use packages::deb::{Deb, Limits};

    use super::*;
    use crate::kernel::build::Kernel;

    fn built(folder: &Path, modules: bool) -> Built {
        for (name, text) in [("bzImage", "MZ"), ("config", "CONFIG_A=y"), ("release", "6.12-x\n")] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        if modules {
            let mut archive = tar::Builder::new(File::create(folder.join("modules.tar")).unwrap());
            let mut add = |path: &str, text: &str| {
                let mut header = tar::Header::new_gnu();
                header.set_mode(if text.is_empty() { 0o755 } else { 0o600 });
                let kind = if text.is_empty() {
                    tar::EntryType::Directory
                } else {
                    tar::EntryType::Regular
                };
                header.set_entry_type(kind);
                header.set_size(text.len() as u64);
                archive.append_data(&mut header, path, text.as_bytes()).unwrap();
            };
            add("lib/", "");
            add("lib/modules/", "");
            add("lib/modules/6.12-x/", "");
            add("lib/modules/6.12-x/kernel/", "");
            add("lib/modules/6.12-x/kernel/a.ko", "ELF");
            add("lib/modules/6.12-x/modules.dep", "kernel/a.ko:");
            archive.finish().unwrap();
        }
        let kernel = Kernel::in_folder(folder);
        let flavour = if modules { Flavour::Full } else { Flavour::Hardened };
        Built { flavour, kernel, version: "6.12.118-1+0preon3".parse().unwrap() }
    }

    #[test]
    fn a_package_holds_a_kernels_configuration_and_its_modules() {
        let dir = tempfile::tempdir().unwrap();
        let deb = Deb::read("x", &write(&built(dir.path(), true), &Papers::default()).unwrap()[..])
            .unwrap();
        let mut found = Vec::new();
        deb.visit(Limits::default(), |entry, _| {
            found.push(format!("{:o} {}", entry.mode, entry.path));
            Ok::<_, packages::deb::DebError>(())
        })
        .unwrap();
        let expected = [
            "755 usr",
            "755 usr/lib",
            "755 usr/lib/modules",
            "755 usr/lib/modules/6.12-x",
            "644 usr/lib/modules/6.12-x/config",
            "755 usr/lib/modules/6.12-x/kernel",
            "644 usr/lib/modules/6.12-x/kernel/a.ko",
            "644 usr/lib/modules/6.12-x/modules.dep",
            "755 usr/share",
            "755 usr/share/doc",
            "755 usr/share/doc/preon-kernel-full",
            "644 usr/share/doc/preon-kernel-full/copyright",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_kernel_of_other_bytes_is_another_package() {
        let dir = tempfile::tempdir().unwrap();
        let built = built(dir.path(), true);
        let key_of = |digests: &str| {
            std::fs::write(dir.path().join("SHA256SUMS"), digests).unwrap();
            key(&built).unwrap()
        };
        assert_ne!(key_of("1  modules.tar\n"), key_of("2  modules.tar\n"));
    }

    #[test]
    fn scanners_find_debians_source_of_it() {
        for (modules, name, depends) in
            [(false, "preon-kernel-hardened", None), (true, "preon-kernel-full", Some("kmod"))]
        {
            let dir = tempfile::tempdir().unwrap();
            let fixes: Fixes = "6.12.118-1 - CVE-2026-0001".parse().unwrap();
            let papers = Papers { fixes: fixes.clone(), copyright: Vec::new() };
            let bytes = write(&built(dir.path(), modules), &papers).unwrap();
            let deb = Deb::read("x", &bytes[..]).unwrap();
            let control = deb.control();
            assert_eq!(control.name().as_str(), name);
            assert_eq!(control.version().as_str(), "6.12.118-1+0preon3");
            assert_eq!(control.source(), ("linux", "6.12.118-1"));
            assert_eq!(control.get("Depends"), depends);
            assert_eq!(Fixes::of_control(control).unwrap(), fixes);
        }
    }
}
