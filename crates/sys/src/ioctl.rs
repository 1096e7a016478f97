//! The two shapes of `ioctl` that we use, each with one `unsafe` place to argue about.

use std::ffi::c_void;
use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};

/// The kernel reads and perhaps overwrites a value of type `T`.
struct Exchange<'a, T: ?Sized> {
    opcode: Opcode,
    value: &'a mut T,
}

// SAFETY: `exchange`'s caller promises that the opcode takes a pointer to a `T`; the borrow keeps
// the value alive and unaliased during the call, and the output is only the returned number.
unsafe impl<T: ?Sized> Ioctl for Exchange<'_, T> {
    type Output = IoctlOutput;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(self.value).cast()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> rustix::io::Result<IoctlOutput> {
        Ok(out)
    }
}

/// The kernel takes a plain number, no pointer.
struct Number {
    opcode: Opcode,
    value: usize,
}

// SAFETY: `number`'s caller promises that the opcode's argument is not a pointer, so the kernel
// touches no memory of ours.
unsafe impl Ioctl for Number {
    type Output = IoctlOutput;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::without_provenance_mut(self.value)
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> rustix::io::Result<IoctlOutput> {
        Ok(out)
    }
}

/// Gives `value` to the kernel, which may overwrite it; returns the call's own result.
///
/// # Safety
///
/// The opcode must take a pointer to exactly such a value: at most `size_of_val(value)` bytes are
/// read and written, whatever the kernel writes is a valid `T`, and pointers inside `T` are valid
/// for what the opcode does with them.
pub(crate) unsafe fn exchange<T: ?Sized>(
    fd: impl AsFd,
    opcode: Opcode,
    value: &mut T,
) -> io::Result<IoctlOutput> {
    // SAFETY: passed on to our caller, see above.
    Ok(unsafe { ioctl(fd, Exchange { opcode, value }) }?)
}

/// Gives the number `value` to the kernel; returns the call's own result.
///
/// # Safety
///
/// The opcode must not take its argument as a pointer.
pub(crate) unsafe fn number(
    fd: impl AsFd,
    opcode: Opcode,
    value: usize,
) -> io::Result<IoctlOutput> {
    // SAFETY: passed on to our caller, see above.
    Ok(unsafe { ioctl(fd, Number { opcode, value }) }?)
}
