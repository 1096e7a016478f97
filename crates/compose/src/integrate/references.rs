//! Names that files mention and that nothing defines: users, groups, interpreters, programs.

use std::collections::BTreeSet;

use base::file::FileError;

use super::users::Accounts;
use crate::finding::Finding;
use crate::tree::{Kind, Tree};
use crate::unit;

/// Folders of tmpfiles.d, udev rules and units, whose files name accounts.
const TMPFILES: &str = "usr/lib/tmpfiles.d";
const RULES: &str = "usr/lib/udev/rules.d";
const UNITS: [&str; 2] = ["usr/lib/systemd/system", "usr/lib/systemd/user"];

/// Looks for accounts, interpreters and programs that are named but not there.
///
/// # Errors
///
/// [`FileError`] if a file cannot be read.
pub(crate) fn check(tree: &Tree, accounts: &Accounts) -> Result<Vec<Finding>, FileError> {
    let mut findings = BTreeSet::new();
    let mut name_all = |file: String, named: Vec<Named>| {
        let unknown = named.into_iter().filter(|named| !named.is_known(accounts));
        findings.extend(unknown.map(|Named { kind, name }| Finding::UnknownAccount {
            file: file.clone(),
            kind,
            name,
        }));
    };
    for (name, path, node) in tree.children(TMPFILES) {
        if let (Some(content), true) = (node.content(), name.ends_with(".conf")) {
            name_all(path.on_host(), in_tmpfiles(&content.text()?));
        }
    }
    for (name, path, node) in tree.children(RULES) {
        if let (Some(content), true) = (node.content(), name.ends_with(".rules")) {
            name_all(path.on_host(), in_rules(&content.text()?));
        }
    }
    let mut more = BTreeSet::new();
    for folder in UNITS {
        for (name, path, node) in tree.children(folder) {
            let Some(content) = node.content().filter(|_| unit::is_name(name)) else { continue };
            let assignments = unit::assignments(&content.text()?);
            name_all(path.on_host(), in_unit(&assignments));
            let gone = programs(&assignments).filter(|program| is_gone(tree, program));
            more.extend(gone.map(|program| Finding::NoProgram { unit: path.on_host(), program }));
        }
    }
    findings.extend(more);
    findings.extend(interpreters(tree)?);
    Ok(findings.into_iter().collect())
}

/// An account that a file names.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    kind: &'static str,
    name: String,
}

impl Named {
    fn is_known(&self, accounts: &Accounts) -> bool {
        // What holds a specifier or a variable is known at run time only.
        self.name.contains(['%', '$'])
            || match self.kind {
                "user" => accounts.has_user(&self.name),
                _ => accounts.has_group(&self.name),
            }
    }
}

fn named(kind: &'static str, name: &str) -> Option<Named> {
    let name = name.trim_start_matches(':');
    (!name.is_empty() && name != "-").then(|| Named { kind, name: name.to_owned() })
}

