//! Images: which packages an image starts from, and what is said about it beside them.

mod declared;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base::Explain;
use base::file::{self, FileError};
use compose::{Algorithm, BadAlgorithm};
use formats::PackageName;
use serde::Deserialize;

use super::folder::{RecipeError, read_toml};
use super::paths::HostPath;
use super::words::{Preset, Reason};
use crate::kernel::Profile;
use declared::Declared;
pub(crate) use declared::Kernels;
use packages::spelling;

/// What an image is made of: what `os/images/NAME.toml` says, and the image that it extends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageDefinition {
    /// One line for people.
    pub(crate) summary: Reason,
    /// The packages that are asked for; what they depend on is added.
    pub(crate) packages: Vec<PackageName>,
    /// The image whose layers lie beneath its own; without it, its own holds everything.
    pub(crate) over: Option<String>,
    /// How the layer is compressed, as `mkfs.erofs -z` takes it.
    pub(crate) compression: LayerCompression,
    /// How much is compressed at once, in bytes.
    pub(crate) cluster_bytes: ClusterBytes,
    /// Its kernels; a container image has no use for them.
    pub(crate) kernels: Kernels,
    /// How strict their command lines are.
    pub(crate) profile: Profile,
    /// What the kernels' command lines have beside the words in `os/kernel`, after them.
    pub(crate) command_line: CommandLine,
    /// Which units start, whatever recipes say.
    pub(crate) presets: BTreeMap<String, Preset>,
    /// Small files in `/etc`, by path.
    pub(crate) etc: BTreeMap<EtcPath, String>,
    /// What a container image of it says beside its files; without it, it is a disk.
    pub(crate) container: Option<Container>,
}

/// Algorithm and level.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct LayerCompression(Algorithm);

impl LayerCompression {
    /// What composing takes.
    pub(crate) fn algorithm(&self) -> &Algorithm {
        &self.0
    }
}

impl TryFrom<String> for LayerCompression {
    type Error = BadAlgorithm;

    fn try_from(text: String) -> Result<Self, BadAlgorithm> {
        Algorithm::try_from(text).map(Self)
    }
}

/// The size of EROFS's compressed clusters: a power of two from 4 kB to 1 MB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub(crate) struct ClusterBytes(u32);

impl ClusterBytes {
    /// The number of bytes.
    pub(crate) fn get(self) -> u32 {
        self.0
    }
}

impl Default for ClusterBytes {
    fn default() -> Self {
        Self(65536)
    }
}

/// The number is not the size of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a power of two from 4096 to 1048576")]
pub(crate) struct BadCluster(u32);

impl TryFrom<u32> for ClusterBytes {
    type Error = BadCluster;

    fn try_from(bytes: u32) -> Result<Self, BadCluster> {
        let good = bytes.is_power_of_two() && (4096..=1 << 20).contains(&bytes);
        if good { Ok(Self(bytes)) } else { Err(BadCluster(bytes)) }
    }
}

/// Words of a kernel's command line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct CommandLine(String);

impl CommandLine {
    /// The words in one line.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is no line that a kernel could read as it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not words with single blanks between, all in one line", .0.escape_debug())]
pub(crate) struct BadCommandLine(String);

impl TryFrom<String> for CommandLine {
    type Error = BadCommandLine;

    fn try_from(text: String) -> Result<Self, BadCommandLine> {
        let good = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        let good = good && text.split(' ').all(|word| !word.is_empty()) || text.is_empty();
        if good { Ok(Self(text)) } else { Err(BadCommandLine(text)) }
    }
}

/// A path below `/etc`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct EtcPath(HostPath);

impl EtcPath {
    /// The path as text, from the root.
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// The text is not a path below `/etc`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the path of a file below /etc")]
pub(crate) struct NotInEtc(String);

impl TryFrom<String> for EtcPath {
    type Error = NotInEtc;

    fn try_from(text: String) -> Result<Self, NotInEtc> {
        match HostPath::try_from(text.clone()) {
            Ok(path) if text.starts_with("/etc/") => Ok(Self(path)),
            _ => Err(NotInEtc(text)),
        }
    }
}

/// What a container image says beside its files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Container {
    /// What runs when nothing else is asked for.
    #[serde(default)]
    pub(crate) command: Vec<String>,
    /// The environment that programs in it start with.
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    /// Labels.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
}

/// An image's definition cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error("there is no image {name}: no {}", path.display())]
    Unknown { name: String, path: PathBuf, known: BTreeSet<String> },
    #[error("{} extends itself", path.display())]
    Circle { path: PathBuf },
    #[error("{} names no packages", path.display())]
    NoPackages { path: PathBuf },
    #[error("{} is stacked, but extends no image", path.display())]
    Baseless { path: PathBuf },
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for ImageError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { name, known, .. } => {
                let known: Vec<_> = known.iter().map(String::as_str).collect();
                Some(match spelling::nearest(name, known.iter().copied()) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => format!("write it, or take one of {}", known.join(", ")),
                })
            }
            Self::Circle { .. } => Some("let `extends` name an image that stands alone".into()),
            Self::NoPackages { .. } => Some(
                "add `packages = […]`, or `extends` and the image whose packages it has".into(),
            ),
            Self::Baseless { .. } => {
                Some("say over which: `extends`, or take `stacked` away".into())
            }
            Self::Recipe(error) => error.hint(),
            Self::File(error) => error.hint(),
        }
    }
}

