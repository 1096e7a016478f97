//! For tests: a checkout whose tool root is ten lines of shell.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use base::progress::{Progress, Shared, Silent};
use base::{Digest, Failure, explain, file};
use packages::lock::{Lock, Locked};

use super::build::tests::Fake;
use super::build::{Sandbox, Source};
use super::{Flavour, Need, Newest, Work, Workshop, committed};

/// What each kernel is configured as with the archive's source.
pub(crate) const CONFIG: &str =
    "# Linux/x86 6.12.118 Kernel Configuration\nCONFIG_GCC_PLUGINS=y\nCONFIG_A=y\nCONFIG_NEW=y\n";

const POLICY: &str = "\
[kconfig.self_protection]
kspp = [\"CONFIG_A=y\", \"CONFIG_NEW=y\"]
[cmdline.self_protection]
kspp = [\"a\"]
[sysctl.self_protection]
kspp = [\"kernel.panic=1\"]
";

/// A checkout whose lock has version 6.12.117-1 of the source, and an archive that has 6.12.118-1.
pub(crate) struct Shop {
    /// Removed when the last shop goes that uses it.
    folder: Rc<tempfile::TempDir>,
    root: PathBuf,
    pub(crate) cache: PathBuf,
    pub(crate) progress: Shared,
    /// The archive's version of the source, and whether it was asked.
    pub(crate) archive: (&'static str, bool),
    config: &'static str,
    compile: &'static str,
}

impl Shop {
    /// The configurations are of the lock's source; every kernel comes out as `config`.
    pub(crate) fn new(config: &'static str, compile: &'static str) -> Self {
        let folder = Rc::new(tempfile::tempdir().unwrap());
        let shop = Self {
            root: folder.path().join("checkout"),
            cache: folder.path().join("cache"),
            folder,
            progress: Arc::new(Silent),
            archive: ("6.12.118-1", false),
            config,
            compile,
        };
        let old = CONFIG.replace("118", "117").replace("CONFIG_NEW=y\n", "");
        let lock = shop.lock("6.12.117-1").to_string();
        for (path, text) in [
            ("os/packages.lock", lock.as_str()),
            ("os/kernel/base.config", "CONFIG_GCC_PLUGINS=y # r\n"),
            ("os/kernel/cmdline", "quiet # r\n"),
            ("os/kernel/strict/cmdline", "nosmt # r\n"),
            ("os/kernel/hardened/x.config", "CONFIG_A=y # r\n"),
            ("os/kernel/hardened/cmdline", "a # r\n"),
            ("os/kernel/generated/hardened.config", &old),
            ("os/kernel/full/x.config", "CONFIG_A=y # r\n"),
            ("os/kernel/full/cmdline", "a # r\n"),
            ("os/kernel/generated/full.config", &old),
            ("os/kernel/unhardened/cmdline", "b # r\n"),
            ("os/kernel/unhardened/x.config", "CONFIG_B=n # r\n"),
            ("os/kernel/generated/unhardened.config", &old),
            ("os/kernel/package.toml", "revision = 1\n"),
            ("os/kernel/patches/README", ""),
            ("os/policy/kernel.toml", POLICY),
            ("os/packages/x/files/usr/lib/sysctl.d/x.conf", "kernel.panic = 1\n"),
            ("source.tar.xz", "config A\nconfig B\nconfig GCC_PLUGINS\n"),
        ] {
            file::replace(&shop.path(path), text.as_bytes()).unwrap();
        }
        let changelog = "linux (6.12.118-1) trixie; urgency=high\n\n  * x (CVE-2026-12345)\n\n\
                         linux (6.12.117-1) trixie; urgency=high\n\n  * y (CVE-2026-11111)\n";
        let file = fs::File::create(shop.path("changelog.gz")).unwrap();
        let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        packed.write_all(changelog.as_bytes()).unwrap();
        packed.finish().unwrap();
        shop
    }

    /// The same with configurations committed that are `config`.
    pub(crate) fn configured(config: &'static str, compile: &'static str) -> Self {
        let shop = Self::new(config, compile);
        for flavour in Flavour::CONFIGURED {
            file::replace(&committed(&shop.root, flavour), config.as_bytes()).unwrap();
        }
        shop
    }

    /// The path `name` in the checkout.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A lock with this version of the source.
    pub(crate) fn lock(&self, version: &str) -> Lock {
        let locked = Locked {
            version: version.parse().unwrap(),
            suite: "trixie-security".into(),
            size: 1,
            sha256: Digest::of(version.as_bytes()),
            filename: "pool/x".into(),
        };
        Lock {
            packages: [("linux-source-6.12".parse().unwrap(), locked)].into(),
            ..Lock::default()
        }
    }

    /// What an update changes: the lock, then the configurations.
    pub(crate) fn texts(&self) -> Vec<String> {
        let paths = [
            "os/packages.lock",
            "os/kernel/generated/hardened.config",
            "os/kernel/generated/full.config",
            "os/kernel/generated/unhardened.config",
        ];
        paths.map(|path| file::read_text(&self.path(path)).unwrap()).into()
    }
}

impl Workshop for Shop {
    fn repository(&self) -> &Path {
        &self.root
    }

    fn cache(&self) -> &Path {
        &self.cache
    }

    fn progress(&self) -> &dyn Progress {
        self.progress.as_ref()
    }

    fn sandbox(&self, _: Need) -> Result<Box<dyn Sandbox>, Failure> {
        Ok(Box::new(Fake { config: self.config, compile: self.compile, tar: "true" }))
    }

    fn source(&self, _: Need) -> Result<Source, Failure> {
        let lock = Lock::load(&self.path("os/packages.lock"))?;
        let locked = &lock.packages["linux-source-6.12"];
        Ok(Source {
            archive: self.path("source.tar.xz"),
            changelog: self.path("changelog.gz"),
            copyright: self.path("copyright"),
            version: locked.version.to_string(),
            digest: locked.sha256,
        })
    }

    fn elsewhere(&self, root: &Path, work: Work<'_>) -> Result<(), Failure> {
        let before = self.texts();
        let done = work(&Self {
            folder: Rc::clone(&self.folder),
            root: root.to_owned(),
            cache: self.cache.clone(),
            progress: Arc::clone(&self.progress),
            ..*self
        });
        assert_eq!(self.texts(), before, "whenever it is killed until here, nothing has changed");
        done
    }

    fn newest(&self) -> Result<Newest, Failure> {
        let before = Lock::load(&self.path("os/packages.lock"))?.packages["linux-source-6.12"]
            .version
            .clone();
        let (version, offline) = self.archive;
        let lock = self.lock(version);
        let now = lock.packages["linux-source-6.12"].version.clone();
        Ok(Newest { before, now, suite: "trixie-security".into(), offline, lock })
    }
}

/// What a command prints, or how its failure is shown.
pub(crate) fn printed(
    run: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<String, String> {
    let mut out = Vec::new();
    run(&mut out).map_err(|failure| explain::render(failure.as_ref()))?;
    Ok(String::from_utf8(out).unwrap())
}
