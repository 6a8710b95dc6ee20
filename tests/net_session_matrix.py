# SPDX-License-Identifier: GPL-2.0-only
"""Owner and payload of sessions of every kind in random combination, against what the processes counted themselves and what `ss` saw of the
same sockets at their end. The seed is printed; WEIR_SEED repeats a run.

    near:  weir-session-PID      lo, both ends
    far:   weir-session-PID  v0 10.77.0.1 fd77::1  ←veth→  v1 10.77.0.2 fd77::2  weir-session-PID-far
"""
import errno
import itertools
import os
import random
import re
import select
import subprocess
import time

import pytest

from session_lab import PATIENCE, lives, netns, peers, witness  # noqa: F401

SEED = int(os.environ.get("WEIR_SEED", random.randrange(1 << 32)))
ROUNDS = int(os.environ.get("WEIR_ROUNDS", 90))
HOST = {"near": {"v4": "127.0.0.1", "v6": "::1", "mapped": "127.0.0.1"},
        "far": {"v4": "10.77.0.2", "v6": "fd77::2", "mapped": "10.77.0.2"}}
SIZES = [0, 1, 2, 1447, 1448, 1449, 4096, 65535, 65536, 300_001]


def ip(*words):
    subprocess.run(["ip", *words], check=True)


@pytest.fixture(scope="module")
def far(netns):
    name = netns + "-far"
    ip("netns", "add", name)
    try:
        ip("link", "add", "v0", "netns", netns, "type", "veth", "peer", "name", "v1", "netns", name)
        for ns, dev, host in (netns, "v0", 1), (name, "v1", 2):
            ip("-n", ns, "addr", "add", f"10.77.0.{host}/24", "dev", dev)
            ip("-n", ns, "addr", "add", f"fd77::{host}/64", "dev", dev, "nodad")
            ip("-n", ns, "link", "set", dev, "up")
            ip("-n", ns, "link", "set", "lo", "up")
        yield name
    finally:
        ip("netns", "del", name)


class Ss:
    """`ss -tEiHn` of the namespaces: the kernel's own numbers of each socket as it is destroyed."""

    def __init__(self, *namespaces):
        self.text = {}
        self.processes = [subprocess.Popen(["ip", "netns", "exec", ns, "stdbuf", "-oL", "ss", "-tEinHO"], stdout=subprocess.PIPE)
                          for ns in namespaces]
        end = time.monotonic() + 20
        while not all(map(self.listens, self.processes)):
            assert time.monotonic() < end and all(p.poll() is None for p in self.processes), "ss does not start"
            time.sleep(0.02)

    @staticmethod
    def listens(process):
        """Has its namespace a socket of NETLINK_SOCK_DIAG in a group?"""
        with open(f"/proc/{process.pid}/net/netlink") as f:
            rows = [line.split() for line in f][1:]
        return any(r[1] == "4" and int(r[3], 16) for r in rows)

    def read(self):
        ready = True
        while ready:
            ready, _, _ = select.select([p.stdout for p in self.processes], [], [], 0.05)
            for out in ready:
                self.text[out] = self.text.get(out, b"") + os.read(out.fileno(), 1 << 16)

    def seen(self):
        """{(local address and port, remote …): counts}, v4-mapped as v4."""
        found = {}
        for line in b"".join(self.text.values()).decode().splitlines():
            ends = re.findall(r"(\S+):(\d+)(?=\s)", line)[:2]
            if len(ends) < 2 or ends[1][1] == "0":
                continue
            key = tuple((re.sub(r"^::ffff:", "", host.strip("[]").split("%")[0]), int(port)) for host, port in ends)
            found[key] = {k: int(v) for k, v in re.findall(r"\b(bytes_\w+|segs_\w+):(\d+)", line)}
        return found

    def stop(self):
        for p in self.processes:
            p.kill()
            p.communicate()


class Round:
    """One session, its two ends and what is known of them."""

    def __init__(self, family, place, kind, close, up, down):
        self.family, self.place, self.kind, self.close = family, place, kind, close
        self.up, self.down = up, down

    def __repr__(self):
        return f"{self.family} {self.place} {self.kind} {self.close} {self.up}/{self.down}"


