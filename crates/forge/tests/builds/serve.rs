//! A repository that is served with a certificate.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::refresh::Product;

/// Killed when it goes.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A certificate that vouches for itself, in `name.pem` with its key in `name.key`.
fn certificate(folder: &Path, name: &str) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    command.args(["-nodes", "-days", "1", "-subj", "/CN=localhost"]);
    command.args(["-addext", "subjectAltName=DNS:localhost"]).stderr(Stdio::null());
    command.args(["-out", &format!("{name}.pem"), "-keyout", &format!("{name}.key")]);
    assert!(command.current_dir(folder).status().unwrap().success());
}

/// What the server at `address` answers to whoever trusts the certificate `name`.
fn answer(folder: &Path, name: &str, address: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-verify_return_error", "-verify_hostname", "localhost"]);
    command.args(["-CAfile", &format!("{name}.pem"), "-connect", address]);
    command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = command.spawn().unwrap();
    let request = "GET /dists/preon-trixie/InRelease HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut input = client.stdin.take().unwrap();
    let _ = input.write_all(request.as_bytes()); // it may have hung up already
    let output = client.wait_with_output().unwrap();
    drop(input);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_repository_is_served_encrypted_to_whoever_trusts_its_certificate() {
    let product = Product::new();
    let folder = product.keys.path();
    ["good", "other"].iter().for_each(|name| certificate(folder, name));
    let [pem, key] = ["good.pem", "good.key"].map(|name| folder.join(name));
    let words = ["repo", "serve", "--listen", "127.0.0.1:0", "--certificate"];
    let [pem, key] = [pem, key].map(|path| path.to_str().unwrap().to_owned());
    let words = [&words[..], &[&pem, "--certificate-key", &key]].concat();
    let mut server = Server(product.checkout.start(&words));
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let (_, address) = first.rsplit_once("https://").unwrap_or_else(|| panic!("{first}"));

    let answer_to = |name| answer(folder, name, address);
    let good = answer_to("good");
    assert!(good.starts_with("HTTP/1.1 200 ") && good.contains("Suite: preon-trixie"), "{good}");
    assert_eq!(answer_to("other"), "");
}
