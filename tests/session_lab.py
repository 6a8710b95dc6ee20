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
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
WEIRCTL = os.path.join(os.environ.get("WEIR_OUT", os.path.join(HERE, "..", "out")), "weirctl")
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


class Life:
    """A running `weirctl tcp VERB -j`. Its last line, where --totals asks for it, is in .totals."""

    def __init__(self, *options, verb="life"):
        self.process = subprocess.Popen([WEIRCTL, "tcp", verb, "-j", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.text, self.records, self.totals = b"", [], None

    def take(self, lines):
        for line in lines:
            record = json.loads(line)
            if "totals" in record:
                self.totals = record["totals"]
            else:
                self.records.append(record)

    def read(self, patience):
        if select.select([self.process.stdout], [], [], patience)[0]:
            self.text += os.read(self.process.stdout.fileno(), 1 << 20)
            *lines, self.text = self.text.split(b"\n")
            self.take(lines)

    def find(self, lport, rport):
        return [r for r in self.records if (r["lport"], r["rport"]) == (lport, rport)]

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

    def make(*options, verb="life"):
        made.append(Life(*options, verb=verb))
        wait_until_watching(made[-1].process)
        return made[-1]
    try:
        yield make
    finally:
        for life in made:
            life.kill()
