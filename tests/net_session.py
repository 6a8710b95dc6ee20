# SPDX-License-Identifier: GPL-2.0-only
"""Sessions as `weirctl tcp life` reports them, against what the two processes of each session counted themselves.

    namespace weir-session-PID:  lo   client process ── 127.0.0.1 / ::1 / ::ffff:127.0.0.1 ── server process

Peers are separate processes that do one thing at a time (tests/session_peer.py), so each order of events is the one written here."""
import errno
import os
import re
import select
import signal
import subprocess
import time

import pytest

from session_lab import PATIENCE, WEIRCTL, lives, netns, peers, wait_until_watching  # noqa: F401

FAMILIES = ["v4", "v6", "mapped"]
ADDRESS = {"v4": "127.0.0.1", "v6": "::1", "mapped": "127.0.0.1"}


class Session:
    def __init__(self, client, server, family):
        self.client, self.server, self.family = client, server, family
        self.sport = server.listen(family)
        self.cport = -client.connect(family, self.sport)
        assert self.cport > 0
        assert server.accept() == self.cport

    def check(self, life, client_tx, server_tx, client_owner=None, server_owner=None):
        """Both ends' records, everything in them that does not depend on who closed."""
        client = life.wait(self.cport, self.sport)
        server = life.wait(self.sport, self.cport)
        for record, peer, tx, rx in (client, client_owner or self.client, client_tx, server_tx), \
                                    (server, server_owner or self.server, server_tx, client_tx):
            assert (record["pid"], record["comm"]) == (peer.pid, peer.comm)
            assert (record["tx_bytes"], record["rx_bytes"]) == (tx, rx)
            assert record["laddr"] == record["raddr"] == ADDRESS[self.family]
            assert record["family"] == (6 if self.family == "v6" else 4)
            assert record["mapped"] == (self.family == "mapped")
            assert record["uid"] == os.getuid()
            assert record["duration_ns"] > 0
        assert client["netns"] == server["netns"] == os.stat(f"/proc/{self.client.pid}/ns/net").st_ino
        if not client["seeded"]:
            assert (client["side"], server["side"]) == ("connect", "accept")
        return client, server


@pytest.fixture
def session(peers):
    def make(family="v4"):
        return Session(peers("a-client"), peers("the-server"), family)
    return make


def exchange(s, up, down):
    s.client.start("send", up)
    assert s.server.receive(up) == up
    assert s.client.result() == up
    s.server.start("send", down)
    assert s.client.receive(down) == down
    assert s.server.result() == down


def close_both(s):
    s.client.close()
    assert s.server.receive_all() == 0
    s.server.close()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("up,down", [(0, 0), (1, 0), (17, 4321), (3_000_001, 2_500_003)])
def test_client_closes_first(session, lives, family, up, down):
    life, s = lives(), session(family)
    exchange(s, up, down)
    close_both(s)
    client, server = s.check(life, up, down)
    assert (client["closer"], client["end"], server["closer"], server["end"]) == ("local", "fin", "remote", "fin")


@pytest.mark.parametrize("family", FAMILIES)
def test_server_closes_first(session, lives, family):
    life, s = lives(), session(family)
    exchange(s, 1000, 2000)
    s.server.close()
    assert s.client.receive_all() == 0
    s.client.close()
    client, server = s.check(life, 1000, 2000)
    assert (client["closer"], client["end"], server["closer"], server["end"]) == ("remote", "fin", "local", "fin")
    assert client["connect_ns"] > 0 and client["closing_ns"] <= client["duration_ns"]


@pytest.mark.parametrize("family", FAMILIES)
def test_half_close_still_counts_the_other_direction(session, lives, family):
    life, s = lives(), session(family)
    s.client.send(5)
    s.client.shutdown()
    assert s.server.receive_all() == 5
    s.server.start("send", 777_777)
    assert s.client.receive(777_777) == 777_777
    s.server.result()
    s.server.close()
    assert s.client.receive_all() == 0
    s.client.close()
    client, server = s.check(life, 5, 777_777)
    assert (client["closer"], server["closer"]) == ("local", "remote")


