use std::fs;
use std::path::{Path, PathBuf};

use base::explain::render;
use base::progress::Silent;

use super::*;
use crate::sample::{self, package};
use crate::{
    Base, Beneath, Composed, Compression, Input, Request, Workshop, compose, inputs_digest,
};

fn request(name: &str, packages: Vec<Input>) -> Request {
    Request {
        name: name.into(),
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
            build_id: String::new(),
            image: "minimal".into(),
            not_rebuilt: ["b".parse().unwrap()].into(),
        },
        epoch: 1_700_000_000,
        compression: Compression {
            algorithm: "lz4".to_owned().try_into().unwrap(),
            cluster_bytes: 65536,
        },
    }
    .named()
}

fn a(folder: &Path) -> Input {
    let unit = "[Service]\nExecStart=/usr/bin/a\n[Install]\nWantedBy=multi-user.target\n";
    let files = [
        ("usr/bin/a", "#!/bin/sh\n"),
        ("usr/bin/sh", "x"),
        ("usr/bin/ash", "=> usr/bin/sh"),
        ("usr/lib/empty", "/"),
        ("usr/lib/systemd/system/a.service", unit),
        ("usr/lib/sysusers.d/preon-a.conf", "u root 0 - /root /bin/sh\ng shadow 42\n"),
        ("usr/share/doc/a/copyright", "All mine.\n"),
        ("usr/share/preon/etc/motd", "hello\n"),
    ];
    package(folder, "a", &files)
}

fn b(folder: &Path) -> Input {
    package(folder, "b", &[("usr/bin/b", "-> a"), ("usr/share/b/one", "1"), ("usr/lib/both", "x")])
}

fn c(folder: &Path) -> Input {
    package(folder, "c", &[("usr/bin/c", "c"), ("usr/lib/both", "y"), ("usr/lib/empty", "/")])
}

/// A host that shows what was composed: layers as folders, one over another.
struct Host {
    dir: tempfile::TempDir,
    layers: Vec<Composed>,
}

impl Host {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), layers: Vec::new() }
    }

    fn folder(&self) -> &Path {
        self.dir.path()
    }

    fn usr(&self) -> PathBuf {
        self.folder().join(format!("usr{}", self.layers.len()))
    }

    fn compose(&self, request: &Request) -> Composed {
        let workshop = Workshop { folder: self.folder().join("out"), mkfs: sample::mkfs() };
        compose(request, &workshop, &Silent).unwrap()
    }

    /// Lays the layer over what is shown; the folder of what was shown before stays as it was.
    fn show(&mut self, layer: Composed) {
        let before = self.usr();
        self.layers.push(layer);
        let usr = self.usr();
        let run = |program: &str, from: &Path| {
            let status = std::process::Command::new(program).arg("-a").args([from, &usr]).status();
            assert!(status.unwrap().success());
        };
        if before.exists() {
            run("cp", &before);
        } else {
            fs::create_dir(&usr).unwrap();
        }
        sample::lay_over(&self.layers.last().unwrap().erofs, &usr);
    }

    /// The request to compose over what is shown, with these packages of it.
    fn over(&self, name: &str, keep: &[&str], more: Vec<Input>) -> Request {
        let shown = Shown::read(&self.usr()).unwrap();
        let kept = shown.packages.iter().filter(|it| keep.contains(&it.control().name().as_str()));
        let top = self.layers.last().unwrap();
        let beneath = Beneath { inputs: top.layer.inputs, packages: top.packages.clone() };
        let kept = kept.cloned().collect();
        assert_eq!(shown.description.product.image, "minimal");
        let base = Some(Base::Shown(Box::new(shown), beneath));
        Request { base, shown: kept, ..request(name, more) }.named()
    }
}

fn over(base: &Request, name: &str, packages: Vec<Input>) -> Request {
    Request { base: Some(Base::Composed(Box::new(base.clone()))), ..request(name, packages) }
        .named()
}

/// Proves that both requests give the same layer.
fn same(host: &Host, one: &Request, other: &Request) -> Composed {
    assert_eq!(inputs_digest(one), inputs_digest(other));
    let one = host.compose(one);
    let bytes = fs::read(&one.erofs).unwrap();
    let other = host.compose(other);
    assert!(bytes == fs::read(&other.erofs).unwrap(), "{}: other bytes", one.layer.name);
    assert_eq!(one.layer, other.layer);
    assert_eq!(one.packages, other.packages);
    other
}

