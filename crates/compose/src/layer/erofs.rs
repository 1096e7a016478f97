//! Running mkfs.erofs: a tree goes in as a tar stream, progress comes out.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use base::child::{ChildError, Program, last_lines, program_of};
use base::file::{self, FileError};
use base::progress::{Progress, Task, Unit};
use base::{Digest, Explain, Failure};
use formats::guid::Guid;

use super::{Compression, archive};
use crate::tree::{IN_MEMORY, Tree};

/// How many bytes of what the program prints are kept.
const MOST_OUTPUT: usize = 64 << 10;

/// How lines about errors begin.
const ERROR: &str = "<E>";

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
    let pipes = Pipes::of(&mut child);
    let child = Mutex::new(child);
    let kill = || drop(child.lock().unwrap_or_else(PoisonError::into_inner).kill());
    let listener = Listener { meter: Meter { sizes, task }, kill: &kill };
    let feed = |input: &mut dyn io::Write| archive::write(tree, recipe.epoch, input);
    let (fed, printed) = converse(pipes, feed, &listener);
    let status = match child.into_inner().unwrap_or_else(PoisonError::into_inner).wait() {
        Ok(status) => status,
        Err(source) => return Err(ChildError::Start { program, source }),
    };
    let failed = |output| ChildError::Failed { program: program.clone(), status, output };
    match fed {
        Ok(files) if status.success() && !printed.contains(ERROR) => {
            whole(output, files).map_err(|error| failed(error.to_string()))
        }
        // A program that fails stops listening: what it printed says more than our broken pipe.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(failed(format!("its input could not be read: {error}")))
        }
        _ => Err(failed(last_lines(&printed, 20))),
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

/// Who reads what mkfs.erofs prints.
struct Listener<'a> {
    meter: Meter<'a>,
    /// Ends the program.
    kill: &'a (dyn Fn() + Sync),
}

impl Listener<'_> {
    /// The lines that are not about progress. The first error ends the program: mkfs.erofs 1.8.6 goes on after it for ever,
    /// crashes, or leaves out what it could not write and says that all is well.
    fn read(&self, stream: impl Read) -> String {
        let mut kept = String::new();
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            let is_error = line.starts_with(ERROR);
            // The first error is kept, however much was printed before: it decides.
            let has_room = kept.len() + line.len() < MOST_OUTPUT;
            if !self.meter.takes(&line) && (has_room || is_error && !kept.contains(ERROR)) {
                kept += &line;
                kept.push('\n');
            }
            if is_error {
                (self.kill)();
            }
        }
        kept
    }
}

/// What leads to a program and away from it.
struct Pipes(Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>);

impl Pipes {
    fn of(child: &mut Child) -> Self {
        Self(child.stdin.take(), child.stdout.take(), child.stderr.take())
    }
}

/// Feeds the child and reads what it prints at the same time, so that neither waits for ever.
fn converse(
    Pipes(input, stdout, stderr): Pipes,
    feed: impl FnOnce(&mut dyn io::Write) -> io::Result<u64>,
    listener: &Listener<'_>,
) -> (io::Result<u64>, String) {
    std::thread::scope(|scope| {
        let printed = scope.spawn(move || stdout.map(|stdout| listener.read(stdout)));
        let complained = scope.spawn(move || stderr.map(|stderr| listener.read(stderr)));
        let fed = match input {
            Some(input) => {
                let mut input = BufWriter::with_capacity(1 << 20, input);
                feed(&mut input).and_then(|files| io::Write::flush(&mut input).map(|()| files))
            }
            None => Ok(0),
        };
        let texts = [printed.join(), complained.join()];
        let text = texts.into_iter().filter_map(|text| text.ok().flatten()).collect();
        (fed, text)
    })
}

/// The filesystem has fewer files than it should.
#[derive(Debug, thiserror::Error)]
#[error("it made a filesystem of {found} files, not of {expected}: is the disk full?")]
struct Incomplete {
    found: u64,
    expected: u64,
}

impl Explain for Incomplete {}

/// Refuses a filesystem with another number of files than the tree has. What is no EROFS at all is somebody else's format.
///
/// Source: Linux, `fs/erofs/erofs_fs.h`, `struct erofs_super_block`.
fn whole(path: &Path, expected: u64) -> Result<(), Failure> {
    const MAGIC: [u8; 4] = 0xe0f5_e1e2_u32.to_le_bytes();
    let mut superblock = [0; 24];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut superblock, 1024));
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
        read => read.map_err(FileError::at("read", path))?,
    }
    let found = superblock.last_chunk().copied().map(u64::from_le_bytes).unwrap_or_default();
    if superblock.starts_with(&MAGIC) && found != expected {
        return Err(Incomplete { found, expected }.into());
    }
    Ok(())
}
