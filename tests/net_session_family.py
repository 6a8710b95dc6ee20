# SPDX-License-Identifier: GPL-2.0-only
"""The family of `weirctl tcp`: connect, accept, states, retrans, drop, rtt, top, synbl, histograms, columns and filters, and sessions joined
with the flows of weir's datapath."""
import csv
import errno
import io
import json
import os
import re
import signal
import subprocess
import time

import pytest

import net_service
from net import Lab
from session_lab import PATIENCE, WEIRCTL, lives, netns, peers, wait_until_watching  # noqa: F401


def until(life, match, count=1):
    end = time.monotonic() + PATIENCE
    while True:
        found = [r for r in life.records if match(r)]
        if len(found) >= count:
            return found
        assert time.monotonic() < end and life.process.poll() is None, life.records
        life.read(0.1)


def pair(peers):
    return peers("b-client"), peers("a-server")


def connected(client, server, family="v4"):
    sport = server.listen(family)
    cport = -client.connect(family, sport)
    assert server.accept() == cport
    return cport, sport


def closed(client, server):
    client.close()
    assert server.receive_all() == 0
    server.close()


def send(sender, receiver, count):
    sender.start("send", count)
    assert receiver.receive(count) == count
    assert sender.result() == count


# ---- events

def test_connect_tells_success_and_failure(peers, lives):
    life, (client, server) = lives(verb="connect"), pair(peers)
    cport, sport = connected(client, server)
    free = peers("nobody")
    port = free.listen("v4")
    free.kill()
    assert client.connect("v4", port) == errno.ECONNREFUSED
    ok, = until(life, lambda r: r["rport"] == sport)
    no, = until(life, lambda r: r["rport"] == port)
    assert (ok["event"], ok["pid"], ok["comm"], ok["lport"], ok["error"]) == ("connect", client.pid, "b-client", cport, 0)
    assert ok["connect_ns"] > 0
    assert (no["event"], no["pid"], no["error"]) == ("failed", client.pid, errno.ECONNREFUSED)


def test_accept_names_the_process_that_has_the_connection(peers, lives):
    """While it is open and idle, for a worker that took it from its master's listener."""
    life = lives(verb="accept")
    client, worker, master = peers("b-client"), peers("worker"), peers("master")
    sport = master.listen("v4")
    master.give("listener")
    worker.take("listener")
    cport = -client.connect("v4", sport)
    assert worker.accept() == cport
    r, = until(life, lambda r: (r["lport"], r["rport"]) == (sport, cport))
    assert (r["event"], r["pid"], r["comm"], r["side"]) == ("accept", worker.pid, "worker", "accept")


def test_accept_of_a_short_connection(peers, lives):
    life, (client, server) = lives(verb="accept"), pair(peers)
    cport, sport = connected(client, server)
    closed(client, server)
    r, = until(life, lambda r: (r["lport"], r["rport"]) == (sport, cport))
    assert r["pid"] == server.pid


def test_states_tell_every_change(peers, lives):
    life, (client, server) = lives(verb="states"), pair(peers)
    cport, sport = connected(client, server)
    closed(client, server)

    def changes(l, r):
        return [(x["old_state"], x["new_state"]) for x in life.records if (x["lport"], x["rport"]) == (l, r)]
    until(life, lambda r: (r["lport"], r["rport"], r["new_state"]) == (sport, cport, "CLOSE"))
    until(life, lambda r: (r["lport"], r["rport"], r["new_state"]) == (cport, sport, "CLOSE"))
    assert changes(cport, sport)[-4:] == [("SYN_SENT", "ESTABLISHED"), ("ESTABLISHED", "FIN_WAIT1"), ("FIN_WAIT1", "FIN_WAIT2"),
                                          ("FIN_WAIT2", "CLOSE")]
    assert changes(sport, cport) == [("LISTEN", "SYN_RECV"), ("SYN_RECV", "ESTABLISHED"), ("ESTABLISHED", "CLOSE_WAIT"),
                                     ("CLOSE_WAIT", "LAST_ACK"), ("LAST_ACK", "CLOSE")]
    mine = [r for r in life.records if (r["lport"], r["rport"]) == (cport, sport)]
    assert {r["pid"] for r in mine} == {client.pid} and all(r["state_ns"] for r in mine[1:])


def hole(netns, port):
    """Segments to the port are lost behind the sender: they reach this host's input."""
    rules = f"add table inet hole {{ chain c {{ type filter hook input priority 0; tcp dport {port} tcp flags & syn == 0 drop; }}; }}"
    subprocess.run(["ip", "netns", "exec", netns, "nft", rules], check=True)


