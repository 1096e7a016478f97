//! A host that does not start is led back by another one, to which its disk is attached.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use system_tests::kernel::{self, Initrd};
use system_tests::publisher::Publisher;
use system_tests::{Image, open, run};
use testkit::Builder;

const BOOT: Duration = Duration::from_secs(900);
const DISK_BYTES: u64 = 3 << 30;

#[derive(Debug, serde::Deserialize)]
struct Status {
    running: u64,
    boots_next: u64,
}

#[test]
#[ignore = "three boots: part of --nightly"]
fn a_generation_with_a_kernel_of_its_own_is_given_up_from_another_host() {
    let image = open("minimal");
    let folder = tempfile::tempdir().unwrap();
    let (patient, helper) = (disk(&image, folder.path(), "patient"), other(&image, folder.path()));
    let key = folder.path().join("key");

    let mut vm = Builder::new(&patient).in_place().start();
    vm.wait_until_booted(BOOT);
    let package = kernel::package(&image, folder.path(), (8, Initrd::Empty));
    let publisher = Publisher::new();
    let repository = publisher.publish_with(&[], &[package]);
    vm.copy_in(&repository, "/var/tmp/repository.tar");
    vm.run("mkdir /var/lib/repository && tar -xf /var/tmp/repository.tar -C /var/lib/repository");
    vm.run(
        "preon repo add trial file:///var/lib/repository --root-metadata /var/lib/repository/root.json",
    );
    vm.run(&format!("preon install --stage {}", kernel::selector(&image, 8)));
    for ending in ["", "pub"] {
        let from = vm.key().with_extension(ending);
        fs::copy(from, key.with_extension(ending)).unwrap();
    }
    vm.power_off();

    let mut vm = Builder::new(&helper).extra_disk(&patient).in_place().start();
    vm.wait_until_booted(BOOT);
    vm.run("mkdir -p /tmp/patient/run/preon/data");
    // Which of the two disks is the second one, is the firmware's and the kernel's choice.
    vm.run(
        "for data in /dev/vd?2; do findmnt --source $data >/dev/null || \
         mount $data /tmp/patient/run/preon/data; done",
    );
    let told = vm.run("preon --root /tmp/patient status");
    assert!(told.contains("generation 2"), "{told}");
    vm.run("preon --root /tmp/patient rollback 1 && umount /tmp/patient/run/preon/data");
    vm.power_off();

    let mut vm = Builder::new(&patient).in_place().key(&key).start();
    vm.wait_until_booted(BOOT);
    vm.run("systemctl start boot-complete.target");
    let status: Status = vm.json("preon status --json");
    assert_eq!((status.running, status.boots_next), (1, 1));
    let starts = vm.console().matches("Kernel panic").count();
    assert_eq!(starts, 0, "the loader was not told: it tried the other kernel");
    vm.power_off();
}

/// A host's disk, never booted.
fn disk(image: &Image, folder: &Path, name: &str) -> PathBuf {
    let disk = folder.join(format!("{name}.raw"));
    run(Command::new("cp").arg("--sparse=always").arg(image.file("disk.raw")).arg(&disk));
    File::options().write(true).open(&disk).unwrap().set_len(DISK_BYTES).unwrap();
    disk
}

/// Another host's disk, whose partitions have other identifiers: of two alike a host would not know which is its own.
fn other(image: &Image, folder: &Path) -> PathBuf {
    let disk = disk(image, folder, "helper");
    for (number, identifier) in [("1", "11111111"), ("2", "22222222")] {
        let identifier = format!("{identifier}-2222-4333-8444-555555555555");
        run(Command::new("sfdisk").arg("--part-uuid").arg(&disk).args([number, &identifier]));
    }
    disk
}
