//! Files and folders that appear whole or not at all, and survive a power cut.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::Explain;

/// Something about a file failed: what was attempted, on which path, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempt} {}", path.display())]
pub struct FileError {
    /// The verb: "read", "write", "create" …
    pub attempt: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl FileError {
    /// For `map_err`: `fs::read(path).map_err(FileError::at("read", path))`.
    pub fn at(attempt: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { attempt, path, source }
    }
}

impl Explain for FileError {
    fn hint(&self) -> Option<String> {
        match self.source.kind() {
            io::ErrorKind::StorageFull => Some(free_space(&self.path)),
            io::ErrorKind::PermissionDenied => {
                Some(format!("check who may access {}", self.path.display()))
            }
            _ => None,
        }
    }
}

/// The hint where the disk that holds `path` is full.
pub fn free_space(path: &Path) -> String {
    let folder = if path.is_dir() { path } else { parent(path) };
    format!("free space on the disk that holds {}", folder.display())
}

/// How many bytes whoever is not root may still write to the disk that holds the folder `path`.
///
/// # Errors
///
/// [`FileError`] naming `path`.
pub fn free_bytes(path: &Path) -> Result<u64, FileError> {
    let about =
        rustix::fs::statvfs(path).map_err(|error| FileError::at("look at", path)(error.into()))?;
    Ok(about.f_bavail.saturating_mul(about.f_frsize))
}

/// The folder of files that are in memory, with room for `bytes` many times over: for what is thrown away soon. `None`
/// where there is none, or it is too small.
///
/// Source: statfs(2), `TMPFS_MAGIC`; <https://refspecs.linuxfoundation.org/FHS_3.0/fhs/ch03s06.html>.
pub fn memory_folder(bytes: u64) -> Option<&'static Path> {
    /// The part of the room that may be taken: a small host needs its memory.
    const PART: u64 = 16;
    const TMPFS: u64 = 0x0102_1994;
    let path = Path::new("/dev/shm");
    let is_memory = rustix::fs::statfs(path).is_ok_and(|it| it.f_type as u64 == TMPFS);
    let free = free_bytes(path).unwrap_or_default();
    (is_memory && bytes.saturating_mul(PART) <= free).then_some(path)
}

/// A new file without a name on the filesystem of `folder`: it is gone when it is closed, even after a crash.
///
/// # Errors
///
/// [`FileError`] naming the folder.
pub fn unnamed(folder: &Path) -> Result<File, FileError> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    match rustix::fs::open(folder, flags, Mode::from_raw_mode(0o600)) {
        Ok(file) => Ok(file.into()),
        // Not every filesystem can do that. Source: open(2), `O_TMPFILE`.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => {
            named_once(&beside(&folder.join("unnamed")))
        }
        Err(error) => Err(FileError::at("create a file in", folder)(error.into())),
    }
}

/// A new file that had the name `path` for a moment.
fn named_once(path: &Path) -> Result<File, FileError> {
    let mut options = File::options();
    let file = options.read(true).write(true).create_new(true).open(path);
    let file = file.map_err(FileError::at("create", path))?;
    fs::remove_file(path).map_err(FileError::at("remove", path))?;
    Ok(file)
}

/// The bytes of the file at `path`, or of all files below that folder: their lengths, not what the disk gives them.
///
/// # Errors
///
/// [`FileError`] naming what cannot be read.
pub fn length(path: &Path) -> Result<u64, FileError> {
    let found = path.symlink_metadata().map_err(FileError::at("read", path))?;
    if !found.is_dir() {
        return Ok(found.len());
    }
    let mut bytes = 0;
    for entry in fs::read_dir(path).map_err(FileError::at("read", path))? {
        bytes += length(&entry.map_err(FileError::at("read", path))?.path())?;
    }
    Ok(bytes)
}

/// Reads the whole file at `path`.
///
/// # Errors
///
/// [`FileError`] naming `path`.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(FileError::at("read", path))
}

/// Reads the whole file at `path` as UTF-8.
///
/// # Errors
///
/// [`FileError`] naming `path`.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(FileError::at("read", path))
}

/// Makes the folder `path` and those above it, where they are missing.
///
/// # Errors
///
/// [`FileError`] naming `path`.
pub fn create_dir_all(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(FileError::at("create the folder", path))
}

/// Replaces the content of the file at `path`: after a crash or power cut it holds all of the old
/// bytes or all of the new ones. Makes the folders above it where they are missing.
///
/// # Errors
///
/// [`FileError`] naming `path`; the old content is then still there and nothing is left beside it.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut staged = Staged::create(path)?;
    staged.write_all(bytes).map_err(FileError::at("write", path))?;
    staged.commit()
}

