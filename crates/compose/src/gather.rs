//! Packages to one tree: their files, checked against each other and against their digests.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use base::file::FileError;
use base::progress::{Progress, Unit};
use base::{Digest, Explain, parallel};
use formats::PackageName;
use formats::loader;
use packages::control::Control;
use packages::copyright::{self, Licences};
use packages::deb::{self, Deb, DebError, Entry, Flaw, Limits};

use crate::path::{BadPath, UsrPath};
use crate::shown::{self, Parts};
use crate::tree::{Conflict, Content, Kind, Node, Origin, Spool, SpoolError, Tree};

/// A curated package to compose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The curated `.deb`.
    pub deb: PathBuf,
    /// Its digest, which is checked.
    pub digest: Digest,
    /// The suite that Debian's package came from, for the manifest.
    pub suite: String,
}

/// A package whose files are in the tree.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// The curated package's control file.
    pub control: Control,
    /// The digest of the `.deb`.
    pub digest: Digest,
    /// The suite.
    pub suite: String,
    /// All that it holds, sorted.
    pub paths: Vec<UsrPath>,
    /// Bytes of its files; a file with several names counts once.
    pub bytes: u64,
    /// Its licences; `None` where it has no copyright file of its own.
    pub licences: Option<Licences>,
    /// Whether what is written down of it alone (its part of the index, its list of files) is in the tree already.
    pub written: bool,
}

/// Packages cannot be put into one tree.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// A package, or the spool, cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A package is not sound.
    #[error(transparent)]
    Deb(#[from] DebError),
    /// A package is not what was asked for.
    #[error("{} has the digest {found}, not {wanted}", deb.display())]
    Digest {
        /// The file.
        deb: PathBuf,
        /// The digest it should have.
        wanted: Digest,
        /// The digest it has.
        found: Digest,
    },
    /// Packages did not arrive.
    #[error("{count} packages did not arrive")]
    Absent {
        /// How many.
        count: usize,
    },
    /// One package is there twice.
    #[error("the package {0} is there twice")]
    Twice(PackageName),
    /// A package holds something that a curated one never does.
    #[error("the package {package} holds {path}, {reason}")]
    Uncurated {
        /// The package.
        package: PackageName,
        /// What it holds.
        path: String,
        /// Why that is wrong.
        reason: &'static str,
    },
    /// Packages hold the same paths.
    #[error("packages disagree about {} paths{}", .0.len(), listed(.0))]
    Conflicts(Vec<Conflict>),
}

impl Explain for GatherError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Deb(error) => error.hint(),
            Self::Digest { .. } => Some("curate the package again".into()),
            Self::Absent { .. } | Self::Twice(_) => None,
            Self::Uncurated { .. } => Some("curate the package before composing it".into()),
            Self::Conflicts(conflicts) => conflicts.iter().find_map(Explain::hint),
        }
    }
}

fn listed(conflicts: &[Conflict]) -> String {
    conflicts.iter().take(20).map(|conflict| format!("\n  | {conflict}")).collect()
}

/// Tells which of a request's packages are at hand, by their places in it, as they arrive.
pub type Arrivals = Receiver<usize>;

/// All of `inputs` are at hand.
pub(crate) fn at_hand(inputs: &[Input]) -> Arrivals {
    let (sender, arrivals) = mpsc::channel();
    let mut places: Vec<_> = (0..inputs.len()).collect();
    let bytes = |at: &usize| inputs[*at].deb.metadata().map_or(0, |found| found.len());
    // So that no processor is left with a large one at the end; what cannot be read is reported by whoever unpacks it.
    places.sort_by_cached_key(|at| Reverse(bytes(at)));
    for at in places {
        let _ = sender.send(at); // the other end is here
    }
    arrivals
}

