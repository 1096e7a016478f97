use super::*;

const A: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const B: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn index() -> SourceIndex {
    let text = format!(
        "Package: docker.io\nVersion: 1-1\nDirectory: pool/main/d/docker.io\n\
         Build-Depends: a, b <!nocheck>\nBuild-Depends-Arch: c\n\
         Checksums-Sha256:\n {A} 3 docker.io_1-1.dsc\n {B} 0 docker.io_1.orig.tar.xz\n\n\
         Package: docker.io\nVersion: 2-1\nDirectory: pool/main/d/docker.io\n\
         Checksums-Sha256:\n {A} 3 docker.io_2-1.dsc\n\n\
         Package: evil\nVersion: 1\nDirectory: pool/../..\nChecksums-Sha256:\n {A} 3 e.dsc\n\n\
         Package: bare\nVersion: 1\nDirectory: pool\nChecksums-Sha256:\n {A} 3 e.tar.xz\n\n\
         Package: torn\nVersion: 1\nDirectory: pool\nChecksums-Sha256:\n {A} 3\n"
    );
    SourceIndex::new("trixie", text)
}

fn docker() -> Source {
    index().find("docker.io", "1-1").unwrap().unwrap().source
}

#[test]
fn the_version_that_is_asked_for_is_found() {
    let found = index().find("docker.io", "1-1").unwrap().unwrap();
    assert_eq!(found.needs, "a, b <!nocheck>, c");
    assert_eq!((found.source.version.as_str(), found.source.suite.as_str()), ("1-1", "trixie"));
    let names: Vec<_> = found.source.files.iter().map(SourceFile::name).collect();
    assert_eq!(names, ["docker.io_1-1.dsc", "docker.io_1.orig.tar.xz"]);
    assert_eq!(found.source.dsc().unwrap().filename, "pool/main/d/docker.io/docker.io_1-1.dsc");
    let second = index().find("docker.io", "2-1").unwrap().unwrap();
    assert_eq!((second.source.files.len(), second.needs.as_str()), (1, ""));
    for (name, version) in [("docker.io", "3"), ("docker", "1-1"), ("io", "1-1")] {
        assert!(index().find(name, version).unwrap().is_none(), "{name} {version}");
    }
}

#[test]
fn what_cannot_be_fetched_is_refused() {
    #[rustfmt::skip]
    let cases = [
        ("evil", "the source package evil: `pool/../../e.dsc` cannot be its Checksums-Sha256"),
        ("bare", "cannot be its Checksums-Sha256"), // no .dsc
        ("torn", "cannot be its Checksums-Sha256"),
    ];
    for (name, message) in cases {
        let error = index().find(name, "1").unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_dsc_must_name_what_the_archive_names() {
    let name: PackageName = "docker.io".parse().unwrap();
    let head = "Format: 3.0 (quilt)\nSource: docker.io\nVersion: 1-1\nChecksums-Sha256:\n";
    let good = format!("{head} {B} 0 docker.io_1.orig.tar.xz\n");
    check_dsc(&name, &docker(), &good).unwrap();
    #[rustfmt::skip]
    let cases = [
        (good.replace(B, A),                   "names docker.io_1.orig.tar.xz with another size or digest"),
        (good.replace(" 0 ", " 1 "),           "names docker.io_1.orig.tar.xz with another size or digest"),
        (format!("{good} {A} 9 more.tar.xz\n"), "names more.tar.xz with another size or digest"),
        (head.to_owned(),                      "names docker.io_1.orig.tar.xz with another size or digest"),
        (good.replace("1-1", "1-2"),           "docker.io_1-1.dsc is of docker.io 1-2, not of docker.io 1-1"),
        (good.replace("docker.io\n", "x\n"),   "docker.io_1-1.dsc is of x 1-1, not of docker.io 1-1"),
        (good.replace(" 0 ", " nought "),      "cannot be its Checksums-Sha256"),
        (format!("{good}\nSource: y\n"),       "is malformed"),
    ];
    for (text, message) in cases {
        let error = check_dsc(&name, &docker(), &text).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_stand_in_says_what_the_archive_says() {
    let name: PackageName = "docker.io".parse().unwrap();
    check_dsc(&name, &docker(), &docker().stand_in(&name)).unwrap();
}

#[test]
fn only_what_holds_here_is_needed_for_a_build() {
    #[rustfmt::skip]
    let cases = [
        ("a, b",                                "a; b"),
        ("a (>= 2) [amd64], b [arm64 i386]",    "a (>= 2)"),
        ("a [!amd64], b [!arm64 !i386]",        "b"),
        ("a [linux-any], b [hurd-any]",         "a"),
        ("a <!nocheck>, b <!nodoc>",            "b"),
        ("a <nocheck>, b <stage1>",             "a"),
        ("a <!nocheck> <cross>, b <!nodoc !nocheck>", ""),
        ("a <stage1> <nocheck>",                "a"),
        ("a [arm64] | b, c <!nocheck> | d",     "b; d"),
        ("python3:any, gcc:native",             "python3:any; gcc:native"),
    ];
    for (needs, expected) in cases {
        let found = build_needs(needs, &["nocheck".to_owned()]).unwrap().join("; ");
        assert_eq!(found, expected, "{needs}");
    }
    assert!(build_needs("a (", &[]).is_err());
}
