//! Whoever gets the image gets the licences that its copyright files refer to.

use std::collections::BTreeSet;
use std::fs;

use system_tests::open;

const FOLDER: &str = "/usr/share/common-licenses/";

/// Debian itself has no such file: a slip in one copyright file.
const SLIPS: [&str; 1] = ["GFDL-3"];

#[test]
fn every_licence_that_a_copyright_file_refers_to_is_there() {
    let usr = tempfile::tempdir().unwrap();
    open("minimal").unpack(usr.path());
    let mut wanted = BTreeSet::new();
    for package in fs::read_dir(usr.path().join("share/doc")).unwrap() {
        // Some folders are links to another package's.
        let Ok(text) = fs::read(package.unwrap().path().join("copyright")) else { continue };
        let text = String::from_utf8_lossy(&text);
        wanted.extend(text.split(FOLDER).skip(1).map(|rest| {
            let end = |c: char| !c.is_ascii_alphanumeric() && !"-.+".contains(c);
            rest.split(end).next().unwrap_or_default().trim_end_matches('.').to_owned()
        }));
    }
    assert!(wanted.contains("GPL-2"), "{wanted:?}");
    // What is in the initrd is no file of the image; its licences are.
    let initrd = fs::read_to_string(usr.path().join("share/doc/preon-uki-hardened/copyright"));
    let initrd = initrd.unwrap();
    for source in ["e2fsprogs", "glibc", "systemd"] {
        assert!(initrd.contains(&format!("\n======== {source} ========\n")), "{source}");
    }
    let absent = |name: &&String| !usr.path().join("share/common-licenses").join(name).exists();
    let absent: Vec<_> = wanted.iter().filter(absent).collect();
    assert_eq!(absent, SLIPS);
}
