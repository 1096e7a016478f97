use base::Explain;

use super::*;

/// A `Packages` text of `name version; Field: value; …` lines.
pub(crate) fn index(lines: &str) -> Index {
    let mut text = String::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut parts = line.split(';').map(str::trim);
        let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
        text += &format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: {name}.deb\n\
             Size: 10\nInstalled-Size: {}\nSHA256: {}\n",
            if version.starts_with('1') { 1 } else { 2 },
            base::Digest::of(name.as_bytes())
        );
        parts.for_each(|field| text += &format!("{}\n", field.replace('@', "\n ")));
        text += "\n";
    }
    Index::parse("trixie", text).unwrap()
}

fn set(names: &str) -> BTreeSet<PackageName> {
    names.split_whitespace().map(|name| name.parse().unwrap()).collect()
}

/// What is installed; names of automatic packages begin with `lib` or end with `-auto`.
fn state(lines: &str, pins: &str) -> State {
    let installed = index(lines);
    let names = installed.stanzas().map(|stanza| stanza.package_name().unwrap());
    let automatic =
        names.filter(|it| it.as_str().starts_with("lib") || it.as_str().ends_with("-auto"));
    let automatic = automatic.collect();
    let pins = pins.split_whitespace().map(|pin| pin.split_once('=').unwrap());
    let pins = pins.map(|(name, version)| (name.parse().unwrap(), version.parse().unwrap()));
    let (pins, of_image) = (pins.collect(), BTreeSet::new());
    State { pins, of_image, automatic, protected: set("init kernel"), installed }
}

/// The state that a plan leads to.
pub(super) fn after(plan: &Plan<'_>, protected: &BTreeSet<PackageName>) -> State {
    let mut text = String::new();
    for chosen in &plan.packages {
        text += chosen.stanza().text();
        text += "\n\n";
    }
    State {
        installed: Index::parse("installed", text).unwrap(),
        automatic: plan.automatic.clone(),
        pins: plan.pins.clone(),
        of_image: BTreeSet::new(),
        protected: protected.clone(),
    }
}

const INSTALLED: &str = "
    init 1;        Depends: libinit
    libinit 1
    linux-auto 1;  Provides: kernel
    app 1;         Depends: libapp (>= 1), tool | tool-ng
    libapp 1
    tool-ng 1
    old 1;         Depends: libold (<< 2)
    libold 1
    libidle 1;     Depends: libidle-deep
    libidle-deep 1
    mail 1;        Depends: exim-auto | mta
    exim-auto 1;   Provides: mta; Conflicts: mta
";

const REPOSITORY: &str = "
    init 1;        Depends: libinit
    libinit 2;     Preon-Fixes:@2 - CVE-2026-0001
    linux-auto 1;  Provides: kernel
    app 2;         Depends: libapp (>= 2), tool | tool-ng
    app 1;         Depends: libapp (>= 1), tool | tool-ng
    app 0.5;       Depends: libapp (<< 1)
    libapp 2;      Preon-Fixes:@2 - CVE-2026-0002@1 - CVE-2020-0001
    libapp 0.5
    tool 1
    tool-ng 1
    old 1;         Depends: libold (<< 2)
    libold 2
    mail 1;        Depends: exim-auto | mta
    postfix 3;     Provides: mta; Conflicts: mta
    new 1;         Depends: libnew, libapp (>= 1)
    new 0.5
    libnew 1;      Depends: libnewer
    libnewer 1
    needs-new 1;   Depends: libapp (>= 2)
    needs-old 1;   Depends: libold (>= 2)
    refuses 1;     Conflicts: app
    refuses-auto 1; Conflicts: libidle-deep
    broken 1;      Depends: nowhere
    odd 1;         Provides: something
    ancient 1;     Depends: libapp (<< 1)
    either 1;      Depends: odd | libinit (>= 2)
";

