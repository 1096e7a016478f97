//! What becomes of a boot is written down.

use base::Explain;
use generations::{Generation, Store, StoreError, Wanted};

use crate::trial::{KERNEL, Trial};

#[test]
fn attempts_are_counted_until_something_else_is_wanted() {
    let trial = Trial::with_generations(1);
    for count in 1..=3 {
        let choice = trial.choose(KERNEL);
        assert_eq!(trial.store.count_attempt(&choice).unwrap(), count);
    }
    assert_eq!(trial.store.wanted().unwrap().attempts, 3);
    trial.store.want(Generation(1)).unwrap();
    assert_eq!(trial.store.wanted().unwrap().attempts, 0);
}

#[test]
fn a_blessed_boot_counts_no_more_and_is_what_to_fall_back_to() {
    let trial = Trial::with_generations(2);
    trial.boots(2);
    trial.store.bless(Generation(2)).unwrap();
    let expected = Wanted { good: Generation(2), ..Wanted::first(Generation(2)) };
    assert_eq!(trial.store.wanted().unwrap(), expected);
    trial.store.want(Generation(1)).unwrap();
    assert_eq!(trial.store.wanted().unwrap().good, Generation(2));
}

#[test]
fn only_what_is_to_boot_can_be_blessed() {
    let trial = Trial::with_generations(2);
    let before = trial.store.wanted().unwrap();
    for number in [0, 1, 7] {
        let error = trial.store.bless(Generation(number)).unwrap_err();
        assert!(matches!(error, StoreError::NotWanted { .. }), "{error}");
        assert!(error.hint().is_some());
    }
    assert_eq!(trial.store.wanted().unwrap(), before);
}

#[test]
fn who_is_asked_for_again_is_given_up_no_more() {
    let trial = Trial::with_generations(2);
    trial.store.bless(Generation(2)).unwrap();
    trial.boots(4);
    let told = |wanted: Wanted| [wanted.generation.0, wanted.good.0, wanted.failed.0];
    assert_eq!(told(trial.store.wanted().unwrap()), [1, 2, 2]);
    // What was given up is not good any more, and has to show that it is.
    trial.store.want(Generation(2)).unwrap();
    assert_eq!(told(trial.store.wanted().unwrap()), [2, 0, 0]);
}

#[test]
fn who_is_spared_has_all_its_attempts_and_is_not_good() {
    let trial = Trial::with_generations(2);
    trial.store.bless(Generation(2)).unwrap();
    trial.store.want(Generation(1)).unwrap();
    trial.boots(2);
    trial.store.note_failure(Generation(1), "text").unwrap();
    trial.store.spare(Generation(1)).unwrap();
    let expected = Wanted { good: Generation(2), ..Wanted::first(Generation(1)) };
    assert_eq!(trial.store.wanted().unwrap(), expected);
    assert!(trial.store.failure(Generation(1)).unwrap().is_some());
    assert_eq!(trial.boots(4), [1, 1, 1, 2]);
}

#[test]
fn who_stands_in_and_is_spared_stands_in_for_ever() {
    let trial = Trial::with_generations(2);
    trial.stage(&["base"], "6.13.0-preon");
    trial.store.want(Generation(3)).unwrap();
    for _ in 0..12 {
        assert_eq!(trial.boot(), 2);
        trial.store.spare(Generation(2)).unwrap();
    }
    let wanted = trial.store.wanted().unwrap();
    assert_eq!((wanted.generation, wanted.good), (Generation(3), Generation::NONE));
}

#[test]
fn only_what_is_to_boot_can_be_spared() {
    let trial = Trial::with_generations(2);
    trial.boot();
    let before = trial.store.wanted().unwrap();
    for number in [0, 1, 7] {
        let error = trial.store.spare(Generation(number)).unwrap_err();
        assert!(matches!(error, StoreError::NotWanted { .. }), "{error}");
    }
    assert_eq!(trial.store.wanted().unwrap(), before);
}

#[test]
fn a_failure_is_known_until_the_generation_is_blessed() {
    let trial = Trial::with_generations(1);
    let failure = || trial.store.failure(Generation(1)).unwrap();
    assert_eq!(failure(), None);
    trial.store.note_failure(Generation(1), "error: the first\n").unwrap();
    trial.store.note_failure(Generation(1), "error: the second\n").unwrap();
    assert_eq!(failure().as_deref(), Some("error: the second\n"));
    trial.store.bless(Generation(1)).unwrap();
    assert_eq!(failure(), None);
    trial.store.bless(Generation(1)).unwrap();
}

#[test]
fn a_failure_that_is_too_long_is_cut_between_characters() {
    let trial = Trial::with_generations(1);
    let text = "x".to_owned() + &"ü".repeat(generations::failure::LONGEST);
    trial.store.note_failure(Generation(1), &text).unwrap();
    let kept = trial.store.failure(Generation(1)).unwrap().unwrap();
    assert_eq!(kept.trim_end().len(), generations::failure::LONGEST - 1);
    assert!(text.starts_with(kept.trim_end()));
}

#[test]
fn on_a_full_disk_what_happened_can_be_said_all_the_same() {
    sys::namespace::with_private_mounts(|| {
        let trial = Trial::new();
        let folder = trial.path("");
        sys::Filesystem::new("tmpfs").option("size", "256k").mount(&folder).unwrap();
        Store::create(&folder).unwrap();
        let generation = trial.stage(&["base"], KERNEL);
        trial.store.want(generation).unwrap();
        let full = std::fs::write(trial.path("filler"), vec![1; 1 << 20]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        trial.store.note_failure(generation, "the disk is full\n").unwrap();
        assert_eq!(trial.store.failure(generation).unwrap().unwrap(), "the disk is full\n");
        trial.store.bless(generation).unwrap();
        assert_eq!(trial.store.failure(generation).unwrap(), None);
        sys::mount::detach(&folder).unwrap();
    });
}

#[test]
fn a_failure_makes_no_generation() {
    let trial = Trial::with_generations(1);
    let error = trial.store.note_failure(Generation(7), "text").unwrap_err();
    assert!(matches!(error, StoreError::NoSuchGeneration { .. }), "{error}");
    assert_eq!(trial.store.generations().unwrap(), [Generation(1)]);
}
