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
    /// What Debian's build depends on and this one does not, each with the reason.
    #[serde(default)]
    pub(crate) without: BTreeMap<PackageName, Reason>,
    /// Why the archive's signature is enough where its copy of the source lacks the `.dsc`, which a developer
    /// signed.
    pub(crate) unsigned: Option<Reason>,
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
        let variables = self.environment.iter();
        variables.for_each(|(name, value)| list(name, std::slice::from_ref(value)));
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

#[cfg(test)]
mod tests {
    use base::Digest;

    use super::*;

    const METHOD: &str = r#"
        profiles = ["nocheck"]
        options  = ["nocheck"]
        [flags]
        CFLAGS  = ["-a"]
        LDFLAGS = ["-Wl,-z,now"]
        [environment]
        GOFLAGS = "-buildmode=pie"
    "#;

    fn method(text: &str) -> Method {
        toml::from_str(text).unwrap()
    }

    fn digest(method: &Method) -> Digest {
        let mut hasher = Hasher::default();
        method.digest(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn a_recipe_adds_to_what_holds_for_all() {
        let recipe = r#"
            reason = "x"
            options = ["nodoc"]
            profiles = ["stage1"]
            flags = { CFLAGS = ["-b", "-c"], CPPFLAGS = ["-d"] }
            environment = { GOFLAGS = "-v", X = "y" }
        "#;
        let method = method(METHOD).with(&toml::from_str(recipe).unwrap());
        assert_eq!(
            method.buildflags(),
            "APPEND CFLAGS -a -b -c\nAPPEND CPPFLAGS -d\nAPPEND LDFLAGS -Wl,-z,now\n"
        );
        assert_eq!(method.options, ["nocheck", "nodoc"]);
        assert_eq!(method.profiles, ["nocheck", "stage1"]);
        let environment: Vec<_> = method.environment.into_iter().collect();
        assert_eq!(environment, [("GOFLAGS", "-v"), ("X", "y")].map(|(n, v)| (n.into(), v.into())));
    }

    #[test]
    fn whatever_the_compiler_is_told_makes_another_build() {
        let same = digest(&method(METHOD));
        assert_eq!(digest(&method(METHOD)), same);
        #[rustfmt::skip]
        let changes = [
            ("profiles = [\"nocheck\"]", "profiles = []"),
            ("options  = [\"nocheck\"]", "options = [\"nodoc\"]"),
            ("[\"-a\"]",                 "[\"-a\", \"-b\"]"),
            ("CFLAGS ",                  "CPPFLAGS "),
            ("=pie",                     "=exe"),
            ("GOFLAGS",                  "OTHER"),
        ];
        for (from, to) in changes {
            let text = METHOD.replacen(from, to, 1);
            assert_ne!(text, METHOD, "{from}");
            assert_ne!(digest(&method(&text)), same, "{from}");
        }
    }
}
