//! A host whose layer was damaged on the disk must not run it, and must say which it is.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::Duration;

use system_tests::{find_block, open, run};
use testkit::Builder;
use testkit::vm::Acceleration;

#[test]
fn a_corrupt_layer_is_named_and_the_host_restarts() {
    let image = open("minimal");
    let layer = &image.manifest().layers[0];
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk.raw");
    run(Command::new("cp").arg("--sparse=always").arg(image.file("disk.raw")).arg(&disk));

    let position = find_block(&disk, &image.layer(layer).0);
    let file = File::options().read(true).write(true).open(&disk).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, position + 1024).unwrap(); // where EROFS has its superblock
    file.write_all_at(&[byte[0] ^ 1], position + 1024).unwrap();

    let mut vm = Builder::new(&disk).acceleration(Acceleration::Emulated).start();
    // The kernel says "is corrupted" of a block before; only this names the layer.
    let verdict = format!("(sha256 {}) is corrupt", layer.erofs);
    vm.wait_for_console(&verdict, Duration::from_secs(300));
    vm.wait_for_console("restarting in", Duration::from_secs(60));
    vm.wait_until_reset(Duration::from_secs(120));
}