/// Writes a file and brings its bytes to the disk, but not its name: for a folder that nobody sees yet, and that is
/// flushed when all of it is there. What a killed process has left there is overwritten.
///
/// # Errors
///
/// [`FileError`] naming `path`.
pub fn create(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let written = || -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    written().map_err(FileError::at("write", path))
}

/// A file in the making: written beside its final place, seen there only after [`Staged::commit`].
///
/// Dropped without a commit, it leaves nothing behind.
#[derive(Debug)]
pub struct Staged {
    file: File,
    target: PathBuf,
    temporary: PathBuf,
    committed: bool,
}

impl Staged {
    /// Starts the file that will be at `target`. Makes the folders above it where they are missing.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming the temporary file or the folder.
    pub fn create(target: &Path) -> Result<Self, FileError> {
        create_dir_all(parent(target))?;
        let temporary = beside(target);
        let file = File::create(&temporary).map_err(FileError::at("create", &temporary))?;
        Ok(Self { file, target: target.to_owned(), temporary, committed: false })
    }

    /// As [`Staged::create`], but with the bytes that an earlier one for the same target has left, if there is one that was
    /// killed or [kept](Staged::keep); they are anybody's until they are verified. `None` while another process, or another
    /// one of this process, is at that.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming the temporary file or the folder.
    pub fn go_on(target: &Path) -> Result<Option<Self>, FileError> {
        create_dir_all(parent(target))?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = target.with_file_name(format!(".{name}.part"));
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(&temporary);
        let file = file.map_err(FileError::at("create", &temporary))?;
        let alone = match file.try_lock() {
            // Whoever had it before may have put it in its place meanwhile.
            Ok(()) => is_at(&file, &temporary),
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(error)) => return Err(FileError::at("lock", temporary)(error)),
        };
        if !alone {
            return Ok(None);
        }
        Ok(Some(Self { file, target: target.to_owned(), temporary, committed: false }))
    }

    /// Leaves the bytes as they are, for whoever [goes on](Staged::go_on) with them.
    pub fn keep(mut self) {
        self.committed = true;
    }

    /// The file, to write to.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Where the bytes are until the commit, for programs that want a path.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Puts the file in its place, and does not wait for the disk: after a power cut it may be there with other bytes.
    /// For what is verified before it is used, or flushed by whoever keeps it.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming the target, which then is as it was before.
    pub fn place(mut self) -> Result<(), FileError> {
        fs::rename(&self.temporary, &self.target).map_err(FileError::at("write", &self.target))?;
        self.committed = true;
        Ok(())
    }

    /// Flushes the bytes to the disk and puts the file in its place.
    ///
    /// # Errors
    ///
    /// [`FileError`] naming the target, which then is as it was before.
    pub fn commit(mut self) -> Result<(), FileError> {
        self.file
            .sync_all()
            .and_then(|()| fs::rename(&self.temporary, &self.target))
            .and_then(|()| File::open(parent(&self.target))?.sync_all())
            .map_err(FileError::at("write", &self.target))?;
        self.committed = true;
        Ok(())
    }
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing to tell: whoever dropped it already has the error that mattered.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Fills a folder and puts it at `target` when `fill` has succeeded; before that `target` is
/// absent, after that it is complete, on the disk too. If `target` appeared meanwhile (another
/// process made the same), theirs is kept.
///
/// # Errors
///
/// What `fill` fails with, or [`FileError`]; nothing is left behind then.
pub fn create_folder<E: From<FileError>>(
    target: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    fill_folder(target, fill, |temporary| {
        flush(temporary)?;
        match fs::rename(temporary, target) {
            Err(_) if target.is_dir() => Ok(()),
            renamed => renamed,
        }
    })
}

/// As [`create_folder`], where `fill` has brought all files to the disk itself, as [`replace`] does:
/// nothing else that waits to be written to that disk is waited for. That `target` is there already
/// is an error, unless it is empty.
///
/// # Errors
///
/// What `fill` fails with, or [`FileError`]; nothing is left behind then.
pub fn create_flushed_folder<E: From<FileError>>(
    target: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    fill_folder(target, fill, |temporary| {
        File::open(temporary)?.sync_all()?;
        fs::rename(temporary, target)
    })
}

/// Fills a folder and puts it at `target` when `fill` has succeeded, in place of the folder that is
/// there: at every moment one of them is there, whole. Of two processes the last one wins.
///
/// # Errors
///
/// What `fill` fails with, or [`FileError`]; `target` is as it was then, and nothing is beside it.
pub fn replace_folder<E: From<FileError>>(
    target: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    fill_folder(target, fill, |temporary| {
        flush(temporary)?;
        exchange(temporary, target)
    })
}

