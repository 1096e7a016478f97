//! The flow of a build against a tool root whose programs are ten lines of shell.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::progress::{Silent, Task, Unit};
use base::{Explain, child};

use super::*;
use crate::kernel::fragment;
use crate::kernel::patches::Patch;

/// A tool root in which `tar` makes a source tree of one Kconfig file, the archive itself, and `make`
/// answers with the configuration that the test wants.
pub(crate) struct Fake {
    pub(crate) config: &'static str,
    /// Runs in the folder for objects when the kernel is compiled.
    pub(crate) compile: &'static str,
    pub(crate) tar: &'static str,
}

const SCRIPT: &str = r#"
case "$0 $*" in
  tar*-xJf*)      cp "$ARCHIVE" "$SOURCE/Kconfig" && eval "$TAR" ;;
  make*allnocon*) printf '%s' "$CONFIG" > "$OUT/.config" ;;
  make*bzImage*) cd "$OUT" && eval "$COMPILE" ;;
  patch*)         grep -q "$(sed -n 's/^+//p' "$PATCH")" "$SOURCE/Kconfig" || { echo "1 out of 1 hunk FAILED" >&2; exit 1; } ;;
  tar*install*)   test ! -e "$OUT/certs/signing_key.pem" && echo modules > "$OUT/modules.tar" ;;
esac"#;

impl Sandbox for Fake {
    fn command(&self, program: &str, binds: &[Bind]) -> Command {
        let names = BTreeMap::from([
            ("/build/source", "SOURCE"),
            ("/build/out", "OUT"),
            ("/build/source.tar.xz", "ARCHIVE"),
            ("/build/change.patch", "PATCH"),
        ]);
        let mut command = child_shell();
        command.args(["-c", SCRIPT, program]);
        command.envs([("CONFIG", self.config), ("COMPILE", self.compile), ("TAR", self.tar)]);
        for bind in binds {
            if let Some(name) = names.get(bind.inside) {
                command.env(name, &bind.outside);
            }
        }
        command
    }

    fn identity(&self) -> Digest {
        Digest::of(b"gcc")
    }
}

fn child_shell() -> Command {
    child::Program::new("sh").command()
}

pub(crate) const COMPILES: &str = "mkdir -p arch/x86/boot include/config && echo '  CC      a.o' && cat randstruct-seed.sh > seed && \
     echo image > arch/x86/boot/bzImage && echo map > System.map && echo 6.12.117-preon > include/config/kernel.release";

const GRANTED: &str =
    "# Linux/x86 6.12.117 Kernel Configuration\nCONFIG_GCC_PLUGINS=y\nCONFIG_A=y\n";

const WORKS: Fake = Fake { config: GRANTED, compile: COMPILES, tar: "true" };

/// Keeps what it is told, and shows nothing.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    pub(crate) fn told(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Progress for Recorder {
    fn begin(&self, what: &str, _: Option<u64>, _: Unit) -> Box<dyn Task> {
        self.note(what);
        Box::new(Silent)
    }

    fn note(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

/// Holds the lock at `path`, as another process would, until `recorder` was told that it is waited for.
pub(crate) fn hold_until_waited_for(path: &Path, recorder: &Arc<Recorder>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let held = fs::File::create(path).unwrap();
    held.lock().unwrap();
    let recorder = Arc::clone(recorder);
    std::thread::spawn(move || {
        let is_told = || {
            let told = recorder.told().iter().any(|line| line.starts_with("waiting for another"));
            Ok::<_, testkit::wait::TimedOut>(told.then_some(()))
        };
        // A test that was told nothing must not hang.
        let waited = testkit::wait::until("a note", Duration::from_secs(20), is_told);
        drop(held);
        waited.unwrap();
    });
}

/// A recipe that asks for two options, and the cache beside it.
struct Scene {
    folder: tempfile::TempDir,
    recipe: Recipe,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("source.tar.xz"), "config A\nconfig GCC_PLUGINS\n").unwrap();
        fs::write(path("hardened.config"), GRANTED).unwrap();
        let text = "CONFIG_GCC_PLUGINS=y # r\nCONFIG_A=y # r\n";
        let recipe = Recipe {
            source: Source {
                archive: path("source.tar.xz"),
                changelog: path("changelog.gz"),
                copyright: path("copyright"),
                version: "6.12.117-1".into(),
                digest: Digest::of(b"source"),
            },
            patches: Vec::new(),
            wishes: fragment::parse(Path::new("f"), text).unwrap(),
            committed: path("hardened.config"),
        };
        Self { folder, recipe }
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn build(&self, sandbox: &Fake) -> Result<Kernel, BuildError> {
        build(&self.recipe, sandbox, &self.cache(), &Silent)
    }

    fn again(&self, sandbox: &Fake) -> Result<Kernel, BuildError> {
        again(&self.recipe, sandbox, &self.cache(), &Silent)
    }

    /// What lies in the cache, but for the lock.
    fn cached(&self) -> Vec<String> {
        let entries = fs::read_dir(self.cache()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name != "lock").collect();
        names.sort();
        names
    }
}

