//! Where the Debian archive is: taken from the machine's own APT sources, or given.
//!
//! Source: sources.list(5).

use std::path::{Path, PathBuf};

use base::Explain;
use base::file::{self, FileError};
use formats::deb822;

/// Where Debian's archive and its security archive are, as URIs without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The archive of the releases and their updates.
    pub main: String,
    /// The archive of security updates.
    pub security: String,
}

/// One entry of APT's sources: what it says about where packages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The archive's roots.
    pub uris: Vec<String>,
    /// The suites (`bookworm`, `bookworm-updates`).
    pub suites: Vec<String>,
    /// The components (`main`).
    pub components: Vec<String>,
    /// The keyring or key that must have signed it.
    pub signed_by: Option<String>,
}

/// The machine's APT sources do not say where Debian's archive is.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// A file or folder cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A `.sources` file is malformed.
    #[error("cannot read the APT sources in {}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: deb822::Malformed,
    },
    /// None of the sources is Debian's archive.
    #[error("the APT sources below {} name no Debian archive", root.display())]
    NotFound {
        /// The folder that was searched.
        root: PathBuf,
    },
    /// An URI was given that cannot be used.
    #[error("`{0}` is no URI of an archive (http://, https:// or file://)")]
    BadUri(String),
}

impl Explain for SourcesError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Malformed { .. } => None,
            Self::NotFound { .. } | Self::BadUri(_) => {
                Some("give the archive yourself: --archive http://HOST/debian".into())
            }
        }
    }
}

impl Sources {
    /// The archive that a caller names; `security` is its sibling `…-security` if not given.
    ///
    /// # Errors
    ///
    /// [`SourcesError::BadUri`] for anything but `http://`, `https://` and `file://`.
    pub fn given(main: &str, security: Option<&str>) -> Result<Self, SourcesError> {
        let main = checked(main)?;
        let security = match security {
            Some(security) => checked(security)?,
            None => sibling(&main),
        };
        Ok(Self { main, security })
    }

    /// Reads `etc/apt/sources.list` and `etc/apt/sources.list.d` below `root` (`/` on a machine)
    /// and picks Debian's archive: see [`find`].
    ///
    /// # Errors
    ///
    /// [`SourcesError`] if a file cannot be read, or none names Debian's archive.
    pub fn load(root: &Path) -> Result<Self, SourcesError> {
        let mut sources = Vec::new();
        for path in files(root)? {
            let text = file::read_text(&path)?;
            if path.extension().is_some_and(|ending| ending == "sources") {
                let parsed = parse_deb822(&text);
                sources.extend(parsed.map_err(|source| SourcesError::Malformed { path, source })?);
            } else {
                sources.extend(parse_list(&text));
            }
        }
        for source in &mut sources {
            for uri in &mut source.uris {
                follow_mirror_file(root, uri)?;
            }
        }
        find(&sources).ok_or_else(|| SourcesError::NotFound { root: root.join("etc/apt") })
    }
}

/// The files that APT reads, in its order.
fn files(root: &Path) -> Result<Vec<PathBuf>, FileError> {
    let apt = root.join("etc/apt");
    let mut files = Vec::new();
    let folder = apt.join("sources.list.d");
    if folder.is_dir() {
        let entries = folder.read_dir().map_err(FileError::at("read", &folder))?;
        for entry in entries {
            let path = entry.map_err(FileError::at("read", &folder))?.path();
            if path.extension().is_some_and(|ending| ending == "list" || ending == "sources") {
                files.push(path);
            }
        }
        files.sort();
    }
    let list = apt.join("sources.list");
    if list.is_file() {
        files.insert(0, list);
    }
    Ok(files)
}

/// Replaces `mirror+file:PATH`, as Debian's cloud images have it, by the first URI in that file.
///
/// Source: apt-transport-mirror(1).
fn follow_mirror_file(root: &Path, uri: &mut String) -> Result<(), FileError> {
    let Some(path) = uri.strip_prefix("mirror+file:") else { return Ok(()) };
    let path = root.join(path.trim_start_matches('/'));
    let text = file::read_text(&path)?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    if let Some(first) = lines.find_map(|line| line.split_whitespace().next()) {
        *uri = first.to_owned();
    }
    Ok(())
}

/// Reads a `.list` file: the binary package sources; lines that are none are passed over.
pub fn parse_list(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_line).collect()
}

