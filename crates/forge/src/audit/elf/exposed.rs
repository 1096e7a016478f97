//! Files and folders that others than root could change or claim, read off what the package says of them.

use packages::deb::{Entry, Kind};

use crate::recipe::Shortcoming;

/// The first number of a person's account: from here on a host gives them to whoever comes first. 65534 is nobody's
/// and stands for all accounts that have no number here (of NFS, of containers), so nothing may belong to it either.
///
/// Source: Debian Policy, section 9.2.2.
const FIRST_PERSON: u32 = 1000;

/// The extended attribute that the audit judges by itself, as a privilege.
const CAPABILITY: &str = "security.capability";

/// What exposes the file, with what there is to say of it.
pub(super) fn exposures(entry: &Entry) -> impl Iterator<Item = (Shortcoming, Option<String>)> {
    let attributes = entry.xattrs.iter().filter(|(name, _)| name != CAPABILITY);
    let attributes = attributes.map(|(name, _)| name.escape_debug().to_string());
    let attributes = attributes.map(|name| (Shortcoming::Attribute, Some(name)));
    let owner = entry.uid >= FIRST_PERSON || entry.gid >= FIRST_PERSON;
    let owner =
        owner.then(|| (Shortcoming::ForeignOwner, Some(format!("{}:{}", entry.uid, entry.gid))));
    let mode = (Shortcoming::WorldWritable, Some(format!("{:04o}", entry.mode)));
    is_world_writable(entry).then_some(mode).into_iter().chain(owner).chain(attributes)
}

/// Whether everybody may write to the file, or replace what others have in the folder.
fn is_world_writable(entry: &Entry) -> bool {
    let (everybody, sticky) = (entry.mode & 0o002 != 0, entry.mode & 0o1000 != 0);
    match entry.kind {
        Kind::Symlink(_) => false, // nobody asks for its bits
        Kind::Directory => everybody && !sticky,
        _ => everybody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(entry: &Entry) -> Vec<String> {
        let shown = |(what, detail): (Shortcoming, Option<String>)| {
            format!("{what} {}", detail.unwrap_or_default())
        };
        exposures(entry).map(shown).collect()
    }

    fn entry(kind: Kind) -> Entry {
        Entry { kind, mode: 0o644, ..Entry::implied_folder("usr/x") }
    }

    #[test]
    fn what_everybody_may_write_to_is_found_unless_it_is_a_sticky_folder() {
        let link = || Kind::Symlink("y".into());
        #[rustfmt::skip]
        let cases = [
            (Kind::File,                   0o664,  false), // its group may
            (Kind::File,                   0o666,  true),
            (Kind::File,                   0o1666, true),  // sticky means nothing here
            (Kind::HardLink("y".into()),   0o646,  true),
            (Kind::Fifo,                   0o622,  true),
            (Kind::Directory,              0o775,  false),
            (Kind::Directory,              0o777,  true),
            (Kind::Directory,              0o1777, false),
            (link(),                       0o777,  false), // as every link is
        ];
        for (kind, mode, expected) in cases {
            let entry = Entry { mode, ..entry(kind) };
            let line = format!("world-writable {mode:04o}");
            assert_eq!(found(&entry), if expected { vec![line] } else { vec![] }, "{entry:?}");
        }
    }

    #[test]
    fn what_belongs_to_the_number_of_a_person_is_found() {
        #[rustfmt::skip]
        let cases = [
            (0,     42,    None),
            (999,   999,   None),
            (1000,  0,     Some("foreign-owner 1000:0")),
            (0,     1000,  Some("foreign-owner 0:1000")),
            (65534, 65534, Some("foreign-owner 65534:65534")),
        ];
        for (uid, gid, expected) in cases {
            let entry = Entry { uid, gid, ..entry(Kind::Symlink("y".into())) };
            assert_eq!(found(&entry).first().map(String::as_str), expected, "{uid}:{gid}");
        }
    }

    #[test]
    fn extended_attributes_are_found_but_for_capabilities() {
        let names = ["security.capability", "system.posix_acl_access", "user.a\u{1b}"];
        let xattrs = names.map(|name| (name.to_owned(), Vec::new())).to_vec();
        let entry = Entry { xattrs, ..entry(Kind::File) };
        assert_eq!(found(&entry), ["attribute system.posix_acl_access", "attribute user.a\\u{1b}"]);
    }
}
