//! What a definition in `os/images` describes: a disk, or a container image.

use base::{Explain, Failure};

use super::oci;
use crate::context::Context;
use crate::layer;

/// The command would make something else of the definition than what it describes.
#[derive(Debug, thiserror::Error)]
pub(super) enum KindError {
    #[error("os/images/{0}.toml describes a container image, which has no disk")]
    Container(String),
    #[error("os/images/{0}.toml has no [container], so it describes a disk")]
    Disk(String),
}

impl Explain for KindError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Container(name) if name == oci::DEFINITION => "run `forge image oci`".into(),
            Self::Container(_) => format!(
                "take [container] out of it; `forge image oci` makes the only container image, of \
                 os/images/{}.toml",
                oci::DEFINITION
            ),
            Self::Disk(_) => "add [container] to it; an empty one means a shell".into(),
        })
    }
}

/// Refuses a definition that does not describe a disk.
///
/// # Errors
///
/// [`KindError::Container`], or that there is no such definition.
pub(super) fn expect_disk(context: &Context, name: &str) -> Result<(), Failure> {
    match layer::definition(context, name)?.container {
        Some(_) => Err(KindError::Container(name.to_owned()).into()),
        None => Ok(()),
    }
}

/// Refuses a definition that does not describe a container image.
///
/// # Errors
///
/// [`KindError::Disk`], or that there is no such definition.
pub(super) fn expect_container(context: &Context, name: &str) -> Result<(), Failure> {
    match layer::definition(context, name)?.container {
        Some(_) => Ok(()),
        None => Err(KindError::Disk(name.to_owned()).into()),
    }
}
