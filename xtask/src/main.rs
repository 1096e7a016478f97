//! Drives cargo and forge: set-up, running, testing, measuring. No product logic.
//!
//! A subcommand is a file.

mod bench;
mod ci;
mod command;
mod fuzz;
mod layers;
mod progress;
mod run;
mod setup;
mod steps;
mod tests;

use std::process::ExitCode;

use clap::Parser;

/// Set up, run, test and measure Preon OS
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
enum Xtask {
    /// Install the Debian packages that everything here needs
    Setup,
    /// Build a host, the minimal one unless told otherwise, boot it, run a container on it
    Run(run::Run),
    /// Run every test, those in virtual machines included
    Test(tests::Test),
    /// All that a change must pass: format, lints, layers, licences, tests, fuzzing
    Ci(ci::Ci),
    /// Compare the table of crates in docs/architecture.md with the real dependencies
    Layers,
    /// Feed the parsers of foreign bytes with random input
    Fuzz(fuzz::Fuzz),
    /// Measure, beside what Debian offers for the same
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let done = match Xtask::parse() {
        Xtask::Setup => setup::ensure(),
        Xtask::Run(run) => run.run(),
        Xtask::Test(test) => test.run(),
        Xtask::Ci(ci) => ci.run(),
        Xtask::Layers => layers::check(),
        Xtask::Fuzz(fuzz) => fuzz.run(),
        Xtask::Bench(bench) => bench.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
