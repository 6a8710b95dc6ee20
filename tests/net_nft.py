# SPDX-License-Identifier: GPL-2.0-only
"""nft as the judge of the filter's language: the same text in nft's netdev ingress hook and in weir, the same frames sent for real to both, and
the counter of every rule must agree. Frames are built by scapy; rule sets and frames are random, the seed is printed (WEIR_SEED).

What is left out, since nft 1.0.6 does otherwise there (docs/language.md): later fragments with rules about ports or flags (nft takes payload for
them), an ether match beside one of layer 3 (nft then wants the type behind the MAC addresses to be IP, so tagged frames escape), and two ether
matches of which one is negated, or two negated ones of neighbouring fields (nft compares them as one value)."""
import json
import os
import random
import re
import socket

import pytest
from net import Lab, wait_for
from scapy.all import ARP, ICMP, IP, IPv6, SCTP, TCP, UDP, Dot1Q, Ether, IPOption_LSRR, IPOption_NOP, IPOption_RR, Raw, raw
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6EchoRequest, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop)

SEED = int(os.environ.get("WEIR_SEED", "1"))
SETS = int(os.environ.get("WEIR_NFT_SETS", "200"))
FRAMES = 100

A4 = ["10.0.0.%d" % i for i in range(1, 9)] + ["10.0.1.1", "192.0.2.7", "198.51.100.200", "203.0.113.255"]
A6 = ["2001:db8::%x" % i for i in range(1, 7)] + ["2001:db8:1::1", "fd00::1"]
PORTS = [0, 1, 22, 53, 80, 443, 1023, 1024, 8000, 8050, 8100, 65535]
MACS = ["02:00:00:00:00:0%d" % i for i in range(1, 5)]


def frame(rng, later_fragments):
    eth = Ether(src=rng.choice(MACS), dst=rng.choice(MACS))
    if rng.random() < 0.2:
        eth = eth / Dot1Q(vlan=rng.choice((1, 2, 100, 4094)), prio=rng.randrange(8))
    kind = rng.random()
    if kind < 0.05:
        return raw(eth / ARP(psrc=rng.choice(A4), pdst=rng.choice(A4)))
    if kind < 0.6:
        ip = IP(src=rng.choice(A4), dst=rng.choice(A4), tos=rng.choice((0, 0, 0xb8, 0x28, 0x03, 0xff)), ttl=rng.choice((1, 5, 64, 255)),
                id=rng.randrange(65536))
        if rng.random() < 0.1:
            ip.options = rng.choice(([b"\x01\x01\x01\x00"], [IPOption_LSRR(routers=["1.2.3.4"])], [IPOption_NOP(), IPOption_RR()]))
        if later_fragments and rng.random() < 0.2:
            later = ip.copy()
            later.frag, later.proto = rng.randrange(1, 100), rng.choice((6, 17))
            return raw(eth / later / Raw(bytes(rng.randrange(256) for _ in range(64))))
        ip.flags = rng.choice(("", "", "MF"))
        icmp = rng.choice((ICMP(type=8), ICMP(type=0), ICMP(type=3, code=1) / IP(src=rng.choice(A4), dst=rng.choice(A4)) / UDP()))
    else:
        ip = IPv6(src=rng.choice(A6), dst=rng.choice(A6), tc=rng.choice((0, 0, 0xb8, 0x28, 0x03, 0xff)), hlim=rng.choice((1, 5, 64, 255)),
                  fl=rng.randrange(1 << 20))
        for _ in range(rng.choice((0, 0, 0, 1, 2))):
            ip = ip / rng.choice((IPv6ExtHdrDestOpt(), IPv6ExtHdrHopByHop() if not ip.payload else IPv6ExtHdrDestOpt()))
        if later_fragments and rng.random() < 0.2:
            return raw(eth / ip / IPv6ExtHdrFragment(offset=rng.randrange(1, 50), nh=17) / Raw(b"y" * 64))
        icmp = rng.choice((ICMPv6EchoRequest(), ICMPv6DestUnreach(code=1) / IPv6(src=rng.choice(A6), dst=rng.choice(A6)) / UDP()))
    ports = dict(sport=rng.choice(PORTS), dport=rng.choice(PORTS))
    options = rng.choice(([], [("MSS", rng.choice((48, 536, 1400, 1460)))], [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 2))],
                          [("NOP", None), ("WScale", 7)]))
    l4 = rng.choice((TCP(**ports, flags=rng.choice(("S", "SA", "A", "R", "F", "PA", "SF", "", "FPU")), options=options), TCP(**ports, flags="A"),
                     UDP(**ports), SCTP(**ports), icmp))
    return raw(eth / ip / l4 / Raw(b"z" * rng.choice((rng.randrange(30), rng.randrange(30), 1300))))


