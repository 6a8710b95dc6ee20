# SPDX-License-Identifier: GPL-2.0-only
"""parse_oracle: what the parser must find in a frame, told by scapy's dissection of the same bytes, and random frames to ask about.

scapy dissects leniently; a datapath must not. So scapy says which header is which, its values and how many bytes it took, and expect()
demands of each header in turn that the IP packet, and then the readable part of the frame, is long enough for it."""
import ipaddress
import struct

from scapy.config import conf
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP, IPOption_RR
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NS, ICMPv6PacketTooBig, ICMPv6ParamProblem,
                                ICMPv6TimeExceeded, IPerror6, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                                IPv6ExtHdrRouting, PadN, _IPv6ExtHdr)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Dot3, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData
from scapy.fields import ByteField, StrLenField
from scapy.packet import NoPayload, Packet, Padding, Raw, bind_layers, split_layers

import weirtest as w

VLAN_TYPES = (0x8100, 0x88a8)
EXTENSIONS = (0, 43, 44, 51, 60, 135, 139, 140)
QUOTING4, QUOTING6 = (3, 4, 5, 11, 12), (1, 2, 3, 4)
conf.verb = 0


class AuthHeader(_IPv6ExtHdr):
    """scapy's AH does not know that IPv6 extension headers may follow it."""
    name = "AH among extension headers"
    fields_desc = [f for f in AH.fields_desc if f.name not in ("icv", "padding")] + [
        StrLenField("icv", b"", length_from=lambda h: max(0, h.payloadlen * 4 - 4))]


class OtherHeader(_IPv6ExtHdr):
    """Mobility, HIP and Shim6 headers: next header and length stand where those of the options headers do."""
    name = "other extension header"
    fields_desc = [ByteField("nh", 59), ByteField("len", 0), StrLenField("body", b"", length_from=lambda h: h.len * 8 + 6)]


split_layers(IPv6, AH, nh=51)
for _number, _class in ((51, AuthHeader), (135, OtherHeader), (139, OtherHeader), (140, OtherHeader)):
    bind_layers(IPv6, _class, nh=_number)
for _l4 in (TCP, UDP):		# what applications say does not matter and costs time
    _l4.payload_guess = []


class Verdict(Exception):
    pass


class GaveUp(Exception):
    """scapy did not dissect what must be judged."""


class Walk:
    """A place in the frame, and the layer that scapy found there."""

    def __init__(self, top, length, linear):
        self.layer, self.off, self.limit, self.linear = top, 0, length, linear

    def need(self, size, shorter):
        if self.off + size > self.limit:
            raise Verdict(shorter)
        if self.off + size > self.linear:
            raise Verdict("nonlinear")

    def is_a(self, *classes):
        if not isinstance(self.layer, classes):
            raise GaveUp(f"{type(self.layer).__name__} at {self.off}")
        return self.layer

    def step(self, size):
        """On to the next layer. If it is all there, scapy has taken as many bytes for this one."""
        took = len(self.layer.raw_packet_cache or b"")
        if self.off + size <= self.limit and took != size:
            raise GaveUp(f"{type(self.layer).__name__} took {took}, not {size}")
        self.off += size
        self.layer = self.layer.payload


def addr(text):
    return ipaddress.ip_address(text).packed.ljust(16, b"\0")


def walk_extensions(k, nh, shorter):
    """Protocol behind the extension headers, and what they say of fragments: (flags, id)."""
    flags = ident = 0
    for i in range(9):
        if nh not in EXTENSIONS:
            break
        if i == 8:
            raise Verdict("many-exthdrs")
        k.need(8, shorter)
        flags |= w.OPTIONS
        h = k.layer
        if isinstance(h, Raw):			# scapy gave up on options that are cut: only where the header ends is told
            size = 8 if nh == 44 else (h.load[1] + 2) * 4 if nh == 51 else (h.load[1] + 1) * 8
            if k.off + size > k.limit:
                raise Verdict(shorter)
            raise GaveUp(f"no extension header at {k.off}")
        k.is_a(_IPv6ExtHdr)
        if nh == 44:
            size = 8
            if h.offset or h.m:
                flags |= w.FRAGMENT
                ident = h.id
            if h.offset:
                flags |= w.LATER_FRAGMENT
        else:
            size = (h.payloadlen + 2) * 4 if nh == 51 else (h.len + 1) * 8
        nh = h.nh
        if k.off + size > k.limit:
            raise Verdict(shorter)
        k.step(size)
        if flags & w.LATER_FRAGMENT:
            break
    return nh, flags, ident


