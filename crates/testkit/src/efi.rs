//! What firmware and boot loader see: unified kernel images, EFI variables.

/// A unified kernel image, as far as systemd-boot reads it before it starts it: letters, so that a package of text files
/// can bring it. `release` is in `VERSION_ID`, `version` is what the loader sorts by.
///
/// # Panics
///
/// If both are too long for it.
pub fn image(release: &str, version: &str) -> String {
    let text = format!("ID=preon\nVERSION_ID={release}\nIMAGE_VERSION={version}\n");
    let mut file = vec![0; 0x200];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &[0x40]);
    put(0x40, b"PE\0\0");
    put(0x46, &[1]);
    put(0x54, &[112]);
    put(0x58, &[0x0b, 0x02]);
    put(0x58 + 33, &[0x10]);
    put(0x58 + 37, &[0x02]);
    put(0x58 + 61, &[0x02]);
    let section = 0x58 + 112;
    put(section, b".osrel");
    let length = u8::try_from(text.len()).expect("a short text");
    put(section + 8, &[length]);
    put(section + 16, &[length]);
    put(section + 21, &[0x02]);
    file.extend(text.as_bytes());
    String::from_utf8(file).expect("a short text")
}

/// What efivarfs shows of a variable with this text.
pub fn variable(text: &str) -> Vec<u8> {
    const ATTRIBUTES: [u8; 4] = [7, 0, 0, 0];
    let text = text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes);
    ATTRIBUTES.into_iter().chain(text).collect()
}

/// Where efivarfs shows a variable of the boot loader.
///
/// Source: UAPI, "Boot Loader Interface", <https://systemd.io/BOOT_LOADER_INTERFACE/>.
pub fn variable_path(name: &str) -> String {
    format!("/sys/firmware/efi/efivars/{name}-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f")
}
