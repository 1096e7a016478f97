//! What can be asked of the host that is run, refused before anything is built for it.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

/// Docker and a container are at home in no less.
const LEAST_MEMORY_MB: u32 = 512;
/// Holds the image, and what Docker unpacks of a container image.
const LEAST_DISK_GB: u64 = 1;
/// As much as ext4 holds in blocks of 4096 bytes, about.
const MOST_DISK_GB: u64 = 16_000;

pub(super) fn memory(text: &str) -> Result<u32, String> {
    let megabytes = text.parse().ok().filter(|megabytes| *megabytes >= LEAST_MEMORY_MB);
    megabytes.ok_or_else(|| {
        format!("Docker and a container need {LEAST_MEMORY_MB} megabytes: give that or more")
    })
}

pub(super) fn disk(text: &str) -> Result<u64, String> {
    let gigabytes = text.parse().ok().filter(|it| (LEAST_DISK_GB..=MOST_DISK_GB).contains(it));
    gigabytes.ok_or_else(|| {
        format!(
            "give {LEAST_DISK_GB} to {MOST_DISK_GB} gigabytes: it holds the image and containers"
        )
    })
}

/// A port of this machine, and the host's port that it leads to.
pub(super) fn forward(text: &str) -> Result<(u16, u16), String> {
    let ports = text.split_once(':').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    ports.filter(|(_, there)| *there != 0).ok_or_else(|| {
        "write this machine's port (0: any free one), a colon, the host's port: 8080:80".to_owned()
    })
}

/// Refuses ports of this machine that cannot be had; 0 stands for any.
pub(super) fn check_ports(ports: impl IntoIterator<Item = u16>) -> Result<()> {
    let mut taken: Vec<(u16, TcpListener)> = Vec::new();
    for port in ports.into_iter().filter(|port| *port != 0) {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => taken.push((port, listener)),
            Err(_) if taken.iter().any(|(known, _)| *known == port) => {
                bail!(
                    "port {port} of this machine can lead to one port of the host only: give each its own"
                )
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
                "port {port} of this machine is in use: give another to --forward or --ssh-port, \
                 or 0 for any free one"
            ),
            Err(error) => bail!(
                "port {port} of this machine cannot be used ({error}): give another to --forward \
                 or --ssh-port, or 0 for any free one"
            ),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::Xtask;

    use super::*;

    /// What a person sees who gives these arguments to `cargo xtask run`.
    fn refusal(arguments: &[&str]) -> String {
        let words = [&["cargo xtask", "run"], arguments].concat();
        Xtask::try_parse_from(words).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn a_host_that_could_not_work_is_refused_with_what_would_do() {
        #[rustfmt::skip]
        let cases = [
            (["--memory", "10"],            "need 512 megabytes"),
            (["--memory", "511"],           "need 512 megabytes"),
            (["--memory", "512"],           ""),
            (["--disk", "0"],               "give 1 to 16000 gigabytes"),
            (["--disk", "18446744073709551615"], "give 1 to 16000 gigabytes"),
            (["--disk", "1"],               ""),
            (["--forward", "8080"],         "the host's port: 8080:80"),
            (["--forward", "8080:0"],       "the host's port: 8080:80"),
            (["--forward", "8080:65536"],   "the host's port: 8080:80"),
            (["--forward", "8080:80"],      ""),
        ];
        for (arguments, why) in cases {
            let refusal = refusal(&arguments);
            assert!(refusal.contains(why), "{arguments:?}: {refusal}");
            assert_eq!(refusal.is_empty(), why.is_empty(), "{arguments:?}: {refusal}");
        }
    }

    #[test]
    fn the_minimal_host_is_run_unless_another_image_is_named() {
        for (arguments, expected) in [(&[][..], "minimal"), (&["full", "--exit"], "full")] {
            let words = [&["cargo xtask", "run"], arguments].concat();
            let Ok(Xtask::Run(run)) = Xtask::try_parse_from(words) else { panic!("{arguments:?}") };
            assert_eq!(run.image, expected);
        }
    }

    #[test]
    fn the_help_shows_how_a_port_is_forwarded() {
        let help = refusal(&["--help"]);
        assert!(help.contains("--forward <HERE:THERE>"), "{help}");
        assert!(help.contains("8080:80"), "{help}");
    }

    #[test]
    fn a_port_that_is_in_use_or_given_twice_is_named() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = check_ports([0, 0, port]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("port {port} of this machine is in use: ")), "{error}");

        drop(listener);
        check_ports([port]).unwrap();
        let error = check_ports([port, port]).unwrap_err().to_string();
        assert!(error.contains("can lead to one port of the host only"), "{error}");
    }
}
