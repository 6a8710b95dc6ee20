# SPDX-License-Identifier: GPL-2.0-only
"""Namespaces, veth pairs and a private instance of weir for one test: everything has a unique name and is gone after the `with` block, also
when the test fails. Tests that drive packets import this."""
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.environ.get("WEIR_OUT", os.path.join(TOP, "out"))
LOADER = os.path.join(OUT, "weir-loader")
CTL = os.path.join(OUT, "weirctl")
_number = itertools.count()


def sh(*command, check=True, **kw):
    p = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, **kw)
    if check and p.returncode:
        raise AssertionError("%s: exit %d\n%s%s" % (" ".join(command), p.returncode, p.stdout, p.stderr))
    return p


class Lab:
    def __init__(self):
        self.tag = "w%x-%d" % (os.getpid(), next(_number))
        self.namespaces = []
        self.processes = []
        self.run_dirs = []

    def __enter__(self):
        self.run_dir = self.make_run_dir()
        return self

    def __exit__(self, *exc):
        with contextlib.ExitStack() as rest:    # all of it, whatever part of it fails
            for ns in self.namespaces:
                rest.callback(sh, "ip", "netns", "del", ns, check=False)
            for d in self.run_dirs:
                rest.callback(shutil.rmtree, d, ignore_errors=True)
                rest.callback(sh, "umount", "-l", os.path.join(d, "bpf"), check=False)
                rest.callback(sh, LOADER, "detach", "--all", "--run-dir", d, check=False)
            for p in self.processes:
                rest.callback(p.wait)
                rest.callback(p.kill)

    def make_run_dir(self):
        d = tempfile.mkdtemp(prefix="weir-test-")
        self.run_dirs.append(d)
        return d

    # namespaces and links; `name` is short, the real one unique

    def ns(self, name):
        return "%s-%s" % (self.tag, name)

    def add_ns(self, *names):
        for n in names:
            sh("ip", "netns", "add", self.ns(n))
            self.namespaces.append(self.ns(n))
            self.ip(n, "link", "set", "lo", "up")

    def ip(self, ns, *words, **kw):
        return sh("ip", "-n", self.ns(ns), *words, **kw)

    def run_in(self, ns, *command, **kw):
        return sh("ip", "netns", "exec", self.ns(ns), *command, **kw)

    def start_in(self, ns, *command, **kw):
        p = subprocess.Popen(("ip", "netns", "exec", self.ns(ns)) + command, stdin=subprocess.DEVNULL, **kw)
        self.processes.append(p)
        return p

    def sysctl(self, ns, *settings):
        self.run_in(ns, "sysctl", "-qw", *settings)

    def veth(self, a, dev_a, b, dev_b, mtu=1500, checksums=True):
        """A pair between namespaces, both ends up. checksums: senders fill them, as a wire would want."""
        sh("ip", "link", "add", dev_a, "mtu", str(mtu), "netns", self.ns(a), "type", "veth", "peer", "name", dev_b, "mtu", str(mtu), "netns",
           self.ns(b))
        for ns, dev in ((a, dev_a), (b, dev_b)):
            # addresses serve at once, and nobody asks for routers
            self.run_in(ns, "sh", "-c", "cd /proc/sys/net/ipv6/conf/%s && echo 0 >accept_dad && echo 0 >router_solicitations" % dev)
            if checksums:
                self.run_in(ns, "ethtool", "-K", dev, "tx", "off")
            self.ip(ns, "link", "set", dev, "up")

    def addr(self, ns, dev, *addrs):
        for a in addrs:
            self.ip(ns, "addr", "add", a, "dev", dev, *(["nodad"] if ":" in a else []))

    # weir

    def loader(self, *words, check=True, run_dir=None, **kw):
        return sh(LOADER, *words, "--run-dir", run_dir or self.run_dir, check=check, **kw)

    def attach(self, ns, dev, *words, run_dir=None):
        return self.loader("attach", dev, "--netns", self.ns(ns), "--flows", "65536", *words, run_dir=run_dir)

    def ctl(self, *words, check=True, run_dir=None, **kw):
        return sh(CTL, "--run-dir", run_dir or self.run_dir, *words, check=check, **kw)

    def ctl_json(self, *words, run_dir=None):
        return json.loads(self.ctl("-j", *words, run_dir=run_dir).stdout)

    def apply(self, text, check=True, run_dir=None):
        path = os.path.join(self.run_dirs[0], "test-%d.conf" % next(_number))
        with open(path, "w") as f:
            f.write(text)
        return self.ctl("apply", path, check=check, run_dir=run_dir)

    def stats(self, run_dir=None, **want):
        rows = self.ctl_json("stats", run_dir=run_dir)["totals"]
        return [r for r in rows if all(r[k] == v for k, v in want.items())]

    def flows(self, *words, run_dir=None):
        return self.ctl_json("flow", "list", *words, run_dir=run_dir)["flows"]


def wait_for(condition, seconds=10, what="condition"):
    """The value of condition() once it is true; bounded."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("%s did not come within %d s" % (what, seconds))


def total(rows, key="packets"):
    return sum(r[key] for r in rows)
