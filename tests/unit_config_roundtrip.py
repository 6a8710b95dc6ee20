# SPDX-License-Identifier: GPL-2.0-only
# unit_config_roundtrip: print(parse(print(parse(x)))) == print(parse(x)) for configurations made by the grammar, and no
# difference between both; bytes that are no configuration end in an error of the documented form. WEIR_SEED repeats a run.
import ipaddress
import os
import pathlib
import random
import re
import subprocess
import tempfile

from hypothesis import HealthCheck, configuration, given, note, seed, settings
from hypothesis import strategies as st

ROOT = pathlib.Path(__file__).resolve().parent.parent
DRIVER = pathlib.Path(os.environ.get("WEIR_OUT", ROOT / "out")) / "tests" / "config_check"
SEED = int(os.environ.get("WEIR_SEED", random.randrange(2**32)))
EXAMPLES = int(os.environ.get("WEIR_EXAMPLES", 500))
print(f"WEIR_SEED={SEED}")  # shown again with a failure
configuration.set_hypothesis_home_dir(tempfile.gettempdir() + "/weir-hypothesis")

many = settings(max_examples=EXAMPLES, deadline=None, database=None, print_blob=True,
                suppress_health_check=list(HealthCheck))

blank = st.sampled_from([" ", "  ", "\t", " \\\n "])
name = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,30}", fullmatch=True)
ifname = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}", fullmatch=True)
comment = st.text(st.characters(blacklist_characters='"\x7f', blacklist_categories=("Cc", "Cs")), max_size=30)


def integer(most, most_names=()):
    number = st.integers(0, most).map(lambda v: v if v % 3 else hex(v)).map(str)
    return st.one_of(number, st.sampled_from(most_names)) if most_names else number


def ranged(one, key=int):
    def text(pair):
        low, high = sorted(pair, key=key)
        return f"{low}-{high}"
    return st.tuples(one, one).map(text)


def address(cls, bits):
    one = st.integers(0, 2**bits - 1).map(lambda v: str(cls(v)))
    near = st.integers(0, 300).map(lambda v: str(cls(v + (10 << (bits - 8)))))
    any_of = st.one_of(one, near)
    prefix = st.tuples(any_of, st.integers(0, bits)).map(lambda p: f"{p[0]}/{p[1]}")
    return any_of, st.one_of(any_of, prefix, ranged(any_of, lambda a: int(cls(a))))


FLAGS = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"]
ICMP = ["echo-request", "echo-reply", "destination-unreachable", "time-exceeded"]
ICMP6 = ["packet-too-big", "nd-neighbor-solicit", "mld2-listener-report", "echo-request"]
mac = st.integers(0, 2**48 - 1).map(lambda v: ":".join(f"{v:012x}"[i:i + 2] for i in range(0, 12, 2)))
bar = st.lists(st.sampled_from(FLAGS), min_size=1, max_size=3, unique=True).map(" | ".join)


def number_type(most, names=()):
    plain = st.integers(0, most).map(str)
    return integer(most, names), st.one_of(integer(most, names), ranged(plain))


# type: (single values, values where ranges are allowed)
TYPES = {
    "ipv4_addr": address(ipaddress.IPv4Address, 32),
    "ipv6_addr": address(ipaddress.IPv6Address, 128),
    "inet_service": number_type(65535),
    "inet_proto": number_type(255, ["tcp", "udp", "icmpv6", "ah", "ipv6-icmp"]),
    "icmp_type": number_type(255, ICMP),
    "icmp_code": number_type(255, ["port-unreachable"]),
    "icmpv6_type": number_type(255, ICMP6),
    "icmpv6_code": number_type(255, ["no-route"]),
    "vlan_id": number_type(4095),
    "ether_type": number_type(65535, ["ip", "ip6", "arp", "8021q", "vlan"]),
    "ether_addr": (mac, mac),
    "ifname": (ifname.map(lambda n: f'"{n}"'), ifname.map(lambda n: f'"{n}"')),
    "dscp": number_type(63, ["ef", "af11", "cs0"]),
    "ecn": number_type(3, ["ce", "ect0"]),
    "mark": number_type(0xffffffff),
    "presence": (st.sampled_from(["exists", "missing"]),) * 2,
    "nf_proto": (st.sampled_from(["ipv4", "ipv6"]),) * 2,
    "int8": number_type(255),
    "int16": number_type(65535),
    "tcp_flag": (st.one_of(bar, integer(255)), st.one_of(bar, integer(255))),
}

