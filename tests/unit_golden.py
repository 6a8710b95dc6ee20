# SPDX-License-Identifier: GPL-2.0-only
# unit_golden: every error of the language word by word. tests/golden/NAME.in is refused with what NAME.err holds.
# WEIR_GOLDEN=write writes the .err files anew: read the difference before committing it.
import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
DRIVER = pathlib.Path(os.environ.get("WEIR_OUT", ROOT / "out")) / "tests" / "config_check"
TEXTS = sorted(p.name for p in GOLDEN.glob("*.in"))


def run(*args):
    return subprocess.run([DRIVER, *args], cwd=GOLDEN, capture_output=True, timeout=60)


@pytest.mark.parametrize("name", TEXTS)
def test_refuses_with_the_golden_message(name):
    done = run(name)
    golden = (GOLDEN / name).with_suffix(".err")
    if os.environ.get("WEIR_GOLDEN") == "write":
        golden.write_bytes(done.stderr)
    assert done.stderr.decode(errors="replace") == golden.read_text(errors="replace")
    assert done.stdout == b""
    assert done.returncode == 2


@pytest.mark.parametrize("name", TEXTS)
def test_says_the_same_in_json(name):
    first = run(name).stderr.decode(errors="replace").splitlines()[0]
    done = run("-j", name)
    error = json.loads(done.stdout)["error"]
    assert done.stderr == b"" and done.returncode == 2
    assert first == "{file}:{line}:{column}: {message}".format(**error)
    assert error["code"] == 2


def test_there_are_goldens():
    assert len(TEXTS) > 100
    assert {p.stem for p in GOLDEN.glob("*.err")} == {t[:-3] for t in TEXTS}


def test_names_a_file_it_cannot_read():
    done = run("/nonexistent/weir.conf")
    assert done.returncode == 1
    assert done.stderr == b"config_check: /nonexistent/weir.conf: No such file or directory\n"


def test_names_a_directory_it_cannot_read():
    done = run("/")
    assert done.returncode == 1
    assert done.stderr == b"config_check: /: Is a directory\n"


def test_reads_standard_input():
    done = subprocess.run([DRIVER, "-"], input=b"interface eth0 eth1\n", capture_output=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith(b'standard input:1:16: unexpected "eth1", expected end of line\n')
