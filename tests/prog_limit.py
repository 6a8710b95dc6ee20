# SPDX-License-Identifier: GPL-2.0-only
"""prog_limit: `limit` by what its counters say. Bursts are exact: rates are so low that nothing comes back meanwhile. The rate itself is held against the
clock that was read around the packets: what passed is the burst and what the elapsed time gave back, to the packet."""
import time

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from lab import Instance, opened
from weirtest import XDP_DROP, XDP_PASS

E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


@pytest.fixture(scope="module")
def weir():
    with opened(Instance(device="out0")) as made:
        yield made


def udp(src="198.51.100.1", dport=53, size=0):
    return bytes(E / IP(src=src, dst="203.0.113.1") / UDP(sport=1000, dport=dport) / Raw(bytes(size)))


def udp6(src):
    return bytes(E / IPv6(src=src, dst="2001:db8:ffff::1") / UDP(sport=1000, dport=53))


def apply(weir, rule, policy="drop"):
    weir.apply(f"chain ingress {{\npolicy {policy}\n{rule}\n}}\n")


def passed(weir, frames):
    return [weir.xdp(f)[0] == XDP_PASS for f in frames]


def counted(weir):
    """Of the rules; the policy's counter goes on from test to test."""
    return [p for p, _ in weir.rules()][:-1]


def test_a_burst_passes_then_nothing(weir):
    apply(weir, "limit rate 1/hour burst 7 packets accept")
    assert passed(weir, [udp(f"198.51.100.{n}") for n in range(20)]) == [True] * 7 + [False] * 13
    assert counted(weir) == [7]


def test_five_packets_when_no_burst_is_said(weir):
    apply(weir, "udp dport 53 limit rate 1/day accept")
    assert sum(passed(weir, [udp()] * 12)) == 5


def test_over_holds_above_the_rate(weir):
    apply(weir, "limit rate over 1/hour burst 3 packets drop", policy="accept")
    assert passed(weir, [udp()] * 8) == [True] * 3 + [False] * 5
    assert counted(weir) == [5]


def test_what_is_over_goes_to_the_next_rules(weir):
    apply(weir, "limit rate 1/hour burst 2 packets accept comment \"a\"\nlimit rate 1/hour burst 3 packets accept comment \"b\"")
    assert sum(passed(weir, [udp()] * 9)) == 5
    assert counted(weir) == [2, 3]


def test_a_rule_that_only_counts_counts_what_is_within(weir):
    apply(weir, "limit rate 1/hour burst 4 packets counter", policy="accept")
    assert all(passed(weir, [udp()] * 10))
    assert counted(weir) == [4]


def test_packets_that_do_not_match_take_nothing(weir):
    apply(weir, "udp dport 53 limit rate 1/hour burst 2 packets accept")
    passed(weir, [udp(dport=54)] * 5)
    assert sum(passed(weir, [udp()] * 5)) == 2


def test_bytes(weir):
    """The bucket holds the burst and a period's worth, as nft's does."""
    apply(weir, "limit rate 1 kbytes/week burst 2 kbytes accept")
    assert sum(passed(weir, [udp(size=1000)] * 9)) == 3072 // 1028


@pytest.mark.parametrize("family", (4, 6))
def test_per_source(weir, family):
    apply(weir, f"limit rate 1/hour burst 2 packets per ip{'6' if family == 6 else ''} saddr accept")
    frame = (lambda n: udp(f"10.0.{n >> 8}.{n & 255}")) if family == 4 else (lambda n: udp6(f"2001:db8::{n:x}"))
    for n in range(300):
        assert passed(weir, [frame(n)] * 4) == [True, True, False, False], n
    assert passed(weir, [udp6("2001:db8::1") if family == 4 else udp()]) == [False]	# the rule asks for the family


def test_per_prefix(weir):
    apply(weir, "limit rate 1/hour burst 3 packets per ip saddr/24 accept")
    assert sum(passed(weir, [udp(f"10.0.0.{n}") for n in range(9)])) == 3
    assert sum(passed(weir, [udp(f"10.0.1.{n}") for n in range(9)])) == 3
    apply(weir, "limit rate 1/hour burst 3 packets per ip6 saddr/64 accept comment \"six\"")
    assert sum(passed(weir, [udp6(f"2001:db8::{n}") for n in range(9)])) == 3
    assert sum(passed(weir, [udp6(f"2001:db8:0:1::{n}") for n in range(9)])) == 3


