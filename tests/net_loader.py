# SPDX-License-Identifier: GPL-2.0-only
"""The loader: attach, status, detach, upgrade, doctor; what it says when things are in the way; and what is left when it is killed at any
system call."""
import ctypes
import json
import os
import re
import subprocess

import pytest
import weirtest as w
from net import LOADER, OUT, Lab, sh, wait_for

HOOKS = ["xdp", "tc-ingress", "tc-egress"]
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "maps", "datapath.h")) as _header:
    SCHEMA = int(re.search(r"define WEIR_SCHEMA (\d+)", _header.read()).group(1))


@pytest.fixture
def lab():
    with Lab() as lab:
        lab.add_ns("a", "b")
        lab.veth("a", "a0", "b", "b0", checksums=False)
        lab.addr("a", "a0", "10.3.0.1/24")
        lab.addr("b", "b0", "10.3.0.2/24")
        yield lab


def status(lab):
    return json.loads(lab.loader("status", "-j").stdout)["interfaces"]


def pings(lab):
    """Packets pass. Three of three, and not at the first try if need be: where other tests fill the backlog of a CPU, the kernel drops some."""
    return any(" 3 received" in lab.run_in("a", "ping", "-c", "3", "-i", "0.01", "-W", "2", "10.3.0.2", check=False).stdout for _ in range(3))


def refused(lab, code, text, *words, **kw):
    """The command fails with this exit code and one line that has this text; with -j the same as JSON where it takes it."""
    p = lab.loader(*words, check=False, **kw)
    lines = [l for l in p.stderr.splitlines() if ": note: " not in l]
    assert p.returncode == code, p.stderr
    assert len(lines) == 1 and lines[0].startswith("weir-loader: ") and re.search(text, lines[0]), p.stderr
    return lines[0]


def test_status_tells_what_was_obtained(lab):
    lab.attach("b", "b0")
    entry, = status(lab)
    assert (entry["name"], entry["netns"], entry["schema"], entry["generation"]) == ("b0", lab.ns("b"), SCHEMA, 0)
    assert [h["hook"] for h in entry["hooks"]] == HOOKS
    assert [h["mode"] for h in entry["hooks"]] == ["native", "tcx", "tcx"]
    assert all(h["prog_id"] > 0 and h["link_id"] > 0 for h in entry["hooks"])
    shown = lab.ip("b", "-d", "link", "show", "b0").stdout
    assert "prog/xdp id %d" % entry["hooks"][0]["prog_id"] in shown
    lab.apply("chain ingress { policy accept }\n")
    assert status(lab)[0]["generation"] == 1


@pytest.mark.parametrize("words,modes", [
    (["--mode", "skb"], ["skb", "tcx", "tcx"]),
    (["--mode", "auto"], ["native", "tcx", "tcx"]),
    (["--hooks", "tc-ingress"], ["tcx"]),
    (["--hooks", "xdp"], ["native"]),
    (["--clsact", "--hooks", "tc-ingress,tc-egress"], ["clsact", "clsact"]),
    (["--no-flows"], ["native", "tcx", "tcx"]),
    (["--decap"], ["native", "tcx", "tcx"]),
])
def test_every_way_to_attach_carries_traffic_and_leaves_nothing(lab, words, modes):
    lab.attach("b", "b0", *words)
    assert [h["mode"] for h in status(lab)[0]["hooks"]] == modes
    assert pings(lab)
    lab.loader("upgrade")
    assert pings(lab)
    lab.loader("detach", "b0", "--netns", lab.ns("b"))
    assert "xdp" not in lab.ip("b", "link", "show", "b0").stdout
    assert "bpf" not in lab.run_in("b", "tc", "filter", "show", "dev", "b0", "ingress").stdout
    assert pings(lab)
    assert status(lab) == []


