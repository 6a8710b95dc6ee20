# SPDX-License-Identifier: GPL-2.0-only
"""Sessions whose end our programs were not run for: counted as lost, their places free again; and none of those that go on. tests/blind.c takes
the links from a running weirctl."""
import json
import os
import signal
import subprocess
import time

import pytest

from session_lab import OUT, PATIENCE, balanced, lives, netns, peers, wait_until_connected, witness  # noqa: F401

SESSIONS = 300


def descriptors(process, word):
    """What /proc says of those of a process that have a word in it."""
    found = []
    for fd in os.listdir(f"/proc/{process.pid}/fdinfo"):
        try:
            with open(f"/proc/{process.pid}/fdinfo/{fd}") as info:
                text = info.read()
        except OSError:  # an iterator's, read to its end
            continue
        if word in text:
            found.append(dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line))
    return found


def blind(life):
    assert descriptors(life.process, "raw_tracepoint")
    life.process.send_signal(signal.SIGUSR1)
    end = time.monotonic() + PATIENCE
    while descriptors(life.process, "raw_tracepoint"):
        assert time.monotonic() < end
        time.sleep(0.01)


def places(life):
    """How many places of the table are taken."""
    ids = [d["map_id"].strip() for d in descriptors(life.process, "map_id")]
    maps = {i: json.loads(subprocess.run(["bpftool", "-j", "map", "show", "id", i], capture_output=True, check=True).stdout) for i in ids}
    (table,) = [i for i in maps if maps[i].get("name") == "session_table"]
    dump = json.loads(subprocess.run(["bpftool", "-j", "map", "dump", "id", table], capture_output=True, check=True).stdout)
    return sum(sock != 0 for e in dump for sock in e["formatted"]["value"]["sock"])


@pytest.fixture
def blinded(lives):
    return lambda *options: lives("--totals", *options, env={"LD_PRELOAD": os.path.abspath(os.path.join(OUT, "tests", "libblind.so"))})


def elsewhere(seen):
    """Sessions that are not of these tests, as a tracer that is not blind counts them: they end unseen too, and the blind one does not
    see that they use an address anew."""
    return seen["opened"] + seen["seeded"] - 2 * (SESSIONS + 5)


def crowd(peers, sessions):
    """Of a name that tests beside this one do not look for."""
    peer = peers("band")
    assert peer.crowd(sessions) == sessions
    return peer


@pytest.mark.parametrize("places_for", [8, 512, 131072])
def test_unseen_ends_are_lost_and_others_stay_open(peers, netns, lives, blinded, places_for):
    """State in the sockets themselves, some here and some there, all in the table."""
    life, sighted = blinded("--sockets", str(places_for)), lives("--totals")
    stays, goes = crowd(peers, 5), crowd(peers, SESSIONS)
    blind(life)
    goes.kill()
    wait_until_connected(netns, 10)
    code, err = life.stop()
    assert code == 0 and sighted.stop()[0] == 0
    t, seen = life.totals, sighted.totals
    others = elsewhere(seen)
    text = json.dumps({"life": t, "sighted": seen, "others": others})
    assert balanced(t) and balanced(seen), text
    assert 2 * SESSIONS - others <= t["lost_missed"] <= 2 * SESSIONS + others, text
    assert t["open"] >= 10 and (t["spilled"] > 0) == (places_for < 131072), text
    assert f"{t['lost_missed']} sessions lost: the kernel skipped our program when they ended" in err
    stays.kill()


def test_places_of_the_gone_are_free_again(peers, netns, lives, blinded):
    """While the tracer runs."""
    life, sighted = blinded("--sockets", "2048"), lives("--totals")
    stays, goes = crowd(peers, 5), crowd(peers, SESSIONS)
    blind(life)
    before = places(life)
    assert before >= 2 * SESSIONS + 10
    goes.kill()
    wait_until_connected(netns, 10)
    end = time.monotonic() + 3 * PATIENCE  # the tracer takes its time, and more of it on a busy machine
    while places(life) > before - SESSIONS:
        assert time.monotonic() < end, f"{places(life)} of {before} places are taken"
        time.sleep(0.2)
    assert places(life) >= 10
    assert life.stop()[0] == 0 and sighted.stop()[0] == 0
    t, others = life.totals, elsewhere(sighted.totals)
    assert balanced(t) and t["lost_missed"] >= 2 * SESSIONS - others, (t, others)
    stays.kill()


def test_socket_left_in_close_is_not_open(peers, blinded):
    """Its process still has it."""
    life = blinded()
    client, server = peers("a-client"), peers("a-server")
    port = server.listen("v4")
    assert client.connect("v4", port) < 0 and server.accept()
    blind(life)
    client.reset()
    assert server.receive_reset() == "reset"
    assert life.stop()[0] == 0
    assert balanced(life.totals) and life.totals["lost_missed"] >= 2, life.totals


def test_sessions_in_a_namespace_without_processes_stay_open(peers, netns, lives, witness):
    """Nobody can enter it, since it has no name and no process: only sockets that were passed out of it."""
    name = f"weir-nameless-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        life = lives("--totals")
        client, server = peers("a-client", name, 0), peers("a-server", name, 0)
        port = server.listen("v4")
        cport = -client.connect("v4", port)
        assert server.accept() == cport
        heirs = []
        for owner in client, server:
            owner.give("conn")
            heirs.append(peers("heir", netns, 1))
            heirs[-1].take("conn")
            owner.kill()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
    short = lives("--totals")
    assert life.stop()[0] == 0
    witness.judge(life.totals)
    assert life.totals["open"] >= 2, life.totals
    for heir in heirs:
        heir.close()
    assert short.stop()[0] == 0
    witness.judge(short.totals)