/// Reads one line: `deb [option=value …] URI suite component…`.
fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let mut rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
    let mut signed_by = None;
    if let Some(inside) = rest.strip_prefix('[') {
        let (options, after) = inside.split_once(']')?;
        let value = |option: &str| option.strip_prefix("signed-by=").map(str::to_owned);
        signed_by = options.split_whitespace().find_map(value);
        rest = after;
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    let (uri, suite) = (words.next()?, words.next()?);
    Some(Source { uris: vec![uri], suites: vec![suite], components: words.collect(), signed_by })
}

/// Reads a `.sources` file: the binary package sources that are enabled.
///
/// # Errors
///
/// What deb822 says about the file's form.
pub fn parse_deb822(text: &str) -> Result<Vec<Source>, deb822::Malformed> {
    let mut sources = Vec::new();
    for paragraph in deb822::paragraphs(text) {
        let paragraph = paragraph?;
        let words = |name: &str| -> Vec<String> {
            let value = paragraph.get(name).unwrap_or_default();
            let lines = value.lines().filter(|line| !line.starts_with('#'));
            lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
        };
        let enabled = paragraph.get("Enabled").is_none_or(|value| !is_no(value));
        if enabled && words("Types").iter().any(|kind| kind == "deb") {
            sources.push(Source {
                uris: words("URIs"),
                suites: words("Suites"),
                components: words("Components"),
                signed_by: paragraph.get("Signed-By").map(str::to_owned),
            });
        }
    }
    Ok(sources)
}

/// Whether APT takes the word for a "no".
///
/// Source: apt, `StringToBool` in apt-pkg/contrib/strutl.cc.
fn is_no(word: &str) -> bool {
    ["no", "false", "without", "off", "disable", "0"].iter().any(|no| word.eq_ignore_ascii_case(no))
}

/// Picks Debian's archive and its security archive out of all sources.
///
/// A source counts if it has the component `main` and a suite of Debian. Several such may be
/// there (some third parties name their suites after Debian's): a path with a folder `debian` or
/// `debian-security` goes first, then what Debian's keyring signs, then the order of the files.
pub fn find(sources: &[Source]) -> Option<Sources> {
    let best = |security: bool| {
        let folder = if security { "debian-security" } else { "debian" };
        let fitting = sources.iter().filter(|source| {
            let mut suites = source.suites.iter();
            source.components.iter().any(|component| component == "main")
                && suites.any(|suite| is_debian(suite) && is_security(suite) == security)
        });
        let uris = fitting.flat_map(|source| {
            let keyring = source.signed_by.as_deref().unwrap_or_default();
            let ours = keyring.contains("debian-archive");
            source.uris.iter().filter_map(move |uri| Some((ours, checked(uri).ok()?)))
        });
        let ranked = uris.enumerate().map(|(at, (ours, uri))| {
            let named = uri.split('/').any(|part| part == folder);
            ((!named, !ours, at), uri)
        });
        ranked.min().map(|(_, uri)| uri)
    };
    let main = best(false)?;
    let security = best(true).unwrap_or_else(|| sibling(&main));
    Some(Sources { main, security })
}

/// Whether a suite is one of Debian's by name.
fn is_debian(suite: &str) -> bool {
    const NAMES: [&str; 11] = [
        "bullseye",
        "bookworm",
        "trixie",
        "forky",
        "duke",
        "sid",
        "stable",
        "oldstable",
        "oldoldstable",
        "testing",
        "unstable",
    ];
    let base = suite.split(['-', '/']).next().unwrap_or_default();
    let kinds = ["", "-updates", "-security", "/updates", "-backports", "-proposed-updates"];
    NAMES.contains(&base) && kinds.contains(&&suite[base.len()..])
}

/// Whether a suite is of the security archive.
pub(crate) fn is_security(suite: &str) -> bool {
    suite.ends_with("-security") || suite.ends_with("/updates")
}

fn checked(uri: &str) -> Result<String, SourcesError> {
    let rest = ["http://", "https://", "file://", "file:/"]
        .iter()
        .find_map(|scheme| uri.strip_prefix(scheme))
        .filter(|rest| !rest.is_empty() && !rest.contains([' ', '?', '#', '%']));
    match rest {
        Some(_) => Ok(uri.trim_end_matches('/').replacen("file:///", "file:/", 1)),
        None => Err(SourcesError::BadUri(uri.to_owned())),
    }
    .map(|uri| uri.replacen("file:/", "file:///", 1))
}

