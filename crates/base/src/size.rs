//! Numbers of bytes, printed for people.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number of bytes. Prints in powers of ten (`1.2 MB` is 1 200 000 bytes), as disks are sold.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, f64); 4] = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
        let bytes = self.0 as f64;
        let text = match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
            Some((name, unit)) => format!("{:.1} {name}", bytes / unit),
            None => format!("{} B", self.0),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_print_in_powers_of_ten() {
        #[rustfmt::skip]
        let cases = [
            (0,             "0 B"),
            (999,           "999 B"),
            (1_000,         "1.0 kB"),
            (1_250_000,     "1.2 MB"),
            (7_500_000_000, "7.5 GB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(ByteSize(bytes).to_string(), text, "{bytes}");
        }
    }
}
