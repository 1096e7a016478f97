//! Defaults for `/etc`: the image's own small files, and the accounts.

use std::collections::BTreeMap;

use base::Explain;

use crate::integrate::users::Accounts;
use crate::path::{BadPath, UsrPath};
use crate::tree::{Conflict, Node, Origin, Tree};

/// What is worked out and cannot be given.
const OWN: [&str; 4] = ["passwd", "group", "shadow", "gshadow"];

/// A default for `/etc` cannot be placed.
#[derive(Debug, thiserror::Error)]
pub enum EtcError {
    /// The image definition gives a file that is not in `/etc`.
    #[error("the image definition gives `{0}`, which is not a file in /etc")]
    NotEtc(String),
    /// The image definition gives a file that is worked out.
    #[error("the image definition gives /etc/{0}, which is worked out from the packages")]
    Own(&'static str),
    /// The path cannot be one.
    #[error(transparent)]
    Path(#[from] BadPath),
    /// Somebody else has its place.
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

impl Explain for EtcError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Own(_) => Some("declare users and groups in a recipe".into()),
            Self::Conflict(error) => error.hint(),
            Self::NotEtc(_) => Some("give files elsewhere in a package".into()),
            Self::Path(_) => None,
        }
    }
}

/// Places the image's files: host path below `/etc` → text. They win over packages' defaults.
///
/// # Errors
///
/// [`EtcError`].
pub fn literals(tree: &mut Tree, files: &BTreeMap<String, String>) -> Result<(), EtcError> {
    for (path, text) in files {
        let name = path.strip_prefix("/etc/").ok_or_else(|| EtcError::NotEtc(path.clone()))?;
        if let Some(own) = OWN.iter().find(|own| **own == name) {
            return Err(EtcError::Own(own));
        }
        tree.replace(UsrPath::etc(name)?, Node::file(text.as_str(), Origin::Image))?;
    }
    Ok(())
}

/// Places `passwd`, `group`, `shadow` and `gshadow`. The latter two belong to the group `shadow`,
/// where there is one.
///
/// # Errors
///
/// [`EtcError::Conflict`] if a package holds one of them.
pub fn accounts(tree: &mut Tree, accounts: &Accounts) -> Result<(), EtcError> {
    let open = |text| Node::file(text, Origin::Composed);
    let shut = |text| match accounts.gid("shadow") {
        Some(gid) => Node { mode: 0o640, gid, ..open(text) },
        None => Node { mode: 0o600, ..open(text) },
    };
    tree.add(UsrPath::etc("passwd")?, open(accounts.passwd()))?;
    tree.add(UsrPath::etc("group")?, open(accounts.group()))?;
    tree.add(UsrPath::etc("shadow")?, shut(accounts.shadow()))?;
    tree.add(UsrPath::etc("gshadow")?, shut(accounts.gshadow()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn give(path: &str) -> Result<Tree, EtcError> {
        let mut tree = Tree::default();
        let old = Node::file("old", Origin::Package("a".parse().unwrap()));
        tree.add(UsrPath::etc("motd")?, old)?;
        literals(&mut tree, &[(path.to_owned(), "new".to_owned())].into())?;
        Ok(tree)
    }

    #[test]
    fn the_images_file_wins_over_a_packages() {
        let tree = give("/etc/motd").unwrap();
        let node = tree.get("usr/share/preon/etc/motd").unwrap();
        assert_eq!(node.content().unwrap().bytes().unwrap(), b"new");
        assert_eq!(node.origin, Origin::Image);
    }

    #[test]
    fn only_files_of_etc_that_are_not_worked_out_can_be_given() {
        for path in ["/usr/x", "motd", "/etc/../usr/x", "/etc/", "/etc/shadow", "/etc/motd/x"] {
            assert!(give(path).is_err(), "{path}");
        }
    }

    #[test]
    fn only_root_and_the_group_shadow_may_read_shadow() {
        for (line, expected) in [("g shadow 42", (0o640, 42)), ("u root 0", (0o600, 0))] {
            let list = Accounts::from_sysusers(&[("f".into(), line.into())]).unwrap();
            let mut tree = Tree::default();
            accounts(&mut tree, &list).unwrap();
            let node = tree.get("usr/share/preon/etc/shadow").unwrap();
            assert_eq!((node.mode, node.gid), expected, "{line}");
        }
    }
}
