//! The bundle of certificate authorities, which Debian's `update-ca-certificates` would make.
//!
//! All of `/usr/share/ca-certificates` are trusted, as on a new Debian system. The links by hash
//! in `/etc/ssl/certs` are left out: OpenSSL, GnuTLS and Go all read the bundle.

use base::Explain;
use base::file::FileError;

use crate::path::UsrPath;
use crate::tree::{Conflict, Node, Origin, Tree};

const SOURCE: &str = "usr/share/ca-certificates";
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// The bundle cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is not a certificate.
    #[error("{0} holds no PEM certificate")]
    NotPem(UsrPath),
    /// Somebody else has its place.
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

impl Explain for CertificateError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Conflict(error) => error.hint(),
            Self::NotPem(path) => {
                Some(format!("drop {} in the recipe of its package", path.on_host()))
            }
        }
    }
}

/// Puts the bundle into `tree`, with its link in `/etc`; nothing without certificates.
///
/// # Errors
///
/// [`CertificateError`].
pub fn bundle(tree: &mut Tree) -> Result<(), CertificateError> {
    let mut bundle = String::new();
    for (path, node) in tree.below(SOURCE) {
        let Some(content) = node.content().filter(|_| path.name().ends_with(".crt")) else {
            continue;
        };
        let text = String::from_utf8(content.bytes()?).unwrap_or_default();
        if !text.contains(BEGIN) {
            return Err(CertificateError::NotPem(path.clone()));
        }
        bundle.push_str(text.trim_end());
        bundle.push('\n');
    }
    if bundle.is_empty() {
        return Ok(());
    }
    let file = Node::file(bundle, Origin::Composed);
    tree.add(UsrPath::fixed("usr/lib/preon/ca-certificates.crt"), file)?;
    let link = "../../../usr/lib/preon/ca-certificates.crt"; // right from /etc/ssl/certs
    let place = UsrPath::fixed("usr/share/preon/etc/ssl/certs/ca-certificates.crt");
    Ok(tree.add(place, Node::symlink(link, Origin::Composed))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(tree: &mut Tree, name: &str, text: &str) {
        let path = UsrPath::new(&format!("{SOURCE}/mozilla/{name}")).unwrap();
        tree.add(path, Node::file(text, Origin::Composed)).unwrap();
    }

    #[test]
    fn certificates_are_joined_in_order_of_names() {
        let mut tree = Tree::default();
        add(&mut tree, "b.crt", &format!("{BEGIN}\nb\n\n"));
        add(&mut tree, "a.crt", &format!("{BEGIN}\na"));
        add(&mut tree, "README", "none");
        bundle(&mut tree).unwrap();
        let (path, node) = tree.resolve("/etc/ssl/certs/ca-certificates.crt").unwrap();
        assert_eq!(path.to_string(), "/usr/lib/preon/ca-certificates.crt");
        let text = node.content().unwrap().bytes().unwrap();
        assert_eq!(text, format!("{BEGIN}\na\n{BEGIN}\nb\n").as_bytes());
    }

    #[test]
    fn what_is_no_certificate_is_named() {
        let mut tree = Tree::default();
        add(&mut tree, "a.crt", "rubbish");
        let text = bundle(&mut tree).unwrap_err().to_string();
        assert_eq!(text, "/usr/share/ca-certificates/mozilla/a.crt holds no PEM certificate");
    }
}
