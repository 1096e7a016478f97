//! `cargo xtask test`: every test, those in virtual machines included.

use anyhow::{Result, bail};

use crate::command::{self, cargo};
use crate::steps::Steps;
use crate::{run, setup};

/// The package in `tests/`: whole programs together, virtual machines.
const SYSTEM: &str = "system-tests";

/// How many of its binaries run at a time: a test that waits for a machine to boot must not wait for others too.
const AT_ONCE: usize = 2;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Test {
    /// Also run the tests that take too long for every change
    #[arg(long)]
    nightly: bool,
}

impl Test {
    pub(crate) fn run(self) -> Result<()> {
        let mut steps = Steps::default();
        steps.run("set-up", setup::ensure);
        self.add_to(&mut steps);
        steps.finish()
    }

    /// The steps of this command, for `ci` too.
    pub(crate) fn add_to(&self, steps: &mut Steps) {
        steps.run_counting("tests", |tally| {
            let all = ["test", "--workspace", "--exclude", SYSTEM, "--no-fail-fast"];
            let mut command = cargo(&[&all, self.arguments()].concat());
            if self.nightly {
                command.env("PREON_APT_SAMPLES", "1000");
            }
            tally.cargo_test(&mut command)
        });
        let forge = |words: &[&str]| command::run(&mut command::forge(words));
        steps.run("kernels' configurations", || forge(&["kernel", "config", "--check"]));
        let built = steps.run("image", || run::build(run::IMAGE));
        if self.nightly {
            steps.run("the same kernel twice", || forge(&["kernel", "build", "--again"]));
            steps.run("all packages", || forge(&["curate", "--layer", "out/everything"]));
            steps.run("full image", || forge(&["image", "build", "full"]));
            steps.run("strict image", || forge(&["image", "build", "strict"]));
        }
        steps.run_counting("system tests", |tally| {
            if !built {
                bail!("there is no image to test");
            }
            // Each keeps one processor busy, most by a machine that it boots.
            let command = |(name, words): (String, Vec<&str>)| {
                let system = [&["test", "-p", SYSTEM, "--no-fail-fast"], &words[..]].concat();
                let mut command = cargo(&[&system, self.arguments()].concat());
                command.env("RUST_TEST_THREADS", "1");
                (name, command)
            };
            let binaries = binaries()?;
            let words = binaries.iter().map(|name| (name.clone(), vec!["--test", name]));
            let commands = words.chain([("lib".to_owned(), vec!["--lib"])]).map(command).collect();
            tally.cargo_tests(commands, AT_ONCE)
        });
    }

    fn arguments(&self) -> &'static [&'static str] {
        if self.nightly { &["--", "--include-ignored"] } else { &[] }
    }
}

/// The names of the system tests' binaries, in the order of `tests/Cargo.toml`; all are built now.
fn binaries() -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Manifest {
        test: Vec<Binary>,
    }
    #[derive(serde::Deserialize)]
    struct Binary {
        name: String,
    }
    command::run(&mut cargo(&["test", "-p", SYSTEM, "--no-run"]))?;
    let text = std::fs::read_to_string(command::workspace().join("tests/Cargo.toml"))?;
    let manifest: Manifest = toml::from_str(&text)?;
    Ok(manifest.test.into_iter().map(|binary| binary.name).collect())
}
