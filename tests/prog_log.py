# SPDX-License-Identifier: GPL-2.0-only
"""prog_log: `log` in rules and `weirctl log follow`: each packet that met such a rule has one record with the rule and what it said, each dropped one
has one with its reason when drops are asked for; nothing is sent while nobody follows; what is not shown is counted."""
import json
import os
import shutil
import socket
import struct
import subprocess
import time

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

import weirtest as w
from lab import Instance, opened, run

CTL = os.path.join(w.OUT, "weirctl")
E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4 = IP(src="10.0.0.1", dst="10.0.0.2")
PING, SSH, WEB = E / V4 / ICMP(), E / Dot1Q(vlan=5) / V4 / TCP(dport=22, flags="S"), E / V4 / TCP(dport=80)
RULES = """\
chain ingress {
    policy drop
    icmp type echo-request log prefix "ping: " counter
    tcp dport 22 log prefix "ssh" drop comment "admin only"
    tcp dport 80 log
    tcp dport { 80, 443 } log accept
    udp dport 5 drop
    udp dport 6 accept
}
"""


@pytest.fixture(scope="module")
def weir():
    with opened(Instance(hooks="xdp,tc-egress", device="out0")) as made:
        yield made


def words_of(weir, name):
    """The one value of a map, of all CPUs if it has one a CPU."""
    entry = json.loads(run("bpftool", "-j", "map", "dump", "pinned", f"{weir.dir}/bpf/maps/{name}"))[0]["formatted"]
    return [v["value"] for v in entry["values"]] if "values" in entry else entry["value"]


def counts(weir):
    return {n: sum(v[n] for v in words_of(weir, "log_counts")) for n in ("sent", "suppressed", "lost")}


