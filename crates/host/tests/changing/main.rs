//! Hosts change: from a signed repository to the next generation, for real but for mkfs.erofs and the kernel.

#![allow(missing_docs, unreachable_pub)]

mod asking;
mod bundle;
mod etc;
mod flavours;
mod full;
mod housekeeping;
mod kernels;
mod mirrors;
mod pc;
mod sequences;
#[path = "../../../packages/tests/archive/server.rs"]
#[allow(dead_code)]
mod server;
mod silent;
mod tls;
mod waiting;
mod world;
mod wrong;

use std::fs;

use host::activate::Activation;
use host::transaction::{Reboot, Stays};
use packages::change::{Selector, Wish};
use world::{Package, World};

const BASE: Package<'_> = (
    "base",
    "1-1+0preon1",
    "Depends: libbase\n",
    &[("usr/bin/base", "1"), ("usr/lib/sysusers.d/base.conf", "u root 0 - /root /bin/sh\n")],
);
const LIBBASE: Package<'_> = ("libbase", "1-1+0preon1", "", &[("usr/lib/libbase", "1")]);
const GIT: Package<'_> = (
    "git",
    "2-1+0preon1",
    "Depends: libgit\n",
    &[("usr/bin/git", "git"), ("usr/share/preon/etc/gitconfig", "x")],
);
const LIBGIT: Package<'_> = ("libgit", "1-1+0preon1", "", &[("usr/lib/libgit", "lib")]);
const BASE_2: Package<'_> = (
    "base",
    "2-1+0preon1",
    "Depends: libbase\nPreon-Fixes:\n 2-1 - CVE-2026-0001\n",
    &[("usr/bin/base", "2"), ("usr/lib/sysusers.d/base.conf", "u root 0 - /root /bin/sh\n")],
);

fn world() -> World {
    let world = World::new(&[BASE, LIBBASE]);
    world.publish(&[BASE, LIBBASE, GIT, LIBGIT]);
    world
}

fn install(name: &str) -> Wish {
    Wish::Install(vec![name.parse::<Selector>().unwrap()])
}

fn remove(name: &str) -> Wish {
    Wish::Remove { names: vec![name.parse().unwrap()], cascade: false }
}

fn upgrade(security: bool) -> Wish {
    Wish::Upgrade { names: Vec::new(), security }
}

#[test]
fn what_is_installed_comes_in_one_layer_and_what_is_removed_goes_with_what_only_it_needed() {
    let world = world();
    let outcome = world.change("install git", install("git")).unwrap();
    assert_eq!((outcome.generation, outcome.activation), (Some(2), Activation::NextBoot));
    assert_eq!(
        world.packages(2),
        [
            "*base 1-1+0preon1 base",
            "*git 2-1+0preon1 delta",
            "libbase 1-1+0preon1 base",
            "libgit 1-1+0preon1 delta"
        ]
    );
    let manifest = world.store().manifest(generations::Generation(2)).unwrap();
    assert_eq!(manifest.layers.len(), 2);
    assert_eq!(manifest.change.unwrap().asked, "install git");
    world.boot();
    assert_eq!(fs::read_to_string(world.on_host("/usr/bin/git")).unwrap(), "git");
    assert_eq!(fs::read_to_string(world.on_host("/usr/bin/base")).unwrap(), "1");

    world.change("remove git", remove("git")).unwrap();
    assert_eq!(world.packages(3), ["*base 1-1+0preon1 base", "libbase 1-1+0preon1 base"]);
    world.boot();
    for path in ["/usr/bin/git", "/usr/lib/libgit", "/usr/share/preon/etc/gitconfig"] {
        assert!(!world.on_host(path).exists(), "{path}");
    }
    let status = fs::read_to_string(world.on_host("/usr/lib/preon/dpkg/status")).unwrap();
    assert!(!status.contains("Package: git"), "{status}");
}

