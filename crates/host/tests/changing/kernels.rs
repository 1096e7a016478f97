//! A host gets another kernel, which starts, or does not.

use std::fs;

use base::Digest;
use formats::loader::{self, EntryName};
use formats::manifest::Manifest;
use generations::{Booted, Generation, Why};
use host::health::{Check, Outcome, Report, Verdict, settle};
use host::housekeeping::Asked;
use host::transaction::Reboot;

use crate::world::{Package, World};
use crate::{install, remove, upgrade};

const OLD: Package<'_> = (
    "preon-uki-hardened",
    "6.12-1+0preon1+0.1",
    "Source: linux (6.12-1)\nProvides: preon-uki\n",
    &[("usr/lib/modules/6.12-preon/vmlinuz.efi", "uki")],
);
const NEW: Package<'_> = (
    "preon-uki-hardened",
    "6.13-1+0preon1+0.1",
    "Source: linux (6.13-1)\nProvides: preon-uki\n",
    &[("usr/lib/modules/6.13-preon/vmlinuz.efi", "new"), ("usr/share/new", "new")],
);
const FULL: Package<'_> = (
    "preon-uki-full",
    "6.13-1+0preon1+0.1",
    "Source: linux (6.13-1)\nProvides: preon-uki\n",
    &[("usr/lib/modules/6.13-preon-full/vmlinuz.efi", "full"), ("usr/share/full", "full")],
);

const TOOL: Package<'_> = ("tool", "1-1+0preon1", "", &[("usr/bin/tool", "tool")]);

/// A host that systemd-boot has started, and which could have a newer kernel.
fn machine() -> Machine {
    let machine = Machine(World::new(&[OLD]));
    let world = &machine.0;
    base::file::replace(&world.on_host(generations::ESP), b"").unwrap();
    let id = machine.manifest(1).kernel.entry_id();
    machine.write(&format!("EFI/Linux/{id}"), "uki");
    machine.write(loader::CONFIG, &loader::with_default("timeout 0\n", &id));
    world.publish(&[OLD, NEW, FULL]);
    assert_eq!(machine.start(), (1, 1));
    assert_eq!(machine.settle(true), Verdict::Blessed(Generation(1)));
    machine
}

struct Machine(World);

impl Machine {
    fn write(&self, path: &str, text: &str) {
        base::file::replace(&self.0.on_host("/efi").join(path), text.as_bytes()).unwrap();
    }

