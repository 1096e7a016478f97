//! The committed configuration, compared with the one that came out.

use std::path::Path;

use base::file;
use base::progress::Progress;

use super::{BuildError, Recipe};
use crate::kernel::config::Config;

/// Compares the committed configuration with the one that came out.
///
/// # Errors
///
/// [`BuildError::Differs`], or that the committed one cannot be read.
pub(crate) fn compare(committed: &Path, config: &Config) -> Result<(), BuildError> {
    let differences = parse(&file::read_text(committed)?)?.differences(config);
    if differences.is_empty() {
        return Ok(());
    }
    Err(BuildError::Differs { committed: committed.to_owned(), differences })
}

pub(super) fn parse(text: &str) -> Result<Config, BuildError> {
    Config::parse(text).map_err(|source| BuildError::BadConfig { source })
}

/// Compares the committed configuration with the final one, `text`; where the source's version is
/// another than the committed file's, the difference is only a note.
pub(super) fn check_committed(
    recipe: &Recipe,
    text: &str,
    progress: &dyn Progress,
) -> Result<(), BuildError> {
    match compare(&recipe.committed, &parse(text)?) {
        Err(BuildError::Differs { committed, differences })
            if is_of_another_version(&committed, text) =>
        {
            progress.note(&format!(
                "the source is newer than {}; it differs in{}",
                committed.display(),
                super::error::lines(&differences)
            ));
            Ok(())
        }
        compared => compared,
    }
}

/// Whether the committed configuration is one of another version of the source than `text`.
fn is_of_another_version(committed: &Path, text: &str) -> bool {
    let version = |text: &str| Config::parse(text).ok()?.version;
    file::read_text(committed).is_ok_and(|committed| version(&committed) != version(text))
}
