//! `forge kernel why`: what an option is set to in each kernel, and who asked for that.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use base::{Explain, Failure};
use serde::Serialize;

use super::config::Config;
use super::fragment::{self, Wish};
use super::{Flavour, build, committed, flavour, json, print};
use packages::spelling;

/// Say why an option of the kernel is as it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Why {
    /// The option, such as `CONFIG_DM_VERITY` or `dm_verity`
    option: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Neither a fragment nor a committed configuration knows the option.
#[derive(Debug, thiserror::Error)]
#[error("neither a fragment nor a committed configuration has {option}")]
struct Unknown {
    option: String,
    meant: Option<String>,
}

impl Explain for Unknown {
    fn hint(&self) -> Option<String> {
        Some(match &self.meant {
            Some(meant) => format!("did you mean {meant}?"),
            None => {
                "look for it in the Kconfig files of the source: an option is not listed where \
                     what it depends on is off"
                    .into()
            }
        })
    }
}

/// What `forge kernel why` prints.
#[derive(Debug, Serialize)]
struct Answer {
    /// Its whole name.
    option: String,
    /// For each kernel that an image may have.
    kernels: Vec<Setting>,
}

#[derive(Debug, Serialize)]
struct Setting {
    flavour: Flavour,
    /// What the committed configuration says; none where it does not list the option, which is then off.
    value: Option<String>,
    /// The line of a fragment that asks for it.
    asked: Option<Asked>,
}

#[derive(Debug, Serialize)]
struct Asked {
    /// The fragment, relative to the checkout.
    file: PathBuf,
    line: usize,
    value: String,
    reason: String,
    /// Whether it must come out; otherwise it is wanted where the source has it.
    required: bool,
}

/// What a kernel is asked to be, and what it is.
struct Kernel {
    flavour: Flavour,
    config: Config,
    wishes: Vec<Wish>,
}

impl Why {
    pub(super) fn run(self, repository: &Path, out: &mut dyn Write) -> Result<(), Failure> {
        let kernels: Result<Vec<_>, Failure> =
            Flavour::ALL.iter().map(|&flavour| Kernel::load(repository, flavour)).collect();
        let kernels = kernels?;
        let option = meant(&kernels, &self.option)?;
        let kernels = kernels.iter().map(|kernel| kernel.setting(&option)).collect();
        let answer = Answer { option, kernels };
        print(out, &if self.json { json(&answer)? } else { answer.to_string() })
    }
}

impl Kernel {
    fn load(repository: &Path, flavour: Flavour) -> Result<Self, Failure> {
        let folders = flavour::fragments(&repository.join("os/kernel"), flavour);
        Ok(Self {
            flavour,
            config: build::committed(&committed(repository, flavour))?,
            wishes: fragment::load(repository, &folders)?,
        })
    }

    fn options(&self) -> impl Iterator<Item = &str> {
        let wished = self.wishes.iter().map(|wish| wish.option.as_str());
        self.config.options().chain(wished)
    }

    fn setting(&self, option: &str) -> Setting {
        let wish = self.wishes.iter().find(|wish| wish.option == option);
        Setting {
            flavour: self.flavour,
            value: self.config.listed(option).map(ToString::to_string),
            asked: wish.map(|wish| Asked {
                file: wish.place.file.clone(),
                line: wish.place.line,
                value: wish.value.to_string(),
                reason: wish.reason.clone(),
                required: wish.required,
            }),
        }
    }
}

