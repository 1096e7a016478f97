//! Unpacking a package into a folder, owned by whoever does it: for tools, not for images.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use base::Explain;
use base::file::FileError;
use packages::deb::{Deb, DebError, Entry, Kind, Limits};

/// A package could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    #[error(transparent)]
    Deb(#[from] DebError),
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for UnpackError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Deb(error) => error.hint(),
            Self::File(error) => error.hint(),
        }
    }
}

/// Unpacks the files of the package at `deb` below `folder`. Devices and pipes are left out.
///
/// # Errors
///
/// [`UnpackError`] names the file that cannot be read or written.
pub(crate) fn unpack(deb: &Path, folder: &Path) -> Result<(), UnpackError> {
    Deb::open(deb)?.visit(Limits::default(), |entry, content| {
        let path = folder.join(&entry.path);
        place(entry, content, &Place { folder, path: &path })
            .map_err(FileError::at("unpack", &path))?;
        Ok(())
    })
}

struct Place<'a> {
    folder: &'a Path,
    path: &'a Path,
}

fn place(entry: &Entry, content: &mut dyn Read, place: &Place<'_>) -> io::Result<()> {
    let Place { folder, path } = *place;
    let parent = path.parent().unwrap_or(folder);
    stays_inside(parent, folder)?;
    fs::create_dir_all(parent)?;
    match &entry.kind {
        // A folder may lie behind a link of the root (`/lib`), and belongs to several packages.
        Kind::Directory if path.is_dir() => Ok(()),
        Kind::Directory => fs::create_dir_all(path),
        Kind::File => {
            remove(path)?;
            let mut file = File::create(path)?;
            io::copy(content, &mut file)?;
            // Owner may write, so that the cache can be cleared by whoever made it.
            file.set_permissions(Permissions::from_mode(entry.mode & 0o777 | 0o200))
        }
        Kind::Symlink(target) => {
            if path.is_dir() && !path.is_symlink() {
                return Ok(());
            }
            remove(path)?;
            symlink(target, path)
        }
        Kind::HardLink(target) => {
            let target = folder.join(target);
            stays_inside(target.parent().unwrap_or(folder), folder)?;
            remove(path)?;
            fs::hard_link(target, path)
        }
        Kind::CharacterDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => Ok(()),
    }
}

/// Refuses a path that links of other packages lead out of the root `folder`, to the build machine's
/// own files.
fn stays_inside(path: &Path, folder: &Path) -> io::Result<()> {
    let exists = |path: &&Path| path.symlink_metadata().is_ok();
    let deepest = path.ancestors().find(exists).unwrap_or(folder);
    if deepest.canonicalize()?.starts_with(folder.canonicalize()?) {
        return Ok(());
    }
    Err(io::Error::other(format!("{} leads out of the root", deepest.display())))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use packages::control::Control;
    use packages::deb::Writer;

    use super::*;

    #[test]
    fn links_may_lead_elsewhere_in_the_root_and_never_out_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        for (target, at) in [("usr/lib", "lib"), ("../outside", "up"), ("/", "top"), ("no", "gone")]
        {
            symlink(target, root.join(at)).unwrap();
        }
        #[rustfmt::skip]
        let cases = [
            ("usr/lib/new/deep", true),
            ("lib/new",          true),
            ("new",              true),
            ("up/new",           false),
            ("top/etc",          false),
            ("gone/x",           false), // it would be made where the link points
        ];
        for (path, stays) in cases {
            assert_eq!(stays_inside(&root.join(path), &root).is_ok(), stays, "{path}");
        }
    }

    /// A package with one file or link.
    fn package(path: &str, kind: Kind) -> Vec<u8> {
        let mut writer = Writer::new(1, 0).unwrap();
        let path = path.to_owned();
        let (uid, gid, mtime, xattrs, size) = (0, 0, 1, Vec::new(), 0);
        let entry = Entry { path, kind, mode: 0o644, uid, gid, mtime, xattrs, size };
        writer.add(&entry, &mut io::empty()).unwrap();
        let control = "Package: a\nVersion: 1\nArchitecture: all\n";
        writer.finish(&Control::parse(control).unwrap()).unwrap()
    }

    #[test]
    fn a_package_writes_nothing_through_the_link_of_another_that_leads_out() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        for folder in [&root, &outside] {
            fs::create_dir(folder).unwrap();
        }
        let deb = dir.path().join("a.deb");
        let install = |path: &str, kind: Kind| {
            fs::write(&deb, package(path, kind)).unwrap();
            unpack(&deb, &root)
        };
        install("usr/up", Kind::Symlink(outside.display().to_string())).unwrap();
        for kind in [Kind::File, Kind::Directory, Kind::Symlink("x".into())] {
            let error = install("usr/up/x", kind).unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.ends_with("leads out of the root"), "{error}: {cause}");
        }
        assert_eq!(outside.read_dir().unwrap().count(), 0);
    }
}
