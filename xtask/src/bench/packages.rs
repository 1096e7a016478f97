//! `cargo xtask bench packages`: changing a host's packages, beside apt in Debian 13 with the same packages from the
//! same repository, and beside dnf and zypper with as many packages of their own.
//!
//! The repository is what recipes cover, curated as an image's, without kernels; everybody fetches from it over the loopback. A second
//! publication has all of the minimal host's packages in newer versions. Everything is cold: before each step the kernel
//! forgets what it has read.

mod cost;
mod debian;
mod preon;
mod repository;
mod rpm;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sys::namespace;

use self::cost::{Cost, Costs, cold};
use self::debian::Debian;
use self::preon::{Host, Making};
use self::repository::{Image, Maker, Package, Repository, Server};
use super::{Pair, Row};
use crate::{command, progress, setup};

/// What each side does, in this order.
const STEPS: [&str; 6] = [
    "refresh",
    "search",
    "resolve an upgrade of everything",
    "install git",
    "remove git",
    "upgrade of Docker",
];

/// Docker's packages.
const DOCKER: [&str; 4] = ["containerd", "docker-cli", "docker.io", "runc"];

/// A package that no image has, which needs nothing that minimal has not.
const SMALL: &str = "pwgen";

/// How many packages with one small file there are: one for each generation but the first.
const GENERATIONS: u32 = 20;

/// The part of apt's time that ours may be, at most.
const GOAL: f64 = 0.25;

/// All that is measured with.
struct Bench {
    folder: tempfile::TempDir,
    maker: Maker,
    mkfs: Vec<String>,
    curated: BTreeMap<String, Package>,
    repository: Repository,
    minimal: Image,
    full: Image,
}

pub(super) fn measure(runs: usize) -> Result<Vec<Row>> {
    setup::also(&rpm::PACKAGES)?;
    let bench = Bench::prepare()?;
    namespace::leave_shared_mounts()?;
    let server = Server::start(&bench.repository.folder)?;
    let making = bench.making(&server);
    let host = progress::show("making a minimal host", || {
        making.host(bench.path("minimal"), &[&bench.minimal])
    })?;
    let full = progress::show("making a full host", || {
        making.host(bench.path("full"), &[&bench.minimal, &bench.full])
    })?;
    let mut rows = follows_the_change(&bench, [&host, &full], &server, runs)?;
    rows.extend(disk(&bench, &host, &server)?);
    let debian = bench.debian(&server)?;
    let rivals = Rivals::prepare(&bench)?;
    bench.publish_newer()?;
    rows.splice(0..0, beside(&bench, (&host, &debian, &rivals), &server, runs)?);
    Ok(rows)
}

