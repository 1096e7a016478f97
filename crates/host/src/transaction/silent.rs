//! Plans while a repository is silent: it is as if it had nothing. That must neither take packages away nor make them
//! older, and what cannot be done for want of it must be told so.

use base::{Explain, Failure};
use packages::change::{ChangeError, Direction, Host, Plan, Wish};

use crate::repositories::{NotAsked, named};

/// A change cannot be made without the repositories that could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SilentError {
    /// What is known of the others does not suffice.
    #[error("the change cannot be made without {}, which could not be asked", named(names))]
    Needed {
        /// Their names.
        names: Vec<String>,
        /// What is wrong without them.
        source: ChangeError,
    },
    /// They might have what makes this needless.
    #[error(
        "{package} would {becomes}, which may only be so because {} could not be asked",
        named(names)
    )]
    Unasked {
        /// Their names.
        names: Vec<String>,
        /// Which package.
        package: String,
        /// What would become of it.
        becomes: &'static str,
    },
}

impl Explain for SilentError {
    fn hint(&self) -> Option<String> {
        let (names, first) = match self {
            Self::Needed { names, source } => (names, source.hint()),
            Self::Unasked { names, .. } => (names, None),
        };
        let name = names.first()?;
        let wait = format!(
            "try again once `preon refresh` can ask it, or do without it: `preon repo remove {name}`"
        );
        Some(first.map_or(wait.clone(), |hint| format!("{hint}; or {wait}")))
    }
}

/// Works out what follows from `wish`, if that follows whatever the `silent` repositories have.
pub(crate) fn plan<'a>(
    host: &Host<'a>,
    wish: &Wish,
    silent: &[NotAsked],
) -> Result<Plan<'a>, Failure> {
    let plan = host.plan(wish).map_err(|error| needed(error, silent))?;
    match unasked(&plan, wish) {
        Some((package, becomes)) if !silent.is_empty() => {
            let (package, names) = (package.to_owned(), names(silent));
            Err(SilentError::Unasked { names, package, becomes }.into())
        }
        _ => Ok(plan),
    }
}

/// What is told of an error that the `silent` repositories may be the reason of.
pub(crate) fn needed(source: ChangeError, silent: &[NotAsked]) -> Failure {
    match source {
        ChangeError::Unknown { .. }
        | ChangeError::NoVersion { .. }
        | ChangeError::NoOlder { .. }
        | ChangeError::Unsolvable { .. }
            if !silent.is_empty() =>
        {
            SilentError::Needed { names: names(silent), source }.into()
        }
        source => source.into(),
    }
}

fn names(silent: &[NotAsked]) -> Vec<String> {
    silent.iter().map(|it| it.name.clone()).collect()
}

/// A package that goes or gets older although that was not asked for, and what becomes of it.
fn unasked<'a>(plan: &Plan<'a>, wish: &Wish) -> Option<(&'a str, &'static str)> {
    let removes = matches!(wish, Wish::Remove { .. } | Wish::Autoremove);
    let removed = plan.removed.first().filter(|_| !removes);
    let older = plan.changed.iter().filter(|it| it.direction == Direction::Downgrade);
    let mut older = older.filter(|it| !asks_for(wish, it.to.name(), it.to.version_text()));
    let removed = removed.map(|it| (it.package.name(), "go"));
    removed.or_else(|| older.next().map(|it| (it.to.name(), "get older")))
}

/// Whether the wish names this version of this package.
fn asks_for(wish: &Wish, name: &str, version: &str) -> bool {
    let is = |it: &formats::PackageName, wished: Option<&formats::Version>| {
        it.as_str() == name && wished.is_some_and(|it| it.as_str() == version)
    };
    match wish {
        Wish::Install(all) => all.iter().any(|it| is(&it.name, it.version.as_ref())),
        Wish::Downgrade { name, version } | Wish::Pin { name, version } => {
            is(name, version.as_ref())
        }
        _ => false,
    }
}
