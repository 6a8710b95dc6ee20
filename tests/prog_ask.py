# SPDX-License-Identifier: GPL-2.0-only
"""prog_ask: rules that ask for more than addresses, ports and protocol, among plain ones. Trees know of such a rule what is plain and ask for the rest where a packet
comes to it; here the programs answer, packet after packet, and counters of rules tell which one decided."""
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

from lab import Instance, opened

E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
HOST, PEER, HOST6, PEER6 = "203.0.113.1", "198.51.100.1", "2001:db8:ffff::1", "2001:db8::1"
RULES = """ether type arp accept
ct state invalid drop
iifname "lo" accept
ip saddr @listed drop
ip daddr @moving drop
ip6 saddr @listed6 drop
vlan id 7 udp dport 53 accept
tcp flags & (syn | urg) == (syn | urg) drop
icmp type echo-request icmp code 1 drop
icmp type echo-request accept
icmpv6 type echo-request accept
tcp dport 22 ct state new accept
tcp dport 22 drop
ip saddr 198.51.100.0/24 udp dport 53 accept
ip saddr != 198.51.0.0/16 udp dport 54 drop
udp dport 54 limit rate over 1/hour burst 1 packets drop
udp dport 54 accept
udp dport 55 limit rate 1/hour burst 2 packets accept
udp dport 55 drop
tcp dport 80 accept
ip6 saddr 2001:db8::/32 tcp dport 443 accept
meta protocol ip6 udp dport 56 drop
udp dport 56 accept
ether type 8021q udp dport 57 drop
udp dport 57 accept""".split("\n")
SETS = """set listed { type ipv4_addr; flags interval; elements = { 192.0.2.0/24 } }
set moving { type ipv4_addr; flags dynamic; }
set listed6 { type ipv6_addr; flags dynamic; }
"""


def config(rules=RULES, more=""):
    return SETS + "chain ingress {\npolicy drop\n" + "\n".join(rules) + "\n" + more + "}\n"


def v4(src=PEER, dst=HOST):
    return E / IP(src=src, dst=dst)


def v6(src=PEER6):
    return E / IPv6(src=src, dst=HOST6)


