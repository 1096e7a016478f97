//! What a host asks of its repositories without changing: flaws, files, what the last change was.

use std::fs;

use base::progress::Silent;
use base::{Failure, explain};
use generations::Generation;
use host::advisories::{self, Flaw, State};
use host::housekeeping::Asked;
use host::repositories::Repositories;
use host::{download, transaction, undo};
use packages::change::{Selector, Wish};

use crate::world::{Package, World, deb};
use crate::{BASE, BASE_2, GIT, LIBBASE, LIBGIT, install, upgrade, world};

fn told<T>(result: Result<T, Failure>) -> Result<T, String> {
    result.map_err(|failure| explain::render(failure.as_ref()))
}

fn flaws(world: &World, all: bool) -> Vec<String> {
    let host = world.host();
    let line = |it: &Flaw| {
        format!("{} {:?} {} {} {}", it.cve, it.state, it.source, it.fixed_in, it.packages.join(" "))
    };
    let manifest = host.manifest(None).unwrap();
    told(advisories::flaws(&host, &manifest, all)).unwrap().iter().map(line).collect()
}

#[test]
fn flaws_that_newer_versions_fix_are_told_with_what_closes_them() {
    let kernel = |version| -> Package<'static> {
        let fields =
            "Source: linux (6.12-2)\nPreon-Fixes:\n 6.12-2 2026-11-01T00:00:00Z CVE-2026-0009\n";
        (
            "preon-kernel-full",
            version,
            if version == "1" { "Source: linux (6.12-1)\n" } else { fields },
            &[],
        )
    };
    let world = World::new(&[BASE, LIBBASE, kernel("1")]);
    let error = advisories::flaws(&world.host(), &world.host().manifest(None).unwrap(), false);
    assert!(told(error).unwrap_err().contains("hint: run `preon refresh`"));
    let other = (
        "libbase",
        "2-1+0preon1",
        "Source: base\nPreon-Fixes:\n 2-1 - CVE-2026-0002\n 0-1 - CVE-2025-0001\n",
        LIBBASE.3,
    );
    world.publish(&[BASE_2, other, kernel("2")]);
    told(Repositories(&world.root()).refresh("main")).unwrap();
    assert_eq!(
        flaws(&world, false),
        [
            "CVE-2026-0002 Open libbase 2-1 libbase",
            "CVE-2026-0001 Open base 2-1 base",
            "CVE-2026-0009 Image linux 6.12-2 preon-kernel-full",
        ]
    );
    let pin = Wish::Pin { name: "base".parse().unwrap(), version: None };
    world.change("pin base", pin).unwrap();
    world.boot();
    world.change("upgrade", upgrade(false)).unwrap();
    world.boot();
    assert_eq!(
        flaws(&world, false),
        [
            "CVE-2026-0001 Pinned base 2-1 base",
            "CVE-2026-0009 Image linux 6.12-2 preon-kernel-full"
        ]
    );
    let all = flaws(&world, true);
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(all[2..].iter().all(|line| line.contains(&format!("{:?}", State::Fixed))), "{all:?}");
}

#[test]
fn packages_are_files_in_a_folder_as_the_repository_has_them() {
    let world = world();
    let folder = world.path("files");
    let fetch = |names: &[&str]| {
        let asked: Vec<_> = names.iter().map(|it| it.parse::<Selector>().unwrap()).collect();
        told(download::download(&world.root(), &asked, &folder, &Silent))
    };
    let before = world.everything();
    let error = fetch(&["git", "libgti"]).unwrap_err();
    assert!(error.contains("hint: did you mean libgit?"), "{error}");
    let error = fetch(&["git=3-1"]).unwrap_err();
    assert!(error.contains("there is no version 3-1 of git"), "{error}");
    assert!(!folder.exists(), "nothing is fetched when something is not there");
    let done = fetch(&["git", "base=1-1+0preon1"]).unwrap();
    let names: Vec<_> = done.iter().map(|it| format!("{} {}", it.name, it.version)).collect();
    assert_eq!(names, ["git 2-1+0preon1", "base 1-1+0preon1"]);
    assert_eq!(done[0].path, folder.join("git_2-1+0preon1_amd64.deb"));
    assert!(fs::read(&done[0].path).unwrap() == deb(GIT));
    assert_eq!(done[1].bytes, deb(BASE).len() as u64);
    assert!(world.everything() == before, "fetching has changed the host");
}

#[test]
fn what_an_upgrade_needs_is_fetched_before_and_changes_nothing() {
    let world = world();
    world.publish(&[BASE_2, LIBBASE]);
    let before = world.everything();
    let transaction = told(transaction::fetch(&world.host(), &upgrade(false), &Silent)).unwrap();
    assert_eq!(transaction.changed.len(), 1);
    assert!(world.everything() == before, "fetching has changed the host");
    for file in world.path("repository/targets").read_dir().unwrap().map(|it| it.unwrap().path()) {
        if file.to_str().unwrap().contains(".base_") {
            fs::remove_file(file).unwrap(); // the mirror is half gone, and that does not matter any more
        }
    }
    world.change("upgrade", upgrade(false)).unwrap();
    assert!(world.packages(2).contains(&"*base 2-1+0preon1 delta".into()));
}

#[test]
fn the_last_change_is_known_also_when_its_layers_were_folded() {
    let world = world();
    let error = told(undo::last(&world.host())).unwrap_err();
    assert!(error.contains("generation 1 came with the image"), "{error}");
    for name in ["git", "libgit"] {
        world.change(&format!("install {name}"), install(name)).unwrap();
        world.boot();
    }
    let last = || told(undo::last(&world.host())).map(|it| (it.change.asked, it.before.0));
    assert_eq!(last().unwrap(), ("install libgit".into(), 2));
    world.store().want(Generation(2)).unwrap();
    assert_eq!(last().unwrap(), ("install git".into(), 1));
    world.store().want(Generation(3)).unwrap();
    world.publish(&[BASE_2, LIBBASE, GIT, LIBGIT]);
    world.change("upgrade", upgrade(false)).unwrap();
    world.boot();
    let folded =
        world.gc(Asked { keep: 3, dry_run: false, unattended: false }).unwrap().folded.unwrap();
    assert_eq!(folded.generation, Some(5));
    world.boot();
    assert_eq!(last().unwrap(), ("upgrade".into(), 3));
    world.store().want(Generation(1)).unwrap();
    world.boot();
    world.store().want(Generation(5)).unwrap();
    world.gc(Asked { keep: 0, dry_run: false, unattended: false }).unwrap();
    let error = last().unwrap_err();
    assert!(
        error.contains("generation 4, whose layers were folded, is not in the store any more"),
        "{error}"
    );
}
