//! What says which kernel starts, where that is not `loader.conf` alone.

use generations::Generation;
use host::Host;
use host::loader::{LoaderError, Variables};
use serde::Serialize;

/// What EFI variables say of the kernel that starts.
#[derive(Serialize)]
pub(super) struct Starts {
    /// The image that starts each time, whatever `loader.conf` says.
    always: Option<String>,
    /// The entry that starts the next time only.
    once: Option<String>,
    /// Whether the generation that boots next fits what starts each time.
    pub(super) fits: bool,
    /// The generation that boots next.
    #[serde(skip)]
    next: Generation,
    /// Why nobody can tell.
    unknown: Option<String>,
}

impl Starts {
    /// What they say on this host, whose generation `next` boots next.
    pub(super) fn of(host: &Host, next: Generation) -> Self {
        let mut starts = Self { always: None, once: None, fits: true, next, unknown: None };
        if let Err(error) = starts.read(host) {
            starts.unknown = Some(error.to_string());
        }
        starts
    }

    fn read(&mut self, host: &Host) -> Result<(), LoaderError> {
        self.once = Variables::of(&host.root)?.once;
        self.always = host.overruled()?;
        if let (Some(entry), Ok(manifest)) = (&self.always, host.store.manifest(self.next)) {
            self.fits = manifest.kernels().any(|kernel| kernel.entry_id() == *entry);
        }
        Ok(())
    }

    /// What people are told, a line for each.
    pub(super) fn lines(&self) -> Vec<String> {
        let always = self.always.as_ref().map(|entry| {
            let misfit = match self.fits {
                true => String::new(),
                false => format!("\n{} does not fit it", self.next),
            };
            format!(
                "starts {entry} each time, as the EFI variable LoaderEntryDefault says; loader.conf decides again after \
                 `bootctl set-default \"\"`{misfit}"
            )
        });
        let once = self.once.as_ref().map(|entry| {
            format!(
                "starts {entry} the next time only, as the EFI variable LoaderEntryOneShot says"
            )
        });
        let unknown = self.unknown.as_ref().map(|why| format!("cannot be asked: {why}"));
        [always, once, unknown].into_iter().flatten().collect()
    }
}
