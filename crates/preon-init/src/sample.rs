//! What tests of several files need.

use base::Digest;
use formats::manifest::{FORMAT, Kernel, Layer, Manifest};

/// The manifest of a generation.
pub(crate) fn manifest() -> Manifest {
    let kernel = Kernel {
        release: "6.1".into(),
        version: "6.1-1".into(),
        package: "preon-uki-hardened".parse().unwrap(),
        uki: Digest::of(b"uki"),
    };
    let layer = Layer {
        name: "base".into(),
        erofs: Digest::of(b"erofs"),
        erofs_bytes: 5,
        verity: Digest::of(b"verity"),
        verity_bytes: 6,
        root_hash: Digest::of(b"root"),
        compression: "lz4".into(),
        cluster_bytes: 4096,
        inputs: Digest::of(b"inputs"),
    };
    Manifest {
        format: FORMAT,
        image: "minimal".into(),
        version: "1".into(),
        build_id: "1.1".into(),
        kernel,
        other_kernels: Vec::new(),
        layers: vec![layer],
        packages: Vec::new(),
        not_rebuilt: [].into(),
        pins: [].into(),
        change: None,
        tools: [].into(),
    }
}
