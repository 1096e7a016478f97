//! What the tests share: layers of a few bytes, and generations made of them.

use std::fs;
use std::path::{Path, PathBuf};

use base::Digest;
use formats::manifest::{FORMAT, Kernel, Layer, Manifest};
use generations::store::LayerFiles;
use generations::{Booted, Choice, Generation, Store};

/// The release of the kernel that runs, and that generations need where nothing else is said.
pub(crate) const KERNEL: &str = "6.12.0-preon";

/// A host's store in a temporary folder, and a folder beside it for new layers.
pub(crate) struct Trial {
    folder: tempfile::TempDir,
    pub(crate) store: Store,
}

impl Trial {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(&folder.path().join("preon")).unwrap();
        Self { folder, store }
    }

    /// With generations 1 to `count`, each with a layer of its own over a common one; the last one
    /// is wanted.
    pub(crate) fn with_generations(count: u64) -> Self {
        let trial = Self::new();
        for number in 1..=count {
            trial.stage(&["base", &format!("delta{number}")], KERNEL);
        }
        trial.store.want(Generation(count)).unwrap();
        trial
    }

    /// Where new layers are made.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the store.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("preon").join(path)
    }

    /// A new layer.
    pub(crate) fn layer(&self, name: &str) -> (Layer, LayerFiles) {
        layer(self.folder(), name)
    }

    /// Stages a generation of these layers that needs this kernel.
    pub(crate) fn stage(&self, layers: &[&str], kernel: &str) -> Generation {
        let (layers, files): (Vec<_>, Vec<_>) = layers.iter().map(|name| self.layer(name)).unzip();
        let mut manifest = manifest(layers);
        manifest.kernel.release = kernel.into();
        self.store.stage(&manifest, &files).unwrap()
    }

    /// Removes the uppermost layer of a generation.
    pub(crate) fn lose_layer(&self, number: u64) {
        let manifest = self.store.manifest(Generation(number)).unwrap();
        let files = self.store.layer_files(manifest.layers.last().unwrap());
        fs::remove_file(files.verity).unwrap();
    }

    /// Changes the text of a manifest by hand.
    pub(crate) fn edit_manifest(&self, number: u64, old: &str, new: &str) -> PathBuf {
        let path = self.path(&format!("generations/{number}/manifest.json"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "no {old} in {text}");
        fs::write(&path, text.replacen(old, new, 1)).unwrap();
        path
    }

    /// Chooses, as the kernel of this release boots.
    pub(crate) fn choose(&self, kernel: &str) -> Choice {
        self.store.choose(&Booted::of_release(kernel)).unwrap()
    }

    /// A boot of which nobody hears again; returns the number of its generation.
    pub(crate) fn boot(&self) -> u64 {
        self.boot_on(KERNEL)
    }

    /// The same on the kernel of this release.
    pub(crate) fn boot_on(&self, kernel: &str) -> u64 {
        let choice = self.choose(kernel);
        self.store.count_attempt(&choice).unwrap();
        choice.generation.0
    }

    /// This many boots of which nobody hears again.
    pub(crate) fn boots(&self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.boot()).collect()
    }
}

/// A layer whose files lie in `folder`.
fn layer(folder: &Path, name: &str) -> (Layer, LayerFiles) {
    let file = |end: &str| {
        let path = folder.join(format!("{name}.{end}"));
        fs::write(&path, format!("{name} {end}")).unwrap();
        (Digest::of_file(&path).unwrap(), fs::metadata(&path).unwrap().len(), path)
    };
    let (erofs, erofs_bytes, erofs_path) = file("erofs");
    let (verity, verity_bytes, verity_path) = file("verity");
    let layer = Layer {
        name: name.into(),
        erofs,
        erofs_bytes,
        verity,
        verity_bytes,
        root_hash: Digest::of(b"root"),
        compression: "lz4".into(),
        cluster_bytes: 4096,
        inputs: Digest::of(b"inputs"),
    };
    (layer, LayerFiles { erofs: erofs_path, verity: verity_path })
}

pub(crate) fn manifest(layers: Vec<Layer>) -> Manifest {
    Manifest {
        format: FORMAT,
        image: "minimal".into(),
        version: "1".into(),
        build_id: "1.1".into(),
        kernel: Kernel {
            release: KERNEL.into(),
            version: "6.12.0-1".into(),
            package: "preon-uki-hardened".parse().unwrap(),
            uki: Digest::of(b"uki"),
        },
        other_kernels: Vec::new(),
        layers,
        packages: Vec::new(),
        not_rebuilt: [].into(),
        pins: [].into(),
        change: None,
        tools: [].into(),
    }
}
