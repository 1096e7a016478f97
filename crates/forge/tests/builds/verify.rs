//! A repository is verified as a host would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::refresh::Product;

fn uri(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

/// Another folder with what the repository of `product` holds.
fn mirror(product: &Product, name: &str) -> PathBuf {
    let copy = product.checkout.path(name);
    let repository = product.checkout.path("out/repository");
    assert!(Command::new("cp").arg("-a").args([&repository, &copy]).status().unwrap().success());
    copy
}

#[test]
fn each_mirror_that_a_host_would_refuse_is_named_and_the_others_are_shown() {
    let product = Product::new();
    let folder = product.checkout.path("out/repository");
    let good = product.forge(&["repo", "verify", "--packages", "--json"], &[]).good();
    let said: Value = serde_json::from_str(&good.out).unwrap();
    let seen = &said["mirrors"][0];
    assert_eq!(seen["mirror"], uri(&folder));
    assert_eq!((&seen["version"], &seen["root"]), (&1.into(), &1.into()));
    assert!(seen["packages"].as_u64().unwrap() > 0, "{said}");

    let [lacks, lies] = ["lacks", "lies"].map(|name| mirror(&product, name));
    fs::remove_dir_all(lacks.join("pool")).unwrap();
    fs::write(lies.join("dists/preon-trixie/tuf/1.targets.json"), "{}").unwrap();
    let words = ["repo", "verify", "--packages", &uri(&folder), &uri(&lacks), &uri(&lies)];
    let bad = product.forge(&words, &[]);
    let expected = format!("{}: publication 1, root 1, until ", uri(&folder));
    assert!(bad.out.starts_with(&expected) && bad.out.lines().count() == 1, "{}", bad.out);
    let error = bad.error();
    assert!(error.starts_with("error: 2 of 3 mirrors cannot be used\n"), "{error}");
    assert!(error.contains(&format!("  {}/targets/", uri(&lacks))), "{error}");
    let lie = format!("  {}: its files do not belong together: ", uri(&lies));
    assert!(error.contains(&lie), "{error}");
}

#[test]
fn an_older_repository_is_refused_by_who_remembers_a_newer_one() {
    let product = Product::new();
    let old = mirror(&product, "old");
    product.forge(&["repo", "publish"], &[]).good();
    let new = product.checkout.path("out/repository");
    let memory = product.checkout.path("memory");
    let memory = ["--memory", memory.to_str().unwrap()];
    // Who remembers nothing looks at each by itself.
    product.forge(&["repo", "verify", &uri(&new), old.to_str().unwrap()], &[]).good();
    product.forge(&["repo", "verify"], &memory).good();
    let error = product.forge(&["repo", "verify", &uri(&old)], &memory).error();
    assert!(error.contains("its metadata is older than what this host has seen"), "{error}");
    assert!(error.contains("hint: the mirror is behind"), "{error}");
}
