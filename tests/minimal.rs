//! The minimal host, as its operator meets it. One boot, one story: starting a machine is dear.

use std::time::Duration;

use system_tests::publisher::{Package, Publisher};
use system_tests::{Manifest, open, policy};
use testkit::Vm;

/// Emulated, on a machine that does other things too.
const BOOT: Duration = Duration::from_secs(600);
const DISK_BYTES: u64 = 6 << 30;

#[test]
fn the_minimal_host_runs_containers_and_keeps_its_state() {
    let image = open("minimal");
    let manifest = image.manifest();
    let mut vm = Vm::builder(&image.file("")).cpus(2).disk_bytes(DISK_BYTES).start();
    vm.wait_until_booted(BOOT);

    it_says_what_it_is(&vm, &manifest);
    devices_have_their_names(&vm);
    it_holds_only_what_a_container_host_needs(&vm);
    nobody_logs_in_by_password(&vm);
    what_is_verified_cannot_be_written(&vm);
    policy::holds(&vm, &image, &[]);
    the_store_has_grown_to_the_disk(&vm);
    only_root_sees_the_boot_loaders_files(&vm, &manifest);
    scanners_see_what_is_installed(&vm, &manifest);
    every_program_finds_its_libraries(&vm);
    services_are_as_expected(&vm);
    a_container_runs(&vm);
    the_boot_is_found_good(&vm, 1);
    let publisher = Publisher::new();
    an_addition_is_seen_at_once(&vm, &publisher);

    vm.run("echo kept > /etc/kept && echo kept > /var/lib/kept && sync");
    vm.run("systemctl disable systemd-timesyncd");
    vm.run("truncate --size=0 /root/.ssh/authorized_keys && sync"); // as a power cut may leave it
    vm.reboot();
    vm.wait_until_booted(BOOT);
    assert_eq!(vm.run("cat /etc/kept /var/lib/kept"), "kept\nkept");
    let state = vm
        .run("systemctl is-enabled systemd-timesyncd; systemctl is-active systemd-timesyncd; true");
    assert_eq!(state, "disabled\ninactive", "an operator's word on a unit holds over a reboot");
    assert!(vm.run("docker image ls").contains("preon-base"), "images survive a reboot");
    the_boot_is_found_good(&vm, 2);
    what_was_added_boots_too(&vm);
    an_upgrade_restarts_what_runs_from_it_if_asked(&vm, &publisher);
    programs_warned_of_nothing(&vm);
    updates_come_by_themselves(&mut vm, &publisher);
    what_goes_waits_for_a_boot(&vm);
    a_soft_reboot_goes_on_with_what_waits(&mut vm);
    the_menu_has_the_generation_before(&mut vm, &manifest);
    nothing_went_wrong_on_the_console(&vm);
    vm.power_off();
}

fn it_says_what_it_is(vm: &Vm, manifest: &Manifest) {
    let release = vm.run("cat /etc/os-release");
    let (version, build) = (&manifest.version, &manifest.build_id);
    let fields = ["NAME=\"Preon OS\"", "ID=preon", "ID_LIKE=debian"].map(str::to_owned);
    let built = [format!("VERSION_ID={version}"), format!("BUILD_ID={build}")];
    let plain = release.replace('"', "");
    for field in fields.iter().chain(&built) {
        let field = field.replace('"', "");
        assert!(plain.lines().any(|line| line == field), "{field}\n{release}");
    }
    assert_eq!(vm.run("uname -r"), manifest.kernel.release);
    assert_eq!(vm.run("hostname"), "preon");
    assert_eq!(vm.run("date +%Z"), "UTC");
    assert!(vm.try_run("test -e /proc/modules").is_err(), "the kernel can load modules");
}

#[derive(Debug, serde::Deserialize)]
struct Status {
    running: u64,
    boots_next: u64,
    attempts: u32,
}

/// `preon health` has looked, and the generation boots again however often.
fn the_boot_is_found_good(vm: &Vm, generation: u64) {
    vm.run("systemctl start boot-complete.target"); // ends when the checks have
    let status: Status = vm.json("preon status --json");
    assert_eq!((status.running, status.boots_next), (generation, generation));
    assert_eq!(status.attempts, 0, "{}", vm.run("journalctl --unit preon-health --no-pager"));
    let failed = vm.run("systemctl list-units --state=failed --plain --no-legend");
    assert_eq!(failed, "");
}

