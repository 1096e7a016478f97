use std::fs;

use base::child::{Program, run};
use proptest::prelude::*;

use super::*;

/// A small program for UEFI with these sections, and room for ten more.
pub(crate) fn program(sections: &[(&str, &[u8])]) -> Vec<u8> {
    const HEADERS: usize = 0x400;
    let mut file = vec![0; HEADERS];
    put(&mut file, 0, b"MZ");
    put(&mut file, 0x3c, &0x40_u32.to_le_bytes());
    put(&mut file, 0x40, b"PE\0\0");
    put(&mut file, 0x44, &0x8664_u16.to_le_bytes()); // machine
    put(&mut file, 0x54, &240_u16.to_le_bytes()); // size of the optional header
    put(&mut file, 0x56, &0x22e_u16.to_le_bytes()); // characteristics
    put(&mut file, 0x58, &0x20b_u16.to_le_bytes());
    put(&mut file, 0x58 + 32, &0x1000_u32.to_le_bytes()); // section alignment
    put(&mut file, 0x58 + 36, &0x200_u32.to_le_bytes()); // file alignment
    put(&mut file, 0x58 + 56, &0x1000_u32.to_le_bytes()); // size of the image
    put(&mut file, 0x58 + 60, &(HEADERS as u32).to_le_bytes());
    put(&mut file, 0x58 + 68, &10_u16.to_le_bytes()); // subsystem: EFI application
    put(&mut file, 0x58 + 108, &16_u32.to_le_bytes()); // data directories
    let additions = sections.iter().map(|(name, content)| Addition { name, content });
    append(&file, &additions.collect::<Vec<_>>()).unwrap()
}

/// Name, size, address and file offset of each section, as binutils reads them.
pub(crate) fn objdump(file: &[u8]) -> Vec<(String, u64, u64, u64)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program.efi");
    fs::write(&path, file).unwrap();
    let output = run(Program::new("objdump").command().arg("-h").arg(&path)).unwrap();
    let text = String::from_utf8(output).unwrap();
    let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|words| words.first().is_some_and(|word| word.parse::<u8>().is_ok()))
        .map(|words| (words[1].into(), number(words[2]), number(words[3]), number(words[5])))
        .collect()
}

#[test]
fn binutils_reads_the_sections_that_were_added() {
    let file = program(&[(".text", &[1; 5000]), (".empty", b""), (".data", b"abc")]);
    let pe = Pe::parse(&file).unwrap();
    let rows: Vec<_> = pe
        .sections
        .iter()
        .filter(|section| section.memory_bytes > 0)
        .map(|it| {
            let (size, address, offset) = (it.memory_bytes, it.address, it.file_offset);
            (it.name.clone(), size.into(), address.into(), offset.into())
        })
        .collect();
    let seen: Vec<_> = objdump(&file).into_iter().filter(|row| row.1 > 0).collect();
    assert_eq!(seen, rows);
    assert_eq!(rows[1], (".data".into(), 3, 0x3000, 0x1800));
    assert_eq!(pe.image_bytes, 0x4000);
    assert_eq!(pe.section(".data").unwrap().content(&file), b"abc");
    assert_eq!(pe.section(".empty").unwrap().content(&file), b"");
}

#[test]
fn the_checksum_adds_words_with_carry_and_the_length() {
    // Words 0xffff + 0x0002 = 0x10001, carried: 0x0002; an odd last byte is a word of its own.
    assert_eq!(checksum(&[0xff, 0xff, 0x02, 0x00]), 0x0002 + 4);
    assert_eq!(checksum(&[0, 0, 0, 0, 5]), 5 + 5);
    let mut file = program(&[(".text", b"abc")]);
    let stored = u32_at(&file, 0x58 + 64);
    put(&mut file, 0x58 + 64, &[0; 4]);
    assert_eq!(stored, Some(checksum(&file)));
}

#[test]
fn what_cannot_be_added_is_refused() {
    let file = program(&[(".text", b"abc")]);
    let add = |file: &[u8], names: &[&str]| {
        let additions = names.iter().map(|name| Addition { name, content: b"x" });
        append(file, &additions.collect::<Vec<_>>()).unwrap_err().to_string()
    };
    for name in ["", ".text", ".too-long", "a b"] {
        let message =
            format!("a section cannot be called `{name}`: the name is taken, empty or too long");
        assert_eq!(add(&file, &[name]), message);
    }
    let names: Vec<String> = (0..20).map(|at| format!(".s{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let message = "the program has room for 16 more sections, but 20 are to be added";
    assert_eq!(add(&file, &names), message);
    let mut signed = file.clone();
    put(&mut signed, 0x58 + 112 + 4 * 8, &1_u32.to_le_bytes());
    assert_eq!(add(&signed, &["a"]), "cannot add sections to the program: it is signed");
}

#[test]
fn what_is_no_program_is_refused() {
    let file = program(&[(".text", b"abc")]);
    let changed = |at: usize, new: &[u8]| {
        let mut changed = file.clone();
        put(&mut changed, at, new);
        Pe::parse(&changed).unwrap_err().to_string()
    };
    #[rustfmt::skip]
    let cases = [
        (0,              &b"x"[..],       "not a PE file"),
        (0x3c,           &[0xff; 4][..],  "not a PE file"),
        (0x40,           &b"x"[..],       "not a PE file"),
        (0x58,           &[0x0b, 0x01],   "not a PE32+ file: it is for other than 64 bits"),
        (0x46,           &[0xff; 2],      "the PE file has a bad section table"),
        (0x58 + 36,      &[3],            "the PE file has a bad file alignment"),
        (0x58 + 32,      &[0; 4],         "the PE file has a bad section alignment"),
        (0x58 + 240 + 20, &[0xff; 4],     "the section .text of the PE file lies beyond its end"),
    ];
    for (at, new, message) in cases {
        assert_eq!(changed(at, new), message, "{at:#x}");
    }
    for length in 0..file.len() {
        assert!(Pe::parse(&file[..length]).is_err(), "{length}");
    }
}

proptest! {
    #[test]
    fn damaged_headers_are_parsed_or_refused(
        changes in prop::collection::vec((0..0x200_usize, any::<u8>()), 1..6),
    ) {
        let mut file = program(&[(".text", b"abc")]);
        for (at, new) in changes {
            file[at] = new;
        }
        let _ = append(&file, &[Addition { name: ".new", content: b"x" }]);
    }
}
