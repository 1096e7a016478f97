//! Generations get in by copying, and only whole.

use std::fs;

use base::Explain;
use generations::stage::StageError;
use generations::store::LayerFiles;
use generations::{Generation, Store, StoreError, Why};

use crate::trial::{KERNEL, Trial, manifest};

#[test]
fn a_staged_generation_that_is_wanted_is_chosen() {
    let trial = Trial::with_generations(1);
    let choice = trial.choose(KERNEL);
    assert_eq!(choice.generation, Generation(1));
    assert_eq!(choice.manifest, trial.store.manifest(Generation(1)).unwrap());
    assert!(matches!(choice.why, Why::Wanted));
    trial.store.check(Generation(1)).unwrap();
    trial.store.check_bytes(Generation(1)).unwrap();
}

#[test]
fn a_second_generation_shares_layers_and_boots_only_when_wanted() {
    let trial = Trial::with_generations(1);
    let first = trial.store.manifest(Generation(1)).unwrap();
    let (delta, delta_files) = trial.layer("delta");
    let second = manifest(vec![first.layers[0].clone(), delta]);
    // The first layer is in the store already: where it came from need not exist any more.
    let gone = LayerFiles { erofs: "/no/such".into(), verity: "/no/such".into() };
    assert_eq!(trial.store.stage(&second, &[gone, delta_files]).unwrap(), Generation(2));
    assert_eq!(trial.store.generations().unwrap(), [Generation(1), Generation(2)]);
    assert_eq!(trial.choose(KERNEL).generation, Generation(1));
    trial.store.want(Generation(2)).unwrap();
    let choice = trial.choose(KERNEL);
    assert_eq!((choice.generation, choice.manifest), (Generation(2), second));
}

#[test]
fn a_layer_that_was_damaged_is_repaired_when_it_is_staged_again() {
    let trial = Trial::new();
    let (layer, files) = trial.layer("base");
    let manifest = manifest(vec![layer]);
    trial.store.stage(&manifest, std::slice::from_ref(&files)).unwrap();
    fs::write(trial.store.layer_files(&manifest.layers[0]).erofs, "damaged").unwrap();
    let second = trial.store.stage(&manifest, &[files]).unwrap();
    trial.store.check_bytes(second).unwrap();
}

#[test]
fn bytes_that_are_not_the_manifests_never_get_into_the_store() {
    let trial = Trial::with_generations(1);
    let (delta, files) = trial.layer("delta");
    fs::write(&files.verity, "something else").unwrap();
    let error = trial.store.stage(&manifest(vec![delta.clone()]), &[files]).unwrap_err();
    assert!(matches!(error, StageError::WrongBytes { .. }), "{error}");
    assert_eq!(trial.store.generations().unwrap(), [Generation(1)]);
    assert!(!trial.store.layer_files(&delta).verity.exists());
}

#[test]
fn a_manifest_that_says_another_length_than_its_layers_have_is_refused() {
    let trial = Trial::with_generations(1);
    let (mut delta, files) = trial.layer("delta");
    delta.verity_bytes += 1;
    let error = trial.store.stage(&manifest(vec![delta]), &[files]).unwrap_err();
    assert!(matches!(error, StageError::Check(_)), "{error}");
    assert!(error.hint().is_some());
    assert_eq!(trial.store.generations().unwrap(), [Generation(1)]);
}

#[test]
fn a_number_that_is_still_spoken_of_is_not_given_again() {
    let trial = Trial::with_generations(2);
    trial.boots(4); // 2 is given up
    fs::remove_dir_all(trial.path("generations/2")).unwrap();
    assert_eq!(trial.stage(&["base"], KERNEL), Generation(3));
}

#[test]
fn a_generation_that_is_not_there_cannot_be_wanted() {
    let trial = Trial::with_generations(1);
    let error = trial.store.want(Generation(7)).unwrap_err();
    assert!(matches!(error, StoreError::NoSuchGeneration { .. }), "{error}");
    assert!(error.hint().is_some());
    assert_eq!(trial.store.wanted().unwrap().generation, Generation(1));
}

#[test]
fn a_folder_without_a_store_is_said_to_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
}

#[test]
fn one_at_a_time_locks_the_store() {
    let trial = Trial::with_generations(1);
    let lock = trial.store.lock().unwrap();
    let again = Store::open(&trial.path("")).unwrap();
    let error = again.lock().unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(error.hint().is_some());
    trial.store.wanted().unwrap(); // whoever looks is not kept out
    drop(lock);
    let _lock = again.lock().unwrap();
}
