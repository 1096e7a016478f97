//! Power fails at any instant: what a host wrote is recorded, and disks are made of it as cuts would have left them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base::Digest;
use formats::loader::{self, EntryName};
use generations::{Booted, Reason, Store, Why};
use system_tests::kernel::{self, Initrd};
use system_tests::publisher::{Package, Publisher};
use system_tests::{Image, open, run};
use testkit::writes::WriteLog;
use testkit::{Builder, Vm};

const BOOT: Duration = Duration::from_secs(900);
const DISK_BYTES: u64 = 3 << 30;

const ONE: Package<'_> = Package {
    name: "one",
    version: "1-1+0preon1",
    files: &[("usr/bin/one", "#!/bin/sh\necho 1\n")],
};
const ONE_LATER: Package<'_> = Package {
    name: "one",
    version: "2-1+0preon1",
    files: &[("usr/bin/one", "#!/bin/sh\necho 2\n")],
};
const TWO: Package<'_> = Package {
    name: "two",
    version: "1-1+0preon1",
    files: &[("usr/bin/two", "#!/bin/sh\necho 2\n")],
};

/// What the host had said to be done when its log of writes had this length.
#[derive(Debug)]
struct Done {
    log_bytes: u64,
    /// A file of this name with its name in it was written to /etc and /var, with fsync.
    name: String,
    wanted: u64,
}

/// What was recorded.
struct Recorded {
    log: PathBuf,
    /// What opens the host.
    key: PathBuf,
    done: Vec<Done>,
}

#[test]
fn after_a_power_cut_the_host_is_healthy_and_what_was_synced_is_there() {
    cut(1000, 5);
}

#[test]
#[ignore = "an hour: part of --nightly"]
fn after_many_power_cuts_the_host_boots() {
    cut(4000, 40);
}

/// Makes so many disks, and boots so many of them.
fn cut(count: usize, boots: usize) {
    let folder = scratch();
    let image = open("minimal");
    let recorded = record(&image, folder.path());
    let report = check_cuts(&image, &recorded, Cuts { count, boots, folder: folder.path() });
    println!("{report}");
    assert_eq!((report.checked, report.booted), (count, boots));
    assert!(report.lossy > count / 10, "hardly any cut could lose something: are flushes logged?");
    let wanted: std::collections::BTreeSet<_> = recorded.done.iter().map(|it| it.wanted).collect();
    assert!(wanted.iter().all(|it| report.by_generation.contains_key(it)), "{wanted:?}");
}

/// A folder for disks that are written and read a thousand times: in memory, where that is large enough.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory } else { &std::env::temp_dir() };
    tempfile::tempdir_in(folder).unwrap()
}

/// First boot, installations, switches, two layers folded into one, an upgrade, and that undone; another kernel, and the way
/// back from it.
fn record(image: &Image, folder: &Path) -> Recorded {
    let log = folder.join("writes");
    let machine = Vm::builder(&image.file("")).disk_bytes(DISK_BYTES).log_writes(&log);
    let mut vm = machine.start();
    let publisher = Publisher::new();
    vm.wait_until_booted(BOOT);
    let mut recorded = Recorded { log, key: folder.join("key"), done: Vec::new() };
    recorded.note(&vm, "first-boot");
    put_repository(&vm, &publisher.publish(&[ONE, TWO]));
    vm.run(
        "preon repo add trial file:///var/lib/repository --root-metadata /var/lib/repository/root.json",
    );
    let steps = [
        ("install", "preon install one"),
        ("another", "preon install two"),
        ("rollback", "preon rollback 2"),
        ("forward", "preon rollback 3"),
        ("fold", "preon gc --keep 0"),
    ];
    for (name, command) in steps {
        vm.run(command);
        recorded.note(&vm, name);
    }
    let kernel = kernel::package(image, folder, (8, Initrd::Same));
    put_repository(&vm, &publisher.publish_with(&[ONE_LATER, TWO], &[kernel]));
    let with_kernel = format!("preon install {}", kernel::selector(image, 8));
    let steps = [
        ("upgrade", "preon upgrade one"),
        ("undo", "preon undo"),
        ("kernel", &with_kernel),
        ("old-kernel", "preon undo"),
    ];
    for (name, command) in steps {
        vm.run(command);
        recorded.note(&vm, name);
    }
    for ending in ["", "pub"] {
        let key = vm.key().with_extension(ending);
        fs::copy(key, recorded.key.with_extension(ending)).unwrap();
    }
    vm.power_off();
    recorded
}

