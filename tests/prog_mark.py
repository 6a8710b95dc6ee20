# SPDX-License-Identifier: GPL-2.0-only
"""prog_mark: `meta mark set`: the mark that a packet leaves with, at tc in the skb and at XDP in the metadata that tc reads; what rules behind see of it;
each packet of a flow gets it."""
import json
import os
import struct
import subprocess

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

import weirtest as w
from lab import Instance, opened, run
from weirtest import TC_SHOT, TC_UNSPEC, XDP_DROP, XDP_PASS

CTL = os.path.join(w.OUT, "weirctl")
E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4, V6 = IP(src="10.0.0.1", dst="203.0.113.1"), IPv6(src="2001:db8::1", dst="2001:db8:ffff::1")
T = TCP(sport=1024, dport=80, flags="S")
WEB = bytes(E / V4 / T)
META, MAGIC, MARKED = 32, 0x77656972, 8


@pytest.fixture(scope="module")
def tc():
    with opened(Instance(hooks="tc-ingress,tc-egress", device="out0")) as made:
        yield made


@pytest.fixture(scope="module")
def xdp():
    with opened(Instance(hooks="xdp,tc-ingress,tc-egress", device="out0")) as made:
        yield made


def skb_mark(weir, frame=WEB, hook="tc-ingress", mark=0):
    """(action, mark afterwards)"""
    action, out = weir.skb(frame, hook=hook, mark=mark)
    assert out == bytes(frame)
    return action, weir.programs[hook][1].mark


def meta_mark(weir, frame=WEB):
    """(action, mark in the metadata or None)"""
    action, out = weir.xdp(frame)
    if action != XDP_PASS or len(out) == len(frame):
        assert out == bytes(frame)
        return action, None
    assert out[META:] == bytes(frame) and out[:16] == bytes(16)
    magic, backend, total, size, tos, family, mark = struct.unpack("=IHHHBBI", out[16:META])
    assert (magic, backend, total, size, tos, family & MARKED) == (MAGIC, 0, 0, 0, 0, MARKED)
    return action, mark


def ingress(rules):
    return f"chain ingress {{\n{rules}\n}}\n"


FORMS = [	# what the rule says | mark before | and afterwards
    ("5", 0, 5), ("0xffffffff", 7, 0xffffffff), ("0", 7, 0), ("mark and 0xff", 0x1234, 0x34), ("mark or 0x10", 0x1203, 0x1213),
    ("mark xor 0xff", 0x120f, 0x12f0), ("meta mark and 0xff00 or 0x1", 0xabcd, 0xab01), ("mark & 0xff ^ 0xf", 0x12c, 0x23), ("meta mark | 3", 4, 7),
    ("mark or 1 and 0xfe", 0x3, 0x2),
]


@pytest.mark.parametrize("hook", ["tc-ingress", "tc-egress"])
@pytest.mark.parametrize("form, before, after", FORMS, ids=[f[0] for f in FORMS])
def test_sets_the_mark(tc, hook, form, before, after):
    tc.apply(f"chain {hook[3:]} {{\nmeta mark set {form}\n}}\n")
    for frame in (WEB, bytes(E / V6 / T), bytes(E / Dot1Q(vlan=5) / V4 / T), bytes(E / ARP(hwsrc=E.src, psrc="10.0.0.1", pdst="10.0.0.2"))):
        assert skb_mark(tc, frame, hook, before) == (TC_UNSPEC, after)


@pytest.mark.parametrize("form, before, after", FORMS, ids=[f[0] for f in FORMS])
def test_sets_it_at_xdp_where_it_was_0(xdp, form, before, after):
    xdp.apply(ingress(f"meta mark set {before}\nmeta mark set {form}"))
    assert meta_mark(xdp) == (XDP_PASS, after)


SEEN = [	# rules | mark afterwards, None: dropped
    ("a later rule sees it", "meta mark set 5\nmeta mark 5 drop", None),
    ("a later rule does not see the old one", "meta mark set 5\nmeta mark 0 drop", 5),
    ("a rule before does not see it", "meta mark 5 drop\nmeta mark set 5", 5),
    ("the last one wins", "meta mark set 5\nmeta mark set 6", 6),
    ("one that is looked at", "meta mark set 1\nmeta mark 1 meta mark set 2\nmeta mark 2 meta mark set 3\nmeta mark 2 drop", 3),
    ("with a verdict", "meta mark set 5 accept\ndrop", 5), ("and return", "meta mark set 5 return\ndrop", 5),
    ("one that does not match", "udp dport 53 meta mark set 5", 0), ("of the other family", "ip6 saddr ::1 meta mark set 5", 0),
    ("through a chain", "meta mark set 1\njump x\nmeta mark 2 drop\n}\nchain x {\nmeta mark 1 meta mark set 2 return\ndrop", None),
    ("a chain that its mark led to", "meta mark set 1\nmeta mark 1 jump x\nmeta mark 3 accept\ndrop\n}\nchain x {\nmeta mark set 2\nmeta mark 2 meta mark set 3", 3),
    ("a chain for another mark", "meta mark set 2\nmeta mark 1 jump x\n}\nchain x {\ndrop", 2),
    ("a goto by the mark", "meta mark set 1\nmeta mark 1 goto x\ndrop\n}\nchain x {\nmeta mark set 4", 4),
    ("a jump that sets it", "meta mark set 9 jump x\n}\nchain x {\nmeta mark 9 accept\ndrop", 9),
    ("far behind", "meta mark set 5\n" + "udp dport 53 drop\n" * 150 + "meta mark 5 drop", None),
    ("many of them", "\n".join(f"meta mark {i} meta mark set {i + 1}" for i in range(200)), 200),
    ("beside a limit", "limit rate 1000000/second burst 1000000 packets meta mark set 5\nmeta mark 5 meta mark set 6", 6),
    ("a limit that is passed", "limit rate over 1000000/second burst 1000000 packets meta mark set 5", 0),
    ("among very many rules", "\n".join(f"ip saddr 10.{i >> 8}.{i & 255}.2 tcp dport 80 drop" for i in range(2500)) +
     "\nmeta mark set 5\nip saddr 10.0.0.1 meta mark 5 meta mark set 6", 6),
    ("a rule of a group behind", "meta mark set 5\n" + "\n".join(f"ip saddr 10.{i >> 8}.{i & 255}.1 tcp dport 80 drop" for i in range(2500)), None),
]


