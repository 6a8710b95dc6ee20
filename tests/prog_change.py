# SPDX-License-Identifier: GPL-2.0-only
"""prog_change: one rule more or less in a chain of thousands. The oracle is a walk over the rules in Python; ids and counters are those of the rules."""
import os
import random
import subprocess

import pytest

from lab import Instance, opened
from prog_scale import families, frame, holds, packets
from weirtest import OUT, SEED, TC_SHOT, XDP_DROP, XDP_PASS

CTL = os.path.join(OUT, "weirctl")
CHANGES, PACKETS = 40, 40


@pytest.fixture(scope="module")
def weir():
    with opened(Instance("--no-flows", hooks="xdp,tc-egress", device="out0", full=False)) as made:
        yield made


def config(rules, more=""):
    return "chain ingress {\n    policy accept\n" + "".join(f"    {families.text(r)}\n" for r in rules) + "}\n" + more


def listed(weir):
    return [(r["id"], r["text"], r["packets"]) for r in weir.ctl("rule", "list", "ingress")["rules"]][:-1]


def change(weir, rng, rules, ids, new):
    """Make one change, in the kernel and in the lists."""
    at, kind = rng.randrange(len(rules)), rng.choice(("add", "before", "del", "replace"))
    words = families.text(new).split()
    if kind == "add":
        at = len(rules)
        weir.ctl("rule", "add", "ingress", *words)
    elif kind == "before":
        weir.ctl("rule", "add", "--before", str(ids[at]), "ingress", *words)
    elif kind == "del":
        weir.ctl("rule", "del", str(ids[at]))
    else:
        weir.ctl("rule", "replace", str(ids[at]), *words)
    gone = kind in ("del", "replace")
    rules[at:at + gone] = [] if kind == "del" else [new]
    ids[at:at + gone] = [] if kind == "del" else [None]
    return kind


@pytest.mark.parametrize("family, count", [("acl", 700), ("mix", 3000), ("adversarial", 3000)])
def test_changes_answer_as_the_rules_say(weir, family, count):
    rng = random.Random(f"{SEED} {family}")
    print("WEIR_SEED", SEED)
    made = families.rules(family, count + CHANGES, rng.randrange(1 << 30))
    rng.shuffle(made)
    rules, fresh = made[:count], made[count:]
    weir.apply(config(rules))
    hits = {i: n for i, _, n in listed(weir)}	# a rule that stood in the set before has counted
    ids = list(hits)
    for new in fresh:
        change(weir, rng, rules, ids, new)
        now = listed(weir)
        assert [t for _, t, _ in now] == [families.text(r) for r in rules]
        assert all(had in (None, i) for had, (i, _, _) in zip(ids, now)) and len({i for i, _, _ in now}) == len(now)
        hits = {i: 0 if had is None else hits[i] for had, (i, _, _) in zip(ids, now)}
        assert hits == {i: n for i, _, n in now}	# those that stay go on counting, one that comes begins at 0
        ids = [i for i, _, _ in now]
        for packet in packets(rng, rules + [new], PACKETS):
            first = next((k for k, r in enumerate(rules) if holds(r, packet)), None)
            dropped = first is not None and rules[first]["verdict"] == "drop"
            assert weir.xdp(frame(packet))[0] == (XDP_DROP if dropped else XDP_PASS), packet
            if first is not None:
                hits[ids[first]] += 1
    assert subprocess.run([CTL, "--run-dir", weir.dir, "export"], capture_output=True, text=True, check=True).stdout == config(rules)


def test_what_a_patch_cannot_say_is_compiled(weir):
    """Names of sets, jumps, rules of chains that others lead to, of small chains; an unknown id; what is wrong."""
    rules = families.rules("acl", 600, 1)
    weir.apply(config(rules, "chain more {\n    tcp dport 1 drop\n}\n").replace("chain ingress", "set s { type ipv4_addr; }\nchain ingress", 1))
    texts = [t for _, t, _ in listed(weir)]
    for words in ("ip saddr @s drop", "tcp dport 9 jump more", "tcp dport vmap { 9 : drop }", "ip saddr . tcp dport { 10.0.0.1 . 9 } drop",
                  "@th,0,16 0x9 drop", "ip saddr 10.0.0.1 counter", "tcp dport 9 limit rate 1/second burst 5 packets drop", "ip6 saddr 2001:db8::1 log drop", "counter"):
        weir.ctl("rule", "add", "ingress", *words.split())
        texts.append(words)
        assert [t for _, t, _ in listed(weir)] == texts
    weir.ctl("rule", "add", "more", "tcp", "dport", "2", "drop")
    weir.ctl("rule", "add", "egress", "tcp", "dport", "2", "drop")
    for words, code in ((("add", "ingress", "tcp", "dport", "70000", "drop"), 2), (("del", "99999"), 3), (("replace", "99999", "drop"), 3),
                        (("add", "--before", "99999", "ingress", "drop"), 3), (("add", "nowhere", "drop"), 2)):
        p = subprocess.run([CTL, "--run-dir", weir.dir, "rule", *words], capture_output=True, text=True)
        assert p.returncode == code and p.stderr, (words, p)
    assert [t for _, t, _ in listed(weir)] == texts