/// As [`replace_folder`], where `fill` has brought all files to the disk itself, as [`replace`] does:
/// nothing else that waits to be written to that disk is waited for.
///
/// # Errors
///
/// As [`replace_folder`].
pub fn replace_flushed_folder<E: From<FileError>>(
    target: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    fill_folder(target, fill, |temporary| {
        File::open(temporary)?.sync_all()?;
        exchange(temporary, target)
    })
}

/// Puts the folder `temporary` at `target`, and what was there in its place.
fn exchange(temporary: &Path, target: &Path) -> io::Result<()> {
    loop {
        let flags = if target.exists() { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
        match rustix::fs::renameat_with(CWD, temporary, CWD, target, flags) {
            // Somebody else made it, or took it away, since we looked.
            Err(Errno::EXIST | Errno::NOENT) if temporary.exists() => {}
            renamed => return Ok(renamed?),
        }
    }
}

/// Brings all that is in a folder to the disk at once: one flush instead of thousands.
fn flush(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}

/// Fills a folder beside `target` and lets `place` bring it to the disk and put it there. What
/// `place` leaves beside it is removed.
fn fill_folder<E: From<FileError>>(
    target: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
    place: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), E> {
    create_dir_all(parent(target))?;
    let temporary = beside(target);
    let result = create_dir_all(&temporary).map_err(E::from).and_then(|()| fill(&temporary));
    let result = result.and_then(|()| {
        let durable = || -> io::Result<()> {
            place(&temporary)?;
            File::open(parent(target))?.sync_all()
        };
        durable().map_err(|error| FileError::at("create", target)(error).into())
    });
    if temporary.exists() {
        // The error that is returned matters more than a leftover that cannot be removed.
        let _ = fs::remove_dir_all(&temporary);
    }
    result
}

/// Removes the folder at `path` so that no half of it is ever found there, whenever it is stopped.
///
/// # Errors
///
/// [`FileError`] naming it.
pub fn remove_folder(path: &Path) -> Result<(), FileError> {
    let removed = beside(path);
    fs::rename(path, &removed).map_err(FileError::at("remove", path))?;
    fs::remove_dir_all(&removed).map_err(FileError::at("remove", removed))
}

/// Removes a folder in which the child of a killed process may still make a file, between the moment
/// at which the folder was emptied and the one at which it goes.
fn remove_tree(path: &Path) -> io::Result<()> {
    const ATTEMPTS: usize = 10;
    let mut attempts = (1..ATTEMPTS).map(|_| fs::remove_dir_all(path));
    let late = |result: &io::Result<()>| {
        result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::DirectoryNotEmpty)
    };
    attempts.find(|result| !late(result)).unwrap_or_else(|| fs::remove_dir_all(path))
}

/// Removes what [`Staged`] and [`create_folder`] have begun in `folder` and never finished: their
/// process was killed. Call it only where no process is at work there.
///
/// # Errors
///
/// [`FileError`] naming what cannot be read or removed.
pub fn remove_unfinished(folder: &Path) -> Result<(), FileError> {
    for path in unfinished(folder)? {
        let is_folder = path.symlink_metadata().is_ok_and(|found| found.is_dir());
        let removed = if is_folder { remove_tree(&path) } else { fs::remove_file(&path) };
        removed.map_err(FileError::at("remove", path))?;
    }
    Ok(())
}

