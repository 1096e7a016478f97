use std::collections::BTreeSet;

use base::progress::Silent;
use base::{Explain, explain};
use formats::verity::Superblock;

use super::*;
use crate::scratch::{SmallDisk, image_tools, noise};

/// An image of a layer that cannot be compressed.
fn parts(folder: &Path) -> Parts {
    let erofs = noise(16 << 20);
    let digest = Digest::of(&erofs);
    let size = erofs.len() as u64;
    let superblock = Superblock::new(size, digest, Guid::from_digest(&digest)).unwrap();
    let mut verity = Vec::new();
    let root_hash = superblock.write_tree(&erofs[..], &mut verity).unwrap();
    file::replace(&folder.join("demo.erofs"), &erofs).unwrap();
    file::replace(&folder.join("demo.erofs.verity"), &verity).unwrap();
    let layer = manifest::Layer {
        name: "demo".into(),
        erofs: digest,
        erofs_bytes: size,
        verity: Digest::of(&verity),
        verity_bytes: verity.len() as u64,
        root_hash,
        compression: "lz4".into(),
        cluster_bytes: 65536,
        inputs: Digest::of(b"inputs"),
    };
    let bytes = b"uki".to_vec();
    let kernel = manifest::Kernel {
        release: "6".into(),
        version: "6".into(),
        package: "preon-uki-hardened".parse().unwrap(),
        uki: Digest::of(&bytes),
    };
    let manifest = Manifest {
        format: manifest::FORMAT,
        image: "demo".into(),
        version: "1".into(),
        build_id: "1".into(),
        kernel: kernel.clone(),
        other_kernels: Vec::new(),
        layers: vec![layer.clone()],
        packages: Vec::new(),
        not_rebuilt: BTreeSet::new(),
        pins: BTreeMap::new(),
        change: None,
        tools: BTreeMap::new(),
    };
    let layer = Layer {
        version: "1".into(),
        build_id: "1".into(),
        epoch: 0,
        layer,
        packages: Vec::new(),
        not_rebuilt: BTreeSet::new(),
        tools: BTreeMap::new(),
        folder: folder.to_owned(),
    };
    Parts {
        manifest,
        layers: vec![layer],
        ukis: vec![Uki { kernel, bytes, using: Default::default() }],
        loader: b"loader".to_vec(),
    }
}

#[test]
fn of_two_kernels_both_are_there_and_the_first_boots() {
    let folder = tempfile::tempdir().unwrap();
    let mut parts = parts(folder.path());
    let kernel = manifest::Kernel { release: "7".into(), ..parts.ukis[0].kernel.clone() };
    let alone = identity(&parts);
    parts.ukis.push(Uki { kernel, bytes: b"other".to_vec(), using: Default::default() });
    assert_ne!(identity(&parts), alone, "another disk has other names");
    let files = esp_files(&parts);
    assert_eq!(files[&format!("EFI/Linux/{}", parts.ukis[0].kernel.entry_id())], b"uki");
    assert_eq!(files[&format!("EFI/Linux/{}", parts.ukis[1].kernel.entry_id())], b"other");
    let conf = String::from_utf8(files["loader/loader.conf"].clone()).unwrap();
    assert_eq!(loader::default_entry(&conf), Some(&*parts.ukis[0].kernel.entry_id()), "{conf}");
    assert_eq!(conf.len(), 512);
}

#[test]
fn a_disk_that_is_full_while_an_image_is_written_is_named_and_keeps_the_old_image() {
    drop(image_tools()); // in the namespace there is no network
    testkit::in_namespace(|| {
        let (_context, tools) = image_tools();
        let elsewhere = tempfile::tempdir().unwrap();
        let parts = parts(elsewhere.path());
        let mut stages = Vec::new();
        for kibibytes in (8 << 10..).step_by(2 << 10) {
            let disk = SmallDisk::new(kibibytes);
            let target = disk.path().join("out/demo");
            file::replace(&target.join("disk.raw"), b"old").unwrap();
            let written = put(&target, |folder| write(&Silent, &tools, &parts, folder));
            let names: Vec<_> = disk.path().join("out").read_dir().unwrap().collect();
            assert_eq!(names.len(), 1, "{names:?}");
            let Err(error) = written else { break };
            let text = explain::render(error.as_ref());
            assert!(text.contains("\nhint: free space on the disk that holds "), "{text}");
            assert_eq!(file::read(&target.join("disk.raw")).unwrap(), b"old");
            stages.push(text);
        }
        for stage in [".part/layers/", "data.store", "data.tar", "data.ext4"] {
            assert!(stages.iter().any(|text| text.contains(stage)), "no {stage} in {stages:#?}");
        }
    });
}

#[test]
fn a_disk_that_is_full_while_the_disk_of_an_image_is_written_or_compressed_is_named() {
    testkit::in_namespace(|| {
        let elsewhere = tempfile::tempdir().unwrap();
        let data = elsewhere.path().join("data");
        file::replace(&data, &noise(4 << 20)).unwrap();
        let disk = SmallDisk::new(3 << 10);
        let order = layout::Disk { esp: BTreeMap::new(), data: &data, identity: Digest::of(b"") };
        let error = layout::write(&order, &disk.path().join("disk.raw")).unwrap_err();
        assert!(error.to_string().starts_with("cannot write "), "{error}");
        assert!(error.hint().unwrap().starts_with("free space on the disk that holds "));

        let disk = SmallDisk::new(6 << 10);
        let raw = disk.path().join("disk.raw");
        fs::copy(&data, &raw).unwrap();
        let error = compress(&Silent, &raw).unwrap_err();
        assert!(error.to_string().ends_with("disk.raw.zst"), "{error}");
        assert!(error.hint().unwrap().starts_with("free space on the disk that holds "));
    });
}
