//! Updates that go wrong: each ends on the generation before it, by itself, from a cold boot, and the host says why.

use std::time::Duration;

use system_tests::kernel::{self, Initrd};
use system_tests::open;
use system_tests::publisher::{Package, Publisher};
use testkit::Vm;

/// Until a host that was switched on is up, on whichever generation: three attempts and one more, emulated.
const LONG: Duration = Duration::from_secs(2400);
const DISK_BYTES: u64 = 4 << 30;

/// A generation with one package more, and what `preon status` must say of it in the end.
struct Bad<'a> {
    /// Missing: a kernel whose initrd has no program.
    package: Option<Package<'a>>,
    /// What is done to the staged generation.
    then: &'a str,
    reason: &'a str,
}

const LOOPING: Bad<'_> = Bad {
    package: Some(Package {
        name: "looping",
        version: "1-1+0preon1",
        files: &[
            (
                "usr/lib/systemd/system/looping.service",
                "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/usr/bin/false\nRestart=always\nRestartSec=2\n\
                 [Install]\nWantedBy=multi-user.target\n",
            ),
            ("usr/lib/systemd/system-preset/50-looping.preset", "enable looping.service\n"),
        ],
    }),
    then: "true",
    reason: "looping.service",
};

const WITHOUT_DOCKER: Bad<'_> = Bad {
    package: Some(Package {
        name: "without-docker",
        version: "1-1+0preon1",
        files: &[(
            "usr/lib/systemd/system/docker.service.d/50-broken.conf",
            "[Service]\nExecStart=\nExecStart=/usr/bin/false\nRestart=no\n",
        )],
    }),
    then: "true",
    reason: "50-docker: exit status: 1",
};

/// PID 1 stops for ever, and with it the watchdog's beat.
const HANGING: Bad<'_> = Bad {
    package: Some(Package {
        name: "hanging",
        version: "1-1+0preon1",
        files: &[
            (
                "usr/lib/systemd/system/hanging.service",
                "[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\n[Service]\nType=oneshot\n\
                 ExecStart=/bin/sh -c 'kill -SEGV 1'\n[Install]\nWantedBy=sysinit.target\n",
            ),
            ("usr/lib/systemd/system-preset/50-hanging.preset", "enable hanging.service\n"),
        ],
    }),
    then: "true",
    reason: "was tried 3 times and never found good",
};

const FILLING: Bad<'_> = Bad {
    package: Some(Package {
        name: "filling",
        version: "1-1+0preon1",
        files: &[
            (
                "usr/lib/systemd/system/filling.service",
                "[Unit]\nBefore=docker.service\n[Service]\nType=oneshot\n\
                 ExecStart=-/usr/bin/dd if=/dev/zero of=/var/filled bs=1M\n[Install]\nWantedBy=multi-user.target\n",
            ),
            ("usr/lib/systemd/system-preset/50-filling.preset", "enable filling.service\n"),
        ],
    }),
    then: "true",
    reason: "50-docker: exit status: 1",
};

/// The boot is never complete, and all else works: only the deadline ends that, which is a short one here.
const STUCK: Bad<'_> = Bad {
    package: Some(Package {
        name: "stuck",
        version: "1-1+0preon1",
        files: &[
            (
                "usr/lib/systemd/system/stuck.service",
                "[Unit]\nBefore=multi-user.target\n[Service]\nType=oneshot\nTimeoutStartSec=infinity\n\
                 ExecStart=/usr/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n",
            ),
            ("usr/lib/systemd/system-preset/50-stuck.preset", "enable stuck.service\n"),
        ],
    }),
    then: "mkdir /etc/systemd/system/boot-complete.target.d && \
           printf '[Unit]\nJobTimeoutSec=300\n' > /etc/systemd/system/boot-complete.target.d/soon.conf",
    reason: "was tried 3 times and never found good",
};

/// The block of its layer that holds the filesystem's superblock is another one on the disk.
const CORRUPT: Bad<'_> = Bad {
    package: Some(Package {
        name: "corrupt",
        version: "1-1+0preon1",
        files: &[("usr/bin/corrupt", "#!/bin/sh\n")],
    }),
    then: "cd /run/preon/data/preon/layers && \
           printf x | dd of=$(ls -t *.erofs | head -n 1) bs=1 seek=1024 conv=notrunc,fsync",
    reason: "is corrupt",
};

