//! One turn: look, decide, do.

mod slot;

use base::child::{self, Program};
use base::file::{self, FileError};
use base::progress::Progress;
use base::{Digest, Explain, Failure, Lock, explain};
use generations::{Generation, StoreError};
use packages::change::Wish;

use super::config::{Config, Mode, Reboot, What};
use super::decide::{Facts, Step, Waiting, decide, early};
use super::memory::{Memory, Staged};
use super::restart::Fate;
use super::wave::Offered;
use crate::health::systemctl;
use crate::holds::{Hold, Holds, Source, inhibitors};
use crate::repositories::Repositories;
use crate::transaction::{self, Asked, ChangeError, How, Transaction};
use crate::{Host, Root, housekeeping};

/// What the history says was asked for; also how a generation is known as one of ours.
const WORDS: &str = "automatic upgrade";

/// What takes a turn.
const SERVICE: &str = "preon-updates.service";

/// A turn cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// Another process is at it.
    #[error("another automatic update is under way")]
    UnderWay,
    /// The host has no number.
    #[error("/etc/machine-id names no machine")]
    NoMachine,
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for UpdateError {
    fn is_busy(&self) -> bool {
        matches!(self, Self::UnderWay)
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UnderWay => Some(format!("wait for it: `systemctl status {SERVICE}`")),
            Self::NoMachine => Some("make one: `systemd-machine-id-setup`".into()),
            Self::File(error) => error.hint(),
        }
    }
}

/// Looks what there is at `now` (seconds since 1970), and says what [`run`] would do first. Nothing is done, and the last
/// turn stays what is remembered as done.
///
/// # Errors
///
/// What the configuration, the repositories and the plan fail with.
pub fn check(host: &Host, now: u64, progress: &dyn Progress) -> Result<Memory, Failure> {
    let mut turn = Turn::new(host, now, progress)?;
    let plan = turn.look()?;
    let step = decide(now, &turn.config, &turn.facts(&plan)?);
    Ok(Memory { step: Some(step), ..turn.finish(Ok(()))? })
}

/// Looks what there is at `now` (seconds since 1970) and does what is to be done, as far as the configuration says.
/// What became of it is remembered, a failure too.
///
/// # Errors
///
/// What the configuration, the repositories and the transaction fail with. That nobody knows whether a restart is
/// welcome is no error: there is none then.
pub fn run(host: &Host, now: u64, progress: &dyn Progress) -> Result<Memory, Failure> {
    let mut turn = Turn::new(host, now, progress)?;
    turn.settle_restart();
    let done = turn.act();
    turn.finish(done)
}

/// The number of a host in a fleet; the machine's own does not follow from it.
///
/// # Errors
///
/// [`UpdateError`].
pub fn host_id(root: &Root) -> Result<String, UpdateError> {
    let machine = machine(root)?;
    let digest = Digest::of(format!("preon coordinator\n{machine}").as_bytes()).to_string();
    Ok(digest.chars().take(32).collect())
}

/// Source: machine-id(5); it is not to be shown to others.
fn machine(root: &Root) -> Result<String, UpdateError> {
    let text = file::read_text(&root.below("/etc/machine-id"))?;
    let text = text.trim();
    let good = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if good { Ok(text.to_owned()) } else { Err(UpdateError::NoMachine) }
}

struct Turn<'a> {
    host: &'a Host,
    running: Generation,
    now: u64,
    progress: &'a dyn Progress,
    config: Config,
    memory: Memory,
    _lock: Lock,
}

impl<'a> Turn<'a> {
    fn new(host: &'a Host, now: u64, progress: &'a dyn Progress) -> Result<Self, Failure> {
        let running = host.running.ok_or(ChangeError::Asleep)?;
        let config = Config::load(&host.root)?;
        let _lock = lock(&host.root)?;
        let memory = Memory::read(&host.root)?;
        Ok(Self { host, running, now, progress, config, memory, _lock })
    }

    /// Writes down what became of it.
    fn finish(mut self, done: Result<(), Failure>) -> Result<Memory, Failure> {
        self.memory.at = self.now;
        if done.is_err() {
            self.memory.silent.clear(); // the failure tells
        }
        self.memory.failure = done.as_ref().err().map(|it| explain::render(it.as_ref()));
        if done.is_err() {
            self.memory.step = None;
        }
        self.memory.write(&self.host.root)?;
        done.map(|()| self.memory)
    }

    fn act(&mut self) -> Result<(), Failure> {
        let step = self.steps()?;
        if let Some(at) = early(self.now, &self.config, &step) {
            self.come_again(at);
        }
        self.memory.step = Some(step);
        let restarts = matches!(self.memory.step, Some(Step::Restart { .. }));
        if !restarts && self.fate() == Some(Fate::Ahead) {
            self.give_back(); // it was asked for, did not happen, and is not to be any more
        }
        Ok(())
    }