def test_per_concatenation(weir):
    apply(weir, "limit rate 1/hour burst 1 packets per ip saddr . udp dport accept")
    frames = [udp(f"10.0.0.{n % 5}", 53 + n // 5 % 4) for n in range(40)]
    assert sum(passed(weir, frames)) == 20
    assert passed(weir, [bytes(E / IP(src="10.0.0.1", dst="203.0.113.1") / TCP(dport=53))]) == [False]


def test_rules_have_buckets_of_their_own_and_keep_them(weir):
    first, second = "udp dport 53 limit rate 1/hour burst 3 packets accept", "udp dport 54 limit rate 1/hour burst 3 packets accept"
    apply(weir, f"{first}\n{second}")
    assert sum(passed(weir, [udp()] * 9)) == 3
    assert sum(passed(weir, [udp(dport=54)] * 2)) == 2
    apply(weir, f"tcp dport 1 drop\n{second}\n{first}")		# the rules are the same, elsewhere
    assert sum(passed(weir, [udp()] * 9)) == 0
    assert sum(passed(weir, [udp(dport=54)] * 9)) == 1


@pytest.mark.parametrize("per", ("", " per ip saddr"))
def test_the_rate_is_right(weir, per):
    """1,000 a second over what the clock says passed: within the packets of the moments before and after."""
    rate, burst = 1000, 10
    apply(weir, f"limit rate {rate}/second burst {burst} packets{per} accept comment \"{per}\"")
    frame, count = udp(), 0
    begin = time.monotonic()
    count += passed(weir, [frame])[0]
    first = time.monotonic()
    while time.monotonic() - begin < 0.5:
        last = time.monotonic()
        count += passed(weir, [frame])[0]
    end = time.monotonic()
    gaps_lose = burst + 1	# a full bucket gains nothing, so a pause of the test can only lower the count
    assert count <= (end - begin) * rate + burst + 1
    assert count >= 0.5 * (last - first) * rate - gaps_lose


def until_refused(weir, frame, seconds=0):
    """How many passed, and the moments around the packet that did not."""
    count, begin = 0, time.monotonic()
    while True:
        before = time.monotonic()
        if passed(weir, [frame])[0]:
            count += 1
        elif before - begin >= seconds:
            return count, before, time.monotonic()


@pytest.mark.parametrize("per", ("", " per ip saddr"))
def test_a_deep_bucket_has_its_rate_by_jiffies(weir, per):
    """A bucket of five seconds that is empty loses nothing while the test pauses, so what passes is right on both sides, by a clock that is a jiffy late."""
    rate, burst, jiffy = 200, 1000, time.clock_getres(6)	# CLOCK_MONOTONIC_COARSE
    apply(weir, f"limit rate {rate}/second burst {burst} packets{per} accept comment \"deep{per}\"")
    begin = time.monotonic()
    count, first, after_first = until_refused(weir, udp())
    assert burst <= count <= burst + (after_first - begin + jiffy) * rate + 1
    count, last, after_last = until_refused(weir, udp(), 1)
    assert (last - after_first - jiffy) * rate - 1 <= count <= (after_last - first + jiffy) * rate + 1


def test_a_flow_is_asked_packet_by_packet(weir):
    apply(weir, "tcp dport 80 limit rate 1/hour burst 3 packets accept")
    segment = bytes(E / IP(src="10.9.9.9", dst="203.0.113.1") / TCP(sport=999, dport=80, flags="A"))
    assert sum(passed(weir, [segment] * 9)) == 3


def test_sources_beyond_the_table_are_forgotten_and_counted(weir):
    """300,000 sources at once do not fit: none is refused its first packet, what was forgotten is counted."""
    apply(weir, "limit rate 1/day burst 1 packets per ip saddr accept")
    before = weir.ctl("stats")["limits"]["forgotten"]
    frame = bytearray(udp())
    run = weir.programs["xdp"][1]
    def sweep():
        ok = 0
        for n in range(300_000):
            frame[26:30] = (0x0b000000 + n).to_bytes(4, "big")
            ok += run.xdp(bytes(frame), weir.lab.ifindex["out0"])[0] == XDP_PASS
        return ok
    assert weir.lab.inside.submit(sweep).result() == 300_000
    assert weir.ctl("stats")["limits"]["forgotten"] - before > 300_000 - 4 * 65536