#[test]
fn a_kernel_is_built_once_and_then_comes_from_the_cache() {
    let scene = Scene::new();
    let kernel = scene.build(&WORKS).unwrap();
    assert_eq!(fs::read_to_string(kernel.image()).unwrap(), "image\n");
    assert_eq!(fs::read_to_string(kernel.config()).unwrap(), GRANTED);
    assert_eq!(kernel.release().unwrap(), "6.12.117-preon");
    assert_eq!(kernel.image_bytes().unwrap(), 6);

    let again = scene.build(&Fake { compile: "false", tar: "false", ..WORKS }).unwrap();
    assert_eq!(again, kernel);
    assert_eq!(scene.cached(), [scene.recipe.key(&WORKS).short()]);
}

#[test]
fn a_cached_kernel_that_was_damaged_is_built_anew() {
    let scene = Scene::new();
    let kernel = scene.build(&WORKS).unwrap();
    for name in ["bzImage", "release", "SHA256SUMS"] {
        fs::write(kernel.folder.join(name), "damaged").unwrap();
        let again = scene.build(&WORKS).unwrap();
        assert_eq!(fs::read_to_string(again.image()).unwrap(), "image\n", "{name}");
        assert_eq!(again.release().unwrap(), "6.12.117-preon", "{name}");
    }
}

#[test]
fn building_again_passes_where_the_bytes_are_the_same() {
    let scene = Scene::new();
    scene.again(&WORKS).unwrap();
    let kernel = scene.again(&WORKS).unwrap();
    assert_eq!(scene.cached(), [scene.recipe.key(&WORKS).short()]);
    assert_eq!(scene.build(&WORKS).unwrap(), kernel);
}

#[test]
fn building_again_names_the_files_that_came_out_otherwise_and_keeps_both() {
    let compile = format!("{COMPILES}; cat /proc/sys/kernel/random/uuid > System.map");
    let varies = Fake { compile: compile.leak(), ..WORKS };
    let scene = Scene::new();
    let error = scene.again(&varies).unwrap_err();
    assert_eq!(error.to_string(), "building the kernel again gave another System.map");
    let key = scene.recipe.key(&WORKS).short();
    let hint = error.hint().unwrap();
    assert!(hint.contains(&key) && hint.contains(&format!("{key}.again")), "{hint}");
    assert_eq!(scene.cached(), [key.clone(), format!("{key}.again")]);
}

#[test]
fn the_key_follows_the_options_and_not_the_reasons() {
    let scene = Scene::new();
    let with = |text: &str| {
        let wishes = fragment::parse(Path::new("f"), text).unwrap();
        Recipe { wishes, ..scene.recipe.clone() }.key(&WORKS)
    };
    assert_eq!(with("CONFIG_A=y # a"), with("## c\nCONFIG_A=y # another"));
    assert_ne!(with("CONFIG_A=y # a"), with("CONFIG_A=n # a"));
}

