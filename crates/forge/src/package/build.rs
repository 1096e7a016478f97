//! Building a source package: unpack, patch, compile in a fresh root, keep what is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use base::child;
use base::digest::Hasher;
use base::file::{self, FileError};
use base::progress::{Task, Unit};
use base::{Digest, Explain, Failure};
use formats::{PackageName, Version};
use packages::deb::Deb;
use packages::lock::Set;
use packages::source::Source;

use super::root::{BuildRoot, Work};
use super::source;
use super::store::{Built, BuiltPackage};
use crate::cache::Kind;
use crate::context::Context;
use crate::recipe::{Content, Method, Recipe, Recipes, files_below};
use crate::sandbox::{Bind, Inside};
use crate::supply::{Purpose, Supply, SupplyError};
use crate::tools::ToolRoot;

/// Rises when building changes in a way that its inputs do not show.
const METHOD: &str = "build 1";

/// The file in a build's folder with the flags for all: dpkg-buildflags(1), "FILES".
const BUILDFLAGS: &str = "buildflags.conf";

/// The file in a build's folder that holds what it prints.
const LOG: &str = "log";

/// A source package that is to be built, and all that its bytes follow from.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Its name.
    pub(crate) name: PackageName,
    /// Its files, and what is wanted of it.
    pub(crate) source: Source,
    /// Why it is built.
    pub(crate) reason: String,
    /// Why two builds differ.
    differs: Option<String>,
    /// Why the archive's signature alone is enough.
    unsigned: Option<String>,
    /// The versions that its packages are to have: Debian's.
    versions: BTreeMap<PackageName, Version>,
    method: Method,
    /// Patches of ours, in the order of their names.
    patches: Vec<(String, Vec<u8>)>,
    /// The packages that its root is made of.
    pub(crate) set: Set,
    key: Digest,
}

/// A build went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("building {name} failed{}", lines(.last))]
    Failed { name: PackageName, last: String, log: PathBuf },
    #[error("building {name} made no package {package} {version}")]
    NotMade { name: PackageName, package: PackageName, version: Version },
    #[error("cannot start the build")]
    Start(#[source] io::Error),
    #[error("{package} came out different when it was built again")]
    Differs { package: PackageName, one: PathBuf, other: PathBuf },
}

impl Explain for BuildError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Failed { log, .. } => {
                Some(format!("all that it printed is in {}", log.display()))
            }
            Self::NotMade { .. } => {
                Some("look at its debian/control, and at [build] in the recipe".into())
            }
            Self::Start(_) => None,
            Self::Differs { one, other, .. } => Some(format!(
                "compare {} with {}; say why in the recipe, `differs`, if it has to be so",
                one.display(),
                other.display()
            )),
        }
    }
}

fn lines(text: &str) -> String {
    text.lines().map(|line| format!("\n  | {line}")).collect()
}

impl Job {
    /// All that recipes build, by the name of the source package.
    ///
    /// # Errors
    ///
    /// What reading recipes and lock fail with, also if the lock was made for other recipes.
    pub(crate) fn all(context: &Context) -> Result<BTreeMap<PackageName, Self>, Failure> {
        let recipes = Recipes::load(&context.root.join("os/packages"))?;
        Self::of(context, &recipes, &Supply::open(context)?)
    }

    /// The same of recipes and a lock that were read.
    ///
    /// # Errors
    ///
    /// As [`Self::all`].
    pub(crate) fn of(
        context: &Context,
        recipes: &Recipes,
        supply: &Supply,
    ) -> Result<BTreeMap<PackageName, Self>, Failure> {
        let mut jobs = BTreeMap::new();
        if let Some(recipe) = not_locked(recipes, supply) {
            return Err(SupplyError::NoSource(recipe).into());
        }
        if supply.lock.sources.is_empty() {
            return Ok(jobs);
        }
        let all = Method::load(&context.root.join("os/packages"))?;
        let tools = ToolRoot::foreseen(context, "packages")?.identity();
        for (name, source) in &supply.lock.sources {
            let recipe = source.packages.iter().filter_map(|package| recipes.for_package(package));
            let Some((recipe, build)) =
                recipe.filter_map(|recipe| Some((recipe, recipe.declared.build.as_ref()?))).next()
            else {
                continue;
            };
            let method = all.with(build);
            let purpose = Purpose::build(name, source.version.as_str(), &method, build);
            let set = supply.set(&purpose)?.clone();
            let version = |package: &PackageName| {
                Some((package.clone(), supply.lock.packages.get(package)?.version.clone()))
            };
            let mut job = Self {
                name: name.clone(),
                versions: source.packages.iter().filter_map(version).collect(),
                source: source.clone(),
                reason: build.reason.to_string(),
                differs: build.differs.as_ref().map(ToString::to_string),
                unsigned: build.unsigned.as_ref().map(ToString::to_string),
                patches: patches(&recipe.folder)?,
                method,
                set,
                key: Digest::of(b""),
            };
            job.key = job.digest(supply, &tools);
            jobs.insert(name.clone(), job);
        }
        Ok(jobs)
    }