# key: (type, family, protocol)
KEYS = {
    "ip saddr": ("ipv4_addr", 4, None), "ip daddr": ("ipv4_addr", 4, None),
    "ip6 saddr": ("ipv6_addr", 6, None), "ip6 daddr": ("ipv6_addr", 6, None),
    "tcp sport": ("inet_service", None, 6), "tcp dport": ("inet_service", None, 6),
    "udp sport": ("inet_service", None, 17), "udp dport": ("inet_service", None, 17),
    "sctp sport": ("inet_service", None, 132), "sctp dport": ("inet_service", None, 132),
    "icmp type": ("icmp_type", 4, 1), "icmp code": ("icmp_code", 4, 1),
    "icmpv6 type": ("icmpv6_type", 6, 58), "icmpv6 code": ("icmpv6_code", 6, 58),
    "vlan id": ("vlan_id", None, None), "iifname": ("ifname", None, None), "meta iifname": ("ifname", None, None),
    "ether saddr": ("ether_addr", None, None), "ether daddr": ("ether_addr", None, None),
    "ether type": ("ether_type", None, None),
    "ip dscp": ("dscp", 4, None), "ip6 ecn": ("ecn", 6, None), "meta mark": ("mark", None, None), "exthdr  frag": ("presence", 6, None),
    "tcp option sack-perm": ("presence", None, 6), "tcp option maxseg size": ("int16", None, 6), "ip ttl": ("int8", 4, None),
    "ip frag-off": ("int16", 4, None), "ip option rr": ("presence", 4, None), "ip6 nexthdr": ("inet_proto", 6, None),
    "meta nfproto": ("nf_proto", None, None), "meta protocol": ("ether_type", None, None), "th dport": ("inet_service", None, None),
    "@th,16,16": ("int16", None, None), "@ll , 4, 8": ("int8", None, None), "ip id": ("int16", 4, None),
    "meta length": ("mark", None, None),
}
UNNAMED = {"presence", "int8", "int16"}


def braces(one, least):
    return st.lists(one, min_size=least, max_size=12).map(lambda v: "{ " + ", ".join(v) + " }")


@st.composite
def flags_match(draw):
    some = draw(st.lists(st.sampled_from(FLAGS), min_size=1, max_size=4, unique=True))
    mask = draw(st.lists(st.sampled_from(FLAGS), min_size=1, max_size=4, unique=True))
    value = draw(st.one_of(st.just(",".join(some)), st.just(" | ".join(some)), integer(255)))
    op = draw(st.sampled_from(["==", "!="]))
    form = draw(st.integers(0, 6))
    if form == 0:
        return f"tcp flags {value}"
    if form == 1:
        return f"tcp flags {op} {value}"
    if form == 2:
        return f"tcp flags ! {value}"
    if form == 3:
        return f"tcp flags & ({'|'.join(mask)}) {op} {value}"
    if form == 4:
        return f"tcp flags {op} {','.join(some)} / {','.join(mask)}"
    if form == 5:
        return "tcp flags 0x3-0x9"
    return f"tcp flags {op} " + draw(braces(TYPES["tcp_flag"][0], 1))


@st.composite
def rule(draw, sets):
    family, proto, parts = None, None, []
    for key in draw(st.lists(st.sampled_from([*KEYS, "tcp flags", "meta l4proto"]), max_size=4)):
        kind, needs_family, needs_proto = KEYS.get(key, ("tcp_flag", None, 6 if key == "tcp flags" else None))
        if key == "meta l4proto":
            parts.append("meta l4proto 0-255")
            continue
        if (needs_family and family not in (None, needs_family)) or (needs_proto and proto not in (None, needs_proto)):
            continue
        family, proto = family or needs_family, proto or needs_proto
        if key == "tcp flags":
            parts.append(draw(flags_match()))
            continue
        values = [TYPES[kind][1], braces(TYPES[kind][1], 1)]
        fitting = [n for n, t in sets.items() if t == kind]
        if fitting and key != "meta length":
            values.append(st.sampled_from(fitting).map(lambda n: "@" + n))
        if kind in ("int8", "int16", "mark") and draw(st.booleans()):
            op = draw(st.sampled_from(["& 0xf0 == 0x10", "& 0x3c != 0x4", "< 7", ">= 9", "> 200", "<= 0"]))
            parts.append(f"{key} {op}" if kind != "mark" or "&" not in op else f"{key} & 0xfffffff0 != 0x50")
            continue
        parts.append(f"{key} {draw(st.sampled_from(['', '== ', '!= ']))}{draw(st.one_of(values))}")
    if draw(st.booleans()) and family in (None, 4) and proto in (None, 6):
        family, proto = 4, 6
        element = st.tuples(TYPES["ipv4_addr"][1], TYPES["inet_service"][1]).map(" . ".join)
        parts.append("ip saddr . tcp dport " + draw(st.sampled_from(["", "!= ", "== "])) + draw(braces(element, 1)))
    if draw(st.booleans()):
        parts.append(draw(st.sampled_from(["counter", "counter packets 5 bytes 10"])))
    if draw(st.booleans()):
        parts.append("log" + draw(st.sampled_from(["", ' prefix "a b: "', " prefix x"])))
    verdict = draw(st.sampled_from(["accept", "drop", "", "return", "jump other", "goto other", "vmap", "reject", "reject with icmpx type admin-prohibited",
                                    "reject with icmpx port-unreachable", "meta mark set 7",
                                    "meta mark set mark and 0xff xor 3 drop", "meta mark set meta mark or 1 return"]))
    if verdict == "vmap":
        way = st.sampled_from(["accept", "drop", "jump other", "return", "continue"])
        ports = draw(st.lists(st.integers(0, 65535), min_size=1, max_size=6, unique=True))
        verdict = "th dport vmap { " + draw(st.sampled_from([", ", ",\n"])).join(f"{p}{draw(st.sampled_from([' : ', ': ']))}{draw(way)}" for p in ports) + " }"
    if verdict or not any(p.startswith(("counter", "log")) for p in parts):
        parts.append(verdict or "drop")
    if draw(st.booleans()):
        text = draw(comment)
        if len(text.encode()) <= 128:
            parts.append(f'comment "{text}"')
    return draw(blank).join(parts)


