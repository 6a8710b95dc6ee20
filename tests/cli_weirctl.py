# SPDX-License-Identifier: GPL-2.0-only
"""weirctl by its words: every refusal is one line with its exit code, on stderr as text and on stdout as JSON; commands change what they say
and nothing else; what export writes, apply takes."""
import json
import os
import random
import subprocess

import pytest
from net import CTL, Lab, sh

SEED = int(os.environ.get("WEIR_SEED", "1"))

BASE = """\
set bogons {
    type ipv4_addr
    flags interval
    elements = { 198.51.100.0/24, 203.0.113.7 }
}
chain ingress {
    policy accept
    ip saddr @bogons drop
    tcp dport 22 accept comment "admin only"
}
chain egress {
    policy accept
    udp dport 53 counter
}
service web {
    listen 192.0.2.10:80/tcp
    forward l2
    backend 10.0.1.2
    backend 10.0.2.2 weight 3
}
"""


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        lab.add_ns("a", "b")
        lab.veth("a", "a0", "b", "b0", checksums=False)
        lab.attach("b", "b0")
        yield lab


@pytest.fixture
def base(lab):
    lab.apply(BASE)
    return lab


# (exit code, the line behind "weirctl: ", words)
NO_INSTANCE = [
    (3, "export: nothing is attached under DIR (weir-loader attach IFACE)", ["export"]),
    (3, "rule list: nothing is attached under DIR (weir-loader attach IFACE)", ["rule", "list"]),
    (3, "rule add: nothing is attached under DIR (weir-loader attach IFACE)", ["rule", "add", "ingress", "tcp", "dport", "22", "drop"]),
    (3, "rule test: nothing is attached under DIR (weir-loader attach IFACE)", ["rule", "test", "ingress", "udp 10.0.0.1:1 > 10.0.0.2:2"]),
    (3, "set list: nothing is attached under DIR (weir-loader attach IFACE)", ["set", "list"]),
    (3, "service list: nothing is attached under DIR (weir-loader attach IFACE)", ["service", "list"]),
    (3, "flow list: nothing is attached under DIR (weir-loader attach IFACE)", ["flow", "list"]),
    (3, "flow verify: nothing is attached under DIR (weir-loader attach IFACE)", ["flow", "verify"]),
    (3, "stats: nothing is attached under DIR (weir-loader attach IFACE)", ["stats"]),
    (2, "no command given; --help lists them", []),
    (2, "frob: no such object or command; --help lists them", ["frob"]),
    (2, "rule: no verb given; list, add, del, replace, lint, test, policy", ["rule"]),
    (2, "rule: frob: no such verb; list, add, del, replace, lint, test, policy", ["rule", "frob"]),
    (3, "rule lint: nothing is attached under DIR (weir-loader attach IFACE)", ["rule", "lint"]),
    (2, "rule lint: takes at most one file; without, the rules in force are looked at", ["rule", "lint", "a", "b"]),
    (2, "rule list: unknown option --frob; --help lists them", ["rule", "list", "--frob"]),
    (2, "check: takes one file, or - for standard input", ["check"]),
    (1, "check: /nosuch/file: No such file or directory", ["check", "/nosuch/file"]),
]

