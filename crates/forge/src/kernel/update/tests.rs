//! Updates of a checkout whose tool root is ten lines of shell.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;

use base::Digest;
use base::explain;
use base::progress::{Progress, Silent};
use packages::lock::Locked;

use super::*;
use crate::kernel::Work;
use crate::kernel::build::Sandbox;
use crate::kernel::build::tests::{COMPILES, Fake};

const CONFIG: &str =
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
struct Shop {
    folder: Rc<tempfile::TempDir>,
    root: PathBuf,
    config: &'static str,
    compile: &'static str,
}

impl Shop {
    fn new(config: &'static str, compile: &'static str) -> Self {
        let folder = Rc::new(tempfile::tempdir().unwrap());
        let shop = Self { root: folder.path().join("checkout"), folder, config, compile };
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

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn lock(&self, version: &str) -> Lock {
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

    fn texts(&self) -> Vec<String> {
        let paths = [
            "os/packages.lock",
            "os/kernel/generated/hardened.config",
            "os/kernel/generated/full.config",
            "os/kernel/generated/unhardened.config",
        ];
        paths.map(|path| file::read_text(&self.path(path)).unwrap()).into()
    }

    fn update(&self, dry_run: bool) -> Result<String, String> {
        let mut out = Vec::new();
        let done = Update { dry_run, json: false }.run(self, &mut out);
        done.map_err(|failure| explain::render(failure.as_ref()))?;
        Ok(String::from_utf8(out).unwrap())
    }
}

impl Workshop for Shop {
    fn repository(&self) -> &Path {
        &self.root
    }

    fn cache(&self) -> &Path {
        self.folder.path()
    }

    fn progress(&self) -> &dyn Progress {
        &Silent
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
            version: locked.version.to_string(),
            digest: locked.sha256,
        })
    }

    fn elsewhere(&self, root: &Path, work: Work<'_>) -> Result<(), Failure> {
        let before = self.texts();
        let (folder, root) = (Rc::clone(&self.folder), root.to_owned());
        let done = work(&Self { folder, root, config: self.config, compile: self.compile });
        assert_eq!(self.texts(), before, "whenever it is killed until here, nothing has changed");
        done
    }

    fn newest(&self) -> Result<Newest, Failure> {
        let before = Lock::load(&self.path("os/packages.lock"))?.packages["linux-source-6.12"]
            .version
            .clone();
        let lock = self.lock("6.12.118-1");
        let now = lock.packages["linux-source-6.12"].version.clone();
        Ok(Newest { before, now, suite: "trixie-security".into(), lock })
    }
}

#[test]
fn an_update_moves_lock_and_configurations_builds_and_says_what_is_fixed() {
    let shop = Shop::new(CONFIG, COMPILES);
    let said = shop.update(true).unwrap();
    assert_eq!(said, "linux 6.12.117-1 -> 6.12.118-1 of trixie-security\n");
    assert_eq!(
        shop.source(Need::Files).unwrap().version,
        "6.12.117-1",
        "a dry run changes nothing"
    );

    let said = shop.update(false).unwrap();
    let image = said.lines().find_map(|line| line.strip_prefix("built: ")).unwrap();
    assert!(Path::new(image).exists(), "{image}");
    let expected = format!(
        "linux 6.12.117-1 -> 6.12.118-1 of trixie-security\n\
         hardened: 1 options changed, meets the policy\n  CONFIG_NEW: n → y\n\
         full: 1 options changed, meets the policy\n  CONFIG_NEW: n → y\n\
         unhardened: 1 options changed\n  CONFIG_NEW: n → y\n\
         built: {image}\nfixed, says the changelog: 1 (CVE-2026-12345)\n"
    );
    assert_eq!(said, expected);
    let (lock, configs) = (&shop.texts()[0], &shop.texts()[1..]);
    assert!(lock.contains("6.12.118-1"), "{lock}");
    assert_eq!(configs, [CONFIG; 3]);
    assert!(!shop.cache().join("trial").exists(), "nothing is left of the trial");

    assert_eq!(shop.update(false).unwrap(), "linux 6.12.118-1 of trixie-security is the newest\n");
}

#[test]
fn an_update_that_fails_leaves_lock_and_configurations_as_they_were() {
    const WEAKER: &str =
        "# Linux/x86 6.12.118 Kernel Configuration\nCONFIG_GCC_PLUGINS=y\nCONFIG_A=y\n";
    #[rustfmt::skip]
    let cases = [
        (WEAKER, COMPILES,                          "CONFIG_NEW=y"),                      // the policy
        (CONFIG, "echo 'a.c:1: error: x'; exit 2",  "the kernel's build failed"),
        ("CONFIG_GCC_PLUGINS=y\n", COMPILES,        "1 of the options asked for did not come out"),
    ];
    for (config, compile, expected) in cases {
        let shop = Shop::new(config, compile);
        let before = shop.texts();
        let error = shop.update(false).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert_eq!(shop.texts(), before, "{expected}");
    }
}

#[test]
fn a_lock_that_somebody_changes_meanwhile_is_not_overwritten() {
    let shop = Shop::new(CONFIG, COMPILES);
    let trial = Trial::begin(shop.repository(), shop.cache(), &shop.lock("6.12.118-1")).unwrap();
    shop.lock("6.12.119-1").save(&shop.path("os/packages.lock")).unwrap();
    let before = shop.texts();
    let error = trial.keep().unwrap_err();
    assert!(error.to_string().ends_with("os/packages.lock was changed while the update was tried"));
    assert!(error.hint().unwrap().contains("again"));
    assert_eq!(shop.texts(), before);
}

#[test]
fn what_a_killed_trial_left_is_not_in_the_next_one() {
    let shop = Shop::new(CONFIG, COMPILES);
    let left = shop.cache().join("trial/os/packages.lock");
    file::replace(&left, b"left").unwrap();
    shop.update(false).unwrap();
    assert!(shop.texts()[0].contains("6.12.118-1"));
}
