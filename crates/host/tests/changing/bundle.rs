//! A host that reaches no mirror is upgraded from a file.

use std::fs;
use std::path::{Path, PathBuf};

use base::explain;
use base::progress::Silent;
use generations::Generation;
use host::bundle::{self, Installed, Unpacked};
use host::transaction::{Asked, How, Outcome};
use packages::change::Wish;

use crate::world::World;
use crate::{BASE, BASE_2, LIBBASE, install, upgrade, world};

fn create(world: &World, name: &str, words: &str, wish: &Wish) -> PathBuf {
    let path = world.path(name);
    let host = world.host();
    let installed = Installed::on(&host).unwrap();
    let made = bundle::create(&host, &path, (words, wish, &installed), &Silent).unwrap();
    assert_eq!(made.packages, 1);
    path
}

fn apply(world: &World, path: &Path, wish: Wish) -> Result<Outcome, String> {
    let asked = Asked { words: "upgrade".into(), wish, how: How::Apply };
    let told = |failure: base::Failure| explain::render(failure.as_ref());
    apply_as(world, path, &asked).map_err(told)
}

pub(crate) fn apply_as(
    world: &World,
    path: &Path,
    asked: &Asked,
) -> Result<Outcome, base::Failure> {
    let host = world.host();
    Unpacked::of(&host, path)?.apply(&host, asked, &Silent)
}

/// Takes the network away, and what was fetched before.
fn cut_off(world: &World) {
    let _ = fs::remove_dir_all(world.on_host("/var/cache/preon"));
    world.mirrors(&["http://127.0.0.1:1".into()]); // nobody listens there
}

/// The bundle is refused for this reason, and the host is as it was.
fn refused(world: &World, bytes: &[u8], why: &str) {
    let path = world.path("refused.tar");
    fs::write(&path, bytes).unwrap();
    let before = world.everything();
    let error = apply(world, &path, upgrade(false)).unwrap_err();
    assert!(error.contains(why) && error.contains("hint: "), "{why}: {error}");
    assert!(world.everything() == before, "{why}: a refused bundle has changed the host");
    assert!(!world.on_host("/var/cache/preon/bundle").exists(), "{why}: something is left");
}

#[test]
fn a_host_that_reaches_no_mirror_is_upgraded_from_a_bundle() {
    let world = world();
    world.publish(&[BASE_2]);
    let path = create(&world, "bundle.tar", "upgrade", &upgrade(false));
    cut_off(&world);
    world.change("upgrade", upgrade(false)).unwrap_err();
    assert_eq!(apply(&world, &path, upgrade(false)).unwrap().generation, Some(2));
    assert_eq!(world.packages(2), ["*base 2-1+0preon1 delta", "libbase 1-1+0preon1 base"]);
    assert!(!world.on_host("/var/cache/preon/bundle").exists());
    world.boot();
    assert_eq!(apply(&world, &path, upgrade(false)).unwrap().generation, None, "nothing is new");
    let error = apply(&world, &path, install("git")).unwrap_err();
    assert!(
        error.contains("lacks git_2-1+0preon1_amd64.deb, and was made for `upgrade`"),
        "{error}"
    );
}

#[test]
fn a_bundle_is_made_for_another_host_than_the_one_that_makes_it() {
    let world = world();
    let other = Installed::on(&world.host()).unwrap();
    world.publish(&[BASE_2]);
    world.change("upgrade", upgrade(false)).unwrap();
    world.boot();
    let (here, wish) = (world.host(), upgrade(false));
    let ours = Installed::on(&here).unwrap();
    let make = |installed| {
        bundle::create(&here, &world.path("bundle.tar"), ("upgrade", &wish, installed), &Silent)
    };
    assert!(make(&ours).unwrap_err().to_string().contains("nothing to do"));
    assert!(!world.path("bundle.tar").exists());
    let json = serde_json::to_vec(&other).unwrap();
    fs::write(world.path("other.json"), json).unwrap();
    assert_eq!(make(&Installed::read(&world.path("other.json")).unwrap()).unwrap().packages, 1);
    // The other host.
    world.store().want(Generation(1)).unwrap();
    world.boot();
    cut_off(&world);
    assert_eq!(
        apply(&world, &world.path("bundle.tar"), upgrade(false)).unwrap().generation,
        Some(3)
    );
}