const GREETER: Package<'_> = Package {
    name: "greeter",
    version: "1-1+0preon1",
    files: &[
        ("usr/bin/greet", "#!/bin/sh\ncat /etc/greeting\nid -u greeter\n"),
        ("usr/share/preon/etc/greeting", "hello\n"),
        ("usr/lib/sysusers.d/greeter.conf", "u greeter 901 \"Greeter\" /\n"),
        ("usr/lib/tmpfiles.d/greeter.conf", "d /run/greeter 0755 greeter greeter -\n"),
        (
            "usr/lib/systemd/system/greeter.service",
            "[Unit]\nDescription=Greet\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
             ExecStart=/usr/bin/greet\n[Install]\nWantedBy=multi-user.target\n",
        ),
        ("usr/lib/systemd/system/greeter-waits.service", WAITS),
        (
            "usr/lib/systemd/system-preset/50-greeter.preset",
            "enable greeter.service\nenable greeter-waits.service\n",
        ),
    ],
};

const WAITS: &str =
    "[Service]\nExecStart=/usr/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";

/// Another text, and a service less.
const GREETER_2: Package<'_> = Package {
    name: "greeter",
    version: "2-1+0preon1",
    files: &[
        ("usr/bin/greet", "#!/bin/sh\ncat /etc/greeting\nid -u greeter\n"),
        ("usr/share/preon/etc/greeting", "good day\n"),
        ("usr/lib/sysusers.d/greeter.conf", "u greeter 901 \"Greeter\" /\n"),
        ("usr/lib/systemd/system/greeter-waits.service", WAITS),
        ("usr/lib/systemd/system-preset/50-greeter.preset", "enable greeter-waits.service\n"),
    ],
};

/// A service less again.
const GREETER_3: Package<'_> = Package {
    name: "greeter",
    version: "3-1+0preon1",
    files: &[
        ("usr/bin/greet", "#!/bin/sh\ncat /etc/greeting\nid -u greeter\n"),
        ("usr/share/preon/etc/greeting", "good evening\n"),
        ("usr/lib/sysusers.d/greeter.conf", "u greeter 901 \"Greeter\" /\n"),
    ],
};

/// Its files, its defaults, its account and its service; nothing is restarted.
fn an_addition_is_seen_at_once(vm: &Vm, publisher: &Publisher) {
    put_repository(vm, publisher, &[GREETER]);
    vm.run(
        "preon repo add trial file:///var/lib/repository --root-metadata /var/lib/repository/root.json",
    );
    let before =
        vm.run("systemctl show --property=MainPID docker.service systemd-resolved.service");
    let told = vm.run("preon install greeter 2>/run/told || { cat /run/told; exit 1; }");
    assert!(told.contains("install    greeter 1-1+0preon1"), "{told}");
    assert!(
        told.contains("generation 2 runs; nothing was restarted"),
        "{told}\n{}",
        vm.run("cat /run/told")
    );
    assert_eq!(vm.run("greet"), "hello\n901");
    assert_eq!(vm.run("stat -c %U /run/greeter"), "greeter");
    vm.run("systemctl start greeter.service"); // ends when the start that the installation asked for has
    assert_eq!(vm.run("systemctl is-enabled greeter.service"), "enabled");
    let after = vm.run("systemctl show --property=MainPID docker.service systemd-resolved.service");
    assert_eq!(before, after, "something was restarted");
    assert_eq!(vm.run("preon list greeter | wc -l"), "2");
    vm.run("preon verify && preon check");
    let status: Status = vm.json("preon status --json");
    assert_eq!((status.running, status.boots_next), (2, 2));
}

