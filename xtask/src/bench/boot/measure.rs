//! One boot, measured from inside by a unit that comes in as a credential.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use testkit::Builder;
use testkit::vm::VmError;
use testkit::wait::until;

/// Emulation that counts instructions is slow.
const LIMIT: Duration = Duration::from_secs(1800);

/// Room for the container's image.
const DISK_BYTES: u64 = 6_000_000_000;

/// The unit begins with the first ones of multi-user.target.
const UNIT: &str = "\
[Unit]
Description=Measurement of this boot
Wants=docker.service

[Service]
ImportCredential=measure.*
ExecStart=/bin/sh ${CREDENTIALS_DIRECTORY}/measure.script
ExecStopPost=/bin/systemctl --no-block poweroff
StandardError=journal+console
";

/// At each mark: seconds since the kernel began, and the hundredths of them in which the processor had
/// nothing to do, with and without a task that waited for the disk. How long a disk takes is the
/// emulating machine's affair, even where instructions are counted. Whether the rest of the system
/// came up well is not asked: only that it has.
const SCRIPT: &str = r#"
set -e
mark() {
    read -r up _ < /proc/uptime
    read -r _ _ _ _ idle waiting _ < /proc/stat
    echo "mark $1 $up $idle $waiting" > /dev/ttyS1
}
mark systemd
systemctl start docker.service
docker version > /dev/null
mark docker
systemctl is-system-running --wait > /dev/null || true
while read -r name value _; do
    case $name in
        MemTotal:) total=$value ;;
        MemAvailable:) available=$value ;;
    esac
done < /proc/meminfo
echo "memory $((total - available)) kB" > /dev/ttyS1
image=$(docker load < /dev/vdb)
mark loaded
docker run --rm "${image#Loaded image: }" /bin/sh -c 'echo hello'
mark container
mkdir /run/loop
mount -t tmpfs -o exec,mode=700 loop /run/loop
cp "$CREDENTIALS_DIRECTORY/measure.loop" /run/loop/run
chmod 700 /run/loop/run
mark before-loop
/run/loop/run
mark after-loop
"#;

/// What the known loop executes, in billions of instructions.
pub(super) const LOOP: f64 = 2.0;

/// What one boot showed.
#[derive(Debug)]
pub(super) struct Marks {
    /// By the host's clock, seconds since power-on.
    seen: BTreeMap<String, f64>,
    /// By the guest's clock, seconds that it was not idle.
    busy: BTreeMap<String, f64>,
    /// Used memory once all has started and before the first container, in MB.
    pub(super) used_memory_mb: f64,
}

impl Marks {
    /// Seconds from power-on to a mark; what lies between Docker's answer and the
    /// container, waiting for the rest of the system and loading the image, is not counted.
    pub(super) fn wall(&self, mark: &str) -> f64 {
        without_load(&self.seen, mark)
    }

    /// Seconds of work from the kernel's start to a mark; with the same left out.
    pub(super) fn busy(&self, mark: &str) -> f64 {
        without_load(&self.busy, mark)
    }

    /// Seconds of work in the known loop.
    pub(super) fn known_loop(&self) -> f64 {
        at(&self.busy, "after-loop") - at(&self.busy, "before-loop")
    }
}

fn at(marks: &BTreeMap<String, f64>, mark: &str) -> f64 {
    marks.get(mark).copied().unwrap_or(f64::NAN)
}

/// The image is loaded when the system has settled and its memory was read.
fn without_load(marks: &BTreeMap<String, f64>, mark: &str) -> f64 {
    let loading = if mark == "container" { at(marks, "loaded") - at(marks, "docker") } else { 0.0 };
    at(marks, mark) - loading
}

