//! Debian 13's archive, as APT and mmdebstrap want to be told of it.

use std::process::Command;

/// The archive's keys, of the package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// This machine's APT does not say where Debian's archive is.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// apt-get cannot be started or fails.
    #[error("cannot ask APT for its sources: {0}")]
    Ask(String),
    /// No source is Debian's.
    #[error("no source of APT's on this machine has the label {0}")]
    Missing(&'static str),
}

/// Debian 13's suites as lines of a sources.list, at the archive that this machine uses itself.
///
/// # Errors
///
/// [`SourcesError`].
pub fn sources() -> Result<[String; 3], SourcesError> {
    let format = "$(LABEL) $(REPO_URI)";
    let mut list = Command::new("apt-get");
    list.args(["indextargets", "--format", format, "Created-By: Packages"]);
    let output = list.output().map_err(|error| SourcesError::Ask(error.to_string()))?;
    if !output.status.success() {
        return Err(SourcesError::Ask(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    let uri = |label: &'static str| {
        let found = list.lines().find_map(|line| line.strip_prefix(label)?.strip_prefix(' '));
        found.ok_or(SourcesError::Missing(label))
    };
    let (main, security) = (uri("Debian")?, uri("Debian-Security")?);
    let line = |uri: &str, suite: &str| format!("deb [signed-by={KEYRING}] {uri} {suite} main");
    Ok([line(main, "trixie"), line(main, "trixie-updates"), line(security, "trixie-security")])
}
