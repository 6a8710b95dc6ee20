# SPDX-License-Identifier: GPL-2.0-only
"""unit_parse: xdp/parse.h against vectors, each a sentence, a frame and what must be found in it, and against scapy's own dissection of
random frames and cuts (tests/parse_oracle.py). Run again inside a process that has the sanitizers' runtime, with the parser built under
them. WEIR_SEED repeats a run, WEIR_FRAMES says how many random frames (each is cut a dozen times)."""
import os
import random
import struct
import subprocess
import sys

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP, IPOption_RR
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6EchoRequest, ICMPv6ND_NS, ICMPv6PacketTooBig, IPv6, IPv6ExtHdrDestOpt,
                                IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, Jumbo, PadN)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData
from scapy.packet import Raw

import parse_oracle as oracle
import weirtest as w
from weirtest import FRAGMENT, ICMP as HAS_ICMP, LATER_FRAGMENT, OPTIONS, PORTS, QUOTE

FRAMES = int(os.environ.get("WEIR_FRAMES") or 11000)
E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4 = IP(src="192.0.2.1", dst="198.51.100.2", tos=0x28)
V6 = IPv6(src="2001:db8::1", dst="2001:db8::2", tc=0x28)
A4, B4 = oracle.addr("192.0.2.1"), oracle.addr("198.51.100.2")
A6, B6 = oracle.addr("2001:db8::1"), oracle.addr("2001:db8::2")
T = TCP(sport=1024, dport=443, flags="SA")
U = UDP(sport=1024, dport=53)
Q4 = IP(src="198.51.100.2", dst="192.0.2.1")	# what the peer sent, quoted back to it
Q6 = IPv6(src="2001:db8::2", dst="2001:db8::1")


def chain(*headers, proto, first=V6):
    """IPv6 with the extension headers of these numbers."""
    made = {0: IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))]), 60: IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(12))]),
            43: IPv6ExtHdrRouting(type=0, addresses=["2001:db8::9"]), 44: IPv6ExtHdrFragment(id=7),
            51: oracle.AuthHeader(payloadlen=4, icv=bytes(12)), 135: oracle.OtherHeader(len=0, body=bytes(6)),
            139: oracle.OtherHeader(len=1, body=bytes(14)), 140: oracle.OtherHeader(len=0, body=bytes(6))}
    return oracle.set_numbers(first.copy(), [(n, made[n].copy()) for n in headers], proto)


def patched(packet, at, value):
    raw = bytearray(bytes(packet))
    raw[at:at + len(value)] = value
    return bytes(raw)


def fragment6(offset, more):
    return V6 / IPv6ExtHdrFragment(offset=offset, m=more, id=0x1234567, nh=17)


def quote4(inner, **icmp):
    return V4 / ICMP(**(icmp or {"type": 3, "code": 1})) / inner


def quote6(inner):
    return V6 / ICMPv6DestUnreach(code=4) / inner


TCP4 = {"family": 4, "proto": 6, "sport": 1024, "dport": 443, "tcp_flags": 0x12, "saddr": A4, "daddr": B4, "tos": 0x28}
TCP6 = {**TCP4, "family": 6, "saddr": A6, "daddr": B6}
UDP4 = {"family": 4, "proto": 17, "sport": 1024, "dport": 53, "tcp_flags": 0}
QUOTED4 = {"quote_family": 4, "quote_saddr": B4, "quote_daddr": A4, "family": 4, "proto": 1}
QUOTED6 = {"quote_family": 6, "quote_saddr": B6, "quote_daddr": A6, "family": 6, "proto": 58}

