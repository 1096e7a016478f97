//! Reads an index, takes what a request needs for installed, in older versions, and prints how long planning takes,
//! as one JSON object.
//!
//! `change INDEX REQUEST…`; INDEX is a `Packages` file, unpacked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use packages::change::{Host, State, Wish};
use packages::index::Index;
use packages::resolve::{Pins, Request, Universe, solve};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let Some(file) = arguments.next() else {
        eprintln!("usage: change INDEX REQUEST…");
        std::process::exit(2);
    };
    let install = arguments.collect();
    if let Err(failure) = run(&file, &Request { install, ..Request::default() }) {
        eprint!("{}", base::explain::render(failure.as_ref()));
        std::process::exit(1);
    }
}

fn run(file: &str, request: &Request) -> Result<(), base::Failure> {
    let index = Index::load(file, file.as_ref())?;
    let universe = Universe::new([&index], &Pins::default())?;
    let mut text = String::new();
    for stanza in solve(&universe, request)?.packages {
        // Older than the index's, for all that depends on just this version too.
        for line in stanza.text().lines() {
            let older = if line.starts_with("Version: ") { "~" } else { "" };
            text += &format!("{}{older}\n", line.replace(" (= ", " (>= 0~) | none (= "));
        }
        text.push('\n');
    }
    let state = State {
        installed: Index::parse("installed", text)?,
        automatic: BTreeSet::new(),
        pins: BTreeMap::new(),
        of_image: BTreeSet::new(),
        protected: BTreeSet::new(),
    };
    let start = Instant::now();
    let host = Host::new(&state, [&index])?;
    let indexed = Instant::now();
    let plan = host.plan(&Wish::Upgrade { names: Vec::new(), security: false })?;
    let planned = Instant::now();
    let milliseconds = |from: Instant, to: Instant| (to - from).as_secs_f64() * 1e3;
    println!(
        "{{\"index_ms\": {:.2}, \"plan_ms\": {:.2}, \"installed\": {}, \"changed\": {}, \"added\": {}, \"held\": {}}}",
        milliseconds(start, indexed),
        milliseconds(indexed, planned),
        state.installed.len(),
        plan.changed.len(),
        plan.added.len(),
        plan.held.len(),
    );
    Ok(())
}
