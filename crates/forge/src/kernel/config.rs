//! Final configurations: reading a `.config`, and comparing it with what was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::fragment::{Place, Wish, is_option};

/// What an option is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Not set, or not there.
    No,
    /// Built in.
    Yes,
    /// Built as a module.
    Module,
    /// A number or a quoted string, as written.
    Text(String),
}

/// The text is no value that Kconfig knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither y, m, n, a number nor a quoted string")]
pub(crate) struct BadValue(pub String);

impl FromStr for Value {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let quoted = text.len() >= 2 && text.starts_with('"') && text.ends_with('"');
        match text {
            "y" => Ok(Self::Yes),
            "m" => Ok(Self::Module),
            "n" => Ok(Self::No),
            _ if quoted || is_number(text) => Ok(Self::Text(text.to_owned())),
            _ => Err(BadValue(text.to_owned())),
        }
    }
}

/// Whether `text` is a number as Kconfig writes it: `-1`, `32`, `0x200000`.
fn is_number(text: &str) -> bool {
    let all =
        |digits: &str, is: fn(&u8) -> bool| !digits.is_empty() && digits.bytes().all(|b| is(&b));
    match text.strip_prefix("0x") {
        Some(digits) => all(digits, u8::is_ascii_hexdigit),
        None => all(text.strip_prefix('-').unwrap_or(text), u8::is_ascii_digit),
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "n",
            Self::Yes => "y",
            Self::Module => "m",
            Self::Text(text) => text,
        })
    }
}

impl Value {
    /// The line of a `.config` that sets `option` to it, with its newline.
    pub(crate) fn line(&self, option: &str) -> String {
        match self {
            Self::No => format!("# {option} is not set\n"),
            _ => format!("{option}={self}\n"),
        }
    }
}

/// A final configuration, as Kconfig writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    /// What `# Linux/x86 6.12.117 Kernel Configuration` says: the version of the source.
    pub(crate) version: Option<String>,
    values: BTreeMap<String, Value>,
}

/// A line of a `.config` is none that Kconfig writes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: `{text}` is no setting of a kernel configuration")]
pub(crate) struct BadConfig {
    /// The line, counted from 1.
    pub(crate) line: usize,
    /// What is there.
    pub(crate) text: String,
}

impl Config {
    /// Parses the text of a `.config`.
    ///
    /// # Errors
    ///
    /// [`BadConfig`] for a line that is neither a setting, `# … is not set`, a comment nor blank.
    pub(crate) fn parse(text: &str) -> Result<Self, BadConfig> {
        let mut config = Self::default();
        for (index, line) in text.lines().enumerate() {
            if let Some(comment) = line.strip_prefix('#') {
                config.comment(comment.trim());
            } else if !line.trim().is_empty() {
                let bad = || BadConfig { line: index + 1, text: line.to_owned() };
                let (option, value) = line.split_once('=').ok_or_else(bad)?;
                let value = value.parse().map_err(|_| bad())?;
                if !is_option(option) {
                    return Err(bad());
                }
                config.values.insert(option.to_owned(), value);
            }
        }
        Ok(config)
    }

    fn comment(&mut self, comment: &str) {
        let words: Vec<&str> = comment.split(' ').collect();
        match words[..] {
            [option, "is", "not", "set"] if is_option(option) => {
                self.values.insert(option.to_owned(), Value::No);
            }
            ["Linux/x86", version, "Kernel", "Configuration"] => {
                self.version = Some(version.to_owned());
            }
            _ => {}
        }
    }

    /// What `option` is set to; [`Value::No`] where it is not there.
    pub(crate) fn get(&self, option: &str) -> &Value {
        self.listed(option).unwrap_or(&Value::No)
    }

    /// What `option` is set to; `None` where it is not there, which `… is not set` is not.
    pub(crate) fn listed(&self, option: &str) -> Option<&Value> {
        self.values.get(option)
    }

