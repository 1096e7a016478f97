use base::child::Program;
use base::progress::Silent;
use base::{Digest, explain};
use packages::control::Control;
use packages::deb::{Entry, Kind as Shape, Writer};

use super::*;
use crate::cache::Cache;
use crate::scratch::{SmallDisk, image_tools, noise};

/// How much the package holds.
const KIBIBYTES: usize = 4 << 10;
const CONTENT: usize = KIBIBYTES << 10;

/// A request for a layer of one package with a file that cannot be compressed.
fn incompressible(folder: &Path) -> Request {
    let mut writer = Writer::new(1, 0).unwrap();
    let entry = Entry {
        path: "usr/lib/noise".into(),
        kind: Shape::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: 0,
        xattrs: Vec::new(),
        size: CONTENT as u64,
    };
    writer.add(&entry, &mut &noise(CONTENT)[..]).unwrap();
    let control = Control::parse("Package: noise\nVersion: 1\nArchitecture: all\n").unwrap();
    let bytes = writer.finish(&control).unwrap();
    let deb = folder.join("noise.deb");
    file::replace(&deb, &bytes).unwrap();
    let input = Input { deb, digest: Digest::of(&bytes), suite: "trixie".into() };
    Request {
        name: "demo".into(),
        base: None,
        shown: Vec::new(),
        packages: vec![input],
        image: Image::default(),
        product: Product {
            version: "1".into(),
            build_id: "1".into(),
            image: "demo".into(),
            not_rebuilt: [].into(),
        },
        epoch: 0,
        compression: Compression {
            algorithm: "lz4".to_owned().try_into().unwrap(),
            cluster_bytes: 65536,
        },
    }
}

/// Composes on a disk of this size; a failure must leave nothing there.
fn composed(kibibytes: usize, mkfs: &Program) -> Result<(), String> {
    let elsewhere = tempfile::tempdir().unwrap();
    let request = incompressible(elsewhere.path());
    let disk = SmallDisk::new(kibibytes);
    let cache = Cache::new(disk.path().to_owned());
    let made = cache.folder(Kind::Layers, &Digest::of(b""), |folder| {
        let workshop = Workshop { folder: folder.to_owned(), mkfs: mkfs.clone() };
        compose::compose(&request, &workshop, &Silent).map(drop).map_err(Into::into)
    });
    let Err(error) = made else { return Ok(()) };
    assert_eq!(cache.kind(Kind::Layers).read_dir().unwrap().count(), 0, "something is left");
    let text = explain::render(error.as_ref());
    assert!(text.contains("\nhint: free space on the disk that holds "), "{kibibytes}: {text}");
    Err(text)
}

/// Lets nothing be put aside in memory: all of it must fit on the disk.
fn no_memory() {
    let tiny = sys::Filesystem::new("tmpfs").option("size", "64k");
    tiny.mount(Path::new("/dev/shm")).unwrap();
}

#[test]
fn a_disk_that_is_full_while_composing_is_named_and_keeps_nothing_half_written() {
    drop(image_tools()); // in the namespace there is no network
    testkit::in_namespace(|| {
        no_memory();
        let (_context, tools) = image_tools();
        let mkfs = tools.program("mkfs.erofs");
        let error = composed(KIBIBYTES / 2, &mkfs).unwrap_err();
        assert!(error.contains("cannot write to a file in "), "{error}");
        // The packages' files fit; the layer beside them does not, at different places of it.
        for kibibytes in [KIBIBYTES + 512, KIBIBYTES * 3 / 2, KIBIBYTES * 2] {
            let error = composed(kibibytes, &mkfs).unwrap_err();
            assert!(error.contains("demo.erofs: its disk is full\n"), "{error}");
            assert!(error.contains("bin/mkfs.erofs failed with "), "{error}");
        }
        composed(KIBIBYTES * 4, &mkfs).unwrap();
    });
}

#[test]
fn a_disk_that_is_full_while_the_hash_tree_is_written_is_named() {
    testkit::in_namespace(|| {
        no_memory();
        // mkfs.erofs needs more room for itself than the hash tree: this one needs none.
        let script = "for output; do :; done; \
                      exec dd of=\"$output\" bs=4096 conv=sync iflag=fullblock status=none";
        let mkfs = Program::from_words(["/bin/sh", "-c", script]);
        let mut errors = Vec::new();
        for kibibytes in (KIBIBYTES * 2..).step_by(16) {
            let Err(error) = composed(kibibytes, &mkfs) else { break };
            errors.push(error);
        }
        let verity = errors.iter().filter(|error| error.contains("the hash tree of "));
        assert_ne!(verity.count(), 0, "{errors:#?}");
    });
}
