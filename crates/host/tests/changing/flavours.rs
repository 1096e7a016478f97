//! Which kernels the loader may turn to while a new one is on trial, where more of them are on its partition.

use std::fs;

use formats::loader;
use formats::manifest::Kernel;
use generations::Generation;
use host::housekeeping::Asked;

use crate::pc::{Cut, FIRST, Fate, Pc, Step, image};
use crate::{install, upgrade};

const STRICT: &str = "preon-uki-hardened-strict";

/// Publishes the kernel of this release a second time, with another command line.
fn publish_strict(pc: &Pc, release: &str, version: &str) {
    let image = image(&format!("{release}\nVARIANT_ID=strict"), version);
    let path = format!("usr/lib/modules/{release}/vmlinuz.efi");
    let files = [(&*path, &*image)];
    let fields = "Source: linux (6.13-1)\nProvides: preon-uki\nDepends: other\n";
    pc.world.publish(&[(STRICT, version, fields, &files)]);
}

fn kernel_of(pc: &Pc, package: &str) -> Kernel {
    let manifest = pc.world.store().manifest(pc.running()).unwrap();
    manifest.kernels().find(|kernel| kernel.package.as_str() == package).unwrap().clone()
}

/// Lets the operator choose a kernel for good.
fn choose(pc: &Pc, kernel: &Kernel) {
    let config = format!("timeout 0\ndefault {}\n", kernel.entry_id());
    fs::write(pc.world.on_host("/efi").join(loader::CONFIG), config).unwrap();
}

fn started(pc: &Pc) -> String {
    pc.kernel().image().unwrap().to_owned()
}

/// Two kernels of one release differ in their command lines only: who has chosen one keeps it, over all updates.
#[test]
fn of_two_kernels_of_one_release_the_chosen_one_stays_chosen() {
    for package in [FIRST, STRICT] {
        let pc = Pc::new();
        publish_strict(&pc, "6.12-preon", "6.12-1+0preon1");
        pc.world.change("install", install(STRICT)).unwrap();
        pc.check();
        choose(&pc, &kernel_of(&pc, package));
        pc.check();
        assert_eq!(started(&pc), kernel_of(&pc, package).entry_id());
        for number in [13, 14] {
            let (release, version) = (format!("6.{number}-preon"), format!("6.{number}-1+0preon1"));
            pc.publish_kernel_as(Fate::Good, &release, (FIRST, &version));
            publish_strict(&pc, &release, &version);
            pc.upgrade(Cut::Nothing);
            pc.check();
            assert_eq!(pc.kernel().release, release);
            assert_eq!(started(&pc), kernel_of(&pc, package).entry_id(), "{package}");
        }
    }
}

/// Its name begins as the other's: what a pattern matches must be one kind alone.
#[test]
fn a_newer_kernel_of_another_kind_is_not_what_starts() {
    let pc = Pc::new();
    let full = "preon-uki-hardened-more";
    pc.publish_kernel_as(Fate::Unwell, "6.99-preon-hardened", (full, "6.99-1+0preon1"));
    pc.world.change("install", install(full)).unwrap();
    pc.check();
    pc.step(&Step::Kernel(Fate::Good, Cut::Nothing));
    assert!(pc.start());
    assert_eq!((pc.kernel().release.as_str(), pc.running()), ("6.13-preon", Generation(3)));
}

/// It is the newest of those that are good, and the operator went back from it.
#[test]
fn a_kernel_that_does_not_start_gives_way_to_the_one_before_and_not_to_a_newer_one() {
    let pc = Pc::new();
    pc.step(&Step::Kernel(Fate::Good, Cut::Nothing));
    pc.check();
    pc.step(&Step::Rollback(0, Cut::Nothing));
    pc.check();
    pc.step(&Step::Kernel(Fate::Panics, Cut::Nothing));
    pc.check();
    assert_eq!((pc.kernel().release.as_str(), pc.running()), ("6.12-preon", Generation(1)));
    // It is there for whoever wants it.
    pc.step(&Step::Rollback(1, Cut::Nothing));
    pc.check();
    assert_eq!((pc.kernel().release.as_str(), pc.running()), ("6.13-preon", Generation(2)));
}

/// A power cut between a generation's end and that of its kernel, then an upgrade before the next cleaning.
#[test]
fn a_kernel_of_no_generation_does_not_start_when_a_new_one_fails() {
    let pc = Pc::new();
    pc.step(&Step::Kernel(Fate::Good, Cut::Nothing));
    pc.check();
    let orphan = pc.kernel();
    let bytes = fs::read(pc.folder().join(orphan.image().unwrap())).unwrap();
    pc.step(&Step::Rollback(0, Cut::Nothing));
    pc.check();
    pc.world.gc(Asked { keep: 0, dry_run: false, unattended: false }).unwrap();
    assert_eq!(pc.world.store().generations().unwrap(), [Generation(1)]);
    fs::write(pc.folder().join(orphan.image().unwrap()), bytes).unwrap();
    for cut in [Cut::Config, Cut::Nothing] {
        pc.step(&Step::Kernel(Fate::Panics, cut));
        pc.check();
        assert_eq!((pc.kernel().release.as_str(), pc.running()), ("6.12-preon", Generation(1)));
    }
    pc.world.change("upgrade", upgrade(false)).unwrap();
}

/// Beside the one before, which is newer, there is one that is newer still.
#[test]
fn an_older_kernel_that_was_given_up_is_tried_again_before_all_that_are_newer() {
    let pc = Pc::new();
    for fate in [Fate::Panics, Fate::Good, Fate::Good] {
        pc.step(&Step::Kernel(fate, Cut::Nothing));
        pc.check();
    }
    let rolls_back = |generation| {
        pc.world.host().boots_next(Generation(generation)).unwrap();
        pc.check();
        (pc.kernel().release, pc.running().0)
    };
    assert_eq!(rolls_back(3), ("6.14-preon".into(), 3));
    assert_eq!(rolls_back(2), ("6.14-preon".into(), 3));
    pc.fates.borrow_mut().insert("6.13-preon".into(), Fate::Good);
    assert_eq!(rolls_back(2), ("6.13-preon".into(), 2));
    assert_eq!(rolls_back(4), ("6.15-preon".into(), 4));
}
