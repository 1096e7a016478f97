use base::explain;

use super::*;

/// A policy of three checks, and what `more` adds.
fn text(more: &str) -> String {
    "[kconfig.self_protection]\nkspp = [\"CONFIG_A=y or CONFIG_B=n\"]\n\
     [cmdline.cut_attack_surface]\nclipos = [\"nosmt\"]\n\
     [sysctl.network_security]\ncis = [\"net.a=1\"]\n"
        .to_owned()
        + more
}

fn error(text: &str) -> String {
    explain::render(&parse(Path::new("kernel.toml"), text).unwrap_err())
}

#[test]
fn checks_are_read_with_their_setting_kind_and_source() {
    let policy = parse(Path::new("p"), &text("")).unwrap();
    let lines = policy.checks.iter().map(|check| {
        let Check { setting, kind, source, expression } = check;
        format!("{setting:?} {kind:?} {source:?} {}", expression.subject)
    });
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [
            "Kconfig SelfProtection Kspp CONFIG_A=y",
            "Cmdline CutAttackSurface Clipos nosmt",
            "Sysctl NetworkSecurity Cis net.a=1",
        ]
    );
}

#[test]
fn an_explanation_speaks_of_its_flavours_and_profiles() {
    let unmet = "[[unmet]]\nchecks = [\"nosmt\"]\nflavours = [\"hardened\"]\nreason = \"r\"\ninstead = \"i\"\n";
    let explanation = |more: &str| {
        let policy = parse(Path::new("p"), &text(&format!("{unmet}{more}"))).unwrap();
        policy.unmet.into_iter().next().unwrap()
    };
    let (all, strict) = (explanation(""), explanation("profiles = [\"strict\"]\n"));
    assert!(all.speaks_of(Flavour::Hardened, Profile::Default));
    assert!(all.speaks_of(Flavour::Hardened, Profile::Strict));
    assert!(!strict.speaks_of(Flavour::Hardened, Profile::Default));
    assert!(strict.speaks_of(Flavour::Hardened, Profile::Strict));
    assert!(!all.speaks_of(Flavour::Full, Profile::Default));
}

#[test]
fn a_policy_that_is_not_understood_is_refused_with_line_and_caret() {
    #[rustfmt::skip]
    let cases = [
        ("[kconfg.self_protection]\n",                           "7 |", "unknown field `kconfg`"),
        ("[kconfig.self_defence]\n",                             "7 |", "unknown variant `self_defence`"),
        ("[kconfig.security_policy]\nksp = []\n",                "8 |", "unknown variant `ksp`"),
        ("[kconfig.security_policy]\nkspp = [\n\"CONFIG_C=\",\n]\n", "9 |", "`CONFIG_C=` is no term"),
        ("[kconfig.security_policy]\nkspp = [\"since 6.6\"]\n",  "8 |", "begins with a version"),
        ("[kconfig.security_policy]\nkspp = \"CONFIG_C=y\"\n",   "8 |", "expected a sequence"),
        ("[[unmet]]\nchecks = [\"nosmt\"]\nflavours = [\"hard\"]\nreason = \"r\"\ninstead = \"i\"\n", "9 |", "unknown variant `hard`"),
        ("[[unmet]]\nchecks = [\"nosmt\"]\nflavours = [\"hardened\"]\nreason = \" \"\ninstead = \"i\"\n", "10 |", "a line of text is needed here"),
        ("[[unmet]]\nchecks = [\"nosmt\"]\nflavours = [\"hardened\"]\nreason = \"r\"\n", "7 |", "missing field `instead`"),
        ("[[unmet]]\nwhy = \"r\"\n",                             "8 |", "unknown field `why`"),
        ("[[unmet]]\nchecks = [\"nosmt\"]\nprofiles = [\"lax\"]\n", "9 |", "unknown variant `lax`"),
    ];
    for (more, place, reason) in cases {
        let error = error(&text(more));
        assert!(error.contains(place) && error.contains(reason), "{more}\n{error}");
        assert!(error.contains('^') && error.contains("What must hold"), "{more}\n{error}");
    }
}

#[test]
fn a_policy_that_contradicts_itself_is_refused() {
    let unmet = |check: &str| {
        format!(
            "[[unmet]]\nchecks = [\"{check}\"]\nflavours = [\"hardened\"]\nreason = \"r\"\ninstead = \"i\"\n"
        )
    };
    let narrow =
        |check: &str, profile: &str| unmet(check) + &format!("profiles = [\"{profile}\"]\n");
    #[rustfmt::skip]
    let cases = [
        ("[kconfig.security_policy]\nkspp = [\"quiet\"]\n".into(),       "`quiet` stands below the wrong key"),
        ("[sysctl.security_policy]\nkspp = [\"CONFIG_C=y\"]\n".into(),   "`CONFIG_C=y` stands below the wrong key"),
        ("[cmdline.security_policy]\nkspp = [\"nosmt\"]\n".into(),       "`nosmt` is demanded twice"),
        (unmet("CONFIG_A=n"),                                            "`CONFIG_A=n`, which nothing demands"),
        (unmet("nosm"),                                                  "did you mean `nosmt`?"),
        (unmet("nosmt") + &unmet("nosmt"),                               "two [[unmet]] explain `nosmt` of the hardened kernel with the default profile"),
        (unmet("nosmt") + &narrow("nosmt", "strict"),                    "with the strict profile"),
        (unmet("nosmt") + "found = [\"nosm\"]\n",                        "`nosm` may be found, but explains no check of that name"),
        (unmet("").replace("\"\"", ""),                                  "without any `checks` explains nothing"),
        (unmet("nosmt").replace("\"hardened\"", ""),                     "without any `flavours` explains nothing"),
    ];
    for (more, reason) in cases {
        let error = error(&text(&more));
        assert!(error.contains(reason) && error.contains("hint:"), "{more}\n{error}");
    }
    let apart = narrow("nosmt", "default") + &narrow("nosmt", "strict");
    assert!(parse(Path::new("p"), &text(&apart)).is_ok());
}
