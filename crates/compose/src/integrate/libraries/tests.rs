use super::*;
use crate::elf::sample;

fn library(soname: &str, needed: &[&str], search: &[&str]) -> Node {
    let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
    let linkage = Linkage {
        interpreter: None,
        soname: Some(soname.to_owned()).filter(|name| !name.is_empty()),
        needed: words(needed),
        search: words(search),
    };
    Node::file(sample::elf(&linkage), Origin::Package("a".parse().unwrap()))
}

fn tree(nodes: Vec<(&str, Node)>) -> Tree {
    let mut tree = Tree::default();
    for (path, node) in nodes {
        tree.add(UsrPath::new(path).unwrap(), node).unwrap();
    }
    tree
}

fn missing(nodes: Vec<(&str, Node)>, allowed: &[&str]) -> Vec<String> {
    let tree = tree(nodes);
    let allowed = allowed.iter().map(|name| (*name).to_owned()).collect();
    match Libraries::read(&tree).unwrap().check(&tree, &allowed) {
        Err(LibraryError::Missing(missing)) => {
            missing.iter().map(|it| format!("{} {}", it.file, it.library)).collect()
        }
        other => {
            other.unwrap();
            Vec::new()
        }
    }
}

#[test]
fn a_library_is_found_in_the_loaders_folders_and_in_those_that_the_file_names() {
    let link = |target: &str| Node::symlink(target, Origin::Composed);
    let nodes = vec![
        ("usr/bin/x", library("", &["liba.so.1", "libp.so"], &["$ORIGIN/../lib/private"])),
        ("usr/lib/x86_64-linux-gnu/liba.so.1", link("liba.so.1.2")),
        ("usr/lib/x86_64-linux-gnu/liba.so.1.2", library("liba.so.1", &[], &[])),
        ("usr/lib/private/libp.so", library("libp.so", &["libq.so"], &["/lib/private"])),
        ("usr/lib/private/libq.so", library("libq.so", &["libo.so"], &[])),
        ("usr/lib/other/libo.so", library("libo.so", &[], &[])),
        (
            "usr/share/preon/etc/ld.so.conf.d/o.conf",
            Node::file("# x\n/lib/other # y\n", Origin::Composed),
        ),
    ];
    assert_eq!(missing(nodes, &[]), [""; 0]);
}

#[test]
fn what_a_program_has_loaded_serves_its_libraries_too() {
    let program = Linkage {
        interpreter: Some("/usr/lib/ld.so".into()),
        needed: vec!["libcore.so".into(), "libshared.so".into()],
        search: vec!["/usr/lib/private".into()],
        ..Linkage::default()
    };
    let nodes = |program: Vec<u8>| {
        vec![
            ("usr/bin/x", Node::file(program, Origin::Composed)),
            ("usr/lib/ld.so", library("ld.so", &[], &[])),
            ("usr/lib/private/libcore.so", library("libcore.so", &["libshared.so"], &[])),
            ("usr/lib/private/libshared.so", library("libshared.so", &[], &[])),
        ]
    };
    assert_eq!(missing(nodes(sample::elf(&program)), &[]), [""; 0]);
    // Without the program nobody would find it.
    let alone = ["/usr/lib/private/libcore.so libshared.so"];
    assert_eq!(missing(nodes(Vec::new()), &[]), alone);
}

#[test]
fn what_is_missing_is_named_with_the_file_that_needs_it() {
    let nodes = || {
        vec![
            ("usr/bin/x", library("", &["liba.so.1", "libb.so.1", "libc.so.1"], &[])),
            ("usr/lib/private/liba.so.1", library("liba.so.1", &[], &[])), // not searched
            ("usr/lib/libb.so.1", Node::file("text", Origin::Composed)),   // no library
        ]
    };
    let all = ["/usr/bin/x liba.so.1", "/usr/bin/x libb.so.1", "/usr/bin/x libc.so.1"];
    assert_eq!(missing(nodes(), &[]), all);
    assert_eq!(missing(nodes(), &["libc.so.1", "libb.so.1"]), all[..1]);
}

#[test]
fn a_program_needs_its_loader() {
    let program = Linkage { interpreter: Some("/lib64/ld.so.2".into()), ..Linkage::default() };
    let program = || Node::file(sample::elf(&program), Origin::Composed);
    assert_eq!(missing(vec![("usr/bin/x", program())], &[]), ["/usr/bin/x /lib64/ld.so.2"]);
    let loader = ("usr/lib64/ld.so.2", library("ld.so.2", &[], &[]));
    assert_eq!(missing(vec![("usr/bin/x", program()), loader], &[]), [""; 0]);
}

#[test]
fn the_cache_names_each_library_once_by_the_name_that_programs_ask_for() {
    let link = |target: &str| Node::symlink(target, Origin::Composed);
    let tree = tree(vec![
        ("usr/lib/x86_64-linux-gnu/liba.so", link("liba.so.1")), // for compilers: not asked for
        ("usr/lib/x86_64-linux-gnu/liba.so.1", link("liba.so.1.2")),
        ("usr/lib/x86_64-linux-gnu/liba.so.1.2", library("liba.so.1", &[], &[])),
        ("usr/lib/liba.so.1", library("liba.so.1", &[], &[])), // a later folder
        ("usr/lib/x86_64-linux-gnu/deep/libd.so.1", library("libd.so.1", &[], &[])),
    ]);
    let cached: Vec<_> = Libraries::read(&tree).unwrap().cached(&tree).into_iter().collect();
    assert_eq!(cached, [("liba.so.1".into(), "/usr/lib/x86_64-linux-gnu/liba.so.1".into())]);
}
