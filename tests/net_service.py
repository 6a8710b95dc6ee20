# SPDX-License-Identifier: GPL-2.0-only
"""The balancer with real clients and servers: direct server return by MAC rewrite and by IPIP, over IPv4 and IPv6, through XDP and through tc;
fragments and ICMP errors find their backend; a backend that leaves takes no other's connections with it.

    c (client) ---- [r] ---- lc [lb] l1 ---- b0 (s1: 192.0.2.10, 2001:db8::10 on lo)
                                     l2 ---- b0 (s2: the same)
"""
import subprocess

import pytest
from net import Lab, total, wait_for

VIP4, VIP6 = "192.0.2.10", "2001:db8::10"

# One server for all tests: HTTP-like over TCP ("who": its name; "big N": N bytes), and UDP that answers its name and the length it got.
SERVER = r"""
import socket, sys, threading
name = sys.argv[1].encode()
def tcp(c):
    f = c.makefile("rb")
    for line in f:
        if line.startswith(b"big"):
            left = int(line.split()[1])
            while left:
                left -= c.send(b"x" * min(left, 65536))
        else:
            c.sendall(name + b"\n")
    c.close()
def listen(s):
    while True:
        c, _ = s.accept()
        threading.Thread(target=tcp, args=(c,), daemon=True).start()
def udp(s):
    while True:
        d, a = s.recvfrom(65535)
        s.sendto(name + b" %d" % len(d), a)
for addr, family in ((sys.argv[2], socket.AF_INET), (sys.argv[3], socket.AF_INET6)):
    s = socket.create_server((addr, 80), family=family, backlog=512)
    threading.Thread(target=listen, args=(s,), daemon=True).start()
    u = socket.socket(family, socket.SOCK_DGRAM)
    u.bind((addr, 53))
    threading.Thread(target=udp, args=(u,), daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""

WHO = r"""
import socket, sys
for i in range(int(sys.argv[2])):
    c = socket.create_connection((sys.argv[1], 80), timeout=5)
    c.sendall(b"who\n")
    print(c.makefile().readline().strip(), flush=True)
    c.close()
"""

ASK_UDP = r"""
import socket, sys
for i in range(int(sys.argv[2])):
    s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(5)
    s.connect((sys.argv[1], 53))
    answers = set()
    for size in (10, 4000, 100, 6000):
        s.send(b"x" * size)
        answers.add(s.recv(100).decode())
    names = {a.split()[0] for a in answers}
    assert len(names) == 1 and len(answers) == 4, answers
    print(names.pop(), flush=True)