/// What [`remove_unfinished`] would remove, in no order; nothing where there is no such folder.
///
/// # Errors
///
/// [`FileError`] naming the folder.
pub fn unfinished(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(FileError::at("read", folder))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(FileError::at("read", folder))?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b".") && name.ends_with(b".part") {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Whether some process is at the file `path`, one of [`unfinished`], which it has by [`Staged::go_on`].
pub fn is_gone_on_with(path: &Path) -> bool {
    let lock = File::open(path).map(|file| file.try_lock());
    matches!(lock, Ok(Err(TryLockError::WouldBlock)))
}

/// Whether `path` is the name of this open file.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |found: io::Result<fs::Metadata>| found.ok().map(|it| (it.dev(), it.ino()));
    let there = identity(path.symlink_metadata());
    there.is_some() && there == identity(file.metadata())
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A name in the same folder that no other process or thread uses.
fn beside(target: &Path) -> PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    target.with_file_name(format!(".{name}.{}-{count}.part", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_replaced_file_holds_the_new_bytes_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["state"]);
    }

    #[test]
    fn a_created_file_holds_the_bytes_whatever_a_killed_process_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "left by another").unwrap();
        create(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn one_at_a_time_goes_on_with_what_another_one_has_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large");
        let read = |staged: &mut Staged| io::read_to_string(staged.file()).unwrap();
        let mut first = Staged::go_on(&path).unwrap().unwrap();
        first.write_all(b"half").unwrap();
        let left = dir.path().join(".large.part");
        assert_eq!(unfinished(dir.path()).unwrap(), std::slice::from_ref(&left));
        assert!(Staged::go_on(&path).unwrap().is_none() && is_gone_on_with(&left));
        first.keep();
        assert!(!is_gone_on_with(&left));
        let mut second = Staged::go_on(&path).unwrap().unwrap();
        assert_eq!(read(&mut second), "half");
        second.write_all(b", whole").unwrap();
        second.place().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "half, whole");
        let mut third = Staged::go_on(&path).unwrap().unwrap();
        assert_eq!(read(&mut third), "", "what is in its place is not written to");
        drop(third);
        assert_eq!(names(dir.path()), ["large"]);
    }

    #[test]
    fn an_unnamed_file_reads_back_and_has_no_name() {
        let dir = tempfile::tempdir().unwrap();
        for file in [unnamed(dir.path()).unwrap(), named_once(&dir.path().join("x")).unwrap()] {
            use std::os::unix::fs::FileExt;
            file.write_all_at(b"content", 3).unwrap();
            let mut bytes = [0; 7];
            file.read_exact_at(&mut bytes, 3).unwrap();
            assert_eq!(&bytes, b"content");
            assert!(names(dir.path()).is_empty());
        }
        assert!(unnamed(&dir.path().join("absent")).is_err());
    }

    #[test]
    fn there_is_no_folder_in_memory_for_more_than_there_is_room() {
        assert_eq!(memory_folder(u64::MAX), None);
    }

    #[test]
    fn a_file_that_is_not_committed_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        replace(&path, b"old").unwrap();
        Staged::create(&path).unwrap().write_all(b"half").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["state"]);
    }

    #[test]
    fn what_a_killed_process_began_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        replace(&path("file"), b"whole").unwrap();
        std::mem::forget(Staged::create(&path("file")).unwrap());
        create_dir_all(&beside(&path("folder")).join("half")).unwrap();
        assert_eq!(names(dir.path()).len(), 3);
        assert_eq!(unfinished(dir.path()).unwrap().len(), 2);
        remove_unfinished(dir.path()).unwrap();
        assert_eq!(names(dir.path()), ["file"]);
        remove_unfinished(&path("absent")).unwrap();
    }

    #[test]
    fn a_replaced_folder_holds_the_new_files_only_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("tree");
        let fill = |name: &'static str| {
            move |folder: &Path| replace(&folder.join(name), b"x") as Result<(), FileError>
        };
        replace_folder(&target, fill("old")).unwrap();
        assert_eq!(names(&target), ["old"]);
        replace_flushed_folder(&target, fill("flushed")).unwrap();
        assert_eq!(names(&target), ["flushed"]);
        replace_folder(&target, fill("new")).unwrap();
        assert_eq!(names(&target), ["new"]);
        let failed: Result<(), FileError> = replace_folder(&target, |folder| {
            Err(FileError::at("fill", folder)(io::Error::other("stop")))
        });
        assert!(failed.is_err());
        assert_eq!(names(&target), ["new"]);
        assert_eq!(names(dir.path()), ["tree"]);
        remove_folder(&target).unwrap();
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[test]
    fn two_who_replace_a_folder_at_once_leave_one_whole_folder() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("tree");
        std::thread::scope(|scope| {
            for name in ["one", "other"] {
                let target = &target;
                scope.spawn(move || {
                    for _ in 0..50 {
                        let fill = |folder: &Path| replace(&folder.join(name), b"x");
                        replace_folder::<FileError>(target, fill).unwrap();
                    }
                });
            }
        });
        assert_eq!(names(&target).len(), 1);
        assert_eq!(names(dir.path()), ["tree"]);
    }

    #[test]
    fn a_folder_whose_filling_fails_never_appears() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("tree");
        let result: Result<(), FileError> = create_folder(&target, |folder| {
            fs::write(folder.join("half"), b"x").unwrap();
            Err(FileError::at("fill", folder)(io::Error::other("stop")))
        });
        assert!(result.is_err());
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[test]
    fn a_flushed_folder_never_takes_the_place_of_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("tree");
        let fill = |bytes: &'static [u8]| {
            move |folder: &Path| replace(&folder.join("file"), bytes) as Result<(), FileError>
        };
        create_flushed_folder(&target, fill(b"first")).unwrap();
        let error = create_flushed_folder(&target, fill(b"second")).unwrap_err();
        assert!(error.to_string().starts_with("cannot create "), "{error}");
        assert_eq!(fs::read(target.join("file")).unwrap(), b"first");
        assert_eq!(names(dir.path()), ["tree"]);
    }
}
