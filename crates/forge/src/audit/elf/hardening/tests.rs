//! Files that the machine's own compiler makes, with one protection more or less.

use std::path::Path;
use std::process::Command;

use base::child;

use super::*;

const SOURCE: &str = "#include <stdio.h>\n#include <string.h>\nint main(int count, char **words) {\n\
                      char text[64]; strcpy(text, words[0]); return printf(\"%s %d\\n\", text, count); }\n";

/// What is left of the compiler's own defaults, which differ from machine to machine: nothing.
const BARE: &str =
    "-fno-stack-protector -U_FORTIFY_SOURCE -fcf-protection=none -Wl,-z,lazy -Wl,-z,norelro";
const HARD: &str = "-fPIC -O2 -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 \
                    -Wl,-z,relro -Wl,-z,now";

fn compiled(flags: &str) -> Hardening {
    let folder = tempfile::tempdir().unwrap();
    Hardening::read(&compile(folder.path(), flags)).unwrap().unwrap()
}

/// The program of [`SOURCE`], made with `flags` in `folder`.
fn compile(folder: &Path, flags: &str) -> Vec<u8> {
    std::fs::write(folder.join("a.c"), SOURCE).unwrap();
    let mut gcc = Command::new("gcc");
    gcc.current_dir(folder).args(["a.c", "-o", "a.out", "-w"]).args(flags.split_whitespace());
    child::run(&mut gcc).unwrap();
    std::fs::read(folder.join("a.out")).unwrap()
}

#[test]
fn each_protection_is_seen_where_it_is_and_missed_where_it_is_not() {
    let hard = compiled(&format!("{HARD} -pie"));
    assert_eq!(hard.shortcomings(), []);
    assert!(hard.canary && hard.fortified == 2 && hard.unfortified == 0, "{hard:?}");
    assert_eq!((hard.kind, hard.language), (Kind::Program, Language::C));

    let bare = compiled(&format!("{BARE} -no-pie -z execstack"));
    use Shortcoming::{NotFullRelro, NotNx, NotPie, TextRelocations};
    assert_eq!(bare.shortcomings(), [NotPie, NotFullRelro, NotNx]);
    assert!(!bare.canary && bare.fortified == 0 && bare.unfortified == 2, "{bare:?}");

    #[rustfmt::skip]
    let cases: [(&str, &[Shortcoming]); 4] = [
        ("-pie -Wl,-z,lazy",                &[NotFullRelro]),
        ("-pie -Wl,-z,norelro",             &[NotFullRelro]),
        ("-no-pie -fno-pic",                &[NotPie]),
        ("-pie -z execstack",               &[NotNx]),
    ];
    for (flags, expected) in cases {
        assert_eq!(compiled(&format!("{HARD} {flags}")).shortcomings(), expected, "{flags}");
    }
    let written = compiled(&format!("{HARD} -pie -fno-pic -mcmodel=large -z notext"));
    assert_eq!(written.shortcomings(), [TextRelocations]);
}

#[test]
fn code_that_can_be_written_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = compile(folder.path(), &format!("{HARD} -pie"));
    let elf = Elf::parse(&bytes).unwrap();
    let code = |segment: &goblin::elf::ProgramHeader| {
        segment.p_type == PT_LOAD && segment.p_flags & PF_X != 0
    };
    let at = elf.program_headers.iter().position(code).unwrap();
    let flags = usize::try_from(elf.header.e_phoff).unwrap() + at * 56 + 4;
    assert!(Hardening::read(&bytes).unwrap().unwrap().nx);
    bytes[flags] |= 2;
    assert!(!Hardening::read(&bytes).unwrap().unwrap().nx);
}

#[test]
fn libraries_static_programs_and_places_of_search_are_told() {
    let library = compiled(&format!("{HARD} -shared -Wl,-soname,liba.so.1"));
    assert_eq!((library.kind, library.shortcomings()), (Kind::Library, vec![]));

    let fixed = compiled("-static -no-pie -z noexecstack -Wl,-z,relro");
    assert_eq!((fixed.kind, fixed.shortcomings()), (Kind::Program, vec![Shortcoming::NotPie]));
    let moved = compiled("-static-pie -z noexecstack -Wl,-z,relro -Wl,-z,now");
    assert_eq!((moved.kind, moved.shortcomings()), (Kind::Program, vec![]));

    for tags in ["--enable-new-dtags", "--disable-new-dtags"] {
        let flags = format!("{HARD} -pie -Wl,{tags} -Wl,-rpath,/opt/a:/opt/b");
        assert_eq!(compiled(&flags).search, ["/opt/a", "/opt/b"], "{tags}");
    }
}

#[test]
fn processor_features_count_where_all_parts_have_them() {
    let note = |bits: u32| {
        [&X86_FEATURES.to_le_bytes()[..], &4u32.to_le_bytes(), &bits.to_le_bytes(), &[0; 4]]
            .concat()
    };
    let needed =
        [&0xc000_8002_u32.to_le_bytes()[..], &4u32.to_le_bytes(), &[1, 0, 0, 0], &[0; 4]].concat();
    assert_eq!(feature_bits(&note(IBT | SHSTK)), Some(3));
    assert_eq!(feature_bits(&[needed.clone(), note(IBT)].concat()), Some(1));
    assert_eq!(feature_bits(&needed), None);
    assert_eq!(feature_bits(&note(3)[..9]), None, "cut off");
}

#[test]
fn languages_are_told_apart() {
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert_eq!(Hardening::read(&own).unwrap().unwrap().language, Language::Rust);
    let folder = tempfile::tempdir().unwrap();
    compile(folder.path(), "");
    let mut objcopy = Command::new("objcopy");
    objcopy.current_dir(folder.path());
    child::run(objcopy.args(["--add-section", ".go.buildinfo=a.c", "a.out", "b.out"])).unwrap();
    let go = std::fs::read(folder.path().join("b.out")).unwrap();
    assert_eq!(Hardening::read(&go).unwrap().unwrap().language, Language::Go);
}

#[test]
fn what_is_no_program_is_passed_over_and_half_a_program_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let whole = compile(folder.path(), "");
    assert_eq!(Hardening::read(b"#!/bin/sh\n").unwrap(), None);
    assert_eq!(Hardening::read(b"").unwrap(), None);
    assert!(Hardening::read(&whole[..40]).is_err());
    let mut object = Command::new("gcc");
    child::run(object.current_dir(folder.path()).args(["-c", "a.c", "-w"])).unwrap();
    assert_eq!(Hardening::read(&std::fs::read(folder.path().join("a.o")).unwrap()).unwrap(), None);
}
