use super::*;
use crate::index::Index;

/// A `Packages` text of `name version; Field: value; …` lines.
fn index(suite: &str, lines: &str) -> Index {
    let mut text = String::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut parts = line.split(';').map(str::trim);
        let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
        text += &format!("Package: {name}\nVersion: {version}\nArchitecture: amd64\n");
        parts.for_each(|field| text += &format!("{field}\n"));
        text += "\n";
    }
    Index::parse(suite, text).unwrap()
}

fn request(install: &str) -> Request {
    Request { install: vec![install.to_owned()], ..Request::default() }
}

fn names(universe: &Universe<'_>, request: &Request) -> Result<String, String> {
    match solve(universe, request) {
        Ok(solution) => {
            let names: Vec<_> = solution.packages.iter().map(|stanza| stanza.name()).collect();
            Ok(names.join(" "))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn set(names: &[&str]) -> BTreeSet<PackageName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

const PACKAGES: &str = "
    app 1;          Depends: lib (>= 2), tool | tool-ng; Recommends: doc, missing
    lib 2.1
    tool 1;         Conflicts: tool-ng
    tool-ng 1
    doc 1;          Depends: reader
    reader 1
    both 1;         Depends: tool, tool-ng
    prefers 1;      Depends: absent | tool-ng | tool
    strict 1;       Depends: lib (<< 2)
    pre 1;          Pre-Depends: lib
    exim 4;         Provides: mta; Conflicts: mta; Replaces: mta
    postfix 3;      Provides: mta; Conflicts: mta; Priority: important
    mailer 1;       Depends: mta
    mailer-v 1;     Depends: mta (>= 1)
    versioned 1;    Provides: api (= 2)
    api-user 1;     Depends: api (>= 2)
    api-new 1;      Depends: api (>= 3)
    breaker 1;      Breaks: lib (<< 3)
    foreign 1;      Depends: lib:i386
    any 1;          Depends: lib:any, tool:native
    essential 1;    Essential: yes
    loop-a 1;       Depends: loop-b
    loop-b 1;       Depends: loop-a
    bad 1;          Depends: lib (2)
    either 1;       Depends: bad | lib
    self 1;         Provides: itself; Conflicts: itself
";

#[test]
fn relations_are_met_as_debian_means_them() {
    let index = index("trixie", PACKAGES);
    let universe = Universe::new([&index], &Pins::default()).unwrap();
    #[rustfmt::skip]
    let cases = [
        ("app",                "app lib tool"),          // the first alternative; no Recommends
        ("app, tool-ng",       "app lib tool-ng"),       // what is there anyway is enough
        ("tool-ng | tool",     "tool-ng"),
        ("prefers",            "prefers tool-ng"),       // the first that exists
        ("pre",                "lib pre"),
        ("mailer",             "mailer postfix"),        // the higher priority provides
        ("mailer, exim",       "exim mailer"),
        ("api-user",           "api-user versioned"),
        ("any",                "any lib tool"),
        ("lib (= 2.1)",        "lib"),
        ("loop-a",             "loop-a loop-b"),
        ("either",             "either lib"),            // a malformed package is never chosen
        ("self",               "self"),                  // no conflict with oneself
        ("breaker",            "breaker"),
    ];
    for (wanted, expected) in cases {
        assert_eq!(names(&universe, &request(wanted)).as_deref(), Ok(expected), "{wanted}");
    }
}

#[test]
fn what_cannot_be_met_is_explained() {
    let index = index("trixie", PACKAGES);
    let universe = Universe::new([&index], &Pins::default()).unwrap();
    #[rustfmt::skip]
    let cases = [
        ("nothing",           "`nothing` is asked for, but no package has or provides this name"),
        ("strict",            "strict needs `lib (<< 2)`, but lib is 2.1 in trixie"),
        ("both",              "both → tool has `Conflicts: tool-ng`, which refuses both → tool-ng"),
        ("exim, postfix",     "postfix has `Conflicts: mta`, which refuses exim"),
        ("mailer-v",          "mailer-v needs `mta (>= 1)`, but exim provides it without a version, postfix provides it without a version"),
        ("api-new",           "api-new needs `api (>= 3)`, but versioned provides 2 of it"),
        ("breaker, lib",      "breaker has `Breaks: lib (<< 3)`, which refuses lib"),
        ("foreign",           "foreign needs `lib:i386`, but nothing here is of the architecture i386"),
        ("lib (>= 9)",        "`lib (>= 9)` is asked for, but lib is 2.1 in trixie"),
    ];
    for (wanted, expected) in cases {
        let text = names(&universe, &request(wanted)).unwrap_err();
        let line = text.lines().nth(1).unwrap_or_default().trim();
        assert_eq!(line, expected, "{text}");
        assert!(solve(&universe, &request(wanted)).unwrap_err().hint().is_some());
    }
}

#[test]
fn proposed_updates_are_a_suite_of_their_own() {
    #[rustfmt::skip]
    let cases = [
        ("trixie",                  "trixie"),
        ("trixie-updates",          "trixie"),
        ("trixie-security",         "trixie"),
        ("trixie-backports",        "trixie-backports"),
        ("trixie-proposed-updates", "trixie-proposed-updates"),
    ];
    for (suite, expected) in cases {
        assert_eq!(family(suite), expected, "{suite}");
    }
}

#[test]
fn malformed_fields_and_requests_are_named() {
    let index = index("trixie", PACKAGES);
    let universe = Universe::new([&index], &Pins::default()).unwrap();
    #[rustfmt::skip]
    let cases = [
        ("bad",   "the field Depends of bad is malformed",         "does not need bad"),
        ("lib (", "`lib (` is no package that could be installed", "as in `Depends`"),
    ];
    for (wanted, expected, hint) in cases {
        let error = solve(&universe, &request(wanted)).unwrap_err();
        assert_eq!(error.to_string(), expected, "{wanted}");
        assert!(error.hint().unwrap().contains(hint), "{wanted}: {:?}", error.hint());
    }
}

#[test]
fn recommendations_are_met_only_on_demand_and_where_possible() {
    let index = index("trixie", PACKAGES);
    let universe = Universe::new([&index], &Pins::default()).unwrap();
    let request = Request { recommends: true, ..request("app") };
    assert_eq!(names(&universe, &request).as_deref(), Ok("app doc lib reader tool"));
    let only = Some(set(&["app", "lib", "tool", "doc"]));
    let request = Request { only, ..request };
    assert_eq!(names(&universe, &request).as_deref(), Ok("app lib tool"));
}

#[test]
fn dependencies_can_be_left_out_everywhere_or_of_one_package() {
    let index = index("trixie", PACKAGES);
    let universe = Universe::new([&index], &Pins::default()).unwrap();
    let everywhere = Without { everywhere: set(&["lib"]), ..Without::default() };
    let of = BTreeMap::from([("app".parse().unwrap(), set(&["tool", "lib"]))]);
    let of = Without { of, ..Without::default() };
    #[rustfmt::skip]
    let cases = [
        ("app",       &everywhere, "app tool"),
        ("pre",       &everywhere, "pre"),
        ("app",       &of,         "app"),      // the whole group `tool | tool-ng`
        ("app, pre",  &of,         "app lib pre"),
    ];
    for (wanted, without, expected) in cases {
        let request = Request { without: without.clone(), ..request(wanted) };
        assert_eq!(names(&universe, &request).as_deref(), Ok(expected), "{wanted}");
    }
    let relations = Relations::parse("a | b, c | a, a, d").unwrap();
    assert_eq!(without(relations, |name| name == "a").to_string(), "c, d");
}

#[test]
fn only_what_is_allowed_is_chosen() {
    let index = index("trixie", PACKAGES);
    let universe = Universe::new([&index], &Pins::default()).unwrap();
    let only = Some(set(&["app", "lib", "tool-ng"]));
    let request_ = Request { only, ..request("app") };
    assert_eq!(names(&universe, &request_).as_deref(), Ok("app lib tool-ng"));
    let request_ = Request { only: Some(set(&["app", "tool"])), ..request("app") };
    let text = names(&universe, &request_).unwrap_err();
    assert!(text.contains("app needs `lib (>= 2)`, but lib may not be chosen"), "{text}");
    #[rustfmt::skip]
    let cases = [
        ("app",    "allow lib, or leave this dependency of app out"),
        ("lib",    "allow lib"),
        ("mailer", "allow mailer"),
        ("mta",    "allow postfix or exim"),
    ];
    for (wanted, expected) in cases {
        let request = Request { only: Some(set(&["app", "tool"])), ..request(wanted) };
        let hint = solve(&universe, &request).unwrap_err().hint();
        assert_eq!(hint.as_deref(), Some(expected), "{wanted}");
    }
}

#[test]
fn the_newest_version_of_the_pinned_suite_counts() {
    let indexes = [
        index("trixie", "docker 20\n tool 1\n app 1; Depends: docker (>= 28)"),
        index("trixie-security", "docker 20.1"),
        index("sid", "docker 28\n tool 2"),
    ];
    let chosen = |pins: &Pins, wanted: &str| {
        let universe = Universe::new(&indexes, pins).unwrap();
        solve(&universe, &request(wanted))
            .map(|solution| {
                let docker = solution.get("docker").unwrap();
                format!("{} {}", docker.version_text(), docker.suite())
            })
            .map_err(|error| error.to_string())
    };
    let mut pins = Pins { base: Some("trixie".into()), ..Pins::default() };
    assert_eq!(chosen(&pins, "docker").unwrap(), "20.1 trixie-security");
    let error = chosen(&pins, "app").unwrap_err();
    assert!(
        error.contains(
            "docker is 20 in trixie, docker is 20.1 in trixie-security, docker is 28 in sid"
        ),
        "{error}"
    );
    pins.packages.insert("docker".into(), "sid".into());
    assert_eq!(chosen(&pins, "app").unwrap(), "28 sid");
}

#[test]
fn a_chain_says_why_a_package_is_there() {
    let index = index("trixie", PACKAGES);
    let universe = Universe::new([&index], &Pins::default()).unwrap();
    let request = Request { recommends: true, ..request("app") };
    let solution = solve(&universe, &request).unwrap();
    let chain: Vec<_> =
        solution.why("reader").into_iter().map(|l| (l.package, l.relation)).collect();
    let expected = [("", "app"), ("app", "doc"), ("doc", "reader")];
    assert_eq!(chain, expected.map(|(package, relation)| (package.into(), relation.into())));
    assert!(solution.why("exim").is_empty());
}