WITH_INSTANCE = [
    (2, "apply: takes one file, or - for standard input", ["apply"]),
    (2, "diff: takes one file, or - for standard input", ["diff"]),
    (2, "export: takes no words; it writes to standard output", ["export", "x"]),
    (2, "stats: takes no words", ["stats", "x"]),
    (2, "memory: takes no words", ["memory", "x"]),
    (2, "reasons: takes no words", ["reasons", "x"]),
    (2, "rule list: takes at most one chain", ["rule", "list", "ingress", "egress"]),
    (2, "rule list: forward: no such chain; ingress or egress", ["rule", "list", "forward"]),
    (2, "rule add: takes a chain and a rule: rule add ingress ip saddr 192.0.2.0/24 drop", ["rule", "add", "ingress"]),
    (2, "rule add: input: no such chain; ingress or egress", ["rule", "add", "input", "drop"]),
    (3, "rule add: chain ingress has no rule with id 9999 (rule list shows them)",
     ["rule", "add", "--before", "9999", "ingress", "tcp dport 1 drop"]),
    (2, "rule del: takes one id (rule list shows them)", ["rule", "del"]),
    (2, "rule del: x: not a rule id (rule list shows them)", ["rule", "del", "x"]),
    (2, "rule del: 1 is a policy, not a rule: rule policy CHAIN accept|drop sets it", ["rule", "del", "1"]),
    (3, "rule del: no rule has id 60000 (rule list shows them)", ["rule", "del", "60000"]),
    (2, "rule replace: takes an id (rule list shows them) and a rule: rule replace 17 ip saddr 192.0.2.0/24 drop", ["rule", "replace", "17"]),
    (2, "rule replace: x: not a rule id (rule list shows them)", ["rule", "replace", "x", "drop"]),
    (3, "rule replace: no rule has id 60000 (rule list shows them)", ["rule", "replace", "60000", "drop"]),
    (2, "rule policy: takes a chain and accept or drop", ["rule", "policy", "ingress", "maybe"]),
    (2, "set list: takes at most one name", ["set", "list", "a", "b"]),
    (3, "set list: no set is named nosuch (set list shows them)", ["set", "list", "nosuch"]),
    (3, "set add: no set is named nosuch (set list shows them)", ["set", "add", "nosuch", "10.0.0.1"]),
    (2, "set add: takes a set and elements: set add bogons 192.0.2.0/24", ["set", "add", "bogons"]),
    (3, "set del: 10.9.9.9: not all of it is in set bogons (set list shows it)", ["set", "del", "bogons", "10.9.9.9"]),
    (2, "set create: takes a name and a body: set create bogons type ipv4_addr flags interval", ["set", "create", "x"]),
    (2, "set delete: takes one name", ["set", "delete"]),
    (4, "set delete: rules look up @bogons: delete them first", ["set", "delete", "bogons"]),
    (2, "service list: takes at most one name", ["service", "list", "a", "b"]),
    (3, "service list: no service is named nosuch (service list shows them)", ["service", "list", "nosuch"]),
    (2, "service add: takes a name and a body: service add web listen 192.0.2.1:80/tcp forward l2 backend 10.0.0.1",
     ["service", "add", "x"]),
    (2, "service del: takes one name", ["service", "del"]),
    (3, "service del: no service is named nosuch (service list shows them)", ["service", "del", "nosuch"]),
    (2, "backend add: takes a service and an address: backend add web 10.0.0.3 weight 2", ["backend", "add", "web"]),
    (3, "backend add: no service is named nosuch (service list shows them)", ["backend", "add", "nosuch", "10.0.0.1"]),
    (2, "backend del: takes a service and an address", ["backend", "del", "web"]),
    (2, "backend del: 10.0.0.300: not an IPv4 or IPv6 address", ["backend", "del", "web", "10.0.0.300"]),
    (3, "backend del: service web has no backend 10.7.7.7 (service list shows them)", ["backend", "del", "web", "10.7.7.7"]),
    (2, "backend weight: takes a service, an address and a number from 0 to 65535", ["backend", "weight", "web", "10.0.1.2"]),
    (2, "backend weight: weight 65536: a number from 0 to 65535", ["backend", "weight", "web", "10.0.1.2", "65536"]),
    (2, "backend drain: takes a service and an address", ["backend", "drain", "web"]),
    (2, "flow list: x: takes options only", ["flow", "list", "x"]),
    (2, "flow list: --address 10.0.0.300: not an IPv4 or IPv6 address", ["flow", "list", "--address", "10.0.0.300"]),
    (2, "flow list: --port 70000: a port is at most 65535", ["flow", "list", "--port", "70000"]),
    (2, "flow list: --proto frob: not a protocol: a name (tcp, udp, icmp …) or a number to 255", ["flow", "list", "--proto", "frob"]),
    (3, "flow list: no service is named nosuch (service list shows them)", ["flow", "list", "--service", "nosuch"]),
    (2, "flow list: --sort size: not an order; bytes, packets, first or last", ["flow", "list", "--sort", "size"]),
    (2, "flow verify: takes no words", ["flow", "verify", "x"]),
]

