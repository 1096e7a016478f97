//! apt accepts our solutions for packages of the real archive, chosen at random, as complete.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use base::progress::Silent;
use packages::archive::{Archive, Contents, Options};
use packages::cache::Cache;
use packages::fetch::{FetchOptions, Fetcher};
use packages::index::{Index, Stanza};
use packages::release::Keyring;
use packages::resolve::{Pins, Request, Solution, Universe, solve};
use packages::sources::Sources;

/// How many packages are tried, unless `PREON_APT_SAMPLES` says otherwise; the nightly run takes
/// 1000.
const SAMPLES: usize = 100;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// trixie as this machine's APT sources have it; kept between runs.
fn trixie() -> Contents {
    let cache = Cache::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("archive"));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let archive = Archive::open(Options {
        sources: Sources::load(Path::new("/")).unwrap(),
        fetcher: Fetcher::new(cache, FetchOptions::default()).unwrap(),
        verify: Box::new(Keyring::load(Path::new(KEYRING)).unwrap()),
        now,
        offline: false,
        stale: BTreeSet::new(),
        progress: Arc::new(Silent),
    });
    match archive.contents(&["trixie"]) {
        Ok(contents) => contents,
        Err(error) => panic!("{}", base::explain::render(&error)),
    }
}

/// The same names at every run, as long as the archive is the same; none twice.
fn samples<'a>(names: &[&'a str], count: usize) -> Vec<&'a str> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut left = names.to_vec();
    (0..count.min(names.len()))
        .map(|_| left.swap_remove((next() % left.len() as u64) as usize))
        .collect()
}

/// Whether apt, given only the packages of the solution, would install exactly these.
fn apt_accepts(solution: &Solution<'_>) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    for name in ["state/lists/partial", "cache/archives/partial", "etc", "repository"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    let list = path("repository").replace('/', "_");
    let stanzas: Vec<_> = solution.packages.iter().map(|stanza| stanza.text()).collect();
    fs::write(path(&format!("state/lists/{list}_._Packages")), stanzas.join("\n")).unwrap();
    fs::write(path("sources"), format!("deb [trusted=yes] file:{} ./\n", path("repository")))
        .unwrap();
    let names: BTreeSet<_> = solution.packages.iter().map(|stanza| stanza.name()).collect();
    let option = |name: &str, value: &str| format!("-o{name}={value}");
    let output = Command::new("apt-get")
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"), ("APT_CONFIG", "/dev/null")])
        .args([
            option("Dir::State", &path("state")),
            option("Dir::State::status", "/dev/null"),
            option("Dir::Cache", &path("cache")),
            option("Dir::Etc", &path("etc")),
            option("Dir::Etc::sourcelist", &path("sources")),
            option("Dir::Etc::sourceparts", "/dev/null"),
            option("Dir::Log", &path("cache")),
            option("APT::Architecture", "amd64"),
            option("APT::Architectures", "amd64"),
            option("APT::Install-Recommends", "0"),
        ])
        .args(["--simulate", "install"])
        .args(names.iter().map(ToString::to_string))
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = printed.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    let installed: BTreeSet<_> = words.collect();
    if output.status.success() && installed == names {
        return Ok(());
    }
    Err(printed + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn apt_accepts_our_solutions_as_complete() {
    let count = std::env::var("PREON_APT_SAMPLES").map_or(SAMPLES, |text| text.parse().unwrap());
    let contents = trixie();
    let pins = Pins { base: Some("trixie".into()), ..Pins::default() };
    let universe = Universe::new(&contents.indexes, &pins).unwrap();
    let names: BTreeSet<_> =
        contents.indexes.iter().flat_map(Index::stanzas).map(Stanza::name).collect();
    let names: Vec<_> = names.into_iter().collect();
    assert!(names.len() > 60_000, "this is not trixie: {} packages", names.len());
    let samples = samples(&names, count);
    let check = |samples: &[&str]| {
        for name in samples {
            let request = Request { install: vec![name.to_string()], ..Request::default() };
            let solution = match solve(&universe, &request) {
                Ok(solution) => solution,
                Err(error) => panic!("{name}: {}", base::explain::render(&error)),
            };
            apt_accepts(&solution).unwrap_or_else(|text| panic!("{name}: {text}"));
        }
    };
    let (first, second) = samples.split_at(samples.len() / 2);
    std::thread::scope(|scope| {
        scope.spawn(|| check(second));
        check(first);
    });
}

#[test]
fn apt_refuses_a_solution_that_lacks_a_package() {
    let contents = trixie();
    let universe = Universe::new(&contents.indexes, &Pins::default()).unwrap();
    let request = Request { install: vec!["openssh-server".into()], ..Request::default() };
    let mut solution = solve(&universe, &request).unwrap();
    apt_accepts(&solution).unwrap();
    solution.packages.retain(|stanza| stanza.name() != "libc6");
    assert!(apt_accepts(&solution).is_err());
}

#[test]
fn no_package_is_drawn_twice() {
    let names: Vec<_> = (0..1000).map(|number| number.to_string()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let drawn: BTreeSet<_> = samples(&names, 1000).into_iter().collect();
    assert_eq!(drawn.len(), 1000);
}
