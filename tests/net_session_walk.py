# SPDX-License-Identifier: GPL-2.0-only
"""Accepted connections that nobody has acted on when their process is gone, while a walk of the tracer looks at their files: the walk closes
them, and they are still the process's. tests/closer.c makes it happen in a running weirctl."""
import os
import signal

import pytest

from session_lab import OUT, lives, netns, peers  # noqa: F401


class Lost:
    """A connection that `worker` accepted from its master's listener, in a trace that began between."""

    def __init__(self, peers, lives):
        self.peers, self.master, self.worker, self.client = peers, peers("master"), peers("worker"), peers("a-client")
        self.sport = self.master.listen("v4")
        self.lives, self.goes = lives, [self.worker]

    def accept(self, goes=None):
        env = {"LD_PRELOAD": os.path.abspath(os.path.join(OUT, "tests", "libcloser.so")), "WEIR_HOLDER": str(self.worker.pid),
               "WEIR_GOES": " ".join(str(p.pid) for p in goes or [self.worker])}
        self.life = self.lives(env=env)
        self.master.give("listener")
        self.worker.take("listener")
        self.cport = -self.client.connect("v4", self.sport)
        assert self.worker.accept() == self.cport

    def walk(self):
        """One begins while the record of a connection that died waits for its process."""
        client, server = self.peers("b-client"), self.peers("sitter", end=1)
        sport = server.listen("v4")
        cport = -client.connect("v4", sport)
        assert server.accept() == cport
        self.life.process.send_signal(signal.SIGUSR1)
        client.reset()
        assert self.life.wait(sport, cport)["owner"] == "files"

    def check(self, owner, end, closer, tx=0, rx=0):
        self.walk()
        r = self.life.wait(self.sport, self.cport)
        assert (r["owner"], r["pid"], r["comm"]) == (owner, self.worker.pid, "worker")
        assert (r["end"], r["closer"], r["tx_bytes"], r["rx_bytes"]) == (end, closer, tx, rx)
        code, err = self.life.stop()
        assert (code, err) == (0, "")


@pytest.fixture
def lost(peers, lives):
    return Lost(peers, lives)


def test_open_connection_is_its_last_holders(lost):
    lost.accept()
    lost.check("files", "fin", "local")


def test_connection_that_the_peer_closed(lost):
    lost.accept()
    lost.client.send(7)
    lost.client.shutdown()
    assert lost.worker.receive_all() == 7
    lost.check("files", "fin", "remote", rx=7)


def test_connection_with_unread_data(lost):
    lost.accept()
    lost.client.send(100)
    assert lost.worker.unread(100) == 100
    lost.check("files", "reset", "local", rx=100)


def test_connection_that_dies_behind_the_look_at_it(lost):
    """Its record is held when the walk closes it."""
    lost.accept(goes=[lost.client, lost.worker])
    lost.client.linger()
    lost.check("files", "reset", "remote")


def test_connection_of_two_processes_is_shared(lost):
    other = lost.peers("z-other", end=0)
    lost.accept(goes=[lost.worker, other])
    lost.worker.give("conn")
    other.take("conn")
    lost.check("shared", "fin", "local")