    /// Asks for another turn at `at`; that this fails does no harm to what was done.
    fn come_again(&self, at: u64) {
        let mut command = Program::new(self.host.root.below("/usr/bin/systemd-run")).command();
        command.args(["--quiet", "--collect", "--timer-property=AccuracySec=1s"]);
        command.arg(format!("--on-active={}s", at.saturating_sub(self.now)));
        command.args(["systemctl", "start", "--no-block", SERVICE]);
        if let Err(error) = child::run(&mut command) {
            self.progress.note(&explain::render(&error));
        }
    }

    /// Does one step after the other, and returns the last one.
    fn steps(&mut self) -> Result<Step, Failure> {
        if self.config.mode == Mode::Off {
            self.memory.available = None;
            self.memory.silent.clear();
            return Ok(Step::Nothing { why: "automatic updates are off".into() });
        }
        let plan = self.look()?;
        let mut step = decide(self.now, &self.config, &self.facts(&plan)?);
        if let Step::Withdraw { .. } = step {
            self.withdraw()?;
            step = decide(self.now, &self.config, &self.facts(&plan)?);
        }
        if step == Step::Stage {
            self.stage(&plan)?;
            step = decide(self.now, &self.config, &self.facts(&plan)?);
        }
        match step {
            Step::Restart { reboot, generation } => self.restart(reboot, generation),
            step => Ok(step),
        }
    }

    /// Asks the repositories, and takes note of what they offer.
    fn look(&mut self) -> Result<Transaction, Failure> {
        self.note_tried()?; // first: what was booted may be why nobody can be asked any more
        let wish = self.wish();
        let plan = transaction::plan(self.host, &wish, self.progress)?;
        self.memory.silent.clone_from(&plan.silent);
        self.memory.see(self.now, publication(&self.host.root)?);
        self.memory.available =
            if plan.is_empty() { None } else { serde_json::to_value(&plan).ok() };
        let is_taken = matches!(self.waiting(&plan)?, Waiting::Ours { newest: true, .. });
        self.memory.wait(self.now, !plan.is_empty() && !is_taken);
        Ok(plan)
    }

    /// Takes note of whether what was staged was booted.
    fn note_tried(&mut self) -> Result<(), Failure> {
        let wanted = self.host.store.wanted()?;
        if let Some(staged) = &mut self.memory.staged {
            let it = Generation(staged.generation);
            let booted = wanted.generation == it && wanted.attempts > 0;
            staged.tried |= self.running == it || wanted.failed == it || booted;
        }
        Ok(())
    }

    fn wish(&self) -> Wish {
        Wish::Upgrade { names: Vec::new(), security: self.config.what == What::Security }
    }

    fn facts(&self, plan: &Transaction) -> Result<Facts, Failure> {
        let waiting = self.waiting(plan)?;
        let seen = self.memory.publication.as_ref();
        let since = seen.map_or(self.now, |seen| seen.at);
        let name = name_of(plan);
        let tried = |staged: &Staged| staged.tried && staged.plan == name;
        let is_newest = matches!(waiting, Waiting::Ours { newest: true, .. });
        let is_ours = matches!(waiting, Waiting::Ours { .. });
        let mut holds = Holds(&self.host.root).list(self.now)?;
        if self.config.mode == Mode::Apply && is_ours {
            holds.extend(inhibitors(&self.host.root).unwrap_or_else(|error| {
                let reason = explain::render(&error).trim_end().replace('\n', "; ");
                vec![Hold {
                    name: "systemd".into(),
                    reason,
                    until: None,
                    source: Source::Inhibitor,
                }]
            }));
        }
        Ok(Facts {
            machine: machine(&self.host.root)?,
            publication: seen.map(|seen| seen.name.clone()).unwrap_or_default(),
            offered: Offered { seen: since, waiting: self.memory.waiting_since.unwrap_or(since) },
            // What waits may be from a repository that cannot be asked now: it is still offered.
            available: !plan.is_empty() || (is_ours && !plan.silent.is_empty()),
            refused: !is_newest && self.memory.staged.as_ref().is_some_and(tried),
            waiting,
            holds,
        })
    }

