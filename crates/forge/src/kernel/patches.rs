//! Our patches to the source: few, each with what it is for at its head.

use std::path::{Path, PathBuf};

use base::file::{self, FileError};
use base::{Digest, Explain};

use super::tree;

/// A change to the source, in the form that `patch -p1` takes.
#[derive(Clone, Debug)]
pub(crate) struct Patch {
    /// The file.
    pub(crate) path: PathBuf,
    /// Stands for its content, words included.
    pub(crate) digest: Digest,
}

/// Why patches could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PatchError {
    /// The folder or a file in it cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The change begins at once.
    #[error("{} does not say what it is for", path.display())]
    NoReason {
        /// The patch.
        path: PathBuf,
    },
}

impl Explain for PatchError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::NoReason { .. } => {
                Some("begin it with a sentence that says what it does, and why below".into())
            }
        }
    }
}

/// The patches (`*.patch`) in `folder`, in the order of their names; none where there is no folder. What
/// else lies there [`tree::check`] refuses.
///
/// # Errors
///
/// [`PatchError`].
pub(crate) fn load(folder: &Path) -> Result<Vec<Patch>, PatchError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut patches = Vec::new();
    for path in tree::list(folder)? {
        if path.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        let text = file::read_text(&path)?;
        if !says_why(&text) {
            return Err(PatchError::NoReason { path });
        }
        patches.push(Patch { digest: Digest::of(text.as_bytes()), path });
    }
    Ok(patches)
}

/// Whether the text of a patch has a sentence before the change begins: a line of three words or more
/// that is none of what Git and mail write by themselves.
fn says_why(text: &str) -> bool {
    const CHANGE: [&str; 5] = ["---", "+++", "diff ", "Index: ", "@@ "];
    let begins_change = |line: &&str| CHANGE.iter().any(|start| line.starts_with(start));
    let mut head = text.lines().take_while(|line| !begins_change(line));
    head.any(|line| {
        let line = line.strip_prefix("Subject: ").unwrap_or(line);
        !is_header(line) && line.split_whitespace().filter(|word| is_word(word)).count() >= 3
    })
}

/// Whether `line` is one such as `Signed-off-by: …`, `From: …`, or the first of a mail from Git.
fn is_header(line: &str) -> bool {
    let first = line.split(' ').next().unwrap_or_default();
    let names = ["From", "From:", "Date:", "To:", "Cc:", "Link:", "Fixes:", "Closes:"];
    names.contains(&first) || (first.ends_with(':') && first.contains('-'))
}

fn is_word(text: &str) -> bool {
    text.chars().any(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn patches_come_in_order_and_each_says_what_it_is_for() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(load(&folder.path().join("none")).unwrap().len(), 0);
        for (name, text) in [
            ("0002-b.patch", "What b is for\n---\n--- a/b\n"),
            ("0001-a.patch", "What a is for\n--- a/a\n"),
            ("README", ""),
            (".#0003-c.patch", ""),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let names = load(folder.path()).unwrap().into_iter().map(|patch| patch.path);
        let names: Vec<_> = names.map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["0001-a.patch", "0002-b.patch"]);

        fs::write(folder.path().join("0003-c.patch"), "--- a/c\n+++ b/c\n").unwrap();
        let error = load(folder.path()).unwrap_err();
        assert!(error.to_string().ends_with("0003-c.patch does not say what it is for"), "{error}");
    }

    #[test]
    fn a_reason_is_a_sentence_before_the_change() {
        #[rustfmt::skip]
        let cases = [
            ("Let init start early\n---\n--- a/x\n",                           true),
            ("Subject: [PATCH] Let init start early\n\n---\n",                 true),
            ("From: A Man With Names\n\nx86: leave it out\n--- a/x\n",        true),
            ("Let init start early\ndiff --git a/x b/x\n",                     true),
            ("",                                                               false),
            ("diff --git a/x b/x\nindex 12..34 100644\n--- a/x\n",            false),
            ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a b c d\n",                    false),
            ("\n---\n\n x.c | 2 +- of one two three\n\ndiff --git a/x b/x\n", false),
            ("fix\n--- a/x\n",                                                false),
            ("Signed-off-by: A Man With Names\n--- a/x\n",                    false),
            ("SPDX-License-Identifier: GPL-2.0 or later one\n--- a/x\n",       false),
            ("From 12ab Mon Sep 17 00:00:00 2001\nDate: Mon Sep x y\n---\n",   false),
            ("Index: x of y z\n===\n--- a/x\n",                               false),
            ("1 2 3 4\n--- a/x\n",                                            false),
        ];
        for (text, expected) in cases {
            assert_eq!(says_why(text), expected, "{text}");
        }
    }
}
