//! The unified kernel images of an image that was built.

use std::fs;
use std::path::{Path, PathBuf};

use base::Explain;
use base::file::{self, FileError};
use formats::pe::{BadPe, Pe};
use serde::Serialize;

/// The unified kernel image of the kernel that boots.
const FIRST: &str = "preon.efi";

/// A unified kernel image. Sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Kernel {
    /// Its file, beside the disk.
    pub(super) file: String,
    pub(super) release: String,
    pub(super) kernel_bytes: u64,
    pub(super) initrd_bytes: u64,
    /// All of it.
    pub(super) uki_bytes: u64,
}

/// Why the kernels of an image cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KernelsError {
    #[error("{} has no section {section}", path.display())]
    Section { path: PathBuf, section: &'static str },
    #[error("cannot read {}", path.display())]
    Program { path: PathBuf, source: BadPe },
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for KernelsError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            _ => Some("build the image anew".into()),
        }
    }
}

/// The unified kernel images in the folder of an image: first the one that boots, the others by name.
///
/// # Errors
///
/// [`KernelsError`] names the file.
pub(super) fn kernels(folder: &Path) -> Result<Vec<Kernel>, KernelsError> {
    let mut names = vec![FIRST.to_owned()];
    for entry in fs::read_dir(folder).map_err(FileError::at("read", folder))? {
        let entry = entry.map_err(FileError::at("read", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("preon-") && name.ends_with(".efi") {
            names.push(name);
        }
    }
    names[1..].sort();
    names.into_iter().map(|name| read(folder, name)).collect()
}

fn read(folder: &Path, file: String) -> Result<Kernel, KernelsError> {
    let path = folder.join(&file);
    let bytes = file::read(&path)?;
    let program =
        Pe::parse(&bytes).map_err(|source| KernelsError::Program { path: path.clone(), source })?;
    let section = |section: &'static str| {
        let missing = || KernelsError::Section { path: path.clone(), section };
        Ok::<_, KernelsError>(program.section(section).ok_or_else(missing)?.content(&bytes))
    };
    Ok(Kernel {
        release: String::from_utf8_lossy(section(".uname")?).into_owned(),
        kernel_bytes: section(".linux")?.len() as u64,
        initrd_bytes: section(".initrd")?.len() as u64,
        uki_bytes: bytes.len() as u64,
        file,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::program;

    /// The folder of an image with these unified kernel images.
    fn built(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    fn uki(release: &str, kernel: &[u8]) -> Vec<u8> {
        program(&[(".uname", release.as_bytes()), (".initrd", b"init"), (".linux", kernel)])
    }

    #[test]
    fn the_kernel_that_boots_comes_first_and_each_has_its_sizes() {
        let folder = built(&[
            ("loader.efi", Vec::new()),
            ("preon-6-hardened.efi", uki("6-hardened", b"small")),
            ("preon.efi", uki("6-full", b"large kernel")),
        ]);
        let [full, hardened] = &kernels(folder.path()).unwrap()[..] else { panic!("two kernels") };
        assert_eq!((&*full.file, &*full.release), ("preon.efi", "6-full"));
        assert_eq!((full.kernel_bytes, full.initrd_bytes), (12, 4));
        let bytes = fs::metadata(folder.path().join("preon.efi")).unwrap().len();
        assert_eq!(full.uki_bytes, bytes);
        assert_eq!(hardened.file, "preon-6-hardened.efi");
        assert_eq!((&*hardened.release, hardened.kernel_bytes), ("6-hardened", 5));
    }

    #[test]
    fn a_file_that_is_no_unified_kernel_image_is_named() {
        let good = uki("6", b"kernel");
        #[rustfmt::skip]
        let cases = [
            (vec![("preon.efi", program(&[(".uname", b"6")]))],         "preon.efi has no section .linux"),
            (vec![("preon.efi", good), ("preon-7.efi", b"7".to_vec())], "cannot read"),
            (vec![],                                                    "preon.efi"),
        ];
        for (files, expected) in cases {
            let folder = built(&files);
            let error = kernels(folder.path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