class Following:
    def __init__(self, weir, *words):
        self.weir = weir
        self.process = subprocess.Popen([CTL, "log", "follow", *words], env=weir.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while not words_of(weir, "log_follow")["statements_until"]:
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(.01)

    def end(self):
        self.process.terminate()
        out, err = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, (out, err)
        return out


def records(weir, frames, *words):
    """(records, totals) of frames that come in while it is followed."""
    following = Following(weir, "-j", *words)
    for frame in frames:
        weir.xdp(bytes(frame))
    lines = [json.loads(line) for line in following.end().splitlines()]
    return lines[:-1], lines[-1]["totals"]


def ids(weir):
    return [r["id"] for r in weir.ctl("rule", "list", "ingress")["rules"]][:-1]


def test_shows_what_met_a_rule_with_log(weir):
    weir.apply(RULES)
    rule = ids(weir)
    got, totals = records(weir, [PING, SSH, WEB, E / V4 / UDP(dport=6)])
    assert [(g["rule"], g["verdict"], g["reason"], g["prefix"], g["event"]) for g in got] == [
        (rule[0], "continue", None, "ping: ", "log"), (rule[1], "drop", "rule", "ssh", "log"), (rule[2], "continue", None, None, "log"),
        (rule[3], "accept", None, None, "log")]
    assert got[1]["packet"] == "tcp 10.0.0.1:20 > 10.0.0.2:22 flags syn length 40 vlan 5"
    assert got[1]["text"] == 'tcp dport 22 log prefix "ssh" drop comment "admin only"'
    assert {(g["interface"], g["hook"], g["chain"]) for g in got} == {("out0", "xdp", "ingress")}
    assert all(abs(g["time_ns"] - time.time_ns()) < 60e9 for g in got) and got == sorted(got, key=lambda g: g["time_ns"])
    assert [g["captured"] for g in got] == [g["frame_bytes"] for g in got] == [len(f) for f in (PING, SSH, WEB, WEB)]
    assert totals == {"shown": 4, "sent": 4, "suppressed": 0, "lost": 0}


def test_what_it_shows_is_what_rule_test_takes(weir):
    weir.apply("chain ingress {\n log prefix \"all\" accept\n}\n")
    frames = [PING, SSH, E / V4 / UDP(sport=9, dport=9) / Raw(bytes(20)), E / IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(dport=443, flags="SA"),
              E / IP(src="10.0.0.1", dst="10.0.0.2", proto=17, frag=185) / Raw(bytes(8))]
    got, _ = records(weir, frames)
    assert len(got) == len(frames)
    for g, frame in zip(got, frames):
        words = g["packet"]
        asked = json.loads(run(CTL, "rule", "test", "ingress", words, "-j", env=weir.env))
        assert asked["agree"] and asked["frame_bytes"] == len(frame)


def test_shows_each_packet_of_a_flow(weir):
    weir.apply("chain ingress {\n udp dport 9 log accept\n}\n")
    got, _ = records(weir, [E / V4 / UDP(sport=9, dport=9)] * 5)
    assert len(got) == 5


def test_shows_all_that_is_dropped_once(weir):
    weir.apply(RULES)
    rule = ids(weir)
    before = weir.totals()
    got, _ = records(weir, [PING, SSH, WEB, E / V4 / UDP(dport=5), E / V4 / UDP(dport=7), bytes(PING)[:20]], "--drops")
    drops = [(g["rule"], g["reason"], g["event"]) for g in got if g["verdict"] == "drop"]
    assert drops == [(None, "policy", "drop"), (rule[1], "rule", "log"), (rule[4], "rule", "drop"), (None, "policy", "drop"),
                     (None, "short-ipv4", "drop")]
    after = weir.totals()
    assert sum(n[0] - before.get(k, (0, 0))[0] for k, n in after.items() if k[1] == "drop") == len(drops)
    got, _ = records(weir, [SSH, E / V4 / UDP(dport=5)], "--drops", "--rule", str(rule[4]))
    assert [g["rule"] for g in got] == [rule[4]]


def test_is_for_people_too(weir):
    weir.apply(RULES)
    following = Following(weir, "--drops")
    weir.xdp(bytes(SSH))
    head, line = following.end().splitlines()
    assert head.split() == "TIME INTERFACE VERDICT RULE REASON PREFIX PACKET".split()
    assert line.split()[1:] == ["out0", "drop", str(ids(weir)[1]), "rule", "ssh"] + "tcp 10.0.0.1:20 > 10.0.0.2:22 flags syn length 40 vlan 5".split()


def test_shows_rules_on_the_way_through_jumps_and_maps(weir):
    weir.apply("""\
chain deep { tcp dport 80 log prefix "deep" return
    log prefix "never" drop }
chain ingress {
    policy drop
    tcp dport 80 log prefix "jump" jump deep
    tcp dport vmap { 80 : jump deep, 81 : drop }
    ip saddr . tcp dport { 10.0.0.1 . 80, 10.0.0.1 . 81 } log prefix "pair"
    tcp dport 80 log prefix "end" accept
}
""")
    got, _ = records(weir, [WEB])
    assert [(g["prefix"], g["verdict"]) for g in got] == [("jump", "continue"), ("deep", "continue"), ("deep", "continue"), ("pair", "continue"),
                                                          ("end", "accept")]


def test_keeps_the_last_of_very_many(weir):
    weir.apply("chain ingress {\n" + "".join(f"    log prefix \"{i}\"\n    udp dport 99 counter\n    counter\n" for i in range(20)) + "    accept\n}\n")
    got, _ = records(weir, [PING])
    assert [g["prefix"] for g in got] == [str(i) for i in range(13, 20)]


def test_names_the_rules_of_the_generation_in_force(weir):
    weir.apply("chain ingress {\n    udp dport 9 log prefix \"old\" drop\n}\n")
    following = Following(weir, "-j")
    weir.xdp(bytes(E / V4 / UDP(dport=9)))
    while counts(weir)["sent"] == 0:
        time.sleep(.01)
    time.sleep(.1)		# it has looked
    weir.apply("chain ingress {\n    udp dport 9 log prefix \"new\" drop\n}\n")
    time.sleep(.1)
    weir.xdp(bytes(E / V4 / UDP(dport=9)))
    got = [json.loads(line) for line in following.end().splitlines()][:-1]
    assert [g["prefix"] for g in got] == ["old", "new"]


def test_sends_nothing_while_nobody_follows(weir):
    weir.apply(RULES)
    before = counts(weir)
    for frame in (PING, SSH, WEB):
        weir.xdp(bytes(frame))
    assert counts(weir) == before
    assert words_of(weir, "log_follow") == {"statements_until": 0, "drops_until": 0}
    following = Following(weir)			# statements alone: drops are not sent
    weir.xdp(bytes(E / V4 / UDP(dport=5)))
    assert counts(weir) == before
    following.end()


def test_stops_behind_a_follower_that_was_killed(weir):
    weir.apply(RULES)
    following = Following(weir, "--drops")
    following.process.kill()
    following.process.communicate()
    assert words_of(weir, "log_follow")["drops_until"]
    while words_of(weir, "log_follow") != {"statements_until": 0, "drops_until": 0}:	# the programs take it away
        weir.xdp(bytes(SSH))
        weir.xdp(bytes(PING))
    before = counts(weir)
    weir.xdp(bytes(SSH))
    assert counts(weir) == before
    got, _ = records(weir, [WEB])		# nothing of what the dead one left
    assert len(got) == 2


def test_a_flood_is_cut_and_the_rest_is_counted(weir):
    weir.apply(RULES)
    following, before = Following(weir, "-j"), counts(weir)
    weir.flood(SSH, 50000)
    *got, last = [json.loads(line) for line in following.end().splitlines()]
    after = counts(weir)
    sent, suppressed, lost = (after[n] - before[n] for n in ("sent", "suppressed", "lost"))
    assert sent + suppressed + lost == 50000 and suppressed > 0
    assert last["totals"] == {"shown": len(got), "sent": sent, "suppressed": suppressed, "lost": lost} and len(got) == sent > 0
    following = Following(weir)
    weir.flood(SSH, 50000)
    following.process.terminate()
    _, err = following.process.communicate()
    assert "suppressed" in err and err.startswith("weirctl: note: ")


def test_a_test_packet_has_no_record(weir):
    weir.apply(RULES)
    following = Following(weir, "-j", "--drops")
    run(CTL, "rule", "test", "ingress", "tcp 10.0.0.1:1 > 10.0.0.2:22", env=weir.env)
    assert len(following.end().splitlines()) == 1


def test_has_one_reader(weir):
    following = Following(weir)
    p = subprocess.run([CTL, "log", "follow"], env=weir.env, capture_output=True, text=True)
    assert p.returncode == 4
    assert p.stderr == (f"weirctl: log follow: another weirctl follows the log of {weir.dir}, and each record goes to one reader: end that one first\n")
    following.end()


def blocks(data):
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from("=II", data, at)
        assert size % 4 == 0 and struct.unpack_from("=I", data, at + size - 4)[0] == size
        yield kind, data[at + 8:at + size - 4]
        at += size


def test_writes_a_capture_with_comments(weir, tmp_path):
    weir.apply(RULES)
    rule, path = ids(weir), tmp_path / "drops.pcapng"
    long = E / V4 / UDP(dport=5) / Raw(bytes(range(200)))
    following = Following(weir, "--drops", "-w", str(path))
    for frame in (SSH, long, bytes(PING)[:20]):
        weir.xdp(bytes(frame))
    assert following.end() == ""
    kinds = list(blocks(path.read_bytes()))
    assert [k for k, _ in kinds] == [0x0a0d0d0a, 1, 6, 6, 6]
    for (_, body), frame in zip(kinds[2:], (SSH, long, bytes(PING)[:20])):
        interface, high, low, captured, size = struct.unpack_from("=5I", body)
        assert (interface, captured, size) == (0, min(len(frame), 128), len(frame))
        assert body[20:20 + captured] == bytes(frame)[:128]
        assert abs((high << 32 | low) - time.time_ns()) < 60e9
    if not shutil.which("tshark"):
        return
    lines = run("tshark", "-r", path, "-T", "fields", "-e", "frame.interface_name", "-e", "frame.len", "-e", "frame.comment", "-e", "vlan.id").splitlines()
    assert [line.split("\t")[:3] for line in lines] == [
        ["out0", "58", f'rule {rule[1]} drop (rule): tcp dport 22 log prefix "ssh" drop comment "admin only"'],
        ["out0", str(len(long)), f"rule {rule[4]} drop (rule): udp dport 5 drop"],
        ["out0", "20", "drop (short-ipv4)"]]
    assert lines[0].split("\t")[3] == "5"


def test_shows_egress(weir):
    weir.apply("chain egress {\n udp dport 9 log prefix \"out\" drop\n}\n")
    following = Following(weir, "-j")
    weir.skb(bytes(E / V4 / UDP(dport=9)), hook="tc-egress")
    got = json.loads(following.end().splitlines()[0])
    assert (got["hook"], got["chain"], got["prefix"], got["verdict"]) == ("tc-egress", "egress", "out", "drop")


def test_puts_back_the_tag_that_stands_beside_the_bytes():
    with opened(Instance(hooks="tc-ingress")) as weir:
        weir.apply("chain ingress {\n vlan id 5 udp dport 9 log drop\n}\n")
        following = Following(weir, "-j")

        def send():
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
                s.bind(("in0p", 0))
                s.send(bytes(E / Dot1Q(vlan=5) / V4 / UDP(sport=7, dport=9) / Raw(bytes(20))))
        weir.lab.inside.submit(send).result()
        while counts(weir)["sent"] == 0:
            time.sleep(.01)
        got = json.loads(following.end().splitlines()[0])
        assert got["packet"] == "udp 10.0.0.1:7 > 10.0.0.2:9 length 48 vlan 5"
        assert got["frame_bytes"] == got["captured"] == 66


@pytest.mark.parametrize("words,code,message", [
    (["log", "follow", "x"], 2, "log follow: takes no words"),
    (["log", "follow", "-w", "/nonexistent/x"], 1, "log follow: /nonexistent/x: No such file or directory"),
    (["log", "follow", "--rule", "x"], 2, "--rule: \"x\" is not a number"),
])
def test_refuses(weir, words, code, message):
    p = subprocess.run([CTL, *words], env=weir.env, capture_output=True, text=True)
    assert p.returncode == code and message in p.stderr and len(p.stderr.splitlines()) == 1, p.stderr


def test_says_that_nothing_is_attached(tmp_path):
    p = subprocess.run([CTL, "--run-dir", tmp_path, "log", "follow"], capture_output=True, text=True)
    assert (p.returncode, p.stderr) == (3, f"weirctl: log follow: nothing is attached under {tmp_path} (weir-loader attach IFACE)\n")


def test_says_what_to_do_where_programs_are_older(tmp_path):
    with opened(Instance()) as weir:
        os.unlink(f"{weir.dir}/bpf/maps/log_ring")
        p = subprocess.run([CTL, "log", "follow"], env=weir.env, capture_output=True, text=True)
        assert (p.returncode, p.stderr) == (1, "weirctl: log follow: the attached programs know no log: weir-loader upgrade puts those of this build "
                                            "in their place\n")
        weir.loader("upgrade")
        Following(weir).end()
