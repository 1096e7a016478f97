//! Several repositories are asked: what those have that answer, and why the others did not.

use std::error::Error;

use base::progress::Progress;
use base::{Explain, Failure, explain, parallel};
use serde::{Deserialize, Serialize};

/// How many repositories are asked at once: they are waited for, most of the time.
const AT_ONCE: usize = 8;

/// What asking repositories came to.
pub struct Asked<T> {
    /// What those answered that did.
    pub answered: Vec<T>,
    /// The others.
    pub silent: Vec<NotAsked>,
}

/// A repository could not be asked, or what it answers is not believed.
#[derive(Debug)]
pub struct NotAsked {
    /// What it is called.
    pub name: String,
    /// Why.
    pub why: Failure,
}

/// The same as it is told: nobody knows what this repository has now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silent {
    /// What it is called.
    pub name: String,
    /// Why it could not be asked, with all causes and what to do.
    pub why: String,
}

impl std::fmt::Display for NotAsked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the repository {} could not be asked", self.name)
    }
}

impl Error for NotAsked {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.why)
    }
}

impl Explain for NotAsked {
    fn hint(&self) -> Option<String> {
        self.why.hint()
    }

    fn is_busy(&self) -> bool {
        self.why.is_busy()
    }
}

impl NotAsked {
    /// As programs are told.
    pub fn told(&self) -> Silent {
        let why = explain::render(self.why.as_ref()).trim_end().to_owned();
        Silent { name: self.name.clone(), why }
    }
}

impl<T> Asked<T> {
    /// Asks all at once, each with its name, whichever of them fails: one that does not answer delays nobody's answer but
    /// its own. Answers are in the order of those who were asked.
    pub(crate) fn each<R: Sync>(
        all: Vec<(String, R)>,
        ask: impl Fn(&str, &R) -> Result<T, Failure> + Sync,
    ) -> Self
    where
        T: Send,
    {
        let told = parallel::each(&all, AT_ONCE, |(name, repository)| ask(name, repository));
        let mut asked = Self { answered: Vec::new(), silent: Vec::new() };
        for ((name, _), told) in all.into_iter().zip(told) {
            match told {
                Ok(answer) => asked.answered.push(answer),
                Err(why) => asked.silent.push(NotAsked { name, why }),
            }
        }
        asked
    }

    /// What was answered, if each one did.
    ///
    /// # Errors
    ///
    /// Why the first one did not.
    pub(crate) fn all(self) -> Result<Vec<T>, Failure> {
        self.silent.into_iter().next().map_or(Ok(self.answered), |silent| Err(silent.why))
    }

    /// The same if at least one answered; of each that did not, there is a warning.
    ///
    /// # Errors
    ///
    /// If all are silent: why the first one is.
    pub(crate) fn some(mut self, progress: &dyn Progress) -> Result<Self, Failure> {
        let fatal = self.answered.is_empty() && !self.silent.is_empty();
        let fatal = fatal.then(|| self.silent.remove(0).why);
        for silent in &self.silent {
            progress.note(explain::warning(silent).trim_end());
        }
        fatal.map_or(Ok(self), Err)
    }
}

/// Their names, to be told of: `the repository extra`, `the repositories extra, more`.
pub(crate) fn named(names: &[String]) -> String {
    let noun = if names.len() == 1 { "repository" } else { "repositories" };
    format!("the {noun} {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_is_asked_while_another_one_has_not_answered() {
        const PATIENCE: Duration = Duration::from_secs(60);
        let (late, waits) = channel();
        let ways =
            [std::sync::Mutex::new((None, Some(waits))), std::sync::Mutex::new((Some(late), None))];
        let names = ["first", "second"].map(str::to_owned);
        let asked = Asked::each(names.into_iter().zip(ways).collect(), |name, ways| {
            let mut ways = ways.lock().unwrap();
            if let Some(waits) = ways.1.take() {
                waits.recv_timeout(PATIENCE).expect("the second one is asked meanwhile");
            }
            if let Some(late) = ways.0.take() {
                late.send(()).unwrap();
            }
            Ok(name.to_owned())
        });
        assert_eq!(asked.answered, ["first", "second"]);
    }
}
