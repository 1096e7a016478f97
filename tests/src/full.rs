//! What the image `full` is for, used for real: each step is one script, as in [`crate::features`]. No network
//! is needed beyond the host's own.

use std::time::Duration;

use testkit::Vm;

use crate::features::{WORDS, image_name};
use crate::open;

const DISK_BYTES: u64 = 8 << 30;
const MEMORY_MB: u32 = 2048;
/// How long a script may take: it starts compilers and engines, emulated.
const SCRIPT: Duration = Duration::from_secs(900);

/// A running full host, with the base container image in `/var/tmp/image.tar`.
#[derive(Debug)]
pub struct Host {
    vm: Vm,
    /// The container image's name.
    image: String,
}

impl Host {
    /// Boots the image `full`.
    ///
    /// # Panics
    ///
    /// If it does not boot in time, or a unit fails.
    pub fn start(timeout: Duration) -> Self {
        let full = open("full");
        let builder = Vm::builder(&full.file("")).cpus(2).memory_mb(MEMORY_MB);
        let mut vm = builder.disk_bytes(DISK_BYTES).start();
        vm.wait_until_booted(timeout);
        let archive = open("oci").file("preon-base.tar");
        vm.copy_in(&archive, "/var/tmp/image.tar");
        Self { vm, image: image_name(&archive) }
    }

    /// C and C++ become programs, which debugger and tracers look into.
    ///
    /// # Panics
    ///
    /// With what was run and printed, as all steps.
    pub fn compiles(&self) {
        self.prove("compiling", COMPILING);
    }

    /// Git, Python, kubectl, and small tools.
    ///
    /// # Panics
    ///
    /// As [`Host::compiles`].
    pub fn has_what_people_work_with(&self) {
        self.prove("tools", TOOLS);
    }

    /// Docker's plug-ins build an image and compose a service of it.
    ///
    /// # Panics
    ///
    /// As [`Host::compiles`].
    pub fn builds_and_runs_with_docker(&self) {
        self.prove("buildx and compose", DOCKER);
    }

    /// Skopeo copies an image between formats, buildah builds on it, podman runs the result; and an ordinary user
    /// runs a container.
    ///
    /// # Panics
    ///
    /// As [`Host::compiles`].
    pub fn builds_and_runs_without_docker(&self) {
        self.prove("skopeo, buildah, podman", PODMAN);
    }

    /// Containerd, told to be Kubernetes' runtime, starts a pod whose network plug-ins of CNI make.
    ///
    /// # Panics
    ///
    /// As [`Host::compiles`].
    pub fn starts_a_pod(&self) {
        self.prove("CRI and CNI", POD);
    }

    /// Powers it off the orderly way.
    ///
    /// # Panics
    ///
    /// If it does not stop.
    pub fn power_off(self) {
        self.vm.power_off();
    }

    #[track_caller]
    fn prove(&self, step: &str, script: &str) {
        let script = format!("{WORDS}\nIMAGE={}\n{script}", self.image);
        if let Err(error) = self.vm.try_run_for(&script, SCRIPT) {
            panic!("{step}: the script {}\n{}", error.outcome, error.output);
        }
    }
}

const COMPILING: &str = r#"
mkdir /var/tmp/compiling; cd /var/tmp/compiling
printf '#include <stdio.h>\nint main(void) { puts("compiled"); return 0; }\n' > hello.c
printf '#include <iostream>\n#include <vector>\nint main() { std::cout << "compiled " << std::vector<int>{1, 2}.size() << "\\n"; }\n' > plus.cc
printf 'all: hello plus\nhello: hello.c\n\tgcc -O2 -Wall -Werror -g -o $@ $<\nplus: plus.cc\n\tg++ -O2 -o $@ $<\n' > Makefile
make
test "$(./hello)" = compiled
test "$(./plus)" = 'compiled 2'
readelf --file-header --wide hello | grep 'DYN (Position-Independent'
gdb --batch -ex 'break main' -ex run -ex backtrace ./hello 2>&1 | grep '#0  main ()'
strace -e trace=write ./hello 2>&1 | grep 'write(1, "compiled'
ltrace ./hello 2>&1 | grep 'puts("compiled")'
"#;

const TOOLS: &str = r#"
mkdir /var/tmp/tools; cd /var/tmp/tools
git init --quiet --initial-branch=main there
git -C there config user.name x; git -C there config user.email x@example.org
echo one > there/file; git -C there add file; git -C there commit --quiet --message=one
git clone --quiet there here; test "$(git -C here log --format=%s)" = one
python3 - <<'END'
import bz2, ctypes, lzma, sqlite3, ssl, zoneinfo
import docker, requests, yaml
assert yaml.safe_load("a: [1, 2]") == {"a": [1, 2]}
assert sqlite3.connect(":memory:").execute("select 1 + 1").fetchone() == (2,)
assert docker.from_env().ping()
ssl.create_default_context()
END
python3 -m venv --without-pip venv
venv/bin/python -c 'import sys; assert sys.prefix != sys.base_prefix'
pip --version
kubectl version --client
kubectl create deployment web --image=x --dry-run=client --output=json | jq --exit-status '.kind == "Deployment"'
echo 'select 1 + 1;' | sqlite3 | grep -x 2
perl -MPOSIX -e 'print floor(2.5)' | grep -x 2
tmux -L test new-session -d 'sleep 300'; tmux -L test list-sessions; tmux -L test kill-server
vim -es -u NONE -c 'normal ihello' -c wq text < /dev/null; grep -x hello text
rsync --archive there/ copy/; cmp there/file copy/file
curl --silent --fail --unix-socket /run/docker.sock http://localhost/_ping | grep OK
"#;