fn put_repository(vm: &Vm, repository: &Path) {
    vm.copy_in(repository, "/var/tmp/repository.tar");
    vm.run(
        "rm -rf /var/lib/repository && mkdir /var/lib/repository && \
         tar -xf /var/tmp/repository.tar -C /var/lib/repository",
    );
}

#[derive(serde::Deserialize)]
struct Status {
    boots_next: u64,
}

impl Recorded {
    /// Has the host write two files for good, and remembers what is true from now on.
    fn note(&mut self, vm: &Vm, name: &str) {
        vm.run(&format!(
            "for folder in /etc/cuts /var/lib/cuts; do mkdir -p $folder && printf {name} > $folder/{name} && \
             sync $folder/{name} $folder $folder/..; done"
        ));
        let wanted = vm.json::<Status>("preon status --json").boots_next;
        let log_bytes = fs::metadata(&self.log).unwrap().len();
        self.done.push(Done { log_bytes, name: name.to_owned(), wanted });
    }
}

/// How much is tried.
#[derive(Clone, Copy)]
struct Cuts<'a> {
    /// Disks that are made and checked.
    count: usize,
    /// Those of them that are booted.
    boots: usize,
    /// Where there is room for them.
    folder: &'a Path,
}

/// Disks as cuts leave them, one after the other.
struct Disks<'a> {
    log: WriteLog,
    recorded: &'a Recorded,
    /// Where the boot loader's partition begins, in bytes.
    esp: u64,
    /// The same of the data filesystem.
    data: u64,
    /// The image's.
    kernel: system_tests::Kernel,
}

/// What came of it.
#[derive(Default)]
struct Report {
    requests: usize,
    checked: usize,
    booted: usize,
    /// Cuts after which not everything was durable.
    lossy: usize,
    /// Cuts after which the kernel refused the filesystem, until e2fsck had looked at it.
    torn: usize,
    by_generation: std::collections::BTreeMap<u64, usize>,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { requests, checked, booted, lossy, torn, by_generation } = self;
        write!(
            f,
            "{requests} requests; {checked} cuts checked, {lossy} could lose something, {torn} needed e2fsck, {booted} booted;"
        )?;
        by_generation.iter().try_for_each(|(generation, count)| {
            write!(f, " generation {generation} boots after {count},")
        })
    }
}

fn check_cuts(image: &Image, recorded: &Recorded, cuts: Cuts<'_>) -> Report {
    let disks = Disks {
        log: WriteLog::read(&recorded.log).expect("the log of what the host wrote"),
        recorded,
        esp: image.partitions()[0].start,
        data: image.partitions()[1].start,
        kernel: image.manifest().kernel,
    };
    let durable = cuts.folder.join("durable.raw");
    copy(&image.file("disk.raw"), &durable);
    let disk = File::options().write(true).open(&durable).unwrap();
    disk.set_len(DISK_BYTES).unwrap();
    let (requests, mut done) = (disks.log.len(), 0);
    let mut report = Report { requests, ..Report::default() };
    for index in 0..cuts.count {
        let cut = requests * (index + 1) / cuts.count;
        let next = disks.log.durable(cut);
        disks.log.replay(done..next, &disk).unwrap();
        done = next;
        let torn = cuts.folder.join("torn.raw");
        copy(&durable, &torn);
        let mut chance = fastrand::Rng::with_seed(index as u64);
        let file = File::options().write(true).open(&torn).unwrap();
        disks.log.tear(cut, &file, &mut |below| chance.usize(..below)).unwrap();
        if (index + 1) * cuts.boots / cuts.count > index * cuts.boots / cuts.count {
            disks.boot(&torn, cut);
            report.booted += 1;
            println!("booted after cut {cut} of {requests}");
        }
        if !disks.mounts(&torn) {
            report.torn += 1;
            if report.torn == 1 {
                disks.boot(&torn, cut); // its initrd heals it
            }
            disks.heal(&torn, cut);
        }
        let generation = disks.check(&torn, cut, index % 20 == 0);
        *report.by_generation.entry(generation).or_default() += 1;
        report.checked += 1;
        report.lossy += usize::from(next < cut);
    }
    report
}

