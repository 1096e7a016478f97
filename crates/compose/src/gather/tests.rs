use std::path::Path;

use base::progress::Silent;

use super::*;
use crate::sample::{File, package};

fn gathered(packages: &[(&str, &[File<'_>])]) -> Result<(Tree, Vec<Gathered>), GatherError> {
    let dir = tempfile::tempdir().unwrap();
    let inputs: Vec<_> =
        packages.iter().map(|(name, files)| package(dir.path(), name, files)).collect();
    gather(&inputs, &spool(dir.path()), &Silent)
}

fn spool(folder: &Path) -> Spool {
    Spool::create(folder).unwrap()
}

#[test]
fn packages_merge_into_one_tree() {
    let (tree, packages) = gathered(&[
        (
            "b",
            &[("usr", "/"), ("usr/bin", "/"), ("usr/bin/b", "text"), ("usr/bin/c", "=> usr/bin/b")],
        ),
        ("a", &[("usr/bin/a", "-> b")]),
    ])
    .unwrap();
    let (path, node) = tree.resolve("/bin/a").unwrap();
    assert_eq!(path.to_string(), "/usr/bin/b");
    assert_eq!(node.content().unwrap().bytes().unwrap(), b"text");
    let (Some(Kind::File(b)), Some(Kind::File(c))) =
        (tree.get("usr/bin/b").map(|it| &it.kind), tree.get("usr/bin/c").map(|it| &it.kind))
    else {
        panic!("they are no files");
    };
    assert!(Arc::ptr_eq(b, c), "they are not one file");
    let names: Vec<_> = packages.iter().map(|it| it.control.name().as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(packages[1].bytes, 4, "a file with two names counts once");
}

#[test]
fn all_conflicts_are_told_whatever_the_order() {
    let a: &[File<'_>] = &[("usr/bin/x", "1"), ("usr/bin/y", "1"), ("usr/bin/z", "1")];
    let b: &[File<'_>] = &[("usr/bin/x", "1"), ("usr/bin/y", "-> x")];
    for packages in [[("a", a), ("b", b)], [("b", b), ("a", a)]] {
        let error = gathered(&packages).unwrap_err();
        assert_eq!(
            error.to_string(),
            "packages disagree about 2 paths\n  | /usr/bin/x is in the package a and in the package b\
             \n  | /usr/bin/y is in the package a and in the package b"
        );
        assert_eq!(error.hint().unwrap(), "drop /usr/bin/x in the recipe of one of the two");
    }
}

#[test]
fn what_is_not_curated_is_refused() {
    let error = gathered(&[("a", &[("etc/passwd", "x")])]).unwrap_err();
    assert_eq!(error.to_string(), "the package a holds etc/passwd, which is not below /usr");
    let error = gathered(&[("a", &[]), ("a", &[])]).unwrap_err();
    assert_eq!(error.to_string(), "the package a is there twice");
}

#[test]
fn a_package_with_another_digest_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let input = package(dir.path(), "a", &[]);
    let mut bytes = std::fs::read(&input.deb).unwrap();
    bytes.push(0);
    std::fs::write(&input.deb, bytes).unwrap();
    let error = gather(&[input], &spool(dir.path()), &Silent).unwrap_err();
    assert!(matches!(error, GatherError::Digest { .. }), "{error}");
}

#[test]
fn a_kernels_image_stays_out_of_the_layer() {
    let files: &[File<'_>] = &[
        ("usr/lib/modules/6.12-x/config", "CONFIG_A=y"),
        ("usr/lib/modules/6.12-x/vmlinuz.efi", "MZ"),
        ("usr/lib/modules/6.12-x/kernel/vmlinuz.efi", "a module of that name"),
    ];
    let (tree, packages) = gathered(&[("kernel", files)]).unwrap();
    assert!(tree.get("usr/lib/modules/6.12-x/config").is_some());
    assert!(tree.get("usr/lib/modules/6.12-x/vmlinuz.efi").is_none());
    assert!(tree.get("usr/lib/modules/6.12-x/kernel/vmlinuz.efi").is_some());
    assert_eq!(packages[0].paths.len(), 2, "the list of files says the same");
}

#[test]
fn what_does_not_arrive_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = ["a", "b"].map(|name| package(dir.path(), name, &[]));
    let (sender, arrivals) = mpsc::channel();
    sender.send(1).unwrap();
    drop(sender);
    let error = gather_arriving(&inputs, arrivals, &spool(dir.path()), &Silent).unwrap_err();
    assert_eq!(error.to_string(), "1 packages did not arrive");
}
