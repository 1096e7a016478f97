//! What systemd-boot reads on its partition: the names of unified kernel images, with their boot counts, and
//! `loader.conf`.
//!
//! Source: UAPI.1 Boot Loader Specification, "Boot counting",
//! <https://uapi-group.org/specifications/specs/boot_loader_specification/#boot-counting>; loader.conf(5).

use std::cmp::Ordering;
use std::fmt;

use crate::manifest::Kernel;

/// The folder of unified kernel images on the boot partition.
pub const FOLDER: &str = "EFI/Linux";
/// The loader's configuration on the boot partition.
pub const CONFIG: &str = "loader/loader.conf";

/// How the names of packages begin that bring a unified kernel image.
pub const PACKAGES: &str = "preon-uki-";

/// How long we make `loader.conf`: one sector, which a disk writes as a whole or not at all.
const SECTOR: usize = 512;
const PREFIX: &str = "preon-";
const SUFFIX: &str = ".efi";
const MODULES: &str = "usr/lib/modules/";
const PACKAGED: &str = "/vmlinuz.efi";
const PADDING: &str = "# Padded to a sector, so that no power cut tears it. ";

/// How often the loader may still start an image, and has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tries {
    /// With none left it comes after all others.
    pub left: u32,
    /// Starts of which nobody has said that they were good.
    pub done: u32,
}

/// The name of a file in [`FOLDER`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryName {
    /// What the loader calls the entry: the file's name without counts.
    pub id: String,
    /// Missing: it has started before and is good.
    pub tries: Option<Tries>,
}

impl EntryName {
    /// The name of `id` while it was never started.
    pub fn on_trial(id: &str, left: u32) -> Self {
        Self { id: id.to_owned(), tries: Some(Tries { left, done: 0 }) }
    }

    /// The name of `id` once it is good.
    pub fn good(id: &str) -> Self {
        Self { id: id.to_owned(), tries: None }
    }

    /// Whether the loader has given it up.
    pub fn is_bad(&self) -> bool {
        self.tries.is_some_and(|tries| tries.left == 0)
    }

    /// The name of `id`, which is good, while the loader is to try an older one first.
    pub fn set_back(id: &str) -> Self {
        Self::on_trial(id, 0)
    }

    /// Whether it is last because it was set back, not because the loader has given it up.
    pub fn is_set_back(&self) -> bool {
        self.tries.is_some_and(|tries| tries.left == 0 && tries.done == 0)
    }

    /// Reads a file's name: `preon-6.12.1-x+2-1.efi`. `None` when it is not that of an image. What looks like a count
    /// and is none belongs to the name.
    pub fn parse(file: &str) -> Option<Self> {
        let stem = file.strip_suffix(SUFFIX)?;
        let counted = stem.rsplit_once('+').and_then(|(name, counts)| {
            let (left, done) = counts.split_once('-').unwrap_or((counts, "0"));
            Some((name, Tries { left: number(left)?, done: number(done)? }))
        });
        Some(match counted {
            Some((name, tries)) => Self { id: format!("{name}{SUFFIX}"), tries: Some(tries) },
            None => Self::good(file),
        })
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Tries { left, done }) = self.tries else { return f.write_str(&self.id) };
        let stem = self.id.strip_suffix(SUFFIX).unwrap_or(&self.id);
        match done {
            0 => write!(f, "{stem}+{left}{SUFFIX}"),
            done => write!(f, "{stem}+{left}-{done}{SUFFIX}"),
        }
    }
}

/// Only digits: `parse` alone would take a sign, too.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

impl Kernel {
    /// What the boot loader calls its unified kernel image: `preon-VERSION_FLAVOUR_DIGITS.efi`, with the first twelve
    /// digits of its digest. The flavour is that of the package: two may have kernels of one release that differ in their
    /// command lines.
    pub fn entry_id(&self) -> String {
        let version = self.release.split('-').next().unwrap_or_default();
        format!("{PREFIX}{version}_{}_{}{SUFFIX}", self.flavour(), self.uki.short())
    }

    /// A pattern that matches its image and those of the same package in other versions, as fnmatch(3) has it. The loader
    /// takes the newest of those that it has not given up. No name of a package has a `_`, so it matches no other's.
    ///
    /// Source: systemd-boot 257 sorts what it has given up last, and takes the first that matches `default`.
    pub fn entry_pattern(&self) -> String {
        format!("{PREFIX}*_{}_*{SUFFIX}", self.flavour())
    }

    /// What tells its package from those of other kernels: `hardened`, `hardened-strict`.
    pub fn flavour(&self) -> &str {
        self.package.as_str().strip_prefix(PACKAGES).unwrap_or(self.package.as_str())
    }
}

