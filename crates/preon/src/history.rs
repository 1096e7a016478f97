//! `preon history`: the generations of a host and how they came about.

use std::io::Write;

use base::{ByteSize, Failure};
use formats::manifest::{Change, Layer};
use serde::Serialize;

use crate::print;
use host::Host;

/// List the generations, oldest first, and how each came about
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One generation.
#[derive(Serialize)]
struct Line {
    generation: u64,
    build: String,
    /// Missing for the first one of an image.
    change: Option<Change>,
    kernel: String,
    packages: usize,
    layers: usize,
    /// Of all its layers, those included that other generations have too.
    bytes: u64,
    running: bool,
    wanted: bool,
}

impl History {
    /// Prints them.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let lines = lines(host)?;
        if self.json {
            return print::json(out, &lines);
        }
        let rows: Vec<_> = lines.iter().map(Line::cells).collect();
        print::table(out, ["GENERATION", "WHEN", "BUILD", "PACKAGES", "SIZE", "", "CHANGE"], &rows)
    }
}

fn lines(host: &Host) -> Result<Vec<Line>, Failure> {
    let wanted = host.store.wanted()?.generation;
    let mut lines = Vec::new();
    for generation in host.store.generations()? {
        let manifest = host.store.manifest(generation)?;
        let bytes = |layer: &Layer| layer.erofs_bytes + layer.verity_bytes;
        lines.push(Line {
            generation: generation.0,
            build: manifest.build_id,
            change: manifest.change,
            kernel: manifest.kernel.release,
            packages: manifest.packages.len(),
            layers: manifest.layers.len(),
            bytes: manifest.layers.iter().map(bytes).sum(),
            running: host.running == Some(generation),
            wanted: wanted == generation,
        });
    }
    Ok(lines)
}

impl Line {
    fn cells(&self) -> [String; 7] {
        let marks = [(self.running, "running"), (self.wanted, "boots next")];
        let marks: Vec<_> = marks.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
        let change = self.change.as_ref();
        [
            self.generation.to_string(),
            change.map_or_else(|| "-".into(), |change| print::moment(change.at)),
            self.build.clone(),
            self.packages.to_string(),
            ByteSize(self.bytes).to_string(),
            marks.join(", "),
            change.map_or_else(|| "the image".into(), |change| change.asked.clone()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use crate::trial::Trial;

    #[test]
    fn each_generation_is_a_line_that_says_how_it_came_about() {
        let trial = Trial::new();
        trial.stage_second();
        assert_eq!(
            trial.run(&["history"]).unwrap(),
            "GENERATION  WHEN                  BUILD   PACKAGES  SIZE                          CHANGE\n\
             1           -                     build1  2         16.4 kB  running, boots next  the image\n\
             2           1970-01-01 00:01 UTC  build2  1         16.4 kB                       remove libc6\n"
        );
    }
}
