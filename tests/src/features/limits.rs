//! Limits of containers, by cgroup v2.

use super::Host;

/// A container that takes more memory than it may is killed, and Docker says why. Its first process outlives
/// that: with the container goes the group whose counter containerd has yet to read.
pub(super) fn memory(host: &Host) {
    let script = r#"
        docker run --detach --name greedy --memory 32m --memory-swap 32m $IMAGE bash -c 'tail /dev/zero; echo $?; exec sleep 300'
        said() { docker logs greedy | grep -x 137; }
        noted() { docker inspect --format '{{.State.OOMKilled}}' greedy | grep -x true; }
        within 60 said; within 60 noted
        docker rm --force greedy"#;
    host.prove("limit of memory", script);
}

/// A busy container is held back by the scheduler, and cannot start more processes than it may.
pub(super) fn processors_and_processes(host: &Host) {
    let script = r#"
        docker run --rm --cpus 0.2 --pids-limit 20 --volume /run/tools:/tools:ro $IMAGE bash -ec '
            cd /sys/fs/cgroup
            until grep "nr_throttled [1-9]" cpu.stat; do :; done
            for number in {1..30}; do echo "sleep 300 &"; done > /tmp/fork
            /tools/bin/busybox sh /tmp/fork && exit 1
            grep "max [1-9]" pids.events'"#;
    host.prove("limits of processor time and processes", script);
}

/// A container that may write 64 kB a second writes little while the host writes much. The limit is
/// given by the API: docker-cli 26.1 drops it (docker/cli#5321).
pub(super) fn disk(host: &Host) {
    let script = r#"
        body='{ "Image": "'$IMAGE'", "Cmd": ["dd", "if=/dev/zero", "of=/data/slow", "bs=64k", "oflag=direct"],
            "HostConfig": { "Binds": ["/var/tmp:/data"],
                "BlkioDeviceWriteBps": [{ "Path": "/dev/vda", "Rate": 65536 }] } }'
        type='Content-Type: application/json'
        printf 'POST /v1.45/containers/create?name=slow HTTP/1.0\r\n%s\r\nContent-Length: %s\r\n\r\n%s' \
            "$type" ${#body} "$body" | tool socat -t 60 - UNIX-CONNECT:/run/docker.sock
        docker start slow
        cd /sys/fs/cgroup/system.slice/docker-$(docker inspect --format '{{.Id}}' slow).scope
        grep -w wbps=65536 io.max
        within 60 grep 'wbytes=[1-9]' io.stat
        dd if=/dev/zero of=/var/tmp/quick bs=1M count=64 oflag=direct
        test $(grep -o 'wbytes=[0-9]*' io.stat | cut -d = -f 2) -lt $((16 << 20))
        cd /; docker rm --force slow; rm /var/tmp/slow /var/tmp/quick"#;
    host.prove("limit of writes to a disk", script);
}

/// A container that may hold 24 MB keeps 48 MB in a tmpfs: the rest goes to compressed memory. The tmpfs
/// takes not a byte more than it may, and nothing else of the container can be written.
pub(super) fn swap_and_tmpfs(host: &Host) {
    let script = r#"
        number=$(cat /sys/class/zram-control/hot_add); device=/dev/zram$number
        echo zstd > /sys/block/zram$number/comp_algorithm
        echo 64M > /sys/block/zram$number/disksize
        mkswap $device; swapon $device
        docker run --rm --read-only --tmpfs /big:size=48m --memory 24m --memory-swap 96m $IMAGE bash -exc '
            head -c 48M /dev/zero > /big/file
            test $(cat /sys/fs/cgroup/memory.swap.peak) -gt $((20 << 20))
            test $(wc -c < /big/file) = $((48 << 20))
            if echo more > /big/more || echo more > /more; then exit 1; fi'
        swapoff $device
        gone() { echo $number > /sys/class/zram-control/hot_remove; }
        within 30 gone # udev may be looking at it"#;
    host.prove("swap to zram, tmpfs", script);
}