/// Source: tmpfiles.d(5), "User, Group".
fn in_tmpfiles(text: &str) -> Vec<Named> {
    let lines = crate::words::lines(text).filter_map(|(_, line)| crate::words::split(line));
    lines
        .flat_map(|words| {
            let word = |at: usize| words.get(at).map_or("", String::as_str);
            [named("user", word(3)), named("group", word(4))]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Source: udev(7), the keys `OWNER` and `GROUP`.
fn in_rules(text: &str) -> Vec<Named> {
    let mut found = Vec::new();
    for (_, line) in crate::words::lines(text) {
        for (kind, key) in [("user", "OWNER"), ("group", "GROUP")] {
            for part in line.split(',') {
                let rest = part.trim().strip_prefix(key);
                let rest = rest.map(|rest| rest.trim_start_matches([':', '=', ' ']));
                let value = rest.and_then(|rest| rest.strip_prefix('"')?.split('"').next());
                found.extend(value.and_then(|name| named(kind, name)));
            }
        }
    }
    found
}

/// Source: systemd.exec(5), "User/Group Identity"; systemd.socket(5).
fn in_unit(assignments: &[(String, String, String)]) -> Vec<Named> {
    let dynamic = |(_, key, value): &(String, String, String)| {
        key == "DynamicUser" && matches!(value.as_str(), "yes" | "true" | "1" | "on")
    };
    let dynamic = assignments.iter().any(dynamic);
    let mut found = Vec::new();
    for (_, key, value) in assignments {
        let kind = match key.as_str() {
            "User" if !dynamic => "user",
            "Group" if !dynamic => "group",
            "SocketUser" => "user",
            "SocketGroup" | "SupplementaryGroups" => "group",
            _ => continue,
        };
        found.extend(value.split_ascii_whitespace().filter_map(|name| named(kind, name)));
    }
    found
}

/// The programs that a unit cannot do without. Those after `-` may fail. Source:
/// systemd.service(5), "Special executable prefixes".
fn programs(assignments: &[(String, String, String)]) -> impl Iterator<Item = String> {
    let starts =
        assignments.iter().filter(|(section, key, _)| section == "Service" && key == "ExecStart");
    starts.filter_map(|(_, _, value)| {
        let program =
            value.split_ascii_whitespace().next()?.trim_start_matches(['@', ':', '+', '!', '|']);
        program.starts_with("/usr/").then(|| program.to_owned())
    })
}

fn is_gone(tree: &Tree, program: &str) -> bool {
    !program.contains(['%', '$']) && tree.resolve(program).is_none()
}

/// Scripts whose `#!` line names what is not there.
fn interpreters(tree: &Tree) -> Result<Vec<Finding>, FileError> {
    let mut findings = Vec::new();
    for (path, node) in tree.iter() {
        let Kind::File(content) = &node.kind else { continue };
        if node.mode & 0o111 == 0 {
            continue;
        }
        let Some(interpreter) = content.facts()?.interpreter.clone() else { continue };
        if tree.resolve(&interpreter).is_none() {
            findings.push(Finding::NoInterpreter { program: path.on_host(), interpreter });
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::UsrPath;
    use crate::tree::{Node, Origin};

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let mut tree = Tree::default();
        for (path, text) in files {
            let node = Node { mode: 0o755, ..Node::file(*text, Origin::Composed) };
            tree.add(UsrPath::new(path).unwrap(), node).unwrap();
        }
        let sysusers = ("f".to_owned(), "u root 0\ng kvm 50\n".to_owned());
        let accounts = Accounts::from_sysusers(&[sysusers]).unwrap();
        check(&tree, &accounts).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn accounts_that_do_not_exist_are_found_in_each_kind_of_file() {
        #[rustfmt::skip]
        let cases = [
            ("usr/lib/tmpfiles.d/a.conf",         "d /x 0755 root adm -",                   vec!["group adm"]),
            ("usr/lib/tmpfiles.d/a.conf",         "d /x - bob 50 -\nd /y - - :kvm -",       vec!["user bob"]),
            ("usr/lib/tmpfiles.d/a.conf",         "# d /x - bob\nL /x - - - - /y",          vec![]),
            ("usr/lib/udev/rules.d/a.rules",      "KERNEL==\"x\", GROUP=\"tty\", OWNER:=\"root\"", vec!["group tty"]),
            ("usr/lib/systemd/system/a.service",  "[Service]\nUser=bob\nGroup=kvm",         vec!["user bob"]),
            ("usr/lib/systemd/system/a.service",  "[Service]\nUser=bob\nDynamicUser=yes",   vec![]),
            ("usr/lib/systemd/system/a@.service", "[Service]\nUser=%i",                     vec![]),
            ("usr/lib/systemd/system/a.socket",   "[Socket]\nSocketGroup=docker",           vec!["group docker"]),
        ];
        for (path, text, unknown) in cases {
            let expected: Vec<_> = unknown
                .iter()
                .map(|name| format!("/{path} names the {name}, which does not exist"))
                .collect();
            assert_eq!(findings(&[(path, text)]), expected, "{text}");
        }
    }

    #[test]
    fn scripts_and_units_need_their_programs() {
        let found = findings(&[
            ("usr/bin/a", "#! /usr/bin/perl -w\n"),
            ("usr/bin/b", "#!/usr/bin/env python3\n"),
            ("usr/bin/c", "#!/bin/a\n"),
            ("usr/bin/d", "#!/usr/bin/env /usr/bin/a\n"),
            (
                "usr/lib/systemd/system/a.service",
                "[Service]\nExecStart=-/usr/bin/gone\nExecStart=!/usr/bin/a -x\n",
            ),
            ("usr/lib/systemd/system/b.service", "[Service]\nExecStart=@/usr/bin/gone\n"),
        ]);
        assert_eq!(
            found,
            [
                "/usr/bin/a needs /usr/bin/perl to run, which is not there",
                "/usr/bin/b needs /usr/bin/python3 to run, which is not there",
                "/usr/lib/systemd/system/b.service starts /usr/bin/gone, which is not there",
            ]
        );
    }
}
