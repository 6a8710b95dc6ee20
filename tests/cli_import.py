# SPDX-License-Identifier: GPL-2.0-only
"""cli_import: other tools' rules as ours. tests/import holds files with what comes out of them and what is said of the rest, word by word
(WEIR_GOLDEN=write writes them anew: read the difference). Random ones must come out whole, or be listed: nothing is lost without a word."""
import json
import os
import pathlib
import random
import re
import subprocess

import pytest

import net_nft

ROOT = pathlib.Path(__file__).resolve().parent.parent
CTL = pathlib.Path(os.environ.get("WEIR_OUT", ROOT / "out")) / "weirctl"
FILES = sorted(p.name for p in (ROOT / "tests" / "import").iterdir() if p.suffix in (".nft", ".iptables"))
SEED = int(os.environ.get("WEIR_SEED") or random.SystemRandom().randrange(2**32))
print("seed", SEED)


def run(*words, text=None):
    return subprocess.run([CTL, *words], cwd=ROOT / "tests" / "import", input=text, capture_output=True, text=True, timeout=60)


def load(kind, text):
    return run("import", kind, "-", text=text)


@pytest.mark.parametrize("name", FILES)
def test_imports_what_the_golden_has_and_lists_the_rest(name):
    done = run("import", name.split(".")[1], name)
    for ending, got in ((".out", done.stdout), (".err", done.stderr)):
        golden = ROOT / "tests" / "import" / (name + ending)
        if os.environ.get("WEIR_GOLDEN") == "write":
            golden.write_text(got)
        assert got == golden.read_text()
    assert done.returncode == (1 if "left out" in done.stderr else 0)
    assert run("check", "-", text=done.stdout).returncode == 0


@pytest.mark.parametrize("name", FILES)
def test_says_the_same_in_json(name):
    text = run("import", name.split(".")[1], name)
    done = run("-j", "import", name.split(".")[1], name)
    one, = json.loads(done.stdout)["imports"]
    assert one["text"] == text.stdout and done.returncode == text.returncode
    assert sum(i["left_out"] for i in one["items"]) == len([l for l in text.stderr.splitlines() if ": note: " not in l and not l.startswith("weirctl: ")])


def chains(text):
    """{chain: [rules]} of canonical text."""
    out, at = {}, None
    for line in text.splitlines():
        if line.startswith("chain "):
            at = line.split()[1]
            out[at] = []
        elif at and line.startswith("    ") and not line.startswith("    policy"):
            out[at].append(line.strip())
        elif line == "}":
            at = None
    return out


def test_what_nft_takes_comes_out_as_the_same_rules():
    """nft's text around rules that tests/net_nft.py has shown to mean the same to both."""
    rng = random.Random(SEED)
    for _ in range(60):
        rules = net_nft.few_places([(at, net_nft.statement(rng, at)) for at in range(-1, len(net_nft.CHAINS)) for _ in range(rng.randrange(1, 8))])
        body = lambda at: "".join("  %s\n" % r for a, r in rules if a == at)
        users = "".join("chain %s {\n%s}\n" % (c, body(i)) for i, c in reversed(list(enumerate(net_nft.CHAINS))))
        ours = run("check", "-", text=net_nft.SETS_TEXT + users + "chain ingress {\n%s}\n" % body(-1))
        assert ours.returncode == 0, ours.stderr
        family, which = rng.choice((("inet", "meta protocol { ip, ip6 } "), ("netdev", 'iifname "eth0" ')))
        hook = "input" if family == "inet" else 'ingress device "eth0"'
        leads = "".join("jump %s\n" % c for c in net_nft.CHAINS)        # so that none is unreached
        done = load("nft", "table %s t {\n%s%s chain c { type filter hook %s priority 0; policy accept;\n%s%s }\n}\n" % (
            family, net_nft.SETS_TEXT, users, hook, body(-1), leads))
        assert done.returncode == 0, done.stderr
        want = chains(canonical(net_nft.SETS_TEXT + users + "chain ingress {\n%s%s}\n" % (body(-1), leads)))
        got = chains(done.stdout)
        assert got.pop("ingress") == [which + "jump c"]
        assert got.pop("c") == want.pop("ingress")
        assert got == want