"""


def world(lab, mode, backend_mtu=1600):
    lab.add_ns("c", "r", "lb", "s1", "s2")
    lab.veth("c", "c0", "r", "r0")
    lab.veth("r", "r1", "lb", "lc")
    lab.addr("c", "c0", "10.0.0.1/24", "fd00::1/64")
    lab.addr("r", "r0", "10.0.0.254/24", "fd00::fe/64")
    lab.addr("r", "r1", "10.0.9.1/24", "fd00:9::1/64")
    lab.addr("lb", "lc", "10.0.9.254/24", "fd00:9::fe/64")
    for i in (1, 2):
        lab.veth("lb", "l%d" % i, "s%d" % i, "b0", mtu=backend_mtu)
        lab.addr("lb", "l%d" % i, "10.0.%d.254/24" % i, "fd00:%d::fe/64" % i)
        s = "s%d" % i
        lab.addr(s, "b0", "10.0.%d.2/24" % i, "fd00:%d::2/64" % i)
        lab.addr(s, "lo", VIP4 + "/32", VIP6 + "/128")
        lab.ip(s, "route", "add", "default", "via", "10.0.%d.254" % i, "mtu", "1500")
        lab.ip(s, "-6", "route", "add", "default", "via", "fd00:%d::fe" % i, "mtu", "1500")
        # a host of its own, with an instance of its own
        lab.loader("attach", "b0", "--netns", lab.ns(s), "--flows", "4096", "--decap", "--hooks", "xdp,tc-egress", run_dir=lab.make_run_dir())
        p = lab.start_in(s, "/usr/bin/python3", "-c", SERVER, s, VIP4, VIP6, stdout=subprocess.PIPE, text=True)
        assert p.stdout.readline() == "ready\n"
    for ns in ("r", "lb"):
        lab.sysctl(ns, "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    for ns, via4, via6 in (("c", "10.0.0.254", "fd00::fe"), ("r", "10.0.9.254", "fd00:9::fe")):
        lab.ip(ns, "route", "add", VIP4, "via", via4)
        lab.ip(ns, "-6", "route", "add", VIP6, "via", via6)
    lab.ip("lb", "route", "add", "10.0.0.0/24", "via", "10.0.9.1")
    lab.ip("lb", "-6", "route", "add", "fd00::/64", "via", "fd00:9::1")
    lab.attach("lb", "lc", *mode)


def config(forward, family=4, backends=("s1", "s2"), listen_family=None, extra=""):
    vip = VIP4 if (listen_family or family) == 4 else "[%s]" % VIP6
    addr = {4: {"s1": "10.0.1.2", "s2": "10.0.2.2"}, 6: {"s1": "fd00:1::2", "s2": "fd00:2::2"}}[family]
    return "service web {\n listen %s:80/tcp\n listen %s:53/udp\n forward %s\n%s}\n%s" % (
        vip, vip, forward, "".join(" backend %s\n" % addr[b] for b in backends), extra)


MODES = {"native": [], "skb": ["--mode", "skb"], "tc": ["--hooks", "tc-ingress,tc-egress"]}
CASES = {           # forward, backend family, listen family
    "l2 v4": ("l2", 4, 4), "l2 v6": ("l2", 6, 6), "4in4": ("ipip", 4, 4), "6in6": ("ipip", 6, 6), "4in6": ("ipip", 6, 4), "6in4": ("ipip", 4, 6),
}


@pytest.fixture(scope="module", params=MODES)
def lab(request):
    with Lab() as lab:
        world(lab, MODES[request.param])
        yield lab


def who(lab, family, n):
    return lab.run_in("c", "/usr/bin/python3", "-c", WHO, VIP4 if family == 4 else VIP6, str(n)).stdout.split()


@pytest.mark.parametrize("case", CASES)
def test_connections_spread_over_both_backends(lab, case):
    forward, family, listen = CASES[case]
    lab.apply("")
    lab.apply(config(forward, family, listen_family=listen))
    answers = who(lab, listen, 40)
    assert len(answers) == 40
    assert min(answers.count("s1"), answers.count("s2")) >= 8, answers
    rows = lab.ctl_json("service", "list")["services"][0]["backends"]
    assert sum(r["flows"] for r in rows) == 40
    assert [r["flows"] for r in rows] == [answers.count("s1"), answers.count("s2")]


@pytest.mark.parametrize("case", ["l2 v4", "l2 v6", "4in4", "6in6"])
def test_fragments_follow_the_first_one_of_their_datagram(lab, case):
    forward, family, listen = CASES[case]
    lab.apply(config(forward, family, listen_family=listen))
    out = lab.run_in("c", "/usr/bin/python3", "-c", ASK_UDP, VIP4 if listen == 4 else VIP6, "12").stdout.split()
    assert len(out) == 12 and set(out) == {"s1", "s2"}


def test_a_backend_leaving_does_not_touch_a_download_from_another(lab):
    """A long download from one backend goes on while the other leaves and comes back, and while its own is drained."""
    lab.apply(config("l2"))
    size = 60_000_000
    script = ("import socket,sys\nc=socket.create_connection(('%s',80),timeout=20)\nc.sendall(b'who\\n')\nf=c.makefile('rb')\n"
              "name=f.readline().strip().decode()\nprint(name,flush=True)\nc.sendall(b'big %d\\n')\nleft=%d\n"
              "while left:\n n=len(f.read1(1<<16))\n assert n\n left-=n\nc.sendall(b'who\\n')\nprint(f.readline().strip().decode())\n" % (VIP4, size, size))
    p = lab.start_in("c", "/usr/bin/python3", "-c", script, stdout=subprocess.PIPE, text=True)
    mine = p.stdout.readline().strip()
    other = {"s1": "s2", "s2": "s1"}[mine]
    address = {"s1": "10.0.1.2", "s2": "10.0.2.2"}
    for _ in range(3):
        lab.ctl("backend", "del", "web", address[other])
        assert set(who(lab, 4, 6)) == {mine}
        lab.ctl("backend", "add", "web", address[other])
    lab.ctl("backend", "drain", "web", address[mine])
    assert set(who(lab, 4, 6)) == {other}
    assert p.stdout.readline().strip() == mine, "the connection stayed where it was"
    assert p.wait(60) == 0


def test_ping_of_a_service_address_is_answered_by_a_backend(lab):
    lab.apply(config("l2"))
    assert " 3 received" in lab.run_in("c", "ping", "-c", "3", "-i", "0.05", VIP4).stdout
    lab.apply(config("l2", 6))
    assert " 3 received" in lab.run_in("c", "ping", "-6", "-c", "3", "-i", "0.05", VIP6).stdout


def test_path_mtu_errors_reach_the_backend_of_their_flow(lab):
    """A hop with a small MTU on the way to the client makes ICMP errors to the service's address; the download ends all the same."""
    lab.apply(config("l2"))
    lab.ip("r", "route", "add", "10.0.0.1/32", "dev", "r0", "mtu", "1300")
    script = ("import socket\nfor i in range(6):\n c=socket.create_connection(('%s',80),timeout=10)\n c.sendall(b'big 200000\\n')\n left=200000\n"
              " while left:\n  n=len(c.recv(65536))\n  assert n\n  left-=n\n c.close()\nprint('ok')\n" % VIP4)
    try:
        assert lab.run_in("c", "/usr/bin/python3", "-c", script).stdout == "ok\n"
    finally:
        lab.ip("r", "route", "del", "10.0.0.1/32")
    errors = [f for f in lab.flows("--proto", "icmp") if f["src"] == "10.0.9.1"]
    assert total(errors) >= 1, "the router's errors came by"


