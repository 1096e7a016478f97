//! A machine with systemd-boot 257 and a host in a folder: what is done to it, what happens, and where it ends.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use formats::loader::{self, EntryName};
use formats::pe::Pe;
use generations::{Booted, Generation};
use host::health::{Check, Outcome, Report, Verdict, settle};
use host::housekeeping::Asked;
use testkit::efi;

use crate::upgrade;
use crate::world::{Package, World};

pub use testkit::efi::image;

/// More starts than all that may fail one after the other: of each kernel, and of each generation with it.
const STARTS: usize = 40;
/// The package with the kernel that starts by itself.
pub const FIRST: &str = "preon-uki-hardened";

/// What a kernel turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Good,
    /// Nothing of ours is reached.
    Panics,
    /// Its generation comes up, and is not well.
    Unwell,
}

/// What somebody does, or what happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// A new kernel is published, and the host upgraded.
    Kernel(Fate, Cut),
    /// Something else is published, and the host upgraded.
    Other(Cut),
    /// What waits is taken back, as automatic updates do before they stage something newer.
    TakeBack(Cut),
    /// One of the generations is to boot next.
    Rollback(usize, Cut),
    Clean(usize),
    /// The host restarts, and it is decided on the boot.
    Restart(Cut),
    /// The host restarts, and the power is cut before that.
    Cut,
}

/// What a power cut keeps from being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cut {
    Nothing,
    Config,
    Names,
    Wanted,
}

fn of_os_release<'a>(bytes: &'a [u8], key: &str) -> Option<&'a str> {
    let pe = Pe::parse(bytes).ok()?;
    let text = std::str::from_utf8(pe.section(".osrel")?.content(bytes)).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

/// fnmatch(3) as systemd-boot has it, but for sets.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap()) else { return false };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// An entry of systemd-boot 257's menu.
struct Entry {
    file: String,
    id: String,
    /// Its name without the profile, with counts: so it is in systemd-boot 257.
    without_profile: String,
    version: String,
    profile: u32,
    name: EntryName,
}

pub struct Pc {
    pub world: World,
    /// By release.
    pub fates: RefCell<BTreeMap<String, Fate>>,
    pub published: Cell<u32>,
    up: Cell<bool>,
}

type Esp = (Vec<(String, Vec<u8>)>, Vec<u8>);