def walk_quote(k, want, family):
    if family == 4:
        k.need(20, "short-quote")
        ip = k.is_a(IP)
        if ip.version != 4 or ip.ihl < 5:
            raise Verdict("bad-ipv4")
        proto, later = ip.proto, ip.frag
        shown, size = ip, ip.ihl * 4
        if not later:
            if k.off + size + 8 > k.limit:	# the options may be cut: no ports then
                k.off += size
            else:
                k.step(size)
    else:
        k.need(40, "short-quote")
        shown = ip = k.is_a(IPerror6)
        if ip.version != 6:
            raise Verdict("bad-ipv6")
        k.step(40)
        proto, flags, _ = walk_extensions(k, ip.nh, "short-quote")
        later = flags & w.LATER_FRAGMENT
    want.update(quote_family=family, quote_proto=proto, quote_saddr=addr(shown.src), quote_daddr=addr(shown.dst))
    if not later and proto in (6, 17, 132):
        k.need(8, "short-quote")
        l4 = k.is_a(TCP, UDP, SCTP, Raw)	# Raw: scapy wants more than the eight bytes that are promised
        sport, dport = struct.unpack("!HH", l4.load[:4]) if isinstance(l4, Raw) else (l4.sport, l4.dport)
        want.update(quote_sport=sport, quote_dport=dport)


def walk_icmp(k, want, family):
    k.need(8, "short-icmp")
    h = k.layer
    # the second byte has other names in some of scapy's ICMPv6 layers
    kind, code = (h.load[0], h.load[1]) if isinstance(h, Raw) else (h.type, h.getfieldval(h.fields_desc[1].name))
    want["flags"] |= w.ICMP
    want.update(icmp_type=kind, icmp_code=code, payload=k.off + 8)
    if kind in ((8, 0) if family == 4 else (128, 129)):
        want["sport"] = want["dport"] = h.id
    if kind in (QUOTING4 if family == 4 else QUOTING6):
        want["flags"] |= w.QUOTE
        k.step(8)
        walk_quote(k, want, family)


def walk_l4(k, want):
    proto, family = want["proto"], want["family"]
    if proto == 6:
        k.need(20, "short-tcp")
        tcp = k.is_a(TCP)
        if tcp.dataofs < 5:
            raise Verdict("bad-tcp")
        if k.off + tcp.dataofs * 4 > k.limit:
            raise Verdict("short-tcp")
        want.update(tcp_flags=int(tcp.flags) & 255, payload=k.off + tcp.dataofs * 4)
    elif proto in (17, 132):
        size, name, kind = (8, "short-udp", UDP) if proto == 17 else (12, "short-sctp", SCTP)
        k.need(size, name)
        k.is_a(kind)
        want["payload"] = k.off + size
    elif proto == (1 if family == 4 else 58):
        return walk_icmp(k, want, family)
    else:
        return None
    want.update(sport=k.layer.sport, dport=k.layer.dport)
    want["flags"] |= w.PORTS
    return None


def walk_ipv4(k, want, packets):
    k.need(20, "short-ipv4")
    ip = k.is_a(IP)
    total = ip.len if ip.len or packets == 1 else k.limit - k.off
    if ip.version != 4 or ip.ihl < 5 or total < ip.ihl * 4:
        raise Verdict("bad-ipv4")
    if k.off + total > k.limit:
        raise Verdict("short-ipv4")
    k.limit = k.off + total
    flags = (w.OPTIONS if ip.ihl > 5 else 0) | (w.FRAGMENT if ip.frag or ip.flags.MF else 0) | (w.LATER_FRAGMENT if ip.frag else 0)
    want.update(family=4, proto=ip.proto, tos=ip.tos, saddr=addr(ip.src), daddr=addr(ip.dst), total=total, ip_bytes=total, flags=flags,
                frag_id=ip.id if flags & w.FRAGMENT else 0, l4=k.off + ip.ihl * 4)
    k.step(ip.ihl * 4)


def walk_ipv6(k, want):
    k.need(40, "short-ipv6")
    ip = k.is_a(IPv6)
    if ip.version != 6:
        raise Verdict("bad-ipv6")
    total = ip.plen + 40
    if not ip.plen and ip.nh == 0:
        total = k.limit - k.off
    if k.off + total > k.limit:
        raise Verdict("short-ipv6")
    k.limit = k.off + total
    k.step(40)
    nh, flags, ident = walk_extensions(k, ip.nh, "short-exthdr")
    want.update(family=6, proto=nh, tos=ip.tc, saddr=addr(ip.src), daddr=addr(ip.dst), total=total, ip_bytes=total, flags=flags,
                frag_id=ident, l4=k.off)