#[test]
fn an_upgrade_takes_the_new_version_and_tells_which_flaws_it_closes() {
    let world = world();
    world.publish(&[BASE_2, LIBBASE, ("libbase", "2-1+0preon1", "", &[("usr/lib/libbase", "2")])]);
    let before = world.everything();
    let told = world.would(upgrade(true));
    let closes: Vec<_> = told.closes.iter().map(String::as_str).collect();
    assert_eq!(closes, ["CVE-2026-0001"]);
    assert!(world.everything() == before, "a dry run has changed the host");

    world.change("upgrade --security", upgrade(true)).unwrap();
    assert_eq!(world.packages(2), ["*base 2-1+0preon1 delta", "libbase 1-1+0preon1 base"]);
    world.boot();
    assert_eq!(fs::read_to_string(world.on_host("/usr/bin/base")).unwrap(), "2");
    world.change("upgrade", upgrade(false)).unwrap();
    assert!(world.packages(3).contains(&"libbase 2-1+0preon1 delta".into()));
    world.boot();
    let nothing = world.change("upgrade", upgrade(false)).unwrap();
    assert_eq!((nothing.generation, nothing.activation), (None, Activation::None));
}

#[test]
fn a_pin_holds_a_version_and_costs_no_layer() {
    let world = world();
    let pin = Wish::Pin { name: "base".parse().unwrap(), version: None };
    assert_eq!(world.change("pin base", pin).unwrap().generation, Some(2));
    assert_eq!(world.store().manifest(generations::Generation(2)).unwrap().layers.len(), 1);
    world.boot();
    world.publish(&[BASE_2, LIBBASE]);
    let outcome = world.change("upgrade", upgrade(false)).unwrap();
    assert_eq!(outcome.generation, None);
    let held = &outcome.transaction.held[0];
    assert_eq!((held.name.as_str(), held.why), ("base", Stays::Pinned));
    world.change("unpin base", Wish::Unpin("base".parse().unwrap())).unwrap();
    world.boot();
    world.change("upgrade", upgrade(false)).unwrap();
    assert!(world.packages(4).contains(&"*base 2-1+0preon1 delta".into()));
}

#[test]
fn what_cannot_be_done_is_explained_and_nothing_changes() {
    let world = world();
    let before = world.everything();
    #[rustfmt::skip]
    let cases = [
        ("install nonesuch", install("nonesuch"), "nonesuch"),
        ("install gti",      install("gti"),      "hint: did you mean git?"),
        ("remove git",       remove("git"),       "git is not installed"),
        ("remove libbase",   remove("libbase"),   "base"),
    ];
    for (words, wish, why) in cases {
        let error = world.change(words, wish).unwrap_err();
        assert!(error.contains(why), "{words}: {error}");
    }
    assert!(world.everything() == before, "a refused wish has changed the host");
}

#[test]
fn a_swapped_package_and_packages_that_disagree_leave_the_host_as_it_was() {
    let world = World::new(&[BASE, LIBBASE]);
    let thief = ("thief", "1-1+0preon1", "", &[("usr/bin/base", "stolen")][..]);
    world.publish(&[BASE, LIBBASE, GIT, LIBGIT, thief]);
    let before = world.everything();
    let error = world.change("install thief", install("thief")).unwrap_err();
    assert!(error.contains("/usr/bin/base is in the package"), "{error}");

    // The bytes of another package, under the name of the one that is signed.
    let targets = world.path("repository/targets");
    let file = |name: &str| {
        let mut files = targets.read_dir().unwrap().map(|it| it.unwrap().path());
        files.find(|it| it.to_str().unwrap().contains(name)).unwrap()
    };
    let (git, lib) = (file(".git_"), file(".libgit_"));
    let bytes = fs::read(&lib).unwrap();
    fs::remove_file(&git).unwrap();
    fs::write(&git, bytes).unwrap();
    let error = world.change("install git", install("git")).unwrap_err();
    assert!(error.contains("git_2-1+0preon1_amd64.deb"), "{error}");
    assert!(world.everything() == before, "a refused package has changed the host");
}

