//! Another generation at `/usr` of the running host, at once: for those that only add to what runs.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base::Digest;
use base::file::FileError;
use formats::manifest::{Layer, Manifest};
use sys::mount::Detached;
use sys::{Mapper, mount};

use super::layer::{self, OpenLayer};
use super::{Cause, StackError, overlay};
use crate::store::Store;

/// Where a layer is mounted by itself below `run`, if it is.
pub fn place(layer: &Layer, run: &Path) -> PathBuf {
    OpenLayer::named(layer, run).mounted
}

/// Shows the generation of `manifest` at `usr` instead of the one that is seen there. Layers that are mounted below
/// `run` already are used again; those that it does not have are mounted no more.
///
/// Programs that run keep the files that they have open.
///
/// # Errors
///
/// [`StackError`]; what was seen before is still seen then, and no layer is mounted that was not before.
pub fn restack(
    store: &Store,
    manifest: &Manifest,
    run: &Path,
    usr: &Path,
) -> Result<(), StackError> {
    let other = |cause: Cause| StackError::Other(Box::new(cause));
    let paths: Vec<PathBuf> = manifest.layers.iter().map(|layer| place(layer, run)).collect();
    let before = mounted(run).map_err(|error| other(error.into()))?;
    let done = open(store, manifest, run).and_then(|()| show(&paths, usr).map_err(other));
    let keep = if done.is_ok() { paths.into_iter().collect() } else { before };
    forget(run, &keep).map_err(|error| other(error.into())).and(done)
}

/// Mounts the layers of `manifest` below `run`, those that are not.
///
/// # Errors
///
/// [`StackError`]; those that could be mounted stay so.
pub fn open(store: &Store, manifest: &Manifest, run: &Path) -> Result<(), StackError> {
    let mapper = Mapper::open().map_err(|error| StackError::Other(Box::new(error.into())))?;
    for layer in &manifest.layers {
        OpenLayer::mount(&mapper, store, layer, run)?;
    }
    Ok(())
}

/// Unmounts all layers below `run` that `manifest` does not name. Who still uses one of them keeps it until then.
///
/// # Errors
///
/// [`FileError`]; those that are left are tried again by the next one who calls this.
pub fn close_others(manifest: &Manifest, run: &Path) -> Result<(), FileError> {
    forget(run, &manifest.layers.iter().map(|layer| place(layer, run)).collect())
}

/// Some of the layers that are mounted, stacked by themselves: for looking at, until it is dropped.
#[derive(Debug)]
pub struct View {
    folder: PathBuf,
    mounted: bool,
}

/// Where several layers are looked at.
const VIEW: &str = "view";

impl View {
    /// Stacks these layers, lowest first, which are mounted below `run` already.
    ///
    /// # Errors
    ///
    /// [`StackError::Other`] if one of them is not there, or they cannot be mounted.
    pub fn of(layers: &[Layer], run: &Path) -> Result<Self, StackError> {
        let paths: Vec<PathBuf> = layers.iter().map(|layer| place(layer, run)).collect();
        Self::stack(&paths, &run.join(VIEW)).map_err(|cause| StackError::Other(Box::new(cause)))
    }

    fn stack(layers: &[PathBuf], target: &Path) -> Result<Self, Cause> {
        let layers: Vec<&Path> = layers.iter().map(PathBuf::as_path).collect();
        if let [only] = layers[..] {
            only.metadata().map_err(FileError::at("read", only))?;
            return Ok(Self { folder: only.to_owned(), mounted: false });
        }
        super::folder(target, 0o700)?;
        if mount::is_mounted(target)? {
            mount::detach(target)?; // of somebody who was killed
        }
        overlay(&layers).mount(target)?;
        Ok(Self { folder: target.to_owned(), mounted: true })
    }

    /// The folder in which they are seen.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if self.mounted {
            // It harms nobody, and who looks next detaches it.
            let _ = mount::detach(&self.folder);
            let _ = std::fs::remove_dir(&self.folder);
        }
    }
}

/// The layers that are mounted below `run`, by the digest that names them in the store; none where nothing is.
///
/// # Errors
///
/// [`FileError`] naming the folder.
pub fn in_use(run: &Path) -> Result<BTreeSet<Digest>, FileError> {
    let digest = |path: PathBuf| path.file_name()?.to_str()?.parse().ok();
    Ok(mounted(run)?.into_iter().filter_map(digest).collect())
}

/// Shows mounted layers, lowest first, instead of what is mounted at `usr`.
fn show(layers: &[PathBuf], usr: &Path) -> Result<(), Cause> {
    let layers: Vec<&Path> = layers.iter().map(PathBuf::as_path).collect();
    let next = match layers[..] {
        [only] => Detached::copy_of(only, usr)?,
        _ => overlay(&layers).detached(usr)?,
    };
    Ok(next.replace()?)
}

