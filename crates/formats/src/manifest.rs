//! The manifest of a generation: which layers it stacks, which kernel it needs, what is in it.

use std::collections::{BTreeMap, BTreeSet};

use base::{Digest, Explain};
use serde::{Deserialize, Serialize};

use crate::{PackageName, Version};

/// The `format` that this code reads and writes.
pub const FORMAT: u32 = 1;

/// The manifest of a generation. Made of the same values, its JSON is the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this structure: [`FORMAT`].
    pub format: u32,
    /// The name of the image definition, such as `minimal`.
    pub image: String,
    /// `VERSION_ID` of os-release.
    pub version: String,
    /// `BUILD_ID` of os-release.
    pub build_id: String,
    /// The kernel that the generation needs; with several, the one that starts by itself.
    pub kernel: Kernel,
    /// Further kernels that it can run with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_kernels: Vec<Kernel>,
    /// The layers, lowest first; at least one.
    pub layers: Vec<Layer>,
    /// What is installed.
    pub packages: Vec<Package>,
    /// The packages that are Debian's build although they are to be built from source: none in a
    /// release.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub not_rebuilt: BTreeSet<PackageName>,
    /// The packages that stay at one version whatever the repository has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pins: BTreeMap<PackageName, Version>,
    /// How a host made it of another generation; nothing says so in the first one of an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// The tools that shaped the layers' bytes, and their versions: `image-root` those of an image's layers,
    /// `mkfs.erofs of LAYER` the package of what has made a layer on its host.
    pub tools: BTreeMap<String, String>,
}

/// How a generation came about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The number of the generation that was changed.
    pub from: u64,
    /// When, seconds since 1970.
    pub at: u64,
    /// What was asked for, as on the command line: `install git`.
    pub asked: String,
}

/// The kernel of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// What `uname -r` prints.
    pub release: String,
    /// The version of Debian's source package that it was built from.
    pub version: String,
    /// The package that brings the unified kernel image.
    pub package: PackageName,
    /// The unified kernel image.
    pub uki: Digest,
}

/// One layer: an EROFS file and its dm-verity tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// What people call it; no other layer of the manifest has this name.
    pub name: String,
    /// The EROFS file; the digest is also its name in the store.
    pub erofs: Digest,
    /// The length of the EROFS file.
    pub erofs_bytes: u64,
    /// The file with the hash tree.
    pub verity: Digest,
    /// The length of the file with the hash tree.
    pub verity_bytes: u64,
    /// The root of the hash tree.
    pub root_hash: Digest,
    /// How it is compressed, as `mkfs.erofs -z` takes it.
    pub compression: String,
    /// How many bytes are compressed together.
    pub cluster_bytes: u32,
    /// A digest of all that it was composed of, the layers beneath included.
    pub inputs: Digest,
}

/// One installed package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// The name of the binary package.
    pub name: PackageName,
    /// The version of the curated package.
    pub version: Version,
    /// The version of Debian's package.
    pub debian_version: Version,
    /// The name of Debian's source package.
    pub source: String,
    /// The version of Debian's source package.
    pub source_version: Version,
    /// `amd64`, `all` …
    pub architecture: String,
    /// The suite of the archive that it came from.
    pub suite: String,
    /// Whether it was built from source with the project's flags; otherwise it is Debian's build.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rebuilt: bool,
    /// Whether it is only there because another package needs it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// What its files take unpacked and uncompressed.
    pub installed_bytes: u64,
    /// The name of the layer that holds its files.
    pub layer: String,
    /// The curated `.deb`.
    pub deb: Digest,
}

/// A manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not the JSON that is expected.
    #[error("the manifest is malformed")]
    Json(#[source] serde_json::Error),
    /// It was written by another version of this program.
    #[error("the manifest has format {found}, but only format {FORMAT} is understood")]
    Format {
        /// Its format.
        found: u32,
    },
    /// There is no layer.
    #[error("the manifest names no layer")]
    NoLayers,
    /// Two layers have one name.
    #[error("the manifest names two layers `{0}`")]
    LayerTwice(String),
    /// A package lies in a layer that is not there.
    #[error("the package {package} is in the layer `{layer}`, which the manifest does not name")]
    NoSuchLayer {
        /// The package.
        package: PackageName,
        /// The layer.
        layer: String,
    },
}

