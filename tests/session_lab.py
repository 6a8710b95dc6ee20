# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of sessions share: peers (processes with sockets, tests/session_peer.py), running `weirctl tcp …`, and fixtures of both."""
import itertools
import json
import os
import re
import select
import signal
import socket
import subprocess
import tempfile
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.environ.get("WEIR_OUT", os.path.join(HERE, "..", "out"))
WEIRCTL = os.path.join(OUT, "weirctl")
PATIENCE = int(os.environ.get("PATIENCE", 30))  # seconds until a test fails; none waits for time to pass


class Peer:
    def __init__(self, netns, comm, passing):
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", netns, "/usr/bin/python3", os.path.join(HERE, "session_peer.py"), comm, str(passing.fileno())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, pass_fds=[passing.fileno()])
        self.comm, self.pid = comm, self.process.pid  # ip replaces itself by the command
        self.answers = b""

    def start(self, *op):
        self.process.stdin.write(json.dumps(op).encode() + b"\n")

    def result(self, patience=PATIENCE):
        while b"\n" not in self.answers:
            ready, _, _ = select.select([self.process.stdout], [], [], patience)
            assert ready, f"{self.comm} does not answer"
            more = os.read(self.process.stdout.fileno(), 1 << 16)
            assert more, f"{self.comm} is gone"
            self.answers += more
        line, self.answers = self.answers.split(b"\n", 1)
        return json.loads(line)

    def __getattr__(self, op):
        def call(*args):
            self.start(op, *args)
            return self.result()
        return call

    def kill(self):
        self.process.kill()
        self.process.wait()


def wait_until_watching(process):
    """It catches SIGINT once all that is open is taken in."""
    end = time.monotonic() + PATIENCE
    while True:
        assert time.monotonic() < end and process.poll() is None
        with open(f"/proc/{process.pid}/status") as status:
            caught = int(re.search(r"SigCgt:\s*(\w+)", status.read())[1], 16)
        if caught & 1 << signal.SIGINT - 1:
            return
        time.sleep(0.01)


def all_sockets():
    """Of all namespaces with names, for a test that failed."""
    each = "for n in $(ip netns | cut -d' ' -f1); do echo $n; ip netns exec $n ss -tanoi; done"
    return subprocess.run(["sh", "-c", each], capture_output=True, text=True).stdout


