# SPDX-License-Identifier: GPL-2.0-only
"""No packet is lost when programs or configurations are swapped under traffic: numbered frames, every one is found."""
import json
import os
import subprocess

import pytest
from net import Lab

FRAMES = int(os.environ.get("WEIR_UPGRADE_FRAMES", "120000"))   # fewer for slow, emulated machines
PATIENCE = int(os.environ.get("WEIR_PATIENCE", "20"))
WINDOW = 64

# The receiver acknowledges each window, so that nothing is lost for want of a queue; it says which numbers it saw.
RECEIVER = r"""
import socket, struct, sys
frames, window, patience = (int(a) for a in sys.argv[1:4])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)    # SO_RCVBUFFORCE: behind XDP a small frame may take a page
s.bind(("10.2.0.2", 6000))
s.settimeout(patience)
print("ready", flush=True)
seen, n = bytearray(frames), 0
try:
    while n < frames:
        data, who = s.recvfrom(64)
        i, = struct.unpack_from("!I", data)
        n += not seen[i]
        seen[i] = 1
        if i % window == window - 1:
            s.sendto(b"ack!", who)
except TimeoutError:
    pass
print(n, flush=True)
"""

SENDER = r"""
import socket, struct, sys
frames, window, patience = (int(a) for a in sys.argv[1:4])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("10.2.0.2", 6000))
s.settimeout(patience)
for i in range(frames):
    s.send(struct.pack("!I", i) + b"x" * 20)
    if i % window == window - 1:
        s.recv(16)
    if i % (frames // 6) == 0:
        print(i, flush=True)
"""


@pytest.fixture
def pair():
    with Lab() as lab:
        lab.add_ns("a", "b")
        lab.veth("a", "a0", "b", "b0", checksums=False)
        lab.addr("a", "a0", "10.2.0.1/24")
        lab.addr("b", "b0", "10.2.0.2/24")
        yield lab


def run_through(lab, change):
    """Send all frames; call change(k) after each sixth of them. Returns how many arrived."""
    receiver = lab.start_in("b", "/usr/bin/python3", "-c", RECEIVER, str(FRAMES), str(WINDOW), str(PATIENCE), stdout=subprocess.PIPE, text=True)
    assert receiver.stdout.readline() == "ready\n"
    sender = lab.start_in("a", "/usr/bin/python3", "-c", SENDER, str(FRAMES), str(WINDOW), str(PATIENCE), stdout=subprocess.PIPE, text=True)
    for k in range(6):
        assert sender.stdout.readline() == "%d\n" % (k * (FRAMES // 6))
        change(k)
    arrived = int(receiver.stdout.readline())
    assert sender.wait(60) == 0
    return arrived


def counted(lab):
    flow, = lab.flows("--port", "6000", "--proto", "udp")
    return flow["packets"]


@pytest.mark.parametrize("hooks", ["xdp,tc-ingress,tc-egress", "tc-ingress,tc-egress"], ids=["xdp", "tc"])
def test_upgrades_lose_no_frame_and_keep_flows_and_counters(pair, hooks):
    pair.attach("b", "b0", "--hooks", hooks)
    pair.apply("chain ingress { udp dport 6000 accept }\n")
    ids = set()

    def upgrade(k):
        if k:
            pair.loader("upgrade")
        status = json.loads(pair.loader("status", "-j").stdout)
        ids.add(tuple(h["prog_id"] for h in status["interfaces"][0]["hooks"]))

    assert run_through(pair, upgrade) == FRAMES
    assert len(ids) == 6, "five upgrades, six sets of programs"
    assert counted(pair) == FRAMES
    rule = pair.ctl_json("rule", "list", "ingress")["rules"][0]
    assert rule["packets"] == FRAMES
    assert pair.ctl_json("flow", "verify")["difference"] == {"packets": 0, "bytes": 0}


def test_generations_lose_no_frame_and_keep_the_counter_of_a_rule_that_stays(pair):
    pair.attach("b", "b0")
    pair.apply("chain ingress { udp dport 6000 accept }\n")
    before = pair.ctl_json("rule", "list", "ingress")["rules"][0]["id"]

    def apply(k):
        for i in range(4):
            pair.apply("chain ingress { policy %s\n tcp dport %d drop\n udp dport 6000 accept\n arp_hole }\n".replace(
                "arp_hole", "ether type arp accept") % (("drop", "accept")[i % 2], 1000 * k + i))

    assert run_through(pair, apply) == FRAMES
    assert counted(pair) == FRAMES
    rule, = [r for r in pair.ctl_json("rule", "list", "ingress")["rules"] if r["text"] == "udp dport 6000 accept"]
    assert (rule["id"], rule["packets"]) == (before, FRAMES)


@pytest.mark.parametrize("hooks", ["xdp,tc-ingress,tc-egress", "tc-ingress,tc-egress"], ids=["xdp", "tc"])
def test_rules_that_need_other_programs_lose_no_frame(pair, hooks):
    """Plain rules, rules that need more, and programs for plain ones again: each frame is counted by the rule that both have."""
    pair.attach("b", "b0", "--hooks", hooks)
    pair.apply("chain ingress { udp dport 6000 accept }\n")

    def apply(k):
        pair.apply("chain ingress { policy drop\n ether type arp accept\n ip ttl 1 drop\n udp dport 6000 accept\n}\n")
        pair.apply("chain ingress { udp dport 6000 accept }\n")
        pair.loader("upgrade")

    assert run_through(pair, apply) == FRAMES
    assert counted(pair) == FRAMES
    rule, = pair.ctl_json("rule", "list", "ingress")["rules"][:-1]
    assert rule["packets"] == FRAMES
    assert pair.ctl_json("flow", "verify")["difference"] == {"packets": 0, "bytes": 0}
