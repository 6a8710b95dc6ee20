# SPDX-License-Identifier: GPL-2.0-only
"""prog_rule_test: `weirctl rule test`: the program and the model give one answer, for packets in words, in hexadecimal digits and in files; it says
which rule, why, and what stands in its shadow; and nobody can tell from the accounts that it was asked."""
import glob
import json
import os
import random
import subprocess

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Raw
from scapy.utils import PcapNgWriter, wrpcap

import random_rules
import weirtest as w
from lab import Instance, opened, run

CTL = os.path.join(w.OUT, "weirctl")
E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
SYN = "tcp 192.0.2.1:1234 > 203.0.113.10:443 flags syn"


@pytest.fixture(scope="module")
def weir():
    with opened(Instance(hooks="xdp,tc-egress", device="out0")) as made:
        yield made


def ask(weir, *words, code=0):
    p = subprocess.run([CTL, "rule", "test", *words, "-j"], env=weir.env if weir else None, capture_output=True, text=True)
    assert p.returncode == code, (words, p.stdout, p.stderr)
    return json.loads(p.stdout)


def lines(weir, path, code=0):
    p = subprocess.run([CTL, "rule", "test", "ingress", "--pcap", path, "-j"], env=weir.env, capture_output=True, text=True)
    assert p.returncode == code, p.stdout[-2000:] + p.stderr
    return [json.loads(line) for line in p.stdout.splitlines()]


def test_two_answers_to_many_random_packets_are_one(weir, tmp_path):
    r = random.Random(w.SEED)
    print("seed", w.SEED)
    asked, rules = 0, set()
    candidate, path = str(tmp_path / "weir.conf"), str(tmp_path / "frames.pcap")

    def check(text):
        with open(candidate, "w") as f:
            f.write(text)
        return not subprocess.run([CTL, "check", candidate], capture_output=True).returncode
    for _ in range(16):
        weir.apply(random_rules.configuration(r, check))
        frames = [random_rules.packet(r) for _ in range(50)]
        wrpcap(path, frames, linktype=1)
        got = lines(weir, path)
        assert [g["frame"] for g in got] == list(range(1, len(frames) + 1))
        assert all(g["agree"] for g in got)
        asked += len(got)
        rules |= {(g["generation"], g["rule"]) for g in got}
    assert asked >= 500 and len(rules) > 25


def test_says_loudly_where_they_differ(weir):
    weir.apply("chain ingress {\n policy accept\n tcp dport 443 drop\n}\n")
    assert ask(weir, "ingress", SYN)["verdict"] == "drop"
    text, = glob.glob(weir.dir + "/config/*")
    with open(text) as f:
        was = f.read()
    with open(text, "w") as f:
        f.write(was.replace("443", "80"))
    try:
        error = ask(weir, "ingress", SYN, code=1)["error"]
        assert error["message"].startswith("THE PROGRAM AND THE MODEL DO NOT AGREE: the program says rule ")
        assert " drop, the model policy 1 accept: a defect of weir" in error["message"]
    finally:
        with open(text, "w") as f:
            f.write(was)


