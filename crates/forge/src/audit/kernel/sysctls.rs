//! Kernel parameters: what `sysctl -a` prints, and what files of sysctl.d(5) set.

use std::collections::{BTreeMap, BTreeSet};

/// Kernel parameters with their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sysctls {
    values: BTreeMap<String, String>,
    /// Those that were not to be read.
    denied: BTreeSet<String>,
}

impl Sysctls {
    /// Reads what `sysctl -a` prints, its complaints included. Lines that set nothing are left out,
    /// as are all but the first of equal names: the others go on with its text.
    pub(crate) fn parse(text: &str) -> Self {
        let mut sysctls = Self::default();
        for line in text.lines() {
            if let Some(name) = denied(line) {
                sysctls.denied.insert(name.to_owned());
            } else if let Some((name, value)) = setting(line) {
                sysctls.values.entry(name.to_owned()).or_insert(value);
            }
        }
        sysctls
    }

    /// Takes over what a file of sysctl.d(5) sets; what is set again gets the new value. Patterns
    /// (`net.ipv4.conf.*.rp_filter`) and exceptions from them are left out.
    pub(crate) fn apply(&mut self, text: &str) {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
        for line in lines {
            let line = line.strip_prefix('-').unwrap_or(line);
            if let Some((name, value)) = setting(line).filter(|(name, _)| !name.contains('*')) {
                self.values.insert(dotted(name), value);
            }
        }
    }

    /// The value of the parameter `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Whether the parameter `name` was not to be read.
    pub(crate) fn is_denied(&self, name: &str) -> bool {
        self.denied.contains(name)
    }

    /// Whether nothing is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// A name of sysctl.d(5), in which slashes may part what dots part elsewhere, as `sysctl -a` prints it.
///
/// Source: sysctl.d(5), "Configuration Format": if the first separator is a slash, dots stay within names.
fn dotted(name: &str) -> String {
    match name.find(['.', '/']).map(|at| name.as_bytes()[at]) {
        Some(b'/') => {
            let swap = |letter| match letter {
                '/' => '.',
                '.' => '/',
                other => other,
            };
            name.chars().map(swap).collect()
        }
        _ => name.to_owned(),
    }
}

/// `kernel.printk = 4 4 1 7` as name and value, with one blank between the words of the value.
fn setting(line: &str) -> Option<(&str, String)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let named = !name.is_empty() && !name.contains(|letter: char| letter.is_whitespace());
    named.then(|| (name, value.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// The name in `sysctl: permission denied on key 'vm.mmap_rnd_bits'`.
fn denied(line: &str) -> Option<&str> {
    line.trim().strip_prefix("sysctl: permission denied on key '")?.split('\'').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sysctl_prints_is_read_and_what_is_none_is_left_out() {
        let printed = "abi.vsyscall32 = 0\nkernel.printk = 4\t4\t1\t7\r\n\
                       net.ipv4.tcp_rmem=4096   131072  6291456\nkernel.domainname = (none)\n\
                       dev.cdrom.info = CD-ROM information, Id: cdrom.c 3.20\ndev.cdrom.info = \n\
                       kernel.core_pattern = |/bin/x --a=b %P\nno equals sign here\n\n = 5\n\
                       sysctl: permission denied on key 'vm.mmap_rnd_bits'\n\
                       sysctl: reading key \"net.ipv6.conf.all.stable_secret\" = x\nfs.empty =\n";
        let sysctls = Sysctls::parse(printed);
        let values: Vec<_> =
            sysctls.values.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            values,
            [
                "abi.vsyscall32=0",
                "dev.cdrom.info=CD-ROM information, Id: cdrom.c 3.20",
                "fs.empty=",
                "kernel.core_pattern=|/bin/x --a=b %P",
                "kernel.domainname=(none)",
                "kernel.printk=4 4 1 7",
                "net.ipv4.tcp_rmem=4096 131072 6291456",
            ]
        );
        assert!(sysctls.is_denied("vm.mmap_rnd_bits") && !sysctls.is_denied("kernel.printk"));
        assert!(Sysctls::parse("ssh: connect to host x port 22: refused\n").is_empty());
    }

    #[test]
    fn later_files_win_and_patterns_set_nothing_by_name() {
        let mut sysctls = Sysctls::default();
        sysctls.apply("# kernel.sysrq = 1\n; a.b = 1\nkernel.kptr_restrict = 1\n-net.core.x=2\n");
        sysctls.apply("kernel/kptr_restrict=2\nnet.ipv4.conf.*.rp_filter = 2\n-net.core.y\n");
        assert_eq!(sysctls.get("kernel.kptr_restrict"), Some("2"));
        assert_eq!(sysctls.get("net.core.x"), Some("2"));
        assert_eq!(sysctls.values.len(), 2);
    }
}
