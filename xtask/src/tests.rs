//! `cargo xtask test`: every test, those in virtual machines included.

use anyhow::{Result, bail};

use crate::command::{self, cargo};
use crate::steps::Steps;
use crate::{run, setup};

/// The package in `tests/`: whole programs together, virtual machines.
const SYSTEM: &str = "system-tests";

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
            steps.run("all packages", || forge(&["curate", "--together"]));
            steps.run("full image", || forge(&["image", "build", "full"]));
            steps.run("strict image", || forge(&["image", "build", "strict"]));
        }
        steps.run_counting("system tests", |tally| {
            if !built {
                bail!("there is no image to test");
            }
            // Each boots a machine that keeps a processor busy: one after another.
            let system = ["test", "-p", SYSTEM, "--no-fail-fast"];
            let mut command = cargo(&[&system, self.arguments()].concat());
            tally.cargo_test(command.env("RUST_TEST_THREADS", "1"))
        });
    }

    fn arguments(&self) -> &'static [&'static str] {
        if self.nightly { &["--", "--include-ignored"] } else { &[] }
    }
}
