//! What is installed, in dpkg's own format, so that vulnerability scanners see it.
//!
//! Names and versions are Debian's, because advisories speak of those. `/var/lib/dpkg` becomes a
//! link to it by a line of tmpfiles.d.

use std::collections::BTreeSet;

use base::Explain;
use formats::deb822::{BadFieldName, Writer};
use packages::control::Control;
use packages::fixes;

use crate::gather::Gathered;
use crate::path::{BadPath, UsrPath};
use crate::tree::{Conflict, Node, Origin, Tree};

const FOLDER: &str = "usr/lib/preon/dpkg";

/// The list of installed packages cannot be placed.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// A control file has a field that cannot be written.
    #[error(transparent)]
    Field(#[from] BadFieldName),
    /// A package's name makes no path.
    #[error(transparent)]
    Path(#[from] BadPath),
    /// Somebody else has its place.
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

impl Explain for StatusError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Conflict(error) => error.hint(),
            Self::Field(_) | Self::Path(_) => None,
        }
    }
}

/// Places `status`, `info/format`, `info/*.list` and the link's line for `packages`.
///
/// # Errors
///
/// [`StatusError`].
pub fn place(tree: &mut Tree, packages: &[Gathered]) -> Result<(), StatusError> {
    let composed = |text: String| Node::file(text, Origin::Composed);
    let mut status = String::new();
    for package in packages {
        status += &paragraph(&package.control)?;
        status.push('\n');
        if !package.written {
            tree.add(UsrPath::new(&list_path(package))?, composed(list(&package.paths)))?;
        }
    }
    tree.add(UsrPath::fixed("usr/lib/preon/dpkg/status"), composed(status))?;
    // Since this version, lists may be named with the architecture.
    tree.add(UsrPath::fixed("usr/lib/preon/dpkg/info/format"), composed("1\n".into()))?;
    let line = "L+ /var/lib/dpkg - - - - ../../usr/lib/preon/dpkg\n";
    tree.add(UsrPath::fixed("usr/lib/tmpfiles.d/preon-dpkg.conf"), composed(line.into()))?;
    Ok(())
}

/// One paragraph of the status file; the flaws that a package fixes are in `advisories.json`. Source: dpkg(1), "Package states".
fn paragraph(control: &Control) -> Result<String, BadFieldName> {
    let version = control.version().without_preon();
    let mut writer = Writer::default();
    writer.field("Package", control.name().as_str())?;
    writer.field("Status", "install ok installed")?;
    for (name, value) in control.fields() {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("Version") {
            writer.field(name, version.as_str())?;
        } else if !is("Package") && !is("Status") && !is(fixes::FIELD) {
            writer.field(name, value)?;
        }
    }
    Ok(writer.finish())
}

/// Where the list of a package's files lies.
pub(crate) fn list_path(package: &Gathered) -> String {
    format!("{FOLDER}/info/{}.list", list_name(&package.control))
}

/// Several architectures of one package may be installed where it says `Multi-Arch: same`; dpkg
/// then names the architecture too.
fn list_name(control: &Control) -> String {
    match control.get("Multi-Arch") {
        Some("same") => format!("{}:{}", control.name().as_str(), control.architecture()),
        _ => control.name().as_str().to_owned(),
    }
}

/// The paths of a package as Debian has them, folders above them included.
fn list(paths: &[UsrPath]) -> String {
    let mut all = BTreeSet::from(["/.".to_owned()]);
    for path in paths {
        let mut rest = path.on_host();
        while !rest.is_empty() && all.insert(rest.clone()) {
            rest.truncate(rest.rfind('/').unwrap_or(0));
        }
    }
    all.into_iter().map(|path| path + "\n").collect()
}

#[cfg(test)]
mod tests {
    use base::Digest;

    use super::*;

    fn gathered(control: &str, paths: &[&str]) -> Gathered {
        Gathered {
            control: Control::parse(control).unwrap(),
            digest: Digest::of(b""),
            suite: "trixie".into(),
            paths: paths.iter().map(|path| UsrPath::new(path).unwrap()).collect(),
            bytes: 0,
            licences: None,
            written: false,
        }
    }

    fn text(tree: &Tree, path: &str) -> String {
        let node = tree.get(path).unwrap_or_else(|| panic!("{path} is not there"));
        String::from_utf8(node.content().unwrap().bytes().unwrap()).unwrap()
    }

    #[test]
    fn dpkg_reads_what_is_installed() {
        let mut tree = Tree::default();
        let ssl = "Package: libssl3t64\nSource: openssl (3.5.0-1)\nVersion: 3.5.0-1+b1+0preon2\n\
                   Architecture: amd64\nMulti-Arch: same\nMaintainer: x\nDescription: TLS\n";
        place(&mut tree, &[gathered(ssl, &["usr/lib/libssl.so.3"])]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("info")).unwrap();
        for name in ["status", "info/format", "info/libssl3t64:amd64.list"] {
            std::fs::write(dir.path().join(name), text(&tree, &format!("{FOLDER}/{name}")))
                .unwrap();
        }
        let query = |arguments: &[&str]| {
            let mut command = std::process::Command::new("dpkg-query");
            let output =
                command.arg("--admindir").arg(dir.path()).args(arguments).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let format = "${Package} ${Version} ${source:Package} ${source:Version}";
        let expected = "libssl3t64 3.5.0-1+b1 openssl 3.5.0-1";
        assert_eq!(query(&["-W", "-f", format]), expected);
        assert_eq!(query(&["-L", "libssl3t64"]), "/.\n/usr\n/usr/lib\n/usr/lib/libssl.so.3\n");
    }

    #[test]
    fn scanners_see_debians_names_and_versions() {
        let mut tree = Tree::default();
        let ssl = "Package: libssl3t64\nSource: openssl (3.5.0-1)\nVersion: 3.5.0-1+b1+0preon2\n\
                   Architecture: amd64\nMulti-Arch: same\nDescription: TLS\n more\nPreon-Fixes: 1 - CVE-2020-1234\n";
        let tini = "Package: tini\nVersion: 0.19-1+0preon1\nArchitecture: amd64\n";
        let packages =
            [gathered(ssl, &["usr/lib/libssl.so.3"]), gathered(tini, &["usr/share/preon/etc/x"])];
        place(&mut tree, &packages).unwrap();
        assert_eq!(
            text(&tree, "usr/lib/preon/dpkg/status"),
            "Package: libssl3t64\nStatus: install ok installed\nSource: openssl (3.5.0-1)\n\
             Version: 3.5.0-1+b1\nArchitecture: amd64\nMulti-Arch: same\nDescription: TLS\n more\n\n\
             Package: tini\nStatus: install ok installed\nVersion: 0.19-1\nArchitecture: amd64\n\n"
        );
        let list = text(&tree, "usr/lib/preon/dpkg/info/libssl3t64:amd64.list");
        assert_eq!(list, "/.\n/usr\n/usr/lib\n/usr/lib/libssl.so.3\n");
        assert_eq!(text(&tree, "usr/lib/preon/dpkg/info/tini.list"), "/.\n/etc\n/etc/x\n");
        let link = text(&tree, "usr/lib/tmpfiles.d/preon-dpkg.conf");
        assert!(link.ends_with("../../usr/lib/preon/dpkg\n"));
    }
}
