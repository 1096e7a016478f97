use packages::deb::{Deb, DebError, Limits};

use super::*;

#[test]
fn images_share_a_package_unless_their_command_lines_differ() {
    #[rustfmt::skip]
    let cases = [
        ("",                          "preon-uki-hardened"),
        ("profile = \"strict\"",      "preon-uki-hardened-strict"),
        ("command_line = \"quiet\"",  "preon-uki-hardened-demo"),
        ("profile = \"strict\"\ncommand_line = \"quiet\"", "preon-uki-hardened-demo"),
    ];
    for (text, expected) in cases {
        let text = format!(
            "summary = \"demo\"\npackages = [\"preon\"]\nkernels = [\"hardened\"]\n{text}\n"
        );
        let definition = ImageDefinition::parse(&text);
        let name = package_name(("demo", &definition), Flavour::Hardened).unwrap();
        assert_eq!(name.as_str(), expected, "{text}");
    }
}

#[test]
fn the_package_brings_the_image_and_needs_its_kernels_modules() {
    let dir = tempfile::tempdir().unwrap();
    let version = "6.12.118-1+0preon3".parse().unwrap();
    let kernel = Kernel::in_folder(dir.path());
    let built = Built { flavour: Flavour::Hardened, kernel, version };
    let kernel = manifest::Kernel {
        release: "6.12.118-x".into(),
        version: "6.12.118-1".into(),
        package: "preon-uki-hardened-strict".parse().unwrap(),
        uki: Digest::of(b"uki"),
    };
    let mut using = Using::default();
    let e2fsck = "Package: e2fsck-static\nSource: e2fsprogs (1.47.2-3)\nVersion: 1.47.2-3+b12\nArchitecture: amd64\n";
    using.add(&Control::parse(e2fsck).unwrap(), String::new());
    let mut uki = Uki { kernel, bytes: b"uki".to_vec(), using };
    let key = uki.key();
    let version = super::version(&built.version, 2).unwrap();
    let pack = || pack(&uki, &control(&uki, &built, &version).unwrap(), "mine").unwrap();
    let bytes = pack();
    assert_eq!(bytes, pack());
    let deb = Deb::read("x", &bytes[..]).unwrap();
    let control = deb.control();
    assert_eq!(control.source(), ("linux", "6.12.118-1"));
    assert_eq!(*control.version(), version);
    assert!(version.as_str().starts_with("6.12.118-1+boot"), "{version}");
    assert!(version.as_str().ends_with("+0preon3"), "{version}");
    let depends = Some("preon-kernel-hardened (= 6.12.118-1+0preon3)");
    assert_eq!((control.get("Depends"), control.get("Provides")), (depends, Some("preon-uki")));
    assert_eq!(control.get("Built-Using"), Some("e2fsprogs (= 1.47.2-3)"));
    let mut found = Vec::new();
    deb.visit(Limits::default(), |entry, content| {
        let text = std::io::read_to_string(content).unwrap();
        found.push(format!("{:o} {} {text}", entry.mode, entry.path));
        Ok::<_, DebError>(())
    })
    .unwrap();
    let expected = [
        "755 usr ",
        "755 usr/lib ",
        "755 usr/lib/modules ",
        "755 usr/lib/modules/6.12.118-x ",
        "644 usr/lib/modules/6.12.118-x/vmlinuz.efi uki",
        "755 usr/share ",
        "755 usr/share/doc ",
        "755 usr/share/doc/preon-uki-hardened-strict ",
        "644 usr/share/doc/preon-uki-hardened-strict/copyright mine",
    ];
    assert_eq!(found, expected);
    uki.using = Using::default();
    assert_ne!(uki.key(), key, "another package");
}

#[test]
fn a_later_kernel_and_later_parts_sort_later_for_packages_and_for_the_loader() {
    let kernels = [
        "6.12.117-2+0preon1",
        "6.12.118~rc1-1+0preon1",
        "6.12.118-1~bpo12+1+0preon1",
        "6.12.118-1+0preon3",
        "6.12.118-1+0preon10",
        "6.12.118-1+deb13u1+0preon1",
        "6.12.118-1.1+0preon1",
        "6.12.118-2+0preon1",
        "6.12.118.1-1+0preon1",
        "6.12.119-1+0preon1",
        "6.13-1+0preon1",
    ];
    // The number of the parts never falls, and may rise alone.
    let numbered = (5..).zip(kernels).flat_map(|(at, kernel)| [(kernel, at), (kernel, at + 1)]);
    let versions: Vec<_> = numbered
        .map(|(kernel, revision)| version(&kernel.parse().unwrap(), revision).unwrap())
        .collect();
    let shown = |version: &Version| {
        let text = os_release("6.12.119-x", version);
        let line = text.lines().find_map(|line| line.strip_prefix("IMAGE_VERSION="));
        line.unwrap().to_owned()
    };
    for two in versions.windows(2) {
        assert!(two[0] < two[1], "{two:?}");
        let [older, newer] = [shown(&two[0]), shown(&two[1])];
        assert!(loader::compare_versions(&older, &newer).is_lt(), "{older} {newer}");
    }
}
