//! Publishing that is stopped at any point leaves what was there, and the next one works.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use base::progress::{Progress, Task, Unit};
use sys::mount::Filesystem;
use sys::namespace::with_private_mounts;

use crate::sample::{NOW, SUITE, Sample, deb, deb_with};

/// Kills its own process at the step with this number.
struct Fatal {
    at: u64,
    steps: &'static AtomicU64,
}

static STEPS: AtomicU64 = AtomicU64::new(0);

fn step(at: u64, steps: &AtomicU64) {
    if steps.fetch_add(1, Ordering::SeqCst) == at {
        let pid = std::process::id().to_string();
        Command::new("kill").args(["-KILL", &pid]).status().unwrap();
        loop {
            std::thread::park();
        }
    }
}

impl Progress for Fatal {
    fn begin(&self, _: &str, _: Option<u64>, _: Unit) -> Box<dyn Task> {
        step(self.at, self.steps);
        Box::new(Fatal { at: self.at, steps: self.steps })
    }

    fn note(&self, _: &str) {}
}

impl Task for Fatal {
    fn advance(&self, _: u64) {
        step(self.at, self.steps);
    }
}

/// Where the inner run publishes and when it dies: `FOLDER STEP`.
const INSIDE: &str = "PUBLISH_AND_DIE";

/// Not a test of its own: the process that is killed.
#[test]
fn inner_publisher() {
    let Ok(text) = std::env::var(INSIDE) else { return };
    let (keys, at) = text.rsplit_once(' ').unwrap();
    let folder = std::path::Path::new(keys).parent().unwrap().join("repository");
    let keys = packages::keys::Keys::open(keys.as_ref()).unwrap();
    let debs = folder.parent().unwrap().join("new");
    let debs: Vec<_> = debs.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    let (now, suite) = (NOW + 1, SUITE);
    let request =
        packages::publish::Request { folder: &folder, suite, debs: &debs, keys: &keys, now };
    let progress = Fatal { at: at.parse().unwrap(), steps: &STEPS };
    packages::publish::publish(&request, &progress).unwrap();
}

#[test]
fn a_publisher_that_is_killed_leaves_the_old_publication_and_the_next_one_works() {
    let sample = Sample::new();
    sample.publish(&[deb("a", "1")], NOW).unwrap();
    let shown = || packages::publish::show(&sample.folder(), SUITE, &sample.keys()).unwrap();
    for name in ["b", "c"] {
        base::file::replace(&sample.path("new").join(name), &deb(name, "1")).unwrap();
    }
    let mut killed = 0;
    for at in 0.. {
        let run = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "interrupted::inner_publisher"])
            .env(INSIDE, format!("{} {at}", sample.path("keys").display()))
            .output()
            .unwrap();
        if run.status.success() {
            break;
        }
        killed += 1;
        let after = shown();
        assert_eq!((after.version, after.packages.len()), (1, 1), "killed at step {at}");
        for package in &after.packages {
            assert!(sample.folder().join(&package.path).is_file());
        }
    }
    assert!(killed > 8, "only {killed} steps");
    assert_eq!((shown().version, shown().packages.len()), (2, 3));
    sample.assert_whole();
}

#[test]
fn what_an_interrupted_publication_left_is_removed_by_the_next() {
    let sample = Sample::new();
    sample.publish(&[deb("a", "1")], NOW).unwrap();
    let left = [
        "pool/main/x/x/x_1_amd64.deb",
        "pool/main/a/a/.a_2_amd64.deb.77-0.part",
        "targets/00.x_1_amd64.deb",
        "dists/.preon-trixie.77-1.part/InRelease",
        ".preon-archive-keyring.gpg.77-2.part",
    ];
    for path in left {
        base::file::replace(&sample.folder().join(path), b"half").unwrap();
    }
    sample.publish(&[], NOW).unwrap();
    for path in left {
        assert!(!sample.folder().join(path).exists(), "{path}");
    }
    assert!(!sample.folder().join("pool/main/x").exists());
    sample.assert_whole();
}

/// Bytes that no compression makes smaller.
fn noise(length: usize) -> String {
    let mut chance = fastrand::Rng::with_seed(1);
    std::iter::repeat_with(|| chance.char(' '..'z')).take(length).collect()
}

#[test]
fn a_full_disk_leaves_the_old_publication_and_the_next_one_works() {
    let sample = Sample::new();
    let disk = sample.folder();
    std::fs::create_dir_all(&disk).unwrap();
    let noise = noise(300_000);
    let large = deb_with("large", "1", "", &[("usr/share/noise", &noise)]);
    let failed = Mutex::new(0);
    // From room for nothing new to room for all but the last index.
    for spare in [0, 40, 200, 240, 280, 300, 320, 340] {
        with_private_mounts(|| {
            Filesystem::new("tmpfs").option("size", "8m").mount(&disk).unwrap();
            sample.publish(&[deb("a", "1")], NOW).unwrap();
            let before = sample.tree();
            let ballast = disk.join(".ballast");
            fill(&ballast, spare * 1024);
            match sample.publish(std::slice::from_ref(&large), NOW + 1) {
                Ok(_) => {}
                Err(error) => {
                    *failed.lock().unwrap() += 1;
                    let text = base::explain::render(&error);
                    assert!(text.contains("free space on the disk"), "{text}");
                    let mut after = sample.tree();
                    after.remove(".ballast");
                    let changed = before.iter().filter(|(path, it)| after.get(*path) != Some(*it));
                    assert_eq!(changed.map(|(path, _)| path).collect::<Vec<_>>(), [""; 0]);
                }
            }
            std::fs::remove_file(&ballast).unwrap();
            let published = sample.publish(std::slice::from_ref(&large), NOW + 2).unwrap();
            assert_eq!(published.packages, 2);
            sample.assert_whole();
        });
    }
    assert!(*failed.lock().unwrap() >= 4, "the disk was hardly ever full");
}

/// Fills the disk until `spare` bytes are left.
fn fill(path: &std::path::Path, spare: u64) {
    let mut file = std::fs::File::create(path).unwrap();
    let block = vec![1; 4096];
    while std::io::Write::write_all(&mut file, &block).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(spare)).unwrap();
}
