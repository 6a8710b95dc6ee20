# SPDX-License-Identifier: GPL-2.0-only
"""The demo runs through and cleans up after itself: at its end, when interrupted at any time, and after --keep. Its names are its own, so its
runs follow one another."""
import os
import signal
import subprocess
import time

import pytest
from net import TOP, sh

DEMO = os.path.join(TOP, "demo", "demo")


def leftovers():
    spaces = [l.split()[0] for l in sh("ip", "netns", "list").stdout.splitlines() if l.split()[0] in ("weir-client", "weir-node", "weir-b1", "weir-b2")]
    mounts = [l for l in open("/proc/mounts") if "/run/weir-demo" in l]
    return spaces + mounts + (["/run/weir-demo"] if os.path.exists("/run/weir-demo") else [])


@pytest.fixture(autouse=True)
def clean():
    sh(DEMO, "--down")
    yield
    sh(DEMO, "--down")


def test_the_demo_shows_it_all_and_removes_everything():
    p = sh(DEMO, check=False)
    assert p.returncode == 0, p.stdout + p.stderr
    for text in ("native", "tcp dport { 23, 8000-8100 } drop", "hello from backend 1", "hello from backend 2", "-    forward l2", "complete",
                 "difference       0        0", "curl", "nginx", "everything removed"):
        assert text in p.stdout, text
    assert leftovers() == []


@pytest.mark.parametrize("after", [0.3, 1.2, 2.5, 4.5])
def test_an_interrupt_removes_everything(after):
    p = subprocess.Popen([DEMO], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    time.sleep(after)
    os.killpg(p.pid, signal.SIGINT)
    p.communicate(timeout=30)
    assert leftovers() == []


def test_keep_leaves_it_up_and_down_removes_it():
    p = sh(DEMO, "--keep", check=False)
    assert p.returncode == 0 and "make demo-down" in p.stdout, p.stdout + p.stderr
    assert len(leftovers()) >= 5
    again = sh(DEMO, check=False)
    assert again.returncode == 1 and "make demo-down" in again.stderr
    assert "hello from backend" in sh("ip", "netns", "exec", "weir-client", "curl", "-s", "http://192.0.2.10/").stdout
    sh(DEMO, "--down")
    assert leftovers() == []