def test_detach_does_not_wait_for_whoever_else_has_the_link(lab):
    """bpftool, say, may have it open; and the kernel itself lets go of what was pinned when it comes to it."""
    lab.attach("b", "b0")
    slot, = os.listdir(os.path.join(lab.run_dir, "bpf/links"))
    libbpf = ctypes.CDLL("libbpf.so.1")
    held = [libbpf.bpf_obj_get(os.path.join(lab.run_dir, "bpf/links", slot, pin).encode()) for pin in ("xdp-native", "tc-ingress-tcx", "tc-egress-tcx")]
    try:
        assert all(fd >= 0 for fd in held)
        lab.loader("detach", "b0", "--netns", lab.ns("b"))
        assert "xdp" not in lab.ip("b", "link", "show", "b0").stdout
        assert "weir" not in lab.run_in("b", "bpftool", "net", "show", "dev", "b0").stdout
    finally:
        for fd in held:
            os.close(fd)


def test_auto_takes_skb_mode_where_the_driver_has_no_xdp(lab):
    p = lab.attach("b", "lo", "--mode", "auto")
    assert "note: lo: no native XDP here" in p.stderr
    assert status(lab)[0]["hooks"][0]["mode"] == "skb"
    lab.loader("detach", "lo", "--netns", lab.ns("b"))
    refused(lab, 1, "lo: the driver has no native XDP: use --mode skb", "attach", "lo", "--netns", lab.ns("b"))


def test_interfaces_and_namespaces_share_one_datapath(lab):
    lab.attach("a", "a0", "--hooks", "tc-ingress,tc-egress")
    lab.attach("b", "b0")
    assert [(e["name"], e["netns"]) for e in status(lab)] == [("a0", lab.ns("a")), ("b0", lab.ns("b"))]
    lab.apply("chain ingress { icmp type echo-request counter }\n")
    assert pings(lab)
    rule = lab.ctl_json("rule", "list", "ingress")["rules"][0]
    assert rule["packets"] == 3
    assert {f["interface"] for f in lab.flows("--proto", "icmp")} == {"a0", "b0"}


def test_a_second_attach_is_refused(lab):
    lab.attach("b", "b0")
    before = status(lab)
    refused(lab, 4, "b0: weir is attached already", "attach", "b0", "--netns", lab.ns("b"))
    assert status(lab) == before


def test_a_foreign_xdp_program_is_named_and_respected(lab):
    foreign = os.path.join(lab.run_dir, "foreign.bpf.o")
    source = "int foreign_xdp(void *c) __attribute__((section(\"xdp\"), used)); int foreign_xdp(void *c) { return 2; }"
    subprocess.run(["clang", "-O2", "-g", "-target", "bpf", "-x", "c", "-c", "-", "-o", foreign], input=source, text=True, check=True)
    lab.ip("b", "link", "set", "dev", "b0", "xdpdrv", "obj", foreign, "sec", "xdp")
    line = refused(lab, 4, "an XDP program is attached already: foreign_xdp", "attach", "b0", "--netns", lab.ns("b"))
    assert "loaded by uid 0" in line and "--chain" in line
    assert "foreign_xdp" in sh("bpftool", "prog", "show", "name", "foreign_xdp").stdout
    assert status(lab) == []
    lab.attach("b", "b0", "--hooks", "tc-ingress,tc-egress")
    assert pings(lab)


def test_chain_says_why_where_the_kernel_forbids_freplace(lab):
    p = lab.loader("attach", "b0", "--netns", lab.ns("b"), "--chain", "--flows", "4096", check=False)
    if p.returncode == 0:
        assert [h["mode"] for h in status(lab)[0]["hooks"]] == ["chain", "tcx", "tcx"]
        return
    assert p.returncode == 4 and "freplace" in p.stderr and "refuses" in p.stderr, p.stderr
    assert "xdp" not in lab.ip("b", "link", "show", "b0").stdout
    assert status(lab) == []


def test_a_device_that_vanishes_and_returns(lab):
    lab.attach("b", "b0")
    lab.ip("a", "link", "del", "a0")
    assert {h["mode"] for h in status(lab)[0]["hooks"]} == {"gone"}
    p = refused(lab, 3, "b0: no such interface", "attach", "b0", "--netns", lab.ns("b"))
    assert "ip link" in p
    assert lab.loader("upgrade").returncode == 0
    lab.veth("a", "a0", "b", "b0", checksums=False)
    lab.addr("a", "a0", "10.3.0.1/24")
    lab.addr("b", "b0", "10.3.0.2/24")
    p = lab.attach("b", "b0")
    assert "the device it was attached to is gone, attaching to the new one" in p.stderr
    assert [h["mode"] for h in status(lab)[0]["hooks"]] == ["native", "tcx", "tcx"]
    assert pings(lab)
    # and detaching what is gone works too
    lab.ip("a", "link", "del", "a0")
    lab.loader("detach", "b0", "--netns", lab.ns("b"))
    assert status(lab) == []


