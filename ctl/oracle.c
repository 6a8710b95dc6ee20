/* SPDX-License-Identifier: GPL-2.0-only */
/* oracle: the language's meaning on the model itself, rule after rule, as slow and as plain as can be. What the compiled tables are held against. */
#include <string.h>
#include "compile.h"

u128 field_value(const struct field_values *v, enum filter_field f)
{
	return field_words[f] == 2 ? (u128)v->hi[f] << 64 | v->lo[f] : v->lo[f];
}

static bool rule_holds(const struct config *c, const struct raws *raws, const struct rule *r, const struct field_values *v)
{
	struct constraints k;
	bool holds = true;

	rule_constraints(c, raws, r, &k);
	for (int f = 0; f < FIELD_COUNT && holds; f++)
		if (k.used & FIELD_BIT(f))
			holds = v->present & FIELD_BIT(f) && spans_have(&k.field[f], field_value(v, f));
	constraints_free(&k);
	return holds;
}

uint32_t model_classify(const struct config *c, int chain, const struct field_values *v)
{
	struct constraints k;
	struct raws raws;
	uint32_t entry;

	raws_of(&raws, c);
	for (int i = 0; i < c->chains[chain].n_rules; i++) {
		const struct rule *r = &c->chains[chain].rules[i];

		if (r->verdict == RULE_CONTINUE || !rule_holds(c, &raws, r, v))
			continue;
		rule_constraints(c, &raws, r, &k);
		entry = rule_entry(r, &k);
		constraints_free(&k);
		return entry;
	}
	return policy_entry(c, chain);
}
