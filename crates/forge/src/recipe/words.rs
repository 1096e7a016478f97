//! The small words of a recipe, each checked once.

use std::fmt;
use std::str::FromStr;

use formats::PackageName;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

/// A text for people, in one line, that is not empty.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Reason(String);

/// The text says nothing, or is more than a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line of text is needed here")]
pub(crate) struct NoReason;

impl TryFrom<String> for Reason {
    type Error = NoReason;

    fn try_from(text: String) -> Result<Self, NoReason> {
        let line = !text.trim().is_empty() && !text.contains(char::is_control);
        if line { Ok(Self(text)) } else { Err(NoReason) }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A program that dpkg would run.
///
/// Source: Debian Policy, section 6.1; `config`: debconf-devel(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Script {
    /// Before questions are asked.
    Config,
    /// Before the files are unpacked.
    Preinst,
    /// After the files are there.
    Postinst,
    /// Before the files are removed.
    Prerm,
    /// After the files are gone.
    Postrm,
}

impl Script {
    /// All of them, in the order in which dpkg would run them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Config, Self::Preinst, Self::Postinst, Self::Prerm, Self::Postrm];

    /// The name of its file in `control.tar`.
    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Preinst => "preinst",
            Self::Postinst => "postinst",
            Self::Prerm => "prerm",
            Self::Postrm => "postrm",
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.file_name())
    }
}

/// Which script a line of `[scripts]` is about: `postinst`, or `PACKAGE/postinst`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct ScriptKey {
    /// The package; every one that the recipe covers, if `None`.
    pub(crate) package: Option<PackageName>,
    /// The script.
    pub(crate) script: Script,
}

/// The text names no script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no maintainer script (config, preinst, postinst, prerm, postrm, \
     or PACKAGE/postinst and so on)"
)]
pub(crate) struct BadScriptKey(String);

impl TryFrom<String> for ScriptKey {
    type Error = BadScriptKey;

    fn try_from(text: String) -> Result<Self, BadScriptKey> {
        let (package, script) = match text.split_once('/') {
            Some((package, script)) => (Some(PackageName::from_str(package)), script),
            None => (None, text.as_str()),
        };
        let script = Script::ALL.into_iter().find(|known| known.file_name() == script);
        match (package.transpose(), script) {
            (Ok(package), Some(script)) => Ok(Self { package, script }),
            _ => Err(BadScriptKey(text)),
        }
    }
}

impl fmt::Display for ScriptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.package {
            Some(package) => write!(f, "{package}/{}", self.script),
            None => f.pad(self.script.file_name()),
        }
    }
}

/// Whether a unit starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Preset {
    /// It does.
    Enable,
    /// It does not, unless an operator says so.
    Disable,
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Enable => "enable",
            Self::Disable => "disable",
        })
    }
}

/// Whether `text` can be the name of a unit, or a pattern for names, in a preset file.
pub(crate) fn is_unit(text: &str) -> bool {
    const KINDS: [&str; 7] = ["service", "socket", "timer", "path", "target", "mount", "automount"];
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@*".contains(&byte);
    let kind = text.rsplit_once('.').map(|(_, kind)| kind);
    text == "*" || kind.is_some_and(|kind| KINDS.contains(&kind)) && text.bytes().all(allowed)
}

/// Where a symbolic link points: an absolute path, or one relative to the link's folder.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct LinkTarget(String);

/// The text is not what a symbolic link can point to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not where a symbolic link can point (a path without `//` or a slash at its end)")]
pub(crate) struct BadLinkTarget(String);

impl LinkTarget {
    /// The target as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for LinkTarget {
    type Error = BadLinkTarget;

    fn try_from(text: String) -> Result<Self, BadLinkTarget> {
        let parts = text.strip_prefix('/').unwrap_or(&text);
        let good = |part: &str| !matches!(part, "" | ".") && !part.contains(char::is_control);
        // A target and its NUL fit in PATH_MAX of limits.h.
        let all = text.len() < 4096 && parts.split('/').all(good);
        if all { Ok(Self(text)) } else { Err(BadLinkTarget(text)) }
    }
}