    /// What boots next, by what its manifest says it is.
    fn waiting(&self, plan: &Transaction) -> Result<Waiting, Failure> {
        let store = &self.host.store;
        let wanted = store.wanted()?.generation;
        if wanted == self.running {
            return Ok(Waiting::Nothing);
        }
        let (next, now) = (store.manifest(wanted)?, store.manifest(self.running)?);
        let from_here = next.change.as_ref().filter(|change| change.from == self.running.0);
        if from_here.is_some_and(|change| change.asked == housekeeping::WORDS) {
            return Ok(Waiting::Nothing); // what runs, in fewer layers: nothing to wait for, and soon made again
        }
        let is_ours = |change: &formats::manifest::Change| {
            change.from == self.running.0 && change.asked.starts_with(WORDS)
        };
        let Some(change) = next.change.filter(is_ours) else {
            return Ok(Waiting::Foreign { generation: wanted.0 });
        };
        let staged = self.memory.staged.as_ref().filter(|it| it.generation == wanted.0);
        Ok(Waiting::Ours {
            generation: wanted.0,
            // The generation itself was made a moment after the turn began, which is `now` as long as that goes on.
            since: staged.map_or(change.at, |staged| staged.at),
            // While a repository is silent nobody knows what is the newest: what waits stays.
            newest: staged.is_some_and(|it| it.plan == name_of(plan) || !plan.silent.is_empty()),
            // The one that runs may be none of those that start by themselves.
            other_kernel: next.kernel.uki != now.kernel.uki
                || self.host.needs_another_kernel(wanted)?,
        })
    }

    /// Makes what is offered boot next, in place of what waits.
    fn stage(&mut self, plan: &Transaction) -> Result<(), Failure> {
        if self.host.store.wanted()?.generation != self.running {
            self.withdraw()?;
        }
        let words = match self.config.what {
            What::Security => format!("{WORDS} --security"),
            What::All => WORDS.to_owned(),
        };
        let asked = Asked { words, wish: self.wish(), how: How::Stage };
        let outcome = transaction::run(self.host, &asked, self.progress)?;
        let Some(generation) = outcome.generation else { return Ok(()) };
        self.memory.staged =
            Some(Staged { generation, at: self.now, plan: name_of(plan), tried: false });
        self.memory.waiting_since = None;
        Ok(self.memory.write(&self.host.root)?)
    }

    /// Lets what runs boot next.
    fn withdraw(&mut self) -> Result<(), Failure> {
        let _lock = self.host.store.lock()?;
        self.host.boots_next(self.running)?;
        self.memory.staged = None;
        Ok(())
    }

    /// Restarts, unless something is in the way; says what it did.
    fn restart(&mut self, reboot: Reboot, generation: u64) -> Result<Step, Failure> {
        let wait = |why: String| Ok(Step::Wait { until: None, why });
        // Whoever changes the host now is to come to an end first.
        let _lock = match self.host.store.lock() {
            Err(StoreError::Locked { .. }) => return wait("somebody changes the host".into()),
            lock => lock?,
        };
        if self.host.store.wanted()?.generation.0 != generation {
            return wait("somebody has chosen another generation".into());
        }
        if let Some(why) = self.take_slot(generation)? {
            return wait(why);
        }
        if let Some(staged) = &mut self.memory.staged {
            staged.tried = true;
        }
        let step = Step::Restart { reboot, generation };
        self.memory.step = Some(step.clone());
        self.memory.write(&self.host.root)?; // nobody knows how long we still live
        let verb = match reboot {
            Reboot::Soft => "soft-reboot",
            Reboot::Full => "reboot",
        };
        let mut command = systemctl(&self.host.root);
        // Who inhibits was just asked; systemctl would refuse for who is only logged in somewhere, too.
        if let Err(error) = child::run(command.args(["--check-inhibitors=no", verb])) {
            if let Some(staged) = &mut self.memory.staged {
                staged.tried = false;
            }
            self.give_back();
            return Err(error.into());
        }
        Ok(step)
    }
}

/// One turn at a time.
fn lock(root: &Root) -> Result<Lock, UpdateError> {
    let path = root.below("/var/lib/preon/updates.lock");
    file::create_dir_all(path.parent().unwrap_or(&path))?;
    Lock::now(&path)?.ok_or(UpdateError::UnderWay)
}

/// The name of what the repositories have: the same on all hosts that see the same.
fn publication(root: &Root) -> Result<String, Failure> {
    let repositories = Repositories(root);
    let mut text = String::new();
    for name in repositories.names()? {
        if let Some(found) = repositories.found(&name)? {
            text += &format!("{}\n", found.index());
        }
    }
    Ok(Digest::of(text.as_bytes()).to_string())
}

/// The name of a plan: the same for the same packages in the same versions.
fn name_of(plan: &Transaction) -> String {
    let added = plan.added.iter().map(|it| format!("+ {} {}\n", it.name, it.version));
    let changed = plan.changed.iter().map(|it| format!("= {} {}\n", it.name, it.to));
    let removed = plan.removed.iter().map(|it| format!("- {}\n", it.name));
    let text: String = added.chain(changed).chain(removed).collect();
    Digest::of(text.as_bytes()).to_string()
}
