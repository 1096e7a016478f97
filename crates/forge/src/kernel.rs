//! The kernel: from Debian's source and our fragments to a `bzImage` in the cache.

pub(crate) mod build;
pub(crate) mod changelog;
pub(crate) mod cmdline;
pub(crate) mod config;
mod configure;
mod flavour;
pub(crate) mod fragment;
pub(crate) mod package;
pub(crate) mod patches;
mod revision;
#[cfg(test)]
mod shop;
mod show;
mod tree;
mod update;
mod why;

use std::io::Write;
use std::path::{Path, PathBuf};

use base::file::FileError;
use base::progress::Progress;
use base::{Explain, Failure};
use formats::Version;
use serde::Serialize;

use build::{Recipe, Sandbox, Source};
use config::Config;
pub(crate) use flavour::{Flavour, Profile};
use fragment::Wish;
use packages::lock::Lock;
pub(crate) use update::{Newest, fixes, follow};

/// The Debian package that holds the source, in the tool root `kernel-source`.
pub(crate) const SOURCE_PACKAGE: &str = "linux-source-6.12";

/// What the kernel's commands need from the rest of forge.
pub(crate) trait Workshop {
    /// The checkout that is built.
    fn repository(&self) -> &Path;
    /// The folder in which built kernels are kept.
    fn cache(&self) -> &Path;
    /// Where long steps report to.
    fn progress(&self) -> &dyn Progress;
    /// The Debian 13 root that the kernel is built in.
    ///
    /// # Errors
    ///
    /// Whatever making it fails with.
    fn sandbox(&self, need: Need) -> Result<Box<dyn Sandbox>, Failure>;
    /// The kernel's source, verified.
    ///
    /// # Errors
    ///
    /// Whatever fetching it fails with.
    fn source(&self, need: Need) -> Result<Source, Failure>;
    /// Does `work` with the checkout at `root` in place of this one, all else the same.
    ///
    /// # Errors
    ///
    /// What `work` fails with.
    fn elsewhere(&self, root: &Path, work: Work<'_>) -> Result<(), Failure>;
    /// The newest source in the archive, beside the lock's.
    ///
    /// # Errors
    ///
    /// Whatever asking the archive fails with.
    fn newest(&self) -> Result<Newest, Failure>;
}

/// Something to do in a workshop.
pub(crate) type Work<'a> = &'a mut dyn FnMut(&dyn Workshop) -> Result<(), Failure>;

/// What is needed of a tool root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Its files: they are fetched and unpacked unless they are there.
    Files,
    /// Only what it is: nothing is fetched, and its files need not be there.
    Identity,
}

/// Build, show and configure the kernel
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Build the kernel, unless the cache holds it
    Build(Build),
    /// Show the built kernel
    Show(show::Show),
    /// Write the final configurations that the fragments lead to
    Config(configure::Configure),
    /// Say why an option of the kernel is as it is
    Why(why::Why),
    Update(update::Update),
}

impl Command {
    /// Does what the command says; data goes to `out`.
    ///
    /// # Errors
    ///
    /// Whatever the command fails with.
    pub(crate) fn run(self, shop: &dyn Workshop, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Build(command) => command.run(shop, out),
            Self::Show(command) => command.run(shop, out),
            Self::Config(command) => command.run(shop, out),
            Self::Why(command) => command.run(shop.repository(), out),
            Self::Update(command) => command.run(shop, out),
        }
    }
}

/// Build the kernel, unless the cache holds it.
#[derive(Debug, clap::Args)]
pub(crate) struct Build {
    /// Which kernel
    #[arg(value_enum, default_value_t)]
    flavour: Flavour,
    /// Build it once more although the cache holds it, and fail if a byte differs
    #[arg(long)]
    again: bool,
}

impl Build {
    fn run(self, shop: &dyn Workshop, out: &mut dyn Write) -> Result<(), Failure> {
        if self.again && self.flavour == Flavour::Full {
            return Err(Box::new(NeverTheSame));
        }
        let (recipe, sandbox) =
            (recipe(shop, self.flavour, Need::Files)?, shop.sandbox(Need::Files)?);
        let build = if self.again { build::again } else { build::build };
        let kernel = build(&recipe, sandbox.as_ref(), shop.cache(), shop.progress())?;
        print(out, &format!("{}\n", kernel.image().display()))
    }
}

/// The full kernel cannot be compared with itself.
#[derive(Debug, thiserror::Error)]
#[error("no two builds of the full kernel are the same")]
struct NeverTheSame;

impl Explain for NeverTheSame {
    fn hint(&self) -> Option<String> {
        Some("each makes the key of its modules and throws it away; compare `hardened`".into())
    }
}

/// A built kernel and what it was built from.
pub(crate) struct Built {
    /// Which.
    pub(crate) flavour: Flavour,
    /// Its files.
    pub(crate) kernel: build::Kernel,
    /// The package's: Debian's version of the source, and our revision.
    pub(crate) version: Version,
}

