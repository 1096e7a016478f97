//! What commands print: tables for people, JSON for programs.

use std::io::Write;

use base::Failure;
use base::file::FileError;
use serde::Serialize;

/// Prints lines.
///
/// # Errors
///
/// If they cannot be written.
pub(crate) fn text(out: &mut dyn Write, text: &str) -> Result<(), Failure> {
    Ok(out.write_all(text.as_bytes()).map_err(FileError::at("write to", "standard output"))?)
}

/// Prints a value as JSON, indented.
///
/// # Errors
///
/// If it cannot be written.
pub(crate) fn json(out: &mut dyn Write, value: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(value).unwrap_or_default(); // our types always can
    text(out, &(json + "\n"))
}

/// Prints a table, each column as wide as its widest cell. An empty table is its head.
///
/// # Errors
///
/// If it cannot be written.
pub(crate) fn table<const N: usize>(
    out: &mut dyn Write,
    head: [&str; N],
    rows: &[[String; N]],
) -> Result<(), Failure> {
    let head = head.map(str::to_owned);
    let all = || std::iter::once(&head).chain(rows);
    let widths: Vec<usize> = (0..N)
        .map(|at| all().map(|row| row[at].chars().count()).max().unwrap_or_default())
        .collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    text(out, &all().map(line).collect::<String>())
}

/// Now, in seconds since 1970.
pub(crate) fn now() -> u64 {
    jiff::Timestamp::now().as_second().try_into().unwrap_or_default()
}

/// A moment for people, in UTC: `2026-11-27 22:15`.
pub(crate) fn moment(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|it| jiff::Timestamp::from_second(it).ok());
    time.map_or_else(|| "?".into(), |time| time.strftime("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut out = Vec::new();
        let rows = [["bash".to_owned(), "5.2".to_owned()], ["a".to_owned(), "1".to_owned()]];
        table(&mut out, ["package", "v"], &rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "package  v\nbash     5.2\na        1\n");
    }

    #[test]
    fn a_moment_is_told_in_utc() {
        assert_eq!(moment(0), "1970-01-01 00:00");
        assert_eq!(moment(u64::MAX), "?");
    }
}
