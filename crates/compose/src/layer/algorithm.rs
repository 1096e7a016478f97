//! The word for how a layer is compressed.

use std::fmt;

use base::Explain;

/// Algorithm and level, as `mkfs.erofs -z` takes them: `zstd,12`, `lz4hc,9`, `lz4`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Algorithm(String);

/// The text names no compression that our kernel reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAlgorithm {
    /// The algorithm is another.
    #[error("`{0}` is no compression of a layer: write `zstd,12`, `lz4hc,9` or `lz4`")]
    Unknown(String),
    /// The level is no number, or too high or too low.
    #[error("`{text}` is no compression of a layer: the levels of {name} are {least} to {most}")]
    Level {
        /// What was given.
        text: String,
        /// The algorithm.
        name: &'static str,
        /// Its lowest level.
        least: u32,
        /// Its highest level.
        most: u32,
    },
    /// The algorithm knows no levels.
    #[error("`{0}` is no compression of a layer: lz4 has no levels, lz4hc has")]
    NoLevels(String),
}

/// The algorithms with levels: the lowest, the highest.
///
/// Source: erofs-utils 1.8, `lib/compressor_libzstd.c`, `lib/compressor_lz4hc.c`.
const LEVELS: [(&str, u32, u32); 2] = [("zstd", 1, 22), ("lz4hc", 0, 12)];

impl Explain for BadAlgorithm {}

impl Algorithm {
    /// The word as mkfs.erofs takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Algorithm {
    fn default() -> Self {
        Self("zstd,12".to_owned())
    }
}

impl TryFrom<String> for Algorithm {
    type Error = BadAlgorithm;

    fn try_from(text: String) -> Result<Self, BadAlgorithm> {
        let (name, level) = match text.split_once(',') {
            Some((name, level)) => (name, Some(level)),
            None => (text.as_str(), None),
        };
        let leveled = LEVELS.into_iter().find(|(known, ..)| *known == name);
        match (leveled, level) {
            (Some(_), None) => Ok(Self(text)),
            (Some((_, least, most)), Some(level)) if is_level(level, least, most) => Ok(Self(text)),
            (Some((name, least, most)), Some(_)) => {
                Err(BadAlgorithm::Level { text, name, least, most })
            }
            (None, None) if name == "lz4" => Ok(Self(text)),
            (None, Some(_)) if name == "lz4" => Err(BadAlgorithm::NoLevels(text)),
            (None, _) => Err(BadAlgorithm::Unknown(text)),
        }
    }
}

fn is_level(text: &str, least: u32, most: u32) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits && text.parse().is_ok_and(|level: u32| (least..=most).contains(&level))
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compression_that_mkfs_would_refuse_or_take_for_an_option_is_refused() {
        const ZSTD: &str = "the levels of zstd are 1 to 22";
        const LZ4HC: &str = "the levels of lz4hc are 0 to 12";
        const OTHER: &str = "write `zstd,12`, `lz4hc,9` or `lz4`";
        #[rustfmt::skip]
        let cases = [
            ("zstd",            None),
            ("zstd,1",          None),
            ("zstd,22",         None),
            ("zstd,0",          Some(ZSTD)),
            ("zstd,23",         Some(ZSTD)),
            ("zstd,",           Some(ZSTD)),
            ("zstd,+12",        Some(ZSTD)),
            ("zstd,-1",         Some(ZSTD)),
            ("zstd,12,dictsize=4096", Some(ZSTD)),
            ("lz4hc",           None),
            ("lz4hc,0",         None),
            ("lz4hc,12",        None),
            ("lz4hc,13",        Some(LZ4HC)),
            ("lz4",             None),
            ("lz4,1",           Some("lz4 has no levels")),
            ("",                Some(OTHER)),
            ("gzip,9",          Some(OTHER)),
            ("lz4 --all-root",  Some(OTHER)),
            ("lz4:zstd",        Some(OTHER)),
            ("-x",              Some(OTHER)),
        ];
        for (text, why) in cases {
            let error = Algorithm::try_from(text.to_owned()).err().map(|error| error.to_string());
            let expected = why.map(|why| format!("`{text}` is no compression of a layer: {why}"));
            let short = error.map(|error| error.replace(", lz4hc has", ""));
            assert_eq!(short, expected, "{text}");
        }
    }
}