/// The whole name of the option that is called `name`, which may lack `CONFIG_` and be in small letters.
fn meant(kernels: &[Kernel], name: &str) -> Result<String, Unknown> {
    const PREFIX: &str = "CONFIG_";
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix(PREFIX).unwrap_or(&upper);
    let known: BTreeSet<&str> = kernels.iter().flat_map(Kernel::options).collect();
    let shorts = || known.iter().filter_map(|option| option.strip_prefix(PREFIX));
    let whole = |short: &str| format!("{PREFIX}{short}");
    match shorts().find(|known| known.eq_ignore_ascii_case(short)) {
        Some(known) => Ok(whole(known)),
        None => Err(Unknown {
            option: whole(short),
            meant: spelling::nearest(short, shorts()).map(whole),
        }),
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.option)?;
        self.kernels.iter().try_for_each(|setting| write!(f, "{setting}"))
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flavour, value, asked } = self;
        writeln!(f, "{flavour}: {}", value.as_deref().unwrap_or("n, not listed"))?;
        let Some(Asked { file, line, value, reason, required }) = asked else {
            return writeln!(
                f,
                "  no fragment asks for it: selected by another option, or Kconfig's default"
            );
        };
        let mark = if *required { "" } else { "?" };
        writeln!(f, "  {}:{line}: {mark}{value}: {reason}", file.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::build::tests::COMPILES;
    use crate::kernel::shop::{Shop, printed};

    const COMMITTED: &str = "# Linux/x86 6.12.117 Kernel Configuration\nCONFIG_GCC_PLUGINS=y\n\
                             CONFIG_A=y\nCONFIG_SELECTED_by=m\n";

    fn shop() -> Shop {
        let shop = Shop::configured(COMMITTED, COMPILES);
        let text = "## c\n?CONFIG_LATER=y # from 6.17 on\n";
        base::file::replace(&shop.path("os/kernel/full/later.config"), text.as_bytes()).unwrap();
        shop
    }

    fn why(shop: &Shop, option: &str, json: bool) -> Result<String, String> {
        printed(|out| Why { option: option.into(), json }.run(&shop.path(""), out))
    }

    #[test]
    fn value_place_and_reason_are_told_for_each_kernel() {
        const NOBODY: &str =
            "  no fragment asks for it: selected by another option, or Kconfig's default\n";
        let cases = [
            (
                "CONFIG_A",
                "CONFIG_A\nhardened: y\n  os/kernel/hardened/x.config:1: y: r\n\
                 full: y\n  os/kernel/full/x.config:1: y: r\n"
                    .to_owned(),
            ),
            (
                "later",
                format!(
                    "CONFIG_LATER\nhardened: n, not listed\n{NOBODY}full: n, not listed\n  \
                     os/kernel/full/later.config:2: ?y: from 6.17 on\n"
                ),
            ),
            (
                "config_selected_BY",
                format!("CONFIG_SELECTED_by\nhardened: m\n{NOBODY}full: m\n{NOBODY}"),
            ),
        ];
        let shop = shop();
        for (option, expected) in cases {
            assert_eq!(why(&shop, option, false).unwrap(), expected, "{option}");
        }
    }

    #[test]
    fn json_has_the_same() {
        let said = why(&shop(), "LATER", true).unwrap();
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        let asked = serde_json::json!({
            "file": "os/kernel/full/later.config",
            "line": 2,
            "value": "y",
            "reason": "from 6.17 on",
            "required": false,
        });
        let expected = serde_json::json!({
            "option": "CONFIG_LATER",
            "kernels": [
                { "flavour": "hardened", "value": null, "asked": null },
                { "flavour": "full", "value": null, "asked": asked },
            ],
        });
        assert_eq!(said, expected);
    }

    #[test]
    fn an_option_that_nothing_knows_is_answered_with_the_one_that_was_meant() {
        let shop = shop();
        let error = why(&shop, "CONFIG_GC_PLUGINS", false).unwrap_err();
        let expected = "error: neither a fragment nor a committed configuration has \
                        CONFIG_GC_PLUGINS\nhint: did you mean CONFIG_GCC_PLUGINS?\n";
        assert_eq!(error, expected);
        let error = why(&shop, "something_else", false).unwrap_err();
        assert!(error.contains("has CONFIG_SOMETHING_ELSE\nhint: look for it"), "{error}");
    }

    #[test]
    fn the_options_of_this_repository_are_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let said = printed(|out| Why { option: "dm_verity".into(), json: false }.run(&root, out));
        let said = said.unwrap();
        assert_eq!(said.matches("  os/kernel/storage.config:").count(), 2, "{said}");
    }
}
