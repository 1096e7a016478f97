//! The boot loader's partition of a host: which kernels it holds, and which one starts.
//!
//! A unified kernel image comes in a package, is put down beside those that are there, and may start [`TRIES`] times until
//! a boot with it was good. systemd-boot counts, in the file's name, and turns to an older image when none is left; then
//! the new kernel's generation does not fit, and an older one boots (`generations::choose`). What `loader.conf` says is
//! one write of one sector. Whatever is interrupted before it, the kernel of before starts.

mod disk;
mod error;
mod image;
mod variables;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use base::file::{self, FileError, Staged};
use base::{ByteSize, Digest};
use formats::loader::{self, EntryName};
use formats::manifest::{Kernel, Manifest};

use crate::Root;
use disk::Mounted;

pub use error::{LoaderError, Told};
pub(crate) use image::Image;
pub use variables::Variables;

/// Where the partition is mounted when somebody looks.
const PARTITION: &str = "/efi";
/// How often the loader starts a new kernel that nobody has found good.
pub const TRIES: u32 = 3;
/// What a kernel's file is called that must not start yet.
const STAGED: &str = "new";

/// The boot loader's partition.
#[derive(Debug)]
pub struct Loader {
    /// The folder with the images.
    folder: PathBuf,
    /// The file with its configuration.
    config: PathBuf,
    /// Where we have mounted it ourselves.
    _mounted: Option<Mounted>,
}

impl Loader {
    /// Whether a loader that we know has started the host: only then can its kernel change.
    pub fn is_ours(root: &Root) -> bool {
        fs::symlink_metadata(root.below(generations::ESP)).is_ok()
    }

    /// The partition of the host; `None` where another loader has started it.
    ///
    /// # Errors
    ///
    /// [`LoaderError::Unseen`].
    pub fn of(root: &Root) -> Result<Option<Self>, LoaderError> {
        if !Self::is_ours(root) {
            return Ok(None);
        }
        let partition = root.below(PARTITION);
        let unseen = || LoaderError::Unseen { folder: partition.join(loader::FOLDER) };
        Self::at(&partition, None).ok_or_else(unseen).map(Some)
    }

    /// The partition of a host that does not run, whose files somebody has mounted below `root`: `/efi` there, or on the
    /// disk of its data filesystem; `None` where it is at neither place.
    ///
    /// # Errors
    ///
    /// [`LoaderError::Mount`], [`LoaderError::File`].
    pub(crate) fn of_sleeping(root: &Root) -> Result<Option<Self>, LoaderError> {
        if let Some(loader) = Self::at(&root.below(PARTITION), None) {
            return Ok(Some(loader));
        }
        let Some(mounted) = disk::mount_beside(root)? else { return Ok(None) };
        Ok(Self::at(&mounted.folder.clone(), Some(mounted)))
    }

    /// The partition whose files are seen at `partition`, if it has any of a loader.
    fn at(partition: &Path, mounted: Option<Mounted>) -> Option<Self> {
        let folder = partition.join(loader::FOLDER);
        let config = partition.join(loader::CONFIG);
        folder.is_dir().then_some(Self { folder, config, _mounted: mounted })
    }

    /// Puts a kernel's image on the partition, where nothing starts it before [`Loader::starts`].
    ///
    /// # Errors
    ///
    /// [`LoaderError::NoRoom`], [`LoaderError::File`]; nothing of it is there then.
    pub(crate) fn place(&self, image: &Image) -> Result<(), LoaderError> {
        let id = image.kernel.entry_id();
        if let Some(name) = self.find(&id)? {
            let path = self.folder.join(name.to_string());
            if Digest::of_file(&path).is_ok_and(|digest| digest == image.kernel.uki) {
                return Ok(());
            }
        }
        let (needed, free) = (image.bytes.len() as u64, file::free_bytes(&self.folder)?);
        if free < needed {
            return Err(LoaderError::NoRoom { needed: ByteSize(needed), free: ByteSize(free) });
        }
        self.replace(&self.staged(&id), &image.bytes)
    }

    /// Removes what [`Loader::place`] has put down; what stays all the same is garbage.
    pub(crate) fn take_back(&self, image: &Image) {
        let _ = fs::remove_file(self.staged(&image.kernel.entry_id()));
    }

