use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::release::{Keyring, Verify};

/// Fri, 27 Nov 2026.
const NOW: u64 = 1_795_737_600;
const TEXT: &str = "Suite: s\n";

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("keys")
    }

    fn keys(&self) -> Keys {
        Keys::create(&self.folder(), NOW).unwrap()
    }

    /// What a host that has this keyring makes of a text.
    fn keyring(&self, bytes: &[u8]) -> Keyring {
        let path = self.0.path().join("keyring.gpg");
        fs::write(&path, bytes).unwrap();
        Keyring::load(&path).unwrap()
    }
}

#[test]
fn new_keys_are_for_their_owner_only_and_never_replace_others() {
    let scratch = Scratch::new();
    scratch.keys();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = scratch.folder();
    assert_eq!(mode(&folder), 0o700);
    let names = fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path());
    let mut secret: Vec<_> = names.filter(|it| it.extension().unwrap() != "json").collect();
    secret.sort();
    assert_eq!(secret.len(), 5);
    for path in &secret {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
    let before = fs::read(&secret[0]).unwrap();
    let error = Keys::create(&folder, NOW).unwrap_err();
    assert!(matches!(&error, KeyError::Exists(_)) && error.hint().is_some(), "{error}");
    assert_eq!(fs::read(&secret[0]).unwrap(), before);

    fs::set_permissions(&secret[1], fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Keys::open(&folder), Err(KeyError::Exposed(path)) if path == secret[1]));
}

