/* SPDX-License-Identifier: GPL-2.0-only */
/* constraint: a rule as what it asks of each field of a packet: the conjunction that the compiler, the oracle and lint work on. Fields it does not
 * name are not `used` and may be anything, or absent. */
#pragma once
#include "../maps/rule.h"
#include "config.h"

struct raws {			/* bits read by their place: the nth is FIELD_RAW0 + n */
	struct raw v[FILTER_RAWS];
	int n;
};

struct constraints {
	struct spans field[FIELD_COUNT];	/* normalised; of the fields in use */
	uint64_t used;		/* fields that must be there and lie in their spans */
};

extern const uint8_t field_words[FIELD_COUNT];
u128 field_max(enum filter_field f);	/* of wide fields ~0 */
bool field_is_wide(enum filter_field f);

void raws_of(struct raws *out, const struct config *c);
void rule_constraints(const struct config *c, const struct raws *raws, const struct rule *r, struct constraints *out);
void constraints_free(struct constraints *c);
struct spans spans_intersect(const struct spans *a, const struct spans *b);

/* What classify() returns for the rule: its id and RULE_* bits. */
uint32_t rule_entry(const struct rule *r, const struct constraints *k);
uint32_t policy_entry(const struct config *c, int chain);
