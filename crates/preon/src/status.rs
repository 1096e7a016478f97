//! `preon status`: what runs, and what boots next.

use std::io::Write;

use base::{ByteSize, Failure};
use generations::Generation;
use serde::Serialize;

use crate::{print, updates};
use host::Host;
use host::automatic::Summary;
use starts::Starts;

mod starts;

/// Say which generation runs, which one boots next, and what automatic updates have found
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What there is to say.
#[derive(Serialize)]
struct Told {
    /// Missing if the host does not run.
    running: Option<u64>,
    boots_next: u64,
    /// Boots of that one that were begun since it was wanted or found good.
    attempts: u32,
    /// The one that `preon health` found good last; missing before the first.
    good: Option<u64>,
    /// The one that gave way to another one; missing if that was not so.
    gave_way: Option<u64>,
    /// Why a boot of that one failed, or of the one that boots next, as far as anybody knows.
    failure: Option<String>,
    image: String,
    version: String,
    build: String,
    /// The release of the one that runs.
    kernel: String,
    /// What the generation that boots next needs, where that is another kernel.
    next_kernel: Option<String>,
    /// What says which kernel starts, where that is not `loader.conf` alone.
    loader: Starts,
    packages: usize,
    /// Layers of the generation that this is about: the running one, else the next.
    layers: usize,
    /// Their length.
    bytes: u64,
    generations: usize,
    /// What automatic updates have found; missing where there are none.
    updates: Option<Summary>,
}

impl Status {
    /// Prints it.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub(crate) fn run(&self, host: &Host, out: &mut dyn Write) -> Result<(), Failure> {
        let told = told(host)?;
        if self.json {
            return print::json(out, &told);
        }
        let running =
            told.running.map_or_else(|| "nothing".into(), |it| format!("generation {it}"));
        let good = told.good.map_or_else(|| "none yet".into(), |it| format!("generation {it}"));
        let next = told.next_kernel.as_ref().map(|next| match told.loader.fits {
            true => format!(", {next} after a restart"),
            false => format!("; generation {} needs {next}", told.boots_next),
        });
        let kernel = told.kernel.clone() + &next.unwrap_or_default();
        let mut lines = vec![
            ("Running", running),
            ("Boots next", format!("generation {}, attempts: {}", told.boots_next, told.attempts)),
            ("Good", good),
            ("System", format!("{} {}, build {}", told.image, told.version, told.build)),
            ("Kernel", kernel),
            ("Packages", told.packages.to_string()),
            ("Layers", format!("{}, {}", told.layers, ByteSize(told.bytes))),
            ("Generations", told.generations.to_string()),
        ];
        lines.extend(told.loader.lines().into_iter().map(|line| ("Loader", line)));
        if let Some(updates) = &told.updates {
            lines.push(("Updates", updates::lines(updates).join("\n")));
        }
        if let Some(generation) = told.gave_way {
            lines.push(("Gave way", format!("generation {generation}")));
        }
        if let Some(failure) = told.failure {
            lines.push(("Failure", failure));
        }
        let lines = lines.iter().map(|(name, value)| {
            format!("{name:12} {}\n", value.trim_end().replace('\n', "\n             "))
        });
        print::text(out, &lines.collect::<String>())
    }
}

fn told(host: &Host) -> Result<Told, Failure> {
    let manifest = host.manifest(None)?;
    let wanted = host.store.wanted()?;
    let some = |generation: Generation| (generation != Generation::NONE).then_some(generation.0);
    let ill = if wanted.failed == Generation::NONE { wanted.generation } else { wanted.failed };
    Ok(Told {
        running: host.running.map(|generation| generation.0),
        boots_next: wanted.generation.0,
        attempts: wanted.attempts,
        good: some(wanted.good),
        gave_way: some(wanted.failed),
        failure: host.store.failure(ill)?,
        image: manifest.image,
        version: manifest.version,
        build: manifest.build_id,
        kernel: host.kernel().map_or(manifest.kernel.release, |kernel| kernel.release),
        next_kernel: next_kernel(host, wanted.generation),
        loader: Starts::of(host, wanted.generation),
        packages: manifest.packages.len(),
        layers: manifest.layers.len(),
        bytes: manifest.layers.iter().map(|layer| layer.erofs_bytes + layer.verity_bytes).sum(),
        generations: host.store.generations()?.len(),
        updates: Summary::of(host)?,
    })
}

