//! A host gets another kernel, which starts, or does not.

use std::fs;

use base::Digest;
use formats::loader::{self, EntryName};
use formats::manifest::Manifest;
use generations::{Booted, Generation, Why};
use host::health::Verdict;
use host::housekeeping::Asked;
use host::loader::Told;
use host::transaction::{Reboot, Stays};
use packages::change::Wish;

use crate::pc::{Cut, FIRST, Fate, Pc, image};
use crate::world::Package;
use crate::{install, remove, upgrade};

const ONE: Generation = Generation(1);
const TWO: Generation = Generation(2);
const FULL: &str = "preon-uki-full";
const TOOL: Package<'_> = ("tool", "1-1+0preon1", "", &[("usr/bin/tool", "tool")]);

/// A machine whose generation 2 waits with a new kernel.
fn upgraded(fate: Fate) -> Pc {
    let pc = Pc::new();
    pc.publish_kernel(fate);
    pc.upgrade(Cut::Nothing);
    assert_eq!(wanted(&pc), TWO);
    pc
}

fn manifest(pc: &Pc, generation: Generation) -> Manifest {
    pc.world.store().manifest(generation).unwrap()
}

fn wanted(pc: &Pc) -> Generation {
    pc.world.store().wanted().unwrap().generation
}

/// Starts it, and the release of the kernel and the generation that came up.
fn comes_up(pc: &Pc) -> (String, Generation) {
    assert!(pc.start());
    (pc.kernel().release, pc.running())
}

fn gc(pc: &Pc, keep: usize) -> Vec<std::path::PathBuf> {
    pc.world.gc(Asked { keep, dry_run: false, unattended: false }).unwrap().kernels
}

#[test]
fn a_new_kernel_starts_at_the_next_boot_and_is_good_once_a_boot_with_it_is() {
    let pc = Pc::new();
    let before = (pc.files(), pc.config());
    pc.publish_kernel(Fate::Good);
    let transaction = pc.world.would(upgrade(false));
    assert_eq!((transaction.changed.len(), transaction.reboot), (1, Reboot::Full));
    pc.upgrade(Cut::Nothing);
    let [old, new] = [ONE, TWO].map(|generation| manifest(&pc, generation).kernel);
    assert_eq!((new.release.as_str(), new.version.as_str()), ("6.13-preon", "6.13-1"));
    let bytes = image("6.13-preon", "6.13-1+0preon1");
    assert_eq!((new.uki, &new.package), (Digest::of(bytes.as_bytes()), &old.package));
    let trial = EntryName::on_trial(&new.entry_id(), 3).to_string();
    assert_eq!(pc.files(), [old.entry_id(), trial.clone()]);
    assert_eq!(fs::read(pc.folder().join(trial)).unwrap(), bytes.as_bytes());
    assert!(!pc.world.on_host("/usr/lib/modules/6.13-preon/vmlinuz.efi").exists());
    assert!(pc.world.host().needs_another_kernel(TWO).unwrap());

    assert_eq!(comes_up(&pc), ("6.13-preon".into(), TWO));
    assert_eq!(pc.settle(), Verdict::Blessed(TWO));
    assert_eq!(pc.files(), [old.entry_id(), new.entry_id()]);
    assert_eq!(loader::default_entry(&pc.config()), Some(&*new.entry_id()));
    assert_eq!(comes_up(&pc), ("6.13-preon".into(), TWO));

    pc.world.host().boots_next(ONE).unwrap();
    assert_eq!(pc.config(), before.1);
    assert_eq!(comes_up(&pc), ("6.12-preon".into(), ONE));
    pc.settle();
    assert_eq!(gc(&pc, 0).len(), 1);
    assert_eq!(pc.files(), before.0);
}

