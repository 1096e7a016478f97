//! What of Debian lies in a unified kernel image beside the kernel, by source package: for its licences, and for whoever
//! looks for flaws in it.
//!
//! Source: Debian Policy, section 7.8 "Additional source packages used to build the binary - Built-Using".

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use base::digest::Hasher;
use base::file;
use base::{Digest, Failure};
use formats::PackageName;
use packages::control::Control;
use packages::deb::Deb;
use packages::lock::Lock;

use crate::context::Context;
use crate::supply::{Purpose, Supply};
use crate::tools::ToolRoot;

/// The tool roots from which something is taken, and the packages of these that it is in; with none, all.
const TAKEN: [(&str, &[&str]); 3] = [
    ("initrd", &[]),                  // what is in the initrd as it comes
    ("image", &["systemd-boot-efi"]), // the program that starts the kernel
    ("build", &["libc6-dev"]),        // `preon-init` is linked with it statically
];

/// Stands for what `lock` says of all this: other packages give other images.
pub(crate) fn parts(lock: &Lock) -> Digest {
    let mut hasher = Hasher::default();
    for (root, packages) in TAKEN {
        let set = lock.sets.get(&Purpose::name_of_tools(root));
        let names = set.into_iter().flat_map(|set| &set.packages);
        for name in names.filter(|name| is_taken(name, packages)) {
            let locked = lock.packages.get(name); // a lock has what its sets name
            hasher.field(name.as_str().as_bytes());
            hasher.field(locked.map_or(&[], |locked| locked.sha256.as_bytes()));
        }
    }
    hasher.finish()
}

fn is_taken(name: &PackageName, packages: &[&str]) -> bool {
    packages.is_empty() || packages.contains(&name.as_str())
}

/// A source package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    name: String,
    version: String,
}

/// Source packages of which something is in a unified kernel image.
#[derive(Debug, Default)]
pub(crate) struct Using {
    sources: BTreeSet<Source>,
    /// The text of a copyright file for each name; missing for what only Debian's own packages were built with.
    copyright: BTreeMap<String, String>,
}

impl Using {
    /// What is taken from the tool roots; fetched unless the cache has it.
    ///
    /// # Errors
    ///
    /// What reading the lock, fetching and reading packages fail with.
    pub(super) fn of_roots(context: &Context) -> Result<Self, Failure> {
        let mut using = Self::default();
        let supply = Supply::open(context)?;
        for (root, packages) in TAKEN {
            let root = ToolRoot::open(context, root)?;
            let mut names: BTreeSet<PackageName> = root.packages().cloned().collect();
            names.retain(|name| is_taken(name, packages));
            for deb in supply.fetch(context, &names)? {
                let path = root.file(&format!("usr/share/doc/{}/copyright", deb.name));
                using.add(Deb::open(&deb.path)?.control(), file::read_text(&path)?);
            }
        }
        Ok(using)
    }

    /// Adds what a package of Debian was built from.
    pub(super) fn add(&mut self, control: &Control, copyright: String) {
        let (name, version) = control.source();
        self.copyright.entry(name.to_owned()).or_insert(copyright);
        self.sources.insert(Source { name: name.to_owned(), version: version.to_owned() });
        let with = control.built_using().into_iter();
        self.sources.extend(
            with.map(|(name, version)| Source { name: name.into(), version: version.into() }),
        );
    }

    /// The value of the field `Built-Using`: `a (= 1), b (= 2)`.
    pub(super) fn field(&self) -> String {
        let all = self.sources.iter().map(|it| format!("{} (= {})", it.name, it.version));
        all.collect::<Vec<_>>().join(", ")
    }

