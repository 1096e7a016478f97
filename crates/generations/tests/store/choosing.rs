//! Which generation boots, when some of them do not.

use base::Explain;
use generations::{Booted, Generation, Reason, StoreError, Why};

use crate::trial::{KERNEL, Trial};

const OLD: &str = "6.1.0-preon";

/// What nobody blesses is tried three times, and its successors too; then the last one to the end.
fn expect_to_end(trial: &Trial, order: &[u64]) {
    let (last, before) = order.split_last().unwrap();
    for number in before {
        assert_eq!(trial.boots(3), [*number; 3], "of {order:?}");
    }
    assert_eq!(trial.boots(10), [*last; 10], "of {order:?}");
    let error = trial.store.choose(&Booted::of_release(KERNEL)).unwrap_err();
    assert!(matches!(error, StoreError::NothingBoots { .. }), "{error}");
}

#[test]
fn a_generation_that_was_never_blessed_gives_way_to_the_one_below_it() {
    let trial = Trial::with_generations(2);
    assert_eq!(trial.boots(3), [2, 2, 2]);
    let choice = trial.choose(KERNEL);
    assert!(
        matches!(
            choice.why,
            Why::FellBack { from: Generation(2), reason: Reason::Attempts { attempts: 3 } }
        ),
        "{choice:?}"
    );
    // Nothing is written before the attempt is: a power cut here changes nothing.
    assert_eq!(trial.store.wanted().unwrap().generation, Generation(2));
    assert_eq!(trial.store.count_attempt(&choice).unwrap(), 1);
    let wanted = trial.store.wanted().unwrap();
    assert_eq!((wanted.generation, wanted.failed), (Generation(1), Generation(2)));
    trial.store.bless(Generation(1)).unwrap();
    assert_eq!(trial.boots(3), [1, 1, 1]);
    assert_eq!(trial.store.wanted().unwrap().failed, Generation(2)); // for who asks
}

#[test]
fn the_good_one_is_first_then_lower_ones_then_those_that_somebody_went_back_from() {
    let trial = Trial::with_generations(5);
    trial.store.want(Generation(2)).unwrap();
    trial.boot();
    trial.store.bless(Generation(2)).unwrap();
    trial.store.want(Generation(4)).unwrap();
    expect_to_end(&trial, &[4, 2, 3, 1, 5]);
}

#[test]
fn a_generation_without_another_one_is_tried_ten_times_and_then_nothing_boots() {
    let trial = Trial::with_generations(1);
    trial.boots(3);
    for _ in 3..10 {
        assert!(matches!(trial.choose(KERNEL).why, Why::NothingElse));
        trial.boot();
    }
    let error = trial.store.choose(&Booted::of_release(KERNEL)).unwrap_err();
    let text = "no generation boots\n  generation 1 was tried 10 times and never found good";
    assert_eq!(error.to_string(), text);
    assert!(error.hint().is_some());
    trial.store.want(Generation(1)).unwrap(); // as the hint says
    assert_eq!(trial.boot(), 1);
}

#[test]
fn a_generation_without_its_layers_or_manifest_gives_way_at_once_and_takes_no_turn() {
    let trial = Trial::with_generations(5);
    trial.lose_layer(5);
    let choice = trial.choose(KERNEL);
    assert!(matches!(choice.why, Why::FellBack { reason: Reason::Layers(_), .. }), "{choice:?}");
    std::fs::remove_dir_all(trial.path("generations/4")).unwrap();
    trial.lose_layer(2);
    expect_to_end(&trial, &[3, 1]);
    let error = trial.store.choose(&Booted::of_release(KERNEL)).unwrap_err().to_string();
    for line in [
        "generation 1 was tried 10 times",
        "generation 5 has layers that cannot be used: layer delta5 cannot be used: cannot read ",
        "generation 3 was given up before",
        "generation 2 has layers that cannot be used: layer delta2 cannot be used: cannot read ",
    ] {
        assert!(error.contains(line), "no {line} in {error}");
    }
}

#[test]
fn another_generation_stands_in_for_one_that_needs_another_kernel() {
    let trial = Trial::new();
    trial.stage(&["one"], OLD);
    trial.stage(&["two"], OLD);
    trial.stage(&["three"], KERNEL);
    trial.store.want(Generation(3)).unwrap();
    assert_eq!([trial.boot_on(OLD), trial.boot_on(OLD)], [2, 2]);
    let choice = trial.choose(OLD);
    let Why::FellBack { from: Generation(3), reason } = &choice.why else { panic!("{choice:?}") };
    assert_eq!(reason.to_string(), "needs kernel 6.12.0-preon, 6.1.0-preon runs");
    assert!(reason.hint().is_some());
    // The wanted one is wanted still, with all its attempts.
    let wanted = trial.store.wanted().unwrap();
    assert_eq!((wanted.generation, wanted.attempts), (Generation(3), 0));
    assert_eq!(trial.boot_on(KERNEL), 3);
    // One that stands in has three attempts like any other, then the one after it has.
    let boots: Vec<_> = (0..4).map(|_| trial.boot_on(OLD)).collect();
    assert_eq!(boots, [2, 1, 1, 1]);
    // Nothing else fits: the wanted one boots with a kernel that is not its own.
    assert!(matches!(trial.choose(OLD).why, Why::NothingElse));
    assert_eq!([trial.boot_on(OLD), trial.boot_on(OLD)], [3, 3]);
    // That counted, so now it is given up, and who stood in has its turn.
    assert_eq!(trial.boot_on(OLD), 2);
    assert_eq!(trial.store.wanted().unwrap().generation, Generation(2));
}

