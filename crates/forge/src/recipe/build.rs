//! How packages are compiled that are built from source: what holds for all, and what one recipe adds.

use std::collections::BTreeMap;
use std::path::Path;

use base::digest::Hasher;
use base::file;
use formats::PackageName;
use serde::Deserialize;

use super::folder::read_toml;
use super::{Reason, RecipeError};

/// `os/packages/build.toml`: what holds for every package that is built from source.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Method {
    /// Build profiles: parts of the packaging that are left out.
    pub(crate) profiles: Vec<String>,
    /// Words of `DEB_BUILD_OPTIONS`.
    pub(crate) options: Vec<String>,
    /// What is added to each kind of flags of `dpkg-buildflags`.
    pub(crate) flags: BTreeMap<String, Vec<String>>,
    /// Variables that the build sees.
    pub(crate) environment: BTreeMap<String, String>,
    /// Programs that stand before those of the build root: names and texts of scripts.
    #[serde(default)]
    pub(crate) wrappers: BTreeMap<String, String>,
}

/// `[build]` of a recipe: its packages are built from source, and what that needs beside
/// [`Method`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Build {
    /// Why Debian's build does not serve.
    pub(crate) reason: Reason,
    /// The packages that are taken from the build; all curated ones of the source, if it does not say.
    pub(crate) packages: Option<Vec<PackageName>>,
    /// Words of `DEB_BUILD_OPTIONS`, beside those for all.
    #[serde(default)]
    pub(crate) options: Vec<String>,
    /// Build profiles, beside those for all.
    #[serde(default)]
    pub(crate) profiles: Vec<String>,
    /// Variables that the build sees; they win over those for all.
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    /// Flags beside those for all.
    #[serde(default)]
    pub(crate) flags: BTreeMap<String, Vec<String>>,
    /// Relations that the build root must meet, beside what the source package says.
    #[serde(default)]
    pub(crate) needs: Vec<String>,
    /// Why two builds are not identical.
    pub(crate) differs: Option<Reason>,
}

impl Method {
    /// Reads `build.toml` in the folder of the recipes.
    ///
    /// # Errors
    ///
    /// [`RecipeError`] with the line.
    pub(crate) fn load(folder: &Path) -> Result<Self, RecipeError> {
        let path = folder.join("build.toml");
        read_toml(&path, &file::read_text(&path)?)
    }

    /// What holds for one package: this, and what its recipe adds.
    pub(crate) fn with(&self, build: &Build) -> Self {
        let mut method = self.clone();
        method.profiles.extend(build.profiles.iter().cloned());
        method.options.extend(build.options.iter().cloned());
        method.environment.extend(build.environment.clone());
        for (kind, flags) in &build.flags {
            method.flags.entry(kind.clone()).or_default().extend(flags.iter().cloned());
        }
        method
    }

    /// Adds all of it to a digest.
    pub(crate) fn digest(&self, hasher: &mut Hasher) {
        let mut list = |name: &str, words: &[String]| {
            hasher.field(name.as_bytes()).field(words.join("\n").as_bytes());
        };
        list("profiles", &self.profiles);
        list("options", &self.options);
        self.flags.iter().for_each(|(kind, flags)| list(kind, flags));
        let pairs = self.environment.iter().chain(&self.wrappers);
        pairs.for_each(|(name, value)| list(name, std::slice::from_ref(value)));
    }

    /// The text of `/etc/dpkg/buildflags.conf`.
    ///
    /// Source: dpkg-buildflags(1), "FILES".
    pub(crate) fn buildflags(&self) -> String {
        let lines =
            self.flags.iter().map(|(kind, flags)| format!("APPEND {kind} {}\n", flags.join(" ")));
        lines.collect()
    }
}
