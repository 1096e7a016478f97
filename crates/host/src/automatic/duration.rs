//! Lengths of time as people write them.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// A length of time: `30m`, `2h`, `1h 30m`, `3d`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Seconds {
    text: String,
    seconds: u64,
}

/// A text is no length of time.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no length of time: write `30m`, `2h` or `3d`")]
pub struct BadSeconds(String);

impl Seconds {
    /// How many.
    pub fn seconds(&self) -> u64 {
        self.seconds
    }
}

impl TryFrom<String> for Seconds {
    type Error = BadSeconds;

    fn try_from(text: String) -> Result<Self, BadSeconds> {
        let seconds = parse(text.trim());
        let seconds = seconds.ok_or_else(|| BadSeconds(text.clone()))?;
        Ok(Self { text, seconds })
    }
}

impl From<Seconds> for String {
    fn from(seconds: Seconds) -> Self {
        seconds.text
    }
}

/// Days are what jiff leaves out: 24 hours here, for nobody means a change of the clocks.
fn parse(text: &str) -> Option<u64> {
    let (days, rest) = match text.split_once('d') {
        Some((days, rest)) => (days.trim().parse::<u64>().ok()?, rest.trim()),
        None => (0, text),
    };
    let rest = match rest {
        "" if text.is_empty() => return None,
        "" => 0,
        rest => u64::try_from(rest.parse::<SignedDuration>().ok()?.as_secs()).ok()?,
    };
    days.checked_mul(24 * 3600)?.checked_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        #[rustfmt::skip]
        let cases = [
            ("30m",     Some(1800)),
            ("0h",      Some(0)),
            ("1h 30m",  Some(5400)),
            ("3d",      Some(259_200)),
            ("1d 2h",   Some(93_600)),
            ("90s",     Some(90)),
            ("",        None),
            ("30",      None), // of what?
            ("-2h",     None),
            ("1w",      None),
            ("99999999999999999999d", None),
        ];
        for (text, seconds) in cases {
            assert_eq!(parse(text), seconds, "{text}");
        }
    }
}
