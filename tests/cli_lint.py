# SPDX-License-Identifier: GPL-2.0-only
"""cli_lint: `weirctl rule lint` names the rule that never matches and the one that covers it. tests/unit_lint.c has the proof."""
import json
import os
import pathlib
import subprocess

CTL = pathlib.Path(os.environ.get("WEIR_OUT", pathlib.Path(__file__).resolve().parent.parent / "out")) / "weirctl"
TEXT = """\
chain ingress {
    ip saddr 10.0.0.0/8 drop
    ip saddr 10.1.0.0/16 tcp dport 22 accept
    meta nfproto ipv6 jump six
    ip6 hoplimit 1 drop
    meta protocol ip6 ip saddr 192.0.2.1 drop
    tcp dport 80 return
    ip saddr . tcp dport { 192.0.2.1 . 80, 192.0.2.2 . 80 } counter
    ip saddr . tcp dport { 192.0.2.1 . 80, 192.0.2.2 . 81 } counter
}
chain six { tcp dport 1 accept; drop; udp dport 5 drop; }
chain alone { drop; }
"""
WANT = [
    ("ingress", 2, "covered", "ip saddr 10.1.0.0/16 tcp dport 22 accept", "ingress", 1, "ip saddr 10.0.0.0/8 drop"),
    ("ingress", 4, "covered", "ip6 hoplimit 1 drop", "six", 2, "drop"),
    ("ingress", 5, "contradiction", "meta protocol ip6 ip saddr 192.0.2.1 drop", None, None, None),
    ("ingress", 7, "covered", "ip saddr . tcp dport { 192.0.2.1 . 80, 192.0.2.2 . 80 } counter", "ingress", 6, "tcp dport 80 return"),
    ("six", 3, "covered", "udp dport 5 drop", "six", 2, "drop"),
    ("alone", 0, "unreached", None, None, None, None),
]


def lint(*words, text=TEXT):
    return subprocess.run([CTL, *words, "rule", "lint", "-"], input=text, capture_output=True, text=True, timeout=60)


def test_names_the_rule_and_the_one_that_covers_it():
    done = lint("-j")
    names = ("chain", "rule", "finding", "text", "by_chain", "by_rule", "by_text")
    assert [tuple(f[n] for n in names) for f in json.loads(done.stdout)["findings"]] == WANT
    assert done.returncode == 1 and done.stderr == ""


def test_shows_it_as_a_table():
    done = lint()
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["CHAIN", "RULE", "FINDING", "TEXT", "BY_CHAIN", "BY_RULE", "BY_TEXT"]
    assert len(lines) == 1 + len(WANT) and done.returncode == 1


def test_finds_nothing_where_nothing_is():
    done = lint("-j", text="chain ingress { tcp dport 22 accept; tcp dport 22-23 drop; }\n")
    assert json.loads(done.stdout) == {"findings": []} and done.returncode == 0
