# SPDX-License-Identifier: GPL-2.0-only
"""lab: a network namespace and private instances of weir for tests that run loaded programs on single packets.

    namespace weir-prog-PID-N
        in0 ─ in0p    192.0.2.254/24   2001:db8:1::fe/64    packets "come in" here; backends .11 .12 ::11 ::12 are next to it
        bk0 ─ bk0p    10.1.0.254/24    2001:db8:b::fe/64    backends 10.1.0.11 .12, 2001:db8:b::11 ::12; 10.9.0.0/16 behind 10.1.0.1; 172.31.0.0/16
        unreachable
        out0 ─ out0p  no addresses, no IPv6

Neighbours are permanent. Nothing sends packets to in0, and nothing through out0 either way (IPv6 reports multicast groups on the others), so
counters hold what a test put there."""
import concurrent.futures
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile

import weirtest as w

MAC = {"in0": "02:00:00:01:00:fe", "bk0": "02:00:00:0b:00:fe", "out0": "02:00:00:0f:00:fe", "gateway": "02:00:00:0b:00:01"}
BACKENDS = {"192.0.2.11": ("in0", "02:00:00:01:00:11"), "192.0.2.12": ("in0", "02:00:00:01:00:12"),
            "2001:db8:1::11": ("in0", "02:00:00:01:06:11"),
            "10.1.0.11": ("bk0", "02:00:00:0b:00:11"), "10.1.0.12": ("bk0", "02:00:00:0b:00:12"),
            "2001:db8:b::11": ("bk0", "02:00:00:0b:06:11"), "2001:db8:b::12": ("bk0", "02:00:00:0b:06:12"),
            "10.1.0.1": ("bk0", MAC["gateway"])}
_number = itertools.count()


def run(*command, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **more)
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


class Lab:
    def __init__(self):
        self.netns = f"weir-prog-{os.getpid()}-{next(_number)}"
        run("ip", "netns", "add", self.netns)
        try:
            self.lay_out()
        except BaseException:
            self.close()
            raise
        # a thread of its own lives in the namespace: commands are started from outside of it
        self.inside = concurrent.futures.ThreadPoolExecutor(1, initializer=w.enter_netns, initargs=(f"/run/netns/{self.netns}",))
        self.ifindex = {n: self.index(n) for n in ("in0", "out0")}

    def ip(self, *words):
        return run("ip", "-n", self.netns, *words)

    def index(self, name):
        return json.loads(self.ip("-j", "link", "show", name))[0]["ifindex"]

    def sysctl(self, *settings):
        run("ip", "netns", "exec", self.netns, "sysctl", "-qw", *settings)

    def lay_out(self):
        for name in ("in0", "bk0", "out0"):
            self.ip("link", "add", name, "address", MAC[name], "type", "veth", "peer", "name", name + "p")
            self.sysctl(f"net.ipv6.conf.{name}p.disable_ipv6=1", f"net.ipv6.conf.{name}.accept_dad=0")
        self.sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.sysctl("net.ipv6.conf.out0.disable_ipv6=1")
        for name in ("in0", "bk0", "out0", "in0p", "bk0p", "out0p"):
            self.ip("link", "set", name, "up")
        for name, four, six in (("in0", "192.0.2.254/24", "2001:db8:1::fe/64"), ("bk0", "10.1.0.254/24", "2001:db8:b::fe/64")):
            self.ip("addr", "add", four, "dev", name)
            self.ip("addr", "add", six, "dev", name, "nodad")
        for address, (name, mac) in BACKENDS.items():
            self.ip("neigh", "add", address, "lladdr", mac, "dev", name, "nud", "permanent")
        self.ip("route", "add", "10.9.0.0/16", "via", "10.1.0.1")
        self.ip("route", "add", "unreachable", "172.31.0.0/16")

    def close(self):
        if hasattr(self, "inside"):
            self.inside.shutdown()
        subprocess.run(["ip", "netns", "del", self.netns], check=False)


class Instance:
    """weir attached to a device in a lab of its own. `full`: programs for any rule from the start, so that they stay the same."""

    def __init__(self, *options, hooks="xdp", flows=4096, device="in0", full=True):
        self.lab, self.device = Lab(), device
        self.dir = tempfile.mkdtemp(prefix="weir-prog-", dir="/run")
        self.env = dict(os.environ, WEIR_RUN_DIR=self.dir)
        self.programs = {}
        try:
            self.loader("attach", device, "--netns", self.lab.netns, "--hooks", hooks, "--flows", flows, *options, *["--full"] * full)
            for hook in json.loads(self.loader("status", "-j"))["interfaces"][0]["hooks"]:
                self.programs[hook["hook"]] = hook["prog_id"], w.Program(hook["prog_id"])
        except BaseException:
            self.close()
            raise

    def loader(self, *words):
        return run(os.path.join(w.OUT, "weir-loader"), *words, env=self.env)

    def ctl(self, *words, **more):
        text = run(os.path.join(w.OUT, "weirctl"), *words, "-j", env=self.env, **more)
        return json.loads(text) if text.strip() else None

    def apply(self, text):
        run(os.path.join(w.OUT, "weirctl"), "apply", "-", env=self.env, input=text)

    def xdp(self, frame, program="xdp"):
        """(XDP action, bytes afterwards)"""
        return self.lab.inside.submit(self.programs[program][1].xdp, bytes(frame), self.lab.ifindex[self.device]).result()

    def flood(self, frame, times):
        self.lab.inside.submit(self.programs["xdp"][1].flood, bytes(frame), self.lab.ifindex[self.device], times).result()

    def skb(self, frame, hook="tc-ingress", gso_segs=0, gso_size=0, mark=0):
        """(TC_ACT_ action, bytes afterwards)"""
        return self.lab.inside.submit(self.programs[hook][1].skb, bytes(frame), self.lab.ifindex[self.device], gso_segs, gso_size, mark).result()

    def rules(self, chain="ingress"):
        """[(packets, bytes)] of the chain's rules in order, the policy last."""
        return [(r["packets"], r["bytes"]) for r in self.ctl("rule", "list", chain)["rules"]]

    def totals(self):
        """{(hook, verdict, reason): (packets, bytes)}"""
        return {(t["hook"], t["verdict"], t["reason"]): (t["packets"], t["bytes"]) for t in self.ctl("stats")["totals"]}

    def flows(self, *words):
        return self.ctl("flow", "list", *words)["flows"]

    def difference(self):
        d = self.ctl("flow", "verify")["difference"]
        return d["packets"], d["bytes"]

    def close(self):
        for _, program in self.programs.values():
            program.close()
        subprocess.run([os.path.join(w.OUT, "weir-loader"), "detach", "--all"], env=self.env, check=False, capture_output=True)
        subprocess.run(["umount", "-q", os.path.join(self.dir, "bpf")], check=False, capture_output=True)
        shutil.rmtree(self.dir, ignore_errors=True)
        self.lab.close()


@contextlib.contextmanager
def opened(thing):
    try:
        yield thing
    finally:
        thing.close()
