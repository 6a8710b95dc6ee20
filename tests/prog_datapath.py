# SPDX-License-Identifier: GPL-2.0-only
"""prog_datapath: single packets through the programs as the loader attached them (BPF_PROG_TEST_RUN): what happens to the packet, to its
bytes, and to every counter. Vectors are data and their name is a sentence; tests/lab.py has the topology. Nothing here waits for time."""
import collections
import platform
import random
import re

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_LSRR, IPOption_NOP, IPOption_RR
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                                PadN)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Raw

from lab import BACKENDS, MAC, Instance, opened
from weirtest import SEED, TC_REDIRECT, TC_SHOT, TC_UNSPEC, XDP_DROP, XDP_PASS, XDP_REDIRECT, XDP_TX

E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
CLIENT, VIP, CLIENT6, VIP6 = "198.51.100.1", "203.0.113.10", "2001:db8:c::1", "2001:db8:a::10"
V4 = IP(src="10.0.0.1", dst="203.0.113.1")
V6 = IPv6(src="2001:db8::1", dst="2001:db8:ffff::1")
T, U = TCP(sport=1024, dport=80, flags="S"), UDP(sport=1024, dport=53)
X6 = IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))]) / IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))])
SOURCED = tuple(int(n) for n in re.findall(r"\d+", platform.release())[:2]) >= (6, 7)	# BPF_FIB_LOOKUP_SRC; stable kernels may have it earlier


@pytest.fixture(scope="module")
def shared():
    """For tests that apply a configuration and look at differences."""
    with opened(Instance()) as made:
        yield made


@pytest.fixture(scope="module")
def shared_tc():
    with opened(Instance(hooks="tc-ingress")) as made:
        yield made


@pytest.fixture(scope="module")
def decapsulating():
    with opened(Instance("--decap")) as made:
        yield made


@pytest.fixture
def fresh():
    with opened(Instance()) as made:
        yield made


@pytest.fixture(scope="module")
def quiet():
    """Where egress is seen, on a device that sends nothing by itself."""
    with opened(Instance(hooks="tc-ingress,tc-egress", device="out0")) as made:
        yield made


def change(before, after):
    """What was added between two totals()."""
    was = lambda k: before.get(k, (0, 0))
    return {k: (p - was(k)[0], b - was(k)[1]) for k, (p, b) in after.items() if (p, b) != was(k)}


def ingress(rules, policy="accept", sets=""):
    return f"{sets}\nchain ingress {{\npolicy {policy}\n{rules}\n}}\n"


# ---- the parser's verdicts, in the kernel

def patched(packet, at, value):
    raw = bytearray(bytes(packet))
    raw[at:at + len(value)] = value
    return bytes(raw)


CUT = [
    ("a frame cut inside a VLAN tag", bytes(E / Dot1Q() / V4 / T)[:16], "short-vlan"),
    ("a frame cut inside the inner tag", bytes(E / Dot1AD() / Dot1Q() / V4 / T)[:20], "short-vlan"),
    ("a frame cut inside ARP", bytes(E / ARP(hwsrc=E.src, psrc="10.0.0.1", pdst="10.0.0.2"))[:21], "short-arp"),
    ("a frame cut inside the IPv4 header", bytes(E / V4 / T)[:33], "short-ipv4"),
    ("a frame cut inside the TCP header", bytes(E / V4 / T)[:50], "short-ipv4"),
    ("an IPv4 packet that ends inside the TCP header", E / IP(proto=6) / Raw(bytes(19)), "short-tcp"),
    ("an impossible IPv4 header length", patched(E / V4 / T, 14, b"\x44"), "bad-ipv4"),
    ("a frame cut inside the IPv6 header", bytes(E / V6 / T)[:53], "short-ipv6"),
    ("IPv6 of version 4", patched(E / V6 / T, 14, b"\x45"), "bad-ipv6"),
    ("an IPv6 packet that ends inside an extension header", E / IPv6(nh=60) / Raw(b"\x06\x01" + bytes(13)), "short-exthdr"),
    ("nine extension headers", E / V6 / X6 / X6 / X6 / X6 / IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))]) / U, "many-exthdrs"),
    ("a bad TCP data offset", patched(E / V4 / T, 46, b"\x40"), "bad-tcp"),
    ("a short UDP header", E / IP(proto=17) / Raw(bytes(7)), "short-udp"),
    ("a short SCTP header", E / IP(proto=132) / Raw(bytes(11)), "short-sctp"),
    ("a short ICMP header", E / IP(proto=1) / Raw(bytes(7)), "short-icmp"),
    ("a short ICMPv6 header", E / IPv6(nh=58) / Raw(bytes(7)), "short-icmp"),
    ("a quote that is cut", E / V4 / ICMP(type=3) / Raw(bytes(V4 / U)[:27]), "short-quote"),
]


# a test run makes no skb that ends inside the IP header
@pytest.mark.parametrize("hook, frame, reason", [pytest.param(h, *v[1:], id=f"{v[0]}-{h}") for v in CUT for h in ("xdp", "tc")
                                                 if h == "xdp" or "inside the IPv" not in v[0]])
def test_drops_with_its_reason(shared, shared_tc, hook, frame, reason):
    weir = shared if hook == "xdp" else shared_tc
    before, frame = weir.totals(), bytes(frame)
    action, _ = weir.xdp(frame) if hook == "xdp" else weir.skb(frame)
    assert action == (XDP_DROP if hook == "xdp" else TC_SHOT)
    where = "xdp" if hook == "xdp" else "tc-ingress"
    assert change(before, weir.totals()) == {(where, "drop", reason): (1, len(frame))}
    assert weir.difference() == (0, 0)


def test_takes_frames_of_several_buffers(shared):
    shared.apply(ingress("tcp dport 80 drop"))
    for size, action, reason in ((9000, XDP_DROP, ("drop", "rule")), (9000, XDP_PASS, ("pass", "flow"))):
        before = shared.totals()
        frame = bytes(E / V4 / TCP(sport=7, dport=80 if action == XDP_DROP else 81) / Raw(bytes(size - 54)))
        assert shared.xdp(frame)[0] == action
        assert change(before, shared.totals()) == {("xdp", *reason): (1, size)}


def test_drops_what_it_cannot_read_in_several_buffers(shared):
    """Headers beyond the first buffer, which is a page at most."""
    padding = IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(250))] * 8)
    before, frame = shared.totals(), bytes(E / V6 / padding / padding / padding / T / Raw(bytes(2500)))
    assert shared.xdp(frame)[0] == XDP_DROP
    assert change(before, shared.totals()) == {("xdp", "drop", "nonlinear"): (1, len(frame))}


# ---- the filter: rules | frame | which rule decides (None: the policy) | what happens

