//! Configuration fragments: what we ask of Kconfig, each option with the reason beside it.
//!
//! ```text
//! ## a comment of its own
//! CONFIG_DM_VERITY=y          # every block of a layer is checked when read
//! CONFIG_DEVMEM=n             # dmidecode reads sysfs instead
//! ?CONFIG_KSTACK_ERASE=y      # its name from 6.17 on
//! ```
//!
//! A leading `?` marks an option that is wanted where it exists: its absence is no error.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base::Explain;
use base::file::{self, FileError};

use super::config::Value;
use super::flavour::Folders;
use super::tree;

/// One option that a fragment asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Its whole name: `CONFIG_DM_VERITY`.
    pub(crate) option: String,
    /// What it is to be.
    pub(crate) value: Value,
    /// Why, in words of what it gives or what it costs.
    pub(crate) reason: String,
    /// Whether it is an error when Kconfig does not grant it.
    pub(crate) required: bool,
    /// Where it is asked for.
    pub(crate) place: Place,
}

/// A line of a file, printed as `file:line`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file.
    pub(crate) file: PathBuf,
    /// The line, counted from 1.
    pub(crate) line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Why fragments could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FragmentError {
    /// The folder or a file in it cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The folder holds no fragment at all.
    #[error("no configuration fragment (*.config) in {}", folder.display())]
    None {
        /// The folder.
        folder: PathBuf,
    },
    /// The line is no option, comment or blank line.
    #[error("{place}: `{text}` is neither an option nor a comment")]
    Syntax {
        /// Where.
        place: Place,
        /// What is there.
        text: String,
    },
    /// The option says nothing about why.
    #[error("{place}: {option} has no reason beside it")]
    NoReason {
        /// Where.
        place: Place,
        /// Which option.
        option: String,
    },
    /// The option is set twice.
    #[error("{}: {} is set to {}, but {} has set it to {}", second.place, second.option, second.value, first.place, first.value)]
    Twice {
        /// Where it was set first.
        first: Box<Wish>,
        /// Where it is set again.
        second: Box<Wish>,
    },
}

impl Explain for FragmentError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::None { .. } => Some("run it in a checkout of Preon OS".into()),
            Self::Syntax { .. } => Some(
                "write `CONFIG_X=y  # reason` (`=n` to leave it out, a leading `?` where it need \
                 not exist), or `## comment`"
                    .into(),
            ),
            Self::NoReason { option, .. } => {
                Some(format!("add `# …` saying what {option} gives or costs"))
            }
            Self::Twice { second, .. } => {
                Some(format!("keep one of the two lines, drop {}", second.place))
            }
        }
    }
}

/// Parses the text of the fragment that is called `file`, which is used in places only.
///
/// # Errors
///
/// [`FragmentError::Syntax`], [`FragmentError::NoReason`].
pub(crate) fn parse(file: &Path, text: &str) -> Result<Vec<Wish>, FragmentError> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with("##"))
        .map(|(index, line)| parse_line(line, Place { file: file.to_owned(), line: index + 1 }))
        .collect()
}

fn parse_line(line: &str, place: Place) -> Result<Wish, FragmentError> {
    let (required, setting) = match line.strip_prefix('?') {
        Some(rest) => (false, rest),
        None => (true, line),
    };
    let (setting, reason) = super::split_reason(setting);
    let parsed = setting.split_once('=').and_then(|(option, value)| {
        let value = value.parse().ok()?;
        is_option(option).then(|| (option.to_owned(), value))
    });
    let Some((option, value)) = parsed else {
        return Err(FragmentError::Syntax { place, text: line.to_owned() });
    };
    match reason {
        Some(reason) => Ok(Wish { option, value, reason: reason.to_owned(), required, place }),
        None => Err(FragmentError::NoReason { place, option }),
    }
}

/// Whether `name` is `CONFIG_` and then letters, digits and underscores.
pub(crate) fn is_option(name: &str) -> bool {
    name.strip_prefix("CONFIG_").is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// Refuses an option that is set twice, even to the same value: then one of the two reasons is idle.
///
/// # Errors
///
/// [`FragmentError::Twice`], naming both places.
pub(crate) fn check_unique(wishes: &[Wish]) -> Result<(), FragmentError> {
    let mut seen: BTreeMap<&str, &Wish> = BTreeMap::new();
    for wish in wishes {
        if let Some(first) = seen.insert(&wish.option, wish) {
            return Err(FragmentError::Twice {
                first: Box::new(first.clone()),
                second: Box::new(wish.clone()),
            });
        }
    }
    Ok(())
}

/// Reads all fragments (`*.config`) in `folders`, in the order of their names within each.
///
/// Places name the files relative to `root`.
///
/// # Errors
///
/// [`FragmentError`], whatever its kind.
pub(crate) fn load(root: &Path, folders: &Folders) -> Result<Vec<Wish>, FragmentError> {
    let mut wishes = load_folders(root, &folders.asked)?;
    if let Some(folder) = &folders.instead {
        let instead = load_folders(root, std::slice::from_ref(folder))?;
        wishes.retain(|wish| instead.iter().all(|other| other.option != wish.option));
        wishes.extend(instead);
    }
    Ok(wishes)
}

fn load_folders(root: &Path, folders: &[PathBuf]) -> Result<Vec<Wish>, FragmentError> {
    let mut wishes = Vec::new();
    for folder in folders {
        let before = wishes.len();
        for path in fragments(folder)? {
            let text = file::read_text(&path)?;
            wishes.extend(parse(path.strip_prefix(root).unwrap_or(&path), &text)?);
        }
        if wishes.len() == before {
            return Err(FragmentError::None { folder: folder.clone() });
        }
    }
    check_unique(&wishes)?;
    Ok(wishes)
}

fn fragments(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut paths = tree::list(folder)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "config"));
    Ok(paths)
}

