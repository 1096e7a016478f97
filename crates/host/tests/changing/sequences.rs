//! Whatever is done with kernels in whatever order, and wherever the power is cut: a host that has something good comes
//! back to it by itself.

use std::fs;

use base::Digest;
use formats::loader;
use generations::Generation;
use host::housekeeping::Asked;
use proptest::prelude::*;

use crate::pc::{Cut, FIRST, Fate, Pc, Step, image};
use crate::{install, upgrade};

/// The package with a kernel that starts by hand only.
const FULL: &str = "preon-uki-full";

fn step() -> impl Strategy<Value = Step> {
    let cut = || {
        prop_oneof![
            3 => Just(Cut::Nothing),
            1 => Just(Cut::Config),
            1 => Just(Cut::Names),
            1 => Just(Cut::Wanted),
        ]
    };
    let fate = prop_oneof![Just(Fate::Good), Just(Fate::Panics), Just(Fate::Unwell)];
    prop_oneof![
        4 => (fate, cut()).prop_map(|(fate, cut)| Step::Kernel(fate, cut)),
        2 => cut().prop_map(Step::Other),
        2 => cut().prop_map(Step::TakeBack),
        2 => (0..8_usize, cut()).prop_map(|(which, cut)| Step::Rollback(which, cut)),
        2 => (0..3_usize).prop_map(Step::Clean),
        4 => cut().prop_map(Step::Restart),
        1 => Just(Step::Cut),
    ]
}

#[test]
fn of_two_generations_with_a_kernel_on_trial_the_wanted_one_boots() {
    let pc = Pc::new();
    let steps = [
        Step::Kernel(Fate::Good, Cut::Nothing),
        Step::TakeBack(Cut::Nothing),
        Step::Other(Cut::Nothing),
    ];
    steps.iter().for_each(|step| pc.step(step));
    assert!(pc.start());
    assert_eq!((pc.kernel().release.as_str(), pc.running()), ("6.13-preon", Generation(3)));
}

/// Nor does the host stay with what is not well while it has something good.
#[test]
fn a_kernel_that_was_taken_back_is_not_what_the_loader_turns_to() {
    let pc = Pc::new();
    let steps = [
        Step::Kernel(Fate::Unwell, Cut::Nothing),
        Step::TakeBack(Cut::Nothing),
        Step::Kernel(Fate::Panics, Cut::Nothing),
    ];
    steps.iter().for_each(|step| pc.step(step));
    pc.check();
    assert_eq!((pc.kernel().release.as_str(), pc.running()), ("6.12-preon", Generation(1)));
}

/// An older one than what starts: the loader would not try it by itself.
#[test]
fn a_kernel_that_was_given_up_and_is_wanted_again_gives_way_to_a_newer_one_that_is_good() {
    for fate in [Fate::Panics, Fate::Unwell] {
        let pc = Pc::new();
        let steps = [Step::Kernel(fate, Cut::Nothing), Step::Kernel(Fate::Good, Cut::Nothing)];
        steps.iter().for_each(|step| {
            pc.step(step);
            pc.check();
        });
        let good = (pc.kernel(), pc.running());
        assert_eq!(good.0.release, "6.14-preon");
        for cut in [Cut::Nothing, Cut::Config, Cut::Names] {
            pc.step(&Step::Rollback(1, cut));
            pc.check();
            assert_eq!((pc.kernel(), pc.running()), good, "{cut:?}");
        }
        // Now it would come up.
        pc.fates.borrow_mut().insert("6.13-preon".into(), Fate::Good);
        pc.step(&Step::Rollback(1, Cut::Nothing));
        pc.check();
        assert_eq!((pc.kernel().release.as_str(), pc.running()), ("6.13-preon", Generation(2)));
        pc.step(&Step::Rollback(2, Cut::Nothing));
        pc.check();
        assert_eq!((pc.kernel(), pc.running()), good);
    }
}

#[test]
fn where_the_second_kernel_starts_a_new_one_of_its_kind_that_does_not_gives_way() {
    let pc = Pc::new();
    pc.publish_kernel_as(Fate::Good, "6.12-preon-full", (FULL, "6.12-1+0preon1"));
    pc.world.change("install", install(FULL)).unwrap();
    let id = pc.world.store().manifest(Generation(2)).unwrap().other_kernels[0].entry_id();
    let config = pc.world.on_host("/efi").join(loader::CONFIG);
    fs::write(config, format!("timeout 0\ndefault {id}\n")).unwrap();
    pc.check();
    assert_eq!(pc.kernel().release, "6.12-preon-full");
    pc.publish_kernel_as(Fate::Good, "6.13-preon", (FIRST, "6.13-1+0preon1"));
    pc.publish_kernel_as(Fate::Panics, "6.13-preon-full", (FULL, "6.13-1+0preon1"));
    pc.upgrade(Cut::Nothing);
    pc.check();
    assert_eq!((pc.kernel().release.as_str(), pc.running()), ("6.12-preon-full", Generation(2)));
}