/// Puts the files of `inputs` into one tree, their contents into `spool`. The packages come back
/// sorted by name; the order of `inputs` does not matter.
///
/// # Errors
///
/// [`GatherError`]; all conflicts between packages are reported at once.
pub fn gather(
    inputs: &[Input],
    spool: &Spool,
    progress: &dyn Progress,
) -> Result<(Tree, Vec<Gathered>), GatherError> {
    gather_arriving(inputs, at_hand(inputs), spool, progress)
}

/// As [`gather`], while the packages arrive, in any order.
///
/// # Errors
///
/// [`GatherError`], also if `arrivals` ends before all are there.
pub(crate) fn gather_arriving(
    inputs: &[Input],
    arrivals: Arrivals,
    spool: &Spool,
    progress: &dyn Progress,
) -> Result<(Tree, Vec<Gathered>), GatherError> {
    let task =
        progress.begin("unpacking packages", Some(inputs.len() as u64), Unit::Count("packages"));
    let arrived = arrivals.into_iter().take(inputs.len());
    let arrived = arrived.filter_map(|at| Some((at, inputs.get(at)?)));
    let mut unpacked = parallel::as_they_come(arrived, parallel::processors(), |(at, input)| {
        let unpacked = unpack(input, spool);
        task.advance(1);
        (at, unpacked)
    });
    if unpacked.len() < inputs.len() {
        return Err(GatherError::Absent { count: inputs.len() - unpacked.len() });
    }
    unpacked.sort_by_key(|(at, _)| *at);
    let unpacked = unpacked.into_iter().map(|(_, unpacked)| unpacked);
    let mut unpacked = unpacked.collect::<Result<Vec<_>, _>>()?;
    unpacked.sort_by(|one, other| one.0.control.name().cmp(other.0.control.name()));
    let mut tree = Tree::default();
    let mut conflicts = Vec::new();
    let mut gathered: Vec<Gathered> = Vec::new();
    for (package, nodes) in unpacked {
        let name = package.control.name();
        if gathered.last().is_some_and(|last| last.control.name() == name) {
            return Err(GatherError::Twice(name.clone()));
        }
        conflicts.extend(nodes.into_iter().filter_map(|(path, node)| tree.add(path, node).err()));
        gathered.push(package);
    }
    for package in &mut gathered {
        package.licences = licences(&tree, package.control.name())?;
    }
    if conflicts.is_empty() { Ok((tree, gathered)) } else { Err(GatherError::Conflicts(conflicts)) }
}

/// Reads one package: its files, in its own order, with their contents in `spool`.
fn unpack(input: &Input, spool: &Spool) -> Result<(Gathered, Vec<(UsrPath, Node)>), GatherError> {
    let deb = open(input)?;
    let mut one = Intake::new(spool, &deb, &input.deb);
    deb.visit(Limits::default(), |entry, content| one.take(entry, content))?;
    let Intake { nodes, bytes, .. } = one;
    let mut paths: Vec<_> = nodes.iter().map(|(path, _)| path.clone()).collect();
    paths.sort();
    let package = Gathered {
        control: deb.control().clone(),
        digest: input.digest,
        suite: input.suite.clone(),
        paths,
        bytes,
        licences: None,
        written: false,
    };
    Ok((package, nodes))
}

/// Adds packages that are seen already to those that were gathered.
///
/// # Errors
///
/// [`GatherError`]; all conflicts are reported at once.
pub(crate) fn add_shown(
    (tree, gathered): (&mut Tree, &mut Vec<Gathered>),
    shown: &[shown::Package],
) -> Result<(), GatherError> {
    let mut conflicts = Vec::new();
    for package in shown {
        conflicts.extend(package.add_to(tree).err().into_iter().flatten());
        let Parts { control, digest, suite, bytes, licences, nodes } = &*package.0;
        gathered.push(Gathered {
            control: control.clone(),
            digest: *digest,
            suite: suite.clone(),
            paths: nodes.iter().map(|(path, _)| path.clone()).collect(),
            bytes: *bytes,
            licences: licences.clone(),
            written: false,
        });
    }
    gathered.sort_by(|one, other| one.control.name().cmp(other.control.name()));
    let twice = gathered.windows(2).find(|two| two[0].control.name() == two[1].control.name());
    match twice {
        Some(two) => Err(GatherError::Twice(two[0].control.name().clone())),
        None if conflicts.is_empty() => Ok(()),
        None => Err(GatherError::Conflicts(conflicts)),
    }
}