def test_flows_name_rule_service_and_backend_and_totals_hold(lab):
    lab.apply(config("l2", extra="chain ingress { tcp dport 80 accept comment \"web\" }\n"))
    answers = who(lab, 4, 5)
    flows = [f for f in lab.flows("--service", "web", "--port", "80") if f["service"] == "web"]
    assert len(flows) >= 5
    newest = sorted(flows, key=lambda f: -f["first_ns"])[:5]
    assert sorted(f["backend"] for f in newest) == sorted({"s1": "10.0.1.2", "s2": "10.0.2.2"}[a] for a in answers)
    rule = lab.ctl_json("rule", "list", "ingress")["rules"][0]["id"]
    assert {f["rule"] for f in newest} == {rule}
    wait_for(lambda: lab.ctl_json("flow", "verify")["difference"] == {"packets": 0, "bytes": 0}, 10, "balance")
    assert total(lab.stats(reason="internal")) == 0


def test_a_neighbour_that_is_not_known_yet_is_asked_for(lab):
    """No connection is lost when the backends' MAC addresses were forgotten."""
    lab.apply(config("l2"))
    for i in (1, 2):
        lab.ip("lb", "neigh", "flush", "dev", "l%d" % i)
    lab.apply(config("l2", extra="set again { type ipv4_addr; }\n"))
    assert len(who(lab, 4, 8)) == 8


def test_a_service_without_takers_drops_with_the_reason(lab):
    lab.apply("service web { listen %s:80/tcp\n forward l2\n backend 10.0.1.2 weight 0\n }\n" % VIP4)
    lab.run_in("c", "/usr/bin/python3", "-c",
               "import socket\ns=socket.socket()\ns.settimeout(.3)\ntry: s.connect(('%s',80))\nexcept TimeoutError: pass" % VIP4)
    assert total(lab.stats(interface="lc", verdict="drop", reason="no-backend")) >= 1
