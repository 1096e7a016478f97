//! New versions of an image's kernel, made of its own unified kernel image.

use std::fs;
use std::path::{Path, PathBuf};

use formats::loader;
use formats::pe::Pe;
use packages::control::Control;
use packages::deb::{Entry, Kind, Writer};

use crate::Image;

/// What becomes of the initrd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initrd {
    /// It stays.
    Same,
    /// Nothing is in it: the kernel panics, because it finds no program to start.
    Empty,
}

/// The package, as `preon` understands it, in the version that [`package`] gives this number.
///
/// # Panics
///
/// If the image has no such package.
pub fn selector(image: &Image, number: u8) -> String {
    let (name, version) = of_image(image);
    format!("{name}={}", numbered(&version, number))
}

/// The kernel of `image` in a newer package with this number, in `folder`.
///
/// # Panics
///
/// If it cannot be made.
pub fn package(image: &Image, folder: &Path, (number, initrd): (u8, Initrd)) -> PathBuf {
    let (name, version) = of_image(image);
    let newer = numbered(&version, number);
    let mut uki = fs::read(image.file("preon.efi")).unwrap();
    let pe = Pe::parse(&uki).unwrap();
    let place = |section: &str| {
        let section = pe.section(section).unwrap();
        let start = section.file_offset as usize;
        start..start + section.content(&uki).len()
    };
    let [text, files] = [".osrel", ".initrd"].map(place);
    // As the loader is to sort it (crate `forge`, `uki`).
    let [from, to] = [&version, &newer].map(|version| version.replace('+', "-"));
    let osrel = std::str::from_utf8(&uki[text.clone()]).unwrap().replace(&from, &to);
    uki[text].copy_from_slice(osrel.as_bytes());
    if initrd == Initrd::Empty {
        uki[files].fill(0);
    }
    let control = format!(
        "Package: {name}\nSource: linux (6.12-1)\nVersion: {newer}\nArchitecture: amd64\nMaintainer: trial\n\
         Provides: preon-uki\nDescription: a trial\n"
    );
    let mut writer = Writer::new(1, 0).unwrap();
    let entry = Entry {
        path: loader::packaged(&image.manifest().kernel.release),
        kind: Kind::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: 0,
        xattrs: Vec::new(),
        size: uki.len() as u64,
    };
    writer.add(&entry, &mut &*uki).unwrap();
    let deb = folder.join(format!("{name}_{newer}.deb"));
    fs::write(&deb, writer.finish(&Control::parse(&control).unwrap()).unwrap()).unwrap();
    deb
}

fn of_image(image: &Image) -> (String, String) {
    let packages = image.manifest().packages;
    let package = packages.into_iter().find(|it| it.name.starts_with("preon-uki-")).unwrap();
    (package.name, package.version)
}

/// A later version of the same length.
fn numbered(version: &str, number: u8) -> String {
    let (before, behind) = version.split_once("+boot0").unwrap();
    format!("{before}+boot{number}{behind}")
}