impl Bench {
    fn prepare() -> Result<Self> {
        let parent = command::workspace().join("target/bench");
        std::fs::create_dir_all(&parent).context("cannot make target/bench")?;
        let folder = tempfile::tempdir_in(parent).context("cannot make a folder to work in")?;
        let bench = Self {
            maker: Maker::build()?,
            curated: progress::show("curating all packages", repository::curated)?,
            mkfs: repository::mkfs()?,
            repository: Repository::new(folder.path()),
            minimal: Image::named("minimal")?,
            full: Image::named("full")?,
            folder,
        };
        let small = bench.path("small");
        let (small, count) = (small.to_string_lossy(), GENERATIONS.to_string());
        let mut debs = bench.maker.run(&["small", &*small, &count], "")?;
        debs.extend(bench.curated.values().map(|it| it.deb.to_string_lossy().into_owned()));
        bench.repository.publish(&bench.maker, &debs)?;
        Ok(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn making<'a>(&'a self, server: &'a Server) -> Making<'a> {
        let Self { maker, mkfs, curated, repository, .. } = self;
        Making { maker, mkfs, curated, repository, server }
    }

    /// The packages of the minimal host that are Debian's.
    fn debian(&self, server: &Server) -> Result<Debian> {
        let all = &self.minimal.all;
        let theirs =
            all.iter().filter(|it| self.curated.get(*it).is_some_and(|it| it.suite != "preon"));
        let theirs = theirs.cloned().collect();
        Debian::install(self.path("debian"), &theirs, (&self.repository, server))
    }

    /// Publishes all packages of the minimal host anew, in newer versions.
    fn publish_newer(&self) -> Result<()> {
        let old = self.minimal.all.iter().filter_map(|it| self.curated.get(it));
        let old: Vec<_> = old.map(|it| it.deb.to_string_lossy().into_owned()).collect();
        let folder = self.path("newer");
        let raise = ["raise", &*folder.to_string_lossy()];
        let newer =
            progress::show("making newer packages", || self.maker.run(&raise, &old.join("\n")))?;
        self.repository.publish(&self.maker, &newer)
    }
}

/// Installing one small package that was downloaded: how long, and whether it matters what else is installed.
fn follows_the_change(
    bench: &Bench,
    hosts: [&Host; 2],
    server: &Server,
    runs: usize,
) -> Result<Vec<Row>> {
    let package = bench.curated.get(SMALL).context("the small package has no recipe")?;
    let mut costs = [Vec::new(), Vec::new()];
    for run in 1..=runs {
        for (host, costs) in hosts.into_iter().zip(&mut costs) {
            let what = format!("installing {SMALL}, {run} of {runs}");
            costs.push(progress::show(&what, || {
                let host = host.copy(bench.path("run"))?;
                host.boot(1)?;
                host.keep(package)?;
                command::read(&mut host.preon(&["refresh"]))?;
                let cost = cold(&host.preon(&["install", "--stage", SMALL]), server)?;
                remove(&host, &bench.path("run"))?;
                anyhow::Ok(cost)
            })?);
        }
    }
    let [minimal, full] = costs;
    let limit = vec![Cost { seconds: 1.0, ..Cost::default() }; runs];
    let name = format!("install {SMALL}, downloaded");
    let row = |name: String, ours: &[Cost], theirs: &[Cost], goal| {
        let costs = Costs { ours: ours.to_vec(), theirs: theirs.to_vec() };
        costs.seconds(&name).goal(goal)
    };
    Ok(vec![
        row(format!("{name}, minimal (limit)"), &minimal, &limit, 1.0),
        row(format!("{name}, full (limit)"), &full, &limit, 1.0),
        row(format!("{name}, full (minimal)"), &full, &minimal, 1.3),
    ])
}

fn remove(host: &Host, folder: &Path) -> Result<()> {
    host.unmount()?;
    Ok(std::fs::remove_dir_all(folder)?)
}

/// What a store of 20 generations takes, beside one of two: each has one small package more than the last.
fn disk(bench: &Bench, host: &Host, server: &Server) -> Result<Vec<Row>> {
    let host = host.copy(bench.path("run"))?;
    host.boot(1)?;
    let mut disk = Pair::default();
    let mut last = Vec::new();
    for generation in 2..=GENERATIONS {
        let name = format!("small-{generation}");
        last.push(cost::warm(&host.preon(&["install", "--stage", &name]), server)?);
        host.boot(generation)?;
        match generation {
            2 => disk.theirs.push(host.store_megabytes()?),
            GENERATIONS => disk.ours.push(host.store_megabytes()?),
            _ => {}
        }
    }
    remove(&host, &bench.path("run"))?;
    let (ours, theirs) = (last.split_off(last.len() - 1), last);
    let theirs = theirs.into_iter().take(1).collect();
    Ok(vec![
        disk.row("packages", "disk of 20 generations (of 2)", "MB").goal(1.5),
        Costs { ours, theirs }.seconds("generation 20, made warm (generation 2)"),
    ])
}

/// Who else changes packages.
struct Rivals {
    server: Server,
    systems: Vec<(rpm::Tool, rpm::System)>,
}

impl Rivals {
    fn prepare(bench: &Bench) -> Result<Self> {
        let names = |all: &mut dyn Iterator<Item = &'_ String>| -> BTreeSet<String> {
            all.cloned().collect()
        };
        let all = names(&mut bench.curated.keys());
        let minimal =
            names(&mut bench.minimal.all.iter().filter(|it| bench.curated.contains_key(*it)));
        let all: BTreeSet<_> = all.iter().map(String::as_str).collect();
        let minimal: BTreeSet<_> = minimal.iter().map(String::as_str).collect();
        let repository = rpm::Repository::new(bench.folder.path(), &all)?;
        let server = Server::start(&repository.folder)?;
        let mut systems = Vec::new();
        for tool in [rpm::Tool::Dnf, rpm::Tool::Zypper] {
            let root = bench.path(tool.name());
            systems.push((tool, rpm::System::install((root, tool), &minimal, &server)?));
        }
        repository.add(&minimal, 2)?;
        Ok(Self { server, systems })
    }
}

/// All steps on all sides, in turn.
fn beside(
    bench: &Bench,
    (host, debian, rivals): (&Host, &Debian, &Rivals),
    server: &Server,
    runs: usize,
) -> Result<Vec<Row>> {
    let (mut ours, mut apt) = (Vec::new(), Vec::new());
    let mut others: Vec<Vec<Vec<Cost>>> = rivals.systems.iter().map(|_| Vec::new()).collect();
    for run in 1..=runs {
        let what = |who: &str| format!("all steps with {who}, {run} of {runs}");
        apt.push(progress::show(&what("apt"), || by_apt(debian, &bench.path("run"), server))?);
        ours.push(progress::show(&what("preon"), || by_preon(host, &bench.path("run"), server))?);
        for ((tool, system), costs) in rivals.systems.iter().zip(&mut others) {
            let work = || by_rpm(system, &bench.path("run"), &rivals.server);
            costs.push(progress::show(&what(tool.name()), work)?);
        }
    }
    let mut rows = Vec::new();
    for (at, step) in STEPS.iter().enumerate() {
        let costs = costs(&ours, &apt, at);
        rows.push(costs.seconds(&format!("{step} (apt)")).goal(GOAL));
        rows.extend(costs.others(&format!("{step} (apt)")));
    }
    for ((tool, _), theirs) in rivals.systems.iter().zip(&others) {
        for (at, step) in STEPS.iter().enumerate() {
            rows.push(costs(&ours, theirs, at).seconds(&format!("{step} ({})", tool.name())));
        }
    }
    Ok(rows)
}

/// The costs of the step `at`, of all runs.
fn costs(ours: &[Vec<Cost>], theirs: &[Vec<Cost>], at: usize) -> Costs {
    let of = |runs: &[Vec<Cost>]| runs.iter().filter_map(|run| run.get(at).copied()).collect();
    Costs { ours: of(ours), theirs: of(theirs) }
}

fn by_preon(host: &Host, folder: &Path, server: &Server) -> Result<Vec<Cost>> {
    let host = host.copy(folder.to_owned())?;
    host.boot(1)?;
    host.forget()?;
    let mut costs = Vec::new();
    let mut step = |words: &[&str]| -> Result<()> {
        costs.push(cold(&host.preon(words), server)?);
        Ok(())
    };
    step(&["refresh"])?;
    step(&["search", "git"])?;
    step(&["upgrade", "--dry-run"])?;
    step(&["install", "--stage", "git"])?;
    host.boot(2)?;
    step(&["remove", "--stage", "git"])?;
    host.boot(3)?;
    step(&[&["upgrade", "--stage"], &DOCKER[..]].concat())?;
    remove(&host, folder)?;
    Ok(costs)
}

fn by_apt(debian: &Debian, folder: &Path, server: &Server) -> Result<Vec<Cost>> {
    let debian = debian.copy(folder.to_owned())?;
    debian.mount()?;
    debian.forget()?;
    let costs = [
        debian.apt_get(&["update"]),
        debian.apt_cache(&["search", "git"]),
        debian.apt_get(&["--simulate", "dist-upgrade"]),
        debian.apt_get(&["--yes", "install", "git"]),
        debian.apt_get(&["--yes", "autoremove", "git"]),
        debian.apt_get(&[&["--yes", "install", "--only-upgrade"], &DOCKER[..]].concat()),
    ];
    let costs = each(&costs, server)?;
    debian.unmount()?;
    std::fs::remove_dir_all(folder)?;
    Ok(costs)
}

fn by_rpm(system: &rpm::System, folder: &Path, server: &Server) -> Result<Vec<Cost>> {
    let system = system.copy(folder.to_owned())?;
    system.forget()?;
    let steps = [
        system.refresh(),
        system.call(&["search", "git"]),
        system.plan(),
        system.call(&["install", "git"]),
        system.call(&["remove", "git"]),
        system.call(&[&["update"], &DOCKER[..]].concat()),
    ];
    let costs = each(&steps, server)?;
    std::fs::remove_dir_all(folder)?;
    Ok(costs)
}

fn each(commands: &[Command], server: &Server) -> Result<Vec<Cost>> {
    commands.iter().map(|command| cold(command, server)).collect()
}
