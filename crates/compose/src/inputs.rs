//! What the bytes of a layer follow from.

use base::Digest;
use base::digest::Hasher;

use crate::integrate::Image;
use crate::shown::Package;
use crate::{Base, Request};

/// Rises when this crate would make other bytes of the same request.
const METHOD: &[u8] = b"compose 9";

impl Request {
    /// The request with the name of the build: it follows from all else that is asked for.
    pub fn named(mut self) -> Self {
        self.product.build_id.clear();
        self.product.build_id = inputs_digest(&self).short();
        self
    }
}

/// A digest of all that decides the layer's bytes, but for mkfs.erofs: a cache must add the digest of that.
pub fn inputs_digest(request: &Request) -> Digest {
    let Request { name, base, packages, shown, image, product, epoch, compression } = request;
    let mut hasher = Hasher::default();
    hasher.field(METHOD);
    let unpacked = packages.iter().map(|input| input.digest);
    let mut digests: Vec<_> = unpacked.chain(shown.iter().map(Package::digest)).collect();
    digests.sort_unstable();
    hasher.field(name.as_bytes()).field(&count(digests.len()));
    for digest in digests {
        hasher.field(digest.as_bytes());
    }
    let Image { presets, etc, missing_libraries } = image;
    hasher.field(&count(presets.len()));
    for (unit, on) in presets {
        hasher.field(unit.as_bytes()).field(&[u8::from(*on)]);
    }
    hasher.field(&count(etc.len()));
    for (path, text) in etc {
        hasher.field(path.as_bytes()).field(text.as_bytes());
    }
    hasher.field(&count(missing_libraries.len()));
    for library in missing_libraries {
        hasher.field(library.as_bytes());
    }
    for fact in [&product.version, &product.build_id, &product.image] {
        hasher.field(fact.as_bytes());
    }
    hasher.field(&count(product.not_rebuilt.len()));
    for package in &product.not_rebuilt {
        hasher.field(package.as_str().as_bytes());
    }
    hasher.field(compression.algorithm.as_str().as_bytes());
    hasher.field(&compression.cluster_bytes.to_le_bytes()).field(&epoch.to_le_bytes());
    let beneath = base.as_ref().map(|base| match base {
        Base::Composed(base) => inputs_digest(base),
        Base::Shown(_, beneath) => beneath.inputs,
    });
    if let Some(beneath) = beneath {
        hasher.field(b"over").field(beneath.as_bytes());
    }
    hasher.finish()
}

fn count(length: usize) -> [u8; 8] {
    (length as u64).to_le_bytes()
}