def test_retrans_and_drop(peers, netns, lives):
    """The same lost segments as the sender and as the kernel that dropped them tell of them."""
    again, drop, (client, server) = lives(verb="retrans"), lives(verb="drop"), pair(peers)
    cport, sport = connected(client, server)
    hole(netns, sport)
    try:
        client.send(700)
        r = until(again, lambda r: (r["lport"], r["rport"]) == (cport, sport))[0]
        d = until(drop, lambda r: {r["lport"], r["rport"]} == {cport, sport})[0]
    finally:
        subprocess.run(["ip", "netns", "exec", netns, "nft", "delete table inet hole"], check=True)
    assert (r["event"], r["pid"], r["state"], r["segment_bytes"]) == ("retransmit", client.pid, "ESTABLISHED", 700)
    assert r["retransmits"] >= 1
    assert d["event"] == "drop" and d["reason"] == "NETFILTER_DROP"
    assert (d["laddr"], d["raddr"], d["netns"]) == ("127.0.0.1", "127.0.0.1", os.stat(f"/run/netns/{netns}").st_ino)


def test_drop_names_the_closed_port(peers, lives):
    drop, client, free = lives(verb="drop"), peers("b-client"), peers("nobody")
    port = free.listen("v4")
    free.kill()
    assert client.connect("v4", port) == errno.ECONNREFUSED
    d = until(drop, lambda r: r["lport"] == port)[0]
    assert d["reason"] == "NO_SOCKET" and "tcp_v4_rcv" in d["location"]


# ---- summaries

def ctl(*words, check=True):
    p = subprocess.run([WEIRCTL, "tcp", *words], capture_output=True, text=True, timeout=PATIENCE)
    assert not check or p.returncode == 0, p.stderr
    return p