#[test]
fn each_failure_says_what_is_wrong_and_leaves_nothing_in_the_cache() {
    #[rustfmt::skip]
    let cases = [
        (Fake { config: "CONFIG_GCC_PLUGINS=y\n", ..WORKS },   "1 of the options asked for did not come out\n  f:2: CONFIG_A=y came out as n"),
        (Fake { config: "CONFIG_A=y\n", ..WORKS },             "1 of the options asked for did not come out\n  f:1: CONFIG_GCC_PLUGINS=y came out as n"),
        (Fake { config: "segmentation fault", ..WORKS },       "cache/work/out/.config is no kernel configuration"),
        (Fake { compile: "echo 'a.c:1: error: x'; echo '  CC b.o'; exit 2", ..WORKS },
            "the kernel's build failed with exit status: 2\n  | a.c:1: error: x\n  |   CC b.o"),
    ];
    for (sandbox, expected) in cases {
        let scene = Scene::new();
        let error = scene.build(&sandbox).unwrap_err();
        assert!(error.to_string().ends_with(expected), "{error}");
        assert_eq!(scene.cached(), [""; 0], "{expected}");
    }
}

#[test]
fn what_to_do_is_said_where_it_is_known() {
    #[rustfmt::skip]
    let cases = [
        (Fake { config: "CONFIG_A=y\n", ..WORKS },             "GCC plugins need plugin headers: add the package gcc-NN-plugin-dev"),
        (Fake { config: "CONFIG_GCC_PLUGINS=y\n", ..WORKS },   "look up what each depends on"),
        (Fake { tar: "echo 'tar: a.c: Cannot write: No space left on device' >&2; exit 2", ..WORKS }, "free 4 GB where the cache is"),
        (Fake { tar: "echo 'xz: Compressed data is corrupt' >&2; exit 2", ..WORKS },           "run `forge cache clear roots`"),
        (Fake { compile: "echo 'fatal error: x: No space left on device'; exit 2", ..WORKS }, "free 4 GB where the cache is"),
        (Fake { compile: "echo 'gcc: fatal error: Killed signal terminated program cc1'; exit 2", ..WORKS }, "the compiler was out of memory"),
    ];
    for (sandbox, expected) in cases {
        let hint = Scene::new().build(&sandbox).unwrap_err().hint().unwrap();
        assert!(hint.starts_with(expected), "{hint}");
    }
}

#[test]
fn an_option_that_the_source_does_not_know_is_refused() {
    let scene = Scene::new();
    fs::write(&scene.recipe.source.archive, "config GCC_PLUGINS\n").unwrap();
    let error = scene.build(&WORKS).unwrap_err().to_string();
    assert!(error.ends_with("f:2: CONFIG_A is unknown to this source"), "{error}");
}

#[test]
fn a_patch_that_does_not_fit_the_source_stops_the_build_and_is_named() {
    let mut scene = Scene::new();
    let path = scene.folder.path().join("0001-a.patch");
    let mut with = |change: &str| {
        fs::write(&path, change).unwrap();
        let patch = Patch { path: path.clone(), digest: Digest::of(change.as_bytes()) };
        scene.recipe.patches = vec![patch];
        (scene.recipe.key(&WORKS), scene.build(&WORKS))
    };
    let (first, built) = with("+config A\n");
    built.unwrap();
    let (second, refused) = with("+config B\n");
    assert_ne!(first, second, "another patch, another kernel");
    let text = base::explain::render(&refused.unwrap_err());
    assert!(text.contains("cannot apply") && text.contains("0001-a.patch"), "{text}");
    assert!(text.contains("1 out of 1 hunk FAILED") && text.contains("hint: adapt"), "{text}");
}

