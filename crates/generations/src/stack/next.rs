//! The root that a soft reboot goes on with.

use std::path::Path;

use base::file;
use formats::manifest::Manifest;
use sys::mount;

use super::{Cause, Places, Stack, StackError, root};
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
    let stack = Stack::mount(store, manifest, places);
    if stack.is_err() {
        // Why it could not be made says more than why what there is of it stays.
        let _ = mount::detach(places.root);
    }
    stack
}

/// An empty folder.
fn clear(target: &Path) -> Result<(), Cause> {
    file::create_dir_all(target)?;
    while mount::is_mounted(target)? {
        mount::detach(target)?;
    }
    Ok(())
}
