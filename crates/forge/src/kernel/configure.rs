//! `forge kernel config`: the configurations that the fragments lead to.

use std::error::Error;
use std::io::Write;

use base::file;
use base::{Explain, Failure};

use super::build::{self, BuildError};
use super::{Flavour, Need, Workshop, print, recipe};

/// Write the final configurations that the fragments lead to.
#[derive(Debug, clap::Args)]
pub(crate) struct Configure {
    /// Which kernel [default: all whose configuration is committed]
    #[arg(value_enum)]
    flavour: Option<Flavour>,
    /// Write nothing; fail if a committed file differs
    #[arg(long)]
    check: bool,
}

/// Committed configurations are not what the fragments lead to, or these lead nowhere: all that failed.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(told).collect::<Vec<_>>().join("\n"))]
struct Outdated(Vec<BuildError>);

/// What `error` says, its causes behind it.
fn told(error: &BuildError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

impl Explain for Outdated {
    fn hint(&self) -> Option<String> {
        let differs = |error: &&BuildError| matches!(error, BuildError::Differs { .. });
        match self.0.iter().find(|error| self.0.len() == 1 || !differs(error)) {
            Some(error) => error.hint(),
            None => Some("run `forge kernel config`, then read and commit the difference".into()),
        }
    }
}

impl Configure {
    pub(super) fn run(self, shop: &dyn Workshop, out: &mut dyn Write) -> Result<(), Failure> {
        let flavours = match self.flavour {
            Some(flavour) => vec![flavour],
            None => Flavour::CONFIGURED.to_vec(),
        };
        let mut outdated = Vec::new();
        for flavour in flavours {
            let recipe = recipe(shop, flavour, Need::Files)?;
            let sandbox = shop.sandbox(Need::Files)?;
            let made = build::configure(&recipe, sandbox.as_ref(), shop.cache(), shop.progress());
            let committed = &recipe.committed;
            if !self.check {
                file::replace(committed, made?.text.as_bytes())?;
                print(out, &format!("{}\n", committed.display()))?;
                continue;
            }
            if let Err(error) = made.and_then(|made| build::compare(committed, &made.config)) {
                outdated.push(error);
                continue;
            }
            print(out, &format!("{} is what the fragments lead to\n", committed.display()))?;
        }
        if outdated.is_empty() { Ok(()) } else { Err(Outdated(outdated).into()) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::kernel::build::tests::COMPILES;
    use crate::kernel::shop::{CONFIG, Shop, printed};

    fn config(shop: &Shop, flavour: Option<Flavour>, check: bool) -> Result<String, String> {
        printed(|out| Configure { flavour, check }.run(shop, out))
    }

    fn path(shop: &Shop, flavour: Flavour) -> std::path::PathBuf {
        shop.path(&format!("os/kernel/generated/{flavour}.config"))
    }

    #[test]
    fn all_configurations_are_written_unless_a_kernel_is_named() {
        let shop = Shop::new(CONFIG, COMPILES);
        let before = shop.texts();
        let full = path(&shop, Flavour::Full);
        assert_eq!(
            config(&shop, Some(Flavour::Full), false).unwrap(),
            format!("{}\n", full.display())
        );
        assert_eq!(fs::read_to_string(&full).unwrap(), CONFIG);
        assert_eq!(shop.texts()[1], before[1], "hardened was not asked for");

        let lines = Flavour::CONFIGURED.map(|it| format!("{}\n", path(&shop, it).display()));
        assert_eq!(config(&shop, None, false).unwrap(), lines.concat());
        assert_eq!(shop.texts()[1..], [CONFIG; 3]);
    }

    #[test]
    fn a_check_names_all_that_differ_and_writes_nothing() {
        let shop = Shop::new(CONFIG, COMPILES);
        config(&shop, None, false).unwrap();
        let said = config(&shop, None, true).unwrap();
        let lines = Flavour::CONFIGURED
            .map(|it| format!("{} is what the fragments lead to\n", path(&shop, it).display()));
        assert_eq!(said, lines.concat());

        let outdated = CONFIG.replace("CONFIG_NEW=y\n", "");
        for flavour in [Flavour::Hardened, Flavour::Unhardened] {
            fs::write(path(&shop, flavour), &outdated).unwrap();
        }
        let before = shop.texts();
        let error = config(&shop, None, true).unwrap_err();
        let (hardened, unhardened) = (error.find("/hardened.config"), error.find("unhardened."));
        assert!(hardened.unwrap() < unhardened.unwrap(), "{error}");
        assert_eq!(error.matches("CONFIG_NEW: n → y").count(), 2, "{error}");
        assert!(!error.contains("full.config"), "{error}");
        assert!(error.contains("hint: run `forge kernel config`, then"), "{error}");
        let error = config(&shop, Some(Flavour::Unhardened), true).unwrap_err();
        assert!(error.contains("hint: run `forge kernel config unhardened`, then"), "{error}");
        config(&shop, Some(Flavour::Full), true).unwrap();
        assert_eq!(shop.texts(), before);

        // What hinders one kernel does not hide what another differs in.
        let fragment = b"CONFIG_B=y # r\n";
        file::replace(&shop.path("os/kernel/unhardened/x.config"), fragment).unwrap();
        let error = config(&shop, None, true).unwrap_err();
        assert!(error.contains("CONFIG_NEW: n → y"), "{error}");
        assert!(error.contains("CONFIG_B=y came out as n"), "{error}");
        assert!(error.contains("hint: look up what each depends on"), "{error}");
    }
}
