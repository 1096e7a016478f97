use std::process::Command;

use super::*;

fn entry(path: &str, kind: Kind) -> Entry {
    Entry {
        path: path.into(),
        mode: if kind == Kind::Directory { 0o755 } else { 0o644 },
        uid: 0,
        gid: 0,
        mtime: 1_700_000_000,
        xattrs: Vec::new(),
        size: 0,
        kind,
    }
}

const CONTROL: &str = "Package: demo\nVersion: 1-1\nArchitecture: all\n\
                       Maintainer: Nobody <nobody@example.org>\nDescription: a demo\n";

/// A binary value with the end of a line in it, and what looks like a record after that.
const CAPABILITY: &[u8] = b"\x01\0\xff\n19 path=etc/passwd\n";

fn written(level: i32) -> Vec<u8> {
    let mut writer = Writer::new(level, 1_700_000_000).unwrap();
    let long = format!("usr/{}", "long/".repeat(30).trim_end_matches('/'));
    let mut add = |entry: &Entry, text: &str| writer.add(entry, &mut text.as_bytes()).unwrap();
    add(&entry("usr", Kind::Directory), "");
    add(&Entry { size: 5, mode: 0o4755, ..entry("usr/file", Kind::File) }, "hello");
    add(&entry("usr/again", Kind::HardLink("usr/file".into())), "");
    add(&entry("usr/link", Kind::Symlink("/etc/x".into())), "");
    add(&Entry { size: 1, ..entry(&long, Kind::File) }, "x");
    let capability = ("security.capability".to_owned(), CAPABILITY.to_vec());
    add(&Entry { xattrs: vec![capability], ..entry("usr/ping", Kind::File) }, "");
    writer.finish(&Control::parse(CONTROL).unwrap()).unwrap()
}

fn listed(deb: &Deb) -> Result<Vec<(Entry, String)>, DebError> {
    let mut all = Vec::new();
    deb.visit(Limits::default(), |entry, content| {
        let mut text = String::new();
        content.read_to_string(&mut text).unwrap();
        all.push((entry.clone(), text));
        Ok::<_, DebError>(())
    })?;
    Ok(all)
}

#[test]
fn what_has_another_digest_is_not_looked_into() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("demo.deb");
    for bytes in [written(3), [written(3), vec![0]].concat(), b"no archive".to_vec(), Vec::new()] {
        std::fs::write(&path, &bytes).unwrap();
        let found = Deb::open_verified(&path, Digest::of(b"another")).unwrap().unwrap_err();
        assert_eq!(found, Digest::of(&bytes));
    }
    std::fs::write(&path, written(3)).unwrap();
    let deb = Deb::open_verified(&path, Digest::of(&written(3))).unwrap().unwrap();
    assert_eq!(listed(&deb).unwrap().len(), 6);
    std::fs::write(&path, "no archive").unwrap();
    let flaw = Deb::open_verified(&path, Digest::of(b"no archive")).unwrap_err();
    assert!(matches!(flaw, DebError::Flaw { .. }), "{flaw}");
}

#[test]
fn a_written_package_reads_back() {
    let deb = Deb::read("demo", &written(1)[..]).unwrap();
    assert_eq!(deb.control().to_string(), CONTROL);
    assert_eq!(deb.scripts().count(), 0);
    let all = listed(&deb).unwrap();
    let paths: Vec<_> = all.iter().map(|(entry, _)| entry.path.as_str()).collect();
    assert_eq!(paths[..4], ["usr", "usr/file", "usr/again", "usr/link"]);
    assert_eq!(paths[4].len(), 3 + 5 * 30);
    assert_eq!(all[1].1, "hello");
    assert_eq!(all[1].0.mode, 0o4755);
    assert_eq!(all[2].0.kind, Kind::HardLink("usr/file".into()));
    assert_eq!(all[3].0.kind, Kind::Symlink("/etc/x".into()));
    assert_eq!(all[5].0.xattrs, [("security.capability".to_owned(), CAPABILITY.to_vec())]);
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    assert_eq!(written(1), written(1));
}