class Pool:
    """Processes that any session may use; those next to each other can pass sockets."""

    def __init__(self, peers, netns, far):
        self.client = peers("a-client")
        self.server, self.master, self.heir = {}, {}, {}
        for place, ns in ("near", netns), ("far", far):
            self.server[place] = peers(place + "-server", ns, 1)
            self.master[place] = peers(place + "-master", ns, 0)
            self.heir[place] = peers(place + "-heir", ns, 0)

    def open(self, r):
        """Connected: the client, and the process that has the other end."""
        host = HOST[r.place][r.family]
        server, master, heir = self.server[r.place], self.master[r.place], self.heir[r.place]
        listener = master if r.kind == "prefork" else server
        r.sport = listener.listen(r.family, None if r.family == "mapped" else host)
        if r.kind == "prefork":
            master.give("listener")
            server.take("listener")
        target = {"mapped": "::ffff:" + host}.get(r.family, host)
        r.cport = -self.client.connect(r.family, r.sport, target)
        assert r.cport > 0, (r, r.cport)
        assert server.accept() == r.cport
        if r.kind != "passed":
            return server
        server.give("conn")
        heir.take("conn")
        server.close()
        return heir


def send(sender, receiver, count):
    sender.start("send", count)
    assert receiver.receive(count) == count
    assert sender.result() == count


def quiet(peer):
    """What the process counted until the end of the stream."""
    return peer.receive_all()


def close_client(r, client, server):
    client.close()
    assert quiet(server) == 0
    server.close()


def close_server(r, client, server):
    server.close()
    assert quiet(client) == 0
    client.close()


def half_close(r, client, server):
    client.shutdown()
    assert quiet(server) == 0
    send(server, client, 777)
    r.down += 777
    server.close()
    assert quiet(client) == 0
    client.close()


def both_close(r, client, server):
    client.start("close")
    server.start("close")
    client.result()
    server.result()


def reset_client(r, client, server):
    client.reset()
    assert server.receive_reset() == "reset"
    server.close()


def reset_server(r, client, server):
    server.reset()
    assert client.receive_reset() == "reset"
    client.close()


def reset_unread(r, client, server):
    client.send(100)
    assert server.unread(100) == 100
    r.up += 100
    server.close()
    assert client.receive_reset() == "reset"
    client.close()


def reset_late(r, client, server):
    """The client closes with a FIN; what the server still sends is answered by a RST."""
    client.close()
    assert quiet(server) == 0
    server.send(50)
    r.late = 50  # the client's socket is gone, or throws it away
    assert server.receive_error() in (0, errno.ECONNRESET, errno.EPIPE)
    server.close()


CLOSES = {f.__name__: f for f in (close_client, close_server, half_close, both_close, reset_client, reset_server, reset_unread, reset_late)}
# what each end must say: (closer, end) of the client, of the server; None: either way is right
MEANING = {
    "close_client": (("local", "fin"), ("remote", "fin")), "close_server": (("remote", "fin"), ("local", "fin")),
    "half_close": (("local", "fin"), ("remote", "fin")), "both_close": (None, None),
    "reset_client": (("local", "reset"), ("remote", "reset")), "reset_server": (("remote", "reset"), ("local", "reset")),
    "reset_unread": (("remote", "reset"), ("local", "reset")), "reset_late": (("local", None), ("remote", "reset")),
}


def rounds():
    rng = random.Random(SEED)
    every = list(itertools.product(["v4", "v6", "mapped"], ["near", "far"], ["plain", "prefork", "passed"], CLOSES))
    rng.shuffle(every)
    for family, place, kind, close in every[:ROUNDS]:
        yield Round(family, place, kind, close, rng.choice(SIZES), rng.choice(SIZES))


def records_of(r, life, inode):
    host = HOST[r.place][r.family]
    client = [x for x in life.records if (x["raddr"], x["rport"], x["lport"]) == (host, r.sport, r.cport)]
    server = [x for x in life.records if (x["laddr"], x["lport"], x["rport"]) == (host, r.sport, r.cport) and x["netns"] == inode[r.place]]
    return client, server