def test_an_mtu_too_large_for_native_xdp(lab):
    for ns, dev in (("a", "a0"), ("b", "b0")):
        lab.ip(ns, "link", "set", dev, "mtu", "9000")
    refused(lab, 1, "b0: the MTU is too large for native XDP.*ip link set b0 mtu", "attach", "b0", "--netns", lab.ns("b"), "--no-frags")
    assert status(lab) == []
    # frames of several buffers have room for it
    lab.attach("b", "b0")
    assert "0% packet loss" in lab.run_in("a", "ping", "-c", "3", "-i", "0.01", "-s", "8900", "-M", "do", "10.3.0.2").stdout
    big = [f for f in lab.flows("--proto", "icmp")]
    assert big[0]["bytes"] == 3 * 8928


def test_missing_capabilities(lab):
    lab.attach("b", "b0")
    drop = ["capsh", "--drop=cap_net_admin,cap_bpf,cap_sys_admin,cap_perfmon", "--"]
    for words in (["upgrade"],):
        p = sh(*drop, "-c", "%s %s --run-dir %s" % (LOADER, " ".join(words), lab.run_dir), check=False)
        assert p.returncode == 1 and "CAP_BPF" in p.stderr, p.stderr
        assert len(p.stderr.splitlines()) == 1
    p = sh(*drop, "-c", "%s attach lo --run-dir %s" % (LOADER, lab.make_run_dir()), check=False)
    assert p.returncode == 1 and "mount" in p.stderr and len(p.stderr.splitlines()) == 1, p.stderr
    assert [h["mode"] for h in status(lab)[0]["hooks"]] == ["native", "tcx", "tcx"]


def test_tables_of_another_schema_are_not_touched(lab):
    lab.attach("b", "b0")
    path = os.path.join(lab.run_dir, "bpf/maps/datapath")
    value = json.loads(sh("bpftool", "-j", "map", "dump", "pinned", path).stdout)[0]["value"]
    sh("bpftool", "map", "update", "pinned", path, "key", *["0"] * 4, "value", "0x63", *value[1:])
    for words in (["upgrade"], ["status"], ["attach", "lo", "--netns", lab.ns("b"), "--mode", "skb"]):
        refused(lab, 4, "tables of schema 99", *words)
    for words in (["export"], ["flow", "list"], ["stats"], ["rule", "list"]):
        p = lab.ctl(*words, check=False)
        assert p.returncode == 4 and f"tables of schema 99, this program's are of schema {SCHEMA}" in p.stderr, p.stderr
    assert pings(lab)
    lab.loader("detach", "--all")


def test_no_bpffs(lab):
    """In a mount namespace of its own the loader mounts no bpffs: all pins would be gone with it."""
    p = sh("ip", "netns", "exec", lab.ns("b"), LOADER, "attach", "b0", "--run-dir", lab.make_run_dir(), check=False)
    assert p.returncode == 1 and "--netns" in p.stderr and len(p.stderr.splitlines()) == 1, p.stderr
    refused(lab, 3, "nothing is attached under", "status", run_dir=lab.make_run_dir())
    refused(lab, 3, "nothing is attached under", "detach", "--all", run_dir=lab.make_run_dir())