    /// The options that are listed, those that are off included.
    pub(crate) fn options(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// What of `wishes` did not come out, in their order; options that are only wanted where they
    /// exist are left out.
    ///
    /// `declared` holds the options that the source's Kconfig files know.
    pub(crate) fn not_granted(
        &self,
        wishes: &[Wish],
        declared: &BTreeSet<String>,
    ) -> Vec<NotGranted> {
        let missed = wishes.iter().filter(|wish| wish.required);
        missed
            .filter(|wish| {
                // Leaving out what the source does not know would look like success.
                *self.get(&wish.option) != wish.value || !declared.contains(&wish.option)
            })
            .map(|wish| NotGranted {
                option: wish.option.clone(),
                asked: wish.value.clone(),
                got: declared.contains(&wish.option).then(|| self.get(&wish.option).clone()),
                place: wish.place.clone(),
            })
            .collect()
    }

    /// The options in which the two configurations differ, but for those that only record which
    /// compiler was there.
    pub(crate) fn differences(&self, other: &Self) -> Vec<Difference> {
        let options: BTreeSet<&String> = self.values.keys().chain(other.values.keys()).collect();
        options
            .into_iter()
            .filter(|option| !records_the_toolchain(option))
            .filter(|option| self.get(option) != other.get(option))
            .map(|option| Difference {
                option: option.clone(),
                old: self.get(option).clone(),
                new: other.get(option).clone(),
            })
            .collect()
    }
}

fn records_the_toolchain(option: &str) -> bool {
    ["GCC", "CLANG", "AS", "LD", "LLD", "RUSTC", "RUSTC_LLVM", "BINDGEN", "PAHOLE"]
        .iter()
        .any(|tool| option.strip_prefix("CONFIG_") == Some(&format!("{tool}_VERSION")))
        || option == "CONFIG_CC_VERSION_TEXT"
        || option == "CONFIG_RUSTC_VERSION_TEXT"
}

/// An option that was asked for and did not come out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotGranted {
    /// The option.
    pub(crate) option: String,
    /// What was asked for.
    pub(crate) asked: Value,
    /// What came out; `None` where the source knows no such option.
    pub(crate) got: Option<Value>,
    /// Where it is asked for.
    pub(crate) place: Place,
}

impl NotGranted {
    /// Whether it is about the compiler's plugins, which Kconfig offers where their headers are there.
    pub(crate) fn is_plugins(&self) -> bool {
        self.option == "CONFIG_GCC_PLUGINS" && self.got.is_some()
    }
}

impl fmt::Display for NotGranted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { option, asked, got, place } = self;
        match got {
            Some(got) => write!(f, "{place}: {option}={asked} came out as {got}"),
            None => write!(f, "{place}: {option} is unknown to this source"),
        }
    }
}

/// An option in which two configurations differ. Prints as `CONFIG_X: n → y`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The option.
    pub(crate) option: String,
    /// In the first.
    pub(crate) old: Value,
    /// In the second.
    pub(crate) new: Value,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} → {}", self.option, self.old, self.new)
    }
}

