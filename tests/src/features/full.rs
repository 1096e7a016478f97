//! What only the full kernel has.

use super::{BOOT, Host};

/// A module that the build has signed is loaded; the same one without its signature, or with a byte of it
/// changed, is not, though root asks.
pub(super) fn signed_modules(host: &Host) {
    let script = r#"
        test "$(uname -r)" = "$(basename "$(dirname "$(readlink -f /lib/modules/*-full/modules.dep)")")"
        file=/lib/modules/$(uname -r)/kernel/fs/xfs/xfs.ko
        modprobe --dry-run xfs
        # At its end: the signature, 8 bytes, the signature's length, a line. Documentation/admin-guide/module-signing.rst.
        tail -c 28 $file | grep -x '~Module signature appended~'
        length=$((0x$(tail -c 32 $file | head -c 4 | od -A n -t x1 | tr -d ' ')))
        head -c -$((length + 40)) $file > /run/unsigned.ko
        { head -c 5000 $file; printf x; tail -c +5002 $file; } > /run/changed.ko
        for other in unsigned changed; do
            refused insmod /run/$other.ko 2> /run/error; cat /run/error; grep 'Key was rejected' /run/error
        done
        refused grep -w xfs /proc/filesystems
        modprobe xfs
        grep -w xfs /proc/filesystems"#;
    host.prove("signed modules", script);
}

/// Types for BPF programs are there, of the kernel and of a module; system calls, functions and probes
/// put into them can be traced.
pub(super) fn tracing(host: &Host) {
    let script = r#"
        cd /run/tools/tmp; mkdir -p place
        refused ls /sys/module/nbd
        modprobe nbd; within 20 test -b /dev/nbd0
        test -s /sys/kernel/btf/vmlinux; test -s /sys/kernel/btf/nbd
        mount -t tracefs none /run/tools/tmp/place
        echo 1 > place/events/syscalls/sys_enter_openat/enable
        within 20 grep -m 1 sys_openat place/trace
        echo 0 > place/events/syscalls/sys_enter_openat/enable; echo > place/trace
        echo 'p:features do_sys_openat2' > place/kprobe_events; echo 1 > place/events/kprobes/features/enable
        within 20 grep -m 1 'features: (do_sys_openat2' place/trace
        echo 0 > place/events/kprobes/features/enable; echo > place/kprobe_events; echo > place/trace
        echo vfs_read > place/set_ftrace_filter; echo function > place/current_tracer
        within 20 grep -m 1 'vfs_read <-' place/trace
        echo nop > place/current_tracer; echo > place/set_ftrace_filter
        umount place; rm -r place"#;
    host.prove("BTF, tracing", script);
}

/// The system calls that `hardened` has not: io_uring, the sockets' own list, virtual machines. A kernel
/// that nobody signed is not booted into, by either call.
pub(super) fn system_calls(host: &Host) {
    host.vm.copy_in(&host.host_image.file("preon.efi"), "/run/tools/tmp/preon.efi");
    let script = r#"
        if grep -q -w svm /proc/cpuinfo; then modprobe kvm_amd; fi
        if grep -q -w vmx /proc/cpuinfo; then modprobe kvm_intel; fi
        if grep -q -w -e svm -e vmx /proc/cpuinfo; then within 20 test -c /dev/kvm; fi
        tool python3 - <<'END'
import ctypes, errno, fcntl, os, socket, struct
call = ctypes.CDLL(None, use_errno=True).syscall
def failure(*words):
    return errno.errorcode[ctypes.get_errno()] if call(*words) < 0 else "none"
assert failure(425, 8, ctypes.create_string_buffer(120)) == "none", "io_uring_setup"
if os.path.exists("/dev/kvm"):
    machine = os.open("/dev/kvm", os.O_RDWR)
    assert fcntl.ioctl(machine, 0xAE00) == 12 and fcntl.ioctl(machine, 0xAE01) > 0, "KVM"
diag = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)
diag.send(struct.pack("=IHHIIBBBBI48s", 72, 20, 0x301, 1, 0, 2, 6, 0, 0, 1 << 10, bytes(48)))
assert struct.unpack_from("=IH", diag.recv(8192))[1] == 20, "a listening socket"
image = open("/tmp/preon.efi", "rb").read()
size, _, _, start = struct.unpack_from("=IIII", image, image.index(b".linux") + 8)
kernel = os.memfd_create("kernel")
os.write(kernel, image[start:start + size])
refusal = failure(320, kernel, -1, 1, b"", 4)
assert refusal in ("EPERM", "ENODATA", "EKEYREJECTED", "ENOKEY"), refusal
assert failure(246, 0, 0, 0, 0x3E0000) in ("EPERM", "ENOSYS")
END
        rm /run/tools/tmp/preon.efi"#;
    host.prove("system calls of the full kernel", script);
}

/// A crashed program leaves its memory, where the host says so.
pub(super) fn core_dumps(host: &Host) {
    let script = r#"
        pattern=$(cat /proc/sys/kernel/core_pattern)
        echo /run/core > /proc/sys/kernel/core_pattern
        (ulimit -c unlimited; refused bash -c 'kill -SEGV $$')
        test -s "$(ls /run/core*)"; rm /run/core*; echo $pattern > /proc/sys/kernel/core_pattern"#;
    host.prove("core dumps", script);
}

/// The loader boots the image's other kernel when it is told to, and a container runs there too.
pub(super) fn the_other_kernel(host: &mut Host) {
    let entries = host.vm.run("systemctl reboot --boot-loader-entry=help");
    let other = entries.lines().find(|entry| entry.contains("_hardened_")).unwrap();
    host.vm.reboot_by(&format!("systemctl reboot --boot-loader-entry={other}"));
    host.vm.wait_until_booted(BOOT);
    let script = r"
        case $(uname -r) in *-hardened) ;; *) uname -r; exit 1 ;; esac
        refused ls /proc/modules
        docker run --rm $IMAGE cat /proc/self/attr/current | grep 'docker-default (enforce)'";
    host.prove("the other kernel", script);
}