def connected(netns):
    """The sockets of a namespace that are in a session."""
    command = ["ip", "netns", "exec", netns, "ss", "-Htan", "state", "connected", "exclude", "time-wait"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def wait_until_connected(netns, count=0):
    """Processes are gone before what they left behind."""
    end = time.monotonic() + PATIENCE
    while len(sockets := connected(netns)) != count:
        assert time.monotonic() < end, f"{len(sockets)} sockets are connected, not {count}: {sockets[:10]}"
        time.sleep(0.05)


def balanced(t):
    """Nothing unaccounted: what began has ended in a record, was not asked for, is open, or is counted as lost."""
    return t["opened"] + t["seeded"] == t["ended"] + t["filtered"] + t["held"] + t["open"] + t["lost_missed"]


class Witness:
    """Sees what the kernel may keep from a tracing program without counting it: on some machines programs do not run while a softirq is
    on top of a thread of process 1. Ends and starts of TCP sockets that went by there, as ftrace tells (it runs there too)."""

    def __init__(self):
        self.dir = tempfile.mkdtemp()
        self.instance = os.path.join(self.dir, "instances", f"weir-{os.getpid()}")

    def write(self, name, text):
        with open(os.path.join(self.instance, name), "w") as f:
            f.write(text)

    @staticmethod
    def threads():
        """{number: name} of process 1's."""
        found = {}
        for tid in os.listdir("/proc/1/task"):
            try:
                with open(f"/proc/1/task/{tid}/comm") as comm:
                    found[tid] = comm.read().strip()
            except OSError:  # gone meanwhile
                pass
        return found

    def __enter__(self):
        subprocess.run(["mount", "-t", "tracefs", "none", self.dir], check=True)
        try:
            os.mkdir(self.instance)
            self.before = self.threads()
            names = " || ".join(f'comm == "{name}"' for name in sorted(set(self.before.values())))
            self.write("events/sock/inet_sock_set_state/filter", f"protocol == 6 && (newstate == 7 || newstate == 1) && ({names})")
            self.write("events/sock/inet_sock_set_state/enable", "1")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        if os.path.isdir(self.instance):
            os.rmdir(self.instance)
        subprocess.run(["umount", self.dir], check=True)
        os.rmdir(self.dir)

    def seen(self, state):
        """How many sockets changed to this state."""
        threads = self.before.keys() | self.threads().keys()
        with open(os.path.join(self.instance, "trace")) as trace:
            found = re.findall(r"^.*-(\d+) +\[.*newstate=(\w+)", trace.read(), re.M)
        return sum(tid in threads and new == state for tid, new in found)

    @property
    def ends(self):
        return self.seen("TCP_CLOSE")

    @property
    def starts(self):
        return self.seen("TCP_ESTABLISHED")

    def judge(self, t, ends=0, records=0):
        """The totals of a tracer that had `records` of `ends` to report: each is reported or counted as lost, and none is counted that was
        not kept from it, here or (`skipped`) as the kernel says itself."""
        text = json.dumps({**t, "ends": ends, "records": records, "kept_ends": self.ends, "kept_starts": self.starts})
        print(text)
        assert balanced(t), text
        assert 0 <= ends - records <= t["lost_missed"] <= self.ends + t["skipped"], text


class Life:
    """A running `weirctl tcp VERB -j`. Its last line, where --totals asks for it, is in .totals."""

    def __init__(self, *options, verb="life", env=None):
        self.process = subprocess.Popen([WEIRCTL, "tcp", verb, "-j", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={**os.environ, **(env or {})})
        self.text, self.records, self.totals = b"", [], None
        self.by_ports = {}  # others end sessions too, in hundreds of thousands

    def take(self, lines):
        for line in lines:
            record = json.loads(line)
            if "totals" in record:
                self.totals = record["totals"]
            else:
                self.records.append(record)
                self.by_ports.setdefault((record.get("lport"), record.get("rport")), []).append(record)

    def read(self, patience):
        if select.select([self.process.stdout], [], [], patience)[0]:
            self.text += os.read(self.process.stdout.fileno(), 1 << 20)
            *lines, self.text = self.text.split(b"\n")
            self.take(lines)

    def find(self, lport, rport):
        return self.by_ports.get((lport, rport), [])

    def wait(self, lport, rport):
        """The one record of this end of a session."""
        end = time.monotonic() + PATIENCE
        while not self.find(lport, rport):
            if time.monotonic() >= end:
                self.stop()
                raise AssertionError(f"no record of {lport} -> {rport}: {self.totals}\n{self.records}\n{all_sockets()}")
            assert self.process.poll() is None, self.process.stderr.read()
            self.read(0.1)
        assert len(self.find(lport, rport)) == 1
        return self.find(lport, rport)[0]

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        return self.finish()

    def finish(self):
        out, err = self.process.communicate(timeout=PATIENCE)
        lines = (self.text + out).split(b"\n")
        assert lines.pop() == b"", "the last line is whole"
        self.text = b""
        self.take(lines)
        return self.process.returncode, err.decode()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture(scope="module")
def netns():
    name = f"weir-session-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.fixture
def witness():
    with Witness() as w:
        yield w


@pytest.fixture
def peers(netns):
    """A factory of processes that can pass sockets, from one `end` to the other; all are gone after the test."""
    ends, made = socket.socketpair(), []
    numbers = itertools.count()

    def make(comm, where=None, end=None):
        made.append(Peer(where or netns, comm, ends[next(numbers) % 2 if end is None else end]))
        return made[-1]
    try:
        yield make
    finally:
        for peer in made:
            peer.kill()
        for end in ends:
            end.close()


@pytest.fixture
def lives():
    """A factory of `weirctl tcp life`, watching when it returns."""
    made = []

    def make(*options, **more):
        made.append(Life(*options, **more))
        wait_until_watching(made[-1].process)
        return made[-1]
    try:
        yield make
    finally:
        for life in made:
            life.kill()