/// What the copyright file of the package `name` says; its text stays where it is.
fn licences(tree: &Tree, name: &PackageName) -> Result<Option<Licences>, FileError> {
    let node = tree.get(&format!("usr/share/doc/{name}/copyright"));
    let text = node.and_then(Node::content).map(Content::text).transpose()?;
    Ok(text.map(|text| copyright::licences(&text).without_texts()))
}

fn open(input: &Input) -> Result<Deb, GatherError> {
    let Input { deb, digest: wanted, .. } = input;
    Deb::open_verified(deb, *wanted)?.map_err(|found| GatherError::Digest {
        deb: deb.clone(),
        wanted: *wanted,
        found,
    })
}

/// One package on its way into the tree.
struct Intake<'a> {
    spool: &'a Spool,
    name: PackageName,
    deb: &'a Path,
    /// The plain files that it has brought so far, for its hard links.
    own: BTreeMap<String, Node>,
    nodes: Vec<(UsrPath, Node)>,
    bytes: u64,
}

impl<'a> Intake<'a> {
    fn new(spool: &'a Spool, deb: &Deb, path: &'a Path) -> Self {
        Self {
            spool,
            name: deb.control().name().clone(),
            deb: path,
            own: BTreeMap::new(),
            nodes: Vec::new(),
            bytes: 0,
        }
    }

    fn take(&mut self, entry: &Entry, content: &mut dyn std::io::Read) -> Result<(), GatherError> {
        if loader::packaged_release(&entry.path).is_some() {
            return Ok(()); // the boot partition holds it, and nothing reads it in the layer
        }
        let path = UsrPath::new(&entry.path)
            .map_err(|BadPath(path)| self.uncurated(&path, "which is not below /usr"))?;
        if entry.is_implied_folder() {
            return Ok(()); // what is in it implies it again
        }
        let origin = Origin::Package(self.name.clone());
        let node = match &entry.kind {
            deb::Kind::Directory => Node::new(Kind::Folder, origin),
            deb::Kind::Symlink(target) => Node::symlink(target, origin),
            deb::Kind::File => {
                let content = self.spool.take(content, entry.size);
                let content = content.map_err(|error| self.unread(error))?;
                self.bytes += content.len();
                Node::new(Kind::File(Arc::new(content)), origin)
            }
            deb::Kind::HardLink(target) => match self.own.get(target) {
                Some(node) => node.clone(),
                None => return Err(self.uncurated(target, "a hard link to nothing")),
            },
            _ => return Err(self.uncurated(&entry.path, "which is a device or pipe")),
        };
        let node = match &entry.kind {
            deb::Kind::HardLink(_) => node,
            deb::Kind::Symlink(_) => node, // links have no mode of their own
            _ => Node {
                mode: entry.mode,
                uid: entry.uid,
                gid: entry.gid,
                xattrs: entry.xattrs.iter().cloned().collect(),
                ..node
            },
        };
        if matches!(node.kind, Kind::File(_)) {
            self.own.insert(entry.path.clone(), node.clone());
        }
        self.nodes.push((path, node));
        Ok(())
    }

    fn uncurated(&self, path: &str, reason: &'static str) -> GatherError {
        GatherError::Uncurated { package: self.name.clone(), path: path.to_owned(), reason }
    }

    fn unread(&self, error: SpoolError) -> GatherError {
        match error {
            SpoolError::Spool(error) => error.into(),
            SpoolError::Source(source) => DebError::Flaw {
                file: self.deb.display().to_string(),
                source: Flaw::Unpack { member: "its data archive".into(), source },
            }
            .into(),
        }
    }
}

#[cfg(test)]
mod tests;
