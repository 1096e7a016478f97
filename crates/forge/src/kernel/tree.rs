//! What may lie below `os/kernel`: what is there and nobody reads would be believed to be in the kernel.

use std::fs;
use std::path::{Path, PathBuf};

use base::Explain;
use base::file::FileError;

/// Something below `os/kernel` that would be passed over in silence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TreeError {
    /// A folder cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Names that mean nothing.
    #[error("nothing reads {}", .0.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))]
    Strays(Vec<PathBuf>),
}

impl Explain for TreeError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Strays(_) => Some(
                "fragments are called *.config and lie in os/kernel or the folder of a kernel, patches \
                 *.patch in os/kernel/patches; rename it, or move it out of os/kernel"
                    .into(),
            ),
        }
    }
}

/// The folders below `os/kernel`, but for `generated`, where only files of known names are looked for.
const FOLDERS: [&str; 5] = ["patches", "hardened", "full", "unhardened", "strict"];

/// Refuses what lies below `folder` (`os/kernel`) and means nothing there: `0001-a.PATCH`, a fragment in a
/// folder that no kernel has. Names it relative to `root`.
///
/// # Errors
///
/// [`TreeError`].
pub(crate) fn check(root: &Path, folder: &Path) -> Result<(), TreeError> {
    let mut strays = Vec::new();
    for path in list(folder)? {
        let name = name(&path);
        match FOLDERS.iter().find(|known| **known == name) {
            Some(known) if path.is_dir() => {
                let inside = list(&path)?;
                strays.extend(inside.into_iter().filter(|path| !is_known(known, path)));
            }
            _ if name == "generated" || is_known("", &path) => {}
            _ => strays.push(path),
        }
    }
    if strays.is_empty() {
        return Ok(());
    }
    let below = |path: &PathBuf| path.strip_prefix(root).unwrap_or(path).to_owned();
    Err(TreeError::Strays(strays.iter().map(below).collect()))
}

/// Whether the entry at `path` means something in `folder`, which is a folder below `os/kernel` or, where
/// empty, that itself.
fn is_known(folder: &str, path: &Path) -> bool {
    let name = name(path);
    let is = |extension: &str| path.extension().is_some_and(|it| it == extension);
    let means_something = match folder {
        "patches" => is("patch"),
        "strict" => name == "cmdline",
        "" => name == "cmdline" || name == "package.toml" || is("config"),
        _ => name == "cmdline" || is("config"),
    };
    !path.is_dir() && (means_something || name.starts_with("README"))
}

/// What lies in `folder`, in the order of the names, but for what editors and file managers leave:
/// `.#base.config`, `base.config~`.
///
/// # Errors
///
/// [`FileError`].
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let list = || {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<Vec<PathBuf>>>()
    };
    let mut paths = list().map_err(FileError::at("list", folder))?;
    paths.retain(|path| !name(path).starts_with('.') && !name(path).ends_with('~'));
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

#[cfg(test)]
mod tests {
    use base::file;

    use super::*;

    /// Checks a tree with the file `name` beside what a tree needs.
    fn with(name: &str) -> Result<(), TreeError> {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("os/kernel");
        for name in ["base.config", "full/cmdline", "generated/full.config", name] {
            file::replace(&folder.join(name), b"").unwrap();
        }
        check(root.path(), &folder)
    }

    #[test]
    fn what_nothing_reads_is_refused_and_named() {
        #[rustfmt::skip]
        let cases = [
            ("patches/0001-a.PATCH", "os/kernel/patches/0001-a.PATCH"),
            ("patches/0001-a.diff",  "os/kernel/patches/0001-a.diff"),
            ("patches/old/a.patch",  "os/kernel/patches/old"),
            ("0001-a.patch",         "os/kernel/0001-a.patch"),
            ("harden/x.config",      "os/kernel/harden"),
            ("base.CONFIG",          "os/kernel/base.CONFIG"),
            ("full/x.conf",          "os/kernel/full/x.conf"),
            ("full/cards/x.config",  "os/kernel/full/cards"),
            ("strict/x.config",      "os/kernel/strict/x.config"), // it has a command line only
        ];
        for (name, stray) in cases {
            let error = with(name).unwrap_err();
            assert_eq!(error.to_string(), format!("nothing reads {stray}"));
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn what_is_read_and_what_editors_leave_is_no_stray() {
        for name in [
            "x.config",
            "cmdline",
            "package.toml",
            "README.md",
            "patches/0001-a.patch",
            "patches/README",
            "hardened/x.config",
            "unhardened/x.config",
            "strict/cmdline",
            ".#base.config",
            "base.config~",
            ".idea/x.config",
            "patches/.0001-a.patch.swp",
        ] {
            with(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }

    #[test]
    fn this_repository_has_no_strays() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        check(&root, &root.join("os/kernel")).unwrap();
    }

    #[test]
    fn several_strays_are_all_named() {
        let root = tempfile::tempdir().unwrap();
        for name in ["patches/a.PATCH", "x/a.config"] {
            file::replace(&root.path().join(name), b"").unwrap();
        }
        let error = check(root.path(), root.path()).unwrap_err();
        assert_eq!(error.to_string(), "nothing reads patches/a.PATCH, x");
    }
}