#[test]
fn what_a_bundle_says_of_itself_is_shown_and_nothing_in_it_is_obeyed() {
    let world = world();
    world.publish(&[BASE_2]);
    let path = create(&world, "bundle.tar", "upgrade\x1b[2J\nhint: x", &upgrade(false));
    cut_off(&world);
    let says = Unpacked::of(&world.host(), &path).unwrap().says();
    assert_eq!(says.asked, "upgrade\\u{1b}[2J\\nhint: x");
    assert_eq!(says.suites, ["preon-trixie"]);
    let error = apply(&world, &path, install("git")).unwrap_err();
    assert!(error.contains("lacks git_") && !error.contains('\x1b'), "{error}");

    let mut tar = tar::Builder::new(Vec::new());
    let contents = br#"{"format": 1, "asked": "upgrade", "at": 1, "suites": ["a\u001bc"]}"#;
    let mut header = tar::Header::new_ustar();
    header.set_size(contents.len() as u64);
    tar.append_data(&mut header, "bundle.json", &contents[..]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(0);
    let mut strange = tar::Builder::new(Vec::new());
    strange.append_data(&mut header, "x\x1bc", &b""[..]).unwrap();
    for (bytes, why) in [
        (tar.into_inner().unwrap(), "it is of a\\u{1b}c"),
        (strange.into_inner().unwrap(), "an entry that no bundle has: x\\u{1b}c"),
    ] {
        refused(&world, &bytes, why);
    }
}

#[test]
fn a_bundle_of_an_older_date_or_of_a_stranger_is_refused() {
    let world = world();
    world.publish(&[BASE_2]);
    let old = fs::read(create(&world, "old.tar", "upgrade", &upgrade(false))).unwrap();
    world.publish(&[("libbase", "2-1+0preon1", "", &[("usr/lib/libbase", "2")])]);
    world.ask_what_an_upgrade_would_be();
    cut_off(&world);
    refused(&world, &old, "its metadata is older than what this host has seen");
    let stranger = World::new(&[BASE, LIBBASE]);
    stranger.publish(&[BASE_2]);
    let theirs = fs::read(create(&stranger, "theirs.tar", "upgrade", &upgrade(false))).unwrap();
    refused(&world, &theirs, "its metadata is not signed by the keys that this host knows");
}

#[test]
fn a_bundle_that_is_cut_short_is_refused() {
    let world = world();
    world.publish(&[BASE_2]);
    let whole = fs::read(create(&world, "bundle.tar", "upgrade", &upgrade(false))).unwrap();
    cut_off(&world);
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for part in 0..24 {
        refused(&world, &whole[..end * part / 24], "");
    }
    apply(&world, &world.path("bundle.tar"), upgrade(false)).unwrap();
}

#[test]
fn a_flipped_bit_in_a_bundle_is_found_or_matters_to_nobody() {
    let world = world();
    world.publish(&[BASE_2]);
    let whole = fs::read(create(&world, "bundle.tar", "upgrade", &upgrade(false))).unwrap();
    cut_off(&world);
    let before = world.everything();
    let path = world.path("flipped.tar");
    let mut found = 0;
    // Fillings between files are zeros; nobody reads them, nor what the bundle says that it was made for.
    let places: Vec<_> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    for at in places.iter().step_by(places.len() / 60) {
        let mut bytes = whole.clone();
        bytes[*at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let asked = Asked { words: String::new(), wish: upgrade(false), how: How::Stage };
        match apply_as(&world, &path, &asked) {
            Err(_) => found += 1,
            Ok(outcome) => {
                let generation = outcome.generation.unwrap();
                assert_eq!(world.packages(generation)[0], "*base 2-1+0preon1 delta", "byte {at}");
                world.store().want(Generation(1)).unwrap();
                world.store().collect(&[].into()).unwrap();
                let _ = fs::remove_dir_all(
                    world.store().generation_folder(Generation(1)).join("etc.1"),
                );
            }
        }
        let wanted = world.on_host(generations::STORE).join("wanted");
        let same = |all: &[(PathBuf, Vec<u8>)]| {
            all.iter().filter(|it| it.0 != wanted).cloned().collect::<Vec<_>>()
        };
        assert!(same(&world.everything()) == same(&before), "byte {at} has changed the host");
        let _ = fs::remove_dir_all(world.on_host("/var/cache/preon/archive"));
    }
    assert!(found >= 45, "{found} of 60 flips were found");
}

#[test]
fn what_no_bundle_has_is_refused_and_written_nowhere() {
    let world = world();
    let archive = |kind: tar::EntryType, name: &str, link: &str| {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        let field = &mut header.as_old_mut().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_link_name(link).unwrap();
        header.set_size(0);
        header.set_cksum();
        tar.append(&header, std::io::empty()).unwrap();
        tar.into_inner().unwrap()
    };
    #[rustfmt::skip]
    let cases = [
        (tar::EntryType::Regular, "../../../../etc/own",       "x"),
        (tar::EntryType::Regular, "/etc/own",                  "x"),
        (tar::EntryType::Symlink, "repositories/0/targets/a/b", "/etc"),
        (tar::EntryType::Link,    "repositories/0/targets/a/b", "/etc/passwd"),
        (tar::EntryType::Char,    "bundle.json",               "x"),
        (tar::EntryType::GNULongName, "././@LongLink",         "x"),
    ];
    for (kind, name, link) in cases {
        refused(&world, &archive(kind, name, link), "an entry that no bundle has");
    }
    refused(&world, b"", "is no whole bundle");
    let mut huge = archive(tar::EntryType::Regular, "repositories/0/targets/a/b", "x");
    let mut header = tar::Header::from_byte_slice(&huge[..512]).clone();
    header.set_size(1 << 50);
    header.set_cksum();
    huge[..512].copy_from_slice(header.as_bytes());
    refused(&world, &huge, "needs 1");
}
