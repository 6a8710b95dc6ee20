# SPDX-License-Identifier: GPL-2.0-only
"""prog_set: sets that are asked by lookup: large ones, elements with times, counters and comments, and what rules put into them. The oracle is Python's
ipaddress and a dictionary."""
import ipaddress
import os
import random
import re
import subprocess
import threading
import time

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether

from lab import Instance, opened
from weirtest import OUT, SEED, XDP_DROP, XDP_PASS

USAGE, NOTHING, REFUSED = 2, 3, 4
E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


@pytest.fixture(scope="module")
def weir():
    with opened(Instance(device="out0")) as made:
        yield made


def udp(src="198.51.100.1", dport=53, sport=1000):
    return bytes(E / IP(src=src, dst="203.0.113.1") / UDP(sport=sport, dport=dport))


def udp6(src, dport=53):
    return bytes(E / IPv6(src=src, dst="2001:db8:ffff::1") / UDP(sport=1000, dport=dport))


def weirctl(weir, *words):
    return subprocess.run([os.path.join(OUT, "weirctl"), *words], env=weir.env, capture_output=True, text=True, check=False)


def drops(weir, frame):
    return weir.xdp(frame)[0] == XDP_DROP


def apply(weir, sets, rules, policy="accept"):
    weir.apply(f"{sets}\nchain ingress {{\npolicy {policy}\n{rules}\n}}\n")


def elements(weir, name):
    (found,) = weir.ctl("set", "list", name)["sets"]
    return found


def networks(rng, family, n):
    """Prefixes of all lengths that lists have, near one another, so that they meet."""
    bits = 32 if family == 4 else 128
    base = 10 << 24 if family == 4 else 0x20010db8 << 96
    span = 22 if family == 4 else 60
    out = []
    for _ in range(n):
        length = rng.choice((16, 20, 23, 24, 25, 28, 30, 32, 32, 32) if family == 4 else (40, 48, 48, 56, 64, 64, 127, 128, 128))
        value = base + (rng.getrandbits(span) << (bits - 8 - span if family == 4 else bits - 32 - span))
        if family == 6 and length > 64:
            value |= rng.getrandbits(8)
        out.append(ipaddress.ip_network((value >> (bits - length) << (bits - length), length)))
    return out


def probes(rng, nets, n):
    """Addresses at the edges of networks, inside, and one beside."""
    for _ in range(n):
        net = rng.choice(nets)
        first, last = int(net[0]), int(net[-1])
        value = rng.choice((first, last, first - 1, last + 1, rng.randint(first, last)))
        yield ipaddress.ip_address(value) if net.version == 4 else ipaddress.IPv6Address(value)


def is_in(nets, address):
    """By length: as many look-ups as there are lengths."""
    bits = 32 if address.version == 4 else 128
    return any((length, int(address) >> (bits - length)) in nets for length in range(bits + 1))


def indexed(nets):
    return {(n.prefixlen, int(n[0]) >> (n.max_prefixlen - n.prefixlen)) for n in nets}


@pytest.mark.parametrize("notes", ("", "; counter"))
@pytest.mark.parametrize("family", (4, 6))
def test_prefixes_of_all_lengths(weir, family, notes):
    rng = random.Random(f"{SEED} {family} {notes}")
    print("WEIR_SEED", SEED)
    nets = networks(rng, family, 3000)
    kind = "ipv4_addr" if family == 4 else "ipv6_addr"
    apply(weir, f"set many {{ type {kind}; flags interval{notes}; elements = {{ {', '.join(map(str, nets))} }} }}",
          f"ip{'6' if family == 6 else ''} saddr @many drop")
    assert elements(weir, "many")["table"]
    index = indexed(nets)
    for address in probes(rng, nets, 1500):
        frame = udp(str(address)) if family == 4 else udp6(str(address))
        assert drops(weir, frame) == is_in(index, address), address


