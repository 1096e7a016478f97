//! The root that a soft reboot goes on with.

use std::path::Path;

use base::file;
use formats::manifest::Manifest;
use sys::{Limits, mount};

use super::{Cause, Places, Stack, StackError, USR, root};
use crate::store::Store;

/// Where systemd looks for it. Source: systemd-soft-reboot.service(8).
pub const ROOT: &str = "/run/nextroot";

/// Mounts a generation at `places.root`, in place of one that was made there before. Layers that are mounted are used
/// again.
///
/// The `/etc` that is seen and the one that is made here share their upper side: nobody but systemd may run any more.
///
/// # Errors
///
/// [`StackError`]; nothing is mounted there then.
pub fn make(store: &Store, manifest: &Manifest, places: Places<'_>) -> Result<Stack, StackError> {
    let other = |cause: Cause| StackError::Other(Box::new(cause));
    clear(places.root).map_err(other)?;
    root::make(places.root).map_err(other)?;
    let made = Stack::mount(store, manifest, places).and_then(|stack| {
        let layers: Vec<&Path> = stack.layers.iter().map(|layer| layer.mounted.as_path()).collect();
        carry_over(&layers, places).map_err(other)?;
        Ok(stack)
    });
    if made.is_err() {
        // Why it could not be made says more than why what there is of it stays.
        let _ = mount::detach(places.root);
    }
    made
}

/// Shows `/run` in the new root, with what of ours is mounted there. systemd would show it without any mount in it; where
/// it finds one, it does nothing.
fn carry_over(layers: &[&Path], places: Places<'_>) -> Result<(), Cause> {
    let run = places.run.parent().unwrap_or(places.run);
    let target = places.root.join("run");
    mount::bind(run, &target, Limits::DATA)?;
    mount::make_private(&target)?; // or what is mounted below would show up in the /run that is seen, too
    let carry = |path: &Path, limits| {
        let within = path.strip_prefix(run).map_or_else(|_| target.clone(), |it| target.join(it));
        mount::bind(path, &within, limits)
    };
    carry(places.data, Limits { no_programs: true, ..Limits::DATA })?;
    layers.iter().try_for_each(|layer| carry(layer, USR))?;
    Ok(())
}

/// An empty folder.
fn clear(target: &Path) -> Result<(), Cause> {
    file::create_dir_all(target)?;
    while mount::is_mounted(target)? {
        mount::detach(target)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use sys::namespace::with_private_mounts;

    use super::super::tests::Host;
    use super::*;

    #[test]
    fn the_next_root_has_the_store_and_its_layers_and_run_itself_has_no_mount_more() {
        with_private_mounts(|| {
            let host = Host::new();
            let layer = host.mounted_layer("base");
            let places = host.places();
            sys::Filesystem::new("tmpfs").mount(places.data).unwrap();
            fs::write(places.data.join("state"), "kept").unwrap();
            carry_over(&[&layer], places).unwrap();
            let run = places.root.join("run").join(places.run.file_name().unwrap());
            let within = |path: &str| fs::read_to_string(run.join(path)).unwrap();
            assert_eq!(within("layers/base/bin/base"), "base");
            assert_eq!(within("../data/state"), "kept");
            let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
            let data = format!(" {} ", places.data.display());
            assert_eq!(mounts.lines().filter(|line| line.contains(&data)).count(), 1);
        });
    }

    #[test]
    fn what_was_made_before_is_thrown_away() {
        with_private_mounts(|| {
            let dir = tempfile::tempdir().unwrap();
            let target = dir.path().join("nextroot");
            for _ in 0..2 {
                clear(&target).unwrap();
                root::make(&target).unwrap();
            }
            clear(&target).unwrap();
            assert!(!mount::is_mounted(&target).unwrap());
            assert!(target.is_dir());
        });
    }
}
