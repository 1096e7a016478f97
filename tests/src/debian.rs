//! Debian's own installation of the packages of an image: dpkg, with all scripts run.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{Manifest, forge, run};

/// Rises when the installation would be another one for the same packages.
const METHOD: &str = "1";

/// `os/packages.lock`, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Lock {
    packages: BTreeMap<String, Locked>,
}

#[derive(Debug, Deserialize)]
struct Locked {
    version: String,
    sha256: String,
}

/// A tar archive of Debian with the packages of the image in the versions of the image, and what
/// Debian's scripts need beside them. Made once for each list of packages, kept in `folder`.
///
/// # Panics
///
/// If mmdebstrap cannot make it.
pub fn installation(manifest: &Manifest, folder: &Path) -> PathBuf {
    // Neither our own packages nor parts of Debian's are in the lock.
    let lock = lock();
    let theirs =
        manifest.packages.iter().filter(|package| lock.packages.contains_key(&package.name));
    let wanted: Vec<_> =
        theirs.map(|package| format!("{}={}", package.name, package.debian_version)).collect();
    let digest = Sha256::digest(format!("{METHOD} {wanted:?}"));
    let name: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let archive = folder.join(format!("debian-{name}.tar"));
    if archive.exists() {
        return archive;
    }
    fs::create_dir_all(folder).expect("a folder for the installation");
    let staging = tempfile::tempdir_in(folder).expect("a temporary folder");
    // Where mmdebstrap's users can come: without root, it has some in a namespace.
    let everybody = fs::Permissions::from_mode(0o755);
    let repository = tempfile::Builder::new().permissions(everybody).tempdir();
    let repository = repository.expect("a temporary folder");
    offer(manifest, repository.path());
    let result = staging.path().join("debian.tar");
    let mut bootstrap = Command::new("mmdebstrap");
    bootstrap
        .args(["--variant=essential", "--format=tar", &format!("--include={}", wanted.join(","))])
        // The essential packages come first, in the archive's newest versions.
        .arg("--aptopt=APT::Get::allow-downgrades \"true\"")
        .args([Path::new("trixie"), &result])
        .arg(format!("deb [trusted=yes] copy:{} ./", repository.path().display()))
        .args(testkit::debian::sources().expect("Debian's archive"));
    run(&mut bootstrap);
    fs::rename(&result, &archive).expect("the archive in its place");
    archive
}

fn lock() -> Lock {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../os/packages.lock");
    let lock = fs::read_to_string(lock).expect("the lock");
    toml::from_str(&lock).unwrap_or_else(|error| panic!("{error}"))
}

/// Makes a repository of the packages that forge has fetched: the archive may no longer have them.
fn offer(manifest: &Manifest, folder: &Path) {
    let lock = lock();
    let fetched = forge::cache().join("archive/by-hash/sha256");
    for package in &manifest.packages {
        let locked = lock.packages.get(&package.name);
        let locked = locked.filter(|locked| locked.version == package.debian_version);
        let Some(file) = locked.map(|locked| fetched.join(&locked.sha256)) else { continue };
        if file.exists() {
            let copy = folder.join(format!("{}.deb", package.name));
            fs::copy(&file, copy).expect("a copy of a package");
        }
    }
    let index = run(Command::new("apt-ftparchive").args(["packages", "."]).current_dir(folder));
    fs::write(folder.join("Packages"), index).expect("the repository's index");
}