@pytest.mark.parametrize("by,key", [("comm", "b-client"), ("port", None), ("raddr/24", "127.0.0.0/24"), ("service", None)])
def test_histograms_are_counted_in_the_kernel(peers, netns, lives, by, key):
    client, server = pair(peers)
    life = lives("--hist", "bytes", "by", by, "--port", "1-65535", "--netns", netns)
    ports = []
    for size in (10, 100, 100, 5000):
        cport, sport = connected(client, server)
        send(client, server, size)
        closed(client, server)
        ports.append(sport)
    life.process.send_signal(signal.SIGINT)
    out, _ = life.process.communicate(timeout=PATIENCE)
    hists = json.loads(out)["histograms"]
    if key is None:     # each listener had a port of its own
        keys = [h["key"].rsplit(":")[-1] for h in hists]
        assert {str(p) for p in ports} <= set(keys)
        assert [h["count"] for h in hists if h["key"].endswith(str(ports[0]))] == [2]   # both ends
        return
    h, = [h for h in hists if h["key"] == key]
    ends = 4 if by == "comm" else 8
    assert (h["count"], h["sum"]) == (ends, ends // 4 * 5210)
    assert [(s["from"], s["below"], s["count"]) for s in h["slots"] if s["count"]] == [
        (8, 16, ends // 4), (64, 128, ends // 2), (4096, 8192, ends // 4)]


def test_histogram_as_text(peers, netns):
    client, server = pair(peers)
    p = subprocess.Popen([WEIRCTL, "tcp", "life", "--hist", "duration", "by", "comm", "--netns", netns], stdout=subprocess.PIPE, text=True)
    wait_until_watching(p)
    connected(client, server)
    closed(client, server)
    p.send_signal(signal.SIGINT)
    out, _ = p.communicate(timeout=PATIENCE)
    assert "comm = b-client: 1, average" in out and re.search(r"\.\. +\S+ +1 \|#{40}", out)


@pytest.mark.parametrize("words,message", [
    (["life", "--hist", "size"], "--hist"), (["life", "--hist", "rtt", "by", "moon"], "by moon"), (["life", "--hist", "rtt", "to", "x"], "by KEY"),
    (["life", "--hist", "rtt", "by", "raddr/129"], "raddr/129"), (["life", "-o", "pid,nothing"], "nothing"), (["life", "--addr", "1.2.3"], "1.2.3"),
    (["life", "--raddr", "10.0.0.0/33"], "33"), (["life", "--lport", "9-8"], "9-8"), (["life", "--uid", "nobody-here"], "nobody-here"),
    (["life", "--netns", "nowhere"], "nowhere"), (["life", "--cgroup", "no/where"], "no/where"), (["life", "--comm", "x" * 16], "15"),
    (["life", "--port", "1,2,3,4,5,6,7,8,9"], "8"), (["top", "--by", "moon"], "moon"), (["synbl", "x"], "x"), (["rtt", "for", "x"], "for"),
    (["states", "x"], "x")])
def test_wrong_words_are_usage_errors(words, message):
    p = ctl(*words, check=False)
    assert (p.returncode, p.stdout) == (2, "") and message in p.stderr and p.stderr.count("\n") == 1


def test_rtt_of_open_and_ended_sessions(peers, netns):
    client, server = pair(peers)
    connected(client, server)
    send(client, server, 100)
    out = json.loads(ctl("rtt", "-j", "-d", "1", "--comm", "b-client", "--netns", netns, "by", "raddr/8").stdout)
    h, = out["histograms"]
    assert (h["value"], h["unit"], h["key"]) == ("rtt", "us", "127.0.0.0/8") and h["count"] >= 1 and h["sum"] > 0


@pytest.mark.parametrize("by", ["session", "process"])
def test_top_tells_rates(peers, lives, by):
    client, server = pair(peers)
    cport, sport = connected(client, server)
    life = lives("--by", by, "--lines", "200", verb="top")
    send(client, server, 3_000_000)
    found = until(life, lambda r: r["pid"] == client.pid and r["tx_bytes_per_s"] > 0)
    assert by == "process" or (found[0]["lport"], found[0]["rport"]) == (cport, sport)
    assert found[0]["comm"] == "b-client" and 50_000 < sum(r["tx_bytes_per_s"] for r in found) < 6_000_000  # of 3 MB, in a round that may be late


def test_synbl_tells_who_waits(peers, netns):
    client, server = pair(peers)
    sport = server.listen("v4")
    for _ in range(3):
        client.connect("v4", sport)
        client.keep()
    rows = json.loads(ctl("synbl", "-j", "--netns", netns).stdout)["listeners"]
    row, = [r for r in rows if r["lport"] == sport]
    assert (row["pid"], row["comm"], row["backlog"], row["backlog_max"]) == (server.pid, "a-server", 3, 128)


# ---- columns and filters

def test_csv_and_columns(peers, netns):
    client, server = pair(peers)
    p = subprocess.Popen([WEIRCTL, "tcp", "life", "-T", "-t", "--csv", "-o", "+connect_ns,transfer_ns,closing_ns,end,cgroup", "--netns", netns],
                         stdout=subprocess.PIPE, text=True)
    wait_until_watching(p)
    cport, _ = connected(client, server)
    closed(client, server)
    p.send_signal(signal.SIGINT)
    out, _ = p.communicate(timeout=PATIENCE)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert list(rows[0]) == "TIME TIMESTAMP PID COMM LADDR LPORT RADDR RPORT TX_KB RX_KB MS CONNECT_NS TRANSFER_NS CLOSING_NS END CGROUP".split()
    row, = [r for r in rows if r["LPORT"] == str(cport)]
    assert row["PID"] == str(client.pid) and re.fullmatch(r"\d\d:\d\d:\d\d", row["TIME"]) and row["END"] == "fin"
    parts = sum(int(row[c]) for c in ("CONNECT_NS", "TRANSFER_NS", "CLOSING_NS"))
    assert abs(parts / 1e6 - float(row["MS"])) <= 0.01


def test_parts_add_up_to_the_duration(peers, lives):
    life, (client, server) = lives(), pair(peers)
    cport, sport = connected(client, server)
    closed(client, server)
    for r in life.wait(cport, sport), life.wait(sport, cport):
        assert r["connect_ns"] + r["transfer_ns"] + r["closing_ns"] == r["duration_ns"]
        assert r["congestion"] and r["cwnd"] > 0 and r["mss"] > 0 and r["cgroup"] > 0


def test_times_limited_by_the_peers_window(peers, lives):
    life, (client, server) = lives(), pair(peers)
    cport, sport = connected(client, server)
    client.start("send", 20_000_000)    # more than the buffers hold; the server does not read for a while
    time.sleep(0.5)
    assert server.receive(20_000_000) == 20_000_000
    client.result()
    closed(client, server)
    r = life.wait(cport, sport)
    assert r["busy_ns"] >= r["rwnd_limited_ns"] > 100_000_000
    assert r["tx_bytes"] == 20_000_000


FILTERS = {
    "pid": lambda c, s, ports: ["--pid", str(c.pid)], "comm": lambda c, s, ports: ["--comm", "b-client"],
    "lport": lambda c, s, ports: ["--lport", f"1,{ports[0]}-{ports[0]}"], "rport": lambda c, s, ports: ["--rport", str(ports[1])],
    "both ports": lambda c, s, ports: ["--rport", str(ports[1]), "--lport", "1024-65535"],
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters_choose_the_client(peers, lives, netns, name):
    client, server = pair(peers)
    ports = connected(client, server)
    life = lives(*FILTERS[name](client, server, ports), "--netns", netns, "--totals")
    closed(client, server)
    assert life.wait(*ports)["pid"] == client.pid
    assert life.stop()[0] == 0
    assert len(life.records) == 1 and life.totals["filtered"] >= 1


@pytest.mark.parametrize("options,shown", [
    (["--addr", "127.0.0.0/8"], True), (["--raddr", "127.0.0.1", "--laddr", "127.0.0.0/30"], True), (["--raddr", "10.0.0.0/8"], False),
    (["--addr", "::/0"], False), (["--min-bytes", "1000"], True), (["--min-bytes", "1001"], False), (["--min-ms", "30"], True),
    (["--min-ms", "60000"], False), (["--uid", "root"], True), (["--uid", "65534"], False), (["--netns", "NETNS"], True), (["--netns", "1"], False),
    (["--cgroup", "CGROUP"], True), (["--cgroup", "1000000000"], False)])
def test_filters(peers, lives, netns, options, shown):
    cgroup = os.stat("/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup").st_ino
    with open("/proc/self/cgroup") as f:
        path = re.search(r"^0::(.*)$", f.read(), re.M)
    root = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"
    if path:
        cgroup = os.stat(root + path[1]).st_ino
    options = [{"NETNS": netns, "CGROUP": str(cgroup)}.get(o, o) for o in options]
    client, server = pair(peers)
    life, everything = lives(*options), lives()
    ports = connected(client, server)
    send(client, server, 1000)
    time.sleep(0.05)
    closed(client, server)
    everything.wait(*ports)
    everything.wait(*reversed(ports))
    assert life.stop()[0] == 0
    assert len(life.find(*ports)) + len(life.find(*reversed(ports))) == 2 * shown


# ---- joined with the datapath

CONFIG = """
chain ingress {
    policy accept
    tcp dport 5001 accept comment "the one"
}
"""


@pytest.fixture
def datapath():
    with Lab() as lab:
        lab.add_ns("a", "b")
        lab.veth("a", "a0", "b", "b0")
        lab.addr("a", "a0", "10.3.0.1/24")
        lab.addr("b", "b0", "10.3.0.2/24")
        lab.attach("b", "b0")
        lab.apply(CONFIG)
        yield lab


def test_session_has_its_flows_rule_and_the_flow_its_owners(datapath, peers, lives):
    lab = datapath
    client, server = peers("b-client", lab.ns("a")), peers("b-server", lab.ns("b"))
    server.listen("v4", "10.3.0.2", 5001)
    life = lives("--flow", "--rport", "5001", "--run-dir", lab.run_dir)
    cport = -client.connect("v4", 5001, "10.3.0.2")
    assert server.accept() == cport
    send(client, server, 100)
    rule, = [r for r in lab.ctl_json("rule", "list")["rules"] if "5001" in r["text"]]
    flow, = [f for f in lab.flows("--owner") if f["dport"] == 5001]
    assert (flow["src_pid"], flow["src_comm"], flow["dst_pid"], flow["dst_comm"]) == (client.pid, "b-client", server.pid, "b-server")
    closed(client, server)
    r = life.wait(cport, 5001)
    assert (r["rule"], r["rule_text"], r["service"], r["backend"]) == (rule["id"], rule["text"], None, None)


def test_session_names_service_and_backend(lives):
    """The client's sessions with a service, as the balancer on the way decided them and as the servers answered."""
    with Lab() as lab:
        net_service.world(lab, [])
        lab.apply(net_service.config("l2"))
        run_dir = ["--run-dir", lab.run_dir]
        life, hist = lives("--flow", "--rport", "80", *run_dir), lives("--hist", "bytes", "by", "service", "--rport", "80", *run_dir)
        names = lab.run_in("c", "/usr/bin/python3", "-c", net_service.WHO, net_service.VIP4, "8").stdout.split()
        records = until(life, lambda r: r["side"] == "connect", 8)
        hist.process.send_signal(signal.SIGINT)
        out, _ = hist.process.communicate(timeout=PATIENCE)
    told = [(r["service"], r["backend"]) for r in records]	# rings of several CPUs are read one after the other: in no order
    assert sorted(told) == sorted(("web", {"s1": "10.0.1.2", "s2": "10.0.2.2"}[n]) for n in names)
    h, = json.loads(out)["histograms"]
    assert (h["key"], h["service"], h["count"]) == (net_service.VIP4 + ":80", "web", 8)


def test_flow_needs_an_instance(tmp_path):
    p = ctl("life", "--flow", "--run-dir", str(tmp_path), check=False)
    assert p.returncode == 3 and p.stderr.count("\n") == 1
