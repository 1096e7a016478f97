//! `forge key`: the keys that sign a repository. They are never in the checkout.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base::file::FileError;
use base::{Explain, Failure};
use jiff::Timestamp;
use packages::keys::{Described, Keys, Replaced, Role};
use serde_json::json;

use crate::context::Context;

/// `forge key …`
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make new keys: one of OpenPGP for apt, one each for the roles of TUF
    New {
        #[command(flatten)]
        folder: KeysFolder,
    },
    /// Print the keys, and until when they may be used
    Show {
        #[command(flatten)]
        folder: KeysFolder,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    Rotate(Rotate),
}

/// Replace a key by a new one
///
/// Hosts that know only the old one follow: a repository is signed by the old OpenPGP key too for half a
/// year more, and each TUF root is signed by the one before it. Publish once after it.
#[derive(Debug, clap::Args)]
pub(crate) struct Rotate {
    /// What the key is for: openpgp, root, targets, snapshot or timestamp
    role: Role,
    /// Somebody else may have the old key: revoke it, so that it never signs again
    #[arg(long)]
    compromised: bool,
    #[command(flatten)]
    folder: KeysFolder,
}

/// Where the keys are.
#[derive(Debug, clap::Args)]
pub(crate) struct KeysFolder {
    /// Folder of the keys, outside of the checkout [default: ~/.config/preon/keys]
    #[arg(long, value_name = "FOLDER", env = "PREON_KEYS")]
    keys: Option<PathBuf>,
}

/// Keys have no place.
#[derive(Debug, thiserror::Error)]
enum PlaceError {
    #[error("HOME is not set, so the keys have no place")]
    None,
    #[error("{} is in the checkout, from where keys get into commits", .0.display())]
    InCheckout(PathBuf),
}

impl Explain for PlaceError {
    fn hint(&self) -> Option<String> {
        Some("give a folder elsewhere: --keys FOLDER".into())
    }
}

impl KeysFolder {
    /// The keys that are there.
    ///
    /// # Errors
    ///
    /// If there are none, or they cannot be used.
    pub(crate) fn open(&self, context: &Context) -> Result<Keys, Failure> {
        Ok(Keys::open(&self.path(context)?)?)
    }

    fn path(&self, context: &Context) -> Result<PathBuf, Failure> {
        let folder = self.keys.as_ref().or(context.keys.as_ref()).ok_or(PlaceError::None)?;
        let folder = std::path::absolute(folder).map_err(FileError::at("find", folder))?;
        if is_below(&folder, &context.root) {
            return Err(PlaceError::InCheckout(folder).into());
        }
        Ok(folder)
    }
}

/// Whether a path that may not exist yet lies below `root`, whatever links lead there.
fn is_below(path: &Path, root: &Path) -> bool {
    let root = root.canonicalize();
    let mut real = path.ancestors().filter_map(|above| above.canonicalize().ok());
    matches!((real.next(), root), (Some(real), Ok(root)) if real.starts_with(&root))
}

/// The machine's clock, in seconds since 1970.
pub(crate) fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A day, for people.
pub(crate) fn day(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|time| Timestamp::from_second(time).ok());
    time.map_or_else(|| "never".into(), |time| time.strftime("%Y-%m-%d").to_string())
}

impl Command {
    /// Does what the command says; data goes to `out`.
    ///
    /// # Errors
    ///
    /// If keys cannot be made, read or replaced.
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        let now = clock();
        let (keys, json, next) = match self {
            Self::New { folder } => (Keys::create(&folder.path(context)?, now)?, false, None),
            Self::Show { folder, json } => (folder.open(context)?, json, None),
            Self::Rotate(Rotate { role, compromised, folder }) => {
                let replaced =
                    if compromised { Replaced::IsCompromised } else { Replaced::Retires };
                (folder.open(context)?.rotate(role, now, replaced)?, false, Some(PUBLISH))
            }
        };
        let printed = if json { print_json(&keys, now, out) } else { print(&keys, now, out) };
        let printed = printed.and_then(|()| next.map_or(Ok(()), |next| writeln!(out, "{next}")));
        Ok(printed.map_err(FileError::at("write to", "standard output"))?)
    }
}

/// What comes after a rotation.
const PUBLISH: &str = "next: `forge repo publish` puts the new key to use";

fn print(keys: &Keys, now: u64, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}, root {}", keys.folder().display(), keys.root_version())?;
    for Described { role, id, until, unusable } in keys.described(now) {
        let state = match (unusable, until) {
            (Some(why), _) => why,
            (None, Some(until)) => format!("until {}", day(until)),
            (None, None) => "for ever".into(),
        };
        writeln!(out, "{role:<9}  {id:<64}  {state}")?;
    }
    Ok(())
}

fn print_json(keys: &Keys, now: u64, out: &mut dyn Write) -> io::Result<()> {
    let row = |key: Described| {
        json!({
            "role": key.role.name(), "id": key.id, "until": key.until, "unusable": key.unusable,
        })
    };
    let rows: Vec<_> = keys.described(now).into_iter().map(row).collect();
    let (folder, root) = (keys.folder(), keys.root_version());
    writeln!(out, "{}", json!({ "folder": folder, "root_version": root, "keys": rows }))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::fs::symlink;

    use clap::Parser;

    use super::*;
    use crate::context::Options;

    /// `forge key` with some words after it.
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
        #[command(subcommand)]
        command: Command,
    }

    #[test]
    fn a_rotation_ends_with_what_comes_next() {
        let scratch = tempfile::tempdir().unwrap();
        let (keys, cache) = (scratch.path().join("keys"), scratch.path().join("cache"));
        let printed = |words: &str| {
            let words = std::iter::once("key").chain(words.split(' ')).map(OsStr::new);
            let folders =
                ["--keys".as_ref(), keys.as_os_str(), "--cache".as_ref(), cache.as_os_str()];
            let line = Line::try_parse_from(words.chain(folders)).unwrap();
            let mut out = Vec::new();
            line.command.run(&Context::open(line.options).unwrap(), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let last = |words: &str| printed(words).lines().last().unwrap().to_owned();
        assert!(last("new").contains("timestamp"));
        assert!(last("rotate timestamp").contains("`forge repo publish`"));
        assert!(last("rotate openpgp --compromised").contains("`forge repo publish`"));
        assert!(last("show").contains("timestamp"));
    }

    #[test]
    fn a_folder_in_the_checkout_is_recognised_by_whatever_way_it_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("checkout");
        std::fs::create_dir_all(root.join("os")).unwrap();
        symlink(root.join("os"), scratch.path().join("link")).unwrap();
        #[rustfmt::skip]
        let cases = [
            ("checkout/keys",     true),
            ("checkout",          true),
            ("link/keys/deeper",  true),
            ("checkout-2/keys",   false),
            ("keys",              false),
        ];
        for (path, below) in cases {
            assert_eq!(is_below(&scratch.path().join(path), &root), below, "{path}");
        }
    }
}
