# SPDX-License-Identifier: GPL-2.0-only
"""prog_state: what `ct state` says of packets, one after the other, in both directions of a device: XDP for what comes in, tc for what goes out.
A step names the packet, where it goes and the state that the rules must find; rules are one per state, so their counters tell."""
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from lab import Instance, opened
from weirtest import XDP_DROP, XDP_PASS

E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
HOST, PEER, HOST6, PEER6 = "203.0.113.1", "198.51.100.1", "2001:db8:ffff::1", "2001:db8::1"
STATES = ("established", "related", "new", "invalid", "untracked")
RULES = "\n".join(f"ct state {s} accept" for s in STATES)
CONFIG = f"chain ingress {{\npolicy drop\n{RULES}\n}}\nchain egress {{\npolicy drop\n{RULES}\n}}\n"


def tcp(flags, out=False, port=1000, family=4):
    peer, host = (PEER, HOST) if family == 4 else (PEER6, HOST6)
    net = IP if family == 4 else IPv6
    if out:
        return E / net(src=host, dst=peer) / TCP(sport=80, dport=port, flags=flags)
    return E / net(src=peer, dst=host) / TCP(sport=port, dport=80, flags=flags)


def udp(out=False, port=1000):
    if out:
        return E / IP(src=HOST, dst=PEER) / UDP(sport=53, dport=port)
    return E / IP(src=PEER, dst=HOST) / UDP(sport=port, dport=53)


def quoted(inner):
    return E / IP(src="192.0.2.77", dst=HOST) / ICMP(type=3, code=4) / inner


OUR_SYN = IPerror(src=HOST, dst=PEER) / TCPerror(sport=40000, dport=443)
IN, OUT = "xdp", "tc-egress"

SEQUENCES = {
    "a connection from outside": [
        (IN, tcp("S"), "new"), (OUT, tcp("SA", True), "established"), (IN, tcp("A"), "established"), (IN, tcp("PA"), "established"),
        (OUT, tcp("FA", True), "established"), (IN, tcp("FA"), "established")],
    "the same over IPv6": [
        (IN, tcp("S", family=6), "new"), (OUT, tcp("SA", True, family=6), "established"), (IN, tcp("A", family=6), "established")],
    "a connection that the host begins": [
        (OUT, E / IP(src=HOST, dst=PEER) / TCP(sport=40000, dport=443, flags="S"), "new"),
        (IN, E / IP(src=PEER, dst=HOST) / TCP(sport=443, dport=40000, flags="SA"), "established"),
        (OUT, E / IP(src=HOST, dst=PEER) / TCP(sport=40000, dport=443, flags="A"), "established"),
        (IN, E / IP(src=PEER, dst=HOST) / TCP(sport=443, dport=40000, flags="R"), "established")],
    "acknowledgements out of nowhere": [(IN, tcp(f, port=2000 + n), "invalid") for n, f in enumerate(("A", "PA", "FA", "R", "SA", "", "FPU", "SF", "SR"))],
    "an acknowledgement after an unanswered SYN": [(IN, tcp("S"), "new"), (IN, tcp("A"), "invalid"), (IN, tcp("A"), "invalid"), (IN, tcp("A"), "invalid")],
    "a SYN again while nothing has answered": [(IN, tcp("S"), "new"), (IN, tcp("S"), "new")],
    "a SYN in a connection that lives": [
        (IN, tcp("S"), "new"), (OUT, tcp("SA", True), "established"), (IN, tcp("A"), "established"), (IN, tcp("S"), "established")],
    "the same ports again after the end": [
        (IN, tcp("S"), "new"), (OUT, tcp("SA", True), "established"), (IN, tcp("FA"), "established"), (OUT, tcp("FA", True), "established"),
        (IN, tcp("A"), "established"), (IN, tcp("S"), "new")],
    "UDP, asked and answered": [
        (IN, udp(), "new"), (IN, udp(), "new"), (OUT, udp(True), "established"), (IN, udp(), "established")],
    "UDP that the host asks": [(OUT, udp(True), "new"), (IN, udp(), "established"), (OUT, udp(True), "established")],
    "an ICMP error about the host's connection": [
        (OUT, E / IP(src=HOST, dst=PEER) / TCP(sport=40000, dport=443, flags="S"), "new"), (IN, quoted(OUR_SYN), "related")],
    "an ICMP error about nothing": [(IN, quoted(IPerror(src=HOST, dst=PEER) / UDPerror(sport=9, dport=9)), "invalid")],
    "an ICMPv6 error about the host's connection": [
        (OUT, tcp("S", True, family=6), "new"),
        (IN, E / IPv6(src="2001:db8:77::1", dst=HOST6) / ICMPv6PacketTooBig() / IPv6(src=HOST6, dst=PEER6) / TCP(sport=80, dport=1000), "related")],
    "ping, there and back": [
        (IN, E / IP(src=PEER, dst=HOST) / ICMP(type=8, id=7), "new"), (OUT, E / IP(src=HOST, dst=PEER) / ICMP(type=0, id=7), "established")],
    "ping over IPv6, begun by the host": [
        (OUT, E / IPv6(src=HOST6, dst=PEER6) / ICMPv6EchoRequest(id=7), "new"), (IN, E / IPv6(src=PEER6, dst=HOST6) / ICMPv6EchoReply(id=7), "established")],
    "another VLAN is another network": [
        (OUT, udp(True), "new"), (IN, E / Dot1Q(vlan=7) / udp()[IP], "new"), (IN, udp(), "established")],
    "later fragments have no state": [
        (IN, E / IP(src=PEER, dst=HOST, frag=10, proto=17) / Raw(bytes(64)), "untracked"),
        (IN, E / IPv6(src=PEER6, dst=HOST6) / IPv6ExtHdrFragment(offset=10, nh=17) / Raw(bytes(64)), "untracked")],
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_states(name):
    with opened(Instance(hooks="xdp,tc-egress", device="out0")) as weir:
        weir.apply(CONFIG)
        for n, (hook, packet, state) in enumerate(SEQUENCES[name]):
            chain = "ingress" if hook == IN else "egress"
            before = weir.rules(chain)
            weir.xdp(bytes(packet)) if hook == IN else weir.skb(bytes(packet), hook)
            grew = [i for i, (a, b) in enumerate(zip(before, weir.rules(chain))) if a != b]
            assert [STATES[i] if i < len(STATES) else "policy" for i in grew] == [state], f"step {n + 1}"


def test_without_a_flow_table_nothing_is_tracked():
    with opened(Instance("--no-flows", hooks="xdp", device="out0")) as weir:
        weir.apply(CONFIG)
        weir.xdp(bytes(tcp("S")))
        assert [p for p, _ in weir.rules()] == [0, 0, 0, 0, 1, 0]


def test_a_host_that_only_begins():
    """What most firewalls of single hosts say: replies come in, everything else does not."""
    with opened(Instance(hooks="xdp,tc-egress", device="out0")) as weir:
        weir.apply("chain ingress {\npolicy drop\nct state established,related accept\n}\n")
        assert weir.xdp(bytes(udp()))[0] == XDP_DROP
        weir.skb(bytes(udp(True)), "tc-egress")
        for _ in range(3):
            assert weir.xdp(bytes(udp()))[0] == XDP_PASS
        assert weir.xdp(bytes(udp(port=1001)))[0] == XDP_DROP
        assert weir.xdp(bytes(tcp("A")))[0] == XDP_DROP
        flow, = weir.flows()
        assert (flow["src"], flow["packets"], flow["reverse_packets"]) == (HOST, 1, 3)