    /// The copyright file of a package that has it all and the kernel, whose own papers the package `kernel` has.
    pub(super) fn copyright(&self, kernel: &str) -> String {
        let mut text = format!(
            "One program for the firmware: Linux (its copyright file: /usr/share/doc/{kernel}/copyright), preon-init of\n\
             Preon OS (Apache-2.0 or MIT: /usr/share/doc/preon/copyright), and parts of these source packages of Debian:\n\
             {}.\n",
            self.field()
        );
        for (name, copyright) in &self.copyright {
            let _ = write!(text, "\n======== {name} ========\n\n{}\n", copyright.trim_end());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use packages::lock::{Locked, Set};

    use super::*;
    use crate::scratch::image_tools;

    #[test]
    fn a_package_stands_for_its_source_and_what_that_was_built_with() {
        let mut using = Using::default();
        let add = |using: &mut Using, text: &str, copyright: &str| {
            let control = Control::parse(&format!("{text}Architecture: amd64\n")).unwrap();
            using.add(&control, copyright.to_owned());
        };
        let static_one = "Package: b-static\nSource: b (1-2)\nVersion: 1-2+b1\n\
                          Built-Using: c (= 3:4), d (>= 1)\nStatic-Built-Using: e (= 5)\n";
        add(&mut using, static_one, "text of b\n\n");
        add(&mut using, "Package: a\nVersion: 7\n", "text of a");
        add(&mut using, "Package: c-dev\nSource: c\nVersion: 3:5\n", "text of c");
        assert_eq!(using.field(), "a (= 7), b (= 1-2), c (= 3:4), c (= 3:5), e (= 5)");
        let text = using.copyright("preon-kernel-x");
        assert!(text.contains("/usr/share/doc/preon-kernel-x/copyright"), "{text}");
        assert!(text.contains(&format!("\n{}.\n", using.field())), "{text}");
        let texts = "\n======== a ========\n\ntext of a\n\n======== b ========\n\ntext of b\n\n======== c ========\n\ntext of c\n";
        assert!(text.ends_with(texts), "{text}");
    }

    #[test]
    fn other_parts_are_told_from_other_tools() {
        let locked = |version: &str| Locked {
            version: version.parse().unwrap(),
            suite: "trixie".into(),
            size: 1,
            sha256: Digest::of(version.as_bytes()),
            filename: "pool/x".into(),
        };
        let mut lock = Lock::default();
        let sets =
            [("initrd", "e2fsck-static"), ("image", "systemd-boot-efi"), ("image", "erofs-utils")];
        for (root, name) in sets {
            let name: PackageName = name.parse().unwrap();
            let empty = || Set { request: Digest::of(b""), packages: BTreeSet::new() };
            let set = lock.sets.entry(Purpose::name_of_tools(root)).or_insert_with(empty);
            set.packages.insert(name.clone());
            lock.packages.insert(name, locked("1"));
        }
        let before = parts(&lock);
        let cases = [("erofs-utils", false), ("systemd-boot-efi", true), ("e2fsck-static", true)];
        for (name, is_other) in cases {
            let mut now = lock.clone();
            now.packages.insert(name.parse().unwrap(), locked("2"));
            assert_eq!(parts(&now) != before, is_other, "{name}");
        }
    }

    #[test]
    fn our_lock_numbers_what_it_names() {
        let (context, _) = image_tools();
        let lock = Supply::open(&context).unwrap().lock;
        let parts = parts(&lock);
        assert_eq!(lock.boot.map(|boot| boot.parts), Some(parts), "run `forge update`");
    }

    /// Whoever changes what is in an initrd has to say so here.
    #[test]
    fn what_is_in_our_initrd_is_named_with_its_licences() {
        let (context, _) = image_tools();
        let using = Using::of_roots(&context).unwrap();
        let names: BTreeSet<_> = using.sources.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["e2fsprogs", "glibc", "systemd"].into());
        for licence in ["GPL-2", "LGPL-2.1"] {
            let file = format!("/usr/share/common-licenses/{licence}");
            assert!(using.copyright("preon-kernel-hardened").contains(&file), "{licence}");
        }
    }
}
