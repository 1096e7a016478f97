//! PID 1 of the initrd: finds the store on the disk that the loader came from, stacks the wanted
//! generation and becomes systemd. What it does is in `boot`; here is what happens when that fails.

mod attempt;
mod boot;
mod command_line;
mod disk;
mod grow;
mod heal;
mod log;
mod rescue;
#[cfg(test)]
mod sample;

use std::convert::Infallible;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::explain::render;
use base::{Explain, Failure};
use generations::Store;

use crate::command_line::CommandLine;

/// How long all of a boot may take here: a disk that never answers holds whoever reads it for ever.
const DEADLINE: Duration = Duration::from_secs(600);

/// How long a message stays to be read before the machine restarts.
const DELAY: Duration = Duration::from_secs(10);

/// Whether nothing more will happen, so that the deadline means nothing either.
static STOPPED: AtomicBool = AtomicBool::new(false);

fn main() {
    std::panic::set_hook(Box::new(panicked));
    // Ends with this program: when systemd takes its place, or the machine restarts.
    std::thread::spawn(|| {
        std::thread::sleep(DEADLINE);
        if STOPPED.load(Ordering::SeqCst) {
            return;
        }
        let seconds = DEADLINE.as_secs();
        log::failure(&format!(
            "error: the host is not up after {seconds} seconds\nhint: check the disk: something waits for it\n"
        ));
        restart();
    });
    let Err(failure) = start();
    log::failure(&render(&*failure));
    restart();
}

/// Returns only with the reason why there is no systemd in place of this program.
fn start() -> Result<Infallible, Failure> {
    boot::mount_kernel_filesystems()?;
    log::open()?;
    boot::run(&command_line()?)
}

fn command_line() -> Result<CommandLine, Failure> {
    let text = base::file::read_text("/proc/cmdline".as_ref())?;
    Ok(CommandLine::parse(&text))
}

/// The kernel panics when PID 1 ends, with a message that helps nobody.
fn panicked(info: &PanicHookInfo<'_>) {
    log::failure(&format!("error: {info}\nhint: report this as a bug of preon-init\n"));
    restart();
}

/// Says why the machine stays as it is, and keeps it so: a restart would end here again. The kernel
/// would panic, and with `panic=` restart, if this program ended.
///
/// Where damaged layers are the reason, it goes on once somebody has brought them.
fn stop(store: &Store, failure: &dyn Explain) -> ! {
    STOPPED.store(true, Ordering::SeqCst);
    log::failure(&render(failure));
    match rescue::wait(store) {
        Ok(true) => restart(),
        Ok(false) => {}
        Err(error) => log::failure(&render(&*error)),
    }
    log::failure(&"stopped: every restart would end here; switch the machine off, or restart it");
    loop {
        std::thread::park();
    }
}

/// Restarts the machine after a delay: the next attempt may go better, or another generation or
/// another entry of the loader falls in. It never hangs.
fn restart() -> ! {
    let delay = command_line().ok().and_then(|words| words.panic_delay()).unwrap_or(DELAY);
    log::failure(&format!("restarting in {} seconds", delay.as_secs()));
    std::thread::sleep(delay);
    let error = sys::power::reboot();
    log::failure(&format!("cannot restart: {error}"));
    // The kernel's own `panic=` is what is left.
    std::process::abort()
}
