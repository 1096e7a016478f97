//! These meet the kernel. Layers are folders here: the verified devices are tested in the virtual
//! machine, because not every machine that builds us has the device mapper.

use std::fs;
use std::io::ErrorKind;

use sys::namespace::with_private_mounts;

use super::*;

/// A fresh filesystem with the folders that a stack needs; it goes away with the namespace.
pub(super) struct Host {
    folder: tempfile::TempDir,
    pub(super) root: PathBuf,
    pub(super) run: PathBuf,
    data: PathBuf,
}

impl Host {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Filesystem::new("tmpfs").mount(dir.path()).unwrap();
        let make = |name: &str| folder(&dir.path().join(name), 0o755).unwrap();
        let (root, run, data) = (make("root"), make("run"), make("data"));
        root::make(&root).unwrap();
        Self { root, run, data, folder: dir }
    }

    pub(super) fn places(&self) -> Places<'_> {
        Places { root: &self.root, run: &self.run, data: &self.data }
    }

    /// A filesystem that stands for a layer, mounted where layers are, with the file `bin/NAME`.
    pub(super) fn mounted_layer(&self, name: &str) -> PathBuf {
        let layer = folder(&self.run.join("layers").join(name), 0o700).unwrap();
        Filesystem::new("tmpfs").mount(&layer).unwrap();
        base::file::replace(&layer.join("bin").join(name), name.as_bytes()).unwrap();
        mount::restrict(&layer, USR).unwrap();
        layer
    }

    /// A folder that stands for a mounted layer, with these files.
    fn layer(&self, name: &str, files: &[&str]) -> PathBuf {
        let layer = self.run.join(name);
        for file in files {
            let path = layer.join(file);
            base::file::replace(&path, name.as_bytes()).unwrap();
        }
        layer
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Else the temporary folder is busy when it is removed.
        let _ = mount::detach(self.folder.path());
    }
}

#[test]
fn the_empty_root_has_debians_links() {
    with_private_mounts(|| {
        let host = Host::new();
        assert_eq!(fs::read_link(host.root.join("lib64")).unwrap(), Path::new("usr/lib64"));
        assert_eq!(fs::read_link(host.root.join("srv")).unwrap(), Path::new("var/srv"));
    });
}

#[test]
fn one_layer_is_usr_itself_and_read_only() {
    with_private_mounts(|| {
        let host = Host::new();
        let layer = host.layer("base", &["bin/sh"]);
        mount_usr(&[&layer], &host.root.join("usr")).unwrap();
        assert_eq!(host.read("bin/sh"), "base");
        let refused = fs::write(host.root.join("usr/bin/new"), "x").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ReadOnlyFilesystem);
    });
}

#[test]
fn the_last_of_several_layers_is_on_top_and_all_are_read_only() {
    with_private_mounts(|| {
        let host = Host::new();
        let base = host.layer("base", &["bin/sh", "bin/ls"]);
        let delta = host.layer("delta", &["bin/sh"]);
        let third = host.layer("third", &["bin/id"]);
        mount_usr(&[&base, &delta, &third], &host.root.join("usr")).unwrap();
        let found = ["bin/sh", "bin/ls", "bin/id"].map(|path| host.read(path));
        assert_eq!(found, ["delta", "base", "third"]);
        let refused = fs::write(host.root.join("usr/bin/new"), "x").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ReadOnlyFilesystem);
    });
}

#[test]
fn edits_of_etc_are_kept_beside_the_defaults() {
    with_private_mounts(|| {
        let host = Host::new();
        let layer = host.layer("base", &["share/preon/etc/motd", "share/preon/etc/issue"]);
        mount_usr(&[&layer], &host.root.join("usr")).unwrap();
        mount_etc(host.places()).unwrap();
        fs::write(host.root.join("etc/motd"), "mine").unwrap();
        assert_eq!([host.read("etc/motd"), host.read("etc/issue")], ["mine", "base"]);
        assert_eq!(fs::read(host.data.join("etc/upper/motd")).unwrap(), b"mine");
        assert_eq!(fs::read(layer.join("share/preon/etc/motd")).unwrap(), b"base");
    });
}

#[test]
fn state_is_made_with_its_modes_and_kept() {
    use std::os::unix::fs::PermissionsExt;
    with_private_mounts(|| {
        let host = Host::new();
        mount_state(host.places()).unwrap();
        let mode = |name: &str| {
            let folder = fs::metadata(host.root.join(name)).unwrap();
            folder.permissions().mode() & 0o7777
        };
        assert_eq!(["var", "home", "root"].map(mode), [0o755, 0o755, 0o700]);
        fs::write(host.root.join("root/note"), "x").unwrap();
        assert_eq!(fs::read(host.data.join("root/note")).unwrap(), b"x");
    });
}

#[test]
fn a_sealed_root_takes_no_files_but_its_state_does() {
    with_private_mounts(|| {
        let host = Host::new();
        mount_state(host.places()).unwrap();
        root::seal(&host.root).unwrap();
        let refused = fs::write(host.root.join("file"), "x").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ReadOnlyFilesystem);
        fs::write(host.root.join("var/file"), "x").unwrap();
    });
}