#[test]
fn a_kernel_that_does_not_come_up_gives_way_together_with_its_generation() {
    let pc = upgraded(Fate::Panics);
    assert_eq!([pc.start(), pc.start(), pc.start()], [false; 3]);
    assert_eq!(comes_up(&pc), ("6.12-preon".into(), ONE));
    assert_eq!(wanted(&pc), TWO);
    assert_eq!(pc.settle(), Verdict::Blessed(ONE));
    let then = pc.world.store().wanted().unwrap();
    assert_eq!((then.generation, then.good, then.failed), (ONE, ONE, TWO));
    let reason = pc.world.store().failure(TWO).unwrap().unwrap();
    let expected = "its kernel 6.13-preon was started 3 times and no boot with it was good\n";
    assert_eq!(reason, expected);
    let id = manifest(&pc, ONE).kernel.entry_id();
    assert_eq!(loader::default_entry(&pc.config()), Some(&*id));
    assert_eq!(comes_up(&pc), ("6.12-preon".into(), ONE));
    // Somebody tries again by hand: three times more.
    pc.world.host().boots_next(TWO).unwrap();
    assert_eq!([pc.start(), pc.start()], [false; 2]);
    pc.fates.borrow_mut().insert("6.13-preon".into(), Fate::Good);
    assert_eq!(comes_up(&pc), ("6.13-preon".into(), TWO));
    assert_eq!(pc.settle(), Verdict::Blessed(TWO));
}

#[test]
fn a_kernel_whose_generation_is_not_well_gives_way_after_three_boots() {
    let pc = upgraded(Fate::Unwell);
    for _ in 0..3 {
        assert_eq!(comes_up(&pc), ("6.13-preon".into(), TWO));
        assert_eq!(pc.settle(), Verdict::Restart { generation: TWO, then: ONE });
    }
    assert_eq!(comes_up(&pc), ("6.12-preon".into(), ONE));
    assert_eq!(wanted(&pc), ONE);
    assert_eq!(pc.settle(), Verdict::Blessed(ONE));
    assert_eq!(pc.world.store().wanted().unwrap().failed, TWO);
    assert_eq!(comes_up(&pc), ("6.12-preon".into(), ONE));
}

#[test]
fn what_an_interruption_left_undone_is_done_at_the_next_boot_or_goes() {
    let pc = Pc::new();
    pc.publish_kernel(Fate::Good);
    // Before the kernel may start: the old one does, and the generation that fits it.
    pc.upgrade(Cut::Names);
    let staged = pc.folder().join(format!("{}.new", manifest(&pc, TWO).kernel.entry_id()));
    assert!(staged.exists());
    assert_eq!(comes_up(&pc), ("6.12-preon".into(), ONE));
    assert_eq!(pc.settle(), Verdict::Blessed(ONE));
    assert!(wanted(&pc) == TWO && !staged.exists());
    assert_eq!(comes_up(&pc), ("6.13-preon".into(), TWO));
    pc.settle();
    // Before the generation is there: nobody needs it.
    let half = pc.folder().join("preon-6.14_hardened_0123456789ab.efi.new");
    fs::write(&half, "half").unwrap();
    fs::write(pc.folder().join("other.efi"), "another system's").unwrap();
    assert_eq!(gc(&pc, 1), [half]);
    assert_eq!(pc.files().len(), 3);
}

#[test]
fn a_second_kernel_comes_and_goes_and_starts_only_by_hand() {
    let pc = Pc::new();
    pc.publish_kernel_as(Fate::Good, "6.12-preon-full", (FULL, "6.12-1+0preon1"));
    let outcome = pc.world.change("install", install(FULL)).unwrap();
    assert_eq!(outcome.transaction.reboot, Reboot::None);
    let with_both = manifest(&pc, TWO);
    assert_eq!(with_both.kernel, manifest(&pc, ONE).kernel);
    let full = &with_both.other_kernels[0];
    assert_eq!((full.release.as_str(), pc.files().len()), ("6.12-preon-full", 2));
    assert_eq!(comes_up(&pc), ("6.12-preon".into(), TWO));
    let booted = Booted { entry: Some(full.entry_id()), ..Booted::of_release(&full.release) };
    assert!(matches!(pc.world.store().choose(&booted).unwrap().why, Why::Wanted));
    pc.world.change("remove", remove(FULL)).unwrap();
    assert!(manifest(&pc, Generation(3)).other_kernels.is_empty());
    pc.start();
    let error = pc.world.change("remove", remove(FIRST)).unwrap_err();
    assert!(error.contains(FIRST), "{error}");
}

