//! A repository is published, read by the machine's own apt and by a host, attacked and
//! interrupted.
#![allow(missing_docs, unreachable_pub)]

mod apt;
mod interrupted;
mod remote;
mod sample;
#[path = "../archive/server.rs"]
#[allow(dead_code)]
mod server;

use std::collections::BTreeSet;
use std::fs;

use base::Explain;
use packages::keys::{Replaced, Role};
use packages::publish::{KEPT, LIFE, PublishError, Published, show};
use packages::release::{Keyring, Verify, parse};
use sample::{NOW, SUITE, Sample, deb, deb_with};

fn refused(result: Result<Published, PublishError>) -> String {
    let error = result.unwrap_err();
    assert!(error.hint().is_some(), "{error}");
    base::explain::render(&error)
}

#[test]
fn packages_are_added_to_those_that_are_there() {
    let sample = Sample::new();
    let first = sample.publish(&[deb("a", "1-1+0preon1"), deb("b", "1:2-1+0preon1")], NOW);
    let first = first.unwrap();
    assert_eq!((first.version, first.packages), (1, 2));
    assert_eq!(first.added, ["a_1-1+0preon1_amd64.deb", "b_2-1+0preon1_amd64.deb"]);
    let second = [deb("a", "1-1+0preon1"), deb("a", "1-1+0preon2")];
    let second = sample.publish(&second, NOW + 1).unwrap();
    assert_eq!((second.version, second.packages), (2, 3));
    assert_eq!(second.added, ["a_1-1+0preon2_amd64.deb"]);

    let shown = show(&sample.folder(), SUITE, &sample.keys()).unwrap();
    assert_eq!((shown.version, shown.published, shown.valid_until), (2, NOW + 1, NOW + 1 + LIFE));
    let names = shown.packages.iter().map(|it| format!("{} {}", it.name, it.version));
    assert_eq!(names.collect::<Vec<_>>(), ["a 1-1+0preon1", "a 1-1+0preon2", "b 1:2-1+0preon1"]);
    for package in &shown.packages {
        let size = fs::metadata(sample.folder().join(&package.path)).unwrap().len();
        assert_eq!(size, package.size, "{}", package.path);
    }
}

#[test]
fn the_same_packages_at_the_same_time_give_the_same_bytes_but_for_the_openpgp_signature() {
    let (one, other) = (Sample::new(), Sample::new());
    let debs = [deb("b", "1"), deb("a", "1"), deb("c", "2")];
    one.publish(&debs, NOW).unwrap();
    let mut turned = debs.clone();
    turned.reverse();
    sample::copy_keys(&one, &other);
    other.publish(&turned, NOW).unwrap();
    let (one, other) = (one.tree(), other.tree());
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    let differ: Vec<_> = one.iter().filter(|(path, bytes)| other[*path] != **bytes).collect();
    let differ: Vec<_> = differ.into_iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(differ, [format!("dists/{SUITE}/InRelease")]);
}

#[test]
fn what_is_published_never_changes() {
    let sample = Sample::new();
    sample.publish(&[deb("a", "1")], NOW).unwrap();
    let before = sample.tree();
    let other = deb_with("a", "1", "", &[("usr/bin/a", "other content")]);
    let text = refused(sample.publish(&[deb("b", "1"), other.clone()], NOW + 1));
    assert!(text.contains("a_1_amd64.deb is there already, with other content"), "{text}");
    assert!(text.contains("raise `revision`"), "{text}");
    assert_eq!(sample.tree(), before);
    // Nor may two packages of one publication disagree.
    let text = refused(Sample::new().publish(&[deb("a", "1"), other], NOW));
    assert!(text.contains("with other content"), "{text}");
}

#[test]
fn two_versions_that_claim_one_file_name_are_refused() {
    let sample = Sample::new();
    sample.publish(&[deb("a", "1:2-1")], NOW).unwrap();
    for debs in [vec![deb("a", "2:2-1")], vec![deb("a", "2-1")]] {
        let text = refused(sample.publish(&debs, NOW));
        assert!(text.contains("of a would both be in a_2-1_amd64.deb"), "{text}");
    }
}

#[test]
fn a_control_file_with_fields_of_an_index_or_another_architecture_is_refused() {
    let sample = Sample::new();
    #[rustfmt::skip]
    let cases = [
        ("filename: ../../etc/passwd\n",       "has the field Filename"),
        ("SHA256: 00\n",                       "has the field SHA256"),
        ("Source: ../../x\n",                  "whose name no index can hold"),
    ];
    for (field, message) in cases {
        let text = refused(sample.publish(&[deb_with("a", "1", field, &[])], NOW));
        assert!(text.contains(message), "{text}");
        assert!(!sample.folder().join("dists").exists());
    }
}

