//! A disk that is full, at any step of a change.

use std::fs;
use std::path::Path;
use std::process::Command;

use generations::Generation;
use sys::namespace::with_private_mounts;
use sys::{Filesystem, Limits, mount};

use crate::world::{Package, World, mkfs_between};
use crate::{BASE, LIBBASE, install};

/// Bytes that no compression makes smaller.
fn noise(length: usize) -> String {
    let mut chance = fastrand::Rng::with_seed(1);
    std::iter::repeat_with(|| chance.char(' '..'z')).take(length).collect()
}

/// A host, a package of 200 kB that it could install, and an edited file.
fn small_world() -> World {
    let world = World::new(&[BASE, LIBBASE]);
    let noise = noise(200_000);
    let git: Package<'_> = ("git", "2-1+0preon1", "", &[("usr/bin/git", &noise)]);
    world.publish(&[git]);
    let own = world.on_host(generations::DATA).join("etc/upper/own");
    base::file::replace(&own, b"mine").unwrap();
    world
}

/// Does `work` while the host lies on a disk of its own of 4 MB; what it does to the host is gone afterwards.
fn on_a_small_disk(world: &World, work: impl FnOnce() + Send) {
    let (host, disk) = (world.path("host"), world.path("disk"));
    fs::create_dir_all(&disk).unwrap();
    with_private_mounts(|| {
        Filesystem::new("tmpfs").option("size", "4m").mount(&disk).unwrap();
        let all = [&host.join("."), &disk];
        assert!(Command::new("cp").arg("-a").args(all).status().unwrap().success());
        mount::bind(&disk, &host, Limits::NONE).unwrap();
        work();
    });
}

/// Fills the disk until `spare` bytes are left.
fn fill(path: &Path, spare: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs::File::create(path).unwrap();
    while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(spare)).unwrap();
}

/// Makes the change, which may fail; if it does, the host is as it was, and once there is room it is made.
fn survives(world: &World, ballast: &Path, case: &str) -> bool {
    let before = world.everything();
    let failed = match world.change("install git", install("git")) {
        Ok(outcome) => {
            assert_eq!(outcome.generation, Some(2));
            false
        }
        Err(error) => {
            assert!(error.contains("hint: free space on the disk that holds"), "{case}: {error}");
            assert!(
                world.everything() == before,
                "{case}: a full disk has changed the host: {error}"
            );
            fs::remove_file(ballast).unwrap();
            assert_eq!(
                world.change("again", install("git")).unwrap().generation,
                Some(2),
                "{case}"
            );
            true
        }
    };
    assert_eq!(world.store().wanted().unwrap().generation, Generation(2));
    world.store().check(Generation(2)).unwrap();
    failed
}

#[test]
fn a_disk_that_is_full_before_a_change_leaves_the_host_as_it_was() {
    let world = small_world();
    let ballast = world.on_host("/var/cache/preon/ballast");
    let mut failed = 0;
    let cases =
        [0, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 200, 400, 500, 600, 800, 1200, 2000];
    for spare in cases {
        on_a_small_disk(&world, || {
            fill(&ballast, spare * 1024);
            failed += usize::from(survives(&world, &ballast, &format!("{spare} kB")));
        });
    }
    assert!((10..cases.len()).contains(&failed), "the disk was full {failed} times");
}

#[test]
fn a_disk_that_fills_up_while_a_layer_is_made_leaves_the_host_as_it_was() {
    let mut world = small_world();
    let ballast = world.on_host("/var/cache/preon/ballast");
    // Once: when the change is made again, there is a mark.
    let fill = |spare: u64| {
        format!(
            "test -e '{0}.done' || {{ dd if=/dev/zero of='{0}' bs=4096 status=none 2>/dev/null\n\
             truncate -s -{1} '{0}'; : >'{0}.done'; }}",
            ballast.display(),
            spare * 1024,
        )
    };
    let (mut failed, mut made) = (0, 0);
    // Before the layer is written, of which there is room for a part; and after that, with room for a few blocks.
    let before =
        [0, 4, 64, 128, 208, 224, 320, 480].map(|spare| (fill(spare), String::new(), spare));
    let after = [0, 4, 8, 12, 16, 24, 64, 128].map(|spare| (String::new(), fill(spare), spare));
    for (first, then, spare) in before.into_iter().chain(after) {
        world.mkfs = mkfs_between(&first, &format!("{then}\nexit 0"));
        on_a_small_disk(&world, || {
            let case = format!("{spare} kB, {}", if first.is_empty() { "after" } else { "before" });
            if survives(&world, &ballast, &case) { failed += 1 } else { made += 1 }
        });
    }
    assert!(failed >= 6 && made >= 2, "full {failed} times, made {made} times");
}
