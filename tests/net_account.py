# SPDX-License-Identifier: GPL-2.0-only
"""Accounts against the interface's own truth, to the packet and the byte: every frame is in a flow or in a total with a reason. At XDP, at tc
with segmentation offload on and off, with fragments, drops and a full table."""
import re
import socket
import struct
import subprocess
import threading

import pytest
from net import Lab, total, wait_for

SIZE = 30_000_000


@pytest.fixture
def pair():
    """Namespaces a and b joined by a veth pair; weir goes onto b0 in b."""
    with Lab() as lab:
        lab.add_ns("a", "b")
        lab.veth("a", "a0", "b", "b0", checksums=False)
        lab.addr("a", "a0", "10.1.0.1/24", "fd01::1/64")
        lab.addr("b", "b0", "10.1.0.2/24", "fd01::2/64")
        yield lab


def interface(lab, ns, dev):
    """(rx packets, rx bytes, tx packets, tx bytes) by the kernel."""
    text = lab.run_in(ns, "cat", "/proc/net/dev").stdout
    n = [int(x) for x in re.search(r"%s:\s*(.*)" % dev, text).group(1).split()]
    return n[1], n[0], n[9], n[8]


def mix(lab):
    """Traffic of many kinds, both ways, and nothing on the way afterwards."""
    lab.run_in("a", "ping", "-c", "20", "-i", "0.01", "-q", "10.1.0.2")
    lab.run_in("a", "ping", "-6", "-c", "20", "-i", "0.01", "-q", "fd01::2")
    lab.run_in("a", "ping", "-c", "5", "-i", "0.01", "-s", "4000", "-q", "10.1.0.2")      # fragments
    lab.run_in("a", "ping", "-6", "-c", "5", "-i", "0.01", "-s", "4000", "-q", "fd01::2")
    transfer(lab, "10.1.0.2", 3_000_000)
    transfer(lab, "fd01::2", 3_000_000)