/// The built kernel, from the cache or built now.
///
/// # Errors
///
/// Fragments that cannot be read, a source or tool root that cannot be had, or
/// [`build::BuildError`].
pub(crate) fn kernel(shop: &dyn Workshop, flavour: Flavour) -> Result<Built, Failure> {
    let recipe = recipe(shop, flavour, Need::Files)?;
    let sandbox = shop.sandbox(Need::Files)?;
    let kernel = build::build(&recipe, sandbox.as_ref(), shop.cache(), shop.progress())?;
    let revision = revision::load(&shop.repository().join("os/kernel/package.toml"))?;
    let version: Version = recipe.source.version.parse()?;
    Ok(Built { flavour, kernel, version: version.with_preon(revision) })
}

/// The command line of the kernel `flavour` in the checkout at `repository`.
///
/// # Errors
///
/// [`cmdline::CmdlineError`].
pub(crate) fn command_line(
    repository: &Path,
    flavour: Flavour,
    profile: Profile,
) -> Result<String, cmdline::CmdlineError> {
    let files = flavour::command_line(&repository.join("os/kernel"), flavour, profile);
    let lines = files.iter().map(|path| cmdline::load(path)).collect::<Result<Vec<_>, _>>()?;
    Ok(lines.join(" "))
}

fn recipe(shop: &dyn Workshop, flavour: Flavour, need: Need) -> Result<Recipe, Failure> {
    let folder = shop.repository().join("os/kernel");
    tree::check(shop.repository(), &folder)?;
    Ok(Recipe {
        source: shop.source(need)?,
        patches: patches::load(&folder.join("patches"))?,
        wishes: fragment::load(shop.repository(), &flavour::fragments(&folder, flavour))?,
        committed: committed(shop.repository(), flavour),
    })
}

/// Why the committed configuration of `flavour`, which is `config`, is not what fragments and lock of the
/// checkout at `repository` lead to, as far as can be seen without Kconfig.
///
/// # Errors
///
/// Fragments or a lock that cannot be read.
pub(crate) fn outdated(
    repository: &Path,
    flavour: Flavour,
    config: &Config,
) -> Result<Option<String>, Failure> {
    let folders = flavour::fragments(&repository.join("os/kernel"), flavour);
    let wishes = fragment::load(repository, &folders)?;
    let missed = |wish: &&Wish| wish.required && *config.get(&wish.option) != wish.value;
    if let Some(Wish { place, option, value, .. }) = wishes.iter().find(missed) {
        return Ok(Some(format!("{place} asks for {option}={value}")));
    }
    let lock = Lock::load(&repository.join("os/packages.lock"))?;
    let Some(source) = lock.packages.get(SOURCE_PACKAGE) else { return Ok(None) };
    let (locked, own) =
        (source.version.as_str(), config.version.as_deref().unwrap_or("no version"));
    let same = locked.rsplit_once('-').is_some_and(|(upstream, _)| upstream == own);
    Ok((!same).then(|| format!("it is of {own}, but os/packages.lock has {locked}")))
}

/// Where the final configuration of `flavour` is committed in the checkout at `repository`.
pub(crate) fn committed(repository: &Path, flavour: Flavour) -> PathBuf {
    repository.join(format!("os/kernel/generated/{flavour}.config"))
}

/// What stands before and after the first ` #` of `line` that is not in quotes, without the blanks
/// around; `None` where nothing stands after it.
fn split_reason(line: &str) -> (&str, Option<&str>) {
    let mut quoted = false;
    let mut blank = false;
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'#' if blank && !quoted => {
                let reason = line[at + 1..].trim();
                return (line[..at].trim(), (!reason.is_empty()).then_some(reason));
            }
            _ => {}
        }
        blank = byte == b' ' || byte == b'\t';
    }
    (line.trim(), None)
}

/// A path in it is not UTF-8, or it would be JSON: there are only strings and numbers beside.
#[derive(Debug, thiserror::Error)]
#[error("cannot print this as JSON")]
struct NotJson {
    source: serde_json::Error,
}

impl Explain for NotJson {
    fn hint(&self) -> Option<String> {
        Some("give the checkout and the cache (--cache) names in UTF-8, or leave out --json".into())
    }
}

fn json(value: &impl Serialize) -> Result<String, NotJson> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n").map_err(|source| NotJson { source })
}

fn print(out: &mut dyn Write, text: &str) -> Result<(), Failure> {
    Ok(out.write_all(text.as_bytes()).map_err(FileError::at("write to", "standard output"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_begins_after_a_blank_and_outside_quotes() {
        #[rustfmt::skip]
        let cases = [
            ("A=y  # why",       ("A=y", Some("why"))),
            ("A=y\t# why # not", ("A=y", Some("why # not"))),
            ("A=\"a # b\" # c",  ("A=\"a # b\"", Some("c"))),
            ("A=y#why",          ("A=y#why", None)),
            ("A=y #  ",          ("A=y", None)),
            ("# why",            ("# why", None)),
            ("é # è",            ("é", Some("è"))),
        ];
        for (line, expected) in cases {
            assert_eq!(split_reason(line), expected, "{line}");
        }
    }
}
