//! What nobody needs goes, and layers that became many become one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use base::child::Program;
use base::progress::Silent;
use formats::manifest::{Layer, Manifest};
use generations::Generation;
use host::Host;
use host::activate::Activation;
use host::housekeeping::{self, Asked};
use host::repositories::Repositories;
use packages::change::Wish;

use testkit::in_namespace;

use crate::world::{Package, World};
use crate::{BASE, BASE_2, GIT, LIBBASE, LIBGIT, install, remove, upgrade};

const TOOL: Package<'_> = ("tool", "1-1+0preon1", "", &[("usr/bin/tool", "tool")]);
/// Brings the newer base and git with it.
const APP: Package<'_> =
    ("app", "1-1+0preon1", "Depends: base (>= 2), git\n", &[("usr/bin/app", "app")]);

const ALL: Asked = Asked { keep: 3, dry_run: false, unattended: false };

/// A package of the image that is larger than the changes of these tests.
fn bulk(bytes: usize) -> Package<'static> {
    let text: &str = "x".repeat(bytes).leak();
    let files: &[(&str, &str)] = vec![("usr/share/bulk", text)].leak();
    ("bulk", "1-1+0preon1", "", files)
}

fn world() -> World {
    let bulk = bulk(1 << 20);
    let world = World::new(&[BASE, LIBBASE, bulk]);
    world.publish(&[BASE_2, LIBBASE, GIT, LIBGIT, TOOL, APP, bulk]);
    world
}

fn manifest(world: &World, generation: u64) -> Manifest {
    world.store().manifest(Generation(generation)).unwrap()
}

/// Five changes; what is installed in the end is what `install app git` gives.
fn changed_often() -> World {
    let world = world();
    let changes = [
        ("install git", install("git")),
        ("install tool", install("tool")),
        ("remove tool", remove("tool")),
        ("upgrade", upgrade(false)),
        ("install app", install("app")),
    ];
    for (words, wish) in changes {
        world.change(words, wish).unwrap();
        world.boot();
    }
    assert_eq!(manifest(&world, 6).layers.len(), 6);
    world
}

/// What `install app git` gives at once.
fn changed_once() -> World {
    let world = world();
    let both = ["app", "git"].map(|name| name.parse().unwrap());
    world.change("install app git", Wish::Install(both.into())).unwrap();
    world
}

/// All files below `/usr`.
fn files(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![world.on_host("/usr")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if path.is_file() {
                let bytes = fs::read(&path).unwrap();
                found.insert(path.strip_prefix(world.on_host("/usr")).unwrap().to_owned(), bytes);
            }
        }
    }
    found
}

/// Those of them that do not say which build it is.
fn files_of_packages(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = files(world);
    files.retain(|path, _| !path.starts_with("lib/preon") && !path.ends_with("os-release"));
    files
}

