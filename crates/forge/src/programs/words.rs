//! What a program of ours says of itself: its manual, and what shells complete. The program is asked as it was built,
//! so that a package cannot say something else than the code that it holds.

use std::io::{self, Write};
use std::path::Path;

use base::Failure;
use base::child;
use base::file::{self, FileError};
use flate2::{Compression, GzBuilder};

use super::{Built, ProgramError};
use crate::recipe::{Content, files_below};
use crate::sandbox::{Bind, Inside};
use crate::tools::ToolRoot;

/// The section of the manual: programs.
const MANUAL: &str = "usr/share/man/man1";

/// Where a shell looks for what completes the command line of `name`.
fn places(name: &str) -> [(&'static str, String); 3] {
    [
        ("bash", format!("usr/share/bash-completion/completions/{name}")),
        ("zsh", format!("usr/share/zsh/vendor-completions/_{name}")),
        ("fish", format!("usr/share/fish/vendor_completions.d/{name}.fish")),
    ]
}

/// Asks the program, which runs in `root`, and writes down what it says.
///
/// # Errors
///
/// [`ProgramError::Words`], or [`FileError`].
pub(super) fn write(root: &ToolRoot, built: &Built) -> Result<(), Failure> {
    let name = built.name;
    let pages = built.folder.join("pages");
    file::create_dir_all(&pages)?;
    let binds = [
        Bind::read_only(&built.program().join("usr/bin"), "/build/program"),
        Bind::writable(&pages, "/build/pages"),
    ];
    let inside = Inside { binds: &binds, ..Inside::default() };
    let ask = |words: &[&str]| {
        let mut command = root.command(&format!("/build/program/{name}"), &inside);
        child::run(command.args(words)).map_err(|source| ProgramError::Words { name, source })
    };
    for (shell, place) in places(name) {
        file::replace(&built.program().join(place), &ask(&["completion", shell])?)?;
    }
    ask(&["man", "/build/pages"])?;
    pack(&pages, &built.manual().join(MANUAL))?;
    file::remove_folder(&pages)?;
    Ok(())
}

/// Compresses man pages as Debian does: `gzip -9n`, without a name and a time.
fn pack(pages: &Path, folder: &Path) -> Result<(), FileError> {
    for page in files_below(pages)? {
        let Content::File { bytes, .. } = page.content else { continue };
        let path = folder.join(page.path + ".gz");
        file::replace(&path, &gzip(&bytes).map_err(FileError::at("compress", &path))?)?;
    }
    Ok(())
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    gzip.finish()
}

#[cfg(test)]
mod tests {
    use base::child::Program;

    use super::*;

    #[test]
    fn man_pages_are_compressed_as_debian_does() {
        let dir = tempfile::tempdir().unwrap();
        let (pages, manual) = (dir.path().join("pages"), dir.path().join("manual"));
        let text = ".TH preon 1\n".repeat(100);
        file::replace(&pages.join("preon.1"), text.as_bytes()).unwrap();
        pack(&pages, &manual).unwrap();
        let packed = manual.join("preon.1.gz");
        let mut gzip = Program::new("gzip").command();
        let unpacked = child::run(gzip.arg("-dc").arg(&packed)).unwrap();
        assert_eq!(String::from_utf8(unpacked).unwrap(), text);
        let bytes = file::read(&packed).unwrap();
        assert_eq!(bytes[3..8], [0; 5], "a name or a time: other bytes another day");
        assert_eq!(bytes[8], 2, "not with the most effort");
    }
}