def canonical(text):
    """By way of the importer's printer: a table without hooks would be left out, so ours is read by weirctl's diff against nothing."""
    driver = CTL.parent / "tests" / "config_check"
    done = subprocess.run([driver, "-"], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


OPTIONS = ["-s 10.0.0.0/8", "! -d 192.0.2.1/255.255.255.255", "-i eth0", "! -i lan+", "-p tcp -m tcp --dport 22", "-p udp -m udp --sport 53:", "-f",
           "-p tcp -m multiport --dports 1,2:5", "-p icmp -m icmp --icmp-type 3/1", "-m length --length 40:1500", "-m recent --name x --set",
           "-m comment --comment \"a b\"", "-p tcp -m tcp --tcp-flags SYN,ACK SYN", "-m mark --mark 5", "-m addrtype --dst-type LOCAL", "-p gre",
           "-m mac --mac-source 02:00:00:00:00:01", "-m ttl --ttl-gt 5", "--dport 5", "-m frob", "-p 200", "-p tcp -m tcp --tcp-option 2", "-o eth1"]
TARGETS = ["-j ACCEPT", "-j DROP", "-j RETURN", "-j a", "-g b", "", "-j REJECT --reject-with tcp-reset", "-j MARK --set-mark 1", "-j LOG", "-j nosuch"]


def test_every_line_of_iptables_is_kept_or_listed():
    rng = random.Random(SEED)
    for _ in range(100):
        lines = ["*filter", ":INPUT %s [0:0]" % rng.choice(("ACCEPT", "DROP")), ":a - [0:0]", ":b - [0:0]", "-A INPUT -j a", "-A INPUT -j b"]
        first = len(lines)
        for _ in range(rng.randrange(1, 20)):
            lines.append("-A %s %s %s" % (rng.choice(("INPUT", "a", "b")), rng.choice(OPTIONS), rng.choice(TARGETS)))
        done = load("iptables", "\n".join(lines + ["COMMIT", ""]))
        listed = {int(m.group(1)) for m in re.finditer(r"^standard input:(\d+): (?!note)", done.stderr, re.M)}
        kept = sum(map(len, chains(done.stdout).values())) - 1 - ("DROP" in lines[1])
        assert kept + len(listed) == len(lines) - 4, done.stdout + done.stderr + "\n".join(lines)
        assert done.returncode == bool(listed)
        assert all(n > first - 2 for n in listed)
        assert run("check", "-", text=done.stdout).returncode == 0


def test_any_text_ends_in_text_or_in_a_list():
    rng = random.Random(SEED)
    words = ("table inet t { chain c set map type filter hook input priority 0 ; policy drop } \n elements = , . : vmap jump c goto accept drop tcp dport 22 ip "
             "saddr 10.0.0.1 define X $X @s log prefix \" \\ # -A INPUT -j ACCEPT *filter :INPUT DROP ! --dport").split(" ")
    for _ in range(300):
        text = " ".join(rng.choice(words) for _ in range(rng.randrange(60)))
        for kind in ("nft", "iptables"):
            done = load(kind, text)
            assert done.returncode in (0, 1), done.stderr
            assert run("check", "-", text=done.stdout).returncode == 0, done.stdout


@pytest.mark.parametrize("words, code, message", [
    (["nft"], 2, "import nft: takes one file, or - for standard input"),
    (["iptables", "/nosuch"], 1, "import iptables: /nosuch: No such file or directory"),
    (["pf", "x"], 2, "import: pf: no such verb; nft, iptables"),
])
def test_refuses_wrong_words(words, code, message):
    done = run("import", *words)
    assert (done.returncode, done.stderr) == (code, "weirctl: %s\n" % message)
