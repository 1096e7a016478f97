//! Mirrors that lie, stall or are away, and repositories that are not what they were: refused, and the host is as it was.

use std::fs;
use std::path::Path;
use std::process::Command;

use host::repositories::{Configured, Repositories};
use packages::keys::{Replaced, Role};
use packages::publish::LIFE;

use crate::server::{Fault, Server};
use crate::tls::Authority;
use crate::world::{SUITE, World, now};
use crate::{BASE, BASE_2, GIT, LIBBASE, LIBGIT, install, world};

const PAGE: &str = "<!DOCTYPE html><title>Log in</title>";

/// Every file of the repository, by its path.
fn files(world: &World) -> Vec<(String, Vec<u8>)> {
    let root = world.path("repository");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read(path).unwrap()));
            }
        }
    }
    found
}

/// A server that gives what is published now.
fn mirror(world: &World) -> Server {
    let server = Server::start();
    files(world).into_iter().for_each(|(path, bytes)| server.put(&path, bytes));
    server
}

fn tuf(name: &str) -> String {
    format!("dists/{SUITE}/tuf/{name}")
}

/// The change is refused for this reason, with a hint, and has changed nothing.
fn refused(world: &World, why: &str) {
    let before = world.everything();
    let error = world.change("install git", install("git")).unwrap_err();
    assert!(error.contains(why) && error.contains("hint: "), "{why}: {error}");
    assert!(world.everything() == before, "{why}: a refused change has changed the host");
}

