# SPDX-License-Identifier: GPL-2.0-only
"""random_rules: configurations and packets that often meet: few values, drawn again and again."""
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_LSRR, IPOption_RR
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                                IPv6ExtHdrRouting, PadN)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Raw

V4 = ["10.0.0.1", "10.0.0.2", "10.1.2.3", "192.0.2.1", "203.0.113.10"]
V6 = ["2001:db8::1", "2001:db8::2", "2001:db8:1::1", "2001:db8:ffff::1"]
PREFIXES4 = V4 + ["10.0.0.0/8", "10.0.0.0/31", "192.0.2.0-192.0.2.99", "0.0.0.0/0"]
PREFIXES6 = V6 + ["2001:db8::/32", "2001:db8::/48", "2001:db8::1-2001:db8::ff"]
PORTS = [22, 53, 80, 443, 1024, 8080]
FLAGS = "FSRPA"
MACS = ["02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"]


def one(r, values):
    kind = r.randrange(6)
    if kind < 3:
        return f"{r.choice(values)}"
    if kind == 3:
        return f"!= {r.choice(values)}"
    return ("!= " if kind == 5 else "") + "{ " + ", ".join(dict.fromkeys(str(r.choice(values)) for _ in range(3))) + " }"


def ports(r):
    low = r.choice(PORTS)
    return r.choice([one(r, PORTS), f"{low}-{low + 1000}", f"< {low}", f">= {low}"])


def match(r):
    return r.choice([
        lambda: f"ip {r.choice(['saddr', 'daddr'])} {one(r, V4)}",
        lambda: f"ip {r.choice(['saddr', 'daddr'])} {r.choice(PREFIXES4)}",
        lambda: f"ip6 {r.choice(['saddr', 'daddr'])} {r.choice(PREFIXES6)}",
        lambda: f"{r.choice(['tcp', 'udp', 'sctp', 'th'])} {r.choice(['sport', 'dport'])} {ports(r)}",
        lambda: f"meta l4proto {one(r, ['tcp', 'udp', 'icmp', 'ipv6-icmp', 'sctp'])}",
        lambda: f"icmp type {one(r, ['echo-request', 'echo-reply', 'destination-unreachable'])}",
        lambda: f"icmpv6 type {one(r, ['echo-request', 'destination-unreachable'])}",
        lambda: f"tcp flags {r.choice(['syn', 'syn,ack', '== syn', 'syn / syn,ack', '! fin,rst', '!= ack'])}",
        lambda: f"tcp option {r.choice(['maxseg', 'timestamp', 'sack-perm'])} {r.choice(['exists', 'missing'])}",
        lambda: f"tcp option maxseg size {r.choice(['< 1000', '1460', '!= 1460'])}",
        lambda: f"vlan id {one(r, [5, 7, 100])}",
        lambda: f"vlan pcp {one(r, [0, 3])}",
        lambda: f"ip ttl {r.choice(['< 10', '64', '>= 64'])}",
        lambda: f"ip6 hoplimit {r.choice(['< 10', '64'])}",
        lambda: f"ip frag-off & 0x1fff {r.choice(['!=', '=='])} 0",
        lambda: f"ip dscp {one(r, ['cs1', 'ef', 0])}",
        lambda: f"ip option {r.choice(['lsrr', 'rr'])} {r.choice(['exists', 'missing'])}",
        lambda: f"exthdr {r.choice(['hbh', 'rt', 'frag', 'dst'])} {r.choice(['exists', 'missing'])}",
        lambda: f"ip6 nexthdr {one(r, ['tcp', 'udp', 44, 0])}",
        lambda: f"ether saddr {one(r, MACS)}",
        lambda: f"ether type {r.choice(['ip', 'ip6', 'arp', 'vlan'])}",
        lambda: f"meta protocol {r.choice(['ip', 'ip6', 'arp'])}",
        lambda: f"meta nfproto {r.choice(['ipv4', 'ipv6'])}",
        lambda: f"meta length {r.choice(['< 60', '> 100', '20-80'])}",
        lambda: f"meta mark {r.choice(['', '!= ', '< '])}{r.randrange(1, 5)}",
        lambda: f"meta mark {r.choice(['', '!= ', '< '])}{r.randrange(1, 5)}",
        lambda: f"meta random < {r.randrange(2**32)}",
        lambda: f"iifname {r.choice(['in0', '!= in0', 'out0'])}",
        lambda: "@th,0,16 1024",
        lambda: "tcp window 8192",
        lambda: "ip saddr @nets",
        lambda: "tcp dport @ports",
        lambda: f"ip saddr . tcp dport {r.choice(['', '!= '])}{{ {r.choice(V4)} . {r.choice(PORTS)}, 10.0.0.0/8 . 1-100 }}",
    ])()


