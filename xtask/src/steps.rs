//! A list of steps, each with its seconds, and what its tests said.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// The steps done so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    rows: Vec<Row>,
    tally: Tally,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    seconds: f32,
    failure: Option<String>,
}

/// What `cargo test` said, over all its runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: u32,
    failed: u32,
    ignored: u32,
    /// One line a test that ran: its binary, its name, how it ended.
    tests: Vec<String>,
    binary: String,
}

impl Steps {
    /// Does one step. A step that fails does not keep the others from being done.
    pub(crate) fn run(&mut self, name: &'static str, step: impl FnOnce() -> Result<()>) -> bool {
        self.run_counting(name, |_| step())
    }

    /// Does one step whose tests are counted.
    pub(crate) fn run_counting(
        &mut self,
        name: &'static str,
        step: impl FnOnce(&mut Tally) -> Result<()>,
    ) -> bool {
        println!("==> {name}");
        let start = Instant::now();
        let failure = step(&mut self.tally).err().map(|error| format!("{error:#}"));
        if let Some(failure) = &failure {
            eprintln!("error: {failure}");
        }
        let row = Row { name, seconds: start.elapsed().as_secs_f32(), failure };
        self.rows.push(row);
        self.rows.last().is_some_and(|row| row.failure.is_none())
    }

    /// Prints one line for each test that ran, one for each step, and the sum.
    ///
    /// # Errors
    ///
    /// If a step or a test failed.
    pub(crate) fn finish(self) -> Result<()> {
        println!();
        for test in &self.tally.tests {
            println!("{test}");
        }
        println!();
        for row in &self.rows {
            let outcome = if row.failure.is_some() { "FAILED" } else { "ok" };
            println!("{:<28} {:>7.1} s  {outcome}", row.name, row.seconds);
        }
        let seconds: f32 = self.rows.iter().map(|row| row.seconds).sum();
        println!("{:<28} {seconds:>7.1} s", "all");
        let Tally { passed, failed, ignored, .. } = self.tally;
        println!("{passed} passed, {failed} failed, {ignored} left out");
        let broken: Vec<_> = self.rows.iter().filter(|row| row.failure.is_some()).collect();
        if !broken.is_empty() || failed > 0 {
            let names: Vec<_> = broken.iter().map(|row| row.name).collect();
            bail!("failed: {}", names.join(", "));
        }
        Ok(())
    }
}

impl Tally {
    /// Runs a `cargo test`, shows what it prints, and counts its tests.
    ///
    /// # Errors
    ///
    /// If it cannot be started or fails.
    pub(crate) fn cargo_test(&mut self, command: &mut Command) -> Result<()> {
        self.watch(command, "")
    }

    /// Runs several `cargo test`s, by name, `at_once` of them at a time in their order; each line that they print has its
    /// name before it.
    ///
    /// # Errors
    ///
    /// If one cannot be started or fails; the others run nevertheless.
    pub(crate) fn cargo_tests(
        &mut self,
        commands: Vec<(String, Command)>,
        at_once: usize,
    ) -> Result<()> {
        let count = commands.len();
        let waiting = Mutex::new(commands.into_iter());
        let done = Mutex::new(Vec::new());
        let next = || waiting.lock().ok()?.next();
        let work = || {
            while let Some((name, mut command)) = next() {
                let mut tally = Self::default();
                let result = tally.watch(&mut command, &format!("{name}: "));
                if let Ok(mut done) = done.lock() {
                    done.push((name, tally, result));
                }
            }
        };
        std::thread::scope(|scope| (0..at_once).for_each(|_| _ = scope.spawn(work)));
        let mut done = done.into_inner().unwrap_or_default();
        done.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        let (ran, mut failed) = (done.len(), Vec::new());
        for (name, mut tally, result) in done {
            self.passed += tally.passed;
            self.failed += tally.failed;
            self.ignored += tally.ignored;
            self.tests.append(&mut tally.tests);
            failed.extend(result.is_err().then_some(name));
        }
        if ran < count || !failed.is_empty() {
            bail!("{ran} of {count} ran; failed: {}", failed.join(", "));
        }
        Ok(())
    }

