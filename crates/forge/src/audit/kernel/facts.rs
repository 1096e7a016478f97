//! What a kernel is, and whether it meets a demand. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::expression::{Claim, Expression, Term, Test, Version, is_option};
use super::sysctls::Sysctls;
use crate::kernel::config::{Config, Value};

/// Which of a kernel's settings a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Setting {
    /// Options of its configuration.
    Kconfig,
    /// Words of its command line.
    Cmdline,
    /// Parameters of the running kernel.
    Sysctl,
}

/// What is known of a kernel.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Its final configuration.
    pub(crate) config: Config,
    /// Its command line.
    pub(crate) words: Words,
    /// Its parameters when it runs.
    pub(crate) sysctls: Sysctls,
}

/// The words of a command line, each with the values that it is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words(BTreeMap<String, Vec<String>>);

/// A command line of which nobody can say which words count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the command line has `--`, behind which the kernel heeds some words and not others")]
pub(crate) struct Parted;

impl Words {
    /// Reads a command line: blanks within `"…"` part nothing, and `-` in names is `_`.
    ///
    /// # Errors
    ///
    /// [`Parted`]: what follows `--` is for init, but `nokaslr` works there too.
    ///
    /// Source: the kernel's Documentation/admin-guide/kernel-parameters.rst; next_arg() of
    /// lib/cmdline.c; cmdline_find_option() of arch/x86/lib/cmdline.c, which stops nowhere.
    pub(crate) fn parse(text: &str) -> Result<Self, Parted> {
        let mut quoted = false;
        let words = text.split(|letter: char| {
            quoted ^= letter == '"';
            !quoted && letter.is_whitespace()
        });
        let mut values = BTreeMap::<String, Vec<String>>::new();
        for word in words.filter(|word| !word.is_empty()) {
            if word == "--" {
                return Err(Parted);
            }
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            values.entry(underscored(name)).or_default().push(value.trim_matches('"').to_owned());
        }
        Ok(Self(values))
    }

    /// The value that counts of equal words: the last.
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&underscored(name))?.last().map(String::as_str)
    }

    /// Whether one of equal words switches off: for some it is the first that counts, for some the last.
    fn switches_off(&self, name: &str) -> bool {
        let values = self.0.get(&underscored(name)).into_iter().flatten();
        let mut words = values.flat_map(|value| value.split(','));
        words.any(|word| ["off", "0"].contains(&word))
    }
}

fn underscored(name: &str) -> String {
    name.trim_matches('"').replace('-', "_")
}

impl Facts {
    /// The number of the first way in which the demand is met; `None` if it is not.
    ///
    /// Names that are no options of Kconfig are looked for among `setting`.
    pub(crate) fn way_that_holds(
        &self,
        expression: &Expression,
        setting: Setting,
    ) -> Option<usize> {
        expression.ways.iter().position(|way| way.iter().all(|term| self.holds(term, setting)))
    }

    /// What is there for the subject of a check.
    pub(crate) fn found(&self, claim: &Claim, setting: Setting) -> String {
        let nothing = if claim.is_option() { "n" } else { "not there" };
        match self.get(&claim.name, setting) {
            Some(value) if value.is_empty() => "there".into(),
            Some(value) => value.into_owned(),
            None if self.sysctls.is_denied(&claim.name) => "permission denied".into(),
            None => nothing.into(),
        }
    }

    /// Whether there is anything for the subject of a check, an option that is on.
    pub(crate) fn has(&self, claim: &Claim, setting: Setting) -> bool {
        self.get(&claim.name, setting).is_some_and(|found| !claim.is_option() || found != "n")
    }

    fn holds(&self, term: &Term, setting: Setting) -> bool {
        match term {
            Term::Claim(claim) => self.is_so(claim, setting),
            Term::Since(version) => {
                let own = self.config.version.as_deref().and_then(Version::parse);
                own.is_some_and(|own| own >= *version)
            }
        }
    }

    /// Whether a claim is true.
    pub(crate) fn is_so(&self, claim: &Claim, setting: Setting) -> bool {
        let found = self.get(&claim.name, setting);
        match (&claim.test, found) {
            (Test::Present, found) => found.is_some(),
            (Test::Absent, found) => found.is_none(),
            (Test::Is(wanted), None) => claim.is_option() && wanted == "n",
            (_, None) => false,
            (Test::NotOff, Some(_)) => !self.words.switches_off(&claim.name),
            (Test::Has(wanted), Some(found)) => found.split(',').any(|word| word == wanted),
            (Test::Is(wanted), Some(found)) if is_option(wanted) => {
                self.get(wanted, setting).is_some_and(|most| most == found)
            }
            (Test::Is(wanted), Some(found)) => {
                let spelled = setting == Setting::Cmdline && !claim.is_option();
                *wanted == found || spelled && same_switch(wanted, &found)
            }
        }
    }

    fn get(&self, name: &str, setting: Setting) -> Option<Cow<'_, str>> {
        if is_option(name) {
            return self.config.listed(name).map(|value| match value {
                Value::Text(text) => Cow::Borrowed(text.trim_matches('"')),
                other => Cow::Owned(other.to_string()),
            });
        }
        match setting {
            Setting::Kconfig => None,
            Setting::Cmdline => self.words.get(name).map(Cow::Borrowed),
            Setting::Sysctl => self.sysctls.get(name).map(Cow::Borrowed),
        }
    }
}