SETS = """set bogons { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.168.0.0/16 } }
set nets6 { type ipv6_addr; flags interval; elements = { 2001:db8::/64 } }
set web { type inet_service; elements = { 80, 443 } }
"""
FILTER = [
    ("a set has the source", "ip saddr @bogons drop", E / V4 / T, 0, "drop"),
    ("a set has not the source", "ip saddr @bogons drop", E / IP(src="11.0.0.1", dst="203.0.113.1") / T, None, "pass"),
    ("a set is not asked about the other family", "ip saddr @bogons drop", E / V6 / T, None, "pass"),
    ("a v6 set has the source", "ip6 saddr @nets6 drop", E / V6 / T, 0, "drop"),
    ("a v6 set has not the source", "ip6 saddr @nets6 drop", E / IPv6(src="2001:db8:0:1::1", dst="::1") / T, None, "pass"),
    ("a set of ports", "tcp dport @web drop", E / V4 / T, 0, "drop"),
    ("a negated set", "ip saddr != @bogons drop", E / V4 / T, None, "pass"),
    ("a negated set of what is not there", "ip saddr != @bogons drop", E / IP(src="11.0.0.1", dst="203.0.113.1") / T, 0, "drop"),
    ("negation needs the field", "ip saddr != 10.0.0.2 drop", E / V6 / T, None, "pass"),
    ("a list", "tcp dport { 22, 80, 8000-8100 } drop", E / V4 / T, 0, "drop"),
    ("the first of a range", "udp dport 53-60 drop", E / V4 / U, 0, "drop"),
    ("the last of a range", "udp dport 40-53 drop", E / V4 / U, 0, "drop"),
    ("before a range", "udp dport 54-60 drop", E / V4 / U, None, "pass"),
    ("behind a range", "udp dport 40-52 drop", E / V4 / U, None, "pass"),
    ("the same port of another protocol", "udp dport 80 drop", E / V4 / T, None, "pass"),
    ("sctp ports", "sctp dport 36412 sctp sport 1 drop", E / V4 / SCTP(sport=1, dport=36412), 0, "drop"),
    ("a SYN", "tcp flags & (syn|ack) == syn drop", E / V4 / T, 0, "drop"),
    ("not a SYN", "tcp flags & (syn|ack) == syn drop", E / V4 / TCP(sport=1, dport=80, flags="SA"), None, "pass"),
    ("any of these flags", "tcp flags fin,rst drop", E / V4 / TCP(sport=2, dport=80, flags="RA"), 0, "drop"),
    ("an ICMP type", "icmp type echo-request drop", E / V4 / ICMP(type=8), 0, "drop"),
    ("another ICMP type", "icmp type echo-request drop", E / V4 / ICMP(type=0), None, "pass"),
    ("the same type of ICMPv6", "icmp type 128 drop", E / V6 / ICMPv6EchoRequest(), None, "pass"),
    ("an ICMPv6 type", "icmpv6 type echo-request drop", E / V6 / ICMPv6EchoRequest(), 0, "drop"),
    ("an ICMP code", "icmp code 3 drop", E / V4 / ICMP(type=3, code=3) / V4 / U, 0, "drop"),
    ("a protocol", "meta l4proto gre drop", E / IP(proto=47) / Raw(b"x"), 0, "drop"),
    ("a VLAN id", "vlan id 100 drop", E / Dot1Q(vlan=100) / V4 / T, 0, "drop"),
    ("another VLAN id", "vlan id 100 drop", E / Dot1Q(vlan=101) / V4 / T, None, "pass"),
    ("no tag has no VLAN id", "vlan id != 100 drop", E / V4 / T, None, "pass"),
    ("the outer id of two", "vlan id 7 drop", E / Dot1AD(vlan=7) / Dot1Q(vlan=100) / V4 / T, 0, "drop"),
    ("not the inner id of two", "vlan id 100 drop", E / Dot1AD(vlan=7) / Dot1Q(vlan=100) / V4 / T, None, "pass"),
    ("a port behind a tag", "tcp dport 80 drop", E / Dot1Q(vlan=100) / V4 / T, 0, "drop"),
    ("a port behind two tags", "tcp dport 80 drop", E / Dot1AD(vlan=7) / Dot1Q(vlan=100) / V6 / T, 0, "drop"),
    ("a source MAC", "ether saddr 02:00:00:00:00:01 drop", E / V4 / T, 0, "drop"),
    ("another source MAC", "ether saddr 02:00:00:00:00:02 drop", E / V4 / T, None, "pass"),
    ("a destination MAC", "ether daddr 02:00:00:00:00:02 drop", E / V6 / U, 0, "drop"),
    ("an Ethernet type", "ether type arp drop", E / ARP(hwsrc=E.src, psrc="10.0.0.1", pdst="10.0.0.2"), 0, "drop"),
    ("the Ethernet type of a tagged frame is the tag's", "ether type 8021q drop", E / Dot1Q(vlan=3) / V4 / T, 0, "drop"),
    ("this interface", "iifname in0 drop", E / V4 / T, 0, "drop"),
    ("another interface", "iifname { bk0, in1, in } drop", E / V4 / T, None, "pass"),
    ("a port behind IPv4 options", "tcp dport 80 drop", E / IP(src="10.0.0.1", options=[IPOption_NOP()] * 8) / T, 0, "drop"),
    ("a port behind extension headers", "tcp dport 80 drop", E / V6 / X6 / T, 0, "drop"),
    ("a protocol behind extension headers", "meta l4proto udp drop", E / V6 / X6 / U, 0, "drop"),
    ("a port behind an atomic fragment header", "udp dport 53 drop", E / V6 / IPv6ExtHdrFragment(id=5) / U, 0, "drop"),
    ("the first fragment has its ports", "udp dport 53 drop", E / IP(src="10.0.0.1", flags="MF", id=9) / U / bytes(8), 0, "drop"),
    ("a later fragment matches no port", "udp dport 0-65535 drop", E / IP(src="10.0.0.1", frag=2, proto=17) / Raw(bytes(16)), None, "pass"),
    ("a later fragment matches no negated port", "udp dport != 1 drop", E / IP(src="10.0.0.1", frag=2, proto=17) / Raw(bytes(16)), None, "pass"),
    ("a later v6 fragment matches no port", "udp dport 0-65535 drop", E / V6 / IPv6ExtHdrFragment(offset=2, nh=17) / Raw(bytes(16)), None,
     "pass"),
    ("a later fragment has its addresses", "ip saddr 10.0.0.1 drop", E / IP(src="10.0.0.1", frag=2, proto=17) / Raw(bytes(16)), 0, "drop"),
    ("a later fragment has its protocol", "meta l4proto udp drop", E / IP(src="10.0.0.1", frag=2, proto=17) / Raw(bytes(16)), 0, "drop"),
    ("the first match wins", "ip saddr 10.0.0.0/8 accept\ntcp dport 80 drop", E / V4 / T, 0, "pass"),
    ("the second match wins over the third", "udp dport 80 drop\nip saddr 10.0.0.0/8 drop\ntcp dport 80 accept", E / V4 / T, 1, "drop"),
    ("all matches of a rule must hold", "ip saddr 10.0.0.1 tcp dport 81 drop", E / V4 / T, None, "pass"),
    ("one rule of very many", "\n".join(f"tcp dport {2000 + i} drop" for i in range(200)) + "\ntcp dport 80 drop", E / V4 / T, 200, "drop"),
    # what the parser does not keep: read because a rule asks
    ("a protocol of the IPv4 header", "ip protocol tcp drop", E / V4 / T, 0, "drop"),
    ("a protocol of IPv4 is not asked of IPv6", "ip protocol tcp drop", E / V6 / T, None, "pass"),
    ("the next header is the first one", "ip6 nexthdr hopopt drop", E / V6 / X6 / T, 0, "drop"),
    ("the next header is not the last one", "ip6 nexthdr tcp drop", E / V6 / X6 / T, None, "pass"),
    ("a DSCP", "ip dscp ef drop", E / IP(src="10.0.0.1", tos=0xb9) / T, 0, "drop"),
    ("another DSCP", "ip dscp ef drop", E / IP(src="10.0.0.1", tos=0xb0) / T, None, "pass"),
    ("a DSCP of IPv6", "ip6 dscp { cs1, af11 } drop", E / IPv6(src="2001:db8::1", tc=0x2b) / U, 0, "drop"),
    ("a DSCP of the other family", "ip dscp af11 drop", E / IPv6(src="2001:db8::1", tc=0x28) / U, None, "pass"),
    ("an ECN", "ip ecn ce drop", E / IP(src="10.0.0.1", tos=0xb3) / T, 0, "drop"),
    ("not this ECN", "ip ecn != ce drop", E / IP(src="10.0.0.1", tos=0xb3) / T, None, "pass"),
    ("a TTL", "ip ttl < 5 drop", E / IP(src="10.0.0.1", ttl=4) / T, 0, "drop"),
    ("a greater TTL", "ip ttl < 5 drop", E / IP(src="10.0.0.1", ttl=5) / T, None, "pass"),
    ("a hop limit", "ip6 hoplimit 255 drop", E / IPv6(src="2001:db8::1", hlim=255) / U, 0, "drop"),
    ("a hop limit behind a tag", "ip6 hoplimit 255 drop", E / Dot1Q(vlan=5) / IPv6(src="2001:db8::1", hlim=255) / U, 0, "drop"),
    ("a length", "ip length 40 drop", E / V4 / T, 0, "drop"),
    ("a length without the padding", "ip length 40 drop", bytes(E / V4 / T) + bytes(6), 0, "drop"),
    ("a length of IPv6 is without its header", "ip6 length 8 drop", E / V6 / U, 0, "drop"),
    ("the frame's length is without its header", "meta length 40 drop", E / V4 / T, 0, "drop"),
    ("the frame's length has the padding", "meta length 46 drop", bytes(E / V4 / T) + bytes(6), 0, "drop"),
    ("the frame's length is without the outer tag", "meta length 40 drop", E / Dot1Q(vlan=1) / V4 / T, 0, "drop"),
    ("the frame's length has the inner tag", "meta length 44 drop", E / Dot1AD(vlan=1) / Dot1Q(vlan=1) / V4 / T, 0, "drop"),
    ("a jumbo frame's length", "meta length 8986 drop", E / V4 / T / Raw(bytes(9000 - 54)), 0, "drop"),
    ("a later fragment by its offset", "ip frag-off & 0x1fff != 0 drop", E / IP(src="10.0.0.1", frag=2, proto=17) / Raw(bytes(16)), 0, "drop"),
    ("the first fragment is no later one", "ip frag-off & 0x1fff != 0 drop", E / IP(src="10.0.0.1", flags="MF") / U / bytes(8), None, "pass"),
    ("any fragment", "ip frag-off & 0x3fff != 0 drop", E / IP(src="10.0.0.1", flags="MF") / U / bytes(8), 0, "drop"),
    ("a whole packet that may not be fragmented", "ip frag-off & 0x3fff != 0 drop", E / IP(src="10.0.0.1", flags="DF") / U, None, "pass"),
    ("a fragment behind two tags", "ip frag-off & 0x1fff != 0 drop", E / Dot1AD(vlan=1) / Dot1Q(vlan=2) / IP(src="10.0.0.1", frag=2, proto=17) /
     Raw(bytes(16)), 0, "drop"),
    ("a fragment header", "exthdr frag exists drop", E / V6 / IPv6ExtHdrFragment(offset=2, nh=17) / Raw(bytes(16)), 0, "drop"),
    ("a fragment header behind others", "exthdr frag exists drop", E / V6 / X6 / IPv6ExtHdrFragment(id=5) / U, 0, "drop"),
    ("no fragment header", "exthdr frag missing drop", E / V6 / X6 / U, 0, "drop"),
    ("no extension headers at all", "exthdr frag missing exthdr hbh missing drop", E / V6 / U, 0, "drop"),
    ("IPv4 neither has nor misses one", "exthdr frag missing drop", E / V4 / T, None, "pass"),
    ("hop-by-hop options", "exthdr hbh exists drop", E / V6 / X6 / U, 0, "drop"),
    ("destination options", "exthdr dst exists drop", E / V6 / X6 / U, 0, "drop"),
    ("no routing header", "exthdr rt exists drop", E / V6 / X6 / U, None, "pass"),
    ("a loose source route", "ip option lsrr exists drop", E / IP(src="10.0.0.1", options=[IPOption_NOP(), IPOption_LSRR(routers=["1.2.3.4"])]) / T,
     0, "drop"),
    ("other options are no source route", "ip option lsrr exists drop", E / IP(src="10.0.0.1", options=[IPOption_RR()]) / T, None, "pass"),
    ("an option behind the end is none", "ip option lsrr exists drop", E / IP(src="10.0.0.1", options=[b"\0\0\0\0\x83\x07\x04\x01\x02\x03\x04\0"]) / T,
     None, "pass"),
    ("no options", "ip option rr missing drop", E / V4 / T, 0, "drop"),
    ("options by the header's length", "ip hdrlength > 5 drop", E / IP(src="10.0.0.1", options=[IPOption_NOP()] * 4) / T, 0, "drop"),
    ("a maximum segment size", "tcp option maxseg exists drop", E / V4 / TCP(dport=80, options=[("NOP", None), ("MSS", 1400)]), 0, "drop"),
    ("no maximum segment size", "tcp option maxseg missing drop", E / V4 / T, 0, "drop"),
    ("a small segment size", "tcp option maxseg size < 500 drop", E / V6 / TCP(dport=80, options=[("MSS", 499)]), 0, "drop"),
    ("a large segment size", "tcp option maxseg size < 500 drop", E / V6 / TCP(dport=80, options=[("MSS", 500)]), None, "pass"),
    ("without an option there is no size", "tcp option maxseg size != 500 drop", E / V6 / T, None, "pass"),
    ("SACK permitted", "tcp option sack-perm exists drop", E / V4 / TCP(dport=80, options=[("MSS", 1), ("SAckOK", b""), ("Timestamp", (1, 2))]), 0,
     "drop"),
    ("timestamps behind tags and extension headers", "tcp option timestamp exists drop",
     E / Dot1Q(vlan=1) / V6 / X6 / TCP(dport=80, options=[("MSS", 1), ("Timestamp", (1, 2))]), 0, "drop"),
    ("an option that does not fit is none", "tcp option timestamp exists drop", patched(E / V4 / TCP(dport=80, options=[("NOP", None)] * 4), 54,
     b"\x08\x0a\0\0"), None, "pass"),
    ("an option of length zero ends the list", "tcp option maxseg exists drop", patched(E / V4 / TCP(dport=80, options=[("NOP", None)] * 4 +
     [("MSS", 9)]), 54, b"\5\0"), None, "pass"),
    ("forty bytes of options", "tcp option maxseg size 7 drop", E / V4 / TCP(dport=80, options=[("NOP", None)] * 36 + [("MSS", 7)]), 0, "drop"),
    ("UDP has no TCP options", "tcp option maxseg missing drop", E / V4 / U, None, "pass"),
    ("a VLAN priority", "vlan pcp 5 drop", E / Dot1Q(vlan=100, prio=5) / V4 / T, 0, "drop"),
    ("the outer priority", "vlan pcp 5 drop", E / Dot1AD(vlan=7, prio=5) / Dot1Q(vlan=100, prio=1) / V4 / T, 0, "drop"),
    ("another priority", "vlan pcp { 0-4, 6-7 } drop", E / Dot1Q(vlan=100, prio=5) / V4 / T, None, "pass"),
    ("no tag has no priority", "vlan pcp 0 drop", E / V4 / T, None, "pass"),
    ("the protocol behind the tags", "meta protocol ip drop", E / Dot1AD(vlan=7) / Dot1Q(vlan=100) / V4 / T, 0, "drop"),
    ("ARP by its protocol", "meta protocol arp drop", E / ARP(hwsrc=E.src, psrc="10.0.0.1", pdst="10.0.0.2"), 0, "drop"),
    ("a family", "meta nfproto ipv6 drop", E / Dot1Q(vlan=7) / V6 / T, 0, "drop"),
    ("no mark", "meta mark 0 drop", E / V4 / T, 0, "drop"),
    ("another mark", "meta mark 5 drop", E / V4 / T, None, "pass"),
    ("any random number", "meta random 0-4294967295 drop", E / V4 / T, 0, "drop"),
    ("a port of whatever has ports", "th dport 53 drop", E / V6 / U, 0, "drop"),
    ("ICMP has no ports", "th dport 0-65535 drop", E / V4 / ICMP(type=8), None, "pass"),
    ("two bytes of the transport header", "@th,16,16 80 drop", E / V4 / T, 0, "drop"),
    ("they are the same behind tags and options", "@th,16,16 80 drop", E / Dot1AD() / Dot1Q() / IP(src="10.0.0.1", options=[IPOption_NOP()] * 4) / T,
     0, "drop"),
    ("and behind extension headers", "@th,16,16 53 drop", E / V6 / X6 / U, 0, "drop"),
    ("a later fragment has no transport header", "@th,0,8 0-255 drop", E / IP(src="10.0.0.1", frag=2, proto=17) / Raw(bytes(16)), None, "pass"),
    ("an address by its place", "@nh,96,32 0x0a000001 drop", E / Dot1Q(vlan=3) / V4 / T, 0, "drop"),
    ("bits across bytes", "@nh,4,12 0x500 drop", E / V4 / T, 0, "drop"),
    ("64 bits across nine bytes", "@nh,100,64 0xa000001cb0071010 drop", E / V4 / TCP(sport=0, dport=80), 0, "drop"),
    ("one bit", "@th,110,1 1 drop", E / V4 / T, 0, "drop"),
    ("the other bit", "@th,111,1 1 drop", E / V4 / T, None, "pass"),
    ("bits of the frame", "@ll,48,48 0x20000000001 drop", E / V4 / T, 0, "drop"),
    ("bits of a tag", "@ll,96,32 0x8100a064 drop", E / Dot1Q(vlan=100, prio=5) / V4 / T, 0, "drop"),
    ("bits behind a tag", "@ll,128,16 0x800 drop", E / Dot1Q(vlan=100, prio=5) / V4 / T, 0, "drop"),
    ("bits of what is not IP", "@nh,48,16 1 drop", E / ARP(hwsrc=E.src, psrc="10.0.0.1", pdst="10.0.0.2"), 0, "drop"),
    ("the last bits of a packet", "@nh,312,8 0 drop", E / V4 / T, 0, "drop"),
    ("bits beyond the packet match nothing", "@nh,320,8 0-255 drop", bytes(E / V4 / T) + bytes(6), None, "pass"),
    ("bits beyond the frame match nothing", "@ll,432,8 0-255 drop", E / V4 / T, None, "pass"),
    ("four places", "@nh,0,4 4 @nh,72,8 6 @th,16,16 80 @ll,96,16 0x800 drop", E / V4 / T, 0, "drop"),
    ("a TCP window", "tcp window 8192 drop", E / V4 / T, 0, "drop"),
    ("a data offset", "tcp doff 6 drop", E / V4 / TCP(dport=80, options=[("MSS", 1)]), 0, "drop"),
    ("a flow label", "ip6 flowlabel 0x12345 drop", E / IPv6(src="2001:db8::1", fl=0x12345, tc=255) / U, 0, "drop"),
    ("interfaces by how they begin", 'iifname "in*" drop', E / V4 / T, 0, "drop"),
    ("interfaces that begin otherwise", 'iifname { "in0*", "i1*", "bk*" } drop', E / V4 / T, 0, "drop"),
    ("no such interfaces", 'iifname { "in00*", "i1*", "bk*" } drop', E / V4 / T, None, "pass"),
    ("an address under a mask", "ip saddr & 255.255.0.255 == 10.9.0.1 drop", E / IP(src="10.9.8.1") / T, 0, "drop"),
    # attackers' favourites
    ("a tag does not hide a packet from a rule", "ip saddr 10.0.0.0/8 tcp dport 80 drop", E / Dot1Q(vlan=0) / V4 / T, 0, "drop"),
    ("nor do two", "ip daddr 203.0.113.1 drop", E / Dot1Q(vlan=1) / Dot1Q(vlan=2) / V4 / T, 0, "drop"),
    ("extension headers do not hide TCP", "tcp dport 80 drop", E / V6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / IPv6ExtHdrFragment(id=1) /
     IPv6ExtHdrDestOpt() / T, 0, "drop"),
    ("a mapped address is an IPv6 address", "ip saddr 10.0.0.1 drop", E / IPv6(src="::ffff:10.0.0.1") / T, None, "pass"),
    ("and is matched as one", "ip6 saddr ::ffff:0:0/96 drop", E / IPv6(src="::ffff:10.0.0.1") / T, 0, "drop"),
    ("port zero", "tcp dport 0 drop", E / V4 / TCP(sport=1, dport=0), 0, "drop"),
    ("port zero is not everything", "tcp dport 0 drop", E / V4 / T, None, "pass"),
    ("all addresses", "ip saddr 0.0.0.0/0 drop", E / V4 / T, 0, "drop"),
    ("all addresses of one family only", "ip saddr 0.0.0.0/0 drop", E / V6 / T, None, "pass"),
    ("one address", "ip saddr 10.0.0.1/32 drop", E / V4 / T, 0, "drop"),
    ("the address beside it", "ip saddr 10.0.0.0/32 drop", E / V4 / T, None, "pass"),
    ("overlapping intervals", "tcp dport { 1-79, 60-80, 70-75 } drop", E / V4 / T, 0, "drop"),
    ("SYN and FIN", "tcp flags & (syn|fin) == syn|fin drop", E / V4 / TCP(dport=80, flags="SF"), 0, "drop"),
    ("no flags", "tcp flags == 0x0 drop", E / V4 / TCP(dport=80, flags=""), 0, "drop"),
    ("all flags", "tcp flags & 0xff == 0xff drop", E / V4 / TCP(dport=80, flags="FSRPAUEC"), 0, "drop"),
    ("a runt padded to sixty bytes", "udp dport 53 udp length 8 drop", bytes(E / V4 / U) + bytes(18), 0, "drop"),
    ("a frame of nine thousand bytes", "ip saddr 10.0.0.1 tcp dport 80 drop", E / V4 / T / Raw(bytes(9000 - 54)), 0, "drop"),
    ("payload is never taken for ports", "th dport 53 drop", E / IP(src="10.0.0.1", frag=1, proto=17) / Raw(b"\0\x35" * 8), None, "pass"),
    ("not even behind a v6 fragment header", "th dport 53 drop", E / V6 / IPv6ExtHdrFragment(offset=1, nh=17) / Raw(b"\0\x35" * 8), None, "pass"),
]


