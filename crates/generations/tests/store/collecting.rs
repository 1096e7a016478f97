//! What nobody needs goes, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use generations::{Generation, StoreError};

use crate::trial::{KERNEL, Trial};

fn keep(numbers: &[u64]) -> BTreeSet<Generation> {
    numbers.iter().copied().map(Generation).collect()
}

fn numbers(trial: &Trial) -> Vec<u64> {
    trial.store.generations().unwrap().iter().map(|generation| generation.0).collect()
}

/// All bytes below a folder.
fn bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { bytes(&path) } else { path.metadata().unwrap().len() })
        .sum()
}

#[test]
fn generations_that_nobody_keeps_go_with_the_layers_that_only_they_had() {
    let trial = Trial::with_generations(5);
    trial.store.want(Generation(2)).unwrap();
    trial.store.bless(Generation(2)).unwrap();
    trial.store.want(Generation(5)).unwrap();
    let before = bytes(&trial.path(""));
    let would = trial.store.garbage(&keep(&[4])).unwrap();
    assert_eq!(bytes(&trial.path("")), before, "only to ask removes nothing");
    let collected = trial.store.collect(&keep(&[4])).unwrap();
    assert_eq!(collected, would);
    assert_eq!(collected.generations, [1, 3].map(Generation));
    assert_eq!(collected.layers.len(), 4);
    assert_eq!(collected.freed.0, before - bytes(&trial.path("")));
    assert_eq!(numbers(&trial), [2, 4, 5]);
    for number in [2, 4, 5] {
        trial.store.check_bytes(Generation(number)).unwrap();
    }
    assert_eq!(fs::read_dir(trial.path("layers")).unwrap().count(), 8);
    let again = trial.store.collect(&keep(&[4])).unwrap();
    assert_eq!(again, generations::Collected::default());
}

#[test]
fn the_number_of_a_generation_that_is_gone_is_never_given_again() {
    let trial = Trial::with_generations(4);
    trial.store.want(Generation(2)).unwrap();
    trial.store.bless(Generation(2)).unwrap();
    trial.store.collect(&keep(&[3])).unwrap();
    trial.store.collect(&keep(&[])).unwrap(); // a lower one, later
    assert_eq!(numbers(&trial), [2]);
    let gone = trial.store.want(Generation(4)).unwrap_err();
    assert!(matches!(gone, StoreError::NoSuchGeneration { .. }), "{gone}");
    // What is wanted, tried and blessed since makes no difference.
    trial.store.want(Generation(2)).unwrap();
    assert_eq!(trial.boot(), 2);
    trial.store.bless(Generation(2)).unwrap();
    assert_eq!(trial.stage(&["base"], KERNEL), Generation(5));
    trial.store.want(Generation(5)).unwrap();
    trial.store.want(Generation(2)).unwrap();
    trial.store.collect(&keep(&[])).unwrap();
    assert_eq!(trial.stage(&["base"], KERNEL), Generation(6));
}

#[test]
fn what_interrupted_work_left_goes_and_what_is_not_ours_stays() {
    let trial = Trial::with_generations(1);
    for path in [
        "layers/.abc.erofs.7-0.part",
        "generations/.2.7-1.part/manifest.json",
        "generations/1/.failure.7-2.part",
        ".wanted.7-3.part",
    ] {
        base::file::replace(&trial.path(path), b"half").unwrap();
    }
    let mine = trial.path("layers/README");
    fs::write(&mine, "mine").unwrap();
    let collected = trial.store.collect(&keep(&[])).unwrap();
    assert_eq!((collected.leftovers.len(), collected.freed.0), (4, 16), "{collected:?}");
    assert!(mine.exists());
    assert_eq!(trial.boot(), 1);
    assert_eq!(trial.store.collect(&keep(&[])).unwrap(), generations::Collected::default());
}

#[test]
fn a_removal_that_was_interrupted_is_finished_the_next_time() {
    let trial = Trial::with_generations(2);
    // As a power cut leaves it: the generation has disappeared, its layer has not.
    let removed = trial.path("generations/.1.7-0.part");
    fs::rename(trial.path("generations/1"), &removed).unwrap();
    assert_eq!(numbers(&trial), [2]);
    let collected = trial.store.collect(&keep(&[])).unwrap();
    assert_eq!((collected.layers.len(), collected.leftovers), (2, vec![removed]));
    trial.store.check_bytes(Generation(2)).unwrap();
}

#[test]
fn nothing_goes_while_a_generation_that_stays_cannot_be_understood() {
    let trial = Trial::with_generations(3);
    trial.edit_manifest(2, "format", "fromat");
    let error = trial.store.collect(&keep(&[2])).unwrap_err();
    assert!(matches!(error, StoreError::Manifest { .. }), "{error}");
    assert_eq!(numbers(&trial), [1, 2, 3]);
    // It can go itself.
    trial.store.collect(&keep(&[])).unwrap();
    assert_eq!(numbers(&trial), [3]);
    assert_eq!(trial.choose(KERNEL).generation, Generation(3));
}