#[test]
fn over_what_a_host_shows_the_same_layers_are_composed_as_over_packages() {
    let mut host = Host::new();
    let folder = host.folder().to_owned();
    let base = request("base", vec![a(&folder), b(&folder)]);
    host.show(host.compose(&base));

    // One package goes, another one comes, with a path of the first in it.
    let first = over(&base, "first", vec![a(&folder), c(&folder)]);
    let layer = same(&host, &first, &host.over("first", &["a"], vec![c(&folder)]));
    let homes: Vec<_> = layer.packages.iter().map(|it| (it.name.as_str(), &*it.layer)).collect();
    assert_eq!(homes, [("a", "base"), ("c", "first")]);
    host.show(layer);
    assert!(!host.usr().join("share/b").exists() && !host.usr().join("bin/b").exists());
    assert_eq!(fs::read_to_string(host.usr().join("lib/both")).unwrap(), "y");

    // Over two layers: back again.
    let second = over(&first, "second", vec![a(&folder), b(&folder)]);
    let layer = same(&host, &second, &host.over("second", &["a"], vec![b(&folder)]));
    host.show(layer);
    assert_eq!(fs::read_to_string(host.usr().join("lib/both")).unwrap(), "x");
    assert!(!host.usr().join("bin/c").exists());
}

#[test]
fn layers_over_a_base_are_folded_into_the_one_that_would_be_composed_afresh() {
    let mut host = Host::new();
    let folder = host.folder().to_owned();
    let base = request("base", vec![a(&folder), b(&folder)]);
    host.show(host.compose(&base));
    let lowest = Shown::read(&host.usr()).unwrap();
    let beneath =
        Beneath { inputs: inputs_digest(&base), packages: host.layers[0].packages.clone() };
    host.show(host.compose(&host.over("first", &["a"], vec![c(&folder)])));
    let d = package(&folder, "d", &[("usr/bin/d", "d")]);
    host.show(host.compose(&host.over("second", &["a", "c"], vec![d.clone()])));

    let afresh = over(&base, "folded", vec![a(&folder), c(&folder), d]);
    let all = Shown::read(&host.usr()).unwrap().packages;
    let folded = Request {
        base: Some(Base::Shown(Box::new(lowest), beneath)),
        shown: all,
        ..request("folded", Vec::new())
    };
    same(&host, &afresh, &folded.named());
}

#[test]
fn what_is_beneath_is_not_read_unless_it_is_looked_at() {
    let mut host = Host::new();
    let folder = host.folder().to_owned();
    host.show(host.compose(&request("base", vec![a(&folder), b(&folder)])));
    for path in ["bin/a", "bin/sh", "share/b/one", "share/doc/a/copyright", "share/preon/etc/motd"]
    {
        fs::remove_file(host.usr().join(path)).unwrap();
    }
    let d = package(&folder, "d", &[("usr/bin/d", "d")]);
    let layer = host.compose(&host.over("delta", &["a", "b"], vec![d]));
    assert!(layer.packages.iter().any(|package| package.layer == "delta"));
}

#[test]
fn packages_that_disagree_with_what_is_shown_are_refused() {
    let mut host = Host::new();
    let folder = host.folder().to_owned();
    host.show(host.compose(&request("base", vec![a(&folder), b(&folder)])));
    let workshop = Workshop { folder: folder.join("out"), mkfs: sample::mkfs() };
    for (more, expected) in [
        (c(&folder), "/usr/lib/both is in the package c and in the package b"),
        (a(&folder), "the package a is there twice"),
    ] {
        let request = host.over("delta", &["a", "b"], vec![more]);
        let error = compose(&request, &workshop, &Silent).unwrap_err();
        assert!(render(&error).contains(expected), "{}", render(&error));
    }
}

#[test]
fn a_host_that_does_not_say_what_it_is_made_of_is_refused() {
    let mut host = Host::new();
    let folder = host.folder().to_owned();
    host.show(host.compose(&request("base", vec![a(&folder)])));
    let error = |path: &str, text: Option<&str>| {
        let path = host.usr().join(path);
        let before = fs::read(&path).unwrap();
        match text {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let error = Shown::read(&host.usr()).unwrap_err();
        fs::write(&path, before).unwrap();
        render(&error)
    };
    let whole = "lib/preon/index.json";
    let missing = error(whole, None);
    assert!(missing.contains("nothing says what this system is made of\nhint: "), "{missing}");
    let newer = error(whole, Some("{\"format\": 2, \"more\": 1}"));
    assert!(newer.contains("has format 2, but only format 1 is understood"), "{newer}");
    for text in ["", "{", "{\"control\": \"Package: a\\n\"}"] {
        let malformed = error("lib/preon/index/a.json", Some(text));
        assert!(malformed.contains("index/a.json is malformed\n"), "{malformed}");
    }
    Shown::read(&host.usr()).unwrap();
}
