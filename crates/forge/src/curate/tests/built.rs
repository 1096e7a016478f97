//! Packages that were built from source beside Debian's build of them.

use packages::deb::Deb;

use super::bench::{Bench, PLAIN};

#[test]
fn what_a_build_does_without_is_what_debians_depends_on_and_it_does_not() {
    let recipe = format!("{PLAIN}[build]\nreason = \"x\"\nwithout = {{ perl = \"x\" }}\n");
    #[rustfmt::skip]
    let cases = [
        // built  depends on          the complaint
        (false,   "perl, libc6",      None),
        (true,    "libc6",            None),
        (false,   "libc6",            Some("the recipe a leaves out perl, on which none of its packages depends")),
        (true,    "libc6, x | perl",  Some("it was built from source and depends on perl nevertheless")),
    ];
    for (built, depends, complaint) in cases {
        let mut bench = Bench::new(&[("a/recipe.toml", &recipe)]);
        bench.package("a", &format!("Depends: {depends}\n"), &[]);
        if built {
            bench.rebuilt();
        }
        let Some(complaint) = complaint else {
            let curated = bench.run().unwrap().remove(0);
            let deb = Deb::open(&curated.path).unwrap();
            assert_eq!(deb.control().get("Depends"), Some(depends)); // Debian's build needs it still
            continue;
        };
        assert!(bench.complaint().contains(complaint), "{}", bench.complaint());
    }
}

#[test]
fn what_we_built_sorts_above_debians_build_and_below_the_next_revision() {
    let version = |revision: u32, built: bool| {
        let recipe = format!("{PLAIN}revision = {revision}\n[build]\nreason = \"x\"\n");
        let mut bench = Bench::new(&[("a/recipe.toml", &recipe)]);
        bench.package("a", "", &[]);
        if built {
            bench.rebuilt();
        }
        let curated = bench.run().unwrap().remove(0);
        Deb::open(&curated.path).unwrap().control().version().clone()
    };
    let versions = [version(1, false), version(1, true), version(2, false), version(2, true)];
    assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{versions:?}");
}

#[test]
fn debians_package_cannot_claim_what_only_curation_says() {
    let mut bench = Bench::new(&[("a/recipe.toml", PLAIN)]);
    bench.package("a", "Preon-Build-Flags: -fPIE\npreon-part-of: x\nPreon-Other: y\n", &[]);
    let curated = bench.run().unwrap().remove(0);
    let control = Deb::open(&curated.path).unwrap().control().to_string().to_lowercase();
    for field in ["preon-build-flags", "preon-part-of", "preon-other"] {
        assert!(!control.contains(field), "{control}");
    }
    assert!(control.contains("preon-origin-sha256"), "{control}");
}
