//! What a container host's kernel, engine and tools promise, used for real inside a running host.
//!
//! Each feature is one script, for each command over SSH costs. A script stops at the first command
//! that fails; what was run until there, and what it printed, is the failure's message.

mod confinement;
mod full;
mod limits;
mod network;
mod storage;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use testkit::Vm;

use crate::{Image, open, policy, tools};

/// Emulated, on a machine that does other things too.
const BOOT: Duration = Duration::from_secs(600);
const DISK_BYTES: u64 = 6 << 30;
/// The guest's port that the container `web` is published at.
const WEB: u16 = 80;

/// What every script may use.
pub(crate) const WORDS: &str = r#"set -eux
# Runs a program of the tools' disk.
tool() { chroot /run/tools "$@"; }
# The same in a network namespace.
tool_in() { local space=$1; shift; ip netns exec "$space" chroot /run/tools "$@"; }
# Fails if the command succeeds.
refused() { if "$@"; then echo "must be refused: $*"; return 1; fi; }
# Asks again until the command succeeds, for so many seconds.
within() {
    local end=$((SECONDS + $1)); shift
    until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.1; done
}
# Prints the page that the web server at a name and a port gives; for a container's bash too.
GET='exec 3<>/dev/tcp/$0/$1; printf "GET /page HTTP/1.0\r\n\r\n" >&3; cat <&3'
page() { timeout 20 bash -c "$GET" "$@" | grep reached; }
# Makes a network namespace whose eth0 has the second address, and on the host the other end of its
# cable, with the name of the namespace and the third. Who connects to its port 80 is told from where.
neighbour() {
    ip netns add $1; ip link add $1 type veth peer name eth0 netns $1
    ip -n $1 addr add $2/24 dev eth0; ip -n $1 link set eth0 up
    ip addr add $3/24 dev $1; ip link set $1 up
    tool_in $1 socat TCP-LISTEN:80,fork,reuseaddr EXEC:'printenv SOCAT_PEERADDR' < /dev/null > /dev/null 2>&1 &
}
# Makes the namespaces `left` and `right`, 10.1.0.1 and 10.1.0.2, with a cable from one to the other.
pair() {
    ip netns add left; ip netns add right
    ip link add under netns left type veth peer name under netns right
    ip -n left addr add 10.1.0.1/24 dev under; ip -n left link set under up
    ip -n right addr add 10.1.0.2/24 dev under; ip -n right link set under up
}
# Takes namespaces away, and what runs in them.
remove() { for space; do ip netns pids $space | xargs --no-run-if-empty kill; ip netns del $space; done; }
"#;

/// Brings the tools to /run/tools, a page among them; loads the container image; starts the web server
/// `web` in a container on the bridge `friends`, and publishes it.
const PREPARE: &str = r#"
mkdir -p /run/tools; mount LABEL=tools /run/tools
for place in dev proc run sys; do mkdir -p /run/tools/$place; mount --bind /$place /run/tools/$place; done
mkdir -p /run/tools/www; echo reached > /run/tools/www/page
docker load --quiet --input /var/tmp/image.tar
docker network create --subnet 198.18.0.0/24 friends
docker run --detach --name web --network friends --publish 80:8080 --volume /run/tools:/tools:ro $IMAGE \
    /tools/bin/busybox httpd -f -p 8080 -h /tools/www
"#;

/// A running host with the tools and a container image.
#[derive(Debug)]
pub struct Host {
    vm: Vm,
    /// What it was started from.
    host_image: Image,
    /// The container image's name.
    image: String,
}

impl Host {
    /// Boots the host image `name` and prepares it. The disk of tools is kept in `folder`.
    ///
    /// # Panics
    ///
    /// If something of that fails.
    pub fn start(name: &str, folder: &Path) -> Self {
        let host_image = open(name);
        let builder = Vm::builder(&host_image.file("")).cpus(2).disk_bytes(DISK_BYTES);
        let mut vm = builder.extra_disk(&tools::disk(folder)).forward(0, WEB).start();
        vm.wait_until_booted(BOOT);
        let archive = open("oci").file("preon-base.tar");
        vm.copy_in(&archive, "/var/tmp/image.tar");
        let host = Self { vm, host_image, image: image_name(&archive) };
        host.prove("what the test itself needs", PREPARE);
        host
    }

    /// Uses every feature that any host has.
    ///
    /// # Panics
    ///
    /// If one is missing, with its name and what was printed.
    pub fn has_every_feature(&self) {
        network::bridge(self);
        network::published_port(self);
        network::macvlan_and_ipvlan(self);
        network::nftables_sets(self);
        network::vxlan_under_ipsec(self);
        network::wireguard(self);
        limits::memory(self);
        limits::processors_and_processes(self);
        limits::disk(self);
        limits::swap_and_tmpfs(self);
        confinement::defaults(self);
        confinement::a_profile_of_our_own(self);
        confinement::landlock(self);
        confinement::rootless(self);
        storage::overlay(self);
        storage::dm_crypt(self);
        storage::fuse(self);
        network::swarm(self);
        confinement::user_namespaces(self); // another engine, so to speak: last
    }

    /// Uses what only the full kernel has.
    ///
    /// # Panics
    ///
    /// If something is missing, with its name and what was printed.
    pub fn has_what_the_full_kernel_adds(&self) {
        full::signed_modules(self);
        full::tracing(self);
        full::system_calls(self);
        full::core_dumps(self);
        storage::btrfs(self);
        storage::nfs(self);
    }

    /// Boots the hardened kernel of an image that has both, once.
    ///
    /// # Panics
    ///
    /// If it does not boot, or runs no container.
    pub fn boots_the_other_kernel(&mut self) {
        full::the_other_kernel(self);
    }

    /// Audits its kernel, which `words` name as `forge audit kernel` takes them.
    ///
    /// # Panics
    ///
    /// If something is not as the policy demands, with the audit's table.
    pub fn meets_the_policy(&self, words: &[&str]) {
        policy::holds(&self.vm, &self.host_image, words);
    }

    /// Powers it off the orderly way.
    ///
    /// # Panics
    ///
    /// If it does not stop.
    pub fn power_off(self) {
        self.vm.power_off();
    }

    /// Runs a script in the guest.
    #[track_caller]
    fn prove(&self, feature: &str, script: &str) {
        let image = &self.image;
        if let Err(error) = self.vm.try_run(&format!("{WORDS}\nIMAGE={image}\n{script}")) {
            panic!("{feature}: the script {}\n{}", error.outcome, error.output);
        }
    }

    /// What the web server answers through QEMU's port forward: from outside of the guest.
    fn page_from_outside(&self) -> std::io::Result<String> {
        let port = self.vm.forwarded(WEB).expect("the port is forwarded");
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.write_all(b"GET /page HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    }
}

/// The name that a container image's archive gives it.
pub(crate) fn image_name(archive: &Path) -> String {
    let mut tar = tar::Archive::new(std::fs::File::open(archive).expect("the container image"));
    let mut entries = tar.entries().expect("a tar archive").map(|entry| entry.expect("an entry"));
    let is_manifest = |entry: &tar::Entry<'_, _>| *entry.path_bytes() == *b"manifest.json";
    let mut text = String::new();
    let mut manifest = entries.find(is_manifest).expect("its manifest");
    manifest.read_to_string(&mut text).expect("its manifest");
    let manifest: serde_json::Value = crate::json(text.as_bytes());
    manifest[0]["RepoTags"][0].as_str().expect("its name").to_owned()
}
