//! Errors that say what failed, why, and what to do.

use std::error::Error;
use std::fmt::Write as _;

/// An error that may know what the reader can do about it.
pub trait Explain: Error + Send + Sync + 'static {
    /// One imperative sentence, or `None` when we would be guessing.
    fn hint(&self) -> Option<String> {
        None
    }

    /// Whether nothing was done because somebody else is at it right now: the same may go well later.
    fn is_busy(&self) -> bool {
        false
    }
}

/// What a command or handler returns when it fails; `?` turns any [`Explain`] into it.
pub type Failure = Box<dyn Explain>;

impl<E: Explain> From<E> for Failure {
    fn from(error: E) -> Self {
        Box::new(error)
    }
}

/// The text a program prints when it fails: `error:`, each `caused by:`, then `hint:`.
///
/// Ends with a newline. A cause that only repeats the line above it is left out.
pub fn render(failure: &dyn Explain) -> String {
    told("error", failure)
}

/// The same text of what stops nothing: it begins with `warning:`.
pub fn warning(failure: &dyn Explain) -> String {
    told("warning", failure)
}

fn told(kind: &str, failure: &dyn Explain) -> String {
    let mut text = format!("{kind}: {failure}\n");
    let mut last = failure.to_string();
    let mut cause = failure.source();
    while let Some(error) = cause {
        let line = error.to_string();
        if line != last {
            let _ = writeln!(text, "  caused by: {line}");
        }
        last = line;
        cause = error.source();
    }
    if let Some(hint) = failure.hint() {
        let _ = writeln!(text, "hint: {hint}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read {path}")]
    struct Unreadable {
        path: String,
        source: std::io::Error,
    }

    impl Explain for Unreadable {
        fn hint(&self) -> Option<String> {
            Some("run as root".into())
        }
    }

    #[test]
    fn what_failed_why_and_what_to_do_are_printed_in_this_order() {
        let error = Unreadable { path: "/x".into(), source: std::io::Error::other("gone") };
        assert_eq!(render(&error), "error: cannot read /x\n  caused by: gone\nhint: run as root\n");
    }
}
