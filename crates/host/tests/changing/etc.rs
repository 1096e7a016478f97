//! What was edited in `/etc` outlives changes, comes back when it is asked for, and knows which defaults changed underneath.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use generations::Generation;
use generations::etc::{drop_copies, upper};
use host::etc::{self, Difference, To, Underneath, snapshot};
use packages::change::Wish;
use sys::namespace::with_private_mounts;
use sys::{Filesystem, mount};

use crate::world::{Package, World};

const DEFAULTS: &[(&str, &str)] = &[
    ("usr/share/preon/etc/conf", "one\n"),
    ("usr/share/preon/etc/folder/a", "a\n"),
    ("usr/share/preon/etc/folder/b", "b\n"),
    ("usr/share/preon/etc/other/c", "c\n"),
];
const BASE: Package<'_> = ("base", "1-1+0preon1", "", DEFAULTS);
const SECOND: Package<'_> = (
    "base",
    "2-1+0preon1",
    "",
    &[
        ("usr/share/preon/etc/conf", "two\n"),
        ("usr/share/preon/etc/folder/a", "a, newer\n"),
        ("usr/share/preon/etc/own", "a default\n"),
        ("usr/share/preon/etc/other/c", "c\n"),
    ],
);
const THIRD: Package<'_> = ("base", "3-1+0preon1", "", &[("usr/share/preon/etc/conf", "three\n")]);

/// A host whose `/etc` is mounted as `generations::stack` mounts it; call it with private mounts only.
struct Mounted(World);

impl Mounted {
    fn new() -> Self {
        let mounted = Self(World::new(&[BASE]));
        let world = &mounted.0;
        for side in ["upper", "work"] {
            fs::create_dir_all(upper(&world.on_host(generations::DATA)).with_file_name(side))
                .unwrap();
        }
        let known = world.on_host("/etc/preon");
        let kept = upper(&world.on_host(generations::DATA)).join("preon");
        fs::rename(known, kept).unwrap();
        mounted.mount();
        mounted
    }

    fn mount(&self) {
        let data = self.0.on_host(generations::DATA);
        let defaults = self.0.on_host("/usr").join(generations::etc::DEFAULTS);
        drop_copies(&data).unwrap();
        Filesystem::new("overlay")
            .option("lowerdir+", &defaults)
            .option("upperdir", &upper(&data))
            .option("workdir", &data.join("etc/work"))
            .option("index", "off")
            .option("metacopy", "off")
            .option("redirect_dir", "off")
            .option("xino", "off")
            .mount(&self.0.on_host("/etc"))
            .unwrap();
    }

    fn reboot(&self) {
        mount::unmount(&self.0.on_host("/etc")).unwrap();
        self.0.boot();
        self.mount();
    }

    /// Publishes `package` and upgrades to it; the new generation runs.
    fn upgrade(&self, package: Package<'_>) {
        self.stage(package);
        self.reboot();
    }

    /// Publishes `package` and upgrades to it, for the next boot.
    fn stage(&self, package: Package<'_>) {
        self.0.publish(&[package]);
        self.0.change("upgrade", Wish::Upgrade { names: Vec::new(), security: false }).unwrap();
    }

    fn etc(&self, name: &str) -> PathBuf {
        self.0.on_host("/etc").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.etc(name).parent().unwrap()).unwrap();
        fs::write(self.etc(name), text).unwrap();
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.etc(name)).unwrap()
    }

    /// What differs from the defaults, without the configured repository.
    fn drift(&self) -> Vec<Difference> {
        let mut all = etc::drift(&self.0.host()).unwrap();
        all.retain(|it| !it.path.starts_with("preon"));
        all
    }

    fn told(&self) -> Vec<String> {
        self.drift().iter().map(|it| format!("{:?} {}", it.what, it.path.display())).collect()
    }

    fn underneath(&self, name: &str) -> Option<Underneath> {
        let drift = self.drift();
        drift.into_iter().find(|it| it.path == Path::new(name)).and_then(|it| it.underneath)
    }

    fn restore(&self, names: &[&str], to: To) -> etc::Restored {
        let names: Vec<_> = names.iter().map(PathBuf::from).collect();
        etc::restore(&self.0.host(), &names, to, false).unwrap()
    }

    /// All that is seen in `/etc`, with modes.
    fn seen(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.0.on_host("/etc")];
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir().unwrap() {
                let path = entry.unwrap().path();
                let about = path.symlink_metadata().unwrap();
                let what = if about.is_dir() {
                    folders.push(path.clone());
                    "folder".into()
                } else if about.is_symlink() {
                    fs::read_link(&path).unwrap().display().to_string()
                } else if about.is_file() {
                    fs::read_to_string(&path).unwrap()
                } else {
                    "odd".into()
                };
                found.insert(
                    path,
                    format!("{:o} {}:{} {what}", about.mode(), about.uid(), about.gid()),
                );
            }
        }
        found
    }

    /// Edits of every kind.
    fn edit(&self) {
        self.write("conf", "edited\n");
        self.write("own/file", "mine\n");
        fs::remove_file(self.etc("folder/a")).unwrap();
        fs::remove_dir_all(self.etc("other")).unwrap();
        self.write("other/mine", "instead\n");
        symlink("conf", self.etc("link")).unwrap();
        fs::set_permissions(self.etc("own/file"), fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(self.etc("own/file"), Some(7), Some(8)).unwrap();
        fs::set_permissions(self.etc("folder/b"), fs::Permissions::from_mode(0o600)).unwrap();
        drop(UnixListener::bind(self.etc("socket")).unwrap());
    }
}

