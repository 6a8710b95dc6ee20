# SPDX-License-Identifier: GPL-2.0-only
"""prog_budget: instructions that the verifier goes through for each program, in each shape the loader gives it, against tests/budgets.json.
A budget is a quarter above what was measured when it was set; a change that needs more says why and raises it. WEIR_MEASURE=1 prints the
numbers in the file's form instead of judging them."""
import json
import os
import subprocess

import pytest

import weirtest as w
from lab import Instance, opened

BUDGETS = os.path.join(w.TESTS, "budgets.json")
SHAPES = {	# name: hooks, options of attach
    "all hooks": ("xdp,tc-ingress,tc-egress", ["--full"]),
    "xdp alone": ("xdp", ["--full"]),
    "tc alone": ("tc-ingress,tc-egress", ["--full"]),
    "decap": ("xdp", ["--full", "--decap"]),
    "no flows": ("xdp,tc-egress", ["--full", "--no-flows"]),
    "no flows, tc alone": ("tc-ingress,tc-egress", ["--full", "--no-flows"]),
    "no balance": ("xdp,tc-egress", ["--full", "--no-balance"]),
    "plain rules": ("xdp,tc-ingress,tc-egress", []),
    "plain rules, tc alone": ("tc-ingress,tc-egress", []),
    "plain rules, no flows": ("xdp,tc-egress", ["--no-flows"]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_programs_stay_within_their_budget(shape):
    hooks, options = SHAPES[shape]
    with opened(Instance(*options, hooks=hooks, full=False)) as weir:
        cost = {hook: w.verified(prog_id) for hook, (prog_id, _) in weir.programs.items()}
    assert all(cost.values())
    if os.environ.get("WEIR_MEASURE"):
        print(json.dumps({shape: {h: n * 5 // 4 for h, n in cost.items()}}), cost)
        return
    with open(BUDGETS) as f:
        budget = json.load(f)[shape]
    assert set(budget) == set(cost)
    assert {h: n for h, n in cost.items() if n > budget[h]} == {}, f"over {budget}"


def test_what_no_rule_uses_is_not_verified():
    """Ten rules by ports and addresses: what the verifier goes through for the program that the loader gives them, and for the same built without all that is more."""
    done = subprocess.run([os.path.join(w.TESTS, "..", "bench", "run"), "--unused", "--loads", "1", "--json"], env=dict(os.environ, OUT=w.OUT), check=True,
                          capture_output=True, text=True)
    rows = {r["name"]: r["verified_insns"] for r in json.loads(done.stdout)["rows"]}
    ours, = [n for name, n in rows.items() if name.endswith(": the program")]
    without, = [n for name, n in rows.items() if name.endswith(": without what is not used")]
    assert without <= ours <= 1.03 * without, rows