    /// Runs `command`; each line that it prints is shown with `label` before it.
    fn watch(&mut self, command: &mut Command, label: &str) -> Result<()> {
        let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
        let errors = writer.try_clone().context("cannot make a pipe")?;
        command.stdin(Stdio::null()).stdout(writer).stderr(errors);
        let mut child = command.spawn().context("cannot start cargo test")?;
        // The command holds the pipe's writing ends; reading ends when nobody holds any.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        for line in BufReader::new(reader).split(b'\n') {
            let line = line.context("cannot read what cargo test prints")?;
            let line = String::from_utf8_lossy(&line);
            println!("{label}{line}");
            self.count(&line);
        }
        let status = child.wait().context("cannot wait for cargo test")?;
        if !status.success() {
            bail!("cargo test failed with {status}");
        }
        Ok(())
    }

    /// Takes one line of what `cargo test` prints.
    fn count(&mut self, line: &str) {
        let line = line.trim();
        if let Some(running) = line.strip_prefix("Running ") {
            self.binary = binary_name(running).to_owned();
        } else if let Some(documented) = line.strip_prefix("Doc-tests ") {
            self.binary = format!("{documented} (documentation)");
        } else if let Some((name, outcome)) = test_line(line) {
            match outcome {
                "ok" => self.passed += 1,
                "FAILED" => self.failed += 1,
                _ => return self.ignored += 1,
            }
            self.tests.push(format!("{}: {name} ... {outcome}", self.binary));
        }
    }
}

/// `unittests src/lib.rs (target/debug/deps/testkit-abdc1f23fa662ecf)` is of `testkit`.
fn binary_name(running: &str) -> &str {
    let path = running.rsplit_once('(').map_or(running, |(_, path)| path.trim_end_matches(')'));
    let file = path.rsplit('/').next().unwrap_or(path);
    file.rsplit_once('-').map_or(file, |(name, _hash)| name)
}

/// The name and outcome in `test NAME ... OUTCOME`.
fn test_line(line: &str) -> Option<(&str, &str)> {
    let (name, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let outcome = outcome.split([',', ' ']).next()?;
    ["ok", "FAILED", "ignored"].contains(&outcome).then_some((name, outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_run_though_one_fails_and_their_tests_are_counted_together() {
        let mut tally = Tally::default();
        let command = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let print = "echo '     Running x (target/x-1)'; echo test NAME ... ok; exit STATUS";
        let one = |name: &str, status: &str| {
            let script = print.replace("NAME", name).replace("STATUS", status);
            (name.to_owned(), command(&script))
        };
        let error = tally.cargo_tests(vec![one("c", "0"), one("a", "1"), one("b", "0")], 2);
        assert_eq!(error.unwrap_err().to_string(), "3 of 3 ran; failed: a");
        assert_eq!(tally.tests, ["x: a ... ok", "x: b ... ok", "x: c ... ok"]);
        assert_eq!(tally.passed, 3);
    }

    #[test]
    fn tests_are_counted_under_their_binary() {
        let mut tally = Tally::default();
        let printed = "\
     Running unittests src/lib.rs (target/debug/deps/testkit-abdc1f23fa662ecf)
running 3 tests
test wait::tests::a ... ok
test wait::tests::b - should panic ... FAILED
test c ... ignored, takes an hour
test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out
   Doc-tests base
test crates/base/src/lib.rs - run (line 3) ... ok";
        printed.lines().for_each(|line| tally.count(line));
        let expected = [
            "testkit: wait::tests::a ... ok",
            "testkit: wait::tests::b - should panic ... FAILED",
            "base (documentation): crates/base/src/lib.rs - run (line 3) ... ok",
        ];
        assert_eq!(tally.tests, expected);
        assert_eq!((tally.passed, tally.failed, tally.ignored), (2, 1, 1));
    }
}