@st.composite
def config(draw):
    sets = draw(st.dictionaries(name, st.sampled_from([t for t in TYPES if t not in UNNAMED]), max_size=4))
    sep = st.sampled_from(["\n", "; ", "\n\n  # a comment\n", " ;;\n"])
    objects = [f"interface {n}" for n in draw(st.lists(ifname, max_size=2, unique=True))]
    for set_name, kind in sets.items():
        interval = draw(st.booleans())
        body = [f"type {kind}"] + (["flags interval"] if interval else [])
        elements = draw(st.lists(TYPES[kind][interval], max_size=20))
        if elements:
            body.append("elements = {" + ",\n ".join(elements) + draw(st.sampled_from([",", ""])) + " }")
        objects.append(f"set {set_name} {{ " + draw(sep).join(body) + " }")
    for chain in draw(st.sampled_from([[], ["ingress"], ["egress", "ingress"]])):
        body = draw(st.sampled_from([[], ["policy accept"], ["policy drop"]])) + draw(st.lists(rule(sets), max_size=5))
        objects.append(f"chain {chain} {{\n" + draw(sep).join(body) + "\n}")
    objects.append("chain other { " + draw(st.sampled_from(["", "tcp dport 22 accept", "return"])) + " }")
    if draw(st.booleans()) and not {"pairs", "ways"} & set(sets):
        pair = st.tuples(TYPES["ipv4_addr"][1], TYPES["inet_service"][1]).map(" . ".join)
        objects.append("set pairs { type ipv4_addr . inet_service; flags interval; elements = " + draw(braces(pair, 1)) + " }")
        objects.append("map ways { type inet_service : verdict; elements = { 1 : jump other, 2 : drop } }")
    for i, service in enumerate(draw(st.lists(name, max_size=3, unique=True))):
        body = [f"listen 192.0.2.{i + 1}:{p}/{draw(st.sampled_from(['tcp', 'udp']))}"
                for p in draw(st.lists(st.integers(1, 65535), min_size=1, max_size=3, unique=True))]
        body.append("forward " + draw(st.sampled_from(["l2", "ipip"])))
        for low in draw(st.lists(st.integers(1, 65535), min_size=1, max_size=4, unique=True)):
            weight = draw(st.one_of(st.just(""), st.integers(0, 65535).map(lambda w: f" weight {w}")))
            body.append(f"backend {ipaddress.IPv4Address((10 << 24) + low)}{weight}")
        if "forward ipip" in body and draw(st.booleans()):
            body += [f"listen [2001:db8::{i + 1:x}]:443/tcp", "backend 2001:db8:1::1"]
        objects.append(f"service {service} {{\n" + draw(sep).join(body) + "\n}")
    return draw(sep).join(draw(st.permutations(objects))) + "\n"


def check(*texts):
    with tempfile.TemporaryDirectory() as where:
        paths = []
        for i, text in enumerate(texts):
            paths.append(pathlib.Path(where) / f"text{i}")
            paths[-1].write_bytes(text)
        return subprocess.run([DRIVER, *paths], capture_output=True, timeout=60)


@many
@seed(SEED)
@given(config())
def test_canonical_text_is_a_fixed_point(text):
    note(f"WEIR_SEED={SEED}")
    first = check(text.encode())
    assert first.returncode == 0, first.stderr.decode()
    second = check(first.stdout)
    assert second.returncode == 0, second.stderr.decode()
    assert second.stdout == first.stdout
    assert check(text.encode(), first.stdout).stdout == b"0\n"


WORDS = ("chain ingress egress policy accept drop set service interface type flags elements = { } , ; \n @s ! != == & | ( ) / - "
         "ip saddr tcp dport flags syn 10.0.0.1 10.0.0.0/8 22 1-5 ipv4_addr interval counter comment \"x\" \" listen forward l2 "
         "backend weight ct state # \\ \x00 \x1b [2001:db8::1]:80 é 0x").split(" ")


@many
@seed(SEED)
@given(st.one_of(st.lists(st.sampled_from(WORDS), max_size=40).map(lambda w: " ".join(w).encode()), st.binary(max_size=200)))
def test_any_bytes_end_in_text_or_in_one_placed_error(data):
    note(f"WEIR_SEED={SEED}")
    done = check(data)
    if done.returncode == 0:
        assert check(done.stdout).stdout == done.stdout
        return
    assert done.returncode == 2, done.stderr
    first, _, caret = done.stderr.decode(errors="replace").split("\n")[:3]
    assert re.match(r"^/.*/text0:\d+:\d+: \S", first), first
    assert re.match(r"^\s*\^$", caret), caret
    assert done.stdout == b""
