//! Small curated packages for tests, and a stand-in for mkfs.erofs.

use std::path::Path;

use base::Digest;
use base::child::Program;
use packages::control::Control;
use packages::deb::{Entry, Kind, Writer};

use crate::gather::Input;

/// A file of a package: path and what it holds (`-> x`: a symbolic link, `=> x`: a hard link,
/// `/`: a folder).
pub(crate) type File<'a> = (&'a str, &'a str);

/// Writes the curated package `name` with `files` into `folder`.
pub(crate) fn package(folder: &Path, name: &str, files: &[File<'_>]) -> Input {
    let mut writer = Writer::new(1, 0).unwrap();
    for (path, text) in files {
        let (kind, mode, content) = match text.split_at_checked(3) {
            _ if *text == "/" => (Kind::Directory, 0o755, ""),
            Some(("-> ", target)) => (Kind::Symlink(target.to_owned()), 0o777, ""),
            Some(("=> ", target)) => (Kind::HardLink(target.to_owned()), 0o644, ""),
            _ => (Kind::File, 0o644, *text),
        };
        let entry = Entry {
            path: (*path).to_owned(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: 1,
            xattrs: Vec::new(),
            size: content.len() as u64,
        };
        writer.add(&entry, &mut content.as_bytes()).unwrap();
    }
    let control = format!("Package: {name}\nVersion: 1-2+0preon1\nArchitecture: all\n");
    let bytes = writer.finish(&Control::parse(&control).unwrap()).unwrap();
    let deb = folder.join(format!("{name}.deb"));
    std::fs::write(&deb, &bytes).unwrap();
    Input { deb, digest: Digest::of(&bytes), suite: "trixie".into() }
}

/// A program that stores the tar stream itself, filled up to whole blocks, as if it were EROFS.
pub(crate) fn mkfs() -> Program {
    let script = "for output; do :; done; \
                  exec dd of=\"$output\" bs=4096 conv=sync iflag=fullblock status=none";
    Program::from_words(["/bin/sh", "-c", script])
}

/// Unpacks a layer that [`mkfs`] made over what is in the folder `usr`, as overlayfs would show both.
pub(crate) fn lay_over(layer: &Path, usr: &Path) {
    let mut archive = tar::Archive::new(std::fs::File::open(layer).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let place = usr.join(entry.path().unwrap());
        let is_folder = entry.header().entry_type() == tar::EntryType::Directory;
        match place.symlink_metadata() {
            Ok(there) if there.is_dir() && !is_folder => std::fs::remove_dir_all(&place).unwrap(),
            Ok(there) if !there.is_dir() => std::fs::remove_file(&place).unwrap(),
            _ => {}
        }
        if entry.header().entry_type() != tar::EntryType::Char {
            entry.unpack_in(usr).unwrap();
        }
    }
}
