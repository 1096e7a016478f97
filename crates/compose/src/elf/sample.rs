//! Makes the smallest ELF files that have a given linkage.

use super::Linkage;

/// The bytes of a shared library (with an interpreter if `linkage` has one).
pub(crate) fn elf(linkage: &Linkage) -> Vec<u8> {
    let mut strings = vec![0_u8];
    let mut add = |text: &str| {
        let at = strings.len() as u64;
        strings.extend(text.bytes().chain([0]));
        at
    };
    let mut entries: Vec<(u64, u64)> = linkage.needed.iter().map(|name| (1, add(name))).collect();
    entries.extend(linkage.soname.as_deref().map(|name| (14, add(name))));
    if !linkage.search.is_empty() {
        entries.push((29, add(&linkage.search.join(":"))));
    }
    let interpreter = linkage.interpreter.as_deref().map(|path| (add(path), path.len() as u64 + 1));

    let count = 2 + u16::from(interpreter.is_some());
    let strings_at = 64 + 56 * u64::from(count);
    let base = 0x10000;
    entries.extend([(5, base + strings_at), (10, strings.len() as u64), (0, 0)]);
    let dynamic_at = strings_at + strings.len() as u64;
    let end = dynamic_at + 16 * entries.len() as u64;

    let mut bytes = vec![0_u8; 64];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[16] = 3; // a shared object
    bytes[18] = 62; // x86-64
    bytes[32] = 64;
    bytes[54] = 56;
    bytes[56] = count as u8;
    let mut segment = |kind: u32, offset: u64, length: u64| {
        bytes.extend(kind.to_le_bytes());
        bytes.extend(4_u32.to_le_bytes());
        for value in [offset, base + offset, base + offset, length, length, 1] {
            bytes.extend(value.to_le_bytes());
        }
    };
    segment(1, 0, end);
    segment(2, dynamic_at, end - dynamic_at);
    if let Some((at, length)) = interpreter {
        segment(3, strings_at + at, length);
    }
    bytes.extend(strings);
    for (tag, value) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes
}
