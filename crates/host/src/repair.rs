//! Layers that were damaged on the disk, fetched again by their digests: whoever has the bytes will do.

use std::fs;
use std::path::Path;

use base::progress::Progress;
use base::{Explain, Failure, explain};
use generations::check::{Damage, Damaged};
use packages::fetch::{FetchError, Fetcher, Wanted};
use serde::Serialize;

use crate::Host;
use crate::repositories::Repositories;

/// What was damaged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Files that are whole again, with the layer that each belongs to.
    pub restored: Vec<File>,
    /// Files that nobody had.
    pub missing: Vec<File>,
    /// Why manifests cannot be read: what their generations' layers are nobody knows.
    pub manifests: Vec<String>,
}

/// A file of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct File {
    /// The layer's name.
    pub layer: String,
    /// The file's name.
    pub name: String,
}

/// A place that layers cannot come from.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither a folder nor a URI")]
pub struct BadPlace(String);

impl Explain for BadPlace {
    fn hint(&self) -> Option<String> {
        Some("give a folder with files `DIGEST.erofs`, or a URI of one".into())
    }
}

/// Reads all layers, and replaces what is damaged by what one of these places has, or a mirror of the host's
/// repositories: `PLACE/NAME` or `PLACE/layers/NAME`, by the name that the file has in the store.
///
/// # Errors
///
/// If the store cannot be read, or a place is none. That nobody has a file is no error here, nor that a manifest cannot be
/// read.
pub fn repair(
    host: &Host,
    places: &[String],
    progress: &dyn Progress,
) -> Result<Repaired, Failure> {
    let _lock = host.store.lock()?;
    let repositories = Repositories(&host.root);
    let mut from = places.iter().map(|place| uri(place)).collect::<Result<Vec<_>, _>>()?;
    let names = repositories.names()?;
    for name in &names {
        from.extend(repositories.configured(name)?.uris);
    }
    let fetcher = repositories.fetcher(&names, host.fetch.clone())?;
    let Damage { files, manifests } = host.store.damage()?;
    let manifests = manifests.iter().map(|error| explain::render(error)).collect();
    let mut repaired = Repaired { manifests, ..Repaired::default() };
    for damaged in files {
        let name = damaged.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = File { layer: damaged.layer.clone(), name: name.clone() };
        let uris =
            from.iter().flat_map(|it| [format!("{it}/{name}"), format!("{it}/layers/{name}")]);
        if restore(host, &damaged, (uris, &fetcher), progress)? {
            repaired.restored.push(file);
        } else {
            repaired.missing.push(file);
        }
    }
    Ok(repaired)
}

/// Where to fetch from.
fn uri(place: &str) -> Result<String, BadPlace> {
    let bad = || BadPlace(place.to_owned());
    if place.contains("://") {
        return Ok(place.trim_end_matches('/').to_owned());
    }
    let path = fs::canonicalize(Path::new(place)).map_err(|_| bad())?;
    Ok(format!("file://{}", path.to_str().ok_or_else(bad)?))
}

/// Whether one of the URIs had the file.
fn restore(
    host: &Host,
    damaged: &Damaged,
    (uris, fetcher): (impl Iterator<Item = String>, &Fetcher),
    progress: &dyn Progress,
) -> Result<bool, Failure> {
    for uri in uris {
        let wanted = Wanted { uri, size: damaged.bytes, digest: damaged.digest };
        match fetcher.fetch_all(std::slice::from_ref(&wanted), progress) {
            Ok(paths) => {
                for path in paths {
                    host.store.restore(damaged, &path)?;
                    // The cache is for packages; what stays of it only takes room.
                    let _ = fs::remove_file(path);
                }
                return Ok(true);
            }
            Err(FetchError::NotFound { .. }) => {} // one of two places, or somebody who does not have it
            Err(error) => progress.note(&explain::render(&error)),
        }
    }
    Ok(false)
}
