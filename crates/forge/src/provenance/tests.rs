use base::explain::render;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey, EncodePublicKey};

use super::statement::{Build, Resource};
use super::*;

/// A folder with a key, its public half, and a signed statement about the file `subject`.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        for (name, seed) in [("key", 1), ("other", 2)] {
            let key = SigningKey::from_bytes(&[seed; 32]);
            let private = key.to_pkcs8_pem(LineEnding::LF).unwrap();
            std::fs::write(bench.path(name), private.as_bytes()).unwrap();
            let public = key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
            std::fs::write(bench.path(&format!("{name}.public")), public).unwrap();
        }
        std::fs::write(bench.path("subject"), "bytes").unwrap();
        let signer = Signer::from_pem(&file::read_text(&bench.path("key")).unwrap()).unwrap();
        write(&bench.path("signed"), &signer, &[("a".into(), statement())]).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn envelope(&self) -> PathBuf {
        self.path("signed/a.intoto.json")
    }

    /// What verifying says, or what the user sees of its failure.
    fn verify(&self, key: &str, files: &[&str]) -> Result<String, String> {
        let files = files.iter().map(|name| self.path(name)).collect();
        let (statement, key) = (self.envelope(), self.path(key));
        let verify = Verify { statement, files, key, json: false };
        verify
            .run()
            .map_err(|error| render(&error).replace(&*self.0.path().to_string_lossy(), "DIR"))
    }
}

fn statement() -> Statement {
    let subject = Resource::new("a_1_all.deb", Digest::of(b"bytes"));
    let recipe = Resource::new("os/packages/a", Digest::of(b"recipe"));
    Statement::new(Build::Curate, vec![subject], &[("package", "a")], vec![recipe])
}

#[test]
fn a_signed_statement_says_what_a_file_was_made_from() {
    let said = Bench::new().verify("key.public", &["subject"]).unwrap();
    let (subject, recipe) = (Digest::of(b"bytes"), Digest::of(b"recipe"));
    assert_eq!(
        said,
        format!(
            "made by   https://preon.invalid/forge/curate/v1\npackage   a\n\
             is        {subject} a_1_all.deb\nof        {recipe} os/packages/a"
        )
    );
}

#[test]
fn another_key_another_file_and_a_changed_statement_are_not_trusted() {
    let bench = Bench::new();
    let complaint = |key: &str, files: &[&str]| bench.verify(key, files).unwrap_err();
    assert!(complaint("other.public", &[]).contains("caused by: the key "));
    assert!(complaint("key.public", &["other"]).starts_with("error: DIR/other is nothing that"));
    assert!(complaint("key", &[]).contains("it is no public key of Ed25519"));

    let good = file::read_text(&bench.envelope()).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&good).unwrap();
    let other = Statement::new(Build::Curate, Vec::new(), &[], Vec::new()).to_json();
    let payload = <base64ct::Base64 as base64ct::Encoding>::encode_string(other.as_bytes());
    json["payload"] = payload.into();
    #[rustfmt::skip]
    let cases = [
        (json.to_string(),                                   "its signature is not of what it holds"),
        (good.replace("vnd.in-toto+json", "json"),           "it holds `application/json`"),
        (good.replace("\"sig\": \"", "\"sig\": \"!"),        "its signature is not Base64"),
        (good.replace("\"signatures\"", "\"other\""),        "it is no DSSE envelope"),
        (String::new(),                                      "it is no DSSE envelope"),
    ];
    for (text, message) in cases {
        std::fs::write(bench.envelope(), text).unwrap();
        let complaint = complaint("key.public", &["subject"]);
        assert!(complaint.contains(message), "{complaint}");
    }
}

#[test]
fn what_is_signed_but_no_statement_of_ours_is_refused() {
    let good = statement().to_json();
    #[rustfmt::skip]
    let cases = [
        ("Statement/v1",          "Statement/v9",  "it is `https://in-toto.io/Statement/v9`"),
        ("provenance/v1",         "other/v1",      "it is `https://slsa.dev/other/v1`"),
        ("preon.invalid/forge\"", "evil\"",        "it was made by `https://evil`"),
        ("\"subject\"",           "\"extra\"",     "it is no in-toto statement"),
    ];
    for (old, new, message) in cases {
        let changed = good.replace(old, new);
        assert_ne!(changed, good, "{old}");
        let error = Statement::parse(changed.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
    assert_eq!(Statement::parse(good.as_bytes()).unwrap(), statement());
}

/// Source: DSSE 1.0.2, protocol, "Test vectors" give the encoding; the signature itself is OpenSSL's to check.
#[test]
fn openssl_accepts_the_signature() {
    use base64ct::Encoding;
    let bench = Bench::new();
    let json: serde_json::Value =
        serde_json::from_str(&file::read_text(&bench.envelope()).unwrap()).unwrap();
    let bytes =
        |text: &serde_json::Value| base64ct::Base64::decode_vec(text.as_str().unwrap()).unwrap();
    let payload = bytes(&json["payload"]);
    let head = format!("DSSEv1 28 application/vnd.in-toto+json {} ", payload.len());
    std::fs::write(bench.path("message"), [head.as_bytes(), &payload].concat()).unwrap();
    std::fs::write(bench.path("signature"), bytes(&json["signatures"][0]["sig"])).unwrap();
    let output = std::process::Command::new("openssl")
        .args(["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey"])
        .arg(bench.path("key.public"))
        .arg("-in")
        .arg(bench.path("message"))
        .arg("-sigfile")
        .arg(bench.path("signature"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