#[test]
fn dpkg_deb_accepts_a_written_package() {
    let mut writer = Writer::new(1, 0).unwrap();
    let long = format!("usr/{}", "long/".repeat(30).trim_end_matches('/'));
    writer.add(&entry("usr", Kind::Directory), &mut io::empty()).unwrap();
    writer.add(&entry(&long, Kind::File), &mut io::empty()).unwrap();
    writer.add(&entry("usr/link", Kind::Symlink("sh".into())), &mut io::empty()).unwrap();
    let bytes = writer.finish(&Control::parse(CONTROL).unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("demo.deb");
    std::fs::write(&path, bytes).unwrap();

    let output = Command::new("dpkg-deb").arg("--contents").arg(&path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("drwxr-xr-x 0/0"), "{text}");
    assert!(text.contains(&format!(" {long}\n")), "{text}");
    assert!(text.contains(" usr/link -> sh\n"), "{text}");
    let field = Command::new("dpkg-deb").arg("--field").arg(&path).arg("Package").output();
    assert_eq!(field.unwrap().stdout, b"demo\n");
}

/// Path, kind, and content or link target.
type Raw<'a> = (&'a [u8], tar::EntryType, &'a [u8]);

/// A package whose tar archives dpkg-deb would never write; headers are set byte by byte.
fn hostile(entries: &[Raw<'_>], data: &str) -> Deb {
    let tar_of = |entries: &[Raw<'_>]| {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..path.len()].copy_from_slice(path);
            header.set_entry_type(*kind);
            let is_link = matches!(kind, tar::EntryType::Link | tar::EntryType::Symlink);
            let content = if is_link {
                header.as_old_mut().linkname[..content.len()].copy_from_slice(content);
                &[]
            } else {
                *content
            };
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_cksum();
            builder.append(&header, content).unwrap();
        }
        builder.into_inner().unwrap()
    };
    let control = tar_of(&[(b"./control", tar::EntryType::Regular, CONTROL.as_bytes())]);
    let mut archive = ar::Writer::new(Vec::new()).unwrap();
    archive.member("debian-binary", b"2.0\n").unwrap();
    archive.member("control.tar", &control).unwrap();
    archive.member(data, &tar_of(entries)).unwrap();
    Deb::read("hostile", &archive.finish()[..]).unwrap()
}

fn reason(error: &DebError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}

#[test]
fn entries_that_no_package_may_hold_are_refused() {
    use tar::EntryType::{Directory, Link, Regular, Symlink, XHeader};
    #[rustfmt::skip]
    let cases: &[(&[Raw<'_>], &str)] = &[
        (&[(b"./../etc/x", Regular, b"")],       "the path `./../etc/x` leads outside of the package"),
        (&[(b"/etc/x", Regular, b"")],           "the path `/etc/x` leads outside of the package"),
        (&[(b"./a//b", Regular, b"")],           "the path `./a//b` leads outside of the package"),
        (&[(b"./a\nb", Regular, b"")],           "the path `./a\\nb` holds bytes that are no plain text"),
        (&[(b"./\xff", Regular, b"")],           "the path `./\u{fffd}` holds bytes that are no plain text"),
        (&[(b"./a", Regular, b""), (b"./a", Regular, b"")],      "`a` is there twice"),
        (&[(b"./a/", Directory, b""), (b"a/", Directory, b"")],  "`a` is there twice"),
        (&[(b"./a", Symlink, b"/etc"), (b"./a/x", Regular, b"")], "`a/x` lies below `a`, which is no folder"),
        (&[(b"./a", Link, b"/etc/passwd")],      "the path `/etc/passwd` leads outside of the package"),
        (&[(b"./a", Link, b"./b")],              "`a` is a hard link to `b`, which is no earlier plain file"),
        (&[(b"./a", Symlink, b"")],              "`a` is a link without a target"),
        (&[(b"./a", tar::EntryType::new(b'V'), b"")], "`a` is of the unknown kind 'V'"),
        (&[(b"./p", XHeader, b"17 path=../etc/x\n"), (b"./a", Regular, b"")], "the path `../etc/x` leads outside of the package"),
        (&[(b"./p", XHeader, b"7 a=b\n"), (b"./a", Regular, b"")],  "an extended header in it is broken"),
        (&[(b"./p", XHeader, b"9 size=9\n"), (b"./a", Regular, b"")], "an extended header in it sets `size`"),
        (&[(b"./p", XHeader, &[0; (1 << 20) + 1])],                 "a header in it is 1048577 bytes long"),
    ];
    for (entries, message) in cases {
        let error = listed(&hostile(entries, "data.tar")).unwrap_err();
        assert_eq!(reason(&error), *message);
        assert!(error.hint().is_some());
    }
}

#[test]
fn a_package_that_unpacks_to_too_much_is_stopped() {
    let mut writer = Writer::new(1, 0).unwrap();
    let zeros = Entry { size: 10 << 20, ..entry("zeros", Kind::File) };
    writer.add(&zeros, &mut io::repeat(0).take(zeros.size)).unwrap();
    let bytes = writer.finish(&Control::parse(CONTROL).unwrap()).unwrap();
    assert!(bytes.len() < 10_000);
    let deb = Deb::read("bomb", &bytes[..]).unwrap();
    let limits = Limits { bytes: 1 << 20, entries: 10 };
    let error = deb.visit(limits, |_, content| {
        io::copy(content, &mut io::sink()).map_err(|source| DebError::Flaw {
            file: "bomb".into(),
            source: Flaw::Unpack { member: "data".into(), source },
        })?;
        Ok::<_, DebError>(())
    });
    assert_eq!(reason(&error.unwrap_err()), "it unpacks to more than 1.0 MB");

    let deb = hostile(&[(&b"./a"[..], tar::EntryType::Regular, &b""[..])], "data.tar");
    let limits = Limits { bytes: 1 << 20, entries: 0 };
    let error = deb.visit(limits, |_, _| Ok::<_, DebError>(())).unwrap_err();
    assert_eq!(reason(&error), "it holds more than 0 files");
}

#[test]
fn a_package_that_is_cut_short_is_refused() {
    let bytes = written(1);
    for length in 0..bytes.len() - 1 {
        // The last byte only fills up to an even length.
        assert!(Deb::read("cut", &bytes[..length]).is_err(), "{length}");
    }
}

#[test]
fn an_unknown_compression_is_refused() {
    let deb = hostile(&[], "data.tar.lz4");
    let error = listed(&deb).unwrap_err();
    let message = "it holds no data archive (.tar, .tar.gz, .tar.xz or .tar.zst)";
    assert_eq!(reason(&error), message);
}

#[test]
fn a_file_of_another_length_than_its_entry_is_not_written() {
    for content in ["", "four", "sixsix"] {
        let mut writer = Writer::new(1, 0).unwrap();
        let five = Entry { size: 5, ..entry("file", Kind::File) };
        assert!(writer.add(&five, &mut content.as_bytes()).is_err(), "{content:?}");
    }
}