def walk(k, want, packets):
    k.need(14, "short-ethernet")
    eth = k.is_a(Ether, Dot3)
    kind = eth.len if isinstance(eth, Dot3) else eth.type
    want["ether_type"] = kind
    k.step(14)
    while want["vlans"] < 2 and kind in VLAN_TYPES:
        k.need(4, "short-vlan")
        tag = k.is_a(Dot1Q)
        if not want["vlans"]:
            want["vlan_id"] = tag.vlan
        want["vlans"] += 1
        kind = tag.type
        k.step(4)
    want.update(l3=k.off, l3_type=kind)
    if kind == 0x806:
        k.need(8, "short-arp")
    if kind == 0x800:
        walk_ipv4(k, want, packets)
    elif kind == 0x86dd:
        walk_ipv6(k, want)
    else:
        return
    if not want["flags"] & w.LATER_FRAGMENT:
        walk_l4(k, want)


def dissect(frame):
    """scapy raises where the outermost header is cut, and keeps Raw bytes everywhere else."""
    return Ether(frame) if len(frame) >= 14 else Raw(frame)


def expect(top, length, linear=None, packets=1):
    """(verdict, fields or None) for a frame of that length that dissect() made `top`. GaveUp where scapy cannot tell."""
    want = dict.fromkeys(w.FIELDS, 0)
    want.update(dict.fromkeys(w.ADDRESSES, bytes(16)), len=length, frame_len=length, packets=packets)
    try:
        walk(Walk(top, length, length if linear is None else linear), want, packets)
    except Verdict as v:
        return v.args[0], None
    return "ok", want


# ---- random frames

def random_ip4(r):
    return str(ipaddress.IPv4Address(r.getrandbits(32)))


def random_ip6(r):
    return str(ipaddress.IPv6Address(r.getrandbits(128)))


def extension(r):
    kind = r.choice(EXTENSIONS)
    if kind in (0, 60):
        h = (IPv6ExtHdrHopByHop if kind == 0 else IPv6ExtHdrDestOpt)(options=[PadN(optdata=bytes(8 * r.choice((0, 0, 1, 2)) + 4))])
    elif kind == 43:
        h = IPv6ExtHdrRouting(type=0, addresses=[random_ip6(r) for _ in range(r.choice((0, 1, 2)))])
    elif kind == 44:
        h = IPv6ExtHdrFragment(offset=r.choice((0, 0, 0, 1, 185, 8191)), m=r.getrandbits(1), id=r.getrandbits(32))
    elif kind == 51:
        n = r.choice((1, 2, 4, 5))
        h = AuthHeader(payloadlen=n, spi=1, icv=r.randbytes(n * 4 - 4))
    else:
        n = r.choice((0, 0, 1, 4))
        h = OtherHeader(len=n, body=r.randbytes(n * 8 + 6))
    return kind, h


def set_numbers(first, headers, proto):
    """Each header's number where the one before names its next header."""
    numbers = [n for n, _ in headers] + [proto]
    first.nh = numbers[0]
    for (_, h), n in zip(headers, numbers[1:]):
        h.nh = n
    for _, h in headers:
        first = first / h
    return first


def network(r, family, proto, quoted=False):
    if family == 4:
        options = r.choice(([], [], [], [IPOption_NOP()] * 4, [IPOption_RR(routers=["0.0.0.0"] * r.randrange(1, 9))]))
        frag = r.choice((0,) * 8 + (1, 185, 8191))
        return IP(src=random_ip4(r), dst=random_ip4(r), proto=proto, tos=r.getrandbits(8), id=r.getrandbits(16), options=options, frag=frag,
                  flags=r.choice((0, 0, "DF", "MF")))
    n = r.choice((0, 0, 0, 1, 1, 2, 3)) if quoted else r.choice((0, 0, 0, 1, 1, 2, 3, 5, 8, 8, 9))
    return set_numbers(IPv6(src=random_ip6(r), dst=random_ip6(r), tc=r.getrandbits(8), fl=r.getrandbits(20)),
                       [extension(r) for _ in range(n)], proto)


def ports(r):
    return {"sport": r.randrange(1, 65536), "dport": r.randrange(1, 65536)}


