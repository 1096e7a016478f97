//! Checks that are programs: those of packages and those of the host's operator.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use base::child::Program;

use super::limited::{self, Limits};
use super::{Check, Outcome, check};
use crate::Root;

/// Where they are; a name in the latter replaces the same in the former.
const FOLDERS: [&str; 2] = ["/usr/lib/preon/health.d", "/etc/preon/health.d"];

/// The last bytes of what one prints that are kept.
const OUTPUT: usize = 4 << 10;

/// The checks of a host by name. What cannot be listed is a check that is bad: nobody would miss it otherwise.
pub(super) fn find(root: &Root) -> Result<BTreeMap<String, PathBuf>, Check> {
    let mut found = BTreeMap::new();
    for folder in FOLDERS.map(|folder| root.below(folder)) {
        match list(&folder) {
            Ok(paths) => found.extend(paths),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let status = format!("cannot read {}: {error}", folder.display());
                let outcome = Outcome::Bad { status, output: String::new() };
                return Err(check("health.d", outcome, Instant::now()));
            }
        }
    }
    found.retain(|_, path| is_program(path));
    Ok(found)
}

fn list(folder: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // What editors leave behind.
        if !name.starts_with('.') && !name.ends_with('~') {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

/// Whether it is to be run: a file with a right to execute it. A link to `/dev/null` is none, and a link that leads
/// nowhere is tried, so that it is seen.
fn is_program(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(metadata) => metadata.is_file() && metadata.permissions().mode() & 0o111 != 0,
        Err(_) => true,
    }
}

/// Runs one, which may take until `end`.
pub(super) fn run(name: &str, path: &Path, end: Instant) -> Check {
    let began = Instant::now();
    let time = end.saturating_duration_since(began).min(super::LONGEST);
    let mut command = Program::new(path).command();
    command.current_dir("/");
    let outcome = match limited::run(command, Limits { time, output: OUTPUT }) {
        Err(error) => Outcome::Bad { status: format!("cannot start: {error}"), output: "".into() },
        Ok(ended) => Outcome::of(ended),
    };
    check(name, outcome, began)
}
