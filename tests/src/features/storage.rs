//! Filesystems and what lies below them.

use super::Host;

/// A container changes, removes and renames what its image holds; the image stays as it was.
pub(super) fn overlay(host: &Host) {
    let script = r#"
        change='echo changed > /etc/passwd && rm /etc/group && mv /etc/os-release /etc/renamed'
        docker run --name changed $IMAGE bash -c "$change && cat /etc/passwd" | grep -x changed
        test "$(docker inspect --format '{{.GraphDriver.Name}}' changed)" = overlay2
        docker diff changed > /run/changes; cat /run/changes
        for line in 'C /etc/passwd' 'D /etc/group' 'A /etc/renamed'; do grep -x "$line" /run/changes; done
        docker rm changed
        docker run --rm $IMAGE bash -c 'test -e /etc/group -a -e /etc/os-release && ! grep changed /etc/passwd'"#;
    host.prove("overlay", script);
}

/// What is written to a LUKS2 volume is not on the disk in the open, comes back with the key, and with
/// no other. libdevmapper does not wait for udev, whose rules come with cryptsetup and are not here.
pub(super) fn dm_crypt(host: &Host) {
    let script = r#"
        export DM_DISABLE_UDEV=1
        cd /run/tools/tmp; mkdir -p /run/vault; truncate --size 64M vault; echo right > right; echo wrong > wrong
        tool cryptsetup luksFormat --batch-mode --type luks2 --pbkdf-memory 32768 --pbkdf-parallel 1 \
            --pbkdf-force-iterations 4 --key-file /tmp/right /tmp/vault
        unlock() { tool cryptsetup open --key-file /tmp/$1 /tmp/vault vault; }
        unlock right
        mkfs.ext4 -q /dev/mapper/vault; mount /dev/mapper/vault /run/vault
        echo 'what nobody may read' > /run/vault/file
        umount /run/vault; tool cryptsetup close vault
        refused grep --quiet 'what nobody may read' vault
        refused unlock wrong
        unlock right
        mount /dev/mapper/vault /run/vault; grep 'what nobody may read' /run/vault/file
        umount /run/vault; tool cryptsetup close vault; rm vault"#;
    host.prove("dm-crypt", script);
}

/// A program serves a filesystem; what is written there, the kernel finds on the disk behind it.
pub(super) fn fuse(host: &Host) {
    let script = r"
        cd /run/tools/tmp; mkdir place; truncate --size 8M fuse; mkfs.ext4 -q fuse
        tool fuse2fs -o rw /tmp/fuse /tmp/place
        findmnt --noheadings --output FSTYPE /run/tools/tmp/place | grep fuse
        echo kept > place/file; umount place
        within 30 mount -o loop,ro fuse place
        grep kept place/file; umount place; rm -r place fuse";
    host.prove("FUSE", script);
}

/// A snapshot keeps what its volume held.
pub(super) fn btrfs(host: &Host) {
    let script = r"
        cd /run/tools/tmp; mkdir -p volume; truncate --size 128M disk
        tool mkfs.btrfs --quiet /tmp/disk; mount -o loop disk volume
        tool btrfs subvolume create /tmp/volume/data; echo old > volume/data/file
        tool btrfs subvolume snapshot -r /tmp/volume/data /tmp/volume/kept; echo new > volume/data/file
        grep old volume/kept/file; umount volume; rm -r volume disk";
    host.prove("btrfs", script);
}

/// The host's kernel serves a folder by NFS 4.2; the host mounts it, and so does Docker as a volume.
pub(super) fn nfs(host: &Host) {
    let script = r#"
        mkdir -p /run/tools/tmp/served /run/tools/tmp/mounted /run/tools/var/lib/nfs/v4recovery
        echo '/tmp/served 127.0.0.1(rw,fsid=0,insecure,no_root_squash,no_subtree_check)' > /run/tools/etc/exports
        mount -t nfsd nfsd /proc/fs/nfsd
        tool exportfs -ra
        tool rpc.nfsd --no-nfs-version 3 --lease-time 10 --grace-time 10 2
        tool rpc.mountd --no-nfs-version 3
        tool mount.nfs4 127.0.0.1:/ /tmp/mounted -o vers=4.2
        echo mounted > /run/tools/tmp/mounted/file; grep mounted /run/tools/tmp/served/file
        docker run --rm --mount 'type=volume,dst=/data,volume-opt=type=nfs,volume-opt=device=:/,"volume-opt=o=addr=127.0.0.1,vers=4.2"' \
            $IMAGE bash -c 'grep mounted /data/file && echo contained > /data/file'
        within 30 grep contained /run/tools/tmp/served/file
        umount /run/tools/tmp/mounted; tool rpc.nfsd 0"#;
    host.prove("NFS", script);
}