#[test]
fn a_host_that_another_loader_started_keeps_its_kernel() {
    let pc = Pc::new();
    pc.publish_kernel(Fate::Good);
    pc.publish_kernel_as(Fate::Good, "6.12-preon-full", (FULL, "6.12-1+0preon1"));
    fs::remove_file(pc.world.on_host(generations::ESP)).unwrap();
    let transaction = pc.world.would(upgrade(false));
    assert!(transaction.changed.is_empty());
    assert_eq!((transaction.held[0].name.as_str(), transaction.held[0].why), (FIRST, Stays::Image));
    let name = || FIRST.parse().unwrap();
    for (words, wish) in [
        ("upgrade", Wish::Upgrade { names: vec![name()], security: false }),
        ("pin", Wish::Pin { name: name(), version: None }),
        ("unpin", Wish::Unpin(name())),
    ] {
        let error = pc.world.change(words, wish).unwrap_err();
        assert!(error.contains("comes with the image that starts this host"), "{words}: {error}");
        assert!(!error.contains("pinned") && error.contains("hint: start"), "{words}: {error}");
    }
    let error = pc.world.change("install", install(FULL)).unwrap_err();
    assert!(error.contains("was not started by the boot loader of its image"), "{error}");
}

#[test]
fn who_has_set_an_efi_variable_keeps_the_kernel_and_gets_all_else() {
    let pc = Pc::new();
    let old = manifest(&pc, ONE).kernel.entry_id();
    pc.set_variable("LoaderEntryDefault", Some(&old));
    pc.publish_kernel(Fate::Good);
    pc.world.publish(&[("other", "2-1+0preon1", "", &[("usr/lib/other", "2")])]);
    pc.upgrade(Cut::Nothing);
    let two = manifest(&pc, TWO);
    assert_eq!(two.kernel, manifest(&pc, ONE).kernel);
    assert!(two.pins.is_empty());
    pc.check();
    assert_eq!((pc.kernel().release.as_str(), pc.running()), ("6.12-preon", TWO));
    let transaction = pc.world.would(upgrade(false));
    assert!(transaction.is_empty());
    let held = &transaction.held[0];
    assert_eq!((held.name.as_str(), held.why), (FIRST, Stays::Image));
    // What it named is gone, or it is taken back: loader.conf decides.
    for value in [Some("other.efi"), None] {
        pc.set_variable("LoaderEntryDefault", value);
        assert!(pc.world.would(upgrade(false)).held.is_empty());
    }
    pc.upgrade(Cut::Nothing);
    pc.check();
    assert_eq!((pc.kernel().release.as_str(), pc.running()), ("6.13-preon", Generation(3)));
}

#[test]
fn a_generation_is_not_wanted_while_an_efi_variable_lets_another_kernel_start() {
    let pc = upgraded(Fate::Good);
    pc.check();
    let [old, new] = [ONE, TWO].map(|generation| manifest(&pc, generation).kernel.entry_id());
    for value in [new.clone(), new.replace("6.13", "*"), format!("{new}@previous")] {
        pc.set_variable("LoaderEntryDefault", Some(&value));
        let (config, files) = (pc.config(), pc.files());
        let error = pc.world.host().boots_next(ONE).unwrap_err();
        let text = base::explain::render(error.as_ref());
        assert!(text.contains(&format!("lets {new} start each time")), "{text}");
        assert!(
            text.contains("hint: let loader.conf decide again: `bootctl set-default \"\"`"),
            "{text}"
        );
        assert_eq!((wanted(&pc), pc.config(), pc.files()), (TWO, config, files));
    }
    // One that the generation fits is no hindrance.
    pc.set_variable("LoaderEntryDefault", Some(&old));
    pc.world.host().boots_next(ONE).unwrap();
    assert_eq!(comes_up(&pc), ("6.12-preon".into(), ONE));
}

/// Each restart would end there: what is up stays up.
#[test]
fn a_kernel_that_an_efi_variable_lets_start_in_any_case_gives_way_to_nothing() {
    let pc = upgraded(Fate::Unwell);
    pc.set_variable("LoaderEntryDefault", Some(&manifest(&pc, TWO).kernel.entry_id()));
    for _ in 0..2 * generations::choose::ATTEMPTS {
        assert_eq!(comes_up(&pc), ("6.13-preon".into(), TWO));
        assert_eq!(pc.settle(), Verdict::Stays(TWO));
    }
    pc.set_variable("LoaderEntryDefault", None);
    pc.check();
    assert_eq!((pc.kernel().release.as_str(), pc.running()), ("6.12-preon", ONE));
}

