//! Defaults for `/etc` that come with an addition: `/etc` is laid over the defaults once a boot, so they are copied in,
//! and dropped again at the next boot by `generations::etc`.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base::file::FileError;
use generations::etc::{self, Copies};

use crate::Host;
use crate::etc::Entry;

/// Copies the defaults of the mounted `layer` into `/etc`, but for what the host has edited; returns the units that
/// they enable.
///
/// # Errors
///
/// If a file cannot be read or written; what was copied by then is known to be a copy.
pub(super) fn copy(host: &Host, layer: &Path) -> Result<BTreeSet<String>, FileError> {
    let data = host.root.below(generations::DATA);
    let (defaults, etc) = (layer.join(etc::DEFAULTS), host.root.below("/etc"));
    let mut copies = Copies::read(&data)?;
    let mut fresh = Vec::new();
    for name in names(&defaults, Path::new(""))? {
        let there = etc::upper(&data).join(&name).symlink_metadata().is_ok();
        if there && !copies.holds(&data, &name)? {
            continue; // the host's own
        }
        copies.note(&name, &defaults.join(&name))?;
        fresh.push(name);
    }
    copies.write(&data)?; // before they are there: what is noted and not copied harms nobody
    for name in &fresh {
        let from = defaults.join(name);
        Entry::read(&from)?.place(&from, &etc.join(name))?;
    }
    Ok(fresh.iter().filter_map(|name| enabled(name)).collect())
}

/// The unit that a link in a `.wants` folder enables.
fn enabled(name: &Path) -> Option<String> {
    let folder = name.parent()?;
    let wants = folder.extension().is_some_and(|it| it == "wants" || it == "requires");
    let system = folder.parent() == Some(Path::new("systemd/system"));
    (wants && system).then(|| name.file_name()?.to_str().map(str::to_owned))?
}

/// Files and links below `folder`, by their path from there.
fn names(root: &Path, folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let path = root.join(folder);
    let entries = match path.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(FileError::at("read", &path))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(FileError::at("read", &path))?;
        let name = folder.join(entry.file_name());
        let kind = entry.file_type().map_err(FileError::at("read", entry.path()))?;
        if kind.is_dir() {
            found.extend(names(root, &name)?);
        } else if kind.is_file() || kind.is_symlink() {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_folders_of_wants_enable_units() {
        #[rustfmt::skip]
        let cases = [
            ("systemd/system/multi-user.target.wants/a.service", Some("a.service")),
            ("systemd/system/sockets.target.wants/a.socket",     Some("a.socket")),
            ("systemd/user/default.target.wants/a.service",      None),
            ("systemd/system/a.service",                         None),
            ("a.wants/x",                                        None),
        ];
        for (path, unit) in cases {
            assert_eq!(enabled(Path::new(path)).as_deref(), unit, "{path}");
        }
    }
}
