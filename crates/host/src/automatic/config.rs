//! What `/etc/preon/updates.toml` says.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;

use base::Explain;
use base::file::{self, FileError};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::duration::Seconds;
use super::wave::Wave;
use super::windows::Window;
use super::zone::{self, BadZone};
use crate::Root;
use crate::coordinator;

/// Where it is.
pub const PATH: &str = "/etc/preon/updates.toml";

/// How far a host goes by itself: each one further than the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It does nothing.
    #[default]
    Off,
    /// It writes down what there is.
    Notify,
    /// It makes the generation that the next start boots.
    Stage,
    /// It restarts, too.
    Apply,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Notify => "notify",
            Self::Stage => "stage",
            Self::Apply => "apply",
        })
    }
}

/// Which newer versions it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Those that fix a known flaw.
    #[default]
    Security,
    /// All.
    All,
}

/// How it restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reboot {
    /// All but the kernel, where the kernel stays the same.
    #[default]
    Soft,
    /// The machine.
    Full,
}

/// The file, as it is written. What each key is for: docs/updates.md.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    mode: Mode,
    #[serde(default)]
    what: What,
    #[serde(default)]
    windows: Vec<Window>,
    #[serde(default = "utc")]
    time_zone: String,
    #[serde(default)]
    delay: Seconds,
    #[serde(default)]
    wave: Wave,
    #[serde(default)]
    reboot: Reboot,
    coordinator: Option<coordinator::Config>,
}

fn utc() -> String {
    "UTC".into()
}

/// What a host does by itself, and when.
#[derive(Clone, Debug)]
pub struct Config {
    /// How far it goes.
    pub mode: Mode,
    /// Which versions it takes.
    pub what: What,
    /// When it may restart; always, if there is none.
    pub windows: Vec<Window>,
    /// The zone of the windows.
    pub zone: TimeZone,
    /// How many seconds hosts spread their restarts over.
    pub delay: u64,
    /// How large a part of all hosts takes an update when.
    pub wave: Wave,
    /// How it restarts.
    pub reboot: Reboot,
    /// Who else is asked before a restart.
    pub coordinator: Option<coordinator::Config>,
}

impl Default for Config {
    /// Off: a host that runs other people's work changes and restarts by itself only where somebody has said so.
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            what: What::default(),
            windows: Vec::new(),
            zone: TimeZone::UTC,
            delay: 0,
            wave: Wave::default(),
            reboot: Reboot::default(),
            coordinator: None,
        }
    }
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not understood.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
    /// The zone is none.
    #[error(transparent)]
    Zone(#[from] BadZone),
    /// Some hosts would never restart.
    #[error("a delay of {delay} s leaves nothing of the window {window}")]
    Delay {
        /// The delay in seconds.
        delay: u64,
        /// The window.
        window: Window,
    },
    /// The coordinator cannot be used.
    #[error(transparent)]
    Coordinator(#[from] coordinator::BadConfig),
}

impl Explain for ConfigError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Malformed { .. } => Some(
                "the keys are mode, what, windows, time-zone, delay, wave, reboot, and a table coordinator"
                    .into(),
            ),
            Self::Zone(error) => error.hint(),
            Self::Delay { .. } => Some("shorten the delay, or lengthen the window".into()),
            Self::Coordinator(error) => error.hint(),
        }
    }
}

impl Config {
    /// What the host's file says; off, where there is none.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn load(root: &Root) -> Result<Self, ConfigError> {
        let path = root.below(PATH);
        match file::read_text(&path) {
            Ok(text) => Self::parse(root, &text).map_err(|error| match error {
                ConfigError::Malformed { message, .. } => ConfigError::Malformed { path, message },
                error => error,
            }),
            Err(error) if error.source.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    fn parse(root: &Root, text: &str) -> Result<Self, ConfigError> {
        let malformed = |error: toml::de::Error| ConfigError::Malformed {
            path: PATH.into(),
            message: error.to_string(),
        };
        let written: Written = toml::from_str(text).map_err(malformed)?;
        let Written { mode, what, windows, wave, reboot, coordinator, .. } = written;
        let delay = written.delay.seconds();
        if let Some(window) = windows.iter().find(|window| window.seconds() <= delay) {
            return Err(ConfigError::Delay { delay, window: window.clone() });
        }
        if let Some(coordinator) = &coordinator {
            coordinator.check()?;
        }
        let zone = zone::find(root, &written.time_zone)?;
        Ok(Self { mode, what, windows, zone, delay, wave, reboot, coordinator })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let root = Root("/nonexistent".into());
        Config::parse(&root, text).map_err(|error| base::explain::render(&error))
    }

    #[test]
    fn without_a_file_nothing_happens_by_itself() {
        let config = Config::load(&Root("/nonexistent".into())).unwrap();
        assert_eq!((config.mode, config.what), (Mode::Off, What::Security));
    }

    #[test]
    fn the_example_of_the_documentation_is_understood() {
        let page = include_str!("../../../../docs/updates.md");
        let (_, rest) = page.split_once("```toml\n").unwrap();
        let (example, _) = rest.split_once("```").unwrap();
        let config = parse(example).unwrap();
        assert_eq!((config.mode, config.what, config.delay), (Mode::Apply, What::All, 1800));
        assert_eq!((config.windows.len(), config.reboot), (2, Reboot::Soft));
        assert_eq!(config.zone.iana_name(), Some("Europe/Berlin"));
        assert_eq!(config.coordinator.unwrap().slots.get(), 2);
    }

    #[test]
    fn what_is_wrong_is_shown_with_its_place_and_a_hint() {
        #[rustfmt::skip]
        let cases = [
            ("",                                    "missing field `mode`"),
            ("mode = \"on\"",                       "unknown variant `on`"),
            ("mode = \"off\"\nwindow = []",         "unknown field `window`"),
            ("mode = \"off\"\nwindows = [\"2-4\"]", "`2-4` is no window"),
            ("mode = \"off\"\nwave = [\"5\"]",      "`5` is no step of a wave"),
            ("mode = \"off\"\ndelay = \"soon\"",    "`soon` is no length of time"),
            ("mode = \"off\"\ntime-zone = \"Europe/Berln\"", "did you mean Europe/Berlin?"),
            ("mode = \"off\"\nwindows = [\"02:00-03:00\"]\ndelay = \"1h\"", "leaves nothing of the window 02:00-03:00"),
            ("mode = \"off\"\n[coordinator]\netcd = []\nslots = 1\ngroup = \"a\"", "names no server"),
            ("mode = \"off\"\n[coordinator]\netcd = [\"etcd:2379\"]\nslots = 1\ngroup = \"a\"", "`etcd:2379` is no server"),
            ("mode = \"off\"\n[coordinator]\netcd = [\"http://a\"]\nslots = 0\ngroup = \"a\"", "nonzero"),
            ("mode = \"off\"\n[coordinator]\netcd = [\"http://a\"]\nslots = 1\ngroup = \"a/b\"", "`a/b` is no name for a group"),
            ("mode = \"off\"\n[coordinator]\netcd = [\"http://a\"]\nslots = 1\ngroup = \"a\"\nca = \"x\"", "http://a is asked without TLS"),
            ("mode = \"off\"\n[coordinator]\netcd = [\"https://a\"]\nslots = 1\ngroup = \"a\"\nkey = \"x\"", "a certificate and its key"),
        ];
        for (text, why) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why) && error.contains("hint: "), "{text}: {error}");
        }
    }
}