def transport(r, family, proto, depth=0):
    data = r.randbytes(r.choice((0, 1, 7, 8, 20, 60)))
    if proto == 6:
        options = r.choice(([], [("MSS", 1460)], [("NOP", None), ("NOP", None), ("Timestamp", (1, 2))], [("NOP", None)] * 40))
        return TCP(**ports(r), flags=r.getrandbits(8), options=options) / Raw(data)
    if proto == 17:
        return UDP(**ports(r)) / Raw(data)
    if proto == 132:
        return SCTP(**ports(r), tag=r.getrandbits(32)) / SCTPChunkData(data=data)
    if proto == 1 and family == 4:
        kind = r.choice((0, 8, 8, 3, 3, 3, 4, 5, 11, 12, 13, 42))
        if kind not in QUOTING4 or depth:
            return ICMP(type=kind if kind not in QUOTING4 else 8, code=r.getrandbits(4), id=r.getrandbits(16)) / Raw(data)
        return ICMP(type=kind, code=r.getrandbits(4)) / quoted_packet(r, 4)
    if proto == 58 and family == 6:
        kind = r.randrange(8)
        if kind > 3 or depth:
            return (r.choice((ICMPv6EchoRequest, ICMPv6EchoReply))(id=r.getrandbits(16), data=data) if kind < 7
                    else ICMPv6ND_NS(tgt=random_ip6(r)))
        h = (ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6TimeExceeded, ICMPv6ParamProblem)[kind]
        return h(code=r.getrandbits(4)) / quoted_packet(r, 6)
    return Raw(data)


def quoted_packet(r, family):
    proto = r.choice((6, 6, 17, 17, 132, 1 if family == 4 else 58, 47))
    return network(r, family, proto, quoted=True) / transport(r, family, proto, depth=1)


def random_frame(r):
    """Bytes of a random stack of layers, some with a field that is wrong, and where its IP header is (None: no IP)."""
    frame = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    tags = r.choice((0, 0, 0, 1, 1, 2, 2, 3))
    for _ in range(tags):
        frame = frame / r.choice((Dot1Q, Dot1AD))(vlan=r.getrandbits(12), prio=r.getrandbits(3))
    kind = r.choice(("4", "4", "4", "6", "6", "6", "6", "arp", "none"))
    if kind in "46":
        family = int(kind)
        proto = r.choice((6, 6, 17, 17, 132, 1, 58, 58, 1, 47, 4, 59, 255))
        packet = network(r, family, proto) / transport(r, family, proto)
    elif kind == "arp":
        packet = ARP(op=r.choice((1, 2)), psrc=random_ip4(r), pdst=random_ip4(r))
    else:
        frame.lastlayer().type = r.choice((0x0805, 0x88cc, 0x0600, 0xffff, 0x8847))
        packet = Raw(r.randbytes(r.randrange(0, 80)))
    raw = bytearray(bytes(frame / packet))
    l3 = 14 + 4 * tags if kind in "46" else None
    if l3 and r.random() < 0.15:
        spoil(r, raw, l3, int(kind))
    return bytes(raw), l3


def spoil(r, raw, l3, family):
    """Put a random value where a version, a length or a data offset stands."""
    if family == 4:
        what = r.randrange(3)
        if what == 0:
            raw[l3] = r.choice((raw[l3] & 15 | r.getrandbits(4) << 4, 0x40 | r.getrandbits(4)))
        elif what == 1:
            raw[l3 + 2:l3 + 4] = struct.pack("!H", r.choice((0, 19, 20, 21, len(raw) - l3 + 1, r.getrandbits(16))))
        elif raw[l3 + 9] == 6 and len(raw) > l3 + 33:
            raw[l3 + (raw[l3] & 15) * 4 + 12] = r.getrandbits(8)
    elif r.random() < 0.5:
        raw[l3] = r.getrandbits(8)
    elif len(raw) > l3 + 41 and raw[l3 + 6] in (0, 60, 139, 140):
        raw[l3 + 41] = r.choice((0, 1, 2, 255, r.getrandbits(8)))
    else:
        raw[l3 + 4:l3 + 6] = struct.pack("!H", r.choice((1, len(raw) - l3 - 39, r.getrandbits(16) | 1)))


def edges(top):
    """Ends of the headers that scapy found: where a cut is interesting."""
    found, off, layer = [], 0, top
    while not isinstance(layer, (NoPayload, Raw, Padding)):
        off += len(layer.raw_packet_cache or b"")
        found.append(off)
        layer = layer.payload
    return found


def shorten(raw, l3, end):
    """The same frame whose IP header says that the packet ends at `end`: what was behind is padding now. None: it cannot say that."""
    raw = bytearray(raw)
    if raw[l3] >> 4 == 4 and end - l3 >= 20:
        raw[l3 + 2:l3 + 4] = struct.pack("!H", end - l3)
    elif raw[l3] >> 4 == 6 and end - l3 > 40:
        raw[l3 + 4:l3 + 6] = struct.pack("!H", end - l3 - 40)
    else:
        return None
    return bytes(raw)
