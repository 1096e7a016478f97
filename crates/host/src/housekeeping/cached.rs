//! What was fetched and is of no use any more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base::{Digest, Failure, file};
use generations::Generation;

use crate::Host;
use crate::repositories::Repositories;

/// The files of the cache that neither these generations nor what the last refresh found names, and what fetching that was
/// given up has left.
pub(super) fn unneeded(host: &Host, keep: &BTreeSet<Generation>) -> Result<Vec<PathBuf>, Failure> {
    let repositories = Repositories(&host.root);
    let cache = repositories.cache();
    let files = cache.files()?;
    let digests: BTreeSet<Digest> = files.keys().copied().collect();
    let mut needed = repositories.known(&digests)?;
    for generation in keep {
        let manifest = host.store.manifest(*generation)?;
        needed.extend(manifest.packages.iter().map(|package| package.deb));
    }
    let unneeded = files.into_iter().filter(|(digest, _)| !needed.contains(digest));
    let given_up = cache.unfinished()?.into_iter().filter(|path| !is_at_work(path));
    Ok(unneeded.map(|(_, path)| path).chain(given_up).collect())
}

/// Whether somebody is at this file: by its lock, or because the process that makes it (`.NAME.PROCESS-NUMBER.part`) is still
/// there.
fn is_at_work(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let made_by = name.rsplit('.').nth(1).and_then(|made| made.split_once('-'));
    made_by.is_some_and(|(process, _)| Path::new("/proc").join(process).exists())
        || file::is_gone_on_with(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_a_living_process_makes_is_left_alone() {
        let name = |process: u32| format!("/cache/.abc.{process}-3.part");
        assert!(is_at_work(Path::new(&name(std::process::id()))));
        assert!(!is_at_work(Path::new(&name(u32::MAX))), "no process has this number");
        assert!(!is_at_work(Path::new("/cache/.part")));
    }
}