@pytest.mark.parametrize("code,text,words", [
    (2, "no command given", []),
    (2, "frob: no such command", ["frob"]),
    (2, "attach takes one interface", ["attach"]),
    (2, "--mode fast: not a mode; native, skb or auto", ["attach", "x", "--mode", "fast"]),
    (2, "--hooks xpd: not a hook", ["attach", "x", "--hooks", "xpd"]),
    (2, "--decap is XDP's work", ["attach", "x", "--decap", "--hooks", "tc-ingress"]),
    (2, "an interface name has at most 15 characters", ["attach", "abcdefghijklmnopq"]),
    (2, "unknown option --frob", ["attach", "x", "--frob"]),
    (2, "\"many\" is not a number", ["attach", "x", "--flows", "many"]),
    (2, "detach takes one interface, or --all", ["detach"]),
    (2, "status takes no words", ["status", "x"]),
    (2, "upgrade takes no words", ["upgrade", "x"]),
    (3, "nosuch0: no such interface", ["attach", "nosuch0"]),
    (3, "network namespace nosuchns: No such file", ["attach", "x", "--netns", "nosuchns"]),
    (3, "nothing is attached under", ["upgrade"]),
    (3, "nosuch0: no such interface", ["doctor", "nosuch0"]),
])
def test_bad_usage_is_one_clear_line(lab, code, text, words):
    p = sh(LOADER, *words, env=dict(os.environ, WEIR_RUN_DIR=lab.run_dir), check=False)
    assert p.returncode == code, p.stderr
    assert len(p.stderr.splitlines()) == 1 and text in p.stderr, p.stderr


def test_not_an_ethernet_interface(lab):
    if lab.ip("b", "tuntap", "add", "t0", "mode", "tun", check=False).returncode:
        pytest.skip("kernel has no tun driver")
    refused(lab, 1, "t0: not an Ethernet interface", "attach", "t0", "--netns", lab.ns("b"))


def test_doctor_explains(lab):
    lab.attach("b", "b0")
    checks = {c["check"]: c for c in json.loads(lab.loader("doctor", "b0", "--netns", lab.ns("b"), "-j").stdout)["checks"]}
    assert {"kernel", "tcx", "btf", "jit", "capabilities", "bpffs", "freplace", "driver", "veth", "xdp", "forwarding"} <= set(checks)
    assert checks["driver"]["detail"].startswith("veth, MTU 1500")
    assert "weir_xdp" in checks["xdp"]["detail"]
    assert all(c["result"] in ("ok", "warn", "fail") and c["detail"] for c in checks.values())


# ---- kill -9

STRACE = ["strace", "-f", "-qq", "-o", "/dev/null"]


def count_calls(lab, call, *words):
    """How often the loader makes a system call in a run that ends well."""
    log = os.path.join(lab.run_dir, "calls")
    sh("strace", "-f", "-qq", "-o", log, "-e", "trace=" + call, LOADER, *words, "--run-dir", lab.run_dir)
    return len(open(log).read().splitlines())


def killed_at(lab, call, n, *words):
    return sh(*STRACE, "-e", "trace=" + call, "-e", "inject=%s:signal=KILL:when=%d" % (call, n), LOADER, *words, "--run-dir", lab.run_dir, check=False)