@pytest.mark.parametrize("family", FAMILIES)
def test_reset_by_linger(session, lives, family):
    life, s = lives(), session(family)
    exchange(s, 10, 20)
    s.client.reset()
    assert s.server.receive_reset() == "reset"
    s.server.close()
    client, server = s.check(life, 10, 20)
    assert (client["closer"], client["end"], server["closer"], server["end"]) == ("local", "reset", "remote", "reset")
    assert server["error"] == errno.ECONNRESET


def test_reset_by_unread_data(session, lives):
    life, s = lives(), session()
    s.client.send(100)
    assert s.server.unread(100) == 100
    s.server.close()
    assert s.client.receive_reset() == "reset"
    s.client.close()
    client, server = s.check(life, 100, 0)
    assert (server["closer"], server["end"], client["closer"], client["end"]) == ("local", "reset", "remote", "reset")


def ss(peer, *options):
    return ["nsenter", "-t", str(peer.pid), "-n", "ss", *options]


def ss_counts(text):
    """{(local port, remote port): {"bytes_sent": …}} of the lines of ss -i -O."""
    counts = {}
    for line in text.splitlines():
        ports = tuple(int(port) for port in re.findall(r"\S:(\d+)(?=\s)", line)[:2])
        counts[ports] = {key: int(value) for key, value in re.findall(r"(bytes_\w+):(\d+)", line)}
    return counts


def same_as_ss(record, counts, fin):
    """ss shows the kernel's own numbers: retransmissions in bytes_sent, a FIN that came in as one byte of bytes_received."""
    assert record["tx_bytes"] == counts.get("bytes_sent", 0) - counts.get("bytes_retrans", 0)
    assert record["rx_bytes"] == counts.get("bytes_received", 0) - fin


def test_agrees_with_ss_before_the_end(session, lives):
    life, s = lives(), session()
    exchange(s, 123_457, 7_654_321)
    counts = ss_counts(subprocess.run(ss(s.client, "-tinHO"), capture_output=True, text=True, check=True).stdout)
    s.client.close()
    assert s.server.receive_all() == 0
    s.server.close()
    for record in s.check(life, 123_457, 7_654_321):
        same_as_ss(record, counts[record["lport"], record["rport"]], fin=0)


def test_agrees_with_ss_on_ended_sockets(session, lives):
    life, s = lives(), session()
    watch = subprocess.Popen(["stdbuf", "-oL", *ss(s.client, "-tEinHO")], stdout=subprocess.PIPE)
    seen, end = {}, time.monotonic() + PATIENCE

    def read_until(done):
        text = b""
        while not done():
            assert time.monotonic() < end, seen
            if select.select([watch.stdout], [], [], 0.1)[0]:
                text += os.read(watch.stdout.fileno(), 1 << 16)
                seen.update(ss_counts(text[:text.rfind(b"\n") + 1].decode()))
    try:
        read_until(lambda: seen or not s.client.talk_to_self())  # it sees sockets end
        exchange(s, 54_321, 12_345)
        close_both(s)
        client, server = s.check(life, 54_321, 12_345)
        read_until(lambda: {(s.cport, s.sport), (s.sport, s.cport)} <= set(seen))
        same_as_ss(client, seen[s.cport, s.sport], fin=1)
        same_as_ss(server, seen[s.sport, s.cport], fin=1)
    finally:
        watch.kill()
        watch.communicate()


def test_refused_connection_is_no_session(session, peers, lives):
    life, client, s = lives(), peers("refused"), session()
    free = peers("nobody")
    port = free.listen("v4")
    free.kill()
    assert client.connect("v4", port) == errno.ECONNREFUSED
    close_both(s)
    life.wait(s.cport, s.sport)
    assert life.stop() == (0, "")
    assert not [r for r in life.records if port in (r["lport"], r["rport"])]


@pytest.mark.parametrize("family", FAMILIES)
def test_open_sessions_are_taken_in(session, lives, family):
    s = session(family)
    exchange(s, 11, 22)
    life = lives()
    exchange(s, 100, 200)
    s.client.reset()  # the server end never acts: its owner comes from its file table
    assert s.server.receive_reset() == "reset"
    client, server = s.check(life, 111, 222)
    assert client["seeded"] and server["seeded"]
    assert (client["owner"], server["owner"]) == ("process", "files")


