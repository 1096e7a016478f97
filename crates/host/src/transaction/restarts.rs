//! Which services run from files that a change replaces or removes.
//!
//! Source: proc_pid_maps(5); systemd.unit(5), "UNIT FILE LOAD PATH"; <https://systemd.io/CGROUP_DELEGATION>: each service
//! that runs has a control group that is named like it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base::Failure;
use compose::shown::Package;
use formats::PackageName;

use crate::Host;

/// Where the kernel shows which services run.
const GROUPS: &str = "/sys/fs/cgroup";
/// Where packages have units, from `/usr` on.
const UNITS: &str = "lib/systemd/system/";

/// The services that run and have a unit file, a program or any other mapped file in one of these installed packages,
/// sorted. Of a host that does not run, none do.
///
/// # Errors
///
/// If what is written down about the packages cannot be read. A process that ends meanwhile is none.
pub(super) fn of(host: &Host, packages: &[PackageName]) -> Result<Vec<String>, Failure> {
    let mut files = BTreeSet::new();
    if host.running.is_some() {
        for name in packages {
            files.extend(Package::read(&host.usr, name)?.files().map(str::to_owned));
        }
    }
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let affected = |(name, group): &(String, PathBuf)| {
        has_unit(name, &files)
            || starts(host, name, &files)
            || processes(group).iter().any(|process| maps(host, process, &files))
    };
    let running = services(&host.root.below(GROUPS)).into_iter().filter(affected);
    let names: BTreeSet<_> = running.map(|(name, _)| name).collect();
    Ok(names.into_iter().collect())
}

/// The services that run below a control group, each with its own group.
fn services(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_name().to_str() {
            Some(name) if name.ends_with(".service") => found.push((name.to_owned(), path)),
            Some(_) if entry.file_type().is_ok_and(|kind| kind.is_dir()) => {
                found.extend(services(&path));
            }
            _ => {}
        }
    }
    found
}

/// The numbers of the processes in a control group and the groups below it.
fn processes(group: &Path) -> Vec<String> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut all: Vec<_> = text.lines().map(str::to_owned).collect();
    for entry in group.read_dir().into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.extend(processes(&entry.path()));
        }
    }
    all
}

/// The name of the unit file of a service: an instance has its template's.
fn unit_file(service: &str) -> String {
    match service.split_once('@') {
        Some((template, _)) => format!("{template}@.service"),
        None => service.to_owned(),
    }
}

/// Whether its unit file or a drop-in of that is one of `files`.
fn has_unit(service: &str, files: &BTreeSet<String>) -> bool {
    let file = format!("{UNITS}{}", unit_file(service));
    let folder = format!("{file}.d/");
    let drop_in = files.range(folder.clone()..).next();
    files.contains(&file) || drop_in.is_some_and(|path| path.starts_with(&folder))
}

/// Whether its unit file starts one of `files`, which may be a script that nobody maps.
fn starts(host: &Host, service: &str, files: &BTreeSet<String>) -> bool {
    let path = host.usr.join(UNITS).join(unit_file(service));
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut programs = text.lines().filter_map(program);
    programs.any(|program| files.contains(program))
}

/// The program of a line such as `ExecStart=-/usr/bin/sh`, from `/usr` on.
fn program(line: &str) -> Option<&str> {
    let (key, command) = line.split_once('=')?;
    let is_start = key.trim().starts_with("ExecStart");
    let command = command.trim_start().trim_start_matches(['@', '-', ':', '+', '!', '|']);
    let program = command.split_ascii_whitespace().next()?.trim_matches('"');
    is_start.then(|| from_usr(program)).flatten()
}

/// Whether a process has one of `files` mapped.
fn maps(host: &Host, process: &str, files: &BTreeSet<String>) -> bool {
    let path = host.root.below("/proc").join(process).join("maps");
    let text = fs::read_to_string(path).unwrap_or_default();
    // Of a file below a `/usr` that was stacked anew since, the path begins at that one.
    let mut mapped = text.lines().filter_map(|line| line.get(line.find('/')?..));
    mapped.any(|path| from_usr(path).is_some_and(|path| files.contains(path)))
}

/// A path from `/usr` on, be it given with the links that lead there or not.
fn from_usr(path: &str) -> Option<&str> {
    let path = path.strip_prefix('/')?;
    Some(path.strip_prefix("usr/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_of_a_unit_is_read_with_its_prefixes() {
        #[rustfmt::skip]
        let cases = [
            ("ExecStart=/usr/sbin/sshd -D",     Some("sbin/sshd")),
            ("ExecStartPre=-!/bin/sh -c 'x'",   Some("bin/sh")),
            ("ExecStart = \"/usr/bin/a\"",      Some("bin/a")),
            ("ExecStart=sh",                    None), // looked for at run time
            ("ExecStop=/usr/bin/a",             None),
            ("# ExecStart=/usr/bin/a",          None),
            ("ExecStart=",                      None),
        ];
        for (line, expected) in cases {
            assert_eq!(program(line), expected, "{line}");
        }
    }

    #[test]
    fn an_instance_has_the_unit_file_of_its_template() {
        let files: BTreeSet<String> = ["getty@.service", "ssh.service.d/a.conf", "sshd.service"]
            .map(|name| format!("{UNITS}{name}"))
            .into();
        #[rustfmt::skip]
        let cases = [
            ("getty@tty1.service", true),
            ("getty.service",      false),
            ("ssh.service",        true), // by its drop-in
            ("sshd.service",       true),
            ("ss.service",         false),
        ];
        for (service, expected) in cases {
            assert_eq!(has_unit(service, &files), expected, "{service}");
        }
    }
}
