//! What a host tells of its automatic updates, in few words.

use base::explain;
use generations::StoreError;
use serde::Serialize;

use super::config::{Config, Mode};
use super::decide::Step;
use super::memory::Memory;
use crate::Host;
use crate::repositories::Silent;

/// What was found last, and what is to come. Moments are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// When the host looked last; missing before the first time.
    pub at: Option<u64>,
    /// How many packages would come, change or go.
    pub available: usize,
    /// How many of them close flaws that are known.
    pub closing: usize,
    /// The generation that was staged and waits for a restart.
    pub staged: Option<u64>,
    /// What was done last, or is waited for; missing if that failed.
    pub step: Option<Step>,
    /// Why the host looks no more, or why that failed last.
    pub failure: Option<String>,
    /// The repositories that could not be asked.
    pub silent: Vec<Silent>,
}

impl Summary {
    /// What `host` tells; nothing, where it takes no updates by itself.
    ///
    /// # Errors
    ///
    /// If the store cannot be read. Of a configuration and a memory that cannot be read, the summary tells.
    pub fn of(host: &Host) -> Result<Option<Self>, StoreError> {
        let mode = Config::load(&host.root).map(|config| config.mode);
        let memory = Memory::read(&host.root);
        let (mode, memory) = match (mode, memory) {
            (Ok(mode), Ok(memory)) => (mode, memory),
            (Err(error), _) => return Ok(Some(Self::failed(explain::render(&error)))),
            (_, Err(error)) => return Ok(Some(Self::failed(explain::render(&error)))),
        };
        if mode == Mode::Off {
            return Ok(None);
        }
        let wanted = host.store.wanted()?.generation.0;
        let waits = host.running.is_none_or(|running| running.0 != wanted);
        let staged = memory.staged.as_ref().map(|staged| staged.generation);
        let (available, closing) = counts(memory.available.as_ref());
        Ok(Some(Self {
            at: Some(memory.at).filter(|at| *at > 0),
            available,
            closing,
            staged: staged.filter(|staged| waits && *staged == wanted),
            step: memory.step,
            failure: memory.failure,
            silent: memory.silent,
        }))
    }

    fn failed(why: String) -> Self {
        Self { failure: Some(why), ..Self::default() }
    }

    /// Whether somebody who logs in should know: there is something newer, or nobody looks everywhere.
    pub fn is_news(&self) -> bool {
        let fails = self.failure.is_some() || !self.silent.is_empty();
        self.available > 0 || self.staged.is_some() || fails
    }
}

/// How many packages a plan is about, and how many of them close flaws.
fn counts(plan: Option<&serde_json::Value>) -> (usize, usize) {
    let list =
        |key: &str| plan.and_then(|plan| plan[key].as_array()).map_or(&[][..], Vec::as_slice);
    let available = ["added", "changed", "removed"].iter().map(|key| list(key).len()).sum();
    let closes =
        |it: &&serde_json::Value| it["closes"].as_array().is_some_and(|all| !all.is_empty());
    (available, list("changed").iter().filter(closes).count())
}
