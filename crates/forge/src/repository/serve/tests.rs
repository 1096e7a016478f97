//! A real server on the loopback interface.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;

use super::*;

struct Running {
    _scratch: tempfile::TempDir,
    address: SocketAddr,
}

fn run(tls: Option<Arc<ServerConfig>>) -> Running {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("repository");
    fs::create_dir_all(root.join("pool")).unwrap();
    fs::write(root.join("pool/a+b"), "0123456789").unwrap();
    fs::write(root.join(".lock"), "").unwrap();
    fs::write(scratch.path().join("secret"), "secret").unwrap();
    symlink("pool/a+b", root.join("inside")).unwrap();
    symlink("../secret", root.join("outside")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let root = root.canonicalize().unwrap();
    thread::spawn(move || serve(&listener, &root, tls.as_ref()));
    Running { _scratch: scratch, address }
}

impl Running {
    /// All that the server answers to these bytes, until it closes the connection.
    fn answer(&self, text: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str, headers: &str) -> String {
        self.answer(&format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n"))
    }
}

#[test]
fn files_and_parts_of_them_are_served_and_nothing_else() {
    let server = run(None);
    #[rustfmt::skip]
    let cases = [
        ("/pool/a%2bb", "",                        "200", "0123456789"),
        ("/inside",     "",                        "200", "0123456789"),
        ("/pool/a+b",   "Range: bytes=4-\r\n",     "206", "456789"),
        ("/pool/a+b",   "Range: bytes=-2\r\n",     "206", "89"),
        ("/pool/a+b",   "Range: bytes=10-\r\n",    "416", ""),
        ("/outside",    "",                        "404", ""),
        ("/.lock",      "",                        "404", ""),
        ("/pool",       "",                        "404", ""),
        ("/../secret",  "",                        "404", ""),
    ];
    for (path, headers, status, body) in cases {
        let answer = server.get(path, headers);
        let (head, content) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {headers}: {head}");
        assert_eq!(content, body, "{path} {headers}");
    }
    let head = server.answer("HEAD /inside HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(head.contains("Content-Length: 10\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn requests_that_come_at_once_on_one_connection_are_answered_in_their_order() {
    let server = run(None);
    let one = "GET /pool/a+b HTTP/1.1\r\n\r\nGET /none HTTP/1.1\r\n\r\n";
    let answer = server.answer(&format!("{one}GET /inside HTTP/1.0\r\n\r\n"));
    let statuses = answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]);
    assert_eq!(statuses.collect::<Vec<_>>(), ["200", "404", "200"], "{answer}");
}

#[test]
fn nonsense_is_answered_and_the_next_client_served() {
    let server = run(None);
    assert!(server.answer("\x16\x03\x01 nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(server.answer("DELETE /pool/a+b HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(server.get("/inside", "").ends_with("0123456789"));
}
