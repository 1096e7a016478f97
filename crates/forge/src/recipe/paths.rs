//! Paths on the host, and patterns for them.

use std::cmp::Ordering;
use std::fmt;

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;

/// The folders whose content lies below `/usr` on the host.
///
/// Source: Debian Policy, section 9.1.1 (merged `/usr`).
const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Where the absolute path `path` really lies on the host: `/bin/x` is `/usr/bin/x`.
pub(crate) fn canonical(path: &str) -> String {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    if MERGED.contains(&first) { format!("/usr{path}") } else { path.to_owned() }
}

/// A file's place on the host: absolute, without `.`, `..` or needless slashes, and not through
/// one of the links of merged `/usr`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct HostPath(String);

/// The text is not a path on the host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPath {
    #[error("`{0}` is not an absolute path without `.`, `..`, `//` or a slash at its end")]
    Form(String),
    #[error("`{path}` is `{real}` on the host: write that")]
    Merged { path: String, real: String },
}

impl HostPath {
    /// The path as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HostPath {
    type Error = BadPath;

    fn try_from(path: String) -> Result<Self, BadPath> {
        // The longest name that Linux's filesystems have: NAME_MAX of limits.h.
        let good = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.len() <= 255
                && !part.contains(char::is_control)
        };
        match path.strip_prefix('/') {
            Some(rest) if rest.split('/').all(good) => {}
            _ => return Err(BadPath::Form(path)),
        }
        refuse_merged(&path)?;
        Ok(Self(path))
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

fn refuse_merged(path: &str) -> Result<(), BadPath> {
    let real = canonical(path);
    if real == path { Ok(()) } else { Err(BadPath::Merged { path: path.to_owned(), real }) }
}

/// A pattern for paths on the host: `*` and `?` do not match a slash, `**` is any number of
/// folders, `{a,b}` and `[ab]` as in a shell.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Pattern {
    text: String,
    matcher: GlobMatcher,
}

/// The text is not a pattern for paths on the host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPattern {
    #[error("`{0}` does not start with `/`")]
    NotAbsolute(String),
    #[error(transparent)]
    Path(#[from] BadPath),
    #[error(transparent)]
    Glob(#[from] globset::Error),
}

impl Pattern {
    /// Whether the file at `path` is meant.
    pub(crate) fn matches(&self, path: &str) -> bool {
        self.matcher.is_match(path)
    }

    /// The pattern as it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it means one path only.
    pub(crate) fn is_exact(&self) -> bool {
        !self.text.contains(['*', '?', '[', '{', '\\'])
    }
}

impl TryFrom<String> for Pattern {
    type Error = BadPattern;

    fn try_from(text: String) -> Result<Self, BadPattern> {
        if !text.starts_with('/') {
            return Err(BadPattern::NotAbsolute(text));
        }
        refuse_merged(&text)?;
        let matcher = GlobBuilder::new(&text).literal_separator(true).build()?.compile_matcher();
        Ok(Self { text, matcher })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_paths_as_a_shell_would() {
        #[rustfmt::skip]
        let cases = [
            ("/usr/share/man/**",          "/usr/share/man/man1/ls.1.gz", true),
            ("/usr/share/man/**",          "/usr/share/man",              false), // the folder goes when it is empty
            ("/usr/share/man/*",           "/usr/share/man/man1/ls.1.gz", false), // `*` stays in its folder
            ("/usr/share/man/*",           "/usr/share/man/whatis",       true),
            ("/usr/**/*.la",               "/usr/lib/x86_64-linux-gnu/libx.la", true),
            ("/usr/bin/{perl,python*}",    "/usr/bin/python3.13",         true),
            ("/usr/bin/{perl,python*}",    "/usr/bin/pyt",                false),
            ("/usr/share/locale/[!C]*/**", "/usr/share/locale/C/x",       false),
            ("/usr/bin/[",                 "/usr/bin/[",                  false), // refused, see below
            (r"/usr/bin/\[",               "/usr/bin/[",                  true),
            ("/etc/init.d/ssh",            "/etc/init.d/ssh",             true),
        ];
        for (pattern, path, expected) in cases {
            let matches = Pattern::try_from(pattern.to_owned()).is_ok_and(|p| p.matches(path));
            assert_eq!(matches, expected, "{pattern} {path}");
        }
    }

    #[test]
    fn patterns_that_could_never_match_are_refused() {
        for text in ["usr/bin/*", "", "/lib/systemd/**", "/bin/sh", "/usr/bin/[", "/usr/{a"] {
            assert!(Pattern::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_are_checked_at_the_door() {
        #[rustfmt::skip]
        let cases = [
            ("/usr/bin/awk",   true),
            ("/etc/mtab",      true),
            ("/usr/bin/[",     true),
            ("/",              false),
            ("usr/bin",        false),
            ("/usr//bin",      false),
            ("/usr/bin/",      false),
            ("/usr/../etc/x",  false),
            ("/bin/awk",       false), // merged /usr
            ("/lib64/ld.so",   false),
            ("/library/x",     true),
        ];
        for (path, good) in cases {
            assert_eq!(HostPath::try_from(path.to_owned()).is_ok(), good, "{path}");
        }
    }
}
