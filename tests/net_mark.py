# SPDX-License-Identifier: GPL-2.0-only
"""Marks as the host sees them: `meta mark set` at XDP, handed on to tc ingress, and at tc ingress itself. Judged by nft's counters and by `ip rule fwmark`.

    c (client) c0 ---- s0 s (server)
       10.0.0.1, fd00::1   10.0.0.2, fd00::2
"""
import json

import pytest
from net import Lab, wait_for

PLACES = {"xdp": ["--hooks", "xdp,tc-ingress"], "generic xdp": ["--hooks", "xdp,tc-ingress", "--mode", "skb"], "tc": ["--hooks", "tc-ingress"]}
SEND = r"""
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
for port in map(int, sys.argv[2:]):
    for _ in range(10):
        s.sendto(b"hello", (sys.argv[1], port))
"""
RULES = """chain ingress {
    udp dport 1000 meta mark set 5
    udp dport 1001 meta mark set 0xdeadbeef accept
    meta mark 5 meta mark set mark or 0x100
    udp dport 1003 meta mark set 7
}
"""
TABLE = """table inet t {
    chain c { type filter hook input priority 0; policy accept;
        meta l4proto udp meta mark 0x105 counter
        meta l4proto udp meta mark 0xdeadbeef counter
        udp dport 1002 meta mark 0 counter
        udp dport 1003 counter
    }
}
"""


@pytest.fixture(params=PLACES)
def lab(request):
    with Lab() as lab:
        lab.add_ns("c", "s")
        lab.veth("c", "c0", "s", "s0")
        lab.addr("c", "c0", "10.0.0.1/24", "fd00::1/64")
        lab.addr("s", "s0", "10.0.0.2/24", "fd00::2/64")
        lab.attach("s", "s0", *PLACES[request.param])
        assert lab.apply(RULES).stderr == ""
        with open(lab.run_dir + "/table.nft", "w") as f:
            f.write(TABLE)
        lab.run_in("s", "nft", "-f", lab.run_dir + "/table.nft")
        yield lab


def counters(lab):
    rules = json.loads(lab.run_in("s", "nft", "-j", "list", "table", "inet", "t").stdout)["nftables"]
    return [e["counter"]["packets"] for r in rules if "rule" in r for e in r["rule"]["expr"] if "counter" in e]


@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_nft_counts_what_was_marked(lab, address):
    lab.run_in("c", "/usr/bin/python3", "-c", SEND, address, "1000", "1001", "1002")
    assert wait_for(lambda: counters(lab)[:3] == [10, 10, 10] or None), counters(lab)
    assert lab.ctl_json("stats")["marks"] == {"lost": 0}


def test_routes_by_the_mark(lab):
    """Packets with the mark have no route to this host, the others have."""
    lab.ip("s", "rule", "add", "fwmark", "7", "priority", "1", "prohibit")
    lab.ip("s", "rule", "add", "priority", "2", "lookup", "local")
    lab.ip("s", "rule", "del", "priority", "0")
    lab.run_in("c", "/usr/bin/python3", "-c", SEND, "10.0.0.2", "1003", "1002")
    assert wait_for(lambda: counters(lab)[2] == 10)
    assert counters(lab)[3] == 0
    lab.ip("s", "rule", "del", "priority", "1")
    lab.run_in("c", "/usr/bin/python3", "-c", SEND, "10.0.0.2", "1003")
    assert wait_for(lambda: counters(lab)[3] == 10)
