use base::Digest;
use compose::Product;
use compose::bill::Part;
use packages::control::Control;
use testkit::schema::{Schema, violations};

use super::*;

const EPOCH: u64 = 1_795_573_351;

fn part(control: &str) -> Part {
    Part {
        control: Control::parse(control).unwrap(),
        digest: Digest::of(control.as_bytes()),
        suite: "trixie".into(),
        licences: None,
        files: Vec::new(),
    }
}

fn bill(image: &str) -> Bill {
    let fixes = "Preon-Fixes:\n 3.5.4-1~deb13u1 2026-01-27T19:02:11Z CVE-2025-1234 CVE-2025-9999\n 3.5.1-1 - CVE-2025-0001\n";
    let product = Product {
        version: "1".into(),
        build_id: "abc".into(),
        image: image.into(),
        not_rebuilt: [].into(),
    };
    let parts = vec![
        part(&format!(
            "Package: libssl3t64\nSource: openssl (3.5.4-1~deb13u1)\nVersion: 3.5.4-1~deb13u1+0preon2\nArchitecture: amd64\n{fixes}"
        )),
        part("Package: openssl\nVersion: 3.5.4-1~deb13u1+0preon2\nArchitecture: amd64\n"),
        part(
            "Package: libstdc++6\nSource: gcc (1-1)\nVersion: 1-1+0preon1\nArchitecture: amd64\nPreon-Fixes: 1-1 2026-02-01T00:00:00Z CVE-2025-9999\n",
        ),
        part("Package: nothing\nVersion: 1\nArchitecture: all\n"),
    ];
    Bill::new(&product, EPOCH, parts).unwrap()
}

fn read(path: &Path) -> (String, Value) {
    let text = file::read_text(path).unwrap();
    let json = serde_json::from_str(&text).unwrap();
    (text, json)
}

#[test]
fn a_record_says_in_which_curated_version_a_flaw_is_fixed() {
    let dir = tempfile::tempdir().unwrap();
    write(&[bill("demo")], dir.path()).unwrap();
    let record = |name: &str| read(&dir.path().join(format!("osv/PREON-{name}.json"))).1;
    let both = record("CVE-2025-9999");
    assert_eq!(both["upstream"], serde_json::json!(["CVE-2025-9999"]));
    assert_eq!(both["published"], "2026-01-27T19:02:11Z");
    assert_eq!(both["modified"], "2026-02-01T00:00:00Z");
    assert_eq!(
        both["affected"],
        serde_json::json!([
            {
                "package": { "ecosystem": "Preon", "name": "gcc" },
                "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": "1-1+0preon1" }] }],
                "ecosystem_specific": { "binaries": { "libstdc++6": "1-1+0preon1" } },
            },
            {
                "package": { "ecosystem": "Preon", "name": "openssl" },
                "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": "3.5.4-1~deb13u1+0preon1" }] }],
                "ecosystem_specific": {
                    "binaries": { "libssl3t64": "3.5.4-1~deb13u1+0preon2", "openssl": "3.5.4-1~deb13u1+0preon2" },
                },
            },
        ])
    );
    // Without a date in the changelog, the packages' own.
    assert_eq!(record("CVE-2025-0001")["modified"], "2026-11-25T02:22:31Z");
}

#[test]
fn vex_documents_keep_the_official_schema_and_name_their_files_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let written = write(&[bill("demo"), bill("other")], dir.path()).unwrap();
    assert_eq!(written, Written { flaws: 3, sources: 2, images: 2 });
    let names =
        ["preon-vex-gcc", "preon-vex-openssl", "preon-vex-image-demo", "preon-vex-image-other"];
    for name in names {
        let (text, json) = read(&dir.path().join(format!("csaf/{name}.json")));
        assert_eq!(violations(Schema::Csaf, &text), [""; 0], "{text}");
        assert_eq!(json["document"]["tracking"]["id"], name);
        let broken = text.replace("csaf_vex", "");
        assert_ne!(violations(Schema::Csaf, &broken), [""; 0], "{name}");
    }
}

#[test]
fn an_image_lists_each_flaw_with_the_packages_that_fix_it() {
    let (name, document) = csaf::of_image(&bill("demo")).unwrap();
    assert_eq!(name, "preon-vex-image-demo.json");
    let flaws = document["vulnerabilities"].as_array().unwrap();
    let rows: Vec<_> = flaws
        .iter()
        .map(|flaw| format!("{} {}", flaw["cve"], flaw["product_status"]["fixed"]))
        .collect();
    let [gcc, ssl] = ["libstdc++6@1-1+0preon1", "libssl3t64@3.5.4-1~deb13u1+0preon2"]
        .map(|id| format!("\"preon-demo:1+abc:{id}\""));
    assert_eq!(
        rows,
        [
            format!("\"CVE-2025-0001\" [{ssl}]"),
            format!("\"CVE-2025-1234\" [{ssl}]"),
            format!("\"CVE-2025-9999\" [{ssl},{gcc}]"),
        ]
    );
}

#[test]
fn the_same_packages_give_the_same_files_and_old_ones_go() {
    let dir = tempfile::tempdir().unwrap();
    let all = |folder: &Path| {
        let files = ["osv", "csaf"].iter().flat_map(|kind| folder.join(kind).read_dir().unwrap());
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        files
            .into_iter()
            .map(|file| (file.clone(), file::read_text(&file).unwrap()))
            .collect::<Vec<_>>()
    };
    let folder = dir.path().join("advisories");
    write(&[bill("demo"), bill("gone")], &folder).unwrap();
    write(&[bill("demo")], &folder).unwrap();
    let first = all(&folder);
    write(&[bill("demo")], &folder).unwrap();
    assert_eq!(all(&folder), first);
    assert!(!folder.join("csaf/preon-vex-image-gone.json").exists());
}
