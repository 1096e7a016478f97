//! Debian's short names of licences as identifiers of SPDX. What has no certain counterpart has none here.
//!
//! Source: Debian's machine-readable copyright format 1.0, "License specification"; SPDX 2.3, annexes A (the
//! list) and D (expressions).

/// Names that Debian's format defines, or that its archive writes for nothing else.
const NAMES: [(&str, &str); 16] = [
    ("Expat", "MIT"),
    ("BSD-2-clause", "BSD-2-Clause"),
    ("BSD-3-clause", "BSD-3-Clause"),
    ("BSD-4-clause", "BSD-4-Clause"),
    ("BSD-4-clause-UC", "BSD-4-Clause-UC"),
    ("Apache-2", "Apache-2.0"),
    ("MPL-1", "MPL-1.0"),
    ("MPL-2", "MPL-2.0"),
    ("BSL-1", "BSL-1.0"),
    ("CC0", "CC0-1.0"),
    ("zlib", "Zlib"),
    ("ZLIB", "Zlib"),
    ("Perl", "Artistic-1.0-Perl OR GPL-1.0-or-later"),
    ("GFDL-1.3+-no-invariant", "GFDL-1.3-no-invariants-or-later"),
    ("GFDL-1.3+-no-invariants", "GFDL-1.3-no-invariants-or-later"),
    ("GFDL-1.2+-no-invariants", "GFDL-1.2-no-invariants-or-later"),
];

/// Identifiers of SPDX that Debian writes for other texts too: many licences are called MIT or X11.
const AMBIGUOUS: [&str; 2] = ["MIT", "X11"];

/// The licences of the GNU project that are written with a version and perhaps a plus.
const GNU: [(&str, &str, &str); 5] = [
    ("GPL-", "GPL-", ""),
    ("LGPL-", "LGPL-", ""),
    ("AGPL-", "AGPL-", ""),
    ("GFDL-NIV-", "GFDL-", "-no-invariants"),
    ("GFDL-", "GFDL-", ""),
];

/// The SPDX identifier (or expression) of the licence that Debian calls `name`, which may end with
/// `with … exception`. `None` where only its text says what it is.
///
/// ```
/// assert_eq!(packages::licence::spdx("GPL-2+").as_deref(), Some("GPL-2.0-or-later"));
/// assert_eq!(packages::licence::spdx("MIT"), None);
/// ```
pub fn spdx(name: &str) -> Option<String> {
    match name.split_once(" with ") {
        None => plain(name),
        Some((licence, exception)) => {
            let exception = exception.strip_suffix(" exception").unwrap_or(exception);
            let exception = spdx::exception_id(exception).filter(|id| id.name == exception)?;
            let licence = plain(licence).filter(|licence| !licence.contains(' '))?;
            Some(format!("{licence} WITH {}", exception.name))
        }
    }
}

fn plain(name: &str) -> Option<String> {
    if let Some((_, id)) = NAMES.iter().find(|(debian, _)| *debian == name) {
        return Some((*id).to_owned());
    }
    if let Some(id) = gnu(name) {
        return Some(id);
    }
    let known = spdx::license_id(name).filter(|id| !id.is_deprecated() && id.name == name)?;
    (!AMBIGUOUS.contains(&name)).then(|| known.name.to_owned())
}

/// `GPL-2`, `LGPL-2.1+`, `GFDL-NIV-1.3+`, `GPL-2.0-or-later` …, if SPDX has that version.
fn gnu(name: &str) -> Option<String> {
    let (rest, family, kind) = GNU
        .iter()
        .find_map(|(debian, family, kind)| Some((name.strip_prefix(debian)?, family, kind)))?;
    let later = rest.strip_suffix('+').or_else(|| rest.strip_suffix("-or-later"));
    let version = later.or_else(|| rest.strip_suffix("-only")).unwrap_or(rest);
    let version = if version.contains('.') { version.to_owned() } else { format!("{version}.0") };
    let bound = if later.is_some() { "or-later" } else { "only" };
    let id = format!("{family}{version}{kind}-{bound}");
    spdx::license_id(&id).filter(|known| known.name == id).map(|_| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_certain_counterpart_have_it_and_others_none() {
        #[rustfmt::skip]
        let cases = [
            ("GPL-2",                               Some("GPL-2.0-only")),
            ("GPL-2+",                              Some("GPL-2.0-or-later")),
            ("GPL-2.0-or-later",                    Some("GPL-2.0-or-later")),
            ("GPL-9+",                              None), // no such version
            ("GPL",                                 None), // which version?
            ("LGPL-2.1+",                           Some("LGPL-2.1-or-later")),
            ("LGPL-3",                              Some("LGPL-3.0-only")),
            ("GFDL-NIV-1.3+",                       Some("GFDL-1.3-no-invariants-or-later")),
            ("GFDL-1.3",                            Some("GFDL-1.3-only")),
            ("Expat",                               Some("MIT")),
            ("MIT",                                 None), // many licences have this name
            ("X11",                                 None),
            ("Artistic",                            None), // two texts have this name
            ("BSD-3-clause",                        Some("BSD-3-Clause")),
            ("BSD-3-Clause",                        Some("BSD-3-Clause")),
            ("BSD-3-clause-Oracle",                 None),
            ("ISC",                                 Some("ISC")),
            ("Apache-2.0",                          Some("Apache-2.0")),
            ("Apache-2",                            Some("Apache-2.0")),
            ("public-domain",                       None),
            ("GPL-2 with Linux-syscall-note exception", Some("GPL-2.0-only WITH Linux-syscall-note")),
            ("GPL-3+ with Bison exception",         None), // which version of the exception?
            ("Perl with Linux-syscall-note exception", None),
            ("MIT with Linux-syscall-note exception", None),
            ("",                                    None),
        ];
        for (name, expected) in cases {
            assert_eq!(spdx(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn every_name_in_the_table_is_an_expression_of_spdx() {
        for (name, id) in NAMES {
            assert!(spdx::Expression::parse(id).is_ok(), "{name} {id}");
        }
    }
}
