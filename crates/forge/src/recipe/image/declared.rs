//! What the file of one image says by itself; the rest comes from the image that it extends.

use std::collections::BTreeMap;

use formats::PackageName;
use serde::Deserialize;

use super::{ClusterBytes, CommandLine, Container, EtcPath, ImageDefinition, LayerCompression};
use crate::kernel::{Flavour, Profile};
use crate::recipe::words::{Preset, Reason};

/// `os/images/NAME.toml`. Unknown keys are refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    /// One line for people.
    summary: Reason,
    /// The image whose packages and settings this one has too.
    pub(super) extends: Option<String>,
    /// Whether its layer lies over that of the image that is extended, and holds only what differs.
    #[serde(default)]
    stacked: bool,
    /// Packages, beside those of the image that is extended; an image that stands alone has some.
    packages: Option<Vec<PackageName>>,
    compression: Option<LayerCompression>,
    cluster_bytes: Option<ClusterBytes>,
    kernels: Option<Kernels>,
    profile: Option<Profile>,
    command_line: Option<CommandLine>,
    #[serde(default)]
    presets: BTreeMap<String, Preset>,
    #[serde(default)]
    etc: BTreeMap<EtcPath, String>,
    container: Option<Container>,
}

/// The kernels of an image: one or more, none twice; the first boots by default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<Flavour>")]
pub(crate) struct Kernels(Vec<Flavour>);

impl Kernels {
    /// In the order in which the boot loader prefers them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Flavour> {
        self.0.iter().copied()
    }
}

impl Default for Kernels {
    fn default() -> Self {
        Self(vec![Flavour::default()])
    }
}

/// The list is none of an image's kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an image has one kernel or more of `hardened` and `full`, each once")]
pub(crate) struct BadKernels;

impl TryFrom<Vec<Flavour>> for Kernels {
    type Error = BadKernels;

    fn try_from(flavours: Vec<Flavour>) -> Result<Self, BadKernels> {
        let good = |(at, flavour): (usize, &Flavour)| {
            Flavour::ALL.contains(flavour) && !flavours[..at].contains(flavour)
        };
        let good = !flavours.is_empty() && flavours.iter().enumerate().all(good);
        if good { Ok(Self(flavours)) } else { Err(BadKernels) }
    }
}

impl Declared {
    /// It says that it lies over another image, but not over which.
    pub(super) fn is_baseless(&self) -> bool {
        self.stacked && self.extends.is_none()
    }

    /// It names packages, or an image whose packages it has.
    pub(super) fn has_packages(&self) -> bool {
        self.packages.is_some() || self.extends.is_some()
    }

    /// The definition: what the file says, over what the image that it extends says.
    pub(super) fn over(self, base: Option<ImageDefinition>) -> ImageDefinition {
        let mut image = base.unwrap_or_else(|| ImageDefinition {
            summary: self.summary.clone(),
            packages: Vec::new(),
            compression: LayerCompression::default(),
            cluster_bytes: ClusterBytes::default(),
            kernels: Kernels::default(),
            profile: Profile::default(),
            command_line: CommandLine::default(),
            presets: BTreeMap::new(),
            etc: BTreeMap::new(),
            over: None,
            container: None,
        });
        image.over = self.extends.filter(|_| self.stacked);
        image.summary = self.summary;
        image.packages.extend(self.packages.unwrap_or_default());
        image.presets.extend(self.presets);
        image.etc.extend(self.etc);
        image.compression = self.compression.unwrap_or(image.compression);
        image.cluster_bytes = self.cluster_bytes.unwrap_or(image.cluster_bytes);
        image.kernels = self.kernels.unwrap_or(image.kernels);
        image.profile = self.profile.unwrap_or(image.profile);
        image.command_line = self.command_line.unwrap_or(image.command_line);
        image.container = self.container.or(image.container);
        image
    }
}
