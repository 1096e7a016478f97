//! `forge kernel show`: what the built kernel is, and where.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use base::{ByteSize, Explain, Failure};
use serde::Serialize;

use super::{Flavour, Need, Profile, Workshop, build, command_line, json, print, recipe};

/// Show the built kernel.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Which kernel
    #[arg(value_enum, default_value_t)]
    flavour: Flavour,
    /// How strict the command line is
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What `forge kernel show --json` prints.
#[derive(Debug, Serialize)]
struct Shown {
    /// Which kernel.
    flavour: Flavour,
    /// How strict the command line is.
    profile: Profile,
    /// Version of Debian's source package.
    version: String,
    /// What `uname -r` prints.
    release: String,
    /// Path of the final configuration.
    config: PathBuf,
    /// Default command line.
    cmdline: String,
    /// Path of the image.
    image: PathBuf,
    image_bytes: u64,
    /// Path of the modules, if it has any.
    modules: Option<PathBuf>,
}

impl Show {
    pub(super) fn run(self, shop: &dyn Workshop, out: &mut dyn Write) -> Result<(), Failure> {
        let recipe = recipe(shop, self.flavour, Need::Identity)?;
        let key = recipe.key(shop.sandbox(Need::Identity)?.as_ref());
        let kernel = build::cached(shop.cache(), key).ok_or_else(|| NotBuilt {
            flavour: self.flavour,
            folder: build::folder(shop.cache(), key),
        })?;
        let shown = Shown {
            flavour: self.flavour,
            profile: self.profile,
            version: recipe.source.version,
            release: kernel.release()?,
            config: kernel.config(),
            cmdline: command_line(shop.repository(), self.flavour, self.profile)?,
            image: kernel.image(),
            image_bytes: kernel.image_bytes()?,
            modules: kernel.modules(),
        };
        print(out, &if self.json { json(&shown)? } else { shown.to_string() })
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "release       {}", self.release)?;
        writeln!(f, "source        Debian's linux {}", self.version)?;
        writeln!(f, "image         {} ({})", self.image.display(), ByteSize(self.image_bytes))?;
        if let Some(modules) = &self.modules {
            writeln!(f, "modules       {}", modules.display())?;
        }
        writeln!(f, "config        {}", self.config.display())?;
        writeln!(f, "command line  {}", self.cmdline)
    }
}

/// The kernel was asked about, but not built yet.
#[derive(Debug, thiserror::Error)]
#[error("the {flavour} kernel of these sources and fragments was not built: {} is not there, or not whole", folder.display())]
struct NotBuilt {
    flavour: Flavour,
    folder: PathBuf,
}

impl Explain for NotBuilt {
    fn hint(&self) -> Option<String> {
        Some(format!(
            "run `forge kernel build {}` first; it takes a quarter to three quarters of an hour",
            self.flavour
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::build::tests::COMPILES;
    use crate::kernel::shop::{CONFIG, Shop, printed};

    fn show(shop: &Shop) -> Result<String, String> {
        let (flavour, profile) = (Flavour::Hardened, Profile::Strict);
        printed(|out| Show { flavour, profile, json: true }.run(shop, out))
    }

    fn built(shop: &Shop) -> build::Kernel {
        crate::kernel::kernel(shop, Flavour::Hardened).unwrap().kernel
    }

    #[test]
    fn json_says_which_kernel_it_is_and_where_its_files_are() {
        let shop = Shop::configured(CONFIG, COMPILES);
        assert!(show(&shop).unwrap_err().contains("the hardened kernel of these sources"));
        let kernel = built(&shop);
        let shown: serde_json::Value = serde_json::from_str(&show(&shop).unwrap()).unwrap();
        let expected = serde_json::json!({
            "flavour": "hardened",
            "profile": "strict",
            "version": "6.12.117-1",
            "release": "6.12.117-preon",
            "config": kernel.config(),
            "cmdline": "quiet a nosmt",
            "image": kernel.image(),
            "image_bytes": 6,
            "modules": null,
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn json_has_the_modules_of_a_kernel_that_has_any() {
        let config = format!("{CONFIG}CONFIG_MODULES=y\n").leak();
        let shop = Shop::configured(config, COMPILES);
        let modules = built(&shop).modules().unwrap();
        let shown: serde_json::Value = serde_json::from_str(&show(&shop).unwrap()).unwrap();
        assert_eq!(shown["modules"], serde_json::json!(modules));
    }

    #[test]
    fn a_path_that_json_cannot_hold_is_an_error_and_not_empty_output() {
        use std::os::unix::ffi::OsStrExt;
        let mut shop = Shop::configured(CONFIG, COMPILES);
        shop.cache = shop.path("").join(std::ffi::OsStr::from_bytes(b"cach\xe9"));
        built(&shop);
        let error = show(&shop).unwrap_err();
        assert!(error.starts_with("error: cannot print this as JSON\n"), "{error}");
        assert!(error.contains("hint: ") && error.contains("--cache"), "{error}");
    }
}