/// Boots `disk` in `qemu`, runs a container from the image in `container`, and powers off.
pub(super) fn boot(qemu: &Path, disk: &Path, container: &Path, counting: bool) -> Result<Marks> {
    let mut machine = Builder::new(disk)
        .qemu(qemu)
        .disk_bytes(DISK_BYTES)
        .extra_disk(container)
        .report()
        .credential("measure.script", SCRIPT.as_bytes())
        .credential("measure.loop", &loop_program())
        .unit("measure.service", UNIT);
    if counting {
        machine = machine.count_instructions();
    }
    let start = Instant::now();
    let mut vm = machine.try_start().map_err(|error| anyhow!(error))?;
    let mut seen = BTreeMap::new();
    let watched = until("the measurement to end", LIMIT, || {
        for (mark, _) in marks(&vm.report()) {
            seen.entry(mark).or_insert_with(|| start.elapsed().as_secs_f64());
        }
        Ok::<_, VmError>((!vm.is_running()).then_some(()))
    });
    let ended = watched.and_then(|()| vm.try_wait_until_off(Duration::from_secs(10)));
    let report = vm.report();
    let evidence = || format!("{report}\n{}", vm.evidence());
    ended.with_context(evidence)?;
    let busy = marks(&report).into_iter().collect();
    let used_memory_mb = memory_mb(&report).with_context(evidence)?;
    Ok(Marks { seen, busy, used_memory_mb })
}

/// The marks in a report: name, and how many seconds the processor has worked until then.
fn marks(report: &str) -> Vec<(String, f64)> {
    let mark = |line: &str| {
        // The firmware writes to the same port and does not end its line.
        let (_, mark) = line.trim().rsplit_once("mark ")?;
        let mut fields = mark.split(' ');
        let name = fields.next()?.to_owned();
        let mut number = || fields.next()?.parse::<f64>().ok();
        let (up, idle, waiting) = (number()?, number()?, number()?);
        Some((name, up - (idle + waiting) / 100.0))
    };
    report.lines().filter_map(mark).collect()
}

fn memory_mb(report: &str) -> Option<f64> {
    let line = report.lines().find_map(|line| line.trim().strip_prefix("memory "))?;
    let kilobytes: f64 = line.strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024.0 / 1e6)
}

/// A whole program of a billion turns of two instructions: an ELF header, one segment, 18 bytes
/// of code.
///
/// Source: System V ABI, "Object files"; Intel SDM volume 2.
fn loop_program() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let code: &[u8] = &[
        0xb9, 0x00, 0xca, 0x9a, 0x3b, // mov ecx, 1_000_000_000
        0xff, 0xc9, // dec ecx
        0x75, 0xfc, // jnz to the dec
        0x31, 0xff, // xor edi, edi
        0xb8, 0x3c, 0, 0, 0, // mov eax, 60: exit
        0x0f, 0x05, // syscall
    ];
    let size = HEADERS + code.len() as u64;
    #[rustfmt::skip]
    let fields: [(u64, usize); 21] = [ // value and width in bytes
        (2, 2), (62, 2), (1, 4), // an executable, for x86-64
        (BASE + HEADERS, 8), (64, 8), (0, 8), // entry, program headers, no section headers
        (0, 4), (64, 2), (56, 2), (1, 2), (64, 2), (0, 2), (0, 2), // sizes and counts of headers
        (1, 4), (5, 4), // a segment to load, readable and executable
        (0, 8), (BASE, 8), (BASE, 8), (size, 8), (size, 8), (0x1000, 8), // from the file's start
    ];
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for (value, width) in fields {
        file.extend(&value.to_le_bytes()[..width]);
    }
    file.extend(code);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_among_what_the_firmware_prints() {
        let report = "\x1b[2JBdsDxe: starting\r\n\x1b[Hmark systemd 5.25 75 25\r\nmark docker 9 150 50\r\nmark x 1\r\n";
        let expected = [("systemd".to_owned(), 4.25), ("docker".to_owned(), 7.0)];
        assert_eq!(marks(report), expected);
    }

    #[test]
    fn loading_the_image_is_not_counted() {
        let times = [("docker", 10.0), ("loaded", 14.0), ("container", 16.0)];
        let marks = times.map(|(name, time)| (name.to_owned(), time)).into();
        assert_eq!(without_load(&marks, "docker"), 10.0);
        assert_eq!(without_load(&marks, "container"), 12.0);
    }

    #[test]
    fn the_known_loop_is_a_program_that_runs() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("loop");
        std::fs::write(&path, loop_program()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(std::process::Command::new(&path).status().unwrap().success());
    }
}