#[test]
fn a_change_that_fails_takes_no_kernel_from_a_generation_that_waits() {
    let pc = Pc::new();
    pc.publish_kernel_as(Fate::Good, "6.12-preon-full", (FULL, "6.12-1+0preon1"));
    pc.world.change("install", install(FULL)).unwrap();
    pc.check();
    pc.step(&Step::Kernel(Fate::Good, Cut::Nothing));
    pc.step(&Step::TakeBack(Cut::Nothing));
    let manifest = pc.world.store().manifest(Generation(3)).unwrap();
    let waits = pc.folder().join(format!("{}.new", manifest.kernel.entry_id()));
    assert!(waits.exists());
    let full = Digest::of(image("6.13-preon-full", "6.13-1+0preon1").as_bytes());
    pc.publish_kernel_as(Fate::Good, "6.13-preon-full", (FULL, "6.13-1+0preon1"));
    let name = format!("preon-6.13_full_{}.efi.new", full.short());
    fs::create_dir(pc.folder().join(name)).unwrap();
    let error = pc.world.change("upgrade", upgrade(false)).unwrap_err();
    assert!(error.contains("preon-6.13_full_"), "{error}");
    assert!(waits.exists());
}

/// Its order of versions is not that of packages.
#[test]
fn a_kernel_that_only_the_loader_holds_for_older_starts() {
    let pc = Pc::new();
    pc.publish_kernel_as(Fate::Good, "6.12.0-preon", (FIRST, "6.12-1.1+0preon1"));
    pc.upgrade(Cut::Nothing);
    pc.check();
    assert_eq!((pc.kernel().release.as_str(), pc.running()), ("6.12.0-preon", Generation(2)));
}

#[test]
fn what_a_killed_change_left_of_an_image_goes() {
    let pc = Pc::new();
    let name = format!(
        ".{}.new.17-0.part",
        pc.world.store().manifest(Generation(1)).unwrap().kernel.entry_id()
    );
    fs::write(pc.folder().join(&name), "half").unwrap();
    fs::write(pc.folder().join(".other.17-0.part"), "another system's").unwrap();
    let gone = pc.world.gc(Asked { keep: 3, dry_run: false, unattended: false }).unwrap();
    assert_eq!(gone.kernels, [pc.folder().join(name)]);
    assert!(pc.folder().join(".other.17-0.part").exists());
}

/// A folder, a file that is no program, an edited loader.conf: the loader does not mind, and no more do we.
#[test]
fn what_others_have_put_on_the_partition_keeps_nothing_from_starting() {
    let pc = Pc::new();
    fs::create_dir(pc.folder().join("preon-7_hardened_0123456789ab.efi")).unwrap();
    fs::write(pc.folder().join("preon-8_hardened_0123456789ab.efi"), "").unwrap();
    let config = pc.world.on_host("/efi").join(loader::CONFIG);
    let mut text = b"# f\xfcr uns\r\n".to_vec();
    text.extend(fs::read(&config).unwrap());
    fs::write(&config, text).unwrap();
    pc.publish_kernel(Fate::Panics);
    pc.upgrade(Cut::Nothing);
    assert_eq!(pc.world.store().wanted().unwrap().generation, Generation(2));
    pc.check();
    pc.publish_kernel(Fate::Good);
    pc.upgrade(Cut::Nothing);
    pc.check();
    assert_eq!(pc.running(), Generation(3));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 60, ..ProptestConfig::default() })]
    #[test]
    fn a_host_comes_back_to_what_is_good(steps in prop::collection::vec(step(), 1..10)) {
        let pc = Pc::new();
        steps.iter().for_each(|step| pc.step(step));
        pc.check();
        // And the next good kernel arrives.
        pc.publish_kernel(Fate::Good);
        pc.upgrade(Cut::Nothing);
        pc.check();
        prop_assert_eq!(pc.kernel().release, format!("6.{}-preon", pc.published.get()));
    }
}
