//! Container images: a merged tree as an OCI layout that `docker load` takes too.
//!
//! The one tar file that is written holds both: `index.json` for OCI tools and for Docker with
//! containerd's image store, `manifest.json` for every Docker. The same tree gives the same bytes.
//!
//! Source: OCI Image Format Specification 1.1, "Image Layout" and "Image Manifest"; Docker Image
//! Specification 1.3.

mod rootfs;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use base::digest::Hasher;
use base::file::{FileError, Staged};
use base::progress::{Progress, Unit};
use base::{Digest, Explain};
use compose::gather::{self, GatherError};
use compose::integrate::{self, IntegrateError};
use compose::tree::{Spool, Tree};
use compose::{Finding, Image, Input, Product};
use flate2::{Compression, GzBuilder};
use jiff::Timestamp;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use crate::recipe::ImageDefinition;

/// The programs' search path in a container that says nothing else.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A container image to be made.
pub(crate) struct Request<'a> {
    /// What to say about it, and the image's own files in `/etc`.
    pub(crate) definition: &'a ImageDefinition,
    /// The curated packages.
    pub(crate) packages: &'a [Input],
    /// What the product says about itself.
    pub(crate) product: &'a Product,
    /// The image's name, without a tag; the tag is the product's version.
    pub(crate) name: &'a str,
    /// When its packages were published, in seconds since 1970; no build is told from another by
    /// its clock.
    pub(crate) epoch: u64,
}

/// What a container image is told from others by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label<'a> {
    pub(crate) name: &'a str,
    pub(crate) tag: &'a str,
    /// Seconds since 1970.
    pub(crate) epoch: u64,
}

impl Label<'_> {
    /// What `docker run` calls it.
    fn reference(&self) -> String {
        format!("{}:{}", self.name, self.tag)
    }
}

/// A container image that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    /// What `docker run` calls it: `name:tag`.
    pub(crate) reference: String,
    /// The digest of its manifest.
    pub(crate) manifest: Digest,
    /// Bytes of its layer, compressed.
    pub(crate) layer_bytes: u64,
}

/// Why a container image could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OciError {
    #[error("cannot merge the packages")]
    Gather(#[source] Box<GatherError>),
    #[error("cannot make a container's files of the packages")]
    Integrate(#[source] Box<IntegrateError>),
    #[error("cannot pack the container's files")]
    Pack(#[source] io::Error),
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for OciError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Gather(error) => error.hint(),
            Self::Integrate(error) => error.hint(),
            Self::Pack(_) => None,
            Self::File(error) => error.hint(),
        }
    }
}

/// Merges the packages and writes them as a container image to the tar file `out`.
///
/// # Errors
///
/// [`OciError`]; `out` is then as it was before.
pub(crate) fn make(
    request: &Request<'_>,
    out: &Path,
    progress: &dyn Progress,
) -> Result<(Made, Vec<Finding>), OciError> {
    let &Request { definition, packages, product, name, epoch } = request;
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    base::file::create_dir_all(folder)?;
    let spool = Spool::create(folder)?;
    let (mut tree, gathered) = gather::gather(packages, &spool, progress)
        .map_err(|error| OciError::Gather(Box::new(error)))?;
    let etc = definition.etc.iter().map(|(path, text)| (path.as_str().to_owned(), text.clone()));
    let image = Image {
        presets: BTreeMap::new(), // nothing starts units in a container
        etc: etc.collect(),
        missing_libraries: BTreeSet::new(),
    };
    let findings = integrate::integrate(&mut tree, &gathered, &image, product)
        .map_err(|error| OciError::Integrate(Box::new(error)))?;
    let task = progress.begin("packing the container image", None, Unit::Nothing);
    let made = write(&tree, definition, Label { name, tag: &product.version, epoch }, out)?;
    drop(task);
    Ok((made, findings))
}

