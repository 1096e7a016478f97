//! The slot that a host takes of its fleet for a restart, and gives back when that is over.

use base::file;
use base::{Failure, explain};

use super::{Turn, host_id};
use crate::Root;
use crate::automatic::memory::Restarting;
use crate::automatic::restart::{Fate, fate};
use crate::coordinator::{Config, Coordinator, CoordinatorError, Holder, Taken};

impl Turn<'_> {
    /// Asks the rest of the fleet; says why not, if a restart has to wait.
    pub(super) fn take_slot(&mut self, generation: u64) -> Result<Option<String>, Failure> {
        let asked = self.config.coordinator.clone();
        let restart =
            Restarting { generation, at: self.now, slot: asked.is_some(), asked, kept: None };
        let Some(config) = &restart.asked else {
            self.memory.restart = Some(restart);
            return Ok(None);
        };
        if let Some(group) = self.left_group(config) {
            self.give_back();
            if self.memory.restart.is_some() {
                return Ok(Some(format!("the slot of the group {group} cannot be given back")));
            }
        }
        let before = self.memory.restart.replace(restart.clone());
        // Before anybody is asked: whoever is killed meanwhile may have a slot.
        self.memory.write(&self.host.root)?;
        let id = host_id(&self.host.root)?;
        let holder = Holder { name: host_name(&self.host.root, &id), since: self.now, generation };
        let taken = Coordinator::new(&self.host.root, config)
            .map_err(CoordinatorError::from)
            .and_then(|coordinator| coordinator.acquire(&id, &holder));
        let why = match taken {
            Ok(Taken::Granted) => return Ok(None),
            Ok(Taken::Full(holders)) => {
                format!("all slots of the group {} are taken: {holders}", config.group)
            }
            Err(error) => {
                let why = explain::render(&error).trim_end().to_owned();
                let had_one = before.as_ref().is_some_and(|before| before.slot);
                if matches!(error, CoordinatorError::Unsure { .. }) && !had_one {
                    return Ok(Some(why)); // perhaps there is one now: it is remembered, and given back
                }
                why
            }
        };
        self.memory.restart = before;
        Ok(Some(why))
    }

    /// The group of which this host has a slot still, if that is another one than what it belongs to now.
    fn left_group(&self, config: &Config) -> Option<String> {
        let restart = self.memory.restart.as_ref().filter(|restart| restart.slot)?;
        let group = &restart.asked.as_ref()?.group;
        (*group != config.group).then(|| group.clone())
    }

    pub(super) fn fate(&self) -> Option<Fate> {
        let wanted = self.host.store.wanted().ok()?;
        self.memory.restart.as_ref().map(|restart| fate(restart, self.running, &wanted))
    }

    /// Gives back the slot of a restart that is over; of any other one, notes why not.
    pub(super) fn settle_restart(&mut self) {
        match self.fate() {
            Some(Fate::Over) => self.give_back(),
            Some(Fate::Open(why)) => {
                if let Some(restart) = &mut self.memory.restart {
                    restart.kept = Some(why);
                }
            }
            Some(Fate::Ahead) | None => {}
        }
    }

    /// Forgets the restart, and gives back its slot. Where that fails, the next turn does it.
    pub(super) fn give_back(&mut self) {
        let Some(restart) = &mut self.memory.restart else { return };
        let config = restart.coordinator(self.config.coordinator.as_ref());
        if let (true, Some(config)) = (restart.slot, config) {
            let release = || -> Result<(), Failure> {
                let id = host_id(&self.host.root)?;
                Coordinator::new(&self.host.root, &config)?.release(&id)?;
                Ok(())
            };
            if let Err(error) = release() {
                let told = explain::render(error.as_ref());
                self.progress.note(&told);
                restart.kept = Some(told.trim_end().to_owned());
                return;
            }
        }
        self.memory.restart = None;
    }
}

/// What people call the host.
fn host_name(root: &Root, id: &str) -> String {
    let text = file::read_text(&root.below("/proc/sys/kernel/hostname")).unwrap_or_default();
    let name = text.trim();
    if name.is_empty() { id.to_owned() } else { name.to_owned() }
}