def judge(r, record, owner, tx, rx, meaning, ss):
    assert (record["pid"], record["comm"]) == (owner.pid, owner.comm), r
    assert (record["tx_bytes"], record["rx_bytes"]) == (tx, rx), r
    assert record["family"] == (6 if r.family == "v6" else 4) and record["mapped"] == (r.family == "mapped"), r
    if meaning:
        assert record["closer"] == meaning[0], r
        assert meaning[1] in (None, record["end"]), r
    counts = ss.get(((record["laddr"], record["lport"]), (record["raddr"], record["rport"])))
    if counts is None:  # a client in TIME_WAIT is destroyed under another name
        return 0
    assert record["tx_bytes"] == counts.get("bytes_sent", 0) - counts.get("bytes_retrans", 0), r
    assert record["rx_bytes"] in (counts.get("bytes_received", 0), counts.get("bytes_received", 0) - 1), r  # the peer's FIN
    assert record["rx_segments"] == counts.get("segs_in", 0), r
    assert counts.get("segs_out", 0) - record["tx_segments"] in (0, meaning == ("local", "reset")), r  # the RST itself is sent last
    return 1


def test_owner_and_bytes_in_random_combination(peers, netns, far, lives, witness):
    print("WEIR_SEED", SEED)
    pool, life, ss = Pool(peers, netns, far), lives("--totals"), Ss(netns, far)
    client, done = pool.client, []
    inode = {place: os.stat(f"/run/netns/{ns}").st_ino for place, ns in (("near", netns), ("far", far))}
    try:
        for r in rounds():
            r.server, r.late = pool.open(r), 0
            send(client, r.server, r.up)
            send(r.server, client, r.down)
            CLOSES[r.close](r, client, r.server)
            done.append(r)
        end = time.monotonic() + PATIENCE
        while any(not side for r in done for side in records_of(r, life, inode)) and time.monotonic() < end:
            life.read(0.1)
        ss.read()
    finally:
        ss.stop()
    assert life.stop()[0] == 0
    seen, agreed = ss.seen(), 0
    for r in done:
        (near,), (there,) = records_of(r, life, inode)
        received = r.up if r.close != "reset_unread" else r.up
        of_client, of_server = MEANING[r.close]
        agreed += judge(r, near, client, r.up, r.down, of_client, seen)
        agreed += judge(r, there, r.server, r.down + r.late, received, of_server, seen)
    assert agreed >= len(done), "ss saw too few of the sockets"
    t = life.totals
    witness.judge(t)
    assert t["no_memory"] == t["held"] == 0, t
    assert t["ended"] == len(life.records) + t["lost_full"]  # of others: all that were asked about above are there


def slow(netns, far, *words):
    for ns, dev in (netns, "v0"), (far, "v1"):
        subprocess.run(["ip", "netns", "exec", ns, "tc", "qdisc", *words[:1], "dev", dev, "root", *words[1:]], check=True)


@pytest.mark.parametrize("family", ["v4", "v6", "mapped"])
def test_simultaneous_close(peers, netns, far, lives, family):
    """FINs that cross: both queue behind data on a slow line."""
    client, server, life = peers("a-client"), peers("f-server", far), lives("--totals")
    host = HOST["far"][family]
    sport = server.listen(family, None if family == "mapped" else host)
    cport = -client.connect(family, sport, {"mapped": "::ffff:" + host}.get(family, host))
    server.accept()
    slow(netns, far, "add", "tbf", "rate", "40kbit", "burst", "1600", "latency", "10s")
    try:
        for p in client, server:
            p.start("send", 3000)
            p.start("shutdown")
            p.start("receive_all")
            p.start("close")
        for p in client, server:
            assert [p.result() for _ in range(4)] == [3000, None, 3000, None]
        near, there = life.wait(cport, sport), life.wait(sport, cport)
    finally:
        slow(netns, far, "del")
    for record, owner in (near, client), (there, server):
        assert (record["pid"], record["closer"], record["end"]) == (owner.pid, "both", "fin")
        assert (record["tx_bytes"], record["rx_bytes"]) == (3000, 3000)


def blackhole(netns, on, hook="input", dev="iifname v1"):
    """What comes to the namespace is lost; or what would leave it."""
    rules = f"add table inet hole {{ chain c {{ type filter hook {hook} priority 0; {dev} drop; }}; }}" if on else "delete table inet hole"
    subprocess.run(["ip", "netns", "exec", netns, "nft", rules], check=True)