impl Pc {
    pub fn new() -> Self {
        let first: Package<'_> = (
            FIRST,
            "6.12-1+0preon1",
            "Source: linux (6.12-1)\nProvides: preon-uki\nDepends: other\n",
            &[("usr/lib/modules/6.12-preon/vmlinuz.efi", "uki")],
        );
        let other: Package<'_> = ("other", "1-1+0preon1", "", &[("usr/lib/other", "1")]);
        let world = World::new(&[first, other]);
        let pc = Self {
            world,
            fates: RefCell::new([("6.12-preon".into(), Fate::Good)].into()),
            published: Cell::new(12),
            up: Cell::new(false),
        };
        base::file::replace(&pc.world.on_host(generations::ESP), b"").unwrap();
        let id = pc.world.store().manifest(Generation(1)).unwrap().kernel.entry_id();
        let write = |path: &str, text: &str| {
            base::file::replace(&pc.world.on_host("/efi").join(path), text.as_bytes()).unwrap();
        };
        write(&format!("EFI/Linux/{id}"), &image("6.12-preon", "6.12-1+0preon1"));
        write(loader::CONFIG, &loader::with_default("timeout 0\n", &id));
        pc.come_up();
        pc
    }

    pub fn folder(&self) -> PathBuf {
        self.world.on_host("/efi").join(loader::FOLDER)
    }

    fn esp(&self) -> Esp {
        let entries = fs::read_dir(self.folder()).unwrap().map(|it| it.unwrap());
        let file = |it: fs::DirEntry| {
            (it.file_name().into_string().unwrap(), fs::read(it.path()).unwrap())
        };
        let config = fs::read(self.world.on_host("/efi").join(loader::CONFIG)).unwrap();
        (entries.filter(|it| it.path().is_file()).map(file).collect(), config)
    }

    /// The names of all files beside each other, sorted.
    pub fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = self.esp().0.into_iter().map(|(name, _)| name).collect();
        names.sort();
        names
    }

    /// The text of `loader.conf`.
    pub fn config(&self) -> String {
        String::from_utf8_lossy(&self.esp().1).into_owned()
    }

    fn variable(&self, name: &str) -> Option<String> {
        let bytes = fs::read(self.world.on_host(&efi::variable_path(name))).ok()?;
        Some(bytes[4..].iter().filter(|byte| **byte != 0).map(|byte| char::from(*byte)).collect())
    }

    /// Sets a variable of the boot loader, or removes it.
    pub fn set_variable(&self, name: &str, text: Option<&str>) {
        let path = self.world.on_host(&efi::variable_path(name));
        match text {
            Some(text) => base::file::replace(&path, &efi::variable(text)).unwrap(),
            None => drop(fs::remove_file(path)),
        }
    }

    fn wanted_file(&self) -> PathBuf {
        self.world.on_host(generations::STORE).join("wanted")
    }

    /// Does something, and takes back what a power cut would keep from being written.
    fn interrupted(&self, cut: Cut, act: impl FnOnce() -> bool) {
        let (before, wanted) = (self.esp(), fs::read(self.wanted_file()).unwrap());
        if !act() {
            return;
        }
        if cut >= Cut::Config {
            fs::write(self.world.on_host("/efi").join(loader::CONFIG), &before.1).unwrap();
        }
        if cut >= Cut::Names {
            let now = self.esp().0;
            for (name, bytes) in &now {
                fs::remove_file(self.folder().join(name)).unwrap();
                if before.0.iter().all(|(_, other)| other != bytes) {
                    let id = EntryName::parse(name).map_or(name.clone(), |it| it.id + ".new");
                    fs::write(self.folder().join(id), bytes).unwrap();
                }
            }
            for (name, bytes) in &before.0 {
                fs::write(self.folder().join(name), bytes).unwrap();
            }
        }
        if cut >= Cut::Wanted {
            fs::write(self.wanted_file(), wanted).unwrap();
        }
        if cut > Cut::Nothing {
            self.up.set(false);
        }
    }

    fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (file, bytes) in self.esp().0 {
            let (Some(name), Some(version)) =
                (EntryName::parse(&file), of_os_release(&bytes, "IMAGE_VERSION"))
            else {
                continue;
            };
            for profile in [0, 1] {
                let id = match (&name.tries, profile) {
                    // The count's reader writes the id anew, without the profile.
                    (Some(_), _) | (None, 0) => name.id.clone(),
                    _ => format!("{file}@previous"),
                };
                let without_profile = if profile == 0 { id.clone() } else { file.clone() };
                let (file, version, name) = (file.clone(), version.to_owned(), name.clone());
                entries.push(Entry { file, id, without_profile, version, profile, name });
            }
        }
        entries.sort_by(|a, b| {
            let newest = loader::compare_versions(&b.version, &a.version);
            let name = || loader::compare_versions(&b.without_profile, &a.without_profile);
            a.name.is_bad().cmp(&b.name.is_bad()).then(newest).then_with(name)
        });
        entries
    }

    /// What systemd-boot 257 starts, and its counting: the release, and which profile.
    fn load(&self) -> (String, u32) {
        let entries = self.entries();
        let once = self.variable("LoaderEntryOneShot");
        self.set_variable("LoaderEntryOneShot", None);
        let config = loader::default_entry(&self.config()).map(str::to_owned);
        let mut asked = [once, self.variable("LoaderEntryDefault"), config].into_iter().flatten();
        let found = asked.find_map(|text| entries.iter().find(|entry| matches(&text, &entry.id)));
        let entry = found.or(entries.first()).expect("some kernel starts");
        let path = self.folder().join(&entry.file);
        let release = of_os_release(&fs::read(&path).unwrap(), "VERSION_ID").unwrap().to_owned();
        let mut name = entry.name.clone();
        match &mut name.tries {
            Some(tries) => {
                tries.left = tries.left.saturating_sub(1);
                tries.done += 1;
                self.set_variable("LoaderBootCountPath", Some(""));
            }
            None => self.set_variable("LoaderBootCountPath", None),
        }
        fs::rename(path, self.folder().join(name.to_string())).unwrap();
        self.set_variable("LoaderEntrySelected", Some(&entry.id));
        let of_kernel = self.world.on_host(generations::kernel::RELEASE);
        base::file::replace(&of_kernel, release.as_bytes()).unwrap();
        (release, entry.profile)
    }

    /// Starts the machine; whether its systemd comes up.
    pub fn start(&self) -> bool {
        self.up.set(false);
        let (release, profile) = self.load();
        if self.fates.borrow()[&release] == Fate::Panics {
            return false;
        }
        let (store, kernel) = (self.world.store(), self.kernel());
        let expected = store.choose(&kernel).expect("some generation boots");
        let choice =
            if profile == 0 { store.choose(&kernel) } else { store.choose_previous(&kernel) };
        let choice = choice.unwrap();
        // Nobody is at the menu.
        assert_eq!(choice.generation, expected.generation, "{:?}", self.told());
        store.count_attempt(&choice).unwrap();
        self.world.show(choice.generation);
        self.up.set(true);
        true
    }

    pub fn kernel(&self) -> Booted {
        Booted::of_host(&self.world.root().0).unwrap()
    }

    pub fn running(&self) -> Generation {
        self.world.host().running.unwrap()
    }

    fn is_well(&self) -> bool {
        let (kernel, running) = (self.kernel(), self.running());
        let fits = kernel.fits(&self.world.store().manifest(running).unwrap());
        fits && self.fates.borrow()[&kernel.release] == Fate::Good
    }

    pub fn settle(&self) -> Verdict {
        let outcome = match self.is_well() {
            true => Outcome::Good,
            false => Outcome::Bad { status: "exit status: 1".into(), output: "text".into() },
        };
        let check = Check { name: "check".into(), outcome, seconds: 1.0 };
        let report = Report { checks: vec![check], failed_units: Some([].into()) };
        settle(&self.world.host(), &report).unwrap()
    }

    /// Starts until nothing more changes by itself.
    fn come_up(&self) {
        for _ in 0..STARTS {
            if self.start() && !matches!(self.settle(), Verdict::Restart { .. }) {
                return;
            }
        }
        panic!("the host goes round in circles: {:?}", self.told());
    }

    /// After all that went on by itself, what is said is what boots.
    pub fn check(&self) {
        self.come_up();
        let mut last = None;
        for _ in 0..STARTS {
            let now = (self.kernel(), self.running(), self.world.store().wanted().unwrap());
            if last.as_ref() == Some(&now) {
                break;
            }
            last = Some(now);
            self.come_up();
        }
        assert!(self.is_well(), "{:?}", self.told());
        let wanted = self.world.store().wanted().unwrap();
        assert_eq!(wanted.generation, self.running(), "{:?}", self.told());
        assert!(!self.kernel().on_trial, "{:?}", self.told());
    }

    fn told(&self) -> (Vec<String>, String, Booted, generations::Wanted, Vec<Generation>) {
        let default = loader::default_entry(&self.config()).unwrap_or_default().to_owned();
        let store = self.world.store();
        (
            self.files(),
            default,
            self.kernel(),
            store.wanted().unwrap(),
            store.generations().unwrap(),
        )
    }

    pub fn publish_kernel(&self, fate: Fate) {
        let number = self.published.get() + 1;
        self.published.set(number);
        let version = format!("6.{number}-1+0preon1");
        self.publish_kernel_as(fate, &format!("6.{number}-preon"), (FIRST, &version));
    }

    pub fn publish_kernel_as(&self, fate: Fate, release: &str, (package, version): (&str, &str)) {
        let image = image(release, version);
        self.fates.borrow_mut().insert(release.into(), fate);
        let path = format!("usr/lib/modules/{release}/vmlinuz.efi");
        let files = [(&*path, &*image)];
        let fields = "Source: linux (6.13-1)\nProvides: preon-uki\nDepends: other\n";
        self.world.publish(&[(package, version, fields, &files)]);
    }

    fn publish_other(&self) {
        let number = self.published.get() + 1;
        self.published.set(number);
        let (version, text) = (format!("{number}-1+0preon1"), number.to_string());
        self.world.publish(&[("other", &version, "", &[("usr/lib/other", &text)])]);
    }

    pub fn upgrade(&self, cut: Cut) {
        self.interrupted(cut, || self.world.change("upgrade", upgrade(false)).is_ok());
    }

    pub fn step(&self, step: &Step) {
        if !self.up.get() {
            self.come_up();
        }
        match *step {
            Step::Kernel(fate, cut) => {
                self.publish_kernel(fate);
                self.upgrade(cut);
            }
            Step::Other(cut) => {
                self.publish_other();
                self.upgrade(cut);
            }
            Step::TakeBack(cut) => {
                let running = self.running();
                self.interrupted(cut, || self.world.host().boots_next(running).is_ok());
            }
            Step::Rollback(which, cut) => {
                let all = self.world.store().generations().unwrap();
                let to = all[which % all.len()];
                self.interrupted(cut, || self.world.host().boots_next(to).is_ok());
            }
            Step::Clean(keep) => {
                self.world.gc(Asked { keep, dry_run: false, unattended: false }).unwrap();
            }
            Step::Restart(cut) => {
                if self.start() {
                    self.interrupted(cut, || {
                        self.settle();
                        true
                    });
                }
            }
            Step::Cut => drop(self.start()),
        }
    }
}