#[test]
fn what_is_missing_or_broken_is_named() {
    let scratch = Scratch::new();
    let folder = scratch.folder();
    assert!(matches!(Keys::open(&folder), Err(KeyError::NoKeys(_))));
    scratch.keys();
    let root = folder.join("1.root.json");
    let text = fs::read_to_string(&root).unwrap();
    fs::write(&root, text.replace("\"version\":1", "\"version\":2")).unwrap();
    assert!(matches!(Keys::open(&folder), Err(KeyError::Root { .. })));
    fs::write(&root, text).unwrap();
    fs::remove_file(folder.join("snapshot-1.pem")).unwrap();
    let error = Keys::open(&folder).unwrap_err();
    assert!(matches!(error, KeyError::Missing { role: Role::Snapshot, .. }), "{error}");
    fs::write(folder.join("snapshot-1.pem"), "no key").unwrap();
    fs::set_permissions(folder.join("snapshot-1.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(Keys::open(&folder), Err(KeyError::Malformed { .. })));
}

#[test]
fn the_roots_secret_key_is_needed_for_a_new_root_only() {
    let scratch = Scratch::new();
    scratch.keys();
    let (folder, elsewhere) = (scratch.folder(), scratch.folder().with_extension("elsewhere"));
    fs::rename(folder.join("root-1.pem"), &elsewhere).unwrap();
    let open = || Keys::open(&folder).unwrap();
    open().check(NOW).unwrap();
    let root = open().described(NOW).into_iter().find(|key| key.role == Role::Root).unwrap();
    assert!(root.unusable.unwrap().contains("is elsewhere") && !root.id.is_empty());
    for role in [Role::Root, Role::Timestamp] {
        let error = open().rotate(role, NOW, Replaced::Retires).unwrap_err();
        assert!(matches!(error, KeyError::Missing { role: Role::Root, .. }), "{error}");
    }
    fs::rename(&elsewhere, folder.join("root-1.pem")).unwrap();
    assert_eq!(open().rotate(Role::Timestamp, NOW, Replaced::Retires).unwrap().root_version(), 2);
}

#[test]
fn rotations_at_the_same_time_all_count() {
    let scratch = Scratch::new();
    scratch.keys();
    let open = || Keys::open(&scratch.folder()).unwrap();
    let before = open().described(NOW);
    let read: Vec<_> = Role::TUF.iter().map(|role| (*role, open())).collect();
    std::thread::scope(|scope| {
        for (role, keys) in read {
            scope.spawn(move || keys.rotate(role, NOW, Replaced::Retires).unwrap());
        }
    });
    let now = open();
    assert_eq!(now.root_version(), 1 + Role::TUF.len() as u64);
    let ids = |described: Vec<Described>| described.into_iter().map(|key| key.id);
    let old: Vec<_> = ids(before).collect();
    let kept = ids(now.described(NOW)).filter(|id| old.contains(id)).count();
    assert_eq!(kept, 1, "only the certificate is the same");
}

#[test]
fn a_key_that_could_not_be_written_leaves_the_old_ones_in_use() {
    let scratch = Scratch::new();
    scratch.keys();
    let left = scratch.folder().join(".targets-2.pem.part");
    fs::write(&left, "cut sho").unwrap(); // by a process that was killed
    let keys = Keys::open(&scratch.folder()).unwrap();
    assert_eq!(keys.rotate(Role::Targets, NOW, Replaced::Retires).unwrap().root_version(), 2);
    assert!(!left.exists());
}

#[test]
fn a_root_is_signed_by_the_root_before_it_and_by_itself() {
    let scratch = Scratch::new();
    let first = scratch.keys();
    let first_root = first.roots().next().unwrap().clone();
    let keys = first.rotate(Role::Root, NOW, Replaced::Retires).unwrap();
    let keys = keys.rotate(Role::Timestamp, NOW, Replaced::Retires).unwrap();
    let keys = keys.rotate(Role::Root, NOW + 1, Replaced::Retires).unwrap();
    assert_eq!(keys.root_version(), 4);
    let files = keys.root_files();
    assert_eq!(files.len(), 4);
    let read = |name: &str, root| tuf::read::<tuf::Root>(&files[name], "root", [root]);
    let second = read("2.root.json", &first_root).unwrap();
    assert_ne!(second.key_of("root"), first_root.key_of("root"));
    assert_eq!(second.key_of("timestamp"), first_root.key_of("timestamp"));
    let third = read("3.root.json", &second).unwrap();
    assert_ne!(third.key_of("timestamp"), first_root.key_of("timestamp"));
    assert!(read("4.root.json", &third).is_ok());
    assert!(read("4.root.json", &first_root).is_err(), "a root in between was skipped");
}

#[test]
fn an_old_host_reads_both_signatures_until_the_old_certificate_ends() {
    let scratch = Scratch::new();
    let first = scratch.keys();
    let old_host = scratch.keyring(&first.keyring().unwrap());
    let keys = first.rotate(Role::OpenPgp, NOW, Replaced::Retires).unwrap();
    let everybody = scratch.keyring(&keys.keyring().unwrap());

    let during = NOW + OVERLAP - 1;
    let signed = keys.clear_sign(TEXT, during).unwrap();
    assert_eq!(old_host.verify(&signed, during).unwrap(), TEXT);
    assert_eq!(everybody.verify(&signed, during).unwrap(), TEXT);

    let after = NOW + OVERLAP + 1;
    let signed = keys.clear_sign(TEXT, after).unwrap();
    assert!(old_host.verify(&signed, after).is_err());
    assert_eq!(everybody.verify(&signed, after).unwrap(), TEXT);
    let described = keys.described(after);
    assert_eq!(described[0].unusable.as_deref(), Some("has expired"));
    assert_eq!(described[1].unusable, None);
}

#[test]
fn a_compromised_certificate_never_signs_again_and_says_so() {
    let scratch = Scratch::new();
    let first = scratch.keys();
    let signed_before = first.clear_sign(TEXT, NOW).unwrap();
    let old_host = scratch.keyring(&first.keyring().unwrap());
    let keys = first.rotate(Role::OpenPgp, NOW + 1, Replaced::IsCompromised).unwrap();
    let told = scratch.keyring(&keys.keyring().unwrap());
    assert_eq!(keys.described(NOW + 1)[0].unusable.as_deref(), Some("is revoked"));

    assert!(old_host.verify(&keys.clear_sign(TEXT, NOW + 1).unwrap(), NOW + 1).is_err());
    assert!(old_host.verify(&signed_before, NOW + 1).is_ok(), "nobody has told this host");
    assert!(told.verify(&signed_before, NOW + 1).is_err(), "a revoked key was believed");
}

#[test]
fn keys_that_have_expired_or_are_from_the_future_do_not_sign() {
    let scratch = Scratch::new();
    let keys = scratch.keys();
    keys.check(NOW).unwrap();
    let error = keys.check(NOW + ROOT_LIFE + 1).unwrap_err();
    assert!(matches!(error, KeyError::RootExpired { .. }) && error.hint().is_some(), "{error}");
    let error = keys.clear_sign(TEXT, NOW + CERTIFICATE_LIFE + 1).unwrap_err();
    assert!(error.to_string().contains("has expired") && error.hint().is_some(), "{error}");
    let error = keys.clear_sign(TEXT, NOW - 1).unwrap_err();
    assert!(error.to_string().contains("is not valid"), "{error}");
}
