//! Unit files of systemd, as far as composing must understand them.
//!
//! Source: systemd.syntax(7) and systemd.unit(5), "\[Install\] Section Options".

/// The endings of names of units.
const SUFFIXES: [&str; 11] = [
    "service",
    "socket",
    "device",
    "mount",
    "automount",
    "swap",
    "target",
    "path",
    "timer",
    "slice",
    "scope",
];

/// Whether `name` may be the name of a unit, be it a template (`getty@.service`) or not.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    name.rsplit_once('.').is_some_and(|(stem, suffix)| {
        !stem.is_empty() && SUFFIXES.contains(&suffix) && name.len() < 256
    }) && name.chars().all(allowed)
}

/// The parts of a name: before `@`, the instance (empty for a template, `None` without `@`), and
/// the ending with its dot.
pub(crate) fn parts(name: &str) -> (&str, Option<&str>, &str) {
    let (stem, suffix) = name.split_at(name.rfind('.').unwrap_or(name.len()));
    match stem.split_once('@') {
        Some((prefix, instance)) => (prefix, Some(instance), suffix),
        None => (stem, None, suffix),
    }
}

/// All assignments: section, key, value, in the order of the text.
pub(crate) fn assignments(text: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut found = Vec::new();
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with(['#', ';']));
    while let Some(line) = lines.next() {
        let mut logical = line.trim().to_owned();
        while let Some(open) = logical.strip_suffix('\\') {
            logical = match lines.next() {
                Some(next) => format!("{open} {}", next.trim()),
                None => open.to_owned(),
            };
        }
        if let Some(name) = logical.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, value)) = logical.split_once('=') {
            found.push((section.clone(), key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    found
}

/// What a unit's `[Install]` section asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Install {
    /// Units that want it: name of the folder's ending (`wants`, `requires`, `upholds`) and unit.
    pub(crate) wanted_by: Vec<(&'static str, String)>,
    pub(crate) aliases: Vec<String>,
    pub(crate) also: Vec<String>,
    pub(crate) default_instance: Option<String>,
}

impl Install {
    /// Reads the section from a unit file's text, with that of its drop-ins behind it.
    pub(crate) fn parse(text: &str) -> Self {
        let mut install = Self::default();
        for (section, key, value) in assignments(text) {
            if section != "Install" {
                continue;
            }
            let words = || value.split_ascii_whitespace().map(str::to_owned);
            let folder = match key.as_str() {
                "WantedBy" => "wants",
                "RequiredBy" => "requires",
                "UpheldBy" => "upholds",
                "Alias" => {
                    extend(&mut install.aliases, words());
                    continue;
                }
                "Also" => {
                    extend(&mut install.also, words());
                    continue;
                }
                "DefaultInstance" => {
                    install.default_instance = Some(value).filter(|text| !text.is_empty());
                    continue;
                }
                _ => continue,
            };
            if value.is_empty() {
                install.wanted_by.retain(|(known, _)| *known != folder);
            }
            install.wanted_by.extend(words().map(|unit| (folder, unit)));
        }
        install
    }

    /// Whether there is nothing that enabling the unit would do.
    pub(crate) fn is_empty(&self) -> bool {
        self.wanted_by.is_empty() && self.aliases.is_empty() && self.also.is_empty()
    }
}

/// An empty assignment takes back the earlier ones.
fn extend(list: &mut Vec<String>, words: impl Iterator<Item = String>) {
    let before = list.len();
    list.extend(words);
    if list.len() == before {
        list.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_install_section_is_read_with_resets_and_continued_lines() {
        let install = Install::parse(
            "[Unit]\nWantedBy=no.target\n[Install]\n# WantedBy=no.target\nWantedBy=a.target \\\n ; x\n  b.target\n\
             RequiredBy=c.target\nAlias=x.service\nAlias=\nAlias=d.service\nAlso=e.socket\nDefaultInstance=tty1\n",
        );
        let wanted = [("wants", "a.target"), ("wants", "b.target"), ("requires", "c.target")];
        assert_eq!(install.wanted_by, wanted.map(|(folder, unit)| (folder, unit.to_owned())));
        assert_eq!(
            (install.aliases, install.also),
            (vec!["d.service".into()], vec!["e.socket".into()])
        );
        assert_eq!(install.default_instance.as_deref(), Some("tty1"));
        assert!(Install::parse("[Install]\nWantedBy=a.target\nWantedBy=\n").is_empty());
    }

    #[test]
    fn names_of_units_are_told_from_others() {
        for (name, expected) in [
            ("ssh.service", true),
            ("getty@tty1.service", true),
            ("dev-disk-by\\x2dlabel.mount", true),
            ("ssh.service.d", false),
            ("README", false),
            (".service", false),
            ("a/b.service", false),
        ] {
            assert_eq!(is_name(name), expected, "{name}");
        }
        assert_eq!(parts("getty@tty1.service"), ("getty", Some("tty1"), ".service"));
        assert_eq!(parts("a.b.socket"), ("a.b", None, ".socket"));
    }
}
