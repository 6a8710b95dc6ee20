# SPDX-License-Identifier: GPL-2.0-only
"""prog_reject: what the sender of a rejected packet is told, byte by byte: at XDP, tc ingress and tc egress, IPv4 and IPv6, with and without tags. Answers are
judged by scapy, which makes their checksums anew. A test run's skb shows its bytes and not the tag beside them: there the outermost is missing."""
import json
import os
import subprocess

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, IPOption_NOP, TCPerror, UDPerror
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6EchoRequest, ICMPv6ND_Redirect, ICMPv6PacketTooBig, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                                IPv6ExtHdrHopByHop, PadN)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Padding, Raw

import weirtest as w
from lab import Instance, opened, run
from weirtest import TC_REDIRECT, TC_SHOT, TC_UNSPEC, XDP_DROP, XDP_PASS, XDP_TX

E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4, V6 = IP(src="10.0.0.1", dst="203.0.113.1"), IPv6(src="2001:db8::1", dst="2001:db8:ffff::1")
SYN = TCP(sport=1024, dport=80, flags="S", seq=1000, ack=7)
U = UDP(sport=1024, dport=53)
X6 = IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))]) / IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))])
TAGS = {"no tag": [], "a tag": [Dot1Q(vlan=5, prio=3)], "two tags": [Dot1AD(vlan=7, prio=6), Dot1Q(vlan=5, prio=3)]}
HOOKS = ["xdp", "tc-ingress", "tc-egress"]


@pytest.fixture(scope="module")
def weirs():
    with opened(Instance(hooks="xdp", device="out0")) as xdp, opened(Instance(hooks="tc-ingress,tc-egress", device="out0")) as tc:
        yield {"xdp": xdp, "tc-ingress": tc, "tc-egress": tc}


@pytest.fixture(params=HOOKS)
def hook(request):
    return request.param


@pytest.fixture
def weir(weirs, hook):
    return weirs[hook]


def frame_of(tags, *layers):
    frame = E
    for layer in [*tags, *layers]:
        frame = frame / layer
    return bytes(frame)


def chain(hook, rules):
    return f"chain {'egress' if hook == 'tc-egress' else 'ingress'} {{\n{rules}\n}}\n"


def rule(weir, hook):
    """Packets and bytes of the first one."""
    return weir.rules("egress" if hook == "tc-egress" else "ingress")[0]


def counts(weir):
    return weir.ctl("stats")["rejects"]


def send(weir, hook, frame):
    """(answered, bytes afterwards)"""
    action, out = weir.xdp(frame) if hook == "xdp" else weir.skb(frame, hook=hook)
    assert action in ((XDP_TX, XDP_DROP) if hook == "xdp" else (TC_REDIRECT, TC_SHOT))
    return action in (XDP_TX, TC_REDIRECT), out


def without_checksums(packet):
    """The same with lengths and checksums as scapy makes them."""
    packet = packet.copy()
    layer = packet
    while layer:
        for name in ("chksum", "cksum"):
            if name in layer.fields and not isinstance(layer, (IPerror, TCPerror, UDPerror)):
                del layer.fields[name]
        if isinstance(layer, (IPerror, UDPerror, TCPerror)):
            break
        layer = layer.payload
    return packet


def answer(weir, hook, frame):
    """What comes back, from its IP header on: ends swapped, tags as they were, checksums right."""
    answered, out = send(weir, hook, frame)
    assert answered
    got, sent = Ether(out), Ether(frame)
    assert (got.src, got.dst) == (sent.dst, sent.src)
    assert tags_of(got) == tags_of(sent)[hook != "xdp":]
    if got.haslayer(Padding):
        assert hook == "xdp" and not any(got[Padding].load) and len(out) == 60
        got[Padding].underlayer.remove_payload()
    ip = got.getlayer(IP) or got.getlayer(IPv6)
    assert bytes(ip.__class__(bytes(without_checksums(ip)))) == bytes(ip), "checksums"
    original = sent.getlayer(IP) or sent.getlayer(IPv6)
    assert (ip.src, ip.dst) == (original.dst, original.src)
    assert (ip.ttl if ip.version == 4 else ip.hlim) == 64
    return ip


