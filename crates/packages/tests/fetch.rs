//! Fetching from a server that cuts files short, stalls, knows no ranges or sends other bytes.

#[path = "archive/server.rs"]
#[allow(dead_code, unreachable_pub, missing_docs)]
mod server;

use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use base::file::Staged;
use base::progress::Silent;
use base::{Digest, Explain};
use packages::cache::Cache;
use packages::fetch::{FetchError, FetchOptions, Fetcher, Wanted};
use server::{Fault, Server};

struct Scene {
    server: Server,
    folder: tempfile::TempDir,
    fetcher: Fetcher,
}

fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let options = FetchOptions {
        pause: Duration::ZERO,
        stall: Duration::from_millis(200),
        ..FetchOptions::default()
    };
    let fetcher = Fetcher::new(Cache::new(folder.path()), options).unwrap();
    Scene { server: Server::start(), folder, fetcher }
}

/// 200 kB that do not repeat.
fn content() -> Vec<u8> {
    (0..50_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

impl Scene {
    fn wanted(&self, path: &str) -> Wanted {
        let content = content();
        self.server.put(path, content.clone());
        let uri = format!("{}/{path}", self.server.uri());
        Wanted { uri, size: content.len() as u64, digest: Digest::of(&content) }
    }

    /// Fetches the file with this fault; an error must leave nothing behind that passes for a file.
    fn fetch(&self, fault: Fault) -> Result<Vec<u8>, FetchError> {
        let wanted = self.wanted("file");
        self.server.fault("file", fault);
        let result = self.fetcher.fetch(&wanted, &Silent);
        if result.is_err() {
            assert!(self.fetcher.cache().files().unwrap().is_empty());
        }
        Ok(std::fs::read(result?).unwrap())
    }
}

#[test]
fn a_download_that_is_cut_short_is_resumed() {
    let scene = scene();
    assert_eq!(scene.fetch(Fault::CutOnce(150_000)).unwrap(), content());
    assert_eq!(scene.server.requests(), [("file".into(), 0), ("file".into(), 150_000)]);
}

/// The bytes at which requests began since the last call.
fn starts(scene: &Scene) -> Vec<usize> {
    scene.server.requests().into_iter().map(|(_, start)| start).collect()
}

#[test]
fn what_an_earlier_run_has_left_is_not_fetched_again() {
    let scene = scene();
    let wanted = scene.wanted("file");
    let cache = scene.fetcher.cache();
    let left = cache.path(&wanted.digest).with_file_name(format!(".{}.part", wanted.digest));
    for (bytes, expected) in [
        (content()[..70_000].to_vec(), vec![70_000]),
        (vec![0; 70_000], vec![70_000, 0]), // anybody may have put it there
        (vec![0; 300_000], vec![0]),
    ] {
        base::file::replace(&left, &bytes).unwrap();
        let path = scene.fetcher.fetch(&wanted, &Silent).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), content());
        assert_eq!(starts(&scene), expected);
        assert!(cache.unfinished().unwrap().is_empty());
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_file_that_somebody_else_fetches_is_fetched_beside_that() {
    let scene = scene();
    let wanted = scene.wanted("file");
    let cache = scene.fetcher.cache();
    let mut other = Staged::go_on(&cache.path(&wanted.digest)).unwrap().unwrap();
    other.write_all(b"slow").unwrap();
    let path = scene.fetcher.fetch(&wanted, &Silent).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content());
    drop(other);
    assert!(cache.unfinished().unwrap().is_empty());
}

#[test]
fn what_has_arrived_on_a_bad_line_stays_for_another_time() {
    let scene = scene();
    let cache = Cache::new(scene.folder.path());
    let options = FetchOptions { attempts: 1, ..FetchOptions::default() };
    let impatient = Fetcher::new(cache, options).unwrap();
    let wanted = scene.wanted("file");
    scene.server.fault("file", Fault::CutOnce(150_000));
    assert!(matches!(impatient.fetch(&wanted, &Silent), Err(FetchError::Truncated { .. })));
    impatient.fetch(&wanted, &Silent).unwrap();
    assert_eq!(starts(&scene), [0, 150_000]);
}

#[test]
fn a_server_without_ranges_sends_the_whole_again() {
    let scene = scene();
    // The server cuts the first answer, and ignores the range in the second.
    let wanted = scene.wanted("file");
    scene.server.fault("file", Fault::CutOnceWithoutRanges(100_000));
    let path = scene.fetcher.fetch(&wanted, &Silent).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content());
}

#[test]
fn attempts_that_bring_something_do_not_use_up_the_patience() {
    let scene = scene();
    assert_eq!(scene.fetch(Fault::Cut(70_000)).unwrap(), content());
    assert_eq!(starts(&scene), [0, 70_000, 140_000]);
}

#[test]
fn a_server_that_always_cuts_at_the_same_byte_is_given_up() {
    let scene = scene();
    let error = scene.fetch(Fault::Cut(0)).unwrap_err();
    assert!(error.to_string().ends_with("is cut short: 0 B of 200.0 kB arrived"), "{error}");
    assert!(error.hint().is_some());
    assert_eq!(scene.server.requests().len(), 4);
}

#[test]
fn a_server_that_stalls_is_given_up() {
    let scene = scene();
    let error = scene.fetch(Fault::Stall(10)).unwrap_err();
    assert!(
        error.to_string().ends_with("the server sent nothing, or next to nothing, for 0.2 s"),
        "{error}"
    );
    assert!(error.hint().is_some());
}

