//! Integration: what maintainer scripts would do on each host is worked out once, as files.

pub mod certificates;
pub mod etc;
pub mod libraries;
pub mod os_release;
pub mod presets;
mod references;
pub mod status;
pub mod users;

use std::collections::{BTreeMap, BTreeSet};

use base::Explain;
use base::file::FileError;
use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::gather::Gathered;
use crate::path::UsrPath;
use crate::tree::{Conflict, Node, Origin, Tree};
use certificates::CertificateError;
use etc::EtcError;
use libraries::{Libraries, LibraryError};
use os_release::{OsReleaseError, Product};
use presets::{Manager, PresetError};
use status::StatusError;
use users::{Accounts, UsersError};

/// What an image adds to its packages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Whether units are to run: name → enabled. These win over all packages' presets.
    pub presets: BTreeMap<String, bool>,
    /// Small files: host path in `/etc` → text. These win over packages' files.
    pub etc: BTreeMap<String, String>,
    /// Libraries that may be missing although a file says that it needs them.
    pub missing_libraries: BTreeSet<String>,
}

/// The packages' files do not make a system.
#[derive(Debug, thiserror::Error)]
pub enum IntegrateError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something that is worked out has no place.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// Users and groups.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// Which units run.
    #[error(transparent)]
    Presets(#[from] PresetError),
    /// Shared libraries.
    #[error(transparent)]
    Libraries(#[from] LibraryError),
    /// Certificate authorities.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// Defaults of `/etc`.
    #[error(transparent)]
    Etc(#[from] EtcError),
    /// The product's name and version.
    #[error(transparent)]
    OsRelease(#[from] OsReleaseError),
    /// The list of packages.
    #[error(transparent)]
    Status(#[from] StatusError),
}

impl Explain for IntegrateError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Conflict(error) => error.hint(),
            Self::Users(error) => error.hint(),
            Self::Presets(error) => error.hint(),
            Self::Libraries(error) => error.hint(),
            Self::Certificates(error) => error.hint(),
            Self::Etc(error) => error.hint(),
            Self::OsRelease(error) => error.hint(),
            Self::Status(error) => error.hint(),
        }
    }
}

/// Adds to `tree` all that is worked out from it, from `image` and from `product`.
///
/// # Errors
///
/// [`IntegrateError`].
pub fn integrate(
    tree: &mut Tree,
    packages: &[Gathered],
    image: &Image,
    product: &Product,
) -> Result<Vec<Finding>, IntegrateError> {
    etc::literals(tree, &image.etc)?;
    os_release::place(tree, product)?;
    place_presets(tree, &image.presets)?;
    status::place(tree, packages)?;
    certificates::bundle(tree)?;

    let accounts = Accounts::from_sysusers(&sysusers(tree)?)?;
    etc::accounts(tree, &accounts)?;
    let mut findings = presets::enable(tree, Manager::System)?;
    findings.extend(presets::enable(tree, Manager::User)?);
    let libraries = Libraries::read(tree)?;
    libraries.check(tree, &image.missing_libraries)?;
    libraries.place_cache(tree)?;
    findings.extend(references::check(tree, &accounts)?);
    Ok(findings)
}

/// Where all files are read.
const LOOKED_INTO: [&str; 8] = [
    "usr/lib/systemd/system/",
    "usr/lib/systemd/system-preset/",
    "usr/lib/systemd/user/",
    "usr/lib/systemd/user-preset/",
    "usr/lib/sysusers.d/",
    "usr/lib/tmpfiles.d/",
    "usr/lib/udev/rules.d/",
    "usr/share/ca-certificates/",
];

/// Whether [`integrate`] reads most likely what the file at `path` holds.
pub(crate) fn looks_into(path: &str) -> bool {
    LOOKED_INTO.iter().any(|folder| path.starts_with(folder))
}

/// The image's own presets come first, also for `systemctl preset` on the host.
fn place_presets(tree: &mut Tree, presets: &BTreeMap<String, bool>) -> Result<(), Conflict> {
    if presets.is_empty() {
        return Ok(());
    }
    let word = |on: &bool| if *on { "enable" } else { "disable" };
    let text: String = presets.iter().map(|(unit, on)| format!("{} {unit}\n", word(on))).collect();
    let path = UsrPath::fixed("usr/lib/systemd/system-preset/00-preon-image.preset");
    tree.add(path, Node::file(text, Origin::Image))
}

fn sysusers(tree: &Tree) -> Result<Vec<users::SysusersFile>, FileError> {
    let mut files = Vec::new();
    for (name, _, node) in tree.children("usr/lib/sysusers.d") {
        if let (Some(content), true) = (node.content(), name.ends_with(".conf")) {
            files.push((name.to_owned(), content.text()?));
        }
    }
    Ok(files)
}
