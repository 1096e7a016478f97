//! `forge provenance`: signed statements of what packages and layers were made from, and by what.

mod describe;
mod envelope;
mod statement;

use std::io::Write;
use std::path::{Path, PathBuf};

use base::file::{self, FileError};
use base::{Digest, Explain, Failure};
use packages::deb::DebError;

use crate::context::Context;
use crate::output;
use envelope::{BadEnvelope, Envelope, KeyError, Signer, Verifier};
use statement::{BadStatement, Statement};

/// What the names of files with statements end in.
const SUFFIX: &str = ".intoto.json";

/// Sign what an image was made from, and check such statements
///
/// A statement (in-toto, SLSA provenance) for each curated package, each source package that was built, and the image's
/// layer, in a signed envelope (DSSE).
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Sign(Sign),
    Verify(Verify),
}

/// Write a signed statement for each package of an image, for what was built from source, and for its layer
///
/// The same image and key give the same bytes.
#[derive(Debug, clap::Args)]
pub(crate) struct Sign {
    /// The image's name: `minimal`
    image: String,
    /// The private key: Ed25519, PKCS #8, in PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The folder to write into; what is there is replaced
    #[arg(long, value_name = "FOLDER")]
    output: PathBuf,
}

/// Check that a statement is signed, and that files are what it is about
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The signed statement
    statement: PathBuf,
    /// Files that it must be about
    files: Vec<PathBuf>,
    /// The public key: Ed25519, in PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Print the statement as it was signed: JSON
    #[arg(long)]
    json: bool,
}

/// Why there is no statement, or no trust in one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProvenanceError {
    #[error("cannot use the key {}", path.display())]
    Key { path: PathBuf, source: KeyError },
    #[error("cannot trust {}", path.display())]
    Envelope { path: PathBuf, source: BadEnvelope },
    #[error("cannot trust {}", path.display())]
    Statement { path: PathBuf, source: BadStatement },
    #[error("{} is nothing that the statement is about", path.display())]
    OtherFile { path: PathBuf, digest: Digest },
    #[error(transparent)]
    Deb(#[from] DebError),
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for ProvenanceError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Key { .. } => Some(
                "make one with `openssl genpkey -algorithm ed25519`; `openssl pkey -pubout` gives its public half"
                    .into(),
            ),
            Self::Envelope { .. } | Self::Statement { .. } => {
                Some("take it again from where it was published, and the key from elsewhere".into())
            }
            Self::OtherFile { digest, .. } => Some(format!("its SHA-256 is {digest}")),
            Self::Deb(error) => error.hint(),
            Self::File(error) => error.hint(),
        }
    }
}

impl Command {
    /// Does what the command says.
    ///
    /// # Errors
    ///
    /// Whatever the command fails with.
    pub(crate) fn run(self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        let text = match self {
            Self::Sign(command) => command.run(context)?,
            Self::Verify(command) => command.run()?,
        };
        Ok(writeln!(out, "{text}").map_err(FileError::at("write to", "standard output"))?)
    }
}

impl Sign {
    fn run(self, context: &Context) -> Result<String, Failure> {
        output::may_replace(&self.output, |name| name.ends_with(SUFFIX))?;
        let pem = file::read_text(&self.key)?;
        let at_key = |source| ProvenanceError::Key { path: self.key.clone(), source };
        let signer = Signer::from_pem(&pem).map_err(at_key)?;
        let statements = describe::image(context, &self.image)?;
        write(&self.output, &signer, &statements)?;
        let (count, folder) = (statements.len(), self.output.display());
        Ok(format!("{count} statements: {folder}\nsigned by {}", signer.key_id()))
    }
}

/// Writes signed statements by their names, in place of what is in `folder`.
fn write(
    folder: &Path,
    signer: &Signer,
    statements: &[(String, Statement)],
) -> Result<(), FileError> {
    file::replace_folder(folder, |folder| {
        for (name, statement) in statements {
            let path = folder.join(format!("{name}{SUFFIX}"));
            let envelope = Envelope::sign(&statement.to_json(), signer);
            std::fs::write(&path, envelope.to_json()).map_err(FileError::at("write", path))?;
        }
        Ok::<_, FileError>(())
    })
}

impl Verify {
    fn run(self) -> Result<String, ProvenanceError> {
        let pem = file::read_text(&self.key)?;
        let at_key = |source| ProvenanceError::Key { path: self.key.clone(), source };
        let verifier = Verifier::from_pem(&pem).map_err(at_key)?;
        let statement = verified(&self.statement, &verifier)?;
        for path in &self.files {
            let digest = Digest::of_file(path).map_err(FileError::at("read", path))?;
            if !statement.is_about(&digest) {
                return Err(ProvenanceError::OtherFile { path: path.clone(), digest });
            }
        }
        Ok(if self.json { statement.to_json() } else { statement.to_string() })
    }
}

/// The statement in the envelope at `path`, if `verifier` trusts it.
fn verified(path: &Path, verifier: &Verifier) -> Result<Statement, ProvenanceError> {
    let path = path.to_owned();
    let payload = match Envelope::parse(&file::read(&path)?) {
        Ok(envelope) => envelope.payload(verifier),
        Err(error) => Err(error),
    };
    match payload.map(|payload| Statement::parse(&payload)) {
        Ok(Ok(statement)) => Ok(statement),
        Ok(Err(source)) => Err(ProvenanceError::Statement { path, source }),
        Err(source) => Err(ProvenanceError::Envelope { path, source }),
    }
}

#[cfg(test)]
mod tests;