# what stands here | the frame | verdict | some of the fields
VECTORS = [
    ("a plain TCP segment", E / V4 / T, "ok",
     {**TCP4, "flags": PORTS, "l3": 14, "l4": 34, "payload": 54, "vlans": 0, "ether_type": 0x800, "l3_type": 0x800, "ip_bytes": 40}),
    ("TCP options belong to the header", E / V4 / TCP(sport=1024, dport=443, flags="SA", options=[("MSS", 1460), ("SAckOK", b"")]) / b"x",
     "ok", {**TCP4, "payload": 34 + 28, "ip_bytes": 49}),
    ("a plain UDP datagram", E / V4 / U / b"query", "ok", {**UDP4, "flags": PORTS, "payload": 42}),
    ("UDP without a byte of payload", E / V4 / U, "ok", {**UDP4, "payload": 42}),
    ("an SCTP packet", E / V4 / SCTP(sport=1024, dport=36412) / SCTPChunkData(data=b"x"), "ok",
     {"proto": 132, "sport": 1024, "dport": 36412, "flags": PORTS, "payload": 46}),
    ("one 802.1Q tag", E / Dot1Q(vlan=100, prio=5) / V4 / T, "ok",
     {**TCP4, "vlans": 1, "vlan_id": 100, "l3": 18, "ether_type": 0x8100, "l3_type": 0x800}),
    ("one 802.1ad tag", E / Dot1AD(vlan=4095) / V6 / T, "ok", {**TCP6, "vlans": 1, "vlan_id": 4095, "ether_type": 0x88a8, "l3_type": 0x86dd}),
    ("a priority tag has VLAN id 0", E / Dot1Q(vlan=0, prio=7) / V4 / T, "ok", {**TCP4, "vlans": 1, "vlan_id": 0}),
    ("QinQ: the outer id counts", E / Dot1AD(vlan=7) / Dot1Q(vlan=100) / V4 / T, "ok",
     {**TCP4, "vlans": 2, "vlan_id": 7, "l3": 22, "ether_type": 0x88a8, "l3_type": 0x800}),
    ("two 802.1Q tags", E / Dot1Q(vlan=1) / Dot1Q(vlan=2) / V6 / U, "ok", {"vlans": 2, "vlan_id": 1, "family": 6, "dport": 53}),
    ("three tags are no IP", E / Dot1AD(vlan=1) / Dot1Q(vlan=2) / Dot1Q(vlan=3) / V4 / T, "ok",
     {"vlans": 2, "vlan_id": 1, "family": 0, "proto": 0, "l3": 22, "l3_type": 0x8100, "ip_bytes": 0, "flags": 0}),
    ("ARP is not IP", E / ARP(), "ok", {"family": 0, "l3_type": 0x806, "l4": 0, "ip_bytes": 0}),
    ("ARP behind a tag", E / Dot1Q(vlan=9) / ARP(), "ok", {"family": 0, "vlans": 1, "ether_type": 0x8100, "l3_type": 0x806}),
    ("an unknown type is not IP", Ether(src=E.src, dst=E.dst, type=0x88cc) / Raw(b"lldp"), "ok", {"family": 0, "ether_type": 0x88cc, "l3": 14}),
    ("an 802.3 length is not IP", patched(E / Raw(bytes(60)), 12, b"\0\x2a"), "ok", {"family": 0, "ether_type": 42}),
    ("a frame of an Ethernet header alone", bytes(Ether(src=E.src, dst=E.dst, type=0x88cc)), "ok", {"family": 0, "len": 14}),

    ("IPv4 options", E / IP(src="192.0.2.1", dst="198.51.100.2", tos=0x28, options=[IPOption_NOP()] * 4) / T, "ok",
     {**TCP4, "flags": PORTS | OPTIONS, "l4": 38}),
    ("forty bytes of IPv4 options", E / IP(options=[IPOption_RR(routers=["0.0.0.0"] * 9), IPOption_NOP()]) / U, "ok",
     {"l4": 74, "flags": PORTS | OPTIONS}),
    ("the first fragment has ports", E / IP(flags="MF", id=77) / U / bytes(8), "ok", {**UDP4, "flags": PORTS | FRAGMENT, "frag_id": 77}),
    ("a middle fragment has none", E / IP(flags="MF", frag=185, id=77, proto=17) / Raw(bytes(64)), "ok",
     {"proto": 17, "sport": 0, "dport": 0, "flags": FRAGMENT | LATER_FRAGMENT, "frag_id": 77, "payload": 0}),
    ("the last fragment has none", E / IP(frag=370, id=77, proto=6) / Raw(b"\0\x16\0\x16tail"), "ok",
     {"proto": 6, "sport": 0, "tcp_flags": 0, "flags": FRAGMENT | LATER_FRAGMENT}),
    ("a later fragment of one byte is well formed", E / IP(frag=1, proto=6) / Raw(b"x"), "ok", {"flags": FRAGMENT | LATER_FRAGMENT}),
    ("do not fragment is no fragment", E / IP(flags="DF", id=77) / U, "ok", {"flags": PORTS, "frag_id": 0}),
    ("a tiny first fragment hides the TCP flags", E / IP(flags="MF", proto=6) / Raw(bytes(8)), "short-tcp", {}),
    ("a tiny first fragment hides the UDP ports", E / IP(flags="MF", proto=17) / Raw(bytes(4)), "short-udp", {}),
    ("a fragment that begins inside the TCP header", E / IP(frag=1, proto=6) / Raw(bytes(12)), "ok", {"flags": FRAGMENT | LATER_FRAGMENT}),
    ("a protocol without ports", E / IP(proto=47) / Raw(b"gre"), "ok", {"proto": 47, "flags": 0, "l4": 34, "payload": 0}),
    ("an IPv4 header without a payload", E / IP(proto=47), "ok", {"total": 20, "l4": 34}),
    ("IPIP is a protocol like any", E / V4 / IP() / T, "ok", {"proto": 4, "sport": 0, "flags": 0}),
    ("AH in IPv4 is layer 4", E / IP(proto=51) / Raw(bytes(24)), "ok", {"proto": 51, "flags": 0}),
    ("64 bytes with padding: the padding is no header", (bytes(E / IP(proto=6, flags=0) / Raw(bytes(10))) + bytes(60))[:64], "short-tcp", {}),
    ("64 bytes with padding: lengths are the packet's", bytes(E / V4 / T) + bytes(10), "ok", {**TCP4, "len": 64, "ip_bytes": 40, "total": 40}),
    ("IPv6 padding is no header", bytes(E / chain(proto=17) / Raw(bytes(4))) + bytes(20), "short-udp", {}),
    ("padding is no extension header", bytes(E / V6.copy().__class__(nh=0, plen=4) / Raw(bytes(4))) + bytes(20), "short-exthdr", {}),
    ("padding is no quoted packet", bytes(E / V4 / ICMP(type=3) / Raw(bytes(Q4 / U)[:10])) + bytes(E / Q4 / U)[10:], "short-quote", {}),

    ("version 5 under the type of IPv4", patched(E / V4 / T, 14, b"\x55"), "bad-ipv4", {}),
    ("version 6 under the type of IPv4", patched(E / V4 / T, 14, b"\x65"), "bad-ipv4", {}),
    ("version 4 under the type of IPv6", patched(E / V6 / T, 14, b"\x45"), "bad-ipv6", {}),
    ("an IPv4 header of four words", patched(E / V4 / T, 14, b"\x44"), "bad-ipv4", {}),
    ("a total length below the header's", patched(E / V4 / T, 16, b"\0\x13"), "bad-ipv4", {}),
    ("a total length of zero", patched(E / V4 / T, 16, b"\0\0"), "bad-ipv4", {}),
    ("a total length beyond the frame", patched(E / V4 / T, 16, b"\0\x29"), "short-ipv4", {}),
    ("options beyond the total length", patched(patched(E / V4 / T, 14, b"\x4f"), 16, b"\0\x28"), "bad-ipv4", {}),
    ("a payload length beyond the frame", patched(E / V6 / T, 18, b"\0\x15"), "short-ipv6", {}),
    ("a payload length of zero before TCP", patched(E / V6 / T, 18, b"\0\0"), "short-tcp", {}),
    ("a jumbogram goes to the end of the frame", patched(E / V6 / IPv6ExtHdrHopByHop(nh=6, options=[Jumbo(jumboplen=28)]) / T, 18, b"\0\0"),
     "ok", {**TCP6, "total": 68}),
    ("a TCP data offset of four", patched(E / V4 / T, 34 + 12, b"\x40"), "bad-tcp", {}),
    ("a TCP data offset of zero", patched(E / V6 / T, 54 + 12, b"\0"), "bad-tcp", {}),
    ("a TCP data offset beyond the packet", patched(E / V4 / T / b"1234567", 34 + 12, b"\x70"), "short-tcp", {}),

    ("plain IPv6", E / V6 / T, "ok", {**TCP6, "flags": PORTS, "l4": 54, "payload": 74, "ip_bytes": 60}),
    *[(f"IPv6 extension header {n}", E / chain(n, proto=6) / T, "ok", {**TCP6, "flags": PORTS | OPTIONS})
      for n in oracle.EXTENSIONS],
    *[(f"{n} IPv6 extension headers", E / chain(*[0, 60, 43, 44, 51, 60, 139, 135][:n], proto=17) / U, "ok",
       {"proto": 17, "dport": 53, "flags": PORTS | OPTIONS}) for n in range(1, 9)],
    ("nine IPv6 extension headers", E / chain(*[60] * 9, proto=17) / U, "many-exthdrs", {}),
    ("AH counts in words of four bytes", E / chain(51, proto=6) / T, "ok", {**TCP6, "l4": 54 + 24}),
    ("an atomic fragment is a whole packet", E / fragment6(0, 0) / U, "ok", {"flags": PORTS | OPTIONS, "frag_id": 0, "dport": 53}),
    ("the first IPv6 fragment has ports", E / fragment6(0, 1) / U, "ok", {"flags": PORTS | OPTIONS | FRAGMENT, "frag_id": 0x1234567}),
    ("a later IPv6 fragment has none", E / fragment6(185, 1) / Raw(bytes(64)), "ok",
     {"proto": 17, "flags": OPTIONS | FRAGMENT | LATER_FRAGMENT, "frag_id": 0x1234567, "sport": 0, "l4": 62}),
    ("what follows a later fragment is data", E / V6 / IPv6ExtHdrFragment(offset=1, nh=60) / Raw(b"\x11\xff"), "ok",
     {"proto": 60, "flags": OPTIONS | FRAGMENT | LATER_FRAGMENT}),
    ("a tiny first IPv6 fragment", E / fragment6(0, 1) / Raw(bytes(4)), "short-udp", {}),
    ("an extension header cut after the first byte", E / IPv6(nh=60) / Raw(b"\x06"), "short-exthdr", {}),
    ("an extension header longer than the packet", E / IPv6(nh=60) / Raw(b"\x06\x02" + bytes(14)), "short-exthdr", {}),
    ("AH longer than the packet", E / IPv6(nh=51) / Raw(b"\x06\x04" + bytes(14)), "short-exthdr", {}),
    ("a second header that is missing", E / chain(60, proto=60), "short-exthdr", {}),
    ("no next header", E / chain(60, proto=59), "ok", {"proto": 59, "flags": OPTIONS}),
    ("ESP ends the chain", E / chain(0, proto=50) / Raw(bytes(32)), "ok", {"proto": 50, "flags": OPTIONS}),

    ("an ICMP echo has its identifier as ports", E / V4 / ICMP(type=8, id=99), "ok",
     {"proto": 1, "icmp_type": 8, "icmp_code": 0, "flags": HAS_ICMP, "sport": 99, "dport": 99, "payload": 42}),
    ("an ICMP reply too", E / V4 / ICMP(type=0, id=99) / b"x", "ok", {"icmp_type": 0, "sport": 99, "dport": 99}),
    ("other ICMP has no identifier", E / V4 / ICMP(type=13, id=99), "ok", {"icmp_type": 13, "sport": 0, "flags": HAS_ICMP}),
    ("an ICMPv6 echo", E / V6 / ICMPv6EchoRequest(id=99), "ok", {"proto": 58, "icmp_type": 128, "sport": 99, "dport": 99}),
    ("neighbour discovery", E / V6 / ICMPv6ND_NS(tgt="2001:db8::2"), "ok", {"icmp_type": 135, "sport": 0, "flags": HAS_ICMP}),
    ("ICMPv6 in IPv4 is a protocol like any", E / IP(proto=58) / Raw(bytes(8)), "ok", {"flags": 0, "icmp_type": 0}),
    ("ICMP in IPv6 is a protocol like any", E / IPv6(nh=1) / Raw(b"\x08" + bytes(7)), "ok", {"flags": 0, "icmp_type": 0}),
    ("ICMP behind options", E / IP(options=[IPOption_NOP()] * 8) / ICMP(type=8, id=5), "ok", {"sport": 5, "flags": HAS_ICMP | OPTIONS}),
    ("ICMP of seven bytes", E / IP(proto=1) / Raw(b"\x08" + bytes(6)), "short-icmp", {}),
    ("ICMPv6 of seven bytes", E / IPv6(nh=58) / Raw(b"\x80" + bytes(6)), "short-icmp", {}),

    *[(f"ICMP error {n} quotes", E / quote4(Q4 / U, type=n), "ok",
       {**QUOTED4, "flags": HAS_ICMP | QUOTE, "icmp_type": n, "quote_proto": 17, "quote_sport": 1024, "quote_dport": 53})
      for n in oracle.QUOTING4],
    ("a quote of eight bytes of TCP", E / quote4(Raw(bytes(Q4 / T)[:28])), "ok", {**QUOTED4, "quote_proto": 6, "quote_sport": 1024,
                                                                                "quote_dport": 443}),
    ("a quote of seven bytes of TCP", E / quote4(Raw(bytes(Q4 / T)[:27])), "short-quote", {}),
    ("a quoted packet with options", E / quote4(IP(src="198.51.100.2", dst="192.0.2.1", options=[IPOption_NOP()] * 4) / U), "ok",
     {**QUOTED4, "quote_sport": 1024}),
    ("a quoted SCTP packet", E / quote4(Q4 / SCTP(sport=1, dport=2)), "ok", {**QUOTED4, "quote_proto": 132, "quote_sport": 1, "quote_dport": 2}),
    ("a quoted later fragment has no ports", E / quote4(IP(src="198.51.100.2", dst="192.0.2.1", frag=9, proto=17) / Raw(bytes(8))), "ok",
     {**QUOTED4, "quote_proto": 17, "quote_sport": 0}),
    ("a quoted echo has no ports", E / quote4(Q4 / ICMP(type=8, id=9)), "ok", {**QUOTED4, "quote_proto": 1, "quote_sport": 0}),
    ("a quote behind two tags", E / Dot1AD(vlan=7) / Dot1Q(vlan=8) / quote4(Q4 / T), "ok",
     {**QUOTED4, "vlan_id": 7, "quote_proto": 6, "quote_dport": 443}),
    ("a quote of another version", E / quote4(Raw(bytes(Q6 / T))), "bad-ipv4", {}),
    ("a quote without a byte", E / quote4(Raw(b"")), "short-quote", {}),
    ("a v6 quote of UDP", E / quote6(Q6 / U), "ok", {**QUOTED6, "flags": HAS_ICMP | QUOTE, "quote_proto": 17, "quote_dport": 53}),
    ("a v6 quote of TCP behind a tag", E / Dot1Q(vlan=7) / quote6(Q6 / T), "ok", {**QUOTED6, "quote_proto": 6, "quote_dport": 443}),
    *[(f"ICMPv6 error {n} quotes", E / IPv6(src=V6.src, dst=V6.dst, nh=58) / patched(ICMPv6DestUnreach() / Q6 / T, 0, bytes([n])), "ok",
       {**QUOTED6, "icmp_type": n, "quote_proto": 6, "quote_sport": 1024}) for n in oracle.QUOTING6],
    ("ICMPv6 type 5 quotes nothing", E / IPv6(nh=58) / patched(ICMPv6DestUnreach() / Q6 / T, 0, b"\5"), "ok",
     {"icmp_type": 5, "quote_family": 0, "flags": HAS_ICMP}),
    ("packet too big quotes", E / V6 / ICMPv6PacketTooBig(mtu=1280) / Q6 / T, "ok", {**QUOTED6, "icmp_type": 2, "quote_sport": 1024}),
    ("a v6 quote with extension headers", E / quote6(chain(0, 60, 43, proto=6, first=Q6) / T), "ok", {**QUOTED6, "quote_sport": 1024}),
    ("a v6 quote cut inside its extension headers", E / quote6(Raw(bytes(chain(60, proto=6, first=Q6) / T)[:50])), "short-quote", {}),
    ("a v6 quote of a later fragment", E / quote6(Q6 / IPv6ExtHdrFragment(offset=3, nh=6) / Raw(bytes(8))), "ok",
     {**QUOTED6, "quote_proto": 6, "quote_sport": 0}),
    ("a v6 quote of the first fragment", E / quote6(Q6 / IPv6ExtHdrFragment(m=1, nh=6) / T), "ok", {**QUOTED6, "quote_sport": 1024}),
    ("an error behind extension headers", E / chain(60, proto=58) / ICMPv6DestUnreach() / Q6 / T, "ok",
     {**QUOTED6, "flags": HAS_ICMP | QUOTE | OPTIONS, "quote_dport": 443}),
    ("a quote is an error's, not a fragment's", E / IP(frag=5, proto=1) / Raw(bytes(ICMP(type=3) / Q4 / U)), "ok",
     {"flags": FRAGMENT | LATER_FRAGMENT, "quote_family": 0}),
    ("9000 bytes", E / V4 / T / Raw(bytes(8946)), "ok", {**TCP4, "len": 9000, "ip_bytes": 8986, "payload": 54}),
]


