//! Who this system is: `/usr/lib/os-release` and the greeting.
//!
//! Source: os-release(5).

use std::collections::BTreeSet;

use base::Explain;
use formats::PackageName;
use serde::{Deserialize, Serialize};

use crate::path::UsrPath;
use crate::tree::{Conflict, Node, Origin, Tree};

/// What the product says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// `VERSION_ID`: lower-case letters, digits and `._-`.
    pub version: String,
    /// `BUILD_ID`: which build of it.
    pub build_id: String,
    /// `IMAGE_ID` and `VARIANT_ID`: the name of the image definition.
    pub image: String,
    /// The packages that are Debian's build although they are to be built from source; `VARIANT` and
    /// the greeting say how many.
    pub not_rebuilt: BTreeSet<PackageName>,
}

/// The product cannot be named so.
#[derive(Debug, thiserror::Error)]
pub enum OsReleaseError {
    /// A value breaks the rules of os-release.
    #[error("`{value}` cannot be the {field} of os-release")]
    Value {
        /// The field.
        field: &'static str,
        /// The value.
        value: String,
    },
    /// Somebody else has its place.
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

impl Explain for OsReleaseError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Value { .. } => Some("use lower-case letters, digits and `._-` only".into()),
            Self::Conflict(error) => error.hint(),
        }
    }
}

/// Places os-release, in the place of Debian's, and `/etc/issue` where no package has one.
///
/// # Errors
///
/// [`OsReleaseError`].
pub fn place(tree: &mut Tree, product: &Product) -> Result<(), OsReleaseError> {
    let text = text(product)?;
    let composed = |text: String| Node::file(text, Origin::Composed);
    tree.replace(UsrPath::fixed("usr/lib/os-release"), composed(text))?;
    let link = Node::symlink("../usr/lib/os-release", Origin::Composed);
    tree.replace(UsrPath::fixed("usr/share/preon/etc/os-release"), link)?;
    let issue = UsrPath::fixed("usr/share/preon/etc/issue");
    if tree.get(issue.as_str()).is_none() {
        let note = match product.not_rebuilt.len() {
            0 => String::new(),
            count => format!("Development image: {}\n", not_yet(count)),
        };
        tree.add(issue, composed(format!("\\S{{PRETTY_NAME}} \\n \\l\n{note}\n")))?;
    }
    Ok(())
}

fn text(product: &Product) -> Result<String, OsReleaseError> {
    let Product { version, build_id, image, not_rebuilt } = product;
    for (field, value) in [("VERSION_ID", version), ("BUILD_ID", build_id), ("IMAGE_ID", image)] {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        if value.is_empty() || !value.bytes().all(allowed) {
            return Err(OsReleaseError::Value { field, value: value.clone() });
        }
    }
    let variant = match not_rebuilt.len() {
        0 => image.clone(),
        count => format!("{image}, development: {}", not_yet(count)),
    };
    Ok(format!(
        "PRETTY_NAME=\"Preon OS {version} ({image})\"\nNAME=\"Preon OS\"\nID=preon\nID_LIKE=debian\n\
         VERSION_ID=\"{version}\"\nBUILD_ID=\"{build_id}\"\nIMAGE_ID=\"{image}\"\n\
         IMAGE_VERSION=\"{version}\"\nVARIANT=\"{variant}\"\nVARIANT_ID=\"{image}\"\nDEFAULT_HOSTNAME=preon\n"
    ))
}

/// How many packages are not what they are to be.
fn not_yet(count: usize) -> String {
    let packages = if count == 1 { "package" } else { "packages" };
    format!("{count} {packages} not yet rebuilt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(version: &str) -> Product {
        let (version, build_id, image) = (version.into(), "7".into(), "minimal".into());
        Product { version, build_id, image, not_rebuilt: BTreeSet::new() }
    }

    #[test]
    fn the_product_takes_debians_place() {
        let mut tree = Tree::default();
        let debian = Origin::Package("base-files".parse().unwrap());
        let path = UsrPath::new("usr/lib/os-release").unwrap();
        tree.add(path, Node::file("ID=debian\n", debian.clone())).unwrap();
        tree.add(UsrPath::etc("issue").unwrap(), Node::file("hello\n", debian)).unwrap();
        place(&mut tree, &product("0.1")).unwrap();
        let (_, node) = tree.resolve("/etc/os-release").unwrap();
        let text = String::from_utf8(node.content().unwrap().bytes().unwrap()).unwrap();
        for line in [
            "NAME=\"Preon OS\"",
            "ID=preon",
            "ID_LIKE=debian",
            "VERSION_ID=\"0.1\"",
            "BUILD_ID=\"7\"",
            "DEFAULT_HOSTNAME=preon",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        let issue = tree.get("usr/share/preon/etc/issue").unwrap();
        assert_eq!(issue.content().unwrap().bytes().unwrap(), b"hello\n");
    }

    #[test]
    fn a_development_image_says_so() {
        let mut tree = Tree::default();
        place(
            &mut tree,
            &Product { not_rebuilt: ["sed".parse().unwrap()].into(), ..product("0.1") },
        )
        .unwrap();
        let text = |tree: &Tree, path: &str| {
            tree.get(path).unwrap().content().unwrap().text().unwrap().to_owned()
        };
        let os_release = text(&tree, "usr/lib/os-release");
        let line = "\nVARIANT=\"minimal, development: 1 package not yet rebuilt\"\n";
        assert!(os_release.contains(line), "{os_release}");
        assert_eq!(
            text(&tree, "usr/share/preon/etc/issue"),
            "\\S{PRETTY_NAME} \\n \\l\nDevelopment image: 1 package not yet rebuilt\n\n"
        );
        let mut tree = Tree::default();
        place(&mut tree, &product("0.1")).unwrap();
        assert!(text(&tree, "usr/lib/os-release").contains("\nVARIANT=\"minimal\"\n"));
        assert_eq!(text(&tree, "usr/share/preon/etc/issue"), "\\S{PRETTY_NAME} \\n \\l\n\n");
    }

    #[test]
    fn values_that_a_shell_would_read_are_refused() {
        for version in ["", "1\"", "$(x)", "A", "1 2"] {
            let error = place(&mut Tree::default(), &product(version)).unwrap_err();
            assert!(
                matches!(error, OsReleaseError::Value { field: "VERSION_ID", .. }),
                "{version}"
            );
        }
    }
}
