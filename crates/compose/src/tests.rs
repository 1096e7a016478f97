use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use base::progress::Silent;

use super::*;
use crate::sample::{self, package};

fn request(folder: &Path) -> Request {
    let unit = "[Service]\nExecStart=/usr/bin/a\n[Install]\nWantedBy=multi-user.target\n";
    let packages = vec![
        package(
            folder,
            "a",
            &[
                ("usr/bin/a", "#!/bin/sh\n"),
                ("usr/bin/sh", "x"),
                ("usr/lib/systemd/system/a.service", unit),
                ("usr/lib/sysusers.d/preon-a.conf", "u root 0 - /root /bin/sh\ng shadow 42\n"),
                ("usr/share/preon/etc/motd", "hello\n"),
            ],
        ),
        package(folder, "b", &[("usr/bin/b", "-> a")]),
    ];
    Request {
        name: "base".into(),
        base: None,
        packages,
        shown: Vec::new(),
        image: Image {
            presets: [("a.service".to_owned(), true)].into(),
            etc: [("/etc/hostname".to_owned(), "preon\n".to_owned())].into(),
            ..Image::default()
        },
        product: Product {
            version: "0.1".into(),
            build_id: "7".into(),
            image: "minimal".into(),
            not_rebuilt: [].into(),
        },
        epoch: 1_700_000_000,
        compression: Compression { algorithm: algorithm("zstd,12"), cluster_bytes: 65536 },
    }
}

fn algorithm(text: &str) -> Algorithm {
    text.to_owned().try_into().unwrap()
}

fn make(request: &Request, folder: &Path) -> Result<Composed, ComposeError> {
    let workshop = Workshop { folder: folder.join("out"), mkfs: sample::mkfs() };
    compose(request, &workshop, &Silent)
}

/// The layer as the stand-in for mkfs.erofs stores it: names with targets or contents.
fn files(path: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(std::fs::File::open(path).unwrap());
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text).unwrap_or_default();
        if let Some(target) = entry.link_name_bytes() {
            text = format!("-> {}", String::from_utf8_lossy(&target));
        }
        files.insert(String::from_utf8_lossy(&entry.path_bytes()).into_owned(), text);
    }
    files
}

#[test]
fn packages_become_a_layer_that_needs_no_scripts() {
    let dir = tempfile::tempdir().unwrap();
    let composed = make(&request(dir.path()), dir.path()).unwrap();
    let files = files(&composed.erofs);
    for (path, expected) in [
        ("bin/b", "-> a"),
        (
            "share/preon/etc/systemd/system/multi-user.target.wants/a.service",
            "-> /usr/lib/systemd/system/a.service",
        ),
        ("lib/systemd/system-preset/00-preon-image.preset", "enable a.service\n"),
        ("share/preon/etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
        ("share/preon/etc/shadow", "root:*:::::::\n"),
        ("share/preon/etc/hostname", "preon\n"),
        ("share/preon/etc/motd", "hello\n"),
        ("share/preon/etc/os-release", "-> ../usr/lib/os-release"),
        ("share/preon/etc/ld.so.cache", "-> ../usr/lib/preon/ld.so.cache"),
    ] {
        assert_eq!(files.get(path).map(String::as_str), Some(expected), "{path}");
    }
    assert!(files["lib/preon/dpkg/status"].contains("Package: a\n"));
    assert_eq!(composed.findings, []);
    assert_eq!(composed.layer.erofs, Digest::of_file(&composed.erofs).unwrap());
    assert_eq!(composed.layer.verity, Digest::of_file(&composed.verity).unwrap());
    let first = &composed.packages[0];
    assert_eq!((first.version.as_str(), first.debian_version.as_str()), ("1-2+0preon1", "1-2"));
    assert_eq!((first.source.as_str(), first.source_version.as_str()), ("a", "1-2"));
    let names: Vec<_> = std::fs::read_dir(dir.path().join("out")).unwrap().collect();
    assert_eq!(names.len(), 2, "something is left beside the layer: {names:?}");
}

#[test]
fn a_failure_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = request(dir.path());
    request.image.presets.insert("gone.service".into(), true);
    let error = make(&request, dir.path()).unwrap_err();
    let text = base::explain::render(&error);
    assert!(text.contains("enables gone.service, which no package holds\nhint: "), "{text}");
    assert_eq!(std::fs::read_dir(dir.path().join("out")).unwrap().count(), 0);
}

/// Where the other process composes; see the test below.
const FOLDER: &str = "COMPOSE_TEST_FOLDER";

#[test]
fn compose_in_another_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut request = request(folder.as_ref());
    request.packages.reverse();
    make(&request, folder.as_ref()).unwrap();
}

