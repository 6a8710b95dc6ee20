# SPDX-License-Identifier: GPL-2.0-only
"""One end of TCP sessions, driven by tests/net_session*.py: a process that does what lines on its standard input say (JSON lists)
and answers each with a JSON value. It counts payload itself. argv: COMM and the number of a UNIX socket for passing sockets."""
import json
import os
import resource
import socket
import struct
import sys
import time

FAMILIES = {"v4": (socket.AF_INET, "127.0.0.1"), "v6": (socket.AF_INET6, "::1"), "mapped": (socket.AF_INET6, "::ffff:127.0.0.1")}


class Peer:
    def __init__(self, passing):
        self.passing = socket.socket(fileno=passing)
        self.listener = self.conn = None
        self.ends = []

    def listen(self, family, host=None, port=0, share=False):
        self.listener = socket.socket(FAMILIES[family][0], socket.SOCK_STREAM)
        if share:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.listener.bind((host or ("::" if family == "mapped" else FAMILIES[family][1]), port))
        self.listener.listen(128)
        return self.listener.getsockname()[1]

    def waiting(self):
        """Whether somebody can be accepted, without waiting long."""
        self.listener.settimeout(0.3)
        try:
            self.conn, peer = self.listener.accept()
            return peer[1]
        except TimeoutError:
            return 0
        finally:
            self.listener.settimeout(None)

    def accept(self):
        self.conn = self.listener.accept()[0]
        return self.conn.getpeername()[1]

    def connect(self, family, port, host=None):
        self.conn = socket.socket(FAMILIES[family][0], socket.SOCK_STREAM)
        try:
            self.conn.connect((host or FAMILIES[family][1], port))
        except OSError as e:
            self.conn.close()
            return e.errno
        return -self.conn.getsockname()[1]

    def keep(self):
        """The connection stays open, the next one is another."""
        self.ends.append(self.conn)

    def send(self, count):
        self.conn.sendall(os.urandom(count))
        return count

    def receive(self, count):
        got = 0
        while got < count:
            data = self.conn.recv(min(1 << 20, count - got))
            if not data:
                break
            got += len(data)
        return got

    def receive_all(self):
        return self.receive(1 << 62)

    def option(self, level, name, value):
        self.conn.setsockopt(getattr(socket, level), getattr(socket, name), value)

    def receive_error(self):
        """The errno that ends a recv()."""
        try:
            return -len(self.conn.recv(1))
        except OSError as e:
            return e.errno

    def receive_reset(self):
        try:
            return len(self.conn.recv(1))
        except ConnectionResetError:
            return "reset"

    def unread(self, count):
        """Wait until this much has come in, without taking it."""
        return len(self.conn.recv(count, socket.MSG_PEEK | socket.MSG_WAITALL))

    def shutdown(self):
        self.conn.shutdown(socket.SHUT_WR)

    def close(self):
        self.conn.close()

    def linger(self):
        """Whatever closes the connection resets it."""
        self.conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def reset(self):
        self.linger()
        self.conn.close()

    def talk_to_self(self):
        """A session of this process with itself, apart from the others."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with socket.create_connection(listener.getsockname()) as near:
                listener.accept()[0].close()
                return near.getsockname()[1]

    def crowd(self, count):
        """That many sessions with itself, both ends kept open."""
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            for _ in range(count):
                self.ends.append(socket.create_connection(listener.getsockname()))
                self.ends.append(listener.accept()[0])
        return len(self.ends) // 2

    def pin(self, cpu):
        os.sched_setaffinity(0, {cpu})

    def busy(self, seconds):
        """Sessions with itself, one after another, for so long; their number."""
        end, n = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            self.talk_to_self()
            n += 1
        return n

    def leave(self):
        os._exit(0)

    def give(self, what):
        sock = getattr(self, what)
        socket.send_fds(self.passing, [b"x"], [sock.fileno()])

    def take(self, what):
        _, fds, _, _ = socket.recv_fds(self.passing, 1, 1)
        setattr(self, what, socket.socket(fileno=fds[0]))


def main():
    with open("/proc/self/comm", "w") as comm:
        comm.write(sys.argv[1])
    peer = Peer(int(sys.argv[2]))
    for line in sys.stdin:
        op, *args = json.loads(line)
        print(json.dumps(getattr(peer, op)(*args)), flush=True)


main()
