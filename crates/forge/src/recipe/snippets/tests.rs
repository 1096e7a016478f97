use super::*;

const FILE: &str = r#"
[[snippet]]
answer  = "presets"
presets = true
text    = '''
enable '@unit@'
update '@unit@'
'''

[[snippet]]
answer = "nothing"
text   = '''
start @units@ >/dev/null
'''

[[snippet]]
answer = "nothing"
text   = '''
compile -p @package@ 
'''

[[snippet]]
answer = "nothing"
text   = '''
helper rm_conffile @words@ -- "$@"
'''
"#;

fn read(section: &str) -> Reading {
    let snippets: Snippets = toml::from_str(FILE).unwrap();
    let text = format!(
        "#!/bin/sh\nset -e\n# Automatically added by dh_x/13.1\n{section}# End automatically added section\n\nexit 0\n"
    );
    snippets.read(&text, &"podman".parse().unwrap())
}

#[test]
fn a_section_that_is_known_to_the_last_byte_needs_no_reader() {
    #[rustfmt::skip]
    let cases = [
        ("enable 'a.socket'\nupdate 'a.socket'\n",                         Some(vec!["a.socket"])),
        ("start 'a.socket' 'b@x.service' >/dev/null\n",                    Some(vec![])),
        ("compile -p podman \n",                                           Some(vec![])),
        ("helper rm_conffile /etc/a/b.conf 1:2.0\\~ podman -- \"$@\"\n",    Some(vec![])),
        // Several in a row.
        ("compile -p podman \nhelper rm_conffile /etc/a -- \"$@\"\n",      Some(vec![])),
        // Another unit in the second line, another package, a line more, a word more.
        ("enable 'a.socket'\nupdate 'b.socket'\n",                         None),
        ("compile -p docker \n",                                           None),
        ("compile -p podman \nrm -rf /x\n",                                None),
        ("start 'a.socket' b.socket >/dev/null\n",                         None),
        // What a shell would look into.
        ("enable '$(rm x)'\nupdate '$(rm x)'\n",                           None),
        ("helper rm_conffile /etc/a; rm b -- \"$@\"\n",                    None),
        ("helper rm_conffile `rm b` -- \"$@\"\n",                          None),
        ("helper rm_conffile /etc/*\nrm b -- \"$@\"\n",                    None),
        ("start 'a' >/x >/dev/null\n",                                     None),
    ];
    for (section, units) in cases {
        let reading = read(section);
        match units {
            Some(units) => assert_eq!(
                (reading.own.len(), reading.units),
                (0, units.into_iter().map(str::to_owned).collect()),
                "{section}"
            ),
            None => assert!(!reading.own.is_empty(), "{section}"),
        }
    }
}

#[test]
fn lines_outside_of_sections_are_read_by_somebody() {
    let snippets: Snippets = toml::from_str(FILE).unwrap();
    let read = |text: &str| snippets.read(text, &"a".parse().unwrap()).own;
    assert_eq!(read("#!/bin/sh\nset -e\n# why\n\nexit 0\n"), Vec::<String>::new());
    // A section within something else does not make that known.
    let within = "if x; then\n# Automatically added by dh_x/1\nstart 'a' >/dev/null\n# End automatically added section\nfi\n";
    assert_eq!(read(within), ["if x; then", "fi"]);
    assert_eq!(read("set -e\n  adduser a\n"), ["  adduser a"]);
}

#[test]
fn marks_must_be_told_apart() {
    for text in ["a @unit@@name@ b\n", "a @unit@", "a @units@", ""] {
        assert!(Template::try_from(text.to_owned()).is_err(), "{text:?}");
    }
    assert!(Template::try_from("@unit@ b\n".to_owned()).is_ok());
}

#[test]
fn the_products_own_snippets_are_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../os/packages");
    let (snippets, _) = Snippets::load(&folder).unwrap();
    let helper = "#!/bin/sh\nset -e\n# Automatically added by dh_installdeb/13.24\n\
                  dpkg-maintscript-helper rm_conffile /etc/init.d/kmod 34-1\\~ -- \"$@\"\n\
                  # End automatically added section\n";
    assert_eq!(snippets.read(helper, &"kmod".parse().unwrap()), Reading::default());
}