# a test run makes no skb larger than a page
@pytest.mark.parametrize("hook, rules, frame, hit, verdict", [pytest.param(h, *v[1:], id=f"{v[0]}-{h}") for v in FILTER for h in ("xdp", "tc")
                                                             if h == "xdp" or len(bytes(v[2])) < 3500])
def test_filters(shared, shared_tc, hook, rules, frame, hit, verdict):
    weir = shared if hook == "xdp" else shared_tc
    frame = bytes(frame)
    weir.apply(ingress(rules, sets=SETS))
    for _ in range(2):	# the second time, the flow may know the answer
        before, counts = weir.totals(), weir.rules()
        action, after = weir.xdp(frame) if hook == "xdp" else weir.skb(frame)
        assert after == frame
        if hook == "xdp":
            assert action == (XDP_DROP if verdict == "drop" else XDP_PASS)
        else:
            assert action == (TC_SHOT if verdict == "drop" else TC_UNSPEC)
        (_, got, reason), (packets, size) = next(iter(change(before, weir.totals()).items()))
        assert (got, packets, size) == (verdict, 1, len(frame))
        assert reason == ("rule" if verdict == "drop" else "flow")
        counted = [a[0] - b[0] for a, b in zip(weir.rules(), counts)]
        assert counted == [int(i == (hit if hit is not None else len(counts) - 1)) for i in range(len(counts))]
    assert weir.difference() == (0, 0)


