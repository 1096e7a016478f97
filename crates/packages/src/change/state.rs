//! What is installed on a host.

use std::collections::{BTreeMap, BTreeSet};

use base::Explain;
use formats::deb822::{self, BadFieldName, Writer};
use formats::manifest::Manifest;
use formats::relation::Relations;
use formats::{PackageName, Version};

use crate::index::{Index, IndexError, Stanza};

/// What is installed on a host.
#[derive(Debug)]
pub struct State {
    /// The packages, each once.
    pub installed: Index,
    /// Those that are only there because another one needs them.
    pub automatic: BTreeSet<PackageName>,
    /// The packages that stay at one version.
    pub pins: BTreeMap<PackageName, Version>,
    /// Those of them that nobody has pinned: they come with the image that starts the host.
    pub of_image: BTreeSet<PackageName>,
    /// What is never removed: packages by their names or by what they provide.
    pub protected: BTreeSet<PackageName>,
}

/// The lists of a host do not say what is installed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The list of installed packages is malformed.
    #[error("the list of installed packages is malformed")]
    Malformed(#[from] deb822::Malformed),
    /// It has a field that is none.
    #[error("the list of installed packages is malformed")]
    Field(#[from] BadFieldName),
    /// It lacks a package of the manifest.
    #[error("{package} is in the manifest, but not in the list of installed packages")]
    NotListed {
        /// The package.
        package: PackageName,
    },
    /// What it says of a package makes no sense.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl Explain for StateError {
    fn hint(&self) -> Option<String> {
        Some("roll back to a generation that is whole".into())
    }
}

/// The suite that installed packages are of, in messages.
const SUITE: &str = "the list of installed packages";

impl State {
    /// Puts together a generation's manifest and its list of packages
    /// (`/usr/lib/preon/dpkg/status`). The list has Debian's versions; those of the manifest count.
    /// What the manifest does not name is left out.
    ///
    /// # Errors
    ///
    /// [`StateError`].
    pub fn read(
        manifest: &Manifest,
        status: &str,
        protected: BTreeSet<PackageName>,
    ) -> Result<Self, StateError> {
        let listed = deb822::paragraphs(status).collect::<Result<Vec<_>, _>>()?;
        let by_name: BTreeMap<_, _> =
            listed.iter().filter_map(|it| Some((it.get("Package")?, it))).collect();
        let mut text = String::new();
        for package in &manifest.packages {
            let paragraph = by_name
                .get(package.name.as_str())
                .ok_or_else(|| StateError::NotListed { package: package.name.clone() })?;
            let mut writer = Writer::default();
            for field in &paragraph.fields {
                let is_version = field.name.eq_ignore_ascii_case("Version");
                let value = if is_version { package.version.as_str() } else { field.value };
                writer.field(field.name, value)?;
            }
            text += &writer.finish();
            text.push('\n');
        }
        let automatic = manifest.packages.iter().filter(|package| package.automatic);
        Ok(Self {
            installed: Index::parse(SUITE, text)?,
            automatic: automatic.map(|package| package.name.clone()).collect(),
            pins: manifest.pins.clone(),
            of_image: BTreeSet::new(),
            protected,
        })
    }

    /// Whether the host must have `stanza` to boot.
    pub(super) fn protects(&self, stanza: Stanza<'_>) -> bool {
        let provided = Relations::parse(stanza.provides()).unwrap_or_default();
        let provided = provided.groups.iter().flat_map(|group| &group.alternatives);
        self.protected.contains(stanza.name())
            || provided.into_iter().any(|it| self.protected.contains(it.name))
    }
}

#[cfg(test)]
mod tests {
    use base::Digest;
    use formats::manifest::{FORMAT, Kernel, Package};

    use super::*;

    fn manifest() -> Manifest {
        let version = |text: &str| text.parse::<Version>().unwrap();
        let package = |name: &str, automatic| Package {
            name: name.parse().unwrap(),
            version: version("5-1+0preon2"),
            debian_version: version("5-1"),
            source: name.into(),
            source_version: version("5-1"),
            architecture: "amd64".into(),
            suite: "trixie".into(),
            rebuilt: false,
            automatic,
            installed_bytes: 1,
            layer: "base".into(),
            deb: Digest::of(b"deb"),
        };
        Manifest {
            format: FORMAT,
            image: "minimal".into(),
            version: "1".into(),
            build_id: "1".into(),
            kernel: Kernel {
                release: "6".into(),
                version: "6-1".into(),
                package: "preon-uki-hardened".parse().unwrap(),
                uki: Digest::of(b"uki"),
            },
            other_kernels: Vec::new(),
            layers: Vec::new(),
            packages: vec![package("bash", false), package("libc6", true)],
            not_rebuilt: BTreeSet::new(),
            pins: [("bash".parse().unwrap(), version("5-1+0preon2"))].into(),
            change: None,
            tools: BTreeMap::new(),
        }
    }

    const STATUS: &str = "\
Package: bash
Status: install ok installed
Version: 5-1
Architecture: amd64
Depends: libc6 (>= 2)

Package: foreign
Status: install ok installed
Version: 1
Architecture: amd64

Package: libc6
Status: install ok installed
Version: 5-1
Architecture: amd64
";

    #[test]
    fn the_manifest_says_what_is_installed_and_the_list_what_it_needs() {
        let state = State::read(&manifest(), STATUS, BTreeSet::new()).unwrap();
        let told = |stanza: Stanza<'_>| {
            let depends = stanza.field("Depends").unwrap_or_default();
            format!("{} {} {depends}", stanza.name(), stanza.version_text())
        };
        let told: Vec<_> = state.installed.stanzas().map(told).collect();
        assert_eq!(told, ["bash 5-1+0preon2 libc6 (>= 2)", "libc6 5-1+0preon2 "]);
        let automatic: Vec<_> = state.automatic.iter().map(PackageName::as_str).collect();
        assert_eq!((automatic.as_slice(), state.pins.len()), (["libc6"].as_slice(), 1));
    }

    #[test]
    fn a_package_that_the_list_lacks_is_named() {
        let status = STATUS.replace("Package: libc6", "Package: libc7");
        let error = State::read(&manifest(), &status, BTreeSet::new()).unwrap_err();
        let expected = "libc6 is in the manifest, but not in the list of installed packages";
        assert_eq!(error.to_string(), expected);
    }
}
