//! A host that cannot boot because layers are damaged waits for somebody to bring them: on any disk, in a folder
//! `layers`, as an image has them. Nothing has to be trusted there: the digests say what belongs in the store.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::Failure;
use base::file::{self, FileError};
use generations::check::{Damage, Damaged};
use generations::{Store, StoreError};
use sys::{Filesystem, Limits, block, mount};

use crate::log;

/// How often somebody may have brought a disk.
const POLL: Duration = Duration::from_secs(2);
/// The filesystems that are tried.
const FILESYSTEMS: [&str; 3] = ["ext4", "vfat", "erofs"];
/// Where the layers may lie on a disk: an image's folder, a store.
const FOLDERS: [&str; 3] = ["layers", "preon/layers", ""];
/// Where disks are looked at.
const LOOK: &str = "/rescue";

/// Waits until every damaged file of the store has been replaced, and lets what is wanted boot again. Returns at once where
/// nothing is damaged: then this is no help. Manifests that cannot be read are named; nobody can bring these.
///
/// # Errors
///
/// If the store cannot be read or written.
pub(crate) fn wait(store: &Store) -> Result<bool, Failure> {
    let Damage { files: mut damaged, manifests } = store.damage()?;
    for error in &manifests {
        log::failure(&base::explain::render(error));
    }
    if damaged.is_empty() {
        return Ok(false);
    }
    log::failure(&request(&damaged));
    let mut known = BTreeSet::new();
    while !damaged.is_empty() {
        let devices = devices()?;
        // Each only once, or the kernel's word on each mount would hide ours.
        for device in devices.difference(&known) {
            if let Err(error) = look(store, device, &mut damaged) {
                log::warning(&base::explain::render(&*error));
            }
        }
        known = devices;
        std::thread::sleep(POLL);
    }
    want_again(store)?;
    Ok(true)
}

/// Lets what is wanted boot again, as if it were new; where its manifest cannot be read, what was good last, else the
/// newest.
fn want_again(store: &Store) -> Result<(), StoreError> {
    let wanted = store.wanted()?;
    let all = store.generations()?;
    let others = [wanted.good].into_iter().chain(all.into_iter().rev());
    match store.want(wanted.generation) {
        Err(error) => others.map(|it| store.want(it)).find(Result::is_ok).unwrap_or(Err(error)),
        done => done,
    }
}

/// What people are asked for.
fn request(damaged: &[Damaged]) -> String {
    let mut text = String::from("these files of the system are damaged:\n");
    for Damaged { layer, path, .. } in damaged {
        let name = path.file_name().unwrap_or_default().display();
        text.push_str(&format!("  {name} (layer {layer})\n"));
    }
    text + "hint: attach a disk (ext4, FAT) that has them in a folder `layers`, such as that of the image; \
            the host goes on by itself"
}

/// Everything that may hold a filesystem.
fn devices() -> Result<BTreeSet<PathBuf>, FileError> {
    let list = Path::new(block::LIST);
    let mut names = block::disks(list)?;
    for disk in names.clone() {
        let entries = fs::read_dir(list.join(&disk)).into_iter().flatten().flatten();
        let below = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.extend(below.filter(|name| name.starts_with(&disk)));
    }
    Ok(names.iter().map(|name| Path::new("/dev").join(name)).collect())
}

/// Takes from a device what it has of the damaged files. One that holds no filesystem, or is in use, has none.
fn look(store: &Store, device: &Path, damaged: &mut Vec<Damaged>) -> Result<(), Failure> {
    let target = Path::new(LOOK);
    file::create_dir_all(target)?;
    let limits = Limits { read_only: true, no_programs: true, ..Limits::DATA };
    let mounts =
        |kind: &&str| Filesystem::new(kind).on(device).limits(limits).mount(target).is_ok();
    if !FILESYSTEMS.iter().any(mounts) {
        return Ok(());
    }
    for folder in FOLDERS {
        take(store, &target.join(folder), damaged);
    }
    Ok(mount::unmount(target)?)
}

/// Restores those of the damaged files that the folder has.
fn take(store: &Store, folder: &Path, damaged: &mut Vec<Damaged>) {
    damaged.retain(|file| {
        let Some(name) = file.path.file_name() else { return true };
        let from = folder.join(name);
        if from == file.path || !from.exists() {
            return true;
        }
        match store.restore(file, &from) {
            Ok(()) => {
                log::info(&format!("{} is restored", name.display()));
                false
            }
            Err(error) => {
                log::warning(&base::explain::render(&error));
                true
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use base::Digest;
    use generations::Generation;

    use super::*;
    use crate::sample;

    #[test]
    fn what_is_damaged_is_asked_for_and_taken_from_whoever_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("store")).unwrap();
        let file = |name: &str, text: &[u8]| Damaged {
            layer: "base".into(),
            path: dir.path().join("store/layers").join(name),
            bytes: text.len() as u64,
            digest: Digest::of(text),
        };
        let mut damaged = vec![file("a.erofs", b"a"), file("b.erofs", b"b"), file("c.erofs", b"c")];
        let text = request(&damaged);
        assert!(text.contains("\n  a.erofs (layer base)\n"), "{text}");
        let brought = dir.path().join("brought");
        for (name, text) in [("a.erofs", "a"), ("b.erofs", "damaged, too")] {
            file::replace(&brought.join(name), text.as_bytes()).unwrap();
        }
        take(&store, &brought, &mut damaged);
        let names: Vec<_> = damaged.iter().filter_map(|it| it.path.file_name()).collect();
        assert_eq!(names, ["b.erofs", "c.erofs"]);
        assert_eq!(file::read_text(&dir.path().join("store/layers/a.erofs")).unwrap(), "a");
    }

    #[test]
    fn what_boots_after_a_rescue_is_what_was_wanted_or_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("store")).unwrap();
        let path = |number| dir.path().join(format!("store/generations/{number}/manifest.json"));
        for number in 1..=3 {
            file::replace(&path(number), sample::manifest().to_json().as_bytes()).unwrap();
        }
        let after = || {
            want_again(&store).unwrap();
            store.wanted().unwrap().generation
        };
        store.want(Generation(2)).unwrap();
        assert_eq!(after(), Generation(2));
        file::replace(&path(2), b"{").unwrap();
        assert_eq!(after(), Generation(3));
        store.want(Generation(1)).unwrap();
        store.bless(Generation(1)).unwrap();
        store.want(Generation(3)).unwrap();
        file::replace(&path(3), b"{").unwrap();
        assert_eq!(after(), Generation(1));
        store.want(Generation(1)).unwrap();
        file::replace(&path(1), b"{").unwrap();
        assert!(
            want_again(&store).unwrap_err().to_string().contains("generations/1/manifest.json")
        );
    }
}