/// The security archive beside `main`: the last folder `debian` becomes `debian-security`.
fn sibling(main: &str) -> String {
    match main.rsplit_once("/debian") {
        Some((before, after)) if after.is_empty() || after.starts_with('/') => {
            format!("{before}/debian-security{after}")
        }
        _ => format!("{main}-security"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
# deb http://old.example/debian bookworm main
deb [arch=amd64 signed-by=/k/docker.gpg] https://docker.example/linux/debian bookworm stable
deb https://php.example/php bookworm main
deb http://mirror.example/debian/ bookworm main contrib # ours
deb-src http://src.example/debian bookworm main
deb http://mirror.example/debian-security bookworm-security main
";

    const DEB822: &str = "\
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm
# a comment
 bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://node.example/node_20.x
Suites: nodistro
Components: main

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: sid
Components: main
";

    fn found(main: &str, security: &str) -> Option<Sources> {
        Some(Sources { main: main.into(), security: security.into() })
    }

    #[test]
    fn debians_archive_is_found_among_third_parties() {
        let (main, security) =
            ("http://mirror.example/debian", "http://mirror.example/debian-security");
        assert_eq!(find(&parse_list(LIST)), found(main, security));
        assert_eq!(find(&parse_deb822(DEB822).unwrap()), found(main, security));
        assert_eq!(find(&[]), None);
        assert_eq!(find(&parse_list("deb https://x.example/apt cloud-bookworm main")), None);
    }

    #[test]
    fn a_security_archive_elsewhere_is_used() {
        let text = "deb http://a.example/debian trixie main\n\
                    deb http://b.example/sec trixie-security main\n";
        assert_eq!(
            find(&parse_list(text)),
            found("http://a.example/debian", "http://b.example/sec")
        );
    }

    #[test]
    fn a_given_archive_replaces_both() {
        #[rustfmt::skip]
        let cases = [
            ("http://m.example/debian/",     None,                    "http://m.example/debian",   "http://m.example/debian-security"),
            ("http://m.example/debian/2026", None,                    "http://m.example/debian/2026", "http://m.example/debian-security/2026"),
            ("https://m.example/mirror",     None,                    "https://m.example/mirror",  "https://m.example/mirror-security"),
            ("file:///srv/debian",           None,                    "file:///srv/debian",        "file:///srv/debian-security"),
            ("file:/srv/debian",             Some("http://s.example"), "file:///srv/debian",       "http://s.example"),
        ];
        for (main, security, expected, expected_security) in cases {
            let sources = Sources::given(main, security).unwrap();
            assert_eq!(Some(sources), found(expected, expected_security), "{main}");
        }
        for bad in ["", "ftp://m.example/debian", "debian", "http://", "http://a b"] {
            assert!(Sources::given(bad, None).unwrap_err().hint().is_some(), "{bad:?}");
        }
    }

    #[test]
    fn the_files_of_a_machine_are_read_with_mirror_lists() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| file::replace(&dir.path().join(path), text.as_bytes());
        write("etc/apt/sources.list.d/ignored.bak", LIST).unwrap();
        let text = "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\n\
                    Suites: trixie\nComponents: main\n";
        write("etc/apt/sources.list.d/debian.sources", text).unwrap();
        write("etc/apt/mirrors/debian.list", "# first\nhttps://cloud.example/debian\tpriority:1\n")
            .unwrap();
        let sources = Sources::load(dir.path()).unwrap();
        assert_eq!(sources.main, "https://cloud.example/debian");
    }

    #[test]
    fn a_machine_without_sources_says_what_to_give() {
        let dir = tempfile::tempdir().unwrap();
        let error = Sources::load(dir.path()).unwrap_err();
        assert!(error.to_string().ends_with("name no Debian archive"), "{error}");
        assert!(error.hint().unwrap().contains("--archive"));
    }

    #[test]
    fn malformed_sources_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etc/apt/sources.list.d/bad.sources");
        file::replace(&path, b"no field\n").unwrap();
        let error = Sources::load(dir.path()).unwrap_err();
        assert!(error.to_string().ends_with("bad.sources"), "{error}");
    }

    #[test]
    fn a_source_is_off_by_any_word_that_apt_takes_for_no() {
        for (word, on) in
            [("no", false), ("False", false), ("off", false), ("0", false), ("yes", true)]
        {
            let text = format!(
                "Types: deb\nURIs: http://x/debian\nSuites: trixie\nComponents: main\nEnabled: {word}\n"
            );
            assert_eq!(parse_deb822(&text).unwrap().len(), usize::from(on), "{word}");
        }
    }
}