/// Permission bits in octal, such as `0755`; none that give a file more rights than its caller has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Mode(u32);

/// The text is no such mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not four octal digits from 0000 to 0777")]
pub(crate) struct BadMode(String);

impl Mode {
    /// The bits.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }
}

impl TryFrom<String> for Mode {
    type Error = BadMode;

    fn try_from(text: String) -> Result<Self, BadMode> {
        let digits = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
        let bits = digits.then(|| u32::from_str_radix(&text, 8).ok()).flatten();
        bits.filter(|bits| *bits <= 0o777).map(Self).ok_or(BadMode(text))
    }
}

/// A line of tmpfiles.d(5): at least a type and an absolute path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct TmpfilesLine(String);

/// The text is not a line of tmpfiles.d.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a line of tmpfiles.d (type, absolute path, mode, user, group, age, argument)"
)]
pub(crate) struct BadTmpfilesLine(String);

impl TmpfilesLine {
    /// The path that it makes or changes.
    pub(crate) fn path(&self) -> &str {
        self.0.split_ascii_whitespace().nth(1).unwrap_or_default()
    }
}

impl TryFrom<String> for TmpfilesLine {
    type Error = BadTmpfilesLine;

    fn try_from(text: String) -> Result<Self, BadTmpfilesLine> {
        let mut fields = text.split_ascii_whitespace();
        let kind = fields.next().unwrap_or_default();
        let (letter, modifiers) = kind.split_at_checked(1).unwrap_or_default();
        let good = !letter.is_empty()
            && "fwdDevqQpLcbCxXrRzZtThHaA".contains(letter)
            && modifiers.bytes().all(|byte| b"+!-=~^$?".contains(&byte))
            && fields.next().is_some_and(|path| path.starts_with('/'))
            && !text.contains('\n');
        if good { Ok(Self(text)) } else { Err(BadTmpfilesLine(text)) }
    }
}

impl fmt::Display for TmpfilesLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A shortcoming, by the name that recipes and the policy call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Shortcoming {
    /// It always lies at one place in memory.
    NotPie,
    /// Tables of functions can be overwritten.
    NotFullRelro,
    /// The stack, or something that can be written, can be executed.
    NotNx,
    /// Its code is written to when it is loaded.
    TextRelocations,
    /// It looks for libraries in a place of its own that the policy does not name.
    Runpath,
    /// It begins like an ELF file, but cannot be read as one.
    Unreadable,
    /// It runs with its owner's rights, and the policy does not say so.
    Setuid,
    /// The same with its group's.
    Setgid,
    /// The same with some of root's.
    Capabilities,
    /// Everybody may write to it.
    WorldWritable,
    /// It belongs to a number that may be anybody's.
    ForeignOwner,
    /// It has an extended attribute beside its capabilities.
    Attribute,
    /// A recipe accepts a shortcoming that is not there.
    IdleWaiver,
    /// A recipe accepts by a pattern what has to be accepted file by file.
    BroadWaiver,
}

impl fmt::Display for Shortcoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A unit of an enum by its name in JSON, so that each is spelled once.
        let json = serde_json::to_value(self).unwrap_or_default();
        f.pad(json.as_str().unwrap_or_default())
    }
}

/// A finding of the audit that is accepted.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Waiver {
    /// The finding.
    pub(crate) finding: Shortcoming,
    /// Why it is accepted.
    pub(crate) reason: Reason,
    /// When that was decided.
    pub(crate) on: Day,
}

/// A day, as TOML has them without quotes: `2026-11-27`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "toml::value::Datetime")]
pub(crate) struct Day(Date);

/// The value is no day, or more than one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a day such as 2026-11-27")]
pub(crate) struct BadDay(String);

impl Day {
    /// The day that has begun last on earth at `now`, in seconds since 1970: it begins 14 hours before UTC's.
    pub(crate) fn last_begun(now: u64) -> Self {
        let time = i64::try_from(now).ok().and_then(|now| Timestamp::from_second(now).ok());
        Self(Offset::constant(14).to_datetime(time.unwrap_or(Timestamp::MAX)).date())
    }
}

