//! Paths at or below `/usr`, the only ones that a layer has.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use base::Explain;

/// Where defaults for `/etc` lie: the host mounts its `/etc` overlay over this folder.
pub const ETC: &str = "usr/share/preon/etc";

/// A path at or below `/usr`, as the host sees it; a copy is cheap. Prints with a slash in front: `/usr/bin/sh`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsrPath(Arc<str>);

/// A text is not a path at or below `/usr`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a plain path at or below /usr")]
pub struct BadPath(pub String);

impl Explain for BadPath {}

impl UsrPath {
    /// Checks `text`; a slash or `./` in front and a slash at the end do not matter.
    ///
    /// # Errors
    ///
    /// [`BadPath`] unless it is `usr` or below, without empty parts, `.`, `..` or control
    /// characters.
    pub fn new(text: &str) -> Result<Self, BadPath> {
        let path = text.strip_prefix("./").or(text.strip_prefix('/')).unwrap_or(text);
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut parts = path.split('/');
        let plain = |part: &str| {
            !matches!(part, "" | "." | "..") && !part.contains(|c: char| c.is_control())
        };
        if parts.next() == Some("usr") && parts.all(plain) {
            Ok(Self(path.into()))
        } else {
            Err(BadPath(text.to_owned()))
        }
    }

    /// A path that is written in this crate's own source.
    pub(crate) fn fixed(text: &'static str) -> Self {
        debug_assert!(Self::new(text).is_ok(), "{text}");
        Self(text.into())
    }

    /// Where the default for `/etc/NAME` lies.
    ///
    /// # Errors
    ///
    /// [`BadPath`] as for [`UsrPath::new`].
    pub fn etc(name: &str) -> Result<Self, BadPath> {
        Self::new(&format!("{ETC}/{name}"))
    }

    /// What lies at `name`, which may have several parts, below this path.
    ///
    /// # Errors
    ///
    /// [`BadPath`] as for [`UsrPath::new`].
    pub fn join(&self, name: &str) -> Result<Self, BadPath> {
        Self::new(&format!("{}/{name}", self.0))
    }

    /// The path without a slash in front: `usr/bin/sh`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path inside of a layer, whose root is `/usr`: `bin/sh`, empty for `/usr` itself.
    pub fn in_layer(&self) -> &str {
        self.0.strip_prefix("usr/").unwrap_or("")
    }

    /// The folder that it is in; `None` for `/usr`.
    pub fn parent(&self) -> Option<Self> {
        self.above().map(|parent| Self(parent.into()))
    }

    /// As [`UsrPath::parent`], as text.
    pub(crate) fn above(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(parent, _)| parent)
    }

    /// The last part.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// Where people look for it: defaults of `/etc` at `/etc`, all else where it is.
    pub fn on_host(&self) -> String {
        match self.0.strip_prefix(ETC) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("/etc{rest}"),
            _ => format!("/{}", self.0),
        }
    }
}

impl Borrow<str> for UsrPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UsrPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

impl fmt::Debug for UsrPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_below_usr_are_accepted() {
        #[rustfmt::skip]
        let cases = [
            ("usr",            Some("/usr")),
            ("/usr/bin/sh",    Some("/usr/bin/sh")),
            ("./usr/bin/",     Some("/usr/bin")),
            ("usr/a b",        Some("/usr/a b")),
            ("etc/passwd",     None),
            ("usrlocal",       None),
            ("usr//bin",       None),
            ("usr/../etc",     None),
            ("usr/a\nb",       None),
            ("",               None),
            ("/",              None),
        ];
        for (text, expected) in cases {
            let path = UsrPath::new(text).ok().map(|path| path.to_string());
            assert_eq!(path.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_path_knows_its_place_in_the_layer_and_on_the_host() {
        let sh = UsrPath::new("/usr/bin/sh").unwrap();
        assert_eq!((sh.in_layer(), sh.name()), ("bin/sh", "sh"));
        assert_eq!(sh.parent().unwrap().to_string(), "/usr/bin");
        assert_eq!(sh.on_host(), "/usr/bin/sh");
        assert_eq!(UsrPath::etc("ssh/x").unwrap().on_host(), "/etc/ssh/x");
        assert_eq!(
            UsrPath::new("usr/share/preon/etcetera").unwrap().on_host(),
            "/usr/share/preon/etcetera"
        );
        assert_eq!(UsrPath::new("usr").unwrap().in_layer(), "");
    }
}
