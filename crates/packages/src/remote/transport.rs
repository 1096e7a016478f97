//! How `tough` gets its metadata: through our own fetching.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use tough::{Transport, TransportError, TransportErrorKind, TransportStream};
use url::Url;

use super::Refusal;
use crate::fetch::{FetchError, Fetcher};

/// The largest file of metadata, in bytes: a target takes about 250, and there are as many as versions of packages.
pub(super) const LIMIT: u64 = 64 << 20;

/// The largest file of metadata whose length nobody has said, in bytes.
///
/// Source: tough 0.24, `Limits::default`.
const UNTOLD: u64 = 1 << 20;

/// Metadata, one file at a time. It blocks: nothing else runs meanwhile.
#[derive(Clone, Debug)]
pub(super) struct FetchTransport {
    fetcher: Arc<Fetcher>,
    /// How long files are, by their names, as those say that were fetched before. `tough` asks for none before it believes
    /// who says so.
    told: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl FetchTransport {
    pub(super) fn new(fetcher: &Arc<Fetcher>) -> Self {
        Self { fetcher: Arc::clone(fetcher), told: Arc::default() }
    }

    /// A server that goes on for ever, slowly, would otherwise keep the next mirror from being asked.
    fn limit(&self, name: &str) -> u64 {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.get(name).map_or(UNTOLD, |length| LIMIT.min(*length))
    }

    /// Takes note of the lengths of others in the file `name` of metadata, if it is of those that say them.
    fn note(&self, name: &str, metadata: &[u8]) {
        if !["timestamp.json", "snapshot.json"].iter().any(|kind| name.ends_with(kind)) {
            return;
        }
        let Ok(Lengths { signed: Signed { meta } }) = serde_json::from_slice(metadata) else {
            return; // who reads it says so
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, Meta { length, version }) in meta {
            // Not said is not forbidden; `tough` has its own limit then.
            let length = length.unwrap_or(LIMIT);
            told.insert(format!("{version}.{name}"), length);
            told.insert(name, length);
        }
    }
}

/// What timestamp and snapshot say of other files.
///
/// Source: The Update Framework, "4.4. File formats: snapshot.json".
#[derive(Deserialize)]
struct Lengths {
    signed: Signed,
}

#[derive(Deserialize)]
struct Signed {
    meta: BTreeMap<String, Meta>,
}

#[derive(Deserialize)]
struct Meta {
    length: Option<u64>,
    version: u64,
}

#[async_trait]
impl Transport for FetchTransport {
    /// An error comes out of the stream. Returned as such, `tough` would take every failure to fetch the next root for
    /// the end of the chain, and a mirror could hold roots back.
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let name = url.path().rsplit('/').next().unwrap_or_default();
        let bytes = self.fetcher.bytes(url.as_str(), self.limit(name));
        let bytes = bytes
            .inspect(|bytes| self.note(name, bytes))
            .map(Bytes::from)
            .map_err(|error| TransportError::new_with_cause(kind(&error), &url, error));
        Ok(Box::pin(stream::iter([bytes])))
    }
}

/// Stores of objects answer 403 for what does not exist, where they may not be listed.
fn kind(error: &FetchError) -> TransportErrorKind {
    match error {
        FetchError::NotFound { .. } | FetchError::Status { status: 403 | 410, .. } => {
            TransportErrorKind::FileNotFound
        }
        FetchError::BadUri(_) => TransportErrorKind::UnsupportedUrlScheme,
        _ => TransportErrorKind::Other,
    }
}

/// Why metadata did not come. `tough` measures and hashes while it reads, and says so through the same error.
pub(super) fn refusal(error: &TransportError) -> Refusal {
    use tough::error::Error as E;
    let cause = std::error::Error::source(error);
    if matches!(cause.and_then(|it| it.downcast_ref()), Some(FetchError::TooLong { .. })) {
        return Refusal::Mixed;
    }
    match cause.and_then(|cause| cause.downcast_ref::<E>()) {
        Some(E::HashMismatch { .. } | E::MaxSizeExceeded { .. }) => Refusal::Mixed,
        _ => Refusal::Unreachable,
    }
}