#[test]
fn modules_are_kept_where_the_configuration_has_any() {
    let mut scene = Scene::new();
    assert_eq!(scene.build(&WORKS).unwrap().modules(), None);

    let granted = "# Linux/x86 6.12.117 Kernel Configuration\nCONFIG_GCC_PLUGINS=y\nCONFIG_A=y\nCONFIG_MODULES=y\n";
    fs::write(&scene.recipe.committed, granted).unwrap();
    scene.recipe.source.digest = Digest::of(b"another");
    const SIGNS: &str = "mkdir -p certs; echo secret > certs/signing_key.pem; ";
    let compile = format!("{SIGNS}{COMPILES}").leak();
    let kernel = scene.build(&Fake { config: granted, compile, ..WORKS }).unwrap();
    let modules = kernel.modules().unwrap();
    assert_eq!(fs::read_to_string(&modules).unwrap(), "modules\n");
    fs::remove_file(&modules).unwrap();
    assert_eq!(cached(&scene.cache(), scene.recipe.key(&WORKS)), None, "it is not whole");
}

#[test]
fn a_damaged_source_archive_is_named() {
    const TAR: &str = "cd \"$SOURCE\" && rm Kconfig && tar --strip-components=1 -xJf \"$ARCHIVE\"";
    let unpacks = Fake { tar: TAR, ..WORKS };
    let scene = Scene::new();
    let archive = &scene.recipe.source.archive;
    let whole = packed("linux/Kconfig", b"config A\nconfig GCC_PLUGINS\n");
    let flipped = [&whole[..whole.len() / 2], b"~", &whole[whole.len() / 2 + 1..]].concat();
    for damaged in [&whole[..whole.len() - 40], &flipped, b"<html>gone</html>", b""] {
        fs::write(archive, damaged).unwrap();
        let text = base::explain::render(&scene.build(&unpacks).unwrap_err());
        assert!(text.contains("cannot unpack the kernel's source from"), "{text}");
        assert!(text.contains("source.tar.xz") && text.contains("hint: "), "{text}");
        assert_eq!(scene.cached(), [""; 0]);
    }
    fs::write(archive, &whole).unwrap();
    scene.build(&unpacks).unwrap();
}

/// An archive of one file, compressed as the kernel's source is.
fn packed(name: &str, content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(liblzma::write::XzEncoder::new(Vec::new(), 1));
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, name, content).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

#[test]
fn a_build_that_was_killed_leaves_nothing_that_the_next_one_uses() {
    const CHILD: &str = "PREON_TEST_KILLED_BUILD";
    let scene = Scene::new();
    let compiler_killed = scene.build(&Fake { compile: "kill -9 $$", ..WORKS }).unwrap_err();
    assert!(
        matches!(compiler_killed, BuildError::Compile { status, .. } if status.signal() == Some(9)),
        "{compiler_killed}"
    );
    if let Some(cache) = std::env::var_os(CHILD) {
        let compiling = Fake { compile: "touch stale; sleep 60", ..WORKS };
        let _ = build(&scene.recipe, &compiling, Path::new(&cache), &Silent);
        unreachable!("this process is killed before");
    }
    let this =
        "kernel::build::tests::a_build_that_was_killed_leaves_nothing_that_the_next_one_uses";
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", this]).env(CHILD, scene.cache()).stdout(Stdio::null());
    let mut child = child.spawn().unwrap();
    let begun = scene.cache().join("work/out/stale");
    let has_begun = || Ok::<_, testkit::wait::TimedOut>(begun.exists().then_some(()));
    testkit::wait::until("a build", Duration::from_secs(60), has_begun).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(begun.exists(), "it could not clear away behind itself");

    let refuses_leftovers = Fake { compile: "test ! -e stale && exit 3", ..WORKS };
    let error = scene.build(&refuses_leftovers).unwrap_err();
    assert!(error.to_string().contains("exit status: 3"), "{error}");
    scene.build(&WORKS).unwrap();
}

