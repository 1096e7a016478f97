//! Images: which packages an image starts from, and what is said about it beside them.

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
use crate::spelling;

/// What `os/images/NAME.toml` says. Unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageDefinition {
    /// One line for people.
    pub(crate) summary: Reason,
    /// The packages that are asked for; what they depend on is added.
    pub(crate) packages: Vec<PackageName>,
    /// How the layer is compressed, as `mkfs.erofs -z` takes it.
    #[serde(default)]
    pub(crate) compression: LayerCompression,
    /// How much is compressed at once, in bytes.
    #[serde(default)]
    pub(crate) cluster_bytes: ClusterBytes,
    /// What the kernel's command line has beside the words of `os/kernel/cmdline`, after them.
    #[serde(default)]
    pub(crate) command_line: String,
    /// Which units start, whatever recipes say.
    #[serde(default)]
    pub(crate) presets: BTreeMap<String, Preset>,
    /// Small files in `/etc`, by path.
    #[serde(default)]
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
            Self::Recipe(error) => error.hint(),
            Self::File(error) => error.hint(),
        }
    }
}

impl ImageDefinition {
    /// Reads the definition of the image `name` in `folder`.
    ///
    /// # Errors
    ///
    /// [`ImageError`].
    pub(crate) fn named(folder: &Path, name: &str) -> Result<Self, ImageError> {
        let known = Self::names(folder)?;
        let path = folder.join(format!("{name}.toml"));
        if !known.contains(name) {
            return Err(ImageError::Unknown { name: name.to_owned(), path, known });
        }
        Ok(Self::load(&path)?)
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

    /// Reads the definition at `path`.
    ///
    /// # Errors
    ///
    /// [`RecipeError`] naming the file, and the line where there is one.
    pub(crate) fn load(path: &Path) -> Result<Self, RecipeError> {
        read_toml(path, &file::read_text(path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_needs_little_more_than_packages() {
        let text =
            "summary = \"Smallest\"\npackages = [\"bash\"]\n[etc]\n\"/etc/hostname\" = \"x\\n\"";
        let image: ImageDefinition = toml::from_str(text).unwrap();
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
        let error = ImageDefinition::load(&path).unwrap_err();
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
            "compresion = \"zstd\"",
            "[etc]\n\"/usr/x\" = \"\"",
            "[etc]\n\"/etc/../usr/x\" = \"\"",
            "[presets]\n\"ssh.service\" = \"enabled\"",
        ];
        for line in cases {
            let text = format!("{base}{line}\n");
            assert!(toml::from_str::<ImageDefinition>(&text).is_err(), "{line}");
        }
    }
}