def test_reads_fields_of_gso_packets_as_the_wire_will_carry_them(shared_tc):
    """One skb of five segments: lengths are those of the first segment."""
    frame = bytes(E / V4 / T / Raw(bytes(3000)))
    for rule, hit in (("ip length 740 drop", True), ("meta length 740 drop", True), ("ip length 3040 drop", False), ("meta length 3040 drop", False)):
        shared_tc.apply(ingress(rule))
        assert (shared_tc.skb(frame, gso_segs=5, gso_size=700)[0] == TC_SHOT) == hit
    shared_tc.apply(ingress("ip6 length 720 drop"))
    assert shared_tc.skb(bytes(E / V6 / T / Raw(bytes(3000))), gso_segs=5, gso_size=700)[0] == TC_SHOT


CHAINS = """
chain web { tcp flags & (syn|fin) == syn|fin drop; tcp dport 443 accept; tcp dport 81 return; tcp dport 82 goto last }
chain last { ip saddr 10.0.0.9 drop; counter }
set pairs { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/30 . 9000, 10.0.0.1 . 9000-9010 } }
map ports { type inet_service : verdict; flags interval; elements = { 7000-7009 : drop, 7010 : accept, 7020 : jump last } }
"""


def by_chain(weir):
    """Counter of packets by (chain, text)."""
    return collections.Counter({(r["chain"], r["text"]): r["packets"] for r in weir.ctl("rule", "list")["rules"]})


# rules of ingress | frame | which rules count it, the deciding one last | what happens
LEADS = [
    ("a jump reaches a rule", "tcp dport 1-1000 jump web", T, ["policy accept"], "pass"),
    ("a rule behind a jump decides", "tcp dport 1-1000 jump web", TCP(dport=443), ["tcp dport 443 accept"], "pass"),
    ("a chain drops", "jump web", TCP(dport=80, flags="SF"), ["tcp flags fin,syn / fin,syn drop"], "drop"),
    ("a return leads on", "jump web\ntcp dport 81 drop", TCP(dport=81), ["tcp dport 81 drop"], "drop"),
    ("a goto's end leads to where the jump was", "jump web\ntcp dport 82 drop", TCP(dport=82), ["counter", "tcp dport 82 drop"], "drop"),
    ("a goto from the first chain ends in its policy", "goto last\ndrop", T, ["counter", "policy accept"], "pass"),
    ("a jump counts when told to", "tcp dport 80 counter jump web", T, ["tcp dport 80 counter jump web", "policy accept"], "pass"),
    ("a return counts when told to", "tcp dport 80 counter return\ndrop", T, ["tcp dport 80 counter return", "policy accept"], "pass"),
    ("the same chain twice counts in one place", "jump last\njump last", T, ["counter"] * 2 + ["policy accept"], "pass"),
    ("an element of a set of pairs", "ip saddr . tcp dport @pairs drop", TCP(dport=9005), ["ip saddr . tcp dport @pairs drop"], "drop"),
    ("elements that overlap count once", "ip saddr . tcp dport @pairs counter", TCP(dport=9000), ["ip saddr . tcp dport @pairs counter",
     "policy accept"], "pass"),
    ("no element of a set of pairs", "ip saddr . tcp dport != @pairs drop", TCP(dport=9000), ["policy accept"], "pass"),
    ("outside of a set of pairs", "ip saddr . tcp dport != @pairs drop", TCP(dport=8999), ["ip saddr . tcp dport != @pairs drop"], "drop"),
    ("a map drops", "tcp dport vmap @ports", TCP(dport=7005), ["tcp dport vmap @ports"], "drop"),
    ("a map jumps", "tcp dport vmap @ports\ndrop", TCP(dport=7020), ["counter", "drop"], "drop"),
    ("a map without the value", "tcp dport vmap @ports\ndrop", TCP(dport=7021), ["drop"], "drop"),
    ("an audit counts and passes", "audit\ntcp dport 80 drop", T, ["tcp dport 80 drop"], "pass"),
    ("an audit of a chain that is led to", "audit\njump web", TCP(dport=80, flags="SF"), ["tcp flags fin,syn / fin,syn drop"], "pass"),
]


@pytest.mark.parametrize("rules, l4, counts, verdict", [pytest.param(*v[1:], id=v[0]) for v in LEADS])
def test_leads(shared, rules, l4, counts, verdict):
    shared.apply("")
    shared.apply(CHAINS + ingress(rules))
    for _ in range(2):	# the second time, the flow may know the answer
        before = by_chain(shared)
        assert shared.xdp(E / V4 / l4)[0] == (XDP_DROP if verdict == "drop" else XDP_PASS)
        assert sorted(text for _, text in (by_chain(shared) - before).elements()) == sorted(counts)
    assert shared.difference() == (0, 0)


def test_rules_of_chains_keep_their_ids_and_counts(shared):
    shared.apply("")
    shared.apply(CHAINS + ingress("jump last"))
    ids = lambda: {(r["chain"], r["text"]): r["id"] for r in shared.ctl("rule", "list")["rules"]}
    before = ids()
    shared.xdp(E / V4 / T)
    shared.apply("chain first { jump last; }" + CHAINS + ingress("jump first\ntcp dport 1 drop\njump last"))
    assert {k: v for k, v in ids().items() if k in before} == before
    shared.xdp(E / V4 / T)
    assert by_chain(shared)[("last", "counter")] == 3