def rule(r, targets):
    matches = [match(r) for _ in range(r.choice([0, 1, 1, 1, 2]))]
    verdict = r.choice(["accept", "drop", "drop", "counter", "counter accept", "return", "reject", "reject with icmpx admin-prohibited",
                        "reject with tcp reset", "reject with icmp host-unreachable", "reject with icmpv6 no-route"] + [f"{w} {t}" for t in targets for w in ("jump", "goto")])
    if r.random() < .15:
        form = r.choice([f"{r.randrange(5)}", f"mark or {r.randrange(5)}", f"mark xor {r.randrange(5)}", f"mark and {r.randrange(5)} or 1"])
        return " ".join(matches + ["meta mark set " + form, r.choice(["", "", verdict.replace("counter", "")])])
    if targets and r.random() < .1:
        matches, verdict = matches[:1], f"tcp dport vmap {{ 22 : drop, 80 : jump {r.choice(targets)}, 443 : accept, 8080 : continue }}"
    return " ".join(matches + [verdict])


def configuration(r, check):
    """`check` says whether weir takes a text."""
    head = ("set nets { type ipv4_addr; flags interval; elements = { 10.0.0.0/30, 203.0.113.0/24 } }\n"
            "set ports { type inet_service; elements = { 22, 80 } }\n")
    chains = {"deep": [], "wide": ["deep"], "ingress": ["deep", "wide"]}
    body = {name: [] for name in chains}

    def text():
        out = head
        for name, rules in body.items():
            policy = f"    policy {policies[name]}\n" if name == "ingress" else ""
            out += f"chain {name} {{\n{policy}" + "".join(f"    {x}\n" for x in rules) + "}\n"
        return out
    policies = {"ingress": r.choice(["accept", "drop"] + ["drop\n    audit"] * (r.random() < .3))}
    for name, targets in chains.items():
        for _ in range(r.randrange(2, 14)):
            body[name].append(rule(r, targets))
    for name, rules in body.items():
        for x in list(rules):
            alone = head + "chain deep { }\nchain wide { }\n" + f"chain ingress {{\n{x}\n}}\n"
            if not check(alone):
                rules.remove(x)
    return text()


def layer4(r, six):
    sport, dport = r.choice(PORTS), r.choice(PORTS)
    options = r.choice([[], [("MSS", 1460)], [("MSS", 536), ("SAckOK", b"")], [("NOP", None), ("Timestamp", (1, 0))]])
    return r.choice([
        lambda: TCP(sport=sport, dport=dport, flags="".join(f for f in FLAGS if r.random() < .4), options=options) / Raw(bytes(r.randrange(90))),
        lambda: TCP(sport=sport, dport=dport, flags="S", options=options),
        lambda: UDP(sport=sport, dport=dport) / Raw(bytes(r.randrange(90))),
        lambda: SCTP(sport=sport, dport=dport),
        lambda: ICMPv6EchoRequest() if six else ICMP(type=r.choice([0, 8])),
        lambda: (ICMPv6DestUnreach() / IPv6(src=V6[0], dst=V6[1]) / UDP() if six else ICMP(type=3) / IP(src=V4[0], dst=V4[1]) / UDP()),
        lambda: Raw(bytes(r.randrange(40))),
    ])()


def packet(r):
    e = Ether(src=r.choice(MACS), dst=r.choice(MACS))
    for _ in range(r.choice([0, 0, 0, 1, 2])):
        e = e / r.choice([Dot1Q, Dot1AD])(vlan=r.choice([5, 7, 100]), prio=r.choice([0, 3]))
    kind = r.random()
    if kind < .05:
        return bytes(e / ARP())
    if kind < .6:
        ip = IP(src=r.choice(V4), dst=r.choice(V4), ttl=r.choice([1, 64, 255]), tos=r.choice([0, 0x20, 0xb8]))
        if r.random() < .15:
            ip.options = [r.choice([IPOption_LSRR(routers=["10.0.0.9"]), IPOption_RR(routers=["10.0.0.9"])])]
        if r.random() < .15:
            ip.flags, ip.frag = r.choice([(1, 0), (1, 185), (0, 185)])
        frame = bytes(e / ip / layer4(r, False))
    else:
        ip = IPv6(src=r.choice(V6), dst=r.choice(V6), hlim=r.choice([1, 64, 255]))
        for header in (IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))]), IPv6ExtHdrRouting(addresses=[]), IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))])):
            if r.random() < .12:
                ip = ip / header
        if r.random() < .15:
            ip = ip / IPv6ExtHdrFragment(offset=r.choice([0, 185]), m=r.choice([0, 1]))
        frame = bytes(e / ip / layer4(r, True))
    return frame[:r.randrange(14, len(frame) + 1)] if r.random() < .05 else frame
