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
