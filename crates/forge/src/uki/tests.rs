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
    let uki = Uki { kernel, bytes: b"uki".to_vec() };
    let version = super::version(&built.version).unwrap();
    let bytes = pack(&uki, &control(&uki, &built, &version).unwrap()).unwrap();
    assert_eq!(bytes, pack(&uki, &control(&uki, &built, &version).unwrap()).unwrap());
    let deb = Deb::read("x", &bytes[..]).unwrap();
    let control = deb.control();
    assert_eq!(control.source(), ("linux", "6.12.118-1"));
    assert_eq!(*control.version(), version);
    assert!(version.as_str().starts_with("6.12.118-1+init"), "{version}");
    assert!(version.as_str().ends_with("+0preon3"), "{version}");
    let depends = Some("preon-kernel-hardened (= 6.12.118-1+0preon3)");
    assert_eq!((control.get("Depends"), control.get("Provides")), (depends, Some("preon-uki")));
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
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_later_kernel_and_a_later_product_sort_later() {
    let version = |kernel: &str| version(&kernel.parse().unwrap()).unwrap();
    let [one, two, three] =
        ["6.12.118-1+0preon3", "6.12.118-1+0preon10", "6.12.119-1+0preon1"].map(version);
    assert!(one < two && two < three);
    let text = os_release("6.12.119-x", &three);
    assert!(text.contains(&format!("\nIMAGE_VERSION={three}\n")), "{text}");
}
