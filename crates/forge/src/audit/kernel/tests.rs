use std::collections::BTreeMap;

use base::explain;
use clap::Parser;

use super::policy::{Kind, Policy, Source};
use super::report::Totals;
use super::*;
use crate::scratch::program;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn own_policy() -> Policy {
    policy::load(&repository().join(POLICY)).unwrap()
}

fn own_config(flavour: Flavour) -> Config {
    let path = repository().join(format!("os/kernel/generated/{flavour}.config"));
    Config::parse(&file::read_text(&path).unwrap()).unwrap()
}

fn own_words(flavour: Flavour, profile: Profile) -> String {
    kernel::command_line(&repository(), flavour, profile).unwrap()
}

/// What comes of the checkout's kernel with `words` as its command line.
fn totals(flavour: Flavour, words: &str) -> BTreeMap<Setting, Totals> {
    let facts = Facts {
        config: own_config(flavour),
        words: Words::parse(words).unwrap(),
        sysctls: applied(&shipped_files(&repository()).unwrap()),
    };
    Report::new(&own_policy(), &facts, flavour, Profile::Default).totals
}

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    kernel: Kernel,
}

/// What `forge audit kernel ARGUMENTS` prints in the checkout at `root`, and how it ends.
fn audit(root: &Path, arguments: &[&str]) -> (String, Result<(), String>) {
    let arguments = std::iter::once("kernel").chain(arguments.iter().copied());
    let mut out = Vec::new();
    let result = Arguments::parse_from(arguments).kernel.run(root, &mut out);
    let result = result.map_err(|failure| explain::render(failure.as_ref()));
    (String::from_utf8(out).unwrap(), result)
}

const CONFIG: &str = "# Linux/x86 6.12.118 Kernel Configuration\nCONFIG_A=y\n";

const LOCK: &str = "[releases]\n[packages]\n\"linux-source-6.12\" = { version = \"6.12.118-1\", suite = \"trixie\", size = 1, \
     sha256 = \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\", filename = \"x\" }\n";