def test_accepted_through_a_listener_from_before(session, peers, lives):
    old = session()
    life, client = lives(), peers("late-client")
    s = Session.__new__(Session)
    s.client, s.server, s.family, s.sport = client, old.server, "v4", old.sport
    s.cport = -client.connect("v4", s.sport)
    old.server.accept()
    exchange(s, 3, 4)
    client.close()
    assert old.server.receive_all() == 0
    old.server.close()
    _, server = s.check(life, 3, 4)
    assert not server["seeded"]


def prefork(peers):
    """A listener of one process, a connection accepted by another."""
    client, worker, master = peers("a-client"), peers("worker"), peers("master")
    s = Session.__new__(Session)
    s.client, s.server, s.family, s.sport = client, worker, "v4", master.listen("v4")
    master.give("listener")
    return s, master


def accept(s):
    s.server.take("listener")
    s.cport = -s.client.connect("v4", s.sport)
    assert s.server.accept() == s.cport


def test_owner_is_the_worker_that_accepted(peers, lives):
    life = lives()
    s, _ = prefork(peers)
    accept(s)
    exchange(s, 1, 2)
    s.client.close()
    assert s.server.receive_all() == 0
    s.server.close()
    s.check(life, 1, 2)


def test_owner_is_the_worker_also_after_a_reset(peers, lives):
    life = lives()
    s, _ = prefork(peers)
    accept(s)
    exchange(s, 1, 2)
    s.client.reset()
    assert s.server.receive_reset() == "reset"
    s.server.close()
    _, server = s.check(life, 1, 2)
    assert server["end"] == "reset"


def test_owner_of_a_dead_connection_that_nobody_closes(peers, lives):
    life = lives()
    s, _ = prefork(peers)
    accept(s)
    exchange(s, 1, 2)
    s.client.reset()
    _, server = s.check(life, 1, 2)
    assert server["owner"] == "files"


def test_owner_of_a_connection_that_nobody_accepted_is_the_listener(peers, lives):
    life = lives()
    s, master = prefork(peers)
    s.cport = -s.client.connect("v4", s.sport)
    s.client.send(9)
    s.client.reset()
    _, server = s.check(life, 9, 0, server_owner=master)
    assert server["owner"] == "listener"


def test_owner_of_a_passed_connection_is_who_closes_it(peers, lives):
    life = lives()
    client, heir = peers("a-client"), peers("heir")
    s = Session(client, peers("server"), "v4")
    s.server.give("conn")
    heir.take("conn")
    s.server.close()
    heir.send(6)
    assert client.receive(6) == 6
    heir.close()
    assert client.receive_all() == 0
    client.close()
    s.check(life, 0, 6, server_owner=heir)


@pytest.mark.parametrize("columns", [
    ["tx_bytes", "rx_bytes", "uid", "netns", "family", "laddr", "raddr", "pid", "comm", "side", "closer", "end", "error", "owner", "seeded", "mapped"],
    ["retransmits", "retransmitted_bytes", "tx_segments", "rx_segments", "srtt_us", "min_rtt_us", "cwnd", "mss", "tx_window", "rx_window"],
    ["busy_ns", "rwnd_limited_ns", "sndbuf_limited_ns", "rx_bytes"],
    ["congestion", "cgroup"]])
def test_columns_do_not_depend_on_which_others_are_asked_for(session, lives, columns):
    """What no column shows is not collected."""
    every, chosen = lives(), lives("-o", ",".join(["lport", "rport"] + columns))
    for family in "v4", "v6":
        s = session(family)
        exchange(s, 1000, 70000)
        s.client.close()
        s.server.close()
        for ends in (s.cport, s.sport), (s.sport, s.cport):
            one, other = every.wait(*ends), chosen.wait(*ends)
            assert list(other) == ["lport", "rport"] + columns
            assert {c: one[c] for c in columns} == {c: other[c] for c in columns}


