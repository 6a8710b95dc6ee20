# SPDX-License-Identifier: GPL-2.0-only
"""prog_scale: rule sets of tens of thousands, of families like those of real filters (bench/families.py), and the change from one to another under
packets. The oracle is a walk over the rules in Python."""
import os
import random
import subprocess
import sys

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from lab import Instance, opened
from weirtest import SEED, XDP_DROP, XDP_PASS

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bench"))
import families

E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
PACKETS, CHANGES = 10_000_000, 30


@pytest.fixture(scope="module")
def weir():
    with opened(Instance("--no-flows", device="out0", full=False)) as made:
        yield made


def holds(rule, packet):
    src, dst, sport, dport, proto = packet
    for address, (base, length) in ((src, rule["src"]), (dst, rule["dst"])):
        if length and (address ^ base) >> 32 - length:
            return False
    if rule["proto"] and rule["proto"] != proto:
        return False
    return all(not span or span[0] <= port <= span[1] for port, span in ((sport, rule["sport"]), (dport, rule["dport"])))


def packets(rng, rules, n):
    """Headers that hit rules, and such with a part of one and a part of another."""
    for _ in range(n):
        own = families.header(rng, rng.choice(rules))
        src, dst, sport, dport, proto = families.struct.unpack("!IIHHBxxx", own)
        if rng.random() < 0.3:
            _, dst, _, dport, _ = families.struct.unpack("!IIHHBxxx", families.header(rng, rng.choice(rules)))
        yield src, dst, sport, dport, proto


def frame(packet):
    src, dst, sport, dport, proto = packet
    raw = bytearray(bytes(E / IP(proto=17, src="0.0.0.0", dst="0.0.0.0", len=40)) + bytes(20))
    raw[23] = proto
    raw[26:34] = families.struct.pack("!II", src, dst)
    raw[34:38] = families.struct.pack("!HH", sport, dport)
    raw[38:40] = b"\0\x14"	# UDP's length, which is TCP's sequence number
    raw[46] = 0x50
    return bytes(raw)


@pytest.mark.parametrize("family, count", [("acl", 3000), ("fw", 10000), ("ipc", 10000), ("adversarial", 10000), ("ipc", 20000), ("acl", 100_000), ("mix", 100_000)])
def test_the_first_match_decides(weir, family, count):
    rng = random.Random(f"{SEED} {family}")
    rules = families.rules(family, count, rng.randrange(1 << 30))
    print("WEIR_SEED", SEED)
    weir.apply("chain ingress {\npolicy accept\n" + "\n".join(map(families.text, rules)) + "\n}\n")
    for packet in packets(rng, rules, 60 if count > 50_000 else 300):
        expected = next((r["verdict"] for r in rules if holds(r, packet)), "accept")
        assert weir.xdp(frame(packet))[0] == (XDP_DROP if expected == "drop" else XDP_PASS), packet


def test_a_change_of_all_rules_has_no_third_outcome(weir):
    """Ten million packets under changes between two rule sets that disagree on every one of them: each is counted under one of the two rules that say so."""
    a, b = 'udp dport 53 drop comment "a"', 'udp dport 53 accept comment "b"'
    padding = "\n".join(f"tcp dport {n} drop" for n in range(200))
    config = lambda *rules: "chain ingress {\npolicy drop\n" + "\n".join((padding,) + rules) + "\n}\n"
    weir.apply(config(a, b))
    count = lambda: {r["text"]: r["packets"] for r in weir.ctl("rule", "list", "ingress")["rules"]}
    before, totals = count(), weir.totals()
    packet = bytes(E / IP(src="198.51.100.1", dst="203.0.113.1") / UDP(sport=1, dport=53))
    changes = []

    def send():
        sent = 0
        while sent < PACKETS or (len(changes) < CHANGES and sent < 10 * PACKETS):
            sent += weir.programs["xdp"][1].xdp_repeat(packet, weir.lab.ifindex["out0"], 5000)
        return sent

    sending = weir.lab.inside.submit(send)
    while not sending.done():
        changes.append(1)
        weir.apply(config(b, a) if len(changes) % 2 else config(a, b))
    sent, after = sending.result(), count()
    grew = {text: after[text] - n for text, n in before.items() if after[text] != n}
    print(len(changes), "changes", grew)
    assert len(changes) >= CHANGES
    assert set(grew) == {a, b} and sum(grew.values()) == sent
    now = weir.totals()
    assert sum(p for p, _ in now.values()) - sum(p for p, _ in totals.values()) == sent


def test_rule_files_of_classbench_are_read(tmp_path):
    """A family written as db_generator writes it comes back as it was; a line that is none is told."""
    def line(r):
        proto = "0x00/0x00" if r["proto"] is None else f"0x{r['proto']:02x}/0xFF"
        spans = [r[k] or (0, 65535) for k in ("sport", "dport")]
        return "\t".join(["@%s/%d" % (families.dotted(r["src"][0]), r["src"][1]), "%s/%d" % (families.dotted(r["dst"][0]), r["dst"][1]),
                          *("%d : %d" % s for s in spans), proto, "0x0000/0x0000"]) + "\t\n"

    made = families.rules("mix", 2000, SEED)
    file = tmp_path / "rules"
    file.write_text("".join(map(line, made)))
    without = lambda r: {k: v for k, v in r.items() if k != "verdict"}
    assert [without(r) for r in families.from_file(str(file), 1)] == [without(r) for r in made]
    file.write_text("@10.0.0.0/8\t10.0.0.0/8\n")
    with pytest.raises(SystemExit, match="rules:1: not a line"):
        families.from_file(str(file), 1)
