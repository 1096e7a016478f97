//! What a bill of materials says about one curated package, read from the package.

use std::collections::BTreeMap;

use base::Digest;
use base::file::FileError;
use compose::Input;
use compose::bill::{File, Part};
use packages::copyright;
use packages::deb::{Deb, DebError, Kind, Limits};
use sha1::{Digest as _, Sha1};

/// Reads the package of `input`, its files included.
///
/// # Errors
///
/// [`DebError`] if it is not sound.
pub(super) fn read(input: &Input) -> Result<Part, DebError> {
    let deb = Deb::open(&input.deb)?;
    let own = format!("usr/share/doc/{}/copyright", deb.control().name());
    let mut licences = None;
    let mut files: BTreeMap<String, File> = BTreeMap::new();
    deb.visit(Limits::default(), |entry, content| {
        let path = format!("/{}", entry.path);
        match &entry.kind {
            Kind::File => {
                let mut bytes = Vec::new();
                content.read_to_end(&mut bytes).map_err(FileError::at("read", &input.deb))?;
                if entry.path == own {
                    licences = Some(copyright::licences(&String::from_utf8_lossy(&bytes)));
                }
                files.insert(path.clone(), file(path, &bytes));
            }
            Kind::HardLink(target) => {
                if let Some(first) = files.get(&format!("/{target}")).cloned() {
                    files.insert(path.clone(), File { path, ..first });
                }
            }
            _ => {}
        }
        Ok::<_, DebError>(())
    })?;
    Ok(Part {
        control: deb.control().clone(),
        digest: input.digest,
        suite: input.suite.clone(),
        licences,
        files: files.into_values().collect(),
    })
}

fn file(path: String, bytes: &[u8]) -> File {
    let sha1 = Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    File { path, sha256: Digest::of(bytes), sha1 }
}