#[test]
fn a_committed_configuration_that_is_out_of_date_stops_the_build() {
    let scene = Scene::new();
    let old = "# Linux/x86 6.12.117 Kernel Configuration\nCONFIG_GCC_PLUGINS=y\nCONFIG_A=m\n";
    fs::write(&scene.recipe.committed, old).unwrap();
    let error = scene.build(&WORKS).unwrap_err();
    assert!(error.to_string().ends_with("CONFIG_A: m → y"), "{error}");
    assert!(error.hint().unwrap().starts_with("run `forge kernel config hardened`, then"));

    // A newer source may bring options of its own: that must not stop a development build.
    fs::write(&scene.recipe.committed, old.replace("117", "116")).unwrap();
    scene.build(&WORKS).unwrap();
}

#[test]
fn a_difference_is_a_note_only_where_the_source_is_newer() {
    let with = |version: &str| format!("# Linux/x86 {version} Kernel Configuration\nCONFIG_A=m\n");
    #[rustfmt::skip]
    let cases = [
        (with("6.12.99"),                 None), // an older one
        (with("6.12.117"),                Some("is not what the fragments lead to")),
        (with("6.12.118"),                Some("is not what the fragments lead to")),
        (with("six"),                     Some("is not what the fragments lead to")),
        (String::new(),                   Some("hardened.config does not say of which version")),
        ("CONFIG_A=y\nCONFIG_GCC_PLUGINS=y\n".into(), Some("hardened.config does not say of which version")),
        ("<html>\n".into(),               Some("hardened.config is no kernel configuration")),
    ];
    for (committed, expected) in cases {
        let scene = Scene::new();
        fs::write(&scene.recipe.committed, &committed).unwrap();
        let recorder = Recorder::default();
        let built = build(&scene.recipe, &WORKS, &scene.cache(), &recorder);
        let Some(expected) = expected else {
            built.unwrap();
            let told = recorder.told().join("\n");
            assert!(
                told.contains("the source is newer than") && told.contains("CONFIG_A: m → y"),
                "{told}"
            );
            continue;
        };
        let error = built.unwrap_err();
        assert!(error.to_string().contains(expected), "{committed}: {error}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("`forge kernel config hardened`"), "{committed}: {hint}");
    }
}

#[test]
fn a_build_says_that_it_waits_for_another_and_empties_its_folder() {
    let scene = Scene::new();
    let recorder = Arc::new(Recorder::default());
    hold_until_waited_for(&scene.cache().join("lock"), &recorder);
    build(&scene.recipe, &WORKS, &scene.cache(), recorder.as_ref()).unwrap();
    let expected = [
        "waiting for another build of a kernel",
        "configuring the kernel",
        "compiling the kernel",
        "emptying the kernel's work folder",
    ];
    assert_eq!(recorder.told(), expected);
}

#[test]
fn nobody_else_may_look_into_the_work_folder() {
    const LOOKS: &str = "test \"$(stat -c %a ..)\" = 700 || exit 4; ";
    let compile = format!("{LOOKS}{COMPILES}").leak();
    Scene::new().build(&Fake { compile, ..WORKS }).unwrap();
}

#[test]
fn what_a_killed_build_left_goes_when_the_kernel_comes_from_the_cache_unless_another_is_at_work() {
    let scene = Scene::new();
    scene.build(&WORKS).unwrap();
    let key = scene.cache().join("work/out/certs/signing_key.pem");
    file::replace(&key, b"secret").unwrap();
    let lock = fs::File::open(scene.cache().join("lock")).unwrap();
    lock.lock().unwrap();
    scene.build(&WORKS).unwrap();
    assert!(key.exists(), "it is the other's");

    drop(lock);
    // A program that another test starts at this moment has the lock open until it runs.
    let is_gone = || {
        scene.build(&WORKS).unwrap();
        let alone = scene.cached() == [scene.recipe.key(&WORKS).short()];
        Ok::<_, testkit::wait::TimedOut>(alone.then_some(()))
    };
    testkit::wait::until("an empty place", Duration::from_secs(20), is_gone).unwrap();
}
