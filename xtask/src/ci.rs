//! `cargo xtask ci`: all that a change must pass, with one line and its seconds for each step.

use anyhow::Result;

use crate::command::{self, cargo};
use crate::fuzz::Fuzz;
use crate::steps::Steps;
use crate::tests::Test;
use crate::{layers, setup};

#[derive(Debug, clap::Args)]
pub(crate) struct Ci {
    #[command(flatten)]
    test: Test,
}

impl Ci {
    pub(crate) fn run(self) -> Result<()> {
        let mut steps = Steps::default();
        steps.run("set-up", setup::ensure);
        steps.run("format", || command::run(&mut cargo(&["fmt", "--all", "--check"])));
        steps.run("lints", || {
            let clippy = ["clippy", "--quiet", "--workspace", "--all-targets"];
            command::run(&mut cargo(&[&clippy[..], &["--", "-D", "warnings"]].concat()))
        });
        steps.run("layers", layers::check);
        steps.run("dependencies", dependencies);
        self.test.add_to(&mut steps);
        steps.run("fuzzing", || Fuzz::default().run());
        steps.finish()
    }
}

/// Licences, known vulnerabilities and duplicates of what we depend on, by deny.toml.
fn dependencies() -> Result<()> {
    if !command::exists("cargo-deny") {
        command::run(&mut cargo(&["install", "--quiet", "--locked", "cargo-deny"]))?;
    }
    let deny = |arguments: &[&str]| {
        let quiet = ["deny", "--log-level", "error"];
        command::run(&mut cargo(&[&quiet, arguments].concat()))
    };
    deny(&["check", "--hide-inclusion-graph", "bans", "licenses", "sources"])?;
    match deny(&["fetch", "db"]) {
        Ok(()) => deny(&["check", "--hide-inclusion-graph", "--disable-fetch", "advisories"]),
        Err(error) => {
            eprintln!("advisories were not looked at: their database cannot be had ({error:#})");
            Ok(())
        }
    }
}