#[test]
fn who_stands_in_can_be_blessed_and_what_was_wanted_is_wanted_still() {
    let trial = Trial::new();
    trial.stage(&["one"], OLD);
    trial.stage(&["two"], KERNEL);
    trial.store.want(Generation(2)).unwrap();
    for _ in 0..5 {
        assert_eq!([trial.boot_on(OLD), trial.boot_on(OLD)], [1, 1]);
        trial.store.bless(Generation(1)).unwrap();
    }
    let wanted = trial.store.wanted().unwrap();
    assert_eq!((wanted.generation, wanted.good), (Generation(2), Generation(1)));
    assert_eq!(trial.boot_on(KERNEL), 2);
}

#[test]
fn a_new_kernel_and_its_generation_fall_back_together() {
    let trial = Trial::new();
    trial.stage(&["one"], OLD);
    trial.stage(&["two"], KERNEL);
    trial.store.want(Generation(1)).unwrap();
    trial.boot_on(OLD);
    trial.store.bless(Generation(1)).unwrap();
    trial.store.want(Generation(2)).unwrap();
    assert_eq!(trial.boots(3), [2, 2, 2]);
    // The loader gives up the new kernel after three attempts as well.
    assert_eq!(trial.boot_on(OLD), 1);
    assert_eq!(trial.store.wanted().unwrap().generation, Generation(1));
}

#[test]
fn the_second_kernel_of_an_image_boots_its_only_generation() {
    let trial = Trial::with_generations(1);
    let choice = trial.choose("6.12.0-other");
    assert!(matches!(choice.why, Why::NothingElse), "{choice:?}");
    trial.store.count_attempt(&choice).unwrap();
    trial.store.bless(Generation(1)).unwrap();
    assert_eq!(trial.store.wanted().unwrap().attempts, 0);
}

#[test]
fn a_successor_is_who_boots_when_all_attempts_are_used_up() {
    let trial = Trial::with_generations(3);
    let other = trial.stage(&["base"], "6.13.0-preon");
    let successor =
        |of: u64| trial.store.successor(Generation(of), &Booted::of_release(KERNEL)).unwrap();
    assert_eq!(successor(3), Some(Generation(2)));
    assert_eq!(successor(2), None); // does not boot at all
    trial.store.bless(Generation(3)).unwrap();
    trial.store.want(other).unwrap();
    assert_eq!(trial.boot(), 3); // stands in
    assert_eq!(successor(3), Some(Generation(2)));
    trial.store.want(Generation(3)).unwrap();
    for number in [2, 1] {
        assert_eq!(trial.boots(4).last(), Some(&number));
        let next = if number == 2 { Some(Generation(1)) } else { None };
        assert_eq!(successor(number), next, "{number}");
    }
}

#[test]
fn the_one_before_boots_when_somebody_asks_for_it_and_only_then() {
    let trial = Trial::with_generations(3);
    let kernel = Booted::of_release(KERNEL);
    let previous = || trial.store.choose_previous(&kernel).unwrap();
    for attempts in [1, 2, 3, 4] {
        let choice = previous();
        assert_eq!(choice.generation, Generation(2));
        assert!(matches!(
            choice.why,
            Why::FellBack { from: Generation(3), reason: Reason::NotNow }
        ));
        assert_eq!(trial.store.count_attempt(&choice).unwrap(), attempts);
    }
    trial.store.bless(Generation(2)).unwrap();
    let wanted = trial.store.wanted().unwrap();
    assert_eq!((wanted.generation, wanted.attempts), (Generation(3), 0));
    assert_eq!(trial.boot(), 3);
    let alone = Trial::with_generations(1);
    assert!(matches!(alone.store.choose_previous(&kernel).unwrap().why, Why::Wanted));
}

/// The loader starts the menu's entry for the generation before by itself, then.
#[test]
fn on_a_kernel_on_trial_the_wanted_one_boots_whatever_the_menus_entry() {
    let trial = Trial::with_generations(3);
    let kernel = Booted { on_trial: true, ..Booted::of_release(KERNEL) };
    let choice = trial.store.choose_previous(&kernel).unwrap();
    assert_eq!(choice.generation, Generation(3));
    assert!(matches!(choice.why, Why::Wanted));
}
