# SPDX-License-Identifier: GPL-2.0-only
"""Rejected packets as programs see it: connect() and send() of real sockets fail at once and with the right error, whether the other host rejects (XDP, tc
ingress) or the own one (tc egress), over IPv4 and IPv6, where checksums are left to the device and where they are not.

    c (client) c0 ---- s0 s (server, nothing listens)
       10.0.0.1, fd00::1   10.0.0.2, fd00::2
"""
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from net import Lab

# Prints the name of the error that each try ends with; "hangs" when none comes.
TRY = r"""
import errno, socket, sys
kind, address = sys.argv[1:]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
s.settimeout(5)
if kind == "udp":
    # errors such as host unreachable are reported to a connected socket only when it asks
    s.setsockopt(socket.IPPROTO_IPV6 if family == socket.AF_INET6 else socket.IPPROTO_IP, 25 if family == socket.AF_INET6 else 11, 1)
try:
    s.connect((address, 80))
    if kind == "udp":
        s.send(b"hello")
        s.recv(10)
    print("connects")
except socket.timeout:
    print("hangs")
except OSError as e:
    print(errno.errorcode[e.errno])
"""

# Sends a frame and prints what comes back as it was on the wire: the kernel keeps the outermost tag beside the bytes.
SEND = r"""
import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(("c0", 0))
s.setsockopt(263, 8, 1)                     # SOL_PACKET, PACKET_AUXDATA
s.settimeout(5)
frame = bytes.fromhex(sys.argv[1])
s.send(frame)
while True:
    got, beside, _, where = s.recvmsg(2000, 100)
    if where[2] == 4 or got[6:12] != frame[:6]:     # outgoing
        continue
    status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", beside[0][2])
    if status & 16:
        got = got[:12] + struct.pack(">HH", tpid if status & 64 else 0x8100, tci) + got[12:]
    print(got.hex())
    break
"""
ADDRESSES = {"v4": "10.0.0.2", "v6": "fd00::2"}
PLACES = {	# who runs weir, where, with which options; checksums: senders fill them in
    "xdp": ("s", "s0", ["--hooks", "xdp,tc-egress"], True),
    "generic xdp": ("s", "s0", ["--hooks", "xdp,tc-egress", "--mode", "skb"], True),
    "tc ingress": ("s", "s0", ["--hooks", "tc-ingress,tc-egress"], False),
    "tc egress": ("c", "c0", ["--hooks", "tc-ingress,tc-egress"], False),
    "tc egress above xdp": ("c", "c0", ["--hooks", "xdp,tc-egress"], True),
}


def world(lab, checksums):
    lab.add_ns("c", "s")
    lab.veth("c", "c0", "s", "s0", checksums=checksums)
    for ns, dev, n in (("c", "c0", 1), ("s", "s0", 2)):
        lab.addr(ns, dev, f"10.0.0.{n}/24", f"fd00::{n}/64")


def attempt(lab, kind, address):
    return lab.run_in("c", "/usr/bin/python3", "-c", TRY, kind, address).stdout.strip()


@pytest.fixture(params=PLACES)
def place(request):
    ns, dev, options, checksums = PLACES[request.param]
    with Lab() as lab:
        world(lab, checksums)
        if "xdp" in request.param and ns == "s":    # XDP_TX into a veth needs XDP at the other end
            lab.attach("c", "c0", "--hooks", "xdp", run_dir=lab.make_run_dir())
        lab.attach(ns, dev, *options)
        yield lab, "egress" if ns == "c" else "ingress"


def apply(lab, chain, rules):
    """Neighbours are found; everything else by the rules."""
    lab.apply(f"chain {chain} {{\n    policy drop\n    ether type arp accept\n    meta l4proto ipv6-icmp accept\n    icmp type echo-request accept\n"
              f"{rules}\n}}\n")


def test_sockets_have_their_error_at_once(place):
    lab, chain = place
    wanted = {
        "reject with tcp reset": {"tcp": "ECONNREFUSED"},
        "reject": {"tcp": "ECONNREFUSED", "udp": "ECONNREFUSED"},
        "reject with icmpx host-unreachable": {"tcp": "EHOSTUNREACH", "udp": "EHOSTUNREACH"},
    }
    for rule, errors in wanted.items():
        apply(lab, chain, f"meta l4proto {{ tcp, udp }} {rule}" if "reset" not in rule else rule)
        for name, address in ADDRESSES.items():
            lab.run_in("c", "ping", "-c1", "-W5", address, check=False)
            for kind, error in errors.items():
                assert attempt(lab, kind, address) == error, (rule, name, kind)
    rejects = lab.ctl_json("stats")["rejects"]
    assert rejects["tcp_resets"] >= len(ADDRESSES) and rejects["icmp_errors"] >= 4 * len(ADDRESSES)


def test_answers_pass_where_the_policy_drops(place):
    """What weir says itself is not filtered: neither at the other hook of the interface, nor is it counted there."""
    lab, chain = place
    text = ("chain %s {\n    policy drop\n    ether type arp accept\n    meta l4proto ipv6-icmp accept\n%s}\n")
    lab.apply(text % ("egress" if chain == "ingress" else "ingress", "") + text % (chain, "    reject with tcp reset\n"))
    assert attempt(lab, "tcp", ADDRESSES["v4"]) == "ECONNREFUSED"
    dropped = [r for r in lab.stats(verdict="drop", reason="policy") if r["direction"] != chain]
    assert dropped == [] or all(r["packets"] == 0 for r in dropped)


def test_accounts_stay_exact(place):
    lab, chain = place
    apply(lab, chain, "reject with tcp reset")
    for _ in range(5):
        assert attempt(lab, "tcp", ADDRESSES["v4"]) == "ECONNREFUSED"
    rejected = sum(r["packets"] for r in lab.stats(verdict="drop", reason="reject"))
    assert rejected == 5
    difference = lab.ctl_json("flow", "verify")["difference"]
    assert (difference["packets"], difference["bytes"]) == (0, 0)


@pytest.mark.parametrize("tags", [[Dot1Q(vlan=5, prio=3)], [Dot1AD(vlan=7, prio=6), Dot1Q(vlan=5, prio=3)]], ids=["one", "two"])
@pytest.mark.parametrize("where", ["xdp", "tc ingress"])
def test_tags_come_back(where, tags):
    _, _, options, checksums = PLACES[where]
    with Lab() as lab:
        world(lab, checksums)
        if where == "xdp":
            lab.attach("c", "c0", "--hooks", "xdp", run_dir=lab.make_run_dir())
        lab.attach("s", "s0", *options)
        lab.apply("chain ingress {\n    tcp dport 80 reject with tcp reset\n}\n")
        frame = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        for layer in [*tags, IP(src="10.0.0.1", dst="10.0.0.2"), TCP(sport=7, dport=80, flags="S", seq=9)]:
            frame = frame / layer
        got = Ether(bytes.fromhex(lab.run_in("c", "/usr/bin/python3", "-c", SEND, bytes(frame).hex()).stdout))
        assert (got.src, got.dst) == (frame.dst, frame.src)
        for tag in tags:
            got = got.payload
            assert (got.__class__, got.vlan, got.prio) == (tag.__class__, tag.vlan, tag.prio)
        assert (got[IP].src, got[IP].dst, got[TCP].dport, got[TCP].ack) == ("10.0.0.2", "10.0.0.1", 7, 10)
        assert bytes(IP(bytes(got[IP])[:40])) == bytes(IP(src="10.0.0.2", dst="10.0.0.1", flags="DF", id=0) /
                                                       TCP(sport=80, dport=7, flags="RA", seq=0, ack=10, window=0))