impl Explain for ManifestError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Format { found } if *found > FORMAT => {
                Some("update this program to the version that wrote the manifest".into())
            }
            _ => None,
        }
    }
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] names the first thing that is wrong. The format is looked at before all
    /// else, so that a newer manifest is called newer, not malformed.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Probe {
            format: u32,
        }
        let probe: Probe = serde_json::from_slice(json).map_err(ManifestError::Json)?;
        if probe.format != FORMAT {
            return Err(ManifestError::Format { found: probe.format });
        }
        let manifest: Self = serde_json::from_slice(json).map_err(ManifestError::Json)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    ///
    /// All of [`ManifestError`] but `Json`.
    pub fn check(&self) -> Result<(), ManifestError> {
        if self.format != FORMAT {
            return Err(ManifestError::Format { found: self.format });
        }
        if self.layers.is_empty() {
            return Err(ManifestError::NoLayers);
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = self.layers.iter().find(|layer| !names.insert(layer.name.as_str())) {
            return Err(ManifestError::LayerTwice(twice.name.clone()));
        }
        match self.packages.iter().find(|package| !names.contains(package.layer.as_str())) {
            None => Ok(()),
            Some(package) => Err(ManifestError::NoSuchLayer {
                package: package.name.clone(),
                layer: package.layer.clone(),
            }),
        }
    }

    /// All kernels that the generation can run with; the first starts by itself.
    pub fn kernels(&self) -> impl Iterator<Item = &Kernel> {
        std::iter::once(&self.kernel).chain(&self.other_kernels)
    }

    /// The manifest as JSON for files: indented, fields in a fixed order, a newline at the end.
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self);
        // Fails only for keys that are no text, or for a `Serialize` that fails: neither is here.
        json.unwrap_or_default() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str) -> Layer {
        Layer {
            name: name.into(),
            erofs: Digest::of(b"erofs"),
            erofs_bytes: 4096,
            verity: Digest::of(b"verity"),
            verity_bytes: 8192,
            root_hash: Digest::of(b"root"),
            compression: "zstd,12".into(),
            cluster_bytes: 65536,
            inputs: Digest::of(b"inputs"),
        }
    }

    fn manifest() -> Manifest {
        let version = |text: &str| text.parse().unwrap();
        Manifest {
            format: FORMAT,
            image: "minimal".into(),
            version: "1".into(),
            build_id: "1.2".into(),
            kernel: Kernel {
                release: "6.12.0-preon".into(),
                version: "6.12.0-1".into(),
                package: "preon-uki-hardened".parse().unwrap(),
                uki: Digest::of(b"uki"),
            },
            other_kernels: Vec::new(),
            layers: vec![layer("base")],
            packages: vec![Package {
                name: "bash".parse().unwrap(),
                version: version("5.2-1+0preon1"),
                debian_version: version("5.2-1"),
                source: "bash".into(),
                source_version: version("5.2-1"),
                architecture: "amd64".into(),
                suite: "trixie".into(),
                rebuilt: true,
                automatic: true,
                installed_bytes: 1,
                layer: "base".into(),
                deb: Digest::of(b"deb"),
            }],
            not_rebuilt: BTreeSet::new(),
            pins: [("bash".parse().unwrap(), version("5.2-1+0preon1"))].into(),
            change: Some(Change { from: 1, at: 2, asked: "install bash".into() }),
            tools: [("mkfs.erofs".into(), "1.8.6".into())].into(),
        }
    }

    #[test]
    fn a_manifest_survives_writing_and_reading() {
        let json = manifest().to_json();
        assert!(json.starts_with("{\n  \"format\": 1,\n") && json.ends_with("}\n"), "{json}");
        assert_eq!(Manifest::parse(json.as_bytes()).unwrap(), manifest());
    }

    #[test]
    fn a_manifest_that_cannot_be_used_is_refused() {
        type Change = fn(&mut Manifest);
        let changed = |change: Change| {
            let mut manifest = manifest();
            change(&mut manifest);
            Manifest::parse(manifest.to_json().as_bytes()).unwrap_err().to_string()
        };
        #[rustfmt::skip]
        let cases: [(Change, &str); 4] = [
            (|it| it.format = 2,                  "the manifest has format 2, but only format 1 is understood"),
            (|it| it.layers.clear(),              "the manifest names no layer"),
            (|it| it.layers.push(layer("base")),  "the manifest names two layers `base`"),
            (|it| it.layers[0].name = "b".into(), "the package bash is in the layer `base`, which the manifest does not name"),
        ];
        for (change, message) in cases {
            assert_eq!(changed(change), message);
        }
    }

    #[test]
    fn unknown_fields_and_bad_values_are_refused() {
        let json = manifest().to_json();
        for (old, new) in [
            ("\"image\"", "\"extra\": 1, \"image\""),
            ("\"bash\"", "\"ba/sh\""),
            ("\"5.2-1\"", "\"\""),
            ("\"erofs_bytes\": 4096", "\"erofs_bytes\": -1"),
        ] {
            let changed = json.replacen(old, new, 1);
            let error = Manifest::parse(changed.as_bytes()).unwrap_err();
            assert!(matches!(error, ManifestError::Json(_)), "{new}: {error}");
        }
        let newer = json.replacen("\"format\": 1", "\"format\": 2, \"extra\": 1", 1);
        let error = Manifest::parse(newer.as_bytes()).unwrap_err();
        assert!(matches!(error, ManifestError::Format { found: 2 }), "{error}");
    }
}
