use std::io::Read as _;

use compose::path::UsrPath;
use compose::tree::{Kind, Node, Origin};

use super::*;

fn definition() -> ImageDefinition {
    ImageDefinition::parse(
        "summary = \"Base\"\npackages = []\n[container]\ncommand = [\"/bin/bash\"]\n\
         environment = { LANG = \"C.UTF-8\" }\n",
    )
}

fn tree() -> Tree {
    let mut tree = Tree::default();
    let shared = Node { mode: 0o4755, gid: 42, ..Node::file("text", Origin::Composed) };
    for (path, node) in [
        ("usr/bin/a", shared.clone()),
        ("usr/bin/b", shared),
        ("usr/lib/gone", Node::new(Kind::Whiteout, Origin::Composed)),
        ("usr/lib/preon/dpkg/status", Node::file("", Origin::Composed)),
        ("usr/share/preon/etc/passwd", Node::file("root", Origin::Composed)),
        (
            "usr/share/preon/etc/os-release",
            Node::symlink("../usr/lib/os-release", Origin::Composed),
        ),
    ] {
        tree.add(UsrPath::new(path).unwrap(), node).unwrap();
    }
    tree
}

const LABEL: Label<'_> = Label { name: "preon", tag: "1", epoch: 1_795_521_600 };

/// The files of a tar stream by path.
fn files(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(bytes);
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        assert_eq!(entry.header().mtime().unwrap(), 0);
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        files.insert(entry.path().unwrap().to_str().unwrap().to_owned(), content);
    }
    files
}

fn written() -> (Made, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("image.tar");
    let made = write(&tree(), &definition(), LABEL, &out).unwrap();
    (made, std::fs::read(out).unwrap())
}

#[test]
fn every_digest_in_the_layout_is_that_of_the_blob_it_names() {
    let (made, bytes) = written();
    let files = files(&bytes);
    let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let bytes = &files[&format!("blobs/sha256/{digest}")];
        assert_eq!(Digest::of(bytes).to_string(), digest);
        assert_eq!(descriptor["size"], bytes.len() as u64);
        bytes.clone()
    };
    let index = parse(&files["index.json"]);
    assert_eq!(index["manifests"][0]["digest"], format!("sha256:{}", made.manifest));
    let manifest = parse(&blob(&index["manifests"][0]));
    let config = parse(&blob(&manifest["config"]));
    let layer = blob(&manifest["layers"][0]);
    assert_eq!(layer.len() as u64, made.layer_bytes);
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&layer[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"], json!([format!("sha256:{}", Digest::of(&unpacked))]));

    // What Docker without containerd's store reads names the same blobs.
    let docker = parse(&files["manifest.json"]);
    let path = |descriptor: &Value| {
        descriptor["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/")
    };
    assert_eq!(docker[0]["Config"], path(&manifest["config"]));
    assert_eq!(docker[0]["Layers"], json!([path(&manifest["layers"][0])]));
    assert_eq!(docker[0]["RepoTags"], json!(["preon:1"]));
    assert_eq!(made.reference, "preon:1");
}

#[test]
fn the_configuration_says_what_runs_and_with_which_environment() {
    let config = config(&definition(), LABEL, Digest::of(b""));
    assert_eq!(config["config"]["Cmd"], json!(["/bin/bash"]));
    assert_eq!(config["config"]["Env"], json!(["LANG=C.UTF-8", format!("PATH={PATH}")]));
    assert_eq!(config["created"], "2026-11-24T12:00:00Z", "what `docker images` shows as its age");
}

#[test]
fn the_root_has_etc_in_its_place_and_the_links_of_merged_usr() {
    let mut bytes = Vec::new();
    rootfs::write(&tree(), &mut bytes).unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut lines = Vec::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let link = entry.link_name().unwrap();
        let link = link.map(|link| format!(" -> {}", link.display())).unwrap_or_default();
        let (mode, gid) = (entry.header().mode().unwrap(), entry.header().gid().unwrap());
        lines.push(format!("{mode:o} {gid} {}{link}", entry.path().unwrap().display()));
    }
    let expected = [
        "777 0 bin -> usr/bin",
        "1777 0 tmp/",
        "555 0 proc/",
        "644 0 etc/passwd",
        "777 0 etc/os-release -> ../usr/lib/os-release",
        "777 0 var/lib/dpkg -> ../../usr/lib/preon/dpkg",
        "4755 42 usr/bin/a",
        "4755 42 usr/bin/b -> usr/bin/a",
    ];
    for line in expected {
        assert!(lines.contains(&line.to_owned()), "{line}\n{lines:#?}");
    }
    let absent = ["sbin", "lib64", "usr/lib/gone", "usr/share/preon/etc/passwd"];
    for path in absent {
        assert!(!lines.iter().any(|line| line.contains(&format!(" {path}"))), "{path}\n{lines:#?}");
    }
    let position = |path: &str| lines.iter().position(|line| line.ends_with(path)).unwrap();
    assert!(position(" etc/") < position(" etc/passwd"), "folders come first");
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    assert_eq!(written(), written());
}