/// The layers that are mounted below `run`.
fn mounted(run: &Path) -> Result<BTreeSet<PathBuf>, FileError> {
    let folder = run.join(layer::FOLDER);
    let mut found = BTreeSet::new();
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
        entries => entries.map_err(FileError::at("read", &folder))?,
    };
    for entry in entries {
        let path = entry.map_err(FileError::at("read", &folder))?.path();
        if mount::is_mounted(&path)? {
            found.insert(path);
        }
    }
    Ok(found)
}

/// Unmounts all layers below `run` but these. Who still uses one of them keeps it until then; its devices go away
/// with it.
fn forget(run: &Path, keep: &BTreeSet<PathBuf>) -> Result<(), FileError> {
    for path in mounted(run)?.difference(keep) {
        mount::detach(path)?;
        std::fs::remove_dir(path).map_err(FileError::at("remove", path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use sys::namespace::with_private_mounts;

    use super::super::tests::Host;
    use super::*;

    /// A host that shows these layers.
    fn host(layers: &[&str]) -> (Host, PathBuf) {
        let host = Host::new();
        let all = layers.iter().map(|name| host.mounted_layer(name)).collect::<Vec<_>>();
        let all: Vec<_> = all.iter().map(PathBuf::as_path).collect();
        let usr = host.root.join("usr");
        super::super::mount_usr(&all, &usr).unwrap();
        (host, usr)
    }

    fn count() -> usize {
        fs::read_to_string("/proc/thread-self/mountinfo").unwrap().lines().count()
    }

    #[test]
    fn ten_additions_in_a_row_leave_one_mount_each_and_open_files_keep_working() {
        with_private_mounts(|| {
            let (host, usr) = host(&["base"]);
            let mut open = fs::File::open(usr.join("bin/base")).unwrap();
            let mut layers = vec![host.run.join("layers/base")];
            let before = count();
            for number in 1..=10 {
                layers.push(host.mounted_layer(&format!("delta{number}")));
                show(&layers, &usr).unwrap();
                assert!(usr.join(format!("bin/delta{number}")).exists());
                assert!(usr.join("bin/base").exists());
                assert_eq!(count(), before + number, "only the layer itself is one more");
            }
            let mut text = String::new();
            std::io::Read::read_to_string(&mut open, &mut text).unwrap();
            assert_eq!(text, "base");
            let refused = fs::write(usr.join("bin/x"), "x").unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ReadOnlyFilesystem);
        });
    }

    #[test]
    fn a_single_layer_takes_the_place_of_several_and_the_others_are_forgotten() {
        with_private_mounts(|| {
            let (host, usr) = host(&["base", "delta"]);
            let base = host.run.join("layers/base");
            let before = count();
            show(std::slice::from_ref(&base), &usr).unwrap();
            assert!(usr.join("bin/base").exists() && !usr.join("bin/delta").exists());
            forget(&host.run, &[base.clone()].into()).unwrap();
            assert_eq!(mounted(&host.run).unwrap(), [base].into());
            assert!(!host.run.join("layers/delta").exists());
            assert_eq!(count(), before - 1);
        });
    }

    #[test]
    fn several_layers_are_looked_at_by_themselves_and_one_where_it_is() {
        with_private_mounts(|| {
            let (host, _) = host(&["base", "image", "delta"]);
            let place = |name: &str| host.run.join("layers").join(name);
            let before = count();
            let view = View::stack(&[place("base"), place("image")], &host.run.join(VIEW)).unwrap();
            assert!(
                view.folder().join("bin/base").exists() && view.folder().join("bin/image").exists()
            );
            assert!(!view.folder().join("bin/delta").exists());
            assert_eq!(count(), before + 1);
            std::mem::forget(view); // killed
            let view = View::stack(&[place("base"), place("image")], &host.run.join(VIEW)).unwrap();
            assert_eq!(count(), before + 1, "what a killed one left is used no more");
            drop(view);
            assert_eq!(count(), before);
            let view = View::stack(&[place("base")], &host.run.join(VIEW)).unwrap();
            assert_eq!((view.folder(), count()), (place("base").as_path(), before));
            View::stack(&[place("missing")], &host.run.join(VIEW)).unwrap_err();
        });
    }

    #[test]
    fn layers_that_are_mounted_are_in_use() {
        with_private_mounts(|| {
            let digest = Digest::of(b"layer");
            let (host, _) = host(&["base", &digest.to_string()]);
            fs::create_dir(host.run.join("layers").join(Digest::of(b"other").to_string())).unwrap();
            assert_eq!(in_use(&host.run).unwrap(), [digest].into());
            assert!(in_use(&host.run.join("nowhere")).unwrap().is_empty());
        });
    }

    #[test]
    fn what_cannot_be_stacked_leaves_what_is_seen() {
        with_private_mounts(|| {
            let (host, usr) = host(&["base"]);
            let before = count();
            let layers = [host.run.join("layers/base"), host.run.join("layers/missing")];
            show(&layers, &usr).unwrap_err();
            assert_eq!(count(), before);
            assert!(usr.join("bin/base").exists());
        });
    }
}