/// The new files are seen, what ran from the old ones runs anew, all else goes on.
fn an_upgrade_restarts_what_runs_from_it_if_asked(vm: &Vm, publisher: &Publisher) {
    put_repository(vm, publisher, &[GREETER_2]);
    let ask = "systemctl show --property=MainPID --value docker.service greeter-waits.service";
    let (before, told) = (vm.run(ask), vm.run("preon upgrade --restart 2>&1"));
    assert!(told.contains("runs from what changes: greeter-waits.service"), "{told}");
    assert!(told.contains("generation 3 runs, and what runs from it was restarted"), "{told}");
    let (before, after) = (before.split_once("\n\n").unwrap(), vm.run(ask));
    let after = after.split_once("\n\n").unwrap();
    assert_eq!(before.0, after.0, "Docker was restarted");
    assert_ne!(before.1, after.1, "the service runs on from what is gone");
    assert_eq!(vm.run("greet"), "good day\n901");
}

/// Once there are rules for it, and no sooner: fetched, staged, restarted into and found good without anybody.
fn updates_come_by_themselves(vm: &mut Vm, publisher: &Publisher) {
    const TIMER: &str = "systemctl is-active preon-updates.timer || true";
    put_repository(vm, publisher, &[GREETER_3]);
    assert_eq!(vm.run(TIMER), "inactive");
    // Soon and short: the timer's next turn would come too late, so this one asks for another.
    vm.run(
        "printf 'mode = \"apply\"\\nwhat = \"all\"\\nwindows = [\"%s-%s\"]\\n' \
         $(date -d '+2 min' +%H:%M) $(date -d '+32 min' +%H:%M) > /etc/preon/updates.toml",
    );
    vm.wait_for_answer(TIMER, Duration::from_secs(60), |state| state == "active");
    // What the timer starts within the hour.
    vm.soft_reboot_by("systemctl start preon-updates.service", BOOT);
    vm.wait_until_booted(BOOT);
    the_boot_is_found_good(vm, 4);
    assert_eq!(vm.run("greet"), "good evening\n901");
    vm.run("systemctl start preon-updates.service"); // the turn after a start, if it is not over yet
    let told = vm.run("preon updates status; preon history; rm /etc/preon/updates.toml");
    for line in ["everything is as new as it can be", "automatic upgrade"] {
        assert!(told.contains(line), "{told}");
    }
}