#[test]
fn one_change_at_a_time_and_none_over_what_waits_for_a_boot() {
    let world = world();
    let lock = world.store().lock().unwrap();
    let error = world.change("install git", install("git")).unwrap_err();
    assert!(error.contains("hint: "), "{error}");
    drop(lock);
    world.change("install git", install("git")).unwrap();
    let error = world.change("remove git", remove("git")).unwrap_err();
    assert!(error.contains("generation 2 boots next, but generation 1 runs"), "{error}");
    assert!(error.contains("preon rollback 1"), "{error}");
}

#[test]
fn without_a_repository_or_with_one_that_lies_nothing_changes() {
    let world = world();
    let before = world.everything();
    let index = world.path("repository/dists/preon-trixie/tuf/timestamp.json");
    let good = fs::read(&index).unwrap();
    fs::write(&index, "<html>").unwrap();
    let error = world.change("install git", install("git")).unwrap_err();
    assert!(error.contains("hint: "), "{error}");
    fs::write(&index, good).unwrap();
    fs::remove_dir_all(world.path("repository")).unwrap();
    world.change("install git", install("git")).unwrap_err();
    assert!(world.everything() == before, "an unbelievable repository has changed the host");
}

#[test]
fn a_change_tells_which_services_run_from_what_it_replaces() {
    let unit = "[Service]\nExecStart=/usr/bin/script\n";
    let service =
        ("service", "1-1+0preon1", "", &[("usr/lib/systemd/system/own@.service", unit)][..]);
    let script = ("script", "1-1+0preon1", "", &[("usr/bin/script", "script")][..]);
    let world = World::new(&[BASE, LIBBASE, service, script]);
    let newer = ["base", "libbase", "script", "service"].map(|name| -> Package<'_> {
        let (_, _, fields, files) =
            [BASE, LIBBASE, script, service].into_iter().find(|it| it.0 == name).unwrap();
        (name, "2-1+0preon1", fields, files)
    });
    world.publish(&[newer[0], newer[1], newer[2], newer[3], GIT, LIBGIT]);
    let write = |path: &str, text: &str| {
        base::file::replace(&world.on_host(path), text.as_bytes()).unwrap();
    };
    write("/sys/fs/cgroup/system.slice/lib.service/cgroup.procs", "7\n");
    write("/sys/fs/cgroup/system.slice/nested.service/deep/cgroup.procs", "8\n");
    write("/sys/fs/cgroup/system.slice/own.slice/own@1.service/cgroup.procs", "9\n");
    write("/sys/fs/cgroup/system.slice/other.service/cgroup.procs", "10\n");
    write("/proc/7/maps", "7f00-7f01 r-xp 00000000 fd:01 42    /usr/lib/libbase\n");
    write("/proc/8/maps", "7f00-7f01 r-xp 00000000 fd:01 43    /bin/base\n"); // stacked anew since
    write("/proc/9/maps", "7f00-7f01 rw-p 00000000 00:00 0\n");
    write("/proc/10/maps", "7f00-7f01 r-xp 00000000 fd:01 44    /usr/lib/libbase.other\n");
    let told = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| name.parse().unwrap()).collect();
        let wish = Wish::Upgrade { names, security: false };
        let transaction = world.would(wish);
        (transaction.restarts.join(" "), transaction.reboot)
    };
    assert_eq!(told(&["libbase"]), ("lib.service".into(), Reboot::Soft));
    assert_eq!(told(&["base"]).0, "nested.service");
    assert_eq!(told(&["service"]).0, "own@1.service");
    assert_eq!(told(&["script"]).0, "own@1.service");
    assert_eq!(told(&[]).0, "lib.service nested.service own@1.service");
    let transaction = world.would(install("git"));
    assert_eq!((transaction.restarts.len(), transaction.reboot), (0, Reboot::None));
}