impl TryFrom<toml::value::Datetime> for Day {
    type Error = BadDay;

    fn try_from(value: toml::value::Datetime) -> Result<Self, BadDay> {
        let text = value.to_string();
        let day = value.time.is_none().then(|| text.parse().ok()).flatten();
        day.map(Self).ok_or(BadDay(text))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_keys_are_read() {
        #[rustfmt::skip]
        let cases = [
            ("postinst",         Some((None, Script::Postinst))),
            ("libc6/config",     Some((Some("libc6"), Script::Config))),
            ("triggers",         None),
            ("/postinst",        None),
            ("libc6/",           None),
            ("a b/postinst",     None),
            ("",                 None),
        ];
        for (text, expected) in cases {
            let key = ScriptKey::try_from(text.to_owned()).ok();
            let expected = expected.map(|(package, script)| ScriptKey {
                package: package.map(|name: &str| name.parse().unwrap()),
                script,
            });
            assert_eq!(key, expected, "{text}");
        }
    }

    #[test]
    fn lines_of_tmpfiles_are_checked() {
        #[rustfmt::skip]
        let cases = [
            ("d /var/lib/docker 0710 root root -", true),
            ("L+ /etc/mtab - - - - ../proc/self/mounts", true),
            ("q /var",                             true),
            ("/var/lib/docker",                    false),
            ("d var/lib/docker",                   false),
            ("d",                                  false),
            ("",                                   false),
            ("é /var",                             false),
            ("d /var\nd /x",                       false),
        ];
        for (text, good) in cases {
            assert_eq!(TmpfilesLine::try_from(text.to_owned()).is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn days_are_read_without_a_time() {
        #[rustfmt::skip]
        let cases = [
            ("2026-11-27",           true),
            ("2028-02-29",           true),
            ("2026-11-27T10:00:00Z", false),
            ("2026-11-27T10:00:00",  false),
            ("10:00:00",             false),
        ];
        for (text, good) in cases {
            let day = Day::try_from(text.parse::<toml::value::Datetime>().unwrap());
            let expected = if good { Ok(text.to_owned()) } else { Err(BadDay(text.to_owned())) };
            assert_eq!(day.map(|day| day.to_string()), expected, "{text}");
        }
    }

    #[test]
    fn a_day_begins_first_in_the_east() {
        // Fri, 27 Nov 2026 09:59:59 and 10:00 UTC.
        for (now, day) in [(1_795_773_599, "2026-11-27"), (1_795_773_600, "2026-11-28")] {
            assert_eq!(Day::last_begun(now).to_string(), day);
        }
    }

    #[test]
    fn modes_give_nobody_more_rights() {
        for (text, bits) in [
            ("0755", Some(0o755)),
            ("0000", Some(0)),
            ("4755", None),
            ("755", None),
            ("+755", None),
            ("0788", None),
        ] {
            let mode = Mode::try_from(text.to_owned()).ok();
            assert_eq!(mode.map(Mode::bits), bits, "{text}");
        }
    }

    #[test]
    fn link_targets_are_checked() {
        #[rustfmt::skip]
        let cases = [
            ("mawk",                      true),
            ("../proc/self/mounts",       true),
            ("/run/systemd/resolve/stub", true),
            ("",                          false),
            ("/",                         false),
            ("a//b",                      false),
            ("a/",                        false),
            ("a\nb",                      false),
        ];
        for (text, good) in cases {
            assert_eq!(LinkTarget::try_from(text.to_owned()).is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn units_are_told_from_other_words() {
        #[rustfmt::skip]
        let cases = [
            ("ssh.service", true), ("getty@.service", true), ("*", true), ("systemd-*.timer", true),
            ("efi.automount", true), ("auto.mout", false),
            ("ssh", false), ("ssh.srvice", false), ("a b.service", false), ("a\nb.service", false),
        ];
        for (text, good) in cases {
            assert_eq!(is_unit(text), good, "{text:?}");
        }
    }
}
