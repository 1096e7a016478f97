#![no_main]
//! A package is read to its end or refused; what it shows stays inside and within the limits.

use std::collections::BTreeSet;
use std::io::Read;

use formats::ar;
use libfuzzer_sys::fuzz_target;
use packages::deb::{Deb, DebError, Limits};

const LIMITS: Limits = Limits { bytes: 1 << 20, entries: 100 };
const CONTROL: &str = "Package: a\nVersion: 1\nArchitecture: all\n";

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    // As it is, hardly any input gets past the outer archive and the checksums.
    let mut data = bytes.to_owned();
    data.chunks_exact_mut(512).for_each(correct_checksum);
    read(&package(&data));
});

fn read(bytes: &[u8]) {
    let Ok(deb) = Deb::read("fuzz", bytes) else { return };
    let mut seen = BTreeSet::new();
    let mut total = 0;
    let _ = deb.visit(LIMITS, |entry, content| {
        assert!(!entry.path.split('/').any(|part| matches!(part, "" | "." | "..")));
        assert!(seen.insert(entry.path.clone()), "{} twice", entry.path);
        assert!(entry.mode <= 0o7777);
        let mut sink = Vec::new();
        if content.read_to_end(&mut sink).is_ok() {
            total += sink.len() as u64;
        }
        assert!(total <= LIMITS.bytes && seen.len() <= LIMITS.entries);
        Ok::<_, DebError>(())
    });
}

/// A sound package around `data`.
fn package(data: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    header[..7].copy_from_slice(b"control");
    header[100..107].copy_from_slice(b"0000644");
    header[108..115].copy_from_slice(b"0000000");
    header[116..123].copy_from_slice(b"0000000");
    header[124..135].copy_from_slice(format!("{:011o}", CONTROL.len()).as_bytes());
    header[136..147].copy_from_slice(b"00000000000");
    header[156] = b'0';
    correct_checksum(&mut header);
    let mut control = header.to_vec();
    control.extend_from_slice(CONTROL.as_bytes());
    control.resize(4 * 512, 0);
    let mut archive = ar::Writer::new(Vec::new()).expect("memory");
    for (name, content) in
        [("debian-binary", &b"2.0\n"[..]), ("control.tar", &control), ("data.tar", data)]
    {
        archive.member(name, content).expect("memory");
    }
    archive.finish()
}

/// Puts the right checksum where a tar header has it; nobody would guess it.
fn correct_checksum(block: &mut [u8]) {
    if block.iter().all(|byte| *byte == 0) {
        return;
    }
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
