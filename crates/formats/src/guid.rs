//! GUIDs (UUIDs): the names of partitions, disks and verity trees.

use std::fmt;
use std::str::FromStr;

use base::{Digest, Explain};

/// A GUID. Reads and prints as `9c3ad1a8-70f3-4fa1-8ef4-0a5e7f6d2c11`, in lower case.
///
/// Source: RFC 9562, section 4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid([u8; 16]);

/// The text is not a GUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a GUID (8-4-4-4-12 hexadecimal digits)")]
pub struct BadGuid(pub String);

impl Explain for BadGuid {}

impl Guid {
    /// All zeros: no partition, no disk.
    pub const NIL: Self = Self([0; 16]);

    /// The GUID that always belongs to `digest`: its first 122 bits, marked as version 8.
    ///
    /// Source: RFC 9562, section 5.8.
    pub fn from_digest(digest: &Digest) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.as_bytes()[..16]);
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// The GUID whose 16 bytes, in the order of its digits, are these.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes in the order of the digits, as in verity superblocks and file systems.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The GUID that lies in a structure of UEFI: its first three groups are little-endian.
    ///
    /// Source: UEFI 2.10, appendix A.
    pub fn from_efi(bytes: [u8; 16]) -> Self {
        Self(swapped(bytes))
    }

    /// The 16 bytes as structures of UEFI hold them; see [`Guid::from_efi`].
    pub fn to_efi(self) -> [u8; 16] {
        swapped(self.0)
    }
}

fn swapped(mut bytes: [u8; 16]) -> [u8; 16] {
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let hyphen = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{hyphen}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Guid {
    type Err = BadGuid;

    fn from_str(text: &str) -> Result<Self, BadGuid> {
        let bad = || BadGuid(text.to_owned());
        let lengths = text.split('-').map(str::len);
        if !lengths.eq([8, 4, 4, 4, 12]) {
            return Err(bad());
        }
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        if digits.len() != 32 {
            return Err(bad());
        }
        let value = u128::from_str_radix(&digits, 16).map_err(|_| bad())?;
        Ok(Self(value.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"; // an EFI system partition

    #[test]
    fn a_guid_survives_printing_and_reading() {
        assert_eq!(TEXT.parse::<Guid>().unwrap().to_string(), TEXT);
        assert_eq!(TEXT.to_uppercase().parse::<Guid>(), TEXT.parse());
    }

    #[test]
    fn the_first_three_groups_are_turned_round_for_uefi() {
        let guid: Guid = TEXT.parse().unwrap();
        let efi = guid.to_efi();
        assert_eq!(efi[..8], [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11]);
        assert_eq!(efi[8..], guid.as_bytes()[8..]);
        assert_eq!(Guid::from_efi(efi), guid);
    }

    #[test]
    fn the_guid_of_a_digest_is_marked_as_version_8() {
        let digest = Digest::of(b"abc");
        let guid = Guid::from_digest(&digest).to_string();
        assert_eq!(guid, "ba7816bf-8f01-8fea-8141-40de5dae2223");
        assert_eq!(digest.to_string()[..12], guid.replace('-', "")[..12]);
    }

    #[test]
    fn text_that_is_no_guid_is_refused() {
        let cases = [
            "",
            &TEXT[1..],
            &TEXT.replace('-', "_"),
            &TEXT.replace('c', "g"),
            &TEXT.replace('-', ""),
        ];
        for text in cases {
            assert!(text.parse::<Guid>().is_err(), "{text}");
        }
    }
}
