//! What a curated package says about where it comes from, in fields of its control file: the package that it
//! was made from, which flaws its versions fix, and who has its documentation.

use std::io::{self, Read};

use base::Digest;
use flate2::read::GzDecoder;
use formats::PackageName;
use packages::changelog;
use packages::control::Control;
use packages::fixes::{DOCUMENTATION_FIELD, FIELD, Fixes, ORIGIN_FIELD};

use super::tree::{Shape, Tree};
use super::{Review, links};

/// Where documentation lies, a folder for each package.
const DOCUMENTATION: &str = "/usr/share/doc";

/// Debian's changelog, by preference; a package that only Debian has calls it like others call their own.
///
/// Source: Debian Policy, section 12.7.
const CHANGELOGS: [&str; 2] = ["changelog.Debian.gz", "changelog.gz"];

/// How much a changelog may unpack to; Debian's largest is the kernel's, with 5 MB.
const CHANGELOG_LIMIT: u64 = 64 << 20;

/// Sets the fields in `control` from `tree`, which still holds all that the package has whose digest is
/// `origin`. Fields of these names that the package brings itself are lost.
pub(super) fn note(control: &mut Control, tree: &Tree, origin: &Digest, review: &mut Review) {
    control.set(ORIGIN_FIELD, &origin.to_string());
    let folder = format!("{DOCUMENTATION}/{}", control.name());
    control.set(DOCUMENTATION_FIELD, &elsewhere(tree, &folder).unwrap_or_default());
    let fixes = fixes(tree, &folder, control.source().0).unwrap_or_else(|error| {
        review
            .warn(format!("its changelog cannot be read, so nobody knows what it fixes: {error}"));
        Fixes::default()
    });
    control.set(FIELD, &fixes.to_string());
}

/// The package whose folder of documentation stands in for `folder`, or whose changelog does.
fn elsewhere(tree: &Tree, folder: &str) -> Option<String> {
    let places = CHANGELOGS.map(|name| format!("{folder}/{name}"));
    let places = std::iter::once(folder.to_owned()).chain(places);
    places.into_iter().find_map(|place| {
        let Shape::Link(text) = &tree.nodes.get(&place)?.shape else { return None };
        let target = links::target(&place, text);
        let name = target.strip_prefix(DOCUMENTATION)?.strip_prefix('/')?.split('/').next()?;
        name.parse::<PackageName>().ok().map(|name| name.to_string())
    })
}

/// What the changelog in `folder` of the source package `source` says.
fn fixes(tree: &Tree, folder: &str, source: &str) -> io::Result<Fixes> {
    for name in CHANGELOGS {
        let Some(packed) = tree.bytes(&format!("{folder}/{name}")) else { continue };
        let mut bytes = Vec::new();
        let read = GzDecoder::new(packed).take(CHANGELOG_LIMIT + 1).read_to_end(&mut bytes)?;
        if read as u64 > CHANGELOG_LIMIT {
            return Err(io::Error::other("it unpacks to more than any changelog"));
        }
        let text = String::from_utf8_lossy(&bytes);
        let is_debians =
            |text: &str| changelog::entries(text).first().is_some_and(|it| it.source == source);
        if name == CHANGELOGS[0] || is_debians(&text) {
            return Ok(Fixes::of_changelog(&text));
        }
    }
    Ok(Fixes::default())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::super::tree::Node;
    use super::*;

    const CHANGELOG: &str = "src (1.2-3) trixie; urgency=high\n\n  * CVE-2026-0001\n\n \
                             -- A <a@b>  Thu, 26 Nov 2026 10:00:00 +0000\n";

    fn packed(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// Contents by path.
    type Files<'a> = &'a [(&'a str, &'a [u8])];

    fn tree(files: Files<'_>, links: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, bytes) in files {
            tree.put_file((*path).to_owned(), false, bytes.to_vec());
        }
        for (path, text) in links {
            let node = Node::ours(0o777, Shape::Link((*text).to_owned()));
            tree.nodes.insert((*path).to_owned(), node);
        }
        tree
    }

    /// The fields that are added to a package whose control file has `fields`, and the warnings.
    fn noted(fields: &str, tree: &Tree) -> (String, Vec<String>) {
        let text = format!("Package: a\nVersion: 1.2-3\nArchitecture: all\nSource: src\n{fields}");
        let mut control = Control::parse(&text).unwrap();
        let mut review = Review::default();
        note(&mut control, tree, &Digest::of(b""), &mut review);
        let text = control.to_string();
        // Written and read again, nothing else than these fields is there.
        let read = Control::parse(&text).unwrap();
        let ours = read.fields().filter(|(name, _)| name.starts_with("Preon-"));
        let ours = ours.map(|(name, value)| format!("{}={}", &name[6..], value.trim()));
        (ours.skip(1).collect::<Vec<_>>().join(" "), review.warnings)
    }

    const FIXED: &str = "Fixes=1.2-3 2026-11-26T10:00:00Z CVE-2026-0001";

    #[test]
    fn what_debians_changelog_fixes_is_noted() {
        let changelog = packed(CHANGELOG);
        let others = packed("1.2: CVE-2026-0002\n");
        let [debians, native] = CHANGELOGS.map(|name| format!("/usr/share/doc/a/{name}"));
        #[rustfmt::skip]
        let cases: [(&str, Files<'_>, &str); 4] = [
            ("both",             &[(&debians, &changelog), (&native, &others)], FIXED),
            ("Debian's package", &[(&native, &changelog)],                      FIXED),
            ("another's",        &[(&native, &others)],                         ""),
            ("none",             &[],                                           ""),
        ];
        for (name, files, expected) in cases {
            assert_eq!(noted("", &tree(files, &[])), (expected.to_owned(), vec![]), "{name}");
        }
    }

    #[test]
    fn a_package_without_documentation_of_its_own_names_whose_it_has() {
        #[rustfmt::skip]
        let cases = [
            ("/usr/share/doc/a",                      "gcc-base",                       "Documentation=gcc-base"),
            ("/usr/share/doc/a",                      "/usr/share/doc/gcc-base/",       "Documentation=gcc-base"),
            ("/usr/share/doc/a/changelog.Debian.gz",  "../gcc-base/changelog.Debian.gz", "Documentation=gcc-base"),
            ("/usr/share/doc/a",                      "../../elsewhere",                ""),
            ("/usr/share/doc/a",                      "bad\nname: x",                   ""),
        ];
        for (place, text, expected) in cases {
            assert_eq!(noted("", &tree(&[], &[(place, text)])).0, expected, "{text}");
        }
    }

    #[test]
    fn a_changelog_that_cannot_be_read_is_a_warning() {
        let path = "/usr/share/doc/a/changelog.Debian.gz";
        let (fields, warnings) = noted("", &tree(&[(path, b"no gzip")], &[]));
        assert_eq!(fields, "");
        assert!(
            warnings[0].starts_with("its changelog cannot be read, so nobody knows"),
            "{warnings:?}"
        );
    }

    #[test]
    fn fields_that_debians_package_brings_itself_are_lost() {
        let fields = "Preon-Fixes: 9 - CVE-2026-9999\nPreon-Documentation: evil\n";
        assert_eq!(noted(fields, &tree(&[], &[])).0, "");
    }
}