#[test]
fn a_server_that_brings_next_to_nothing_is_given_up() {
    let error = scene().fetch(Fault::Drip).unwrap_err();
    assert!(matches!(error, FetchError::Stalled { .. }), "{error}");
}

#[test]
fn what_one_place_lacks_or_changes_is_asked_of_the_next() {
    let scene = scene();
    let put = |path: &str, text: &str| {
        scene.server.put(path, text);
        let uri = format!("{}/{path}", scene.server.uri());
        Wanted { uri, size: text.len() as u64, digest: Digest::of(text.as_bytes()) }
    };
    let places = [
        vec![put("one", "1")],
        vec![put("two", "2"), put("other/two", "2")],
        vec![put("three", "3"), put("other/three", "3")],
    ];
    scene.server.remove("three");
    scene.server.fault("two", Fault::Tamper);
    let told = Mutex::new(Vec::new());
    let arrived = |at: usize| told.lock().unwrap().push(at);
    let paths = scene.fetcher.fetch_anywhere(&places, &Silent, &arrived).unwrap();
    let mut told = told.into_inner().unwrap();
    told.sort_unstable();
    assert_eq!(told, [0, 1, 2], "each is told of once, whichever place it came from");
    let texts: Vec<_> = paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    assert_eq!(texts, ["1", "2", "3"]);
    let nowhere = [vec![put("four", "4"), put("other/four", "4")]];
    ["four", "other/four"].iter().for_each(|path| scene.server.remove(path));
    let error = scene.fetcher.fetch_anywhere(&nowhere, &Silent, &|_| ()).unwrap_err();
    assert!(matches!(&error, FetchError::NotFound { uri } if uri.contains("other")), "{error}");
}

#[test]
fn other_bytes_than_promised_are_refused_at_once() {
    for (fault, message) in [
        (Fault::Tamper, "is not what was promised"),
        (Fault::TooLong, "is longer than the 200.0 kB that it should have"),
    ] {
        let scene = scene();
        let error = scene.fetch(fault).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.hint().is_some());
        assert_eq!(scene.server.requests().len(), 1);
    }
}

#[test]
fn errors_of_the_server_are_told_apart() {
    let scene = scene();
    assert_eq!(scene.fetch(Fault::StatusOnce(503)).unwrap(), content());
    for (status, tries) in [(403, 1), (500, 4), (404, 1)] {
        let scene = self::scene();
        let error = scene.fetch(Fault::Status(status)).unwrap_err();
        assert_eq!(scene.server.requests().len(), tries, "{error}");
        assert_eq!(matches!(error, FetchError::NotFound { .. }), status == 404, "{error}");
        assert!(error.hint().is_some(), "{error}");
    }
}

#[test]
fn a_server_that_is_not_there_is_an_error_with_a_hint() {
    let scene = scene();
    let wanted = scene.wanted("file");
    drop(scene.server);
    let error = scene.fetcher.fetch(&wanted, &Silent).unwrap_err();
    assert!(error.to_string().starts_with("cannot fetch http://127.0.0.1:"), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn many_files_arrive_in_order_and_only_once() {
    let scene = scene();
    let wanted: Vec<_> = (0..9)
        .map(|number| {
            let content = format!("content {number}");
            scene.server.put(&number.to_string(), content.clone());
            let uri = format!("{}/{number}", scene.server.uri());
            Wanted { uri, size: content.len() as u64, digest: Digest::of(content.as_bytes()) }
        })
        .collect();
    for requests in [9, 0] {
        let paths = scene.fetcher.fetch_all(&wanted, &Silent).unwrap();
        for (number, path) in paths.iter().enumerate() {
            assert_eq!(std::fs::read_to_string(path).unwrap(), format!("content {number}"));
        }
        assert_eq!(scene.server.requests().len(), requests);
    }
}

#[test]
fn large_files_are_asked_for_first() {
    let scene = scene();
    let options = FetchOptions { parallel: 1, ..FetchOptions::default() };
    let fetcher = Fetcher::new(Cache::new(scene.folder.path()), options).unwrap();
    let wanted = [("small", 1), ("large", 3), ("middle", 2)].map(|(path, size)| {
        let text = "x".repeat(size);
        scene.server.put(path, text.clone());
        let uri = format!("{}/{path}", scene.server.uri());
        Wanted { uri, size: size as u64, digest: Digest::of(text.as_bytes()) }
    });
    fetcher.fetch_all(&wanted, &Silent).unwrap();
    let asked: Vec<_> = scene.server.requests().into_iter().map(|(path, _)| path).collect();
    assert_eq!(asked, ["large", "middle", "small"]);
}

#[test]
fn folders_are_archives_too() {
    let scene = scene();
    let file = scene.folder.path().join("file");
    std::fs::write(&file, content()).unwrap();
    let uri = format!("file://{}", file.display());
    let wanted = Wanted { uri, ..scene.wanted("file") };
    let path = scene.fetcher.fetch(&wanted, &Silent).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content());
    let digest = Digest::of(b"");
    let wanted = Wanted { uri: format!("{}-not", wanted.uri), digest, ..wanted };
    let error = scene.fetcher.fetch(&wanted, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::NotFound { .. }), "{error}");
}
