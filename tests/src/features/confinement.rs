//! What holds a program inside its container.

use super::Host;

/// A container cannot make a user namespace (seccomp, and AppArmor too), set its name (AppArmor), or open a
/// device that it was not given, though it can make its node (the device controller of cgroups). Each is
/// allowed where what forbids it is taken away, with the same capabilities, and the others are not.
pub(super) fn defaults(host: &Host) {
    let script = r#"
        number() { stat --format '%Hr %Lr' "$(findfs LABEL=tools)"; }
        attempts="/tools/bin/busybox unshare -U true && echo namespace made
            echo named > /proc/sys/kernel/hostname && echo name set
            mknod /tmp/disk b $(number) && head -c 4 /tmp/disk > /tmp/read && echo disk read; true"
        attempt() { docker run --rm --volume /run/tools:/tools:ro --security-opt systempaths=unconfined "$@" $IMAGE \
            bash -c "$attempts" > /run/attempt 2>&1; cat /run/attempt; }
        attempt
        test $(grep -c 'Operation not permitted' /run/attempt) = 2
        test $(grep -c 'Permission denied' /run/attempt) = 1
        refused grep -E 'made|set|read$' /run/attempt
        only() { test "$(grep -E 'made|set|read$' /run/attempt)" = "$1"; }
        attempt --security-opt apparmor=unconfined; only 'name set'
        attempt --security-opt apparmor=unconfined --security-opt seccomp=unconfined; only $'namespace made\nname set'
        attempt --device "$(findfs LABEL=tools)"; only 'disk read'"#;
    host.prove("seccomp, Docker's AppArmor profile, devices", script);
}

/// A profile of an operator's own is loaded, confines a container, denies one file of two, and the
/// denial is in the journal.
pub(super) fn a_profile_of_our_own(host: &Host) {
    let script = r#"
        mkdir -p /var/tmp/data; echo plain > /var/tmp/data/open; echo plain > /var/tmp/data/closed
        echo 'abi <abi/4.0>,
            profile features flags=(attach_disconnected) { file, capability, network, audit deny /data/closed r, }' | \
            apparmor_parser --replace
        docker run --rm --security-opt apparmor=features --volume /var/tmp/data:/data $IMAGE \
            bash -c 'cat /data/open && ! cat /data/closed'
        within 30 journalctl --boot --quiet --grep 'apparmor="DENIED".*profile="features" name="/data/closed"'"#;
    host.prove("an AppArmor profile of our own", script);
}

/// A program gives up its right to read what is not below `/usr`.
pub(super) fn landlock(host: &Host) {
    let script = r"
        cd /; cat /etc/passwd > /dev/null
        fence='setpriv --landlock-access fs --landlock-rule path-beneath:read-file,execute:/usr'
        $fence cat /usr/lib/os-release
        refused $fence cat /etc/passwd";
    host.prove("Landlock", script);
}

/// A user without any right is root in namespaces of its own, mounts an overlay there and makes a network
/// device, as rootless engines do.
pub(super) fn rootless(host: &Host) {
    let script = r"
        cd /; setpriv --reuid nobody --regid nogroup --clear-groups unshare --map-root-user \
            --mount --net --pid --fork bash -exc '
            test $(id -u) = 0; mount -t tmpfs none /mnt; cd /mnt; mkdir lower upper work merged
            echo old > lower/file
            mount -t overlay none -o lowerdir=lower,upperdir=upper,workdir=work,userxattr merged
            echo new > merged/file; grep old lower/file; grep new upper/file
            ip link add tap0 type dummy'";
    host.prove("user namespaces of unprivileged users", script);
}

/// Root in a container is nobody on the host, once Docker is told so in the way of its manual.
pub(super) fn user_namespaces(host: &Host) {
    let script = r#"
        sed -i '0,/{/s//{ "userns-remap": "default",/' /etc/docker/daemon.json
        systemctl restart docker || { journalctl --unit docker --lines 5; exit 1; }
        docker load --quiet --input /var/tmp/image.tar
        docker run --detach --name mapped $IMAGE bash -c 'id -u > /id; exec sleep 300'
        pid=$(docker inspect --format '{{.State.Pid}}' mapped)
        cat /proc/$pid/uid_map
        test $(stat --format %u /proc/$pid) -ge 100000
        within 30 docker exec mapped grep -x 0 /id"#;
    host.prove("userns-remap", script);
}