def rule(rng):
    port = lambda: rng.choice(("%d" % rng.choice(PORTS), "!= %d" % rng.choice(PORTS), "8000-8100", "{ 22, 80, 8000-8100 }", "!= { 53, 443 }"))
    addr = lambda: rng.choice(("10.0.0.0/30", "10.0.0.5", "!= 10.0.0.0/8", "10.0.0.2-10.0.0.6", "{ 10.0.0.1, 192.0.2.0/24 }", "@s4", "!= @s4", "@timed", "!= @timed", "@long", "!= @long"))
    addr6 = lambda: rng.choice(("2001:db8::/64", "2001:db8::3", "!= 2001:db8::/126", "{ fd00::/8, 2001:db8:1::1 }", "@s6", "@long6", "!= @long6"))
    one = [
        lambda: "ip saddr " + addr(), lambda: "ip daddr " + addr(), lambda: "ip6 saddr " + addr6(), lambda: "ip6 daddr " + addr6(),
        lambda: "%s %s %s" % (rng.choice(("tcp", "udp", "sctp")), rng.choice(("sport", "dport")), port()),
        lambda: "meta l4proto " + rng.choice(("tcp", "udp", "{ tcp, udp }", "!= tcp", "icmp", "132")),
        lambda: "icmp type " + rng.choice(("echo-request", "echo-reply", "!= echo-request", "destination-unreachable")),
        lambda: "icmp code 1", lambda: "icmpv6 type " + rng.choice(("echo-request", "destination-unreachable")),
        lambda: "tcp flags " + rng.choice(("syn", "& (syn|ack) == syn", "syn,ack", "== ack", "!= ack", "& (fin|syn|rst|psh|ack|urg) == 0x0")),
        lambda: "vlan id " + rng.choice(("1", "2-100", "!= 100", "{ 1, 4094 }")),
        lambda: "ether saddr " + rng.choice(("02:00:00:00:00:01", "!= 02:00:00:00:00:02")), lambda: "ether daddr { 02:00:00:00:00:01, 02:00:00:00:00:03 }",
        lambda: "ip protocol " + rng.choice(("tcp", "!= udp", "{ tcp, sctp }")), lambda: "ip6 nexthdr " + rng.choice(("tcp", "{ 0, 60 }", "!= udp")),
        lambda: "ip dscp " + rng.choice(("ef", "!= ef", "{ af11, cs0 }", "1-63")), lambda: "ip6 dscp " + rng.choice(("ef", "!= ef", "{ af11, cs0 }")),
        lambda: "ip ecn " + rng.choice(("ce", "!= not-ect")), lambda: "ip ttl " + rng.choice(("< 5", "<= 5", "> 64", "{ 1, 255 }", "!= 64")),
        lambda: "ip6 hoplimit " + rng.choice(("< 5", ">= 5", "255", "!= 255")), lambda: "ip length " + rng.choice(("40-60", "> 1000", "!= 40")),
        lambda: "ip6 length " + rng.choice(("20-60", "> 1000")), lambda: "meta length " + rng.choice(("40-60", "> 1000", "!= 40")),
        lambda: "ip frag-off " + rng.choice(("& 0x1fff != 0", "& 0x3fff != 0", "& 0x2000 == 0x2000", "0")),
        lambda: "exthdr " + rng.choice(("hbh exists", "dst exists", "frag exists", "hbh missing", "dst missing")),
        lambda: "ip option " + rng.choice(("lsrr exists", "rr exists", "rr missing")), lambda: "ip hdrlength " + rng.choice(("> 5", "5")),
        lambda: "meta l4proto tcp tcp option " + rng.choice(("maxseg exists", "sack-perm missing", "timestamp exists", "window exists")),
        lambda: "tcp option maxseg size " + rng.choice(("< 536", "1400-1460", "!= 1460")), lambda: "tcp doff " + rng.choice(("5", "> 5")),
        lambda: "vlan pcp " + rng.choice(("3", "{ 1, 5-7 }")), lambda: "meta protocol " + rng.choice(("ip", "!= ip6", "{ ip, arp }")),
        lambda: "@nh," + rng.choice(("0,4 4", "72,8 6", "48,8 17", "8,8 0xb8")), lambda: "@ll," + rng.choice(("0,48 0x020000000001", "88,8 { 1, 3 }", "96,16 0x8100", "128,16 0x0800")),
        lambda: "ether type " + rng.choice(("ip", "ip6", "arp", "8021q", "!= ip")),
    ]
    families = {"ip ": 4, "icmp ": 4, "ip6": 6, "icmpv6": 6, "exthdr": 6, "ether": 1, "@ll": 1}
    protos = ("tcp", "udp", "sctp", "icmpv6", "icmp", "meta l4proto", "ip protocol", "ip6 nexthdr")
    parts, family, proto = [], None, None
    for _ in range(rng.choice((1, 1, 2, 3))):
        text = rng.choice(one)()
        if parts and any(q.startswith("meta protocol") for q in parts + [text]):
            continue            # nft refuses what does not go together; weir lets lint find it
        f = next((v for k, v in families.items() if text.startswith(k)), None)
        p = next((p for p in protos if text.startswith(p)), None)
        if (f and family and f != family) or (p and proto and p != proto) or any(text.split()[:2] == q.split()[:2] for q in parts) or (
                text.startswith("ether") and any(q.startswith("ether") and "!=" in q + text for q in parts)) or (
                "!=" in text and any("!=" in q and q.split()[0] == text.split()[0] for q in parts)):
            continue            # contradictions are refused by weir and hold for nothing in nft
        parts.append(text)
        family, proto = family or f, proto or p
    parts.sort(key=lambda t: not t.startswith("vlan"))   # nft wants the tag first, and no type beside it
    if parts[0].startswith("vlan"):
        parts = [t for t in parts if not t.startswith("ether type")]
    return " ".join(parts) + " counter" + rng.choice(("", " accept", " drop", " drop"))


