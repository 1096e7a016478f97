//! How the text of two files differs.

use std::path::Path;

use base::file::{self, FileError};
use host::Host;
use host::etc::{self, Difference, Entry, Kind, Underneath, What};
use similar::TextDiff;

/// Longer files are not compared line by line, in bytes.
const LIMIT: usize = 1 << 20;

/// How a changed file differs from what it was; empty for all others. A file that not everybody may read is shown only
/// where somebody has `named` it.
pub(super) fn changed(difference: &Difference, named: bool) -> Result<String, FileError> {
    let Difference { before: Some(before), now: Some(now), .. } = difference else {
        return Ok(String::new());
    };
    if difference.what != What::Changed {
        return Ok(String::new());
    }
    let path = super::place(&difference.path);
    let what = |entry: &Entry| match &entry.kind {
        Kind::File(_) => "a file".to_owned(),
        Kind::Link(target) => format!("a link to {}", target.display()),
        _ => "a folder".to_owned(),
    };
    let (Kind::File(_), Kind::File(_)) = (&before.kind, &now.kind) else {
        return Ok(format!("\n{path}: {}, was {}\n", what(now), what(before)));
    };
    if is_hidden(now, named) || is_hidden(before, named) {
        return Ok(format!("\n{path}: not everybody may read it; name it to see it\n"));
    }
    match (&difference.before_at, &difference.now_at) {
        (Some(before), Some(now)) => compare((before, "before"), (now, "now"), &path),
        _ => Ok(String::new()),
    }
}

/// How the default of an edited file changed since the edit; empty where it did not, or where nobody knows what it was.
pub(super) fn underneath(
    host: &Host,
    difference: &Difference,
    named: bool,
) -> Result<String, FileError> {
    let Some(judged @ Underneath::Changed(_)) = &difference.underneath else {
        return Ok(String::new());
    };
    if difference.before.as_ref().is_some_and(|it| is_hidden(it, named)) {
        return Ok(String::new());
    }
    let default = etc::default_of(host, &difference.path);
    match etc::former_default(host, judged) {
        Some(former) if default.is_file() => {
            let path = super::place(&difference.path);
            compare((&former, "default, when it was edited"), (&default, "default now"), &path)
        }
        _ => Ok(String::new()),
    }
}

fn is_hidden(entry: &Entry, named: bool) -> bool {
    !named && entry.mode & 0o004 == 0
}

fn compare(
    (before, before_is): (&Path, &str),
    (now, now_is): (&Path, &str),
    path: &str,
) -> Result<String, FileError> {
    let (before, now) = (file::read(before)?, file::read(now)?);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok().filter(|it| it.len() <= LIMIT);
    let (Some(before), Some(now)) = (text(before), text(now)) else {
        return Ok(format!("\n{path}: no text, or a long one\n"));
    };
    let heads = (format!("{path} ({before_is})"), format!("{path} ({now_is})"));
    let diff = TextDiff::from_lines(&before, &now);
    Ok(format!("\n{}", diff.unified_diff().header(&heads.0, &heads.1)))
}
