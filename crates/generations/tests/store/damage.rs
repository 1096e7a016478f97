//! What somebody or something has damaged is named, and another generation boots.

use std::fs;

use base::explain::render;
use base::{Digest, Explain};
use generations::check::{CheckError, Damage, Damaged};
use generations::{Generation, Store, Why};

use crate::trial::{KERNEL, Trial};

#[test]
fn a_damaged_layer_is_named() {
    let trial = Trial::with_generations(1);
    let manifest = trial.store.manifest(Generation(1)).unwrap();
    let files = trial.store.layer_files(&manifest.layers[0]);
    let good = fs::read(&files.erofs).unwrap();

    let mut flipped = good.clone();
    flipped[0] ^= 1;
    fs::write(&files.erofs, &flipped).unwrap();
    trial.store.check(Generation(1)).unwrap(); // the quick check does not see it
    let error = trial.store.check_bytes(Generation(1)).unwrap_err();
    assert!(matches!(&error, CheckError::Digest { layer, .. } if layer == "base"), "{error}");

    fs::write(&files.erofs, &good[1..]).unwrap();
    let error = trial.store.check(Generation(1)).unwrap_err();
    assert!(matches!(&error, CheckError::Size { layer, .. } if layer == "base"), "{error}");

    fs::remove_file(&files.erofs).unwrap();
    let error = trial.store.check(Generation(1)).unwrap_err();
    assert!(matches!(&error, CheckError::Unreadable { layer, .. } if layer == "base"), "{error}");
}

#[test]
fn a_manifest_that_was_edited_by_hand_is_named_and_another_generation_boots() {
    #[rustfmt::skip]
    let cases = [
        ("\"image\": \"minimal\"", "\"imgae\": \"minimal\"",                      "imgae"),
        ("\"format\": 1",          "\"format\": 1, \"note\": \"tried this\"",     "note"),
        ("\"erofs\": \"",          "\"erofs\": \"0",                              "digest"),
        ("\"format\": 1",          "\"format\": 2",                               "format 2"),
        ("{",                      "",                                            "malformed"),
    ];
    for (old, new, cause) in cases {
        let trial = Trial::with_generations(2);
        let path = trial.edit_manifest(2, old, new);
        let error = render(&trial.store.manifest(Generation(2)).unwrap_err());
        assert!(error.contains(&path.display().to_string()), "{new}: {error}");
        assert!(error.contains(cause) && error.contains("hint: "), "{new}: {error}");
        let choice = trial.choose(KERNEL);
        assert_eq!(choice.generation, Generation(1), "{new}");
        let Why::FellBack { reason, .. } = choice.why else { panic!("{new}") };
        assert!(reason.hint().is_some(), "{new}");
        let reason = reason.with_causes();
        assert!(reason.contains(&path.display().to_string()), "{new}: {reason}");
    }
}

#[test]
fn a_manifest_that_cannot_be_read_hides_no_damage_of_the_others() {
    let trial = Trial::with_generations(3);
    let manifest = trial.store.manifest(Generation(3)).unwrap();
    let files = trial.store.layer_files(manifest.layers.last().unwrap());
    fs::write(&files.erofs, "other").unwrap();
    let first = trial.edit_manifest(1, "{", "");
    let Damage { files: damaged, manifests } = trial.store.damage().unwrap();
    assert_eq!(damaged.iter().map(|it| &it.path).collect::<Vec<_>>(), [&files.erofs]);
    let [error] = &manifests[..] else { panic!("{manifests:?}") };
    assert!(error.to_string().contains(&first.display().to_string()), "{error}");
}

#[test]
fn a_manifest_whose_layer_is_not_there_is_named_and_another_generation_boots() {
    let trial = Trial::with_generations(2);
    let layer = trial.store.manifest(Generation(2)).unwrap().layers.pop().unwrap();
    let other = Digest::of(b"another");
    trial.edit_manifest(2, &layer.erofs.to_string(), &other.to_string());
    let error = render(&trial.store.check(Generation(2)).unwrap_err());
    assert!(error.contains(&format!("{other}.erofs")) && error.contains("hint: "), "{error}");
    assert_eq!(trial.choose(KERNEL).generation, Generation(1));
}

#[test]
fn a_damaged_file_gives_its_room_to_a_good_copy_and_to_nothing_else() {
    sys::namespace::with_private_mounts(|| {
        let trial = Trial::new();
        let folder = trial.path("");
        sys::Filesystem::new("tmpfs").option("size", "256k").mount(&folder).unwrap();
        let store = Store::create(&folder).unwrap();
        let good = vec![7; 150_000];
        let damaged = Damaged {
            layer: "base".into(),
            path: trial.path("layers/x.erofs"),
            bytes: good.len() as u64,
            digest: Digest::of(&good),
        };
        fs::write(&damaged.path, &good[1..]).unwrap();
        let from = trial.folder().join("brought");
        fs::write(&from, &good[2..]).unwrap();
        store.restore(&damaged, &from).unwrap_err();
        assert_eq!(fs::read(&damaged.path).unwrap(), good[1..]);
        fs::write(&from, &good).unwrap();
        store.restore(&damaged, &from).unwrap();
        assert_eq!(fs::read(&damaged.path).unwrap(), good);
        sys::mount::detach(&folder).unwrap();
    });
}
