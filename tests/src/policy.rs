//! Whether the kernel of a running host is what `os/policy/kernel.toml` demands.

use std::process::Command;

use testkit::Vm;

use crate::{Image, forge, run};

/// Audits the configuration, the command line and the parameters of a running host. `words` say which
/// kernel and profile it has, as `forge audit kernel` takes them.
///
/// # Panics
///
/// If something does not hold, with the audit's table.
pub fn holds(vm: &Vm, image: &Image, words: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect(name);
        path
    };
    let config = vm.run("zcat /proc/config.gz");
    let packaged = vm.run("cat /usr/lib/modules/$(uname -r)/config");
    assert_eq!(config, packaged, "the configuration that the package has is the running kernel's");
    let mut audit = Command::new(forge::program());
    audit.args(["audit", "kernel"]).args(words);
    audit.arg("--config").arg(write("config", &config));
    audit.arg("--sysctls").arg(write("sysctls", &vm.run("sysctl -a")));
    audit.arg("--uki").arg(image.file("preon.efi"));
    run(&mut audit);
}
