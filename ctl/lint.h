/* SPDX-License-Identifier: GPL-2.0-only */
/* lint: rules that no packet can ever meet, and why: the rule contradicts itself or the way to it, one rule before it takes all of its packets, or
 * nothing leads to its chain. Only single rules are looked for: what several take together is not found. */
#pragma once
#include "config.h"

enum lint_kind { LINT_CONTRADICTS, LINT_COVERED, LINT_UNREACHED };

struct lint_place {		/* a rule: chain index, and place in it from 0 */
	int chain, rule;
};

struct lint_finding {
	enum lint_kind kind;
	struct lint_place at;	/* of UNREACHED: rule -1, the whole chain */
	struct lint_place by;	/* of COVERED */
};

struct lint_findings {
	struct lint_finding *v;
	int n;
};

int lint(struct lint_findings *out, const struct config *c);	/* 0, or an exit code: the rules do not fit when written out */