/// The names of the files of layers.
fn stored(world: &World) -> BTreeSet<String> {
    let folder = world.on_host(generations::STORE).join("layers");
    let names = folder.read_dir().unwrap().map(|it| it.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

/// The names that the files of these layers have.
fn names<'a>(layers: impl IntoIterator<Item = &'a Layer>) -> BTreeSet<String> {
    let both = |layer: &Layer| ["erofs", "verity"].map(|end| format!("{}.{end}", layer.erofs));
    layers.into_iter().flat_map(both).collect()
}

#[test]
fn deltas_become_the_one_of_a_host_that_made_all_changes_at_once() {
    let world = changed_often();
    let before = files_of_packages(&world);
    let would = world.gc(Asked { dry_run: true, ..ALL }).unwrap();
    assert_eq!(manifest(&world, 6).layers.len(), stored(&world).len() / 2);
    let done = world.gc(ALL).unwrap();
    assert_eq!((&done.removed, &would.removed), (&vec![1, 2], &vec![1, 2]));
    let folded = done.folded.unwrap();
    assert_eq!((folded.from, folded.generation, folded.deltas), (6, Some(7), 5));
    assert_eq!((folded.base, folded.activation), (false, Activation::NextBoot));
    assert!(folded.after_bytes.unwrap() < folded.before_bytes, "{folded:?}");

    let (made, at_once) = (manifest(&world, 7), changed_once());
    let afresh = manifest(&at_once, 2);
    assert_eq!(made.layers, afresh.layers, "other bytes than those composed afresh");
    assert_eq!((&made.packages, &made.build_id), (&afresh.packages, &afresh.build_id));
    world.store().check_bytes(Generation(7)).unwrap();
    world.boot();
    at_once.boot();
    assert!(files(&world) == files(&at_once));
    assert!(files_of_packages(&world) == before, "a package has other files than before");
    world.change("remove tool", remove("git")).unwrap_err(); // app needs it
    world.change("install tool", install("tool")).unwrap();
}

#[test]
fn what_runs_and_what_was_good_stays_and_a_second_time_there_is_nothing_to_do() {
    let world = changed_often();
    let store = world.store();
    store.want(Generation(2)).unwrap();
    store.bless(Generation(2)).unwrap();
    store.want(Generation(6)).unwrap();
    let done = world.gc(Asked { keep: 1, ..ALL }).unwrap();
    assert_eq!((done.removed, done.kept), (vec![1, 3, 4], vec![2, 5, 6, 7]));
    assert_eq!(store.wanted().unwrap().good, Generation(2));
    let kept: Vec<_> =
        [2, 5, 6, 7].iter().flat_map(|number| manifest(&world, *number).layers).collect();
    assert_eq!(stored(&world), names(&kept));
    for generation in store.generations().unwrap() {
        store.check_bytes(generation).unwrap();
    }
    let again = world.gc(Asked { keep: 1, ..ALL }).unwrap();
    assert!(again.is_empty(), "{again:?}");
    world.boot();
    store.bless(Generation(7)).unwrap();
    let last = world.gc(Asked { keep: 0, ..ALL }).unwrap();
    assert_eq!((last.removed, last.kept), (vec![2, 5, 6], vec![7]));
    assert_eq!(stored(&world), names(&manifest(&world, 7).layers));
}

#[test]
fn what_was_changed_back_leaves_no_layer() {
    let world = world();
    for (words, wish) in [("install git", install("git")), ("remove git", remove("git"))] {
        world.change(words, wish).unwrap();
        world.boot();
    }
    world.gc(ALL).unwrap();
    let (first, made) = (manifest(&world, 1), manifest(&world, 4));
    assert_eq!((&made.layers, &made.build_id), (&first.layers, &first.build_id));
    assert_eq!(made.packages, first.packages);
    world.boot();
    assert!(world.gc(ALL).unwrap().folded.is_none());
}

#[test]
fn a_manifest_names_what_has_made_each_of_its_layers() {
    let version = |number: u32| format!("1.8.{number}-1+0preon1").leak() as &str;
    let bulk = bulk(1 << 20);
    let world = World::new(&[BASE, ("erofs-utils", version(1), "", &[]), bulk]);
    let mut first = manifest(&world, 1);
    first.tools.insert("image-root".into(), "root".into());
    let path = world.on_host(generations::STORE).join("generations/1/manifest.json");
    fs::write(path, first.to_json()).unwrap();
    let tools = |generation: u64| {
        let manifest = manifest(&world, generation);
        let mut made: Vec<_> = manifest
            .layers
            .iter()
            .map(|layer| {
                let made = manifest.tools.get(&format!("mkfs.erofs of {}", layer.name));
                made.cloned().unwrap_or_default()
            })
            .collect();
        made.push(manifest.tools.get("image-root").cloned().unwrap_or_default());
        assert_eq!(manifest.tools.len(), made.iter().filter(|it| !it.is_empty()).count());
        made
    };
    world.publish(&[BASE, LIBBASE, TOOL, ("erofs-utils", version(2), "", &[]), bulk]);
    world.change("install tool", install("tool")).unwrap();
    world.boot();
    assert_eq!(tools(2), ["", version(1), "root"]);
    world.change("upgrade", upgrade(false)).unwrap(); // by the one that it replaces
    world.boot();
    assert_eq!(tools(3), ["", version(1), version(1), "root"]);
    world.change("pin base", Wish::Pin { name: "base".parse().unwrap(), version: None }).unwrap();
    assert_eq!(tools(4), tools(3));
    world.boot();
    world.gc(ALL).unwrap();
    assert_eq!(tools(5), ["", version(2), "root"]);
    // All of it anew: nothing is the image's any more.
    world.boot();
    world.publish(&[("large", "1-1+0preon1", "", &[("usr/share/large", bulk.3[0].1)])]);
    world.change("install large", install("large")).unwrap();
    world.boot();
    world.gc(ALL).unwrap();
    assert_eq!(tools(7), [version(2), ""]);
}

#[test]
fn a_base_is_made_anew_only_when_what_lies_over_it_is_large() {
    let (small, text) = (bulk(1 << 20), bulk(1 << 19).3[0].1);
    let large: Package<'_> = ("large", "1-1+0preon1", "", &[("usr/share/large", text)]);
    let world = World::new(&[BASE, LIBBASE, small]);
    world.publish(&[BASE, LIBBASE, small, TOOL, large]);
    world.change("install tool", install("tool")).unwrap();
    world.boot();
    assert!(world.gc(ALL).unwrap().is_empty(), "one small delta is as it should be");
    world.change("install large", install("large")).unwrap();
    world.boot();
    let before = files_of_packages(&world);
    let folded = world.gc(ALL).unwrap().folded.unwrap();
    assert_eq!((folded.base, folded.deltas, folded.generation), (true, 2, Some(4)));
    let made = manifest(&world, 4);
    let afresh = World::new(&[BASE, LIBBASE, small, TOOL, large]);
    assert_eq!(made.layers, manifest(&afresh, 1).layers, "other bytes than an image's");
    let asked: Vec<_> = made.packages.iter().filter(|it| !it.automatic).collect();
    let asked: Vec<_> = asked.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(asked, ["base", "large", "tool"]);
    world.boot();
    assert!(files_of_packages(&world) == before, "a package has other files than before");
    assert!(world.gc(ALL).unwrap().folded.is_none());
    world.change("remove large", remove("large")).unwrap();
}

#[test]
fn whatever_stops_it_leaves_what_boots_and_the_next_time_it_is_done() {
    let world = changed_often();
    let everything = Asked { keep: 9, dry_run: false, unattended: false };
    world.gc(Asked { dry_run: true, ..everything }).unwrap();
    let before = world.everything();

    let failing = Program::from_words(["/bin/sh", "-c", "echo '<E> broken' >&2; exit 1"]);
    let error = world.gc_with(&Host { mkfs: failing, ..world.host() }, everything).unwrap_err();
    assert!(error.contains("<E> broken"), "{error}");
    assert!(world.everything() == before, "a layer that was not made has changed the host");

    // It stops between the two files of the new layer.
    let layer = manifest(&changed_once(), 2).layers.pop().unwrap();
    let [erofs, verity] = ["erofs", "verity"]
        .map(|end| world.on_host(generations::STORE).join(format!("layers/{}.{end}", layer.erofs)));
    let script = format!(
        "mkdir -p '{}/in the way'; for output; do :; done; \
         exec dd of=\"$output\" bs=4096 conv=sync iflag=fullblock status=none",
        verity.display()
    );
    let blocking = Program::from_words(["/bin/sh", "-c", &script]);
    world.gc_with(&Host { mkfs: blocking, ..world.host() }, everything).unwrap_err();
    assert_eq!(world.store().wanted().unwrap().generation, Generation(6));
    fs::remove_dir_all(&verity).unwrap();
    assert!(world.everything() == before, "a layer that was not moved has changed the host");
    fs::write(&erofs, "as a power cut leaves it").unwrap();

    // It stops when the generation is there and is not wanted yet.
    let mut half = manifest(&world, 6);
    half.change.as_mut().unwrap().from = 6;
    world.store().add(&half, &[]).unwrap();
    world.boot();
    let done = world.gc(everything).unwrap();
    assert_eq!(done.folded.unwrap().generation, Some(8));
    assert_eq!(manifest(&world, 8).layers.last().unwrap(), &layer);
    world.store().check_bytes(Generation(8)).unwrap();
    assert!(!world.on_host(generations::STORE).join("work").exists());
    assert!(world.gc(everything).unwrap().is_empty());
}

#[test]
fn while_a_change_waits_for_a_boot_nothing_is_folded() {
    let world = changed_often();
    world.change("remove app", remove("app")).unwrap();
    let done = world.gc(Asked { keep: 0, dry_run: false, unattended: false }).unwrap();
    assert_eq!((done.removed, done.kept), (vec![1, 2, 3, 4, 5], vec![6, 7]));
    assert!(done.folded.is_none());
}

#[test]
fn of_a_generation_that_is_folded_while_it_runs_it_is_told_before_that_it_goes() {
    in_namespace(|| {
        let world = changed_often();
        world.store().want(Generation(5)).unwrap();
        world.store().bless(Generation(5)).unwrap();
        world.store().want(Generation(6)).unwrap();
        let own = manifest(&world, 6).layers.pop().unwrap();
        // Only of the host that this runs on can anything be shown at once. The folder that we are in is the way out.
        std::env::set_current_dir("/").unwrap();
        std::os::unix::fs::chroot(world.on_host("/")).unwrap();
        let host = Host::open(&host::Root("/".into()));
        let asked = Asked { keep: 0, dry_run: true, ..ALL };
        let told =
            host.map(|host| housekeeping::run(&host, asked, &Silent).map_err(|it| it.to_string()));
        std::os::unix::fs::chroot(".").unwrap();
        let would = told.unwrap().unwrap();
        assert_eq!(would.folded.unwrap().activation, Activation::AtOnce);
        assert_eq!((would.kept, would.removed), (vec![5], vec![1, 2, 3, 4, 6]));
        assert!(would.layers.contains(&own.erofs), "{:?}", would.layers);
        assert_eq!(world.store().generations().unwrap().len(), 6);
    });
}

#[test]
fn when_nobody_watches_only_what_a_boot_has_proven_is_folded() {
    let alone = Asked { unattended: true, ..ALL };
    let world = changed_often();
    let store = world.store();
    let folded = || world.gc(alone).unwrap().folded.map(|folded| folded.generation);
    assert_eq!(folded(), None, "no boot of it was ever good");
    assert_eq!(store.generations().unwrap().len(), 4, "what nobody needs goes nevertheless");
    store.bless(Generation(6)).unwrap();
    store
        .count_attempt(&store.choose(&generations::Booted::of_release("6.12-preon")).unwrap())
        .unwrap();
    assert_eq!(folded(), None, "it is not decided whether this boot is good");
    store.bless(Generation(6)).unwrap();

    let memory = world.on_host("/var/lib/preon/updates.json");
    let restart = r#"{"restart": {"generation": 6, "at": 1, "slot": true, "kept": null}}"#;
    base::file::replace(&memory, restart.as_bytes()).unwrap();
    assert_eq!(folded(), None, "a fleet waits for what becomes of generation 6");
    fs::remove_file(&memory).unwrap();
    assert_eq!(folded(), Some(Some(7)));
    let wanted = store.wanted().unwrap();
    assert_eq!((wanted.generation, wanted.good), (Generation(7), Generation(6)));
    assert!(store.generations().unwrap().contains(&Generation(6)), "nothing to fall back to");
}

#[test]
fn what_was_fetched_goes_once_no_repository_and_no_generation_names_it() {
    let world = world();
    world.change("install git", install("git")).unwrap();
    world.boot();
    let cache = world.on_host("/var/cache/preon/archive/by-hash/sha256");
    let count = || cache.read_dir().unwrap().count();
    assert!(world.gc(ALL).unwrap().fetched.is_empty(), "all of it is known");
    let newer = ("tool", "2-1+0preon1", "", TOOL.3);
    world.publish(&[BASE_2, LIBBASE, GIT, LIBGIT, newer]);
    world.change("remove git", remove("git")).unwrap();
    world.boot();
    let done = world.gc(ALL).unwrap();
    assert_eq!(done.fetched.len(), 1, "the list that was replaced: {done:?}");
    fs::write(cache.join(".x.4294967295-0.part"), "half").unwrap();
    let begun = world.gc(Asked { keep: 0, ..ALL }).unwrap();
    assert_eq!((begun.fetched.len(), count()), (1, 3), "the list, git and libgit stay: {begun:?}");
    Repositories(&world.root()).remove("main").unwrap();
    assert_eq!(world.gc(ALL).unwrap().fetched.len(), 3);
    assert_eq!(count(), 0);
}

#[test]
fn a_layer_that_is_mounted_keeps_its_generation() {
    sys::namespace::with_private_mounts(|| {
        let world = changed_often();
        let layer = manifest(&world, 4).layers.pop().unwrap(); // the removal's, which generation 4 brought
        world.store().want(Generation(2)).unwrap();
        world.boot();
        let place = generations::stack::live::place(&layer, &world.on_host(generations::RUN));
        fs::create_dir_all(&place).unwrap();
        sys::Filesystem::new("tmpfs").mount(Path::new(&place)).unwrap();
        let done = world.gc(Asked { keep: 0, dry_run: false, unattended: false }).unwrap();
        assert_eq!(done.kept, [2, 6]);
        assert!(stored(&world).contains(&format!("{}.erofs", layer.erofs)));
        sys::mount::detach(&place).unwrap();
        assert_eq!(
            world.gc(Asked { keep: 0, dry_run: false, unattended: false }).unwrap().removed,
            [6]
        );
    });
}

/// All bytes of the store.
fn disk(world: &World) -> u64 {
    base::file::length(&world.on_host(generations::STORE)).unwrap()
}

#[test]
fn twenty_generations_take_little_more_than_two_when_changes_were_small() {
    let bulk = bulk(2 << 20);
    let world = World::new(&[BASE, LIBBASE, bulk]);
    world.publish(&[BASE, LIBBASE, bulk, TOOL]);
    world.change("install tool", install("tool")).unwrap();
    world.boot();
    let two = disk(&world);
    for generation in 3..=20 {
        if generation % 2 == 1 {
            world.change("remove tool", remove("tool")).unwrap();
        } else {
            world.change("install tool", install("tool")).unwrap();
        }
        world.boot();
    }
    assert_eq!(world.store().generations().unwrap().len(), 20);
    let twenty = disk(&world);
    assert!(twenty * 2 <= two * 3, "{two} bytes for two, {twenty} for twenty");
    let done = world.gc(Asked { keep: 20, dry_run: false, unattended: false }).unwrap();
    assert_eq!((done.removed.len(), manifest(&world, 21).layers.len()), (0, 2));
    assert!(disk(&world) * 2 <= two * 3, "with the folded one: {} bytes", disk(&world));
    world.boot();
    world.store().bless(Generation(21)).unwrap();
    world.gc(Asked { keep: 0, dry_run: false, unattended: false }).unwrap();
    assert!(disk(&world) <= two, "the folded one alone: {} bytes", disk(&world));
}