/// The options that the text of one Kconfig file declares, as whole names (`CONFIG_…`).
///
/// Source: the kernel's Documentation/kbuild/kconfig-language.rst, "Menu entries".
pub(crate) fn declared(kconfig: &str) -> impl Iterator<Item = String> {
    kconfig.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let keyword = words.next()?;
        let name = words.next().filter(|_| matches!(keyword, "config" | "menuconfig"))?;
        Some(format!("CONFIG_{name}"))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::kernel::fragment;

    const KCONFIG: &str = "menuconfig A\n\tbool \"a\"\n\tdepends on B\n\nconfig B\n\tbool\nconfig C\n\tint\n\
                           config D\n\tstring\nconfigure E\nsource \"x\"\n";

    fn known() -> BTreeSet<String> {
        declared(KCONFIG).collect()
    }

    #[test]
    fn the_options_that_a_kconfig_file_declares_are_found() {
        let names: Vec<String> = known().into_iter().collect();
        assert_eq!(names, ["CONFIG_A", "CONFIG_B", "CONFIG_C", "CONFIG_D"]);
    }

    #[test]
    fn what_was_asked_for_and_did_not_come_out_is_told_with_its_place() {
        let config = "# CONFIG_B is not set\nCONFIG_C=32\nCONFIG_D=\"d\"\n";
        #[rustfmt::skip]
        let cases = [
            ("CONFIG_C=32 # r",    ""),
            ("CONFIG_D=\"d\" # r", ""),
            ("CONFIG_B=n # r",     ""),
            ("CONFIG_A=n # r",     ""),                                            // not there at all: as good as off
            ("CONFIG_A=y # r",     "f:1: CONFIG_A=y came out as n"),               // dropped in silence: a dependency
            ("CONFIG_B=y # r",     "f:1: CONFIG_B=y came out as n"),
            ("CONFIG_B=m # r",     "f:1: CONFIG_B=m came out as n"),
            ("CONFIG_C=28 # r",    "f:1: CONFIG_C=28 came out as 32"),             // out of range, or set elsewhere
            ("CONFIG_C=n # r",     "f:1: CONFIG_C=n came out as 32"),              // selected by something
            ("CONFIG_E=y # r",     "f:1: CONFIG_E is unknown to this source"),
            ("CONFIG_E=n # r",     "f:1: CONFIG_E is unknown to this source"),     // a misspelt door is an open one
            ("?CONFIG_E=y # r",    ""),
            ("?CONFIG_A=y # r",    ""),
        ];
        let config = Config::parse(config).unwrap();
        for (text, expected) in cases {
            let wishes = fragment::parse(Path::new("f"), text).unwrap();
            let missed: Vec<String> =
                config.not_granted(&wishes, &known()).iter().map(ToString::to_string).collect();
            assert_eq!(missed.join("|"), expected, "{text}");
        }
    }

    #[test]
    fn a_config_that_is_none_is_refused_with_its_line() {
        #[rustfmt::skip]
        let cases = [
            ("CONFIG_A=y\nCONFIG_B\n", 2),
            ("CONFIG_A=perhaps\n",     1),
            ("<html>\n",               1),
            ("A=y\n",                  1),
        ];
        for (text, line) in cases {
            assert_eq!(Config::parse(text).unwrap_err().line, line, "{text}");
        }
    }

    #[test]
    fn configurations_differ_in_options_but_not_in_the_compiler_that_they_record() {
        let old = "# Linux/x86 6.12.117 Kernel Configuration\nCONFIG_GCC_VERSION=140200\n\
                   CONFIG_CC_VERSION_TEXT=\"gcc 14.2\"\nCONFIG_A=y\nCONFIG_C=1\n";
        let new = "# Linux/x86 6.12.118 Kernel Configuration\nCONFIG_GCC_VERSION=140300\n\
                   CONFIG_CC_VERSION_TEXT=\"gcc 14.3\"\n# CONFIG_A is not set\nCONFIG_C=1\nCONFIG_N=y\n";
        let (old, new) = (Config::parse(old).unwrap(), Config::parse(new).unwrap());
        let lines: Vec<String> = old.differences(&new).iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["CONFIG_A: y → n", "CONFIG_N: n → y"]);
        assert_eq!(new.version.as_deref(), Some("6.12.118"));
    }

    #[test]
    fn values_are_read_as_kconfig_writes_them() {
        for text in ["y", "m", "n", "0", "-1", "0x200000", "\"\"", "\"a=b # c\""] {
            assert_eq!(text.parse::<Value>().map(|value| value.to_string()), Ok(text.into()));
        }
        for text in ["", "Y", "yes", "0x", "-", "\"", "1k"] {
            assert_eq!(text.parse::<Value>(), Err(BadValue(text.into())), "{text}");
        }
    }
}
