//! Whether the kernels of an image are what the policy demands, with all that its definition says.

use std::collections::BTreeMap;
use std::path::Path;

use base::{Failure, file};

use super::facts::{Facts, Words};
use super::report::Report;
use super::{AuditError, POLICY, all_explained, applied, policy, shipped_files};
use crate::kernel::config::Config;
use crate::kernel::{self, Built, Flavour, Profile};

/// Below `/etc`, a file of the image takes the place of a package's of the same name.
const FOLDER: &str = "/etc/sysctl.d/";

/// A kernel in an image.
pub(crate) struct Installed<'a> {
    /// Which.
    pub(crate) flavour: Flavour,
    /// How strict its command line is to be.
    pub(crate) profile: Profile,
    /// Its configuration.
    pub(crate) config: &'a Config,
    /// Its whole command line.
    pub(crate) command_line: &'a str,
    /// The files of the image's definition, by path.
    pub(crate) files: &'a [(&'a str, &'a str)],
}

/// Refuses a built kernel that does not meet the policy with each command line that an image may give it.
///
/// # Errors
///
/// As [`demand`].
pub(crate) fn demand_always(root: &Path, built: &Built) -> Result<(), Failure> {
    let path = built.kernel.config();
    let config = Config::parse(&file::read_text(&path)?)
        .map_err(|source| AuditError::Config { path, source })?;
    for profile in [Profile::Default, Profile::Strict] {
        let command_line = &kernel::command_line(root, built.flavour, profile)?;
        let (flavour, config, files) = (built.flavour, &config, &[]);
        demand(root, &Installed { flavour, profile, config, command_line, files })?;
    }
    Ok(())
}

/// Refuses a kernel that does not meet the policy of the checkout at `root`.
///
/// # Errors
///
/// [`AuditError`], or a policy that cannot be read.
///
/// Source: sysctl.d(5): a file in `/etc` overrides one of its name in `/usr/lib`.
pub(crate) fn demand(root: &Path, installed: &Installed<'_>) -> Result<(), Failure> {
    let policy = policy::load(&root.join(POLICY))?;
    let mut files: BTreeMap<String, String> = shipped_files(root)?;
    for (path, text) in installed.files {
        if let Some(name) = path.strip_prefix(FOLDER).filter(|name| name.ends_with(".conf")) {
            files.insert(name.to_owned(), (*text).to_owned());
        }
    }
    let facts = Facts {
        config: installed.config.clone(),
        words: Words::parse(installed.command_line).map_err(AuditError::from)?,
        sysctls: applied(&files),
    };
    // Idle explanations are the checkout's affair: an image may be stricter.
    Ok(all_explained(&Report::new(&policy, &facts, installed.flavour, installed.profile))?)
}
