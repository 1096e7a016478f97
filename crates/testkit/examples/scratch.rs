//! scratch
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::Vm;
fn main() {
    let t = Instant::now();
    let mut vm = Vm::builder(Path::new("/tmp/tk/image")).cpus(2).forward(0, 80).report()
        .unit("mark.service", "[Unit]\nDescription=mark\n[Service]\nType=oneshot\nExecStart=/bin/sh -c 'cat /proc/uptime > /dev/ttyS1'\n")
        .start();
    println!("{:?} {:?}", t.elapsed(), vm.acceleration());
    vm.wait_until_booted(Duration::from_secs(300));
    println!("booted {:?} {:?} {:?}", t.elapsed(), vm.forwarded(80), vm.key());
    println!("{}", vm.run("uname -a; systemd-analyze; free -m; ls /run/credentials/@system"));
    println!("{:?} {:?}", vm.try_run("ls /nowhere"), t.elapsed());
    vm.copy_in(Path::new("/etc/hosts"), "/tmp/it's");
    assert_eq!(vm.copy_out("/tmp/it's"), std::fs::read("/etc/hosts").unwrap());
    println!("report {}", vm.report());
    vm.reboot();
    vm.wait_until_booted(Duration::from_secs(300));
    println!("rebooted {:?} {}", t.elapsed(), vm.run("uptime; docker version"));
    vm.power_off();
    println!("off {:?}", t.elapsed());
}
