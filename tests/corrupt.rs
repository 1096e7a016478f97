//! A host whose layer was damaged on the disk must not run it, must say which it is, and takes a good one from who brings it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use generations::choose::LAST_ATTEMPTS;
use generations::{Booted, Store};
use system_tests::{Image, find_block, open, run};
use testkit::Builder;
use testkit::vm::Acceleration;

#[test]
fn a_corrupt_layer_is_named_the_host_stops_in_the_end_and_a_disk_that_has_the_layer_heals_it() {
    let image = open("minimal");
    let layer = &image.manifest().layers[0];
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk.raw");
    run(Command::new("cp").arg("--sparse=always").arg(image.file("disk.raw")).arg(&disk));
    use_up_all_attempts_but_one(&image, &disk);

    let position = find_block(&disk, &image.layer(layer).0);
    let file = File::options().read(true).write(true).open(&disk).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, position + 1024).unwrap(); // where EROFS has its superblock
    file.write_all_at(&[byte[0] ^ 1], position + 1024).unwrap();

    let rescue = folder.path().join("rescue.ext4");
    run(Command::new("truncate").args(["-s", "256M"]).arg(&rescue));
    let content = folder.path().join("content");
    fs::create_dir(&content).unwrap();
    run(Command::new("cp").arg("-a").arg(image.file("layers")).arg(&content));
    run(Command::new("mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(&content).arg(&rescue));

    let mut vm =
        Builder::new(&disk).acceleration(Acceleration::Emulated).extra_disk(&rescue).start();
    // The kernel says "is corrupted" of a block before; only this names the layer.
    let verdict = format!("(sha256 {}) is corrupt", layer.erofs);
    vm.wait_for_console(&verdict, Duration::from_secs(300));
    vm.wait_for_console("restarting in", Duration::from_secs(60));
    vm.wait_for_console("no generation boots", Duration::from_secs(300));
    vm.wait_for_console("these files of the system are damaged:", Duration::from_secs(60));
    vm.wait_for_console(&format!("{}.erofs is restored", layer.erofs), Duration::from_secs(120));
    vm.wait_until_booted(Duration::from_secs(900));
    assert_eq!(vm.run("preon verify >/dev/null && echo whole"), "whole");
    vm.power_off();
}

/// Lets the only generation have one attempt left: nine boots take a quarter of an hour.
fn use_up_all_attempts_but_one(image: &Image, disk: &Path) {
    let kernel = Booted::of_release(&image.manifest().kernel.release);
    let start = image.partitions()[1].start;
    sys::namespace::with_private_mounts(|| {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("loop,offset={start}");
        run(Command::new("mount")
            .args(["-t", "ext4", "-o", &options])
            .arg(disk)
            .arg(folder.path()));
        let store = Store::open(&folder.path().join("preon")).unwrap();
        for _ in 1..LAST_ATTEMPTS {
            let choice = store.choose(&kernel).unwrap();
            store.count_attempt(&choice).unwrap();
        }
        run(Command::new("umount").arg(folder.path()));
    });
}
