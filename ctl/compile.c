/* SPDX-License-Identifier: GPL-2.0-only */
/* compile: rules as constraints on fields (constraint.h) become units (unit.h); each field a sweep over the ends of all spans, which gives disjoint intervals,
 * each with the row of units that hold there (rows.h). Equal rows are stored once. */
#include <stdlib.h>
#include <string.h>
#include "compile.h"
#include "rows.h"
#include "unit.h"

uint32_t rule_entry(const struct rule *r, const struct constraints *k)
{
	uint32_t e = r->id & RULE_ID_MASK;

	if (r->verdict == RULE_DROP)
		e |= RULE_DROP_BIT;
	if (r->verdict == RULE_CONTINUE)
		e |= RULE_CONTINUE_BIT;
	if (k->used & ~FIELDS_INVARIANT)
		e |= RULE_VARIANT_BIT;
	return e;
}

uint32_t policy_entry(const struct config *c, int chain)
{
	return (chain ? RULE_POLICY_EGRESS : RULE_POLICY_INGRESS) | (c->chains[chain].policy_drop ? RULE_DROP_BIT : 0);
}

/* ---- the whole */

static void store_entries(struct memory *w, const struct config *config, int which, const struct constraints *rules, const struct units *u)
{
	const struct chain *from = &config->chains[which];
	uint32_t at = memory_take(w, (u->n_units + 63) / 64 * 64);

	memory_chain(w)->entries = at;
	for (uint32_t i = 0; i < u->n_units; i++) {
		const struct unit *unit = &u->unit[i];
		uint32_t entry = unit->group < 0 ? rule_entry(&from->rules[unit->rule], &rules[unit->rule]) : FILTER_GROUP_BIT | unit->group;

		w->v[at + i] = (uint64_t)unit->position << 32 | entry;
	}
}

static int compile_units(struct memory *w, const struct config *config, int which, const struct constraints *rules, const struct units *u)
{
	const struct chain *from = &config->chains[which];
	struct filter_chain *c = memory_chain(w);
	int err;

	c->policy = policy_entry(config, which);
	c->rules = from->n_rules;
	c->units = u->n_units;
	c->words = (u->n_units + 63) / 64;
	c->summary = c->words > 1 ? (c->words + 63) / 64 : 0;
	c->stride = c->words + c->summary;
	for (int r = 0; r < from->n_rules; r++)
		c->fields |= rules[r].used;
	store_entries(w, config, which, rules, u);
	err = rows_store(w, rules, from->n_rules, u);
	return err ? err : groups_store(w, u);
}

static int compile_chain(struct memory *w, const struct config *config, const struct raws *raws, int which, int ungrouped)
{
	const struct chain *from = &config->chains[which];
	struct constraints *rules = must(calloc(from->n_rules + 1, sizeof(*rules)));
	struct units units = {};
	int err;

	for (int r = 0; r < from->n_rules; r++)
		rule_constraints(config, raws, &from->rules[r], &rules[r]);
	memory_take(w, sizeof(struct filter_chain) / 8);
	err = units_make(&units, from, rules, from->n_rules > ungrouped);
	if (!err)
		err = compile_units(w, config, which, rules, &units);
	if (!err && memory_bytes(w) > FILTER_LARGE)
		err = fail(EXIT_FAILED, "the rules of chain %s need %zu MiB of tables, the limit is %d: use sets in place of single rules", chain_name[which],
			   memory_bytes(w) >> 20, FILTER_LARGE >> 20);
	for (int i = 0; i < raws->n; i++)
		memory_chain(w)->raw[i] = (struct filter_raw){ raws->v[i].base, raws->v[i].length, raws->v[i].offset };
	memory_chain(w)->bytes = memory_bytes(w);
	units_free(&units);
	for (int r = 0; r < from->n_rules; r++)
		constraints_free(&rules[r]);
	free(rules);
	return err;
}

int compile_grouping(struct compiled *out, const struct config *c, int ungrouped)
{
	int err = 0, rules = 0;

	memset(out, 0, sizeof(*out));
	raws_of(&out->raws, c);
	for (int i = 0; i < CHAIN_COUNT; i++)
		rules += c->chains[i].n_rules;
	if (rules > FILTER_MAX_RULES)
		return fail(EXIT_FAILED, "%d rules, the limit is %d", rules, FILTER_MAX_RULES);
	for (int i = 0; i < CHAIN_COUNT && !err; i++)
		err = compile_chain(&out->chain[i], c, &out->raws, i, ungrouped);
	if (err)
		compiled_free(out);
	return err;
}

int compile(struct compiled *out, const struct config *c)
{
	return compile_grouping(out, c, UNITS_UNGROUPED);
}

void compiled_free(struct compiled *c)
{
	for (int i = 0; i < CHAIN_COUNT; i++)
		free(c->chain[i].v);
	memset(c, 0, sizeof(*c));
}