    fn manifest(&self, generation: u64) -> Manifest {
        self.0.store().manifest(Generation(generation)).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let folder = fs::read_dir(self.0.on_host("/efi/EFI/Linux")).unwrap();
        let names = folder.map(|it| it.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    fn config(&self) -> String {
        fs::read_to_string(self.0.on_host("/efi").join(loader::CONFIG)).unwrap()
    }

    /// Starts the machine as systemd-boot 257 would: of what `default` matches the newest, what it has given up last; and
    /// counts. Which kernel that is of those of generations 1 and 2.
    fn load(&self) -> u64 {
        let config = self.config();
        let default = loader::default_entry(&config).unwrap();
        let (before, behind) = default.split_once('*').unwrap_or((default, default));
        let behind = behind.rsplit('*').next().unwrap();
        let mut names: Vec<_> = self.files().iter().filter_map(|it| EntryName::parse(it)).collect();
        names.retain(|it| it.id.starts_with(before) && it.id.ends_with(behind));
        names.sort_by_key(|it| (!it.is_bad(), it.id.clone()));
        let mut name = names.pop().unwrap();
        let folder = self.0.on_host("/efi/EFI/Linux");
        let path = folder.join(name.to_string());
        let efivars = "/sys/firmware/efi/efivars";
        let variable = |name| format!("{efivars}/{name}-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f");
        let counted = self.0.on_host(&variable("LoaderBootCountPath"));
        match name.tries {
            Some(_) => base::file::replace(&counted, &[6, 0, 0, 0]).unwrap(),
            None => drop(fs::remove_file(counted)),
        }
        if let Some(tries) = &mut name.tries {
            tries.left = tries.left.saturating_sub(1);
            tries.done += 1;
        }
        fs::rename(path, folder.join(name.to_string())).unwrap();
        let kernel = self.manifest(1).kernel;
        let is_first = name.id == kernel.entry_id();
        let release = if is_first { "6.12-preon" } else { "6.13-preon" };
        let on_host = |path: &str, bytes: &[u8]| {
            base::file::replace(&self.0.on_host(path), bytes).unwrap();
        };
        on_host(generations::kernel::RELEASE, release.as_bytes());
        let text: Vec<u8> = name.id.encode_utf16().flat_map(u16::to_le_bytes).collect();
        on_host(&variable("LoaderEntrySelected"), &[&[6, 0, 0, 0], &text[..]].concat());
        if is_first { 1 } else { 2 }
    }

    /// Starts the machine as far as its systemd: which kernel runs, and which generation.
    fn start(&self) -> (u64, u64) {
        let kernel = self.load();
        let store = self.0.store();
        let choice = store.choose(&Booted::of_host(&self.0.root().0).unwrap()).unwrap();
        store.count_attempt(&choice).unwrap();
        self.0.show(choice.generation);
        (kernel, choice.generation.0)
    }

    fn settle(&self, good: bool) -> Verdict {
        let outcome = match good {
            true => Outcome::Good,
            false => Outcome::Bad { status: "exit status: 1".into(), output: "text".into() },
        };
        let check = Check { name: "check".into(), outcome, seconds: 1.0 };
        let report = Report { checks: vec![check], failed_units: Some([].into()) };
        settle(&self.0.host(), &report).unwrap()
    }

    /// Upgrades to generation 2 with the new kernel.
    fn upgrade(&self) {
        assert_eq!(self.0.change("upgrade", upgrade(false)).unwrap().generation, Some(2));
    }

    fn is_wanted(&self, generation: u64) -> bool {
        self.0.store().wanted().unwrap().generation.0 == generation
    }
}

#[test]
fn a_new_kernel_starts_at_the_next_boot_and_is_good_once_a_boot_with_it_is() {
    let machine = machine();
    let transaction = machine.0.would(upgrade(false));
    assert_eq!((transaction.changed.len(), transaction.reboot), (1, Reboot::Full));
    let before = (machine.files(), machine.config());
    machine.upgrade();
    let [old, new] = [1, 2].map(|generation| machine.manifest(generation).kernel);
    assert_eq!((new.release.as_str(), new.version.as_str()), ("6.13-preon", "6.13-1"));
    assert_eq!((new.uki, &new.package), (Digest::of(b"new"), &old.package));
    let trial = EntryName::on_trial(&new.entry_id(), 3).to_string();
    assert_eq!(machine.files(), [old.entry_id(), trial.clone()]);
    assert_eq!(fs::read(machine.0.on_host("/efi/EFI/Linux").join(trial)).unwrap(), b"new");
    assert!(!machine.0.on_host("/usr/lib/modules/6.13-preon/vmlinuz.efi").exists());
    assert!(machine.0.host().needs_another_kernel(Generation(2)).unwrap());

    assert_eq!(machine.start(), (2, 2));
    assert_eq!(machine.settle(true), Verdict::Blessed(Generation(2)));
    assert_eq!(machine.files(), [old.entry_id(), new.entry_id()]);
    assert_eq!(loader::default_entry(&machine.config()), Some(&*new.entry_id()));
    assert_eq!(machine.start(), (2, 2));

    machine.0.host().boots_next(Generation(1)).unwrap();
    assert_eq!(machine.config(), before.1);
    assert_eq!(machine.start(), (1, 1));
    machine.settle(true);
    let nothing_more = Asked { keep: 0, dry_run: false, unattended: false };
    assert_eq!(machine.0.gc(nothing_more).unwrap().kernels.len(), 1);
    assert_eq!(machine.files(), before.0);
}

#[test]
fn a_kernel_that_does_not_come_up_gives_way_together_with_its_generation() {
    let machine = machine();
    machine.upgrade();
    assert_eq!([machine.load(), machine.load(), machine.load()], [2, 2, 2]); // its initrd panics
    assert_eq!(machine.start(), (1, 1));
    assert!(machine.is_wanted(2));
    assert_eq!(machine.settle(true), Verdict::Blessed(Generation(1)));
    let wanted = machine.0.store().wanted().unwrap();
    assert_eq!(
        (wanted.generation, wanted.good, wanted.failed.0),
        (Generation(1), Generation(1), 2)
    );
    let reason = machine.0.store().failure(Generation(2)).unwrap().unwrap();
    let expected = "its kernel 6.13-preon was started 3 times and no boot with it was good\n";
    assert_eq!(reason, expected);
    let id = machine.manifest(1).kernel.entry_id();
    assert_eq!(loader::default_entry(&machine.config()), Some(&*id));
    assert_eq!(machine.start(), (1, 1));
    // Somebody tries again by hand: three times more.
    machine.0.host().boots_next(Generation(2)).unwrap();
    assert_eq!([machine.load(), machine.load()], [2, 2]);
    assert_eq!(machine.start(), (2, 2));
    assert_eq!(machine.settle(true), Verdict::Blessed(Generation(2)));
}

#[test]
fn a_kernel_whose_generation_is_not_well_gives_way_after_three_boots() {
    let machine = machine();
    machine.upgrade();
    let restart = Verdict::Restart { generation: Generation(2), then: Generation(1) };
    for _ in 0..3 {
        assert_eq!(machine.start(), (2, 2));
        assert_eq!(machine.settle(false), restart);
    }
    assert_eq!(machine.start(), (1, 1));
    assert!(machine.is_wanted(1));
    assert_eq!(machine.settle(true), Verdict::Blessed(Generation(1)));
    assert_eq!(machine.0.store().wanted().unwrap().failed, Generation(2));
    assert_eq!(machine.start(), (1, 1));
}

#[test]
fn what_an_interruption_left_undone_is_done_at_the_next_boot_or_goes() {
    let machine = machine();
    let before = machine.config();
    machine.upgrade();
    let id = machine.manifest(2).kernel.entry_id();
    let folder = machine.0.on_host("/efi/EFI/Linux");
    let staged = folder.join(format!("{id}.new"));
    // Cut before the kernel may start: the old one does, and the generation that fits it.
    fs::rename(folder.join(format!("{}", EntryName::on_trial(&id, 3))), &staged).unwrap();
    machine.write(loader::CONFIG, &before);
    assert_eq!(machine.start(), (1, 1));
    assert_eq!(machine.settle(true), Verdict::Blessed(Generation(1)));
    assert!(machine.is_wanted(2) && !staged.exists());
    assert_eq!(machine.start(), (2, 2));
    machine.settle(true);
    // Cut before the generation is there: nobody needs it.
    fs::write(folder.join("preon-6.14-preon-0123456789ab.efi.new"), "half").unwrap();
    fs::write(folder.join("other.efi"), "another system's").unwrap();
    let gone = machine.0.gc(Asked { keep: 1, dry_run: false, unattended: false }).unwrap();
    assert_eq!(gone.kernels, [folder.join("preon-6.14-preon-0123456789ab.efi.new")]);
    assert_eq!(machine.files().len(), 3);
}

#[test]
fn a_second_kernel_comes_and_goes_and_starts_only_by_hand() {
    let machine = machine();
    let outcome = machine.0.change("install", install("preon-uki-full")).unwrap();
    assert_eq!(outcome.transaction.reboot, Reboot::None);
    let manifest = machine.manifest(2);
    assert_eq!(manifest.kernel, machine.manifest(1).kernel);
    let full = &manifest.other_kernels[0];
    assert_eq!((full.release.as_str(), machine.files().len()), ("6.13-preon-full", 2));
    machine.0.show(Generation(2));
    assert_eq!(machine.load(), 1);
    let booted = Booted { entry: Some(full.entry_id()), ..Booted::of_release(&full.release) };
    assert!(matches!(machine.0.store().choose(&booted).unwrap().why, Why::Wanted));
    machine.0.change("remove", remove("preon-uki-full")).unwrap();
    assert!(machine.manifest(3).other_kernels.is_empty());
    machine.0.show(Generation(3));
    let error = machine.0.change("remove", remove("preon-uki-hardened")).unwrap_err();
    assert!(error.contains("preon-uki-hardened"), "{error}");
}

#[test]
fn a_host_that_another_loader_started_keeps_its_kernel() {
    let machine = machine();
    fs::remove_file(machine.0.on_host(generations::ESP)).unwrap();
    let transaction = machine.0.would(upgrade(false));
    assert!(transaction.changed.is_empty());
    assert_eq!(transaction.held[0].name, "preon-uki-hardened");
    let error = machine.0.change("install", install("preon-uki-full")).unwrap_err();
    assert!(error.contains("was not started by the boot loader of its image"), "{error}");
}

#[test]
fn a_partition_that_is_not_there_stops_a_change_before_anything_is_done() {
    let machine = machine();
    fs::rename(machine.0.on_host("/efi/EFI"), machine.0.on_host("/efi/away")).unwrap();
    let before = machine.0.everything();
    let error = machine.0.change("upgrade", upgrade(false)).unwrap_err();
    assert!(error.contains("hint: `systemctl status efi.mount` says why"), "{error}");
    assert!(machine.0.everything() == before);
    // What needs no other kernel does not look for it.
    machine.0.publish(&[TOOL]);
    assert_eq!(machine.0.change("install", install("tool")).unwrap().generation, Some(2));
    machine.0.show(Generation(2));
    machine.0.gc(Asked { keep: 1, dry_run: false, unattended: false }).unwrap();
}
