//! Which kernel runs, and which generations it is the kernel of.

use std::path::Path;

use base::file::{self, FileError};
use base::{Digest, Explain};
use formats::loader;
use formats::manifest::Manifest;
use sys::efi::{self, VariableError};

/// The file with the release of the kernel that runs.
pub const RELEASE: &str = "/proc/sys/kernel/osrelease";

/// It cannot be said which kernel runs.
#[derive(Debug, thiserror::Error)]
pub enum UnknownKernel {
    /// The kernel does not say its release.
    #[error(transparent)]
    Release(#[from] FileError),
    /// What the boot loader has left word of cannot be read.
    #[error(transparent)]
    Entry(#[from] VariableError),
}

impl Explain for UnknownKernel {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Release(error) => error.hint(),
            Self::Entry(error) => error.hint(),
        }
    }
}

/// The kernel that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booted {
    /// What `uname -r` prints.
    pub release: String,
    /// What the boot loader calls the unified kernel image that it comes from, with `@` and the menu's entry behind it
    /// where that is not the first; `None` where no such loader started it.
    pub entry: Option<String>,
    /// Whether the loader counts how often it starts that, because nobody has found it good yet.
    pub on_trial: bool,
}

impl Booted {
    /// The kernel of this release, as the boot loader has left word of it in `efivars`, where efivarfs is mounted.
    ///
    /// # Errors
    ///
    /// [`VariableError`].
    ///
    /// Source: UAPI, "Boot Loader Interface", `LoaderEntrySelected`, `LoaderBootCountPath`,
    /// <https://systemd.io/BOOT_LOADER_INTERFACE/>.
    pub fn read(efivars: &Path, release: String) -> Result<Self, VariableError> {
        let read = |name| efi::read_text(efivars, name, efi::LOADER);
        let (entry, counted) = (read("LoaderEntrySelected")?, read("LoaderBootCountPath")?);
        Ok(Self { release, entry, on_trial: counted.is_some() })
    }

    /// The kernel of a running host with this root folder.
    ///
    /// # Errors
    ///
    /// [`UnknownKernel`].
    pub fn of_host(root: &Path) -> Result<Self, UnknownKernel> {
        let below = |path: &str| root.join(path.trim_start_matches('/'));
        let release = file::read_text(&below(RELEASE))?.trim().to_owned();
        Ok(Self::read(&below(efi::FOLDER), release)?)
    }

    /// What the boot loader calls the image, whichever of its entries somebody chose; `None` where no such loader started it.
    pub fn image(&self) -> Option<&str> {
        self.entry.as_deref()?.split('@').next()
    }

    /// A kernel of which only the release is known.
    pub fn of_release(release: &str) -> Self {
        Self { release: release.to_owned(), entry: None, on_trial: false }
    }

    /// Whether the generation is made for it: for its release, and where its image is known to be one of ours, for that.
    /// One release may come with several images, and what is wrong with one need not be wrong with the other.
    pub fn fits(&self, manifest: &Manifest) -> bool {
        let digits = self.image().and_then(loader::digits);
        let fits = |uki: &Digest| digits.is_none_or(|digits| uki.short() == digits);
        manifest.kernels().any(|kernel| kernel.release == self.release && fits(&kernel.uki))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_leaves_word_of_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        file::replace(&dir.path().join("proc/sys/kernel/osrelease"), b"6.1\n").unwrap();
        let read = || Booted::of_host(dir.path()).unwrap();
        assert_eq!(read(), Booted::of_release("6.1"));
        let mut bytes = vec![6, 0, 0, 0];
        bytes.extend("a.efi\0".encode_utf16().flat_map(u16::to_le_bytes));
        let path = format!("sys/firmware/efi/efivars/LoaderEntrySelected-{}", efi::LOADER);
        file::replace(&dir.path().join(path), &bytes).unwrap();
        let expected = Booted { entry: Some("a.efi".into()), ..Booted::of_release("6.1") };
        assert_eq!(read(), expected);
        let path = format!("sys/firmware/efi/efivars/LoaderBootCountPath-{}", efi::LOADER);
        file::replace(&dir.path().join(path), &[6, 0, 0, 0]).unwrap();
        assert_eq!(read(), Booted { on_trial: true, ..expected.clone() });
        assert_eq!(expected.image(), Some("a.efi"));
        let other = Booted { entry: Some("a.efi@previous".into()), ..expected };
        assert_eq!(other.image(), Some("a.efi"));
    }
}
