# SPDX-License-Identifier: GPL-2.0-only
"""prog_budget: instructions that the verifier goes through for each program, in each shape the loader gives it, against tests/budgets.json.
A budget is a quarter above what was measured when it was set; a change that needs more says why and raises it. WEIR_MEASURE=1 prints the
numbers in the file's form instead of judging them."""
import json
import os

import pytest

import weirtest as w
from lab import Instance, opened

BUDGETS = os.path.join(w.TESTS, "budgets.json")
SHAPES = {	# name: hooks, options of attach
    "all hooks": ("xdp,tc-ingress,tc-egress", []),
    "xdp alone": ("xdp", []),
    "tc alone": ("tc-ingress,tc-egress", []),
    "decap": ("xdp", ["--decap"]),
    "no flows": ("xdp,tc-egress", ["--no-flows"]),
    "no flows, tc alone": ("tc-ingress,tc-egress", ["--no-flows"]),
    "no balance": ("xdp,tc-egress", ["--no-balance"]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_programs_stay_within_their_budget(shape):
    hooks, options = SHAPES[shape]
    with opened(Instance(*options, hooks=hooks)) as weir:
        cost = {hook: w.verified(prog_id) for hook, (prog_id, _) in weir.programs.items()}
    assert all(cost.values())
    if os.environ.get("WEIR_MEASURE"):
        print(json.dumps({shape: {h: n * 5 // 4 for h, n in cost.items()}}), cost)
        return
    with open(BUDGETS) as f:
        budget = json.load(f)[shape]
    assert set(budget) == set(cost)
    assert {h: n for h, n in cost.items() if n > budget[h]} == {}, f"over {budget}"