@pytest.mark.parametrize("frame, want, found", [pytest.param(*v[1:], id=v[0]) for v in VECTORS])
def test_finds(frame, want, found):
    frame = bytes(frame)
    got, fields = w.parse(frame)
    assert got == want
    assert {k: fields[k] for k in found} == found
    # and what it found is what scapy sees
    verdict, all_fields = oracle.expect(oracle.dissect(frame), len(frame))
    assert verdict == want
    assert all_fields is None or all_fields == fields


# the frame, the readable bytes, verdict
LINEAR = [
    ("a jumbo frame whose headers can be read", E / V4 / T / Raw(bytes(8946)), 54, "ok"),
    ("a jumbo frame whose TCP header cannot", E / V4 / T / Raw(bytes(8946)), 53, "nonlinear"),
    ("TCP options need not be readable", E / V4 / TCP(options=[("NOP", None)] * 40) / Raw(bytes(9000)), 54, "ok"),
    ("extension headers that cannot be read", E / chain(0, 60, proto=6) / T / Raw(bytes(8900)), 65, "nonlinear"),
    ("a quote that cannot be read", E / quote4(Q4 / T / Raw(bytes(8900))), 60, "nonlinear"),
    ("an unreadable Ethernet header", E / V4 / T / Raw(bytes(8900)), 13, "nonlinear"),
    ("an unreadable tag", E / Dot1Q() / V4 / T / Raw(bytes(8900)), 17, "nonlinear"),
    ("what is cut short is not merely unreadable", E / IP(proto=6) / Raw(bytes(9)), 40, "short-tcp"),
    ("a bad length is told before what cannot be read", patched(E / V4 / T, 16, b"\0\x13"), 34, "bad-ipv4"),
]


