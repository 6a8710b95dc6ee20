/* SPDX-License-Identifier: GPL-2.0-only */
/* flatten: the rules that a packet may meet in a chain as one list of plain rules: jumps are written out where they stand, each element of a
 * concatenation or a map is a row. What cannot be said by order alone (return, goto, the end of what several ways lead into) is a row that
 * decides nothing and says where to go on: always further down. */
#pragma once
#include "constraint.h"

struct row {
	struct constraints k;
	uint32_t entry;			/* RULE_* of maps/rule.h; id 0: counts nothing */
	uint32_t next;			/* of a RULE_CONTINUE_BIT entry: the row to go on at */
	const struct rule *rule;
	int chain;			/* the rule's */
	bool own;			/* stands for the rule; others tidy up behind its ways */
};

struct rows {
	struct row *v;
	int n;
	uint32_t *starts;		/* of each rule of the chain itself: its first row; then n */
	int n_starts;			/* rules */
};

/* Rows of ingress or egress; behind the last one the policy holds. EXIT_FAILED when they are more than fit. */
int flatten(struct rows *out, const struct config *c, const struct raws *raws, int chain);
/* For lint: each rule has a row for each way to it, also one that only leads on. */
int flatten_probed(struct rows *out, const struct config *c, const struct raws *raws, int chain);
void rows_free(struct rows *r);