    /// Refuses a generation whose kernel is not there, before anything is written.
    ///
    /// # Errors
    ///
    /// [`LoaderError::Missing`], [`LoaderError::File`].
    pub(crate) fn demand(&self, manifest: &Manifest) -> Result<(), LoaderError> {
        let entry = manifest.kernel.entry_id();
        match self.find(&entry)? {
            None if !self.staged(&entry).exists() => Err(LoaderError::Missing { entry }),
            _ => Ok(()),
        }
    }

    /// Makes the kernel of this generation start next. With `again`, also one that the loader has given up, as if it were
    /// new.
    ///
    /// Of the generation's kernels it is the one of the same flavour as the one that starts now.
    ///
    /// # Errors
    ///
    /// [`LoaderError::File`].
    pub(crate) fn starts(&self, manifest: &Manifest, again: bool) -> Result<(), LoaderError> {
        self.set_aside_others(manifest)?;
        for kernel in manifest.kernels() {
            let id = kernel.entry_id();
            let trial = EntryName::on_trial(&id, TRIES).to_string();
            let found = self.find(&id)?;
            if self.staged(&id).exists() {
                // In the place of a damaged one: at each moment there is one that may start.
                let place = found.as_ref().map_or(trial.clone(), EntryName::to_string);
                self.rename(&format!("{id}.{STAGED}"), &place)?;
                self.rename(&place, &trial)?;
            } else if let Some(name) = found.filter(EntryName::is_bad) {
                if name.is_set_back() {
                    self.rename(&name.to_string(), &EntryName::good(&id).to_string())?;
                } else if again {
                    self.rename(&name.to_string(), &trial)?;
                }
            }
        }
        self.choose(manifest)
    }

    /// What is on trial for another generation waits again: the loader would turn to it, when it gives this generation's
    /// kernel up, before it turns to one that is known to be good.
    fn set_aside_others(&self, manifest: &Manifest) -> Result<(), LoaderError> {
        let ours: BTreeSet<_> = manifest.kernels().map(Kernel::entry_id).collect();
        for name in self.names()? {
            let is_other = loader::digits(&name.id).is_some() && !ours.contains(&name.id);
            if is_other && name.tries.is_some() && !name.is_bad() {
                self.set_aside(&name)?;
            }
        }
        Ok(())
    }

    /// Makes an image wait: the loader does not see it.
    fn set_aside(&self, name: &EntryName) -> Result<(), LoaderError> {
        self.rename(&name.to_string(), &format!("{}.{STAGED}", name.id))
    }

    /// Writes down that a boot with this kernel was good.
    ///
    /// # Errors
    ///
    /// [`LoaderError::File`].
    pub(crate) fn bless(&self, id: &str) -> Result<(), LoaderError> {
        match self.find(id)? {
            Some(name) if name.tries.is_some() => {
                self.rename(&name.to_string(), &EntryName::good(id).to_string())
            }
            _ => Ok(()),
        }
    }

    /// Whether this kernel is there and the loader has not given it up.
    ///
    /// # Errors
    ///
    /// [`LoaderError::File`].
    pub(crate) fn has(&self, id: &str) -> Result<bool, LoaderError> {
        Ok(self.find(id)?.is_some_and(|name| !name.is_bad() || name.is_set_back()))
    }

