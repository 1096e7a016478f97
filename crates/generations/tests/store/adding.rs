//! Generations of a host's own get in by moving.

use std::fs;

use base::{Digest, Explain};
use generations::Generation;
use generations::check::CheckError;
use generations::stage::{NewLayer, StageError};
use generations::store::LayerFiles;

use crate::trial::{Trial, manifest};

fn new(digest: Digest, files: &LayerFiles) -> NewLayer {
    NewLayer { digest, files: files.clone() }
}

#[test]
fn new_layers_are_moved_and_old_ones_stay() {
    let trial = Trial::with_generations(1);
    let base = trial.store.manifest(Generation(1)).unwrap().layers[0].clone();
    let (delta, files) = trial.layer("delta");
    let second = manifest(vec![base, delta.clone()]);
    let added = trial.store.add(&second, &[new(delta.erofs, &files)]).unwrap();
    assert_eq!(added, Generation(2));
    assert_eq!(trial.store.manifest(added).unwrap(), second);
    trial.store.check_bytes(added).unwrap();
    assert!(!files.erofs.exists() && !files.verity.exists());
    assert_eq!(trial.store.wanted().unwrap().generation, Generation(1));
    assert_eq!(fs::read_dir(trial.path("generations")).unwrap().count(), 2);
}

#[test]
fn a_layer_that_was_damaged_is_replaced_when_it_is_made_again() {
    let trial = Trial::with_generations(1);
    let (base, files) = trial.layer("base");
    fs::write(trial.store.layer_files(&base).erofs, "damaged").unwrap();
    let added = trial.store.add(&manifest(vec![base.clone()]), &[new(base.erofs, &files)]);
    trial.store.check_bytes(added.unwrap()).unwrap();
    trial.store.check_bytes(Generation(1)).unwrap();
}

#[test]
fn what_does_not_fit_the_manifest_is_refused_and_nothing_is_moved() {
    let trial = Trial::with_generations(1);
    let (one, one_files) = trial.layer("one");
    let (other, other_files) = trial.layer("other");
    let both = manifest(vec![one.clone(), other.clone()]);

    let strangers = [new(one.erofs, &one_files), new(other.erofs, &other_files)];
    let error = trial.store.add(&manifest(vec![one.clone()]), &strangers).unwrap_err();
    assert!(matches!(error, StageError::Stranger { .. }), "{error}");

    let error = trial.store.add(&both, &strangers[..1]).unwrap_err();
    let StageError::Check(CheckError::Unreadable { layer, .. }) = &error else { panic!("{error}") };
    assert_eq!(layer, "other");
    assert!(error.hint().is_some());

    fs::write(&other_files.verity, "short").unwrap();
    let error = trial.store.add(&both, &strangers).unwrap_err();
    let StageError::Check(CheckError::Size { layer, .. }) = &error else { panic!("{error}") };
    assert_eq!(layer, "other");

    assert!(one_files.erofs.exists() && one_files.verity.exists());
    assert!(!trial.store.layer_files(&one).erofs.exists());
    assert_eq!(trial.store.generations().unwrap(), [Generation(1)]);
}