PACKETS = [	# what, and which rule must decide
    (E / ARP(psrc=PEER, pdst=HOST), "ether type arp accept"),
    (v4() / UDP(sport=1, dport=56), "udp dport 56 accept"),
    (v6() / UDP(sport=1, dport=56), "meta protocol ip6 udp dport 56 drop"),
    (v4() / UDP(sport=1, dport=57), "udp dport 57 accept"),
    (E / Dot1Q(vlan=8) / v4()[IP] / UDP(sport=1, dport=57), "ether type 8021q udp dport 57 drop"),
    (E / Dot1Q(vlan=8) / v6()[IPv6] / UDP(sport=1, dport=56), "meta protocol ip6 udp dport 56 drop"),
    (v4() / TCP(sport=1, dport=80, flags="A"), "ct state invalid drop"),
    (v4() / TCP(sport=1, dport=80, flags="S"), "tcp dport 80 accept"),
    (v4() / TCP(sport=1, dport=80, flags="SU"), "tcp flags & (syn | urg) == (syn | urg) drop"),
    (v4("192.0.2.7") / TCP(sport=1, dport=80, flags="S"), "ip saddr @listed drop"),
    (v4("192.0.3.7") / TCP(sport=1, dport=80, flags="S"), "tcp dport 80 accept"),
    (v4(dst="203.0.113.9") / UDP(sport=1, dport=53), "ip daddr @moving drop"),
    (v4() / UDP(sport=1, dport=53), "ip saddr 198.51.100.0/24 udp dport 53 accept"),
    (E / Dot1Q(vlan=7) / v4("192.0.3.7")[IP] / UDP(sport=1, dport=53), "vlan id 7 udp dport 53 accept"),
    (E / Dot1Q(vlan=8) / v4("192.0.3.7")[IP] / UDP(sport=1, dport=53), None),
    (v4() / ICMP(type=8, code=1), "icmp type echo-request icmp code 1 drop"),
    (v4() / ICMP(type=8, code=0), "icmp type echo-request accept"),
    (v4() / ICMP(type=13), None),
    (v6() / ICMPv6EchoRequest(), "icmpv6 type echo-request accept"),
    (v4() / TCP(sport=2, dport=22, flags="S"), "tcp dport 22 ct state new accept"),
    (v4("192.0.3.7") / UDP(sport=1, dport=54), "ip saddr != 198.51.0.0/16 udp dport 54 drop"),
    (v4() / UDP(sport=1, dport=54), "udp dport 54 accept"),
    (v4() / UDP(sport=1, dport=54), "udp dport 54 limit rate over 1/hour burst 1 packets drop"),
    (v4() / UDP(sport=1, dport=55), "udp dport 55 limit rate 1/hour burst 2 packets accept"),
    (v6() / UDP(sport=1, dport=55), "udp dport 55 limit rate 1/hour burst 2 packets accept"),
    (v4() / UDP(sport=1, dport=55), "udp dport 55 drop"),
    (v6() / UDP(sport=1, dport=55), "udp dport 55 drop"),
    (v6("2001:db8::bad") / TCP(sport=1, dport=443, flags="S"), "ip6 saddr @listed6 drop"),
    (v6() / TCP(sport=1, dport=443, flags="S"), "ip6 saddr 2001:db8::/32 tcp dport 443 accept"),
    (v6("2001:db9::1") / TCP(sport=1, dport=443, flags="S"), None),
    (v6() / TCP(sport=1, dport=443, flags="A"), "ct state invalid drop"),
]
# so many that they stand in larger memory, where leaves are numbers
NEVER = "\n".join(f"ip saddr 100.64.{i // 8}.{i % 8} tcp dport {1000 + i} drop\nip6 saddr 2001:db8:64::{i} tcp dport {1000 + i} drop" for i in range(1, 1200))


def decided_by(weir, packet, hook="xdp"):
    before = [p for p, _ in weir.rules()]
    weir.xdp(bytes(packet)) if hook == "xdp" else weir.skb(bytes(packet), hook)
    grew = [i for i, (a, (b, _)) in enumerate(zip(before, weir.rules())) if a != b]
    assert len(grew) == 1
    return grew[0]


@pytest.mark.parametrize("hook", ["xdp", "tc-ingress"])
@pytest.mark.parametrize("more", ["", NEVER], ids=["a small chain", "a larger one"])
def test_which_rule_decides(hook, more):
    with opened(Instance(hooks=hook, device="out0")) as weir:
        weir.apply(config(more=more))
        weir.ctl("set", "add", "moving", "203.0.113.9")
        weir.ctl("set", "add", "listed6", "2001:db8::bad")
        for packet, rule in PACKETS:
            n = decided_by(weir, packet, hook)
            assert (RULES[n] if n < len(RULES) else None) == rule, packet.summary()


def test_one_packet_of_a_flow_does_not_answer_for_the_next():
    """A rule on flags that did not hold may hold for the next packet; one on a list may when the list changes."""
    rules = ["tcp flags & fin == fin drop", "ip saddr @moving drop", "tcp dport 80 accept", "tcp dport 81 accept"]
    with opened(Instance(hooks="xdp", device="out0")) as weir:
        weir.apply(config(rules))
        for port, rule in ((80, 2), (81, 3)):
            for flags, expected in (("A", rule), ("A", rule), ("FA", 0), ("A", rule)):
                assert decided_by(weir, v4() / TCP(sport=1, dport=port, flags=flags)) == expected
        weir.ctl("set", "add", "moving", PEER)
        assert decided_by(weir, v4() / TCP(sport=1, dport=80, flags="A")) == 1
        weir.ctl("set", "del", "moving", PEER)
        assert decided_by(weir, v4() / TCP(sport=1, dport=80, flags="A")) == 2