def test_reads_the_mark_of_an_skb(shared_tc):
    shared_tc.apply(ingress("meta mark 5 drop\nmeta mark & 0xfffffff0 == 0x70 drop"))
    for mark, action in ((0, TC_UNSPEC), (5, TC_SHOT), (6, TC_UNSPEC), (0x7f, TC_SHOT), (0x80, TC_UNSPEC)):
        assert shared_tc.skb(E / V4 / T, mark=mark)[0] == action


def test_thousands_of_rules_that_only_count_lead_to_the_one_that_decides(shared):
    shared.apply(ingress("\n".join(f"tcp dport {i % 80}-80 counter" for i in range(6000)) + "\ntcp dport 80 drop"))
    before = sum(p for p, _ in shared.rules())
    assert shared.xdp(E / V4 / T)[0] == XDP_DROP
    assert sum(p for p, _ in shared.rules()) - before == 6001


def test_rules_that_ask_for_more_than_the_flow_are_asked_for_each_packet(shared):
    shared.apply(ingress("ip ttl 1 drop\ntcp dport 80 accept"))
    for ttl, action in ((64, XDP_PASS), (1, XDP_DROP), (64, XDP_PASS), (1, XDP_DROP)):
        assert shared.xdp(E / IP(src="10.0.0.1", dst="203.0.113.1", ttl=ttl) / T)[0] == action


def test_policy_drops_what_no_rule_takes(shared):
    shared.apply(ingress("tcp dport 443 accept", policy="drop"))
    before = shared.totals()
    assert shared.xdp(E / V4 / TCP(sport=9, dport=443))[0] == XDP_PASS
    assert shared.xdp(E / V4 / TCP(sport=9, dport=444))[0] == XDP_DROP
    assert shared.xdp(E / ARP(hwsrc=E.src, psrc="10.0.0.1", pdst="10.0.0.2"))[0] == XDP_DROP
    assert {k[1:]: v[0] for k, v in change(before, shared.totals()).items()} == {("pass", "flow"): 1, ("drop", "policy"): 2}


def test_not_ip_is_booked_as_such(shared):
    shared.apply(ingress(""))
    before = shared.totals()
    assert shared.xdp(E / ARP(hwsrc=E.src, psrc="10.0.0.1", pdst="10.0.0.2"))[0] == XDP_PASS
    assert change(before, shared.totals()) == {("xdp", "pass", "not-ip"): (1, 42)}


def test_rules_that_only_count_go_on(fresh):
    fresh.apply(ingress("counter\nip saddr 10.0.0.0/8 counter\nudp dport 53 counter\ntcp dport 80 accept\ntcp dport 80 counter"))
    for _ in range(5):
        assert fresh.xdp(E / V4 / T)[0] == XDP_PASS
    assert fresh.xdp(E / V6 / U)[0] == XDP_PASS
    assert [p for p, _ in fresh.rules()] == [6, 5, 1, 5, 0, 1]
    assert fresh.rules()[1] == (5, 5 * 40) and fresh.rules()[2] == (1, 48)


def test_a_flow_is_asked_anew_where_a_rule_looks_at_more_than_the_flow(fresh):
    fresh.apply(ingress("tcp flags rst drop\ntcp dport 80 accept"))
    ack, rst = E / V4 / TCP(sport=5, dport=80, flags="A"), E / V4 / TCP(sport=5, dport=80, flags="R")
    assert [fresh.xdp(p)[0] for p in (ack, ack, rst, ack)] == [XDP_PASS, XDP_PASS, XDP_DROP, XDP_PASS]
    assert [p for p, _ in fresh.rules()] == [1, 3, 0]


def test_apply_takes_back_what_a_flow_remembers(fresh):
    fresh.apply(ingress("tcp dport 80 accept"))
    both = E / V4 / T, E / IP(src="203.0.113.1", dst="10.0.0.1") / TCP(sport=80, dport=1024, flags="SA")
    for frame in both * 3:
        assert fresh.xdp(frame)[0] == XDP_PASS
    fresh.apply(ingress("tcp dport 80 drop"))
    assert fresh.xdp(both[0])[0] == XDP_DROP
    assert fresh.xdp(both[1])[0] == XDP_PASS
    fresh.apply(ingress("tcp dport 80 accept\ntcp sport 80 drop"))
    assert [fresh.xdp(p)[0] for p in both] == [XDP_PASS, XDP_DROP]
    assert fresh.difference() == (0, 0)


def test_counters_survive_changes_elsewhere(fresh):
    fresh.apply(ingress("tcp dport 80 accept\nudp dport 53 drop"))
    for _ in range(3):
        fresh.xdp(E / V4 / T)
    fresh.xdp(E / V4 / U)
    fresh.apply(ingress("ip saddr 192.0.2.99 drop\nudp dport 53 drop\ntcp dport 80 accept"))
    assert fresh.rules() == [(0, 0), (1, 28), (3, 120), (0, 0)]
    fresh.xdp(E / V4 / T)
    fresh.apply(ingress("udp dport 53 accept\ntcp dport 80 accept"))
    assert fresh.rules() == [(0, 0), (4, 160), (0, 0)]
    fresh.apply(ingress(""))
    fresh.apply(ingress("tcp dport 80 accept"))
    assert fresh.rules()[0] == (0, 0)	# another rule with the same words


def test_drops_make_no_flow(fresh):
    fresh.apply(ingress("udp dport 53 drop", policy="drop"))
    for port in range(100):
        assert fresh.xdp(E / V4 / UDP(sport=port + 1, dport=53 + port % 2))[0] == XDP_DROP
    assert fresh.flows() == []
    assert fresh.totals() == {("xdp", "drop", "rule"): (50, 50 * 42), ("xdp", "drop", "policy"): (50, 50 * 42)}
    assert fresh.difference() == (0, 0)


# ---- flows

def test_one_flow_for_both_directions(fresh):
    for frame in (E / V4 / T, E / V4 / T / b"12345678", E / IP(src="203.0.113.1", dst="10.0.0.1") / TCP(sport=80, dport=1024, flags="SA")):
        fresh.xdp(frame)
    (flow,) = fresh.flows()
    assert {k: flow[k] for k in ("proto", "src", "sport", "dst", "dport", "packets", "bytes", "reverse_packets", "reverse_bytes", "state")} == {
        "proto": "tcp", "src": "10.0.0.1", "sport": 1024, "dst": "203.0.113.1", "dport": 80, "packets": 2, "bytes": 88,
        "reverse_packets": 1, "reverse_bytes": 40, "state": "established"}
    assert (flow["tcp_flags"], flow["reverse_tcp_flags"]) == ("S", "SA")
    assert flow["first_ns"] <= flow["last_ns"]


FLOWS = [	# what makes a flow of its own, and what does not: frames, number of flows
    ("tags apart", [E / V4 / T, E / Dot1Q(vlan=1) / V4 / T, E / Dot1Q(vlan=2) / V4 / T], 3),
    ("the outer tag alone tells", [E / Dot1AD(vlan=7) / Dot1Q(vlan=1) / V4 / T, E / Dot1AD(vlan=7) / Dot1Q(vlan=2) / V4 / T], 1),
    ("protocols apart", [E / V4 / TCP(sport=1, dport=2), E / V4 / UDP(sport=1, dport=2), E / V4 / SCTP(sport=1, dport=2)], 3),
    ("families apart", [E / V4 / T, E / V6 / T], 2),
    ("options are of the same flow", [E / V4 / T, E / IP(src="10.0.0.1", dst="203.0.113.1", options=[IPOption_NOP()] * 4) / T], 1),
    ("extension headers are of the same flow", [E / V6 / U, E / V6 / X6 / U], 1),
    ("echos by identifier", [E / V4 / ICMP(type=8, id=1), E / V4 / ICMP(type=8, id=2), E / V4 / ICMP(type=8, id=2, seq=2)], 2),
    ("later fragments apart from port zero", [E / IP(src="10.0.0.1", frag=2, proto=17) / Raw(bytes(8)),
                                              E / IP(src="10.0.0.1", frag=4, proto=17) / Raw(bytes(8)),
                                              E / IP(src="10.0.0.1", dst="127.0.0.1") / UDP(sport=0, dport=0)], 2),
]


@pytest.mark.parametrize("frames, n", [pytest.param(*v[1:], id=v[0]) for v in FLOWS])
def test_tells_flows_apart(fresh, frames, n):
    for frame in frames:
        assert fresh.xdp(frame)[0] == XDP_PASS
    flows = fresh.flows()
    assert len(flows) == n
    assert sum(f["packets"] + f["reverse_packets"] for f in flows) == len(frames)
    assert fresh.difference() == (0, 0)