    /// Stands for all that the result follows from.
    fn digest(&self, supply: &Supply, tools: &Digest) -> Digest {
        let mut hasher = Hasher::default();
        for text in [METHOD, SCRIPT, AS_BUILDER] {
            hasher.field(text.as_bytes());
        }
        hasher.field(tools.as_bytes()).field(supply.digest(&self.set).as_bytes());
        for file in &self.source.files {
            hasher.field(file.sha256.as_bytes());
        }
        for (package, version) in &self.versions {
            hasher.field(package.as_str().as_bytes()).field(version.as_str().as_bytes());
        }
        for (name, text) in &self.patches {
            hasher.field(name.as_bytes()).field(text);
        }
        self.method.digest(&mut hasher);
        hasher.finish()
    }

    /// Where the cache has it, or will.
    pub(crate) fn folder(&self, context: &Context) -> PathBuf {
        context.cache.path(Kind::Built, &self.key)
    }

    /// What the cache has of it.
    pub(crate) fn kept(&self, context: &Context) -> Option<Built> {
        Built::load(&self.folder(context))
    }

    /// What comes of it; built now unless the cache has it.
    ///
    /// # Errors
    ///
    /// [`BuildError`], or what fetching fails with; the cache is then as it was.
    pub(crate) fn built(&self, context: &Context) -> Result<Built, Failure> {
        if let Some(built) = self.kept(context) {
            return Ok(built);
        }
        let folder = self.folder(context);
        file::replace_folder(&folder, |folder| self.build(context, folder))?;
        Ok(self.kept(context).ok_or_else(|| unreadable(&folder))?)
    }

    /// Builds it once more and compares with `built`, unless the recipe says why that cannot be.
    ///
    /// # Errors
    ///
    /// [`BuildError::Differs`], or what building fails with.
    pub(crate) fn again(&self, context: &Context, built: &Built) -> Result<(), Failure> {
        if let Some(reason) = &self.differs {
            let name = &self.name;
            context.progress.note(&format!("note: {name} is not built again: {reason}"));
            return Ok(());
        }
        let name = format!("{}-again-{}", self.key.short(), std::process::id());
        let folder = context.cache.kind(Kind::Built).join(name);
        file::replace_folder(&folder, |folder| self.build(context, folder))?;
        let second = Built::load(&folder).ok_or_else(|| unreadable(&folder))?.packages;
        for (package, first) in &built.packages {
            if second.get(package) != Some(first) {
                let (one, other) = (built.folder.join(&first.file), folder.join(&first.file));
                return Err(BuildError::Differs { package: package.clone(), one, other }.into());
            }
        }
        Ok(file::remove_folder(&folder)?)
    }

    /// Builds it into `folder`.
    fn build(&self, context: &Context, folder: &Path) -> Result<(), Failure> {
        let verified =
            source::fetch(context, (&self.name, &self.source), self.unsigned.as_deref())?;
        let work = Work::new(context, &self.key.short())?;
        let root = BuildRoot::make(context, &self.set, &work)?;
        let work = work.folder();
        self.prepare(work, &verified.files)?;
        self.compile(context, &root, work)?;
        let path = work.join("build/flags");
        let flags = if is_plain(&path) { file::read_text(&path)? } else { String::new() };
        let flags = flags.lines().filter_map(|line| line.split_once('='));
        let compiled = |kind: &&str| self.method.flags.contains_key(*kind);
        let flags = flags.filter(|(kind, _)| compiled(kind));
        let environment =
            self.method.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut built = Built {
            packages: BTreeMap::new(),
            signed_by_developer: verified.by_developer,
            flags: flags
                .chain(environment)
                .map(|(kind, words)| (kind.to_owned(), words.to_owned()))
                .collect(),
            folder: folder.to_owned(),
        };
        for (package, version) in &self.versions {
            let made = self.made(&work.join("build"), package, version)?;
            let file = format!("{package}.deb");
            let target = folder.join(&file);
            // By content: whoever built chose the permissions.
            file::replace(&target, &file::read(&made)?)?;
            let sha256 = Digest::of_file(&target).map_err(FileError::at("read", &target))?;
            built
                .packages
                .insert(package.clone(), BuiltPackage { version: version.clone(), file, sha256 });
        }
        let target = folder.join("build.log");
        let log = work.join(LOG);
        fs::rename(&log, &target).map_err(FileError::at("write", &target))?;
        Ok(built.save()?)
    }

