//! Slots of a fleet in Debian's etcd, each test in a network of its own.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use base::{Explain, explain};
use host::Root;
use host::coordinator::{Config, Coordinator, Holder, Taken};

use testkit::in_namespace;

use crate::server::{Etcd, Tls};

fn config(slots: usize) -> Config {
    Config {
        etcd: vec!["http://127.0.0.1:2379".into()],
        slots: slots.try_into().unwrap(),
        group: "web".into(),
        ca: None,
        certificate: None,
        key: None,
    }
}

fn coordinator(config: &Config) -> Coordinator {
    Coordinator::new(&Root("/".into()), config).unwrap()
}

fn holder(name: &str) -> Holder {
    Holder { name: name.into(), since: 1_800_000_000, generation: 2 }
}

fn told(error: &dyn Explain) -> String {
    explain::render(error)
}

#[test]
fn at_most_as_many_hosts_have_a_slot_at_once_as_there_are() {
    in_namespace(|| {
        const HOSTS: usize = 8;
        const SLOTS: usize = 3;
        let etcd = Etcd::start();
        let inside = AtomicUsize::new(0);
        let restarts = AtomicUsize::new(0);
        let host = |number: usize| {
            let (coordinator, id) = (coordinator(&config(SLOTS)), number.to_string());
            let mut done = 0;
            for _ in 0..2000 {
                if coordinator.acquire(&id, &holder(&id)).unwrap() == Taken::Granted {
                    let before = inside.fetch_add(1, Ordering::SeqCst);
                    assert!(before < SLOTS, "{before} others restart");
                    // Asking again changes nothing.
                    assert_eq!(coordinator.acquire(&id, &holder(&id)).unwrap(), Taken::Granted);
                    inside.fetch_sub(1, Ordering::SeqCst);
                    assert!(coordinator.release(&id).unwrap().is_some());
                    done += 1;
                    restarts.fetch_add(1, Ordering::SeqCst);
                }
                if done == 5 {
                    return;
                }
            }
            panic!("host {number} has restarted {done} times only");
        };
        thread::scope(|scope| {
            (0..HOSTS).for_each(|number| drop(scope.spawn(move || host(number))));
        });
        assert_eq!(restarts.into_inner(), HOSTS * 5);
        // etcd remembers each value that the list ever had.
        let counts: Vec<_> =
            etcd.history("preon/reboot/web").iter().map(|value| count(value)).collect();
        assert!(counts.len() >= 2 * HOSTS * 5, "{}", counts.len());
        assert!(counts.iter().all(|count| *count <= SLOTS), "{counts:?}");
        assert!(counts.windows(2).all(|pair| pair[0].abs_diff(pair[1]) <= 1), "{counts:?}");
        assert_eq!(*counts.last().unwrap(), 0);
    });
}

fn count(value: &[u8]) -> usize {
    let json: serde_json::Value = serde_json::from_slice(value).unwrap();
    json["holders"].as_object().unwrap().len()
}

#[test]
fn who_dies_keeps_its_slot_over_a_crash_of_the_store_until_somebody_gives_it_up() {
    in_namespace(|| {
        let mut etcd = Etcd::start();
        let one = coordinator(&config(1));
        assert_eq!(one.acquire("1", &holder("web1")).unwrap(), Taken::Granted);
        drop(one); // it never comes back
        etcd.kill_and_start_again();
        let other = coordinator(&config(1));
        match other.acquire("2", &holder("web2")).unwrap() {
            Taken::Full(holders) => assert_eq!(holders.to_string(), "web1"),
            Taken::Granted => panic!("a slot that was taken is free"),
        }
        assert_eq!(other.release("nobody").unwrap(), None);
        assert_eq!(other.release("web1").unwrap(), Some(holder("web1")));
        assert_eq!(other.acquire("2", &holder("web2")).unwrap(), Taken::Granted);
        // Another group has slots of its own.
        let config = Config { group: "db".into(), ..config(1) };
        assert_eq!(coordinator(&config).acquire("3", &holder("db1")).unwrap(), Taken::Granted);
    });
}

#[test]
fn without_an_answer_there_is_no_slot_and_the_reason_is_told() {
    in_namespace(|| {
        let dead = coordinator(&config(1));
        let error = told(&dead.acquire("1", &holder("web1")).unwrap_err());
        for part in
            ["etcd cannot be reached at http://127.0.0.1:2379", "refused", "hint: nothing restarts"]
        {
            assert!(error.contains(part), "{part}: {error}");
        }
        // Of several servers one is enough.
        let etcd = Etcd::start();
        let two = Config {
            etcd: vec!["http://127.0.0.1:1".into(), "http://127.0.0.1:2379/".into()],
            ..config(1)
        };
        assert_eq!(coordinator(&two).acquire("1", &holder("web1")).unwrap(), Taken::Granted);
        // What another program has put there is left alone.
        etcd.put("preon/reboot/web", b"[1, 2]");
        let error = told(&coordinator(&config(1)).acquire("1", &holder("web1")).unwrap_err());
        assert!(error.contains("no list of hosts") && error.contains("etcdctl get"), "{error}");
        assert_eq!(etcd.history("preon/reboot/web").last().unwrap(), b"[1, 2]");
    });
}

#[test]
fn certificates_are_shown_and_demanded() {
    in_namespace(|| {
        let tls = Tls::make();
        let _etcd = Etcd::start_with(Some(&tls));
        let with = |ca, certificate, key| Config {
            etcd: vec!["https://127.0.0.1:2379".into()],
            ca,
            certificate,
            key,
            ..config(1)
        };
        let path = |name: &str| Some(tls.path(name));
        let ask = |config: &Config| coordinator(config).acquire("1", &holder("web1"));
        let good = with(path("ca.pem"), path("client.pem"), path("client.key"));
        assert_eq!(ask(&good).unwrap(), Taken::Granted);
        let mut told_of = BTreeSet::new();
        for bad in [
            with(path("ca.pem"), None, None),                   // who are you?
            with(None, path("client.pem"), path("client.key")), // who is that?
            with(path("other.pem"), path("client.pem"), path("client.key")),
        ] {
            told_of.insert(told(&ask(&bad).unwrap_err()));
        }
        assert!(told_of.iter().all(|text| text.contains("cannot be reached")), "{told_of:?}");
        assert!(told_of.iter().any(|text| text.contains("UnknownIssuer")), "{told_of:?}");

        let junk = tls.path("junk.pem");
        fs::write(&junk, "x").unwrap();
        let config = with(Some(junk), None, None);
        let error = told(&Coordinator::new(&Root("/".into()), &config).unwrap_err());
        assert!(error.contains("junk.pem is no certificate in PEM"), "{error}");
    });
}