impl ImageDefinition {
    /// Reads the definition of the image `name` in `folder`, with what it extends.
    ///
    /// # Errors
    ///
    /// [`ImageError`].
    pub(crate) fn named(folder: &Path, name: &str) -> Result<Self, ImageError> {
        let known = Self::names(folder)?;
        let mut chain = Vec::new();
        let mut next = Some(name.to_owned());
        while let Some(name) = next {
            let path = folder.join(format!("{name}.toml"));
            if !known.contains(&name) {
                return Err(ImageError::Unknown { name, path, known });
            }
            if chain.len() > known.len() {
                return Err(ImageError::Circle { path });
            }
            let declared = load(&path)?;
            if !declared.has_packages() {
                return Err(ImageError::NoPackages { path });
            }
            if declared.is_baseless() {
                return Err(ImageError::Baseless { path });
            }
            next = declared.extends.clone();
            chain.push(declared);
        }
        let over = |base: Option<Self>, declared: Declared| Some(declared.over(base));
        // The chain has at least the image itself.
        chain.into_iter().rev().fold(None, over).ok_or(ImageError::Circle { path: folder.into() })
    }

    /// What the text of a definition says by itself.
    #[cfg(test)]
    pub(crate) fn parse(text: &str) -> Self {
        toml::from_str::<Declared>(text).unwrap().over(None)
    }

    /// The names of the images that `folder` has definitions of.
    ///
    /// # Errors
    ///
    /// [`FileError`] if the folder cannot be read.
    pub(crate) fn names(folder: &Path) -> Result<BTreeSet<String>, FileError> {
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(folder).map_err(FileError::at("read", folder))? {
            let path = entry.map_err(FileError::at("read", folder))?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                names.insert(path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }
}

/// Reads what the file at `path` says by itself.
fn load(path: &Path) -> Result<Declared, RecipeError> {
    read_toml(path, &file::read_text(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_needs_little_more_than_packages() {
        let text =
            "summary = \"Smallest\"\npackages = [\"bash\"]\n[etc]\n\"/etc/hostname\" = \"x\\n\"";
        let image = ImageDefinition::parse(text);
        assert_eq!(image.compression.algorithm().as_str(), "zstd,12");
        assert_eq!(image.cluster_bytes.get(), 65536);
        assert_eq!(image.etc.keys().map(EtcPath::as_str).collect::<Vec<_>>(), ["/etc/hostname"]);
    }

    #[test]
    fn a_compression_that_mkfs_would_refuse_is_shown_with_line_and_caret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("minimal.toml");
        let text = "summary = \"x\"\npackages = []\ncompression = \"zstd,99\"\n";
        std::fs::write(&path, text).unwrap();
        let error = load(&path).unwrap_err();
        let expected = "\
minimal.toml:3 is not understood
  caused by: TOML parse error at line 3, column 15
  |
3 | compression = \"zstd,99\"
  |               ^^^^^^^^^
`zstd,99` is no compression of a layer: the levels of zstd are 1 to 22

hint: docs/curation.md and docs/image.md list every key
";
        let shown = base::explain::render(&error);
        assert!(shown.ends_with(expected), "{shown}");
    }

    #[test]
    fn what_an_image_cannot_mean_is_refused() {
        let base = "summary = \"x\"\npackages = []\n";
        #[rustfmt::skip]
        let cases = [
            "cluster_bytes = 65535",
            "cluster_bytes = 2048",
            "command_line = \"quiet\\npti=off\"",
            "command_line = \"a  b\"",
            "compresion = \"zstd\"",
            "[etc]\n\"/usr/x\" = \"\"",
            "[etc]\n\"/etc/../usr/x\" = \"\"",
            "[presets]\n\"ssh.service\" = \"enabled\"",
            "kernels = []",
            "kernels = [\"full\", \"full\"]",
            "kernels = [\"harder\"]",
            "kernels = [\"unhardened\"]", // for measuring only
            "profile = \"lax\"",
        ];
        for line in cases {
            let text = format!("{base}{line}\n");
            assert!(toml::from_str::<Declared>(&text).is_err(), "{line}");
        }
    }

    #[test]
    fn an_image_has_what_it_extends_and_what_it_says_itself() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let text = format!("summary = \"{name}\"\n{text}");
            std::fs::write(dir.path().join(format!("{name}.toml")), text).unwrap();
        };
        write(
            "a",
            "packages = [\"bash\"]\nprofile = \"strict\"\ncluster_bytes = 4096\n[presets]\n\"x.service\" = \"enable\"",
        );
        write(
            "b",
            "extends = \"a\"\npackages = [\"kmod\"]\nkernels = [\"full\", \"hardened\"]\ncluster_bytes = 8192",
        );
        write("c", "extends = \"d\"");
        write("d", "extends = \"c\"");
        write("e", "extends = \"minimall\"");
        write("f", "profile = \"strict\"");
        let image = ImageDefinition::named(dir.path(), "b").unwrap();
        let packages: Vec<_> = image.packages.iter().map(PackageName::as_str).collect();
        assert_eq!(packages, ["bash", "kmod"]);
        let kernels: Vec<_> = image.kernels.iter().map(|kernel| kernel.to_string()).collect();
        assert_eq!(kernels, ["full", "hardened"]);
        assert_eq!((image.profile, image.cluster_bytes.get()), (Profile::Strict, 8192));
        assert_eq!(image.presets.len(), 1);
        #[rustfmt::skip]
        let cases = [
            ("c", "extends itself"),
            ("e", "there is no image minimall"),
            ("f", "f.toml names no packages"),
        ];
        for (name, expected) in cases {
            let error = ImageDefinition::named(dir.path(), name).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
