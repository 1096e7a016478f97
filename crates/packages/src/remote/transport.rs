//! How `tough` gets its metadata: through our own fetching.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use tough::{Transport, TransportError, TransportErrorKind, TransportStream};
use url::Url;

use super::Refusal;
use crate::fetch::{FetchError, Fetcher};

/// The largest file of metadata, in bytes: a target takes about 250, and there are as many as versions of packages.
pub(super) const LIMIT: u64 = 64 << 20;

/// Metadata, one file at a time. It blocks: nothing else runs meanwhile.
#[derive(Clone, Debug)]
pub(super) struct FetchTransport {
    fetcher: Arc<Fetcher>,
}

impl FetchTransport {
    pub(super) fn new(fetcher: &Arc<Fetcher>) -> Self {
        Self { fetcher: Arc::clone(fetcher) }
    }
}

#[async_trait]
impl Transport for FetchTransport {
    /// An error comes out of the stream. Returned as such, `tough` would take every failure to fetch the next root for
    /// the end of the chain, and a mirror could hold roots back.
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let bytes = self.fetcher.bytes(url.as_str(), LIMIT);
        let bytes = bytes
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
    match cause.and_then(|cause| cause.downcast_ref::<E>()) {
        Some(E::HashMismatch { .. } | E::MaxSizeExceeded { .. }) => Refusal::Mixed,
        _ => Refusal::Unreachable,
    }
}