@pytest.mark.parametrize("where", ["xdp", "tc"])
@pytest.mark.parametrize("rules, mark", [pytest.param(*v[1:], id=v[0]) for v in SEEN])
def test_rules_behind_see_it(xdp, tc, where, rules, mark):
    weir = xdp if where == "xdp" else tc
    weir.apply(ingress(rules))
    before = weir.totals()
    if where == "xdp":
        action, got = meta_mark(weir)
        assert (action, got or 0) == ((XDP_DROP, 0) if mark is None else (XDP_PASS, mark))
    else:
        action, got = skb_mark(weir)
        assert action == (TC_SHOT if mark is None else TC_UNSPEC)
        assert mark is None or got == mark
    after = weir.totals()
    assert sum(n[0] for n in after.values()) - sum(n[0] for n in before.values()) == 1
    asked = json.loads(run(CTL, "rule", "test", "ingress", "tcp 10.0.0.1:1024 > 203.0.113.1:80", "-j", env=weir.env))
    assert asked["agree"] and (mark is None or asked["mark"] == mark) and asked["verdict"] == ("drop" if mark is None else "accept")


def test_each_packet_of_a_flow_gets_it(xdp, tc):
    """Also behind a rule whose decision could be cached, and when the rule comes later than the flow."""
    frame = bytes(E / V4 / TCP(sport=7, dport=80, flags="A"))
    for weir, look in ((xdp, lambda: meta_mark(xdp, frame)), (tc, lambda: skb_mark(tc, frame))):
        weir.apply(ingress("accept"))
        for _ in range(3):
            look()
        weir.apply(ingress("tcp dport 80 meta mark set 0x2a\nudp dport 1 drop\naccept"))
        for _ in range(5):
            assert look() == (XDP_PASS if weir is xdp else TC_UNSPEC, 0x2a)
        assert weir.difference() == (0, 0)
        weir.apply(ingress("accept"))
        assert look()[1] in (None, 0)


def test_counts_what_the_rule_marked(tc):
    tc.apply(ingress("udp dport 5353 meta mark set 5"))
    for _ in range(3):
        skb_mark(tc, bytes(E / V4 / UDP(sport=1, dport=5353)))
    assert tc.rules()[0] == (3, 3 * 28)


def test_what_cannot_be_handed_on_is_counted():
    with opened(Instance(hooks="xdp", device="out0")) as weir:
        done = subprocess.run([CTL, "apply", "-"], env=weir.env, input=ingress("meta mark set 5"), capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "weirctl: note: out0: the host does not see the marks that rules set at XDP: attach it with "
                                                  "tc-ingress among its --hooks\n")
        assert meta_mark(weir) == (XDP_PASS, None)
        assert weir.ctl("stats")["marks"] == {"lost": 1}


def test_tc_above_reads_it(xdp):
    """The program above XDP: metadata is not in reach of a test run, so nothing changes there."""
    xdp.apply(ingress("meta mark set 5"))
    action, mark = skb_mark(xdp, WEB, mark=3)
    assert (action, mark) == (TC_UNSPEC, 3)


def test_rule_test_tells_the_mark_and_what_each_rule_saw(tc):
    tc.apply(ingress("meta mark set 5\nmeta mark 0 drop\nmeta mark 5 accept"))
    got = json.loads(run(CTL, "rule", "test", "ingress", "udp 10.0.0.1:1 > 10.0.0.2:2", "-j", env=tc.env))
    assert (got["mark"], got["position"], got["matches"]) == (5, 3, [{"match": "meta mark 0x5", "matched": True, "packet": "0x5"}])
    assert [(x["position"], x["match"], x["packet"]) for x in got["losers"]] == [(2, "meta mark 0x0", "0x5")]


def test_audit_and_log_go_along(tc):
    tc.apply(ingress("audit\nmeta mark set 5 drop"))
    assert skb_mark(tc) == (TC_UNSPEC, 5)
