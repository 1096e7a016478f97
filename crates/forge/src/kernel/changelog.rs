//! Debian's changelog of the kernel: which known flaws newer versions say they fix.

use std::collections::BTreeSet;

use formats::version::VersionRef;

/// The identifiers of the Common Vulnerabilities and Exposures that the entries of `text` name, of
/// versions above `before`, each once, by year and number.
///
/// Source: Debian Policy, section 4.4 (entries begin at the margin, newest first); the CVE
/// Program's identifier syntax (`CVE-` year `-` four digits or more).
pub(crate) fn fixed(text: &str, before: VersionRef<'_>) -> Vec<String> {
    let newer = text.lines().take_while(|line| entry(line).is_none_or(|version| version > before));
    let mut found = BTreeSet::new();
    for line in newer {
        found.extend(identifiers(line));
    }
    found.into_iter().map(|(year, number)| format!("CVE-{year}-{number:04}")).collect()
}

/// The version of the entry that `line` begins: `linux (6.12.118-1) trixie-security; …`.
fn entry(line: &str) -> Option<VersionRef<'_>> {
    if line.starts_with(char::is_whitespace) {
        return None;
    }
    let (_, rest) = line.split_once(" (")?;
    VersionRef::parse(rest.split_once(')')?.0).ok()
}

fn identifiers(line: &str) -> impl Iterator<Item = (u32, u64)> {
    line.split("CVE-").skip(1).filter_map(|rest| {
        let (year, rest) = rest.split_once('-')?;
        let end = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
        let good = year.len() == 4 && end >= 4;
        Some((year.parse().ok()?, rest[..end].parse().ok()?)).filter(|_| good)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "\
linux (6.12.118-1) trixie-security; urgency=high

  * New upstream stable update:
    - net: gso: limit recursion (CVE-2026-98853)
    - two at once (CVE-2025-1234, CVE-2026-98853); CVE-2024-123 and CVE-24-1234 are none

 -- Somebody <x@example.org>  Thu, 26 Nov 2026 10:00:00 +0000

linux (6.12.117-2) trixie-security; urgency=high

  * fixed (CVE-2026-0099)

linux (6.12.117-1) trixie; urgency=medium

  * old news (CVE-2026-11111)
";

    #[test]
    fn identifiers_of_newer_entries_are_told_once_and_in_order() {
        #[rustfmt::skip]
        let cases: [(&str, &[&str]); 4] = [
            ("6.12.118-1", &[]),
            ("6.12.117-2", &["CVE-2025-1234", "CVE-2026-98853"]),
            ("6.12.117-1", &["CVE-2025-1234", "CVE-2026-0099", "CVE-2026-98853"]),
            ("6.12.1-1",   &["CVE-2025-1234", "CVE-2026-0099", "CVE-2026-11111", "CVE-2026-98853"]),
        ];
        for (before, expected) in cases {
            let before = VersionRef::parse(before).unwrap();
            assert_eq!(fixed(CHANGELOG, before), expected, "{before:?}");
        }
    }
}