def random_packets(r, n):
    for _ in range(n):
        v4 = IP(src=f"10.0.0.{r.randrange(4)}", dst="203.0.113.1")
        v6 = IPv6(src=f"2001:db8::{r.randrange(4)}", dst="2001:db8:ffff::1")
        l4 = r.choice((TCP, UDP))(sport=r.randrange(1, 200), dport=r.choice((53, 80, 443)))
        yield E / r.choice((v4, v4, v6)) / l4 / Raw(bytes(r.randrange(100)))


def check_promise(weir, sent, sent_bytes):
    """totals = exported + live + overflow, and the totals are what was sent."""
    v = weir.ctl("flow", "verify")
    assert v["difference"] == {"packets": 0, "bytes": 0}
    totals = weir.totals()
    assert sum(p for p, _ in totals.values()) == sent
    assert sum(b for _, b in totals.values()) == sent_bytes
    return totals, v


@pytest.mark.parametrize("options, reason", [({"flows": 16}, "table-full"), ({"options": ["--inserts", "1"]}, "insert-limit")])
def test_nothing_is_unaccounted(options, reason):
    r, sent, size = random.Random(SEED), 0, 0
    with opened(Instance(*options.get("options", []), flows=options.get("flows", 4096))) as weir:
        weir.apply(ingress("udp dport 443 drop"))
        for packet in random_packets(r, 1500):
            frame = bytes(packet)
            weir.xdp(frame)
            sent, size = sent + 1, size + len(frame)
        totals, v = check_promise(weir, sent, size)
        assert totals[("xdp", "pass", reason)][0] == v["overflow"]["packets"] > 0
        assert v["live"]["packets"] == sum(f["packets"] + f["reverse_packets"] for f in weir.flows())
        assert "flows" not in options or len(weir.flows()) <= 32


def stable(flow):
    """Without times: what jiffies are on the wall's clock moves by a fraction of one."""
    return {k: v for k, v in flow.items() if not k.endswith("_ns")}


def test_a_flood_evicts_no_established_flow():
    with opened(Instance(flows=16)) as weir:
        for port in range(1000, 1040):	# what finds no room is not established, whatever it says
            for flags in ("S", "A", "A"):
                weir.xdp(E / V4 / TCP(sport=port, dport=80, flags=flags))
        kept = [f for f in weir.flows() if f["state"] == "established"]
        assert len(kept) >= 8
        for port in range(2000, 5000):
            assert weir.xdp(bytes(E) + FLOOD[:20] + port.to_bytes(2, "big") + FLOOD[22:])[0] == XDP_PASS
        after = {f["sport"]: f for f in weir.flows()}
        for f in kept:
            assert stable(after[f["sport"]]) == stable(f)
        assert weir.difference() == (0, 0)
        assert sum(p for p, _ in weir.totals().values()) == 40 * 3 + 3000


FLOOD = bytes(V4 / TCP(sport=1, dport=80, flags="S"))


# ---- services

def service(*backends, forward="l2", listens=(f"{VIP}:80/tcp",), name="web"):
    return f"service {name} {{\n" + "\n".join([f"listen {l}" for l in listens] + [f"forward {forward}"] +
                                              [f"backend {b}" for b in backends]) + "\n}\n"


C4, C6 = IP(src=CLIENT, dst=VIP, tos=0xb8), IPv6(src=CLIENT6, dst=VIP6, tc=0xb8)
BOTH = (f"{VIP}:80/tcp", f"[{VIP6}]:80/tcp", f"{VIP}:53/udp", f"[{VIP6}]:53/udp")

FORWARD = [	# forward | backend | frame | where it goes
    ("l2 on the same interface is sent back", "l2", "192.0.2.11", E / C4 / T, XDP_TX),
    ("l2 on another interface is redirected", "l2", "10.1.0.11", E / C4 / T, XDP_REDIRECT),
    ("l2 v6", "l2", "2001:db8:b::11", E / C6 / T, XDP_REDIRECT),
    ("l2 v6 on the same interface", "l2", "2001:db8:1::11", E / C6 / U, XDP_TX),
    ("l2 keeps a tag", "l2", "10.1.0.11", E / Dot1Q(vlan=100, prio=3) / C4 / T, XDP_REDIRECT),
    ("l2 keeps two tags", "l2", "10.1.0.11", E / Dot1AD(vlan=7) / Dot1Q(vlan=100) / C4 / T, XDP_REDIRECT),
    ("l2 with IPv4 options", "l2", "10.1.0.11", E / IP(src=CLIENT, dst=VIP, options=[IPOption_NOP()] * 8) / T, XDP_REDIRECT),
    ("l2 with extension headers", "l2", "2001:db8:b::11", E / C6 / X6 / T, XDP_REDIRECT),
    ("l2 first fragment", "l2", "10.1.0.11", E / IP(src=CLIENT, dst=VIP, flags="MF", id=3) / U / bytes(8), XDP_REDIRECT),
    ("4in4", "ipip", "10.1.0.11", E / C4 / T / b"payload", XDP_REDIRECT),
    ("4in4 on the same interface is sent back", "ipip", "192.0.2.11", E / C4 / T, XDP_TX),
    ("4in4 through a gateway", "ipip", "10.9.0.11", E / C4 / U / b"payload", XDP_REDIRECT),
    ("4in4 keeps a tag", "ipip", "10.1.0.11", E / Dot1Q(vlan=100, prio=3) / C4 / T, XDP_REDIRECT),
    ("4in4 keeps two tags", "ipip", "10.1.0.11", E / Dot1AD(vlan=7) / Dot1Q(vlan=100) / C4 / T, XDP_REDIRECT),
    ("4in4 with IPv4 options", "ipip", "10.1.0.11", E / IP(src=CLIENT, dst=VIP, options=[IPOption_NOP()] * 8) / T, XDP_REDIRECT),
    ("4in4 of a fragment", "ipip", "10.1.0.11", E / IP(src=CLIENT, dst=VIP, flags="MF", id=3) / U / bytes(8), XDP_REDIRECT),
    ("4in6", "ipip", "2001:db8:b::11", E / C4 / T / b"payload", XDP_REDIRECT),
    ("4in6 keeps a tag", "ipip", "2001:db8:b::11", E / Dot1Q(vlan=100) / C4 / U, XDP_REDIRECT),
    ("6in6", "ipip", "2001:db8:b::11", E / C6 / T / b"payload", XDP_REDIRECT),
    ("6in6 keeps two tags", "ipip", "2001:db8:b::11", E / Dot1AD(vlan=7) / Dot1Q(vlan=100) / C6 / T, XDP_REDIRECT),
    ("6in6 with extension headers", "ipip", "2001:db8:b::11", E / C6 / X6 / U / b"payload", XDP_REDIRECT),
    ("6in4", "ipip", "10.1.0.11", E / C6 / T / b"payload", XDP_REDIRECT),
    ("6in4 on the same interface is sent back", "ipip", "192.0.2.11", E / C6 / U, XDP_TX),
    ("padding behind a short packet stays behind it", "ipip", "10.1.0.11", bytes(E / C4 / T) + bytes(6), XDP_REDIRECT),
    ("ICMP echo to the address goes to a backend", "l2", "10.1.0.11", E / C4 / ICMP(type=8, id=4), XDP_REDIRECT),
]


def checked(ip):
    """The IPv4 header's checksum is right: scapy makes the same."""
    again = ip.copy()
    del again.chksum
    return IP(bytes(again)).chksum == ip.chksum


def check_forwarded(before, after, forward, backend):
    """The frame went to the backend: MAC addresses, tags, outer header; and inside it is what it was."""
    hop = backend if backend in BACKENDS else "10.1.0.1"
    interface, mac = BACKENDS[hop]
    assert after[:6].hex(":") == mac and after[6:12].hex(":") == MAC[interface]
    was, got = Ether(before), Ether(after)
    tags = 0
    while isinstance(was.payload, Dot1Q):
        was, got, tags = was.payload, got.payload, tags + 1
        assert isinstance(got, Dot1Q)
        assert (got.vlan, got.prio) == (was.vlan, was.prio)
        assert isinstance(was.payload, Dot1Q) == isinstance(got.payload, Dot1Q)
    l3 = 14 + 4 * tags
    if forward == "l2":
        assert after[12:] == before[12:]
        return
    outer, inner = got.payload, was.payload
    v4 = ":" not in backend
    assert isinstance(outer, IP if v4 else IPv6) and got.type == (0x800 if v4 else 0x86dd)
    assert outer.dst == backend
    size = inner.len if inner.version == 4 else inner.plen + 40
    proto, tos = (4 if inner.version == 4 else 41), inner.tos if inner.version == 4 else inner.tc
    if v4:
        assert (outer.ihl, outer.len, outer.proto, outer.tos, outer.frag, outer.ttl) == (5, size + 20, proto, tos, 0, 64)
        assert outer.flags == "DF" and checked(outer)
        assert outer.src == SOURCE[interface][0] or not SOURCED and outer.src == "192.0.0.8"
    else:
        assert (outer.version, outer.plen, outer.nh, outer.tc, outer.hlim) == (6, size, proto, tos, 64)
        assert outer.src == SOURCE[interface][1] or not SOURCED and outer.src == "100::"
    assert after[l3 + (20 if v4 else 40):] == before[l3:]


