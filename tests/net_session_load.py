# SPDX-License-Identifier: GPL-2.0-only
"""Sessions in great numbers: none is lost, or it is counted. Figures of cost are bench/sessions' (make bench-sessions); here only counts."""
import json
import os
import resource
import shutil
import signal
import subprocess
import threading
import time

import pytest

from session_lab import PATIENCE, WEIRCTL, lives, netns, peers, wait_until_connected, wait_until_watching, witness  # noqa: F401

MANY = 24_000           # ends
CONCURRENT = 100_000    # sessions
EACH = resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 50
TCPLIFE = shutil.which("tcplife", path="/usr/sbin:/usr/share/bcc/tools")


class Lines(threading.Thread):
    """Counts the lines of a process that have a word in them."""

    def __init__(self, word, *command):
        super().__init__(daemon=True)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.word, self.count, self.first = word.encode(), 0, threading.Event()
        self.start()

    def run(self):
        for line in self.process.stdout:
            self.first.set()
            self.count += self.word in line

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE)
        self.join(PATIENCE)
        return self.count


def drain(life, count, seconds=30):
    end = time.monotonic() + seconds
    while len(life.records) < count and time.monotonic() < end:
        life.read(0.2)


class Crowd:
    """Processes that each have both ends of as many sessions as they may have files for."""

    def __init__(self, peers, sessions, pin=None):
        n = -(-sessions // EACH)
        self.members = [peers("crowd") for _ in range(n)]
        for p in self.members:
            if pin is not None:
                p.pin(pin)
            p.start("crowd", sessions // n)
        assert all(p.result(240) == sessions // n for p in self.members)
        self.pids = {p.pid for p in self.members}
        self.ends = 2 * (sessions // n) * n

    def kill(self):
        for p in self.members:
            p.process.kill()

    def gone(self):
        for p in self.members:
            p.process.wait(240)

    def ended(self, netns):
        """By kill(), to the last packet."""
        self.kill()
        self.gone()
        wait_until_connected(netns)

    def of(self, records):
        return [r for r in records if r["pid"] in self.pids]


@pytest.mark.skipif(not TCPLIFE, reason="tcplife (libbpf-tools) is not installed")
def test_24000_ends_at_once_beside_tcplife(peers, netns, lives, witness):
    """Processes are killed that have both ends of 12,000 sessions. tcplife sees the same ends; it remembers 10,240 sockets."""
    life = lives("--totals", "--comm", "crowd")
    other = Lines("crowd", "unshare", "-m", "sh", "-c",
                  f"mount -t tracefs none /sys/kernel/tracing 2>/dev/null; exec stdbuf -oL {TCPLIFE} -w")
    try:
        assert other.first.wait(PATIENCE), "tcplife does not start"
        crowd = Crowd(peers, MANY // 2)
        crowd.ended(netns)
        time.sleep(1)  # for tcplife, which says nothing at its end
    finally:
        theirs = other.stop()
    assert life.stop()[0] == 0
    print(f"{MANY} ends: weirctl reported {len(life.records)}, tcplife {theirs}")
    witness.judge(life.totals, crowd.ends, len(life.records))
    assert crowd.ends == MANY and life.totals["lost_full"] == 0
    assert crowd.of(life.records) == life.records
    assert theirs <= MANY


def test_100000_concurrent_sessions_all_reported(peers, netns, tmp_path, witness):
    """More sockets than the table has places (the others keep their state in themselves), ended at once. Into a file: a pipe's reader
    would be what is measured."""
    columns = ["laddr", "lport", "raddr", "rport", "seeded"]
    with open(tmp_path / "out", "w+") as out:
        life = subprocess.Popen([WEIRCTL, "tcp", "life", "-j", "--totals", "--comm", "crowd", "-o", ",".join(columns)], stdout=out)
        try:
            wait_until_watching(life)
            crowd = Crowd(peers, CONCURRENT)
            crowd.ended(netns)
            life.send_signal(signal.SIGINT)
            assert life.wait(PATIENCE) == 0
        finally:
            life.kill()
            life.wait()
        out.seek(0)
        *records, last = map(json.loads, out)
    t = last["totals"]
    witness.judge(t, crowd.ends, len(records))
    assert crowd.ends >= 2 * CONCURRENT - 100 and t["spilled"] > 0
    assert len({tuple(r[c] for c in columns[:4]) for r in records}) == len(records)
    assert sum(r["seeded"] for r in records) <= witness.starts
    assert t["lost_full"] == t["no_memory"] == 0


def test_sessions_beyond_the_table_are_like_others(peers, netns, lives, witness):
    """The smallest table."""
    life = lives("--totals", "--sockets", "8", "--comm", "crowd")
    crowd = Crowd(peers, 300)
    crowd.ended(netns)
    assert life.stop()[0] == 0
    witness.judge(life.totals, 600, len(crowd.of(life.records)))
    assert crowd.ends == 600 and {r["owner"] for r in life.records} == {"process"}
    assert life.totals["spilled"] >= 500


def test_open_sessions_are_listed_and_seeded(peers, lives, witness):
    """12,000 ends: open at the end of a trace that saw them begin, and at the start of another."""
    before = lives("--totals", "--open", "--comm", "crowd")
    crowd = Crowd(peers, 6000)
    after = lives("--totals", "--open", "--comm", "crowd")
    for life, seeded in (before, False), (after, True):
        assert life.stop()[0] == 0
        mine = [r for r in life.records if r["event"] == "open"]
        assert len(mine) == crowd.ends and {r["pid"] for r in mine} == crowd.pids
        unlike = sum(r["seeded"] != seeded for r in mine)
        assert unlike <= (0 if seeded else witness.starts)
        witness.judge(life.totals)
        assert life.totals["open"] >= crowd.ends - unlike


def test_full_ring_is_counted_and_said(peers, netns, lives, witness):
    """The reader stands still while one CPU ends more sessions than its ring has records."""
    life = lives("--totals")
    crowd = Crowd(peers, 70_000, pin=0)
    life.process.send_signal(signal.SIGSTOP)
    try:
        crowd.ended(netns)
    finally:
        life.process.send_signal(signal.SIGCONT)
    code, err = life.stop()
    t = life.totals
    assert code == 0
    assert t["lost_full"] > 0 and f"{t['lost_full']} records lost: the ring was full" in err
    assert t["ended"] == len(life.records) + t["lost_full"]
    witness.judge(t, crowd.ends, min(t["ended"], crowd.ends))


def test_balance_under_churn(peers, lives, witness):
    """Traces that start and stop while sessions begin and end on both CPUs."""
    busy = [peers(f"busy-{i}") for i in range(2)]
    for i, p in enumerate(busy):
        p.pin(i % os.cpu_count())
        p.start("busy", 6)
    totals = []
    while len(totals) < 4:
        life = lives("--totals")
        drain(life, 100, 1)
        assert life.stop()[0] == 0
        totals.append(life.totals)
        assert life.totals["ended"] == len(life.records)
    assert all(p.result() > 0 for p in busy)
    for t in totals:
        witness.judge(t)
        assert t["lost_full"] == 0
    assert totals[0]["ended"] > 0
