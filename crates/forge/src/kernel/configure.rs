//! `forge kernel config`: the configurations that the fragments lead to.

use std::io::Write;

use base::Failure;
use base::file;

use super::config::Config;
use super::{Flavour, Need, Workshop, build, print, recipe};

/// Write the final configuration that the fragments lead to.
#[derive(Debug, clap::Args)]
pub(crate) struct Configure {
    /// Which kernel
    #[arg(value_enum, default_value_t)]
    flavour: Flavour,
    /// Write nothing; fail if the committed file differs
    #[arg(long)]
    check: bool,
}

impl Configure {
    pub(super) fn run(self, shop: &dyn Workshop, out: &mut dyn Write) -> Result<(), Failure> {
        let recipe = recipe(shop, self.flavour, Need::Files)?;
        let sandbox = shop.sandbox(Need::Files)?;
        let text = build::configure(&recipe, sandbox.as_ref(), shop.cache(), shop.progress())?;
        if self.check {
            return Ok(build::compare(&recipe.committed, &parse(&text)?)?);
        }
        file::replace(&recipe.committed, text.as_bytes())?;
        print(out, &format!("{}\n", recipe.committed.display()))
    }
}

fn parse(text: &str) -> Result<Config, build::BuildError> {
    Config::parse(text).map_err(|source| build::BuildError::BadConfig { source })
}
