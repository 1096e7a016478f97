//! Reads indexes, resolves a request and prints how long each step took, as one JSON object.
//!
//! `resolve [--recommends] INDEX… -- REQUEST…`; an INDEX is a `Packages` file, unpacked.

use std::time::Instant;

use packages::index::Index;
use packages::resolve::{Pins, Request, Universe, solve};

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let recommends = arguments.first().is_some_and(|argument| argument == "--recommends");
    if recommends {
        arguments.remove(0);
    }
    let Some(middle) = arguments.iter().position(|argument| argument == "--") else {
        eprintln!("usage: resolve [--recommends] INDEX… -- REQUEST…");
        std::process::exit(2);
    };
    let install = arguments[middle + 1..].to_vec();
    let request = Request { install, recommends, ..Request::default() };
    if let Err(failure) = run(&arguments[..middle], &request) {
        eprint!("{}", base::explain::render(failure.as_ref()));
        std::process::exit(1);
    }
}

fn run(files: &[String], request: &Request) -> Result<(), base::Failure> {
    let start = Instant::now();
    let mut indexes = Vec::new();
    for file in files {
        indexes.push(Index::load(file.as_str(), file.as_ref())?);
    }
    let parsed = Instant::now();
    let universe = Universe::new(&indexes, &Pins::default())?;
    let indexed = Instant::now();
    let solution = solve(&universe, request)?;
    let solved = Instant::now();
    let milliseconds = |from: Instant, to: Instant| (to - from).as_secs_f64() * 1e3;
    let names: Vec<_> = solution.packages.iter().map(|package| package.name()).collect();
    println!(
        "{{\"parse_ms\": {:.2}, \"index_ms\": {:.2}, \"solve_ms\": {:.2}, \
         \"total_ms\": {:.2}, \"candidates\": {}, \"packages\": {names:?}}}",
        milliseconds(start, parsed),
        milliseconds(parsed, indexed),
        milliseconds(indexed, solved),
        milliseconds(start, solved),
        universe.len(),
    );
    Ok(())
}
