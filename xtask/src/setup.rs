//! The Debian packages that everything here needs, installed where they are missing.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::command;

/// Package and what it is for. Tools that shape bytes are not here: forge brings its own.
const PACKAGES: [(&str, &str); 24] = [
    ("apt-utils", "apt-ftparchive makes archives for tests"),
    ("binutils", "objdump, the second opinion on our unified kernel images"),
    ("bubblewrap", "runs the compiler's root without privileges"),
    ("build-essential", "linker and C compiler for Rust crates"),
    ("cpio", "the second opinion on our initrd archives"),
    ("cryptsetup-bin", "veritysetup checks our verity trees"),
    ("debian-archive-keyring", "the archive's keys"),
    ("devscripts", "hardening-check, the second opinion on our audit of programs"),
    ("dosfstools", "fsck.vfat checks the ESP"),
    ("e2fsprogs", "e2fsck checks the store's filesystem"),
    ("etcd-server", "the store that a fleet shares in tests of automatic updates"),
    ("fdisk", "sfdisk checks the partition table"),
    ("iproute2", "ip brings up the loopback of network namespaces in tests"),
    ("gpgv", "APT verifies with it what tests and benches fetch by APT"),
    ("mmdebstrap", "plain Debian systems to compare with"),
    ("mtools", "reads and writes files on FAT disks"),
    ("openssh-client", "commands in virtual machines"),
    ("openssl", "the second opinion on the signatures of our statements"),
    ("ovmf", "UEFI firmware"),
    ("qemu-system-x86", "virtual machines"),
    ("qemu-utils", "copy-on-write disks"),
    ("socat", "the serial console of a virtual machine"),
    ("time", "the memory that a program takes, in benches"),
    ("uidmap", "owners of files in plain Debian systems, where it is not root who tests"),
];

/// What the machine is.
#[derive(Debug, PartialEq, Eq)]
struct Machine {
    id: String,
    version: String,
}

/// Installs what is missing, after saying what; does nothing when all is there.
///
/// # Errors
///
/// On anything but Debian 12 or 13, if apt fails, or if the archive's new keys are not there.
pub(crate) fn ensure() -> Result<()> {
    let text = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let machine = machine(&text);
    if machine.id != "debian" || !["12", "13"].contains(&machine.version.as_str()) {
        let Machine { id, version } = machine;
        bail!("this needs Debian 12 or 13, and the machine says `{id} {version}`");
    }
    also(&PACKAGES)?;
    check_keyring()
}

/// Installs which of these packages are missing; beside each stands what it is for.
///
/// # Errors
///
/// If apt fails.
pub(crate) fn also(packages: &[(&'static str, &'static str)]) -> Result<()> {
    let missing = missing(packages, &installed()?);
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("set-up: {} Debian packages are missing:", missing.len());
    for (name, purpose) in packages.iter().filter(|(name, _)| missing.contains(name)) {
        eprintln!("  {name:<24} {purpose}");
    }
    install(&missing)
}

fn machine(os_release: &str) -> Machine {
    let field = |name: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    Machine { id: field("ID="), version: field("VERSION_ID=") }
}

fn missing(packages: &[(&'static str, &str)], installed: &BTreeSet<String>) -> Vec<&'static str> {
    let names = packages.iter().map(|(name, _)| *name);
    names.filter(|name| !installed.contains(*name)).collect()
}

fn installed() -> Result<BTreeSet<String>> {
    let format = "${db:Status-Status} ${Package}\n";
    let list = command::read(&mut command::program("dpkg-query", &["-W", "-f", format]))?;
    Ok(list.lines().filter_map(|line| line.strip_prefix("installed ")).map(str::to_owned).collect())
}

fn install(packages: &[&str]) -> Result<()> {
    let user = command::read(&mut command::program("id", &["-u"]))?;
    let privilege: &[&str] = if user.trim() == "0" { &[] } else { &["sudo"] };
    let environment = ["env", "DEBIAN_FRONTEND=noninteractive"];
    let apt = |arguments: &[&str]| {
        let words = [privilege, &environment[..], &["apt-get", "-q"], arguments].concat();
        eprintln!("set-up: {}", words.join(" "));
        command::run(&mut command::program(words[0], &words[1..]))
    };
    // A source of the machine's that has nothing to do with Debian may fail; the install tells.
    if let Err(error) = apt(&["update"]) {
        eprintln!("set-up: {error:#}; going on");
    }
    apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

/// Debian 12 got Debian 13's keys with an update of the keyring.
fn check_keyring() -> Result<()> {
    let folder = "/usr/share/keyrings/debian-archive-trixie-automatic.gpg";
    if !fs::exists(folder).unwrap_or(false) {
        bail!("{folder} is missing: update the package debian-archive-keyring");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_read_with_and_without_quotes() {
        let text =
            "PRETTY_NAME=\"Debian\"\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\nID=debian\n";
        assert_eq!(machine(text), Machine { id: "debian".into(), version: "12".into() });
    }

    #[test]
    fn only_what_is_missing_is_asked_for() {
        let all = PACKAGES.map(|(name, _)| name.to_owned());
        assert_eq!(missing(&PACKAGES, &all.clone().into()), [""; 0]);
        assert_eq!(missing(&PACKAGES, &all[1..].iter().cloned().collect()), ["apt-utils"]);
    }
}
