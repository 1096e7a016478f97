//! What commands print: tables for people, JSON for programs.

use std::io::Write;

use base::Failure;
use base::file::FileError;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// Prints lines.
///
/// # Errors
///
/// If they cannot be written.
pub(crate) fn text(out: &mut dyn Write, text: &str) -> Result<(), Failure> {
    Ok(out.write_all(text.as_bytes()).map_err(FileError::at("write to", "standard output"))?)
}

/// The fields that are moments. In the host's files they are seconds since 1970.
const MOMENTS: [&str; 5] = ["at", "since", "until", "valid_until", "waiting_since"];

/// Prints a value as JSON, indented, with moments as RFC 3339 has them: `2026-11-27T22:15:00Z`.
///
/// # Errors
///
/// If it cannot be written.
pub(crate) fn json(out: &mut dyn Write, value: &impl Serialize) -> Result<(), Failure> {
    let mut value = serde_json::to_value(value).unwrap_or_default(); // our types always can
    tell_moments(&mut value);
    json_as_kept(out, &value)
}

fn tell_moments(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(tell_moments),
        Value::Object(fields) => {
            for (name, value) in fields {
                let seconds = value.as_u64().filter(|_| MOMENTS.contains(&name.as_str()));
                match seconds.and_then(timestamp) {
                    Some(time) => *value = time.to_string().into(),
                    None => tell_moments(value),
                }
            }
        }
        _ => {}
    }
}

/// Prints a value as JSON, indented, as a host's files have it: for other programs of ours.
///
/// # Errors
///
/// If it cannot be written.
pub(crate) fn json_as_kept(out: &mut dyn Write, value: &impl Serialize) -> Result<(), Failure> {
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
    Timestamp::now().as_second().try_into().unwrap_or_default()
}

/// A moment for people: `2026-11-27 22:15 UTC`.
pub(crate) fn moment(seconds: u64) -> String {
    let time = timestamp(seconds);
    time.map_or_else(|| "?".into(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

fn timestamp(seconds: u64) -> Option<Timestamp> {
    Timestamp::from_second(seconds.try_into().ok()?).ok()
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
        assert_eq!(moment(0), "1970-01-01 00:00 UTC");
        assert_eq!(moment(u64::MAX), "?");
    }

    #[test]
    fn programs_are_told_moments_as_rfc_3339_has_them_and_all_else_as_it_is() {
        let printed = |print: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            print(&mut out);
            serde_json::from_slice::<Value>(&out).unwrap()
        };
        let kept =
            serde_json::json!([{ "at": 60, "from": 60, "step": { "until": 120 }, "since": null }]);
        let told = serde_json::json!([{
            "at": "1970-01-01T00:01:00Z", "from": 60, "step": { "until": "1970-01-01T00:02:00Z" }, "since": null
        }]);
        assert_eq!(printed(&|out| json(out, &kept).unwrap()), told);
        assert_eq!(printed(&|out| json_as_kept(out, &kept).unwrap()), kept);
    }
}