/// The kernel panics before anything of ours runs; only the boot loader counts.
const PANICKING: Bad<'_> =
    Bad { package: None, then: "true", reason: "was started 3 times and no boot with it was good" };

/// Those that CI has the time for.
#[test]
fn a_corrupt_layer_and_a_panicking_initrd_end_on_the_generation_before() {
    let vm = end_on_the_generation_before(&[CORRUPT, PANICKING]);
    a_good_kernel_starts(vm);
}

#[test]
#[ignore = "an hour: part of --nightly"]
fn what_hangs_loops_sticks_has_no_docker_or_fills_the_disk_ends_on_the_generation_before() {
    let all = [HANGING, LOOPING, WITHOUT_DOCKER, FILLING, STUCK];
    end_on_the_generation_before(&all).power_off();
}

#[derive(Debug, serde::Deserialize)]
struct Status {
    running: u64,
    boots_next: u64,
}

fn end_on_the_generation_before(all: &[Bad<'_>]) -> Vm {
    let image = open("minimal");
    let packages: Vec<_> = all.iter().filter_map(|bad| bad.package).collect();
    let publisher = Publisher::new();
    let kernels = tempfile::tempdir().unwrap();
    let kernels = [(8, Initrd::Empty), (9, Initrd::Same)]
        .map(|(version, initrd)| kernel::package(&image, kernels.path(), (version, initrd)));
    let repository = publisher.publish_with(&packages, &kernels);
    let mut vm = Vm::builder(&image.file("")).disk_bytes(DISK_BYTES).start();
    vm.wait_until_booted(LONG);
    vm.copy_in(&repository, "/var/tmp/repository.tar");
    vm.run("mkdir /var/lib/repository && tar -xf /var/tmp/repository.tar -C /var/lib/repository");
    vm.run(
        "preon repo add trial file:///var/lib/repository --root-metadata /var/lib/repository/root.json",
    );
    settled(&vm);
    for (bad, number) in all.iter().zip(2..) {
        let (name, change) = match bad.package {
            Some(Package { name, .. }) => (name, format!("preon install --stage {name}")),
            None => ("kernel", format!("preon install --stage {}", kernel::selector(&image, 8))),
        };
        vm.run(&format!("{change} && {} && sync", bad.then));
        let status: Status = vm.json("preon status --json");
        assert_eq!((status.running, status.boots_next), (1, number), "{name}");
        vm.power_cycle();
        vm.wait_for_answer("cat /run/preon/running", LONG, |running| running == "1");
        settled(&vm);
        let status: Status = vm.json("preon status --json");
        assert_eq!((status.running, status.boots_next), (1, 1), "{name}");
        let told = vm.run("preon status");
        assert!(told.contains(bad.reason), "{name}:\n{told}");
        vm.run("rm -f /var/filled");
    }
    vm
}

/// The same kernel in a newer image: the loader counts until a boot with it was good, then it starts by itself, and
/// the kernels that nobody needs any more can go.
fn a_good_kernel_starts(mut vm: Vm) {
    let told = vm.run("preon upgrade --stage");
    assert!(told.ends_with("with another kernel: a restart of the host runs it"), "{told}");
    let error = vm.try_run("preon soft-reboot").unwrap_err().to_string();
    assert!(error.contains("hint: restart the host: `systemctl reboot`"), "{error}");
    let before = vm.run("ls /efi/EFI/Linux");
    let trial = before.lines().find(|file| file.ends_with("+3.efi")).unwrap();
    let good = trial.replace("+3.efi", ".efi");
    vm.power_cycle();
    vm.wait_for_answer("cat /run/preon/running", LONG, |running| running != "1");
    settled(&vm);
    assert!(vm.run("ls /efi/EFI/Linux").lines().any(|file| file == good));
    assert_eq!(vm.run("grep ^default /efi/loader/loader.conf"), format!("default {good}"));
    vm.run("preon gc --keep 0");
    assert_eq!(vm.run("ls /efi/EFI/Linux"), good);
    vm.power_off();
}

/// Waits until the boot is decided on.
fn settled(vm: &Vm) {
    let _ = vm.try_run("systemctl start boot-complete.target");
}