/// The change is made.
fn installed(world: &World) {
    world.change("install git", install("git")).unwrap();
    assert!(world.packages(2).iter().any(|it| it.starts_with("*git ")));
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

#[test]
fn a_repository_of_last_month_that_is_played_again_is_refused() {
    let world = world();
    copy(&world.path("repository"), &world.path("old"));
    world.publish(&[BASE_2]);
    world.ask_what_an_upgrade_would_be(); // sees the newer one
    world.mirrors(&[format!("file://{}", world.path("old").display())]);
    refused(&world, "its metadata is older than what this host has seen");
    world.mirrors(&[world.uri()]);
    installed(&world);
}

#[test]
fn a_repository_that_cannot_be_asked_keeps_no_other_from_being_refreshed() {
    let world = world();
    let root = fs::read(world.path("keys/1.root.json")).unwrap();
    let repositories = Repositories(&world.root());
    let gone = Configured { uris: vec!["file:///gone".into()], suite: "gone".into(), ca: None };
    repositories.add("first-and-gone", &gone, &root).unwrap();
    let asked = repositories.refresh_all().unwrap();
    let names = asked.answered.iter().map(|(name, _)| name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["main"]);
    assert_eq!(asked.silent.len(), 1);
    let told = base::explain::render(&asked.silent[0]);
    assert!(told.contains("first-and-gone") && told.contains("file:///gone"), "{told}");
}

#[test]
fn a_frozen_repository_is_refused_once_its_time_is_over() {
    let world = World::made_at(&[BASE, LIBBASE, GIT, LIBGIT], now() - LIFE - 60);
    refused(&world, "its metadata may no longer be used");
    world.publish(&[GIT, LIBGIT]);
    world.change("upgrade", crate::upgrade(false)).unwrap();
}

#[test]
fn files_of_two_dates_are_refused() {
    let world = world();
    let old = files(&world);
    world.publish(&[BASE_2]);
    let newest = |role: &str| {
        let names = files(&world).into_iter().map(|(name, _)| name);
        names.filter(|name| name.ends_with(&format!(".{role}.json"))).max().unwrap()
    };
    for role in ["snapshot", "targets"] {
        let (name, before) = (newest(role), |name: &str| {
            let mut all = old.iter().filter(|(it, _)| it.ends_with(&format!(".{name}.json")));
            all.next_back().unwrap().1.clone()
        });
        let server = mirror(&world);
        server.put(&name, before(role));
        world.mirrors(&[server.uri()]);
        refused(&world, "its files do not belong together");
    }
}

#[test]
fn another_publishers_repository_is_refused() {
    let (world, stranger) = (world(), world());
    world.mirrors(&[stranger.uri()]);
    refused(&world, "its metadata is not signed by the keys that this host knows");
}

#[test]
fn keys_that_were_rotated_twice_while_the_host_was_off_are_followed() {
    let world = world();
    for role in [Role::Root, Role::Timestamp, Role::Targets, Role::Root] {
        world.keys().rotate(role, now(), Replaced::Retires).unwrap();
        world.publish(&[BASE_2]);
    }
    installed(&world);
}

#[test]
fn a_page_in_place_of_metadata_an_index_or_a_package_is_refused() {
    let world = world();
    let server = mirror(&world);
    world.mirrors(&[server.uri()]);
    for path in ["1.root.json", "2.root.json", "timestamp.json"] {
        server.put(&tuf(path), PAGE);
    }
    refused(&world, "what it gives is no metadata of a repository");
    server.remove(&tuf("2.root.json"));
    for (path, bytes) in files(&world) {
        server.put(&path, bytes);
    }
    for part in ["_Packages.zst", "git_2-1"] {
        let is_it = |path: &String| path.starts_with("targets/") && path.contains(part);
        let (path, bytes) = files(&world).into_iter().find(|(path, _)| is_it(path)).unwrap();
        server.put(&path, PAGE);
        refused(&world, part);
        server.put(&path, bytes);
    }
    installed(&world);
}

#[test]
fn a_mirror_that_stalls_or_brings_a_byte_now_and_then_is_given_up() {
    let world = world();
    for (part, fault) in [
        ("timestamp.json", Fault::Stall(10)),
        ("timestamp.json", Fault::Drip),
        ("_Packages.zst", Fault::Stall(10)),
        (".libgit_", Fault::Stall(0)),
    ] {
        let server = mirror(&world);
        let path = files(&world).into_iter().map(|(path, _)| path).find(|path| path.contains(part));
        server.fault(&path.unwrap(), fault);
        world.mirrors(&[server.uri()]);
        refused(&world, "the server sent nothing, or next to nothing, for 0.3 s");
    }
}

#[test]
fn what_one_mirror_lacks_changes_or_withholds_comes_from_the_next() {
    for part in ["timestamp.json", "_Packages.zst", ".libgit_"] {
        let world = world();
        let path = files(&world).into_iter().map(|(path, _)| path).find(|path| path.contains(part));
        let path = path.unwrap();
        let [page, stalls, lacks, broken, good] = [(); 5].map(|()| mirror(&world));
        page.put(&path, PAGE);
        stalls.fault(&path, Fault::Stall(10));
        lacks.remove(&path);
        broken.fault(&path, Fault::Status(500));
        let away = "http://127.0.0.1:1".to_owned(); // nobody listens there
        let all = [&page, &stalls, &lacks, &broken, &good].map(Server::uri);
        let all: Vec<_> = std::iter::once(away).chain(all).collect();
        world.mirrors(&all[..5]);
        refused(&world, "");
        world.mirrors(&all);
        installed(&world);
    }
}

/// Lets the host know the repository `name` at these mirrors, for which `ca` vouches.
fn know(world: &World, name: &str, uris: &[String], ca: &Path) {
    let root = world.root();
    let repositories = Repositories(&root);
    let _ = repositories.remove(name);
    let (uris, suite) = (uris.to_vec(), SUITE.into());
    let metadata = fs::read(world.path("keys/1.root.json")).unwrap();
    let configured = Configured { uris, suite, ca: Some(ca.into()) };
    repositories.add(name, &configured, &metadata).unwrap();
}

#[test]
fn a_server_of_another_name_or_of_an_unknown_authority_is_refused() {
    let world = world();
    let [ours, theirs] = ["ours", "theirs"].map(|name| Authority::new(&world.path(name)));
    let repository = world.path("repository");
    let other = ours.serve("mirror.example", &repository);
    know(&world, "main", &[other.uri()], &ours.pem());
    refused(&world, "not valid for name");
    let unknown = theirs.serve("localhost", &repository);
    know(&world, "main", &[unknown.uri()], &ours.pem());
    refused(&world, "invalid peer certificate");
    let good = ours.serve("localhost", &repository);
    world.mirrors(&[good.uri()]);
    refused(&world, "invalid peer certificate"); // nobody is named: Mozilla's list
    know(&world, "main", &[other.uri(), good.uri()], &ours.pem());
    installed(&world);
}

#[test]
fn who_vouches_for_one_repository_vouches_for_no_other() {
    let world = world();
    let [ours, theirs] = ["ours", "theirs"].map(|name| Authority::new(&world.path(name)));
    let repository = world.path("repository");
    let (one, two) = (ours.serve("localhost", &repository), theirs.serve("localhost", &repository));
    know(&world, "main", &[one.uri()], &ours.pem());
    know(&world, "more", &[two.uri()], &ours.pem());
    let silent = world.would(install("git")).silent;
    assert!(silent[0].name == "more" && silent[0].why.contains("invalid peer certificate"));
    know(&world, "more", &[two.uri()], &theirs.pem());
    fs::remove_file(theirs.pem()).unwrap(); // the host has its own copy
    assert_eq!(world.would(install("git")).silent, []);
    installed(&world);
}

#[test]
fn a_file_that_names_nobody_vouches_for_nobody() {
    let world = world();
    let ours = Authority::new(&world.path("ours"));
    let good = ours.serve("localhost", &world.path("repository"));
    know(&world, "main", &[good.uri()], &ours.pem());
    let path = world.on_host("/etc/preon/repositories/main.ca.pem");
    fs::write(&path, PAGE).unwrap();
    refused(&world, "main.ca.pem cannot vouch for servers");
    fs::remove_file(&path).unwrap();
    refused(&world, "it is not known who vouches");
    Repositories(&world.root()).remove("main").unwrap();
    let root = world.root();
    let ca = Some(world.path("keys/1.root.json"));
    let configured = Configured { uris: vec![good.uri()], suite: "x".into(), ca };
    assert!(Repositories(&root).add("main", &configured, b"{}").is_err());
    assert!(Repositories(&root).names().unwrap().is_empty());
}

#[test]
fn a_clock_at_1970_is_refused() {
    let world = world();
    // The clock cannot be set in a test; when the host was made can.
    let made = world.on_host("/usr/lib/os-release");
    fs::create_dir_all(made.parent().unwrap()).unwrap();
    fs::write(&made, "ID=preon\n").unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(86400);
    fs::File::options().write(true).open(&made).unwrap().set_modified(later).unwrap();
    refused(&world, "set the clock");
    fs::remove_file(&made).unwrap();
    installed(&world);
}