/// The boot loader's partition, read by mtools: not every machine's kernel knows FAT.
struct Esp {
    /// Its disk, and where it begins.
    partition: String,
}

impl Esp {
    /// The names of the files in this folder. What is half written is not looked into.
    fn list(&self, folder: &str) -> Vec<String> {
        let listed =
            run(self.tool("mdir").args(["-b", "-i", &self.partition]).arg(format!("::/{folder}/")));
        listed.lines().filter_map(|it| Some(it.rsplit_once('/')?.1.to_owned())).collect()
    }

    fn read(&self, file: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let copied = folder.path().join("copied");
        run(self
            .tool("mcopy")
            .args(["-n", "-i", &self.partition, &format!("::/{file}")])
            .arg(&copied));
        fs::read(copied).unwrap()
    }

    fn tool(&self, name: &str) -> Command {
        let mut tool = Command::new(name);
        tool.env("MTOOLS_SKIP_CHECK", "1");
        tool
    }
}

fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("--sparse=always").args([from, to]));
}

impl Disks<'_> {
    /// What the host had said to be done before this cut.
    fn done(&self, cut: usize) -> impl Iterator<Item = &Done> {
        self.recorded.done.iter().filter(move |it| self.log.requests_within(it.log_bytes) <= cut)
    }

    /// The generations that may be wanted after this cut.
    fn may_be_wanted(&self, cut: usize) -> [u64; 2] {
        let before = self.done(cut).last().map_or(1, |done| done.wanted);
        let after = self.recorded.done.get(self.done(cut).count());
        [before, after.map_or(before, |done| done.wanted)]
    }

    /// Does what the initrd does with a data filesystem that the kernel refuses (docs/testing.md).
    fn heal(&self, disk: &Path, cut: usize) {
        // With `?offset=` it cannot open the filesystem a second time, as it does after it has replayed the journal.
        let offset = self.data.to_string();
        let mut attach = Command::new("losetup");
        let device = run(attach.args(["--find", "--show", "--offset", &offset]).arg(disk));
        let healed = ["-p", "-y", "-y"].into_iter().any(|how| {
            let status = Command::new("e2fsck").args(["-f", how, device.trim()]).status().unwrap();
            status.code().is_some_and(|code| code & !3 == 0)
        });
        run(Command::new("losetup").args(["--detach", device.trim()]));
        assert!(healed, "cut {cut}");
    }

    /// Whether the kernel would mount the data filesystem.
    fn mounts(&self, disk: &Path) -> bool {
        sys::namespace::with_private_mounts(|| {
            let folder = tempfile::tempdir().unwrap();
            let mut mount = Command::new("mount");
            mount.args(["-t", "ext4", "-o", &format!("loop,ro,noload,offset={}", self.data)]);
            let mounts = mount.arg(disk).arg(folder.path()).status().unwrap().success();
            if mounts {
                run(Command::new("umount").arg(folder.path()));
            }
            mounts
        })
    }

    /// Mounts the data filesystem as a host would, looks at what is there, and asks e2fsck. Returns what boots.
    fn check(&self, disk: &Path, cut: usize, base_too: bool) -> u64 {
        let booted = self.loaded(disk, cut);
        let generation = sys::namespace::with_private_mounts(|| {
            let folder = tempfile::tempdir().unwrap();
            let mut mount = Command::new("mount");
            mount.args(["-t", "ext4", "-o", &format!("loop,offset={}", self.data)]);
            run(mount.arg(disk).arg(folder.path()));
            let generation = self.look(folder.path(), cut, (&booted, base_too));
            run(Command::new("umount").arg(folder.path()));
            generation
        });
        let filesystem = format!("{}?offset={}", disk.display(), self.data);
        run(Command::new("e2fsck").args(["-f", "-n", &filesystem]));
        generation
    }

    /// The kernel that the loader starts: of those that `default` matches the newest; its file is whole.
    fn loaded(&self, disk: &Path, cut: usize) -> Booted {
        let esp = Esp { partition: format!("{}@@{}", disk.display(), self.esp) };
        let config = String::from_utf8(esp.read(loader::CONFIG)).unwrap();
        let default =
            loader::default_entry(&config).unwrap_or_else(|| panic!("cut {cut}: {config}"));
        let old = self.kernel.entry_id();
        let names = esp.list(loader::FOLDER);
        let names: Vec<_> = names.iter().filter_map(|it| EntryName::parse(it)).collect();
        let starts = names.iter().filter(|it| default.contains('*') || it.id == default);
        // The new one may wait again already, while the pattern is still there.
        let name = starts.max_by_key(|it| it.id != old);
        let name = name.unwrap_or_else(|| panic!("cut {cut}: {names:?}"));
        let uki = Digest::of(&esp.read(&format!("{}/{name}", loader::FOLDER)));
        assert_eq!(loader::digits(&name.id), Some(&*uki.short()), "cut {cut}: {name}");
        Booted { entry: Some(name.id.clone()), ..Booted::of_release(&self.kernel.release) }
    }

    fn look(&self, data: &Path, cut: usize, (booted, base_too): (&Booted, bool)) -> u64 {
        let store = Store::open(&data.join("preon")).unwrap();
        let wanted = store.wanted().unwrap().generation;
        let may = self.may_be_wanted(cut);
        assert!(may.contains(&wanted.0), "cut {cut}: {wanted} is wanted, not one of {may:?}");
        let choice = store.choose(booted).unwrap();
        match choice.why {
            Why::Wanted => {}
            // Cut between the generation and its kernel: the next boot goes on there.
            Why::FellBack { reason: Reason::Kernel { .. }, .. } if may[0] != may[1] => {}
            _ => panic!("cut {cut}: {}", choice.told()),
        }
        for generation in store.generations().unwrap() {
            store.check(generation).unwrap_or_else(|error| panic!("cut {cut}: {error}"));
        }
        for layer in choice.manifest.layers.iter().skip(usize::from(!base_too)) {
            let files = store.layer_files(layer);
            for (path, digest) in [(files.erofs, layer.erofs), (files.verity, layer.verity)] {
                assert_eq!(Digest::of_file(&path).unwrap(), digest, "cut {cut}: {path:?}");
            }
        }
        for Done { name, .. } in self.done(cut) {
            for folder in ["etc/upper/cuts", "var/lib/cuts"] {
                let path = data.join(folder).join(name);
                assert_eq!(&fs::read_to_string(&path).unwrap(), name, "cut {cut}: {path:?}");
            }
        }
        self.collect(&store, cut);
        wanted.0
    }

    /// Nothing is left that nobody needs.
    fn collect(&self, store: &Store, cut: usize) {
        let all = store.generations().unwrap().into_iter().collect();
        store.collect(&all).unwrap();
        let left = store.garbage(&all).unwrap();
        assert_eq!((left.layers.len(), left.leftovers.len()), (0, 0), "cut {cut}: {left:?}");
    }

    /// The host itself, from the disk.
    fn boot(&self, disk: &Path, cut: usize) {
        let mut vm = Builder::new(disk).key(&self.recorded.key).start();
        vm.wait_until_booted(BOOT);
        let status: Status = vm.json("preon status --json");
        assert!(self.may_be_wanted(cut).contains(&status.boots_next), "cut {cut}");
        vm.run("preon verify && docker version");
        for Done { name, .. } in self.done(cut) {
            let both = vm.run(&format!("cat /etc/cuts/{name} /var/lib/cuts/{name}"));
            assert_eq!(both, format!("{name}{name}"), "cut {cut}");
        }
        vm.power_off();
    }
}