fn put_repository(vm: &Vm, publisher: &Publisher, packages: &[Package<'_>]) {
    vm.copy_in(&publisher.publish(packages), "/var/tmp/repository.tar");
    vm.run(
        "rm -rf /var/lib/repository && mkdir /var/lib/repository && \
         tar -xf /var/tmp/repository.tar -C /var/lib/repository",
    );
}

fn what_was_added_boots_too(vm: &Vm) {
    assert_eq!(vm.run("greet; systemctl is-active greeter"), "hello\n901\nactive");
    let kept =
        vm.run("cat /run/preon/data/etc/copied; find /run/preon/data/etc/upper -name greeting");
    assert_eq!(kept, "", "the copy of the default was dropped: the generation has it");
}

fn what_goes_waits_for_a_boot(vm: &Vm) {
    let told = vm.run("preon remove greeter 2>&1");
    assert!(told.contains("generation 5 boots next"), "{told}");
    assert_eq!(vm.run("greet"), "good evening\n901", "nothing that runs has changed");
    let history = vm.run("preon history");
    for change in ["the image", "install greeter", "upgrade", "remove greeter"] {
        assert!(history.contains(change), "{history}");
    }
    vm.run("preon rollback 4");
    let status: Status = vm.json("preon status --json");
    assert_eq!((status.running, status.boots_next), (4, 4));
    vm.run("preon rollback 5");
}

/// Without what was removed; the kernel went on, edits stay, and the boot is counted and decided on as any other.
fn a_soft_reboot_goes_on_with_what_waits(vm: &mut Vm) {
    let boot = "cat /proc/sys/kernel/random/boot_id";
    let before = vm.run(boot);
    assert!(vm.run("preon soft-reboot --dry-run").contains("generation 5 is wanted"));
    vm.soft_reboot_by("preon soft-reboot", BOOT);
    vm.wait_until_booted(BOOT);
    assert_eq!(vm.run(boot), before, "the kernel is another one");
    the_boot_is_found_good(vm, 5);
    assert!(vm.try_run("command -v greet").is_err(), "greet is there still");
    assert_eq!(vm.run("cat /etc/kept /var/lib/kept"), "kept\nkept");
    vm.run("docker image ls | grep preon-base && docker run --rm $(docker image ls -q | head -n 1) /bin/true");
    let layers = vm.run("ls /run/preon/layers | wc -l; ls /sys/block | grep -c '^dm-'");
    assert_eq!(layers, "5\n5", "the layers of what ran before are not let go");
    vm.run("touch /etc/after-soft-reboot && rm /etc/after-soft-reboot");
}

/// As somebody chooses it in the boot loader's menu: for this boot only.
fn the_menu_has_the_generation_before(vm: &mut Vm, manifest: &Manifest) {
    let entry = format!("{}@previous", manifest.kernel.entry_id());
    vm.reboot_by(&format!("systemctl reboot --boot-loader-entry={entry}"));
    vm.wait_until_booted(BOOT);
    vm.run("systemctl start boot-complete.target");
    let status: Status = vm.json("preon status --json");
    assert_eq!((status.running, status.boots_next), (4, 5));
    assert_eq!(vm.run("greet"), "good evening\n901");
}

/// What all boots and the restart between them have printed.
fn nothing_went_wrong_on_the_console(vm: &Vm) {
    let console = vm.console();
    for complaint in ["FAILED", "Failed to initialize"] {
        // docs/boot.md, "A soft reboot": the second one of a boot says so.
        let known = |line: &&str| {
            line.contains("Failed unmounting") && line.contains("run-preon-data.mount")
        };
        let lines = console.lines().filter(|line| line.contains(complaint) && !known(line));
        assert_eq!(lines.collect::<Vec<_>>(), [""; 0]);
    }
    let rights = vm.run("grep CapBnd /proc/1/status");
    let rights = u64::from_str_radix(rights.split_ascii_whitespace().nth(1).unwrap(), 16).unwrap();
    assert_eq!(rights & (1 << 16), 0, "something may load modules, which this kernel cannot");
}

/// Since the second boot. Not counted: the kernel's own warnings, which are about the emulated machine;
/// those of sshd, for the test comes before it is ready; those that a slow machine causes.
fn programs_warned_of_nothing(vm: &Vm) {
    let warnings = vm.run("journalctl --boot --priority=warning --quiet --output=short");
    let causes = [" kernel: ", " sshd", "taking a long time"];
    let others = warnings.lines().filter(|line| !causes.iter().any(|cause| line.contains(cause)));
    assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
}

fn devices_have_their_names(vm: &Vm) {
    assert_eq!(
        vm.run("networkctl --no-legend list 'en*' | wc -l"),
        "1",
        "a card named by its place"
    );
    vm.run("test -c /dev/rtc0 && test -s /sys/class/rtc/rtc0/since_epoch");
    assert_eq!(vm.run("cat /sys/block/dm-*/queue/read_ahead_kb"), "512", "of the layer");
}

fn it_holds_only_what_a_container_host_needs(vm: &Vm) {
    for name in ["perl", "python3", "dpkg", "apt-get", "gcc", "cc", "ld", "make"] {
        assert!(vm.try_run(&format!("command -v {name}")).is_err(), "{name} is there");
    }
}

fn nobody_logs_in_by_password(vm: &Vm) {
    for line in vm.run("cat /etc/shadow").lines() {
        let fields: Vec<&str> = line.split(':').collect();
        assert!(fields[1].starts_with(['!', '*']), "a password: {line}");
        assert!(["", "99999"].contains(&fields[4]), "it expires: {line}");
    }
    let sshd = vm.run("/usr/sbin/sshd -T");
    for setting in ["passwordauthentication no", "kbdinteractiveauthentication no"] {
        assert!(sshd.lines().any(|line| line == setting), "{sshd}");
    }
}

fn what_is_verified_cannot_be_written(vm: &Vm) {
    for path in ["/usr/bin/new", "/new"] {
        let error = vm.try_run(&format!("touch {path}")).expect_err(path);
        assert!(error.output.contains("Read-only"), "{error}");
    }
}

fn the_store_has_grown_to_the_disk(vm: &Vm) {
    let size: u64 =
        vm.run("df --block-size=1 --output=size /var | tail -n 1").trim().parse().unwrap();
    assert!(size > DISK_BYTES * 9 / 10 - (128 << 20), "{size}");
}

/// `/efi` is mounted when somebody looks at it: root only. logind finds the loader's entries there.
fn only_root_sees_the_boot_loaders_files(vm: &Vm, manifest: &Manifest) {
    assert_eq!(vm.run("systemctl is-active efi.mount; true"), "inactive", "before it is asked for");
    let kernel = manifest.kernel.entry_id();
    let expected =
        format!("/efi/EFI/BOOT/BOOTX64.EFI\n/efi/EFI/Linux/{kernel}\n/efi/loader/loader.conf");
    assert_eq!(vm.run("find /efi -type f | sort"), expected);
    assert_eq!(vm.run("find /efi -perm /077"), "", "anybody but root may do something there");
    let entries = vm.run("systemctl reboot --boot-loader-entry=help");
    for kernel in [kernel.clone(), format!("{kernel}@previous")] {
        assert!(entries.lines().any(|entry| entry == kernel), "{entries}");
    }
}

fn scanners_see_what_is_installed(vm: &Vm, manifest: &Manifest) {
    let status = vm.run("cat /var/lib/dpkg/status");
    for package in &manifest.packages {
        let stanza = status.split("\n\n").find(|stanza| {
            stanza.lines().any(|line| line.strip_prefix("Package: ") == Some(&package.name))
        });
        let version = format!("Version: {}", package.debian_version);
        let stanza = stanza.unwrap_or_else(|| panic!("{} is not listed", package.name));
        assert!(stanza.lines().any(|line| line == version), "{version}\n{stanza}");
    }
}

fn every_program_finds_its_libraries(vm: &Vm) {
    let ask = "for file in /usr/bin/* /usr/sbin/* /usr/lib/systemd/systemd*; do \
               test -f $file -a -x $file && /usr/lib64/ld-linux-x86-64.so.2 --list $file 2>&1 | \
               grep -q 'not found' && echo $file; done; true";
    assert_eq!(vm.run(ask), "");
}

fn services_are_as_expected(vm: &Vm) {
    for unit in ["docker.service", "systemd-networkd", "systemd-resolved", "systemd-timesyncd"] {
        let state = vm.try_run(&format!("systemctl is-active {unit}"));
        assert!(state.is_ok(), "{unit}: {state:?}");
    }
    assert_eq!(vm.run("systemctl is-enabled docker.service"), "enabled");
    assert!(vm.run("resolvectl dns").contains("10.0.2.3"), "the name server that DHCP gave");
    let limits = vm.run("systemd-analyze cat-config systemd/journald.conf");
    assert!(limits.lines().any(|line| line.starts_with("SystemMaxUse=")), "{limits}");
    assert_eq!(
        vm.run("locale charmap 2>&1 || echo $LANG").to_uppercase().replace("C.", ""),
        "UTF-8"
    );
}

fn a_container_runs(vm: &Vm) {
    let archive = open("oci").file("preon-base.tar");
    vm.copy_in(&archive, "/var/tmp/image.tar");
    let loaded = vm.run("docker load --input /var/tmp/image.tar && rm /var/tmp/image.tar");
    let name = loaded.lines().find_map(|line| line.strip_prefix("Loaded image: ")).expect(&loaded);
    let profile = vm.run(&format!(
        "docker run --rm {name} /bin/sh -c 'cat /proc/self/attr/current; grep Seccomp: /proc/self/status; \
         sleep 300 & kill $! && echo signalled'"
    ));
    assert!(profile.contains("docker-default (enforce)"), "{profile}");
    assert!(profile.contains("Seccomp:\t2"), "{profile}");
    assert!(profile.contains("signalled"), "programs of one container: {profile}");
    let published = format!("docker run -d --rm -p 8080:80 --name there {name} sleep 300");
    vm.run(&published);
    assert!(vm.run("nft list ruleset").contains("8080"), "the port is forwarded by nftables");
    vm.run("docker kill there");
}