#[test]
fn the_same_inputs_give_the_same_bytes_elsewhere() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let composed = make(&request(here.path()), here.path()).unwrap();
    let script = "umask 077; cd /; exec \"$0\" --exact tests::compose_in_another_process";
    let output = Command::new("/bin/sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .envs([("TZ", "Asia/Tokyo"), ("LC_ALL", "tr_TR.UTF-8"), ("LANG", "tr_TR.UTF-8")])
        .env(FOLDER, there.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    for name in ["base.erofs", "base.erofs.verity"] {
        let bytes = |folder: &Path| std::fs::read(folder.join("out").join(name)).unwrap();
        assert!(bytes(here.path()) == bytes(there.path()), "{name} differs");
    }
    assert!(composed.layer.erofs_bytes > 0);
}

#[test]
fn over_a_base_only_what_differs_is_in_the_layer() {
    let dir = tempfile::tempdir().unwrap();
    let base = request(dir.path());
    let c = package(dir.path(), "c", &[("usr/bin/c", "c"), ("usr/share/preon/etc/c", "c")]);
    let mut above = Request {
        name: "above".into(),
        base: Some(Base::Composed(Box::new(base.clone()))),
        ..base
    };
    above.packages.push(c);
    let composed = make(&above, dir.path()).unwrap();
    let files = files(&composed.erofs);
    let names: Vec<_> = files.keys().map(String::as_str).filter(|it| !it.ends_with('/')).collect();
    for name in
        ["bin/c", "share/preon/etc/c", "lib/preon/dpkg/status", "lib/preon/dpkg/info/c.list"]
    {
        assert!(names.contains(&name), "{name} is missing: {names:?}");
    }
    for name in ["bin/a", "bin/sh", "share/preon/etc/passwd", "lib/preon/dpkg/info/a.list"] {
        assert!(!names.contains(&name), "{name} is in the base already: {names:?}");
    }
    assert!(files["lib/preon/dpkg/status"].contains("Package: a\n"), "the list is of the whole");
    let layers: Vec<_> = composed.packages.iter().map(|it| it.layer.as_str()).collect();
    assert_eq!(layers, ["base", "base", "above"]);
}

/// As where an image has the kernel of another profile than the one beneath: it has one, not two.
#[test]
fn what_the_base_has_and_the_image_has_not_is_neither_listed_nor_seen() {
    let dir = tempfile::tempdir().unwrap();
    let base = request(dir.path());
    let mut above = Request {
        name: "above".into(),
        base: Some(Base::Composed(Box::new(base.clone()))),
        ..base
    };
    above.packages[1] = package(dir.path(), "b-strict", &[("usr/bin/b-strict", "-> a")]);
    let composed = make(&above, dir.path()).unwrap();
    let names: Vec<_> = composed.packages.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["a", "b-strict"]);
    let files = files(&composed.erofs);
    let status = &files["lib/preon/dpkg/status"];
    assert!(status.contains("Package: b-strict\n") && !status.contains("Package: b\n"), "{status}");
    let mut archive = tar::Archive::new(std::fs::File::open(&composed.erofs).unwrap());
    let hidden = archive.entries().unwrap().map(Result::unwrap);
    let hidden = hidden.filter(|it| it.header().entry_type().is_character_special());
    let hidden: Vec<_> =
        hidden.map(|it| String::from_utf8_lossy(&it.path_bytes()).into_owned()).collect();
    for name in ["bin/b", "lib/preon/dpkg/info/b.list"] {
        assert!(hidden.iter().any(|it| it == name), "{name} is seen: {hidden:?}");
    }
}

#[test]
fn whatever_changes_the_bytes_changes_the_digest_of_the_inputs() {
    let dir = tempfile::tempdir().unwrap();
    let first = request(dir.path());
    let digest = inputs_digest(&first);
    let mut other_order = first.clone();
    other_order.packages.reverse();
    assert_eq!(inputs_digest(&other_order), digest);
    let changes: [fn(&mut Request); 10] = [
        |it| it.name.push('x'),
        |it| drop(it.packages.pop()),
        |it| it.image.presets.clear(),
        |it| drop(it.image.etc.insert("/etc/x".into(), String::new())),
        |it| it.image.missing_libraries = ["x".to_owned()].into(),
        |it| it.product.build_id.push('x'),
        |it| it.epoch += 1,
        |it| it.compression.algorithm = algorithm("zstd,11"),
        |it| it.compression.cluster_bytes += 1,
        |it| it.base = Some(Base::Composed(Box::new(it.clone()))),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut changed = first.clone();
        change(&mut changed);
        assert_ne!(inputs_digest(&changed), digest, "change {at}");
    }
}