/// Whether `found` is another spelling of the switch `wanted`, `1` or `0`.
///
/// Source: kstrtobool() of the kernel's lib/kstrtox.c. Words that know only some of the spellings
/// are wanted as `on` or `off`.
fn same_switch(wanted: &str, found: &str) -> bool {
    let spellings: &[&str] = match wanted {
        "1" => &["1", "on", "y", "yes", "t", "true"],
        "0" => &["0", "off", "n", "no", "f", "false"],
        _ => return false,
    };
    spellings.iter().any(|spelling| found.eq_ignore_ascii_case(spelling))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "# Linux/x86 6.12.118 Kernel Configuration\nCONFIG_A=y\n# CONFIG_B is not set\n\
                          CONFIG_M=m\nCONFIG_LSM=\"lockdown,yama\"\nCONFIG_BITS=32\nCONFIG_BITS_MAX=32\nCONFIG_LOW=28\n";

    fn facts() -> Facts {
        Facts {
            config: Config::parse(CONFIG).unwrap(),
            words: Words::parse(
                "quiet init_on_alloc=on pti=1 mds=off tsa=0 l1tf=full,force l1tf=flush efi=a,b \
                 random.trust-cpu=0 x=\"a nosmt\" empty= retbleed=off,nosmt spectre_v2=off spectre-v2=on",
            )
            .unwrap(),
            sysctls: Sysctls::parse("kernel.kptr_restrict = 2\nvm.bits = 32\n"),
        }
    }

    #[test]
    fn demands_hold_as_the_grammar_says() {
        use Setting::{Cmdline, Kconfig, Sysctl};
        #[rustfmt::skip]
        let cases = [
            (Kconfig, "CONFIG_A=y",                              Some(0)),
            (Kconfig, "CONFIG_A=n",                              None),
            (Kconfig, "CONFIG_B=n",                              Some(0)),
            (Kconfig, "CONFIG_GONE=n",                           Some(0)), // as good as off
            (Kconfig, "CONFIG_GONE=y",                           None),
            (Kconfig, "CONFIG_M=y",                              None),    // a module is something else
            (Kconfig, "CONFIG_M=n",                              None),
            (Kconfig, "CONFIG_B",                                Some(0)), // off, but there
            (Kconfig, "CONFIG_GONE=n and CONFIG_GONE",           None),
            (Kconfig, "!CONFIG_GONE",                            Some(0)),
            (Kconfig, "CONFIG_LSM~yama",                         Some(0)),
            (Kconfig, "CONFIG_LSM~lock",                         None),    // a word, not a part of one
            (Kconfig, "CONFIG_GONE~yama",                        None),
            (Kconfig, "CONFIG_BITS=CONFIG_BITS_MAX",             Some(0)),
            (Kconfig, "CONFIG_LOW=CONFIG_BITS_MAX",              None),
            (Kconfig, "CONFIG_GONE=CONFIG_GONE_MAX",             None),    // nothing is not the most
            (Kconfig, "CONFIG_GONE=y or since 6.12",             Some(1)),
            (Kconfig, "CONFIG_GONE=y or since 6.12.118",         Some(1)),
            (Kconfig, "CONFIG_GONE=y or since 6.12.119",         None),
            (Kconfig, "CONFIG_GONE=y or CONFIG_A=y and since 7", None),
            (Kconfig, "CONFIG_GONE=y or CONFIG_B=y or CONFIG_A=y and CONFIG_B=n", Some(2)),
            (Kconfig, "quiet",                                   None),    // a word is no option
            (Cmdline, "quiet",                                   Some(0)),
            (Cmdline, "!nokaslr",                                Some(0)),
            (Cmdline, "!quiet",                                  None),
            (Cmdline, "nosmt",                                   None),    // within quotes
            (Cmdline, "retbleed!=off",                           None),    // a list
            (Cmdline, "spectre_v2!=off",                         None),    // some code heeds only the first
            (Cmdline, "init_on_alloc=1",                         Some(0)),
            (Cmdline, "pti=on",                                  None),    // it does not know `1`
            (Cmdline, "mds!=off",                                None),
            (Cmdline, "tsa!=off",                                None),
            (Cmdline, "l1tf!=off",                               Some(0)),
            (Cmdline, "vmscape!=off",                            None),    // has to be there
            (Cmdline, "l1tf=flush",                              Some(0)), // the last counts
            (Cmdline, "efi~b",                                   Some(0)),
            (Cmdline, "random.trust_cpu=0",                      Some(0)),
            (Cmdline, "empty",                                   Some(0)),
            (Cmdline, "kernel.kptr_restrict=2",                  None),
            (Cmdline, "nope=1 or CONFIG_A=y and !nope",          Some(1)),
            (Sysctl,  "kernel.kptr_restrict=2",                  Some(0)),
            (Sysctl,  "kernel.kptr_restrict=1",                  None),
            (Sysctl,  "kernel.sysrq=0",                          None),    // not there is not 0
            (Sysctl,  "vm.bits=CONFIG_BITS_MAX",                 Some(0)),
        ];
        for (setting, text, expected) in cases {
            let expression = text.parse().unwrap();
            assert_eq!(facts().way_that_holds(&expression, setting), expected, "{text}");
        }
    }

    #[test]
    fn a_command_line_with_words_for_init_is_refused() {
        assert_eq!(Words::parse("quiet -- nokaslr"), Err(Parted));
        assert!(Words::parse("quiet --x a=--").is_ok());
    }

    #[test]
    fn a_kernel_that_does_not_say_its_version_is_not_taken_for_a_new_one() {
        let facts = Facts { config: Config::parse("CONFIG_A=y\n").unwrap(), ..facts() };
        let expression = "CONFIG_B=y or since 5.5".parse().unwrap();
        assert_eq!(facts.way_that_holds(&expression, Setting::Kconfig), None);
    }
}