    /// Puts flags, sources and patches where the build finds them.
    fn prepare(&self, work: &Path, files: &[Option<PathBuf>]) -> Result<(), Failure> {
        file::replace(&work.join(BUILDFLAGS), self.method.buildflags().as_bytes())?;
        let sources = work.join("source");
        for (listed, path) in self.source.files.iter().zip(files) {
            let target = sources.join(listed.name());
            file::create_dir_all(&sources)?;
            match path {
                Some(path) => {
                    fs::copy(path, &target).map_err(FileError::at("write", &target))?;
                }
                None => file::replace(&target, self.source.stand_in(&self.name).as_bytes())?,
            }
        }
        file::create_dir_all(&work.join("patches"))?;
        for (name, text) in &self.patches {
            file::replace(&work.join("patches").join(name), text)?;
        }
        Ok(file::create_dir_all(&work.join("build"))?)
    }

    /// Runs the packaging's own build.
    fn compile(&self, context: &Context, root: &BuildRoot, work: &Path) -> Result<(), Failure> {
        let binds = [
            Bind::writable(&work.join("source"), "/build/source"),
            Bind::read_only(&work.join("patches"), "/build/patches"),
            Bind::read_only(&work.join(BUILDFLAGS), "/build/buildflags.conf"),
            Bind::writable(&work.join("build"), "/build/build"),
        ];
        let (options, profiles) = (self.method.options.join(" "), self.method.profiles.join(" "));
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let options = format!("{options} parallel={jobs}");
        let version = self.rebuild().map(ToString::to_string).unwrap_or_default();
        let mut environment = vec![
            ("HOME", "/build/home"), // is not there: nothing may come from it
            ("DEB_BUILD_OPTIONS", options.as_str()),
            ("DEB_BUILD_PROFILES", profiles.as_str()),
            ("PREON_VERSION", version.as_str()),
        ];
        environment.extend(self.method.environment.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        let inside = Inside { binds: &binds, environment: &environment, folder: "/build/build" };
        let what = format!("building {}", self.name);
        let task = context.progress.begin(&what, None, Unit::Count("lines"));
        let mut command = root.command("sh", &inside);
        command.args(["-euc", AS_BUILDER, "sh", SCRIPT]);
        let log = work.join(LOG);
        let status = watch(command, &log, task.as_ref())?;
        if status.success() {
            return Ok(());
        }
        let last = child::last_lines(&String::from_utf8_lossy(&file::read(&log)?), 20);
        // The folder goes; what was printed stays for whoever wants to know.
        let kept = context.cache.kind(Kind::Built).join(format!("{}.log", self.name));
        fs::rename(&log, &kept).map_err(FileError::at("write", &kept))?;
        Err(BuildError::Failed { name: self.name.clone(), last, log: kept }.into())
    }

    /// The version that Debian's builders gave to packages whose source they built again; `None` if
    /// the packages have the source's own version.
    fn rebuild(&self) -> Option<&Version> {
        let again = |version: &&Version| {
            version.as_str().starts_with(&format!("{}+b", self.source.version))
        };
        self.versions.values().find(again)
    }

    /// The file of a package that was made.
    fn made(
        &self,
        folder: &Path,
        package: &PackageName,
        version: &Version,
    ) -> Result<PathBuf, Failure> {
        let entries = fs::read_dir(folder).map_err(FileError::at("read", folder))?;
        for entry in entries {
            let path = entry.map_err(FileError::at("read", folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let named = name.starts_with(&format!("{package}_")) && name.ends_with(".deb");
            if !named || !is_plain(&path) {
                continue;
            }
            let deb = Deb::open(&path)?;
            if deb.control().name() == package && deb.control().version() == version {
                return Ok(path);
            }
        }
        let (name, package, version) = (self.name.clone(), package.clone(), version.clone());
        Err(BuildError::NotMade { name, package, version }.into())
    }
}

/// Runs `command`; what it prints goes to the file `log`, and counts as progress by the line.
fn watch(mut command: Command, log: &Path, task: &dyn Task) -> Result<ExitStatus, Failure> {
    let mut file = File::create(log).map_err(FileError::at("create", log))?;
    let (printed, output) = io::pipe().map_err(BuildError::Start)?;
    let errors = output.try_clone().map_err(BuildError::Start)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(BuildError::Start)?;
    drop(command); // and with it our ends of the pipe
    let kept = keep(printed, &mut file, task);
    if kept.is_err() {
        // Nobody would see what it does; bwrap takes along all that runs inside.
        let _ = child.kill();
    }
    let status = child.wait().map_err(BuildError::Start)?;
    kept.map_err(FileError::at("write", log))?;
    Ok(status)
}

/// Writes all that is printed into `file`; each line counts.
fn keep(printed: impl Read, file: &mut File, task: &dyn Task) -> io::Result<()> {
    let mut printed = BufReader::new(printed);
    loop {
        let bytes = printed.fill_buf()?;
        let count = bytes.len();
        if count == 0 {
            return Ok(());
        }
        file.write_all(bytes)?;
        task.advance(bytes.iter().filter(|byte| **byte == b'\n').count() as u64);
        printed.consume(count);
    }
}

/// Debian's own builders are not root either: some `configure` refuses, some tests fail.
const AS_BUILDER: &str = r#"
cp /build/buildflags.conf /etc/dpkg/buildflags.conf
chown --recursive 1000:1000 /build/build /build/source
exec setpriv --reuid=1000 --regid=1000 --clear-groups --no-new-privs sh -euc "$1"
"#;

/// What runs in the root. `changelog`: a rebuild has the version of Debian's rebuild, so that packages
/// which ask for just that one are content.
const SCRIPT: &str = r#"
cd /build/source
dsc=$(echo *.dsc)
if ! grep --quiet ^Files: "$dsc"; then # a stand-in, which needs MD5 sums for dpkg-source
    { echo Files:; for file in *.tar.* *.diff.gz; do
        [ ! -e "$file" ] || echo " $(md5sum <"$file" | cut --characters=1-32) $(stat --format=%s "$file") $file"
    done; } >> "$dsc"
fi
cd /build/build
dpkg-source --no-check --extract "/build/source/$dsc" tree
cd tree
for patch in /build/patches/*; do
    [ -e "$patch" ] || continue
    patch --strip=1 --forward --input="$patch"
done
if [ -n "$PREON_VERSION" ]; then
    source=$(dpkg-parsechangelog --show-field Source)
    date=$(dpkg-parsechangelog --show-field Date)
    { printf '%s (%s) trixie; urgency=low, binary-only=yes\n\n  * Rebuilt.\n\n -- Preon OS <preon@localhost>  %s\n\n' \
        "$source" "$PREON_VERSION" "$date"; cat debian/changelog; } > ../changelog
    mv ../changelog debian/changelog
fi
dpkg-buildflags --status
dpkg-buildflags > ../flags
dpkg-buildpackage --build=any --no-sign --unsigned-changes
"#;

/// What was just written is gone or damaged.
fn unreadable(folder: &Path) -> FileError {
    FileError::at("read", folder)(io::Error::other("it is not what was written"))
}

/// A recipe whose `[build]` the lock knows nothing of, although one of its packages is chosen.
fn not_locked(recipes: &Recipes, supply: &Supply) -> Option<PackageName> {
    let lock = &supply.lock;
    let built: BTreeSet<_> = lock.sources.values().flat_map(|source| &source.packages).collect();
    let lacks = |recipe: &&Recipe| {
        let Some(build) = &recipe.declared.build else { return false };
        let chosen = recipe.packages().iter().any(|package| lock.packages.contains_key(package));
        let named = build.packages.as_deref().unwrap_or(recipe.packages());
        chosen && !named.iter().any(|package| built.contains(package))
    };
    recipes.iter().find(lacks).map(|recipe| recipe.name.clone())
}

/// Whether a file that a build left is just that: whoever builds as a stranger may leave a link to
/// something of ours, or a pipe that nobody writes to. Nothing of the build runs any more.
fn is_plain(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// The patches of a recipe: what lies in its `patches/`.
fn patches(recipe: &Path) -> Result<Vec<(String, Vec<u8>)>, FileError> {
    let folder = recipe.join("patches");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let files = files_below(&folder)?.into_iter();
    Ok(files
        .filter_map(|file| match file.content {
            Content::File { bytes, .. } => Some((file.path, bytes)),
            Content::Folder | Content::Link(_) => None,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use packages::lock::{Lock, Locked};
    use packages::source::SourceFile;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU64);

    impl Task for Count {
        fn advance(&self, by: u64) {
            self.0.fetch_add(by, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_a_build_prints_is_in_its_log_in_the_order_in_which_it_came() {
        let folder = tempfile::tempdir().unwrap();
        let (log, count) = (folder.path().join("log"), Count::default());
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; printf three; exit 3"]);
        let status = watch(command, &log, &count).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(status.code(), Some(3));
        assert_eq!(fs::read_to_string(&log).unwrap(), "one\ntwo\nthree");
        assert_eq!(count.0.into_inner(), 2);
    }

    fn job() -> Job {
        let file = SourceFile { filename: "a_1.tar.xz".into(), size: 1, sha256: Digest::of(b"a") };
        let name: PackageName = "a".parse().unwrap();
        Job {
            name: name.clone(),
            source: Source {
                version: "1".parse().unwrap(),
                suite: "trixie".into(),
                format: "1.0".into(),
                packages: [name.clone()].into(),
                files: vec![file],
            },
            reason: "x".into(),
            differs: None,
            unsigned: None,
            versions: [(name.clone(), "1".parse().unwrap())].into(),
            method: Method::default(),
            patches: vec![("p".into(), b"text".to_vec())],
            set: Set { request: Digest::of(b""), packages: [name].into() },
            key: Digest::of(b""),
        }
    }

    /// A lock in which the package `a` of the build root is the file with this digest.
    fn supply(digest: Digest) -> Supply {
        let locked = Locked {
            version: "1".parse().unwrap(),
            suite: "trixie".into(),
            size: 1,
            sha256: digest,
            filename: "a".into(),
        };
        Supply {
            lock: Lock { packages: [("a".parse().unwrap(), locked)].into(), ..Lock::default() },
        }
    }

    #[test]
    fn whatever_decides_the_bytes_of_a_build_decides_its_name() {
        let (root, tools) = (supply(Digest::of(b"root")), Digest::of(b"tools"));
        let name = job().digest(&root, &tools);
        assert_eq!(job().digest(&root, &tools), name);
        assert_ne!(job().digest(&supply(Digest::of(b"other")), &tools), name, "the build root");
        assert_ne!(job().digest(&root, &Digest::of(b"other")), name, "what made the root");
        type Change = fn(&mut Job);
        #[rustfmt::skip]
        let changes: [(&str, Change); 6] = [
            ("a source",       |job| job.source.files[0].sha256 = Digest::of(b"b")),
            ("a version",      |job| job.versions = [("a".parse().unwrap(), "1+b1".parse().unwrap())].into()),
            ("a package",      |job| job.versions.clear()),
            ("a patch",        |job| job.patches[0].1.push(b'!')),
            ("its order",      |job| job.patches[0].0 = "q".into()),
            ("the flags",      |job| job.method.options.push("nodoc".into())),
        ];
        for (what, change) in changes {
            let mut other = job();
            change(&mut other);
            assert_ne!(other.digest(&root, &tools), name, "{what}");
        }
        let told = Job { reason: "y".into(), unsigned: Some("z".into()), ..job() };
        assert_eq!(told.digest(&root, &tools), name, "reasons are for people");
    }

    #[test]
    fn a_link_or_a_pipe_that_a_build_left_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link, pipe] = ["file", "link", "pipe"].map(|name| folder.path().join(name));
        fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        child::run(Command::new("mkfifo").arg(&pipe)).unwrap();
        let plain = [&file, &link, &pipe, &folder.path().join("none")].map(|path| is_plain(path));
        assert_eq!(plain, [true, false, false, false]);
    }

    #[test]
    fn patches_are_taken_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(patches(folder.path()).unwrap(), []);
        for name in ["20-b.patch", "10-a.patch"] {
            file::replace(&folder.path().join("patches").join(name), name.as_bytes()).unwrap();
        }
        let names: Vec<_> =
            patches(folder.path()).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["10-a.patch", "20-b.patch"]);
    }
}
