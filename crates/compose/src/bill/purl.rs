//! Package URLs: names that scanners of all kinds agree on. No name of a mirror is in them.
//!
//! Source: the purl specification, and its definition of the type `deb`.

use packages::control::BUILD_FLAGS;

use super::{Package, Used};

/// The package URL of Debian's package that `package` was made from, or of our own.
///
/// `upstream` names the source package, as scanners that match by source expect it; `checksum` is that of
/// Debian's `.deb`, and is left out where we built it from source ourselves.
pub fn purl(package: &Package) -> String {
    let control = &package.part.control;
    let origin = package.origin();
    let (namespace, version) = match origin {
        None => ("preon", control.version().clone()),
        Some(_) => ("debian", control.version().without_preon()),
    };
    let mut purl = format!(
        "pkg:deb/{namespace}/{}@{}?arch={}",
        encoded(control.name().as_str()),
        encoded(version.as_str()),
        encoded(control.architecture())
    );
    if let Some(origin) = origin {
        if control.get(BUILD_FLAGS).is_none() {
            purl += &format!("&checksum=sha256:{origin}");
        }
        purl += &format!("&distro={}", encoded(release(&package.part.suite)));
    }
    let (source, source_version) = control.source();
    if source != control.name().as_str() || source_version != version.as_str() {
        purl += &format!("&upstream={}%40{}", encoded(source), encoded(source_version));
    }
    purl
}

/// The package URL of the curated package itself.
pub fn curated(package: &Package) -> String {
    let control = &package.part.control;
    format!(
        "pkg:deb/preon/{}@{}?arch={}",
        encoded(control.name().as_str()),
        encoded(control.version().as_str()),
        encoded(control.architecture())
    )
}

/// The package URL of a source package of Debian.
pub fn source(used: &Used) -> String {
    let (name, version) = (encoded(&used.name), encoded(&used.version));
    let distro = used.release.as_ref().map(|it| format!("&distro={}", encoded(it)));
    format!("pkg:deb/debian/{name}@{version}?arch=source{}", distro.unwrap_or_default())
}

/// The release that a suite belongs to: `trixie` for `trixie-security`.
pub(super) fn release(suite: &str) -> &str {
    suite.split_once('-').map_or(suite, |(release, _)| release)
}

/// Text with all but plain characters percent-encoded.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}