#[test]
fn a_package_that_was_damaged_where_it_lies_is_placed_anew() {
    let sample = Sample::new();
    let debs = [deb("a", "1"), deb("b", "1")];
    sample.publish(&debs, NOW).unwrap();
    let good = sample.tree();
    let path = show(&sample.folder(), SUITE, &sample.keys()).unwrap().packages.remove(0).path;
    for damage in
        [fs::write(sample.folder().join(&path), "x"), fs::remove_file(sample.folder().join(&path))]
    {
        damage.unwrap();
        sample.publish(&debs, NOW + 1).unwrap();
        assert_eq!(sample.tree().get(&path), good.get(&path));
    }
}

#[test]
fn a_folder_of_others_and_a_repository_without_its_metadata_are_left_alone() {
    let sample = Sample::new();
    let photo = sample.folder().join("pool/photos/1.jpg");
    fs::create_dir_all(photo.parent().unwrap()).unwrap();
    fs::write(&photo, "").unwrap();
    let text = refused(sample.publish(&[deb("a", "1")], NOW));
    assert!(text.contains("holds pool, but no publication of"), "{text}");
    assert!(photo.exists());

    let sample = Sample::new();
    sample.publish(&[deb("a", "1")], NOW).unwrap();
    let pool =
        sample.tree().into_keys().filter(|path| path.starts_with("pool")).collect::<Vec<_>>();
    fs::rename(sample.folder().join("dists"), sample.path("elsewhere")).unwrap();
    refused(sample.publish(&[deb("b", "1")], NOW + 1));
    assert!(pool.iter().all(|path| sample.folder().join(path).exists()));
}

#[test]
fn links_where_the_repository_has_none_are_refused_and_nothing_is_written_through_them() {
    let suite = format!("dists/{SUITE}");
    for place in
        [".lock", "pool", "pool/main/a", "pool/main/a/a/a_1_amd64.deb", "targets", "dists", &suite]
    {
        let sample = Sample::new();
        sample.publish(&[deb("a", "1")], NOW).unwrap();
        let (path, elsewhere) = (sample.folder().join(place), sample.path("elsewhere"));
        fs::rename(&path, &elsewhere).unwrap();
        if elsewhere.is_file() {
            fs::write(&elsewhere, "somebody's").unwrap();
        }
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        let text = refused(sample.publish(&[deb("a", "1"), deb("a", "2")], NOW + 1));
        assert!(text.contains(&format!("{place} is a symbolic link")), "{text}");
        assert!(path.is_symlink(), "{place}");
        if elsewhere.is_file() {
            assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "somebody's", "{place}");
        }
        assert!(!sample.folder().join("pool/main/a/a/a_2_amd64.deb").exists(), "{place}");
    }
}

#[test]
fn a_package_that_apt_could_not_read_in_an_index_is_refused() {
    let sample = Sample::new();
    let long = format!("X-Long: {}\n", "x".repeat(256 << 10));
    #[rustfmt::skip]
    let cases = [
        ("Breaks: b (<< 1\n",     "the field Breaks of "),
        ("Depends: b [amd64]\n",  "`amd64` is not understood"),
        (long.as_str(),           "and at most 262144 are published"),
    ];
    for (field, message) in cases {
        let text = refused(sample.publish(&[deb_with("a", "1", field, &[])], NOW));
        assert!(text.contains(message), "{text}");
        assert!(!sample.folder().join("dists").exists());
    }
}

#[test]
fn keys_in_the_repository_are_refused() {
    let sample = Sample::new();
    let keys = sample.folder().join("keys");
    fs::create_dir_all(sample.folder()).unwrap();
    fs::rename(sample.keys().folder(), &keys).unwrap();
    let keys = packages::keys::Keys::open(&keys).unwrap();
    let debs = [];
    let folder = sample.folder();
    let request = packages::publish::Request {
        folder: &folder,
        suite: SUITE,
        debs: &debs,
        keys: &keys,
        now: NOW,
    };
    let text = refused(packages::publish::publish(&request, &base::progress::Silent));
    assert!(text.contains("the keys are in the repository"), "{text}");
}

#[test]
fn versions_that_differ_in_their_spelling_only_are_refused() {
    for (one, other) in [("1.0-1", "1.00-1"), ("1", "1-0"), ("1.0", "01.0")] {
        let text = refused(Sample::new().publish(&[deb("a", one), deb("a", other)], NOW));
        assert!(text.contains("a_") && text.contains(other), "{text}");
    }
}

#[test]
fn what_was_never_published_cannot_be_renewed() {
    let sample = Sample::new();
    let text = refused(sample.publish(&[], NOW));
    assert!(text.contains("yet, and there is nothing to publish now"), "{text}");
    assert!(!sample.folder().join("dists").exists());
}

#[test]
fn a_clock_that_went_back_publishes_nothing() {
    let sample = Sample::new();
    sample.publish(&[deb("a", "1")], NOW + 2).unwrap();
    let text = refused(sample.publish(&[deb("b", "1")], NOW + 1));
    assert!(text.contains("it was last published on"), "{text}");
    assert!(text.contains("set this machine's clock"), "{text}");
}

