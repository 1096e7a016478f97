//! While a generation waits for a boot it is told what changes of it would be, and none is made.

use std::fs;

use generations::Generation;
use host::transaction::{Asked, How};
use packages::change::Wish;

use crate::world::World;
use crate::{BASE_2, LIBBASE, install, remove, upgrade, world};

/// What a wish would do, as programs are told, and to which generation.
fn told(world: &World, wish: Wish) -> (Option<u64>, serde_json::Value) {
    let before = world.everything();
    let asked = Asked { words: String::new(), wish, how: How::Tell };
    let outcome = world.ask(&asked).unwrap();
    assert!(world.everything() == before, "a dry run has changed the host");
    (outcome.against, serde_json::to_value(outcome.transaction).unwrap())
}

/// Each wish is told the same before and after the boot of what waits.
fn same_after_the_boot(world: &World, wishes: &[Wish]) {
    let next = world.store().wanted().unwrap().generation;
    let before: Vec<_> = wishes.iter().map(|wish| told(world, wish.clone())).collect();
    world.boot();
    for (wish, (against, plan)) in wishes.iter().zip(before) {
        assert_eq!(against, Some(next.0), "{wish:?}");
        assert_eq!((None, plan), told(world, wish.clone()), "{wish:?}");
    }
}

#[test]
fn what_a_change_would_be_is_told_of_what_boots_next() {
    let world = world();
    world.change("install git", install("git")).unwrap();
    let pin = Wish::Pin { name: "git".parse().unwrap(), version: None };
    let error = world.change("pin git", pin.clone()).unwrap_err();
    assert!(error.contains("a change, also one of pins or marks alone, would"), "{error}");
    assert!(error.contains("`--dry-run` says what"), "{error}");
    world.publish(&[BASE_2, LIBBASE]);
    same_after_the_boot(&world, &[remove("git"), install("git"), upgrade(false), pin]);
    let (_, plan) = told(&world, remove("git"));
    let names = plan["removed"].as_array().unwrap().iter().map(|it| it["name"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["git", "libgit"]);

    // What waits may be an older one, of which neither the cache nor a repository has anything.
    world.change("upgrade", upgrade(false)).unwrap();
    world.boot();
    let other = World::new(&[BASE_2, LIBBASE]);
    world.know("main", &other.path("keys/1.root.json"), &other.uri());
    world.store().want(Generation(1)).unwrap();
    same_after_the_boot(&world, &[upgrade(false), remove("base")]);
}

#[test]
fn what_is_not_at_hand_any_more_is_what_a_repository_has_or_unknown() {
    let world = world();
    world.change("install git", install("git")).unwrap();
    let cache = world.on_host("/var/cache/preon/archive");
    fs::remove_dir_all(&cache).unwrap();
    let (against, plan) = told(&world, remove("git"));
    assert_eq!((against, plan["removed"].as_array().unwrap().len()), (Some(2), 2));

    let other = World::new(&[BASE_2, LIBBASE]); // has no git
    world.know("main", &other.path("keys/1.root.json"), &other.uri());
    fs::remove_dir_all(&cache).unwrap();
    let asked = Asked { words: String::new(), wish: remove("git"), how: How::Tell };
    let error = world.ask(&asked).unwrap_err();
    let why = "what boots next has git, and nobody knows here what that needs";
    assert!(error.contains(why) && error.contains("hint: restart the host first"), "{error}");
}