def tags_of(packet):
    found, layer = [], packet.payload
    while isinstance(layer, (Dot1Q, Dot1AD)):
        found.append((layer.__class__, layer.vlan, layer.prio))
        layer = layer.payload
    return found


RESETS = [	# packet | seq, ack, flags of what comes back
    ("a SYN", SYN, (0, 1001, "RA")),
    ("a SYN with data", SYN / Raw(b"hello"), (0, 1006, "RA")),
    ("a FIN without ACK", TCP(sport=1, dport=2, flags="F", seq=2**32 - 1), (0, 0, "RA")),
    ("an ACK", TCP(sport=1, dport=2, flags="A", seq=5, ack=77), (77, 0, "R")),
    ("data", TCP(sport=1, dport=2, flags="PA", seq=5, ack=2**32 - 1) / Raw(bytes(1400)), (2**32 - 1, 0, "R")),
    ("nothing at all", TCP(sport=1, dport=2, flags="", seq=5) / Raw(b"x"), (0, 6, "RA")),
    ("options", TCP(sport=1, dport=2, flags="S", seq=5, options=[("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0))]), (0, 6, "RA")),
]


@pytest.mark.parametrize("tags", TAGS)
@pytest.mark.parametrize("ip", ["v4", "v6"])
@pytest.mark.parametrize("segment, want", [pytest.param(*v[1:], id=v[0]) for v in RESETS])
def test_resets_tcp(weir, hook, tags, ip, segment, want):
    weir.apply(chain(hook, "reject with tcp reset"))
    before, totals = counts(weir), weir.totals()
    frame = frame_of(TAGS[tags], V4 if ip == "v4" else V6, segment)
    got = answer(weir, hook, frame)
    tcp = got[TCP]
    assert (tcp.sport, tcp.dport, tcp.seq, tcp.ack, str(tcp.flags)) == (segment.dport, segment.sport, *want)
    assert (tcp.window, tcp.dataofs, bytes(tcp.payload)) == (0, 5, b"")
    assert len(got) == (40 if ip == "v4" else 60)
    assert counts(weir) == {**before, "tcp_resets": before["tcp_resets"] + 1}
    after = weir.totals()
    assert {k: n[0] - totals.get(k, (0, 0))[0] for k, n in after.items() if n != totals.get(k)} == {(hook, "drop", "reject"): 1}


KINDS = [	# what the rule says | IPv4's type and code | IPv6's
    ("reject", (3, 3), (1, 4)), ("reject with icmpx port-unreachable", (3, 3), (1, 4)), ("reject with icmpx admin-prohibited", (3, 13), (1, 1)),
    ("reject with icmpx type no-route", (3, 0), (1, 0)), ("reject with icmpx host-unreachable", (3, 1), (1, 3)),
    ("reject with icmp net-unreachable", (3, 0), None), ("reject with icmp type host-unreachable", (3, 1), None),
    ("reject with icmp prot-unreachable", (3, 2), None), ("reject with icmp port-unreachable", (3, 3), None),
    ("reject with icmp net-prohibited", (3, 9), None), ("reject with icmp host-prohibited", (3, 10), None),
    ("reject with icmp admin-prohibited", (3, 13), None), ("reject with icmpv6 no-route", None, (1, 0)),
    ("reject with icmpv6 admin-prohibited", None, (1, 1)), ("reject with icmpv6 addr-unreachable", None, (1, 3)),
    ("reject with icmpv6 type port-unreachable", None, (1, 4)), ("reject with icmpv6 policy-fail", None, (1, 5)),
    ("reject with icmpv6 reject-route", None, (1, 6)),
]


@pytest.fixture
def refilled(weir):
    """The bucket of ICMP errors is full."""
    refill(weir)


def refill(weir, full_at=0):
    run("bpftool", "map", "update", "pinned", f"{weir.dir}/bpf/maps/reject_bucket", "key", *[0] * 4, "value", *full_at.to_bytes(8, "little"))


@pytest.mark.parametrize("rule, v4, v6", KINDS, ids=[k[0] for k in KINDS])
def test_tells_by_icmp(weir, hook, refilled, rule, v4, v6):
    weir.apply(chain(hook, rule))
    for ip, want in ((V4, v4), (V6, v6)):
        frame = frame_of([], ip, U, Raw(b"hello"))
        if not want:
            action, out = weir.xdp(frame) if hook == "xdp" else weir.skb(frame, hook=hook)
            assert action == (XDP_PASS if hook == "xdp" else TC_UNSPEC) and out == frame
            continue
        got = answer(weir, hook, frame)
        error = got.payload
        assert (error.type, error.code) == want
        assert bytes(error)[4:8] == bytes(4)
        assert bytes(error)[8:] == frame[14:]


@pytest.mark.parametrize("tags", TAGS)
@pytest.mark.parametrize("size", [0, 1, 2, 3, 500, 519, 520, 521, 1183, 1184, 1185, 1400])
def test_quotes_as_much_as_fits(weir, hook, refilled, tags, size):
    weir.apply(chain(hook, "reject"))
    for ip, most in ((V4, 576), (V6, 1280)):
        frame = frame_of(TAGS[tags], ip, U, Raw(os.urandom(size)))
        got = answer(weir, hook, frame)
        original = frame[14 + 4 * len(TAGS[tags]):]
        head = 28 if ip is V4 else 48
        assert bytes(got)[head:] == original[:most - head]
        assert len(got) == min(most, head + len(original))


def test_answers_behind_options_and_extension_headers(weir, hook, refilled):
    weir.apply(chain(hook, "meta l4proto tcp reject with tcp reset\nreject"))
    for ip in (IP(src="10.0.0.1", dst="203.0.113.1", options=[IPOption_NOP()] * 8), V6 / X6):
        got = answer(weir, hook, frame_of([], ip, SYN))
        assert got.payload.name == "TCP" and got[TCP].ack == 1001
        got = answer(weir, hook, frame_of([], ip, U))
        assert got.payload.type == (3 if got.version == 4 else 1)


def test_the_precedence_is_that_of_the_network(weir, hook, refilled):
    weir.apply(chain(hook, "reject"))
    got = answer(weir, hook, frame_of([], IP(src="10.0.0.1", dst="203.0.113.1", tos=0x1b), U))
    assert got.tos == 0xda and got.flags == "DF"


def test_a_first_fragment_is_answered_and_others_are_not(weir, hook, refilled):
    weir.apply(chain(hook, "reject"))
    for first, later in ((V4.copy(), V4.copy()), (V6 / IPv6ExtHdrFragment(id=9, m=1), V6 / IPv6ExtHdrFragment(id=9, offset=3))):
        if first.version == 4:
            first.flags, later.frag, later.proto = "MF", 3, 17
        else:
            later.payload.nh = 17
        answer(weir, hook, frame_of([], first, U, Raw(bytes(16))))
        assert send(weir, hook, frame_of([], later, Raw(bytes(24))))[0] is False


SILENT = [	# rule | packet
    ("a RST", "reject with tcp reset", V4 / TCP(flags="R")), ("a RST with ACK", "reject with tcp reset", V6 / TCP(flags="RA")),
    ("an ICMP error", "reject", V4 / ICMP(type=3, code=1) / V4 / U), ("a redirect", "reject", V4 / ICMP(type=5) / V4 / U),
    ("time exceeded", "reject", V4 / ICMP(type=11) / V4 / U), ("an ICMPv6 error", "reject", V6 / ICMPv6DestUnreach() / V6 / U),
    ("packet too big", "reject", V6 / ICMPv6PacketTooBig() / V6 / U), ("an ICMPv6 redirect", "reject", V6 / ICMPv6ND_Redirect()),
    ("an unknown ICMPv6 error", "reject", IPv6(src="2001:db8::1", dst="2001:db8::2", nh=58) / Raw(b"\x64\0\0\0\0\0\0\0")),
    ("a multicast", "reject", IP(src="10.0.0.1", dst="224.0.0.5") / U), ("a broadcast", "reject", IP(src="10.0.0.1", dst="255.255.255.255") / U),
    ("an IPv6 multicast", "reject", IPv6(src="2001:db8::1", dst="ff02::1") / U), ("from nobody", "reject", IP(src="0.0.0.0", dst="203.0.113.1") / U),
    ("from nobody of IPv6", "reject", IPv6(src="::", dst="2001:db8::1") / U), ("from a multicast address", "reject", IP(src="239.1.1.1", dst="203.0.113.1") / U),
    ("from an IPv6 multicast address", "reject", IPv6(src="ff0e::1", dst="2001:db8::1") / U),
    ("from loopback", "reject", IP(src="127.0.0.1", dst="203.0.113.1") / U), ("from loopback of IPv6", "reject", IPv6(src="::1", dst="2001:db8::1") / U),
    ("no IP", "reject", ARP(hwsrc=E.src, psrc="10.0.0.1", pdst="10.0.0.2")),
]


@pytest.mark.parametrize("rule, packet", [pytest.param(*v[1:], id=v[0]) for v in SILENT])
def test_says_nothing_about(weir, hook, refilled, rule, packet):
    weir.apply(chain(hook, rule))
    before, totals, frame = counts(weir), weir.totals(), frame_of([], packet)
    assert send(weir, hook, frame)[0] is False
    assert counts(weir) == {**before, "unanswered": before["unanswered"] + 1}
    assert weir.totals()[(hook, "drop", "reject")][0] == totals.get((hook, "drop", "reject"), (0, 0))[0] + 1


def test_says_nothing_to_a_group_of_the_link(weir, hook, refilled):
    weir.apply(chain(hook, "reject"))
    for mac in ("ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:05"):
        assert send(weir, hook, bytes(Ether(src=E.src, dst=mac) / V4 / U))[0] is False


def test_answers_on_loopback(weir, hook, refilled):
    weir.apply(chain(hook, "reject"))
    for ip in (IP(src="127.0.0.1", dst="127.0.0.2"), IPv6(src="::1", dst="::1")):
        answer(weir, hook, frame_of([], ip, U))


def test_an_echo_request_is_answered(weir, hook, refilled):
    weir.apply(chain(hook, "reject with icmpx admin-prohibited"))
    assert answer(weir, hook, frame_of([], V4, ICMP()))[ICMP].code == 13
    assert answer(weir, hook, frame_of([], V6, ICMPv6EchoRequest())).payload.code == 1


def test_icmp_errors_have_a_rate_and_resets_have_none(weir, hook, refilled):
    weir.apply(chain(hook, "meta l4proto tcp reject with tcp reset\nreject"))
    before = counts(weir)
    for _ in range(50):
        assert send(weir, hook, frame_of([], V4, U))[0]
    refill(weir, 2**62)                         # never full again: as if more had been sent than a bucket holds
    for _ in range(9):
        assert not send(weir, hook, frame_of([], V6, U))[0]
    for _ in range(60):
        assert send(weir, hook, frame_of([], V4, SYN))[0]
    assert counts(weir) == {**before, "icmp_errors": before["icmp_errors"] + 50, "suppressed": before["suppressed"] + 9,
                            "tcp_resets": before["tcp_resets"] + 60}


def test_every_packet_of_a_flow_is_rejected(weir, hook, refilled):
    """Also of one that was accepted before."""
    frame = frame_of([], V4, TCP(sport=9, dport=80, flags="A", ack=5))
    if hook != "tc-egress":
        weir.apply(chain(hook, "accept"))
        for _ in range(3):
            action, _ = weir.xdp(frame) if hook == "xdp" else weir.skb(frame, hook=hook)
            assert action == (XDP_PASS if hook == "xdp" else TC_UNSPEC)
    weir.apply(chain(hook, "tcp dport 80 reject with tcp reset"))
    had = rule(weir, hook)
    for _ in range(5):
        assert send(weir, hook, frame)[0]
    assert rule(weir, hook) == (had[0] + 5, had[1] + 5 * 40)
    assert weir.difference() == (0, 0)


def test_audit_counts_and_lets_pass(weir, hook):
    weir.apply(chain(hook, "audit\ntcp dport 80 reject with tcp reset"))
    before, had, frame = counts(weir), rule(weir, hook), frame_of([], V4, SYN)
    action, out = weir.xdp(frame) if hook == "xdp" else weir.skb(frame, hook=hook)
    assert action == (XDP_PASS if hook == "xdp" else TC_UNSPEC) and out == frame
    assert rule(weir, hook) == (had[0] + 1, had[1] + 40) and counts(weir) == before


@pytest.mark.parametrize("rules", ["jump deep", "tcp dport vmap { 80 : jump deep }"])
def test_rejects_in_chains_below(weirs, rules):
    weir = weirs["xdp"]
    weir.apply(f"chain deep {{\nreject with tcp reset\n}}\nchain ingress {{\n{rules}\n}}\n")
    had = weir.rules("deep")[0]
    assert answer(weir, "xdp", frame_of([], V4, SYN))[TCP].flags == "RA"
    assert weir.rules("deep")[0] == (had[0] + 1, had[1] + 40)


def test_rejects_among_very_many(weirs):
    """Rules of a group keep their answer."""
    weir = weirs["xdp"]
    weir.apply(chain("xdp", "\n".join(f"ip saddr 10.{i >> 8}.{i & 255}.1 tcp dport 80 {'reject with tcp reset' if i % 2 else 'reject'}" for i in range(3000))))
    refill(weir)
    for i in (0, 1, 1500, 2001):
        got = answer(weir, "xdp", frame_of([], IP(src=f"10.{i >> 8}.{i & 255}.1", dst="203.0.113.1"), SYN))
        assert got.payload.name == ("TCP" if i % 2 else "ICMP")


def test_rule_test_says_so_and_answers_nobody(weirs):
    weir = weirs["xdp"]
    weir.apply(chain("xdp", "tcp dport 80 reject with tcp reset\npolicy drop"))
    before = counts(weir)
    got = json.loads(run(os.path.join(w.OUT, "weirctl"), "rule", "test", "ingress", "tcp 10.0.0.1:1024 > 203.0.113.1:80", "-j", env=weir.env))
    assert (got["verdict"], got["reason"], got["agree"], got["text"]) == ("drop", "reject", True, "tcp dport 80 reject with tcp reset")
    got = json.loads(run(os.path.join(w.OUT, "weirctl"), "rule", "test", "ingress", "tcp 10.0.0.1:1024 > 203.0.113.1:81", "-j", env=weir.env))
    assert (got["verdict"], got["reason"], got["agree"]) == ("drop", "policy", True)
    assert counts(weir) == before


def test_the_log_tells_the_packet_and_not_the_answer(weirs):
    from prog_log import Following
    weir = weirs["xdp"]
    weir.apply(chain("xdp", "tcp dport 80 log prefix \"no\" reject with tcp reset\nudp dport 53 reject"))
    following = Following(weir, "-j", "--drops")
    for frame in (frame_of([], V4, SYN), frame_of([], V4, U)):
        weir.xdp(frame)
    got = [json.loads(line) for line in following.end().splitlines()][:-1]
    assert [(g["verdict"], g["reason"], g["prefix"], g["event"]) for g in got] == [("drop", "reject", "no", "log"), ("drop", "reject", None, "drop")]
    assert got[0]["packet"] == "tcp 10.0.0.1:1024 > 203.0.113.1:80 flags syn length 40"


def test_reads_what_was_encapsulated():
    """An answer to the inner packet, and the model is asked about the same."""
    with opened(Instance("--decap")) as weir:
        weir.apply(chain("xdp", "tcp dport 80 reject with tcp reset"))
        action, out = weir.xdp(frame_of([], IP(src="192.0.2.1", dst="192.0.2.254"), V4, SYN))
        got = Ether(out)
        assert action == XDP_TX and (got[IP].src, got[IP].dst, str(got[TCP].flags)) == (V4.dst, V4.src, "RA")
        frame = frame_of([], IP(src="192.0.2.1", dst="192.0.2.254"), V4, SYN)
        done = subprocess.run([os.path.join(w.OUT, "weirctl"), "rule", "test", "ingress", "--hex", frame.hex(), "-j"], env=weir.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["agree"]
