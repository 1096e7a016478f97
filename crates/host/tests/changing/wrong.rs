//! Two changes at once, a manifest that was edited by hand, a store on another host.

use std::fs;
use std::process::Command;
use std::sync::mpsc;

use base::explain;
use base::progress::Silent;
use generations::Generation;
use host::transaction::{self, Asked, How};
use host::{Host, Root};

use crate::world::{World, mkfs_between};
use crate::{install, remove, world};

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

#[test]
fn of_two_changes_at_once_the_second_one_is_refused_and_the_first_one_is_made() {
    let mut world = world();
    let pipe = world.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    world.mkfs = mkfs_between("", &format!("cat '{}'", pipe.display())); // waits for the writer to end
    let (world, before) = (&world, world.everything());
    std::thread::scope(|scope| {
        let (done, first) = mpsc::channel();
        scope.spawn(move || done.send(world.change("install git", install("git"))).unwrap());
        let busy = fs::File::options().write(true).open(&pipe).unwrap(); // opens when the first one is at work
        let error = world.change("remove git", remove("git")).unwrap_err();
        assert!(error.contains("hint: wait until it has finished"), "{error}");
        world.would(install("git")); // whoever only looks need not wait
        assert_eq!(world.store().wanted().unwrap().generation, Generation(1));
        let work = |it: &(std::path::PathBuf, Vec<u8>)| {
            !it.0.components().any(|it| it.as_os_str() == "work")
        };
        let now: Vec<_> = world.everything().into_iter().filter(work).collect();
        assert!(now == before, "a change that goes on is seen");
        drop(busy);
        assert_eq!(first.recv().unwrap().unwrap().generation, Some(2));
    });
    assert_eq!(world.store().generations().unwrap(), [Generation(1), Generation(2)]);
}

#[test]
fn a_manifest_that_was_edited_by_hand_is_refused_and_named_and_undone_it_works() {
    let world = world();
    let path = world.store().generation_folder(Generation(1)).join("manifest.json");
    let good = fs::read_to_string(&path).unwrap();
    let store = world.store();
    let layer = store.manifest(Generation(1)).unwrap().layers[0].clone();
    let other = base::Digest::of(b"other").to_string();
    #[rustfmt::skip]
    let cases = [
        (good[..good.len() / 2].to_owned(),                               "manifest.json"),
        (String::new(),                                                   "manifest.json"),
        (good.replace("\"format\": 1", "\"format\": 2"),                  "manifest.json"),
        (good.replace(&layer.erofs.to_string(), &other),                  &other),
        (good.replace(&format!(": {}", layer.erofs_bytes), ": 5"),        "layer base is damaged"),
        (good.replace("\"name\": \"libbase\"", "\"name\": \"libcase\""),  "libcase"),
        (good.replacen("1-1+0preon1", "7-1+0preon1", 1),                  "says something else of base than"),
    ];
    for (text, why) in cases {
        assert_ne!(text, good, "{why}: nothing was edited");
        fs::write(&path, &text).unwrap();
        let before = world.everything();
        let changed = world.change("install git", install("git"));
        let error = changed.err().unwrap_or_else(|| panic!("{why}: it was believed"));
        assert!(error.contains(why), "{why}: {error}");
        assert!(error.contains("hint: "), "{why}: {error}");
        assert!(world.everything() == before, "{why}: a refused change has changed the host");
    }
    fs::write(&path, &good).unwrap();
    world.change("install git", install("git")).unwrap();
}

/// Asks the host in another folder for git.
fn ask(world: &World, root: &str) -> Result<Option<u64>, String> {
    let there = Root(world.path(root));
    let told = |failure: base::Failure| explain::render(failure.as_ref());
    let host = Host::open(&there).map_err(|error| explain::render(&error))?;
    let host = Host { mkfs: world.mkfs.clone(), fetch: world.fetch.clone(), ..host };
    let asked = Asked { words: "x".into(), wish: install("git"), how: How::Apply };
    Ok(transaction::run(&host, &asked, &Silent).map_err(told)?.generation)
}

#[test]
fn a_disk_that_was_moved_to_another_machine_works_there_and_remembers_what_it_has_seen() {
    let world = world();
    world.ask_what_an_upgrade_would_be();
    copy(&world.path("repository"), &world.path("old"));
    world.publish(&[crate::BASE_2]);
    world.ask_what_an_upgrade_would_be();
    copy(&world.path("host"), &world.path("moved"));
    fs::write(world.path("moved/etc/machine-id"), "another\n").unwrap();
    let known = world.path("moved/etc/preon/repositories/main.toml");
    let text = fs::read_to_string(&known).unwrap();
    fs::write(&known, text.replace("/repository\"", "/old\"")).unwrap();
    let error = ask(&world, "moved").unwrap_err();
    assert!(error.contains("older than what this host has seen"), "{error}");
    fs::write(&known, text).unwrap();
    assert_eq!(ask(&world, "moved"), Ok(Some(2)));
    assert_eq!(
        world.store().generations().unwrap(),
        [Generation(1)],
        "the other one is another one"
    );
}

#[test]
fn a_store_without_its_host_knows_no_repository_and_does_not_run() {
    let world = world();
    copy(&world.on_host(generations::STORE), &world.path("moved/run/preon/data/preon"));
    let error = ask(&world, "moved").unwrap_err();
    assert!(error.contains("this host does not run"), "{error}");
    copy(&world.on_host(generations::RUNNING), &world.path("moved/run/preon/running"));
    copy(&world.on_host("/usr"), &world.path("moved/usr"));
    let error = ask(&world, "moved").unwrap_err();
    assert!(
        error.contains("no repository is known") && error.contains("preon repo add"),
        "{error}"
    );
}
