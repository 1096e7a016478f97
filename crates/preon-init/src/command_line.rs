//! The words of the kernel command line that concern us. The line is part of the signed kernel
//! image; only where the firmware verifies nothing does somebody else write it.

use std::time::Duration;

/// The kernel command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandLine {
    words: Vec<(String, String)>,
}

impl CommandLine {
    /// Takes it apart: words are separated by space, except in double quotes. Of a word that comes
    /// twice the last counts.
    ///
    /// Source: Linux, `Documentation/admin-guide/kernel-parameters.rst`.
    pub(crate) fn parse(text: &str) -> Self {
        let mut quoted = false;
        let words = text.split(|char: char| {
            quoted ^= char == '"';
            char.is_whitespace() && !quoted
        });
        let words = words.filter(|word| !word.is_empty()).map(|word| {
            let word = word.replace('"', "");
            let (key, value) = word.split_once('=').unwrap_or((&word, ""));
            (key.to_owned(), value.to_owned())
        });
        Self { words: words.collect() }
    }

    /// `preon.store=GUID`: a partition on the disk that holds the store, for kernels that no boot
    /// loader has started.
    pub(crate) fn store(&self) -> Option<&str> {
        self.value("preon.store")
    }

    /// `preon.generation=previous`: the one before the wanted one boots this time, as somebody has chosen in the menu.
    pub(crate) fn wants_previous(&self) -> bool {
        self.value("preon.generation") == Some("previous")
    }

    /// `panic=SECONDS`: how long a failure stays to be read. The kernel's 0 (for ever) is not for
    /// us, its negative numbers mean at once.
    pub(crate) fn panic_delay(&self) -> Option<Duration> {
        let seconds: i64 = self.value("panic")?.parse().ok()?;
        (seconds != 0).then(|| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.words.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_a_name_counts_and_quotes_hold_words_together() {
        #[rustfmt::skip]
        let cases = [
            ("quiet preon.store=a\n",              Some("a")),
            ("preon.store=a preon.store=b",        Some("b")),
            ("x=\"1 preon.store=a\"",              None),
            ("preon.store=\"a\" quiet",            Some("a")),
            ("preon.storehouse=a xpreon.store=b",  None),
            ("",                                   None),
        ];
        for (text, expected) in cases {
            assert_eq!(CommandLine::parse(text).store(), expected, "{text}");
        }
    }

    #[test]
    fn a_failure_is_never_shown_for_ever() {
        #[rustfmt::skip]
        let cases = [
            ("panic=5",  Some(5)),
            ("panic=-1", Some(0)), // at once
            ("panic=0",  None),    // for ever, to the kernel
            ("panic=x",  None),
            ("panic",    None),
            ("",         None),
        ];
        for (text, seconds) in cases {
            let delay = CommandLine::parse(text).panic_delay();
            assert_eq!(delay, seconds.map(Duration::from_secs), "{text}");
        }
    }
}