fn newest(generation: u64) -> To {
    To::Snapshot(generation.to_string().parse().unwrap())
}

#[test]
fn drift_names_what_was_added_changed_and_removed() {
    with_private_mounts(|| {
        let host = Mounted::new();
        assert_eq!(host.told(), [""; 0]);
        host.edit();
        let expected = [
            "Changed conf",
            "Removed folder/a",
            "Attributes folder/b",
            "Added link",
            "Removed other/c",
            "Added other/mine",
            "Added own",
            "Added own/file",
        ];
        assert_eq!(host.told(), expected);
    });
}

#[test]
fn a_change_keeps_a_snapshot_that_only_root_may_read_and_that_comes_back_when_asked_for() {
    with_private_mounts(|| {
        let host = Mounted::new();
        host.edit();
        let before = host.seen();
        host.upgrade(SECOND);
        let folder = host.0.store().generation_folder(Generation(1)).join("etc.1");
        assert_eq!(folder.metadata().unwrap().mode() & 0o7777, 0o700);
        let all = snapshot::all(&host.0.store()).unwrap();
        assert_eq!((all.len(), all[0].about.why.as_str()), (1, "upgrade"));
        assert_eq!(all[0].about.left_out, [Path::new("socket")]);
        assert_eq!(host.text("conf"), "edited\n", "an upgrade has touched an edit");

        host.write("conf", "otherwise\n");
        fs::remove_dir_all(host.etc("own")).unwrap();
        host.write("own", "a file now\n");
        fs::remove_file(host.etc("link")).unwrap();
        host.write("folder/a", "back\n");
        host.write("new/deep/file", "new\n");
        fs::remove_dir_all(host.etc("other")).unwrap();
        let later = host.seen();
        let restored = host.restore(&[], newest(1));
        assert_eq!(host.seen(), before);
        let kept = restored.kept.unwrap();
        assert_eq!(kept.to_string(), "2.1");
        host.restore(&[], To::Snapshot(kept));
        assert_eq!(host.seen(), later);
        assert_eq!(host.restore(&[], newest(2)).kept.unwrap().to_string(), "2.3");
        assert_eq!(host.seen(), before, "the newest snapshot is what was there before");
        host.reboot();
        assert_eq!(host.seen(), before);
    });
}

#[test]
fn one_file_comes_back_with_the_folders_that_it_needs_and_nothing_else_does() {
    with_private_mounts(|| {
        let host = Mounted::new();
        host.write("deep/er/one", "1\n");
        host.write("deep/er/two", "2\n");
        host.write("conf", "edited\n");
        host.upgrade(SECOND);
        fs::remove_dir_all(host.etc("deep")).unwrap();
        host.write("conf", "later\n");
        let names = [PathBuf::from("deep/er/one")];
        let dry = etc::restore(&host.0.host(), &names, newest(1), true).unwrap();
        assert_eq!((dry.differences.len(), dry.kept), (3, None));
        assert!(!host.etc("deep").exists(), "a dry run brings nothing back");
        host.restore(&["deep/er/one"], newest(1));
        assert_eq!(host.text("deep/er/one"), "1\n");
        assert!(!host.etc("deep/er/two").exists());
        assert_eq!(host.text("conf"), "later\n");
        let unknown = etc::restore(&host.0.host(), &["nonesuch".into()], To::Default, false);
        let error = unknown.unwrap_err().to_string();
        assert!(error.contains("no /etc/nonesuch"), "{error}");
    });
}

