use packages::control::BUILT_USING;
use testkit::schema::{Schema, violations};

use super::*;

const COPYRIGHT: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n\
                         Files: *\nCopyright: x\nLicense: GPL-2+ and Own\n\nLicense: Own\n Mine \"and\" <yours>.\n";

fn part(control: &str, copyright: Option<&str>, files: &[&str]) -> Part {
    let file = |path: &&str| File {
        path: (*path).to_owned(),
        sha256: Digest::of(path.as_bytes()),
        sha1: "da39a3ee5e6b4b0d3255bfef95601890afd80709".into(),
    };
    Part {
        control: Control::parse(control).unwrap(),
        digest: Digest::of(control.as_bytes()),
        suite: if control.contains("Preon-Origin") { "trixie-security" } else { "preon" }.into(),
        licences: copyright.map(packages::copyright::licences),
        files: files.iter().map(file).collect(),
    }
}

fn parts() -> Vec<Part> {
    let origin = Digest::of(b"deb");
    let library = format!(
        "Package: libstdc++6\nSource: gcc-14 (14.2.0-19)\nVersion: 2:14.2.0-19+b1+0preon2\nArchitecture: amd64\n\
         Description: library\n more\nPreon-Build-Flags: -O2\n -fPIE\nPreon-Origin-SHA256: {origin}\nPreon-Documentation: gcc-14-base\n"
    );
    let base = format!(
        "Package: gcc-14-base\nSource: gcc-14 (14.2.0-19)\nVersion: 14.2.0-19+0preon1\nArchitecture: amd64\n\
         Preon-Origin-SHA256: {origin}\nPreon-Fixes:\n 14.2.0-1 - CVE-2023-4039\n"
    );
    let own = "Package: preon-base\nVersion: 0.1.0\nArchitecture: amd64\nPreon-Documentation: gcc-14-base\n";
    vec![
        part(&library, None, &["/usr/lib/libstdc++.so.6", "/usr/lib/odd \"name\"\u{e9}"]),
        part(&base, Some(COPYRIGHT), &[]),
        part(own, None, &["/usr/lib/x"]),
    ]
}

fn bill(parts: Vec<Part>) -> Bill {
    let product = Product {
        version: "1".into(),
        build_id: "abc".into(),
        image: "demo".into(),
        not_rebuilt: [].into(),
    };
    Bill::new(&product, 1_795_573_351, parts).unwrap()
}

#[test]
fn bills_keep_the_official_schemas() {
    let bill = bill(parts());
    let all = [
        (Schema::Spdx, spdx::document(&bill, spdx::Detail::Full)),
        (Schema::Spdx, spdx::document(&bill, spdx::Detail::Host)),
        (Schema::CycloneDx, cyclonedx::document(&bill)),
    ];
    for (schema, text) in all {
        assert_eq!(violations(schema, &text), [""; 0], "{text}");
        // And the schema says something: without its first identifier the document breaks it.
        let broken = text.replacen("SPDXID", "x", 1).replacen("\"1.6\"", "16", 1);
        assert_ne!(violations(schema, &broken), [""; 0], "{schema:?}");
    }
}

/// What is linked into programs, or lies in an initrd: scanners find flaws in it by source and version.
#[test]
fn what_packages_were_built_with_is_in_the_bill_once_and_belongs_to_them() {
    let origin = Digest::of(b"deb");
    let uki = "Package: preon-uki-x\nSource: linux (6.12-1)\nVersion: 6.12-1+0preon1\nArchitecture: amd64\n\
               Built-Using: e2fsprogs (= 1.47.2-3), glibc (= 2.41-12), bad (>= 1)\n";
    let docker = format!(
        "Package: docker\nVersion: 1-1\nArchitecture: amd64\nPreon-Origin-SHA256: {origin}\n\
         Static-Built-Using: glibc (= 2.41-12), glibc (= 1:2.42-1)\n"
    );
    let sid =
        format!("Package: sid\nVersion: 1\nArchitecture: all\n{BUILT_USING}: glibc (= 2.41-12)\n");
    let mut all = vec![part(uki, None, &[]), part(&docker, None, &[]), part(&sid, None, &[])];
    (all[0].suite, all[2].suite) = ("trixie".into(), "sid".into());
    let bill = bill(all);
    for (schema, text) in [
        (Schema::Spdx, spdx::document(&bill, spdx::Detail::Full)),
        (Schema::Spdx, spdx::document(&bill, spdx::Detail::Host)),
        (Schema::CycloneDx, cyclonedx::document(&bill)),
    ] {
        assert_eq!(violations(schema, &text), [""; 0], "{text}");
        let purl = "pkg:deb/debian/e2fsprogs@1.47.2-3?arch=source&distro=trixie";
        assert_eq!(text.matches(purl).count(), 1, "{text}");
        assert_eq!(text.matches("pkg:deb/debian/glibc@2.41-12?arch=source").count(), 1, "{text}");
        assert!(
            text.contains("glibc@1%3A2.42-1?") && !text.contains("pkg:deb/debian/bad"),
            "{text}"
        );
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let rows = match schema {
            Schema::Spdx => json["relationships"].as_array().unwrap().iter(),
            _ => json["dependencies"].as_array().unwrap().iter(),
        };
        let of_uki = rows.filter(|row| match schema {
            Schema::Spdx => {
                row["spdxElementId"] == "SPDXRef-Package-preon-uki-x"
                    && row["relationshipType"] == "GENERATED_FROM"
            }
            _ => row["ref"] == "package:preon-uki-x",
        });
        let count =
            of_uki.map(|row| row["dependsOn"].as_array().map_or(1, Vec::len)).sum::<usize>();
        assert_eq!(count, 2, "{text}");
    }
}

