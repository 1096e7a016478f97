//! EFI variables that say which kernel starts, whatever `loader.conf` says.
//!
//! Source: UAPI, "Boot Loader Interface", <https://systemd.io/BOOT_LOADER_INTERFACE/>; bootctl(1), `set-default`,
//! `set-oneshot`; systemd-boot 257 takes the first that matches an entry: `LoaderEntryOneShot`, which it removes,
//! `LoaderEntryDefault`, `loader.conf`.

use serde::Serialize;
use sys::efi::{self, VariableError};

use crate::Root;

/// The value of `LoaderEntryDefault` that stands for what was started last.
const SAVED: &str = "@saved";

/// What EFI variables say. Names of entries may be patterns, as fnmatch(3) has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Variables {
    /// The entry that starts each time (`bootctl set-default`, the key `d` in the menu).
    pub always: Option<String>,
    /// The entry that starts the next time only (`systemctl reboot --boot-loader-entry=`).
    pub once: Option<String>,
}

impl Variables {
    /// Those of the host with this root folder; none where it has no EFI.
    ///
    /// # Errors
    ///
    /// [`VariableError`].
    pub fn of(root: &Root) -> Result<Self, VariableError> {
        let folder = root.below(efi::FOLDER);
        let read = |name| -> Result<Option<String>, VariableError> {
            let text = efi::read_text(&folder, name, efi::LOADER)?;
            // The loader compares in small letters.
            Ok(text.filter(|text| !text.is_empty()).map(|text| text.to_lowercase()))
        };
        let mut always = read("LoaderEntryDefault")?;
        if always.as_deref() == Some(SAVED) {
            always = read("LoaderEntryLastBooted")?;
        }
        Ok(Self { always, once: read("LoaderEntryOneShot")? })
    }
}

#[cfg(test)]
mod tests {
    use base::file;

    use super::*;

    #[test]
    fn what_was_set_by_hand_is_read_and_what_was_taken_back_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root(dir.path().to_owned());
        let set = |name: &str, text: &str| {
            let path = root.below(&testkit::efi::variable_path(name));
            file::replace(&path, &testkit::efi::variable(text)).unwrap();
        };
        let read = || Variables::of(&root).unwrap();
        assert_eq!(read(), Variables::default());
        set("LoaderEntryDefault", "Preon-6.efi");
        set("LoaderEntryOneShot", "preon-7.efi");
        let expected =
            Variables { always: Some("preon-6.efi".into()), once: Some("preon-7.efi".into()) };
        assert_eq!(read(), expected);
        set("LoaderEntryDefault", "@saved");
        assert_eq!(read().always, None);
        set("LoaderEntryLastBooted", "preon-5.efi");
        assert_eq!(read().always.as_deref(), Some("preon-5.efi"));
        set("LoaderEntryDefault", "");
        assert_eq!(read().always, None);
        let path = root.below(&testkit::efi::variable_path("LoaderEntryDefault"));
        file::replace(&path, b"\x07\0\0\0x").unwrap();
        assert!(Variables::of(&root).is_err());
    }
}