#[test]
fn a_default_that_comes_back_follows_upgrades_again() {
    with_private_mounts(|| {
        let host = Mounted::new();
        host.edit();
        host.restore(&[], To::Default);
        assert_eq!(host.text("conf"), "one\n");
        assert_eq!(host.text("folder/a"), "a\n");
        assert!(!host.etc("own").exists() && !host.etc("link").exists());
        assert!(host.etc("socket").exists(), "what is no configuration stays");
        // The configured repository was an edit, too.
        host.restore(&["preon"], newest(1));
        assert_eq!(host.told(), [""; 0]);
        host.upgrade(SECOND);
        assert_eq!(host.text("conf"), "two\n");
        assert_eq!(host.text("folder/a"), "a, newer\n");
        // The folder was removed as a whole and hid its defaults: what came back are files of the host's own.
        assert_eq!(host.text("other/c"), "c\n");
        assert_eq!(host.told(), [""; 0]);
    });
}

#[test]
fn what_changed_underneath_an_edit_is_told_until_it_is_accepted_or_given_up() {
    with_private_mounts(|| {
        let host = Mounted::new();
        host.write("conf", "edited\n");
        host.write("folder/b", "edited\n");
        host.write("own", "mine\n");
        host.write("other/c", "edited\n");
        host.upgrade(SECOND);
        let changed = host.underneath("conf").unwrap();
        assert!(matches!(changed, Underneath::Changed(_)), "{changed:?}");
        let former = etc::former_default(&host.0.host(), &changed).unwrap();
        assert_eq!(fs::read_to_string(former).unwrap(), "one\n");
        assert_eq!(host.underneath("folder/b"), Some(Underneath::Gone));
        assert_eq!(host.underneath("own"), Some(Underneath::Appeared));
        assert_eq!(host.underneath("other/c"), None, "the default is the same");

        let accepted = etc::accept(&host.0.host(), &["conf".into(), "folder".into()]).unwrap();
        assert_eq!(accepted, [Path::new("conf"), Path::new("folder/b")]);
        assert_eq!((host.underneath("conf"), host.underneath("folder/b")), (None, None));
        assert_eq!(host.underneath("own"), Some(Underneath::Appeared), "nobody has accepted it");
        host.restore(&["own"], To::Default);
        assert_eq!(host.text("own"), "a default\n");
        host.upgrade(THIRD);
        assert_eq!(host.text("conf"), "edited\n");
        assert!(matches!(host.underneath("conf"), Some(Underneath::Changed(_))));
        // An edit that comes back is one of the default of its time.
        host.restore(&["conf"], To::Default);
        assert_eq!(host.underneath("conf"), None);
        host.restore(&["conf"], newest(1));
        assert_eq!(host.text("conf"), "edited\n");
        assert!(matches!(host.underneath("conf"), Some(Underneath::Changed(_))));
    });
}

#[test]
fn an_edit_between_an_upgrade_and_its_boot_is_one_of_the_older_default() {
    with_private_mounts(|| {
        let host = Mounted::new();
        host.stage(SECOND);
        host.write("conf", "edited\n");
        host.reboot();
        assert!(matches!(host.underneath("conf"), Some(Underneath::Changed(_))));
        etc::note(&host.0.host()).unwrap(); // as each boot does
        assert!(matches!(host.underneath("conf"), Some(Underneath::Changed(_))));
        host.write("other/c", "edited\n");
        assert_eq!(host.underneath("other/c"), None);
    });
}

#[test]
fn a_snapshot_shares_what_did_not_change_and_goes_with_its_generation() {
    with_private_mounts(|| {
        let host = Mounted::new();
        host.write("conf", "edited\n");
        host.write("own", "mine\n");
        host.upgrade(SECOND);
        host.write("conf", "again\n");
        host.upgrade(THIRD);
        let store = host.0.store();
        let file = |generation, name: &str| {
            let folder = store.generation_folder(Generation(generation)).join("etc.1/upper");
            folder.join(name).metadata().unwrap().ino()
        };
        assert_eq!(file(1, "own"), file(2, "own"));
        assert_ne!(file(1, "conf"), file(2, "conf"));
        let collected = store.collect(&[Generation(3)].into()).unwrap();
        assert_eq!(collected.generations, [Generation(1), Generation(2)]);
        assert!(snapshot::all(&store).unwrap().is_empty());
    });
}