@pytest.mark.parametrize("frame, linear, want", [pytest.param(*v[1:], id=v[0]) for v in LINEAR])
def test_reads_only_the_linear_part(frame, linear, want):
    assert w.parse(bytes(frame), linear)[0] == want


def test_takes_no_total_length_from_a_large_gso_skb():
    frame = patched(E / V4 / T / Raw(bytes(100)), 16, b"\0\0")
    assert w.parse(frame, packets=1)[0] == "bad-ipv4"
    verdict, fields = w.parse(frame, packets=45)
    assert verdict == "ok" and fields["total"] == 140


def cut_everywhere(frame):
    """The frame cut at each length, and with its IP header's consent: shorter packets, with what was cut off as padding and without."""
    fields = w.parse(frame)[1]
    for end in range(len(frame)):
        yield frame[:end]
        padded = oracle.shorten(frame, fields["l3"], end) if fields["family"] else None
        if padded:
            yield padded
            yield padded[:end]


@pytest.mark.parametrize("frame", [pytest.param(v[1], id=v[0]) for v in VECTORS if v[2] == "ok"])
def test_every_truncation_has_the_verdict_of_the_header_it_cuts(frame):
    for cut in cut_everywhere(bytes(frame)[:400]):
        got, found = w.parse(cut)
        try:
            verdict, fields = oracle.expect(oracle.dissect(cut), len(cut))
        except oracle.GaveUp:	# scapy drops a whole packet that is cut before a routing header's type
            assert got in ("short-ipv6", "short-exthdr", "short-quote")
            continue
        assert got == verdict, cut.hex()
        assert fields is None or fields == found, cut.hex()


