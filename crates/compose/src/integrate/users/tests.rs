use super::*;

fn accounts(files: &[(&str, &str)]) -> Result<Accounts, UsersError> {
    let files: Vec<_> = files.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
    Accounts::from_sysusers(&files)
}

const BASIC: (&str, &str) = (
    "basic.conf",
    "g nogroup 65534 -\ng shadow 42\nu root 0 - /root /bin/bash\nu! nobody 65534:65534 - /nonexistent\n\
     u sshd -:nogroup \"SSH, apart\" /run/sshd\ng journal - -\n",
);

const OURS: (&str, &str) = (
    "preon-ssh.conf",
    "# numbers\nu sshd 105:nogroup \"SSH, apart\" /run/sshd\ng journal 110\nu net 120\nm sshd journal\n\
     m root journal\nr - 500-900\n",
);

#[test]
fn accounts_have_the_numbers_that_our_recipes_fix() {
    for files in [[BASIC, OURS], [OURS, BASIC]] {
        let accounts = accounts(&files).unwrap();
        assert_eq!(
            accounts.passwd(),
            "root:x:0:0::/root:/bin/bash\n\
             sshd:x:105:65534:SSH, apart:/run/sshd:/usr/sbin/nologin\n\
             net:x:120:120::/:/usr/sbin/nologin\n\
             nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"
        );
        assert_eq!(
            accounts.group(),
            "root:x:0:\nshadow:x:42:\njournal:x:110:root,sshd\nnet:x:120:\nnogroup:x:65534:\n"
        );
        assert!(accounts.gshadow().contains("journal:!*::root,sshd\n"));
    }
}

#[test]
fn nobody_has_a_password_and_nothing_expires() {
    let shadow = accounts(&[BASIC, OURS]).unwrap().shadow();
    let lines: Vec<_> = shadow.lines().collect();
    assert_eq!(lines, ["root:*:::::::", "sshd:!*:::::::", "net:!*:::::::", "nobody:!*:::::::"]);
}

#[test]
fn all_accounts_without_a_number_are_named_with_a_hint() {
    let error = accounts(&[BASIC]).unwrap_err();
    let text =
        "accounts without a fixed number: user sshd (basic.conf), group journal (basic.conf)";
    assert_eq!(error.to_string(), text);
    assert!(error.hint().unwrap().contains("recipe"));
}

#[test]
fn what_contradicts_itself_is_refused() {
    #[rustfmt::skip]
    let cases = [
        ("u a 1\nu b 1:a",         "the users a and b both have the number 1"),
        ("g a 1\ng b 1",           "the groups a and b both have the number 1"),
        ("u a 1\ng b 1",           "the groups a and b both have the number 1"),
        ("u a 1:b",                "the user a has the group b, which does not exist"),
        ("u a 1:7",                "the user a has the group 7, which does not exist"),
        ("u a 1\nm a b",           "a is to be a member of b, but the group does not exist"),
        ("g b 1\nm a b",           "a is to be a member of b, but the user does not exist"),
        ("\nx a 1",                "usr/lib/sysusers.d/f, line 2: `x` is no kind of line (u, g, m, r)"),
        ("u a:b 1",                "usr/lib/sysusers.d/f, line 1: `a:b` cannot be the name of a user or group"),
        ("u a 65535",              "usr/lib/sysusers.d/f, line 1: `65535` is no number for an account"),
        ("u a -1",                 "usr/lib/sysusers.d/f, line 1: `-1` is no number for an account"),
        ("u a 1 \"x",              "usr/lib/sysusers.d/f, line 1: a quote is not closed"),
        ("u a 1 x:y",              "usr/lib/sysusers.d/f, line 1: a field holds a colon"),
        ("u a 1 %H",               "usr/lib/sysusers.d/f, line 1: `%H` holds a specifier, which is not known at build time"),
        ("u a 1 - / /x y",         "usr/lib/sysusers.d/f, line 1: more than six fields; quote the description"),
    ];
    for (text, message) in cases {
        assert_eq!(accounts(&[("f", text)]).unwrap_err().to_string(), message, "{text}");
    }
}

#[test]
fn a_number_also_names_an_account() {
    let accounts = accounts(&[BASIC, OURS]).unwrap();
    assert!(accounts.has_user("105") && accounts.has_user("sshd") && !accounts.has_user("106"));
    assert!(accounts.has_group("42") && accounts.has_group("shadow") && !accounts.has_group("x"));
    assert_eq!(accounts.gid("shadow"), Some(42));
}