CHAINS = ["c%d" % i for i in range(3)]         # each leads to later ones only


def pairs(rng):
    """A concatenation, in a set or a list, and what may stand beside it in one rule."""
    addr, port = lambda: rng.choice(A4[:4] + ["10.0.0.5-10.0.0.7", "192.0.2.0/24"]), lambda: rng.choice(("22", "80", "8000-8100", "0-1", "443"))
    some = lambda *parts: ", ".join({" . ".join(p() for p in parts): 0 for _ in range(rng.randrange(1, 4))})      # nft wants them disjoint
    no = rng.choice(("", "", "!= "))
    return rng.choice((
        lambda: ("ip saddr . %s dport %s{ %s }" % (rng.choice(("tcp", "udp", "sctp")), no, some(addr, port))),
        lambda: ("ip saddr . ip daddr %s{ %s }" % (no, some(addr, addr))),
        lambda: ("ip saddr . tcp dport %s@pairs" % no), lambda: ("ip saddr . tcp dport %s@learnt" % no),
        lambda: ("ip6 saddr . udp dport %s{ %s }" % (no, some(lambda: rng.choice(A6[3:] + ["2001:db8::/126"]), port))),
        lambda: ("meta l4proto . ip saddr %s{ %s }" % (no, some(lambda: rng.choice(("tcp", "udp", "icmp")), addr)))))()