def points(total, most):
    """All of 1..total, or `most` of them spread out, the last ones always."""
    if total <= most:
        return range(1, total + 1)
    return sorted({1 + i * total // most for i in range(most)} | set(range(total - 7, total + 1)))


@pytest.mark.parametrize("call", ["bpf", "mkdir", "rename", "mount", "open,openat"])
def test_attach_killed_anywhere_is_mended_by_the_next(lab, call):
    words = ["attach", "b0", "--netns", lab.ns("b"), "--flows", "1024"]
    n = count_calls(lab, call, *words)
    lab.loader("detach", "--all")
    killed = 0
    for k in points(n, 14):
        p = killed_at(lab, call.split(",")[-1], k, *words)
        killed += p.returncode != 0
        # the old state (not attached) or the new one (all of it): never half of it in `status`
        s = lab.loader("status", "-j", check=False)
        shown = json.loads(s.stdout)["interfaces"] if s.returncode == 0 else []
        assert shown == [] or [h["hook"] for h in shown[0]["hooks"]] == HOOKS, (call, k)
        assert pings(lab), (call, k)
        if not shown:
            lab.loader(*words)
        assert [h["mode"] for h in status(lab)[0]["hooks"]] == ["native", "tcx", "tcx"], (call, k)
        assert pings(lab)
        lab.loader("detach", "--all")
    assert killed, "no run was killed"


def test_upgrade_killed_anywhere_leaves_working_programs(lab):
    lab.attach("b", "b0")
    lab.apply("chain ingress { icmp type echo-request counter }\n")
    n = count_calls(lab, "bpf", "upgrade")
    sent = 0
    for k in points(n, 25):
        killed_at(lab, "bpf", k, "upgrade")
        assert [h["mode"] for h in status(lab)[0]["hooks"]] == ["native", "tcx", "tcx"], k
        assert pings(lab), k
        sent += 3
    lab.loader("upgrade")
    assert lab.ctl_json("rule", "list", "ingress")["rules"][0]["packets"] == sent


@pytest.mark.parametrize("call", ["unlink", "bpf"])
def test_detach_killed_anywhere_can_be_repeated(lab, call):
    words = ["detach", "b0", "--netns", lab.ns("b")]
    lab.attach("b", "b0")
    n = count_calls(lab, call, *words)
    for k in range(1, n + 1):
        lab.attach("b", "b0")
        killed_at(lab, call, k, *words)
        assert pings(lab)
        lab.loader(*words, check=False)
        assert status(lab) == []
        assert "xdp" not in lab.ip("b", "link", "show", "b0").stdout


def test_apply_killed_anywhere_leaves_the_old_or_the_new_generation(lab):
    """weirctl too: two configurations that disagree on ping; after each kill the export is one of them and the packets agree with it."""
    lab.attach("b", "b0")
    texts = {"drop": "chain ingress {\n    policy accept\n    icmp type echo-request drop\n}\n", "accept": "chain ingress {\n    policy accept\n}\n"}
    files = {}
    for name, text in texts.items():
        files[name] = os.path.join(lab.run_dir, name + ".conf")
        open(files[name], "w").write(text)
    ctl = os.path.join(OUT, "weirctl")
    log = os.path.join(lab.run_dir, "calls")
    lab.ctl("apply", files["accept"])
    sh("strace", "-f", "-qq", "-o", log, "-e", "trace=bpf", ctl, "--run-dir", lab.run_dir, "apply", files["drop"])
    n = len(open(log).read().splitlines())
    for k in points(n, 25):
        target = "accept" if "drop" in lab.ctl("export").stdout else "drop"
        sh(*STRACE, "-e", "trace=bpf", "-e", "inject=bpf:signal=KILL:when=%d" % k, ctl, "--run-dir", lab.run_dir, "apply", files[target], check=False)
        now = lab.ctl("export").stdout
        assert now in texts.values(), k
        p = lab.run_in("a", "ping", "-c", "1", "-W", "0.2", "10.3.0.2", check=False)
        assert (p.returncode == 0) == ("drop" not in now), k


# ---- programs for plain rules, and for any

PLAIN = "chain ingress {\n    policy accept\n    meta l4proto icmp drop\n}\n"
ANY = "chain ingress {\n    policy drop\n    ether type arp accept\n    icmp type echo-request accept\n}\n"


def cost(lab):
    """What the verifier went through for the XDP program: more for any rule than for plain ones."""
    xdp, = [h["prog_id"] for h in status(lab)[0]["hooks"] if h["hook"] == "xdp"]
    return w.verified(xdp)


def unanswered(lab):
    return lab.run_in("a", "ping", "-c", "1", "-W", "0.3", "10.3.0.2", check=False).returncode == 1


def configurations(lab):
    for name, text in (("plain", PLAIN), ("any", ANY)):
        with open(os.path.join(lab.run_dir, name + ".conf"), "w") as f:
            f.write(text)
    return [os.path.join(lab.run_dir, name + ".conf") for name in ("plain", "any")]


def test_programs_come_with_the_first_rule_that_needs_them_and_go_with_upgrade(lab):
    lab.attach("b", "b0")
    small = cost(lab)
    lab.apply(PLAIN)
    assert cost(lab) == small and unanswered(lab)
    lab.ctl("rule", "add", "--before", str(lab.ctl_json("rule", "list", "ingress")["rules"][0]["id"]), "ingress", "icmp type echo-request counter accept")
    large = cost(lab)
    assert large > 1.5 * small and pings(lab)
    lab.loader("upgrade")
    assert cost(lab) == large and pings(lab)
    lab.apply(PLAIN)
    assert cost(lab) == large and unanswered(lab)
    lab.loader("upgrade")
    assert cost(lab) == small and unanswered(lab)
    lab.apply(ANY)
    lab.loader("detach", "b0", "--netns", lab.ns("b"))
    lab.attach("b", "b0")
    assert cost(lab) == large and pings(lab)


def test_one_rule_among_thousands_brings_the_programs_it_needs(lab):
    """By patch, not by compiling; the chain that is not changed has a say, too."""
    lab.attach("b", "b0")
    lab.apply("chain ingress {\n policy accept\n" + "".join(f" ip saddr 10.9.{i // 250}.{i % 250} drop\n" for i in range(1500)) + "}\n")
    small = cost(lab)
    lab.ctl("rule", "add", "ingress", "tcp dport 81 drop")
    assert cost(lab) == small and pings(lab)
    first = lab.ctl_json("rule", "list", "ingress")["rules"][0]["id"]
    lab.ctl("rule", "add", "--before", str(first), "ingress", "icmp type echo-request limit rate 1/hour burst 3 packets accept")
    lab.ctl("rule", "add", "ingress", "meta l4proto icmp drop")
    assert cost(lab) > 1.5 * small and pings(lab) and unanswered(lab)
    lab.apply("chain ingress { policy accept }\nchain egress {\n policy accept\n icmp type echo-reply drop\n}\n")
    lab.loader("upgrade")
    assert cost(lab) > 1.5 * small and unanswered(lab)


def test_full_and_chained_programs_are_for_any_rule_from_the_start(lab):
    lab.attach("b", "b0")
    small = cost(lab)
    lab.loader("detach", "b0", "--netns", lab.ns("b"))
    lab.attach("b", "b0", "--full")
    assert cost(lab) > 1.5 * small
    lab.loader("upgrade")
    assert cost(lab) > 1.5 * small


def test_apply_that_gets_no_programs_leaves_everything(lab):
    lab.attach("b", "b0")
    lab.apply("chain ingress { policy accept }\n")
    before, ids = lab.ctl("export").stdout, status(lab)
    _, full = configurations(lab)
    p = sh("capsh", "--drop=cap_net_admin,cap_sys_admin,cap_perfmon", "--", "-c", f"{OUT}/weirctl --run-dir {lab.run_dir} apply {full}", check=False)
    assert p.returncode == 1 and len(p.stderr.splitlines()) == 1 and "refuses to load programs" in p.stderr, p.stderr
    assert lab.ctl("export").stdout == before and status(lab) == ids and pings(lab)


def test_apply_killed_while_programs_are_replaced_leaves_the_old_or_the_new_rules(lab):
    lab.attach("b", "b0")
    plain, full = configurations(lab)
    small = cost(lab)
    log = os.path.join(lab.run_dir, "calls")
    ctl = [os.path.join(OUT, "weirctl"), "--run-dir", lab.run_dir, "apply"]
    sh(*ctl, plain)
    sh("strace", "-f", "-qq", "-o", log, "-e", "trace=bpf", *ctl, full)
    calls = open(log).read().splitlines()
    links = [k for k, call in enumerate(calls, 1) if "BPF_LINK_UPDATE" in call]
    assert len(links) == 3 and len(calls) - links[-1] >= 2
    seen = set()
    for k in [links[0] - 20, *links, *range(links[-1] + 1, min(links[-1] + 6, len(calls) + 1))]:
        sh(*ctl, plain)
        lab.loader("upgrade")
        assert cost(lab) == small and unanswered(lab)
        sh(*STRACE, "-e", "trace=bpf", "-e", "inject=bpf:signal=KILL:when=%d" % k, *ctl, full, check=False)
        now = lab.ctl("export").stdout
        assert now in (PLAIN, ANY), k
        assert pings(lab) if now == ANY else unanswered(lab), k
        seen.add(now == ANY)
        sh(*ctl, full)
        assert cost(lab) > 1.5 * small and pings(lab), k
    assert False in seen
