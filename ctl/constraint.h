/* SPDX-License-Identifier: GPL-2.0-only */
/* constraint: a rule as what it asks of each field. Fields it does not name are not `used` and may be anything, or absent. */
#pragma once
#include "../maps/rule.h"
#include "config.h"

struct constraints {
	struct spans field[FIELD_COUNT];	/* normalised */
	uint64_t used;				/* bitmap */
};

void rule_constraints(const struct config *c, const struct rule *r, struct constraints *out);
void constraints_free(struct constraints *c);

/* What classify() returns for the rule: its id and RULE_* bits. */
uint32_t rule_entry(const struct rule *r, const struct constraints *k);
uint32_t policy_entry(const struct config *c, int chain);

/* Largest value of a field. */
u128 field_max(enum filter_field f);
bool field_is_wide(enum filter_field f);