/// A checkout whose policy has one check of each setting and what `more` adds.
fn checkout(more: &str) -> tempfile::TempDir {
    let checkout = tempfile::tempdir().unwrap();
    let files = [
        (
            POLICY,
            format!(
                "[kconfig.self_protection]\nkspp = [\"CONFIG_A=y\", \"CONFIG_B=y or CONFIG_C=n\"]\n\
             [cmdline.self_protection]\nkspp = [\"nosmt\"]\n\
             [sysctl.self_protection]\nkspp = [\"a.b=1\"]\n{more}"
            ),
        ),
        ("os/kernel/generated/hardened.config", CONFIG.into()),
        ("os/kernel/base.config", "CONFIG_A=y # r\n".into()),
        ("os/kernel/hardened/own.config", "?CONFIG_B=y # r\n".into()),
        ("os/packages.lock", LOCK.into()),
        ("os/kernel/cmdline", "quiet # r\n".into()),
        ("os/kernel/hardened/cmdline", "panic=10 # r\n".into()),
        ("os/kernel/strict/cmdline", "nosmt # r\n".into()),
        ("os/packages/p/files/usr/lib/sysctl.d/60-b.conf", "a.b = 1\n".into()),
        ("os/packages/q/files/usr/lib/sysctl.d/50-a.conf", "a.b = 0\n".into()),
    ];
    for (path, text) in files {
        let path = checkout.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    checkout
}

fn unmet(check: &str, more: &str) -> String {
    format!(
        "[[unmet]]\nchecks = [\"{check}\"]\nflavours = [\"hardened\"]\nreason = \"because\"\n\
         instead = \"this\"\n{more}"
    )
}

#[test]
fn this_repositorys_policy_has_every_check_of_the_public_checker() {
    use Setting::{Cmdline, Kconfig, Sysctl};
    let mut counts = BTreeMap::<(Setting, Source), usize>::new();
    for check in own_policy().checks {
        *counts.entry((check.setting, check.source)).or_default() += 1;
    }
    #[rustfmt::skip]
    let expected = [
        ((Kconfig, Source::Kspp),      95), ((Kconfig, Source::Defconfig), 59), ((Kconfig, Source::Grsec),      53),
        ((Kconfig, Source::Clipos),    13), ((Kconfig, Source::Grapheneos), 1), ((Kconfig, Source::Lockdown),    4),
        ((Kconfig, Source::Maintainer), 14), ((Kconfig, Source::A13xp0p0v), 20),
        ((Cmdline, Source::Kspp),      24), ((Cmdline, Source::Defconfig), 37), ((Cmdline, Source::Grsec),       1),
        ((Cmdline, Source::Clipos),     1), ((Cmdline, Source::Grapheneos), 1), ((Cmdline, Source::A13xp0p0v),   1),
        ((Sysctl, Source::Kspp),       19), ((Sysctl, Source::Grsec),       1), ((Sysctl, Source::Cis),         13),
        ((Sysctl, Source::Ubuntu),      1), ((Sysctl, Source::A13xp0p0v),   5),
    ];
    counts.retain(|(_, source), _| *source != Source::Preon);
    assert_eq!(counts, BTreeMap::from(expected));
    let policy = own_policy();
    let theirs = policy.checks.iter().filter(|check| check.source != Source::Preon);
    let cut = theirs.filter(|check| check.kind == Kind::CutAttackSurface).count();
    assert_eq!(cut, 131 + 8 + 12);
}

/// As docs/kernel.md says. Of the fragments' forerunner the public checker counted the same for the hardened kernel.
#[test]
fn the_kernels_meet_the_checks_that_the_documentation_says() {
    #[rustfmt::skip]
    let cases = [
        // kconfig, the KSPP's of it, command line, sysctl
        (Flavour::Hardened, [247, 91, 46, 36]),
        (Flavour::Full,     [224, 85, 44, 33]),
    ];
    for (flavour, expected) in cases {
        let all = totals(flavour, &own_words(flavour, Profile::Default));
        let met = |setting| all[&setting].met;
        let kspp = all[&Setting::Kconfig].kspp_met;
        let counts = [met(Setting::Kconfig), kspp, met(Setting::Cmdline), met(Setting::Sysctl)];
        assert_eq!(counts, expected, "{flavour}");
    }
}

/// The public checker counted these for the fragments' forerunner, which had the same options of it.
#[test]
fn other_command_lines_come_to_what_the_public_checker_counted() {
    let own = own_words(Flavour::Hardened, Profile::Default);
    let strict = own_words(Flavour::Hardened, Profile::Strict);
    let spelled = "spectre_v2=auto spectre_v2_user=auto spectre_bhi=on spec_store_bypass_disable=auto \
                   l1tf=flush mds=full tsx_async_abort=full srbds=on mmio_stale_data=full \
                   retbleed=auto spec_rstack_overflow=safe-ret gather_data_sampling=on \
                   reg_file_data_sampling=on tsa=on indirect_target_selection=on vmscape=auto";
    #[rustfmt::skip]
    let cases = [
        (own.as_str(),                 46),
        (strict.as_str(),              64),
        (&format!("{own} {spelled}"),  62),
        ("root=/dev/vda1 ro quiet",    41),
    ];
    for (words, met) in cases {
        let totals = totals(Flavour::Hardened, words)[&Setting::Cmdline];
        assert_eq!((totals.checks, totals.met), (65, met), "{words}");
    }
}

#[test]
fn whatever_the_kernels_do_not_meet_is_explained() {
    for (flavour, profile) in
        [("hardened", "default"), ("hardened", "strict"), ("full", "default"), ("full", "strict")]
    {
        let (out, result) = audit(&repository(), &[flavour, "--profile", profile]);
        assert_eq!(result, Ok(()), "{flavour} {profile}");
        assert!(out.contains(" 0 unexplained of 259"), "{out}");
    }
}

#[test]
fn what_is_not_met_fails_and_the_hint_says_what_to_write() {
    let checkout = checkout("");
    let (out, result) = audit(checkout.path(), &[]);
    let error = result.unwrap_err();
    assert!(error.contains("says not why it is otherwise: nosmt\n"), "{error}");
    assert!(error.contains("hint:") && error.contains("flavours = [\"hardened\"]"), "{error}");
    assert!(out.contains("unexplained  kspp        not there"), "the table comes first: {out}");
    assert_eq!(audit(checkout.path(), &["--profile", "strict"]).1, Ok(()));
    assert_eq!(audit(checkout.path(), &["--command-line", "a nosmt"]).1, Ok(()));
}

#[test]
fn what_is_not_met_passes_with_its_reason() {
    let checkout = checkout(&unmet("nosmt", "profiles = [\"default\"]\n"));
    let (out, result) = audit(checkout.path(), &[]);
    assert_eq!(result, Ok(()));
    assert!(out.contains("why      because\n      instead  this\n"), "{out}");
    assert!(out.contains("cmdline  0 met, 1 explained, 0 unexplained of 1; of the KSPP's 0 of 1"));
    assert!(out.contains("n (CONFIG_C=n)"), "how else it is met is told: {out}");
}

#[test]
fn an_explanation_of_what_is_met_is_refused_unless_a_host_is_stricter_by_itself() {
    let idle = checkout(&unmet("nosmt", ""));
    assert_eq!(audit(idle.path(), &[]).1, Ok(()));
    let error = audit(idle.path(), &["--profile", "strict"]).1.unwrap_err();
    assert!(error.contains("`nosmt` is not met, but it is: idle explanation"), "{error}");
    assert_eq!(audit(idle.path(), &["--command-line", "nosmt"]).1, Ok(()));
    let other = idle.path().join("os/kernel/generated/hardened.config");
    let arguments = ["--profile", "strict", "--config", other.to_str().unwrap()];
    assert_eq!(audit(idle.path(), &arguments).1, Ok(()), "explanations are not about that kernel");

    let host = checkout(&(unmet("a.b=1", "") + &unmet("nosmt", "")));
    let error = audit(host.path(), &[]).1.unwrap_err();
    assert!(error.contains("`a.b=1` is not met, but it is"), "{error}");
    let printed = host.path().join("printed");
    fs::write(&printed, "a.b = 1\n").unwrap();
    let printed = printed.to_str().unwrap();
    assert_eq!(audit(host.path(), &["--sysctls", printed]).1, Ok(()));
}

#[test]
fn a_running_hosts_parameters_are_compared() {
    let checkout = checkout(&unmet("nosmt", ""));
    let printed = checkout.path().join("printed");
    #[rustfmt::skip]
    let cases = [
        ("a.b = 1\n",                                                    None),
        ("a.b = 0\n",                                                    Some(("a.b=1", "0\n"))),
        ("c.d = 1\n",                                                    Some(("a.b=1", "not there\n"))),
        ("c.d = 1\nsysctl: permission denied on key 'a.b'\n",            Some(("a.b=1", "permission denied\n"))),
        ("ssh: connect to host h port 22: Connection refused\n",         Some(("holds nothing that `sysctl -a` prints", ""))),
    ];
    for (text, expected) in cases {
        fs::write(&printed, text).unwrap();
        let (out, result) = audit(checkout.path(), &["--sysctls", printed.to_str().unwrap()]);
        match expected {
            None => assert_eq!(result, Ok(()), "{text}"),
            Some((error, shown)) => {
                assert!(result.unwrap_err().contains(error), "{text}");
                assert!(out.contains(shown), "{text}: {out}");
            }
        }
    }
}

#[test]
fn the_command_line_of_a_unified_kernel_image_is_read() {
    let checkout = checkout("");
    let path = checkout.path().join("preon.efi");
    let arguments = ["--uki", path.to_str().unwrap()];
    fs::write(&path, program(&[(".cmdline", b"quiet nosmt\n\0")])).unwrap();
    assert_eq!(audit(checkout.path(), &arguments).1, Ok(()));
    fs::write(&path, program(&[(".cmdline", b"quiet")])).unwrap();
    assert!(audit(checkout.path(), &arguments).1.unwrap_err().contains("otherwise: nosmt"));
    fs::write(&path, program(&[(".text", b"nosmt")])).unwrap();
    assert!(audit(checkout.path(), &arguments).1.unwrap_err().contains("has no command line"));
}

#[test]
fn json_has_the_checks_and_the_totals() {
    let checkout = checkout(&unmet("nosmt", ""));
    let (out, _) = audit(checkout.path(), &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["flavour"], "hardened");
    assert_eq!(json["profile"], "default");
    let totals = serde_json::json!(
        { "checks": 2, "met": 2, "explained": 0, "unexplained": 0, "kspp": 2, "kspp_met": 2, "ours": 0, "ours_met": 0 }
    );
    assert_eq!(json["totals"]["kconfig"], totals);
    let expected = serde_json::json!({
        "check": "nosmt", "type": "cmdline", "kind": "self_protection", "source": "kspp",
        "wanted": "there", "found": "not there", "verdict": "explained",
        "reason": "because", "instead": "this",
    });
    assert_eq!(json["checks"][2], expected);
    assert_eq!(json["checks"][1]["through"], "CONFIG_C=n");
}

#[test]
fn what_cannot_be_looked_at_is_named() {
    let checkout = checkout("");
    let path = |name: &str| checkout.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("config"), "<html>\n").unwrap();
    fs::write(path("uki"), "MZ").unwrap();
    #[rustfmt::skip]
    let cases = [
        (["--config", &path("config")],   "give a .config"),
        (["--config", &path("gone")],     "gone"),
        (["--uki", &path("uki")],         "give a unified kernel image"),
        (["--sysctls", &path("gone")],    "gone"),
    ];
    for (arguments, expected) in cases {
        let error = audit(checkout.path(), &arguments).1.unwrap_err();
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    fs::remove_file(path("os/kernel/generated/hardened.config")).unwrap();
    let error = audit(checkout.path(), &[]).1.unwrap_err();
    assert!(error.contains("run `forge kernel config hardened`"), "{error}");
}

#[test]
fn a_reason_for_what_is_not_there_is_none_for_what_is() {
    let both = unmet("nosmt", "") + &unmet("a.b=1", "found = [\"a.b=2\"]\n");
    let checkout = checkout(&both);
    let printed = checkout.path().join("printed");
    #[rustfmt::skip]
    let cases = [
        ("quiet",        "c.d = 1",  None),          // neither is there
        ("quiet",        "a.b = 2",  None),          // what `found` names
        ("quiet",        "a.b = 0",  Some("a.b=1")), // weaker than that
    ];
    for (words, parameters, expected) in cases {
        fs::write(&printed, parameters).unwrap();
        let arguments = ["--command-line", words, "--sysctls", printed.to_str().unwrap()];
        let (out, result) = audit(checkout.path(), &arguments);
        assert_eq!(result.is_err(), expected.is_some(), "{words}, {parameters}: {out}");
        if let Some(check) = expected {
            assert!(result.unwrap_err().contains(check));
            assert!(
                !out.contains("found [\"a.b=2\"]") && out.matches("because").count() == 1,
                "{out}"
            );
        }
    }
}

/// Each line was accepted once: by explanations that excused whatever was there.
#[test]
fn this_repositorys_policy_finds_what_weakens_the_kernel() {
    let own = own_words(Flavour::Hardened, Profile::Default);
    let strict = own_words(Flavour::Hardened, Profile::Strict);
    #[rustfmt::skip]
    let cases = [
        ("default", &own,    "mitigations=off",            "mitigations=auto,nosmt"),
        ("default", &own,    "mds=off spectre_v2=off",     "spectre_v2!=off"),
        ("default", &own,    "tsa=0",                      "tsa!=off"),
        ("default", &own,    "lsm=capability",             "!lsm"),
        ("default", &own,    "apparmor=0",                 "!apparmor"),
        ("default", &own,    "security=none",              "!security"),
        ("default", &own,    "nokaslr",                    "!nokaslr"),
        ("default", &own,    "-- nokaslr",                 "the command line has `--`"),
        ("strict",  &strict, "retbleed=off,nosmt",         "retbleed!=off"),
        ("strict",  &strict, "spectre_v2=off spectre-v2=on", "spectre_v2!=off"),
    ];
    for (profile, own, more, expected) in cases {
        let line = format!("{own} {more}");
        let arguments = ["--profile", profile, "--command-line", &line];
        let error = audit(&repository(), &arguments).1.unwrap_err();
        assert!(error.contains(expected), "{more}: {error}");
    }
    let weak = tempfile::tempdir().unwrap();
    let printed = weak.path().join("sysctls");
    fs::write(&printed, "kernel.yama.ptrace_scope = 0\n").unwrap();
    let error = audit(&repository(), &["--sysctls", printed.to_str().unwrap()]).1.unwrap_err();
    assert!(error.contains("more"), "{error}");
}

#[test]
fn a_committed_configuration_that_others_have_overtaken_is_refused() {
    let more = unmet("nosmt", "profiles = [\"default\"]\n");
    #[rustfmt::skip]
    let cases = [
        ("os/kernel/base.config", "CONFIG_A=n # r\n",                    "os/kernel/base.config:1 asks for CONFIG_A=n"),
        ("os/packages.lock",      &LOCK.replace("118-1", "119-1"),       "it is of 6.12.118, but os/packages.lock has 6.12.119-1"),
        ("os/kernel/generated/hardened.config", "CONFIG_A=y\n",          "it is of no version"),
    ];
    for (path, text, expected) in cases {
        let checkout = checkout(&more);
        assert_eq!(audit(checkout.path(), &[]).1, Ok(()));
        fs::write(checkout.path().join(path), text).unwrap();
        let error = audit(checkout.path(), &[]).1.unwrap_err();
        assert!(
            error.contains(expected) && error.contains("forge kernel config hardened"),
            "{error}"
        );
    }
}

#[test]
fn another_kernel_than_the_one_that_was_named_is_not_taken_for_it() {
    let checkout = checkout(&unmet("nosmt", ""));
    let path = checkout.path().join("given");
    for (option, text) in [
        ("--sysctls", "a.b = 1\nkernel.osrelease = 6.12.118-preon-full\n"),
        ("--config", "CONFIG_A=y\nCONFIG_LOCALVERSION=\"-preon-full\"\n"),
    ] {
        fs::write(&path, text).unwrap();
        let error = audit(checkout.path(), &[option, path.to_str().unwrap()]).1.unwrap_err();
        assert!(error.contains("this is another kernel than `hardened`"), "{error}");
    }
}

#[test]
fn an_image_is_held_to_the_policy_with_all_that_its_definition_says() {
    let checkout = checkout("");
    let config = Config::parse(CONFIG).unwrap();
    type Files<'a> = &'a [(&'a str, &'a str)];
    let demand = |command_line, files: Files<'_>| {
        let (flavour, profile) = (Flavour::Hardened, Profile::Default);
        let installed = image::Installed { flavour, profile, config: &config, command_line, files };
        image::demand(checkout.path(), &installed)
            .map_err(|failure| explain::render(failure.as_ref()))
    };
    assert_eq!(demand("quiet nosmt", &[]), Ok(()));
    #[rustfmt::skip]
    let cases: [(&str, Files<'_>, &str); 5] = [
        ("quiet",             &[],                                          "otherwise: nosmt\n"),
        ("quiet nosmt -- x",  &[],                                          "has `--`"),
        ("nosmt",             &[("/etc/sysctl.d/99-x.conf", "a/b = 0\n")],  "otherwise: a.b=1\n"),
        ("nosmt",             &[("/etc/sysctl.d/60-b.conf", "")],           "otherwise: a.b=1\n"), // hides the package's
        ("",                  &[("/etc/sysctl.d/99-x.conf", "a.b=0")],      "otherwise: nosmt, a.b=1\n"),
    ];
    for (command_line, files, expected) in cases {
        let error = demand(command_line, files).unwrap_err();
        assert!(error.contains(expected), "{command_line}, {files:?}: {error}");
    }
    assert_eq!(demand("nosmt", &[("/etc/sysctl.d/99-x.conf.bak", "a.b=0")]), Ok(()));
}