fn wish(text: &str) -> Wish {
    let mut words = text.split_whitespace();
    let verb = words.next().unwrap();
    let names = || words.clone().map(|name| name.parse().unwrap()).collect::<Vec<PackageName>>();
    let one = || words.clone().next().unwrap().parse::<Selector>().unwrap();
    match verb {
        "install" => Wish::Install(words.map(|word| word.parse().unwrap()).collect()),
        "remove" => Wish::Remove { names: names(), cascade: false },
        "cascade" => Wish::Remove { names: names(), cascade: true },
        "upgrade" => Wish::Upgrade { names: names(), security: false },
        "security" => Wish::Upgrade { names: names(), security: true },
        "downgrade" => Wish::Downgrade { name: one().name, version: one().version },
        "autoremove" => Wish::Autoremove,
        "pin" => Wish::Pin { name: one().name, version: one().version },
        "unpin" => Wish::Unpin(one().name),
        "automatic" => Wish::Mark { names: names(), automatic: true },
        "manual" => Wish::Mark { names: names(), automatic: false },
        _ => panic!("{verb}"),
    }
}

/// A plan in one line: `+added`, `name from>to`, `-removed`, `!held`, `name:automatic`, `name=pin`.
fn told(plan: &Plan<'_>) -> String {
    let text = |stanza: Stanza<'_>| format!("{} {}", stanza.name(), stanza.version_text());
    let mut words: Vec<_> = plan.added.iter().map(|it| format!("+{}", text(it.package))).collect();
    words.extend(plan.changed.iter().map(|changed| {
        assert_eq!(
            changed.direction == Direction::Upgrade,
            changed.to.version().unwrap() > changed.from.version().unwrap()
        );
        format!("{}>{}", text(changed.from), changed.to.version_text())
    }));
    words.extend(plan.removed.iter().map(|it| format!("-{}", it.package.name())));
    words.extend(plan.held.iter().map(|it| format!("!{}", it.package.name())));
    words.extend(plan.marked.iter().map(|(name, automatic)| {
        format!("{name}:{}", if *automatic { "automatic" } else { "manual" })
    }));
    words.extend(
        plan.repinned.iter().map(|(name, version)| {
            format!("{name}={}", version.as_ref().map_or("", Version::as_str))
        }),
    );
    words.join(", ")
}

#[test]
fn a_plan_changes_what_the_wish_says_and_nothing_else() {
    let repository = index(REPOSITORY);
    #[rustfmt::skip]
    let cases = [
        // install
        ("", "install new",            "+libnew 1, +libnewer 1, +new 1"),
        ("", "install new=0.5",        "+new 0.5"),
        ("", "install app",            ""),                    // is there, and stays as it is
        ("", "install libapp",         "libapp:manual"),
        ("", "install needs-new",      "+needs-new 1, libapp 1>2"),
        ("", "install app=2",          "app 1>2, libapp 1>2"),
        ("", "install app=0.5",        "app 1>0.5, libapp 1>0.5"), // what is asked for may be older, and what it needs
        ("", "install something",      "+odd 1"),              // the only one that provides it
        ("", "install postfix",        "+postfix 3, -exim-auto"), // what needed it is content
        ("", "install refuses-auto",   "+refuses-auto 1, -libidle, -libidle-deep"),
        ("", "install either",         "+either 1, libinit 1>2"), // rather than another package
        ("new=0.5", "install new",     "+new 0.5"),
        // upgrade
        ("", "upgrade",                "app 1>2, libapp 1>2, libinit 1>2, !libold"), // old holds libold back
        ("libapp=1", "upgrade",        "libinit 1>2, !app, !libapp, !libold"),
        ("", "upgrade libinit",        "libinit 1>2"),
        ("", "upgrade app",            "app 1>2, libapp 1>2"),
        ("", "upgrade tool-ng",        ""),
        ("", "security",               "libapp 1>2, libinit 1>2"),
        ("", "security app",           ""),
        ("app=1", "security",          "libapp 1>2, libinit 1>2"),
        // downgrade
        ("", "downgrade app",          "app 1>0.5, libapp 1>0.5"),
        ("", "downgrade app=0.5",      "app 1>0.5, libapp 1>0.5"),
        ("", "downgrade app=1",        ""),
        // remove
        ("", "remove app",             "-app, -libapp"),       // tool-ng was asked for
        ("", "cascade libold",         "-libold, -old"),
        ("", "remove libidle-deep",    "-libidle, -libidle-deep"), // nobody needs either
        ("", "remove mail",            "-exim-auto, -mail"),
        ("", "autoremove",             "-libidle, -libidle-deep"), // the kernel is protected
        // marks and pins
        ("", "automatic app",          "app:automatic"),
        ("", "manual libidle",         "libidle:manual"),
        ("", "manual app",             ""),
        ("", "pin app",                "app=1"),
        ("", "pin new=0.5",            "new=0.5"),
        ("", "pin app=2",              "app 1>2, libapp 1>2, app=2"),
        ("app=1", "pin app=2",         "app 1>2, libapp 1>2, app=2"),
        ("app=1", "pin app",           ""),
        ("app=1", "unpin app",         "app="),
        ("", "unpin app",              ""),
    ];
    for (pins, asked, expected) in cases {
        let state = state(INSTALLED, pins);
        let host = Host::new(&state, [&repository]).unwrap();
        let plan = host.plan(&wish(asked)).unwrap_or_else(|error| panic!("{asked}: {error}"));
        assert_eq!(told(&plan), expected, "{asked}");
        let nothing = expected.split(", ").all(|word| word.is_empty() || word.starts_with('!'));
        assert_eq!(plan.is_empty(), nothing, "{asked}");
        let then = after(&plan, &state.protected);
        assert_eq!(Host::new(&then, [&repository]).unwrap().check(), [], "{asked}");
    }
}

