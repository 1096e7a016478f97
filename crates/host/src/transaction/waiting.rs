//! What boots next and is not seen yet: what is installed there, so that a change of it can be planned.
//!
//! Its manifest names the packages. What they need is in its own list of packages if its uppermost layer is mounted (after
//! going back); otherwise each package is one that runs, too, or is at hand where it was fetched, or a repository has it.

use std::collections::BTreeMap;

use base::Failure;
use base::file;
use formats::deb822::Writer;
use formats::manifest::{Manifest, Package};
use generations::stack::live;
use packages::change::State;
use packages::deb::Deb;

use super::prepare::{self, state_of};
use super::{ChangeError, Host};
use crate::repositories::{Opened, Repositories};

/// What is installed in the generation of `manifest`, which does not run.
///
/// # Errors
///
/// [`ChangeError::Unseen`] if nobody knows what one of its packages needs.
pub(super) fn state(host: &Host, manifest: &Manifest, opened: &[Opened]) -> Result<State, Failure> {
    let run = host.root.below(generations::RUN);
    let alone = manifest.layers.last().map(|layer| live::place(layer, &run));
    let list = alone.map(|folder| folder.join(prepare::STATUS)).filter(|list| list.exists());
    if let Some(list) = list {
        return state_of(manifest, &file::read_text(&list)?);
    }
    let running = host.manifest(None)?;
    let seen: BTreeMap<_, _> = running.packages.iter().map(|it| (&it.name, it.deb)).collect();
    let mut text = prepare::status(host)?;
    for package in &manifest.packages {
        if seen.get(&package.name) != Some(&package.deb) {
            // The last one of a name counts.
            text += &format!("\n{}\n", paragraph(host, package, opened)?);
        }
    }
    state_of(manifest, &text)
}

/// What a package says of itself.
fn paragraph(host: &Host, package: &Package, opened: &[Opened]) -> Result<String, Failure> {
    if let Some(deb) = Repositories(&host.root).cache().get(&package.deb)? {
        let mut writer = Writer::default();
        for (name, value) in Deb::open(&deb)?.control().fields() {
            writer.field(name, value)?;
        }
        return Ok(writer.finish());
    }
    let all = opened.iter().flat_map(|repository| repository.index.stanzas());
    let mut same = all.filter(|it| {
        it.name() == package.name.as_str() && it.download().is_ok_and(|it| it.digest == package.deb)
    });
    let unseen = || ChangeError::Unseen { package: package.name.clone() };
    Ok(same.next().ok_or_else(unseen)?.text().to_owned())
}