#[test]
fn expired_and_revoked_keys_publish_nothing() {
    let sample = Sample::new();
    let year = 366 * 24 * 60 * 60;
    let text = refused(sample.publish(&[deb("a", "1")], NOW + year));
    assert!(text.contains("the root of the TUF metadata expired"), "{text}");
    let root = |now| sample.keys().rotate(Role::Root, now, Replaced::Retires).unwrap();
    root(NOW + 3 * year);
    let text = refused(sample.publish(&[deb("a", "1")], NOW + 3 * year));
    assert!(text.contains("has expired") && text.contains("forge key rotate openpgp"), "{text}");
    assert!(!sample.folder().join("dists").exists());
}

#[test]
fn after_a_compromise_only_the_new_key_signs_and_what_was_published_is_still_believed() {
    let sample = Sample::new();
    sample.publish(&[deb("a", "1")], NOW).unwrap();
    let old = sample.keyring();
    sample.keys().rotate(Role::OpenPgp, NOW + 1, Replaced::IsCompromised).unwrap();
    sample.keys().rotate(Role::Timestamp, NOW + 1, Replaced::IsCompromised).unwrap();
    sample.publish(&[deb("b", "1")], NOW + 1).unwrap();
    let signed = fs::read(sample.suite().join("InRelease")).unwrap();
    assert!(old.verify(&signed, NOW + 1).is_err());
    assert!(sample.keyring().verify(&signed, NOW + 1).is_ok());
}

#[test]
fn what_somebody_else_signed_or_changed_is_not_published_again() {
    let sample = Sample::new();
    sample.publish(&[deb("a", "1")], NOW).unwrap();
    let stranger = Sample::new();
    sample::copy_keys(&stranger, &sample);
    let text = refused(sample.publish(&[deb("b", "1")], NOW));
    assert!(text.contains("timestamp.json is not what was published"), "{text}");

    let sample = Sample::new();
    sample.publish(&[deb("a", "1")], NOW).unwrap();
    let path = sample.suite().join("main/binary-amd64/Packages");
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("Size: ", "Size: 1")).unwrap();
    let text = refused(sample.publish(&[deb("b", "1")], NOW));
    assert!(text.contains("Packages is not what was published"), "{text}");
}

#[test]
fn old_hosts_keep_the_urls_of_earlier_publications() {
    let sample = Sample::new();
    let listed = || -> BTreeSet<String> {
        let signed = fs::read(sample.suite().join("InRelease")).unwrap();
        let release = parse(&sample.keyring().verify(&signed, NOW + 10 * LIFE).unwrap()).unwrap();
        let packed = release.files.iter().filter(|(path, _)| *path != "main/Contents-amd64");
        packed
            .map(|(path, it)| {
                let (folder, _) = path.rsplit_once('/').unwrap();
                format!("{folder}/by-hash/SHA256/{}", it.digest)
            })
            .collect()
    };
    let there = |path: &String| sample.suite().join(path).is_file();
    sample.publish(&[deb("a", "1")], NOW).unwrap();
    let first = listed();
    assert_eq!(first.len(), 4);
    assert!(first.iter().all(there));
    let long = NOW + LIFE + 1; // the first has expired by then
    for at in 0..KEPT {
        sample.publish(&[deb("a", &format!("2.{at}"))], long + at).unwrap();
        assert!(first.iter().all(there), "after {at} more");
    }
    sample.publish(&[deb("a", "3")], long + KEPT).unwrap();
    let mut packages = first.iter().filter(|path| path.contains("binary-amd64"));
    assert!(!packages.any(there), "they stay for ever");
    assert!(sample.folder().join("pool/main/a/a/a_1_amd64.deb").is_file());
    sample.assert_whole();
}

#[test]
fn contents_name_the_package_of_every_file() {
    let sample = Sample::new();
    let a = deb_with("a", "1", "Section: admin\n", &[("usr/bin/a", "x"), ("usr/share/both", "")]);
    sample.publish(&[a], NOW).unwrap();
    sample.publish(&[deb_with("b", "1", "", &[("usr/share/both", "")])], NOW).unwrap();
    let packed = fs::read(sample.suite().join("main/Contents-amd64.xz")).unwrap();
    let mut text = String::new();
    let mut reader = liblzma::read::XzDecoder::new(&packed[..]);
    std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
    assert_eq!(text, "usr/bin/a admin/a\nusr/share/both admin/a,misc/b\n");
}

#[test]
fn a_second_publisher_has_to_wait() {
    let sample = Sample::new();
    fs::create_dir_all(sample.folder()).unwrap();
    let lock = fs::File::create(sample.folder().join(".lock")).unwrap();
    lock.lock().unwrap();
    let text = refused(sample.publish(&[deb("a", "1")], NOW));
    assert!(text.contains("somebody else is publishing"), "{text}");
}

#[test]
fn the_certificates_lie_in_the_repository() {
    let sample = Sample::new();
    sample.publish(&[deb("a", "1")], NOW).unwrap();
    let keyring = Keyring::load(&sample.folder().join("preon-archive-keyring.gpg")).unwrap();
    let signed = fs::read(sample.suite().join("InRelease")).unwrap();
    assert!(keyring.verify(&signed, NOW).is_ok());
}
