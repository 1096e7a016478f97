//! The committed configuration, compared with the one that came out.

use std::path::{Path, PathBuf};

use base::file;
use base::progress::Progress;

use super::error::lines;
use super::{BuildError, Recipe};
use crate::kernel::config::{Config, Difference};

/// Compares the committed configuration with the one that came out.
///
/// # Errors
///
/// [`BuildError::Differs`], or that the committed one cannot be read.
pub(crate) fn compare(committed: &Path, config: &Config) -> Result<(), BuildError> {
    Comparison::of(committed, config)?.strict()
}

/// The configuration that is committed in the file at `path`.
///
/// # Errors
///
/// [`BuildError::File`], [`BuildError::BadConfig`], [`BuildError::NoVersion`].
pub(crate) fn committed(path: &Path) -> Result<Config, BuildError> {
    let config = parse(path, &file::read_text(path)?)?;
    match config.version {
        Some(_) => Ok(config),
        None => Err(BuildError::NoVersion { path: path.to_owned() }),
    }
}

/// The configuration `text`, which is that of the file at `path`.
///
/// # Errors
///
/// [`BuildError::BadConfig`].
pub(crate) fn parse(path: &Path, text: &str) -> Result<Config, BuildError> {
    Config::parse(text).map_err(|source| BuildError::BadConfig { path: path.to_owned(), source })
}

/// Compares the committed configuration with the final one; where the source is newer than the committed
/// file, the difference is only a note.
pub(super) fn check_committed(
    recipe: &Recipe,
    config: &Config,
    progress: &dyn Progress,
) -> Result<(), BuildError> {
    let comparison = Comparison::of(&recipe.committed, config)?;
    if !comparison.is_of_older_source || comparison.differences.is_empty() {
        return comparison.strict();
    }
    progress.note(&format!(
        "the source is newer than {}; it differs in{}",
        recipe.committed.display(),
        lines(&comparison.differences)
    ));
    Ok(())
}

struct Comparison {
    committed: PathBuf,
    differences: Vec<Difference>,
    /// Whether the committed file is of an older source than what came out.
    is_of_older_source: bool,
}

impl Comparison {
    fn of(path: &Path, new: &Config) -> Result<Self, BuildError> {
        let old = committed(path)?;
        Ok(Self {
            committed: path.to_owned(),
            differences: old.differences(new),
            is_of_older_source: is_older(old.version.as_deref(), new.version.as_deref()),
        })
    }

    fn strict(self) -> Result<(), BuildError> {
        let Self { committed, differences, .. } = self;
        if differences.is_empty() {
            return Ok(());
        }
        Err(BuildError::Differs { committed, differences })
    }
}

/// Whether both are versions such as `6.12.117`, and the first is the older one.
fn is_older(one: Option<&str>, other: Option<&str>) -> bool {
    let numbers = |version: &str| {
        version.split('.').map(|number| number.parse().ok()).collect::<Option<Vec<u32>>>()
    };
    match (one.and_then(numbers), other.and_then(numbers)) {
        (Some(one), Some(other)) => one < other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_older_by_their_numbers() {
        #[rustfmt::skip]
        let cases = [
            (Some("6.12.99"),  Some("6.12.117"), true),  // not by their letters
            (Some("6.12.117"), Some("6.12.99"),  false),
            (Some("6.12.117"), Some("6.12.117"), false),
            (Some("6.12"),     Some("6.12.1"),   true),
            (Some("6.9.1"),    Some("6.12.0"),   true),
            (Some("x"),        Some("6.12.0"),   false),
            (None,             Some("6.12.0"),   false),
            (Some("6.12.0"),   None,             false),
        ];
        for (one, other, expected) in cases {
            assert_eq!(is_older(one, other), expected, "{one:?} {other:?}");
        }
    }
}
