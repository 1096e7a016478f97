//! What PID 1 says, in the kernel's log and so on every console.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError, TryLockError};

use base::file::FileError;
use sys::kernel_log::{KernelLog, Level};

static LOG: Mutex<Option<KernelLog>> = Mutex::new(None);

/// Opens the kernel's log; before that, messages go to standard error.
pub(crate) fn open() -> Result<(), FileError> {
    // Else the kernel drops what comes after the tenth line. Losing lines is no reason to stop.
    let _ = std::fs::write("/proc/sys/kernel/printk_devkmsg", "on");
    *LOG.lock().unwrap_or_else(PoisonError::into_inner) = Some(KernelLog::open("preon-init")?);
    Ok(())
}

/// Says what happens.
pub(crate) fn info(text: &dyn fmt::Display) {
    write(Level::Info, text);
}

/// Says what is odd but does not keep the host from booting.
pub(crate) fn warning(text: &dyn fmt::Display) {
    write(Level::Warning, text);
}

/// Says what failed, on all consoles even if the kernel was told to be silent.
pub(crate) fn failure(text: &dyn fmt::Display) {
    let _ = std::fs::write("/proc/sys/kernel/printk", "7"); // not possible: then as it is
    write(Level::Error, text);
}

fn write(level: Level, text: &dyn fmt::Display) {
    // Not `lock`: the panic hook may speak while this thread holds it.
    let mut log = match LOG.try_lock() {
        Ok(log) => Some(log),
        Err(TryLockError::Poisoned(log)) => Some(log.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    };
    match log.as_deref_mut().and_then(Option::as_mut) {
        Some(log) => log.write(level, text),
        // Not `eprintln`: it panics where there is no console.
        None => drop(writeln!(io::stderr(), "preon-init: {text}")),
    }
}