def vmap(rng, to):
    ways = ["accept", "drop", "return", "continue"] + ["jump " + c for c in to] + ["goto " + c for c in to]
    kind = rng.choice((("tcp dport", ["22", "53", "80", "8000-8100", "1023-1024"]), ("ip saddr", A4[:6] + ["192.0.2.0/24"]), ("meta l4proto", ["tcp", "udp", "icmp", "sctp"]),
                       ("ip saddr . tcp dport", ["10.0.0.%d . %s" % (i, p) for i in (1, 2, 3) for p in ("22", "80", "8000-8100")])))
    return "%s vmap { %s }" % (kind[0], ", ".join("%s : %s" % (v, rng.choice(ways)) for v in rng.sample(kind[1], rng.randrange(1, len(kind[1])))))


def statement(rng, at):
    """A rule of chain number `at`, -1: the first one."""
    to, what = CHAINS[at + 1:], rng.random()
    if what < 0.12:
        return vmap(rng, to)
    if what < 0.3:
        return pairs(rng) + " counter" + rng.choice(("", " accept", " drop", " return") + tuple(" jump " + c for c in to))
    if what < 0.5 and to:
        return rule(rng).split(" counter")[0] + " counter " + rng.choice(("jump ", "jump ", "goto ")) + rng.choice(to)
    return rule(rng).split(" counter")[0] + " counter return" if what < 0.56 else rule(rng)


def few_places(rules):
    """Rules that read at most four places of the packet: weir has no more, and refuses."""
    seen, kept = set(), []
    for at, text in rules:
        places = set(re.findall(r"@[nlt]h?,\d+,\d+|@ll,\d+,\d+|ip hdrlength|tcp doff", text))
        if len(seen | places) <= 4:
            seen |= places
            kept.append((at, text))
    return kept


SETS_TEXT = """\
set s4 { type ipv4_addr; flags interval; elements = { 10.0.0.3, 10.0.1.0/24, 198.51.100.128-198.51.100.255 } }
set s6 { type ipv6_addr; flags interval; elements = { 2001:db8::4-2001:db8::5, fd00::/64 } }
set pairs { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/30 . 80, 10.0.0.1 . 8000-8100, 192.0.2.7 . 22 } }
set timed { type ipv4_addr; flags interval, timeout; elements = { 10.0.0.2 timeout 1h, 10.0.0.4/31 timeout 1h, 198.51.100.0/24 timeout 1h } }
set learnt { type ipv4_addr . inet_service; flags dynamic, timeout; timeout 1h; size 1000; }
set long { type ipv4_addr; flags interval; elements = { 10.0.0.3-10.0.0.4, 10.0.0.7, 203.0.113.0/24, %s } }
set long6 { type ipv6_addr; flags interval; elements = { 2001:db8::2, 2001:db8::4/127, 2001:db8:1::/48, %s } }
""" % (", ".join("172.16.%d.%d" % (n >> 6, n * 2 & 127) for n in range(600)), ", ".join("fd01:%x::/64" % (n * 2) for n in range(600)))

# What a rule adds its own packet does not find here, and does in nft: so they stand behind all that ask.
LEARN = (" tcp dport { 22, 80, 443 } add @learnt { ip saddr . tcp dport } counter\n udp dport 53 update @learnt { ip saddr . udp dport timeout 2h } counter\n"
         " ip saddr . tcp sport != @pairs add @learnt { ip daddr . tcp sport } counter drop\n")


@pytest.fixture(scope="module", params=["xdp", "tc-ingress"])
def lab(request):
    with Lab() as lab:
        lab.hook = request.param
        lab.add_ns("a", "w", "n")
        lab.veth("a", "toweir", "w", "b0", checksums=False)
        lab.veth("a", "tonft", "n", "b0", checksums=False)
        for ns, dev in (("a", "toweir"), ("a", "tonft"), ("w", "b0"), ("n", "b0")):     # only what the test sends
            lab.run_in(ns, "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/%s/disable_ipv6" % dev)
            lab.ip(ns, "link", "set", dev, "arp", "off")
        lab.attach("w", "b0", "--hooks", lab.hook)
        yield lab


