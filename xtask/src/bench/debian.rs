//! Debian 13's archive, as APT and mmdebstrap want to be told of it.

use anyhow::{Context, Result};

use crate::command;

/// The archive's keys, of the package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Debian 13's suites as lines of a sources.list, at the archive that this machine uses itself.
///
/// # Errors
///
/// If APT's sources name no Debian archive.
pub(super) fn sources() -> Result<[String; 3]> {
    let format = "$(LABEL) $(REPO_URI)";
    let list = ["indextargets", "--format", format, "Created-By: Packages"];
    let list = command::read(&mut command::program("apt-get", &list))?;
    let uri = |label: &str| {
        let found = list.lines().find_map(|line| line.strip_prefix(label)?.strip_prefix(' '));
        found.with_context(|| format!("no source of APT's on this machine has the label {label}"))
    };
    let (main, security) = (uri("Debian")?, uri("Debian-Security")?);
    let line = |uri: &str, suite: &str| format!("deb [signed-by={KEYRING}] {uri} {suite} main");
    Ok([line(main, "trixie"), line(main, "trixie-updates"), line(security, "trixie-security")])
}
