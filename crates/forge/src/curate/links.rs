//! Where symbolic links point, as text: nothing is looked up on any disk.

use crate::recipe::canonical;

/// The text of the link at `original` after its folder has moved into merged `/usr`.
///
/// A relative text that leaves the folder at the top (`/lib/x -> ../usr/share/x`) would mean
/// something else one level deeper, so it is written anew; any other text stays as it is.
pub(super) fn merged(original: &str, text: &str) -> String {
    let place = canonical(original);
    if place == original || text.starts_with('/') {
        return text.to_owned();
    }
    let meant = canonical(&target(original, text));
    if target(&place, text) == meant { text.to_owned() } else { relative(&place, &meant) }
}

/// The absolute path that the link at `place` points to when its text is `text`: `.` and `..` are
/// worked out, links on the way are not followed. Above the root is the root.
pub(super) fn target(place: &str, text: &str) -> String {
    let folder = place.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = if text.starts_with('/') { Vec::new() } else { parts(folder) };
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The text for a link at `place` to the absolute path `meant`.
fn relative(place: &str, meant: &str) -> String {
    let (from, to) = (parts(place), parts(meant));
    let from = &from[..from.len().saturating_sub(1)];
    let common = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let up = std::iter::repeat_n("..", from.len() - common);
    up.chain(to[common..].iter().copied()).collect::<Vec<_>>().join("/")
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_still_point_where_they_did_after_the_merge() {
        #[rustfmt::skip]
        let cases = [
            // place              text                       text after the merge
            ("/usr/bin/sh",       "dash",                    "dash"),
            ("/usr/lib/a",        "../../etc/x",             "../../etc/x"),
            ("/bin/sh",           "dash",                    "dash"),
            ("/sbin/init",        "/lib/systemd/systemd",    "/lib/systemd/systemd"), // `/lib` is a link on the host
            ("/sbin/init",        "../lib/systemd/systemd",  "../lib/systemd/systemd"),
            ("/lib/systemd/x",    "../../usr/share/x",       "../../share/x"),
            ("/lib64/ld.so",      "../usr/lib/ld.so",        "../lib/ld.so"),
            ("/lib/x",            "../etc/x",                "../../etc/x"),
            ("/lib/x",            "../run/x",                "../../run/x"),
        ];
        for (place, text, expected) in cases {
            assert_eq!(merged(place, text), expected, "{place} -> {text}");
        }
    }

    #[test]
    fn targets_are_worked_out_by_text() {
        #[rustfmt::skip]
        let cases = [
            ("/usr/bin/sh",  "dash",              "/usr/bin/dash"),
            ("/usr/bin/sh",  "../lib/./x",        "/usr/lib/x"),
            ("/etc/mtab",    "../proc/mounts",    "/proc/mounts"),
            ("/etc/mtab",    "../../../proc/x",   "/proc/x"),
            ("/etc/x",       "/bin/y",            "/bin/y"),
        ];
        for (place, text, expected) in cases {
            assert_eq!(target(place, text), expected, "{place} -> {text}");
        }
    }
}
