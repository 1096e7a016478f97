//! What a host says when it cannot start: an operator has nothing but the console.

use std::time::Duration;

use system_tests::open;
use testkit::Vm;
use testkit::vm::Acceleration;

#[test]
fn a_host_that_sees_a_copy_of_its_disk_names_both_and_restarts() {
    let image = open("minimal");
    let machine = Vm::builder(&image.file("")).extra_disk(&image.file("disk.raw"));
    let mut vm = machine.acceleration(Acceleration::Emulated).start();
    vm.wait_for_console("is on two disks: vda and vdb", Duration::from_secs(300));
    vm.wait_for_console("restarting in", Duration::from_secs(60));
    vm.wait_until_reset(Duration::from_secs(120));
}