# errors with a place: what config_add_* says of words; the rest of the language has its goldens in tests/golden
PLACED = [
    ("argument:1:10", ["rule", "add", "ingress", "ip", "saddr", "10.0.0.300", "drop"]),
    ("argument:1:11", ["rule", "add", "ingress", "tcp", "dport", "99999", "drop"]),
    ("argument:1:1", ["set", "add", "bogons", "300.0.0.0/8"]),
    ("argument:1:8", ["service", "add", "dns", "listen", "192.0.2.300:53/udp", "forward", "l2", "backend", "10.0.0.1"]),
    ("argument:1:1", ["backend", "add", "web", "10.0.0.300"]),
]


def check_line(run_dir, code, line, words):
    p = sh(CTL, "--run-dir", run_dir, *words, check=False)
    want = line.replace("DIR", run_dir)
    assert (p.returncode, p.stderr.rstrip("\n"), p.stdout) == (code, "weirctl: " + want, "")
    p = sh(CTL, "--run-dir", run_dir, "-j", *words, check=False)
    error = json.loads(p.stdout)["error"]
    assert p.returncode == code and error["code"] == code
    assert want.endswith(error["message"]), (want, error)


@pytest.mark.parametrize("code,line,words", NO_INSTANCE, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_refusals_without_an_instance(tmp_path, code, line, words):
    check_line(str(tmp_path), code, line, words)


@pytest.mark.parametrize("code,line,words", WITH_INSTANCE, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_refusals_with_an_instance_change_nothing(base, code, line, words):
    before = base.ctl("export").stdout
    check_line(base.run_dir, code, line, words)
    assert base.ctl("export").stdout == before == BASE


@pytest.mark.parametrize("place,words", PLACED, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_wrong_words_are_shown_with_a_caret_and_change_nothing(base, place, words):
    p = base.ctl(*words, check=False)
    lines = p.stderr.splitlines()
    assert p.returncode == 2 and lines[0].startswith(place + ": "), p.stderr
    assert lines[1].strip() == " ".join(words[2:] if words[0] != "rule" else words[3:]).removeprefix(words[2] + " ") or words[0] == "rule"
    assert lines[2].index("^") == 4 + int(place.split(":")[2]) - 1
    error = json.loads(base.ctl("-j", *words, check=False).stdout)["error"]
    assert "%(file)s:%(line)d:%(column)d" % error == place and error["code"] == 2
    assert base.ctl("export").stdout == BASE


def test_what_export_writes_apply_takes(base):
    assert base.ctl("export").stdout == BASE
    base.apply(base.ctl("export").stdout)
    assert base.ctl("export").stdout == BASE
    assert base.ctl("diff", write(base, BASE)).stdout == ""
    assert base.ctl_json("export")["configuration"]["text"] == BASE


def write(lab, text):
    path = os.path.join(lab.run_dir, "text.conf")
    with open(path, "w") as f:
        f.write(text)
    return path


def test_random_configurations_are_fixed_points_of_export_and_apply(lab):
    rng = random.Random(SEED)
    print("seed", SEED)
    for _ in range(25):
        lab.apply(random_config(rng))
        first = lab.ctl("export").stdout
        lab.apply(first)
        assert lab.ctl("export").stdout == first


def random_config(rng):
    v4 = lambda: "%d.%d.%d.%d/%d" % (*(rng.randrange(1, 224) for _ in range(4)), rng.choice((8, 16, 24, 32)))
    v6 = lambda: "2001:db8:%x::%x/%d" % (rng.randrange(65536), rng.randrange(65536), rng.choice((48, 64, 128)))
    port = lambda: rng.choice(("%d" % rng.randrange(65536), "%d-%d" % (rng.randrange(30000), rng.randrange(30000, 65536))))
    matches = [lambda: "ip saddr %s" % v4(), lambda: "ip daddr != %s" % v4(), lambda: "ip saddr { %s, %s }" % (v4(), v4()), lambda: "ip saddr @s4",
               lambda: "tcp dport %s" % port(), lambda: "tcp dport { 22, %s }" % port(), lambda: "tcp flags syn", lambda: "vlan id %d" % rng.randrange(4096),
               lambda: "ether saddr 02:00:00:00:00:%02x" % rng.randrange(256), lambda: "icmp type echo-request", lambda: "meta l4proto { tcp, udp }",
               lambda: "ip6 saddr %s" % v6(), lambda: "udp sport != %s" % port(), lambda: "tcp flags & (syn|ack) == syn", lambda: "iifname \"eth%d\"" % rng.randrange(9)]
    text = "set s4 { type ipv4_addr; flags interval; elements = { %s } }\n" % ", ".join(v4() for _ in range(rng.randrange(1, 30)))
    text += "chain ingress {\n policy %s\n" % rng.choice(("accept", "drop"))
    for _ in range(rng.randrange(40)):
        text += " %s %s\n" % (rng.choice(matches)(), rng.choice(("accept", "drop", "counter", "counter drop comment \"x y\"")))
    text += "}\n"
    for i in range(rng.randrange(3)):
        text += "service s%d { listen 192.0.2.%d:80/tcp\n forward %s\n%s}\n" % (
            i, i, rng.choice(("l2", "ipip")), "".join(" backend 10.0.%d.%d weight %d\n" % (i, b, rng.randrange(1, 9)) for b in range(1, 1 + rng.randrange(1, 9))))
    return text


def rules(lab):
    return [(r["id"], r["text"]) for r in lab.ctl_json("rule", "list", "ingress")["rules"] if r["id"] > 2]


def test_rules_are_added_placed_and_deleted_and_keep_their_ids(base):
    first, second = rules(base)
    base.ctl("rule", "add", "ingress", "udp", "dport", "{", "53,", "123", "}", "drop", "comment", "no time")
    third = rules(base)[2]
    assert third[1] == 'udp dport { 53, 123 } drop comment "no time"'
    base.ctl("rule", "add", "--before", str(second[0]), "ingress", "ip saddr 192.0.2.1 accept")
    assert [r[1] for r in rules(base)] == [first[1], "ip saddr 192.0.2.1 accept", second[1], third[1]]
    base.ctl("rule", "del", str(second[0]))
    assert [r for r in rules(base) if r in (first, second, third)] == [first, third]
    base.ctl("rule", "policy", "ingress", "drop")
    assert "policy drop" in base.ctl("export").stdout


def test_commands_at_the_same_time_lose_nothing(base):
    adding = [subprocess.Popen([CTL, "--run-dir", base.run_dir, "rule", "add", "ingress", "tcp", "dport", str(1000 + i), "drop"]) for i in range(12)]
    assert [p.wait(30) for p in adding] == [0] * 12
    texts = [r[1] for r in rules(base)]
    assert sorted(t for t in texts if "dport 1" in t) == sorted("tcp dport %d drop" % (1000 + i) for i in range(12))


def test_sets_are_changed_element_by_element(base):
    base.ctl("set", "add", "bogons", "10.0.0.0/8,", "192.0.2.1")
    base.ctl("set", "del", "bogons", "10.128.0.0/9")
    row, = base.ctl_json("set", "list", "bogons")["sets"]
    assert row["elements"].replace(" ", "") == "10.0.0.0/9,192.0.2.1,198.51.100.0/24,203.0.113.7"
    base.ctl("set", "create", "admins", "type", "ipv6_addr", "flags", "interval")
    base.ctl("set", "add", "admins", "2001:db8::/32")
    base.ctl("rule", "add", "ingress", "ip6 saddr @admins accept")
    assert base.ctl("set", "delete", "admins", check=False).returncode == 4


def test_sets_of_concatenations_are_changed_element_by_element(base):
    base.ctl("set", "create", "pairs", "type", "ipv4_addr", ".", "inet_service", "flags", "interval")
    base.ctl("set", "add", "pairs", "10.0.0.1 . 22, 10.0.0.0/8", ".", "80-90,", "10.0.0.2", ".", "22")
    base.ctl("set", "del", "pairs", "10.0.0.1 . 22")
    row, = base.ctl_json("set", "list", "pairs")["sets"]
    assert (row["type"], row["elements"], row["count"]) == ("ipv4_addr . inet_service", "10.0.0.0/8 . 80-90, 10.0.0.2 . 22", 2)
    assert "not all of it is in set pairs" in base.ctl("set", "del", "pairs", "10.0.0.9 . 22", check=False).stderr
    assert base.ctl("set", "add", "pairs", "10.0.0.9", check=False).returncode == 2
    base.ctl("rule", "add", "ingress", "ip saddr . tcp dport @pairs drop")
    assert base.ctl("set", "delete", "pairs", check=False).returncode == 4


def test_services_and_backends_are_changed_by_words(base):
    base.ctl("service", "add", "dns", "listen", "192.0.2.53:53/udp", "listen", "[2001:db8::53]:53/udp", "forward", "ipip", "backend", "10.0.0.1")
    base.ctl("backend", "add", "dns", "fd00::1", "weight", "7")
    base.ctl("backend", "weight", "web", "10.0.1.2", "9")
    base.ctl("backend", "drain", "web", "10.0.2.2")
    services = {s["name"]: s for s in base.ctl_json("service", "list")["services"]}
    assert services["dns"]["listen"] == ["192.0.2.53:53/udp", "[2001:db8::53]:53/udp"]
    assert [(b["addr"], b["weight"], b["state"]) for b in services["web"]["backends"]] == [("10.0.1.2", 9, "active"), ("10.0.2.2", 0, "draining")]
    assert [b["addr"] for b in services["dns"]["backends"]] == ["10.0.0.1", "fd00::1"]
    base.ctl("backend", "del", "web", "10.0.2.2")
    assert base.ctl("backend", "del", "web", "10.0.1.2", check=False).returncode == 4
    base.ctl("service", "del", "web")
    assert [s["name"] for s in base.ctl_json("service", "list")["services"]] == ["dns"]


def test_every_listing_is_json_of_the_documented_names(base):
    want = {
        ("stats",): ("totals", set()),
        ("memory",): ("memory", {"kind", "name", "in_force", "entries", "used", "bytes"}),
        ("rule", "list"): ("rules", {"chain", "id", "text", "packets", "bytes"}),
        ("set", "list"): ("sets", {"name", "type", "interval", "count", "elements"}),
        ("service", "list"): ("services", {"name", "listen", "forward", "backends"}),
        ("flow", "list"): ("flows", set()),
        ("reasons",): ("reasons", {"verdict", "reason", "meaning"}),
    }
    for words, (key, names) in want.items():
        rows = base.ctl_json(*words)[key]
        assert isinstance(rows, list)
        for row in rows:
            assert names <= set(row), (words, row)
    assert set(base.ctl_json("flow", "verify")) == {"totals", "exported", "live", "overflow", "difference"}


def test_help_comes_from_the_tables(lab):
    text = lab.ctl("--help").stdout
    for words in ("weirctl apply FILE", "weirctl rule add CHAIN RULE", "weirctl flow list", "weirctl tcp life", "exit: 0 done, 1 failed, 2 usage"):
        assert words in text
    assert "--sort ORDER" in lab.ctl("flow", "list", "--help").stdout
    assert "weirctl backend drain" in lab.ctl("backend", "--help").stdout