def transfer(lab, address, size, report=False):
    """Send size bytes from a to b over TCP; with report, what the sender's TCP_INFO said before it closed."""
    server = lab.start_in("b", "/usr/bin/python3", "-c", SERVER, address, str(size), stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline() == "ready\n"
    client = lab.run_in("a", "/usr/bin/python3", "-c", CLIENT, address, str(size))
    assert int(server.stdout.readline()) == size
    server.wait(10)
    return [int(x) for x in client.stdout.split()]


SERVER = r"""
import socket, sys
address, size = sys.argv[1], int(sys.argv[2])
s = socket.create_server((address, 5001), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
print("ready", flush=True)
c, _ = s.accept()
got = 0
while got < size:
    n = len(c.recv(1 << 20))
    if not n: break
    got += n
c.send(b"k")
c.recv(1)
print(got, flush=True)
"""

# prints segs_out and bytes_sent (retransmitted ones too) of tcp_info (include/uapi/linux/tcp.h) when all was acknowledged
CLIENT = r"""
import socket, struct, sys, time
address, size = sys.argv[1], int(sys.argv[2])
c = socket.create_connection((address, 5001))
left = size
while left:
    left -= c.send(b"x" * min(left, 1 << 18))
c.recv(1)
info = c.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
print(struct.unpack_from("I", info, 136)[0], struct.unpack_from("Q", info, 200)[0])
c.close()
"""


def settled(lab, ns, dev):
    """Interface counters once they stopped moving for a second: neighbours and multicast listeners speak up by themselves."""
    last = []

    def still():
        last.append(interface(lab, ns, dev))
        return last[-1] if last[-50:] == [last[-1]] * 50 else None

    return wait_for(still, 30, "silence")


def truth(lab, hooks):
    """Interface counters and totals of one silent moment: (in, in bytes, out, out bytes) by the kernel, the same by weir."""
    rx, rx_bytes, tx, tx_bytes = settled(lab, "b", "b0")
    if hooks[0] == "xdp":       # with native XDP a veth counts received bytes behind their Ethernet headers (drivers/net/veth.c)
        rx_bytes += 14 * rx
    now = rx, rx_bytes, tx, tx_bytes
    ingress, egress = lab.stats(hook=hooks[0]), lab.stats(hook=hooks[1])
    return (*now, total(ingress), total(ingress, "bytes"), total(egress), total(egress, "bytes"))


def test_at_xdp_every_frame_of_the_interface_is_in_the_totals_and_in_flows(pair):
    pair.attach("b", "b0")
    before = truth(pair, ("xdp", "tc-egress"))
    mix(pair)
    after = truth(pair, ("xdp", "tc-egress"))
    d = [y - x for x, y in zip(before, after)]
    assert d[4:] == d[:4]
    assert d[0] > 4000 and d[2] > 100
    xdp, egress = pair.stats(hook="xdp"), pair.stats(hook="tc-egress")
    flows = pair.flows()
    counted = total(flows) + total(flows, "reverse_packets")
    untracked = total([r for r in xdp + egress if r["reason"] != "flow"])
    assert counted + untracked == total(xdp) + total(egress)
    assert total(flows, "bytes") + total(flows, "reverse_bytes") == total([r for r in xdp + egress if r["reason"] == "flow"], "ip_bytes")
    assert pair.ctl_json("flow", "verify")["difference"] == {"packets": 0, "bytes": 0}


@pytest.mark.parametrize("how", [[], ["--clsact"]], ids=["tcx", "clsact"])
def test_at_tc_without_offload_every_frame_of_the_interface_is_in_the_totals(pair, how):
    for ns, dev in (("a", "a0"), ("b", "b0")):
        pair.run_in(ns, "ethtool", "-K", dev, "gso", "off", "tso", "off", "gro", "off")
    pair.attach("b", "b0", "--hooks", "tc-ingress,tc-egress", *how)
    before = truth(pair, ("tc-ingress", "tc-egress"))
    mix(pair)
    after = truth(pair, ("tc-ingress", "tc-egress"))
    d = [y - x for x, y in zip(before, after)]
    assert d[4:] == d[:4]
    assert d[0] > 4000 and d[2] > 100
    assert pair.ctl_json("flow", "verify")["difference"] == {"packets": 0, "bytes": 0}


@pytest.mark.parametrize("address,header", [("10.1.0.2", 20), ("fd01::2", 40)], ids=["v4", "v6"])
def test_at_tc_with_offload_packets_and_bytes_are_those_of_the_wire(pair, address, header):
    """One skb stands for many segments; TCP itself says how many it sent. Sender's side: egress; receiver's: ingress."""
    pair.loader("attach", "a0", "--netns", pair.ns("a"), "--hooks", "tc-ingress,tc-egress", "--flows", "65536")
    pair.attach("b", "b0", "--hooks", "tc-ingress,tc-egress")
    before = settled(pair, "a", "a0")
    segs_out, bytes_sent = transfer(pair, address, SIZE)
    after = settled(pair, "a", "a0")
    assert bytes_sent >= SIZE
    for interface_name in ("a0", "b0"):
        flow, = [f for f in pair.flows("--port", "5001", "--proto", "tcp") if f["interface"] == interface_name]
        # what the socket sent until then, the FIN and the ACK of the peer's FIN
        extra = flow["packets"] - segs_out
        assert 1 <= extra <= 2, (interface_name, flow, segs_out)
        # headers: IP, TCP with timestamps; the SYN has 8 bytes of options more
        assert flow["bytes"] == bytes_sent + flow["packets"] * (header + 32) + 8
    skbs = after[2] - before[2]
    assert skbs < segs_out / 2, "segmentation offload was on"
    assert pair.ctl_json("flow", "verify")["difference"] == {"packets": 0, "bytes": 0}


def test_dropped_packets_make_no_flow_and_balance_by_reason(pair):
    pair.attach("b", "b0")
    pair.apply("chain ingress { policy accept\n udp dport 9999 drop }\n")
    sock = "import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
    pair.run_in("a", "/usr/bin/python3", "-c", sock + "for i in range(500): s.sendto(b'x'*100,('10.1.0.2',9999))")
    wait_for(lambda: total(pair.stats(hook="xdp", verdict="drop", reason="rule")) == 500, 10, "500 drops")
    row, = pair.stats(hook="xdp", verdict="drop", reason="rule")
    assert row["bytes"] == 500 * (14 + 20 + 8 + 100)
    assert pair.flows("--port", "9999") == []
    assert pair.ctl_json("flow", "verify")["difference"] == {"packets": 0, "bytes": 0}


def test_a_full_table_counts_what_it_cannot_hold(pair):
    pair.loader("attach", "b0", "--netns", pair.ns("b"), "--flows", "64")
    spray = ("import socket\nfor i in range(3000):\n s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
             " s.bind(('10.1.0.1',20000+i))\n s.sendto(b'x'*64,('10.1.0.2',7))\n s.close()\n")
    before = settled(pair, "b", "b0")
    pair.run_in("a", "/usr/bin/python3", "-c", spray)
    after = settled(pair, "b", "b0")
    verify = pair.ctl_json("flow", "verify")
    assert verify["overflow"]["packets"] > 1000
    assert verify["difference"] == {"packets": 0, "bytes": 0}
    assert after[0] - before[0] >= 3000


def test_two_cpus_and_expiring_entries_lose_nothing(pair):
    """Many short flows from two senders at once through a table too small for them, while entries pass from flow to flow."""
    pair.loader("attach", "b0", "--netns", pair.ns("b"), "--flows", "256")
    spray = ("import socket,sys\nbase=int(sys.argv[1])\nfor r in range(4):\n for i in range(1500):\n"
             "  s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n  s.bind(('10.1.0.1',base+r*1500+i))\n"
             "  s.sendto(b'x'*64,('10.1.0.2',7))\n  s.close()\n import time; time.sleep(0.7)\n")
    senders = [pair.start_in("a", "taskset", "-c", str(cpu), "/usr/bin/python3", "-c", spray, str(base))
               for cpu, base in ((0, 20000), (1, 30000))]
    for s in senders:
        assert s.wait(60) == 0
    settled(pair, "b", "b0")
    verify = pair.ctl_json("flow", "verify")
    assert verify["exported"]["packets"] > 0, "entries passed on"
    assert verify["difference"] == {"packets": 0, "bytes": 0}


def test_flows_are_filtered_sorted_and_limited(pair):
    pair.attach("b", "b0")
    mix(pair)
    every = pair.flows()
    size = lambda f: f["bytes"] + f["reverse_bytes"]
    assert [size(f) for f in every] == sorted(map(size, every), reverse=True), "largest first"
    assert {f["proto"] for f in pair.flows("--proto", "tcp")} == {"tcp"}
    assert {f["proto"] for f in pair.flows("--proto", "1")} == {"icmp"}
    assert all("fd01::2" in (f["src"], f["dst"]) for f in pair.flows("--address", "fd01::2"))
    assert {5001} <= {p for f in pair.flows("--port", "5001") for p in (f["sport"], f["dport"])}
    assert all(5001 in (f["sport"], f["dport"]) for f in pair.flows("--port", "5001"))
    assert len(pair.flows("-n", "2")) == len(pair.flows("--limit", "2")) == 2
    assert pair.flows("-n") == every or len(pair.flows("-n")) == len(every)
    packets = [f["packets"] + f["reverse_packets"] for f in pair.flows("--sort", "packets")]
    assert packets == sorted(packets, reverse=True)
    tcp = pair.flows("--proto", "tcp", "--address", "10.1.0.2")[0]
    assert (tcp["src"], tcp["dst"], tcp["dport"], tcp["state"]) == ("10.1.0.1", "10.1.0.2", 5001, "closed")
    assert set("SAF") <= set(tcp["tcp_flags"]) and set("SAF") <= set(tcp["reverse_tcp_flags"])
    assert 0 < tcp["first_ns"] <= tcp["last_ns"]
    assert [f for f in every if f["fragments"] and f["proto"] == "icmp"], "later fragments are a flow of their own"