    /// The kernel of this generation that the loader has given up; `None` where it may still start.
    ///
    /// # Errors
    ///
    /// [`LoaderError::File`].
    pub(crate) fn gave_up<'a>(
        &self,
        manifest: &'a Manifest,
    ) -> Result<Option<&'a Kernel>, LoaderError> {
        let kernel = of_flavour(&self.read_config()?, manifest);
        let found = self.find(&kernel.entry_id())?;
        Ok(found.is_some_and(|name| name.is_bad() && !name.is_set_back()).then_some(kernel))
    }

    /// The images of ours that are none of these kernels'.
    ///
    /// # Errors
    ///
    /// [`LoaderError::File`].
    pub(crate) fn unneeded(&self, kept: &BTreeSet<String>) -> Result<Vec<PathBuf>, LoaderError> {
        let mut files = self.files()?;
        files.retain(|file| {
            // A change that was killed while it wrote one; the store is locked, so nobody does now.
            let half = file.strip_prefix('.').filter(|file| file.ends_with(".part"));
            let half = half.and_then(|file| Some(file.split_once(&format!(".{STAGED}."))?.0));
            let staged = file.strip_suffix(STAGED).and_then(|file| file.strip_suffix('.'));
            let whole = staged.map(str::to_owned).or_else(|| Some(EntryName::parse(file)?.id));
            let is_unneeded = |id: String| loader::digits(&id).is_some() && !kept.contains(&id);
            half.and_then(loader::digits).is_some() || whole.is_some_and(is_unneeded)
        });
        Ok(files.iter().map(|file| self.folder.join(file)).collect())
    }

    /// Writes into `loader.conf` what starts: a kernel that is good by its name; one on trial by a pattern that matches
    /// the one before, too, so that the loader has something to turn to.
    fn choose(&self, manifest: &Manifest) -> Result<(), LoaderError> {
        let config = self.read_config()?;
        let kernel = of_flavour(&config, manifest);
        let id = kernel.entry_id();
        let entry = match self.find(&id)? {
            Some(name) if name.is_bad() => kernel.entry_pattern(),
            Some(name) if name.tries.is_some() => {
                if self.gives_way_to_the_one_before(kernel, &config)? || self.is_newest(kernel)? {
                    kernel.entry_pattern()
                } else {
                    // There is nothing to turn to.
                    self.rename(&name.to_string(), &EntryName::good(&id).to_string())?;
                    id
                }
            }
            Some(_) => id,
            None => return Ok(()),
        };
        let wanted = loader::with_default(&config, &entry);
        if wanted != config {
            self.write_config(&config, &wanted)?;
        }
        if entry.contains('*') { Ok(()) } else { self.restore_set_back() }
    }

    /// Makes the loader try this kernel first, and the one that starts now by its name after it, whatever else is there:
    /// what it would put before that one waits. If that one is newer, it is set back, and all others wait. Until
    /// `loader.conf` has the pattern, it starts all the same. `false` where it is not there.
    fn gives_way_to_the_one_before(
        &self,
        kernel: &Kernel,
        config: &str,
    ) -> Result<bool, LoaderError> {
        let (ours, now) = (kernel.entry_id(), loader::default_entry(config).unwrap_or_default());
        let pattern = kernel.entry_pattern();
        let matched = |it: &EntryName| it.id != ours && loader::matches(&pattern, &it.id);
        let Some(before) = self.find(now)?.filter(|it| it.tries.is_none() && matched(it)) else {
            return Ok(false);
        };
        let rivals = self.names()?.into_iter().filter(|it| matched(it) && it.id != before.id);
        let comes_first = |it: &EntryName| {
            let both = [&before, it].into_iter().cloned();
            self.newest(both, "").is_some_and(|newest| newest == it.id)
        };
        let (newer, others): (Vec<_>, Vec<_>) = rivals.partition(comes_first);
        newer.iter().try_for_each(|it| self.set_aside(it))?;
        if !self.is_newest(kernel)? {
            others.iter().try_for_each(|it| self.set_aside(it))?;
            let set_back = EntryName::set_back(&before.id).to_string();
            self.rename(&before.to_string(), &set_back)?;
        }
        Ok(true)
    }

    /// What was set back is as before, once what starts is known by its name.
    fn restore_set_back(&self) -> Result<(), LoaderError> {
        for name in self.names()?.into_iter().filter(EntryName::is_set_back) {
            self.rename(&name.to_string(), &EntryName::good(&name.id).to_string())?;
        }
        Ok(())
    }

    /// Whether the loader takes this kernel's image, if it has it not given up, of all that its pattern matches.
    fn is_newest(&self, kernel: &Kernel) -> Result<bool, LoaderError> {
        let (ours, pattern) = (kernel.entry_id(), kernel.entry_pattern());
        let rivals = self.names()?.into_iter();
        let rivals = rivals.filter(|it| !it.is_bad() && loader::matches(&pattern, &it.id));
        Ok(self.newest(rivals, &ours).is_some_and(|newest| newest == ours))
    }

    /// What the loader puts first of these images. Those that cannot be read, or are no images, it leaves out; but not
    /// `ours`, which is not whole yet.
    fn newest(&self, images: impl Iterator<Item = EntryName>, ours: &str) -> Option<String> {
        let versions = images.filter_map(|name| {
            let bytes = file::read(&self.folder.join(name.to_string())).unwrap_or_default();
            let version = image::version(&bytes);
            Some((
                !name.is_bad(),
                version.or_else(|| (name.id == ours).then(String::new))?,
                name.id,
            ))
        });
        let newest = versions.max_by(|(well, one, id), (other_well, other, other_id)| {
            let by_name = || loader::compare_versions(id, other_id);
            well.cmp(other_well)
                .then_with(|| loader::compare_versions(one, other))
                .then_with(by_name)
        });
        newest.map(|(_, _, id)| id)
    }

    /// The image that EFI variables let start each time, whatever `loader.conf` says; `None` where that decides.
    ///
    /// # Errors
    ///
    /// [`LoaderError::File`].
    pub fn decided(&self, variables: &Variables) -> Result<Option<String>, LoaderError> {
        let Some(pattern) = &variables.always else { return Ok(None) };
        // Of an image's entries, whichever it is.
        let pattern = pattern.split('@').next().unwrap_or_default();
        let names = self.names()?.into_iter().filter(|it| loader::matches(pattern, &it.id));
        Ok(self.newest(names, ""))
    }

    fn staged(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.{STAGED}"))
    }

    /// The file of this entry, if it can start.
    fn find(&self, id: &str) -> Result<Option<EntryName>, LoaderError> {
        Ok(self.names()?.into_iter().find(|name| name.id == id))
    }

    fn names(&self) -> Result<Vec<EntryName>, LoaderError> {
        Ok(self.files()?.iter().filter_map(|file| EntryName::parse(file)).collect())
    }

    fn files(&self) -> Result<Vec<String>, LoaderError> {
        let read = || -> std::io::Result<Vec<String>> {
            let entries = fs::read_dir(&self.folder)?.collect::<Result<Vec<_>, _>>()?;
            Ok(entries.iter().filter_map(|it| it.file_name().into_string().ok()).collect())
        };
        let mut files = read().map_err(FileError::at("read", &self.folder))?;
        files.sort();
        Ok(files)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), LoaderError> {
        let target = self.folder.join(to);
        fs::rename(self.folder.join(from), &target)
            .and_then(|()| settle(&target))
            .and_then(|()| File::open(&self.folder)?.sync_all())
            .map_err(FileError::at("rename a kernel to", target))?;
        Ok(())
    }

    /// As [`file::replace`], which is not enough on FAT.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), LoaderError> {
        let mut staged = Staged::create(path)?;
        let written = staged.write_all(bytes).and_then(|()| staged.file().sync_all());
        written.map_err(FileError::at("write", path))?;
        staged.place()?;
        let folder = path.parent().unwrap_or(&self.folder);
        let flushed = settle(path).and_then(|()| File::open(folder)?.sync_all());
        Ok(flushed.map_err(FileError::at("write", path))?)
    }

    /// What is no UTF-8 is replaced by a mark: the loader does not mind it.
    fn read_config(&self) -> Result<String, LoaderError> {
        match file::read(&self.config) {
            Err(error) if error.source.kind() == ErrorKind::NotFound => Ok(String::new()),
            bytes => Ok(String::from_utf8_lossy(&bytes?).into_owned()),
        }
    }

    /// In its place where it keeps its length: FAT has no way to replace a file in one step.
    fn write_config(&self, before: &str, text: &str) -> Result<(), LoaderError> {
        if before.len() != text.len() {
            return self.replace(&self.config, text.as_bytes());
        }
        write_over(&self.config, text.as_bytes()).map_err(FileError::at("write", &self.config))?;
        Ok(())
    }
}

/// The kernel of a generation that the loader is to start: of the same flavour as the one that starts now.
fn of_flavour<'a>(config: &str, manifest: &'a Manifest) -> &'a Kernel {
    let flavour = loader::flavour(loader::default_entry(config).unwrap_or_default());
    let same = |kernel: &&Kernel| Some(kernel.flavour()) == flavour;
    manifest.kernels().find(same).unwrap_or(&manifest.kernel)
}

/// Brings a file that has got this name to the disk under it. FAT writes a new name with a length of nothing; its folder
/// alone on the disk would be an empty file. So this comes before the folder, whose old name goes with that.
///
/// Source: Linux, `fs/fat/namei_vfat.c`, `vfat_rename`, `vfat_add_entry`.
fn settle(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

fn write_over(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