@pytest.fixture(scope="module")
def wires(lab):
    """Sockets that send frames into the two pairs, opened in namespace a."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    inside = os.open("/run/netns/" + lab.ns("a"), os.O_RDONLY)
    assert libc.setns(inside, 0x40000000) == 0
    out = []
    for dev in ("toweir", "tonft"):
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        s.bind((dev, 0))
        out.append(s)
    assert libc.setns(home, 0x40000000) == 0
    yield out
    for s in out:
        s.close()
    os.close(home)
    os.close(inside)


def weir_counts(lab, first):
    """Of the rules that say `counter`: maps have none. An imported base chain has one more, and chains that nothing leads to are not there."""
    rules = [r for r in lab.ctl_json("rule", "list")["rules"] if r["id"] > 2 and "counter" in r["text"]]
    counts = {c: [r["packets"] for r in rules if r["chain"] == c] for c in [first] + CHAINS}
    counts["ingress"] = counts.pop(first)[:-1] if first == "c" else counts[first]
    return counts


def nft_counts(lab):
    data = json.loads(lab.run_in("n", "nft", "-j", "list", "table", "netdev", "t").stdout)["nftables"]
    counts = lambda c: [e["counter"]["packets"] for r in data if "rule" in r and r["rule"]["chain"] == c for e in r["rule"]["expr"] if "counter" in e]
    return dict({c: counts(c) for c in CHAINS}, ingress=counts("c")[:-1])


def sent_all(lab, n):
    """Both sides have seen n frames more."""
    weir = sum(r["packets"] for r in lab.stats(hook=lab.hook))
    data = json.loads(lab.run_in("n", "nft", "-j", "list", "chain", "netdev", "t", "first").stdout)["nftables"]
    nft = next(e["counter"]["packets"] for r in data if "rule" in r for e in r["rule"]["expr"] if "counter" in e)
    return weir >= n[0] and nft >= n[1]


@pytest.mark.parametrize("part", range(2))
def test_every_rule_counts_what_nft_counts(lab, wires, part):
    rng = random.Random(SEED * 4 + part + 2 * (lab.hook == "xdp"))
    print("seed", SEED, "part", part)
    for _ in range(SETS // 4):
        later_fragments = rng.random() < 0.3
        rules = few_places([(at, statement(rng, at)) for at in range(-1, len(CHAINS)) for _ in range(rng.randrange(1, 13 if at < 0 else 5))])
        if later_fragments:
            rules = [r for r in rules if not any(w in r[1] for w in ("port", "flags", "type", "code", "tcp "))] or [(-1, "counter")]
        body = lambda at: "".join(" %s\n" % r for a, r in rules if a == at)
        chains = "".join("chain %s {\n%s}\n" % (c, body(i)) for i, c in reversed(list(enumerate(CHAINS))))
        learn = LEARN if rng.random() < 0.5 and not later_fragments else ""
        lab.apply("")           # counters of rules that stay stay: start anew
        lab.apply(SETS_TEXT + chains + "chain ingress {\n policy accept\n%s%s}\n" % (body(-1), learn))
        text = ("flush ruleset\ntable netdev t {\n%s chain first { type filter hook ingress device \"b0\" priority -10; policy accept; counter; }\n"
                "%s chain c { type filter hook ingress device \"b0\" priority 0; policy accept;\n%s%s counter\n }\n}\n" % (SETS_TEXT, chains, body(-1), learn))
        path = os.path.join(lab.run_dir, "nft.conf")
        imported = rng.random() < 0.25
        if imported:            # the same by way of the importer
            with open(path, "w") as f:
                f.write(text)
            taken = lab.ctl("import", "nft", path, check=False).stdout
            lab.apply("")
            lab.apply(taken)
        with open(path, "w") as f:
            f.write(text)
        lab.run_in("n", "nft", "-f", path)
        before = sum(r["packets"] for r in lab.stats(hook=lab.hook))
        frames = [frame(rng, later_fragments) for _ in range(FRAMES)]
        for f in frames:
            for s in wires:
                s.send(f)
        wait_for(lambda: sent_all(lab, (before + FRAMES, FRAMES)), 10, "all frames")
        ours, theirs = weir_counts(lab, "c" if imported else "ingress"), nft_counts(lab)
        if imported:
            theirs = {c: n if ours[c] or any(n) else [] for c, n in theirs.items()}
        assert ours == theirs, "%s\nweir %s\nnft  %s" % (text, ours, theirs)
