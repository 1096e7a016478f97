//! What only the full kernel has.

use super::Host;

/// A module that the build has signed is loaded; the same one without its signature, or with a bit of it
/// turned, is not, though root asks.
pub(super) fn signed_modules(host: &Host) {
    let script = r#"
        test "$(uname -r)" = "$(basename "$(dirname "$(readlink -f /lib/modules/*-full/modules.dep)")")"
        file=/lib/modules/$(uname -r)/kernel/fs/xfs/xfs.ko
        modprobe --dry-run xfs
        head -c -200 $file > /run/unsigned.ko
        refused insmod /run/unsigned.ko
        { head -c 5000 $file; printf x; tail -c +5002 $file; } > /run/changed.ko
        refused insmod /run/changed.ko
        refused grep -w xfs /proc/filesystems
        modprobe xfs
        grep -w xfs /proc/filesystems"#;
    host.prove("signed modules", script);
}

/// Types for BPF programs are there, of the kernel and of a module, and system calls can be traced.
pub(super) fn tracing(host: &Host) {
    let script = r#"
        cd /run/tools/tmp; mkdir -p place
        refused ls /sys/module/nbd
        modprobe nbd; within 20 test -b /dev/nbd0
        test -s /sys/kernel/btf/vmlinux; test -s /sys/kernel/btf/nbd
        mount -t tracefs none /run/tools/tmp/place
        echo 1 > place/events/syscalls/sys_enter_openat/enable
        within 20 grep -m 1 sys_openat place/trace
        echo 0 > place/events/syscalls/sys_enter_openat/enable
        umount place; rm -r place"#;
    host.prove("BTF, tracing", script);
}
