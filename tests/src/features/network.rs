//! Networks: between containers, to the world outside, over tunnels.

use super::Host;

/// A container reaches a neighbour of the host that has no way back to the container's address, under
/// the host's own: it is masqueraded. It reaches another container on its bridge by name.
pub(super) fn bridge(host: &Host) {
    let script = r#"
        neighbour outside 192.0.2.2 192.0.2.1
        docker run --rm --network friends $IMAGE bash -c \
            "cat < /dev/tcp/192.0.2.2/80 && $GET" web 8080 > /run/answer
        cat /run/answer; grep -x 192.0.2.1 /run/answer; grep -x reached /run/answer
        remove outside"#;
    host.prove("bridge, masquerading and Docker's names", script);
}

/// A container's port is published on the host: to the host itself, by its loopback and by its own
/// address, and to whoever comes from outside.
pub(super) fn published_port(host: &Host) {
    let script = "page 127.0.0.1 80; page 10.0.2.15 80"; // QEMU gives every guest this address
    host.prove("published port, seen from the host", script);
    let answer = host.page_from_outside();
    let reached = answer.as_ref().is_ok_and(|text| text.contains("reached"));
    assert!(reached, "published port, seen from outside: {answer:?}");
}

/// A container is a machine of its own on the host's cable, with its own address, by either driver.
pub(super) fn macvlan_and_ipvlan(host: &Host) {
    let script = r"
        neighbour lan 192.0.4.2 192.0.4.1
        for driver in macvlan ipvlan; do
            docker network create --driver $driver --opt parent=lan --subnet 192.0.4.0/24 lan
            docker run --rm --network lan --ip 192.0.4.200 $IMAGE \
                bash -c 'cat < /dev/tcp/192.0.4.2/80' | grep -x 192.0.4.200
            docker network rm lan
        done
        remove lan";
    host.prove("macvlan and ipvlan", script);
}

/// What a named set holds is dropped, a whole range at once, and passes again when its time is up.
pub(super) fn nftables_sets(host: &Host) {
    let script = r"
        neighbour barred 192.0.3.2 192.0.3.1
        nft 'table inet features {
            set barred { type ipv4_addr; flags interval, timeout; }
            chain input { type filter hook input priority 0; ip saddr @barred counter drop; }
        }'
        tool_in barred ping -c 1 -W 20 192.0.3.1
        nft add element inet features barred '{ 192.0.3.0/25 timeout 6s }'
        refused tool_in barred ping -c 1 -W 1 192.0.3.1
        nft list chain inet features input | grep 'packets [1-9]'
        within 60 tool_in barred ping -c 1 -W 1 192.0.3.1
        nft delete table inet features
        remove barred";
    host.prove("nftables sets", script);
}

/// Two network namespaces share an Ethernet over VXLAN, first in the open, then inside IPsec with the
/// cipher that Swarm's encrypted networks use. Without keys nothing passes.
pub(super) fn vxlan_under_ipsec(host: &Host) {
    let script = r#"
        pair
        key=0x$(head -c 20 /dev/urandom | od -An -tx1 | tr -d ' \n')
        both() { # side, my number, the other's
            ip -n $1 link add over type vxlan id 42 dev under remote 10.1.0.$3 dstport 4789
            ip -n $1 addr add 10.2.0.$2/24 dev over; ip -n $1 link set over up
        }
        secret() { # side, direction, from, to
            ip -n $1 xfrm state add src 10.1.0.$3 dst 10.1.0.$4 proto esp spi 0x2a mode transport \
                aead 'rfc4106(gcm(aes))' $key 128
            ip -n $1 xfrm policy add src 10.1.0.$3 dst 10.1.0.$4 proto udp dport 4789 dir $2 \
                tmpl src 10.1.0.$3 dst 10.1.0.$4 proto esp mode transport
        }
        both left 1 2; both right 2 1
        tool_in left ping -c 1 -W 20 10.2.0.2
        secret left out 1 2; secret left in 2 1; secret right out 2 1; secret right in 1 2
        tool_in left ping -c 1 -W 20 10.2.0.2
        ip -n right -s xfrm state list | grep -E '[1-9][0-9]*\(packets\)'
        ip -n right xfrm state deleteall
        refused tool_in left ping -c 1 -W 1 10.2.0.2
        remove left right"#;
    host.prove("VXLAN, and IPsec below it", script);
}

/// Two network namespaces have a WireGuard tunnel, whose counters move; whose key is unknown is not let in.
pub(super) fn wireguard(host: &Host) {
    let script = r#"
        pair
        for side in left right; do tool wg genkey > /run/$side.key; tool wg pubkey < /run/$side.key > /run/$side.pub; done
        tunnel() { # side, my number, peer, its number
            ip -n $1 link add wg0 type wireguard
            tool_in $1 wg set wg0 private-key /run/$1.key listen-port 51820 \
                peer $(cat /run/$3.pub) allowed-ips 10.2.0.$4/32 endpoint 10.1.0.$4:51820
            ip -n $1 addr add 10.2.0.$2/24 dev wg0; ip -n $1 link set wg0 up
        }
        tunnel left 1 right 2; tunnel right 2 left 1
        tool_in left ping -c 1 -W 20 10.2.0.2
        tool_in right wg show wg0 transfer | awk '{ print; exit !($2 > 0 && $3 > 0) }'
        tool_in right wg set wg0 peer $(cat /run/left.pub) remove
        refused tool_in left ping -c 1 -W 1 10.2.0.2
        remove left right"#;
    host.prove("WireGuard", script);
}

/// A Swarm of one host: a service is published through the ingress network, whose IPVS knows the
/// connection, and is reached by name on an encrypted overlay network.
pub(super) fn swarm(host: &Host) {
    let script = r#"
        docker swarm init --advertise-addr 10.0.2.15
        docker network create --driver overlay --opt encrypted --attachable --subnet 198.18.1.0/24 secret
        docker service create --quiet --detach --name pages --network secret --publish 81:80 \
            --no-resolve-image --mount type=bind,src=/run/tools,dst=/tools,ro $IMAGE \
            /tools/bin/busybox httpd -f -p 80 -h /tools/www
        within 200 page 10.0.2.15 81
        nsenter --net=/run/docker/netns/ingress_sbox chroot /run/tools ipvsadm --list --connection --numeric | \
            grep -E '^TCP .*:81 '
        iptables --list-rules INPUT | grep -- '--pol none'
        docker run --rm --network secret $IMAGE bash -c "$GET" pages 80 | grep reached"#;
    host.prove("Swarm: ingress by IPVS, encrypted overlay", script);
}