def test_the_egress_chain_stays_as_it_is(weir):
    rules = families.rules("acl", 600, 2)
    weir.apply(config(rules, "chain egress {\n    policy drop\n    tcp dport 7 accept\n}\n"))
    for n in range(3):
        weir.ctl("rule", "add", "ingress", "tcp", "dport", str(n + 1), "drop")
        assert weir.skb(frame((0x0a000001, 0x0a000002, 1, 7, 6)), "tc-egress")[0] != TC_SHOT
        assert weir.skb(frame((0x0a000001, 0x0a000002, 1, 8, 6)), "tc-egress")[0] == TC_SHOT


def test_no_table_is_made_and_nothing_parsed(weir):
    """What makes it quick: no map is created and the text is written without the parser."""
    weir.apply(config(families.rules("mix", 3000, 3)))
    weir.ctl("rule", "add", "ingress", "tcp", "dport", "1", "drop")	# the other slot has its maps now
    log = os.path.join(weir.dir, "calls")
    subprocess.run(["strace", "-f", "-qq", "-o", log, "-e", "trace=bpf", CTL, "--run-dir", weir.dir, "rule", "add", "ingress", "udp", "dport", "1", "drop"],
                   check=True)
    assert "BPF_MAP_CREATE" not in open(log).read()


def test_a_change_killed_anywhere_leaves_the_old_or_the_new_rules(weir):
    rules = families.rules("acl", 600, 4)
    weir.apply(config(rules))
    first = listed(weir)[0][0]
    packet = frame((0x0a000001, 0x0a000002, 1000, 4242, 17))
    log = os.path.join(weir.dir, "calls")
    add = [CTL, "--run-dir", weir.dir, "rule", "add", "--before", str(first), "ingress", "udp", "dport", "4242", "drop"]
    subprocess.run(["strace", "-f", "-qq", "-o", log, "-e", "trace=bpf,openat,write,writev,unlink,mmap"] + add, check=True)
    calls = [line.split(None, 1)[1].split("(")[0] for line in open(log) if "resumed" not in line and "exited" not in line]
    assert weir.xdp(packet)[0] == XDP_DROP
    killed, seen = 0, set()
    for call in sorted(set(calls) - {"mmap"}):
        for n in range(1, calls.count(call) + 1):
            added = [i for i, t, _ in listed(weir) if t == "udp dport 4242 drop"]
            for i in added:
                weir.ctl("rule", "del", str(i))
            assert weir.xdp(packet)[0] == XDP_PASS
            p = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", f"inject={call}:signal=KILL:when={n}"] + add)
            killed += p.returncode != 0
            texts = [t for _, t, _ in listed(weir)]
            new = texts[0] == "udp dport 4242 drop"
            seen.add(new)
            assert texts[new:] == [families.text(r) for r in rules], (call, n)
            assert weir.xdp(packet)[0] == (XDP_DROP if new else XDP_PASS), (call, n)
    assert killed > 20 and seen == {False, True}


def test_programs_that_are_not_for_the_rules_drop():
    """Those of before the change, which nobody's packets come to any more."""
    with opened(Instance(full=False)) as weir:
        packet = frame((0x0a000001, 0x0a000002, 1000, 4242, 17))
        weir.apply("chain ingress { policy accept }")
        assert weir.xdp(packet)[0] == XDP_PASS
        weir.apply("chain ingress {\n policy accept\n ip ttl 1 drop\n}")
        assert weir.xdp(packet)[0] == XDP_DROP
        assert weir.totals()["xdp", "drop", "internal"][0] == 1