const DOCKER: &str = r#"
docker load --quiet --input /var/tmp/image.tar
docker compose version; docker buildx version
mkdir /var/tmp/docker; cd /var/tmp/docker
printf 'FROM %s\nRUN echo built > /built\n' $IMAGE > Dockerfile
docker buildx build --quiet --tag made .
printf 'services:\n  one:\n    image: made\n    command: cat /built\n' > compose.yaml
docker compose up --abort-on-container-exit | grep 'one-1 .*built'
docker compose down
"#;

const PODMAN: &str = r#"
mkdir /var/tmp/images; cd /var/tmp/images
skopeo copy --quiet docker-archive:/var/tmp/image.tar dir:plain
skopeo copy --quiet dir:plain oci:layout:base
skopeo inspect oci:layout:base | jq --exit-status '.Layers | length == 1'
container=$(buildah from oci:layout:base)
buildah run $container -- bash -c 'echo built > /built'
buildah commit --quiet --rm $container localhost/built
printf 'FROM localhost/built\nRUN echo again >> /built\n' | buildah build --quiet --tag localhost/again -
podman run --rm localhost/again cat /built | grep -x again
# The same as an ordinary user, with a network of its own.
useradd --create-home dev; loginctl enable-linger dev; number=$(id --user dev); chmod 644 /var/tmp/image.tar
within 120 test -S /run/user/$number/systemd/private
as_dev() { runuser -u dev -- env --chdir=/home/dev HOME=/home/dev XDG_RUNTIME_DIR=/run/user/$number "$@"; }
as_dev podman load --quiet --input /var/tmp/image.tar
as_dev podman run --rm docker.io/library/$IMAGE bash -c 'cat /proc/self/uid_map; ls /sys/class/net' > /run/rootless
grep "^ *0 *$number *1$" /run/rootless; grep '^ *1 *100000 ' /run/rootless; grep -v -e lo -e bond -e tunl /run/rootless | grep '^e'
"#;

/// The messages are those of Kubernetes' runtime interface, `runtime.v1`; a call of gRPC is a request of HTTP/2.
const POD: &str = r#"
cd /var/tmp
sed -i '/io.containerd.grpc.v1.cri/d' /etc/containerd/config.toml; systemctl restart containerd
ctr plugins ls | grep -E 'grpc.v1 +cri .* ok'
pause=$(containerd config dump | sed -n 's/.*sandbox_image = "\(.*\)"/\1/p')
container=$(buildah from localhost/built)
buildah config --entrypoint '["sleep", "600"]' --cmd '' $container
buildah commit --quiet --rm $container $pause
buildah push --quiet $pause docker-archive:/var/tmp/pause.tar:$pause
ctr --namespace k8s.io images import /var/tmp/pause.tar
mkdir -p /etc/cni/net.d; cat > /etc/cni/net.d/10-pods.conflist <<'END'
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
    {"type": "bridge", "bridge": "cni0", "isGateway": true,
        "ipMasq": true,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "198.18.1.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
    {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
cat > call.py <<'END'
import subprocess, sys
def field(number, text):
    text = text if isinstance(text, bytes) else text.encode()
    return bytes([number << 3 | 2, len(text)]) + text
def call(method, message):
    frame = b"\0" + len(message).to_bytes(4, "big") + message
    curl = ["curl", "--silent", "--show-error", "--http2-prior-knowledge", "--unix-socket", "/run/containerd/containerd.sock",
        "--header", "Content-Type: application/grpc", "--header", "TE: trailers", "--data-binary", "@-",
        "--dump-header", "/dev/stderr", "http://localhost/runtime.v1.RuntimeService/" + method]
    return subprocess.run(curl, input=frame, check=True, stdout=subprocess.PIPE).stdout[5:]
metadata = field(1, "pod") + field(2, "one") + field(3, "default")
made = call("RunPodSandbox", field(1, field(1, metadata) + field(2, "pod")))
pod = made[2:2 + made[1]].decode()
print(pod)
END
pod=$(python3 call.py)
ctr --namespace k8s.io tasks ls | grep "$pod.*RUNNING"
within 30 ip link show cni0
space=$(ls /run/netns | grep cni); address=$(ip -n $space -4 -o addr show eth0 | grep -o '198.18.1.[0-9]*' | head -n 1)
ping -c 1 -W 20 $address
iptables-save --table nat | grep "POSTROUTING -s $address/32 .* -j CNI-"
"#;