/// The release of the kernel that the next generation needs; where the one that runs has the same, what the loader calls
/// its image.
fn next_kernel(host: &Host, next: Generation) -> Option<String> {
    let running = host.kernel().ok()?;
    let kernel = host.store.manifest(next).ok().filter(|it| !running.fits(it))?.kernel;
    Some(if kernel.release == running.release { kernel.entry_id() } else { kernel.release })
}

#[cfg(test)]
mod tests {
    use crate::trial::Trial;

    #[test]
    fn status_tells_what_runs_and_what_boots_next() {
        let trial = Trial::new();
        trial.stage_second();
        trial.run(&["rollback", "2"]).unwrap();
        let text = trial.run(&["status"]).unwrap();
        for line in [
            "Running      generation 1\n",
            "Boots next   generation 2, attempts: 0\n",
            "System       minimal 0.1, build build1\n",
            "Generations  2\n",
        ] {
            assert!(text.contains(line), "no {line} in {text}");
        }
        let json = trial.run(&["status", "--json"]).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["running"], 1);
        assert_eq!(json["boots_next"], 2);
    }

    #[test]
    fn a_kernel_that_waits_is_told() {
        let trial = Trial::new();
        let release = trial.below(generations::kernel::RELEASE);
        base::file::replace(&release, b"6.12-preon\n").unwrap();
        assert!(trial.run(&["status"]).unwrap().contains("Kernel       6.12-preon\n"));
        let next = trial.stage_kernel("6.13-preon");
        trial.store().want(next).unwrap();
        let text = trial.run(&["status"]).unwrap();
        assert!(text.contains("Kernel       6.12-preon, 6.13-preon after a restart\n"), "{text}");
    }

    #[test]
    fn a_kernel_that_an_efi_variable_lets_start_is_told_with_the_way_back() {
        let trial = Trial::new();
        let release = trial.below(generations::kernel::RELEASE);
        base::file::replace(&release, b"6.12-preon\n").unwrap();
        base::file::replace(&trial.below(generations::ESP), b"").unwrap();
        let next = trial.stage_kernel("6.13-preon");
        let id = |it| trial.store().manifest(it).unwrap().kernel.entry_id();
        for id in [id(generations::Generation(1)), id(next)] {
            base::file::replace(&trial.below("/efi/EFI/Linux").join(id), &Trial::image()).unwrap();
        }
        trial.store().want(next).unwrap();
        let status = || trial.run(&["status"]).unwrap();
        assert!(!status().contains("Loader"), "{}", status());
        trial.set_variable("LoaderEntryOneShot", &id(generations::Generation(1)));
        let once =
            format!("Loader       starts {} the next time only", id(generations::Generation(1)));
        assert!(status().contains(&once), "{}", status());
        trial.set_variable("LoaderEntryDefault", &id(next));
        let set = "as the EFI variable LoaderEntryDefault says; loader.conf decides again after \
                   `bootctl set-default \"\"`\n";
        let always = format!("Loader       starts {} each time, {set}", id(next));
        assert!(status().contains(&always), "{}", status());
        assert!(
            status().contains("Kernel       6.12-preon, 6.13-preon after a restart\n"),
            "{}",
            status()
        );
        trial.set_variable("LoaderEntryDefault", &id(generations::Generation(1)));
        let text = status();
        let always = format!("each time, {set}             generation 2 does not fit it\n");
        assert!(text.contains(&always), "{text}");
        assert!(
            text.contains("Kernel       6.12-preon; generation 2 needs 6.13-preon\n"),
            "{text}"
        );
        let json: serde_json::Value =
            serde_json::from_str(&trial.run(&["status", "--json"]).unwrap()).unwrap();
        assert_eq!(json["loader"]["always"], *id(generations::Generation(1)));
        assert_eq!(json["loader"]["fits"], false);
        // What it names is not there: loader.conf decides.
        trial.set_variable("LoaderEntryDefault", "other.efi");
        assert!(!status().contains("each time"), "{}", status());
        std::fs::rename(trial.below("/efi"), trial.below("/away")).unwrap();
        assert!(
            status().contains("Loader       cannot be asked: the boot loader's partition"),
            "{}",
            status()
        );
    }

    #[test]
    fn a_generation_that_gave_way_is_named_with_the_reason() {
        let trial = Trial::new();
        trial.stage_second();
        let store = trial.store();
        store.bless(generations::Generation(1)).unwrap();
        trial.run(&["rollback", "2"]).unwrap();
        store.note_failure(generations::Generation(2), "docker\nno answer\n").unwrap();
        for _ in 0..=generations::choose::ATTEMPTS {
            let choice = store.choose(&generations::Booted::of_release("6.12-preon")).unwrap();
            store.count_attempt(&choice).unwrap();
        }
        let text = trial.run(&["status"]).unwrap();
        for line in [
            "Boots next   generation 1, attempts: 1\n",
            "Good         generation 1\n",
            "Gave way     generation 2\n",
            "Failure      docker\n             no answer\n",
        ] {
            assert!(text.contains(line), "no {line} in {text}");
        }
    }

    #[test]
    fn a_host_with_automatic_updates_tells_what_they_found_here_and_at_logins() {
        let trial = Trial::new();
        let told = |words: &[&str]| trial.run(&[&["status"], words].concat()).unwrap();
        assert!(!told(&[]).contains("Updates"), "{}", told(&[]));
        std::fs::create_dir_all(trial.below("/etc/preon")).unwrap();
        let config = trial.file("/etc/preon/updates.toml", "mode = \"notify\"");
        assert!(told(&[]).contains("Updates      not looked yet\n"), "{}", told(&[]));
        trial.stage_second();
        trial.run(&["rollback", "2"]).unwrap();
        std::fs::create_dir_all(trial.below("/var/lib/preon")).unwrap();
        trial.file(
            "/var/lib/preon/updates.json",
            r#"{"at": 60, "step": {"step": "wait", "until": 120, "why": "no maintenance window is open"},
                "staged": {"generation": 2, "at": 60, "plan": "x", "tried": false},
                "available": {"added": [{}], "changed": [{"closes": ["CVE-1"]}, {"closes": []}], "removed": []}}"#,
        );
        let expected = "Updates      3 packages to take, 1 of them close known flaws (looked 1970-01-01 00:01 UTC)\n             \
                        generation 2 is staged: a restart runs it\n             \
                        it waits until 1970-01-01 00:02 UTC: no maintenance window is open\n";
        assert!(told(&[]).contains(expected), "{}", told(&[]));
        let json: serde_json::Value = serde_json::from_str(&told(&["--json"])).unwrap();
        let updates = &json["updates"];
        assert_eq!((&updates["available"], &updates["closing"]), (&3.into(), &1.into()));
        assert_eq!(
            (&updates["staged"], &updates["step"]["until"]),
            (&2.into(), &"1970-01-01T00:02:00Z".into())
        );
        // It runs; then somebody else lets another one boot.
        trial.runs(2);
        assert!(!told(&[]).contains("staged"), "{}", told(&[]));
        trial.run(&["rollback", "1"]).unwrap();
        assert!(!told(&[]).contains("staged"), "{}", told(&[]));
        std::fs::write(config, "mode = 1").unwrap();
        assert!(
            told(&[]).contains("Updates      not looked yet\n             error: "),
            "{}",
            told(&[])
        );
    }

    #[test]
    fn a_machine_that_is_no_host_is_told_so() {
        let error = Trial::new().run_at("/nonexistent", &["status"]).unwrap_err();
        assert!(
            error.contains("there is no store at /nonexistent/run/preon/data/preon"),
            "{error}"
        );
        assert!(error.contains("hint: "), "{error}");
    }
}
