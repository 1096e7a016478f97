//! A repository that cannot be asked stops nothing that the others have, takes nothing away, and is told.

use std::fs;
use std::sync::Mutex;

use base::explain;
use base::progress::{Progress, Silent, Task, Unit};
use host::repositories::{Configured, Repositories};
use host::transaction::{self, Asked, How};
use host::{bundle, download};
use packages::change::{Selector, Wish};
use packages::publish::LIFE;

use crate::bundle::apply_as;
use crate::world::{Package, SUITE, World, now};
use crate::{BASE, GIT, LIBBASE, LIBGIT, install, upgrade, world};

const TOOL: Package<'_> = ("tool", "1-1+0preon1", "Depends: libtool\n", &[("usr/bin/tool", "1")]);
const LIBTOOL: Package<'_> = ("libtool", "1-1+0preon1", "", &[("usr/lib/libtool", "1")]);

/// What a change notes.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn begin(&self, what: &str, total: Option<u64>, unit: Unit) -> Box<dyn Task> {
        Silent.begin(what, total, unit)
    }

    fn note(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

/// A host whose second repository, `extra`, is another publisher's, made at `at`.
fn two(at: u64) -> (World, World) {
    let (world, extra) = (world(), World::made_at(&[TOOL, LIBTOOL], at));
    know(&world, &extra, &extra.uri());
    (world, extra)
}

/// Lets the host find the other publisher's repository there.
fn know(world: &World, extra: &World, uri: &str) {
    world.know("extra", &extra.path("keys/1.root.json"), uri);
}

#[test]
fn what_a_repository_has_comes_while_another_one_is_silent_or_lies() {
    let (world, extra) = two(now() - LIFE - 60); // what may no longer be used
    let stranger = World::new(&[BASE]);
    for (uri, why) in [
        (extra.uri(), "its metadata may no longer be used"),
        (stranger.uri(), "its metadata is not signed by the keys that this host knows"),
        ("file:///gone".into(), "it does not give its signed metadata"),
        ("http://127.0.0.1:1".into(), "it does not give its signed metadata"), // nobody listens there
    ] {
        know(&world, &extra, &uri);
        let asked = Asked { words: "install git".into(), wish: install("git"), how: How::Tell };
        let notes = Notes::default();
        let outcome = transaction::run(&world.host(), &asked, &notes).unwrap();
        let notes = notes.0.into_inner().unwrap();
        let warning = "warning: the repository extra could not be asked\n  caused by: ";
        assert!(notes[0].starts_with(warning) && notes[0].contains(why), "{why}: {notes:?}");
        assert!(notes[0].contains("\nhint: "), "{notes:?}");
        let silent = &outcome.transaction.silent;
        assert_eq!((silent.len(), silent[0].name.as_str()), (1, "extra"));
        assert!(silent[0].why.contains(why), "{silent:?}");
    }
    world.change("install git", install("git")).unwrap();
    assert!(world.packages(2).iter().any(|it| it.starts_with("*git ")));
    world.mirrors(&["file:///gone-too".into()]);
    world.boot();
    let error = world.change("install git", install("git")).unwrap_err();
    assert!(error.starts_with("error: http://127.0.0.1:1: it does not give"), "{error}");
}

#[test]
fn what_only_a_silent_repository_has_is_told_so() {
    let (world, extra) = two(now());
    know(&world, &extra, "file:///gone");
    let before = world.everything();
    let selector: Selector = "tool".parse().unwrap();
    let folder = world.path("folder");
    let errors = [
        world.change("install tool", install("tool")).unwrap_err(),
        explain::render(
            download::download(&world.root(), &[selector], &folder, &Silent).unwrap_err().as_ref(),
        ),
    ];
    for error in errors {
        let why = "cannot be made without the repository extra, which could not be asked";
        assert!(error.contains(why), "{error}");
        assert!(error.contains("caused by: no package has or provides the name tool"), "{error}");
        assert!(error.contains("`preon repo remove extra`"), "{error}");
    }
    assert!(world.everything() == before);
    // What is wrong whoever answers is told as ever.
    let remove = Wish::Remove { names: vec!["tool".parse().unwrap()], cascade: false };
    let error = world.change("remove tool", remove).unwrap_err();
    assert!(!error.contains("extra"), "{error}");
}

#[test]
fn what_came_from_a_silent_repository_stays_with_its_pins_and_marks() {
    let (world, extra) = two(now());
    world.change("install tool", install("tool")).unwrap();
    world.boot();
    let pin = Wish::Pin { name: "libtool".parse().unwrap(), version: None };
    world.change("pin libtool", pin).unwrap();
    world.boot();
    know(&world, &extra, "file:///gone");
    world.publish(&[crate::BASE_2, LIBBASE]);
    world.change("upgrade", upgrade(false)).unwrap();
    let packages = world.packages(4);
    for package in ["*base 2-1+0preon1 ", "*tool 1-1+0preon1 ", "libtool 1-1+0preon1 "] {
        assert!(packages.iter().any(|it| it.starts_with(package)), "{package}: {packages:?}");
    }
    let pins = world.store().manifest(generations::Generation(4)).unwrap().pins;
    assert_eq!(pins.keys().map(ToString::to_string).collect::<Vec<_>>(), ["libtool"]);
}

#[test]
fn nothing_goes_or_gets_older_because_a_repository_is_silent() {
    let (world, extra) = two(now());
    let base_2 = ("base", "2-1+0preon1", "Depends: libnew | libother\n", BASE.3);
    let other = ("libother", "1", "Conflicts: libbase\n", &[("usr/lib/libother", "1")][..]);
    world.publish(&[base_2, other]);
    extra.publish(&[("libnew", "1", "", &[("usr/lib/libnew", "1")])]);
    assert_eq!(world.would(upgrade(false)).removed.len(), 0);
    know(&world, &extra, "file:///gone");
    let before = world.everything();
    let error = world.change("upgrade", upgrade(false)).unwrap_err();
    let why = "libbase would go, which may only be so because the repository extra could not be";
    assert!(error.contains(why) && error.contains("hint: try again"), "{error}");
    assert!(world.everything() == before);

    // The next older version may be one of the silent one's; a version that is named is that one.
    let world = World::new(&[("git", "3", "", GIT.3), BASE, LIBBASE, LIBGIT]);
    world.publish(&[("git", "1", "", GIT.3)]);
    know(&world, &extra, "file:///gone");
    let name = || "git".parse().unwrap();
    let older = world.change("downgrade git", Wish::Downgrade { name: name(), version: None });
    let error = older.unwrap_err();
    assert!(error.contains("git would get older, which may only be so because"), "{error}");
    let version = Some("1".parse().unwrap());
    world.change("downgrade git=1", Wish::Downgrade { name: name(), version }).unwrap();
}

#[test]
fn a_bundle_of_which_a_repository_is_not_believed_is_refused_as_a_whole() {
    let (world, _extra) = two(now());
    let (file, host) = (world.path("bundle"), world.host());
    let installed = bundle::Installed::on(&host).unwrap();
    bundle::create(&host, &file, ("install git", &install("git"), &installed), &Silent).unwrap();
    let asked = Asked { words: "install git".into(), wish: install("git"), how: How::Tell };
    apply_as(&world, &file, &asked).unwrap();
    know(&world, &World::new(&[BASE]), "file:///gone");
    let error = apply_as(&world, &file, &asked).unwrap_err();
    let error = explain::render(error.as_ref());
    assert!(error.contains("is not signed by the keys that this host knows"), "{error}");
}

#[test]
fn a_repository_is_added_once_it_was_believed() {
    let world = world();
    let root = fs::read(world.path("keys/1.root.json")).unwrap();
    let (at, stranger) = (world.root(), World::new(&[BASE]));
    let (repositories, page) = (Repositories(&at), world.path("page"));
    fs::write(&page, "<html>").unwrap();
    repositories.remove("main").unwrap();
    let add = |uri: String, ca| {
        let configured = Configured { uris: vec![uri], suite: SUITE.into(), ca };
        let told = |error: base::Failure| explain::render(error.as_ref());
        repositories.try_and_add("main", &configured, &root).map_err(told)
    };
    let before = world.everything();
    for (uri, ca, why, hint) in [
        (stranger.uri(), None, "is not signed by the keys that this host knows", "another mirror"),
        ("file:///gone".into(), None, "does not give its signed metadata", "--no-check"),
        (world.uri(), Some(page), "cannot vouch for servers", "hint: "),
    ] {
        let error = add(uri, ca).unwrap_err();
        assert!(error.contains(why) && error.contains(hint), "{why}: {error}");
    }
    assert!(world.everything() == before);
    let remembered = world.on_host("/var/lib/preon/repositories");
    assert_eq!(fs::read_dir(&remembered).unwrap().count(), 0);

    let found = add(world.uri(), None).unwrap();
    assert_eq!(repositories.found("main").unwrap(), Some(found));
    assert!(repositories.index("main").unwrap().stanzas().any(|it| it.name() == "git"));
    assert!(add(world.uri(), None).unwrap_err().contains("is there already"));
    // It is remembered what was seen: nothing older is believed from then on.
    assert!(remembered.join("main/seen/root.json").exists());
    world.change("install git", install("git")).unwrap();
}
