//! What is to be built from source: chosen with the lock, missing in development, wanted by a release.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use base::Digest;

use crate::checkout::{Checkout, package};
use crate::demo;

const METHOD: &str = "profiles = [\"nocheck\"]\noptions = []\n[flags]\n[environment]\n";

/// A checkout whose recipe for `demo` builds it from source, of which the archive has this version.
fn checkout(source: &str) -> Checkout {
    let packages = [
        demo("1"),
        package(("build-essential", "1"), "", &[]),
        package(("fakeroot", "1"), "", &[]),
    ];
    let mut checkout = Checkout::new(&packages);
    let recipe = "summary = \"x\"\n[build]\nreason = \"not full RELRO\"\n";
    checkout.write("os/packages/demo/recipe.toml", recipe);
    checkout.write("os/packages/build.toml", METHOD);
    let tools = "[root.packages]\nsummary = \"x\"\npackages = [\"fakeroot\"]\n";
    checkout.write("os/tools.toml", tools);
    let images = "summary = \"x\"\npackages = [\"demo\"]\n";
    checkout.write("os/images/oci.toml", &format!("{images}[container]\n"));
    checkout.write("os/images/demo.toml", images);
    let line = |name: &str| format!(" {} 1 {name}\n", Digest::of(b"x"));
    checkout.archive.sources = format!(
        "Package: demo\nVersion: {source}\nDirectory: pool/demo\nFormat: 3.0 (native)\n\
         Build-Depends: build-essential, absent <!nocheck>\nChecksums-Sha256:\n{}{}",
        line("demo.dsc"),
        line("demo.tar.xz")
    );
    checkout.publish(&packages);
    checkout
}

#[test]
fn a_development_image_takes_debians_build_and_a_release_does_not() {
    let checkout = checkout("1");
    checkout.forge(&["update"]).good();
    assert!(checkout.lock().contains("[sources.\"demo\"]"), "{}", checkout.lock());
    let recipe = checkout.path("os/packages/fakeroot/recipe.toml");
    std::fs::write(&recipe, "summary = \"x\"\n[build]\nreason = \"y\"\n").unwrap();
    let error = checkout.forge(&["image", "oci", "--release"]).error();
    assert!(error.contains("names no source for what the recipe fakeroot builds"), "{error}");
    std::fs::write(&recipe, "summary = \"x\"\n").unwrap();
    let list = checkout.forge(&["package", "list"]).good().out;
    assert!(list.contains("demo") && list.contains("not full RELRO"), "{list}");

    checkout.forge(&["image", "oci"]).good();
    let error = checkout.forge(&["image", "oci", "--release"]).error();
    assert!(error.contains("not built from source yet: demo"), "{error}");
    assert!(error.contains("forge package build --all"), "{error}");
}

#[test]
fn a_source_that_cannot_be_had_is_named() {
    let checkout = checkout("1");
    checkout.forge(&["update"]).good();
    let error = checkout.forge(&["package", "build", "demo"]).error();
    assert!(error.contains("demo.tar.xz does not exist"), "{error}");
    let error = checkout.forge(&["package", "build", "dmo"]).error();
    assert!(
        error.contains("no recipe builds dmo") && error.contains("did you mean demo?"),
        "{error}"
    );
    assert_eq!(checkout.unfinished(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn a_source_that_is_not_what_the_archive_signed_is_refused() {
    let checkout = checkout("1");
    checkout.forge(&["update"]).good();
    for name in ["demo.dsc", "demo.tar.xz"] {
        checkout.archive.server.put(&format!("debian/pool/demo/{name}"), "y"); // as long as it should be
    }
    let error = checkout.forge(&["package", "build", "demo"]).error();
    assert!(error.contains("is not what was promised"), "{error}");
    let refused = Digest::of(b"y").to_string();
    assert!(!checkout.names("cache/archive/by-hash/sha256").contains(&refused));
    assert_eq!(checkout.unfinished(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn a_lock_is_not_made_without_the_source_of_what_is_to_be_built() {
    let checkout = checkout("2");
    let error = checkout.forge(&["update"]).error();
    assert!(error.contains("no source package demo 1, from which demo was built"), "{error}");
    assert_eq!(checkout.lock(), "");
}

/// Runs `script` as user 4242, who has users 100000 and up to give away, whoever else this machine has. `None` if
/// only root could do so, and we are not root.
fn as_somebody(folder: &Path, script: &str) -> Option<std::process::Output> {
    let root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    for (file, line) in
        [("passwd", "somebody:x:4242:4242::/:/bin/sh"), ("subuid", SPARE), ("subgid", SPARE)]
    {
        std::fs::write(folder.join(file), format!("{line}\n")).unwrap();
    }
    let script = format!(
        "set -e; cd {folder}; for file in passwd subuid subgid; do mount --bind $file /etc/$file; done\n\
         chown -R 4242:4242 {folder}\n\
         exec setpriv --reuid=4242 --regid=4242 --clear-groups sh -ec '{script}'",
        folder = folder.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).stdin(Stdio::null());
    root.then(|| command.output().unwrap())
}

const SPARE: &str = "4242:100000:65536";

#[test]
fn files_of_other_users_that_a_killed_build_left_go_with_the_next_run_of_whoever_called() {
    let checkout = checkout("1");
    let forge = env!("CARGO_BIN_EXE_forge");
    let scratch = tempfile::tempdir().unwrap();
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    std::fs::copy(forge, scratch.path().join("forge")).unwrap();
    let os = format!("cp -r {}/os .", checkout.path("").display());
    assert!(
        Command::new("sh")
            .args(["-c", &os])
            .current_dir(scratch.path())
            .status()
            .unwrap()
            .success()
    );
    let script = "mkdir -p cache/built/.x.1-work.part/d; touch cache/in-use\n\
         unshare --map-root-user --map-auto sh -c \"touch cache/built/.x.1-work.part/d/f; chmod 700 cache/built/.x.1-work.part/d; \
         chown -R 1000:1000 cache/built/.x.1-work.part/d\"\n\
         ! rm -r cache/built/.x.1-work.part 2>/dev/null\n\
         HOME=/ ./forge --cache cache cache show\n\
         ls -A cache/built";
    let Some(output) = as_somebody(scratch.path(), script) else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("built             0"), "{text}");
    assert!(!text.contains(".part"), "{text}");
}
