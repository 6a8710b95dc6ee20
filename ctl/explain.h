/* SPDX-License-Identifier: GPL-2.0-only */
/* explain: why a packet gets the verdict it gets, by the model: which rule decides, what it saw, which rules did not hold and why, which would have
 * decided if those before them were not there. */
#pragma once
#include "compile.h"

enum { SHADOWS_MOST = 16, LOSERS_MOST = 5, PATH_MOST = 64 };

struct rule_place {
	const struct rule *rule;
	int chain, position;		/* from 1 */
	uint32_t mark;			/* the packet's when it came here */
};

struct explained {
	uint32_t entry;			/* RULE_* */
	uint32_t mark;			/* the packet's in the end */
	struct rule_place winner;	/* rule NULL: the policy */
	struct rule_place path[PATH_MOST];	/* that held before it: they count, or lead on */
	int n_path;
	struct rule_place losers[LOSERS_MOST];	/* the first that did not hold */
	int n_losers, lost;		/* lost: how many did not in all */
	struct rule_place shadows[SHADOWS_MOST];	/* each decides where the winner and those before it in here do not stand */
	int n_shadows;
};

void explain(struct explained *out, const struct config *c, int chain, const struct field_values *v);

/* One match of a rule against the packet. */
struct explained_match {
	char *text;
	bool matched;
	char *values;			/* of its keys in the packet, " . " between them; NULL: the packet has none */
};

/* The nth match (a verdict map is the last): false when there are no more. The texts are the caller's to free. */
bool explain_match(struct explained_match *out, const struct config *c, const struct rule *r, int n, const struct field_values *v);
