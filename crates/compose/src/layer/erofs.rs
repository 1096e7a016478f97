//! Running mkfs.erofs: a tree goes in as a tar stream, progress comes out.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, BufWriter, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base::Digest;
use base::child::{ChildError, Program, last_lines, program_of};
use base::file;
use base::progress::{Progress, Task, Unit};
use formats::guid::Guid;

use super::{Compression, archive};
use crate::tree::Tree;

/// How many bytes of what the program prints are kept.
const MOST_OUTPUT: usize = 64 << 10;

/// How many bytes of contents mkfs.erofs may hold in memory.
const IN_MEMORY: u64 = 64 << 20;

/// How an EROFS file is to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recipe<'a> {
    pub(super) mkfs: &'a Program,
    pub(super) compression: &'a Compression,
    /// The time of every file, seconds since 1970.
    pub(super) epoch: u64,
    /// What the filesystem's UUID comes from.
    pub(super) identity: Digest,
}

/// Writes `tree` as an EROFS filesystem to `output`.
pub(super) fn make(
    tree: &Tree,
    recipe: Recipe<'_>,
    output: &Path,
    progress: &dyn Progress,
) -> Result<(), ChildError> {
    let sizes = sizes(tree);
    let total = sizes.values().sum();
    let mut command = command(recipe, output);
    if let Some(memory) = temporary(total) {
        command.env("TMPDIR", memory);
    }
    let program = program_of(&command);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(source) => return Err(ChildError::Start { program, source }),
    };
    let task = progress.begin("compressing the layer", Some(total), Unit::Bytes);
    let (fed, printed) = converse(
        &mut child,
        |input| archive::write(tree, recipe.epoch, input),
        &Meter { sizes, task },
    );
    let status = match child.wait() {
        Ok(status) => status,
        Err(source) => return Err(ChildError::Start { program, source }),
    };
    match fed {
        Ok(()) if status.success() => Ok(()),
        // A program that fails stops listening: what it printed says more than our broken pipe.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let output = format!("its input could not be read: {error}");
            Err(ChildError::Failed { program, status, output })
        }
        _ => Err(ChildError::Failed { program, status, output: last_lines(&printed, 20) }),
    }
}

fn command(recipe: Recipe<'_>, output: &Path) -> Command {
    let Recipe { mkfs, compression, epoch, identity } = recipe;
    let mut command = mkfs.command();
    command.args(["--tar=f", "--sort=none", "-Eztailpacking", "--workers=2"]);
    command.arg(format!("-T{epoch}"));
    command.arg(format!("-U{}", Guid::from_digest(&identity)));
    command.arg(format!("-z{}", compression.algorithm));
    command.arg(format!("-C{}", compression.cluster_bytes));
    command.arg(output);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Where mkfs.erofs may put the contents before it compresses them, if they are few: in memory. It puts all of them aside.
fn temporary(bytes: u64) -> Option<&'static Path> {
    if bytes <= IN_MEMORY { file::memory_folder(bytes) } else { None }
}

/// Bytes of each file by its name in the layer, as mkfs.erofs prints it.
fn sizes(tree: &Tree) -> HashMap<&str, u64> {
    tree.iter().filter_map(|(path, node)| Some((path.in_layer(), node.content()?.len()))).collect()
}

/// Turns what mkfs.erofs prints (`Processing ./bin/sh ...`) into progress.
struct Meter<'a> {
    sizes: HashMap<&'a str, u64>,
    task: Box<dyn Task>,
}

impl Meter<'_> {
    /// Whether `line` was one about progress.
    fn takes(&self, line: &str) -> bool {
        let Some(name) = line.strip_prefix("Processing ") else { return false };
        let name = name.trim_end_matches(" ...");
        let name = name.strip_prefix("./").or(name.strip_prefix('/')).unwrap_or(name);
        self.task.advance(self.sizes.get(name).copied().unwrap_or(0));
        true
    }
}

/// Feeds the child and reads what it prints at the same time, so that neither waits for ever.
fn converse(
    child: &mut Child,
    feed: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    meter: &Meter<'_>,
) -> (io::Result<()>, String) {
    let (input, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let printed = scope.spawn(move || stdout.map(|stdout| read_lines(stdout, meter)));
        let complained = scope.spawn(move || stderr.map(|stderr| read_lines(stderr, meter)));
        let fed = match input {
            Some(input) => {
                let mut input = BufWriter::with_capacity(1 << 20, input);
                feed(&mut input).and_then(|()| io::Write::flush(&mut input))
            }
            None => Ok(()),
        };
        let texts = [printed.join(), complained.join()];
        let text = texts.into_iter().filter_map(|text| text.ok().flatten()).collect();
        (fed, text)
    })
}

/// The lines that are not about progress.
fn read_lines(stream: impl Read, meter: &Meter<'_>) -> String {
    let mut kept = String::new();
    for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        if !meter.takes(&line) && kept.len() + line.len() < MOST_OUTPUT {
            kept += &line;
            kept.push('\n');
        }
    }
    kept
}
