//! A store in a temporary folder, as the build machine, the initrd and the daemon use it.

use std::fs;
use std::path::Path;

use base::{Digest, Explain};
use formats::manifest::{FORMAT, Kernel, Layer, Manifest};
use generations::check::CheckError;
use generations::stage::StageError;
use generations::store::LayerFiles;
use generations::{Generation, Store, StoreError};

/// A layer whose files lie in `folder`.
fn layer(folder: &Path, name: &str) -> (Layer, LayerFiles) {
    let file = |end: &str| {
        let path = folder.join(format!("{name}.{end}"));
        fs::write(&path, format!("{name} {end}")).unwrap();
        (Digest::of_file(&path).unwrap(), fs::metadata(&path).unwrap().len(), path)
    };
    let (erofs, erofs_bytes, erofs_path) = file("erofs");
    let (verity, verity_bytes, verity_path) = file("verity");
    let layer = Layer {
        name: name.into(),
        erofs,
        erofs_bytes,
        verity,
        verity_bytes,
        root_hash: Digest::of(b"root"),
        compression: "lz4".into(),
        cluster_bytes: 4096,
        inputs: Digest::of(b"inputs"),
    };
    (layer, LayerFiles { erofs: erofs_path, verity: verity_path })
}

fn manifest(layers: Vec<Layer>) -> Manifest {
    Manifest {
        format: FORMAT,
        image: "minimal".into(),
        version: "1".into(),
        build_id: "1.1".into(),
        kernel: Kernel {
            release: "6.12.0-preon".into(),
            version: "6.12.0-1".into(),
            uki: Digest::of(b"uki"),
        },
        layers,
        packages: Vec::new(),
        not_rebuilt: [].into(),
        pins: [].into(),
        change: None,
        tools: [].into(),
    }
}

/// A store with one generation of one layer, which is wanted.
fn store(folder: &Path) -> (Store, Manifest, LayerFiles) {
    let (layer, files) = layer(folder, "base");
    let manifest = manifest(vec![layer]);
    let store = Store::create(&folder.join("preon")).unwrap();
    let generation = store.stage(&manifest, std::slice::from_ref(&files)).unwrap();
    store.want(generation).unwrap();
    let files = store.layer_files(&manifest.layers[0]);
    (store, manifest, files)
}

#[test]
fn a_staged_generation_that_is_wanted_is_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let (store, manifest, _) = store(dir.path());
    assert_eq!(store.choose().unwrap(), (Generation(1), manifest));
    store.check(Generation(1)).unwrap();
    store.check_bytes(Generation(1)).unwrap();
}

#[test]
fn a_second_generation_shares_layers_and_boots_only_when_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let (store, first, _) = store(dir.path());
    let (delta, delta_files) = layer(dir.path(), "delta");
    let second = manifest(vec![first.layers[0].clone(), delta]);
    // The first layer is in the store already: where it came from need not exist any more.
    let gone = LayerFiles { erofs: "/no/such".into(), verity: "/no/such".into() };
    assert_eq!(store.stage(&second, &[gone, delta_files]).unwrap(), Generation(2));
    assert_eq!(store.generations().unwrap(), [Generation(1), Generation(2)]);
    assert_eq!(store.choose().unwrap().0, Generation(1));
    store.want(Generation(2)).unwrap();
    assert_eq!(store.choose().unwrap(), (Generation(2), second));
}

#[test]
fn a_layer_that_was_damaged_is_repaired_when_it_is_staged_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, manifest, files) = store(dir.path());
    fs::write(&files.erofs, "damaged").unwrap();
    let (_, good) = layer(dir.path(), "base");
    let second = store.stage(&manifest, &[good]).unwrap();
    store.check_bytes(second).unwrap();
}

#[test]
fn attempts_are_counted_until_something_else_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let (store, ..) = store(dir.path());
    for count in 1..=3 {
        assert_eq!(store.count_attempt().unwrap().attempts, count);
    }
    assert_eq!(store.wanted().unwrap().attempts, 3);
    store.want(Generation(1)).unwrap();
    assert_eq!(store.wanted().unwrap().attempts, 0);
}

#[test]
fn a_generation_that_is_not_there_cannot_be_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let (store, ..) = store(dir.path());
    let error = store.want(Generation(7)).unwrap_err();
    assert!(matches!(error, StoreError::NoSuchGeneration { .. }), "{error}");
    assert!(error.hint().is_some());
    assert_eq!(store.wanted().unwrap().generation, Generation(1));
}

#[test]
fn bytes_that_are_not_the_manifests_never_get_into_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let (store, ..) = store(dir.path());
    let (delta, files) = layer(dir.path(), "delta");
    fs::write(&files.verity, "something else").unwrap();
    let error = store.stage(&manifest(vec![delta.clone()]), &[files]).unwrap_err();
    assert!(matches!(error, StageError::WrongBytes { .. }), "{error}");
    assert_eq!(store.generations().unwrap(), [Generation(1)]);
    assert!(!store.layer_files(&delta).verity.exists());
}

#[test]
fn a_damaged_layer_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, files) = store(dir.path());
    let good = fs::read(&files.erofs).unwrap();

    let mut flipped = good.clone();
    flipped[0] ^= 1;
    fs::write(&files.erofs, &flipped).unwrap();
    store.check(Generation(1)).unwrap(); // the quick check does not see it
    let error = store.check_bytes(Generation(1)).unwrap_err();
    assert!(matches!(&error, CheckError::Digest { layer, .. } if layer == "base"), "{error}");

    fs::write(&files.erofs, &good[1..]).unwrap();
    let error = store.check(Generation(1)).unwrap_err();
    assert!(matches!(&error, CheckError::Size { layer, .. } if layer == "base"), "{error}");

    fs::remove_file(&files.erofs).unwrap();
    let error = store.check(Generation(1)).unwrap_err();
    assert!(matches!(&error, CheckError::Unreadable { layer, .. } if layer == "base"), "{error}");
}

#[test]
fn a_folder_without_a_store_is_said_to_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
}