def test_times_of_fins_are_there_when_asked_for(session, lives):
    life = lives("-o", "lport,rport,transfer_ns,closing_ns,duration_ns")
    s = session()
    s.client.close()
    s.server.close()
    for ends in (s.cport, s.sport), (s.sport, s.cport):
        record = life.wait(*ends)
        assert 0 < record["transfer_ns"] and 0 < record["closing_ns"]
        assert record["transfer_ns"] + record["closing_ns"] <= record["duration_ns"]


def test_pid_filter(session, lives):
    s = session()
    life = lives("--pid", str(s.server.pid))
    close_both(s)
    life.wait(s.sport, s.cport)
    assert life.stop() == (0, "")
    assert [r["pid"] for r in life.records] == [s.server.pid]


def test_pid_filter_knows_owners_that_show_late(peers, lives):
    s, master = prefork(peers)
    theirs, others = lives("--pid", str(s.server.pid)), lives("--pid", str(master.pid))
    accept(s)
    s.client.reset()
    assert s.server.receive_reset() == "reset"
    s.server.close()
    assert theirs.wait(s.sport, s.cport)["pid"] == s.server.pid
    assert others.stop() == (0, "")
    assert not others.records


@pytest.mark.parametrize("end", ["local", "remote"])
def test_port_filter_matches_either_end(session, lives, end):
    s, other = session(), session()
    life = lives("--port", str(s.sport if end == "remote" else s.cport))
    close_both(other)
    close_both(s)
    s.check(life, 0, 0)
    assert life.stop() == (0, "")
    assert len(life.records) == 2


def test_duration_ends_it(lives):
    life = lives("--duration", "1")
    assert life.finish() == (0, "")


def test_table_has_the_columns_of_tcplife(session, tmp_path):
    s = session()
    exchange(s, 2048, 512)
    with open(tmp_path / "out", "w+") as out:
        life = subprocess.Popen([WEIRCTL, "tcp", "life"], stdout=out)
        try:
            wait_until_watching(life)
            close_both(s)
            life.send_signal(signal.SIGTERM)
            assert life.wait(PATIENCE) == 0
        finally:
            life.kill()
            life.wait()
        out.seek(0)
        lines = [line.split() for line in out]
    assert lines[0] == "PID COMM LADDR LPORT RADDR RPORT TX_KB RX_KB MS".split()
    row, = [line for line in lines if line[3:6:2] == [str(s.cport), str(s.sport)]]
    assert row[:8] == [str(s.client.pid), "a-client", "127.0.0.1", str(s.cport), "127.0.0.1", str(s.sport), "2.00", "0.50"]
    assert re.fullmatch(r"≥\d+\.\d\d", row[8])


@pytest.mark.parametrize("words,message", [
    (["--pid", "x"], "--pid"), (["--pid", "4294967296"], "--pid"), (["--port", "65536"], "--port"), (["--port", "-1"], "--port"),
    (["--duration", "soon"], "--duration"), (["what"], "what")])
def test_wrong_words_are_usage_errors(words, message):
    done = subprocess.run([WEIRCTL, "tcp", "life", *words], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("weirctl: tcp life: ") and message in done.stderr and done.stderr.count("\n") == 1


def test_many_at_once_all_reported(peers, lives):
    """More than 10,240 sockets, where the usual tcplife begins to lose them, ended by one exit."""
    sessions = 6000
    life, crowd = lives(), peers("crowd")
    assert crowd.crowd(sessions) == sessions
    crowd.start("leave")
    end = time.monotonic() + PATIENCE
    while sum(r["pid"] == crowd.pid for r in life.records) < 2 * sessions:
        assert time.monotonic() < end, len(life.records)
        life.read(0.1)
    assert life.stop() == (0, "")
    assert sum(r["pid"] == crowd.pid for r in life.records) == 2 * sessions


def test_without_capability_says_what_to_do():
    done = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all", WEIRCTL, "tcp",
                           "life"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert "root" in done.stderr and "CAP_BPF" in done.stderr and done.stderr.count("\n") == 1