/// All that is asked for, in the form that `KCONFIG_ALLCONFIG` reads.
pub(crate) fn merged(wishes: &[Wish]) -> String {
    wishes.iter().map(|wish| wish.value.line(&wish.option)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::flavour::{self, Flavour};

    fn parsed(text: &str) -> Result<Vec<Wish>, String> {
        let wishes = parse(Path::new("x.config"), text).map_err(|error| error.to_string())?;
        check_unique(&wishes).map_err(|error| error.to_string())?;
        Ok(wishes)
    }

    #[test]
    fn an_option_carries_value_reason_and_place() {
        let text = "## heading\n\nCONFIG_A=y   # gives a\n?CONFIG_B=\"a # b\" # from 6.17 on\n";
        let wishes = parsed(text).unwrap();
        let wish = |option: &str, value: &str, reason: &str, required, line| Wish {
            option: option.into(),
            value: value.parse().unwrap(),
            reason: reason.into(),
            required,
            place: Place { file: "x.config".into(), line },
        };
        assert_eq!(wishes[0], wish("CONFIG_A", "y", "gives a", true, 3));
        assert_eq!(wishes[1], wish("CONFIG_B", "\"a # b\"", "from 6.17 on", false, 4));
    }

    #[test]
    fn bad_lines_are_refused_with_file_and_line() {
        #[rustfmt::skip]
        let cases = [
            ("CONFIG_A=y",               "x.config:1: CONFIG_A has no reason beside it"),
            ("CONFIG_A=y #",             "x.config:1: CONFIG_A has no reason beside it"),
            ("\nCONFIG_A=y # ",          "x.config:2: CONFIG_A has no reason beside it"),
            ("CONFIG_A=y# reason",       "x.config:1: `CONFIG_A=y# reason` is neither an option nor a comment"),
            ("CONFIG_A # reason",        "x.config:1: `CONFIG_A # reason` is neither an option nor a comment"),
            ("CONFIG_=y # reason",       "x.config:1: `CONFIG_=y # reason` is neither an option nor a comment"),
            ("A=y # reason",             "x.config:1: `A=y # reason` is neither an option nor a comment"),
            ("CONFIG_A=yes # reason",    "x.config:1: `CONFIG_A=yes # reason` is neither an option nor a comment"),
            ("CONFIG_A=\"x # reason",    "x.config:1: `CONFIG_A=\"x # reason` is neither an option nor a comment"),
            ("# CONFIG_A is not set",    "x.config:1: `# CONFIG_A is not set` is neither an option nor a comment"),
            ("CONFIG_A=y # a\nCONFIG_A=n # b", "x.config:2: CONFIG_A is set to n, but x.config:1 has set it to y"),
            ("CONFIG_A=y # a\nCONFIG_A=y # b", "x.config:2: CONFIG_A is set to y, but x.config:1 has set it to y"),
        ];
        for (text, expected) in cases {
            assert_eq!(parsed(text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn the_merged_text_is_what_kconfig_reads_without_reasons() {
        let wishes = parsed("CONFIG_A=y # a\nCONFIG_B=n # b\n?CONFIG_C=\"c\" # c").unwrap();
        assert_eq!(merged(&wishes), "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"c\"\n");
    }

    #[test]
    fn the_fragments_of_this_repository_can_be_read() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = root.join("os/kernel");
        for flavour in [Flavour::Hardened, Flavour::Full, Flavour::Unhardened] {
            let wishes = load(&root, &flavour::fragments(&folder, flavour)).unwrap();
            assert!(wishes.len() > 800, "{flavour}: {}", wishes.len());
        }
    }

    #[test]
    fn a_folder_without_fragments_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = load_folders(folder.path(), &[folder.path().to_owned()]).unwrap_err();
        assert!(matches!(error, FragmentError::None { .. }), "{error}");
    }

    #[test]
    fn what_editors_leave_beside_a_fragment_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        file::replace(&path("x.config"), b"CONFIG_A=y # a\n").unwrap();
        // The lock of an editor: a link to nowhere.
        std::os::unix::fs::symlink("me@host.1", path(".#x.config")).unwrap();
        file::replace(&path(".old.config"), b"CONFIG_B=y # b\n").unwrap();
        let wishes = load_folders(root.path(), &[root.path().to_owned()]).unwrap();
        assert_eq!(merged(&wishes), "CONFIG_A=y\n");
    }

    #[test]
    fn what_is_said_instead_takes_the_place_of_what_is_asked() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for (name, text) in [
            ("a/x.config", "CONFIG_A=y # a\nCONFIG_B=y # b\n"),
            ("b/x.config", "CONFIG_C=y # c\n"),
            ("c/x.config", "CONFIG_B=n # not b\nCONFIG_D=y # d\n"),
        ] {
            file::replace(&path(name), text.as_bytes()).unwrap();
        }
        let folders = Folders { asked: [path("a"), path("b")], instead: Some(path("c")) };
        let merged = merged(&load(root.path(), &folders).unwrap());
        assert_eq!(merged, "CONFIG_A=y\nCONFIG_C=y\n# CONFIG_B is not set\nCONFIG_D=y\n");
    }
}