#[test]
fn a_kernel_that_is_asked_for_once_starts_once_and_keeps_nothing_from_changing() {
    let pc = upgraded(Fate::Good);
    let old = manifest(&pc, ONE).kernel.entry_id();
    pc.set_variable("LoaderEntryOneShot", Some(&old));
    assert_eq!(comes_up(&pc), ("6.12-preon".into(), ONE));
    assert_eq!((pc.settle(), wanted(&pc)), (Verdict::Blessed(ONE), TWO));
    assert_eq!(comes_up(&pc), ("6.13-preon".into(), TWO));
    pc.settle();
    pc.set_variable("LoaderEntryOneShot", Some(&old));
    pc.publish_kernel(Fate::Good);
    pc.upgrade(Cut::Nothing);
    assert_eq!(comes_up(&pc).0, "6.12-preon");
    pc.check();
    assert_eq!((pc.kernel().release.as_str(), pc.running()), ("6.14-preon", Generation(3)));
}

/// As another system sees it that has its disk: no word of a loader, nothing that runs.
fn falls_asleep(pc: &Pc) {
    for file in [generations::ESP, generations::RUNNING] {
        fs::remove_file(pc.world.on_host(file)).unwrap();
    }
}

#[test]
fn a_host_is_rescued_from_another_system_together_with_its_kernel() {
    let pc = upgraded(Fate::Good);
    comes_up(&pc);
    pc.settle();
    falls_asleep(&pc);
    assert!(matches!(pc.world.host().boots_next(ONE).unwrap(), Told::Yes));
    base::file::replace(&pc.world.on_host(generations::ESP), b"").unwrap();
    assert_eq!(comes_up(&pc), ("6.12-preon".into(), ONE));
    // One that never started has its three starts, and gives way.
    let pc = upgraded(Fate::Panics);
    pc.world.host().boots_next(ONE).unwrap();
    falls_asleep(&pc);
    pc.world.host().boots_next(TWO).unwrap();
    base::file::replace(&pc.world.on_host(generations::ESP), b"").unwrap();
    assert_eq!([pc.start(), pc.start(), pc.start()], [false; 3]);
    assert_eq!(comes_up(&pc), ("6.12-preon".into(), ONE));
    // A kernel that is gone is no rescue.
    falls_asleep(&pc);
    fs::remove_file(pc.folder().join(manifest(&pc, ONE).kernel.entry_id())).unwrap();
    let error = pc.world.host().boots_next(ONE).unwrap_err().to_string();
    assert!(error.contains("is not on the boot loader's partition any more"), "{error}");
}

#[test]
fn who_rescues_a_host_without_its_loaders_partition_is_told_which_kernel_to_start() {
    let pc = upgraded(Fate::Good);
    falls_asleep(&pc);
    fs::rename(pc.world.on_host("/efi/EFI"), pc.world.on_host("/efi/away")).unwrap();
    let Told::No { kernel, why: None } = pc.world.host().boots_next(ONE).unwrap() else {
        panic!("nobody was told");
    };
    assert_eq!(*kernel, manifest(&pc, ONE).kernel);
    assert_eq!(wanted(&pc), ONE);
}

#[test]
fn a_partition_that_is_not_there_stops_a_change_before_anything_is_done() {
    let pc = Pc::new();
    pc.publish_kernel(Fate::Good);
    pc.world.publish(&[TOOL]);
    fs::rename(pc.world.on_host("/efi/EFI"), pc.world.on_host("/efi/away")).unwrap();
    let before = pc.world.everything();
    let error = pc.world.change("upgrade", upgrade(false)).unwrap_err();
    assert!(error.contains("hint: `systemctl status efi.mount` says why"), "{error}");
    assert!(pc.world.everything() == before);
    // What needs no other kernel does not look for it.
    assert_eq!(pc.world.change("install", install("tool")).unwrap().generation, Some(2));
    pc.world.show(TWO);
    gc(&pc, 1);
}
