//! A bill of materials: what an image is made of, package by package, with licences and digests.
//!
//! [`Bill::new`] puts together what curated packages say about themselves; [`spdx`] and [`cyclonedx`] write it
//! in the formats that others read. The same image gives the same bytes: the time is the lock's, identifiers
//! follow from digests.

pub mod cyclonedx;
pub mod place;
pub mod purl;
pub mod sources;
pub mod spdx;

use std::collections::{BTreeMap, BTreeSet};

use base::Digest;
use base::digest::Hasher;
use formats::PackageName;
use packages::control::Control;
use packages::copyright::Licences;
use packages::fixes::{BadFixes, DOCUMENTATION_FIELD, Fixes, ORIGIN_FIELD};

use crate::integrate::os_release::Product;

/// The field with the flags that a package was built with, where it was built by us.
pub const FLAGS_FIELD: &str = "Preon-Build-Flags";

/// Who supplies the packages.
const SUPPLIER: &str = "Preon OS";

/// What is known about one curated package.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its control file.
    pub control: Control,
    /// The digest of the curated `.deb`.
    pub digest: Digest,
    /// The suite that Debian's package came from; `preon` for our own.
    pub suite: String,
    /// Its licences, if it has a copyright file of its own.
    pub licences: Option<Licences>,
    /// Its plain files; none where the bill stays with packages.
    pub files: Vec<File>,
}

/// A plain file of a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// Where it lies in the layer, from the root with a slash before it.
    pub path: String,
    /// The digest of its content.
    pub sha256: Digest,
    /// The digest that SPDX demands beside it, in hexadecimal.
    pub sha1: String,
}

/// A bill of materials.
#[derive(Clone, Debug)]
pub struct Bill {
    product: Product,
    /// Seconds since 1970.
    epoch: u64,
    packages: Vec<Package>,
}

/// A package of the bill.
#[derive(Clone, Debug)]
pub struct Package {
    /// What it says about itself.
    pub part: Part,
    /// Its licences; `None` where it has no copyright file, and no package stands in.
    pub licences: Option<Licences>,
    /// The flaws that its versions fix.
    pub fixes: Fixes,
}

impl Bill {
    /// The bill of the image `product` of `parts`, made at `epoch` (seconds since 1970). A package whose
    /// documentation another of the same source has takes licences and fixes from there.
    ///
    /// # Errors
    ///
    /// [`BadFixes`] if a package's list of fixes is broken.
    pub fn new(product: &Product, epoch: u64, mut parts: Vec<Part>) -> Result<Self, BadFixes> {
        parts.sort_by(|one, other| one.control.name().cmp(other.control.name()));
        let mut packages = Vec::new();
        for part in parts {
            let fixes = Fixes::of_control(&part.control)?;
            packages.push(Package { licences: part.licences.clone(), part, fixes });
        }
        let followed: BTreeSet<_> = packages.iter().filter_map(Package::followed).collect();
        let by_name: BTreeMap<_, _> = packages
            .iter()
            .filter(|it| followed.contains(it.name().as_str()))
            .map(|it| (it.name().clone(), it.clone()))
            .collect();
        for package in &mut packages {
            package.follow(&by_name);
        }
        Ok(Self { product: product.clone(), epoch, packages })
    }

    /// The packages, by name.
    pub fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// The source packages of which parts are in packages, each version once.
    fn used(&self) -> Vec<Used> {
        let all = self.packages.iter().flat_map(Package::used);
        let all = all.map(|used| ((used.name.clone(), used.version.clone()), used));
        all.collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// The image, its version and its build.
    pub fn product(&self) -> &Product {
        &self.product
    }

    /// When it was made, as RFC 3339 writes it.
    pub fn time(&self) -> String {
        time(self.epoch)
    }

    /// A UUID that stands for what the bill says, in its usual form; `use_of_it` tells documents apart that say
    /// the same.
    ///
    /// Source: RFC 9562, section 5.8 (version 8: the bits are the maker's own).
    pub fn uuid(&self, use_of_it: &str) -> String {
        let mut hasher = Hasher::default();
        let Product { version, build_id, image, .. } = &self.product;
        for text in [use_of_it, image, version, build_id] {
            hasher.field(text.as_bytes());
        }
        hasher.field(&self.epoch.to_le_bytes());
        for package in &self.packages {
            hasher.field(package.part.digest.as_bytes());
        }
        let digest = hasher.finish();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.as_bytes()[..16]);
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

/// A source package of which parts are in a package of the bill, beside what that was built from itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The release of Debian that the package is of in which it is, if it is of one.
    release: Option<String>,
}

impl Package {
    /// The source packages of which parts are in it, as its control file names them.
    fn used(&self) -> Vec<Used> {
        let release = Some(purl::release(&self.part.suite)).filter(|it| *it != OWN);
        let used = |(name, version): (&str, &str)| Used {
            name: name.to_owned(),
            version: version.to_owned(),
            release: release.map(str::to_owned),
        };
        self.part.control.built_using().into_iter().map(used).collect()
    }

    /// Takes from the package that has its documentation what it has not itself.
    fn follow(&mut self, all: &BTreeMap<PackageName, Self>) {
        let name = self.followed().and_then(|name| name.parse().ok());
        let Some(other) = name.and_then(|name: PackageName| all.get(&name)) else { return };
        if other.part.control.source().0 != self.part.control.source().0 {
            return;
        }
        if self.licences.is_none() {
            self.licences.clone_from(&other.licences);
        }
        if self.fixes.is_empty() {
            self.fixes.clone_from(&other.fixes);
        }
    }

    /// The package that has its documentation, if that is another one.
    fn followed(&self) -> Option<&str> {
        self.part.control.get(DOCUMENTATION_FIELD)
    }

    /// Its name.
    pub fn name(&self) -> &PackageName {
        self.part.control.name()
    }

    /// The digest of Debian's package, where it was made from one.
    pub fn origin(&self) -> Option<Digest> {
        self.part.control.get(ORIGIN_FIELD)?.parse().ok()
    }

    /// The flags that it was built with, where it was built by us.
    pub fn flags(&self) -> Option<&str> {
        self.part.control.get(FLAGS_FIELD)
    }

    /// The first line of its description.
    fn summary(&self) -> Option<&str> {
        self.part.control.get("Description")?.lines().next().filter(|line| !line.is_empty())
    }

    fn is_own(&self) -> bool {
        self.part.suite == OWN
    }
}

/// What stands for a suite where a package is made of our own files.
const OWN: &str = "preon";

/// Seconds since 1970 as RFC 3339 writes them.
pub fn time(epoch: u64) -> String {
    let seconds = i64::try_from(epoch).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// A structure of ours as the JSON of a file: fields in a fixed order, a newline at the end.
fn json(value: &impl serde::Serialize, compact: bool) -> String {
    let text =
        if compact { serde_json::to_string(value) } else { serde_json::to_string_pretty(value) };
    // Fails only for keys that are no text, or for a `Serialize` that fails: neither is here.
    text.unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests;