class Mismatches:
    def __init__(self):
        self.asked = self.gave_up = 0
        self.verdicts, self.why, self.wrong = {}, {}, []

    def ask(self, top, frame, linear=None):
        try:
            want, fields = oracle.expect(top, len(frame), linear)
        except oracle.GaveUp as e:
            self.gave_up += 1
            why = str(e).split(" at ")[0]
            self.why[why] = self.why.get(why, 0) + 1
            return
        self.asked += 1
        self.verdicts[want] = self.verdicts.get(want, 0) + 1
        got = w.verdict(frame, linear)
        if w.VERDICTS[want] != got or (fields and fields != w.fields()):
            self.wrong.append((frame.hex(), linear, want, w.verdict_name(got)))


def cuts(r, frame, top, n):
    """Lengths to cut at: next to a header's end, or anywhere."""
    near = [e + d for e in oracle.edges(top) for d in (-1, 0, 1)] or [14]
    return [min(len(frame), max(0, r.choice(near) if r.random() < 0.6 else r.randrange(len(frame) + 1))) for _ in range(n)]


def test_agrees_with_scapy_on_random_frames_and_cuts():
    r, m = random.Random(w.SEED), Mismatches()
    for _ in range(FRAMES):
        frame, l3 = oracle.random_frame(r)
        top = oracle.dissect(frame)
        m.ask(top, frame)
        for linear in cuts(r, frame, top, 5):
            m.ask(top, frame, linear)
        for end in cuts(r, frame, top, 3):
            m.ask(oracle.dissect(frame[:end]), frame[:end])
        for end in cuts(r, frame, top, 4) if l3 else ():
            padded = oracle.shorten(frame, l3, end)
            if padded:
                top = oracle.dissect(padded)
                m.ask(top, padded)
                m.ask(oracle.dissect(padded[:end]), padded[:end])
                m.ask(top, padded, r.randrange(len(padded) + 1))
    print(f"WEIR_SEED={w.SEED} asked {m.asked}, scapy gave up {m.gave_up} {m.why}, verdicts {m.verdicts}")
    assert not m.wrong, m.wrong[:3]
    assert m.gave_up < m.asked / 50
    assert m.asked >= 10 * FRAMES
    assert FRAMES < 5000 or set(m.verdicts) == set(w.VERDICTS), "every verdict must have been asked for"


@pytest.mark.skipif(bool(os.environ.get("WEIR_SAN")), reason="runs inside the sanitized run")
def test_agrees_under_the_sanitizers():
    if not os.path.exists(os.path.join(w.TOP, "out/san/tests/libweirtest.so")):
        pytest.skip("out/san/tests/libweirtest.so is not built (make sanitized)")
    runtime = [subprocess.run(["gcc", f"-print-file-name={n}"], capture_output=True, text=True, check=True).stdout.strip()
               for n in ("libasan.so", "libubsan.so")]
    env = dict(os.environ, LD_PRELOAD=":".join(runtime), ASAN_OPTIONS="detect_leaks=0", WEIR_SAN="out/san", WEIR_SEED=str(w.SEED),
               WEIR_FRAMES=str(FRAMES // 10), PYTHONDONTWRITEBYTECODE="1")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