SOURCE = {"in0": ("192.0.2.254", "2001:db8:1::fe"), "bk0": ("10.1.0.254", "2001:db8:b::fe")}


def listens_for(backend, forward):
    """forward l2 wants both of one family."""
    return BOTH if forward == "ipip" else [l for l in BOTH if ("[" in l) == (":" in backend)]


@pytest.mark.parametrize("forward, backend, frame, action", [pytest.param(*v[1:], id=v[0]) for v in FORWARD])
def test_forwards(shared, forward, backend, frame, action):
    frame = bytes(frame)
    shared.apply(service(backend, forward=forward, listens=listens_for(backend, forward)))
    for _ in range(2):	# the second time the flow knows the backend
        before = shared.totals()
        got, after = shared.xdp(frame)
        assert got == action
        check_forwarded(frame, after, forward, backend)
        verdict = "tx" if action == XDP_TX else "redirect"
        assert change(before, shared.totals()) == {("xdp", verdict, "flow"): (1, len(frame))}
    assert shared.difference() == (0, 0)
    (s,) = shared.ctl("service", "list")["services"]
    assert s["backends"][0]["packets"] >= 2


# a test run leaves tags in the bytes of an skb, where the kernel's receive path does not
@pytest.mark.parametrize("forward, backend, frame", [pytest.param(*v[1:4], id=v[0]) for v in FORWARD if "tag" not in v[0]])
def test_forwards_from_tc(shared_tc, forward, backend, frame):
    frame = bytes(frame)
    shared_tc.apply(service(backend, forward=forward, listens=listens_for(backend, forward)))
    before = shared_tc.totals()
    got, after = shared_tc.skb(frame)
    assert got == TC_REDIRECT
    if forward == "l2":
        assert after == frame
    else:	# the kernel writes the Ethernet header when it sends
        hop = BACKENDS[backend if backend in BACKENDS else "10.1.0.1"]
        link = Ether(dst=hop[1], src=MAC[hop[0]], type=0x86dd if ":" in backend else 0x800)
        check_forwarded(frame, bytes(link) + after[14:], forward, backend)
    assert change(before, shared_tc.totals()) == {("tc-ingress", "redirect", "flow"): (1, len(frame))}


NOT_FORWARDED = [	# configuration | frame | action | verdict and reason
    ("another port of the address is the host's", service("10.1.0.11"), E / C4 / TCP(sport=1, dport=81), XDP_PASS, ("pass", "flow")),
    ("another protocol of the port is the host's", service("10.1.0.11"), E / C4 / UDP(sport=1, dport=80), XDP_PASS, ("pass", "flow")),
    ("another address is the host's", service("10.1.0.11"), E / IP(src=CLIENT, dst="203.0.113.11") / T, XDP_PASS, ("pass", "flow")),
    ("a service whose backends are all drained", service("10.1.0.11 weight 0"), E / C4 / T, XDP_DROP, ("drop", "no-backend")),
    ("a backend that is unreachable", service("172.31.0.1", forward="ipip"), E / C4 / T, XDP_DROP, ("drop", "no-route")),
    ("l2 needs the backend on the link", service("10.9.0.11"), E / C4 / T, XDP_DROP, ("drop", "not-on-link")),
    ("a next hop without a MAC", service("10.1.0.99"), E / C4 / T, XDP_DROP, ("drop", "no-neighbour")),
    ("an encapsulated packet beyond the MTU", service("10.1.0.11", forward="ipip"), E / C4 / T / bytes(1445), XDP_DROP, ("drop", "too-big")),
    ("a backend that is this host", service("10.1.0.254"), E / C4 / T, XDP_PASS, ("pass", "flow")),
    ("a fragment whose first was not seen", service("10.1.0.11", listens=(f"{VIP}:53/udp",)),
     E / IP(src=CLIENT, dst=VIP, frag=9, id=77, proto=17) / Raw(bytes(8)), XDP_DROP, ("drop", "orphan-fragment")),
    ("a rule before the service", service("10.1.0.11") + ingress(f"ip saddr {CLIENT} drop"), E / C4 / T, XDP_DROP, ("drop", "rule")),
    ("an ICMP error about no flow of a service", service("10.1.0.11"),
     E / IP(src="192.0.2.99", dst=VIP) / ICMP(type=3, code=1) / IP(src=VIP, dst=CLIENT) / TCP(sport=22, dport=9), XDP_PASS, ("pass", "flow")),
]


@pytest.mark.parametrize("config, frame, action, booked", [pytest.param(*v[1:], id=v[0]) for v in NOT_FORWARDED])
def test_does_not_forward(fresh, config, frame, action, booked):
    frame = bytes(frame)
    fresh.apply(config)
    got, after = fresh.xdp(frame)
    assert got == action
    assert after == frame
    assert fresh.totals() == {("xdp", *booked): (1, len(frame))}
    assert bool(fresh.flows()) == (booked[0] == "pass")
    assert fresh.difference() == (0, 0)


def test_the_largest_packet_that_fits_is_encapsulated(fresh):
    fresh.apply(service("10.1.0.11", forward="ipip"))
    frame = bytes(E / C4 / T / bytes(1440))
    got, after = fresh.xdp(frame)
    assert got == XDP_REDIRECT and len(after) == 1514


def backend_of(weir, frame):
    action, after = weir.xdp(frame)
    assert action in (XDP_TX, XDP_REDIRECT), action
    return after[:6].hex(":")


TWO = ("10.1.0.11", "10.1.0.12")
MACS = {BACKENDS[b][1] for b in TWO}


def test_connections_spread_and_stay(fresh):
    fresh.apply(service(*TWO))
    first = {p: backend_of(fresh, E / C4 / TCP(sport=p, dport=80, flags="S")) for p in range(5000, 5064)}
    assert set(first.values()) == MACS
    fresh.apply(service("10.1.0.11", "10.1.0.12 weight 0"))
    for port, mac in first.items():	# those of the one that drains go on
        assert backend_of(fresh, E / C4 / TCP(sport=port, dport=80, flags="A")) == mac
    for port in range(6000, 6032):	# new ones go to the other
        assert backend_of(fresh, E / C4 / TCP(sport=port, dport=80, flags="S")) == BACKENDS["10.1.0.11"][1]
    fresh.apply(service("10.1.0.11"))
    for port in first:			# gone: they must go somewhere
        assert backend_of(fresh, E / C4 / TCP(sport=port, dport=80, flags="A")) == BACKENDS["10.1.0.11"][1]
    assert fresh.difference() == (0, 0)


def test_a_backend_that_takes_the_slot_of_another_takes_no_flow_of_it(fresh):
    """The slot is used again; the flow of a backend that left must not follow it into another service."""
    mail = service("10.1.0.12", name="mail", listens=(f"{VIP}:25/tcp",))
    fresh.apply(service("192.0.2.11") + mail)
    frame = E / C4 / TCP(sport=7000, dport=25, flags="S")
    assert backend_of(fresh, frame) == BACKENDS["10.1.0.12"][1]
    fresh.apply(service("192.0.2.11"))
    fresh.apply(service("192.0.2.11", "192.0.2.12") + service("10.1.0.11", name="mail", listens=(f"{VIP}:25/tcp",)))
    assert backend_of(fresh, frame) == BACKENDS["10.1.0.11"][1]


@pytest.mark.parametrize("network", [4, 6])
def test_fragments_follow_their_first(fresh, network):
    backends = TWO if network == 4 else ("2001:db8:b::11", "2001:db8:b::12")
    fresh.apply(service(*backends, listens=(f"{VIP}:53/udp",) if network == 4 else (f"[{VIP6}]:53/udp",)))
    seen = set()
    for ident in range(1, 40):
        udp = UDP(sport=10000 + ident, dport=53, len=1600)
        if network == 4:
            parts = [E / IP(src=CLIENT, dst=VIP, flags="MF", id=ident) / udp / bytes(8),
                     E / IP(src=CLIENT, dst=VIP, flags="MF", id=ident, frag=2, proto=17) / Raw(bytes(16)),
                     E / IP(src=CLIENT, dst=VIP, id=ident, frag=4, proto=17) / Raw(bytes(3))]
        else:
            parts = [E / IPv6(src=CLIENT6, dst=VIP6) / IPv6ExtHdrFragment(m=1, id=ident) / udp / bytes(8),
                     E / IPv6(src=CLIENT6, dst=VIP6) / IPv6ExtHdrFragment(m=1, id=ident, offset=2, nh=17) / Raw(bytes(16)),
                     E / IPv6(src=CLIENT6, dst=VIP6) / IPv6ExtHdrFragment(id=ident, offset=4, nh=17) / Raw(bytes(3))]
        went = {backend_of(fresh, p) for p in parts}
        assert len(went) == 1
        seen |= went
    assert len(seen) == 2
    assert fresh.difference() == (0, 0)