@pytest.mark.parametrize("family", (4, 6))
def test_elements_come_and_go_in_place(weir, family):
    """Random additions and deletions; what the program says after each is what a list says."""
    rng = random.Random(f"{SEED} change {family}")
    print("WEIR_SEED", SEED)
    bits, base = (32, 10 << 24) if family == 4 else (128, 0x20010db8 << 96)
    kind, key, frame = ("ipv4_addr", "ip saddr", udp) if family == 4 else ("ipv6_addr", "ip6 saddr", udp6)
    members = {ipaddress.ip_address(base + rng.getrandbits(12)) for _ in range(900)}
    apply(weir, f"set many {{ type {kind}; flags interval; elements = {{ {', '.join(map(str, members))} }} }}", f"{key} @many drop")
    generation = weir.ctl("export")["configuration"]["generation"]
    for _ in range(60):
        some = [ipaddress.ip_address(base + rng.getrandbits(12)) for _ in range(5)]
        if rng.random() < 0.5:
            weir.ctl("set", "add", "many", ", ".join(map(str, some)))
            members |= set(some)
        else:
            gone = [a for a in some if a in members] or [next(iter(members))]
            weir.ctl("set", "del", "many", ", ".join(map(str, gone)))
            members -= set(gone)
        for address in some + [ipaddress.ip_address(base + rng.getrandbits(12)) for _ in range(10)]:
            assert drops(weir, frame(str(address))) == (address in members), address
    assert weir.ctl("export")["configuration"]["generation"] == generation + 60
    text = elements(weir, "many")["elements"]
    listed = set()
    for word in text.split(", "):
        ends = word.split("-") if "-" in word else [str(ipaddress.ip_network(word)[0]), str(ipaddress.ip_network(word)[-1])]
        listed |= {ipaddress.ip_address(n) for n in range(int(ipaddress.ip_address(ends[0])), int(ipaddress.ip_address(ends[1])) + 1)}
    assert listed == members


def test_flows_are_asked_anew_when_a_set_changes(weir):
    apply(weir, "set many { type ipv4_addr; elements = { %s } }" % ", ".join(f"10.1.{n >> 8}.{n & 255}" for n in range(600)), "ip saddr @many drop")
    segment = bytes(E / IP(src="10.2.0.1", dst="203.0.113.1") / TCP(sport=999, dport=80, flags="A"))
    assert not drops(weir, segment) and not drops(weir, segment)
    weir.ctl("set", "add", "many", "10.2.0.1")
    assert drops(weir, segment)
    weir.ctl("set", "del", "many", "10.2.0.1")
    assert not drops(weir, segment)


def test_not_in_a_set_asks_for_the_family(weir):
    apply(weir, "set s { type ipv4_addr; flags timeout; elements = { 10.0.0.1 } }", "ip saddr != @s drop")
    assert not drops(weir, udp("10.0.0.1"))
    assert drops(weir, udp("10.0.0.2"))
    assert not drops(weir, udp6("2001:db8::1"))


def test_a_time_passes(weir):
    apply(weir, "set s { type ipv4_addr; timeout 1h; elements = { 10.0.0.1 timeout 3s, 10.0.0.2 } }", "ip saddr @s drop")
    assert drops(weir, udp("10.0.0.1")) and drops(weir, udp("10.0.0.2"))
    time.sleep(3.2)
    assert not drops(weir, udp("10.0.0.1")) and drops(weir, udp("10.0.0.2"))
    assert elements(weir, "s")["count"] == 1
    weir.ctl("set", "add", "s", "10.0.0.1 timeout 1h")
    assert drops(weir, udp("10.0.0.1"))


def test_elements_count_what_their_rule_matched(weir):
    apply(weir, "set s { type ipv4_addr . inet_service; counter; elements = { 10.0.0.1 . 53, 10.0.0.2 . 53 comment \"second\" } }",
          "ip saddr . udp dport @s udp sport 1000 drop")
    for _ in range(3):
        drops(weir, udp("10.0.0.1"))
    drops(weir, udp("10.0.0.1", sport=1001))	# in the set, but the rule asks for more
    drops(weir, udp("10.0.0.2"))
    assert elements(weir, "s")["elements"] == ("10.0.0.1 . 53 counter packets 3 bytes 84, "
                                               "10.0.0.2 . 53 counter packets 1 bytes 28 comment \"second\"")
    text = weir.ctl("export")["configuration"]["text"]
    assert "counter packets 3 bytes 84" in text and 'comment "second"' in text
    weir.apply(text)
    assert "counter packets 3 bytes 84" in elements(weir, "s")["elements"]
    weir.ctl("set", "del", "s", "10.0.0.2 . 53")
    weir.ctl("set", "add", "s", "10.0.0.2 . 53")
    assert "second" not in elements(weir, "s")["elements"]