#[test]
fn the_same_packages_in_another_order_give_the_same_bytes() {
    let (one, mut reversed) = (bill(parts()), parts());
    reversed.reverse();
    let other = bill(reversed);
    assert_eq!(
        spdx::document(&one, spdx::Detail::Full),
        spdx::document(&other, spdx::Detail::Full)
    );
    assert_eq!(cyclonedx::document(&one), cyclonedx::document(&other));
    let mut changed = parts();
    changed[0].digest = Digest::of(b"another");
    assert_ne!(bill(changed).uuid("x"), one.uuid("x"));
}

#[test]
fn documentation_is_followed_within_one_source_only() {
    let bill = bill(parts());
    let known = |name: &str| {
        let package = bill.packages().iter().find(|it| it.name().as_str() == name).unwrap();
        (package.licences.is_some(), package.fixes.versions().len())
    };
    assert_eq!(known("gcc-14-base"), (true, 1));
    assert_eq!(known("libstdc++6"), (true, 1));
    assert_eq!(known("preon-base"), (false, 0));
}

#[test]
fn a_package_url_names_debians_package_or_ours_and_no_mirror() {
    let bill = bill(parts());
    let purls: Vec<_> = bill.packages().iter().map(purl::purl).collect();
    let origin = Digest::of(b"deb");
    assert_eq!(
        purls,
        [
            format!(
                "pkg:deb/debian/gcc-14-base@14.2.0-19?arch=amd64&checksum=sha256:{origin}&distro=trixie&upstream=gcc-14%4014.2.0-19"
            ),
            // We built this one from source: Debian never had it.
            "pkg:deb/debian/libstdc%2B%2B6@2%3A14.2.0-19%2Bb1?arch=amd64&distro=trixie&upstream=gcc-14%4014.2.0-19"
                .to_owned(),
            "pkg:deb/preon/preon-base@0.1.0?arch=amd64".to_owned(),
        ]
    );
}

#[test]
fn the_host_has_the_licences_names_and_the_published_bill_their_texts() {
    let bill = bill(parts());
    let (full, host) =
        (spdx::document(&bill, spdx::Detail::Full), spdx::document(&bill, spdx::Detail::Host));
    assert!(full.contains(r#"Mine \"and\" <yours>."#), "{full}");
    assert!(full.contains("build flags: -O2 -fPIE"), "{full}");
    assert!(host.contains("See /usr/share/doc/gcc-14-base/copyright.") && !host.contains("Mine"));
}

#[test]
fn a_broken_list_of_fixes_is_refused() {
    let text = "Package: a\nVersion: 1\nArchitecture: all\nPreon-Fixes: nonsense\n";
    let product = Product {
        version: "1".into(),
        build_id: "a".into(),
        image: "demo".into(),
        not_rebuilt: [].into(),
    };
    assert!(Bill::new(&product, 0, vec![part(text, None, &[])]).is_err());
}

#[test]
fn the_summary_says_for_each_source_which_version_fixed_what() {
    assert_eq!(
        sources::summary(&bill(parts())),
        "{\"format\":1,\"image\":\"demo\",\"version\":\"1\",\"build_id\":\"abc\",\"time\":\"2026-11-25T02:22:31Z\",\
         \"sources\":[{\"source\":\"gcc-14\",\"version\":\"14.2.0-19\",\"packages\":[\"gcc-14-base\",\"libstdc++6\"],\
         \"fixed\":[{\"version\":\"14.2.0-1\",\"cves\":[\"CVE-2023-4039\"]}]}]}\n"
    );
}