def errors(port):
    """ICMP errors of a router on the way to the client, about what the service sent it."""
    reply = IP(src=VIP, dst=CLIENT) / TCP(sport=80, dport=port)
    yield E / IP(src="192.0.2.99", dst=VIP) / ICMP(type=3, code=4) / reply
    yield E / IP(src="192.0.2.99", dst=VIP) / ICMP(type=11) / Raw(bytes(reply)[:28])
    yield E / IP(src="192.0.2.99", dst=VIP) / ICMP(type=3, code=1) / IP(src=VIP, dst=CLIENT, options=[IPOption_NOP()] * 4) / TCP(sport=80, dport=port)


def test_icmp_errors_follow_the_flow_they_are_about(fresh):
    fresh.apply(service(*TWO))
    first = {p: backend_of(fresh, E / C4 / TCP(sport=p, dport=80, flags="S")) for p in range(5000, 5032)}
    fresh.apply(service("10.1.0.11", "10.1.0.12 weight 0"))	# the ring would say .11 for all
    for port, mac in first.items():
        for error in errors(port):
            assert backend_of(fresh, error) == mac
    assert set(first.values()) == MACS
    assert fresh.difference() == (0, 0)


def test_icmpv6_errors_follow_the_flow_they_are_about(fresh):
    both = "2001:db8:b::11", "2001:db8:b::12"
    fresh.apply(service(*both, listens=(f"[{VIP6}]:80/tcp",)))
    first = {p: backend_of(fresh, E / Dot1Q(vlan=5) / C6 / TCP(sport=p, dport=80, flags="S")) for p in range(5000, 5032)}
    fresh.apply(service(both[0], both[1] + " weight 0", listens=(f"[{VIP6}]:80/tcp",)))
    for port, mac in first.items():
        reply = IPv6(src=VIP6, dst=CLIENT6) / TCP(sport=80, dport=port)
        extended = IPv6(src=VIP6, dst=CLIENT6) / X6 / TCP(sport=80, dport=port)
        for quoted in (reply, extended):
            error = E / Dot1Q(vlan=5) / IPv6(src="2001:db8:1::99", dst=VIP6) / ICMPv6DestUnreach(code=1) / quoted
            assert backend_of(fresh, error) == mac
    assert len(set(first.values())) == 2


def test_weights_share_new_flows(fresh):
    fresh.apply(service("10.1.0.11 weight 3", "10.1.0.12"))
    for port in range(20000, 20800):
        backend_of(fresh, E / C4 / TCP(sport=port, dport=80))
    (s,) = fresh.ctl("service", "list")["services"]
    three, one = (b["packets"] for b in s["backends"])
    assert three + one == 800
    assert 520 < three < 680		# 600 expected; the ports are always the same, and so is the ring


def test_without_flows_the_ring_decides_alone():
    with opened(Instance("--no-flows")) as weir:
        weir.apply(service(*TWO))
        first = {p: backend_of(weir, E / C4 / TCP(sport=p, dport=80)) for p in range(5000, 5032)}
        assert {p: backend_of(weir, E / C4 / TCP(sport=p, dport=80)) for p in first} == first
        assert set(first.values()) == MACS
        assert weir.flows() == []
        assert set(weir.totals()) == {("xdp", "redirect", "no-flows")}
        assert weir.difference() == (0, 0)


DECAP = [
    ("4in4", IP(src="192.0.2.1", dst="192.0.2.254") / C4 / T / b"x"),
    ("6in4", IP(src="192.0.2.1", dst="192.0.2.254", proto=41) / C6 / T / b"x"),
    ("4in6", IPv6(src="2001:db8:1::1", dst="2001:db8:1::fe", nh=4) / C4 / T / b"x"),
    ("6in6", IPv6(src="2001:db8:1::1", dst="2001:db8:1::fe", nh=41) / C6 / U / b"x"),
    ("an outer header with options", IP(src="192.0.2.1", dst="192.0.2.254", options=[IPOption_NOP()] * 4) / C4 / T / b"x"),
    ("an outer header with an extension header",
     IPv6(src="2001:db8:1::1", dst="2001:db8:1::fe") / IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))], nh=41) / C6 / U / b"x"),
    ("a fragment inside", IP(src="192.0.2.1", dst="192.0.2.254") / IP(src=CLIENT, dst=VIP, frag=9, proto=17) / Raw(b"x")),
]


@pytest.mark.parametrize("tags", [[], [Dot1Q(vlan=100, prio=2)], [Dot1AD(vlan=7), Dot1Q(vlan=100)]], ids=["untagged", "a tag", "two tags"])
@pytest.mark.parametrize("packet", [pytest.param(v[1], id=v[0]) for v in DECAP])
def test_takes_the_outer_header_off(decapsulating, packet, tags):
    link, plain = E.copy(), E.copy()
    for tag in tags:
        link, plain = link / tag.copy(), plain / tag.copy()
    frame = bytes(link / packet)
    before = decapsulating.totals()
    action, after = decapsulating.xdp(frame)
    assert action == XDP_PASS
    inner = packet.payload.payload if packet.haslayer(IPv6ExtHdrDestOpt) else packet.payload
    assert after == bytes(plain / inner)
    assert change(before, decapsulating.totals()) == {("xdp", "pass", "flow"): (1, len(frame))}	# the outer header was on the wire
    assert decapsulating.difference() == (0, 0)


def test_leaves_fragments_of_outer_packets_alone(decapsulating):
    frame = bytes(E / IP(src="192.0.2.1", dst="192.0.2.254", proto=4, flags="MF") / Raw(bytes(C4 / T)))
    assert decapsulating.xdp(frame) == (XDP_PASS, frame)


def test_filters_what_was_inside():
    with opened(Instance("--decap")) as weir:
        weir.apply(ingress("tcp dport 80 drop"))
        assert weir.xdp(E / DECAP[0][1])[0] == XDP_DROP
        assert weir.xdp(E / IP(src="192.0.2.1", dst="192.0.2.254", proto=4) / Raw(bytes(C4 / T)[:30]))[0] == XDP_DROP
        assert {k[2] for k in weir.totals()} == {"rule", "short-ipv4"}


# ---- tc: skbs that stand for many packets

GSO = [	# frame | segments | packets, frame bytes, IP bytes of the wire
    ("an ordinary skb is one packet", E / V4 / T / bytes(1000), 0, 1, 1054, 1040),
    ("two segments repeat the headers", E / V4 / T / bytes(2896), 2, 2, 14 + 40 + 2896 + 54, 40 + 2896 + 40),
    ("TCP options are repeated too", E / V4 / TCP(sport=1, dport=80, options=[("NOP", None), ("NOP", None), ("Timestamp", (1, 2))]) / bytes(2896),
     2, 2, 14 + 52 + 2896 + 66, 52 + 2896 + 52),
    ("v6 segments", E / V6 / T / bytes(2856), 3, 3, 14 + 60 + 2856 + 2 * 74, 60 + 2856 + 2 * 60),
    ("UDP segments", E / V4 / U / bytes(2800), 28, 28, 14 + 28 + 2800 + 27 * 42, 28 + 2800 + 27 * 28),
]


@pytest.mark.parametrize("hook", ["tc-ingress", "tc-egress"])
@pytest.mark.parametrize("frame, segments, packets, size, ip_size", [pytest.param(*v[1:], id=v[0]) for v in GSO])
def test_counts_packets_of_the_wire(quiet, hook, frame, segments, packets, size, ip_size):
    chain = "ingress" if hook == "tc-ingress" else "egress"
    quiet.apply(f"chain {chain} {{\ntcp dport 9 drop\n}}\n")
    before, rules = quiet.totals(), quiet.rules(chain)
    assert quiet.skb(frame, hook, segments, 1448 if segments else 0)[0] == TC_UNSPEC
    assert change(before, quiet.totals()) == {(hook, "pass", "flow"): (packets, size)}
    assert tuple(a - b for a, b in zip(quiet.rules(chain)[-1], rules[-1])) == (packets, ip_size)
    assert quiet.difference() == (0, 0)


def test_egress_has_its_own_chain(quiet):
    quiet.apply("chain ingress {\nudp dport 53 drop\n}\nchain egress {\noifname out0 tcp dport 80 drop\n}\n")
    before = quiet.totals()
    assert quiet.skb(E / V4 / T, "tc-egress")[0] == TC_SHOT
    assert quiet.skb(E / V4 / T, "tc-ingress")[0] == TC_UNSPEC
    assert quiet.skb(E / V4 / U, "tc-egress")[0] == TC_UNSPEC
    assert quiet.skb(E / V4 / U, "tc-ingress")[0] == TC_SHOT
    assert {k: p for k, (p, _) in change(before, quiet.totals()).items()} == {
        (h, *what): 1 for h in ("tc-ingress", "tc-egress") for what in (("drop", "rule"), ("pass", "flow"))}


def test_tc_leaves_to_xdp_what_xdp_has_done():
    with opened(Instance(hooks="xdp,tc-ingress")) as weir:
        weir.apply(ingress("tcp dport 80 drop"))
        assert weir.skb(E / V4 / T)[0] == TC_UNSPEC
        assert weir.totals() == {}