def test_rules_add_elements(weir):
    """A port knock: who asks port 7000 may ask port 22 for a while."""
    apply(weir, "set knocked { type ipv4_addr; flags dynamic, timeout; timeout 1h; size 3 }",
          "udp dport 7000 add @knocked { ip saddr timeout 3s } drop\nudp dport 22 ip saddr @knocked accept", policy="drop")
    assert drops(weir, udp("10.0.0.1", 22))
    drops(weir, udp("10.0.0.1", 7000))
    assert not drops(weir, udp("10.0.0.1", 22)) and drops(weir, udp("10.0.0.2", 22))
    assert elements(weir, "knocked")["elements"].startswith("10.0.0.1 timeout 3s")
    time.sleep(3.2)
    assert drops(weir, udp("10.0.0.1", 22))


def left_of(text):
    """Seconds of "… expires 59m58s960ms"."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(int(n) * units[unit] for n, unit in re.findall(r"(\d+)(ms|h|m|s)", text.split("expires ")[1]))


def test_add_leaves_the_time_update_begins_it_anew(weir):
    for how in ("add", "update"):
        apply(weir, f"set s_{how} {{ type ipv4_addr; flags dynamic, timeout }}",
              f"udp dport 7000 {how} @s_{how} {{ ip saddr timeout 1h }} drop\nip saddr @s_{how} drop")
        drops(weir, udp("10.0.0.1", 7000))
        time.sleep(1.5)
        again = time.monotonic()
        drops(weir, udp("10.0.0.1", 7000))
        left = left_of(elements(weir, f"s_{how}")["elements"])
        if how == "add":
            assert left <= 3600 - 1.4
        else:
            assert left >= 3600 - (time.monotonic() - again) - 0.2


def test_a_full_set_takes_no_more_and_the_rule_does_not_match(weir):
    apply(weir, "set s { type ipv4_addr . inet_service; flags dynamic; size 100 }", "add @s { ip saddr . udp dport } accept", policy="drop")
    passed = [not drops(weir, udp(f"10.0.{n >> 8}.{n & 255}", n)) for n in range(1, 301)]
    assert passed == [True] * 100 + [False] * 200
    found = elements(weir, "s")
    assert found["count"] == 100 and found["refused"] == 200
    assert not drops(weir, udp("10.0.0.1", 1))		# is in it
    # what the rules have learnt stays when the same text comes again, and when rules change
    apply(weir, "set s { type ipv4_addr . inet_service; flags dynamic; size 100 }", "udp dport 99 accept\nadd @s { ip saddr . udp dport } accept", policy="drop")
    assert elements(weir, "s")["count"] == 100
    apply(weir, "set s { type ipv4_addr . inet_service; flags dynamic; size 200 }", "add @s { ip saddr . udp dport } accept", policy="drop")
    assert elements(weir, "s")["count"] == 100


def test_keys_of_many_parts(weir):
    """Wide and narrow ones, of bits of fields too."""
    apply(weir, "set s { type ipv6_addr . inet_service . ether_addr . dscp; flags dynamic }",
          "udp dport 7000 add @s { ip6 saddr . udp sport . ether saddr . ip6 dscp } accept\nip6 saddr . udp sport . ether saddr . ip6 dscp @s drop")
    make = lambda src="2001:db8::1", sport=5, dport=1, mac="02:00:00:00:00:01", tos=0xb8: bytes(
        Ether(src=mac, dst="02:00:00:00:00:02") / Dot1Q(vlan=7) / IPv6(src=src, dst="2001:db8::2", tc=tos) / UDP(sport=sport, dport=dport))
    drops(weir, make(dport=7000))
    assert elements(weir, "s")["elements"] == "2001:db8::1 . 5 . 02:00:00:00:00:01 . ef"
    assert drops(weir, make()) and drops(weir, make(tos=0xbb))	# ECN is not part of it
    for other in (dict(src="2001:db8::3"), dict(sport=6), dict(mac="02:00:00:00:00:03"), dict(tos=0)):
        assert not drops(weir, make(**other)), other


def test_what_lacks_the_key_is_in_no_set(weir):
    apply(weir, "set s { type inet_service; flags timeout; elements = { 0, 53 } }", "th dport @s drop")
    assert drops(weir, udp()) and drops(weir, udp(dport=0))
    assert not drops(weir, bytes(E / IP(src="10.0.0.1", dst="10.0.0.2") / ICMP()))
    later = bytes(E / IP(src="10.0.0.1", dst="10.0.0.2", proto=17, frag=100) / bytes.fromhex("0035003500080000"))
    assert not drops(weir, later)


def test_load_makes_it_what_the_file_says(weir, tmp_path):
    apply(weir, "set s { type ipv4_addr; flags interval, timeout }\nset few { type ipv4_addr; flags interval; elements = { 10.0.0.0/24 } }",
          "ip saddr @s drop\nip saddr @few drop")
    listed = tmp_path / "list"
    listed.write_text("# a list\n192.0.2.0/24\n198.51.100.7 timeout 1h comment \"one\"\n\n203.0.113.1, 203.0.113.2\n")
    weir.ctl("set", "load", "s", str(listed))
    assert elements(weir, "s")["count"] == 4
    assert drops(weir, udp("192.0.2.9")) and drops(weir, udp("203.0.113.2")) and not drops(weir, udp("203.0.113.3"))
    listed.write_text("\n".join(f"10.7.{n >> 7}.{n * 2 & 255}" for n in range(2000)))
    weir.ctl("set", "load", "few", str(listed))
    assert drops(weir, udp("10.7.0.8")) and not drops(weir, udp("10.0.0.9")) and elements(weir, "few")["table"]
    weir.ctl("set", "flush", "few")
    assert elements(weir, "few")["count"] == 0 and not drops(weir, udp("10.7.0.8"))
    listed.write_text("10.0.0.1\nten\n")
    done = weirctl(weir, "set", "load", "few", str(listed))
    assert done.returncode == USAGE and f"{listed}:2:1: " in done.stderr


def test_words_that_cannot_be(weir):
    apply(weir, "set s { type ipv4_addr; flags timeout; elements = { 10.0.0.1 } }\nset fixed { type ipv4_addr; flags constant; elements = { 10.0.0.1 } }",
          "ip saddr @s drop\nip saddr @fixed drop")
    for words, code, says in ((("del", "s", "10.0.0.2"), NOTHING, "not all of it is in set s"), (("add", "s", "10.0.0.0/24"), USAGE, "takes no ranges"),
                              (("add", "none", "10.0.0.1"), NOTHING, "no set is named none"), (("add", "fixed", "10.0.0.2"), REFUSED, "flags constant"),
                              (("add", "s", "10.0.0.2 timeout 5x"), USAGE, "is not a duration"), (("delete", "s"), REFUSED, "rules look up @s")):
        done = weirctl(weir, "set", *words)
        assert done.returncode == code and says in done.stderr, (words, done)
    assert elements(weir, "s")["count"] == 1


def test_a_list_is_there_while_it_is_replaced(weir, tmp_path):
    """Packets of a sender that is in the list before and after, while `set load` and `apply` put 16 others in its place: each of them is dropped."""
    lists = [", ".join(f"10.{n}.{i >> 7}.{i * 2 & 255}" for i in range(700)) + ", 198.51.100.1" for n in (1, 2)]
    text = lambda n: (f"set many {{ type ipv4_addr; elements = {{ {lists[n]} }} }}\nset timed {{ type ipv4_addr; flags timeout; elements = {{ 198.51.100.{2 + n}, 198.51.100.9 }} }}\n"
                      "chain ingress {\npolicy accept\nip saddr @many ip saddr != @timed drop\n}\n")
    files = [tmp_path / "a", tmp_path / "b"]
    for file, words in zip(files, lists):
        file.write_text(words)
    weir.apply(text(0))
    before = dict(weir.totals())
    frame, changed = udp("198.51.100.1"), threading.Event()

    def send():
        sent = 0
        for _ in range(100000):
            sent += weir.programs["xdp"][1].xdp_repeat(frame, weir.lab.ifindex["out0"], 5000)
            if changed.is_set():
                break
        return sent

    sending = weir.lab.inside.submit(send)
    try:
        for n in range(16):
            assert not sending.done()
            if n % 2:
                weir.ctl("set", "load", "many", str(files[n // 2 % 2]))
            else:
                weir.apply(text(n // 2 % 2))
    finally:
        changed.set()
        sent = sending.result()
    grew = {k: v[0] - before.get(k, (0, 0))[0] for k, v in weir.totals().items()}
    assert grew[("xdp", "drop", "rule")] == sent and sum(grew.values()) == sent


def test_what_a_killed_command_left_does_no_harm(weir):
    """A text of the next number: another name of the one in force, or words that nobody may read."""
    apply(weir, "set s { type ipv4_addr; flags constant, interval; elements = { %s } }\nset d { type ipv4_addr . inet_service; comment \"d\"; elements = { %s } }" % (
        "10.0.0.0/8", ", ".join(f"10.0.{n >> 8}.{n & 255} . 53" for n in range(600))), "ip saddr . udp dport @d drop")
    folder = os.path.join(weir.dir, "config")
    (name,) = os.listdir(folder)
    os.link(os.path.join(folder, name), os.path.join(folder, str(int(name) + 1)))
    with open(os.path.join(folder, name), encoding="utf-8") as in_force:
        weir.ctl("rule", "add", "ingress", "udp dport 99 drop")
        assert "chain ingress" in in_force.read()	# it was whole until the other one was in force
    (name,) = os.listdir(folder)
    with open(os.path.join(folder, str(int(name) + 1)), "w", encoding="utf-8") as stale:
        stale.write("nonsense")
    weir.ctl("set", "add", "d", "192.0.2.1 . 53")
    assert os.listdir(folder) == [str(int(name) + 1)]
    assert "udp dport 99 drop" in weir.ctl("export")["configuration"]["text"] and drops(weir, udp("192.0.2.1"))


@pytest.mark.parametrize("family", (4, 6))
def test_a_million_elements(weir, tmp_path, family):
    """They load, one comes and goes, and a change of the rules leaves them where they are."""
    rng = random.Random(f"{SEED} million {family}")
    bits, kind, key, frame = (32, "ipv4_addr", "ip saddr", udp) if family == 4 else (128, "ipv6_addr", "ip6 saddr", udp6)
    address = ipaddress.IPv4Address if family == 4 else ipaddress.IPv6Address
    hosts = [rng.getrandbits(32) if family == 4 else (0x20010db8 << 96) + rng.getrandbits(96) for _ in range(500_000)]
    nets = [rng.getrandbits(24) << 8 if family == 4 else (0x2a00 << 112) + (rng.getrandbits(48) << 64) for _ in range(500_000)]
    listed = tmp_path / "list"
    listed.write_text("\n".join(str(address(a)) for a in hosts) + "\n" + "\n".join(f"{address(a)}/{bits * 3 // 4 if family == 4 else 64}" for a in nets))
    apply(weir, f"set big {{ type {kind}; flags interval; elements = {{ {address(1 << 8)} }} }}", f"{key} @big drop")
    weir.ctl("set", "load", "big", str(listed))
    for a in rng.sample(hosts, 150) + rng.sample(nets, 150):
        assert drops(weir, frame(str(address(a))))
    hit = sum(drops(weir, frame(str(address(a ^ 1 << (bits - 4))))) for a in rng.sample(hosts, 200))
    assert family == 4 or not hit
    begin = time.monotonic()
    for n in range(20):
        one = f"100.64.{n}.1" if family == 4 else f"2001:db9::{n}"
        weir.ctl("set", "add", "big", one)
        assert drops(weir, frame(one))
        weir.ctl("set", "del", "big", one)
        assert family == 4 or not drops(weir, frame(one))
    print("a command and its process:", (time.monotonic() - begin) / 40)
    weir.ctl("rule", "add", "ingress", "udp dport 99 drop")
    assert drops(weir, frame(str(address(hosts[0]))))


def test_an_apply_that_fails_leaves_no_element(weir):
    """The text has an element for each of two sets that go on; the second one is full."""
    text = lambda one, two: ("set one { type ipv4_addr; flags dynamic; size 8; elements = { %s } }\nset two { type ipv4_addr; flags dynamic; size 2; elements = { %s } }\n"
                             "chain ingress {\npolicy accept\nudp dport 1 add @one { ip saddr }\nudp dport 2 add @two { ip saddr }\n}\n" % (one, two))
    weir.apply(text("10.0.0.1", "10.0.0.2"))
    weir.xdp(udp("10.0.0.3", dport=1))
    weir.xdp(udp("10.0.0.3", dport=2))
    values = lambda name: elements(weir, name)["elements"].split(", ")
    before = values("one"), values("two")
    assert before == (["10.0.0.1", "10.0.0.3"], ["10.0.0.2", "10.0.0.3"])
    p = subprocess.run([os.path.join(OUT, "weirctl"), "apply", "-"], env=weir.env, input=text("10.0.0.1, 10.0.0.9", "10.0.0.2, 10.0.0.9"), capture_output=True, text=True)
    assert p.returncode == 1 and "set two is full: it holds 2 elements" in p.stderr
    assert (values("one"), values("two")) == before
    weir.apply(text("10.0.0.1, 10.0.0.9", "10.0.0.2"))
    assert values("one") == ["10.0.0.1", "10.0.0.3", "10.0.0.9"]