@pytest.mark.parametrize("where,sent", [("on the way", 1321), ("by this host", 321)])
def test_timeout_of_an_established_session(peers, netns, far, lives, where, sent):
    """A segment that the host itself refuses to send has not been sent, however often it tries."""
    client, server, life = peers("a-client"), peers("f-server", far), lives()
    sport = server.listen("v4", "10.77.0.2")
    cport = -client.connect("v4", sport, "10.77.0.2")
    server.accept()
    send(client, server, 321)
    client.option("IPPROTO_TCP", "TCP_USER_TIMEOUT", 1000)
    hole = (far, True) if where == "on the way" else (netns, True, "output", "oifname v0")
    blackhole(*hole)
    try:
        client.send(1000)
        assert client.receive_error() == errno.ETIMEDOUT
        client.close()
        record = life.wait(cport, sport)
    finally:
        blackhole(hole[0], False)
    assert (record["pid"], record["end"], record["error"], record["closer"]) == (client.pid, "timeout", errno.ETIMEDOUT, None)
    assert (record["tx_bytes"], record["rx_bytes"]) == (sent, 0)
    assert record["retransmits"] > 0 or where == "by this host"
    server.reset()


def test_connects_that_fail(peers, netns, far, lives):
    """Refused, and timed out: records of their own kind, and no sessions."""
    subprocess.run(["ip", "netns", "exec", netns, "sysctl", "-qw", "net.ipv4.tcp_syn_retries=1"], check=True)
    client, free, failed, life = peers("a-client"), peers("nobody", far), lives("--failed"), lives("--totals")
    port = free.listen("v4", "10.77.0.2")
    free.kill()
    assert client.connect("v4", port, "10.77.0.2") == errno.ECONNREFUSED
    blackhole(far, True)
    try:
        assert client.connect("v4", 9, "10.77.0.2") == errno.ETIMEDOUT
    finally:
        blackhole(far, False)
    assert failed.stop()[0] == 0 and life.stop()[0] == 0
    mine = [r for r in failed.records if r["pid"] == client.pid]
    assert [(r["event"], r["raddr"], r["rport"], r["end"], r["error"], r["closer"]) for r in mine] == [
        ("failed", "10.77.0.2", port, "reset", errno.ECONNREFUSED, "remote"), ("failed", "10.77.0.2", 9, "timeout", errno.ETIMEDOUT, None)]
    assert 0 < mine[0]["duration_ns"] < mine[1]["duration_ns"]
    assert not [r for r in life.records if r["pid"] == client.pid]
    assert life.totals["failed"] >= 2


def test_kill_by_ss(peers, netns, lives):
    client, server, life = peers("a-client"), peers("a-server"), lives()
    sport = server.listen("v4")
    cport = -client.connect("v4", sport)
    server.accept()
    send(client, server, 10)
    subprocess.run(["ip", "netns", "exec", netns, "ss", "-K", "-t", f"sport = {cport}"], check=True, stdout=subprocess.DEVNULL)
    assert client.receive_error() == errno.ECONNABORTED
    client.close()
    assert server.receive_reset() == "reset"
    server.close()
    near, there = life.wait(cport, sport), life.wait(sport, cport)
    assert (near["pid"], near["closer"], near["end"], near["tx_bytes"]) == (client.pid, "local", "reset", 10)
    assert (there["pid"], there["closer"], there["end"], there["rx_bytes"]) == (server.pid, "remote", "reset", 10)


def test_listeners_that_share_a_port_are_told_apart(peers, lives):
    """SO_REUSEPORT: a connection that nobody accepts belongs to the listener that it came to."""
    life = lives()
    client, one, two = peers("a-client"), peers("one"), peers("two")
    port = one.listen("v4", None, 0, True)
    assert two.listen("v4", None, port, True) == port
    owners = {}
    for _ in range(12):
        cport = -client.connect("v4", port)
        client.send(1)
        client.reset()
        owners[cport] = life.wait(port, cport)["pid"]
    accepted = {one.pid: set(), two.pid: set()}
    for peer in one, two:
        while cport := peer.waiting():
            accepted[peer.pid].add(cport)
    # a connection reset in the queue is still accepted, by the listener that had it
    for cport, pid in owners.items():
        assert cport in accepted[pid], (owners, accepted)
    assert accepted[one.pid] and accepted[two.pid]
