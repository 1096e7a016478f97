//! The default command line: one word a line, each with its reason.

use std::path::{Path, PathBuf};

use base::Explain;
use base::file::{self, FileError};

/// Why the command line could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CmdlineError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line that is not one word and its reason.
    #[error("{}:{line}: `{text}` is not one word and its reason", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is there.
        text: String,
    },
}

impl Explain for CmdlineError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Syntax { .. } => Some("write `word  # reason`, or `## comment`".into()),
        }
    }
}

/// The command line that the file at `path` spells, in one line without a newline.
///
/// # Errors
///
/// [`CmdlineError`].
pub(crate) fn load(path: &Path) -> Result<String, CmdlineError> {
    let text = file::read_text(path)?;
    parse(&text).map_err(|line| CmdlineError::Syntax {
        path: path.to_owned(),
        line,
        text: text.lines().nth(line - 1).unwrap_or_default().to_owned(),
    })
}

/// The words of `text` in one line, or the number of the first line that is wrong.
fn parse(text: &str) -> Result<String, usize> {
    let mut words = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with("##") {
            continue;
        }
        match super::split_reason(line) {
            (word, Some(_)) if !word.is_empty() && !word.contains(char::is_whitespace) => {
                words.push(word);
            }
            _ => return Err(index + 1),
        }
    }
    Ok(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_joined_in_their_order_and_each_needs_a_reason() {
        #[rustfmt::skip]
        let cases = [
            ("## c\nquiet  # why\n\npanic=10 # why\n", Ok("quiet panic=10")),
            ("quiet\n",                                Err(1)),
            ("quiet # a\npanic=10 #\n",                Err(2)),
            ("quiet panic=10 # why\n",                 Err(1)), // two words, one reason
            ("# quiet # why\n",                        Err(1)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn the_command_lines_of_this_repository_can_be_read() {
        use crate::kernel::{Flavour, Profile, command_line};
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        #[rustfmt::skip]
        let cases = [
            (Flavour::Hardened, Profile::Default, "lockdown=confidentiality", true),
            (Flavour::Full,     Profile::Default, "lockdown=integrity",       true),
            (Flavour::Full,     Profile::Default, "lockdown=confidentiality", false),
            (Flavour::Hardened, Profile::Default, "nosmt",                    false),
            (Flavour::Hardened, Profile::Strict,  "nosmt",                    true),
        ];
        for (flavour, profile, word, expected) in cases {
            let line = command_line(&root, flavour, profile).unwrap();
            let found = line.split(' ').any(|there| there == word);
            assert_eq!(found, expected, "{flavour} {profile:?} {word}: {line}");
        }
    }
}