#[test]
fn a_wish_that_cannot_be_met_is_explained_with_what_can_be_done() {
    let repository = index(REPOSITORY);
    #[rustfmt::skip]
    let cases = [
        ("", "install libnwe",    "no package has or provides the name libnwe", Some("did you mean libnew?")),
        ("", "install zzzzzz",    "no package has or provides the name zzzzzz", None),
        ("", "install mta",       "mta is no package; exim-auto, postfix provide it", Some("ask for exim-auto or postfix")),
        ("", "install new=7",     "there is no version 7 of new", Some("there is 1, 0.5")),
        ("", "install new=1 new=0.5", "two versions of new are asked for", Some("ask for one: only one can be there")),
        ("app=1", "install app=2", "app is pinned to 1, so that it cannot become 2", Some("unpin app first")),
        ("app=1", "upgrade app",  "app is pinned to 1, so that it cannot become 2", Some("unpin app first")),
        ("libapp=1", "install needs-new", "needs-new needs `libapp (>= 2)`, but libapp is pinned to 1", Some("unpin libapp first")),
        ("", "install needs-old", "needs-old needs `libold (>= 2)`, old needs `libold (<< 2)`, and only one version of a package can be there", Some("remove old first, or wait for a version that fits")),
        ("", "install refuses",   "refuses has `Conflicts: app`, which refuses app 1", Some("remove app first")),
        ("", "install broken",    "broken needs `nowhere`, but no package has or provides this name", Some("ask for another version, or refresh what is known of the repository")),
        ("", "upgrade libold",    "old needs `libold (<< 2)`, but libold is to be upgraded to 2", Some("remove old first, if it is not needed")),
        ("", "install ancient",   "ancient needs `libapp (<< 1)`, but libapp 0.5 is older than what is installed", Some("ask for another version, or refresh what is known of the repository")),
        ("", "upgrade new",       "the package new is not installed", None),
        ("", "remove ap",         "the package ap is not installed", Some("did you mean app?")),
        ("", "remove tol-ng",     "the package tol-ng is not installed", Some("did you mean tool-ng?")),
        ("", "remove libold",     "others need libold:\n  old → libold", Some("remove old as well, or let the removal cascade")),
        ("", "remove exim-auto",  "others need exim-auto:\n  mail → exim-auto", Some("remove mail as well, or let the removal cascade")),
        ("", "remove init",       "init cannot be removed: the host needs it to boot", Some("keep init")),
        ("", "cascade libinit",   "libinit is needed by init, which cannot be removed: the host needs it to boot", Some("keep libinit")),
        ("", "remove linux-auto", "linux-auto cannot be removed: the host needs it to boot", Some("keep linux-auto")),
        ("", "downgrade app=2",   "2 of app is newer than 1, which is installed", Some("install app=2")),
        ("", "downgrade tool-ng", "no version of tool-ng is older than 1, which is installed", None),
        ("app=1", "downgrade app", "app is pinned to 1, so that it cannot become 0.5", Some("unpin app first")),
        ("", "automatic nwe",     "the package nwe is not installed", None),
        ("", "pin new",           "the package new is not installed", None),
        ("", "pin ap-p",          "no package has or provides the name ap-p", Some("did you mean app?")),
        ("", "unpin ap-p",        "no package has or provides the name ap-p", Some("did you mean app?")),
    ];
    for (pins, asked, expected, hint) in cases {
        let state = state(INSTALLED, pins);
        let host = Host::new(&state, [&repository]).unwrap();
        let error = match host.plan(&wish(asked)) {
            Err(error) => error,
            Ok(plan) => panic!("{asked}: {}", told(&plan)),
        };
        let text = error.to_string();
        let is_told = text == expected || text.lines().any(|line| line.trim() == expected);
        assert!(is_told, "{asked}: {text}");
        assert_eq!(error.hint().as_deref(), hint, "{asked}: {text}");
    }
}