KATAS = """\
chain ingress {
    policy accept
    vlan id 7 tcp dport 443 drop comment "tag"
    ip frag-off & 0x1fff != 0 drop comment "later"
    exthdr frag exists drop comment "frag6"
    exthdr hbh exists tcp dport 80 drop comment "behind"
    ip option rr exists drop comment "rr"
    icmp type destination-unreachable drop comment "error"
    udp dport 53 drop comment "dns"
    ether type arp drop comment "arp"
}
"""
V4, V6 = IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="2001:db8::1", dst="2001:db8::2")
FRAMES = {
    "a tag": (E / Dot1Q(vlan=7) / V4 / TCP(dport=443), "tag"),
    "another tag": (E / Dot1Q(vlan=8) / V4 / TCP(dport=443), None),
    "the outer of two tags": (E / Dot1AD(vlan=7) / Dot1Q(vlan=8) / V4 / TCP(dport=443), "tag"),
    "a later fragment, whose payload looks like a port": (E / IP(src="10.0.0.1", dst="10.0.0.2", proto=17, frag=10) / Raw(bytes(UDP(dport=53))), "later"),
    "a first fragment has ports": (E / IP(src="10.0.0.1", dst="10.0.0.2", flags=1) / UDP(dport=53) / Raw(bytes(8)), "dns"),
    "a later fragment of IPv6": (E / V6 / IPv6ExtHdrFragment(nh=17, offset=10) / Raw(bytes(16)), "frag6"),
    "ports behind extension headers": (E / V6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / TCP(dport=80), "behind"),
    "no ports of another protocol behind them": (E / V6 / IPv6ExtHdrHopByHop() / UDP(dport=80), None),
    "options": (E / IP(src="10.0.0.1", dst="10.0.0.2", options=[IPOption_RR(routers=["10.0.0.9"])]) / TCP(dport=1), "rr"),
    "an ICMP error": (E / V4 / ICMP(type=3) / IP(src="10.0.0.2", dst="10.0.0.1") / UDP(), "error"),
    "ARP": (E / ARP(), "arp"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_judges(weir, name):
    weir.apply(KATAS)
    frame, comment = FRAMES[name]
    got = ask(weir, "ingress", "--hex", bytes(frame).hex())
    assert got["agree"] and got["program"] == "xdp"
    if comment:
        assert (got["verdict"], got["reason"]) == ("drop", "rule") and f'comment "{comment}"' in got["text"]
    else:
        assert (got["verdict"], got["rule"], got["reason"], got["text"]) == ("accept", None, None, "policy accept")


def test_judges_a_frame_that_is_cut_short(weir):
    weir.apply(KATAS)
    got = ask(weir, "ingress", "--hex", bytes(E / V4 / TCP())[:40].hex())
    assert (got["verdict"], got["rule"], got["reason"], got["agree"]) == ("drop", None, "short-ipv4", True)


# words: what the frame must be, but for identification, sequence numbers and the like
WORDS = {
    SYN: E / IP(src="192.0.2.1", dst="203.0.113.10") / TCP(sport=1234, dport=443, flags="S", window=64240),
    "tcp 192.0.2.1 > 203.0.113.10:https flags syn,ack ttl 3": E / IP(src="192.0.2.1", dst="203.0.113.10", ttl=3) /
    TCP(sport=40000, dport=443, flags="SA", window=64240),
    "udp [2001:db8::1]:1 > [2001:db8::2]:53 length 60": E / V6 / UDP(sport=1, dport=53) / Raw(bytes(12)),
    "udp 10.0.0.1:1 > 10.0.0.2:53 length 29 vlan 7": E / Dot1Q(vlan=7) / V4 / UDP(sport=1, dport=53) / Raw(bytes(1)),
    "sctp 10.0.0.1:1 > 10.0.0.2:2": E / V4 / SCTP(sport=1, dport=2),
    "icmp 10.0.0.1 > 10.0.0.2": E / V4 / ICMP(),
    "icmp destination-unreachable/3 10.0.0.1 > 10.0.0.2": E / V4 / ICMP(type=3, code=3) / IP(src="10.0.0.2", dst="10.0.0.1", id=0) /
    UDP(sport=40000, dport=53, chksum=0),
    "icmpv6 echo-request 2001:db8::1 > 2001:db8::2": E / V6 / ICMPv6EchoRequest(),
    "gre 10.0.0.1 > 10.0.0.2 length 24": E / IP(src="10.0.0.1", dst="10.0.0.2", proto=47) / Raw(bytes(4)),
    "89 10.0.0.1 > 10.0.0.2": E / IP(src="10.0.0.1", dst="10.0.0.2", proto=89),
    "udp 10.0.0.1 > 10.0.0.2 fragment": E / IP(src="10.0.0.1", dst="10.0.0.2", proto=17, frag=185, id=0x7765) / Raw(bytes(8)),
    "tcp 2001:db8::1 > 2001:db8::2 fragment": E / V6 / IPv6ExtHdrFragment(nh=6, offset=185, id=0x7765) / Raw(bytes(8)),
    "udp [2001:db8::1]:1 > [2001:db8::2]:53 first-fragment": E / V6 / IPv6ExtHdrFragment(nh=17, m=1, id=0x7765) / UDP(sport=1, dport=53) / Raw(bytes(8)),
}


@pytest.mark.parametrize("words", WORDS)
def test_builds_the_frame_that_the_words_say(weir, words):
    wanted = WORDS[words].copy()
    if wanted.haslayer(IP):
        wanted[IP].id = wanted[IP].id if "fragment" in words else 0
    if wanted.haslayer(TCP):
        wanted[TCP].seq = 0
    got = ask(weir, "ingress", words)
    assert got["agree"]
    assert got["frame"] == bytes(wanted).hex()


def test_tells_what_stands_in_the_shadow_and_what_lost(weir):
    weir.apply("""\
chain web { tcp flags syn / syn,ack counter
    tcp flags syn drop comment "winner"
    accept comment "second" }
chain ingress {
    policy drop
    ip saddr 10.0.0.0/8 accept
    tcp dport 22 ip saddr 192.0.2.0/24 accept
    tcp dport { 80, 443 } jump web
    ip saddr . tcp dport { 192.0.2.0/24 . 443 } accept comment "third"
    udp dport 53 accept
}
""")
    got = ask(weir, "ingress", SYN)
    assert (got["verdict"], got["chain"], got["position"], got["reason"]) == ("drop", "web", 2, "rule")
    assert got["matches"] == [{"match": "tcp flags syn", "matched": True, "packet": "syn"}]
    assert [(p["chain"], p["position"]) for p in got["path"]] == [("ingress", 3), ("web", 1)]
    assert [(p["chain"], p["position"]) for p in got["shadows"]] == [("web", 3), ("ingress", 4)]
    assert [(p["position"], p["match"], p["packet"]) for p in got["losers"]] == [
        (1, "ip saddr 10.0.0.0/8", "192.0.2.1"), (2, "tcp dport 22", "443")]
    got = ask(weir, "ingress", "udp 192.0.2.1:5 > 10.0.0.1:53")
    assert got["losers"][1]["match"] == "tcp dport 22" and got["losers"][1]["packet"] is None
    people = run(CTL, "rule", "test", "ingress", SYN, "-v", env=weir.env)
    assert 'shadowed' in people and 'tcp flags syn' in people


def test_says_what_is_only_audited(weir):
    weir.apply("chain ingress {\n policy accept\n audit\n tcp dport 443 drop\n}\n")
    got = ask(weir, "ingress", SYN)
    assert (got["verdict"], got["position"], got["audit"], got["agree"]) == ("accept", 1, True, True)


def test_asks_the_egress_program(weir):
    weir.apply("chain egress {\n policy accept\n oifname out0 udp dport 53 drop\n}\n")
    got = ask(weir, "egress", "udp 10.0.0.1:1 > 10.0.0.2:53", "--vlan", "7", "--iif", "out0")
    assert (got["verdict"], got["program"], got["interface"], got["agree"]) == ("drop", "tc-egress", "out0", True)


def test_leaves_no_trace(weir):
    """Every account of the instance, word by word, before and after packets that are dropped, accepted, balanced and fragments."""
    weir.apply("""\
chain ingress {
    policy accept
    tcp dport 443 drop
    udp dport 53 counter
    ip saddr 10.0.0.0/8 accept
}
service web {
    listen 203.0.113.99:80/udp
    forward ipip
    backend 10.1.0.11
}
""")
    weir.xdp(bytes(E / V4 / UDP(sport=9, dport=9)))	# something to disturb
    maps = [m for m in sorted(os.listdir(weir.dir + "/bpf/maps")) if not m.startswith("filter_")]

    def accounts():
        return {m: run("bpftool", "-j", "map", "dump", "pinned", f"{weir.dir}/bpf/maps/{m}") for m in maps if m not in ("rule_counts", "rings", "log_ring")}, \
            weir.rules("ingress"), weir.totals()
    before = accounts()
    assert {"totals", "flow4", "flow6", "flow_aged", "flow_budget", "backend_counts", "fragments"} <= set(before[0])
    for packet in (SYN, "udp 10.0.0.1:9 > 10.0.0.2:9", "udp 10.0.0.1:9 > 10.0.0.2:53", "udp 10.0.0.7:9 > 203.0.113.99:80",
                   "udp 10.0.0.7:9 > 203.0.113.99:80 first-fragment", "udp [2001:db8::1]:1 > [2001:db8::2]:53", "icmp 10.0.0.1 > 10.0.0.2"):
        assert ask(weir, "ingress", packet)["agree"]
        ask(weir, "egress", packet)
    assert accounts() == before


def test_takes_both_kinds_of_capture(weir, tmp_path):
    weir.apply(KATAS)
    frames = [f for f, _ in FRAMES.values()]
    wrpcap(str(tmp_path / "a.pcap"), frames, linktype=1)
    with PcapNgWriter(str(tmp_path / "a.pcapng")) as out:
        for f in frames:
            out.write(f)
    classic, ng = lines(weir, tmp_path / "a.pcap"), lines(weir, tmp_path / "a.pcapng")
    assert classic == ng and len(classic) == len(frames)
    for got, (_, comment) in zip(classic, FRAMES.values()):
        assert (got["verdict"] == "drop") == bool(comment)
    table = run(CTL, "rule", "test", "ingress", "--pcap", tmp_path / "a.pcap", env=weir.env).splitlines()
    assert len(table) == 1 + len(frames) and table[0].split() == "FRAME VERDICT RULE REASON AGREE TEXT".split()


def test_asks_what_was_inside_of_what_is_decapsulated():
    with opened(Instance("--decap")) as weir:
        weir.apply("chain ingress {\n policy accept\n udp dport 53 drop\n}\n")
        inner = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(dport=53)
        got = ask(weir, "ingress", "--hex", bytes(E / IP(src="10.1.0.1", dst="192.0.2.254") / inner).hex())
        assert (got["verdict"], got["rule"], got["agree"]) == ("drop", 3, True)


def test_asks_tc_where_xdp_is_not_attached():
    with opened(Instance(hooks="tc-ingress")) as weir:
        weir.apply(KATAS)
        assert ask(weir, "ingress", "--hex", bytes(FRAMES["a tag"][0]).hex())["program"] == "tc-ingress"
        error = ask(weir, "egress", SYN, code=3)["error"]
        assert error["message"] == "no egress program is attached anywhere: nothing runs this chain; --model asks the rules alone"
        assert ask(weir, "ingress", SYN, "--iif", "eth9", code=3)["error"]["message"].startswith("eth9: weir is not attached")
        assert ask(weir, "egress", SYN, "--model")["agree"] is None


def test_passes_all_before_anything_is_applied():
    with opened(Instance(device="out0")) as weir:
        got = ask(weir, "ingress", SYN)
        assert (got["verdict"], got["rule"], got["text"], got["agree"]) == ("accept", None, "no configuration is in force", True)


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "weir.conf"
    path.write_text("interface eth7\nchain ingress {\n policy drop\n iifname eth7 tcp dport 443 accept\n}\n")
    return str(path)


def test_asks_a_file_where_nothing_is_attached(conf):
    got = ask(None, "ingress", SYN, "--file", conf)
    assert (got["verdict"], got["rule"], got["program"], got["agree"]) == ("accept", 3, None, None)
    assert ask(None, "ingress", SYN, "--file", conf, "--iif", "eth8")["reason"] == "policy"


@pytest.mark.parametrize("words", [["ingress", SYN], ["ingress", SYN, "--model"]])
def test_says_that_nothing_is_attached(words, tmp_path):
    p = subprocess.run([CTL, "--run-dir", str(tmp_path), "rule", "test", *words], capture_output=True, text=True)
    assert p.returncode == 3
    assert p.stderr.startswith(f"weirctl: rule test: nothing is attached under {tmp_path} (weir-loader attach IFACE)")
    assert len(p.stderr.splitlines()) == 1


SAY = 'write PROTOCOL SRC[:PORT] > DST[:PORT], as in "tcp 192.0.2.1:1234 > 203.0.113.10:443 flags syn"'
GOLDEN = [
    ("", f"the packet is empty: {SAY}"),
    ("tcq 10.0.0.1:1 > 10.0.0.2:2", 'packet: "tcq" is not a protocol'),
    ("tcp", f"the packet ends where an address should stand: {SAY}"),
    ("tcp 10.0.0.300:1 > 10.0.0.2:2", 'packet: "10.0.0.300" is not an IPv4 or IPv6 address'),
    ("tcp 10.0.0.1:1 10.0.0.2:2", f'packet: "10.0.0.2:2" where > should stand: {SAY}'),
    ("tcp 10.0.0.1:1 >", f"the packet ends where an address should stand: {SAY}"),
    ("tcp 10.0.0.1:1 > 10.0.0.2:70000", 'packet: port 70000 is out of range 0-65535'),
    ("tcp 10.0.0.1:1 > 10.0.0.2", "packet: the destination has no port: write it behind the address, as in 203.0.113.10:443 or [2001:db8::1]:443"),
    ("tcp 10.0.0.1:1 > [2001:db8::1]:2", "packet: an IPv4 and an IPv6 address cannot stand in one packet"),
    ("icmp 10.0.0.1:1 > 10.0.0.2", "packet: protocol 1 has no ports"),
    ("icmp 2001:db8::1 > 2001:db8::2", "packet: icmp is of the other family than the addresses"),
    ("icmp ping 10.0.0.1 > 10.0.0.2", 'packet: "ping" is not an ICMP type'),
    ("udp 10.0.0.1:1 > 10.0.0.2:2 flags syn", "packet: flags are TCP's"),
    ("tcp 10.0.0.1:1 > 10.0.0.2:2 flags", "packet: flags needs names, as in flags syn,ack"),
    ("tcp 10.0.0.1:1 > 10.0.0.2:2 flags sin", 'packet: "sin" is not a TCP flag'),
    ("tcp 10.0.0.1:1 > 10.0.0.2:2 vlan", "packet: vlan needs a number"),
    ("tcp 10.0.0.1:1 > 10.0.0.2:2 vlan 4096", "packet: vlan 4096 is out of range 0-4095"),
    ("tcp 10.0.0.1:1 > 10.0.0.2:2 length 30", "packet: length 30 is too small: the headers alone take 40 bytes"),
    ("tcp 10.0.0.1:1 > 10.0.0.2:2 fragment", "packet: a fragment that is not the first has no ports: leave them out, or write first-fragment"),
    ("tcp 10.0.0.1:1 > 10.0.0.2:2 dscp 3", 'packet: unknown word "dscp", expected flags, vlan, length, ttl, fragment or first-fragment'),
]


@pytest.mark.parametrize("packet,message", GOLDEN)
def test_refuses_a_packet(conf, packet, message):
    assert ask(None, "ingress", packet, "--file", conf, code=2)["error"]["message"] == message


TAKES = 'takes a chain and one of: a packet ("tcp 192.0.2.1:1234 > 203.0.113.10:443 flags syn"), --hex, --pcap'


@pytest.mark.parametrize("words,code,message", [
    ([], 2, TAKES), (["ingress"], 2, TAKES), (["ingress", SYN, "--hex", "00"], 2, TAKES),
    (["web", SYN], 2, "web: no such chain; ingress or egress"),
    (["ingress", "--hex", "0x00"], 2, '--hex: "x" at byte 1 is no hexadecimal digit'),
    (["ingress", "--hex", "000"], 2, "--hex: an odd number of digits"),
    (["ingress", "--hex", ""], 2, "--hex: no bytes"),
    (["ingress", "--hex", "00", "--vlan", "3"], 2, "--vlan is for packets in words: the tag of a frame stands in its bytes"),
    (["ingress", SYN, "--vlan", "5000"], 2, "--vlan 5000: VLAN ids go from 0 to 4095"),
    (["ingress", "--pcap", "/nonexistent"], 1, "/nonexistent: No such file or directory"),
])
def test_refuses_words(conf, words, code, message):
    assert ask(None, *words, "--file", conf, code=code)["error"]["message"] == message


def test_the_state_and_limits_are_those_of_a_first_packet(weir):
    weir.apply("chain ingress {\npolicy drop\nct state established accept\nct state invalid drop\nlimit rate over 1/day burst 1 packets drop\nct state new accept\n}\n")
    for flags, verdict, position in (("syn", "accept", 4), ("ack", "drop", 2)):
        told = weir.ctl("rule", "test", "ingress", f"tcp 192.0.2.1:1234 > 203.0.113.10:443 flags {flags}")
        assert (told["verdict"], told["position"], told["agree"]) == (verdict, position, True)