/// Writes `tree` as a container image to the tar file `out`.
///
/// # Errors
///
/// [`OciError`]; `out` is then as it was before.
pub(crate) fn write(
    tree: &Tree,
    definition: &ImageDefinition,
    label: Label<'_>,
    out: &Path,
) -> Result<Made, OciError> {
    let (layer, content) = packed(tree).map_err(OciError::Pack)?;
    let reference = label.reference();
    let mut blobs = Blobs::default();
    let layer = blobs.add("application/vnd.oci.image.layer.v1.tar+gzip", layer);
    let config = blobs
        .add_json("application/vnd.oci.image.config.v1+json", &config(definition, label, content));
    let (layer_bytes, layer_path) = (layer.bytes, layer.path());
    let config_path = config.path();
    let manifest = blobs.add_json(
        MANIFEST,
        &json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.json(),
            "layers": [layer.json()],
        }),
    );
    let mut listed = manifest.json();
    listed["annotations"] = json!({
        "io.containerd.image.name": format!("docker.io/library/{reference}"),
        "org.opencontainers.image.ref.name": label.tag,
    });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [listed] });
    let docker =
        json!([{ "Config": config_path, "RepoTags": [reference], "Layers": [layer_path] }]);
    let files = [
        ("index.json", index.to_string().into_bytes()),
        ("manifest.json", docker.to_string().into_bytes()),
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
    ];
    let mut staged = Staged::create(out)?;
    layout(&blobs, &files, &mut staged).map_err(FileError::at("write", out))?;
    staged.commit()?;
    Ok(Made { reference, manifest: manifest.digest, layer_bytes })
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The layer, compressed, and the digest of what it holds.
fn packed(tree: &Tree) -> io::Result<(Vec<u8>, Digest)> {
    /// Digests what passes.
    struct Tee<W>(W, Hasher);
    impl<W: Write> Write for Tee<W> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.0.write(bytes)?;
            self.1.update(&bytes[..count]);
            Ok(count)
        }
        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }
    // Neither a name nor a time goes into the gzip header.
    let gzip = GzBuilder::new().write(Vec::new(), Compression::default());
    let mut tee = Tee(gzip, Hasher::default());
    rootfs::write(tree, &mut tee)?;
    Ok((tee.0.finish()?, tee.1.finish()))
}

/// The image's configuration.
///
/// Source: OCI Image Format Specification 1.1, "Image Configuration".
fn config(definition: &ImageDefinition, label: Label<'_>, content: Digest) -> Value {
    let seconds = i64::try_from(label.epoch).unwrap_or(i64::MAX);
    let created = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_string();
    let container = definition.container.clone().unwrap_or_default();
    let mut environment = container.environment;
    environment.entry("PATH".to_owned()).or_insert_with(|| PATH.to_owned());
    let environment: Vec<_> = environment.iter().map(|(key, is)| format!("{key}={is}")).collect();
    let command = match container.command.is_empty() {
        true => vec!["/bin/sh".to_owned()],
        false => container.command,
    };
    let mut labels = container.labels;
    for (key, value) in
        [("title", label.reference()), ("description", definition.summary.to_string())]
    {
        labels.entry(format!("org.opencontainers.image.{key}")).or_insert(value);
    }
    json!({
        "architecture": "amd64",
        "os": "linux",
        "created": created,
        "config": { "Env": environment, "Cmd": command, "Labels": labels, "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{content}")] },
        "history": [{ "created": created, "created_by": "forge image oci" }],
    })
}

/// The content-addressed files of a layout.
#[derive(Default)]
struct Blobs(BTreeMap<Digest, Vec<u8>>);

/// What one blob is.
struct Descriptor {
    media_type: &'static str,
    digest: Digest,
    bytes: u64,
}

impl Blobs {
    fn add(&mut self, media_type: &'static str, bytes: Vec<u8>) -> Descriptor {
        let digest = Digest::of(&bytes);
        let descriptor = Descriptor { media_type, digest, bytes: bytes.len() as u64 };
        self.0.insert(digest, bytes);
        descriptor
    }

    fn add_json(&mut self, media_type: &'static str, value: &Value) -> Descriptor {
        self.add(media_type, value.to_string().into_bytes())
    }
}

impl Descriptor {
    /// Where it lies in the layout.
    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }

    fn json(&self) -> Value {
        json!({
            "mediaType": self.media_type,
            "digest": format!("sha256:{}", self.digest),
            "size": self.bytes,
        })
    }
}

/// Writes the tar file around the layout.
fn layout(blobs: &Blobs, files: &[(&str, Vec<u8>)], output: impl Write) -> io::Result<()> {
    let mut archive = Builder::new(output);
    let mut add = |path: &str, bytes: Option<&[u8]>| {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Directory);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        if bytes.is_some() {
            header.set_entry_type(EntryType::Regular);
            header.set_mode(0o644);
        }
        let bytes = bytes.unwrap_or_default();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, path, bytes)
    };
    add("blobs/", None)?;
    add("blobs/sha256/", None)?;
    for (digest, bytes) in &blobs.0 {
        add(&format!("blobs/sha256/{digest}"), Some(bytes))?;
    }
    for (path, bytes) in files {
        add(path, Some(bytes))?;
    }
    archive.into_inner()?.flush()
}

#[cfg(test)]
mod tests;