#[test]
fn a_plan_counts_bytes_and_says_why_and_what_it_fixes() {
    let (state, repository) = (state(INSTALLED, ""), index(REPOSITORY));
    let host = Host::new(&state, [&repository]).unwrap();
    let plan = host.plan(&wish("install new needs-new")).unwrap();
    assert_eq!((plan.download_bytes, plan.installed_delta), (50, 5 * 1024));
    let chain = |name: &str| {
        let added = plan.added.iter().find(|it| it.package.name() == name).unwrap();
        let links = added.why.iter().map(|link| format!("{}:{}", link.package, link.relation));
        links.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(chain("libnewer"), ":new new:libnew libnew:libnewer");
    assert_eq!(chain("new"), ":new");
    let cves: Vec<_> = plan.changed[0].closes.iter().map(ToString::to_string).collect();
    assert_eq!(cves, ["CVE-2026-0002"]); // what version 1 fixed is fixed
    assert!(plan.automatic.contains("libnew") && !plan.automatic.contains("new"));
    let unneeded: Vec<_> = plan.unneeded.iter().map(PackageName::as_str).collect();
    assert_eq!(unneeded, ["libidle", "libidle-deep"]);
    let kept = plan.packages.iter().filter(|it| matches!(it, Chosen::Kept(_))).count();
    assert_eq!((kept, plan.packages.len()), (11, 16));
    let plan = host.plan(&wish("cascade libold")).unwrap();
    let reasons: Vec<_> = plan.removed.iter().map(|removed| removed.reason.clone()).collect();
    assert_eq!(reasons, [Reason::Asked, Reason::Needs("libold".into())]);
    assert_eq!((plan.download_bytes, plan.installed_delta), (0, -2 * 1024));
}

#[test]
fn selectors_are_names_with_or_without_a_version() {
    #[rustfmt::skip]
    let cases = [
        ("git",       Some(("git", None))),
        ("git=1:2-3", Some(("git", Some("1:2-3")))),
        ("git=",      None),
        ("=1",        None),
        ("g t",       None),
    ];
    for (text, expected) in cases {
        let read = text.parse::<Selector>().ok();
        let read =
            read.as_ref().map(|it| (it.name.as_str(), it.version.as_ref().map(Version::as_str)));
        assert_eq!(read, expected, "{text}");
    }
}