/// The flavour of the kernel that an id or a pattern is for; `None` when it has another form.
pub fn flavour(entry: &str) -> Option<&str> {
    let (rest, _) = entry.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.rsplit_once('_')?;
    Some(rest.rsplit_once('_')?.1)
}

/// Where a package has the unified kernel image of a kernel of this release: not in the layer, because the boot
/// partition holds it.
pub fn packaged(release: &str) -> String {
    format!("{MODULES}{release}{PACKAGED}")
}

/// The release of the kernel whose unified kernel image lies at this path in a package.
pub fn packaged_release(path: &str) -> Option<&str> {
    let release = path.strip_prefix(MODULES)?.strip_suffix(PACKAGED)?;
    (!release.is_empty() && !release.contains('/')).then_some(release)
}

/// The digits of an image's digest in what the loader calls it; `None` when it has another form.
pub fn digits(id: &str) -> Option<&str> {
    let (_, digits) = id.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.rsplit_once('_')?;
    (digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)
}

/// What `loader.conf` says of the entry that starts, an id or a pattern; of several lines the last.
pub fn default_entry(config: &str) -> Option<&str> {
    config.lines().rev().find_map(as_default)
}

/// The text of `loader.conf` with this entry as the one that starts, and all that it says otherwise. Its length is a
/// multiple of a sector.
pub fn with_default(config: &str, entry: &str) -> String {
    let mut text = String::new();
    let lines = config.lines().map(|line| line.trim_end_matches('\r'));
    let kept = lines.filter(|line| as_default(line).is_none());
    for line in kept.filter(|line| !line.starts_with(PADDING.trim_end())) {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(&format!("default {entry}\n{PADDING}"));
    let length = (text.len() + 1).next_multiple_of(SECTOR);
    text.push_str(&"#".repeat(length - 1 - text.len()));
    text.push('\n');
    text
}

/// How systemd-boot sorts versions and names; the newer one is greater. It differs from the order of packages' versions:
/// what follows a letter or a digit without a point is newer than what follows a point, and `+` only separates.
///
/// Source: systemd 257, `strverscmp_improved` in `src/fundamental`; UAPI.10, "Version Format Specification".
pub fn compare_versions(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one, other);
    loop {
        let junk = |c: char| !(c.is_ascii_alphanumeric() || "~-^.".contains(c));
        (one, other) = (one.trim_start_matches(junk), other.trim_start_matches(junk));
        // Whatever has one of these where the other has none is older; so is what ends, but not beside `~`.
        for separator in ['~', '\0', '-', '^', '.'] {
            if separator == '\0' {
                if one.is_empty() || other.is_empty() {
                    return other.is_empty().cmp(&one.is_empty());
                }
                continue;
            }
            match (one.strip_prefix(separator), other.strip_prefix(separator)) {
                (Some(rest), Some(others)) => (one, other) = (rest, others),
                (None, None) => {}
                (found, _) => return found.is_none().cmp(&found.is_some()),
            }
        }
        let is_number = [one, other].iter().any(|it| it.starts_with(|c: char| c.is_ascii_digit()));
        let belongs =
            |c: char| if is_number { c.is_ascii_digit() } else { c.is_ascii_alphabetic() };
        let split = |text: &str| text.find(|c| !belongs(c)).unwrap_or(text.len());
        let (a, b);
        (a, one) = one.split_at(split(one));
        (b, other) = other.split_at(split(other));
        let by_value = || {
            let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
            a.len().cmp(&b.len()).then_with(|| a.cmp(b))
        };
        let order = match is_number {
            true => b.is_empty().cmp(&a.is_empty()).then_with(by_value),
            false => a.cmp(b),
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Whether a pattern of the loader's configuration matches an entry's id: `*`, `?`, sets such as `[a-f0]`, and `\` before
/// what stands for itself (not in sets).
///
/// Source: systemd-boot 257, which has this much of fnmatch(3).
pub fn matches(pattern: &str, id: &str) -> bool {
    let (pattern, id): (Vec<_>, Vec<_>) = (pattern.chars().collect(), id.chars().collect());
    let (mut place, mut at) = (0, 0);
    // What follows the last `*`, and where it was looked for: no earlier one needs to be longer.
    let mut star = None;
    while let Some(&letter) = id.get(at) {
        if pattern.get(place) == Some(&'*') {
            place += 1;
            star = Some((place, at));
        } else if let Some(length) = matches_one(&pattern[place..], letter) {
            (place, at) = (place + length, at + 1);
        } else if let Some((after, from)) = star {
            (place, at) = (after, from + 1);
            star = Some((after, at));
        } else {
            return false;
        }
    }
    pattern[place..].iter().all(|letter| *letter == '*')
}

/// How long what stands for the letter is at the start of a pattern; `None` where something else is there.
fn matches_one(pattern: &[char], letter: char) -> Option<usize> {
    let (is_it, length) = match pattern {
        ['?', ..] => (true, 1),
        ['\\', rest @ ..] => (rest.first() == Some(&letter), 2),
        ['[', first, rest @ ..] => {
            let end = rest.iter().position(|it| *it == ']')?;
            let mut set = &pattern[1..end + 2];
            let mut found = *first == letter;
            while let [low, others @ ..] = set {
                (set, found) = match others {
                    ['-', high, rest @ ..] => (rest, found || (*low..=*high).contains(&letter)),
                    _ => (others, found || *low == letter),
                };
            }
            (found, end + 3)
        }
        [other, ..] => (*other == letter, 1),
        [] => (false, 0),
    };
    is_it.then_some(length)
}

fn as_default(line: &str) -> Option<&str> {
    let (key, value) = line.trim().split_once([' ', '\t'])?;
    (key == "default").then_some(value.trim())
}

#[cfg(test)]
mod tests {
    use base::Digest;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_files_name_says_how_often_it_may_start() {
        let counted = |left, done| Some(Tries { left, done });
        #[rustfmt::skip]
        let cases = [
            ("preon-6.1-x.efi",      "preon-6.1-x.efi",     None),
            ("preon-6.1-x+3.efi",    "preon-6.1-x.efi",     counted(3, 0)),
            ("preon-6.1-x+2-1.efi",  "preon-6.1-x.efi",     counted(2, 1)),
            ("preon-6.1-x+0-3.efi",  "preon-6.1-x.efi",     counted(0, 3)),
            ("a+b+1.efi",            "a+b.efi",             counted(1, 0)),
            ("a+b.efi",              "a+b.efi",             None), // no number
            ("a+1-.efi",             "a+1-.efi",            None),
            ("a++1.efi",             "a+.efi",              counted(1, 0)),
            ("a+-1.efi",             "a+-1.efi",            None),
            ("a+99999999999.efi",    "a+99999999999.efi",   None),
        ];
        for (file, id, tries) in cases {
            let name = EntryName::parse(file).unwrap();
            assert_eq!((name.id.as_str(), name.tries), (id, tries), "{file}");
            assert_eq!(name.to_string(), file);
        }
        for file in ["preon.efi.new", "", "efi", "preon+3"] {
            assert_eq!(EntryName::parse(file), None, "{file}");
        }
        assert!(EntryName::parse("a+0-3.efi").unwrap().is_bad());
        assert!(!EntryName::parse("a+1-2.efi").unwrap().is_bad());
        assert!(!EntryName::good("a.efi").is_bad());
        assert_eq!(EntryName::on_trial("a.efi", 3).to_string(), "a+3.efi");
        assert!(EntryName::set_back("a.efi").is_set_back());
        assert!(!EntryName::parse("a+0-1.efi").unwrap().is_set_back());
    }

    #[test]
    fn an_image_is_known_by_its_version_package_and_digest() {
        let kernel = |package: &str, release: &str| Kernel {
            release: release.into(),
            version: "6.12.118-1".into(),
            package: package.parse().unwrap(),
            uki: Digest::of(b"uki"),
        };
        let hardened = kernel("preon-uki-hardened", "6.12.118-preon-hardened");
        let short = hardened.uki.short();
        let id = format!("preon-6.12.118_hardened_{short}.efi");
        assert_eq!(hardened.entry_id(), id);
        assert_eq!(digits(&id), Some(short.as_str()));
        assert_eq!(hardened.entry_pattern(), "preon-*_hardened_*.efi");
        for entry in [id, hardened.entry_pattern()] {
            assert_eq!(flavour(&entry), Some("hardened"));
        }
        assert_eq!([flavour("preon.efi"), flavour("preon-6_x.efi"), flavour("")], [None; 3]);
        assert_eq!(packaged_release(&packaged("6.1-x")), Some("6.1-x"));
        for other in
            ["usr/lib/modules//vmlinuz.efi", "usr/lib/modules/6/kernel/vmlinuz.efi", "vmlinuz.efi"]
        {
            assert_eq!(packaged_release(other), None, "{other}");
        }
        for other in
            ["preon-6.12.118_hardened.efi", "preon-6_x_0123456789ag.efi", "a-1_x_012345678901.efi"]
        {
            assert_eq!(digits(other), None, "{other}");
        }
    }

    #[test]
    fn the_pattern_of_one_package_matches_no_image_of_another() {
        let packages = ["hardened", "hardened-strict", "strict", "full", "full-hardened", "hard"];
        let kernels = packages.map(|flavour| Kernel {
            release: "6.12.118-preon-hardened".into(),
            version: "6.12.118-1".into(),
            package: format!("preon-uki-{flavour}").parse().unwrap(),
            uki: Digest::of(flavour.as_bytes()),
        });
        for (one, other) in kernels.iter().flat_map(|one| kernels.iter().map(move |it| (one, it))) {
            let (pattern, id) = (one.entry_pattern(), other.entry_id());
            assert_eq!(matches(&pattern, &id), one.package == other.package, "{pattern} {id}");
        }
    }

    #[test]
    fn a_pattern_matches_what_the_loader_would_start_by_it() {
        #[rustfmt::skip]
        let cases = [
            ("a.efi",        "a.efi",       true),
            ("a.efi",        "a.ef",        false),
            ("a.ef",         "a.efi",       false),
            ("",             "",            true),
            ("*",            "",            true),
            ("a*",           "a",           true),
            ("a*b*c",        "abbcxbc",     true),
            ("a*b*c",        "abbcxb",      false),
            ("*-x-*.efi",    "6-y-x-1.efi", true),
            ("x-??.efi",     "x-12.efi",    true),
            ("x-??.efi",     "x-123.efi",   false),
            ("x-??",         "x-1",         false),
            ("*_x_??",       "a_x_x_12",    true),
            ("[ab]1",        "b1",          true),
            ("[ab]1",        "c1",          false),
            ("[a-c0-9]*",    "b7",          true),
            ("[a-c0-9]*",    "d7",          false),
            ("[]a]",         "]",           true),
            ("[-a]",         "-",           true),
            ("[a",           "a",           false), // no set
            ("\\*",          "*",           true),
            ("\\*",          "a",           false),
            ("\\",           "\\",          false),
        ];
        for (pattern, id, expected) in cases {
            assert_eq!(matches(pattern, id), expected, "{pattern} {id}");
        }
    }

    #[test]
    fn versions_sort_as_the_loader_sorts_them() {
        // Source: the comment above strverscmp_improved().
        let rising = [
            "122.1",
            "123~rc1-1",
            "123",
            "123-a",
            "123-a.1",
            "123-1",
            "123-1.1",
            "123^post1",
            "123.a-1",
            "123.1-1",
            "123a-1",
            "124-1",
        ];
        for (place, one) in rising.iter().enumerate() {
            for (other_place, other) in rising.iter().enumerate() {
                assert_eq!(compare_versions(one, other), place.cmp(&other_place), "{one} {other}");
            }
        }
        for (same, other) in [("1_2", "1+2"), ("01", "1"), ("", "+"), ("a+", "a")] {
            assert_eq!(compare_versions(same, other), Ordering::Equal, "{same} {other}");
        }
        // Digits of an image's digest are numbers there, and a count comes behind its name.
        assert!(compare_versions("x-10a.efi", "x-9ab.efi").is_gt());
        assert!(compare_versions("x-ab+3.efi", "x-ab.efi").is_gt());
    }

    proptest! {
        #[test]
        fn any_two_versions_have_one_order(one in "[-~^.+019ab_]{0,12}", other in "[-~^.+019ab_]{0,12}") {
            prop_assert_eq!(compare_versions(&one, &other), compare_versions(&other, &one).reverse());
            prop_assert_eq!(compare_versions(&one, &one), Ordering::Equal);
        }
    }

    #[test]
    fn another_default_leaves_the_rest_of_loader_conf_and_a_whole_sector() {
        let config =
            "timeout 0\ndefault a.efi\neditor no\ndefault\tb.efi \n# default c.efi\ndefaults d\n";
        assert_eq!(default_entry(config), Some("b.efi"));
        let once = with_default(config, "preon-*.efi");
        assert_eq!(default_entry(&once), Some("preon-*.efi"));
        assert!(once.starts_with("timeout 0\neditor no\n# default c.efi\ndefaults d\n"), "{once}");
        assert_eq!(once.len(), 512);
        assert_eq!(with_default(&once, "preon-*.efi"), once);
        let twice = with_default(&once, &"e".repeat(400));
        assert_eq!(default_entry(&twice), Some(&*"e".repeat(400)));
        assert_eq!(twice.len() % 512, 0);
        assert_eq!(with_default(&with_default("a\r\n\r", "b"), "b"), with_default("a\n\n", "b"));
        assert_eq!(default_entry(""), None);
        assert!(with_default("", "a").ends_with("#\n"));
    }
}
